"""Generated parts of the book: each function returns the Markdown for a marker of its name.

``python -m book.pages`` fills those of ``_build/stage`` from stored results.
"""

import json
import sys
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any

import pandas as pd
import yaml

import invlib.claims
from book import build
from invlib import plots, runs
from invlib.studies import STUDIES, study_of

SPEED = build.ROOT / "invlib" / "stored" / "speed.json"


def claims() -> str:
    """Every claim with its rule, what was measured, and the verdict, by scale."""
    parts = []
    for claim in invlib.claims.CLAIMS:
        verdicts = [verdict.plain() for verdict in invlib.claims.verdicts([claim])]
        rows = pd.DataFrame(verdicts).drop(columns=["claim", "rule"])
        parts.append(
            f"## {claim.id}\n\n{claim.sentence} ({claim.source})\n\n"
            f"Rule: {claim.rule}.\n\n{rows.to_markdown(index=False)}\n"
        )
    return "\n".join(parts)


def status() -> str:
    """Which results exist: profile, runs, hardware, when, failed runs."""
    frame = pd.DataFrame(runs.status(map(study_of, STUDIES)))
    for column in ("hardware", "torch", "dates"):
        frame[column] = frame[column].map(lambda words: ", ".join(dict.fromkeys(words)))
    for column in ("missing", "stale", "damaged"):
        frame[column] = frame[column].map(len)
    frame["needs"] = frame["needs"].where(frame["missing"] > 0, "")
    frame = frame.rename(
        columns={
            "failed": "failed control",
            "capped": "ended at the cap",
            "needs": "not run because it needs",
        }
    )
    return _transposed(frame, "profile")


def settings() -> str:
    """Every open choice of each study with its tag, and its value at each profile."""
    choices = yaml.safe_load((build.ROOT / "book" / "choices.yml").read_text(encoding="utf-8"))
    return "\n\n".join(_settings_of(study_of(name), choices[name]) for name in choices)


def _settings_of(study: runs.Study, choices: list[dict[str, str]]) -> str:
    profiles = {name: each for name, each in study.profiles.items() if name != "smoke"}
    table = [
        {
            # A long path may break at its dots.
            "setting": f"<code>{entry['setting'].replace('.', '.<wbr>')}</code>",
            "choice": entry["choice"].strip(),
            "tag": entry["tag"],
            **{name: _value(each, entry["setting"]) for name, each in profiles.items()},
        }
        for entry in choices
    ]
    shown = pd.DataFrame(table).to_markdown(index=False, disable_numparse=True)
    return f"## {study.source}\n\n{shown}"


def calibration() -> str:
    """What was run to settle the settings, on seed 0."""
    path = build.ROOT / "book" / "calibration.csv"
    if not path.is_file():
        return "Nothing was run to settle settings."
    return pd.read_csv(path).to_markdown(index=False)


def main_figure() -> str:
    """The figure of the first page, saved beside it."""
    table = invlib.claims.with_last_layer(runs.table(study_of("imagenet"), "bench"), "kept")
    if not len(table):
        return "The main figure needs the `bench` results of `imagenet`, which were not run."
    target = build.STAGE / "book" / "main.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    plots.bars(table, "far").savefig(target, dpi=150)
    return (
        "```{figure} main.png\n"
        ":alt: Bars of normalised accuracy at places that share no pixel with "
        "the trained one, for six sets and each condition, with 95 % intervals over the seeds.\n"
        ":name: main\n\nAccuracy at places that share no pixel with the place where the items were "
        "learnt. Small scale; CIFAR-10 pictures stand in for ImageNet.\n```"
    )


def _transposed(frame: pd.DataFrame, first: str) -> str:
    """A table with one column for each row of the frame, so that it fits a page."""
    turned = frame.set_index(first).T.rename_axis("").reset_index()
    return str(turned.to_markdown(index=False, disable_numparse=True))


def _value(profile: runs.Profile, setting: str) -> str:
    """A setting in a few characters; one that differs by condition is listed by condition."""
    if setting == "seeds":
        return str(profile.seeds)
    named: dict[str, list[str]] = {}
    for name, given in profile.conditions.items():
        if words := _words(given, setting):
            named.setdefault(words, []).append(name)
    if len(named) < 2:
        return next(iter(named), "none")
    return "; ".join(f"{words} ({', '.join(names)})" for words, names in named.items())


