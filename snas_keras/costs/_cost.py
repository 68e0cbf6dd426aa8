"""The two kinds of cost: by calls and by weights."""

import math
import textwrap
from collections.abc import Callable
from typing import Any, overload

import keras

from snas_keras import layers
from snas_keras._utils import graph
from snas_keras.costs import _calls, _shapes, _tensorflow_calls

Rule = Callable[[Any, Any], float]


class _Named:
    """A cost that is one object by its name, as a function is.

    Copies are the cost itself, so that what it is taught later holds for them.
    A pickle finds it by name in the module that holds it.
    """

    def __init__(self, name: str, documentation: str):
        self.name = self.__name__ = name
        self.__doc__ = documentation
        # So that pickle looks for it, and not in the module of the class.
        self.__module__ = None  # type: ignore[assignment]

    def __reduce__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"<cost {self.name!r}>"


class CallCost(_Named):
    """A cost of every call: a rule for each type of layer and operation.

    A layer without a rule costs what the calls inside it cost: those of a
    model, and those that a layer's `call` makes when it is traced, raw
    operations too. So a rule is needed only for what computes by itself, and
    not with `keras.ops`. A subclass costs what its parent costs, unless it has
    a `call` of its own that can be traced. Inert layers cost nothing.

    Args:
        name: str, in logs and reports.
        documentation: str, what is counted.

    Call arguments:
        layer: Keras layer, built, or raw operation.
        input_shape: tuple with the batch dimension, e.g. (None, 32, 32, 16), or
            a structure of such; of a layer that takes several tensors a tuple
            with the shape of each.

    Returns:
        float, for one example.

    Raises:
        TypeError: a layer's type is not known and its `call` cannot be traced;
            the message says how to teach it.

    Example:

    >>> cost = CallCost("outputs", "Count the numbers that dense layers give.")
    >>> @cost.register(keras.layers.Dense)
    ... def _(layer, input_shape):
    ...     return layer.units
    >>> cost(keras.layers.Dense(3), (None, 8))
    3.0
    """

    def __init__(self, name: str, documentation: str):
        super().__init__(name, documentation)
        self._rules: dict[type, Rule] = {}
        self._operation_rules: dict[str, Rule] = {}

    @overload
    def register(
        self, kind: type | str, rule: None = None
    ) -> Callable[[Rule], Rule]: ...

    @overload
    def register(self, kind: type | str, rule: Rule) -> Rule: ...

    def register(self, kind: type | str, rule: Rule | None = None) -> Any:
        """Teach what a type of layer or a raw operation costs.

        Args:
            kind: class of a layer, or str, the name of a raw operation's class,
                such as "Matmul", for Keras does not export it.
            rule: function (layer, input_shape) -> float, of a raw operation
                (operation, shapes of all operands for one example) -> float;
                default none: use as a decorator.

        Returns:
            The rule, or the decorator.

        Raises:
            TypeError: `kind` is neither.
        """
        if not isinstance(kind, (type, str)):
            raise TypeError(
                "A cost is taught the class of a layer or the name of a raw "
                f"operation. Received: {kind!r}"
            )
        if rule is None:
            return lambda rule: self.register(kind, rule)
        if isinstance(kind, str):
            self._operation_rules[kind] = rule
        else:
            self._rules[kind] = rule
        return rule

    def __call__(self, layer: Any, input_shape: Any) -> float:
        rule, is_overridden = self._rule(layer)
        if rule and not is_overridden:
            if not isinstance(layer, keras.layers.Layer):
                input_shape = _shapes.as_tuple(input_shape)
            return float(rule(layer, input_shape))
        return float(self.of_call(_calls.call_on(layer, input_shape)))

    def of_call(self, call: _calls.Call) -> float:
        """Return the cost of one call.

        Args:
            call: Call.

        Returns:
            float.

        Raises:
            TypeError: as when a layer and its input shape are given.
        """
        layer = call.operation
        rule, is_overridden = self._rule(layer)
        if rule is None and layers.is_inert(layer):
            return 0.0
        if rule is None or is_overridden:
            try:
                return self._sum(layer, self._inside(call))
            except _tensorflow_calls.NotTraceableError as error:
                if rule is None:
                    raise TypeError(self._unknown(layer, error)) from error
        if not isinstance(layer, keras.layers.Layer):
            return float(rule(layer, call.operands))
        return call.times * float(rule(layer, call.input_shape))

    def _inside(self, call):
        if not isinstance(call.operation, (keras.layers.Layer, keras.Function)):
            raise _tensorflow_calls.NotTraceableError("it is no layer")
        return _calls.inside(call)

    def _sum(self, layer, parts):
        try:
            return float(sum(self.of_call(part) for part in parts))
        except TypeError as error:
            raise TypeError(f"Inside layer {layer.name!r}: {error}") from error

    def _rule(self, layer):
        """Return the rule, and whether the layer's class goes its own way."""
        if not isinstance(layer, keras.layers.Layer):
            return self._operation_rules.get(type(layer).__name__), False
        for kind in type(layer).__mro__:
            if kind in self._rules:
                return self._rules[kind], _calls.overrides_call(layer, kind)
        return None, False

    def _unknown(self, layer, reason):
        kind = type(layer).__name__
        if not isinstance(layer, keras.layers.Layer):
            return (
                f"The cost {self.name!r} does not know the operation {kind} "
                f"({layer.name!r}). "
                + self._lesson(f'"{kind}"', "operation, shapes", "shapes[0]")
            )
        is_stock = getattr(keras.layers, kind, None) is type(layer)
        path = f"keras.layers.{kind}" if is_stock else kind
        return (
            f"The cost {self.name!r} does not know layers of type {kind} "
            f"(layer {layer.name!r}), and its `call` cannot be traced: "
            f"{reason}\n"
            + self._lesson(path, "layer, input_shape", "input_shape[1:]")
        )

    def _lesson(self, kind, arguments, shape):
        code = f"""
            @snas_keras.costs.{self.name}.register({kind})
            def _({arguments}):
                return 2.0 * math.prod({shape})  # your count
            """
        return "Teach it:\n" + textwrap.indent(textwrap.dedent(code), "    ")


