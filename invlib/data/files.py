"""Reading images from IDX files, folders and zips that may be damaged.

Own readers: torchvision's believe the header of an IDX file, extract archives, and let errors of
the decoders through.
"""

import gzip
import io
import math
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from invlib.data.items import DataError


def read_idx(path: Path, dims: int) -> np.ndarray:
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


def folder_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """Name (``<class>/<image>``) and bytes of each image in a folder of class folders."""
    for folder in sorted(p for p in path.iterdir() if p.is_dir() and not _hidden(p.name)):
        images = [p for p in sorted(folder.iterdir()) if _is_image(p.name)]
        if not images:
            raise DataError(f"{path}: class folder {folder.name} has no images")
        for image in images:
            yield f"{folder.name}/{image.name}", image.read_bytes()


def zip_files(path: Path) -> Iterator[tuple[str, bytes]]:
    """The same of a zip, which is read without extracting it."""
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


def class_names(path: Path) -> set[str]:
    """The names of the class folders of a folder or zip, of which no image is read."""
    if path.is_dir():
        return {p.name for p in path.iterdir() if p.is_dir() and not _hidden(p.name)}
    try:
        with zipfile.ZipFile(path) as archive:
            members = [PurePosixPath(name) for name in archive.namelist()]
    except (OSError, zipfile.BadZipFile) as error:
        raise DataError(f"{path}: not a zip, damaged or cut short ({error})") from error
    return {m.parent.name for m in members if _is_image(m.name) and not any(map(_hidden, m.parts))}


def _hidden(name: str) -> bool:
    """What editors and archivers leave between a user's files."""
    return name.startswith((".", "__MACOSX"))


def _is_image(name: str) -> bool:
    return not _hidden(name) and PurePosixPath(name).suffix.lower() in _IMAGE_SUFFIXES


def decode(data: bytes, named: str, size: tuple[int, int] | None) -> np.ndarray:
    """An image of 8 bits a channel: uint8 (1 or 3, height, width); ``named`` is for errors.

    One of another shape than ``size`` has black added.
    """
    try:
        with Image.open(io.BytesIO(data)) as image:
            if image.mode.startswith(("I", "F")):
                raise DataError(f"{named}: expected 8 bits for each channel, found {image.mode}")
            grey = image.mode in ("1", "L", "LA")
            converted = image.convert("L" if grey else "RGB")
            if size is not None:
                converted = ImageOps.pad(converted, size[::-1], Image.Resampling.BICUBIC)
            array = np.asarray(converted)
    except DataError:
        raise
    except UnidentifiedImageError as error:  # its own text names a buffer in memory
        raise DataError(f"{named}: not an image, damaged or cut short") from error
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise DataError(f"{named}: not an image, damaged or cut short ({error})") from error
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
