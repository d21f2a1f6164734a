"""The pass rules on made-up measurements, at and beside their thresholds."""

from dataclasses import replace
from types import SimpleNamespace

import pandas as pd
import pytest

from invlib import claims, runs
from invlib.claims import DIRECTION, FAILS, HOLDS, NOT_RUN, Case, Claim
from invlib.claims.biscione_bowers import C1, C2
from invlib.runs import Profile, Run


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
    assert measured == (
        "95.0 % (2 seeds: 95.0 to 95.0) of the canvas, least 95.0 % (letters); "
        "3 networks, 2 sets, 1 more failed their control"
    )


def test_a_set_that_was_never_learnt_cannot_pass():
    table = rows()
    table["failed"] = table.set == "letters"
    assert judged(C1, table)[0] == FAILS


def test_the_interval_is_over_the_seeds_of_the_mean_over_sets():
    table = pd.concat([rows(canvas=(0.2, 0.4)).assign(seed=seed) for seed in range(5)])
    table["canvas"] += 0.1 * table.seed  # means of the seeds: 0.3, 0.4 ... 0.7
    # t with four degrees of freedom at 97.5 %: 2.776; standard error: sqrt(0.025 / 5) = 0.0707
    assert claims.overall(table, "canvas") == "50.0 % [30.4, 69.6]"
    assert claims.overall(table[table.seed == 7], "canvas") == "not run"


def test_fewer_than_five_seeds_have_their_range_and_no_interval():
    assert claims.percent([0.1, 0.2, 0.4, 0.3]) == "25.0 % (4 seeds: 10.0 to 40.0)"
    assert claims.percent([0.1, 0.2, 0.4, 0.3, 0.25]).startswith("25.0 % [")
    assert claims.percent([0.3]) == "30.0 % (one seed)"
    assert claims.percent([-0.0002, 0.0002, -0.0003]) == "0.0 % (3 seeds: 0.0 to 0.0)"
    table = rows(canvas=(0.2, 0.4))
    table.loc[table.seed == 1, "canvas"] += 0.2  # means of the seeds: 0.3 and 0.5
    assert claims.overall(table, "canvas") == "40.0 % (2 seeds: 30.0 to 50.0)"
    assert claims.overall(table[table.seed == 0], "canvas") == "30.0 % (one seed)"


def test_the_median_over_sets_is_not_carried_by_one():
    table = pd.concat([rows(far=(0.1, 0.9)), rows(far=(0.2, 0.0)).replace({"digits": "glyphs"})])
    # Letters 0.15, digits 0.9, glyphs 0: the mean is 0.35.
    assert claims.median(table, "far") == "15.0 %"
    assert claims.overall(table, "far").startswith("35.0 %")
    assert claims.median(table[table.set != "glyphs"], "far") == "52.5 %"
    table["failed"] = table.set == "letters"
    assert claims.median(table, "far") == "45.0 %"
    assert claims.median(table[table.failed], "far") == "not run"


def test_a_seed_without_a_set_is_measured_against_the_sets_it_has():
    table = rows(canvas=(0.2, 0.6))
    table["failed"] = (table.seed == 1) & (table.set == "letters")
    # Each set's mean is 0.2 and 0.6, and no seed differs from them.
    assert claims.overall(table, "canvas") == "40.0 % (2 seeds: 40.0 to 40.0)"
    assert claims.behind(table) == "3 networks, 2 sets"
    table.loc[table.seed == 1, "canvas"] += 0.2  # digits: 0.6 and 0.8, so 0.1 less and more
    # Overall (0.2 + 0.7) / 2; seed 0 is off by 0 in letters and -0.1 in digits, seed 1 by 0.1.
    assert claims.overall(table, "canvas") == "45.0 % (2 seeds: 37.5 to 52.5)"


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
    assert claims.gap(table, "far", "a", "b") == "10.0 points (2 seeds: 10.0 to 10.0)"
    assert claims.gap(table, "far", "a", "c") == "not run"
    apart = table[(table.condition == "a") == (table.seed == 1)]
    assert claims.gap(apart, "far", "a", "b") == "not run"


def test_without_a_positive_control_every_measurement_counts():
    table = rows(canvas=(0.2, 0.4)).drop(columns="failed")
    assert claims.overall(table, "canvas") == "30.0 % (2 seeds: 30.0 to 30.0)"
    assert claims.behind(table) == "4 networks, 2 sets"


def taught_twice():
    """Digits were taught with both last layers, letters and what was not pretrained with one."""
    frame = pd.DataFrame(
        [
            (0, "natural", "digits", "kept", 0.95),
            (0, "natural", "digits", "fresh", 0.6),
            (0, "natural", "letters", "fresh", 0.9),
            (0, "vanilla", "digits", "fresh", 0.1),
            (1, "natural", "digits", "fresh", 0.7),
            (1, "natural", "digits", "kept", 0.97),
        ],
        columns=["seed", "condition", "set", "last_layer", "canvas"],
    )
    return frame.assign(far=frame.canvas, control=1.0, failed=False)


def test_the_authors_rule_keeps_the_last_layer_where_there_is_one_to_keep():
    rows = claims.with_last_layer(taught_twice(), "kept")
    assert rows.canvas.tolist() == [0.95, 0.9, 0.1, 0.97]
    assert claims.with_last_layer(rows, "kept").equals(rows)


def test_every_last_layer_can_be_a_fresh_one():
    rows = claims.with_last_layer(taught_twice(), "fresh")
    assert rows.canvas.tolist() == [0.6, 0.9, 0.1, 0.7]


def test_another_last_layer_is_refused():
    with pytest.raises(ValueError, match="expected last_layer 'kept' or 'fresh', got 'both'"):
        claims.with_last_layer(taught_twice(), "both")


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


def test_a_claim_is_judged_under_each_last_layer(monkeypatch):
    rows = taught_twice()
    rows = rows[rows.condition == "natural"]
    profile = Profile({"natural": None}, seeds=2)
    study = SimpleNamespace(profile=lambda name: profile)
    monkeypatch.setattr(claims.frame, "study_of", lambda name: study)
    monkeypatch.setattr(runs, "table", lambda *given: rows)
    cases = [
        Case("bench", {"imagenet": ("natural",)}, last_layer=each) for each in ("kept", "fresh")
    ]
    kept, fresh = claims.verdicts([replace(C1, cases=tuple(cases))])
    assert kept.plain()["condition"] == "natural, last layer kept"
    assert fresh.plain()["condition"] == "natural, last layer fresh"
    assert (kept.verdict, fresh.verdict) == (HOLDS, FAILS)
    assert "least 90.0 % (letters); 3 networks" in kept.measured
    assert "least 65.0 % (digits); 3 networks" in fresh.measured


def test_a_claim_may_need_several_studies(finished, toy, monkeypatch):
    twin = replace(toy.study, name="twin")
    monkeypatch.setattr(
        claims.frame, "study_of", lambda name: {"toy": toy.study, "twin": twin}[name]
    )
    case = Case("small", {"toy": ("plain",), "twin": ("other",)})
    both = Claim("X2", "", "", "", lambda tables: (FAILS, str(list(tables))), (case,))
    (found,) = claims.verdicts([both], finished)
    assert (found.verdict, found.seeds) == (NOT_RUN, "0 of 3")
    other = runs.load(finished / "toy" / "small" / "other-0.json")
    runs.save(Run("twin", "small", "other", 0), other["rows"], other["provenance"], finished)
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
