"""Accuracy at each place of a canvas. Accuracies are fractions; figures and prose show percent."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import nn

from invlib.data.canvas import Canvas
from invlib.data.items import ItemSet
from invlib.devices import autocast, device_of, evaluating
from invlib.exact.propagation import Propagator
from invlib.measure.statistics import Map
from invlib.training import logits_of


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
        exact_path: see ``propagation.Propagator``. With ``"auto"``, maps that are computed sooner
            than it is found out what pays are plain.
        precision: ``"float32"``, or ``"bfloat16"``, mixed with float32.
        propagator: one of this model and canvas, in the place of ``exact_path``; its ``path`` then
            says which was taken.

    Returns:
        float64 (rows, columns), from 0 to 1.

    Raises:
        PlaceError: when the grid leaves the canvas.
        ValueError: when the model gives no logits, or fewer than the items have classes, the
            precision is another, or the propagator is of another model or canvas.
        PathError: under ``"propagate"``, where it is not possible: says why.
    """
    rows = canvas.test_grid() if rows is None else rows
    columns = rows if columns is None else columns
    items = canvas.prepare(items)
    device = device_of(model)
    images, labels = items.images.to(device), items.labels.to(device)
    forward = propagator or Propagator(model, canvas, exact_path)
    if forward.model is not model or forward.canvas is not canvas:
        raise ValueError("propagator is of another model or canvas")
    right = torch.empty(len(rows) * len(columns), len(items), dtype=torch.bool, device=device)
    with torch.inference_mode(), evaluating(model), autocast(device, precision):
        for index, out in forward.everywhere(images, rows, columns, batch_size):
            index = index.to(device)
            right.view(-1)[index] = logits_of(out, items).argmax(1) == labels[index % len(items)]
    share = right.cpu().double().mean(1).numpy()
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
