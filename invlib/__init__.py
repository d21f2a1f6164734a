"""Are convolutional networks translation-invariant? Datasets, canvases, training, metrics.

The names a chapter imports; see the modules for the rest.
"""

import importlib
from types import ModuleType

import invlib._torchvision  # noqa: F401  # before anything imports torchvision
from invlib.data.canvas import Canvas
from invlib.data.items import ItemSet
from invlib.data.sets import load
from invlib.measure.accuracy import accuracy_map
from invlib.measure.cosine import cosine_by_displacement
from invlib.measure.equivariance import equivariance_error, invariance_error
from invlib.measure.maps import compare
from invlib.measure.receptive_field import receptive_field
from invlib.measure.sensitivity import sensitivity_map
from invlib.measure.statistics import normalised_accuracy
from invlib.training import Recipe, fit

__version__ = "0.1.0"
__all__ = [
    "Canvas",
    "ItemSet",
    "Recipe",
    "accuracy_map",
    "compare",
    "cosine_by_displacement",
    "equivariance_error",
    "fit",
    "invariance_error",
    "load",
    "normalised_accuracy",
    "receptive_field",
    "sensitivity_map",
]

_LAZY = {name: f"invlib.{name}" for name in ("chapter", "claims", "models", "plots", "studies")} | {
    "augmentation": "invlib.data.augmentation",
    "results": "invlib.runs",
    "runner": "invlib.runs",
}


def __getattr__(name: str) -> ModuleType:
    # Drawing and tables take a second to import; who only measures does not wait for them.
    if name in _LAZY:
        return importlib.import_module(_LAZY[name])
    raise AttributeError(f"module 'invlib' has no attribute {name!r}")
