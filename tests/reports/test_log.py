"""The log of a search: what a line says, and what stays of it."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import snas_keras
from snas_keras import costs as costs_lib
from snas_keras import reports
from snas_keras._utils import sealed
from snas_keras.reports import _figures, _json, _log, _read, _records
from tests import planted


def searched(space, data, compiled, path, epochs=3, **options):
    supernet = compiled(
        space,
        metrics=["accuracy"],
        resource=snas_keras.Resource("flops", limit="60%"),
    )
    supernet.fit(
        *data,
        batch_size=16,
        epochs=epochs,
        verbose=0,
        validation_data=data,
        callbacks=[snas_keras.SearchLogger(path, **options)],
    )
    return supernet


def lines_of(path):
    text = (path / "search.jsonl").read_text()
    return [sealed.loads(line) for line in text.splitlines()]


def test_the_last_line_is_what_the_supernet_says(
    tiny_space, images, compiled, tmp_path
):
    supernet = searched(
        tiny_space, images, compiled, tmp_path, tensorboard=False
    )
    lines = lines_of(tmp_path)
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    last = lines[-1]
    distribution = supernet.architecture.distribution()
    for name, p in distribution.probabilities().items():
        assert last["probabilities"][name] == p.tolist()
    assert last["probabilities"] != lines[0]["probabilities"]
    assert last["entropy"] == distribution.entropy()
    assert last["margin"] == distribution.margin()
    assert last["genotype"] == dict(supernet.derive())
    assert last["temperature"] == 1.0
    history = supernet.history.history
    assert last["logs"]["val_accuracy"] == history["val_accuracy"][-1]
    assert last["logs"]["loss"] == history["loss"][-1]
    for name, found in supernet.credit.values().items():
        for key, value in found.items():
            assert last["credit"][name][key] == np.asarray(value).tolist()
    for name in ("flops", "parameters"):
        cost = costs_lib.ChildCost(supernet, name)
        assert last["costs"][name]["child"] == cost(supernet.derive())
        assert last["costs"][name]["expected"] == pytest.approx(
            cost.expected(distribution.probabilities())
        )
    weight = float(supernet.resource_weights[0])
    assert last["costs"]["flops"]["weight"] == weight
    assert last["costs"]["parameters"]["weight"] is None
    assert last["seconds"] > 0


def test_the_run_says_what_is_searched(tiny_space, images, compiled, tmp_path):
    supernet = searched(tiny_space, images, compiled, tmp_path, epochs=1)
    about = json.loads((tmp_path / "search.json").read_text())
    assert about["name"] == "tiny"
    assert about["children"] == 81
    assert about["choices"]["left_0"] == ["none", "conv", "skip"]
    cost = costs_lib.ChildCost(supernet, "flops")
    assert about["costs"]["flops"] == {
        "minimum": cost.minimum,
        "maximum": cost.maximum,
        "limit": 0.6 * cost.maximum,
    }
    assert about["costs"]["parameters"]["limit"] is None
    assert about["versions"]["keras"] == keras.__version__


def test_a_search_from_the_start_moves_the_old_log_aside(
    tiny_space, images, compiled, tmp_path
):
    supernet = searched(tiny_space, images, compiled, tmp_path, epochs=1)
    for _ in range(2):
        logger = snas_keras.SearchLogger(tmp_path, tensorboard=False)
        supernet.fit(*images, verbose=0, callbacks=[logger])
    assert len(lines_of(tmp_path)) == 1
    names = sorted(p.name for p in tmp_path.glob("search*.jsonl"))
    assert names == ["search-1.jsonl", "search-2.jsonl", "search.jsonl"]


def test_a_resumed_search_replaces_the_epochs_it_runs_again(
    tiny_space, images, compiled, tmp_path
):
    """The log is ahead of the checkpoint by the epoch that was not saved."""
    supernet = searched(tiny_space, images, compiled, tmp_path, epochs=3)
    before = lines_of(tmp_path)
    logger = snas_keras.SearchLogger(tmp_path, tensorboard=False)
    supernet.fit(
        *images, initial_epoch=2, epochs=4, verbose=0, callbacks=[logger]
    )
    after = lines_of(tmp_path)
    assert [line["epoch"] for line in after] == [0, 1, 2, 3]
    assert after[:2] == before[:2]
    assert after[2] != before[2]


@pytest.mark.parametrize(
    ("value", "written"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (np.float32(2.5), 2.5),
        (np.int64(3), 3),
        (True, True),
        (tf.constant([1.0, float("nan")]), [1.0, None]),
        (tf.constant(2.0, "bfloat16"), 2.0),
        (keras.Variable(2.0), 2.0),
        ({"a": np.float64(1.0), 2: (1, 2)}, {"a": 1.0, "2": [1, 2]}),
        (object, "<class 'object'>"),
    ],
)
def test_a_metric_of_any_kind_is_written_as_json(value, written):
    def refuse(name):
        raise ValueError(name)

    text = _json.dumps({"metric": value})
    assert json.loads(text, parse_constant=refuse) == {"metric": written}


def test_a_search_that_diverges_is_written_and_read_and_goes_on(
    dense_space, features, compiled, tmp_path
):
    x, y = features
    supernet = compiled(dense_space, metrics=["accuracy"])
    callbacks = [
        snas_keras.SearchLogger(tmp_path),
        snas_keras.HealthGuard(tmp_path),
    ]
    with pytest.warns(snas_keras.SearchWarning, match="not finite") as caught:
        supernet.fit(x * np.nan, y, epochs=3, verbose=0, callbacks=callbacks)
    assert len(supernet.history.history["loss"]) == 3
    said = [str(w.message) for w in caught]
    assert sum("The log has null" in text for text in said) == 1
    assert sum("The search has diverged" in text for text in said) == 1
    assert "NaN" not in (tmp_path / "search.jsonl").read_text()
    search, epochs = _read.read_search(tmp_path)
    assert epochs[-1].genotype is None
    assert np.isnan(epochs[-1].scalars()["loss"])
    assert np.isnan(epochs[-1].costs["parameters"].child)
    assert reports.read_log(tmp_path)[1] == lines_of(tmp_path)
    page = snas_keras.search_report(tmp_path).read_text()
    assert "The search has diverged: its logits are not finite" in page


def test_metrics_are_logged_in_the_order_in_which_they_were_compiled(
    dense_space, features, compiled, tmp_path
):
    """And whether they are better when larger; Keras sorts them by name."""
    supernet = compiled(
        dense_space,
        metrics=[
            keras.metrics.SparseTopKCategoricalAccuracy(2, name="zoom"),
            "accuracy",
            _own_metric,
        ],
    )
    logger = snas_keras.SearchLogger(tmp_path, tensorboard=False)
    supernet.fit(
        *features, validation_data=features, verbose=0, callbacks=[logger]
    )
    [line] = lines_of(tmp_path)
    own = ["loss", "zoom", "accuracy", "_own_metric"]
    assert list(line["logs"])[:4] == own
    validated = [n for n in line["logs"] if n.startswith("val_")]
    assert validated == [f"val_{name}" for name in own]
    about = json.loads((tmp_path / "search.json").read_text())
    assert about["directions"] == {
        **{"loss": "min", "zoom": "max", "accuracy": "max"},
        "task_loss": "min",
    }


def _own_metric(y_true, y_pred):
    return keras.ops.mean(y_pred)


def test_a_picture_that_fails_does_not_end_the_search(
    dense_space, features, compiled, tmp_path, monkeypatch
):
    def fails(*args):
        raise RuntimeError("no picture")

    monkeypatch.setattr(_figures, "credit", fails)
    supernet = compiled(dense_space)
    with pytest.warns(snas_keras.SearchWarning, match="no picture"):
        supernet.fit(
            *features,
            epochs=2,
            verbose=0,
            callbacks=[snas_keras.SearchLogger(tmp_path)],
        )
    assert len(lines_of(tmp_path)) == 2


def test_a_damaged_log_is_moved_aside_with_a_warning_and_the_search_goes_on(
    dense_space, features, compiled, tmp_path
):
    supernet = compiled(dense_space)
    (tmp_path / "search.jsonl").write_text('{"epoch": 0, "sec')
    logger = snas_keras.SearchLogger(tmp_path, tensorboard=False)
    with pytest.warns(snas_keras.SearchWarning, match="line 1 is damaged"):
        supernet.fit(
            *features, initial_epoch=1, epochs=2, verbose=0, callbacks=[logger]
        )
    assert [line["epoch"] for line in lines_of(tmp_path)] == [1]
    assert (tmp_path / "search-1.jsonl").exists()


def test_a_cost_in_numpys_numbers_is_written(
    dense_space, features, compiled, tmp_path
):
    def joules(layer, input_shape):
        return np.float32(0.5)

    supernet = compiled(
        dense_space, resource=snas_keras.Resource(joules, weight=0.1)
    )
    logger = snas_keras.SearchLogger(tmp_path, tensorboard=False)
    supernet.fit(*features, verbose=0, callbacks=[logger])
    child = lines_of(tmp_path)[0]["costs"]["joules"]["child"]
    cost = costs_lib.ChildCost(supernet, joules)
    assert child == float(cost(supernet.derive()))


def test_an_epoch_is_the_same_after_it_was_written_and_read():
    _, epochs = planted.records("cells", epochs=2)
    for epoch in epochs:
        text = _json.dumps(epoch.to_json())
        assert _records.Epoch.from_json(json.loads(text)) == epoch


def test_a_space_of_any_size_is_counted():
    choices = {f"choice_{i}": ["a", "b"] for i in range(20_000)}
    search = _records.Search("large", choices, {}, {})
    assert search.children == 2**20_000
    read = _records.Search.from_json(json.loads(_json.dumps(search.to_json())))
    assert read == search


def test_tensorboard_gets_scalars(tiny_space, images, compiled, tmp_path):
    """Read back from the event file that TensorBoard would read."""
    from tensorboard.backend.event_processing import event_accumulator

    searched(tiny_space, images, compiled, tmp_path, epochs=2)
    events = event_accumulator.EventAccumulator(
        str(tmp_path / "tensorboard"), size_guidance={"tensors": 0}
    )
    events.Reload()
    lines = lines_of(tmp_path)

    def read(tag):
        return [
            float(tf.make_ndarray(e.tensor_proto)) for e in events.Tensors(tag)
        ]

    wanted = [line["costs"]["flops"]["child"] for line in lines]
    np.testing.assert_allclose(read("flops/child"), wanted, rtol=1e-6)
    wanted = [np.mean(list(line["entropy"].values())) for line in lines]
    np.testing.assert_allclose(read("entropy"), wanted, rtol=1e-6)
    for tag in ("choices", "credit"):
        steps = [event.step for event in events.Tensors(tag)]
        assert steps == [0, 1]
        width, height, png = tf.make_ndarray(
            events.Tensors(tag)[-1].tensor_proto
        )
        shape = tf.io.decode_png(png).shape
        assert (int(width), int(height)) == (shape[1], shape[0])


def test_without_tensorboard_the_log_is_written_and_asking_names_the_extra(
    monkeypatch, tmp_path
):
    monkeypatch.setattr(_log, "_has_tensorboard", lambda: False)
    assert not snas_keras.SearchLogger(tmp_path).tensorboard
    with pytest.raises(ModuleNotFoundError, match=r"snas-keras\[tensorboard\]"):
        snas_keras.SearchLogger(tmp_path, tensorboard=True)


def test_only_a_search_can_be_logged(tmp_path):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.compile(loss="mse")
    with pytest.raises(TypeError, match="fit a SuperNet. Received: Sequential"):
        model.fit(
            np.zeros((2, 1)),
            np.zeros((2, 1)),
            verbose=0,
            callbacks=[snas_keras.SearchLogger(tmp_path)],
        )
