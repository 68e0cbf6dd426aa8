"""Pictures of a search: what they show, and that every label can be read."""

import dataclasses
import itertools

import numpy as np
import pytest
from matplotlib import axis, colors, text
from matplotlib.backends import backend_agg

from snas_keras._utils import plots
from snas_keras.reports import _cell_figures, _figures, _records
from snas_keras.reports import _figure_style as style
from tests import planted

MANY = {f"choice_{i}": [f"candidate_{j}" for j in range(12)] for i in range(60)}


def boxes(figure):
    """Return (text, its box) of all that is written, as drawn."""
    canvas = backend_agg.FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    ticks = figure.findobj(axis.Tick)
    of_ticks = {id(x) for t in ticks for x in (t.label1, t.label2)}
    drawn = {
        id(label)
        for one in figure.findobj(axis.Axis)
        if one.axes.axison and one.get_visible()
        for tick in one._update_ticks()
        for label in (tick.label1, tick.label2)
    }
    return [
        (found, found.get_window_extent(renderer))
        for found in figure.findobj(text.Text)
        if found.get_text().strip()
        and found.get_visible()
        and (id(found) not in of_ticks or id(found) in drawn)
    ]


def assert_legible(figure):
    """No two labels overlap by a pixel, none is cut off or below 7 points, and
    they leave room for what they label.

    Slanted labels, whose boxes are larger than what is written, may overlap
    one another.
    """
    written = boxes(figure)
    assert len(written) > 3
    width, height = figure.get_size_inches() * figure.dpi
    for label, box in written:
        assert label.get_fontsize() >= 7
        assert box.x0 >= -1, label
        assert box.y0 >= -1, label
        assert box.x1 <= width + 1, label
        assert box.y1 <= height + 1, label
    for axes in figure.axes:
        if axes.axison:
            panel = axes.get_window_extent()
            assert panel.height >= 0.6 * figure.dpi, axes
            is_colorbar = axes.get_label() == "<colorbar>"
            assert is_colorbar or panel.width >= 0.9 * figure.dpi, axes
    for (first, a), (second, b) in itertools.combinations(written, 2):
        if first.get_rotation() == second.get_rotation() == 60.0:
            continue
        across = min(a.x1, b.x1) - max(a.x0, b.x0)
        along = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert min(across, along) < 1.0, (first, second)


def texts_of(figure):
    return [label.get_text() for label, _ in boxes(figure)]


def figures(kind):
    about, lines = planted.records(kind)
    choices, last = about.choices, lines[-1]
    yield _figures.choices(choices, last.probabilities)
    yield _figures.probabilities(choices, lines)
    yield _figures.search(about, lines)
    yield _figures.credit(choices, last.credit)
    for name in _cell_figures.cells_of(choices):
        yield _cell_figures.cell(name, choices, last.probabilities)


@pytest.mark.parametrize("kind", planted.KINDS)
def test_all_labels_of_all_pictures_are_legible(kind):
    made = list(figures(kind))
    assert len(made) == (6 if kind == "cells" else 4)
    for figure in made:
        assert_legible(figure)


ONE_LETTER = {"a_0->1": ("a", "b")}
LONG_EDGES = {
    f"a_cell_of_the_encoder_{source}->{node}": (
        *("none", "a rather long name of a candidate"),
        *("another rather long name of a candidate", "skip"),
    )
    for node in (2, 3)
    for source in range(node)
}
LONG_NAMES = {
    f"the choice that stands in the network's block number {i}": (
        *("none", "a rather long name of a candidate"),
        "another rather long name of a candidate",
    )
    for i in range(5)
}
CROWD = {f"choice_{i}": [f"candidate_{j}" for j in range(12)] for i in range(9)}


@pytest.mark.parametrize(
    "choices",
    [ONE_LETTER, LONG_EDGES, LONG_NAMES, CROWD],
    ids=["one_letter", "long_edges", "long_names", "crowd"],
)
def test_labels_are_legible_whatever_the_names(monkeypatch, choices):
    monkeypatch.setitem(planted.KINDS, "other", choices)
    for figure in figures("other"):
        assert_legible(figure)


def test_a_picture_with_overlapping_labels_would_be_found():
    about, lines = planted.records("cells", epochs=1)
    figure = _cell_figures.cell(
        "normal", about.choices, lines[-1].probabilities
    )
    figure.set_size_inches(2.0, 2.0)
    with pytest.raises(AssertionError):
        assert_legible(figure)


