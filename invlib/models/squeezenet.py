"""SqueezeNet 1.1, torchvision's own class, with either head (Iandola et al. 2016)."""

import torch
from torch import nn

from invlib.devices import seeded
from invlib.models.initialisation import TORCHVISION, Initialisation, initialise


def squeezenet(
    classes: int,
    head: str = "pooled",
    seed: int = 0,
    size: int = 224,
    initialisation: Initialisation = TORCHVISION,
    padding: str = "zeros",
) -> nn.Module:
    """torchvision's SqueezeNet 1.1 with fresh weights.

    Args:
        classes: outputs.
        head: ``"pooled"`` is its own, a 1 x 1 convolution averaged over all positions;
            ``"flat"`` is one linear layer on the flattened map, which sees where a feature lies.
        seed: of the initialisation.
        size: side of the canvas in pixels; decides the width of the flat head.
        initialisation: how the weights are drawn.
        padding: ``"zeros"`` are its own; ``"circular"``: what is on the other side of the map, so
            that no convolution sees a border.

    Raises:
        ValueError: for an unknown head or padding.
    """
    import torchvision

    if head not in ("pooled", "flat"):
        raise ValueError(f"unknown head {head!r}; expected pooled or flat")
    if padding not in ("zeros", "circular"):
        raise ValueError(f"unknown padding {padding!r}; expected zeros or circular")
    with seeded(seed):
        model = torchvision.models.squeezenet1_1(num_classes=classes)
        # As in VGG: the same values and gradients on a quarter of the cells.
        model.features[1], model.features[2] = model.features[2], model.features[1]
        for layer in model.modules():
            if isinstance(layer, nn.Conv2d) and any(layer.padding):
                layer.padding_mode = padding  # type: ignore[assignment]
        if head == "flat":
            with torch.no_grad():
                cells = model.features(torch.zeros(1, 3, size, size)).flatten(1).shape[1]
            model.classifier = nn.Sequential(nn.Flatten(), nn.Dropout(), nn.Linear(cells, classes))
        initialise(model, initialisation)
    return model
