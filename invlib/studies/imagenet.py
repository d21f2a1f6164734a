"""Biscione & Bowers 2020, Experiment 1 (sec. 2.2): does ImageNet pretraining teach invariance?

A network, pretrained or not, learns the items of a set at one place; how well does it know them
elsewhere?
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import nn

from invlib import models
from invlib.data.augmentation import RandomResizedCrop, RandomSizeAndPlace
from invlib.data.canvas import Canvas, paper_grid
from invlib.data.items import DataError, ItemSet
from invlib.data.sets import load
from invlib.exact.propagation import Propagator
from invlib.measure.accuracy import accuracy_map, normalised_accuracy
from invlib.measure.statistics import far_mean
from invlib.studies import Study
from invlib.studies.procedure import fit_with_control
from invlib.training import Recipe, fit


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
    """

    name: str
    classes: int | None = None
    train: str = "train"
    test: str | None = "train"
    per_class: int | None = 700
    held_out: int = 100


@dataclass(frozen=True)
class Condition:
    """Where a network's weights come from before it learns the items.

    Attributes:
        start: ``fresh``, ``pictures`` (pretrained on natural pictures here) or ``imagenet``
            (published weights).
        augmentation: of the pictures: ``places`` or ``crops``.
        head: ``pooled`` or ``flat`` for SqueezeNet; VGG has its own.
        sets: names of the sets; empty: all.
        recipe: of the training at one place.
    """

    start: str
    recipe: Recipe
    augmentation: str = ""
    head: str = ""
    sets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Settings:
    """The size Experiment 1 is done at.

    Attributes:
        network: name of a VGG of the table, or ``squeezenet1_1``.
        canvas: side of the canvas in pixels.
        item: side of the items.
        channels: 1 (grey) or 3.
        grid: rows and columns of the test grid.
        sets: the sets, from complex to simple.
        conditions: the conditions.
        seeds: seeds 0 to ``seeds - 1``.
        shown: items of a map, at most; the same number of each class.
        control: least normalised accuracy at the trained place.
        pixels: ``fixed`` (``mean`` and ``std``), ``per set`` (of each set's canvases) or
            ``weights`` (as the pretrained weights want it).
        mean: see ``Canvas``.
        std: see ``Canvas``.
        pictures: the natural pictures of the stand-ins for ImageNet.
        pretrain: recipe of the pretraining on pictures.
        sizes: smallest and largest size of a picture on the canvas.
        needs: what the profile needs, for the page that says what was not run.
    """

    network: str
    canvas: int
    item: int
    channels: int
    grid: tuple[int, ...]
    sets: tuple[Items, ...]
    conditions: Mapping[str, Condition]
    seeds: int
    shown: int = 100
    control: float = 0.8
    pixels: str = "fixed"
    mean: float = 0.0
    std: float = 1.0
    pictures: Items | None = None
    pretrain: Recipe | None = None
    sizes: tuple[int, int] = (12, 32)
    needs: str = ""


PICTURES = 12_000
"""Natural pictures that stand in for ImageNet: the first so many of the official training file."""

_OBJECTS = (
    Items("objects10", test=None, per_class=None),
    Items("objects2", test=None, per_class=None),
)
_SMALL_SETS = (
    Items("emnist_letters", classes=12, train="test", test="test"),
    Items("fashion_mnist"),
    Items("kmnist", train="test", test="test"),
    Items("mnist"),
    *_OBJECTS,
)
_LEARN = Recipe(steps=1500, batch=64, rate=0.001, goal=0.95, window=50)
_WARM = Recipe(steps=1500, batch=64, rate=0.001, goal=0.95, window=50, warmup=100)
_SMOKE = Recipe(steps=100, batch=8, rate=0.005, goal=0.9, window=5)
_PAPER = Recipe(steps=5000, batch=32, rate=0.001, goal=0.95, window=5, hold=200)
_SQUEEZE = Recipe(steps=800, batch=32, rate=0.0001, goal=0.95, window=30)
_SQUEEZE_WARM = Recipe(steps=1500, batch=32, rate=0.001, goal=0.95, window=30, warmup=100)

