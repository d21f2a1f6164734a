"""Accuracies against chance, and means over repetitions."""

import numpy as np
from numpy.typing import ArrayLike, NDArray

ENOUGH = 5
"""Repetitions of which an interval is said or drawn; of fewer the range, or each by itself."""


def normalised_accuracy(accuracy: ArrayLike, classes: int) -> NDArray[np.float64]:
    """Accuracy on a scale where chance is 0 and perfect is 1; not clipped, so it may be negative.

    Paper: Biscione & Bowers 2020, sec. 2.3 and Fig. 2B.

    Raises:
        ValueError: for fewer than 2 classes.

    >>> float(normalised_accuracy(0.1, classes=10))
    0.0
    >>> float(normalised_accuracy(0.0, classes=2))
    -1.0
    """
    if classes < 2:
        raise ValueError(f"expected 2 classes or more, found {classes}")
    chance = 1 / classes
    return (np.asarray(accuracy, dtype=np.float64) - chance) / (1 - chance)


def interval(values: ArrayLike, confidence: float = 0.95) -> tuple[float, float, float]:
    """Mean over seeds with Student's t interval: (mean, low, high); one value has no interval.

    >>> interval([1.0])
    (1.0, nan, nan)
    """
    from scipy import stats

    sample = np.asarray(values, dtype=np.float64)
    mean = float(sample.mean())
    if len(sample) < 2:
        return mean, float("nan"), float("nan")
    error = float(stats.sem(sample))
    if error == 0:
        return mean, mean, mean
    low, high = stats.t.interval(confidence, len(sample) - 1, loc=mean, scale=error)
    return mean, float(low), float(high)
