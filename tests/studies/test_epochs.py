"""Training by epochs: which network is chosen, and when it ends."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from invlib.data.canvas import Canvas
from invlib.data.items import ItemSet
from invlib.studies import epochs
from invlib.studies.epochs import Epochs, Split, accuracy, fit_epochs

CANVAS = Canvas(4, item=2)
MIDDLE = CANVAS.one_location((1, 1))


def items(n, seed=0):
    """Bright and dark items."""
    labels = torch.arange(n) % 2
    images = torch.randint(0, 40, (n, 1, 2, 2), generator=torch.Generator().manual_seed(seed))
    return ItemSet(
        (images + 200 * labels.view(-1, 1, 1, 1)).byte(), labels, ("dark", "bright"), "x"
    )


SPLIT = Split(items(64, 1), items(20, 2), items(30, 3))


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 2))


def test_an_easy_set_is_learnt_and_the_best_network_kept():
    model = network()
    trained = fit_epochs(model, MIDDLE, MIDDLE, SPLIT, Epochs(0.1, epochs=5, batch_size=8), 0)
    assert (trained.outcome, trained.epochs) == ("epochs", 5)
    assert trained.train == trained.validation == trained.test == 1
    assert accuracy(model, MIDDLE, SPLIT.test) == 1
    x = CANVAS.render(SPLIT.test.images, (1, 1))
    assert torch.equal(model(x).argmax(1), SPLIT.test.labels)


def test_no_epochs_leave_the_network_as_it_is():
    model, before = network(), network().state_dict()
    trained = fit_epochs(model, MIDDLE, MIDDLE, SPLIT, Epochs(0.1, epochs=0), 0)
    assert (trained.outcome, trained.epochs, trained.chosen) == ("untrained", 0, 0)
    assert all(torch.equal(each, before[name]) for name, each in model.state_dict().items())
    assert trained.test == accuracy(network(), MIDDLE, SPLIT.test)


def test_the_seed_alone_decides():
    def weights(seed):
        model = network()
        recipe = Epochs(0.01, epochs=2, batch_size=8)
        fit_epochs(model, CANVAS.fully_translated(), MIDDLE, SPLIT, recipe, seed)
        return model[1].weight

    assert torch.equal(weights(1), weights(1)) and not torch.equal(weights(1), weights(2))


class Told:
    """Stands for ``accuracy``; gives what it is told, check by check.

    Where a pair is told of the training items, it is that of the first of them and that of all.
    """

    def __init__(self, validation, train):
        self.told, self.last = iter(zip(validation, train, strict=True)), (0.0, 0.0)

    def __call__(self, model, still, given):
        if given is SPLIT.validation:
            self.last = next(self.told, self.last)
            return self.last[0]
        return np.broadcast_to(self.last[1], 2)[int(given is SPLIT.train)]


@pytest.mark.parametrize(
    ("validation", "train", "chosen"),
    [
        ((0.5, 0.9, 0.8), (1.0, 1.0, 1.0), 2),
        ((0.9, 0.9, 0.9), (1.0, 1.0, 1.0), 1),  # the first of the best
        ((0.5, 0.9, 0.8), (1.0, 0.98, 0.99), 3),  # not before it has learnt its items
        ((0.5, 0.9, 0.8), (0.5, 0.6, 0.7), 2),  # unless it never has
        ((0.5, 0.9, 0.8), (1.0, (1.0, 0.98), 1.0), 3),  # all of them
        ((0.5, 0.9, 0.8), (1.0, (0.98, 1.0), 1.0), 3),
    ],
)
def test_the_best_on_validation_among_those_that_learnt_is_chosen(
    monkeypatch, validation, train, chosen
):
    monkeypatch.setattr(epochs, "accuracy", Told(validation, train))
    model, states = network(), []
    recipe = Epochs(0.1, epochs=3, batch_size=64)  # an epoch is one step
    wrapped = nn.Sequential(OrderedDict(inner=model))
    step = torch.optim.Adam.step

    def seen(self, *given, **more):
        out = step(self, *given, **more)
        states.append(model[1].weight.detach().clone())
        return out

    monkeypatch.setattr(torch.optim.Adam, "step", seen)
    trained = fit_epochs(wrapped, MIDDLE, MIDDLE, SPLIT, recipe, 0)
    assert trained.chosen == chosen and trained.epochs == 3
    assert torch.equal(model[1].weight, states[chosen - 1])
    assert not torch.equal(states[0], states[1])


def test_a_target_ends_it_at_the_first_check_that_reaches_it(monkeypatch):
    # The one that reaches it knows its own items less well than the one before.
    monkeypatch.setattr(epochs, "accuracy", Told((0.5, 0.7, 0.8, 0.9), (1.0, 1.0, 0.9, 1.0)))
    recipe = Epochs(0.1, epochs=2, batch_size=8, checks=4, target=0.75)
    trained = fit_epochs(network(), MIDDLE, MIDDLE, SPLIT, recipe, 0)
    # 8 steps an epoch: a check after every second.
    assert (trained.outcome, trained.epochs, trained.chosen) == ("reached", 0.75, 0.75)


def test_the_rate_falls_to_nothing_as_half_a_cosine_wave(monkeypatch):
    rates = []
    step = torch.optim.Adam.step

    def seen(self, *given, **more):
        rates.append(self.param_groups[0]["lr"])
        return step(self, *given, **more)

    monkeypatch.setattr(torch.optim.Adam, "step", seen)
    fit_epochs(network(), MIDDLE, MIDDLE, SPLIT, Epochs(0.1, epochs=2, batch_size=16), 0)
    assert np.allclose(rates, 0.05 * (1 + np.cos(np.pi * np.arange(8) / 8)))


def test_a_loss_that_is_not_finite_ends_it_and_the_last_good_network_is_kept():
    model = network()
    recipe = Epochs(1e38, epochs=3, batch_size=8)
    trained = fit_epochs(model, MIDDLE, MIDDLE, SPLIT, recipe, 0)
    assert trained.outcome == "diverged" and trained.epochs == 1
    assert all(each.isfinite().all() for each in model.state_dict().values())
