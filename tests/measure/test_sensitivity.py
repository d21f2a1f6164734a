"""Sensitivity maps: by hand, and what they do to the network."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import pad

from invlib.data.canvas import Canvas
from invlib.data.sets import load
from invlib.measure import sensitivity
from invlib.measure.sensitivity import METRICS, sensitivity_map, sensitivity_maps
from invlib.models import TRACKING, tracking

ONE_PIXEL = torch.zeros(1, 1, 3, 3)
ONE_PIXEL[0, 0, 1, 1] = 1.0


def answers(*vectors):
    """A linear layer that answers a pixel at each of 3 x 3 places with the vector of that place."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, len(vectors[0]), bias=False))
    model[1].weight.data = torch.tensor(vectors, dtype=torch.float32).T.contiguous()
    return model


TABLE = answers((3, 0), (0, 1), (2, 1), (-1, 0), (1, 0), (3, 4), (0, -2), (0, -1), (-3, -4))
BY_HAND = {
    "cosine": [[1, 0, 2 / 5**0.5], [-1, 1, 0.6], [0, 0, -0.6]],
    "euclidean": [[2, 2**0.5, 2**0.5], [2, 0, 20**0.5], [5**0.5, 2**0.5, 32**0.5]],
    "accuracy": [[1, 0, 1], [0, 1, 0], [1, 1, 1]],
}


@pytest.mark.parametrize("path", ["auto", "plain"])
@pytest.mark.parametrize("metric", BY_HAND)
def test_a_sensitivity_map_by_hand(metric, path):
    labels = torch.tensor([0])
    found = sensitivity_map(TABLE, ONE_PIXEL, None, 1, metric, labels, exact_path=path)
    assert found.dtype == np.float64 and np.allclose(found, BY_HAND[metric], atol=1e-6)
    if metric == "accuracy":
        other = sensitivity_map(TABLE, ONE_PIXEL, "1", 1, metric, labels + 1, exact_path=path)
        assert np.array_equal(other, 1 - found)


def test_an_answer_of_zeros_is_like_no_other():
    model = answers(*[(0, 0)] * 4, (1, 0), *[(0, 0)] * 4)
    cosine, euclidean = (
        sensitivity_map(model, ONE_PIXEL, shifts=2, metric=m) for m in ("cosine", "euclidean")
    )
    assert cosine[2, 2] == 1 and cosine.sum() == 1
    assert np.array_equal(euclidean, 1 - cosine)


def test_rows_of_a_sensitivity_map_are_shifts_down_and_columns_to_the_right():
    # Bright in the lowest row of 4 and the second column of 5; its weight there is 1.
    image, weights = torch.zeros(1, 1, 4, 5), torch.zeros(4, 5)
    image[0, 0, 3, 1], weights[3], weights[0, 3] = 1.0, 1.0, 5.0
    model = nn.Sequential(nn.Flatten(), nn.Linear(20, 1, bias=False))
    model[1].weight.data = weights.view(1, 20)
    found = sensitivity_map(model, image, shifts=3, metric="euclidean")
    expected = np.ones((7, 7))
    expected[3, 2:] = 0  # up to one pixel to the left it stays in its row
    expected[0, 5] = 4  # three up, two to the right
    assert np.allclose(found, expected)


@pytest.mark.parametrize("path", ["auto", "plain"])
def test_the_largest_value_of_a_map_does_not_move_until_the_pixel_leaves(path):
    image = torch.zeros(1, 1, 8, 8)
    image[0, 0, 2, 3] = 3.0
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.AdaptiveMaxPool2d(1), nn.Flatten())
    nn.init.ones_(model[0].weight)
    nn.init.zeros_(model[0].bias)
    found = sensitivity_map(model, image, shifts=5, metric="euclidean", exact_path=path)
    inside = np.zeros((11, 11), bool)
    inside[3:, 2:10] = True  # from 2 up and 3 to the left to 5 down and 4 to the right
    assert np.allclose(found, np.where(inside, 0, 18**0.5))
    cosine = sensitivity_map(model, image, shifts=5, exact_path=path)
    assert np.allclose(cosine, inside)


