"""Training by epochs, chosen on validation accuracy, as Myburgh et al. 2020 train (sec. 3.3)."""

import math
import time
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import nn

from invlib.data.canvas import Placement
from invlib.data.items import ItemSet
from invlib.devices import chunk_size, device_of, evaluating
from invlib.progress import bar
from invlib.runs.checks import Fraction
from invlib.training import step


@dataclass(frozen=True)
class Epochs:
    """The settings of one training with Adam.

    Attributes:
        learning_rate: the first; it falls to 0 over all epochs, as half a cosine wave.
        epochs: so many; 0 leaves the network as it is.
        batch_size: samples in a batch; what is left of an epoch is not used.
        least: the network is chosen among the checks with this accuracy on as many of the training
            items as there are validation items, and on all.
        checks: in an epoch, evenly spread, of the accuracy on the validation items.
        target: it ends at the first check of this validation accuracy, and that network is chosen;
            None: the network of the best check is.
    """

    learning_rate: float
    epochs: int = 15
    batch_size: int = 128
    least: float = 0.99
    checks: int = 1
    target: float | None = None


@dataclass(frozen=True)
class Trained:
    """What came of one training.

    Attributes:
        outcome: ``epochs`` (all done), ``reached`` (the target), ``diverged`` (a loss that is not
            finite) or ``untrained``.
        epochs: done.
        chosen: after how many epochs the network was chosen.
        train: accuracy of the chosen network on the training items, a fraction.
        validation: on the validation items.
        test: on the test items.
        seconds: wall time of the training.
    """

    outcome: str
    epochs: float
    chosen: float
    train: Fraction
    validation: Fraction
    test: Fraction
    seconds: float


@dataclass(frozen=True)
class Split:
    """What is trained on, what the network is chosen by, and what is measured on."""

    train: ItemSet
    validation: ItemSet
    test: ItemSet


def fit_epochs(
    model: nn.Module,
    placement: Placement,
    still: Placement,
    split: Split,
    recipe: Epochs,
    seed: int,
) -> Trained:
    """Train a network in place and leave it as it was at the chosen check.

    Args:
        model: from canvases to logits.
        placement: where the training items lie.
        still: where the items lie that accuracies are measured on.
        split: the items.
        recipe: the settings.
        seed: of the order of the samples and of their places.
    """
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    items, device = split.train, device_of(model)
    images, labels = items.images.to(device), items.labels.to(device)
    generator = torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=recipe.learning_rate, fused=True)
    steps = len(items) // recipe.batch_size
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, max(1, recipe.epochs * steps))
    # These networks are wide for their pictures; fewer stay in a processor's cache.
    chunk = max(1, chunk_size(placement.canvas.size, device) // 4)
    first = items.take(torch.arange(len(split.validation)))
    checks = {round(steps * (i + 1) / recipe.checks) for i in range(recipe.checks)}
    best, state = (False, -1.0, 0.0), deepcopy(model.state_dict())
    outcome, epoch, done = "", 0, 0.0
    began = time.perf_counter()
    with bar(total=recipe.epochs * steps, desc=f"fit {items.name}", unit="step") as progress:
        while not outcome and epoch < recipe.epochs:
            order = torch.randperm(len(items), generator=generator)
            for count, index in enumerate(order.split(recipe.batch_size)[:steps], 1):
                model.train()
                x = placement.draw(images[index.to(device)], items.labels[index], generator)
                batch = x, labels[index.to(device)]
                loss, _ = step(model, optimiser, items, batch, chunk, "float32")
                schedule.step()
                done = epoch + count / steps
                progress.update()
                if count not in checks:
                    continue
                if not math.isfinite(loss):
                    outcome = "diverged"
                    break
                known = accuracy(model, still, split.validation)
                # All training items take longest, so they are asked last.
                fitted = (True, known) > best[:2] and all(
                    accuracy(model, still, each) >= recipe.least for each in (first, items)
                )
                reached = recipe.target is not None and known >= recipe.target
                if reached or (fitted, known) > best[:2]:
                    best = (fitted, known, done)
                    state = deepcopy(model.state_dict())
                if reached:
                    outcome = "reached"
                    break
            epoch += 1
    seconds = time.perf_counter() - began
    model.load_state_dict(state)
    return Trained(
        outcome=outcome or ("epochs" if recipe.epochs else "untrained"),
        epochs=done,
        chosen=best[2],
        train=accuracy(model, still, split.train),
        validation=accuracy(model, still, split.validation),
        test=accuracy(model, still, split.test),
        seconds=seconds,
    )


def accuracy(model: nn.Module, still: Placement, items: ItemSet) -> float:
    """How often the largest output is that of the label, a fraction."""
    device, right = device_of(model), 0
    with torch.inference_mode(), evaluating(model):
        for index in torch.arange(len(items)).split(200):
            x = still.draw(items.images[index].to(device), items.labels[index], None)
            right += int((model(x).argmax(1).cpu() == items.labels[index]).sum())
    return right / len(items)
