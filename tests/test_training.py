"""The training loop: against a plain loop, its stopping rule, and how it fails."""

import math
import warnings
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from invlib import training
from invlib.data.canvas import Canvas
from invlib.devices import seeded
from invlib.models import VGG, VGGTable
from invlib.training import Recipe, TrainingWarning, balanced, fit

CANVAS = Canvas(12, 6, std=0.5)


class Linear(nn.Module):
    """The smallest network: one linear layer on all pixels, all weights at ``start``."""

    def __init__(self, classes=2, start=0.0, bias=True, size=12):
        super().__init__()
        self.layer = nn.Linear(size**2, classes, bias=bias)
        for parameter in self.parameters():
            nn.init.constant_(parameter, start)

    def forward(self, x):
        return self.layer(x.flatten(1))


class Knows(nn.Module):
    """Right about ``halves`` from the start; its one weight does nothing."""

    def __init__(self):
        super().__init__()
        self.nothing = nn.Parameter(torch.zeros(()))

    def forward(self, x):
        half = x.shape[3] // 2
        left = x[..., : half // 2].sum((1, 2, 3)) > x[..., half // 2 : half].sum((1, 2, 3))
        return torch.stack([left, ~left], 1) * 4.0 + self.nothing


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def tiny(seed=0):
    with seeded(seed):
        return VGG(VGGTable((4, "M", 8, "M"), map=3, hidden=16, channels=1), 2)


# The loop


def test_a_seed_decides_the_training_and_nothing_else(halves):
    trained = {}
    for run, seed in (("first", 1), ("again", 1), ("other", 2)):
        torch.manual_seed(len(trained))
        before = torch.get_rng_state()
        model = tiny()
        fit(model, CANVAS, halves, CANVAS.fully_translated(), Recipe(steps=8, batch_size=6), seed)
        trained[run] = weights(model)
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(trained["first"], trained["again"])
    assert not torch.equal(trained["first"], trained["other"])


def test_fit_equals_a_plain_loop(noise):
    items, placement = noise(30, 3), CANVAS.fully_translated()
    recipe = Recipe(
        steps=12, batch_size=8, learning_rate=0.01, warmup=4, target_accuracy=None, window=5
    )
    ours = Linear(3)
    record = fit(ours, CANVAS, items, placement, recipe, seed=3)

    plain, right = Linear(3), []
    optimiser = torch.optim.Adam(plain.parameters())
    generator, sample = torch.Generator().manual_seed(3), balanced(items.labels)
    for step in range(12):
        index = sample(8, generator)
        x = placement.draw(items.images[index], items.labels[index], generator)
        logits = plain(x.contiguous())
        optimiser.param_groups[0]["lr"] = 0.01 * min(1, (step + 1) / 4)
        optimiser.zero_grad()
        nn.functional.cross_entropy(logits, items.labels[index]).backward()
        optimiser.step()
        right.append((logits.argmax(1) == items.labels[index]).double().mean())
    assert (weights(ours) - weights(plain)).abs().max() < 1e-5
    assert record.accuracy == pytest.approx(float(sum(right[-5:]) / 5))
    assert (record.outcome, record.steps, record.precision) == ("steps", 12, "float32")
    assert record.recipe == recipe


def test_gradients_add_up_over_chunks(halves, monkeypatch):
    recipe, trained, calls = (
        Recipe(steps=6, batch_size=10, learning_rate=0.01, target_accuracy=None),
        [],
        [],
    )
    for size in (10, 3, 1):
        monkeypatch.setattr(training, "chunk_size", lambda canvas, device, size=size: size)
        model = Linear()
        model.register_forward_hook(lambda m, x, y: calls.append(len(x[0])) if m.training else None)
        fit(model, CANVAS, halves, CANVAS.one_location(), recipe)
        trained.append(weights(model))
    assert calls == [10] * 6 + [3, 3, 3, 1] * 6 + [1] * 60
    for other in trained[1:]:
        assert (other - trained[0]).abs().max() < 1e-5


def test_items_of_another_size_are_resized_for_a_placement(halves, noise):
    seen = []
    model = Linear()
    model.register_forward_hook(lambda m, x, y: seen.append((x[0] > 0).flatten(1).sum(1).max()))
    bright = replace(halves, images=torch.full((20, 1, 9, 9), 255, dtype=torch.uint8))
    fit(model, CANVAS, bright, CANVAS.one_location(), Recipe(steps=2, batch_size=4))
    assert {int(each) for each in seen} == {36}


@pytest.mark.parametrize(("warmup", "expected"), [(0, 0.1), (10, 0.01), (1, 0.1)])
def test_the_first_step_of_the_warm_up(halves, warmup, expected):
    # Adam's first step changes every weight that matters by the learning rate.
    model = Linear()
    fit(
        model,
        CANVAS,
        halves,
        CANVAS.one_location(),
        Recipe(steps=1, learning_rate=0.1, warmup=warmup),
    )
    assert float(weights(model).abs().max()) == pytest.approx(expected, rel=1e-3)


# The stopping rule


@pytest.mark.parametrize(("window", "hold"), [(5, 0), (5, 7), (1, 0), (1, 3)])
def test_it_stops_when_the_goal_is_held(halves, window, hold):
    recipe = Recipe(
        steps=100, batch_size=4, learning_rate=0.0, target_accuracy=1.0, window=window, hold=hold
    )
    record = fit(Knows(), CANVAS, halves, CANVAS.one_location(), recipe)
    assert (record.outcome, record.steps, record.accuracy) == ("reached", window + hold, 1.0)


def test_without_a_goal_all_steps_are_done(halves):
    recipe = Recipe(steps=9, batch_size=4, learning_rate=0.0, target_accuracy=None, window=2)
    record = fit(Knows(), CANVAS, halves, CANVAS.one_location(), recipe)
    assert (record.outcome, record.steps, record.accuracy) == ("steps", 9, 1.0)


def test_a_goal_out_of_reach_takes_all_steps(halves):
    recipe = Recipe(steps=20, batch_size=4, learning_rate=0.0, target_accuracy=0.9, window=2)
    record = fit(Linear(), CANVAS, halves, CANVAS.one_location(), recipe)
    assert (record.outcome, record.steps) == ("steps", 20) and record.accuracy < 0.9


def test_a_small_network_reaches_its_goal_at_one_place(halves):
    recipe = Recipe(
        steps=600, batch_size=16, learning_rate=0.01, target_accuracy=0.95, window=10, patience=500
    )
    model = tiny()
    record = fit(model, CANVAS, halves, CANVAS.one_location(), recipe)
    assert record.outcome == "reached" and record.accuracy >= 0.95
    drawn = CANVAS.render(halves.images, CANVAS.leftmost_centred)
    assert torch.equal(model.eval()(drawn).argmax(1), halves.labels)


# How it fails


def test_a_training_that_stays_at_chance_has_collapsed(halves):
    recipe = Recipe(steps=100, batch_size=4, patience=13)
    black = replace(halves, images=halves.images * 0)
    record = fit(Linear(bias=False), CANVAS, black, CANVAS.one_location(), recipe)
    assert (record.outcome, record.steps) == ("collapsed", 13)


def test_a_training_that_gets_off_chance_has_not_collapsed(halves):
    recipe = Recipe(steps=60, batch_size=4, learning_rate=0.01, patience=13, target_accuracy=None)
    assert fit(Linear(), CANVAS, halves, CANVAS.one_location(), recipe).outcome == "steps"


def test_only_steps_at_chance_on_end_count_as_collapse(halves):
    class Wavers(Knows):
        """Right at every other batch, without an opinion at the others."""

        calls = 0

        def forward(self, x):
            self.calls += 1
            return super().forward(x) * (self.calls % 2)

    recipe = Recipe(
        steps=30, batch_size=4, learning_rate=0.0, target_accuracy=None, window=1, patience=2
    )
    assert fit(Wavers(), CANVAS, halves, CANVAS.one_location(), recipe).outcome == "steps"


@pytest.mark.parametrize(
    ("model", "rate", "steps"),
    [(lambda: Linear(start=math.nan), 0.001, 1), (lambda: Linear(), 1e38, 2)],
)
def test_a_loss_that_is_not_finite_has_diverged(halves, model, rate, steps):
    recipe = Recipe(steps=50, batch_size=4, learning_rate=rate)
    record = fit(model(), CANVAS, halves, CANVAS.one_location(), recipe)
    assert record.outcome == "diverged" and record.steps == steps


def test_a_rate_of_a_million_ruins_a_deep_network(halves):
    recipe = Recipe(steps=200, batch_size=8, learning_rate=1e6, patience=30)
    record = fit(tiny(), CANVAS, halves, CANVAS.one_location(), recipe)
    assert record.outcome in ("collapsed", "diverged") and record.steps < 200


def test_batch_statistics_are_of_the_whole_batch(halves, monkeypatch):
    monkeypatch.setattr(training, "chunk_size", lambda canvas, device: 1)  # refused by BatchNorm
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(144, 2))
    fit(
        model,
        CANVAS,
        halves,
        CANVAS.one_location(),
        Recipe(steps=3, batch_size=8, target_accuracy=None),
    )
    assert model[0].num_batches_tracked == 3


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_the_precision_is_that_of_the_recipe_on_any_machine(halves, precision):
    seen = []
    model = Linear()
    model.layer.register_forward_hook(lambda m, x, y: seen.append(y.dtype))
    recipe = Recipe(steps=1, batch_size=4, precision=precision)
    record = fit(model, CANVAS, halves, CANVAS.one_location(), recipe)
    assert record.precision == precision and seen[-1] == getattr(torch, precision)


