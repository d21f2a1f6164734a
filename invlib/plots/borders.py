"""What borders leak: by padding, by distance from the border, by the number of images."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from invlib.measure.drawing import new_axes
from invlib.plots.axes import PALETTE, looks, not_run
from invlib.plots.spread import draw_means, draw_pairs


def by_padding(table: pd.DataFrame) -> Figure:
    """Accuracy of Red-Green on similar and on dissimilar places, by padding; dots are networks.

    Paper: Kayhan & van Gemert 2020, table 1.

    Args:
        table: of the study ``borders``, of one split.
    """
    figure, ax = new_axes((5.6, 3.3))
    if not len(table):
        return not_run(figure)
    named = looks(table, "condition")
    labels = {name: look.label for name, look in named.items()}
    padding = pd.Categorical(table.condition.map(labels), list(labels.values()))
    rows = table.assign(percent=100 * table.accuracy, padding=padding)
    draw_pairs(ax, rows, "padding", "percent", "set")
    _chance(ax)
    ax.set_xlabel("")
    return figure


def by_border(table: pd.DataFrame) -> Figure:
    """Accuracy of telling the place against the border, and where each receptive field ends.

    Marks are means over the networks, dots each network; the dashed lines of the same colour are
    the receptive fields, where one is within the figure.

    Paper: Kayhan & van Gemert 2020, Fig. 4.

    Args:
        table: of the study ``quadrant``.
    """
    figure, ax = new_axes((6.2, 3.6))
    if not len(table):
        return not_run(figure)
    named = looks(table, "condition")
    borders = sorted(table.border.unique())
    for i, (name, look) in enumerate(named.items()):
        own, colour = table[table.condition == name], PALETTE[look.colour]
        values = [100 * own[own.border == each].accuracy for each in borders]
        draw_means(
            ax, [x + 0.04 * i for x in range(len(borders))], values, colour, mfc="none", lw=1.4,
            marker="os^D"[i % 4], ms=5, label=f"{look.label}, sees {own.field.iloc[0]} px",
        )  # fmt: skip
        field = int(own.field.iloc[0])
        if field <= borders[-1]:  # between two borders, as far as its number lies
            at = np.interp(field, borders, range(len(borders)))
            ax.axvline(at, color=colour, ls="--", lw=1)
    ax.set_xticks(range(len(borders)), [str(each) for each in borders])
    _chance(ax)
    ax.set_xlabel("border (px); dashed: receptive field")
    ax.legend(frameon=False, fontsize=9)
    return figure


def by_filter(table: pd.DataFrame) -> Figure:
    """Share of random filters that tell the two corners apart, against the border.

    Args:
        table: of the study ``rook``.
    """
    figure, ax = new_axes((4.6, 3))
    if not len(table):
        return not_run(figure)
    for (name, look), marker in zip(looks(table, "condition").items(), "os^", strict=False):
        own = table[table.condition == name]
        borders = sorted(own.border.unique())
        draw_means(
            ax, borders, [100 * own[own.border == each].apart for each in borders],
            PALETTE[look.colour], marker=marker, ms=5, mfc="none", label=look.label,
        )  # fmt: skip
    ax.set(xlabel="border (px)", ylabel="filters that tell\nthe corners apart (%)", xticks=borders)
    sns.despine(ax=ax)
    ax.legend(frameon=False, fontsize=9)
    return figure


def by_images(differences: Mapping[str, pd.DataFrame]) -> Figure:
    """Accuracy gained by full convolution over same, by images of each class.

    Args:
        differences: set in words -> seeds by images per class, a fraction.
    """
    figure, ax = new_axes((4.6, 3))
    if not any(len(each) for each in differences.values()):
        return not_run(figure)
    for i, (words, gained) in enumerate(differences.items()):
        sizes = [str(size) for size in gained]
        draw_means(
            ax, [x + 0.08 * i for x in range(len(sizes))], [100 * gained[size] for size in gained],
            PALETTE[i], marker="os"[i % 2], ms=5, mfc="none", label=words,
        )  # fmt: skip
    ax.set_xticks(range(len(sizes)), sizes)
    ax.axhline(0, color="black", lw=0.8)
    ax.set(xlabel="images of each class", ylabel="full less same\n(percentage points)")
    sns.despine(ax=ax)
    ax.legend(frameon=False, fontsize=9)
    return figure


def _chance(ax: Axes) -> None:
    ax.axhline(50, color="grey", lw=0.8, ls=":")
    ax.set(ylabel="accuracy (%)", ylim=(0, 103))
    sns.despine(ax=ax)
