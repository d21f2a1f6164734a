"""The two augmentations of the natural pictures: sizes, places, crops and flips."""

import pytest
import torch
from torch.nn.functional import interpolate

from invlib.data.augmentation import RandomResizedCrop, RandomSizeAndPlace
from invlib.data.canvas import Canvas

CANVAS = Canvas(24, 8)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def flat(values, channels=1, size=10):
    """One constant picture for each value."""
    return (
        torch.tensor(values, dtype=torch.uint8).view(-1, 1, 1, 1).expand(-1, channels, size, size)
    )


def ramps(n):
    """Pictures 128 x 128 whose channels say where a pixel was: row, column, left half or not."""
    along = torch.linspace(60, 187, 128).round()
    half = (torch.arange(128) < 64) * 255.0
    each = torch.stack([along[:, None].expand(128, 128), along.expand(128, 128),
                        half.expand(128, 128)])  # fmt: skip
    return each.to(torch.uint8).expand(n, -1, -1, -1)


def test_sizes_and_places_cover_their_ranges():
    n = 600
    drawn = (
        RandomSizeAndPlace(4, 12).on(CANVAS).draw(flat([255] * n), torch.zeros(n).long(), seeded())
    )
    sizes, touched = [], set()
    for canvas in drawn[:, 0]:
        inked = torch.nonzero(canvas)
        low, high = inked.min(0).values, inked.max(0).values
        height, width = (high - low + 1).tolist()
        assert height == width and len(inked) == height * width  # a whole square, never cropped
        sizes.append(height)
        touched |= {("start", *low.eq(0).tolist()), ("end", *high.eq(23).tolist())}
    assert set(sizes) == set(range(4, 13))
    assert max(sizes.count(s) for s in range(4, 13)) < 2 * n / 9
    assert {("start", True, False), ("start", False, True), ("end", True, False)} <= touched


@pytest.mark.parametrize(
    "augmentation",
    [RandomSizeAndPlace(4, 12), RandomSizeAndPlace(4, 12, fixed=True), RandomResizedCrop()],
)
def test_each_canvas_shows_its_own_picture_and_draws_repeat(augmentation):
    on = augmentation.on(CANVAS)
    values = list(range(40, 200, 2))
    images, labels = flat(values), torch.arange(len(values))
    drawn = on.draw(images, labels, seeded(3))
    assert drawn.shape == (len(values), 1, 24, 24) and drawn.dtype == torch.float32
    assert (drawn.amax((1, 2, 3)) * 255).round().tolist() == values
    assert torch.equal(drawn, on.draw(images, labels, seeded(3)))


@pytest.mark.parametrize("chance", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("crop", [False, True])
def test_pictures_are_flipped_left_to_right_as_often_as_asked(crop, chance):
    n = 400
    kind = RandomResizedCrop(flip=chance) if crop else RandomSizeAndPlace(24, 24, flip=chance)
    drawn = kind.on(CANVAS).draw(ramps(n), torch.zeros(n).long(), seeded())
    rows, columns = drawn[:, 0], drawn[:, 1]
    assert (rows[:, -1].mean(1) > rows[:, 0].mean(1)).all()
    flipped = columns[:, :, 0].mean(1) > columns[:, :, -1].mean(1)
    assert abs(int(flipped.sum()) - chance * n) <= 5 * (n * chance * (1 - chance)) ** 0.5


def test_a_fixed_place_is_the_canvass_trained_one_with_the_sizes_and_flips_of_the_moving():
    n, canvas = 300, Canvas((24, 30), 8, background=9)
    images, labels = ramps(n), torch.zeros(n).long()
    moving = RandomSizeAndPlace(4, 24).on(canvas).draw(images, labels, seeded(2))
    fixed = RandomSizeAndPlace(4, 24, fixed=True).on(canvas).draw(images, labels, seeded(2))
    tops = set()
    for one, other in zip((moving * 255).round(), (fixed * 255).round(), strict=True):
        boxes = []
        for drawn in (one, other):
            inked = torch.nonzero((drawn != 9).any(0))
            low, high = inked.min(0).values.tolist(), inked.max(0).values.tolist()
            boxes.append((low, drawn[:, low[0] : high[0] + 1, low[1] : high[1] + 1]))
        (_, moved), ((top, left), still) = boxes
        assert torch.equal(moved, still)  # of one size, flipped or not, elsewhere
        side = still.shape[1]
        assert left == 0 and top == min(8, 24 - side)
        tops.add((side > 16, top))
    # The smaller ones lie where an item of 8 pixels is learnt, (24 - 8) / 2 rows down.
    assert (False, 8) in tops and {(True, top) for top in range(8)} <= tops


@pytest.mark.parametrize("sizes", [(12, 4), (0, 4)])
def test_an_empty_range_of_sizes_is_refused(sizes):
    with pytest.raises(ValueError, match=f"smallest <= largest, found {sizes[0]} and {sizes[1]}"):
        RandomSizeAndPlace(*sizes)


def test_crops_keep_area_and_ratio_in_range_and_fill_the_canvas():
    n, canvas = 500, Canvas(64, 8)
    drawn = RandomResizedCrop().on(canvas).draw(ramps(n), torch.zeros(n).long(), seeded()) * 255
    rows, columns = drawn[:, 0, :, 32], drawn[:, 1, 32]
    assert drawn[:, :2].min() >= 60  # no background anywhere
    # The ramp rises by 1 for each of 128 pixels; 63 of 64 steps lie between the outer pixels.
    height, width = ((e[:, -1] - e[:, 0]).abs() * 64 / 63 / 128 for e in (rows, columns))
    area, ratio = height * width, width / height
    assert area.min() > 0.08 - 0.02 and area.max() <= 1.02
    assert area.min() < 0.15 and area.max() > 0.85
    whole = (height > 0.97) | (width > 0.97)  # a side longer than the picture is cut to it
    assert 0.72 < ratio[~whole].min() < 0.8 and 1.25 < ratio[~whole].max() < 1.38
    # Crops lie anywhere: some begin at the picture's first row, some end at its last.
    assert rows.min() < 63 and rows.max() > 184


def test_a_crop_of_everything_is_the_picture_resized(noise):
    images = noise(3, size=16, channels=3).images
    crop = RandomResizedCrop(area=(1, 1), ratio=(1, 1)).on(CANVAS)
    drawn = crop.draw(images, torch.arange(3), None)
    whole = interpolate(images.float(), size=24, mode="bilinear", align_corners=False)
    for canvas, picture in zip(drawn * 255, whole, strict=True):
        gaps = [(canvas - p).abs().max() for p in (picture, picture.flip(2))]
        assert min(gaps) <= 0.51  # rounded to grey levels


def test_the_canvas_scale_is_applied():
    canvas = Canvas(24, 8, mean=0.5, std=0.25)
    for augmentation in (RandomSizeAndPlace(4, 12), RandomResizedCrop()):
        drawn = augmentation.on(canvas).draw(flat([255] * 5), torch.zeros(5).long(), seeded())
        assert drawn.max() == pytest.approx(2, abs=1e-5)
    places = RandomSizeAndPlace(4, 12).on(canvas)
    drawn = places.draw(flat([255]), torch.zeros(1).long(), seeded())
    assert drawn.min() == pytest.approx(-2, abs=1e-5)
