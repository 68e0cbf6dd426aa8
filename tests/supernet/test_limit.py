"""Limits on costs: refused where none can be kept, kept where one can."""

import logging
import re

import keras
import numpy as np
import pytest

import snas_keras
from snas_keras import costs as costs_lib
from snas_keras import supernet as supernet_lib

WIDTHS = (1, 2, 3, 4, 6, 8, 12, 16)


def block(width):
    """A dense layer whose output is the constant sqrt(width) / 4."""
    gain = keras.initializers.Constant(np.sqrt(width) / 4.0)
    return keras.Sequential(
        [
            keras.layers.Dense(width),
            keras.layers.Dense(
                1, kernel_initializer="zeros", bias_initializer=gain
            ),
        ]
    )


@snas_keras.search_space
def widths(choose, blocks=8):
    """The sum of the gains: the dearest child is always the best."""
    x = inputs = keras.Input((4,))
    terms = [
        choose(f"block_{i}", {f"width_{w}": block(w) for w in WIDTHS})(x)
        for i in range(blocks)
    ]
    return inputs, keras.layers.Add()(terms)


@keras.saving.register_keras_serializable(package="test_limits")
def less_gain(y, y_pred):
    return -keras.ops.mean(y_pred)


def latency(layer, input_shape):
    """Seconds, in no simple proportion to the width."""
    del input_shape
    if isinstance(layer, keras.Sequential):
        return 1.7e-3 * layer.layers[0].units ** 0.7
    return 0.0


def searched(resource, epochs=8, blocks=5, **options):
    keras.utils.set_random_seed(0)
    supernet = snas_keras.build_supernet(widths(blocks=blocks))
    supernet.compile(
        keras.optimizers.SGD(0.0),
        keras.optimizers.Adam(0.05, beta_1=0.5),
        less_gain,
        resource=resource,
    )
    x, y = np.ones((512, 4), "float32"), np.zeros((512, 1), "float32")
    supernet.fit(
        x,
        y,
        batch_size=8,
        epochs=epochs,
        verbose=0,
        callbacks=[snas_keras.TemperatureSchedule("linear")],
        **options,
    )
    return supernet


@pytest.mark.slow
@pytest.mark.parametrize(
    ("cost", "limit"),
    [
        *(("parameters", "30%"), ("flops", "60%")),
        *((latency, "30%"), (latency, "60%")),
    ],
)
def test_the_child_keeps_the_limit_and_uses_it(cost, limit):
    """Without a limit the dearest child wins; with it the child is within, and
    no more than a twentieth below."""
    supernet = searched(snas_keras.Resource(cost, limit=limit), blocks=12)
    child_cost = costs_lib.ChildCost(supernet, cost)
    value = float(limit[:-1]) / 100.0 * child_cost.maximum
    found = child_cost(supernet.derive())
    assert 0.95 * value <= found <= value
    name = supernet.limits[0].resource.name
    history = supernet.history.history
    assert max(history[f"child_{name}"]) <= value * (1 + 1e-6)
    assert max(history[f"weight_{name}"]) > 10 * 0.1


def test_without_a_limit_the_dearest_child_wins():
    supernet = searched(None, epochs=4)
    assert set(supernet.derive().values()) == {"width_16"}


@pytest.mark.slow
def test_two_limits_are_kept_at_once():
    supernet = searched(
        [
            snas_keras.Resource("flops", limit="50%"),
            snas_keras.Resource(latency, limit="80%"),
            snas_keras.Resource("parameters", 0.0),
        ]
    )
    for cost, share in (("flops", 0.5), (latency, 0.8)):
        child_cost = costs_lib.ChildCost(supernet, cost)
        assert child_cost(supernet.derive()) <= share * child_cost.maximum


def compiled_with(resource):
    supernet = snas_keras.build_supernet(widths())
    supernet.compile(loss="mse", resource=resource)
    return supernet


