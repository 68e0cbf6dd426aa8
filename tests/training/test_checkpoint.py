"""Saving, loading and resuming, each in a new process where it matters."""

import signal
import zipfile

import keras
import numpy as np
import pytest

import snas_keras
from tests.processes import run

LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def search(output, kill_at=0):
    output.mkdir(exist_ok=True)
    return run(
        "-m",
        "tests.scripts.resumable_search",
        output,
        kill_at,
        check=not kill_at,
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    output = tmp_path_factory.mktemp("straight")
    search(output)
    return dict(np.load(output / "result.npz"))


# 15 is the end of the third of six epochs of five steps, 13 lies within it
# behind a save at 12, and 14 is itself saved.
@pytest.mark.slow
@pytest.mark.parametrize("kill_at", [15, 13])
def test_a_killed_search_resumes_bit_for_bit(tmp_path, uninterrupted, kill_at):
    """All variables, both optimizers' slots, temperature, step, history and the
    lines of the log, but for the time they took."""
    killed = search(tmp_path, kill_at)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "result.npz").exists()
    search(tmp_path)
    resumed = dict(np.load(tmp_path / "result.npz"))
    assert resumed.keys() == uninterrupted.keys()
    for name, value in uninterrupted.items():
        np.testing.assert_array_equal(resumed[name], value)
    page = snas_keras.search_report(tmp_path).read_text()
    assert '<th scope="row">epochs</th><td>6</td>' in page


@pytest.mark.slow
def test_two_processes_give_identical_searches(tmp_path, uninterrupted):
    search(tmp_path)
    again = dict(np.load(tmp_path / "result.npz"))
    for name, value in uninterrupted.items():
        np.testing.assert_array_equal(again[name], value)


@pytest.fixture
def searched(tiny_space, images, compiled):
    supernet = compiled(
        tiny_space,
        metrics=["accuracy"],
        resource=snas_keras.Resource("flops", 0.2, form="log", name="speed"),
    )
    supernet.fit(*images, batch_size=8, epochs=2, verbose=0)
    return supernet


@pytest.mark.slow
def test_keras_file_continues_in_a_new_process(tmp_path, searched, images):
    """The file's supernet predicts the same and trains on to the same."""
    np.savez(tmp_path / "data.npz", x=images[0], y=images[1])
    searched.save(tmp_path / "search.keras")
    script = """
import sys, keras, numpy as np, snas_keras
folder = sys.argv[1]
data = np.load(folder + "/data.npz")
supernet = keras.models.load_model(folder + "/search.keras")
before = supernet.predict(data["x"], verbose=0)
supernet.fit(data["x"], data["y"], batch_size=8, shuffle=False, verbose=0)
resource = supernet.penalties.resources[0]
variables = supernet.variables + supernet.optimizer.variables
np.savez(folder + "/after.npz", before=before, resource=repr(resource),
         *[v.numpy() for v in variables])
"""
    (tmp_path / "continue.py").write_text(script)
    before = searched.predict(images[0], verbose=0)
    run(tmp_path / "continue.py", tmp_path)
    searched.fit(*images, batch_size=8, shuffle=False, verbose=0)
    found = dict(np.load(tmp_path / "after.npz"))
    np.testing.assert_array_equal(found.pop("before"), before)
    assert str(found.pop("resource")) == repr(
        snas_keras.Resource("flops", 0.2, form="log", name="speed")
    )
    wanted = searched.variables + searched.optimizer.variables
    assert len(found) == len(wanted)
    for index, variable in enumerate(wanted):
        np.testing.assert_array_equal(found[f"arr_{index}"], variable)


def test_shared_logits_are_still_one_variable_in_a_loaded_file(tmp_path):
    @snas_keras.search_space
    def shared(choose):
        x = inputs = keras.Input((4,))
        for _ in range(3):
            x = choose(
                "block",
                {
                    "dense": keras.layers.Dense(4),
                    "skip": keras.layers.Identity(),
                },
            )(x)
        return inputs, x

    supernet = snas_keras.build_supernet(shared())
    supernet.architecture.logits["block"].assign([0.0, 1.0])
    supernet.save(tmp_path / "a.keras")
    again = keras.models.load_model(tmp_path / "a.keras")
    assert len(again.architecture.trainable_variables) == 1
    assert again.derive() == {"block": "skip"}
    # The input, and the name of the output.
    assert len(snas_keras.convert(again).layers) == 2


