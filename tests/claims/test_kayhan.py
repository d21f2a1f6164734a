"""The pass rules on borders on made-up measurements, at and beside their thresholds."""

import numpy as np
import pandas as pd
import pytest

from invlib.claims import DIRECTION, FAILS, HOLDS, kayhan
from invlib.measure.maps import AccuracyMap


def judged(claim, study, rows):
    return claim.judge({study: pd.DataFrame(rows)})


def rook(
    condition, seed=0, border=0, apart=0.1, accuracy=1.0, dead=(False, False), pixel=None, cells=0
):
    once = {"accuracy": accuracy, "dead": dead, "pixel": pixel, "cells": cells}
    if border:
        once = dict.fromkeys(once)
    return {"condition": condition, "seed": seed, "border": border, "apart": apart} | once


@pytest.mark.parametrize(("right", "verdict"), [(4, HOLDS), (3, FAILS)])
def test_four_of_five_seeds_tell_the_corners_apart(right, verdict):
    rows = [
        rook("same", seed, accuracy=1.0 if seed < right else 0.5, dead=(seed == 4, seed >= right))
        for seed in range(5)
    ]
    found, words = judged(kayhan.K1, "rook", rows)
    assert found == verdict
    assert words.startswith(f"{right} of 5 seeds")
    assert words.endswith(f"1 started dead, {4 - right} died in training")


@pytest.mark.parametrize(
    ("apart", "accuracy", "verdict"), [(0, 0.5, HOLDS), (0.005, 0.5, FAILS), (0, 1.0, FAILS)]
)
def test_full_convolution_cannot(apart, accuracy, verdict):
    rows = [rook("full", s, apart=0, accuracy=0.5) for s in range(4)]
    rows += [rook("full", 4, apart=apart, accuracy=accuracy)]
    assert judged(kayhan.K2, "rook", rows)[0] == verdict


@pytest.mark.parametrize(
    ("changed", "verdict"),
    [
        (None, HOLDS),
        (("valid", 4, 0.001), FAILS),
        (("valid", 3, 0.0), FAILS),
        (("same", 2, 0.001), FAILS),
        (("same", 1, 0.0), FAILS),
        (("full", 0, 0.001), FAILS),
    ],
)
def test_nothing_is_told_from_a_filters_reach_on(changed, verdict):
    reach = {"valid": 4, "same": 2, "full": 0}
    rows = [
        rook(name, border=border, apart=0.2 * (border < by))
        for name, by in reach.items()
        for border in range(5)
    ]
    for row in rows:
        if changed and (row["condition"], row["border"]) == changed[:2]:
            row["apart"] = changed[2]
    assert judged(kayhan.K3, "rook", rows)[0] == verdict


@pytest.mark.parametrize(("full", "verdict"), [([1.0, 1.0], HOLDS), ([0.0, 1.0], FAILS)])
def test_one_bright_pixel(full, verdict):
    rows = [
        rook("valid", pixel=[0.0, 1.0], cells=-2),
        rook("same", pixel=[0.0, 1.0], cells=0),
        rook("full", pixel=full, cells=2),
    ]
    found, words = judged(kayhan.K4, "rook", rows)
    assert found == verdict and words.startswith("valid 0 and 1, map -2 cells; same 0 and 1")


def boxes(**accuracies):
    """Padding -> accuracy on similar and dissimilar pictures; the published split has others."""
    return [
        {"condition": name, "seed": seed, "split": split, "set": which,
         "accuracy": value if split == "apart" else 0.123}
        for name, both in accuracies.items()
        for which, value in zip(("similar", "dissimilar"), both, strict=True)
        for seed in range(5)
        for split in ("apart", "published")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("valid", "same", "verdict"),
    [
        ((0.95, 0.30), (1.0, 0.0), HOLDS),
        ((0.94, 0.30), (1.0, 0.0), DIRECTION),
        ((0.95, 0.31), (1.0, 0.0), DIRECTION),
        ((0.95, 0.30), (1.0, 0.5), FAILS),
    ],
)
def test_networks_take_the_place(valid, same, verdict):
    assert judged(kayhan.K5, "borders", boxes(valid=valid, same=same))[0] == verdict


@pytest.mark.parametrize(
    ("full", "verdict"), [((0.9, 0.871), HOLDS), ((0.9, 0.86), FAILS), ((0.86, 0.9), FAILS)]
)
def test_networks_that_cannot_do_not(full, verdict):
    assert judged(kayhan.K6, "borders", boxes(full=full, circular=(0.7, 0.7)))[0] == verdict


@pytest.mark.parametrize(
    ("found", "verdict"),
    [
        ((0.9, 0.7, 0.1, 0.0), HOLDS),
        ((0.7, 0.9, 0.1, 0.0), DIRECTION),
        ((0.9, 0.7, 0.0, 0.1), DIRECTION),
        ((0.9, 0.1, 0.1, 0.0), FAILS),
    ],
)
def test_the_order_on_places_never_seen(found, verdict):
    names = ("full", "circular", "same", "valid")
    rows = boxes(**{name: (1.0, value) for name, value in zip(names, found, strict=True)})
    assert judged(kayhan.K7, "borders", rows)[0] == verdict


def places(**given):
    return [
        {"condition": name, "seed": seed, "border": border, "accuracy": value, "field": field}
        for name, (field, by_border) in given.items()
        for border, value in by_border.items()
        for seed in range(3)
    ]


@pytest.mark.parametrize(("value", "verdict"), [(0.91, HOLDS), (0.9, FAILS)])
def test_a_pretrained_network_far_from_the_border(value, verdict):
    rows = places(squeezenet=(207, {32: 1.0, 64: value, 128: 0.5}))
    assert judged(kayhan.K8, "quadrant", rows)[0] == verdict