def test_a_limit_below_the_cheapest_child_is_refused():
    cost = costs_lib.ChildCost(snas_keras.build_supernet(widths()), "flops")
    message = re.escape(f"The cheapest costs {cost.minimum:,.6g}")
    with pytest.raises(ValueError, match=message):
        compiled_with(snas_keras.Resource("flops", limit=cost.minimum - 1))
    supernet = compiled_with(snas_keras.Resource("flops", limit=cost.minimum))
    assert supernet.limits[0].share == pytest.approx(8.0**-8)


def test_the_share_of_the_space_is_noted(caplog):
    with caplog.at_level(logging.INFO, "snas_keras"):
        supernet = compiled_with(snas_keras.Resource("flops", limit="60%"))
    share = 100.0 * supernet.limits[0].share
    assert f"{share:.3g} % of all children are within" in caplog.text


def test_the_weight_moves_as_the_formula_says():
    """One step by hand, from uniform logits, too dear and with room."""
    for share in ("60%", "95%"):
        _check_one_step(share)


def _check_one_step(share):
    supernet = compiled_with(
        snas_keras.Resource("flops", weight=0.3, limit=share, rate=0.1)
    )
    limit, architecture = supernet.limits[0], supernet.architecture
    rows = [np.array(r) for r in limit.cost.rows.values()]
    expected = limit.cost.fixed + sum(row.mean() for row in rows)
    mode = limit.cost.fixed + sum(row[0] for row in rows)
    value = float(share[:-1]) / 100 * limit.cost.maximum
    span = min(value, limit.cost.maximum - limit.cost.minimum)
    aim = value - 0.01 * span
    excess = np.clip(10 * (max(expected, mode) - aim) / span, -0.4, 1)
    assert float(limit.moved(0.3, architecture)) == pytest.approx(
        0.3 * np.exp(0.1 * excess), rel=1e-5
    )
    assert float(limit.applied(0.3, architecture)) == pytest.approx(
        0.3 * np.exp(np.clip(50 * (expected - aim) / span, -3, 3)), rel=1e-4
    )


def test_the_weight_survives_a_file(tmp_path):
    supernet = searched(snas_keras.Resource("flops", limit="30%"), epochs=1)
    weights = supernet.resource_weights.numpy()
    assert weights[0] > 0.1
    supernet.save(tmp_path / "search.keras")
    loaded = keras.models.load_model(tmp_path / "search.keras", compile=False)
    np.testing.assert_array_equal(loaded.resource_weights, weights)


@pytest.mark.parametrize(
    "limit",
    [0.0, -1.0, float("inf"), "0%", "101%", "half", "%", True, np.ones(1)],
    ids=str,
)
def test_bad_limits_are_refused(limit):
    with pytest.raises(ValueError, match="`limit` must be"):
        snas_keras.Resource("flops", limit=limit)


def test_bad_weights_and_rates_are_refused():
    with pytest.raises(ValueError, match="`weight` must be"):
        snas_keras.Resource("flops")
    with pytest.raises(ValueError, match="above zero under a limit"):
        snas_keras.Resource("flops", 0.0, limit="50%")
    for rate in (0.0, 1.5):
        with pytest.raises(ValueError, match="`rate` must be"):
            snas_keras.Resource("flops", limit="50%", rate=rate)
    with pytest.raises(ValueError, match="At most 8 resources"):
        compiled_with(
            [
                snas_keras.Resource("flops", 0.1, name=f"cost_{i}")
                for i in range(9)
            ]
        )


def test_the_config_has_the_limit():
    resource = snas_keras.Resource("flops", limit="60%", rate=0.05)
    again = snas_keras.Resource.from_config(resource.get_config())
    assert (again.limit, again.rate, again.weight) == ("60%", 0.05, 0.1)
    assert "limit='60%'" in repr(again)


