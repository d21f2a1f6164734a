"""Myburgh, Mouton & Davel 2020, "Tracking Translation Invariance in CNNs": what it claims.

The paper's figures have no numbers in the text, so the rules are ours, frozen before the first full
run. An area is the mean of a radial curve of cosine similarity over 1 to 10 pixels, see
``measure.radial``; 1 is invariance.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from invlib.claims.frame import DIRECTION, FAILS, HOLDS, NO_RULE, Case, Claim
from invlib.claims.sensitivity import (
    LAST_MAPS,
    LEAST,
    LOGITS,
    OURS,
    SOFTMAX,
    Choice,
    areas,
    areas_in_words,
    kernel,
    maps_at,
    networks,
)
from invlib.claims.summaries import NOT_RUN, in_words, similar
from invlib.measure.maps import Values
from invlib.measure.radial import curve_area, pearson, radial_mean
from invlib.measure.statistics import interval
from invlib.runs import passed

_Tables = Mapping[str, pd.DataFrame]
_Judge = Callable[[_Tables], tuple[str, str]]
_Rule = Callable[[_Tables, Choice], tuple[str, str]]


def _means(tables: _Tables, names: tuple[str, ...], place: str, choice: Choice) -> pd.Series:
    """Area of each network in the mean over its seeds, in the order of the names."""
    means = areas(tables["kernel_size"], place, choice).groupby("condition").mean()
    return means.reindex(names)


def _said(tables: _Tables, names: tuple[str, ...], place: str, choice: Choice) -> str:
    """Their areas in words, and how many networks stand behind them."""
    rows = tables["kernel_size"]
    return f"area {areas_in_words(rows, names, place, choice)}{_failed(rows)}"


def _unlearnt(names: Iterable[str]) -> tuple[str, str]:
    """Of some networks no seed learnt its set, so nothing can be compared."""
    return FAILS, f"no network with {', '.join(map(kernel, names))} learnt its set"


def _failed(rows: pd.DataFrame) -> str:
    failed = rows[rows.failed].groupby(["condition", "seed"]).ngroups
    return f"; {failed} more did not learn their set" if failed else ""


def _ordered(
    tables: _Tables, names: tuple[str, ...], place: str, choice: Choice
) -> tuple[str, str]:
    """Whether the area falls from the first network to the last; in direction, at the ends."""
    means = _means(tables, names, place, choice)
    if means.isna().any():
        return _unlearnt(means.index[means.isna()])
    fall = bool((means.diff().dropna() < 0).all())
    ends = bool(means.iloc[0] > means.iloc[-1])
    verdict = HOLDS if fall else DIRECTION if ends else FAILS
    return verdict, _said(tables, names, place, choice)


def _level(tables: _Tables, names: tuple[str, ...], choice: Choice) -> tuple[str, str]:
    """Whether the areas at the answer differ by 0.03 at most."""
    means = _means(tables, names, choice.answer, choice)
    if means.isna().any():
        return _unlearnt(means.index[means.isna()])
    apart = float(means.max() - means.min())
    said = f"{apart:.3f} apart; {_said(tables, names, choice.answer, choice)}"
    return HOLDS if apart <= 0.03 else FAILS, said


def _far_ahead(tables: _Tables, names: tuple[str, ...], choice: Choice) -> tuple[str, str]:
    """Whether the first network's area at the answer is 0.03 or more above those of the others."""
    means = _means(tables, names, choice.answer, choice)
    if means.isna().any():
        return _unlearnt(means.index[means.isna()])
    ahead = float(means.iloc[0] - means.iloc[1:].max())
    said = f"{ahead:.3f} ahead; {_said(tables, names, choice.answer, choice)}"
    return HOLDS if ahead >= 0.03 else FAILS, said


def _above(tables: _Tables, names: tuple[str, ...], choice: Choice) -> tuple[str, str]:
    """Whether each network's answer has a higher curve at every ring than its last maps."""
    rows, words, holds = tables["kernel_size"], [], True
    for name in names:
        own = rows[rows.condition == name]
        answer, maps = (maps_at(own, place) for place in (choice.answer, LAST_MAPS))
        if not len(answer):
            return _unlearnt([name])
        margin = _mean_curve(answer, choice) - _mean_curve(maps, choice)
        least = int(margin.argmin())
        holds &= bool(margin[least] > 0)
        words.append(f"{kernel(name)}: {margin[least]:+.3f} at {least + 1} px")
    said = f"least margin {', '.join(words)}{_failed(rows)}"
    return HOLDS if holds else FAILS, said


