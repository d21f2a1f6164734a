"""Which operations of a network have a rule, and what its graph tells."""

import re
from copy import deepcopy
from functools import partial

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

import invlib
from invlib.data.canvas import Canvas
from invlib.exact.layers import Join, Local, NotTraced, Pointwise, Walk, spans
from invlib.exact.propagation import Propagator
from invlib.exact.trial import trains_batch_norm
from invlib.models import VGG, VGGTable


class Calls(nn.Module):
    """Applies a function to its input, or to it and twice it."""

    def __init__(self, function, inputs=1):
        super().__init__()
        self.function, self.inputs = function, inputs
        self.own = nn.Conv2d(2, 2, 1)

    def forward(self, x):
        return self.function(x) if self.inputs == 1 else self.function(self.own(x), x)


def rule(operation, inputs=1):
    """The rule of a module (in evaluation mode), or of a function."""
    if isinstance(operation, nn.Module):
        walk = Walk(nn.Sequential(operation))
    else:
        walk = Walk(Calls(operation, inputs))
    *_, last, _ = walk.graph.nodes
    return walk.layers.get(last)


def evaluated(module):
    return module.eval()


class OwnConv(nn.Conv2d):
    """A convolution that may do anything."""


# What has a rule

LOCAL = {
    nn.Conv2d(2, 2, 3): ((3, 3), (1, 1), (0, 0), (0, 0), 0.0),
    nn.Conv2d(2, 2, (3, 5), (1, 2), (1, 2)): ((3, 5), (1, 2), (1, 2), (1, 2), 0.0),
    nn.Conv2d(2, 2, 3, padding=2, dilation=2): ((5, 5), (1, 1), (2, 2), (2, 2), 0.0),
    nn.Conv2d(2, 2, (5, 3), padding="same"): ((5, 3), (1, 1), (2, 1), (2, 1), 0.0),
    nn.Conv2d(2, 2, (4, 1), padding="same"): ((4, 1), (1, 1), (1, 0), (2, 0), 0.0),
    nn.Conv2d(2, 2, 4, padding="valid", groups=2): ((4, 4), (1, 1), (0, 0), (0, 0), 0.0),
    nn.MaxPool2d(2): ((2, 2), (2, 2), (0, 0), (0, 0), -torch.inf),
    nn.MaxPool2d(3, (2, 1), 1): ((3, 3), (2, 1), (1, 1), (1, 1), -torch.inf),
    nn.MaxPool2d((1, 2), 1, dilation=(1, 3)): ((1, 4), (1, 1), (0, 0), (0, 0), -torch.inf),
    nn.MaxPool2d(3, 2, ceil_mode=True): ((3, 3), (2, 2), (0, 0), (0, 0), -torch.inf),
    nn.AvgPool2d(3, 2, 1): ((3, 3), (2, 2), (1, 1), (1, 1), 0.0),
    nn.AvgPool2d((2, 3)): ((2, 3), (2, 3), (0, 0), (0, 0), 0.0),
    nn.ZeroPad2d((1, 2, 3, 4)): ((1, 1), (1, 1), (3, 1), (4, 2), 0.0),
    nn.ConstantPad2d((1, 0, 0, 2), -0.5): ((1, 1), (1, 1), (0, 1), (2, 0), -0.5),
}


def without_address(function):
    """Its name, the same in every process."""
    return re.sub(r" at 0x\w+", "", str(function))


@pytest.mark.parametrize("module", LOCAL, ids=str)
def test_neighbourhood_layers_and_their_geometry(module):
    found = rule(module)
    assert isinstance(found, Local)
    kernel, stride, before, after, value = LOCAL[module]
    assert (found.kernel, found.stride, found.before, found.after) == (
        kernel,
        stride,
        before,
        after,
    )
    assert found.value == value
    assert found.maximum == isinstance(module, nn.MaxPool2d)
    assert found.ceil == getattr(module, "ceil_mode", False)
    assert found.padded == any((*before, *after, found.ceil))
    assert found.axis(1) == (kernel[1], stride[1], before[1], after[1], found.ceil)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("module", LOCAL, ids=str)
