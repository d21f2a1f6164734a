"""Finished runs: one JSON file each, written whole or not at all, with their provenance.

A run is one trained network and all that was measured on it, identified by study, profile,
condition and seed. Its file is ``<root>/<study>/<profile>/<condition>-<seed>.json``. Runs that are
shipped lie in the package (``stored_root``); new ones go to ``results_root``, which is read first.
"""

import hashlib
import json
import math
import os
import platform
import re
import subprocess
import tempfile
from contextlib import suppress
from dataclasses import asdict, dataclass, is_dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch

import invlib
from invlib.runs.checks import FORMAT, check_file, check_rows, checksum
from invlib.runs.study import Run, Study

try:
    import fcntl
except ImportError:  # Windows, which does not remove a file that is open
    fcntl = None  # type: ignore[assignment]


class ResultError(ValueError):
    """A result file is damaged, or results cannot be written."""


def stored_root() -> Path:
    """The runs shipped with the package."""
    return Path(invlib.__file__).parent / "stored"


def results_root(root: str | Path | None = None) -> Path:
    """Where new runs are written: ``root``, ``INVLIB_RESULTS`` or the user's data folder."""
    if root is None:
        default = Path(platformdirs.user_data_dir("invlib")) / "results"
        root = os.environ.get("INVLIB_RESULTS", default)
    return Path(root).resolve()


def plain(settings: Any) -> dict[str, Any]:
    """Settings as a file has them: plain data, without what is off (None)."""

    def kept(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        return {name: value for name, value in pairs if value is not None}

    # As JSON gives it back, so that the fingerprint of a file's settings is the same.
    data: dict[str, Any] = json.loads(json.dumps(asdict(settings, dict_factory=kept)))
    return data


def fingerprint(settings: Any) -> str:
    """Twelve hexadecimal digits that change with any setting (a dataclass or plain data)."""
    data = plain(settings) if is_dataclass(settings) else settings
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]


