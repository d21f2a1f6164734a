"""Biscione & Bowers 2020, sanity check (appendix A.2): is it enough that items appear everywhere?

Letters cover the canvas, but each class in some areas of it only. Are they known in the others? And
what is learnt at one place afterwards, is that known everywhere? With all areas it is the control.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from torch import nn

from invlib.data.augmentation import ByArea
from invlib.data.canvas import homes
from invlib.data.items import ItemSet
from invlib.measure.accuracy import answers
from invlib.measure.maps import Values
from invlib.measure.statistics import normalised_accuracy
from invlib.runs import Look, Profile, Study
from invlib.runs.checks import Normalised
from invlib.studies import procedure, promised, scales
from invlib.studies.procedure import Items, Pretraining, Settings, network, with_maps

COVERAGE = (1, 2, 3, 5, 9)
"""Of the nine areas, how many a class appears in."""

LOOKS = {
    **{f"areas-{n}": Look(f"{n} of 9 areas", i) for i, n in enumerate(COVERAGE)},
    "glyphs": Look("the letters"),
    "mnist": scales.SETS["mnist"],
    "objects10": scales.SETS["objects10"],
}


@dataclass(frozen=True)
class Measurement(procedure.Measurement):
    """A set taught at one place, or (``set`` is ``glyphs``) the letters before that.

    Attributes:
        areas: of the letters: accuracy maps (areas, rows, columns), each of the classes whose own
            area it is, row-major.
        own: their normalised accuracy in the areas where they were learnt, over classes and places.
        elsewhere: the same in all other areas; None where there is none.
    """

    areas: Values | None = None
    own: Normalised | None = None
    elsewhere: Normalised | None = None


@dataclass(frozen=True)
class Letters(Settings):
    """As ``Settings``.

    Attributes:
        letters: of each class, so many are shown in the maps of the letters.
    """

    letters: int = 20


def compute(settings: Letters, seed: int) -> list[Measurement]:
    """One network that learnt letters by area; their maps, and what it is taught afterwards.

    Raises:
        DataError: when a set is missing or damaged, before anything is trained.
    """
    start: Any = settings.start
    sets = [each.load() for each in settings.sets]
    letters = settings.prepared(start.images.load()[0])
    drawn = replace(start.augmentation, seed=seed)
    settings = replace(settings, start=replace(start, augmentation=drawn))
    state, pretraining = procedure.pretrained(settings, seed)
    model = network(settings, state, len(letters.classes), seed, kept=True)
    known = model if procedure.sound(pretraining) else None
    taught = procedure.taught(settings, seed, sets, state, pretraining)
    return [
        replace(_known(known, settings, letters, drawn), pretraining=pretraining),
        *(Measurement(**vars(row)) for row in taught),
    ]


def _known(
    model: nn.Module | None, settings: Letters, letters: ItemSet, drawn: ByArea
) -> Measurement:
    """Where the letters are known; chance for no network."""
    shown, classes = letters.first(settings.letters), len(letters.classes)
    canvas, grid, precision = settings.canvas_for(letters), settings.grid, settings.recipe.precision
    if model is None:  # always the first class, which is chance
        right = np.broadcast_to(shown.labels.numpy() == 0, (len(grid), len(grid), len(shown)))
    else:
        right = answers(model, canvas, shown, grid, grid, precision=precision)
    by_class = np.stack(
        [right[:, :, shown.labels.numpy() == label].mean(axis=2) for label in range(classes)]
    )
    normalised = normalised_accuracy(by_class, classes)
    area = _area_of_each_place(settings, drawn)
    of_class = homes(**vars(drawn))[:classes].numpy()
    own = (area[:, :, None] == of_class[:, None, None]).any(axis=3)
    elsewhere = (area >= 0) & ~own
    known = float(normalised[own].mean())
    return Measurement(
        set=letters.name, classes=classes, control=known,
        failed=model is None or known < settings.control.least,
        items_shown=len(shown), map=by_class.mean(axis=0), canvas=float(normalised.mean()),
        far=None, map_held_out=None, canvas_held_out=None, far_held_out=None, path=None,
        attempts=(), pretraining=None, weights=None, last_layer="kept", before=None, after=None,
        areas=by_class.reshape(-1, drawn.per_area, len(grid), len(grid)).mean(axis=1),
        own=known,
        elsewhere=float(normalised[elsewhere].mean()) if elsewhere.any() else None,
    )  # fmt: skip


def check(settings: Letters, rows: Sequence[Measurement]) -> None:
    """Whether a file has the maps of the letters, and what ``promised.check`` asks for.

    Raises:
        ValueError: naming what was expected and found.
    """
    letters, *taught = rows
    start: Any = settings.start
    if letters.set != start.images.name or letters.areas is None or letters.own is None:
        raise ValueError(f"expected {start.images.name} by area first, found {letters.set}")
    if len(letters.areas) != start.augmentation.areas**2:
        raise ValueError(
            f"expected maps of {start.augmentation.areas**2} areas, found {len(letters.areas)}"
        )
    for values in (letters.map, *letters.areas):
        promised.check_map(values, settings)
    promised.check(settings, taught)


def _area_of_each_place(settings: Settings, drawn: ByArea) -> np.ndarray:
    """Of each place of the grid its area, in row-major order; -1 where it is in none."""
    side = (settings.canvas - settings.item + 1) // drawn.areas
    axis = np.asarray(settings.grid) // side
    inside = axis < drawn.areas
    area = axis[:, None] * drawn.areas + axis
    return np.where(inside[:, None] & inside, area, -1)


def _by_coverage(fresh: Settings, letters: Items, areas: ByArea, learn: Any, teach: Any) -> Any:
    fresh = replace(fresh, recipe=teach, inside=None, both_heads=None)
    return {
        f"areas-{n}": Letters(
            **{
                **vars(fresh),
                "start": Pretraining(letters, None, replace(areas, coverage=n), learn),
            }
        )
        for n in COVERAGE
        if n <= areas.areas**2
    }


SMOKE = Profile(
    _by_coverage(
        replace(scales.SMOKE, sets=scales.OBJECTS[1:]),
        Items("glyphs", classes=4, test=None, per_class=20), ByArea(areas=2, per_area=1),
        scales.SMOKE_TRANSLATED, scales.SMOKE.recipe,
    )
)  # fmt: skip
BENCH = Profile(
    _by_coverage(
        replace(
            scales.BENCH,
            sets=tuple(each for each in scales.SMALL_SETS if each.name in ("mnist", "objects10")),
        ),
        Items("glyphs", classes=18, test=None, per_class=None), ByArea(),
        replace(scales.TRANSLATED, steps=2000), scales.TAUGHT,
    ),
    seeds=5,
    needs=scales.BENCH_NEEDS,
)  # fmt: skip

STUDY = Study(
    "sanity_check",
    "Biscione & Bowers 2020, appendix A.2",
    {"smoke": SMOKE, "bench": BENCH},
    Measurement,
    compute,
    LOOKS,
    with_maps,
    check,
)