def test_a_layer_without_its_padding_on_a_padded_map_is_the_layer(module):
    layer, x = rule(module), torch.randn(2, 2, 11, 11)
    (top, left), (bottom, right) = layer.before, layer.after
    if layer.ceil:
        bottom, right = bottom + 1, right + 1
    padded = F.pad(x, (left, right, top, bottom), value=layer.value)
    expected = module(x)
    assert torch.equal(layer.plain(x), expected)
    height, width = expected.shape[2:]
    assert (layer.valid(padded)[:, :, :height, :width] - expected).abs().max() < 1e-6


@pytest.mark.parametrize(
    "operation",
    [
        nn.Identity(),
        nn.LeakyReLU(0.2),
        nn.LeakyReLU(0.2, inplace=True),
        nn.ReLU6(),
        nn.Hardtanh(-0.3, 0.4),
        nn.Mish(),
        nn.ELU(),
        nn.GELU(),
        nn.SiLU(),
        nn.Hardswish(),
        nn.Sigmoid(),
        nn.Tanh(),
        evaluated(nn.BatchNorm2d(2)),
        evaluated(nn.Dropout()),
        evaluated(nn.Dropout2d()),
        F.gelu,
        F.silu,
        torch.sigmoid,
        torch.tanh,
        partial(F.leaky_relu, negative_slope=0.3),
        partial(F.leaky_relu, inplace=True),
        partial(F.elu, alpha=0.5),
        lambda x: F.silu(x, True),
    ],
    ids=without_address,
)
def test_functions_of_each_value(operation):
    found, x = rule(operation), torch.randn(2, 2, 5, 5)
    assert isinstance(found, Pointwise) and not found.relu
    before = x.clone()
    assert torch.equal(found.function(x), operation(x.clone())) and torch.equal(x, before)


@pytest.mark.parametrize(
    "operation",
    [
        nn.ReLU(),
        nn.ReLU(inplace=True),
        F.relu,
        torch.relu,
        torch.relu_,
        lambda x: F.relu(x, inplace=True),
        lambda x: F.relu(x, True),
        lambda x: x.relu(),
        lambda x: x.relu_(),
    ],
)
def test_every_way_to_write_relu(operation):
    found = rule(operation)
    assert isinstance(found, Pointwise) and found.relu
    assert found.function(torch.tensor([-1.0, 2.0])).tolist() == [0, 2]


@pytest.mark.parametrize(
    ("operation", "stacks"),
    [
        (lambda x, y: x + y, False),
        (lambda x, y: torch.add(x, y), False),
        (lambda x, y: x.__iadd__(y), None),
        (lambda x, y: torch.cat([x, y], 1), True),
        (lambda x, y: torch.cat((x, y), dim=1), True),
        (lambda x, y: torch.concat([x, y], 1), True),
        (lambda x, y: torch.cat([x, y]), None),
        (lambda x, y: torch.cat([x, y], 2), None),
        (lambda x, y: torch.add(x, y, alpha=2), None),
        (lambda x, y: x * y, None),
        (lambda x, y: x - y, None),
        (lambda x, y: x + 1, None),
        (lambda x, y: x + x, None),
    ],
)
def test_joins(operation, stacks):
    found, (x, y) = rule(operation, inputs=2), torch.randn(2, 3, 2, 5, 5)
    if stacks is None:
        assert found is None
    else:
        assert isinstance(found, Join) and found.stacks == stacks
        assert torch.equal(found.function([x, y]), operation(x, y))


def test_a_sum_in_place_is_a_join():
    def add(x, y):
        x += y
        return x

    assert isinstance(rule(add, inputs=2), Join)


@pytest.mark.parametrize(
    "operation",
    [
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="circular"),
        nn.Conv2d(2, 2, 3, padding=1, padding_mode="reflect"),
        OwnConv(2, 2, 3),
        nn.ConvTranspose2d(2, 2, 3),
        nn.AvgPool2d(3, 2, ceil_mode=True),
        nn.AvgPool2d(3, 2, 1, count_include_pad=False),
        nn.AdaptiveAvgPool2d(2),
        nn.LPPool2d(2, 2),
        nn.ReflectionPad2d(1),
        nn.ZeroPad2d((-1, 0, 0, 0)),
        nn.LocalResponseNorm(2),
        nn.GroupNorm(1, 2),
        nn.Softmax(1),
        nn.BatchNorm2d(2),
        evaluated(nn.BatchNorm2d(2, track_running_stats=False)),
        nn.Dropout(),
        nn.Dropout2d(),
        nn.Flatten(),
        partial(F.avg_pool2d, kernel_size=3, ceil_mode=True),
        partial(F.interpolate, scale_factor=2),
        torch.abs,
        lambda x: x.mean((2, 3)),
        lambda x: x[:, :1],
    ],
    ids=without_address,
)
def test_anything_else_has_no_rule(operation):
    assert rule(operation) is None


