"""A network's output for items on a canvas: plainly, or through windows where that pays.

``windows`` has the method. Here it is decided which way is taken: propagating has to give the plain
numbers, or it is not done.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from invlib.data.canvas import Canvas, Pair, on_axis
from invlib.devices import chunk_size, dtype_of
from invlib.exact.choice import PathError, PlainPath, Shortcut
from invlib.exact.layers import spans
from invlib.exact.trial import counted, hooked, output
from invlib.exact.windows import Windowed, item_axis

__all__ = ["PathError", "PlainPath", "Propagator", "changed"]


class Propagator(Shortcut):
    """The outputs of a network for items on a canvas.

    One that is kept takes the network's code, and what it reads beside its weights, as they were
    when the path was last settled: by the first call, by ``choose``, for each map by
    ``everywhere``. Other weights are seen with each call; so are hooks, layers that were replaced
    and a change between training and evaluation.

    Args:
        model: any network from canvases (n, channels, height, width) to whatever it gives.
        canvas: the canvas.
        exact_path: ``"propagate"``; ``"plain"``; or ``"auto"``, which propagates where that saves
            operations enough, and only after an item at two places came out the same on both paths,
            with the same gradients where these are on.

    Attributes:
        path: the path taken, ``"propagate"`` or ``"plain"``; None before the first call.
        reason: why it is the plain one.

    Raises:
        PathError: for another ``exact_path``.
    """

    saving = 1.3

    def __init__(self, model: nn.Module, canvas: Canvas, exact_path: str = "auto") -> None:
        super().__init__(model, exact_path)
        self.canvas = canvas
        self._kept: dict[Any, Any] | None = None

    def __call__(self, images: Tensor, places: Tensor | Pair) -> Any:
        """The network's output for each item at its place.

        Args:
            images: uint8 (n, channels, item height, item width), on the model's device.
            places: int64 (n, 2), or one (row, column) for all.

        Returns:
            What the model gives for these canvases.

        Raises:
            PlaceError: for items of another size than the canvas's, and places off the canvas.
            PathError: under ``"propagate"``, where it is not possible: says why.
        """
        if not len(images):
            return self._plain(images, places)
        if self.path is None or (self.path == "propagate" and self._stale()):
            self.choose(images, places)
        if self.path == "plain" or hooked(self.model):
            return self._plain(images, places)
        return self._propagate(images, places)

    @contextmanager
    def fixed_weights(self) -> Iterator[None]:
        """Inside, the weights do not change: backgrounds are computed once, without gradient."""
        self._kept = {}
        try:
            yield
        finally:
            self._kept = None

    def everywhere(
        self,
        images: Tensor,
        rows: Sequence[int],
        columns: Sequence[int],
        batch_size: int | None = None,
    ) -> Iterator[tuple[Tensor, Any]]:
        """The network's output for each item at each place of a grid; the weights stay as they are.

        The path is settled anew; under ``"auto"`` a grid that is computed sooner than it is found
        out what pays is plain.

        Args:
            images: uint8 (n, channels, item height, item width), on the model's device.
            rows: rows of the places.
            columns: columns of the places.
            batch_size: canvases in one forward pass; by their size if not given.

        Yields:
            Indices int64 into the grid's places in row-major order, each with all items, so that
            index ``i`` is item ``i % n`` at place ``i // n``; and the output for these.

        Raises:
            PlaceError: when the grid leaves the canvas, or is empty or not of whole numbers.
            ValueError: for a batch size that is not a whole number from 1.
            PathError: under ``"propagate"``, where it is not possible: says why.
        """
        if batch_size is not None and (
            not isinstance(batch_size, int | np.integer) or batch_size < 1
        ):
            raise ValueError(f"batch_size must be a whole number from 1, not {batch_size!r}")
        rows, columns = on_axis(rows), on_axis(columns)
        places = torch.cartesian_prod(torch.tensor(rows), torch.tensor(columns))
        n, total, device = len(images), len(images) * len(places), images.device
        # Windows are smallest where a batch shares its place, or else its row; but a few items of
        # another window size cost more than that saves.
        few = 100 if device.type == "cpu" else 3200
        shared = next((m for m in (n, n * len(columns)) if m >= few), total)
        batches = torch.arange(total).split(shared)
        # A place that is as far from the border as places are on average.
        typical = len(rows) // 4 * len(columns) + len(columns) // 4
        some = batches[typical * n // shared][[0, -1]]
        with self.fixed_weights():
            at = self.canvas.legal(places, len(places))[some // n]
            self._settle(total, images[(some % n).to(device)], at)
            propagates = self.path == "propagate"
            chunk = chunk_size(self.canvas.item if propagates else self.canvas.size, device)
            for batch in batches if propagates else (torch.arange(total),):
                for index in batch.split(batch_size or chunk):
                    yield index, self(images[(index % n).to(device)], places[index // n])

    def choose(self, images: Tensor, places: Tensor | Pair, samples: int | None = None) -> str:
        """Settle the path for batches like this one; the first call does it where nobody did.

        Args:
            images: as for a call.
            places: as for a call.
            samples: how many canvases there will be in all, if that is known: work that is sooner
                done than it is found out what pays is plain under ``"auto"``.

        Returns:
            The path.

        Raises:
            PathError: under ``"propagate"``, where it is not possible: says why.
        """
        return self._settle(samples, images, self.canvas.legal(places, len(images)))

    def operations(self, images: Tensor, places: Tensor | Pair) -> tuple[int, int]:
        """Multiply-adds of a batch's forward pass on the plain path and when propagating.

        Inside ``fixed_weights`` without those of the background.

        Raises:
            NotTraced: where torch.fx cannot follow the model's code.
            PathError: where the paths do not give the same.
        """
        whole, window, background = self._costs(images, self.canvas.legal(places, len(images)))
        shared = 0 if self._kept is not None else background
        return whole * len(images), window * len(images) + shared

    def _sample(self, images: Tensor, places: Tensor) -> Any:
        return self._plain(images[:1], places[:1])

    def _saved(self, images: Tensor, places: Tensor) -> float:
        if not any(map(spans, self.model.modules())):
            raise PathError(f"{type(self.model).__name__} has no convolution and no pooling")
        whole, window, background = self._costs(images, places)
        shared = 0 if self._kept is not None else background / len(images)
        return whole / max(1.0, window + shared)

    def _costs(self, images: Tensor, places: Tensor) -> tuple[int, int, int]:
        """Multiply-adds of a sample whole, of its window, of the background."""
        common = _common(places)
        images, places = images[[0, 0]], places[[0, min(1, len(places) - 1)]]

        def fast() -> tuple[Any, tuple[int, int]]:
            out, both = counted(lambda: self._propagate(images, places, common))
            _, one = counted(lambda: self._propagate(images[:1], places[:1], common))
            return out, (both, one)

        kept, self._kept = self._kept, None
        try:
            whole, (both, one) = self._compared(lambda: self._plain(images, places), fast)
        finally:
            self._kept = kept
        return whole // 2, both - one, 2 * one - both

    def _plain(self, images: Tensor, places: Tensor | Pair) -> Any:
        return output(self.model, self.canvas.render(images, places).to(dtype_of(self.model)))

    def _propagate(
        self, images: Tensor, places: Tensor | Pair, common: tuple[bool, bool] | None = None
    ) -> Any:
        places = self.canvas.legal(places, len(images))
        common = _common(places) if common is None else common
        device, dtype = images.device, dtype_of(self.model)
        fixed = self._kept is not None
        constant = not fixed and torch.as_tensor(self.canvas.background).ndim < 2
        rows, columns = (
            item_axis(size, item, (int(at),) if same else tuple(range(last + 1)), constant)
            for size, item, last, at, same in zip(
                self.canvas.size, self.canvas.item, self.canvas.last, places[0], common, strict=True
            )
        )
        own = places * places.new_tensor([not same for same in common])
        at = None if all(common) else (own[:, 0].to(device), own[:, 1].to(device))
        background = self.canvas.empty(images.shape[1], device).to(dtype)
        background = background[:, :, :1, :1] if constant else background
        start = Windowed(self.canvas.normalise(images).to(dtype), background, (rows, columns), at)
        walk = self._walk
        if walk is None or self._stale():
            walk = self._trace()
        out = walk.run(start, kept=self._kept)
        if self.exact_path == "propagate" and walk.stopped and walk.looks_further(walk.stopped):
            raise PathError(
                f"cannot propagate through {walk.stopped.target} of {type(self.model).__name__}"
            )
        return out

    def _stale(self) -> bool:
        # A layer that is replaced, or put in another mode, has other rules.
        return self._walk is not None and self._seen != self._parts()


def changed(
    model: nn.Module, canvas: Canvas, images: Tensor, place: Pair
) -> dict[str, NDArray[np.bool_]]:
    """Which cells of each convolution's map items at a place change, found on the plain path.

    Args:
        model: a network.
        canvas: the canvas.
        images: uint8 (n, channels, item height, item width), on the model's device.
        place: (row, column) of all.

    Returns:
        Name of the convolution -> bool (rows, columns), true where any item changes any channel.
    """
    maps: dict[str, Tensor] = {}
    hooks = [
        module.register_forward_hook(lambda m, x, y, name=name: maps.update({name: y.clone()}))
        for name, module in model.named_modules()
        if isinstance(module, nn.Conv2d)
    ]
    try:
        with torch.inference_mode():
            model(canvas.empty(images.shape[1], images.device).to(dtype_of(model)))
            empty = dict(maps)
            model(canvas.render(images, place).to(dtype_of(model)))
    finally:
        for hook in hooks:
            hook.remove()
    return {name: (y != empty[name]).any(1).any(0).cpu().numpy() for name, y in maps.items()}


def _common(places: Tensor) -> tuple[bool, bool]:
    """Whether all have one row, and whether all have one column."""
    rows, columns = (places == places[0]).all(0).tolist()
    return rows, columns
