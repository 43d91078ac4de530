"""The one way to wait."""

import os
import time
from collections.abc import Callable
from typing import Any

# Seconds. Long enough for a machine that is busy elsewhere: what is promised within a time is
# asserted by the test itself.
PATIENCE = 60.0


def wait_until(condition: Callable[[], Any], timeout: float = PATIENCE, what: str = "") -> Any:
    """Wait until the condition holds, and return its value."""
    until = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > until:
            raise AssertionError(f"waited {timeout} s in vain {what or condition}: last {value!r}")
        time.sleep(0.01)


def tolerance() -> float:
    """Return the seconds that this machine may add to what is promised: more, the busier it is."""
    return 1.0 + os.getloadavg()[0] / (os.cpu_count() or 1)
