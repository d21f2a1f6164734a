"""A network on trial: what it computes, draws and changes, and what it costs."""

import random
from collections.abc import Callable, Iterator
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
    """Inside, a map that is flattened with ``view`` is stored row by row first.

    Maps are channels last here, and ``view`` wants channels first. The map itself is stored anew,
    not a copy of it, so that it goes on sharing its memory with the view.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        try:
            return func(*args, **(kwargs or {}))
        except RuntimeError:
            if func not in (Tensor.view, Tensor.view_as) or args[0].is_contiguous():
                raise
        if isinstance(args[0], nn.Parameter):
            args = (args[0].contiguous(), *args[1:])
        else:
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


class Draws(TorchFunctionMode):
    """Whether anything but dropout draws from torch's generators inside.

    Attributes:
        drawn: it does, known after the block.
    """

    drawn = False

    def __enter__(self) -> "Draws":
        self._expected = _torch_dice()
        super().__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        super().__exit__(*error)
        self.drawn |= _torch_dice() != self._expected

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func not in _DROPOUT:
            return func(*args, **(kwargs or {}))
        self.drawn |= _torch_dice() != self._expected
        out = func(*args, **(kwargs or {}))
        self._expected = _torch_dice()
        return out


def _torch_dice() -> list[bytes]:
    states = [torch.get_rng_state()]
    if torch.cuda.is_initialized():
        states.append(torch.cuda.get_rng_state())
    return [state.numpy().tobytes() for state in states]


def _dice(holders: list[dict[str, Any]]) -> list[tuple[Callable[[Any], Any], Any]]:
    """What sets the generators of Python and numpy, those of a network's own too; their states."""
    own = [value for each in holders for value in each.values()]
    bits = [g.bit_generator for g in own if isinstance(g, np.random.Generator)]
    return [
        (random.setstate, random.getstate()),
        (np.random.set_state, np.random.get_state(legacy=False)),  # noqa: NPY002
        *((g.setstate, g.getstate()) for g in own if isinstance(g, random.Random)),
        *((partial(setattr, each, "state"), each.state) for each in bits),
    ]


def _moved(before: Any, after: Any) -> bool:
    if isinstance(before, tuple):
        return bool(before != after)
    return not all(map(np.array_equal, tree_leaves(before), tree_leaves(after)))


@contextmanager
def untouched(model: nn.Module) -> Iterator[list[str]]:
    """After the block, a network's state and the random generators are what they were before it.

    Parameters that the block changes in their place are not put back.

    Yields:
        A list that says, after the block, what it had done to them.
    """
    done: list[str] = []
    holders = [vars(m) for m in model.modules()]
    parts: list[tuple[str, Any]] = [("", each) for each in holders]
    parts += [(k, v) for each in holders for k, v in each.items() if isinstance(v, dict | list)]
    kept = [(name, part, copy(part)) for name, part in parts]
    buffers = [(b, b.clone()) for b in model.buffers()]
    parameters = [(p, p.detach(), _mark(p)) for p in model.parameters()]
    dice = _dice(holders)
    try:
        with seeded(1):  # Not the seed of ``counted``, which would hide what was drawn.
            before = _torch_dice()
            yield done
            moved = [
                _moved(old, new) for (_, old), (_, new) in zip(dice, _dice(holders), strict=False)
            ]
            if any(moved) or _torch_dice() != before:
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
    """What a call returns, always with the same random numbers, and its multiply-adds."""
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = _NoModules()  # type: ignore[assignment]
    with seeded(0), counter:
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
    largest = x[x.isfinite()].abs().max() if x.isfinite().any() else 0.0
    near = torch.finfo(x.dtype).eps ** 0.5 * float(largest)
    return torch.allclose(x, y, rtol=0.0, atol=near, equal_nan=True)


def gradients(model: nn.Module, out: Any) -> list[Tensor]:
    """The gradients of a drawn combination of a network's outputs, by its trained parameters."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    with seeded(0):
        terms = [
            (y * torch.randn_like(y)).sum().abs()
            for y in tree_leaves(out)
            if isinstance(y, Tensor) and y.requires_grad
        ]
    if not terms or not parameters:
        return []
    found = torch.autograd.grad(
        sum(terms, torch.zeros(())), parameters, materialize_grads=True, allow_unused=True
    )
    return list(found)


def agree_roughly(a: list[Tensor], b: list[Tensor]) -> bool:
    """Whether gradients are the same to a quarter of their digits, in the mean.

    A ReLU or a pooling whose winner is decided by rounding sends them elsewhere, and some are
    nothing but rounding.
    """
    if not a:
        return not b
    eps = max(torch.finfo(x.dtype).eps for x in a)
    sizes = [float(x.norm()) for x in a]
    floor = eps**0.5 * max(sizes)
    return len(a) == len(b) and all(
        float((x - y).norm()) <= eps**0.25 * size + floor
        for x, y, size in zip(a, b, sizes, strict=True)
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
