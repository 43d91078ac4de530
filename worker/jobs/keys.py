"""Every Redis key of a queue. All share the hash slot of the queue's list."""

from dataclasses import dataclass
from functools import cached_property

from worker.errors import SettingsError

MAX_ID_CHARS = 256  # of a job's id, which its result's key ends with


def _prefix(queue: str) -> str:
    """Return the start of every key but the list itself: the name as hash tag, or its own."""
    opening = queue.find("{")
    closing = queue.find("}", opening + 1)
    if opening >= 0 and closing > opening + 1:
        return f"{queue}:"
    if not queue or "{" in queue or "}" in queue:
        raise SettingsError(
            f"{queue!r} can't be a queue's name: it must not be empty, and braces must enclose a "
            "hash tag, as in {eu}jobs"
        )
    return f"{{{queue}}}:"


@dataclass(frozen=True)
class Keys:
    """The keys of the queue whose list is `pending`. Raise SettingsError for an unusable name."""

    pending: str

    def __post_init__(self) -> None:
        self.prefix  # noqa: B018 - so that an unusable name fails here, not at the first use

    @cached_property
    def prefix(self) -> str:
        """The start of every other key of the queue."""
        return _prefix(self.pending)

    @cached_property
    def workers(self) -> str:
        """Sorted set of worker ids by the end of their lease, in ms on Redis's clock."""
        return f"{self.prefix}workers"

    @cached_property
    def scheduled(self) -> str:
        """Sorted set of raw jobs by the time when they are due, in ms on Redis's clock."""
        return f"{self.prefix}scheduled"

    @cached_property
    def dead(self) -> str:
        """List of buried jobs, newest first."""
        return f"{self.prefix}dead"

    def active(self, worker: str) -> str:
        """List of the jobs that this worker has claimed and not acknowledged."""
        return f"{self.prefix}active:{worker}"

    def result(self, job_id: str) -> str:
        """Key of a result, and the channel on which it is published."""
        return f"{self.prefix}result:{job_id}"

    def owns(self, key: str) -> bool:
        """Return whether `key` is the queue's own, and so no job may name it in `reply_to`."""
        return key == self.pending or key.startswith(self.prefix)