def test_where_children_hardly_differ_the_scale_is_what_they_differ_by():
    """A dear fixed part: the limit lies half-way between cheapest and dearest,
    one part in a thousand above the aim. It must be kept all the same."""

    def mostly_fixed(layer, input_shape):
        is_block = isinstance(layer, keras.Sequential)
        return latency(layer, input_shape) if is_block else 10.0

    plain = snas_keras.build_supernet(widths(blocks=5))
    cost = costs_lib.ChildCost(plain, mostly_fixed)
    assert cost.maximum < 1.01 * cost.minimum
    limit = (cost.minimum + cost.maximum) / 2
    supernet = searched(snas_keras.Resource(mostly_fixed, limit=limit))
    found = cost(supernet.derive())
    span = cost.maximum - cost.minimum
    assert limit - 0.2 * span <= found <= limit


def limited(logits, limits):
    """A compiled supernet with planted logits: {choice: {width: logit}}."""
    supernet = snas_keras.build_supernet(widths())
    supernet.compile(
        loss="mse",
        resource=[snas_keras.Resource(c, limit=v) for c, v in limits.items()],
    )
    for name, row in logits.items():
        value = [row.get(w, -5.0) for w in WIDTHS]
        supernet.architecture.logits[name].assign(value)
    return supernet


def swinging():
    """All blocks like 16 most, then 12; three hardly care."""
    doubtful = {16: 2.0, 12: 1.9}
    certain = {16: 2.0, 12: 0.0}
    return {
        f"block_{i}": doubtful if i in (1, 4, 6) else certain for i in range(8)
    }


def test_where_the_mode_is_too_dear_the_child_is_the_likeliest_within():
    """Against all children, by their joint probability: the doubtful blocks
    give way, as many as need to."""
    free = limited(swinging(), {"flops": "100%"})
    cost = costs_lib.ChildCost(free, "flops")
    assert set(free.derive().values()) == {"width_16"}
    dearest = cost.maximum
    for share, give_way in (("97%", 1), ("95%", 2), ("91%", 3)):
        supernet = limited(swinging(), {"flops": share})
        limit = float(share[:-1]) / 100 * dearest
        found = supernet.derive()
        ranked = supernet.architecture.distribution().top_k(500)
        best = max(p for g, p in ranked if cost(g) <= limit)
        assert cost(supernet.derive("mode")) > limit >= cost(found)
        changed = [name for name, w in found.items() if w != "width_16"]
        log_p = supernet.architecture.distribution().log_prob(found)
        # Equal blocks pay the same, so they give way together.
        assert give_way <= len(changed) <= 3
        assert best >= log_p > best - 0.3


def test_a_child_within_is_what_the_supernet_answers_and_converts_to():
    x = np.ones((2, 4), "float32")
    supernet = limited(swinging(), {"flops": "91%", latency: "95%"})
    for name, cost in (("flops", "flops"), ("latency", latency)):
        child_cost = costs_lib.ChildCost(supernet, cost)
        [kept] = [v for v in supernet.limits if v.resource.name == name]
        assert child_cost(supernet.derive()) <= kept.value
    child = snas_keras.convert(supernet)
    np.testing.assert_array_equal(child(x), supernet(x))
    tensor = keras.ops.convert_to_tensor(x)
    mode = supernet.network([tensor, supernet.architecture.mode()])
    assert np.abs(child(x) - mode).max() > 1e-3
    given = supernet.evaluate(
        *(x, x[:, :1]), weights=supernet.derive(), verbose=0
    )
    assert supernet.evaluate(x, x[:, :1], verbose=0) == given


def test_a_loaded_supernet_keeps_its_limits(tmp_path):
    supernet = limited(swinging(), {"flops": "91%"})
    supernet.save(tmp_path / "search.keras")
    loaded = keras.models.load_model(tmp_path / "search.keras")
    assert loaded.derive() == supernet.derive()
    assert loaded.derive() != loaded.derive("mode")


def test_limits_that_exclude_each_other_give_the_cheapest():
    """Each can be kept, both cannot: small is slow, and large is quick."""

    def slow(layer, input_shape):
        is_block = isinstance(layer, keras.Sequential)
        return 20.0 - layer.layers[0].units if is_block else 0.0

    supernet = limited(swinging(), {"parameters": "20%", slow: "30%"})
    costs = [costs_lib.ChildCost(supernet, c) for c in ("parameters", slow)]
    values = [limit.value for limit in supernet.limits]
    found = [cost(supernet.derive()) for cost in costs]
    assert any(f > v for f, v in zip(found, values, strict=True))
    assert len(set(supernet.derive().values())) == 1


