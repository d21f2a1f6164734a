"""Progress bars, with one switch: ``INVLIB_PROGRESS=0`` turns all of them off."""

import os
from collections.abc import Iterable
from typing import Any

from tqdm import tqdm

position = 0
"""The line of this process's bars; a worker has its own."""


def bar(iterable: Iterable[Any] | None = None, **options: Any) -> "tqdm[Any]":
    """A tqdm bar on standard error that leaves nothing behind when it is done."""
    # disable=None: no bar either where standard error is not a terminal.
    off = True if os.environ.get("INVLIB_PROGRESS") == "0" else None
    return tqdm(iterable, disable=off, leave=False, position=position, **options)
