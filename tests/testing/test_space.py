"""Small but real models work from search to export; broken ones are seen."""

import keras
import numpy as np
import pytest

import snas_keras
from snas_keras import children, testing
from snas_keras.testing import _new_process
from tests import models

KL = keras.layers
NAMES = [model.__name__ for model in models.MODELS]


@pytest.mark.slow
@pytest.mark.usefixtures("graphs_of_few_steps")
@pytest.mark.filterwarnings("ignore:.*tf.lite.Interpreter:UserWarning")
@pytest.mark.parametrize("model", models.MODELS, ids=NAMES)
def test_model_works_from_search_to_export(model):
    """In this process; files are loaded in another below."""
    testing.check_space(**{**model(), "modules": None})


@pytest.mark.slow
def test_files_of_all_models_load_in_a_new_process(tmp_path):
    inputs, expected = {}, {}
    for make in models.MODELS:
        model = make()
        supernet = snas_keras.build_supernet(model["space"])
        child = snas_keras.convert(supernet)
        for kind, network in (("supernet", supernet), ("child", child)):
            label = f"{make.__name__}_{kind}"
            network.save(tmp_path / f"{label}.keras")
            inputs[label] = model["x"]
            expected[label] = network.predict(model["x"], verbose=0)
    found = _new_process.outputs_elsewhere(tmp_path, inputs, ["tests.models"])
    for label, value in expected.items():
        keras.tree.map_structure(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6),
            found[label],
            value,
        )


def one_choice(**candidates):
    @snas_keras.search_space
    def one(choose):
        inputs = keras.Input((4,))
        x = choose("layer", candidates)(inputs)
        return inputs, KL.Dense(1)(KL.BatchNormalization()(x))

    return one()


def check(space, y=None, **options):
    x = models.normal(4)
    y = x[:, :1] if y is None else y
    options = {"estimators": ["relaxed"], "modules": None, **options}
    testing.check_space(space, x, y, **options)


class Forgets(KL.Layer):
    """Forgets its argument."""

    def __init__(self, factor=1.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs):
        return self.factor * inputs

    def get_config(self):
        return super().get_config()


class Noise(KL.Layer):
    """Random outside training too."""

    def call(self, inputs):
        return inputs + keras.random.normal((4,))


class Zeros(KL.Layer):
    """Takes no notice of what comes before."""

    def call(self, inputs):
        return 0.0 * inputs


def dense_in_vain():
    return keras.Sequential([KL.Dense(4), Zeros()])


@pytest.mark.parametrize(
    ("candidate", "message"),
    [
        (lambda: Forgets(2.0), "Forgets|child of any genotype"),
        (Noise, "Noise|child of any genotype"),
        (dense_in_vain, "train for an epoch.*has not moved"),
    ],
)
def test_a_broken_candidate_is_rejected(candidate, message):
    with pytest.raises(AssertionError, match=f"(?s){message}"):
        check(one_choice(broken=candidate(), dense=KL.Dense(4)))


def test_targets_that_are_not_numbers_are_seen_in_the_loss():
    y = np.full((models.EXAMPLES, 1), np.nan)
    with pytest.raises(AssertionError, match="train for an epoch.*is nan"):
        check(one_choice(dense=KL.Dense(4), skip=KL.Identity()), y)


def test_another_count_by_hand_is_rejected():
    space = one_choice(wide=KL.Dense(4), skip=KL.Identity())
    with pytest.raises(AssertionError, match="costs .*, 7 by hand"):
        check(space, flops=lambda genotype: 7)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("recalibrate_batch_norm", "recalibrate its batch norms"),
        ("build_child", "build a child anew"),
    ],
)
def test_a_broken_step_is_rejected(monkeypatch, function, message):
    """Planted: nothing is recalibrated; a child of other weights is built."""
    broken = {
        "recalibrate_batch_norm": lambda model, data: model,
        "build_child": lambda space, genotype: keras.Sequential(
            [keras.Input((4,)), KL.Dense(1)]
        ),
    }
    monkeypatch.setattr(children, function, broken[function])
    with pytest.raises(AssertionError, match=message):
        check(one_choice(dense=KL.Dense(4), tanh=KL.Dense(4, "tanh")))
