"""The single checks of `check_space`."""

import math
import pathlib
import tempfile
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from snas_keras import children as children_lib
from snas_keras import costs as costs_lib
from snas_keras import spaces
from snas_keras.testing import _new_process
from snas_keras.testing._model import Model, values
from snas_keras.testing._promise import check_close, require


def check_evaluation(model: Model, supernet: Any) -> None:
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


def check_conversion(model: Model, supernet: Any) -> None:
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


def check_new_child(model: Model, supernet: Any) -> None:
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
    model: Model, supernet: Any, modules: Sequence[str] | None = ()
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
    model: Model,
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


def check_recalibration(model: Model, supernet: Any) -> None:
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
    before = values(others)
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
    model: Model, supernet: Any, exports: Sequence[str] = ("saved_model",)
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
