"""The exact shortcuts against plain PyTorch, and against the loop of a notebook.

Plain is the same network with channels last in memory, drawn by the same renderer; where invlib
cuts batches to fit a cache, plain has the better of the whole batch and the pieces. No test asserts
a time: ratio, goal and the limit set by the number of operations stand side by side in the results.
"""

import copy
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from scipy.interpolate import RegularGridInterpolator
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks import notebook_loop
from benchmarks.timing import Side, World, clock, compare, keep, quicker, time_alone, world
from invlib.data.canvas import Canvas, Pair, Placement, paper_grid
from invlib.data.items import ItemSet
from invlib.devices import chunk_size, has_bf16, seeded
from invlib.exact.dense import Scanner
from invlib.exact.propagation import Propagator
from invlib.exact.trial import counted
from invlib.measure.sensitivity import METRICS, sensitivity_maps
from invlib.models import TRACKING, squeezenet, tracking, vgg

CPU = torch.device("cpu")
CLASSES = 26
SHIFTS = 10


def batch_of(w: World, n: int) -> ItemSet:
    """So many items of ten classes at most, of the canvas's item size."""
    items = w.items.only(min(n, 10))
    return w.canvas.prepare(items.take(torch.linspace(0, len(items) - 1, n).long()))


def last(model: nn.Module) -> nn.Module:
    """The network with channels last in memory."""
    return model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]


def saving(model: nn.Module, w: World, images: Tensor, places: Tensor | Pair) -> float:
    """How many times fewer operations propagating takes; forward and backward have one ratio."""
    plain, ours = Propagator(model, w.canvas, "propagate").operations(images, places)
    return plain / ours


# Accuracy maps.

OCTANT = (0, 37, 57, 87)


def over_the_grid(at: dict[Pair, float]) -> float:
    """The sum over the paper's 361 places of what is known at some places of one octant.

    Windows at mirrored places have the same size, and between two of these places it changes
    almost linearly.
    """
    end = Canvas(224, 50).last[0]
    coarse = sorted({*OCTANT, *(end - each for each in OCTANT)})
    values = [[at[_folded(row, column, end)] for column in coarse] for row in coarse]
    places = np.stack(np.meshgrid(paper_grid(), paper_grid(), indexing="ij"), -1)
    return float(RegularGridInterpolator((coarse, coarse), values)(places).sum())


def _folded(row: int, column: int, end: int) -> Pair:
    low, high = sorted((min(row, end - row), min(column, end - column)))
    return low, high


def test_a_map_is_put_together_from_an_octant() -> None:
    places = [(a, b) for a in OCTANT for b in OCTANT if a <= b]
    assert over_the_grid(dict.fromkeys(places, 1.0)) == pytest.approx(361)
    # The distance to the edges is linear in the octant, so nothing is lost between its places.
    distance = sum(min(r, 174 - r) + min(c, 174 - c) for r in paper_grid() for c in paper_grid())
    assert over_the_grid({at: float(sum(at)) for at in places}) == pytest.approx(distance)


def test_accuracy_map_of_vgg16(benchmark: Any) -> None:
    w = world(224, 50, rgb=True)
    items = batch_of(w, 16)
    model = last(vgg("vgg16", CLASSES)).eval()
    same = copy.deepcopy(model).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    ours, plain = (Propagator(model, w.canvas, path) for path in ("propagate", "plain"))
    places = [(a, b) for a in OCTANT for b in OCTANT if a <= b]
    middle, all_places = (OCTANT[-1], OCTANT[-1]), len(paper_grid()) ** 2

    def mine() -> float:
        each = {at: clock(partial(ours, items.images, at))() for at in places}
        return over_the_grid(each)

    def whole(batch: int) -> Side:
        def forward() -> None:
            for part in items.images.split(batch):
                plain(part, middle)

        return clock(forward, all_places)

    def notebook() -> None:
        notebook_loop.accuracy_map(same, items, grid=middle[:1], **w.theirs)

    # The weights stay fixed from the warm-up on: the one background of a whole map is left out.
    with torch.inference_mode(), ours.fixed_weights():
        operations = {at: ours.operations(items.images, at) for at in places}
        windows = over_the_grid({at: float(each[1]) for at, each in operations.items()})
        compare(
            benchmark,
            work="accuracy map, VGG16, 224 x 224, 19 x 19 places, 16 items, fp32",
            images=all_places * len(items),
            ours=mine,
            plain=quicker(whole(16), whole(chunk_size(w.canvas.size, CPU))),
            notebook=clock(notebook, all_places),
            goal="> 4",
            limit=all_places * operations[middle][0] / windows,
        )


