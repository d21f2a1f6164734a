"""Networks that the engine was not written for: ``auto`` works and gives the plain numbers."""

import copy
import random
from collections import OrderedDict, namedtuple
from contextlib import nullcontext

import numpy as np
import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm, weight_norm

import invlib
from invlib.data.canvas import Canvas
from invlib.devices import seeded
from invlib.exact import choice
from invlib.exact.choice import PathError, PlainPath
from invlib.exact.propagation import Propagator
from invlib.exact.trial import agree
from invlib.training import Recipe

CANVAS = Canvas(24, 5, background=40, mean=0.2, std=0.3)
SHORT = Recipe(steps=3, batch_size=8, target_accuracy=None)


class Net(nn.Module):
    """Two convolutions with something between them, which may use the module."""

    def __init__(self, between=lambda self, x: x, **parts):
        super().__init__()
        with seeded(0):
            self.one, self.two = nn.Conv2d(1, 6, 3, padding=1), nn.Conv2d(6, 4, 3, padding=1)
            self.head = nn.Linear(4, 4)
        self.between = between
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        x = self.two(self.between(self, self.one(x)))
        return self.head(F.relu(x).mean((2, 3)))


def of(module):
    """The network with a module between its convolutions."""
    return Net(lambda self, x: self.part(x), part=module)


