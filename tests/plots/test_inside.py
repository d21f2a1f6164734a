"""Similarities inside: each curve in its panel beside its baseline, and what goes with its loss."""

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from invlib import plots
from invlib.runs import Look

matplotlib.use("agg")
LOOKS = {"untrained": Look("untrained"), "letters": Look("Letters"), "mnist": Look("MNIST")}


def layers(mean, baseline):
    """As a stored row has them; before the ReLU everything is a half."""
    return [
        {
            "layer": layer, "displacements": [0, 4, 8], "mean": [1.0, mean * scale, mean * scale],
            "std": [0.0] * 3, "baseline": [baseline * scale] * 3, "baseline_std": [0.0] * 3,
        }
        for layer, scale in (("classifier.3", 0.5), ("classifier.4", 1))
    ]  # fmt: skip


def table(conditions=("letters", "mnist"), sets=("mnist", "letters"), seeds=1):
    """Before: 0.9 and a tenth less for each set and seed; after: half of that."""
    frame = pd.DataFrame(
        {
            "seed": seed, "condition": condition, "set": name, "failed": False,
            "before": layers(0.9 - 0.1 * i - 0.1 * seed, 0.2),
            "after": layers((0.9 - 0.1 * i - 0.1 * seed) / 2, 0.1),
        }
        for seed in range(seeds) for condition in conditions for i, name in enumerate(sets)
    )  # fmt: skip
    frame.attrs["looks"] = LOOKS
    return frame


def ends(ax, style, width=1.5):
    """Where the thick lines of a style end."""
    return [
        round(float(line.get_ydata()[-1]), 6)
        for line in ax.lines
        if line.get_linestyle() == style and line.get_linewidth() == width
    ]


def test_a_panel_has_the_similarities_of_its_pair_and_the_baseline_of_each():
    figure = plots.cosines(table(), table(("untrained",)))
    assert [ax.get_title() for ax in figure.axes] == ["Letters", "MNIST", "", ""]
    assert [ax.get_ylabel() for ax in figure.axes] == ["Letters", "", "MNIST", ""]
    # Untrained, before, after; MNIST comes first in the table, so letters lose a tenth.
    assert [ends(ax, "-") for ax in figure.axes] == 2 * [[0.8, 0.8, 0.4], [0.9, 0.9, 0.45]]
    assert [ends(ax, ":") for ax in figure.axes] == 4 * [[0.2, 0.2, 0.1]]
    assert figure.axes[0].lines[0].get_xdata().tolist() == [0, 4, 8]
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    assert legend == [
        "untrained", "before teaching", "after teaching", "the same item", "different classes"
    ]  # fmt: skip


def test_the_layer_is_the_one_asked_for():
    figure = plots.cosines(table(), table(("untrained",)), "classifier.3")
    assert ends(figure.axes[1], "-") == pytest.approx([0.45, 0.45, 0.225])
    with pytest.raises(ValueError, match=r"classifier\.3, classifier\.4.*got 'features'"):
        plots.cosines(table(), table(("untrained",)), "features")


def test_a_curve_is_the_mean_over_networks_with_a_thin_line_for_each():
    frame = table(("mnist",), ("mnist",), seeds=2)
    (ax,) = plots.cosines(frame, frame.iloc[:0]).axes
    assert ends(ax, "-") == [0.85, 0.425] and ends(ax, "-", 0.6) == [0.9, 0.8, 0.45, 0.4]
    assert ends(ax, ":", 0.6) == [0.2, 0.2, 0.1, 0.1] and not ax.collections


def test_five_networks_have_a_band_around_their_similarity():
    frame = table(("mnist",), ("mnist",), seeds=5)
    (ax,) = plots.cosines(frame, frame.iloc[:0]).axes
    assert not ends(ax, "-", 0.6)
    # Before: 0.9, 0.8, ... 0.5; t is 2.776, the standard error 0.0707.
    corners = ax.collections[0].get_paths()[0].vertices
    at_the_end = corners[corners[:, 0] == 8][:, 1]
    assert (at_the_end.min(), at_the_end.max()) == pytest.approx((0.5037, 0.8963), abs=1e-3)


def test_a_pair_whose_network_failed_shows_the_untrained_one_only():
    frame = table()
    frame.loc[(frame.condition == "letters") & (frame.set == "mnist"), "failed"] = True
    panels = plots.cosines(frame, table(("untrained",))).axes
    assert [len(ends(ax, "-")) for ax in panels] == [3, 1, 3, 3]


def test_nothing_measured_inside_says_so():
    frame = table()
    for empty in (frame.iloc[:0], frame.assign(before=None, after=None)):
        (ax,) = plots.cosines(empty, empty).axes
        assert [text.get_text() for text in ax.texts] == ["not run here"]
    (ax,) = plots.losses(frame.iloc[:0].assign(similarity_lost=0.0, accuracy_lost=0.0)).axes
    assert [text.get_text() for text in ax.texts] == ["not run here"]


def test_a_pairs_losses_are_a_mark_and_its_networks_are_dots():
    frame = table(seeds=2).assign(similarity_lost=np.arange(8) / 10)
    frame["accuracy_lost"] = frame.similarity_lost / 2
    known = frame.condition.ne("mnist") | frame.set.ne("mnist") | frame.seed.eq(0)
    (ax,) = plots.losses(frame.assign(failed=~known)).axes
    dots, marks = (np.round(each.get_offsets(), 6).tolist() for each in ax.collections[:2])
    # Letters-mnist 0 and 0.4, letters-letters 0.1 and 0.5, mnist-mnist 0.2, mnist-letters 0.3, 0.7.
    assert sorted(dots) == [[x / 10, x * 5] for x in (0, 1, 2, 3, 4, 5, 7)]
    assert sorted(marks) == [[0.2, 10], [0.2, 10], [0.3, 15], [0.5, 25]]
    words = [text.get_text() for text in ax.get_legend().get_texts()]
    assert words == ["taught", "Letters", "MNIST", "pretrained on", "Letters", "MNIST"]
    faces = map(to_hex, ax.collections[1].get_facecolors())
    drawn = {(x, face) for (x, _), face in zip(marks, faces, strict=True)}
    letters, mnist = (to_hex(handle.get_color()) for handle in ax.get_legend().legend_handles[1:3])
    assert drawn == {(0.2, mnist), (0.3, letters), (0.5, letters)}
