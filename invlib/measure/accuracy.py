"""Accuracy at each place of a canvas. Accuracies are fractions; figures and prose show percent."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from invlib.data.canvas import Canvas, Pair, PlaceError
from invlib.data.items import ItemSet
from invlib.devices import autocast, device_of, evaluating
from invlib.exact.propagation import Propagator
from invlib.measure.maps import AccuracyMap
from invlib.progress import bar
from invlib.training import fitting, logits_of


def accuracy_map(
    model: nn.Module,
    canvas: Canvas,
    items: ItemSet,
    rows: Sequence[int] | None = None,
    columns: Sequence[int] | None = None,
    place: Pair | None = None,
    batch_size: int | None = None,
    exact_path: str = "auto",
    precision: str = "float32",
    propagator: Propagator | None = None,
) -> AccuracyMap:
    """Accuracy at each place of a grid (Biscione & Bowers 2020, sec. 2.2).

    Args:
        model: any network from canvases (n, channels, height, width) to logits (n, classes). It
            is put in evaluation mode meanwhile.
        canvas: the canvas it sees.
        items: the items shown at every place; resized to the canvas's item size.
        rows: rows of the places; 19 evenly spaced ones if not given.
        columns: columns of the places; 19 of them or, on a square canvas, the same as the rows if
            not given.
        place: the trained place, (row, column), which the map compares others with; the
            leftmost-centred one if not given.
        batch_size: canvases in one forward pass; by their size if not given.
        exact_path: see ``propagation.Propagator``. With ``"auto"``, maps that are computed sooner
            than it is found out what pays are plain.
        precision: ``"float32"``, or ``"bfloat16"``, mixed with float32.
        propagator: one of this model and canvas, in the place of ``exact_path``; its ``path`` then
            says which was taken.

    Returns:
        The map, which knows its places: see ``AccuracyMap``.

    Raises:
        PlaceError: when the grid leaves the canvas, or needs columns of its own.
        DataError: for items of another shape than the canvas's.
        ValueError: when the model gives no logits, or fewer than the items have classes, takes
            another number of channels, the precision is another, or the propagator is of another
            model or canvas.
        PathError: under ``"propagate"``, where it is not possible: says why.
    """
    rows, columns = _grid(canvas, rows, columns)
    known = answers(
        model, canvas, items, rows, columns, batch_size, exact_path, precision, propagator
    )
    place = canvas.leftmost_centred if place is None else place
    classes = len(items.classes)
    return AccuracyMap(known.mean(axis=2), rows, columns, place, canvas.item, classes, items.name)


def answers(
    model: nn.Module,
    canvas: Canvas,
    items: ItemSet,
    rows: Sequence[int],
    columns: Sequence[int],
    batch_size: int | None = None,
    exact_path: str = "auto",
    precision: str = "float32",
    propagator: Propagator | None = None,
) -> NDArray[np.bool_]:
    """Whether each item is known at each place; arguments and errors as of ``accuracy_map``.

    Returns:
        bool (rows, columns, items).
    """
    items = canvas.prepare(items)
    device = device_of(model)
    images, labels = items.images.to(device), items.labels.to(device)
    forward = propagator or Propagator(model, canvas, exact_path)
    if forward.model is not model or forward.canvas is not canvas:
        raise ValueError("propagator is of another model or canvas")
    total = len(rows) * len(columns) * len(items)
    right = torch.empty(total, dtype=torch.bool, device=device)
    with (
        torch.inference_mode(),
        evaluating(model),
        autocast(device, precision),
        fitting(model, items),
        bar(total=total, desc=f"map of {items.name}", unit="canvas", shorter=SHORTER) as progress,
    ):
        for index, out in forward.everywhere(images, rows, columns, batch_size):
            index = index.to(device)
            right[index] = logits_of(out, items).argmax(1) == labels[index % len(items)]
            progress.update(len(index))
    return right.cpu().numpy().reshape(len(rows), len(columns), len(items))


SHORTER = "fewer places (canvas.test_grid(7)) or items (items.first(5)) take less"


def _grid(
    canvas: Canvas, rows: Sequence[int] | None, columns: Sequence[int] | None
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if rows is not None and columns is None and canvas.last[0] != canvas.last[1]:
        raise PlaceError(
            f"the canvas has {canvas.last[0] + 1} legal rows and {canvas.last[1] + 1} columns: "
            "expected columns, too, such as canvas.test_grid(axis=1)"
        )
    if columns is None:
        columns = canvas.test_grid(axis=1) if rows is None else rows
    rows = canvas.test_grid() if rows is None else rows
    return tuple(map(int, rows)), tuple(map(int, columns))
