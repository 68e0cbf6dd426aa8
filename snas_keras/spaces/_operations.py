"""The candidate operations of the published cells, made of Keras layers.

An operation is a function (filters, strides=1, affine=True) -> layer. Its input
and output have `filters` channels. No convolution has a bias; zero padding at
stride 2 is symmetric, as in the paper's code (TensorFlow's "same" is not).
"""

import functools
from collections.abc import Callable
from typing import Any

import keras

from snas_keras import layers
from snas_keras._utils import checks


def none(filters: int, strides: int = 1, affine: bool = True) -> Any:
    """Make the candidate that cuts the edge: all zeros.

    Args:
        filters: int, not used.
        strides: int, default 1.
        affine: bool, not used.

    Returns:
        Zero.
    """
    del filters, affine
    return layers.Zero(strides)


def skip_connect(filters: int, strides: int = 1, affine: bool = True) -> Any:
    """Make the identity, or a factorized reduce where the edge has stride 2.

    Args:
        filters: int, channels of input and output.
        strides: int, 1 or 2.
        affine: bool, whether the batch norm of the reduction learns scale and
            offset.

    Returns:
        A Keras layer.
    """
    if strides == 1:
        return keras.layers.Identity()
    return layers.FactorizedReduce(filters, affine)


def max_pool(
    filters: int,
    strides: int = 1,
    affine: bool = True,
    *,
    size: int,
    norm: bool = True,
) -> Any:
    """Make a max pooling with symmetric padding, then batch norm.

    The padding never wins: it counts as minus infinity.

    Args:
        filters: int, channels of input and output.
        strides: int, 1 or 2.
        affine: bool, whether the batch norm learns scale and offset.
        size: int, odd window side.
        norm: bool, whether a batch norm follows, as in the paper's code.

    Returns:
        A Keras layer.
    """
    del filters
    return _pool("max", size, strides, affine, norm)


def avg_pool(
    filters: int,
    strides: int = 1,
    affine: bool = True,
    *,
    size: int,
    norm: bool = True,
) -> Any:
    """Make an average pooling that does not count the padding, then batch norm.

    Args:
        filters: int, channels of input and output.
        strides: int, 1 or 2.
        affine: bool, whether the batch norm learns scale and offset.
        size: int, odd window side.
        norm: bool, whether a batch norm follows, as in the paper's code;
            NAS-Bench-201 has none.

    Returns:
        A Keras layer.
    """
    del filters
    return _pool("avg", size, strides, affine, norm)


def sep_conv(
    filters: int, strides: int = 1, affine: bool = True, *, size: int
) -> Any:
    """Make two separable convolutions, each behind a ReLU, each batch normed.

        [relu, depthwise size x size, pointwise 1 x 1, batch norm] twice

    The first has the stride.

    Args:
        filters: int, channels of input and output.
        strides: int, 1 or 2.
        affine: bool, whether the batch norms learn scale and offset.
        size: int, odd kernel side.

    Returns:
        A Keras layer.
    """
    return keras.Sequential(
        [
            keras.layers.ReLU(),
            *_padding(size, strides),
            _separable(filters, size, strides),
            batch_norm(affine),
            keras.layers.ReLU(),
            _separable(filters, size),
            batch_norm(affine),
        ]
    )


def dil_conv(
    filters: int, strides: int = 1, affine: bool = True, *, size: int
) -> Any:
    """Make a separable convolution of dilation 2 behind a ReLU, batch normed.

    At stride 2 only pixels of even rows and columns are read, at distance 2:
    the input is subsampled first and convolved without dilation, which gives
    the same numbers with a quarter of the work.

    Args:
        filters: int, channels of input and output.
        strides: int, 1 or 2.
        affine: bool, whether the batch norm learns scale and offset.
        size: int, odd kernel side before dilation.

    Returns:
        A Keras layer.
    """
    subsample = [layers.subsampling(2)] if strides == 2 else []
    dilation = 2 if strides == 1 else 1
    return keras.Sequential(
        [
            keras.layers.ReLU(),
            *subsample,
            _separable(filters, size, dilation=dilation),
            batch_norm(affine),
        ]
    )


def nor_conv(
    filters: int, strides: int = 1, affine: bool = True, *, size: int
) -> Any:
    """Make a plain convolution behind a ReLU, batch normed.

        relu, conv size x size, batch norm

    Args:
        filters: int, output channels.
        strides: int, 1 or 2.
        affine: bool, whether the batch norm learns scale and offset.
        size: int, odd kernel side.

    Returns:
        A Keras layer.

    Reference:
        Dong, Yang, "NAS-Bench-201", 2020, https://arxiv.org/abs/2001.00326.
    """
    return keras.Sequential(
        [
            keras.layers.ReLU(),
            *_padding(size, strides),
            keras.layers.Conv2D(
                checks.positive_int("filters", filters),
                size,
                strides=strides,
                padding=_padding_mode(strides),
                use_bias=False,
            ),
            batch_norm(affine),
        ]
    )


def batch_norm(affine: bool = True) -> Any:
    """Make a batch norm with the paper's momentum 0.9 and epsilon 1e-5.

    Args:
        affine: bool, whether it learns scale and offset, default True.

    Returns:
        FusedBatchNormalization.
    """
    return layers.FusedBatchNormalization(center=affine, scale=affine)


OPERATIONS: dict[str, Callable[..., Any]] = {
    "none": none,
    "max_pool_3x3": functools.partial(max_pool, size=3),
    "avg_pool_3x3": functools.partial(avg_pool, size=3),
    "skip_connect": skip_connect,
    "sep_conv_3x3": functools.partial(sep_conv, size=3),
    "sep_conv_5x5": functools.partial(sep_conv, size=5),
    "dil_conv_3x3": functools.partial(dil_conv, size=3),
    "dil_conv_5x5": functools.partial(dil_conv, size=5),
    "nor_conv_1x1": functools.partial(nor_conv, size=1),
    "nor_conv_3x3": functools.partial(nor_conv, size=3),
    "plain_max_pool_3x3": functools.partial(max_pool, size=3, norm=False),
    "plain_avg_pool_3x3": functools.partial(avg_pool, size=3, norm=False),
}


def get(operation: str | Callable[..., Any]) -> Callable[..., Any]:
    """Look an operation up by name; a callable is returned as it is.

    Args:
        operation: str, one of `OPERATIONS`, or a function (filters, strides,
            affine) -> layer.

    Returns:
        The function.

    Raises:
        ValueError: an unknown name.
    """
    if callable(operation):
        return operation
    if operation not in OPERATIONS:
        raise ValueError(
            f"There is no such operation. Received: operation={operation!r}. "
            f"Allowed: {sorted(OPERATIONS)} or a function (filters, strides, "
            "affine) -> layer."
        )
    return OPERATIONS[operation]


def _pool(kind, size, strides, affine, norm):
    pool = layers.SymmetricPooling2D(kind, size, strides)
    return keras.Sequential([pool, batch_norm(affine)]) if norm else pool


def _separable(filters, size, strides=1, dilation=1):
    return layers.PhasedSeparableConv2D(
        checks.positive_int("filters", filters),
        size,
        strides=strides,
        dilation_rate=dilation,
        padding=_padding_mode(strides),
        use_bias=False,
    )


def _padding(size, strides):
    if strides == 1 or size == 1:
        return []
    return [keras.layers.ZeroPadding2D(size // 2)]


def _padding_mode(strides):
    return "same" if strides == 1 else "valid"
