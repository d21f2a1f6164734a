"""Kayhan & van Gemert 2020, "On Translation Invariance in CNNs": what it claims.

The sentences are the paper's, or follow from its argument (K3, K4, which are exact); its accuracies
are figures and the table of its public code. Rules were fixed before the runs.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from invlib.claims.frame import DIRECTION, FAILS, HOLDS, Case, Claim
from invlib.claims.summaries import percent
from invlib.runs import passed

_Tables = Mapping[str, pd.DataFrame]


def _separates(tables: _Tables) -> tuple[str, str]:
    rows = tables["rook"].dropna(subset=["accuracy"])
    right, (before, after) = int((rows.accuracy == 1).sum()), np.sum(rows.dead.tolist(), axis=0)
    said = (
        f"{right} of {len(rows)} seeds tell both apart; {before} started dead, {after - before} "
        "died in training"
    )
    return HOLDS if right >= 0.8 * len(rows) else FAILS, said


def _cannot(tables: _Tables) -> tuple[str, str]:
    rows = tables["rook"].dropna(subset=["accuracy"])
    same = bool((rows.apart == 0).all())
    said = (
        f"largest responses of {'no' if same else 'some'} random filter differ; accuracy "
        f"{percent(rows.accuracy)}"
    )
    return HOLDS if same and bool((rows.accuracy == 0.5).all()) else FAILS, said


_REACH = {"valid": 4, "same": 2, "full": 0}
"""Border in pixels from which a filter of 5 x 5 cannot tell the places apart."""


def _by_border(tables: _Tables) -> tuple[str, str]:
    means = tables["rook"].groupby(["condition", "border"]).apart.mean().unstack()
    holds = all(
        bool(((means.loc[name] > 0) == (means.columns < reach)).all())
        for name, reach in _REACH.items()
    )
    words = [
        f"{name} {', '.join(f'{100 * share:.0f}' for share in means.loc[name])}" for name in _REACH
    ]
    borders = f"{means.columns[0]} to {means.columns[-1]}"
    said = f"share of filters in % at borders of {borders} px: {'; '.join(words)}"
    return HOLDS if holds else FAILS, said


_PIXEL = {"valid": ([0, 1], -2), "same": ([0, 1], 0), "full": ([1, 1], 2)}


def _one_pixel(tables: _Tables) -> tuple[str, str]:
    rows = tables["rook"].dropna(subset=["accuracy"])
    holds = all(
        (list(row.pixel), int(row.cells)) == _PIXEL[row.condition] for row in rows.itertuples()
    )
    first = rows.drop_duplicates("condition").set_index("condition").loc[list(_PIXEL)]
    said = "; ".join(
        f"{row.Index} {row.pixel[0]:.0f} and {row.pixel[1]:.0f}, map {row.cells:+.0f} cells"
        for row in first.itertuples()
    )
    return HOLDS if holds else FAILS, said


def _accuracies(rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of Red-Green by padding (rows) and set (columns): mean over the seeds.

    Args:
        rows: measurements of ``studies.borders`` of one split.
    """
    table: pd.DataFrame = rows.pivot_table("accuracy", "condition", "set")
    return table


PRINTED = {
    "valid": (1.0, 0.002), "same": (0.998, 0.084), "full": (0.897, 0.897),
    "circular": (0.737, 0.737),
}  # fmt: skip
"""Accuracy on similar and on dissimilar pictures in the description of the public code."""


