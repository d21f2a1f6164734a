"""Result files: written whole or not at all, read back the same, and named when damaged."""

import errno
import hashlib
import json
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invlib import results, runner
from invlib.results import ResultError, Run, find, fingerprint, load, save

RUN = Run("toy", "small", "plain", 0)
SETTINGS = {"condition": 1, "names": ["a [b  c] d", 'say "x"'], "rate": 0.123456789}
ROWS = [{"set": "one", "map": np.eye(2), "canvas": 0.25, "failed": False}]


def origin(given=None):
    return results.provenance(given or SETTINGS, 1.26, "2026-01-02T03:04:05+00:00")


def content_of(path):
    return json.loads(path.read_text())


# Writing and reading


def test_a_file_has_its_runs_name_and_everything_in_it(tmp_path):
    path = save(RUN, ROWS, origin(), tmp_path)
    assert path == tmp_path / "toy" / "small" / "plain-0.json"
    content = load(path)
    assert [content[k] for k in ("study", "profile", "condition", "seed")] == [*vars(RUN).values()]
    assert content["rows"] == [ROWS[0] | {"map": [[1, 0], [0, 1]]}]
    found = content["provenance"]
    assert found["settings"] == SETTINGS and found["fingerprint"] == fingerprint(SETTINGS)
    assert {"torch", "numpy", "python", "invlib", "hardware", "threads"} <= found.keys()
    assert (found["started"], found["seconds"]) == ("2026-01-02T03:04:05+00:00", 1.3)
    assert path.stat().st_mode & 0o777 == 0o644 and path.read_bytes().endswith(b"}\n")


def test_a_list_of_numbers_takes_one_line(tmp_path):
    path = save(RUN, [{"map": np.arange(4.0).reshape(2, 2)}], origin(), tmp_path)
    assert "[ 0.0, 1.0 ]" in path.read_text() and "[ 2.0, 3.0 ]" in path.read_text()


text = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
words = text | st.sampled_from(["[1,  2]", '"[1,\n 2]', "\\", '\\"[  ]', "]", "{"])
plain = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | st.floats() | words,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(words.filter(lambda w: w != "settings"), inner, max_size=3)
    ),
    max_leaves=12,
)


def as_written(value):
    """What a value becomes: five significant digits, null for what is not finite."""
    if isinstance(value, float):
        return float(f"{value:.4e}") if math.isfinite(value) else None
    if isinstance(value, list):
        return [as_written(v) for v in value]
    if isinstance(value, dict):
        return {k: as_written(v) for k, v in value.items()}
    return value


@given(st.dictionaries(words.filter(lambda w: w != "settings"), plain, min_size=1, max_size=4))
@settings(max_examples=60, deadline=None)
def test_rows_are_read_back_to_five_digits(tmp_path_factory, row):
    root = tmp_path_factory.getbasetemp() / "round-trip"
    assert load(save(RUN, [row], ORIGIN, root))["rows"] == [as_written(row)]


ORIGIN = {"settings": SETTINGS, "fingerprint": fingerprint(SETTINGS)}


@given(st.dictionaries(words, plain.filter(lambda v: "nan" not in repr(v)), max_size=4))
@settings(max_examples=40, deadline=None)
def test_settings_are_read_back_to_the_last_digit(tmp_path_factory, given):
    root = tmp_path_factory.getbasetemp() / "settings"
    written = {"settings": given, "fingerprint": fingerprint(given)}
    assert load(save(RUN, [{"a": 1}], written, root))["provenance"] == written


def test_a_fingerprint_changes_with_any_setting_only():
    # The first digits of the hash of sorted JSON.
    assert (
        fingerprint({"b": 2, "a": [1]}) == (hashlib.sha256(b'{"a": [1], "b": 2}').hexdigest()[:12])
    )
    assert fingerprint({"a": [1], "b": 2}) == fingerprint({"b": 2, "a": [1]})
    assert fingerprint({"a": [1], "b": 2.5}) != fingerprint({"a": [1], "b": 2})

    @dataclass(frozen=True)
    class Two:
        a: int = 1
        b: tuple = (2, 3)

    assert fingerprint(Two()) == fingerprint({"a": 1, "b": [2, 3]})
    assert fingerprint(replace(Two(), a=2)) != fingerprint(Two())


# Writing that goes wrong


@pytest.mark.parametrize("call", ["os.fsync", "os.replace"])
@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()]
)
def test_what_cannot_be_written_leaves_the_old_file_and_nothing_else(
    tmp_path, monkeypatch, call, error
):
    path = save(RUN, ROWS, origin(), tmp_path)
    before = path.read_bytes()

    def fails(*args):
        raise error

    monkeypatch.setattr(call, fails)
    expected = ResultError if isinstance(error, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as raised:
        save(RUN, [{"set": "new"}], origin(), tmp_path)
    if expected is ResultError:
        assert str(raised.value) == f"{path} cannot be written: No space left on device"
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]


def test_rows_that_are_no_plain_data_leave_nothing(tmp_path):
    with pytest.raises(TypeError):
        save(RUN, [{"set": object()}], origin(), tmp_path)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.parametrize("below", ["", "deeper"])
def test_a_folder_that_cannot_be_written_is_named(tmp_path, below):
    root = tmp_path / "file"
    root.write_text("a file where the folder should be")
    with pytest.raises(ResultError, match=f"{root}.* cannot be written: "):
        save(RUN, ROWS, origin(), root / below)


# Damaged files


def edited(**changes):
    def edit(path):
        content = content_of(path)
        for key, value in changes.items():
            target, _, last = key.rpartition("__")
            (content[target] if target else content)[last] = value
        path.write_text(json.dumps(content))

    return edit


