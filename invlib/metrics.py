"""How much an answer depends on the place: accuracy maps and what is read off them.

Accuracies are fractions throughout; figures and prose show percent.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor, nn

from invlib.canvas import Canvas, Pair, PlaceError
from invlib.datasets import ItemSet
from invlib.dense import Scanner
from invlib.models import evaluating
from invlib.propagation import Propagator
from invlib.training import autocast, chunk_size, device_of

Map = NDArray[np.float64]

SHORT = 2**23
"""Canvases of fewer pixels than this in all are computed sooner than compared on two paths."""


def accuracy_map(
    model: nn.Module,
    canvas: Canvas,
    items: ItemSet,
    rows: Sequence[int] | None = None,
    columns: Sequence[int] | None = None,
    batch: int | None = None,
    exact_path: str | Propagator = "auto",
) -> Map:
    """Accuracy at each place of a grid (Biscione & Bowers 2020, sec. 2.2).

    Args:
        model: any network from canvases (n, channels, height, width) to logits (n, classes). It
            is put in evaluation mode meanwhile.
        canvas: the canvas it sees.
        items: the items shown at every place; resized to the canvas's item size.
        rows: rows of the places; 19 evenly spaced ones if not given.
        columns: columns of the places; the same as the rows if not given.
        batch: canvases in one forward pass; by their size if not given.
        exact_path: see ``propagation.Propagator``; or one of this model and canvas, whose ``path``
            then says which was taken. With ``"auto"``, maps of fewer than 2^23 pixels are plain.

    Returns:
        float64 (rows, columns), from 0 to 1.

    Raises:
        PlaceError: when the grid leaves the canvas.
        ValueError: when the model has fewer outputs than the items have classes, or
            ``exact_path`` is of another model or canvas.
        PathError: under ``"propagate"``, where it is not possible: says why.
    """
    rows = canvas.test_grid() if rows is None else rows
    columns = rows if columns is None else columns
    places = torch.cartesian_prod(torch.tensor(rows), torch.tensor(columns))
    items = canvas.prepare(items)
    device = device_of(model)
    images, labels = items.images.to(device), items.labels.to(device)
    n, total = len(items), len(items) * len(places)
    if isinstance(exact_path, str):
        exact_path = Propagator(model, canvas, exact_path)
    forward = exact_path
    if forward.model is not model or forward.canvas is not canvas:
        raise ValueError("exact_path is a Propagator of another model or canvas")
    short = forward.exact_path == "auto" and total * canvas.size[0] * canvas.size[1] < SHORT
    if short:
        forward.path, forward.reason = "plain", "the map is too short to find out what pays"
    right = torch.empty(total, dtype=torch.bool, device=device)
    with torch.inference_mode(), evaluating(model), autocast(device), forward.fixed_weights():
        # Windows are smallest where a batch shares its place, or else its row; but a few items of
        # another window size cost more than that saves.
        few = 100 if device.type == "cpu" else 3200
        shared = next((m for m in (n, n * len(columns)) if m >= few), total)
        batches = torch.arange(total).split(shared)
        # A place that is as far from the border as places are on average.
        typical = len(rows) // 4 * len(columns) + len(columns) // 4
        some = batches[typical * n // shared][[0, -1]]
        if not short:
            forward.choose(images[(some % n).to(device)], places[some // n])
        propagates = forward.path == "propagate"
        batches = batches if propagates else (torch.arange(total),)
        chunk = chunk_size(canvas.item if propagates else canvas.size, device)
        for index in (part for each in batches for part in each.split(batch or chunk)):
            item = (index % n).to(device)
            logits = forward(images[item], places[index // n])
            if logits.shape[1] < len(items.classes):
                raise ValueError(
                    f"{items.name} has {len(items.classes)} classes, "
                    f"the model gives {logits.shape[1]} logits"
                )
            right[index.to(device)] = logits.argmax(1) == labels[item]
    share = right.view(len(places), n).cpu().double().mean(1).numpy()
    return share.reshape(len(rows), len(columns))


def sensitivity_map(
    model: nn.Module,
    images: Tensor,
    layer: str | None = None,
    shifts: int = 10,
    metric: str = "cosine",
    labels: Tensor | None = None,
    fill: float | Sequence[float] = 0.0,
    exact_path: str = "auto",
) -> Map:
    """How a layer's output for shifted images compares with that for unshifted ones.

    Pixels that leave the frame are lost, ``fill`` comes in (Myburgh et al. 2020, sec. 3.2).

    Args:
        model: any network from images (n, channels, height, width). It is put in evaluation mode
            meanwhile.
        images: float (n, channels, height, width), as the network takes them, on its device.
        layer: name of a submodule, as in ``model.named_modules()``; None: the network's output.
        shifts: from ``-shifts`` to ``shifts`` pixels on both axes.
        metric: ``"cosine"`` similarity, from -1 to 1; ``"euclidean"`` distance; or ``"accuracy"``:
            how often the largest output is that of the label, from 0 to 1.
        labels: int64 (n,), for the accuracy.
        fill: what comes in at the border, as the network sees it; one number or one per channel. On
            a canvas that normalises black is not 0: ``canvas.empty(channels)`` has it.
        exact_path: see ``dense.Scanner``.

    Returns:
        float64 (2 shifts + 1, 2 shifts + 1), the mean over the images; rows are shifts down (from
        negative, up), columns shifts to the right.

    Raises:
        ValueError: for an unknown layer (names the nearest), metric, shifts beyond the frame,
            images that are not float, or accuracy without a label for each image.
        PathError: under ``"propagate"``, where it is not possible: says why.
    """
    if metric not in ("cosine", "euclidean", "accuracy"):
        raise ValueError(f"metric must be cosine, euclidean or accuracy, not {metric!r}")
    if metric == "accuracy" and (labels is None or len(labels) != len(images)):
        found = "none" if labels is None else len(labels)
        raise ValueError(f"accuracy needs a label for each of {len(images)} images, found {found}")
    if images.ndim != 4 or not images.is_floating_point() or not len(images):
        raise ValueError(
            "expected images as float (n, channels, height, width), "
            f"found {images.dtype} {tuple(images.shape)}"
        )
    scanner = Scanner(model, layer, shifts, fill, exact_path)
    few = 2 if images.device.type == "cpu" else 64  # a processor's cache; a GPU's cores
    sums = torch.zeros((), dtype=torch.float64)
    with torch.inference_mode(), evaluating(model):
        for index in torch.arange(len(images)).split(few):
            outputs = scanner(images[index]).double()
            base = outputs[:, shifts, shifts, None, None]
            if labels is not None and metric == "accuracy":
                values = outputs.argmax(3) == labels[index, None, None].to(outputs.device)
            elif metric == "cosine":
                values = torch.cosine_similarity(outputs, base, dim=3)
            else:
                values = (outputs - base).norm(dim=3)
            sums = sums + values.double().sum(0).cpu()
    return (sums / len(images)).numpy()


def normalised_accuracy(accuracy: ArrayLike, classes: int) -> NDArray[np.float64]:
    """Accuracy on a scale where chance is 0 and perfect is 1; not clipped, so it may be negative.

    Paper: Biscione & Bowers 2020, sec. 2.3 and Fig. 2B.

    >>> float(normalised_accuracy(0.1, classes=10))
    0.0
    >>> float(normalised_accuracy(0.0, classes=2))
    -1.0
    """
    chance = 1 / classes
    return (np.asarray(accuracy, dtype=np.float64) - chance) / (1 - chance)


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
