"""Experiment 1: its settings, and every profile's code path at a tiny size."""

import json
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from invlib import models, results, runner
from invlib.data.canvas import Canvas
from invlib.data.items import DataError, ItemSet
from invlib.data.sets import load
from invlib.measure.accuracy import normalised_accuracy
from invlib.measure.statistics import far_mean
from invlib.models import VGG, VGGTable, WeightsError, squeezenet
from invlib.studies import imagenet
from invlib.studies.imagenet import BENCH, PAPER, SMOKE, SQUEEZENET, STUDY, Items, resolve
from invlib.training import Recipe

CPU = torch.device("cpu")


def timeless(rows):
    """Rows as they are written, without the seconds a training took."""
    plain = json.loads(json.dumps(results._rounded(rows)))
    for row in plain:
        for each in (*row["attempts"], row["pretraining"] or {}):
            each.pop("seconds", None)
    return plain


# Settings


def test_the_measurements_that_are_planned():
    def measurements(profile):
        plain = [given for _, given in STUDY.runs(profile)]
        return sum(len(g["condition"]["sets"] or g["sets"]) for g in plain)

    assert {p: measurements(p) for p in ("bench", "squeezenet", "paper")} == {
        "bench": 90, "squeezenet": 48, "paper": 60
    }  # fmt: skip


def test_the_bench_world_is_the_frozen_one():
    assert (BENCH.canvas, BENCH.item, BENCH.channels, BENCH.std, BENCH.control) == (
        64, 16, 1, 0.3, 0.8
    )  # fmt: skip
    assert BENCH.grid == Canvas(64, 16).test_grid(19) and BENCH.shown == 100
    assert {c.recipe.warmup for n, c in BENCH.conditions.items() if n != "vanilla"} == {0}
    assert BENCH.conditions["vanilla"].recipe.warmup == 100
    for condition in BENCH.conditions.values():
        assert (condition.recipe.rate, condition.recipe.batch) == (0.001, 64)
        assert (condition.recipe.goal, condition.recipe.steps) == (0.95, 1500)
    # One set of pictures and one recipe under two augmentations.
    places, crops = (resolve(BENCH, f"natural-{kind}") for kind in ("places", "crops"))
    assert places["condition"].pop("augmentation") == "places"
    assert crops["condition"].pop("augmentation") == "crops"
    assert places == crops and places["pretrain"]["steps"] == 4000


def test_the_papers_numbers():
    assert (PAPER.network, PAPER.canvas, PAPER.item, PAPER.seeds) == ("vgg16", 224, 50, 5)
    assert len(PAPER.grid) ** 2 == 361 and PAPER.control == 0.9
    for condition in PAPER.conditions.values():
        assert (condition.recipe.rate, condition.recipe.batch, condition.recipe.steps) == (
            0.001, 32, 5000
        )  # fmt: skip
    order = ("emnist_letters", "fashion_mnist", "kmnist", "mnist", "objects10", "objects2")
    for profile in (PAPER, SQUEEZENET, BENCH):
        assert tuple(items.name for items in profile.sets) == order


def test_every_trained_place_is_on_its_grid():
    for profile in STUDY.profiles.values():
        place = Canvas(profile.canvas, profile.item).leftmost_centred
        assert set(place) <= set(profile.grid)


def test_a_fingerprint_follows_what_matters_to_the_condition():
    def prints(settings):
        return {c: results.fingerprint(resolve(settings, c)) for c in settings.conditions}

    before = prints(SMOKE)
    assert len(set(before.values())) == 3
    assert prints(replace(SMOKE, seeds=9, needs="much")) == before
    pretrain = prints(replace(SMOKE, pretrain=replace(SMOKE.pretrain, steps=31)))
    assert {c for c in before if pretrain[c] != before[c]} == {"natural-places", "natural-crops"}
    for change in ({"grid": (0, 5, 10)}, {"shown": 4}, {"control": 0.1}, {"std": 0.4}):
        assert not set(prints(replace(SMOKE, **change)).values()) & set(before.values())


# Which items


def test_learnt_and_held_out_items_share_nothing():
    learnt, held_out = imagenet.choose("glyphs", 4, "train", "train", 60, 20)
    assert torch.bincount(learnt.labels).tolist() == [60] * 4
    assert torch.bincount(held_out.labels).tolist() == [20] * 4
    seen = {i.numpy().tobytes() for i in learnt.images}
    assert not seen & {i.numpy().tobytes() for i in held_out.images}
    _, other = imagenet.choose("glyphs", 4, "train", "test", None, 5)
    assert torch.equal(other.images, load("glyphs", "test").only(4).first(5).images)
    assert imagenet.choose("objects2", None, "train", None, None, 100)[1] is None


@pytest.mark.parametrize("items", BENCH.sets, ids=lambda items: items.name)
def test_the_bench_subsets_of_the_real_files(real_data, monkeypatch, items):
    monkeypatch.setenv("INVLIB_DATA", str(real_data))
    learnt, held_out = imagenet.choose(**asdict(items))
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
        imagenet.choose("glyphs", 4, "train", "train", 101, 20)


# Smoke


