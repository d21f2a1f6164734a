"""Scanning gives the plain network's outputs at every shift, also where the frame cuts it off."""

import warnings
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from invlib import models, sensitivity_map
from invlib.devices import seeded
from invlib.exact import dense
from invlib.exact.choice import PathError, PlainPath
from invlib.exact.dense import Axis, Frames, Scanner
from invlib.exact.layers import Walk
from invlib.models import TRACKING

TOLERANCE = 1e-12


def moved(images, down, right, fill=0.0):
    """The images shifted by slices; ``fill`` comes in, what leaves is lost."""
    height, width = images.shape[2:]
    colour = torch.as_tensor(fill, dtype=images.dtype).expand(images.shape[1])
    out = torch.zeros_like(images) + colour[:, None, None]
    if abs(down) < height and abs(right) < width:
        out[:, :, max(down, 0) : height + min(down, 0), max(right, 0) : width + min(right, 0)] = (
            images[:, :, max(-down, 0) : height - max(down, 0), max(-right, 0) :][
                ..., : width - abs(right)
            ]
        )
    return out


def brute(model, images, shifts, layers=(None,), fill=0.0):
    """One network call for each shift: layer -> (n, down, right, features)."""
    seen = {layer: [] for layer in layers}
    hooks = [
        (model.get_submodule(layer) if layer else model).register_forward_hook(
            lambda m, x, y, layer=layer: seen[layer].append(y.clone().flatten(1))
        )
        for layer in layers
    ]
    both = range(-shifts, shifts + 1)
    with torch.no_grad():
        for down in both:
            for right in both:
                model(moved(images, down, right, fill))
    for hook in hooks:
        hook.remove()
    shape = len(images), len(both), len(both), -1
    return {layer: torch.stack(each, 1).view(shape) for layer, each in seen.items()}


def filled(model, seed=0):
    """The network for evaluation in float64, with biases and statistics that are not zero."""
    with seeded(seed), torch.no_grad():
        for m in model.modules():
            if isinstance(m, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(m.weight)
            if isinstance(m, nn.BatchNorm2d):
                m.running_mean.normal_(0, 0.3)
                m.running_var.uniform_(0.5, 1.5)
                m.weight.normal_(1, 0.3)
            if isinstance(getattr(m, "bias", None), Tensor):
                m.bias.normal_(0, 0.3)
    return model.double().eval()


def pictures(n, channels, height, width=None, border=0, seed=0):
    """Random numbers of both signs, with a black border."""
    generator = torch.Generator().manual_seed(seed)
    size = height - 2 * border, (width or height) - 2 * border
    inner = torch.randn(n, channels, *size, dtype=torch.float64, generator=generator)
    return F.pad(inner, [border] * 4)


def error(found, expected):
    """The largest difference, relative to the largest number expected."""
    assert found.shape == expected.shape and found.dtype == expected.dtype
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-30))


def scan(model, images, shifts, layers=None, fill=0.0, path="propagate", shared=dense.SHARED):
    """What the scanner gives, flat, and the scanner; ``propagate`` also where it saves little."""
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        patch.setattr(dense, "SHARED", shared)
        if path == "propagate":
            patch.setattr(Scanner, "saving", 0)
        scanner = Scanner(model, layers, shifts, fill, path)
        found = scanner(images)
        if isinstance(found, list):
            return [each.flatten(3) for each in found], scanner
        return found.flatten(3), scanner


def small(channels=1, size=12, padding=0, front=()):
    """Convolution, pooling, convolution, linear layer, with other layers in front of it."""
    cells = (size - 2 + 2 * padding) // 2 - 2
    return filled(
        nn.Sequential(
            *front, nn.Conv2d(channels, 4, 3, padding=padding), nn.ReLU(), nn.MaxPool2d(2),
            nn.Conv2d(4, 3, 3), nn.Flatten(), nn.Linear(3 * cells**2, 3),
        )
    )  # fmt: skip


# The brute force itself, and the canvas


def test_a_shift_is_down_and_to_the_right():
    image = torch.arange(6.0).view(1, 1, 2, 3)
    assert moved(image, 1, 0, 9).tolist() == [[[[9, 9, 9], [0, 1, 2]]]]
    assert moved(image, 0, -2, 9).tolist() == [[[[2, 9, 9], [5, 9, 9]]]]
    assert moved(image, -1, 1).tolist() == [[[[0, 3, 4], [0, 0, 0]]]]


