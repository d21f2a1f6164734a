"""What an experiment consists of: a study, the sizes it is done at, its runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


class StudyError(ValueError):
    """An unknown study or profile, a number below 1, or a time that is none."""


@dataclass(frozen=True, order=True)
class Run:
    """The name of a run: one trained network and all that was measured on it."""

    study: str
    profile: str
    condition: str
    seed: int

    def __str__(self) -> str:
        return f"{self.study}/{self.profile}/{self.condition}-{self.seed}"


@dataclass(frozen=True)
class Look:
    """How a condition or a set is called and drawn; the same in every chapter.

    Attributes:
        label: in words.
        colour: index into seaborn's colour-blind palette.
        hatch: of its bars, as matplotlib has it.
    """

    label: str
    colour: int = 0
    hatch: str = ""


@dataclass(frozen=True)
class Profile:
    """A study at one size.

    Attributes:
        conditions: name -> the settings of its runs: a frozen dataclass of plain data that covers
            everything that changes a result. A setting that is None is off.
        seeds: seeds 0 to ``seeds - 1``.
        needs: what it needs, for the page that says what was not run.
    """

    conditions: Mapping[str, Any]
    seeds: int = 1
    needs: str = ""


@dataclass(frozen=True)
class Study:
    """An experiment.

    Attributes:
        name: its name, as in ``invlib run NAME``.
        source: the paper and section.
        profiles: by name.
        measurement: the dataclass of a row, one measurement; its fields are the columns of a table.
            ``failed`` (the positive control) and ``attempts`` (trainings) are counted where a row
            has them.
        compute: from a condition's settings and a seed to rows. A function of a module, so that a
            worker finds it.
        looks: of its conditions and sets, in the order they are drawn.
        read: from a condition's settings and a row as its file has it to the row of a table.
        check: from a condition's settings and the measurements of a run's file, of which types and
            ranges are checked; raises a ``ValueError`` where they are not what is promised.
    """

    name: str
    source: str
    profiles: Mapping[str, Profile]
    measurement: type
    compute: Callable[[Any, int], Sequence[Any]]
    looks: Mapping[str, Look] = field(default_factory=dict)
    read: Callable[[Any, dict[str, Any]], dict[str, Any]] = lambda settings, row: row
    check: Callable[[Any, Sequence[Any]], None] = lambda settings, rows: None

    def profile(self, name: str) -> Profile:
        """A profile by name.

        Raises:
            StudyError: when it is unknown.
        """
        if name not in self.profiles:
            raise StudyError(
                f"unknown profile {name!r} of {self.name}; "
                f"expected one of {', '.join(self.profiles)}"
            )
        return self.profiles[name]

    def runs(self, profile: str, seeds: int | None = None) -> Iterator[tuple[Run, Any]]:
        """Every run of a profile with its settings, seed by seed."""
        planned = self.profile(profile)
        for seed in range(planned.seeds if seeds is None else seeds):
            for condition, settings in planned.conditions.items():
                yield Run(self.name, profile, condition, seed), settings
