"""What is to become of a claimed job: decided here and in the executor, made so by the queue."""

from dataclasses import dataclass
from typing import Any, Literal

from pydantic_core import to_json

from worker.jobs.job import Job
from worker.jobs.policy import milliseconds
from worker.jobs.result import ErrorInfo

Reason = Literal[
    "config_invalid",
    "config_missing",
    "crashed",
    "failed",
    "malformed",
    "payload_invalid",
    "rejected",
    "result_invalid",
    "result_too_large",
    "unknown_handler",
]


@dataclass(slots=True, eq=False)
class Outcome:
    """One job's next place. `op` and the fields are those of `lua/exchange.lua`.

    `result_id` is None where there is no result; `ms` is the result's time to live, or the delay
    of a job that is to run later.
    """

    op: Literal["finish", "bury", "later", "front", "last"]
    raw: bytes
    result_id: str | None = None
    result: bytes = b""
    ms: int = 0
    reply_to: str = ""
    extra: bytes = b""

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The six arguments that the script takes for this outcome."""
        return self.op, self.raw, self.result, self.ms, self.reply_to, self.extra


def finish(raw: bytes, job: Job, result: bytes, ttl_ms: int) -> Outcome:
    """The job's fate is final, and not the dead list."""
    return Outcome("finish", raw, job.id, result, ttl_ms, job.reply_to or "")


def later(raw: bytes, goes_on: bytes, delay: float) -> Outcome:
    """The job runs again after `delay` seconds."""
    return Outcome("later", raw, ms=milliseconds(delay), extra=goes_on)


def requeue(raw: bytes, goes_on: bytes | None = None) -> Outcome:
    """The job goes back to the front of the queue, as it was unless `goes_on` is given."""
    return Outcome("front", raw, extra=raw if goes_on is None else goes_on)


def bury(
    raw: bytes,
    reason: Reason,
    error: ErrorInfo,
    *,
    attempts: int,
    worker: str,
    died_at: int,
    result_id: str | None,
    result: bytes,
    ttl_ms: int,
    reply_to: str | None = None,
) -> Outcome:
    """The job goes to the dead list with its bytes intact, and its result, if any, says so."""
    entry = {
        **_bytes_fields(raw),
        "reason": reason,
        "error": error.fields(),
        "attempts": attempts,
        "worker": worker,
        "died_at": died_at,
    }
    return Outcome("bury", raw, result_id, result, ttl_ms, reply_to or "", to_json(entry))


def _bytes_fields(raw: bytes) -> dict[str, str]:
    try:
        return {"job": raw.decode()}
    except UnicodeDecodeError:
        from base64 import b64encode  # noqa: PLC0415 - for the rare entry that is no text

        return {"job_base64": b64encode(raw).decode()}
