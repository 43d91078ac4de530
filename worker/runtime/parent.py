"""Ends a child process with the one that started it (Linux)."""

import signal
import sys

_PR_SET_PDEATHSIG = 1


def end_with_parent() -> None:
    """Let the kernel send SIGTERM to this process when its parent is gone, however that ended."""
    if sys.platform == "linux":
        import ctypes  # noqa: PLC0415 - takes a while, and most processes don't need it

        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
