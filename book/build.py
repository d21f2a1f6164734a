"""Make the book: stage and execute the chapters, refresh stored outputs.

Run from the top of the repository, as the Makefile does::

    python -m book.build stage [name=value ...]   _build/stage: the executed book, ready to render
    python -m book.build refresh                  notebooks/: renew the stored outputs

The parameters of ``stage`` are YAML (``profile=smoke live=false``) and go to every chapter.
"""

import argparse
import ast
import os
import re
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import nbformat
import papermill
import yaml
from nbformat import NotebookNode

from invlib import runs
from invlib.studies import STUDIES, StudyError, study_of

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "_build"
STAGE = BUILD / "stage"
MARKER = re.compile(r"<!-- generated: (\w+) -->")

# What papermill adds to a notebook and what changes from run to run.
ADDED_CELLS = {"injected-parameters", "papermill-error-cell-tag"}
CHANGING_KEYS = ("papermill", "execution", "widgets")
# A cell that shows times: its outputs are in the book, which executes it, and are not stored.
TIMED = "nbval-ignore-output"


class ParameterError(ValueError):
    """A parameter that a chapter does not have, or a value of the wrong type."""


def chapters() -> list[Path]:
    """The notebooks of the book, in order."""
    return sorted((ROOT / "notebooks").glob("*.ipynb"))


def parse(pairs: list[str]) -> dict[str, Any]:
    """Parameters from ``name=value`` words; values are YAML, so ``true`` is a truth value.

    Raises:
        ParameterError: If a word has no ``=``, or what follows it is no YAML.
    """
    parameters = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise ParameterError(f"expected name=value, got {pair!r}")
        try:
            parameters[name] = yaml.safe_load(value)
        except (yaml.YAMLError, ValueError, RecursionError) as error:
            why = " ".join(str(error).split())
            raise ParameterError(
                f"{name}: expected a value in YAML, got {value!r} ({why})"
            ) from error
    return parameters


def check(notebook: Path, parameters: Mapping[str, Any]) -> None:
    """Refuse parameters that the chapter does not have; papermill only logs a warning.

    Args:
        notebook: A notebook with a cell tagged ``parameters``.
        parameters: Names and values to be checked against the names and types of that cell.

    Raises:
        ParameterError: If a name is unknown, or a value is of another type than the default.
    """
    known = papermill.inspect_notebook(notebook) if parameters else {}
    for name, value in parameters.items():
        if name not in known:
            names = ", ".join(known) or "none"
            raise ParameterError(f"{notebook.name} has no parameter {name!r}; it has: {names}")
        default = ast.literal_eval(known[name]["default"])
        fits = type(value) is type(default) or (type(default), type(value)) == (float, int)
        if default is not None and not fits:
            raise ParameterError(
                f"{notebook.name}: {name} is expected to be a {type(default).__name__} "
                f"like {default!r}, got {value!r}"
            )


def check_planned(parameters: Mapping[str, Any]) -> None:
    """Refuse what no study has planned, which a chapter would find out long after the start.

    Args:
        parameters: As ``check`` lets them through. A profile that one study has is right: chapters
            of others show ``bench``.

    Raises:
        ParameterError: For a profile that no study has, seeds below 0 or more than any study has
            at it, or a deadline that is no time.
    """
    studies = [study_of(name) for name in STUDIES]
    profile, seeds = parameters.get("profile", "bench"), parameters.get("seeds", 0)
    known = list(dict.fromkeys(name for study in studies for name in study.profiles))
    if profile not in known:
        raise ParameterError(
            f"profile is expected to be one of {', '.join(known)}, got {profile!r}"
        )
    most = max(s.profiles.get(profile, s.profiles["bench"]).seeds for s in studies)
    if not 0 <= seeds <= most:
        raise ParameterError(f"seeds is expected to be 0 (all) to {most} at {profile}, got {seeds}")
    try:
        runs.duration(parameters.get("deadline", ""))
    except StudyError as error:
        raise ParameterError(f"deadline: {error}") from error


