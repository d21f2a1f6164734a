"""The book chain: parameters are refused before anything runs, stored outputs are stable."""

import re
import sys

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from book import build

PARAMETERS = """\
size: int = 3  # pixels
rate: float = 0.5  # of learning
live: bool = True  # or stored
name: str = ""  # any"""
CODE = """\
import sys, time

print("size", size)
print("a warning", file=sys.stderr)
for _ in range(3):
    print("in pieces", flush=True)
    time.sleep(0.01)
size * 2"""


@pytest.fixture
def tiny(tmp_path):
    """A notebook of three cells, as an author writes it."""
    notebook = new_notebook(
        cells=[
            new_markdown_cell("# Tiny", id="title"),
            new_code_cell(PARAMETERS, id="parameters", metadata={"tags": ["parameters"]}),
            new_code_cell(CODE, id="code"),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "any", "language": "python"}},
    )
    path = tmp_path / "notebooks" / "tiny.ipynb"
    path.parent.mkdir()
    nbformat.write(notebook, path)
    return path


def test_values_are_yaml():
    words = ["profile=smoke", "compute=true", "seeds=3", "deadline=", "path=a=b"]
    assert build.parse(words) == {
        "profile": "smoke",
        "compute": True,
        "seeds": 3,
        "deadline": None,
        "path": "a=b",
    }
    with pytest.raises(build.ParameterError, match="expected name=value, got 'seeds'"):
        build.parse(["seeds"])


def test_unknown_parameter_is_refused_before_anything_runs(tiny, tmp_path):
    with pytest.raises(build.ParameterError, match="no parameter 'sise'; it has: size, rate, live"):
        build.execute(tiny, tmp_path / "out" / "tiny.ipynb", {"sise": 4})
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "value"), [("size", "4"), ("size", True), ("size", 0.5), ("live", "true"), ("live", 1)]
)
def test_parameter_of_another_type_is_refused(tiny, name, value):
    with pytest.raises(build.ParameterError, match=f"{name} is expected to be .*, got {value!r}"):
        build.check(tiny, {name: value})


def test_parameters_that_fit_are_taken_and_a_whole_number_for_a_fraction(tiny):
    build.check(tiny, {"size": 4, "rate": 1, "live": False, "name": "x"})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["profile=["], "profile: expected a value in YAML, got '['"),
        (["deadline=2026-13-40"], "deadline: expected a value in YAML, got '2026-13-40'"),
        (["seeds=" + "9" * 5000], "seeds: expected a value in YAML, got '9999"),
        (["profile=" + "[" * 10_000], "profile: expected a value in YAML, got '[[[["),
        (
            ["profile=huge"],
            "profile is expected to be one of smoke, bench, squeezenet, circular, paper, sweep",
        ),
        (["seeds=-1"], "seeds is expected to be 0 (all) to 10 at bench, got -1"),
        (["seeds=11"], "seeds is expected to be 0 (all) to 10 at bench, got 11"),
        (["seeds=2", "profile=smoke"], "seeds is expected to be 0 (all) to 1 at smoke, got 2"),
        (["deadline=soon"], "deadline: expected a time such as 90s, 40m or 1.5h, not 'soon'"),
        (["size=3"], "01-what-is-invariance.ipynb has no parameter 'size'; it has: profile"),
    ],
)
def test_a_staged_book_stays_when_parameters_are_refused(tmp_path, monkeypatch, words, message):
    pages = [tmp_path / name / "page" for name in ("stage", "html", ".doctrees")]
    for page in pages:
        page.parent.mkdir()
        page.write_text("staged before")
    monkeypatch.setattr(build, "BUILD", tmp_path)
    monkeypatch.setattr(build, "STAGE", tmp_path / "stage")
    monkeypatch.setattr(build, "execute", lambda *_: pytest.fail("a chapter is executed"))
    monkeypatch.setattr(sys, "argv", ["build", "stage", *words])
    with pytest.raises(SystemExit, match=f"^book.build: {re.escape(message)}.*$") as left:
        build.main()
    assert "\n" not in str(left.value)
    assert [page.read_text() for page in pages] == ["staged before"] * 3


@pytest.mark.parametrize(
    "given",
    [
        {},
        {"seeds": 0},
        {"profile": "squeezenet", "seeds": 5},
        {"profile": "paper", "deadline": "9h"},
    ],
)
def test_what_one_study_has_planned_is_taken(given):
    build.check_planned(given)


def test_stripped_notebook_is_byte_stable_and_keeps_its_outputs(tiny, tmp_path):
    texts = []
    for attempt in range(2):
        output = tmp_path / f"{attempt}.ipynb"
        build.execute(tiny, output, {"size": 4})
        executed = nbformat.read(output, as_version=4)
        assert "papermill" in executed.metadata
        assert len(executed.cells) == 4  # with the injected one
        texts.append(nbformat.writes(build.strip(executed)))
    assert texts[0] == texts[1]

    stripped = nbformat.reads(texts[0], as_version=4)
    assert nbformat.writes(build.strip(nbformat.reads(texts[0], as_version=4))) == texts[0]
    assert [cell.id for cell in stripped.cells] == ["title", "parameters", "code"]
    assert stripped.cells[1].metadata == {"tags": ["parameters"]}
    assert set(stripped.metadata) == {"kernelspec", "language_info"}
    stream, result = stripped.cells[2].outputs
    assert stream.text == "size 4\n" + 3 * "in pieces\n"
    assert result.data["text/plain"] == "8"


def test_refresh_writes_back_only_when_every_chapter_ran(tiny, tmp_path, monkeypatch):
    broken = tiny.with_name("zz-broken.ipynb")
    nbformat.write(new_notebook(cells=[new_code_cell("1 / 0", id="broken")]), broken)
    before = tiny.read_bytes()
    monkeypatch.setattr(build, "ROOT", tmp_path)
    monkeypatch.setattr(build, "BUILD", tmp_path / "_build")
    with pytest.raises(Exception, match="ZeroDivisionError"):
        build.refresh()
    assert tiny.read_bytes() == before

    broken.unlink()
    build.refresh()
    assert tiny.read_bytes() != before
    first = tiny.read_bytes()
    build.refresh()
    assert tiny.read_bytes() == first


def test_generated_parts_are_filled(tmp_path):
    class Source:
        def claims(self):
            return "| id |\n|---|\n| C1 \\1 |"

    page = tmp_path / "claims.md"
    page.write_text("# Claims\n\n<!-- generated: claims -->\n\n<!-- a comment -->\n")
    build.fill(tmp_path, Source())
    text = "# Claims\n\n| id |\n|---|\n| C1 \\1 |\n\n<!-- a comment -->\n"
    assert page.read_text() == text
