"""The procedure: which items, starting, teaching with a positive control, measuring."""

import json
import math
from contextlib import nullcontext
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from torch import nn

from invlib import models
from invlib.data.canvas import Canvas
from invlib.data.items import DataError, ItemSet
from invlib.data.sets import load
from invlib.measure.accuracy import accuracy_map
from invlib.measure.maps import AccuracyMap
from invlib.runs import store
from invlib.studies import procedure
from invlib.studies.imagenet import BENCH, SMOKE
from invlib.studies.procedure import Control, Items, compute, teach, with_maps
from invlib.training import Recipe

SETTINGS = SMOKE.conditions["vanilla"]


def timeless(rows):
    """Rows as they are written, without the seconds a training took."""
    plain = json.loads(json.dumps(store._rounded([asdict(row) for row in rows])))
    for row in plain:
        for each in (*row["attempts"], row["pretraining"] or {}):
            each.pop("seconds", None)
    return plain


# Which items


def test_learnt_and_held_out_items_share_nothing():
    learnt, held_out = Items("glyphs", 4, per_class=60, held_out=20).load()
    assert torch.bincount(learnt.labels).tolist() == [60] * 4
    assert torch.bincount(held_out.labels).tolist() == [20] * 4
    seen = {i.numpy().tobytes() for i in learnt.images}
    assert not seen & {i.numpy().tobytes() for i in held_out.images}
    _, other = Items("glyphs", 4, test="test", per_class=None, held_out=5).load()
    assert torch.equal(other.images, load("glyphs", "test").only(4).first(5).images)
    assert Items("objects2", test=None, per_class=None).load()[1] is None


@pytest.mark.parametrize("items", BENCH.conditions["vanilla"].sets, ids=lambda items: items.name)
def test_the_bench_subsets_of_the_real_files(real_data, monkeypatch, items):
    monkeypatch.setenv("INVLIB_DATA", str(real_data))
    learnt, held_out = items.load()
    classes = {"emnist_letters": 12, "objects2": 2}.get(items.name, 10)
    if held_out is None:
        assert len(learnt) == classes
    else:
        assert torch.bincount(learnt.labels).tolist() == [700] * classes
        assert torch.bincount(held_out.labels).tolist() == [100] * classes
        kept = {i.numpy().tobytes() for i in learnt.images}
        assert not kept & {i.numpy().tobytes() for i in held_out.images}


def test_more_items_than_a_class_has_are_refused():
    with pytest.raises(DataError, match=r"glyphs: class A has 100 items, 101 are asked for"):
        Items("glyphs", 4, per_class=101).load()


def test_images_are_the_first_of_the_official_file(monkeypatch):
    # A full download has more images than the prefix that the stored runs used.
    start = BENCH.conditions["natural-places"].start
    n = start.count + 5
    images = ItemSet(
        torch.zeros(n, 1, 2, 2, dtype=torch.uint8), torch.arange(n) % 10, tuple("abcdefghij"), "p"
    )
    monkeypatch.setattr(procedure, "load", lambda name, split: images)
    procedure._images.cache_clear()
    assert len(procedure._images(start.images, start.count, 1)) == start.count == n - 5
    procedure._images.cache_clear()


def test_images_are_read_once_for_all_augmentations(monkeypatch):
    names = []
    monkeypatch.setattr(
        procedure, "load", lambda name, split: names.append(name) or load(name, split)
    )
    procedure._images.cache_clear()
    for kind in ("places", "crops"):
        settings = SMOKE.conditions[f"natural-{kind}"]
        start = replace(settings.start, recipe=replace(settings.start.recipe, steps=1))
        procedure.pretrained(replace(settings, start=start), 0)
    assert names == ["digits"]


# Teaching, with the positive control

CANVAS = Canvas(12, 6, std=0.5)
CONTROL = Control(least=0.5)
RECIPE = Recipe(steps=30, batch_size=8, learning_rate=0.01, warmup=2, target_accuracy=None)


class Linear(nn.Module):
    """The smallest network: one linear layer on all pixels, all weights at ``start``."""

    def __init__(self, start=0.0):
        super().__init__()
        self.layer = nn.Linear(144, 2)
        for parameter in self.parameters():
            nn.init.constant_(parameter, start)

    def forward(self, x):
        return self.layer(x.flatten(1))


class Black(Linear):
    """Knows nothing whatever it is taught."""

    def forward(self, x):
        return super().forward(x * 0)


def taught(networks, items, control=CONTROL):
    networks = iter(networks)
    return teach(lambda seed: next(networks), CANVAS, items, items, RECIPE, control, 0)


