"""The papers' claims, each with a rule on stored results, and the verdicts by scale.

The papers give no accuracy as a number in the text, so the rules are ours. They were frozen before
the first full run.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from invlib import results
from invlib.measure.statistics import interval
from invlib.studies import study_of

if TYPE_CHECKING:
    import pandas as pd

HOLDS = "holds"
DIRECTION = "holds in direction only"
FAILS = "does not hold"
NOT_RUN = "not run"


@dataclass(frozen=True)
class Claim:
    """A statement of a paper that can fail.

    Attributes:
        id: as in the book, "C1".
        study: the study that decides it.
        source: paper and section.
        sentence: the claim in our words.
        rule: the pass rule in words.
        judge: from the measurements of one condition to (verdict, what was measured).
        conditions: for each profile the conditions it is judged on.
    """

    id: str
    study: str
    source: str
    sentence: str
    rule: str
    judge: Callable[["pd.DataFrame"], tuple[str, str]]
    conditions: dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Verdict:
    """A claim at one profile and condition.

    Attributes:
        claim: the claim.
        profile: the profile.
        condition: the condition.
        verdict: one of the four verdict words.
        measured: what was measured, or why it was not run.
        seeds: seeds that are there, of those planned.
    """

    claim: Claim
    profile: str
    condition: str
    verdict: str
    measured: str
    seeds: str

    def plain(self) -> dict[str, Any]:
        """Plain data, for JSON and tables."""
        return {
            "claim": self.claim.id,
            "profile": self.profile,
            "condition": self.condition,
            "rule": self.claim.rule,
            "measured": self.measured,
            "verdict": self.verdict,
            "seeds": self.seeds,
        }


def verdicts(study: str, root: str | Path | None = None) -> Iterator[Verdict]:
    """Every claim of a study at every profile and condition it is judged on."""
    planned = study_of(study)
    for claim in (c for c in CLAIMS if c.study == study):
        for profile, conditions in claim.conditions.items():
            every = results.table(study, profile, root)
            settings = planned.settings(profile)
            for condition in conditions:
                rows = every[every.condition == condition]
                seeds = f"{rows.seed.nunique()} of {settings.seeds}"
                if len(rows):
                    verdict, measured = claim.judge(rows)
                else:
                    verdict, measured = NOT_RUN, f"it needs {settings.needs}"
                if settings.conditions[condition].start == "pictures":
                    measured = f"stand-in for ImageNet; {measured}"
                yield Verdict(claim, profile, condition, verdict, measured, seeds)


def summary(rows: "pd.DataFrame", column: str) -> "pd.DataFrame":
    """Mean and 95 % interval over the seeds of each set, of the runs that passed their control.

    Returns:
        A frame indexed by set, in the order of the rows: mean, low, high (fractions), seeds.
    """
    import pandas as pd

    passed = rows[~rows.failed]
    return pd.DataFrame(
        {
            name: [*interval(group[column]), len(group)]
            for name, group in passed.groupby("set", sort=False)
        },
        index=["mean", "low", "high", "seeds"],
    ).T


def percent(mean: float, low: float, high: float) -> str:
    """A fraction with its interval in percent; one seed has no interval.

    >>> percent(0.5, 0.25, 0.75)
    '50.0 % [25.0, 75.0]'
    """
    if math.isnan(low):
        return f"{100 * mean:.1f} % [one seed]"
    return f"{100 * mean:.1f} % [{100 * low:.1f}, {100 * high:.1f}]"


def overall(rows: "pd.DataFrame", column: str) -> str:
    """Mean over sets and seeds of a column, with the 95 % interval over seeds, in percent."""
    passed = rows[~rows.failed]
    if not len(passed):
        return NOT_RUN
    return percent(*interval(passed.groupby("seed")[column].mean()))


def table(study: str, root: str | Path | None = None) -> "pd.DataFrame":
    """The verdicts of a study, one row each: claim, profile, condition, rule, measured, ..."""
    import pandas as pd

    return pd.DataFrame([verdict.plain() for verdict in verdicts(study, root)])


def gap(rows: "pd.DataFrame", column: str, condition: str, other: str) -> str:
    """The difference of two conditions over the seeds they share, with its 95 % interval."""
    passed = rows[~rows.failed]
    by_seed = passed.pivot_table(column, "seed", "condition")
    if not {condition, other} <= set(by_seed):
        return NOT_RUN
    return percent(*interval((by_seed[condition] - by_seed[other]).dropna()))


def _failed(rows: "pd.DataFrame") -> str:
    count = int(rows.failed.sum())
    return f"; {count} of {len(rows)} trainings failed their control" if count else ""


def _everywhere(rows: "pd.DataFrame") -> tuple[str, str]:
    each = summary(rows, "canvas")
    if not len(each):
        return FAILS, "no training passed its control"
    least = each["mean"].min()
    measured = (
        f"{_sets(rows)}: canvas accuracy {overall(rows, 'canvas')} on average, least "
        f"{_extreme(each, 'idxmin')}{_failed(rows)}"
    )
    complete = set(rows.set) == set(each.index)
    if complete and least >= 0.9:
        return HOLDS, measured
    return (DIRECTION if complete and least >= 0.7 else FAILS), measured


def _only_there(rows: "pd.DataFrame") -> tuple[str, str]:
    far, there = summary(rows, "far"), summary(rows, "control")
    if not len(far):
        return FAILS, "no training passed its control"
    measured = (
        f"{_sets(rows)}: far from the trained place {overall(rows, 'far')} on average, most "
        f"{_extreme(far, 'idxmax')}; at the trained place least {_extreme(there, 'idxmin')}"
        f"{_failed(rows)}"
    )
    if far["mean"].max() > 0.25 or set(rows.set) != set(far.index):
        return FAILS, measured
    return (HOLDS if there["mean"].min() >= 0.9 else DIRECTION), measured


def _sets(rows: "pd.DataFrame") -> str:
    return f"{rows.set.nunique()} sets"


def _extreme(each: "pd.DataFrame", which: str) -> str:
    row = each.loc[getattr(each["mean"], which)()]
    return f"{percent(row['mean'], row.low, row.high)} ({row.name})"


CLAIMS = (
    Claim(
        "C1",
        "imagenet",
        "Biscione & Bowers 2020, sec. 2.2",
        "A network pretrained on ImageNet and taught items at one place knows them everywhere.",
        "normalised canvas accuracy at least 90 % for every set (in direction: 70 %)",
        _everywhere,
        {
            "bench": ("natural-places", "natural-crops"),
            "squeezenet": ("imagenet", "imagenet-flat"),
            "paper": ("imagenet",),
        },
    ),
    Claim(
        "C2",
        "imagenet",
        "Biscione & Bowers 2020, sec. 2.2",
        "A network without pretraining knows them at the trained place only.",
        "for every set, at most 25 % at places that share no pixel with the trained one, and at "
        "least 90 % at the trained place (in direction: the positive control is passed)",
        _only_there,
        {"bench": ("vanilla",), "squeezenet": ("vanilla", "vanilla-flat"), "paper": ("vanilla",)},
    ),
)
