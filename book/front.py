"""What was found, on the first page of the book and of the repository.

``python -m book.front`` draws README.md's picture and writes its sentences from stored results.
"""

import io
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby
from textwrap import fill

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from book import build
from invlib import claims, plots, runs
from invlib.measure.drawing import draw_accuracy, new_axes
from invlib.measure.statistics import ENOUGH, interval
from invlib.plots.axes import PALETTE
from invlib.studies import study_of

README = build.ROOT / "README.md"
PICTURE = build.ROOT / "book" / "_static" / "found.svg"
PART = re.compile(r"(?<=<!-- found -->\n).*?(?=<!-- end of found -->)", re.DOTALL)

# For readers who do not know our names of conditions and profiles yet.
WORDS = {
    "vanilla": "no pretraining",
    "everywhere": "pretrained on another set at random places",
    "bench": "a small VGG",
    "squeezenet": "SqueezeNet from ImageNet weights",
    "paper": "VGG16 at the paper's size",
}


ANSWERS = ("C1", "C3")
"""The claims that README.md says something of."""


def measured() -> pd.DataFrame:
    """The small scale's measurements: each way to start, and all sets learnt everywhere as one.

    Returns:
        One row for each network; ``everywhere`` are the pairs of different sets. None where the
        first experiment was not run.
    """
    first, pairs = (
        claims.with_last_layer(table, "kept") if len(table) else table
        for table in (runs.table(study_of(n), "bench") for n in ("imagenet", "fully_translated"))
    )
    if not len(first):
        return first
    different = (pairs.condition != "untrained") & (pairs.condition != pairs.set)
    rows = pd.concat([first, pairs[different].assign(condition="everywhere")], ignore_index=True)
    rows.attrs["looks"] = first.attrs["looks"] | {"everywhere": runs.Look("everywhere", 9)}
    return rows


def maps(rows: pd.DataFrame) -> Figure:
    """Where items are known that were taught at one place: three starts, mean over the sets."""
    chosen = ("vanilla", "natural-places", "everywhere")
    figure, axes = plt.subplots(1, 3, figsize=(8, 3.2), sharey=True, layout="constrained")
    plt.close(figure)
    conditions = {name: words for name, words in _conditions(rows).items() if name in chosen}
    for ax, (name, words) in zip(axes, conditions.items(), strict=False):
        each = runs.passed(rows[rows.condition == name])
        by_set = [
            np.mean([m.normalised for m in of["map"]], axis=0) for _, of in each.groupby("set")
        ]
        mesh = draw_accuracy(ax, replace(each["map"].iloc[0], values=np.mean(by_set, axis=0)))
        ax.set_title(fill(words, 28), fontsize=10)
        ax.set_xlabel(f"far from the circle:\n{claims.overall(each, 'far')}")
        ax.set(xticks=[], yticks=[])
    figure.colorbar(mesh, ax=axes, label="normalised accuracy (%)")
    return figure


def picture(rows: pd.DataFrame) -> str:
    """What each network knows where it learnt and far away: SVG, the same bytes every time.

    Args:
        rows: measurements, one for each seed, condition and set.
    """
    conditions = _conditions(rows)
    colours = {name: PALETTE[look.colour] for name, look in plots.looks(rows, "condition").items()}
    with matplotlib.rc_context(
        {
            "svg.hashsalt": "invlib",
            "svg.fonttype": "none",
            "figure.constrained_layout.w_pad": 0.1,
            "figure.constrained_layout.h_pad": 0.1,
        }
    ):
        figure, ax = new_axes((7.2, 1.5 + 0.36 * len(conditions)))
        for column, inside, where in (
            ("control", "white", "at the place where it learnt them"),
            ("far", None, "where no pixel is shared with that place"),
        ):
            for y, name in enumerate(conditions):
                values = 100 * _by_seed(rows, name, column)
                mean, *ends = interval(values)
                ends = ends if len(values) >= ENOUGH else [values.min(), values.max()]
                ax.plot(ends, [y, y], lw=2.5, color=colours[name])
                ax.plot(mean, y, "o", ms=9, mew=2, color=colours[name], mfc=inside)
            ax.plot([], [], "o", ms=9, mew=2, color="black", mfc=inside, label=where)
        ax.axvline(0, color="black", lw=1, zorder=0)
        ax.set_yticks(range(len(conditions)), conditions.values())
        ax.tick_params(axis="y", length=0)
        ax.set(xlim=(-12, 104), ylim=(len(conditions) - 0.5, -0.5))
        ax.set_xlabel("normalised accuracy (%): 0 = chance, 100 = perfect")
        ax.spines[["top", "right", "left"]].set_visible(False)
        ax.set_title("Small scale: a small VGG, CIFAR-10 in place of ImageNet", fontsize=10)
        figure.suptitle("A network learns items at one place. Does it know them elsewhere?")
        figure.legend(loc="outside lower center", ncols=2, frameon=False)
        drawn = io.StringIO()
        figure.savefig(drawn, format="svg", metadata={"Date": None, "Creator": None})
    return drawn.getvalue()


