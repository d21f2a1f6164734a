"""Cosine similarity by displacement: against plain PyTorch, on networks of every kind."""

import random

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

from invlib import Canvas, load, models
from invlib.data.canvas import PlaceError
from invlib.measure import cosine
from invlib.measure.cosine import cosine_by_displacement

CANVAS = Canvas(64, 16, std=0.3)
ITEMS = load("glyphs").only(4).first(3)
COLUMNS = (0, 7, 48)


def by_hand(features, items, canvas=CANVAS, columns=COLUMNS):
    """Similarities and baseline at each column, one pair after the other."""
    row, start = canvas.leftmost_centred
    images = canvas.prepare(items).images
    with torch.no_grad():
        base, *moved = (
            features(canvas.render(images, (row, at))).flatten(1) for at in (start, *columns)
        )
    same = [[float(F.cosine_similarity(a, b, dim=0)) for a, b in zip(base, each, strict=True)]
            for each in moved]  # fmt: skip
    others = [
        [
            float(F.cosine_similarity(each[i], each[j], dim=0))
            for i in range(len(items))
            for j in range(i)
            if items.labels[i] != items.labels[j]
        ]
        for each in moved
    ]
    return [np.mean(same, 1), np.std(same, 1), np.mean(others, 1), np.std(others, 1)]


def assert_equal(found, expected):
    for one, two in zip(
        (found.mean, found.std, found.baseline, found.baseline_std), expected, strict=True
    ):
        assert np.allclose(one, two, atol=1e-5)


@pytest.mark.parametrize("path", ["plain", "propagate"])
@pytest.mark.parametrize(("layer", "part"), [("classifier.3", 4), ("classifier.4", 5)])
def test_it_is_the_similarity_of_the_layers_output_before_or_behind_a_relu(layer, part, path):
    model = models.vgg("bench", 4, seed=1).eval()

    def features(x):  # the ReLU behind the layer works in place
        return model.classifier[:part](model.avgpool(model.features(x)).flatten(1)).clone()

    expected = by_hand(features, ITEMS)
    found = cosine_by_displacement(model, CANVAS, ITEMS, layer, COLUMNS, path)
    assert found.displacements == (0, 7, 48) and found.layer == layer
    assert_equal(found, expected)
    assert found.mean[0] == pytest.approx(1) and (found.baseline < 1).all()


def test_a_network_that_cannot_be_traced_is_run_in_whole():
    class Judges(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 2, 3)

        def forward(self, x):
            x = F.relu_(self.one(x)) if x.sum() > 0 else x
            return self.two(x).mean((2, 3))

    model = Judges().eval()
    found = cosine_by_displacement(model, CANVAS, ITEMS, "one", COLUMNS)
    assert_equal(found, by_hand(model.one, ITEMS))


def test_what_a_network_draws_each_time_is_not_frozen(monkeypatch):
    class Draws(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 2, 3)

        def forward(self, x):
            x = x * (1 if random.random() < 0.5 else -1)
            return self.two(self.one(x)).mean((2, 3))

    part = cosine._up_to(Draws(), "one")
    x, found = torch.ones(1, 1, 8, 8), set()
    for draw in (0.1, 0.9):
        monkeypatch.setattr(random, "random", lambda draw=draw: draw)
        found.add(float(part(x)["layer"].detach().sum()))
    assert len(found) == 2


def test_a_shift_that_the_layer_does_not_see_changes_nothing():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.full = nn.Conv2d(1, 4, 3, padding=2)
            self.pool = nn.AdaptiveMaxPool2d(1)

        def forward(self, x):
            return self.pool(self.full(x)).flatten(1)

    found = cosine_by_displacement(Pooled(), CANVAS, ITEMS, "pool")
    assert len(found.mean) == 19 and np.allclose(found.mean, 1) and np.allclose(found.std, 0)
    assert found.baseline.std() < 1e-6 and found.baseline.max() < 1 - 1e-6


def test_the_model_keeps_its_mode_and_the_dropout_is_off():
    model = models.vgg("bench", 4, seed=1).train()
    model.features.eval()
    one, two = (cosine_by_displacement(model, CANVAS, ITEMS, "classifier.5", COLUMNS)
                for _ in range(2))  # fmt: skip
    assert np.array_equal(one.mean, two.mean)
    assert model.training and model.classifier.training and not model.features.training


def test_bad_input_is_named():
    model = models.vgg("bench", 4)
    with pytest.raises(ValueError, match="no layer 'classifer.3'; the nearest .* classifier.3"):
        cosine_by_displacement(model, CANVAS, ITEMS, "classifer.3")
    with pytest.raises(ValueError, match="glyphs has one class; the baseline needs items of two"):
        cosine_by_displacement(model, CANVAS, ITEMS.only(1), "classifier.3")
    with pytest.raises(PlaceError, match=r"place \(24, 49\) is off the canvas"):
        cosine_by_displacement(model, CANVAS, ITEMS, "classifier.3", (0, 49))
    for columns in ((), (0, 0.5), (0, np.nan)):
        with pytest.raises(PlaceError, match="columns as rising whole numbers, found"):
            cosine_by_displacement(model, CANVAS, ITEMS, "classifier.3", columns)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_outputs_that_are_not_finite_have_no_similarity(value):
    model = models.vgg("bench", 4)
    model.features[0].weight.data[0, 0, 0, 0] = value
    words = "expected finite numbers for glyphs from classifier.3, found NaN or infinity"
    with pytest.raises(ValueError, match=words):
        cosine_by_displacement(model, CANVAS, ITEMS, "classifier.3", COLUMNS)


@pytest.mark.parametrize(
    ("give", "words"),
    [
        (lambda y: (y, y), "expected one tensor from part, found tuple"),
        (lambda y: None, "expected one tensor from part, found NoneType"),
        (
            lambda y: y.sum((1, 2, 3)),
            r"numbers \(\d+, ...\) from part, found torch.float32 \(\d+,\)",
        ),
        (lambda y: y[:1], r"numbers \(\d+, ...\) from part, found torch.float32 \(1, 2, 62, 62\)"),
        (lambda y: y + 0j, r"expected real numbers .* found torch.complex64"),
    ],
)
def test_a_layer_that_gives_no_tensor_with_a_row_for_each_canvas_is_named(give, words):
    class Part(nn.Module):
        def forward(self, x):
            return give(x)

    class Network(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.part = nn.Conv2d(1, 2, 3), Part()

        def forward(self, x):
            self.part(self.one(x))
            return x

    with pytest.raises(ValueError, match=words):
        cosine_by_displacement(Network(), CANVAS, ITEMS, "part", COLUMNS)
