"""What a network sees before it is taught: items everywhere, natural images in several ways.

The paper attributes ImageNet's effect to the augmentation of its pretraining (sec. 2.3). The
classes here are settings; ``on`` a canvas, they draw as a ``Placement`` does, or are one.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from invlib.data.canvas import Canvas, Placement
from invlib.data.items import pixels, resize


@dataclass(frozen=True)
class FullyTranslated:
    """Each item, at the canvas's item size, at a place drawn anew (sec. 2.3)."""

    def on(self, canvas: Canvas) -> Placement:
        """``canvas.fully_translated()``."""
        return canvas.fully_translated()


@dataclass(frozen=True)
class ByArea:
    """The items of each class in some areas of the canvas (appendix A.2), see ``Canvas.by_area``.

    Attributes:
        areas: on each axis.
        per_area: classes whose own area is the same.
        coverage: areas of a class.
        seed: of the draw of those beside its own.
    """

    areas: int = 3
    per_area: int = 2
    coverage: int = 1
    seed: int = 0

    def on(self, canvas: Canvas) -> Placement:
        """``canvas.by_area(...)``."""
        return canvas.by_area(self.areas, self.per_area, self.coverage, self.seed)


class _Augmentation:
    """What those of natural images have in common."""

    def on(self, canvas: Canvas) -> "_OnCanvas":
        """The augmentation on a canvas: ``draw(images, labels, generator)``, as ``fit`` takes it.

        Images are uint8 (n, channels, height, width) of any size; what is drawn is float32
        (n, channels, canvas height, canvas width), normalised as the canvas does.
        """
        return _OnCanvas(self, canvas)

    def _draw(self, canvas: Canvas, images: Tensor, generator: torch.Generator | None) -> Tensor:
        raise NotImplementedError


@dataclass(frozen=True)
class _OnCanvas:
    augmentation: _Augmentation
    canvas: Canvas

    def draw(self, images: Tensor, labels: Tensor, generator: torch.Generator | None) -> Tensor:
        return self.augmentation._draw(self.canvas, images, generator)


@dataclass(frozen=True)
class RandomSizeAndPlace(_Augmentation):
    """Each image flipped by chance, resized to a size drawn from a range, at a place drawn anew.

    Attributes:
        smallest: the smallest size in pixels.
        largest: the largest.
        flip: probability of a flip left to right.
        fixed: every image at the trained place of the canvas instead (moved up as far as a larger
            one needs). From the same generator, the first batch has the same sizes and flips.

    Raises:
        ValueError: for an empty range.
    """

    smallest: int
    largest: int
    flip: float = 0.5
    fixed: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.smallest <= self.largest:
            raise ValueError(
                f"expected sizes with 1 <= smallest <= largest, "
                f"found {self.smallest} and {self.largest}"
            )

    def _draw(self, canvas: Canvas, images: Tensor, generator: torch.Generator | None) -> Tensor:
        n, channels = images.shape[:2]
        images = _flipped(images, self.flip, generator)
        span = self.largest - self.smallest + 1
        sizes = self.smallest + (torch.rand(n, generator=generator) * span).long()
        drawn = torch.empty(n, *canvas.size, channels, device=images.device).permute(0, 3, 1, 2)
        for size in sizes.unique().tolist():
            chosen = torch.nonzero(sizes == size).flatten()
            at = chosen.to(images.device)
            resized = resize(images[at], (size, size))
            sized = canvas.with_item(size)
            trained = min(canvas.leftmost_centred[0], sized.last[0]), 0
            placement = sized.one_location(trained) if self.fixed else sized.fully_translated()
            drawn[at] = placement.draw(resized, chosen, generator)
        return drawn


@dataclass(frozen=True)
class RandomResizedCrop(_Augmentation):
    """A crop of each image that fills the canvas, flipped by chance.

    As torchvision's transform of the same name, but for a whole batch at once and from one
    generator.

    Attributes:
        area: least and largest share of the image that a crop covers.
        ratio: least and largest width / height of a crop, drawn log-uniformly.
        flip: probability of a flip left to right.
    """

    area: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5

    def _draw(self, canvas: Canvas, images: Tensor, generator: torch.Generator | None) -> Tensor:
        n, channels = images.shape[:2]
        draws = torch.rand(n, 4, generator=generator)
        share = self.area[0] + draws[:, 0] * (self.area[1] - self.area[0])
        low, high = torch.tensor(self.ratio).log()
        ratio = (low + draws[:, 1] * (high - low)).exp()
        # Sides as shares of the image; a side longer than the image is cut to it.
        width = (share * ratio).sqrt().clamp(max=1)
        height = (share / ratio).sqrt().clamp(max=1)
        theta = torch.zeros(n, 2, 3)
        theta[:, 0, 0], theta[:, 1, 1] = width, height
        theta[:, 0, 2] = (1 - width) * (2 * draws[:, 2] - 1)
        theta[:, 1, 2] = (1 - height) * (2 * draws[:, 3] - 1)
        grid = affine_grid(
            theta.to(images.device), [n, channels, *canvas.size], align_corners=False
        )
        crops = grid_sample(
            _flipped(images, self.flip, generator).float(),
            grid,
            mode="bilinear",
            padding_mode="border",
            align_corners=False,
        )
        return canvas.with_item(canvas.size).render(pixels(crops), (0, 0))


def _flipped(images: Tensor, chance: float, generator: torch.Generator | None) -> Tensor:
    flip = (torch.rand(len(images), generator=generator) < chance).to(images.device)
    return torch.where(flip[:, None, None, None], images.flip(3), images)
