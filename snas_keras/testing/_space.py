"""Conformance check of any Keras model as a search space, end to end."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

from snas_keras import estimators as estimators_lib
from snas_keras import spaces
from snas_keras.testing import _checks, _model
from snas_keras.testing._promise import promised


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
    model = _model.Model(space, x, y, loss)
    for estimator in (estimators or list(estimators_lib.ESTIMATORS))[::-1]:
        promise = f"train for an epoch under {estimator!r}"
        with promised(subject, promise):
            supernet = model.trained_supernet(estimator)
    checks = {
        "evaluate as the child of any genotype": _checks.check_evaluation,
        "convert to a child with equal outputs": _checks.check_conversion,
        "build a child anew that trains": _checks.check_new_child,
        "answer the same when saved and loaded": functools.partial(
            _checks.check_loading, modules=modules
        ),
        "have the costs that are counted on the child": functools.partial(
            _checks.check_costs, flops=flops
        ),
        "recalibrate its batch norms to the data": _checks.check_recalibration,
        "answer the same when exported": functools.partial(
            _checks.check_exports, exports=exports
        ),
    }
    for promise, check in checks.items():
        with promised(subject, promise):
            check(model, supernet)