def test_an_indexed_maximum_has_no_rule():
    assert rule(nn.MaxPool2d(2, return_indices=True)) is None


@pytest.mark.parametrize(
    ("function", "module"),
    [
        (lambda x: F.max_pool2d(x, 2), nn.MaxPool2d(2)),
        (lambda x: F.max_pool2d(x, 3, 2, 1), nn.MaxPool2d(3, 2, 1)),
        (
            lambda x: F.max_pool2d(x, kernel_size=(3, 2), stride=1, ceil_mode=True),
            nn.MaxPool2d((3, 2), 1, ceil_mode=True),
        ),
        (lambda x: torch.max_pool2d(x, 2), None),
        (lambda x: F.avg_pool2d(x, 2), nn.AvgPool2d(2)),
        (lambda x: F.avg_pool2d(x, 3, stride=2, padding=1), nn.AvgPool2d(3, 2, 1)),
        (
            lambda x: F.avg_pool2d(x, 3, divisor_override=2),
            nn.AvgPool2d(3, divisor_override=2),
        ),
    ],
)
def test_poolings_as_functions(function, module):
    found, x = rule(function), torch.randn(2, 2, 9, 8)
    if module is None:
        assert found is None
        return
    expected = rule(module)
    for i in (0, 1):
        assert found.axis(i) == expected.axis(i)
    assert (found.value, found.maximum) == (expected.value, expected.maximum)
    assert torch.equal(found.plain(x), function(x))
    assert torch.equal(found.valid(x), expected.valid(x))


