"""The jobs of one queue that this worker holds: what Redis's active list must contain."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from worker.execution.claimed_job import ClaimedJob, JobState
from worker.jobs.keys import Keys
from worker.jobs.outcome import Outcome, requeue
from worker.process.slots import Slots


class HeldJobs:
    """In the order of the claims. `changed` is called when an outcome waits to be recorded, `gone`
    with the jobs that are held no longer.
    """

    def __init__(
        self,
        keys: Keys,
        slots: Slots,
        changed: Callable[[], None],
        gone: Callable[[list[ClaimedJob]], None],
    ) -> None:
        self._keys = keys
        self._slots = slots
        self._changed = changed
        self._gone = gone
        self._jobs: dict[ClaimedJob, None] = {}
        self._unsent: list[ClaimedJob] = []

    def __len__(self) -> int:
        return len(self._jobs)

    def __iter__(self) -> Iterator[ClaimedJob]:
        return iter(self._jobs.copy())

    @property
    def unsent(self) -> int:
        """How many outcomes wait to be recorded."""
        return len(self._unsent)

    # -- in ------------------------------------------------------------------------------------

    def add(self, jobs: list[bytes]) -> list[ClaimedJob]:
        """Note claimed jobs, whose slots are already taken."""
        claimed = [ClaimedJob(raw, self._keys, self.settle) for raw in jobs]
        self._jobs |= dict.fromkeys(claimed)
        return claimed

    # -- out -----------------------------------------------------------------------------------

    def settle(self, claimed: ClaimedJob, outcome: Outcome | None) -> None:
        """A job's way has ended. Without an outcome it was lost, or goes back when we leave."""
        if outcome is not None:
            self._unsent.append(claimed)
            self._changed()

    def give_back(self, claimed: ClaimedJob) -> None:
        """Give back a job that has just arrived, ahead of what is given back already: the last to
        go to the front stands first there.
        """
        claimed.state, claimed.outcome = JobState.DECIDED, requeue(claimed.raw)
        self._unsent.insert(0, claimed)
        self._changed()

    @contextmanager
    def sending(self) -> Iterator[list[ClaimedJob]]:
        """The decided jobs, to be recorded by one exchange. If it fails, they wait for the next."""
        sent, self._unsent = self._unsent, []
        try:
            yield sent
        except BaseException:
            self._unsent = sent + self._unsent
            raise
        self._forget(sent)

    # -- after doubt ---------------------------------------------------------------------------

    def confirmed(self, jobs: list[ClaimedJob]) -> None:
        """Redis recorded these outcomes, although the reply that said so did not arrive."""
        gone = set(jobs)
        self._unsent = [claimed for claimed in self._unsent if claimed not in gone]
        self._forget([claimed for claimed in jobs if claimed in self._jobs])

    def reconcile(self, listed: list[bytes]) -> tuple[list[ClaimedJob], list[ClaimedJob]]:
        """Make what we know agree with the active list: who is lost, and who was claimed unseen.

        If two held jobs have equal bytes and Redis lists one, the missing one is assumed to be the
        one whose outcome was sent.
        """
        left = Counter(listed)
        lost = []
        for claimed in sorted(self._jobs, key=lambda job: job.state is JobState.DECIDED):
            if left[claimed.raw]:
                left[claimed.raw] -= 1
            else:
                lost.append(claimed)
        missing = set(lost)
        self._unsent = [claimed for claimed in self._unsent if claimed not in missing]
        self._forget(lost)
        unseen = list(left.elements())
        self._slots.fill(len(unseen))
        return lost, self.add(unseen)

    def _forget(self, jobs: list[ClaimedJob]) -> None:
        decided = JobState.DECIDED
        for claimed in jobs:
            del self._jobs[claimed]
            if claimed.state is decided:
                claimed.state = JobState.GONE
        self._gone(jobs)
        self._slots.give_back(len(jobs))
