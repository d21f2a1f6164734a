"""Numbers read off a map and off repetitions, by hand and by counting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invlib.data.canvas import PlaceError, paper_grid
from invlib.measure.accuracy import normalised_accuracy
from invlib.measure.statistics import by_distance, far_mean, interval, overlap_free


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
