"""What any Keras model promises as a search space: all of it, end to end."""

import dataclasses
import functools
import math
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from snas_keras import children as children_lib
from snas_keras import costs as costs_lib
from snas_keras import estimators as estimators_lib
from snas_keras import layers, spaces
from snas_keras import supernet as supernet_lib
from snas_keras.testing import _new_process
from snas_keras.testing._promise import check_close, promised, require, unjudged

_GENOTYPES = 2
_STEPS = 2


def check_space(
    space: spaces.SearchSpace,
    x: Any,
    y: Any,
    *,
    loss: Any = "mse",
    estimators: Sequence[Any] | None = None,
    flops: Callable[[spaces.Genotype], float] | None = None,
    exports: Sequence[str] = ("saved_model",),
    modules: Sequence[str] | None = (),
) -> None:
    """Check that a search space of your own works from search to export.

    * It trains for an epoch under every estimator: losses and variables stay
      finite, all choices and all candidates with weights move.
    * `evaluate` gives the loss of the child that `derive` names, and that of
      any genotype it is given.
    * `convert` gives the supernet's outputs for any genotype.
    * `build_child` gives a network of the same outputs and weights, which
      trains.
    * Supernet and child answer the same after they were saved and loaded in a
      new process.
    * The counted costs are those of the child itself.
    * Recalibrated batch norms have the mean of the data, and nothing else
      changes.
    * The exports answer as the child does.

    Args:
        space: SearchSpace.
        x: inputs as `fit` takes them: array of shape (examples, ...), or a list
            or dict of such. Some 16 examples do.
        y: targets as `fit` takes them, or None.
        loss: as for `compile`, default "mse".
        estimators: sequence of str or functions, default None: all of
            `snas_keras.ESTIMATORS`. The first has the other checks too.
        flops: function (Genotype) -> float, multiply-adds of one example as you
            count them by hand, default None: compared with the child's count
            alone.
        exports: sequence of "saved_model", "litert" and "onnx", default
            SavedModel.
        modules: sequence of str, modules that the new process imports because
            layers of your own are registered there, default none. None: files
            are loaded in this process, which saves some seconds.

    Raises:
        AssertionError: a promise is broken; the message names it.

    Example:

    >>> from snas_keras import testing
    >>> @snas_keras.search_space
    ... def network(choose):
    ...     inputs = keras.Input((3,))
    ...     tanh = keras.layers.Dense(3, activation="tanh")
    ...     layers = {"tanh": tanh, "skip": keras.layers.Identity()}
    ...     x = choose("layer", layers)(inputs)
    ...     return inputs, keras.layers.Dense(1)(x)
    >>> x = np.random.default_rng(0).normal(size=(16, 3))
    >>> testing.check_space(network(), x, x[:, :1], modules=None)
    """
    subject = f"Space {space!r}"
    model = _Model(space, x, y, loss)
    for estimator in (estimators or list(estimators_lib.ESTIMATORS))[::-1]:
        promise = f"train for an epoch under {estimator!r}"
        with promised(subject, promise):
            supernet = model.trained_supernet(estimator)
    checks = {
        "evaluate as the child of any genotype": check_evaluation,
        "convert to a child with equal outputs": check_conversion,
        "build a child anew that trains": check_new_child,
        "answer the same when saved and loaded": functools.partial(
            check_loading, modules=modules
        ),
        "have the costs that are counted on the child": functools.partial(
            check_costs, flops=flops
        ),
        "recalibrate its batch norms to the data": check_recalibration,
        "answer the same when exported": functools.partial(
            check_exports, exports=exports
        ),
    }
    for promise, check in checks.items():
        with promised(subject, promise):
            check(model, supernet)


@dataclasses.dataclass(frozen=True)
class _Model:
    """A space with the data and the loss to try it with."""

    space: Any
    x: Any
    y: Any
    loss: Any

    def tensors(self, supernet):
        """Return the inputs as tensors of the dtypes that are declared."""
        declared, _ = supernet.network.input
        return keras.tree.map_structure(_tensor, declared, self.x)

    def genotypes(self, supernet):
        """Return the derived genotype and some at random."""
        random = [self.space.random_genotype(n) for n in range(_GENOTYPES)]
        return [supernet.derive(), *random]

    def trained_supernet(self, estimator):
        """Return a supernet after an epoch in which everything has moved."""
        keras.utils.set_random_seed(0)
        supernet = supernet_lib.build_supernet(self.space, estimator)
        # Adam moves whatever has a gradient by its rate.
        supernet.compile(
            keras.optimizers.Adam(1e-3),
            keras.optimizers.Adam(1e-2),
            loss=self.loss,
        )
        idle = _idle_variables(supernet)
        before = _values(supernet.trainable_variables)
        self.fit(supernet)
        for variable, value in zip(
            supernet.trainable_variables, before, strict=True
        ):
            has_moved = not np.array_equal(variable, value)
            if id(variable) not in idle:
                require(has_moved, f"{variable.path} has not moved.")
            elif supernet.architecture.estimator.runs_one_path:
                require(not has_moved, f"{variable.path} moved, but never ran.")
        return supernet

    def fit(self, model):
        """Train for an epoch of some batches, which must stay finite."""
        size = math.ceil(len(keras.tree.flatten(self.x)[0]) / _STEPS)
        options = {"batch_size": size, "shuffle": False, "verbose": 0}
        with unjudged():
            history = model.fit(self.x, self.y, **options).history
        for name, (value,) in history.items():
            require(math.isfinite(value), f"{name} is {value}.")
        for variable in model.trainable_variables:
            is_finite = np.isfinite(np.asarray(variable, "float64")).all()
            require(is_finite, f"{variable.path} is not finite.")

    def loss_of(self, model, **options):
        """Return the loss of a compiled model on the data."""
        logs = model.evaluate(
            self.x, self.y, verbose=0, return_dict=True, **options
        )
        return logs["loss"]


