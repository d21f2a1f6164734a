"""Sensitivity maps of trained networks: areas under their radial curves, in words and by choice."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from invlib.claims.summaries import NOT_RUN, similar
from invlib.measure.radial import Rounding, area, curve_area
from invlib.models import tracking
from invlib.runs import passed
from invlib.studies import study_of

LAST_MAPS, LOGITS, SOFTMAX = "pooling 3", "logits", "softmax"


@dataclass(frozen=True)
class Choice:
    """What the paper leaves open, and the rules choose.

    Attributes:
        answer: the place called the fully connected output, ``logits`` or ``softmax``.
        rounded: which cells make a ring, see ``radial_mean``.
        reach: the last ring that counts, in pixels.
        inverted: what makes a similarity of a Euclidean distance.
    """

    answer: str = LOGITS
    rounded: Rounding = np.round
    reach: int = 10
    inverted: Callable[[Any], Any] = np.negative


OURS = Choice()


def networks(data: str, unpadded: bool = False) -> tuple[str, ...]:
    """The networks of one table of the paper, from the largest kernel to the smallest."""
    return tuple(f"{data}-k{kernel}{'-unpadded' * unpadded}" for kernel in (5, 4, 3))


LEAST = {
    networks("mnist"): 99.19, networks("cifar10"): 74.67,
    networks("mnist", True): 99.30, networks("cifar10", True): 74.40,
}  # fmt: skip
"""Least test accuracy in percent printed below tables 1 to 4."""


def kernel(condition: str) -> str:
    """The kernel of a condition, as the book writes it."""
    return f"k = {condition.split('-k')[1][0]}"


def varied(control: str) -> tuple[str, ...]:
    """The networks of table 1 under a control, from the largest kernel to the smallest."""
    return tuple(f"{control}-{name}" for name in networks("mnist"))


def described(conditions: Sequence[str], profile: str) -> pd.DataFrame:
    """In what else networks of different kernels differ: sizes, weights and learning rate.

    Args:
        conditions: of ``studies.kernel_size``.
        profile: its profile; what that lacks is of ``bench``.
    """
    profiles = study_of("kernel_size").profiles
    settings = {**profiles["bench"].conditions, **profiles[profile].conditions}
    rows = [(name, settings[name].network, settings[name].recipe) for name in conditions]
    return pd.DataFrame(
        {
            "network": name,
            "channels": ", ".join(map(str, table.channels[1:])),
            "last maps": f"{table.sides[-1]} x {table.sides[-1]} cells",
            "receptive field": f"{table.receptive_field} px",
            "hidden nodes": table.hidden,
            "weights and biases": f"{sum(p.numel() for p in tracking(table).parameters()):,}",
            "behind the last maps": f"{table.weights_behind:,}",
            "learning rate": f"{recipe.learning_rate:g}",
        }
        for name, table, recipe in rows
    )


def accuracies(rows: pd.DataFrame) -> pd.DataFrame:
    """How many networks of each condition were trained, how accurate they are and are printed.

    Args:
        rows: measurements of ``studies.kernel_size``.
    """
    each = rows.dropna(subset=["training"])
    columns = ["train", "validation", "test", "chosen"]
    known = pd.DataFrame(each.training.tolist(), each.index, columns)
    known = known[~each.failed].reindex(each.index)  # those that failed are counted, not averaged
    counted = pd.concat([each[["condition", "seed", "failed"]], known], axis=1)
    by_condition = counted.groupby("condition", sort=False, as_index=False)
    table = by_condition.agg(
        networks=("seed", "size"), failed=("failed", "sum"), train=("train", "mean"),
        validation=("validation", "mean"), test=("test", "mean"), epochs=("chosen", "mean"),
    )  # fmt: skip
    for name in ("train", "validation", "test"):
        table[name] = table[name].map("{:.2%}".format)
    if table.condition.isin(networks("mnist") + networks("mnist", True)).any():
        printed = {name: f"{least:.2f}%" for names, least in LEAST.items() for name in names}
        table.insert(6, "paper's least", table.condition.map(printed).fillna(""))
    return table.assign(epochs=table.epochs.map("{:.0f}".format))


def maps_at(rows: pd.DataFrame, place: str, metric: str = "cosine") -> pd.DataFrame:
    """Of each network that learnt its set the measurement of one metric at one of its last layers.

    Args:
        rows: measurements of ``studies.kernel_size``.
        place: ``pooling 3``, ``logits`` or ``softmax``.
        metric: as measured.
    """
    rows = passed(rows)
    return rows[(rows.place == place) & (rows.metric == metric) & rows.depth.isna()]


def areas(rows: pd.DataFrame, place: str, choice: Choice = OURS) -> pd.Series:
    """Condition and seed -> area under the curve of cosine similarity."""
    found = maps_at(rows, place).set_index(["condition", "seed"])["map"]
    return found.map(lambda values: float(area(values, choice.rounded, choice.reach)))


def less(rows: pd.DataFrame, condition: str, other: str, place: str) -> str:
    """The area of one condition less that of another, mean over the seeds they share.

    Args:
        rows: measurements of ``studies.kernel_size``.
        condition: the one.
        other: the other.
        place: ``pooling 3``, ``logits`` or ``softmax``.
    """
    found = areas(rows, place).unstack("condition")
    apart = found.reindex(columns=[condition, other]).dropna()
    return similar(apart[condition] - apart[other], digits=3) if len(apart) else NOT_RUN


def area_in_words(rows: pd.DataFrame, condition: str, place: str, choice: Choice = OURS) -> str:
    """The area of one condition, mean over its seeds."""
    found = areas(rows, place, choice)
    found = found[found.index.get_level_values("condition") == condition]
    return similar(found, digits=3) if len(found) else NOT_RUN


def areas_in_words(
    rows: pd.DataFrame, conditions: Sequence[str], place: str, choice: Choice = OURS
) -> str:
    """The areas of several networks by kernel, of those that were run.

    >>> areas_in_words(table, networks("mnist"), "logits")  # doctest: +SKIP
    'k = 5: 0.635 (one seed), k = 4: 0.532 (one seed), k = 3: 0.560 (one seed)'
    """
    there = [name for name in conditions if (rows.condition == name).any()]
    words = [f"{kernel(name)}: {area_in_words(rows, name, place, choice)}" for name in there]
    return ", ".join(words) or NOT_RUN


def moved_back(rows: pd.DataFrame, condition: str, pixels: int) -> str:
    """The similarity of the last maps after they are moved back, for a shift to the right.

    Args:
        rows: measurements of ``studies.kernel_size``.
        condition: of padded networks.
        pixels: of the shift.
    """
    rows = passed(rows)
    maps = rows[(rows.condition == condition) & (rows.metric == "aligned")]["map"]
    found = [each[len(each) // 2, len(each) // 2 + pixels] for each in maps]
    return similar(found) if found else NOT_RUN


def by_group(rows: pd.DataFrame, groups: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """The areas at the paper's two places, group by group.

    Args:
        rows: measurements of ``studies.kernel_size``.
        groups: in words -> conditions.
    """
    return pd.DataFrame(
        {
            "networks": words,
            "behind the last pooling": areas_in_words(rows, names, LAST_MAPS),
            "at the logits": areas_in_words(rows, names, LOGITS),
        }
        for words, names in groups.items()
    )


def by_layer(rows: pd.DataFrame, conditions: Sequence[str]) -> pd.DataFrame:
    """The area behind every layer, mean over the seeds, a column for each network.

    Args:
        rows: measurements of ``studies.kernel_size``.
        conditions: networks of different kernels and the same layers.
    """
    own = passed(rows)
    own = own[own.condition.isin(conditions) & (own.metric == "cosine") & own.depth.notna()]
    found = own.assign(area=[curve_area(each[0]) for each in own.radial])
    table = found.pivot_table("area", ["depth", "place"], "condition").reindex(columns=conditions)
    table = table.dropna(axis=1, how="all").rename(columns=kernel).map("{:.2f}".format)
    return table.rename_axis(columns=None).reset_index("place").rename(columns={"place": "layer"})
