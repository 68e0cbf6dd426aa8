"""Resource penalties: values, gradients, refusals.

Statistical tests have a fixed seed and a false-failure rate of at most 1e-6.
"""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import snas_keras
from snas_keras import costs
from snas_keras import costs as costs_lib
from snas_keras import supernet as supernet_lib
from snas_keras.supernet import _limit, _resource

C = 4
SIDE = 8
# The space below has two edges of choice "a" and one of choice "b".
FLOPS = {
    "none": 0.0,
    "conv_1x1": SIDE * SIDE * C * C,
    "conv_3x3": SIDE * SIDE * C * C * 9,
}
SHARES = {
    "a": 2 * np.array(list(FLOPS.values())) / (3 * FLOPS["conv_3x3"]),
    "b": np.array(list(FLOPS.values())) / (3 * FLOPS["conv_3x3"]),
}
LOGITS = {"a": [0.3, -0.5, 0.9], "b": [-0.2, 0.8, 0.1]}


@snas_keras.search_space
def chain(choose):
    x = inputs = keras.Input((SIDE, SIDE, C))
    for name in ("a", "b", "a"):
        candidates = {
            "none": snas_keras.OPERATIONS["none"](C),
            "conv_1x1": snas_keras.OPERATIONS["nor_conv_1x1"](C),
            "conv_3x3": snas_keras.OPERATIONS["nor_conv_3x3"](C),
        }
        x = choose(name, candidates)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return inputs, keras.layers.Dense(3)(x)


def small_supernet(**options):
    supernet = snas_keras.build_supernet(chain(), **options)
    for name, values in LOGITS.items():
        supernet.architecture.logits[name].assign(values)
    return supernet


@pytest.fixture(scope="module")
def small():
    return small_supernet()


def bound(supernet, *args, **kwargs):
    resource = supernet_lib.Resource(*args, **kwargs)
    return supernet_lib.ResourceLoss(resource, supernet.network)


def value_and_gradients(loss, architecture, step=0):
    """Return the penalty and {choice: its gradient to the logits}."""
    with tf.GradientTape() as tape:
        z = architecture.sample(step)
        penalty = loss(architecture, z, step)
    names = list(architecture.logits)
    variables = [architecture.logits[name].value for name in names]
    gradients = tape.gradient(penalty, variables)
    return float(penalty), dict(
        zip(names, map(np.array, gradients), strict=True)
    )


def softmax(logits):
    powers = np.exp(logits)
    return powers / powers.sum()


def test_cost_table_has_a_row_for_each_edge(small):
    table = costs_lib.cost_table(small.network, "flops")
    row = list(FLOPS.values())
    np.testing.assert_array_equal(table["a"], [row, row])
    np.testing.assert_array_equal(table["b"], [row])


def test_expected_linear_penalty_is_the_formula(small):
    """weight sum_choice p . c / (cost of the dearest child)."""
    loss = bound(small, "flops", 0.5)
    penalty, _ = value_and_gradients(loss, small.architecture)
    wanted = sum(softmax(LOGITS[n]) @ SHARES[n] for n in LOGITS)
    np.testing.assert_allclose(penalty, 0.5 * wanted, rtol=1e-6)


def test_expected_cost_has_the_unit_of_the_cost(small):
    """Of whole children: what is fixed counts too."""
    cost = costs_lib.ChildCost(small, "flops")
    found = _limit.cost_under(cost, small.architecture.probabilities())
    wanted = sum(softmax(LOGITS[n]) @ SHARES[n] for n in LOGITS)
    wanted = wanted * 3 * FLOPS["conv_3x3"] + cost.fixed
    assert cost.fixed > 0
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    probabilities = small.architecture.distribution().probabilities()
    np.testing.assert_allclose(found, cost.expected(probabilities), rtol=1e-6)


def test_gradient_of_the_expected_penalty_is_the_formula(small):
    """d/da_j = p_j (c_j - p . c); numbers below one, to 1e-6."""
    loss = bound(small, "flops", 1.0)
    _, gradients = value_and_gradients(loss, small.architecture)
    for name, cost in SHARES.items():
        p = softmax(LOGITS[name])
        np.testing.assert_allclose(
            gradients[name], p * (cost - p @ cost), rtol=0, atol=1e-6
        )


