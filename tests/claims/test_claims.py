"""The pass rules on made-up measurements, at and beside their thresholds."""

import pandas as pd
import pytest

from invlib import claims
from invlib.claims import CLAIMS, DIRECTION, FAILS, HOLDS

EVERYWHERE, ONLY_THERE = CLAIMS


def rows(canvas=(1.0, 1.0), far=(0.0, 0.0), control=(1.0, 1.0), failed=(False, False)):
    """Two seeds of two sets; a pair of numbers is one for each set."""
    return pd.DataFrame(
        {"seed": seed, "set": name, "canvas": canvas[i], "far": far[i], "control": control[i],
         "failed": failed[i] and seed == 1}
        for seed in (0, 1)
        for i, name in enumerate(("letters", "digits"))
    )  # fmt: skip


@pytest.mark.parametrize(
    ("canvas", "verdict"),
    [((0.9, 0.99), HOLDS), ((0.89, 1.0), DIRECTION), ((0.7, 1.0), DIRECTION), ((0.69, 1.0), FAILS)],
)
def test_accurate_everywhere_means_in_every_set(canvas, verdict):
    assert EVERYWHERE.judge(rows(canvas=canvas))[0] == verdict


@pytest.mark.parametrize(
    ("far", "control", "verdict"),
    [
        ((0.25, 0.0), (0.9, 1.0), HOLDS),
        ((0.26, 0.0), (1.0, 1.0), FAILS),
        ((0.0, 0.0), (0.89, 1.0), DIRECTION),
    ],
)
def test_only_there_means_far_from_it_in_no_set(far, control, verdict):
    assert ONLY_THERE.judge(rows(far=far, control=control))[0] == verdict


def test_failed_trainings_are_left_out_and_counted():
    table = rows(canvas=(0.95, 0.95), failed=(True, False))
    table.loc[table.failed, "canvas"] = 0.0
    verdict, measured = EVERYWHERE.judge(table)
    assert verdict == HOLDS
    assert "1 of 4 trainings failed their control" in measured
    assert claims.summary(table, "canvas")["seeds"].to_dict() == {"letters": 1, "digits": 2}


def test_a_set_that_was_never_learnt_cannot_pass():
    table = rows()
    table["failed"] = table.set == "letters"
    assert EVERYWHERE.judge(table)[0] == FAILS


def test_the_interval_is_over_the_seeds_of_the_mean_over_sets():
    table = rows(canvas=(0.2, 0.4))
    table.loc[table.seed == 1, "canvas"] += 0.2  # means of the seeds: 0.3 and 0.5
    # t with one degree of freedom at 97.5 %: 12.706; standard error of the two: 0.1
    assert claims.overall(table, "canvas") == "40.0 % [-87.1, 167.1]"
    assert claims.overall(table[table.seed == 0], "canvas") == "30.0 % [one seed]"
    assert claims.overall(table[table.seed == 7], "canvas") == "not run"


def test_a_set_that_was_never_learnt_leaves_no_verdict_on_every_set():
    table = rows()
    table["failed"] = table.set == "letters"
    assert ONLY_THERE.judge(table)[0] == FAILS


def test_the_gap_is_between_the_same_seeds():
    table = pd.concat(
        [rows(far=(0.2, 0.2)).assign(condition="a"), rows(far=(0.1, 0.1)).assign(condition="b")]
    )
    table.loc[(table.condition == "a") & (table.seed == 1), "far"] += 0.5
    table.loc[(table.condition == "b") & (table.seed == 1), "far"] += 0.5
    assert claims.gap(table, "far", "a", "b") == "10.0 % [10.0, 10.0]"
    assert claims.gap(table, "far", "a", "c") == "not run"
