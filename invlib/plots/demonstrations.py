"""Small arrays as pictures, and numbers against a shift: what a demonstration shows."""

from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import seaborn as sns
from matplotlib.figure import Figure

from invlib.measure.drawing import new_axes
from invlib.plots.axes import MARKERS, PALETTE


def pictures(rows: Mapping[str, Mapping[str, Any]], scale: str = "each") -> Figure:
    """Rows of arrays as pictures.

    Args:
        rows: words beside a row -> words above a picture -> its array or tensor; of more axes than
            two the first of those in front is drawn (one image, one channel), a vector as one line
            of cells; uint8 (height, width, 3) is drawn in its colours.
        scale: black and white are the least and largest value of ``"each"`` picture, or of the
            ``"row"``, in which black is 0 at most; 0 and 1 where all values of a picture are equal.

    Raises:
        ValueError: for what is neither a vector nor a picture, or another scale.
    """
    if scale not in ("each", "row"):
        raise ValueError(f"scale must be each or row, not {scale!r}")
    drawn = {
        words: {name: _picture(name, values) for name, values in row.items()}
        for words, row in rows.items()
    }
    columns = max(len(row) for row in drawn.values())
    # As high as the highest picture of a row, and as the words beside it and above.
    shapes = [[each.shape[:2] for each in row.values()] for row in drawn.values()]
    heights = [0.25 + max(0.75, *(1.5 * h / w for h, w in row)) for row in shapes]
    figure, axes = plt.subplots(
        len(rows), columns, figsize=(1.55 * columns, sum(heights)), squeeze=False,
        height_ratios=heights, layout="constrained",
    )  # fmt: skip
    plt.close(figure)
    for line, (words, arrays) in zip(axes, drawn.items(), strict=True):
        every = np.concatenate([[0], *(each.ravel() for each in arrays.values())])
        for ax in line[len(arrays) :]:
            ax.axis("off")
        for ax, (name, values) in zip(line, arrays.items(), strict=False):
            among = every if scale == "row" else values
            low, high = among.min(), among.max()
            if low == high:
                low, high = min(0, low), max(1, high)
            ax.imshow(values, cmap="gray", vmin=low, vmax=high)
            ax.set(xticks=[], yticks=[])
            ax.set_title(name, fontsize=9)
        line[0].set_ylabel(words, fontsize=9)
    return figure


def _picture(name: str, values: Any) -> np.ndarray:
    array = np.asarray(values)
    if array.dtype == np.uint8 and array.ndim == 3 and array.shape[2] == 3:
        return array
    array = array.astype(np.float64)
    while array.ndim > 2 and len(array):
        array = array[0]
    if array.ndim == 2:
        return array
    if array.ndim != 1:
        raise ValueError(f"expected a picture or a vector of {name!r}, found {array.shape}")
    return array[None]


def lines(
    curves: Mapping[str, Sequence[float]], x: Sequence[float], xlabel: str, ylabel: str
) -> Figure:
    """A number of each thing that is compared, against what they have in common.

    Args:
        curves: in words -> its numbers, as many as ``x``.
        x: what they are numbers of.
        xlabel: in words, with units.
        ylabel: likewise.
    """
    figure, ax = new_axes((4.6, 2.9))
    drawn = zip(curves.items(), cycle(PALETTE), cycle(MARKERS), strict=False)
    for (words, values), colour, marker in drawn:
        ax.plot(x, values, color=colour, marker=marker, ms=4.5, mfc="none", label=words)
    ax.set(xlabel=xlabel, ylabel=ylabel)
    ax.set_xticks(x)
    sns.despine(ax=ax)
    if len(curves) > 1:
        figure.legend(loc="outside upper center", ncols=3, frameon=False, fontsize=9)
    return figure