def planted_cost(rows, fixed=0.0):
    """Return the cost of children with these rows, as `ChildCost` has them."""
    cost = costs_lib.ChildCost.__new__(costs_lib.ChildCost)
    cost.name, cost.fixed = "parameters", fixed
    cost.rows = {name: np.array(row, float) for name, row in rows.items()}
    cost.choices = {n: tuple("abcd"[: len(r)]) for n, r in rows.items()}
    return cost


def architecture_with(logits):
    choices = {name: "abcd"[: len(row)] for name, row in logits.items()}
    architecture = snas_keras.Architecture(choices)
    for name, row in logits.items():
        architecture.logits[name].assign(row)
    return architecture


def within(architecture, *limits):
    mode = supernet_lib.mode_within(architecture, list(limits))
    return {n: "abcd"[int(np.argmax(w))] for n, w in mode.items()}


def test_a_limit_at_the_cheapest_child_gives_the_cheapest_child():
    """Whatever the logits, and however small a candidate's share."""
    architecture = architecture_with({"big": [3.0, 0.0], "small": [8.0, 0.0]})
    cost = planted_cost({"big": [2e7, 0.0], "small": [64.0, 0.0]}, fixed=2e7)
    limit = supernet_lib.Limit(snas_keras.Resource("flops", limit=2e7), cost)
    assert within(architecture, limit) == {"big": "b", "small": "b"}


def test_room_that_a_limit_leaves_is_given_to_the_choices_that_gain_most():
    """Equal blocks give way together; most of them can then come back."""
    names = [f"block_{i}" for i in range(8)]
    architecture = architecture_with(
        {n: [1.0 + 0.01 * i, 0.0] for i, n in enumerate(names)}
    )
    cost = planted_cost({n: [100.0, 0.0] for n in names})
    limit = supernet_lib.Limit(snas_keras.Resource("flops", limit=310.0), cost)
    chosen = within(architecture, limit)
    assert [n for n, c in chosen.items() if c == "a"] == names[-3:]


@pytest.mark.parametrize("seed", range(5))
def test_no_likelier_candidate_fits_into_what_is_left(seed):
    """Of random choices of different sizes, under two limits."""
    generator = np.random.default_rng(seed)
    sizes = {f"c{i}": int(generator.integers(2, 5)) for i in range(6)}
    logits = {n: generator.normal(size=k) for n, k in sizes.items()}
    architecture = architecture_with(logits)
    costs, limits = [], []
    for name in ("one", "two"):
        rows = {n: generator.integers(0, 50, k) for n, k in sizes.items()}
        cost = planted_cost(rows, fixed=10.0)
        resource = snas_keras.Resource("flops", name=name, limit="75%")
        costs.append(cost)
        limits.append(supernet_lib.Limit(resource, cost))
    chosen = within(architecture, *limits)
    assert is_within(chosen, costs, limits)
    for name, size in sizes.items():
        own = logits[name]["abcd".index(chosen[name])]
        for k in range(size):
            if logits[name][k] > own:
                likelier = {**chosen, name: "abcd"[k]}
                assert not is_within(likelier, costs, limits)


def is_within(genotype, costs, limits):
    pairs = zip(costs, limits, strict=True)
    return all(cost(genotype) <= limit.value for cost, limit in pairs)


def test_every_limit_counts_not_only_the_first():
    architecture = architecture_with({"a": [2.0, 0.0], "b": [4.0, 0.0]})
    first = planted_cost({"a": [1.0, 0.0], "b": [0.0, 0.0]})
    second = planted_cost({"a": [0.0, 0.0], "b": [1.0, 0.0]})
    limits = [
        supernet_lib.Limit(snas_keras.Resource("flops", limit=0.5), cost)
        for cost in (first, second)
    ]
    assert within(architecture, *limits) == {"a": "b", "b": "b"}
    assert within(architecture, limits[0]) == {"a": "b", "b": "a"}


