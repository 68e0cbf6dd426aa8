"""The paper's search space."""

import keras

from snas_keras.spaces import _cell, _operations, _space


@_space.search_space
def snas_cifar(
    choose,
    cells=8,
    channels=16,
    classes=10,
    input_shape=(32, 32, 3),
    affine=False,
    auxiliary=False,
    drop_path=0.0,
    stem_strides=1,
    candidates=_cell.CELL_OPERATIONS,
    nodes=4,
):
    """Give the paper's space: a stack of normal and two reduction cells.

    All normal cells share their choices, and both reduction cells theirs:
    14 edges of 8 candidates each, named "normal_0->2" and so on. The
    reductions stand at one and two thirds of the depth and double the channels.

    Args:
        choose: the interpreter.
        cells: int, default 8; 20 for retraining.
        channels: int, of the first cells' nodes, default 16; 36 for retraining.
        classes: int, default 10.
        input_shape: (height, width, channels), default (32, 32, 3).
        affine: bool, whether the batch norms outside the stem learn scale and
            offset, default False as in the paper's search; True for retraining.
        auxiliary: bool, whether there is a second classifier at two thirds of
            the depth, default False. The outputs are then {"logits",
            "auxiliary"}; its loss has weight 0.4 in the paper's code.
        drop_path: float, probability to drop an edge for an example, default
            0.0; 0.3 in the paper's search, and up to 0.2 in its retraining,
            see `DropPathSchedule`. A fixed network spares identities.
        stem_strides: int, default 1; 2 saves three quarters of the work.
        candidates: as for `cell`, default the paper's eight.
        nodes: int, of each cell, default 4; fewer make a trial run short.

    Returns:
        (inputs, outputs); the outputs are logits.

    Raises:
        ValueError: a side of the image does not survive two halvings.

    Reference:
        Xie, Zheng, Liu, Lin, "SNAS: Stochastic Neural Architecture Search",
        2019, https://arxiv.org/abs/1812.09926.
    """
    _check_sides(input_shape, 4 * stem_strides)
    inputs = keras.Input(input_shape, name="image")
    before = previous = _cell.stem(inputs, 3 * channels, stem_strides)
    reductions = {cells // 3, 2 * cells // 3}
    outputs, was_reduction = {}, False
    for index in range(cells):
        is_reduction = index in reductions
        channels *= 2 if is_reduction else 1
        before, previous = (
            previous,
            _cell.cell(
                choose,
                "reduce" if is_reduction else "normal",
                before,
                previous,
                channels,
                nodes=nodes,
                strides=2 if is_reduction else 1,
                halve_before=was_reduction,
                candidates=candidates,
                affine=affine,
                drop_path=drop_path,
            ),
        )
        was_reduction = is_reduction
        if auxiliary and index == 2 * cells // 3:
            outputs["auxiliary"] = _auxiliary_head(previous, classes)
    x = keras.layers.GlobalAveragePooling2D()(previous)
    logits = _cell.classifier(classes)(x)
    return inputs, {"logits": logits, **outputs} if auxiliary else logits


def _auxiliary_head(x, classes):
    x = keras.layers.ReLU()(x)
    x = keras.layers.AveragePooling2D(5, 3)(x)
    x = keras.layers.Conv2D(128, 1, use_bias=False)(x)
    x = keras.layers.ReLU()(_operations.batch_norm()(x))
    x = keras.layers.Conv2D(768, 2, use_bias=False)(x)
    x = keras.layers.ReLU()(_operations.batch_norm()(x))
    return _cell.classifier(classes, "auxiliary")(keras.layers.Flatten()(x))


def _check_sides(input_shape, factor):
    if any(side is not None and side % factor for side in input_shape[:2]):
        raise ValueError(
            f"Height and width must be multiples of {factor}. Received: "
            f"input_shape={tuple(input_shape)}"
        )
