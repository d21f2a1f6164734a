"""The last layer: its name, a fresh one, and what it is given."""

import torch
from torch import Tensor, nn

from invlib.devices import evaluating, seeded
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


def penultimate(model: nn.Module, x: Tensor) -> Tensor:
    """What the last layer is given, flattened: (n, features), after the ReLU, evaluation mode.

    The layer of the paper's cosine similarities (sec. 2.4).
    """
    # A hook: torchvision's feature extractor gives outputs of nodes, of networks fx can trace.
    seen: list[Tensor] = []
    head = model.get_submodule(head_name(model))
    hook = head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0]))
    try:
        with torch.inference_mode(), evaluating(model):
            model(x)
    finally:
        hook.remove()
    return seen[0].flatten(1)
