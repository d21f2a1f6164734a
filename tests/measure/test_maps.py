"""Maps: what is read off them, by hand and by counting, what they say, write and draw."""

import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import invlib
from invlib.data.canvas import paper_grid
from invlib.measure.maps import AccuracyMap, SensitivityMap

# Items of 6 x 6 learnt at (5, 0); ten classes; places at (5, 0) and (5, 3) share pixels with it.
BY_HAND = AccuracyMap(
    np.array([[1.0, 0.55, 0.1], [0.1, 0.28, 0.0]]), (5, 11), (0, 3, 9), (5, 0), (6, 6), 10, "cats"
)


def empty(rows, columns, place, item, classes=2):
    values = np.random.default_rng(0).random((len(rows), len(columns)))
    return AccuracyMap(values, tuple(rows), tuple(columns), place, item, classes, "cats")


def test_an_accuracy_map_by_hand():
    assert np.allclose(BY_HAND.normalised, [[1, 0.5, 0], [0, 0.2, -1 / 9]])
    assert BY_HAND.overlap_free.tolist() == [[False, False, True], [True, True, True]]
    assert BY_HAND.trained == 1
    assert BY_HAND.far == pytest.approx((0 + 0 + 0.2 - 1 / 9) / 4)
    assert BY_HAND.canvas == pytest.approx((1.7 - 1 / 9) / 6)
    assert BY_HAND.report() == (
        "cats (10 classes), normalised accuracy: 0 % is chance\n"
        "100.0 % at the trained place (5, 0), 26.5 % over all 6 places of the grid\n"
        "2.2 % far away: at the 4 places that share no pixel with it"
    )


def test_what_a_grid_has_not_is_said_to_be_not_measured():
    near = empty((4, 6), (1, 2), (5, 0), (6, 6))
    assert np.isnan(near.trained) and np.isnan(near.far) and not np.isnan(near.canvas)
    assert "not measured at the trained place (5, 0)" in near.report()
    assert "not measured far away: at the 0 places" in near.report()


def test_the_papers_places_without_overlap():
    # Rows 47 to 127 (9) and columns 0 to 47 (6) share pixels with the item at (87, 0).
    free = empty(paper_grid(), paper_grid(), (87, 0), (50, 50)).overlap_free
    assert (~free).sum() == 9 * 6 and free.sum() == 307
    assert free[paper_grid().index(37), 0] and not free[paper_grid().index(47), 0]


grids = st.lists(st.integers(0, 30), min_size=1, max_size=6, unique=True).map(sorted)
items = st.tuples(st.integers(1, 8), st.integers(1, 8))
places = st.tuples(st.integers(0, 30), st.integers(0, 30))


@given(grids, grids, places, items)
@settings(max_examples=100, deadline=None)
def test_overlap_free_equals_counting_shared_pixels(rows, columns, place, item):
    def pixels(row, column):
        return {(row + i, column + j) for i in range(item[0]) for j in range(item[1])}

    found = empty(rows, columns, place, item)
    expected = [[not pixels(r, c) & pixels(*place) for c in columns] for r in rows]
    assert found.overlap_free.tolist() == expected
    far = [2 * v - 1 for v, free in zip(found.ravel(), np.ravel(expected), strict=True) if free]
    assert found.far == pytest.approx(sum(far) / len(far) if far else np.nan, nan_ok=True)


@given(grids, grids, places, st.floats(0.5, 20))
@settings(max_examples=100, deadline=None)
def test_by_distance_equals_rings_counted_one_by_one(rows, columns, place, width):
    found, rings = empty(rows, columns, place, (1, 1)), {}
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            distance = ((row - place[0]) ** 2 + (column - place[1]) ** 2) ** 0.5
            rings.setdefault(round(distance / width), []).append((distance, 2 * found[i, j] - 1))
    expected = [np.mean(rings[ring], axis=0) for ring in sorted(rings)]
    assert np.allclose(np.stack(found.by_distance(width), 1), expected)