@pytest.mark.parametrize("path", ["auto", "plain"])
def test_a_layer_is_seen_before_a_later_relu_in_place(path):
    image = ONE_PIXEL.clone()
    model = nn.Sequential(
        nn.ReLU(inplace=True), nn.Conv2d(1, 1, 2), nn.ReLU(inplace=True), nn.Flatten(),
        nn.Linear(4, 2),
    )  # fmt: skip
    model[1].weight.data = torch.tensor([[[[-1.0, -2.0], [-3.0, -4.0]]]])
    nn.init.zeros_(model[1].bias)
    found = sensitivity_map(model, image, "1", 1, "euclidean", exact_path=path)
    # Down by one: nothing over -4 -3; before, -4 -3 over -2 -1.
    assert found[2, 1] == pytest.approx(
        ((-4) ** 2 + (-3) ** 2 + (-2 + 4) ** 2 + (-1 + 3) ** 2) ** 0.5
    )
    cosine = sensitivity_map(model, image, "1", 1, exact_path=path)
    assert cosine[1, 1] == pytest.approx(1) and (cosine > 0).all()
    assert not sensitivity_map(model, image, "2", 1, exact_path=path).any()
    assert torch.equal(image, ONE_PIXEL)


@pytest.mark.parametrize("metric", BY_HAND)
def test_a_sensitivity_map_is_the_mean_over_the_images(metric):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.Flatten(), nn.Linear(48, 3))
    images, labels = torch.randn(5, 1, 6, 6), torch.tensor([0, 1, 2, 0, 1])
    found = sensitivity_map(model, images, None, 2, metric, labels)
    each = [
        sensitivity_map(model, images[i : i + 1], None, 2, metric, labels[i : i + 1])
        for i in range(5)
    ]
    assert np.allclose(found, np.mean(each, axis=0), atol=1e-6)
    assert len(np.unique(found.round(6))) > 2  # the test can fail
    right = (model(images).argmax(1) == labels).double().mean()
    unmoved = {"cosine": 1, "euclidean": 0, "accuracy": float(right)}
    assert found[2, 2] == pytest.approx(unmoved[metric], abs=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_a_sensitivity_map_is_taken_in_evaluation_mode_and_the_mode_kept(training):
    model = nn.Sequential(nn.Dropout(0.5), *TABLE).train(training)
    found = sensitivity_map(model, ONE_PIXEL, shifts=1)
    assert np.allclose(found, BY_HAND["cosine"]) and model.training is training
    for images, shifts in ((ONE_PIXEL, 3), (torch.zeros(1, 1, 4, 4), 1)):
        with pytest.raises((ValueError, RuntimeError)):
            sensitivity_map(model, images, shifts=shifts, exact_path="plain")
        assert all(m.training is training for m in model.modules())
        assert not any(m._forward_hooks for m in model.modules())


def test_another_colour_comes_in_at_the_border():
    images = torch.full((1, 2, 4, 4), 0.5)
    images[:, 1] = -1.0
    found = sensitivity_map(nn.Flatten(), images, None, 3, "euclidean", fill=(0.5, -1.0))
    assert not found.any()
    found = sensitivity_map(nn.Flatten(), images, None, 1, "euclidean", fill=0.5)
    side, corner = 1.5 * 4**0.5, 1.5 * 7**0.5
    assert np.allclose(found, [[corner, side, corner], [side, 0, side], [corner, side, corner]])


def test_numpy_images_are_taken():
    found = sensitivity_map(TABLE, ONE_PIXEL.double().numpy(), None, 1)
    assert np.allclose(found, BY_HAND["cosine"]) and (found.shifts, found.metric) == (1, "cosine")
    assert found.layer is None
    with pytest.raises(ValueError, match="expected images as float .* found torch.uint8"):
        sensitivity_map(TABLE, np.zeros((1, 1, 3, 3), np.uint8), None, 1)


def test_a_module_in_the_place_of_a_layers_name_is_told_its_name():
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 2))
    with pytest.raises(ValueError, match="the name of a layer, such as '1', found a Linear"):
        sensitivity_map(model, ONE_PIXEL, model[1], 1)
    with pytest.raises(ValueError, match="such as '0', found a Conv2d"):
        sensitivity_map(model, ONE_PIXEL, nn.Conv2d(1, 1, 1), 1)


def test_the_precision_of_the_images_is_the_networks():
    found = sensitivity_map(TABLE, ONE_PIXEL.double(), None, 1)
    assert np.allclose(found, BY_HAND["cosine"])


