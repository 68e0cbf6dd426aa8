"""The health guard: planted collapses are caught, a good search is silent."""

import dataclasses
import json
import warnings

import keras
import numpy as np
import pytest

import snas_keras
from snas_keras import layers, reports
from snas_keras._utils import sealed
from snas_keras.reports import _health, _health_facts, _records
from snas_keras.reports import _health_checks as _checks

CHOICES = {f"edge_{i}": ("none", "conv", "skip") for i in range(5)}
FACTS = _health_facts.Facts(
    choices=CHOICES,
    skips={name: ["skip"] for name in CHOICES},
    nones={name: ["none"] for name in CHOICES},
    trained={name: ["conv"] for name in CHOICES},
    nodes={"add": ["edge_0", "edge_1"], "add_1": ["edge_2", "edge_3"]},
    limits={"flops": 100.0},
)


def line(
    chosen,
    sharpness=3.0,
    cost=90.0,
    child=None,
    exposure=(1, 1, 1),
    steps=1000,
):
    """A line of the log in which all edges prefer `chosen`, or each its own."""
    child = cost if child is None else child
    if isinstance(chosen, str):
        chosen = dict.fromkeys(CHOICES, chosen)
    p = {}
    for name, candidates in CHOICES.items():
        logits = [sharpness * (c == chosen[name]) for c in candidates]
        p[name] = (np.exp(logits) / np.exp(logits).sum()).tolist()
    exposure = (np.array(exposure) / sum(exposure)).tolist()
    credit = _records.CandidateCredit(*[exposure] * 5, edge=0.0)
    return _records.Epoch(
        epoch=0,
        seconds=1.0,
        logs={"loss": 1.0},
        temperature=1.0,
        probabilities=p,
        entropy={n: float(-np.dot(v, np.log(v))) for n, v in p.items()},
        genotype=chosen,
        margin={n: float(np.ptp(np.sort(v)[-2:])) for n, v in p.items()},
        costs={"flops": _records.CostState(cost, child, 0.1)},
        credit=dict.fromkeys(CHOICES, credit),
        steps=steps,
    )


def found(check, *lines, patience=2):
    return [subject for subject, _ in check(FACTS, lines, patience)]


def with_one(word, other, number):
    """The first `number` edges take `word`, the rest `other`."""
    return {n: word if i < number else other for i, n in enumerate(CHOICES)}


def test_skips_and_none_that_take_over_are_named():
    four, three = with_one("skip", "conv", 4), with_one("skip", "conv", 3)
    assert found(_checks.skip_dominance, line(four)) == ["skips"]
    assert found(_checks.skip_dominance, line(three)) == []
    assert found(_checks.skip_dominance, line("none")) == ["none"]
    assert found(_checks.skip_dominance, line("conv")) == []


def test_ties_at_the_start_are_no_collapse():
    """Logits still even, of which the first candidate, `none`, is the mode."""
    assert found(_checks.skip_dominance, line("none", 0.1)) == []
    assert found(_checks.dead_node, line("none", 0.1)) == []


def test_a_node_without_live_edges_is_named():
    assert found(_checks.dead_node, line(with_one("none", "conv", 2))) == [
        "add"
    ]
    assert found(_checks.dead_node, line(with_one("none", "conv", 1))) == []
    assert found(_checks.dead_node, line("none")) == ["add", "add_1"]


def test_probabilities_that_stand_still_undecided_are_stuck():
    same = [line("conv", 0.5)] * 3
    assert found(_checks.stalled, *same) == [""]
    assert found(_checks.stalled, *same[:2]) == []
    moving = [line("conv", s) for s in (0.4, 0.5, 0.6)]
    assert found(_checks.stalled, *moving) == []
    assert found(_checks.stalled, *[line("conv", 6.0)] * 3) == []


def test_a_cost_that_leaves_its_limit_is_named():
    def costs(*values):
        return found(
            _checks.constraint_drift, *(line("conv", cost=v) for v in values)
        )

    assert costs(120, 0, 125, 0, 130) == ["flops"]
    assert costs(120, 0, 130, 0, 125) == []
    assert costs(130, 0, 125, 0, 126) == []
    assert costs(80, 0, 90, 0, 104) == []
    assert costs(0, 120, 0, 130) == []


def test_a_limit_that_only_the_mean_comes_near_is_named():
    def costs(*pairs, sharpness=3.0):
        lines = [line("conv", sharpness, *pair) for pair in pairs]
        return found(_checks.bimodal_cost, *lines)

    assert costs((90, 40), (85, 40)) == ["flops"]
    assert costs((90, 40)) == []
    assert costs((120, 55), (85, 40)) == []
    assert costs((90, 40), (75, 40)) == []
    assert costs((90, 40), (85, 40), sharpness=1.0) == []


