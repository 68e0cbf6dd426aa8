"""The cost of whole children: every call, every weight once, exact limits."""

import itertools
import math
import textwrap
import time

import keras
import numpy as np
import pytest
from keras import ops

import snas_keras
from snas_keras import costs
from snas_keras.costs import _tied

KL = keras.layers


def dense(units=4, **options):
    return {"dense": KL.Dense(units, **options), "skip": KL.Identity()}


def called_twice(choose):
    inputs, layer = keras.Input((4,)), KL.Dense(4)
    return inputs, choose("a", dense())(layer(layer(inputs)))


def edge_called_twice(choose):
    inputs, edge = keras.Input((4,)), choose("a", dense())
    return inputs, edge(edge(inputs))


def edge_at_two_sizes(choose):
    inputs = keras.Input((8, 8, 3))
    edge = choose("a", {"dense": KL.Conv2D(3, 3, padding="same")})
    return inputs, [edge(inputs), edge(KL.MaxPooling2D(2)(inputs))]


def twins(choose):
    """A shared stem, and a shared choice, for two images."""
    inputs = [keras.Input((4, 4, 3)), keras.Input((4, 4, 3))]
    stem = keras.Sequential([KL.Conv2D(2, 1), KL.ReLU()])
    edge = choose("a", {"dense": KL.Conv2D(2, 1), "skip": KL.Identity()})
    x = KL.Concatenate()([edge(stem(x)) for x in inputs])
    return inputs, KL.Dense(1)(KL.Flatten()(x))


def tied_candidates(choose):
    inputs, shared = keras.Input((4,)), KL.Dense(4)
    x = choose("a", {"dense": shared, "skip": KL.Identity()})(inputs)
    return inputs, choose("b", {"dense": shared, "skip": KL.Identity()})(x)


def candidate_is_the_stem(choose):
    inputs, shared = keras.Input((4,)), KL.Dense(4)
    return inputs, choose("a", {"dense": shared})(shared(inputs))


def raw_operations(choose):
    inputs = keras.Input((4,))
    x = 1.0 - choose("a", dense())(inputs)
    return inputs, KL.Dense(2)(ops.log(x + inputs)[:, 1:] * 2.0)


def by_keywords(choose):
    inputs = keras.Input((10, 8))
    x = KL.MultiHeadAttention(2, 4)(query=inputs, value=inputs)
    return inputs, choose("a", dense(8))(x)


# Program: (parameters, multiply-adds) of the child of "dense".
BY_HAND = {
    called_twice: (2 * 20, 3 * 16),
    edge_called_twice: (20, 2 * 16),
    # One multiply-add and window number for each pooled number: 4 x 16 x 3.
    edge_at_two_sizes: (84, (64 + 16) * 81 + 192),
    twins: (8 + 6 + 65, 2 * 16 * (6 + 4) + 64),
    tied_candidates: (20, 32),
    candidate_is_the_stem: (20, 32),
    raw_operations: (20 + 8, 16 + 6),
    by_keywords: (4 * 64 + 3 * 8 + 8 + 72, 4 * 640 + 2 * 800 + 640),
}


def supernet_of(program):
    return snas_keras.build_supernet(snas_keras.search_space(program)())


@pytest.mark.parametrize("program", BY_HAND)
def test_calls_count_every_time_and_weights_once(program):
    supernet = supernet_of(program)
    genotype = dict.fromkeys(supernet.architecture.choices, "dense")
    found = [
        costs.ChildCost(supernet, cost)(genotype)
        for cost in ("parameters", "flops")
    ]
    assert found == [*BY_HAND[program]]


def test_an_edge_inside_a_submodel_is_read():
    """The mixed edge and the layers around it, wherever they stand."""
    edge = snas_keras.MixedEdge(dense(), "a")
    x, z = keras.Input((4,)), keras.Input(batch_shape=(2,))
    inner = keras.Model([x, z], KL.Dense(4)(edge(x, z)))
    x, z = keras.Input((4,)), keras.Input(batch_shape=(2,))
    network = keras.Model([x, z], KL.Dense(4)(inner([x, z])))
    table = costs.cost_table(network, "flops")
    assert table["a"].tolist() == [[16.0, 0.0]]


