"""For the project's own .venv: torchvision can be imported before invlib, too.

The .venv may have a torch that torchvision's compiled operators do not fit (a CPU-only one, say).
invlib mends that when it is imported; here, it is imported first.
"""

import sys


class _Mended:
    @classmethod
    def find_spec(cls, name, path=None, target=None):
        if name == "torchvision":
            sys.meta_path.remove(cls)
            import invlib  # noqa: F401


sys.meta_path.insert(0, _Mended)