def _mean_curve(rows: pd.DataFrame, choice: Choice) -> Values:
    curves = [radial_mean(values, choice.rounded) for values in rows["map"]]
    mean: Values = np.mean(curves, axis=0)
    return mean[1 : choice.reach + 1]


def _correlated(rows: pd.DataFrame, choice: Choice) -> dict[str, Values]:
    """Metric -> correlation with the accuracy of each network and class (networks, classes)."""
    if choice.answer == SOFTMAX:  # there no distance is measured
        return {"cosine": _stacked(maps_at(rows, SOFTMAX).pearson)}
    distances: list[Any] = list(maps_at(rows, LOGITS, "euclidean").pearson)
    if choice.inverted is not OURS.inverted:  # of the networks whose maps are kept
        kept = (maps_at(rows, LOGITS, each).classes.dropna() for each in ("euclidean", "accuracy"))
        distances = [pearson(choice.inverted(d), right) for d, right in zip(*kept, strict=True)]
    return {
        "cosine": _stacked(maps_at(rows, LOGITS).pearson), "euclidean": _stacked(distances)
    }  # fmt: skip


def _stacked(found: Iterable[Any]) -> Values:
    return np.array(list(found), dtype=float)


def _go_together(tables: _Tables, choice: Choice) -> tuple[str, str]:
    found = _correlated(tables["kernel_size"], choice)
    if not all(map(len, found.values())):
        return _unlearnt(_MNIST[:1])
    by_class = {metric: each.mean(axis=0) for metric, each in found.items()}
    if any(np.isnan(each).any() for each in by_class.values()):
        return FAILS, "the accuracy of a class is the same at every shift"
    runs = max(map(len, found.values()))
    of = {m: f", {len(each)} of {runs} runs" * (len(each) < runs) for m, each in found.items()}
    words = [f"{r.min():.2f} to {r.max():.2f} ({m}{of[m]})" for m, r in by_class.items()]
    said = f"correlation by class {', '.join(words)}{_failed(tables['kernel_size'])}"
    return HOLDS if all(r.min() >= 0.8 for r in by_class.values()) else FAILS, said


def _dimensions(tables: _Tables) -> tuple[str, str]:
    rows = tables["dimensions"]
    means = rows.groupby(["condition", "dimension"])[["distance", "cosine", "spread"]].mean()
    normal, relu = means.loc["normal"], means.loc["relu"]
    scale = np.sqrt(np.array(normal.index, dtype=float))

    def steady(values: Any) -> bool:
        return bool(values.max() / values.min() <= 1.1)

    # Distances grow like the root of the dimension, similarities of either sign fall about 0 as it
    # grows, and those of vectors without negative values do not fall.
    grows = steady(normal.distance / scale) and steady(relu.distance / scale)
    settles = steady(normal.spread * scale) and bool(normal.cosine.abs().max() <= 0.05)
    stays = steady(relu.cosine) and bool(relu.cosine.min() >= 0.2)
    said = (
        f"distance {normal.distance.iloc[0]:.1f} to {normal.distance.iloc[-1]:.1f} from "
        f"{normal.index[0]} to {normal.index[-1]} dimensions; cosine of vectors of either sign "
        f"0 +- {normal.spread.iloc[0]:.2f} to 0 +- {normal.spread.iloc[-1]:.2f}, of vectors "
        f"without negative values {relu.cosine.iloc[0]:.2f} to {relu.cosine.iloc[-1]:.2f}"
    )
    if not grows:
        return FAILS, said
    return (DIRECTION if settles and stays else FAILS), said


def _accurate(
    tables: _Tables, names: tuple[str, ...], printed: float, tolerance: float
) -> tuple[str, str]:
    """Whether the least accurate network is no worse than the paper's by the tolerance."""
    rows = passed(tables["kernel_size"]).dropna(subset=["training"])
    tests = rows.assign(test=rows.training.map(lambda each: each["test"]))
    means = tests.groupby("condition").test.mean().reindex(names)
    if means.isna().any():
        return _unlearnt(means.index[means.isna()])
    words = [f"{kernel(name)}: {100 * value:.2f} %" for name, value in means.items()]
    failed = _failed(tables["kernel_size"])
    said = f"test accuracy {', '.join(words)}; the paper's least {printed:.2f} %{failed}"
    return HOLDS if 100 * means.min() >= printed - tolerance else FAILS, said


