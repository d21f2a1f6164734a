"""The pass rules on sensitivity on made-up measurements, at and beside their thresholds."""

import numpy as np
import pandas as pd
import pytest

from invlib.claims import DIRECTION, FAILS, HOLDS, NO_RULE, NOT_RUN, myburgh, sensitivity
from invlib.claims.sensitivity import Choice, areas, networks
from invlib.measure.radial import radial_mean

SHIFTS = np.arange(-10, 11)
DISTANCE = np.hypot(SHIFTS[:, None], SHIFTS)


def flat(value):
    """A map that is 1 unshifted and the value elsewhere, so the area is the value."""
    return np.where(DISTANCE == 0, 1.0, value)


def row(condition, place, values, metric="cosine", seed=0, **more):
    given = {"test": 0.995, "train": 1.0, "validation": 0.99, "chosen": 5.0}
    return {
        "condition": condition, "seed": seed, "place": place, "metric": metric, "depth": np.nan,
        "map": values, "radial": radial_mean(values)[None], "pearson": None, "classes": None,
        "cells": None, "failed": False, "training": given,
    } | more  # fmt: skip


def measured(data="mnist", unpadded=False, maps=(0.5,) * 3, logits=(0.6,) * 3, seeds=3, **more):
    """Three networks, k = 5, 4, 3; seeds lie around the number given."""
    return pd.DataFrame(
        row(name, place, flat(values[i] + 0.01 * (seed - (seeds - 1) / 2)), seed=seed, **more)
        for i, name in enumerate(networks(data, unpadded))
        for place, values in (("pooling 3", maps), ("logits", logits))
        for seed in range(seeds)
    )


def judged(claim, table):
    return claim.judge({"kernel_size": table})


def test_the_area_of_a_flat_map_is_its_value():
    found = areas(measured(logits=(0.6, 0.7, 0.8)), "logits")
    assert found.groupby("condition").mean().tolist() == pytest.approx([0.8, 0.7, 0.6])
    assert sensitivity.area_in_words(measured(), "mnist-k5", "logits") == (
        "0.600 (3 seeds: 0.590 to 0.610)"
    )
    assert sensitivity.area_in_words(measured(), "untrained-mnist-k5", "logits") == NOT_RUN


def test_the_difference_of_two_areas_is_over_the_seeds_that_both_have():
    table = measured(logits=(0.6, 0.5, 0.4))
    table = table[~((table.condition == "mnist-k3") & (table.seed == 2))]
    found = sensitivity.less(table, "mnist-k5", "mnist-k3", "logits")
    assert found == "0.200 (2 seeds: 0.200 to 0.200)"
    assert sensitivity.less(table, "mnist-k5", "untrained-mnist-k5", "logits") == NOT_RUN


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((0.5, 0.51, 0.52), HOLDS),
        ((0.5, 0.52, 0.51), DIRECTION),
        ((0.5, 0.49, 0.51), DIRECTION),
        ((0.5, 0.6, 0.5), FAILS),
        ((0.6, 0.5, 0.4), FAILS),
    ],
)
def test_maps_are_less_sensitive_with_smaller_kernels(values, verdict):
    assert judged(myburgh.M2, measured(maps=values))[0] == verdict
    assert judged(myburgh.M5, measured("cifar10", maps=values))[0] == verdict
    # Answers have the opposite order, and their own place.
    assert judged(myburgh.M3, measured(maps=(0.9, 0.8, 0.7), logits=values[::-1]))[0] == verdict


def test_what_was_measured_names_each_network_and_its_seeds():
    assert judged(myburgh.M2, measured(maps=(0.5, 0.51, 0.52)))[1] == (
        "area k = 3: 0.520 (3 seeds: 0.510 to 0.530), k = 4: 0.510 (3 seeds: 0.500 to 0.520), "
        "k = 5: 0.500 (3 seeds: 0.490 to 0.510)"
    )


@pytest.mark.parametrize(
    ("maps", "logits", "verdict"),
    [((0.5,) * 3, (0.51,) * 3, HOLDS), ((0.5,) * 3, (0.6, 0.6, 0.5), FAILS)],
)
def test_answers_lie_above_the_maps_at_every_ring_of_every_network(maps, logits, verdict):
    assert judged(myburgh.M4, measured(maps=maps, logits=logits))[0] == verdict
    assert judged(myburgh.M4, measured("cifar10", maps=maps, logits=logits))[0] == verdict


