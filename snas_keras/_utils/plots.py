"""Lazy import of matplotlib."""

import importlib.util
from typing import Any

import numpy as np


def new_figure(**options: Any) -> Any:
    """Make a matplotlib figure that needs no display.

    Args:
        **options: passed to `matplotlib.figure.Figure`.

    Returns:
        matplotlib.figure.Figure, with constrained layout.

    Raises:
        ModuleNotFoundError: matplotlib is missing; the message names the extra.
    """
    try:
        from matplotlib import figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "The figure needs matplotlib. Install the extra: pip install "
            "'snas-keras[plots]'"
        ) from error
    return figure.Figure(layout="constrained", **options)


def is_installed() -> bool:
    """Return whether matplotlib can be imported."""
    return importlib.util.find_spec("matplotlib") is not None


def pixels(figure: Any) -> np.ndarray:
    """Render a figure.

    Args:
        figure: matplotlib.figure.Figure.

    Returns:
        uint8 array, shape (height, width, 4).
    """
    from matplotlib.backends import backend_agg

    canvas = backend_agg.FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())
