"""Gathers look-ups of single keys into batches, and sends several batches at a time.

As in a data loader: whoever asks within one turn of the event loop shares a batch. A batch that is
not full waits for more keys while others are under way, but only briefly. So a flood over cold keys
costs one request for every hundred keys, and a slow read does not hold up the next.
"""

import math
from collections import deque
from collections.abc import Awaitable, Callable
from enum import IntEnum

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from worker.config.table import BATCH
from worker.errors import ConfigUnavailable
from worker.jobs.config_item import ConfigItem

MOST_IN_FLIGHT = 8
# Seconds that a batch with room waits for more keys while others are under way: longer than a usual
# read, so that a flood fills its batches; short beside a slow one.
_GATHER = 0.02


class Certainty(IntEnum):
    """What of a read must be consistent."""

    NOTHING = 0
    ABSENCE = 1  # where nothing is found, a consistent read must have found nothing
    ALL = 2


Read = Callable[[dict[str, Certainty]], Awaitable[dict[str, ConfigItem]]]


class Batch:
    """Keys that are read together, each with how certain its read must be.

    `items` and `error` are set when `done` is; neither is where the loader was closed meanwhile.
    """

    def __init__(self, opened_at: float) -> None:
        self.opened_at = opened_at
        self.keys: dict[str, Certainty] = {}
        self.items: dict[str, ConfigItem] = {}
        self.error: ConfigUnavailable | None = None
        self.sent = False
        self.done: anyio.Event = anyio.Event()


class BatchLoader:
    """Reads keys by `read`, which takes one batch and may raise ConfigUnavailable.

    Its tasks run in the group that `open` was given.
    """

    def __init__(self, read: Read, *, monotonic: Callable[[], float]) -> None:
        self._read = read
        self._monotonic = monotonic
        self._group: TaskGroup | None = None
        self._waiting: deque[Batch] = deque()
        self._batch_of: dict[str, Batch] = {}  # the latest batch of each key, while not done
        self._sends = False
        self._changed = anyio.Event()
        self.in_flight: int = 0

    def open(self, group: TaskGroup) -> None:
        """Read by tasks of this group from now on."""
        self._group = group

    def close(self) -> None:
        """Take no more keys."""
        self._group = None

    @property
    def waiting(self) -> int:
        """How many keys wait to be sent."""
        return sum(len(batch.keys) for batch in self._waiting)

    def join(
        self, key: str, *, certainty: Certainty = Certainty.NOTHING, share: bool = True
    ) -> Batch:
        """Return the batch that will bring this key.

        `share` allows a batch whose read has begun already. Raise ConfigUnavailable when closed.
        """
        if self._group is None:
            raise ConfigUnavailable("the config store is closed")
        batch = self._batch_of.get(key)
        if batch is None or (batch.sent and not share):
            batch = self._batch_of[key] = self._with_room(self._group)
            batch.keys[key] = Certainty.NOTHING
        batch.keys[key] = max(batch.keys[key], certainty)
        if len(batch.keys) == BATCH:
            self._changed.set()
        return batch

    def _with_room(self, group: TaskGroup) -> Batch:
        if not self._waiting or len(self._waiting[-1].keys) >= BATCH:
            self._waiting.append(Batch(self._monotonic()))
            if not self._sends:
                self._sends = True
                group.start_soon(self._send_batches, group)
        return self._waiting[-1]

    async def _send_batches(self, group: TaskGroup) -> None:
        """Send batches until none waits."""
        try:
            # One turn of the loop, for everybody who is about to ask.
            await anyio.lowlevel.checkpoint()
            while self._waiting:
                pause = self._pause(self._waiting[0])
                if pause > 0:
                    self._changed = anyio.Event()
                    with anyio.move_on_after(pause):
                        await self._changed.wait()
                else:
                    group.start_soon(self._read_batch, self._next())
        finally:
            self._sends = False
            while self._waiting:
                self._finish(self._waiting.popleft())

    def _pause(self, batch: Batch) -> float:
        """How long this batch waits before it is sent, unless something changes; 0: it leaves."""
        if self.in_flight >= MOST_IN_FLIGHT:
            return math.inf
        if self.in_flight == 0 or len(batch.keys) >= BATCH:
            return 0
        return batch.opened_at + _GATHER - self._monotonic()

    def _next(self) -> Batch:
        batch = self._waiting.popleft()
        batch.sent = True
        self.in_flight += 1
        return batch

    async def _read_batch(self, batch: Batch) -> None:
        try:
            batch.items = await self._read(batch.keys)
        except ConfigUnavailable as error:
            batch.error = error
        finally:
            self.in_flight -= 1
            self._changed.set()
            self._finish(batch)

    def _finish(self, batch: Batch) -> None:
        for key in batch.keys:
            if self._batch_of.get(key) is batch:
                del self._batch_of[key]
        batch.done.set()