def test_sixty_choices_of_twelve_candidates_are_legible():
    p = {name: np.full(12, 1 / 12) for name in MANY}
    figure = _figures.choices(MANY, p)
    assert_legible(figure)
    bars = figure.axes[0].containers
    looks = {(b[0].get_facecolor(), b[0].get_hatch()) for b in bars}
    assert len(looks) == 12


def test_twelve_candidates_have_twelve_lines():
    styles = [style.line(index) for index in range(12)]
    for first, second in itertools.combinations(styles, 2):
        differs = [
            k for k in ("color", "linestyle", "marker") if first[k] != second[k]
        ]
        assert len(differs) >= 2


def test_every_colour_stands_out_from_white():
    """Contrast as the web's guidelines define it; they ask 3 of large text.

    The lightest colours of Okabe and Ito have a little less.
    """
    for color in style.COLORS:
        channels = np.array(colors.to_rgb(color))
        linear = np.where(
            channels <= 0.04045,
            channels / 12.92,
            ((channels + 0.055) / 1.055) ** 2.4,
        )
        luminance = linear @ [0.2126, 0.7152, 0.0722]
        assert 1.05 / (luminance + 0.05) > 2.0, color


def test_the_cell_shows_every_edge_with_its_candidate_and_probability():
    about, lines = planted.records("cells")
    choices, last = about.choices, lines[-1]
    figure = _cell_figures.cell("normal", choices, last.probabilities)
    written = texts_of(figure)
    arrows = [t for t in figure.axes[0].texts if hasattr(t, "arrow_patch")]
    edges = sorted(
        _cell_figures.cells_of(choices)["normal"].items(),
        key=lambda e: (e[1][1], e[1][0]),
    )
    assert len(arrows) == len(edges) == 14
    for arrow, (name, (source, node)) in zip(arrows, edges, strict=True):
        p = max(last.probabilities[name])
        assert f"{last.genotype[name]} {p:.2f}" in written
        assert arrow.xyann[0] == source
        assert arrow.xy[0] == node
        width = arrow.arrow_patch.get_linewidth()
        np.testing.assert_allclose(width, 0.6 + 4.4 * p)
    assert [t for t in written if t.startswith("node")] == [
        f"node {i}" for i in (2, 3, 4, 5)
    ]


def test_the_cell_shows_a_genotype_that_is_not_the_likeliest():
    about, lines = planted.records("cells")
    p = lines[-1].probabilities
    genotype = {name: "none" for name in p}
    figure = _cell_figures.cell("normal", about.choices, p, genotype)
    written = [t for t in texts_of(figure) if t.startswith("none")]
    wanted = [f"none {v[0]:.2f}" for n, v in p.items() if "normal" in n]
    assert sorted(written) == sorted(wanted)
    assert_legible(figure)


def test_the_lowest_panel_of_every_column_numbers_the_epochs(monkeypatch):
    monkeypatch.setitem(planted.KINDS, "other", CROWD)
    about, lines = planted.records("other")
    figure = _figures.probabilities(about.choices, lines)
    boxes(figure)
    numbered = [
        axes.get_title()
        for axes in figure.axes
        if axes.axison and axes.xaxis.get_tick_params()["labelbottom"]
    ]
    assert numbered == [f"choice_{i}" for i in (5, 6, 7, 8)]


def test_curves_are_the_logs():
    about, lines = planted.records("chain")
    figure = _figures.search(about, lines)
    curves = {
        (axes.get_title(), line.get_label()): line.get_ydata()
        for axes in figure.axes
        for line in axes.lines
    }
    np.testing.assert_allclose(
        curves["loss", "validation, child"], [x.logs["val_loss"] for x in lines]
    )
    np.testing.assert_allclose(
        curves["flops", "child"], [x.costs["flops"].child for x in lines]
    )
    assert curves["flops", "limit"] == [6e5, 6e5]
    assert ("parameters", "limit") not in curves
    most = 2 * np.log(3) + np.log(2)
    np.testing.assert_allclose(
        curves["entropy and temperature", "entropy, share of its maximum"],
        [sum(x.entropy.values()) / most for x in lines],
    )
    shown = _figures.probabilities(about.choices, lines).axes[0].lines
    np.testing.assert_allclose(
        shown[1].get_ydata(),
        [x.probabilities["block_0"][1] for x in lines],
    )


def test_a_heat_map_shows_the_credit_where_a_candidate_is_known():
    about, lines = planted.records("chain")
    figure = _figures.credit(about.choices, lines[-1].credit)
    image = figure.axes[0].images[0].get_array()
    assert image.shape == (3, 6)
    np.testing.assert_allclose(image[0, :3], lines[-1].credit["block_0"].credit)
    assert np.ma.getmaskarray(np.ma.masked_invalid(image))[2, :4].all()