SMOKE = Settings(
    network="smoke",
    canvas=16,
    item=6,
    channels=1,
    grid=(0, 3, 5, 7, 10),
    sets=(
        Items("glyphs", test="test", classes=4, per_class=20, held_out=5),
        Items("objects2", test=None, per_class=None),
    ),
    conditions={
        "vanilla": Condition("fresh", _SMOKE),
        "natural-places": Condition("pictures", _SMOKE, "places"),
        "natural-crops": Condition("pictures", _SMOKE, "crops"),
    },
    seeds=1,
    shown=8,
    control=0.0,
    std=0.3,
    pictures=Items("digits", test=None, per_class=20),
    pretrain=Recipe(steps=100, batch=8, rate=0.003, goal=None),
    sizes=(4, 8),
)
BENCH = Settings(
    network="bench",
    canvas=64,
    item=16,
    channels=1,
    grid=Canvas(64, 16).test_grid(19),
    sets=_SMALL_SETS,
    conditions={
        "vanilla": Condition("fresh", _WARM),
        "natural-places": Condition("pictures", _LEARN, "places"),
        "natural-crops": Condition("pictures", _LEARN, "crops"),
    },
    seeds=5,
    std=0.3,
    pictures=Items("cifar10", test=None, per_class=None),
    pretrain=Recipe(steps=4000, batch=64, rate=0.001, goal=None, warmup=100),
    needs="the real sets in the data root",
)
SQUEEZENET = Settings(
    network="squeezenet1_1",
    canvas=224,
    item=50,
    channels=3,
    grid=(0, 29, 58, 87, 116, 145, 173),
    sets=tuple(replace(items, test=None) for items in _SMALL_SETS),
    conditions={
        "vanilla": Condition("fresh", _SQUEEZE_WARM, head="pooled"),
        "imagenet": Condition("imagenet", _SQUEEZE, head="pooled"),
        "vanilla-flat": Condition("fresh", _SQUEEZE_WARM, head="flat", sets=("mnist", "objects10")),
        "imagenet-flat": Condition("imagenet", _SQUEEZE, head="flat", sets=("mnist", "objects10")),
    },
    seeds=3,
    shown=50,
    pixels="weights",
    needs="the real sets in the data root, and SqueezeNet 1.1's ImageNet weights",
)
PAPER = Settings(
    network="vgg16",
    canvas=224,
    item=50,
    channels=3,
    grid=paper_grid(),
    sets=(
        Items("emnist_letters", test="test", per_class=None, held_out=52),
        Items("fashion_mnist", test="test", per_class=None, held_out=52),
        Items("kmnist", test="test", per_class=None, held_out=52),
        Items("mnist", test="test", per_class=None, held_out=52),
        *_OBJECTS,
    ),
    conditions={
        "vanilla": Condition("fresh", _PAPER),
        "imagenet": Condition("imagenet", _PAPER),
    },
    seeds=5,
    shown=520,
    control=0.9,
    pixels="per set",
    needs="a data-centre GPU, the sets' official train files, and for the pretrained condition "
    "torchvision's VGG16 weights",
)


def resolve(settings: Settings, condition: str) -> dict[str, Any]:
    """One condition's settings as plain data."""
    plain = asdict(settings)
    plain["condition"] = plain.pop("conditions")[condition]
    for unused in ("seeds", "needs"):
        del plain[unused]
    if plain["condition"]["start"] != "pictures":
        for unused in ("pictures", "pretrain", "sizes"):
            del plain[unused]
    # As JSON gives it back, so that the fingerprint of a file's settings is the same.
    return json.loads(json.dumps(plain))