def test_the_torn_choice_is_named():
    torn = line("conv", cost=90.0, child=40.0)
    torn.margin["edge_3"] = 0.01
    [(_, message)] = _checks.bimodal_cost(FACTS, [torn, torn], 2)
    assert "likely 'edge_3'" in message


def test_candidates_that_were_hardly_trained_are_named():
    few = line("conv", exposure=(30, 1, 30))
    assert found(_checks.undertrained_candidates, few, few) == [""]
    [(_, message)] = _checks.undertrained_candidates(FACTS, [few, few], 2)
    assert "edge_0: conv, edge_1: conv, edge_2: conv and 2 more" in message
    others = line("conv", exposure=(0, 1, 0))
    assert found(_checks.undertrained_candidates, others, others) == []
    assert found(_checks.undertrained_candidates, few) == []
    even = line("conv", exposure=(4, 1, 4))
    assert found(_checks.undertrained_candidates, even, even) == []
    early = line("conv", exposure=(30, 0, 1), steps=30)
    assert found(_checks.undertrained_candidates, early, early) == []


def test_facts_of_a_supernet_know_its_roles_and_nodes(tiny_space, compiled):
    supernet = compiled(
        tiny_space, resource=snas_keras.Resource("flops", limit="50%")
    )
    facts = _health_facts.facts_of(supernet)
    assert facts.skips["left_0"] == ["skip"]
    assert facts.nones["right_1"] == ["none"]
    assert facts.trained["right_1"] == ["conv"]
    assert list(facts.nodes.values()) == [
        ["left_0", "right_0"],
        ["left_1", "right_1"],
    ]
    assert list(facts.limits) == ["flops"]


def test_the_nodes_of_the_papers_cell_are_found():
    space = snas_keras.SEARCH_SPACES["snas_cifar"](
        cells=1, channels=2, input_shape=(8, 8, 3)
    )
    facts = _health_facts.facts_of(snas_keras.build_supernet(space))
    names = [f"reduce_{i}->4" for i in range(4)]
    assert list(facts.nodes.values())[2] == names
    assert facts.skips[names[0]] == ["skip_connect"]


def planted(space, data, compiled, logits, epochs=3, path=None, **options):
    """Search from planted logits; return what the guard has said."""
    supernet = compiled(space, **options)
    for name, value in logits.items():
        supernet.architecture.logits[name].assign(value)
    guard = snas_keras.HealthGuard(path, patience=2)
    supernet.fit(
        *data, batch_size=4, epochs=epochs, verbose=0, callbacks=[guard]
    )
    return guard


NAMES = ("left_0", "right_0", "left_1", "right_1")


def test_planted_collapse_is_said_once_and_kept(
    tiny_space, images, compiled, tmp_path
):
    """`none` everywhere, far from even: three checks, over nine epochs."""
    logits = dict.fromkeys(NAMES, [8.0, 0.0, 0.0])
    with pytest.warns(reports.SearchWarning) as caught:
        guard = planted(
            tiny_space, images, compiled, logits, epochs=9, path=tmp_path
        )
    said = [(entry["check"], entry["subject"]) for entry in guard.found]
    first, second = guard.facts.nodes
    assert said == [
        ("skip_dominance", "none"),
        ("dead_node", first),
        ("dead_node", second),
        ("undertrained_candidates", ""),
    ]
    texts = [
        str(w.message)
        for w in caught
        if issubclass(w.category, reports.SearchWarning)
    ]
    messages = [entry["message"] for entry in guard.found]
    # `fit` adds that the child is idle.
    assert texts[: len(messages)] == messages
    assert "leave `none` out" in texts[0]
    written = (tmp_path / "warnings.jsonl").read_text().splitlines()
    assert [sealed.loads(text) for text in written] == guard.found


def test_planted_standstill_is_caught(tiny_space, images, compiled):
    options = {"architecture_optimizer": keras.optimizers.SGD(0.0)}
    with pytest.warns(reports.SearchWarning, match="stalled"):
        guard = planted(tiny_space, images, compiled, {}, **options)
    assert [entry["check"] for entry in guard.found] == ["stalled"]


def test_planted_drift_is_caught(tiny_space, images, compiled):
    """The rate is too low to hold what the task's gradient pulls away."""
    options = {
        "resource": snas_keras.Resource(
            "parameters", weight=1e-6, limit="40%", rate=1e-6
        ),
        "architecture_optimizer": keras.optimizers.Adam(0.2),
    }
    with pytest.warns(reports.SearchWarning, match="drifts away"):
        guard = planted(tiny_space, images, compiled, {}, epochs=6, **options)
    assert [entry["check"] for entry in guard.found] == ["constraint_drift"]


