"""What a network sees."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.pyplot as plt
import torch
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from invlib.data.canvas import Canvas
from invlib.data.items import ItemSet
from invlib.plots.axes import PALETTE, done, show
from invlib.runs import Look


def stimuli(canvas: Canvas, sets: Sequence[ItemSet], looks: Mapping[str, Look]) -> Figure:
    """One item of each set at the trained place and, below, fully translated.

    The dashed frame is the item; its top-left pixel is the place. A set without a look is called by
    its name.
    """
    figure, axes = plt.subplots(2, len(sets), figsize=(1.7 * len(sets), 3.9), squeeze=False)
    generator = torch.Generator().manual_seed(0)
    rows = (canvas.one_location(), canvas.fully_translated())
    for column, items in enumerate(sets):
        items = canvas.prepare(items)
        for row, placement in enumerate(rows):
            place = placement.places(items.labels[:1], generator)
            picture = canvas.render(items.images[:1], place)[0]
            show(axes[row, column], picture)
            corner = place[0].tolist()[::-1]
            axes[row, column].add_patch(
                Rectangle(
                    (corner[0] - 0.5, corner[1] - 0.5), canvas.item[1], canvas.item[0],
                    fill=False, ec=PALETTE[1], ls="--", lw=1.2,
                )
            )  # fmt: skip
            axes[row, column].set_xlabel(f"({corner[1]}, {corner[0]})", fontsize=9)
        title = looks[items.name].label if items.name in looks else items.name
        axes[0, column].set_title(title, fontsize=10)
    for row, name in enumerate(("one location", "fully translated")):
        axes[row, 0].set_ylabel(name)
    return done(figure)


def augmentations(augmentations: dict[str, Any], pictures: ItemSet) -> Figure:
    """The same pictures under each augmentation, one row each.

    Args:
        augmentations: by the words that stand beside the row.
        pictures: the first eight of them are drawn.
    """
    columns = 8
    figure, axes = plt.subplots(
        len(augmentations), columns, figsize=(1.15 * columns, 1.35 * len(augmentations)),
        squeeze=False,
    )  # fmt: skip
    images, labels = pictures.images[:columns], pictures.labels[:columns]
    for row, (name, augmentation) in enumerate(augmentations.items()):
        drawn = augmentation.draw(images, labels, torch.Generator().manual_seed(0))
        for column, picture in enumerate(drawn):
            show(axes[row, column], picture)
        axes[row, 0].set_ylabel(name, fontsize=9)
    figure.suptitle(pictures.name, fontsize=10)
    return done(figure)
