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
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

FORMAT = 1
COLUMNS = ("seed", "condition", "set", "classes", "control", "failed", "attempts") + tuple(
    f"{name}{suffix}" for suffix in ("", "_held_out") for name in ("map", "canvas", "far")
)
"""The columns of a table that every study has."""


class ResultError(ValueError):
    """A result file is damaged, or results cannot be written."""


@dataclass(frozen=True, order=True)
class Run:
    """The name of a run."""

    study: str
    profile: str
    condition: str
    seed: int

    def __str__(self) -> str:
        return f"{self.study}/{self.profile}/{self.condition}-{self.seed}"


def stored_root() -> Path:
    """The runs shipped with the package."""
    return Path(__file__).parent / "stored"


def results_root(root: str | Path | None = None) -> Path:
    """Where new runs are written: ``root``, ``INVLIB_RESULTS`` or the user's data folder."""
    if root is not None:
        return Path(root)
    if "INVLIB_RESULTS" in os.environ:
        return Path(os.environ["INVLIB_RESULTS"])
    import platformdirs

    return Path(platformdirs.user_data_dir("invlib")) / "results"


def fingerprint(settings: Any) -> str:
    """Twelve hexadecimal digits that change with any setting (a dataclass or plain data)."""
    plain = asdict(settings) if is_dataclass(settings) else settings  # type: ignore[arg-type]
    return hashlib.sha256(json.dumps(plain, sort_keys=True).encode()).hexdigest()[:12]


def provenance(
    settings: dict[str, Any], seconds: float, started: str, exact_path: str = "plain"
) -> dict[str, Any]:
    """What is written beside a run's rows: settings, versions, hardware, time, path."""
    import torch

    from invlib import __version__

    cuda = torch.cuda.is_available()
    return {
        "settings": settings,
        "fingerprint": fingerprint(settings),
        "invlib": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
        "hardware": torch.cuda.get_device_name() if cuda else _processor(),
        "threads": torch.get_num_threads(),
        "exact_path": exact_path,
        "started": started,
        "seconds": round(seconds, 1),
    }


def save(run: Run, rows: list[dict[str, Any]], origin: dict[str, Any], root: Path) -> Path:
    """Write a run's file: to a temporary name, flushed, then renamed.

    Raises:
        ResultError: when it cannot be written; nothing half-written is left.
    """
    path = root / f"{run}.json"
    content = {"format": FORMAT, **asdict(run), "rows": rows, "provenance": origin}
    text = _readable(_rounded(content)) + "\n"
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, prefix=".", suffix=".tmp", delete=False, encoding="utf-8"
        ) as file:
            temporary = file.name
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


def load(path: Path) -> dict[str, Any]:
    """Read a run's file.

    Returns:
        The content: format, study, profile, condition, seed, rows, provenance.

    Raises:
        ResultError: when the file is damaged or is another run's than its name says.
    """
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        run = Run(*(content[k] for k in ("study", "profile", "condition", "seed")))
        rows, origin = content["rows"], content["provenance"]
        sound = content["format"] == FORMAT and isinstance(rows, list) and len(rows) > 0
        sound &= all(isinstance(row, dict) for row in rows) and isinstance(origin, dict)
        sound &= origin["fingerprint"] == fingerprint(origin["settings"])
        sound &= path.as_posix().endswith(f"/{run}.json")
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ResultError(f"{path}: damaged result ({error!r}); run it again") from error
    if not sound:
        raise ResultError(f"{path}: damaged result (not the run its name says); run it again")
    return content


def find(
    run: Run, expected: str, root: str | Path | None = None, shipped: bool = True
) -> tuple[str, Path | None]:
    """The state of a run, and its file.

    The state is ``done``, ``stale`` (other settings than today's), ``damaged`` or ``missing``.

    Args:
        run: the run.
        expected: the fingerprint of its settings as they are now.
        root: see ``results_root``.
        shipped: whether a run shipped with the package counts.
    """
    state, where = "missing", None
    for folder in (results_root(root), stored_root())[: 2 if shipped else 1]:
        path = folder / f"{run}.json"
        if not path.is_file():
            continue
        try:
            content = load(path)
        except ResultError:
            return "damaged", path  # named, even where a shipped run could stand in
        else:
            found = "done" if content["provenance"]["fingerprint"] == expected else "stale"
        if found == "done":
            return found, path
        if state == "missing":
            state, where = found, path
    return state, where


