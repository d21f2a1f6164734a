"""Kayhan & van Gemert 2020, sec. 3: can one convolution tell two corners apart?

A rook lies in the upper left or in the lower right corner of a picture. One convolution, a ReLU and
the largest value of the whole map: what is left of the place is what the border took away.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from invlib.data.canvas import Canvas
from invlib.data.synthetic import rook
from invlib.models import small
from invlib.runs import Look, Profile, Study
from invlib.runs.checks import Count, Fraction


@dataclass(frozen=True)
class Settings:
    """All that decides the numbers of a run.

    Attributes:
        padding: of the convolution, see ``models.small``.
        kernel: its side.
        side: of the pictures.
        borders: black pixels around both pictures; one measurement for each.
        filters: drawn at random.
        epochs: of the training, without border, over the two pictures.
        learning_rate: of gradient descent, one picture at a time.
        momentum: likewise.
    """

    padding: str
    kernel: int = 5
    side: int = 32
    borders: tuple[int, ...] = (0, 1, 2, 3, 4)
    filters: int = 200
    epochs: int = 100
    learning_rate: float = 0.1
    momentum: float = 0.9


@dataclass(frozen=True)
class Measurement:
    """What one padding leaves of the place, with one border.

    Attributes:
        border: black pixels around both pictures.
        apart: share of random filters whose largest response is another for the two pictures,
            compared exactly.
        accuracy: of a network trained on the two; None with a border.
        dead: the map is 0 for both pictures, so that nothing is learnt, before and after training;
            likewise.
        pixel: the largest response to one bright pixel in either corner of a picture, of a filter
            of 3 x 3 with a single weight, 1 at the lower right; likewise.
        cells: a side of the map of these has so many more than the picture has pixels; likewise.
    """

    border: Count
    apart: Fraction
    accuracy: Fraction | None
    dead: tuple[bool, bool] | None
    pixel: list[float] | None
    cells: int | None


def compute(settings: Settings, seed: int) -> list[Measurement]:
    """The random filters with each border, and the training without."""
    rows = []
    for border in settings.borders:
        one, other = largest(settings, border, seed)
        apart = float((one != other).double().mean())
        once = (None,) * 4 if border else (*_trained(settings, seed), *_pixel(settings))
        rows.append(Measurement(border, apart, *once))
    return rows


def pictures(side: int = 32, border: int = 0) -> Tensor:
    """The rook in the upper left and in the lower right corner: float32 (2, 1, height, width).

    Args:
        side: of the pictures in pixels.
        border: black pixels around them.

    Raises:
        ValueError: for a border below 0.
    """
    if border < 0:
        raise ValueError(f"expected a border from 0 px, found {border}")
    item = torch.from_numpy(rook())
    canvas = Canvas(side + 2 * border, item=(item.shape[2], item.shape[3]))
    row, column = canvas.last
    places = torch.tensor([[border, border], [row - border, column - border]])
    return canvas.render(item.expand(2, -1, -1, -1), places)


def largest(settings: Settings, border: int, seed: int) -> tuple[Tensor, Tensor]:
    """The largest response of each random filter to either picture, two tensors (filters,).

    Filters of whole numbers on pictures of 0 and 1, so that no sum is rounded.
    """
    channels = (1, settings.filters)
    network = small(channels, 2, settings.padding, (1,), settings.kernel, seed=seed).double()
    convolution = network.get_submodule("features.0")
    generator = torch.Generator().manual_seed(seed)
    shape = convolution.weight.shape
    drawn = torch.randint(-1000, 1001, shape, generator=generator)  # type: ignore[arg-type]
    with torch.inference_mode():
        convolution.weight.copy_(drawn)  # type: ignore[operator]
        maps = network.get_submodule("features")(pictures(settings.side, border).double())
    one, other = maps.amax((2, 3))
    return one, other


def _trained(settings: Settings, seed: int) -> tuple[float, tuple[bool, bool]]:
    """Accuracy after training on the two pictures, and whether the network was dead or died."""
    x, labels = pictures(settings.side), torch.arange(2)
    model: nn.Module = small((1, 1), 2, settings.padding, (1,), settings.kernel, seed=seed)

    def dead() -> bool:
        with torch.inference_mode():
            return not model.get_submodule("features")(x).any()

    before = dead()
    optimiser = torch.optim.SGD(
        model.parameters(), settings.learning_rate, momentum=settings.momentum
    )
    for _ in range(settings.epochs):
        for i in range(2):
            optimiser.zero_grad()
            cross_entropy(model(x[i : i + 1]), labels[i : i + 1]).backward()
            optimiser.step()
    with torch.inference_mode():
        right = float((model(x).argmax(1) == labels).double().mean())
    return right, (before, dead())


def _pixel(settings: Settings) -> tuple[list[float], int]:
    """The responses to one bright pixel, and what the map has more than the picture."""
    network = small((1, 1), 2, settings.padding, (1,), 3)
    x = torch.zeros(2, 1, settings.side, settings.side)
    x[0, 0, 0, 0] = x[1, 0, -1, -1] = 1
    with torch.inference_mode():
        weight = network.get_submodule("features.0").weight
        weight.zero_()[..., -1, -1] = 1  # type: ignore[operator]
        maps = network.get_submodule("features")(x)
    return maps.amax((1, 2, 3)).tolist(), maps.shape[3] - settings.side


def check(settings: Settings, rows: Sequence[Measurement]) -> None:
    """Whether a file has a row for each border, and the training in the one without.

    Raises:
        ValueError: naming what was expected and found.
    """
    found = tuple(row.border for row in rows)
    if found != settings.borders:
        raise ValueError(f"expected borders {settings.borders}, found {found}")
    for row in rows:
        once = (row.accuracy, row.dead, row.pixel, row.cells)
        if [each is None for each in once] != [row.border > 0] * 4:
            raise ValueError("expected training and pixels without border, and there alone")


LOOKS = {
    "valid": Look("valid", 0),
    "same": Look("same (zeros)", 1),
    "full": Look("full", 2),
}
_BENCH = {name: Settings(name) for name in LOOKS}

STUDY = Study(
    "rook",
    "Kayhan & van Gemert 2020, sec. 3",
    {
        "smoke": Profile({n: replace(s, epochs=2, filters=20) for n, s in _BENCH.items()}),
        "bench": Profile(_BENCH, seeds=5),
    },
    Measurement,
    compute,
    LOOKS,
    check=check,
)
