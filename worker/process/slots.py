"""What this worker holds, over all its queues, and how much room it has for more.

A job one crash short of being buried (a suspect) runs while its worker holds nothing else, so that
it can't drag the innocent ones beside it into the dead list. While one waits for that, or runs,
there is no room.

The queues share the room. A pump that found none is woken when there may be some, and one place is
kept for it meanwhile, so that a queue with a backlog does not starve the others.
"""

from collections.abc import Callable

from worker.execution.claimed_job import ClaimedJob
from worker.jobs.outcome import Outcome

Entry = ClaimedJob | Outcome
Wake = Callable[[], None]


class Slots:
    """Counts what is claimed and not yet acknowledged against the concurrency."""

    def __init__(self, concurrency: int) -> None:
        self.concurrency = concurrency
        self.count = 0
        self.reserved = 0
        self.closed = False
        self.suspect: ClaimedJob | None = None
        self.suspect_released = False
        self._pumps: list[Wake] = []
        self._turned_away: dict[Wake, None] = {}  # longest ago first

    def join(self, wake: Wake) -> None:
        """Take part: a pump says how to wake it, which is also its name here."""
        self._pumps.append(wake)

    def room(self, wake: Wake, leaving: int = 0) -> int:
        """How many more jobs this pump may claim in an exchange that settles `leaving` of them."""
        ahead = 0
        for other in self._turned_away:
            if other == wake:
                break
            ahead += 1
        room = max(0, self._free + leaving - ahead) if self._free_for_all else 0
        if room:
            self._turned_away.pop(wake, None)
        else:
            self._turned_away.setdefault(wake)
        return room

    @property
    def spare(self) -> bool:
        """Whether a pump may reserve a place for what it waits for: nobody else wants it now."""
        return self._free_for_all and self._free > len(self._turned_away)

    def step_back(self, wake: Wake) -> None:
        """Forget that this pump waits: it wants no room for now."""
        self._turned_away.pop(wake, None)

    @property
    def _free(self) -> int:
        return self.concurrency - self.count - self.reserved

    @property
    def _free_for_all(self) -> bool:
        return not self.closed and self.suspect is None

    def hold_suspect(self, run: ClaimedJob) -> bool:
        """Keep a suspect until it is alone; False where another one is kept already."""
        if self.suspect is not None:
            return False
        self.suspect, self.suspect_released = run, False
        return True

    def release_suspect(self) -> ClaimedJob | None:
        """The suspect, once, when nothing is held, or on its way here, beside it."""
        if self.suspect is None or self.suspect_released or self.count > 1 or self.reserved:
            return None
        self.suspect_released = True
        return self.suspect

    def tell_room(self) -> None:
        """Less is held or reserved: wake the pumps that wait for room, or for their suspect to be
        alone.
        """
        for wake in self._pumps if self.suspect is not None else list(self._turned_away):
            wake()
