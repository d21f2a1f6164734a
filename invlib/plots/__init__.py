"""Every figure of the book. Accuracies are drawn in percent on the same scale throughout."""

from invlib.plots.accuracy import bars, columns, distance, heatmaps
from invlib.plots.amounts import areas, coverage, diversity
from invlib.plots.axes import looks
from invlib.plots.borders import by_border, by_filter, by_images, by_padding
from invlib.plots.demonstrations import lines, pictures
from invlib.plots.inputs import augmentations, stimuli
from invlib.plots.inside import cosines, losses
from invlib.plots.radial import (
    alignment,
    class_maps,
    controls,
    correlations,
    curves,
    depth,
    dimensions,
    feature_maps,
    radial,
)
from invlib.plots.shortcuts import cells, savings, seconds
from invlib.plots.transfer import matrix, pairs
