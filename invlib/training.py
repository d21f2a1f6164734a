"""One training loop for every network of the book.

Adam at a fixed rate, class-balanced sampling with replacement, a stopping rule on the running
accuracy, and a positive control: without knowing its items at the trained place, a network says
nothing about other places.
"""

import math
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from invlib.data.canvas import Canvas, Placement
from invlib.data.items import ItemSet
from invlib.devices import autocast, chunk_size, device_of, mixed, seeded
from invlib.exact.layers import output, trains_batch_norm, viewers
from invlib.exact.propagation import Propagator
from invlib.progress import bar


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
        ValueError: for another precision.
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


@dataclass(frozen=True)
class Training:
    """What came of one training.

    Attributes:
        outcome: ``reached`` (the target), ``steps`` (all done), ``collapsed`` (stayed at chance) or
            ``diverged`` (a loss that is not finite).
        steps: batches done.
        accuracy: running accuracy at the end, a fraction, with dropout on.
        seconds: wall time.
        precision: ``bfloat16`` (mixed) or ``float32``.
        path: the path taken, ``propagate`` or ``plain``.
        recipe: the settings.
    """

    outcome: str
    steps: int
    accuracy: float
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

    Raises:
        ValueError: when the model has fewer outputs than the items have classes.
        PathError: under ``"propagate"``, where it is not possible: says why.
    """
    recipe = recipe or Recipe()
    if isinstance(placement, Placement):
        items = canvas.prepare(items)
    device = device_of(model)
    images, labels = items.images.to(device), items.labels.to(device)
    generator = torch.Generator().manual_seed(seed)
    sample = balanced(items.labels)
    chance_loss = recipe.chance * math.log(len(items.classes))
    if model not in viewers:
        model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    model.train()
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, fused=True)
    forward: Callable[..., Tensor] = partial(output, model)
    path, chunk = "plain", chunk_size(canvas.size, device)
    if isinstance(placement, Placement):
        forward = Propagator(model, placement.canvas, exact_path)
        first = placement.places(
            items.labels[: recipe.batch_size], torch.Generator().manual_seed(seed)
        )
        path = forward.choose(images[: recipe.batch_size], first)
        chunk = chunk_size(canvas.item, device) if path == "propagate" else chunk
    if trains_batch_norm(model):
        chunk = recipe.batch_size  # its statistics are of the whole batch
    recent: deque[tuple[float, float]] = deque(maxlen=recipe.window)
    outcome, held, stuck, step, accuracy = "steps", -1, 0, 0, math.nan
    began = time.perf_counter()
    with seeded(seed), bar(total=recipe.steps, desc=label or "fit", unit="step") as progress:
        for step in range(1, recipe.steps + 1):
            if step <= recipe.warmup:
                optimiser.param_groups[0]["lr"] = recipe.learning_rate * step / recipe.warmup
            index = sample(recipe.batch_size, generator)
            x, target = images[index.to(device)], items.labels[index]
            if isinstance(placement, Placement):
                inputs: tuple[Tensor, ...] = x, placement.places(target, generator)
            else:
                inputs = (placement.draw(x, target, generator),)
            y = labels[index.to(device)]
            loss = right = 0.0
            for *part, target in zip(*(each.split(chunk) for each in (*inputs, y)), strict=True):
                with autocast(device, recipe.precision):
                    logits = forward(*part)
                if logits.shape[1] < len(items.classes):
                    raise ValueError(
                        f"{items.name} has {len(items.classes)} classes, "
                        f"the model gives {logits.shape[1]} logits"
                    )
                share = cross_entropy(logits.float(), target, reduction="sum") / recipe.batch_size
                share.backward()
                loss += float(share.detach())
                right += float((logits.argmax(1) == target).sum())
            optimiser.step()
            optimiser.zero_grad(set_to_none=True)
            recent.append((loss, right / recipe.batch_size))
            if not math.isfinite(recent[-1][0]):
                outcome = "diverged"
                break
            running, accuracy = (sum(each) / len(recent) for each in zip(*recent, strict=True))
            full = len(recent) == recipe.window
            held = (
                held + 1
                if recipe.target_accuracy and full and accuracy >= recipe.target_accuracy
                else -1
            )
            stuck = stuck + 1 if running > chance_loss else 0
            if held >= recipe.hold:
                outcome = "reached"
                break
            if stuck >= recipe.patience:
                outcome = "collapsed"
                break
            if step % 10 == 0:
                speed = step * recipe.batch_size / (time.perf_counter() - began)
                progress.set_postfix_str(
                    f"loss {running:.3f}, accuracy {accuracy:.1%}, {speed:,.0f} images/s",
                    refresh=False,
                )
                progress.update(10)
    seconds = time.perf_counter() - began
    return Training(outcome, step, accuracy, seconds, recipe.precision, path, recipe)


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
