"""Oracles and tuners, through Keras Tuner's own calls and processes."""

import importlib.util
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import time

import keras
import keras_tuner
import numpy as np
import pytest
from sklearn import datasets

import snas_keras
from snas_keras import costs as costs_lib
from snas_keras import objectives, tuner
from tests import processes

CHOICES = {f"edge_{i}": ("a", "b", "c") for i in range(3)}
ORACLES = {
    "independent": tuner.ArchitectureOracle,
    "recurrent": lambda *a, **k: tuner.ArchitectureOracle(
        *a, policy="recurrent", **k
    ),
    "evolution": lambda *a, **k: tuner.RegularizedEvolutionOracle(
        *a, population_size=5, sample_size=2, **k
    ),
}


def score_objective():
    return keras_tuner.Objective("score", "max")


def in_folder(oracle, folder):
    """Do what a tuner does with a new oracle."""
    oracle._set_project_dir(str(folder), "search")
    oracle.verbose = 0
    return oracle


def try_one(oracle, score, **metrics):
    """Run one trial; return its values, or None when the search is over."""
    trial = oracle.create_trial("tuner0")
    if trial.status == "STOPPED":
        return None
    values = dict(trial.hyperparameters.values)
    reported = {"score": score(values), **metrics}
    oracle.update_trial(trial.trial_id, reported)
    trial.status = "COMPLETED"
    oracle.end_trial(trial)
    return values


def try_all(oracle, score, count=10**6):
    found = (try_one(oracle, score) for _ in range(count))
    return list(itertools.takewhile(lambda values: values is not None, found))


def random_score(seed=0):
    generator = np.random.default_rng(seed)
    return lambda values: float(generator.normal())


@pytest.mark.parametrize("kind", ORACLES)
def test_a_search_tries_every_child_once_and_stops(tmp_path, kind):
    oracle = ORACLES[kind](CHOICES, score_objective(), seed=1)
    tried = try_all(in_folder(oracle, tmp_path), random_score())
    assert len(tried) == 27
    assert {tuple(v[n] for n in CHOICES) for v in tried} == set(
        itertools.product("abc", repeat=3)
    )


@pytest.mark.parametrize("kind", ORACLES)
@pytest.mark.parametrize("killed_at", [3, 11])
def test_a_killed_search_goes_on_the_same(tmp_path, kind, killed_at):
    """The state is JSON; a trial that was running is run again."""

    def score(values):
        return sum("abc".index(v) for v in values.values()) / 7.0

    def make(folder):
        return in_folder(
            ORACLES[kind](CHOICES, score_objective(), 20, seed=3), folder
        )

    whole = try_all(make(tmp_path / "whole"), score)
    first = make(tmp_path / "killed")
    before = try_all(first, score, killed_at)
    running = first.create_trial("tuner0").hyperparameters.values
    json.loads((tmp_path / "killed" / "search" / "oracle.json").read_text())
    second = make(tmp_path / "killed")
    second.reload()
    after = try_all(second, score)
    assert after[0] == running
    assert before + after == whole


@pytest.mark.parametrize("kind", ORACLES)
def test_a_search_killed_between_two_trials_goes_on_the_same(tmp_path, kind):
    """What has ended is not run, and not learned from, once more."""

    def make(folder):
        return in_folder(
            ORACLES[kind](CHOICES, score_objective(), 12, seed=3), folder
        )

    whole = try_all(make(tmp_path / "whole"), random_score())
    score = random_score()
    before = try_all(make(tmp_path / "killed"), score, 7)
    second = make(tmp_path / "killed")
    second.reload()
    assert before + try_all(second, score) == whole


def test_trials_keep_their_order_however_files_are_found(tmp_path, monkeypatch):
    """Of equally good trials the first is the best."""

    def make():
        oracle = tuner.ArchitectureOracle(CHOICES, score_objective(), 9, seed=3)
        return in_folder(oracle, tmp_path)

    first = make()
    try_all(first, lambda values: 0.5)
    found = keras_tuner.src.backend.io.glob
    monkeypatch.setattr(
        keras_tuner.src.backend.io,
        "glob",
        lambda pattern: sorted(found(pattern), reverse=True),
    )
    second = make()
    second.reload()
    assert list(second.trials) == list(first.trials)
    best = [[t.trial_id for t in o.get_best_trials(3)] for o in (first, second)]
    assert best[0] == best[1]


