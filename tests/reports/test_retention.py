"""The retention report, its numbers recomputed from what was saved."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import snas_keras
from snas_keras import costs as costs_lib
from snas_keras import reports
from snas_keras.reports import _random_children, _retention, _retention_report
from tests import conftest


@pytest.fixture(scope="module")
def images():
    generator = np.random.default_rng(0)
    y = generator.integers(0, 3, 64)
    x = generator.normal(size=(64, 4, 4, 2)) + y[:, None, None, None]
    return x.astype("float32"), y


@pytest.fixture(scope="module")
def searched(images):
    """A trained supernet with decided logits."""
    supernet = conftest.compiled(conftest.tiny(), metrics=["accuracy"])
    supernet.fit(*images, batch_size=16, epochs=4, verbose=0)
    for index, logits in enumerate(supernet.architecture.logits.values()):
        logits.assign(1.5 * np.eye(3)[index % 3])
    return supernet


@pytest.fixture(scope="module")
def report(searched, images):
    x, _ = images
    return snas_keras.retention_report(
        searched,
        images,
        train_data=x,
        draws=3,
        children=4,
        fine_tune=lambda child: child.fit(*images, epochs=1, verbose=0),
    )


def child_accuracy(supernet, genotype, images, recalibrate=True):
    child = snas_keras.convert(supernet, genotype)
    if recalibrate:
        snas_keras.recalibrate_batch_norm(child, images[0])
    logits = child.predict(images[0], verbose=0)
    return np.mean(logits.argmax(-1) == images[1])


def test_rows_are_those_of_a_saved_supernet(tmp_path, searched, report, images):
    searched.save(tmp_path / "search.keras")
    loaded = keras.models.load_model(tmp_path / "search.keras")
    x, y = images
    for draw, value in enumerate(report.values[_retention_report.SEARCH]):
        z = loaded.architecture.sample(-1 - draw)
        logits = loaded.network([tf.constant(x), z]).numpy()
        assert value == pytest.approx(np.mean(logits.argmax(-1) == y))
    derived = loaded.derive()
    [mode] = report.values[_retention_report.MODE]
    assert mode == pytest.approx(child_accuracy(loaded, derived, images, False))
    [recalibrated] = report.values[_retention_report.RECALIBRATED]
    assert recalibrated == pytest.approx(
        child_accuracy(loaded, derived, images)
    )
    assert report.gap == pytest.approx(
        np.mean(report.values[_retention_report.SEARCH]) - recalibrated
    )


def test_costs_are_those_of_the_children(searched, report):
    derived = searched.derive()
    cost = costs_lib.ChildCost(searched, "flops")
    assert report.costs["child"] == cost(derived)
    probabilities = searched.architecture.probabilities()
    table = costs_lib.cost_table(searched.network, "flops")
    expected = cost.fixed + sum(
        float(np.dot(rows.sum(0), probabilities[name]))
        for name, rows in table.items()
    )
    assert report.costs["expected"] == pytest.approx(expected)


def test_random_children_are_others_of_nearly_the_same_cost(searched):
    derived = searched.derive()
    prices = costs_lib.ChildCost(searched, "flops")
    found = _random_children.nearest_in_cost(prices, derived, 2, seed=0)
    assert derived not in found
    everyone = [
        prices(genotype)
        for seed in range(50)
        for genotype in _random_children.nearest_in_cost(
            prices, derived, 20, seed
        )
    ]
    distances = np.abs(np.array(everyone) - prices(derived))
    for genotype in found:
        distance = abs(prices(genotype) - prices(derived))
        assert distance <= np.median(distances)


@snas_keras.search_space
def deep(choose):
    """Twenty choices of three widths: even draws cost nearly the same."""
    h = inputs = keras.Input((3,))
    for index in range(20):
        h = choose(
            f"layer_{index}",
            {
                f"units_{units}": keras.Sequential(
                    [keras.layers.Dense(units), keras.layers.Dense(3)]
                )
                for units in (1, 5, 30)
            },
        )(h)
    return inputs, h


@pytest.mark.parametrize("common", ["units_1", "units_30"])
def test_random_children_of_an_unusual_child_cost_the_same(common):
    supernet = snas_keras.build_supernet(deep())
    price = costs_lib.ChildCost(supernet, "parameters")
    derived = dict.fromkeys(price.choices, common)
    derived.update(layer_3="units_5", layer_7="units_5", layer_9="units_30")
    derived = snas_keras.Genotype(derived)
    found = _random_children.nearest_in_cost(price, derived, 8, seed=0)
    assert len(set(found)) == 8
    assert derived not in found
    assert [price(g) for g in found] == pytest.approx(
        [price(derived)] * 8, rel=0.02
    )
    assert found == _random_children.nearest_in_cost(price, derived, 8, seed=0)
    assert found != _random_children.nearest_in_cost(price, derived, 8, seed=1)


@pytest.mark.parametrize("cheapest", [True, False])
def test_the_extreme_child_has_the_random_children_next_to_it(cheapest):
    supernet = snas_keras.build_supernet(deep())
    price = costs_lib.ChildCost(supernet, "parameters")
    end = snas_keras.Genotype(
        dict.fromkeys(price.choices, "units_1" if cheapest else "units_30")
    )
    found = _random_children.nearest_in_cost(price, end, 8, seed=0)
    assert len(set(found)) == 8
    assert end not in found


def test_a_small_space_has_fewer_random_children(searched):
    price = costs_lib.ChildCost(searched, "flops")
    derived = searched.derive()
    found = _random_children.nearest_in_cost(price, derived, 500, seed=0)
    size = np.prod([len(names) for names in price.choices.values()])
    assert len(found) == len(set(found)) == size - 1


@pytest.mark.slow
def test_one_hot_draws_follow_the_probabilities(searched):
    """2,000 draws: a deviation of a frequency is at most 0.011."""
    name = next(iter(searched.architecture.choices))
    candidates = searched.architecture.choices[name]
    drawn = [
        _retention._genotype(searched.architecture, -1 - i)[name]
        for i in range(2000)
    ]
    frequencies = [drawn.count(candidate) / 2000 for candidate in candidates]
    np.testing.assert_allclose(
        frequencies,
        searched.architecture.probabilities()[name],
        atol=0.05,
    )


def test_the_search_itself_is_left_as_it_was(searched, images):
    before = [v.numpy() for v in searched.variables]
    snas_keras.retention_report(
        searched, images, images[0], draws=1, children=1
    )
    for value, variable in zip(before, searched.variables, strict=True):
        np.testing.assert_array_equal(value, variable)


def test_files_hold_the_report(tmp_path, report):
    report.save(tmp_path / "retention.json")
    assert reports.RetentionReport.load(tmp_path / "retention.json") == report
    content = json.loads((tmp_path / "retention.json").read_text())
    assert content["gap"] == report.gap
    table = (tmp_path / "retention.md").read_text()
    for row in report.values:
        assert f"| {row} " in table
    picture = (tmp_path / "retention.png").read_bytes()
    assert picture.startswith(b"\x89PNG")


def test_every_row_is_there_with_its_number_of_values(report):
    assert {row: len(v) for row, v in report.values.items()} == {
        _retention_report.SEARCH: 3,
        _retention_report.ONE_HOT: 3,
        _retention_report.MODE: 1,
        _retention_report.RECALIBRATED: 1,
        _retention_report.RANDOM: 4,
        _retention_report.FINE_TUNED: 1,
    }


def test_an_unknown_metric_is_refused(searched, images):
    with pytest.raises(ValueError, match="accuracy"):
        snas_keras.retention_report(searched, images, metric="recall")


def test_a_supernet_that_is_not_compiled_is_refused(tiny_space, images):
    supernet = snas_keras.build_supernet(tiny_space)
    with pytest.raises(ValueError, match="compiled"):
        snas_keras.retention_report(supernet, images)


def quartic(y, y_pred):
    """A loss of the user's own, which Keras does not know."""
    return keras.ops.mean((y - y_pred) ** 4, axis=-1)