def test_gradient_of_the_sample_penalty_goes_through_the_draw():
    """d/da_j = z_j (c_j - z . c) / temperature for the relaxed draw z."""
    supernet = small_supernet(temperature=0.7)
    loss = bound(supernet, "flops", 1.0, gradient="pathwise")
    penalty, gradients = value_and_gradients(loss, supernet.architecture, 5)
    draws = supernet.architecture.sample(5)
    total = 0.0
    for name, cost in SHARES.items():
        z = draws[name].numpy().astype("float64")
        total += z @ cost
        np.testing.assert_allclose(
            gradients[name], z * (cost - z @ cost) / 0.7, rtol=0, atol=1e-6
        )
    np.testing.assert_allclose(penalty, total, rtol=1e-6)


def test_log_penalty_is_the_mean_over_the_edges_of_a_choice():
    """sum_choice mean_e log(p . c_e), and d/da_j = p_j (c_j - R) / R with
    R = p . c; the two edges of "a" cost the same."""
    supernet = small_supernet()
    loss = bound(supernet, "flops", 0.5, form="log")
    penalty, gradients = value_and_gradients(loss, supernet.architecture)
    cost, total = np.array(list(FLOPS.values())), 0.0
    for name in LOGITS:
        p = softmax(LOGITS[name])
        expected = p @ cost
        total += np.log(expected)
        wanted = 0.5 * p * (cost - expected) / expected
        np.testing.assert_allclose(gradients[name], wanted, atol=1e-6)
    np.testing.assert_allclose(penalty, 0.5 * total, rtol=1e-6)


def test_log_penalty_takes_every_edge_for_itself():
    """Two edges of one choice with other costs: the mean of the logs, not the
    log of the mean."""

    @snas_keras.search_space
    def widening(choose):
        x = inputs = keras.Input((4,))
        for units in (4, 16):
            wide = {"dense": keras.layers.Dense(units, use_bias=False)}
            x = choose("layer", wide)(x)
        return inputs, x

    supernet = snas_keras.build_supernet(widening())
    loss = bound(supernet, "flops", 1.0, form="log")
    penalty, _ = value_and_gradients(loss, supernet.architecture)
    wanted = (np.log(4 * 4) + np.log(4 * 16)) / 2
    np.testing.assert_allclose(penalty, wanted, rtol=1e-6)


def half(layer, input_shape):
    return 0.5


def test_log_penalty_of_a_cost_below_one_is_zero_and_flat(small):
    loss = bound(small, half, 1.0, form="log")
    penalty, gradients = value_and_gradients(loss, small.architecture)
    assert penalty == 0.0
    for gradient in gradients.values():
        np.testing.assert_array_equal(gradient, np.zeros(3))


@pytest.mark.parametrize("form", _resource.FORMS)
@pytest.mark.parametrize("gradient", _resource.GRADIENTS)
def test_penalty_is_proportional_to_the_weight(small, form, gradient):
    once, thrice = (
        value_and_gradients(
            bound(small, "flops", weight, form, gradient),
            small.architecture,
            step=2,
        )
        for weight in (1.0, 3.0)
    )
    np.testing.assert_allclose(thrice[0], 3 * once[0], rtol=1e-6)
    for name in LOGITS:
        np.testing.assert_allclose(
            thrice[1][name], 3 * once[1][name], rtol=1e-5
        )


@pytest.mark.parametrize("form", _resource.FORMS)
def test_value_of_the_score_function_is_that_of_the_draw(small, form):
    sample, score = (
        value_and_gradients(
            bound(small, "flops", 1.0, form, gradient), small.architecture, 3
        )[0]
        for gradient in ("pathwise", "score_function")
    )
    np.testing.assert_allclose(score, sample, rtol=1e-6)


def test_linear_penalty_of_the_dearest_child_is_the_weight(small):
    for cost in snas_keras.COSTS:
        loss = bound(small, cost, 2.0, gradient="pathwise")
        genotype = costs_lib.ChildCost(small, cost).dearest
        z = small.architecture.one_hot(genotype)
        np.testing.assert_allclose(loss(small.architecture, z, 0), 2.0, 1e-6)


_logit = st.floats(-20, 20, width=32)
_SMALL = {}


@settings(max_examples=30, deadline=None)
@given(st.lists(_logit, min_size=6, max_size=6))
def test_linear_penalty_lies_between_zero_and_the_weight(values):
    """For any weights of the choices, to float32 rounding."""
    if not _SMALL:
        _SMALL["net"] = small_supernet()
    loss = bound(_SMALL["net"], "memory_access", 1.0, gradient="pathwise")
    z = {"a": tf.nn.softmax(values[:3]), "b": tf.nn.softmax(values[3:])}
    penalty = float(loss(_SMALL["net"].architecture, z, 0))
    assert -1e-6 <= penalty <= 1 + 1e-6


