"""Search spaces as hypermodels."""

import importlib.util
import pathlib
import typing
from collections.abc import Callable

import keras
import keras_tuner

from snas_keras import children as children_lib
from snas_keras import spaces


class SearchSpaceHyperModel(keras_tuner.HyperModel):
    """Any search space as a hypermodel: each choice is an `hp.Choice`.

    It works with every tuner of Keras Tuner; with `ArchitectureOracle` the
    search is SNAS'.

    Args:
        space: SearchSpace.
        compile: function (hp, model) -> None that compiles the child; it may
            declare hyperparameters of its own, such as a learning rate.
        fit: function (hp, model, *args, **kwargs) -> history, default
            `model.fit`. It must pass `callbacks` to `model.fit`.
        options: function (hp) -> dict of options of the space, such as a
            width, default none.

    Raises:
        ModuleNotFoundError: tensorboard is missing, which Keras Tuner 1.4.8
            imports in every trial without asking for it.

    Example:

    >>> def compile_child(hp, model):
    ...     rate = hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")
    ...     model.compile(keras.optimizers.SGD(rate), "mse")
    >>> space = snas_keras.SEARCH_SPACES["digits"](filters=4)
    >>> hypermodel = SearchSpaceHyperModel(space, compile_child)
    >>> hp = keras_tuner.HyperParameters()
    >>> hypermodel.build(hp).output_shape
    (None, 10)
    >>> sorted(hp.values)
    ['block_0', 'block_1', 'block_2', 'learning_rate']
    """

    def __init__(
        self,
        space: typing.Any,
        compile: Callable[[typing.Any, typing.Any], None],
        fit: Callable | None = None,
        options: Callable[[typing.Any], dict] | None = None,
    ):
        super().__init__()
        if importlib.util.find_spec("tensorboard") is None:
            raise ModuleNotFoundError(
                "Keras Tuner imports tensorboard in every trial. Install the "
                "extra: pip install 'snas-keras[tuner]'"
            )
        self.space = spaces.check_space(space)
        self.compile_child = compile
        self.fit_child = fit
        self.options = options

    def build(self, hp: keras_tuner.HyperParameters) -> typing.Any:
        """Build and compile the child that `hp` names.

        Args:
            hp: keras_tuner.HyperParameters.

        Returns:
            keras.Model, compiled.
        """
        genotype = {
            name: hp.Choice(name, list(candidates))
            for name, candidates in self.space.choices().items()
        }
        options = self.options(hp) if self.options else {}
        child = children_lib.build_child(self.space, genotype, **options)
        self.compile_child(hp, child)
        return child

    def fit(
        self,
        hp: keras_tuner.HyperParameters,
        model: typing.Any,
        *args: typing.Any,
        **kwargs: typing.Any,
    ) -> typing.Any:
        """Train the child.

        Args:
            hp: keras_tuner.HyperParameters.
            model: keras.Model, compiled.
            *args: passed to `model.fit`.
            **kwargs: passed to `model.fit`.

        Returns:
            keras.callbacks.History, or what the own `fit` returns.

        Raises:
            ValueError: a callback whose file all trials would share.
        """
        _part_files(kwargs.get("callbacks") or [])
        if self.fit_child is None:
            return model.fit(*args, **kwargs)
        return self.fit_child(hp, model, *args, **kwargs)


def _part_files(callbacks):
    """Let the trials share no file: `ModelCheckpoint` gets one for each.

    `SearchCheckpoint` sees to its own, and Keras Tuner to TensorBoard's.
    """
    trials = [c.trial.trial_id for c in callbacks if hasattr(c, "trial")]
    for callback in callbacks if trials else []:
        if isinstance(callback, keras.callbacks.BackupAndRestore):
            raise ValueError(
                "Under BackupAndRestore a trial would go on from the weights "
                "of another one: use SearchCheckpoint, which gives each trial "
                "a file of its own."
            )
        if isinstance(callback, keras.callbacks.ModelCheckpoint):
            path = pathlib.Path(callback.filepath)
            name = f"trial_{trials[0]}-{path.name}"
            callback.filepath = str(path.with_name(name))
