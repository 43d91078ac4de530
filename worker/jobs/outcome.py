"""What becomes of a claimed job: decided purely, carried out by `lua/exchange.lua`."""

from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any, Literal

from pydantic_core import to_json

from worker.jobs.failure import failure
from worker.jobs.job import Job, looks_like_seconds
from worker.jobs.policy import milliseconds
from worker.jobs.result import Attempt, ErrorInfo, Status, encode_result

Op = Literal["finish", "bury", "later", "front", "last"]
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
    """Where one job goes next. `op` and the six `arguments` are those of `lua/exchange.lua`.

    `result_id` is None where no result is recorded. `ms` is the time to live of the result, or the
    delay of a job that runs later. `reason` is set where the job is buried, `status` where its
    fate is final; both are for those who watch, and are not sent.
    """

    op: Op
    raw: bytes
    result_id: str | None = None
    result: bytes = b""
    ms: int = 0
    reply_to: str = ""
    extra: bytes = b""
    reason: Reason | None = None
    status: Status | None = None

    @property
    def arguments(self) -> tuple[Any, ...]:
        """The six arguments that the script takes for this outcome."""
        return self.op, self.raw, self.result, self.ms, self.reply_to, self.extra


@dataclass(frozen=True, slots=True)
class Burial:
    """What the dead list says of a job beside its bytes. `died_at` is in ms on Redis's clock."""

    reason: Reason
    error: ErrorInfo
    attempts: int
    worker: str
    died_at: int


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A result on its way to Redis: its JSON, its time to live in ms, and who gets a copy."""

    id: str
    json: bytes
    ttl_ms: int
    reply_to: str | None = None

    @property
    def fields(self) -> dict[str, Any]:
        """The fields of an outcome that say how a result is recorded."""
        return {
            "result_id": self.id,
            "result": self.json,
            "ms": self.ttl_ms,
            "reply_to": self.reply_to or "",
        }


def finish(
    raw: bytes, job: Job, result: bytes, ttl_ms: int, status: Status = "succeeded"
) -> Outcome:
    """Return the outcome of a job whose fate is final and not the dead list."""
    return Outcome("finish", raw, job.id, result, ttl_ms, job.reply_to or "", status=status)


def expire(raw: bytes, job: Job, attempt: Attempt, ttl_ms: int) -> Outcome:
    """Return the outcome of a job that had not started by its `expires_at`.

    Its result has an error only where `expires_at` seems to be in the wrong unit.
    """
    error = None
    if job.expires_at is not None and looks_like_seconds(job.expires_at):
        date = datetime.fromtimestamp(job.expires_at / 1000, UTC)
        message = (
            f"expires_at is in ms since the epoch, so {job.expires_at} is {date:%Y-%m-%d}; "
            "it looks like seconds: multiply it by 1000"
        )
        error = failure("Expired", message)
    result = encode_result(job, attempt, "expired", error=error)
    return finish(raw, job, result, ttl_ms, "expired")


def later(raw: bytes, next_raw: bytes, delay: float) -> Outcome:
    """Return the outcome of a job that runs again, as `next_raw`, after `delay` seconds."""
    return Outcome("later", raw, ms=milliseconds(delay), extra=next_raw)


def requeue(raw: bytes, next_raw: bytes | None = None) -> Outcome:
    """Return the outcome of a job that goes to the front of the queue, as `next_raw` if given."""
    return Outcome("front", raw, extra=raw if next_raw is None else next_raw)


def bury(raw: bytes, burial: Burial, result: StoredResult | None = None) -> Outcome:
    """Return the outcome of a job that goes to the dead list with its bytes intact.

    `result` is None for a job whose id can't be read.
    """
    return _buried("bury", raw, burial, result)


def bury_if_alone(raw: bytes, burial: Burial, result: StoredResult | None = None) -> Outcome:
    """Return the outcome of a job that may have killed its worker.

    Redis buries it if it was alone in that worker's active list. Otherwise another job may have
    done it, and this one goes to the front of the queue unchanged.
    """
    return _buried("last", raw, burial, result)


def _buried(op: Op, raw: bytes, burial: Burial, result: StoredResult | None) -> Outcome:
    entry = {
        **_job_of_entry(raw),
        "reason": burial.reason,
        "error": burial.error.fields(),
        "attempts": burial.attempts,
        "worker": burial.worker,
        "died_at": burial.died_at,
    }
    outcome = Outcome(op, raw, extra=to_json(entry), reason=burial.reason, status="failed")
    return outcome if result is None else replace(outcome, **result.fields)


def _job_of_entry(raw: bytes) -> dict[str, str]:
    try:
        return {"job": raw.decode()}
    except UnicodeDecodeError:
        from base64 import b64encode  # noqa: PLC0415 - for the rare entry that is no text

        return {"job_base64": b64encode(raw).decode()}
