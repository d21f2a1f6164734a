"""Accuracy maps, against one canvas at a time."""

import numpy as np
import pytest
import torch
from torch import nn

from invlib.data.canvas import Canvas, PlaceError
from invlib.measure.accuracy import accuracy_map, answers
from invlib.measure.cosine import cosine_by_displacement
from invlib.training import Recipe, fit

CANVAS = Canvas(12, 6, std=0.5)


class Random(nn.Module):
    """One linear layer with random weights."""

    def __init__(self, classes, channels=1, size=12):
        super().__init__()
        torch.manual_seed(0)
        self.layer = nn.Linear(channels * size**2, classes, bias=False)

    def forward(self, x):
        return self.layer(x.flatten(1))


class Upper(nn.Module):
    """Says class 0 of items in the upper rows, class 1 of all others."""

    def forward(self, x):
        upper = x[:, :, :6].sum((1, 2, 3)) == x.sum((1, 2, 3))
        return torch.stack([upper, ~upper], 1).float()


@pytest.mark.parametrize("channels", [1, 3])
def test_a_map_equals_one_canvas_at_a_time(noise, channels):
    items, model = noise(25, 5, channels=channels), Random(5, channels)
    rows, columns = (0, 3, 6), (1, 4)
    expected = np.zeros((3, 2))
    for i, row in enumerate(rows):
        for j, column in enumerate(columns):
            for image, label in zip(items.images, items.labels, strict=True):
                canvas = torch.zeros(1, channels, 12, 12)
                canvas[0, :, row : row + 6, column : column + 6] = image / 255 / 0.5
                expected[i, j] += (model(canvas).argmax() == label) / 25
    found = accuracy_map(model, CANVAS, items, rows, columns, place=(3, 1))
    assert (found.rows, found.columns, found.place) == (rows, columns, (3, 1))
    assert (found.item, found.classes, found.set) == ((6, 6), 5, "noise")
    assert found.dtype == np.float64 and np.allclose(found, expected, atol=1e-12)
    assert len(np.unique(found)) > 2  # the test can fail
    for batch in (1, 7, 1000):
        assert np.array_equal(found, accuracy_map(model, CANVAS, items, rows, columns, batch))


def test_rows_come_first(noise):
    known = answers(Upper(), CANVAS, noise(4).take(torch.tensor([0, 2, 1])), (0, 6), (0, 3, 6))
    assert known[0].tolist() == [[True, True, False]] * 3  # in the upper row all are class 0
    assert known[1].tolist() == [[False, False, True]] * 3


def test_each_axis_has_its_own_grid_where_the_canvas_is_not_square(noise):
    canvas = Canvas((12, 20), 6)
    found = accuracy_map(Upper(), canvas, noise(2))
    assert (found.rows, found.columns) == (tuple(range(7)), tuple(range(15)))
    assert accuracy_map(Upper(), canvas, noise(2), (0, 5), (1, 14)).shape == (2, 2)
    with pytest.raises(PlaceError, match="7 legal rows and 15 columns: expected columns, too"):
        accuracy_map(Upper(), canvas, noise(2), (0, 5))


def test_items_of_another_size_are_resized(noise):
    items = noise(20, 4, size=9)
    found = accuracy_map(Random(4), CANVAS, items, (0, 3, 6))
    assert np.array_equal(found, accuracy_map(Random(4), CANVAS, items.resized((6, 6)), (0, 3, 6)))


def test_the_grid_is_19_by_19_unless_told(noise):
    found = accuracy_map(Upper(), Canvas(64, 6), noise(2))
    assert found.shape == (19, 19)
    assert accuracy_map(Upper(), CANVAS, noise(2), (0, 5)).shape == (2, 2)


@pytest.mark.parametrize("training", [True, False])
def test_the_network_is_measured_in_evaluation_mode_and_left_as_it_was(noise, training):
    model = nn.Sequential(nn.Dropout(1.0), nn.Flatten(), nn.Linear(144, 2)).train(training)
    nn.init.constant_(model[2].weight, 0.0)
    with torch.no_grad():
        model[2].weight[0], model[2].weight[1] = 1.0, -1.0
        model[2].bias.copy_(torch.tensor([0.0, 1.0]))  # decides where dropout blanks everything
    known = answers(model, CANVAS, noise(2), (0, 6), (0,))
    assert known[:, 0].tolist() == [[True, False]] * 2
    assert model.training is training


def test_the_precision_of_a_map_is_asked_for(noise):
    seen, model = [], Random(2)
    model.layer.register_forward_hook(lambda m, x, y: seen.append(y.dtype))
    for precision in ("float32", "bfloat16"):
        accuracy_map(model, CANVAS, noise(2), (0,), precision=precision)
        assert seen[-1] == getattr(torch, precision)
    with pytest.raises(ValueError, match="precision must be float32 or bfloat16, not 'half'"):
        accuracy_map(model, CANVAS, noise(2), (0,), precision="half")


def test_a_network_with_too_few_outputs_is_refused(noise):
    model = Random(2).train()
    with pytest.raises(ValueError, match="noise has 3 classes, the model gives 2 logits"):
        accuracy_map(model, CANVAS, noise(6, 3), (0,))
    assert model.training


def test_more_outputs_than_classes_are_not_passed_over(noise):
    with pytest.warns(
        UserWarning, match=r"2 classes, the model gives 5 .*replace_head\(model, 2\)"
    ):
        accuracy_map(Random(5), CANVAS, noise(6), (0,))


