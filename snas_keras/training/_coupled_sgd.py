"""SGD with coupled weight decay, as in the paper's code."""

import collections
import typing

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="snas_keras")
class CoupledSGD(keras.optimizers.SGD):
    """SGD with momentum and weight decay as in PyTorch.

        g = clipped gradient + weight_decay * w
        v = momentum * v + g
        w = w - learning_rate * v                            (nesterov=False)
        w = w - learning_rate * (g + momentum * v)           (nesterov=True)

    Keras' own `SGD(weight_decay=d)` subtracts learning_rate * d * w beside the
    momentum; here the decay goes through it, which under momentum 0.9 makes it
    ten times as strong. Keras' momentum holds learning rates of the past; here
    the learning rate of the step counts.

    The update is one TensorFlow kernel for each variable: fewer graph nodes
    than Keras' own, which shortens the tracing of a supernet of a thousand
    variables.

    Args:
        learning_rate: float or schedule, default 0.025 as in the paper's code.
        momentum: float from 0 to 1, default 0.9 as in the paper's code.
        nesterov: bool, default False.
        weight_decay: float, not negative, default 0.0; 3e-4 in the paper's
            code. It acts on all variables that the optimizer is given.
        **kwargs: passed to `keras.optimizers.SGD`, e.g. `global_clipnorm`,
            which acts on the gradient before the weight decay is added.

    Raises:
        ValueError: `weight_decay` is negative or not finite.

    Example:

    >>> optimizer = CoupledSGD(0.1, momentum=0.0, weight_decay=0.5)
    >>> w = keras.Variable([2.0])
    >>> optimizer.apply([keras.ops.array([1.0])], [w])
    >>> round(float(w[0]), 6)  # 2 - 0.1 (1 + 0.5 * 2)
    1.8
    """

    def __init__(
        self,
        learning_rate: typing.Any = 0.025,
        momentum: float = 0.9,
        nesterov: bool = False,
        weight_decay: float = 0.0,
        **kwargs: typing.Any,
    ):
        super().__init__(
            learning_rate=learning_rate,
            momentum=momentum,
            nesterov=nesterov,
            **kwargs,
        )
        if not 0 <= weight_decay < float("inf"):
            raise ValueError(
                "`weight_decay` must be finite and not negative. Received: "
                f"weight_decay={weight_decay}"
            )
        self.coupled_weight_decay = weight_decay

    def update_step(
        self,
        gradient: typing.Any,
        variable: typing.Any,
        learning_rate: typing.Any,
    ) -> None:
        gradient = tf.cast(tf.convert_to_tensor(gradient), variable.dtype)
        if self.coupled_weight_decay:
            gradient += self.coupled_weight_decay * variable
        self._apply_kernel(
            gradient, variable, tf.cast(learning_rate, variable.dtype)
        )

    def _apply_kernel(self, gradient, variable, learning_rate):
        if not self.momentum:
            tf.raw_ops.ResourceApplyGradientDescent(
                var=variable.handle, alpha=learning_rate, delta=gradient
            )
            return
        velocity = self.momentums[self._get_variable_index(variable)]
        tf.raw_ops.ResourceApplyMomentum(
            var=variable.handle,
            accum=velocity.value.handle,
            lr=learning_rate,
            grad=gradient,
            momentum=tf.cast(self.momentum, variable.dtype),
            use_nesterov=self.nesterov,
        )

    # The two methods below save graph nodes and nothing else: tensors of one
    # shape are clipped and decayed as one stack. Keras' own, which they extend,
    # go from variable to variable, as is needed under a distribution strategy
    # or for sparse gradients.

    def _clip_gradients(self, grads):
        if self.clipnorm or not self.global_clipnorm or not _are_dense(grads):
            return super()._clip_gradients(grads)
        alike = _Alike(grads)
        stacks, _ = tf.clip_by_global_norm(
            alike.stack(grads), self.global_clipnorm
        )
        return alike.unstack(stacks)

    def _distributed_tf_update_step(
        self, distribution, grads_and_vars, learning_rate
    ):
        grads, variables = zip(*grads_and_vars, strict=True)
        if distribution.num_replicas_in_sync > 1 or not _are_dense(grads):
            super()._distributed_tf_update_step(
                distribution, grads_and_vars, learning_rate
            )
            return
        learning_rate = tf.convert_to_tensor(learning_rate)
        for gradient, variable in zip(
            self._decayed(grads, variables), variables, strict=True
        ):
            self._apply_kernel(gradient, variable, learning_rate)

    def _decayed(self, grads, variables):
        if not self.coupled_weight_decay:
            return grads
        alike = _Alike(grads)
        stacks = zip(alike.stack(grads), alike.stack(variables), strict=True)
        return alike.unstack(
            [g + self.coupled_weight_decay * w for g, w in stacks]
        )

    def get_config(self) -> dict[str, typing.Any]:
        config = super().get_config()
        config["weight_decay"] = self.coupled_weight_decay
        return config


class _Alike:
    """Indices of tensors of equal shape, to stack them and back."""

    def __init__(self, tensors):
        indices = collections.defaultdict(list)
        for index, tensor in enumerate(tensors):
            indices[tuple(tensor.shape)].append(index)
        self.indices = list(indices.values())

    def stack(self, tensors):
        return [tf.stack([tensors[i] for i in alike]) for alike in self.indices]

    def unstack(self, stacks):
        tensors = {}
        for alike, stack in zip(self.indices, stacks, strict=True):
            tensors.update(zip(alike, tf.unstack(stack), strict=True))
        return [tensors[index] for index in sorted(tensors)]


def _are_dense(gradients):
    return all(
        tf.is_tensor(g) and g.dtype == tf.float32 and g.shape.is_fully_defined()
        for g in gradients
    )
