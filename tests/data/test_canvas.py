"""Canvases: the paper's numbers, the renderer against a Pillow loop, legal places only."""

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from invlib.data import canvas as canvas_module
from invlib.data.canvas import Canvas, PlaceError, paper_grid, place_of_centre
from invlib.data.items import DataError

PAPER = Canvas(224, item=50)
CENTRES = (25, 32, 42, 52, 62, 72, 82, 92, 102, 112, 122, 132, 142, 152, 162, 172, 182, 192, 198)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def paste(images, places, size, background=0):
    """The same canvases the slow way: uint8 (n, channels, height, width), one paste each."""
    drawn = []
    for image, (row, column) in zip(images, places, strict=True):
        mode = "L" if len(image) == 1 else "RGB"
        colour = background if mode == "L" else (background,) * 3
        canvas = Image.new(mode, size[::-1], colour)
        item = image[0] if mode == "L" else image.permute(1, 2, 0)
        canvas.paste(Image.fromarray(item.numpy()), (int(column), int(row)))
        drawn.append(np.asarray(canvas).reshape(*size, -1).transpose(2, 0, 1))
    return torch.from_numpy(np.stack(drawn))


# The paper's geometry (protocol 1.1 and 5.1)


def test_the_papers_grid_and_places():
    assert PAPER.leftmost_centred == (87, 0) == place_of_centre(25, 112)
    assert PAPER.last == (174, 174)
    assert paper_grid() == tuple(c - 25 for c in CENTRES) and len(paper_grid()) ** 2 == 361
    assert [place_of_centre(c, 25) for c in CENTRES] == [(0, column) for column in paper_grid()]


def test_the_item_covers_the_papers_pixels():
    white = torch.full((1, 1, 50, 50), 255, dtype=torch.uint8)
    cases = ((25, 112), (87, 136), (0, 49)), ((198, 198), (173, 222), (173, 222))
    for centre, rows, columns in cases:
        place = place_of_centre(*centre)
        seen = PAPER.render(white, place)[0, 0]
        inked = torch.nonzero(seen)
        assert inked.min(0).values.tolist() == [rows[0], columns[0]]
        assert inked.max(0).values.tolist() == [rows[1], columns[1]]
        assert len(inked) == 2500 and seen.max() == 1


