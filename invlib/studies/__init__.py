"""The studies behind the chapters: which runs make an experiment, and how one is computed."""

import importlib

from invlib.runs import Study, StudyError

STUDIES = (
    "imagenet", "fully_translated", "diversity", "sanity_check", "kernel_size", "dimensions",
    "rook", "borders", "quadrant", "data_efficiency", "shortcuts",
)  # fmt: skip
"""The studies by name; each is a module of this package with a ``STUDY``."""


def study_of(name: str) -> Study:
    """A study by name.

    Raises:
        StudyError: when it is unknown.
    """
    if name not in STUDIES:
        raise StudyError(f"unknown study {name!r}; expected one of {', '.join(STUDIES)}")
    study: Study = importlib.import_module(f"invlib.studies.{name}").STUDY
    return study
