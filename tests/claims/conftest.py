"""Made-up measurements of the 36 pairs."""

import pandas as pd
import pytest

from invlib.studies.scales import SETS


def cosines(mean, baseline):
    """Of two displacements, 0 and another, as JSON gives them; the layer before it has others."""
    both = {"displacements": [0, 8], "std": [0.0, 0.0], "baseline_std": [0.0, 0.0]}
    return [
        {"layer": "classifier.3", "mean": [0.0, 0.0], "baseline": [1.0, 1.0], **both},
        # 1 at the trained place, so the mean over both displacements is the number given.
        {"layer": "classifier.4", "mean": [1.0, 2 * mean - 1], "baseline": [baseline] * 2, **both},
    ]


@pytest.fixture(scope="session")
def pairs():
    """``pairs(seeds, conditions, canvas=..., before=..., ...)``: a number, or one for each pair."""

    def make(seeds=2, conditions=tuple(SETS), last_layer="fresh", **given):
        numbers = {"canvas": 0.5, "control": 1.0, "before": 0.9, "after": 0.9, "baseline": 0.4}
        numbers |= given
        rows = []
        for seed in range(seeds):
            for pretrained in conditions:
                for taught in SETS:
                    at = {
                        name: each(pretrained, taught) if callable(each) else each
                        for name, each in numbers.items()
                    }
                    rows.append(
                        {"seed": seed, "condition": pretrained, "set": taught, "failed": False,
                         "last_layer": last_layer, "canvas": at["canvas"], "control": at["control"],
                         "before": cosines(at["before"], at["baseline"]),
                         "after": cosines(at["after"], at["baseline"])}
                    )  # fmt: skip
        return pd.DataFrame(rows)

    return make


@pytest.fixture(scope="session")
def step():
    """How many places simpler the taught set is than the one pretrained on."""
    place = {name: i for i, name in enumerate(SETS)}
    return lambda pretrained, taught: place[taught] - place[pretrained]
