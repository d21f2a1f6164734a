"""One training loop for every network of the book.

Adam at a fixed rate, class-balanced sampling with replacement, a stopping rule on the running
accuracy, and a positive control: without knowing its items at the trained place, a network says
nothing about other places.
"""

import math
import time
import warnings
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from invlib.data.canvas import Canvas, Placement
from invlib.data.items import ItemSet
from invlib.devices import (
    autocast,
    chunk_size,
    device_of,
    dtype_of,
    evaluating,
    mixed,
    seeded,
)
from invlib.exact.propagation import Propagator
from invlib.exact.trial import layout, output, trains_batch_norm
from invlib.progress import bar


class TrainingWarning(UserWarning):
    """What was trained is not what it seems, or what was asked for."""


class Drawing(Protocol):
    """What ``fit`` needs of a placement or an augmentation."""

    def draw(self, images: Tensor, labels: Tensor, generator: torch.Generator | None) -> Tensor:
        """Canvases float32 (n, channels, height, width)."""


@dataclass(frozen=True)
class Recipe:
    """The settings of one training.

    Attributes:
        steps: at most so many batches.
        batch_size: samples in a batch.
        learning_rate: Adam's, fixed after the warm-up.
        warmup: steps over which the learning rate rises linearly from 0.
        target_accuracy: stop when the running accuracy has reached this, a fraction; None: do all
            steps.
        window: batches in the running accuracy.
        hold: further steps for which the running accuracy must stay at the target.
        patience: a training whose running loss stays at chance level for so many steps on end
            has collapsed and is stopped.
        chance: a running loss above this share of log(classes) counts as chance level.
        precision: ``"float32"``, or ``"bfloat16"``, mixed with float32.

    Raises:
        ValueError: for another precision, a number of steps or batches that is not whole or too
            small, or a learning rate, target or chance that is no finite number from 0.
    """

    steps: int = 1500
    batch_size: int = 64
    learning_rate: float = 0.001
    warmup: int = 0
    target_accuracy: float | None = 0.95
    window: int = 50
    hold: int = 0
    patience: int = 800
    chance: float = 0.99
    precision: str = "float32"

    def __post_init__(self) -> None:
        mixed(self.precision)
        counts = {"steps": 0, "batch_size": 1, "window": 1, "warmup": 0, "hold": 0, "patience": 1}
        for name, least in counts.items():
            value = getattr(self, name)
            if not isinstance(value, int) or value < least:
                raise ValueError(f"{name} must be at least {least} and whole, not {value!r}")
        for name in ("learning_rate", "target_accuracy", "chance"):
            value = getattr(self, name)
            if not 0 <= (0 if value is None else value) < math.inf:
                raise ValueError(f"{name} must be a finite number from 0, not {value!r}")


@dataclass(frozen=True)
class Training:
    """What came of one training.

    Attributes:
        outcome: ``reached`` (the target), ``steps`` (all done), ``collapsed`` (stayed at chance) or
            ``diverged`` (a loss that is not finite).
        steps: batches done.
        accuracy: running accuracy at the end, a fraction, with dropout on; None without a step.
        seconds: wall time.
        precision: ``bfloat16`` (mixed) or ``float32``.
        path: the path taken, ``propagate`` or ``plain``.
        recipe: the settings.
    """

    outcome: str
    steps: int
    accuracy: float | None
    seconds: float
    precision: str
    path: str
    recipe: Recipe


