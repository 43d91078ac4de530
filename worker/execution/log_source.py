"""Which job the running code belongs to, for log records: asked only when one is made."""

from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Protocol

from worker.jobs.job import Job


class LogSource(Protocol):
    """What log records may belong to: a job, the jobs of one batch, a call of `on_error`."""

    def log_fields(self) -> dict[str, Any]:
        """Return what log records say of it, beside their text."""


def job_fields(job: Job) -> dict[str, Any]:
    """Return the fields of a log record that belongs to a job."""
    return {
        "job": job.id,
        "handler": job.handler,
        "queue": job.queue,
        "attempt": job.attempt,
        "config": job.config,
    }


# A handler's tasks and threads inherit it from the task of its job. It is a weak reference, since
# a connection that a handler opens keeps its context for its whole life: with the job it would keep
# the payload.
log_source: ContextVar[Callable[[], LogSource | None]] = ContextVar(
    "worker_log_source", default=lambda: None
)


def current_fields() -> dict[str, Any]:
    """Return the fields of the job that the calling code belongs to; none outside of a handler."""
    source = log_source.get()()
    return {} if source is None else source.log_fields()
