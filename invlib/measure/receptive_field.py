"""Which pixels a cell of a feature map sees."""

from bisect import bisect_left
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from invlib.measure.sensitivity import images_for

Pair = tuple[int, int]


@dataclass(frozen=True)
class ReceptiveField:
    """What the cells of a module's feature maps see, (rows, columns) in pixels.

    Attributes:
        size: one cell sees so many.
        stride: from what one cell sees to what the next does.
        start: the first pixel that the first cell sees; below 0 where it begins in the padding.
    """

    size: Pair
    stride: Pair
    start: Pair


def receptive_field(module: nn.Module, images: Tensor | NDArray[Any]) -> ReceptiveField:
    """The receptive field of a module by the change of pixels, whatever its weights.

    Rows of pixels become NaN, which the layers of torch hand on: what becomes NaN saw them. The
    cell in the middle, those beside it and those a quarter from the edge are looked at, in double
    precision.

    Args:
        module: from images to feature maps (n, channels, rows, columns).
        images: float (n, channels, height, width), for their size; what they show does not matter.

    Raises:
        ValueError: for a module without feature maps, or with less than three cells a side; for
            images too small for what cells in the middle see; for cells that are no whole number
            of pixels apart, or not the same number everywhere.
        TypeError: for images that are neither a tensor nor an array.
    """
    blank = torch.zeros_like(images_for(module, images)[:1], dtype=torch.float64, device="cpu")
    probe = deepcopy(module).to("cpu", torch.float64).eval()
    axes = [_axis(probe, blank, dim) for dim in (2, 3)]
    size, stride, start = zip(*axes, strict=True)
    return ReceptiveField(size, stride, start)


@torch.inference_mode()
def _axis(probe: nn.Module, blank: Tensor, dim: int) -> tuple[int, int, int]:
    """Size, stride and start along one axis."""
    pixels = blank.shape[dim]
    cells = maps_of(probe, blank).shape[dim]
    if cells < 3:
        raise ValueError(
            f"expected at least 3 x 3 cells from {_name(probe)}, found {cells} on one side: "
            f"images of {pixels} px are too small"
        )

    @cache  # the cells ask for much the same rows
    def seen(first: int, past: int) -> list[bool]:
        image = blank.clone()
        image.narrow(dim, first, past - first).fill_(torch.nan)
        kept = [each for each in range(4) if each != dim]
        found: list[bool] = maps_of(probe, image).isnan().sum(dim=kept).bool().tolist()
        return found

    middle, others = cells // 2, (cells // 4, 3 * cells // 4)
    starts = {
        cell: bisect_left(range(pixels), True, key=lambda row: seen(0, row + 1)[cell])
        for cell in {middle - 1, middle, middle + 1, *others}
    }
    end = bisect_left(range(pixels), True, key=lambda row: not seen(row, pixels)[middle])
    if starts[middle] == 0 or starts[middle - 1] == 0 or end == pixels:
        raise ValueError(
            f"a cell in the middle of {_name(probe)} sees up to the edge of images of {pixels} px: "
            "give larger ones"
        )
    stride = starts[middle + 1] - starts[middle]
    start = starts[middle] - middle * stride
    # Near the edge a cell sees what is left of its pixels.
    if stride == 0 or any(at != max(0, start + stride * cell) for cell, at in starts.items()):
        raise ValueError(
            f"expected cells of {_name(probe)} the same whole number of pixels apart, found "
            f"{pixels} px to {cells} cells, of which cell: first pixel is {starts}"
        )
    return end - starts[middle], stride, start


def maps_of(module: nn.Module, images: Tensor) -> Tensor:
    """A module's feature maps.

    Raises:
        ValueError: when its output is something else.
    """
    out = module(images)
    if not isinstance(out, Tensor) or out.ndim != 4 or len(out) != len(images):
        found = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ValueError(
            f"expected feature maps (n, channels, rows, columns) from {_name(module)}, found "
            f"{found}: what has no rows and columns cannot be shifted; see invariance_error"
        )
    return out


def _name(module: nn.Module) -> str:
    return type(module).__name__