def test_seed_zero_is_a_seed(tmp_path):
    drawn = []
    for index, seed in enumerate([0, 0, 1]):
        oracle = tuner.ArchitectureOracle(CHOICES, score_objective(), seed=seed)
        oracle = in_folder(oracle, tmp_path / str(index))
        drawn.append(try_all(oracle, random_score(), 8))
    assert drawn[0] == drawn[1]
    assert drawn[0] != drawn[2]


def test_values_of_none_are_drawn_seeds(tmp_path):
    seeds = {
        tuner.ArchitectureOracle(CHOICES, score_objective()).seed
        for _ in range(8)
    }
    assert len(seeds) > 1


def additive(seed):
    table = np.random.default_rng(seed).normal(size=(6, 4))

    def score(values):
        return float(
            sum(table[int(n[-1]), "abcd".index(v)] for n, v in values.items())
        )

    return score, table.max(1).sum()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["independent", "evolution"])
def test_an_additive_objective_is_learned(tmp_path, monkeypatch, kind):
    """4,096 children, 200 trials, 20 seeds: the last 50 trials beat those of
    random search, and the best child is found far more often."""
    monkeypatch.setattr(keras_tuner.Oracle, "save", lambda self: None)
    monkeypatch.setattr(
        keras_tuner.Oracle, "_save_trial", lambda self, trial: None
    )
    choices = {f"edge_{i}": tuple("abcd") for i in range(6)}
    make = {
        "independent": tuner.ArchitectureOracle,
        "evolution": tuner.RegularizedEvolutionOracle,
    }[kind]
    wins, found = 0, 0
    for seed in range(20):
        score, best = additive(seed)
        oracle = make(choices, score_objective(), 200, seed=seed)
        tried = try_all(in_folder(oracle, tmp_path / str(seed)), score)
        scores = [score(values) for values in tried]
        random = keras_tuner.oracles.RandomSearchOracle(
            score_objective(),
            200,
            seed=seed + 1,
            hyperparameters=oracle.get_space(),
        )
        others = try_all(in_folder(random, tmp_path / f"random_{seed}"), score)
        wins += np.mean(scores[-50:]) > np.mean(
            [score(values) for values in others[-50:]]
        )
        found += max(scores) > best - 1e-9
    assert wins >= 18
    assert found >= 15


def test_other_hyperparameters_are_drawn_beside(tmp_path):
    """A condition on a choice holds."""
    hp = keras_tuner.HyperParameters()
    hp.Float("rate", 1e-3, 1e-1, sampling="log")
    hp.Choice("edge_0", ["a", "b", "c"])
    with hp.conditional_scope("edge_0", ["b"]):
        hp.Int("width", 8, 16)
    oracle = tuner.ArchitectureOracle(
        CHOICES, score_objective(), 40, hyperparameters=hp, seed=2
    )
    tried = try_all(in_folder(oracle, tmp_path), random_score())
    assert len(tried) == 40
    assert len({values["rate"] for values in tried}) == 40
    assert all(1e-3 <= values["rate"] <= 1e-1 for values in tried)
    for values in tried:
        assert ("width" in values) == (values["edge_0"] == "b")
    assert any("width" in values for values in tried)


@pytest.fixture
def cost(tiny_space):
    return costs_lib.ChildCost(
        snas_keras.build_supernet(tiny_space), "parameters"
    )


def affordable(space, cost, limit):
    choices = space.choices()
    children = (
        dict(zip(choices, values, strict=True))
        for values in itertools.product(*choices.values())
    )
    return [child for child in children if cost(child) <= limit]


