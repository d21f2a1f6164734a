"""Measurements in words: means over sets and networks with their intervals over seeds."""

import math

import pandas as pd

from invlib.measure.statistics import interval

NOT_RUN = "not run"


def summary(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    """Mean and 95 % interval over the seeds of each set, of the runs that passed their control.

    Returns:
        A frame indexed by set, in the order of the rows: mean, low, high (fractions), seeds.
    """
    passed = rows[~rows.failed]
    return pd.DataFrame(
        {
            name: [*interval(group[column]), len(group)]
            for name, group in passed.groupby("set", sort=False)
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
    passed = rows[~rows.failed]
    if not len(passed):
        return NOT_RUN
    return percent(*interval(passed.groupby("seed")[column].mean()))


def gap(rows: pd.DataFrame, column: str, condition: str, other: str) -> str:
    """The difference of two conditions over the seeds they share, with its 95 % interval."""
    passed = rows[~rows.failed]
    by_seed = passed.pivot_table(column, "seed", "condition")
    if not {condition, other} <= set(by_seed):
        return NOT_RUN
    return percent(*interval((by_seed[condition] - by_seed[other]).dropna()))
