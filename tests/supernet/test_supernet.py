"""The training step of the supernet, and all that Keras users rely on."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import snas_keras
from snas_keras import estimators
from snas_keras.layers import _mixed_edge

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def weights_of(model):
    return [v.numpy() for v in model.trainable_variables]


def assert_equal(first, second):
    for a, b in zip(first, second, strict=True):
        np.testing.assert_array_equal(a, b)


def one_edge_space():
    @snas_keras.search_space
    def one_edge(choose):
        inputs = keras.Input((3,))
        options = {"use_bias": False, "kernel_initializer": "ones"}
        edge = choose(
            "edge",
            {
                "dense": keras.layers.Dense(1, **options),
                "half": keras.layers.Dense(
                    1, use_bias=False, kernel_initializer="zeros"
                ),
            },
        )
        return inputs, edge(inputs)

    return one_edge()


def test_three_steps_equal_a_numpy_reference():
    """y = z_0 x theta_0 + z_1 x theta_1 with squared loss and a linear
    resource on the parameters; plain SGD on weights and logits. Float32
    against float64 over three steps: 1e-6."""
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    y = np.random.default_rng(1).normal(size=(8, 1)).astype("float32")
    cost = _planted_cost
    supernet = snas_keras.build_supernet(one_edge_space(), temperature=0.7)
    supernet.compile(
        keras.optimizers.SGD(0.1),
        keras.optimizers.SGD(0.5),
        "mse",
        resource=snas_keras.Resource(cost, 0.3),
    )
    losses = [
        supernet.train_on_batch(x, y, return_dict=True)["loss"]
        for _ in range(3)
    ]

    theta = [np.ones((3, 1)), np.zeros((3, 1))]
    logits, share = np.zeros(2), np.array([1.0, 0.25])
    wanted = []
    for step in range(3):
        seed = estimators.fold_seed(0, step, 2)
        g = _gumbel(seed)
        z = _softmax((logits + g) / 0.7)
        p = _softmax(logits)
        outputs = [x @ t for t in theta]
        error = z[0] * outputs[0] + z[1] * outputs[1] - y
        wanted.append((error**2).mean() + 0.3 * (p @ share))
        d_y = 2 * error / 8
        q = np.array([(d_y * o).sum() for o in outputs])
        d_logits = z * (q - z @ q) / 0.7 + 0.3 * p * (share - p @ share)
        theta = [
            t - 0.1 * weight * x.T @ d_y
            for t, weight in zip(theta, z, strict=True)
        ]
        logits = logits - 0.5 * d_logits
    edge = _mixed_edge.mixed_edges(supernet.network)[0]
    for found, t in zip(edge.candidates.values(), theta, strict=True):
        np.testing.assert_allclose(found.kernel, t, atol=1e-6)
    np.testing.assert_allclose(
        supernet.architecture.logits["edge"], logits, atol=1e-6
    )
    np.testing.assert_allclose(losses, wanted, atol=1e-6)


def _planted_cost(layer, input_shape):
    del input_shape
    return 4.0 if layer.kernel_initializer.__class__.__name__ == "Ones" else 1.0


def _softmax(x):
    powers = np.exp(x - x.max())
    return powers / powers.sum()


def _gumbel(seed):
    """The noise behind a draw: at temperature one, log z = g + constant."""
    rows = tf.zeros((1, 2), "float32")
    z = estimators.relaxed(rows, tf.constant(1.0), seed).numpy()[0]
    return np.log(z.astype("float64"))


@pytest.mark.parametrize("form", ["linear", "log"])
@pytest.mark.parametrize("gradient", ["expected", "pathwise"])
def test_step_moves_logits_by_the_gradient_of_the_total_loss(
    dense_space, features, compiled, form, gradient
):
    """With SGD of rate 1 the logits move by minus the gradient; compared with
    central differences of the whole loss (step 1e-2 in float32: 2e-3)."""
    x, y = features
    supernet = compiled(
        dense_space,
        optimizer=keras.optimizers.SGD(0.0),
        architecture_optimizer=keras.optimizers.SGD(1.0),
        resource=snas_keras.Resource(
            _cost_by_activation, 5.0, form=form, gradient=gradient
        ),
    )
    logits = supernet.architecture.logits["block_1"]
    start = logits.numpy()
    values = []
    for direction in np.eye(3, dtype="float32"):
        ends = []
        for sign in (1, -1):
            logits.assign(start + sign * 1e-2 * direction)
            ends.append(_total_loss(supernet, x, y))
        values.append((ends[0] - ends[1]) / 2e-2)
    logits.assign(start)
    supernet.train_on_batch(x, y)
    np.testing.assert_allclose(start - logits.numpy(), values, atol=2e-3)
    assert np.abs(values).max() > 0.05


def _cost_by_activation(layer, input_shape):
    del input_shape
    return {"relu": 50.0, "tanh": 10.0, "linear": 2.0}[
        layer.activation.__name__
    ]


def _total_loss(supernet, x, y):
    z = supernet.architecture.sample(supernet.step)
    y_pred = supernet.network([tf.constant(x), z], training=True)
    penalty = supernet.penalties.loss(supernet.architecture, z, 0)
    return float(LOSS(y, y_pred) + penalty)


def test_resource_gradient_has_the_right_direction_under_the_score_function(
    dense_space, features, compiled
):
    """A large weight drives the logits to the cheapest candidate."""
    supernet = compiled(
        dense_space,
        architecture_optimizer=keras.optimizers.Adam(0.1),
        resource=snas_keras.Resource(
            _cost_by_activation, 50.0, gradient="score_function"
        ),
    )
    supernet.fit(*features, batch_size=16, epochs=20, verbose=0)
    assert set(supernet.derive().values()) == {"linear"}


@pytest.mark.parametrize("gradient", ["expected", "pathwise"])
def test_a_large_resource_weight_picks_the_cheapest_candidate(
    dense_space, features, compiled, gradient
):
    supernet = compiled(
        dense_space,
        architecture_optimizer=keras.optimizers.Adam(0.1),
        resource=snas_keras.Resource(
            _cost_by_activation, 50.0, gradient=gradient
        ),
    )
    supernet.fit(*features, batch_size=16, epochs=10, verbose=0)
    assert set(supernet.derive().values()) == {"linear"}


@pytest.mark.parametrize("seed", range(5))
def test_search_finds_the_planted_winner(seed):
    """Identity against zero on data that the identity solves: p > 0.95 within
    200 steps for every one of five seeds."""

    @snas_keras.search_space
    def planted(choose):
        inputs = keras.Input((2,))
        x = choose(
            "edge",
            {
                "zero": snas_keras.OPERATIONS["none"](2),
                "identity": keras.layers.Identity(),
            },
        )(inputs)
        return inputs, x

    supernet = snas_keras.build_supernet(planted(), seed=seed)
    supernet.compile("sgd", keras.optimizers.Adam(0.1), "mse")
    x = np.random.default_rng(seed).normal(size=(1600, 2)).astype("float32")
    supernet.fit(x, x, batch_size=8, epochs=1, verbose=0)
    assert float(supernet.architecture.probabilities()["edge"][1]) > 0.95


def test_weights_and_logits_have_no_variable_in_common(tiny_space, compiled):
    supernet = compiled(tiny_space)
    network = {id(v) for v in supernet.network.trainable_variables}
    logits = {id(v) for v in supernet.architecture.trainable_variables}
    assert not network & logits
    assert len(network | logits) == len(supernet.trainable_variables)


@pytest.mark.parametrize("frozen", ["weights", "logits"])
def test_each_optimizer_moves_only_its_own(
    tiny_space, images, compiled, frozen
):
    """Learning rate 0 leaves a part as it was, to the last bit."""
    rates = {"weights": (0.0, 0.1), "logits": (0.1, 0.0)}[frozen]
    supernet = compiled(
        tiny_space,
        optimizer=keras.optimizers.SGD(rates[0]),
        architecture_optimizer=keras.optimizers.SGD(rates[1]),
    )
    parts = {"weights": supernet.network, "logits": supernet.architecture}
    before = {name: weights_of(part) for name, part in parts.items()}
    supernet.fit(*images, batch_size=8, verbose=0)
    moved = {
        name: any(
            not np.array_equal(a, b)
            for a, b in zip(weights_of(part), before[name], strict=True)
        )
        for name, part in parts.items()
    }
    assert moved == {
        "weights": frozen == "logits",
        "logits": frozen != "logits",
    }


def test_weight_decay_and_regularizers_never_touch_the_logits(features):
    @snas_keras.search_space
    def regularized(choose):
        inputs = keras.Input((6,))
        layer = keras.layers.Dense(3, kernel_regularizer="l2")
        return inputs, choose("a", {"x": layer})(inputs)

    supernet = snas_keras.build_supernet(regularized())
    supernet.architecture.logits["a"].assign([2.0])
    supernet.compile(
        keras.optimizers.SGD(0.1, weight_decay=0.1),
        keras.optimizers.SGD(0.1),
        LOSS,
    )
    kernel = supernet.network.trainable_variables[0]
    before = kernel.numpy()
    supernet.fit(*features, verbose=0)
    np.testing.assert_array_equal(supernet.architecture.logits["a"], [2.0])
    assert not np.array_equal(kernel, before)


def test_nothing_is_traced_again_while_the_temperature_changes(
    dense_space, features, compiled
):
    traces = []

    class Counted(keras.losses.Loss):
        def call(self, y_true, y_pred):
            traces.append(1)
            return LOSS(y_true, y_pred)

    supernet = compiled(dense_space, loss=Counted())
    temperatures = []
    record = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda *_: temperatures.append(
            float(supernet.architecture.temperature)
        )
    )
    supernet.fit(
        *features,
        epochs=3,
        verbose=0,
        callbacks=[snas_keras.TemperatureSchedule(), record],
    )
    wanted = [0.03 + 0.97 * (1 - e / 3) for e in (1, 2, 3)]
    np.testing.assert_allclose(temperatures, wanted, rtol=1e-5)
    assert len(traces) == 1


def test_logs_are_the_means_of_an_epoch(dense_space, features, compiled):
    """With frozen variables every step's values are known."""
    supernet = compiled(
        dense_space,
        optimizer=keras.optimizers.SGD(0.0),
        architecture_optimizer=keras.optimizers.SGD(0.0),
        estimator="softmax",
        metrics=["accuracy"],
        resource=[
            snas_keras.Resource(_cost_by_activation, 3.0, name="own"),
            snas_keras.Resource("parameters", 0.5),
        ],
    )
    logs = supernet.fit(*features, batch_size=16, verbose=0).history
    weights = supernet.architecture.probabilities()
    y_pred = supernet.network([tf.constant(features[0]), weights])
    task = float(LOSS(features[1], y_pred))
    # Mean cost 62 / 3 of two choices, dearest 50 each.
    resource = 3.0 * 2 * (62 / 3) / 100 + 0.5
    wanted = {
        "task_loss": task,
        "resource_loss": resource,
        "loss": task + resource,
        "architecture_entropy": np.log(3),
        # With the last layer, which is fixed.
        "expected_own": 2 * 62 / 3 + 2,
        "expected_parameters": 28 + 20 + 15,
    }
    for name, value in wanted.items():
        np.testing.assert_allclose(logs[name], [value], rtol=1e-4)
    assert set(logs) == {*wanted, "accuracy"}


