"""The papers' claims, each with a rule on stored results, and the verdicts by scale."""

from invlib.claims.biscione_bowers import C1, C2
from invlib.claims.frame import DIRECTION, FAILS, HOLDS, Case, Claim, Verdict, verdicts
from invlib.claims.summaries import (
    NOT_RUN,
    behind,
    by_seed,
    gap,
    median,
    overall,
    percent,
    with_last_layer,
)

CLAIMS = (C1, C2)
"""All claims, in the order of the book."""
