"""Measured latency: what is timed, what is looked up, what is refused."""

import itertools
import json
import random
import re
import types

import keras
import numpy as np
import pytest
import tensorflow as tf

import snas_keras
from snas_keras import costs, layers
from snas_keras import costs as costs_lib
from snas_keras._utils import fingerprint, statistics
from snas_keras.costs import _calls, _clock, _machine, _measure_latency
from snas_keras.layers import _mixed_edge

IMAGE = (None, 16, 16, 8)


@snas_keras.search_space
def chain(choose, blocks=4, filters=64):
    """Blocks whose candidates differ much: 1, 25 and 121 parts, and nothing.

    One after the other, and without `none`, which would leave out all before
    it: the times of a child's layers add up."""
    x = inputs = keras.Input((16, 16, filters))
    for block in range(blocks):
        x = choose(f"block_{block}", chain_candidates(filters))(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return inputs, keras.layers.Dense(3)(x)


def chain_candidates(filters):
    return {
        "light": keras.layers.Conv2D(filters, 1, padding="same"),
        "middle": keras.layers.Conv2D(filters, 5, padding="same"),
        "heavy": keras.layers.Conv2D(filters, 11, padding="same"),
        "skip": keras.layers.Identity(),
    }


@pytest.fixture(scope="module")
def supernet():
    return snas_keras.build_supernet(chain())


@pytest.fixture(scope="module")
def table(supernet):
    return costs.measure_latency(supernet, repeats=15, held_out=0, verbose=0)


def candidate(supernet, name, block=0):
    return _mixed_edge.mixed_edges(supernet.network)[block].candidates[name]


def made_up(supernet):
    """Return a table without measuring: a layer's time is its key's length."""
    entries = {}
    for name, call in _measure_latency._layer_calls(supernet.network):
        key = fingerprint.layer_key(call.operation, call.input_shape)
        time = float(len(key))
        entries[key] = {"layer": name, "milliseconds": time, "spread": 0.0}
    machine = _machine.this_machine()
    return snas_keras.LatencyTable(entries, machine, batch_size=1)


def key(make, shape=IMAGE, **options):
    return fingerprint.layer_key(make(**options), shape)


def convolution(name=None, filters=4, seed=None, **options):
    initializer = keras.initializers.GlorotUniform(seed)
    return keras.layers.Conv2D(
        filters, 3, kernel_initializer=initializer, name=name, **options
    )


def functional(name="first", filters=4, depth=2):
    x = inputs = keras.Input((16, 16, 8), name=f"{name}_inputs")
    for index in range(depth):
        x = keras.layers.Conv2D(filters, 1, name=f"{name}_{index}")(x)
    return keras.Model(inputs, x, name=name)


@pytest.mark.parametrize("make", [convolution, functional])
def test_names_do_not_change_the_key(make):
    assert key(make, name="one") == key(make, name="other")


def test_seeds_batch_sizes_and_being_built_do_not_change_the_key():
    built = keras.Sequential([convolution()])
    before = fingerprint.layer_key(built, IMAGE)
    built.build(IMAGE)
    assert fingerprint.layer_key(built, (7, *IMAGE[1:])) == before
    assert key(convolution, seed=1) == key(convolution, seed=2)


def test_config_type_and_shape_change_the_key():
    keys = [
        key(convolution),
        key(convolution, filters=5),
        key(convolution, strides=2),
        key(convolution, dtype="mixed_bfloat16"),
        key(convolution, shape=(None, 16, 16, 4)),
        key(convolution, shape=(None, 8, 16, 8)),
        key(functional),
        key(functional, depth=3),
        key(keras.layers.ReLU),
        key(keras.layers.Add, shape=(IMAGE, IMAGE)),
        key(keras.layers.Add, shape=(IMAGE, IMAGE, IMAGE)),
    ]
    assert len(set(keys)) == len(keys)


def test_wiring_changes_the_key():
    """Layers alike, joined otherwise."""

    def wired(crossed):
        inputs = keras.Input((8, 8, 4))
        y = keras.layers.Conv2D(4, 1)(inputs)
        z = keras.layers.Conv2D(4, 1)(inputs if crossed else y)
        return keras.Model(inputs, keras.layers.Add()([y, z]))

    shape = (None, 8, 8, 4)
    assert key(wired, shape, crossed=True) != key(wired, shape, crossed=False)


def test_a_layer_that_hides_its_arguments_is_refused():
    class Hiding(keras.layers.Layer):
        def __init__(self, size):
            super().__init__()

    with pytest.raises(TypeError, match="needs a `get_config`"):
        fingerprint.layer_key(Hiding(object()), IMAGE)


def test_a_heavy_layer_costs_more_than_a_light_one(supernet, table):
    """121 times the multiply-adds; a factor of 3 leaves room for a kernel that
    is less efficient and a machine that is busy."""
    shape = (None, 16, 16, 64)
    light, middle, heavy = (
        table(candidate(supernet, name), shape)
        for name in ("light", "middle", "heavy")
    )
    assert 0 < 3 * light < heavy
    assert middle < heavy


def test_what_does_nothing_costs_nothing(supernet, table):
    shape = (None, 16, 16, 64)
    assert table(candidate(supernet, "skip"), shape) == 0.0
    assert table(snas_keras.OPERATIONS["none"](64, 2), shape) == 0.0
    assert table(keras.layers.Dropout(0.5), shape) == 0.0


def test_no_latency_is_negative(monkeypatch, supernet):
    """Where the program without the layer takes longer, by noise."""
    monkeypatch.setattr(
        _clock.Clock,
        "__call__",
        lambda self, tasks, _: -np.ones((len(tasks), 3)),
    )
    found = costs.measure_latency(supernet, held_out=0, verbose=0)
    times = [entry["milliseconds"] for entry in found.entries.values()]
    assert times == [0.0] * len(times)


def test_layers_alike_are_timed_once(table):
    """Four blocks of three kinds that take time, a pooling and a dense."""
    assert len(table.entries) == 5


def test_a_program_runs_its_function_on_every_input():
    """Equal inputs too, of which TensorFlow would run one."""
    count = tf.Variable(0.0)

    def function(x):
        count.assign_add(1.0)
        return 2.0 * x

    run = _clock._program(function, [tf.ones((2, 3))] * 4)
    count.assign(0.0)
    assert run() == 8.0
    assert count.numpy() == 4.0


@pytest.mark.parametrize("durations", itertools.permutations([2.0, 5.0, 9.0]))
def test_what_interrupts_a_run_does_not_count(monkeypatch, durations):
    """Two of the three runs of a turn are held up."""
    clock, left = [0.0], list(durations)
    timer = types.SimpleNamespace(perf_counter=lambda: clock[0])
    monkeypatch.setattr(_clock, "time", timer)

    def run():
        clock[0] += left.pop(0)

    assert _clock._seconds(run) == 2.0


def test_copies_of_a_layer_are_not_merged():
    """Four products of one matrix take at least twice as long as one."""
    x = tf.ones((384, 384))
    one, four = (
        _clock._program(lambda x: x @ x, [x] * copies) for copies in (1, 4)
    )
    seconds = np.array(
        [[_clock._seconds(one), _clock._seconds(four)] for _ in range(30)]
    )
    fast, slow = seconds.min(0)
    assert slow > 2 * fast


def test_own_layers_are_timed_in_their_stock_form(monkeypatch):
    layer = snas_keras.OPERATIONS["sep_conv_3x3"](8)
    layer.build(IMAGE)
    call = _calls.call_on(layer, IMAGE)
    function, _ = _measure_latency._runnable(call)
    kinds = {type(x).__module__.split(".")[0] for x in function.args[0].layers}
    assert kinds == {"keras"}


def test_a_layer_that_was_not_measured_is_named(table):
    layer = keras.layers.Conv2D(7, 3, name="stranger")
    with pytest.raises(TypeError, match="'stranger' of type Conv2D.*not meas"):
        table(layer, (None, 16, 16, 64))


def test_a_layer_of_two_inputs_is_measured():
    @snas_keras.search_space
    def attention(choose):
        x = inputs = keras.Input((4, 8))
        x = choose("block", {"a": keras.layers.Dense(8)})(x)
        layer = keras.layers.MultiHeadAttention(1, 4, name="attention")
        return inputs, layer(x, x)

    supernet = snas_keras.build_supernet(attention())
    table = costs.measure_latency(supernet, repeats=2, held_out=0, verbose=0)
    assert any("attention" in x["layer"] for x in table.entries.values())
    assert costs_lib.ChildCost(supernet, table).fixed > 0


def test_a_raw_product_of_matrices_is_refused_by_name():
    @snas_keras.search_space
    def product(choose):
        x = inputs = keras.Input((4, 8))
        x = choose("block", {"a": keras.layers.Dense(8)})(x)
        return inputs, keras.ops.matmul(x, np.ones((8, 2), "float32"))

    with pytest.raises(TypeError, match="'matmul.*Wrap it"):
        costs.measure_latency(snas_keras.build_supernet(product()), verbose=0)


def test_whole_numbers_strings_and_keywords_are_measured_as_they_are():
    @snas_keras.search_space
    def text(choose):
        inputs = keras.Input((), dtype="string")
        words = keras.layers.StringLookup(vocabulary=["a", "b"])(inputs)
        x = keras.layers.Embedding(4, 8)(keras.ops.expand_dims(words, -1))
        x = keras.layers.MultiHeadAttention(1, 4)(query=x, value=x)
        return inputs, choose("block", {"a": keras.layers.Dense(8)})(x)

    supernet = snas_keras.build_supernet(text())
    table = costs.measure_latency(supernet, repeats=2, held_out=0, verbose=0)
    assert len(table.entries) == 4


def test_open_shapes_are_refused():
    @snas_keras.search_space
    def open_space(choose):
        inputs = keras.Input((None, None, 2))
        return inputs, choose("block", {"a": keras.layers.Conv2D(2, 1)})(inputs)

    with pytest.raises(ValueError, match="fixed shapes"):
        costs.measure_latency(
            snas_keras.build_supernet(open_space()), verbose=0
        )


@pytest.mark.parametrize(
    "options",
    [{"batch_size": 0}, {"repeats": 0}, {"held_out": -1}, {"device": "TPU:9"}],
)
def test_bad_arguments_are_refused(supernet, options):
    [(name, value)] = options.items()
    with pytest.raises(ValueError, match=f"Received: {name}={value!r}"):
        costs.measure_latency(supernet, **options)


def test_a_space_is_refused_with_the_way(tmp_path):
    with pytest.raises(TypeError, match=r"build_supernet\(space\)"):
        costs.measure_latency(chain(), verbose=0)


def test_a_key_does_not_name_the_module_of_a_registered_class(monkeypatch):
    layer = layers.Zero(2)
    before = fingerprint.layer_key(layer, IMAGE)
    monkeypatch.setattr(layers.Zero, "__module__", "elsewhere")
    assert fingerprint.layer_key(layer, IMAGE) == before


def test_a_file_keeps_the_table(tmp_path, supernet):
    table = made_up(supernet)
    table.scale = 0.5
    table.held_out = {"predicted": [1.0, 3.0], "measured": [2.0, 4.0]}
    table.save(tmp_path / "latency.json")
    loaded = snas_keras.LatencyTable.load(tmp_path / "latency.json")
    assert vars(loaded) == vars(table)
    # In another process all automatic names differ.
    again = snas_keras.build_supernet(chain())
    assert (
        costs_lib.ChildCost(again, loaded).maximum
        == costs_lib.ChildCost(supernet, table).maximum
    )


def test_a_table_of_another_machine_needs_permission(tmp_path, supernet):
    table = made_up(supernet)
    table.machine = {**table.machine, "device": "Abacus", "cores": "3"}
    table.save(tmp_path / "latency.json")
    with pytest.raises(ValueError, match="device was 'Abacus' and is .*cores"):
        snas_keras.LatencyTable.load(tmp_path / "latency.json")
    loaded = snas_keras.LatencyTable.load(
        tmp_path / "latency.json", elsewhere=True
    )
    assert loaded.machine == table.machine


def test_damaged_and_foreign_files_are_refused(tmp_path, supernet):
    path = tmp_path / "latency.json"
    made_up(supernet).save(path)
    whole = path.read_text()
    content = json.loads(whole)
    content["table"]["batch_size"] = 2
    damaged = [whole[:-9], "", "[]", "{}", json.dumps(content), "\0"]
    for text in damaged:
        path.write_text(text)
        with pytest.raises(ValueError, match="no latency table, or a damaged"):
            snas_keras.LatencyTable.load(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ValueError, match="no latency table, or a damaged"):
        snas_keras.LatencyTable.load(path)
    with pytest.raises(FileNotFoundError):
        snas_keras.LatencyTable.load(tmp_path / "nothing.json")


def test_a_limit_on_a_table_holds(compiled):
    """No gain but the limit's: the likeliest child comes within it."""
    supernet = snas_keras.build_supernet(chain(filters=4))
    table = made_up(supernet)
    limit = snas_keras.Resource(table, weight=1.0, limit="60%", rate=0.1)
    searched = compiled(
        chain(filters=4),
        resource=limit,
        architecture_optimizer=keras.optimizers.Adam(0.3),
    )
    x = np.random.default_rng(0).normal(size=(64, 16, 16, 4))
    history = searched.fit(x, np.zeros(64), batch_size=8, epochs=5, verbose=0)
    cost = costs_lib.ChildCost(searched, table)
    assert cost(searched.derive()) <= 0.6 * cost.maximum
    assert any("latency" in name for name in history.history)


def test_a_limit_below_the_cheapest_child_is_refused(compiled, table):
    with pytest.raises(ValueError, match="within the limit .*'latency'"):
        compiled(chain(), resource=snas_keras.Resource(table, limit=1e-9))


def test_a_supernet_with_a_table_can_be_saved(tmp_path, compiled):
    supernet = snas_keras.build_supernet(chain(filters=4))
    table = made_up(supernet)
    resource = snas_keras.Resource(table, limit="60%")
    compiled(chain(filters=4), resource=resource).save(tmp_path / "a.keras")
    loaded = keras.saving.load_model(tmp_path / "a.keras")
    [found] = [limit.resource for limit in loaded.limits]
    assert found.name == "latency"
    assert found.cost.get_config() == table.get_config()


def test_reports_and_the_dearest_child_take_a_table(supernet):
    table = made_up(supernet)
    report = snas_keras.space_report(chain(), costs=[table])
    assert report.costs["latency"].maximum == pytest.approx(
        costs_lib.ChildCost(supernet, table).maximum
    )
    dearest = costs_lib.ChildCost(supernet, table).dearest
    assert dearest == report.costs["latency"].dearest


def test_the_scale_counts(supernet):
    table = made_up(supernet)
    once = costs_lib.ChildCost(supernet, table).maximum
    table.scale = 0.5
    assert costs_lib.ChildCost(supernet, table).maximum == 0.5 * once


@pytest.mark.parametrize(
    ("predicted", "measured", "wanted"),
    [
        # 1 - 6 sum d^2 / (n (n^2 - 1)) with d = (0, 1, -1, 0).
        ([1.0, 2.0, 3.0, 4.0], [10.0, 30.0, 20.0, 99.0], 0.8),
        ([1.0, 2.0, 3.0], [0.3, 0.2, 0.1], -1.0),
        # Ranks (1.5, 1.5, 3) and (1, 2, 3): 1.5 / sqrt(1.5 * 2).
        ([7.0, 7.0, 8.0], [1.0, 2.0, 3.0], 1.5 / 3.0**0.5),
    ],
)
def test_rank_correlation_by_hand(predicted, measured, wanted):
    found = statistics.rank_correlation(predicted, measured)
    assert found == pytest.approx(wanted)


def test_rank_correlation_of_equal_numbers_is_unknown():
    assert np.isnan(statistics.rank_correlation([1.0, 1.0], [1.0, 2.0]))


def test_the_report_says_how_well_latencies_add_up(supernet):
    table = made_up(supernet)
    assert "Rank correlation" not in table.report()
    assert np.isnan(table.error)
    # Off by 1/2, 1/4 and 0.
    table.held_out = {"predicted": [1.0, 3.0, 2.0], "measured": [2.0, 4.0, 2.0]}
    assert table.error == pytest.approx(0.25)
    assert re.search(r"^\| 3\.000 +\| 4\.000 +\|$", table.report(), re.M)
    assert "Error: mean 25.0%, median 25.0%." in table.report()


def test_the_report_shows_a_layer_of_any_name(supernet):
    table = made_up(supernet)
    next(iter(table.entries.values()))["layer"] = "a|b"
    assert "\n| a\\|b " in table.report()


def test_held_out_children_are_spread():
    """Neighbours are no further apart than a third of the range, to whose ends
    uniform draws of a space of 16 million children do not come."""
    supernet = snas_keras.build_supernet(chain(blocks=12, filters=2))
    cost = costs_lib.ChildCost(supernet, "flops")
    genotypes = _measure_latency._spread_genotypes(cost, 8, seed=0)
    assert len(set(genotypes)) == 8
    values = sorted(cost(genotype) for genotype in genotypes)
    reach = cost.maximum - cost.minimum
    assert values[-1] - values[0] == pytest.approx(reach, rel=0.2)
    assert np.diff(values).max() < reach / 3
    assert genotypes == _measure_latency._spread_genotypes(cost, 8, seed=0)


def test_a_small_space_has_fewer_children_to_hold_out():
    supernet = snas_keras.build_supernet(chain(blocks=1, filters=4))
    cost = costs_lib.ChildCost(supernet, "flops")
    assert len(_measure_latency._spread_genotypes(cost, 16, seed=0)) == 4


@pytest.mark.slow
def test_latencies_of_layers_rank_whole_children(supernet, capsys):
    """Children spread over the whole range: a busy machine, too, puts most in
    the right order."""
    table = costs.measure_latency(supernet, repeats=25, verbose=1)
    assert len(table.held_out["measured"]) == 8
    assert table.correlation >= 0.9
    assert (
        f"Rank correlation {table.correlation:.3f}" in capsys.readouterr().out
    )


def test_measuring_does_not_touch_the_users_random_numbers():
    supernet = snas_keras.build_supernet(chain(blocks=1, filters=4))
    drawn = []
    for measures in (False, True):
        keras.utils.set_random_seed(0)
        if measures:
            costs.measure_latency(supernet, repeats=1, held_out=1, verbose=0)
        drawn.append(
            [
                random.random(),
                np.random.uniform(),
                float(tf.random.uniform(())),
                float(keras.random.uniform(())),
                float(keras.layers.Dense(1)(np.ones((1, 1)))[0, 0]),
            ]
        )
    assert drawn[0] == drawn[1]
