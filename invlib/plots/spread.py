"""Means over networks with what the seeds leave open.

Of ``ENOUGH`` networks or more that is the 95 % interval; of fewer each is drawn by itself.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from numpy.typing import ArrayLike, NDArray

from invlib.measure.statistics import ENOUGH, interval
from invlib.plots.axes import PALETTE
from invlib.runs import Look, passed


def draw_bars(
    ax: Axes,
    table: pd.DataFrame,
    conditions: Mapping[str, Look],
    sets: Mapping[str, Look],
    across: bool = False,
) -> list[Artist]:
    """A bar for each set and condition; a network that failed its control is a cross.

    Args:
        ax: where.
        table: with ``condition``, ``set`` and ``percent``.
        conditions: those drawn.
        sets: those drawn, in the order of the bars.
        across: bars from left to right.

    Returns:
        What a legend shows: each condition, and each kind of mark that was drawn.
    """
    where: dict[str, Any] = {
        "x": "percent" if across else "set", "y": "set" if across else "percent",
        "order": list(sets), "hue": "condition", "hue_order": list(conditions), "ax": ax,
    }  # fmt: skip
    learnt = passed(table)
    sns.barplot(
        learnt, **where, palette={n: PALETTE[look.colour] for n, look in conditions.items()},
        errorbar=_error_bar, capsize=0.15, err_kws={"linewidth": 1, "color": "black"},
        saturation=1, legend=False,
    )  # fmt: skip
    legend: list[Artist] = []
    for i, look in enumerate(conditions.values()):
        style: Any = {"hatch": look.hatch, "edgecolor": "white", "linewidth": 0}
        legend.append(Patch(facecolor=PALETTE[look.colour], label=look.label, **style))
        for bar in ax.containers[i] if len(learnt) else ():
            bar.set(**style)
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
            legend.append(
                Line2D([], [], label=words, marker=marker, ls="", mfc="white", mec="black", mew=0.8)
            )
    return legend


def draw_pairs(ax: Axes, rows: pd.DataFrame, x: str, y: str, hue: str) -> None:
    """Two bars of means side by side, with a dot for each network, and a legend above.

    Args:
        ax: where.
        rows: a row for each dot.
        x: the column of what stands side by side along the axis, in the order it comes.
        y: that of the numbers.
        hue: that of the two kinds, likewise.
    """
    both: Any = {"data": rows, "x": x, "y": y, "hue": hue, "ax": ax}
    sns.barplot(**both, palette=PALETTE[:2], errorbar=None, saturation=1)
    sns.stripplot(
        **both, dodge=True, jitter=False, size=3.5, palette=["white"] * 2, edgecolor="black",
        linewidth=0.7, legend=False,
    )  # fmt: skip
    sns.despine(ax=ax)
    sns.move_legend(ax, "lower center", bbox_to_anchor=(0.5, 1), ncols=2, title=None, frameon=False)


def draw_curve(
    ax: Axes, x: ArrayLike, seeds: NDArray[np.float64], colour: Any, **style: Any
) -> None:
    """The mean over seeds as a line, with a band, or with a thin line for each seed.

    Args:
        ax: where.
        x: (points,).
        seeds: (points, seeds).
        colour: of it all.
        style: of the mean.
    """
    ax.plot(x, seeds.mean(axis=1), color=colour, **style)
    if seeds.shape[1] >= ENOUGH:
        _, low, high = np.transpose([interval(values) for values in seeds])
        ax.fill_between(x, low, high, color=colour, alpha=0.25, lw=0)
    else:
        ax.plot(x, seeds, color=colour, lw=0.6, ls=style.get("ls"))


def draw_means(
    ax: Axes, x: Sequence[float], seeds: Sequence[ArrayLike], colour: Any, **style: Any
) -> None:
    """The mean over seeds at each point, with an error bar, or with a dot for each seed.

    Args:
        ax: where.
        x: (points,).
        seeds: of each point its values, as many as there are.
        colour: of it all.
        style: of the means and what joins them.
    """
    values = [np.asarray(each, dtype=np.float64) for each in seeds]
    ax.plot(x, [each.mean() for each in values], color=colour, **style)
    for at, each in zip(x, values, strict=True):
        if len(each) >= ENOUGH:
            ax.plot([at, at], _error_bar(each), color=colour, lw=1)
        else:
            ax.plot(np.full(len(each), at), each, ".", color=colour, ms=4)


def _error_bar(values: Any) -> tuple[float, float]:
    return interval(values)[1:] if len(values) >= ENOUGH else (np.nan, np.nan)
