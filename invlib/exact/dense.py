"""A network's outputs for all shifts of an image in one pass.

Every shifted input is a window (a *frame*) of one larger *sheet*. A cell that sees nothing outside
its frame is the same in every frame that it is in, so a layer run on the sheet gives these cells of
all shifts at once. Behind a stride s the cells of a frame are s cells of the sheet apart: the layer
is run at every cell, and later ones look at cells that are s apart. Nothing is approximated, also
where the frame cuts the image off.

A layer with padding puts a *border* around each frame, which the sheet does not have. Cells that
see it depend on where the frame starts: a ring of each frame, on an axis its first and its last
few cells. Of these the rows hang on the vertical shift alone, so they are computed once for all
horizontal ones, and the columns likewise; only the corners are computed for each frame. Where the
ring has grown so wide that little is shared, the frames are cut out and the network goes on as it
is.

References: Giusti et al. 2013, "Fast image scanning with deep max-pooling convolutional neural
networks"; Li et al. 2014, "Highly efficient forward and backward propagation of convolutional
neural networks for pixelwise classification" (cells that are apart in place of fragments).
"""

import difflib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invlib.devices import chunk_size
from invlib.exact.choice import PathError, Shortcut
from invlib.exact.layers import Join, Known, Local, NotTraced, Pair, Pointwise
from invlib.exact.trial import counted, output

SHARED = 2
"""A layer is computed for all frames together where that takes so many times fewer cells: what is
gained with fewer is lost with gathering them."""


