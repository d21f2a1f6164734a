"""The sets that are known by name, and folders or zips of the reader's own.

Files are looked for under a data root: the argument ``root``, else the environment variable
``INVLIB_DATA``, else the user's cache. The root has torchvision's layout
(``MNIST/raw/train-images-idx3-ubyte[.gz]``); any other set stands there as
``<name>/<split>/<class>/*`` or ``<name>/<split>.zip``.
"""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from invlib.data import objects, synthetic
from invlib.data.files import decode, folder_files, read_idx, zip_files
from invlib.data.items import DataError, ItemSet


@dataclass(frozen=True)
class _Official:
    """An official set in IDX files: where torchvision keeps it, and how to read it."""

    folder: str
    torchvision: str
    source: str
    licence: str
    classes: tuple[str, ...]
    prefix: dict[str, str]
    first_label: int = 0
    transposed: bool = False

    def files(self, split: str) -> tuple[str, str]:
        prefix = self.prefix[split]
        return f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"


_DIGITS = tuple("0123456789")

_MNIST_FILES = {"train": "train", "test": "t10k"}

_OFFICIAL = {
    "mnist": _Official(
        "MNIST",
        "MNIST",
        "LeCun, Cortes, Burges 1998",
        "none stated, usually cited as CC BY-SA 3.0",
        _DIGITS,
        _MNIST_FILES,
    ),
    "fashion_mnist": _Official(
        "FashionMNIST",
        "FashionMNIST",
        "Xiao, Rasul, Vollgraf 2017",
        "MIT",
        ("T-shirt", "Trouser", "Pullover", "Dress", "Coat")
        + ("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        _MNIST_FILES,
    ),
    "kmnist": _Official(
        "KMNIST",
        "KMNIST",
        "Clanuwat et al. 2018",
        "CC BY-SA 4.0",
        ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
        _MNIST_FILES,
    ),
    "emnist_letters": _Official(
        "EMNIST",
        "EMNIST",
        "Cohen, Afshar, Tapson, van Schaik 2017",
        "none stated, derived from NIST Special Database 19",
        tuple("ABCDEFGHIJKLMNOPQRSTUVWXYZ"),
        {"train": "emnist-letters-train", "test": "emnist-letters-test"},
        first_label=1,
        transposed=True,
    ),
}

_FOLDERS = {
    "cifar10": ("Krizhevsky 2009", "none stated, asks to cite the report", "CIFAR10"),
}

_EMBEDDED = {
    "digits": ("scikit-learn's copy of UCI ML optdigits", "CC BY 4.0"),
    "glyphs": ("letters drawn with matplotlib's fonts", "MIT (fonts: their own free licences)"),
    "objects10": ("drawn by invlib", "MIT"),
    "objects2": ("drawn by invlib", "MIT"),
}

NAMES = (*_OFFICIAL, *_FOLDERS, *_EMBEDDED)

SPLITS = ("train", "test")


def data_root(root: str | Path | None = None) -> Path:
    """The folder in which files are looked for: ``root``, ``INVLIB_DATA`` or the user's cache."""
    if root is not None:
        return Path(root)
    if "INVLIB_DATA" in os.environ:
        return Path(os.environ["INVLIB_DATA"])
    import platformdirs

    return Path(platformdirs.user_cache_dir("invlib")) / "data"


def load(
    name: str | Path,
    split: str = "train",
    root: str | Path | None = None,
    size: tuple[int, int] | None = None,
) -> ItemSet:
    """A set of items by name, or a folder or zip of class folders by path.

    Args:
        name: one of ``NAMES``, the name of a folder under the data root
            (``<root>/<name>/<split>/<class>/*`` or ``<root>/<name>/<split>.zip``), or the path
            of such a folder or zip.
        split: ``"train"`` or ``"test"``; not used for a zip or a folder of class folders given
            by path. ``objects10`` and ``objects2`` have one image per class and are the same
            in both.
        root: the data root.
        size: (height, width) to which each image of a folder or zip is resized (bicubic); needed
            where they are not of one size, which an ``ItemSet`` has.

    Returns:
        All items of the split in the official order.

    Raises:
        DataError: for an unknown name or split, and for missing or damaged files, which are
            named.
    """
    if split not in SPLITS:
        raise DataError(f"unknown split {split!r}; expected one of {', '.join(SPLITS)}")
    if name in _EMBEDDED:
        return _embedded(str(name), split)
    base = data_root(root)
    if name in _OFFICIAL:
        return _idx_set(str(name), split, base)
    for path in (base / str(name), Path(name)):
        for candidate in (path / split, path / f"{split}.zip", path):
            if candidate.is_dir() or (candidate.is_file() and candidate.suffix == ".zip"):
                return _class_folders(candidate, str(name), size)
    if name in _FOLDERS:
        downloaded = base / "cifar-10-batches-py"
        if downloaded.is_dir():
            return _downloaded_cifar10(base, split)
        raise _missing(str(name), base / str(name) / f"{split}.zip")
    raise DataError(
        f"unknown set {str(name)!r}; expected one of {', '.join(NAMES)}, "
        f"or a folder or zip of class folders (looked in {base})"
    )


def download(name: str, root: str | Path | None = None) -> None:
    """Download an official set through torchvision into the data root.

    Raises:
        DataError: for a set that is not downloadable, and when the download fails.
    """
    from invlib._torchvision import torchvision

    if name not in _OFFICIAL and name not in _FOLDERS:
        raise DataError(
            f"{name!r} cannot be downloaded; expected one of {', '.join((*_OFFICIAL, *_FOLDERS))}"
        )
    kind = _OFFICIAL[name].torchvision if name in _OFFICIAL else _FOLDERS[name][2]
    extra = {"split": "letters"} if name == "emnist_letters" else {}
    base = data_root(root)
    for train in (True, False):
        try:
            getattr(torchvision.datasets, kind)(str(base), train=train, download=True, **extra)
        except (OSError, RuntimeError) as error:
            why = " ".join(str(error).split())
            raise DataError(f"{name} could not be downloaded into {base}: {why}") from error


def catalogue(root: str | Path | None = None) -> list[dict[str, object]]:
    """What is there: one row for each known set and split.

    Returns:
        Dictionaries with name, split, images (0 when absent), classes, size, licence, source and
        ``where`` ("embedded", a path, or what is wrong).
    """
    rows = []
    base = data_root(root)
    own = []
    if base.is_dir():
        known = {*NAMES, *(o.folder for o in _OFFICIAL.values()), "cifar-10-batches-py"}
        own = sorted(p.name for p in base.iterdir() if p.is_dir() and p.name not in known)
    for name in (*NAMES, *own):
        for split in SPLITS:
            if name in own and not (
                (base / name / split).is_dir() or (base / name / f"{split}.zip").is_file()
            ):
                continue
            row: dict[str, object] = {"name": name, "split": split, "images": 0, "classes": 0}
            try:
                items = load(name, split, root)
            except DataError as error:
                row |= {"size": "", "licence": "", "source": "", "where": str(error)}
            else:
                size = "x".join(str(s) for s in (*items.images.shape[2:], items.images.shape[1]))
                row |= {
                    "images": len(items),
                    "classes": len(items.classes),
                    "size": size,
                    "licence": items.licence,
                    "source": items.source,
                    "where": "embedded" if name in _EMBEDDED else str(base),
                }
            rows.append(row)
    return rows


def _embedded(name: str, split: str) -> ItemSet:
    draw = getattr(synthetic, name, None)
    images, labels, classes = draw(split) if draw else objects.objects(name)
    source, licence = _EMBEDDED[name]
    return ItemSet(
        torch.from_numpy(images.copy()),
        torch.from_numpy(labels.copy()),
        tuple(classes),
        name,
        source,
        licence,
    )


def _missing(name: str, path: Path) -> DataError:
    return DataError(
        f"{name}: {path} is not there. 'invlib datasets --download {name}' gets it, or set "
        f"INVLIB_DATA to a folder that has it"
    )


def _idx_set(name: str, split: str, base: Path) -> ItemSet:
    official = _OFFICIAL[name]
    image_file, label_file = official.files(split)
    folder = base / official.folder / "raw"
    images = read_idx(_idx_path(name, folder, image_file), dims=3)
    labels_path = _idx_path(name, folder, label_file)
    labels = read_idx(labels_path, dims=1).astype(np.int64) - official.first_label
    if len(images) != len(labels):
        raise DataError(
            f"{name}: {image_file} has {len(images)} images, {label_file} has {len(labels)} labels"
        )
    if official.transposed:
        images = images.transpose(0, 2, 1)
    classes = official.classes
    if len(labels) and 0 <= labels.max() < len(classes):
        # A prefix of a sorted file (EMNIST) holds the first classes only.
        classes = classes[: int(labels.max()) + 1]
    return ItemSet(
        torch.from_numpy(np.ascontiguousarray(images))[:, None],
        torch.from_numpy(labels),
        classes,
        name,
        official.source,
        official.licence,
    )


def _idx_path(name: str, folder: Path, file: str) -> Path:
    for path in (folder / file, folder / f"{file}.gz"):
        if path.is_file():
            return path
    raise _missing(name, folder / f"{file}[.gz]")


def _class_folders(path: Path, name: str, size: tuple[int, int] | None) -> ItemSet:
    """Items of a folder or zip of class folders, sorted by file name within the whole set."""
    by_class: dict[str, list[tuple[str, bytes]]] = {}
    parents: dict[str, str] = {}
    files = zip_files(path) if path.is_file() else folder_files(path)
    for member, data in files:
        folder = PurePosixPath(member).parent
        if parents.setdefault(folder.name, str(folder)) != str(folder):
            raise DataError(
                f"{path}: expected one folder for each class, found both "
                f"{parents[folder.name]} and {folder} (one split in one file)"
            )
        by_class.setdefault(folder.name, []).append((member, data))
    if not by_class:
        raise DataError(f"{path}: expected class folders with images (<class>/<image>), found none")
    classes = tuple(sorted(by_class))
    entries = [
        (PurePosixPath(member).name, label, member, data)
        for label, each in enumerate(classes)
        for member, data in by_class[each]
    ]
    # File names of the official position (CIFAR-10) restore the official order.
    entries.sort(key=lambda entry: (entry[0], entry[1]))
    arrays = [decode(data, f"{path}: {member}", size) for _, _, member, data in entries]
    channels = max(a.shape[0] for a in arrays)
    arrays = [a if a.shape[0] == channels else a.repeat(channels, axis=0) for a in arrays]
    shapes = {a.shape for a in arrays}
    if len(shapes) > 1:
        sizes = ", ".join(sorted(f"{h} x {w}" for _, h, w in shapes)[:4])
        raise DataError(
            f"{path}: expected images of one size, found {sizes}; load(..., size=) resizes"
        )
    source, licence = _FOLDERS.get(name, (str(path), "", ""))[:2]
    return ItemSet(
        torch.from_numpy(np.stack(arrays)),
        torch.tensor([label for _, label, _, _ in entries]),
        classes,
        Path(name).stem,
        source,
        licence,
    )


def _downloaded_cifar10(base: Path, split: str) -> ItemSet:
    from invlib._torchvision import torchvision

    try:
        cifar = torchvision.datasets.CIFAR10(str(base), train=split == "train", download=False)
    except RuntimeError as error:
        raise DataError(f"cifar10 in {base}: {error}") from error
    # Classes in alphabetical order already, as in a folder of class folders.
    source, licence, _ = _FOLDERS["cifar10"]
    images = torch.from_numpy(cifar.data).permute(0, 3, 1, 2).contiguous()
    return ItemSet(
        images, torch.tensor(cifar.targets), tuple(cifar.classes), "cifar10", source, licence
    )
