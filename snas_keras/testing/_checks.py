"""Conformance checks for your own operations, spaces, costs and estimators.

Whoever adds an entry to `OPERATIONS`, `SEARCH_SPACES`, `COSTS` or `ESTIMATORS`
can run the checks that the built-in entries pass. Each returns None, or raises
AssertionError with the promise that is broken.
"""

import contextlib
import json
import math

import keras
import numpy as np
import tensorflow as tf

from snas_keras import children as children_lib
from snas_keras import costs as costs_lib
from snas_keras import estimators, layers, spaces
from snas_keras import supernet as supernet_lib

_SIDE = 8
_FILTERS = 4
_ROWS = 1000


def check_operation(operation):
    """Check what every candidate operation promises.

    It keeps the number of channels and divides height and width by the stride;
    survives serialization; trains; runs in mixed precision; refuses zero
    filters (or does not look at them); and becomes stock Keras layers with the
    same outputs, so that a child network loads where its author is not known.

    Args:
        operation: str or function (filters, strides, affine) -> layer, one of
            `snas_keras.OPERATIONS`.

    Raises:
        AssertionError: a promise is broken.
        ValueError: there is no operation of that name.

    Example:

    >>> from snas_keras import testing
    >>> testing.check_operation("skip_connect")
    """
    make = spaces.get(operation)
    checks = {
        "keep the channels and divide the sides by the stride": _check_shapes,
        "survive serialization with equal outputs": _check_serialization,
        "become stock Keras layers with equal outputs": _check_stock,
        "refuse filters=0 with a ValueError": _check_zero_filters,
        "run in mixed_bfloat16 with bfloat16 outputs": _check_mixed_precision,
        "train with a finite loss": _check_training,
    }
    for promise, check in checks.items():
        with _promised(f"Operation {operation!r}", promise):
            check(make)


def check_search_space(factory, **small_options):
    """Check what every search space promises.

    Its choices do not change from call to call; its supernet trains; the child
    that `convert` cuts out answers as the supernet does; and random genotypes
    build.

    Args:
        factory: str or function (**options) -> SearchSpace, one of
            `snas_keras.SEARCH_SPACES`.
        **small_options: options that make the space small enough for a test.

    Raises:
        AssertionError: a promise is broken.
        KeyError: there is no search space of that name.
    """
    if isinstance(factory, str):
        factory = spaces.SEARCH_SPACES[factory]
    subject = f"Search space {factory!r}"
    with _promised(subject, "have choices that stay the same"):
        space = _check_choices(factory, small_options)
    with _promised(subject, "train as a supernet with a finite loss"):
        trained, x = _fit_supernet(space)
    with _promised(subject, "convert to a child that equals the mode"):
        _check_close(children_lib.convert(trained)(x), trained(x))
    with _promised(subject, "build a child of any genotype"):
        for seed in range(3):
            model = children_lib.build_child(space, space.random_genotype(seed))
            _check_same_shapes(model(x), trained(x))


def check_cost(cost):
    """Check what every cost promises.

    On every operation of `snas_keras.OPERATIONS` it is a finite number that is
    not negative, zero for `none` and above zero for at least one; and a
    `Resource` of it trains.

    Args:
        cost: str or function (layer, input_shape) -> float, one of
            `snas_keras.COSTS`.

    Raises:
        AssertionError: a promise is broken.
        ValueError: there is no cost of that name.
    """
    function = costs_lib.get(cost)
    subject = f"Cost {cost!r}"
    with _promised(subject, "be finite and not negative on every operation"):
        values = _operation_costs(function)
        for name, value in values.items():
            message = f"It is {value!r} for {name}."
            _require(isinstance(value, (int, float, np.number)), message)
            _require(math.isfinite(value) and value >= 0, message)
    with _promised(subject, "be zero for `none` and above zero for another"):
        found = [v for (name, _), v in values.items() if name == "none"]
        _require(not any(found), f"`none` costs {max(found)}.")
        _require(max(values.values()) > 0, "All operations cost zero.")
    with _promised(subject, "train as a Resource with a finite loss"):
        resource = supernet_lib.Resource(function, weight=1.0, name="checked")
        _fit_supernet(_all_operations(), resource=resource)


def check_estimator(estimator):
    """Check what every estimator promises.

    Its weights are not negative, sum to one and are like the logits in shape
    and dtype; the same seed gives the same weights, eagerly and in a graph; a
    larger logit gets more weight on average; the gradient with respect to the
    logits is finite. If it draws at random: the draws become one-hot for
    temperature -> 0, and uniform for temperature -> infinity unless they are
    one-hot at every temperature.

    Args:
        estimator: str or function (logits, temperature, seed) -> weights, one
            of `snas_keras.ESTIMATORS`.

    Raises:
        AssertionError: a promise is broken.
        ValueError: there is no estimator of that name.
    """
    function = estimators.get(estimator)
    checks = {
        "give weights that sum to one, like the logits": _check_weights,
        "depend on nothing but its arguments": _check_purity,
        "give a larger logit more weight on average": _check_order,
        "pass a finite gradient to the logits": _check_gradient,
        "follow the temperature": _check_temperature_limits,
    }
    for promise, check in checks.items():
        with _promised(f"Estimator {estimator!r}", promise):
            check(function)


