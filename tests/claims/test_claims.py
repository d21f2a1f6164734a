"""The pass rules on made-up measurements, at and beside their thresholds."""

from dataclasses import replace

import pandas as pd
import pytest

from invlib import claims, runs
from invlib.claims import DIRECTION, FAILS, HOLDS, NOT_RUN, Case, Claim
from invlib.claims.biscione_bowers import C1, C2


def rows(canvas=(1.0, 1.0), far=(0.0, 0.0), control=(1.0, 1.0), failed=(False, False)):
    """Two seeds of two sets; a pair of numbers is one for each set."""
    return pd.DataFrame(
        {"seed": seed, "set": name, "canvas": canvas[i], "far": far[i], "control": control[i],
         "failed": failed[i] and seed == 1}
        for seed in (0, 1)
        for i, name in enumerate(("letters", "digits"))
    )  # fmt: skip


def judged(claim, table):
    return claim.judge({"imagenet": table})


@pytest.mark.parametrize(
    ("canvas", "verdict"),
    [((0.9, 0.99), HOLDS), ((0.89, 1.0), DIRECTION), ((0.7, 1.0), DIRECTION), ((0.69, 1.0), FAILS)],
)
def test_accurate_everywhere_means_in_every_set(canvas, verdict):
    assert judged(C1, rows(canvas=canvas))[0] == verdict


@pytest.mark.parametrize(
    ("far", "control", "verdict"),
    [
        ((0.25, 0.0), (0.9, 1.0), HOLDS),
        ((0.26, 0.0), (1.0, 1.0), FAILS),
        ((0.0, 0.0), (0.89, 1.0), DIRECTION),
    ],
)
def test_only_there_means_far_from_it_in_no_set(far, control, verdict):
    assert judged(C2, rows(far=far, control=control))[0] == verdict


def test_failed_trainings_are_left_out_and_counted():
    table = rows(canvas=(0.95, 0.95), failed=(True, False))
    table.loc[table.failed, "canvas"] = 0.0
    verdict, measured = judged(C1, table)
    assert verdict == HOLDS
    assert "1 of 4 trainings failed their control" in measured
    assert claims.summary(table, "canvas")["seeds"].to_dict() == {"letters": 1, "digits": 2}


def test_a_set_that_was_never_learnt_cannot_pass():
    table = rows()
    table["failed"] = table.set == "letters"
    assert judged(C1, table)[0] == FAILS


def test_the_interval_is_over_the_seeds_of_the_mean_over_sets():
    table = rows(canvas=(0.2, 0.4))
    table.loc[table.seed == 1, "canvas"] += 0.2  # means of the seeds: 0.3 and 0.5
    # t with one degree of freedom at 97.5 %: 12.706; standard error of the two: 0.1
    assert claims.overall(table, "canvas") == "40.0 % [-87.1, 167.1]"
    assert claims.overall(table[table.seed == 0], "canvas") == "30.0 % [one seed]"
    assert claims.overall(table[table.seed == 7], "canvas") == "not run"


def test_a_seed_without_a_set_is_measured_against_the_sets_it_has():
    table = rows(canvas=(0.2, 0.6))
    table["failed"] = (table.seed == 1) & (table.set == "letters")
    # Each set's mean is 0.2 and 0.6, and no seed differs from them.
    assert claims.overall(table, "canvas") == "40.0 % [40.0, 40.0]"
    assert claims.behind(table) == "3 networks, 2 sets"
    table.loc[table.seed == 1, "canvas"] += 0.1  # digits: 0.6 and 0.7, so 0.05 less and more
    # Overall (0.2 + 0.65) / 2; the seeds lie 0.075 apart, so their standard error is 0.0375.
    assert claims.overall(table, "canvas") == "42.5 % [-5.1, 90.1]"


def test_a_set_that_was_never_learnt_leaves_no_verdict_on_every_set():
    table = rows()
    table["failed"] = table.set == "letters"
    assert judged(C2, table)[0] == FAILS


