"""Accuracy at each place of a canvas. Accuracies are fractions; figures and prose show percent."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from invlib.data.canvas import Canvas
from invlib.data.items import ItemSet
from invlib.devices import autocast, chunk_size, device_of, evaluating
from invlib.exact.propagation import Propagator

Map = NDArray[np.float64]

SHORT = 2**23
"""Canvases of fewer pixels than this in all are computed sooner than compared on two paths."""


def accuracy_map(
    model: nn.Module,
    canvas: Canvas,
    items: ItemSet,
    rows: Sequence[int] | None = None,
    columns: Sequence[int] | None = None,
    batch_size: int | None = None,
    exact_path: str = "auto",
    precision: str = "float32",
    propagator: Propagator | None = None,
) -> Map:
    """Accuracy at each place of a grid (Biscione & Bowers 2020, sec. 2.2).

    Args:
        model: any network from canvases (n, channels, height, width) to logits (n, classes). It
            is put in evaluation mode meanwhile.
        canvas: the canvas it sees.
        items: the items shown at every place; resized to the canvas's item size.
        rows: rows of the places; 19 evenly spaced ones if not given.
        columns: columns of the places; the same as the rows if not given.
        batch_size: canvases in one forward pass; by their size if not given.
        exact_path: see ``propagation.Propagator``. With ``"auto"``, maps of fewer than 2^23 pixels
            are plain.
        precision: ``"float32"``, or ``"bfloat16"``, mixed with float32.
        propagator: one of this model and canvas, in the place of ``exact_path``; its ``path`` then
            says which was taken.

    Returns:
        float64 (rows, columns), from 0 to 1.

    Raises:
        PlaceError: when the grid leaves the canvas.
        ValueError: when the model has fewer outputs than the items have classes, the precision is
            another, or the propagator is of another model or canvas.
        PathError: under ``"propagate"``, where it is not possible: says why.
    """
    rows = canvas.test_grid() if rows is None else rows
    columns = rows if columns is None else columns
    places = torch.cartesian_prod(torch.tensor(rows), torch.tensor(columns))
    items = canvas.prepare(items)
    device = device_of(model)
    images, labels = items.images.to(device), items.labels.to(device)
    n, total = len(items), len(items) * len(places)
    forward = propagator or Propagator(model, canvas, exact_path)
    if forward.model is not model or forward.canvas is not canvas:
        raise ValueError("propagator is of another model or canvas")
    short = forward.exact_path == "auto" and total * canvas.size[0] * canvas.size[1] < SHORT
    if short:
        forward.path, forward.reason = "plain", "the map is too short to find out what pays"
    right = torch.empty(total, dtype=torch.bool, device=device)
    cast = autocast(device, precision)
    with torch.inference_mode(), evaluating(model), cast, forward.fixed_weights():
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
        for index in (part for each in batches for part in each.split(batch_size or chunk)):
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
