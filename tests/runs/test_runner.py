"""Computing what is missing: resume, errors, deadlines, full disks, killed processes."""

import errno
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from invlib import runs
from invlib.runs import ResultError, Run, StudyError, store
from invlib.studies import STUDIES, study_of

SIX = [Run("toy", "small", c, seed) for seed in range(3) for c in ("plain", "other")]


def compute(toy, root, inline, **options):
    options = {"workers": 1} | options
    return runs.run(toy.study, "small", root=root, executor=inline, **options)


def files(root):
    return sorted(p for p in root.rglob("*") if p.is_file())


def timeless(value):
    """A result without what differs between two computations of it."""
    if isinstance(value, dict):
        return {
            k: timeless(v) for k, v in value.items() if k not in ("seconds", "started", "checksum")
        }
    return [timeless(v) for v in value] if isinstance(value, list) else value


# What is computed


def test_runs_are_computed_once(toy, tmp_path, inline):
    report = compute(toy, tmp_path, inline)
    assert report.done == SIX and report.complete and not report.kept
    assert toy.computed == [(1, 0), (2, 0), (1, 1), (2, 1), (1, 2), (2, 2)]
    written = {path: path.read_bytes() for path in files(tmp_path)}
    assert [str(p.relative_to(tmp_path)) for p in written] == sorted(f"{r}.json" for r in SIX)
    again = compute(toy, tmp_path, inline)
    assert again.kept == SIX and not again.done and len(toy.computed) == 6
    assert {path: path.read_bytes() for path in files(tmp_path)} == written


def test_more_seeds_compute_the_new_ones_only(toy, tmp_path, inline):
    compute(toy, tmp_path, inline, seeds=1)
    report = compute(toy, tmp_path, inline, seeds=2)
    assert report.kept == SIX[:2] and report.done == SIX[2:4]


def test_stored_runs_are_not_computed_again(toy, tmp_path, inline):
    compute(toy, store.stored_root(), inline, seeds=2)
    report = compute(toy, tmp_path / "own", inline)
    assert report.kept == SIX[:4] and report.done == SIX[4:]
    assert len(files(tmp_path / "own")) == 2


def test_stale_and_damaged_runs_are_computed_again(toy, tmp_path, inline):
    compute(toy, tmp_path, inline)
    path = tmp_path / f"{SIX[3]}.json"
    before = path.read_bytes()
    path.write_bytes(before[:50])
    report = compute(toy, tmp_path, inline)
    assert list(report.redone) == [path] and report.done == [SIX[3]] and len(report.kept) == 5
    assert timeless(json.loads(path.read_text())) == timeless(json.loads(before))
    toy.size = 5
    report = compute(toy, tmp_path, inline)
    assert report.done == SIX and not report.redone and len(files(tmp_path)) == 6


def test_several_workers_give_the_same_files(toy, tmp_path, inline):
    compute(toy, tmp_path / "one", inline)
    with ThreadPoolExecutor(3) as pool:
        report = runs.run(toy.study, "small", root=tmp_path / "three", workers=3, executor=pool)
    assert sorted(report.done) == sorted(SIX)
    for one, three in zip(files(tmp_path / "one"), files(tmp_path / "three"), strict=True):
        assert timeless(json.loads(one.read_text())) == timeless(json.loads(three.read_text()))


# What goes wrong


def test_a_run_that_fails_is_reported_in_one_line_and_the_others_are_done(toy, tmp_path, inline):
    def before(settings, seed):
        if (settings.number, seed) == (2, 1):
            raise ValueError("no such data")

    toy.before = before
    report = compute(toy, tmp_path, inline)
    assert report.failed == {SIX[3]: "ValueError: no such data"} and not report.complete
    assert report.done == SIX[:3] + SIX[4:] and len(files(tmp_path)) == 5
    toy.before = lambda settings, seed: None
    assert compute(toy, tmp_path, inline).done == [SIX[3]]