def test_a_fixed_batch_does_not_change_the_cost_of_an_example():
    found = []
    for batch in (None, 8):
        inputs = keras.Input(batch_shape=(batch, 5, 4))

        def program(choose, inputs=inputs):
            x = choose("a", {"dense": KL.LSTM(4), "gru": KL.GRU(4)})(inputs)
            return inputs, KL.Dense(3)(x)

        cost = costs.ChildCost(supernet_of(program), "flops")
        found.append(cost({"a": "dense"}))
    assert found == [5 * 4 * 4 * 8 + 12] * 2


def test_frozen_weights_count_and_statistics_do_not():
    """A frozen backbone is part of the network; its moving means and variances
    are no parameters."""
    backbone = keras.Sequential(
        [KL.Dense(8), KL.BatchNormalization(), KL.Dropout(0.5)]
    )
    backbone.trainable = False
    words = KL.Embedding(7, 8, trainable=False)

    def program(choose):
        inputs = keras.Input((), dtype="int32")
        x = choose("a", dense(8))(backbone(words(inputs)))
        return inputs, x

    supernet = supernet_of(program)
    cost = costs.ChildCost(supernet, "parameters")
    assert cost.fixed == 56 + 72 + 16
    statistics = 2 * 8
    child = snas_keras.convert(supernet, {"a": "dense"})
    assert cost({"a": "dense"}) == child.count_params() - statistics


def test_a_choice_whose_output_leads_nowhere_costs_nothing():
    edge = snas_keras.MixedEdge(dense(), "a")
    x = keras.Input((4,))
    z = {name: keras.Input(batch_shape=(2,)) for name in "ab"}
    supernet = snas_keras.SuperNet(
        keras.Model([x, z], edge(x, z["a"])),
        snas_keras.Architecture({"a": ["dense", "skip"], "b": ["c", "d"]}),
    )
    cost = costs.ChildCost(supernet, "parameters")
    assert cost.rows["b"].tolist() == [0.0, 0.0]
    assert cost({"a": "dense", "b": "d"}) == 20
    assert cost.dearest == {"a": "dense", "b": "c"}


def made_up(rows, tied=(), fixed=0.0):
    """Return a ChildCost of given rows, without a network."""
    cost = costs.ChildCost.__new__(costs.ChildCost)
    cost.name, cost.fixed, cost.tied = "made up", fixed, tuple(tied)
    cost.rows = {str(i): np.array(row, float) for i, row in enumerate(rows)}
    cost.choices = {
        name: [f"c{k}" for k in range(len(row))]
        for name, row in cost.rows.items()
    }
    return cost


def children(cost):
    names = list(cost.choices)
    for picked in itertools.product(*cost.choices.values()):
        yield dict(zip(names, picked, strict=True))


def random_tied(seed):
    """Up to six choices, three shared weights with several users each."""
    generator = np.random.default_rng(seed)
    rows = generator.integers(20, 60, (generator.integers(3, 7), 3))
    tied = [
        _tied.Tied(
            float(generator.integers(1, 6)),
            {
                str(name): frozenset(
                    generator.choice(
                        3, generator.integers(1, 3), False
                    ).tolist()
                )
                for name in generator.choice(len(rows), 2, False)
            },
        )
        for _ in range(3)
    ]
    return made_up(rows, tied, fixed=7.0)