def test_what_is_fixed_counts_towards_a_limit():
    architecture = architecture_with({"a": [2.0, 0.0]})
    cost = planted_cost({"a": [10.0, 1.0]}, fixed=100.0)
    limit = supernet_lib.Limit(snas_keras.Resource("flops", limit=105.0), cost)
    assert within(architecture, limit) == {"a": "b"}


def test_rounding_is_not_above_a_limit():
    """0.1 + 0.2 is more than 0.3 in floating point."""
    architecture = architecture_with({"a": [2.0, 0.0], "b": [2.0, 0.0]})
    cost = planted_cost({"a": [0.1, 0.0], "b": [0.2, 0.0]})
    limit = supernet_lib.Limit(snas_keras.Resource("flops", limit=0.3), cost)
    assert within(architecture, limit) == {"a": "a", "b": "a"}
    dearest = planted_cost({"a": [0.1, 0.1], "b": [0.2, 0.3]})
    resource = snas_keras.Resource("flops", limit=0.3)
    assert supernet_lib.Limit(resource, dearest).value == 0.3


def test_the_aim_is_not_below_the_cheapest_child():
    """Below it the weight would rise for ever."""
    cost = planted_cost({"a": [100.0, 0.0]}, fixed=1000.0)
    resource = snas_keras.Resource("flops", limit=1000.1)
    assert supernet_lib.Limit(resource, cost).aim == 1000.0


def test_the_mode_above_the_limit_raises_the_weight_where_the_mean_is_below():
    cost = planted_cost({"a": [100.0, 0.0, 0.0]})
    architecture = architecture_with({"a": [0.1, 0.0, 0.0]})
    limit = supernet_lib.Limit(snas_keras.Resource("flops", limit=50.0), cost)
    assert float(limit.expected(architecture)) < 40.0
    assert float(limit.moved(0.1, architecture)) > 0.1


def test_the_weight_stays_within_bounds():
    cost = planted_cost({"a": [100.0, 0.0]})
    dear, cheap = (architecture_with({"a": [x, 0.0]}) for x in (30.0, -30.0))
    resource = snas_keras.Resource("flops", weight=0.1, limit=50.0, rate=1.0)
    limit = supernet_lib.Limit(resource, cost)
    assert float(limit.moved(999.0, dear)) == pytest.approx(1000.0)
    assert float(limit.moved(1.1e-5, cheap)) == pytest.approx(1e-5)


def test_weights_move_by_the_logits_that_the_step_left():
    cost = costs_lib.ChildCost(snas_keras.build_supernet(widths()), "flops")
    even = {name: np.full(len(row), 1 / 8) for name, row in cost.rows.items()}
    # Where the weight moves in proportion to the excess.
    limit = cost.expected(even) + 0.02 * (cost.maximum - cost.minimum)
    supernet = compiled_with(snas_keras.Resource("flops", limit=limit))
    for optimizer in supernet.optimizer.optimizers:
        optimizer.learning_rate = 0.1
    first = float(supernet.resource_weights[0])
    [limit] = supernet.limits
    before = float(limit.moved(first, supernet.architecture))
    x, y = np.ones((8, 4), "float32"), np.zeros((8, 1), "float32")
    supernet.train_on_batch(x, y)
    after = float(limit.moved(first, supernet.architecture))
    assert abs(after - before) > 1e-4
    assert float(supernet.resource_weights[0]) == pytest.approx(after)


def test_a_supernet_loaded_without_compiling_keeps_its_limits(tmp_path):
    supernet = limited(swinging(), {"flops": "91%"})
    supernet.save(tmp_path / "search.keras")
    loaded = keras.models.load_model(tmp_path / "search.keras", compile=False)
    assert loaded.derive() == supernet.derive() != loaded.derive("mode")
    x = np.ones((2, 4), "float32")
    np.testing.assert_array_equal(loaded(x), supernet(x))
