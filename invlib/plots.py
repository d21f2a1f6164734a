"""Every figure of the book. Accuracies are drawn in percent on the same scale throughout."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from invlib.data.canvas import Canvas, Pair
from invlib.data.items import ItemSet
from invlib.measure.accuracy import Map
from invlib.measure.statistics import by_distance, interval

if TYPE_CHECKING:
    import pandas as pd

CONDITIONS = {
    "vanilla": "vanilla",
    "natural-places": "CIFAR-10 at random places (stand-in)",
    "natural-crops": "CIFAR-10 in random crops (stand-in)",
    "imagenet": "ImageNet",
    "vanilla-flat": "vanilla, flattened head",
    "imagenet-flat": "ImageNet, flattened head",
}
"""The conditions in words, in the order they are drawn."""
SETS = {
    "emnist_letters": "EMNIST",
    "fashion_mnist": "Fashion-MNIST",
    "kmnist": "KMNIST",
    "mnist": "MNIST",
    "objects10": "objects10",
    "objects2": "objects2",
    "glyphs": "glyphs",
}
"""The sets in words, from complex to simple."""
_PALETTE = sns.color_palette("colorblind")
COLOURS = dict(zip(CONDITIONS, (_PALETTE[i] for i in (7, 0, 1, 2, 5, 4)), strict=True))
"""A condition has the same colour in every chapter."""
HATCHES = dict(zip(CONDITIONS, ("", "//", "..", "\\\\", "xx", "++"), strict=True))


def heatmap(
    accuracy: Map,
    grid: Sequence[int] | None = None,
    place: Pair | None = None,
    ax: Axes | None = None,
) -> Figure:
    """An accuracy map; the trained place is marked.

    Args:
        accuracy: (rows, columns), fractions.
        grid: rows and columns of a square map in pixels; the axes count cells if not given.
        place: the trained place in pixels.
        ax: where to draw; a new figure if not given.
    """
    figure, ax = _axes(ax, (3.6, 3.2))
    rows, columns = (
        _edges(np.arange(n) if grid is None else np.asarray(grid)) for n in accuracy.shape
    )
    mesh = ax.pcolormesh(columns, rows, 100 * accuracy, cmap="cividis", vmin=0, vmax=100)
    ax.set(aspect="equal", ylim=(rows[-1], rows[0]))  # row 0 at the top
    if place is not None:
        ax.plot(place[1], place[0], "o", mfc="none", mec="white", ms=9, mew=2.5, clip_on=False)
        ax.plot(place[1], place[0], "o", mfc="none", mec="black", ms=9, mew=1, clip_on=False)
    if figure.axes == [ax]:
        unit = "" if grid is None else " (px)"
        ax.set(xlabel=f"column of the item{unit}", ylabel=f"row of the item{unit}")
        figure.colorbar(mesh, ax=ax, label="accuracy (%)")
    return figure


def stimuli(canvas: Canvas, sets: Sequence[ItemSet], seed: int = 0) -> Figure:
    """One item of each set at the trained place and, below, fully translated.

    The dashed frame is the item; its top-left pixel is the place.
    """
    figure, axes = plt.subplots(2, len(sets), figsize=(1.7 * len(sets), 3.9), squeeze=False)
    generator = torch.Generator().manual_seed(seed)
    rows = (canvas.one_location(), canvas.fully_translated())
    for column, items in enumerate(sets):
        items = canvas.prepare(items)
        for row, placement in enumerate(rows):
            place = placement.places(items.labels[:1], generator)
            picture = canvas.render(items.images[:1], place)[0]
            _show(axes[row, column], picture)
            corner = place[0].tolist()[::-1]
            axes[row, column].add_patch(
                Rectangle(
                    (corner[0] - 0.5, corner[1] - 0.5), canvas.item[1], canvas.item[0],
                    fill=False, ec=_PALETTE[1], ls="--", lw=1.2,
                )
            )  # fmt: skip
            axes[row, column].set_xlabel(f"({corner[1]}, {corner[0]})", fontsize=9)
        axes[0, column].set_title(SETS.get(items.name, items.name), fontsize=10)
    for row, name in enumerate(("one location", "fully translated")):
        axes[row, 0].set_ylabel(name)
    return _done(figure)


def augmentations(
    augmentations: dict[str, Any], pictures: ItemSet, columns: int = 8, seed: int = 0
) -> Figure:
    """The same pictures under each augmentation, one row each.

    Args:
        augmentations: by the words that stand beside the row.
        pictures: the first ``columns`` of them are drawn.
        columns: how many.
        seed: of the augmentations.
    """
    figure, axes = plt.subplots(
        len(augmentations), columns, figsize=(1.15 * columns, 1.35 * len(augmentations)),
        squeeze=False,
    )  # fmt: skip
    images, labels = pictures.images[:columns], pictures.labels[:columns]
    for row, (name, augmentation) in enumerate(augmentations.items()):
        drawn = augmentation.draw(images, labels, torch.Generator().manual_seed(seed))
        for column, picture in enumerate(drawn):
            _show(axes[row, column], picture)
        axes[row, 0].set_ylabel(name, fontsize=9)
    return _done(figure)


def bars(table: "pd.DataFrame", column: str = "canvas", ax: Axes | None = None) -> Figure:
    """Normalised accuracy of each set and condition: mean and 95 % interval over the seeds.

    Args:
        table: of a study, from ``results.table``; runs that failed their control are left out.
        column: ``canvas``, ``far``, or either with ``_held_out``.
        ax: where to draw; a new figure if not given.
    """
    figure, ax = _axes(ax, (9, 3.6))
    passed = table[~table.failed]
    if not len(passed):
        return _not_run(figure)
    conditions = [c for c in CONDITIONS if c in set(passed.condition)]
    sns.barplot(
        passed.assign(percent=100 * passed[column].astype(float)),
        x="set", y="percent", hue="condition", hue_order=conditions, palette=COLOURS,
        order=[s for s in SETS if s in set(passed.set)], errorbar=_interval, capsize=0.15,
        err_kws={"linewidth": 1, "color": "black"}, ax=ax,
    )  # fmt: skip
    for container, name in zip(ax.containers[: len(conditions)], conditions, strict=True):
        for bar in container:
            bar.set(hatch=HATCHES[name], edgecolor="white", linewidth=0)
    _percent_axis(ax)
    ax.set_xticks(ax.get_xticks(), [SETS[t.get_text()] for t in ax.get_xticklabels()])
    ax.set(xlabel="")
    handles, _ = ax.get_legend_handles_labels()
    ax.legend(
        handles, [CONDITIONS[c] for c in conditions], loc="lower center", ncols=3, frameon=False,
        bbox_to_anchor=(0.5, 1.0),
    )  # fmt: skip
    return _done(figure)


def heatmaps(
    table: "pd.DataFrame", grid: Sequence[int], place: Pair, column: str = "map"
) -> Figure:
    """Mean map over the seeds: a row for each condition, a column for each set."""
    passed = table[~table.failed & table[column].notna()]
    if not len(passed):
        return _not_run(_axes(None, (9, 2))[0])
    conditions = [c for c in CONDITIONS if c in set(passed.condition)]
    sets = [s for s in SETS if s in set(passed.set)]
    figure, axes = plt.subplots(
        len(conditions), len(sets), figsize=(1.45 * len(sets) + 1.6, 1.5 * len(conditions) + 0.6),
        squeeze=False, sharex=True, sharey=True,
    )  # fmt: skip
    for row, condition in enumerate(conditions):
        for i, name in enumerate(sets):
            ax = axes[row, i]
            maps = passed[(passed.condition == condition) & (passed.set == name)][column]
            if len(maps):
                heatmap(np.mean(np.stack(maps.tolist()), axis=0), grid, place, ax)
            else:  # not measured; the row keeps its label
                ax.set_frame_on(False)
                ax.tick_params(length=0, labelleft=False, labelbottom=False)
            if row == 0:
                ax.set_title(SETS[name], fontsize=10)
            ax.set(xticks=(grid[0], grid[-1]), yticks=(grid[0], grid[-1]))
        axes[row, 0].set_ylabel(_broken(CONDITIONS[condition]), fontsize=9)
    figure.tight_layout()
    mesh = next(c for ax in axes.flat for c in ax.collections)
    figure.colorbar(mesh, ax=axes, label="accuracy (%)", fraction=0.025, pad=0.02)
    plt.close(figure)
    return figure


def distance(
    table: "pd.DataFrame", grid: Sequence[int], place: Pair, item: int, ax: Axes | None = None
) -> Figure:
    """Normalised accuracy against the distance from the trained place, over all sets.

    The line is the mean over seeds of the mean over sets, the band its 95 % interval; beyond the
    dashed line no place shares a pixel with the trained one.
    """
    figure, ax = _axes(ax, (6.4, 3.6))
    passed = table[~table.failed]
    if not len(passed):
        return _not_run(figure)
    for condition in (c for c in CONDITIONS if c in set(passed.condition)):
        curves = []
        for _, rows in passed[passed.condition == condition].groupby("seed"):
            each = [
                by_distance((row.map - 1 / row.classes) / (1 - 1 / row.classes), grid, place,
                            item / 4)
                for row in rows.itertuples()
            ]  # fmt: skip
            curves.append(np.mean([accuracy for _, accuracy in each], axis=0))
        mean, low, high = 100 * np.transpose([interval(v) for v in np.transpose(curves)])
        x = each[0][0]
        ax.plot(x, mean, color=COLOURS[condition], label=CONDITIONS[condition], marker=".")
        ax.fill_between(x, low, high, color=COLOURS[condition], alpha=0.25, lw=0)
    ax.axvline(np.hypot(item, item), color="grey", ls="--", lw=1)
    _percent_axis(ax)
    ax.set(xlabel="distance from the trained place (px)")
    ax.legend(frameon=False, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=3, fontsize=9)
    return _done(figure)


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
    return _done(figure)


def seconds(measured: Mapping[str, float]) -> Figure:
    """How long each way took: one bar each, by the words beside it."""
    figure, ax = _axes(None, (6.4, 0.5 + 0.45 * len(measured)))
    ax.barh(list(measured), list(measured.values()), color=_PALETTE[0], height=0.6)
    ax.invert_yaxis()
    ax.set(xlabel="seconds")
    sns.despine(ax=ax)
    return figure


def savings(table: "pd.DataFrame") -> Figure:
    """Time against the number of places, and what is saved against the size of the items.

    Args:
        table: of the study ``shortcuts``.
    """
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    if not len(table):
        plt.close(figure)
        return _not_run(figure)
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
    plt.close(figure)
    return figure


def _marked(ax: Axes, rows: "pd.DataFrame", x: Any, y: Any, marker: str, words: str) -> Line2D:
    """A line of times under ``auto``; its marks are hollow where the path taken was plain."""
    (line,) = ax.plot(x, y, marker=marker, label=words)
    plain = rows.exact_path == "plain"
    ax.plot(x[plain], y[plain], ls="", marker=marker, mfc="white", color=line.get_color())
    return line


def similarity(values: Map, label: str = "cosine similarity") -> Figure:
    """A sensitivity map: similarity for each shift in pixels, on a scale from 0 to 1.

    Args:
        values: (rows, columns), shifts down and to the right rising, no shift in the middle.
        label: of the colour bar.
    """
    figure, ax = _axes(None, (3.6, 3.2))
    reach = values.shape[0] // 2 + 0.5
    image = ax.imshow(values, cmap="cividis", vmin=0, vmax=1, extent=(-reach, reach, reach, -reach))
    ax.set(xlabel="shift to the right (px)", ylabel="shift down (px)")
    figure.colorbar(image, ax=ax, label=label)
    return figure


def _edges(axis: NDArray[Any]) -> NDArray[Any]:
    """Where cells meet: half-way, as the grid of the paper is not quite even."""
    middle = (axis[1:] + axis[:-1]) / 2
    return np.r_[1.5 * axis[0] - 0.5 * axis[1], middle, 1.5 * axis[-1] - 0.5 * axis[-2]]


def _not_run(figure: Figure) -> Figure:
    for ax in figure.axes:
        ax.axis("off")
        ax.text(0.5, 0.5, "not run here", ha="center", va="center", transform=ax.transAxes)
    return figure


def _interval(values: Any) -> tuple[float, float]:
    return interval(values)[1:]


def _percent_axis(ax: Axes) -> None:
    ax.axhline(0, color="black", lw=1)
    ax.axhline(100, color="grey", lw=0.5)
    ax.set(
        # The interval of two values reaches far; it may leave the figure, the bars may not.
        ylim=(max(-40, min(-15, ax.get_ylim()[0])), 108),
        ylabel="normalised accuracy (%)\n0 = chance, 100 = perfect",
    )
    sns.despine(ax=ax)


def _axes(ax: Axes | None, size: tuple[float, float]) -> tuple[Figure, Axes]:
    if ax is not None:
        figure = ax.get_figure()
        assert isinstance(figure, Figure)
        return figure, ax
    figure, ax = plt.subplots(figsize=size, layout="constrained")
    # Closed at once: a returned figure is shown by the notebook, and once only.
    plt.close(figure)
    return figure, ax


def _show(ax: Axes, picture: torch.Tensor) -> None:
    shown = picture.clamp(0, 1).permute(1, 2, 0).numpy()
    ax.imshow(shown if shown.shape[2] == 3 else shown[:, :, 0], cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])


def _broken(words: str) -> str:
    middle = words.find(" ", len(words) // 2 - 2)
    return words if len(words) < 16 or middle < 0 else f"{words[:middle]}\n{words[middle + 1 :]}"


def _done(figure: Figure) -> Figure:
    if figure.get_layout_engine() is None:
        figure.tight_layout()
    plt.close(figure)
    return figure
