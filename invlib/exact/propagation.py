"""A network's output for items on a canvas: plainly, or through windows where that pays.

``windows`` has the method. Here it is decided which way is taken: propagating has to give the plain
numbers, or it is not done.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from invlib.data.canvas import Canvas, Pair
from invlib.devices import seeded
from invlib.exact.layers import (
    NotTraced,
    Walk,
    agree,
    counted,
    hooked,
    output,
    spans,
    trains_batch_norm,
)
from invlib.exact.windows import Windowed, item_axis

PATHS = ("auto", "propagate", "plain")
WORTHWHILE = 1.3
"""``auto`` propagates where it saves at least so many times the operations."""


class PathError(ValueError):
    """Propagation was asked for and is not possible, or the path's name is unknown."""


class PlainPath(UserWarning):
    """Says why a network takes the plain path."""


class Propagator:
    """The outputs of a network for items on a canvas.

    Args:
        model: any network from canvases (n, channels, height, width) to whatever it gives.
        canvas: the canvas.
        exact_path: ``"propagate"``; ``"plain"``; or ``"auto"``, which propagates where that saves
            operations enough, and only after an item at two places came out the same on both paths.

    Attributes:
        path: the path taken, ``"propagate"`` or ``"plain"``; None before the first call.
        reason: why it is the plain one.

    Raises:
        PathError: for another ``exact_path``.
    """

    def __init__(self, model: nn.Module, canvas: Canvas, exact_path: str = "auto") -> None:
        if exact_path not in PATHS:
            raise PathError(f"exact_path must be one of {', '.join(PATHS)}, not {exact_path!r}")
        self.model, self.canvas, self.exact_path = model, canvas, exact_path
        self.path: str | None = "plain" if exact_path == "plain" else None
        self.reason = "asked for" if exact_path == "plain" else ""
        self._walks: dict[Any, Walk] = {}
        self._known: dict[Any, Any] | None = None

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
        if self.path is None:
            self.choose(images, places)
        if self.path == "plain" or hooked(self.model):
            return self._plain(images, places)
        return self._propagate(images, places)

    @contextmanager
    def fixed_weights(self) -> Iterator[None]:
        """Inside, the weights do not change: backgrounds are computed once, without gradient."""
        self._known = {}
        try:
            yield
        finally:
            self._known = None

    def choose(self, images: Tensor, places: Tensor | Pair) -> str:
        """Settle the path for batches like this one; the first call does it where nobody did.

        Returns:
            The path.

        Raises:
            PathError: under ``"propagate"``, where it is not possible: says why.
        """
        if self.exact_path != "plain":
            self.path, self.reason = None, ""
            try:
                saving = self._saving(images, self.canvas.legal(places, len(images)))
                self.path = "propagate"
                if self.exact_path == "auto" and saving < WORTHWHILE:
                    self.path = "plain"
                    self.reason = f"propagating would save {saving:.2f} times the operations only"
            except PathError as error:
                if self.exact_path == "propagate":
                    raise
                self.path, self.reason = "plain", str(error)
                warnings.warn(f"the plain path is taken: {error}", PlainPath, stacklevel=3)
        assert self.path is not None
        return self.path

    def operations(self, images: Tensor, places: Tensor | Pair) -> tuple[int, int]:
        """Multiply-adds of a batch's forward pass on the plain path and when propagating.

        Inside ``fixed_weights`` without those of the background.

        Raises:
            NotTraced: where torch.fx cannot follow the model's code.
        """
        places = self.canvas.legal(places, len(images))
        whole, window, background, _ = self._compared(images, places)
        shared = 0 if self._known is not None else background
        return whole * len(images), window * len(images) + shared

    def _saving(self, images: Tensor, places: Tensor) -> float:
        """How many times the operations propagating saves; PathError where it is not possible."""
        if not any(spans(m) for m in self.model.modules()):
            if self.exact_path == "auto":
                return 1.0
            raise PathError(f"{type(self.model).__name__} has no convolution and no pooling")
        if trains_batch_norm(self.model):
            raise PathError("BatchNorm takes its statistics from the batch, all maps depend on it")
        if hooked(self.model):
            raise PathError("forward hooks are to see whole maps")
        try:
            with seeded(1):  # Not the seed of the comparison, which finds what is drawn here.
                self._walk()
            whole, window, background, same = self._compared(images, places)
        except NotTraced as error:
            raise PathError(str(error)) from error
        if not same:
            raise PathError(
                f"{type(self.model).__name__} does not give the same numbers on both paths; "
                "is something in it random, or a state that changes?"
            )
        shared = 0 if self._known is not None else background / len(images)
        return whole / max(1.0, window + shared)

    def _compared(self, images: Tensor, places: Tensor) -> tuple[int, int, int, bool]:
        """Multiply-adds of a sample whole, of its window, of the background; same output?"""
        common = _common(places)
        images, places = images[[0, 0]], places[[0, min(1, len(places) - 1)]]
        known, self._known = self._known, None
        try:
            with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
                plain = counted(lambda: self._plain(images, places))
                try:
                    both = counted(lambda: self._propagate(images, places, common))
                    one = counted(lambda: self._propagate(images[:1], places[:1], common))
                except (RuntimeError, TypeError, IndexError) as error:  # as plain works
                    raise PathError(f"{type(self.model).__name__} stopped: {error}") from error
        finally:
            self._known = known
        window = both[1] - one[1]
        return plain[1] // 2, window, one[1] - window, agree(plain[0], both[0])

    def _plain(self, images: Tensor, places: Tensor | Pair) -> Any:
        return output(self.model, self.canvas.render(images, places).to(_dtype(self.model)))

    def _propagate(
        self, images: Tensor, places: Tensor | Pair, common: tuple[bool, bool] | None = None
    ) -> Any:
        places = self.canvas.legal(places, len(images))
        common = _common(places) if common is None else common
        device, dtype = images.device, _dtype(self.model)
        fixed = self._known is not None
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
        walk = self._walk()
        out = walk.run(start, known=self._known)
        if self.exact_path == "propagate" and walk.stopped and walk.looks_further(walk.stopped):
            raise PathError(
                f"cannot propagate through {walk.stopped.target} of {type(self.model).__name__}"
            )
        return out

    def _walk(self) -> Walk:
        # A layer that is replaced, or put in another mode, has other rules.
        key = tuple((module, module.training) for module in self.model.modules())
        if key not in self._walks:
            self._walks = {key: Walk(self.model)}
        return self._walks[key]


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
            model(canvas.empty(images.shape[1], images.device).to(_dtype(model)))
            empty = dict(maps)
            model(canvas.render(images, place).to(_dtype(model)))
    finally:
        for hook in hooks:
            hook.remove()
    return {name: (y != empty[name]).any(1).any(0).cpu().numpy() for name, y in maps.items()}


def _common(places: Tensor) -> tuple[bool, bool]:
    """Whether all have one row, and whether all have one column."""
    rows, columns = (places == places[0]).all(0).tolist()
    return rows, columns


def _dtype(model: nn.Module) -> torch.dtype:
    return next((p.dtype for p in model.parameters() if p.is_floating_point()), torch.float32)
