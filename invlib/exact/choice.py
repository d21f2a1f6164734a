"""Which path is taken: a shortcut has to give the plain numbers, and to be worth finding out."""

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from invlib.devices import device_of
from invlib.exact import trial
from invlib.exact.layers import NotTraced, Walk, spans

PATHS = ("auto", "propagate", "plain")
TRIAL, MODULE = 12, 2**27
"""Choosing takes about as long as so many samples in a batch on the plain path, and for each module
of the network as long as so many multiply-adds."""
SHARE, BRIEF = 0.05, 2**32
"""Choosing may take so large a share of the plain work, or so many multiply-adds where it takes no
more than a quarter (50 ms on one core of 2023)."""


class PathError(ValueError):
    """The shortcut was asked for and is not possible, or the path's name is unknown."""


class PlainPath(UserWarning):
    """Says why a network takes the plain path."""


class Shortcut(ABC):
    """A way to a network's outputs beside the plain one, taken where it is exact and pays.

    Args:
        model: the network.
        exact_path: ``"plain"``; ``"propagate"``, the shortcut; or ``"auto"``, the shortcut where it
            saves operations enough, and only after both paths gave the same on trial.

    Attributes:
        path: the path taken, ``"propagate"`` or ``"plain"``; None before it is settled.
        reason: why it is the plain one.

    Raises:
        PathError: for another ``exact_path``.
    """

    saving: float
    """``auto`` takes the shortcut where it saves at least so many times the operations."""

    def __init__(self, model: nn.Module, exact_path: str) -> None:
        if exact_path not in PATHS:
            raise PathError(f"exact_path must be one of {', '.join(PATHS)}, not {exact_path!r}")
        self.model, self.exact_path = model, exact_path
        self.path: str | None = "plain" if exact_path == "plain" else None
        self.reason = "asked for" if exact_path == "plain" else ""
        self._walk: Walk | None = None

    @abstractmethod
    def _sample(self, *inputs: Any) -> Any:
        """One sample on the plain path."""

    @abstractmethod
    def _saved(self, *inputs: Any) -> float:
        """How many times the operations the shortcut saves, found on trial."""

    def _settle(self, samples: int | None, *inputs: Any) -> str:
        """Settle the path for so many samples like these."""
        if self.exact_path != "plain":
            self.path, self.reason = None, ""
            try:
                self.path, self.reason = self._chosen(samples, inputs)
            except (NotTraced, PathError) as error:
                if self.exact_path == "propagate":
                    if error.__cause__ is not None:  # a network that raises gives its own error
                        with trial.untouched(self.model):
                            self._sample(*inputs)
                    raise PathError(str(error)) from error
                self.path, self.reason = "plain", str(error)
                warnings.warn(f"the plain path is taken: {error}", PlainPath, stacklevel=4)
        assert self.path is not None
        return self.path

    def _chosen(self, samples: int | None, inputs: tuple[Any, ...]) -> tuple[str, str]:
        auto = self.exact_path == "auto"
        if auto and not any(map(spans, self.model.modules())):
            return "plain", "no layer looks further than one cell"
        if trial.hooked(self.model):
            raise PathError("hooks are to see whole maps")
        if trial.trains_batch_norm(self.model):
            raise PathError("BatchNorm takes its statistics from the batch, all maps depend on it")
        if auto and samples is not None and self._short(samples, inputs):
            return "plain", "the work is too short to find out what pays"
        self._trace()
        saved = self._saved(*inputs)
        if auto and saved < self.saving:
            return "plain", f"the shortcut would save {saved:.2f} times the operations only"
        return "propagate", ""

    def _short(self, samples: int, inputs: tuple[Any, ...]) -> bool:
        """Whether choosing would take too much of the work; found without it where possible."""
        modules = len(self._parts())
        fixed = MODULE * modules
        if samples < (4 * TRIAL if fixed <= BRIEF else max(TRIAL / SHARE, 2 * modules)):
            return True
        with trial.untouched(self.model):
            each = trial.counted(lambda: self._sample(*inputs))[1]
        each *= 3 if torch.is_grad_enabled() else 1
        if device_of(self.model).type == "cuda":
            each //= 256  # It is so many times as fast, but in what the modules take.
        choosing, work = TRIAL * each + fixed, samples * each
        return choosing > SHARE * work and (choosing > BRIEF or 4 * choosing > work)

    def _trace(self) -> Walk:
        self._walk, self._seen = Walk(self.model), self._parts()
        return self._walk

    def _parts(self) -> list[tuple[nn.Module, bool]]:
        return [(module, module.training) for module in self.model.modules()]

    def _compared(
        self, plain: Callable[[], Any], fast: Callable[[], tuple[Any, Any]]
    ) -> tuple[int, Any]:
        """Multiply-adds on the plain path, and what the other says of its own beside the output.

        Raises:
            PathError: where they do not give the same, or what the network does is not repeatable.
        """
        name = type(self.model).__name__
        with torch.autocast(device_of(self.model).type, enabled=False), trial.SameDropout():
            with trial.untouched(self.model) as done:
                expected, whole = trial.counted(plain)
            if done:
                raise PathError(f"{name} {done[0]} as it runs")
            try:
                found, parts = fast()
                same = trial.agree(expected, found)
                if same and torch.is_grad_enabled():
                    same = trial.same_gradients(self.model, expected, found)
            except PathError:
                raise
            except Exception as error:  # as plain works
                raise PathError(f"{name} stopped: {error}") from error
        if not same:
            raise PathError(
                f"{name} does not give the same numbers on both paths; "
                "is something in it random, or a state that changes?"
            )
        return whole, parts