def _moved(tables: _Tables) -> tuple[str, str]:
    rows = passed(tables["kernel_size"])
    rows = rows[(rows.place == LAST_MAPS) & rows.depth.notna()]  # both on the same few images
    cells = rows.cells.dropna()
    if not len(cells):
        return _unlearnt(_MNIST[:1])
    # To the right and down by the largest shift, against the other way.
    moved = np.array([np.mean(each[:, -1] - each[:, 0]) / 2 for each in cells])
    before, after = (
        similar([curve_area(each[0]) for each in rows[rows.metric == metric].radial], digits=3)
        for metric in ("cosine", "aligned")
    )
    return NO_RULE, (
        f"the maps that come nearest are moved by {in_words(moved, interval(moved), 2)} cells for "
        f"{cells.iloc[0].shape[1] // 2} px, a cell is 8 px; area {after} after the move, "
        f"{before} before{_failed(tables['kernel_size'])}"
    )


_MNIST, _CIFAR = networks("mnist"), networks("cifar10")
_FREE_MNIST, _FREE_CIFAR = networks("mnist", True), networks("cifar10", True)

_SMALL = "12,000 images, half the width: "


def _present(tables: _Tables) -> tuple[str, ...]:
    """The table of the paper whose networks were measured."""
    there = set(tables["kernel_size"].condition)
    return next(names for names in LEAST if there <= set(names))


def _printed(tables: _Tables) -> tuple[tuple[str, ...], float, float]:
    """The networks, their least accuracy in the paper, and how much less is as accurate."""
    names = _present(tables)
    return names, LEAST[names], 0.2 if names[0].startswith("mnist") else 1.5


def _cases(data: str, unpadded: bool = False) -> tuple[Case, ...]:
    names = {"kernel_size": networks(data, unpadded)}
    if data == "mnist":  # of the paper's size already
        return (Case("bench", names),)
    return (Case("bench", names, _SMALL), Case("paper", names))


RULES: dict[str, tuple[tuple[str, ...], _Rule]] = {
    "M1": (_MNIST[:1], _go_together),
    "M2": (_MNIST, lambda tables, choice: _ordered(tables, _MNIST[::-1], LAST_MAPS, choice)),
    "M3": (_MNIST, lambda tables, choice: _ordered(tables, _MNIST, choice.answer, choice)),
    "M4": (_MNIST, lambda tables, choice: _above(tables, _present(tables), choice)),
    "M4 (cifar10)": (_CIFAR, lambda tables, choice: _above(tables, _CIFAR, choice)),
    "M5": (_CIFAR, lambda tables, choice: _ordered(tables, _CIFAR[::-1], LAST_MAPS, choice)),
    "M6": (_CIFAR, lambda tables, choice: _level(tables, _CIFAR, choice)),
    "M7": (_FREE_MNIST, lambda tables, choice: _far_ahead(tables, _FREE_MNIST, choice)),
    "M8": (_FREE_MNIST, lambda tables, choice: _level(tables, _FREE_MNIST[1:], choice)),
    "M9": (_FREE_CIFAR, lambda tables, choice: _level(tables, _FREE_CIFAR, choice)),
}
"""Claims whose verdict may depend on what the paper leaves open: the networks that they are judged
on, and the rule."""
CHOICES = {
    "ours": OURS,
    "after softmax": Choice(answer=SOFTMAX),
    "rings rounded down": Choice(rounded=np.floor),
    "rings rounded up": Choice(rounded=np.ceil),
    "up to 6 px": Choice(reach=6),
    "1 / (1 + distance)": Choice(inverted=lambda distance: 1 / (1 + distance)),
}


def under_each_choice(rows: pd.DataFrame, claims: Sequence[str]) -> pd.DataFrame:
    """The verdict on each claim under each of ``CHOICES``.

    Args:
        rows: measurements of ``studies.kernel_size``.
        claims: of ``RULES``.
    """
    table = []
    for name in claims:
        conditions, rule = RULES[name]
        about = rows[rows.condition.isin(conditions)]
        whole = set(about.condition) == set(conditions)
        table.append(
            {"claim": name}
            | {
                words: rule({"kernel_size": about}, choice)[0] if whole else NOT_RUN
                for words, choice in CHOICES.items()
            }
        )
    return pd.DataFrame(table)


def correlations(rows: pd.DataFrame) -> str:
    """What M1 measures under the choices that matter to it.

    Args:
        rows: measurements of the network with k = 5, of ``studies.kernel_size``.
    """
    if not len(rows):
        return ""
    words = [
        f"{name}: {_go_together({'kernel_size': rows}, CHOICES[name])[1]}"
        for name in ("ours", "after softmax", "1 / (1 + distance)")
    ]
    return f"M1, {'; '.join(words)}."


def dependent(verdicts: pd.DataFrame) -> str:
    """Which verdicts some choice changes, and which none does.

    Args:
        verdicts: of ``under_each_choice``.
    """
    ran = verdicts[verdicts.ours != NOT_RUN].set_index("claim")
    if not len(ran):
        return ""
    same = ran.nunique(axis=1) == 1
    one, other = (", ".join(ran.index[which]) or "none" for which in (same, ~same))
    return f"Changed by a choice: {other}; by none: {one}."


