"""Same against full convolution: only the padding differs."""

import importlib
from dataclasses import replace

import pytest

from invlib.data.items import DataError

study = importlib.import_module("invlib.studies.data_efficiency")
SMOKE, BENCH = (study.STUDY.profile(name).conditions for name in ("smoke", "bench"))


def test_each_size_has_both_paddings_and_nothing_else_differs():
    assert len(BENCH) == 2 * 4 * 2
    for name, settings in BENCH.items():
        other = BENCH[name.replace("same", "full")]
        assert replace(settings, padding="full") == other
        assert name == f"{settings.images}-{settings.padding}-{settings.per_class}"


def test_what_is_trained_on_is_known_better_than_at_random():
    settings = replace(SMOKE["full"], recipe=replace(SMOKE["full"].recipe, steps=250))
    (row,) = study.compute(settings, 0)
    assert row.train > 0.9
    (untrained,) = study.compute(replace(settings, recipe=replace(settings.recipe, steps=0)), 0)
    assert untrained.train < 0.5
    study.check(settings, [row])
    with pytest.raises(ValueError, match="one network, found 2"):
        study.check(settings, [row, row])


def test_too_few_images_are_said():
    with pytest.raises(DataError, match="digits: class 0 has 139 items, 5000 are asked for"):
        study.compute(replace(SMOKE["same"], per_class=5000), 0)
