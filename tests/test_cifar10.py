"""The CIFAR-10 example, on images that the tests write themselves."""

import io
import json
import os
import re
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds

import snas_keras
from tests.processes import ROOT, run

FOLDER = ROOT / "experiments" / "cifar10"
sys.path.insert(0, str(FOLDER))

import common  # noqa: E402
import compare  # noqa: E402
import data  # noqa: E402
import retrain  # noqa: E402

SIZES = {"train": 96, "test": 16}
X = np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), dtype="uint8")


def write_split(folder, features, split, images, labels):
    path = folder / f"cifar10-{split}.tfrecord-00000-of-00001"
    with tf.io.TFRecordWriter(str(path)) as writer:
        for index, (image, label) in enumerate(
            zip(images, labels, strict=True)
        ):
            png = io.BytesIO()
            keras.utils.array_to_img(image, scale=False).save(png, "png")
            png.seek(0)
            example = {"id": f"{index}", "image": png, "label": int(label)}
            encoded = features.encode_example(example)
            writer.write(features.serialize_example(encoded))
    return path.stat().st_size


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """CIFAR-10's own layout, with a few random images."""
    root = tmp_path_factory.mktemp("tfds")
    folder = root / "cifar10" / "3.0.2"
    folder.mkdir(parents=True)
    features = tfds.features.FeaturesDict(
        {
            "id": tfds.features.Text(),
            "image": tfds.features.Image(shape=(32, 32, 3)),
            "label": tfds.features.ClassLabel(num_classes=10),
        }
    )
    generator = np.random.default_rng(1)
    infos = []
    for split, count in SIZES.items():
        images = generator.integers(0, 256, (count, 32, 32, 3), dtype="uint8")
        size = write_split(
            folder, features, split, images, np.arange(count) % 10
        )
        template = tfds.core.ShardedFileTemplate(
            data_dir=folder,
            dataset_name="cifar10",
            split=split,
            filetype_suffix="tfrecord",
        )
        infos.append(
            tfds.core.SplitInfo(
                name=split,
                shard_lengths=[count],
                num_bytes=size,
                filename_template=template,
            )
        )
    tfds.folder_dataset.write_metadata(
        data_dir=folder,
        features=features,
        split_infos=infos,
        check_data=False,
        supervised_keys=("image", "label"),
    )
    return root


def test_prepared_images_are_read(folder):
    x, y = data.load("train", folder)
    x_test, y_test = data.load("test", folder)
    assert x.shape == (96, 32, 32, 3)
    assert x.dtype == "uint8"
    assert x_test.shape == (16, 32, 32, 3)
    assert sorted(np.bincount(y)) == [9] * 4 + [10] * 6
    assert len(y_test) == 16


def test_the_environment_names_the_folder(folder, monkeypatch):
    done = run(
        "-c",
        "import data; print(len(data.load('train')[0]))",
        cwd=FOLDER,
        TFDS_DATA_DIR=str(folder),
    )
    assert done.stdout.strip() == "96"


def test_the_pipeline_is_measured_alone(folder):
    done = run(
        "data.py", "--data-dir", str(folder), "--batch", "16", cwd=FOLDER
    )
    assert re.match(r"96 images in \d+\.\d s\n\d+ batches of 16", done.stdout)


def test_a_folder_that_is_not_prepared_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="TFDS_DATA_DIR") as error:
        data.load("train", tmp_path / "empty")
    assert str(tmp_path / "empty") in str(error.value)
    assert "--download" in str(error.value)


def test_the_split_is_of_disjoint_halves_and_repeats():
    x = np.arange(20)
    train, valid = data.split(x, x, 5, seed=3)
    again, _ = data.split(x, x, 5, seed=3)
    np.testing.assert_array_equal(train, again)
    assert sorted([*train[0], *valid[0]]) == list(range(20))
    smaller, same = data.split(x, x, 5, seed=3, training=4)
    np.testing.assert_array_equal(smaller[0], train[0][:4])
    np.testing.assert_array_equal(same[0], valid[0])


@pytest.mark.parametrize(
    ("validation", "training"), [(20, None), (15, 6), (-1, 5)]
)
def test_an_impossible_split_is_refused(validation, training):
    with pytest.raises(ValueError, match="of 20"):
        data.split(np.arange(20), np.arange(20), validation, training=training)


