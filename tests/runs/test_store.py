"""Result files: written whole or not at all, read back the same, and named when damaged."""

import errno
import fcntl
import hashlib
import json
import math
import os
import subprocess
from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from invlib.runs import Profile, ResultError, Run, Study, store
from invlib.runs.checks import Fraction, checksum
from invlib.runs.store import find, fingerprint, load, save

RUN = Run("toy", "small", "plain", 0)


@dataclass(frozen=True)
class Part:
    """Settings within settings."""

    rate: float = 0.123456789
    off: int | None = None


@dataclass(frozen=True)
class Given:
    """Settings of a run."""

    condition: int = 1
    names: tuple = ("a [b  c] d", 'say "x"')
    part: Part = Part()
    off: tuple | None = None


SETTINGS = {
    "condition": 1,
    "names": ["a [b  c] d", 'say "x"'],
    "part": {"rate": 0.123456789},
}


@dataclass(frozen=True)
class Row:
    """A measurement of the study."""

    set: str
    map: np.ndarray
    canvas: Fraction
    failed: bool


STUDY = Study("toy", "nowhere", {"small": Profile({"plain": Given()})}, Row, lambda *_: [])
ROWS = [{"set": "one", "map": np.eye(2), "canvas": 0.25, "failed": False}]


def origin():
    return store.provenance(Given(), 1.26, "2026-01-02T03:04:05+00:00")


def content_of(path):
    return json.loads(path.read_text())


def write(path, content):
    """What somebody wrote who knows how a checksum is made."""
    path.write_text(json.dumps(content | {"checksum": checksum(content)}))


# Writing and reading


def test_a_file_has_its_runs_name_and_everything_in_it(tmp_path):
    path = save(RUN, ROWS, origin(), tmp_path)
    assert path == tmp_path / "toy" / "small" / "plain-0.json"
    content = load(path)
    assert content["format"] == 2 and content["checksum"] == checksum(content)
    assert [content[k] for k in ("study", "profile", "condition", "seed")] == [*vars(RUN).values()]
    assert content["rows"] == [ROWS[0] | {"map": [[1, 0], [0, 1]]}]
    found = content["provenance"]
    assert found["settings"] == SETTINGS and found["fingerprint"] == fingerprint(SETTINGS)
    assert {"torch", "numpy", "python", "invlib", "commit", "hardware", "threads"} <= found.keys()
    assert (found["started"], found["seconds"]) == ("2026-01-02T03:04:05+00:00", 1.3)
    assert path.stat().st_mode & 0o777 == 0o644 and path.read_bytes().endswith(b"}\n")


def test_a_list_of_numbers_takes_one_line_without_spaces(tmp_path):
    path = save(RUN, [{"map": np.arange(4.0).reshape(2, 2)}], origin(), tmp_path)
    assert "[0.0,1.0]" in path.read_text() and "[2.0,3.0]" in path.read_text()


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
        rounded = float(f"{value:.4e}")  # the largest ones become infinite
        return rounded if math.isfinite(rounded) else None
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


ORIGIN = origin()


def finite(value):
    return not any(word in repr(value) for word in ("nan", "inf"))


@given(st.dictionaries(words, plain.filter(finite), max_size=4))
@settings(max_examples=40, deadline=None)
def test_settings_are_read_back_to_the_last_digit(tmp_path_factory, given):
    root = tmp_path_factory.getbasetemp() / "settings"
    written = ORIGIN | {"settings": given, "fingerprint": fingerprint(given)}
    assert load(save(RUN, [{"a": 1}], written, root))["provenance"] == written


def test_a_fingerprint_changes_with_any_setting_only():
    # The first digits of the hash of sorted JSON.
    assert (
        fingerprint({"b": 2, "a": [1]}) == (hashlib.sha256(b'{"a": [1], "b": 2}').hexdigest()[:12])
    )
    assert fingerprint({"a": [1], "b": 2}) == fingerprint({"b": 2, "a": [1]})
    assert fingerprint({"a": [1], "b": 2.5}) != fingerprint({"a": [1], "b": 2})

    assert fingerprint(Given()) == fingerprint(SETTINGS)
    others = [replace(Given(), condition=2), replace(Given(), part=Part(0.5))]
    assert len({fingerprint(each) for each in (Given(), *others)}) == 3