def _tensor(declared, value):
    tensor = tf.convert_to_tensor(value)
    if declared.dtype == "string":
        return tensor
    return tf.cast(tensor, declared.dtype)


def _values(variables):
    return [np.array(v) for v in variables]


def _idle_variables(supernet):
    """Return the ids of weights of candidates that no step draws."""
    architecture = supernet.architecture
    draws = [architecture.sample(step) for step in range(_STEPS)]
    idle = set()
    for edge in layers.mixed_edges(supernet.network):
        used = sum(np.array(z[edge.choice]) for z in draws) > 0
        for is_used, layer in zip(used, edge.candidates.values(), strict=True):
            if not is_used:
                idle.update(id(v) for v in layer.trainable_variables)
    for name, candidates in architecture.choices.items():
        if len(candidates) == 1:
            idle.add(id(architecture.logits[name]))
    return idle


def check_evaluation(model: Any, supernet: Any) -> None:
    """Compare losses of supernet and children on the same data.

    Args:
        model: the space with its data.
        supernet: SuperNet, trained.
    """
    for genotype in model.genotypes(supernet):
        child = children_lib.convert(supernet, genotype)
        child.compile(loss=model.loss)
        expected = model.loss_of(child)
        found = model.loss_of(supernet, weights=genotype)
        require(
            math.isclose(found, expected, rel_tol=1e-4, abs_tol=1e-6),
            f"With {dict(genotype)} the supernet's loss is {found}, the "
            f"child's {expected}.",
        )
    found, derived = model.loss_of(supernet), supernet.derive()
    expected = model.loss_of(supernet, weights=derived)
    require(
        math.isclose(found, expected, rel_tol=1e-5, abs_tol=1e-6),
        f"The supernet's loss is {found}, {expected} as {dict(derived)}.",
    )


def check_conversion(model: Any, supernet: Any) -> None:
    """Compare outputs of supernet and children, eagerly and in a graph.

    Args:
        model: the space with its data.
        supernet: SuperNet, trained.
    """
    x = model.tensors(supernet)
    for genotype in model.genotypes(supernet):
        child = children_lib.convert(supernet, genotype)
        weights = supernet.architecture.one_hot(genotype)
        found = child(x)
        expected = supernet.network([x, weights], training=False)
        check_close(found, expected)
        dtypes = [
            keras.tree.map_structure(lambda y: y.dtype, outputs)
            for outputs in (found, expected)
        ]
        require(dtypes[0] == dtypes[1], f"Dtypes are {dtypes[0]}, {dtypes[1]}.")
    mode = children_lib.convert(supernet)
    check_close(
        mode.predict(model.x, verbose=0), supernet.predict(model.x, verbose=0)
    )


def check_new_child(model: Any, supernet: Any) -> None:
    """Compare new children with converted ones, and train them.

    Args:
        model: the space with its data.
        supernet: SuperNet, trained.
    """
    x = model.tensors(supernet)
    for genotype in model.genotypes(supernet)[:2]:
        new = children_lib.build_child(model.space, genotype)
        converted = children_lib.convert(supernet, genotype)
        found, expected = (
            sorted(tuple(v.shape) for v in child.trainable_variables)
            for child in (new, converted)
        )
        require(
            found == expected,
            f"Its weights are {found}, those of the converted one {expected}.",
        )
        frozen = [_frozen_values(child) for child in (new, converted)]
        check_close(*frozen)
        specs = [
            keras.tree.map_structure(lambda t: (t.dtype, t.shape), child(x))
            for child in (new, converted)
        ]
        require(specs[0] == specs[1], f"Outputs are {specs[0]}, {specs[1]}.")
        new.compile("sgd", loss=model.loss)
        model.fit(new)


def _frozen_values(child):
    """Return the weights that came with the space and are not trained."""
    return [
        np.array(variable)
        for layer in _all_layers(child)
        if not layer.trainable and not getattr(layer, "layers", [])
        for variable in layer.weights
        if variable.dtype != "string"
    ]


