"""Experiment 1: its profiles, and the code path of each at a tiny size."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file

from invlib import models, runs
from invlib.data.canvas import Canvas
from invlib.data.sets import load
from invlib.models import VGG, VGGTable, WeightsError, squeezenet
from invlib.runs import store
from invlib.runs.store import fingerprint
from invlib.studies import imagenet
from invlib.studies.imagenet import BENCH, PAPER, SMOKE, SQUEEZENET, STUDY
from invlib.studies.procedure import Control, Items, compute, network
from invlib.training import Recipe

# Settings


def test_the_measurements_that_are_planned():
    planned = {p: sum(len(given.sets) for _, given in STUDY.runs(p)) for p in STUDY.profiles}
    assert planned == {"smoke": 8, "bench": 120, "squeezenet": 48, "circular": 3, "paper": 60}


def test_settings_change_only_where_it_is_meant():
    # A changed setting makes stored results stale: whoever changes one, changes this line as well.
    assert {p: fingerprint(next(STUDY.runs(p))[1]) for p in STUDY.profiles} == {
        "smoke": "f23c2b187780",
        "bench": "0a8eb2e957a8",
        "squeezenet": "3d3ea453f179",
        "circular": "ccb02ed70caf",
        "paper": "5ac6909c3669",
    }


def test_the_stand_ins_differ_in_their_augmentation_alone():
    for profile in (SMOKE, BENCH):
        kinds = ("places", "fixed", "crops")
        places, fixed, crops = (profile.conditions[f"natural-{kind}"] for kind in kinds)
        assert fixed.start.augmentation == replace(places.start.augmentation, fixed=True)
        assert not places.start.augmentation.fixed
        for other in (fixed, crops):
            assert places != other
            start = replace(other.start, augmentation=places.start.augmentation)
            assert places == replace(other, start=start)


def test_every_trained_place_is_on_its_grid():
    for profile in STUDY.profiles.values():
        for given in profile.conditions.values():
            assert set(Canvas(given.canvas, given.item).leftmost_centred) <= set(given.grid)


def test_a_fingerprint_follows_what_matters_to_the_condition():
    given = SMOKE.conditions["natural-places"]
    start = given.start
    changes = [
        {"grid": (0, 5, 10)},
        {"std": 0.4},
        {"control": replace(given.control, plus_seed=7)},
        {"initialisation": replace(given.initialisation, linear=0.02)},
        {"recipe": replace(given.recipe, precision="bfloat16")},
        {"recipe": replace(given.recipe, chance=0.9)},
        {"start": replace(start, count=5)},
        {"start": replace(start, augmentation=replace(start.augmentation, flip=0.1))},
    ]
    prints = {fingerprint(replace(given, **change)) for change in changes}
    assert len(prints | {fingerprint(given)}) == len(changes) + 1


# What is shown of the sets


def test_stimuli_are_the_real_ones_or_say_what_they_stand_for(monkeypatch, tmp_path):
    monkeypatch.setenv("INVLIB_DATA", str(tmp_path))
    shown = imagenet.stimuli(BENCH.conditions["vanilla"])
    assert [items.name for items in shown] == [
        "in place of EMNIST", "fashion_mnist", "kmnist", "mnist", "objects10", "objects2"
    ]  # fmt: skip
    _, images = imagenet.augmentations(BENCH)
    assert images.name == "drawings in place of CIFAR-10"


@pytest.mark.parametrize("name", ["fashion_mnist", "kmnist", "mnist"])
def test_the_pictures_that_come_along_are_the_first_of_each_class(real_data, name):
    (given,) = (items for items in BENCH.conditions["vanilla"].sets if items.name == name)
    real = load(name, given.train).first(1)
    shipped = load(store.stored_root() / "thumbnails" / f"{name}.zip")
    assert set(shipped.classes) == set(real.classes)
    for image, label in zip(shipped.images, shipped.labels, strict=True):
        same = real.images[real.labels == real.classes.index(shipped.classes[label])]
        assert torch.equal(image[None], same)


# The paper's profile with a small network in VGG16's place

LITTLE = (Items("glyphs", classes=4, test="test", per_class=20, held_out=5),
          Items("objects2", test=None, per_class=None))  # fmt: skip
STEPS = Recipe(steps=3, batch_size=4, learning_rate=0.001, target_accuracy=0.95, window=2)


def shrunk(profile, **changes):
    """A profile with the same conditions at a tiny size."""
    tiny = {"recipe": STEPS, "shown": 8, "control": Control(least=-9), **changes}
    conditions = {
        name: replace(given, sets=LITTLE if len(given.sets) == 6 else LITTLE[1:], **tiny)
        for name, given in profile.conditions.items()
    }
    return replace(profile, conditions=conditions)


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
    profile, trained = small_paper
    for given in profile.conditions.values():
        rows = compute(given, 0)
        assert [(r.set, r.map.shape, r.items_shown) for r in rows] == [
            ("glyphs", (3, 3), 8), ("objects2", (3, 3), 2)
        ]  # fmt: skip
        assert rows[0].map_held_out.shape == (3, 3)
        assert {r.attempts[0].steps for r in rows} == {3}
    for classes in (4, 1000):
        pretrained = profile.conditions["imagenet"]
        states = [network(pretrained, None, classes, s).state_dict() for s in (0, 1)]
        for name, tensor in trained.items():
            same = [torch.equal(tensor, s[name]) if tensor.shape == s[name].shape else False
                    for s in states]  # fmt: skip
            assert same == [not name.startswith("classifier.6")] * 2 or name == "classifier.6.bias"
        assert not torch.equal(*(s["classifier.6.weight"] for s in states))
    vanilla = network(profile.conditions["vanilla"], None, 4, 0).state_dict()
    assert not torch.equal(vanilla["features.0.weight"], trained["features.0.weight"])


def test_the_papers_pixels_are_scaled_by_each_set(small_paper):
    profile, _ = small_paper
    for name in ("glyphs", "objects10"):
        items = load(name).rgb()
        canvas = profile.conditions["imagenet"].canvas_for(items)
        drawn = canvas.fully_translated().draw(canvas.prepare(items).images, items.labels, None)
        assert drawn.mean((0, 2, 3)).abs().max() < 1e-3
        assert (drawn.std((0, 2, 3)) - 1).abs().max() < 1e-2


def test_without_its_weights_a_condition_fails_and_the_other_is_done(
    small_paper, tmp_path, monkeypatch, inline
):
    profile, _ = small_paper
    monkeypatch.setenv("INVLIB_WEIGHTS", str(tmp_path / "elsewhere"))
    with pytest.raises(WeightsError, match="vgg16-397923af.pth.*invlib weights --download vgg16"):
        compute(profile.conditions["imagenet"], 0)
    study = replace(STUDY, profiles={"paper": profile})
    root = tmp_path / "results"
    report = runs.run(study, "paper", seeds=1, root=root, executor=inline)
    assert [run.condition for run in report.done] == ["vanilla"]
    ((failed, why),) = report.failed.items()
    assert failed.condition == "imagenet" and why.startswith(
        "WeightsError: ImageNet weights of vgg16"
    )
    assert len(runs.table(study, "paper", root)) == 2


# SqueezeNet's profile on a small canvas


def test_the_squeezenet_path(tmp_path, monkeypatch):
    monkeypatch.setenv("INVLIB_WEIGHTS", str(tmp_path))
    torch.manual_seed(0)
    features = {n: t for n, t in squeezenet(2, seed=9).state_dict().items() if "features" in n}
    save_file(features, tmp_path / "squeezenet1_1_features_caffe.safetensors")
    conditions = shrunk(SQUEEZENET, canvas=64, item=16, grid=(0, 24, 48)).conditions
    assert set(conditions) == {"vanilla", "imagenet", "vanilla-flat", "imagenet-flat"}
    for condition, given in conditions.items():
        rows = compute(given, 0)
        sets = ["objects2"] if "flat" in condition else ["glyphs", "objects2"]
        assert [r.set for r in rows] == sets
        assert all(r.map.shape == (3, 3) and r.attempts[0].steps == 3 for r in rows)
        model = network(given, None, 2, 0)
        head = {"vanilla": "Conv2d", "imagenet": "Conv2d"}.get(condition, "Linear")
        assert type(model.get_submodule(models.head_name(model))).__name__ == head
        first = model.state_dict()["features.0.weight"]
        canvas = given.canvas_for(load("objects2"))
        if condition.startswith("imagenet"):  # from a file trained on BGR, less the means alone
            assert torch.equal(first, features["features.0.weight"].flip(1))
            assert (255 * canvas.mean[0], 255 * canvas.std[0]) == pytest.approx((123.68, 1))
        else:
            assert not torch.equal(first, features["features.0.weight"].flip(1))
            assert (canvas.mean, canvas.std) == (models.IMAGENET_MEAN, models.IMAGENET_STD)
