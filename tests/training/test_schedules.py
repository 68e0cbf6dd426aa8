"""Temperature schedules against their formulas."""

import copy
import warnings

import keras
import pytest

import snas_keras
from snas_keras import training as training_lib


@pytest.mark.parametrize(
    ("epoch", "temperature"),
    [
        (0, 0.993533),
        (1, 0.987067),
        (49, 0.676667),
        (74, 0.515),
        (99, 0.353333),
        (124, 0.191667),
        (148, 0.036467),
        (149, 0.03),
    ],
)
def test_linear_schedule_gives_the_values_of_the_paper(epoch, temperature):
    found = training_lib.linear(1.0, 0.03)(epoch, 150)
    assert found == pytest.approx(temperature, abs=1e-6)


@pytest.mark.parametrize("epochs", [1, 7, 150, 400])
@pytest.mark.parametrize("name", sorted(training_lib.SCHEDULES))
def test_schedules_fall_to_the_end_whatever_the_number_of_epochs(name, epochs):
    schedule = training_lib.SCHEDULES[name](2.0, 0.05)
    values = [schedule(epoch, epochs) for epoch in range(epochs)]
    assert values[-1] == pytest.approx(0.05)
    assert values == sorted(values, reverse=True)
    assert max(values) < 2.0


def test_exponential_schedule_has_a_constant_factor():
    schedule = training_lib.exponential(1.0, 0.01)
    values = [schedule(epoch, 4) for epoch in range(4)]
    for before, after in zip(values, values[1:], strict=False):
        assert after / before == pytest.approx(0.01**0.25)


@pytest.mark.parametrize("name", sorted(training_lib.SCHEDULES))
@pytest.mark.parametrize("bounds", [(0.0, 0.1), (1.0, 0.0), (-1.0, 0.1)])
def test_schedules_refuse_temperatures_that_are_not_positive(name, bounds):
    with pytest.raises(ValueError, match="positive"):
        training_lib.SCHEDULES[name](*bounds)


def test_an_unknown_schedule_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="'cosine'.*exponential"):
        snas_keras.TemperatureSchedule("cosine")


def test_a_schedule_that_gives_zero_is_refused(dense_space, features, compiled):
    supernet = compiled(dense_space)
    with pytest.raises(ValueError, match="temperature=0"):
        supernet.fit(
            *features,
            verbose=0,
            callbacks=[snas_keras.TemperatureSchedule(lambda *_: 0.0)],
        )


def test_callbacks_can_be_copied(dense_space, features, compiled):
    supernet = compiled(dense_space)
    copied = copy.deepcopy(snas_keras.TemperatureSchedule("exponential"))
    supernet.fit(*features, verbose=0, callbacks=[copied])
    found = float(supernet.architecture.temperature)
    assert found == pytest.approx(0.03)


class StopIn(keras.callbacks.Callback):
    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_end(self, epoch, logs=None):
        if epoch == self.epoch:
            self.model.stop_training = True


@pytest.mark.parametrize("epoch", [0, 2, None])
def test_a_search_that_stops_at_a_high_temperature_says_so(
    dense_space, features, compiled, epoch
):
    """Stopped in the last of three epochs, or never, it has cooled down."""
    supernet = compiled(dense_space)
    callbacks = [snas_keras.TemperatureSchedule(), StopIn(epoch)]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        supernet.fit(*features, epochs=3, verbose=0, callbacks=callbacks)
    told = [w for w in caught if "temperature 0.677" in str(w.message)]
    assert len(told) == (epoch == 0)
    assert len([w for w in caught if "before the end" in str(w.message)]) == (
        epoch == 0
    )
