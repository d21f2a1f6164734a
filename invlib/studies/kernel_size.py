"""Myburgh, Mouton & Davel 2020, Experiments 1 and 2: kernel size, feature-map size, and depth.

How much do the last feature maps and the answer of a network change when its input is shifted? And
where in the network does what is invariant become so? With the networks of the paper, and with ones
of which less differs at once.
"""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from invlib.data.canvas import Canvas
from invlib.data.items import DataError, ItemSet
from invlib.data.sets import load
from invlib.measure.alignment import alignment
from invlib.measure.maps import Values
from invlib.measure.radial import pearson, radial_mean
from invlib.measure.sensitivity import sensitivity_maps
from invlib.models import TRACKING, TrackingTable, tracking
from invlib.runs import Look, Profile, Study
from invlib.runs.checks import Count
from invlib.studies.epochs import Epochs, Split, Trained, fit_epochs

LAST = {"pooling 3": "network.features", "logits": "network.classifier", "softmax": "softmax"}
"""The places of the paper: behind the last pooling, and the last layer before and after softmax."""


@dataclass(frozen=True)
class Images:
    """Which images are trained on, chosen by and measured on.

    Attributes:
        name: the set.
        train: of its split for training, the first so many in the official order; None: all.
        validation: so many of them, the last of a permutation by seed 0, choose the network.
        test: the split measured on.
        per_class: of each class the first so many are measured on; None: all.
    """

    name: str
    train: int | None
    validation: int
    test: str = "test"
    per_class: int | None = None

    def load(self) -> Split:
        """The items.

        Raises:
            DataError: when the set is missing, damaged or too small.
        """
        items, test = load(self.name, "train"), load(self.name, self.test)
        count = self.train or len(items)
        if len(items) < count:
            raise DataError(f"{self.name}: {count} items are asked for, found {len(items)}")
        order = torch.randperm(count, generator=torch.Generator().manual_seed(0))
        known = count - self.validation
        return Split(
            items.take(order[:known]),
            items.take(order[known:]),
            test if self.per_class is None else test.first(self.per_class),
        )


@dataclass(frozen=True)
class Settings:
    """All that decides the numbers of a run.

    Attributes:
        network: the network.
        images: what it sees.
        recipe: how it is trained.
        border: black pixels around an image.
        anywhere: it is trained on images at places drawn anew, on which nothing is cut off.
        shifts: of the maps, in pixels.
        metrics: of the maps, by places of ``LAST``; those of the accuracy at the logits are among
            them. None: no maps.
        deep: images of each class for the curves behind every layer; None: not measured.
        aligned: images of each class for how far the last maps move; None: not measured.
        by_class: seed 0 keeps the maps of each class of these metrics at the logits.
    """

    network: TrackingTable
    images: Images
    recipe: Epochs
    border: int = 6
    anywhere: bool = False
    shifts: int = 10
    metrics: Mapping[str, tuple[str, ...]] | None = None
    deep: int | None = None
    aligned: int | None = None
    by_class: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Measurement:
    """What one metric says at one place of a trained network.

    Attributes:
        place: ``pooling 3``, ``logits`` or ``softmax``, or with ``depth`` any layer.
        metric: ``cosine``, ``euclidean``, ``accuracy`` (of unshifted images alone where there is no
            map), or ``aligned``, the cosine similarity after the shift of the maps that brings
            them nearest.
        depth: how many layers lie in front of it, on the images of ``deep``; None: of ``LAST``, on
            all images.
        images: measured on.
        map: mean over the classes' maps; None with ``depth``, and where none was made.
        radial: radial curve of each class (classes, rings); with ``depth`` of all together (1,
            rings); None where no map was made.
        pearson: of each class's map with that of the accuracy, the distance counted negative; NaN
            where a map is the same everywhere. None where it was not measured.
        classes: the map of each class; None where it is not kept.
        cells: with ``aligned``: that shift in cells along the axis of the image's, for shifts to
            the right and down (2, shifts); mean over images.
        training: how the network was trained; in the first row of a run.
        failed: it did not learn what it was to learn.
    """

    place: str
    metric: str
    depth: Count | None
    images: Count
    map: Values | None
    radial: Values | None
    pearson: Values | None
    classes: Values | None
    cells: Values | None
    training: Trained | None
    failed: bool