@pytest.mark.parametrize("seed", range(8))
def test_shared_weights_are_exact_in_all_that_is_asked(seed):
    """Against all children one by one."""
    cost = random_tied(seed)
    found = {snas_keras.Genotype(g): cost(g) for g in children(cost)}
    values = np.array([*found.values()])
    assert cost.minimum == values.min() == found[cost.cheapest]
    assert cost.maximum == values.max() == found[cost.dearest]
    generator = np.random.default_rng(seed)
    p = {
        name: generator.dirichlet(np.ones(len(c)))
        for name, c in cost.choices.items()
    }
    weights = np.array(
        [np.prod([p[n][cost.choices[n].index(g[n])] for n in p]) for g in found]
    )
    assert cost.expected(p) == pytest.approx(weights @ values)
    for limit in (*np.unique(values)[::7], values.max(), values.min()):
        within = weights[values <= limit].sum()
        assert cost.probability_within(limit, p) == pytest.approx(within)
        assert cost.probability_within(limit) == pytest.approx(
            np.mean(values <= limit)
        )


def test_of_equal_children_the_first_candidates_are_named():
    cost = made_up([[1, 1, 2], [3, 3], [5, 4]])
    assert cost.cheapest == {"0": "c0", "1": "c0", "2": "c1"}
    assert cost.dearest == {"0": "c2", "1": "c0", "2": "c0"}


@pytest.mark.parametrize(
    ("rows", "limit"),
    [
        # A range of more units than one array can hold.
        ([[0, 1], [0, 3_000_001]], 0),
        ([[0, 1], [0, 3_000_001]], 1),
        ([[0, 1], [0, 3_000_001], [0, 7]], 3_000_001),
        # Costs in fractions that sum to the limit but for rounding.
        ([[0, 1 / 7]] * 7, 1.0),
        ([[0.1, 0.2], [0.1, 0.3]], 0.4),
        ([[0.1, 0.2], [0.1, 0.3]], 0.3),
        ([[1e-9, 2e-9], [1e6, 2e6]], 1e6 + 1.5e-9),
        ([[0.5]], 0.5),
        ([[0.0, 0.0]], 0.0),
        ([[10, 11], [10**12, 10**12 + 1]], 10**12 + 10),
        ([[0, 1], [0, 10**12]], 10**12),
    ],
)
def test_the_share_within_a_limit_is_exact_at_its_edges(rows, limit):
    sums = np.array([sum(x) for x in itertools.product(*rows)])
    wanted = np.mean(sums <= limit * (1 + 1e-12))
    assert made_up(rows).probability_within(limit) == pytest.approx(
        wanted, abs=1e-12
    )


def test_the_share_is_one_at_the_maximum_and_zero_below_the_minimum():
    """Also where sums must be rounded to a grid."""
    for seed in range(20):
        generator = np.random.default_rng(seed)
        cost = made_up(generator.random((40, 8)), fixed=0.3)
        assert cost.probability_within(cost.maximum) == 1.0
        assert cost.probability_within(0.999 * cost.minimum) == 0.0
        middle = cost.probability_within((cost.minimum + cost.maximum) / 2)
        assert 0.1 < middle < 0.9


def test_costs_of_numpy_types_are_taken():
    table = np.float32([0.125, 2.5])

    def joules(layer, input_shape):
        return table[int(isinstance(layer, KL.Dense))]

    def program(choose):
        inputs = keras.Input((4,))
        return inputs, KL.Dense(1)(choose("a", dense())(inputs))

    cost = costs.ChildCost(supernet_of(program), joules)
    assert cost.name == "joules"
    assert cost({"a": "dense"}) == 5.0
    assert type(cost({"a": "dense"})) is float
    assert type(cost.fixed) is float


def test_a_cost_of_ones_own_is_asked_for_every_call():
    seen = []

    def ones(layer, input_shape):
        seen.append((type(layer).__name__, input_shape))
        return 1

    cost = costs.ChildCost(supernet_of(edge_called_twice), ones)
    assert cost({"a": "skip"}) == 2.0
    assert seen.count(("Dense", (None, 4))) == 2


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_a_cost_that_is_no_cost_is_refused_with_its_place(value):
    def odd(layer, input_shape):
        return value * isinstance(layer, KL.Dense)

    supernet = supernet_of(edge_called_twice)
    message = f"Received: {value} for candidate 'dense' of choice 'a'"
    with pytest.raises(ValueError, match=message):
        costs.ChildCost(supernet, odd)


