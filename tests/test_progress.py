"""Progress where there is no terminal: lines that say what is left, or nothing."""

import re

import pytest

from invlib import progress


@pytest.fixture(autouse=True)
def at_once(monkeypatch):
    monkeypatch.delenv("INVLIB_PROGRESS", raising=False)
    monkeypatch.setattr(progress, "FIRST", 0)
    monkeypatch.setattr(progress, "EVERY", 0)


def counted(shorter=""):
    with progress.bar(shorter, total=4, desc="fit", unit="step") as bar:
        for _ in range(3):
            bar.update()


def test_without_a_terminal_each_state_is_a_line_with_the_time_that_is_left(capsys):
    counted()
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition(",")[0] for line in lines] == [f"fit: {n} of 4 steps" for n in range(4)]
    assert all(re.search(r", \d\d:\d\d gone, [\d?]+(:\d\d)? left$", line) for line in lines)


def test_what_takes_long_says_so_once_and_what_would_take_less(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LONG", -1)
    counted("fewer steps take less")
    said = [line for line in capsys.readouterr().err.splitlines() if "more here" in line]
    assert said == ["fit: at most 0 min more here; fewer steps take less"]
    monkeypatch.setattr(progress, "LONG", 60)
    counted("fewer steps take less")
    assert "more here" not in capsys.readouterr().err


@pytest.mark.parametrize("where", ["INVLIB_PROGRESS", "worker"])
def test_there_is_one_switch_and_workers_are_silent(capsys, monkeypatch, where):
    if where == "worker":
        monkeypatch.setattr(progress, "position", 1)
    else:
        monkeypatch.setenv("INVLIB_PROGRESS", "0")
    counted("fewer steps take less")
    assert capsys.readouterr().err == ""


def test_a_terminal_has_a_bar_that_leaves_nothing(capsys, monkeypatch):
    monkeypatch.setattr("sys.stderr.isatty", lambda: True)
    counted()
    drawn = capsys.readouterr().err
    assert "\n" not in drawn and drawn.rpartition("\r")[2].strip() == ""
    assert "0/4" in drawn