# Training steps.


@dataclass(frozen=True)
class Trained:
    """A network in training on one batch of items, with one optimiser for both paths."""

    model: nn.Module
    placement: Placement
    items: ItemSet
    bf16: bool = False
    optimiser: torch.optim.Optimizer = field(init=False)

    def __post_init__(self) -> None:
        adam = torch.optim.Adam(self.model.parameters(), lr=0.001, fused=True)
        object.__setattr__(self, "optimiser", adam)

    def step(self, path: str, chunk: int | None = None) -> Side:
        """Render, forward, loss, backward and Adam, the batch whole or in pieces."""
        forward = Propagator(self.model, self.placement.canvas, path)
        generator = torch.Generator().manual_seed(0)
        images, labels = self.items.images, self.items.labels
        chunk = chunk or len(labels)

        def step() -> None:
            places = self.placement.places(labels, generator)
            parts = (each.split(chunk) for each in (images, places, labels))
            for x, at, y in zip(*parts, strict=True):
                with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                    logits = forward(x, at)
                loss = cross_entropy(logits.float(), y, reduction="sum") / len(labels)
                loss.backward()
            self.optimiser.step()
            self.optimiser.zero_grad(set_to_none=True)

        return clock(step)

    def plain(self) -> Side:
        """The plain step, whole or in the pieces that ``fit`` would cut, whichever is quicker."""
        chunk = chunk_size(self.placement.canvas.size, CPU)
        if chunk >= len(self.items):
            return self.step("plain")
        return quicker(self.step("plain"), self.step("plain", chunk))


def notebook_step(model: nn.Module, w: World, items: ItemSet, place: Pair | None = None) -> Side:
    """A step of the notebook's loop with a copy of a network, in the memory format of a notebook.

    Items are drawn by PIL, the network computes in float32.
    """
    same = copy.deepcopy(model).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    optimiser = torch.optim.Adam(same.parameters(), lr=0.001)
    data = notebook_loop.Pasted(items, **w.theirs, place=place)
    batches = notebook_loop.loader(data, len(items))
    training = model.training
    return clock(lambda: notebook_loop.train(same, batches, optimiser=optimiser, training=training))


def compare_steps(
    benchmark: Any,
    w: World,
    model: nn.Module,
    batch: int,
    *,
    work: str,
    goal: str,
    bf16: bool = False,
    place: Pair | None = None,
) -> None:
    """A training step on both paths and in the notebook, with own places or all at one."""
    items = batch_of(w, batch)
    placement = w.canvas.fully_translated() if place is None else w.canvas.one_location(place)
    model = last(model)
    notebook = notebook_step(model, w, items, place)
    places = placement.places(items.labels, torch.Generator().manual_seed(0))
    trained = Trained(model, placement, items, bf16)
    limit = saving(model, w, items.images, places)
    ours = trained.step("propagate")
    ours()  # so that the optimiser has its state before plain is tried in two ways
    compare(
        benchmark,
        work=f"training step, {work}, {'own places' if place is None else 'one edge place'}, "
        f"batch {batch}, {'bf16' if bf16 else 'fp32'}",
        images=batch,
        ours=ours,
        plain=trained.plain(),
        notebook=notebook,
        goal=goal,
        limit=limit,
    )


@pytest.mark.parametrize(("bf16", "goal"), [(False, "> 3.5"), (True, "> 2.5")])
def test_training_step_of_vgg16(benchmark: Any, bf16: bool, goal: str) -> None:
    if bf16 and not has_bf16(CPU):
        pytest.skip("no bfloat16 in hardware")
    w = world(224, 50, rgb=True)
    model = vgg("vgg16", CLASSES)
    compare_steps(benchmark, w, model, 16, work="VGG16, 224 x 224", goal=goal, bf16=bf16)


