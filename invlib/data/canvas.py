"""A canvas: where an item may lie, how places are drawn, and the pictures a network sees.

A place is the (row, column) of an item's top-left pixel; it is legal when the whole item lies on
the canvas. The papers speak of item centres (x, y): ``place_of_centre`` converts.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invlib.data.items import DataError, ItemSet

Pair = tuple[int, int]


class PlaceError(ValueError):
    """A place, an item or a grid does not fit the canvas."""


@dataclass(frozen=True)
class Placement:
    """A distribution over places.

    Attributes:
        canvas: the canvas the places lie on.
        places: maps labels (int64 (n,)) and a generator to places (int64 (n, 2)).
    """

    canvas: "Canvas"
    places: Callable[[Tensor, torch.Generator | None], Tensor]

    def draw(self, images: Tensor, labels: Tensor, generator: torch.Generator | None) -> Tensor:
        """Canvases (n, channels, height, width), float32, with each image at a drawn place."""
        return self.canvas.render(images, self.places(labels, generator))


class Canvas:
    """A constant-coloured canvas and the size of the items on it.

    Args:
        size: the canvas in pixels, one number or (height, width).
        item: the items in pixels, likewise.
        background: the colour, 0 to 255, one number or one per channel; or one image for all
            canvases, uint8 (channels, height, width).
        mean: taken off pixel / 255 before the network sees it, one number or one per channel.
        std: divides what is left; above 0.

    Raises:
        PlaceError: when a size is not of whole numbers, the item is larger than the canvas, or the
            background has another size.
        ValueError: when a colour, the mean or the std is no finite number, or the std not above 0.

    >>> canvas = Canvas(224, item=50)
    >>> canvas.leftmost_centred
    (87, 0)
    """

    def __init__(
        self,
        size: int | Pair,
        item: int | Pair,
        background: float | Sequence[float] | Tensor = 0,
        mean: float | Sequence[float] = 0.0,
        std: float | Sequence[float] = 1.0,
    ) -> None:
        self.size = _pair("a size", size)
        self.item = _pair("an item", item)
        if min(self.item) < 1 or any(i > s for i, s in zip(self.item, self.size, strict=True)):
            raise PlaceError(
                f"an item of {self.item[0]} x {self.item[1]} pixels does not fit a canvas of "
                f"{self.size[0]} x {self.size[1]}"
            )
        if isinstance(background, Tensor) and background.ndim > 1:
            if background.shape[1:] != self.size:
                raise PlaceError(
                    f"expected a background of (channels, {self.size[0]}, {self.size[1]}), "
                    f"found {tuple(background.shape)}"
                )
        self.background = background
        self.mean = mean
        self.std = std
        for name in ("background", "mean", "std"):
            _check_numbers(name, getattr(self, name), above=0 if name == "std" else -np.inf)

    def __repr__(self) -> str:
        given = {"background": self.background, "mean": self.mean, "std": self.std}
        usual = {"background": 0, "mean": 0.0, "std": 1.0}
        more = "".join(
            f", {name} {'a picture' if isinstance(value, Tensor) and value.ndim > 1 else value}"
            for name, value in given.items()
            if not (np.ndim(value) == 0 and value == usual[name])
        )
        (height, width), item = self.size, self.item
        return f"<Canvas of {height} x {width} pixels for items of {item[0]} x {item[1]}{more}>"

    @property
    def last(self) -> Pair:
        """The last legal place, (row, column); the first is (0, 0)."""
        return self.size[0] - self.item[0], self.size[1] - self.item[1]

    @property
    def leftmost_centred(self) -> Pair:
        """The paper's trained place: the left edge, half-way down (sec. 2.2)."""
        return self.last[0] // 2, 0

    def with_item(self, item: int | Pair) -> "Canvas":
        """The same canvas for items of another size."""
        return Canvas(self.size, item, self.background, self.mean, self.std)

    def prepare(self, items: ItemSet) -> ItemSet:
        """The items at this canvas's item size (antialiased bicubic).

        Raises:
            DataError: for items of another shape, which would be distorted.
            TypeError: for what is no set of items.
        """
        if not isinstance(items, ItemSet):
            raise TypeError(f"expected items as from invlib.load, found {type(items).__name__}")
        height, width = items.images.shape[2:]
        if height * self.item[1] != width * self.item[0]:
            raise DataError(
                f"{items.name} has items of {height} x {width} pixels, which {self.item[0]} x "
                f"{self.item[1]} would distort: use items.square(), or a canvas with item=(height, "
                "width) of their shape"
            )
        return items.resized(self.item)

    def one_location(self, place: Pair | None = None) -> Placement:
        """Every item at one place, the leftmost-centred one if none is named.

        Raises:
            PlaceError: when the place is not legal.
        """
        at = self.leftmost_centred if place is None else self.legal_place(place)

        def places(labels: Tensor, generator: torch.Generator | None) -> Tensor:
            return torch.tensor([at]).expand(len(labels), 2)

        return Placement(self, places)

    def fully_translated(self) -> Placement:
        """A place drawn anew for every sample, uniformly from all legal ones."""

        def places(labels: Tensor, generator: torch.Generator | None) -> Tensor:
            return _uniform(len(labels), self.last[0] + 1, self.last[1] + 1, generator)

        return Placement(self, places)

    def by_area(
        self, areas: int = 3, per_area: int = 2, coverage: int = 1, seed: int = 0
    ) -> Placement:
        """Each class in some areas, uniformly (appendix A.2: in one of its own).

        The places are split into ``areas`` x ``areas`` areas of equal size, in row-major order; the
        last row and column may be left over, as in the paper. ``homes`` says which a class lies in.

        Raises:
            PlaceError: when there are more classes than the areas take, the areas do not divide the
                places, or ``homes`` refuses a number.
        """
        of_class = homes(areas, per_area, coverage, seed)
        height, width = ((last + 1) // areas for last in self.last)
        if min(height, width) < 1 or max((last + 1) % areas for last in self.last) > 1:
            raise PlaceError(
                f"{areas} x {areas} areas do not divide the {self.last[0] + 1} x "
                f"{self.last[1] + 1} places (one row and one column may be left over)"
            )

        def places(labels: Tensor, generator: torch.Generator | None) -> Tensor:
            if int(labels.max()) >= len(of_class):
                raise PlaceError(
                    f"{areas} x {areas} areas of {per_area} classes hold labels up to "
                    f"{len(of_class) - 1}, found {int(labels.max())}"
                )
            which = torch.randint(coverage, (len(labels),), generator=generator)
            area = of_class[labels, which]
            corner = torch.stack([area // areas * height, area % areas * width], 1)
            return corner + _uniform(len(labels), height, width, generator)

        return Placement(self, places)

    def test_grid(self, steps: int = 19, axis: int = 0) -> tuple[int, ...]:
        """Rows of the test grid: evenly spaced over the legal places, ends included.

        Where there are fewer legal rows than ``steps``, all of them; a single one is the first.

        Args:
            steps: how many.
            axis: 0 for rows, 1 for columns, which are the same on a square canvas.

        Raises:
            PlaceError: when the steps are not a whole number from 1, or there is no such axis.
        """
        _check_count("steps", steps)
        if axis not in (0, 1):
            raise PlaceError(f"expected axis 0 (rows) or 1 (columns), found {axis!r}")
        if steps > self.last[axis]:
            return tuple(range(self.last[axis] + 1))
        grid = np.round(np.linspace(0, self.last[axis], steps))
        return tuple(np.unique(grid.astype(int)).tolist())

    def render(self, images: Tensor, places: Tensor | Pair) -> Tensor:
        """Draw each image at its place, without a loop over images.

        Args:
            images: uint8 (n, channels, item height, item width), on any device.
            places: int64 (n, 2), or one (row, column) for all.

        Returns:
            float32 (n, channels, height, width), channels last in memory, on the images' device:
            (pixel / 255 - mean) / std.

        Raises:
            PlaceError: when the images have another size, or a place is not legal.
        """
        pixels = self.normalise(images).permute(0, 2, 3, 1)
        n, *item, channels = pixels.shape
        device = images.device
        empty = self.empty(channels, device).permute(0, 2, 3, 1)
        height, line = self.size[0], self.size[1] * channels
        canvas = empty.reshape(1, height, line).expand(n, height, line).clone()
        row, column = self.legal(places, n).to(device).unbind(1)
        # A view of every window an item may fill: one index per image picks its own.
        windows = canvas.as_strided(
            (n, self.last[0] + 1, self.last[1] + 1, item[0], item[1] * channels),
            (height * line, line, channels, line, 1),
        )
        windows[torch.arange(n, device=device), row, column] = pixels.flatten(2)
        return canvas.view(n, *self.size, channels).permute(0, 3, 1, 2)

    def normalise(self, images: Tensor) -> Tensor:
        """Items as a network sees them: (pixel / 255 - mean) / std.

        Args:
            images: uint8 (n, channels, item height, item width).

        Returns:
            float32 of the same shape, channels last in memory.

        Raises:
            PlaceError: when the images have another size.
        """
        if tuple(images.shape[2:]) != self.item:
            raise PlaceError(
                f"expected items of {self.item[0]} x {self.item[1]} pixels, "
                f"found {images.shape[2]} x {images.shape[3]}; Canvas.prepare resizes them"
            )
        scale, shift = self._scale(images.shape[1], images.device)
        pixels = torch.addcmul(shift, images.permute(0, 2, 3, 1).contiguous().float(), scale)
        return pixels.permute(0, 3, 1, 2)

    def empty(self, channels: int, device: torch.device | None = None) -> Tensor:
        """The canvas without an item, normalised: float32 (1, channels, height, width)."""
        scale, shift = self._scale(channels, device)
        colour = torch.as_tensor(self.background, dtype=torch.float32, device=device)
        colour = colour.movedim(0, -1) if colour.ndim == 3 else colour
        return (colour * scale + shift).expand(1, *self.size, channels).permute(0, 3, 1, 2)

    def legal(self, places: Tensor | Pair, n: int) -> Tensor:
        """Places as int64 (n, 2).

        Args:
            places: int64 (n, 2), or one (row, column) for all.
            n: how many are needed.

        Raises:
            PlaceError: when a place is not legal, or there is another number of them.
        """
        if not isinstance(places, Tensor):
            return torch.tensor([self.legal_place(places)]).expand(n, 2)
        if places.shape != (n, 2) or places.dtype not in (torch.int64, torch.int32):
            raise PlaceError(
                f"expected {n} places (row, column) as int64 ({n}, 2), "
                f"found {places.dtype} {tuple(places.shape)}"
            )
        last = torch.tensor(self.last, device=places.device)
        for place in places[((places < 0) | (places > last)).any(1)].tolist():
            self.legal_place(place)
        return places

    def statistics(self, items: ItemSet) -> tuple[list[float], list[float]]:
        """Mean and standard deviation of each channel over canvases with these items.

        Items are never cropped, so both are the same at every place and need no drawing. At most
        1,000 items are looked at, spread over the set.

        Returns:
            Two lists with one number per channel, in units of pixel / 255.

        Raises:
            ValueError: when the background is an image.
        """
        spread = torch.linspace(0, len(items) - 1, min(len(items), 1000)).long()
        pixels = self.prepare(items.take(spread)).images.double() / 255
        channels = pixels.shape[1]
        background = torch.as_tensor(self.background, dtype=torch.float64) / 255
        if background.ndim > 1:
            raise ValueError("statistics are the same at every place on a constant colour only")
        share = self.item[0] * self.item[1] / (self.size[0] * self.size[1])
        empty = background.expand(channels)
        mean = share * pixels.mean((0, 2, 3)) + (1 - share) * empty
        square = share * (pixels**2).mean((0, 2, 3)) + (1 - share) * empty**2
        return mean.tolist(), (square - mean**2).sqrt().tolist()

    def _scale(self, channels: int, device: torch.device | None) -> tuple[Tensor, Tensor]:
        mean = torch.as_tensor(self.mean, dtype=torch.float32, device=device)
        std = torch.as_tensor(self.std, dtype=torch.float32, device=device)
        background = torch.as_tensor(self.background)
        for each, name in ((mean, "mean"), (std, "std"), (background, "background")):
            if each.ndim and len(each) != channels:
                remedy = "; items.rgb() has three" if channels == 1 else ""
                raise ValueError(
                    f"{name} has {len(each)} values, the items have {channels} channels{remedy}"
                )
        return 1 / (255 * std), -mean / std

    def legal_place(self, place: Sequence[int]) -> Pair:
        """A place as (row, column).

        Raises:
            PlaceError: when it is not two whole numbers, or off the canvas.
        """
        values = np.asarray(place)
        if values.shape != (2,) or not np.issubdtype(values.dtype, np.integer):
            raise PlaceError(f"expected a place (row, column) of whole numbers, found {place!r}")
        row, column = values.tolist()
        if not (0 <= row <= self.last[0] and 0 <= column <= self.last[1]):
            raise PlaceError(
                f"place {(row, column)} is off the canvas; rows are 0 to {self.last[0]}, "
                f"columns 0 to {self.last[1]}"
            )
        return row, column


def homes(areas: int = 3, per_area: int = 2, coverage: int = 1, seed: int = 0) -> Tensor:
    """Which areas each class lies in under ``Canvas.by_area``.

    Args:
        areas: on each axis.
        per_area: classes whose own area is the same: classes ``per_area * i`` and the next in area
            i.
        coverage: areas of a class: its own, and others drawn once.
        seed: of this draw.

    Returns:
        int64 (classes, coverage), a class's own area first.

    Raises:
        PlaceError: for a coverage that is not from 1 to the number of areas, and for numbers that
            are not whole or below 1.
    """
    _check_count("areas", areas)
    _check_count("per_area", per_area)
    _check_count("coverage", coverage, least=coverage)  # how many there are is said below
    if not 1 <= coverage <= areas**2:
        raise PlaceError(f"expected a coverage from 1 to {areas**2} areas, found {coverage}")
    generator = torch.Generator().manual_seed(seed)
    own = torch.arange(areas**2).repeat_interleave(per_area)[:, None]
    others = torch.stack([torch.randperm(areas**2 - 1, generator=generator) for _ in own])
    return torch.cat([own, (own + 1 + others[:, : coverage - 1]) % areas**2], 1)


def place_of_centre(x: int, y: int, item: int = 50) -> Pair:
    """The place (row, column) of an item whose centre is (x, y) in the paper's code.

    >>> place_of_centre(25, 112)
    (87, 0)
    """
    return y - item // 2, x - item // 2


def paper_grid() -> tuple[int, ...]:
    """The 19 rows and columns of the authors' test grid at 224 x 224 with 50-pixel items.

    Evenly spaced but for the two end gaps (``symmetric_steps(25, 199, step 10)`` in their code).

    >>> paper_grid()[:3], paper_grid()[-2:]
    ((0, 7, 17), (167, 173))
    """
    return (0, *range(7, 168, 10), 173)


def _uniform(n: int, rows: int, columns: int, generator: torch.Generator | None) -> Tensor:
    draws = [torch.randint(high, (n,), generator=generator) for high in (rows, columns)]
    return torch.stack(draws, 1)


def on_axis(given: Any) -> tuple[int, ...]:
    """Rows, or columns, of places as whole numbers.

    Raises:
        PlaceError: when there is none, or one that is no whole number.
    """
    values = np.atleast_1d(given)
    if values.ndim == 1 and len(values) and values.dtype.kind in "iuf":
        with np.errstate(invalid="ignore"):
            whole = values.astype(np.int64)
        if (whole == values).all():
            return tuple(whole.tolist())
    raise PlaceError(f"expected rows and columns as rising whole numbers, found {given}")


def _pair(name: str, size: int | Pair) -> Pair:
    values = np.asarray(size)
    if values.shape not in ((), (2,)) or not np.issubdtype(values.dtype, np.integer):
        raise PlaceError(f"expected {name} in whole pixels or (height, width), found {size!r}")
    height, width = np.broadcast_to(values, 2).tolist()
    return height, width


def _check_count(name: str, value: Any, least: int = 1) -> None:
    if not isinstance(value, int | np.integer) or value < least:
        raise PlaceError(f"expected {name} to be a whole number from 1, found {value!r}")


def _check_numbers(name: str, given: Any, above: float) -> None:
    """Refuse what would turn every canvas into nonsense; how many there are is seen with items."""
    try:
        values = torch.as_tensor(given, dtype=torch.float64)
    except (TypeError, ValueError, RuntimeError):
        values = torch.tensor(torch.nan)
    if not values.isfinite().all() or (values <= above).any():
        expected = "finite numbers" + (f" above {above}" if above == 0 else "")
        raise ValueError(f"expected {name} as {expected}, found {given}")