def test_one_epoch_is_enough_and_a_lost_metric_leaves_a_gap():
    about, lines = planted.records("chain", epochs=1)
    lines[0].logs["val_loss"] = None
    assert_legible(_figures.search(about, lines))
    assert_legible(_figures.probabilities(about.choices, lines))


def test_validation_every_other_epoch_is_one_curve():
    about, lines = planted.records("chain", epochs=6)
    for line in lines[1::2]:
        del line.logs["val_loss"]
    axes = next(
        x for x in _figures.search(about, lines).axes if x.get_title() == "loss"
    )
    [curve] = [x for x in axes.lines if x.get_label() == "validation, child"]
    assert list(curve.get_xdata()) == [1, 3, 5]
    assert list(curve.get_ydata()) == [x.logs["val_loss"] for x in lines[::2]]


def test_what_was_never_known_leaves_an_empty_panel():
    """A loss that is no number from the start; a cost followed from now on."""
    about, lines = planted.records("chain", epochs=3)
    about.costs["latency"] = _records.CostBounds(1.0, 2.0)
    for line in lines:
        line.logs.clear()
        line.logs["loss"] = None
    figure = _figures.search(about, lines)
    assert_legible(figure)
    assert [axes.get_title() for axes in figure.axes if axes.axison] == [
        *("loss", "entropy and temperature", "flops", "parameters", "latency")
    ]


def test_an_unknown_cell_is_refused():
    with pytest.raises(ValueError, match=r"Received: 'x'. Found: \['c'\]"):
        _cell_figures.cell("x", {"c_0->2": ["a"]}, {})


def test_cells_are_found_by_the_names_of_their_edges():
    names = ["normal_0->2", "0->1", "my_cell_10->11", "head", "a->b", "3->3"]
    assert _cell_figures.cells_of(names) == {
        "normal": {"normal_0->2": (0, 2)},
        "": {"0->1": (0, 1)},
        "my_cell": {"my_cell_10->11": (10, 11)},
    }


ODD = {
    "$a_{$": ("10$ or 20$_", "a|b", "|none~0|"),
    "a\\b^2_c": ("<b>", "$\\frac{$", "\\$x$"),
    "line\nbreak": ("größe", "x" * 1000, "x" * 999 + "y"),
    "normal_0->2": ("$$", "none", "a > b"),
}


def test_every_name_is_shown_as_it_is_and_never_as_a_formula(monkeypatch):
    monkeypatch.setitem(planted.KINDS, "odd", ODD)
    for figure in figures("odd"):
        plots.png(figure)
        assert_legible(figure)
    search, epochs = planted.records("odd")
    figure = _figures.choices(ODD, epochs[-1].probabilities)
    [legend] = figure.legends
    shown = [text.get_text() for text in legend.get_texts()]
    for name in ("10$ or 20$_", "a|b", "|none~0|", "<b>", "$$", "\\$x$"):
        assert name in shown
    canvas = backend_agg.FigureCanvasAgg(figure)
    canvas.draw()
    assert not any(t.get_parse_math() for t in figure.findobj(text.Text))


def test_labels_of_long_names_differ():
    names = ["x" * 500 + end for end in ("a" * 30, "b" + "a" * 29)]
    labels = plots.labels([*names, "short"])
    assert labels["short"] == "short"
    assert len(set(labels.values())) == 3
    assert all(len(label) <= 60 for label in labels.values())


def test_what_is_not_finite_is_drawn_as_a_gap():
    search, epochs = planted.records("cells", epochs=3)
    nothing = {name: [float("nan")] * 8 for name in search.choices}
    last = dataclasses.replace(
        epochs[-1], probabilities=nothing, genotype=None, logs={"loss": None}
    )
    assert_legible(_figures.choices(search.choices, nothing))
    assert_legible(_figures.probabilities(search.choices, [epochs[0], last]))
    assert_legible(_figures.search(search, [epochs[0], last]))
    assert_legible(_cell_figures.cell("normal", search.choices, nothing))


def test_panels_say_what_is_better_and_under_which_weights():
    search, epochs = planted.records("chain")
    search.directions.update(accuracy="max", loss="min")
    panels = _figures.search(search, epochs).axes
    assert [axes.get_title() for axes in panels[:2]] == [
        *("accuracy (larger is better)", "loss (smaller is better)")
    ]
    labels = [line.get_label() for line in panels[0].lines]
    assert labels == ["training, as drawn", "validation, child"]
