"""What a study promises of a run's file: the shipped ones have it, changed ones do not."""

import copy
import json
from collections import defaultdict

import pytest

from invlib import runs
from invlib.runs import store
from invlib.runs.checks import check_rows
from invlib.studies import STUDIES, study_of


def read(name):
    """Study, settings and rows of a shipped run."""
    study, profile, file = name.split("/")
    content = json.loads((store.stored_root() / f"{name}.json").read_text())
    study = study_of(study)
    return study, study.profile(profile).conditions[content["condition"]], content["rows"]


def test_what_is_shipped_is_whole_of_todays_settings_and_one_precision_in_each_profile():
    found, shipped = defaultdict(set), set()
    for study in map(study_of, STUDIES):
        for profile in study.profiles:
            for run, each in runs.states(study, profile):
                assert each.state in ("done", "missing"), (run, each.why)
                if each.content:
                    shipped.add(each.path)
                    rows, given = each.content["rows"], each.content["provenance"]["settings"]
                    trainings = [a for row in rows for a in row.get("attempts", ())]
                    # No setting changes theirs.
                    if study.name in ("kernel_size", "dimensions", "rook", "borders", "quadrant"):
                        found[study.name, profile] |= set()
                        continue
                    asked = given.get("recipe", given)["precision"]
                    found[study.name, profile] |= {asked, *(t["precision"] for t in trainings)}
    assert {study for study, _ in found} == set(STUDIES)
    assert all(each == {"float32"} for each in found.values() if each), found
    assert shipped == set(store.stored_root().glob("*/*/*.json"))  # and nothing else is


def at(*keys, **values):
    """Change what stands in the rows at these keys."""

    def change(rows):
        target = rows
        for key in keys:
            target = target[key]
        target.update(values)

    return change


def first_number(value):
    """Put this in the place of the first number of the first map."""

    def change(rows):
        rows[0]["map"][0][0] = value

    return change


KMNIST, AREAS, TIMES = (
    "fully_translated/bench/kmnist-0", "sanity_check/bench/areas-2-0",
    "shortcuts/bench/one-thread-0",
)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change", "why"),
    [
        (KMNIST, lambda rows: rows.pop(), "sets and their last layers: expected"),
        (KMNIST, lambda rows: rows.pop(1), "sets and their last layers: expected"),
        (KMNIST, lambda rows: rows.extend(rows * 2), "sets and their last layers: expected"),
        (KMNIST, lambda rows: rows.reverse(), "sets and their last layers: expected"),
        (KMNIST, at(0, set="mnist"), "sets and their last layers: expected"),
        (KMNIST, at(1, last_layer="fresh"), "sets and their last layers: expected"),
        (KMNIST, at(0, last_layer="new"), "regex"),
        (KMNIST, at(0, control=999.0), "<= 1"),
        (KMNIST, at(0, canvas=None), "got `null`"),
        (KMNIST, at(0, far=-5.0), ">= -1"),
        (KMNIST, at(0, failed=None), "got `null`"),
        (KMNIST, at(0, control=0.5), "the last attempt on emnist_letters"),
        (KMNIST, at(0, failed=True), "the last attempt on emnist_letters"),
        (KMNIST, at(0, attempts=[]), "the last attempt on emnist_letters"),
        (KMNIST, at(0, map=[[0.5]]), r"a map: expected \(19, 19\), found \(1, 1\)"),
        (KMNIST, at(0, map=None), r"a map: expected \(19, 19\), found \(\)"),
        (KMNIST, first_number(None), "expected accuracies from 0 to 1"),
        (KMNIST, first_number(1.5), "expected accuracies from 0 to 1"),
        (KMNIST, first_number(-0.5), "expected accuracies from 0 to 1"),
        (KMNIST, first_number("one"), "could not convert"),
        (KMNIST, at(0, map_held_out=None), "held out of emnist_letters"),
        (KMNIST, at(0, before=None), "layers: expected"),
        (KMNIST, lambda rows: rows[0]["after"].pop(), "layers: expected"),
        (KMNIST, lambda rows: rows[0]["after"][0]["mean"].pop(), "displacements: expected"),
        (KMNIST, at(0, "before", 0, mean=[999.0] * 19), "cosine similarities from -1 to 1"),
        (KMNIST, at(0, "attempts", 0, accuracy=None, steps="3"), "got `str`"),
        (AREAS, lambda rows: rows.pop(0), "expected glyphs by area first, found mnist"),
        (AREAS, lambda rows: rows.pop(), "sets and their last layers"),
        (AREAS, at(0, areas=None), "expected glyphs by area first"),
        (AREAS, lambda rows: rows[0]["areas"].pop(), "expected maps of 9 areas, found 8"),
        (AREAS, at(0, own=1.5), "<= 1"),
        (TIMES, lambda rows: rows.pop(), "expected times of"),
        (TIMES, at(0, plain=0.0), "> 0"),
        (TIMES, at(0, path="other"), "regex"),
    ],
)  # fmt: skip
def test_what_is_not_what_was_promised_is_told(name, change, why):
    study, settings, rows = read(name)
    rows = copy.deepcopy(rows)
    change(rows)
    with pytest.raises(ValueError, match=why.replace("$[", r"\$\[")):
        check_rows(study, settings, rows)
