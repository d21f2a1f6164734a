"""Maps, of the accuracy at each place or of the sensitivity to each shift, and what they say.

Either can be used wherever numpy takes an array.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin
from numpy.typing import NDArray

from invlib.data.canvas import Pair
from invlib.measure.statistics import normalised_accuracy

if TYPE_CHECKING:  # imported by who draws, or writes a table
    import pandas as pd
    from matplotlib.figure import Figure

Values = NDArray[np.float64]


class _Map(NDArrayOperatorsMixin):
    values: Values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.array(self.values, dtype=dtype, copy=copy)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if any(isinstance(each, _Map) for each in options.get("out", ())):
            raise TypeError("a map is not changed in place; its .values.copy() can be")
        plain = (each.values if isinstance(each, _Map) else each for each in inputs)
        return getattr(ufunc, method)(*plain, **options)

    def __getitem__(self, at: Any) -> Any:
        return self.values[at]

    def __len__(self) -> int:
        return len(self.values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # before there are values, as when one is unpickled
            raise AttributeError(name)
        return getattr(self.values, name)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.values.shape}>\n{self.report()}"

    def report(self) -> str:
        raise NotImplementedError


@dataclass(frozen=True, eq=False, repr=False)
class AccuracyMap(_Map):
    """Accuracy at each place of a grid.

    Attributes:
        values: float64 (rows, columns), fractions.
        rows: of the places, in pixels.
        columns: likewise.
        place: the trained place, (row, column), with which others are compared.
        item: size of the items, (height, width).
        classes: how many the items have.
        set: name of the items.
    """

    values: Values
    rows: tuple[int, ...]
    columns: tuple[int, ...]
    place: Pair
    item: Pair
    classes: int
    set: str

    @property
    def normalised(self) -> Values:
        """The map on a scale where chance is 0 and perfect is 1."""
        return normalised_accuracy(self.values, self.classes)

    @property
    def overlap_free(self) -> NDArray[np.bool_]:
        """Which places share no pixel with the trained one: bool (rows, columns)."""
        rows, columns = (
            np.abs(np.subtract(axis, at)) >= size
            for axis, at, size in zip((self.rows, self.columns), self.place, self.item, strict=True)
        )
        return rows[:, None] | columns

    @property
    def canvas(self) -> float:
        """Normalised accuracy, mean over all places."""
        return float(self.normalised.mean())

    @property
    def far(self) -> float:
        """The same over the places that share no pixel with the trained one; NaN without any."""
        return (
            float(self.normalised[self.overlap_free].mean()) if self.overlap_free.any() else np.nan
        )

    @property
    def trained(self) -> float:
        """Normalised accuracy at the trained place; NaN where it is not on the grid."""
        row, column = self.place
        if row not in self.rows or column not in self.columns:
            return np.nan
        return float(self.normalised[self.rows.index(row), self.columns.index(column)])

    def by_distance(self, width: float) -> tuple[Values, Values]:
        """Mean normalised accuracy in rings around the trained place.

        Args:
            width: of a ring in pixels, above 0.

        Returns:
            The mean distance in pixels and the mean accuracy of each ring that has a place.

        Raises:
            ValueError: for another width.
        """
        if not 0 < width < np.inf:
            raise ValueError(f"expected rings of a width above 0 pixels, found {width}")
        down, right = (
            np.subtract(axis, at)
            for axis, at in zip((self.rows, self.columns), self.place, strict=True)
        )
        distance = np.hypot(down[:, None], right)
        ring = np.round(distance / width).astype(int).ravel()
        count = np.bincount(ring)
        kept = count > 0
        mean = [
            np.bincount(ring, weights=each.ravel())[kept] / count[kept]
            for each in (distance, self.normalised)
        ]
        return mean[0], mean[1]

    def by_column(self) -> tuple[Values, Values]:
        """Mean normalised accuracy in each column, over the places far from the trained one.

        Returns:
            The columns in pixels that have such a place, and the mean of each.
        """
        far = self.overlap_free
        some = far.any(axis=0)
        mean = (self.normalised * far).sum(axis=0)[some] / far.sum(axis=0)[some]
        return np.asarray(self.columns, dtype=np.float64)[some], mean

    def report(self) -> str:
        """Three lines: what it is of, accuracy there and everywhere, accuracy far away."""
        places, far = self.values.size, int(self.overlap_free.sum())
        return (
            f"{self.set} ({self.classes} classes), normalised accuracy: 0 % is chance\n"
            f"{_percent(self.trained)} at the trained place {self.place}, "
            f"{_percent(self.canvas)} over all {places} places of the grid\n"
            f"{_percent(self.far)} far away: at the {far} places that share no pixel with it"
        )

    def plot(self) -> "Figure":
        """Accuracy at each place, in percent; the trained one is marked."""
        from invlib.measure.drawing import accuracy_figure

        return accuracy_figure(self)

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write row, column, accuracy, normalised and overlap_free, a line for each place."""
        places = np.indices(self.values.shape).reshape(2, -1)
        row, column = np.asarray(self.rows)[places[0]], np.asarray(self.columns)[places[1]]
        _write(
            path, row=row, column=column, accuracy=self.values, normalised=self.normalised,
            overlap_free=self.overlap_free,
        )  # fmt: skip


