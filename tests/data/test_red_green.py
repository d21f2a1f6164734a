"""Red and green boxes where the public generator puts them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from invlib.data.red_green import red_green


def corners(image):
    """The upper left pixel of each channel's box; all is 0 or 255 and a box of 4 x 4."""
    found = []
    for channel in image:
        rows, columns = channel.nonzero().unbind(1)
        if not len(rows):
            found.append(None)
            continue
        row, column = int(rows.min()), int(columns.min())
        assert (channel[row : row + 4, column : column + 4] == 255).all()
        assert int((channel > 0).sum()) == 16
        found.append((row, column))
    return found


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000), st.booleans())
def test_boxes_lie_where_their_class_says(seed, swapped):
    items = red_green(20, seed, swapped)
    assert items.labels.tolist() == [0, 1] * 10
    for image, label in zip(items.images, items.labels.tolist(), strict=True):
        red, green, blue = corners(image)
        assert blue is None
        left, right = (red, green) if label == 0 else (green, red)
        assert 0 <= left[1] <= 9 and left[1] + 5 <= right[1] <= 27
        lower = (label == 1) != swapped
        assert all((19 if lower else 3) <= row <= (26 if lower else 10) for row, _ in (red, green))


def test_swapped_pictures_are_the_same_16_rows_away():
    one, other = red_green(50, 3), red_green(50, 3, swapped=True)
    for i, by in enumerate([16, -16] * 25):
        assert torch.equal(one.images[i].roll(by, 1), other.images[i])


@pytest.mark.parametrize("part", ["rows", "left", "right"])
def test_every_place_is_drawn(part):
    drawn = [corners(image) for image in red_green(4000).images[::2]]
    found = {
        "rows": {red[0] for red, _, _ in drawn},
        "left": {red[1] for red, _, _ in drawn},
        "right": {green[1] for _, green, _ in drawn},
    }
    expected = {"rows": range(3, 11), "left": range(10), "right": range(5, 28)}
    assert found[part] == set(expected[part])
