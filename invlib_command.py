"""The command ``invlib``: Ctrl-C is answered in one line from its first moment.

Beside the package, since importing that takes seconds.
"""

import os
import signal
from typing import Any


def _leave(number: int, frame: Any) -> None:
    os.write(2, b"interrupted; nothing was begun\n")
    os._exit(130)


def main() -> None:
    """Import the package, then do what ``invlib.cli`` says."""
    before = signal.signal(signal.SIGINT, _leave)
    from invlib.cli import main as command

    signal.signal(signal.SIGINT, before)
    command()
