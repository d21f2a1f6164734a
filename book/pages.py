"""Generated parts of the book: each function returns the Markdown for a marker of its name.

``python -m book.pages`` fills those of ``_build/stage`` from stored results.
"""

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import is_dataclass
from typing import Any

import pandas as pd
import yaml

import invlib.claims
from book import build, front
from invlib import runs
from invlib.studies import STUDIES, study_of

SPEED = build.ROOT / "invlib" / "stored" / "speed.json"


def claims() -> str:
    """Every claim with its rule, and by condition and scale what was measured and the verdict."""
    parts = []
    for claim in invlib.claims.CLAIMS:
        rows = [
            {
                "condition": f"{each.case.profile}: {each.case.conditions}; {each.seeds} seeds",
                "measured": _text(each.measured),
                "verdict": each.verdict,
            }
            for each in invlib.claims.verdicts([claim])
        ]
        parts.append(
            f"## {claim.id}\n\n{claim.sentence} ({claim.source})\n\n"
            f"Rule: {claim.rule}.\n\n{_table(rows)}\n"
        )
    return "\n".join(parts)


def status() -> str:
    """What was run of each study and profile, how and where, and why the rest was not."""
    rows = runs.status(map(study_of, STUDIES))
    counts = [
        {
            "study": row["study"],
            "profile": row["profile"],
            "runs": _whole(f"{row['done']} of {row['planned']}")
            + "".join(f", {len(row[s])} {s}" for s in ("stale", "damaged") if row[s]),
            "measurements": row["measurements"],
            "failed control": row["failed"],
            "repeated": row["repeated"],
            "ended at the cap": row["capped"],
        }
        for row in rows
    ]
    origins = [
        {
            "study": row["study"],
            "profile": row["profile"],
            **{name: "; ".join(row[name]) for name in ("precision", "hardware", "torch")},
            "dates": " to ".join(map(_whole, dict.fromkeys(row["dates"]))),
            "hours": row["hours"],
        }
        for row in rows
        if row["done"]
    ]
    missing = [
        f"- {row['study']} at {row['profile']}, {len(row['missing'])} runs: "
        f"it needs {row['needs'] or 'nothing but time'}"
        for row in rows
        if row["missing"]
    ]
    return (
        f"## What was run\n\n{_table(counts)}\n\n## How and where\n\n{_table(origins)}\n\n"
        "## What was not run, and why\n\n" + ("\n".join(missing) or "Nothing is missing.")
    )


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
            "choice": _text(entry["choice"].strip()),
            "tag": entry["tag"],
            **{name: _value(each, entry["setting"]) for name, each in profiles.items()},
        }
        for entry in choices
    ]
    return f"## {study.source}\n\n{_table(table)}"


def calibration() -> str:
    """What was run to settle the settings, on seed 0."""
    path = build.ROOT / "book" / "calibration.csv"
    if not path.is_file():
        return "Nothing was run to settle settings."
    return pd.read_csv(path).to_markdown(index=False)


def main_figure() -> str:
    """The figure of the first page, saved beside it."""
    rows = front.measured()
    if not len(rows):
        return "The main figure needs the `bench` results of `imagenet`, which were not run."
    target = build.STAGE / "book" / "main.png"
    target.parent.mkdir(parents=True, exist_ok=True)
    front.maps(rows).savefig(target, dpi=150)
    return (
        "```{figure} main.png\n"
        ":alt: Three maps of a canvas with the trained place marked at the left edge: without "
        "pretraining only its surroundings are bright; after natural images at random places, and "
        "after another set of items that lay everywhere, the brightness reaches over the canvas.\n"
        ":name: main\n\nWhat a small VGG knows of items that it was taught at the circle, wherever "
        "they lie: without pretraining, after natural images (CIFAR-10 in place of ImageNet), and "
        "after another set whose items lay everywhere. Mean over the sets and networks; the "
        "numbers are for places that share no pixel with the circle's.\n```"
    )


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows as a table; numbers stand as they are."""
    return str(pd.DataFrame(rows).to_markdown(index=False, disable_numparse=True))


def _text(words: str) -> str:
    """A cell of whole sentences, which the style sheet does not let shrink to a word's width."""
    return f'<span class="text">{words}</span>'


