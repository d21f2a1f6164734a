"""What is found of a study: states of its runs, a table of measurements, counts."""

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest

from invlib import runs
from invlib.runs import ResultError, Run, store
from tests.conftest import ToySettings

WHEN = "2026-01-02T03:04:05+00:00"
RUN = Run("toy", "small", "plain", 0)


@pytest.fixture
def finished(toy, inline, tmp_path):
    """The toy study computed into a folder: its six runs in three seeds."""
    runs.run(toy.study, "small", root=tmp_path / "own", executor=inline)
    return tmp_path / "own"


def test_own_results_come_first_and_done_before_everything(toy, finished):
    def state(root=finished, settings=None, run=RUN, **options):
        planned = toy.study.profile("small").conditions["plain"]
        found = store.find(toy.study, run, settings or planned, root, **options)
        return found.state, found.path

    own, stored = (root / f"{RUN}.json" for root in (finished, store.stored_root()))
    assert state() == ("done", own)
    assert state(settings=ToySettings(1, 5)) == ("stale", own)
    assert state(run=Run("toy", "small", "plain", 99)) == ("missing", None)
    stored.parent.mkdir(parents=True)
    stored.write_bytes(own.read_bytes())
    assert state() == ("done", own)
    own.write_bytes(own.read_bytes()[:100])
    assert state() == ("damaged", own)  # never passed over in silence
    own.unlink()
    assert state() == ("done", stored)
    assert state(shipped=False) == ("missing", None)
    stored.write_bytes(stored.read_bytes()[:100])
    assert state() == ("damaged", stored)


def test_the_table_has_a_row_for_each_measurement(toy, finished):
    table = runs.table(toy.study, "small", finished)
    assert len(table) == 3 * 2 * 2
    assert set(zip(table.seed, table.condition, table.set, strict=True)) == {
        (s, c, n) for s in range(3) for c in ("plain", "other") for n in ("one", "two")
    }
    assert all(isinstance(each, np.ndarray) and each.shape == (4, 4) for each in table["map"])
    row = table[(table.seed == 2) & (table.condition == "other")].iloc[0]
    assert np.allclose(row["map"], np.random.default_rng((2, 2)).random((4, 4)), rtol=1e-4)
    assert len(runs.table(toy.study, "smoke", finished)) == 0


def test_a_study_reads_its_rows_with_their_settings(toy, finished):
    def read(settings, row):
        return row | {"far": (settings.size, row["set"])}

    table = runs.table(replace(toy.study, read=read), "small", finished)
    assert table.far.tolist() == [(toy.size, name) for name in table.set]


def test_stale_results_do_not_mix_with_todays(toy, finished, inline):
    toy.size = 5
    assert len(runs.table(toy.study, "small", finished)) == 0
    assert {found.state for _, found in runs.states(toy.study, "small", root=finished)} == {"stale"}
    runs.run(toy.study, "small", seeds=1, root=finished, executor=inline)
    table = runs.table(toy.study, "small", finished)
    assert set(table.seed) == {0} and {each.shape for each in table["map"]} == {(5, 5)}


def test_a_table_with_a_damaged_file_is_refused(toy, finished):
    path = finished / "toy" / "small" / "other-1.json"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(ResultError, match=f"{path}: damaged .*'invlib run toy --profile small'"):
        runs.table(toy.study, "small", finished)


def test_a_table_without_runs_has_the_studys_columns_and_types(toy, tmp_path):
    table = runs.table(toy.study, "small", tmp_path)
    assert list(table) == ["seed", "condition", "set", "map", "far", "failed", "attempts"]
    assert len(table[~table.failed]) == 0


@dataclass(frozen=True)
class Curves:
    """Its annotations are text, as with ``from __future__ import annotations``."""

    count: "int"
    known: "bool"
    curve: "tuple[float, ...]"
    map: "np.ndarray | None"


