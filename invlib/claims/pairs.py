"""Pairs of a set pretrained on and a set taught: their order, what is lost, what goes together."""

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from invlib.claims.summaries import NOT_RUN, in_words
from invlib.measure.statistics import ENOUGH
from invlib.runs import passed
from invlib.studies import scales

PAIR = ["condition", "set"]
"""Columns that name a pair of ``studies.fully_translated``: pretrained on, taught."""
ORDER = tuple(scales.SETS)
"""The sets from complex to simple."""
LAYER = scales.INSIDE.layers[-1]
"""After the ReLU in front of the last layer: whose similarities decide."""


def steps_down(rows: pd.DataFrame) -> pd.Series:
    """How many places of ``ORDER`` the taught set is simpler than the one pretrained on.

    Negative where it is more complex, NaN where the network was not pretrained on a set.
    """
    place = {name: i for i, name in enumerate(ORDER)}
    return rows["set"].map(place) - rows["condition"].map(place)


def similarity(rows: pd.DataFrame, stage: str, of: str = "mean", layer: str = LAYER) -> pd.Series:
    """Cosine similarity of each measurement, the mean over all displacements, 0 included.

    Args:
        rows: measurements of ``studies.procedure``.
        stage: ``before`` or ``after`` the teaching.
        of: ``mean``, an item with itself at the trained place, or ``baseline``, items of different
            classes.
        layer: name of the layer.

    Returns:
        One number a row, NaN where similarities were not measured or are no numbers.

    Raises:
        ValueError: for a layer that was not measured.
    """
    return rows[stage].map(lambda cosines: _mean(cosines, of, layer)).astype(np.float64)


def _mean(cosines: list[dict[str, Any]] | None, of: str, layer: str) -> float:
    if not isinstance(cosines, list):
        return np.nan
    measured = {each["layer"]: each[of] for each in cosines}
    if layer not in measured:
        raise ValueError(f"expected a layer of {', '.join(measured)}, got {layer!r}")
    return float(np.mean(np.array(measured[layer], dtype=np.float64)))  # null becomes NaN again


def with_losses(rows: pd.DataFrame) -> pd.DataFrame:
    """The measurements with what is lost, as fractions.

    Returns:
        With two more columns: ``similarity_lost`` (similarity before the teaching minus after it)
        and ``accuracy_lost`` (normalised accuracy at the trained place minus that of the canvas).
    """
    return rows.assign(
        similarity_lost=similarity(rows, "before") - similarity(rows, "after"),
        accuracy_lost=rows["control"] - rows["canvas"],
    )


def order_and_transfer(rows: pd.DataFrame) -> str:
    """Rank correlation of ``steps_down`` and canvas accuracy, over the pairs of different sets.

    1: the simpler a taught set is than the one pretrained on, the better it is known everywhere.

    Args:
        rows: measurements of ``studies.fully_translated``, one for each seed and pair.
    """
    rows = rows.assign(steps=steps_down(rows))
    return _rank_correlation(rows[rows["condition"] != rows["set"]], "steps", "canvas")


def similarity_and_accuracy_lost(rows: pd.DataFrame) -> str:
    """Rank correlation of ``similarity_lost`` and ``accuracy_lost``, over all pairs.

    1: the more similarity the teaching of a pair takes, the less is known away from its place.

    Args:
        rows: measurements of ``studies.fully_translated``, one for each seed and pair.
    """
    lost = with_losses(rows[steps_down(rows).notna()])
    return _rank_correlation(lost, "similarity_lost", "accuracy_lost")


def _rank_correlation(rows: pd.DataFrame, x: str, y: str) -> str:
    """Spearman's, of two columns over the pairs' means over seeds; the seeds are resampled."""
    from scipy import stats

    known = passed(rows).dropna(subset=[x, y])
    if known.groupby(PAIR).ngroups < 3:
        return NOT_RUN
    wide = known.pivot_table([x, y], "seed", PAIR)

    def of(seeds: NDArray[np.intp]) -> float:
        means = wide.iloc[seeds].mean()
        return float(stats.spearmanr(means[x], means[y], nan_policy="omit").statistic)

    seeds = np.arange(len(wide))
    each = np.array([of(seeds[[i]]) for i in seeds])
    low = high = np.nan
    if len(seeds) >= ENOUGH:
        low, high = stats.bootstrap(
            (seeds,), of, n_resamples=999, vectorized=False, method="percentile", random_state=0
        ).confidence_interval
    return in_words(each, (of(seeds), low, high), digits=2)
