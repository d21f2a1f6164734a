"""Radial curves, areas and correlations: ring sizes of the paper's maps, and values by hand."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from invlib.measure.maps import SensitivityMap
from invlib.measure.radial import area, curve_area, pearson, radial_mean

RINGS = [1, 8, 12, 16, 32, 28, 40, 40, 48, 68, 56, 44, 24, 20, 4]
"""Cells of each ring of a map of 441 shifts; from 11 on they lie in the corners."""


def cells(rounded=np.round):
    """The ring of each of 441 cells, found cell by cell."""
    return [
        [int(rounded((down**2 + right**2) ** 0.5)) for right in range(-10, 11)]
        for down in range(-10, 11)
    ]


def test_the_rings_of_441_shifts():
    assert sum(RINGS) == 441
    for ring, size in enumerate(RINGS):
        only = np.equal(cells(), ring)
        assert only.sum() == size
        curve = radial_mean(only)
        assert curve.tolist() == [float(each == ring) for each in range(15)]
    # A border of six pixels covers 13 x 13 shifts.
    inside = np.abs(np.arange(-10, 11)) <= 6
    assert (inside[:, None] & inside).sum() == 169


@pytest.mark.parametrize("rounded", [np.round, np.floor, np.ceil])
def test_a_map_of_its_own_distances_gives_the_rings(rounded):
    curve = radial_mean(cells(rounded), rounded)
    assert np.allclose(curve, np.arange(len(curve)))
    assert area(cells(rounded), rounded) == pytest.approx(5.5)
    assert area(cells(rounded), rounded, reach=6) == pytest.approx(3.5)


def test_a_radial_mean_by_hand():
    values = [[1.0, 2.0, 3.0], [4.0, 10.0, 6.0], [7.0, 8.0, 9.0]]
    # Distances 0, 1 and 1.41 round to 0 and 1; rounded up the corners are a ring of their own.
    assert radial_mean(values).tolist() == [10, 5]
    assert radial_mean(values, np.ceil).tolist() == [10, 5, 5]
    assert area(values) == 5


@given(arrays.arrays(float, (2, 3, 7, 7), elements=st.floats(-1, 1)))
def test_curves_are_linear_and_do_not_see_how_a_map_is_turned(maps):
    curves = radial_mean(maps)
    assert curves.shape == (2, 3, 5)
    assert np.allclose(radial_mean(maps.mean((0, 1))), curves.mean((0, 1)))
    assert np.allclose(radial_mean(np.rot90(maps, axes=(2, 3))), curves)
    assert np.allclose(radial_mean(maps[..., ::-1]), curves)
    assert np.allclose(area(maps), curves[..., 1:4].mean(-1))
    flat = curves.reshape(-1, curves.shape[-1])
    assert np.allclose([curve_area(each) for each in flat], area(maps).ravel())
    assert np.allclose(curves[..., 0], maps[..., 3, 3])


def test_correlations_by_hand():
    one = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    assert pearson(one, 2 * one - 3) == pytest.approx(1)
    assert pearson(one, -one) == pytest.approx(-1)
    other = np.array([[1.0, 0, 0], [0, 0, 0], [0, 0, 1.0]])
    both = pearson(np.stack([one, one]), np.stack([one, other]))
    assert both == pytest.approx([1, 0], abs=1e-12)
    # A class that is always right goes together with nothing.
    assert np.isnan(pearson(one, np.ones((3, 3)))) and np.isnan(pearson(np.full((3, 3), 0.1), one))


def test_maps_are_taken_as_they_are():
    one = SensitivityMap(np.eye(3), 1, None, "cosine")
    assert radial_mean(one).tolist() == [1, 0.25] and radial_mean([one, one]).shape == (2, 2)
    assert pearson(one, one) == pytest.approx(1)


@pytest.mark.parametrize("shape", [(3, 5), (4, 4), (2, 3, 4), (5,), ()])
def test_what_is_not_square_or_of_even_size_has_no_rings(shape):
    for of in (radial_mean, area, lambda given: pearson(given, given)):
        with pytest.raises(ValueError, match=r"square and of odd size .* found \("):
            of(np.zeros(shape))


def test_maps_of_different_shifts_do_not_correlate():
    with pytest.raises(ValueError, match=r"maps of one shape, found \(3, 3\) and \(5, 5\)"):
        pearson(np.zeros((3, 3)), np.zeros((5, 5)))
