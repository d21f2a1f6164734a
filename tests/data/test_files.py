"""Files of images as they come from outside: in forms that are legitimate, damaged, or made to take
memory without end.
"""

import bz2
import gzip
import io
import json
import lzma
import os
import re
import signal
import struct
import subprocess
import sys
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import EpsImagePlugin, Image

from invlib.data import sets as datasets
from invlib.data.items import DataError, ItemSet
from invlib.data.sets import load


@pytest.fixture(autouse=True)
def _in_time():
    """A reader that waits for ever fails."""

    def late(*args):
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def encoded(image, kind="PNG", **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(height, width, colours=0, depth=8):
    """A black PNG as its specification has it: colours 0 grey, 2 RGB, 4 grey and alpha, 6 RGBA."""
    row = bytes(1 + width * {0: 1, 2: 3, 4: 2, 6: 4}[colours] * depth // 8)
    packer = zlib.compressobj(9)
    packed = b"".join(packer.compress(row) for _ in range(height)) + packer.flush()
    header = struct.pack(">2I5B", width, height, depth, colours, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*each) for each in chunks)


def tiff(pixels, planar=1, tile=None):
    """A TIFF as its specification has it, of RGB (height, width, 3) in 8 or 16 bits."""
    height, width, _ = pixels.shape
    bits = 8 * pixels.itemsize
    data = (pixels if planar == 1 else pixels.transpose(2, 0, 1)).tobytes()
    third = len(data) // 3
    tags = {256: width, 257: height, 258: [bits] * 3, 259: 1, 262: 2, 277: 3, 284: planar}
    if tile:
        data = zlib.compress(bytes(tile * tile * 3))
        tags |= {259: 8, 322: tile, 323: tile, 324: [0], 325: len(data)}
    else:
        offsets = [0] if planar == 1 else [0, third, 2 * third]
        tags |= {273: offsets, 278: height, 279: [len(data) // len(offsets)] * len(offsets)}
    begin = 8 + 2 + 12 * len(tags) + 4
    entries, behind = b"", b""
    starts = begin + sum(4 * len(each) for each in tags.values() if isinstance(each, list))
    for tag, value in sorted(tags.items()):
        values = value if isinstance(value, list) else [value]
        if tag in (273, 324):
            values = [starts + each for each in values]
        content = struct.pack(f"<{len(values)}I", *values)
        if isinstance(value, list):
            place = struct.pack("<I", begin + len(behind)) if len(values) > 1 else content
            behind += content
        else:
            place = content
        entries += struct.pack("<HHI", tag, 4, len(values)) + place
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return b"II*\0" + struct.pack("<I", 8) + directory + behind + data


def as_folder(where, files):
    for name, content in files.items():
        path = where / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    return where


def as_zip(where, files, method=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(where, "w", method) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return where


def only(tmp_path, content, **options):
    """The pixels of the one image in a folder, (channels, height, width)."""
    return load(as_folder(tmp_path / "one", {"cat/1.png": content}), **options).images[0]


# What is legitimate

NOISE = np.random.default_rng(0).integers(0, 256, (4, 3, 3), np.uint8)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "BMP", "TIFF"])
def test_a_format_is_known_by_its_content(tmp_path, kind):
    content = encoded(
        Image.fromarray(NOISE), kind, **({"lossless": True} if kind == "WEBP" else {})
    )
    assert np.array_equal(only(tmp_path, content).permute(1, 2, 0), NOISE)


def test_palettes_bilevel_and_cmyk_are_read_as_they_look(tmp_path):
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    assert only(tmp_path, encoded(palette))[:, 0].T.tolist() == [[10, 20, 30], [40, 50, 60]]
    bilevel = Image.new("1", (2, 1))
    bilevel.putpixel((1, 0), 1)
    assert only(tmp_path, encoded(bilevel)).tolist() == [[[0, 255]]]
    cyan = Image.new("CMYK", (2, 1), (255, 0, 0, 0))
    assert only(tmp_path, encoded(cyan, "TIFF"))[:, 0, 0].tolist() == [0, 255, 255]
    assert only(tmp_path, encoded(cyan, "JPEG"))[:, 0, 0].tolist() == [0, 255, 255]


def test_five_bits_of_colour_are_not_taken_for_sixteen(tmp_path):
    header = struct.pack("<I2i2H6I", 40, 1, 1, 1, 16, 3, 4, 0, 0, 0, 0)
    masks, pixel = struct.pack("<3I", 0xF800, 0x7E0, 0x1F), struct.pack("<HH", 0xF800, 0)
    content = b"BM" + struct.pack("<3I", 70, 0, 66) + header + masks + pixel
    assert only(tmp_path, content).flatten().tolist() == [255, 0, 0]


@pytest.mark.parametrize(("kind", "options"), [("GIF", {}), ("WEBP", {"lossless": True})])
def test_of_an_animation_the_first_picture_counts(tmp_path, kind, options):
    frames = [Image.new("RGB", (3, 3), colour) for colour in ("red", "blue")]
    content = encoded(frames[0], kind, save_all=True, append_images=frames[1:], **options)
    assert only(tmp_path, content)[:, 0, 0].tolist() == [255, 0, 0]


def test_a_photograph_with_a_preview_is_read(tmp_path):
    frames = [Image.new("L", (8, 8), grey) for grey in (200, 10)]
    content = encoded(frames[0], "MPO", save_all=True, append_images=frames[1:])
    assert only(tmp_path, content)[0, 0, 0] == 200


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "TIFF"])
def test_a_photograph_taken_sideways_is_turned_upright(tmp_path, kind):
    stored = np.zeros((16, 32), np.uint8)
    stored[:, :16] = 255  # bright on the left, which a quarter turn clockwise puts on top
    exif = Image.Exif()
    exif[274] = 6
    upright = only(tmp_path, encoded(Image.fromarray(stored), kind, exif=exif))
    assert upright.shape[1:] == (32, 16)
    assert (upright[:, :12] > 240).all() and (upright[:, 20:] < 15).all()