def test_an_unknown_precision_is_refused():
    with pytest.raises(ValueError, match="precision must be float32 or bfloat16, not 'float16'"):
        Recipe(precision="float16")


@pytest.mark.parametrize(("chance", "outcome"), [(0.99, "collapsed"), (1.01, "steps")])
def test_what_counts_as_chance_level_is_a_setting(halves, chance, outcome):
    recipe = Recipe(steps=9, batch_size=4, learning_rate=0.0, patience=5, chance=chance)
    assert fit(Linear(), CANVAS, halves, CANVAS.one_location(), recipe).outcome == outcome


def test_fewer_outputs_than_classes_are_refused(halves):
    with pytest.raises(ValueError, match="has 2 classes, the model gives 1 logits"):
        fit(Linear(classes=1), CANVAS, halves, CANVAS.one_location())


# Sampling


def test_classes_are_drawn_alike_and_items_alike_within():
    labels = torch.tensor([0] * 2 + [1] * 10 + [2] * 40)[torch.randperm(52)]
    index = balanced(labels)(30_000, torch.Generator().manual_seed(0))
    drawn = torch.bincount(labels[index])
    assert (drawn - 10_000).abs().max() < 5 * (30_000 * 2 / 9) ** 0.5
    each = torch.bincount(index, minlength=52)
    for label, count in ((0, 2), (1, 10), (2, 40)):
        expected = 10_000 / count
        assert (each[labels == label] - expected).abs().max() < 6 * expected**0.5


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(0, 2**31))
@settings(max_examples=50, deadline=None)
def test_every_index_is_an_item_and_no_class_is_left_out(labels, seed):
    labels = torch.tensor(labels)
    index = balanced(labels)(400, torch.Generator().manual_seed(seed))
    assert index.min() >= 0 and index.max() < len(labels)
    assert set(labels[index].tolist()) == set(labels.tolist())


