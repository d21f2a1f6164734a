"""Biscione & Bowers 2020, "Learning Translation Invariance in CNNs": what it claims.

The paper gives no accuracy as a number in the text, so the rules are ours. They were frozen before
the first full run, but for the level "in direction" of C2, which they did not have.
"""

from collections.abc import Mapping

import pandas as pd

from invlib.claims.frame import DIRECTION, FAILS, HOLDS, Case, Claim
from invlib.claims.summaries import behind, overall
from invlib.runs import passed


def _everywhere(tables: Mapping[str, pd.DataFrame]) -> tuple[str, str]:
    rows = tables["imagenet"]
    canvas = _means(rows, "canvas")
    if not len(canvas):
        return FAILS, "no training passed its control"
    measured = (
        f"{overall(rows, 'canvas')} of the canvas, least {_of(canvas, canvas.idxmin())}; "
        f"{_behind(rows)}"
    )
    complete = set(rows.set) == set(canvas.index)
    if complete and canvas.min() >= 0.9:
        return HOLDS, measured
    return (DIRECTION if complete and canvas.min() >= 0.7 else FAILS), measured


def _only_there(tables: Mapping[str, pd.DataFrame]) -> tuple[str, str]:
    rows = tables["imagenet"]
    far, there = _means(rows, "far"), _means(rows, "control")
    if not len(far):
        return FAILS, "no training passed its control"
    measured = (
        f"{overall(rows, 'far')} far away, most {_of(far, far.idxmax())}; at the trained place "
        f"least {_of(there, there.idxmin())}; {_behind(rows)}"
    )
    if far.max() > 0.25 or set(rows.set) != set(far.index):
        return FAILS, measured
    return (HOLDS if there.min() >= 0.9 else DIRECTION), measured


def _means(rows: pd.DataFrame, column: str) -> pd.Series:
    return passed(rows).groupby("set", sort=False)[column].mean()


def _of(means: pd.Series, name: str) -> str:
    return f"{100 * means[name]:z.1f} % ({name})"


def _behind(rows: pd.DataFrame) -> str:
    failed = int(rows.failed.sum())
    return behind(rows) + (f", {failed} more failed their control" if failed else "")


_STAND_IN = "stand-in: "

C1 = Claim(
    "C1",
    "Biscione & Bowers 2020, sec. 2.2",
    "A network pretrained on ImageNet and taught items at one place knows them everywhere.",
    "normalised canvas accuracy at least 90 % for every set (in direction: 70 %)",
    _everywhere,
    (
        Case("bench", {"imagenet": ("natural-places",)}, _STAND_IN, "kept"),
        Case("bench", {"imagenet": ("natural-places",)}, _STAND_IN, "fresh"),
        Case("bench", {"imagenet": ("natural-crops",)}, _STAND_IN, "kept"),
        Case("bench", {"imagenet": ("natural-crops",)}, _STAND_IN, "fresh"),
        Case("squeezenet", {"imagenet": ("imagenet",)}),
        Case("squeezenet", {"imagenet": ("imagenet-flat",)}),
        Case("paper", {"imagenet": ("imagenet",)}),
    ),
)
C2 = Claim(
    "C2",
    "Biscione & Bowers 2020, sec. 2.2",
    "A network without pretraining knows them at the trained place only.",
    "for every set, at most 25 % at places that share no pixel with the trained one, and at "
    "least 90 % at the trained place (in direction: the positive control is passed; the rules "
    "written down before the runs do not have this level)",
    _only_there,
    (
        Case("bench", {"imagenet": ("vanilla",)}),
        Case("squeezenet", {"imagenet": ("vanilla",)}),
        Case("squeezenet", {"imagenet": ("vanilla-flat",)}),
        Case("paper", {"imagenet": ("vanilla",)}),
    ),
)