def test_the_gap_is_between_the_same_seeds():
    table = pd.concat(
        [rows(far=(0.2, 0.2)).assign(condition="a"), rows(far=(0.1, 0.1)).assign(condition="b")]
    )
    table.loc[(table.condition == "a") & (table.seed == 1), "far"] += 0.5
    table.loc[(table.condition == "b") & (table.seed == 1), "far"] += 0.5
    assert claims.gap(table, "far", "a", "b") == "10.0 % [10.0, 10.0]"
    assert claims.gap(table, "far", "a", "c") == "not run"
    apart = table[(table.condition == "a") == (table.seed == 1)]
    assert claims.gap(apart, "far", "a", "b") == "not run"


def test_without_a_positive_control_every_measurement_counts():
    table = rows(canvas=(0.2, 0.4)).drop(columns="failed")
    assert claims.summary(table, "canvas")["mean"].to_dict() == {"letters": 0.2, "digits": 0.4}
    assert claims.overall(table, "canvas") == "30.0 % [30.0, 30.0]"


# The frame, with the toy study


@pytest.fixture
def finished(toy, inline, tmp_path):
    """The toy study computed into a folder, but for one run."""
    runs.run(toy.study, "small", root=tmp_path / "own", executor=inline)
    (tmp_path / "own" / "toy" / "small" / "other-2.json").unlink()
    return tmp_path / "own"


def judge(tables):
    """Compares two conditions of one study and takes a third from another."""
    assert list(tables) == ["toy"]
    seen = tables["toy"].groupby("condition").seed.nunique().to_dict()
    return HOLDS, f"{seen}"


def claim(*conditions, remark=""):
    return Claim("X1", "a source", "a sentence", "a rule", judge,
                 (Case("small", {"toy": conditions}, remark),))  # fmt: skip


def test_a_claim_compares_the_conditions_it_needs(finished):
    (found,) = claims.verdicts([claim("plain", "other", remark="small; ")], finished)
    assert found.plain() == {
        "claim": "X1", "profile": "small", "condition": "plain, other", "rule": "a rule",
        "measured": "small; {'other': 2, 'plain': 3}", "verdict": HOLDS, "seeds": "2 of 3",
    }  # fmt: skip
    (found,) = claims.verdicts([claim("plain")], finished)
    assert (found.measured, found.seeds) == ("{'plain': 3}", "3 of 3")


def test_a_claim_is_not_run_where_one_of_its_conditions_is_missing(finished):
    for file in (finished / "toy" / "small").glob("other-*.json"):
        file.unlink()
    (found,) = claims.verdicts([claim("plain", "other")], finished)
    assert (found.verdict, found.measured, found.seeds) == (NOT_RUN, "it needs nothing", "0 of 3")


def test_a_claim_on_a_study_that_needs_nothing_special_names_the_command(toy, tmp_path):
    profile = replace(toy.study.profile("small"), needs="")
    study = replace(toy.study, profiles={"small": profile})
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(claims.frame, "study_of", lambda name: study)
        (found,) = claims.verdicts([claim("plain")], tmp_path)
    assert found.measured == "it needs 'invlib run toy --profile small'"


def test_a_claim_may_need_several_studies(finished, toy, monkeypatch):
    twin = replace(toy.study, name="twin")
    monkeypatch.setattr(
        claims.frame, "study_of", lambda name: {"toy": toy.study, "twin": twin}[name]
    )
    case = Case("small", {"toy": ("plain",), "twin": ("other",)})
    both = Claim("X2", "", "", "", lambda tables: (FAILS, str(list(tables))), (case,))
    (found,) = claims.verdicts([both], finished)
    assert (found.verdict, found.seeds) == (NOT_RUN, "0 of 3")
    file = (finished / "toy" / "small" / "other-0.json").read_text()
    (finished / "twin" / "small").mkdir(parents=True)
    (finished / "twin" / "small" / "other-0.json").write_text(file.replace('"toy"', '"twin"'))
    (found,) = claims.verdicts([both], finished)
    assert (found.measured, found.seeds) == ("['toy', 'twin']", "1 of 3")
    assert found.plain()["condition"] == "plain, other"


def test_every_claim_has_its_cases_in_studies_that_plan_them():
    for each in claims.CLAIMS:
        assert each.cases
        for case in each.cases:
            for name, conditions in case.needs.items():
                planned = claims.frame.study_of(name).profile(case.profile).conditions
                assert set(conditions) <= set(planned)
