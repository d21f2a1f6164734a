"""Biscione & Bowers 2020, Experiment 2 (sec. 2.3): can invariance be learnt without natural images?

A network learns the items of one set at places drawn anew, then those of another set at one place.
How well does it know the second ones elsewhere?
"""

from dataclasses import replace

from invlib.data.augmentation import FullyTranslated
from invlib.runs import Look, Profile, Study
from invlib.studies import promised, scales
from invlib.studies.procedure import (
    Control,
    Measurement,
    Pretraining,
    Settings,
    compute,
    with_maps,
)
from invlib.training import Recipe

LOOKS = {"untrained": Look("untrained", 7), **scales.SETS}

_UNTRAINED = Recipe(steps=0, target_accuracy=None)


def _pretrained_on_each(
    fresh: Settings, pretraining: Recipe, teaching: Recipe
) -> dict[str, Settings]:
    """Every set fully translated; and no training at all, which similarities are held against."""
    untrained = replace(fresh, recipe=_UNTRAINED, control=Control(least=-1.0))
    return {"untrained": untrained} | {
        items.name: replace(
            fresh,
            recipe=teaching,
            start=Pretraining(items, None, FullyTranslated(), pretraining),
        )
        for items in fresh.sets
    }


SMOKE = Profile(
    _pretrained_on_each(scales.SMOKE, scales.SMOKE_TRANSLATED, scales.SMOKE.recipe),
)
BENCH = Profile(
    _pretrained_on_each(scales.BENCH, scales.TRANSLATED, scales.TAUGHT),
    seeds=5,
    needs=scales.BENCH_NEEDS,
)
PAPER = Profile(
    _pretrained_on_each(
        replace(scales.PAPER, both_heads=True, inside=scales.INSIDE),
        scales.PAPER.recipe,
        scales.PAPER.recipe,
    ),
    seeds=5,
    needs="a data-centre GPU, and the sets' official train files",
)

STUDY = Study(
    "fully_translated",
    "Biscione & Bowers 2020, sec. 2.3",
    {"smoke": SMOKE, "bench": BENCH, "paper": PAPER},
    Measurement,
    compute,
    LOOKS,
    with_maps,
    promised.check,
)
