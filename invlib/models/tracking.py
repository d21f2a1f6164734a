"""The networks of Myburgh, Mouton & Davel 2020, by table."""

from collections import OrderedDict
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from invlib.devices import seeded
from invlib.models.initialisation import Initialisation, initialise


@dataclass(frozen=True)
class TrackingTable:
    """A row of the table of Myburgh et al.'s networks.

    Attributes:
        channels: input channels, then those of the three convolutions.
        side: of the input in pixels: the image and a black border of 6 pixels.
        kernel: side of the kernels.
        padded: whether the convolutions keep the map's size.
        sides: of the maps behind the three poolings.
    """

    channels: tuple[int, int, int, int]
    side: int
    kernel: int
    padded: bool
    sides: tuple[int, int, int]


TRACKING = {
    # Tables 1 and 2; with k = 4 the sizes printed need 1 cell of padding before and 2 behind.
    "mnist_k5": TrackingTable((1, 10, 20, 30), 40, 5, True, (20, 10, 5)),
    "mnist_k4": TrackingTable((1, 10, 20, 30), 40, 4, True, (20, 10, 5)),
    "mnist_k3": TrackingTable((1, 10, 20, 30), 40, 3, True, (20, 10, 5)),
    "cifar10_k5": TrackingTable((3, 50, 100, 150), 44, 5, True, (22, 11, 5)),
    "cifar10_k4": TrackingTable((3, 50, 100, 150), 44, 4, True, (22, 11, 5)),
    "cifar10_k3": TrackingTable((3, 50, 100, 150), 44, 3, True, (22, 11, 5)),
    # Tables 3 and 4.
    "mnist_k5_unpadded": TrackingTable((1, 10, 20, 30), 40, 5, False, (18, 7, 1)),
    "mnist_k4_unpadded": TrackingTable((1, 16, 31, 47), 40, 4, False, (18, 7, 2)),
    "mnist_k3_unpadded": TrackingTable((1, 28, 56, 83), 40, 3, False, (19, 8, 3)),
    "cifar10_k5_unpadded": TrackingTable((3, 50, 100, 150), 44, 5, False, (20, 8, 2)),
    "cifar10_k4_unpadded": TrackingTable((3, 78, 156, 234), 44, 4, False, (20, 8, 2)),
    "cifar10_k3_unpadded": TrackingTable((3, 139, 278, 416), 44, 3, False, (21, 9, 3)),
}
"""Myburgh, Mouton & Davel 2020, tables 1 to 4."""


def tracking(name: str, classes: int = 10, seed: int = 0) -> nn.Sequential:
    """A network of Myburgh et al.: three convolutions with pooling, 500 hidden nodes, the classes.

    Its parts are ``features`` (maps behind the last pooling) and ``classifier``.

    Args:
        name: a row of ``TRACKING``.
        classes: outputs.
        seed: of the (Kaiming) initialisation.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in TRACKING:
        raise ValueError(f"unknown network {name!r}; expected one of {', '.join(TRACKING)}")
    table = TRACKING[name]
    before, behind = (table.kernel - 1) // 2, table.kernel // 2
    features: list[nn.Module] = []
    with seeded(seed):
        for width, channels in pairwise(table.channels):
            # padding="same" would do both, but warns where the two sides differ.
            pads = table.padded and before != behind
            padding = before if table.padded and not pads else 0
            features += [nn.ZeroPad2d((before, behind, before, behind))] * pads
            features += [nn.Conv2d(width, channels, table.kernel, padding=padding)]
            features += [nn.MaxPool2d(2), nn.ReLU(inplace=True)]
        cells = table.channels[-1] * table.sides[-1] ** 2
        classifier = [nn.Flatten(), nn.Linear(cells, 500), nn.ReLU(inplace=True)]
        model = nn.Sequential(
            OrderedDict(
                features=nn.Sequential(*features),
                classifier=nn.Sequential(*classifier, nn.Linear(500, classes)),
            )
        )
        initialise(model, Initialisation("fan_in", linear=None))
    return model
