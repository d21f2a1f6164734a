"""Propagating gives the plain network's outputs and gradients, wherever the item lies."""

import random
from copy import deepcopy
from dataclasses import dataclass, replace
from importlib import import_module

import pytest
import torch
import torchvision
from hypothesis import HealthCheck, given, reject, settings
from hypothesis import strategies as st
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from invlib import accuracy_map, fit
from invlib.data.canvas import Canvas, PlaceError
from invlib.devices import has_bf16, seeded
from invlib.exact import choice
from invlib.exact.choice import PathError, PlainPath
from invlib.exact.layers import Walk
from invlib.exact.propagation import Propagator
from invlib.exact.windows import Windowed, item_axis, through, union
from invlib.models import VGG, VGGS, VGGTable
from invlib.training import Recipe

OUTPUTS, GRADIENTS = 1e-12, 1e-11
COLOUR = {"background": (30, 200, 90), "mean": (0.5, 0.4, 0.45), "std": (0.2, 0.25, 0.3)}


def filled(model, seed=0):
    """The network for evaluation in float64, nothing in it zero that could hide an error."""
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


def pictures(canvas, n, channels=3, seed=0):
    shape = (n, channels, *canvas.item)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(seed)).byte()


def anywhere(canvas, n, seed=0):
    """A drawn place for each sample, the first two in opposite corners."""
    generator = torch.Generator().manual_seed(seed)
    places = canvas.fully_translated().places(torch.zeros(n), generator)
    places[:2] = torch.tensor([(0, 0), canvas.last])[:n]
    return places


def error(found, expected):
    """The largest difference, relative to the largest number expected."""
    difference = float((found - expected).detach().abs().max())
    return difference / float(expected.detach().abs().max()) if difference else 0.0


def gradients(model, out):
    with seeded(1):
        weights = torch.randn_like(out, dtype=torch.float64).to(out.dtype)
    loss = (out * weights).sum()
    return torch.autograd.grad(loss, list(model.parameters()), materialize_grads=True)


def errors(model, canvas, images, places, fast=None):
    """How far propagating is from plain: outputs, gradients (the worst tensor)."""
    fast = fast or Propagator(model, canvas, "propagate")
    outs = [each(images, places) for each in (fast, Propagator(model, canvas, "plain"))]
    pairs = zip(*(gradients(model, out) for out in outs), strict=True)
    return error(*outs), max((error(*pair) for pair in pairs), default=0.0)


def assert_exact(model, canvas, images, places, fast=None):
    outputs, grads = errors(model, canvas, images, places, fast)
    assert outputs < OUTPUTS and grads < GRADIENTS


def net(*layers, seed=0):
    return filled(nn.Sequential(*layers), seed)


def head(cells):
    return nn.Flatten(), nn.Linear(cells, 3)


# Known networks


