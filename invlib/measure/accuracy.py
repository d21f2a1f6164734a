"""Accuracy at each place of a canvas. Accuracies are fractions; figures and prose show percent."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from invlib.data.canvas import Canvas, Pair, PlaceError, on_axis
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
    batch_size: int | None = None,
    exact_path: str = "auto",
    precision: str = "float32",
    propagator: Propagator | None = None,
    place: Pair | None = None,
) -> AccuracyMap:
    """Accuracy at each place of a grid (Biscione & Bowers 2020, sec. 2.2).

    It is the mean over classes, so that chance is one of their number however many items each has.

    Args:
        model: any network from canvases (n, channels, height, width) to logits (n, classes). It
            is put in evaluation mode meanwhile.
        canvas: the canvas it sees.
        items: the items shown at every place; resized to the canvas's item size.
        rows: rows of the places, rising; 19 evenly spaced ones and the trained one if not given.
        columns: columns of the places; likewise or, on a square canvas, the same as the rows if
            these are given.
        batch_size: canvases in one forward pass; by their size if not given.
        exact_path: see ``propagation.Propagator``. With ``"auto"``, maps that are computed sooner
            than it is found out what pays are plain.
        precision: ``"float32"``, or ``"bfloat16"``, mixed with float32.
        propagator: one of this model and canvas, in the place of ``exact_path``; its ``path`` then
            says which was taken.
        place: the trained place, (row, column), which the map compares others with; the
            leftmost-centred one if not given.

    Returns:
        The map, which knows its places: see ``AccuracyMap``.

    Raises:
        PlaceError: when the grid or the trained place leaves the canvas, or the grid is not rising
            whole numbers or needs columns of its own.
        DataError: for items of another shape than the canvas's.
        ValueError: when the model gives no logits, not one row for each canvas, not finite ones, or
            fewer than the items have classes, takes another number of channels, the precision or
            batch size is another, or the propagator is of another model or canvas.

    Warns:
        UserWarning: when they are more than the items have classes.
        PathError: under ``"propagate"``, where it is not possible: says why.
    """
    place = canvas.leftmost_centred if place is None else canvas.legal_place(place)
    rows, columns = _grid(canvas, rows, columns, place)
    known = answers(
        model, canvas, items, rows, columns, batch_size, exact_path, precision, propagator
    )
    labels, classes = items.labels.numpy(), len(items.classes)
    by_class = [known[:, :, labels == label].mean(axis=2) for label in range(classes)]
    values = np.mean(by_class, axis=0)
    return AccuracyMap(values, rows, columns, place, canvas.item, classes, items.name)


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
    broken = torch.zeros((), dtype=torch.bool, device=device)
    with (
        torch.inference_mode(),
        evaluating(model),
        autocast(device, precision),
        fitting(model, items, canvas),
        bar(total=total, desc=f"map of {items.name}", unit="item", shorter=SHORTER) as progress,
    ):
        for index, out in forward.everywhere(images, rows, columns, batch_size):
            index = index.to(device)
            logits = logits_of(out, items, len(index))
            broken |= ~logits.isfinite().all()
            right[index] = logits.argmax(1) == labels[index % len(items)]
            progress.update(len(index))
    if broken:  # not asked of each batch, for which a GPU would be waited for
        raise ValueError(
            f"expected finite logits for {items.name} from the model, found NaN or infinity"
        )
    return right.cpu().numpy().reshape(len(rows), len(columns), len(items))


SHORTER = "fewer places (canvas.test_grid(7)) or items (items.first(5)) take less"


def _grid(
    canvas: Canvas, rows: Sequence[int] | None, columns: Sequence[int] | None, place: Pair
) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if columns is None and rows is not None:
        if canvas.last[0] != canvas.last[1]:
            raise PlaceError(
                f"the canvas has {canvas.last[0] + 1} legal rows and {canvas.last[1] + 1} "
                "columns: expected columns, too, such as canvas.test_grid(axis=1)"
            )
        columns = rows
    axes = []
    for axis, given in enumerate((rows, columns)):
        if given is None:  # with the trained place, which even steps may miss
            given = sorted({*canvas.test_grid(axis=axis), place[axis]})
        values = on_axis(given)
        if (np.diff(values) <= 0).any():
            raise PlaceError(f"expected rows and columns as rising whole numbers, found {given}")
        axes.append(values)
    return axes[0], axes[1]
