"""Myburgh, Mouton & Davel 2020, sec. 4.3.1: what the number of dimensions does to a similarity.

Pairs of random vectors that have nothing to do with each other, without any network.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from invlib.runs import Look, Profile, Study
from invlib.runs.checks import Count

LOOKS = {
    "normal": Look("values of either sign"),
    "relu": Look("none negative, as behind a ReLU", 1),
}


@dataclass(frozen=True)
class Settings:
    """Which pairs are drawn.

    Attributes:
        kind: ``normal``: standard normal values; ``relu``: the same, negative ones set to 0.
        dimensions: of the vectors, one row each.
        pairs: of vectors at each number of dimensions.
    """

    kind: str
    dimensions: tuple[int, ...]
    pairs: int


@dataclass(frozen=True)
class Measurement:
    """Random pairs of so many dimensions.

    Attributes:
        dimension: of the vectors.
        distance: Euclidean distance, mean over pairs.
        cosine: cosine similarity, mean over pairs.
        spread: of the cosine similarity, its standard deviation over pairs.
    """

    dimension: Count
    distance: float
    cosine: float
    spread: float


def compute(settings: Settings, seed: int) -> list[Measurement]:
    """Distance and similarity of random pairs at each number of dimensions."""
    generator, rows = torch.Generator().manual_seed(seed), []
    for dimension in settings.dimensions:
        size = (2, settings.pairs, dimension)
        drawn = torch.randn(size, generator=generator, dtype=torch.float64)
        one, other = drawn.relu() if settings.kind == "relu" else drawn
        cosine = torch.cosine_similarity(one, other, dim=1)
        distance = (one - other).norm(dim=1)
        rows.append(
            Measurement(dimension, *map(float, (distance.mean(), cosine.mean(), cosine.std())))
        )
    return rows


def check(settings: Settings, rows: Sequence[Measurement]) -> None:
    """Whether a file has a row for each number of dimensions.

    Raises:
        ValueError: naming what was expected and found.
    """
    found = tuple(row.dimension for row in rows)
    if found != settings.dimensions:
        raise ValueError(f"expected dimensions {settings.dimensions}, found {found}")
    if any(not -1 <= row.cosine <= 1 or row.distance < 0 or row.spread < 0 for row in rows):
        raise ValueError("expected cosine similarities from -1 to 1, and no distance below 0")


def _both(dimensions: tuple[int, ...], pairs: int) -> dict[str, Settings]:
    return {kind: Settings(kind, dimensions, pairs) for kind in LOOKS}


STUDY = Study(
    "dimensions",
    "Myburgh, Mouton & Davel 2020, sec. 4.3.1",
    {
        "smoke": Profile(_both((10, 100), 50)),
        "bench": Profile(_both((10, 30, 100, 300, 750, 1000, 4000), 1000), seeds=3),
    },
    Measurement,
    compute,
    LOOKS,
    check=check,
)
