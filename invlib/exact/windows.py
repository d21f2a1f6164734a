"""Feature maps of items on a canvas: only what an item can change is computed.

Every feature map equals the map of the empty canvas, the *background*, except in a small window
around the item. Only the window is computed; the background is computed once for a whole batch. It
is the same function of the weights, with the same gradients; only the order of rounding differs.

Geometry, one axis. A layer with kernel k, stride s and p cells of padding before maps the cells
[a, b) that the item reaches to

    first = ceil((a + p - k + 1) / s)        past = floor((b - 1 + p) / s) + 1,

cut to the map. The window holds these cells and may be larger: it has one length for all places
(the largest), and in front of a pooling with k = s it starts and ends at multiples of s, so that
the pooling needs no other cells. Its input is the patch of (length - 1) s + k cells from
start s - p: cells of the previous window, around them cells of the background, beyond the map
padding. The layer runs on the patch without padding, and on the background as it is.

Background. On a constant colour it is constant but for some rows at each edge, so only the edges
and one band of constant rows are stored and computed. It stays in the graph: parameters get their
gradient through the window and through the background.

A ReLU is not computed but noted (*lazy*), and done where the next patch is put together, so that
its output is never stored twice; max pooling commutes with it. Branches work since a window can be
regrown to any other; an operation that is not known here gets the whole map, and all that follows
is plain.

References: Giusti et al. 2013 (scanning with poolings, see ``dense``), Nakandala et al. 2019
(Krypton: incremental inference for occlusions). Training with own places and the reduced
background are ours.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from invlib.exact.layers import Join, Known, Local, Pair, Pointwise

FULL = 0.9
"""A window that covers so much of its map is given up for the whole map."""


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis of a map: its window, for every place the item may have, and its background.

    Attributes:
        size: cells of the whole map.
        length: cells of the window, the same for every place.
        starts: first cell of the window, by place.
        first: first cell the item reaches, by place.
        past: one past the last cell the item reaches, by place.
        stored: cells of the background that are stored: ``low``, a constant band, ``high``.
        low: stored cells before the band.
        high: stored cells after it.
    """

    size: int
    length: int
    starts: tuple[int, ...]
    first: tuple[int, ...]
    past: tuple[int, ...]
    stored: int
    low: int
    high: int

    def kept(self, cell: int) -> int:
        """Where a cell of the background is stored."""
        if self.stored == self.size or cell < self.low:
            return cell
        return cell - self.size + self.stored if cell >= self.size - self.high else self.low

    def widened(self, stored: int, low: int, high: int) -> tuple[int, ...]:
        """Which stored cells make the same background stored in another way."""
        if stored == self.size:
            return tuple(self.kept(i) for i in range(self.size))
        band = stored - low - high
        cells = [*range(low), *[low] * band, *range(self.size - high, self.size)]
        return tuple(self.kept(i) for i in cells)


Patch = tuple[tuple[int, ...], int]
"""First cell, by place, and length of a patch; it may reach beyond the map."""


@lru_cache(maxsize=4096)
def item_axis(size: int, item: int, starts: tuple[int, ...], constant: bool) -> Axis:
    """The axis of a canvas."""
    past = tuple(start + item for start in starts)
    stored, low = (1, 0) if constant else (size, size)
    return Axis(size, item, starts, starts, past, stored, low, 0)


