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
    """Mean over sets and seeds of a column, with the 95 % interval over seeds, in percent."""
    by_seed = passed(rows).groupby("seed")[column].mean()
    return percent(*interval(by_seed)) if len(by_seed) else NOT_RUN


def gap(rows: pd.DataFrame, column: str, condition: str, other: str) -> str:
    """The difference of two conditions over the seeds they share, with its 95 % interval."""
    by_seed = passed(rows).pivot_table(column, "seed", "condition")
    shared = by_seed.reindex(columns=[condition, other]).dropna()
    return percent(*interval(shared[condition] - shared[other])) if len(shared) else NOT_RUN
