"""What all tests share: own folders, one thread, small item sets, a study that costs nothing."""

import os
import sys
import types
from concurrent.futures import Executor, Future
from dataclasses import dataclass
from pathlib import Path

os.environ["INVLIB_PROGRESS"] = "0"

import numpy as np
import pytest
import torch
from hypothesis import settings

from invlib.data.items import ItemSet
from invlib.runs import Profile, Study

# Tests that fuzz (test_fuzz.py in any folder) have no number of their own.
settings.register_profile("suite", max_examples=200, deadline=None)
settings.register_profile("thorough", max_examples=20_000, deadline=None)
settings.load_profile("suite")


@pytest.fixture(scope="session", autouse=True)
def _own_folders(tmp_path_factory):
    """Neither the user's results and weights are read, nor anything written beside them."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("own")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("INVLIB_RESULTS", str(folder / "results"))
        patch.setenv("TORCH_HOME", str(folder / "torch"))
        yield


def _from_environment(name, holds):
    if name not in os.environ:
        pytest.skip(f"{name} is not set: the tests on {holds} need it")
    return Path(os.environ[name])


@pytest.fixture
def real_data():
    """The folder with the real sets; the test is skipped where there is none."""
    return _from_environment("INVLIB_DATA", "the real sets")


@pytest.fixture
def real_weights():
    """The folder with ImageNet weights; the test is skipped where there is none."""
    return _from_environment("INVLIB_WEIGHTS", "ImageNet weights")


@pytest.fixture(scope="session")
def noise():
    """Makes an item set of noise, class by class in turn: ``noise(n, classes, size, channels)``."""

    def make(n=12, classes=2, size=6, channels=1, seed=0):
        height, width = (size, size) if isinstance(size, int) else size
        images = np.random.default_rng(seed).integers(
            0, 256, (n, channels, height, width), np.uint8
        )
        labels = torch.arange(n) % classes
        return ItemSet(torch.from_numpy(images), labels, tuple("abcdefghij"[:classes]), "noise")

    return make


@pytest.fixture(scope="session")
def halves():
    """Two classes that anything learns: 6 x 6 items, bright on the left or on the right."""
    images = torch.zeros(20, 1, 6, 6, dtype=torch.uint8)
    images[::2, :, :, :3] = 255
    images[1::2, :, :, 3:] = 255
    return ItemSet(images, torch.arange(20) % 2, ("left", "right"), "halves")


class Inline(Executor):
    """Computes at once, in this process."""

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        try:
            future.set_result(function(*args, **kwargs))
        except BaseException as error:
            future.set_exception(error)
        return future


@pytest.fixture
def inline():
    """An executor that computes at once, in this process."""
    return Inline()


@dataclass(frozen=True)
class ToySettings:
    """Settings of the toy study."""

    number: int
    size: int
    off: int | None = None


@dataclass(frozen=True)
class ToyRow:
    """A measurement of the toy study."""

    set: str
    map: np.ndarray
    far: float | None
    failed: bool = False
    attempts: tuple = ({},)


class Toy:
    """A study whose runs cost nothing: the size of its maps, what it computed, what it does."""

    def __init__(self):
        self.size = 4
        self.computed = []
        self.before = lambda settings, seed: None

    def compute(self, settings, seed):
        self.before(settings, seed)
        self.computed.append((settings.number, seed))
        values = np.random.default_rng((settings.number, seed)).random((settings.size,) * 2)
        return [ToyRow(name, values, None) for name in ("one", "two")]

    @property
    def study(self):
        conditions = {"plain": ToySettings(1, self.size), "other": ToySettings(2, self.size)}
        profile = Profile(conditions, seeds=3, needs="nothing")
        profiles = {"small": profile, "smoke": profile}
        return Study("toy", "nowhere", profiles, ToyRow, self.compute)


@pytest.fixture
def toy(monkeypatch, tmp_path):
    """The only study, ``toy``: conditions ``plain`` and ``other``, three seeds; nothing stored."""
    toy = Toy()
    module = types.ModuleType("invlib.studies.toy")
    module.__getattr__ = lambda name: toy.study if name == "STUDY" else None
    monkeypatch.setitem(sys.modules, "invlib.studies.toy", module)
    for where in ("invlib.studies", "invlib.cli"):
        monkeypatch.setattr(f"{where}.STUDIES", ("toy",))
    monkeypatch.setattr("invlib.runs.store.stored_root", lambda: tmp_path / "stored")
    return toy
