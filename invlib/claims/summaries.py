"""Measurements in words: means over sets and networks with what the seeds leave open."""

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from invlib.measure.statistics import ENOUGH, interval
from invlib.runs import passed

NOT_RUN = "not run"


def with_last_layer(rows: pd.DataFrame, last_layer: str) -> pd.DataFrame:
    """One measurement for each seed, condition and set, where some were taught in two ways.

    Args:
        rows: measurements of ``studies.procedure``.
        last_layer: ``kept``, the rule of the authors' code: the last layer of the pretraining
            where that had as many classes, else a fresh one; or ``fresh`` everywhere.

    Raises:
        ValueError: when it is another word.
    """
    if last_layer not in ("kept", "fresh"):
        raise ValueError(f"expected last_layer 'kept' or 'fresh', got {last_layer!r}")
    kept = rows["last_layer"] == "kept"
    if last_layer == "fresh":
        return rows[~kept]
    return rows[
        kept == kept.groupby([rows[name] for name in ("seed", "condition", "set")]).transform("any")
    ]


def percent(values: ArrayLike, unit: str = "%") -> str:
    """The mean over seeds of fractions in percent, with its 95 % interval, or of few the range.

    >>> percent([0.1, 0.2, 0.3, 0.2, 0.2])
    '20.0 % [11.2, 28.8]'
    >>> percent([0.1, 0.2])
    '15.0 % (2 seeds: 10.0 to 20.0)'
    >>> percent([0.1])
    '10.0 % (one seed)'
    """
    values = 100 * np.asarray(values, dtype=np.float64)
    return in_words(values, interval(values), digits=1, unit=f" {unit}")


def similar(values: ArrayLike, digits: int = 2) -> str:
    """As ``percent``, for cosine similarities.

    >>> similar([0.8, 0.84])
    '0.82 (2 seeds: 0.80 to 0.84)'
    """
    values = np.asarray(values, dtype=np.float64)
    return in_words(values, interval(values), digits)


def in_words(
    seeds: NDArray[np.float64], found: tuple[float, float, float], digits: int, unit: str = ""
) -> str:
    """A number with its interval, or with the range of the single seeds where they are few.

    Args:
        seeds: the number of each seed alone.
        found: the number over all of them, and the ends of its interval.
        digits: after the point.
        unit: what stands after the number.
    """
    number, low, high = (f"{value:z.{digits}f}" for value in found)
    if len(seeds) >= ENOUGH:
        return f"{number}{unit} [{low}, {high}]"
    if len(seeds) == 1:
        return f"{number}{unit} (one seed)"
    low, high = (f"{value:z.{digits}f}" for value in (seeds.min(), seeds.max()))
    return f"{number}{unit} ({len(seeds)} seeds: {low} to {high})"


def overall(rows: pd.DataFrame, column: str) -> str:
    """Mean over the sets of each set's mean, with what the seeds leave open, in percent."""
    rows = passed(rows)
    return percent(by_seed(rows, column)) if len(rows) else NOT_RUN


def median(rows: pd.DataFrame, column: str) -> str:
    """Median over the sets of each set's mean, in percent; no single set carries it."""
    by_set = passed(rows).groupby("set")[column].mean()
    return f"{100 * by_set.median():z.1f} %" if len(by_set) else NOT_RUN


def gap(rows: pd.DataFrame, column: str, condition: str, other: str) -> str:
    """The difference of two conditions over the sets and seeds they share, in percentage points."""
    apart = gap_by_seed(rows, column, condition, other)
    return percent(apart, "points") if len(apart) else NOT_RUN


def gap_by_seed(rows: pd.DataFrame, column: str, condition: str, other: str) -> pd.Series:
    """As ``gap``, a fraction at each seed."""
    both = passed(rows).pivot_table(column, ["seed", "set"], "condition")
    shared = both.reindex(columns=[condition, other]).dropna()
    return by_seed((shared[condition] - shared[other]).rename("gap").reset_index(), "gap")


def behind(rows: pd.DataFrame) -> str:
    """How many networks and sets stand behind a number: those that passed their control."""
    rows = passed(rows)
    return f"{len(rows)} networks, {rows.set.nunique()} sets"


def by_seed(rows: pd.DataFrame, column: str, of: str | list[str] = "set") -> pd.Series:
    """The mean over sets (or what ``of`` names) at each seed, as if every seed had every set.

    A set that a seed lacks (its network failed) must not make that seed look better or worse: what
    a seed adds is measured against the mean of each of its sets.
    """
    values = rows.groupby(of)[column]
    against = (rows[column] - values.transform("mean")).groupby(rows["seed"]).mean()
    return values.mean().mean() + against - against.mean()
