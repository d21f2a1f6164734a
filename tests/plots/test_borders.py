"""Figures of the chapters on words and on borders: what is drawn is what was given."""

import numpy as np
import pandas as pd
import pytest
import torch

from invlib import plots
from invlib.runs import Look

LOOKS = {"full": Look("full", 2), "same": Look("same (zeros)", 1)}


def table(rows):
    found = pd.DataFrame(rows)
    found.attrs["looks"] = LOOKS
    return found


def drawn(ax):
    return {line.get_label(): [float(y) for y in line.get_ydata()] for line in ax.lines}


def test_pictures_on_the_scale_that_was_asked_for():
    rows = {"first": {"a": torch.tensor([[0.0, 1.0]]), "b": np.array([[2.0, 4.0]])}}
    a, b = (ax.images[0] for ax in plots.pictures(rows).axes)
    assert (a.get_clim(), b.get_clim()) == ((0, 1), (2, 4))
    a, b = (ax.images[0] for ax in plots.pictures(rows, scale="row").axes)
    assert a.get_clim() == b.get_clim() == (0, 4)
    same = plots.pictures({"": {"c": torch.full((1, 1), 0.3)}}).axes[0].images[0]
    assert same.get_clim() == (0, 1)


def test_of_more_axes_the_first_is_drawn_and_a_vector_is_a_line():
    maps = torch.arange(24.0).view(2, 3, 2, 2)
    figure = plots.pictures({"x": {"maps": maps, "vector": [1, 2, 3]}, "y": {"one": maps[1]}})
    boxes = np.zeros((2, 2, 3), np.uint8)
    boxes[0, 0, 1] = 255
    coloured = plots.pictures({"": {"boxes": boxes}}).axes[0].images[0]
    assert np.array_equal(coloured.get_array(), boxes)
    first, vector, one, empty = figure.axes
    assert np.array_equal(first.images[0].get_array(), [[0, 1], [2, 3]])
    assert vector.images[0].get_array().shape == (1, 3)
    assert np.array_equal(one.images[0].get_array(), [[12, 13], [14, 15]])
    assert not empty.axison and first.get_ylabel() == "x" and vector.get_title() == "vector"


@pytest.mark.parametrize(
    ("rows", "given", "words"),
    [
        ({"x": {"n": 3.0}}, {}, "a picture or a vector of 'n'"),
        ({"x": {"n": [1.0]}}, {"scale": "all"}, "scale must be each or row, not 'all'"),
    ],
)
def test_pictures_of_what_is_none(rows, given, words):
    with pytest.raises(ValueError, match=words):
        plots.pictures(rows, **given)


def test_lines_of_the_numbers_given():
    figure = plots.lines({"a": [1, 2], "b": [3, 4]}, (5, 7), "x (px)", "y")
    (ax,) = figure.axes
    assert drawn(ax) == {"a": [1, 2], "b": [3, 4]}
    assert ax.lines[0].get_xdata().tolist() == [5, 7] and ax.get_xlabel() == "x (px)"


def test_bars_by_padding_are_means_in_percent():
    rows = [
        {"condition": name, "seed": seed, "set": which, "accuracy": value + 0.1 * seed}
        for name, both in {"full": (0.7, 0.5), "same": (0.8, 0.1)}.items()
        for which, value in zip(("similar", "dissimilar"), both, strict=True)
        for seed in (0, 1)
    ]
    (ax,) = plots.by_padding(table(rows)).axes
    heights = [[round(bar.get_height(), 6) for bar in bars] for bars in ax.containers]
    assert heights == [[75, 85], [55, 15]]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["full", "same (zeros)"]


def test_receptive_fields_stand_between_the_borders_they_lie_between():
    rows = [
        {
            "condition": "full",
            "seed": 0,
            "border": border,
            "accuracy": 1 - border / 100,
            "field": 24,
        }
        for border in (0, 16, 32)
    ]
    (ax,) = plots.by_border(table(rows)).axes
    assert drawn(ax)["full, sees 24 px"] == pytest.approx([100, 84, 68])
    (field,) = [line for line in ax.lines if line.get_linestyle() == "--"]
    assert field.get_xdata()[0] == 1.5  # between 16 and 32
    (ax,) = plots.by_border(table([row | {"field": 435} for row in rows])).axes
    assert not [line for line in ax.lines if line.get_linestyle() == "--"]


def test_filters_and_images_are_drawn_in_percent():
    rows = [{"condition": "same", "border": b, "apart": a} for b, a in ((0, 0.25), (1, 0.0))]
    (ax,) = plots.by_filter(table(rows)).axes
    assert drawn(ax)["same (zeros)"] == [25, 0]
    gained = pd.DataFrame({50: [0.01, 0.03], 100: [0.0, -0.02]})
    (ax,) = plots.by_images({"MNIST": gained}).axes
    assert drawn(ax)["MNIST"] == pytest.approx([2, -1])


@pytest.mark.parametrize(
    "figure", [plots.by_padding, plots.by_border, plots.by_filter, plots.by_images]
)
def test_what_was_not_run_is_said(figure):
    empty = {} if figure is plots.by_images else pd.DataFrame()
    (ax,) = figure(empty).axes
    assert ax.texts[0].get_text() == "not run here"
