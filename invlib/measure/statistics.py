"""What is read off maps and off repetitions."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from invlib.data.canvas import Pair, PlaceError

Map = NDArray[np.float64]

ENOUGH = 5
"""Repetitions of which an interval is said or drawn; of fewer the range, or each by itself."""


def overlap_free(grid: Sequence[int], place: Pair, item: Pair) -> NDArray[np.bool_]:
    """Which places of a grid share no pixel with an item at ``place``: bool (rows, columns).

    >>> overlap_free((0, 7, 17), place=(0, 0), item=(10, 10)).tolist()
    [[False, False, True], [False, False, True], [True, True, True]]
    """
    values = np.asarray(grid)
    clear = [np.abs(values - at) >= size for at, size in zip(place, item, strict=True)]
    return clear[0][:, None] | clear[1][None, :]


def far_mean(accuracy: Map, grid: Sequence[int], place: Pair, item: Pair) -> float:
    """The mean of a map over the places that share no pixel with the trained one.

    Raises:
        PlaceError: when every place of the grid shares pixels with it.
    """
    far = overlap_free(grid, place, item)
    if not far.any():
        raise PlaceError(f"every place of the grid overlaps an item of {item} at {place}")
    return float(accuracy[far].mean())


def by_distance(
    accuracy: Map, grid: Sequence[int], place: Pair, width: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean of a map in rings around the trained place.

    Args:
        accuracy: map (rows, columns).
        grid: its rows and columns in pixels.
        place: the trained place.
        width: of a ring in pixels.

    Returns:
        The mean distance in pixels and the mean accuracy of each ring that has a place.
    """
    values = np.asarray(grid, dtype=np.float64)
    distance = np.hypot(values[:, None] - place[0], values[None, :] - place[1])
    ring = np.round(distance / width).astype(int).ravel()
    count = np.bincount(ring)
    kept = count > 0
    mean = [
        np.bincount(ring, weights=each.ravel())[kept] / count[kept] for each in (distance, accuracy)
    ]
    return mean[0], mean[1]


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