def open_sequence(choose):
    inputs = keras.Input((None, 4))
    x = KL.Conv1D(4, 2, strides=2, padding="same")(inputs)
    return inputs, choose("a", dense())(x)


def test_an_open_length_needs_a_size_and_the_message_says_how():
    supernet = supernet_of(open_sequence)
    assert costs.ChildCost(supernet, "parameters").fixed == 36
    with pytest.raises(ValueError, match=r"AtSize\(cost, 128\)"):
        costs.ChildCost(supernet, "flops")


def test_a_size_counts_from_the_inputs_on():
    """Sixty-four steps of a stride of two in 128: 64 x 2 x 4 x 4."""
    supernet = supernet_of(open_sequence)
    cost = costs.ChildCost(supernet, costs.AtSize("flops", 128))
    assert cost.name == "flops"
    assert cost.fixed == 64 * 32
    assert cost({"a": "dense"}) - cost.fixed == 64 * 16


def test_a_cost_at_a_size_can_be_saved():
    resource = snas_keras.Resource(costs.AtSize("flops", 128), limit="60%")
    again = snas_keras.Resource.from_config(resource.get_config())
    assert (again.cost.size, again.cost.cost) == (128, costs.flops)
    with pytest.raises(ValueError, match="Received: size=0"):
        costs.AtSize("flops", 0)


class Unknown(KL.Layer):
    def call(self, inputs):
        return ops.inv(ops.matmul(inputs, inputs))


def test_what_is_not_known_is_named_with_its_place_and_a_lesson_that_works():
    def program(choose):
        inputs = keras.Input((4, 4))
        candidates = {
            "own": keras.Sequential([KL.Dense(4), Unknown(name="mine")]),
            "skip": KL.Identity(),
        }
        return inputs, choose("block", candidates)(inputs)

    supernet = supernet_of(program)
    with pytest.raises(TypeError) as caught:
        costs.ChildCost(supernet, "flops")
    message = str(caught.value)
    assert message.startswith("Candidate 'own' of choice 'block': ")
    assert "'mine'" in message
    lesson = message.partition("Teach it:\n")[2]
    rules = costs.flops._operation_rules
    kept = dict(rules)
    try:
        exec(textwrap.dedent(lesson), {"snas_keras": snas_keras, "math": math})
        assert costs.ChildCost(supernet, "flops").maximum > 0
    finally:
        rules.clear()
        rules.update(kept)


def test_what_is_not_known_outside_the_choices_is_named_too():
    def program(choose):
        x = inputs = keras.Input((4, 4))
        x = Unknown(name="mine")(choose("a", dense())(x))
        return inputs, ops.det(x)

    supernet = supernet_of(program)
    message = "(?s)^Outside the choices: Inside layer 'mine': .*operation Inv"
    with pytest.raises(TypeError, match=message):
        costs.ChildCost(supernet, "flops")


def test_names_of_costs_follow_one_rule(tmp_path):
    class Own:
        name = "own"

        def __call__(self, layer, input_shape):
            return 1.0

    def watts(layer, input_shape):
        return 1.0

    assert [costs.cost_name(c) for c in costs.COSTS.values()] == [*costs.COSTS]
    assert costs.cost_name(Own()) == "own"
    assert costs.cost_name(watts) == "watts"
    assert costs.cost_name("flops") == "flops"
    table = snas_keras.LatencyTable({}, {}, 1)
    assert costs.cost_name(table) == table.name == "latency"


def test_bytes_of_weights_count_once_too():
    size = costs.WeightCost("bytes", "", lambda v: 4.0 * np.prod(v.shape))
    cost = costs.ChildCost(supernet_of(tied_candidates), size)
    assert cost({"a": "dense", "b": "dense"}) == 80.0