def test_nine_areas_of_58_cover_174():
    labels = torch.arange(18).repeat(3000)
    centres = PAPER.by_area().places(labels, seeded()) + 25
    bounds = {}
    for label in range(18):
        seen = centres[labels == label]
        low, high = seen.min(0).values.tolist(), seen.max(0).values.tolist()
        bounds.setdefault(label // 2, []).append((low[0], high[0] + 1, low[1], high[1] + 1))
    edges = [(25, 83), (83, 141), (141, 199)]
    expected = [(*rows, *columns) for rows in edges for columns in edges]
    assert [bounds[area] for area in range(9)] == [[each, each] for each in expected]


def test_a_class_lies_in_its_own_area_and_in_others_drawn_once():
    canvas, labels = Canvas(64, 16), torch.arange(18).repeat(500)
    for coverage in (1, 3, 9):
        homes = canvas_module.homes(coverage=coverage, seed=5)
        assert homes.shape == (18, coverage) and homes[:, 0].tolist() == [i // 2 for i in range(18)]
        assert all(len(row.unique()) == coverage for row in homes) and homes.max() <= 8
        places = canvas.by_area(coverage=coverage, seed=5).places(labels, seeded())
        area = places[:, 0] // 16 * 3 + places[:, 1] // 16
        for label in range(18):
            assert set(area[labels == label].tolist()) == set(homes[label].tolist())
    homes, others = (canvas_module.homes(coverage=3, seed=seed) for seed in (0, 1))
    assert not torch.equal(homes, others) and torch.equal(homes, canvas_module.homes(coverage=3))
    assert len(homes[:, 1:].unique()) == 9  # any area may be another's second


@pytest.mark.parametrize("coverage", [0, 10])
def test_a_coverage_of_no_area_or_too_many_is_refused(coverage):
    with pytest.raises(PlaceError, match=f"coverage from 1 to 9 areas, found {coverage}"):
        Canvas(64, 16).by_area(coverage=coverage)


@pytest.mark.parametrize("areas", [12, 4])  # more than places; 2 + 2 + 2 + 2 and 3 left over
def test_areas_that_do_not_divide_the_places_are_refused(areas):
    with pytest.raises(
        PlaceError, match=f"{areas} x {areas} areas do not divide the 11 x 11 places"
    ):
        Canvas(16, 6).by_area(areas)
    for whole in (1, 2, 5, 11):
        Canvas(16, 6).by_area(whole)


@pytest.mark.parametrize(
    "given", [{"areas": 0}, {"areas": 1.5}, {"per_area": 0}, {"coverage": 2.0}]
)
def test_numbers_of_areas_and_classes_are_whole(given):
    (name, value), *_ = given.items()
    with pytest.raises(PlaceError, match=rf"{name} to be a whole number from 1, found {value!r}$"):
        Canvas(64, 16).by_area(**given)


def test_the_bench_grid():
    canvas = Canvas(64, 16)
    grid = canvas.test_grid()
    assert grid == (0, 3, 5, 8, 11, 13, 16, 19, 21, 24, 27, 29, 32, 35, 37, 40, 43, 45, 48)
    assert canvas.leftmost_centred == (24, 0) and 24 in grid
    areas = canvas.by_area().places(torch.tensor([0, 17]).repeat(2000), seeded())
    assert areas.min() == 0 and areas.max() == 47


# Rendering


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("background", [0, 77])
def test_rendering_equals_pasting(noise, channels, background):
    items = noise(9, size=(5, 7), channels=channels)
    canvas = Canvas((20, 31), item=(5, 7), background=background)
    places = canvas.fully_translated().places(items.labels, seeded())
    drawn = canvas.render(items.images, places)
    expected = paste(items.images, places, (20, 31), background)
    assert drawn.dtype == torch.float32
    assert torch.equal((drawn * 255).round().to(torch.uint8), expected)
    assert (drawn - expected / 255).abs().max() < 1e-6
    # The comparison can fail: the same places with rows and columns changed over.
    swapped = paste(items.images, places.flip(1), (20, 31), background)
    assert not torch.equal((drawn * 255).round().to(torch.uint8), swapped)


def test_one_place_for_all_equals_a_place_for_each(noise):
    items = noise(4, channels=3)
    canvas = Canvas(11, 6, background=(9, 0, 200), mean=(0.1, 0.2, 0.3), std=(1.0, 0.5, 0.25))
    assert torch.equal(
        canvas.render(items.images, (4, 1)),
        canvas.render(items.images, torch.tensor([[4, 1]] * 4)),
    )


def test_pixels_and_background_are_normalised_by_channel():
    canvas = Canvas(3, 1, background=(0, 255, 51), mean=(0.5, 0.5, 0.1), std=(0.5, 0.25, 0.1))
    seen = canvas.render(torch.full((1, 3, 1, 1), 102, dtype=torch.uint8), (1, 2))[0]
    assert seen[:, 1, 2].tolist() == pytest.approx([-0.2, -0.4, 3.0], abs=1e-6)
    assert seen[:, 0, 0].tolist() == pytest.approx([-1.0, 2.0, 1.0], abs=1e-6)


@st.composite
def canvases(draw):
    size = draw(st.tuples(*[st.integers(1, 24)] * 2))
    item = tuple(draw(st.integers(1, side)) for side in size)
    return Canvas(size, item)


@given(canvases(), st.integers(0, 2**31), st.integers(1, 5))
@settings(max_examples=50, deadline=None)
def test_no_pixel_is_lost_and_every_place_is_legal(canvas, seed, n):
    images = torch.randint(0, 256, (n, 1, *canvas.item), generator=seeded(seed), dtype=torch.uint8)
    labels = torch.arange(n)
    placements = [canvas.one_location(), canvas.one_location(canvas.last)]
    placements.append(canvas.fully_translated())
    for areas in (2, 3):
        if all(last >= areas - 1 and (last + 1) % areas < 2 for last in canvas.last):
            placements.append(canvas.by_area(areas, per_area=5))
    for placement in placements:
        places = placement.places(labels, seeded(seed))
        assert places.dtype == torch.int64 and places.shape == (n, 2)
        assert (places >= 0).all() and (places <= torch.tensor(canvas.last)).all()
        drawn = placement.draw(images, labels, seeded(seed))
        assert drawn.shape == (n, 1, *canvas.size)
        sums = (drawn.double() * 255).round().sum((1, 2, 3))
        assert torch.equal(sums, images.double().sum((1, 2, 3)))


def test_fully_translated_draws_every_place_alike():
    canvas = Canvas(5, (4, 3))  # 2 x 3 places
    places = canvas.fully_translated().places(torch.zeros(6000), seeded())
    counts = torch.zeros(2, 3).index_put_(tuple(places.T), torch.ones(6000), accumulate=True)
    assert (counts - 1000).abs().max() < 5 * 1000**0.5
    again = canvas.fully_translated().places(torch.zeros(6000), seeded())
    assert torch.equal(places, again)


def test_statistics_are_those_of_drawn_canvases(noise):
    items = noise(200, size=8, channels=3)
    plain = Canvas(20, 8, background=(30, 0, 200))
    mean, std = plain.statistics(items)
    drawn = plain.fully_translated().draw(items.images, items.labels, seeded()).double()
    assert mean == pytest.approx(drawn.mean((0, 2, 3)).tolist(), abs=1e-6)
    assert std == pytest.approx(drawn.std((0, 2, 3), correction=0).tolist(), abs=1e-6)
    scaled = Canvas(20, 8, background=(30, 0, 200), mean=mean, std=std)
    normal = scaled.fully_translated().draw(items.images, items.labels, seeded())
    assert normal.mean((0, 2, 3)).abs().max() < 1e-4
    assert (normal.std((0, 2, 3)) - 1).abs().max() < 1e-3


# Bad input


@pytest.mark.parametrize("item", [65, (10, 65), 0])
def test_an_item_that_does_not_fit_is_refused(item):
    with pytest.raises(PlaceError, match=r"does not fit a canvas of 64 x 64"):
        Canvas(64, item)


@pytest.mark.parametrize("place", [(-1, 0), (0, -1), (11, 0), (0, 11)])
def test_a_place_off_the_canvas_is_refused(noise, place):
    canvas, items = Canvas(16, 6), noise(2)
    message = re.escape(f"place {place} is off the canvas; rows are 0 to 10, columns 0 to 10")
    for attempt in (
        lambda: canvas.one_location(place),
        lambda: canvas.render(items.images, place),
        lambda: canvas.render(items.images, torch.tensor([(5, 5), place])),
    ):
        with pytest.raises(PlaceError, match=message):
            attempt()


def test_items_of_another_size_are_refused(noise):
    with pytest.raises(PlaceError, match="expected items of 6 x 6 pixels, found 5 x 7"):
        Canvas(16, 6).render(noise(2, size=(5, 7)).images, (0, 0))


def test_more_classes_than_areas_are_refused():
    with pytest.raises(PlaceError, match="labels up to 17, found 18"):
        Canvas(64, 16).by_area().places(torch.tensor([0, 18]), None)


def test_a_mean_for_other_channels_is_refused(noise):
    with pytest.raises(ValueError, match="mean has 3 values, the items have 1 channels"):
        Canvas(16, 6, mean=(0.0, 0.0, 0.0)).render(noise(2).images, (0, 0))


def test_a_grid_has_an_axis():
    canvas = Canvas((16, 20), (6, 4))
    assert canvas.test_grid(3) == (0, 5, 10) and canvas.test_grid(3, axis=1) == (0, 8, 16)


def test_items_that_would_be_distorted_are_refused(noise):
    items = replace(noise(2), images=noise(2).images[:, :, :4])
    for canvas in (Canvas(16, 6), Canvas(16, (6, 4))):
        with pytest.raises(DataError, match=r"of 4 x 6 pixels, which .* use items.square\(\)"):
            canvas.prepare(items)
    assert Canvas(16, (4, 6)).prepare(items) is items
    assert Canvas(16, (2, 3)).prepare(items).images.shape == (2, 1, 2, 3)
    square = items.square(fill=9).images
    assert square.shape == (2, 1, 6, 6) and torch.equal(square[:, :, 1:5], items.images)
    assert (square[:, :, 0] == 9).all() and (square[:, :, 5] == 9).all()


@pytest.mark.parametrize("place", [24, (24, 0, 0), (0.5, 0), "ab"])
def test_what_is_no_place_is_refused(place):
    with pytest.raises(PlaceError, match="expected a place .* of whole numbers, found"):
        Canvas(64, 16).legal_place(place)
    assert Canvas(64, 16).legal_place(np.array([24, 0])) == (24, 0)


def test_what_is_no_set_of_items_is_refused():
    with pytest.raises(TypeError, match="expected items as from invlib.load, found str"):
        Canvas(64, 16).prepare("digits")


def test_a_canvas_says_what_it_is():
    assert repr(Canvas(64, (16, 8))) == "<Canvas of 64 x 64 pixels for items of 16 x 8>"
    coloured = Canvas(64, 16, torch.zeros(3, 64, 64), mean=(0.5, 0.4, 0.3), std=0.5)
    assert repr(coloured) == (
        "<Canvas of 64 x 64 pixels for items of 16 x 16, background a picture, "
        "mean (0.5, 0.4, 0.3), std 0.5>"
    )


# Nonsense


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"std": 0}, "expected std as finite numbers above 0, found 0"),
        ({"std": (0.5, 0.0)}, r"expected std as finite numbers above 0, found \(0.5, 0.0\)"),
        ({"std": -1.0}, "expected std as finite numbers above 0, found -1.0"),
        ({"std": np.nan}, "expected std as finite numbers above 0, found nan"),
        ({"std": np.inf}, "expected std as finite numbers above 0, found inf"),
        ({"mean": (0.5, np.nan, 0)}, r"expected mean as finite numbers, found \(0.5, nan, 0\)"),
        ({"mean": -np.inf}, "expected mean as finite numbers, found -inf"),
        ({"mean": None}, "expected mean as finite numbers, found None"),
        ({"background": np.nan}, "expected background as finite numbers, found nan"),
        ({"background": "red"}, "expected background as finite numbers, found red"),
    ],
)
def test_colours_and_scales_are_finite_numbers(given, words):
    with pytest.raises(ValueError, match=f"^{words}$"):
        Canvas(12, 6, **given)


