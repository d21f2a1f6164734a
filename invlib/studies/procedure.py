"""The procedure of Biscione & Bowers: start somewhere, teach at one place, measure everywhere.

Biscione & Bowers 2020, sec. 2.1. Without knowing its items at the trained place (the positive
control), a network says nothing about other places.
"""

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Annotated, Any

import numpy as np
import torch
from msgspec import Meta
from torch import nn

from invlib import models
from invlib.data.augmentation import (
    ByArea,
    FullyTranslated,
    RandomResizedCrop,
    RandomSizeAndPlace,
)
from invlib.data.canvas import Canvas
from invlib.data.items import ItemSet
from invlib.data.sets import load
from invlib.exact.propagation import Propagator
from invlib.measure.accuracy import accuracy_map
from invlib.measure.cosine import Cosines, cosine_by_displacement
from invlib.measure.maps import AccuracyMap, Values
from invlib.models import Initialisation
from invlib.runs.checks import Count, ExactPath, Normalised
from invlib.training import Recipe, Training, TrainingWarning, fit


@dataclass(frozen=True)
class Items:
    """Which items of a set are learnt, and which are held out.

    Attributes:
        name: the set.
        classes: the first so many classes; None: all.
        train: the split learnt from; None of ``per_class`` takes all of it.
        test: the split held out; None: there is nothing to hold out (one image per class). The
            same split as ``train``: the ``held_out`` items of each class after the first
            ``per_class``.
        per_class: items learnt of each class, the first in the official order.
        held_out: items held out of each class, likewise.
    """

    name: str
    classes: int | None = None
    train: str = "train"
    test: str | None = "train"
    per_class: int | None = 700
    held_out: int = 100

    def load(self) -> tuple[ItemSet, ItemSet | None]:
        """The items learnt and those held out.

        Raises:
            DataError: when the set is missing, damaged or too small.
        """
        full = load(self.name, self.train)
        full = full if self.classes is None else full.only(self.classes)
        learnt = full if self.per_class is None else full.first(self.per_class)
        if self.test is None:
            return learnt, None
        if self.test == self.train:
            return learnt, full.first(self.held_out, skip=self.per_class or 0)
        other = load(self.name, self.test)
        other = other if self.classes is None else other.only(self.classes)
        return learnt, other.first(self.held_out)


@dataclass(frozen=True)
class Pretraining:
    """What a network saw before it is taught.

    Attributes:
        images: the images.
        count: how many of them at most, the first in the official order; None: all.
        augmentation: how they are put on the canvas.
        recipe: of this training.
    """

    images: Items
    count: int | None
    augmentation: FullyTranslated | ByArea | RandomSizeAndPlace | RandomResizedCrop
    recipe: Recipe


@dataclass(frozen=True)
class Control:
    """The positive control: does a network know its items where it learnt them?

    One that does not is trained once more, with a warm-up, more steps and other draws.

    Attributes:
        least: normalised accuracy at the trained place, a fraction.
        warmup: steps of warm-up in the second training, at least.
        times_steps: how many times the steps it has.
        plus_seed: added to the seed, since the same draws might fail again.
    """

    least: float = 0.8
    warmup: int = 100
    times_steps: int = 2
    plus_seed: int = 1000

    def trainings(self, recipe: Recipe, seed: int) -> tuple[tuple[Recipe, int], ...]:
        """Recipe and seed of the first and of the second training."""
        warmup = max(recipe.warmup, self.warmup)
        again = replace(recipe, warmup=warmup, steps=self.times_steps * recipe.steps)
        return (recipe, seed), (again, seed + self.plus_seed)


@dataclass(frozen=True)
class Inside:
    """Which cosine similarities are measured, see ``measure.cosine``.

    Attributes:
        layers: names of the layers.
        per_class: items of each class at most, the first that are learnt.
    """

    layers: tuple[str, ...]
    per_class: int