def test_an_interrupt_keeps_what_is_finished(toy, tmp_path, inline):
    def before(settings, seed):
        if seed == 2:
            raise KeyboardInterrupt

    toy.before = before
    with pytest.raises(KeyboardInterrupt):
        compute(toy, tmp_path, inline)
    assert [p.stem for p in files(tmp_path)] == ["other-0", "other-1", "plain-0", "plain-1"]
    toy.before = lambda settings, seed: None
    assert compute(toy, tmp_path, inline).done == SIX[4:]


def test_measurements_that_are_not_what_is_promised_are_not_written(toy, tmp_path, inline):
    def check(settings, rows):
        if settings.number == 2:
            raise ValueError("no accuracy")

    study = replace(toy.study, check=check)
    report = runs.run(study, "small", seeds=1, root=tmp_path, workers=1, executor=inline)
    assert report.done == SIX[:1] and report.failed == {SIX[1]: "ValueError: no accuracy"}
    assert [p.stem for p in files(tmp_path)] == ["plain-0"]


def test_a_folder_in_the_place_of_a_result_is_found_before_computing(toy, tmp_path, inline):
    place = tmp_path / f"{SIX[4]}.json"
    place.mkdir(parents=True)
    with pytest.raises(ResultError, match=f"{place} is a folder, where a result is to be written"):
        compute(toy, tmp_path, inline)
    assert toy.computed == []


def test_what_a_kill_in_mid_write_left_goes_with_the_next_run(toy, tmp_path, inline):
    compute(toy, tmp_path, inline, seeds=1)
    left = tmp_path / "toy" / "small" / ".abc.tmp"
    left.write_text("{")
    compute(toy, tmp_path, inline, seeds=2)
    assert not left.exists() and len(files(tmp_path)) == 4


def test_a_worker_killed_while_a_result_is_saved_ends_in_the_same_report(toy, tmp_path, inline):
    class Breaks(type(inline)):
        """Its worker is killed after the second run."""

        def submit(self, *call):
            if len(toy.computed) == 2:
                raise BrokenProcessPool("A child process terminated abruptly")
            return super().submit(*call)

    report = compute(toy, tmp_path, Breaks())
    assert report.done == SIX[:2] and report.failed == {SIX[2]: "its worker was killed"}
    assert report.left == SIX[3:] and len(files(tmp_path)) == 2
    assert compute(toy, tmp_path, inline).complete


@pytest.mark.parametrize("below", ["", "deeper/still"])
def test_a_folder_that_cannot_be_written_is_found_before_computing(toy, tmp_path, inline, below):
    root = tmp_path / "file"
    root.write_text("a file where the folder should be")
    with pytest.raises(ResultError, match=f"results cannot be written to {root}"):
        compute(toy, root / below, inline)
    assert toy.computed == [] and root.read_text().startswith("a file")


def test_a_disk_that_fills_up_keeps_what_is_finished(toy, tmp_path, inline, monkeypatch):
    real, calls = os.fsync, []

    def fsync(descriptor):
        calls.append(descriptor)
        if len(calls) == 4:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(descriptor)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fsync)
        with pytest.raises(ResultError, match=r"other-1\.json cannot be written: No space left"):
            compute(toy, tmp_path, inline)
    assert [p.name for p in files(tmp_path)] == ["other-0.json", "plain-0.json", "plain-1.json"]
    report = compute(toy, tmp_path, inline)
    assert (report.kept, report.done) == (SIX[:3], SIX[3:])


@pytest.mark.parametrize("number", ["seeds", "workers"])
def test_numbers_below_one_are_refused(toy, tmp_path, inline, number):
    with pytest.raises(StudyError, match=f"{number} must be at least 1, not 0"):
        compute(toy, tmp_path, inline, **{number: 0})


def test_unknown_studies_and_profiles_are_refused(toy, tmp_path):
    with pytest.raises(StudyError, match="unknown study 'imagnet'; expected one of toy"):
        study_of("imagnet")
    with pytest.raises(StudyError, match="profile 'huge' of toy; expected one of small, smoke"):
        runs.run(study_of("toy"), "huge", root=tmp_path)


