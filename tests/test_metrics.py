"""Accuracy maps against a loop, and the numbers read off them against brute force."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from invlib.canvas import Canvas, PlaceError, paper_grid
from invlib.metrics import (
    accuracy_map,
    by_distance,
    far_mean,
    interval,
    normalised_accuracy,
    overlap_free,
)

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
def test_a_map_equals_one_canvas_at_a_time(noise, exact, channels):
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


def test_a_network_with_too_few_outputs_is_refused(noise):
    model = Random(2).train()
    with pytest.raises(ValueError, match="noise has 3 classes, the model gives 2 logits"):
        accuracy_map(model, CANVAS, noise(6, 3), (0,))
    assert model.training


@pytest.mark.parametrize("grid", [(0, 7), (-1, 0)])
def test_a_grid_that_leaves_the_canvas_is_refused(noise, grid):
    with pytest.raises(PlaceError, match="off the canvas; rows are 0 to 6"):
        accuracy_map(Upper(), CANVAS, noise(2), grid)


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