def test_dearest_genotype_takes_the_dearest_candidates(small):
    wanted = {"a": "conv_3x3", "b": "conv_3x3"}
    assert costs_lib.ChildCost(small, "flops").dearest == wanted


def mean_gradients(losses, architecture, steps):
    """Return the gradients of each loss, shape (losses, steps, logits)."""
    variables = [v.value for v in architecture.logits.values()]

    def one(step):
        rows = []
        for loss in losses:
            with tf.GradientTape() as tape:
                z = architecture.sample(step)
                penalty = loss(architecture, z, step)
            rows.append(tf.concat(tape.gradient(penalty, variables), 0))
        return tf.stack(rows)

    @tf.function
    def run():
        return tf.map_fn(one, tf.range(steps), fn_output_signature="float32")

    return run().numpy().transpose(1, 0, 2).astype("float64")


# Six means beyond 5.3 standard errors: 6 * 2 * Phi(-5.3) = 7e-7.
STEPS = 4000
ERRORS = 5.3


@pytest.mark.parametrize(
    ("draws", "gradient"),
    [
        ("straight_through", "score_function"),
        ("single_path", "score_function"),
        ("single_path", "pathwise"),
    ],
)
def test_hard_draws_have_the_exact_mean_gradient(draws, gradient):
    """E[cost(z) d log p(z)] = d sum_k p_k c_k.

    Over 4000 steps the standard errors are below 0.003: a bias of ten of them,
    0.03, is seen; the gradients are up to 0.16.
    """
    supernet = small_supernet(estimator=draws)
    loss = bound(supernet, "flops", 1.0, gradient=gradient)
    (found,) = mean_gradients([loss], supernet.architecture, STEPS)
    exact = bound(supernet, "flops", 1.0)
    _, wanted = value_and_gradients(exact, supernet.architecture)
    wanted = np.concatenate(list(wanted.values()))
    error = found.std(0, ddof=1) / np.sqrt(STEPS)
    assert error.max() < 0.003
    assert (np.abs(found.mean(0) - wanted) <= ERRORS * error).all()


@pytest.mark.parametrize("form", _resource.FORMS)
def test_score_function_of_relaxed_draws_has_the_pathwise_mean(form):
    """E[f(z) d log p(z)] = E[d f(z(logits, noise))], in pairs of one draw.

    Over 4000 steps the standard errors are below 0.003 (linear) and 0.015
    (log): a bias of ten of them is seen; the gradients are up to 0.11 and 0.44.
    """
    supernet = small_supernet()
    losses = [
        bound(supernet, "flops", 1.0, form, gradient)
        for gradient in ("score_function", "pathwise")
    ]
    score, path = mean_gradients(losses, supernet.architecture, STEPS)
    difference = score - path
    error = difference.std(0, ddof=1) / np.sqrt(STEPS)
    assert error.max() < {"linear": 0.003, "log": 0.015}[form]
    assert (np.abs(difference.mean(0)) <= ERRORS * error).all()


def test_gradient_of_the_score_function_is_the_excess_times_the_score(small):
    """(z . c - p . c) d log p(z), choice by choice, the draw held constant."""
    architecture = small.architecture
    loss = bound(small, "flops", 1.0, gradient="score_function")
    _, found = value_and_gradients(loss, architecture, 7)
    z = architecture.sample(7)
    for name, cost in SHARES.items():
        with tf.GradientTape() as tape:
            density = architecture.log_density(7)[name]
        score = tape.gradient(density, architecture.logits[name].value)
        excess = z[name].numpy() @ cost - softmax(LOGITS[name]) @ cost
        np.testing.assert_allclose(found[name], excess * score, atol=1e-6)


@pytest.mark.parametrize("cost", ["flops", "parameters"])
@pytest.mark.parametrize("seed", range(3))
def test_child_cost_is_that_of_the_converted_child(small, cost, seed):
    """The fixed part included; no candidate here is charged for an identity,
    which the child does not have."""
    genotype = chain().random_genotype(seed)
    if cost == "parameters" and "none" in genotype.values():
        genotype = {"a": "conv_1x1", "b": "conv_3x3"}
    child = snas_keras.convert(small, genotype)
    shape = (None, SIDE, SIDE, C)
    wanted = costs.COSTS[cost](child, shape)
    assert costs_lib.ChildCost(small, cost)(genotype) == wanted


def test_fixed_cost_is_that_of_the_layers_without_a_choice(small):
    """A global pooling of 256 numbers and a dense layer of 4 x 3 products."""
    assert costs_lib.ChildCost(small, "flops").fixed == 256 + 12