@pytest.mark.parametrize(
    ("bag", "verdict"),
    [
        ({16: 1.0, 32: 0.549, 64: 0.451}, HOLDS),
        ({16: 1.0, 32: 0.56, 64: 0.5}, FAILS),
        ({16: 1.0, 32: 0.5, 64: 0.44}, FAILS),
    ],
)
def test_nothing_is_left_beyond_the_receptive_field(bag, verdict):
    # With a border of 32 a cell of 33 pixels sees no image and padding at once.
    rows = places(bag=(33, bag), resnet=(435, {16: 1.0, 32: 1.0, 64: 0.9}))
    found, words = judged(kayhan.K9, "quadrant", rows)
    assert found == verdict
    assert "bag sees 33 px: " in words and "from a border of 32 px on" in words
    assert "resnet sees 435 px, more than the largest border: not judged" in words
    alone = places(resnet=(435, {64: 0.5}))
    assert judged(kayhan.K9, "quadrant", alone)[0] == FAILS


def small_sets(gains):
    return [
        {"condition": f"mnist-{padding}-{size}", "seed": seed, "train": 0.97,
         "test": 0.8 + (padding == "full") * (gain + 0.001 * (seed - 2))}
        for size, gain in gains.items()
        for padding in ("same", "full")
        for seed in range(5)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("gains", "verdict"),
    [
        ({50: 0.05, 100: 0.02, 250: 0.01, 1000: 0.0}, HOLDS),
        ({50: 0.05, 100: -0.01, 250: 0.01, 1000: 0.0}, DIRECTION),
        ({50: 0.01, 100: 0.01, 250: 0.01, 1000: 0.02}, DIRECTION),
        ({50: -0.01, 100: 0.01, 250: 0.01, 1000: 0.02}, FAILS),
    ],
)
def test_full_convolution_is_better_the_fewer_the_images(gains, verdict):
    found, words = judged(kayhan.K10, "data_efficiency", small_sets(gains))
    assert found == verdict
    assert words.startswith(f"full less same, 50: {100 * gains[50]:.1f} points [")


def test_differences_are_of_the_same_seed_and_size():
    found = kayhan.differences(pd.DataFrame(small_sets({50: 0.05, 1000: -0.02})))
    assert list(found) == [50, 1000] and len(found) == 5
    rows = pd.DataFrame(small_sets({50: 0.05, 1000: -0.02}))
    assert list(kayhan.differences(rows[rows.condition != "mnist-full-1000"])) == [50]
    assert kayhan.differences(rows[rows.condition.str.contains("same")]).empty
    assert np.allclose(found[50], 0.05 + 0.001 * (np.arange(5) - 2))
    assert np.allclose(found[1000], -0.02 + 0.001 * (np.arange(5) - 2))


def test_what_is_printed_stands_beside_ours_and_the_leak_apart():
    rows = pd.DataFrame(boxes(full=(0.9, 0.8), same=(0.7, 0.1)))
    table = kayhan.beside_printed(rows)
    assert table.padding.tolist() == ["full", "same"]
    assert table["similar"].tolist() == ["90.0 % [90.0, 90.0]", "70.0 % [70.0, 70.0]"]
    assert table["similar, their splits"].tolist() == ["12.3 % [12.3, 12.3]"] * 2
    assert table["dissimilar, their splits"].tolist() == ["12.3 % [12.3, 12.3]"] * 2
    assert table["dissimilar, printed"].tolist() == ["89.7%", "8.4%"]
    assert kayhan.leak(rows) == (
        "full -77.7 points [-77.7, -77.7], same -57.7 points [-57.7, -57.7]"
    )


def test_places_beside_what_the_figure_shows():
    rows = places(**{"bag-random": (33, {0: 0.98, 32: 0.5}), "other": (33, {0: 1.0, 32: 0.51})})
    table = kayhan.places_beside_printed(pd.DataFrame(rows))
    assert table.border.tolist() == [0, 32]
    assert table["bag-random"].tolist() == ["98.0% (99%)", "50.0% (50%)"]
    assert table.other.tolist() == ["100.0%", "51.0%"]


def test_how_far_the_features_of_two_places_are_apart():
    rows = [
        {"condition": name, "seed": seed, "border": border, "apart": 0.1 * seed / (1 + border)}
        for name in ("b", "a")
        for border in (0, 16)
        for seed in (1, 2)
    ]
    table = kayhan.features_apart(pd.DataFrame(rows))
    assert list(table) == ["border", "b", "a"]
    assert table.b.tolist() == ["2.0e-01", "1.2e-02"]


def test_parts_of_a_canvas_by_column():
    # Two classes: above chance the columns are known by 0.8, 0.4, 0.6 and 0.2.
    values = np.tile([0.9, 0.7, 0.8, 0.6], (3, 1))
    found = AccuracyMap(values, (0, 20, 40), (0, 20, 40, 60), (0, 0), (10, 10), 2, "letters")
    rows = pd.DataFrame({"condition": "zeros", "map": [found] * 3, "failed": [False, False, True]})
    parts = kayhan.by_part(rows)
    assert len(parts) == 2
    assert np.allclose(parts[["trained column", "between", "right edge"]], [0.8, 0.5, 0.2])
    assert kayhan.pattern(rows) == (
        "zeros: trained column 30.0 points (2 seeds: 30.0 to 30.0), "
        "right edge -30.0 points (2 seeds: -30.0 to -30.0); 1 of zeros did not learn the set"
    )


def test_accuracies_are_means_over_seeds():
    rows = pd.DataFrame(boxes(full=(0.9, 0.8)))
    found = kayhan._accuracies(rows[rows.split == "apart"])
    assert found.loc["full"].to_dict() == pytest.approx({"similar": 0.9, "dissimilar": 0.8})
