"""What the exact shortcuts leave out, and what that saves."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from invlib.measure.drawing import new_axes
from invlib.plots.axes import PALETTE, done, not_run


def cells(masks: Mapping[str, NDArray[np.bool_]]) -> Figure:
    """Which cells of each map are marked, and their share; maps are drawn at one size.

    Args:
        masks: name of the map -> bool (rows, columns), as ``propagation.changed`` gives them.
    """
    figure, axes = plt.subplots(1, len(masks), figsize=(1.6 * len(masks), 2.3), squeeze=False)
    for ax, (name, mask) in zip(axes[0], masks.items(), strict=True):
        ax.imshow(mask, cmap="cividis", vmin=0, vmax=1, interpolation="nearest")
        ax.set(xticks=[], yticks=[], xlabel=f"{mask.mean():.0%} changed")
        ax.set_title(f"{name}\n{mask.shape[0]} x {mask.shape[1]}", fontsize=9)
    return done(figure)


def seconds(measured: Mapping[str, float]) -> Figure:
    """How long each way took: one bar each, by the words beside it."""
    figure, ax = new_axes((6.4, 0.5 + 0.45 * len(measured)))
    ax.barh(list(measured), list(measured.values()), color=PALETTE[0], height=0.6)
    ax.invert_yaxis()
    ax.set(xlabel="seconds")
    sns.despine(ax=ax)
    return figure


def savings(table: pd.DataFrame) -> Figure:
    """Time against the number of places, and what is saved against the size of the items.

    Args:
        table: of the study ``shortcuts``.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    plt.close(figure)
    if not len(table):
        return not_run(figure)
    maps = table[(table.varied == "places") & (table.work == "map")]
    left.plot(maps.places, maps.plain, marker="o", label="plain")
    _marked(left, maps, maps.places, maps.auto, "s", "auto")
    left.set(xscale="log", yscale="log", xlabel="places", ylabel="seconds for an accuracy map")
    left.set_xticks(maps.places, [f"{n}" for n in maps.places], minor=False)
    left.minorticks_off()
    for (_, rows), words, marker in zip(
        table[table.varied == "item"].groupby("work"), ("accuracy map", "training step"), "os",
        strict=True,
    ):  # fmt: skip
        line = _marked(right, rows, rows.item_side, rows.plain / rows.auto, marker, words)
        right.plot(rows.item_side, rows.limit, ls="--", lw=1, color=line.get_color())
    right.axhline(1, color="grey", lw=0.8)
    right.set(xlabel="side of the item (px)", ylabel="times as fast as plain", ylim=(0, None))
    for ax in (left, right):
        ax.legend(frameon=False)
        sns.despine(ax=ax)
    return figure


def _marked(ax: Axes, rows: pd.DataFrame, x: Any, y: Any, marker: str, words: str) -> Line2D:
    """A line of times under ``auto``; its marks are hollow where the path taken was plain."""
    (line,) = ax.plot(x, y, marker=marker, label=words)
    plain = rows.path == "plain"
    ax.plot(x[plain], y[plain], ls="", marker=marker, mfc="white", color=line.get_color())
    return line