# Deadlines


def test_at_the_deadline_what_is_not_finished_is_left(toy, tmp_path, inline, monkeypatch):
    clock = [100.0]
    monkeypatch.setattr("invlib.runs.runner.time.monotonic", lambda: clock[0])

    def before(settings, seed):
        clock[0] += 10

    toy.before = before
    report = compute(toy, tmp_path, inline, deadline=25)
    assert report.done == SIX[:3] and report.left == SIX[3:] and not report.complete
    assert compute(toy, tmp_path, inline).done == SIX[3:]


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("40m", 2400), ("1.5h", 5400), ("0s", 0), ("", None)]
)
def test_durations(text, seconds):
    assert runs.duration(text) == seconds


@pytest.mark.parametrize("text", ["90", "5 m", "-3s", "1d", "s", "1e3s", "90s "])
def test_durations_that_are_none_are_refused(text):
    with pytest.raises(StudyError, match="expected a time such as 90s, 40m or 1.5h, not"):
        runs.duration(text)


# Full disks, deadlines and processes that are killed, with the real studies at their smallest

SEEDS = 3
# What shortcuts measures are times, which no second computation gives again; dimensions is over
# before anything can happen to it.
REAL = [study_of(name) for name in STUDIES if name not in ("shortcuts", "dimensions")]


@pytest.fixture(scope="module", params=REAL, ids=lambda study: study.name)
def study(request):
    return request.param


@pytest.fixture(scope="module")
def undisturbed(study, tmp_path_factory):
    """The smoke runs, computed in this process without any trouble: name to content."""
    root = tmp_path_factory.mktemp("undisturbed")
    for run, given in study.runs("smoke", SEEDS):
        rows = [asdict(row) for row in study.compute(given, run.seed)]
        store.save(run, rows, store.provenance(given, 0.0, "2026-01-02T03:04:05+00:00"), root)
    return {p.name: timeless(json.loads(p.read_text())) for p in files(root)}


class Started:
    """``invlib run`` in a session of its own, so that all its processes can be told."""

    def __init__(self, name, root, workers):
        code = "from invlib_command import main; main()"
        options = ["--profile", "smoke", "--seeds", str(SEEDS), "--workers", str(workers)]
        command = [sys.executable, "-c", code, "run", name, *options, "--results", str(root)]
        self.root = root
        self.process = subprocess.Popen(
            command,
            start_new_session=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )

    def processes(self):
        """The ids of all processes that run, with their command lines."""
        found = {}
        for folder in Path("/proc").iterdir():
            try:
                state, _, group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
                if int(group) == self.process.pid and state != "Z":
                    found[int(folder.name)] = (folder / "cmdline").read_text()
            except (OSError, ValueError):
                continue
        return found

    def wait_for(self, condition, what):
        ends = time.monotonic() + 120
        while not condition():
            assert time.monotonic() < ends, f"no {what} after 120 s"
            time.sleep(0.02)

    def wait_for_files(self, count):
        self.wait_for(
            lambda: (
                len(list(self.root.rglob("*.json"))) >= count or self.process.poll() is not None
            ),
            f"{count} files",
        )

    def workers(self):
        return [p for p, command in self.processes().items() if "spawn_main" in command]

    def end(self):
        if self.processes():
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.communicate(timeout=60)


@pytest.fixture
def start(study, tmp_path):
    if not Path("/proc/self/stat").exists():
        pytest.skip("processes are told by /proc, which is not here")
    all_started = []

    def start(workers):
        all_started.append(Started(study.name, tmp_path, workers))
        return all_started[-1]

    yield start
    for started in all_started:
        started.end()


def assert_resumed(study, root, undisturbed, inline):
    """What is there is whole; the same call computes the rest, and all is as if undisturbed."""
    kept = [p for p in root.rglob("*.json") if store.load(p)]
    report = runs.run(study, "smoke", seeds=SEEDS, root=root, executor=inline)
    assert report.complete and len(report.kept) == len(kept) and not report.redone
    found = {p.name: timeless(json.loads(p.read_text())) for p in root.rglob("*.json")}
    assert found == undisturbed