@pytest.mark.parametrize("size", [12.5, (12, 12.5), (12,), (12, 12, 12), "12", None, True])
def test_sizes_are_whole_pixels(size):
    with pytest.raises(
        PlaceError, match="a size in whole pixels .* found " + re.escape(repr(size))
    ):
        Canvas(size, 6)
    with pytest.raises(PlaceError, match="an item in whole pixels or"):
        Canvas(12, size)
    assert Canvas(np.int64(12), (6, np.int32(5))).last == (6, 7)


@pytest.mark.parametrize("steps", [0, -3, 2.5])
def test_a_test_grid_has_a_whole_number_of_steps(steps):
    with pytest.raises(PlaceError, match=f"steps to be a whole number from 1, found {steps}"):
        PAPER.test_grid(steps)
    with pytest.raises(PlaceError, match=r"axis 0 \(rows\) or 1 \(columns\), found 2"):
        PAPER.test_grid(axis=2)


def test_more_steps_than_places_are_all_of_them_and_cost_nothing():
    for steps in (6, 7, 8, 10**15):
        assert Canvas(12, 6).test_grid(steps) == (
            (0, 1, 2, 4, 5, 6) if steps == 6 else (*range(7),)
        )


@pytest.mark.parametrize(
    "places", [torch.zeros(2, 2), torch.full((2, 2), 0.5), torch.zeros(2, 2, dtype=torch.bool)]
)
def test_places_are_whole_numbers(places):
    images = torch.zeros(2, 1, 6, 6, dtype=torch.uint8)
    with pytest.raises(PlaceError, match=rf"as int64 \(2, 2\), found {places.dtype}"):
        Canvas(12, 6).render(images, places)
    for place in ((0.5, 0), None, [[0, 0], [0, 0]]):
        with pytest.raises(PlaceError, match=r"a place \(row, column\) of whole numbers, found"):
            Canvas(12, 6).render(images, place)