@pytest.mark.parametrize("fill", [0.0, (0.5, -1.0)])
def test_the_frames_of_a_canvas_are_the_shifted_images(fill):
    images = pictures(2, 2, 5, 7)
    colour = torch.as_tensor(fill, dtype=torch.float64).expand(2)
    frames = Frames.of(images, 3, colour).whole().reshape(2, 7, 7, -1)
    assert torch.equal(frames, brute(nn.Identity(), images, 3, fill=fill)[None])


# The tracking networks


def thin(name, monkeypatch, channels=(3, 4, 5)):
    """A tracking network with few channels."""
    table = TRACKING[name]
    monkeypatch.setitem(TRACKING, name, replace(table, channels=(table.channels[0], *channels)))
    return filled(models.tracking(name))


@pytest.mark.parametrize("border", [10, 6, 0])
@pytest.mark.parametrize("name", TRACKING)
def test_every_layer_of_a_tracking_network_at_all_441_shifts(name, border, monkeypatch):
    model, table = thin(name, monkeypatch), TRACKING[name]
    image = pictures(1, table.channels[0], table.side, border=border, seed=border)
    kinds = nn.Conv2d | nn.MaxPool2d | nn.ReLU
    inner = [f"features.{i}" for i, m in enumerate(model.features) if isinstance(m, kinds)]
    layers = [None, "classifier", *inner, "features"]
    expected = brute(model, image, 10, layers)
    assert len(expected[None].flatten(0, 2).unique(dim=0)) > 400  # the test can fail
    for shared in (dense.SHARED, 1):
        found, scanner = scan(model, image, 10, layers, shared=shared)
        assert scanner.path == "propagate"
        for layer, each in zip(layers, found, strict=True):
            assert error(each, expected[layer]) < TOLERANCE


@pytest.mark.parametrize("name", ["mnist_k5_unpadded", "mnist_k3_unpadded"])
def test_a_tracking_network_of_full_width_in_the_corners_and_the_middle(name):
    model, side = filled(models.tracking(name)), TRACKING[name].side
    images = torch.cat([pictures(1, 1, side, border=b) for b in (6, 0)])
    for layer in (None, "features"):
        found, scanner = scan(model, images, 10, layer)
        assert scanner.path == "propagate" and found.shape[:3] == (2, 21, 21)
        for down in (-10, 0, 10):
            for right in (-10, 0, 10):
                (expected,) = brute(model, moved(images, down, right), 0, (layer,)).values()
                each = found[:, 10 + down, 10 + right]
                assert error(each, expected[:, 0, 0]) < TOLERANCE


def test_an_unpadded_network_is_scanned_by_default_and_a_padded_one_where_it_pays(monkeypatch):
    images = pictures(1, 1, 40, border=10).float()
    unpadded = Scanner(models.tracking("mnist_k5_unpadded").eval(), "features")
    padded = Scanner(models.tracking("mnist_k5").eval(), "features")
    assert unpadded.path is None
    with torch.inference_mode():
        found = [scanner(images) for scanner in (unpadded, padded)]
        assert unpadded.path == padded.path == "propagate" and not unpadded.reason
        monkeypatch.setattr(Scanner, "saving", 3)
        few = Scanner(padded.model, "features")
        assert error(few(images), found[1]) < 1e-5
    assert few.path == "plain" and few.reason.startswith("the shortcut would save 2.")


# Padding


@pytest.mark.parametrize("layer", [nn.Conv2d(2, 3, 3, padding=1), nn.MaxPool2d(3, 1, 1)])
@pytest.mark.parametrize("at", [(4, 4), (4, 7), (3, 4), (4, 8), (0, 11)])
@pytest.mark.parametrize("channel", [0, 1])
def test_a_first_layer_has_no_ring_where_its_padding_goes_on_as_the_sheet(layer, at, channel):
    images = torch.zeros(2, 2, 12, 12, dtype=torch.float64)
    images[1, channel, *at] = -1.0
    start = Frames.of(images, 4, torch.zeros(2, dtype=torch.float64))
    walk = Walk(filled(nn.Sequential(layer)))
    out = walk.run(start, walk.outputs["0"])
    inside = isinstance(layer, nn.Conv2d) and all(4 <= each < 8 for each in at)
    assert [axis.ring for axis in out.axes] == [0 if inside else 1] * 2


