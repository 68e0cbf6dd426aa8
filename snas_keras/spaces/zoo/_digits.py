"""A chain of blocks for small images."""

import keras

from snas_keras.spaces import _cell, _operations, _space


@_space.search_space
def digits(choose, filters=16, blocks=3, classes=10, input_shape=(8, 8, 1)):
    """Give a chain of blocks for small images, each one of five layers.

    Made for scikit-learn's 8 x 8 digits: a search takes seconds on a CPU.

    Args:
        choose: the interpreter.
        filters: int, channels of all blocks, default 16.
        blocks: int, number of blocks, default 3.
        classes: int, default 10.
        input_shape: (height, width, channels), default (8, 8, 1).

    Returns:
        (inputs, outputs); the outputs are logits.
    """
    x = inputs = keras.Input(input_shape, name="image")
    x = keras.layers.Conv2D(filters, 3, padding="same", use_bias=False)(x)
    x = _operations.batch_norm()(x)
    for block in range(blocks):
        x = choose(f"block_{block}", _digits_candidates(filters))(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return inputs, _cell.classifier(classes)(x)


def _digits_candidates(filters):
    names = {
        "conv_3x3": "nor_conv_3x3",
        "conv_1x1": "nor_conv_1x1",
        "separable_5x5": "sep_conv_5x5",
        "max_pool_3x3": "max_pool_3x3",
        "skip": "skip_connect",
    }
    return {name: _cell.maker(op, filters) for name, op in names.items()}
