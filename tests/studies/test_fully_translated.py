"""Experiment 2, and what makes a set complex: their profiles, and what they change."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from invlib.data.augmentation import FullyTranslated
from invlib.data.canvas import Canvas
from invlib.runs.store import fingerprint
from invlib.studies import diversity, fully_translated
from invlib.studies.procedure import compute

STUDIES = {study.name: study for study in (fully_translated.STUDY, diversity.STUDY)}


def test_the_measurements_that_are_planned():
    # A set is taught twice where the pretraining has as many classes: four sets of ten, EMNIST and
    # objects2 with themselves.
    planned = {
        (name, profile): sum(len(given.sets) for _, given in study.runs(profile))
        for name, study in STUDIES.items()
        for profile in study.profiles
    }
    assert planned == {
        ("fully_translated", "smoke"): 6, ("fully_translated", "bench"): 7 * 6 * 5,
        ("fully_translated", "paper"): 7 * 6 * 5,
        ("diversity", "smoke"): 6, ("diversity", "bench"): 9 * 3 * 3,
    }  # fmt: skip


def test_settings_change_only_where_it_is_meant():
    # A changed setting makes stored results stale: whoever changes one, changes this line as well.
    assert {
        (name, profile): fingerprint(list(study.runs(profile))[-1][1])
        for name, study in STUDIES.items()
        for profile in study.profiles
    } == {
        ("fully_translated", "smoke"): "b0c4fd4955f6",
        ("fully_translated", "bench"): "988aa1400d2a",
        ("fully_translated", "paper"): "041a13cefc11",
        ("diversity", "smoke"): "4a4cb195dba2",
        ("diversity", "bench"): "47f8686aae35",
    }


@pytest.mark.parametrize("name", STUDIES)
def test_conditions_differ_in_what_was_seen_before_alone(name):
    for profile in STUDIES[name].profiles.values():
        first, *others = (each for key, each in profile.conditions.items() if key != "untrained")
        for other in others:
            assert other.start.images != first.start.images
            images = replace(other.start, images=first.start.images)
            assert replace(other, start=images) == first


def test_a_set_is_learnt_everywhere_from_the_items_that_are_taught_at_one_place():
    for profile in fully_translated.STUDY.profiles.values():
        conditions = dict(profile.conditions)
        assert conditions.pop("untrained").start == "fresh"
        assert [given.start.images for given in conditions.values()] == list(
            next(iter(conditions.values())).sets
        )
    canvas = Canvas(16, 6)
    ours, theirs = (
        placement.places(torch.zeros(9, dtype=torch.int64), torch.Generator().manual_seed(1))
        for placement in (FullyTranslated().on(canvas), canvas.fully_translated())
    )
    assert torch.equal(ours, theirs) and len(ours.unique(dim=0)) > 5


def test_untrained_is_looked_into_and_never_trained():
    for row in compute(fully_translated.SMOKE.conditions["untrained"], 0):
        assert not row.failed and row.attempts[0].steps == 0 and len(row.attempts) == 1
        for before, after in zip(row.before, row.after, strict=True):
            assert np.array_equal(before.mean, after.mean) and before.mean[0] == pytest.approx(1)


def test_the_numbers_of_different_images_are_those_of_the_names():
    counted = {}
    for name, given in diversity.SMOKE.conditions.items():
        counted[name] = len(given.start.images.load()[0])
    assert counted == {"letters-1": 4, "letters-10": 40, "objects2": 2}
    for name, given in diversity.BENCH.conditions.items():
        if "-" in name:
            assert given.start.images.per_class == int(name.rpartition("-")[2])
