"""Item sets: rules on the official order, loaders on small files made here and on the real ones,
and files damaged in the ways files are damaged.
"""

import gzip
import io
import re
import shutil
import struct
import urllib.error
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from invlib.data import sets as datasets
from invlib.data.items import DataError, ItemSet
from invlib.data.sets import load

# Item sets


def test_first_takes_the_first_of_each_class_in_the_files_order():
    labels = torch.tensor([1, 0, 1, 1, 0, 0, 1])
    images = torch.arange(7, dtype=torch.uint8).view(7, 1, 1, 1)
    items = ItemSet(images, labels, ("a", "b"), "numbered")
    assert items.first(2).images.flatten().tolist() == [0, 1, 2, 4]
    assert items.first(1, skip=2).images.flatten().tolist() == [3, 5]
    assert items.first(2).labels.tolist() == [1, 0, 1, 0]
    with pytest.raises(DataError, match="class a has 3 items, 4 are asked for"):
        items.first(3, skip=1)


@given(st.lists(st.integers(0, 2), min_size=8, max_size=40), st.integers(1, 2), st.integers(0, 1))
@settings(max_examples=50, deadline=None)
def test_a_longer_file_gives_the_same_first_items(labels, per_class, skip):
    labels = [0, 1, 2] * 3 + labels
    images = torch.arange(len(labels), dtype=torch.uint8).view(-1, 1, 1, 1)
    full = ItemSet(images, torch.tensor(labels), ("a", "b", "c"), "full")
    prefix = ItemSet(images[:9], full.labels[:9], full.classes, "prefix")
    chosen = full.first(per_class, skip)
    assert torch.equal(chosen.images, prefix.first(per_class, skip).images)
    assert torch.bincount(chosen.labels).tolist() == [per_class] * 3


@pytest.mark.parametrize("size", [2.5, (2, 2.5), (1, 2, 3), "big", True])
def test_a_size_is_in_whole_pixels(tmp_path, size):
    with pytest.raises(DataError, match=re.escape(f"(height, width), found {size!r}")):
        load(tmp_path, size=size)


def test_only_keeps_the_first_classes(noise):
    items = noise(12, classes=4).only(2)
    assert items.classes == ("a", "b") and items.labels.tolist() == [0, 1] * 3
    with pytest.raises(DataError, match="5 classes are asked for, found 4"):
        noise(12, classes=4).only(5)


def test_grey_equals_pillow_and_rgb_repeats(noise):
    items = noise(20, channels=3, size=16)
    for image, grey in zip(items.images, items.grey().images, strict=True):
        pillow = np.asarray(Image.fromarray(image.permute(1, 2, 0).numpy()).convert("L"), int)
        assert np.abs(pillow - grey[0].numpy()).max() <= 1
    assert torch.equal(items.grey().rgb().grey().images, items.grey().images)
    assert items.rgb() is items


@pytest.mark.parametrize(("source", "size"), [(28, (16, 16)), (28, (50, 50)), (32, (20, 9))])
def test_resized_equals_pillow(source, size):
    rows, columns = np.mgrid[:source, :source]
    smooth = (127 + 60 * np.sin(rows / 3) * np.cos(columns / 4)).astype(np.uint8)
    sharp = np.where((rows - 14) ** 2 + (columns - 14) ** 2 < 80, 255, 0).astype(np.uint8)
    images = torch.from_numpy(np.stack([smooth, sharp])[:, None])
    small = ItemSet(images, torch.tensor([0, 1]), ("a", "b"), "two").resized(size)
    assert small.images.shape == (2, 1, *size)
    gaps = []
    for image, ours in zip((smooth, sharp), small.images, strict=True):
        pillow = Image.fromarray(image).resize(size[::-1], Image.Resampling.BICUBIC)
        gaps.append(np.abs(np.asarray(pillow, int) - ours[0].numpy()))
    # Pillow cuts overshoots after each of its two passes, we after both: they differ at edges.
    assert gaps[0].max() <= 1 and gaps[1].mean() < 0.5