@pytest.mark.parametrize("kind", ORACLES)
def test_only_children_within_the_budget_are_proposed(
    tmp_path, tiny_space, cost, kind
):
    limit = (cost.minimum + cost.maximum) / 2
    oracle = ORACLES[kind](
        tiny_space,
        score_objective(),
        costs={"parameters": cost},
        max_cost={"parameters": limit},
        seed=1,
    )
    tried = try_all(in_folder(oracle, tmp_path), random_score())
    wanted = affordable(tiny_space, cost, limit)
    assert 0 < len(wanted) < 81
    assert sorted(map(str, tried)) == sorted(map(str, wanted))


def test_a_budget_that_only_the_cheapest_meets(tmp_path, tiny_space, cost):
    oracle = tuner.ArchitectureOracle(
        tiny_space,
        score_objective(),
        costs={"parameters": cost},
        max_cost={"parameters": cost.minimum},
        seed=1,
    )
    tried = try_all(in_folder(oracle, tmp_path), random_score())
    assert [cost(values) for values in tried] == [cost.minimum] * 16


def test_bad_settings_are_refused(tiny_space, cost):
    objective = score_objective()
    make = tuner.ArchitectureOracle
    with pytest.raises(TypeError, match="adds several up"):
        make(tiny_space, [objective, "val_loss"])
    with pytest.raises(ValueError, match=r"Missing: \['flops'\]"):
        make(tiny_space, objective, max_cost={"flops": 1.0})
    with pytest.raises(ValueError, match="No child is within the limit"):
        make(
            tiny_space,
            objective,
            costs={"parameters": cost},
            max_cost={"parameters": cost.minimum - 1},
        )
    with pytest.raises(ValueError, match="no such policy.*'lstm'"):
        make(tiny_space, objective, policy="lstm")
    with pytest.raises(ValueError, match="`prior_strength` must not be"):
        make(tiny_space, objective, prior_strength=-1.0)
    with pytest.raises(ValueError, match="`baseline_decay` must be"):
        make(tiny_space, objective, baseline_decay=1.0)
    with pytest.raises(ValueError, match="`sample_size` must be"):
        tuner.RegularizedEvolutionOracle(
            tiny_space, objective, population_size=2, sample_size=3
        )
    with pytest.raises(ValueError, match="No trial is completed"):
        make(tiny_space, objective).best_genotype()


def test_the_advantage_is_free_of_the_scores_unit(tmp_path):
    """Scores times 1000 plus 5: the same proposals."""
    runs = []
    for factor, shift in ((1.0, 0.0), (1024.0, 5.0)):
        oracle = tuner.ArchitectureOracle(
            CHOICES, score_objective(), 15, seed=1
        )
        score = random_score()
        runs.append(
            try_all(
                in_folder(oracle, tmp_path / str(factor)),
                lambda v, s=score, f=factor, c=shift: f * s(v) + c,
            )
        )
    assert runs[0] == runs[1]


def test_a_loss_is_minimized(tmp_path):
    oracle = tuner.ArchitectureOracle(
        CHOICES, keras_tuner.Objective("score", "min"), 20, seed=1
    )
    tries_b = lambda values: float(values["edge_0"] != "b")  # noqa: E731
    try_all(in_folder(oracle, tmp_path), tries_b)
    assert np.argmax(oracle.policy.logits["edge_0"]) == 1
    assert oracle.best_genotype()["edge_0"] == "b"


@pytest.mark.filterwarnings("ignore:All-NaN axis")
def test_scores_that_are_not_finite_teach_nothing(tmp_path):
    oracle = tuner.ArchitectureOracle(
        CHOICES,
        score_objective(),
        5,
        seed=1,
        max_consecutive_failed_trials=100,
    )
    try_all(in_folder(oracle, tmp_path), lambda values: float("nan"))
    logits = np.concatenate(list(oracle.policy.logits.values()))
    np.testing.assert_array_equal(logits, 0.0)
    assert {trial.status for trial in oracle.trials.values()} == {"FAILED"}