def fit(
    model: nn.Module,
    canvas: Canvas,
    items: ItemSet,
    placement: Drawing,
    recipe: Recipe | None = None,
    seed: int = 0,
    label: str = "",
    exact_path: str = "auto",
) -> Training:
    """Train a network in place, on its own device.

    At the end some samples are shown in evaluation mode, in which everything else is measured.

    Args:
        model: any network from canvases (n, channels, height, width) to logits (n, classes).
        canvas: the canvas; items are resized to its item size for a placement.
        items: what is learnt. Classes are drawn uniformly, then an item of the class.
        placement: ``canvas.one_location()`` and the like, or an augmentation.
        recipe: the settings, ``Recipe()`` if not given.
        seed: of the sampling, the places and the dropout; the same seed gives the same weights on
            the same machine.
        label: shown before the progress bar.
        exact_path: see ``propagation.Propagator``; an augmentation is always plain.

    Returns:
        What came of it. The model is left in training mode.

    Warns:
        TrainingWarning: when it did not reach its target, or knows far less in evaluation mode.

    Raises:
        DataError: for items of another shape than the canvas's.
        ValueError: when the model gives no logits, or fewer than the items have classes, or takes
            another number of channels.
        PathError: under ``"propagate"``, where it is not possible: says why.
    """
    recipe = recipe or Recipe()
    if isinstance(placement, Placement):
        items = canvas.prepare(items)
    elif not hasattr(placement, "draw"):
        raise TypeError(f"expected a placement such as canvas.one_location(), found {placement!r}")
    device = device_of(model)
    if not any(parameter.requires_grad for parameter in model.parameters()):
        raise ValueError("the network has nothing to train: no parameter requires a gradient")
    images, labels = items.images.to(device), items.labels.to(device)
    generator = torch.Generator().manual_seed(seed)
    sample = balanced(items.labels)
    rows_first = [p for p in model.parameters() if p.ndim == 4 and p.is_contiguous()]
    model.to(memory_format=layout(model))  # type: ignore[call-overload]
    model.train()
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, fused=True)
    forward: Callable[..., Any] = partial(output, model)
    path, chunk = "plain", chunk_size(canvas.size, device)
    if isinstance(placement, Placement):
        forward, n = Propagator(model, placement.canvas, exact_path), recipe.batch_size
        places = placement.places(items.labels[:n], torch.Generator().manual_seed(seed))
        with fitting(model, items, canvas):
            path = forward.choose(images[:n], places, recipe.steps * n)
        chunk = chunk_size(canvas.item, device) if path == "propagate" else chunk
    if trains_batch_norm(model):
        chunk = recipe.batch_size  # its statistics are of the whole batch
    stop = Stopping(recipe, len(items.classes))
    began = time.perf_counter()
    with (
        seeded(seed),
        fitting(model, items, canvas),
        bar(
            total=recipe.steps, desc=label or f"fit {items.name}", unit="step", shorter=SHORTER
        ) as progress,
    ):  # fmt: skip
        while not stop.outcome:
            if stop.steps < recipe.warmup:
                rate = recipe.learning_rate * (stop.steps + 1) / recipe.warmup
                optimiser.param_groups[0]["lr"] = rate
            index = sample(recipe.batch_size, generator)
            x, drawn = images[index.to(device)], items.labels[index]
            if isinstance(placement, Placement):
                batch = [x, placement.places(drawn, generator)]
            else:
                batch = [placement.draw(x, drawn, generator)]
            batch.append(labels[index.to(device)])
            stop.seen(*step(forward, optimiser, items, batch, chunk, recipe.precision))
            progress.update()
            if stop.steps % 10 == 0:
                speed = stop.steps * recipe.batch_size / (time.perf_counter() - began)
                progress.set_postfix_str(
                    f"loss {stop.loss:.3f}, accuracy {stop.accuracy:.1%}, {speed:,.0f} images/s",
                    refresh=False,
                )
    seconds, precision = time.perf_counter() - began, recipe.precision
    for parameter in rows_first:  # code of the reader's own may ask for it
        parameter.data = parameter.data.clone(memory_format=torch.contiguous_format)
    said = [f"the training on {items.name} {stop.why()}"] if stop.missed else []
    if stop.steps and stop.outcome in ("reached", "steps"):
        said += _unsettled(model, images, items, placement, stop.accuracy, recipe, seed)
    for words in said:
        warnings.warn(words, TrainingWarning, stacklevel=2)
    accuracy = stop.accuracy if stop.steps else None
    return Training(stop.outcome, stop.steps, accuracy, seconds, precision, path, recipe)


SHORTER = "fewer steps (Recipe(steps=...)), a smaller canvas or a GPU (model.to('cuda')) take less"


def _unsettled(
    model: nn.Module,
    images: Tensor,
    items: ItemSet,
    placement: Drawing,
    running: float,
    recipe: Recipe,
    seed: int,
) -> list[str]:
    """What to warn of where a network in evaluation mode is far from what it was in training."""
    generator = torch.Generator().manual_seed(seed)
    index = balanced(items.labels)(max(recipe.batch_size, 100), generator)
    dtype, right = dtype_of(model), 0
    for some in index.split(10):
        canvases = placement.draw(images[some.to(images.device)], items.labels[some], generator)
        with torch.inference_mode(), evaluating(model), autocast(images.device, recipe.precision):
            answers = logits_of(output(model, canvases.to(dtype)), items, len(some)).argmax(1)
        right += int((answers.cpu() == items.labels[some]).sum())
    known = right / len(index)
    if known >= running - 0.2:
        return []
    why = "; BatchNorm's running statistics have not settled: more steps or a larger momentum"
    return [
        f"in evaluation mode the network knows {known:.0%} of {len(index)} samples of "
        f"{items.name}, {running:.0%} while it was trained"
        + (why if trains_batch_norm(model) else "")
    ]


def step(
    forward: Callable[..., Any],
    optimiser: torch.optim.Optimizer,
    items: ItemSet,
    batch: Sequence[Tensor],
    chunk: int,
    precision: str,
) -> tuple[float, float]:
    """A step of the optimiser on a batch, chunk by chunk.

    Args:
        forward: from inputs to logits.
        optimiser: of its parameters.
        items: whose classes the logits are for.
        batch: inputs, and the labels last.
        chunk: so many at once.
        precision: see ``Recipe``.

    Returns:
        Mean loss and accuracy of the batch.

    Raises:
        ValueError: see ``logits_of``.
    """
    seen = []
    for *inputs, labels in zip(*(each.split(chunk) for each in batch), strict=True):
        with autocast(labels.device, precision):
            logits = logits_of(forward(*inputs), items, len(labels))
        loss = cross_entropy(logits.float(), labels, reduction="sum") / len(batch[-1])
        loss.backward()
        seen.append(torch.stack([loss.detach(), (logits.argmax(1) == labels).sum()]))
    optimiser.step()
    optimiser.zero_grad(set_to_none=True)
    losses, right = zip(*torch.stack(seen).tolist(), strict=True)
    return sum(losses), sum(right) / len(batch[-1])