def compute(settings: Settings, seed: int) -> list[Measurement]:
    """One trained network, the maps at its last layers and the curves of all.

    Raises:
        DataError: when the set is missing, damaged or too small.
    """
    split = settings.images.load()
    model, canvas, training = _trained(settings, split, seed)
    failed = settings.recipe.epochs > 0 and (
        training.outcome == "diverged" or training.train < settings.recipe.least
    )
    if settings.recipe.target is not None:
        failed = training.validation < settings.recipe.target
    measured = [
        *_last(settings, model, canvas, split, seed),
        *_deep(settings, model, canvas, split),
        *_aligned(settings, model, canvas, split),
    ]
    return [
        Measurement(**each, training=None if i else training, failed=failed)
        for i, each in enumerate(measured)
    ]


def _trained(settings: Settings, split: Split, seed: int) -> tuple[nn.Module, Canvas, Trained]:
    """The network, with its input and softmax as layers of their own."""
    height, width = split.train.images.shape[2:]
    border = settings.border
    canvas = Canvas((height + 2 * border, width + 2 * border), (height, width))
    middle = canvas.one_location((border, border))
    places = canvas.fully_translated() if settings.anywhere else middle
    device = "cuda" if torch.cuda.is_available() else "cpu"
    network = tracking(settings.network, len(split.train.classes), seed).to(device)
    trained = fit_epochs(network, places, middle, split, settings.recipe, seed)
    return _wrapped(network), canvas, trained


def _shown(canvas: Canvas, items: ItemSet, settings: Settings) -> Tensor:
    return canvas.render(items.images, (settings.border, settings.border))


def _last(
    settings: Settings, model: nn.Module, canvas: Canvas, split: Split, seed: int
) -> Iterator[dict[str, Any]]:
    """What is measured at the places of the paper, on all images."""
    items = split.test
    if settings.metrics is None:
        yield dict.fromkeys(("depth", "map", "radial", "pearson", "classes", "cells")) | {
            "place": "logits", "metric": "accuracy", "images": len(items)
        }  # fmt: skip
        return
    measured: dict[str | None, tuple[str, ...]] = {
        LAST[place]: metrics for place, metrics in settings.metrics.items()
    }
    frames = _shown(canvas, items, settings)
    maps = sensitivity_maps(model, frames, items.labels, measured, settings.shifts)
    right: Values = np.array(maps[LAST["logits"], "accuracy"])
    for place, metrics in settings.metrics.items():
        for metric in metrics:
            values: Values = np.array(maps[LAST[place], metric])
            kept = seed == 0 and place == "logits" and metric in (settings.by_class or ())
            against = -values if metric == "euclidean" else values
            yield {
                "place": place, "metric": metric, "depth": None, "images": len(items),
                "map": _digits(values.mean(axis=0)),
                "radial": _digits(radial_mean(values)),
                "pearson": None if metric == "accuracy" else _digits(pearson(against, right)),
                "classes": _digits(values) if kept else None,
                "cells": None,
            }  # fmt: skip


def _deep(
    settings: Settings, model: nn.Module, canvas: Canvas, split: Split
) -> Iterator[dict[str, Any]]:
    """The radial curve behind every layer, on a few images."""
    if settings.deep is None:
        return
    items, layers = split.test.first(settings.deep), layers_of(model)
    one = torch.zeros(len(items), dtype=torch.int64)
    measured: Any = dict.fromkeys(layers.values(), ("cosine",))
    frames = _shown(canvas, items, settings)
    maps = sensitivity_maps(model, frames, one, measured, settings.shifts)
    for depth, (place, layer) in enumerate(layers.items()):
        yield dict.fromkeys(("map", "pearson", "classes", "cells")) | {
            "place": place, "metric": "cosine", "depth": depth, "images": len(items),
            "radial": _digits(radial_mean(maps[layer, "cosine"])),
        }  # fmt: skip


