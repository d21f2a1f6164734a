"""Figures: what a table holds is drawn, under its study's words and colours or its own."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.markers import MarkerStyle

from invlib import plots
from invlib.measure.maps import AccuracyMap
from invlib.plots.axes import PALETTE
from invlib.runs import Look
from invlib.studies.imagenet import LOOKS

matplotlib.use("agg")
GRID = (0, 3, 5, 7, 10)


def table(conditions, sets, looks=None):
    """Two seeds; every accuracy another, 0.01 apart in the order of the rows."""
    rows = [
        {"seed": seed, "condition": condition, "set": name, "classes": 2, "failed": False}
        for seed in (0, 1)
        for condition in conditions
        for name in sets
    ]
    frame = pd.DataFrame(rows)
    frame["canvas"] = np.arange(len(frame)) / 100
    frame["map"] = [
        AccuracyMap(np.full((5, 5), value), GRID, GRID, (5, 0), (6, 6), 2, "cats")
        for value in frame.canvas
    ]
    frame.attrs["looks"] = looks or {}
    return frame


def drawn(figure):
    """Legend labels, tick labels and the heights of the bars, condition by condition."""
    (ax,) = figure.axes
    legend = [text.get_text() for text in ax.get_legend().get_texts()]
    legend = [words for words in legend if words not in ("one network", "failed its control")]
    heights = [[round(bar.get_height(), 6) for bar in each] for each in ax.containers]
    return legend, [text.get_text() for text in ax.get_xticklabels()], heights[: len(legend)]


def test_bars_are_in_the_studys_order_under_its_words():
    frame = table(("natural-crops", "vanilla"), ("mnist", "kmnist"), LOOKS)
    legend, ticks, heights = drawn(plots.bars(frame))
    assert legend == ["vanilla", "CIFAR-10 in random crops"]
    assert ticks == ["KMNIST", "MNIST"]
    # Rows: crops-mnist 0, crops-kmnist 1, vanilla-mnist 2, vanilla-kmnist 3 %; seed 1: 4 more.
    assert heights == [[5.0, 4.0], [3.0, 2.0]]


def test_the_legend_shows_the_hatches_and_colours_of_the_bars():
    (ax,) = plots.bars(table(("natural-crops", "vanilla"), ("mnist", "kmnist"), LOOKS)).axes
    shown = [(each.get_hatch(), each.get_facecolor()) for each in ax.get_legend().get_patches()]
    assert shown == [(each[0].get_hatch(), each[0].get_facecolor()) for each in ax.containers]
    assert [hatch for hatch, _ in shown] == ["", ".."]


def test_a_frame_without_words_is_drawn_in_full_under_its_names():
    legend, ticks, heights = drawn(plots.bars(table(("mine", "other"), ("cats",))))
    assert (legend, ticks, heights) == (["mine", "other"], ["cats"], [[1.0], [2.0]])


def heights_of(figure, marker):
    """How high the marks of a kind are that lie on the bars, from left to right."""
    (ax,) = figure.axes
    path = MarkerStyle(marker).get_path().vertices.shape
    marks = [mark for mark in ax.collections if mark.get_paths()[0].vertices.shape == path]
    found = [xy for mark in marks for xy in mark.get_offsets().tolist()]
    return [round(y, 6) for _, y in sorted(found)]


def test_few_networks_are_dots_and_failed_ones_crosses_outside_the_mean():
    frame = table(("mine", "other"), ("cats",))  # mine: 0 and 2 %, other: 1 and 3 %
    frame.loc[(frame.condition == "other") & (frame.seed == 1), "failed"] = True
    figure = plots.bars(frame)
    assert drawn(figure)[2] == [[1.0], [1.0]]
    assert heights_of(figure, "o") == [0.0, 2.0, 1.0] and heights_of(figure, "X") == [3.0]
    heights = {y for line in figure.axes[0].lines for y in line.get_ydata() if np.isfinite(y)}
    assert heights == {0, 100}  # the lines of chance and of perfect, and no interval


def test_five_networks_have_an_interval_and_no_dots():
    frame = pd.concat([table(("mine",), ("cats",)).assign(seed=seed) for seed in range(3)])
    (ax,) = plots.bars(frame).axes
    assert not heights_of(ax.figure, "o")
    low, high = min(ends := [y for line in ax.lines for y in line.get_ydata() if y < 90]), max(ends)
    # Six values, three of 0 and three of 1 %: t is 2.571, the standard error 0.2236.
    assert (low, high) == (pytest.approx(0.5 - 0.575, abs=1e-3), pytest.approx(1.075, abs=1e-3))


def test_what_a_study_does_not_know_stands_behind_what_it_knows():
    frame = table(("mine", "vanilla"), ("cats", "mnist"), LOOKS)
    legend, ticks, heights = drawn(plots.bars(frame))
    assert legend == ["vanilla", "mine"] and ticks == ["MNIST", "cats"]
    assert heights == [[5.0, 4.0], [3.0, 2.0]]


def test_looks_survive_what_a_chapter_does_to_a_table():
    frame = table(("natural-crops", "vanilla"), ("mnist", "kmnist"), LOOKS)
    chosen = frame[frame.condition != "natural-crops"].assign(kind=1.0)
    assert plots.looks(chosen, "condition") == {"vanilla": LOOKS["vanilla"]}
    assert plots.looks(chosen[chosen.set.isin(["mnist"])], "set") == {"mnist": LOOKS["mnist"]}


def test_what_has_no_look_gets_a_colour_and_a_hatch_that_no_other_has():
    frame = table(("a", "b", "c"), ("cats",), {"b": Look("the b", 1, "")})
    assert plots.looks(frame, "condition") == {
        "b": Look("the b", 1, ""), "a": Look("a", 0, "//"), "c": Look("c", 2, "..")
    }  # fmt: skip
    many = plots.looks(table([f"{i}" for i in range(12)], ("cats",)), "condition")
    assert [look.colour for look in many.values()] == [*range(10), 0, 1]
    # Nor one of a condition that is left out of this figure.
    one = plots.looks(table(("mine",), ("cats",), LOOKS), "condition")["mine"]
    assert one.colour not in {look.colour for look in LOOKS.values()}


def test_measurements_without_a_positive_control_are_all_drawn():
    frame = table(("mine", "other"), ("cats",)).drop(columns="failed")
    assert drawn(plots.bars(frame))[2] == [[1.0], [2.0]]
    assert len(plots.heatmaps(frame).axes) == 2 + 1  # and the colour bar
    labels = {line.get_label() for line in plots.distance(frame).axes[0].lines}
    assert {"mine", "other"} <= labels


def test_heatmaps_have_a_row_for_each_condition_known_or_not():
    figure = plots.heatmaps(table(("mine", "vanilla"), ("cats", "mnist"), LOOKS))
    axes = figure.axes[:4]
    assert [ax.get_title() for ax in axes] == ["MNIST", "cats", "", ""]
    assert [axes[0].get_ylabel(), axes[2].get_ylabel()] == ["vanilla", "mine"]
    # vanilla-mnist: rows 3 and 7; vanilla-cats 2 and 6; mine-mnist 1 and 5; mine-cats 0 and 4.
    values = [float(ax.collections[0].get_array().mean()) for ax in axes]
    assert values == pytest.approx([5, 4, 3, 2])


def test_a_curve_is_the_mean_over_seeds_of_the_mean_over_sets():
    frame = table(("mine", "other"), ("cats", "dogs"))
    (ax,) = plots.distance(frame).axes
    lines = {line.get_label(): line for line in ax.lines}
    # Seed 0: accuracies 0 and 1 %, seed 1: 4 and 5 %; mean 2.5 %, normalised 2 x 0.025 - 1.
    assert np.allclose(lines["mine"].get_ydata(), 100 * (2 * 0.025 - 1))
    assert np.allclose(lines["other"].get_ydata(), 100 * (2 * 0.045 - 1))
    assert lines["mine"].get_color() == PALETTE[0]


def test_a_failed_network_moves_no_curve_of_the_others():
    frame = table(("mine",), ("cats", "dogs"))  # cats 0 and 2 %, dogs 1 and 3 %
    frame.loc[(frame.set == "cats") & (frame.seed == 1), "failed"] = True
    (ax,) = plots.distance(frame).axes
    lines = {line.get_label(): line for line in ax.lines}
    # Cats 0 %, dogs 2 %, so 1 % of which chance is 50 %.
    assert np.allclose(lines["mine"].get_ydata(), 100 * (2 * 0.01 - 1))


def test_few_seeds_are_thin_lines_and_five_a_band():
    few = table(("mine",), ("cats",))
    (ax,) = plots.distance(few).axes
    thin = [line.get_ydata()[0] for line in ax.lines if line.get_linewidth() == 0.6]
    assert thin == pytest.approx([100 * (2 * 0 - 1), 100 * (2 * 0.01 - 1)])
    assert not ax.collections
    enough = pd.concat([few.assign(seed=few.seed + 2 * i) for i in range(3)])
    (ax,) = plots.distance(enough[enough.seed < 5]).axes
    assert not [line for line in ax.lines if line.get_linewidth() == 0.6]
    (band,) = ax.collections
    # -100, -98, -100, -98, -100: mean -99.2; t is 2.776, the standard error 0.4899.
    low, high = band.get_paths()[0].get_extents().intervaly
    assert (low, high) == (pytest.approx(-100.56, abs=1e-2), pytest.approx(-97.84, abs=1e-2))


def test_columns_leave_out_what_overlaps_the_trained_place():
    frame = table(("mine",), ("cats",))
    known = 0.5 + 0.1 * np.arange(5) + np.array([0.05, 0, 0, 0, 0.05])[:, None]

    def shown(item):
        return AccuracyMap(known, GRID, GRID, (5, 0), item, 2, "cats")

    (ax,) = plots.columns(frame.assign(map=2 * [shown((5, 5))])).axes
    (line,) = (line for line in ax.lines if line.get_label() == "mine")
    assert line.get_xdata().tolist() == list(GRID)
    # Columns 0 and 3 are far in the first and the last row only, the others in all five.
    assert line.get_ydata().tolist() == pytest.approx([10, 30, 44, 64, 84])
    # An item of 6 px overlaps the trained one in every row of the columns 0, 3 and 5.
    (ax,) = plots.columns(frame.assign(map=2 * [shown((6, 6))])).axes
    (line,) = (line for line in ax.lines if line.get_label() == "mine")
    assert (line.get_xdata().tolist(), line.get_ydata().tolist()) == (
        [7, 10], pytest.approx([64, 84])
    )  # fmt: skip


def test_nothing_to_draw_says_so():
    empty = table(("mine",), ("cats",)).iloc[:0]
    drawings = (plots.bars, plots.distance, plots.columns)
    for figure in (draw(empty) for draw in drawings):
        assert [text.get_text() for text in figure.axes[0].texts] == ["not run here"]
