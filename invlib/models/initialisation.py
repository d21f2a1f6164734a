"""Fresh weights."""

from torch import nn


def initialise(module: nn.Module) -> None:
    """torchvision's VGG initialisation of one layer: Kaiming normal fan-out, N(0, 0.01), zero bias.

    Both the small linear layers and the dropout matter for what carries over to other places.
    """
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    elif isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, 0, 0.01)
    else:
        return
    if module.bias is not None:
        nn.init.zeros_(module.bias)