def broken(noise, **changes):
    items = noise(4, classes=2)
    return lambda: replace(items, **{k: v(getattr(items, k)) for k, v in changes.items()})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": lambda y: y + 1}, "labels must be 0 to 1 for 2 classes, found 1 to 2"),
        ({"labels": lambda y: y - 1}, ".* found -1 to 0"),
        ({"labels": lambda y: y * 0}, "no items of class b"),
        ({"labels": lambda y: y[:3]}, r"labels must be int64 of shape \(4,\), .*\(3,\)"),
        ({"labels": lambda y: y.float()}, "labels must be int64 .* not torch.float32"),
        ({"images": lambda x: x / 255}, "images must be uint8 .* not torch.float32"),
        ({"images": lambda x: x[:, 0]}, r"images must be uint8 .* not .*\(4, 6, 6\)"),
        ({"images": lambda x: x[:0], "labels": lambda y: y[:0]}, "expected items, found none"),
    ],
)
def test_item_sets_that_make_no_sense_are_refused(noise, change, message):
    with pytest.raises(DataError, match=f"noise: {message}"):
        broken(noise, **change)()


def test_numpy_arrays_and_lists_of_labels_become_tensors(noise):
    items = noise(4)
    images, labels = items.images.numpy()[:, :, ::-1], items.labels.numpy().astype(np.int32)
    for numbers in (labels, labels.tolist()):
        found = ItemSet(images, numbers, ("a", "b"), "mine")
        assert torch.equal(found.images, items.images.flip(2)) and found.labels.dtype == torch.int64
        assert torch.equal(found.labels, items.labels)
    images[:] = 0
    assert found.images.any()  # a copy


@pytest.mark.parametrize(
    ("images", "hint"),
    [
        (np.zeros((4, 6, 6, 3), np.uint8), "channels come before height and width"),
        (np.zeros((4, 6, 6), np.uint8), "a grey image has one channel"),
        (np.zeros((4, 3, 6, 6)), "whole numbers from 0 to 255, fractions times 255"),
    ],
)
def test_arrays_of_another_layout_are_refused_with_the_remedy(images, hint):
    with pytest.raises(DataError, match=f"mine: images must be uint8 .*{hint}"):
        ItemSet(images, [0, 1, 0, 1], ("a", "b"), "mine")


@pytest.mark.parametrize("number", [0, -1, 2.5, "two"])
def test_numbers_of_items_and_classes_are_whole(noise, number):
    for call in (noise().only, noise().first):
        with pytest.raises(DataError, match=f"whole, from 1, found {number!r}"):
            call(number)
    with pytest.raises(DataError, match="noise: expected skip to be whole, from 0, found -1"):
        noise().first(1, skip=-1)
    assert len(noise().first(np.int64(1)).only(np.int64(2))) == 2


def test_a_set_says_what_it_is(noise):
    assert repr(noise(4, size=(5, 6))) == (
        "<ItemSet noise: 4 grey items of 5 x 6 pixels, 2 classes>"
    )
    assert "4 coloured items" in repr(noise(4, channels=3))


# IDX files

NAMES = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
PIXELS = np.arange(20 * 2 * 3, dtype=np.uint8).reshape(20, 2, 3)
LABELS = np.arange(20, dtype=np.uint8) % 10