def test_what_is_transparent_lies_on_black(tmp_path):
    coloured = Image.new("RGBA", (2, 1), (200, 100, 50, 0))
    coloured.putpixel((1, 0), (200, 100, 50, 102))  # 102 / 255 = 0.4
    assert only(tmp_path, encoded(coloured))[:, 0].T.tolist() == [[0, 0, 0], [80, 40, 20]]
    grey = Image.new("LA", (2, 1), (200, 0))
    grey.putpixel((1, 0), (200, 255))
    assert only(tmp_path, encoded(grey)).tolist() == [[[0, 200]]]
    palette = Image.new("P", (2, 1))
    palette.putpalette([10, 20, 30, 40, 50, 60])
    palette.putpixel((1, 0), 1)
    for kind in ("PNG", "GIF"):
        found = only(tmp_path, encoded(palette, kind, transparency=0))
        assert found[:, 0].T.tolist() == [[0, 0, 0], [40, 50, 60]]


@pytest.mark.parametrize("method", ["STORED", "DEFLATED", "BZIP2", "LZMA"])
def test_zips_of_any_packing_and_with_unicode_names_are_read(tmp_path, method):
    sizes = (1, 2, 300)
    files = {
        f"größe 猫/{size}.png": encoded(Image.new("L", (size, size), size % 256)) for size in sizes
    }
    items = load(as_zip(tmp_path / "a.zip", files, getattr(zipfile, f"ZIP_{method}")), size=2)
    assert items.images[:, 0, 0, 0].tolist() == [1, 2, 300 % 256]
    assert items.classes == ("größe 猫",)