def logits_of(out: Any, items: ItemSet, canvases: int) -> Tensor:
    """A network's output for so many canvases: logits (n, classes) for the classes of some items.

    Raises:
        ValueError: when it is something else, or too few, or for items of one class.
    """
    n = len(items.classes)
    if n < 2:
        raise ValueError(f"{items.name} has one class: there is nothing to tell apart")
    if not isinstance(out, Tensor) or out.ndim != 2:
        found = tuple(out.shape) if isinstance(out, Tensor) else type(out).__name__
        raise ValueError(
            f"expected logits (n, classes) from the model, found {found}: wrap it in a module "
            "that returns these alone"
        )
    if len(out) != canvases or out.is_complex() or out.dtype is torch.bool:
        raise ValueError(
            f"expected logits ({canvases}, classes), a row of numbers for each canvas, from the "
            f"model, found {out.dtype} {tuple(out.shape)}"
        )
    if out.shape[1] < n:
        raise ValueError(f"{items.name} has {n} classes, the model gives {out.shape[1]} logits")
    if out.shape[1] > n:
        warnings.warn(
            f"{items.name} has {n} classes, the model gives {out.shape[1]} logits, of which the "
            f"others are never right: invlib.models.replace_head(model, {n}) renews its last layer",
            stacklevel=1,  # one place, so that it is said once
        )
    return out


@contextmanager
def fitting(model: nn.Module, items: ItemSet, canvas: Canvas) -> Iterator[None]:
    """Inside, an error of the network says what it was given, and plainly if channels differ.

    Raises:
        ValueError: in the place of what a convolution for another number of channels raised.
    """
    channels = items.images.shape[1]
    try:
        yield
    except RuntimeError as error:
        first = next((part for part in model.modules() if isinstance(part, nn.Conv2d)), None)
        if first is None or first.in_channels == channels or first.in_channels not in (1, 3):
            height, width = canvas.size
            error.add_note(f"The network was given (n, {channels}, {height}, {width}).")
            raise
        remedy = "grey" if channels == 3 else "rgb"
        raise ValueError(
            f"{items.name} has {channels} channels, the network's first convolution takes "
            f"{first.in_channels}: use items.{remedy}()"
        ) from error


class Stopping:
    """When a training stops, by its running ``loss`` and ``accuracy`` after so many ``steps``.

    Attributes:
        outcome: as in ``Training``; empty while it goes on.
    """

    def __init__(self, recipe: Recipe, classes: int) -> None:
        self.recipe, self.chance = recipe, recipe.chance * math.log(classes)
        self.recent: deque[tuple[float, float]] = deque(maxlen=recipe.window)
        self.steps, self.loss, self.accuracy = 0, math.nan, math.nan
        self.held, self.stuck, self.outcome = -1, 0, "" if recipe.steps else "steps"

    @property
    def missed(self) -> bool:
        """Whether there was a target that was not reached."""
        return bool(self.recipe.target_accuracy and self.steps) and self.outcome != "reached"

    def why(self) -> str:
        """In words why it stopped without its target."""
        if self.outcome == "diverged":
            return f"diverged: its loss is not finite after {self.steps} steps"
        if self.outcome == "collapsed":
            return f"stayed at chance level for {self.recipe.patience} steps and was stopped"
        return (
            f"ended after all {self.steps} steps at {self.accuracy:.0%} running accuracy; "
            f"its target is {self.recipe.target_accuracy:.0%}"
        )

    def seen(self, loss: float, accuracy: float) -> None:
        """Take in a step's mean loss and accuracy."""
        recipe, goal = self.recipe, self.recipe.target_accuracy
        self.steps += 1
        if not math.isfinite(loss):
            self.outcome = "diverged"
            return
        self.recent.append((loss, accuracy))
        n = len(self.recent)
        self.loss, self.accuracy = (sum(each) / n for each in zip(*self.recent, strict=True))
        reached = goal and n == recipe.window and self.accuracy >= goal
        self.held = self.held + 1 if reached else -1
        self.stuck = self.stuck + 1 if self.loss > self.chance else 0
        if self.held >= recipe.hold:
            self.outcome = "reached"
        elif self.stuck >= recipe.patience:
            self.outcome = "collapsed"
        elif self.steps == recipe.steps:
            self.outcome = "steps"


def balanced(labels: Tensor) -> Callable[[int, torch.Generator | None], Tensor]:
    """A sampler of indices: a class uniformly, then an item of it, both with replacement."""
    counts = torch.bincount(labels)
    counts = counts[counts > 0]
    order = labels.argsort(stable=True)
    starts = counts.cumsum(0) - counts

    def sample(n: int, generator: torch.Generator | None) -> Tensor:
        drawn = torch.rand(2, n, generator=generator, dtype=torch.float64)
        label = (drawn[0] * len(counts)).long()
        return order[starts[label] + (drawn[1] * counts[label]).long()]

    return sample