def test_rows_and_columns_of_a_ring_are_stored_once():
    first, pool = Axis(21, 40), (2, 2, 0, 0)
    second = first.behind(5, 1, 2, 2)
    assert (second.frame, second.ring, second.sheet, second.size) == (40, 2, 56, 56 + 84)
    third = second.behind(*pool)
    assert (third.frame, third.stride, third.ring) == (20, 2, 1)
    assert third.sheet == 21 + 2 * 17  # a frame has 18 cells inside the ring
    assert Axis(21, 11, 4, 1).behind(*pool) == Axis(21, 5, 8, 1)  # its last cell is not used
    assert Axis(21, 11, 4, 0).behind(4, 1, 1, 2) == Axis(21, 11, 4, 2)
    assert Axis(21, 11, 4, 0).behind(3, 2, 0, 0) == Axis(21, 5, 8, 0)


def test_a_ring_that_leaves_nothing_to_share_is_not_stored():
    model = filled(nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), nn.Conv2d(2, 2, 5, padding=2)))
    start = Frames.of(pictures(1, 1, 12), 1, torch.zeros(1, dtype=torch.float64))
    walk = Walk(model)
    assert isinstance(walk.run(start, walk.outputs["0"]), Frames)
    with torch.no_grad():
        assert isinstance(walk.run(start, walk.outputs["1"]), Tensor)


@pytest.mark.parametrize("values", [(1.0, -1.0), (-1.0, -2.0), (0.0, -0.5)])
def test_a_cut_is_seen_in_any_channel_and_of_any_sign(values):
    images = pictures(2, 2, 12, border=4)
    for channel, value in enumerate(values):
        images[1, channel, 0, 5] = images[1, channel, 6, 11] = value
    model = small(2, padding=1)
    found, scanner = scan(model, images, 4, path="auto")
    assert scanner.path == "propagate"
    assert error(found, brute(model, images, 4)[None]) < TOLERANCE


@pytest.mark.parametrize("shifts", [1, 2, 3, 4])
def test_a_padded_network_is_right_where_every_shift_cuts_the_image(shifts):
    images, model = pictures(2, 1, 12), small(padding=1)
    found, _ = scan(model, images, shifts, path="auto")
    assert error(found, brute(model, images, shifts)[None]) < TOLERANCE


def test_the_first_image_does_not_decide_which_shifts_are_cut():
    images = torch.cat([pictures(1, 1, 12, border=b, seed=b) for b in (4, 0, 1, 2)])
    model = small(padding=1)
    found, scanner = scan(model, images[:1], 3, path="auto")
    assert scanner.path == "propagate"
    with torch.no_grad():
        assert error(scanner(images), brute(model, images, 3)[None]) < TOLERANCE


# What comes in at the border


@pytest.mark.parametrize("fill", [0.7, -2.0, (0.1, -0.2, 0.3)])
def test_another_colour_comes_in(fill):
    images = pictures(2, 3, 12)
    model = small(3)
    found, scanner = scan(model, images, 4, fill=fill, path="auto")
    assert scanner.path == "propagate"
    assert error(found, brute(model, images, 4, fill=fill)[None]) < TOLERANCE
    assert error(found, brute(model, images, 4)[None]) > 1e-3


@pytest.mark.parametrize("fill", [0.7, (0.0, 0.0, 0.3)])
def test_black_padding_around_another_colour_is_scanned(fill):
    colour = torch.as_tensor(fill, dtype=torch.float64).expand(3)
    images = pictures(2, 3, 12, border=4)
    images = torch.where(images == 0, colour.view(3, 1, 1), images)
    model = small(3, padding=1)
    found, scanner = scan(model, images, 3, fill=fill, path="auto")
    assert scanner.path == "propagate"
    assert error(found, brute(model, images, 3, fill=fill)[None]) < TOLERANCE


def test_padding_of_the_colour_that_comes_in_is_scanned():
    images = pictures(2, 1, 12, border=3)
    images = torch.where(images == 0, 0.7, images)
    model = small(size=14, front=[nn.ConstantPad2d(1, 0.7)])
    found, scanner = scan(model, images, 4, fill=0.7, path="auto")
    assert scanner.path == "propagate"
    assert error(found, brute(model, images, 4, fill=0.7)[None]) < TOLERANCE


# Drawn networks