@pytest.mark.slow
def test_costs_of_many_choices_are_read_in_seconds():
    """200 choices of 8 candidates, as quickly as 200 times one choice."""

    def program(choose):
        x = inputs = keras.Input((4, 4, 2))
        for index in range(200):
            candidates = {
                f"conv_{k}": KL.Conv2D(2, k, padding="same")
                for k in range(1, 7)
            }
            candidates["two"] = keras.Sequential([KL.ReLU(), KL.Conv2D(2, 1)])
            candidates["skip"] = KL.Identity()
            x = choose(f"b{index}", candidates)(x)
        return inputs, x

    supernet = supernet_of(program)
    start = time.perf_counter()
    for cost in ("flops", "parameters"):
        found = costs.ChildCost(supernet, cost)
        assert found.minimum == 0.0
        assert found.probability_within(found.maximum) == 1.0
        assert 0 < found.probability_within(found.maximum / 3) < 1
    assert time.perf_counter() - start < 15


def both_tied(choose):
    """Cheapest with both choices on the shared layer: 20 parameters, where
    each choice by itself would rather take one of 10."""
    inputs, shared = keras.Input((4,)), KL.Dense(4)

    def small():
        return keras.Sequential([KL.Dense(2), KL.Dense(4, use_bias=False)])

    x = inputs
    for name in "ab":
        x = choose(name, {"shared": shared, "small": small()})(x)
    return inputs, x


def test_a_limit_that_only_a_child_with_shared_weights_keeps_is_kept():
    """Small ones have 18 parameters each, the shared one 20 once."""
    supernet = supernet_of(both_tied)
    cost = costs.ChildCost(supernet, "parameters")
    assert cost.cheapest == {"a": "shared", "b": "shared"}
    assert cost.minimum == 20
    supernet.compile(
        loss="mse", resource=snas_keras.Resource("parameters", limit=25)
    )
    for name in "ab":
        supernet.architecture.logits[name].assign([0.0, 5.0])
    assert cost(supernet.derive()) == 20
    logs = supernet.fit(np.zeros((4, 4)), np.zeros((4, 4)), verbose=0).history
    probabilities = supernet.architecture.probabilities()
    assert logs["child_parameters"] == [20.0]
    assert logs["expected_parameters"][0] == pytest.approx(
        cost.expected(probabilities), rel=0.05
    )


def test_a_mode_with_shared_weights_within_the_limit_is_kept():
    """Its parameters are 20, though each of its choices has 20."""

    def program(choose):
        x, shared = keras.Input((4,)), KL.Dense(4)
        inputs = x
        for name in "ab":
            x = choose(name, {"shared": shared, "skip": KL.Identity()})(x)
        return inputs, x

    supernet = supernet_of(program)
    supernet.compile(
        loss="mse", resource=snas_keras.Resource("parameters", limit=25)
    )
    for name in "ab":
        supernet.architecture.logits[name].assign([5.0, 0.0])
    assert supernet.derive() == {"a": "shared", "b": "shared"}


def attention_to_another_sequence(choose):
    query, value = keras.Input((4, 8)), keras.Input((6, 8))
    heads = {"two": KL.MultiHeadAttention(2, 4)}
    return [query, value], choose("a", heads)(query, value)


def test_a_choice_called_on_several_tensors_costs_what_its_child_does():
    """Projections of 4 queries, 6 keys and values; scores and their sums."""
    space = snas_keras.search_space(attention_to_another_sequence)()
    supernet = snas_keras.build_supernet(space)
    by_hand = 2 * 4 * 64 + 2 * 6 * 64 + 2 * 2 * 4 * 6 * 4
    assert costs.ChildCost(supernet, "flops")({"a": "two"}) == by_hand
    [edge] = (x for x in supernet.network.layers if hasattr(x, "choice"))
    assert costs.edge_costs(edge, "flops") == [by_hand]
