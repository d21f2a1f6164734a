"""A reader's view: the wheel alone, outside the checkout, runs a chapter from stored results."""

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import nbformat
import pytest
from nbformat.v4 import new_code_cell

from book.build import ROOT, chapters

PROBE = "import invlib\n\nprint(invlib.__file__)"


def run(*command, **more):
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, **more)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built from a copy, so that no build folder of the checkout adds files that are gone."""
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"
    shutil.copytree(
        ROOT / "invlib", source / "invlib", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name in ("invlib_command.py", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, source)
    offline = ("--no-deps", "--no-build-isolation", "--no-index")
    run(sys.executable, "-m", "pip", "wheel", "-q", *offline, "-w", folder, source)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def reader(wheel, tmp_path_factory):
    """A Python with this one's libraries and the wheel, but not the checkout."""
    folder = tmp_path_factory.mktemp("reader") / ".venv"
    venv.create(folder)
    python = folder / "bin" / "python"
    pip = (sys.executable, "-m", "pip", "--python", python)
    run(*pip, "install", "-q", "--no-deps", "--no-index", wheel)
    # After the install, or pip would find the checkout's invlib. Only the folder is added: the
    # .pth files in it, which lead to the checkout, are not read.
    inner = run(python, "-c", "import sysconfig; print(sysconfig.get_paths()['purelib'])").strip()
    paths = sysconfig.get_paths()
    (Path(inner) / "libraries.pth").write_text(f"{paths['purelib']}\n{paths['platlib']}\n")
    return python


def test_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    tops = {name.split("/")[0] for name in names}
    packed = {top for top in tops if not top.endswith(".dist-info")}
    assert packed == {"invlib", "invlib_command.py"}
    stored = [p for p in (ROOT / "invlib" / "stored").rglob("*") if p.is_file()]
    assert {path.relative_to(ROOT).as_posix() for path in stored} <= set(names)
    assert "invlib/py.typed" in names


@pytest.mark.parametrize("chapter", chapters(), ids=lambda path: path.stem)
def test_a_chapter_runs_outside_the_checkout(chapter, reader, tmp_path):
    notebook = nbformat.read(chapter, as_version=4)
    notebook.cells.append(new_code_cell(PROBE))
    nbformat.write(notebook, tmp_path / chapter.name)
    here = {name: str(tmp_path / name) for name in ("INVLIB_RESULTS", "JUPYTER_DATA_DIR", "HOME")}
    environment = {**os.environ, **here, "INVLIB_PROGRESS": "0"}
    environment.pop("PYTHONPATH", None)
    # The small examples are trained by other tests.
    command = (
        reader,
        "-m",
        "papermill",
        "-k",
        "python3",
        "--no-progress-bar",
        "-p",
        "live",
        "False",
    )
    run(*command, chapter.name, "out.ipynb", cwd=tmp_path, env=environment)

    executed = nbformat.read(tmp_path / "out.ipynb", as_version=4)
    where = executed.cells[-1].outputs[0].text.strip()
    assert Path(where).is_relative_to(reader.parent.parent), "invlib does not come from the wheel"
    assert any(
        "image/png" in out.get("data", {}) for c in executed.cells for out in c.get("outputs", [])
    )


def test_the_command_runs_outside_the_checkout(reader, tmp_path):
    told = run(reader.parent / "invlib", "status", "--results", tmp_path, cwd=tmp_path)
    assert "imagenet bench: 20 of 20 runs" in told
