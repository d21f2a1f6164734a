"""What a layer makes of displaced items, before a network is taught and after."""

from textwrap import fill
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import seaborn as sns
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from invlib.measure.drawing import new_axes
from invlib.measure.maps import Values
from invlib.plots.axes import MARKERS, PALETTE, colours, looks, not_run, percent_axis
from invlib.plots.spread import draw_curve
from invlib.runs import passed

_TIMES = {"untrained": PALETTE[7], "before teaching": PALETTE[0], "after teaching": PALETTE[1]}


def cosines(table: pd.DataFrame, untrained: pd.DataFrame, layer: str = "classifier.4") -> Figure:
    """Cosine similarity against displacement: a row for each condition, a column for each set.

    Solid lines are items against themselves at the trained place, dotted ones items of different
    classes at the same place: the baseline. Lines are means over networks of the mean over items,
    bands their 95 % interval; of fewer than ``ENOUGH`` seeds each is a thin line.

    Paper: Biscione & Bowers 2020, Fig. 3.

    Args:
        table: of a study with similarities, from ``runs.table``.
        untrained: likewise, of networks without any pretraining; their similarities before they
            are taught are drawn in every row.
        layer: one that was measured.

    Raises:
        ValueError: when the layer was not measured; names those that were.
    """
    table, untrained = (rows[rows.before.notna()] for rows in (passed(table), untrained))
    if not len(table):
        return not_run(new_axes((9, 2))[0])
    conditions, sets = looks(table, "condition"), looks(table, "set")
    figure, axes = plt.subplots(
        len(conditions), len(sets), figsize=(1.25 * len(sets) + 1.5, 1.15 * len(conditions) + 1.2),
        squeeze=False, sharex=True, sharey=True, layout="constrained",
    )  # fmt: skip
    plt.close(figure)
    for row, condition in enumerate(conditions):
        for column, name in enumerate(sets):
            ax = axes[row, column]
            taught = table[(table.condition == condition) & (table.set == name)]
            kinds = (untrained[untrained.set == name].before, taught.before, taught.after)
            for measured, colour in zip(kinds, _TIMES.values(), strict=True):
                if len(measured):
                    displacements, same, different = _of_layer(measured, layer)
                    draw_curve(ax, displacements, same, colour)
                    draw_curve(ax, displacements, different, colour, ls=":")
            sns.despine(ax=ax)
        axes[row, 0].set_ylabel(fill(conditions[condition].label, 14), fontsize=9)
    for ax, look in zip(axes[0], sets.values(), strict=True):
        ax.set_title(look.label, fontsize=10)
    least = np.nanmin(np.concatenate([line.get_ydata() for ax in axes.flat for line in ax.lines]))
    axes[0, 0].set(ylim=(min(0, least), 1.03), yticks=(0, 0.5, 1))
    figure.supxlabel("displacement to the right (px)", fontsize=10)
    figure.supylabel("cosine similarity", fontsize=10)
    handles = [Line2D([], [], color=colour, label=words) for words, colour in _TIMES.items()]
    handles += [
        Line2D([], [], color="black", ls=style, label=words)
        for style, words in (("-", "the same item"), (":", "different classes"))
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False)
    return figure


def losses(table: pd.DataFrame) -> Figure:
    """Accuracy lost against similarity lost: a mark for each pair, a dot for each network.

    Colours are the sets taught, shapes what networks were pretrained on.

    Args:
        table: of a study, from ``runs.table``, with ``similarity_lost`` and ``accuracy_lost``
            (fractions), see ``claims.with_losses``.
    """
    figure, ax = new_axes((6.4, 5.2))
    table = passed(table)
    if not len(table):
        return not_run(figure)
    conditions, sets = looks(table, "condition"), looks(table, "set")
    pretrained = {name: look.label for name, look in conditions.items()}
    taught = {name: look.label for name, look in sets.items()}
    table = pd.DataFrame(
        {
            "pretrained on": table.condition.map(pretrained), "taught": table.set.map(taught),
            "x": table.similarity_lost, "y": 100 * table.accuracy_lost,
        }
    )  # fmt: skip
    palette = {taught[name]: colour for name, colour in colours(sets).items()}
    where: dict[str, Any] = {"x": "x", "y": "y", "hue": "taught", "palette": palette, "ax": ax}
    sns.scatterplot(table, **where, s=8, alpha=0.6, linewidth=0, legend=False)
    sns.scatterplot(
        table.groupby(["pretrained on", "taught"], as_index=False).mean(), **where, s=60,
        hue_order=list(palette), style="pretrained on", style_order=list(pretrained.values()),
        markers=dict(zip(pretrained.values(), MARKERS, strict=False)),
    )  # fmt: skip
    ax.axvline(0, color="black", lw=1)
    percent_axis(ax)
    ax.set(xlabel="cosine similarity lost", ylabel="normalised accuracy lost (points)")
    sns.move_legend(ax, "upper left", bbox_to_anchor=(1, 1), frameon=False)
    return figure


def _of_layer(measured: pd.Series, layer: str) -> tuple[Values, Values, Values]:
    """Displacements (columns,), similarities and their baseline (columns, networks)."""
    layers = [{one["layer"]: one for one in each} for each in measured]
    if layer not in layers[0]:
        raise ValueError(
            f"expected a layer that was measured ({', '.join(layers[0])}), got {layer!r}"
        )
    found = [each[layer] for each in layers]
    same, different = (
        np.array([one[name] for one in found], dtype=np.float64).T for name in ("mean", "baseline")
    )
    return np.asarray(found[0]["displacements"]), same, different
