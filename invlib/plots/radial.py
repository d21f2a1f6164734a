"""How much outputs change with shifts of the image: by distance, by class, by depth."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MultipleLocator
from torch import Tensor, nn

from invlib.devices import evaluating
from invlib.measure.drawing import new_axes
from invlib.measure.maps import SensitivityMap
from invlib.measure.radial import area, curve_area, full_ring, radial_mean
from invlib.plots.axes import PALETTE, looks, not_run, show
from invlib.plots.spread import draw_curve, draw_means, draw_pairs
from invlib.runs import Look, passed

_BORDER = 6
"""Pixels of black around an image: what is shifted further is cut off, if it reaches its edge."""


def radial(table: pd.DataFrame, places: Sequence[str]) -> Figure:
    """Radial curves of cosine similarity of each condition, a panel for each place.

    Lines are means over the networks, thin ones each network; dotted where rings lie in the corners
    of the map only. The grey line is the border of the image.

    Paper: Myburgh et al. 2020, Fig. 2, 4, 5 and 6.

    Args:
        table: of the study ``kernel_size``, on all images.
        places: where, such as ``pooling 3`` and ``logits``.
    """
    table = passed(table)
    table = table[(table.metric == "cosine") & table.depth.isna() & table.place.isin(places)]
    figure, axes = _panels(len(places), 3.6, 3.3, sharey=True)
    if not len(table):
        return not_run(figure)
    named = looks(table, "condition")
    for ax, place in zip(axes, places, strict=True):
        for name, look in named.items():
            rows = table[(table.place == place) & (table.condition == name)]
            curves = [each.mean(axis=0) for each in rows.radial]
            _draw(ax, curves, PALETTE[look.colour], _styles(named)[name])
        _distance_axis(ax, place)
    axes[0].set_ylabel(_METRICS["cosine"])
    _legend(figure, named)
    return figure


def curves(maps: Mapping[str, SensitivityMap]) -> Figure:
    """Radial curves of single maps, dotted where rings lie in the corners only.

    Args:
        maps: in words -> the map; all of one metric.

    Raises:
        ValueError: when they are of several metrics, or there is none.
    """
    metrics = {each.metric for each in maps.values()}
    if len(metrics) != 1:
        found = ", ".join(sorted(metrics)) or "none"
        raise ValueError(f"expected maps of one metric, found {found}")
    figure, ax = new_axes((4.2, 3.2))
    for (words, each), colour in zip(maps.items(), cycle(PALETTE), strict=False):
        _draw(ax, [radial_mean(each)], colour, "-")
        ax.plot([], [], color=colour, label=words)
    _distance_axis(ax, "")
    ax.set_ylabel(_METRICS.get(*metrics, *metrics))
    ax.legend(frameon=False)
    return figure


def correlations(table: pd.DataFrame) -> Figure:
    """Pearson's correlation of each class's map at the logits with that of the accuracy, by metric.

    Bars are means over the networks, dots each network.

    Paper: Myburgh et al. 2020, Fig. 1.

    Args:
        table: of the study ``kernel_size``, one condition.
    """
    table = passed(table)
    table = table[(table.place == "logits") & table.depth.isna() & table.pearson.notna()]
    figure, ax = new_axes((6.4, 3.2))
    if not len(table):
        return not_run(figure)
    rows = pd.DataFrame(
        {"class": label, "metric": _METRICS[metric], "r": value}
        for metric, found in zip(table.metric, table.pearson, strict=True)
        for label, value in enumerate(found)
    )
    draw_pairs(ax, rows, "class", "r", "metric")
    ax.axhline(0.8, color="grey", lw=0.8, ls=":")
    ax.set(ylabel="correlation with\nthe accuracy", ylim=(min(0, rows.r.min()), 1.03))
    return figure


_METRICS = {"cosine": "cosine similarity", "euclidean": "Euclidean distance"}


def class_maps(maps: Any, names: Sequence[str]) -> Figure:
    """The sensitivity map of each class by cosine similarity, on one scale.

    Args:
        maps: (classes, 2 s + 1, 2 s + 1).
        names: of the classes.
    """
    values = np.asarray(maps)
    reach = values.shape[-1] // 2 + 0.5
    figure, axes = plt.subplots(
        -(-len(values) // 5), 5, figsize=(8, 3.6), squeeze=False, sharex=True, sharey=True,
        layout="constrained",
    )  # fmt: skip
    plt.close(figure)
    for ax, each, name in zip(axes.flat, values, names, strict=False):
        image = ax.imshow(
            each, cmap="cividis", vmin=min(0, values.min()), vmax=1,
            extent=(-reach, reach, reach, -reach),
        )  # fmt: skip
        ax.set_title(name, fontsize=10)
    figure.colorbar(image, ax=axes, label="cosine similarity")
    figure.supxlabel("shift to the right (px)", fontsize=10)
    figure.supylabel("shift down (px)", fontsize=10)
    return figure


def feature_maps(layer: nn.Module, images: Mapping[str, Tensor], channels: int = 3) -> Figure:
    """Images beside the first maps that a layer makes of them; each channel on one scale.

    Paper: Myburgh et al. 2020, Fig. 3.

    Args:
        layer: from images (1, channels, height, width) to maps.
        images: in words -> one image as the layer takes it.
        channels: how many maps.
    """
    with torch.inference_mode(), evaluating(layer):
        maps = {words: layer(image)[0, :channels] for words, image in images.items()}
    figure, axes = plt.subplots(
        len(images), 1 + channels, figsize=(1.7 * (1 + channels), 1.7 * len(images)),
        squeeze=False, layout="constrained",
    )  # fmt: skip
    plt.close(figure)
    for row, (words, image) in zip(axes, images.items(), strict=True):
        show(row[0], image[0])
        row[0].set_ylabel(words)
        for channel, ax in enumerate(row[1:]):
            most = max(float(each[channel].max()) for each in maps.values())
            ax.imshow(maps[words][channel].numpy(), cmap="cividis", vmin=0, vmax=most or 1)
            ax.set(xticks=[], yticks=[])
    for channel, ax in enumerate(axes[0, 1:]):
        ax.set_title(f"map {channel + 1}", fontsize=10)
    return figure


def depth(panels: Mapping[str, pd.DataFrame]) -> Figure:
    """Area under the radial curve behind every layer, from the image to the answer.

    Marks are means over the networks, dots each network.

    Args:
        panels: above a panel -> measurements of the study ``kernel_size``, its conditions.
    """
    behind = {
        words: table[table.depth.notna() & (table.metric == "cosine")]
        for words, table in ((words, passed(table)) for words, table in panels.items())
    }
    figure, axes = plt.subplots(
        len(panels), 1, figsize=(7.2, 1.2 + 3.2 * len(panels)), squeeze=False, sharex=True,
        layout="constrained",
    )  # fmt: skip
    plt.close(figure)
    every = pd.concat(behind.values())
    if not len(every):
        return not_run(figure)
    layers = list(dict.fromkeys(every.sort_values("depth").place))
    every.attrs = next(iter(panels.values())).attrs
    looked = {look.label: look for look in looks(every, "condition").values()}
    styles = _styles(looked)
    for ax, (words, table) in zip(axes[:, 0], behind.items(), strict=True):
        ax.set_title(words, fontsize=10)
        if not len(table):
            ax.text(0.5, 0.5, "not run here", ha="center", va="center", transform=ax.transAxes)
        for name, look in looks(table, "condition").items():
            rows = table[table.condition == name]
            there = [layer for layer in layers if (rows.place == layer).any()]
            areas = [
                [curve_area(each[0]) for each in rows[rows.place == layer].radial]
                for layer in there
            ]
            draw_means(
                ax, [layers.index(each) for each in there], areas, PALETTE[look.colour],
                ls=styles[look.label], marker="o", ms=4, lw=1.4,
            )  # fmt: skip
        ax.set(ylabel="area under the radial curve\n1 = invariant", ylim=(None, 1.03))
        ax.set_xticks(range(len(layers)), layers, rotation=45, ha="right")
        sns.despine(ax=ax)
    _legend(figure, looked)
    return figure


def alignment(table: pd.DataFrame) -> Figure:
    """What a shift does to the last maps: similarity as they are and after they are moved back.

    Beside it by how many cells the maps that come nearest are moved. Lines are means over the
    networks, thin ones each network.

    Args:
        table: of the study ``kernel_size``, conditions with padding.
    """
    table = passed(table)
    table = table[(table.place == "pooling 3") & table.depth.notna()]
    figure, axes = _panels(2, 3.6, 3.3)
    moved = table[table.metric == "aligned"]
    if not len(moved):
        return not_run(figure)
    named = looks(table, "condition")
    for name, look in named.items():
        colour = PALETTE[look.colour]
        for metric, line in (("cosine", "--"), ("aligned", "-")):
            rows = table[(table.condition == name) & (table.metric == metric)]
            _draw(axes[0], [each[0] for each in rows.radial], colour, line)
        cells = np.stack(moved[moved.condition == name].cells.to_list()).mean(axis=1).T
        shifts = np.arange(len(cells)) - len(cells) // 2
        draw_curve(axes[1], shifts, cells, colour)
    axes[1].plot(shifts, shifts / 8, color="black", lw=0.8, ls=":")
    _distance_axis(axes[0], "last pooling: moved (solid), as it is (dashed)")
    axes[0].set_ylabel("cosine similarity")
    axes[1].set(xlabel="shift of the image (px)", ylabel="shift of the maps (cells)")
    axes[1].set_title("dotted: a cell for 8 px", fontsize=10)
    sns.despine(ax=axes[1])
    _legend(figure, named)
    return figure


def controls(table: pd.DataFrame, groups: Mapping[str, Sequence[str]]) -> Figure:
    """Area under the radial curve behind the last pooling and at the logits, group by group.

    Marks are means over the networks, dots each network.

    Args:
        table: of the study ``kernel_size``, on all images.
        groups: what is changed -> its conditions, in the order they are drawn.
    """
    table = passed(table)
    table = table[table.depth.isna() & (table.metric == "cosine")]
    places = ("pooling 3", "logits")
    figure, axes = _panels(2, 3.9, 3.8, sharey=True)
    if not len(table):
        return not_run(figure)
    named = looks(table, "condition")
    colours = {}
    for ax, place in zip(axes, places, strict=True):
        at = table[table.place == place]
        at = at.assign(area=[float(area(values)) for values in at["map"]])
        for x, conditions in enumerate(groups.values()):
            for i, name in enumerate(each for each in conditions if each in named):
                colour = PALETTE[named[name].colour]
                colours[name.split("mnist-")[-1][:2]] = colour
                values = at[at.condition == name].area
                draw_means(ax, [x + 0.2 * (i - 1)], [values], colour, marker="o", ms=6, mfc="none")
        ax.set_title(place, fontsize=10)
        ax.set_xticks(range(len(groups)), list(groups), rotation=35, ha="right")
        sns.despine(ax=ax)
    axes[0].set_ylabel("area under the radial curve\n1 = invariant")
    handles = [
        Line2D([], [], color=colour, marker="o", ls="", mfc="none", label=f"k = {name[1:]}")
        for name, colour in sorted(colours.items(), reverse=True)
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False)
    return figure


def dimensions(table: pd.DataFrame) -> Figure:
    """Cosine similarity and distance of random pairs against the number of dimensions.

    Lines are means over the seeds; the band is one standard deviation over pairs.

    Args:
        table: of the study ``dimensions``.
    """
    figure, axes = _panels(2, 3.4, 3.2)
    if not len(table):
        return not_run(figure)
    named = looks(table, "condition")
    for name, look in named.items():
        means = table[table.condition == name].groupby("dimension").mean(numeric_only=True)
        x, colour = means.index, PALETTE[look.colour]
        axes[0].plot(x, means.cosine, color=colour, marker="o", ms=4)
        low, high = means.cosine - means.spread, means.cosine + means.spread
        axes[0].fill_between(x, low, high, color=colour, alpha=0.25, lw=0)
        axes[1].plot(x, means.distance, color=colour, marker="o", ms=4)
    for ax, words in zip(axes, ("cosine similarity", "Euclidean distance"), strict=True):
        ax.set(xscale="log", xlabel="dimensions", ylabel=words)
        sns.despine(ax=ax)
    axes[1].set_yscale("log")
    handles = [
        Line2D([], [], color=PALETTE[look.colour], label=look.label) for look in named.values()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False)
    return figure


def _panels(
    count: int, width: float, height: float, sharey: bool = False
) -> tuple[Figure, Sequence[Axes]]:
    figure, axes = plt.subplots(
        1, count, figsize=(width * count, height), squeeze=False, sharey=sharey,
        layout="constrained",
    )  # fmt: skip
    plt.close(figure)
    return figure, axes[0]


def _draw(ax: Axes, curves: Sequence[Any], colour: Any, line: str) -> None:
    """Radial curves of some networks; rings beyond the last full one are dotted."""
    seeds = np.transpose(curves)
    full = full_ring(seeds.T)
    draw_curve(ax, np.arange(full + 1), seeds[: full + 1], colour, ls=line)
    ax.plot(np.arange(full, len(seeds)), seeds[full:].mean(axis=1), color=colour, ls=":", lw=1)


def _distance_axis(ax: Axes, title: str) -> None:
    ax.axvline(_BORDER, color="grey", lw=0.8)
    ax.set(xlabel="distance of the shift (px)")
    ax.xaxis.set_major_locator(MultipleLocator(2))
    ax.set_title(title, fontsize=10)
    sns.despine(ax=ax)


def _styles(named: Mapping[str, Look]) -> dict[str, str]:
    """The line of each: solid, and others where a colour is there already."""
    colours = [look.colour for look in named.values()]
    return {
        name: ("-", "--", "-.", ":")[colours[:i].count(look.colour) % 4]
        for i, (name, look) in enumerate(named.items())
    }


def _legend(figure: Figure, named: Mapping[str, Look]) -> None:
    handles = [
        Line2D([], [], color=PALETTE[look.colour], ls=_styles(named)[name], label=look.label)
        for name, look in named.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, fontsize=9)
