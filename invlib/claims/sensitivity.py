"""Sensitivity maps of trained networks: areas under their radial curves, in words and by choice."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from invlib.claims.summaries import NOT_RUN, similar
from invlib.measure.radial import Rounding, area
from invlib.runs import passed

LAST_MAPS, LOGITS, SOFTMAX = "pooling 3", "logits", "softmax"


@dataclass(frozen=True)
class Choice:
    """What the paper leaves open, and the rules choose.

    Attributes:
        answer: the place called the fully connected output, ``logits`` or ``softmax``.
        rounded: which cells make a ring, see ``radial_mean``.
        reach: the last ring that counts, in pixels.
    """

    answer: str = LOGITS
    rounded: Rounding = np.round
    reach: int = 10


OURS = Choice()


def networks(data: str, unpadded: bool = False) -> tuple[str, ...]:
    """The networks of one table of the paper, from the largest kernel to the smallest."""
    return tuple(f"{data}-k{kernel}{'-unpadded' * unpadded}" for kernel in (5, 4, 3))


def varied(control: str) -> tuple[str, ...]:
    """The networks of table 1 under a control, from the largest kernel to the smallest."""
    return tuple(f"{control}-{name}" for name in networks("mnist"))


def accuracies(rows: pd.DataFrame) -> pd.DataFrame:
    """How many networks of each condition were trained, and how accurate they are.

    Args:
        rows: measurements of ``studies.kernel_size``.
    """
    each = rows.dropna(subset=["training"])
    columns = ["train", "validation", "test", "chosen"]
    known = pd.DataFrame(each.training.tolist(), each.index, columns)
    counted = pd.concat([each[["condition", "seed", "failed"]], known], axis=1)
    by_condition = counted.groupby("condition", sort=False, as_index=False)
    table = by_condition.agg(
        networks=("seed", "size"), failed=("failed", "sum"), train=("train", "mean"),
        validation=("validation", "mean"), test=("test", "mean"), epochs=("chosen", "mean"),
    )  # fmt: skip
    for name in ("train", "validation", "test"):
        table[name] = table[name].map("{:.2%}".format)
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
