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
        self.suspect_released = False
        self.on_room: list[Callable[[], None]] = []

    def room(self, leaving: int = 0) -> int:
        """How many more jobs may be claimed in an exchange that settles `leaving` of them."""
        if self.closed or self.suspect is not None:
            return 0
        return max(0, self.concurrency - self.count - self.reserved + leaving)

    def hold_suspect(self, run: Run) -> bool:
        """Keep a suspect until it is alone; False where another one is kept already."""
        if self.suspect is not None:
            return False
        self.suspect, self.suspect_released = run, False
        return True

    def release_suspect(self) -> Run | None:
        """The suspect, once, when nothing is held, or on its way here, beside it."""
        if self.suspect is None or self.suspect_released or self.count > 1 or self.reserved:
            return None
        self.suspect_released = True
        return self.suspect

    def tell_room(self) -> None:
        """Wake the pumps, which may wait for room, or for the suspect to be alone."""
        for wake in self.on_room:
            wake()