@dataclass(frozen=True)
class Axis:
    """Rows or columns of the maps of all frames, stored once for those that share them.

    First come the cells of the sheet; then, cell by cell of the ring, the first cells of all frames
    and the last ones of all frames.

    Attributes:
        count: places where a frame starts, one cell of the first sheet after the other.
        frame: cells of one frame.
        stride: cells of the sheet from one cell of a frame to the next.
        ring: cells at either end of a frame that may see its border.
    """

    count: int
    frame: int
    stride: int = 1
    ring: int = 0

    @property
    def sheet(self) -> int:
        """Cells of the sheet: what lies inside the ring of any frame."""
        return self.count + self.stride * (self.frame - 2 * self.ring - 1)

    @property
    def size(self) -> int:
        """Cells in all."""
        return self.sheet + 2 * self.ring * self.count

    def behind(self, kernel: int, step: int, before: int, after: int) -> "Axis":
        """The axis behind a layer of this kernel, stride and padding."""
        frame = (self.frame + before + after - kernel) // step + 1
        last = (self.frame - self.ring + before - kernel) // step  # that sees the sheet only
        ring = max(-(-(self.ring + before) // step), frame - 1 - last)
        return Axis(self.count, frame, self.stride * step, ring)

    def seen(self, out: "Axis", kernel: int, step: int, before: int) -> "list[Seen]":
        """What a layer's sheet sees, and what its ring sees if it has one."""
        start = self.stride * (step * out.ring - before - self.ring)
        sheet = torch.arange(start, start + out.sheet + self.stride * (kernel - 1))
        if not out.ring:
            return [Seen(sheet, self.stride)]
        firsts = -before, step * (out.frame - out.ring) - before
        length = step * (out.ring - 1) + kernel
        ends = torch.stack([cells(self, first, length) for first in firsts])
        if step == 1:
            return [Seen(sheet, self.stride), Seen(ends.movedim(2, 0).flatten(), 2 * self.count)]
        ends = ends.unfold(2, kernel, step).permute(3, 2, 0, 1)
        return [Seen(sheet, self.stride), Seen(ends.flatten(), 2 * self.count * out.ring)]


class Seen(NamedTuple):
    """What some cells of a layer's output see, on one axis.

    Attributes:
        stored: the stored cells.
        apart: how many of these it is from a cell to the next one that is seen with it.
    """

    stored: Tensor
    apart: int


@lru_cache(maxsize=4096)
@torch.inference_mode(False)  # it may be needed again for a gradient
def cells(axis: Axis, first: int, length: int) -> Tensor:
    """Where some cells of each frame are stored, int64 (count, length); beyond it: ``size``."""
    start, cell = torch.arange(axis.count)[:, None], first + torch.arange(length)
    behind = cell - (axis.frame - axis.ring)
    last = behind >= 0
    ring = axis.sheet + (2 * torch.where(last, behind, cell) + last) * axis.count + start
    stored = torch.where((cell < axis.ring) | last, ring, start + axis.stride * (cell - axis.ring))
    return torch.where((cell < 0) | (cell >= axis.frame), axis.size, stored)


@dataclass(frozen=True, eq=False)
class Frames(Known):
    """The feature maps of all shifts of some images.

    Attributes:
        data: what is stored of them (n, channels, rows.size, columns.size).
        axes: rows and columns.
        starts: where the frames that are asked for start, int64 (frames, 2).
        fill: what the sheet holds around the images, by channel; None behind the first layer.
    """

    data: Tensor
    axes: tuple[Axis, Axis]
    starts: Tensor
    fill: Tensor | None

    @classmethod
    def of(cls, images: Tensor, shifts: int, fill: Tensor) -> "Frames":
        """Images float (n, channels, height, width), each in the middle of its sheet.

        The frame of shift (dy, dx) starts at cell (shifts - dy, shifts - dx) of it.
        """
        n, channels, height, width = images.shape
        sheet = fill.view(1, -1, 1, 1).repeat(n, 1, height + 2 * shifts, width + 2 * shifts)
        sheet = sheet.to(memory_format=torch.channels_last)
        sheet[:, :, shifts : shifts + height, shifts : shifts + width] = images
        start = torch.arange(2 * shifts, -1, -1, device=images.device)
        axes = Axis(len(start), height), Axis(len(start), width)
        return cls(sheet, axes, torch.cartesian_prod(start, start), fill)

    def whole(self) -> Tensor:
        """The maps of each image's frames: (n * frames, channels, height, width)."""
        return self._cut(torch.arange(len(self.data)), self.starts)

    @staticmethod
    def pieces(values: "list[Frames]") -> Iterator[list[Tensor]]:
        """The maps of all values a few frames at a time, as ``chunk_size`` has it."""
        first = max(values, key=lambda value: value.axes[0].frame * value.axes[1].frame)
        sides = first.axes[0].frame, first.axes[1].frame
        chunk = chunk_size(sides, first.data.device)
        for images in torch.arange(len(first.data)).split(max(1, chunk // len(first.starts))):
            for starts in first.starts.split(chunk):
                yield [value._cut(images, starts) for value in values]

    def _cut(self, images: Tensor, starts: Tensor) -> Tensor:
        rows, columns = (
            cells(axis, 0, axis.frame).to(starts.device)[each]
            for axis, each in zip(self.axes, starts.unbind(1), strict=True)
        )
        lines = self.axes[0].size * images.to(starts.device)[:, None, None] + rows
        at = lines[..., None] * self.axes[1].size + columns[:, None]
        stored = self.data.permute(0, 2, 3, 1).flatten(0, 2)
        maps = stored.index_select(0, at.flatten()).unflatten(0, at.shape)
        return maps.flatten(0, 1).permute(0, 3, 1, 2)

    def local(self, layer: Local, align: Pair, kept: Any) -> "Frames | None":
        """Behind a neighbourhood layer; None where the frames share too little."""
        if layer.ceil:
            return None
        data, axes = self.data, self.axes
        padding = list(zip(layer.before, layer.after, strict=True))
        if layer.padded and self._continues(layer.value):
            (top, bottom), (left, right) = padding
            data, padding = F.pad(data, (left, right, top, bottom), value=layer.value), [(0, 0)] * 2
            rows, columns = axes
            axes = (
                replace(rows, frame=rows.frame + top + bottom),
                replace(columns, frame=columns.frame + left + right),
            )
        look = list(zip(layer.kernel, layer.stride, *zip(*padding, strict=True), strict=True))
        rows, columns = (axis.behind(*each) for axis, each in zip(axes, look, strict=True))
        if min(a.frame - 2 * a.ring for a in (rows, columns)) < 1:
            return None
        if rows.ring or columns.ring:
            # A pooling costs little, and behind it less is to be cut out.
            cut = (rows, columns) if isinstance(layer.plain, nn.Conv2d) else axes
            alone = math.prod(axis.count * axis.frame for axis in cut)
            if SHARED * rows.size * columns.size > alone:
                return None
            if any(map(any, padding)):
                data = F.pad(data, (0, 1, 0, 1), value=layer.value)
        vertical, horizontal = (
            axis.seen(out, *each[:3])
            for axis, out, each in zip(axes, (rows, columns), look, strict=True)
        )
        bands = []
        for y in vertical:
            band = _select(data, 2, y.stored)
            parts = [
                layer.valid(_select(band, 3, x.stored), (y.apart, x.apart)) for x in horizontal
            ]
            bands.append(torch.cat(parts, 3))
        data = torch.cat(bands, 2).contiguous(memory_format=torch.channels_last)
        return replace(self, data=data, axes=(rows, columns), fill=None)

    def _continues(self, value: float) -> bool:
        """Whether the sheet, beyond any frame, is what padding with a value puts there."""
        if self.fill is None or bool((self.fill != value).any()):
            return False
        ink = (self.data != value).any(1)
        rows, columns = (slice(axis.count - 1, axis.frame) for axis in self.axes)
        ink[:, rows, columns] = False
        return not ink.any()

    def pointwise(self, layer: Pointwise, kept: Any) -> "Frames":
        """Behind a function of each value."""
        return replace(self, data=layer.function(self.data), fill=None)

    def joined(self, layer: Join, parts: "list[Frames]", kept: Any) -> None:
        """Branches have no shortcut here."""


def _select(maps: Tensor, dim: int, index: Tensor) -> Tensor:
    """Rows or columns of maps, as they lie in memory, so that whole cells are copied."""
    if len(index) == maps.shape[dim] and torch.equal(index, torch.arange(len(index))):
        return maps
    last = maps.permute(0, 2, 3, 1).index_select(dim - 1, index.to(maps.device))
    return last.permute(0, 3, 1, 2)


class Scanner(Shortcut):
    """The output of one layer or several for an image at all shifts.

    One that is kept takes the network's code, and what it reads beside its weights, as they were
    when the path was settled.

    Args:
        model: any network from images (n, channels, height, width).
        layers: name of a submodule, None for the network's output, or several of these.
        shifts: from ``-shifts`` to ``shifts`` pixels on both axes, down and right positive.
        fill: what comes in at the border, one number or one per channel.
        exact_path: ``"plain"``: one frame after the other; ``"propagate"``: all in one pass;
            ``"auto"``: in one pass where that saves operations, and only after some shifts came
            out the same on both paths.

    Attributes:
        path: the path taken, ``"propagate"`` or ``"plain"``; None before the first call.
        reason: why it is the plain one.

    Raises:
        PathError: for another ``exact_path``.
        ValueError: for a layer that does not exist (names the nearest ones), no layer, shifts that
            are not a whole number from 1, or a fill that is no finite number.
    """

    saving = 1.05

    def __init__(
        self,
        model: nn.Module,
        layers: str | None | Sequence[str | None] = None,
        shifts: int = 10,
        fill: float | Sequence[float] = 0.0,
        exact_path: str = "auto",
    ) -> None:
        super().__init__(model, exact_path)
        self._several = isinstance(layers, list | tuple)
        self.layers: list[Any] = [*layers] if isinstance(layers, list | tuple) else [layers]
        if not self.layers:
            raise ValueError("expected one layer or several, found an empty list")
        for layer in self.layers:
            if layer is not None:
                check_layer(model, layer)
        if not isinstance(shifts, int) or shifts < 1:
            raise ValueError(f"shifts must be a whole number from 1, not {shifts!r}")
        if not torch.as_tensor(fill).isfinite().all():
            raise ValueError(f"expected fill as finite numbers, found {fill}")
        self.shifts, self.fill = shifts, fill

    def __call__(self, images: Tensor) -> Any:
        """The layer's output for each image and shift.

        Args:
            images: float (n, channels, height, width), as the network takes them.

        Returns:
            (n, 2 shifts + 1, 2 shifts + 1, ...) with a single output's shape behind, on the images'
            device; dy and dx rising. For several layers a list of such, in their order.

        Raises:
            ValueError: when a shift moves the whole image out, the layer is not used just once or
                does not give one tensor with a row for each image, or the fill has other channels.
            PathError: under ``"propagate"``, where it is not possible: says why.
        """
        if self.path is None:
            self.choose(images)
        start, count = self._start(images), 2 * self.shifts + 1
        found = self._plain(start) if self.path == "plain" else self._scan(start)
        found = [each.unflatten(0, (len(images), count, count)) for each in found]
        return found if self._several else found[0]

    def choose(self, images: Tensor, samples: int | None = None) -> str:
        """Settle the path for images like these; the first call does it where nobody did.

        Args:
            images: as for a call.
            samples: how many there will be in all, if that is known: work that is sooner done than
                it is found out what pays is plain under ``"auto"``.

        Returns:
            The path.

        Raises:
            ValueError: as a call.
            PathError: under ``"propagate"``, where it is not possible: says why.
        """
        start = self._start(images[:1])
        return self._settle(samples and samples * len(start.starts), start)

    def _sample(self, start: Frames) -> list[Tensor]:
        return self._plain(replace(start, starts=start.starts[:1]))

    def _saved(self, start: Frames) -> float:
        assert self._walk is not None
        for layer in self.layers:
            if layer is not None and layer not in self._walk.outputs:
                raise NotTraced(f"the output of {layer} is not one tensor")
        count = 2 * self.shifts + 1
        some = start.starts.view(count, count, 2)[:: self.shifts, :: self.shifts]
        few = replace(start, starts=some.flatten(0, 1))  # corners, edges, no shift
        # More frames beside them: an answer that depends on its batch shows.
        more = replace(few, starts=torch.cat([few.starts, few.starts[:1].expand_as(few.starts)]))
        n = len(few.starts)

        def fast() -> tuple[list[Any], tuple[int, int]]:
            out, operations = counted(lambda: self._scan(few))
            beside, both = counted(lambda: self._scan(more))
            return [out, [part[:n] for part in beside]], (operations, both)

        each, (one, both) = self._compared(lambda: [self._plain(few)] * 2, fast)
        # What one more frame takes, and what all share.
        frames, own = len(start.starts), (both - one) / n
        saved = each / n * frames / max(1, one - own * n + own * frames)
        if self.exact_path == "propagate" and saved < self.saving:
            raise PathError(
                f"the shortcut would save {saved:.2f} times the operations only: "
                "its first layers see a border"
            )
        return saved

    def _start(self, images: Tensor) -> Frames:
        smallest = min(images.shape[2:])
        if self.shifts >= smallest:
            raise ValueError(
                f"shifts must be from 1 to {smallest - 1} for images of "
                f"{images.shape[2]} x {images.shape[3]} pixels, not {self.shifts}"
            )
        fill = torch.as_tensor(self.fill, dtype=images.dtype, device=images.device)
        channels = images.shape[1]
        if fill.shape not in ((), (1,), (channels,)):
            raise ValueError(f"fill has {fill.numel()} values, the images have {channels} channels")
        return Frames.of(images, self.shifts, fill.expand(channels))

    def _scan(self, start: Frames) -> list[Tensor]:
        """The layers' outputs for the frames asked for: (n * frames, ...) each."""
        assert self._walk is not None
        nodes = list(self._walk.graph.nodes)
        asked = [self._walk.outputs[layer] if layer else nodes[-1] for layer in self.layers]
        until = sorted(set(asked), key=nodes.index)
        values = dict(zip(until, self._walk.values(start, until), strict=True))
        whole = (values[node] for node in asked)
        return [v.whole() if isinstance(v, Frames) else v for v in whole]

    def _plain(self, start: Frames) -> list[Tensor]:
        """The same, one frame after the other."""
        seen: list[list[Any]] = [[] for _ in self.layers]
        hooks = [
            self.model.get_submodule(layer).register_forward_hook(
                # A later layer may work in place.
                lambda m, x, y, each=each: each.append(y.clone() if isinstance(y, Tensor) else y)
            )
            for layer, each in zip(self.layers, seen, strict=True)
            if layer
        ]
        try:
            for count, (frames,) in enumerate(Frames.pieces([start]), 1):
                frames = frames.contiguous(memory_format=torch.channels_last)
                out = output(self.model, frames)
                for layer, each in zip(self.layers, seen, strict=True):
                    each += [] if layer else [out]
                    if len(each) != count:
                        raise ValueError(
                            f"the network uses its layer {layer!r} {len(each) - count + 1} times; "
                            "expected a layer that is used once"
                        )
                    check_output(each[-1], len(frames), layer)
        finally:
            for hook in hooks:
                hook.remove()
        return [torch.cat(each) for each in seen]


def check_output(out: Any, n: int, layer: str | None) -> None:
    """Refuse what is not one tensor of real numbers with a row for each of n inputs.

    Raises:
        ValueError: says what was found.
    """
    where = layer or "the network"
    if not isinstance(out, Tensor):
        found = type(out).__name__
        raise ValueError(
            f"expected one tensor from {where}, found {found}: name a layer that gives one"
        )
    if out.ndim < 2 or len(out) != n or out.is_complex():
        raise ValueError(
            f"expected real numbers ({n}, ...) from {where}, found {out.dtype} {tuple(out.shape)}"
        )


def check_layer(model: nn.Module, layer: Any) -> None:
    """Refuse a name that no submodule has, and what is no name.

    Raises:
        ValueError: names the nearest ones.
    """
    named = {name: part for name, part in model.named_modules() if name}
    names = list(named)
    if not isinstance(layer, str):
        found = next((name for name, part in named.items() if part is layer), None)
        raise ValueError(
            f"expected the name of a layer, such as {found or (names or ['features'])[0]!r}, "
            f"found a {type(layer).__name__}"
        )
    if layer not in names:
        near = difflib.get_close_matches(layer, names, 5, 0.3) or names[:5]
        raise ValueError(f"no layer {layer!r}; the nearest names are {', '.join(near)}")