# What a training that is not what it seems says


@pytest.mark.parametrize(
    ("model", "changes", "words"),
    [
        (Linear(), {"steps": 3}, "halves ended after all 3 steps at .* its target is 95%"),
        (Linear(), {"patience": 2, "learning_rate": 0.0}, "stayed at chance level for 2 steps"),
        (Linear(start=math.nan), {}, "diverged: its loss is not finite after 1 steps"),
    ],
)
def test_a_training_that_misses_its_target_says_why(halves, model, changes, words):
    with pytest.warns(TrainingWarning, match=words):
        fit(model, CANVAS, halves, CANVAS.one_location(), Recipe(**changes, batch_size=4))


class Unsettled(Knows):
    """Right while it is trained, always of one opinion when it is evaluated."""

    def __init__(self, norm):
        super().__init__()
        self.norm = nn.BatchNorm2d(1) if norm else nn.Identity()

    def forward(self, x):
        return super().forward(x + 0 * self.norm(x)) * (1.0 if self.training else 0.0)


@pytest.mark.parametrize("norm", [False, True])
def test_who_knows_less_when_evaluated_is_not_passed_over(halves, norm):
    recipe = Recipe(batch_size=10, window=2)
    words = "evaluation mode the network knows (4|5)[0-9]% of 100 samples of halves, 100% while"
    with pytest.warns(TrainingWarning, match=words) as seen:
        fit(Unsettled(norm), CANVAS, halves, CANVAS.one_location(), recipe)
    assert ("BatchNorm" in str(seen[0].message)) == norm and len(seen) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fit(Knows(), CANVAS, halves, CANVAS.one_location(), recipe)