def batch(n=8, seed=0):
    """Items and a place for each."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (n, 1, *CANVAS.item), generator=generator).byte()
    places = torch.randint(0, CANVAS.last[0] + 1, (n, 2), generator=generator)
    return images, places


def dice(seed=5):
    random.seed(seed)
    np.random.seed(seed)  # noqa: NPY002
    torch.manual_seed(seed)


def trained(model, path, steps=3):
    """Weights and buffers after steps with own places, and the path taken."""
    model = copy.deepcopy(model)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05)
    forward = Propagator(model, CANVAS, path)
    dice()
    for step in range(steps):
        images, places = batch(seed=step)
        loss = F.cross_entropy(forward(images, places), torch.arange(8) % 4)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return torch.cat([x.double().flatten() for x in model.state_dict().values()]), forward


def assert_trains_as_plain(model, path=None):
    found, forward = trained(model.double(), "auto")
    expected, _ = trained(model, "plain")
    assert (found - expected).abs().max() < 1e-10
    assert path in (None, forward.path), forward.reason
    return forward


# In-place operations


@pytest.mark.parametrize(
    ("between", "path"),
    [
        (of(nn.LeakyReLU(inplace=True)), "propagate"),
        (of(nn.ReLU6(inplace=True)), "propagate"),
        (of(nn.Hardtanh(-0.2, 0.3, inplace=True)), "propagate"),
        (of(nn.SiLU(inplace=True)), "propagate"),
        (of(nn.ELU(inplace=True)), "propagate"),
        (of(nn.Dropout2d(inplace=True)), None),
        (Net(lambda self, x: x.clamp_(-0.1, 0.2)), None),
        (Net(lambda self, x: F.leaky_relu(x, 0.3, True)), "propagate"),
        (Net(lambda self, x: F.relu6(x, inplace=True)), "propagate"),
        (Net(lambda self, x: x.mul_(2)), None),
        (Net(lambda self, x: F.relu(x, True) + x), "propagate"),
        (Net(lambda self, x: F.silu(x, inplace=True) + x), None),
        (Net(lambda self, x: F.elu(x.clone(), 1.0, True)), None),
        (Net(lambda self, x: self.part(x).clamp_(-1, 1), part=nn.ZeroPad2d(1)), None),
    ],
    ids=range(14),
)
def test_operations_in_place_train_as_plain(between, path):
    assert_trains_as_plain(between.train(), path)


@pytest.mark.parametrize("kind", [nn.LeakyReLU, nn.ReLU6, nn.Hardtanh, nn.SiLU, nn.Dropout])
def test_operations_in_place_leave_the_kept_background_as_it_is(kind):
    model = of(kind(inplace=True)).double().eval()
    images, _ = batch()
    fast, plain = (Propagator(model, CANVAS, path) for path in ("propagate", "plain"))
    with torch.inference_mode(), fast.fixed_weights():
        for place in ((3, 9), (0, 19), (3, 9)):
            assert (fast(images, place) - plain(images, place)).abs().max() < 1e-12


def test_mobilenet_trains_by_itself_where_its_statistics_are_kept(noise):
    with seeded(0):
        model = torchvision.models.mobilenet_v2(num_classes=4, width_mult=0.25).eval()
    canvas, (images, places) = Canvas(64, 5), batch(4)
    images = images.repeat(1, 3, 1, 1)
    out = {p: Propagator(model, canvas, p)(images, places) for p in ("auto", "plain", "propagate")}
    out["propagate"].sum().backward()
    assert agree(out["auto"], out["plain"]) and agree(out["propagate"], out["plain"])


# What a trace freezes


@pytest.mark.parametrize(
    "draw",
    [
        lambda: torch.rand(()),
        random.random,
        np.random.rand,
        lambda: torch.rand((), generator=torch.default_generator).item(),
        np.random.default_rng,
        random.Random,
    ],
    ids=["torch", "random", "numpy", "generator", "own numpy", "own random"],
)
@pytest.mark.parametrize("training", [True, False])
def test_a_draw_in_forward_is_drawn_anew_each_time(draw, training):
    if draw in (np.random.default_rng, random.Random):
        model = Net(lambda self, x: x * 3 if self.dice.random() < 0.3 else x, dice=draw(5))
    else:
        model = Net(lambda self, x: x * 3 if draw() < 0.3 else x)
    model, (images, _) = model.double().train(training), batch()
    copied = copy.deepcopy(model)
    fast = Propagator(model, CANVAS)
    with pytest.warns(PlainPath, match="draws random numbers"):
        fast.choose(images, (3, 9))
    plain = Propagator(copied, CANVAS, "plain")
    outs = []
    for forward in (fast, plain):
        dice()
        with torch.no_grad():
            outs.append(torch.stack([forward(images, (3, 9)) for _ in range(30)]))
    assert torch.equal(*outs) and len(outs[0].unique(dim=0)) == 2


@pytest.mark.parametrize(
    "model",
    [
        of(nn.FractionalMaxPool2d(2, output_ratio=0.7)),
        of(nn.RReLU()),
        Net(lambda self, x: x + torch.randn_like(x)),
        Net(lambda self, x: x * torch.empty_like(x).bernoulli_(0.5)),
    ],
    ids=["pooling", "rrelu", "noise", "mask"],
)
def test_draws_other_than_dropout_are_plain(model):
    with pytest.warns(PlainPath, match="draws random numbers"):
        assert_trains_as_plain(model.train(), "plain")


@pytest.mark.parametrize("module", [nn.Dropout(), nn.Dropout2d(), nn.AlphaDropout()])
def test_dropout_is_no_obstacle(module):
    function = Net(lambda self, x: F.dropout(x, 0.5, self.training))
    for model in (of(module), function):
        Propagator(model.train(), CANVAS, "auto").choose(*batch())  # no word of a plain path


class Counts(Net):
    """Counts its calls in a buffer."""

    def __init__(self):
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


class OwnNorm(nn.Module):
    """A hand-written BatchNorm."""

    def __init__(self, update):
        super().__init__()
        self.register_buffer("average", torch.zeros(6))
        self.update = update

    def forward(self, x):
        mean = x.mean((0, 2, 3))
        self.update(self, mean.detach())
        return x - self.average[:, None, None]


def rebound(self, mean):
    self.average = 0.9 * self.average + 0.1 * mean


def in_place(self, mean):
    self.average.mul_(0.9).add_(0.1 * mean)


def blended(self, mean):
    self.average.lerp_(mean, 0.1)


class Keeps(Net):
    """Keeps a map for whoever wants to see it, and counts in Python."""

    calls = 0

    def forward(self, x):
        self.calls += 1
        self.seen = self.one(x)
        return self.head(F.relu(self.two(self.seen)).mean((2, 3)))


class Constrained(nn.Conv2d):
    """Its weights are kept small whenever it is used."""

    def forward(self, x):
        self.weight.data = torch.renorm(self.weight.data, 2, 0, 0.1)
        return super().forward(x)


class Clamped(nn.Conv2d):
    """Its weights are cut whenever it is used."""

    def forward(self, x):
        with torch.no_grad():
            self.weight.clamp_(-0.05, 0.05)
        return super().forward(x)


STATES = {
    "counter": Counts,
    "rebound": lambda: of(OwnNorm(rebound)),
    "in place": lambda: of(OwnNorm(in_place)),
    "blended": lambda: of(OwnNorm(blended)),
    "attributes": Keeps,
    "constrained": lambda: of(Constrained(6, 6, 3)),
    "clamped": lambda: of(Clamped(6, 6, 3)),
    "instance norm": lambda: of(nn.InstanceNorm2d(6, track_running_stats=True)),
}


@pytest.mark.parametrize("name", STATES)
def test_a_state_that_forward_changes_is_changed_as_often_as_on_the_plain_path(name):
    model = STATES[name]().train()
    with pytest.warns(PlainPath, match="the plain path is taken"):
        assert_trains_as_plain(model, "plain")
    untouched = copy.deepcopy(model)
    with pytest.raises(PathError):
        Propagator(model, CANVAS, "propagate").choose(*batch())
    for before, after in zip(untouched.modules(), model.modules(), strict=True):
        assert vars(before).keys() == vars(after).keys()
    assert getattr(model, "calls", 0) == getattr(untouched, "calls", 0)
    if name not in ("constrained", "clamped"):  # which puts the weights where they will be
        after = model.state_dict()
        assert all(torch.equal(x, after[k]) for k, x in untouched.state_dict().items())


@pytest.mark.parametrize(
    "context", [torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", torch.bfloat16)]
)
def test_a_mode_that_forward_sets_on_the_way_is_not_lost(context):
    def between(self, x):
        with context():
            y = self.part(x)
        return x + y.float().clone()

    model = Net(between, part=nn.Conv2d(6, 6, 3, padding=1)).train()
    images, places = batch()
    fast = Propagator(model, CANVAS)
    with pytest.warns(PlainPath, match="on the way"):
        out = fast(images, places)
    assert torch.equal(out, Propagator(model, CANVAS, "plain")(images, places))


# Hooks


def halved(module, *gradients):
    return tuple(None if g is None else g / 2 for g in gradients[0])


HOOKS = {
    "full backward": lambda m: m.two.register_full_backward_hook(halved),
    "full backward pre": lambda m: m.two.register_full_backward_pre_hook(
        lambda module, g: (g[0] / 2,)
    ),
    "forward": lambda m: m.one.register_forward_hook(lambda m, x, y: y * 2),
    "global forward": lambda m: nn.modules.module.register_module_forward_hook(
        lambda m, x, y: y / 2 if isinstance(m, nn.Conv2d) else None
    ),
    "global forward pre": lambda m: nn.modules.module.register_module_forward_pre_hook(
        lambda m, x: (x[0] / 2,) if isinstance(m, nn.Conv2d) else None
    ),
    "global backward": lambda m: nn.modules.module.register_module_full_backward_hook(
        lambda m, x, g: (x[0] / 2,) if x[0] is not None else None
    ),
    "global backward pre": lambda m: nn.modules.module.register_module_full_backward_pre_hook(
        lambda m, g: (g[0] / 2,)
    ),
}


@pytest.mark.filterwarnings("ignore::invlib.exact.choice.PlainPath")
@pytest.mark.filterwarnings("ignore:Full backward hook is firing")
@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("name", HOOKS)
def test_a_hook_of_any_kind_sees_what_it_sees_on_the_plain_path(name, late):
    images, places = batch()
    found = []
    for path in ("auto", "plain"):
        model = Net().double()
        forward = Propagator(model, CANVAS, path)
        if late:
            forward(images, places)
        handle = HOOKS[name](model)
        try:
            forward(images, places).square().sum().backward()
        finally:
            handle.remove()
        found.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert (found[0] - found[1]).abs().max() < 1e-10 * found[1].abs().max()


# Parametrised weights


@pytest.mark.parametrize("norm", [spectral_norm, weight_norm])
def test_parametrised_weights_train_as_plain(norm):
    model = Net()
    for name in ("one", "two"):
        setattr(model, name, norm(getattr(model, name)))
    with pytest.warns(PlainPath, match="changes") if norm is spectral_norm else nullcontext():
        assert_trains_as_plain(model.train(), "plain" if norm is spectral_norm else "propagate")


@pytest.mark.parametrize("norm", [spectral_norm, weight_norm])
def test_maps_of_parametrised_weights(norm, noise):
    model, items = Net(), noise(8, 4, 5)
    for name in ("one", "two"):
        setattr(model, name, norm(getattr(model, name)))
    maps = {
        path: invlib.accuracy_map(model, CANVAS, items, (0, 9, 19), exact_path=path)
        for path in ("propagate", "auto", "plain")
    }
    assert np.array_equal(maps["propagate"], maps["plain"])
    assert np.array_equal(maps["auto"], maps["plain"])
    images = torch.randn(2, 1, 12, 12)
    similar = [
        invlib.sensitivity_map(model, images, shifts=3, exact_path=path)
        for path in ("auto", "plain")
    ]
    assert np.allclose(*similar, atol=1e-6)


# The comparison of both paths


NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ([1.0, NAN], [1.0, NAN], True),
        ([1.0, NAN], [2.0, NAN], False),
        ([1.0, NAN], [1.0, 1.0], False),
        ([1.0, INF], [1.0, INF], True),
        ([1.0, INF], [1.1, INF], False),
        ([1.0, INF], [1.0, -INF], False),
        ([1.0, 2.0], [1.0, 2.0 + 1e-5], True),
        ([1.0, 2.0], [1.0, 2.01], False),
        ([], [], True),
        ([1, 2], [1, 2], True),
        ([1000000, 2], [1000001, 2], False),
        ([True], [False], False),
        ([1.0], [1], False),
        ([1.0, 1.0], [[1.0, 1.0]], False),
    ],
)
def test_two_tensors_are_the_same_to_half_their_digits(one, other, same):
    assert agree(torch.tensor(one), torch.tensor(other)) is same


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        (None, None, True),
        (None, torch.zeros(1), False),
        ("a", "a", True),
        ({"a": 1}, {"a": 2}, False),
        ({"a": 1}, {"b": 1}, False),
        ([1, "b", None], [1, "b", None], True),
        ([1], [1, 1], False),
        ((), (), True),
        (np.ones(3), np.ones(3), True),
        (np.ones(3), np.zeros(3), False),
    ],
)
def test_what_is_no_tensor_is_compared_by_equality(one, other, same):
    assert agree(one, other) is same


Both = namedtuple("Both", ["logits", "note"])


class Gives(Net):
    """Gives its logits in a container."""

    def __init__(self, pack):
        super().__init__()
        self.pack = pack

    def forward(self, x):
        return self.pack(super().forward(x))


PACKS = {
    "dict": lambda y: {"logits": y, "classes": 4, "none": None},
    "ordered": lambda y: OrderedDict(logits=y, note="n"),
    "list": lambda y: [y, {"half": [y / 2]}],
    "tuple": lambda y: (y, y.argmax(1)),
    "named": lambda y: Both(y, "note"),
    "integers": lambda y: y.argmax(1),
    "empty": lambda y: y[:, :0],
}


def kinds(out):
    """The types of containers and leaves."""
    inner = out.values() if isinstance(out, dict) else out if isinstance(out, list | tuple) else ()
    return [type(out), *map(kinds, inner)]


@pytest.mark.parametrize("pack", PACKS)
def test_containers_come_back_as_the_network_returns_them(pack):
    model = Gives(PACKS[pack]).double()
    images, places = batch()
    found, expected = (
        Propagator(model, CANVAS, path)(images, places) for path in ("propagate", "plain")
    )
    assert kinds(found) == kinds(expected) and agree(found, expected)
    assert Propagator(model, CANVAS).choose(images, places) == "propagate"


@pytest.mark.parametrize(("pack", "kind"), [("dict", "dict"), ("tuple", "tuple")])
def test_measures_say_which_output_they_expect(pack, kind, noise):
    model, items = Gives(PACKS[pack]), noise(8, 4, 5)
    message = rf"expected logits \(n, classes\) .*, found {kind}: wrap it"
    for path in ("auto", "plain", "propagate"):
        with pytest.raises(ValueError, match=message):
            invlib.accuracy_map(model, CANVAS, items, (0, 9), exact_path=path)
        with pytest.raises(ValueError, match=message):
            invlib.fit(model, CANVAS, items, CANVAS.one_location(), SHORT, exact_path=path)
        with pytest.raises(ValueError, match=f"expected one tensor from the network, found {kind}"):
            invlib.sensitivity_map(model, torch.rand(2, 1, 12, 12), shifts=2, exact_path=path)


# A network that changes between calls


def patched(model):
    forward = model.two.forward
    model.two.forward = lambda x: forward(x) * 2


CHANGES = {
    "attribute": lambda model: setattr(model, "scale", 9.0),
    "padding": lambda model: (
        setattr(model.two, "padding", (0, 0)),
        setattr(model.two, "_reversed_padding_repeated_twice", [0] * 4),
    ),
    "stride": lambda model: setattr(model.two, "stride", (2, 2)),
    "slope": lambda model: setattr(model.part, "negative_slope", -3.0),
    "patched": patched,
    "patched root": lambda model: setattr(model, "forward", lambda x: x.mean((1, 2))[:, :4] * 9),
}


@pytest.mark.filterwarnings("ignore::invlib.exact.choice.PlainPath")
@pytest.mark.parametrize("change", CHANGES)
def test_a_network_changed_after_the_first_map_is_measured_as_it_is(change, monkeypatch):
    monkeypatch.setattr(choice, "MODULE", 2**16)  # so that choosing seems cheap for this network
    part = nn.LeakyReLU(inplace=True)
    model = Net(lambda self, x: F.elu(self.part(x), self.scale), part=part, scale=1.0).double()
    images, rows, kept = batch(40)[0], (0, 7, 12, 19), Propagator(model, CANVAS)

    def outputs(forward):
        with torch.no_grad():
            return torch.cat([out for _, out in forward.everywhere(images, rows, rows)])

    before = outputs(kept)
    assert kept.path == "propagate"
    CHANGES[change](model)
    found, expected = outputs(kept), outputs(Propagator(model, CANVAS, "plain"))
    assert (found - expected).abs().max() < 1e-12 < (found - before).abs().max()


# Flattening with ``view``


class Views(nn.Module):
    """Flattens with ``view``, as many scripts do."""

    def __init__(self, view, pool=None):
        super().__init__()
        with seeded(0):
            self.one, self.two = nn.Conv2d(1, 6, 3), nn.Conv2d(6, 4, 3)
            self.pool = pool or nn.MaxPool2d(2)
            cells = self.pool(torch.zeros(1, 4, 20, 20)).numel()
            self.head = nn.Linear(cells, 4)
        self.view = view

    def forward(self, x):
        x = self.pool(F.relu(self.two(F.relu(self.one(x)))))
        return self.head(self.view(x))


FLAT = {
    "size": lambda x: x.view(x.size(0), -1),
    "shape": lambda x: x.view(x.shape[0], -1),
    "product": lambda x: x.view(-1, x.shape[1] * x.shape[2] * x.shape[3]),
    "as": lambda x: x.view_as(x.flatten(1)),
    "in place": lambda x: x.view(x.size(0), -1).clamp_(max=0.1) + x.flatten(1),
}


@pytest.mark.parametrize("pool", [nn.MaxPool2d(2), nn.AdaptiveAvgPool2d(3), nn.Identity()])
@pytest.mark.parametrize("view", FLAT)
def test_a_network_that_flattens_with_view_propagates(view, pool):
    if view == "in place":  # behind a ReLU plain PyTorch refuses its gradient
        pool = nn.Sequential(pool, nn.AvgPool2d(1))
    model = Views(FLAT[view], pool).train()
    forward = assert_trains_as_plain(model, "propagate")
    images, places = batch()
    drawn = CANVAS.render(images, places).double()
    expected = model(drawn.clone(memory_format=torch.contiguous_format))
    for path in ("propagate", "plain"):
        found = Propagator(model, CANVAS, path)(images, places)
        assert (found - expected).abs().max() < 1e-12
    assert forward.reason == ""


@pytest.mark.filterwarnings("ignore::invlib.exact.choice.PlainPath", "ignore::DeprecationWarning")
@pytest.mark.parametrize("compiler", ["script", "trace", "compile", "compile in place"])
def test_compiled_networks_that_flatten_with_view_work(compiler, noise, monkeypatch):
    monkeypatch.setattr(choice, "MODULE", 2**10)  # so that a trial seems cheap

    class Plain(Views):
        def __init__(self):
            super().__init__(None)
            del self.view

        def forward(self, x):
            x = self.pool(F.relu(self.two(F.relu(self.one(x)))))
            return self.head(x.view(x.size(0), -1))

    model = eager = Plain()
    if compiler == "script":
        model = torch.jit.script(eager)
    elif compiler == "trace":
        model = torch.jit.trace(eager, torch.zeros(2, 1, 24, 24))
    elif compiler == "compile":
        model = torch.compile(eager, backend="eager")
    else:
        model.compile(backend="eager")
    items, images = noise(40, 4, 5), torch.rand(2, 1, 24, 24)
    for path in ("plain", "auto"):
        invlib.fit(model, CANVAS, items, CANVAS.fully_translated(), SHORT, exact_path=path)
        found = invlib.accuracy_map(model, CANVAS, items, (0, 9, 19), exact_path=path)
        similar = invlib.sensitivity_map(model, images, None, 3, exact_path=path)
    same = Plain()
    same.load_state_dict(eager.state_dict())
    expected = invlib.accuracy_map(same, CANVAS, items, (0, 9, 19), exact_path="plain")
    assert np.array_equal(found, expected)
    assert np.allclose(similar, invlib.sensitivity_map(same, images, None, 3), atol=1e-6)


def test_a_view_of_a_wrong_size_is_the_networks_own_error():
    model = Views(lambda x: x.view(x.size(0), 7))
    for path in ("auto", "plain", "propagate"):
        with pytest.raises(RuntimeError, match="shape .* is invalid for input of size"):
            Propagator(model, CANVAS, path)(*batch())


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("path", ["auto", "plain", "propagate"])
def test_fit_and_maps_of_a_network_that_flattens_with_view(noise, path, precision):
    model, items = Views(FLAT["size"]), noise(8, 4, 5)
    recipe = Recipe(steps=3, batch_size=8, precision=precision)
    invlib.fit(model, CANVAS, items, CANVAS.fully_translated(), recipe, exact_path=path)
    found = invlib.accuracy_map(model, CANVAS, items, (0, 9), exact_path=path)
    x = CANVAS.render(items.images, (9, 0)).clone(memory_format=torch.contiguous_format)
    logits = model.to(memory_format=torch.contiguous_format)(x)
    assert found[1, 0] == float((logits.argmax(1) == items.labels).double().mean())
    similar = invlib.sensitivity_map(model, x[:2], "one", 3, exact_path=path)
    assert similar[3, 3] == pytest.approx(1) and similar.min() < 0.999
