"""invlib against the loop of a notebook, in one process, on one thread.

No test asserts a time: what is a goal and what came of it stand side by side in the results.
"""

import copy
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import pytest
import torch
from torch import Tensor

from benchmarks import notebook_loop
from benchmarks.timing import ROUNDS, clock, compare, time_alone, world
from invlib import accuracy_map, fit
from invlib.devices import has_bf16
from invlib.models import vgg
from invlib.training import Recipe, balanced

PRECISION = "bfloat16" if has_bf16(torch.device("cpu")) else "float32"


@dataclass(frozen=True)
class Ready:
    """Canvases that are drawn already, in the place of a placement: ``fit`` without rendering."""

    canvases: Tensor

    def draw(self, images: Tensor, labels: Tensor, generator: torch.Generator | None) -> Tensor:
        return self.canvases


@pytest.mark.parametrize(("size", "item", "rgb"), [(224, 50, True), (64, 16, False)])
def test_both_sides_draw_the_same(size: int, item: int, rgb: bool) -> None:
    w = world(size, item, rgb)
    place = (3, size - item)
    x, y = next(
        iter(notebook_loop.loader(notebook_loop.Pasted(w.items, **w.theirs, place=place), 64))
    )
    ours = w.canvas.render(w.canvas.prepare(w.items).images[:64], place)
    assert torch.equal(y, w.items.labels[:64])
    # PIL cuts off at 0 and 255 between its two passes, torch only at the end: some edges differ.
    levels = (x - ours).abs() * torch.tensor(w.theirs["std"])[:, None, None] * 255
    assert levels.sum() / (x.shape[0] * x.shape[1] * item**2) < 0.5


# The batches of the chapters at the two sizes.
@pytest.mark.parametrize(
    ("size", "item", "rgb", "batch"), [(224, 50, True, 32), (64, 16, False, 64)]
)
def test_rendering(benchmark: Any, size: int, item: int, rgb: bool, batch: int) -> None:
    w = world(size, item, rgb)
    batches = 256 // batch
    placement = w.canvas.fully_translated()
    generator = torch.Generator().manual_seed(0)
    sample = balanced(w.items.labels)
    prepared = w.canvas.prepare(w.items).images  # once for a whole training, as fit does it
    data = notebook_loop.Pasted(w.items.take(torch.arange(batch * batches)), **w.theirs)

    def ours() -> None:
        for _ in range(batches):
            index = sample(batch, generator)
            placement.draw(prepared[index], w.items.labels[index], generator)

    def notebook() -> None:
        for _ in notebook_loop.loader(data, batch, shuffle=True):
            pass

    colour = "RGB" if rgb else "grey"
    work = f"rendering, {size} x {size}, items of {item}, {colour}, batch {batch}"
    compare(
        benchmark,
        work=work,
        images=batch * batches,
        ours=clock(ours),
        notebook=clock(notebook),
        goal="> 10",
        rounds=ROUNDS + 4,
    )


@pytest.mark.parametrize(
    ("name", "size", "item", "batch", "steps"),
    [("bench", 64, 16, 64, 5), ("vgg16", 224, 50, 8, 1)],
)
def test_training_step(
    benchmark: Any, name: str, size: int, item: int, batch: int, steps: int
) -> None:
    w = world(size, item, rgb=name == "vgg16")
    canvases = w.canvas.render(w.canvas.prepare(w.items).images[:batch], (0, 0))
    ready = Ready(canvases)
    plain = [(canvases.contiguous(), w.items.labels[:batch])] * steps
    recipe = Recipe(steps=steps, batch_size=batch, target_accuracy=None, precision=PRECISION)
    mine = vgg(name, len(w.items.classes))
    same = copy.deepcopy(mine)
    compare(
        benchmark,
        work=f"training step, {name} VGG, batch {batch}".replace("vgg16 VGG", "VGG16, 224 x 224"),
        images=batch * steps,
        goal="> 1.5",
        ours=clock(lambda: fit(mine, w.canvas, w.items, ready, recipe)),
        notebook=clock(lambda: notebook_loop.train(same, plain)),
    )


def test_training(benchmark: Any) -> None:
    """Rendering and training together, what a reader waits for."""
    w = world(64, 16, rgb=False)
    batch, steps = 64, 4
    data = notebook_loop.Pasted(w.items.take(torch.arange(batch * steps)), **w.theirs)
    shuffled = notebook_loop.loader(data, batch, shuffle=True)
    recipe = Recipe(steps=steps, batch_size=batch, target_accuracy=None, precision=PRECISION)
    mine = vgg("bench", len(w.items.classes))
    same = copy.deepcopy(mine)
    compare(
        benchmark,
        work="rendering and training, bench VGG, batch 64",
        images=batch * steps,
        ours=clock(lambda: fit(mine, w.canvas, w.items, w.canvas.fully_translated(), recipe)),
        notebook=clock(lambda: notebook_loop.train(same, shuffled)),
    )


def test_accuracy_map(benchmark: Any) -> None:
    w = world(64, 16, rgb=False)
    items = w.items.first(1).only(20)
    grid = w.canvas.test_grid(7)
    model, same = (vgg("bench", len(w.items.classes)) for _ in range(2))
    fit(model, w.canvas, items, w.canvas.fully_translated(), Recipe(steps=1))
    same.load_state_dict(model.state_dict())  # the values, not the memory format
    compare(
        benchmark,
        work=f"accuracy map, bench VGG, {len(grid)} x {len(grid)} places, {len(items)} items",
        images=len(grid) ** 2 * len(items),
        goal="> 2",
        ours=clock(lambda: accuracy_map(model, w.canvas, items, grid, precision=PRECISION)),
        notebook=clock(lambda: notebook_loop.accuracy_map(same, items, grid=grid, **w.theirs)),
    )


def test_import(benchmark: Any) -> None:
    code = (
        "import time; began = time.perf_counter(); import invlib; "
        "import sys; print(time.perf_counter() - began, 'torchvision' in sys.modules)"
    )

    def imported() -> float:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        )
        took, torchvision = done.stdout.split()
        assert torchvision == "False"
        return float(took)

    time_alone(benchmark, work="import invlib, without torchvision", side=imported, goal="< 2 s")
