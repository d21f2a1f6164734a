"""The papers' claims, each with a rule on stored results, and the verdicts by scale."""

from invlib.claims.biscione_bowers import C1, C2, C3, C4, C5, C6, C7, C8
from invlib.claims.frame import DIRECTION, FAILS, HOLDS, NO_RULE, Case, Claim, Verdict, verdicts
from invlib.claims.kayhan import K1, K2, K3, K4, K5, K6, K7, K8, K9, K10
from invlib.claims.myburgh import M1, M2, M3, M4, M5, M6, M7, M8, M9, M10, M11, M12
from invlib.claims.pairs import (
    order_and_transfer,
    similarity,
    similarity_and_accuracy_lost,
    with_losses,
)
from invlib.claims.summaries import (
    NOT_RUN,
    behind,
    by_seed,
    gap,
    median,
    overall,
    percent,
    similar,
    with_last_layer,
)

CLAIMS = (
    K1, K2, K3, K4, K5, K6, K7, K8, K9, K10, C1, C2, C3, C4, C5, C6, C7, C8,
    M1, M2, M3, M4, M5, M6, M7, M8, M9, M10, M11, M12,
)  # fmt: skip
"""All claims, in the order of the book."""
