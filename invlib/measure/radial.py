"""What sensitivity maps say by distance, and how two of them go together."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from invlib.measure.maps import Values

Rounding = Callable[[Any], Any]


def radial_mean(sensitivity: ArrayLike, rounded: Rounding = np.round) -> Values:
    """Mean of a map over rings around the unshifted image.

    A cell belongs to the ring of its distance sqrt(dx^2 + dy^2), rounded. For shifts up to s the
    rings 0 to s are full, those behind them lie in the corners only.

    Paper: Myburgh et al. 2020, sec. 4.4; which cells make a ring is our choice.

    Args:
        sensitivity: (..., 2 s + 1, 2 s + 1), a map or several.
        rounded: to whole pixels: to the nearest, ``np.floor`` or ``np.ceil``.

    Returns:
        float64 (..., rings), ring r at r pixels; 0 to 14 for shifts up to 10.

    Raises:
        ValueError: for a map that is not square, or of even size.
    """
    values = _maps(sensitivity)
    shift = np.arange(values.shape[-1]) - values.shape[-1] // 2
    ring = rounded(np.hypot(shift[:, None], shift)).astype(np.intp).ravel()
    flat = values.reshape(-1, ring.size)
    sums = np.stack([np.bincount(ring, weights=each) for each in flat])
    return (sums / np.bincount(ring)).reshape(*values.shape[:-2], -1)


def area(sensitivity: ArrayLike, rounded: Rounding = np.round, reach: int | None = None) -> Values:
    """Mean of a map's radial curve from 1 pixel to ``reach``, the last full ring if not given.

    Args:
        sensitivity: as for ``radial_mean``.
        rounded: likewise.
        reach: the last ring that counts.

    Returns:
        float64 (...,): for a similarity 1 is invariance.

    Raises:
        ValueError: as ``radial_mean``.
    """
    reach = _maps(sensitivity).shape[-1] // 2 if reach is None else reach
    return np.asarray(radial_mean(sensitivity, rounded)[..., 1 : reach + 1].mean(-1))


def full_ring(curve: ArrayLike) -> int:
    """The last of a curve's rings (..., rings), rounded to the nearest, before the corners."""
    return round((np.shape(curve)[-1] - 1) / 2**0.5)


def curve_area(curve: ArrayLike) -> float:
    """The area of one radial curve (rings,), as ``area`` has it of the map."""
    return float(np.asarray(curve)[1 : full_ring(curve) + 1].mean())


def pearson(sensitivity: ArrayLike, other: ArrayLike) -> Values:
    """Pearson's correlation of two maps over their shifts; NaN where one is the same everywhere.

    Args:
        sensitivity: (..., 2 s + 1, 2 s + 1), a map or several.
        other: of the same shape.

    Returns:
        float64 (...,), from -1 to 1.

    Raises:
        ValueError: for maps that are not square, of even size, or of different shapes.
    """
    one, two = _maps(sensitivity), _maps(other)
    if one.shape != two.shape:
        raise ValueError(f"expected maps of one shape, found {one.shape} and {two.shape}")
    cells = one.shape[-1] ** 2
    found = [
        np.corrcoef(a, b)[0, 1] if np.ptp(a) and np.ptp(b) else np.nan
        for a, b in zip(one.reshape(-1, cells), two.reshape(-1, cells), strict=True)
    ]
    return np.array(found).reshape(one.shape[:-2])


def _maps(given: ArrayLike) -> Values:
    values = np.asarray(given, dtype=np.float64)
    if values.ndim < 2 or values.shape[-1] != values.shape[-2] or not values.shape[-1] % 2:
        raise ValueError(
            "expected maps of all shifts up to s, square and of odd size (2 s + 1, 2 s + 1), "
            f"found {values.shape}"
        )
    return values
