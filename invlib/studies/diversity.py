"""What makes a set complex? Transfer against the number of different images (ours).

In Biscione & Bowers 2020 (sec. 2.3) complex sets teach more than simple ones; they also have
thousands of images where the simple ones have ten or two. Here one set is learnt fully translated
with few to many images of each class, beside simple sets of as few images.
"""

from dataclasses import replace

from invlib.data.augmentation import FullyTranslated
from invlib.runs import Look, Profile, Study
from invlib.studies import promised, scales
from invlib.studies.procedure import (
    Items,
    Measurement,
    Pretraining,
    Settings,
    compute,
    with_maps,
)
from invlib.training import Recipe

LOOKS = {
    **{f"letters-{n}": Look(f"EMNIST, {n} of each class", 0) for n in (1, 3, 10, 30, 100, 700)},
    "mnist-1": Look("MNIST, 1 of each class", 3),
    **{name: scales.SETS[name] for name in ("mnist", "kmnist", "objects10", "objects2")},
}


def _pretrained_on(
    images: dict[str, Items], fresh: Settings, pretraining: Recipe, teaching: Recipe
) -> dict[str, Settings]:
    start = {
        name: Pretraining(items, None, FullyTranslated(), pretraining)
        for name, items in images.items()
    }
    fresh = replace(fresh, recipe=teaching, inside=None)
    return {name: replace(fresh, start=each) for name, each in start.items()}


def _few(items: Items, counts: tuple[int, ...], name: str) -> dict[str, Items]:
    """Some of each class, nothing held out."""
    return {f"{name}-{n}": replace(items, test=None, per_class=n) for n in counts}


def images(profile: Profile) -> dict[str, dict[str, int]]:
    """The set pretrained on, in words -> condition -> how many different images of it."""
    counted: dict[str, dict[str, int]] = {}
    for condition, settings in profile.conditions.items():
        items = settings.start.images
        words = scales.SETS[items.name].label if items.name in scales.SETS else items.name
        classes = items.classes or _CLASSES[items.name]
        counted.setdefault(words, {})[condition] = classes * (items.per_class or 1)
    return counted


_CLASSES = {"mnist": 10, "objects10": 10, "objects2": 2}
_BY_NAME = {items.name: items for items in scales.SMALL_SETS}

SMOKE = Profile(
    _pretrained_on(
        {**_few(scales.SMOKE.sets[0], (1, 10), "letters"), "objects2": scales.OBJECTS[1]},
        scales.SMOKE, scales.SMOKE_TRANSLATED, scales.SMOKE.recipe,
    )
)  # fmt: skip
BENCH = Profile(
    _pretrained_on(
        {
            **_few(_BY_NAME["emnist_letters"], (1, 3, 10, 30, 100, 700), "letters"),
            **_few(_BY_NAME["mnist"], (1,), "mnist"),
            "objects10": _BY_NAME["objects10"],
            "objects2": _BY_NAME["objects2"],
        },
        replace(
            scales.BENCH,
            sets=tuple(_BY_NAME[name] for name in ("mnist", "kmnist", "objects10")),
        ),
        scales.TRANSLATED, scales.TAUGHT,
    ),
    seeds=3,
    needs=scales.BENCH_NEEDS,
)  # fmt: skip

STUDY = Study(
    "diversity",
    "ours, after Biscione & Bowers 2020, sec. 2.3",
    {"smoke": SMOKE, "bench": BENCH},
    Measurement,
    compute,
    LOOKS,
    with_maps,
    promised.check,
)