def beside_printed(rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of Red-Green with splits apart and as published, beside what the authors print.

    Args:
        rows: measurements of ``studies.borders``.
    """
    found = rows.groupby(["split", "set", "condition"]).accuracy.agg(percent)
    printed = pd.DataFrame(PRINTED, ("similar", "dissimilar")).T.map("{:.1%}".format)
    columns = {
        "similar": found["apart", "similar"],
        "similar, their splits": found["published", "similar"],
        "similar, printed": printed["similar"],
        "dissimilar": found["apart", "dissimilar"],
        "dissimilar, their splits": found["published", "dissimilar"],
        "dissimilar, printed": printed["dissimilar"],
    }
    return pd.DataFrame(columns).loc[rows.condition.unique()].reset_index(names="padding")


PRINTED_PLACES = {
    "bag-random": {0: 0.99, 16: 0.80, 32: 0.50, 64: 0.50, 128: 0.50, 256: 0.50},
    "bag-trained": {0: 1.0, 16: 1.0, 32: 0.50, 64: 0.50, 128: 0.50, 256: 0.50},
    "resnet18-random": {64: 0.81, 128: 0.52, 256: 0.50},
    "squeezenet-imagenet": {64: 0.97, 128: 0.94, 256: 0.50},
}
"""Accuracies of Fig. 4: BagNet-33 for ``bag``, a pretrained ResNet-18 for SqueezeNet."""


def places_beside_printed(rows: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of telling the place by border (rows) and network, the paper's in brackets.

    Args:
        rows: measurements of ``studies.quadrant``.
    """
    means = rows.pivot_table("accuracy", "border", "condition", sort=False)
    table = means.map("{:.1%}".format)
    for name in table:
        for border in table.index:
            printed = PRINTED_PLACES.get(name, {}).get(border)
            table.loc[border, name] += "" if printed is None else f" ({printed:.0%})"
    return table.rename_axis(columns=None).reset_index()


def leak(rows: pd.DataFrame) -> str:
    """What the published splits add to the accuracy on similar pictures, by padding.

    Args:
        rows: measurements of ``studies.borders``.
    """
    similar = rows[rows.set == "similar"]
    both = similar.pivot_table("accuracy", ["condition", "seed"], "split", sort=False)
    gained = (both.published - both.apart).groupby("condition", sort=False)
    return ", ".join(f"{name} {percent(values, 'points')}" for name, values in gained)


def features_apart(rows: pd.DataFrame) -> pd.DataFrame:
    """How far the features of the two places differ by border (rows) and network, as a share.

    Args:
        rows: measurements of ``studies.quadrant``; of the seeds the largest.
    """
    table = rows.pivot_table("apart", "border", "condition", "max", sort=False)
    return table.map("{:.1e}".format).rename_axis(columns=None).reset_index()


_PARTS = {"trained column": slice(1), "between": slice(1, -1), "right edge": slice(-1, None)}


def by_part(rows: pd.DataFrame) -> pd.DataFrame:
    """Normalised accuracy at parts of the canvas, of places apart from the trained one.

    Args:
        rows: measurements with an accuracy map each, trained at the left edge.

    Returns:
        Condition and parts, a fraction for each network that learnt its set.
    """
    rows = passed(rows)
    columns = [found.by_column()[1] for found in rows["map"]]
    parts = {name: [each[part].mean() for each in columns] for name, part in _PARTS.items()}
    return pd.DataFrame({"condition": rows.condition.to_numpy(), **parts})


def pattern(rows: pd.DataFrame) -> str:
    """How much better or worse the edges are than the places between, and who did not learn.

    Args:
        rows: as for ``by_part``.
    """
    words = [
        f"{name}: trained column {percent(own['trained column'] - own['between'], 'points')}, "
        f"right edge {percent(own['right edge'] - own['between'], 'points')}"
        for name, own in by_part(rows).groupby("condition", sort=False)
    ]
    failed = rows[rows.failed].condition.value_counts()
    words += [f"{count} of {name} did not learn the set" for name, count in failed.items()]
    return "; ".join(words)


def _places(tables: _Tables) -> tuple[str, str]:
    means = _accuracies(_ours(tables))
    holds = bool((means.similar >= 0.95).all() and (means.dissimilar <= 0.30).all())
    direction = bool((means.similar > 0.5).all() and (means.dissimilar < 0.5).all())
    return HOLDS if holds else DIRECTION if direction else FAILS, _both_sets(tables)


def _no_places(tables: _Tables) -> tuple[str, str]:
    means = _accuracies(_ours(tables))
    apart = (means.similar - means.dissimilar).abs()
    return HOLDS if bool((apart <= 0.03).all()) else FAILS, _both_sets(tables)


def _order(tables: _Tables) -> tuple[str, str]:
    found = _accuracies(_ours(tables)).dissimilar[list(_ORDER)]
    holds = bool((found.diff().dropna() < 0).all())
    direction = bool(found.iloc[:2].min() > found.iloc[2:].max())
    said = ", ".join(f"{name} {100 * value:.1f} %" for name, value in found.items())
    return HOLDS if holds else DIRECTION if direction else FAILS, f"dissimilar set: {said}"


def _ours(tables: _Tables) -> pd.DataFrame:
    rows = tables["borders"]
    return rows[rows.split == "apart"]


def _both_sets(tables: _Tables) -> str:
    rows = _ours(tables)
    return "; ".join(
        f"{name} "
        + ", ".join(f"{percent(each.accuracy)} {where}" for where, each in own.groupby("set"))
        for name, own in rows.groupby("condition", sort=False)
    )


def _far(tables: _Tables) -> tuple[str, str]:
    found = tables["quadrant"].query("border == 64").accuracy
    return HOLDS if found.mean() > 0.9 else FAILS, f"{percent(found)} at 64 px"


def _ends(tables: _Tables) -> tuple[str, str]:
    rows, words, holds = tables["quadrant"], [], True
    for name, own in rows.groupby("condition", sort=False):
        # A cell that sees an image sees padding as well only if it sees the border and two pixels.
        beyond = own[own.border >= own.field - 1]
        field = int(own.field.iloc[0])
        if not len(beyond):
            words.append(f"{name} sees {field} px, more than the largest border: not judged")
            continue
        by_border = beyond.groupby("border").accuracy.mean()
        holds &= bool(((by_border - 0.5).abs() <= 0.05).all())
        ends = dict.fromkeys(f"{100 * each:.1f}" for each in (by_border.min(), by_border.max()))
        words.append(
            f"{name} sees {field} px: {' to '.join(ends)} % from a border of "
            f"{by_border.index[0]} px on"
        )
    judged = bool((rows.border >= rows.field - 1).any())
    return HOLDS if holds and judged else FAILS, "; ".join(words)


def differences(rows: pd.DataFrame) -> pd.DataFrame:
    """Full less same convolution by images per class, a fraction for each seed.

    Args:
        rows: measurements of ``studies.data_efficiency`` of one set.

    Returns:
        Seeds by images per class.
    """
    named = rows.condition.str.extract(r"(?P<padding>same|full)-(?P<size>\d+)$")
    both = rows.assign(padding=named.padding, size=named["size"].astype(int)).pivot_table(
        "test", ["seed", "size"], "padding"
    )
    # Where one of the two was not run there is no difference.
    both = both.reindex(columns=["same", "full"]).dropna()
    return (both.full - both.same).unstack("size")


def _efficient(tables: _Tables) -> tuple[str, str]:
    rows = tables["data_efficiency"]
    gained = differences(rows)
    means = gained.mean()
    fewest, most = means.iloc[0], means.iloc[-1]
    holds = bool((means >= 0).all() and fewest > most)
    said = ", ".join(f"{size}: {percent(gained[size], 'points')}" for size in gained)
    said += f"; least accuracy on training images {100 * rows.train.min():.1f} %"
    return HOLDS if holds else DIRECTION if fewest > 0 else FAILS, f"full less same, {said}"


_ORDER = ("full", "circular", "same", "valid")
_PAPER = "Kayhan & van Gemert 2020, "
_QUADRANT = ("bag-random", "bag-trained", "resnet18-random", "squeezenet-imagenet")


def _cases(study: str, *conditions: str, remark: str = "") -> tuple[Case, ...]:
    return (Case("bench", {study: conditions}, remark),)


K1 = Claim(
    "K1", _PAPER + "sec. 3",
    "One filter with same padding tells a rook in one corner from the same rook in the other.",
    "at least 4 of 5 trainings tell both pictures apart",
    _separates, _cases("rook", "same"),
)  # fmt: skip
K2 = Claim(
    "K2", _PAPER + "sec. 3",
    "With full convolution no filter can.",
    "the largest responses of every random filter are exactly equal, and every training stays at "
    "50 %",
    _cannot, _cases("rook", "full"),
)  # fmt: skip
K3 = Claim(
    "K3", _PAPER + "sec. 3",
    "What lies further from the border than a filter reaches is told by no filter (ours, exact).",
    "of random filters of 5 x 5 some tell the pictures apart below a border of 4 px (valid) and "
    "2 px (same), and exactly none from there on; with full convolution none at all",
    _by_border, _cases("rook", "valid", "same", "full"),
)  # fmt: skip
K4 = Claim(
    "K4", "Kayhan 2020, blog",
    "Of one bright pixel in either corner, valid and same convolution lose one response, full "
    "neither.",
    "largest responses 0 and 1 (valid, same), 1 and 1 (full); maps of n - 2, n and n + 2 cells",
    _one_pixel, _cases("rook", "valid", "same", "full"),
)  # fmt: skip
K5 = Claim(
    "K5", _PAPER + "sec. 4.2",
    "Networks with valid or same convolution go by the place where it tells the class as well as "
    "the content does.",
    "mean accuracy at least 95 % on similar places and at most 30 % on the others (in direction: "
    "above and below 50 %)",
    _places, _cases("borders", "valid", "same"),
)  # fmt: skip
K6 = Claim(
    "K6", _PAPER + "sec. 4.2",
    "Full and circular convolution do not.",
    "mean accuracies on similar and other places at most 3 points apart",
    _no_places, _cases("borders", "full", "circular"),
)  # fmt: skip
K7 = Claim(
    "K7", _PAPER + "sec. 4.2",
    "Places never seen are known best with full convolution, then circular, same, valid.",
    "mean accuracy on the other places in this order (in direction: the first two above the last "
    "two)",
    _order, _cases("borders", *_ORDER),
)  # fmt: skip
K8 = Claim(
    "K8", _PAPER + "sec. 4.1",
    "A pretrained network tells the place 64 pixels away from the border.",
    "mean accuracy above 90 % with a border of 64 px",
    _far, _cases("quadrant", "squeezenet-imagenet", remark="SqueezeNet 1.1 for ResNet-18: "),
)  # fmt: skip
K9 = Claim(
    "K9", _PAPER + "sec. 4.1",
    "Beyond the receptive field nothing is left of the place.",
    "mean accuracies within 5 points of 50 % at every border from the receptive field less a "
    "pixel; a network that sees further than the largest border is not judged",
    _ends, _cases("quadrant", *_QUADRANT),
)  # fmt: skip
K10 = Claim(
    "K10", _PAPER + "sec. 4.4",
    "Full convolution is more accurate than same, the more so the fewer the images.",
    "mean accuracy of full at least that of same at 50, 100, 250 and 1,000 images of each class, "
    "and the difference larger at 50 than at 1,000 (in direction: better at 50)",
    _efficient,
    tuple(
        Case(
            "bench",
            {"data_efficiency": tuple(
                f"{images}-{padding}-{size}"
                for size in (50, 100, 250, 1000) for padding in ("same", "full")
            )},
            f"a small network on {words}: ",
        )
        for images, words in (("mnist", "MNIST"), ("cifar10", "CIFAR-10"))
    ),
)  # fmt: skip