def _aligned(
    settings: Settings, model: nn.Module, canvas: Canvas, split: Split
) -> Iterator[dict[str, Any]]:
    """How far the last maps move with the image, and how similar they are after it, on a few."""
    if settings.aligned is None:
        return
    items, place = split.test.first(settings.aligned), "pooling 3"
    frames, shifts = _shown(canvas, items, settings), settings.shifts
    found = alignment(model, frames, LAST[place], shifts)
    yield {
        "place": place, "metric": "aligned", "depth": list(layers_of(model)).index(place),
        "images": len(items), "map": _digits(found.cosine.values),
        "radial": _digits(radial_mean(found.cosine)[None]), "pearson": None, "classes": None,
        "cells": _digits(np.stack([found.right[shifts], found.down[:, shifts]])),
    }  # fmt: skip


def layers_of(model: nn.Module) -> dict[str, str]:
    """Every layer of a network of the study, by the name it has in the book: its module's name."""
    stage, named = 1, {}
    for name, part in model.named_modules():
        inside = "features" in name
        words = {
            nn.Identity: "input",
            nn.Conv2d: f"convolution {stage}",
            nn.ReLU: f"ReLU {stage}" if inside else "ReLU of hidden nodes",
            nn.MaxPool2d: f"pooling {stage}",
            nn.Linear: "logits" if "hidden nodes" in named else "hidden nodes",
            nn.Softmax: "softmax",
        }.get(type(part))
        if words:
            # The second convolution of a stage, where there are two.
            named[words + "b" * (words in named)] = name
        stage += isinstance(part, nn.MaxPool2d)
    return named


def check(settings: Settings, rows: Sequence[Measurement]) -> None:
    """Whether a file has each of the curves and maps that the settings promise.

    Raises:
        ValueError: naming what was expected and found.
    """
    side = 2 * settings.shifts + 1
    measured = settings.metrics or {"logits": ("accuracy",)}
    expected = [(place, metric) for place, metrics in measured.items() for metric in metrics]
    found = [(row.place, row.metric) for row in rows if row.depth is None]
    if found != expected:
        raise ValueError(f"expected measurements of {expected}, found {found}")
    deep = [(row.place, row.metric) for row in rows if row.depth is not None]
    named = layers_of(_wrapped(tracking(settings.network))) if settings.deep is not None else ()
    expected = [(name, "cosine") for name in named]
    expected += [("pooling 3", "aligned")] if settings.aligned is not None else []
    if deep != expected:
        raise ValueError(f"expected curves of {expected}, found {deep}")
    if [row.training is None for row in rows] != [False] + [True] * (len(rows) - 1):
        raise ValueError("expected the training in the first row, and there alone")
    curve = radial_mean(np.zeros((side, side))).shape
    for row in rows:
        if settings.metrics is not None and row.radial is None:
            raise ValueError(f"expected a curve of {row.place}, found none")
        classes = 1 if row.radial is None or row.depth is not None else len(row.radial)
        shapes = {
            "map": (side, side), "radial": (classes, *curve), "pearson": (classes,),
            "classes": (classes, side, side), "cells": (2, side),
        }  # fmt: skip
        for name, shape in shapes.items():
            values = getattr(row, name)
            if values is not None and values.shape != shape:
                raise ValueError(f"expected {name} of {shape}, found {values.shape}")
        if settings.metrics is not None and row.depth is None and row.map is None:
            raise ValueError(f"expected a map of {row.place}, found none")
        least = -1e-4 if row.metric in ("euclidean", "accuracy") else -1 - 1e-4
        most = np.inf if row.metric == "euclidean" else 1 + 1e-4
        for values in (row.map, row.radial, row.classes):
            if values is not None and not ((values >= least) & (values <= most)).all():
                raise ValueError(f"expected {row.metric} from {least:.0f} to {most:.0f}")


