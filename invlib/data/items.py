"""Labelled items: what a data set is made of."""

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad


class DataError(ValueError):
    """A data set, or a file of it, is missing, damaged or not what was asked for."""


_SIDE = 4096
"""The longest side of an item: what is larger is a scan or a mistake, and no canvas holds it."""

_SET_BYTES = 1 << 32
"""What the items of a set may take, one byte a value: 28,000 coloured ones of 224 x 224. More does
not fit the machines this runs on, beside the copies that are made of it."""


def check_room(named: str, shape: tuple[int, ...]) -> None:
    """Refuse items that are too large, before memory is taken for them.

    Args:
        named: what has or makes them, for the error.
        shape: (n, channels, height, width).

    Raises:
        DataError: with what was asked for, and the limit.
    """
    n, channels, height, width = shape
    if not (1 <= height <= _SIDE and 1 <= width <= _SIDE):
        raise DataError(f"{named}: items of {height} x {width} pixels, a side has 1 to {_SIDE}")
    if math.prod(shape) > _SET_BYTES:
        raise DataError(
            f"{named}: {n} items of {channels} x {height} x {width} values take "
            f"{math.prod(shape)} bytes, {_SET_BYTES} are the most"
        )


@dataclass(frozen=True, eq=False, repr=False)
class ItemSet:
    """Labelled items.

    Attributes:
        images: uint8 tensor (n, channels, height, width), 0 to 255; 1 or 3 channels. A numpy array
            becomes one.
        labels: int64 tensor (n,), from 0 to ``len(classes) - 1``; every class has an item.
            Likewise, of any whole numbers.
        classes: the names of the classes.
        name: the set's name.
        source: who made it, as one line.
        licence: as published by its authors.

    Raises:
        DataError: for wrong shapes or types, labels out of range, or a class without items.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    name: str
    source: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        for field in ("images", "labels"):
            object.__setattr__(self, field, _tensor(getattr(self, field), field == "labels"))
        shape = tuple(self.images.shape)
        if self.images.dtype != torch.uint8 or len(shape) != 4 or shape[1] not in (1, 3):
            raise DataError(
                f"{self.name}: images must be uint8 of shape (n, 1 or 3, height, width), "
                f"not {self.images.dtype} of shape {shape}{_hint(self.images)}"
            )
        if self.labels.dtype != torch.int64 or tuple(self.labels.shape) != shape[:1]:
            raise DataError(
                f"{self.name}: labels must be int64 of shape ({shape[0]},), "
                f"not {self.labels.dtype} of shape {tuple(self.labels.shape)}"
            )
        if shape[0] == 0:
            raise DataError(f"{self.name}: expected items, found none")
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= len(self.classes):
            raise DataError(
                f"{self.name}: labels must be 0 to {len(self.classes) - 1} "
                f"for {len(self.classes)} classes, found {low} to {high}"
            )
        counts = torch.bincount(self.labels, minlength=len(self.classes))
        empty = [c for c, count in zip(self.classes, counts.tolist(), strict=True) if count == 0]
        if empty:
            raise DataError(f"{self.name}: no items of class {', '.join(empty)}")

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        n, channels, height, width = self.images.shape
        colours = "grey" if channels == 1 else "coloured"
        return (
            f"<ItemSet {self.name}: {n} {colours} items of {height} x {width} pixels, "
            f"{len(self.classes)} classes>"
        )

    def take(self, index: Tensor) -> "ItemSet":
        """The items at ``index`` (int64 (m,)), with all classes kept."""
        return replace(self, images=self.images[index], labels=self.labels[index])

    def first(self, per_class: int, skip: int = 0) -> "ItemSet":
        """The first ``per_class`` items of each class in the file's order, after ``skip``.

        A rule on the official order, so a full download gives the same items as a prefix of it.

        Raises:
            DataError: when a class has too few items, or numbers are not whole, or too small.
        """
        _whole(self.name, "per_class", per_class, 1)
        _whole(self.name, "skip", skip, 0)
        kept = []
        for label, name in enumerate(self.classes):
            index = torch.nonzero(self.labels == label).flatten()
            if len(index) < skip + per_class:
                raise DataError(
                    f"{self.name}: class {name} has {len(index)} items, "
                    f"{skip + per_class} are asked for"
                )
            kept.append(index[skip : skip + per_class])
        return self.take(torch.cat(kept).sort().values)

    def only(self, classes: int) -> "ItemSet":
        """The first ``classes`` classes.

        Raises:
            DataError: when there are fewer, or it is not a whole number from 1.
        """
        _whole(self.name, "classes", classes, 1)
        if classes > len(self.classes):
            raise DataError(
                f"{self.name}: {classes} classes are asked for, found {len(self.classes)}"
            )
        keep = torch.nonzero(self.labels < classes).flatten()
        images, labels = self.images[keep], self.labels[keep]
        return replace(self, images=images, labels=labels, classes=self.classes[:classes])

    def grey(self) -> "ItemSet":
        """One channel: ITU-R 601 luma of coloured items, as in Pillow; torchvision rounds down."""
        if self.images.shape[1] == 1:
            return self
        weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
        luma = (self.images * weights).sum(1, keepdim=True).round().to(torch.uint8)
        return replace(self, images=luma)

    def rgb(self) -> "ItemSet":
        """Three channels: grey items repeated."""
        if self.images.shape[1] == 3:
            return self
        return replace(self, images=self.images.repeat(1, 3, 1, 1))

    def square(self, fill: int = 0) -> "ItemSet":
        """Square items: what the shorter side lacks is ``fill`` (0 to 255), on both sides of it."""
        height, width = self.images.shape[2:]
        right, down = max(0, height - width), max(0, width - height)
        sides = (right // 2, right - right // 2, down // 2, down - down // 2)
        return replace(self, images=pad(self.images, sides, value=fill))

    def resized(self, size: tuple[int, int]) -> "ItemSet":
        """Items of ``size`` (height, width), bicubic with antialiasing.

        Pillow's filter, without its clipping between rows and columns: at sharp edges single
        pixels differ by some grey levels.

        Raises:
            DataError: when the items would be too large, or take too much memory.
        """
        if tuple(self.images.shape[2:]) == tuple(size):
            return self
        check_room(self.name, (*self.images.shape[:2], *size))
        # In pieces: a large set in floating point would not fit a small machine.
        values = max(self.images[0].numel(), self.images.shape[1] * math.prod(size))
        pieces = [resize(piece, size) for piece in self.images.split(max(1, (1 << 24) // values))]
        return replace(self, images=torch.cat(pieces))


def _whole(named: str, what: str, number: Any, least: int) -> None:
    if not isinstance(number, int | np.integer) or number < least:
        raise DataError(f"{named}: expected {what} to be whole, from {least}, found {number!r}")


def resize(images: Tensor, size: tuple[int, int]) -> Tensor:
    """Images, uint8 (n, channels, height, width), at another size: bicubic with antialiasing."""
    return pixels(interpolate(images.float(), size=size, mode="bicubic", antialias=True))


def pixels(values: Tensor) -> Tensor:
    """The nearest grey levels, uint8."""
    return values.round().clamp(0, 255).to(torch.uint8)


def _tensor(values: Any, whole: bool) -> Any:
    """A tensor of a numpy array or of a list of labels; anything else as it is."""
    if not isinstance(values, np.ndarray | list):
        return values
    array = np.asarray(values)
    if whole and np.issubdtype(array.dtype, np.integer):
        array = array.astype(np.int64)
    return torch.from_numpy(np.require(array, requirements=("C", "W")))


def _hint(images: Tensor) -> str:
    if images.ndim == 4 and images.shape[1] not in (1, 3) and images.shape[3] in (1, 3):
        return "; channels come before height and width"
    if images.ndim == 3:
        return "; a grey image has one channel"
    if images.dtype != torch.uint8:
        return "; whole numbers from 0 to 255, fractions times 255"
    return ""