def _words(value: Any, setting: str) -> str:
    """What stands at a dotted path; nothing where the path ends before."""
    for part in setting.split("."):
        value = getattr(value, part, None) if is_dataclass(value) else None
    if isinstance(value, tuple) and not isinstance(value[0], int | float):
        return ", ".join(str(getattr(each, "name", each)) for each in value)
    if isinstance(value, tuple):
        return f"{value[0]:.4g} to {value[-1]:.4g}" + f" in {len(value)}" * (len(value) > 2)
    if is_dataclass(value):
        return str(getattr(value, "name", None) or "here")
    return "" if value is None else str(value)


def speed() -> str:
    """Ratios of the package's loops against a notebook's, as ``make bench`` left them."""
    return _speed(
        lambda row: row["plain"] is None,
        {
            "work": lambda row: row["work"],
            "invlib": lambda row: _speed_of(row, "ours"),
            "notebook": lambda row: _speed_of(row, "notebook"),
            "ratio (between)": _ratio,
            "goal": lambda row: row["goal"],
            "rounds": lambda row: row["rounds"],
        },
    )


def speed_exact() -> str:
    """Ratios of the exact shortcuts against plain PyTorch, and the share of what is possible."""
    return _speed(
        lambda row: row["plain"] is not None,
        {
            "work": lambda row: row["work"],
            "invlib": lambda row: _speed_of(row, "ours"),
            "plain": lambda row: _speed_of(row, "plain"),
            "ratio (between)": _ratio,
            "goal": lambda row: row["goal"],
            "limit": lambda row: _digits(row["limit"]),
            "reached": lambda row: f"{row['ratio'] / row['limit']:.0%}" if row["limit"] else "",
            "to notebook": lambda row: _digits(row["ratio_notebook"]),
        },
    )


def _speed(
    chosen: Callable[[dict[str, Any]], bool], columns: dict[str, Callable[[dict[str, Any]], Any]]
) -> str:
    """Some rows of what was measured as a table, which missed their goal, and the machine."""
    measured = json.loads(SPEED.read_text(encoding="utf-8")) if SPEED.is_file() else {}
    rows = [row for row in measured.get("results", ()) if chosen(row)]
    if not rows:
        return "Nothing was measured yet; `make bench` does it."
    table = pd.DataFrame([{name: value(row) for name, value in columns.items()} for row in rows])
    missed = "; ".join(row["work"] for row in rows if not _reached(row)) or "none"
    where = ", ".join(
        (
            measured["processor"],
            f"{measured['threads']} thread",
            f"the middle of {measured['processes']} processes",
            f"bfloat16 in hardware: {'yes' if measured['bfloat16'] else 'no'}",
            f"torch {measured['torch']}",
            measured["date"],
        )
    )
    shown = table.to_markdown(index=False, disable_numparse=True)
    return f"{shown}\n\nGoals missed here: {missed}.\n\n{where}."


def compared(row: dict[str, Any]) -> float:
    """What a goal is held against: the ratio, to plain PyTorch if it was timed; else the number."""
    number: float = row["ratio"] or row["ratio_notebook"] or row["ours"]
    return number


def _reached(row: dict[str, Any]) -> bool:
    if not row["goal"]:
        return True
    sign, goal, *_ = row["goal"].split()
    return compared(row) > float(goal) if sign == ">" else compared(row) < float(goal)


def _speed_of(row: dict[str, Any], side: str) -> str:
    unit = "" if row["unit"] == "images/s" or row[side] is None else f" {row['unit']}"
    return _digits(row[side]) + unit


def _ratio(row: dict[str, Any]) -> str:
    """The ratio and between which two those of all processes are."""
    ratio = row["ratio"] or row["ratio_notebook"]
    low, high = map(_digits, row["between"])
    return f"{_digits(ratio)} ({low} to {high})" if ratio else ""


def _digits(value: float | None) -> str:
    """Three significant digits, no exponent; nothing where there is nothing to compare with."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    build.fill(build.STAGE / "book", sys.modules[__name__])