def test_normalization_gives_the_mean_colour_zero():
    grey = np.round(255.0 * data.MEAN).astype("uint8")
    np.testing.assert_allclose(data.normalize(grey), 0.0, atol=0.01)


def test_a_crop_is_a_window_of_the_padded_image():
    padded = np.pad(X, ((0, 0), (4, 4), (4, 4), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(
        padded, (8, 8), axis=(1, 2)
    ).transpose(0, 1, 2, 4, 5, 3)
    places = set()
    for seed in range(40):
        cropped = data._crop(X, 4, np.random.default_rng(seed))
        for image, of_image in zip(cropped, windows, strict=True):
            found = np.argwhere((of_image == image).all((2, 3, 4)))
            assert len(found) == 1
            places.add(tuple(found[0]))
    # Of 81 places, 240 draws miss five or more with probability below 1 %.
    assert len(places) > 70


def test_a_flip_mirrors_half_of_the_images():
    flips = 0
    for seed in range(100):
        flipped = data._flip(X, np.random.default_rng(seed))
        for image, before in zip(flipped, X, strict=True):
            mirrored = (image == before[:, ::-1]).all()
            assert mirrored or (image == before).all()
            flips += mirrored
    # 600 fair coins: a deviation is 12.
    assert 240 < flips < 360


def test_cutout_clears_a_clipped_square_in_every_image():
    x = np.ones((2000, 8, 8, 1), "float32")
    cut = data._cut_out(x, 4, np.random.default_rng(0))[..., 0] == 0
    for image in cut[:50]:
        rows, columns = np.nonzero(image.any(1))[0], np.nonzero(image.any(0))[0]
        assert image[np.ix_(rows, columns)].all()
        assert max(len(rows), len(columns)) <= 4
    # A side is clipped to 2 or 3 where the centre is 0, 1 or 7 of 8.
    assert cut.sum((1, 2)).mean() == pytest.approx((28 / 8) ** 2, abs=0.25)
    corner = cut[:, 0, 0].mean()
    # A deviation of these frequencies is at most 0.01.
    assert corner == pytest.approx((3 / 8) ** 2, abs=0.04)


def test_a_batch_is_the_same_in_every_run():
    first = data.batches(X, np.arange(6), 3, seed=1, cutout=4)
    second = data.batches(X, np.arange(6), 3, seed=1, cutout=4)
    np.testing.assert_array_equal(first.batch(5, 1)[0], second.batch(5, 1)[0])
    assert first.batch(5, 1)[0].dtype == "float32"
    assert not np.array_equal(first.batch(5, 1)[0], first.batch(6, 1)[0])


def test_the_learning_rate_is_that_of_the_papers_code():
    rate = common.CosineByEpoch(0.025, 0.001, 150, steps_per_epoch=10)
    values = {0: 0.025, 9: 0.025, 750: 0.013, 1499: 0.001003}
    for step, value in values.items():
        assert float(rate(step)) == pytest.approx(value, abs=1e-6)


OPTIONS = (
    "--preset smoke --cells 1 --nodes 1 --channels 2 --batch 16 --training 64 "
    "--validation 16 --draws 1 --checkpoint-steps 1"
).split()


def search(folder, output):
    options = ["--data-dir", folder, "--output", output]
    return [FOLDER / "search.py", *OPTIONS, *options]


def killed_half_way(command, checkpoint):
    """Run until the first checkpoint is there, then kill."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    process = subprocess.Popen(
        [sys.executable, *map(str, command)],
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.time() + 240
    while not checkpoint.exists() and process.poll() is None:
        assert time.time() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL


@pytest.mark.slow
def test_a_search_killed_half_way_ends_the_same(folder, tmp_path):
    killed_half_way(
        search(folder, tmp_path / "killed"), tmp_path / "killed" / "search.npz"
    )
    # What a kill in mid-write leaves; the end of the test looks for it.
    for leftover in (".search.01234567.npz", ".search_best.01234567.keras"):
        (tmp_path / "killed" / leftover).touch()
    run(*search(folder, tmp_path / "killed"))
    run(*search(folder, tmp_path / "whole"))
    one, other = (
        dict(np.load(tmp_path / name / "search.npz"))
        for name in ("killed", "whole")
    )
    assert one.keys() == other.keys()
    for name, value in one.items():
        np.testing.assert_array_equal(value, other[name])
    histories = [
        (tmp_path / name / "search.csv").read_text()
        for name in ("killed", "whole")
    ]
    assert histories[0] == histories[1]
    written = {path.name for path in (tmp_path / "killed").iterdir()}
    assert written == {
        "genotype.json",
        "options.json",
        "retention.json",
        "retention.md",
        "retention.png",
        "report.html",
        "search.csv",
        "search.json",
        "search.jsonl",
        "search.npz",
        "search_best.keras",
        "tensorboard",
    }
    report = json.loads((tmp_path / "killed" / "retention.json").read_text())
    assert report["metric"] == "accuracy"


def test_snas_anneals_from_one_to_the_final_temperature():
    schedule = compare.annealing(0.03)
    found = [schedule(epoch, 8) for epoch in range(8)]
    assert found[0] == 1.0
    assert found[-1] == pytest.approx(0.03)
    assert np.diff(found) == pytest.approx(-0.97 / 7)


def test_the_page_of_results_has_the_tables_of_the_runs():
    folder = ROOT / "docs" / "results"
    runs = json.loads((folder / "cifar10" / "compare.json").read_text())
    page = (folder / "cifar10.md").read_text()
    assert {len(found) for found in runs.values()} == {3}
    for table in (compare.kept_table(runs), compare.test_table(runs)):
        assert table in page
    for method, found in runs.items():
        for run_ in found:
            path = folder / "cifar10" / f"{method}_{run_['seed']}.json"
            assert json.loads(path.read_text()) == run_


@pytest.mark.slow
def test_a_child_is_retrained_and_exported(folder, tmp_path):
    """Auxiliary classifier, drop path and cutout on; the exported network has
    neither the first nor the second."""
    run(
        FOLDER / "retrain.py",
        *"--preset smoke --cell snas_moderate --channels 2".split(),
        *"--training 32 --validation 32 --batch 16".split(),
        *("--data-dir", folder, "--output", tmp_path),
    )
    result = json.loads((tmp_path / "result.json").read_text())
    assert 0.0 <= result["test"]["accuracy"] <= 1.0
    served = tf.saved_model.load(tmp_path / "served")
    network = keras.models.load_model(tmp_path / "network.keras")
    x = np.zeros((2, 32, 32, 3), "float32")
    [logits] = served.serve(x).values()
    np.testing.assert_allclose(logits, network(x), atol=1e-6)
    modules = {type(layer).__module__ for layer in network._flatten_layers()}
    assert all(module.startswith("keras.") for module in modules)
    trained = np.load(tmp_path / "retrain.npz")
    state = json.loads(str(trained["state"]))
    assert len(state["history"]["val_logits_accuracy"]) == 2
    assert (tmp_path / "retrain_best.keras").exists()


def test_the_retrained_cell_has_the_nodes_of_its_genotype():
    for nodes in (1, 2, 4):
        space = snas_keras.SEARCH_SPACES["snas_cifar"](cells=3, nodes=nodes)
        assert retrain.nodes_of(space.random_genotype(0)) == nodes
    assert retrain.nodes_of({"elsewhere": "conv"}) == 4


def paired(seed=0):
    x = np.arange(12, dtype="uint8").reshape(12, 1, 1, 1)
    x = np.broadcast_to(x, (12, 12, 12, 3))
    return compare.PairedBatches(x, np.arange(12), 3, seed)


def test_paired_batches_have_a_half_of_each_half():
    seen = []
    batches = paired()
    for index in range(len(batches)):
        x, y = batches.batch(0, index)
        assert x.shape == (6, 12, 12, 3)
        assert y.shape == (6,)
        # The centre of an image keeps its grey value under crop and flip.
        grey = x[:, 6, 6, 0] * data.DEVIATION[0] + data.MEAN[0]
        np.testing.assert_allclose(255 * grey, y, atol=1e-3)
        seen.append(y.reshape(2, 3).T)
    seen = np.concatenate(seen)
    assert sorted(seen[:, 0]) == list(range(6))
    assert sorted(seen[:, 1]) == list(range(6, 12))


def dense_supernet(kind, shape):
    @snas_keras.search_space
    def space(choose):
        inputs = keras.Input(shape)
        x = keras.layers.Flatten()(inputs)
        candidates = {
            "dense": lambda: keras.layers.Dense(2, use_bias=False),
            "half": lambda: keras.layers.Dense(2, use_bias=False),
        }
        return inputs, choose("edge", candidates)(x)

    keras.utils.set_random_seed(0)
    supernet = snas_keras.build_supernet(space(), estimator="softmax")
    supernet = kind(supernet.network, supernet.architecture)
    supernet.compile(
        keras.optimizers.SGD(0.1),
        keras.optimizers.SGD(0.5),
        "mse",
        run_eagerly=True,
    )
    return supernet


def test_bi_level_takes_each_gradient_from_its_own_half():
    """By hand: the step of the weights is that of single-level training on the
    first half alone, that of the logits the one on the second half."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(8, 3)).astype("float32")
    y = generator.normal(size=(8, 2)).astype("float32")
    both = dense_supernet(compare.BiLevelSuperNet, (3,))
    both.train_step((tf.constant(x), tf.constant(y)))
    first, second = (
        dense_supernet(snas_keras.SuperNet, (3,)) for _ in range(2)
    )
    first.train_step((tf.constant(x[:4]), tf.constant(y[:4])))
    second.train_step((tf.constant(x[4:]), tf.constant(y[4:])))
    for found, expected in zip(
        both.network.weights, first.network.weights, strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
    for found, expected, other in zip(
        both.architecture.trainable_variables,
        second.architecture.trainable_variables,
        first.architecture.trainable_variables,
        strict=True,
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-6)
        assert not np.allclose(found, other)


def test_a_killed_bi_level_search_goes_on(tmp_path):
    class Kill(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if batch == 1:
                raise KeyboardInterrupt

    def fit(path, *callbacks):
        supernet = dense_supernet(compare.BiLevelSuperNet, (12, 12, 3))
        x = np.random.default_rng(0).integers(0, 256, (12, 12, 12, 3), "uint8")
        y = x[:, 0, 0, :2].astype("float32") / 255
        batches = compare.PairedBatches(x, y, 2, 0)
        checkpoint = snas_keras.SearchCheckpoint(path, batches, every=1)
        supernet.fit(
            batches, epochs=2, callbacks=[checkpoint, *callbacks], verbose=0
        )
        return supernet

    whole = fit(tmp_path / "whole.npz")
    with pytest.raises(KeyboardInterrupt):
        fit(tmp_path / "killed.npz", Kill())
    resumed = fit(tmp_path / "killed.npz")
    for a, b in zip(whole.variables, resumed.variables, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.slow
def test_a_comparison_goes_on_and_reports(folder, tmp_path):
    """One seed of two methods is there already; the others run."""
    command = [
        *(FOLDER / "compare.py", "--data-dir", folder, "--output", tmp_path),
        *"--preset smoke --cells 1 --nodes 1 --channels 2".split(),
        *"--seeds 1 --jobs 2 --draws 1 --children 1".split(),
    ]
    planted = {
        "values": dict.fromkeys([*compare.KEPT, compare.RULED], [0.5, 0.7]),
        "entropy": 1.0,
        "children": {
            "mode": {"test": 0.25, "parameters": 1000},
            "darts": {"test": 0.5, "parameters": 2000},
        },
        "multiply_adds": 2e9,
        "steps": 7,
    }
    for method in ("snas", "bilevel"):
        (tmp_path / f"{method}_0.json").write_text(json.dumps(planted))
    done = run(*command)
    table = (tmp_path / "compare.md").read_text()
    assert table.strip() in done.stdout
    by_darts = "| attention, bi-level, DARTS' rule | 1 | 50.0 ± 0.0 | 2,000 ±"
    assert "| attention, bi-level | 1 | 25.0 ± 0.0 | 1,000 ± 0 | 7" in table
    assert by_darts in table
    runs = json.loads((tmp_path / "compare.json").read_text())
    assert runs["bilevel"] == [planted]
    assert list(runs["attention"][0]["children"]) == ["mode", "darts"]
    assert runs["attention"][0]["steps"] == runs["random"][0]["steps"] == 8
    kept = runs["attention"][0]["values"]
    assert {*compare.KEPT, compare.RULED} <= set(kept)
    assert (tmp_path / "compare.png").stat().st_size > 10_000


def test_the_page_of_results_names_the_programs():
    page = (ROOT / "docs" / "results" / "cifar10.md").read_text()
    for program in ("search", "retrain", "compare"):
        assert f"python experiments/cifar10/{program}.py" in page
