"""Lazy import of matplotlib."""

import functools
import importlib.util
import io
import warnings
from collections.abc import Iterable
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
            "'snas-keras[reports]'"
        ) from error
    return _plain(figure.Figure)(layout="constrained", **options)


@functools.cache
def _plain(figure_class):
    """Return a class of figures that show text literally, not as formulas."""
    import matplotlib
    from matplotlib import text

    class PlainFigure(figure_class):
        def draw(self, renderer):
            # Names are not formulas: "$" and "\\" are literal.
            plain = {"text.parse_math": False, "text.usetex": False}
            with matplotlib.rc_context(plain), warnings.catch_warnings():
                # A character that no font has is shown as a box.
                warnings.filterwarnings("ignore", "Glyph")
                for one in self.findobj(text.Text):
                    one.set_parse_math(False)
                    one.set_usetex(False)
                super().draw(renderer)

    return PlainFigure


def labels(names: Iterable[str], most: int = 60) -> dict[str, str]:
    """Shorten names to labels of a maximum length.

    Args:
        names: iterable of str.
        most: int, maximum number of characters, default 60.

    Returns:
        {name: label}, all labels different. The middle of long names is
        omitted; unprintable characters, such as line breaks, become spaces.

    Example:

    >>> labels(["short", "a name that is too long"], most=12)
    {'short': 'short', 'a name that is too long': 'a name…long'}
    """
    found: dict[str, str] = {}
    for name in names:
        text = "".join(c if c.isprintable() else " " for c in name)
        label, number = _shortened(text, most), 1
        while label in found.values() and name not in found:
            number += 1
            label = f"{_shortened(text, most - len(str(number)) - 2)} #{number}"
        found.setdefault(name, label)
    return found


def _shortened(text, most):
    if len(text) <= most:
        return text
    end = most // 3
    return f"{text[: most - end - 1].rstrip()}…{text[-end:]}"


def png(figure: Any, dpi: int = 110) -> bytes:
    """Render a figure as PNG.

    Args:
        figure: matplotlib.figure.Figure.
        dpi: int, dots an inch, default 110.

    Returns:
        bytes of the file.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi)
    return buffer.getvalue()


def is_installed() -> bool:
    """Return whether matplotlib can be imported."""
    return importlib.util.find_spec("matplotlib") is not None


def pixels(figure: Any) -> np.ndarray:
    """Render a figure as an array.

    Args:
        figure: matplotlib.figure.Figure.

    Returns:
        uint8 array, shape (height, width, 4).
    """
    from matplotlib.backends import backend_agg

    canvas = backend_agg.FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())
