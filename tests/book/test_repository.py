"""The repository is of one piece: address, release, pins, configuration, notebooks."""

import ast
import re
import tomllib
from dataclasses import fields, is_dataclass

import nbformat
import papermill
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

from book.build import MARKER, ROOT, chapters
from invlib.studies import study_of

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ADDRESS = PROJECT["project"]["urls"]["Repository"]
VERSION = PROJECT["project"]["version"]
RELEASE = PROJECT["tool"]["invlib"]["release"]
SLUG = ADDRESS.removeprefix("https://github.com/")

# Misspelt tags and configuration keys are silently ignored by the tools: hence these lists.
TAGS = {
    "hide-cell",
    "hide-input",
    "hide-output",
    "nbval-ignore-output",
    "parameters",
    "remove-cell",
    "remove-input",
}
CONFIG_KEYS = {
    "": "author bibtex_bibfiles copyright execute html launch_buttons logo only_build_toc_files "
    "repository sphinx title",
    "execute": "execute_notebooks stderr_output",
    "html": "use_issues_button use_repository_button",
    "launch_buttons": "colab_url notebook_interface",
    "repository": "branch path_to_book url",
    "sphinx": "config extra_extensions",
    "sphinx.config": "autodoc_member_order autodoc_typehints bibtex_reference_style "
    "html_css_files html_static_path language mathjax_path myst_heading_anchors "
    "napoleon_use_ivar nb_merge_streams nitpick_ignore_regex",
}


def text(name):
    return (ROOT / name).read_text(encoding="utf-8")


def colab(notebook):
    return f"https://colab.research.google.com/github/{SLUG}/blob/{RELEASE}/notebooks/{notebook}"


@pytest.fixture(params=chapters(), ids=lambda path: path.stem)
def chapter(request):
    notebook = nbformat.read(request.param, as_version=4)
    notebook.path = request.param
    return notebook


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return cell.metadata.get("tags", [])


def test_release_is_the_version():
    assert RELEASE == f"v{VERSION}"


@pytest.mark.parametrize("name", ["README.md", "book/rerun.md", "_config.yml", "CITATION.cff"])
def test_every_address_is_the_repositorys(name):
    found = set(re.findall(r"https://github\.com/[\w.-]+/[\w-]+", text(name)))
    assert found == {ADDRESS}


def test_the_readme_names_the_release_and_no_other():
    first = chapters()[0].name
    assert colab(first) in text("README.md")
    assert f"git+{ADDRESS}@{RELEASE}" in text("README.md")
    # Nothing else that looks like a release tag, so that no old one stays behind.
    assert set(re.findall(r"\bv\d+\.\d+\.\d+", text("README.md"))) == {RELEASE}


def test_the_configuration_names_the_release():
    # Launched notebooks are those of the release, because they install the release.
    assert yaml.safe_load(text("_config.yml"))["repository"]["branch"] == RELEASE
    assert yaml.safe_load(text("CITATION.cff"))["version"] == VERSION


def test_configuration_keys_are_known():
    config = yaml.safe_load(text("_config.yml"))
    for where, known in CONFIG_KEYS.items():
        section = config
        for key in filter(None, where.split(".")):
            section = section[key]
        assert set(section) == set(known.split()), f"section {where or 'top'} of _config.yml"
    assert config["execute"]["execute_notebooks"] == "off"  # a string: unquoted it would be False


def test_every_page_is_in_the_contents():
    contents = yaml.safe_load(text("_toc.yml"))
    listed = [contents["root"]]
    listed += [entry["file"] for part in contents["parts"] for entry in part["chapters"]]
    pages = [f"book/{page.stem}" for page in (ROOT / "book").glob("*.md")]
    notebooks = [f"notebooks/{path.stem}" for path in chapters()]
    assert sorted(listed) == sorted(pages + notebooks)
    first, *others = contents["parts"]
    assert [entry["file"] for entry in first["chapters"]] == notebooks
    assert all(part["caption"] for part in contents["parts"]) and len(others) == 2


def test_generated_parts_have_a_source():
    from book import pages

    names = [name for page in (ROOT / "book").glob("*.md") for name in MARKER.findall(text(page))]
    assert names
    for name in names:
        assert callable(getattr(pages, name, None)), f"book/pages.py has no function {name}"


def leaves(settings, path=""):
    """The dotted path of each setting that is not made of others."""
    for each in fields(settings):
        value, inner = getattr(settings, each.name), f"{path}{each.name}"
        yield from leaves(value, f"{inner}.") if is_dataclass(value) else [inner]