def test_evaluate_reports_the_mode_without_the_search_logs(
    tiny_space, images, compiled
):
    supernet = compiled(tiny_space, metrics=["accuracy"])
    supernet.fit(*images, verbose=0)
    logs = supernet.evaluate(*images, verbose=0, return_dict=True)
    assert set(logs) == {"loss", "accuracy"}
    child = snas_keras.convert(supernet)
    child.compile(loss=LOSS, metrics=["accuracy"])
    wanted = child.evaluate(*images, verbose=0, return_dict=True)
    assert logs == wanted
    np.testing.assert_array_equal(
        supernet.predict(images[0], verbose=0),
        child.predict(images[0], verbose=0),
    )


def test_evaluate_under_given_weights(tiny_space, images, compiled):
    supernet = compiled(tiny_space)
    genotype = tiny_space.random_genotype(5)
    child = snas_keras.convert(supernet, genotype)
    child.compile(loss=LOSS)
    wanted = child.evaluate(*images, verbose=0)
    mode = supernet.evaluate(*images, verbose=0)
    weights = supernet.architecture.one_hot(genotype)
    for given in (genotype, weights):
        found = supernet.evaluate(*images, verbose=0, weights=given)
        assert found == pytest.approx(wanted, abs=1e-6)
    assert supernet.evaluate(*images, verbose=0) == mode