@pytest.mark.parametrize("labels", [[2], [-1]])
def test_labels_that_the_network_does_not_answer_with_are_refused(labels):
    with pytest.raises(ValueError, match="expected labels from 0 to 1 .* found"):
        sensitivity_map(TABLE, ONE_PIXEL, None, 1, "accuracy", np.array(labels))


def test_accuracy_needs_labels():
    with pytest.raises(ValueError, match="expected a label for each of 1 images, found none"):
        sensitivity_map(TABLE, ONE_PIXEL, None, 1, "accuracy")


@pytest.mark.parametrize("labels", [[0.5], [float("nan")], [[0]]])
def test_labels_that_are_not_whole_numbers_are_refused(labels):
    with pytest.raises(
        ValueError, match=r"expected labels as whole numbers \(1,\), one .* found torch"
    ):
        sensitivity_map(TABLE, ONE_PIXEL, None, 1, "accuracy", np.array(labels))


@pytest.mark.parametrize("path", ["auto", "plain"])
@pytest.mark.parametrize("metric", BY_HAND)
@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_outputs_that_are_not_finite_give_no_map(metric, value, path):
    broken = answers(*[(1, 0)] * 8, (value, 0))
    with pytest.raises(ValueError, match="finite numbers from the network, found NaN or infinity"):
        sensitivity_map(broken, ONE_PIXEL, None, 1, metric, torch.tensor([0]), exact_path=path)


def test_images_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="images of finite numbers, found NaN or infinity"):
        sensitivity_map(TABLE, ONE_PIXEL * torch.nan, None, 1)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"shifts": 1.5}, "shifts must be a whole number from 1, not 1.5"),
        ({"shifts": -1}, "shifts must be a whole number from 1, not -1"),
        ({"fill": float("nan")}, "expected fill as finite numbers, found nan"),
        ({"fill": (0.0, 1.0)}, "fill has 2 values, the images have 1 channels"),
    ],
)
def test_shifts_and_what_comes_in_are_numbers_that_fit(given, words):
    with pytest.raises(ValueError, match=words):
        sensitivity_map(TABLE, ONE_PIXEL, **({"shifts": 1} | given))


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda y: (y, y), "expected one tensor from the network, found tuple"),
        (lambda y: {"logits": y}, "expected one tensor from the network, found dict"),
        (lambda y: None, "expected one tensor from the network, found NoneType"),
        (lambda y: y[:, 0], r"numbers \(\d+, ...\) from the network, found torch.float32 \(\d+,\)"),
        (lambda y: y[:1], r"\(\d+, ...\) from the network, found torch.float32 \(1, 2\)"),
        (lambda y: y + 0j, "expected real numbers .* from the network, found torch.complex64"),
    ],
)
@pytest.mark.parametrize("path", ["auto", "plain"])
def test_a_network_that_gives_no_row_for_each_image_is_told_so(function, words, path):
    class Gives(nn.Module):
        def forward(self, x):
            return function(TABLE(x))

    with pytest.raises(ValueError, match=words):
        sensitivity_map(Gives(), ONE_PIXEL, None, 1, exact_path=path)


def test_what_are_no_images_are_refused(noise):
    with pytest.raises(TypeError, match="such as canvas.render gives, found ItemSet"):
        sensitivity_map(TABLE, noise(2), None, 1)


# The maps of each class, at several layers.


def network(seed=0):
    torch.manual_seed(seed)
    layers = nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(inplace=True), nn.MaxPool2d(2)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(27, 3), nn.Softmax(1))


