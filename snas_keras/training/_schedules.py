"""Schedules over the epochs: of the temperature and of drop path."""

import typing
import warnings
from collections.abc import Callable

import keras

from snas_keras import layers
from snas_keras._utils import checks

Schedule = Callable[[int, int], float]


def linear(initial: float = 1.0, final: float = 0.03) -> Schedule:
    """Return the paper's temperature schedule.

        T(epoch) = max(final, final + (initial - final) * left)
        left = 1 - (epoch + 1) / epochs

    The last epoch runs at `final`. The paper's code divides by 150 whatever the
    number of epochs; this divides by their real number.

    Args:
        initial: float above zero, default 1.0 as in the paper's code.
        final: float above zero, default 0.03 as in the paper's code.

    Returns:
        Function (epoch, epochs) -> temperature.

    Example:

    >>> schedule = linear()
    >>> [round(schedule(epoch, 150), 6) for epoch in (0, 74, 149)]
    [0.993533, 0.515, 0.03]
    """
    span = _checked(initial) - _checked(final)

    def schedule(epoch, epochs):
        return max(final, final + span * (1.0 - (epoch + 1) / epochs))

    return schedule


def exponential(initial: float = 1.0, final: float = 0.03) -> Schedule:
    """Return a schedule that lowers the temperature by a constant factor.

        T(epoch) = initial (final / initial)^((epoch+1) / epochs)

    Args:
        initial: float above zero, default 1.0.
        final: float above zero, default 0.03, reached in the last epoch.

    Returns:
        Function (epoch, epochs) -> temperature.

    Example:

    >>> schedule = exponential(1.0, 0.01)
    >>> [round(schedule(epoch, 2), 6) for epoch in (0, 1)]
    [0.1, 0.01]
    """
    ratio = _checked(final) / _checked(initial)

    def schedule(epoch, epochs):
        return initial * ratio ** ((epoch + 1) / epochs)

    return schedule


SCHEDULES = {"linear": linear, "exponential": exponential}


class TemperatureSchedule(keras.callbacks.Callback):
    """Set the temperature of a supernet at the start of every epoch.

    The temperature is a variable: nothing is traced again. A search that is
    stopped early, at a temperature above the schedule's last, is told so.

    Args:
        schedule: function (epoch, epochs) -> temperature, epochs counted from
            zero; or the name of one of `SCHEDULES`. Default "linear", the
            paper's.

    Raises:
        ValueError: the name is not known, or the schedule gives a temperature
            that is not above zero.

    Example:

    >>> callback = TemperatureSchedule(linear(initial=1.0, final=0.1))
    """

    def __init__(self, schedule: str | Schedule = "linear"):
        super().__init__()
        if not callable(schedule) and schedule not in SCHEDULES:
            raise ValueError(
                "There is no such schedule. Received: schedule="
                f"{schedule!r}. Allowed: {sorted(SCHEDULES)} or a function "
                "(epoch, epochs) -> temperature."
            )
        is_function = callable(schedule)
        self.schedule = schedule if is_function else SCHEDULES[schedule]()

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, typing.Any] | None = None
    ) -> None:
        temperature = self.schedule(epoch, self.params["epochs"])
        self.model.architecture.temperature.assign(
            checks.check_temperature(temperature)
        )

    def on_train_end(self, logs: dict[str, typing.Any] | None = None) -> None:
        epochs = self.params["epochs"]
        final = self.schedule(epochs - 1, epochs)
        temperature = float(self.model.architecture.temperature.numpy())
        if self.model.stop_training and temperature > 1.01 * final:
            warnings.warn(
                "The search was stopped before the end of its schedule, at the "
                f"temperature {temperature:.3g}, and would end at {final:.3g}: "
                "its weights are trained in mixtures, and its choices may not "
                "be made. Give the stopping more patience, or `fit` fewer "
                "epochs.",
                stacklevel=2,
            )


class DropPathSchedule(keras.callbacks.Callback):
    """Raise the rate of drop path over the training of a child.

        rate(epoch) = final * epoch / epochs,  epochs counted from zero

    The rates are variables: nothing is traced again. The last epoch runs
    slightly below `final`, as in the paper's code.

    Args:
        final: float, at least 0 and below 1, default 0.2 as in the paper's
            code.

    Raises:
        ValueError: `final` is not in that range; at the start of `fit`: the
            model has no `DropPath` layer.

    Example:

    >>> callback = DropPathSchedule(final=0.2)
    """

    def __init__(self, final: float = 0.2):
        super().__init__()
        self.final = checks.drop_rate(final)
        self.rates = []

    def on_train_begin(self, logs: dict[str, typing.Any] | None = None) -> None:
        self.rates = [
            layer.rate
            for layer in self.model._flatten_layers()
            if isinstance(layer, layers.DropPath)
        ]
        if not self.rates:
            raise ValueError(
                f"The model {self.model.name!r} has no DropPath layer. A child "
                "has them where its search space has drop path: "
                "build_child(space, genotype, drop_path=0.2)."
            )

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, typing.Any] | None = None
    ) -> None:
        for rate in self.rates:
            rate.assign(self.final * epoch / self.params["epochs"])


def _checked(temperature):
    return checks.check_temperature(temperature)