def test_one_ring_decides_and_the_corners_do_not():
    table = measured(seeds=1)
    at = table.index[(table.condition == "mnist-k4") & (table.place == "logits")][0]

    def with_ring(ring):
        values = flat(0.6)
        values[np.round(DISTANCE) == ring] = 0.4
        changed = table.copy()
        changed.at[at, "map"] = values
        return judged(myburgh.M4, changed)

    verdict, words = with_ring(10)
    assert verdict == FAILS and "k = 4: -0.100 at 10 px" in words and words.count("+0.100") == 2
    assert with_ring(11)[0] == HOLDS


@pytest.mark.parametrize(
    ("logits", "level", "ahead"),
    [
        ((0.60, 0.59, 0.58), HOLDS, FAILS),
        ((0.64, 0.60, 0.60), FAILS, HOLDS),
        ((0.64, 0.60, 0.62), FAILS, FAILS),
        ((0.60, 0.64, 0.64), FAILS, FAILS),
    ],
)
def test_level_and_far_ahead(logits, level, ahead):
    assert judged(myburgh.M6, measured("cifar10", logits=logits))[0] == level
    assert judged(myburgh.M9, measured("cifar10", True, logits=logits))[0] == level
    assert judged(myburgh.M7, measured("mnist", True, logits=logits))[0] == ahead


def test_the_one_cell_network_has_no_say_in_the_others():
    table = measured("mnist", True, logits=(0.9, 0.6, 0.62))
    assert judged(myburgh.M8, table)[0] == HOLDS
    assert judged(myburgh.M8, measured("mnist", True, logits=(0.9, 0.6, 0.64)))[0] == FAILS


def test_networks_that_did_not_learn_are_left_out_and_counted():
    table = measured(maps=(0.5, 0.51, 0.52))
    table.loc[(table.condition == "mnist-k3") & (table.seed == 2), "failed"] = True
    verdict, words = judged(myburgh.M2, table)
    assert verdict == HOLDS and words.endswith("; 1 more did not learn their set")
    table.loc[table.condition == "mnist-k3", "failed"] = True
    for claim in (myburgh.M2, myburgh.M3, myburgh.M4, myburgh.M11):
        assert judged(claim, table) == (FAILS, "no network with k = 3 learnt its set")
    table["failed"] = True
    for claim in (myburgh.M1, myburgh.M12):
        assert judged(claim, table) == (FAILS, "no network with k = 5 learnt its set")


def correlated(cosine, euclidean):
    return pd.DataFrame(
        row("mnist-k5", "logits", flat(0.5), metric, seed, pearson=[0.99] * 9 + [value])
        for metric, value in (("cosine", cosine), ("euclidean", euclidean))
        for seed in range(2)
    )


@pytest.mark.parametrize(
    ("cosine", "euclidean", "verdict"),
    [(0.8, 0.9, HOLDS), (0.79, 0.9, FAILS), (0.9, 0.79, FAILS), (0.9, None, FAILS)],
)
def test_both_metrics_go_with_the_accuracy_in_every_class(cosine, euclidean, verdict):
    assert judged(myburgh.M1, correlated(cosine, euclidean))[0] == verdict


@pytest.mark.parametrize(
    ("tests", "verdict"), [((0.9899, 0.995, 0.995), HOLDS), ((0.9898, 1, 1), FAILS)]
)
def test_the_least_accurate_network_decides_whether_all_are_as_printed(tests, verdict):
    table = measured(metric="accuracy")
    table["training"] = [{"test": tests[networks("mnist").index(name)]} for name in table.condition]
    table.loc[table.place != "pooling 3", "training"] = None  # only the first row of a run has it
    found, words = judged(myburgh.M11, table)
    assert found == verdict and words.endswith("the paper's least 99.19 %")


def random_pairs(distance=1.0, cosine=0.0, spread=1.0, relu=0.32):
    """Exponents and levels: what grows like the root of the dimension has 1."""
    return pd.DataFrame(
        {"condition": kind, "seed": 0, "dimension": d, "distance": 1.4 * d ** (distance / 2),
         "cosine": relu if kind == "relu" else cosine, "spread": d ** (-spread / 2)}
        for kind in ("normal", "relu")
        for d in (10, 100, 4000)
    )  # fmt: skip


def test_only_the_spread_of_similarities_shrinks_with_the_dimension():
    def verdict(**given):
        return myburgh.M10.judge({"dimensions": random_pairs(**given)})[0]

    assert verdict() == DIRECTION
    assert verdict(distance=0.9) == FAILS
    assert verdict(spread=0.5) == FAILS and verdict(cosine=0.1) == FAILS
    assert verdict(relu=0.1) == FAILS


