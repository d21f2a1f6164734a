"""The sanity check: which places are whose, and what is measured there."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from invlib.data.augmentation import ByArea
from invlib.data.canvas import homes
from invlib.data.sets import load
from invlib.runs.store import fingerprint
from invlib.studies import sanity_check
from invlib.studies.sanity_check import BENCH, COVERAGE, SMOKE, STUDY, compute


def test_the_measurements_that_are_planned():
    planned = {p: sum(len(given.sets) + 1 for _, given in STUDY.runs(p)) for p in STUDY.profiles}
    assert planned == {"smoke": 3 * 2, "bench": 5 * 5 * 3}


def test_settings_change_only_where_it_is_meant():
    # A changed setting makes stored results stale: whoever changes one, changes this line as well.
    assert {p: fingerprint(next(STUDY.runs(p))[1]) for p in STUDY.profiles} == {
        "smoke": "e579f73fbf7a",
        "bench": "c7ae216d0ee9",
    }


def test_coverage_alone_differs():
    assert [each.start.augmentation for each in BENCH.conditions.values()] == [
        ByArea(coverage=n) for n in COVERAGE
    ]
    assert len({fingerprint(each) for each in BENCH.conditions.values()}) == len(COVERAGE)


def test_every_place_of_the_grid_but_the_last_row_and_column_has_its_area():
    area = sanity_check._area_of_each_place(BENCH.conditions["areas-1"], ByArea())
    # Areas of 16 x 16 places: 0 to 15, 16 to 31, 32 to 47; the last of the grid is 48.
    thirds = [*[0] * 6, *[1] * 6, *[2] * 6]
    assert area[:-1, :-1].tolist() == [[3 * row + column for column in thirds] for row in thirds]
    assert (area[-1] == -1).all() and (area[:, -1] == -1).all()


class Knows(nn.Module):
    """Knows a letter in the areas of its row of ``areas`` and takes it for the next elsewhere."""

    def __init__(self, areas):
        super().__init__()
        self.areas = areas

    def forward(self, x):
        # A letter's number is the grey level of its pixel; where that lies is its area.
        label = (x.flatten(1).max(1).values / 0.1).round().long() - 1
        top, left = (x.sum((1, d)).argmax(1) for d in (3, 2))
        here = (top >= 5).long() * 2 + (left >= 5).long()
        right = (here[:, None] == self.areas[label]).any(1)
        answer = torch.where(right, label, (label + 1) % 4)
        return nn.functional.one_hot(answer, 4).float()


@pytest.mark.parametrize("coverage", [1, 2])
def test_letters_that_are_known_where_they_were_learnt_are_known_nowhere_else(coverage):
    drawn = ByArea(areas=2, per_area=1, coverage=coverage, seed=3)
    settings = SMOKE.conditions["areas-1"]
    letters = load("glyphs").only(4).first(20).resized((6, 6))
    for label in range(4):  # one pixel, at the item's top left
        letters.images[letters.labels == label] = 0
        letters.images[letters.labels == label, :, 0, 0] = round(255 * 0.3 * 0.1 * (label + 1))
    areas = homes(2, 1, coverage, 3)
    row = sanity_check._known(Knows(areas), settings, letters, drawn)
    # Who is wrong has a normalised accuracy of -1/3.
    assert row.own == 1 and row.elsewhere == pytest.approx(-1 / 3) and not row.failed
    assert row.areas.shape == (4, 5, 5)
    # Rows and columns 0, 3 are in the first areas, 5, 7 in the second ones, 10 in none.
    for label in range(4):
        known = {
            (i // 2) * 2 + j // 2 for i in range(4) for j in range(4) if row.areas[label, i, j]
        }
        assert known == set(areas[label].tolist())
    assert np.allclose(row.map, row.areas.mean(axis=0))


def test_letters_on_which_a_network_diverged_are_at_chance():
    settings = SMOKE.conditions["areas-1"]
    start = replace(settings.start, recipe=replace(settings.start.recipe, learning_rate=1e30))
    letters, taught = compute(replace(settings, start=start), 0)
    assert letters.pretraining.outcome == "diverged" and letters.failed and taught.failed
    assert (letters.map == 0.25).all() and letters.own == pytest.approx(0, abs=1e-15)


def test_a_run_has_the_letters_and_then_what_is_taught():
    letters, taught = compute(SMOKE.conditions["areas-2"], 1)
    assert (letters.set, letters.last_layer, letters.attempts) == ("glyphs", "kept", ())
    assert letters.pretraining == taught.pretraining and letters.pretraining.steps > 0
    assert (taught.set, taught.last_layer, taught.areas) == ("objects2", "fresh", None)
    again = compute(SMOKE.conditions["areas-2"], 1)[0]
    assert np.array_equal(again.areas, letters.areas)
    assert not np.array_equal(compute(SMOKE.conditions["areas-2"], 2)[0].areas, letters.areas)