def _judge(name: str) -> _Judge:
    return lambda tables: RULES[name][1](tables, OURS)


_SOURCE = "Myburgh, Mouton & Davel 2020, "

M1 = Claim(
    "M1",
    _SOURCE + "sec. 4.3",
    "Cosine similarity and Euclidean distance say the same as accuracy does.",
    "for the network with k = 5, in every MNIST class, the map of the logits' cosine similarity "
    "and that of their distance, counted negative, correlate with that of accuracy by at least 0.8",
    _judge("M1"),
    (Case("bench", {"kernel_size": ("mnist-k5",)}),),
)

M2 = Claim(
    "M2",
    _SOURCE + "sec. 5.1",
    "The last convolutional maps are the less sensitive to shifts, the smaller the kernel (MNIST).",
    "area behind the last pooling k = 3 > k = 4 > k = 5 (in direction: k = 3 > k = 5)",
    _judge("M2"),
    _cases("mnist"),
)

M3 = Claim(
    "M3",
    _SOURCE + "sec. 5.1",
    "The output is the more invariant, the larger the kernel (MNIST).",
    "area at the logits k = 5 > k = 4 > k = 3 (in direction: k = 5 > k = 3)",
    _judge("M3"),
    _cases("mnist"),
)

M4 = Claim(
    "M4",
    _SOURCE + "sec. 5.1",
    "The output is less sensitive than the last convolutional maps: fully connected layers add the "
    "most.",
    "for each network with padding the radial curve of the logits lies above that of the last "
    "pooling at every ring from 1 to 10 pixels",
    _judge("M4"),
    (*_cases("mnist"), *_cases("cifar10")),
)

M5 = Claim(
    "M5",
    _SOURCE + "sec. 5.1",
    "As M2 for CIFAR-10.",
    "as M2",
    _judge("M5"),
    _cases("cifar10"),
)

M6 = Claim(
    "M6",
    _SOURCE + "sec. 5.1",
    "On CIFAR-10 the output is equally invariant for all kernels.",
    "areas at the logits within 0.03",
    _judge("M6"),
    _cases("cifar10"),
)

M7 = Claim(
    "M7",
    _SOURCE + "sec. 6.1",
    "Without padding, the network whose last map is one cell is clearly more invariant (MNIST).",
    "area at the logits of k = 5 at least 0.03 above those of k = 4 and k = 3",
    _judge("M7"),
    _cases("mnist", True),
)

M8 = Claim(
    "M8",
    _SOURCE + "sec. 6.1",
    "Otherwise the size of the last map matters little (MNIST).",
    "areas at the logits of k = 4 and k = 3 within 0.03",
    _judge("M8"),
    _cases("mnist", True),
)

M9 = Claim(
    "M9",
    _SOURCE + "sec. 6.1",
    "On CIFAR-10 the size of the last map has little to no influence.",
    "areas at the logits within 0.03",
    _judge("M9"),
    _cases("cifar10", True),
)
M10 = Claim(
    "M10",
    _SOURCE + "sec. 4.3.1",
    "With more dimensions distances grow, and the average cosine similarity falls.",
    "of random pairs from 10 to 4,000 dimensions: distance over the root of the dimension is the "
    "same within 10 % (else it does not hold); in direction only, where the similarity of vectors "
    "of either sign comes nearer to 0 in its spread alone, like one over that root within 10 %, "
    "and that of vectors without negative values stays the same within 10 %",
    _dimensions,
    (Case("bench", {"dimensions": ("normal", "relu")}),),
)
M11 = Claim(
    "M11",
    _SOURCE + "appendix A",
    "The networks are as accurate as printed.",
    "the least test accuracy of the three networks of a table, mean over seeds, is at least that "
    "of the paper minus 0.2 points for MNIST, minus 1.5 for CIFAR-10",
    lambda tables: _accurate(tables, *_printed(tables)),
    (
        *_cases("mnist"),
        *_cases("mnist", True),
        Case("paper", {"kernel_size": _CIFAR}),
        Case("paper", {"kernel_size": _FREE_CIFAR}),
    ),
)
M12 = Claim(
    "M12",
    _SOURCE + "sec. 5.1, Fig. 3",
    "In the last convolutional maps of a shifted digit the shift is still there.",
    "none; the shift of the maps that comes nearest is measured",
    _moved,
    (Case("bench", {"kernel_size": ("mnist-k5",)}),),
)
