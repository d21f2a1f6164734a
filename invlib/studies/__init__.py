"""The studies behind the chapters: which runs make an experiment, and how one is computed."""

import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from invlib.results import Run

STUDIES = ("imagenet", "shortcuts")
"""The studies by name; each is a module of this package with a ``STUDY``."""


class StudyError(ValueError):
    """An unknown study, profile or number of seeds."""


@dataclass(frozen=True)
class Study:
    """An experiment.

    Attributes:
        name: its name, as in ``invlib run NAME``.
        source: the paper and section.
        profiles: settings by profile: frozen dataclasses with at least ``conditions`` (a mapping)
            and ``seeds``.
        compute: from one condition's settings (plain data) and a seed to rows: one dictionary for
            each measurement.
        resolve: the settings of one condition as plain data; they are what is fingerprinted.
    """

    name: str
    source: str
    profiles: Mapping[str, Any]
    compute: Callable[[dict[str, Any], int], list[dict[str, Any]]]
    resolve: Callable[[Any, str], dict[str, Any]]

    def settings(self, profile: str) -> Any:
        """The settings of a profile.

        Raises:
            StudyError: when it is unknown.
        """
        if profile not in self.profiles:
            raise StudyError(
                f"unknown profile {profile!r} of {self.name}; "
                f"expected one of {', '.join(self.profiles)}"
            )
        return self.profiles[profile]

    def runs(self, profile: str, seeds: int | None = None) -> Iterator[tuple[Run, dict[str, Any]]]:
        """Every run of a profile with its settings, seed by seed."""
        settings = self.settings(profile)
        for seed in range(settings.seeds if seeds is None else seeds):
            for condition in settings.conditions:
                yield (
                    Run(self.name, profile, condition, seed),
                    self.resolve(settings, condition),
                )


def study_of(name: str) -> Study:
    """A study by name.

    Raises:
        StudyError: when it is unknown.
    """
    if name not in STUDIES:
        raise StudyError(f"unknown study {name!r}; expected one of {', '.join(STUDIES)}")
    study: Study = importlib.import_module(f"invlib.studies.{name}").STUDY
    return study
