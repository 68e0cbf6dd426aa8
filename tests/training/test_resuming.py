"""Killed and resumed runs end as the one that was never stopped, whatever the
data, the callbacks beside the checkpoint, and the place of the kill."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import snas_keras
from snas_keras.training import _attributes, _sources

N, SIZE, STEPS, EPOCHS = 24, 4, 6, 4
generator = np.random.default_rng(0)
X = generator.normal(size=(N, 3)).astype("float32")
Y = X @ generator.normal(size=(3, 1)).astype("float32")


class Killed(Exception):
    """Where SIGKILL would strike."""


class KillAt(keras.callbacks.Callback):
    """Kill in an epoch behind a batch, in the validation or at the end."""

    def __init__(self, epoch, place):
        super().__init__()
        self.at = (epoch, place)

    def strike(self, place):
        if (self.epoch, place) == self.at:
            raise Killed

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        self.strike(batch)

    def on_test_begin(self, logs=None):
        self.strike("validation")

    def on_epoch_end(self, epoch, logs=None):
        self.strike("end")


class Shuffled(keras.utils.PyDataset):
    """Any dataset: its order changes between epochs, by its own generator."""

    def __init__(self, **options):
        super().__init__(**options)
        self.order = np.arange(N)
        self.random = np.random.default_rng(7)

    def __len__(self):
        return STEPS

    def __getitem__(self, index):
        rows = self.order[index * SIZE : (index + 1) * SIZE]
        return X[rows], Y[rows]

    def on_epoch_end(self):
        self.random.shuffle(self.order)


class Global(Shuffled):
    """Its order comes from NumPy's global generator."""

    def on_epoch_end(self):
        np.random.shuffle(self.order)


class Endless(keras.utils.PyDataset):
    num_batches = None

    def __getitem__(self, index):
        rows = np.arange(index * SIZE, (index + 1) * SIZE) * 5 % N
        return X[rows], Y[rows]


def pipeline(shuffles=True, **options):
    tf.random.set_seed(5)  # As a script does before it makes its data.
    data = tf.data.Dataset.from_tensor_slices((X, Y))
    data = data.shuffle(N, seed=3, **options) if shuffles else data
    return data


DATA = {
    "arrays": lambda: snas_keras.AddressableBatches(X, Y, SIZE, seed=2),
    "dataset": Shuffled,
    "global": Global,
    "threads": lambda: Shuffled(workers=2),
    "endless": Endless,
    "tf": lambda: pipeline(False).batch(SIZE),
    "tf shuffled": lambda: pipeline().batch(SIZE).prefetch(2),
    "tf once": lambda: pipeline(reshuffle_each_iteration=False).batch(SIZE),
    "tf endless": lambda: pipeline().repeat().batch(SIZE),
}


def model_of(rate=0.1, names=("first", "second"), units=(4, 4)):
    keras.utils.set_random_seed(3)
    layers = [
        keras.layers.Dense(u, name=n, activation="tanh")
        for n, u in zip(names, units, strict=True)
    ]
    model = keras.Sequential(
        [keras.Input((3,)), *layers, keras.layers.Dropout(0.1)]
        + [keras.layers.Dense(1)]
    )
    model.compile(
        keras.optimizers.SGD(rate, momentum=0.9), "mse", metrics=["mae"]
    )
    return model


def train(path, data, callbacks=(), kill=None, every=2, model=None, **options):
    """Fit; return the model, or None where it was killed."""
    model = model or model_of()
    checkpoint = snas_keras.SearchCheckpoint(path, data, every=every)
    if isinstance(data, (Endless, tf.data.Dataset)):
        options["shuffle"] = False
    if isinstance(data, Endless) or (
        isinstance(data, tf.data.Dataset)
        and data.cardinality() == tf.data.INFINITE_CARDINALITY
    ):
        options["steps_per_epoch"] = STEPS
    killers = [KillAt(*kill)] if kill else []
    try:
        model.fit(
            data,
            **{"epochs": EPOCHS, "verbose": 0, **options},
            callbacks=[checkpoint, *callbacks, *killers],
        )
    except Killed:
        return None
    return model


