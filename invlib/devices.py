"""Where and how precisely a network computes, and in which state it is left."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch
from torch import nn


def chunk_size(size: tuple[int, int], device: torch.device) -> int:
    """Pictures computed at once: few enough for a processor's cache, enough to fill a GPU.

    Gradients add up over the chunks of a batch; on a processor this is faster, not only smaller.
    """
    pixels = 2**23 if device.type == "cuda" else 2**18
    return max(1, pixels // (size[0] * size[1]))


def device_of(model: nn.Module) -> torch.device:
    """The device of a model's first parameter; CPU for one without parameters.

    Raises:
        TypeError: for what is no model.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"expected a network (torch.nn.Module), found {type(model).__name__}")
    parameter = next(model.parameters(), None)
    return torch.device("cpu") if parameter is None else parameter.device


def dtype_of(model: nn.Module) -> torch.dtype:
    """The type of a model's first floating-point parameter; float32 for one without any."""
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)


def has_bf16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 in hardware."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    supported = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
    return device.type == "cpu" and bool(supported())


def mixed(precision: str) -> bool:
    """Whether a precision mixes bfloat16 with float32.

    Raises:
        ValueError: for a precision that is neither ``"float32"`` nor ``"bfloat16"``.
    """
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"precision must be float32 or bfloat16, not {precision!r}")
    return precision == "bfloat16"


def autocast(device: torch.device, precision: str) -> AbstractContextManager[Any]:
    """Mixed precision inside the block for ``"bfloat16"``, nothing for ``"float32"``."""
    return torch.autocast(device.type, torch.bfloat16) if mixed(precision) else nullcontext()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode inside the block; after it every part has its own mode."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, training in modes.items():
            module.training = training


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed torch's global generator inside the block, and leave it as it was after."""
    devices = [torch.cuda.current_device()] if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield
