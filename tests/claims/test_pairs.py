"""Orders, similarities and losses of the pairs, by hand."""

import pytest

from invlib import claims
from invlib.claims.pairs import PAIR, steps_down

THREE = ("emnist_letters", "kmnist", "mnist")


@pytest.fixture
def some(pairs):
    """Pairs of three sets; one of itself knows nothing, which no correlation of the others sees."""

    def make(seeds, canvas):
        rows = pairs(seeds, THREE, canvas=lambda a, b: canvas.get((a[0], b[0]), 0.0), after=0.5)
        return rows[rows.set.isin(THREE)].reset_index(drop=True)

    return make


# From the largest step up the order to the largest down: -3, -2, -1, 1, 2, 3.
UP_TO_DOWN = (("m", "e"), ("k", "e"), ("m", "k"), ("k", "m"), ("e", "k"), ("e", "m"))


def accuracies(*values):
    return dict(zip(UP_TO_DOWN, values, strict=True))


def test_steps_down_the_order_are_those_of_the_paper(some):
    rows = some(1, {})
    assert steps_down(rows).tolist() == [0, 2, 3, -2, 0, 1, -3, -1, 0]
    assert steps_down(rows.assign(condition="untrained")).isna().all()


def test_a_similarity_is_the_mean_over_all_displacements_of_the_layer_that_decides(pairs):
    rows = pairs(1, ("mnist",), before=0.7, after=0.6, baseline=0.2)
    assert claims.similarity(rows, "before").tolist() == pytest.approx([0.7] * 6)
    assert claims.similarity(rows, "after").tolist() == pytest.approx([0.6] * 6)
    assert claims.similarity(rows, "before", "baseline").tolist() == pytest.approx([0.2] * 6)
    assert claims.similarity(rows, "before", layer="classifier.3").tolist() == [0.0] * 6
    with pytest.raises(
        ValueError, match=r"expected a layer of classifier.3, classifier.4, got 'features'"
    ):
        claims.similarity(rows, "before", layer="features")


def test_what_was_not_measured_or_is_no_number_has_no_similarity(pairs):
    rows = pairs(1, ("mnist",)).head(2)
    rows.at[0, "before"] = None
    rows.at[1, "before"][1]["mean"][1] = None  # as JSON has what is no number
    assert claims.similarity(rows, "before").isna().all()


def test_losses_are_from_before_to_after_and_from_the_trained_place_to_the_canvas(pairs):
    rows = claims.with_losses(pairs(1, ("mnist",), before=0.9, after=0.6, control=0.95, canvas=0.7))
    assert rows.similarity_lost.tolist() == pytest.approx([0.3] * 6)
    assert rows.accuracy_lost.tolist() == pytest.approx([0.25] * 6)


@pytest.mark.parametrize(
    ("values", "correlation"),
    [
        ((0.1, 0.2, 0.3, 0.7, 0.8, 0.9), "1.00"),
        ((0.9, 0.8, 0.7, 0.3, 0.2, 0.1), "-1.00"),
        # Two neighbours have changed places: 1 - 6 (1 + 1) / (6 (36 - 1)) = 0.943
        ((0.1, 0.2, 0.3, 0.7, 0.9, 0.8), "0.94"),
    ],
)
def test_transfer_goes_with_the_order_where_simpler_sets_are_known_better(
    some, values, correlation
):
    rows = some(1, accuracies(*values))
    assert claims.order_and_transfer(rows) == f"{correlation} (one seed)"
    rows = some(5, accuracies(*values))
    assert claims.order_and_transfer(rows) == f"{correlation} [{correlation}, {correlation}]"


def test_the_interval_of_a_rank_correlation_is_over_resampled_seeds(some):
    rows = some(5, accuracies(0.1, 0.2, 0.3, 0.7, 0.8, 0.9))
    # One seed turns the order of every mean it is in: a third of the resamples lack it, (4/5)**5.
    rows.loc[rows.seed == 4, "canvas"] = -10 * rows.canvas
    assert claims.order_and_transfer(rows) == "-1.00 [-1.00, 1.00]"
    # Of few seeds the range of each alone.
    assert claims.order_and_transfer(rows[rows.seed > 1]) == "-1.00 (3 seeds: -1.00 to 1.00)"


def test_a_rank_correlation_leaves_out_networks_that_failed(some):
    rows = some(2, accuracies(0.1, 0.2, 0.3, 0.7, 0.8, 0.9))
    bad = (rows.condition == "emnist_letters") & (rows.set == "mnist")
    rows.loc[bad, "canvas"] = -1.0
    assert claims.order_and_transfer(rows) != "1.00 (2 seeds: 1.00 to 1.00)"
    rows.loc[bad & (rows.seed == 0), "failed"] = True
    rows.loc[bad & (rows.seed == 1), "canvas"] = 0.9
    assert claims.order_and_transfer(rows) == "1.00 (2 seeds: 1.00 to 1.00)"
    assert claims.order_and_transfer(rows.assign(failed=True)) == "not run"


def test_similarity_lost_goes_with_accuracy_lost_over_all_pairs(pairs):
    rank = {name: i for i, name in enumerate(("mnist", "kmnist", "objects2"))}
    rows = pairs(
        1,
        ("mnist", "objects2", "untrained"),
        # A network that loses more similarity, and one pair within a set, knows less far away.
        after=lambda a, b: 0.8 - 0.1 * rank.get(b, 0) - (a == "mnist") * 0.05,
        canvas=lambda a, b: 0.9 - 0.2 * rank.get(b, 0) - (a == "mnist") * 0.01,
    )
    rows = rows[rows.set.isin(rank)].reset_index(drop=True)
    rows.loc[rows.condition == "untrained", "canvas"] = -1.0  # was not pretrained on a set
    assert claims.similarity_and_accuracy_lost(rows) == "1.00 (one seed)"
    rows["canvas"] = 1 - rows.canvas
    assert claims.similarity_and_accuracy_lost(rows) == "-1.00 (one seed)"
    assert claims.similarity_and_accuracy_lost(rows.head(2)) == "not run"


def test_numbers_of_all_conditions_are_taken_together_by_pair(pairs):
    rows = pairs(2, ("mnist", "kmnist"), canvas=lambda a, b: 0.4 if a == "mnist" else 0.8)
    rows = rows[~((rows.seed == 1) & (rows.condition == "kmnist"))]
    # A seed without the better half is not worse for that.
    assert claims.by_seed(rows, "canvas", PAIR).tolist() == pytest.approx([0.6, 0.6])
