"""A handler's own limit: how many of its jobs run at a time in this process."""

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # a claimed job has a handler, and a handler may have turns
    from worker.execution.claimed_job import ClaimedJob


class Turns:
    """Jobs take a turn in the order in which they ask, and give it back at their end.

    A job that waits has not begun: it may be given back, and its time limit does not run.
    """

    def __init__(self, limit: int) -> None:
        self._free = limit
        self._waiting: dict[ClaimedJob, asyncio.Future[None]] = {}

    async def take(self, claimed: "ClaimedJob") -> None:
        """Wait for a turn."""
        if self._free:
            self._free -= 1
            claimed.on_end = self._give_back
            return
        claimed.on_end = self._forget
        turn = self._waiting[claimed] = asyncio.get_running_loop().create_future()
        await turn

    def _forget(self, claimed: "ClaimedJob") -> None:
        self._waiting.pop(claimed, None)

    def _give_back(self, _: "ClaimedJob") -> None:
        if not self._waiting:
            self._free += 1
            return
        following = next(iter(self._waiting))
        following.on_end = self._give_back
        self._waiting.pop(following).set_result(None)
