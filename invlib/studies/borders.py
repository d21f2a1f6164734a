"""Kayhan & van Gemert 2020, sec. 4.2 (Red-Green): is the place used where the content would do?

The network has four convolutions and takes the largest value of each channel: it has no way to say
where it saw what, but for its borders.
"""

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from invlib.data.items import ItemSet
from invlib.data.red_green import red_green
from invlib.devices import device_of, evaluating
from invlib.models import small
from invlib.progress import bar
from invlib.runs import Look, Profile, Study
from invlib.runs.checks import Count, Fraction
from invlib.training import step

SPLITS = ("apart", "published")
"""Who chooses the network: pictures of their own, or the first 1,000 it is trained on, which are
the validation and test set of the published generator, since it starts from one seed each time."""
SETS = ("similar", "dissimilar")
"""Rows as in training, or those of the other class."""


@dataclass(frozen=True)
class Settings:
    """All that decides the numbers of a run.

    Attributes:
        padding: of the four convolutions, see ``models.small``.
        train: pictures to train on.
        held: pictures each to choose by and to test on.
        epochs: over the same pictures in the same order.
        batch_size: of a step.
        learning_rate: of Adadelta.
        rho: likewise.
        eps: likewise.
        weight_decay: likewise.
    """

    padding: str
    train: int = 2000
    held: int = 1000
    epochs: int = 50
    batch_size: int = 200
    learning_rate: float = 1.0
    rho: float = 0.9
    eps: float = 1e-6
    weight_decay: float = 5e-5


@dataclass(frozen=True)
class Measurement:
    """The accuracy of a network on one set.

    Attributes:
        split: of ``SPLITS``.
        set: of ``SETS``.
        accuracy: on it, a fraction.
        chosen: after how many epochs the network was chosen, by the loss on the validation set.
    """

    split: str
    set: str
    accuracy: Fraction
    chosen: Count


def compute(settings: Settings, seed: int) -> list[Measurement]:
    """One training; of its networks the best by either validation set, on their test sets."""
    # Seeds of different runs and sets are apart.
    first, held = 10 * seed, settings.held
    known = red_green(settings.train, first)
    published = {
        name: red_green(settings.train, first, name == "dissimilar").take(torch.arange(held))
        for name in SETS
    }
    chooses = {"apart": red_green(held, first + 1), "published": published["similar"]}
    tests = {
        "apart": {name: red_green(held, first + 2, swapped=name == "dissimilar") for name in SETS},
        "published": published,
    }
    model = small(padding=settings.padding, classes=2, seed=seed)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    found = _trained(model, known, chooses, settings)
    rows = []
    for split, (epoch, state) in found.items():
        model.load_state_dict(state)
        rows += [
            Measurement(split, name, _judged(model, tests[split][name])[1], epoch) for name in SETS
        ]
    return rows


def _trained(
    model: nn.Module, known: ItemSet, chooses: dict[str, ItemSet], settings: Settings
) -> dict[str, tuple[int, dict[str, Tensor]]]:
    """For each validation set the epoch whose network has the least loss on it, and its weights."""
    model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    optimiser = torch.optim.Adadelta(
        model.parameters(), settings.learning_rate, settings.rho, settings.eps,
        settings.weight_decay,
    )  # fmt: skip
    images, labels = _seen(model, known), known.labels.to(device_of(model))
    best = dict.fromkeys(chooses, float("inf"))
    found: dict[str, tuple[int, dict[str, Tensor]]] = {}
    with bar(total=settings.epochs, desc=f"fit {settings.padding}", unit="epoch") as progress:
        for epoch in range(1, settings.epochs + 1):
            model.train()
            for batch in zip(
                images.split(settings.batch_size), labels.split(settings.batch_size), strict=True
            ):
                step(model, optimiser, known, batch, _CHUNK, "float32")
            for name, items in chooses.items():
                loss, _ = _judged(model, items)
                if loss < best[name]:
                    best[name], found[name] = loss, (epoch, deepcopy(model.state_dict()))
            progress.update()
    return found


def _judged(model: nn.Module, items: ItemSet) -> tuple[float, float]:
    """Mean loss and accuracy."""
    with torch.inference_mode(), evaluating(model):
        logits = torch.cat([model(some) for some in _seen(model, items).split(_CHUNK)]).cpu()
    right = (logits.argmax(1) == items.labels).double().mean()
    return float(cross_entropy(logits, items.labels)), float(right)


_CHUNK = 50
"""Pictures computed at once: the maps of more leave a processor's cache."""


def _seen(model: nn.Module, items: ItemSet) -> Tensor:
    """Pictures as the network takes them, 0 to 1."""
    images = items.images.to(device_of(model), memory_format=torch.channels_last)
    return images.float() / 255


def check(settings: Settings, rows: Sequence[Measurement]) -> None:
    """Whether a file has an accuracy of each split and set.

    Raises:
        ValueError: naming what was expected and found.
    """
    expected = [(split, name) for split in SPLITS for name in SETS]
    found = [(row.split, row.set) for row in rows]
    if found != expected:
        raise ValueError(f"expected accuracies of {expected}, found {found}")
    if any(not 1 <= row.chosen <= settings.epochs for row in rows):
        raise ValueError(f"expected networks of epochs 1 to {settings.epochs}")


LOOKS = {
    "valid": Look("valid", 0),
    "same": Look("same (zeros)", 1),
    "full": Look("full", 2),
    "circular": Look("circular", 3),
}

STUDY = Study(
    "borders",
    "Kayhan & van Gemert 2020, sec. 4.2",
    {
        "smoke": Profile(
            {name: Settings(name, train=40, held=20, epochs=2, batch_size=20) for name in LOOKS}
        ),
        "bench": Profile({name: Settings(name) for name in LOOKS}, seeds=10),
    },
    Measurement,
    compute,
    LOOKS,
    check=check,
)
