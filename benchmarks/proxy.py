"""A TCP proxy that makes the network longer: `python -m benchmarks.proxy PORT TARGET MILLISECONDS`.

Each direction is held up by half the round trip; nothing is slowed down otherwise.
"""

import asyncio
import sys
from functools import partial

import uvloop


class Pipe(asyncio.Protocol):
    """One side of a connection; what arrives leaves on the other side, later."""

    def __init__(self, delay: float, target: int | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._delay = delay
        self._target = target
        self._connecting: asyncio.Task[None] | None = None
        self._early: list[bytes] = []
        self.transport: asyncio.Transport | None = None
        self.other: Pipe | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the target, if this is the side of a caller."""
        self.transport = transport  # type: ignore[assignment]
        if self._target is not None:
            self._connecting = self._loop.create_task(self._connect(self._target))

    async def _connect(self, port: int) -> None:
        make = partial(Pipe, self._delay, None)
        _, other = await self._loop.create_connection(make, "127.0.0.1", port)
        self.other, other.other = other, self
        for data in self._early:
            self.data_received(data)

    def data_received(self, data: bytes) -> None:
        """Pass it on after half the round trip."""
        if self.other is None:
            self._early.append(data)
        elif self._delay:
            self._loop.call_later(self._delay, self.other.send, data)
        else:
            self.other.send(data)

    def send(self, data: bytes) -> None:
        """Send to whoever is connected on this side."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.write(data)

    def connection_lost(self, _: Exception | None) -> None:
        """Close the other side."""
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()


async def _main(port: int, target: int, milliseconds: float) -> None:
    loop = asyncio.get_running_loop()
    make = partial(Pipe, milliseconds / 2000, target)
    server = await loop.create_server(make, "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
