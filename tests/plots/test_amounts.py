"""Accuracy against what was seen before: means at the right amounts, areas at the right places."""

import matplotlib
import numpy as np
import pandas as pd
import pytest

from invlib import plots
from invlib.measure.maps import AccuracyMap
from invlib.runs import Look
from invlib.studies import diversity, sanity_check

matplotlib.use("agg")
GRID = (0, 4, 8)
IMAGES = {
    "EMNIST": {"letters-1": 12, "letters-10": 120},
    "MNIST": {"mnist-1": 10},
    "objects2": {"objects2": 2},
}


def table(values, looks, **columns):
    """A row for each accuracy of (condition, set), seed by seed."""
    frame = pd.DataFrame(
        {"seed": seed, "condition": pair[0], "set": pair[1], "canvas": value, "failed": False}
        for pair, accuracies in values.items()
        for seed, value in enumerate(accuracies)
    ).assign(**columns)
    frame.attrs["looks"] = looks
    return frame


def lines(ax, marker):
    """x, y and the face of the means drawn with a marker."""
    return [
        (list(map(float, line.get_xdata())), np.round(line.get_ydata(), 6).tolist(), line.get_mfc())
        for line in ax.lines
        if line.get_marker() == marker and len(line.get_xdata())
    ]


def test_accuracy_stands_over_the_number_of_images_and_is_hollow_for_the_set_itself():
    frame = table(
        {
            ("letters-10", "mnist"): (0.6, 0.8), ("letters-1", "mnist"): (0.2, 0.4),
            ("mnist-1", "mnist"): (0.1,), ("objects2", "mnist"): (0.0, 0.1),
            ("mnist-1", "kmnist"): (0.05,),
        },
        diversity.LOOKS,
    )  # fmt: skip
    (ax,) = plots.diversity(frame, IMAGES).axes
    assert ax.get_xscale() == "log"
    ((x, y, face),) = lines(ax, "o")  # taught KMNIST after letters was not run
    assert (x, y) == ([12, 120], [30, 70]) and face != "white"
    # MNIST is drawn before KMNIST, as the study has them.
    assert [(x, y, face == "white") for x, y, face in lines(ax, "s")] == [
        ([10], [10], True), ([10], [5], False)
    ]  # fmt: skip
    assert [(x, y) for x, y, _ in lines(ax, "^")] == [([2], [5])]
    dots = sorted((x, y) for xs, ys, _ in lines(ax, ".") for x, y in zip(xs, ys, strict=True))
    assert dots == [(2, 0), (2, 10), (10, 5), (10, 10), (12, 20), (12, 40), (120, 60), (120, 80)]
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == [
        "pretrained on EMNIST", "pretrained on MNIST", "pretrained on objects2",
        "taught MNIST", "taught KMNIST",
    ]  # fmt: skip


def test_five_networks_have_an_error_bar_and_a_failed_one_is_left_out():
    frame = table({("letters-1", "mnist"): (0.1, 0.2, 0.3, 0.2, 0.2, 0.9)}, diversity.LOOKS)
    frame.loc[frame.seed == 5, "failed"] = True
    (ax,) = plots.diversity(frame, IMAGES).axes
    assert [y for _, y, _ in lines(ax, "o")] == [[20]] and not lines(ax, ".")
    (bar,) = (line for line in ax.lines if list(line.get_xdata()) == [12, 12])
    assert list(bar.get_ydata()) == pytest.approx([11.22, 28.78], abs=0.01)


def coverage():
    """The letters, and MNIST taught after them, in 1 and in 9 areas."""
    frame = table(
        {
            ("areas-9", "glyphs"): (0.9, 0.9), ("areas-1", "glyphs"): (0.1, 0.1),
            ("areas-9", "mnist"): (0.8, 0.6), ("areas-1", "mnist"): (0.2, 0.1),
        },
        sanity_check.LOOKS,
    )  # fmt: skip
    letters = frame.set == "glyphs"
    frame["own"] = np.where(letters, 0.97, np.nan)
    frame["elsewhere"] = np.where(letters & (frame.condition == "areas-1"), 0.02, np.nan)
    return frame


def test_letters_have_two_curves_and_the_one_elsewhere_ends_where_there_is_no_elsewhere():
    (ax,) = plots.coverage(coverage(), {"areas-1": 1, "areas-9": 9}).axes
    curves = {
        line.get_label(): (list(line.get_xdata()), np.round(line.get_ydata(), 6).tolist())
        for line in ax.lines
        if not line.get_label().startswith("_")
    }
    assert curves == {
        "the letters, where they appeared": ([1, 9], [97, 97]),
        "the letters, elsewhere": ([1], [2]),
        "taught MNIST, whole canvas": ([1, 9], [15, 70]),
    }
    dots = {(x, y) for xs, ys, _ in lines(ax, ".") for x, y in zip(xs, ys, strict=True)}
    assert {(1, 20), (1, 10), (9, 80), (9, 60)} <= dots
    assert ax.get_xticks().tolist() == [1, 9]


def by_area():
    """Two seeds; in area i of four the accuracy is 0.1 i, and 0.2 more in the second seed."""
    maps = 0.1 * np.arange(4)[:, None, None] + np.zeros((4, 3, 3))
    whole = AccuracyMap(maps.mean(axis=0), GRID, GRID, (4, 0), (6, 6), 4, "glyphs")
    frame = table({("areas-1", "glyphs"): (0.1, 0.1), ("areas-1", "mnist"): (0.1,)}, {})
    frame["areas"] = [maps, maps + 0.2, None]
    return frame.assign(map=[whole] * 3)


def test_the_panel_of_an_area_lies_where_it_does_and_frames_it():
    figure = plots.areas(by_area())
    panels = figure.axes[:4]
    means = [float(ax.collections[0].get_array().mean()) for ax in panels]
    assert means == pytest.approx([10, 20, 30, 40])
    # Nine rows of places, so areas of four; a frame runs between places.
    frames = [{patch.get_xy() for patch in ax.patches} for ax in panels]
    assert frames == [{(-0.5, -0.5)}, {(3.5, -0.5)}, {(-0.5, 3.5)}, {(3.5, 3.5)}]
    assert {(p.get_width(), p.get_height()) for ax in panels for p in ax.patches} == {(4, 4)}
    corners = [ax.get_subplotspec().get_geometry()[2] for ax in panels]
    assert corners == [0, 1, 2, 3]
    assert not any(ax.lines for ax in panels)  # letters were not taught at one place


def test_letters_that_failed_are_in_no_panel():
    frame = by_area()
    frame.loc[frame.seed == 1, "failed"] = True
    means = [float(ax.collections[0].get_array().mean()) for ax in plots.areas(frame).axes[:4]]
    assert means == pytest.approx([0, 10, 20, 30])


def test_amounts_that_were_not_run_are_said_to_be():
    empty = coverage().assign(areas=None).iloc[:0]
    for figure in (
        plots.diversity(empty, IMAGES), plots.coverage(empty, {"areas-1": 1}), plots.areas(empty)
    ):  # fmt: skip
        assert [text.get_text() for text in figure.axes[0].texts] == ["not run here"]


def test_sets_of_one_colour_are_told_apart_by_their_order():
    own = plots.axes.colours({"a": Look("a", 4), "b": Look("b", 2)})
    assert own == {"a": plots.axes.PALETTE[4], "b": plots.axes.PALETTE[2]}
    same = plots.axes.colours({"a": Look("a", 4), "b": Look("b", 4)})
    assert same == {"a": plots.axes.PALETTE[0], "b": plots.axes.PALETTE[1]}
