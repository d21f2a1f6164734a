"""The measured speeds: what a benchmark keeps, what is stored of it, and the tables of the page."""

import json

import pytest

from benchmarks import summary, timing
from book import pages

ROW = {
    "work": "a training step",
    "unit": "images/s",
    "ours": 1234.5,
    "plain": 400.0,
    "notebook": 100.0,
    "goal": "> 2",
    "limit": 4.0,
    "rounds": 5,
}


class Benchmark:
    """What the fixture of pytest-benchmark does here."""

    def __init__(self):
        self.extra_info = {}

    def pedantic(self, function, args, rounds):
        assert rounds == 1
        return function(*args)


def kept(**row):
    benchmark = Benchmark()
    timing.keep(benchmark, **row)
    return benchmark.extra_info


def report(*found):
    return {
        "datetime": "2026-11-20T10:00:00+00:00",
        "machine_info": {"node": "secret", "cpu": {"brand_raw": "Some Processor"}},
        "benchmarks": [{"extra_info": each} for each in found],
    }


@pytest.fixture
def stored(tmp_path, monkeypatch):
    def store(content):
        monkeypatch.setattr(pages, "SPEED", tmp_path / "speed.json")
        pages.SPEED.write_text(json.dumps(content))

    return store


def test_a_ratio_says_how_many_times_better():
    row = kept(**ROW)
    assert row["ratio"] == pytest.approx(1234.5 / 400) and row["ratio_notebook"] == 12.345
    saved = kept(work="saved", unit="MB", ours=10.0, plain=60.0)
    assert saved["ratio"] == 6 and saved["notebook"] is saved["ratio_notebook"] is None


def test_sides_take_turns_and_the_first_round_is_warming_up(monkeypatch):
    monkeypatch.setattr(timing, "SECONDS", 0)
    monkeypatch.setattr(timing, "TURN", 0)
    calls = []
    seconds = {"ours": iter([9.0, 1, 2, 3]), "notebook": iter([99.0, 30, 10, 20])}

    def side(name):
        def run():
            calls.append(name)
            return next(seconds[name])

        return run

    benchmark = Benchmark()
    sides = {name: side(name) for name in seconds}
    timing.compare(benchmark, work="", images=100, rounds=3, **sides)
    assert calls == 4 * ["ours", "notebook"]
    row = benchmark.extra_info
    assert (row["ours"], row["plain"], row["notebook"]) == (50, None, 5)
    assert (row["ratio"], row["ratio_notebook"], row["rounds"]) == (None, 10, 3)


def test_a_turn_goes_on_for_a_while_and_its_mean_counts(monkeypatch):
    monkeypatch.setattr(timing, "TURN", 0.25)
    clock = iter([0.0, 0.1, 0.2, 0.3])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    seconds = iter([4.0, 1.0, 1.0, 9.0])
    assert timing.turn(lambda: next(seconds)) == 2


def test_short_work_has_more_rounds(monkeypatch):
    monkeypatch.setattr(timing, "SECONDS", 1)
    monkeypatch.setattr(timing, "turn", lambda side: side())
    clock = iter([0.0, 0.2, 0.4, 1.1])
    monkeypatch.setattr(timing.time, "perf_counter", lambda: next(clock))
    seconds = iter([9.0, 5.0, 3.0, 2.0])
    assert len(timing.in_turn({"ours": lambda: next(seconds)}, 1)) == 3


def test_the_quicker_side_is_that_of_the_second_try_unless_the_first_is_long():
    slow_start, steady = iter([1.5, 0.1]), iter([0.5, 0.5])
    sides = (lambda: next(slow_start)), (lambda: next(steady))
    assert timing.quicker(*sides) is sides[0]
    long, longer = iter([3.0]), iter([4.0])
    sides = (lambda: next(longer)), (lambda: next(long))
    assert timing.quicker(*sides) is sides[1]