@pytest.mark.parametrize(("edge", "goal"), [(False, "> 1.6"), (True, "> 2.2")])
def test_training_step_of_bench_vgg(benchmark: Any, edge: bool, goal: str) -> None:
    w = world(64, 16, rgb=False)
    place = w.canvas.leftmost_centred if edge else None
    model = vgg("bench", CLASSES)
    compare_steps(benchmark, w, model, 64, work="bench VGG, 64 x 64", goal=goal, place=place)


def resnet() -> nn.Module:
    """ResNet-18 whose BatchNorm keeps its statistics, so that one item is not in another's map."""
    with seeded(0):
        model: nn.Module = torchvision.models.resnet18(num_classes=CLASSES)
    return model.eval()


@pytest.mark.parametrize(
    ("make", "name", "goal"),
    [
        (lambda: squeezenet(CLASSES), "SqueezeNet 1.1", "> 1.8"),
        (resnet, "ResNet-18", "> 1.5"),
    ],
    ids=["squeezenet", "resnet"],
)
def test_training_step_with_branches(
    benchmark: Any, make: Callable[[], nn.Module], name: str, goal: str
) -> None:
    w = world(224, 50, rgb=True)
    compare_steps(benchmark, w, make(), 16, work=f"{name}, 224 x 224", goal=goal)