def test_a_setting_that_is_off_leaves_the_fingerprint_alone():
    @dataclass(frozen=True)
    class Earlier:
        condition: int = 1
        names: tuple = ("a [b  c] d", 'say "x"')
        part: Part = Part()

    assert fingerprint(Earlier()) == fingerprint(Given()) != fingerprint(Given(off=(1,)))
    assert fingerprint(Given(part=Part(off=0))) != fingerprint(Given())


def git(folder, *words):
    who = ("-c", "user.name=a", "-c", "user.email=a@b.c")
    command = ["git", "-C", str(folder), *who, *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_is_that_of_the_packages_own_checkout(tmp_path, monkeypatch):
    package = tmp_path / "checkout" / "invlib"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(store.invlib, "__file__", str(package / "__init__.py"))

    class Installed:
        def read_text(self, name):
            assert name == "direct_url.json"
            return '{"url": "https://x.y", "vcs_info": {"vcs": "git", "commit_id": "abc"}}'

    monkeypatch.setattr(store.metadata, "distribution", lambda name: Installed())
    found = []
    for step in ("no checkout", "a checkout around it", "its own", "changed results", "changed"):
        if step == "a checkout around it":
            git(tmp_path, "init", "checkout")
        elif step == "its own":
            git(package, "add", ".")
            git(package, "commit", "-m", "one")
        elif step == "changed results":
            (package / "stored.json").write_text("{}")
        elif step == "changed":
            (package / "__init__.py").write_text("one = 1\n")
        store.commit.cache_clear()
        found.append(store.commit())
    head = git(package, "rev-parse", "HEAD")
    assert found == ["abc", "abc", head, head, f"{head}-dirty"]
    store.commit.cache_clear()


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
        write(path, content)

    return edit


def without(key):
    def edit(path):
        content = content_of(path)
        target, _, last = key.rpartition("__")
        del (content[target] if target else content)[last]
        write(path, content)

    return edit


def in_its_place(make):
    def replaced(path):
        path.unlink()
        make(path)

    return replaced


def replaced(old, new):
    def edit(path):
        text = path.read_text()
        assert text.count(old) == 1
        path.write_text(text.replace(old, new))

    return edit


DAMAGES = {
    "empty": lambda path: path.write_bytes(b""),
    "zeros after a crash": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "not text": lambda path: path.write_bytes(b"\xff\xfe" + path.read_bytes()),
    "brackets without end": lambda path: path.write_text("[" * 10**6),
    "brackets in brackets": lambda path: path.write_text("[" * 10**5 + "]" * 10**5),
    "a list": lambda path: path.write_text("[1, 2]"),
    "a number": lambda path: path.write_text("3"),
    "a folder": in_its_place(lambda path: path.mkdir()),
    "a dangling link": in_its_place(lambda path: path.symlink_to("nowhere")),
    "a pipe": in_its_place(os.mkfifo),
    "no seed": without("seed"),
    "no rows": without("rows"),
    "no provenance": without("provenance"),
    "no checksum": replaced('"checksum"', '"other"'),
    "no hardware": without("provenance__hardware"),
    "empty rows": edited(rows=[]),
    "rows of numbers": edited(rows=[1, 2]),
    "rows in a dictionary": edited(rows={"0": {}}),
    "another run": edited(seed=7),
    "a seed in words": edited(seed="0"),
    "a seed below 0": edited(seed=-1),
    "another condition": edited(condition="elsewhere"),
    "another format": edited(format=99),
    "no date": edited(provenance__started="yesterday"),
    "seconds below 0": edited(provenance__seconds=-1.0),
    "settings changed by hand": edited(provenance__settings={"condition": 2}),
    "no settings": edited(provenance={}),
    "provenance in a list": edited(provenance=[1]),
    "a digit": replaced("0.25", "0.35"),
    "a word": replaced('"one"', '"two"'),
    "an accuracy that is none": replaced("0.25", "NaN"),
    "an accuracy beyond numbers": replaced("0.25", "1e999"),
    "a merge conflict": lambda path: path.write_text("<<<<<<< ours\n" + path.read_text()),
}
damaged = pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)


