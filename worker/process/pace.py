"""How many jobs to claim at once."""

# Claim half of the slots at a time only if a round trip is shorter than the loop's work on a full
# batch. On slower links claim all: overlap gains less than the extra round trip costs. Seconds for
# each job, the least that one takes, and for each byte, which both ends copy some ten times.
_JOB = 20e-6
_BYTE = 4e-9


class BatchSize:
    """The size of one queue's claims."""

    def __init__(self, concurrency: int) -> None:
        self._all = concurrency
        self._half = -(-concurrency // 2)
        self._full_batch_seconds = _JOB * concurrency
        self._is_near = False

    def most(self, ready_in_a_row: int) -> int:
        """How many jobs to claim at most.

        Halves let Redis settle and hand out one half while the loop runs the other. Until as many
        jobs as there are slots have found their config remembered, all free slots are filled at
        once: then one read of config serves them all.
        """
        return self._half if self._is_near and ready_in_a_row >= self._all else self._all

    def exchanged(self, seconds: float, jobs: list[bytes]) -> None:
        """Note how long an exchange took, and what it brought."""
        self._is_near = seconds <= self._full_batch_seconds + _BYTE * sum(map(len, jobs))
