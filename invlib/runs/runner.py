"""Compute the runs of a study that are missing: plan, resume, workers, deadline, progress.

Workers are processes of one thread; they hand their rows back, and only the process that plans
writes. Whatever stops it, finished runs stay, and the same call goes on with the rest.
"""

import re
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from invlib import progress
from invlib.runs import store
from invlib.runs.checks import check_rows
from invlib.runs.store import ResultError
from invlib.runs.study import Run, Study, StudyError
from invlib.runs.workers import default_workers, interrupts_held, pool


@dataclass
class Report:
    """What a call of ``run`` did.

    Attributes:
        done: runs finished and written by this call.
        kept: runs that were there already.
        failed: runs that stopped with an error, and the error in one line.
        left: runs not finished before the deadline.
        redone: damaged files that were replaced or are to be replaced, and what is wrong.
    """

    done: list[Run] = field(default_factory=list)
    kept: list[Run] = field(default_factory=list)
    failed: dict[Run, str] = field(default_factory=dict)
    left: list[Run] = field(default_factory=list)
    redone: dict[Path, str] = field(default_factory=dict)

    @property
    def complete(self) -> bool:
        """Whether every planned run is there."""
        return not self.failed and not self.left


def run(
    study: Study,
    profile: str = "bench",
    seeds: int | None = None,
    workers: int | None = None,
    deadline: float | None = None,
    root: str | Path | None = None,
    again: bool = False,
    executor: Executor | None = None,
) -> Report:
    """Compute what is missing of a study at a profile.

    Args:
        study: the study.
        profile: its profile.
        seeds: seeds 0 to ``seeds - 1``; the profile's number if not given.
        workers: processes; one for each core if not given, one where there is a GPU.
        deadline: seconds from now after which unfinished runs are given up.
        root: where results are written, see ``store.results_root``.
        again: compute the runs too that are shipped with the package.
        executor: any other ``concurrent.futures.Executor`` to compute in; it is not shut down.

    Returns:
        What was done.

    Raises:
        StudyError: for an unknown profile, or a number below 1.
        ResultError: when results cannot be written; finished runs are kept.
        KeyboardInterrupt: passed on; finished runs are kept.
    """
    for name, number in (("seeds", seeds), ("workers", workers)):
        if number is not None and number < 1:
            raise StudyError(f"{name} must be at least 1, not {number}")
    report = Report()
    waiting = []
    for task, settings in study.runs(profile, seeds):
        found = store.find(study, task, settings, root, not again)
        if found.state == "done":
            report.kept.append(task)
            continue
        if found.state == "damaged" and found.path:
            report.redone[found.path] = found.why
        waiting.append((task, settings))
    if not waiting:
        return report
    folder = store.results_root(root)
    _check_writable(folder)
    for task, _ in waiting:
        if (place := folder / f"{task}.json").is_dir():
            raise ResultError(f"{place} is a folder, where a result is to be written")
    store.remove_leftovers(folder / study.name / profile)
    ends = None if deadline is None else time.monotonic() + deadline
    workers = min(workers or default_workers(), len(waiting))
    running: dict[Future[Any], tuple[Run, Any]] = {}
    own = pool(workers) if executor is None else nullcontext(executor)
    with own as executor, progress.bar(total=len(waiting), unit="run") as bar:
        while waiting or running:
            if ends is not None and time.monotonic() >= ends:
                break
            # No more are handed out than are computed, so that a deadline or an error loses little.
            while waiting and len(running) < workers:
                task, settings = waiting.pop(0)
                with interrupts_held():
                    future = _submit(executor, study.compute, settings, task.seed)
                running[future] = task, settings
            named = (f"{task.condition}-{task.seed}" for task, _ in running.values())
            bar.set_postfix_str(", ".join(named))
            left = None if ends is None else max(0.0, ends - time.monotonic())
            finished, _ = wait(running, timeout=left, return_when=FIRST_COMPLETED)
            for future in finished:
                task, settings = running.pop(future)
                try:
                    rows, origin = future.result()
                    check_rows(study, settings, rows)
                except BrokenProcessPool:
                    report.failed[task] = "its worker was killed"
                except Exception as error:
                    report.failed[task] = f"{type(error).__name__}: {error}"
                else:
                    store.save(task, rows, origin, folder)
                    report.done.append(task)
                bar.update()
            if any(why == "its worker was killed" for why in report.failed.values()):
                break  # The pool is of no use any more; the same command goes on.
    report.left = [task for task, _ in (*running.values(), *waiting)]
    return report


def duration(text: str) -> float | None:
    """Seconds of a time such as 90s, 40m or 1.5h; None for an empty text.

    Raises:
        StudyError: for anything else.

    >>> duration("1.5h")
    5400.0
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)([smh])", text)
    if text and not match:
        raise StudyError(f"expected a time such as 90s, 40m or 1.5h, not {text!r}")
    seconds = float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]] if match else None
    return seconds and min(seconds, threading.TIMEOUT_MAX)  # no wait takes longer


def _submit(executor: Executor, *call: Any) -> Future[Any]:
    """Hand a run out; where a worker was killed meanwhile, the future says it."""
    try:
        return executor.submit(_compute, *call)
    except BrokenProcessPool as error:
        broken: Future[Any] = Future()
        broken.set_exception(error)
        return broken


def _compute(
    compute: Callable[[Any, int], Sequence[Any]], settings: Any, seed: int
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    store.commit()  # of the code as it is now, not at the end
    started = datetime.now(UTC).isoformat(timespec="seconds")
    begin = time.perf_counter()
    rows = store.as_written([asdict(row) for row in compute(settings, seed)])
    return rows, store.provenance(settings, time.perf_counter() - begin, started)


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ResultError(
            f"results cannot be written to {folder}: {error.strerror or error}"
        ) from error