def saved_bytes(parameters: Iterable[Tensor], forward: Callable[[], Tensor]) -> int:
    """Bytes of all tensors that a forward pass saves for the backward pass, without parameters.

    Propagation also keeps a row number for each cell of a patch, below a hundredth of the whole.
    """
    sizes: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        sizes[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        kept = forward()  # as long as it lives no memory is given out twice
    for each in parameters:
        sizes.pop(each.untyped_storage().data_ptr(), None)
    del kept
    return sum(sizes.values())


def test_saved_bytes_are_those_of_distinct_storages() -> None:
    layer = nn.Linear(3, 5)
    x = torch.ones(7, 3)
    # x, once for both products, and the two factors of the last one.
    found = saved_bytes(layer.parameters(), lambda: (layer(x) * layer(x)).sum())
    assert found == 4 * (7 * 3 + 2 * 7 * 5)


def test_saved_activations_of_vgg16(benchmark: Any) -> None:
    w = world(224, 50, rgb=True)
    items = batch_of(w, 16)
    model = last(vgg("vgg16", CLASSES))
    generator = torch.Generator().manual_seed(0)
    places = w.canvas.fully_translated().places(items.labels, generator)

    def megabytes(path: str) -> float:
        forward = Propagator(model, w.canvas, path)
        forward.choose(items.images, places)
        return saved_bytes(model.parameters(), lambda: forward(items.images, places)) / 1e6

    ours = benchmark.pedantic(megabytes, args=("propagate",), rounds=1)
    keep(
        benchmark,
        work="saved activations, VGG16, 224 x 224, own places, batch 16, fp32",
        unit="MB",
        ours=ours,
        plain=megabytes("plain"),
        goal="> 6",
        rounds=1,
    )


# Sensitivity maps.


def shifted(name: str, item: int, n: int) -> tuple[nn.Module, ItemSet, Tensor]:
    """A tracking network, items for it, and these in the middle of its black frame."""
    table = TRACKING[name]
    items = batch_of(world(table.side, item, rgb=table.channels[0] == 3), n)
    start = (table.side - item) // 2
    frames = Canvas(table.side, item).render(items.images, (start, start))
    return last(tracking(name, CLASSES)).eval(), items, frames


def test_both_sides_shift_the_same() -> None:
    # Items that the frame cuts off at large shifts, and a coloured image.
    for name, item in (("mnist_k5", 28), ("cifar10_k4_unpadded", 32)):
        model, items, frames = shifted(name, item, 2)
        notebook = notebook_loop.shifted_outputs(model, items, frames.shape[2], 8)
        with torch.inference_mode():
            ours = Scanner(model, None, 8, exact_path="propagate")(frames).flatten(1, 2)
        assert torch.allclose(ours, notebook, rtol=1e-4, atol=1e-5 * float(notebook.abs().max()))


# Items of the padded networks are as small as a digit without its margin: no shift cuts them off,
# or else the first layer's padding would make a ring as well.
@pytest.mark.parametrize(
    ("name", "item", "n", "goal"),
    [
        ("mnist_k5_unpadded", 28, 4, "> 14"),
        ("mnist_k3_unpadded", 28, 4, "> 8"),
        ("cifar10_k5_unpadded", 32, 2, "> 16"),
        ("cifar10_k4_unpadded", 32, 1, "> 16"),
        ("cifar10_k3_unpadded", 32, 1, "> 16"),
        ("mnist_k5", 20, 4, "> 2.5"),
        ("mnist_k3", 20, 4, "> 3"),
    ],
)
def test_sensitivity_map(benchmark: Any, name: str, item: int, n: int, goal: str) -> None:
    model, items, frames = shifted(name, item, n)
    same = copy.deepcopy(model).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    ours, plain = (Scanner(model, None, SHIFTS, exact_path=path) for path in ("propagate", "plain"))

    def outputs(scanner: Scanner) -> None:
        with torch.inference_mode():
            for part in frames.split(2):  # as in sensitivity_map
                scanner(part)

    outputs(ours)  # the path is settled once for all images, so it does not count
    whole, scanned = (counted(partial(outputs, each))[1] for each in (plain, ours))
    family, kernel, *rest = name.split("_")
    compare(
        benchmark,
        work=f"sensitivity map, {family.upper()}, {kernel.replace('k', 'k = ')}, "
        f"{rest[0] if rest else 'padded'}, {(2 * SHIFTS + 1) ** 2} shifts, fp32",
        images=n * (2 * SHIFTS + 1) ** 2,
        ours=clock(partial(outputs, ours)),
        plain=clock(partial(outputs, plain)),
        notebook=clock(lambda: notebook_loop.shifted_outputs(same, items, frames.shape[2], SHIFTS)),
        goal=goal,
        limit=whole / scanned,
    )


@pytest.mark.parametrize(("name", "goal"), [("mnist_k5", "> 2.5"), ("mnist_k5_unpadded", "> 14")])
def test_sensitivity_of_several_layers(benchmark: Any, name: str, goal: str) -> None:
    model, items, frames = shifted(name, 20, 4)
    same = copy.deepcopy(model).to(memory_format=torch.contiguous_format)  # type: ignore[call-overload]
    layers = ("features", "classifier.1", None)
    ours, plain = (
        Scanner(model, layers, SHIFTS, exact_path=path) for path in ("propagate", "plain")
    )

    def outputs(scanner: Scanner) -> None:
        with torch.inference_mode():
            for part in frames.split(2):  # as in sensitivity_map
                scanner(part)

    outputs(ours)
    whole, scanned = (counted(partial(outputs, each))[1] for each in (plain, ours))
    compare(
        benchmark,
        work=f"sensitivity maps of 3 layers, {name}, {(2 * SHIFTS + 1) ** 2} shifts, fp32",
        images=4 * (2 * SHIFTS + 1) ** 2,
        ours=clock(partial(outputs, ours)),
        plain=clock(partial(outputs, plain)),
        notebook=clock(lambda: notebook_loop.shifted_outputs(same, items, frames.shape[2], SHIFTS)),
        goal=goal,
        limit=whole / scanned,
    )


@pytest.mark.parametrize(
    ("name", "goal"), [("mnist_k5_unpadded", "< 30 s"), ("mnist_k5", "< 120 s")]
)
def test_maps_of_all_digits(benchmark: Any, name: str, goal: str) -> None:
    model, items, frames = shifted(name, 20, 10)
    many, labels = frames.repeat(10, 1, 1, 1), items.labels.repeat(10)
    measured = {"features": ("cosine",), None: METRICS}
    maps = partial(sensitivity_maps, model, many, labels, measured, SHIFTS)
    work = f"maps of every class at two layers, 10,000 digits, {name}, fp32"
    time_alone(benchmark, work=work, side=clock(maps, 100), goal=goal)
