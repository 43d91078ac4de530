"""The app of the contract on a host whose clock is an hour ahead."""

import time

from tests.apps.contract import app

__all__ = ["app"]

_real = time.time
time.time = lambda: _real() + 3600
