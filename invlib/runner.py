"""Compute the runs of a study that are missing: plan, resume, workers, deadline, progress.

Workers are processes of one thread; they hand their rows back, and only the process that plans
writes. Whatever stops it, finished runs stay, and the same call goes on with the rest.
"""

import multiprocessing
import os
import re
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from invlib import progress, results
from invlib.results import ResultError, Run
from invlib.studies import StudyError, study_of


@dataclass
class Report:
    """What a call of ``run`` did.

    Attributes:
        done: runs finished and written by this call.
        kept: runs that were there already.
        failed: runs that stopped with an error, and the error in one line.
        left: runs not finished before the deadline.
        redone: damaged files that were replaced or are to be replaced.
    """

    done: list[Run] = field(default_factory=list)
    kept: list[Run] = field(default_factory=list)
    failed: dict[Run, str] = field(default_factory=dict)
    left: list[Run] = field(default_factory=list)
    redone: list[Path] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether every planned run is there."""
        return not self.failed and not self.left


def run(
    study: str,
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
        study: its name.
        profile: its profile.
        seeds: seeds 0 to ``seeds - 1``; the profile's number if not given.
        workers: processes; one for each core if not given, one where there is a GPU.
        deadline: seconds from now after which unfinished runs are given up.
        root: where results are written, see ``results.results_root``.
        again: compute the runs too that are shipped with the package.
        executor: any other ``concurrent.futures.Executor`` to compute in; it is not shut down.

    Returns:
        What was done.

    Raises:
        StudyError: for an unknown study or profile, or a number below 1.
        ResultError: when results cannot be written; finished runs are kept.
        KeyboardInterrupt: passed on; finished runs are kept.
    """
    for name, number in (("seeds", seeds), ("workers", workers)):
        if number is not None and number < 1:
            raise StudyError(f"{name} must be at least 1, not {number}")
    planned = study_of(study)
    report = Report()
    waiting = []
    for task, settings in planned.runs(profile, seeds):
        state, path = results.find(task, results.fingerprint(settings), root, not again)
        if state == "done":
            report.kept.append(task)
            continue
        if state == "damaged" and path is not None:
            report.redone.append(path)
        waiting.append((task, settings))
    if not waiting:
        return report
    folder = results.results_root(root)
    _check_writable(folder)
    ends = None if deadline is None else time.monotonic() + deadline
    workers = min(workers or _default_workers(), len(waiting))
    running: dict[Future[Any], tuple[Run, dict[str, Any]]] = {}
    with _pool(workers, executor) as pool, progress.bar(total=len(waiting), unit="run") as bar:
        while waiting or running:
            if ends is not None and time.monotonic() >= ends:
                break
            # No more are handed out than are computed, so that a deadline or an error loses little.
            while waiting and len(running) < workers:
                task, settings = waiting.pop(0)
                with _interrupts_held():
                    running[pool.submit(_compute, task, settings)] = task, settings
            bar.set_postfix_str(", ".join(f"{t.condition}-{t.seed}" for t, _ in running.values()))
            left = None if ends is None else max(0.0, ends - time.monotonic())
            finished, _ = wait(running, timeout=left, return_when=FIRST_COMPLETED)
            for future in finished:
                task, _ = running.pop(future)
                try:
                    rows, origin = future.result()
                except BrokenProcessPool:
                    report.failed[task] = "its worker was killed"
                except Exception as error:
                    report.failed[task] = f"{type(error).__name__}: {error}"
                else:
                    results.save(task, rows, origin, folder)
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
    return float(match[1]) * {"s": 1, "m": 60, "h": 3600}[match[2]] if match else None


def _compute(task: Run, settings: dict[str, Any]) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    started = datetime.now(UTC).isoformat(timespec="seconds")
    begin = time.perf_counter()
    rows = study_of(task.study).compute(settings, task.seed)
    path = " and ".join(sorted({str(row.get("exact_path", "plain")) for row in rows}))
    return rows, results.provenance(settings, time.perf_counter() - begin, started, path)


@contextmanager
def _pool(workers: int, executor: Executor | None) -> Iterator[Executor]:
    if executor is not None:
        yield executor
        return
    # Spawned, not forked: a fork of a process in which torch has threads may hang.
    context = multiprocessing.get_context("spawn")
    slots = context.Queue()
    for slot in range(1, workers + 1):
        slots.put(slot)
    pool = ProcessPoolExecutor(
        workers, mp_context=context, initializer=_become_worker, initargs=(slots,)
    )
    try:
        yield pool
    finally:
        # Workers in the midst of a run are not waited for.
        for process in list((pool._processes or {}).values()):
            process.kill()
        pool.shutdown(wait=True, cancel_futures=True)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Hold Ctrl-C back for a moment; a worker started meanwhile never gets it, not in its imports.

    The mask is what a worker inherits. It is this thread's alone: another one, such as a queue's,
    may take the signal, and this one must not leave a worker half started then. Where there are no
    signal masks (Windows) a worker may show a traceback while it starts.
    """
    main = threading.current_thread() is threading.main_thread()  # no other sets handlers
    held: list[int] = []
    if main:
        handler = signal.signal(signal.SIGINT, lambda number, frame: held.append(number))
    masks = hasattr(signal, "pthread_sigmask")
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if masks else set()
    try:
        yield
    finally:
        if masks:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if main:
            signal.signal(signal.SIGINT, handler)
        if held:
            signal.raise_signal(signal.SIGINT)


def _become_worker(slots: Any) -> None:
    import torch

    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the planning process's.
    # tqdm's own lock is a semaphore, which a killed worker would leave behind.
    progress.tqdm.set_lock(threading.RLock())
    parent = multiprocessing.parent_process()

    def follow() -> None:
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
    progress.position = slots.get()  # After the thread: a dead parent may have put nothing.


def _default_workers() -> int:
    import torch

    return 1 if torch.cuda.is_available() else os.cpu_count() or 1


def _check_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise ResultError(
            f"results cannot be written to {folder}: {error.strerror or error}"
        ) from error