def test_a_table_has_the_types_of_any_studys_measurement(toy, tmp_path):
    rows = [Curves(1, True, (), np.array([[0.5, np.nan]])), Curves(2, False, (0.5,), None)]
    study = replace(toy.study, measurement=Curves)
    for run, given in study.runs("small", seeds=1):
        origin = store.provenance(given, 0.0, WHEN)
        store.save(run, [vars(row) for row in rows], origin, tmp_path)
    table = runs.table(study, "small", tmp_path)
    assert table["count"].tolist() == [1, 2, 1, 2] and table["count"].dtype == int
    assert len(table[~table.known]) == 2
    assert table.curve.tolist() == [[], [0.5], [], [0.5]]
    assert np.array_equal(table["map"][0], [[0.5, np.nan]], equal_nan=True)
    assert table["map"][1] is None


def test_a_table_says_how_its_study_is_drawn(toy, tmp_path):
    looks = {"plain": runs.Look("as it is", 3)}
    study = replace(toy.study, looks=looks)
    assert runs.table(study, "small", tmp_path).attrs["looks"] == looks


def test_status_counts_runs_and_failures(toy, finished):
    folder = finished / "toy" / "small"
    content = json.loads((folder / "plain-0.json").read_text())
    rows = [
        {"failed": True, "attempts": [{"outcome": "diverged"}, {"outcome": "steps"}]},
        {"failed": False, "attempts": [{"outcome": "steps"}, {"outcome": "target"}]},
        {"failed": False, "attempts": [{"outcome": "steps"}]},
        {"failed": False, "attempts": [{"outcome": "steps", "recipe": {"target_accuracy": None}}]},
    ]
    rows = [content["rows"][0] | row for row in rows]
    store.save(RUN, rows, content["provenance"], finished)
    (folder / "plain-1.json").write_bytes(b"")
    (folder / "plain-2.json").unlink()
    (row,) = runs.status([toy.study], finished)  # smoke is not listed
    assert (row["study"], row["profile"], row["planned"], row["done"]) == ("toy", "small", 6, 4)
    assert (row["measurements"], row["failed"], row["repeated"], row["capped"]) == (10, 1, 2, 2)
    assert row["missing"] == ["toy/small/plain-2"] and row["stale"] == []
    assert row["damaged"] == [str(finished / "toy" / "small" / "plain-1.json")]
    assert len(row["hardware"]) == 1 and len(row["dates"]) == 2 and row["needs"] == "nothing"
    toy.size = 5
    (row,) = runs.status([toy.study], finished)
    assert row["done"] == 0 and len(row["stale"]) == 4
    assert row["dates"] == row["precision"] == row["hardware"] == []


@dataclass(frozen=True)
class Precise:
    """Settings of a training."""

    precision: str


@dataclass(frozen=True)
class Taught:
    """Settings of a training that may follow another."""

    recipe: Precise
    start: Precise | None = None


@dataclass(frozen=True)
class Anything:
    """A measurement of which nothing is asked."""


@pytest.mark.parametrize(
    ("settings", "row", "expected"),
    [
        (Taught(Precise("float32")), {"attempts": [{"precision": "float32"}]}, ["float32"]),
        (Taught(Precise("float32")), {}, ["float32"]),
        (Precise("bfloat16"), {}, ["bfloat16"]),
        (
            Taught(Precise("float32")),
            {"attempts": [{"precision": "float32"}, {"precision": "bfloat16"}]},
            ["bfloat16", "float32"],
        ),
        (Taught(Precise("float32"), Precise("float64")), {}, ["float32", "float64"]),
        (
            Taught(Precise("float32")),
            {"attempts": [], "pretraining": {"precision": "float64"}},
            ["float32", "float64"],
        ),
    ],
)
def test_status_lists_every_precision_asked_for_or_trained_at(
    toy, tmp_path, settings, row, expected
):
    study = replace(toy.study, profiles={"small": runs.Profile({"plain": settings})})
    study = replace(study, measurement=Anything)
    store.save(RUN, [row], store.provenance(settings, 0.0, WHEN), tmp_path)
    (found,) = runs.status([study], tmp_path)
    assert (found["done"], found["precision"]) == (1, expected)
