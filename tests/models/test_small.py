"""The small network: what each padding does to the size and to the numbers of its maps."""

import pytest
import torch
from torch.nn import functional as F

from invlib.models import PADDINGS, small


@pytest.mark.parametrize(
    ("padding", "sides"),
    [
        ("valid", (30, 14, 6, 2)),
        ("same", (32, 16, 8, 4)),
        ("full", (34, 18, 10, 6)),
        ("circular", (32, 16, 8, 4)),
        ("reflect", (32, 16, 8, 4)),
    ],
)
def test_the_sizes_of_the_maps_of_red_green(padding, sides):
    network, maps = small(padding=padding, classes=2), torch.zeros(1, 3, 32, 32)
    found = []
    for layer in network.features:
        maps = layer(maps)
        found += [maps.shape[2]] if isinstance(layer, torch.nn.Conv2d) else []
    assert tuple(found) == sides
    assert network(torch.zeros(5, 3, 32, 32)).shape == (5, 2)
    assert all(layer.bias is None for layer in network.features[::2])


@pytest.mark.parametrize("padding", PADDINGS)
def test_padding_is_what_its_name_says(padding):
    network = small((1, 3), 2, padding, (1,), kernel=5, seed=3)
    x = torch.randn(2, 1, 12, 12)
    by = {"valid": 0, "full": 4}.get(padding, 2)
    mode = padding if padding in ("circular", "reflect") else "constant"
    around = F.pad(x, (by,) * 4, mode=mode)
    with torch.no_grad():
        expected = F.conv2d(around, network.features[0].weight).relu()
        assert torch.allclose(network.features(x), expected, atol=1e-6)
        pooled = expected.amax((2, 3)) @ network.classifier[2].weight.T
        assert torch.allclose(network(x), pooled + network.classifier[2].bias, atol=1e-6)


def test_the_seed_decides_the_weights_and_leaves_torchs_own_alone():
    state = torch.get_rng_state()
    one, other, third = small(seed=1), small(seed=1), small(seed=2)
    assert torch.equal(state, torch.get_rng_state())
    assert torch.equal(one.features[0].weight, other.features[0].weight)
    assert not torch.equal(one.features[0].weight, third.features[0].weight)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"padding": "zeros"}, "unknown padding 'zeros'; expected one of valid, same, full"),
        ({"kernel": 4}, "odd kernel, which has a middle, found 4"),
        ({"strides": (1, 2)}, "expected 4 strides, found 2"),
    ],
)
def test_what_cannot_be_built_says_why(given, words):
    with pytest.raises(ValueError, match=words):
        small(**given)
