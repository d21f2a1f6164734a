"""A network on trial: what it computes, draws and changes, and what it costs."""

import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from copy import copy
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules import module as all_modules
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.instancenorm import _InstanceNorm
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from invlib.devices import seeded


class Rows(TorchFunctionMode):
    """Inside, a map that ``view`` flattens is stored channels first before, as ``view`` wants it.

    It is stored anew itself, not a copy of it, so that it shares its memory with the view.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        try:
            return func(*args, **(kwargs or {}))
        except RuntimeError:
            if func not in (Tensor.view, Tensor.view_as) or args[0].is_contiguous():
                raise
        args[0].data = args[0].detach().contiguous()
        return func(*args, **(kwargs or {}))


def layout(model: nn.Module) -> torch.memory_format:
    """Channels last, which is faster; not for compiled code, in which ``Rows`` sees no ``view``."""
    compiled = any(
        isinstance(m, torch.jit.ScriptModule) or m._compiled_call_impl or "_orig_mod" in m._modules
        for m in model.modules()
    )
    return torch.contiguous_format if compiled else torch.channels_last


def output(model: nn.Module, x: Tensor) -> Any:
    """A network's output for an input that is channels last."""
    if layout(model) is torch.contiguous_format:
        return model(x.clone(memory_format=torch.contiguous_format))
    with Rows():
        return model(x)


_DROPOUT = (
    F.dropout, F.dropout1d, F.dropout2d, F.dropout3d, F.alpha_dropout, F.feature_alpha_dropout,
    torch.dropout,
)  # fmt: skip


