"""Lets torchvision be imported beside a torch whose build its compiled operators do not fit.

The package index has torchvision built for one torch build only. Beside another (a CPU-only
torch, say) its operators cannot load, and the import fails because two fake kernels are
registered for operators that nobody defined. Networks and data sets need none of those
operators, so the two missing schemas are declared.
"""

import sys
from importlib.machinery import EXTENSION_SUFFIXES
from importlib.util import find_spec
from pathlib import Path

import torch


def _fits() -> bool:
    """Whether torchvision's operators load, or it is not installed; torchvision is not imported."""
    found = None if "torchvision" in sys.modules else find_spec("torchvision")
    if found is None or found.origin is None:
        return True
    files = (Path(found.origin).with_name(f"_C{suffix}") for suffix in EXTENSION_SUFFIXES)
    try:
        for file in filter(Path.is_file, files):
            torch.ops.load_library(file)
    except OSError:
        return False
    return True


if not _fits():
    # Kept for the life of the process: the schemas go when this object goes.
    _schemas = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        _schemas.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
