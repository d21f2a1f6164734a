"""Sets of small labelled images: real ones from official files, folders and zips, embedded ones.

Files are looked for under a data root: the argument ``root``, else the environment variable
``INVLIB_DATA``, else the user's cache. The root has torchvision's layout
(``MNIST/raw/train-images-idx3-ubyte[.gz]``); any other set stands there as
``<name>/<split>/<class>/*`` or ``<name>/<split>.zip``.
"""

import gzip
import io
import math
import os
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from invlib import synthetic


class DataError(ValueError):
    """A data set, or a file of it, is missing, damaged or not what was asked for."""


@dataclass(frozen=True, eq=False)
class ItemSet:
    """Labelled items.

    Attributes:
        images: uint8 tensor (n, channels, height, width), 0 to 255; 1 or 3 channels.
        labels: int64 tensor (n,), from 0 to ``len(classes) - 1``; every class has an item.
        classes: the names of the classes.
        name: the set's name.
        source: who made it, as one line.
        licence: as published by its authors.

    Raises:
        DataError: for wrong shapes or types, labels out of range, or a class without items.
    """

    images: Tensor
    labels: Tensor
    classes: tuple[str, ...]
    name: str
    source: str = ""
    licence: str = ""

    def __post_init__(self) -> None:
        shape = tuple(self.images.shape)
        if self.images.dtype != torch.uint8 or len(shape) != 4 or shape[1] not in (1, 3):
            raise DataError(
                f"{self.name}: images must be uint8 of shape (n, 1 or 3, height, width), "
                f"not {self.images.dtype} of shape {shape}"
            )
        if self.labels.dtype != torch.int64 or tuple(self.labels.shape) != shape[:1]:
            raise DataError(
                f"{self.name}: labels must be int64 of shape ({shape[0]},), "
                f"not {self.labels.dtype} of shape {tuple(self.labels.shape)}"
            )
        if shape[0] == 0:
            raise DataError(f"{self.name}: expected items, found none")
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or high >= len(self.classes):
            raise DataError(
                f"{self.name}: labels must be 0 to {len(self.classes) - 1} "
                f"for {len(self.classes)} classes, found {low} to {high}"
            )
        counts = torch.bincount(self.labels, minlength=len(self.classes))
        empty = [c for c, count in zip(self.classes, counts.tolist(), strict=True) if count == 0]
        if empty:
            raise DataError(f"{self.name}: no items of class {', '.join(empty)}")

    def __len__(self) -> int:
        return len(self.images)

    def take(self, index: Tensor) -> "ItemSet":
        """The items at ``index`` (int64 (m,)), with all classes kept."""
        return replace(self, images=self.images[index], labels=self.labels[index])

    def first(self, per_class: int, skip: int = 0) -> "ItemSet":
        """The first ``per_class`` items of each class in the file's order, after ``skip``.

        A rule on the official order, so a full download gives the same items as a prefix of it.

        Raises:
            DataError: when a class has too few items.
        """
        kept = []
        for label, name in enumerate(self.classes):
            index = torch.nonzero(self.labels == label).flatten()
            if len(index) < skip + per_class:
                raise DataError(
                    f"{self.name}: class {name} has {len(index)} items, "
                    f"{skip + per_class} are asked for"
                )
            kept.append(index[skip : skip + per_class])
        return self.take(torch.cat(kept).sort().values)

    def only(self, classes: int) -> "ItemSet":
        """The first ``classes`` classes.

        Raises:
            DataError: when there are fewer.
        """
        if classes > len(self.classes):
            raise DataError(
                f"{self.name}: {classes} classes are asked for, found {len(self.classes)}"
            )
        keep = torch.nonzero(self.labels < classes).flatten()
        images, labels = self.images[keep], self.labels[keep]
        return replace(self, images=images, labels=labels, classes=self.classes[:classes])

    def grey(self) -> "ItemSet":
        """One channel: ITU-R 601 luma of coloured items, as in Pillow."""
        if self.images.shape[1] == 1:
            return self
        weights = torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)
        luma = (self.images * weights).sum(1, keepdim=True).round().to(torch.uint8)
        return replace(self, images=luma)

    def rgb(self) -> "ItemSet":
        """Three channels: grey items repeated."""
        if self.images.shape[1] == 3:
            return self
        return replace(self, images=self.images.repeat(1, 3, 1, 1))

    def resized(self, size: tuple[int, int]) -> "ItemSet":
        """Items of ``size`` (height, width), bicubic with antialiasing.

        Pillow's filter, without its clipping between rows and columns: at sharp edges single
        pixels differ by some grey levels.
        """
        if tuple(self.images.shape[2:]) == tuple(size):
            return self
        # In pieces: a large set in floating point would not fit a small machine.
        pieces = [
            torch.nn.functional.interpolate(
                piece.float(), size=size, mode="bicubic", antialias=True
            )
            .round()
            .clamp(0, 255)
            .to(torch.uint8)
            for piece in self.images.split(4096)
        ]
        return replace(self, images=torch.cat(pieces))


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
    images, labels, classes = draw(split) if draw else synthetic.objects(name)
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
    images = _read_idx(_idx_path(name, folder, image_file), dims=3)
    labels_path = _idx_path(name, folder, label_file)
    labels = _read_idx(labels_path, dims=1).astype(np.int64) - official.first_label
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


