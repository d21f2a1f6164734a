"""Biscione & Bowers 2020, "Learning Translation Invariance in CNNs": what it claims.

The paper gives no accuracy as a number in the text, so the rules are ours. They were frozen before
the first full run.
"""

from collections.abc import Mapping

import pandas as pd

from invlib.claims.frame import DIRECTION, FAILS, HOLDS, Case, Claim
from invlib.claims.summaries import overall, percent, summary


def _everywhere(tables: Mapping[str, pd.DataFrame]) -> tuple[str, str]:
    rows = tables["imagenet"]
    each = summary(rows, "canvas")
    if not len(each):
        return FAILS, "no training passed its control"
    least = each["mean"].min()
    measured = (
        f"{rows.set.nunique()} sets: canvas accuracy {overall(rows, 'canvas')} on average, least "
        f"{_extreme(each, 'idxmin')}{_failed(rows)}"
    )
    complete = set(rows.set) == set(each.index)
    if complete and least >= 0.9:
        return HOLDS, measured
    return (DIRECTION if complete and least >= 0.7 else FAILS), measured


def _only_there(tables: Mapping[str, pd.DataFrame]) -> tuple[str, str]:
    rows = tables["imagenet"]
    far, there = summary(rows, "far"), summary(rows, "control")
    if not len(far):
        return FAILS, "no training passed its control"
    measured = (
        f"{rows.set.nunique()} sets: far from the trained place {overall(rows, 'far')} on average, "
        f"most {_extreme(far, 'idxmax')}; at the trained place least {_extreme(there, 'idxmin')}"
        f"{_failed(rows)}"
    )
    if far["mean"].max() > 0.25 or set(rows.set) != set(far.index):
        return FAILS, measured
    return (HOLDS if there["mean"].min() >= 0.9 else DIRECTION), measured


def _failed(rows: pd.DataFrame) -> str:
    count = int(rows.failed.sum())
    return f"; {count} of {len(rows)} trainings failed their control" if count else ""


def _extreme(each: pd.DataFrame, which: str) -> str:
    row = each.loc[getattr(each["mean"], which)()]
    return f"{percent(row['mean'], row.low, row.high)} ({row.name})"


_STAND_IN = "stand-in for ImageNet; "

C1 = Claim(
    "C1",
    "Biscione & Bowers 2020, sec. 2.2",
    "A network pretrained on ImageNet and taught items at one place knows them everywhere.",
    "normalised canvas accuracy at least 90 % for every set (in direction: 70 %)",
    _everywhere,
    (
        Case("bench", {"imagenet": ("natural-places",)}, _STAND_IN),
        Case("bench", {"imagenet": ("natural-crops",)}, _STAND_IN),
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
    "least 90 % at the trained place (in direction: the positive control is passed)",
    _only_there,
    (
        Case("bench", {"imagenet": ("vanilla",)}),
        Case("squeezenet", {"imagenet": ("vanilla",)}),
        Case("squeezenet", {"imagenet": ("vanilla-flat",)}),
        Case("paper", {"imagenet": ("vanilla",)}),
    ),
)
