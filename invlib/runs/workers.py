"""Worker processes: one thread each, gone when the process that plans is gone, deaf to Ctrl-C."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from typing import Any

import torch

from invlib import progress


@contextmanager
def pool(workers: int) -> Iterator[Executor]:
    """An executor of so many processes, killed at the end."""
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
def interrupts_held() -> Iterator[None]:
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


def default_workers() -> int:
    """One for each core, one where there is a GPU."""
    return 1 if torch.cuda.is_available() else os.cpu_count() or 1