def without(key):
    def edit(path):
        content = content_of(path)
        del content[key]
        path.write_text(json.dumps(content))

    return edit


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "zeros after a crash": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "not text": lambda path: path.write_bytes(b"\xff\xfe" + path.read_bytes()),
    "a list": lambda path: path.write_text("[1, 2]"),
    "a number": lambda path: path.write_text("3"),
    "no seed": without("seed"),
    "no rows": without("rows"),
    "no provenance": without("provenance"),
    "empty rows": edited(rows=[]),
    "rows of numbers": edited(rows=[1, 2]),
    "rows in a dictionary": edited(rows={"0": {}}),
    "another run": edited(seed=7),
    "another condition": edited(condition="elsewhere"),
    "another format": edited(format=99),
    "settings changed by hand": edited(provenance__settings={"condition": 2}),
    "no settings": edited(provenance={}),
    "provenance in a list": edited(provenance=[1]),
    "a merge conflict": lambda path: path.write_text("<<<<<<< ours\n" + path.read_text()),
}
damaged = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)


@damaged
def test_damaged_files_are_named(tmp_path, damage):
    path = save(RUN, ROWS, origin(), tmp_path)
    damage(path)
    with pytest.raises(ResultError, match=f"{path}: damaged result .*; run it again"):
        load(path)
    assert find(RUN, fingerprint(SETTINGS), tmp_path) == ("damaged", path)


def test_a_file_under_another_runs_name_is_damaged(tmp_path):
    path = save(RUN, ROWS, origin(), tmp_path)
    other = path.rename(path.with_name("plain-1.json"))
    with pytest.raises(ResultError, match="not the run its name says"):
        load(other)


# Finding and tabling, with the toy study


@pytest.fixture
def finished(toy, inline, tmp_path):
    """The toy study computed into a folder: its six runs in three seeds."""
    runner.run("toy", "small", root=tmp_path / "own", executor=inline)
    return tmp_path / "own"


def test_own_results_come_first_and_done_before_everything(toy, finished):
    expected = fingerprint({"condition": 1, "size": 4})
    own = finished / f"{RUN}.json"
    stored = results.stored_root() / f"{RUN}.json"
    assert find(RUN, expected, finished) == ("done", own)
    assert find(RUN, "other", finished) == ("stale", own)
    assert find(Run("toy", "small", "plain", 99), expected, finished) == ("missing", None)
    stored.parent.mkdir(parents=True)
    stored.write_bytes(own.read_bytes())
    assert find(RUN, expected, finished) == ("done", own)
    DAMAGES["cut short"](own)
    assert find(RUN, expected, finished) == ("damaged", own)  # never passed over in silence
    own.unlink()
    assert find(RUN, expected, finished) == ("done", stored)
    assert find(RUN, expected, finished, shipped=False) == ("missing", None)
    DAMAGES["cut short"](stored)
    assert find(RUN, expected, finished) == ("damaged", stored)


def test_the_table_has_a_row_for_each_measurement(toy, finished):
    table = results.table("toy", "small", finished)
    assert len(table) == 3 * 2 * 2
    assert set(zip(table.seed, table.condition, table.set, strict=True)) == {
        (s, c, n) for s in range(3) for c in ("plain", "other") for n in ("one", "two")
    }
    assert all(isinstance(each, np.ndarray) and each.shape == (4, 4) for each in table["map"])
    row = table[(table.seed == 2) & (table.condition == "other")].iloc[0]
    assert np.allclose(row["map"], np.random.default_rng((2, 2)).random((4, 4)), rtol=1e-4)
    assert len(results.table("toy", "smoke", finished)) == 0


def test_stale_results_do_not_mix_with_todays(toy, finished, inline):
    toy.settings = replace(toy.settings, size=5)
    assert len(results.table("toy", "small", finished)) == 0
    assert {state for _, state, _ in results.states(toy.study, "small", root=finished)} == {"stale"}
    runner.run("toy", "small", seeds=1, root=finished, executor=inline)
    table = results.table("toy", "small", finished)
    assert set(table.seed) == {0} and {each.shape for each in table["map"]} == {(5, 5)}


@damaged
def test_a_table_with_a_damaged_file_is_refused(toy, finished, damage):
    path = finished / "toy" / "small" / "other-1.json"
    damage(path)
    with pytest.raises(ResultError, match=f"{path}: damaged .*'invlib run toy --profile small'"):
        results.table("toy", "small", finished)


def test_status_counts_runs_and_failures(toy, finished):
    for name, edit in (("plain-0", edited(rows=[{"failed": True, "attempts": [{}, {}]}])),
                       ("plain-1", DAMAGES["empty"]), ("plain-2", Path.unlink)):  # fmt: skip
        edit(finished / "toy" / "small" / f"{name}.json")
    (row,) = results.status(finished)  # smoke is not listed
    assert (row["study"], row["profile"], row["planned"], row["done"]) == ("toy", "small", 6, 4)
    assert (row["measurements"], row["failed"], row["repeated"]) == (7, 1, 1)
    assert row["missing"] == ["toy/small/plain-2"] and row["stale"] == []
    assert row["damaged"] == [str(finished / "toy" / "small" / "plain-1.json")]
    assert len(row["hardware"]) == 1 and len(row["dates"]) == 2 and row["needs"] == "nothing"
    toy.settings = replace(toy.settings, size=5)
    (row,) = results.status(finished)
    assert row["done"] == 0 and len(row["stale"]) == 4 and row["dates"] == []