def idx(array):
    """The bytes of an IDX file, as LeCun describes them."""
    return struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def mnist(tmp_path):
    """Writes a small MNIST test split: ``mnist(images=..., labels=..., packed=False)``."""

    def write(images=None, labels=None, packed=False):
        folder = tmp_path / "MNIST" / "raw"
        folder.mkdir(parents=True, exist_ok=True)
        contents = (images or idx(PIXELS), labels or idx(LABELS))
        for name, content in zip(NAMES, contents, strict=True):
            path = folder / (name + ".gz" * packed)
            path.write_bytes(gzip.compress(content) if packed else content)
        return folder / (NAMES[0] + ".gz" * packed)

    return write


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_are_read_packed_or_not(mnist, tmp_path, packed):
    mnist(packed=packed)
    items = load("mnist", "test", tmp_path)
    assert torch.equal(items.images[:, 0], torch.from_numpy(PIXELS))
    assert torch.equal(items.labels, torch.from_numpy(LABELS).long())
    assert items.classes == tuple("0123456789") and items.name == "mnist"


def test_emnist_letters_are_turned_upright_and_counted_from_0(tmp_path):
    folder = tmp_path / "EMNIST" / "raw"
    folder.mkdir(parents=True)
    upright = np.arange(4 * 3 * 2, dtype=np.uint8).reshape(4, 3, 2)
    stored = np.ascontiguousarray(upright.transpose(0, 2, 1))
    (folder / "emnist-letters-test-images-idx3-ubyte").write_bytes(idx(stored))
    (folder / "emnist-letters-test-labels-idx1-ubyte").write_bytes(
        idx(np.array([1, 1, 2, 3], np.uint8))
    )
    items = load("emnist_letters", "test", tmp_path)
    assert torch.equal(items.images[:, 0], torch.from_numpy(upright))
    assert items.labels.tolist() == [0, 0, 1, 2] and items.classes == ("A", "B", "C")


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("images", "message"),
    [
        (idx(PIXELS)[:-1], "promises 120 bytes of data, found 119"),
        (idx(PIXELS) + b"\0", "promises 120 bytes of data, found more"),
        (idx(PIXELS)[:9], "expected an IDX file of unsigned bytes in 3 dimensions"),
        (idx(LABELS), "3 dimensions .* found 00 00 08 01"),
        (idx(PIXELS).replace(b"\x08\x03", b"\x0d\x03", 1), "found 00 00 0d 03"),
        (b"<html>not found</html>", "found 3c 68 74 6d"),
        (struct.pack(">HBB3I", 0, 8, 3, 21, 2, 3) + PIXELS.tobytes(), "126 bytes .* found 120"),
        (
            struct.pack(">HBB3I", 0, 8, 3, 20, 0, 3),
            "items of 0 x 3 pixels, a side has 1",
        ),
        (struct.pack(">HBB3I", 0, 8, 3, 1, 2**31, 2**31), "items of 2147483648 x 2147483648"),
        (idx(PIXELS[:19]), "has 19 images, .* has 20 labels"),
        (idx(PIXELS[:0]), "0 images, .* 20 labels"),
    ],
)
def test_damaged_idx_files_are_named(mnist, tmp_path, images, message, packed):
    mnist(images, packed=packed)
    with pytest.raises(DataError, match=message) as raised:
        load("mnist", "test", tmp_path)
    assert NAMES[0] in str(raised.value) and "\n" not in str(raised.value)


def test_labels_out_of_range_are_refused(mnist, tmp_path):
    mnist(labels=idx(LABELS + 1))
    with pytest.raises(DataError, match="mnist: labels must be 0 to 9 .* found 1 to 10"):
        load("mnist", "test", tmp_path)


def test_an_empty_class_is_refused(mnist, tmp_path):
    mnist(labels=idx(np.where(LABELS == 3, 4, LABELS).astype(np.uint8)))
    with pytest.raises(DataError, match="mnist: no items of class 3"):
        load("mnist", "test", tmp_path)


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-4],
        lambda data: data[:20] + bytes(10) + data[30:],
        lambda data: data[:-8] + b"\0\0\0\0" + data[-4:],
        lambda data: b"",
        lambda data: b"no gzip at all",
    ],
)
def test_damaged_gzip_files_are_named(mnist, tmp_path, damage):
    path = mnist(packed=True)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=rf"{NAMES[0]}\.gz: "):
        load("mnist", "test", tmp_path)


