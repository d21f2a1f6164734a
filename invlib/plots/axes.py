"""Axes, and how what stands in a table is called and drawn."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import seaborn as sns
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from invlib.runs import Look

PALETTE = sns.color_palette("colorblind")
MARKERS = "os^DvP*X<>"
_HATCHES = ("", "//", "..", "\\\\", "xx", "++")


def looks(table: pd.DataFrame, column: str) -> dict[str, Look]:
    """How what stands in a column is called and drawn, in the order it is drawn.

    Args:
        table: its study's looks are in its ``attrs``, see ``runs.table``. What has none is called
            by its name, in a colour that no other has, and stands after the others, as it comes.
        column: ``condition`` or ``set``.
    """
    known = dict(table.attrs.get("looks", {}))
    present = dict.fromkeys(table[column])
    for name in present:
        if name not in known:
            # What nothing else has, or else the least.
            colour = min(range(len(PALETTE)), key=[each.colour for each in known.values()].count)
            hatch = min(_HATCHES, key=[each.hatch for each in known.values()].count)
            known[name] = Look(str(name), colour, hatch)
    return {name: look for name, look in known.items() if name in present}


def colours(looks: Mapping[str, Look]) -> dict[str, Any]:
    """A colour for each: its own, or by their order where two would have the same."""
    own = [look.colour for look in looks.values()]
    chosen = own if len(set(own)) == len(own) else range(len(own))
    return {name: PALETTE[i % len(PALETTE)] for name, i in zip(looks, chosen, strict=True)}


def not_run(figure: Figure) -> Figure:
    """Say on a figure that there is nothing to draw."""
    for ax in figure.axes:
        ax.axis("off")
        ax.text(0.5, 0.5, "not run here", ha="center", va="center", transform=ax.transAxes)
    return figure


def percent_axis(ax: Axes, across: bool = False) -> None:
    """Normalised accuracy in percent, on the same scale throughout; upwards, or to the right."""
    line, name = (ax.axvline, "x") if across else (ax.axhline, "y")
    line(0, color="black", lw=1)
    line(100, color="grey", lw=0.5)
    # An interval or a single network may leave the figure, the bars may not.
    low = max(-40, min(-15, (ax.get_xlim() if across else ax.get_ylim())[0]))
    words = "normalised accuracy (%)\n0 = chance, 100 = perfect"
    ax.set(**{f"{name}lim": (low, 108), f"{name}label": words})
    sns.despine(ax=ax)


def show(ax: Axes, picture: torch.Tensor) -> None:
    """A picture in shades of grey, or in colours where it has three channels."""
    shown = picture.clamp(0, 1).permute(1, 2, 0).numpy()
    ax.imshow(shown if shown.shape[2] == 3 else shown[:, :, 0], cmap="gray", vmin=0, vmax=1)
    ax.set(xticks=[], yticks=[])


def done(figure: Figure) -> Figure:
    """The figure, laid out and closed: the notebook shows what a cell returns."""
    figure.tight_layout()
    plt.close(figure)
    return figure
