"""What this worker holds, over all its queues, and how much room it has for more.

A job one crash short of being buried (a suspect) runs while its worker holds nothing else, so that
it can't drag the innocent ones beside it into the dead list. While one waits for that, or runs,
there is no room.
"""

from collections.abc import Callable

from worker.outcome import Outcome
from worker.run import Run

Entry = Run | Outcome


class Holdings:
    """Counts what is claimed and not yet acknowledged against the concurrency."""

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self.count = 0
        self.reserved = 0
        self.closed = False
        self.suspect: Run | None = None
        self.on_room: list[Callable[[], None]] = []

    @property
    def room(self) -> int:
        """How many more jobs may be claimed now."""
        if self.closed or self.suspect is not None:
            return 0
        return max(0, self.concurrency - self.count - self.reserved)

    @property
    def suspect_is_alone(self) -> bool:
        """Whether a suspect waits and nothing is held, or on its way here, beside it."""
        return self.suspect is not None and self.count == 1 and self.reserved == 0

    def tell_room(self) -> None:
        """Wake whoever may have waited for room, or for the suspect to be alone."""
        for wake in self.on_room:
            wake()