def test_a_zip_of_64_bits_is_read(tmp_path):
    content, name = png(2, 2), b"cat/1.png"
    extra = struct.pack("<2H3Q", 1, 24, len(content), len(content), 0)
    crc, most = zlib.crc32(content), 0xFFFFFFFF
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 45, 0, 0, 0, 33, crc, most, most, len(name), 20)
    local += name + struct.pack("<2H2Q", 1, 16, len(content), len(content)) + content
    entry = struct.pack(
        "<4s6H3I5H2I",
        *(b"PK\1\2", 45, 45, 0, 0, 0, 33, crc, most, most, len(name), len(extra), 0, 0, 0, 0, most),
    )
    entry += name + extra
    end = struct.pack("<4sQ2H2I4Q", b"PK\6\6", 44, 45, 45, 0, 0, 1, 1, len(entry), len(local))
    end += struct.pack("<4sIQI", b"PK\6\7", 0, len(local) + len(entry), 1)
    end += struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0xFFFF, 0xFFFF, most, most, 0)
    (tmp_path / "a.zip").write_bytes(local + entry + end)
    assert load(tmp_path / "a.zip").images.shape == (1, 1, 2, 2)


def test_links_to_files_and_folders_are_followed(tmp_path):
    as_folder(tmp_path / "elsewhere", {"1.png": png(2, 2)})
    (tmp_path / "pets" / "ant").mkdir(parents=True)
    (tmp_path / "pets" / "cat").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "pets" / "ant" / "2.png").symlink_to(tmp_path / "elsewhere" / "1.png")
    assert load(tmp_path / "pets").classes == ("ant", "cat")


# Class folders in which something else lies


def dangling(path):
    path.symlink_to("nowhere")


def loop(path):
    path.symlink_to(path.name)


ODD = {
    "a folder": (Path.mkdir, "expected an image file, found a folder, pipe or device"),
    "a link that leads nowhere": (dangling, "No such file"),
    "a link to itself": (loop, "Too many levels of symbolic links"),
    "a pipe": (os.mkfifo, "expected an image file, found"),
    "a link to a device": (lambda path: path.symlink_to("/dev/zero"), "expected an image file"),
    "a hole of a terabyte": (
        lambda path: path.touch() or os.truncate(path, 1 << 40),
        "is of 1099511627776 bytes, 134217728 are the most",
    ),
}


@pytest.mark.parametrize("odd", ODD)
def test_what_is_no_file_among_images_is_named(tmp_path, odd):
    put, message = ODD[odd]
    put(as_folder(tmp_path / "pets" / "train", {"cat/1.png": png(2, 2)}) / "cat" / "2.png")
    with pytest.raises(DataError, match=message) as raised:
        load("pets", root=tmp_path)
    assert "cat/2.png" in str(raised.value)


@pytest.mark.parametrize("put", [dangling, loop])
def test_a_class_whose_link_leads_nowhere_is_not_left_out(tmp_path, put):
    put(as_folder(tmp_path / "pets", {"cat/1.png": png(2, 2)}) / "dog")
    with pytest.raises(DataError, match="pets/dog"):
        load(tmp_path / "pets")


def test_a_pipe_in_the_place_of_a_zip_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "train.zip")
    as_zip(tmp_path / "test.zip", {"cat/1.png": png(2, 2)})
    with pytest.raises(DataError, match=r"train\.zip: expected a folder or a zip"):
        load(tmp_path)


def test_names_too_long_are_named(tmp_path):
    for name, root in (("x" * 300, tmp_path), ("mnist", tmp_path / ("x" * 300))):
        with pytest.raises(DataError, match="File name too long.*xxx"):
            load(name, root=root)


def test_the_catalogue_says_which_set_is_damaged(tmp_path):
    for number, (put, _) in enumerate(ODD.values()):
        put(as_folder(tmp_path / f"odd{number}" / "train", {"cat/1.png": png(2, 2)}) / "cat/2.png")
    as_folder(tmp_path / "whole", {"train/cat/1.png": png(2, 2)})
    (tmp_path / "nowhere").mkdir()
    dangling(tmp_path / "nowhere" / "train")
    rows = {row["name"]: row for row in datasets.catalogue(tmp_path)}
    assert rows["whole"]["images"] == 1
    for number in range(len(ODD)):
        assert f"odd{number}/train/cat/2.png" in rows[f"odd{number}"]["where"]
    assert "nowhere/train" in rows["nowhere"]["where"]


