"""Two places and a border: what is pooled, what is left, and where it ends."""

import importlib
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from invlib import receptive_field
from invlib.data.items import DataError

quadrant = importlib.import_module("invlib.studies.quadrant")
SMOKE, BENCH = (quadrant.STUDY.profile(name).conditions for name in ("smoke", "bench"))


def test_no_image_is_in_two_parts_and_both_places_have_half():
    parts = list(quadrant._split(SMOKE["bag-random"], 0))
    assert [len(each) for each in parts] == [40, 20, 20]
    assert all(torch.bincount(each.labels).tolist() == [len(each) // 2] * 2 for each in parts)
    pictures = [each.numpy().tobytes() for part in parts for each in part.images]
    assert len(set(pictures)) == len(pictures)
    assert all(each.images.shape[1:] == (3, 12, 12) for each in parts)
    other = next(iter(quadrant._split(SMOKE["bag-random"], 1)))
    assert not torch.equal(other.images, parts[0].images)


def test_the_places_of_the_public_code_with_a_border_added():
    for border in BENCH["bag-random"].borders:
        canvas = quadrant._canvas(BENCH["bag-random"], border)
        places = quadrant._places(BENCH["bag-random"], border).tolist()
        assert canvas.size == (120 + 2 * border,) * 2
        assert places == [[border, border], [border + 64, border + 64]]
        assert canvas.last == (64 + 2 * border,) * 2


@pytest.mark.parametrize("place", [(36, 36), (52, 52)])
def test_features_are_the_largest_values_of_the_whole_canvas(place):
    settings = SMOKE["bag-random"]
    items = next(iter(quadrant._split(settings, 0)))
    canvas = quadrant._canvas(settings, 36)
    network = quadrant._network(settings, 0)
    pooled = nn.Sequential(network.features, nn.AdaptiveMaxPool2d(1))
    places = torch.tensor([place, place])
    found = quadrant._features(pooled, canvas, items, places)
    with torch.no_grad():
        expected = network.features(canvas.render(items.images, place)).amax((2, 3))
    assert np.allclose(found, expected.numpy(), atol=1e-5)


def test_beyond_the_receptive_field_both_places_give_the_same_features():
    near, far = quadrant.compute(SMOKE["bag-random"], 0)
    assert near.border == 0 and near.apart > 0.01
    # 36 pixels, and the network sees 33.
    assert far.field == 33 and far.apart < 1e-6


@pytest.mark.parametrize(("name", "field"), [("bag-random", 33), ("squeezenet-imagenet", 207)])
def test_the_receptive_fields_of_the_networks(name, field):
    settings = replace(BENCH[name], weights="random")
    network = quadrant._network(settings, 0)
    assert receptive_field(network.features, quadrant._blank(settings)).size == (field, field)


def test_a_border_is_from_0_and_networks_are_known():
    with pytest.raises(ValueError, match="a border from 0 px, found -1"):
        quadrant._canvas(SMOKE["bag-random"], -1)
    with pytest.raises(ValueError, match="unknown network 'vgg'"):
        quadrant._network(replace(SMOKE["bag-random"], network="vgg"), 0)


def test_the_readout_is_chosen_on_validation_and_judged_on_test():
    random = np.random.default_rng(0)
    labels = torch.arange(200) % 2
    features = random.normal(size=(200, 5)) + 3 * labels.numpy()[:, None]
    part = (features, labels)
    assert quadrant._read_out(SMOKE["bag-random"], [part, part, part]) == 1
    wrong = (features, 1 - labels)
    assert quadrant._read_out(SMOKE["bag-random"], [part, part, wrong]) == 0


def test_a_set_too_small_for_the_split_says_so():
    with pytest.raises(DataError, match="digits: 100040 images are asked for, found 1400"):
        list(quadrant._split(replace(SMOKE["bag-random"], train=100_000), 0))


def test_files_that_lack_something_do_not_count():
    settings = SMOKE["bag-random"]
    rows = [quadrant.Measurement(border, 0.5, 0.0, 33) for border in settings.borders]
    quadrant.check(settings, rows)
    with pytest.raises(ValueError, match=r"borders \(0, 36\), found \(0,\)"):
        quadrant.check(settings, rows[:1])
    with pytest.raises(ValueError, match="differences from 0"):
        quadrant.check(settings, [replace(rows[0], apart=-1.0), rows[1]])