def test_what_was_said_before_a_kill_is_not_said_again(
    tiny_space, images, compiled, tmp_path
):
    still = {"architecture_optimizer": keras.optimizers.SGD(0.0)}
    with pytest.warns(reports.SearchWarning):
        planted(tiny_space, images, compiled, {}, path=tmp_path, **still)
    still = {"architecture_optimizer": keras.optimizers.SGD(0.0)}
    supernet = compiled(tiny_space, **still)
    guard = snas_keras.HealthGuard(tmp_path, patience=2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", reports.SearchWarning)
        warnings.filterwarnings("error", ".*stalled", reports.SearchWarning)
        supernet.fit(
            *images, initial_epoch=3, epochs=6, verbose=0, callbacks=[guard]
        )
    assert [entry["check"] for entry in guard.found] == ["stalled"]


def test_a_healthy_search_is_silent():
    """Digits in small, with a limit: it learns, moves and keeps the limit."""
    generator = np.random.default_rng(0)
    y = generator.integers(0, 10, 256)
    shades = np.linspace(-1.0, 1.0, 10)[y][:, None, None, None]
    x = shades + 0.3 * generator.normal(size=(256, 8, 8, 1))
    keras.utils.set_random_seed(0)
    space = snas_keras.SEARCH_SPACES["digits"](filters=4)
    supernet = snas_keras.build_supernet(space)
    supernet.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.optimizers.Adam(0.03, beta_1=0.5),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        resource=snas_keras.Resource("flops", limit="60%"),
    )
    guard = snas_keras.HealthGuard(patience=3)
    with warnings.catch_warnings():
        warnings.simplefilter("error", reports.SearchWarning)
        supernet.fit(
            *(x.astype("float32"), y),
            batch_size=16,
            epochs=12,
            verbose=0,
            callbacks=[snas_keras.TemperatureSchedule(), guard],
        )
    assert guard.found == []
    assert len(guard.epochs) == 12


def test_patience_must_be_positive():
    with pytest.raises(ValueError, match="patience=0"):
        snas_keras.HealthGuard(patience=0)


def test_each_check_is_one_line_of_the_registry(
    dense_space, features, compiled, monkeypatch
):
    """One that fails is said, and does not end the search."""

    def own(facts, epochs, patience):
        yield "here", f"epoch {epochs[-1].epoch} of {sorted(facts.choices)}"

    def broken(facts, epochs, patience):
        raise KeyError("lost")

    monkeypatch.setitem(reports.HEALTH_CHECKS, "own", own)
    monkeypatch.setitem(reports.HEALTH_CHECKS, "broken", broken)
    guard = snas_keras.HealthGuard()
    with pytest.warns(snas_keras.SearchWarning):
        compiled(dense_space).fit(
            *features, epochs=2, verbose=0, callbacks=[guard]
        )
    assert [entry["check"] for entry in guard.found] == ["own", "broken"]
    assert "epoch 0 of ['block_0'" in guard.found[0]["message"]
    assert "KeyError('lost')" in guard.found[1]["message"]


def test_names_of_the_first_release_are_read_as_todays(tmp_path):
    old = {"epoch": 1, "check": "torn", "subject": "flops", "message": "x"}
    (tmp_path / "warnings.jsonl").write_text(json.dumps(old) + "\n")
    guard = snas_keras.HealthGuard(tmp_path)
    assert guard._written() == [{**old, "check": "bimodal_cost"}]
    assert set(_health._RENAMED.values()) <= set(reports.HEALTH_CHECKS)


def test_damaged_warnings_do_not_end_a_search(tmp_path):
    (tmp_path / "warnings.jsonl").write_text('{"epoch": 1, "mess')
    guard = snas_keras.HealthGuard(tmp_path)
    with pytest.warns(snas_keras.SearchWarning, match="line 1 is damaged"):
        assert guard._written() == []


def test_what_is_not_finite_is_a_divergence_and_nothing_else():
    nothing = {name: [float("nan")] * 3 for name in CHOICES}
    diverged = dataclasses.replace(
        line("none"), probabilities=nothing, genotype=None, logs={"loss": None}
    )
    for name, check in reports.HEALTH_CHECKS.items():
        said = found(check, *[diverged] * 5)
        assert said == ([""] if name == "divergence" else []), name
    assert found(_checks.divergence, line("conv")) == []


def test_nodes_of_sums_by_sign_are_found():
    @snas_keras.search_space
    def space(choose):
        inputs = keras.Input((4,))
        terms = [
            choose(
                name, {"none": layers.Zero(), "dense": keras.layers.Dense(4)}
            )(inputs)
            for name in ("a", "b")
        ]
        add = keras.layers.Add()
        return inputs, keras.layers.Dense(1)(
            (terms[0] + terms[1]) + add(terms) + add([inputs, inputs])
        )

    facts = _health_facts.facts_of(snas_keras.build_supernet(space()))
    assert list(facts.nodes.values()) == [["a", "b"]] * 2
