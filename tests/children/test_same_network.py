"""What is rebuilt is the same network: state, sharing, names, flags, dtypes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

import snas_keras
from snas_keras import layers

KL = keras.layers
X = np.random.default_rng(0).normal(5.0, 3.0, (16, 4)).astype("float32")


def space_of(function):
    """Make a space of a function (choose) -> (inputs, outputs)."""
    return snas_keras.search_space(function)()


def dense_or_skip(choose, x, name="block"):
    return choose(name, {"dense": KL.Dense(4), "skip": KL.Identity()})(x)


def adapted():
    norm = KL.Normalization()
    norm.adapt(X)
    return norm


def in_backbone():
    inputs = keras.Input((4,))
    return keras.Model(inputs, KL.Dense(4)(adapted()(inputs)))


STATEFUL = {
    "layer": adapted,
    "Sequential": lambda: keras.Sequential([adapted(), KL.Dense(4)]),
    "backbone": in_backbone,
    "discretization": lambda: keras.Sequential(
        [
            KL.Discretization(bin_boundaries=[2.0, 5.0, 8.0]),
            KL.CategoryEncoding(4, output_mode="multi_hot"),
        ]
    ),
}


@pytest.mark.parametrize("place", ["fixed", "candidate"])
@pytest.mark.parametrize("kind", STATEFUL)
def test_adapted_layers_answer_the_same_in_every_child(kind, place):
    brought = STATEFUL[kind]()

    def program(choose):
        x = inputs = keras.Input((4,))
        if place == "fixed":
            return inputs, dense_or_skip(choose, brought(x))
        block = {"adapted": brought, "other": KL.Dense(4)}
        return inputs, choose("block", block)(x)

    space = space_of(program)
    supernet = snas_keras.build_supernet(space)
    genotype = {"block": "skip" if place == "fixed" else "adapted"}
    expected = np.array(brought(X))
    for child in (
        snas_keras.convert(supernet, genotype),
        snas_keras.build_child(space, genotype),
    ):
        np.testing.assert_allclose(child(X), expected, atol=1e-5)
    assert np.abs(expected).max() > 0.1


def test_vocabularies_come_over():
    words = np.array([["to be"], ["not to"], ["be be"]])
    texts = KL.TextVectorization(output_sequence_length=3)
    texts.adapt(words)
    lookup = KL.StringLookup(vocabulary=["red", "blue"])

    def program(choose):
        inputs = {
            "text": keras.Input((1,), dtype="string", name="text"),
            "color": keras.Input((1,), dtype="string", name="color"),
        }
        tokens = KL.Embedding(8, 4)(texts(inputs["text"]))
        color = KL.Embedding(4, 4)(lookup(inputs["color"]))
        x = KL.Concatenate(axis=1)([tokens, color])
        return inputs, dense_or_skip(choose, KL.GlobalMaxPooling1D()(x))

    supernet = snas_keras.build_supernet(space_of(program))
    x = {
        "text": tf.constant(words),
        "color": tf.constant([["red"], ["blue"], ["green"]]),
    }
    child = snas_keras.convert(supernet)
    np.testing.assert_allclose(child(x), supernet(x), atol=1e-6)
    assert len(np.unique(np.array(child(x)), axis=0)) == 3


def hyphens(texts):
    return tf.strings.regex_replace(texts, "-", " ")


TEXTS = {
    "weighted by rarity": {"output_mode": "tf_idf"},
    "counted and padded": {
        "output_mode": "count",
        "max_tokens": 9,
        "pad_to_max_tokens": True,
    },
    "split by functions": {
        "standardize": hyphens,
        "split": lambda texts: tf.strings.split(texts, " "),
        "output_sequence_length": 4,
    },
}


@pytest.mark.parametrize("place", ["fixed", "candidate"])
@pytest.mark.parametrize("kind", TEXTS)
def test_texts_are_vectorized_alike(kind, place):
    words = tf.constant([["to-be or"], ["not to"], ["be be"]])
    texts = KL.TextVectorization(**TEXTS[kind])
    texts.adapt(words)

    def program(choose):
        inputs = keras.Input((1,), dtype="string")
        if place == "fixed":
            x = keras.ops.cast(texts(inputs), "float32")
            return inputs, choose("block", {"only": KL.Identity()})(x)
        return inputs, choose("block", {"only": texts})(inputs)

    supernet = snas_keras.build_supernet(space_of(program))
    child = snas_keras.convert(supernet, {"block": "only"})
    expected = np.asarray(texts(words))
    np.testing.assert_allclose(child(words), expected, rtol=1e-6)
    assert len(np.unique(expected, axis=0)) == 3


def test_a_table_that_keras_cannot_load_is_refused_at_the_choice():
    """Keras pads the weights of the words, and then misses the words."""
    texts = KL.TextVectorization(
        max_tokens=9, output_mode="tf_idf", pad_to_max_tokens=True
    )
    texts.adapt(["to be", "or"])

    def program(choose):
        inputs = keras.Input((1,), dtype="string")
        return inputs, choose("block", {"texts": texts})(inputs)

    with pytest.raises(ValueError, match="'texts' of choice 'block'.*idf_"):
        snas_keras.build_supernet(space_of(program))


@pytest.mark.parametrize("reads", ["what a file holds", "layers"])
def test_layers_held_in_a_config_are_copied_and_not_shared(reads):
    class Chain(KL.Layer):
        def __init__(self, parts, **kwargs):
            super().__init__(**kwargs)
            self.parts = parts

        def call(self, inputs):
            for part in self.parts:
                inputs = part(inputs)
            return inputs

        def get_config(self):
            return {**super().get_config(), "parts": self.parts}

    class FromFile(KL.Layer):
        def __init__(self, parts, **kwargs):
            super().__init__(**kwargs)
            self.parts = [parts] if isinstance(parts, KL.Layer) else parts
            if not self.parts[0].name:
                raise ValueError("no name")

        call = Chain.call

        def get_config(self):
            return {**super().get_config(), "first": self.parts[0]}

        @classmethod
        def from_config(cls, config):
            first = keras.saving.deserialize_keras_object(config.pop("first"))
            return cls(first, **config)

    kind = {"layers": Chain, "what a file holds": FromFile}[reads]

    def program(choose):
        inputs = keras.Input((4,))
        block = {"chain": kind([KL.Dense(4)]), "dense": KL.Dense(4)}
        return inputs, choose("block", block)(inputs)

    supernet = snas_keras.build_supernet(space_of(program))
    source = layers.mixed_edges(supernet.network)[0].candidates["chain"]
    child = snas_keras.convert(supernet, {"block": "chain"})
    expected = np.array(source(X))
    source.parts[0].kernel.assign(0.0 * source.parts[0].kernel)
    np.testing.assert_allclose(child(X), expected, rtol=1e-5)


def test_what_the_program_brings_keeps_its_weights_and_its_flags():
    backbone = keras.Sequential([keras.Input((4,)), KL.Dense(4), KL.Dense(4)])
    backbone.layers[0].trainable = False

    def program(choose):
        inputs = keras.Input((4,))
        return inputs, dense_or_skip(choose, backbone(inputs))

    space = space_of(program)
    first = snas_keras.build_child(space, {"block": "dense"})
    second = snas_keras.build_child(space, {"block": "dense"})
    for child in (first, second):
        copy = child.get_layer(backbone.name)
        for ours, theirs in zip(
            copy.get_weights(), backbone.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(ours, theirs)
        flags = [layer.trainable for layer in copy.layers]
        assert flags == [False, True]
        assert not {id(v) for v in copy.variables} & {
            id(v) for v in backbone.variables
        }
    new = [child.layers[-1].get_weights()[0] for child in (first, second)]
    assert np.abs(new[0] - new[1]).max() > 1e-3


def test_frozen_is_what_was_frozen_and_can_be_thawed():
    backbone = keras.Sequential([keras.Input((4,)), KL.Dense(4)])
    backbone.trainable = False

    def program(choose):
        inputs = keras.Input((4,))
        return inputs, dense_or_skip(choose, backbone(inputs))

    supernet = snas_keras.build_supernet(space_of(program))
    child = snas_keras.convert(supernet, {"block": "skip"})
    assert child.trainable_variables == []
    child.get_layer(backbone.name).trainable = True
    assert len(child.trainable_variables) == 2


def test_one_layer_in_two_choices_stays_one():
    tied = KL.Dense(4)

    def program(choose):
        x = inputs = keras.Input((4,))
        for name in ("first", "second"):
            x = choose(name, {"tied": tied, "own": KL.Dense(4)})(x)
        return inputs, x

    space = space_of(program)
    supernet = snas_keras.build_supernet(space)
    genotype = dict.fromkeys(("first", "second"), "tied")
    for child in (
        snas_keras.convert(supernet, genotype),
        snas_keras.build_child(space, genotype),
    ):
        assert child.count_params() == 4 * 4 + 4
        np.testing.assert_allclose(child(X), tied(tied(X)), rtol=1e-5)


def test_a_layer_that_is_called_twice_stays_one():
    def program(choose):
        first, second = keras.Input((4,)), keras.Input((4,))
        encoder = KL.Dense(4)
        x = KL.Subtract()([encoder(first), encoder(second)])
        return [first, second], dense_or_skip(choose, x)

    supernet = snas_keras.build_supernet(space_of(program))
    child = snas_keras.convert(supernet, {"block": "skip"})
    assert child.count_params() == 4 * 4 + 4
    assert not np.array(child([X, X])).any()


def tied_directly(dense, x):
    return keras.ops.matmul(dense(x), dense.kernel)


def tied_in_a_model(dense, x):
    inner = keras.Input((4,))
    return keras.Model(inner, tied_directly(dense, inner))(x)


def tied_ahead_of_the_call(dense, x):
    dense.build((None, 4))
    return dense(keras.ops.matmul(x, dense.kernel))


@pytest.mark.parametrize(
    "tied", [tied_directly, tied_in_a_model, tied_ahead_of_the_call]
)
def test_a_variable_that_an_operation_is_called_on_is_the_childs(tied):
    def program(choose):
        inputs = keras.Input((4,))
        x = tied(KL.Dense(4), dense_or_skip(choose, inputs))
        return inputs, x

    space = space_of(program)
    supernet = snas_keras.build_supernet(space)
    child = snas_keras.convert(supernet, {"block": "skip"})
    expected = np.array(child(X))
    for variable in supernet.network.trainable_variables:
        variable.assign(0.0 * variable)
    np.testing.assert_array_equal(child(X), expected)
    for network in (child, snas_keras.build_child(space, {"block": "skip"})):
        for variable in network.trainable_variables:
            variable.assign(0.0 * variable)
        assert not np.any(network(X))


def test_a_served_model_may_stand_in_the_space(tmp_path):
    served = keras.Sequential([keras.Input((4,)), KL.Dense(4)])
    served.export(tmp_path / "served", verbose=False)
    layer = KL.TFSMLayer(str(tmp_path / "served"), call_endpoint="serve")

    def program(choose):
        inputs = keras.Input((4,))
        return inputs, dense_or_skip(choose, layer(inputs))

    supernet = snas_keras.build_supernet(space_of(program))
    child = snas_keras.convert(supernet, {"block": "skip"})
    np.testing.assert_allclose(child(X), served(X), rtol=1e-5)


def test_names_never_clash():
    def program(choose):
        inputs = keras.Input((4,))
        x = KL.Dense(4, name="block_dense")(inputs)
        return inputs, dense_or_skip(choose, x)

    space = space_of(program)
    supernet = snas_keras.build_supernet(space)
    child = snas_keras.convert(supernet, {"block": "dense"})
    names = [layer.name for layer in child.layers]
    assert len(set(names)) == len(names) == 3
    assert len(snas_keras.build_child(space, {"block": "dense"}).layers) == 3


def test_outputs_keep_the_names_that_losses_are_given_by():
    def program(choose):
        inputs = keras.Input((4,))
        x = dense_or_skip(choose, inputs)
        price = choose("price", {"a": KL.Dense(1), "b": KL.Dense(1)})(x)
        return inputs, [price, KL.Dense(2, name="kind")(x)]

    supernet = snas_keras.build_supernet(space_of(program))
    assert supernet.output_names == ["price", "kind"]
    child = snas_keras.convert(supernet)
    child.compile("sgd", {"price": "mse", "kind": "mae"})
    child.fit(X, [X[:, :1], X[:, :2]], verbose=0)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "float16"])
def test_layers_keep_their_policy_whatever_that_of_the_process(policy):
    keras.config.set_dtype_policy(policy)

    def program(choose):
        inputs = keras.Input((8, 8, 2))
        operations = snas_keras.OPERATIONS
        names = ("max_pool_3x3", "nor_conv_3x3", "skip_connect")
        block = {name: operations[name](2, 2) for name in names}
        x = choose("block", block)(inputs)
        return inputs, KL.Dense(1, dtype="float32")(KL.Flatten()(x))

    supernet = snas_keras.build_supernet(space_of(program))
    keras.config.set_dtype_policy("float32")
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 2))
    for name in ("max_pool_3x3", "nor_conv_3x3", "skip_connect"):
        child = snas_keras.convert(supernet, {"block": name})
        z = supernet.architecture.one_hot({"block": name})
        expected = supernet.network([tf.cast(x, policy[-8:]), z])
        np.testing.assert_allclose(child(x), expected, rtol=2e-2, atol=2e-2)
        policies = {
            layer.dtype_policy.name
            for layer in child._flatten_layers()
            if not isinstance(layer, (keras.Model, KL.InputLayer))
        }
        # The last layer asks for float32.
        assert policies == {policy, "float32"}
        assert child.layers[-1].dtype_policy.name == "float32"


def test_lambdas_and_own_layers_need_not_be_registered():
    class Scaled(KL.Layer):
        def __init__(self, factor, **kwargs):
            super().__init__(**kwargs)
            self.factor = factor

        def call(self, inputs):
            return self.factor * inputs

        def get_config(self):
            return {**super().get_config(), "factor": self.factor}

    def program(choose):
        inputs = keras.Input((4,))
        x = KL.Lambda(lambda x: x + 1.0)(inputs)
        block = {
            "lambda": KL.Lambda(lambda x: 2.0 * x),
            "scaled": Scaled(3.0),
            "activation": KL.Dense(4, activation=lambda x: x**2),
        }
        return inputs, choose("block", block)(x)

    supernet = snas_keras.build_supernet(space_of(program))
    for name, expected in (("lambda", 2 * (X + 1)), ("scaled", 3 * (X + 1))):
        child = snas_keras.convert(supernet, {"block": name})
        np.testing.assert_allclose(child(X), expected, rtol=1e-6)
    assert (
        np.array(snas_keras.convert(supernet, {"block": "activation"})(X)) >= 0
    ).all()


class Forgetful(KL.Layer):
    """Its constructor takes what no config can hold."""

    def __init__(self, scale, **kwargs):
        super().__init__(**kwargs)
        self.scale = scale

    def call(self, inputs):
        return self.scale(inputs)

    def get_config(self):
        return super(KL.Layer, self).get_config()


def test_what_cannot_be_rebuilt_is_refused_at_the_choice():
    class Scale:
        def __call__(self, x):
            return 2.0 * x

    def program(choose):
        inputs = keras.Input((4,))
        block = {"a": Forgetful(Scale()), "b": KL.Dense(4)}
        return inputs, choose("block", block)(inputs)

    with pytest.raises(ValueError, match="'a' of choice 'block'.*get_config"):
        snas_keras.build_supernet(space_of(program))


def test_a_child_that_differs_is_not_handed_out():
    class Hidden(KL.Layer):
        """State outside of config and variables, which no copy can have."""

        factor = 1.0

        def call(self, inputs):
            return self.factor * inputs

    def program(choose):
        inputs = keras.Input((4,))
        hidden = Hidden(name="hidden")
        hidden.factor = 3.0
        return inputs, dense_or_skip(choose, hidden(inputs))

    supernet = snas_keras.build_supernet(space_of(program))
    with pytest.raises(ValueError, match="not that of the supernet"):
        snas_keras.convert(supernet, {"block": "skip"})
    child = snas_keras.convert(supernet, {"block": "skip"}, verify=False)
    np.testing.assert_allclose(child(X), X)


def test_the_comparison_leaves_states_as_they_are():
    def program(choose):
        inputs = keras.Input(batch_shape=(2, 3, 4))
        block = {
            "gru": KL.GRU(3, stateful=True),
            "lstm": KL.LSTM(3, stateful=True),
        }
        return inputs, choose("block", block)(inputs)

    supernet = snas_keras.build_supernet(space_of(program))
    supernet(np.ones((2, 3, 4), "float32"))  # States that are not zero.
    before = [np.array(v) for v in supernet.variables]
    child = snas_keras.convert(supernet)
    for variable, value in zip(supernet.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert not any(np.any(state) for state in child.layers[-1].states)


SUMS = {
    "a number": lambda none, x: none + 1.5,
    "a number first": lambda none, x: 1.5 + none,
    "a row": lambda none, x: none + keras.ops.ones((1, 4)),
    "a wider term": lambda none, x: KL.Add()(
        [none, KL.Reshape((1, 4))(x)[:, 0, :1]]
    ),
    "a batch norm": lambda none, x: KL.Add()(
        [x, KL.BatchNormalization(beta_initializer="ones")(none)]
    ),
    "an activation": lambda none, x: KL.Add()(
        [x, KL.Activation("sigmoid")(none)]
    ),
    "a threshold": lambda none, x: KL.Add()(
        [x, KL.ReLU(negative_slope=0.5, threshold=1.0)(none)]
    ),
    "a subtraction": lambda none, x: x - none,
    "nothing else": lambda none, x: KL.Add()([none, none]),
}


@pytest.mark.parametrize("kind", SUMS)
def test_sums_keep_what_is_not_zero(kind):
    def program(choose):
        inputs = keras.Input((4,))
        block = {"none": layers.Zero(), "dense": KL.Dense(4)}
        return inputs, SUMS[kind](choose("block", block)(inputs), inputs)

    space = space_of(program)
    supernet = snas_keras.build_supernet(space)
    child = snas_keras.convert(supernet, {"block": "none"})
    z = supernet.architecture.one_hot({"block": "none"})
    expected = supernet.network([tf.constant(X), z])
    np.testing.assert_allclose(child(X), expected, rtol=1e-6)
    fresh = snas_keras.build_child(space, {"block": "none"})
    np.testing.assert_allclose(fresh(X), expected, rtol=1e-6)
    assert child(X).shape == expected.shape


def test_an_identity_that_casts_stays_in_the_child():
    """At half precision 2049 is 2048."""

    def program(choose):
        inputs = keras.Input((4,))
        x = KL.Identity(dtype="float16")(dense_or_skip(choose, inputs))
        return inputs, KL.Rescaling(1.0, dtype="float32")(x)

    supernet = snas_keras.build_supernet(space_of(program))
    child = snas_keras.convert(supernet, {"block": "skip"})
    x = np.full((1, 4), 2049.0, "float32")
    np.testing.assert_array_equal(child(x), np.full((1, 4), 2048.0))


def test_a_candidate_takes_no_name_that_a_fixed_layer_has():
    def program(choose):
        inputs = keras.Input((4,))
        x = KL.Dense(4, name="block_dense")(inputs)
        x = KL.Dense(4, name="block_dense_1")(x)
        return inputs, KL.Dense(1, name="end")(dense_or_skip(choose, x))

    space = space_of(program)
    genotype = {"block": "dense"}
    supernet = snas_keras.build_supernet(space)
    for child in (
        snas_keras.convert(supernet, genotype),
        snas_keras.build_child(space, genotype),
    ):
        names = [layer.name for layer in child.layers[1:]]
        fixed = ["block_dense", "block_dense_1"]
        assert names == [*fixed, "block_dense_2", "end"]


def test_own_losses_and_metrics_are_used_themselves():
    def quartic(y, y_pred):
        return keras.ops.mean((y - y_pred) ** 4, axis=-1)

    class Largest(keras.metrics.Metric):
        def __init__(self, name="largest", **kwargs):
            super().__init__(name=name, **kwargs)
            self.value = self.add_weight(initializer="zeros")

        def update_state(self, y, y_pred, sample_weight=None):
            largest = keras.ops.max(keras.ops.abs(y_pred))
            self.value.assign(keras.ops.maximum(self.value, largest))

        def result(self):
            return self.value

    def program(choose):
        inputs = keras.Input((4,))
        return inputs, dense_or_skip(choose, inputs)

    supernet = snas_keras.build_supernet(space_of(program))
    metric = Largest()
    supernet.compile(loss=quartic, metrics=[metric, quartic])
    report = snas_keras.retention_report(
        supernet, (X, X), draws=2, children=1, direction="max"
    )
    assert report.metric == "largest"
    child = snas_keras.children.inherited_child(supernet, {"block": "skip"})
    logs = child.evaluate(X, X, verbose=0, return_dict=True)
    assert logs["loss"] == 0.0
    assert logs["largest"] == pytest.approx(np.abs(X).max())
    assert child.metrics[1] is not metric
