"""What a result file must be to count: as it was written, complete, typed and in range.

It is checked once, where it is read; whoever gets its content may trust it.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, get_origin

import msgspec
import numpy as np
from msgspec import Meta

from invlib.runs.study import Study

FORMAT = 2

Fraction = Annotated[float, Meta(ge=0, le=1)]
Normalised = Annotated[float, Meta(ge=-1, le=1)]
"""An accuracy of which 0 is chance and 1 perfect; the least there is, -1, has two classes."""
Positive = Annotated[float, Meta(gt=0)]
ExactPath = Annotated[str, Meta(pattern="^(propagate|plain)$")]
Count = Annotated[int, Meta(ge=0)]


@dataclass(frozen=True)
class _Origin:
    """Where a run comes from, see ``store.provenance``."""

    fingerprint: str
    invlib: str
    commit: str
    torch: str
    numpy: str
    python: str
    hardware: str
    threads: Annotated[int, Meta(ge=1)]
    started: datetime
    seconds: Annotated[float, Meta(ge=0)]
    settings: dict[str, Any]


@dataclass(frozen=True)
class _File:
    format: Annotated[int, Meta(ge=FORMAT, le=FORMAT)]
    study: str
    profile: str
    condition: str
    seed: Count
    rows: Annotated[list[dict[str, Any]], Meta(min_length=1)]
    provenance: _Origin
    checksum: str


def checksum(content: dict[str, Any]) -> str:
    """SHA-256 of a file's content without its checksum: sorted JSON, no spaces."""
    rest = {name: value for name, value in content.items() if name != "checksum"}
    text = json.dumps(rest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def check_file(data: bytes) -> dict[str, Any]:
    """The content of a result file of any study.

    Raises:
        ValueError: for what is none, lacks something, or is not as it was written.
    """
    try:
        content: dict[str, Any] = msgspec.json.decode(data)
        msgspec.convert(content, _File)
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise ValueError(str(error)) from error
    if content["checksum"] != checksum(content):
        raise ValueError("not as it was written: its checksum is another")
    return content


def check_rows(study: Study, settings: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Whether these are the measurements that a study promises of a run under these settings.

    Raises:
        ValueError: when one lacks something, is out of range, missing, or too many.
    """
    try:
        typed = msgspec.convert(rows, list[study.measurement], dec_hook=_array)  # type: ignore[name-defined]
    except msgspec.ValidationError as error:
        raise ValueError(str(error)) from error
    study.check(settings, typed)


def _array(kind: Any, value: Any) -> Any:
    """An array of float64 of nested lists; null is NaN, which a study may refuse."""
    if (get_origin(kind) or kind) is not np.ndarray:
        raise NotImplementedError(kind)
    return np.array(value, dtype=np.float64)