def assert_same(one, other):
    assert one.history.history == other.history.history
    assert one.history.epoch == other.history.epoch
    for a, b in zip(one.variables, other.variables, strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(
        one.optimizer.variables, other.optimizer.variables, strict=True
    ):
        np.testing.assert_array_equal(a, b)


# The others take half a minute together.
SHORT = ("arrays", "dataset", "tf shuffled")


@pytest.mark.parametrize(
    ("kind", "kill"),
    [
        *((kind, (2, 5)) for kind in SHORT),
        *(
            pytest.param(kind, kill, marks=pytest.mark.slow)
            for kind, kill in (
                *((k, (2, 5)) for k in DATA if k not in SHORT),
                *((k, (0, 3)) for k in ("dataset", "endless")),
                *((k, (2, 0)) for k in ("tf shuffled", "tf endless")),
            )
        ),
    ],
)
def test_data_go_on_at_their_position(tmp_path, kind, kill):
    """Another global state in the second process, as after a restart."""
    np.random.seed(1)
    straight = train(tmp_path / "a.npz", DATA[kind]())
    np.random.seed(1)
    assert train(tmp_path / "b.npz", DATA[kind](), kill=kill) is None
    np.random.seed(99)
    assert_same(train(tmp_path / "b.npz", DATA[kind]()), straight)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["dataset", "tf shuffled"])
def test_several_kills_are_as_none(tmp_path, kind):
    straight = train(tmp_path / "a.npz", DATA[kind]())
    for kill in ((0, 5), (1, 3), (1, 4)):
        assert train(tmp_path / "b.npz", DATA[kind](), kill=kill) is None
    assert_same(train(tmp_path / "b.npz", DATA[kind]()), straight)


@pytest.mark.parametrize("place", ["validation", "end"])
@pytest.mark.parametrize(("every", "execution"), [(1, 1), (3, 4)])
def test_a_kill_behind_the_last_batch_repeats_no_batch(
    tmp_path, place, every, execution
):
    def run(path, kill=None):
        model = model_of()
        model.compile("adam", "mse", steps_per_execution=execution)
        return train(
            path,
            DATA["arrays"](),
            every=every,
            kill=kill,
            model=model,
            validation_data=(X, Y),
        )

    straight = run(tmp_path / "a.npz")
    assert run(tmp_path / "b.npz", (1, place)) is None
    assert_same(run(tmp_path / "b.npz"), straight)


def plateau():
    return keras.callbacks.ReduceLROnPlateau(
        "loss", factor=0.5, patience=1, min_delta=10.0, cooldown=1
    )


def stopping(**options):
    return keras.callbacks.EarlyStopping(
        "loss", patience=3, min_delta=10.0, **options
    )


@pytest.mark.parametrize("kill", [(2, 0), (2, 4), (3, "end")])
def test_early_stopping_and_plateaus_go_on(tmp_path, kill):
    """Both count epochs: a run of ten epochs is stopped in the fourth, behind
    which the last kill strikes."""

    def run(path, **options):
        callbacks = [stopping(restore_best_weights=True), plateau()]
        model = train(path, DATA["arrays"](), callbacks, epochs=10, **options)
        return model, callbacks

    straight, (stopper, reducer) = run(tmp_path / "a.npz")
    assert len(straight.history.history["loss"]) < 10
    rates = straight.history.history["learning_rate"]
    assert rates[-1] < rates[0]
    run(tmp_path / "b.npz", kill=kill)
    resumed, (again, reduced) = run(tmp_path / "b.npz")
    assert_same(resumed, straight)
    assert (again.wait, again.best) == (stopper.wait, stopper.best)
    assert reduced.cooldown_counter == reducer.cooldown_counter


def test_a_search_that_was_stopped_early_stays_stopped(tmp_path):
    first = train(tmp_path / "a.npz", DATA["arrays"](), [stopping()], epochs=9)
    again = train(tmp_path / "a.npz", DATA["arrays"](), [stopping()], epochs=9)
    assert_same(first, again)


