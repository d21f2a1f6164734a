"""Figures of sensitivity: what is drawn where."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from invlib import plots
from invlib.measure.maps import SensitivityMap
from invlib.measure.radial import radial_mean
from invlib.plots.axes import PALETTE
from invlib.runs import Look

SHIFTS = np.arange(-10, 11)
DISTANCE = np.hypot(SHIFTS[:, None], SHIFTS)
LOOKS = {
    "mnist-k5": Look("k = 5"), "mnist-k3": Look("k = 3", 2),
    "mnist-k5-unpadded": Look("k = 5, unpadded", 0, "//"),
}  # fmt: skip


def measured(**given):
    """Two seeds of two networks; a map of distance times what is given, 0.01 more for seed 1."""
    rows = []
    for name, slope in (given or {"mnist-k5": 0.02, "mnist-k3": 0.04}).items():
        for seed in range(2):
            for place in ("pooling 3", "logits"):
                values = 1 - slope * DISTANCE - 0.01 * seed * (place == "logits")
                rows.append(
                    {"condition": name, "seed": seed, "place": place, "metric": "cosine",
                     "depth": np.nan, "failed": False, "map": values,
                     "radial": radial_mean(np.stack([values] * 3)), "pearson": [0.9, 0.8, 0.7],
                     "cells": None}
                )  # fmt: skip
    table = pd.DataFrame(rows)
    table.attrs["looks"] = LOOKS
    return table


def lines(ax):
    return [line for line in ax.lines if len(line.get_xdata()) > 2]


def test_radial_curves_are_means_to_10_px_and_dotted_beyond():
    figure = plots.radial(measured(), ("pooling 3", "logits"))
    left, right = figure.axes
    assert [ax.get_title() for ax in figure.axes] == ["pooling 3", "logits"]
    assert left.get_ylim() == right.get_ylim()  # the text compares the two
    mean, first, second, corners = lines(right)[:4]
    expected = radial_mean(1 - 0.02 * DISTANCE)
    assert np.allclose(mean.get_ydata(), expected[:11] - 0.005)
    assert np.allclose(first.get_ydata(), expected[:11])
    assert np.allclose(second.get_ydata(), expected[:11] - 0.01)
    assert corners.get_linestyle() == ":" and corners.get_xdata().tolist() == [10, 11, 12, 13, 14]
    assert np.allclose(lines(left)[4].get_ydata(), radial_mean(1 - 0.04 * DISTANCE)[:11])
    assert lines(left)[4].get_color() == PALETTE[2]
    border = [line for line in left.lines if list(line.get_xdata()) == [6, 6]]
    assert len(border) == 1
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["k = 5", "k = 3"]


def test_curves_of_single_maps_have_their_words():
    maps = {
        words: SensitivityMap(1 - slope * DISTANCE, 10, None, "cosine")
        for words, slope in (("answers", 0.01), ("maps", 0.02))
    }
    ax = plots.curves(maps).axes[0]
    full = [line for line in lines(ax) if len(line.get_xdata()) == 11]
    assert np.allclose(full[0].get_ydata(), radial_mean(1 - 0.01 * DISTANCE)[:11])
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["answers", "maps"]
    other = SensitivityMap(DISTANCE, 10, None, "euclidean")
    with pytest.raises(ValueError, match="maps of one metric, found cosine, euclidean"):
        plots.curves(maps | {"other": other})
    with pytest.raises(ValueError, match="maps of one metric, found none"):
        plots.curves({})


def test_the_second_line_of_a_colour_is_dashed():
    looks = {name: Look(name, colour) for name, colour in (("a", 0), ("b", 0), ("c", 1))}
    table = measured(a=0.01, b=0.02, c=0.03)
    table.attrs["looks"] = looks
    figure = plots.radial(table, ("logits",))
    styles = [line.get_linestyle() for line in lines(figure.axes[0]) if line.get_linewidth() > 1]
    assert styles == ["-", "--", "-"]
    assert [line.get_linestyle() for line in figure.legends[0].get_lines()] == ["-", "--", "-"]


def test_failed_networks_are_not_drawn():
    table = measured()
    table.loc[table.condition == "mnist-k3", "failed"] = True
    figure = plots.radial(table, ("logits",))
    assert len(lines(figure.axes[0])) == 4
    for empty in (table.assign(failed=True), table[:0]):
        for drawn in (
            plots.radial(empty, ("logits",)), plots.depth({"a": empty}), plots.alignment(empty),
            plots.controls(empty, {"all": ["mnist-k5"]}), plots.correlations(empty),
        ):  # fmt: skip
            assert {text.get_text() for ax in drawn.axes for text in ax.texts} == {"not run here"}


def test_correlations_have_a_bar_for_each_class_and_metric():
    table = measured(**{"mnist-k5": 0.02})
    other = table.assign(metric="euclidean", pearson=[[0.5, 0.4, 0.3]] * len(table))
    ax = plots.correlations(pd.concat([table, other])).axes[0]
    heights = [[bar.get_height() for bar in bars] for bars in ax.containers]
    assert np.allclose(heights, [[0.9, 0.8, 0.7], [0.5, 0.4, 0.3]])


def test_depth_is_the_area_in_the_order_of_the_layers():
    rows = []
    for at, (place, slope) in enumerate([("input", 0.05), ("hidden", 0.03), ("logits", 0.01)]):
        for seed in range(2):
            curve = radial_mean(1 - slope * DISTANCE)[None] - 0.02 * seed * (np.arange(15) > 0)
            rows.append({"condition": "mnist-k5", "seed": seed, "place": place, "depth": float(at),
                         "metric": "cosine", "failed": False, "radial": curve})  # fmt: skip
    table = pd.DataFrame(rows[::-1])
    table.attrs["looks"] = LOOKS
    ax, none = plots.depth({"MNIST": table, "CIFAR-10": table[:0]}).axes
    assert (ax.get_title(), none.get_title()) == ("MNIST", "CIFAR-10")
    assert [text.get_text() for text in none.texts] == ["not run here"] and not none.lines
    # A label has one line throughout, also where a panel lacks others of its colour.
    both = pd.concat([table, table.assign(condition="mnist-k5-unpadded")])
    alone = table.assign(condition="mnist-k5-unpadded")
    both.attrs["looks"] = alone.attrs["looks"] = LOOKS
    figure = plots.depth({"MNIST": both, "CIFAR-10": alone})
    assert figure.axes[1].lines[0].get_linestyle() == "--"
    assert [line.get_linestyle() for line in figure.legends[0].get_lines()] == ["-", "--"]
    assert [label.get_text() for label in none.get_xticklabels()] == ["input", "hidden", "logits"]
    means = radial_mean(DISTANCE)[1:11].mean() * np.array([0.05, 0.03, 0.01])
    assert np.allclose(ax.lines[0].get_ydata(), 1 - means - 0.01)


def test_alignment_draws_both_similarities_and_the_move_along_the_shift():
    table = measured(**{"mnist-k5": 0.02})
    table = table[table.place == "pooling 3"].assign(depth=9.0)
    table["radial"] = [each[:1] for each in table.radial]
    cells = np.stack([SHIFTS / 8, SHIFTS / 4])
    moved = table.assign(metric="aligned", cells=[cells] * 2)
    moved["radial"] = [radial_mean(1 - 0.01 * DISTANCE)[None]] * 2
    left, right = plots.alignment(pd.concat([table, moved])).axes
    drawn = {
        line.get_linestyle(): line.get_ydata()
        for line in lines(left)
        if len(line.get_xdata()) == 11
    }
    assert np.allclose(drawn["-"], radial_mean(1 - 0.01 * DISTANCE)[:11])
    assert np.allclose(drawn["--"], radial_mean(1 - 0.02 * DISTANCE)[:11])
    assert np.allclose(lines(right)[0].get_ydata(), SHIFTS * 3 / 16)  # mean of both axes
    assert np.allclose(lines(right)[-1].get_ydata(), SHIFTS / 8)


def test_controls_stand_in_groups():
    table = measured(**{"mnist-k5": 0.02, "mnist-k3": 0.04})
    figure = plots.controls(
        table, {"both": ["mnist-k5", "mnist-k3"], "one": ["mnist-k3"], "no": []}
    )
    left, _ = figure.axes
    assert [label.get_text() for label in left.get_xticklabels()] == ["both", "one", "no"]
    means = [
        (float(x[0]), float(y[0]))
        for x, y in (
            (line.get_xdata(), line.get_ydata()) for line in left.lines if line.get_marker() == "o"
        )
    ]
    areas = [1 - slope * radial_mean(DISTANCE)[1:11].mean() for slope in (0.02, 0.04, 0.04)]
    assert np.allclose(means, [(-0.2, areas[0]), (0.0, areas[1]), (0.8, areas[2])])


def test_dimensions_have_their_spread_around_them():
    table = pd.DataFrame(
        {"condition": "normal", "seed": seed, "dimension": d, "distance": d**0.5,
         "cosine": 0.1 * seed, "spread": 0.5}
        for seed in range(2) for d in (10, 100)
    )  # fmt: skip
    left, right = plots.dimensions(table).axes
    assert np.allclose(left.lines[0].get_ydata(), 0.05)
    band = left.collections[0].get_paths()[0].vertices[:, 1]
    assert (band.min(), band.max()) == (pytest.approx(-0.45), pytest.approx(0.55))
    assert np.allclose(right.lines[0].get_ydata(), [10**0.5, 10])


def test_feature_maps_of_a_channel_have_one_scale():
    layer = nn.Conv2d(1, 2, 1, bias=False)
    layer.weight.data = torch.tensor([1.0, 2.0]).view(2, 1, 1, 1)
    dark, bright = torch.full((1, 1, 4, 4), 0.1), torch.full((1, 1, 4, 4), 0.8)
    figure = plots.feature_maps(layer, {"dark": dark, "bright": bright}, 2)
    shown = [ax.images[0] for ax in figure.axes]
    assert [image.get_clim()[1] for image in shown] == pytest.approx([1, 0.8, 1.6] * 2)
    assert np.allclose(shown[2].get_array(), 0.2) and np.allclose(shown[5].get_array(), 1.6)


def test_class_maps_have_one_scale_and_their_names():
    maps = np.stack([np.full((5, 5), value) for value in (0.9, -0.2)])
    figure = plots.class_maps(maps, ["zero", "one"])
    images = [ax.images[0] for ax in figure.axes if ax.images]
    assert [image.get_clim() for image in images] == [(-0.2, 1)] * 2
    assert images[0].get_extent() == [-2.5, 2.5, 2.5, -2.5]
    assert [ax.get_title() for ax in figure.axes[:2]] == ["zero", "one"]