def compute(settings: dict[str, Any], seed: int) -> list[dict[str, Any]]:
    """One network (pretrained once, if at all) taught each set at one place, and its maps.

    Returns:
        One dictionary for each set: ``set``, ``classes``, ``control`` (normalised accuracy at the
        trained place), ``failed``, ``attempts``, ``map`` and ``map_held_out`` (accuracy over the
        grid, training and held-out items), ``exact_path`` (of the maps), ``canvas`` and ``far``
        (normalised means over the grid and over the places without overlap),
        ``canvas_held_out``, ``far_held_out``, and for pictures ``pretraining``, for ImageNet
        ``weights`` (file and sha256).

    Raises:
        DataError: when a set is missing or damaged, before anything is trained.
        WeightsError: when the ImageNet weights are missing, likewise.
    """
    condition = settings["condition"]
    recipe = Recipe(**condition["recipe"])
    # What is missing is found before anything is trained.
    sets = [
        (each["name"], *choose(**each))
        for each in settings["sets"]
        if not condition["sets"] or each["name"] in condition["sets"]
    ]
    weights = _weights_record(settings)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    start, pretraining = _start(settings, seed, device)
    rows = []
    for name, items, held_out in sets:
        items = _prepared(items, settings)
        canvas = canvas_of(settings, items)
        classes = len(items.classes)

        def make(seed: int, classes: int = classes) -> nn.Module:
            return _network(settings, start, classes, seed, device)

        shown = _shown(items, settings)
        model, attempts = fit_with_control(
            make, canvas, items, shown, recipe, settings["control"], seed, name
        )
        row: dict[str, Any] = {
            "set": name,
            "classes": classes,
            "control": attempts[-1]["control"],
            "failed": attempts[-1]["failed"],
            "items_shown": len(shown),
        }
        forward = Propagator(model, canvas)
        row |= _measure(forward, shown, settings, "")
        row |= _measure(
            forward,
            held_out and _shown(_prepared(held_out, settings), settings),
            settings,
            "_held_out",
        )
        row["exact_path"] = forward.path
        rows.append(row | {"attempts": attempts, "pretraining": pretraining, "weights": weights})
    return rows


def choose(
    name: str,
    classes: int | None,
    train: str,
    test: str | None,
    per_class: int | None,
    held_out: int,
) -> tuple[ItemSet, ItemSet | None]:
    """The items learnt and the items held out of a set; see ``Items``."""
    full = load(name, train)
    full = full if classes is None else full.only(classes)
    items = full if per_class is None else full.first(per_class)
    if test is None:
        return items, None
    if test == train:
        return items, full.first(held_out, skip=per_class or 0)
    other = load(name, test)
    return items, (other if classes is None else other.only(classes)).first(held_out)


def stimuli(settings: Settings) -> list[ItemSet]:
    """The items of each set; embedded sets where the data root has not all of them."""
    try:
        sets = [choose(**asdict(each))[0] for each in settings.sets]
    except DataError:
        sets = [load(name) for name in ("glyphs", "digits", "objects10", "objects2")]
    return [items.grey() for items in sets] if settings.channels == 1 else sets


def augmentations(settings: Settings) -> tuple[dict[str, Any], ItemSet]:
    """Both augmentations of the stand-ins for ImageNet, and pictures to show them on.

    The pictures are an embedded set where the data root has not the natural ones.
    """
    canvas = Canvas(settings.canvas, settings.item)
    try:
        pictures = load("cifar10")
    except DataError:
        pictures = load("objects10")
    pictures = pictures.grey() if settings.channels == 1 else pictures
    return {
        "random places": RandomSizeAndPlace(*settings.sizes).on(canvas),
        "random crops": RandomResizedCrop().on(canvas),
    }, pictures


def canvas_of(settings: dict[str, Any], items: ItemSet) -> Canvas:
    """The canvas with the pixel scale that the settings ask for."""
    mean: Any = settings["mean"]
    std: Any = settings["std"]
    if settings["pixels"] == "per set":
        mean, std = Canvas(settings["canvas"], settings["item"]).statistics(items)
    elif settings["pixels"] == "weights":
        mean, std = models.IMAGENET_MEAN, models.IMAGENET_STD
        if settings["condition"]["start"] == "imagenet":
            weights, _ = models.find_weights(settings["network"])
            mean, std = weights.mean, weights.std
    return Canvas(settings["canvas"], settings["item"], mean=mean, std=std)