def test_how_far_maps_are_moved_is_said_without_a_verdict():
    cells = np.stack([SHIFTS / 8, SHIFTS / 10])
    # What is compared are the same few images; the area of all of them is another.
    few = [
        row("mnist-k5", "pooling 3", flat(0.9), "aligned", depth=9.0, cells=cells),
        row("mnist-k5", "pooling 3", flat(0.4), depth=9.0),
    ]
    table = pd.concat([measured(seeds=1), pd.DataFrame(few)])
    verdict, words = judged(myburgh.M12, table)
    assert verdict == NO_RULE
    assert words == (
        "the maps that come nearest are moved by 1.12 (one seed) cells for 10 px, a cell is 8 px; "
        "area 0.900 (one seed) after the move, 0.400 (one seed) before"
    )


def test_each_choice_has_its_verdict():
    table = measured(maps=(0.5, 0.51, 0.52), logits=(0.6, 0.59, 0.58))
    softmax = measured(logits=(0.6, 0.61, 0.62))
    softmax = softmax[softmax.place == "logits"].assign(place="softmax")
    verdicts = myburgh.under_each_choice(pd.concat([table, softmax]), ["M2", "M3", "M6"])
    assert verdicts.set_index("claim").loc["M3"].to_dict() == {
        "ours": HOLDS, "after softmax": FAILS, "rings rounded down": HOLDS,
        "rings rounded up": HOLDS, "up to 6 px": HOLDS, "1 / (1 + distance)": HOLDS,
    }  # fmt: skip
    assert set(verdicts.set_index("claim").loc["M6"]) == {NOT_RUN}
    near = np.where(DISTANCE <= 6, flat(0.9), 0.0)
    assert areas(pd.DataFrame([row("a", "logits", near)]), "logits", Choice(reach=6)).item() == (
        pytest.approx(radial_mean(near)[1:7].mean())
    )


def test_a_bent_distance_and_the_softmax_correlate_otherwise():
    right = np.stack([1 - (DISTANCE / 15) ** 2, 1 - (DISTANCE / 15) ** 3])
    rows = pd.DataFrame(
        [
            row("mnist-k5", "logits", flat(0), pearson=np.array([0.7, 0.8])),
            row(
                "mnist-k5", "logits", flat(0), "euclidean", pearson=np.array([0.8, 0.9]),
                classes=np.stack([DISTANCE] * 2),
            ),
            row("mnist-k5", "logits", flat(0), "accuracy", classes=right),
            row("mnist-k5", "softmax", flat(0), pearson=np.array([0.97, 0.99])),
        ]
    )  # fmt: skip
    bent = np.corrcoef([(1 / (1 + DISTANCE)).ravel(), *right.reshape(2, -1)])[0, 1:]
    low, high = f"{bent.min():.2f}", f"{bent.max():.2f}"
    assert bent.max() < 0.8
    assert myburgh.correlations(rows) == (
        "M1, ours: correlation by class 0.70 to 0.80 (cosine), 0.80 to 0.90 (euclidean); "
        "after softmax: correlation by class 0.97 to 0.99 (cosine); 1 / (1 + distance): "
        f"correlation by class 0.70 to 0.80 (cosine), {low} to {high} (euclidean)."
    )
    second = pd.concat([rows, rows.assign(seed=1, classes=None)], ignore_index=True)
    assert myburgh.correlations(second).endswith(f"{low} to {high} (euclidean, 1 of 2 runs).")
    rows.at[0, "pearson"] = np.array([0.8, 0.8])
    verdicts = myburgh.under_each_choice(rows, ["M1"]).iloc[0]
    others = verdicts.drop(["claim", "1 / (1 + distance)"])
    assert set(others) == {HOLDS} and verdicts["1 / (1 + distance)"] == FAILS
    assert myburgh.correlations(rows[:0]) == ""


def test_which_verdicts_the_choices_change():
    table = pd.DataFrame(
        [
            {"claim": "M2", "ours": HOLDS, "after softmax": HOLDS},
            {"claim": "M3", "ours": HOLDS, "after softmax": FAILS},
            {"claim": "M4", "ours": FAILS, "after softmax": FAILS},
            {"claim": "M5", "ours": NOT_RUN, "after softmax": NOT_RUN},
        ]
    )
    assert myburgh.dependent(table) == "Changed by a choice: M3; by none: M2, M4."
    assert myburgh.dependent(table[:1]) == "Changed by a choice: none; by none: M2."
    assert myburgh.dependent(table[3:]) == ""


