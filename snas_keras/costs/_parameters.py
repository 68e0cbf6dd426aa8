"""The number of parameters."""

from snas_keras.costs import _cost

parameters = _cost.WeightCost(
    "parameters",
    """Count the numbers in the weights of a built layer.

    Weights that are frozen count as those that are trained, as they are part of
    the network. Moving statistics, the state of random numbers and what else is
    never trained do not, so that without them it is what
    `keras.Model.count_params` counts. In the cost of a child a weight counts
    once, however many calls and choices share it.

    Args:
        layer: Keras layer, built.
        input_shape: tuple, not used.

    Returns:
        float, parameters.
    """,
    _cost.number_of,
)