def test_evaluate_sampled_draws_anew_for_each_batch(
    tiny_space, images, compiled
):
    supernet = compiled(tiny_space)
    x, y = images
    found = supernet.evaluate(x, y, batch_size=16, weights="sample", verbose=0)
    losses = []
    for batch in range(2):
        z = supernet.architecture.sample(-1 - batch)
        rows = slice(16 * batch, 16 * batch + 16)
        y_pred = supernet.network([tf.constant(x[rows]), z], training=False)
        losses.append(float(LOSS(y[rows], y_pred)))
    assert found == pytest.approx(np.mean(losses), rel=1e-5)
    assert losses[0] != losses[1]


def test_evaluate_refuses_weights_that_do_not_fit(tiny_space, images, compiled):
    supernet = compiled(tiny_space)
    with pytest.raises(ValueError, match="one entry for each choice"):
        supernet.evaluate(*images, weights={"left_0": [1, 0, 0]})


def test_sample_weights_and_class_weights_count(
    features, dense_space, compiled
):
    x, y = features
    class_weight = {0: 1.0, 1: 0.0, 2: 2.0}
    results = []
    for options in (
        {"sample_weight": np.float32([class_weight[k] for k in y])},
        {"class_weight": class_weight},
        {},
    ):
        supernet = compiled(dense_space)
        supernet.fit(x, y, batch_size=64, verbose=0, shuffle=False, **options)
        results.append(weights_of(supernet))
    for a, b in zip(results[0], results[1], strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)
    assert not np.allclose(results[0][0], results[2][0])


