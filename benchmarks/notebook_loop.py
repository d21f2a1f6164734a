"""The loop the way a typical notebook writes it: PIL, torchvision, a DataLoader, float32.

Nothing is slowed down on purpose: items are in memory already, workers would not help one thread,
and the network is invlib's own, so that only the loops around it differ.
"""

import random
from collections.abc import Iterable, Sequence
from itertools import product

import numpy as np
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from invlib.data.items import ItemSet

Place = tuple[int, int]
Batch = tuple[Tensor, Tensor]


class Pasted(Dataset[tuple[Tensor, int]]):
    """Items on a black canvas, as normalised float32 tensors (channels, size, size).

    Args:
        items: The items, of any size.
        size: Side of the canvas in pixels.
        item: Side of the item on it in pixels.
        mean: Of each channel, in units of pixel / 255.
        std: Likewise.
        place: (row, column) of the item's top-left pixel; drawn anew for every sample if None.
    """

    def __init__(
        self,
        items: ItemSet,
        size: int,
        item: int,
        mean: Sequence[float],
        std: Sequence[float],
        place: Place | None = None,
    ) -> None:
        # What torchvision.datasets.MNIST and CIFAR10 keep: arrays, opened one by one.
        images = items.images.permute(0, 2, 3, 1).numpy()
        self.images = images[..., 0] if images.shape[-1] == 1 else images
        self.labels = items.labels.tolist()
        self.size, self.item, self.place = size, item, place
        transforms = torchvision.transforms
        self.transform = transforms.Compose(
            [transforms.ToTensor(), transforms.Normalize(mean, std)]
        )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        image = Image.fromarray(np.ascontiguousarray(self.images[index]))
        image = image.resize((self.item, self.item), Image.Resampling.BICUBIC)
        last = self.size - self.item
        row, column = self.place or (random.randint(0, last), random.randint(0, last))
        canvas = Image.new(image.mode, (self.size, self.size))
        canvas.paste(image, (column, row))
        return self.transform(canvas), self.labels[index]


class Shifted(Dataset[tuple[Tensor, int]]):
    """Items in the middle of a black frame and moved by every shift; what leaves it is lost.

    Args:
        items: The items, of the size they have on the frame.
        size: Side of the frame in pixels.
        shifts: From ``-shifts`` to ``shifts`` pixels, down and right positive.
    """

    def __init__(self, items: ItemSet, size: int, shifts: int) -> None:
        images = items.images.permute(0, 2, 3, 1).numpy()
        self.images = images[..., 0] if images.shape[-1] == 1 else images
        self.size, self.start = size, (size - images.shape[1]) // 2
        self.shifts = list(product(range(-shifts, shifts + 1), repeat=2))
        self.transform = torchvision.transforms.ToTensor()

    def __len__(self) -> int:
        return len(self.images) * len(self.shifts)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        which, shift = divmod(index, len(self.shifts))
        down, right = self.shifts[shift]
        image = Image.fromarray(np.ascontiguousarray(self.images[which]))
        frame = Image.new(image.mode, (self.size, self.size))
        frame.paste(image, (self.start + right, self.start + down))
        return self.transform(frame), which


Data = Pasted | Shifted


def loader(data: Data, batch: int, shuffle: bool = False) -> DataLoader[tuple[Tensor, int]]:
    """Batches of (canvases, labels)."""
    return DataLoader(data, batch_size=batch, shuffle=shuffle, num_workers=0)


def train(
    model: nn.Module,
    batches: Iterable[Batch],
    rate: float = 0.001,
    optimiser: torch.optim.Optimizer | None = None,
    training: bool = True,
) -> float:
    """One pass over the batches, in place; returns the accuracy, a fraction.

    Args:
        model: The network.
        batches: Of canvases and labels.
        rate: Adam's learning rate.
        optimiser: A new Adam if not given.
        training: False leaves a BatchNorm's statistics as they are.
    """
    optimiser = optimiser or torch.optim.Adam(model.parameters(), lr=rate)
    criterion = nn.CrossEntropyLoss()
    model.train(training)
    right = total = 0
    for x, y in batches:
        optimiser.zero_grad()
        logits = model(x)
        loss = criterion(logits, y)
        loss.backward()
        optimiser.step()
        right += int((logits.argmax(1) == y).sum().item())
        total += len(y)
    return right / total


def accuracy_map(
    model: nn.Module,
    items: ItemSet,
    size: int,
    item: int,
    mean: Sequence[float],
    std: Sequence[float],
    grid: Sequence[int],
    batch: int = 64,
) -> np.ndarray:
    """Accuracy with all items at one place, place by place: float64 (rows, columns)."""
    accuracy = np.zeros((len(grid), len(grid)))
    model.eval()
    with torch.no_grad():
        for i, row in enumerate(grid):
            for j, column in enumerate(grid):
                right = 0
                for x, y in loader(Pasted(items, size, item, mean, std, (row, column)), batch):
                    right += int((model(x).argmax(1) == y).sum().item())
                accuracy[i, j] = right / len(items)
    return accuracy


def shifted_outputs(
    model: nn.Module, items: ItemSet, size: int, shifts: int, batch: int = 64
) -> Tensor:
    """The outputs for each item at each shift: (items, shifts, features).

    The batches go on over items and shifts, as over many items, so that none is small.
    """
    model.eval()
    with torch.no_grad():
        outputs = [model(x) for x, _ in loader(Shifted(items, size, shifts), batch)]
    return torch.cat(outputs).unflatten(0, (len(items), -1))
