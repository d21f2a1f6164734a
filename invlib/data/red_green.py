"""Red and green boxes: a class that is told by what lies left, in rows that give it away."""

import torch

from invlib.data.items import ItemSet

_SIDE, _BOX, _ROWS, _FAR = 32, 4, (7, 23), 16


def red_green(count: int, seed: int = 0, swapped: bool = False) -> ItemSet:
    """Pictures of one red and one green box of 4 x 4 pixels on black, 32 x 32.

    The class is the colour on the left. Pictures of the first class have their boxes about row 7 (4
    less to 3 more), those of the second about row 23: it can be told from the place as well.

    Args:
        count: pictures, the two classes in turn.
        seed: of the places.
        swapped: the rows are those of the other class.

    Returns:
        uint8 (count, 3, 32, 32).

    Kayhan & van Gemert 2020, sec. 4.2, with the numbers of their public code.
    """
    generator = torch.Generator().manual_seed(seed)

    def drawn(low: int, past: int) -> torch.Tensor:
        return torch.randint(low, past, (count,), generator=generator)

    labels = torch.arange(count) % 2
    base = torch.tensor(_ROWS)[labels] + _FAR * swapped * (1 - 2 * labels)
    left = drawn(0, _SIDE // 2 - _BOX - 2)
    # Uniform over what leaves a pixel between them.
    right = left + _BOX + 1 + (torch.rand(count, generator=generator) * (23 - left)).long()
    images = torch.zeros(count, 3, _SIDE, _SIDE, dtype=torch.uint8)
    for columns, colour in ((left, labels), (right, 1 - labels)):
        rows = base + drawn(-4, 4)
        for i, (row, column, channel) in enumerate(
            zip(rows.tolist(), columns.tolist(), colour.tolist(), strict=True)
        ):
            images[i, channel, row : row + _BOX, column : column + _BOX] = 255
    return ItemSet(images, labels, ("red left", "green left"), "red_green")
