"""Shaded 3-D objects, drawn from tables of geometric parts: they need no download.

Everything is deterministic: two calls give the same bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from invlib.data.synthetic import Arrays, frozen

# A part is (kind, centre, size, turn). Axes: x right, y up, z to the viewer; turn in degrees about
# x, then y, then z. Sizes: "ball" and "box" half extents; "rod" radius and half height; "cone"
# bottom radius, top radius and half height; "ring" radii of the circle and of the tube (a rod,
# cone or ring has y for its axis).
Part = tuple[str, tuple[float, ...], tuple[float, ...], tuple[float, ...]]

_UP = (0.0, 0.0, 0.0)

_OBJECTS: dict[str, tuple[tuple[Part, ...], ...]] = {
    "objects10": (
        (  # a mushroom in a ring
            ("ball", (0, 0.75, 0), (0.95, 0.5, 0.95), _UP),
            ("rod", (0, -0.1, 0), (0.27, 0.75), _UP),
            ("ring", (0, -0.85, 0), (0.72, 0.2), _UP),
        ),
        (  # a long bench with two spikes and an egg
            ("box", (0, -0.5, 0), (1.3, 0.42, 0.5), _UP),
            ("cone", (-0.85, 0.6, 0), (0.45, 0.04, 0.7), _UP),
            ("cone", (0.85, 0.6, 0), (0.45, 0.04, 0.7), _UP),
            ("ball", (0, 0.3, 0.1), (0.4, 0.6, 0.4), _UP),
        ),
        (  # a tower with a handle and a spout
            ("box", (-0.1, 0, 0), (0.45, 1.2, 0.45), _UP),
            ("ring", (-0.6, -0.45, 0), (0.48, 0.14), (90, 0, 0)),
            ("cone", (0.65, 0.55, 0), (0.4, 0.16, 0.65), (0, 0, -60)),
        ),
        (  # a large upright ring, barred by a rod with a knob
            ("ring", (0, 0, 0), (0.85, 0.27), (90, 0, 0)),
            ("rod", (0, 0, 0), (0.17, 1.1), (0, 0, -45)),
            ("ball", (0.8, 0.8, 0.1), (0.42, 0.42, 0.42), _UP),
            ("box", (-0.72, -0.72, 0.2), (0.3, 0.3, 0.3), (20, 30, 0)),
        ),
        (  # a table on one leg, with a hanging cone
            ("box", (0, 0.8, 0), (1.2, 0.2, 0.65), _UP),
            ("rod", (-0.15, -0.15, 0), (0.3, 0.9), _UP),
            ("cone", (0.85, 0.15, 0.1), (0.03, 0.33, 0.5), _UP),
            ("box", (-0.15, -1.05, 0), (0.55, 0.14, 0.5), _UP),
        ),
        (  # a corner of two slabs, with an egg in it
            ("box", (-0.85, 0.05, 0), (0.3, 1.2, 0.55), _UP),
            ("box", (0.05, -0.85, 0), (1.2, 0.3, 0.55), _UP),
            ("ball", (0.55, -0.25, 0.1), (0.48, 0.55, 0.45), _UP),
            ("rod", (-0.45, 0.75, 0.1), (0.22, 0.3), (0, 0, 90)),
        ),
        (  # a blunt airship with a nose and two fins
            ("ball", (0, 0, 0), (1.0, 0.72, 0.72), _UP),
            ("cone", (-0.95, 0, 0), (0.5, 0.1, 0.35), (0, 0, 90)),
            ("box", (0.85, 0.5, 0), (0.28, 0.6, 0.12), (0, 0, -25)),
            ("box", (0.85, -0.5, 0), (0.28, 0.6, 0.12), (0, 0, 25)),
            ("ring", (0.1, 0, 0), (0.72, 0.12), (0, 0, 90)),
        ),
        (  # an hourglass with a belt
            ("cone", (0, -0.6, 0), (1.0, 0.25, 0.6), _UP),
            ("cone", (0, 0.6, 0), (0.25, 1.0, 0.6), _UP),
            ("ring", (0, 0, 0), (0.5, 0.2), _UP),
        ),
        (  # a slanted hammer
            ("rod", (0, 0, 0), (0.36, 1.0), (0, 0, 45)),
            ("ball", (0.55, -0.55, 0), (0.8, 0.8, 0.8), _UP),
            ("box", (-0.6, 0.6, 0), (1.05, 0.42, 0.5), (0, 0, 45)),
        ),
        (  # a tripod under a dome
            ("ball", (0, 0.5, 0), (1.1, 0.4, 0.7), _UP),
            ("cone", (-0.75, -0.4, 0), (0.06, 0.34, 0.75), (0, 0, -14)),
            ("cone", (0.75, -0.4, 0), (0.06, 0.34, 0.75), (0, 0, 14)),
            ("rod", (0, -0.1, 0.2), (0.22, 0.5), _UP),
            ("box", (0.0, 0.95, 0), (0.3, 0.2, 0.3), _UP),
        ),
    ),
    "objects2": (
        (  # a ringed planet with a cube on its pole
            ("ball", (0, 0, 0), (0.72, 0.72, 0.72), _UP),
            ("ring", (0, 0, 0), (1.0, 0.15), (12, 0, 14)),
            ("box", (-0.15, 0.85, 0), (0.32, 0.32, 0.32), (0, 20, 14)),
        ),
        (  # two crossed planks, a boss and a spike
            ("box", (0, 0, 0), (1.3, 0.3, 0.3), (0, 0, 45)),
            ("box", (0, 0, 0), (1.3, 0.3, 0.3), (0, 0, -45)),
            ("cone", (0, 0.7, 0), (0.34, 0.02, 0.7), _UP),
            ("cone", (0, 0, 0.6), (0.5, 0.15, 0.35), (90, 0, 0)),
        ),
    ),
}

_FRAME, _FILL = 64, 0.9

_HUE = np.array([1.0, 0.82, 0.12])

_LIGHT = np.array([-0.45, 0.7, 0.75]) / np.linalg.norm([-0.45, 0.7, 0.75])

_AMBIENT = 0.25

_BRIGHTNESS = 45.0  # as bright as all twelve can be with no channel clipped at 255

_NEAR = 5e-4


@lru_cache(maxsize=len(_OBJECTS))
def objects(name: str) -> Arrays:
    """Shaded novel objects, each of three to five solids, of one yellow material on black.

    One image per class. All twelve objects have the same mean brightness, to within 1 % after a
    bicubic resize of the grey image to 16x16, so that brightness alone cannot tell them apart.

    Args:
        name: ``"objects10"`` (ten classes) or ``"objects2"`` (two other classes).

    Returns:
        Images, uint8 ``(n, 3, 64, 64)`` in 0..255, the object over 90 % of the frame in its larger
        dimension; labels, int64 ``(n,)``; class names. The arrays are cached and read-only.

    Raises:
        ValueError: no set has this name.

    Source:
        Drawn here, with shapes of our own, after the manner of the Leek objects of Blything et al.
        2020, of which Biscione and Bowers 2020 use ten and two. They stand in for those objects.
    """
    if name not in _OBJECTS:
        raise ValueError(f"no set of objects is called {name!r}: use one of {sorted(_OBJECTS)}")
    images = np.stack([_normalised(_shaded(parts)) for parts in _OBJECTS[name]])
    count = len(images)
    classes = tuple(f"{name}-{number:02d}" for number in range(1, count + 1))
    return frozen(images), frozen(np.arange(count, dtype=np.int64)), classes


def _normalised(shade: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Colour a shaded image (64, 64) so that its small grey copy has the set's mean brightness."""
    gain = 255.0
    for _ in range(4):  # the resize clips its overshoot, so the mean is not quite linear in gain
        colour = np.rint(gain * shade[..., None] * _HUE).clip(0, 255).astype(np.uint8)
        small = Image.fromarray(colour).convert("L").resize((16, 16), Image.Resampling.BICUBIC)
        gain *= _BRIGHTNESS / np.asarray(small).mean()
    return colour.transpose(2, 0, 1)


