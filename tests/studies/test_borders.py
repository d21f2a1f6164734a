"""Red-Green: honest splits, and those of the published generator."""

import importlib
from dataclasses import replace

import pytest
import torch

from invlib.data.red_green import red_green
from invlib.models import small

borders = importlib.import_module("invlib.studies.borders")
SMOKE = borders.STUDY.profile("smoke").conditions


def test_no_picture_is_in_two_parts_but_in_the_published_split(monkeypatch):
    seen = {}

    def trained(model, known, chooses, settings):
        seen.update(known=known, **{f"chooses {name}": each for name, each in chooses.items()})
        return {name: (1, model.state_dict()) for name in chooses}

    def judged(model, items):
        seen[f"test {len(seen)}"] = items
        return 0.0, 0.5

    monkeypatch.setattr(borders, "_trained", trained)
    monkeypatch.setattr(borders, "_judged", judged)
    settings = replace(SMOKE["same"], train=200, held=100)
    rows = borders.compute(settings, 1)
    assert [(row.split, row.set) for row in rows] == [
        ("apart", "similar"), ("apart", "dissimilar"),
        ("published", "similar"), ("published", "dissimilar"),
    ]  # fmt: skip
    tests = {name: each for name, each in seen.items() if name.startswith("test")}
    ours, moved, published, published_moved = tests.values()
    known = seen["known"]
    assert torch.equal(seen["chooses published"].images, known.images[:100])
    assert torch.equal(published.images, known.images[:100])
    assert torch.equal(published.images[0].roll(16, 1), published_moved.images[0])
    for one, other in ((known, ours), (known, seen["chooses apart"]), (ours, moved)):
        assert not torch.equal(one.images[:100], other.images)
    assert torch.equal(ours.images[1].roll(-16, 1), moved.images[1])


def test_the_network_of_least_validation_loss_is_kept():
    settings = replace(SMOKE["same"], epochs=4)
    model, known = small(classes=2), red_green(40)
    held = red_green(20, 1)
    found = borders._trained(model, known, {"apart": held, "published": known}, settings)
    losses = {}
    # Epoch by epoch: as many epochs as were asked for, each time from the same weights.
    for epochs in range(1, 5):
        model = small(classes=2)
        borders._trained(model, known, {"apart": held}, replace(settings, epochs=epochs))
        losses[epochs] = borders._judged(model, held)[0]
    epoch, state = found["apart"]
    assert losses[epoch] == min(losses.values())
    model.load_state_dict(state)
    assert borders._judged(model, held)[0] == pytest.approx(losses[epoch], abs=1e-6)


def test_the_loss_and_the_accuracy_are_means_over_pictures():
    model, items = small(classes=2), red_green(6)
    with torch.no_grad():
        logits = model(items.images / 255)
    expected = torch.nn.functional.cross_entropy(logits, items.labels)
    loss, accuracy = borders._judged(model, items)
    assert loss == pytest.approx(float(expected), abs=1e-6)
    assert accuracy == float((logits.argmax(1) == items.labels).float().mean())


def test_files_that_lack_something_do_not_count():
    settings = replace(SMOKE["full"], epochs=1)
    rows = borders.compute(settings, 0)
    borders.check(settings, rows)
    with pytest.raises(ValueError, match="expected accuracies of"):
        borders.check(settings, rows[::-1])
    with pytest.raises(ValueError, match="epochs 1 to 1"):
        borders.check(settings, [replace(rows[0], chosen=2), *rows[1:]])
