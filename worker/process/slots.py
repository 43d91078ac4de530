"""The slots of this worker: how many more jobs it may hold, over all its queues.

A slot is taken before a job is claimed and given back when the job is recorded or lost. The queues
share the slots. A loop that finds none free is remembered, and one slot is kept for it, so that a
queue with a backlog does not starve the others.
"""

from collections.abc import Callable
from typing import Self


class Taken:
    """Slots taken for a claim. What is not kept is given back at the end of the claim.

    A class and no generator: it is entered twice for each job of an idle worker.
    """

    def __init__(self, count: int, give_back: Callable[[int], None]) -> None:
        self.count: int = count
        self._give_back = give_back

    def keep(self, count: int) -> None:
        """So many of the slots now belong to claimed jobs."""
        self.count -= count

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back(self.count)


class SlotUser:
    """One loop that claims jobs. `wake` is called when slots may be free for it."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self.wake = wake


class Slots:
    """Counts what is held, and on its way here, against the concurrency."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.used: int = 0
        self._closed = False
        self._reserved_for_suspect = False
        self._waiting: dict[SlotUser, None] = {}  # who found none, longest ago first
        self._on_change: Callable[[], None] | None = None

    # -- asking --------------------------------------------------------------------------------

    def free_for(self, user: SlotUser, leaving: int = 0) -> int:
        """How many jobs this user may claim in an exchange that records `leaving` of its own."""
        ahead = 0
        for other in self._waiting:
            if other is user:
                break
            ahead += 1
        free = max(0, self._free + leaving - ahead) if self._may_claim else 0
        if free:
            self._waiting.pop(user, None)
        else:
            self._waiting.setdefault(user)
        return free

    @property
    def has_spare(self) -> bool:
        """Whether a slot may be taken for a blocking read: no other loop waits for one."""
        return self._may_claim and self._free > len(self._waiting)

    def step_back(self, user: SlotUser) -> None:
        """Forget that this user waits: it wants no slot for now."""
        self._waiting.pop(user, None)

    @property
    def _free(self) -> int:
        return self.capacity - self.used

    @property
    def _may_claim(self) -> bool:
        return not (self._closed or self._reserved_for_suspect)

    # -- taking and giving back ----------------------------------------------------------------

    def take(self, count: int) -> Taken:
        """Take slots for a claim; `keep` those that claimed jobs fill."""
        self.used += count
        return Taken(count, self.give_back)

    def fill(self, count: int) -> None:
        """Take slots for jobs that are already claimed, whether free or not."""
        self.used += count

    def give_back(self, count: int = 1) -> None:
        """So many jobs fewer are held, or on their way here."""
        if count:
            self.used -= count
            self._changed()

    # -- closing -------------------------------------------------------------------------------

    @property
    def is_closed(self) -> bool:
        """Whether the worker drains: no job is claimed any more."""
        return self._closed

    def close(self) -> None:
        """Claim nothing from now on."""
        self._closed = True

    def reserve_for_suspect(self, on_change: Callable[[], None]) -> None:
        """Claim nothing until `end_reservation`. `on_change` is called when slots come back."""
        self._reserved_for_suspect, self._on_change = True, on_change

    def end_reservation(self) -> None:
        """Claim again."""
        self._reserved_for_suspect, self._on_change = False, None
        self._changed()

    def _changed(self) -> None:
        for user in list(self._waiting):
            user.wake()
        if self._on_change is not None:
            self._on_change()