def found(rows: pd.DataFrame, verdicts: Sequence[claims.Verdict]) -> str:
    """The picture and three sentences, as Markdown.

    Args:
        rows: measurements, one for each seed, condition and set.
        verdicts: of some claims, in their order.
    """
    conditions = _conditions(rows)
    dots = "; ".join(
        f"{words}, {round(100 * _by_seed(rows, name, 'control').mean())} % and "
        f"{round(100 * _by_seed(rows, name, 'far').mean())} %"
        for name, words in conditions.items()
    )
    far = {name: claims.overall(rows[rows.condition == name], "far") for name in conditions}
    there = claims.overall(rows[rows.condition == "vanilla"], "control")
    pretrained = "; ".join(f"{conditions[n]}, {far[n]}" for n in conditions if n != "vanilla")
    return (
        f"![Dots: what a network knows where it learnt the items, and where no pixel is shared "
        f"with that place: {dots}.]({PICTURE.relative_to(README.parent).as_posix()})\n\n"
        f"1. A small VGG with a flattened head that learnt items at one place knows {there} of "
        f"them there, and {far['vanilla']} where no pixel is shared with that place.\n"
        f"2. The same network knows there: {pretrained}.\n"
        + "".join(
            f"{number}. {_said(list(of))}\n"
            for number, (_, of) in enumerate(groupby(verdicts, lambda each: each.claim.id), 3)
        )
        + "\n"
        f"(Normalised accuracy: 0 % or less is chance, 100 % is perfect; mean over "
        f"{rows.set.nunique()} sets of items, in square brackets the 95 % interval over "
        f"{rows.seed.nunique()} seeds.)\n"
    )


def _said(verdicts: list[claims.Verdict]) -> str:
    """In how many of its cases a claim held."""
    claim = verdicts[0].claim
    ran = [each for each in verdicts if each.verdict != claims.NOT_RUN]
    held = sum(each.verdict == claims.HOLDS for each in ran)
    return (
        f"“{claim.sentence.rstrip('.')}” ({claim.source}) held in {held} of the {len(ran)} "
        f"cases that were run, with {_scales(ran)}; not run: "
        f"{_scales([each for each in verdicts if each not in ran])}."
    )


def _conditions(rows: pd.DataFrame) -> dict[str, str]:
    """The conditions in the order they are drawn, in words."""
    labels = {name: look.label for name, look in plots.looks(rows, "condition").items()}
    return {
        name: WORDS.get(name, f"pretrained on {label.removesuffix(' (stand-in)')}")
        for name, label in labels.items()
    }


def _by_seed(rows: pd.DataFrame, condition: str, column: str) -> pd.Series:
    return claims.by_seed(runs.passed(rows[rows.condition == condition]), column)


def _scales(verdicts: Sequence[claims.Verdict]) -> str:
    profiles = dict.fromkeys(each.case.profile for each in verdicts)
    return " and ".join(WORDS.get(name, name) for name in profiles) or "none"


def verdicts() -> list[claims.Verdict]:
    """On the claims of which README.md says something."""
    return list(claims.verdicts([each for each in claims.CLAIMS if each.id in ANSWERS]))


def main() -> None:
    """Draw the picture and write README's sentences."""
    rows = measured()
    if not len(rows):
        sys.exit("book.front: README.md shows imagenet at bench, of which nothing is stored")
    PICTURE.write_text(picture(rows), encoding="utf-8")
    text = README.read_text(encoding="utf-8")
    part = found(rows, verdicts())
    README.write_text(PART.sub(lambda _: part, text), encoding="utf-8")


if __name__ == "__main__":
    main()