def test_the_second_training_is_another_as_the_control_says():
    control = Control(least=0.5, warmup=100, times_steps=2, plus_seed=1000)
    (first, seed), (second, other) = control.trainings(RECIPE, 3)
    assert (first, seed, other) == (RECIPE, 3, 1003)
    assert second == replace(RECIPE, steps=60, warmup=100)
    (_, _), (second, _) = control.trainings(replace(RECIPE, warmup=300), 3)
    assert second.warmup == 300


def test_each_training_has_its_own_draws(halves):
    seeds = []

    def make(seed):
        seeds.append(seed)
        return Black()

    teach(make, CANVAS, halves, halves, replace(RECIPE, steps=1), CONTROL, 3)
    assert seeds == [3, 1003]


def test_a_passed_control_needs_one_training(halves):
    _, (only,) = taught([Linear()], halves, Control(least=0.9))
    assert only.control == 1 and not only.failed and only.recipe == RECIPE


def test_a_failed_control_is_repeated_once(halves):
    model, attempts = taught([Black(), (second := Black()), None], halves)
    assert model is second
    assert [(a.failed, a.control, a.steps) for a in attempts] == [(True, 0, 30), (True, 0, 60)]
    _, attempts = taught([Black(), Linear()], halves)
    assert [a.failed for a in attempts] == [True, False]


def test_a_diverged_training_fails_whatever_the_control_says(halves):
    model, attempts = taught([Linear(start=math.nan), Linear()], halves, Control(least=-1.0))
    assert [(a.outcome, a.failed) for a in attempts] == [("diverged", True), ("steps", False)]
    assert all(p.isfinite().all() for p in model.parameters())


def test_the_control_is_measured_at_the_trained_place(halves):
    class There(nn.Module):
        """Looks at row 8, which an item at (3, 0) reaches and one at (0, 0) does not."""

        def __init__(self):
            super().__init__()
            self.nothing = nn.Parameter(torch.zeros(()))

        def forward(self, x):
            left, right = x[:, 0, 8, 0] > 0, x[:, 0, 8, 5] > 0
            return torch.stack([left, right], 1) * 4.0 + self.nothing

    model, attempts = taught([There()], halves, Control(least=1.0))
    assert CANVAS.leftmost_centred == (3, 0) and [a.control for a in attempts] == [1]
    assert accuracy_map(model, CANVAS, halves, (0, 3), (0,)).tolist() == [[0.5], [1.0]]


# The whole procedure, at smoke


@pytest.fixture(scope="module")
def smoke():
    """The rows of every condition at smoke, seed 0."""
    return {name: compute(settings, 0) for name, settings in SMOKE.conditions.items()}


def test_the_same_run_twice_gives_the_same_rows(smoke):
    for condition, rows in smoke.items():
        assert timeless(compute(SMOKE.conditions[condition], 0)) == timeless(rows)
    assert timeless(compute(SETTINGS, 1)) != timeless(smoke["vanilla"])


def test_the_numbers_of_a_row_are_those_of_its_maps(smoke):
    canvas, grid = Canvas(SETTINGS.canvas, SETTINGS.item), SETTINGS.grid
    row, column = (grid.index(at) for at in canvas.leftmost_centred)
    for rows in smoke.values():
        assert [(r.set, r.classes, r.items_shown) for r in rows] == [
            ("glyphs", 4, 8), ("objects2", 2, 2)
        ]  # fmt: skip
        for each in rows:
            assert each.map.shape == (5, 5)
            found = with_maps(SETTINGS, vars(each))["map"]
            where = (grid, grid, canvas.leftmost_centred, canvas.item, each.classes, each.set)
            by_hand = AccuracyMap(each.map, *where)
            assert vars(found) == vars(by_hand) | {"values": found.values}
            assert (each.canvas, each.far) == pytest.approx((found.canvas, found.far))
            assert each.control == pytest.approx(found.normalised[row, column])
            assert each.attempts[-1].control == each.control
        assert rows[0].map_held_out.shape == (5, 5) and rows[1].map_held_out is None
        assert not np.array_equal(rows[0].map, rows[0].map_held_out)
        assert rows[1].canvas_held_out is None and rows[1].far_held_out is None


def test_a_vanilla_network_knows_two_objects_only_where_it_learnt_them(smoke):
    row = smoke["vanilla"][1]
    assert row.control == 1 and not row.failed and row.far < 0.5


