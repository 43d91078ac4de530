"""One claimed job on its way through this worker: the one value that owns its state."""

import asyncio
from collections.abc import Callable
from enum import Enum
from math import inf
from typing import Any

from worker.execution.batches import Batch
from worker.execution.bound_handler import BoundHandler, ConfigView
from worker.execution.log_source import job_fields
from worker.jobs.config_item import ConfigItem
from worker.jobs.job import Job
from worker.jobs.keys import Keys
from worker.jobs.outcome import Outcome


class JobState(Enum):
    """Where a claimed job stands. It only ever moves down this list, and may skip members."""

    WAITING = "its handler has not begun: it waits for its config, a limit, or its first step"
    RUNNING = "its handler runs"
    STOPPING = "its handler was cancelled and cleans up; `stop_reason` says why"
    DECIDED = "its outcome is known and waits to be recorded by Redis"
    GONE = "recorded, given back, or owned by another worker"


class StopReason(Enum):
    """Why the worker stopped a handler."""

    TIMEOUT = "over its time limit"
    LOST = "no longer this worker's"
    RETURNED = "given back"


class ClaimedJob:
    """A job that this worker holds.

    `raw` is the job byte for byte as it stands in the active list. The pipeline fills in what it
    learns, step by step: `job`, `handler`, `item` and `view` (its config), `arguments` (of the
    handler), `started_at` and `ended_at` of its run (ms on Redis's clock). `deadline` is in seconds
    on the loop's clock. `settle` takes the job and its outcome; None where there is nothing to
    record. `on_end` is called before it, where the handler has turns or batches. `batch` is set for
    batch handlers.
    """

    __slots__ = (
        "__weakref__",
        "arguments",
        "batch",
        "deadline",
        "ended_at",
        "handler",
        "item",
        "job",
        "keys",
        "on_end",
        "outcome",
        "raw",
        "settle",
        "stale",
        "started_at",
        "state",
        "stop_reason",
        "task",
        "view",
    )

    job: Job
    handler: BoundHandler
    arguments: dict[str, Any]
    batch: Batch
    ended_at: int

    def __init__(
        self,
        raw: bytes,
        keys: Keys,
        settle: "Callable[[ClaimedJob, Outcome | None], None] | None" = None,
    ) -> None:
        self.raw: bytes = raw
        self.keys: Keys = keys
        self.settle: Callable[[ClaimedJob, Outcome | None], None] | None = settle
        self.on_end: Callable[[ClaimedJob], None] | None = None
        self.state: JobState = _WAITING
        self.item: ConfigItem | None = None
        self.view: ConfigView | None = None
        self.stale: bool = False
        self.started_at: int | None = None
        self.deadline: float = inf
        self.task: asyncio.Task[None] | None = None
        self.stop_reason: StopReason | None = None
        self.outcome: Outcome | None = None

    @property
    def is_open(self) -> bool:
        """Whether its outcome is still to come."""
        return self.state is not _DECIDED and self.state is not _GONE

    def log_fields(self) -> dict[str, Any]:
        """Return what log records say of it, beside their text."""
        job: Job | None = getattr(self, "job", None)
        return {"queue": self.keys.pending} if job is None else job_fields(job)

    def about(self, event: str, cause: str | None = None) -> dict[str, Any]:
        """Return the `extra` of a log line about it. Lines of one cause are alike."""
        return {**self.log_fields(), "event": event, "cause": cause}

    def __str__(self) -> str:
        """The job as log lines name it; never its payload."""
        job: Job | None = getattr(self, "job", None)
        return f"Job {job.id!r} ({job.handler!r})" if job else "A job that could not be read"


# Looked up once: a member of an enumeration costs as much as a call.
_WAITING, _DECIDED, _GONE = JobState.WAITING, JobState.DECIDED, JobState.GONE
