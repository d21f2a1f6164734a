"""Image sets that need no download: scikit-learn's digits and rendered letters.

The digits are the 8x8 set that ships with scikit-learn, the letters are drawn with the fonts that
ship with matplotlib, so a study can run on them on a machine without a network. Everything is
deterministic: two calls give the same bytes.
"""

from __future__ import annotations

import string
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64], tuple[str, ...]]

DIGITS_TRAIN = 1400


def digits(split: str) -> Arrays:
    """Handwritten digits of 8x8 pixels, from scikit-learn.

    Args:
        split: ``"train"`` (the first 1,400 images in stored order) or ``"test"`` (the last 397).

    Returns:
        Images, uint8 ``(n, 1, 8, 8)`` in 0..255 (the source's 0..16, scaled), white on black;
        labels, int64 ``(n,)``; class names ``("0", ..., "9")``.

    Raises:
        ValueError: ``split`` is neither ``"train"`` nor ``"test"``.

    Source:
        ``sklearn.datasets.load_digits``: the test part of Alpaydin and Kaynak, Optical Recognition
        of Handwritten Digits, UCI Machine Learning Repository (1998).
    """
    _check_split(split)
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    part = slice(None, DIGITS_TRAIN) if split == "train" else slice(DIGITS_TRAIN, None)
    scaled = np.rint(images[part] * (255 / 16)).astype(np.uint8).reshape(-1, 1, 8, 8)
    return scaled, labels[part].astype(np.int64), tuple(string.digits)


# The text faces that ship with matplotlib; the others hold symbols, or repeat these capitals.
FACES = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSansMono", "DejaVuSerif",
    "DejaVuSerif-Bold", "DejaVuSerif-Italic", "STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic",
    "cmb10", "cmmi10", "cmr10", "cmss10", "cmti10", "cmtt10",
)  # fmt: skip

GLYPHS_PER_CLASS = {"train": 100, "test": 40}

_SIDE, _OVER, _HEIGHT, _WIDTH = 28, 4, 20, 22  # a letter fits a box of 22 x 20, much as in MNIST


@lru_cache(maxsize=2)
def glyphs(split: str) -> Arrays:
    """Capital letters A to Z in sixteen type faces, each image jittered by its own small warp.

    The warp turns by up to 6 degrees, shears by up to 0.1, scales by 0.88 to 1.08 and shifts by up
    to 1.2 pixels; letters stay upright. The two splits share faces but no warp.

    Args:
        split: ``"train"`` (100 images per class) or ``"test"`` (40 per class).

    Returns:
        Images, uint8 ``(n, 1, 28, 28)`` in 0..255, white on black, class by class; labels, int64
        ``(n,)``; class names ``("A", ..., "Z")``. The arrays are cached and read-only.

    Raises:
        ValueError: ``split`` is neither ``"train"`` nor ``"test"``.

    Source:
        Drawn here from the DejaVu, STIX and Computer Modern fonts that matplotlib ships.
    """
    _check_split(split)
    count = GLYPHS_PER_CLASS[split]
    classes = tuple(string.ascii_uppercase)
    random = np.random.default_rng([7, list(GLYPHS_PER_CLASS).index(split)])
    images = np.empty((len(classes), count, 1, _SIDE, _SIDE), np.uint8)
    for row, letter in zip(images, classes, strict=True):
        stamps = [_stamp(letter, face) for face in FACES]
        for index in range(count):
            row[index, 0] = _warped(stamps[index % len(FACES)], random)
    labels = np.repeat(np.arange(len(classes), dtype=np.int64), count)
    return frozen(images.reshape(-1, 1, _SIDE, _SIDE)), frozen(labels), classes


@lru_cache(maxsize=len(FACES))
def _face(name: str) -> ImageFont.FreeTypeFont:
    import matplotlib

    path = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf"
    return ImageFont.truetype(str(path), size=_HEIGHT * _OVER * 2)


def _stamp(letter: str, face: str) -> tuple[Image.Image, float]:
    """A letter centred on a large square, and how many of its pixels make one output pixel."""
    font = _face(face)
    left, top, right, bottom = font.getbbox(letter)
    side = 2 * _SIDE * _OVER
    stamp = Image.new("L", (side, side))
    corner = (side / 2 - (left + right) / 2, side / 2 - (top + bottom) / 2)
    ImageDraw.Draw(stamp).text(corner, letter, fill=255, font=font)
    return stamp, max((bottom - top) / _HEIGHT, (right - left) / _WIDTH)


def _warped(stamp: tuple[Image.Image, float], random: np.random.Generator) -> NDArray[np.uint8]:
    image, unit = stamp
    turn = np.deg2rad(random.uniform(-6, 6))
    shear = np.array([[1.0, random.uniform(-0.1, 0.1)], [0.0, 1.0]])
    rotation = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    # Pillow maps output pixels to input pixels, so this is the inverse of the letter's own warp.
    matrix = rotation @ shear * (unit / _OVER / random.uniform(0.88, 1.08))
    shift = random.uniform(-1.2, 1.2, 2) * _OVER
    size = _SIDE * _OVER
    offset = image.width / 2 - matrix @ (size / 2 + shift)
    rows = np.column_stack([matrix, offset])
    large = image.transform(
        (size, size), Image.Transform.AFFINE, rows.ravel().tolist(), Image.Resampling.BILINEAR
    )
    return np.asarray(large.reduce(_OVER))


def _check_split(split: str) -> None:
    if split not in ("train", "test"):
        raise ValueError(f"split must be 'train' or 'test', not {split!r}")


def frozen(array: NDArray) -> NDArray:
    """The array, made read-only."""
    # A caller that wrote into a cached array would change every later caller's images.
    array.flags.writeable = False
    return array


_ROOK = """
###..###..###
###..###..###
###..###..###
#############
.###########.
..#########..
...#######...
...#######...
...#######...
...#######...
...#######...
..#########..
.###########.
#############
#############
#############
"""


def rook() -> NDArray[np.uint8]:
    """A chess piece, white on black: uint8 (1, 1, 16, 13), the size of Kayhan & van Gemert's."""
    rows = [[255 * (cell == "#") for cell in line] for line in _ROOK.split()]
    return np.array(rows, np.uint8)[None, None]
