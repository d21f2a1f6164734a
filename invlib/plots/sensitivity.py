"""Sensitivity maps."""

from matplotlib.figure import Figure

from invlib.measure.accuracy import Map
from invlib.plots.axes import new_axes


def similarity(values: Map, label: str = "cosine similarity") -> Figure:
    """A sensitivity map: similarity for each shift in pixels, on a scale from 0 to 1.

    Args:
        values: (rows, columns), shifts down and to the right rising, no shift in the middle.
        label: of the colour bar.
    """
    figure, ax = new_axes((3.6, 3.2))
    reach = values.shape[0] // 2 + 0.5
    image = ax.imshow(values, cmap="cividis", vmin=0, vmax=1, extent=(-reach, reach, reach, -reach))
    ax.set(xlabel="shift to the right (px)", ylabel="shift down (px)")
    figure.colorbar(image, ax=ax, label=label)
    return figure
