"""The pages of the record: the tables of claims and of what was run, from rows made by hand."""

import pytest

from book import pages
from invlib import claims, runs

ROW = {
    "study": "toy",
    "profile": "small",
    "planned": 6,
    "done": 4,
    "measurements": 8,
    "failed": 1,
    "repeated": 2,
    "capped": 3,
    "missing": ["toy/small/plain-2"],
    "stale": [],
    "damaged": ["one.json"],
    "precision": ["bfloat16", "float32"],
    "hardware": ["Some Processor", "Another"],
    "torch": ["2.13.0"],
    "dates": ["2026-11-20", "2026-11-21"],
    "hours": 1.25,
    "needs": "the real sets",
}
UNDONE = ROW | {"profile": "large", "done": 0, "needs": "", "dates": [], "precision": []}


@pytest.fixture
def status(monkeypatch):
    """The page of the status for rows of ``runs.status``, cut at its headings."""

    def status(*rows):
        monkeypatch.setattr(runs, "status", lambda studies: list(rows))
        _, *parts = pages.status().split("## ")
        return parts

    return status


def test_the_status_has_a_line_for_each_study_and_profile(status, records):
    first, second = records(status(ROW, UNDONE | {"damaged": []})[0])
    assert first == {
        "study": "toy",
        "profile": "small",
        "runs": "4 of 6, 1 damaged",
        "measurements": "8",
        "failed control": "1",
        "repeated": "2",
        "ended at the cap": "3",
    }
    assert (second["profile"], second["runs"]) == ("large", "0 of 6")


def test_the_status_says_how_and_where_what_is_done_was_computed(status, records):
    (row,) = records(status(ROW, UNDONE)[1])
    assert row == {
        "study": "toy",
        "profile": "small",
        "precision": "bfloat16; float32",
        "hardware": "Some Processor; Another",
        "torch": "2.13.0",
        "dates": "2026-11-20 to 2026-11-21",
        "hours": "1.25",
    }
    (row,) = records(status(ROW | {"dates": 2 * ["2026-11-20"]})[1])
    assert row["dates"] == "2026-11-20"


def test_the_status_says_why_runs_are_missing(status):
    assert status(ROW, UNDONE)[2].splitlines()[2:] == [
        "- toy at small, 1 runs: it needs the real sets",
        "- toy at large, 1 runs: it needs nothing but time",
    ]
    assert status(ROW | {"missing": []})[2].endswith("Nothing is missing.")


def test_a_claim_is_a_table_of_what_was_measured_and_then_the_verdict(monkeypatch, records):
    case = claims.Case("small", {"toy": ("plain", "other")})
    claim = claims.Claim(
        "C9", "a paper", "It is so.", "at least 3", lambda tables: ("", ""), (case,)
    )
    verdict = claims.Verdict(claim, case, claims.HOLDS, "4.0 on average", "2 of 3")
    monkeypatch.setattr(claims, "CLAIMS", (claim,))
    monkeypatch.setattr(claims, "verdicts", lambda given: [verdict] if given == [claim] else [])
    page = pages.claims()
    assert "## C9" in page and "It is so. (a paper)" in page and "Rule: at least 3." in page
    (row,) = records(page)
    assert list(row.items()) == [
        ("condition", "small: plain, other; 2 of 3 seeds"),
        ("measured", "4.0 on average"),
        ("verdict", "holds"),
    ]