# Folders and zips of class folders


def png(value, size=(4, 3), mode="L"):
    """An encoded image of one colour; ``size`` is (height, width)."""
    buffer = io.BytesIO()
    Image.new(mode, size[::-1], value).save(buffer, "PNG")
    return buffer.getvalue()


FILES = {"cat/2.png": png(20), "ant/1.png": png(10), "ant/3.png": png(30), "cat/notes.txt": b"hm"}


def as_folder(where, files):
    for name, content in files.items():
        path = where / "train" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return where / "train"


def as_zip(where, files):
    where.mkdir(exist_ok=True)
    with zipfile.ZipFile(where / "train.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return where / "train.zip"


both = pytest.mark.parametrize("write", [as_folder, as_zip])


@both
def test_class_folders_by_name_and_by_path(tmp_path, write):
    path = write(tmp_path / "pets", FILES)
    for items in (load("pets", root=tmp_path), load(path), load(str(path), root="/nowhere")):
        assert items.classes == ("ant", "cat")
        assert items.images.shape == (3, 1, 4, 3)
        assert items.images[:, 0, 0, 0].tolist() == [10, 20, 30]  # by file name over the whole set
        assert items.labels.tolist() == [0, 1, 0]


@both
def test_one_coloured_image_makes_the_set_coloured(tmp_path, write):
    files = FILES | {"cat/9.png": png((1, 2, 3), mode="RGB")}
    items = load(write(tmp_path / "pets", files))
    assert items.images[:, :, 0, 0].tolist() == [[10] * 3, [20] * 3, [30] * 3, [1, 2, 3]]


@both
def test_images_of_different_sizes_are_refused(tmp_path, write):
    path = write(tmp_path / "pets", FILES | {"cat/9.png": png(1, size=(5, 3))})
    with pytest.raises(
        DataError, match="expected images of one size, found 4 x 3 and, in cat/9.png, 5 x 3"
    ):
        load(path)


@both
@pytest.mark.parametrize(
    "content", [png(1, (40, 40))[:-30], png(1)[:20], b"", b"plain text", png(1)[:40] + bytes(80)]
)
def test_damaged_images_are_named(tmp_path, write, content):
    path = write(tmp_path / "pets", FILES | {"cat/9.png": content})
    with pytest.raises(DataError, match=r"cat/9\.png: not an image, damaged or cut short"):
        load(path)


def test_an_image_with_a_flipped_byte_is_named(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (20, 20), np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    content = bytearray(buffer.getvalue())
    content[len(content) // 2] ^= 0xFF
    path = as_folder(tmp_path / "pets", {"cat/9.png": bytes(content)})
    with pytest.raises(DataError, match=r"cat/9\.png"):
        load(path)


@both
@pytest.mark.parametrize("files", [{}, {"readme.txt": b"hm"}])
def test_a_set_without_class_folders_is_refused(tmp_path, write, files):
    path = write(tmp_path / "pets", files)
    path.mkdir(parents=True, exist_ok=True) if write is as_folder else None
    with pytest.raises(DataError, match="expected class folders with images"):
        load(path)


def test_images_beside_class_folders_are_no_set(tmp_path):
    with pytest.raises(DataError, match="expected class folders with images"):
        load(as_folder(tmp_path / "loose", {"1.png": png(1)}))
    with pytest.raises(DataError, match=r"1\.png lies in no class folder"):
        load(as_zip(tmp_path / "loose", {"1.png": png(1)}))


def test_a_class_folder_without_images_is_named(tmp_path):
    path = as_folder(tmp_path / "pets", FILES)
    (path / "dog").mkdir()
    with pytest.raises(DataError, match="class folder dog has no images"):
        load(path)


def as_many(count):
    noise = np.random.default_rng(0).integers(0, 256, (count, 30, 30), np.uint8)
    files = {}
    for number, pixels in enumerate(noise):
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        files[f"cat/{number}.png"] = buffer.getvalue()
    return files


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: data[: len(data) // 2],
        lambda data: data[:-10],
        lambda data: b"",
        lambda data: b"plain text",
        lambda data: data[:300] + bytes([data[300] ^ 0xFF]) + data[301:],  # a member's checksum
    ],
)
def test_damaged_zips_are_named(tmp_path, damage):
    path = as_zip(tmp_path / "pets", as_many(5))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DataError, match=r"train\.zip: not a zip, damaged or cut short"):
        load(path)


@pytest.mark.parametrize("method", ["DEFLATED", "STORED", "LZMA", "BZIP2"])
def test_a_flipped_byte_anywhere_is_never_another_error(tmp_path, method):
    path = tmp_path / "train.zip"
    with zipfile.ZipFile(path, "w", getattr(zipfile, f"ZIP_{method}")) as archive:
        for name, content in as_many(2).items():
            archive.writestr(f"é{name}", content[:200])
    data = path.read_bytes()
    named = 0
    for where in range(0, len(data), 3):
        path.write_bytes(data[:where] + bytes([data[where] ^ 0xFF]) + data[where + 1 :])
        with pytest.raises(DataError) as raised:  # the images are cut short in any case
            load(path)
        named += "not a zip, damaged or cut short" in str(raised.value)
    assert named > 50


def test_a_zip_member_with_a_password_is_refused(tmp_path):
    path = as_zip(tmp_path / "pets", FILES)
    data = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        data[data.index(signature) + offset] |= 1
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"train\.zip"):
        load(path)


