"""The command line: ``invlib run | status | claims | datasets | weights``.

Exit codes: 0 done, 1 something failed or is left, 2 bad usage, 130 interrupted.
"""

import io
import json
import sys
from functools import partial
from typing import Any

import click

from invlib import claims as claims_module
from invlib import models, runs
from invlib.data import sets
from invlib.data.items import DataError
from invlib.studies import STUDIES, StudyError, study_of

# Not click's echo, which writes UTF-8 to a terminal that says it has ASCII only.
_say = partial(print, flush=True)


class _Group(click.Group):
    """A group in which the package's own errors are one line, not a traceback."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command and leave with its exit code."""
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):  # a name may be one that it cannot print
                stream.reconfigure(errors="backslashreplace")
        try:
            code = super().main(*args, **(options | {"standalone_mode": False}))
        except click.ClickException as error:
            error.show(sys.stderr)
            code = error.exit_code
        except OSError as error:  # of a closed pipe click itself takes care
            where = error.filename or "the output cannot be written"
            print(f"Error: {where}: {error.strerror or error}", file=sys.stderr)
            code = 1
        sys.exit(code)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except StudyError as error:
            raise click.UsageError(str(error)) from None
        except (DataError, models.WeightsError, runs.ResultError) as error:
            raise click.ClickException(str(error)) from None
        except KeyboardInterrupt:
            _say("interrupted; finished runs are kept, the same command goes on", file=sys.stderr)
            sys.exit(130)


class _Duration(click.ParamType):
    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> float | None:
        try:
            return runs.duration(value)
        except StudyError as error:
            self.fail(str(error), param, ctx)


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="invlib")
def main() -> None:
    """Measure how much a convolutional network's answer depends on the place."""


@main.command()
@click.argument("studies", nargs=-1, required=True, metavar="STUDY...")
@click.option("--profile", default="bench", show_default=True, help="Size of the experiment.")
@click.option("--seeds", type=click.IntRange(1), help="Seeds 0 to N - 1 (default: all).")
@click.option("--workers", type=click.IntRange(1), help="Processes (default: one per core).")
@click.option("--deadline", type=_Duration(), metavar="TIME", help="Stop after 90s, 40m, 2h.")
@click.option("--results", "root", type=click.Path(), help="Where results are written.")
@click.option("--again", is_flag=True, help="Compute the runs too that the package ships.")
def run(
    studies: tuple[str, ...],
    profile: str,
    seeds: int | None,
    workers: int | None,
    deadline: float | None,
    root: str | None,
    again: bool,
) -> int:
    """Compute what is missing of each STUDY; what is finished is kept."""
    planned = [study_of(name) for name in studies]
    for study in planned:
        study.profile(profile)
    complete = True
    for study in planned:
        report = runs.run(study, profile, seeds, workers, deadline, root, again)
        for path, why in report.redone.items():
            _say(f"damaged, run again: {path}: {why}", file=sys.stderr)
        for task, why in report.failed.items():
            _say(f"failed: {task}: {why}", file=sys.stderr)
        _say(
            f"{study.name} at {profile}: {len(report.done)} done, {len(report.kept)} kept, "
            f"{len(report.failed)} failed, {len(report.left)} left "
            f"(in {runs.results_root(root)})"
        )
        complete &= report.complete
    return 0 if complete else 1


@main.command()
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.option("--results", "root", type=click.Path(), help="Where results are looked for.")
def status(as_json: bool, root: str | None) -> None:
    """Which runs are there, under which settings, from which hardware."""
    rows = runs.status(map(study_of, STUDIES), root)
    if as_json:
        _say(json.dumps(rows, indent=1))
        return
    for row in rows:
        _say(
            f"{row['study']} {row['profile']}: {row['done']} of {row['planned']} runs, "
            f"{row['measurements']} measurements, {row['failed']} failed their control, "
            f"{row['capped']} ended at the cap"
            + "".join(f", {len(row[s])} {s}" for s in ("stale", "damaged") if row[s])
            + "".join(f"; {', '.join(row[s])}" for s in ("precision", "hardware") if row[s])
        )
        for path in row["damaged"]:
            _say(
                f"  damaged: {path}; 'invlib run {row['study']} --profile "
                f"{row['profile']}' redoes it"
            )


@main.command()
@click.option("--json", "as_json", is_flag=True, help="For machines.")
@click.option("--results", "root", type=click.Path(), help="Where results are looked for.")
def claims(as_json: bool, root: str | None) -> None:
    """The papers' claims with our verdicts, by scale."""
    verdicts = list(claims_module.verdicts(claims_module.CLAIMS, root))
    if as_json:
        _say(json.dumps([v.plain() for v in verdicts], indent=1))
        return
    for verdict in verdicts:
        case = verdict.case
        _say(
            f"{verdict.claim.id} {case.profile} {case.conditions}: {verdict.verdict} "
            f"({verdict.seeds} seeds)\n   {verdict.measured}"
        )


@main.command()
@click.option("--download", metavar="NAME", help="Download an official set into the data root.")
@click.option("--root", type=click.Path(), help="The data root (default: INVLIB_DATA, or a cache).")
@click.option("--json", "as_json", is_flag=True, help="For machines.")
def datasets(download: str | None, root: str | None, as_json: bool) -> None:
    """The sets that are there: from where, how many images, licence."""
    if download is not None:
        sets.download(download, root)
    rows = sets.catalogue(root)
    if as_json:
        _say(json.dumps(rows, indent=1))
        return
    for row in rows:
        if row["images"]:
            _say(
                f"{row['name']:15} {row['split']:5} {row['images']:6} images of {row['size']}, "
                f"{row['classes']} classes; {row['source']}; licence: {row['licence']}; "
                f"{row['where']}"
            )
        else:
            _say(f"{row['name']:15} {row['split']:5} not here: {row['where']}")


@main.command()
@click.option("--download", metavar="NETWORK", help="Download torchvision's weights of a network.")
def weights(download: str | None) -> None:
    """The ImageNet weights that are known, and where they are."""
    if download is not None:
        _say(models.download_weights(download))
    for known in models.WEIGHTS:
        places = [folder / known.file for folder in models.weights_folders()]
        where = next((str(path) for path in places if path.is_file()), "absent")
        _say(f"{known.network:15} {known.file}; licence: {known.licence}; {where}")