def test_child_cost_of_a_wrong_genotype_is_refused(small):
    with pytest.raises(ValueError, match=r"Missing choices: \['b'\]"):
        costs_lib.ChildCost(small, "flops")({"a": "none"})


@pytest.mark.parametrize(
    "arguments",
    [
        {"cost": "flops", "weight": 0.5},
        {
            "cost": "memory_access",
            "weight": 2.0,
            "form": "log",
            "gradient": "score_function",
            "name": "traffic",
        },
        {"cost": "parameters", "weight": 0.0, "gradient": "pathwise"},
        {"cost": "flops", "weight": 0.2, "limit": "60%", "rate": 0.1},
    ],
)
def test_config_holds_the_constructor_arguments(arguments):
    resource = supernet_lib.Resource(**arguments)
    config = keras.saving.serialize_keras_object(resource)
    again = keras.saving.deserialize_keras_object(config)
    assert again.cost is snas_keras.COSTS[arguments["cost"]]
    wanted = {
        "form": "linear",
        "gradient": "expected",
        "name": arguments["cost"],
        "limit": None,
        "rate": 0.02,
        **arguments,
    }
    for name in ("weight", "form", "gradient", "name", "limit", "rate"):
        assert getattr(again, name) == wanted[name]
    assert again.get_config() == wanted


@keras.saving.register_keras_serializable(package="resources_test")
def energy(layer, input_shape):
    return 1.0


def test_config_of_a_registered_cost_of_your_own_survives():
    resource = supernet_lib.Resource(energy, 0.5)
    config = keras.saving.serialize_keras_object(resource)
    again = keras.saving.deserialize_keras_object(config)
    assert again.cost is energy
    assert again.name == "energy"


def test_a_cost_without_a_name_takes_that_of_its_type():
    cost = functools.partial(energy)
    assert supernet_lib.Resource(cost, 0.5).name == "partial"
    assert supernet_lib.Resource(cost, 0.5, name="energy").name == "energy"


def test_repr_is_short_and_complete():
    text = repr(supernet_lib.Resource("flops", 0.5, "log", "pathwise", "f"))
    wanted = "Resource('f', weight=0.5, form='log', gradient='pathwise')"
    assert text == wanted


@pytest.mark.parametrize("weight", [-0.1, float("nan"), float("inf")])
def test_bad_weights_are_refused(weight):
    message = f"`weight` must be finite.*Received: weight={weight}"
    with pytest.raises(ValueError, match=message):
        supernet_lib.Resource("flops", weight)


def test_an_unknown_form_is_refused():
    message = r"`form` must be one of \['linear', 'log'\].*form='square'"
    with pytest.raises(ValueError, match=message):
        supernet_lib.Resource("flops", 1.0, form="square")


def test_an_unknown_estimator_is_refused():
    message = "`gradient` must be one of.*'score_function'.*'relaxed'"
    with pytest.raises(ValueError, match=message):
        supernet_lib.Resource("flops", 1.0, gradient="relaxed")


def test_an_unknown_cost_is_refused():
    with pytest.raises(ValueError, match="cost='watts'"):
        supernet_lib.Resource("watts", 1.0)


def test_a_cost_that_is_zero_everywhere_is_refused(small):
    def nothing(layer, input_shape):
        return 0.0

    message = "No candidate.*'nothing' above zero"
    with pytest.raises(ValueError, match=message):
        bound(small, nothing, 1.0)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_cost_that_is_no_cost_is_refused_with_its_candidate(small, value):
    def broken(layer, input_shape):
        is_conv = "conv" in repr(layer.get_config())
        return value if is_conv else 0.0

    message = f"Received: {value} for candidate 'conv_1x1' of choice 'a'"
    with pytest.raises(ValueError, match=message):
        bound(small, broken, 1.0)


def test_a_candidate_of_unknown_type_is_refused():
    class Strange(keras.layers.Layer):
        def call(self, inputs):
            return tf.linalg.inv(inputs)

    @snas_keras.search_space
    def space(choose):
        inputs = keras.Input((4, 4))
        return inputs, choose("layer", {"strange": Strange()})(inputs)

    supernet = snas_keras.build_supernet(space())
    with pytest.raises(TypeError, match=r"flops.register\(Strange\)"):
        bound(supernet, "flops", 1.0)


def test_check_resources_makes_a_list(small):
    one = supernet_lib.Resource("flops", 1.0)
    two = supernet_lib.Resource("flops", 1.0, name="other")
    architecture = small.architecture
    assert _resource.check_resources(None, architecture) == []
    assert _resource.check_resources(one, architecture) == [one]
    assert _resource.check_resources((one, two), architecture) == [one, two]