def _shaded(parts: tuple[Part, ...]) -> NDArray[np.float64]:
    """Lambert shading (64, 64) in 0..1, orthographic view, framed and supersampled twice."""
    view = _turn((24, -28, 0))
    solids = [(k, view @ np.array(c, float), s, view @ _turn(t)) for k, c, s, t in parts]

    def look(centre: NDArray[np.float64], half: float, side: int) -> tuple[NDArray, NDArray]:
        ticks = (np.arange(side) + 0.5) / side * 2 - 1
        x, y = np.meshgrid(centre[0] + half * ticks, centre[1] - half * ticks)
        points = np.stack([x.ravel(), y.ravel(), np.full(x.size, 2.5)], axis=1)
        return _traced(points, solids)

    # A first, coarse look finds the outline; the second one frames it.
    points, hit = look(np.zeros(2), 2.2, 96)
    low, high = points[hit, :2].min(axis=0), points[hit, :2].max(axis=0)
    half = (np.max(high - low) + 2 * 2.2 / 96) / 2 / _FILL
    points, hit = look((low + high) / 2, half, 2 * _FRAME)

    found = points[hit]
    steps = 1e-3 * np.eye(3)
    normal = np.stack([_distance(found + d, solids) - _distance(found - d, solids) for d in steps])
    normal /= np.linalg.norm(normal, axis=0) + 1e-12
    shade = np.zeros(len(points))
    shade[hit] = _AMBIENT + (1 - _AMBIENT) * np.maximum(_LIGHT @ normal, 0)
    return shade.reshape(_FRAME, 2, _FRAME, 2).mean(axis=(1, 3))


