"""Does a module shift with its input (equivariance), or not change at all (invariance)?"""

from dataclasses import dataclass
from itertools import product
from numbers import Integral
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from invlib.devices import evaluating
from invlib.measure.receptive_field import maps_of, receptive_field
from invlib.measure.sensitivity import images_for

Pair = tuple[int, int]


@dataclass(frozen=True)
class EquivarianceError:
    """Largest difference between the maps of a shifted image and the shifted maps of the image.

    Attributes:
        inside: of cells that see nothing but the image, before the shift and after it; NaN where
            there is none.
        border: of all others, which see padding or the seam; NaN where there is none.
    """

    inside: float
    border: float


def equivariance_error(
    module: nn.Module, images: Tensor | NDArray[Any], shift: int | Pair
) -> EquivarianceError:
    """How far a module is from equivariance: ``module(shift x)`` against ``shift module(x)``.

    Shifts are circular: what leaves on one side comes in on the other. The feature maps are shifted
    by the shift over the module's stride; between two whole numbers of cells that with the smaller
    error counts. So the inside error of a module with stride 2 is 0 for even shifts.

    Args:
        module: from images to feature maps (n, channels, rows, columns). It is put in evaluation
            mode meanwhile.
        images: float (n, channels, height, width).
        shift: pixels (down, right), below 0 up and to the left; one number: on both axes.

    Returns:
        The errors, in units of the feature maps.

    Raises:
        ValueError: for a shift that is not whole or not less than the image, and for whatever
            ``receptive_field`` does not know.
        TypeError: for images that are neither a tensor nor an array.

    Lenc & Vedaldi 2015, "Understanding image representations by measuring their equivariance and
    equivalence", eq. 1: f(gx) = M_g f(x); here M_g is the shift.
    """
    images = images_for(module, images)
    shift = _shift(images, shift)
    field = receptive_field(module, images)
    with torch.inference_mode(), evaluating(module):
        before, after = maps_of(module, images), maps_of(module, images.roll(shift, (2, 3)))
    # The neighbouring whole numbers of cells; one where the shift is one.
    moves = [{s // d, -(-s // d)} for s, d in zip(shift, field.stride, strict=True)]
    errors = []
    for move in product(*moves):
        apart = (after - before.roll(move, (2, 3))).abs().amax((0, 1))
        inside = torch.ones_like(apart, dtype=torch.bool)
        for dim in (0, 1):
            size, stride, start = field.size[dim], field.stride[dim], field.start[dim]
            cells = start + stride * torch.arange(apart.shape[dim], device=apart.device)
            pixels, by = images.shape[2 + dim], shift[dim]
            # Where the cell's pixels were before the shift, and those of the cell it is held to.
            source = torch.arange(len(cells), device=cells.device) - move[dim]
            clear = (source >= 0) & (source < len(cells))
            for first in (cells, cells - by, cells - stride * move[dim]):
                clear &= (first >= 0) & (first + size <= pixels)
            inside &= clear[:, None] if dim == 0 else clear
        errors.append(EquivarianceError(_largest(apart[inside]), _largest(apart[~inside])))
    return min(errors, key=lambda each: np.nan_to_num([each.inside, each.border]).tolist())


def invariance_error(module: nn.Module, images: Tensor | NDArray[Any], shift: int | Pair) -> float:
    """How far a module is from invariance: ``module(shift x)`` against ``module(x)``.

    Args:
        module: from images to a tensor of any shape. It is put in evaluation mode meanwhile.
        images: float (n, channels, height, width).
        shift: as for ``equivariance_error``, circular.

    Returns:
        The largest difference, in units of the output.

    Raises:
        ValueError: for a shift that is not whole or not less than the image, or an output that is
            no tensor.
        TypeError: for images that are neither a tensor nor an array.
    """
    images = images_for(module, images)
    shift = _shift(images, shift)
    with torch.inference_mode(), evaluating(module):
        before, after = module(images), module(images.roll(shift, (2, 3)))
    if not isinstance(before, Tensor):
        raise ValueError(f"expected one tensor as output, found {type(before).__name__}")
    return float((after - before).abs().max())


def _shift(images: Tensor, shift: Any) -> Pair:
    pair = tuple(shift) if isinstance(shift, tuple | list) else (shift, shift)
    whole = all(isinstance(each, Integral) and not isinstance(each, bool) for each in pair)
    if len(pair) != 2 or not whole:
        raise ValueError(f"expected a shift as whole pixels (down, right), found {shift!r}")
    size = tuple(images.shape[2:])
    if any(abs(by) >= side for by, side in zip(pair, size, strict=True)):
        raise ValueError(f"expected a shift of less than the image of {size} px, found {pair}")
    return int(pair[0]), int(pair[1])


def _largest(values: Tensor) -> float:
    return float(values.max()) if len(values) else float("nan")