def test_a_map_is_used_as_an_array():
    values = BY_HAND.values
    assert np.array_equal(np.asarray(BY_HAND), values) and BY_HAND.shape == (2, 3)
    assert np.allclose(np.mean([BY_HAND, values + 1], axis=0), values + 0.5)
    for found, expected in (
        (BY_HAND - values, 0 * values), (1 - BY_HAND, 1 - values), (BY_HAND > 0.2, values > 0.2)
    ):  # fmt: skip
        assert type(found) is np.ndarray and np.array_equal(found, expected)
    assert BY_HAND[0, 1] == 0.55 and BY_HAND[:, 2].tolist() == [0.1, 0]
    assert len(BY_HAND) == 2 and [row.max() for row in BY_HAND] == [1, 0.28]
    assert BY_HAND.max() == 1
    again = pickle.loads(pickle.dumps(BY_HAND))
    assert np.array_equal(again, values) and again.place == (5, 0)


def test_an_accuracy_map_is_written_a_line_for_each_place(tmp_path):
    BY_HAND.to_csv(tmp_path / "map.csv")
    read = pd.read_csv(tmp_path / "map.csv")
    assert list(read) == ["row", "column", "accuracy", "normalised", "overlap_free"]
    assert read.row.tolist() == [5, 5, 5, 11, 11, 11]
    assert read.column.tolist() == [0, 3, 9, 0, 3, 9]
    assert np.allclose(read.accuracy, BY_HAND.ravel())
    assert np.allclose(read.normalised, BY_HAND.normalised.ravel())
    assert read.overlap_free.tolist() == BY_HAND.overlap_free.ravel().tolist()


def test_a_map_is_drawn_where_its_places_are():
    ax, bar = BY_HAND.plot().axes
    (mesh,) = ax.collections
    assert np.allclose(mesh.get_array(), 100 * BY_HAND.values) and mesh.get_clim() == (0, 100)
    corners = mesh.get_coordinates()
    assert corners[:, 0, 1].tolist() == [2, 8, 14] and corners[0, :, 0].tolist() == [
        -1.5,
        1.5,
        6,
        12,
    ]
    assert ax.get_ylim() == (14, 2)  # row 0 at the top
    assert {tuple(line.get_xydata()[0]) for line in ax.lines} == {(0, 5)}
    assert bar.get_ylabel() == "accuracy (%)"


def test_a_map_of_one_row_is_drawn_as_high_as_its_items():
    one = AccuracyMap(np.ones((1, 2)), (5,), (0, 4), (5, 0), (6, 2), 2, "cats")
    corners = one.plot().axes[0].collections[0].get_coordinates()
    assert corners[:, 0, 1].tolist() == [2, 8] and corners[0, :, 0].tolist() == [-2, 2, 6]


@pytest.mark.parametrize("width", [0, -1, np.nan])
def test_rings_have_a_width(width):
    with pytest.raises(ValueError, match=f"rings of a width above 0 pixels, found {width}"):
        BY_HAND.by_distance(width)


# Sensitivity maps. Shifts of 2 px: ring of 1 px 0.8, 0.6, 0.4, 0.2; of 2 px 0.1 each.
SHIFTED = np.full((5, 5), 0.5)
SHIFTED[2, 2] = 1
SHIFTED[1, 2], SHIFTED[3, 2], SHIFTED[2, 1], SHIFTED[2, 3] = 0.8, 0.6, 0.4, 0.2
SHIFTED[[0, 4, 2, 2], [2, 2, 0, 4]] = 0.1
SHIFTED[0, 3] = -0.25


def test_a_sensitivity_map_reports_small_large_and_worst_shifts():
    assert SensitivityMap(SHIFTED, 2, "conv", "cosine").report() == (
        "cosine of conv between an image and itself shifted; unshifted: 1\n"
        "0.5 for shifts along an axis by 1 px, 0.1 by 2 px\n"
        "-0.25 for the shift that changes most, -2 px down and +1 px to the right"
    )
    report = SensitivityMap(1 - SHIFTED, 2, None, "euclidean").report()
    assert report.startswith("euclidean of the output") and "1.25 for the shift that" in report