@pytest.mark.filterwarnings("ignore:All-NaN axis")
def test_a_search_of_failures_ends_without_an_exception(tmp_path):
    """Keras Tuner would raise with its lock held."""
    oracle = tuner.ArchitectureOracle(CHOICES, score_objective(), 20, seed=1)
    in_folder(oracle, tmp_path)
    with pytest.warns(UserWarning, match="The search stops.*exceeded"):
        tried = try_all(oracle, lambda values: float("nan"))
    assert len(tried) == 3
    again = tuner.ArchitectureOracle(CHOICES, score_objective(), 20, seed=1)
    in_folder(again, tmp_path).reload()
    assert again.create_trial("tuner0").status == "STOPPED"


def test_a_supernet_is_where_the_search_begins(dense_space):
    supernet = snas_keras.build_supernet(dense_space)
    values = {"block_0": [0.0, 2.0, -1.0], "block_1": [1.0, 0.0, 0.5]}
    for name, logits in values.items():
        supernet.architecture.logits[name].assign(logits)
    for policy in ("independent", "recurrent"):
        oracle = tuner.ArchitectureOracle.from_supernet(
            supernet, score_objective(), policy=policy
        )
        genotype = dict(supernet.derive())
        found = oracle.policy.log_prob(genotype)
        wanted = float(supernet.architecture.log_prob(genotype))
        assert found == pytest.approx(wanted, abs=1e-5)


def test_the_prior_holds_the_distribution(tmp_path):
    """Scores say "b", the start says "a": the firmer, the less it moves."""
    start = {name: [2.0, 0.0, 0.0] for name in CHOICES}
    moved = []
    for strength in (0.0, 0.5, 50.0):
        oracle = tuner.ArchitectureOracle(
            CHOICES,
            score_objective(),
            20,
            logits=start,
            prior_strength=strength,
            seed=1,
        )
        folder = tmp_path / str(strength)
        prefers_b = lambda v: float(sum(x == "b" for x in v.values()))  # noqa: E731
        try_all(in_folder(oracle, folder), prefers_b)
        p = oracle.policy.probabilities()
        q = oracle.prior.probabilities()
        moved.append(sum(np.abs(p[n] - q[n]).sum() for n in CHOICES))
    assert moved[0] > moved[1]