def _whole(words: str) -> str:
    """Words that stay on one line of a cell."""
    return f'<span class="whole">{words}</span>'


def _value(profile: runs.Profile, setting: str) -> str:
    """A setting in a few characters; what differs is listed with its conditions, or how many."""
    if setting == "seeds":
        return str(profile.seeds)
    named: dict[str, list[str]] = {}
    for name, given in profile.conditions.items():
        if words := _words(given, setting):
            named.setdefault(words, []).append(name)
    if len(named) < 2:
        return next(iter(named), "none")
    of = len(profile.conditions)
    return "; ".join(
        f"{words} ({', '.join(names) if len(names) <= 6 else f'{len(names)} of {of}'})"
        for words, names in named.items()
    )


def _words(value: Any, setting: str) -> str:
    """What stands at a dotted path; nothing where the path ends before."""
    for part in setting.split("."):
        value = getattr(value, part, None) if is_dataclass(value) else None
    if isinstance(value, Mapping):
        return "; ".join(f"{name}: {', '.join(each)}" for name, each in value.items())
    if isinstance(value, tuple) and not isinstance(value[0], int | float):
        return ", ".join(str(getattr(each, "name", each)) for each in value)
    if isinstance(value, tuple) and len(value) in (3, 4):
        return ", ".join(f"{each:g}" for each in value)
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
            "work": lambda row: _text(row["work"]),
            "ratio (between)": _ratio,
            "goal": lambda row: _whole(row["goal"]),
            "invlib": lambda row: _speed_of(row, "ours"),
            "notebook": lambda row: _speed_of(row, "notebook"),
        },
    )


def speed_exact() -> str:
    """Ratios of the exact shortcuts against plain PyTorch, and of their multiplications."""
    return _speed(
        lambda row: row["plain"] is not None,
        {
            "work": lambda row: _text(row["work"]),
            "ratio (between)": _ratio,
            "multiplications saved (times fewer)": _saved,
            "goal": lambda row: _whole(row["goal"]),
            "invlib": lambda row: _speed_of(row, "ours"),
            "plain": lambda row: _speed_of(row, "plain"),
            "ratio to notebook": lambda row: _digits(row["ratio_notebook"]),
        },
    )


def speed_machine() -> str:
    """On what the speeds were measured, and how often."""
    measured = _measured()
    rounds = [row["rounds"] for row in measured.get("results", ())]
    if not rounds:
        return "Nothing was measured yet."
    return (
        f"{measured['processor']}, {measured['threads']} thread, "
        f"bfloat16 in hardware: {'yes' if measured['bfloat16'] else 'no'}, "
        f"torch {measured['torch']}, {measured['processes']} processes of "
        f"{min(rounds)} to {max(rounds)} rounds each, {measured['date']}."
    )


def _speed(
    chosen: Callable[[dict[str, Any]], bool], columns: dict[str, Callable[[dict[str, Any]], Any]]
) -> str:
    """Some rows of what was measured as a table, and which missed their goal."""
    rows = [row for row in _measured().get("results", ()) if chosen(row)]
    if not rows:
        return "Nothing was measured yet; `make bench` does it."
    table = [{name: value(row) for name, value in columns.items()} for row in rows]
    missed = "; ".join(row["work"] for row in rows if not _reached(row)) or "none"
    return f"{_table(table)}\n\nGoals missed here: {missed}."


def _measured() -> dict[str, Any]:
    return json.loads(SPEED.read_text(encoding="utf-8")) if SPEED.is_file() else {}


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
    return f"{_digits(ratio)} {_whole(f'({low} to {high})')}" if ratio else ""


def _saved(row: dict[str, Any]) -> str:
    """The share of the multiplications that is saved, and how many times fewer they are."""
    fewer = row["limit"]
    return f"{1 - 1 / fewer:.0%} ({_digits(fewer)})" if fewer else ""


def _digits(value: float | None) -> str:
    """Three significant digits, no exponent; nothing where there is nothing to compare with."""
    if value is None:
        return ""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


if __name__ == "__main__":
    build.fill(build.STAGE / "book", sys.modules[__name__])
