"""How the benchmarks time, and what they measure on.

All sides run in turn in one process on one thread. ``BENCH_ROUNDS`` sets the least number of
rounds, to try the benchmarks out; what is published has at least five, and short work many more, in
each of three processes.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean, median
from typing import Any

from invlib import load
from invlib.data.canvas import Canvas
from invlib.data.items import ItemSet

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SECONDS = 2.0 * ROUNDS
"""Rounds go on for at least so long, as a busy machine's noise lasts longer than short work."""
TURN = 0.2
"""Seconds of a turn at least: nobody trains one step, or maps one image, after another's work."""

Side = Callable[[], float]
"""Does the work once and says how many seconds it took."""


def clock(work: Callable[[], object], times: float = 1.0) -> Side:
    """A side that does the work with a clock beside it; ``times``: the work is so much larger."""

    def seconds() -> float:
        began = time.perf_counter()
        work()
        return (time.perf_counter() - began) * times

    return seconds


def quicker(*sides: Side) -> Side:
    """Of several ways to do the same the quicker one.

    Short ones are tried twice: the first time there is memory to get and code to generate.
    """

    def tried(side: Side) -> float:
        first = side()
        return side() if first < 2 else first

    return min(sides, key=tried)


def turn(side: Side) -> float:
    """The mean of what a side takes, again and again for one turn.

    The first time it finds the caches full of the other sides' data.
    """
    seconds: list[float] = []
    ends = time.perf_counter() + TURN
    while not seconds or time.perf_counter() < ends:
        seconds.append(side())
    return mean(seconds)


def in_turn(sides: dict[str, Side], rounds: int) -> list[dict[str, float]]:
    """The seconds of each side, by at least so many rounds in which each has its turn.

    One side to the end and then the next would not do: a machine that slows down in between would
    change the ratio.
    """
    for side in sides.values():
        side()  # to warm up
    seconds: list[dict[str, float]] = []
    ends = time.perf_counter() + SECONDS
    while len(seconds) < rounds or time.perf_counter() < ends:
        seconds.append({name: turn(side) for name, side in sides.items()})
    return seconds


def compare(
    benchmark: Any,
    *,
    work: str,
    images: int,
    ours: Side,
    plain: Side | None = None,
    notebook: Side | None = None,
    goal: str = "",
    limit: float | None = None,
    rounds: int = ROUNDS,
) -> None:
    """Time all sides in turn and keep images per second; see ``keep`` for the other arguments."""
    given = {"ours": ours, "plain": plain, "notebook": notebook}
    sides = {name: side for name, side in given.items() if side is not None}
    # pytest-benchmark times one callable to the end; its time (the sum of all) is not used.
    seconds = benchmark.pedantic(in_turn, args=(sides, rounds), rounds=1)
    speeds = {name: images / median(each[name] for each in seconds) for name in sides}
    keep(
        benchmark,
        work=work,
        unit="images/s",
        goal=goal,
        limit=limit,
        rounds=len(seconds),
        **speeds,
    )


def time_alone(benchmark: Any, *, work: str, side: Side, goal: str) -> None:
    """Keep the median of the seconds of one side alone, after one round to warm up."""
    took: list[float] = []
    benchmark.pedantic(lambda: took.append(side()), rounds=ROUNDS, warmup_rounds=1)
    keep(benchmark, work=work, unit="s", ours=median(took[-ROUNDS:]), goal=goal)


def keep(
    benchmark: Any,
    *,
    work: str,
    unit: str,
    ours: float,
    plain: float | None = None,
    notebook: float | None = None,
    goal: str = "",
    limit: float | None = None,
    rounds: int = ROUNDS,
) -> None:
    """Put a row into ``benchmark.extra_info``.

    Args:
        benchmark: pytest-benchmark's fixture.
        work: what was done.
        unit: of the three numbers.
        ours: with invlib.
        plain: plain PyTorch, as good as it gets without the shortcut.
        notebook: the loop of a notebook.
        goal: of the ratio to ``plain`` where there is one, else of that to ``notebook``.
        limit: how many times fewer the operations are; the ratio to ``plain`` is held against it.
        rounds: behind each median.
    """

    def ratio(theirs: float | None) -> float | None:
        if theirs is None:
            return None
        # More is better of a speed, less of seconds and bytes.
        return ours / theirs if unit.endswith("/s") else theirs / ours

    benchmark.extra_info.update(
        work=work,
        unit=unit,
        ours=ours,
        plain=plain,
        notebook=notebook,
        ratio=ratio(plain),
        ratio_notebook=ratio(notebook),
        goal=goal,
        limit=limit,
        rounds=rounds,
    )


@dataclass(frozen=True)
class World:
    """Items, a canvas, and the same canvas for the notebook's loop."""

    items: ItemSet
    canvas: Canvas
    theirs: dict[str, Any]


def world(size: int, item: int, rgb: bool) -> World:
    items = load("glyphs").first(10)
    items = items.rgb() if rgb else items
    mean, std = Canvas(size, item).statistics(items)
    theirs = {"size": size, "item": item, "mean": mean, "std": std}
    return World(items, Canvas(size, item, mean=mean, std=std), theirs)
