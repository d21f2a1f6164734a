"""Accuracies, in percent on the same scale throughout."""

from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from invlib.measure.drawing import draw_accuracy, new_axes
from invlib.measure.statistics import interval
from invlib.plots.axes import PALETTE, looks, not_run, percent_axis
from invlib.runs import passed

ENOUGH = 5
"""Networks of which an interval is drawn; fewer are drawn one by one."""


def bars(table: pd.DataFrame, column: str = "canvas") -> Figure:
    """Normalised accuracy of each set and condition: the mean over its networks.

    Five networks or more have the 95 % interval of their mean; of fewer each is a dot. Networks
    that failed their control are crosses, and not in the mean.

    Args:
        table: of a study, from ``runs.table``.
        column: ``canvas``, ``far``, or either with ``_held_out``.
    """
    figure, ax = new_axes((9, 3.6))
    if not len(passed(table)):
        return not_run(figure)
    conditions, sets = looks(table, "condition"), looks(table, "set")
    table = table.assign(percent=100 * table[column].astype(float))
    learnt = passed(table)
    where: dict[str, Any] = {
        "x": "set", "y": "percent", "order": list(sets), "ax": ax,
        "hue": "condition", "hue_order": list(conditions),
    }  # fmt: skip
    sns.barplot(
        learnt, **where, palette={n: PALETTE[look.colour] for n, look in conditions.items()},
        errorbar=_interval, capsize=0.15, err_kws={"linewidth": 1, "color": "black"},
    )  # fmt: skip
    handles = ax.get_legend_handles_labels()[0]
    for container, look in zip(ax.containers[: len(conditions)], conditions.values(), strict=True):
        for bar in container:
            bar.set(hatch=look.hatch, edgecolor="white", linewidth=0)
    few = learnt.groupby(["set", "condition"])["percent"].transform("size") < ENOUGH
    failed = table.drop(learnt.index)
    for rows, marker, words in (
        (learnt[few], "o", "one network"), (failed, "X", "failed its control")
    ):  # fmt: skip
        if len(rows):
            sns.stripplot(
                rows, **where, dodge=True, jitter=False, marker=marker, size=4.5, legend=False,
                palette=["white"] * len(conditions), edgecolor="black", linewidth=0.8,
            )  # fmt: skip
            handles.append(
                Line2D([], [], label=words, marker=marker, ls="", mfc="white", mec="black", mew=0.8)
            )
    percent_axis(ax)
    ax.set_xticks(range(len(sets)), [look.label for look in sets.values()])
    ax.set(xlabel="")
    labels = [look.label for look in conditions.values()]
    labels += [str(handle.get_label()) for handle in handles[len(conditions) :]]
    ax.legend(
        handles, labels, loc="lower center", ncols=3, frameon=False, bbox_to_anchor=(0.5, 1.0)
    )
    return figure


def heatmaps(table: pd.DataFrame, column: str = "map") -> Figure:
    """Mean map over the seeds: a row for each condition, a column for each set.

    Args:
        table: of a study, from ``runs.table``, or from ``compare``.
        column: with the maps.
    """
    table = passed(table[table[column].notna()])
    if not len(table):
        return not_run(new_axes((9, 2))[0])
    conditions, sets = looks(table, "condition"), looks(table, "set")
    figure, axes = plt.subplots(
        len(conditions), len(sets), figsize=(1.45 * len(sets) + 1.6, 1.5 * len(conditions) + 0.6),
        squeeze=False, sharex=True, sharey=True,
    )  # fmt: skip
    for row, condition in enumerate(conditions):
        for i, name in enumerate(sets):
            ax = axes[row, i]
            maps = table[(table.condition == condition) & (table.set == name)][column].tolist()
            if maps:
                mesh = draw_accuracy(ax, replace(maps[0], values=np.mean(maps, axis=0)))
                ax.set(xticks=maps[0].columns[:: len(maps[0].columns) - 1 or 1])
                ax.set(yticks=maps[0].rows[:: len(maps[0].rows) - 1 or 1])
            else:  # not measured; the row keeps its label
                ax.set_frame_on(False)
                ax.tick_params(length=0, labelleft=False, labelbottom=False)
            if row == 0:
                ax.set_title(sets[name].label, fontsize=10)
        axes[row, 0].set_ylabel(_broken(conditions[condition].label), fontsize=9)
    figure.tight_layout()
    figure.colorbar(mesh, ax=axes, label="accuracy (%)", fraction=0.025, pad=0.02)
    plt.close(figure)
    return figure


def distance(table: pd.DataFrame) -> Figure:
    """Normalised accuracy against the distance from the trained place, over all sets.

    The line is the mean over seeds of the mean over sets, the band its 95 % interval; beyond the
    dashed line no place shares a pixel with the trained one.

    Args:
        table: of a study, from ``runs.table``, or from ``compare``, with maps of one grid.
    """
    figure, ax = new_axes((6.4, 3.6))
    table = passed(table)
    if not len(table):
        return not_run(figure)
    for condition, look in looks(table, "condition").items():
        curves = []
        for _, rows in table[table.condition == condition].groupby("seed"):
            each = [one.by_distance(one.item[0] / 4) for one in rows["map"]]
            curves.append(np.mean([accuracy for _, accuracy in each], axis=0))
        mean, low, high = 100 * np.transpose([interval(v) for v in np.transpose(curves)])
        x = each[0][0]
        ax.plot(x, mean, color=PALETTE[look.colour], label=look.label, marker=".")
        ax.fill_between(x, low, high, color=PALETTE[look.colour], alpha=0.25, lw=0)
    ax.axvline(np.hypot(*table["map"].iloc[0].item), color="grey", ls="--", lw=1)
    percent_axis(ax)
    ax.set(xlabel="distance from the trained place (px)")
    ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=9)
    return figure


def _interval(values: Any) -> tuple[float, float]:
    return interval(values)[1:] if len(values) >= ENOUGH else (np.nan, np.nan)


def _broken(words: str) -> str:
    middle = words.find(" ", len(words) // 2 - 2)
    return words if len(words) < 16 or middle < 0 else f"{words[:middle]}\n{words[middle + 1 :]}"