@dataclass(frozen=True)
class Settings:
    """All that decides the numbers of a run.

    Attributes:
        network: name of a VGG of the table, or ``squeezenet1_1``.
        canvas: side of the canvas in pixels.
        item: side of the items.
        channels: 1 (grey) or 3.
        grid: rows and columns of the test grid.
        sets: the sets that are taught, from complex to simple.
        recipe: of the training at one place.
        start: ``fresh`` weights, ``imagenet`` (published ones), or a pretraining done here.
        head: ``pooled`` or ``flat`` for SqueezeNet; VGG has its own.
        padding: of SqueezeNet's convolutions; None: its own zeros.
        initialisation: of fresh weights.
        control: the positive control.
        shown: items of a map, at most; the same number of each class.
        pixels: ``fixed`` (``mean`` and ``std``), ``per set`` (of each set's canvases) or
            ``weights`` (as the pretrained weights want it).
        mean: see ``Canvas``.
        std: see ``Canvas``.
        both_heads: a set with as many classes as the pretraining is taught twice, with the last
            layer kept (as in the authors' code) and with a fresh one.
        inside: similarities before and after the teaching; None: not measured.
    """

    network: str
    canvas: int
    item: int
    channels: int
    grid: tuple[int, ...]
    sets: tuple[Items, ...]
    recipe: Recipe
    start: str | Pretraining = "fresh"
    head: str | None = None
    padding: str | None = None
    initialisation: Initialisation = Initialisation()
    control: Control = Control()
    shown: int = 100
    pixels: str = "fixed"
    mean: float = 0.0
    std: float = 1.0
    both_heads: bool | None = None
    inside: Inside | None = None

    def canvas_for(self, items: ItemSet) -> Canvas:
        """The canvas with the pixel scale that the settings ask for."""
        mean: Any = self.mean
        std: Any = self.std
        if self.pixels == "per set":
            mean, std = Canvas(self.canvas, self.item).statistics(items)
        elif self.pixels == "weights":
            mean, std = models.IMAGENET_MEAN, models.IMAGENET_STD
            if self.start == "imagenet":
                weights, _ = models.find_weights(self.network)
                mean, std = weights.mean, weights.std
        return Canvas(self.canvas, self.item, mean=mean, std=std)

    def prepared(self, items: ItemSet) -> ItemSet:
        """Items of the canvas's size and channels; grey ones are resized, then repeated."""
        items = items.grey() if self.channels == 1 else items
        items = items.resized((self.item, self.item))
        return items.rgb() if self.channels == 3 else items

    def some(self, items: ItemSet) -> ItemSet:
        """The first items of each class, as many as a map shows."""
        return _first(items, self.shown // len(items.classes))


@dataclass(frozen=True)
class Attempt(Training):
    """A training at one place and its positive control.

    Attributes:
        control: normalised accuracy at the trained place, a fraction.
        failed: it is below the least, or the training diverged.
    """

    control: Normalised
    failed: bool


@dataclass(frozen=True)
class Measurement:
    """One network taught one set.

    Attributes:
        set: name of the set.
        classes: how many it has.
        control: normalised accuracy at the trained place, after the last attempt.
        failed: whether the network failed its positive control.
        items_shown: items of the map.
        map: accuracy at each place of the grid, training items.
        canvas: normalised mean of the map.
        far: the same over the places that share no pixel with the trained one; None where none was
            trained alone.
        map_held_out: as ``map``, for items held out; None where there are none.
        canvas_held_out: as ``canvas``.
        far_held_out: as ``far``.
        path: how the maps were computed, ``propagate`` or ``plain``.
        attempts: the training, and the second one where the first failed.
        pretraining: what came of the pretraining done here.
        weights: file and sha256 of the published weights.
        last_layer: ``kept`` from the pretraining, or ``fresh``.
        before: cosine similarities before the teaching, layer by layer; None: not measured.
        after: the same after it.
    """

    set: str
    classes: Count
    control: Normalised
    failed: bool
    items_shown: Count
    map: Values
    canvas: Normalised
    far: Normalised | None
    map_held_out: Values | None
    canvas_held_out: Normalised | None
    far_held_out: Normalised | None
    path: ExactPath | None
    attempts: tuple[Attempt, ...]
    pretraining: Training | None
    weights: dict[str, str] | None
    last_layer: Annotated[str, Meta(pattern="^(kept|fresh)$")] = "fresh"
    before: tuple[Cosines, ...] | None = None
    after: tuple[Cosines, ...] | None = None


def compute(settings: Settings, seed: int) -> list[Measurement]:
    """One network (pretrained once, if at all) taught each set at one place, and its maps.

    Raises:
        DataError: when a set is missing or damaged, before anything is trained.
        WeightsError: when the ImageNet weights are missing, likewise.
    """
    # What is missing is found before anything is trained.
    sets = [each.load() for each in settings.sets]
    weights = _weights_record(settings)
    start, pretraining = pretrained(settings, seed)
    return taught(settings, seed, sets, start, pretraining, weights)


def taught(
    settings: Settings,
    seed: int,
    sets: list[tuple[ItemSet, ItemSet | None]],
    start: dict[str, Any] | None,
    pretraining: Training | None,
    weights: dict[str, str] | None = None,
) -> list[Measurement]:
    """Every set taught at one place from the same start, and its maps; the rest of ``compute``."""
    rows, device = [], _device()
    for items, held_out in sets:
        items = settings.prepared(items)
        canvas = settings.canvas_for(items)
        shown, classes = settings.some(items), len(items.classes)
        others = held_out and settings.some(settings.prepared(held_out))
        for last_layer in _last_layers(settings, start, classes):

            def make(seed: int, classes: int = classes, kept: bool = last_layer == "kept") -> Any:
                return network(settings, start, classes, seed, kept).to(device)

            recipe, control = settings.recipe, settings.control
            model, attempts = teach(make, canvas, items, shown, recipe, control, seed)
            # One that diverged answers nothing.
            forward = Propagator(model, canvas) if sound(attempts[-1]) else None
            maps = _maps(forward, shown, settings) | _maps(forward, others, settings, "_held_out")
            _, taught_from = control.trainings(recipe, seed)[len(attempts) - 1]
            rows.append(
                Measurement(
                    set=items.name,
                    classes=classes,
                    control=attempts[-1].control,
                    failed=attempts[-1].failed,
                    items_shown=len(shown),
                    path=forward.path if forward else None,
                    attempts=attempts,
                    pretraining=pretraining,
                    weights=weights,
                    last_layer=last_layer,
                    before=_inside(make(taught_from), canvas, items, settings, pretraining),
                    after=_inside(model, canvas, items, settings, attempts[-1]),
                    **maps,
                )
            )
    return rows


def with_maps(settings: Settings, row: dict[str, Any]) -> dict[str, Any]:
    """A row of a finished run, with maps that know their places."""
    grid, canvas = settings.grid, Canvas(settings.canvas, settings.item)
    where = (grid, grid, canvas.leftmost_centred, canvas.item, row["classes"], row["set"])
    maps = {
        name: AccuracyMap(np.array(row[name], dtype=np.float64), *where)
        for name in ("map", "map_held_out")
        if row[name] is not None
    }
    return row | maps


def teach(
    make: Callable[[int], nn.Module],
    canvas: Canvas,
    items: ItemSet,
    shown: ItemSet,
    recipe: Recipe,
    control: Control,
    seed: int,
) -> tuple[nn.Module, tuple[Attempt, ...]]:
    """Train at the leftmost-centred place, and once more if the positive control fails.

    Args:
        make: gives the network to start from for a seed.
        canvas: the canvas.
        items: what is trained on.
        shown: the training items on which the control is measured.
        recipe: of the first training.
        control: what has to be reached, and what the second training changes.
        seed: of the network and the training.

    Returns:
        The last network, and what came of each training.
    """
    row, column = canvas.leftmost_centred
    attempts: list[Attempt] = []
    for each, draw in control.trainings(recipe, seed):
        model = make(draw)
        training = _fit(model, canvas, items, canvas.one_location(), each, draw, items.name)
        known, precision = 0.0, each.precision  # chance without answers
        if sound(training):
            there = accuracy_map(model, canvas, shown, (row,), (column,), precision=precision)
            known = there.trained
        failed = known < control.least or not sound(training)
        attempts.append(Attempt(**vars(training), control=known, failed=failed))
        if not failed:
            break
    return model, tuple(attempts)


def _fit(*given: Any) -> Training:
    """As ``fit``; what it warns of stands in the row."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", TrainingWarning)
        return fit(*given)


def sound(training: Training | None) -> bool:
    """Whether a network that was trained so, if at all, answers with numbers."""
    return training is None or training.outcome != "diverged"


def network(
    settings: Settings, start: dict[str, Any] | None, classes: int, seed: int, kept: bool = False
) -> nn.Module:
    """A fresh network, or a copy of the pretrained one; its last layer is kept or fresh."""
    fresh = settings.initialisation
    if settings.network == "squeezenet1_1":
        head = settings.head or "pooled"
        padding = settings.padding or "zeros"
        model = models.squeezenet(classes, head, seed, settings.canvas, fresh, padding)
    else:
        model = models.vgg(settings.network, classes, settings.channels, seed, fresh)
    if settings.start == "imagenet":
        weights, path = models.find_weights(settings.network)
        models.load_pretrained(model, path, weights.bgr)
    elif start is not None:
        last = models.head_name(model)
        state = {n: t for n, t in start.items() if kept or n.rpartition(".")[0] != last}
        model.load_state_dict(state, strict=False)
    return model


def _last_layers(settings: Settings, start: dict[str, Any] | None, classes: int) -> tuple[str, ...]:
    """How the last layer begins; as in the authors' code a layer of as many classes is kept."""
    # The last of its weights are those of the last layer.
    if start is None or len(next(reversed(start.values()))) != classes:
        return ("fresh",)
    return ("kept", "fresh") if settings.both_heads else ("kept",)


def _first(items: ItemSet, per_class: int) -> ItemSet:
    return items.first(min(per_class, int(torch.bincount(items.labels).min())))


def _inside(
    model: nn.Module,
    canvas: Canvas,
    items: ItemSet,
    settings: Settings,
    training: Training | None,
) -> tuple[Cosines, ...] | None:
    inside, precision = settings.inside, settings.recipe.precision
    if inside is None or not sound(training):
        return None
    some = _first(items, inside.per_class)
    return tuple(
        cosine_by_displacement(model, canvas, some, layer, settings.grid, precision=precision)
        for layer in inside.layers
    )


def _maps(
    forward: Propagator | None, items: ItemSet | None, settings: Settings, suffix: str = ""
) -> dict[str, Any]:
    """Accuracy map, its normalised mean, and that of the places far away; Nones without items.

    Chance without a network that answers.
    """
    names = [f"{name}{suffix}" for name in ("map", "canvas", "far")]
    if items is None:
        return dict.fromkeys(names)
    if forward is None:
        chance = np.full((len(settings.grid),) * 2, 1 / len(items.classes))
        return dict(zip(names, (chance, 0.0, 0.0), strict=True))
    precision = settings.recipe.precision
    accuracy = accuracy_map(
        forward.model, forward.canvas, items, settings.grid, precision=precision, propagator=forward
    )
    return dict(zip(names, (accuracy.values, accuracy.canvas, accuracy.far), strict=True))


@lru_cache(maxsize=1)  # the same for all augmentations
def _images(images: Items, count: int | None, channels: int) -> ItemSet:
    items, _ = images.load()
    items = items if count is None else items.take(torch.arange(min(len(items), count)))
    return items.rgb() if channels == 3 else items.grey()


def pretrained(settings: Settings, seed: int) -> tuple[dict[str, Any] | None, Training | None]:
    """The weights after the pretraining and what came of it; nothing where there is none."""
    start = settings.start
    if isinstance(start, str):
        return None, None
    images = _images(start.images, start.count, settings.channels)
    canvas = settings.canvas_for(images)
    fresh = replace(settings, start="fresh")
    model = network(fresh, None, len(images.classes), seed).to(_device())
    augmentation = start.augmentation.on(canvas)
    training = _fit(model, canvas, images, augmentation, start.recipe, seed, images.name)
    return model.state_dict(), training


def _device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def _weights_record(settings: Settings) -> dict[str, str] | None:
    """Which file of ImageNet weights is used: there is more than one for a network."""
    if settings.start != "imagenet":
        return None
    weights, path = models.find_weights(settings.network)
    return {"file": weights.file, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
