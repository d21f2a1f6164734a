"""Accuracies, in percent on the same scale throughout."""

from collections.abc import Callable, Sequence
from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from invlib.claims import by_seed
from invlib.data.canvas import Pair
from invlib.measure.accuracy import Map, normalised_accuracy
from invlib.measure.statistics import ENOUGH, by_distance, interval, overlap_free
from invlib.plots.axes import PALETTE, looks, new_axes, not_run, percent_axis
from invlib.runs import passed


def heatmap(accuracy: Map, grid: Sequence[int] | None = None, place: Pair | None = None) -> Figure:
    """An accuracy map; the trained place is marked.

    Args:
        accuracy: (rows, columns), fractions.
        grid: rows and columns of a square map in pixels; the axes count cells if not given.
        place: the trained place in pixels.
    """
    figure, ax = new_axes((3.6, 3.2))
    mesh = _map(ax, accuracy, grid, place)
    unit = "" if grid is None else " (px)"
    ax.set(xlabel=f"column of the item{unit}", ylabel=f"row of the item{unit}")
    figure.colorbar(mesh, ax=ax, label="accuracy (%)")
    return figure


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


def heatmaps(table: pd.DataFrame, grid: Sequence[int], place: Pair, column: str = "map") -> Figure:
    """Mean map over the seeds: a row for each condition, a column for each set."""
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
            maps = table[(table.condition == condition) & (table.set == name)][column]
            if len(maps):
                mesh = _map(ax, np.mean(np.stack(maps.tolist()), axis=0), grid, place)
            else:  # not measured; the row keeps its label
                ax.set_frame_on(False)
                ax.tick_params(length=0, labelleft=False, labelbottom=False)
            if row == 0:
                ax.set_title(sets[name].label, fontsize=10)
            ax.set(xticks=(grid[0], grid[-1]), yticks=(grid[0], grid[-1]))
        axes[row, 0].set_ylabel(fill(conditions[condition].label, 16), fontsize=9)
    figure.tight_layout()
    figure.colorbar(mesh, ax=axes, label="accuracy (%)", fraction=0.025, pad=0.02)
    plt.close(figure)
    return figure


def distance(table: pd.DataFrame, grid: Sequence[int], place: Pair, item: int) -> Figure:
    """Normalised accuracy against the distance from the trained place, over all sets.

    Lines are those of ``columns``; beyond the dashed line no place shares a pixel with the trained
    one.
    """

    def curve(accuracy: Map) -> tuple[NDArray[Any], NDArray[Any]]:
        return by_distance(accuracy, grid, place, item / 4)

    return _curves(table, curve, np.hypot(item, item), "distance from the trained place (px)")


def columns(table: pd.DataFrame, grid: Sequence[int], place: Pair, item: int) -> Figure:
    """Normalised accuracy by column, over all sets and the places far from the trained one.

    Far are places that share no pixel with the trained one: in its own column those above and below
    it. The line is the mean over sets of each set's mean, the band its 95 % interval over seeds; of
    fewer than ``ENOUGH`` seeds each is a thin line. The dashed line is the trained column.
    """
    far = overlap_free(grid, place, (item, item))
    some = far.any(axis=0)

    def curve(accuracy: Map) -> tuple[NDArray[Any], NDArray[Any]]:
        mean = (accuracy * far).sum(axis=0)[some] / far.sum(axis=0)[some]
        return np.asarray(grid)[some], mean

    return _curves(table, curve, place[1], "column of the item (px)")


def _curves(
    table: pd.DataFrame,
    curve: Callable[[Map], tuple[NDArray[Any], NDArray[Any]]],
    dashed: float,
    words: str,
) -> Figure:
    """A line for each condition: what ``curve`` makes of a network's normalised map."""
    figure, ax = new_axes((6.4, 3.6))
    table = passed(table)
    if not len(table):
        return not_run(figure)
    for condition, look in looks(table, "condition").items():
        rows = table[table.condition == condition]
        each = [curve(normalised_accuracy(row.map, row.classes)) for row in rows.itertuples()]
        seeds = 100 * np.stack(
            [by_seed(rows.assign(y=y), "y") for y in np.transpose([y for _, y in each])]
        )
        x, colour = each[0][0], PALETTE[look.colour]
        ax.plot(x, seeds.mean(axis=1), color=colour, label=look.label, marker=".")
        if seeds.shape[1] >= ENOUGH:
            _, low, high = np.transpose([interval(values) for values in seeds])
            ax.fill_between(x, low, high, color=colour, alpha=0.25, lw=0)
        else:
            ax.plot(x, seeds, color=colour, lw=0.6)
    ax.axvline(dashed, color="grey", ls="--", lw=1)
    percent_axis(ax)
    ax.set(xlabel=words)
    ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize=9)
    return figure


def _map(ax: Axes, accuracy: Map, grid: Sequence[int] | None, place: Pair | None) -> QuadMesh:
    rows, columns = (
        _edges(np.arange(n) if grid is None else np.asarray(grid)) for n in accuracy.shape
    )
    mesh = ax.pcolormesh(columns, rows, 100 * accuracy, cmap="cividis", vmin=0, vmax=100)
    ax.set(aspect="equal", ylim=(rows[-1], rows[0]))  # row 0 at the top
    if place is not None:
        ax.plot(place[1], place[0], "o", mfc="none", mec="white", ms=9, mew=2.5, clip_on=False)
        ax.plot(place[1], place[0], "o", mfc="none", mec="black", ms=9, mew=1, clip_on=False)
    return mesh


def _edges(axis: NDArray[Any]) -> NDArray[Any]:
    """Where cells meet: half-way, as the grid of the paper is not quite even."""
    middle = (axis[1:] + axis[:-1]) / 2
    return np.r_[1.5 * axis[0] - 0.5 * axis[1], middle, 1.5 * axis[-1] - 0.5 * axis[-2]]


def _interval(values: Any) -> tuple[float, float]:
    return interval(values)[1:] if len(values) >= ENOUGH else (np.nan, np.nan)