@pytest.fixture(scope="module")
def smoke():
    """The rows of every condition at smoke, seed 0."""
    return {c: imagenet.compute(resolve(SMOKE, c), 0) for c in SMOKE.conditions}


def test_the_same_run_twice_gives_the_same_rows(smoke):
    for condition, rows in smoke.items():
        again = imagenet.compute(resolve(SMOKE, condition), 0)
        assert timeless(again) == timeless(rows)
    other = imagenet.compute(resolve(SMOKE, "vanilla"), 1)
    assert timeless(other) != timeless(smoke["vanilla"])


def test_the_numbers_of_a_row_are_those_of_its_maps(smoke):
    canvas = Canvas(SMOKE.canvas, SMOKE.item)
    row, column = (SMOKE.grid.index(at) for at in canvas.leftmost_centred)
    for rows in smoke.values():
        assert [r["set"] for r in rows] == ["glyphs", "objects2"]
        assert [r["classes"] for r in rows] == [4, 2]
        for each in rows:
            normalised = normalised_accuracy(each["map"], each["classes"])
            assert each["map"].shape == (5, 5)
            assert each["canvas"] == pytest.approx(normalised.mean())
            far = far_mean(normalised, SMOKE.grid, canvas.leftmost_centred, canvas.item)
            assert each["far"] == pytest.approx(far)
            assert each["control"] == pytest.approx(normalised[row, column])
            assert each["attempts"][-1]["control"] == each["control"]
        assert rows[0]["map_held_out"].shape == (5, 5) and rows[1]["map_held_out"] is None
        assert not np.array_equal(rows[0]["map"], rows[0]["map_held_out"])
        assert rows[1]["canvas_held_out"] is None and rows[1]["far_held_out"] is None
        assert rows[0]["items_shown"] == 8 and rows[1]["items_shown"] == 2


def test_a_vanilla_network_knows_two_objects_only_where_it_learnt_them(smoke):
    row = smoke["vanilla"][1]
    assert row["control"] == 1 and not row["failed"] and row["far"] < 0.5


def test_only_networks_pretrained_on_pictures_have_a_pretraining(smoke):
    assert {r["pretraining"] for r in smoke["vanilla"]} == {None}
    for condition in ("natural-places", "natural-crops"):
        steps = {r["pretraining"]["steps"] for r in smoke[condition]}
        assert steps == {SMOKE.pretrain.steps}
    accuracies = [smoke[c][0]["pretraining"]["accuracy"] for c in ("natural-places",
                                                                   "natural-crops")]  # fmt: skip
    assert accuracies[0] != accuracies[1]


def test_a_failed_control_is_in_the_rows():
    strict = replace(SMOKE, control=1.1, sets=SMOKE.sets[1:])
    (row,) = imagenet.compute(resolve(strict, "vanilla"), 0)
    assert row["failed"] and [a["failed"] for a in row["attempts"]] == [True, True]
    recipe = SMOKE.conditions["vanilla"].recipe
    assert row["attempts"][1]["recipe"] == asdict(recipe.remedy())


def test_a_pretrained_head_stays_where_the_number_of_classes_is_the_same():
    settings = resolve(SMOKE, "natural-places")
    start = {n: t + 1 for n, t in models.vgg("smoke", 10, 1, seed=5).state_dict().items()}
    for classes, kept in ((10, True), (4, False)):
        state = imagenet._network(settings, start, classes, 0, CPU).state_dict()
        for name, tensor in start.items():
            if kept or not name.startswith(models.head_name(models.vgg("smoke", 10))):
                assert torch.equal(state[name], tensor)
        assert len(state["classifier.6.bias"]) == classes


# The paper's profile with a small network in VGG16's place

LITTLE = (Items("glyphs", classes=4, test="test", per_class=20, held_out=5),
          Items("objects2", test=None, per_class=None))  # fmt: skip
STEPS = Recipe(steps=3, batch=4, rate=0.001, goal=0.95, window=2)


def shrunk(settings, **changes):
    """A profile with the same conditions at a tiny size."""
    conditions = {n: replace(c, recipe=STEPS) for n, c in settings.conditions.items()}
    return replace(settings, conditions=conditions, sets=LITTLE, shown=8, control=-9, **changes)


@pytest.fixture
def small_paper(tmp_path, monkeypatch):
    """The shrunk profile, and the network whose weights lie in VGG16's file."""
    table = VGGTable((4, "M", 8, "M"), map=4, hidden=16, channels=3)
    monkeypatch.setitem(models.VGGS, "vgg16", table)
    monkeypatch.setenv("INVLIB_WEIGHTS", str(tmp_path))
    trained = VGG(table, 1000)
    torch.save(trained.state_dict(), tmp_path / "vgg16-397923af.pth")
    return shrunk(PAPER, canvas=16, item=6, grid=(0, 5, 10)), trained.state_dict()


