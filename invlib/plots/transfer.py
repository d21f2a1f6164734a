"""What was learnt everywhere first, and what was taught at one place then: all pairs of sets.

A pair of a set with itself shares its items; a condition of the table bears the set's name.
"""

from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.patches import Patch, Rectangle

from invlib.measure.drawing import new_axes
from invlib.plots.axes import PALETTE, looks, not_run, percent_axis
from invlib.plots.spread import draw_bars
from invlib.runs import passed

_SHARED = "///"


def matrix(table: pd.DataFrame, column: str = "canvas") -> Figure:
    """Normalised accuracy of each pair in percent, mean over the networks that passed.

    Colours end at chance and at perfect, numbers do not. A frame marks a set taught to a network
    that knew its items already.

    Paper: Biscione & Bowers 2020, Fig. 2B.

    Args:
        table: of a study, from ``runs.table``; its conditions are rows, its sets columns.
        column: ``canvas``, ``far``, or either with ``_held_out``.
    """
    figure, ax = new_axes((6.4, 4.8))
    table = table[table[column].notna()]
    if not len(table):
        return not_run(figure)
    conditions, sets = looks(table, "condition"), looks(table, "set")
    means = (
        passed(table).assign(percent=lambda rows: 100 * rows[column].astype(float))
        .pivot_table("percent", "condition", "set").reindex(index=conditions, columns=sets)
    )  # fmt: skip
    sns.heatmap(
        means, annot=True, fmt="z.0f", cmap="cividis", vmin=0, vmax=100, square=True, ax=ax,
        linewidths=1, cbar_kws={"label": "normalised accuracy (%)"},
        xticklabels=[look.label for look in sets.values()],
        yticklabels=[look.label for look in conditions.values()],
    )  # fmt: skip
    tried = set(zip(table.condition, table.set, strict=True))
    for y, condition in enumerate(conditions):
        for x, name in enumerate(sets):
            if means.isna().loc[condition, name]:
                words = "failed" if (condition, name) in tried else "not\nrun"
                ax.text(x + 0.5, y + 0.5, words, ha="center", va="center", fontsize=9)
            if condition == name:
                frame: Any = {"ec": PALETTE[1], "lw": 2.5, "fill": False}
                ax.add_patch(Rectangle((x + 0.03, y + 0.03), 0.94, 0.94, **frame))
    ax.set(xlabel="taught at one place", ylabel="pretrained on")
    ax.tick_params(length=0, labelrotation=0)
    plt.setp(ax.get_xticklabels(), rotation=30, ha="right", rotation_mode="anchor")
    return figure


def pairs(table: pd.DataFrame, column: str = "canvas") -> Figure:
    """Normalised accuracy of each pair, a panel for what a network was pretrained on.

    Means, intervals, dots and crosses are those of ``bars``. A bar is hatched where the set taught
    is the one pretrained on.

    Paper: Biscione & Bowers 2020, Fig. 4.

    Args:
        table: as for ``matrix``.
        column: likewise.
    """
    if not len(table):
        return not_run(new_axes((6.4, 2))[0])
    table = table.assign(percent=100 * table[column].astype(float))
    conditions, sets = looks(table, "condition"), looks(table, "set")
    high = -(-len(conditions) // 2)
    figure, axes = plt.subplots(
        high, 2, figsize=(6.4, (0.25 * len(sets) + 0.4) * high + 0.9), sharex=True, sharey=True,
        squeeze=False, layout="constrained",
    )  # fmt: skip
    plt.close(figure)
    shared = Patch(facecolor="grey", hatch=_SHARED, edgecolor="white", label="the same items")
    legend: dict[Any, Artist] = {shared.get_label(): shared}
    for ax, (name, look) in zip(axes.flat, conditions.items(), strict=False):
        rows, one = table[table.condition == name], {name: replace(look, hatch="")}
        for handle in draw_bars(ax, rows, one, sets, across=True)[1:]:
            legend[handle.get_label()] = handle
        for bar in ax.containers[0] if ax.containers else ():
            if list(sets)[round(bar.get_y() + bar.get_height() / 2)] == name:
                bar.set(hatch=_SHARED)
        percent_axis(ax, across=True)
        ax.set_title(f"pretrained on {look.label}", fontsize=10)
        ax.set_yticks(range(len(sets)), [each.label for each in sets.values()])
        ax.set(ylabel="", ylim=(len(sets) - 0.5, -0.5))
        ax.label_outer()
    for ax in axes.flat[len(conditions) :]:
        ax.set_axis_off()
    figure.legend(handles=list(legend.values()), loc="outside upper center", ncols=3, frameon=False)
    return figure