@pytest.mark.parametrize(("given", "taken", "remedy"), [(3, 1, "grey"), (1, 3, "rgb")])
def test_items_of_other_channels_are_refused_with_the_remedy(noise, given, taken, remedy):
    model = nn.Sequential(nn.Conv2d(taken, 2, 12), nn.Flatten())
    items = noise(6, channels=given)
    words = rf"noise has {given} channels, .* takes {taken}: use items.{remedy}\(\)"
    for measure in (
        lambda: accuracy_map(model, CANVAS, items, (0,)),
        lambda: fit(model, CANVAS, items, CANVAS.one_location(), Recipe(steps=1)),
        lambda: cosine_by_displacement(model, CANVAS, items, "1"),
    ):
        with pytest.raises(ValueError, match=words):
            measure()


def test_an_error_of_the_network_itself_is_passed_on_with_what_it_was_given(noise):
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(7, 2))
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied") as raised:
        accuracy_map(model, CANVAS, noise(6), (0,))
    assert raised.value.__notes__ == ["The network was given (n, 1, 12, 12)."]


def test_classes_count_alike_however_many_items_each_has(noise):
    items = noise(10).take(torch.tensor([0, 2, 4, 6, 8, 1]))  # five of a, one of b
    always_a = nn.Sequential(nn.Flatten(), nn.Linear(144, 2))
    nn.init.zeros_(always_a[1].weight)
    always_a[1].bias.data = torch.tensor([1.0, 0.0])
    found = accuracy_map(always_a, CANVAS, items, (0, 6))
    assert np.array_equal(found, np.full((2, 2), 0.5)) and found.canvas == 0


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_logits_that_are_not_finite_give_no_accuracy(noise, value):
    broken = Random(2)
    broken.layer.weight.data[0, -1] = value
    with pytest.raises(ValueError, match="expected finite logits for noise .*, found NaN or inf"):
        accuracy_map(broken, CANVAS, noise(6), (0, 6))


class Gives(nn.Module):
    """A convolution and whatever a function makes of two logits."""

    def __init__(self, function):
        super().__init__()
        self.convolution, self.function = nn.Conv2d(1, 2, 3), function

    def forward(self, x):
        return self.function(self.convolution(x).amax((2, 3)))


@pytest.mark.parametrize("path", ["plain", "auto", "propagate"])
@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda y: (y, y), r"expected logits \(n, classes\) from the model, found tuple"),
        (lambda y: {"logits": y}, r"expected logits \(n, classes\) from the model, found dict"),
        (lambda y: None, r"expected logits \(n, classes\) from the model, found NoneType"),
        (lambda y: y[:, 0], r"expected logits \(n, classes\) from the model, found \(\d+,\)"),
        (lambda y: y[:1], r"logits \(\d+, classes\), a row .* found torch.float32 \(1, 2\)"),
        (lambda y: y > 0, r"a row of numbers for each canvas, .* found torch.bool \(\d+, 2\)"),
        (lambda y: y + 0j, r"a row of numbers for each canvas, .* found torch.complex64"),
    ],
)
def test_a_network_that_gives_something_else_than_logits_is_told_so(noise, function, words, path):
    model, items = Gives(function), noise(6)
    with pytest.raises(ValueError, match=words):
        accuracy_map(model, CANVAS, items, (0, 3), exact_path=path)
    with pytest.raises(ValueError, match=words):
        fit(model, CANVAS, items, CANVAS.one_location(), Recipe(steps=1), exact_path=path)


def test_the_trained_place_is_on_the_grid_unless_another_is_asked_for(noise):
    canvas = Canvas(64, 13)  # from 0 to 51, and 51 / 2 is rounded down
    found = accuracy_map(Random(2, size=64), canvas, noise(4, size=13))
    assert found.place == (25, 0) and 25 in found.rows and not np.isnan(found.trained)
    assert found.shape == (20, 19) and set(canvas.test_grid()) < set(found.rows)
    found = accuracy_map(Random(2, size=64), canvas, noise(4, size=13), place=[30, 7])
    assert found.place == (30, 7) and found.shape == (20, 20)


@pytest.mark.parametrize("grid", [(6, 0), (0, 0, 6), (0, 0.5), (), (0, np.nan), (0, 1e30), "05"])
def test_a_grid_that_does_not_rise_in_whole_numbers_is_refused(noise, grid):
    with pytest.raises(PlaceError, match="rows and columns as rising whole numbers, found"):
        accuracy_map(Upper(), CANVAS, noise(2), grid)


@pytest.mark.parametrize("size", [0, -1, 2.5])
def test_a_batch_of_no_canvas_is_refused(noise, size):
    with pytest.raises(ValueError, match=f"batch_size must be a whole number from 1, not {size}"):
        accuracy_map(Upper(), CANVAS, noise(2), (0,), batch_size=size)


def test_a_trained_place_off_the_canvas_is_refused(noise):
    with pytest.raises(PlaceError, match=r"place \(7, 0\) is off the canvas"):
        accuracy_map(Upper(), CANVAS, noise(2), (0,), place=(7, 0))


@pytest.mark.parametrize("measure", ["map", "fit"])
def test_what_is_no_network_and_items_of_one_class_are_refused(noise, measure):
    def measured(model, items):
        if measure == "map":
            return accuracy_map(model, CANVAS, items, (0,))
        return fit(model, CANVAS, items, CANVAS.one_location(), Recipe(steps=1))

    with pytest.raises(TypeError, match=r"a network \(torch.nn.Module\), found ellipsis"):
        measured(..., noise(4))
    with pytest.raises(ValueError, match="noise has one class: there is nothing to tell apart"):
        measured(Random(2), noise(4, 1))


@pytest.mark.parametrize("grid", [(0, 7), (-1, 0)])
def test_a_grid_that_leaves_the_canvas_is_refused(noise, grid):
    with pytest.raises(PlaceError, match="off the canvas; rows are 0 to 6"):
        accuracy_map(Upper(), CANVAS, noise(2), grid)