@pytest.mark.slow
def test_a_warm_start_beats_a_cold_one_on_digits(tmp_path):
    """At equal trials, over three seeds, children scored with the weights of
    one trained supernet."""
    x, y = datasets.load_digits(return_X_y=True)
    x = (x / 16.0).astype("float32").reshape(-1, 8, 8, 1)
    train, valid = (x[:1200], y[:1200]), (x[1200:], y[1200:])
    keras.utils.set_random_seed(0)
    supernet = snas_keras.build_supernet(
        snas_keras.SEARCH_SPACES["digits"](filters=8)
    )
    supernet.compile(
        keras.optimizers.SGD(0.1, momentum=0.9),
        keras.optimizers.Adam(0.05, beta_1=0.5),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    supernet.fit(
        *train,
        batch_size=40,
        epochs=8,
        verbose=0,
        callbacks=[snas_keras.TemperatureSchedule("linear")],
    )

    def score(values):
        logs = supernet.evaluate(
            *valid,
            weights=snas_keras.Genotype(values),
            batch_size=200,
            verbose=0,
            return_dict=True,
        )
        return logs["accuracy"]

    means = {"warm": [], "cold": []}
    for seed in range(3):
        warm = tuner.ArchitectureOracle.from_supernet(
            supernet, score_objective(), 10, seed=seed
        )
        cold = tuner.ArchitectureOracle(
            warm.choices, score_objective(), 10, seed=seed
        )
        for name, oracle in (("warm", warm), ("cold", cold)):
            folder = tmp_path / f"{name}_{seed}"
            try_all(in_folder(oracle, folder), score)
            scores = [trial.score for trial in oracle.trials.values()]
            means[name].append(np.mean(scores))
    assert all(w > c for w, c in zip(*means.values(), strict=True)), means


def compile_child(hp, model):
    rate = hp.Float("learning_rate", 1e-3, 1e-1, sampling="log")
    model.compile(
        keras.optimizers.SGD(rate),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["random", "bayesian", "hyperband", "architecture"]
)
def test_a_space_is_a_hypermodel_for_every_tuner(
    tmp_path, dense_space, features, kind
):
    hypermodel = tuner.SearchSpaceHyperModel(
        dense_space,
        compile_child,
        options=lambda hp: {"units": hp.Int("units", 4, 6)},
    )
    options = {"directory": tmp_path, "project_name": kind}
    search = {
        "random": lambda: keras_tuner.RandomSearch(
            hypermodel, "val_accuracy", max_trials=3, **options
        ),
        "bayesian": lambda: keras_tuner.BayesianOptimization(
            hypermodel, "val_accuracy", max_trials=3, **options
        ),
        "hyperband": lambda: keras_tuner.Hyperband(
            hypermodel, "val_accuracy", max_epochs=2, **options
        ),
        "architecture": lambda: keras_tuner.Tuner(
            tuner.ArchitectureOracle(dense_space, "val_accuracy", 3, seed=1),
            hypermodel,
            **options,
        ),
    }[kind]()
    search.search(
        *features, validation_data=features, epochs=1, batch_size=16, verbose=0
    )
    trials = list(search.oracle.trials.values())
    assert len(trials) >= 2
    for trial in trials:
        assert trial.status == "COMPLETED", trial.message
        assert 0.0 <= trial.score <= 1.0
        values = trial.hyperparameters.values
        assert set(values) >= {"block_0", "block_1", "learning_rate", "units"}
    best = search.get_best_models()[0]
    values = search.get_best_hyperparameters()[0].values
    assert best.layers[1].units == values["units"]


def test_the_own_fit_of_a_hypermodel_is_used(dense_space, features):
    seen = []

    def fit(hp, model, *args, **kwargs):
        seen.append((hp, kwargs))
        return model.fit(*args, **kwargs)

    hypermodel = tuner.SearchSpaceHyperModel(dense_space, compile_child, fit)
    hp = keras_tuner.HyperParameters()
    hypermodel.fit(hp, hypermodel.build(hp), *features, verbose=0)
    assert seen == [(hp, {"verbose": 0})]


def test_missing_tensorboard_is_named(monkeypatch, dense_space):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ModuleNotFoundError, match=r"snas-keras\[tuner\]"):
        tuner.SearchSpaceHyperModel(dense_space, compile_child)


@pytest.fixture
def searched(tiny_space, images, compiled):
    supernet = compiled(tiny_space, metrics=["accuracy"])
    supernet.fit(*images, batch_size=16, epochs=2, verbose=0)
    return supernet


def test_a_trial_is_the_child_with_the_supernets_weights(
    tmp_path, searched, images
):
    cost = costs_lib.ChildCost(searched, "flops")
    reward = objectives.weighted(
        {"val_accuracy": 1.0, "flops": -1.0}, {"flops": cost.maximum}
    )
    search = tuner.SuperNetTuner(
        tuner.ArchitectureOracle.from_supernet(
            searched, score_objective(), 3, seed=1
        ),
        searched,
        images,
        images[0],
        costs={"flops": cost},
        reward=reward,
        directory=tmp_path,
    )
    search.search(verbose=0)
    assert len(search.oracle.trials) == 3
    for trial in search.oracle.trials.values():
        genotype = search.genotype(trial)
        child = snas_keras.convert(searched, genotype)
        snas_keras.recalibrate_batch_norm(child, images[0])
        right = np.argmax(child.predict(images[0], verbose=0), 1) == images[1]
        found = {
            name: metric.get_best_value()
            for name, metric in trial.metrics.metrics.items()
        }
        assert found["val_accuracy"] == pytest.approx(right.mean())
        assert found["flops"] == cost(genotype)
        assert trial.score == pytest.approx(
            right.mean() - cost(genotype) / cost.maximum
        )
    report = tuner.pareto_report(
        search.oracle, {"val_accuracy": "max", "flops": "min"}
    )
    assert len(report.points) == 3
    model = search.get_best_models()[0]
    assert model.evaluate(*images, verbose=0, return_dict=True)["accuracy"] >= 0


