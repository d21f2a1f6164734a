"""torchvision, also beside a torch whose build its compiled operators do not fit.

The package index has torchvision built for one torch build only. Beside another (a CPU-only
torch, say) its operators cannot load, and the import fails because two fake kernels are
registered for operators that nobody defined. invlib needs networks and data sets, none of those
operators, so the two missing schemas are declared, and the import is tried once more.
"""

import torch

try:
    import torchvision
except RuntimeError as error:
    if str(error) != "operator torchvision::nms does not exist":
        raise
    # Kept for the life of the process: the schemas go when this object goes.
    _schemas = torch.library.Library("torchvision", "FRAGMENT")
    for _name in ("nms", "qnms"):
        _schemas.define(f"{_name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision
import torchvision.models.feature_extraction  # not with torchvision itself

__all__ = ["torchvision"]
