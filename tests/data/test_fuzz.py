"""Fuzzing: whatever is done to files of images, they are read as they were or refused by name.

How many examples are drawn says the profile of hypothesis: `tests/conftest.py`.
"""

import gzip
import io
import os
import shutil
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import event, given
from hypothesis import strategies as st
from PIL import Image

from invlib.data.items import DataError
from invlib.data.sets import load

NOISE = Image.fromarray(np.random.default_rng(0).integers(0, 256, (4, 3, 3), np.uint8))


def encoded(kind, **options):
    buffer = io.BytesIO()
    NOISE.save(buffer, kind, **options)
    return buffer.getvalue()


PICTURES = [encoded(kind) for kind in ("PNG", "JPEG", "WEBP", "BMP", "GIF", "TIFF")]
PICTURES += [encoded("TIFF", compression=each) for each in ("tiff_deflate", "tiff_lzw", "jpeg")]
PICTURES += [encoded("GIF", save_all=True, append_images=[NOISE.transpose(0)]), encoded("MPO")]
DECODED = [np.asarray(Image.open(io.BytesIO(each)).convert("RGB")) for each in PICTURES]

# At a place, so many bytes are replaced by others: flipped, inserted, left out.
edits = st.tuples(st.integers(0, 5000), st.integers(0, 8), st.binary(max_size=8))


def damaged(content, edits):
    for place, length, other in edits:
        at = place % (len(content) + 1)
        content = content[:at] + other + content[at + length :]
    return content


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


IMAGES = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)


@given(st.booleans(), st.sampled_from(["images-idx3", "labels-idx1"]), st.lists(edits, max_size=3))
def test_idx_files_are_read_as_they_are_or_refused_by_name(place, packed, which, edits):
    contents = {
        "images-idx3": struct.pack(">HBB3I", 0, 8, 3, *IMAGES.shape) + IMAGES.tobytes(),
        "labels-idx1": struct.pack(">HBBI", 0, 8, 1, 2) + b"\0\1",
    }
    folder = place / "MNIST" / "raw"
    folder.mkdir(parents=True, exist_ok=True)
    for path in folder.iterdir():
        path.unlink()
    for kind, content in contents.items():
        content = gzip.compress(content, 1) if packed else content
        contents[kind] = damaged(content, edits) if kind == which else content
        (folder / f"t10k-{kind}-ubyte{'.gz' * packed}").write_bytes(contents[kind])
    try:
        items = load("mnist", "test", place)
    except DataError as error:
        said = str(error)
        # The number in a header is held against the other file, the labels against the classes.
        assert said.startswith("mnist: ") or f"t10k-{which}" in said
        assert edits and "\n" not in said
        event("refused")
    else:
        images, labels = (gzip.decompress(c) if packed else c for c in contents.values())
        assert struct.pack(">4I", 2051, *items.images[:, 0].shape) == images[:16]
        assert items.images.numpy().tobytes() == images[16:]
        assert labels == struct.pack(">2I", 2049, len(items)) + bytes(items.labels.tolist())
        event("read")


CLASSES, HIDDEN = ["ant", "größe 猫"], [".hidden", "__MACOSX"]
FILES = ["1.png", "2.JPG", "3 é.tiff", "4.webp", ".5.png", "notes.txt"]
ODD = {
    "folder": Path.mkdir,
    "pipe": os.mkfifo,
    "link to nowhere": lambda path: path.symlink_to("nowhere"),
    "link to itself": lambda path: path.symlink_to(path.name),
    "device": lambda path: path.symlink_to("/dev/zero"),
}
pictures = st.tuples(st.integers(0, len(PICTURES) - 1), st.lists(edits, max_size=2))


@given(
    st.dictionaries(
        st.tuples(st.sampled_from(CLASSES + HIDDEN), st.sampled_from(FILES)),
        pictures | pictures | st.sampled_from([*ODD]),
        max_size=5,
    )
)
def test_folders_are_read_as_they_are_or_refused_by_name(place, files):
    folder = place / "folder"
    folder.mkdir()
    for (group, name), what in files.items():
        path = folder / group / name
        path.parent.mkdir(exist_ok=True)
        if isinstance(what, str):
            ODD[what](path)
        else:
            path.write_bytes(damaged(PICTURES[what[0]], what[1]))
    seen = {
        f"{group}/{name}": what
        for (group, name), what in files.items()
        if group in CLASSES and name in FILES[:4]
    }
    bad = [name for name, what in seen.items() if isinstance(what, str) or what[1]]
    empty = {group for group, _ in files if group in CLASSES} - {n.split("/")[0] for n in seen}
    try:
        items = load(folder)
    except DataError as error:
        said = str(error)
        assert str(folder) in said and "\n" not in said
        if empty:
            assert f"class folder {min(empty)} has no images" in said
        elif not seen:
            assert "found none" in said
        else:
            assert any(name in said for name in bad) or ("of one size" in said and bad)
        event("refused")
    else:
        names = sorted(seen, key=lambda name: name.split("/")[::-1])
        assert [items.classes[label] for label in items.labels] == [n.split("/")[0] for n in names]
        for name, image in zip(names, items.images, strict=True):
            picture, done = seen[name]
            if not done:
                rgb = image.expand(3, -1, -1).permute(1, 2, 0)
                assert np.array_equal(rgb, DECODED[picture])
        event("read, with damage that no format notices" if bad else "read")
    finally:
        shutil.rmtree(folder)


METHODS = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]


@given(
    st.lists(st.integers(0, len(PICTURES) - 1), min_size=1, max_size=3),
    st.sampled_from(METHODS),
    st.lists(edits, max_size=3),
)
def test_zips_are_read_as_they_are_or_refused_by_name(place, pictures, method, edits):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        archive.writestr("notes.txt", b"of two bytes")
        for number, picture in enumerate(pictures):
            archive.writestr(f"{CLASSES[number % 2]}/{number}.png", PICTURES[picture])
    path = place / "a.zip"
    path.write_bytes(damaged(buffer.getvalue(), edits))
    try:
        items = load(path)
    except DataError as error:
        said = str(error)
        assert edits and str(path) in said and "\n" not in said
        event("refused")
    else:
        images = [image.expand(3, -1, -1).permute(1, 2, 0) for image in items.images]
        expected = [DECODED[picture] for picture in pictures]
        if len(edits) < 2:
            assert np.array_equal(images, expected)
        else:
            # More than one may do the same to both of a member's names.
            assert all(any(np.array_equal(i, e) for e in expected) for i in images)
        event("read")