def test_retraining_goes_on_after_a_kill(tmp_path, searched, images):
    def make():
        oracle = tuner.ArchitectureOracle.from_supernet(
            searched, "val_accuracy", 3, seed=1
        )
        return tuner.SuperNetTuner(oracle, searched, images, directory=tmp_path)

    search = make()
    search.search()
    calls = []

    def train(genotype, execution):
        calls.append((genotype, execution))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return {"accuracy": 0.1 * len(calls)}

    with pytest.raises(KeyboardInterrupt):
        search.retrain(train, count=2, executions=2)
    found = make().retrain(train, count=2, executions=2)
    assert len(calls) == 5
    assert [sorted(r["metrics"]) for r in found] == [["accuracy"]] * 2
    assert found[0]["metrics"]["accuracy"] == pytest.approx(0.15)
    assert found[1]["metrics"]["accuracy"] == pytest.approx(0.45)
    scores = [
        search.oracle.get_trial(result["trial"]).score for result in found
    ]
    assert scores == sorted(scores, reverse=True)


def test_a_supernet_that_is_not_compiled_is_refused(tiny_space, images):
    supernet = snas_keras.build_supernet(tiny_space)
    oracle = tuner.ArchitectureOracle.from_supernet(supernet, "val_accuracy")
    with pytest.raises(ValueError, match="must be compiled"):
        tuner.SuperNetTuner(oracle, supernet, images)


def free_port():
    with socket.socket() as opened:
        opened.bind(("127.0.0.1", 0))
        return opened.getsockname()[1]


class Service:
    """Processes of one distributed search."""

    def __init__(self, folder):
        self.folder = folder
        self.port = str(free_port())
        self.running = []

    def start(self, name, *arguments):
        environment = {
            **os.environ,
            "PYTHONPATH": str(processes.ROOT),
            "TF_CPP_MIN_LOG_LEVEL": "3",
            "KERASTUNER_TUNER_ID": name,
            "KERASTUNER_ORACLE_IP": "127.0.0.1",
            "KERASTUNER_ORACLE_PORT": self.port,
        }
        script = processes.ROOT / "tests" / "scripts" / "distributed_tuner.py"
        process = subprocess.Popen(
            [sys.executable, str(script), str(self.folder), *arguments],
            env=environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.running.append(process)
        return process

    def finish(self, *expected):
        for process in expected:
            assert process.wait(timeout=180) == 0

    def trials(self):
        files = (self.folder / "search").glob("trial_*/trial.json")
        return [json.loads(path.read_text()) for path in sorted(files)]


@pytest.fixture
def service(tmp_path):
    service = Service(tmp_path)
    yield service
    for process in service.running:
        if process.poll() is None:
            process.kill()
            process.wait()


def wait_for(path):
    deadline = time.time() + 180
    while not path.exists():
        assert time.time() < deadline
        time.sleep(0.05)


@pytest.mark.slow
def test_a_worker_killed_in_mid_trial_loses_nothing(service):
    """One chief, two workers; one is killed and replaced under its name."""
    chief = service.start("chief")
    worker = service.start("tuner0")
    doomed = service.start("tuner1", "3")
    wait_for(service.folder / "waiting")
    doomed.send_signal(signal.SIGKILL)
    assert doomed.wait() == -signal.SIGKILL
    service.finish(chief, worker, service.start("tuner1"))
    trials = service.trials()
    assert [trial["trial_id"] for trial in trials] == [
        f"{i:02d}" for i in range(12)
    ]
    assert {trial["status"] for trial in trials} == {"COMPLETED"}
    values = [str(trial["hyperparameters"]["values"]) for trial in trials]
    assert len(set(values)) == 12
    ended = [path.name.split("_")[1] for path in service.folder.glob("ended_*")]
    assert sorted(ended) == sorted(trial["trial_id"] for trial in trials)
    begun = [path.name for path in service.folder.glob("begun_*")]
    assert len(begun) == 13


@pytest.mark.slow
def test_a_worker_whose_trials_fail_does_not_hang_the_chief(service):
    service.finish(service.start("chief"), service.start("fails"))
    statuses = {trial["status"] for trial in service.trials()}
    assert statuses == {"FAILED"}
    assert len(service.trials()) < 12