def test_summary_keeps_rows_but_not_the_machine():
    made = summary.summary(report(kept(**ROW)))
    assert "secret" not in json.dumps(made)
    assert (made["date"], made["processor"]) == ("2026-11-20", "Some Processor")
    (result,) = made["results"]
    assert set(result) == set(summary.KEPT)
    assert (result["ours"], result["ratio"]) == (1230, 3.09)


def test_the_process_with_the_middle_ratio_is_kept():
    slow = kept(work="import", unit="s", ours=0.9)
    quick = kept(work="import", unit="s", ours=0.1)
    usual = kept(work="import", unit="s", ours=0.2)
    # The middle ratio is not that of the middle speed.
    speeds = [(300.0, 50.0), (200.0, 20.0), (99.0, 33.0)]
    rows = [kept(**ROW | {"ours": ours, "plain": plain}) for ours, plain in speeds]
    reports = map(report, rows, [slow, quick, usual])
    made = summary.summary(*reports)
    assert made["processes"] == 3
    step, load = made["results"]
    assert (step["ours"], step["plain"], step["ratio"], step["between"]) == (300, 50, 6, [3, 10])
    assert (load["ours"], load["between"]) == (0.2, [0.1, 0.9])


def test_missed_goals_are_named(stored):
    quick = kept(**ROW | {"work": "a quick step"})
    slow = kept(**ROW | {"work": "a slow step", "plain": 1000.0})
    late = kept(work="import", unit="s", ours=2.5, goal="< 2 s")
    soon = kept(work="another import", unit="s", ours=1.5, goal="< 2 s")
    free = kept(work="a map", unit="images/s", ours=1.0, notebook=5.0)
    stored(summary.summary(report(quick, slow, late, soon, free)))
    assert "Goals missed here: a slow step." in pages.speed_exact()
    assert "Goals missed here: import." in pages.speed()
    assert "| 2.5 s " in pages.speed()


def test_rows_go_to_the_table_of_what_they_are_held_against(stored, records):
    old = kept(work="rendering", unit="images/s", ours=50.0, notebook=5.0, goal="> 10")
    stored(summary.summary(report(kept(**ROW), old)))
    loops, exact = pages.speed(), pages.speed_exact()
    assert records(loops) == [
        {
            "work": "rendering",
            "ratio (between)": "10 (10 to 10)",
            "goal": "> 10",
            "invlib": "50",
            "notebook": "5",
        }
    ]
    assert records(exact) == [
        {
            "work": "a training step",
            "ratio (between)": "3.09 (3.09 to 3.09)",
            "multiplications saved (times fewer)": "75% (4)",
            "goal": "> 2",
            "invlib": "1,230",
            "plain": "400",
            "ratio to notebook": "12.3",
        }
    ]
    assert "Goals missed here: none." in exact
    assert "Goals missed here: rendering." in loops  # 10 is not more than 10


def test_the_machine_and_the_rounds_are_said(stored):
    stored(summary.summary(report(kept(**ROW), kept(**ROW | {"work": "b", "rounds": 22}))))
    said = pages.speed_machine()
    assert said.startswith("Some Processor, ") and said.endswith("2026-11-20.")
    assert "1 processes of 5 to 22 rounds each" in said


def test_without_rows_the_page_says_so(stored, tmp_path, monkeypatch):
    stored(summary.summary(report()))
    assert pages.speed_exact().startswith("Nothing was measured yet")
    monkeypatch.setattr(pages, "SPEED", tmp_path / "absent.json")
    assert pages.speed().startswith("Nothing was measured yet")
    assert pages.speed_machine() == "Nothing was measured yet."


def test_what_is_stored_has_the_format_that_is_written():
    content = json.loads(pages.SPEED.read_text(encoding="utf-8"))
    assert set(content) == set(summary.summary(report()))
    assert content["results"]
    assert all(set(row) == set(summary.KEPT) for row in content["results"])