def test_added_losses_are_part_of_the_task_loss(features):
    @keras.saving.register_keras_serializable(package="test")
    class Penalised(keras.layers.Layer):
        def call(self, inputs):
            self.add_loss(7.0 + 0.0 * keras.ops.sum(inputs))
            return inputs

    @snas_keras.search_space
    def space(choose):
        inputs = keras.Input((6,))
        x = choose("a", {"x": keras.layers.Dense(3)})(inputs)
        return inputs, Penalised()(x)

    supernet = snas_keras.build_supernet(space())
    supernet.compile("sgd", "sgd", LOSS)
    logs = supernet.fit(*features, verbose=0).history
    assert logs["task_loss"][0] > 7.0


def test_steps_per_execution_gives_the_same_numbers(
    dense_space, features, compiled
):
    results = []
    for steps in (1, 4):
        supernet = compiled(dense_space, steps_per_execution=steps)
        supernet.fit(
            *features, batch_size=8, epochs=2, verbose=0, shuffle=False
        )
        results.append(weights_of(supernet))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def test_run_eagerly_gives_the_same_numbers(dense_space, features, compiled):
    results = []
    for eager in (False, True):
        supernet = compiled(dense_space, run_eagerly=eager)
        supernet.fit(*features, batch_size=32, verbose=0, shuffle=False)
        results.append(weights_of(supernet))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


def with_devices(monkeypatch, *kinds):
    devices = [tf.config.PhysicalDevice(f"/{kind}:0", kind) for kind in kinds]

    def listed(kind=None):
        return [d for d in devices if kind in (None, d.device_type)]

    monkeypatch.setattr(tf.config, "list_physical_devices", listed)


@pytest.mark.parametrize("kinds", [["CPU"], ["CPU", "GPU"]])
def test_xla_is_chosen_by_the_device_and_noted(
    kinds, monkeypatch, caplog, tiny_space, compiled
):
    with_devices(monkeypatch, *kinds)
    caplog.set_level("INFO", "snas_keras")
    supernet = compiled(tiny_space)
    assert supernet.jit_compile == ("GPU" in kinds)
    [record] = [r for r in caplog.records if "XLA" in r.message]
    assert record.levelname == "INFO"
    assert ("XLA is on" in record.message) == ("GPU" in kinds)