class StopAt(keras.callbacks.Callback):
    """Ends a run in the middle of an epoch, as a limit of time does."""

    def __init__(self, epoch, batch):
        super().__init__()
        self.at, self.epoch = (epoch, batch), None

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if (self.epoch, batch) == self.at:
            self.model.stop_training = True


def test_a_run_that_was_ended_in_mid_epoch_goes_on_there(tmp_path):
    straight = train(tmp_path / "a.npz", DATA["arrays"]())
    train(tmp_path / "b.npz", DATA["arrays"](), [StopAt(1, 2)], every=None)
    with np.load(tmp_path / "b.npz") as file:
        state = json.loads(str(file["state"]))
    assert (state["epoch"], state["batch"]) == (1, 3)
    assert_same(train(tmp_path / "b.npz", DATA["arrays"]()), straight)


class Counter(keras.callbacks.Callback):
    """A callback of a user's, with a state in plain attributes."""

    def __init__(self):
        super().__init__()
        self.batches, self.seen = [], np.zeros(2)

    def on_train_batch_end(self, batch, logs=None):
        self.batches.append(batch)
        self.seen += 1.0


@pytest.mark.parametrize("every", [1, 2, None])
def test_a_callback_hears_of_every_batch_once(tmp_path, every):
    """Before and behind the kill together, in the order of the epochs."""
    data = DATA["arrays"]
    train(tmp_path / "b.npz", data(), [Counter()], kill=(1, 5), every=every)
    counter = Counter()
    train(tmp_path / "b.npz", data(), [counter], every=every)
    assert counter.batches == list(range(STEPS)) * EPOCHS
    np.testing.assert_array_equal(counter.seen, STEPS * EPOCHS)


def test_settings_of_a_callback_are_those_of_the_new_run(tmp_path):
    train(tmp_path / "a.npz", DATA["arrays"](), [stopping()], epochs=2)
    patient = keras.callbacks.EarlyStopping("loss", patience=50, min_delta=10)
    train(tmp_path / "a.npz", DATA["arrays"](), [patient], epochs=6)
    assert (patient.patience, patient.wait) == (50, 5)


