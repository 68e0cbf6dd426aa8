"""A user's program with types, for `mypy --strict`; nothing runs it."""

import pathlib
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import numpy.typing as npt

import snas_keras
from snas_keras import (
    children,
    costs,
    estimators,
    objectives,
    reports,
    supernet,
    testing,
    training,
    tuner,
)

Array = npt.NDArray[np.float32]


@snas_keras.search_space
def network(choose: Callable[..., Any], filters: int = 4) -> tuple[Any, Any]:
    x = inputs = keras.Input((8, 8, 1))
    for block in range(2):
        conv = snas_keras.OPERATIONS["nor_conv_3x3"](filters)
        candidates = {"conv": conv, "skip": keras.layers.Identity()}
        x = choose(f"block_{block}", candidates)(x)
    return inputs, keras.layers.GlobalAveragePooling2D()(x)


def kilobytes(layer: Any, input_shape: Any) -> float:
    return costs.parameters(layer, input_shape) * 4 / 1024


def softer(logits: Any, temperature: Any, seed: Any) -> Any:
    return estimators.softmax(0.5 * logits, temperature, seed)


def search(x: Array, y: Array, folder: pathlib.Path) -> snas_keras.Genotype:
    space: snas_keras.SearchSpace = network(filters=2)
    names: dict[str, tuple[str, ...]] = dict(space.choices())
    size: int = space.size()
    print(names, size, space.random_genotype(seed=1))
    net: snas_keras.SuperNet = snas_keras.build_supernet(space, "relaxed")
    limit = snas_keras.Resource("flops", limit="60%")
    penalty = snas_keras.Resource(kilobytes, weight=0.1, name="kilobytes")
    net.compile("sgd", keras.optimizers.Adam(0.01), "mse", resource=[limit])
    net.compile("sgd", loss="mse", resource=penalty)
    batches = snas_keras.AddressableBatches(x, y, batch_size=8)
    net.fit(
        batches,
        epochs=2,
        callbacks=[
            snas_keras.TemperatureSchedule(training.linear(1.0, 0.1)),
            snas_keras.SearchLogger(folder, costs=("flops", kilobytes)),
            snas_keras.HealthGuard(folder, patience=3),
            snas_keras.SearchCheckpoint(folder / "search.npz", batches),
        ],
    )
    genotype: snas_keras.Genotype = net.derive()
    genotype.save(folder / "genotype.json")
    return snas_keras.Genotype.load(folder / "genotype.json")


def inspect(net: snas_keras.SuperNet, x: Array, y: Array) -> list[str]:
    distribution: supernet.Distribution = net.architecture.distribution()
    entropies: dict[str, float] = distribution.entropy()
    table: snas_keras.LatencyTable = snas_keras.measure_latency(net)
    cost = costs.ChildCost(net, table)
    spread: reports.RetentionReport = snas_keras.retention_report(net, (x, y))
    facts: reports.SpaceReport = snas_keras.space_report(network())
    page: pathlib.Path = snas_keras.search_report("run")
    price: float = cost(net.derive())
    numbers = [*entropies.values(), price, cost.minimum, cost.maximum]
    return [*map(str, numbers), spread.table(), facts.table(), str(page)]


def deploy(net: snas_keras.SuperNet, x: Array) -> float:
    genotype = net.derive()
    child = snas_keras.convert(net, genotype)
    snas_keras.recalibrate_batch_norm(child, x, steps=2)
    new = snas_keras.build_child(network(), genotype, filters=8)
    small = children.for_inference(new)
    served: float = snas_keras.export_saved_model(small, "served", genotype)
    on_phone: float = snas_keras.export_litert(child, "child.tflite")
    return max(served, on_phone)


def tune(net: snas_keras.SuperNet, x: Array, y: Array) -> snas_keras.Genotype:
    flops = costs.ChildCost(net, "flops")
    oracle = tuner.ArchitectureOracle.from_supernet(
        net,
        "val_loss",
        max_trials=3,
        seed=0,
        costs={"flops": flops},
        max_cost={"flops": 0.5 * flops.maximum},
    )
    found = tuner.SuperNetTuner(
        oracle,
        net,
        (x, y),
        x,
        costs={"flops": flops},
        reward=objectives.weighted({"val_loss": -1.0}),
    )
    found.search()
    front = objectives.pareto_front([[0.9, 5.0], [0.8, 2.0]], ["max", "min"])
    best: snas_keras.Genotype = oracle.best_genotype()
    print(front.tolist(), best)
    return best


def check() -> None:
    testing.check_cost(kilobytes)
    testing.check_estimator(softer)
    testing.check_search_space(network, filters=2)
    testing.check_oracle(tuner.RegularizedEvolutionOracle)
