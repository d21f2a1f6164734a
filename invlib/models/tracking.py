"""The networks of Myburgh, Mouton & Davel 2020, by table."""

from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from invlib.devices import seeded
from invlib.models.initialisation import Initialisation, initialise

Sides = tuple[int, int]
_UNPADDED = ((0, 0),) * 3


@dataclass(frozen=True)
class TrackingTable:
    """A row of the table of Myburgh et al.'s networks.

    Attributes:
        channels: input channels, then those of the three stages.
        side: of the input in pixels: the image and a black border of 6 pixels.
        kernel: side of the kernels.
        padding: of each stage's convolutions, in cells (before, behind) on both axes.
        sides: of the maps behind the three poolings.
        hidden: nodes of the hidden layer.
        convolutions: in each stage, with a ReLU behind each.
    """

    channels: tuple[int, int, int, int]
    side: int
    kernel: int
    padding: tuple[Sides, ...]
    sides: tuple[int, int, int]
    hidden: int = 500
    convolutions: int = 1

    @property
    def receptive_field(self) -> int:
        """Side in pixels of what a cell behind the last pooling sees."""
        side, step = 1, 1
        for _ in self.sides:
            side += step * (self.convolutions * (self.kernel - 1) + 1)
            step *= 2
        return side

    @property
    def weights_behind(self) -> int:
        """From the last maps to the hidden nodes, without biases."""
        return self.channels[-1] * self.sides[-1] ** 2 * self.hidden


def _same(kernel: int) -> tuple[Sides, ...]:
    """Padding with which a map keeps its size."""
    return (((kernel - 1) // 2, kernel // 2),) * 3


TRACKING = {
    # Tables 1 and 2; with k = 4 the sizes printed need 1 cell of padding before and 2 behind.
    "mnist_k5": TrackingTable((1, 10, 20, 30), 40, 5, _same(5), (20, 10, 5)),
    "mnist_k4": TrackingTable((1, 10, 20, 30), 40, 4, _same(4), (20, 10, 5)),
    "mnist_k3": TrackingTable((1, 10, 20, 30), 40, 3, _same(3), (20, 10, 5)),
    "cifar10_k5": TrackingTable((3, 50, 100, 150), 44, 5, _same(5), (22, 11, 5)),
    "cifar10_k4": TrackingTable((3, 50, 100, 150), 44, 4, _same(4), (22, 11, 5)),
    "cifar10_k3": TrackingTable((3, 50, 100, 150), 44, 3, _same(3), (22, 11, 5)),
    # Tables 3 and 4.
    "mnist_k5_unpadded": TrackingTable((1, 10, 20, 30), 40, 5, _UNPADDED, (18, 7, 1)),
    "mnist_k4_unpadded": TrackingTable((1, 16, 31, 47), 40, 4, _UNPADDED, (18, 7, 2)),
    "mnist_k3_unpadded": TrackingTable((1, 28, 56, 83), 40, 3, _UNPADDED, (19, 8, 3)),
    "cifar10_k5_unpadded": TrackingTable((3, 50, 100, 150), 44, 5, _UNPADDED, (20, 8, 2)),
    "cifar10_k4_unpadded": TrackingTable((3, 78, 156, 234), 44, 4, _UNPADDED, (20, 8, 2)),
    "cifar10_k3_unpadded": TrackingTable((3, 139, 278, 416), 44, 3, _UNPADDED, (21, 9, 3)),
}
"""Myburgh, Mouton & Davel 2020, tables 1 to 4."""


def tracking(network: str | TrackingTable, classes: int = 10, seed: int = 0) -> nn.Sequential:
    """A network of Myburgh et al.: three stages with pooling, the hidden nodes, the classes.

    Its parts are ``features`` (maps behind the last pooling) and ``classifier`` (logits).

    Args:
        network: a row of ``TRACKING`` by name, or one of your own.
        classes: outputs.
        seed: of the (Kaiming) initialisation.

    Raises:
        ValueError: for an unknown name.
    """
    if isinstance(network, str):
        if network not in TRACKING:
            raise ValueError(f"unknown network {network!r}; expected one of {', '.join(TRACKING)}")
        network = TRACKING[network]
    table = network
    features: list[nn.Module] = []
    with seeded(seed):
        for (width, channels), (before, behind) in zip(
            pairwise(table.channels), table.padding, strict=True
        ):
            for i in range(table.convolutions):
                # padding="same" would do both, but warns where the two sides differ.
                pads = before != behind
                features += [nn.ZeroPad2d((before, behind, before, behind))] * pads
                features += [
                    nn.Conv2d(
                        channels if i else width, channels, table.kernel,
                        padding=0 if pads else before,
                    ),
                    nn.ReLU(inplace=True),
                ]  # fmt: skip
            features += [nn.MaxPool2d(2)]
        cells = table.channels[-1] * table.sides[-1] ** 2
        classifier = [nn.Flatten(), nn.Linear(cells, table.hidden), nn.ReLU(inplace=True)]
        model = nn.Sequential(
            OrderedDict(
                features=nn.Sequential(*features),
                classifier=nn.Sequential(*classifier, nn.Linear(table.hidden, classes)),
            )
        )
        initialise(model, Initialisation("fan_in", linear=None))
    return model