def test_a_network_keeps_the_order_of_its_weights_in_memory(halves):
    class Viewed(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.second = nn.Conv2d(1, 4, 3), nn.Conv2d(4, 4, 3)
            self.head = nn.Linear(4 * 64, 2)

        def forward(self, x):
            x = self.second(self.first(x))
            return self.head(x.view(x.size(0), -1))

    model = Viewed()
    fit(model, CANVAS, halves, CANVAS.one_location(), Recipe(steps=2, batch_size=4))
    assert model(torch.rand(2, 1, 12, 12)).shape == (2, 2)  # a view fails behind channels last
    model.to(memory_format=torch.channels_last)
    fit(model, CANVAS, halves, CANVAS.one_location(), Recipe(steps=2, batch_size=4))
    assert model.second.weight.is_contiguous(memory_format=torch.channels_last)


def test_a_network_in_double_precision_is_trained_to_the_end(halves):
    recipe = Recipe(steps=2, batch_size=4)
    model = Linear().double()
    assert fit(model, CANVAS, halves, CANVAS.one_location(), recipe).steps == 2


def test_what_is_no_placement_and_a_frozen_network_are_refused(halves):
    for wrong in ((0, 0), CANVAS.one_location):
        with pytest.raises(TypeError, match=r"a placement such as canvas.one_location\(\), found"):
            fit(Linear(), CANVAS, halves, wrong)
    with pytest.raises(ValueError, match="nothing to train"):
        fit(Linear().requires_grad_(False), CANVAS, halves, CANVAS.one_location())


@pytest.mark.parametrize(
    "wrong",
    [
        {"steps": -1}, {"steps": 2.5}, {"batch_size": 0}, {"window": 0}, {"warmup": -1},
        {"hold": -1}, {"patience": 0},
    ],
)  # fmt: skip
def test_a_recipe_counts_in_whole_numbers(wrong):
    (name,) = wrong
    with pytest.raises(
        ValueError, match=f"{name} must be at least [01] and whole, not {wrong[name]}"
    ):
        Recipe(**wrong)


@pytest.mark.parametrize("name", ["learning_rate", "target_accuracy", "chance"])
@pytest.mark.parametrize("value", [-0.1, math.nan, math.inf])
def test_rates_of_a_recipe_are_finite_numbers(name, value):
    with pytest.raises(ValueError, match=f"{name} must be a finite number from 0, not {value}"):
        Recipe(**{name: value})