def test_weights_file_restores_the_logits(
    tmp_path, searched, compiled, tiny_space
):
    searched.save_weights(tmp_path / "a.weights.h5")
    other = compiled(tiny_space)
    other.load_weights(tmp_path / "a.weights.h5")
    for a, b in zip(searched.weights, other.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_child_loads_where_the_library_cannot_be_imported(
    tmp_path, searched, images
):
    child = snas_keras.convert(searched)
    child.save(tmp_path / "child.keras")
    np.save(tmp_path / "x.npy", images[0])
    np.save(tmp_path / "y.npy", child.predict(images[0], verbose=0))
    (tmp_path / "load.py").write_text(
        "import sys; sys.modules['snas_keras'] = None\n"
        "import keras, numpy as np\n"
        "folder = sys.argv[1]\n"
        "try:\n"
        "    import snas_keras\n"
        "except ImportError:\n"
        "    print('not importable')\n"
        "model = keras.models.load_model(folder + '/child.keras')\n"
        "y = model.predict(np.load(folder + '/x.npy'), verbose=0)\n"
        "assert np.array_equal(y, np.load(folder + '/y.npy'))\n"
    )
    assert "not importable" in run(tmp_path / "load.py", tmp_path).stdout


def test_a_child_with_dead_nodes_loads_without_the_library(tmp_path):
    space = snas_keras.SEARCH_SPACES["snas_cifar"](
        cells=3, channels=2, input_shape=(8, 8, 3)
    )
    child = snas_keras.build_child(
        space, dict.fromkeys(space.choices(), "none")
    )
    child.save(tmp_path / "dead.keras")
    (tmp_path / "load.py").write_text(
        "import sys; sys.modules['snas_keras'] = None\n"
        "import keras, numpy as np\n"
        "model = keras.models.load_model(sys.argv[1])\n"
        "print(model(np.ones((2, 8, 8, 3))).shape)\n"
    )
    done = run(tmp_path / "load.py", tmp_path / "dead.keras")
    assert "(2, 10)" in done.stdout


@pytest.mark.parametrize("damage", ["cut", "flipped"])
def test_a_damaged_keras_file_is_refused(tmp_path, searched, damage):
    path = tmp_path / "search.keras"
    searched.save(path)
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        kernel = searched.network.get_layer("stem").kernel.numpy().tobytes()
        content[content.index(kernel) + 5] ^= 0xFF
    path.write_bytes(content[:-900] if damage == "cut" else content)
    with pytest.raises((ValueError, zipfile.BadZipFile), match="zip|CRC"):
        keras.models.load_model(path)


def checkpointed(compiled, space, images, path, epochs=1, **options):
    supernet = compiled(space, **options)
    batches = snas_keras.AddressableBatches(*images, batch_size=8)
    checkpoint = snas_keras.SearchCheckpoint(path, batches, every=1)
    history = supernet.fit(
        batches, epochs=epochs, verbose=0, callbacks=[checkpoint]
    ).history
    return supernet, history


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty"])
def test_a_damaged_checkpoint_is_refused_whole(
    tmp_path, tiny_space, images, compiled, damage
):
    path = tmp_path / "search.npz"
    saved, _ = checkpointed(compiled, tiny_space, images, path)
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        kernel = saved.network.get_layer("stem").kernel.numpy().tobytes()
        content[content.index(kernel) + 5] ^= 0xFF
    path.write_bytes({"cut": content[:-900], "empty": b""}.get(damage, content))
    supernet = compiled(tiny_space)
    before = [np.array(v) for v in supernet.variables]
    batches = snas_keras.AddressableBatches(*images, batch_size=8)
    checkpoint = snas_keras.SearchCheckpoint(path, batches)
    with pytest.raises(ValueError, match="damaged.*Nothing was loaded"):
        supernet.fit(batches, verbose=0, callbacks=[checkpoint])
    for variable, value in zip(supernet.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)


def test_a_checkpoint_of_another_model_is_refused_whole(
    tmp_path, tiny_space, dense_space, images, features, compiled
):
    path = tmp_path / "search.npz"
    checkpointed(compiled, tiny_space, images, path)
    with pytest.raises(ValueError, match="another model.*Nothing was loaded"):
        checkpointed(compiled, dense_space, features, path)
    with pytest.raises(ValueError, match="another model"):
        checkpointed(
            compiled,
            tiny_space,
            images,
            path,
            optimizer=keras.optimizers.SGD(0.1),
        )


def test_a_finished_run_is_not_trained_again(
    tmp_path, tiny_space, images, compiled
):
    path = tmp_path / "search.npz"
    first, history = checkpointed(compiled, tiny_space, images, path, epochs=2)
    again, repeated = checkpointed(compiled, tiny_space, images, path, epochs=2)
    assert repeated == history
    for a, b in zip(first.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    longer, history = checkpointed(compiled, tiny_space, images, path, epochs=3)
    assert int(longer.step) == 12
    assert len(history["loss"]) == 3


def test_checkpoints_resume_any_keras_model(tmp_path, features):
    def train(epochs, path):
        keras.utils.set_random_seed(0)
        model = keras.Sequential(
            [
                keras.Input((6,)),
                keras.layers.Dropout(0.3),
                keras.layers.Dense(3),
            ]
        )
        model.compile("adam", LOSS, metrics=["accuracy"])
        batches = snas_keras.AddressableBatches(*features, batch_size=8)
        checkpoint = snas_keras.SearchCheckpoint(path, batches)
        fitted = model.fit(
            batches, epochs=epochs, verbose=0, callbacks=[checkpoint]
        )
        return model.get_weights(), fitted.history

    straight = train(4, tmp_path / "a.npz")
    train(2, tmp_path / "b.npz")
    resumed = train(4, tmp_path / "b.npz")
    assert resumed[1] == straight[1]
    for a, b in zip(resumed[0], straight[0], strict=True):
        np.testing.assert_array_equal(a, b)


def test_checkpoint_refuses_bad_arguments(features):
    batches = snas_keras.AddressableBatches(*features, batch_size=8)
    with pytest.raises(TypeError, match="AddressableBatches"):
        snas_keras.SearchCheckpoint("a.npz", features)
    with pytest.raises(ValueError, match="every=-1"):
        snas_keras.SearchCheckpoint("a.npz", batches, every=-1)


def test_a_stopped_save_leaves_the_old_file(
    tmp_path, tiny_space, images, compiled, monkeypatch
):
    path = tmp_path / "search.npz"
    supernet, _ = checkpointed(compiled, tiny_space, images, path)
    before = path.read_bytes()
    monkeypatch.setattr(np, "savez", lambda file, **_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        checkpointed(compiled, tiny_space, images, path, epochs=2)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["search.npz"]
    assert int(supernet.step) == 4