def narrow(table, by):
    layers = tuple(each if each == "M" else each // by for each in table.layers)
    return replace(table, layers=layers, hidden=32)


def googlenet():
    """GoogLeNet with an eighth of its channels."""
    parts = import_module("torchvision.models.googlenet")

    def conv(inputs, outputs, **settings):
        return parts.BasicConv2d(inputs if inputs == 3 else inputs // 8, outputs // 8, **settings)

    def inception(*channels):
        return parts.Inception(*channels, conv_block=conv)

    blocks = [conv, inception, parts.InceptionAux]
    model = parts.GoogLeNet(5, aux_logits=False, init_weights=False, blocks=blocks)
    model.fc = nn.Linear(128, 5)
    return model


def densenet():
    return torchvision.models.DenseNet(8, (6, 12, 24, 16), num_init_features=16, num_classes=5)


KNOWN = {
    "vgg16": (lambda: VGG(narrow(VGGS["vgg16"], 8), 5), 224, 50),
    "bench": (lambda: VGG(VGGS["bench"], 5, channels=3), 64, 16),
    "squeezenet": (lambda: torchvision.models.squeezenet1_1(num_classes=5), 112, 25),
    "resnet18": (lambda: torchvision.models.resnet18(num_classes=5), 96, 20),
    "densenet": (densenet, 96, 20),
    "googlenet": (googlenet, 96, 20),
}


@pytest.fixture(params=KNOWN)
def known(request):
    """A known network and a canvas for it."""
    make, size, item = KNOWN[request.param]
    with seeded(0):
        model = make()
    return filled(model), Canvas(size, item, **COLOUR)


def test_known_networks_are_exact_with_a_place_for_each_sample(known):
    model, canvas = known
    assert_exact(model, canvas, pictures(canvas, 4), anywhere(canvas, 4))


def test_known_networks_are_exact_at_a_common_place(known):
    model, canvas = known
    row, column = canvas.last
    fast = Propagator(model, canvas, "propagate")
    for place in ((0, column), (row // 2, column // 2 + 1)):
        assert_exact(model, canvas, pictures(canvas, 2), place, fast)


@pytest.mark.parametrize("axis", [0, 1])
def test_known_networks_are_exact_with_one_row_or_one_column_for_all(known, axis):
    model, canvas = known
    places = anywhere(canvas, 4)
    places[:, axis] = canvas.last[axis] - 1
    assert_exact(model, canvas, pictures(canvas, 4), places)


def test_known_networks_are_exact_with_fixed_weights(known):
    model, canvas = known
    row, column = canvas.last
    corners = [(0, 0), (0, column), (row, 0), (row, column)]
    places = [*corners, (row // 2, column // 2), (13, 7), anywhere(canvas, 2), corners[0]]
    images = pictures(canvas, 2)
    fast, plain = (Propagator(model, canvas, path) for path in ("propagate", "plain"))
    with torch.inference_mode(), fast.fixed_weights():
        for place in places:
            assert error(fast(images, place), plain(images, place)) < OUTPUTS


def test_the_bench_network_is_exact_at_corners_and_odd_places_for_one_sample_or_more():
    make, size, item = KNOWN["bench"]
    model, canvas = filled(make()), Canvas(size, item, **COLOUR)
    fast = Propagator(model, canvas, "propagate")
    places = [(0, 0), (0, 48), (48, 0), (48, 48), (24, 24), (24, 0), (13, 7), (1, 47)]
    for n, place in [*((2, place) for place in places), (1, (3, 5))]:
        assert_exact(model, canvas, pictures(canvas, n), place, fast)
    for n, seed in ((1, 0), (2, 0), (9, 1)):
        assert_exact(model, canvas, pictures(canvas, n), anywhere(canvas, n, seed), fast)


def test_weights_that_change_between_calls_are_seen():
    make, size, item = KNOWN["bench"]
    model, canvas = filled(make()), Canvas(size, item, **COLOUR)
    fast, images = Propagator(model, canvas, "propagate"), pictures(canvas, 2)
    for seed in (0, 1):
        filled(model, seed)
        assert_exact(model, canvas, images, (3, 40), fast)
        with torch.no_grad(), fast.fixed_weights():
            plain = Propagator(model, canvas, "plain")(images, (3, 40))
            assert error(fast(images, (3, 40)), plain) < OUTPUTS


# Drawn networks


@dataclass(frozen=True)
class Stage:
    """A convolution and what follows it."""

    pad: tuple[int, ...] | None
    fill: float
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: int | str
    dilation: int
    groups: int
    norm: bool
    relu: str
    relu_first: bool
    pool: str
    window: tuple
    branch: str


class Block(nn.Module):
    """A stage as a network; four channels come out."""

    def __init__(self, stage, channels):
        super().__init__()
        self.stage = stage
        self.pad = nn.Identity()
        if stage.pad:
            constant = nn.ConstantPad2d(stage.pad, stage.fill)
            self.pad = constant if stage.fill else nn.ZeroPad2d(stage.pad)
        side = stage.branch != "none"
        out = 2 if stage.branch == "cat" else 4
        self.conv = nn.Conv2d(
            channels, out, stage.kernel, stage.stride, stage.padding, stage.dilation, stage.groups
        )
        self.norm = nn.BatchNorm2d(out) if stage.norm else nn.Identity()
        kernel, stride, padding, ceil = stage.window
        pool = {"max": nn.MaxPool2d, "average": nn.AvgPool2d}.get(stage.pool, nn.Identity)
        settings = {"stride": stride, "padding": padding, "ceil_mode": ceil}
        self.pool = pool(kernel, **settings)
        function = {"max f": F.max_pool2d, "average f": F.avg_pool2d}.get(stage.pool)
        self.pooled = (lambda x: function(x, kernel, **settings)) if function else self.pool
        self.relu = {
            "module": nn.ReLU(),
            "module in place": nn.ReLU(inplace=True),
            "function": F.relu,
            "function in place": lambda x: F.relu(x, inplace=True),
            "method in place": lambda x: x.relu_(),
            "other": nn.SiLU(),
        }[stage.relu]
        self.side = nn.Conv2d(out, out, 3, padding=1) if side else None

    def forward(self, x):
        x = self.norm(self.conv(self.pad(x)))
        x = self.pooled(self.relu(x)) if self.stage.relu_first else self.relu(self.pooled(x))
        if self.stage.branch == "add":
            x = x + self.relu(self.side(x))
        elif self.stage.branch == "add in place":
            y = self.side(x)
            y += x
            x = y
        elif self.stage.branch == "cat":
            x = torch.cat([self.relu(self.side(x)), x], 1)
        elif self.stage.branch == "input of a ReLU used twice":
            y = self.side(x)
            x = self.relu(y) + y
        return x


class Drawn(nn.Module):
    """Stages and a head."""

    def __init__(self, stages, channels, head, size):
        super().__init__()
        widths = [channels, *[4] * len(stages)]
        self.stages = nn.ModuleList(map(Block, stages, widths))
        self.head = head
        self.linear = nn.Identity()
        with torch.no_grad():
            cells = self.double().eval()(torch.zeros(1, channels, *size).double()).shape[1]
        self.linear = nn.Linear(cells, 3)

    def forward(self, x):
        for stage in self.stages:
            x = stage(x)
        if self.head == "flat":
            x = x.flatten(1)
        else:
            x = x.mean((2, 3)) if self.head == "mean" else F.adaptive_avg_pool2d(x, 1).flatten(1)
        return self.linear(x)


@dataclass(frozen=True)
class Case:
    """A network on a canvas and places on it."""

    stages: tuple[Stage, ...]
    channels: int
    head: str
    size: tuple[int, int]
    item: tuple[int, int]
    colour: int | None
    places: list
    common: tuple[bool, bool]  # one row for all, one column for all
    seed: int

    def model(self):
        with seeded(self.seed):
            return filled(Drawn(self.stages, self.channels, self.head, self.size), self.seed)

    @property
    def canvas(self):
        background = self.colour
        if background is None:
            generator = torch.Generator().manual_seed(self.seed)
            shape = (self.channels, *self.size)
            background = torch.randint(0, 256, shape, generator=generator).byte()
        return Canvas(self.size, self.item, background, mean=0.4, std=0.3)

    @property
    def at(self):
        if all(self.common):
            return self.places[0]
        places = torch.tensor(self.places)
        return torch.where(torch.tensor(self.common), places[0], places)


@st.composite
def stages(draw, size, channels):
    """A stage that fits a map of this size, and the size of its own."""
    pad = draw(st.none() | st.tuples(*[st.integers(0, 4)] * 4))
    left, right, top, bottom = pad or (0, 0, 0, 0)
    size = size[0] + top + bottom, size[1] + left + right
    dilation = draw(st.sampled_from([1, 1, 2]))
    same = draw(st.sampled_from([False, False, False, True]))
    padding = 0 if same else draw(st.integers(0, 4))
    fits = [min(7, (n + 2 * padding - 1) // dilation + 1) for n in size]
    kernel = tuple(draw(st.integers(1, n)) for n in fits)
    stride = (1, 1) if same else draw(st.tuples(*[st.sampled_from([1, 1, 2, 3])] * 2))
    if not same:
        size = tuple(
            (n + 2 * padding - dilation * (k - 1) - 1) // s + 1
            for n, k, s in zip(size, kernel, stride, strict=True)
        )
    pool = draw(st.sampled_from(["none", "max", "max", "max f", "average", "average f"]))
    width = draw(st.integers(2, 3))
    window = width, draw(st.integers(1, 3)), draw(st.integers(0, 1)), draw(st.booleans())
    if min(size) < width:
        pool = "none"
    if pool != "none":
        size = tuple((n + 2 * window[2] - width) // window[1] + 1 for n in size)
    relu = st.sampled_from(
        ["module", "module in place", "function", "function in place", "method in place", "other"]
    )
    branch = st.sampled_from(
        ["none", "none", "add", "add in place", "cat", "input of a ReLU used twice"]
    )
    groups = draw(st.sampled_from([1, 1, 2])) if channels == 4 else 1
    return size, Stage(
        pad,
        draw(st.sampled_from([0.0, 0.7, -1.5])),
        kernel,
        stride,
        "same" if same else padding,
        dilation,
        groups,
        draw(st.booleans()),
        draw(relu),
        draw(st.booleans()),
        pool,
        window,
        draw(branch),
    )


@st.composite
def cases(draw):
    channels = draw(st.sampled_from([1, 3]))
    size = draw(st.tuples(*[st.integers(12, 40)] * 2))
    few = draw(st.booleans())
    item = tuple(draw(st.integers(1, 6) if few else st.integers(1, n)) for n in size)
    chosen, left = [], size
    for i in range(draw(st.integers(2, 4))):
        left, stage = draw(stages(left, 4 if i else channels))
        chosen.append(stage)
    legal = [
        st.sampled_from([0, n - m]) | st.integers(0, n - m) for n, m in zip(size, item, strict=True)
    ]
    places = draw(st.lists(st.tuples(*legal), min_size=1, max_size=4))
    return Case(
        tuple(chosen),
        channels,
        draw(st.sampled_from(["flat", "flat", "average", "mean"])),
        size,
        item,
        draw(st.none() | st.integers(0, 255)),
        places,
        draw(st.tuples(st.booleans(), st.booleans())),
        draw(st.integers(0, 99)),
    )


DRAWS = settings(
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
even_kernels = pytest.mark.filterwarnings("ignore:Using padding='same'")


def accepted(case):
    """The network, unless PyTorch itself refuses it."""
    try:
        model = case.model()
        plain = Propagator(model, case.canvas, "plain")
        gradients(model, plain(pictures(case.canvas, 1, case.channels), (0, 0)))
    except RuntimeError:
        reject()
    return model


@even_kernels
@given(cases())
@settings(DRAWS, max_examples=250)
def test_drawn_networks_are_exact(case):
    model = accepted(case)
    images = pictures(case.canvas, len(case.places), case.channels)
    fast = Propagator(model, case.canvas)
    fast.path = "propagate"  # also where that saves nothing, or an operation is not known
    assert_exact(model, case.canvas, images, case.at, fast)
    plain = Propagator(model, case.canvas, "plain")
    with torch.inference_mode(), fast.fixed_weights():
        for place in (case.at, case.at, case.places[-1]):
            assert error(fast(images, place), plain(images, place)) < OUTPUTS


class Recorder(fx.Interpreter):
    """Keeps the value behind each node."""

    def run_node(self, n):
        value = super().run_node(n)
        self.seen[n] = value.clone() if isinstance(value, Tensor) else value
        return value


def walked(model, canvas, image, place):
    """Behind each layer: what is known of its maps, those of item and empty canvas, alignment."""
    walk = Walk(model)
    empty = canvas.empty(image.shape[1]).double()
    axes = tuple(
        map(lambda *a: item_axis(*a, True), canvas.size, canvas.item, [(at,) for at in place])
    )
    maps = []
    for x in (canvas.render(image, place).double(), empty):
        recorder = Recorder(model, graph=walk.graph)
        recorder.seen = {}
        recorder.run(x)
        maps.append(recorder.seen)
    for node in walk.layers:
        start = Windowed(canvas.normalise(image).double(), empty[:, :, :1, :1], axes, None)
        known = walk.run(start, node)
        if isinstance(known, Windowed):
            yield known, maps[0][node], maps[1][node], walk.align[node]


@even_kernels
@given(cases())
@settings(DRAWS, max_examples=60)
def test_behind_each_layer_window_and_stored_background_make_up_the_maps(case):
    case = replace(case, colour=case.colour or 77)
    model, canvas = accepted(case), case.canvas
    with torch.no_grad():
        for known, item, empty, align in walked(
            model, canvas, pictures(canvas, 1, case.channels), case.places[0]
        ):
            rows, columns = ([a.kept(i) for i in range(a.size)] for a in known.axes)
            assert known.background.shape[2:] == tuple(a.stored for a in known.axes)
            assert error(known.background[:, :, rows][..., columns], empty) < OUTPUTS
            # A pooling may leave cells at the end out; the window then need not hold them.
            height, width = (n // s * s or n for n, s in zip(item.shape[2:], align, strict=True))
            used = (..., slice(height), slice(width))
            assert error(known.whole()[used], item[used]) < OUTPUTS


# Special cases


def conv(inputs=4, outputs=4, kernel=3, **settings):
    return nn.Conv2d(inputs, outputs, kernel, **{"padding": 1, **settings})


ODD = Canvas((27, 31), (6, 5), **COLOUR)
SPECIAL = {
    "k=7 s=2 p=3": [conv(3, 4, 7, stride=2, padding=3), nn.ReLU(), conv()],
    "3/2 pooling": [conv(3), nn.ReLU(), nn.MaxPool2d(3, 2), conv()],
    "3/2 pooling, padded": [conv(3), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2, 1), conv()],
    "3/2 pooling, ceil": [conv(3), nn.ReLU(), nn.MaxPool2d(3, 2, ceil_mode=True), conv()],
    "pooling before ReLU": [conv(3), nn.MaxPool2d(2), nn.ReLU(inplace=True), conv()],
    "pooling behind ReLU": [conv(3), nn.ReLU(inplace=True), nn.MaxPool2d(2), conv()],
    "odd maps, floor": [conv(3), nn.MaxPool2d(2), nn.ReLU(), conv(), nn.MaxPool2d(2)],
    "odd maps, 3/3": [conv(3), nn.AvgPool2d(3), nn.ReLU(), conv(), nn.MaxPool2d(2)],
    "padding as wide as the kernel": [conv(3, padding=3), nn.ReLU(), conv(kernel=2, padding=2)],
    "stride wider than the kernel": [conv(3), nn.ReLU(), conv(kernel=1, stride=3, padding=0)],
}


def places_of(canvas):
    row, column = canvas.last
    ends = [(0, 0), (0, column), (row, 0), (row, column)]
    return [*ends, (row // 2, 0), ((row + 1) // 2, column // 2), anywhere(canvas, 3)]


@pytest.mark.parametrize("name", SPECIAL)
@pytest.mark.parametrize("size", [(27, 31), (26, 28)])
def test_special_layers_are_exact_everywhere(name, size):
    canvas = Canvas(size, (6, 5), **COLOUR)
    layers = deepcopy(SPECIAL[name])
    with torch.no_grad():
        cells = nn.Sequential(*layers)(torch.zeros(1, 3, *size)).numel()
    model = net(*layers, *head(cells))
    fast = Propagator(model, canvas, "propagate")
    for place in places_of(canvas):
        assert_exact(model, canvas, pictures(canvas, 3), place, fast)


def vgg():
    """Small, for 32 x 32 pixels."""
    with seeded(0):
        return VGG(VGGTable((4, "M", 8, "M", 8, 8, "M"), map=4, hidden=16, channels=3), 3)


@pytest.mark.parametrize("item", [32, (32, 4), (3, 32), (20, 3), (1, 1), (31, 31)])
def test_items_as_large_as_the_canvas_or_one_side_of_it_or_one_pixel(item):
    canvas = Canvas(32, item, **COLOUR)
    model = filled(vgg())
    fast = Propagator(model, canvas, "propagate")
    for place in {*places_of(canvas)[:6]}:
        assert_exact(model, canvas, pictures(canvas, 2), place, fast)
    assert_exact(model, canvas, pictures(canvas, 4), anywhere(canvas, 4), fast)


class Fork(nn.Module):
    """Two consumers of one ReLU, or of its input, or of both."""

    def __init__(self, kind, inplace):
        super().__init__()
        self.first, self.one, self.two = conv(3), conv(), conv(kernel=1, padding=0)
        self.pool, self.join, self.linear = nn.MaxPool2d(2), conv(8), nn.Linear(4, 3)
        self.kind, self.inplace = kind, inplace

    def forward(self, x):
        x = self.first(x)
        y = F.relu(x, inplace=self.inplace)
        if self.kind == "two convolutions":
            y = self.one(y) + self.two(y)
        elif self.kind == "pooling and convolution":
            y = self.join(torch.cat([self.pool(y), self.pool(self.one(y))], 1))
        elif self.kind == "ReLU and its input":
            y = self.join(torch.cat((self.one(y), self.two(x)), dim=1))
        elif self.kind == "input only":
            y = self.one(x)
        elif self.kind == "ReLU joined with its input":
            y = self.join(torch.cat([y, x], 1)) + (x + y)
        return self.linear(F.relu(y).mean((2, 3)))


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize(
    "kind",
    [
        "two convolutions",
        "pooling and convolution",
        "ReLU and its input",
        "input only",
        "ReLU joined with its input",
    ],
)
def test_two_consumers_of_one_relu_see_the_same(kind, inplace):
    canvas = Canvas(24, 5, **COLOUR)
    model = filled(Fork(kind, inplace))
    fast = Propagator(model, canvas)
    fast.path = "propagate"
    for place in places_of(canvas):
        assert_exact(model, canvas, pictures(canvas, 3), place, fast)


def test_an_item_next_to_cells_that_see_nothing_but_padding():
    canvas = Canvas((12, 13), 1, **COLOUR)
    sparse = conv(kernel=1, stride=2, padding=2)
    model = net(conv(3, kernel=1, padding=0), nn.ReLU(), sparse, nn.ReLU(), conv(), *head(288))
    fast = Propagator(model, canvas, "propagate")
    for place in places_of(canvas):
        assert_exact(model, canvas, pictures(canvas, 3), place, fast)


def test_a_background_image_is_exact():
    image = torch.randint(0, 256, (3, 32, 32), generator=torch.Generator().manual_seed(5)).byte()
    canvas = Canvas(32, 7, image, mean=0.4, std=0.3)
    model = filled(vgg())
    for place in places_of(canvas):
        assert_exact(model, canvas, pictures(canvas, 3), place)


# Twins with an error, which the tests above must find


def test_without_the_backgrounds_gradient_outputs_stay_and_gradients_are_wrong(monkeypatch):
    local = Windowed.local

    def detached(self, *args):
        out = local(self, *args)
        return out and replace(out, background=out.background.detach())

    monkeypatch.setattr(Windowed, "local", detached)
    make, size, item = KNOWN["bench"]
    canvas = Canvas(size, item, **COLOUR)
    for places in ((24, 24), anywhere(canvas, 3)):
        fast = Propagator(filled(make()), canvas)
        fast.path = "propagate"
        outputs, grads = errors(fast.model, canvas, pictures(canvas, 3), places, fast)
        assert outputs < OUTPUTS and grads > 1e-3
        with pytest.raises(PathError, match="does not give the same numbers on both paths"):
            Propagator(fast.model, canvas, "propagate")(pictures(canvas, 3), places)


def test_a_window_that_lies_one_cell_off_is_found(monkeypatch):
    canvas, model = Canvas(32, 6, **COLOUR), filled(vgg())
    fast = Propagator(model, canvas)
    fast.path = "propagate"

    def shifted(size, item, starts, constant):
        return item_axis(size, item, tuple(max(0, at - 1) for at in starts), constant)

    monkeypatch.setattr("invlib.exact.propagation.item_axis", shifted)
    outputs, _ = errors(model, canvas, pictures(canvas, 3), anywhere(canvas, 3), fast)
    assert outputs > 1e-6
    with pytest.raises(PathError, match="does not give the same numbers on both paths"):
        Propagator(model, canvas, "propagate")(pictures(canvas, 3), anywhere(canvas, 3))


# Precision


@pytest.mark.parametrize("name", ["bench", "squeezenet", "resnet18"])
@pytest.mark.parametrize("own", [False, True])
def test_float32_is_as_exact_as_plain(name, own):
    make, size, item = KNOWN[name]
    canvas = Canvas(size, item, **COLOUR)
    with seeded(0):
        double = filled(make())
    single = deepcopy(double).float().to(memory_format=torch.channels_last)
    images, place = pictures(canvas, 4), anywhere(canvas, 4) if own else (canvas.last[0] // 2, 0)
    exact = Propagator(double, canvas, "plain")(images, place)
    plain, fast = (Propagator(single, canvas, p)(images, place) for p in ("plain", "propagate"))
    assert torch.equal(fast.argmax(1), plain.argmax(1)) and error(fast, plain) < 1e-5
    for true, *ours in zip(
        gradients(double, exact), gradients(single, plain), gradients(single, fast), strict=True
    ):
        plains, fasts = (error(each.double(), true) for each in ours)
        assert fasts < max(1e-4, 3 * plains)


@pytest.mark.skipif(not has_bf16(torch.device("cpu")), reason="the processor has no bfloat16")
@pytest.mark.parametrize("name", ["bench", "squeezenet", "resnet18"])
def test_bfloat16_is_as_plain(name):
    make, size, item = KNOWN[name]
    canvas = Canvas(size, item, **COLOUR)
    with seeded(0):
        model = filled(make()).float().to(memory_format=torch.channels_last)
    images = pictures(canvas, 4)
    fast, plain = (Propagator(model, canvas, path) for path in ("propagate", "plain"))
    for place in (canvas.leftmost_centred, anywhere(canvas, 4)):
        with torch.autocast("cpu", torch.bfloat16):
            assert error(fast(images, place).float(), plain(images, place).float()) < 2e-2


# Geometry


def test_the_windows_of_vgg16_by_hand():
    # Convolutions add a cell on each side; in front of a pooling the window starts and ends at
    # even cells; a window of n cells that starts at an odd cell is pooled to (n + 1) / 2.
    axis, lengths, sizes = item_axis(224, 50, tuple(range(175)), True), [], []
    for layers in ("CC", "CC", "CCC", "CCC", "CCC"):
        for i in range(len(layers)):
            axis, *_ = through(axis, 3, 1, 1, 1, False, 2 if i == len(layers) - 1 else 1)
            lengths.append(axis.length)
            sizes.append(axis.stored)
        axis, patch, _ = through(axis, 2, 2, 0, 0, False, 1)
        assert patch[1] == lengths[-1]
    assert lengths == [52, 56, 30, 34, 19, 21, 24, 14, 16, 20, 12, 14, 14]
    # The background: a cell more at each edge, half as many behind a pooling, and one between them.
    assert sizes == [3, 5, 5, 7, 7, 9, 11, 9, 11, 13, 9, 11, 13]


def test_a_common_place_has_the_smallest_window():
    axis = item_axis(224, 50, (87,), True)
    first, patch, _ = through(axis, 3, 1, 1, 1, False, 1)
    assert (first.starts, first.length, patch) == ((86,), 52, ((85,), 54))
    second, patch, _ = through(first, 3, 1, 1, 1, False, 2)  # cells 85 to 138, made even
    assert (second.starts, second.length, patch) == ((84,), 56, ((83,), 58))
    pooled, patch, _ = through(second, 2, 2, 0, 0, False, 1)
    assert (pooled.starts, pooled.length, patch) == ((42,), 28, ((84,), 56))
    corner, patch, _ = through(item_axis(224, 50, (0,), True), 3, 1, 1, 1, False, 1)
    assert (corner.starts, corner.length, patch) == ((0,), 51, ((-1,), 53))


def test_a_strided_convolution_and_a_padded_pooling_by_hand():
    axis, patch, _ = through(item_axis(96, 20, (30,), True), 7, 2, 3, 3, False, 1)
    assert (axis.size, axis.starts, axis.length) == (48, (14,), 13)  # cells 14 to 26 see 30 to 49
    assert patch == ((25,), 31)
    axis, patch, _ = through(axis, 3, 2, 1, 1, False, 1)
    assert (axis.size, axis.starts, axis.length, patch) == (24, (7,), 7, ((13,), 15))


def reached(axis, kernel, stride, before, place, item):
    """Output cells whose neighbourhood holds a cell of the item."""
    return [
        i
        for i in range(axis.size)
        if i * stride - before < place + item and i * stride - before + kernel > place
    ]


@given(
    st.integers(1, 30),
    st.data(),
    st.integers(1, 7),
    st.integers(1, 4),
    st.integers(0, 4),
    st.integers(0, 4),
    st.booleans(),
)
@settings(DRAWS, max_examples=300)
def test_windows_hold_every_cell_that_the_item_reaches(
    size, data, kernel, stride, before, after, ceil
):
    item = data.draw(st.integers(1, size))
    kernel = min(kernel, size + before + after)
    starts = tuple(range(size - item + 1))
    axis, patch, _ = through(
        item_axis(size, item, starts, False), kernel, stride, before, after, ceil, 1
    )
    for place, start in zip(starts, axis.starts, strict=True):
        cells = reached(axis, kernel, stride, before, place, item)
        assert set(cells) <= set(range(start, start + axis.length))
        assert 0 <= start <= axis.size - axis.length
    assert patch[1] == (axis.length - 1) * stride + kernel
    assert patch[0] == tuple(start * stride - before for start in axis.starts)


def test_a_union_holds_the_windows_and_the_edges_of_all():
    start = item_axis(40, 6, (0, 10, 34), True)
    one, two = (through(start, k, 1, k // 2, k // 2, False, 1)[0] for k in (3, 7))
    both = union(one, two)
    assert (both.length, both.starts) == (12, (0, 7, 28))
    assert (both.low, both.high, both.stored) == (3, 3, 7)
    assert [one.kept(i) for i in (0, 1, 20, 38, 39)] == [0, 1, 1, 1, 2]
    assert one.widened(7, 3, 3) == (0, 1, 1, 1, 1, 1, 2)
    assert union(one, one) is one


# The choice of the path


class Forward(nn.Module):
    """Two convolutions with something between them."""

    def __init__(self, between):
        super().__init__()
        self.one, self.two, self.linear = conv(3), conv(), nn.Linear(4, 3)
        self.between = deepcopy(between)

    def forward(self, x):
        x = self.two(self.between(self.one(x)))
        return self.linear(F.relu(x).mean((2, 3)))


def judged(x):
    return x * 2 if x.sum() > 0 else x


def scaled(x):
    return x + torch.arange(4.0).double()[:, None, None]


def drawn_by_python(x):
    return F.leaky_relu(x, random.random())


def drawn_by_torch(x):
    return F.leaky_relu(x, torch.rand(()).item())


def noisy(x):
    return x + torch.rand_like(x)


def gated(x):
    return x * torch.sigmoid(x.mean((2, 3), keepdim=True))


SMALL = Canvas(24, 4, **COLOUR)
LRN, GROUPS = nn.LocalResponseNorm(3), nn.GroupNorm(2, 4)
CIRCULAR = nn.Conv2d(4, 4, 3, padding=1, padding_mode="circular")


def same_dice(forward, *args):
    random.seed(0)
    with seeded(3):
        return forward(*args)


def assert_as_plain(fast, images):
    plain = Propagator(fast.model, fast.canvas, "plain")
    for place in ((3, 20), anywhere(fast.canvas, len(images))):
        expected = same_dice(plain, images, place)
        assert error(same_dice(fast, images, place), expected) < OUTPUTS


@pytest.mark.parametrize(
    ("between", "reason"),
    [
        (nn.BatchNorm2d(4), "BatchNorm takes its statistics from the batch"),
        (judged, "torch.fx cannot trace Forward"),
        (scaled, "Forward makes tensors of its own"),
        (drawn_by_python, "Forward draws random numbers"),
        (drawn_by_torch, "Forward draws random numbers"),
        (noisy, "Forward draws random numbers"),
    ],
)
def test_auto_takes_the_plain_path_and_says_why(between, reason):
    fast = Propagator(filled(Forward(between)).train(), SMALL)
    with pytest.warns(PlainPath, match=f"the plain path is taken: .*{reason}"):
        assert fast.choose(pictures(SMALL, 3), (3, 20)) == "plain"
    assert fast.path == "plain" and reason in fast.reason
    assert_as_plain(fast, pictures(SMALL, 3))


@pytest.mark.parametrize("between", [gated, LRN, GROUPS, CIRCULAR, nn.Dropout2d()])
@pytest.mark.parametrize("path", ["auto", None])
def test_behind_an_operation_that_is_not_known_all_is_plain(between, path):
    fast = Propagator(filled(Forward(between)).train(), SMALL)
    fast.path = None if path else "propagate"
    assert_as_plain(fast, pictures(SMALL, 3))


def test_auto_propagates_where_that_saves_enough_and_else_says_what_it_would_save():
    model = filled(vgg())
    for item, path, reason in ((4, "propagate", ""), (29, "plain", "would save 1.0")):
        canvas = Canvas(32, item, **COLOUR)
        fast = Propagator(model, canvas)
        assert fast.path is None
        assert_exact(model, canvas, pictures(canvas, 3), anywhere(canvas, 3), fast)
        assert fast.path == path and reason in fast.reason


def test_a_network_without_convolution_is_plain_without_a_word():
    model = net(*head(3 * 24 * 24))
    fast = Propagator(model, SMALL)
    assert_exact(model, SMALL, pictures(SMALL, 2), (0, 3), fast)
    assert fast.path == "plain"


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (lambda: Forward(CIRCULAR), "cannot propagate through between of Forward"),
        (lambda: Forward(LRN), "cannot propagate through between of Forward"),
        (lambda: Forward(nn.BatchNorm2d(4)), "BatchNorm takes its statistics"),
        (lambda: nn.Sequential(*head(3 * 24 * 24)), "Sequential has no convolution"),
        (lambda: Forward(judged), "cannot trace Forward"),
        (lambda: Forward(drawn_by_python), "Forward draws random numbers"),
    ],
)
def test_propagation_that_is_asked_for_and_not_possible_is_refused_every_time(model, message):
    fast = Propagator(model(), SMALL, "propagate")
    for _ in range(2):
        with pytest.raises(PathError, match=message):
            fast(pictures(SMALL, 2), (0, 0))


class Mine(Exception):
    """What a network raises."""


def raises(x):
    raise Mine("of the network")


@pytest.mark.filterwarnings("ignore::invlib.exact.choice.PlainPath")
@pytest.mark.parametrize("path", ["auto", "propagate", "plain"])
def test_a_network_that_raises_gives_its_own_error(path):
    with pytest.raises(Mine, match="of the network"):
        Propagator(Forward(raises), SMALL, path)(pictures(SMALL, 2), (0, 0))


def test_an_unknown_path_is_refused():
    with pytest.raises(PathError, match="one of auto, propagate, plain, not 'fast'"):
        Propagator(vgg(), SMALL, "fast")


def test_the_plain_path_asked_for_gives_its_reason():
    fast = Propagator(vgg(), SMALL, "plain")
    assert fast.choose(pictures(SMALL, 1), (0, 0)) == "plain" and fast.reason == "asked for"


@pytest.mark.parametrize("path", ["auto", "propagate", "plain"])
def test_items_and_places_that_do_not_fit_the_canvas_are_refused(path):
    fast = Propagator(filled(Forward(nn.Identity())), SMALL, path)
    images = pictures(SMALL, 2)
    for _ in range(2):  # before and after the path is settled
        with pytest.raises(PlaceError, match="expected items of 4 x 4 pixels, found 5 x 4"):
            fast(F.pad(images, (0, 0, 0, 1)), (0, 0))
        for place in ((0, 21), (-1, 0), torch.tensor([(0, 0), (21, 3)]), torch.zeros(3, 2).long()):
            with pytest.raises(PlaceError):
                fast(images, place)
        fast(images, (0, 0))
    with pytest.raises(PlaceError, match="expected a background of"):
        Canvas(24, 4, torch.zeros(3, 24, 25).byte())


def test_a_refused_first_call_leaves_the_choice_to_the_next():
    fast, images = Propagator(filled(Forward(judged)), SMALL), pictures(SMALL, 2)
    with pytest.raises(PlaceError):
        fast(images, (0, 21))
    with pytest.warns(PlainPath, match="cannot trace"):
        fast(images, (0, 20))


def state(model):
    return deepcopy([(vars(m), [p.grad for p in m.parameters()]) for m in model.modules()])


def test_the_choice_leaves_no_trace():
    torch.manual_seed(7)
    model = filled(Forward(nn.Sequential(nn.BatchNorm2d(4), nn.Dropout2d(), nn.MaxPool2d(2))))
    model.linear = nn.Sequential(nn.Dropout(), model.linear).double().train()
    model(torch.rand(2, 3, 24, 24).double()).sum().backward()
    before, dice = state(model), (torch.get_rng_state(), random.getstate())
    for path in ("auto", "propagate"):
        Propagator(model, SMALL, path).choose(pictures(SMALL, 2), (0, 0))
    assert torch.equal(torch.get_rng_state(), dice[0]) and random.getstate() == dice[1]
    after = state(model)
    assert [list(each[0]) for each in after] == [list(each[0]) for each in before]
    for old, new in zip(tree_leaves(before), tree_leaves(after), strict=True):
        if isinstance(old, Tensor):
            assert torch.equal(old, new)
        elif not isinstance(old, nn.Module):
            assert old == new


@pytest.mark.filterwarnings("ignore::invlib.exact.choice.PlainPath")
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("name", ["features.0", "features.3", "features", "classifier", ""])
def test_a_forward_hook_sees_whole_maps(name, late):
    canvas, model = Canvas(32, 4, **COLOUR), filled(vgg())
    fast, plain = (Propagator(model, canvas, path) for path in ("auto", "plain"))
    images, seen = pictures(canvas, 3), []
    if late:
        fast(images, (3, 9))
    model.get_submodule(name).register_forward_hook(lambda m, x, y: seen.append(y))
    expected = plain(images, (3, 9))
    true = seen.pop()
    assert error(fast(images, (3, 9)), expected) < OUTPUTS
    assert seen[-1].shape == true.shape and error(seen[-1], true) < OUTPUTS


def test_a_mode_that_changes_is_seen():
    model = Forward(nn.Sequential(nn.Dropout(0.5), nn.ReLU()))
    filled(model)
    fast = Propagator(model, SMALL)
    fast.path = "propagate"
    for training in (False, True, False):
        model.train(training)
        assert_as_plain(fast, pictures(SMALL, 3))


def test_a_layer_that_is_replaced_is_seen():
    model = filled(Forward(nn.Identity()))
    fast = Propagator(model, SMALL, "propagate")
    assert_as_plain(fast, pictures(SMALL, 3))
    model.two = filled(conv(kernel=5), seed=1)
    assert_as_plain(fast, pictures(SMALL, 3))


@pytest.mark.parametrize("path", ["auto", "propagate", "plain"])
def test_no_items_give_no_outputs(path):
    fast = Propagator(filled(vgg()), Canvas(32, 4, **COLOUR), path)
    images = pictures(fast.canvas, 2)
    for _ in range(2):  # before and after the path is settled
        assert fast(images[:0], (0, 0)).shape == (0, 3)
        assert fast(images[:0], torch.zeros(0, 2).long()).shape == (0, 3)
        fast(images, (0, 0))


def test_operations_by_hand():
    model, canvas = net(conv(3, 2), *head(2 * 24 * 24)), SMALL
    fast = Propagator(model, canvas)
    images, linear = pictures(canvas, 5), 2 * 24 * 24 * 3
    each, window, edges = (27 * 2 * cells**2 for cells in (24, 6, 3))
    # The background: one cell at each edge and one between them. A corner cuts the window.
    assert fast.operations(images, (9, 9)) == (5 * (each + linear), 5 * (window + linear) + edges)
    corner = 27 * 2 * 5**2
    assert fast.operations(images, (0, 0))[1] == 5 * (corner + linear) + edges
    assert fast.operations(images, anywhere(canvas, 5))[1] == 5 * (window + linear) + edges
    with fast.fixed_weights():
        assert fast.operations(images, (9, 9))[1] == 5 * (window + linear)


class Shapes(TorchDispatchMode):
    """Records each operation and the shapes of what it gives."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        self.seen.append(
            (str(function), [t.shape for t in tree_leaves(out) if isinstance(t, Tensor)])
        )
        return out


@pytest.mark.parametrize("name", ["bench", "squeezenet", "googlenet"])
def test_no_shape_depends_on_own_places(name):
    make, size, item = KNOWN[name]
    with seeded(0):
        model, canvas = filled(make()), Canvas(size, item, **COLOUR)
    fast, images, middle = Propagator(model, canvas, "propagate"), pictures(canvas, 3), size // 3
    corners = torch.tensor([(0, 0), canvas.last, (0, canvas.last[1])])
    places = [torch.tensor([(i, i) for i in range(middle, middle + 3)]), corners]
    seen = []
    for at in (*places, *places):  # the first two make what is kept by geometry
        with Shapes() as shapes:
            gradients(model, fast(images, at))
        seen.append(shapes.seen)
    assert seen[2] == seen[3] and len(seen[2]) > 100


# Training and accuracy maps


def bench():
    """A narrow bench network for 64 x 64 pixels, without dropout."""
    with seeded(0):
        model = VGG(VGGTable((4, "M", 8, "M", 8, 8, "M", 8, 8, "M"), 4, 32, channels=1), 4)
    for m in model.modules():
        if isinstance(m, nn.Dropout):
            m.p = 0.0
    return filled(model).float().to(memory_format=torch.channels_last)


BENCH = Canvas(64, 16, background=40, mean=0.2, std=0.3)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def trained(items, path, dtype=torch.float32, reverse=False):
    model, generator = bench().to(dtype), torch.Generator().manual_seed(0)
    forward = Propagator(model, BENCH, path)
    optimiser = torch.optim.Adam(model.parameters())
    placement = BENCH.fully_translated()
    for _ in range(40):
        index = torch.randint(len(items), (16,), generator=generator)
        places = placement.places(items.labels[index], generator)
        if reverse:
            index, places = index.flip(0), places.flip(0)
        loss = F.cross_entropy(forward(items.images[index], places), items.labels[index])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return weights(model).double()


def test_forty_steps_drift_no_more_than_plain_does(noise):
    items = noise(60, 4, 16)
    true = trained(items, "plain", torch.float64)
    assert (true - weights(bench())).abs().max() > 0.01
    plain, turned, fast = (
        (trained(items, path, reverse=reverse) - true).norm()
        for path, reverse in (("plain", False), ("plain", True), ("propagate", False))
    )
    assert fast <= 2 * max(plain, turned)


def test_fit_agrees_on_both_paths_and_records_which(noise, monkeypatch):
    monkeypatch.setattr(choice, "MODULE", 2**16)  # so that choosing seems cheap for this network
    items, records, learnt = noise(24, 4, 16), {}, {}
    for placement in (BENCH.one_location(), BENCH.fully_translated()):
        for path in ("plain", "propagate", "auto"):
            model = bench()
            recipe = Recipe(steps=8, batch_size=12, target_accuracy=None)
            records[path] = fit(model, BENCH, items, placement, recipe, exact_path=path)
            learnt[path] = weights(model)
        assert [r.path for r in records.values()] == ["plain", "propagate", "propagate"]
        assert (learnt["propagate"] - learnt["plain"]).abs().max() < 1e-4
        assert torch.equal(learnt["auto"], learnt["propagate"])
        assert records["plain"].accuracy == records["propagate"].accuracy


@pytest.mark.parametrize(("items", "shared"), [(4, "nothing"), (20, "row"), (100, "place")])
def test_accuracy_maps_agree_on_both_paths(noise, items, shared):
    items, model = noise(items, 4, 16), bench()
    fit(
        model,
        BENCH,
        items,
        BENCH.one_location(),
        Recipe(steps=30, batch_size=12, learning_rate=0.003),
    )
    rows, columns = (0, 24, 48), (0, 5, 17, 23, 30, 48)
    plain, *others = (
        accuracy_map(model, BENCH, items, rows, columns, batch, path)
        for path, batch in (("plain", None), ("propagate", None), ("propagate", 5), ("auto", None))
    )
    assert len(set(plain.flatten())) > 2
    for other in others:
        assert (other == plain).all()
    seen = []
    forward = Propagator(model, BENCH, "propagate")
    call = forward._propagate
    forward._propagate = lambda images, places, *rest: (
        seen.append([len(set(axis)) for axis in places.T.tolist()]) or call(images, places, *rest)
    )
    assert (accuracy_map(model, BENCH, items, rows, columns, propagator=forward) == plain).all()
    expected = {"nothing": [3, 6], "row": [1, 6], "place": [1, 1]}[shared]
    assert seen[-1] == expected


def test_a_long_accuracy_map_propagates_by_itself_and_a_short_one_does_not(noise, monkeypatch):
    monkeypatch.setattr(choice, "MODULE", 2**20)
    items, model = noise(48, 4, 16), bench()
    forward = Propagator(model, BENCH)
    grid = range(0, 49, 7)
    found = {}
    for rows, path in ((grid[:1], "plain"), (grid, "propagate"), (grid[:1], "plain")):
        found[path] = accuracy_map(model, BENCH, items, rows, propagator=forward)
        assert forward.path == path and (path == "propagate") == (forward.reason == "")
    assert forward.reason == "the work is too short to find out what pays"
    whole = accuracy_map(model, BENCH, items, grid, exact_path="plain")
    assert (found["propagate"] == whole).all() and (found["plain"] == whole[:1, :1]).all()


def test_a_map_is_not_made_with_the_path_of_another_network(noise):
    model = bench()
    for forward in (Propagator(bench(), BENCH), Propagator(model, Canvas(64, 16))):
        with pytest.raises(ValueError, match="another model or canvas"):
            accuracy_map(model, BENCH, noise(4, 4, 16), (0,), propagator=forward)