def test_two_resources_of_one_name_are_refused(small):
    one = supernet_lib.Resource("flops", 1.0)
    message = r"name of its own.*Received: \['flops', 'flops'\]"
    with pytest.raises(ValueError, match=message):
        _resource.check_resources([one, one], small.architecture)


def test_what_is_no_resource_is_refused(small):
    with pytest.raises(TypeError, match="Received: 'flops'"):
        _resource.check_resources("flops", small.architecture)


def test_a_score_function_without_a_density_is_refused():
    supernet = small_supernet(estimator="softmax")
    resource = supernet_lib.Resource("flops", 1.0, gradient="score_function")
    with pytest.raises(ValueError, match="draws from a known density"):
        _resource.check_resources(resource, supernet.architecture)


@pytest.fixture(scope="module")
def published():
    """The paper's supernet: 8 cells, 16 channels, 32 x 32 images."""
    return snas_keras.build_supernet(snas_keras.SEARCH_SPACES["snas_cifar"]())


@pytest.fixture(scope="module")
def published_penalty(published):
    """Return weights -> (1/3) (log size + log flops + log memory access)."""
    losses = [
        bound(published, cost, 1 / 3, "log", "pathwise")
        for cost in snas_keras.COSTS
    ]

    def penalty(z):
        return sum(float(loss(published.architecture, z, 0)) for loss in losses)

    return penalty


@pytest.mark.slow
def test_published_supernet_has_the_published_number_of_parameters(published):
    variables = published.network.trainable_variables
    assert sum(int(np.prod(v.shape)) for v in variables) == 1_930_618


@pytest.mark.slow
def test_published_penalty_of_uniform_logits(published, published_penalty):
    """284.850 = 141.120 of the normal and 143.730 of the reduction cells."""
    choices = published.architecture.choices
    uniform = {name: tf.fill([8], 1 / 8) for name in choices}
    none = published.architecture.one_hot(dict.fromkeys(choices, "none"))
    for cell, wanted in (("normal", 141.120), ("reduce", 143.730)):
        z = {
            name: (uniform if name.startswith(cell) else none)[name]
            for name in choices
        }
        assert published_penalty(z) == pytest.approx(wanted, abs=0.001)
    assert published_penalty(uniform) == pytest.approx(284.850, abs=0.002)


@pytest.mark.slow
def test_published_penalty_is_that_of_initial_logits(published):
    """All logits are equal at the start: the analytic expectation."""
    total = sum(
        value_and_gradients(
            bound(published, cost, 1 / 3, form="log"), published.architecture
        )[0]
        for cost in snas_keras.COSTS
    )
    assert total == pytest.approx(284.850, abs=0.002)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cost", "wanted"),
    [
        ("parameters", 228_896),
        ("flops", 37_167_104),
        ("memory_access", 4_191_776),
    ],
)
def test_published_expected_costs(published, cost, wanted):
    """Of all 112 edges under uniform probabilities; float32 keeps 7 digits."""
    child_cost = costs_lib.ChildCost(published, cost)
    found = _limit.cost_under(
        child_cost, published.architecture.probabilities()
    )
    edges = float(found) - child_cost.fixed
    assert edges == pytest.approx(wanted, rel=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("genotype", "wanted"),
    [
        (lambda choices: dict.fromkeys(choices, "none"), 0.0),
        (lambda choices: dict.fromkeys(choices, "skip_connect"), 146.73),
        (lambda choices: dict.fromkeys(choices, "sep_conv_5x5"), 311.31),
        (lambda _: snas_keras.published.GENOTYPES["snas_moderate"], 136.05),
    ],
    ids=["none", "skip_connect", "sep_conv_5x5", "moderate"],
)
def test_published_penalty_of_fixed_cells(
    published, published_penalty, genotype, wanted
):
    architecture = published.architecture
    z = architecture.one_hot(genotype(architecture.choices))
    assert published_penalty(z) == pytest.approx(wanted, abs=0.005)


def test_the_former_name_of_the_gradient_warns_and_means_the_same():
    with pytest.warns(DeprecationWarning, match="now `gradient=`"):
        old = supernet_lib.Resource("flops", 1.0, estimator="sample")
    assert old.gradient == "pathwise"
    config = {**old.get_config(), "estimator": "sample"}
    del config["gradient"]
    assert supernet_lib.Resource.from_config(config).gradient == "pathwise"
