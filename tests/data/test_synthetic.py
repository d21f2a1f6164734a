"""The image sets that the package makes itself."""

import hashlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from invlib.data import objects, synthetic

SETS = {
    "digits-train": (synthetic.digits, "train", (1400, 1, 8, 8), 10),
    "digits-test": (synthetic.digits, "test", (397, 1, 8, 8), 10),
    "glyphs-train": (synthetic.glyphs, "train", (2600, 1, 28, 28), 26),
    "glyphs-test": (synthetic.glyphs, "test", (1040, 1, 28, 28), 26),
    "objects10": (objects.objects, "objects10", (10, 3, 64, 64), 10),
    "objects2": (objects.objects, "objects2", (2, 3, 64, 64), 2),
}


def small_grey(images):
    """Grey copies of 16x16, as the small studies see them."""
    pictures = [Image.fromarray(np.ascontiguousarray(i.transpose(1, 2, 0))) for i in images]
    small = [p.convert("L").resize((16, 16), Image.Resampling.BICUBIC) for p in pictures]
    return np.stack([np.asarray(s, float) for s in small])


@pytest.mark.parametrize("key", SETS)
def test_sets_have_the_shapes_types_and_ranges_they_promise(key):
    make, argument, shape, count = SETS[key]
    images, labels, classes = make(argument)
    assert images.dtype == np.uint8 and images.shape == shape
    assert labels.dtype == np.int64 and labels.shape == shape[:1]
    assert len(set(classes)) == count and set(labels) == set(range(count))
    assert images.min() == 0 and images.max() > 150
    assert images.reshape(len(images), -1).any(axis=1).all()


def test_a_fresh_process_makes_the_same_bytes():
    code = (
        "import hashlib; from invlib.data import objects as o, synthetic as s\n"
        "h = hashlib.sha256()\n"
        "for a in (s.glyphs('train'), s.glyphs('test'), o.objects('objects10'),"
        " o.objects('objects2')): h.update(a[0].tobytes())\n"
        "print(h.hexdigest())"
    )
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    here = hashlib.sha256()
    for key in ("glyphs-train", "glyphs-test", "objects10", "objects2"):
        make, argument = SETS[key][:2]
        here.update(make(argument)[0].tobytes())
    assert other.stdout.strip() == here.hexdigest()


def test_unknown_names_are_refused_by_name():
    for make in (synthetic.digits, synthetic.glyphs):
        with pytest.raises(ValueError, match="valid"):
            make("valid")
    with pytest.raises(ValueError, match="objects3.*objects10.*objects2"):
        objects.objects("objects3")


def test_cached_images_cannot_be_overwritten():
    for images in (synthetic.glyphs("test")[0], objects.objects("objects2")[0]):
        with pytest.raises(ValueError, match="read-only"):
            images[0] = 0


def test_digits_are_the_source_in_stored_order():
    source = load_digits()
    images = np.concatenate([synthetic.digits(s)[0] for s in ("train", "test")])
    labels = np.concatenate([synthetic.digits(s)[1] for s in ("train", "test")])
    assert np.array_equal(labels, source.target)
    assert np.abs(images[:, 0] / 255 - source.images / 16).max() < 1 / 255


def test_every_letter_image_is_a_different_one():
    images = np.concatenate([synthetic.glyphs(s)[0] for s in ("train", "test")])
    assert len({i.tobytes() for i in images}) == len(images)


def test_letters_are_legible_and_upright():
    train, train_labels, classes = synthetic.glyphs("train")
    test, test_labels, _ = synthetic.glyphs("test")
    means = np.stack([train[train_labels == k, 0].mean(axis=0) for k in range(26)])

    def score(images):
        gaps = ((images[:, None, :, :].astype(float) - means) ** 2).sum(axis=(2, 3))
        return (gaps.argmin(axis=1) == test_labels).mean()

    assert score(test[:, 0]) > 0.8  # chance: 0.04
    assert score(test[:, 0].transpose(0, 2, 1)) < 0.4

    # Independently of the means: where the ink of telling letters lies, in nearly every image.
    top, bottom = train[:, 0, :14].sum(axis=(1, 2)), train[:, 0, 14:].sum(axis=(1, 2))
    left, right = train[..., :14].sum(axis=(1, 2, 3)), train[..., 14:].sum(axis=(1, 2, 3))
    for letter, more, less in (("L", bottom, top), ("T", top, bottom), ("P", top, bottom),
                               ("L", left, right), ("F", left, right)):  # fmt: skip
        chosen = train_labels == classes.index(letter)
        assert (more[chosen] > less[chosen]).mean() > 0.85, letter


def test_letters_fill_the_frame_without_touching_its_edge():
    images = synthetic.glyphs("train")[0][:, 0]
    ink = images > 64
    heights = ink.any(axis=2).sum(axis=1)
    assert 17 <= np.median(heights) <= 22 and heights.min() >= 10
    assert not (ink[:, [0, -1]].any() or ink[:, :, [0, -1]].any())


def test_objects_fill_a_black_frame_and_are_of_one_hue():
    for name in ("objects10", "objects2"):
        images = objects.objects(name)[0].astype(float)
        assert not images[:, :, [0, 0, -1, -1], [0, -1, 0, -1]].any()
        for image in images:
            ink = image[0] > 0
            extent = max(np.ptp(np.flatnonzero(ink.any(axis=a))) + 1 for a in (0, 1))
            assert 0.85 * 64 <= extent <= 0.95 * 64
            red, green, blue = image[:, image[0] > 100]
            assert np.ptp(green / red) < 0.02 and np.ptp(blue / red) < 0.02  # so none is clipped
            assert (red > green).all() and (green > 3 * blue).all()


def test_brightness_does_not_tell_objects_apart_but_shape_does():
    ten, two = (objects.objects(n)[0] for n in ("objects10", "objects2"))
    small = small_grey(np.concatenate([ten, two]))
    for grey in (small[:10], small[10:], two.mean(axis=1), ten.mean(axis=1)):
        means = grey.mean(axis=(1, 2))
        assert np.ptp(means) < 0.01 * means.mean()
    # Also says that the two sets share no object.
    gaps = np.abs(small[:, None] - small[None]).mean(axis=(2, 3))
    assert gaps[np.triu_indices(12, 1)].min() > 0.3 * small.mean()
    assert gaps[10, 11] > 0.5 * small.mean()