class WeightCost(_Named):
    """A cost of every weight: of one that is used twice it counts once.

    Weights are what is trained or frozen; moving statistics and the state of
    random numbers do not count.

    Args:
        name: str, in logs and reports.
        documentation: str, what is counted.
        of_weight: function (keras.Variable) -> float.

    Call arguments:
        layer: Keras layer, built, or raw operation, which has none.
        input_shape: not used, default None.

    Returns:
        float.

    Example:

    >>> bytes_ = WeightCost("bytes", "", lambda weight: 4 * weight.shape[0])
    >>> layer = keras.layers.Dense(3)
    >>> layer.build((None, 8))
    >>> bytes_(layer)
    44.0
    """

    def __init__(
        self,
        name: str,
        documentation: str,
        of_weight: Callable[[keras.Variable], float],
    ):
        super().__init__(name, documentation)
        self.of_weight = of_weight

    def __call__(self, layer: Any, input_shape: Any = None) -> float:
        return float(sum(self.of_weight(v) for v in self.weights(layer)))

    def weights(self, layer: Any) -> list[keras.Variable]:
        """List the weights of a layer, each once.

        Args:
            layer: Keras layer, built, or raw operation.

        Returns:
            list of keras.Variable.
        """
        if not isinstance(layer, keras.layers.Layer):
            return []
        return graph.parameters(layer)


def cost_name(cost: Any) -> str:
    """Return what a cost is called in logs and reports.

    Args:
        cost: str, or a function (layer, input_shape) -> float.

    Returns:
        str: the cost's `name`, or its name as a function, or its class's.
    """
    if isinstance(cost, str):
        return cost
    names = (getattr(cost, "name", None), getattr(cost, "__name__", None))
    given = [name for name in names if isinstance(name, str)]
    return given[0] if given else type(cost).__name__


def number_of(weight: keras.Variable) -> int:
    """Count the numbers in a weight.

    Args:
        weight: keras.Variable.

    Returns:
        int.
    """
    return math.prod(weight.shape)
