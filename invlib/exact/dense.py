"""A network's outputs for all shifts of an image in one pass.

Every shifted input is a window (a *frame*) of one larger *sheet*. A layer without padding sees
nothing outside its frame, so run on the sheet it gives the maps of all shifts at once. A stride s
keeps every s-th cell; which ones depends on the shift, so the layer is run with stride 1, and the
s x s phases of its output, *fragments*, stand side by side in the batch. Nothing is computed twice
and nothing is approximated, also where the frame cuts the image off.

A layer with padding puts zeros at the border of each frame, which the canvas does not have. Only
the first may look beyond its frame, and only where the sheet is zero there too: the shifts for
which this does not hold are found and computed one by one.

References: Giusti et al. 2013, "Fast image scanning with deep max-pooling convolutional neural
networks".
"""

import difflib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from invlib.devices import chunk_size
from invlib.exact.choice import PathError, Shortcut
from invlib.exact.layers import Join, Known, Local, NotTraced, Pair, Pointwise
from invlib.exact.trial import counted, output


@dataclass(frozen=True, eq=False)
class Fragments(Known):
    """The feature maps of all shifts of some images.

    The frame of shift (dy, dx) starts at cell (shifts - dy, shifts - dx) of the sheet.

    Attributes:
        data: the fragments (phases * n, channels, rows, columns).
        phases: first cell (row, column) of each fragment, in cells of the sheet.
        stride: cells of the sheet from one cell of a fragment to the next, by axis.
        frame: cells of one shift's map, by axis.
        shifts: the largest shift.
        starts: first cells of the frames that are asked for, int64 (frames, 2).
        fill: what the sheet holds around the images, by channel; None behind the first layer.
        lazy: whether ``data`` still waits for its ReLU.
    """

    data: Tensor
    phases: list[Pair]
    stride: Pair
    frame: Pair
    shifts: int
    starts: Tensor
    fill: Tensor | None
    lazy: bool = False

    @classmethod
    def of(cls, images: Tensor, shifts: int, fill: Tensor) -> "Fragments":
        """Images float (n, channels, height, width), each in the middle of its sheet."""
        n, channels, height, width = images.shape
        sheet = fill.view(1, -1, 1, 1).repeat(n, 1, height + 2 * shifts, width + 2 * shifts)
        sheet = sheet.to(memory_format=torch.channels_last)
        sheet[:, :, shifts : shifts + height, shifts : shifts + width] = images
        start = torch.arange(2 * shifts, -1, -1, device=images.device)
        starts = torch.cartesian_prod(start, start)
        return cls(sheet, [(0, 0)], (1, 1), (height, width), shifts, starts, fill)

    def whole(self) -> Tensor:
        """The maps of each image's frames: (n * frames, channels, *frame)."""
        return self._cut(slice(None), self.starts)

    @staticmethod
    def pieces(values: "list[Fragments]") -> Iterator[list[Tensor]]:
        """The maps of all values a few frames at a time, as ``chunk_size`` has it."""
        first = max(values, key=lambda value: value.frame[0] * value.frame[1])
        n, frames = len(first.data) // len(first.phases), len(first.starts)
        chunk = chunk_size(first.frame, first.data.device)
        for images in torch.arange(n).split(max(1, chunk // frames)):
            few = slice(int(images[0]), int(images[-1]) + 1)
            for starts in first.starts.split(chunk):
                yield [value._cut(few, starts) for value in values]

    def _cut(self, images: slice, starts: Tensor) -> Tensor:
        order = sorted(range(len(self.phases)), key=self.phases.__getitem__)
        data = self.data.unflatten(0, (len(order), -1))[:, images][order]
        maps = (F.relu(data) if self.lazy else data).unflatten(0, self.stride)
        for dim, frame in enumerate(self.frame, 4):
            maps = maps.unfold(dim, frame, 1)
        # The frame of sheet row r starts in the fragment of phase r mod stride, at r // stride.
        (y, x), (down, right) = starts.unbind(1), self.stride
        maps = maps.permute(2, 0, 4, 1, 5, 6, 7, 3)
        maps = maps[:, y % down, y // down, x % right, x // right]
        return maps.flatten(0, 1).permute(0, 3, 1, 2)

    def local(self, layer: Local, align: Pair, kept: Any) -> "Fragments | None":
        """Behind a neighbourhood layer; None where it looks at what a frame's border hides."""
        data, frame = self.data, self.frame
        if layer.padded:
            if layer.ceil or self.fill is None or bool((self.fill != layer.value).any()):
                return None
            (top, left), (bottom, right) = layer.before, layer.after
            data = F.pad(data, (left, right, top, bottom), value=layer.value)
            frame = frame[0] + top + bottom, frame[1] + left + right
        if self.lazy and not layer.maximum:
            data = F.relu(data)
        frame, stride, cells = zip(
            *(self._behind(frame[i], self.stride[i], *layer.axis(i)[:2]) for i in (0, 1)),
            strict=True,
        )
        # Some may be missing, which only frames beyond the last shift see.
        needed = [c * s - 1 + k for c, s, k in zip(cells, layer.stride, layer.kernel, strict=True)]
        missing = [max(0, n - size) for n, size in zip(needed, data.shape[2:], strict=True)]
        if any(missing):
            data = F.pad(data, (0, missing[1], 0, missing[0]))
        offsets = list(product(*map(range, layer.stride)))
        every = layer.valid(data[:, :, : needed[0], : needed[1]], (1, 1))
        parts = [every[:, :, y :: layer.stride[0], x :: layer.stride[1]] for y, x in offsets]
        phases = [
            (y * self.stride[0] + first[0], x * self.stride[1] + first[1])
            for y, x in offsets
            for first in self.phases
        ]
        return replace(
            self,
            data=torch.cat(parts),
            phases=phases,
            stride=stride,
            frame=frame,
            fill=None,
            lazy=self.lazy and layer.maximum,
        )

    def _behind(self, frame: int, stride: int, kernel: int, step: int) -> tuple[int, int, int]:
        """Frame, stride and cells of a fragment behind a layer, on one axis."""
        frame = (frame - kernel) // step + 1
        stride *= step
        return frame, stride, -(-(2 * self.shifts + 1) // stride) - 1 + frame

    def pointwise(self, layer: Pointwise, kept: Any) -> "Fragments":
        """Behind a function of each value."""
        if layer.relu:
            return replace(self, fill=None, lazy=True)
        data = F.relu(self.data) if self.lazy else self.data
        return replace(self, data=layer.function(data), fill=None, lazy=False)

    def joined(self, layer: Join, parts: "list[Fragments]", kept: Any) -> None:
        """Branches have no shortcut here."""


class Scanner(Shortcut):
    """A layer's output for an image at all shifts.

    One that is kept takes the network's code, and what it reads beside its weights, as they were
    when the path was settled.

    Args:
        model: any network from images (n, channels, height, width).
        layer: name of a submodule; None: the network's output.
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
        ValueError: for a layer that does not exist (names the nearest ones), shifts that are not a
            whole number from 1, or a fill that is no finite number.
    """

    saving = 1.05

    def __init__(
        self,
        model: nn.Module,
        layer: str | None = None,
        shifts: int = 10,
        fill: float | Sequence[float] = 0.0,
        exact_path: str = "auto",
    ) -> None:
        super().__init__(model, exact_path)
        if layer is not None:
            check_layer(model, layer)
        if not isinstance(shifts, int) or shifts < 1:
            raise ValueError(f"shifts must be a whole number from 1, not {shifts!r}")
        if not torch.as_tensor(fill).isfinite().all():
            raise ValueError(f"expected fill as finite numbers, found {fill}")
        self.layer, self.shifts, self.fill = layer, shifts, fill

    def __call__(self, images: Tensor) -> Tensor:
        """The layer's output for each image and shift.

        Args:
            images: float (n, channels, height, width), as the network takes them.

        Returns:
            (n, 2 shifts + 1, 2 shifts + 1, features), on the images' device; dy and dx rising.

        Raises:
            ValueError: when a shift moves the whole image out, the layer is not used just once or
                does not give one tensor with a row for each image, or the fill has other channels.
            PathError: under ``"propagate"``, where it is not possible: says why.
        """
        if self.path is None:
            self.choose(images)
        start, count = self._start(images), 2 * self.shifts + 1
        if self.path == "plain":
            return self._plain(start).view(len(images), count, count, -1)
        out = self._scan(start).view(len(images), count, count, -1)
        wrong = self._cuts(images)
        for i in wrong.flatten(1).any(1).nonzero().flatten().tolist():
            cut = start.starts[wrong[i].flatten()]
            out[i][wrong[i]] = self._plain(replace(start, data=start.data[i : i + 1], starts=cut))
        return out

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
        return self._settle(samples and samples * len(start.starts), start, images[:1])

    def _sample(self, start: Fragments, image: Tensor) -> Tensor:
        return self._plain(replace(start, starts=start.starts[:1]))

    def _saved(self, start: Fragments, image: Tensor) -> float:
        assert self._walk is not None
        if self.layer is not None and self.layer not in self._walk.outputs:
            raise NotTraced(f"the output of {self.layer} is not one tensor")
        cut = self._cuts(image)[0]
        some = torch.zeros_like(cut)
        some[:: self.shifts, :: self.shifts] = True  # corners, edges, no shift
        few = replace(start, starts=start.starts[(some & ~cut).flatten()])
        # More frames beside them: an answer that depends on its batch shows.
        more = replace(few, starts=torch.cat([few.starts, few.starts[:1].expand_as(few.starts)]))
        n = len(few.starts)

        def fast() -> tuple[list[Tensor], tuple[int, int]]:
            out, operations = counted(lambda: self._scan(few))
            beside, both = counted(lambda: self._scan(more))
            return [out, beside[:n]], (operations, both)

        each, (one, both) = self._compared(lambda: [self._plain(few)] * 2, fast)
        # What one more frame takes, and what all share.
        frames, own = len(start.starts), (both - one) / n
        alone = each / n * int(cut.sum())
        saved = each / n * frames / max(1, one - own * n + own * frames + alone)
        if self.exact_path == "propagate" and saved < self.saving:
            raise PathError(
                f"the shortcut would save {saved:.2f} times the operations only: "
                "its first layers see a border"
            )
        return saved

    def _start(self, images: Tensor) -> Fragments:
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
        return Fragments.of(images, self.shifts, fill.expand(channels))

    def _scan(self, start: Fragments) -> Tensor:
        """The layer's output for the frames asked for: (n * frames, features)."""
        assert self._walk is not None
        until = self._walk.outputs[self.layer] if self.layer else None
        out = self._walk.run(start, until)
        return (out.whole() if isinstance(out, Fragments) else out).flatten(1)

    def _plain(self, start: Fragments) -> Tensor:
        """The same, one frame after the other."""
        seen: list[Any] = []
        hook = self.layer and self.model.get_submodule(self.layer).register_forward_hook(
            # A later layer may work in place.
            lambda m, x, y: seen.append(y.clone() if isinstance(y, Tensor) else y)
        )
        try:
            for count, (frames,) in enumerate(Fragments.pieces([start]), 1):
                frames = frames.contiguous(memory_format=torch.channels_last)
                out = output(self.model, frames)
                seen += [] if hook else [out]
                if len(seen) != count:
                    raise ValueError(
                        f"the network uses its layer {self.layer!r} {len(seen) - count + 1} times; "
                        "expected a layer that is used once"
                    )
                check_output(seen[-1], len(frames), self.layer)
        finally:
            if hook:
                hook.remove()
        return torch.cat(seen).flatten(1)

    def _cuts(self, images: Tensor) -> Tensor:
        """Where a first layer with padding sees something that the frame cuts off."""
        layers = self._walk.layers.items() if self._walk else ()
        padded = any(
            isinstance(layer, Local)
            and layer.padded
            and not layer.ceil
            and node.all_input_nodes[0].op == "placeholder"
            for node, layer in layers
        )
        count = 2 * self.shifts + 1
        cut = torch.zeros(len(images), count, count, dtype=torch.bool, device=images.device)
        if not padded:
            return cut
        fill = torch.as_tensor(self.fill, dtype=images.dtype, device=images.device)
        ink = (images != fill.view(-1, 1, 1)).any(1)
        shift = torch.arange(-self.shifts, self.shifts + 1, device=images.device)
        for axis, size in enumerate(images.shape[2:], 1):
            cell = torch.arange(size, device=images.device)
            out = (cell + shift[:, None] < 0) | (cell + shift[:, None] >= size)
            lost = (ink.any(3 - axis)[:, None] & out).any(2)
            cut |= lost[:, :, None] if axis == 1 else lost[:, None, :]
        return cut


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