@contextlib.contextmanager
def _promised(subject, promise):
    """Name the subject and the promise in whatever goes wrong inside."""
    try:
        yield
    except Exception as error:
        raise AssertionError(
            f"{subject} must {promise}. {type(error).__name__}: {error}"
        ) from error


def _require(condition, message):
    if not condition:
        raise AssertionError(message)


def _check_close(found, wanted):
    """Compare structures of tensors, to 1e-5 of the largest value."""
    _check_same_shapes(found, wanted)
    pairs = zip(*map(keras.tree.flatten, (found, wanted)), strict=True)
    for a, b in pairs:
        atol = 1e-5 * max(1.0, float(np.abs(b).max()))
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def _check_same_shapes(found, wanted):
    first, second = (
        keras.tree.map_structure(lambda x: tuple(x.shape), tensors)
        for tensors in (found, wanted)
    )
    _require(first == second, f"The shapes are {first} and {second}.")


def _images(filters=_FILTERS):
    values = np.random.default_rng(0).normal(size=(2, _SIDE, _SIDE, filters))
    return values.astype("float32")


def _built(make, strides):
    """Return the layer, with weights that no initializer would give."""
    layer = make(_FILTERS, strides, True)
    layer(_images())
    generator = np.random.default_rng(1)
    layer.set_weights(
        [generator.uniform(0.5, 1.5, w.shape) for w in layer.get_weights()]
    )
    return layer


def _check_shapes(make):
    for strides, filters, affine in ((1, 4, True), (2, 8, True), (2, 4, False)):
        x = _images(filters)
        layer = make(filters, strides, affine)
        real = layer(x)
        symbolic = layer.compute_output_spec(keras.KerasTensor(x.shape))
        side = _SIDE // strides
        for kind, y in (("real", real), ("symbolic", symbolic)):
            _require(
                tuple(y.shape) == (len(x), side, side, filters),
                f"The {kind} output of shape {tuple(y.shape)} comes from "
                f"{x.shape} with {filters=}, {strides=}, {affine=}.",
            )


def _check_serialization(make):
    for strides in (1, 2):
        layer = _built(make, strides)
        config = keras.saving.serialize_keras_object(layer)
        config = json.loads(json.dumps(config))
        _check_twin(keras.saving.deserialize_keras_object(config), layer)


def _check_stock(make):
    for strides in (1, 2):
        layer = _built(make, strides)
        if isinstance(layer, layers.Zero):
            continue  # An edge that takes it is left out of the child.
        stock = layers.to_stock(layer)
        _check_twin(stock, layer)
        for part in stock._flatten_layers():
            module = type(part).__module__
            _require(module.startswith("keras."), f"{part!r} is of {module}.")


def _check_twin(twin, layer):
    """Give the twin the layer's weights and compare the outputs."""
    twin(_images())
    twin.set_weights(layer.get_weights())
    _check_close(twin(_images()), layer(_images()))


def _check_zero_filters(make):
    """An operation that takes no notice of `filters` need not refuse them."""
    for strides in (1, 2):
        try:
            layer = make(0, strides, True)
        except ValueError:
            continue
        _check_same_shapes(
            layer(_images()), make(_FILTERS, strides, True)(_images())
        )


def _check_mixed_precision(make):
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        for strides in (1, 2):
            y = make(_FILTERS, strides, True)(_images(), training=True)
            _require(y.dtype == "bfloat16", f"The outputs are {y.dtype}.")
            y = keras.ops.cast(y, "float32")
            _require(np.isfinite(y).all(), f"The outputs are {y}.")
    finally:
        keras.config.set_dtype_policy(before)


def _check_training(make):
    inputs = keras.Input(_images().shape[1:])
    x = make(_FILTERS, 2, True)(make(_FILTERS, 1, True)(inputs))
    outputs = keras.layers.Dense(1)(keras.layers.GlobalAveragePooling2D()(x))
    model = keras.Model(inputs, outputs)
    model.compile("sgd", "mse")
    loss = model.train_on_batch(_images(), np.ones((2, 1)))
    _require(math.isfinite(loss), f"The loss is {loss}.")
    for variable in model.variables:
        _require(np.isfinite(variable).all(), f"{variable.path} is not finite.")


def _check_choices(factory, options):
    space = factory(**options)
    _require(
        isinstance(space, spaces.SearchSpace), f"It made {space!r}, no space."
    )
    found = space.choices()
    again = factory(**options).choices()
    _require(found == again, f"It gave first {found}, then {again}.")
    product = math.prod(len(candidates) for candidates in found.values())
    _require(
        space.size() == product, f"size() is {space.size()}, not {product}."
    )
    return space


