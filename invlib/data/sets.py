"""The sets that are known by name, and folders or zips of the reader's own.

Files are looked for under a data root: the argument ``root``, else the environment variable
``INVLIB_DATA``, else the user's cache. The root has torchvision's layout
(``MNIST/raw/train-images-idx3-ubyte[.gz]``); any other set stands there as
``<name>/<split>/<class>/*`` or ``<name>/<split>.zip``.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path

import numpy as np
import platformdirs
import torch

from invlib.data import objects, synthetic
from invlib.data.files import class_names, read_idx, read_images
from invlib.data.items import DataError, ItemSet, check_room

SPLITS = ("train", "test")

_ORIGINS = {
    "mnist": ("LeCun, Cortes, Burges 1998", "none stated, usually cited as CC BY-SA 3.0"),
    "fashion_mnist": ("Xiao, Rasul, Vollgraf 2017", "MIT"),
    "kmnist": ("Clanuwat et al. 2018", "CC BY-SA 4.0"),
    "emnist_letters": (
        "Cohen, Afshar, Tapson, van Schaik 2017",
        "none stated, derived from NIST Special Database 19",
    ),
    "cifar10": ("Krizhevsky 2009", "none stated, asks to cite the report"),
    "digits": ("scikit-learn's copy of UCI ML optdigits", "CC BY 4.0"),
    "glyphs": ("letters drawn with matplotlib's fonts", "MIT (fonts: their own free licences)"),
    "objects10": ("drawn by invlib", "MIT"),
    "objects2": ("drawn by invlib", "MIT"),
}
"""Source and licence of each set known by name."""

NAMES = tuple(_ORIGINS)


@dataclass(frozen=True)
class _Idx:
    """How an official set lies in IDX files; ``folder`` is torchvision's name for the set, too."""

    folder: str
    classes: tuple[str, ...]
    prefixes: tuple[str, str] = ("train", "t10k")
    first_label: int = 0
    transposed: bool = False


