"""The procedure of Biscione & Bowers: start somewhere, teach at one place, measure everywhere.

Without knowing its items at the trained place (the positive control), a network says nothing about
other places.
"""

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from torch import nn

from invlib.data.canvas import Canvas, Pair
from invlib.data.items import ItemSet
from invlib.training import Recipe, fit


def fit_with_control(
    make: Callable[[int], nn.Module],
    canvas: Canvas,
    items: ItemSet,
    shown: ItemSet,
    recipe: Recipe,
    threshold: float,
    seed: int,
    label: str = "",
    place: Pair | None = None,
) -> tuple[nn.Module, list[dict[str, Any]]]:
    """Train at one place, and once more with the remedy if the positive control fails.

    Args:
        make: gives the network to start from for a seed.
        canvas: the canvas.
        items: what is trained on.
        shown: the training items on which the control is measured.
        recipe: of the first try.
        threshold: least normalised accuracy at the trained place, a fraction.
        seed: of the network and the training; the second try has another, ``seed + 1000``, since
            the same draws might collapse again.
        label: shown before the progress bar.
        place: the trained place, leftmost-centred if not given.

    Returns:
        The last network, and one dictionary for each try: what came of the training, ``control``
        (normalised accuracy at the trained place) and ``failed``.
    """
    from invlib.measure.accuracy import accuracy_map, normalised_accuracy

    place = place or canvas.leftmost_centred
    attempts: list[dict[str, Any]] = []
    for each, draw in ((recipe, seed), (recipe.remedy(), seed + 1000)):
        model = make(draw)
        training = fit(model, canvas, items, canvas.one_location(place), each, draw, label)
        at_place = accuracy_map(model, canvas, shown, place[:1], place[1:])
        control = float(normalised_accuracy(at_place, len(items.classes))[0, 0])
        failed = control < threshold or training.outcome == "diverged"
        attempts.append({**asdict(training), "control": control, "failed": failed})
        if not failed:
            break
    return model, attempts
