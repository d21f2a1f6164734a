"""How much a layer's output changes when its input is shifted."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from invlib.devices import device_of, dtype_of, evaluating
from invlib.exact.dense import Scanner
from invlib.measure.maps import SensitivityMap
from invlib.progress import bar

METRICS = ("cosine", "euclidean", "accuracy")


def sensitivity_map(
    model: nn.Module,
    images: Tensor | NDArray[Any],
    layer: str | None = None,
    shifts: int = 10,
    metric: str = "cosine",
    labels: Tensor | NDArray[Any] | None = None,
    fill: float | Sequence[float] = 0.0,
    exact_path: str = "auto",
) -> SensitivityMap:
    """How a layer's output for shifted images compares with that for unshifted ones.

    Pixels that leave the frame are lost, ``fill`` comes in (Myburgh et al. 2020, sec. 3.2).

    Args:
        model: any network from images (n, channels, height, width). It is put in evaluation mode
            meanwhile.
        images: float (n, channels, height, width), as the network takes them.
        layer: name of a submodule, as in ``model.named_modules()``; None: the network's output.
        shifts: from ``-shifts`` to ``shifts`` pixels on both axes.
        metric: ``"cosine"`` similarity, from -1 to 1; ``"euclidean"`` distance; or ``"accuracy"``:
            how often the largest output is that of the label, from 0 to 1.
        labels: int64 (n,), for the accuracy.
        fill: what comes in at the border, as the network sees it; one number or one per channel. On
            a canvas that normalises black is not 0: ``canvas.empty(channels)`` has it.
        exact_path: see ``dense.Scanner``.

    Returns:
        The map, the mean over the images; it knows its shifts: see ``SensitivityMap``.

    Raises:
        ValueError: for an unknown layer (names the nearest), metric, shifts beyond the frame,
            images that are not finite floats, accuracy without a whole label for each image, of
            those that the network answers with, or outputs that are not one tensor of finite
            numbers with a row for each image.
        TypeError: for images that are neither a tensor nor an array.
        PathError: under ``"propagate"``, where it is not possible: says why.
    """
    images = images_for(model, images)
    answers = _labels(labels, images) if metric == "accuracy" else None
    one = torch.zeros(len(images), dtype=torch.int64)
    maps = _maps(model, images, one, answers, {layer: (metric,)}, shifts, fill, exact_path)
    return maps[layer, metric][0]


def sensitivity_maps(
    model: nn.Module,
    images: Tensor | NDArray[Any],
    labels: Tensor | NDArray[Any],
    measured: Mapping[str | None, Sequence[str]],
    shifts: int = 10,
    fill: float | Sequence[float] = 0.0,
    exact_path: str = "auto",
) -> dict[tuple[str | None, str], list[SensitivityMap]]:
    """The maps of each class, at several layers and by several metrics, from one scan.

    Args:
        model: as for ``sensitivity_map``.
        images: likewise.
        labels: int64 (n,), from 0; every class up to the largest here has an image.
        measured: layer -> metrics, each as for ``sensitivity_map``.
        shifts: likewise.
        fill: likewise.
        exact_path: likewise.

    Returns:
        (layer, metric) -> the map of each class, the mean over its images.

    Raises:
        ValueError: as ``sensitivity_map``, and for labels below 0 or a class without an image.
        TypeError: likewise.
        PathError: likewise.
    """
    images = images_for(model, images)
    classes = _labels(labels, images)
    if int(classes.min()) < 0:
        raise ValueError(f"expected labels from 0, found {int(classes.min())}")
    there = set(classes.tolist())
    empty = list(islice((i for i in range(max(there)) if i not in there), 5))
    if empty:
        raise ValueError(
            f"expected an image of every class from 0 to {max(there)}, "
            f"found none of {', '.join(map(str, empty))}"
        )
    return _maps(model, images, classes, classes, measured, shifts, fill, exact_path)


def images_for(model: nn.Module, images: Any) -> Tensor:
    """Images as a network takes them, on its device and in its precision.

    Raises:
        TypeError: for what is neither a tensor nor an array.
        ValueError: for what are not finite floats (n, channels, height, width).
    """
    if isinstance(images, np.ndarray):
        images = torch.from_numpy(np.ascontiguousarray(images))
    if not isinstance(images, Tensor):
        raise TypeError(
            "expected images as the network takes them, such as canvas.render gives, "
            f"found {type(images).__name__}"
        )
    if images.ndim != 4 or not images.is_floating_point() or not len(images):
        raise ValueError(
            "expected images as float (n, channels, height, width), "
            f"found {images.dtype} {tuple(images.shape)}"
            + ("; canvas.render makes them of items" if images.dtype == torch.uint8 else "")
        )
    images = images.to(device_of(model), dtype_of(model))
    if not images.isfinite().all():
        raise ValueError("expected images of finite numbers, found NaN or infinity")
    return images


def _labels(labels: Any, images: Tensor) -> Tensor:
    if labels is None:
        raise ValueError(f"expected a label for each of {len(images)} images, found none")
    labels = torch.as_tensor(labels)
    if labels.shape != (len(images),) or (labels != labels.long()).any():
        raise ValueError(
            f"expected labels as whole numbers ({len(images)},), one for each image, found "
            f"{labels.dtype} {tuple(labels.shape)}: {labels.flatten().tolist()[:5]}"
        )
    return labels.long().cpu()


def _maps(
    model: nn.Module,
    images: Tensor,
    groups: Tensor,
    answers: Tensor | None,
    measured: Mapping[str | None, Sequence[str]],
    shifts: int,
    fill: float | Sequence[float],
    exact_path: str,
) -> dict[tuple[str | None, str], list[SensitivityMap]]:
    """The maps of each group of images."""
    for metric in (metric for metrics in measured.values() for metric in metrics):
        if metric not in METRICS:
            raise ValueError(f"metric must be cosine, euclidean or accuracy, not {metric!r}")
    layers = list(measured)
    scanner = Scanner(model, layers, shifts, fill, exact_path)
    most = 2 if images.device.type == "cpu" else 64  # a processor's cache; a GPU's cores
    count, side = torch.bincount(groups), 2 * shifts + 1
    sums = {
        (layer, metric): torch.zeros(len(count), side, side, dtype=torch.float64)
        for layer, metrics in measured.items()
        for metric in metrics
    }
    what = f"map of {', '.join(layer or 'the output' for layer in layers)}"
    with (
        torch.inference_mode(),
        evaluating(model),
        bar(total=len(images), desc=what, unit="image", shorter=SHORTER) as progress,
    ):
        scanner.choose(images, len(images))
        done, few = 0, 1  # the first image tells how large the outputs of one are
        while done < len(images):
            index = slice(done, done + few)
            given = answers[index] if answers is not None else None
            found = scanner(images[index])
            for layer, outputs in zip(layers, found, strict=True):
                # Maps are taken as they lie in memory, channels last; a copy would take longest.
                maps = outputs.movedim(3, 5) if outputs.ndim == 6 else outputs
                for metric in measured[layer]:
                    values = _values(maps.flatten(3), metric, shifts, given)
                    sums[layer, metric].index_add_(0, groups[index], values.cpu())
            progress.update(len(groups[index]))
            done += few
            few = min(most, max(1, OUTPUTS // sum(each[0].numel() for each in found)))
    for (layer, _), each in sums.items():
        if not each.isfinite().all():
            raise ValueError(
                f"expected finite numbers from {layer or 'the network'}, found NaN or infinity"
            )
    return {
        (layer, metric): [
            SensitivityMap(each.numpy(), shifts, layer, metric)
            for each in total / count[:, None, None]
        ]
        for (layer, metric), total in sums.items()
    }


def _values(outputs: Tensor, metric: str, shifts: int, labels: Tensor | None) -> Tensor:
    """What is measured of each image at each shift, of outputs (n, down, right, features)."""
    base = outputs[:, shifts, shifts, None].double()
    flat = outputs.flatten(1, 2)
    few = flat.split(max(1, DOUBLES // flat[:, 0].numel()), 1)
    found = [_compared(each.double(), base, metric, labels) for each in few]
    return torch.cat(found, 1).view(outputs.shape[:3])


def _compared(outputs: Tensor, base: Tensor, metric: str, labels: Tensor | None) -> Tensor:
    """The same of outputs for some shifts (n, shifts, features), against those unshifted."""
    if metric == "cosine":
        return torch.cosine_similarity(outputs, base, dim=2)
    if metric == "euclidean":
        return (outputs - base).norm(dim=2)
    assert labels is not None
    if int(labels.max()) >= outputs.shape[2] or int(labels.min()) < 0:
        raise ValueError(
            f"expected labels from 0 to {outputs.shape[2] - 1} for the network's "
            f"outputs, found {int(labels.min())} to {int(labels.max())}"
        )
    right = (outputs.argmax(2) == labels[:, None].to(outputs.device)).double()
    # Among others a NaN, and only a NaN, would pass for the largest.
    return right.where(outputs.isfinite().all(2), torch.nan)


OUTPUTS = 2**29
"""Numbers of the layers' outputs that are held at once, of one image at least."""
DOUBLES = 2**18
"""Numbers that are compared at once, in double precision, of one shift at least: what a processor's
cache holds is compared ten times faster."""
SHORTER = "fewer images or shifts take less"