# Decoding


@pytest.mark.parametrize("kind", ["PPM", "ICO", "TGA", "PCX", "JPEG2000", "AVIF", "SGI", "DDS"])
def test_formats_that_are_not_promised_are_refused_under_any_suffix(tmp_path, kind):
    with pytest.raises(DataError, match=r"cat/1\.png: not an image"):
        only(tmp_path, encoded(Image.new("RGB", (16, 16)), kind))


def test_no_image_reaches_another_program(tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args: called.append(args))
    with pytest.raises(DataError, match=r"cat/1\.png: not an image"):
        only(tmp_path, encoded(Image.new("RGB", (16, 16)), "EPS"))
    assert not called


def test_whatever_a_decoder_raises_names_the_file(tmp_path):
    content = encoded(Image.new("RGB", (3, 3)), "TIFF")
    where = content.index(struct.pack("<HH", 273, 4))  # where the pixels begin, as a whole number
    fraction = content[:where] + struct.pack("<HH", 273, 12) + content[where + 4 :]
    with pytest.raises(TypeError), Image.open(io.BytesIO(fraction)) as image:
        image.load()
    with pytest.raises(DataError, match=r"cat/1\.png: not an image, damaged or cut short"):
        only(tmp_path, fraction)


def test_sixteen_bits_of_colour_are_not_cut_to_eight(tmp_path):
    sixteen = np.full((2, 2, 3), 0x1234, np.uint16)
    contents = [png(2, 2, colours, depth=16) for colours in (0, 2, 4, 6)]
    contents += [tiff(sixteen, planar) for planar in (1, 2)]
    for content in contents:
        with pytest.raises(DataError, match=r"cat/1\.png: expected 8 bits for each channel"):
            only(tmp_path, content)
    for planar in (1, 2):
        eight = tiff(NOISE, planar)
        assert np.array_equal(only(tmp_path, eight).permute(1, 2, 0), NOISE)


# Zips


def test_two_members_of_one_name_are_refused(tmp_path):
    for other in ("cat/1.png", "./cat//1.png"):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
                archive.writestr("cat/1.png", png(2, 2))
                archive.writestr(other, png(2, 2))
        with pytest.raises(DataError, match=r"a\.zip: two members have the name cat/1\.png"):
            load(tmp_path / "a.zip")


def test_two_zips_joined_are_refused(tmp_path):
    parts = [as_zip(tmp_path / f"{name}.zip", {f"{name}/1.png": png(2, 2)}) for name in "ab"]
    joined = tmp_path / "joined.zip"
    joined.write_bytes(b"".join(part.read_bytes() for part in parts))
    before = len(parts[0].read_bytes())
    with pytest.raises(DataError, match=rf"joined\.zip: .* found {before} bytes before it"):
        load(joined)


def test_a_name_with_a_nul_is_refused(tmp_path):
    path = as_zip(tmp_path / "a.zip", {"cat/1.png_.exe": png(2, 2)})
    path.write_bytes(path.read_bytes().replace(b"png_", b"png\0"))
    with pytest.raises(DataError, match=r"the name 'cat/1.png\\x00.exe' has a NUL in it"):
        load(path)


def test_no_changed_byte_in_a_zips_list_leaves_an_image_out(tmp_path):
    path = as_zip(
        tmp_path / "a.zip", {"notes.txt": b"", "ant/1.png": png(2, 2), "cat/2.png": png(2, 2)}
    )
    whole = path.read_bytes()
    lengths, refused = set(), 0
    for place in range(whole.index(b"PK\1\2"), len(whole)):
        for value in (ord("."), 255):
            path.write_bytes(whole[:place] + bytes([value]) + whole[place + 1 :])
            try:
                lengths.add(len(load(path)))
            except DataError:
                refused += 1
    assert lengths == {2} and refused > 100