def test_xla_on_a_cpu_is_warned_of(monkeypatch, caplog, tiny_space, compiled):
    with_devices(monkeypatch, "CPU")
    compiled(tiny_space, jit_compile=True)
    assert [r.levelname for r in caplog.records if "XLA" in r.message] == [
        "WARNING"
    ]


def test_a_file_asks_the_device_that_loads_it(
    tmp_path, monkeypatch, tiny_space, compiled
):
    with monkeypatch.context() as context:
        with_devices(context, "CPU", "GPU")
        supernet = compiled(tiny_space)
        assert supernet.jit_compile
        supernet.save(tmp_path / "search.keras")
    loaded = keras.models.load_model(tmp_path / "search.keras")
    assert not loaded.jit_compile


@pytest.mark.slow
@pytest.mark.parametrize("estimator", sorted(snas_keras.ESTIMATORS))
def test_jit_compile_trains(tiny_space, images, compiled, estimator):
    supernet = compiled(tiny_space, estimator=estimator, jit_compile=True)
    assert supernet.jit_compile
    losses = supernet.fit(*images, batch_size=16, epochs=12, verbose=0).history[
        "loss"
    ]
    assert np.isfinite(losses).all()
    assert min(losses[6:]) < losses[0]


def test_clipping_bounds_the_step_of_either_optimizer(
    tiny_space, images, compiled
):
    """With SGD of rate 1 the whole step has at most the clipping norm."""
    supernet = compiled(
        tiny_space,
        optimizer=keras.optimizers.SGD(1.0, global_clipnorm=1e-3),
        architecture_optimizer=keras.optimizers.SGD(1.0, global_clipnorm=1e-4),
    )
    for part, bound in (
        (supernet.network, 1e-3),
        (supernet.architecture, 1e-4),
    ):
        before = weights_of(part)
        supernet.train_on_batch(*images)
        steps = [a - b for a, b in zip(weights_of(part), before, strict=True)]
        norm = np.sqrt(sum((s**2).sum() for s in steps))
        assert 0.9 * bound < norm < 1.1 * bound


def test_gradient_accumulation_applies_the_mean_of_its_steps(
    dense_space, features, compiled
):
    """Two accumulated half batches move what one of both together moves,
    when both draw the same: the softmax estimator draws nothing."""
    x, y = features
    results = []
    for batch, accumulate in ((64, None), (32, 2)):
        supernet = compiled(
            dense_space,
            estimator="softmax",
            optimizer=keras.optimizers.SGD(
                0.1, gradient_accumulation_steps=accumulate
            ),
            architecture_optimizer=keras.optimizers.SGD(
                0.1, gradient_accumulation_steps=accumulate
            ),
        )
        supernet.fit(x, y, batch_size=batch, verbose=0, shuffle=False)
        results.append(weights_of(supernet))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-6)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_trains_with_float32_logits(
    tiny_space, images, compiled, policy
):
    keras.config.set_dtype_policy(policy)
    supernet = compiled(
        tiny_space, resource=snas_keras.Resource("parameters", 0.1)
    )
    history = supernet.fit(*images, batch_size=16, epochs=8, verbose=0).history
    assert np.isfinite(history["loss"]).all()
    assert history["task_loss"][-1] < history["task_loss"][0]
    assert {v.dtype for v in supernet.architecture.weights} == {"float32"}
    scaled = isinstance(supernet.optimizer, keras.optimizers.LossScaleOptimizer)
    assert scaled == (policy == "mixed_float16")


