"""One map as a figure."""

from typing import TYPE_CHECKING

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.figure import Figure

if TYPE_CHECKING:  # it asks for its figure
    from invlib.measure.maps import AccuracyMap, SensitivityMap

_MEASURED = {
    "cosine": "cosine similarity",
    "euclidean": "Euclidean distance",
    "accuracy": "accuracy",
}


def new_axes(size: tuple[float, float]) -> tuple[Figure, Axes]:
    """A figure of this size with axes."""
    figure, ax = plt.subplots(figsize=size, layout="constrained")
    # Closed at once: a returned figure is shown by the notebook, and once only.
    plt.close(figure)
    return figure, ax


def accuracy_figure(accuracy: "AccuracyMap") -> Figure:
    """Accuracy at each place, in percent; the trained one is marked."""
    figure, ax = new_axes((3.6, 3.2))
    mesh = draw_accuracy(ax, accuracy)
    ax.set(xlabel="column of the item (px)", ylabel="row of the item (px)")
    figure.colorbar(mesh, ax=ax, label="accuracy (%)")
    return figure


def draw_accuracy(ax: Axes, accuracy: "AccuracyMap") -> QuadMesh:
    """The same on these axes."""
    mesh = draw_places(ax, accuracy)
    for colour, line in (("white", 2.5), ("black", 1)):
        ax.plot(*accuracy.place[::-1], "o", mfc="none", mec=colour, ms=9, mew=line, clip_on=False)
    return mesh


def draw_places(ax: Axes, accuracy: "AccuracyMap") -> QuadMesh:
    """The same without a mark, for what was learnt at more places than one."""
    height, width = accuracy.item
    rows, columns = _edges(accuracy.rows, height), _edges(accuracy.columns, width)
    mesh = ax.pcolormesh(columns, rows, 100 * accuracy.values, cmap="cividis", vmin=0, vmax=100)
    ax.set(aspect="equal", ylim=(rows[-1], rows[0]))  # row 0 at the top
    return mesh


def sensitivity_figure(sensitivity: "SensitivityMap") -> Figure:
    """What was measured at each shift, on a scale that cuts nothing off."""
    figure, ax = new_axes((3.6, 3.2))
    values, reach = sensitivity.values, sensitivity.shifts + 0.5
    most = values.max() or 1 if sensitivity.metric == "euclidean" else 1
    image = ax.imshow(
        values, cmap="cividis", vmin=min(0, values.min()), vmax=most,
        extent=(-reach, reach, reach, -reach),
    )  # fmt: skip
    ax.set(xlabel="shift to the right (px)", ylabel="shift down (px)")
    figure.colorbar(image, ax=ax, label=_MEASURED[sensitivity.metric])
    return figure


def _edges(places: tuple[int, ...], alone: int) -> np.ndarray:
    """Where cells meet: half-way, as the grid of the paper is not quite even."""
    axis = np.asarray(places, dtype=float)
    if len(axis) == 1:
        return np.array([axis[0] - alone / 2, axis[0] + alone / 2])
    middle = (axis[1:] + axis[:-1]) / 2
    return np.r_[1.5 * axis[0] - 0.5 * axis[1], middle, 1.5 * axis[-1] - 0.5 * axis[-2]]
