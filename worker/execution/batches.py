"""Batch handlers: one call for many jobs, each of which goes its own way before and after it.

Jobs gather before their config is read. A batch is up to `size` of them: they go on through the
pipeline side by side, and those that reach their handler meet there. The last to come, or to drop
out, lets the call begin. Each job then takes its own item of what the call returned.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextvars import Context
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from worker.errors import ResultInvalid

if TYPE_CHECKING:  # a claimed job has a handler, and a handler may have batches
    from types import TracebackType

    from worker.execution.claimed_job import ClaimedJob

# Calls the handler for these jobs.
Call = Callable[["Batch", list["ClaimedJob"]], Awaitable[Any]]


class _Waiting(NamedTuple):
    """A job that waits. `due` is when it has waited long enough, on the loop's clock."""

    taken: asyncio.Future[None]
    due: float


class Batches:
    """The jobs of one handler that wait for a batch. `linger` is in seconds, `limit` is how many
    batches may be under way; None: any number.
    """

    def __init__(self, size: int, linger: float, limit: int | None) -> None:
        self._size = size
        self._linger = linger
        self._limit = limit
        self._under_way = 0
        self._waiting: dict[ClaimedJob, _Waiting] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def take(self, claimed: "ClaimedJob") -> None:
        """Wait until the job is part of a batch. It has not begun, and may be given back."""
        loop = asyncio.get_running_loop()
        waiting = _Waiting(loop.create_future(), loop.time() + self._linger)
        self._waiting[claimed] = waiting
        claimed.on_end = self._forget
        if len(self._waiting) >= self._size:
            self._look()
        else:  # not at once even without a linger, for those that start in the same turn
            self._look_at(waiting.due)
        await waiting.taken

    def _forget(self, claimed: "ClaimedJob") -> None:
        self._waiting.pop(claimed, None)

    def _look(self) -> None:
        """Make a batch of the jobs that wait, if they are enough or one has waited long enough."""
        loop = asyncio.get_running_loop()
        while self._waiting and (self._limit is None or self._under_way < self._limit):
            due = next(iter(self._waiting.values())).due
            if len(self._waiting) < self._size and loop.time() < due:
                self._look_at(due)
                return
            self._begin()

    def _look_at(self, due: float) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_at(due, self._look_again)

    def _look_again(self) -> None:
        self._timer = None
        self._look()

    def _begin(self) -> None:
        members = list(islice(self._waiting, self._size))
        batch = Batch(members, self._ended)
        self._under_way += 1
        for claimed in members:
            claimed.batch, claimed.on_end = batch, batch.leave
            self._waiting.pop(claimed).taken.set_result(None)

    def _ended(self) -> None:
        self._under_way -= 1
        self._look()


class _Raised(NamedTuple):
    """What the call raised, or returned for one job, with the traceback that it had then."""

    error: BaseException
    traceback: "TracebackType | None"


class Batch:
    """Some jobs on their way through one call. `ended` is called when the last has ended."""

    def __init__(self, members: "list[ClaimedJob]", ended: Callable[[], None]) -> None:
        self._open = dict.fromkeys(members)
        self._coming = set(members)
        self._arrived: set[ClaimedJob] = set()
        self._left: set[ClaimedJob] = set()  # they wait no longer for the call
        self._items: dict[ClaimedJob, Any] = {}
        self._ended = ended
        self._has_items = asyncio.Event()
        self._call: Call | None = None
        queues = {claimed.job.queue for claimed in members}
        self._queue = queues.pop() if len(queues) == 1 else None
        self._handler = members[0].job.handler
        self._name = f"{members[0]}" + (f" and {len(members) - 1} more" if members[1:] else "")
        self.task: asyncio.Task[None] | None = None

    def __str__(self) -> str:
        return self._name

    def log_fields(self) -> dict[str, Any]:
        """Return what log records of the call say, beside their text: what its jobs share."""
        return {"handler": self._handler, "queue": self._queue}

    async def result_of(self, claimed: "ClaimedJob", call: Call) -> Any:
        """Wait for the call and return this job's result, or raise its error. Once for a job."""
        if claimed in self._arrived:
            raise RuntimeError("call_next() can be awaited once for a job of a batch handler")
        self._call = call
        self._arrived.add(claimed)
        self._is_here(claimed)
        try:
            await self._has_items.wait()
        except asyncio.CancelledError:
            self._left.add(claimed)
            if self.task is not None and self._is_abandoned:
                # The handler's time to clean up is that of each of its jobs.
                self._cancel_call()
                await asyncio.wait({self.task})
            raise
        item = self._items.pop(claimed)
        if type(item) is not _Raised:
            return item
        try:
            raise item.error.with_traceback(item.traceback)
        finally:
            del item  # a frame that refers to its own exception is freed only by the collector

    def leave(self, claimed: "ClaimedJob") -> None:
        """The job has ended, at whatever step."""
        self._open.pop(claimed, None)
        self._left.add(claimed)
        self._is_here(claimed)
        if not self._open:
            self._ended()

    # -- the call ------------------------------------------------------------------------------

    def _is_here(self, claimed: "ClaimedJob") -> None:
        """Begin the call if nobody else is to come."""
        self._coming.discard(claimed)
        if not self._coming and self.task is None and self._call is not None:
            # Of no job's context: log lines and spans of the call are not those of one of them.
            self.task = asyncio.get_running_loop().create_task(
                self._run(self._call), context=Context()
            )

    async def _run(self, call: Call) -> None:
        members = [c for c in self._open if c.stop_reason is None and c not in self._left]
        if not members:
            return
        try:
            items = _checked(await call(self, members), len(members))
        except BaseException as error:  # noqa: BLE001 - whatever it is, it is each job's failure
            items = [_Raised(error, error.__traceback__)] * len(members)
        self._items = dict(zip(members, items, strict=True))
        self._has_items.set()

    @property
    def _is_abandoned(self) -> bool:
        return all(claimed.stop_reason or claimed in self._left for claimed in self._arrived)

    def _cancel_call(self) -> None:
        """Cancel the call, once: a second time would cut its clean-up short."""
        if self.task is not None and not self.task.cancelling():
            self.task.cancel()


def _checked(returned: Any, count: int) -> list[Any]:
    """Return what a call returned as one item for each job."""
    if returned is None:
        return [None] * count
    if not isinstance(returned, list | tuple) or len(returned) != count:
        what = f"a {type(returned).__name__}"
        if isinstance(returned, list | tuple):
            what = f"{len(returned)} items"
        problem = f"the handler returned {what} for {count} jobs: return a list of {count}, or None"
        return [_Raised(ResultInvalid(problem), None)] * count
    return [
        _Raised(item, item.__traceback__) if isinstance(item, BaseException) else item
        for item in returned
    ]
