"""`worker.SyncClient`: the client for programs without an event loop, such as Django and Flask.

It runs `worker.Client` in an event loop of its own, in one background thread. The thread is a
daemon, so that a client which is never closed does not hold the program.
"""

import atexit
import os
from collections.abc import Callable, Coroutine, Iterable, Mapping
from concurrent.futures import CancelledError, Future
from contextlib import ExitStack
from functools import partial
from itertools import islice
from threading import Lock
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload
from weakref import WeakSet

from anyio.from_thread import BlockingPortal, start_blocking_portal

from worker.client import Client
from worker.errors import NotOpen
from worker.jobs.result import Result
from worker.settings import Settings

if TYPE_CHECKING:
    from typing import Unpack

    from worker.signatures import JobOptions, Payload, TakesNoPayload, TakesPayload

T = TypeVar("T")

_CHUNK_JOBS = 500
_CLOSED = "the client is closed: use it within 'with SyncClient() as client', or make another"


class SyncClient:
    """A client whose methods are those of `Client` without `await`.

    It opens at its first call or as a context, and is closed at the end of the context, by `close`,
    or with the program. Any thread may use it. After a fork, the child's first call opens a
    connection of its own, and the parent's goes on. Each call blocks its thread: in a coroutine use
    `Client`. Errors are those of `Client`; NotOpen is raised once it is closed, also by calls that
    wait for a result meanwhile.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()
        self._lock = Lock()
        self._opened: _Opened | None = None
        self._is_closed = False
        _clients.add(self)

    def __enter__(self) -> Self:
        self._is_closed = False
        self._open()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections and end the thread. Closing it twice does nothing."""
        with self._lock:
            opened, self._opened, self._is_closed = self._opened, None, True
        if opened is not None:
            opened.close()

    @overload
    def enqueue(
        self, handler: str, payload: Any = None, **options: "Unpack[JobOptions]"
    ) -> str: ...

    @overload
    def enqueue(
        self, handler: "TakesNoPayload", payload: None = None, **options: "Unpack[JobOptions]"
    ) -> str: ...

    @overload
    def enqueue(
        self,
        handler: "TakesPayload[Payload]",
        payload: "Payload",
        **options: "Unpack[JobOptions]",
    ) -> str: ...

    def enqueue(
        self, handler: str | Callable[..., Any], payload: Any = None, **options: Any
    ) -> str:
        """Push one job and return its id: see `Client.enqueue`."""
        return self._call(lambda client: client.enqueue(handler, payload, **options))

    def enqueue_many(
        self,
        jobs: Iterable[Mapping[str, Any]],
        *,
        queue: str | None = None,
        delay: float | None = None,
    ) -> list[str]:
        """Push jobs and return their ids in order: see `Client.enqueue_many`.

        `jobs` is read in the caller's thread, where a query of an ORM works, 500 jobs at a time.
        """
        ids: list[str] = []
        left = iter(jobs)
        while chunk := list(islice(left, _CHUNK_JOBS)):
            ids += self._call(partial(Client.enqueue_many, jobs=chunk, queue=queue, delay=delay))
        return ids

    def result(
        self,
        id: str,
        timeout: float | None = None,
        queue: str | None = None,
        *,
        after: Result | None = None,
    ) -> Result:
        """Wait for a job's result and return it: see `Client.result`."""
        return self._call(lambda client: client.result(id, timeout, queue, after=after))

    def _call(self, method: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        return (self._opened or self._open()).call(method)

    def _open(self) -> "_Opened":
        with self._lock:
            if self._is_closed:
                raise NotOpen(_CLOSED)
            if self._opened is None:
                self._opened = _Opened(self._settings)
            return self._opened

    def _forget(self) -> None:
        """Let go of what belongs to the parent process, untouched: its thread is not here.

        Nothing of it is ever closed or collected here, since both processes share the sockets and
        what watches them.
        """
        if self._opened is not None:
            _of_parents.append(self._opened)
        self._opened = None
        self._lock = Lock()  # a thread of the parent may have held it


class _Opened:
    """A client that is open, and the thread with its event loop."""

    def __init__(self, settings: Settings) -> None:
        self._calls: set[Future[Any]] = set()
        with ExitStack() as stack:
            portal = stack.enter_context(start_blocking_portal(name="worker-client"))
            client = Client(settings)
            stack.enter_context(portal.wrap_async_context_manager(client))
            self._portal: BlockingPortal = portal
            self._client = client
            self._stack = stack.pop_all()

    def call(self, method: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
        """Call a method of the client in the loop's thread, and wait for it."""
        try:
            future: Future[T] = self._portal.start_task_soon(method, self._client)
        except RuntimeError:  # what a portal raises that has stopped
            raise NotOpen(_CLOSED) from None
        self._calls.add(future)
        future.add_done_callback(self._calls.discard)
        try:
            return future.result()
        except CancelledError:
            raise NotOpen(_CLOSED) from None
        except BaseException:
            future.cancel()  # Ctrl-C: nobody waits for it any more
            raise

    def close(self) -> None:
        """End the calls that still wait, then the client and the thread."""
        for future in list(self._calls):
            future.cancel()
        self._stack.close()


_clients: WeakSet[SyncClient] = WeakSet()
_of_parents: list[_Opened] = []


def _after_fork() -> None:
    for client in list(_clients):
        client._forget()  # noqa: SLF001 - its own module


def _at_exit() -> None:
    for client in list(_clients):
        client.close()


os.register_at_fork(after_in_child=_after_fork)
atexit.register(_at_exit)