def test_what_spans_more_than_a_cell():
    assert all(map(spans, (nn.Conv2d(1, 1, 3), nn.Conv2d(1, 1, (1, 2)), nn.AvgPool2d(2))))
    assert spans(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"))
    assert not any(map(spans, (nn.Conv2d(1, 1, 1), nn.ReLU(), nn.Linear(2, 2), None)))


def test_whether_a_batch_norm_trains():
    model = nn.Sequential(nn.Conv2d(1, 1, 1), nn.Sequential(nn.BatchNorm2d(1)))
    assert trains_batch_norm(model) and not trains_batch_norm(model.eval())
    assert trains_batch_norm(nn.BatchNorm2d(1, track_running_stats=False).eval())
    assert not trains_batch_norm(nn.ReLU())


# The graph


def aligned(*layers):
    walk = Walk(nn.Sequential(*layers))
    return {str(node.target): align for node, align in walk.align.items()}


def test_what_lies_in_front_of_a_pooling_is_aligned_to_it():
    conv, relu = nn.Conv2d(2, 2, 3), nn.ReLU()
    assert aligned(conv, relu, nn.MaxPool2d(2)) == {"0": (2, 2), "1": (2, 2), "2": (1, 1)}
    assert aligned(conv, nn.MaxPool2d((2, 3)), relu)["0"] == (2, 3)
    assert aligned(conv, nn.AvgPool2d(3))["0"] == (3, 3)
    assert aligned(conv, nn.Conv2d(2, 2, 4, stride=4))["0"] == (4, 4)
    for behind in (nn.MaxPool2d(3, 2), nn.MaxPool2d(2, ceil_mode=True), nn.MaxPool2d(2, padding=1)):
        assert aligned(conv, relu, behind)["0"] == (1, 1)
    assert aligned(conv, nn.LocalResponseNorm(2), nn.MaxPool2d(2))["0"] == (1, 1)
    assert aligned(conv, nn.Conv2d(2, 2, 1), nn.MaxPool2d(2))["0"] == (1, 1)


def test_what_two_read_is_not_aligned():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.pool = nn.Conv2d(2, 2, 3), nn.MaxPool2d(2)

        def forward(self, x):
            x = self.conv(x)
            return self.pool(x).mean() + x.mean()

    assert set(Walk(Two()).align.values()) == {(1, 1)}


def vgg():
    return VGG(VGGTable((4, "M", 8, "M"), map=4, hidden=8, channels=3), 3).eval()


def test_outputs_have_the_names_of_layers_and_of_containers():
    model = vgg()
    walk = Walk(model)
    names = {name for name, _ in model.named_modules() if name}
    assert names <= set(walk.outputs)
    assert walk.outputs["features.3"].target == "features.3"
    assert walk.outputs["features"] is walk.outputs["features.5"]
    resnet = Walk(torchvision.models.resnet18(num_classes=2).eval()).outputs
    assert resnet["layer1"] is resnet["layer1.1"] and resnet["layer1.0"] is not resnet["layer1"]
    assert resnet["layer1.0"].target == "layer1.0.relu"
    assert resnet["layer2.0.downsample"].target == "layer2.0.downsample.1"


def test_whether_something_looks_further_behind_a_node():
    walk = Walk(nn.Sequential(nn.Conv2d(2, 2, 3), nn.ReLU(), nn.LPPool2d(2, 2), nn.Conv2d(2, 2, 1)))
    looks = {
        str(n.target): walk.looks_further(n) for n in walk.graph.nodes if n.op == "call_module"
    }
    assert looks == {"0": True, "1": False, "2": False, "3": False}
    circular = nn.Conv2d(2, 2, 3, padding_mode="circular", padding=1)
    walk = Walk(nn.Sequential(nn.ReLU(), circular, nn.Flatten()))
    assert [walk.looks_further(n) for n in walk.graph.nodes] == [True, True, True, False, False]


class Constant(nn.Module):
    """Makes a tensor in its forward."""

    def forward(self, x):
        return x + torch.ones(3)


class Judges(nn.Module):
    """Looks at its input's values."""

    def forward(self, x):
        return x if x.sum() > 0 else -x


class Two(nn.Module):
    """Takes two inputs."""

    def forward(self, x, y):
        return x + y


class Raises(nn.Module):
    """Cannot be run."""

    def forward(self, x):
        raise KeyError("nothing")


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (Constant(), "Constant makes tensors of its own"),
        (Two(), "Two has not just one input"),
        (Judges(), "torch.fx cannot trace Judges: .*control flow"),
        (Raises(), "torch.fx cannot trace Raises"),
    ],
)
def test_what_cannot_be_traced_is_refused_and_nothing_left_behind(model, message):
    before = dict(vars(model))
    for _ in range(2):
        with pytest.raises(NotTraced, match=message):
            Walk(model)
    assert vars(model) == before


def test_tracing_leaves_nothing_behind():
    model = vgg().train()
    before = [dict(vars(m)) for m in model.modules()]
    copy = deepcopy(model.state_dict())
    Walk(model)
    assert [dict(vars(m)) for m in model.modules()] == before
    assert all(torch.equal(value, copy[name]) for name, value in model.state_dict().items())


def test_an_input_with_a_default_beside_the_maps_is_no_obstacle():
    class Optional(nn.Module):
        def forward(self, x, scale=2.0):
            return x.relu() * scale

    model, x = Optional(), torch.randn(1, 1, 3, 3)
    assert torch.equal(Walk(model).run(x), model(x))


def test_a_walk_on_whole_maps_is_the_network():
    model, x = vgg(), torch.randn(2, 3, 16, 16)
    walk = Walk(model)
    assert torch.equal(walk.run(x), model(x))
    assert torch.equal(walk.run(x, walk.outputs["features"]), model.features(x))
    assert walk.stopped is None


def test_an_error_of_the_network_is_its_own():
    canvas = Canvas(16, 6)
    wrong = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(784, 2))
    for path in ("auto", "plain", "propagate"):
        with pytest.raises(RuntimeError, match="to have 3 channels, but got 1 channels"):
            Propagator(wrong, canvas, path)(torch.zeros(1, 1, 6, 6, dtype=torch.uint8), (0, 0))
        with pytest.raises(RuntimeError, match="to have 3 channels, but got 1 channels"):
            invlib.sensitivity_map(wrong, torch.zeros(1, 1, 16, 16), shifts=2, exact_path=path)
