"""What the exact shortcuts save: time of accuracy maps and training steps with and without.

Ours. The two paths take turns in one process, on one thread; a time is the median of the rounds.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from statistics import median
from typing import Any

import pandas as pd
import torch

from invlib import models
from invlib.data.canvas import Canvas
from invlib.data.items import ItemSet
from invlib.data.sets import load
from invlib.devices import evaluating
from invlib.exact.propagation import Propagator
from invlib.measure.accuracy import accuracy_map
from invlib.runs import Profile, Study
from invlib.runs.checks import Count, ExactPath, Positive
from invlib.training import Recipe, fit

PATHS = ("plain", "auto")


@dataclass(frozen=True)
class Settings:
    """What is timed.

    Attributes:
        network: name of a VGG of the table.
        canvas: side of the canvas in pixels.
        item: side of the items while the number of places changes.
        places: sides of the test grids.
        sides: sides of the items while the grid stays.
        grid: side of that grid.
        classes: letters from A on.
        one: items of each letter while the number of places changes.
        many: items of each letter while their side changes.
        batch: samples of a training step.
        steps: training steps timed together.
        rounds: how often each is timed, after a round to warm up.
        precision: see ``Recipe``.
    """

    network: str
    canvas: int
    item: int
    places: tuple[int, ...]
    sides: tuple[int, ...]
    grid: int
    classes: int
    one: int
    many: int
    batch: int
    steps: int
    rounds: int
    precision: str = "float32"


@dataclass(frozen=True)
class Timing:
    """Some work timed on both paths.

    Attributes:
        work: ``map`` or ``step``.
        varied: ``places`` or ``item``, whose number or side changes.
        places: places of the map, 0 for a step.
        item_side: side of the items in pixels.
        plain: seconds on the plain path.
        auto: seconds on the path that ``auto`` took.
        limit: operations on the plain path for one when propagating, over all places.
        path: which path that was.
    """

    work: str
    varied: str
    places: Count
    item_side: Count
    plain: Positive
    auto: Positive
    limit: Positive
    path: ExactPath | None


SMOKE = Settings(
    network="smoke", canvas=16, item=6, places=(1, 3), sides=(4, 8), grid=2,
    classes=10, one=1, many=10, batch=4, steps=1, rounds=1,
)  # fmt: skip
BENCH = Settings(
    network="bench", canvas=64, item=16, places=(1, 7, 19, 37), sides=(8, 12, 16, 20, 24, 28, 32),
    grid=7, classes=10, one=1, many=10, batch=64, steps=5, rounds=5,
)  # fmt: skip


def compute(settings: Settings, seed: int) -> list[Timing]:
    """Times of maps for each number of places, of maps and training steps for each item side."""
    letters = load("glyphs").only(settings.classes).grey()
    one, many = letters.first(settings.one), letters.first(settings.many)
    rows = [_map(settings, one, settings.item, side, "places") for side in settings.places]
    for item in settings.sides:
        rows.append(_map(settings, many, item, settings.grid, "item"))
        rows.append(_step(settings, many, item))
    return rows


def check(settings: Settings, rows: Sequence[Timing]) -> None:
    """Whether a file has each of the times that the settings promise.

    Raises:
        ValueError: naming what was expected and found.
    """
    expected = [("map", "places", side**2, settings.item) for side in settings.places]
    for item in settings.sides:
        expected += [("map", "item", settings.grid**2, item), ("step", "item", 0, item)]
    found = [(row.work, row.varied, row.places, row.item_side) for row in rows]
    if found != expected:
        raise ValueError(f"expected times of {expected}, found {found}")


def sentence(table: pd.DataFrame) -> str:
    """How many times as fast as plain the work is with the smallest and the largest items."""
    if not len(table):
        return ""
    rows = table[table.varied == "item"]
    rows = rows[rows.item_side.isin(rows.item_side.agg(["min", "max"]))]
    works = {"map": "an accuracy map", "step": "a training step"}
    parts = "; ".join(
        f"with items of {row.item_side} px {works[row.work]} {row.plain / row.auto:.1f} times"
        for row in rows.itertuples()
    )
    return f"As fast as plain: {parts}."


def _map(settings: Settings, items: ItemSet, item: int, side: int, varied: str) -> Timing:
    canvas = Canvas(settings.canvas, item, std=0.3)
    shown = canvas.prepare(items)
    grid = canvas.test_grid(side) if side > 1 else (canvas.last[0] // 2,)
    model = models.vgg(settings.network, len(items.classes))
    forward = {}

    def show(path: str) -> None:
        forward[path] = Propagator(model, canvas, path)
        accuracy_map(
            model, canvas, shown, grid, precision=settings.precision, propagator=forward[path]
        )

    took = _seconds(show, settings.rounds)
    auto = forward["auto"]
    with torch.no_grad(), evaluating(model), auto.fixed_weights():
        each = [auto.operations(shown.images, at) for at in product(grid, grid)]
    plain, window = map(sum, zip(*each, strict=True))
    return Timing("map", varied, side**2, item, **took, limit=plain / window, path=auto.path)


def _step(settings: Settings, items: ItemSet, item: int) -> Timing:
    canvas = Canvas(settings.canvas, item, std=0.3)
    prepared = canvas.prepare(items)
    recipe = Recipe(
        steps=settings.steps, batch_size=settings.batch, target_accuracy=None,
        precision=settings.precision,
    )  # fmt: skip
    model = models.vgg(settings.network, len(items.classes))
    placement = canvas.fully_translated()
    trained = {}

    def train(path: str) -> float:
        trained[path] = fit(model, canvas, prepared, placement, recipe, exact_path=path)
        return trained[path].seconds / settings.steps

    took = _seconds(train, settings.rounds)
    some = torch.arange(settings.batch) % len(prepared)
    places = placement.places(prepared.labels[some], torch.Generator().manual_seed(0))
    plain, window = Propagator(model, canvas).operations(prepared.images[some], places)
    path = trained["auto"].path
    return Timing("step", "item", 0, item, **took, limit=plain / window, path=path)


def _seconds(call: Callable[[str], Any], rounds: int) -> dict[str, float]:
    """Median seconds on each path; a call may return its own."""
    took: dict[str, list[float]] = {path: [] for path in PATHS}
    for turn in range(rounds + 1):
        for path in PATHS:
            began = time.perf_counter()
            own = call(path)
            seconds = own if isinstance(own, float) else time.perf_counter() - began
            if turn:
                took[path].append(seconds)
    return {path: median(each) for path, each in took.items()}


STUDY = Study(
    "shortcuts",
    "ours",
    {
        "smoke": Profile({"one-thread": SMOKE}),
        "bench": Profile({"one-thread": BENCH}),
    },
    Timing,
    compute,
    check=check,
)