def _measure(
    forward: Propagator, items: ItemSet | None, settings: dict[str, Any], suffix: str
) -> dict[str, Any]:
    names = [f"{name}{suffix}" for name in ("map", "canvas", "far")]
    if items is None:
        return dict.fromkeys(names)
    canvas, grid = forward.canvas, settings["grid"]
    accuracy = accuracy_map(forward.model, canvas, items, grid, exact_path=forward)
    normalised = normalised_accuracy(accuracy, len(items.classes))
    far = far_mean(normalised, grid, canvas.leftmost_centred, canvas.item)
    return dict(zip(names, (accuracy, float(normalised.mean()), far), strict=True))


def _network(
    settings: dict[str, Any],
    start: dict[str, Any] | None,
    classes: int,
    seed: int,
    device: torch.device,
) -> nn.Module:
    """A fresh network, or a copy of the pretrained one with a head for the classes."""
    head, channels = settings["condition"]["head"], settings["channels"]
    if settings["network"] == "squeezenet1_1":
        model = models.squeezenet(classes, head or "pooled", seed, settings["canvas"])
    else:
        model = models.vgg(settings["network"], classes, channels, seed)
    if settings["condition"]["start"] == "imagenet":
        weights, path = models.find_weights(settings["network"])
        models.load_pretrained(model, path, weights.bgr)
    elif start is not None:
        # As in the authors' code: the head stays where the number of classes is the same.
        last = models.head_name(model)
        kept = len(start[f"{last}.weight"]) == classes
        state = {n: t for n, t in start.items() if kept or n.rpartition(".")[0] != last}
        model.load_state_dict(state, strict=False)
    return model.to(device)


@lru_cache(maxsize=1)
def _pictures(name: str, per_class: int | None, channels: int) -> ItemSet:
    items = load(name, "train")
    items = items if per_class is None else items.first(per_class)
    items = items.take(torch.arange(min(len(items), PICTURES)))
    return items.rgb() if channels == 3 else items.grey()


def _start(
    settings: dict[str, Any], seed: int, device: torch.device
) -> tuple[dict[str, Any] | None, dict[str, Any] | None]:
    """The weights after pretraining on pictures and what came of it; nothing otherwise."""
    if settings["condition"]["start"] != "pictures":
        return None, None
    pictures = settings["pictures"]
    items = _pictures(pictures["name"], pictures["per_class"], settings["channels"])
    canvas = canvas_of(settings, items)
    augmentation = (
        RandomSizeAndPlace(*settings["sizes"]).on(canvas)
        if settings["condition"]["augmentation"] == "places"
        else RandomResizedCrop().on(canvas)
    )
    recipe = Recipe(**settings["pretrain"])
    model = models.vgg(settings["network"], len(items.classes), settings["channels"], seed)
    training = fit(model.to(device), canvas, items, augmentation, recipe, seed, pictures["name"])
    return model.state_dict(), asdict(training)


def _prepared(items: ItemSet, settings: dict[str, Any]) -> ItemSet:
    """Items of the canvas's size and channels; grey ones are resized before they are repeated."""
    items = items.grey() if settings["channels"] == 1 else items
    items = items.resized((settings["item"], settings["item"]))
    return items.rgb() if settings["channels"] == 3 else items


def _weights_record(settings: dict[str, Any]) -> dict[str, str] | None:
    """Which file of ImageNet weights is used: there is more than one for a network."""
    if settings["condition"]["start"] != "imagenet":
        return None
    weights, path = models.find_weights(settings["network"])
    return {"file": weights.file, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}


def _shown(items: ItemSet, settings: dict[str, Any]) -> ItemSet:
    """The first items of each class, as many as a map shows."""
    fewest = int(torch.bincount(items.labels).min())
    return items.first(min(settings["shown"] // len(items.classes), fewest))


STUDY = Study(
    "imagenet",
    "Biscione & Bowers 2020, sec. 2.2",
    {"smoke": SMOKE, "bench": BENCH, "squeezenet": SQUEEZENET, "paper": PAPER},
    compute,
    resolve,
)