@pytest.fixture(scope="module")
def regression():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(32, 6)).astype("float32")
    return x, generator.normal(size=(32, 3)).astype("float32")


def reported(regression, **options):
    metrics = options.pop("metrics", None)
    supernet = conftest.compiled(
        conftest.dense(), loss=quartic, metrics=metrics
    )
    return supernet, snas_keras.retention_report(
        supernet, regression, draws=1, children=1, **options
    )


def test_an_own_loss_is_measured_and_smaller_is_better(regression):
    supernet, report = reported(regression)
    assert (report.metric, report.direction) == ("loss", "min")
    y = regression[1]
    want = np.mean((supernet.predict(regression[0], verbose=0) - y) ** 4)
    [child] = report.values[_retention_report.MODE]
    assert child == pytest.approx(want, rel=1e-4)
    [search] = report.values[_retention_report.SEARCH]
    assert report.gap == pytest.approx(child - search)
    assert "smaller is better" in report.table().splitlines()[0]


def test_the_first_metric_that_was_compiled_is_reported(regression):
    _, report = reported(
        regression, metrics=["mse", "mae", "cosine_similarity"]
    )
    assert (report.metric, report.direction) == ("mse", "min")


def test_the_direction_of_an_own_metric_is_asked_for(regression):
    def own(y, y_pred):
        return keras.ops.mean(y_pred)

    with pytest.raises(ValueError, match="'own' is to be maximized or"):
        reported(regression, metrics=[own])
    with pytest.raises(ValueError, match="direction='up'"):
        reported(regression, metrics=[own], direction="up")
    _, report = reported(regression, metrics=[own], direction="min")
    assert report.direction == "min"
    _, report = reported(regression, metrics=[keras.metrics.R2Score()])
    assert (report.metric, report.direction) == ("r2_score", "max")


def test_a_gap_is_what_the_child_loses_in_either_direction():
    values = {_retention_report.SEARCH: [0.4], _retention_report.MODE: [0.5]}
    for direction, gap, change in (
        ("max", -0.1, "gains"),
        ("min", 0.1, "loses"),
    ):
        report = reports.RetentionReport("own", values, "flops", {}, direction)
        assert report.gap == pytest.approx(gap)
        assert f"which {change} 0.1000" in report.table().splitlines()[0]


def test_a_report_of_what_is_not_finite_is_written_and_read(tmp_path):
    nan = float("nan")
    values = {
        _retention_report.SEARCH: [nan, 1.0],
        _retention_report.MODE: [nan],
    }
    report = reports.RetentionReport("loss", values, "a|b", {"x": 1.0}, "min")
    report.save(tmp_path / "retention.json")
    text = (tmp_path / "retention.json").read_text()
    assert "NaN" not in text
    read = reports.RetentionReport.load(tmp_path / "retention.json")
    assert np.isnan(read.values[_retention_report.MODE]).all()
    assert "is not finite" in read.verdict()


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"metric": 1, "values": 2}'])
def test_a_damaged_report_is_refused_by_name(tmp_path, text):
    (tmp_path / "retention.json").write_text(text)
    with pytest.raises(ValueError, match=r"retention\.json is damaged"):
        reports.RetentionReport.load(tmp_path / "retention.json")