def table(study: str, profile: str, root: str | Path | None = None) -> "pd.DataFrame":
    """All measurements of a study at a profile, one row each; maps are arrays.

    Runs under other settings than today's are left out, so that settings never mix.

    Raises:
        ResultError: for a damaged file, which is named.
    """
    import pandas as pd

    from invlib.studies import study_of

    rows = []
    for run, state, path in states(study_of(study), profile, root=root):
        if state == "damaged":
            raise ResultError(
                f"{path}: damaged result; 'invlib run {study} --profile {profile}' redoes it"
            )
        if state != "done" or path is None:
            continue
        for row in load(path)["rows"]:
            rows.append({"seed": run.seed, "condition": run.condition, **row})
    frame = pd.DataFrame(rows, columns=None if rows else list(COLUMNS))
    frame["failed"] = frame["failed"].astype(bool)
    for column in frame.columns:
        if column.startswith("map"):
            frame[column] = [None if m is None else np.array(m) for m in frame[column]]
    return frame


def states(
    study: Any, profile: str, seeds: int | None = None, root: str | Path | None = None
) -> Iterator[tuple[Run, str, Path | None]]:
    """Every run a study plans at a profile, with its state and file."""
    for run, settings in study.runs(profile, seeds):
        yield run, *find(run, fingerprint(settings), root)


def status(root: str | Path | None = None) -> list[dict[str, Any]]:
    """What is there of every study and profile but ``smoke``, as plain data.

    Returns:
        One dictionary each: study, profile, planned, done (runs), measurements (rows of the done
        runs), failed (measurements whose positive control failed), repeated (measurements that
        took the remedy), missing, stale and damaged (names or files), hardware, torch, first and
        last date, hours of computing, needs.
    """
    from invlib.studies import STUDIES, study_of

    table = []
    for name in STUDIES:
        study = study_of(name)
        for profile in (p for p in study.profiles if p != "smoke"):
            found: dict[str, list[Any]] = {s: [] for s in ("done", "stale", "damaged", "missing")}
            for run, state, path in states(study, profile, root=root):
                found[state].append(load(path) if state == "done" and path else str(path or run))
            origins = [content["provenance"] for content in found["done"]]
            rows = [row for content in found["done"] for row in content["rows"]]
            dates = sorted(o["started"][:10] for o in origins)
            table.append(
                {
                    "study": name,
                    "profile": profile,
                    "planned": sum(len(each) for each in found.values()),
                    "done": len(found["done"]),
                    "measurements": len(rows),
                    "failed": sum(row["failed"] for row in rows),
                    "repeated": sum(len(row["attempts"]) > 1 for row in rows),
                    **{state: found[state] for state in ("missing", "stale", "damaged")},
                    "hardware": sorted({o["hardware"] for o in origins}),
                    "torch": sorted({o["torch"] for o in origins}),
                    "dates": [dates[0], dates[-1]] if dates else [],
                    "hours": round(sum(o["seconds"] for o in origins) / 3600, 2),
                    "needs": study.settings(profile).needs,
                }
            )
    return table


def _rounded(value: Any) -> Any:
    """Plain data with 5 significant digits; NaN becomes null."""
    if isinstance(value, np.ndarray):
        return _rounded(value.tolist())
    if isinstance(value, dict):
        return {k: _rounded(v) for k, v in value.items() if k != "settings"} | (
            {"settings": value["settings"]} if "settings" in value else {}
        )
    if isinstance(value, list | tuple):
        return [_rounded(v) for v in value]
    if isinstance(value, float):
        return float(f"{value:.5g}") if math.isfinite(value) else None
    return value


def _readable(content: dict[str, Any]) -> str:
    """JSON with one line for each list of numbers, so that a diff is read by a person."""
    text = json.dumps(content, indent=1)
    import re

    # The first alternative steps over strings: what looks like a list inside one stays as it is.
    return re.sub(
        r'"(?:[^"\\]|\\.)*"|\[[^][{}"]*\]',
        lambda m: m.group() if m.group()[0] == '"' else " ".join(m.group().split()),
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
