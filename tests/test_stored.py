"""What is shipped is small, and of networks taught at one place follows from its maps: here from
JSON alone.
"""

import json
from pathlib import Path

import numpy as np
import pytest

STORED = Path(__file__).parents[1] / "invlib" / "stored"
STUDIES = ("imagenet", "fully_translated", "diversity", "sanity_check")
FILES = [file for name in STUDIES for file in sorted((STORED / name).rglob("*.json"))]


def digits(value):
    """A number as it is stored, with five significant digits."""
    return float(f"{value:.5g}")


def test_it_is_small_enough_to_travel_in_the_wheel():
    assert sum(file.stat().st_size for file in STORED.rglob("*") if file.is_file()) < 8_000_000


def test_there_are_runs_of_both_profiles():
    found = {"/".join(file.parts[-3:-1]) for file in FILES}
    assert found == {
        "imagenet/squeezenet",
        "imagenet/circular",
        *(f"{name}/bench" for name in STUDIES),
    }


@pytest.mark.parametrize("file", FILES, ids=lambda file: "/".join(file.parts[-3:]))
def test_means_and_control_are_those_of_the_map(file):
    content = json.loads(file.read_text(encoding="utf-8"))
    settings = content["provenance"]["settings"]
    grid, item = np.array(settings["grid"]), settings["item"]
    trained = (settings["canvas"] - item) // 2, 0
    row, column = (int(np.flatnonzero(grid == at)[0]) for at in trained)
    down, across = (abs(grid - at) for at in trained)
    # Two items share a pixel where they are nearer than a side along both axes.
    far = ~((down < item)[:, None] & (across < item)[None])
    assert content["rows"]
    for each in content["rows"]:
        if each.get("areas"):  # letters by area, which were not taught at one place
            assert np.allclose(np.mean(each["areas"], axis=0), each["map"], atol=1e-5)
            continue
        chance = 1 / each["classes"]
        for suffix in ("", "_held_out"):
            where = each["set"] + suffix
            stored = {name: each[name + suffix] for name in ("map", "canvas", "far")}
            if suffix and stored["map"] is None:
                assert set(stored.values()) == {None}, where
                continue
            # The map has five digits as well, but its values are shares of the items shown.
            right = np.rint(np.array(stored["map"]) * each["items_shown"])
            accuracy = right / each["items_shown"]
            assert np.vectorize(digits)(accuracy).tolist() == stored["map"], where
            normalised = (accuracy - chance) / (1 - chance)
            assert digits(normalised.mean()) == stored["canvas"], where
            assert digits(normalised[far].mean()) == stored["far"], where
            if not suffix:
                assert digits(normalised[row, column]) == each["control"], where