@pytest.mark.parametrize(
    "name", ["../cat/1.png", "cat/../../1.png", "/cat/1.png", "..\\cat\\1.png"]
)
def test_zip_names_that_leave_the_folder_are_refused(tmp_path, name):
    path = as_zip(tmp_path / "pets", FILES | {name: png(1)})
    with pytest.raises(DataError, match=r"train\.zip: the name .* leaves the folder"):
        load(path)
    assert not list(tmp_path.rglob("*.png"))


# Names and what is not there


def test_unknown_names_and_splits_are_refused_by_name(tmp_path):
    with pytest.raises(DataError, match="unknown set 'mnits'; expected one of mnist, .*objects2"):
        load("mnits", root=tmp_path)
    with pytest.raises(DataError, match="unknown split 'valid'; expected one of train, test"):
        load("mnist", "valid")


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist", "kmnist", "emnist_letters", "cifar10"])
def test_what_is_missing_is_named_with_the_command_that_gets_it(tmp_path, name):
    with pytest.raises(DataError, match=f"invlib datasets --download {name}") as raised:
        load(name, root=tmp_path)
    assert str(tmp_path) in str(raised.value)


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_download_without_network_is_one_clear_line(tmp_path, monkeypatch, name):
    def no_network(*args, **kwargs):
        raise urllib.error.URLError("Temporary failure in name resolution")

    monkeypatch.setattr("urllib.request.urlopen", no_network)
    message = f"^{name} could not be downloaded into {tmp_path}: .*"
    with pytest.raises(DataError, match=message) as raised:
        datasets.download(name, tmp_path)
    assert "\n" not in str(raised.value)
    assert not [p for p in tmp_path.rglob("*") if p.is_file()]


def test_an_embedded_set_cannot_be_downloaded(tmp_path):
    with pytest.raises(DataError, match="'glyphs' cannot be downloaded; expected one of mnist"):
        datasets.download("glyphs", tmp_path)


def test_a_damaged_cifar10_download_is_refused(tmp_path):
    (tmp_path / "cifar-10-batches-py").mkdir()
    (tmp_path / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"junk")
    with pytest.raises(DataError, match=f"cifar10 in {tmp_path}: "):
        load("cifar10", root=tmp_path)