def test_networks_are_described_as_they_are_trained():
    conditions = ["mnist-k5", "equal-weights-mnist-k5-unpadded", "cifar10-k3-unpadded"]
    assert sensitivity.described(conditions, "paper").to_dict("list") == {
        "network": conditions,
        "channels": ["10, 20, 30", "10, 20, 30", "139, 278, 416"],
        "last maps": ["5 x 5 cells", "1 x 1 cells", "3 x 3 cells"],
        "receptive field": ["36 px", "36 px", "22 px"],
        "hidden nodes": [500, 2702, 500],
        # Of the first: 10 x 26 + 20 x 251 + 30 x 501 + 500 x 751 + 10 x 501.
        "weights and biases": ["400,820", "131,102", "3,270,706"],
        "behind the last maps": ["375,000", "81,060", "1,872,000"],
        "learning rate": ["0.003", "0.002", "0.0005"],
    }
    assert sensitivity.described(conditions[2:], "bench").channels.item() == "69, 139, 208"


def test_what_is_moved_back_is_read_to_the_right_of_the_middle():
    one, other = flat(0.2), flat(0.3)
    one[10, 18], other[10, 18] = 0.9, 0.98
    rows = pd.DataFrame(
        row("mnist-k5", "pooling 3", values, "aligned", seed=seed, depth=9)
        for seed, values in enumerate((one, other))
    )
    assert sensitivity.moved_back(rows, "mnist-k5", 8) == "0.94 (2 seeds: 0.90 to 0.98)"
    assert sensitivity.moved_back(rows, "mnist-k5", 4) == "0.25 (2 seeds: 0.20 to 0.30)"
    assert sensitivity.moved_back(rows, "mnist-k4", 8) == NOT_RUN
    assert sensitivity.moved_back(rows.assign(failed=True), "mnist-k5", 8) == NOT_RUN


def test_areas_by_kernel_by_group_and_by_layer():
    table = measured(maps=(0.5, 0.51, 0.52), seeds=1)
    assert sensitivity.areas_in_words(table, networks("mnist"), "pooling 3") == (
        "k = 5: 0.500 (one seed), k = 4: 0.510 (one seed), k = 3: 0.520 (one seed)"
    )
    groups = {"there": ["mnist-k5", "anywhere-mnist-k5"], "not": ["untrained-mnist-k5"]}
    found = sensitivity.by_group(table, groups)
    assert found.to_dict("list") == {
        "networks": ["there", "not"],
        "behind the last pooling": ["k = 5: 0.500 (one seed)", NOT_RUN],
        "at the logits": ["k = 5: 0.600 (one seed)", NOT_RUN],
    }
    deep = pd.DataFrame(
        row("mnist-k5", place, flat(value + 0.1 * seed), seed=seed, depth=depth)
        for seed in range(2)
        for depth, (place, value) in enumerate({"input": 0.2, "ReLU 1": 0.4}.items())
    )
    other = deep.assign(condition="mnist-k3", map=None)
    every = pd.concat(
        [table, deep.assign(depth=1 - deep.depth), other.assign(depth=1 - deep.depth)]
    )
    found = sensitivity.by_layer(every, networks("mnist"))
    assert found.to_dict("list") == {
        "layer": ["ReLU 1", "input"], "k = 5": ["0.45", "0.25"], "k = 3": ["0.45", "0.25"]
    }  # fmt: skip
    assert not len(sensitivity.by_layer(table, networks("mnist")))


def test_accuracies_stand_beside_those_printed():
    table = measured(seeds=2)
    table.loc[table.place != "pooling 3", "training"] = None  # only the first row of a run has it
    control = pd.DataFrame([row("untrained-mnist-k5", "logits", flat(0.5))])
    found = sensitivity.accuracies(pd.concat([table, control]))
    assert found["paper's least"].tolist() == ["99.19%"] * 3 + [""]
    assert "paper's least" not in sensitivity.accuracies(control)
    assert found.networks.tolist() == [2, 2, 2, 1] and set(found.test) == {"99.50%"}
    table.at[table.index[0], "failed"] = True
    table.at[table.index[0], "training"] = {**table.training.iloc[0], "test": 0.1}
    found = sensitivity.accuracies(table)
    assert found.failed.tolist() == [1, 0, 0] and set(found.test) == {"99.50%"}