@damaged
def test_damaged_files_are_named(tmp_path, damage):
    path = save(RUN, ROWS, origin(), tmp_path)
    damage(path)
    with pytest.raises(ResultError, match=f"{path}: damaged result .*; run it again"):
        load(path)
    found = find(STUDY, RUN, Given(), tmp_path)
    assert (found.state, found.path, found.content) == ("damaged", path, None) and found.why


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"canvas": 999.0}, "`float` <= 1"),
        ({"canvas": -5.0}, "`float` >= 0"),
        ({"canvas": None}, "got `null`"),
        ({"canvas": "0.25"}, "got `str`"),
        ({"failed": 0}, "got `int`"),
        ({"map": [[1.0], [0.0, 1.0]]}, "inhomogeneous"),
        ({"map": "one"}, "could not convert"),
    ],
)
def test_a_measurement_of_another_kind_is_damage_whoever_signed_it(tmp_path, changed, why):
    path = save(RUN, [ROWS[0] | changed], origin(), tmp_path)
    assert load(path)  # of no study's kind
    found = find(STUDY, RUN, Given(), tmp_path)
    assert found.state == "damaged" and why in found.why and "$[0]" in found.why


def test_a_measurement_that_lacks_something_is_damage(tmp_path):
    save(RUN, [{"set": "one"}], origin(), tmp_path)
    assert "missing required field `map`" in find(STUDY, RUN, Given(), tmp_path).why


def test_a_study_says_what_a_run_of_it_has(tmp_path):
    def check(settings, rows):
        if len(rows) != settings.condition:
            raise ValueError(f"expected {settings.condition} rows, found {len(rows)}")

    study = replace(STUDY, check=check)
    save(RUN, ROWS, origin(), tmp_path)
    assert find(study, RUN, Given(), tmp_path).state == "done"
    save(RUN, ROWS * 3, origin(), tmp_path)
    assert find(study, RUN, Given(), tmp_path).why == "expected 1 rows, found 3"


@pytest.mark.parametrize("named", [".", "./", "", "../here", "link"])
def test_a_folder_may_be_named_in_any_way(tmp_path, monkeypatch, named):
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "link").symlink_to(tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    path = save(RUN, ROWS, origin(), store.results_root(named))
    assert path == tmp_path / "here" / f"{RUN}.json"
    found = find(STUDY, RUN, Given(), named)
    assert (found.state, found.path) == ("done", path)
    monkeypatch.setenv("INVLIB_RESULTS", named)
    assert find(STUDY, RUN, Given()).state == "done"
    assert load(path.relative_to(tmp_path / "here"))["rows"]


def test_what_a_kill_left_is_removed_and_what_is_being_written_is_not(tmp_path):
    path = save(RUN, ROWS, origin(), tmp_path)
    left, busy = (path.with_name(name) for name in (".left.tmp", ".busy.tmp"))
    left.write_text("{")
    with busy.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        store.remove_leftovers(path.parent)
    assert sorted(os.listdir(path.parent)) == [".busy.tmp", "plain-0.json"]
    store.remove_leftovers(path.parent)
    store.remove_leftovers(tmp_path / "nowhere")
    assert os.listdir(path.parent) == ["plain-0.json"]


def test_a_file_under_another_runs_name_is_damaged(tmp_path):
    path = save(RUN, ROWS, origin(), tmp_path)
    other = path.rename(path.with_name("plain-1.json"))
    with pytest.raises(ResultError, match=f"it is {RUN}, not the run its name says"):
        load(other)


def test_what_an_earlier_release_wrote_is_stale_not_damaged(tmp_path):
    # Settings with null, as release 0.1.0 wrote them, under the hash of just that.
    earlier = {"rate": 0.1, "classes": None}
    written = ORIGIN | {"settings": earlier, "fingerprint": fingerprint(earlier)}
    path = save(RUN, ROWS, written, tmp_path)
    assert find(STUDY, RUN, Given(), tmp_path) == store.Found("stale", path)
