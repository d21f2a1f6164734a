"""Reading images from IDX files, folders and zips that may be damaged.

Own readers: torchvision's believe the header of an IDX file, extract archives, and let errors of
the decoders through. Memory follows what a file promises, within the limits below, not what was
packed into it. Each limit is chosen so that nothing damaged takes 1 GB.
"""

import bz2
import copy
import gzip
import io
import lzma
import math
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from stat import S_ISDIR, S_ISREG

import numpy as np
from PIL import Image, ImageFile, ImageOps, UnidentifiedImageError
from PIL.TiffImagePlugin import BITSPERSAMPLE, TILELENGTH, TILEWIDTH

from invlib.data.items import DataError, check_room

_IDX_BYTES = 1 << 28
"""What an IDX file may hold: more than twice the largest official one (EMNIST's letters)."""

_FILE_BYTES = 1 << 27
"""The largest image file. Unpacked from a zip it is there up to four times: as packed, in the
dictionary, in pieces and whole."""

_DECODER_BYTES = 660_000_000
"""What the decoding of one picture may take: a photograph of 50 million pixels. Pillow was seen to
need up to 12 bytes a pixel (progressive JPEG of four channels), 20 for WebP, and three times the
file where that is all colour profile or notes."""

_MEMBERS_BYTES = 1 << 24
"""The longest list of a zip's members, some 160,000 images; once read it takes 20 times as much."""

_FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")
"""Whatever the suffix says. Pillow knows more, one of which (EPS) starts another program."""


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
            if dims == 3:
                check_room(f"{path}, by its header", (1, 1, *shape[1:]))
            promised = math.prod(shape)
            # Labels take eight bytes each later on.
            limit = _IDX_BYTES if dims > 1 else _IDX_BYTES // 8
            if promised > limit:
                raise DataError(
                    f"{path}: the header promises {promised} bytes of data, {limit} are the most"
                )
            # Read in pieces: what is there may be less.
            data = bytearray()
            while len(data) <= promised:
                piece = file.read(min(1 << 24, promised + 1 - len(data)))
                if not piece:
                    break
                data += piece
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path}: cannot be read, damaged or cut short ({error})") from error
    if len(data) != promised:
        found = "more" if len(data) > promised else f"{len(data)}"
        raise DataError(f"{path}: the header promises {promised} bytes of data, found {found}")
    return np.frombuffer(data, np.uint8).reshape(shape)


def read_images(path: Path, size: tuple[int, int] | None) -> tuple[np.ndarray, list[str]]:
    """The images of a folder or zip of class folders, decoded one after the other.

    Returns:
        uint8 (n, 1 or 3, height, width), and the names of their classes; sorted by file name
        within the whole set.
    """
    with _image_files(path) as files:
        folders: dict[str, PurePosixPath] = {}
        for name in files:
            folder = PurePosixPath(name).parent
            if folders.setdefault(folder.name, folder) != folder:
                raise DataError(
                    f"{path}: expected one folder for each class, found both "
                    f"{folders[folder.name]} and {folder} (one split in one file)"
                )
        if not files:
            raise DataError(
                f"{path}: expected class folders with images (<class>/<image>), found none"
            )
        # File names of the official position (CIFAR-10) restore the official order.
        names = sorted(files, key=lambda name: name.split("/")[:-3:-1])
        images = np.empty((0, 0, 0, 0), np.uint8)
        for index, name in enumerate(names):
            image = _decode(files[name](), f"{path}: {name}", size)
            if index == 0:
                # All are of one size: what the set takes is known before the next is decoded.
                check_room(str(path), (len(names), *image.shape))
                images = np.empty((len(names), *image.shape), np.uint8)
            if image.shape[1:] != images.shape[2:]:
                first, other = (f"{h} x {w}" for h, w in (images.shape[2:], image.shape[1:]))
                raise DataError(
                    f"{path}: expected images of one size, found {first} and, in {name}, {other}; "
                    f"load(..., size=) resizes"
                )
            if len(image) > images.shape[1]:
                # One coloured image makes the set coloured.
                check_room(str(path), (len(names), *image.shape))
                images = images.repeat(len(image), axis=1)
            images[index] = image
    return images, [name.split("/")[-2] for name in names]