_IDX = {
    "mnist": _Idx("MNIST", tuple("0123456789")),
    "fashion_mnist": _Idx(
        "FashionMNIST",
        ("T-shirt", "Trouser", "Pullover", "Dress", "Coat")
        + ("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
    ),
    "kmnist": _Idx("KMNIST", ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")),
    "emnist_letters": _Idx(
        "EMNIST",
        tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        ("emnist-letters-train", "emnist-letters-test"),
        first_label=1,
        transposed=True,
    ),
}

_DOWNLOADS = {**{name: idx.folder for name, idx in _IDX.items()}, "cifar10": "CIFAR10"}
"""torchvision's classes of the sets that it downloads."""

_EMBEDDED: dict[str, Callable[[str], synthetic.Arrays]] = {
    "digits": synthetic.digits,
    "glyphs": synthetic.glyphs,
    "objects10": lambda split: objects.objects("objects10"),
    "objects2": lambda split: objects.objects("objects2"),
}


def data_root(root: str | Path | None = None) -> Path:
    """The folder in which files are looked for: ``root``, ``INVLIB_DATA`` or the user's cache."""
    if root is not None:
        return Path(root)
    default = Path(platformdirs.user_cache_dir("invlib")) / "data"
    return Path(os.environ.get("INVLIB_DATA", default))


def load(
    name: str | Path,
    split: str = "train",
    root: str | Path | None = None,
    size: int | tuple[int, int] | None = None,
) -> ItemSet:
    """A set of items by name, or a folder or zip of class folders by path.

    Args:
        name: one of ``NAMES``, the name of a folder under the data root
            (``<root>/<name>/<split>/<class>/*`` or ``<root>/<name>/<split>.zip``), or the path
            of such a folder or zip.
        split: ``"train"`` or ``"test"``; a folder or zip that has no splits is the same in both,
            and so are ``objects10`` and ``objects2``, which have one image per class.
        root: the data root.
        size: (height, width), or the side of a square, to which each image of a folder or zip is
            resized (bicubic), after black was added where it has another shape; needed where they
            are not of one size, which an ``ItemSet`` has.

    Images are PNG, JPEG, WebP, BMP, GIF or TIFF of 8 bits a channel, by what is in the file. They
    are turned upright (EXIF). What is transparent lies on black, as items do on a canvas: a black
    drawing on nothing is all black. Of several pictures in a file the first counts. Folders and
    files whose names begin with a dot, and ``__MACOSX``, are skipped.

    Returns:
        All items of the split in the official order.

    Raises:
        DataError: for an unknown name or split, a split that is not there, for missing or damaged
            files, which are named, and for what would take too much memory: photographs of more
            than 50 million pixels (WebP 30), items with a side above 4096, sets above 4 GiB.
    """
    if split not in SPLITS:
        raise DataError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
    if size is not None:
        sides = np.asarray(size)
        if sides.shape not in ((), (2,)) or not np.issubdtype(sides.dtype, np.integer):
            raise DataError(f"expected size in whole pixels or (height, width), found {size!r}")
        height, width = np.broadcast_to(sides, 2).tolist()
        size = height, width
        check_room(f"size={size}", (1, 1, *size))
    try:
        return _load(name, split, data_root(root), size)
    except OSError as error:  # links that lead nowhere or round, names too long, no permission
        raise DataError(f"{name}: {error}") from error


def _load(name: str | Path, split: str, base: Path, size: tuple[int, int] | None) -> ItemSet:
    if name in _EMBEDDED:
        return _item_set(str(name), *_EMBEDDED[str(name)](split))
    if name in _IDX:
        return _idx_set(str(name), split, base)
    for path in (base / str(name), Path(name)):
        _check_split(path, split)
        for candidate in (path / split, path / f"{split}.zip", path):
            if candidate.is_dir() or (candidate.is_file() and candidate.suffix == ".zip"):
                return _class_folders(candidate, str(name), size)
    if name == "cifar10":
        return _downloaded_cifar10(base, split)
    raise DataError(
        f"unknown set {str(name)!r}; expected one of {', '.join(NAMES)}, "
        f"or a folder or zip of class folders (looked in {base} and {Path.cwd()})"
    )


def download(name: str, root: str | Path | None = None) -> None:
    """Download an official set through torchvision into the data root.

    Raises:
        DataError: for a set that is not downloadable, and when the download fails.
    """
    import torchvision

    if name not in _DOWNLOADS:
        raise DataError(f"{name!r} cannot be downloaded; expected one of {', '.join(_DOWNLOADS)}")
    kind = getattr(torchvision.datasets, _DOWNLOADS[name])
    extra = {"split": "letters"} if name == "emnist_letters" else {}
    base = data_root(root)
    for train in (True, False):
        try:
            kind(str(base), train=train, download=True, **extra)
        except (OSError, RuntimeError) as error:
            why = " ".join(str(error).split())
            raise DataError(f"{name} could not be downloaded into {base}: {why}") from error


def catalogue(root: str | Path | None = None) -> list[dict[str, object]]:
    """What is there: one row for each known set and split.

    Returns:
        Dictionaries with name, split, images (0 when absent), classes, size, licence, source and
        ``where`` ("embedded", a path, or what is wrong).
    """
    base = data_root(root)
    known = {*NAMES, *(idx.folder for idx in _IDX.values()), "cifar-10-batches-py"}
    own = sorted(path.name for path in base.glob("*/") if path.name not in known)
    there = [
        (name, split)
        for name, split in product(own, SPLITS)
        if any(map(os.path.lexists, (base / name / split, base / name / f"{split}.zip")))
    ]
    rows = []
    for name, split in (*product(NAMES, SPLITS), *there):
        row: dict[str, object] = {"name": name, "split": split, "images": 0, "classes": 0}
        try:
            items = load(name, split, root)
        except DataError as error:
            row |= {"size": "", "licence": "", "source": "", "where": str(error)}
        else:
            channels, *size = items.images.shape[1:]
            row |= {
                "images": len(items),
                "classes": len(items.classes),
                "size": "x".join(map(str, (*size, channels))),
                "licence": items.licence,
                "source": items.source,
                "where": "embedded" if name in _EMBEDDED else str(base),
            }
        rows.append(row)
    return rows


def _check_split(path: Path, split: str) -> None:
    """Refuse to give the items of the other split, or labels that mean others there."""
    (other,) = (each for each in SPLITS if each != split)
    ours, theirs = (
        [each for each in (path / name, path / f"{name}.zip") if each.exists()]
        for name in (split, other)
    )
    if theirs and not ours:
        raise DataError(f"{path} has no {split} split, only {theirs[0].name}")
    if path.stem == other and path.exists():
        raise DataError(f"{path} is the {other} split; {split} was asked for: name {path.parent}")
    if ours and theirs:
        names, others = (sorted(class_names(each)) for each in (ours[0], theirs[0]))
        if names != others:
            raise DataError(
                f"{path}: expected the same class folders in both splits, found "
                f"{', '.join(names)} in {ours[0].name} and {', '.join(others)} in {theirs[0].name}"
            )


def _item_set(
    name: str, images: np.ndarray, labels: np.ndarray, classes: Sequence[str], source: str = ""
) -> ItemSet:
    """The set of these arrays; ``source`` is of one that is not known by name."""
    source, licence = (source, "") if source else _ORIGINS[name]
    # Cached arrays are read-only: they are copied.
    images, labels = (np.require(array, requirements="W") for array in (images, labels))
    return ItemSet(
        torch.from_numpy(images),
        torch.from_numpy(labels),
        tuple(classes),
        Path(name).stem,
        source,
        licence,
    )


def _missing(name: str, path: Path) -> DataError:
    return DataError(
        f"{name}: {path} is not there. 'invlib datasets --download {name}' gets it, or set "
        f"INVLIB_DATA to a folder that has it"
    )


def _idx_set(name: str, split: str, base: Path) -> ItemSet:
    idx = _IDX[name]
    folder, prefix = base / idx.folder / "raw", idx.prefixes[SPLITS.index(split)]
    image_file, label_file = f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"
    images = read_idx(_idx_path(name, folder, image_file), dims=3)
    labels = read_idx(_idx_path(name, folder, label_file), dims=1).astype(np.int64)
    labels -= idx.first_label
    if len(images) != len(labels):
        raise DataError(
            f"{name}: {image_file} has {len(images)} images, {label_file} has {len(labels)} labels"
        )
    if idx.transposed:
        images = images.transpose(0, 2, 1)
    classes = idx.classes
    if len(labels) and 0 <= labels.max() < len(classes):
        # A prefix of a sorted file (EMNIST) holds the first classes only.
        classes = classes[: int(labels.max()) + 1]
    images = np.ascontiguousarray(images).reshape(-1, 1, *images.shape[1:])
    return _item_set(name, images, labels, classes)


def _idx_path(name: str, folder: Path, file: str) -> Path:
    for path in (folder / file, folder / f"{file}.gz"):
        if path.is_file():
            return path
    raise _missing(name, folder / f"{file}[.gz]")


def _class_folders(path: Path, name: str, size: tuple[int, int] | None) -> ItemSet:
    images, of = read_images(path, size)
    classes = sorted(set(of))
    number = {each: label for label, each in enumerate(classes)}
    labels = np.array([number[each] for each in of])
    source = "" if name == "cifar10" else str(path)
    return _item_set(name, images, labels, classes, source)


def _downloaded_cifar10(base: Path, split: str) -> ItemSet:
    """CIFAR-10 as torchvision downloads it: its classes are in alphabetical order as well."""
    import torchvision

    if not (base / "cifar-10-batches-py").is_dir():
        raise _missing("cifar10", base / "cifar10" / f"{split}.zip")
    try:
        cifar = torchvision.datasets.CIFAR10(str(base), train=split == "train", download=False)
    except RuntimeError as error:
        raise DataError(f"cifar10 in {base}: {error}") from error
    images = np.ascontiguousarray(cifar.data.transpose(0, 3, 1, 2))
    return _item_set("cifar10", images, np.array(cifar.targets), cifar.classes)