def test_the_papers_path(small_paper):
    settings, trained = small_paper
    rows = {c: imagenet.compute(resolve(settings, c), 0) for c in ("vanilla", "imagenet")}
    for each in rows.values():
        assert [(r["set"], r["map"].shape, r["items_shown"]) for r in each] == [
            ("glyphs", (3, 3), 8), ("objects2", (3, 3), 2)
        ]  # fmt: skip
        assert each[0]["map_held_out"].shape == (3, 3)
        assert {r["attempts"][0]["steps"] for r in each} == {3}
    plain = resolve(settings, "imagenet")
    for classes in (4, 1000):
        states = [imagenet._network(plain, None, classes, s, CPU).state_dict() for s in (0, 1)]
        for name, tensor in trained.items():
            same = [torch.equal(tensor, s[name]) if tensor.shape == s[name].shape else False
                    for s in states]  # fmt: skip
            assert same == [not name.startswith("classifier.6")] * 2 or name == "classifier.6.bias"
        assert not torch.equal(*(s["classifier.6.weight"] for s in states))
    vanilla = imagenet._network(resolve(settings, "vanilla"), None, 4, 0, CPU).state_dict()
    assert not torch.equal(vanilla["features.0.weight"], trained["features.0.weight"])


def test_the_papers_pixels_are_scaled_by_each_set(small_paper):
    settings, _ = small_paper
    for name in ("glyphs", "objects10"):
        items = load(name).rgb()
        canvas = imagenet.canvas_of(resolve(settings, "imagenet"), items)
        drawn = canvas.fully_translated().draw(canvas.prepare(items).images, items.labels, None)
        assert drawn.mean((0, 2, 3)).abs().max() < 1e-3
        assert (drawn.std((0, 2, 3)) - 1).abs().max() < 1e-2


def test_without_its_weights_a_condition_fails_and_the_other_is_done(
    small_paper, tmp_path, monkeypatch, inline
):
    settings, _ = small_paper
    monkeypatch.setenv("INVLIB_WEIGHTS", str(tmp_path / "elsewhere"))
    with pytest.raises(WeightsError, match="vgg16-397923af.pth.*invlib weights --download vgg16"):
        imagenet.compute(resolve(settings, "imagenet"), 0)
    study = replace(STUDY, profiles={"paper": settings})
    monkeypatch.setattr(imagenet, "STUDY", study)
    root = tmp_path / "results"
    report = runner.run("imagenet", "paper", seeds=1, root=root, executor=inline)
    assert [run.condition for run in report.done] == ["vanilla"]
    ((failed, why),) = report.failed.items()
    assert failed.condition == "imagenet" and why.startswith(
        "WeightsError: ImageNet weights of vgg16"
    )
    assert len(results.table("imagenet", "paper", root)) == 2


# SqueezeNet's profile on a small canvas


def test_the_squeezenet_path(tmp_path, monkeypatch):
    monkeypatch.setenv("INVLIB_WEIGHTS", str(tmp_path))
    torch.manual_seed(0)
    features = {n: t for n, t in squeezenet(2, seed=9).state_dict().items() if "features" in n}
    save_file(features, tmp_path / "squeezenet1_1_features_caffe.safetensors")
    settings = shrunk(SQUEEZENET, canvas=64, item=16, grid=(0, 24, 48))
    flat = {n: replace(c, sets=("objects2",)) if c.sets else c
            for n, c in settings.conditions.items()}  # fmt: skip
    settings = replace(settings, conditions=flat)
    assert set(flat) == {"vanilla", "imagenet", "vanilla-flat", "imagenet-flat"}
    for condition in flat:
        plain = resolve(settings, condition)
        rows = imagenet.compute(plain, 0)
        sets = ["objects2"] if "flat" in condition else ["glyphs", "objects2"]
        assert [r["set"] for r in rows] == sets
        assert all(r["map"].shape == (3, 3) and r["attempts"][0]["steps"] == 3 for r in rows)
        network = imagenet._network(plain, None, 2, 0, CPU)
        head = {"vanilla": "Conv2d", "imagenet": "Conv2d"}.get(condition, "Linear")
        assert type(network.get_submodule(models.head_name(network))).__name__ == head
        first = network.state_dict()["features.0.weight"]
        canvas = imagenet.canvas_of(plain, load("objects2"))
        if condition.startswith("imagenet"):  # from a file trained on BGR, less the means alone
            assert torch.equal(first, features["features.0.weight"].flip(1))
            assert (255 * canvas.mean[0], 255 * canvas.std[0]) == pytest.approx((123.68, 1))
        else:
            assert not torch.equal(first, features["features.0.weight"].flip(1))
            assert (canvas.mean, canvas.std) == (models.IMAGENET_MEAN, models.IMAGENET_STD)


def test_pictures_are_the_first_of_the_official_file(monkeypatch):
    # A full download has more pictures than the prefix that the stored runs used.
    n = imagenet.PICTURES + 5
    pictures = ItemSet(
        torch.zeros(n, 1, 2, 2, dtype=torch.uint8), torch.arange(n) % 10, tuple("abcdefghij"), "p"
    )
    monkeypatch.setattr(imagenet, "load", lambda name, split: pictures)
    imagenet._pictures.cache_clear()
    assert len(imagenet._pictures("cifar10", None, 1)) == imagenet.PICTURES == 12_000
    imagenet._pictures.cache_clear()
