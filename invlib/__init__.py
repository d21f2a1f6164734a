"""Are convolutional networks translation-invariant? Datasets, canvases, training, metrics.

The names a chapter imports; see the modules for the rest.
"""

import importlib
from types import ModuleType

from invlib.canvas import Canvas
from invlib.datasets import ItemSet, load
from invlib.metrics import accuracy_map, normalised_accuracy, sensitivity_map
from invlib.training import Recipe, fit

__version__ = "0.1.0"
__all__ = [
    "Canvas",
    "ItemSet",
    "Recipe",
    "accuracy_map",
    "fit",
    "load",
    "normalised_accuracy",
    "sensitivity_map",
]

_LAZY = ("augmentation", "chapter", "claims", "models", "plots", "results", "runner", "studies")


def __getattr__(name: str) -> ModuleType:
    # Drawing and tables take a second to import; who only measures does not wait for them.
    if name in _LAZY:
        return importlib.import_module(f"invlib.{name}")
    raise AttributeError(f"module 'invlib' has no attribute {name!r}")
