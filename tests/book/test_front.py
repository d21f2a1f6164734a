"""The front of the repository: README.md says and shows what is stored."""

import re
from dataclasses import replace

import pandas as pd
import pytest

from book import front
from invlib import claims, runs
from invlib.studies import study_of

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
    first, second, *_ = claims.CLAIMS[0].cases
    known = replace(first, profile="bench"), replace(second, profile="squeezenet")
    cases = *known, replace(first, profile="paper")
    words = (claims.HOLDS, claims.FAILS, claims.NOT_RUN)
    pairs = zip(cases, words, strict=True)
    return [claims.Verdict(claims.CLAIMS[0], case, word, "", "") for case, word in pairs]


def test_the_readme_says_and_shows_what_is_stored():
    rows = claims.with_last_layer(runs.table(study_of("imagenet"), "bench"), "kept")
    verdicts = list(claims.verdicts(claims.CLAIMS[:1]))
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


def test_when_all_was_run_nothing_is_said_to_be_missing(rows, verdicts):
    assert "not run: none." in front.found(rows, verdicts[:2])


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
    monkeypatch.setattr(runs, "table", lambda study, profile: rows)
    monkeypatch.setattr(claims, "verdicts", lambda given: [])
    monkeypatch.setattr(front, "found", lambda rows, verdicts: f"{len(rows)} rows \\1\n")
    front.main()
    assert readme.read_text() == (
        "# Title\n\n<!-- found -->\n5 rows \\1\n<!-- end of found -->\n\nthe rest\n"
    )
    assert (tmp_path / "found.svg").read_text().startswith("<?xml")


def test_without_results_the_readme_stays_as_it_is(monkeypatch, rows):
    before = front.README.read_bytes()
    monkeypatch.setattr(runs, "table", lambda study, profile: rows[:0])
    with pytest.raises(SystemExit, match="imagenet at bench, of which nothing is stored"):
        front.main()
    assert front.README.read_bytes() == before