# Memory


def packed(path, method, data, promised):
    """A zip of one member that promises another length than it has."""
    name = b"cat/1.png"
    sizes = (0, len(data), promised)
    local = struct.pack("<4s5H3I2H", b"PK\3\4", 63, 0, method, 0, 33, *sizes, len(name), 0) + name
    local += data
    entry = struct.pack(
        "<4s6H3I5H2I", b"PK\1\2", 63, 63, 0, method, 0, 33, *sizes, len(name), *[0] * 6
    )
    entry += name
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(entry), len(local), 0)
    path.write_bytes(local + entry + end)
    return path


def zeros(compressor, mebibytes):
    pieces = [compressor.compress(bytes(1 << 20)) for _ in range(mebibytes)]
    return b"".join((*pieces, compressor.flush()))


def lzma_member(mebibytes):
    content = zeros(lzma.LZMACompressor(lzma.FORMAT_ALONE, preset=0), mebibytes)
    return b"\x09\x04\x05\x00" + content[:5] + content[13:]


def idx(where, shape, mebibytes):
    """An MNIST of ten labels whose images are as many zeros, whatever the header says."""
    folder = where / "MNIST" / "raw"
    folder.mkdir(parents=True)
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz", "wb", 1) as file:
        file.write(struct.pack(">HBB3I", 0, 8, 3, *shape))
        file.writelines(bytes(1 << 20) for _ in range(mebibytes))
    labels = struct.pack(">HBBI", 0, 8, 1, 10) + bytes(10)
    (folder / "t10k-labels-idx1-ubyte").write_bytes(labels)
    return where


def members(path, count):
    """A zip whose list says it has as many members, of which there is none."""
    names = [b"cat/%07x.png" % number for number in range(count)]
    entries = b"".join(
        struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, *[0] * 3, 33, 0, 0, 0, 15, *[0] * 6) + name
        for name in names
    )
    end = struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 1, 1, len(entries), 0, 0)
    path.write_bytes(entries + end)
    return path


def many(path, count, first, rest):
    """A zip of pictures of which the first is another one."""
    names = [f"cat/{number:03}.png" for number in range(count)]
    return as_zip(path, dict.fromkeys(names, rest) | {names[0]: first})


def bomb(method, pack):
    return lambda path: packed(path, method, pack(192), 1000)


