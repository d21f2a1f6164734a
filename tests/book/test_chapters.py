"""Every chapter, from nothing, at the smallest profile, through papermill."""

import nbformat
import pytest

from book.build import chapters, execute


@pytest.mark.parametrize("chapter", chapters(), ids=lambda path: path.stem)
def test_a_chapter_runs_from_nothing(chapter, tmp_path, monkeypatch):
    results = tmp_path / "results"
    monkeypatch.setenv("INVLIB_RESULTS", str(results))
    monkeypatch.setenv("INVLIB_PROGRESS", "0")
    output = tmp_path / chapter.name
    execute(chapter, output, {"profile": "smoke", "compute": True})  # an error is raised

    notebook = nbformat.read(output, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert any("image/png" in out.get("data", {}) for cell in code for out in cell.outputs)
    # Chapter 1 reads no results.
    measures = any("chapter.measurements" in cell.source for cell in code)
    assert bool(list(results.rglob("*.json"))) == measures


@pytest.mark.parametrize("chapter", chapters(), ids=lambda path: path.stem)
def test_chapter_goes_with_the_whole_book_to_the_papers_size(chapter, tmp_path, monkeypatch):
    monkeypatch.setenv("INVLIB_RESULTS", str(tmp_path))  # what needs a GPU was not run here
    # The small example is trained by the other test. An error is raised.
    execute(chapter, tmp_path / chapter.name, {"profile": "paper", "live": False})