class Drawn(nn.Module):
    """Layers in a row; ReLU as a module, in place or as a function; a linear layer or none."""

    def __init__(self, layers, channels, size):
        super().__init__()
        self.layers, self.functional = nn.ModuleList(), []
        for kind, kernel, stride, dilation, relu in layers:
            extent = tuple(dilation * (k - 1) + 1 for k in kernel)
            after = tuple((n - e) // s + 1 for n, e, s in zip(size, extent, stride, strict=True))
            if min(n - e for n, e in zip(size, extent, strict=True)) < 0:
                continue
            if kind == "conv":
                layer, channels = nn.Conv2d(channels, 3, kernel, stride, dilation=dilation), 3
            elif kind == "max":
                layer = nn.MaxPool2d(kernel, stride, dilation=dilation)
            else:
                layer = nn.AvgPool2d(kernel, stride)
            size = after
            self.layers.append(layer)
            if relu in ("module", "inplace"):
                self.layers.append(nn.ReLU(inplace=relu == "inplace"))
            self.functional.extend([False] * (len(self.layers) - len(self.functional)))
            self.functional[-1] = relu == "function"
        self.head = nn.Linear(channels * size[0] * size[1], 4)

    def forward(self, x):
        for layer, relu in zip(self.layers, self.functional, strict=True):
            x = F.relu(layer(x)) if relu else layer(x)
        return self.head(x.flatten(1))


def axes(low, high):
    return st.tuples(st.integers(low, high), st.integers(low, high)) | st.integers(low, high).map(
        lambda n: (n, n)
    )


relus = st.sampled_from(["none", "module", "inplace", "function"])
convolutions = st.tuples(st.just("conv"), axes(1, 5), axes(1, 3), st.integers(1, 2), relus)
poolings = st.tuples(st.just("max"), axes(2, 3), axes(1, 3), st.integers(1, 2), relus)
averages = st.tuples(st.just("average"), axes(2, 3), axes(1, 3), st.just(1), relus)
stacks = st.lists(convolutions | poolings | averages, min_size=1, max_size=5)
sides = st.integers(12, 24)


@given(stacks, st.integers(1, 2), sides, sides, st.integers(1, 5), st.integers(0, 99))
@settings(max_examples=100, deadline=None, derandomize=True)
def test_drawn_networks_without_padding(layers, channels, height, width, shifts, seed):
    model = filled(Drawn(layers, channels, (height, width)), seed)
    images = pictures(2, channels, height, width, seed=seed)
    last = f"layers.{len(model.layers) - 1}"
    expected = brute(model, images, shifts, (None, last))
    for layer in (None, last):
        found, scanner = scan(model, images, shifts, layer)
        assert scanner.path == "propagate"
        assert error(found, expected[layer]) < TOLERANCE


kernels = st.tuples(axes(1, 4), axes(1, 2))
borders = st.lists(
    st.tuples(
        st.sampled_from(["conv", "max", "average", "zeros", "ones"]),
        kernels,
        st.tuples(*[st.integers(0, 2)] * 4),
        st.integers(1, 2),
        relus,
    ),
    min_size=1,
    max_size=4,
)


def bordered(layers, size):
    """Layers in a row with padding, a ReLU in place behind some, and a linear layer."""
    parts = []
    for kind, (kernel, stride), pads, dilation, relu in layers:
        both = pads[0], pads[2]
        if kind in ("zeros", "ones"):
            parts.append(nn.ConstantPad2d(pads, float(kind == "ones")))
        elif kind == "conv":
            parts.append(nn.LazyConv2d(2, kernel, stride, both, dilation))
        else:
            half = [min(pad, k // 2) for pad, k in zip(both, kernel, strict=True)]
            pool = nn.MaxPool2d if kind == "max" else nn.AvgPool2d
            parts.append(pool(kernel, stride, tuple(half)))
        parts += [nn.ReLU(inplace=True)] * (relu != "none")
    model = nn.Sequential(*parts, nn.Flatten(), nn.LazyLinear(3))
    with torch.no_grad():
        model(torch.zeros(1, 1, *size))
    return model


@given(
    borders,
    sides,
    sides,
    st.integers(1, 4),
    st.integers(0, 5),
    st.sampled_from([0.0, 0.7]),
    st.integers(0, 99),
)
@settings(max_examples=40, deadline=None, derandomize=True)
def test_drawn_networks_with_padding(layers, height, width, shifts, border, fill, seed):
    model = filled(bordered(layers, (height, width)), seed)
    images = pictures(2, 1, height, width, border=border, seed=seed)
    names = [None, *(str(i) for i in range(len(model) - 2))]
    expected = brute(model, images, shifts, names, fill)
    found, scanner = scan(model, images, shifts, names, fill, shared=0)
    assert scanner.path == "propagate"
    for name, each in zip(names, found, strict=True):
        assert error(each, expected[name]) < TOLERANCE


# Several layers


@pytest.mark.parametrize("path", ["propagate", "plain"])
@pytest.mark.parametrize("name", ["mnist_k5", "mnist_k4_unpadded"])
def test_several_layers_at_once_are_each_alone_in_the_order_asked(name, path, monkeypatch):
    model = thin(name, monkeypatch)
    model.softmax = nn.Softmax(1)
    images = torch.cat([pictures(1, 1, 40, border=b, seed=b) for b in (10, 5)])
    layers = ["softmax", "features", None, "features.2", "classifier.1", "classifier", "features.1"]
    found, scanner = scan(model, images, 4, layers, path=path)
    assert scanner.path == path and isinstance(found, list) and len(found) == len(layers)
    for layer, each in zip(layers, found, strict=True):
        assert torch.equal(each, scan(model, images, 4, layer, path=path)[0])
        assert torch.equal(each, scan(model, images, 4, (layer,), path=path)[0][0])


@pytest.mark.parametrize("path", ["propagate", "plain"])
def test_each_layer_is_seen_before_a_later_one_works_on_it_in_place(path):
    relu = nn.ReLU(inplace=True)
    model = filled(
        nn.Sequential(
            nn.Conv2d(1, 3, 3), relu, nn.Conv2d(3, 3, 5, padding=2), nn.ReLU(inplace=True),
            nn.Flatten(), nn.Linear(300, 4), nn.ReLU(inplace=True), nn.Hardtanh(0, 0.1, True),
        )
    )  # fmt: skip
    images, names = pictures(2, 1, 12), [str(i) for i in range(8)]
    found, _ = scan(model, images, 2, names, path=path, shared=10**6)
    for name, each in zip(names, found, strict=True):
        assert error(each, brute(model, images, 2, (name,))[name]) < TOLERANCE
    assert min(float(found[i].min()) for i in (0, 2, 5)) < 0 <= float(found[6].min())


def test_the_trial_sees_every_layer_asked(monkeypatch):
    model, images = small(), pictures(1, 1, 12)
    scanner = Scanner(model, ["0", None], 2)
    found = scanner._scan
    monkeypatch.setattr(scanner, "_scan", lambda start: [found(start)[0] + 1, found(start)[1]])
    with torch.no_grad(), pytest.warns(PlainPath, match="not give the same numbers on both paths"):
        wrong, right = (each.flatten(3) for each in scanner(images))
    expected = brute(model, images, 2, ("0", None))
    assert error(wrong, expected["0"]) < TOLERANCE and error(right, expected[None]) < TOLERANCE


def test_one_bad_layer_among_several_is_named():
    model = small()
    model[0].spare = nn.ReLU()
    with pytest.raises(ValueError, match="no layer 'qqq'; the nearest names are 0, "):
        Scanner(model, ["0", "qqq"], 2)
    with pytest.raises(ValueError, match="expected one layer or several, found an empty list"):
        Scanner(model, [], 2)
    with pytest.raises(ValueError, match=r"the network uses its layer '0\.spare' 0 times"):
        Scanner(model, ["0", "0.spare", None], 2, exact_path="plain")(pictures(1, 1, 12))


# Networks that are not a row of layers without padding


class Residual(nn.Module):
    """A skip connection behind a first convolution, then a pooling and a linear layer."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.pool, self.head = nn.MaxPool2d(2), nn.Linear(144, 3)

    def forward(self, x):
        x = F.relu(self.first(x))
        x = self.pool(x + self.second(x))
        return self.head(x.flatten(1))


class Forked(nn.Module):
    """Two branches from the image: one looks beyond it, the other does not."""

    def __init__(self, padded_first):
        super().__init__()
        self.narrow, self.wide = nn.Conv2d(1, 3, 1), nn.Conv2d(1, 3, 3, padding=1)
        self.head, self.padded_first = nn.Linear(6 * 144, 3), padded_first

    def forward(self, x):
        if self.padded_first:
            parts = self.wide(x), self.narrow(x)
        else:
            parts = self.narrow(x), self.wide(x)
        return self.head(torch.cat(parts, 1).flatten(1))


OTHERS = {
    "residual": lambda: Residual(),
    "ceil": lambda: nn.Sequential(
        nn.Conv2d(1, 3, 2), nn.MaxPool2d(2, ceil_mode=True), nn.Flatten(), nn.Linear(108, 3)
    ),
    "ceil_first": lambda: nn.Sequential(
        nn.MaxPool2d(3, 2, ceil_mode=True), nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(48, 3)
    ),
    "padded_pooling": lambda: nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.MaxPool2d(3, 2, 1), nn.Flatten(), nn.Linear(75, 3)
    ),
    "padded_average": lambda: nn.Sequential(
        nn.AvgPool2d(3, 2, 1), nn.Conv2d(1, 3, 3), nn.Flatten(), nn.Linear(48, 3)
    ),
    "average_of_what_is_there": lambda: nn.Sequential(
        nn.AvgPool2d(3, 2, 1, count_include_pad=False), nn.Conv2d(1, 3, 3), nn.Flatten(),
        nn.Linear(48, 3),
    ),
    "batch_norm": lambda: nn.Sequential(
        nn.Conv2d(1, 3, 3), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
        nn.Linear(75, 3),
    ),
    "norm_first": lambda: nn.Sequential(
        nn.BatchNorm2d(1), nn.Conv2d(1, 3, 3, padding=1), nn.Flatten(), nn.Linear(432, 3)
    ),
    "global_average": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Conv2d(4, 3, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    ),
    "reflected": lambda: nn.Sequential(
        nn.Conv2d(1, 3, 3, padding=1, padding_mode="reflect"), nn.Flatten(), nn.Linear(432, 3)
    ),
    "groups_and_sigmoid": lambda: nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.Sigmoid(), nn.Conv2d(4, 4, 3, groups=2), nn.Tanh(), nn.Dropout(),
        nn.Flatten(), nn.Linear(256, 3),
    ),
    "relu_of_the_image": lambda: nn.Sequential(
        nn.ReLU(inplace=True), nn.Conv2d(1, 3, 3, padding=1), nn.Flatten(), nn.Linear(432, 3)
    ),
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(144, 3)),
}  # fmt: skip
NOTHING_SAVED = {
    "ceil_first", "padded_average", "average_of_what_is_there", "reflected", "linear",
}  # fmt: skip


@pytest.mark.parametrize("name", OTHERS)
def test_other_networks_are_exact_and_scanned_as_far_as_it_goes(name):
    model = filled(OTHERS[name]())
    images = torch.cat([pictures(1, 1, 12, border=b, seed=b) for b in (2, 0)])
    before = images.clone()
    expected = brute(model, images, 3)[None]
    for path in ("auto", "plain"):
        found, scanner = scan(model, images, 3, path=path)
        assert error(found, expected) < TOLERANCE
        plain = path == "plain" or name in NOTHING_SAVED
        assert scanner.path == ("plain" if plain else "propagate")
    assert scanner.reason == "asked for" and torch.equal(images, before)
    if name in NOTHING_SAVED:
        with pytest.raises(
            PathError, match="the shortcut would save 1.00 times the operations only"
        ):
            Scanner(model, None, 3, exact_path="propagate")(images)
    else:
        assert error(scan(model, images, 3)[0], expected) < TOLERANCE


@pytest.mark.parametrize("padded_first", [True, False])
def test_a_cut_is_seen_whichever_branch_looks_beyond_the_frame(padded_first):
    model = filled(Forked(padded_first))
    images = torch.cat([pictures(1, 1, 12, border=b, seed=b) for b in (3, 0)])
    found, _ = scan(model, images, 3, path="auto")
    assert error(found, brute(model, images, 3)[None]) < TOLERANCE


class Twice(nn.Module):
    """One ReLU in two places."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 3, 3, padding=1)
        self.relu, self.head = nn.ReLU(), nn.Linear(300, 3)

    def forward(self, x):
        x = self.relu(self.second(self.relu(self.first(x))))
        return self.head(x.flatten(1))


@pytest.mark.parametrize("path", ["auto", "plain"])
def test_of_a_layer_used_twice_the_paths_give_the_same_output_or_say_no(path):
    model, images = filled(Twice()), pictures(2, 1, 12)
    assert error(scan(model, images, 2, path=path)[0], brute(model, images, 2)[None]) < TOLERANCE
    with torch.no_grad():
        last = model.relu(model.second(model.relu(model.first(images)))).flatten(1)
    try:
        found, _ = scan(model, images, 2, "relu", path=path)
    except ValueError:
        return
    assert found.shape == (2, 5, 5, 300) and error(found[:, 2, 2], last) < TOLERANCE


class Skips(nn.Module):
    """The padded layer is met while the map in front of the pooling is still to be used."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(1, 3, 3), nn.Conv2d(3, 3, 3, padding=1)
        self.head = nn.Linear(3 * 100 + 3 * 25, 3)

    def forward(self, x):
        x = self.first(x)
        y = self.second(F.max_pool2d(x, 2))
        return self.head(torch.cat([x.flatten(1), y.flatten(1)], 1))


@pytest.fixture
def frames_at_once(monkeypatch):
    """How many frames the linear layers were given, call by call."""
    seen, forward = [], nn.Linear.forward
    monkeypatch.setattr(
        nn.Linear, "forward", lambda self, x: seen.append(len(x)) or forward(self, x)
    )
    return seen


@pytest.mark.parametrize(("chunk", "calls"), [(1, 75), (7, 12), (25, 3), (50, 2), (10**6, 1)])
@pytest.mark.parametrize("path", ["propagate", "plain"])
def test_what_frames_do_not_share_is_computed_for_a_few_at_a_time(
    chunk, calls, path, monkeypatch, frames_at_once
):
    monkeypatch.setattr(dense, "chunk_size", lambda size, device: chunk)
    model, images = filled(Skips()), pictures(3, 1, 12)
    found, scanner = scan(model, images, 2, path=path)
    assert error(found, brute(model, images, 2)[None]) < TOLERANCE
    frames_at_once.clear()
    with torch.no_grad():
        assert torch.equal(scanner(images), found)
    assert (len(frames_at_once), sum(frames_at_once)) == (calls, 3 * 25)


def test_deciding_takes_a_few_frames(frames_at_once):
    scanner = Scanner(filled(Skips()), None, 5)
    scanner.choose(pictures(1, 1, 12))
    # Nine on both paths, and nine more for what one more takes.
    assert frames_at_once == [9, 9, 18]


def test_a_short_map_is_not_put_on_trial_and_a_long_one_is(frames_at_once):
    model = filled(Skips())
    for images, trial in ((2, 1), (20_000, 9 + 9 + 18 + 1)):
        frames_at_once.clear()
        Scanner(model, None, 3).choose(pictures(2, 1, 12), images)
        assert sum(frames_at_once) == trial
    frames_at_once.clear()
    sensitivity_map(model, pictures(1, 1, 12), shifts=2)
    assert sum(frames_at_once) == 25


# What cannot be scanned


class Branches(nn.Module):
    """Which line it runs depends on the pixels."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 3)

    def forward(self, x):
        if x.sum() > 0:
            return self.convolution(x).flatten(1)
        return self.convolution(-x).flatten(1)


class Noisy(nn.Module):
    """Adds noise, also in evaluation mode."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 3)

    def forward(self, x):
        x = self.convolution(x)
        return (x + torch.randn_like(x)).flatten(1)


class Counting(nn.Module):
    """Its answer changes from call to call."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 3)
        self.register_buffer("calls", torch.zeros(()))

    def forward(self, x):
        self.calls += 1
        return (self.convolution(x) + self.calls).flatten(1)


class Centred(nn.Module):
    """What it says of an image depends on the others beside it."""

    def __init__(self):
        super().__init__()
        self.convolution = nn.Conv2d(1, 2, 3)

    def forward(self, x):
        x = self.convolution(x)
        return (x - x.mean(0)).flatten(1)


REFUSED = [
    (Centred, "Centred does not give the same numbers on both paths"),
    (Branches, "torch.fx cannot trace Branches: symbolically traced variables"),
    (Noisy, "Noisy draws random numbers"),
    (Counting, "Counting makes tensors of its own"),
]


@pytest.mark.parametrize(("kind", "message"), REFUSED)
def test_a_network_that_cannot_be_scanned_says_why(kind, message):
    images = pictures(2, 1, 12)
    with pytest.warns(PlainPath, match=f"the plain path is taken: {message}") as record:
        found = Scanner(filled(kind()), None, 2)(images)
    assert found.shape[:3] == (2, 5, 5) and record[0].filename == __file__
    with pytest.raises(PathError, match=message):
        sensitivity_map(filled(kind()), images, shifts=2, exact_path="propagate")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scanner = scan(filled(kind()), images, 2, path="plain")[1]
    assert (scanner.path, scanner.reason) == ("plain", "asked for")


class Mine(Exception):
    """What a network raises."""


class Raises(nn.Module):
    def forward(self, x):
        raise Mine("of the network")


@pytest.mark.parametrize("path", ["propagate", "plain"])
def test_a_network_that_raises_gives_its_own_error(path):
    with pytest.raises(Mine, match="of the network"):
        Scanner(Raises(), None, 2, exact_path=path)(pictures(2, 1, 12))


def test_a_network_without_a_graph_is_exact_and_warns_once():
    model, images = filled(Branches()), pictures(4, 1, 12).abs()
    with pytest.warns(PlainPath):
        found, scanner = scan(model, images[:1], 2, path="auto")
    assert scanner.path == "plain" and scanner.reason.startswith("torch.fx cannot trace Branches")
    assert error(found, brute(model, images[:1], 2)[None]) < TOLERANCE
    with torch.no_grad():
        assert error(scanner(images), brute(model, images, 2)[None]) < TOLERANCE


@pytest.mark.parametrize("kind", [Branches, Noisy, lambda: OTHERS["reflected"]()])
def test_a_scanner_that_refused_refuses_again(kind):
    scanner = Scanner(filled(kind()), None, 2, exact_path="propagate")
    for _ in range(2):
        with pytest.raises(PathError, match=r"cannot|makes|numbers|would save"), torch.no_grad():
            scanner(pictures(1, 1, 12, border=2))


def test_choosing_a_path_leaves_the_global_generator_alone():
    model = small()
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    scan(model, pictures(1, 1, 12), 2, path="auto")
    assert torch.equal(torch.rand(2), expected)


def test_hooks_of_the_scanner_are_taken_off():
    model = small(padding=1)
    for path in ("auto", "plain"):
        scan(model, pictures(1, 1, 12, border=2), 3, "0", path=path)
        assert not any(m._forward_hooks for m in model.modules())


# Bad input


def test_a_layer_that_does_not_exist_is_answered_with_the_nearest_names():
    images, model = torch.zeros(1, 1, 40, 40), models.tracking("mnist_k5")
    with pytest.raises(ValueError, match=r"^no layer 'feature'; the nearest names are features, "):
        sensitivity_map(model, images, "feature")
    with pytest.raises(ValueError, match=r"no layer 'clasifier\.1'; .* are classifier\.1, "):
        sensitivity_map(model, images, "clasifier.1")
    with pytest.raises(ValueError, match=r"no layer 'qqq'; the nearest names are features, "):
        sensitivity_map(model, images, "qqq")


@pytest.mark.parametrize("shifts", [0, -1, 12, 13, 100])
def test_shifts_that_leave_nothing_are_refused(shifts):
    message = "shifts must be " + (
        f"a whole number from 1, not {shifts}"
        if shifts < 1
        else f"from 1 to 11 for images of 14 x 12 pixels, not {shifts}"
    )
    with pytest.raises(ValueError, match=message):
        sensitivity_map(nn.Flatten(), torch.rand(1, 1, 14, 12), shifts=shifts)
    assert sensitivity_map(nn.Flatten(), torch.rand(1, 1, 14, 12), shifts=11).shape == (23, 23)


@pytest.mark.parametrize(
    ("images", "found"),
    [
        (torch.zeros(2, 1, 12, 12, dtype=torch.uint8), r"torch.uint8 \(2, 1, 12, 12\)"),
        (torch.zeros(1, 12, 12), r"torch.float32 \(1, 12, 12\)"),
        (torch.zeros(0, 1, 12, 12), r"torch.float32 \(0, 1, 12, 12\)"),
    ],
)
def test_images_of_another_kind_are_refused(images, found):
    with pytest.raises(ValueError, match=rf"images as float \(n, channels, .*, found {found}"):
        sensitivity_map(nn.Flatten(), images, shifts=2)


def test_unknown_metrics_and_paths_are_refused():
    images = torch.rand(1, 1, 6, 6)
    with pytest.raises(ValueError, match="must be cosine, euclidean or accuracy, not 'cosinus'"):
        sensitivity_map(nn.Flatten(), images, shifts=2, metric="cosinus")
    with pytest.raises(PathError, match="one of auto, propagate, plain, not 'fast'"):
        sensitivity_map(nn.Flatten(), images, shifts=2, exact_path="fast")


def test_a_layer_the_network_never_uses_is_named():
    model = small()
    model[0].spare = nn.ReLU()
    images = pictures(1, 1, 12)
    with pytest.raises(ValueError, match=r"the network uses its layer '0\.spare' 0 times"):
        sensitivity_map(model, images, "0.spare", 2, exact_path="plain")
    with (
        pytest.warns(PlainPath, match=r"the output of 0\.spare is not one tensor"),
        pytest.raises(ValueError, match=r"the network uses its layer '0\.spare' 0 times"),
    ):
        Scanner(model, "0.spare", 2)(images)
