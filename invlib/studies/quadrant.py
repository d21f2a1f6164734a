"""Kayhan & van Gemert 2020, sec. 4.1: how far from the border can a network tell where it is?

An image lies in the upper left or the lower right of a black frame, and a black border is added
around it. A network takes the largest value of each channel over all places; from these a linear
classifier says which of the two places it was.
"""

import warnings
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor, nn

from invlib.data.canvas import Canvas, Placement
from invlib.data.items import DataError, ItemSet
from invlib.data.sets import load
from invlib.devices import chunk_size, device_of, evaluating, seeded
from invlib.exact.propagation import Propagator
from invlib.measure.maps import Values
from invlib.measure.receptive_field import receptive_field
from invlib.models import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    find_weights,
    load_pretrained,
    small,
    squeezenet,
)
from invlib.progress import bar
from invlib.runs import Look, Profile, Study
from invlib.runs.checks import Count, Fraction
from invlib.training import Recipe, TrainingWarning, fit

_WIDTHS, _STRIDES = (3, 32, 64, 128, 128, 128), (1, 2, 2, 2, 1)
"""A small bag of features: five 3 x 3 convolutions that see 33 pixels, as BagNet-33 does."""


@dataclass(frozen=True)
class Settings:
    """All that decides the numbers of a run.

    Attributes:
        network: ``bag``, ``resnet18`` (torchvision's) or ``squeezenet1_1``.
        weights: ``random`` and ``imagenet`` are frozen, ``trained`` is trained on the task.
        images: the set; its training part is split.
        train: so many to train on.
        held: so many each to choose the readout by and to test on.
        item: side of an image.
        frame: side of the frame; the two places are its upper left and lower right.
        borders: around the frame, in pixels.
        compared: test images that are shown at both places, for ``apart``.
        strengths: of the readout's regularisation, scikit-learn's ``C``.
        recipe: of the training; None: the weights are frozen and read out.
    """

    network: str
    weights: str
    images: str = "cifar10"
    train: int = 2000
    held: int = 1000
    item: int = 56
    frame: int = 120
    borders: tuple[int, ...] = (0, 16, 32, 64, 128, 256)
    compared: int = 100
    strengths: tuple[float, ...] = (0.001, 0.01, 0.1, 1.0)
    recipe: Recipe | None = None


@dataclass(frozen=True)
class Measurement:
    """What one border leaves of the place.

    Attributes:
        border: in pixels.
        accuracy: on the test images, a fraction; chance is 0.5.
        apart: how far the features of one image at the two places differ: the largest difference
            over the largest feature at the upper left; 0 is the same.
        field: side of the network's receptive field in pixels.
    """

    border: Count
    accuracy: Fraction
    apart: float
    field: Count


def compute(settings: Settings, seed: int) -> list[Measurement]:
    """Every border with one network; one that is trained is trained anew for each.

    Raises:
        DataError: when the set is missing, damaged or too small.
        WeightsError: when the pretrained weights are missing or damaged.
    """
    train, validation, test = _split(settings, seed)
    network, rows = _network(settings, seed), []
    field = receptive_field(network.get_submodule("features"), _blank(settings)).size[0]
    for border in settings.borders:
        canvas, places = _canvas(settings, border), _places(settings, border)
        if settings.recipe is not None:
            network = _network(settings, seed)
            placement = Placement(canvas, partial(_of_label, places))
            with warnings.catch_warnings():  # what it does not learn is what is measured
                warnings.simplefilter("ignore", TrainingWarning)
                fit(network, canvas, train, placement, settings.recipe, seed)
        pooled = nn.Sequential(network.get_submodule("features"), nn.AdaptiveMaxPool2d(1))
        features = partial(_features, pooled, canvas)
        if settings.recipe is not None:
            last = network.get_submodule("classifier.2")
            with torch.inference_mode():
                answers = last(torch.from_numpy(features(test, places)).float()).argmax(1)
            accuracy = float((answers.cpu() == test.labels).double().mean())
        else:
            accuracy = _read_out(
                settings, [(features(e, places), e.labels) for e in (train, validation, test)]
            )
        few = test.take(torch.arange(settings.compared))
        one, other = (features(few, places[[i, i]]) for i in range(2))
        # A network that says 0 of everything says the same of both places.
        apart = float(np.abs(one - other).max() / (np.abs(one).max() or 1))
        rows.append(Measurement(border, accuracy, apart, field))
    return rows


def _split(settings: Settings, seed: int) -> Iterator[ItemSet]:
    """Images drawn by the seed, none in two parts; their label is the place they are shown at."""
    items = load(settings.images, "train")
    counts = [settings.train, settings.held, settings.held]
    if sum(counts) > len(items):
        raise DataError(f"{items.name}: {sum(counts)} images are asked for, found {len(items)}")
    order = torch.randperm(len(items), generator=torch.Generator().manual_seed(seed))
    for index in order[: sum(counts)].split(counts):
        labels = torch.arange(len(index)) % 2
        part = replace(
            items, images=items.images[index], labels=labels,
            classes=("upper left", "lower right"),
        )  # fmt: skip
        yield part.resized((settings.item, settings.item)).rgb()