def provenance(settings: Any, seconds: float, started: str) -> dict[str, Any]:
    """What is written beside a run's rows: versions, hardware, time, settings."""
    cuda = torch.cuda.is_available()
    return {
        "fingerprint": fingerprint(settings),
        "invlib": invlib.__version__,
        "commit": commit(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "hardware": torch.cuda.get_device_name() if cuda else _processor(),
        "threads": torch.get_num_threads(),
        "started": started,
        "seconds": round(seconds, 1),
        "settings": plain(settings),
    }


@cache  # of the code that this process has imported, whatever is committed later
def commit() -> str:
    """The commit of the package's code, ``-dirty`` where it was changed; empty if unknown.

    It is that of the package's checkout, or the one pip installed it from (PEP 610).
    """

    def git(*words: str) -> str:
        command = ["git", "-C", str(Path(invlib.__file__).parent), *words]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    try:
        git("ls-files", "--error-unmatch", "__init__.py")  # not a checkout around the package
        changed = git("status", "--porcelain", "--", "*.py")
        return git("rev-parse", "HEAD") + ("-dirty" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        pass
    try:
        address = metadata.distribution("invlib").read_text("direct_url.json") or "{}"
    except metadata.PackageNotFoundError:
        return ""
    return str(json.loads(address).get("vcs_info", {}).get("commit_id", ""))


def save(run: Run, rows: list[dict[str, Any]], origin: dict[str, Any], root: Path) -> Path:
    """Write a run's file: to a temporary name, flushed, then renamed.

    Args:
        run: the run.
        rows: its measurements, plain data and arrays.
        origin: see ``provenance``.
        root: the folder of all results.

    Raises:
        ResultError: when it cannot be written; nothing half-written is left.
    """
    path = root / f"{run}.json"
    content = {"format": FORMAT, **asdict(run), "rows": rows, "provenance": origin}
    content = as_written(content)
    text = _readable(content | {"checksum": checksum(content)}) + "\n"
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=".", suffix=".tmp", delete=False, encoding="utf-8"
        ) as file:
            temporary = file.name
            if fcntl:  # while it is written, nobody takes it for a leftover
                fcntl.flock(file, fcntl.LOCK_EX)
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:  # Ctrl-C as well
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise ResultError(f"{path} cannot be written: {error.strerror or error}") from error
        raise
    return path


def remove_leftovers(folder: Path) -> None:
    """Remove what a kill in mid-write left of the files of a folder."""
    for path in folder.glob(".*.tmp"):
        with suppress(OSError), path.open() as file:
            if fcntl:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()


def load(path: Path) -> dict[str, Any]:
    """Read a run's file.

    Returns:
        The content: format, study, profile, condition, seed, rows, provenance, checksum.

    Raises:
        ResultError: when the file is damaged or is another run's than its name says.
    """
    try:
        return _content(path)
    except ValueError as error:
        raise ResultError(f"{path}: damaged result ({error}); run it again") from error


def _content(path: Path) -> dict[str, Any]:
    """The same; the error says no more than why."""
    if not path.is_file():
        raise ValueError("not a file")
    try:
        content = check_file(path.read_bytes())
    except OSError as error:
        raise ValueError(error.strerror or str(error)) from error
    run = Run(*(content[k] for k in ("study", "profile", "condition", "seed")))
    if not path.absolute().as_posix().endswith(f"/{run}.json"):
        raise ValueError(f"it is {run}, not the run its name says")
    origin = content["provenance"]
    if origin["fingerprint"] != fingerprint(origin["settings"]):
        raise ValueError("its fingerprint is not that of its settings")
    return content


@dataclass(frozen=True)
class Found:
    """What is there of a run.

    Attributes:
        state: ``done``, ``stale`` (other settings than today's), ``damaged`` or ``missing``.
        path: its file; None where it is missing.
        content: of the file, where it is done.
        why: it is damaged.
    """

    state: str
    path: Path | None = None
    content: dict[str, Any] | None = None
    why: str = ""


def find(
    study: Study, run: Run, settings: Any, root: str | Path | None = None, shipped: bool = True
) -> Found:
    """What is there of a run.

    Args:
        study: its study.
        run: the run.
        settings: as they are now.
        root: see ``results_root``.
        shipped: whether a run shipped with the package counts.
    """
    found = Found("missing")
    for folder in (results_root(root), stored_root())[: 2 if shipped else 1]:
        path = folder / f"{run}.json"
        try:
            path.lstat()
        except (FileNotFoundError, NotADirectoryError):
            continue
        try:
            content = _content(path)
            if content["provenance"]["fingerprint"] == fingerprint(settings):
                check_rows(study, settings, content["rows"])
                return Found("done", path, content)
        except ValueError as error:
            # Named, even where a shipped run could stand in.
            return Found("damaged", path, why=str(error))
        if found.state == "missing":
            found = Found("stale", path)
    return found


def as_written(content: Any) -> Any:
    """Plain data and arrays as a file gives them back: five significant digits, null for NaN."""
    return json.loads(json.dumps(_rounded(content)))


def _rounded(value: Any) -> Any:
    """Plain data with 5 significant digits; NaN becomes null."""
    if isinstance(value, np.ndarray):
        return _rounded(value.tolist())
    if isinstance(value, dict):
        return {k: v if k == "settings" else _rounded(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    if isinstance(value, float):
        rounded = float(f"{value:.5g}")
        return rounded if math.isfinite(rounded) else None
    return value


def _readable(content: dict[str, Any]) -> str:
    """JSON with one line for each list of numbers, so that a diff is read by a person.

    No spaces between them: results travel in the wheel.
    """
    text = json.dumps(content, indent=1)
    # The first alternative steps over strings: what looks like a list inside one stays as it is.
    return re.sub(
        r'"(?:[^"\\]|\\.)*"|\[[^][{}"]*\]',
        lambda m: m.group() if m.group()[0] == '"' else "".join(m.group().split()),
        text,
    )


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return f"{line.partition(':')[2].strip()}, {os.cpu_count()} cores"
    except OSError:
        pass
    return f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores"
