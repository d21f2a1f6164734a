"""Accuracies against chance and means over repetitions, by hand."""

import numpy as np
import pytest

from invlib.measure.statistics import interval, normalised_accuracy


@pytest.mark.parametrize("classes", [2, 10, 12, 26])
def test_normalised_accuracy_by_hand(classes):
    by_hand = {1 / classes: 0.0, 1.0: 1.0, 0.0: -1 / (classes - 1)}
    for accuracy, expected in by_hand.items():
        assert float(normalised_accuracy(accuracy, classes)) == pytest.approx(expected, abs=1e-15)
    found = normalised_accuracy([[0.55, 0.1], [1.0, 0.0]], 10)
    assert np.allclose(found, [[0.5, 0], [1, -1 / 9]])


def test_one_class_has_no_chance():
    with pytest.raises(ValueError, match="expected 2 classes or more, found 1"):
        normalised_accuracy(0.5, 1)


def test_intervals_by_the_table_of_students_t():
    # Quantiles of t with 4 degrees of freedom: 2.776 (95 %), 2.132 (90 %); error 1 / sqrt 2.
    for confidence, quantile in ((0.95, 2.776445), (0.9, 2.131847)):
        mean, low, high = interval([1, 2, 3, 4, 5], confidence)
        assert mean == 3
        assert high - 3 == pytest.approx(quantile / 2**0.5, rel=1e-6)
        assert 3 - low == pytest.approx(quantile / 2**0.5, rel=1e-6)
    assert interval([0.5, 0.5, 0.5]) == (0.5, 0.5, 0.5)
    mean, low, high = interval([0.25])
    assert mean == 0.25 and np.isnan(low) and np.isnan(high)
