"""Accuracies, in percent on the same scale throughout."""

from collections.abc import Callable
from dataclasses import replace
from textwrap import fill

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from invlib.claims import by_seed
from invlib.measure.drawing import draw_accuracy, new_axes
from invlib.measure.maps import AccuracyMap, Values, same_places
from invlib.plots.axes import PALETTE, looks, not_run, percent_axis
from invlib.plots.spread import draw_bars, draw_curve
from invlib.runs import passed


def bars(table: pd.DataFrame, column: str = "canvas") -> Figure:
    """Normalised accuracy of each set and condition: the mean over its networks.

    ``ENOUGH`` networks or more have the 95 % interval of their mean; of fewer each is a dot.
    Networks that failed their control are crosses, and not in the mean.

    Args:
        table: of a study, from ``runs.table``.
        column: ``canvas``, ``far``, or either with ``_held_out``.
    """
    figure, ax = new_axes((9, 3.6))
    if not len(passed(table)):
        return not_run(figure)
    conditions, sets = looks(table, "condition"), looks(table, "set")
    table = table.assign(percent=100 * table[column].astype(float))
    legend = draw_bars(ax, table, conditions, sets)
    percent_axis(ax)
    ax.set_xticks(range(len(sets)), [look.label for look in sets.values()])
    ax.set(xlabel="")
    ax.legend(handles=legend, loc="lower center", ncols=3, frameon=False, bbox_to_anchor=(0.5, 1.0))
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
        squeeze=False, sharex=True, sharey=True, layout="constrained",
    )  # fmt: skip
    for row, condition in enumerate(conditions):
        for i, name in enumerate(sets):
            ax = axes[row, i]
            maps = table[(table.condition == condition) & (table.set == name)][column].tolist()
            if maps:
                same_places(maps)
                mesh = draw_accuracy(ax, replace(maps[0], values=np.mean(maps, axis=0)))
                ax.set(xticks=maps[0].columns[:: len(maps[0].columns) - 1 or 1])
                ax.set(yticks=maps[0].rows[:: len(maps[0].rows) - 1 or 1])
            else:  # not measured; the row keeps its label
                ax.set_frame_on(False)
                ax.tick_params(length=0, labelleft=False, labelbottom=False)
            if row == 0:
                ax.set_title(sets[name].label, fontsize=10)
        axes[row, 0].set_ylabel(fill(conditions[condition].label, 16), fontsize=9)
    figure.colorbar(mesh, ax=axes, label="accuracy (%)", fraction=0.025, pad=0.02)
    plt.close(figure)
    return figure


def distance(table: pd.DataFrame) -> Figure:
    """Normalised accuracy against the distance from the trained place, over all sets.

    Lines are those of ``columns``; beyond the dashed line no place shares a pixel with the trained
    one.

    Args:
        table: of a study, from ``runs.table``, or from ``compare``, with maps of one grid.
    """

    def curve(accuracy: AccuracyMap) -> tuple[Values, Values]:
        return accuracy.by_distance(accuracy.item[0] / 4)

    return _curves(
        table, curve, lambda one: np.hypot(*one.item), "distance from the trained place (px)"
    )


def columns(table: pd.DataFrame) -> Figure:
    """Normalised accuracy by column, over all sets and the places far from the trained one.

    Far are places that share no pixel with the trained one: in its own column those above and below
    it. The line is the mean over sets of each set's mean, the band its 95 % interval over seeds; of
    fewer than ``ENOUGH`` seeds each is a thin line. The dashed line is the trained column.

    Args:
        table: as for ``distance``.
    """
    return _curves(
        table, AccuracyMap.by_column, lambda one: one.place[1], "column of the item (px)"
    )


def _curves(
    table: pd.DataFrame,
    curve: Callable[[AccuracyMap], tuple[Values, Values]],
    dashed: Callable[[AccuracyMap], float],
    words: str,
) -> Figure:
    """A line for each condition: what ``curve`` makes of a network's map."""
    figure, ax = new_axes((6.4, 3.6))
    table = passed(table)
    if not len(table):
        return not_run(figure)
    same_places(table["map"].tolist())
    for condition, look in looks(table, "condition").items():
        rows = table[table.condition == condition]
        each = [curve(one) for one in rows["map"]]
        seeds = 100 * np.stack(
            [by_seed(rows.assign(y=y), "y") for y in np.transpose([y for _, y in each])]
        )
        draw_curve(ax, each[0][0], seeds, PALETTE[look.colour], label=look.label, marker=".")
    ax.axvline(dashed(table["map"].iloc[0]), color="grey", ls="--", lw=1)
    percent_axis(ax)
    ax.set(xlabel=words)
    ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=9)
    return figure
