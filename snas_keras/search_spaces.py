"""The search spaces that come with the library."""

import functools

import keras

from snas_keras import layers, operations, spaces

CELL_OPERATIONS = (
    "none",
    "max_pool_3x3",
    "avg_pool_3x3",
    "skip_connect",
    "sep_conv_3x3",
    "sep_conv_5x5",
    "dil_conv_3x3",
    "dil_conv_5x5",
)
NASBENCH201_OPERATIONS = {
    "none": "none",
    "skip_connect": "skip_connect",
    "nor_conv_1x1": "nor_conv_1x1",
    "nor_conv_3x3": "nor_conv_3x3",
    "avg_pool_3x3": "plain_avg_pool_3x3",
}


@spaces.search_space
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
    x = operations.batch_norm()(x)
    for block in range(blocks):
        x = choose(f"block_{block}", _digits_candidates(filters))(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return inputs, _classifier(classes)(x)


def _digits_candidates(filters):
    names = {
        "conv_3x3": "nor_conv_3x3",
        "conv_1x1": "nor_conv_1x1",
        "separable_5x5": "sep_conv_5x5",
        "max_pool_3x3": "max_pool_3x3",
        "skip": "skip_connect",
    }
    return {name: _make(op, filters) for name, op in names.items()}


@spaces.search_space
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
    candidates=CELL_OPERATIONS,
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
    before = previous = _stem(inputs, 3 * channels, stem_strides)
    reductions = {cells // 3, 2 * cells // 3}
    outputs, was_reduction = {}, False
    for index in range(cells):
        is_reduction = index in reductions
        channels *= 2 if is_reduction else 1
        before, previous = (
            previous,
            cell(
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
    logits = _classifier(classes)(x)
    return inputs, {"logits": logits, **outputs} if auxiliary else logits


def cell(
    choose,
    name,
    before,
    previous,
    filters,
    strides=1,
    halve_before=False,
    nodes=4,
    candidates=CELL_OPERATIONS,
    affine=True,
    drop_path=0.0,
):
    """Give the paper's cell: a small graph whose edges are choices.

    States 0 and 1 are the outputs of the two cells before. Every node is the
    sum of one edge from each earlier state; the output concatenates the nodes.
    The choice of an edge is named "<name>_<source>-><node>".

    Args:
        choose: the interpreter.
        name: str, of the cell type; cells of one name share their choices.
        before: Keras tensor, output of the cell before the previous one.
        previous: Keras tensor, output of the previous cell.
        filters: int, channels of every node.
        strides: int, 1, or 2 for a reduction: its edges from the inputs have
            stride 2.
        halve_before: bool, whether `before` is twice as large as `previous`,
            which it is behind a reduction, default False.
        nodes: int, default 4.
        candidates: sequence of operation names, or {candidate name:
            operation}, default the paper's eight.
        affine: bool, whether batch norms learn scale and offset, default True.
        drop_path: float, probability to drop an edge for an example, default
            0.0.

    Returns:
        Keras tensor, shape (batch, height, width, nodes * filters).
    """
    if halve_before:
        first = layers.FactorizedReduce(filters, affine)(before)
    else:
        first = operations.get("nor_conv_1x1")(filters, 1, affine)(before)
    second = operations.get("nor_conv_1x1")(filters, 1, affine)(previous)
    states = [first, second]
    for node in range(2, nodes + 2):
        terms = [
            _edge(
                choose,
                f"{name}_{source}->{node}",
                state,
                filters,
                strides if source < 2 else 1,
                candidates,
                affine,
                drop_path,
            )
            for source, state in enumerate(states)
        ]
        states.append(keras.layers.Add()(terms))
    return keras.layers.Concatenate()(states[2:])


@spaces.search_space
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
    x = _stem(inputs, channels, 1)
    for stage in range(3):
        if stage:
            channels *= 2
            x = _residual_reduction(x, channels)
        for _ in range(cells_per_stage):
            x = _nasbench201_cell(choose, x, channels, affine)
    x = keras.layers.ReLU()(operations.batch_norm()(x))
    x = keras.layers.GlobalAveragePooling2D()(x)
    return inputs, _classifier(classes)(x)


SEARCH_SPACES = {
    "digits": digits,
    "snas_cifar": snas_cifar,
    "nasbench201": nasbench201,
}


def _nasbench201_cell(choose, x, filters, affine):
    states = [x]
    for node in range(1, 4):
        terms = [
            _edge(
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
        states.append(_sum(terms))
    return states[-1]


def _edge(choose, name, x, filters, strides, candidates, affine, drop_path):
    if not hasattr(candidates, "items"):
        candidates = {operation: operation for operation in candidates}
    layer = choose(
        name,
        {
            candidate: _make(operation, filters, strides, affine)
            for candidate, operation in candidates.items()
        },
    )
    x = layer(x)
    # Only an interpreter that fixes the choice returns a Keras layer.
    if drop_path and not isinstance(layer, keras.layers.Identity):
        x = layers.DropPath(drop_path)(x)
    return x


def _make(operation, filters, strides=1, affine=True):
    """Return a function that makes the layer: most are never wanted."""
    return functools.partial(
        operations.get(operation), filters, strides, affine
    )


def _sum(terms):
    return keras.layers.Add()(terms) if len(terms) > 1 else terms[0]


def _stem(inputs, filters, strides):
    x = inputs
    if strides > 1:
        x = keras.layers.ZeroPadding2D(1)(x)
    x = keras.layers.Conv2D(
        filters,
        3,
        strides=strides,
        padding="valid" if strides > 1 else "same",
        use_bias=False,
    )(x)
    return operations.batch_norm()(x)


def _residual_reduction(x, filters):
    shortcut = keras.layers.AveragePooling2D(2)(x)
    shortcut = keras.layers.Conv2D(filters, 1, use_bias=False)(shortcut)
    y = operations.get("nor_conv_3x3")(filters, 2)(x)
    y = operations.get("nor_conv_3x3")(filters, 1)(y)
    return keras.layers.Add()([shortcut, y])


def _auxiliary_head(x, classes):
    x = keras.layers.ReLU()(x)
    x = keras.layers.AveragePooling2D(5, 3)(x)
    x = keras.layers.Conv2D(128, 1, use_bias=False)(x)
    x = keras.layers.ReLU()(operations.batch_norm()(x))
    x = keras.layers.Conv2D(768, 2, use_bias=False)(x)
    x = keras.layers.ReLU()(operations.batch_norm()(x))
    return _classifier(classes, "auxiliary")(keras.layers.Flatten()(x))


def _classifier(classes, name="logits"):
    # Logits stay float32 under mixed precision.
    return keras.layers.Dense(classes, dtype="float32", name=name)


def _check_sides(input_shape, factor):
    if any(side is not None and side % factor for side in input_shape[:2]):
        raise ValueError(
            f"Height and width must be multiples of {factor}. Received: "
            f"input_shape={tuple(input_shape)}"
        )
