"""Ports for the servers and proxies of tests."""

import random
import socket
from contextlib import suppress

# Below the ports that the kernel gives to outgoing connections (32768 up on Linux, 49152 up on
# macOS). Such a connection may take the port of a server that a test has stopped for a moment.
_PORTS = range(10_000, 32_000)
_given: set[int] = set()


def free_port() -> int:
    """Return a loopback port that nothing listens on and that this process was never given."""
    for port in random.sample(_PORTS, 1000):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            if port not in _given:
                _given.add(port)
                return port
    raise AssertionError("no port is free")
