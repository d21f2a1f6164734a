"""One filter and two corners: exact for any weights."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view

from invlib.data.synthetic import rook
from invlib.studies.rook import STUDY, Settings, check, compute, largest, pictures

SMOKE = STUDY.profile("smoke").conditions


def test_the_pictures_are_one_rook_in_two_corners():
    assert rook().shape == (1, 1, 16, 13)
    one, other = pictures()
    assert one.shape == (1, 32, 32)
    assert torch.equal(one[:, :16, :13], other[:, 16:, 19:])
    assert one[0, :16, :13].any(1).all() and one[0, :16, :13].any(0).all()  # it fills its box
    assert one.sum() == other.sum() == one[:, :16, :13].sum()
    wide, _ = pictures(border=3)
    assert wide.shape == (1, 38, 38) and torch.equal(wide[:, 3:19, 3:16], one[:, :16, :13])


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 100), st.sampled_from(["valid", "same", "full"]), st.integers(0, 5))
def test_no_filter_tells_what_its_reach_does_not_meet(seed, padding, border):
    one, other = largest(Settings(padding, filters=50), border, seed)
    if border >= {"valid": 4, "same": 2, "full": 0}[padding]:
        assert torch.equal(one, other)


@pytest.mark.parametrize(("padding", "by"), [("valid", 0), ("same", 2), ("full", 4)])
def test_the_responses_are_those_of_sliding_windows(padding, by):
    generator = torch.Generator().manual_seed(4)
    filters = torch.randint(-1000, 1001, (6, 1, 5, 5), generator=generator).numpy()
    found = largest(Settings(padding, filters=6), 1, 4)
    for picture, values in zip(pictures(border=1).numpy(), found, strict=True):
        windows = sliding_window_view(np.pad(picture[0], by), (5, 5))
        expected = np.einsum("rcij,fij->frc", windows, filters[:, 0]).clip(0).max((1, 2))
        assert np.array_equal(values.numpy(), expected)


@pytest.mark.parametrize(
    ("padding", "pixel", "cells"),
    [("valid", [0, 1], -2), ("same", [0, 1], 0), ("full", [1, 1], 2)],
)
def test_one_bright_pixel(padding, pixel, cells):
    first, *others = compute(SMOKE[padding], 0)
    assert (first.pixel, first.cells) == (pixel, cells)
    assert [row.border for row in others] == [1, 2, 3, 4]
    assert all(row.accuracy is None for row in others)


def test_full_convolution_stays_at_chance_and_same_does_not():
    bench = STUDY.profile("bench").conditions
    assert compute(replace(bench["full"], filters=1), 0)[0].accuracy == 0.5
    assert compute(replace(bench["same"], filters=1), 0)[0].accuracy == 1
    # A seed whose filter dies: it is counted.
    dead = compute(replace(bench["same"], filters=1), 1)[0]
    assert (dead.accuracy, dead.dead) == (0.5, (False, True))


def test_a_border_is_from_0():
    with pytest.raises(ValueError, match="a border from 0 px, found -1"):
        pictures(border=-1)


def test_files_that_lack_something_do_not_count():
    rows = compute(SMOKE["same"], 0)
    check(SMOKE["same"], rows)
    with pytest.raises(ValueError, match=r"borders \(0, 1, 2, 3, 4\), found \(0, 1, 2, 3\)"):
        check(SMOKE["same"], rows[:-1])
    with pytest.raises(ValueError, match="without border, and there alone"):
        check(SMOKE["same"], [replace(rows[0], dead=None), *rows[1:]])
    with pytest.raises(ValueError, match="without border, and there alone"):
        check(SMOKE["same"], [*rows[:-1], replace(rows[-1], accuracy=1.0)])
