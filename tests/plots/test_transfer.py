"""All pairs of a set pretrained on and a set taught: each value at its place, what is missing."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from invlib import plots
from invlib.runs import Look

matplotlib.use("agg")
LOOKS = {"letters": Look("Letters"), "mnist": Look("MNIST", 1, "oo"), "cats": Look("Cats")}


def table(values, failed=()):
    """A row for each (pretrained on, taught): its accuracies, seed by seed."""
    frame = pd.DataFrame(
        {"seed": seed, "condition": pair[0], "set": pair[1], "canvas": value}
        for pair, accuracies in values.items()
        for seed, value in enumerate(accuracies)
    )
    frame["failed"] = [pair in failed for pair in zip(frame.condition, frame.set, strict=True)]
    frame.attrs["looks"] = LOOKS
    return frame


def small():
    return table(
        {
            ("mnist", "mnist"): (0.9, 1.0), ("mnist", "letters"): (0.5, 0.6),
            ("letters", "mnist"): (-0.1, 0.0), ("letters", "cats"): (0.3, 0.4),
        },
        failed=[("letters", "cats")],
    )  # fmt: skip


def test_a_cell_is_the_mean_in_its_row_and_column_or_says_why_there_is_none():
    ax = plots.matrix(small()).axes[0]
    words = {
        (int(y), int(x)): text.get_text().replace("\n", " ")
        for text in ax.texts
        for x, y in [text.get_position()]
    }
    assert [text.get_text() for text in ax.get_yticklabels()] == ["Letters", "MNIST"]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["Letters", "MNIST", "Cats"]
    assert words == {
        (0, 0): "not run", (0, 1): "-5", (0, 2): "failed",
        (1, 0): "55", (1, 1): "95", (1, 2): "not run",
    }  # fmt: skip
    mesh = ax.collections[0]
    assert mesh.get_clim() == (0, 100)
    assert np.ma.getmaskarray(mesh.get_array()).ravel().tolist() == [True, False, True] + [
        False, False, True
    ]  # fmt: skip


def test_a_cell_of_a_set_with_itself_is_framed():
    frames = [patch for patch in plots.matrix(small()).axes[0].patches if not patch.get_fill()]
    # Letters onto letters was not run, its place is marked all the same.
    assert {tuple(int(v) for v in frame.get_xy()) for frame in frames} == {(0, 0), (1, 1)}


def test_a_set_without_items_held_out_is_no_column_of_them():
    frame = small().assign(canvas_held_out=lambda rows: rows.canvas.where(rows.set != "mnist"))
    ax = plots.matrix(frame, "canvas_held_out").axes[0]
    assert [text.get_text() for text in ax.get_xticklabels()] == ["Letters", "Cats"]


def test_a_matrix_of_failed_networks_says_so():
    ax = plots.matrix(table({("mnist", "cats"): (0.2,)}, failed=[("mnist", "cats")])).axes[0]
    assert [text.get_text() for text in ax.texts] == ["failed"]


def bars(ax, sets):
    """By the name of the set: how long the bar is, and its hatch."""
    return {
        sets[round(bar.get_y() + bar.get_height() / 2)]: (
            round(bar.get_width(), 6),
            bar.get_hatch(),
        )
        for bar in ax.patches
        if isinstance(bar, Rectangle) and bar.get_height()
    }


def test_a_bar_lies_beside_the_set_taught_and_is_hatched_where_the_items_are_shared():
    figure = plots.pairs(small())
    letters, mnist = figure.axes
    assert [ax.get_title() for ax in figure.axes] == [
        "pretrained on Letters",
        "pretrained on MNIST",
    ]
    names = [text.get_text() for text in letters.get_yticklabels()]
    assert names == ["Letters", "MNIST", "Cats"]
    assert bars(letters, names) == {"MNIST": (-5, "")}
    assert bars(mnist, names) == {"MNIST": (95, "///"), "Letters": (55, "")}
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert sorted(legend) == ["failed its control", "one network", "the same items"]


def marks(ax, colour):
    """(place of the bar, percent) of the marks with this edge."""
    found = [c for c in ax.collections if to_hex(c.get_edgecolor()[0]) == colour]
    return sorted((round(y), round(x, 6)) for c in found for x, y in c.get_offsets().tolist())


def test_few_networks_of_a_pair_are_dots_and_failed_ones_are_crosses():
    letters, mnist = plots.pairs(small()).axes
    assert marks(letters, "#000000") == [(1, -10), (1, 0), (2, 30), (2, 40)]
    assert marks(mnist, "#000000") == [(0, 50), (0, 60), (1, 90), (1, 100)]


def test_five_networks_of_a_pair_have_an_interval_and_no_dots():
    (ax, _) = plots.pairs(table({("mnist", "cats"): (0.1, 0.2, 0.3, 0.2, 0.2)})).axes
    assert not ax.collections
    ends = [x for line in ax.lines for x in line.get_xdata() if 0 < x < 100]
    # t is 2.776, the standard error 3.1623.
    assert (min(ends), max(ends)) == pytest.approx((11.22, 28.78), abs=0.01)


def test_a_set_after_which_all_networks_failed_keeps_its_panel():
    frame = small()
    frame["failed"] = frame.condition == "letters"
    letters, _ = plots.pairs(frame).axes
    assert marks(letters, "#000000") == [(1, -10), (1, 0), (2, 30), (2, 40)]
    assert not bars(letters, ["Letters", "MNIST", "Cats"])


def test_no_pairs_are_said_to_be_not_run():
    for draw in (plots.matrix, plots.pairs):
        (ax,) = draw(small().iloc[:0]).axes
        assert [text.get_text() for text in ax.texts] == ["not run here"]
