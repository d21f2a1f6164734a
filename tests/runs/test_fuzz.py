"""Result files with anything in them: damaged, or what they were."""

from dataclasses import dataclass

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from invlib.runs import Profile, Run, Study, store
from invlib.runs.checks import Fraction
from invlib.runs.store import find, load, save

RUN = Run("toy", "small", "plain", 0)


@dataclass(frozen=True)
class Given:
    """Settings of a run."""

    condition: int = 1


@dataclass(frozen=True)
class Row:
    """A measurement of the study."""

    set: str
    map: np.ndarray
    canvas: Fraction


STUDY = Study("toy", "nowhere", {"small": Profile({"plain": Given()})}, Row, lambda *_: [])
ROWS = [{"set": "one", "map": np.eye(2), "canvas": 0.25}]
ORIGIN = store.provenance(Given(), 1.26, "2026-01-02T03:04:05+00:00")

spoils = st.lists(
    st.tuples(st.floats(0, 1), st.integers(0, 3), st.binary(max_size=5)), min_size=1, max_size=4
)


@given(spoils)
def test_whatever_happens_to_a_file_it_is_damaged_or_says_the_same(tmp_path_factory, spoils):
    root = tmp_path_factory.getbasetemp() / "spoilt"
    path = save(RUN, ROWS, ORIGIN, root)
    before, data = load(path), path.read_bytes()
    for share, lost, found in spoils:
        at = round(share * len(data))
        data = data[:at] + found + data[at + lost :]
    path.write_bytes(data)
    after = find(STUDY, RUN, Given(), root)
    assert after.state == ("done" if after.content == before else "damaged")
    assert (after.state == "damaged") == bool(after.why)