def class_names(path: Path) -> set[str]:
    """The names of the class folders of a folder or zip, of which no image is read."""
    with _image_files(path) as files:
        return {name.split("/")[-2] for name in files}


_Files = dict[str, Callable[[], bytes]]
"""What reads each image, by name (``<class>/<image>``)."""


@contextmanager
def _image_files(path: Path) -> Iterator[_Files]:
    if path.is_dir():
        yield _folder_files(path)
        return
    if not path.is_file():
        raise DataError(f"{path}: expected a folder or a zip")
    try:
        with _Bounded(path) as file, zipfile.ZipFile(file) as archive:
            yield _zip_files(path, archive)
    except DataError:
        raise
    except Exception as error:
        # zipfile lets through whatever its decompressors raise on damaged bytes.
        raise DataError(f"{path}: not a zip, damaged or cut short ({error})") from error


def _folder_files(path: Path) -> _Files:
    files: _Files = {}
    for folder in sorted(path.iterdir()):
        # Follows a link, and raises where it leads nowhere.
        if _hidden(folder.name) or not S_ISDIR(folder.stat().st_mode):
            continue
        images = [image for image in sorted(folder.iterdir()) if _is_image(image.name)]
        if not images:
            raise DataError(f"{path}: class folder {folder.name} has no images")
        files |= {f"{folder.name}/{image.name}": partial(_read_file, image) for image in images}
    return files


def _read_file(path: Path) -> bytes:
    status = path.stat()
    if not S_ISREG(status.st_mode):  # a pipe would be waited for, a device read for ever
        raise DataError(f"{path}: expected an image file, found a folder, pipe or device")
    _check_size(str(path), status.st_size)
    return path.read_bytes()


def _check_size(named: str, size: int) -> None:
    if size > _FILE_BYTES:
        raise DataError(f"{named}: is of {size} bytes, {_FILE_BYTES} are the most")


class _Bounded(io.FileIO):
    """A zip's bytes: zipfile reads the list of members at once, however long it says it is."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > _MEMBERS_BYTES:
            raise DataError(
                f"{self.name}: the list of its members is of {size} bytes, {_MEMBERS_BYTES} are "
                f"the most; a folder may hold more"
            )
        return super().read(size)


def _zip_files(path: Path, archive: zipfile.ZipFile) -> _Files:
    """A zip is read without extracting it."""
    members = archive.infolist()
    before = min((member.header_offset for member in members), default=0)
    if before:
        raise DataError(
            f"{path}: expected a single zip, found {before} bytes before it (two zips joined?)"
        )
    files: _Files = {}
    for member in members:
        parts = PurePosixPath(member.filename).parts
        if "\0" in member.orig_filename:
            raise DataError(f"{path}: the name {member.orig_filename!r} has a NUL in it")
        if member.filename.startswith("/") or ".." in parts or "\\" in member.filename:
            raise DataError(f"{path}: the name {member.filename!r} leaves the folder")
        if b"PK\1\2" in member.extra + member.comment:
            raise DataError(f"{path}: damaged, the notes on {member.filename} hold other members")
        if member.is_dir() or not _is_image(parts[-1]) or any(map(_hidden, parts)):
            # Names have no checksum but stand there twice: this compares them, lest one changed
            # byte leaves an image out.
            archive.open(member).close()
            continue
        if len(parts) < 2:
            raise DataError(f"{path}: {member.filename} lies in no class folder")
        name = "/".join(parts)
        if name in files:
            raise DataError(f"{path}: two members have the name {name}")
        _check_size(f"{path}: {name}", max(member.file_size, member.compress_size))
        files[name] = partial(_unpack, archive, member)
    return files


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    """The bytes of a member, of which no more are unpacked than it promises."""
    if member.compress_type not in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        return _read_member(archive, member)
    # zipfile unpacks these without an end: it reads the packed bytes only.
    packed = copy.copy(member)
    packed.compress_type, packed.file_size = zipfile.ZIP_STORED, member.compress_size
    del packed.CRC
    data = _read_member(archive, packed)
    decompressor: bz2.BZ2Decompressor | lzma.LZMADecompressor = bz2.BZ2Decompressor()
    if member.compress_type == zipfile.ZIP_LZMA:
        # Four bytes of version and length, five of properties; a file of its own has after them
        # the length of the data, here unknown.
        decompressor = lzma.LZMADecompressor(lzma.FORMAT_ALONE)
        data = data[4:9] + b"\xff" * 8 + data[9:]
    data = decompressor.decompress(data, member.file_size + 1)
    if len(data) != member.file_size or zlib.crc32(data) != member.CRC:
        raise zipfile.BadZipFile(f"{member.filename} is not what was packed")
    return data


def _read_member(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes:
    with archive.open(member) as file:
        return b"".join(iter(partial(file.read, 1 << 20), b""))


def _hidden(name: str) -> bool:
    """What editors and archivers leave between a user's files."""
    return name.startswith((".", "__MACOSX"))


_IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}


def _is_image(name: str) -> bool:
    return not _hidden(name) and PurePosixPath(name).suffix.lower() in _IMAGE_SUFFIXES


def _decode(data: bytes, named: str, size: tuple[int, int] | None) -> np.ndarray:
    """An image of 8 bits a channel: uint8 (1 or 3, height, width); ``named`` is for errors."""
    try:
        with warnings.catch_warnings():
            # Pillow warns of metadata, on which no pixel depends, and of sizes, limited here.
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as image:
                _check_picture(image, len(data), named, size)
                array = np.asarray(_flat(image, size))
    except DataError:
        raise
    except Image.DecompressionBombError as error:
        raise DataError(f"{named}: {error}") from error
    except UnidentifiedImageError as error:  # its own text names a buffer in memory
        raise DataError(f"{named}: not an image, damaged or cut short") from error
    except Exception as error:  # decoders raise what they run into
        raise DataError(f"{named}: not an image, damaged or cut short ({error})") from error
    return array[None] if array.ndim == 2 else array.transpose(2, 0, 1)


def _check_picture(
    image: ImageFile.ImageFile, file_size: int, named: str, size: tuple[int, int] | None
) -> None:
    """Refuse what Pillow would decode to other values, or in more memory than there may be."""
    tags = getattr(image, "tag_v2", {})  # of a TIFF
    # Pillow cuts colours of 16 bits to 8, and says so nowhere but in what it is about to do.
    sixteen = ";16B" in str(image.tile) or np.max(tags.get(BITSPERSAMPLE, 8)) > 8
    if image.mode.startswith(("I", "F")) or sixteen:
        found = "16" if sixteen else image.mode
        raise DataError(f"{named}: expected 8 bits for each channel, found {found}")
    # A tile is decoded whole, however little of it is seen.
    height = max(image.height, tags.get(TILELENGTH, 0))
    width = max(image.width, tags.get(TILEWIDTH, 0))
    needed = 3 * file_size + (20 if image.format == "WEBP" else 12) * height * width
    if needed > _DECODER_BYTES:
        raise DataError(
            f"{named}: decoding a picture of {height} x {width} pixels may take {needed} bytes, "
            f"{_DECODER_BYTES} are the most"
        )
    if size is None:
        check_room(f"{named}, without load(..., size=)", (1, 1, image.height, image.width))


def _flat(image: Image.Image, size: tuple[int, int] | None) -> Image.Image:
    """Upright, grey or coloured, on black; of another shape than ``size`` with black added."""
    ImageOps.exif_transpose(image, in_place=True)
    mode = "L" if image.mode in ("1", "L", "LA") else "RGB"
    if image.has_transparency_data:
        solid = image.convert("RGBA")
        flat = Image.new(mode, image.size)
        flat.paste(solid, mask=solid)
    else:
        flat = image if image.mode == mode else image.convert(mode)
    if size is not None:
        flat = ImageOps.pad(flat, size[::-1], Image.Resampling.BICUBIC)
    return flat