HUGE, LARGE = png(9000, 9000), png(4000, 4000)
DEFLATE = zlib.compressobj(9, zlib.DEFLATED, -15)
# What is written to a path, the size asked for, and what is said.
TOO_MUCH = {
    "deflate of more than is promised": (
        bomb(8, lambda count: zeros(DEFLATE, count)),
        None,
        "not a zip, damaged or cut short",
    ),
    "bzip2 of more than is promised": (
        bomb(12, lambda count: zeros(bz2.BZ2Compressor(), count)),
        None,
        r"cat/1\.png is not what was packed",
    ),
    "LZMA of more than is promised": (
        bomb(14, lzma_member),
        None,
        r"cat/1\.png is not what was packed",
    ),
    "a member that promises too much": (
        lambda path: packed(path, 8, b"", (1 << 27) + 1),
        None,
        r"cat/1\.png: is of 134217729 bytes, 134217728 are the most",
    ),
    "large members": (
        lambda path: many(path, 6, b"", bytes(1 << 26)),
        None,
        r"cat/000\.png: not an image",
    ),
    "a long list of members": (
        lambda path: members(path, 300_000),
        None,
        "the list of its members is of 18300000 bytes, 16777216 are the most",
    ),
    "large pictures": (
        lambda path: many(path, 100, HUGE, HUGE),
        32,
        r"000\.png: decoding a picture of 9000 x 9000 pixels may take 972\d+ bytes, 660000000 are",
    ),
    "a picture above Pillow's own limit": (
        lambda path: many(path, 1, png(20_000, 20_000), b""),
        32,
        r"cat/000\.png: Image size \(400000000 pixels\) exceeds limit",
    ),
    "a tile beyond its picture": (
        lambda path: many(path, 1, tiff(np.zeros((8, 8, 3), np.uint8), tile=8192), b""),
        None,
        "decoding a picture of 8192 x 8192 pixels may take",
    ),
    "items too large for any canvas": (
        lambda path: many(path, 100, png(7000, 7000), HUGE),
        None,
        r"cat/000\.png, without load\(..., size=\): items of 7000 x 7000 pixels, .* 1 to 4096",
    ),
    "many items": (
        lambda path: many(path, 270, LARGE, LARGE),
        None,
        "270 items of 1 x 4000 x 4000 values take 4320000000 bytes, 4294967296 are the most",
    ),
    "many items of which the second is coloured": (
        lambda path: many(path, 100, LARGE, png(4000, 4000, colours=2)),
        None,
        "100 items of 3 x 4000 x 4000 values take 4800000000 bytes",
    ),
    "an enormous size": (
        lambda path: many(path, 1, png(1, 1), b""),
        (40_000, 40_000),
        r"items of 40000 x 40000 pixels, a side has 1 to 4096",
    ),
    "IDX of more than its header says": (
        lambda path: idx(path, (10, 28, 28), 270),
        None,
        "promises 7840 bytes of data, found more",
    ),
    "IDX of all that an enormous header says": (
        lambda path: idx(path, (270, 1024, 1024), 270),
        None,
        "promises 283115520 bytes of data, 268435456 are the most",
    ),
    "IDX of less than an enormous header says": (
        lambda path: idx(path, (2**32 - 1, 4096, 4096), 270),
        None,
        "promises 72057594021150720 bytes of data, 268435456 are the most",
    ),
}
LOADER = """
import json, sys
from invlib.data.items import DataError
from invlib.data.sets import load
for line in sys.stdin:
    name, options = json.loads(line)
    try:
        found = repr(load(name, "test", **options))
    except DataError as error:
        found = str(error)
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    print(json.dumps([found, peak // 1024]), flush=True)
"""


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory):
    """What is said of each, and the most MiB a process had that did nothing else."""
    if not Path("/proc/self/status").exists():
        pytest.skip("how much memory a process had at most is asked in Linux's way")
    folder = tmp_path_factory.mktemp("large")
    calls = []
    for number, (make, size, _) in enumerate(TOO_MUCH.values()):
        path = str(make(folder / f"{number}.zip"))
        calls.append(
            ("mnist", {"root": path}) if "IDX" in [*TOO_MUCH][number] else (path, {"size": size})
        )
    ran = subprocess.run(
        [sys.executable, "-c", LOADER],
        input="\n".join(map(json.dumps, calls)),
        capture_output=True,
        text=True,
    )
    return dict(zip(TOO_MUCH, map(json.loads, ran.stdout.splitlines()), strict=False))


@pytest.mark.parametrize("case", TOO_MUCH)
def test_memory_follows_what_is_promised(outcomes, case):
    found, peak = outcomes[case]
    assert re.search(TOO_MUCH[case][2], found)
    assert peak < 500  # of which Python with torch is about 230


def test_resizing_a_set_is_bounded_too():
    items = ItemSet(torch.zeros(300, 1, 2, 2, dtype=torch.uint8), [0] * 300, ("a",), "mine")
    with pytest.raises(DataError, match="mine: items of 5000 x 2 pixels, a side has 1 to 4096"):
        items.resized((5000, 2))
    message = "mine: 300 items of 1 x 4000 x 4000 values take 4800000000 bytes, 4294967296 are"
    with pytest.raises(DataError, match=message):
        items.resized((4000, 4000))