def _window(
    size: int, first: tuple[int, ...], past: tuple[int, ...], align: int
) -> tuple[int, tuple[int, ...]]:
    usable = size // align * align
    if not usable:
        align, usable = 1, size
    low = [a // align * align for a in first]
    high = [min(-(-b // align) * align, usable) for b in past]
    length = max(align, *(b - a for a, b in zip(low, high, strict=True)))
    return length, tuple(min(a, usable - length) for a in low)


@lru_cache(maxsize=65536)
def through(
    axis: Axis, kernel: int, stride: int, before: int, after: int, ceil: bool, align: int
) -> tuple[Axis, Patch, tuple[int, ...]]:
    """The axis behind a layer, the patch it needs, and the background cells it needs."""
    steps = axis.size + before + after - kernel
    size = (-(-steps // stride) if ceil else steps // stride) + 1
    if ceil and (size - 1) * stride >= axis.size + before:
        size -= 1
    first = tuple(
        min(max(0, -(-(a + before - kernel + 1) // stride)), size - 1) for a in axis.first
    )
    past = tuple(
        max(a + 1, min(size, (b - 1 + before) // stride + 1))
        for a, b in zip(first, axis.past, strict=True)
    )
    length, starts = _window(size, first, past, align)
    low = -(-(axis.low + before) // stride)
    high = size - ((axis.size - axis.high - kernel + before) // stride + 1)
    left_out = min(size - low - high - 1, (axis.size - axis.low - axis.high - 1) // stride)
    if left_out <= 0:
        left_out, low, high = 0, size, 0
    out = Axis(size, length, starts, first, past, size - left_out, low, high)
    patch = tuple(a * stride - before for a in starts), (length - 1) * stride + kernel
    return out, patch, axis.widened(axis.size - stride * left_out, axis.low, axis.high)


@lru_cache(maxsize=65536)
def union(*axes: Axis) -> Axis:
    """The axis whose window and background hold those of all."""
    if all(each is axes[0] for each in axes):
        return axes[0]
    size = axes[0].size
    first = tuple(map(min, zip(*(each.first for each in axes), strict=True)))
    past = tuple(map(max, zip(*(each.past for each in axes), strict=True)))
    low, high = max(each.low for each in axes), max(each.high for each in axes)
    stored = max(low + high + 1, *(each.stored for each in axes))
    if stored >= size:
        stored, low, high = size, size, 0
    return Axis(size, *_window(size, first, past, 1), first, past, stored, low, high)


@dataclass(frozen=True, eq=False)
class Sources:
    """Where the cells of a patch come from on one axis, by place: int64 (places, cells).

    Attributes:
        window: cell of the previous window, -1 outside it.
        background: stored cell of the background plus 1, 0 beyond the map.
        back: for each cell of the previous window its cell in the patch, -1 where it is left out.
        left_out: whether any is.
        order: cells of the patch, those outside the window first.
        outside: how many these are, at most.
    """

    window: Tensor
    background: Tensor
    back: Tensor
    left_out: bool
    order: Tensor
    outside: int


@lru_cache(maxsize=4096)
@torch.inference_mode(False)  # it may be needed again for a gradient
def sources(axis: Axis, patch: Patch, device: torch.device) -> Sources:
    """The sources of a patch, computed once for each geometry and device."""
    begins, length = patch
    shift = torch.tensor(begins)[:, None] - torch.tensor(axis.starts)[:, None]
    window = torch.arange(length) + shift
    window = torch.where((window >= 0) & (window < axis.length), window, -1)
    stored = torch.tensor([0, *(axis.kept(i) + 1 for i in range(axis.size)), 0])
    cells = torch.tensor(begins)[:, None] + torch.arange(length)
    back = torch.arange(axis.length) - shift
    back = torch.where((back >= 0) & (back < length), back, -1)
    return Sources(
        window.to(device),
        stored[(cells + 1).clamp(0, axis.size + 1)].to(device),
        back.to(device),
        bool((back < 0).any()),
        (window >= 0).to(torch.uint8).argsort(dim=1, stable=True).to(device),
        int((window < 0).sum(1).max()),
    )


@dataclass(frozen=True, eq=False)
class Windowed(Known):
    """Feature maps of items on one canvas: a window for each sample, and the common background.

    Attributes:
        data: the windows (n, channels, rows.length, columns.length).
        background: what is stored of it (1, channels, rows.stored, columns.stored).
        axes: rows and columns.
        at: for each sample its place on each axis, int64 (n,); None: one place for all.
        lazy: whether ``data`` (not the background) still waits for its ReLU.
    """

    data: Tensor
    background: Tensor
    axes: tuple[Axis, Axis]
    at: tuple[Tensor, Tensor] | None
    lazy: bool = False

    def regrown(self, patches: Sequence[Patch], value: float, relu: bool) -> Tensor:
        """The maps in any patches, with ``value`` beyond the map, after the ReLU if asked."""
        if all(p == (a.starts, a.length) for p, a in zip(patches, self.axes, strict=True)):
            return F.relu(self.data) if relu else self.data
        background = self.background.to(self.data.dtype)
        if self.at is not None:
            background = F.pad(background, (1, 0, 1, 0), value=value)
            device = self.data.device
            origin = [sources(a, p, device) for a, p in zip(self.axes, patches, strict=True)]
            return _Gather.apply(self.data, background, origin, self.at, relu)
        pads: list[int] = []
        inner, outer = [], []
        for dim, (axis, ((begin,), length)) in enumerate(zip(self.axes, patches, strict=True), 2):
            low = min(max(0, begin), axis.size)
            high = max(low, min(axis.size, begin + length))
            if axis.stored == axis.size:
                background = background.narrow(dim, low, high - low)
            else:
                cells = tuple(axis.kept(i) for i in range(low, high))
                background = background.index_select(dim, _index(cells, self.data.device))
            ahead = min(max(0, -begin), length)
            pads[:0] = [ahead, length - ahead - (high - low)]
            start = axis.starts[0]
            a, b = max(begin, start), min(begin + length, start + axis.length)
            outer.append(slice(a - begin, max(a, b) - begin))
            inner.append(slice(a - start, max(a, b) - start))
        if any(pads):
            background = F.pad(background, pads, value=value)
        return _Paste.apply(self.data, background, outer, inner, relu)

    def whole(self) -> Tensor:
        """The whole maps (n, channels, rows.size, columns.size)."""
        rows, columns = (((0,) * len(each.starts), each.size) for each in self.axes)
        return self.regrown((rows, columns), 0.0, self.lazy)

    def local(self, layer: Local, align: Pair, kept: Tensor | None) -> "Windowed | None":
        """Behind a neighbourhood layer; None where the window fills the map."""
        steps = [through(a, *layer.axis(i), align[i]) for i, a in enumerate(self.axes)]
        (rows, down, tall), (columns, right, wide) = steps
        if rows.length * columns.length >= FULL * rows.size * columns.size:
            return None
        patch = self.regrown((down, right), layer.value, self.lazy and not layer.maximum)
        if kept is None:
            kept = layer.plain(self.stored((tall, wide)))
        lazy = self.lazy and layer.maximum
        return Windowed(layer.valid(patch), kept, (rows, columns), self.at, lazy)

    def pointwise(self, layer: Pointwise, kept: Tensor | None) -> "Windowed":
        """Behind a function of each value."""
        kept = layer.function(self.background) if kept is None else kept
        if layer.relu:
            return replace(self, background=kept, lazy=True)
        data = F.relu(self.data) if self.lazy else self.data
        return replace(self, data=layer.function(data), background=kept, lazy=False)

    def joined(
        self, layer: Join, parts: "list[Windowed]", kept: Tensor | None
    ) -> "Windowed | None":
        """Joined with others (itself among them)."""
        if any(p.axes[i].size != a.size for p in parts for i, a in enumerate(self.axes)):
            return None
        axes = [union(*(p.axes[i] for p in parts)) for i in (0, 1)]
        lazy = layer.stacks and all(p.lazy for p in parts)
        patches = [(a.starts, a.length) for a in axes]
        data = layer.function([p.regrown(patches, 0.0, p.lazy and not lazy) for p in parts])
        if kept is None:
            kept = layer.function(
                [
                    p.stored([a.widened(b.stored, b.low, b.high) for a, b in each])
                    for p, each in ((p, zip(p.axes, axes, strict=True)) for p in parts)
                ]
            )
        return Windowed(data, kept, (axes[0], axes[1]), self.at, lazy)

    def keep(self) -> Tensor:
        """The background."""
        return self.background

    def stored(self, cells: Sequence[tuple[int, ...]]) -> Tensor:
        """The background with these of its stored cells."""
        background = self.background
        for dim, (axis, chosen) in enumerate(zip(self.axes, cells, strict=True), 2):
            if chosen != tuple(range(axis.stored)):
                background = background.index_select(dim, _index(chosen, background.device))
        return background


@lru_cache(maxsize=4096)
@torch.inference_mode(False)
def _index(cells: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor(cells, dtype=torch.int64, device=device)


def _rows(maps: Tensor) -> Tensor:
    """Maps as one row of channels for each cell; no copy where they are channels last."""
    return maps.permute(0, 2, 3, 1).reshape(-1, maps.shape[1])


def _maps(rows: Tensor, n: int, height: int, width: int) -> Tensor:
    return rows.view(n, height, width, rows.shape[1]).permute(0, 3, 1, 2)


def _blank(like: Tensor, *shape: int) -> Tensor:
    memory = torch.channels_last
    return torch.empty(shape, dtype=like.dtype, device=like.device, memory_format=memory)


class _Gather(torch.autograd.Function):
    """A patch for each sample, each at its own place: one row of channels copied for each cell."""

    @staticmethod
    def forward(
        ctx: Any, data: Tensor, background: Tensor, origin: list[Sources], at: Any, relu: bool
    ) -> Tensor:
        """The patches; ``background`` has padding in front of its rows and columns."""
        n, channels, height, width = data.shape
        known = background.shape[2] * background.shape[3]
        y, x = (t.window[i] for t, i in zip(origin, at, strict=True))
        inside = (y >= 0)[:, :, None] & (x >= 0)[:, None, :]
        sample = torch.arange(n, device=data.device)[:, None, None] * (height * width) + known
        below, beside = (t.background[i] for t, i in zip(origin, at, strict=True))
        target = _outer(below, beside, background)
        index = torch.where(inside, sample + y[:, :, None] * width + x[:, None, :], target)
        source = data.new_empty(known + n * height * width, channels)
        source[:known] = _rows(background)
        if relu:
            torch.clamp_min(_rows(data), 0, out=source[known:])
        else:
            source[known:] = _rows(data)
        # A tensor of its own, no view, so that a network may change it in its place.
        patch = _blank(data, n, channels, *index.shape[1:])
        torch.index_select(source, 0, index.flatten(), out=_rows(patch))
        # Cells of the window count for the padding, whose gradient nobody wants.
        ctx.target = torch.where(inside, 0, target).flatten()
        ctx.origin, ctx.at, ctx.shapes = origin, at, (data.shape, background.shape)
        ctx.save_for_backward(*[patch] * relu)
        return patch

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """Cells of the window back to the data, all others summed up in the background."""
        for patch in ctx.saved_tensors:
            gradient = torch.ops.aten.threshold_backward(gradient, patch, 0)
        n, _, height, width = gradient.shape
        rows = _rows(gradient)
        cells = (torch.arange(n, device=rows.device) * (height * width))[:, None, None]
        data = background = None
        if ctx.needs_input_grad[0]:
            y, x = (t.back[i] for t, i in zip(ctx.origin, ctx.at, strict=True))
            index = cells + y[:, :, None] * width + x[:, None, :]
            left_out = (y < 0)[:, :, None] | (x < 0)[:, None, :]
            data = rows.index_select(0, index.clamp_min(0).flatten())
            if any(t.left_out for t in ctx.origin):
                data.masked_fill_(left_out.flatten()[:, None], 0)
            data = _maps(data, n, *ctx.shapes[0][2:])
        if ctx.needs_input_grad[1]:
            # First all columns of the rows that leave the window, then the others' ends.
            (y, x), (down, right) = (
                [t.order[i] for t, i in zip(ctx.origin, ctx.at, strict=True)],
                [t.outside for t in ctx.origin],
            )
            ring = torch.cat(
                [
                    (cells + y[:, :down, None] * width + x[:, None, :]).flatten(),
                    (cells + y[:, down:, None] * width + x[:, None, :right]).flatten(),
                ]
            )
            _, channels, tall, wide = ctx.shapes[1]
            sums = torch.zeros(tall * wide, channels, device=rows.device, dtype=_sum(rows.dtype))
            target, outside = (each.index_select(0, ring) for each in (ctx.target, rows))
            sums.index_add_(0, target, outside.to(sums.dtype))
            background = _maps(sums.to(rows.dtype), 1, tall, wide)
        return data, background, None, None, None


def _outer(y: Tensor, x: Tensor, background: Tensor) -> Tensor:
    """Row numbers of background cells; 0 where either is beyond the map."""
    return torch.where(
        (y > 0)[:, :, None] & (x > 0)[:, None, :],
        y[:, :, None] * background.shape[3] + x[:, None, :],
        0,
    )


def _sum(dtype: torch.dtype) -> torch.dtype:
    return torch.promote_types(dtype, torch.float32)


class _Paste(torch.autograd.Function):
    """One patch of the background for all samples, with the window of each pasted in."""

    @staticmethod
    def forward(
        ctx: Any, data: Tensor, background: Tensor, outer: Any, inner: Any, relu: bool
    ) -> Tensor:
        """``inner`` of the data goes to ``outer`` of the patch."""
        n, channels = data.shape[:2]
        patch = _blank(data, n, channels, *background.shape[2:])
        for strip in _frame(*outer):
            patch[strip] = background[strip]
        target, source = patch[:, :, *outer], data[:, :, *inner]
        if relu:
            torch.clamp_min(source, 0, out=target)
        else:
            target.copy_(source)
        ctx.outer, ctx.inner, ctx.shapes = outer, inner, (data.shape, background.shape)
        ctx.save_for_backward(*[patch] * relu)
        return patch

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:
        """The window back to the data, the frame around it summed over the samples."""
        data = background = None
        if ctx.needs_input_grad[0]:
            data = gradient[:, :, *ctx.outer]
            for patch in ctx.saved_tensors:
                data = torch.ops.aten.threshold_backward(data, patch[:, :, *ctx.outer], 0)
            if data.shape != ctx.shapes[0]:
                part, data = data, gradient.new_zeros(ctx.shapes[0])
                data[:, :, *ctx.inner] = part
        if ctx.needs_input_grad[1]:
            background = gradient.new_zeros(ctx.shapes[1])
            for strip in _frame(*ctx.outer):
                background[strip] = gradient[strip].sum(0, keepdim=True, dtype=_sum(gradient.dtype))
        return data, background, None, None, None


def _frame(rows: slice, columns: slice) -> list[tuple[slice, ...]]:
    """What lies around a part of a patch."""
    every = slice(None)
    strips = [
        (slice(rows.start), every),
        (slice(rows.stop, None), every),
        (rows, slice(columns.start)),
        (rows, slice(columns.stop, None)),
    ]
    return [(every, every, *strip) for strip in strips]