def test_only_networks_pretrained_here_have_a_pretraining(smoke):
    assert {r.pretraining for r in smoke["vanilla"]} == {None}
    for condition in ("natural-places", "natural-crops"):
        recipe = SMOKE.conditions[condition].start.recipe
        assert {r.pretraining.recipe for r in smoke[condition]} == {recipe}
    places, crops = (smoke[f"natural-{kind}"][0].pretraining for kind in ("places", "crops"))
    assert places.steps == crops.steps


def test_a_failed_control_is_in_the_rows():
    strict = replace(SETTINGS, control=Control(least=1.1), sets=SETTINGS.sets[1:])
    (row,) = compute(strict, 0)
    assert row.failed and [a.failed for a in row.attempts] == [True, True]
    assert row.attempts[1].recipe == replace(SETTINGS.recipe, steps=200, warmup=100)


def test_a_network_that_diverged_is_at_chance_and_has_no_similarity():
    recipe = replace(SETTINGS.recipe, learning_rate=1e30)
    glyphs, objects = compute(replace(SETTINGS, recipe=recipe), 0)
    for row in (glyphs, objects):
        assert row.failed and [a.outcome for a in row.attempts] == ["diverged"] * 2
        assert (row.control, row.canvas, row.far, row.path) == (0, 0, 0, None)
        assert row.map.shape == (5, 5) and (row.map == 1 / row.classes).all()
        assert row.before is not None and row.after is None
    assert np.array_equal(glyphs.map_held_out, glyphs.map) and objects.map_held_out is None
    given = SMOKE.conditions["natural-places"]
    start = replace(given.start, recipe=replace(given.start.recipe, learning_rate=1e30))
    (row,) = compute(replace(given, start=start, sets=given.sets[1:]), 0)
    assert row.pretraining.outcome == "diverged" and row.failed
    assert row.before is None and row.after is None


def test_precision_is_that_of_the_settings_whatever_the_machine(monkeypatch):
    asked = []
    for where in ("training", "measure.accuracy"):
        monkeypatch.setattr(
            f"invlib.{where}.autocast",
            lambda device, precision: asked.append(precision) or nullcontext(),
        )
    recipe = replace(SETTINGS.recipe, steps=2, precision="bfloat16")
    (row,) = compute(replace(SETTINGS, recipe=recipe, sets=SETTINGS.sets[1:]), 0)
    assert set(asked) == {"bfloat16"} == {a.precision for a in row.attempts}


def test_the_last_layer_is_kept_or_fresh_and_the_rest_is_pretrained():
    settings = SMOKE.conditions["natural-places"]
    start = {n: t + 1 for n, t in models.vgg("smoke", 10, 1, seed=5).state_dict().items()}
    for classes, kept in ((10, True), (10, False), (4, False)):
        state = procedure.network(settings, start, classes, 0, kept).state_dict()
        for name, tensor in start.items():
            same = state[name].shape == tensor.shape and torch.equal(state[name], tensor)
            assert same == (kept or not name.startswith("classifier.6"))
        assert len(state["classifier.6.bias"]) == classes


def test_a_set_with_as_many_classes_as_the_pretraining_is_taught_both_ways():
    digits = Items("digits", test=None, per_class=20)
    given = replace(SMOKE.conditions["natural-places"], sets=(digits, SETTINGS.sets[0]), shown=10)
    assert given.both_heads
    kept, fresh, other = compute(given, 0)
    assert [(r.set, r.last_layer) for r in (kept, fresh, other)] == [
        ("digits", "kept"), ("digits", "fresh"), ("glyphs", "fresh")
    ]  # fmt: skip
    for one, two in zip(kept.before, fresh.before, strict=True):  # the same network below it
        assert np.array_equal(one.mean, two.mean)
    assert not np.array_equal(kept.map, fresh.map)
    (only, _) = compute(replace(given, both_heads=None), 0)
    assert only.last_layer == "kept" and np.array_equal(only.map, kept.map)


def test_similarities_are_of_the_network_before_and_after_the_teaching(smoke):
    for rows in smoke.values():
        for row in rows:
            assert [c.layer for c in row.before] == ["classifier.3", "classifier.4"]
            for one, two in zip(row.before, row.after, strict=True):
                assert one.displacements == two.displacements == (0, 3, 5, 7, 10)
                assert one.mean[0] == pytest.approx(1) and one.std[0] == pytest.approx(0, abs=1e-6)
                assert not np.array_equal(one.mean, two.mean)
    off = compute(replace(SETTINGS, inside=None, sets=SETTINGS.sets[1:]), 0)
    assert off[0].before is None and off[0].after is None
