"""Biscione & Bowers 2020, Experiment 1 (sec. 2.2): does ImageNet pretraining teach invariance?

A network, pretrained or not, learns the items of a set at one place; how well does it know them
elsewhere? At small scale CIFAR-10 stands in for ImageNet.
"""

from dataclasses import replace
from typing import Any

from invlib.data.augmentation import RandomResizedCrop, RandomSizeAndPlace
from invlib.data.canvas import Canvas
from invlib.data.items import DataError, ItemSet
from invlib.data.sets import load
from invlib.runs import Look, Profile, Study
from invlib.runs.store import stored_root
from invlib.studies import promised, scales
from invlib.studies.procedure import (
    Items,
    Measurement,
    Pretraining,
    Settings,
    compute,
    with_maps,
)
from invlib.studies.scales import SETS, SMALL_SETS
from invlib.training import Recipe

LOOKS = {
    "vanilla": Look("vanilla", 7),
    # With the last layer kept where there is one to keep, and always fresh.
    "natural-places": Look("CIFAR-10 at random places", 0, "//"),
    "natural-places, fresh": Look("random places, fresh last layer", 0),
    "natural-fixed": Look("CIFAR-10 at the trained place", 8, "oo"),
    "natural-fixed, fresh": Look("trained place, fresh last layer", 8),
    "natural-crops": Look("CIFAR-10 in random crops", 1, ".."),
    "natural-crops, fresh": Look("random crops, fresh last layer", 1),
    "imagenet": Look("ImageNet", 2, "\\\\"),
    "vanilla-flat": Look("vanilla, flattened head", 5, "xx"),
    "imagenet-flat": Look("ImageNet, flattened head", 4, "++"),
    "vanilla-circular": Look("vanilla, circular padding", 6, "//"),
    **SETS,
}

_SQUEEZE = Recipe(steps=1500, batch_size=32, learning_rate=0.0001, target_accuracy=0.95, window=30)
_SQUEEZE_FRESH = replace(_SQUEEZE, learning_rate=0.001, warmup=100)


def _stand_ins(vanilla: Settings, recipe: Recipe, images: Pretraining) -> dict[str, Settings]:
    """Without pretraining, and after the same natural images under three augmentations.

    Sets of as many classes as the images are taught with the last layer kept and with a fresh one.
    """
    places: Any = images.augmentation
    augmentations = {
        "natural-places": places,
        "natural-fixed": replace(places, fixed=True),
        "natural-crops": RandomResizedCrop(),
    }
    return {"vanilla": vanilla} | {
        name: replace(vanilla, recipe=recipe, start=replace(images, augmentation=each))
        for name, each in augmentations.items()
    }


SMOKE = Profile(
    _stand_ins(
        scales.SMOKE,
        scales.SMOKE.recipe,
        Pretraining(
            Items("digits", test=None, per_class=20), 200, RandomSizeAndPlace(4, 8),
            replace(scales.SMOKE.recipe, learning_rate=0.003, target_accuracy=None, window=50),
        ),
    )
)  # fmt: skip
BENCH = Profile(
    _stand_ins(
        scales.BENCH,
        scales.TAUGHT,
        Pretraining(
            Items("cifar10", test=None, per_class=None), 12_000, RandomSizeAndPlace(12, 32),
            replace(scales.BENCH.recipe, steps=4000, target_accuracy=None),
        ),
    ),
    seeds=5,
    needs=scales.BENCH_NEEDS,
)  # fmt: skip

_SQUEEZENET = Settings(
    network="squeezenet1_1", canvas=224, item=50, channels=3, grid=(0, 29, 58, 87, 116, 145, 173),
    sets=tuple(replace(items, test=None) for items in SMALL_SETS), recipe=_SQUEEZE_FRESH,
    head="pooled", shown=50, pixels="weights",
)  # fmt: skip
_PRETRAINED = replace(_SQUEEZENET, start="imagenet", recipe=_SQUEEZE)
_FLAT = tuple(items for items in _SQUEEZENET.sets if items.name in ("mnist", "objects10"))
SQUEEZENET = Profile(
    {
        "vanilla": _SQUEEZENET,
        "imagenet": _PRETRAINED,
        "vanilla-flat": replace(_SQUEEZENET, head="flat", sets=_FLAT),
        "imagenet-flat": replace(_PRETRAINED, head="flat", sets=_FLAT),
    },
    seeds=3,
    needs="the real sets in the data root, and SqueezeNet 1.1's ImageNet weights",
)

CIRCULAR = Profile(
    {"vanilla-circular": replace(_SQUEEZENET, padding="circular", sets=_FLAT[:1])},
    seeds=3,
    needs="MNIST in the data root",
)
"""What is left of the pattern of vanilla SqueezeNet where no convolution sees a border."""

PAPER = Profile(
    {"vanilla": scales.PAPER, "imagenet": replace(scales.PAPER, start="imagenet")},
    seeds=5,
    needs="a data-centre GPU, the sets' official train files, and for the pretrained condition "
    "torchvision's VGG16 weights",
)


def stimuli(settings: Settings) -> list[ItemSet]:
    """Items of each set: the real ones, else the small pictures that come with the package.

    A set whose licence does not let them come along is stood in for, under a name that says so.
    """
    sets = []
    for each in settings.sets:
        shipped = stored_root() / "thumbnails" / f"{each.name}.zip"
        try:
            items = each.load()[0]
        except DataError:
            items = load(shipped if shipped.is_file() else "glyphs")
            if not shipped.is_file():
                items = replace(items, name=f"in place of {LOOKS[each.name].label}")
        sets.append(items.grey() if settings.channels == 1 else items)
    return sets


def augmentations(profile: Profile) -> tuple[dict[str, Any], ItemSet]:
    """The augmentations of the stand-ins for ImageNet, and images to show them on.

    Those of the small scale where the profile has none; the images are drawings, under a name that
    says so, where the data root has not the natural ones.
    """
    stand_ins = profile if "natural-places" in profile.conditions else BENCH
    words = {
        "natural-places": "random\nplaces",
        "natural-fixed": "the trained\nplace",
        "natural-crops": "random\ncrops",
    }
    drawn = {}
    for name, each in words.items():
        settings = stand_ins.conditions[name]
        canvas = Canvas(settings.canvas, settings.item)
        drawn[each] = settings.start.augmentation.on(canvas)
    try:
        images = load("cifar10")
    except DataError:
        images = replace(load("objects10"), name="drawings in place of CIFAR-10")
    return drawn, images.grey()


STUDY = Study(
    "imagenet",
    "Biscione & Bowers 2020, sec. 2.2",
    {
        "smoke": SMOKE,
        "bench": BENCH,
        "squeezenet": SQUEEZENET,
        "circular": CIRCULAR,
        "paper": PAPER,
    },
    Measurement,
    compute,
    LOOKS,
    with_maps,
    promised.check,
)
