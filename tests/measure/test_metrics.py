"""Accuracy maps against a loop, and the numbers read off them against brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from invlib.data.canvas import Canvas, PlaceError, paper_grid
from invlib.measure.accuracy import accuracy_map, normalised_accuracy
from invlib.measure.sensitivity import sensitivity_map
from invlib.measure.statistics import by_distance, far_mean, interval, overlap_free

CANVAS = Canvas(12, 6, std=0.5)


class Random(nn.Module):
    """One linear layer with random weights."""

    def __init__(self, classes, channels=1, size=12):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(channels * size**2, classes, bias=False)

    def forward(self, x):
        return self.layer(x.flatten(1))


class Upper(nn.Module):
    """Says class 0 of items in the upper rows, class 1 of all others."""

    def forward(self, x):
        upper = x[:, :, :6].sum((1, 2, 3)) == x.sum((1, 2, 3))
        return torch.stack([upper, ~upper], 1).float()


# Accuracy maps


@pytest.mark.parametrize("channels", [1, 3])
def test_a_map_equals_one_canvas_at_a_time(noise, channels):
    items, model = noise(25, 5, channels=channels), Random(5, channels)
    rows, columns = (0, 3, 6), (1, 4)
    expected = np.zeros((3, 2))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            for image, label in zip(items.images, items.labels, strict=True):
                canvas = torch.zeros(1, channels, 12, 12)
                canvas[0, :, row : row + 6, column : column + 6] = image / 255 / 0.5
                expected[i, j] += (model(canvas).argmax() == label) / 25
    found = accuracy_map(model, CANVAS, items, rows, columns)
    assert found.dtype == np.float64 and np.allclose(found, expected, atol=1e-12)
    assert len(np.unique(found)) > 2  # the test can fail
    for batch in (1, 7, 1000):
        assert np.array_equal(found, accuracy_map(model, CANVAS, items, rows, columns, batch))


def test_rows_come_first(noise):
    items = noise(4)
    found = accuracy_map(Upper(), CANVAS, items.take(torch.tensor([0, 2, 1])), (0, 6), (0, 3, 6))
    assert np.allclose(found, [[2 / 3] * 3, [1 / 3] * 3])


def test_items_of_another_size_are_resized(noise):
    items = noise(20, 4, size=9)
    found = accuracy_map(Random(4), CANVAS, items, (0, 3, 6))
    assert np.array_equal(found, accuracy_map(Random(4), CANVAS, items.resized((6, 6)), (0, 3, 6)))


def test_the_grid_is_19_by_19_unless_told(noise):
    found = accuracy_map(Upper(), Canvas(64, 6), noise(2))
    assert found.shape == (19, 19)
    assert accuracy_map(Upper(), CANVAS, noise(2), (0, 5)).shape == (2, 2)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_measured_in_evaluation_mode_and_left_as_it_was(noise, training):
    model = nn.Sequential(nn.Dropout(1.0), nn.Flatten(), nn.Linear(144, 2)).train(training)
    nn.init.constant_(model[2].weight, 0.0)
    with torch.no_grad():
        model[2].weight[0], model[2].weight[1] = 1.0, -1.0
        model[2].bias.copy_(torch.tensor([0.0, 1.0]))  # decides where dropout blanks everything
    found = accuracy_map(model, CANVAS, noise(2).take(torch.tensor([0, 0, 1])), (0, 6))
    assert np.allclose(found, np.full((2, 2), 2 / 3))
    assert model.training is training


def test_the_precision_of_a_map_is_asked_for(noise):
    seen, model = [], Random(2)
    model.layer.register_forward_hook(lambda m, x, y: seen.append(y.dtype))
    for precision in ("float32", "bfloat16"):
        accuracy_map(model, CANVAS, noise(2), (0,), precision=precision)
        assert seen[-1] == getattr(torch, precision)
    with pytest.raises(ValueError, match="precision must be float32 or bfloat16, not 'half'"):
        accuracy_map(model, CANVAS, noise(2), (0,), precision="half")


def test_a_network_with_too_few_outputs_is_refused(noise):
    model = Random(2).train()
    with pytest.raises(ValueError, match="noise has 3 classes, the model gives 2 logits"):
        accuracy_map(model, CANVAS, noise(6, 3), (0,))
    assert model.training


@pytest.mark.parametrize("grid", [(0, 7), (-1, 0)])
def test_a_grid_that_leaves_the_canvas_is_refused(noise, grid):
    with pytest.raises(PlaceError, match="off the canvas; rows are 0 to 6"):
        accuracy_map(Upper(), CANVAS, noise(2), grid)


# Sensitivity maps

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


# Numbers read off a map


@pytest.mark.parametrize("classes", [2, 10, 12, 26])
def test_normalised_accuracy_by_hand(classes):
    by_hand = {1 / classes: 0.0, 1.0: 1.0, 0.0: -1 / (classes - 1)}
    for accuracy, expected in by_hand.items():
        assert float(normalised_accuracy(accuracy, classes)) == pytest.approx(expected, abs=1e-15)
    found = normalised_accuracy([[0.55, 0.1], [1.0, 0.0]], 10)
    assert np.allclose(found, [[0.5, 0], [1, -1 / 9]])


def test_the_papers_places_without_overlap():
    # Rows 47 to 127 (9) and columns 0 to 47 (6) share pixels with the item at (87, 0).
    free = overlap_free(paper_grid(), (87, 0), (50, 50))
    assert (~free).sum() == 9 * 6 and free.sum() == 307
    assert free[paper_grid().index(37), 0] and not free[paper_grid().index(47), 0]


grids = st.lists(st.integers(0, 30), min_size=1, max_size=6, unique=True).map(sorted)
items = st.tuples(st.integers(1, 8), st.integers(1, 8))
places = st.tuples(st.integers(0, 30), st.integers(0, 30))


@given(grids, places, items)
@settings(max_examples=100, deadline=None)
def test_overlap_free_equals_counting_shared_pixels(grid, place, item):
    def pixels(row, column):
        return {(row + i, column + j) for i in range(item[0]) for j in range(item[1])}

    expected = [[not pixels(r, c) & pixels(*place) for c in grid] for r in grid]
    assert overlap_free(grid, place, item).tolist() == expected
    values = np.random.default_rng(0).random((len(grid), len(grid)))
    far = [values[i, j] for i, row in enumerate(expected) for j, free in enumerate(row) if free]
    if far:
        assert far_mean(values, grid, place, item) == pytest.approx(sum(far) / len(far))
    else:
        with pytest.raises(PlaceError, match="every place of the grid overlaps"):
            far_mean(values, grid, place, item)


@given(grids, places, st.floats(0.5, 20))
@settings(max_examples=100, deadline=None)
def test_by_distance_equals_rings_counted_one_by_one(grid, place, width):
    values = np.random.default_rng(1).random((len(grid), len(grid)))
    rings = {}
    for i, row in enumerate(grid):
        for j, column in enumerate(grid):
            distance = ((row - place[0]) ** 2 + (column - place[1]) ** 2) ** 0.5
            rings.setdefault(round(distance / width), []).append((distance, values[i, j]))
    expected = [np.mean(rings[ring], axis=0) for ring in sorted(rings)]
    distance, accuracy = by_distance(values, grid, place, width)
    assert np.allclose(np.stack([distance, accuracy], 1), expected)


def test_intervals_by_the_table_of_students_t():
    # Quantiles of t with 4 degrees of freedom: 2.776 (95 %), 2.132 (90 %); error 1 / sqrt 2.
    for confidence, quantile in ((0.95, 2.776445), (0.9, 2.131847)):
        mean, low, high = interval([1, 2, 3, 4, 5], confidence)
        assert mean == 3
        assert high - 3 == pytest.approx(quantile / 2**0.5, rel=1e-6)
        assert 3 - low == pytest.approx(quantile / 2**0.5, rel=1e-6)
    assert interval([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)
    mean, low, high = interval([0.25])
    assert mean == 0.25 and np.isnan(low) and np.isnan(high)
