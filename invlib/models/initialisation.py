"""Fresh weights.

References: He et al. 2015 (Kaiming), torchvision's VGG (normal linear layers).
"""

from dataclasses import dataclass
from typing import Literal

from torch import nn


@dataclass(frozen=True)
class Initialisation:
    """Fresh weights: normal, with zero biases.

    The defaults are torchvision's for VGG. Small linear layers, as much as dropout, matter for
    what carries over to other places.

    Attributes:
        convolutions: mode of the Kaiming initialisation, ``"fan_in"`` or ``"fan_out"``.
        linear: standard deviation of linear layers; None: Kaiming as well.
    """

    convolutions: Literal["fan_in", "fan_out"] = "fan_out"
    linear: float | None = 0.01


TORCHVISION = Initialisation()
"""That of torchvision's VGG."""


def initialise(model: nn.Module, scheme: Initialisation = TORCHVISION) -> None:
    """Draw the weights of all convolutions and linear layers from torch's global generator.

    Raises:
        ValueError: for an unknown mode.
    """
    for layer in model.modules():
        if not isinstance(layer, nn.Conv2d | nn.Linear):
            continue
        if isinstance(layer, nn.Linear) and scheme.linear is not None:
            nn.init.normal_(layer.weight, std=scheme.linear)
        else:
            nn.init.kaiming_normal_(layer.weight, mode=scheme.convolutions, nonlinearity="relu")
        if layer.bias is not None:
            nn.init.zeros_(layer.bias)