def test_callbacks_that_cannot_go_on_are_refused(tmp_path):
    backup = keras.callbacks.BackupAndRestore(tmp_path / "backup")
    with pytest.raises(ValueError, match="both restore the model"):
        train(tmp_path / "a.npz", DATA["arrays"](), [backup])

    def csv(**options):
        return [keras.callbacks.CSVLogger(tmp_path / "log.csv", **options)]

    [logger] = csv()
    train(tmp_path / "a.npz", DATA["arrays"](), [logger], kill=(1, 1))
    logger.csv_file.close()
    with pytest.raises(ValueError, match="give it append=True"):
        train(tmp_path / "a.npz", DATA["arrays"](), csv())
    train(tmp_path / "a.npz", DATA["arrays"](), csv(append=True))
    lines = (tmp_path / "log.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines[1:]] == ["0", "1", "2", "3"]


class Random(Shuffled):
    def __getitem__(self, index):
        return X[:SIZE] + np.random.normal(), Y[:SIZE]


class Stream(Shuffled):
    def __init__(self):
        super().__init__()
        self.stream = iter(range(10**6))


def test_data_without_a_position_are_refused(tmp_path):
    for data in ((X, Y), X, iter([X])):
        with pytest.raises(TypeError, match="AddressableBatches, a keras.util"):
            snas_keras.SearchCheckpoint("a.npz", data)
    with pytest.raises(ValueError, match="another each time.*default_rng"):
        train(tmp_path / "a.npz", Random())
    with pytest.raises(TypeError, match="'stream' of Stream is an iterator"):
        train(tmp_path / "a.npz", Stream())
    with pytest.raises(ValueError, match="Received: 4 steps an epoch of 6"):
        train(tmp_path / "a.npz", Shuffled(), steps_per_epoch=4)
    with pytest.raises(ValueError, match="Received: 4 steps an epoch of 6"):
        train(tmp_path / "a.npz", DATA["tf"](), steps_per_epoch=4)
    options = tf.data.Options()
    options.deterministic = False
    with pytest.raises(ValueError, match="deterministic=False"):
        train(tmp_path / "a.npz", DATA["tf"]().with_options(options))
    unknown = DATA["tf"]().filter(lambda x, y: True)
    with pytest.raises(ValueError, match="assert_cardinality"):
        train(tmp_path / "a.npz", unknown)


def test_a_pipeline_without_a_seed_is_refused_when_it_is_to_go_on(tmp_path):
    """Two of 24! orders are never equal."""

    def unseeded():
        data = tf.data.Dataset.from_tensor_slices((X, Y))
        return data.shuffle(N).batch(SIZE)

    assert train(tmp_path / "a.npz", unseeded(), kill=(1, 3)) is None
    model = model_of()
    before = model.get_weights()
    with pytest.raises(ValueError, match="seed all that is random.*Nothing"):
        train(tmp_path / "a.npz", unseeded(), model=model)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("kind", "other"),
    [
        ("arrays", lambda: snas_keras.AddressableBatches(X, Y, SIZE, seed=9)),
        ("arrays", lambda: snas_keras.AddressableBatches(X[:20], Y[:20], SIZE)),
        (
            "arrays",
            lambda: snas_keras.AddressableBatches(
                X, Y, SIZE, seed=2, augment=lambda x, random: x
            ),
        ),
        ("arrays", Shuffled),
        (
            "tf",
            lambda: pipeline(False).map(lambda x, y: (x + 1, y)).batch(SIZE),
        ),
    ],
)
def test_a_checkpoint_of_other_data_is_refused(tmp_path, kind, other):
    train(tmp_path / "a.npz", DATA[kind](), kill=(1, 3))
    with pytest.raises(ValueError, match="Nothing was loaded"):
        train(tmp_path / "a.npz", other())


def test_a_checkpoint_of_another_optimizer_is_refused(tmp_path):
    train(tmp_path / "a.npz", DATA["arrays"](), epochs=1)
    with pytest.raises(ValueError, match="optimizer was.*Nothing was loaded"):
        train(tmp_path / "a.npz", DATA["arrays"](), model=model_of(rate=0.2))


def test_a_checkpoint_of_layers_in_another_order_is_refused(tmp_path):
    """Their shapes are equal; the names are what tells them apart."""
    train(tmp_path / "a.npz", DATA["arrays"](), epochs=1)
    other = model_of(names=("second", "first"), units=(4, 4))
    with pytest.raises(ValueError, match="from another model.*first.*second"):
        train(tmp_path / "a.npz", DATA["arrays"](), model=other)


@pytest.mark.parametrize("names", [("a_1", "a_2"), ("a_2", "a_1")])
def test_numbers_in_names_count_by_their_order(tmp_path, names):
    train(tmp_path / "a.npz", DATA["arrays"](), model=model_of(names=names))
    later = tuple(n.replace("1", "11").replace("a_2", "a_12") for n in names)
    train(tmp_path / "a.npz", DATA["arrays"](), model=model_of(names=later))
    other = model_of(names=names[::-1])
    with pytest.raises(ValueError, match="from another model"):
        train(tmp_path / "a.npz", DATA["arrays"](), model=other)


def test_a_checkpoint_of_other_choices_is_refused(tmp_path, compiled):
    def search(names):
        @snas_keras.search_space
        def space(choose):
            inputs = keras.Input((3,))
            made = {n: keras.layers.Dense(1) for n in names}
            return inputs, choose("block", made)(inputs)

        supernet = compiled(space(), loss="mse")
        return train(tmp_path / "a.npz", DATA["arrays"](), model=supernet)

    search(("relu", "linear"))
    search(("relu", "linear"))
    for names in (("linear", "relu"), ("relu", "straight")):
        with pytest.raises(ValueError, match="its choices are.*relu.*linear"):
            search(names)


