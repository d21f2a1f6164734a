"""Kayhan & van Gemert 2020, sec. 4.4: does it pay with few images that a border leaks nothing?

The same small network with zero padding that keeps the size of the maps, and with full convolution,
on the first images of each class. The paper asks it of ResNet-50 on ImageNet.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch

from invlib.data.canvas import Canvas
from invlib.data.items import ItemSet
from invlib.data.sets import load
from invlib.measure.accuracy import accuracy_map
from invlib.models import small
from invlib.runs import Look, Profile, Study
from invlib.runs.checks import Fraction
from invlib.training import Recipe, fit


@dataclass(frozen=True)
class Settings:
    """All that decides the numbers of a run.

    Attributes:
        images: the set.
        padding: of the convolutions, see ``models.small``.
        per_class: the first so many of each class are trained on.
        recipe: how; no network stops early.
    """

    images: str
    padding: str
    per_class: int
    recipe: Recipe = Recipe(steps=3000, batch_size=64, target_accuracy=None)


@dataclass(frozen=True)
class Measurement:
    """One trained network.

    Attributes:
        train: accuracy on what it was trained on, a fraction, mean over the classes.
        test: on the test images.
    """

    train: Fraction
    test: Fraction


def compute(settings: Settings, seed: int) -> list[Measurement]:
    """One training.

    Raises:
        DataError: when the set is missing, damaged or too small.
    """
    items, test = (
        load(settings.images, "train").first(settings.per_class),
        load(settings.images, "test"),
    )
    channels, *size = items.images.shape[1:]
    canvas = Canvas((size[0], size[1]), (size[0], size[1]))
    model = small((channels, 32, 32, 64, 64), len(items.classes), settings.padding, seed=seed)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    fit(model, canvas, items, canvas.one_location(), settings.recipe, seed)

    def accuracy(shown: ItemSet) -> float:
        return float(accuracy_map(model, canvas, shown, (0,), (0,)).values[0, 0])

    return [Measurement(accuracy(items), accuracy(test))]


_SETS, _SIZES = ("mnist", "cifar10"), (50, 100, 250, 1000)
LOOKS = {
    f"{images}-{padding}-{size}": Look(f"{images}, {padding}, {size}", colour)
    for images in _SETS
    for colour, padding in enumerate(("same", "full"), 1)
    for size in _SIZES
}
"""Colours as in ``borders``."""
_BENCH = {
    f"{images}-{padding}-{size}": Settings(images, padding, size)
    for images in _SETS
    for size in _SIZES
    for padding in ("same", "full")
}


def check(settings: Settings, rows: Sequence[Measurement]) -> None:
    """Whether a file has one network.

    Raises:
        ValueError: naming what was expected and found.
    """
    if len(rows) != 1:
        raise ValueError(f"expected one network, found {len(rows)}")


STUDY = Study(
    "data_efficiency",
    "Kayhan & van Gemert 2020, sec. 4.4",
    {
        "smoke": Profile(
            {
                padding: replace(
                    Settings("digits", padding, 4),
                    recipe=Recipe(steps=4, batch_size=8, target_accuracy=None),
                )
                for padding in ("same", "full")
            }
        ),
        "bench": Profile(_BENCH, seeds=5, needs="MNIST and CIFAR-10 in the data root"),
    },
    Measurement,
    compute,
    LOOKS,
    check=check,
)