@dataclass(frozen=True, eq=False, repr=False)
class SensitivityMap(_Map):
    """How a layer's output for shifted images compares with that for unshifted ones.

    Attributes:
        values: float64 (2 shifts + 1, 2 shifts + 1), mean over images; rows are shifts down (from
            negative, up), columns shifts to the right.
        shifts: from ``-shifts`` to ``shifts`` pixels on both axes.
        layer: name of the layer; None: the network's output.
        metric: ``cosine``, ``euclidean`` or ``accuracy``, see ``sensitivity_map``.
    """

    values: Values
    shifts: int
    layer: str | None
    metric: str

    def report(self) -> str:
        """Three lines: what it is of, small and large shifts, the shift that changes most."""
        most = (np.argmax if self.metric == "euclidean" else np.argmin)(self.values)
        down, right = np.unravel_index(most, self.values.shape) - np.array(self.shifts)
        return (
            f"{self.metric} of {self.layer or 'the output'} between an image and itself shifted; "
            f"unshifted: {self._along(0):.3g}\n"
            f"{self._along(1):.3g} for shifts along an axis by 1 px, "
            f"{self._along(self.shifts):.3g} by {self.shifts} px\n"
            f"{self.values.flat[most]:.3g} for the shift that changes most, "
            f"{down:+d} px down and {right:+d} px to the right"
        )

    def plot(self) -> "Figure":
        """What was measured at each shift, on a scale that cuts nothing off."""
        from invlib.measure.drawing import sensitivity_figure

        return sensitivity_figure(self)

    def to_csv(self, path: str | PathLike[str]) -> None:
        """Write down, right (shifts in pixels) and the metric, a line for each shift."""
        down, right = np.indices(self.values.shape) - self.shifts
        _write(path, down=down, right=right, **{self.metric: self.values})

    def _along(self, shift: int) -> float:
        """Mean of the four shifts along an axis."""
        low, middle, high = self.shifts - shift, self.shifts, self.shifts + shift
        return float(self.values[[low, high, middle, middle], [middle, middle, low, high]].mean())


def compare(networks: Mapping[str, AccuracyMap | Sequence[AccuracyMap]]) -> "pd.DataFrame":
    """A table of several networks under their own names, which the book's figures take.

    Args:
        networks: name -> the network's map, or several, of other sets or other seeds.

    Returns:
        A row for each map with ``condition`` (the name), ``seed`` (counted for each name and set),
        ``set``, ``classes``, ``trained``, ``canvas`` and ``far`` (normalised, see ``AccuracyMap``)
        and ``map``, for ``plots.bars``, ``plots.heatmaps`` and ``plots.distance``.

    Raises:
        TypeError: for anything else than maps by name.
        ValueError: when there is no map.
    """
    import pandas as pd

    if not isinstance(networks, Mapping):
        raise TypeError(f"expected maps by name, {{name: map}}, found {type(networks).__name__}")
    for name, maps in networks.items():
        for one in [maps] if not isinstance(maps, list | tuple) else maps:
            if not isinstance(one, AccuracyMap):
                raise TypeError(f"expected accuracy maps of {name}, found {type(one).__name__}")
    each = {k: [m] if isinstance(m, AccuracyMap) else list(m) for k, m in networks.items()}
    if not any(each.values()):
        raise ValueError("expected a map for each name, found none")
    table = pd.DataFrame(
        {
            "condition": name, "set": one.set, "classes": one.classes,
            "trained": one.trained, "canvas": one.canvas, "far": one.far, "map": one,
        }
        for name, maps in each.items() for one in maps
    )  # fmt: skip
    table.insert(1, "seed", table.groupby(["condition", "set"]).cumcount())
    return table


def _percent(value: float) -> str:
    return "not measured" if np.isnan(value) else f"{100 * value:.1f} %"


def _write(path: str | PathLike[str], **columns: Any) -> None:
    import pandas as pd

    pd.DataFrame({k: np.ravel(v) for k, v in columns.items()}).to_csv(path, index=False)


def same_places(maps: Sequence[AccuracyMap]) -> None:
    """Check that maps can be averaged.

    Raises:
        ValueError: when their grids, trained places or items differ; names two that do.
    """
    first, *others = ((m.rows, m.columns, m.place, m.item) for m in maps)
    for other in others:
        if other != first:
            words = (
                f"rows {rows}, columns {columns}, trained at {place}, items of {item}"
                for rows, columns, place, item in (first, other)
            )
            raise ValueError(f"expected maps of the same places, found {' and '.join(words)}")
