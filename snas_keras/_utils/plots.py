"""Pictures: where matplotlib comes from."""

import importlib.util

import numpy as np


def new_figure(**options):
    """Make a matplotlib figure that needs no display.

    Args:
        **options: of `matplotlib.figure.Figure`.

    Returns:
        matplotlib.figure.Figure, with constrained layout.

    Raises:
        ModuleNotFoundError: matplotlib is missing; the message names the extra.
    """
    try:
        from matplotlib import figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "The picture needs matplotlib. Install the extra: pip install "
            "'snas-keras[plots]'"
        ) from error
    return figure.Figure(layout="constrained", **options)


def is_installed():
    """Return whether there can be pictures."""
    return importlib.util.find_spec("matplotlib") is not None


def pixels(figure):
    """Return what a figure looks like, uint8, shape (height, width, 4)."""
    from matplotlib.backends import backend_agg

    canvas = backend_agg.FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())
