"""VGG by table, with torchvision's attribute names, so that torchvision's weights load as they are.

Reference: Simonyan & Zisserman 2014.
"""

from dataclasses import dataclass

from torch import Tensor, nn

from invlib.devices import seeded
from invlib.models.initialisation import TORCHVISION, Initialisation, initialise


@dataclass(frozen=True)
class VGGTable:
    """A row of the table of VGG networks.

    Attributes:
        layers: channels of the 3 x 3 convolutions in order, "M" for a 2 x 2 max pooling.
        map: side of the last feature map, in cells.
        hidden: width of the two hidden layers.
        channels: input channels.
    """

    layers: tuple[int | str, ...]
    map: int
    hidden: int
    channels: int


VGGS = {
    "smoke": VGGTable((8, "M", 16, "M"), map=4, hidden=64, channels=1),
    "bench": VGGTable(
        (16, "M", 32, "M", 64, 64, "M", 64, 64, "M"), map=4, hidden=512, channels=1
    ),
    "vgg16": VGGTable(
        (64, 64, "M", 128, 128, "M", 256, 256, 256, "M")
        + (512, 512, 512, "M", 512, 512, 512, "M"),
        map=7,
        hidden=4096,
        channels=3,
    ),
}  # fmt: skip


class VGG(nn.Module):
    """VGG without batch normalisation; attribute names as in torchvision.

    Not torchvision's class, whose hidden layers and last map have the size of VGG16's.

    Input float (n, channels, height, width), output logits (n, classes). Another canvas than the
    table's is averaged to its last map, as in torchvision.
    """

    def __init__(
        self,
        table: VGGTable,
        classes: int,
        channels: int | None = None,
        initialisation: Initialisation = TORCHVISION,
    ) -> None:
        super().__init__()
        features: list[nn.Module] = []
        width = table.channels if channels is None else channels
        for layer, following in zip(table.layers, (*table.layers[1:], None), strict=True):
            if not isinstance(layer, int):
                continue
            # ReLU after pooling gives the same values and gradients as before it, on a quarter
            # of the cells; the positions of the convolutions stay torchvision's.
            pooling = [nn.MaxPool2d(2)] if following == "M" else []
            features += [nn.Conv2d(width, layer, 3, padding=1), *pooling, nn.ReLU(inplace=True)]
            width = layer
        self.features = nn.Sequential(*features)
        self.avgpool = nn.AdaptiveAvgPool2d(table.map)
        self.classifier = nn.Sequential(
            nn.Linear(width * table.map**2, table.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(table.hidden, table.hidden),
            nn.ReLU(inplace=True),
            nn.Dropout(),
            nn.Linear(table.hidden, classes),
        )
        initialise(self, initialisation)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, classes)."""
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def vgg(
    name: str,
    classes: int,
    channels: int | None = None,
    seed: int = 0,
    initialisation: Initialisation = TORCHVISION,
) -> VGG:
    """A VGG of the table with fresh weights.

    Args:
        name: ``"bench"`` (64 x 64 canvas), ``"vgg16"`` (224 x 224) or ``"smoke"`` (16 x 16).
        classes: outputs.
        channels: input channels, the table's if not given.
        seed: of the initialisation; the global generator is left as it was.
        initialisation: how the weights are drawn.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in VGGS:
        raise ValueError(f"unknown VGG {name!r}; expected one of {', '.join(VGGS)}")
    with seeded(seed):
        return VGG(VGGS[name], classes, channels, initialisation)