def _traced(points: NDArray, solids: list[Any]) -> tuple[NDArray, NDArray]:
    """Walk rays along -z by the distance to the nearest surface; the end points and which hit."""
    hit = np.zeros(len(points), bool)
    live = np.arange(len(points))
    for _ in range(160):  # rays that graze a ball take the most
        gap = _distance(points[live], solids)
        points[live, 2] -= 0.9 * gap  # an ellipsoid's distance is an estimate that can overshoot
        hit[live[gap < _NEAR]] = True
        live = live[(gap >= _NEAR) & (points[live, 2] > -2.5)]
        if not len(live):
            break
    return points, hit


def _distance(points: NDArray, solids: list[Any]) -> NDArray:
    nearest = [_SOLIDS[kind]((points - c) @ turn, *size) for kind, c, size, turn in solids]
    return np.min(nearest, axis=0)


def _turn(degrees: tuple[float, ...]) -> NDArray[np.float64]:
    (cx, cy, cz), (sx, sy, sz) = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_z = np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def _ball(p: NDArray, *radii: float) -> NDArray:
    one = np.linalg.norm(p / radii, axis=1)
    two = np.linalg.norm(p / np.square(radii), axis=1)
    return one * (one - 1) / np.maximum(two, 1e-9)


def _box(p: NDArray, *half: float) -> NDArray:
    q = np.abs(p) - half
    return np.linalg.norm(np.maximum(q, 0), axis=1) + np.minimum(q.max(axis=1), 0)


def _ring(p: NDArray, radius: float, tube: float) -> NDArray:
    return np.hypot(np.hypot(p[:, 0], p[:, 2]) - radius, p[:, 1]) - tube


def _rod(p: NDArray, radius: float, half: float) -> NDArray:
    return _cone(p, radius, radius, half)


def _cone(p: NDArray, bottom: float, top: float, half: float) -> NDArray:
    out, y = np.hypot(p[:, 0], p[:, 2]), p[:, 1]
    cap_x = out - np.minimum(out, np.where(y < 0, bottom, top))
    cap_y = np.abs(y) - half
    slope = np.array([top - bottom, 2 * half])
    along = ((top - out) * slope[0] + (half - y) * slope[1]) / (slope @ slope)
    along = along.clip(0, 1)
    side_x, side_y = out - top + slope[0] * along, y - half + slope[1] * along
    inside = (side_x < 0) & (cap_y < 0)
    square = np.minimum(cap_x**2 + cap_y**2, side_x**2 + side_y**2)
    return np.where(inside, -1.0, 1.0) * np.sqrt(square)


_SOLIDS: dict[str, Callable[..., NDArray]] = {
    "ball": _ball,
    "box": _box,
    "ring": _ring,
    "rod": _rod,
    "cone": _cone,
}
