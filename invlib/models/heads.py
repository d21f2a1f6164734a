"""The last layer: its name, and a fresh one."""

from torch import nn

from invlib.devices import seeded
from invlib.models.initialisation import initialise


def head_name(model: nn.Module) -> str:
    """The name of the last layer with weights: the head that is replaced for new classes."""
    names = [n for n, m in model.named_modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    if not names:
        raise ValueError(f"{type(model).__name__} has no linear or convolution layer to replace")
    return names[-1]


def replace_head(model: nn.Module, classes: int, seed: int = 0) -> nn.Module:
    """Put a fresh last layer for ``classes`` classes in place, and return the same model."""
    name = head_name(model)
    old = model.get_submodule(name)
    with seeded(seed):
        if isinstance(old, nn.Linear):
            fresh: nn.Module = nn.Linear(old.in_features, classes)
        else:
            assert isinstance(old, nn.Conv2d)
            fresh = nn.Conv2d(old.in_channels, classes, old.kernel_size)  # type: ignore[arg-type]
        initialise(fresh)
    device = next(model.parameters()).device
    model.set_submodule(name, fresh.to(device))
    return model
