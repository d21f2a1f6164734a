"""How much a network has to see before it is taught: how many images, how much of the canvas."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from invlib.measure.drawing import draw_places, new_axes
from invlib.plots.axes import MARKERS, colours, looks, not_run, percent_axis
from invlib.plots.spread import draw_means
from invlib.runs import passed


def diversity(
    table: pd.DataFrame, images: Mapping[str, Mapping[str, int]], column: str = "canvas"
) -> Figure:
    """Normalised accuracy against the number of different images pretrained on.

    Colours are the sets taught, shapes what networks were pretrained on; marks are means over
    networks, hollow where the set taught is the one pretrained on. ``ENOUGH`` networks have the
    95 % interval of their mean, of fewer each is a dot.

    Args:
        table: of a study, from ``runs.table``.
        images: what was pretrained on, called as the set is where it is one that is taught -> its
            conditions -> the number of different images. The points of each are joined.
        column: as for ``bars``.
    """
    figure, ax = new_axes((6.4, 4.6))
    table = passed(table)
    if not len(table):
        return not_run(figure)
    sets = looks(table, "set")
    palette = colours(sets)
    for name, colour in palette.items():
        taught = table[table.set == name]
        for marker, (words, conditions) in zip(MARKERS, images.items(), strict=False):
            values = {
                number: 100 * taught[taught.condition == condition][column].astype(float)
                for condition, number in conditions.items()
            }
            values = {number: each for number, each in sorted(values.items()) if len(each)}
            draw_means(
                ax, list(values), list(values.values()), colour, marker=marker,
                mfc="white" if words == sets[name].label else colour,
            )  # fmt: skip
    ax.set(xscale="log", xlabel="number of different images pretrained on")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter("")
    percent_axis(ax)
    handles = [
        Line2D([], [], color="black", marker=marker, ls="", label=f"pretrained on {words}")
        for marker, words in zip(MARKERS, images, strict=False)
    ]
    handles += [
        Line2D([], [], color=palette[name], label=f"taught {look.label}")
        for name, look in sets.items()
    ]
    ax.legend(
        handles=handles, loc="lower center", ncols=2, frameon=False, bbox_to_anchor=(0.5, 1.0),
        fontsize=9,
    )  # fmt: skip
    return figure


def coverage(table: pd.DataFrame, areas: Mapping[str, int]) -> Figure:
    """Normalised accuracy against the number of areas in which each letter appeared.

    Of the letters in the areas where they appeared and elsewhere, and of each set taught
    afterwards over the whole canvas. Means, intervals and dots are those of ``diversity``.

    Args:
        table: of the study ``sanity_check``.
        areas: condition -> the number of areas.
    """
    figure, ax = new_axes((6.4, 4.2))
    table = passed(table)
    if not len(table):
        return not_run(figure)
    table = table.assign(areas=table.condition.map(areas))
    letters, taught = table[table.own.notna()], table[table.own.isna()]
    sets = looks(taught, "set")
    curves: list[Any] = [
        (letters, "own", "the letters, where they appeared", "black", "--"),
        (letters, "elsewhere", "the letters, elsewhere", "black", "-"),
    ]
    for name, colour in colours(sets).items():
        words = f"taught {sets[name].label}, whole canvas"
        curves.append((taught[taught.set == name], "canvas", words, colour, "-"))
    for marker, (rows, column, words, colour, style) in zip(MARKERS, curves, strict=False):
        values = rows.dropna(subset=[column]).groupby("areas")[column]
        draw_means(
            ax, list(values.groups), [100 * each for _, each in values], colour, marker=marker,
            ls=style, label=words,
        )  # fmt: skip
    percent_axis(ax)
    ax.set(xticks=sorted(areas.values()), xlabel="areas in which each letter appeared")
    ax.legend(loc="lower center", ncols=2, frameon=False, bbox_to_anchor=(0.5, 1.0), fontsize=9)
    return figure


def areas(table: pd.DataFrame) -> Figure:
    """Mean map over the seeds of the letters whose own area is the same: a panel for each area.

    Panels lie as the areas do; the own one is framed.

    Paper: Biscione & Bowers 2020, Fig. 5.

    Args:
        table: of the study ``sanity_check``, one condition.
    """
    table = passed(table)
    table = table[table.areas.notna()]
    if not len(table):
        return not_run(new_axes((6, 2))[0])
    one, panels = table["map"].iloc[0], np.mean(table.areas.tolist(), axis=0)
    across = round(len(panels) ** 0.5)
    # The grid reaches the last place where an item fits.
    height, width = ((axis[-1] + 1) // across for axis in (one.rows, one.columns))
    figure, axes = plt.subplots(
        across, across, figsize=(5.6, 5), squeeze=False, sharex=True, sharey=True,
        layout="constrained",
    )  # fmt: skip
    plt.close(figure)
    for area, ax in enumerate(axes.flat):
        mesh = draw_places(ax, replace(one, values=panels[area]))
        corner = (area % across * width - 0.5, area // across * height - 0.5)
        for colour, line in (("white", 3), ("black", 1.2)):
            frame: Any = {"ec": colour, "lw": line, "fill": False, "clip_on": False}
            ax.add_patch(Rectangle(corner, width, height, **frame))
    figure.supxlabel("column of the item (px)", fontsize=10)
    figure.supylabel("row of the item (px)", fontsize=10)
    figure.colorbar(mesh, ax=axes, label="accuracy (%)")
    return figure
