"""Equivariance and invariance errors: exact where theory says so, above zero where it must be."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

from invlib import equivariance_error, invariance_error, load
from invlib.data.canvas import Canvas
from invlib.models import PADDINGS, small

IMAGES = torch.randn(3, 2, 24, 24, generator=torch.Generator().manual_seed(0))


def convolution(seed=0, **given):
    torch.manual_seed(seed)
    return nn.Conv2d(2, 3, 3, bias=False, **given)


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 5), st.integers(-23, 23), st.integers(-23, 23))
def test_circular_convolution_is_equivariant_to_every_shift(seed, down, right):
    layer = convolution(seed, padding=1, padding_mode="circular")
    error = equivariance_error(layer, IMAGES, (down, right))
    assert max(np.nan_to_num([error.inside, error.border])) <= 1e-6


def test_zeros_are_seen_at_the_border_and_nowhere_else():
    error = equivariance_error(convolution(padding=1), IMAGES, (2, 1))
    assert error.inside <= 1e-6 and error.border > 0.1


def test_the_errors_are_those_of_a_plain_comparison():
    layer = convolution(padding=1)
    with torch.no_grad():
        apart = (layer(IMAGES.roll((2, 0), (2, 3))) - layer(IMAGES).roll((2, 0), (2, 3))).abs()
    error = equivariance_error(layer, IMAGES, (2, 0))
    assert max(error.inside, error.border) == float(apart.max())
    # Cells that see rows 2 to 23 of the shifted image, so none that came in above.
    strip = torch.ones(24, 24, dtype=torch.bool)
    strip[3:23, 1:23] = False
    assert error.border == float(apart[:, :, strip].max())


@pytest.mark.parametrize(
    "layer",
    [
        convolution(stride=2, padding=1, padding_mode="circular"),
        nn.MaxPool2d(2),
        nn.AvgPool2d(2),
    ],
)
def test_stride_2_is_equivariant_to_even_shifts_alone(layer):
    for by in range(-4, 5):
        error = equivariance_error(layer, IMAGES, by)
        assert (error.inside <= 1e-6) == (by % 2 == 0)
        assert by % 2 or np.nan_to_num(error.border) <= 1e-6
    assert equivariance_error(layer, IMAGES, (2, 0)).inside <= 1e-6
    assert equivariance_error(layer, IMAGES, (2, 1)).inside > 0.1


def test_a_cell_that_came_in_on_the_other_side_is_not_inside():
    error = equivariance_error(nn.ZeroPad2d(-3), IMAGES, 1)  # it cuts three pixels off
    assert error.inside == 0 and error.border > 0.1


def test_between_two_cells_the_nearer_counts():
    # One bright pixel per window: a shift by 2 of 3 is nearer to one cell than to none.
    images = torch.zeros(1, 1, 24, 24)
    images[..., 13, 13] = 1.0
    layer = nn.AvgPool2d(3)
    assert equivariance_error(layer, images, (2, 0)).inside == 0  # rows 13 and 15: cells 4 and 5
    assert equivariance_error(layer, images, (1, 0)).inside == 0  # rows 13 and 14: cell 4


@pytest.mark.parametrize("padding", PADDINGS)
def test_what_is_dropped_after_equivariance_is_invariant(padding):
    items = load("glyphs", "test").images[::40, :, 4:24, 4:24]
    canvas = Canvas(40, item=20)
    network = small((1, 4), 2, padding, (1,))
    with torch.inference_mode():
        corner, middle = (network(canvas.render(items, place)) for place in ((0, 0), (9, 11)))
    same = bool(torch.allclose(corner, middle, atol=1e-6))
    assert same == (padding in ("full", "circular"))


@pytest.mark.parametrize(("poolings", "unchanged"), [(1, 32), (2, 48), (3, 56), (4, 60)])
def test_shifts_of_a_spike_that_poolings_do_not_see(poolings, unchanged):
    pools = nn.Sequential(*[nn.MaxPool2d((1, 2))] * poolings)
    found = 0
    for place in range(63):
        spike = F.one_hot(torch.tensor(place), 64).float().view(1, 1, 1, 64)
        found += invariance_error(pools, spike, (0, 1)) == 0
    assert found == unchanged


def test_invariance_error_takes_any_output():
    flat = nn.Sequential(nn.Flatten(), nn.Linear(2 * 24 * 24, 3))
    with torch.no_grad():
        expected = (flat(IMAGES.roll((0, 5), (2, 3))) - flat(IMAGES)).abs().max()
    assert invariance_error(flat, IMAGES, (0, 5)) == float(expected) > 0
    assert invariance_error(nn.AdaptiveMaxPool2d(1), IMAGES, (np.int64(3), -5)) == 0


def test_networks_are_measured_in_evaluation_mode_and_left_as_they_are():
    model = nn.Sequential(convolution(padding=1, padding_mode="circular"), nn.Dropout2d(0.9))
    error = equivariance_error(model, IMAGES, 3)
    assert max(np.nan_to_num([error.inside, error.border])) <= 1e-6
    assert invariance_error(model, IMAGES, 0) == 0
    assert model.training


@pytest.mark.parametrize("measure", [equivariance_error, invariance_error])
@pytest.mark.parametrize(
    ("shift", "words"),
    [
        (24, r"less than the image of \(24, 24\) px, found \(24, 24\)"),
        ((0, -24), r"found \(0, -24\)"),
        (1.5, "whole pixels .* found 1.5"),
        ((1, 2, 3), "whole pixels"),
        ("1", "whole pixels"),
        (True, "whole pixels"),
    ],
)
def test_shifts_are_whole_and_less_than_the_image(measure, shift, words):
    with pytest.raises(ValueError, match=words):
        measure(nn.Identity(), IMAGES, shift)


def test_what_has_no_shift_says_so():
    with pytest.raises(ValueError, match="cannot be shifted; see invariance_error"):
        equivariance_error(nn.Flatten(), IMAGES, 1)
    with pytest.raises(ValueError, match="whole number of pixels apart"):
        equivariance_error(nn.Upsample(scale_factor=1.5), IMAGES, 1)
    with pytest.raises(ValueError, match="one tensor as output, found list"):
        invariance_error(_Lists(), IMAGES, 1)
    with pytest.raises(TypeError, match="images"):
        invariance_error(nn.Identity(), [1.0], 1)


class _Lists(nn.Module):
    def forward(self, x):
        return [x]
