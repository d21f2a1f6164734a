"""What is there of a study: its runs, their states, a table of their measurements."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_type_hints

import numpy as np
import pandas as pd

from invlib.runs.store import Found, ResultError, find
from invlib.runs.study import Run, Study


def states(
    study: Study, profile: str, seeds: int | None = None, root: str | Path | None = None
) -> Iterator[tuple[Run, Found]]:
    """Every run a study plans at a profile, and what is there of it."""
    for run, settings in study.runs(profile, seeds):
        yield run, find(study, run, settings, root)


def table(study: Study, profile: str, root: str | Path | None = None) -> pd.DataFrame:
    """All measurements of a study at a profile, one row each, as the study reads them.

    Runs under other settings than today's are left out, so that settings never mix.

    Returns:
        A frame with the columns ``seed``, ``condition`` and the fields of the study's
        ``measurement`` (truth, whole and floating-point numbers have their types, lists of lists
        are arrays of float64); the study's ``looks`` are in its ``attrs``.

    Raises:
        ResultError: for a damaged file, which is named.
    """
    rows = []
    for run, found in states(study, profile, root=root):
        if found.state == "damaged":
            raise ResultError(
                f"{found.path}: damaged result ({found.why}); "
                f"'invlib run {study.name} --profile {profile}' redoes it"
            )
        settings = study.profile(profile).conditions[run.condition]
        for row in found.content["rows"] if found.content else ():
            row = study.read(settings, row)
            rows.append({"seed": run.seed, "condition": run.condition, **row})
    columns = get_type_hints(study.measurement)  # also where annotations are kept as text
    frame = pd.DataFrame(rows, columns=["seed", "condition", *columns])
    for name, kind in columns.items():
        if kind in (bool, int, float):
            frame[name] = frame[name].astype(kind)
        else:
            frame[name] = [_array(value) for value in frame[name]]
    frame.attrs["looks"] = dict(study.looks)
    return frame


def passed(table: pd.DataFrame) -> pd.DataFrame:
    """The measurements that passed their positive control; all where a study has none."""
    return table[~table.failed] if "failed" in table else table


def capped(attempts: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the last training did all its steps before it reached its target, if it had one."""
    last = attempts[-1] if attempts else {}
    aims = last.get("recipe", {}).get("target_accuracy", 1) is not None
    return aims and last.get("outcome") == "steps"


def status(studies: Iterable[Study], root: str | Path | None = None) -> list[dict[str, Any]]:
    """What is there of every study and profile but ``smoke``, as plain data.

    Returns:
        One dictionary each: study, profile, planned, done (runs), measurements (rows of the done
        runs), failed (measurements whose positive control failed), repeated (those that took a
        second training), capped (those whose last training did all its steps), missing, stale and
        damaged (names or files), precision (every one that was asked for or trained at),
        hardware, torch, first and last date, hours of computing, needs.
    """
    rows = []
    for study in studies:
        for profile in (p for p in study.profiles if p != "smoke"):
            found: dict[str, list[Any]] = {s: [] for s in ("done", "stale", "damaged", "missing")}
            for run, each in states(study, profile, root=root):
                found[each.state].append(each.content or str(each.path or run))
            origins = [content["provenance"] for content in found["done"]]
            measured = [row for content in found["done"] for row in content["rows"]]
            dates = sorted(o["started"][:10] for o in origins)
            rows.append(
                {
                    "study": study.name,
                    "profile": profile,
                    "planned": sum(len(each) for each in found.values()),
                    "done": len(found["done"]),
                    "measurements": len(measured),
                    "failed": sum(row.get("failed", False) for row in measured),
                    "repeated": sum(len(row.get("attempts", ())) > 1 for row in measured),
                    "capped": sum(capped(row.get("attempts", ())) for row in measured),
                    **{state: found[state] for state in ("missing", "stale", "damaged")},
                    "precision": sorted(set(_named(found["done"], "precision"))),
                    "hardware": sorted({o["hardware"] for o in origins}),
                    "torch": sorted({o["torch"] for o in origins}),
                    "dates": [dates[0], dates[-1]] if dates else [],
                    "hours": round(sum(o["seconds"] for o in origins) / 3600, 2),
                    "needs": study.profile(profile).needs,
                }
            )
    return rows


def _named(content: Any, name: str) -> Iterator[Any]:
    """What stands under a name in plain data, at any depth."""
    if isinstance(content, dict):
        if name in content:
            yield content[name]
        content = list(content.values())
    if isinstance(content, list):
        for each in content:
            yield from _named(each, name)


def _array(value: Any) -> Any:
    if isinstance(value, list) and value and isinstance(value[0], list):
        return np.array(value, dtype=np.float64)  # null becomes NaN again
    return value