def _fit_supernet(space, resource=None):
    """Return a supernet after one finite training step, and its inputs."""
    net = supernet_lib.build_supernet(space)
    generator = np.random.default_rng(0)
    x = keras.tree.map_structure(
        lambda i: generator.random((2, *[n or _SIDE for n in i.shape[1:]])),
        net.network.input[0],
    )
    y = keras.tree.map_structure(np.zeros_like, net(x))
    losses = keras.tree.map_structure(lambda _: "mse", y)
    net.compile("sgd", loss=losses, resource=resource)
    for name, (value,) in net.fit(x, y, verbose=0).history.items():
        _require(math.isfinite(value), f"{name} is {value}.")
    return net, x


def _all_operations():
    """Return a space of one choice between all operations."""

    # The name begins with a letter, as TensorFlow wants of a model's name.
    @spaces.search_space
    def all_operations(choose):
        inputs = keras.Input(_images().shape[1:])
        x = choose("operation", _operation_layers(strides=2))(inputs)
        return inputs, keras.layers.GlobalAveragePooling2D()(x)

    return all_operations()


def _operation_layers(strides):
    return {
        name: make(_FILTERS, strides)
        for name, make in spaces.OPERATIONS.items()
    }


def _operation_costs(function):
    values = {}
    shape = (None, *_images().shape[1:])
    for strides in (1, 2):
        for name, layer in _operation_layers(strides).items():
            layer.build(shape)
            values[name, f"{strides=}"] = function(layer, shape)
    return values


def _draw(estimator, logits, temperature=1.0, seed=(17, 3)):
    logits = tf.convert_to_tensor(logits, "float32")
    temperature = tf.constant(temperature, "float32")
    return estimator(logits, temperature, tf.constant(seed, "int32"))


def _check_weights(estimator):
    extreme = np.float32([[50.0, -50.0], [-50.0, 50.0]])
    for logits in (np.zeros(1), np.zeros((3, 2)), np.zeros((2, 64)), extreme):
        for temperature in (0.03, 1.0, 10.0):
            weights = _draw(estimator, logits, temperature)
            given = f"logits of shape {logits.shape}, {temperature=}"
            _require(
                weights.shape == logits.shape and weights.dtype == "float32",
                f"{weights.dtype} of shape {weights.shape} came from {given}.",
            )
            error = np.abs(np.sum(weights, -1) - 1).max()
            _require(
                np.min(weights) >= 0 and error <= 1e-5,
                f"{weights.numpy()} came from {given}.",
            )


def _check_purity(estimator):
    logits = np.float32([0.5, -1.0, 2.0])
    first, again = _draw(estimator, logits), _draw(estimator, logits)
    _require(
        np.array_equal(first, again), f"One seed gave {first}, then {again}."
    )
    graph = tf.function(lambda x: _draw(estimator, x))(logits)
    _require(
        np.allclose(graph, first, atol=1e-5),
        f"It gave {first} eagerly and {graph} in a graph.",
    )


def _check_order(estimator):
    """Of 1000 draws, logits 2 apart are never close to equally frequent."""
    logits = np.tile([0.0, 2.0, -2.0], (_ROWS, 1))
    middle, high, low = np.mean(_draw(estimator, logits), 0)
    _require(
        high > middle >= low,
        f"Logits 2, 0 and -2 got {high}, {middle} and {low}.",
    )


def _check_gradient(estimator):
    for row in ([0.5, -1.0, 2.0], [50.0, -50.0, 0.0]):
        for temperature in (0.03, 1.0):
            logits = tf.Variable(row)
            with tf.GradientTape() as tape:
                weights = _draw(estimator, logits, temperature)
                total = tf.reduce_sum(weights * [1.0, 2.0, 4.0])
            gradient = tape.gradient(total, logits)
            _require(gradient is not None, "There is no gradient.")
            _require(np.isfinite(gradient).all(), f"It is {gradient}.")
            is_extreme = max(row) > 2 or temperature < 1
            _require(is_extreme or np.any(gradient), "It is zero.")


def _check_temperature_limits(estimator):
    logits = np.tile([0.0, 0.5, 1.0], (_ROWS, 1))
    seeds = (_draw(estimator, logits, seed=(5, n)) for n in range(2))
    if np.array_equal(*seeds):
        return  # It does not draw.
    share = (np.max(_draw(estimator, logits, 1e-3), -1) > 0.99).mean()
    _require(
        share > 0.95, f"Of the draws at temperature 1e-3, {share} are one-hot."
    )
    hot = _draw(estimator, logits, 1e4).numpy()
    is_hard = (hot.max(-1) == 1).all()
    _require(
        is_hard or np.abs(hot - 1 / 3).max() < 1e-2,
        f"At temperature 1e4 the largest weight is {hot.max()}, not 1/3.",
    )
