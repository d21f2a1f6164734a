"""How much a layer's output changes when its input is shifted."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from invlib.devices import device_of, dtype_of, evaluating
from invlib.exact.dense import Scanner
from invlib.measure.maps import SensitivityMap
from invlib.progress import bar


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
    if metric not in ("cosine", "euclidean", "accuracy"):
        raise ValueError(f"metric must be cosine, euclidean or accuracy, not {metric!r}")
    if isinstance(images, np.ndarray):
        images = torch.from_numpy(np.ascontiguousarray(images))
    if not isinstance(images, Tensor):
        raise TypeError(
            "expected images as the network takes them, such as canvas.render gives, "
            f"found {type(images).__name__}"
        )
    if metric == "accuracy" and (labels is None or len(labels) != len(images)):
        found = "none" if labels is None else len(labels)
        raise ValueError(f"accuracy needs a label for each of {len(images)} images, found {found}")
    if images.ndim != 4 or not images.is_floating_point() or not len(images):
        raise ValueError(
            "expected images as float (n, channels, height, width), "
            f"found {images.dtype} {tuple(images.shape)}"
            + ("; canvas.render makes them of items" if images.dtype == torch.uint8 else "")
        )
    images = images.to(device_of(model), dtype_of(model))
    if not images.isfinite().all():
        raise ValueError("expected images of finite numbers, found NaN or infinity")
    labels = None if labels is None or metric != "accuracy" else torch.as_tensor(labels)
    if labels is not None and (labels.ndim != 1 or (labels != labels.long()).any()):
        raise ValueError(
            f"expected labels as whole numbers ({len(images)},), found {labels.dtype} "
            f"{tuple(labels.shape)}: {labels.tolist()[:5]}"
        )
    scanner = Scanner(model, layer, shifts, fill, exact_path)
    few = 2 if images.device.type == "cpu" else 64  # a processor's cache; a GPU's cores
    sums = torch.zeros((), dtype=torch.float64)
    what = f"map of {layer or 'the output'}"
    with (
        torch.inference_mode(),
        evaluating(model),
        bar(total=len(images), desc=what, unit="image", shorter=SHORTER) as progress,
    ):
        scanner.choose(images, len(images))
        for index in torch.arange(len(images)).split(few):
            outputs = scanner(images[index]).double()
            base = outputs[:, shifts, shifts, None, None]
            if labels is not None:
                if int(labels.max()) >= outputs.shape[3] or int(labels.min()) < 0:
                    raise ValueError(
                        f"expected labels from 0 to {outputs.shape[3] - 1} for the network's "
                        f"outputs, found {int(labels.min())} to {int(labels.max())}"
                    )
                values = (
                    outputs.argmax(3) == labels[index, None, None].to(outputs.device)
                ).double()
                # Among others a NaN, and only a NaN, would pass for the largest.
                values = values.where(outputs.isfinite().all(3), torch.nan)
            elif metric == "cosine":
                values = torch.cosine_similarity(outputs, base, dim=3)
            else:
                values = (outputs - base).norm(dim=3)
            sums = sums + values.sum(0).cpu()
            progress.update(len(index))
    if not sums.isfinite().all():
        raise ValueError(
            f"expected finite numbers from {layer or 'the network'}, found NaN or infinity"
        )
    return SensitivityMap((sums / len(images)).numpy(), shifts, layer, metric)


SHORTER = "fewer images or shifts take less"
