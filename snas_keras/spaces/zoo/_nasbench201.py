"""The search space of NAS-Bench-201."""

import keras

from snas_keras.spaces import _cell, _operations, _space

NASBENCH201_OPERATIONS = {
    "none": "none",
    "skip_connect": "skip_connect",
    "nor_conv_1x1": "nor_conv_1x1",
    "nor_conv_3x3": "nor_conv_3x3",
    "avg_pool_3x3": "plain_avg_pool_3x3",
}


@_space.search_space
def nasbench201(
    choose,
    channels=16,
    cells_per_stage=5,
    classes=10,
    input_shape=(32, 32, 3),
    affine=True,
):
    """Give NAS-Bench-201's space: one cell of 6 edges, 5 candidates each.

    Three stages of equal cells with residual reductions between them, which
    double the channels. The choices are named "0->1" to "2->3".

    Args:
        choose: the interpreter.
        channels: int, of the first stage, default 16.
        cells_per_stage: int, default 5, which makes 17 cells with the two
            reductions.
        classes: int, default 10.
        input_shape: (height, width, channels), default (32, 32, 3).
        affine: bool, whether the candidates' batch norms learn scale and
            offset, default True as in the benchmark's networks.

    Returns:
        (inputs, outputs); the outputs are logits.

    Reference:
        Dong, Yang, "NAS-Bench-201", 2020, https://arxiv.org/abs/2001.00326.
    """
    inputs = keras.Input(input_shape, name="image")
    x = _cell.stem(inputs, channels, 1)
    for stage in range(3):
        if stage:
            channels *= 2
            x = _residual_reduction(x, channels)
        for _ in range(cells_per_stage):
            x = _nasbench201_cell(choose, x, channels, affine)
    x = keras.layers.ReLU()(_operations.batch_norm()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return inputs, _cell.classifier(classes)(x)


def _nasbench201_cell(choose, x, filters, affine):
    states = [x]
    for node in range(1, 4):
        terms = [
            _cell.edge(
                choose,
                f"{source}->{node}",
                state,
                filters,
                1,
                NASBENCH201_OPERATIONS,
                affine,
                0.0,
            )
            for source, state in enumerate(states)
        ]
        states.append(_cell.summed(terms))
    return states[-1]


def _residual_reduction(x, filters):
    shortcut = keras.layers.AveragePooling2D(2)(x)
    shortcut = keras.layers.Conv2D(filters, 1, use_bias=False)(shortcut)
    y = _operations.get("nor_conv_3x3")(filters, 2)(x)
    y = _operations.get("nor_conv_3x3")(filters, 1)(y)
    return keras.layers.Add()([shortcut, y])