def test_the_root_is_the_argument_then_the_environment(mnist, tmp_path, monkeypatch):
    mnist()
    monkeypatch.setenv("INVLIB_DATA", str(tmp_path))
    assert len(load("mnist", "test")) == 20
    with pytest.raises(DataError, match="elsewhere"):
        load("mnist", "test", tmp_path / "elsewhere")


def test_the_catalogue_lists_what_is_there(mnist, tmp_path):
    mnist()
    as_folder(tmp_path / "pets", FILES)
    rows = {(row["name"], row["split"]): row for row in datasets.catalogue(tmp_path)}
    assert rows["mnist", "test"]["images"] == 20 and rows["mnist", "test"]["size"] == "2x3x1"
    assert rows["mnist", "train"]["images"] == 0 and "not there" in rows["mnist", "train"]["where"]
    assert rows["pets", "train"]["classes"] == 2 and ("pets", "test") not in rows
    assert rows["glyphs", "test"]["where"] == "embedded"
    assert {name for name, _ in rows} == {*datasets.NAMES, "pets"}


def test_embedded_sets_name_their_source_and_licence():
    for name in ("digits", "glyphs", "objects10", "objects2"):
        items = load(name, "test")
        assert items.licence and items.source and items.name == name


def test_objects_are_the_same_in_both_splits():
    assert torch.equal(load("objects10", "train").images, load("objects10", "test").images)


# The real files

OFFICIAL = {
    "mnist": ("MNIST", "t10k", 10000, 10),
    "fashion_mnist": ("FashionMNIST", "t10k", 10000, 10),
    "kmnist": ("KMNIST", "t10k", 10000, 10),
    "emnist_letters": ("EMNIST", "emnist-letters-test", None, None),
}


@pytest.mark.parametrize("name", OFFICIAL)
def test_real_idx_files_equal_torchvisions_reading(real_data, tmp_path, name):
    import torchvision

    folder, prefix, count, classes = OFFICIAL[name]
    theirs = []
    for kind, read in (("images-idx3", "read_image_file"), ("labels-idx1", "read_label_file")):
        path = tmp_path / f"{prefix}-{kind}-ubyte"
        with gzip.open(real_data / folder / "raw" / f"{path.name}.gz") as packed:
            path.write_bytes(packed.read())
        theirs.append(getattr(torchvision.datasets.mnist, read)(str(path)))
    images, labels = theirs
    if name == "emnist_letters":  # stored transposed, labels from 1
        images, labels = images.transpose(1, 2), labels - 1
    items = load(name, "test", real_data)
    assert torch.equal(items.images[:, 0], images) and torch.equal(items.labels, labels)
    if count:
        assert len(items) == count and len(items.classes) == classes


def test_real_letters_are_upright(real_data):
    letters, printed = load("emnist_letters", "test", real_data).only(12), load("glyphs")

    def mean(items, label):
        each = items.images[items.labels == label, 0].float().mean(0)
        return (each - each.mean()) / each.std()

    upright = turned = 0.0
    for label in range(12):
        upright += float((mean(letters, label) * mean(printed, label)).mean())
        turned += float((mean(letters, label).T * mean(printed, label)).mean())
    assert upright > turned + 1


def test_real_cifar10_is_in_the_official_order(real_data):
    items = load("cifar10", "test", real_data)
    assert items.images.shape[1:] == (3, 32, 32) and items.classes[0] == "airplane"
    with zipfile.ZipFile(real_data / "cifar10" / "test.zip") as archive:
        members = sorted(
            (m for m in archive.namelist() if not m.endswith("/") and "/" in m),
            key=lambda m: m.rsplit("/", 1)[1],
        )
        assert len(members) == len(items)
        for index in (0, 1, 17, len(members) - 1):
            image = Image.open(io.BytesIO(archive.read(members[index]))).convert("RGB")
            assert np.array_equal(items.images[index].permute(1, 2, 0).numpy(), image)
            assert items.classes[items.labels[index]] == members[index].split("/")[-2]