def rewritten(path, change):
    with np.load(path) as file:
        arrays = dict(file)
    change(arrays)
    np.savez(path, **arrays)


def test_a_checkpoint_of_another_dtype_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    train(path, DATA["arrays"](), epochs=1)

    def widen(arrays):
        arrays["model.0"] = arrays["model.0"].astype("float64")

    rewritten(path, widen)
    with pytest.raises(ValueError, match="float32.*float64.*Nothing was load"):
        train(path, DATA["arrays"]())


def test_variables_in_bfloat16_go_on(tmp_path):
    keras.config.set_dtype_policy("bfloat16")
    straight = train(tmp_path / "a.npz", DATA["arrays"]())
    train(tmp_path / "b.npz", DATA["arrays"](), kill=(1, 3))
    assert_same(train(tmp_path / "b.npz", DATA["arrays"]()), straight)


def test_a_state_that_is_not_a_number_is_not_saved(tmp_path):
    """The file keeps the last good one; one of NaN is not resumed."""
    path = tmp_path / "a.npz"

    def broken():
        calls = iter(range(10**6))

        def augment(x, random):
            return x * np.nan if next(calls) == 12 else x

        return snas_keras.AddressableBatches(X, Y, SIZE, augment=augment)

    with pytest.raises(ValueError, match="has failed.*is NaN.*last good state"):
        train(path, broken(), every=1)
    with np.load(path) as file:
        good = dict(file)
    assert json.loads(str(good["state"]))["epoch"] > 0
    floats = [a for a in good.values() if a.dtype.kind == "f"]
    assert all(np.isfinite(a).all() for a in floats)

    def spoil(arrays):
        arrays["model.0"][0, 0] = np.nan

    rewritten(path, spoil)
    with pytest.raises(ValueError, match="has failed.*Nothing was loaded"):
        train(path, broken())


def test_steps_an_execution_must_divide_the_position(tmp_path):
    train(tmp_path / "a.npz", DATA["arrays"](), kill=(1, 4), every=3)
    model = model_of()
    model.compile(
        model.optimizer, "mse", metrics=["mae"], steps_per_execution=2
    )
    with pytest.raises(ValueError, match="`steps_per_execution` must divide"):
        train(tmp_path / "a.npz", DATA["arrays"](), model=model)


def test_attributes_that_changed_come_back():
    class Thing:
        def __init__(self):
            self.same, self.number, self.open = 1, 2, object()
            self.values, self.pair = {3: [1.5, None]}, (1, "a")
            self.random, self.array = np.random.default_rng(0), np.zeros(3)
            self.scalar, self.old = np.float32(1), np.random.RandomState(0)

    one, two = Thing(), Thing()
    state = _attributes.Attributes(one)
    one.number, one.pair, one.open = 7, (2, "b"), None
    one.values[3].append(float("inf"))
    one.array[1], one.scalar = 5.0, np.float32(0.1)
    one.random.normal(), one.old.normal()
    arrays = []

    def store(array):
        arrays.append(array)
        return len(arrays) - 1

    saved = json.loads(json.dumps(state.changed(store)))
    assert "same" not in saved
    two.same = 9
    _attributes.Attributes(two).restore(saved, lambda i: arrays[i])
    assert (two.same, two.number, two.pair) == (9, 7, (2, "b"))
    assert two.values == {3: [1.5, None, float("inf")]}
    assert two.scalar == np.float32(0.1)
    np.testing.assert_array_equal(two.array, [0, 5, 0])
    assert one.random.normal() == two.random.normal()
    assert one.old.normal() == two.old.normal()


def test_checksums_tell_batches_apart():
    ragged = [
        tf.ragged.constant([[1], [2, 3]]),
        tf.ragged.constant([[1, 2], [3]]),
    ]
    words = [np.array(["a", "b"], object), np.array(["a", "c"], object)]
    for one, other in (ragged, words, [X[:4], X[4:8]]):
        assert _sources._mark((one, None)) == _sources._mark((one, None))
        assert _sources._mark(one) != _sources._mark(other)
