"""Progress, with one switch: ``INVLIB_PROGRESS=0`` turns all of it off.

A bar in a terminal and in a notebook, elsewhere a line now and then.
"""

import os
import sys
from typing import Any

from tqdm import tqdm

position = 0
"""The line of this process's bars; a worker has its own."""

FIRST, EVERY = 3, 30
"""Seconds to the first line where there is no terminal, and between lines."""
LONG = 60
"""Seconds from which on it is said how long something takes and what takes less."""


class _Bar(tqdm):
    shorter = ""

    def update(self, n: float | None = 1) -> bool | None:
        drawn: bool | None = super().update(n)
        if self.shorter and (now := self.format_dict)["elapsed"] > FIRST:
            left = now["elapsed"] * (now["total"] / now["n"] - 1)
            if left > LONG:
                self.write(
                    f"{self.desc}: at most {left / 60:.0f} min more here; {self.shorter}",
                    file=sys.stderr,
                )
            self.shorter = ""
        return drawn


class _Lines:
    """A stream on which each state of a bar is a line of its own."""

    def write(self, text: str) -> None:
        if text.strip():
            sys.stderr.write(text.strip() + "\n")

    def flush(self) -> None:
        sys.stderr.flush()


def bar(shorter: str = "", **options: Any) -> _Bar:
    """A tqdm bar on standard error that leaves nothing behind when it is done.

    Args:
        shorter: said once with an estimate where it takes long: what would take less.
        options: of tqdm.
    """
    options |= {"leave": False, "position": position}
    notebook = type(sys.stderr).__module__ == "ipykernel.iostream"
    lines = not (notebook or sys.stderr.isatty())
    if lines:
        options |= {
            "file": _Lines(),
            "mininterval": EVERY,
            "delay": FIRST,
            "smoothing": 0,  # time left by the average
            "bar_format": "{desc}: {n_fmt} of {total_fmt} {unit}s, {elapsed} gone, "
            "{remaining} left{postfix}",
        }
    # Of several workers' lines nobody would know whose they are.
    off = os.environ.get("INVLIB_PROGRESS") == "0" or (lines and position > 0)
    drawn = _Bar(disable=off, **options)
    drawn.shorter = "" if off else shorter
    if lines and not off:
        drawn.last_print_t += FIRST - EVERY
    return drawn
