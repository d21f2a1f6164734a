"""The command line: exit codes, one clear line instead of a traceback, output for machines."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
from pathlib import Path
from subprocess import PIPE

import pytest
from click.testing import CliRunner

import invlib
from invlib import claims, cli
from invlib.runs import store


@pytest.fixture
def call(tmp_path, monkeypatch):
    """Calls ``invlib`` with results in a folder of the test; nothing else is stored."""
    monkeypatch.setenv("INVLIB_RESULTS", str(tmp_path / "results"))
    monkeypatch.setattr(store, "stored_root", lambda: tmp_path / "stored")

    def call(*arguments):
        result = CliRunner().invoke(cli.main, [str(a) for a in arguments])
        error = result.exception
        assert error is None or isinstance(error, SystemExit), error
        assert "Traceback" not in result.output
        return result

    return call


@pytest.fixture
def toy_call(call, toy, inline, monkeypatch):
    """The same with the toy study for the only one, computed in this process."""

    @contextlib.contextmanager
    def pool(workers):
        yield inline

    monkeypatch.setattr("invlib.runs.runner.pool", pool)

    def toy_call(command, *arguments):
        which = ("toy", "--profile", "small", "--workers", 1) if command == "run" else ()
        return call(command, *which, *arguments)

    return toy_call


# Bad usage


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("run imagnet", "unknown study 'imagnet'; expected one of imagenet"),
        ("run imagenet --profile huge", "profile 'huge' of imagenet; expected one of smoke, bench"),
        ("run", "Missing argument 'STUDY...'"),
        ("run imagenet --seeds 0", "0 is not in the range x>=1"),
        ("run imagenet --workers 0", "0 is not in the range x>=1"),
        ("run imagenet --seeds many", "'many' is not a valid integer"),
        ("run imagenet --profile smoke --deadline 90", "expected a time such as 90s, 40m or 1.5h"),
        ("run imagenet --rate 3", "No such option"),
        ("runn imagenet", "No such command 'runn'"),
        ("status --verbose", "No such option"),
    ],
)
def test_bad_usage_has_code_2_and_computes_nothing(call, tmp_path, arguments, message):
    result = call(*arguments.split())
    assert result.exit_code == 2 and message in result.output
    assert not (tmp_path / "results").exists()


def test_nothing_is_computed_when_one_of_the_studies_is_unknown(toy, toy_call):
    assert toy_call("run", "imagnet").exit_code == 2
    assert toy.computed == []


def test_the_version_is_the_packages(call):
    assert invlib.__version__ in call("--version").output


# Running


def test_run_says_what_it_did(toy_call, tmp_path):
    result = toy_call("run")
    where = f"(in {tmp_path / 'results'})"
    assert result.exit_code == 0
    assert result.output == f"toy at small: 6 done, 0 kept, 0 failed, 0 left {where}\n"
    result = toy_call("run", "--results", tmp_path / "results")
    assert result.exit_code == 0 and "0 done, 6 kept, 0 failed, 0 left" in result.output


def test_a_failed_run_is_one_line_and_code_1(toy, toy_call):
    def before(settings, seed):
        if seed == 1:
            raise ValueError("no such data")

    toy.before = before
    result = toy_call("run")
    assert result.exit_code == 1 and "4 done, 0 kept, 2 failed, 0 left" in result.output
    assert "failed: toy/small/plain-1: ValueError: no such data\n" in result.output


def test_what_is_left_at_the_deadline_is_code_1(toy_call):
    result = toy_call("run", "--deadline", "0s")
    assert result.exit_code == 1 and "0 done, 0 kept, 0 failed, 6 left" in result.output


@pytest.mark.parametrize("digits", [10, 400, 100_000])
def test_a_deadline_of_any_length_is_taken(toy_call, digits):
    result = toy_call("run", "--deadline", "9" * digits + "h")
    assert result.exit_code == 0 and "6 done, 0 kept, 0 failed, 0 left" in result.output


def test_an_interrupt_is_code_130(toy, toy_call, tmp_path):
    def before(settings, seed):
        if seed == 1:
            raise KeyboardInterrupt

    toy.before = before
    result = toy_call("run")
    assert result.exit_code == 130 and "interrupted; finished runs are kept" in result.output
    assert len(list((tmp_path / "results").rglob("*.json"))) == 2


def test_results_that_cannot_be_written_are_code_1(toy, toy_call, tmp_path):
    (tmp_path / "results").write_text("a file where the folder should be")
    result = toy_call("run")
    assert result.exit_code == 1 and toy.computed == []
    assert result.output.startswith(f"Error: results cannot be written to {tmp_path / 'results'}: ")


def test_a_study_without_its_data_fails_in_one_line_each(call, tmp_path, monkeypatch, inline):
    monkeypatch.setenv("INVLIB_DATA", str(tmp_path / "no-data"))

    @contextlib.contextmanager
    def pool(workers):
        yield inline

    monkeypatch.setattr("invlib.runs.runner.pool", pool)
    result = call("run", "imagenet", "--profile", "bench", "--seeds", 1)
    assert result.exit_code == 1 and "0 done, 0 kept, 4 failed, 0 left" in result.output
    assert result.output.count("failed: imagenet/bench/") == 4
    assert "'invlib datasets --download emnist_letters' gets it" in result.output
    assert len(result.output.splitlines()) == 5


def test_a_damaged_result_is_named_and_run_again(toy_call, tmp_path):
    toy_call("run")
    path = tmp_path / "results" / "toy" / "small" / "other-2.json"
    before = path.read_bytes()
    path.write_bytes(before[:100])
    result = toy_call("status")
    assert result.exit_code == 0 and "5 of 6 runs" in result.output and "1 damaged" in result.output
    assert f"damaged: {path}; 'invlib run toy --profile small' redoes it" in result.output
    result = toy_call("run")
    assert result.exit_code == 0 and f"damaged, run again: {path}" in result.output
    assert "1 done, 5 kept" in result.output
    assert store.load(path)["rows"] == json.loads(before)["rows"]


LONG = "x" * 300
COMMANDS = ("status", "claims", "datasets", "weights")


@pytest.mark.parametrize(
    ("arguments", "variable"),
    [
        (f"run imagenet --results {LONG}", ""),
        (f"status --results {'x/' * 3000}", ""),
        (f"datasets --root {LONG}", ""),
        ("claims", "INVLIB_RESULTS"),
        ("datasets", "INVLIB_DATA"),
        ("weights", "INVLIB_WEIGHTS"),
    ],
)
def test_a_path_that_is_too_long_is_one_line(call, monkeypatch, arguments, variable):
    if variable:
        monkeypatch.setenv(variable, LONG)
    result = call(*arguments.split())
    assert result.exit_code == 1 and len(result.output.splitlines()) == 1
    assert result.output.startswith("Error: ") and "xxx" in result.output.replace("/", "")
    assert result.output.endswith("File name too long\n")


# What cannot be printed


@pytest.fixture
def printed(monkeypatch):
    """Calls ``invlib`` with an output of its own; gives the exit code and what errors said."""

    def printed(output, *arguments):
        said = io.TextIOWrapper(io.BytesIO(), "ascii")
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stdout", output)
            patch.setattr(sys, "stderr", said)
            with pytest.raises(SystemExit) as left:
                cli.main(list(arguments))
        said.flush()
        return left.value.code or 0, said.buffer.getvalue().decode("ascii")

    return printed


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is Linux's")
@pytest.mark.parametrize("option", ["", "--json", "--help"])
@pytest.mark.parametrize("command", COMMANDS)
def test_an_output_that_is_full_is_one_line_and_code_1(call, printed, command, option):
    if (command, option) == ("weights", "--json"):
        pytest.skip("it has no output for machines")
    full = open("/dev/full", "w")
    code, said = printed(full, command, *option.split())
    with contextlib.suppress(OSError):
        full.close()
    assert code == 1
    assert said == "Error: the output cannot be written: No space left on device\n"


@pytest.mark.parametrize("shell", ["> /dev/full", "| true"])
def test_nothing_more_is_said_as_the_process_ends(tmp_path, shell):
    command = f"'{sys.executable}' -c 'from invlib.cli import main; main()' claims"
    process = subprocess.run(
        ["bash", "-o", "pipefail", "-c", f"{command} {shell}"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert process.returncode == 1 and len(process.stderr.splitlines()) == ("full" in shell)


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_names_that_the_terminal_cannot_print_are_escaped(printed, tmp_path, encoding):
    expected = {
        "Größe猫": {"ascii": r"Gr\xf6\xdfe\u732b", "latin-1": r"Größe\u732b", "utf-8": "Größe猫"},
        "bad\udcff": dict.fromkeys(("ascii", "latin-1", "utf-8"), r"bad\udcff"),  # no Unicode
    }
    output = io.TextIOWrapper(io.BytesIO(), encoding)
    for name in expected:
        (tmp_path / name / "train").mkdir(parents=True)
    code, said = printed(output, "datasets", "--root", str(tmp_path))
    assert (code, said) == (0, "")
    lines = output.buffer.getvalue().decode(encoding).splitlines()
    for words in expected.values():
        assert sum(line.startswith(words[encoding]) for line in lines) == 1
    code, said = printed(output, "datasets", "--download", "猫")
    assert code == 1 and said.startswith(r"Error: '\u732b' cannot be downloaded; expected one of")


# Status and claims


def test_status_for_machines(toy_call):
    toy_call("run", "--seeds", 2)
    (row,) = json.loads(toy_call("status", "--json").output)
    assert (row["study"], row["profile"], row["done"], row["measurements"]) == (
        "toy",
        "small",
        4,
        8,
    )
    assert row["missing"] == ["toy/small/plain-2", "toy/small/other-2"]
    assert (
        "toy small: 4 of 6 runs, 8 measurements, 0 failed their control, 0 ended at the cap; "
        in toy_call("status").output
    )


def test_status_in_words_says_what_ended_at_the_cap_and_the_precision(monkeypatch, call):
    row = dict.fromkeys(("planned", "done", "measurements", "failed"), 0) | {
        "study": "toy",
        "profile": "small",
        "capped": 3,
        "stale": [],
        "damaged": [],
        "precision": ["bfloat16", "float32"],
        "hardware": ["Some Processor"],
    }
    monkeypatch.setattr(cli.runs, "status", lambda studies, root: [row])
    assert call("status").output == (
        "toy small: 0 of 0 runs, 0 measurements, 0 failed their control, 3 ended at the cap; "
        "bfloat16, float32; Some Processor\n"
    )


def test_status_of_the_real_study_plans_every_measurement(call):
    rows = json.loads(call("status", "--json").output)
    assert {(row["study"], row["profile"]): row["planned"] for row in rows} == {
        ("imagenet", "bench"): 20,
        ("imagenet", "squeezenet"): 12,
        ("imagenet", "circular"): 3,
        ("imagenet", "paper"): 10,
        ("fully_translated", "bench"): 35,
        ("fully_translated", "paper"): 35,
        ("diversity", "bench"): 27,
        ("sanity_check", "bench"): 25,
        ("kernel_size", "bench"): 84,
        ("kernel_size", "sweep"): 50,
        ("kernel_size", "paper"): 18,
        ("dimensions", "bench"): 6,
        ("rook", "bench"): 15,
        ("borders", "bench"): 40,
        ("quadrant", "bench"): 12,
        ("data_efficiency", "bench"): 80,
        ("shortcuts", "bench"): 1,
    }
    assert all(row["done"] == 0 for row in rows)
    assert all(row["needs"] for row in rows if row["study"] == "imagenet")


def test_claims_without_results_are_not_run_and_say_what_they_need(call):
    verdicts = json.loads(call("claims", "--json").output)
    expected = {
        (claim.id, case.profile, case.conditions) for claim in claims.CLAIMS for case in claim.cases
    }
    assert {(v["claim"], v["profile"], v["condition"]) for v in verdicts} == expected
    assert {v["claim"] for v in verdicts} == {
        *(f"C{n}" for n in range(1, 9)),
        *(f"M{n}" for n in range(1, 13)),
        *(f"K{n}" for n in range(1, 11)),
    }
    assert {v["verdict"] for v in verdicts} == {"not run"}
    assert all("it needs " in v["measured"] for v in verdicts)
    assert "C1 paper imagenet: not run (0 of 5 seeds)" in call("claims").output


def test_claims_on_a_damaged_result_name_it(call, tmp_path):
    path = tmp_path / "results" / "imagenet" / "bench" / "vanilla-0.json"
    path.parent.mkdir(parents=True)
    path.write_text("{")
    result = call("claims")
    assert result.exit_code == 1
    assert result.output == (
        f"Error: {path}: damaged result (Input data was truncated); "
        "'invlib run imagenet --profile bench' redoes it\n"
    )


def test_ctrl_c_while_the_package_is_imported_is_one_line():
    if not Path("/proc/self/maps").exists():
        pytest.skip("what is imported is told by /proc, which is not here")
    code = "from invlib_command import main; main()"
    command = [sys.executable, "-c", code, "status"]
    process = subprocess.Popen(command, stdout=PIPE, stderr=PIPE, text=True)
    maps = Path(f"/proc/{process.pid}/maps")
    while "libtorch" not in maps.read_text():  # in the midst of it
        assert process.poll() is None
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    output, errors = process.communicate(timeout=60)
    assert (process.returncode, output) == (130, "")
    assert errors == "interrupted; nothing was begun\n"


# Data and weights


def no_network(*args, **kwargs):
    raise urllib.error.URLError("Temporary failure in name resolution")


def test_datasets_lists_what_is_there_and_what_is_not(call, tmp_path):
    rows = json.loads(call("datasets", "--json", "--root", tmp_path).output)
    there = {(r["name"], r["split"]): r["images"] for r in rows if r["images"]}
    assert there["digits", "train"] == 1400 and there["objects2", "test"] == 2
    assert all(r["licence"] for r in rows if r["images"])
    output = call("datasets", "--root", tmp_path).output
    assert "glyphs          train   2600 images of 28x28x1, 26 classes" in output
    assert f"mnist           train not here: mnist: {tmp_path}" in output
    assert len(output.splitlines()) == len(rows)


@pytest.mark.parametrize(
    ("name", "message"),
    [("mnits", "Error: 'mnits' cannot be downloaded; expected one of mnist, fashion_mnist"),
     ("", "Error: '' cannot be downloaded; expected one of mnist, fashion_mnist"),
     ("kmnist", "Error: kmnist could not be downloaded into ")],
)  # fmt: skip
def test_a_failed_download_of_data_is_one_line(call, tmp_path, monkeypatch, name, message):
    monkeypatch.setattr("urllib.request.urlopen", no_network)
    result = call("datasets", "--download", name, "--root", tmp_path / "data")
    assert result.exit_code == 1 and result.output.splitlines()[-1].startswith(message)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


@pytest.mark.parametrize(
    ("name", "message"),
    [("vgg19", "Error: no ImageNet weights are known for 'vgg19'; expected vgg16, squeezenet1_1"),
     ("", "Error: no ImageNet weights are known for ''; expected vgg16, squeezenet1_1"),
     ("vgg16", "Error: https://download.pytorch.org/models/vgg16-397923af.pth could not be ")],
)  # fmt: skip
def test_a_failed_download_of_weights_is_one_line(call, tmp_path, monkeypatch, name, message):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", no_network)
    result = call("weights", "--download", name)
    assert result.exit_code == 1 and result.output.startswith(message)
    assert len(result.output.splitlines()) == 1


def test_weights_says_where_each_file_is(call, tmp_path, monkeypatch):
    monkeypatch.setenv("INVLIB_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    (tmp_path / "vgg16-397923af.pth").write_bytes(b"")
    lines = call("weights").output.splitlines()
    assert len(lines) == 3 and lines[0].endswith(str(tmp_path / "vgg16-397923af.pth"))
    assert all(line.endswith("absent") for line in lines[1:])