@pytest.mark.parametrize(("path", "held"), [("auto", None), ("plain", None), ("auto", 600)])
def test_the_maps_of_a_class_are_those_of_its_images(monkeypatch, path, held):
    if held:  # one image, and a few shifts at once
        monkeypatch.setattr(sensitivity, "OUTPUTS", held)
        monkeypatch.setattr(sensitivity, "DOUBLES", held)
    model, images = network(), torch.rand(6, 1, 6, 6)
    labels = torch.tensor([2, 0, 1, 2, 2, 0])
    measured = {
        "0": ["cosine"], "2": ["cosine", "euclidean"], "4": ["accuracy"], None: ["euclidean"],
    }  # fmt: skip
    found = sensitivity_maps(model, images, labels, measured, 2, exact_path=path)
    assert list(found) == [(layer, metric) for layer in measured for metric in measured[layer]]
    for (layer, metric), maps in found.items():
        assert [(each.layer, each.metric, each.shifts) for each in maps] == [(layer, metric, 2)] * 3
        for label, each in enumerate(maps):
            own = labels == label
            alone = sensitivity_map(model, images[own], layer, 2, metric, labels[own])
            assert np.allclose(each, alone, atol=1e-6)
    assert len(np.unique(np.round(found["2", "cosine"], 6))) > 3 * 12  # the test can fail


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        ([0, 0, 2], "expected an image of every class from 0 to 2, found none of 1"),
        ([-1, 0, 1], "expected labels from 0, found -1"),
        ([0, 1], r"expected labels as whole numbers \(3,\), one for each image, found .*\(2,"),
        (0, r"expected labels as whole numbers \(3,\), one for each image, found torch.int64 \(\)"),
        ([0, 10**12, 1], "of every class from 0 to 1000000000000, found none of 2, 3, 4, 5, 6$"),
        ([0, 0.5, 1], "expected labels as whole numbers"),
        (None, "expected a label for each of 3 images, found none"),
        ([0, 1, 7], "found none of 2, 3, 4, 5, 6"),
        ([3, 2, 1], "expected an image of every class from 0 to 3, found none of 0"),
    ],
)
def test_classes_without_images_and_labels_that_are_none_are_refused(labels, words):
    given = labels and torch.tensor(labels)
    with pytest.raises(ValueError, match=words):
        sensitivity_maps(network(), torch.rand(3, 1, 6, 6), given, {"0": ["cosine"]}, 2)


def test_labels_that_the_network_does_not_know_are_refused_where_it_answers():
    labels = torch.tensor([0, 1, 2, 3])
    with pytest.raises(ValueError, match="labels from 0 to 2 for the network's outputs, found"):
        sensitivity_maps(network(), torch.rand(4, 1, 6, 6), labels, {"4": ["accuracy"]}, 1)


def test_layers_and_metrics_that_there_are_not_are_named():
    images, labels = torch.rand(1, 1, 6, 6), torch.tensor([0])
    with pytest.raises(ValueError, match="no layer '9'; the nearest names are"):
        sensitivity_maps(network(), images, labels, {"0": ["cosine"], "9": ["cosine"]}, 1)
    with pytest.raises(ValueError, match="cosine, euclidean or accuracy, not 'angle'"):
        sensitivity_maps(network(), images, labels, {"0": ["angle"]}, 1)
    with pytest.raises(ValueError, match="shifts must be from 1 to 5"):
        sensitivity_maps(network(), images, labels, {"0": ["cosine"]}, 6)


@pytest.mark.parametrize("name", ["mnist_k5", "mnist_k3_unpadded"])
def test_maps_of_the_papers_networks_are_those_of_a_plain_loop_over_441_shifts(name):
    model = tracking(replace(TRACKING[name], channels=(1, 3, 4, 5), hidden=20)).eval()
    digits = Canvas(40, 28).prepare(load("digits").take(torch.arange(20)))
    images = Canvas(40, 28).render(digits.images, (6, 6))
    places = {"features": model.features, "classifier": model}
    expected = {(place, metric): np.zeros((21, 21)) for place in places for metric in METRICS[:2]}
    with torch.no_grad():
        for down in range(-10, 11):
            for right in range(-10, 11):
                shifted = pad(images, (right, -right, down, -down))
                for place, part in places.items():
                    a, b = part(images).flatten(1).double(), part(shifted).flatten(1).double()
                    at = 10 + down, 10 + right
                    cosine = (a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))
                    expected[place, "cosine"][at] = cosine.mean()
                    expected[place, "euclidean"][at] = (a - b).norm(dim=1).mean()
    one = torch.zeros(20, dtype=torch.int64)
    found = sensitivity_maps(model, images, one, dict.fromkeys(places, METRICS[:2]))
    for (place, metric), values in expected.items():
        (each,) = found[place, metric]
        assert np.allclose(each, values, atol=1e-5 * max(1, values.max()))
        assert np.allclose(sensitivity_map(model, images, place, metric=metric), each, atol=1e-5)
        assert len(np.unique(values.round(5))) > 200  # the test can fail