class SameDropout(TorchFunctionMode):
    """Inside, dropout always draws the same, and leaves the generators as they are."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with seeded(0) if func in _DROPOUT else nullcontext():
            return func(*args, **(kwargs or {}))


def _torch_dice() -> list[bytes]:
    kinds = [torch, torch.cuda] if torch.cuda.is_initialized() else [torch]
    return [kind.get_rng_state().numpy().tobytes() for kind in kinds]


def _dice(own: list[Any]) -> list[tuple[Callable[[Any], Any], Any]]:
    """What sets the generators of Python and numpy, the global ones and others; their states."""
    bits = [g.bit_generator for g in own if isinstance(g, np.random.Generator)]
    return [
        (random.setstate, random.getstate()),
        (np.random.set_state, np.random.get_state(legacy=False)),  # noqa: NPY002
        *((g.setstate, g.getstate()) for g in own if isinstance(g, random.Random)),
        *((partial(setattr, each, "state"), each.state) for each in bits),
    ]


@contextmanager
def untouched(model: nn.Module) -> Iterator[list[str]]:
    """After the block, a network's state and the random generators are what they were before it.

    Parameters that the block changes in their place are not put back.

    Yields:
        A list that says, after the block, what it had done to them.
    """
    done: list[str] = []
    values = [(k, v) for m in model.modules() for k, v in vars(m).items()]
    parts: list[tuple[str, Any]] = [("", vars(m)) for m in model.modules()]
    parts += [(k, v) for k, v in values if isinstance(v, dict | list)]
    kept = [(name, part, copy(part)) for name, part in parts]
    buffers = [(b, b.clone()) for b in model.buffers()]
    parameters = [(p, p.detach(), _mark(p)) for p in model.parameters()]
    own = [v for _, v in values]
    dice = _dice(own)
    try:
        with seeded(0):
            before = _torch_dice()
            yield done
            # A state holds its position, so that it shows in print.
            if _torch_dice() != before or repr(_dice(own)) != repr(dice):
                done.append("draws random numbers")
    finally:
        for put_back, state in dice:
            put_back(state)
        for name, part, old in kept:
            changed = _changed(part, old)
            if changed:
                done += [f"changes its {name or key}" for key in changed]
                part.clear()
                part.extend(old) if isinstance(part, list) else part.update(old)
        with torch.no_grad():
            for buffer, value in buffers:
                if not torch.equal(buffer, value):
                    done.append("changes a buffer")
                    buffer.copy_(value)
        for parameter, data, mark in parameters:
            if _mark(parameter) != mark:
                done.append("changes its weights")
                parameter.data = data


def _mark(x: Tensor) -> tuple[int, int]:
    """Another one when a tensor was changed in its place, or was given other memory."""
    return x.data_ptr(), 0 if x.is_inference() else x._version


def _changed(part: Any, old: Any) -> list[Any]:
    """The keys whose values are others; a number may be another object of the same value."""
    now, was = (dict(enumerate(x)) if isinstance(x, list) else x for x in (part, old))
    return [
        key
        for key in {**was, **now}
        if (a := now.get(key, was)) is not (b := was.get(key, now))
        and not (isinstance(a, int | float | str) and type(a) is type(b) and a == b)
    ]


class _NoModules(nullcontext[None]):
    """For a counter that does not ask for the module: its hooks stop some networks."""

    parents = frozenset({"Global"})


def counted(call: Callable[[], Any]) -> tuple[Any, int]:
    """What a call returns, and its multiply-adds."""
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _NoModules()  # type: ignore[assignment]
    with counter:
        out = call()
    return out, counter.get_total_flops() // 2


def agree(a: Any, b: Any) -> bool:
    """Whether two outputs are the same: floats to half their digits, all else exactly."""
    (xs, form), (ys, other) = tree_flatten(a), tree_flatten(b)
    with torch.no_grad():
        return form == other and all(map(_agree, xs, ys))


def _agree(x: Any, y: Any) -> bool:
    if not (isinstance(x, Tensor) and isinstance(y, Tensor)):
        return type(x) is type(y) and bool(np.all(x == y))
    if x.shape != y.shape or x.dtype != y.dtype:
        return False
    if not (x.is_floating_point() or x.is_complex()):
        return torch.equal(x, y)
    largest = float(x[x.isfinite()].abs().max()) if x.isfinite().any() else 0.0
    near = torch.finfo(x.dtype).eps ** 0.5 * largest
    return torch.allclose(x, y, rtol=0.0, atol=near, equal_nan=True)


def same_gradients(model: nn.Module, a: Any, b: Any) -> bool:
    """Whether two outputs give the same gradients, to a quarter of their digits in the mean.

    A ReLU or a pooling whose winner is decided by rounding sends them elsewhere, and where they
    would be zero they are nothing but rounding.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]

    def gradients(out: Any) -> Sequence[Tensor]:
        parts = [y for y in tree_leaves(out) if isinstance(y, Tensor) and y.requires_grad]
        with seeded(0):
            weights = [torch.randn_like(y) for y in parts]
        wanted = parameters if parts else []
        return wanted and torch.autograd.grad(parts, wanted, weights, materialize_grads=True)

    xs, ys = gradients(a), gradients(b)
    largest = max((float(x.norm()) for x in xs), default=0.0)
    return len(xs) == len(ys) and all(
        float((x - y).norm()) <= eps**0.25 * float(x.norm()) + eps**0.5 * largest
        for x, y, eps in zip(xs, ys, (torch.finfo(x.dtype).eps for x in xs), strict=True)
    )


def hooked(model: nn.Module) -> bool:
    """Whether anybody wants to see what goes through a part of the network, or back."""
    kinds = "forward_hooks", "forward_pre_hooks", "backward_hooks", "backward_pre_hooks"
    return any(getattr(all_modules, f"_global_{kind}") for kind in kinds) or any(
        getattr(m, f"_{kind}") for m in model.modules() for kind in kinds
    )


def trains_batch_norm(model: nn.Module) -> bool:
    """Whether a normalisation takes its statistics from the batch, or keeps statistics of it."""
    return any(
        of_the_batch(m)
        if isinstance(m, _BatchNorm)
        else isinstance(m, _InstanceNorm) and m.training and m.track_running_stats
        for m in model.modules()
    )


def of_the_batch(m: _BatchNorm) -> bool:
    """Whether a BatchNorm takes its statistics from the batch."""
    return m.training or m.running_mean is None