def _network(settings: Settings, seed: int) -> nn.Module:
    """A network whose ``features`` are pooled."""
    if settings.network == "bag":
        network: nn.Module = small(_WIDTHS, 2, strides=_STRIDES, seed=seed)
    elif settings.network == "resnet18":
        from torchvision.models import resnet18

        with seeded(seed):
            layers = list(resnet18().children())[:-2]
        network = nn.Sequential(OrderedDict(features=nn.Sequential(*layers)))
    elif settings.network == "squeezenet1_1":
        network = squeezenet(2, seed=seed)
        if settings.weights == "imagenet":
            weights, path = find_weights(settings.network)
            load_pretrained(network, path, weights.bgr)
    else:
        raise ValueError(f"unknown network {settings.network!r}")
    return network.to("cuda" if torch.cuda.is_available() else "cpu").eval()


def _blank(settings: Settings) -> Tensor:
    """A picture in which the middle of the network's maps does not see the edge."""
    side = {"bag": 96, "resnet18": 512, "squeezenet1_1": 288}[settings.network]
    return torch.zeros(1, 3, side, side)


def _canvas(settings: Settings, border: int) -> Canvas:
    """Black around the images, as black as in them."""
    if border < 0:
        raise ValueError(f"expected a border from 0 px, found {border}")
    mean, std = IMAGENET_MEAN, IMAGENET_STD
    if settings.weights == "imagenet":
        weights, _ = find_weights(settings.network)
        mean, std = weights.mean, weights.std
    return Canvas(settings.frame + 2 * border, settings.item, mean=mean, std=std)


def _places(settings: Settings, border: int) -> Tensor:
    """The two places, int64 (2, 2)."""
    far = border + settings.frame - settings.item
    return torch.tensor([[border, border], [far, far]])


def _of_label(places: Tensor, labels: Tensor, generator: torch.Generator | None) -> Tensor:
    return places[labels]


def _features(pooled: nn.Module, canvas: Canvas, items: ItemSet, places: Tensor) -> Values:
    """The largest value of each channel for each image at the place of its label."""
    forward, device = Propagator(pooled, canvas), device_of(pooled)
    chunk = chunk_size(canvas.item, device) // 2
    rows: dict[int, Any] = {}
    with (
        torch.inference_mode(), evaluating(pooled), forward.fixed_weights(),
        bar(total=len(items), desc=f"features at {canvas.size[0]} px", unit="image") as progress,
    ):  # fmt: skip
        for label, place in enumerate(places.tolist()):
            for index in (items.labels == label).nonzero().flatten().split(chunk):
                out = forward(items.images[index].to(device), tuple(place))
                rows |= zip(index.tolist(), out.flatten(1).double().cpu().numpy(), strict=True)
                progress.update(len(index))
    found: Values = np.stack([rows[i] for i in range(len(items))])
    return found


def _read_out(settings: Settings, parts: Sequence[tuple[Values, Tensor]]) -> float:
    """Accuracy of a linear classifier on the test features, chosen on the validation features."""
    train, validation, test = parts
    readers = [
        make_pipeline(StandardScaler(), LogisticRegression(C=strength, max_iter=1000)).fit(*train)
        for strength in settings.strengths
    ]
    return float(max(readers, key=lambda reader: reader.score(*validation)).score(*test))


def check(settings: Settings, rows: Sequence[Measurement]) -> None:
    """Whether a file has a row for each border.

    Raises:
        ValueError: naming what was expected and found.
    """
    found = tuple(row.border for row in rows)
    if found != settings.borders:
        raise ValueError(f"expected borders {settings.borders}, found {found}")
    if not all(row.apart >= 0 for row in rows):
        raise ValueError("expected differences from 0")


_TRAINED = Recipe(steps=600, batch_size=64, target_accuracy=0.99, window=50, hold=50)
_BENCH = {
    "bag-random": Settings("bag", "random"),
    "resnet18-random": Settings("resnet18", "random"),
    "squeezenet-imagenet": Settings("squeezenet1_1", "imagenet"),
    "bag-trained": Settings("bag", "trained", recipe=_TRAINED),
}
LOOKS = {
    "bag-random": Look("bag of features, random", 0),
    "bag-trained": Look("bag of features, trained", 1),
    "resnet18-random": Look("ResNet-18, random", 2),
    "squeezenet-imagenet": Look("SqueezeNet, ImageNet", 3),
}

STUDY = Study(
    "quadrant",
    "Kayhan & van Gemert 2020, sec. 4.1",
    {
        "smoke": Profile(
            {
                name: replace(
                    each, images="digits", train=40, held=20, item=12, frame=28, borders=(0, 36),
                    compared=4, recipe=each.recipe and replace(each.recipe, steps=4, batch_size=8),
                )
                for name, each in _BENCH.items()
                if each.network == "bag"
            }
        ),
        "bench": Profile(
            _BENCH, seeds=3,
            needs="CIFAR-10 in the data root, and SqueezeNet 1.1's ImageNet weights",
        ),
    },
    Measurement,
    compute,
    LOOKS,
    check=check,
)  # fmt: skip