def _read_idx(path: Path, dims: int) -> np.ndarray:
    """An IDX file of unsigned bytes (LeCun's format), compressed or not.

    The header is checked, and no more than it promises is ever read.
    """
    head = 4 + 4 * dims
    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            header = file.read(head)
            if len(header) < head or header[:2] != b"\0\0" or header[2:4] != bytes([8, dims]):
                raise DataError(
                    f"{path}: expected an IDX file of unsigned bytes in {dims} dimensions "
                    f"(it begins 00 00 08 0{dims}), found {header[:4].hex(' ') or 'nothing'}"
                )
            shape = tuple(np.frombuffer(header, ">u4", offset=4).tolist())
            if dims == 3 and not (1 <= shape[1] <= 4096 and 1 <= shape[2] <= 4096):
                raise DataError(f"{path}: the header says images of {shape[1]} x {shape[2]} pixels")
            promised = math.prod(shape)
            # Read in pieces: a header may promise more memory than there is.
            data = bytearray()
            while len(data) <= promised:
                piece = file.read(min(1 << 24, promised + 1 - len(data)))
                if not piece:
                    break
                data += piece
    except (OSError, EOFError, gzip.zlib.error) as error:  # type: ignore[attr-defined]
        raise DataError(f"{path}: cannot be read, damaged or cut short ({error})") from error
    if len(data) != promised:
        found = "more" if len(data) > promised else f"{len(data)}"
        raise DataError(f"{path}: the header promises {promised} bytes of data, found {found}")
    return np.frombuffer(data, np.uint8).reshape(shape)


_IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


def _class_folders(path: Path, name: str, size: tuple[int, int] | None) -> ItemSet:
    """Items of a folder or zip of class folders, sorted by file name within the whole set."""
    by_class: dict[str, list[tuple[str, bytes]]] = {}
    parents: dict[str, str] = {}
    files = _zip_files(path) if path.is_file() else _folder_files(path)
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
    arrays = [_decode(data, f"{path}: {member}", size) for _, _, member, data in entries]
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


def _folder_files(path: Path) -> Iterator[tuple[str, bytes]]:
    for folder in sorted(p for p in path.iterdir() if p.is_dir() and not _hidden(p.name)):
        images = [p for p in sorted(folder.iterdir()) if _is_image(p.name)]
        if not images:
            raise DataError(f"{path}: class folder {folder.name} has no images")
        for image in images:
            yield f"{folder.name}/{image.name}", image.read_bytes()


def _zip_files(path: Path) -> Iterator[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(path) as archive:
            for member in archive.infolist():
                parts = PurePosixPath(member.filename).parts
                if member.filename.startswith("/") or ".." in parts or "\\" in member.filename:
                    raise DataError(f"{path}: the name {member.filename!r} leaves the folder")
                if member.is_dir() or not _is_image(parts[-1]) or any(map(_hidden, parts)):
                    continue
                if len(parts) < 2:
                    raise DataError(f"{path}: {member.filename} lies in no class folder")
                if member.file_size > 1 << 26:
                    raise DataError(f"{path}: {member.filename} is larger than 64 MiB")
                yield member.filename, archive.read(member)
    except DataError:
        raise
    except Exception as error:
        # zipfile lets through whatever its decompressors and decoders raise on damaged bytes.
        raise DataError(f"{path}: not a zip, damaged or cut short ({error})") from error


def _hidden(name: str) -> bool:
    """What editors and archivers leave between a user's files."""
    return name.startswith((".", "__MACOSX"))


def _is_image(name: str) -> bool:
    return not _hidden(name) and PurePosixPath(name).suffix.lower() in _IMAGE_SUFFIXES


def _decode(data: bytes, named: str, size: tuple[int, int] | None) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode.startswith(("I", "F")):
                raise DataError(f"{named}: expected 8 bits for each channel, found {image.mode}")
            grey = image.mode in ("1", "L", "LA")
            converted = image.convert("L" if grey else "RGB")
            if size is not None:
                converted = converted.resize(size[::-1], Image.Resampling.BICUBIC)
            array = np.asarray(converted)
    except DataError:
        raise
    except UnidentifiedImageError as error:  # its own text names a buffer in memory
        raise DataError(f"{named}: not an image, damaged or cut short") from error
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:
        raise DataError(f"{named}: not an image, damaged or cut short ({error})") from error
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


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