@pytest.mark.parametrize("where", [100, -1])
def test_a_real_file_with_a_flipped_bit_is_named(real_data, tmp_path, where):
    shutil.copytree(real_data / "KMNIST", tmp_path / "KMNIST", copy_function=shutil.copyfile)
    path = tmp_path / "KMNIST" / "raw" / "t10k-images-idx3-ubyte.gz"
    path.parent.chmod(0o755)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 if where == 100 else where] ^= 0x10
    path.write_bytes(bytes(data))
    with pytest.raises(DataError, match=r"t10k-images-idx3-ubyte\.gz: "):
        load("kmnist", "test", tmp_path)


def test_images_of_different_sizes_are_resized_when_asked(tmp_path):
    path = as_folder(tmp_path, {"cat/1.png": png(9), "ant/1.png": png(7, size=(8, 4))})
    items = load(path, size=4)
    assert torch.equal(items.images, load(path, size=(4, 4)).images)
    assert items.images.shape == (2, 1, 4, 4)
    # What is twice as high as wide keeps its shape, between black.
    assert items.images[0, 0, 0].tolist() == [0, 7, 7, 0]
    assert items.images[1, 0, 0].tolist() == [9, 9, 9, 0] and items.classes == ("ant", "cat")


@pytest.mark.parametrize("write", [as_folder, as_zip])
def test_the_other_split_is_not_given_in_its_place(tmp_path, write):
    path = write(tmp_path, {"cat/1.png": png(9), "dog/1.png": png(7)})
    path = path.rename(tmp_path / f"all{path.suffix}")
    assert len(load(path)) == len(load(path, "test")) == 2  # it has no splits
    (tmp_path / "mine").mkdir()
    train = path.rename(tmp_path / "mine" / f"train{path.suffix}")
    assert len(load("mine", root=tmp_path)) == len(load(train)) == 2
    with pytest.raises(DataError, match=rf"mine has no test split, only {train.name}"):
        load("mine", "test", tmp_path)
    with pytest.raises(DataError, match=rf"{train.name} is the train split; test was asked for"):
        load(train, "test")


@pytest.mark.parametrize("write", [as_folder, as_zip])
def test_splits_in_which_a_label_means_another_class_are_refused(tmp_path, write):
    folder = tmp_path / "mine"
    folder.mkdir()
    write(folder, {"cat/1.png": png(9), "ant/1.png": png(7)})
    train = folder / ("train.zip" if write is as_zip else "train")
    train.rename(folder / train.name.replace("train", "test"))
    write(folder, {"cat/1.png": png(9), "ant/1.png": png(7), ".hidden/1.png": png(7)})
    assert load("mine", "test", tmp_path).classes == load("mine", root=tmp_path).classes
    write(folder, {"cat/1.png": png(9), "dog/1.png": png(7)})
    for split in ("train", "test"):
        with pytest.raises(DataError, match="mine: expected the same class folders in both splits"):
            load("mine", split, tmp_path)


@pytest.mark.parametrize("write", [as_folder, as_zip])
def test_what_editors_and_archivers_leave_is_passed_over(tmp_path, write):
    left = {".ipynb_checkpoints/1.png": b"", "__MACOSX/cat/._1.png": b"", "cat/._1.png": b""}
    assert load(write(tmp_path, {"cat/1.png": png(9), **left})).classes == ("cat",)


def test_two_splits_in_one_zip_are_refused(tmp_path):
    path = as_zip(tmp_path, {"train/cat/1.png": png(9), "test/cat/1.png": png(9)})
    with pytest.raises(DataError, match=r"found both train/cat and test/cat"):
        load(path)


def test_sixteen_bits_are_refused(tmp_path):
    path = as_folder(tmp_path, {"cat/1.png": png(999, mode="I;16")})
    with pytest.raises(DataError, match=r"cat/1\.png: expected 8 bits for each channel"):
        load(path)