def _wrapped(network: nn.Module) -> nn.Module:
    """A network whose input and softmax are layers as well."""
    parts = {"input": nn.Identity(), "network": network, "softmax": nn.Softmax(1)}
    return nn.Sequential(OrderedDict(parts)).eval()


def _digits(values: Any) -> Values:
    """Four digits behind the point, as much as the seeds leave sure."""
    return np.asarray(values, dtype=np.float64).round(4)


def _halved(table: TrackingTable) -> TrackingTable:
    colours, a, b, c = table.channels
    return replace(table, channels=(colours, a // 2, b // 2, c // 2))


_RATES = {
    "mnist-k5": 0.003, "mnist-k4": 0.002, "mnist-k3": 0.002,
    "mnist-k5-unpadded": 0.002, "mnist-k4-unpadded": 0.002, "mnist-k3-unpadded": 0.002,
    "cifar10-k5": 0.001, "cifar10-k4": 0.001, "cifar10-k3": 0.002,
    "cifar10-k5-unpadded": 0.001, "cifar10-k4-unpadded": 0.001, "cifar10-k3-unpadded": 0.0005,
}  # fmt: skip
"""The learning rate of each network: of those in the profile ``sweep`` with which it learnt its
training images, the one of the best validation accuracy."""
_BEYOND = {"mnist-k5": (0.004,), "cifar10-k3-unpadded": (0.00025,)}
"""Rates of the sweep beyond its edges, where the best lay at one."""
_SWEPT = (0.0005, 0.001, 0.002, 0.003)

_MNIST = Images("mnist", train=None, validation=5000)
_CIFAR = Images("cifar10", train=None, validation=5000)
_FEW = replace(_CIFAR, train=12_000, validation=1000)
_FEW_MAPS = {"pooling 3": ("cosine",), "logits": ("cosine", "accuracy")}
_MAPS = {
    "pooling 3": ("cosine",), "logits": ("cosine", "euclidean", "accuracy"), "softmax": ("cosine",),
}  # fmt: skip


def _network(name: str, small: bool) -> Settings:
    """A network of tables 1 to 4, trained at its rate."""
    table, mnist = TRACKING[name.replace("-", "_")], name.startswith("mnist")
    settings = Settings(
        table if mnist or not small else _halved(table),
        _MNIST if mnist else _FEW if small else _CIFAR,
        Epochs(_RATES[name], epochs=15 if mnist else 30),
        metrics=_MAPS,
        deep=20,
        aligned=None if "unpadded" in name else 20,
    )
    return replace(settings, by_class=_MAPS["logits"]) if name == "mnist-k5" else settings


def _swept() -> dict[str, Settings]:
    """Every network of the small scale at every rate; nothing but its accuracy is measured."""
    settings = {name: _network(name, small=True) for name in _RATES}
    return {
        f"{name}-{rate}": replace(
            each, recipe=replace(each.recipe, learning_rate=rate),
            metrics=None, deep=None, aligned=None, by_class=None,
        )
        for name, each in settings.items()
        for rate in (*_SWEPT, *_BEYOND.get(name, ()))
    }  # fmt: skip


_PUBLISHED = replace(TRACKING["mnist_k4"], padding=((2, 2), (2, 2), (1, 1)), sides=(20, 10, 4))
"""As table 1 prints it; its last maps are of 4 x 4 cells, not 5 x 5."""
_HIDDEN = {
    "mnist-k4": 510, "mnist-k3": 517, "mnist-k5-unpadded": 2702, "mnist-k3-unpadded": 99,
}  # fmt: skip
"""Hidden nodes with which a network has as many weights as that of its table with 500: k = 5 with
padding, k = 4 without."""
_REACHED = 0.99
"""Validation accuracy. The best of the worst network of table 1 (k = 3) is 0.9904 on seed 0; it is
rounded down, so that other seeds reach it."""
_UNTRAINED = Epochs(0.0, epochs=0)


def _controls() -> dict[str, Settings]:
    """Networks of which less differs at once; others that see less or more.

    They are measured on a fifth of the test images, which leaves less open than their seeds do.
    """
    few = replace(_MNIST, per_class=200)
    fair = {
        name: replace(
            _network(name, True), images=few, metrics=_FEW_MAPS, aligned=None, by_class=None
        )
        for name in _RATES
        if name.startswith("mnist")
    }
    padded = ("mnist-k5", "mnist-k4", "mnist-k3")

    def changed(name: str, **changes: Any) -> Settings:
        return replace(fair[name], network=replace(fair[name].network, **changes))

    def trained(name: str, **changes: Any) -> Settings:
        return replace(fair[name], recipe=replace(fair[name].recipe, **changes))

    return {
        **{f"equal-accuracy-{n}": trained(n, target=_REACHED, checks=4) for n in padded},
        **{f"equal-weights-{n}": changed(n, hidden=hidden) for n, hidden in _HIDDEN.items()},
        "equal-field-mnist-k3": changed("mnist-k3", convolutions=2),
        "published-mnist-k4": replace(fair["mnist-k4"], network=_PUBLISHED),
        "anywhere-mnist-k5": replace(fair["mnist-k5"], anywhere=True),
        **{f"untrained-{n}": replace(each, recipe=_UNTRAINED) for n, each in fair.items()},
    }


_TINY = TrackingTable((1, 4, 4, 4), 22, 3, ((1, 1),) * 3, (11, 5, 2), hidden=8)
SMOKE = Profile(
    {
        name: Settings(
            each, Images("digits", train=300, validation=60, per_class=2),
            Epochs(0.01, epochs=2, batch_size=32, least=0.0), border=7, shifts=2, deep=1,
            metrics=_MAPS, aligned=1, by_class=_MAPS["logits"], anywhere=name == "anywhere",
        )
        for name, each in {
            "padded": _TINY,
            "unpadded": replace(_TINY, padding=((0, 0),) * 3, sides=(10, 4, 1)),
            "anywhere": _TINY,
        }.items()
    }
)  # fmt: skip
BENCH = Profile(
    {**{name: _network(name, small=True) for name in _RATES}, **_controls()},
    seeds=3,
    needs="MNIST, and 13,000 images of CIFAR-10, in the data root",
)
SWEEP = Profile(_swept(), needs=BENCH.needs)
PAPER = Profile(
    # MNIST's networks are of the paper's size in bench already.
    {name: _network(name, small=False) for name in _RATES if name.startswith("cifar10")},
    seeds=3,
    needs="a data-centre GPU, and the whole of CIFAR-10",
)

_COLOURS = {"k5": 0, "k4": 1, "k3": 2}
_CHANGED = {
    "": "",
    "equal-accuracy-": "equal accuracy, ",
    "equal-weights-": "equal weights, ",
    "equal-field-": "two convolutions, ",
    "published-": "as printed, ",
    "anywhere-": "trained anywhere, ",
    "untrained-": "untrained, ",
}


def _look(condition: str) -> Look:
    """By kernel, and by what was changed."""
    before, _, network = condition.rpartition("mnist-" if "mnist" in condition else "cifar10-")
    kernel = network[:2]
    unpadded = ", unpadded" * network.endswith("unpadded")
    return Look(f"{_CHANGED[before]}k = {kernel[1]}{unpadded}", _COLOURS[kernel])


LOOKS = {name: _look(name) for name in BENCH.conditions}

STUDY = Study(
    "kernel_size",
    "Myburgh, Mouton & Davel 2020, sec. 5 and 6",
    {"smoke": SMOKE, "bench": BENCH, "sweep": SWEEP, "paper": PAPER},
    Measurement,
    compute,
    LOOKS,
    check=check,
)
