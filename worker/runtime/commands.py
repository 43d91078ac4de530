"""How this program starts itself once more, as a child."""

import os
import sys
from pathlib import Path

_FOLDER = Path(__file__).parent.parent.parent  # the one that holds the package `worker`


def worker_command(*arguments: str) -> list[str]:
    """Return the command line of a `worker` command.

    By -P the current folder is not searched, where a user's own worker.py would replace us. Where
    our package is found in no other way than in the current folder, it wins there by itself.
    """
    here = os.path.realpath(os.getcwd()) == os.path.realpath(_FOLDER)  # noqa: PTH109
    return [sys.executable, *([] if here else ["-P"]), "-m", "worker", *arguments]