@pytest.mark.parametrize(
    ("metric", "values", "scale"),
    [
        ("cosine", SHIFTED, (-0.25, 1)), ("cosine", SHIFTED.clip(0), (0, 1)),
        ("euclidean", 40 * (1 - SHIFTED), (0, 50)), ("euclidean", 0 * SHIFTED, (0, 1)),
        ("accuracy", SHIFTED.clip(0, 0.9), (0, 1)),
    ],
)  # fmt: skip
def test_the_scale_of_a_sensitivity_map_cuts_nothing_off(metric, values, scale):
    ax, bar = SensitivityMap(values, 2, None, metric).plot().axes
    (image,) = ax.images
    assert image.get_clim() == scale and np.array_equal(image.get_array(), values)
    assert metric[1:] in bar.get_ylabel()


def test_a_sensitivity_map_is_written_a_line_for_each_shift(tmp_path):
    SensitivityMap(SHIFTED, 2, None, "cosine").to_csv(tmp_path / "map.csv")
    read = pd.read_csv(tmp_path / "map.csv").set_index(["down", "right"])
    assert len(read) == 25 and list(read) == ["cosine"]
    assert read.cosine[-2, 1] == -0.25 and read.cosine[0, 1] == 0.2 and read.cosine[1, 0] == 0.6


# Several networks


def test_networks_are_compared_under_their_own_names():
    other = empty((5, 11), (0, 3, 9), (5, 0), (6, 6))
    table = invlib.compare({"mine": [BY_HAND, BY_HAND, other], "theirs": BY_HAND})
    assert table.condition.tolist() == ["mine"] * 3 + ["theirs"]
    assert table.seed.tolist() == [0, 1, 2, 0] and table.classes.tolist() == [10, 10, 2, 10]
    for name in ("trained", "canvas", "far"):
        assert table[name].tolist() == [getattr(each, name) for each in table["map"]]
    assert table["map"].tolist() == [BY_HAND, BY_HAND, other, BY_HAND]
    with pytest.raises(ValueError, match="expected a map for each name, found none"):
        invlib.compare({"mine": []})


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (BY_HAND, r"maps by name, \{name: map\}, found AccuracyMap"),
        ({"mine": BY_HAND.values}, "accuracy maps of mine, found ndarray"),
        ({"mine": [BY_HAND, None]}, "accuracy maps of mine, found NoneType"),
    ],
)
def test_what_are_no_maps_by_name_are_refused(wrong, words):
    with pytest.raises(TypeError, match=words):
        invlib.compare(wrong)


def test_maps_of_other_places_are_not_drawn_as_one():
    other = empty((5, 11), (0, 3, 10), (5, 0), (6, 6))
    table = invlib.compare({"mine": [BY_HAND, replace(other, set="cats")]})
    for draw in (invlib.plots.heatmaps, invlib.plots.distance, invlib.plots.columns):
        with pytest.raises(ValueError, match=r"same places, found .* 3, 9\).* 3, 10\)"):
            draw(table)


def test_a_map_is_not_changed_in_place():
    one = BY_HAND
    with pytest.raises(TypeError, match="not changed in place"):
        one += 1


def test_the_books_figures_take_a_comparison():
    table = invlib.compare({"mine": BY_HAND, "theirs": 1 * [BY_HAND]})
    bars = invlib.plots.bars(table, "far").axes[0]
    assert [bar.get_height() for group in bars.containers[:2] for bar in group] == (
        pytest.approx([100 * BY_HAND.far] * 2)
    )
    figure = invlib.plots.heatmaps(table)
    assert [ax.get_ylabel() for ax in figure.axes[:2]] == ["mine", "theirs"]
    assert np.allclose(figure.axes[1].collections[0].get_array(), 100 * BY_HAND.values)
    lines = {line.get_label(): line for line in invlib.plots.distance(table).axes[0].lines}
    assert np.allclose(lines["mine"].get_ydata(), 100 * BY_HAND.by_distance(1.5)[1])