def execute(notebook: Path, output: Path, parameters: Mapping[str, Any] | None = None) -> None:
    """Execute a chapter with papermill, in the chapter's own folder.

    Args:
        notebook: The chapter.
        output: Where the executed notebook is written; folders are made.
        parameters: Values that replace the chapter's defaults.

    Raises:
        ParameterError: If a parameter is unknown or of the wrong type; nothing is executed then.
    """
    parameters = dict(parameters or {})
    check(notebook, parameters)
    output.parent.mkdir(parents=True, exist_ok=True)
    papermill.execute_notebook(
        str(notebook),
        str(output),
        parameters,
        cwd=str(notebook.parent),
        kernel_name="python3",
        progress_bar={"desc": notebook.stem},
        extra_arguments=["--IPKernelApp.log_level=ERROR"],  # no word about TCP on every start
        coalesce_streams=True,  # how a stream is cut into messages depends on timing
    )


def strip(notebook: NotebookNode) -> NotebookNode:
    """Take out of an executed notebook what changes between runs; outputs and counts stay.

    Args:
        notebook: As papermill wrote it. It is changed in place, and returned.
    """
    notebook.cells = [
        c for c in notebook.cells if not ADDED_CELLS & set(c.metadata.get("tags", ()))
    ]
    for cell in notebook.cells:
        if not cell.metadata.get("tags"):
            cell.metadata.pop("tags", None)
        if cell.cell_type == "code":
            kept = [o for o in cell.outputs if o.get("name") != "stderr"]
            cell.outputs = [] if TIMED in cell.metadata.get("tags", ()) else kept
    for item in [notebook, *notebook.cells]:
        for key in CHANGING_KEYS:
            item.metadata.pop(key, None)
    notebook.metadata.kernelspec = {
        "display_name": "Python 3",
        "language": "python",
        "name": "python3",
    }
    notebook.metadata.language_info = {"name": "python", "pygments_lexer": "ipython3"}
    return notebook


def copy_sources(target: Path) -> None:
    """Copy what the rendered book consists of, except the chapters, into a new folder.

    Args:
        target: The folder, laid out like the repository, so that links and paths stay right.
    """
    target.mkdir(parents=True)
    for name in ("_config.yml", "_toc.yml"):
        shutil.copy(ROOT / name, target)
    shutil.copytree(ROOT / "book", target / "book", ignore=shutil.ignore_patterns("*.py", "__*"))


def stage(parameters: Mapping[str, Any]) -> None:
    """Make ``_build/stage``: a copy of the book's sources with executed chapters."""
    for notebook in chapters():
        check(notebook, parameters)
    check_planned(parameters)
    # The rendered book goes too: Sphinx would keep pages it takes for unchanged, with no warning.
    for old in (STAGE, BUILD / "html", BUILD / ".doctrees"):
        shutil.rmtree(old, ignore_errors=True)
    copy_sources(STAGE)
    for notebook in chapters():
        execute(notebook, STAGE / "notebooks" / notebook.name, parameters)


def fill(pages: Path, source: Any) -> None:
    """Replace each line ``<!-- generated: name -->`` by what ``source.name()`` returns.

    Args:
        pages: The folder of staged pages (``*.md``).
        source: The module with one function per name, each returning Markdown.
    """
    for page in sorted(pages.glob("*.md")):
        text = page.read_text(encoding="utf-8")
        filled = MARKER.sub(lambda found: getattr(source, found[1])(), text)
        if filled != text:
            page.write_text(filled, encoding="utf-8")


def refresh() -> None:
    """Execute every chapter with its own defaults and write the stripped result back."""
    executed = {notebook: BUILD / "run" / notebook.name for notebook in chapters()}
    for notebook, output in executed.items():
        execute(notebook, output)
    for notebook, output in executed.items():  # only when all of them went well
        nbformat.write(strip(nbformat.read(output, as_version=4)), output)
        shutil.copyfile(output, notebook)


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m book.build", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("what", choices=["stage", "refresh"])
    parser.add_argument("parameters", nargs="*", metavar="name=value", help="for stage only")
    words = parser.parse_args()
    if words.parameters and words.what != "stage":
        parser.error(f"{words.what} takes no parameters")
    # For the kernels: bars of the library would be stored as outputs (papermill draws its own, one
    # step per cell), and with two threads the last digits of a training differ.
    os.environ.update(OMP_NUM_THREADS="1", INVLIB_PROGRESS="0")
    try:
        if words.what == "stage":
            stage(parse(words.parameters))
        else:
            refresh()
    except ParameterError as error:
        sys.exit(f"book.build: {error}")


if __name__ == "__main__":
    main()
