"""The shift of feature maps that comes nearest to a shift of the image."""

import numpy as np
import pytest
import torch
from torch import nn

from invlib.measure.alignment import alignment

DOT = torch.zeros(1, 1, 9, 9)
DOT[0, 0, 4, 4] = 1.0
SHIFTS = np.arange(-2, 3)


def test_maps_that_only_move_align_by_as_many_cells():
    convolution = nn.Conv2d(1, 3, 3, padding=1, bias=False)
    torch.manual_seed(0)
    nn.init.normal_(convolution.weight)
    found = alignment(nn.Sequential(convolution), DOT, "0", 2)
    assert np.allclose(found.cosine, 1)
    assert np.array_equal(found.down, np.repeat(SHIFTS[:, None], 5, axis=1))
    assert np.array_equal(found.right, found.down.T)


def test_pixels_that_a_stride_passes_over_align_with_nothing():
    layer = nn.Conv2d(1, 1, 1, stride=2, bias=False)
    nn.init.ones_(layer.weight)
    found = alignment(nn.Sequential(layer), DOT, "0", 2)
    even = np.abs(SHIFTS) % 2 == 0
    assert np.array_equal(found.cosine.values, (even[:, None] & even).astype(float))
    assert found.right[2].tolist() == [-1, 0, 0, 0, 1]  # of equal ones the nearest


def test_maps_of_one_cell_do_not_move():
    model = nn.Sequential(nn.Conv2d(1, 2, 1), nn.ReLU(), nn.AdaptiveMaxPool2d(1))
    nn.init.ones_(model[0].weight)
    found = alignment(model, torch.cat([DOT, 2 * DOT]), "2", 3)
    assert not found.down.any() and not found.right.any() and np.allclose(found.cosine, 1)


def test_the_mean_is_over_images():
    layer = nn.Conv2d(1, 1, 1, bias=False)
    nn.init.ones_(layer.weight)
    blank = torch.zeros_like(DOT)  # is like nothing, and stays
    found = alignment(nn.Sequential(layer), torch.cat([DOT, blank]), "0", 1)
    assert np.allclose(found.cosine, 0.5)
    assert np.allclose(found.right[1], [-0.5, 0, 0.5])


def test_what_are_no_maps_do_not_move():
    model = nn.Sequential(nn.Flatten(), nn.Linear(81, 4))
    with pytest.raises(
        ValueError, match=r"maps \(n, channels, rows, columns\) from 1, found \(n, 4"
    ):
        alignment(model, DOT, "1", 1)
    with pytest.raises(ValueError, match="no layer 'maps'; the nearest names are"):
        alignment(model, DOT, "maps", 1)