def test_float16_logits_move_as_far_as_float32_logits(
    dense_space, features, compiled
):
    """Loss scaling must be undone for the logits' optimizer too: a forgotten
    factor would be 32768. Float16 forward passes agree to about 1e-2."""
    moves = []
    for policy in ("float32", "mixed_float16"):
        keras.config.set_dtype_policy(policy)
        supernet = compiled(
            dense_space, architecture_optimizer=keras.optimizers.SGD(1.0)
        )
        supernet.train_on_batch(*features)
        moves.append(supernet.architecture.logits["block_0"].numpy())
    assert np.abs(moves[0]).max() > 1e-4
    np.testing.assert_allclose(*moves, atol=0.02 * np.abs(moves[0]).max())


def test_the_step_counts_even_when_loss_scaling_skips_one(
    dense_space, features, compiled
):
    keras.config.set_dtype_policy("mixed_float16")
    supernet = compiled(dense_space)
    x, y = features
    supernet.train_on_batch(x * np.float32(np.inf), y)
    assert int(supernet.step) == 1
    assert int(supernet.optimizer.iterations) == 0


def test_schedules_work_in_either_optimizer(dense_space, features, compiled):
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 4)
    supernet = compiled(
        dense_space,
        optimizer=keras.optimizers.SGD(schedule),
        architecture_optimizer=keras.optimizers.Adam(schedule),
    )
    supernet.fit(*features, batch_size=16, verbose=0)
    for optimizer in supernet.optimizer.optimizers:
        assert float(optimizer.learning_rate) == pytest.approx(0.0, abs=1e-7)


def test_weight_averages_belong_to_their_own_variables(
    dense_space, features, compiled
):
    """use_ema ends a fit by overwriting the weights with their averages."""
    supernet = compiled(
        dense_space,
        optimizer=keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.0),
    )
    shapes = [v.shape for v in supernet.trainable_variables]
    supernet.fit(*features, verbose=0)
    assert [v.shape for v in supernet.trainable_variables] == shapes
    assert np.isfinite(supernet.evaluate(*features, verbose=0))


def test_seed_decides_the_search(dense_space, features, compiled):
    results = []
    for seed in (0, 0, 1):
        supernet = compiled(dense_space, seed=seed)
        supernet.fit(*features, batch_size=16, verbose=0, shuffle=False)
        results.append(weights_of(supernet))
    assert_equal(results[0], results[1])
    assert not np.array_equal(results[0][0], results[2][0])


def test_fit_before_compile_is_refused(dense_space, features):
    supernet = snas_keras.build_supernet(dense_space)
    with pytest.raises(ValueError, match=r"compile\(\)"):
        supernet.fit(*features)


def test_bad_compile_options_are_refused(dense_space, compiled):
    with pytest.raises(TypeError, match="Received: 'flops'"):
        compiled(dense_space, resource="flops")
    resource = snas_keras.Resource("parameters", 1.0)
    with pytest.raises(ValueError, match="name of its own"):
        compiled(dense_space, resource=[resource, resource])
    with pytest.raises(ValueError, match="known density"):
        compiled(
            dense_space,
            estimator="softmax",
            resource=snas_keras.Resource(
                "parameters", 1.0, gradient="score_function"
            ),
        )
    multi = compiled(dense_space).optimizer
    with pytest.raises(ValueError, match="must be None where"):
        compiled(dense_space, optimizer=multi)


def test_architecture_must_keep_its_name(dense_space):
    supernet = snas_keras.build_supernet(dense_space)
    other = snas_keras.Architecture(dense_space.choices(), name="mine")
    with pytest.raises(ValueError, match="snas_architecture"):
        snas_keras.SuperNet(supernet.network, other)


def test_temperature_that_is_not_positive_is_refused(dense_space):
    with pytest.raises(ValueError, match="temperature=0"):
        snas_keras.build_supernet(dense_space, temperature=0)


def test_evaluation_takes_a_genotype_in_plain_words():
    supernet = snas_keras.build_supernet(one_edge_space())
    supernet.compile(loss="mse")
    x, y = np.ones((4, 3)), np.zeros((4, 1))
    for candidate, loss in (("dense", 9.0), ("half", 0.0)):
        weights = {"edge": candidate}
        assert supernet.evaluate(x, y, weights=weights, verbose=0) == loss
    with pytest.raises(ValueError, match="third.*dense"):
        supernet.evaluate(x, y, weights={"edge": "third"}, verbose=0)
