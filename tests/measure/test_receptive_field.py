"""Receptive fields by the change of pixels against the formula, and what has none."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torchvision.models import resnet18

from invlib import receptive_field
from invlib.measure.receptive_field import ReceptiveField
from invlib.models import TRACKING, small, squeezenet, tracking


def by_formula(layers):
    """Size, stride and start on one axis: r += (k - 1) j, s -= p j, j *= s, layer by layer."""
    size, step, start = 1, 1, 0
    for kernel, stride, padding in layers:
        size += (kernel - 1) * step
        start -= padding * step
        step *= stride
    return size, step, start


@settings(max_examples=25, deadline=None)
@given(
    st.lists(
        st.tuples(st.integers(1, 5), st.integers(1, 3), st.integers(0, 2), st.booleans()),
        min_size=1,
        max_size=3,
    )
)
def test_by_pixels_as_by_the_formula(layers):
    # A window cannot begin in padding alone: pooling has half its kernel at most.
    layers = [(k, s, min(p, k // 2), pools) for k, s, p, pools in layers]
    parts = [
        nn.MaxPool2d(k, s, p) if pools else nn.Conv2d(2, 2, k, s, p) for k, s, p, pools in layers
    ]
    size, stride, start = by_formula([(k, s, p) for k, s, p, _ in layers])
    side = 4 * max(size, stride) + 2 * stride
    found = receptive_field(nn.Sequential(*parts), torch.zeros(1, 2, side, side + 3))
    assert found == ReceptiveField((size,) * 2, (stride,) * 2, (start,) * 2)


@pytest.mark.parametrize("name", ["mnist_k5", "mnist_k4", "mnist_k3", "cifar10_k3_unpadded"])
def test_the_tracking_networks_see_what_their_table_says(name):
    table = TRACKING[name]
    images = torch.zeros(1, table.channels[0], 120, 120)
    found = receptive_field(tracking(name).features, images)
    assert found.size == (table.receptive_field,) * 2 and found.stride == (8, 8)
    assert table.receptive_field == {5: 36, 4: 29, 3: 22}[table.kernel]


def test_networks_of_the_chapter_on_borders():
    bag = small((3, 4, 4, 4, 4, 4), strides=(1, 2, 2, 2, 1))
    assert receptive_field(bag.features, torch.zeros(1, 3, 96, 96)).size == (33, 33)
    squeeze = squeezenet(2).features[:6]  # two poolings in
    kernels = [(3, 2, 0), (3, 2, 0), (3, 1, 1), (3, 1, 1), (3, 2, 0)]
    found = receptive_field(squeeze, torch.zeros(1, 3, 128, 128))
    assert (found.size[0], found.stride[0], found.start[0]) == by_formula(kernels)
    stem = nn.Sequential(*list(resnet18().children())[:5])
    kernels = [(7, 2, 3), (3, 2, 1), *[(3, 1, 1)] * 4]
    found = receptive_field(stem, torch.zeros(1, 3, 160, 160))
    assert (found.size[0], found.stride[0], found.start[0]) == by_formula(kernels)


def test_weights_of_zero_and_dead_units_do_not_hide_pixels():
    layer = nn.Conv2d(1, 1, 5, padding=2)
    nn.init.zeros_(layer.weight)
    nn.init.constant_(layer.bias, -1)
    found = receptive_field(nn.Sequential(layer, nn.ReLU()), torch.zeros(1, 1, 24, 24))
    assert found.size == (5, 5)
    assert not layer.weight.any()


def test_rows_and_columns_are_measured_apart():
    layer = nn.Conv2d(1, 1, (3, 7), stride=(2, 1), padding=(1, 0))
    found = receptive_field(layer, torch.zeros(1, 1, 24, 40))
    assert found == ReceptiveField((3, 7), (2, 1), (-1, 0))


def test_circular_padding_sees_as_much():
    layer = nn.Conv2d(1, 1, 5, padding=2, padding_mode="circular")
    assert receptive_field(layer, torch.zeros(1, 1, 24, 24)).size == (5, 5)


def test_the_network_is_left_as_it_is():
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    receptive_field(model, torch.zeros(1, 1, 24, 24))
    assert model.training and model[0].weight.dtype == torch.float32
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("module", "words"),
    [
        (
            nn.Flatten(),
            r"feature maps \(n, channels, rows, columns\) from Flatten, found \(1, 576\)",
        ),
        (nn.AdaptiveAvgPool2d(1), "at least 3 x 3 cells from AdaptiveAvgPool2d, found 1"),
        (nn.AdaptiveAvgPool2d(7), "whole number of pixels apart, found 24 px to 7 cells"),
        (nn.AdaptiveAvgPool2d(11), "whole number of pixels apart, found 24 px to 11 cells"),
        (nn.Upsample(scale_factor=2), "whole number of pixels apart, found 24 px to 48 cells"),
        (nn.Conv2d(1, 1, 31, padding=15), "sees up to the edge of images of 24 px"),
    ],
)
def test_what_has_no_receptive_field_says_why(module, words):
    with pytest.raises(ValueError, match=words):
        receptive_field(module, torch.zeros(1, 1, 24, 24))


def test_images_are_checked():
    with pytest.raises(ValueError, match="float"):
        receptive_field(nn.Identity(), torch.zeros(24, 24))
    with pytest.raises(TypeError, match="images"):
        receptive_field(nn.Identity(), [0.0])
