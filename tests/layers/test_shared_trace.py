"""Edges alike share one trace, each with its own variables and state."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import snas_keras
from snas_keras import layers
from tests import processes

X = np.random.default_rng(0).normal(size=(4, 6, 6, 2)).astype("float32")
WEIGHTS = np.float32([0.5, 0.2, 0.3])


@keras.saving.register_keras_serializable(package="snas_keras_tests")
class CountsTraces(keras.layers.Layer):
    """Passes its input on; counts how often Python runs it."""

    calls = 0

    def call(self, inputs):
        CountsTraces.calls += 1
        return inputs


@keras.saving.register_keras_serializable(package="snas_keras_tests")
class AddsLoss(keras.layers.Layer):
    def call(self, inputs):
        self.add_loss(tf.reduce_sum(inputs))
        return inputs


@keras.saving.register_keras_serializable(package="snas_keras_tests")
class HasTable(keras.layers.Layer):
    """Uses a tensor that is not in its config."""

    tables = iter(range(1, 100))

    def build(self, input_shape):
        self.table = tf.constant(float(next(self.tables)))

    def call(self, inputs):
        return inputs * self.table


def edge(third, seed, single_path=False):
    keras.utils.set_random_seed(seed)
    candidates = {
        "conv": snas_keras.OPERATIONS["sep_conv_3x3"](2),
        "drop": keras.layers.Dropout(0.5, seed=seed),
        "third": third,
    }
    if single_path:
        candidates["drop"] = keras.layers.Identity()
    made = layers.MixedEdge(candidates, single_path=single_path)
    made.build(X.shape, (3,))
    return made


def run(pair, share, weights=WEIGHTS, recompute=False):
    """Outputs, gradients and state of two edges in one graph."""
    if share:
        layers.share_traces(pair, recompute)

    @tf.function
    def step(x, w):
        with tf.GradientTape() as tape:
            tape.watch([x, w])
            y = x
            for one in pair:
                y = one(y, w, training=True)
            loss = tf.reduce_sum(y**2)
        variables = [v.value for one in pair for v in one.trainable_variables]
        return y, tape.gradient(
            loss, [x, w, *variables], unconnected_gradients="zero"
        )

    y, gradients = step(tf.constant(X), tf.constant(weights))
    state = [np.array(v) for one in pair for v in one.non_trainable_variables]
    return [np.array(v) for v in (y, *gradients, *state)]


def assert_same(a, b):
    for one, other in zip(a, b, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("recompute", [False, True])
def test_shared_equals_not_shared(recompute):
    """Also the moving statistics and the random state of Dropout, once."""

    def pair():
        # One seed: the configs must be equal.
        return [edge(snas_keras.OPERATIONS["max_pool_3x3"](2), 7) for _ in "ab"]

    shared = pair()
    assert_same(run(pair(), False), run(shared, True, recompute=recompute))
    assert shared[0].trace is shared[1].trace
    assert shared[0].trace.is_pure


@pytest.mark.parametrize("chosen", range(3))
def test_shared_single_path_equals_not_shared(chosen):
    weights = np.eye(3, dtype="float32")[chosen]

    def pair():
        return [
            edge(snas_keras.OPERATIONS["max_pool_3x3"](2), 7, True)
            for _ in "ab"
        ]

    assert_same(run(pair(), False, weights), run(pair(), True, weights))


def test_a_second_edge_is_not_traced_again():
    counts = []
    for share in (False, True):
        pair = [edge(CountsTraces(), 7) for _ in "abcd"]
        CountsTraces.calls = 0
        run(pair, share)
        counts.append(CountsTraces.calls)
    assert counts[0] == 4
    assert counts[1] == 1


@pytest.mark.parametrize("third", [AddsLoss, HasTable])
def test_what_is_not_pure_is_not_shared(third):
    pair = [edge(third(), 7) for _ in "ab"]
    run(pair, True)
    assert not pair[0].trace.is_pure
    if third is AddsLoss:
        assert len(pair[1].losses) == 1


def test_tables_of_each_layer_are_its_own():
    """y = 1/2 conv + ..., with weight on the third candidate alone."""
    pair = [edge(HasTable(), 7) for _ in "ab"]
    tables = [float(one.candidates["third"].table) for one in pair]
    y = run(pair, True, np.float32([0.0, 0.0, 1.0]))[0]
    np.testing.assert_allclose(y, X * tables[0] * tables[1], rtol=1e-6)
    assert tables[0] != tables[1]


def _times(number):
    def times(x):
        return x * number

    return times


class Hides(keras.layers.Layer):
    """Keeps a number that its config does not name."""

    def __init__(self, number):
        super().__init__()
        self.number = number

    def call(self, inputs):
        return inputs * self.number

    def get_config(self):
        return {}


@pytest.mark.parametrize(
    "third",
    [
        lambda n: keras.layers.Activation(_times(n)),
        lambda n: keras.layers.Lambda(lambda x: x * n),
        Hides,
    ],
)
def test_layers_of_equal_configs_and_other_code_compute_their_own(third):
    """y = x * 2 * 3 with weight on the third candidate alone."""
    pair = [edge(third(n), 7) for n in (2.0, 3.0)]
    y = run(pair, True, np.float32([0.0, 0.0, 1.0]))[0]
    np.testing.assert_allclose(y, X * 6.0, rtol=1e-6)


def test_tied_candidates_do_not_share_with_those_that_are_not():
    """One layer twice, and two layers alike: y = x (w/2 + w/2) and so on."""
    x = np.float32([[1.0, 2.0]])
    pair = []
    for is_tied in (True, False):
        first = keras.layers.Dense(2, use_bias=False)
        second = first if is_tied else keras.layers.Dense(2, use_bias=False)
        one = layers.MixedEdge({"a": first, "b": second})
        one(x, np.float32([0.5, 0.5]))
        pair.append(one)
    layers.share_traces(pair)
    assert pair[0].trace is not pair[1].trace

    @tf.function
    def step(x, w):
        return [one(x, w) for one in pair]

    for one, y in zip(pair, step(x, np.float32([0.5, 0.5])), strict=True):
        kernels = [np.array(c.kernel) for c in one.candidates.values()]
        np.testing.assert_allclose(y, x @ sum(kernels) / 2, rtol=1e-5)


def test_layers_of_other_configs_do_not_share():
    first = edge(keras.layers.Rescaling(1.0), 7)
    second = edge(keras.layers.Rescaling(2.0), 7)
    layers.share_traces([first, second])
    assert first.trace is not second.trace


def test_the_papers_cells_have_five_kinds_of_edge():
    space = snas_keras.SEARCH_SPACES["snas_cifar"](cells=3, channels=4)
    supernet = snas_keras.build_supernet(space)
    mixed = layers.mixed_edges(supernet.network)
    assert len(mixed) == 42
    assert len({id(one.trace) for one in mixed}) == 5


def test_a_loaded_compiled_supernet_shares_as_the_built_one(tmp_path):
    space = snas_keras.SEARCH_SPACES["digits"](filters=2)
    supernet = snas_keras.build_supernet(space)
    supernet.compile(loss="mse")
    supernet.save(tmp_path / "search.keras")
    loaded = keras.models.load_model(tmp_path / "search.keras")
    for one in (supernet, loaded):
        mixed = layers.mixed_edges(one.network)
        assert len(mixed) == 3
        assert len({id(edge.trace) for edge in mixed}) == 1


def test_layers_that_compute_in_other_types_do_not_share():
    first = edge(keras.layers.Rescaling(1.0, dtype="float32"), 7)
    second = edge(keras.layers.Rescaling(1.0, dtype="mixed_bfloat16"), 7)
    layers.share_traces([first, second])
    assert first.trace is not second.trace


@pytest.mark.usefixtures("optimized_graphs")
def test_step_uses_the_shared_trace_under_mixed_precision():
    """Batch norm must see float32 scales, not values cast there and back."""
    pairs = []
    for share in (False, True):
        keras.config.set_dtype_policy("mixed_bfloat16")
        try:
            pair = [
                edge(snas_keras.OPERATIONS["max_pool_3x3"](2), 7) for _ in "ab"
            ]
        finally:
            keras.config.set_dtype_policy("float32")
        for one in pair:
            for v in one.trainable_variables:
                v.assign(v + 1e-3)
        pairs.append(run(pair, share))
    # The two graphs are expanded to the same kernels.
    assert_same(*pairs)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("estimator", "recompute"),
    [("relaxed", False), ("relaxed", True), ("single_path", False)],
)
def test_xla_compiles_a_search_once(tmp_path, estimator, recompute):
    """Not once a step: what the forward pass hands to the gradient as a
    constant must not look variable."""
    script = processes.ROOT / "tests" / "scripts" / "xla_search.py"
    dump = f"--xla_dump_to={tmp_path} --xla_dump_hlo_as_text"
    processes.run(script, estimator, recompute, XLA_FLAGS=dump)
    compiled = tmp_path.glob("*one_step*before_optimizations.txt")
    assert len(list(compiled)) == 1
