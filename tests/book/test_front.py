"""The front of the repository: README.md says and shows what is stored."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from book import front
from invlib import claims, runs
from invlib.measure.maps import AccuracyMap

COLUMNS = ["seed", "condition", "set", "last_layer", "control", "far", "failed"]


def measured(*rows):
    frame = pd.DataFrame(rows, columns=COLUMNS)
    frame.attrs["looks"] = {
        "vanilla": runs.Look("vanilla", 7),
        "crops": runs.Look("crops (stand-in)", 1),
    }
    return frame


@pytest.fixture
def rows():
    """Two conditions and sets; one network failed, and one set was taught in two ways."""
    return measured(
        (0, "vanilla", "a", "fresh", 1.0, 0.0, False),
        (0, "vanilla", "b", "fresh", 0.9, 0.1, False),
        (1, "vanilla", "a", "fresh", 0.2, 0.9, True),
        (0, "crops", "a", "kept", 1.0, 0.5, False),
        (0, "crops", "a", "fresh", 0.9, 0.9, False),
        (0, "crops", "b", "fresh", 0.8, 0.3, False),
    )


@pytest.fixture
def verdicts():
    first, second, *_ = claims.C1.cases
    known = replace(first, profile="bench"), replace(second, profile="squeezenet")
    cases = *known, replace(first, profile="paper")
    words = (claims.HOLDS, claims.FAILS, claims.NOT_RUN)
    pairs = zip(cases, words, strict=True)
    first = [claims.Verdict(claims.C1, case, word, "", "") for case, word in pairs]
    return [*first, claims.Verdict(claims.C3, known[0], claims.FAILS, "", "")]


def test_the_readme_says_and_shows_what_is_stored():
    rows, verdicts = front.measured(), front.verdicts()
    (part,) = front.PART.findall(front.README.read_text(encoding="utf-8"))
    assert part == front.found(rows, verdicts), "'make run' writes README.md"
    drawn = front.PICTURE.read_text(encoding="utf-8")
    assert drawn == front.picture(rows), "'make run' draws the picture of README.md"


def test_the_sentences_have_the_numbers_of_the_networks_that_learnt(rows, verdicts):
    text = front.found(claims.with_last_layer(rows, "kept"), verdicts)
    assert re.search(r"knows 95\.0 % \S*one seed\S* of them there, and 5\.0 % ", text)
    assert re.search(r"pretrained on crops, 40\.0 % \S*one seed", text)
    assert "no pretraining, 95 % and 5 %; pretrained on crops, 90 % and 40 %" in text  # the picture
    assert "held in 1 of the 2 cases that were run, with a small VGG and SqueezeNet" in text
    assert "not run: VGG16 at the paper's size." in text
    numbered = [line for line in text.splitlines() if line[:2] in ("3.", "4.", "5.")]
    assert ["held in 1 of the 2" in line for line in numbered] == [True, False]
    assert "held in 0 of the 1 cases that were run, with a small VGG; not run: none." in numbered[1]


def test_a_set_is_not_another_set_and_its_last_layer_is_that_of_the_authors(monkeypatch):
    pairs = measured(
        (0, "untrained", "a", "fresh", 0.1, 0.1, True),
        (0, "a", "a", "kept", 0.9, 0.9, False),
        (0, "a", "b", "kept", 0.9, 0.2, False),
        (0, "a", "b", "fresh", 0.9, 0.3, False),
        (0, "b", "a", "fresh", 0.9, 0.4, False),
    )
    tables = {"imagenet": measured((0, "crops", "a", "fresh", 1.0, 0.5, False))}
    tables["fully_translated"] = pairs
    monkeypatch.setattr(runs, "table", lambda study, profile: tables[study.name])
    rows = front.measured()
    assert list(zip(rows.condition, rows.far, strict=True)) == [
        ("crops", 0.5), ("everywhere", 0.2), ("everywhere", 0.4)
    ]  # fmt: skip
    colours = [rows.attrs["looks"][name].colour for name in ("vanilla", "crops", "everywhere")]
    assert len(set(colours)) == 3
    tables["fully_translated"] = pairs[:0]
    assert list(front.measured().condition) == ["crops"]


def test_the_three_maps_are_means_over_the_sets_of_normalised_accuracy():
    def one(values, classes):
        return AccuracyMap(np.array([values]), (0,), (0, 9), (0, 0), (4, 4), classes, "a")

    rows = measured(
        (0, "vanilla", "a", "fresh", 1.0, 0.0, False),
        (1, "vanilla", "a", "fresh", 1.0, 0.0, False),
        (0, "vanilla", "b", "fresh", 1.0, 0.6, False),
        (0, "crops", "a", "fresh", 1.0, 0.6, False),
        (1, "vanilla", "b", "fresh", 0.1, 0.0, True),
    )
    rows["map"] = [one([1, 0.5], 2), one([1, 0.5], 2), one([1, 0.7], 4), one([0, 0], 2), None]
    *axes, _ = front.maps(rows).axes
    drawn = [ax.collections[0].get_array().ravel().tolist() for ax in axes if ax.collections]
    assert drawn == [pytest.approx([100, 30])]  # of 0 and 60 %; crops are not among the three
    assert axes[0].get_title() == "no pretraining" and "30.0 % (2 seeds" in axes[0].get_xlabel()


def test_the_picture_is_white_and_the_same_until_a_number_changes(rows):
    drawn = front.picture(rows)
    assert drawn == front.picture(rows.copy())
    assert "pretrained on crops" in drawn and "fill: #ffffff" in drawn.split("</g>")[0]
    assert drawn != front.picture(rows.assign(far=rows.far + 0.01))


def test_only_the_part_between_the_markers_is_written(tmp_path, monkeypatch, rows):
    readme = tmp_path / "README.md"
    readme.write_text("# Title\n\n<!-- found -->\nold\n<!-- end of found -->\n\nthe rest\n")
    monkeypatch.setattr(front, "README", readme)
    monkeypatch.setattr(front, "PICTURE", tmp_path / "found.svg")
    monkeypatch.setattr(front, "measured", lambda: rows)
    monkeypatch.setattr(front, "verdicts", lambda: [])
    monkeypatch.setattr(front, "found", lambda rows, _: f"{len(rows)} rows \\1\n")
    front.main()
    assert readme.read_text() == (
        "# Title\n\n<!-- found -->\n6 rows \\1\n<!-- end of found -->\n\nthe rest\n"
    )
    assert (tmp_path / "found.svg").read_text().startswith("<?xml")


def test_without_results_the_readme_stays_as_it_is(monkeypatch, rows):
    before = front.README.read_bytes()
    monkeypatch.setattr(front, "measured", lambda: rows[:0])
    with pytest.raises(SystemExit, match="imagenet at bench, of which nothing is stored"):
        front.main()
    assert front.README.read_bytes() == before