@pytest.mark.parametrize("name", yaml.safe_load(text("book/choices.yml")))
def test_the_settings_page_has_the_settings_of_a_study_and_no_others(name):
    choices = yaml.safe_load(text("book/choices.yml"))
    first = {entry["setting"] for entry in choices[next(iter(choices))]}
    listed = {entry["setting"] for entry in choices[name]}
    # One line may stand for a group; not ``start``, of which some settings have lines of their own.
    groups = {each for each in listed if not any(e.startswith(f"{each}.") for e in listed)}
    profiles = study_of(name).profiles.values()
    runs = [run for profile in profiles for run in profile.conditions.values()]
    shown = {"seeds"}
    for path in {path for run in runs for path in leaves(run)}:
        # What a recipe's setting means is said once, also for the pretraining.
        lines = {path, path.removeprefix("start.")} & listed
        lines |= {group for group in groups if path.startswith(f"{group}.")}
        # What is off has no settings of its own; another run may have them.
        lines |= {each for each in listed if each.startswith(f"{path}.")}
        # The tables behind the first have what a study adds to it or changes.
        said = {path, path.removeprefix("start.")} & first
        said |= {each for each in first if each.startswith(f"{path}.")}
        said |= {each for each in first - {"start"} if path.startswith(f"{each}.")}
        assert lines or said, f"{path} has no line"
        shown |= lines
    assert shown == listed


def test_bounds_are_lower_bounds_that_the_pins_satisfy():
    lines = text("constraints.txt").splitlines()
    pins = {pin.name.lower(): pin for pin in map(Requirement, filter(is_requirement, lines))}
    extras = PROJECT["project"]["optional-dependencies"]
    for wanted in map(Requirement, sum(extras.values(), PROJECT["project"]["dependencies"])):
        (bound,) = wanted.specifier
        assert bound.operator == ">=", wanted
        (pin,) = pins[wanted.name.lower()].specifier
        assert pin.operator == "=="
        assert Version(bound.version) <= Version(pin.version), wanted


def is_requirement(line):
    return line.strip() and not line.startswith("#")


def test_commands_of_the_readme_exist():
    targets = set(re.findall(r"^([a-z]+):", text("Makefile"), flags=re.M))
    for name in ("README.md", "CONTRIBUTING.md", "book/rerun.md", "book/speed.md", ".ci/run"):
        # `make` where a command may stand: after a backtick or at the start of a line.
        assert set(re.findall(r"(?:`|^|exec )make ([a-z]+)", text(name), flags=re.M)) <= targets
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        runs = re.findall(r"run: (.*)", workflow.read_text())
        assert runs
        assert all(re.fullmatch(r"make [a-z]+", run) for run in runs)
    assert text(".ci/run").rstrip().endswith("make test")
    assert len(text("CONTRIBUTING.md").splitlines()) < 60


def test_the_layout_for_contributors_is_the_one_that_imports_are_held_to():
    layout = text("CONTRIBUTING.md").split("```")[1]
    first, *_ = PROJECT["tool"]["importlinter"]["contracts"]
    layers = [each for layer in first["layers"] for each in layer.split(" | ")]
    assert [each for each in re.findall(r"(\w+)(?:\.py\b|/)", layout) if each in layers] == layers


def test_there_is_a_chapter():
    assert chapters(), "no notebook in notebooks/: the tests of the chapters would all be skipped"


def test_tags_are_known(chapter):
    for cell in chapter.cells:
        assert set(tags(cell)) <= TAGS


def test_a_chapter_has_one_title_and_a_badge(chapter):
    prose = [cell.source for cell in chapter.cells if cell.cell_type == "markdown"]
    titles = [line for source in prose for line in source.splitlines() if line.startswith("# ")]
    assert len(titles) == 1
    assert prose[0].startswith("# ")
    links = re.findall(r"https://colab\.research\.google\.com/github/[^\s)]*", "\n".join(prose))
    assert links == [colab(chapter.path.name)]
    # A remote image would be missing from the page without a network.
    images = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", "\n".join(prose))
    assert not [image for image in images if image.startswith("http")]


def test_the_first_cell_sets_up_colab_and_is_hidden(chapter):
    first = code_cells(chapter)[0]
    assert tags(first) == ["remove-cell"]
    assert first.source.splitlines() == [
        "import sys",
        "",
        'if "google.colab" in sys.modules:',
        f"    %pip install -q --no-deps git+{ADDRESS}@{RELEASE}",
    ]
    assert first.outputs == []


def test_parameters_are_typed_and_explained(chapter):
    assert sum("parameters" in tags(cell) for cell in chapter.cells) == 1
    parameters = papermill.inspect_notebook(chapter.path)
    assert parameters
    for name, found in parameters.items():
        default = ast.literal_eval(found["default"])
        assert found["inferred_type_name"] == type(default).__name__, name
        assert found["help"], f"parameter {name} has no comment"


def test_every_cell_was_run_in_order(chapter):
    # A cell never run and without outputs passes even strict nbval.
    counts = [cell.execution_count for cell in code_cells(chapter)]
    assert counts == list(range(1, len(counts) + 1))


def test_outputs_are_clean(chapter):
    for cell in code_cells(chapter):
        for output in cell.outputs:
            assert output.output_type != "error"
            assert output.get("name") != "stderr", cell.source
    assert "widgets" not in chapter.metadata
    assert "papermill" not in chapter.metadata


def test_every_figure_has_alternative_text(chapter):
    figures = [
        cell
        for cell in code_cells(chapter)
        if any("image/png" in output.get("data", {}) for output in cell.outputs)
    ]
    assert figures, "a chapter without a figure"
    for cell in figures:
        alt = cell.metadata.get("mystnb", {}).get("image", {}).get("alt", "")
        assert len(alt) > 20, f"no alternative text:\n{cell.source}"
