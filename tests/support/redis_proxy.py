"""A TCP proxy in front of Redis that loses replies, delays, holds, refuses and resets on demand.

It runs in a thread of its own, so that a test which blocks does not stop it. Bytes keep their
order whatever the delay. What a client had sent before it hung up still arrives, late if it was
held: that is how a command reaches Redis after its sender has given it up.
"""

import asyncio
import socket
import struct
import threading
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Literal, Self, TypeVar

from tests.support.ports import free_port

T = TypeVar("T")
Direction = Literal["requests", "replies", "both"]

_CHUNK = 64 * 1024
_Waiting = asyncio.Queue[tuple[float, bytes]]


@dataclass(eq=False)
class _Loss:
    """A reply that is to be lost: that of the next command which contains `match`, if the reply
    contains `reply`, after `skip` such commands have passed."""

    match: bytes
    reply: bytes
    skip: int
    done: threading.Event = field(default_factory=threading.Event)


@dataclass(eq=False)
class Held:
    """A request on its way that does not arrive, nor whatever its sender sends after it."""

    match: bytes
    done: threading.Event = field(default_factory=threading.Event)
    go: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False)
class _Way:
    """One direction of all connections."""

    delay: float = 0.0
    open: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(eq=False)
class _Link:
    """One client's connection and the one to Redis behind it."""

    client: asyncio.StreamWriter
    server: asyncio.StreamWriter
    last_request: bytes = b""
    loss: _Loss | None = None
    held: Held | None = None
    swallowed: bool = False

    def reset(self) -> None:
        """Cut both at once: their owners see `Connection reset by peer`."""
        for writer in (self.client, self.server):
            peer = writer.get_extra_info("socket")
            if peer is not None:
                with suppress(OSError):
                    peer.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class RedisProxy:
    """Listens on `port` and passes on to `upstream_port`, both on the loopback interface.

    `lost` counts the pieces of replies that were swallowed, `resets` the connections cut.
    """

    def __init__(self, upstream_port: int) -> None:
        self.upstream_port = upstream_port
        self.port = free_port()
        self.lost = 0
        self.resets = 0
        self._links: set[_Link] = set()
        self._losses: list[_Loss] = []
        self._holds: list[Held] = []
        self._dropping = False
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def connections(self) -> int:
        """How many are open now."""
        return len(self._links)

    def start(self) -> Self:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(
            target=self._loop.run_forever, name="redis-proxy", daemon=True
        )
        self._thread.start()
        self._ways = {"requests": _Way(), "replies": _Way()}
        self.pause(False)
        self.refuse(False)
        return self

    def stop(self) -> None:
        self._do(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    # -- what can go wrong ---------------------------------------------------------------------

    def reset_all(self) -> int:
        """Cut every connection; tells how many there were."""

        async def reset() -> int:
            return self._reset(self._links)

        return self._do(reset())

    def set_delay(self, seconds: float, direction: Direction = "both") -> None:
        """Hold each piece that comes from now on for so long."""

        async def delay() -> None:
            for way in self._chosen(direction):
                way.delay = seconds

        self._do(delay())

    def pause(self, on: bool = True, direction: Direction = "both") -> None:
        """Hold everything until it is called with False: nothing is lost, nothing arrives."""

        async def pause() -> None:
            for way in self._chosen(direction):
                if on:
                    way.open.clear()
                else:
                    way.open.set()

        self._do(pause())

    def drop_replies(self, on: bool = True) -> None:
        """Swallow whatever Redis says; called with False, cut the connections that missed some."""

        async def drop() -> None:
            self._dropping = on
            if not on:
                self._reset({link for link in self._links if link.swallowed})

        self._do(drop())

    def refuse(self, on: bool = True) -> None:
        """Refuse new connections; those that are open stay so (see `reset_all`)."""

        async def refuse() -> None:
            if on and self._server is not None:
                self._server.close()
                self._server = None
            elif not on and self._server is None:
                self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)

        self._do(refuse())

    def lose_next_reply(self, match: bytes, reply: bytes = b"", skip: int = 0) -> threading.Event:
        """Let Redis do the next command that contains `match`, swallow its reply, cut that
        connection. Only a reply that contains `reply` is lost, after `skip` others. The event is
        set once it is done."""
        loss = _Loss(match, reply, skip)

        async def arm() -> None:
            self._losses.append(loss)

        self._do(arm())
        return loss.done

    def hold_next_request(self, match: bytes) -> Held:
        """Hold the next command that contains `match` (`done` is set then), and let others pass,
        until `release`: it arrives late, also when its sender has given it up and is gone."""
        held = Held(match)

        async def hold() -> None:
            self._holds.append(held)

        self._do(hold())
        return held

    def release(self, held: Held) -> None:
        self._loop.call_soon_threadsafe(held.go.set)

    # -- inside the thread ---------------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    def _chosen(self, direction: Direction) -> list[_Way]:
        return [way for name, way in self._ways.items() if direction in (name, "both")]

    def _reset(self, links: set[_Link]) -> int:
        cut = list(links)
        for link in cut:
            link.reset()
        self.resets += len(cut)
        return len(cut)

    async def _end(self) -> None:
        if self._server is not None:
            self._server.close()
        self._reset(self._links)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        try:
            server_reader, server = await asyncio.open_connection("127.0.0.1", self.upstream_port)
        except OSError:
            writer.transport.abort()
            return
        link = _Link(writer, server)
        self._links.add(link)
        with suppress(asyncio.CancelledError):
            await asyncio.gather(
                self._carry(link, reader, server, "requests"),
                self._carry(link, server_reader, writer, "replies"),
            )
        self._links.discard(link)
        for end in (writer, server):
            end.close()

    async def _carry(
        self,
        link: _Link,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        direction: Literal["requests", "replies"],
    ) -> None:
        """Take in one direction's bytes and pass them on, each when its time has come."""
        way = self._ways[direction]
        waiting: _Waiting = asyncio.Queue()

        async def take() -> None:
            data = b"-"
            while data:
                data = await _quietly(reader.read(_CHUNK)) or b""
                if direction == "requests":
                    self._note_request(link, data)
                elif data and self._swallows(link, data):
                    continue
                waiting.put_nowait((self._loop.time() + way.delay, data))

        await asyncio.gather(take(), self._give(link, waiting, way, writer))
        if direction == "replies":
            link.client.close()

    async def _give(
        self, link: _Link, waiting: _Waiting, way: _Way, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            due, data = await waiting.get()
            if (wait := due - self._loop.time()) > 0:
                await asyncio.sleep(wait)
            await way.open.wait()
            if link.held is not None and writer is link.server:
                await link.held.go.wait()
            if not data:
                break
            writer.write(data)
            await _quietly(writer.drain())
        with suppress(OSError):
            if not writer.is_closing():
                writer.write_eof()

    def _note_request(self, link: _Link, data: bytes) -> None:
        held = next((held for held in self._holds if held.match in data), None)
        if held is not None:
            self._holds.remove(held)
            link.held = held
            held.done.set()
        if link.loss is not None:
            return
        # What is looked for may be cut in two by the pieces in which it comes.
        text = link.last_request[-100:] + data
        link.last_request = data
        for loss in self._losses:
            if loss.match in text:
                link.last_request = b""
                link.loss = loss
                return

    def _swallows(self, link: _Link, data: bytes) -> bool:
        """Whether this piece of a reply is to be lost."""
        loss, link.loss = link.loss, None
        if loss is not None and loss in self._losses and loss.reply in data:
            if loss.skip:
                loss.skip -= 1
            else:
                self._losses.remove(loss)
                self.lost += 1
                self._reset({link})
                loss.done.set()
                return True
        if self._dropping:
            self.lost += 1
            link.swallowed = True
        return self._dropping


async def _quietly(io: Awaitable[T]) -> T | None:
    """What came of it, None where the other side is gone."""
    try:
        return await io
    except OSError:
        return None
