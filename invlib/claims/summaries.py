"""Measurements in words: means over sets and networks with their intervals over seeds."""

import math

import pandas as pd

from invlib.measure.statistics import interval
from invlib.runs import passed

NOT_RUN = "not run"


def summary(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean and 95 % interval over the seeds of each set, of the runs that passed their control.

    Returns:
        A frame indexed by set, in the order of the rows: mean, low, high (fractions), seeds.
    """
    return pd.DataFrame(
        {
            name: [*interval(group[column]), len(group)]
            for name, group in passed(rows).groupby("set", sort=False)
        },
        index=["mean", "low", "high", "seeds"],
    ).T


def percent(mean: float, low: float, high: float) -> str:
    """A fraction with its interval in percent; one seed has no interval.

    >>> percent(0.5, 0.25, 0.75)
    '50.0 % [25.0, 75.0]'
    """
    if math.isnan(low):
        return f"{100 * mean:.1f} % [one seed]"
    return f"{100 * mean:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def overall(rows: pd.DataFrame, column: str) -> str:
    """Mean over the sets of each set's mean, with the 95 % interval over seeds, in percent."""
    by_seed = _by_seed(passed(rows), column)
    return percent(*interval(by_seed)) if len(by_seed) else NOT_RUN


def gap(rows: pd.DataFrame, column: str, condition: str, other: str) -> str:
    """The difference of two conditions over the sets and seeds they share, with its interval."""
    both = passed(rows).pivot_table(column, ["seed", "set"], "condition")
    shared = both.reindex(columns=[condition, other]).dropna()
    by_seed = _by_seed((shared[condition] - shared[other]).rename("gap").reset_index(), "gap")
    return percent(*interval(by_seed)) if len(by_seed) else NOT_RUN


def behind(rows: pd.DataFrame) -> str:
    """How many networks and sets stand behind a number: those that passed their control."""
    rows = passed(rows)
    return f"{len(rows)} networks, {rows.set.nunique()} sets"


def _by_seed(rows: pd.DataFrame, column: str) -> pd.Series:
    """The mean over sets at each seed, as if every seed had every set.

    A set that a seed lacks (its network failed) must not make that seed look better or worse: what
    a seed adds is measured against the mean of each of its sets.
    """
    by_set = rows.groupby("set")[column].mean()
    against = (rows[column] - rows["set"].map(by_set)).groupby(rows["seed"]).mean()
    return by_set.mean() + against - against.mean()
