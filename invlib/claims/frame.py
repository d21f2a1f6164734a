"""Claims of papers: what decides them, and the verdicts."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from invlib import runs
from invlib.claims.summaries import NOT_RUN, with_last_layer
from invlib.studies import study_of

HOLDS = "holds"
DIRECTION = "holds in direction only"
FAILS = "does not hold"
NO_RULE = "no rule"


@dataclass(frozen=True)
class Case:
    """What a claim is judged on, once.

    Attributes:
        profile: the scale; scales are never mixed.
        needs: study -> the conditions whose measurements it compares; the first study decides it,
            the others are compared with.
        remark: stands before what was measured.
        last_layer: which networks, see ``with_last_layer``; empty: there is one way only.
    """

    profile: str
    needs: Mapping[str, tuple[str, ...]]
    remark: str = ""
    last_layer: str = ""

    @property
    def study(self) -> str:
        """The study that decides it, in whose chapter the verdict stands."""
        return next(iter(self.needs))

    @property
    def conditions(self) -> str:
        """The conditions in words, and which last layer."""
        names = [name for names in self.needs.values() for name in names]
        return ", ".join(names + [f"last layer {self.last_layer}"] * bool(self.last_layer))


@dataclass(frozen=True)
class Claim:
    """A statement of a paper that can fail.

    Attributes:
        id: as in the book, "C1".
        source: paper and section.
        sentence: the claim in our words.
        rule: the pass rule in words.
        judge: from study -> the measurements of a case's conditions, none of them empty, to
            (verdict, what was measured).
        cases: what it is judged on.
    """

    id: str
    source: str
    sentence: str
    rule: str
    judge: Callable[[Mapping[str, pd.DataFrame]], tuple[str, str]]
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Verdict:
    """A claim judged on one case.

    Attributes:
        claim: the claim.
        case: the case.
        verdict: ``holds``, ``holds in direction only``, ``does not hold``, ``no rule`` (no number
            decides the claim) or ``not run``.
        measured: what was measured, or why it was not run.
        seeds: seeds that are there, of those planned, the fewest of what is compared.
    """

    claim: Claim
    case: Case
    verdict: str
    measured: str
    seeds: str

    def plain(self) -> dict[str, Any]:
        """Plain data, for JSON and tables."""
        return {
            "claim": self.claim.id,
            "profile": self.case.profile,
            "condition": self.case.conditions,
            "rule": self.claim.rule,
            "measured": self.measured,
            "verdict": self.verdict,
            "seeds": self.seeds,
        }


def verdicts(claims: Iterable[Claim], root: str | Path | None = None) -> Iterator[Verdict]:
    """Every claim on every case, from the results that are there.

    Raises:
        ResultError: for a damaged file, which is named.
    """
    for claim in claims:
        for case in claim.cases:
            yield _verdict(claim, case, root)


def _verdict(claim: Claim, case: Case, root: str | Path | None) -> Verdict:
    tables, seeds, missing = {}, [], []
    for name, conditions in case.needs.items():
        study = study_of(name)
        planned = study.profile(case.profile)
        every = runs.table(study, case.profile, root)
        if case.last_layer:
            every = with_last_layer(every, case.last_layer)
        tables[name] = every[every.condition.isin(conditions)]
        found = [int(every[every.condition == each].seed.nunique()) for each in conditions]
        seeds += [(count, planned.seeds) for count in found]
        if not all(found):
            missing.append(planned.needs or f"'invlib run {name} --profile {case.profile}'")
    there, of = min(seeds)
    if missing:
        verdict, measured = NOT_RUN, f"it needs {'; '.join(dict.fromkeys(missing))}"
    else:
        verdict, measured = claim.judge(tables)
    return Verdict(claim, case, verdict, case.remark + measured, f"{there} of {of}")