def check_loading(
    model: Any, supernet: Any, modules: Sequence[str] | None = ()
) -> None:
    """Compare outputs before saving and after loading.

    Args:
        model: the space with its data.
        supernet: SuperNet, trained.
        modules: sequence of str, modules that the new process imports, default
            none; None for this process.
    """
    child = children_lib.convert(supernet)
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        files = {"supernet": supernet, "child": child}
        for label, network in files.items():
            network.save(folder / f"{label}.keras")
        inputs = dict.fromkeys(files, model.x)
        if modules is None:
            found = _new_process.outputs(folder, inputs)
        else:
            found = _new_process.outputs_elsewhere(folder, inputs, modules)
    for label, network in files.items():
        check_close(found[label], network.predict(model.x, verbose=0))


def check_costs(
    model: Any,
    supernet: Any,
    flops: Callable[[spaces.Genotype], float] | None = None,
) -> None:
    """Compare the costs of a supernet's table with counts on the child.

    Args:
        model: the space with its data.
        supernet: SuperNet, trained.
        flops: function (Genotype) -> float, the multiply-adds by hand, default
            None.
    """
    parameters, multiply_adds = (
        costs_lib.ChildCost(supernet, cost) for cost in ("parameters", "flops")
    )
    for genotype in model.genotypes(supernet):
        child = children_lib.convert(supernet, genotype)
        # Frozen weights count too, statistics do not.
        for layer in _all_layers(child):
            layer.trainable = True
        counted = sum(math.prod(v.shape) for v in child.trainable_variables)
        found = parameters(genotype)
        require(
            found == counted,
            f"{dict(genotype)} costs {found} parameters; its child has "
            f"{counted}, frozen or not.",
        )
        found = multiply_adds(genotype)
        counted = costs_lib.flops(child, child.input_shape)
        require(
            found == counted,
            f"{dict(genotype)} costs {found} multiply-adds; on its child are "
            f"counted {counted}.",
        )
        expected = counted if flops is None else flops(genotype)
        require(
            found == expected,
            f"{dict(genotype)} costs {found} multiply-adds, {expected} by "
            "hand.",
        )
        for cost in (parameters, multiply_adds):
            require(
                cost.minimum <= cost(genotype) <= cost.maximum,
                f"{cost(genotype)} is not in [{cost.minimum}, {cost.maximum}].",
            )


def check_recalibration(model: Any, supernet: Any) -> None:
    """Check what recalibration leaves, and what batch norms get.

    Args:
        model: the space with its data.
        supernet: SuperNet, trained.
    """
    child = children_lib.convert(supernet)
    moving = {
        id(variable)
        for layer in _all_layers(child)
        if isinstance(layer, keras.layers.BatchNormalization)
        for variable in (layer.moving_mean, layer.moving_variance)
    }
    others = [v for v in child.variables if id(v) not in moving]
    before = _values(others)
    children_lib.recalibrate_batch_norm(child, model.tensors(supernet))
    for variable, value in zip(others, before, strict=True):
        require(
            np.array_equal(variable, value), f"{variable.path} has changed."
        )
    # Behind the first norm stand statistics of a batch, not of the child.
    for norm in _single_norms(child)[:1]:
        seen = keras.Model(child.inputs, norm.input)(
            keras.tree.flatten(model.tensors(supernet))
        )
        axes = tuple(range(len(seen.shape) - 1))
        mean = np.mean(np.asarray(seen, "float32"), axes)
        is_exact = seen.dtype in ("float32", "float64")
        check_close(norm.moving_mean, mean, 1e-5 if is_exact else 1e-2)


def _single_norms(child):
    """Return the trained batch norms that are called once, in program order."""
    calls = [id(layer) for layer, _ in costs_lib.model_calls(child)]
    return [
        layer
        for layer in child.layers
        if isinstance(layer, keras.layers.BatchNormalization)
        and layer.trainable
        and calls.count(id(layer)) == 1
        and layer.axis in (-1, len(layer.input.shape) - 1)
    ]


def _all_layers(model):
    for layer in getattr(model, "layers", []):
        yield layer
        yield from _all_layers(layer)


def check_exports(
    model: Any, supernet: Any, exports: Sequence[str] = ("saved_model",)
) -> None:
    """Export the child; each export compares itself with the child.

    Args:
        model: the space with its data.
        supernet: SuperNet, trained.
        exports: sequence of "saved_model", "litert" and "onnx".
    """
    del model
    child = children_lib.convert(supernet)
    ways = {
        "saved_model": (children_lib.export_saved_model, "served"),
        "litert": (children_lib.export_litert, "child.tflite"),
        "onnx": (children_lib.export_onnx, "child.onnx"),
    }
    for name in exports:
        export, path = ways[name]
        with tempfile.TemporaryDirectory() as folder:
            difference = export(child, pathlib.Path(folder) / path)
        require(math.isfinite(difference), f"{name}: {difference}.")
