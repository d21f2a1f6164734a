"""What a chapter needs to say a number: sentences computed in the cell, and glue for the text."""

import pandas as pd
from IPython.display import HTML, Markdown, display

from invlib import claims, runs
from invlib.studies import study_of


def profile_of(study: str, profile: str) -> str:
    """The profile, or ``bench`` where the study has none of that name, which is then said.

    The whole book goes to one profile, which not every study has.
    """
    if profile in study_of(study).profiles:
        return profile
    print(f"{study} has no profile {profile}; below is bench")
    return "bench"


def measurements(
    study: str, profile: str, seeds: int | None = None, compute: bool = False, deadline: str = ""
) -> pd.DataFrame:
    """The stored measurements of a study; with ``compute`` the missing ones are computed first.

    Args:
        study: its name.
        profile: its profile.
        seeds: seeds 0 to ``seeds - 1``, all of the profile's if not given.
        compute: whether missing runs are computed here.
        deadline: give up what is not finished by then: "90s", "40m", "2h".

    Returns:
        One row for each measurement, see ``runs.table``; none where nothing was run, which is
        then said.
    """
    planned = study_of(study)
    if compute:
        report = runs.run(planned, profile, seeds, deadline=runs.duration(deadline))
        for run, why in report.failed.items():
            print(f"not run here: {run}: {why}")
    table = runs.table(planned, profile)
    if not len(table):
        needs = planned.profile(profile).needs
        print(f"{study} at {profile}: not run here; it needs {needs or 'compute=True'}")
    return table[table.seed < seeds] if seeds else table


def counts(measurements: pd.DataFrame) -> pd.DataFrame:
    """How many networks of each condition were taught, trained twice, failed, ended at the cap."""
    attempts = measurements.attempts
    counted = measurements.assign(repeated=attempts.map(len) > 1, capped=attempts.map(runs.capped))
    return counted.groupby("condition", sort=False, as_index=False).agg(
        seeds=("seed", "nunique"),
        networks=("seed", "size"),
        repeated=("repeated", "sum"),
        failed=("failed", "sum"),
        capped=("capped", "sum"),
    )


def verdicts(*studies: str) -> pd.DataFrame:
    """The verdicts on the claims that these studies decide, one row each."""
    decided = [each for each in claims.CLAIMS if {case.study for case in each.cases} & set(studies)]
    return pd.DataFrame([verdict.plain() for verdict in claims.verdicts(decided)])


def html(frame: pd.DataFrame) -> HTML:
    """A table of text and numbers."""
    return HTML(frame.to_html(index=False, border=0, justify="left"))


def glue(**values: object) -> None:
    """Keep values under their names, for ``{glue:text}`` in the chapter's and other pages' prose.

    The record of myst-nb's ``glue``, which a Colab reader does not have.
    """
    for name, value in values.items():
        prefix = "application/papermill.record/"
        display(
            {f"{prefix}text/plain": repr(value)},
            raw=True,
            metadata={"scrapbook": {"name": name, "mime_prefix": prefix}},
        )


def finding(sentence: str) -> Markdown:
    """The finding of a figure, in bold."""
    return Markdown(f"**{sentence or 'Not run here.'}**")