@pytest.fixture
def half_a_disk(undisturbed, tmp_path):
    """A file system for about half of the smoke runs."""
    folder = tmp_path / "disk"
    folder.mkdir()
    # It is filled in pages of 4 KiB, two of which are folders.
    pages = sum(-(-len(json.dumps(each)) // 4096) for each in undisturbed.values())
    size = f"size={4 * (pages // 2 + 2)}k"
    mount = ["mount", "-t", "tmpfs", "-o", size, "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small file system cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_really_full_disk_keeps_what_is_finished(study, half_a_disk, undisturbed, inline):
    options = {"seeds": SEEDS, "workers": 1, "root": half_a_disk, "executor": inline}
    with pytest.raises(ResultError, match=r"\.json cannot be written: No space left on device"):
        runs.run(study, "smoke", **options)
    kept = files(half_a_disk)
    assert 1 <= len(kept) < len(undisturbed) and all(p.suffix == ".json" for p in kept)
    subprocess.run(["mount", "-o", "remount,size=9m", str(half_a_disk)], check=True)
    assert_resumed(study, half_a_disk, undisturbed, inline)


def test_a_deadline_does_not_wait_for_workers(study, tmp_path):
    report = runs.run(study, "smoke", workers=1, deadline=0.3, root=tmp_path)
    assert len(report.left) == len(list(study.runs("smoke"))) and not report.done
    assert not files(tmp_path) and not multiprocessing.active_children()


def test_kill_9_of_the_runner_at_random_moments(study, start, tmp_path, undisturbed, inline):
    moments = [(0, random.uniform(1, 4)), (random.randint(1, 5), random.uniform(0, 0.5))]
    print("killed after (files, seconds):", moments)
    for count, seconds in moments:
        started = start(workers=2)
        started.wait_for_files(count + len(list(tmp_path.rglob("*.json"))))
        time.sleep(seconds)
        os.kill(started.process.pid, signal.SIGKILL)
        started.process.wait()
        started.wait_for(lambda s=started: not s.processes(), "end of the orphaned workers")
    assert list(tmp_path.rglob("*.json"))
    assert_resumed(study, tmp_path, undisturbed, inline)


def test_kill_9_of_a_worker_at_a_random_moment(study, start, tmp_path, undisturbed, inline):
    started = start(workers=2)
    started.wait_for_files(random.randint(0, 4))
    started.wait_for(lambda: started.workers() or started.process.poll() is not None, "worker")
    os.kill(random.choice(started.workers()), signal.SIGKILL)
    output, errors = started.process.communicate(timeout=120)
    done = len(list(tmp_path.rglob("*.json")))
    # It may have had nothing left to do.
    if started.process.returncode or done < len(undisturbed):
        assert started.process.returncode == 1
        assert "its worker was killed" in errors
    assert "Traceback" not in errors
    assert f"{study.name} at smoke: {done} done" in output
    started.wait_for(lambda: not started.processes(), "end of the other worker")
    assert not list(tmp_path.rglob("*.tmp"))
    assert_resumed(study, tmp_path, undisturbed, inline)


def test_ctrl_c_keeps_what_is_finished(study, start, tmp_path, undisturbed, inline):
    started = start(workers=1)
    # While the worker starts, and so imports, or while it computes.
    count = random.choice([0, 1, 3])
    started.wait_for(lambda: started.workers() or started.process.poll() is not None, "worker")
    started.wait_for_files(count)
    os.killpg(started.process.pid, signal.SIGINT)  # as a terminal does
    output, errors = started.process.communicate(timeout=60)
    assert started.process.returncode == 130, errors
    assert errors == "interrupted; finished runs are kept, the same command goes on\n"
    assert len(list(tmp_path.rglob("*.json"))) >= count and not list(tmp_path.rglob("*.tmp"))
    started.wait_for(lambda: not started.processes(), "end of the worker")
    assert_resumed(study, tmp_path, undisturbed, inline)
