"""Whether a shift moves a layer's feature maps or changes them: equivariance beside invariance."""

from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from invlib.devices import evaluating
from invlib.exact.dense import Scanner
from invlib.measure.maps import SensitivityMap, Values
from invlib.measure.sensitivity import images_for
from invlib.progress import bar


@dataclass(frozen=True)
class Alignment:
    """Feature maps of shifted images against those of unshifted ones, moved by whole cells.

    Attributes:
        cosine: similarity after the best-aligning shift, mean over images.
        down: that shift in cells, mean over images: float64 (2 shifts + 1, 2 shifts + 1), rows are
            shifts of the image down, columns to the right.
        right: likewise, to the right.
    """

    cosine: SensitivityMap
    down: Values
    right: Values


def alignment(
    model: nn.Module, images: Tensor | NDArray[Any], layer: str, shifts: int = 10
) -> Alignment:
    """The shift of a layer's feature maps that comes nearest to a shift of the image.

    The maps of the unshifted image are shifted by every whole number of cells (zeros come in) and
    compared with those of the shifted image by cosine similarity; of equal ones the nearest counts.
    Where a shift of the image only moves the maps, this is 1, however low the similarity of the
    maps as they are.

    Args:
        model: as for ``sensitivity_map``.
        images: likewise; zeros come in at the border.
        layer: name of a submodule that gives feature maps (n, channels, rows, columns).
        shifts: of the image, from ``-shifts`` to ``shifts`` pixels on both axes.

    Raises:
        ValueError: as ``sensitivity_map``, and for a layer that gives no feature maps.
        TypeError: as ``sensitivity_map``.
    """
    images = images_for(model, images)
    scanner, found = Scanner(model, layer, shifts), []
    with (
        torch.inference_mode(),
        evaluating(model),
        bar(total=len(images), desc=f"alignment of {layer}", unit="image") as progress,
    ):
        for index in torch.arange(len(images)).split(2):
            outputs = scanner(images[index])
            if outputs.ndim != 6:
                raise ValueError(
                    f"expected feature maps (n, channels, rows, columns) from {layer}, "
                    f"found (n, {', '.join(map(str, outputs.shape[3:]))})"
                )
            found += [_aligned(each.double(), shifts) for each in outputs]
            progress.update(len(index))
    cosine, down, right = np.mean(found, axis=0)
    return Alignment(SensitivityMap(cosine, shifts, layer, "cosine"), down, right)


def _aligned(outputs: Tensor, shifts: int) -> Values:
    """Of one image's maps (down, right, channels, rows, columns): similarity and cells moved."""
    base, (rows, columns) = outputs[shifts, shifts], outputs.shape[3:]
    moves = np.array(sorted(product(range(1 - rows, rows), range(1 - columns, columns)), key=_far))
    moved = torch.stack([pad(base, (x, -x, y, -y)) for y, x in moves.tolist()])
    similar = normalize(outputs.flatten(2), dim=2) @ normalize(moved.flatten(1), dim=1).T
    values = similar.cpu().numpy()
    # Of those that are equal to rounding, the first.
    best = (values >= values.max(2, keepdims=True) - 1e-9).argmax(2)
    taken = np.take_along_axis(values, best[:, :, None], 2)[:, :, 0]
    return np.stack([taken, *moves[best].transpose(2, 0, 1)])


def _far(move: tuple[int, int]) -> int:
    return move[0] ** 2 + move[1] ** 2
