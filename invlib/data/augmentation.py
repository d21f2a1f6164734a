"""Natural images in place of ImageNet: two ways of drawing the same pictures.

The paper attributes ImageNet's effect to the augmentation of its pretraining (sec. 2.3). Both
classes here have ``Placement``'s ``draw``; they differ in the augmentation alone.
"""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample, interpolate

from invlib.data.canvas import Canvas


@dataclass(frozen=True)
class RandomSizeAndPlace:
    """Each image flipped by chance, resized to a size drawn from a range, at a place drawn anew.

    Attributes:
        canvas: the canvas drawn on; its item size plays no part.
        smallest: the smallest size in pixels.
        largest: the largest.
    """

    canvas: Canvas
    smallest: int
    largest: int
    name: str = "random_size_and_place"

    def draw(self, images: Tensor, labels: Tensor, generator: torch.Generator | None) -> Tensor:
        """Canvases float32 (n, channels, height, width) of uint8 images of any size."""
        images = _flipped(images, generator)
        span = self.largest - self.smallest + 1
        sizes = self.smallest + (torch.rand(len(images), generator=generator) * span).long()
        canvases = torch.empty(0)
        for size in sizes.unique().tolist():
            chosen = torch.nonzero(sizes == size).flatten()
            resized = interpolate(
                images[chosen.to(images.device)].float(),
                size=(size, size),
                mode="bicubic",
                antialias=True,
            )
            canvas = Canvas(
                self.canvas.size, size, self.canvas.background, self.canvas.mean, self.canvas.std
            )
            drawn = canvas.fully_translated().draw(
                resized.round().clamp(0, 255).to(torch.uint8), labels[chosen], generator
            )
            if not len(canvases):
                canvases = torch.empty_like(drawn[:1]).expand(len(images), -1, -1, -1).clone()
            canvases[chosen.to(images.device)] = drawn
        return canvases


@dataclass(frozen=True)
class RandomResizedCrop:
    """A crop of each image that fills the canvas, flipped by chance.

    The crop covers a share of the image drawn from ``area``; its sides' ratio is drawn
    log-uniformly from ``ratio``, as in torchvision's transform of the same name.
    """

    canvas: Canvas
    area: tuple[float, float] = (0.08, 1.0)
    ratio: tuple[float, float] = (3 / 4, 4 / 3)
    name: str = "random_resized_crop"

    def draw(self, images: Tensor, labels: Tensor, generator: torch.Generator | None) -> Tensor:
        """Canvases float32 (n, channels, height, width) of uint8 images of any size."""
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
            theta.to(images.device), [n, channels, *self.canvas.size], align_corners=False
        )
        crops = grid_sample(
            _flipped(images, generator).float(),
            grid,
            mode="bilinear",
            padding_mode="border",
            align_corners=False,
        )
        full = Canvas(
            self.canvas.size,
            self.canvas.size,
            self.canvas.background,
            self.canvas.mean,
            self.canvas.std,
        )
        return full.render(crops.round().clamp(0, 255).to(torch.uint8), (0, 0))


def _flipped(images: Tensor, generator: torch.Generator | None) -> Tensor:
    flip = (torch.rand(len(images), generator=generator) < 0.5).to(images.device)
    return torch.where(flip[:, None, None, None], images.flip(3), images)
