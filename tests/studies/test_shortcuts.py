"""The timing study: what is timed, and what is said about it."""

import pandas as pd

from invlib.studies import shortcuts


def test_paths_take_turns_and_the_first_round_is_warming_up():
    calls, seconds = [], iter([9.0, 99.0, 1.0, 30.0, 3.0, 10.0, 2.0, 20.0])

    def call(path):
        calls.append(path)
        return next(seconds)

    assert shortcuts._seconds(call, 3) == {"plain": 2, "auto": 20}
    assert calls == 4 * ["plain", "auto"]


def test_the_smallest_and_the_largest_items_are_named():
    rows = [
        {"work": work, "varied": varied, "item_side": side, "plain": plain, "auto": 2.0}
        for work, varied, side, plain in [
            ("map", "places", 4, 90.0),
            ("map", "item", 8, 6.0),
            ("step", "item", 8, 5.0),
            ("step", "item", 12, 70.0),
            ("step", "item", 16, 2.0),
        ]
    ]
    assert shortcuts.sentence(pd.DataFrame(rows)) == (
        "As fast as plain: with items of 8 px an accuracy map 3.0 times; "
        "with items of 8 px a training step 2.5 times; "
        "with items of 16 px a training step 1.0 times."
    )
    assert shortcuts.sentence(pd.DataFrame()) == ""
