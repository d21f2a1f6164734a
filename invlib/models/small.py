"""A small network whose padding is an argument."""

from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from torch import nn

from invlib.devices import seeded

PADDINGS = ("valid", "same", "full", "circular", "reflect")
"""None; zeros that keep the size of the map; zeros in which, at stride 1, a kernel reaches every
pixel with every weight; what is on the other side of the map; its mirror image."""


def small(
    channels: Sequence[int] = (3, 32, 32, 64, 64),
    classes: int = 10,
    padding: str = "same",
    strides: Sequence[int] = (1, 2, 2, 2),
    kernel: int = 3,
    seed: int = 0,
) -> nn.Sequential:
    """Convolutions with a ReLU behind each, the largest value of each channel, a linear layer.

    The convolutions have no bias, so that black stays 0 in every map.

    The defaults are the network of Kayhan & van Gemert's Red-Green experiment (their public code).
    Its parts are ``features`` (maps) and ``classifier`` (logits). Weights are torch's own draw.

    Args:
        channels: of the input, then of each convolution.
        classes: outputs.
        padding: of every convolution, one of ``PADDINGS`` (Kayhan & van Gemert 2020, sec. 3).
        strides: of each convolution.
        kernel: side of the kernels, odd.
        seed: of the weights.

    Raises:
        ValueError: for an unknown padding, an even kernel, or strides for another number of
            convolutions.
    """
    if padding not in PADDINGS:
        raise ValueError(f"unknown padding {padding!r}; expected one of {', '.join(PADDINGS)}")
    if kernel % 2 == 0:
        raise ValueError(f"expected an odd kernel, which has a middle, found {kernel}")
    if len(strides) != len(channels) - 1:
        raise ValueError(f"expected {len(channels) - 1} strides, found {len(strides)}")
    wide: Any = {"valid": 0, "full": kernel - 1}.get(padding, kernel // 2)
    mode: Any = padding if padding in ("circular", "reflect") else "zeros"
    with seeded(seed):
        features: list[nn.Module] = []
        for (before, behind), stride in zip(pairwise(channels), strides, strict=True):
            convolution = nn.Conv2d(
                before, behind, kernel, stride, wide, bias=False, padding_mode=mode
            )
            features += [convolution, nn.ReLU(inplace=True)]
        pooled = nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(channels[-1], classes)
        return nn.Sequential(
            OrderedDict(features=nn.Sequential(*features), classifier=nn.Sequential(*pooled))
        )
