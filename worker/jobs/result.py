"""A job's result, with its error and its config: plain data, JSON in and out."""

from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic_core import from_json, to_json

from worker.jobs.doubles import as_integer
from worker.jobs.job import Job

# Two hosts that both know Redis's time still differ by their round trips: some ms, seldom more.
CLOCK_NOISE_MS = 1_000


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """What went wrong, as results and the dead list have it. Its texts are of bounded length."""

    type: str
    message: str
    traceback: str | None = None

    def fields(self) -> dict[str, str | None]:
        """Return the JSON object."""
        return {"type": self.type, "message": self.message, "traceback": self.traceback}


@dataclass(frozen=True, slots=True)
class ConfigInfo:
    """Which config a job ran with.

    `version` is the item's own attribute of that name, of any type, else a short digest of the
    item. `stale` is whether an old version was used, because DynamoDB was away or because the
    handler can't use the latest one.
    """

    key: str
    version: Any
    stale: bool


Status = Literal["succeeded", "failed", "expired"]


@dataclass(frozen=True, slots=True)
class Result:
    """A job's result, as Redis has it. Times are in ms since the epoch, on Redis's clock.

    `handler` is None where it could not be read, `started_at` where no attempt began.
    """

    id: str
    handler: str | None
    status: Status
    result: Any
    error: ErrorInfo | None
    attempts: int
    config: ConfigInfo | None
    worker: str
    enqueued_at: int | None
    started_at: int | None
    finished_at: int

    @classmethod
    def from_json(cls, raw: bytes | str) -> Self:
        """Return a result from its JSON, without fields that only newer workers write."""
        fields = from_json(raw)
        if fields["error"] is not None:
            fields["error"] = ErrorInfo(**_fields_of(ErrorInfo, fields["error"]))
        if fields["config"] is not None:
            fields["config"] = ConfigInfo(**_fields_of(ConfigInfo, fields["config"]))
        for name in ("attempts", "enqueued_at", "started_at", "finished_at"):
            fields[name] = as_integer(fields[name])
        return cls(**_fields_of(cls, fields))


def _fields_of(kind: Any, fields: dict[str, Any]) -> dict[str, Any]:
    return {name: fields[name] for name in kind.__slots__}


@dataclass(frozen=True, slots=True)
class JobFacts:
    """What the result of a malformed job repeats of it. None: it could not be read."""

    id: str
    handler: str | None
    enqueued_at: int | None


@dataclass(slots=True)  # one is made for every job, and `frozen` would triple its price
class Attempt:
    """What a result says of the attempt that decided the job's fate.

    `attempts` counts this attempt too, if it ran. `config` is a `ConfigInfo` as a JSON object, None
    where there was no item. `started_at` and `finished_at` are in ms on Redis's clock;
    `started_at` is None where the attempt did not begin.
    """

    worker: str
    attempts: int
    finished_at: int
    started_at: int | None = None
    config: dict[str, Any] | None = None


def encode_result(
    job: Job | JobFacts,
    attempt: Attempt,
    status: Status,
    *,
    result: Any = None,
    error: ErrorInfo | None = None,
) -> bytes:
    """Return a result's JSON. Raise whatever the serialiser raises for a value without JSON."""
    enqueued_at, started_at = job.enqueued_at, attempt.started_at
    finished_at = attempt.finished_at
    begun = finished_at if started_at is None else started_at
    # They nearly always are, and this look costs a fifth of the call.
    if not (enqueued_at or 0) <= begun <= finished_at:
        enqueued_at, started_at, finished_at = in_order(enqueued_at, started_at, finished_at)
    return to_json(
        {
            "id": job.id,
            "handler": job.handler,
            "status": status,
            "result": result,
            "error": error and error.fields(),
            "attempts": attempt.attempts,
            "config": attempt.config,
            "worker": attempt.worker,
            "enqueued_at": enqueued_at,
            "started_at": started_at,
            "finished_at": finished_at,
        }
    )


def encode_success(
    job: Job,
    result: bytes,
    config: bytes,
    worker: bytes,
    started_at: int | None,
    finished_at: int,
) -> bytes:
    """Return the JSON of the result of a job that succeeded, as `encode_result` would.

    `result`, `config` and `worker` are JSON already. Most of it is the same for every job, so that
    to put it together takes half the time of encoding it all.
    """
    enqueued_at = job.enqueued_at
    begun = finished_at if started_at is None else started_at
    if not (enqueued_at or 0) <= begun <= finished_at:
        enqueued_at, started_at, finished_at = in_order(enqueued_at, started_at, finished_at)
    return (
        b'{"id":%b,"handler":%b,"status":"succeeded","result":%b,"error":null,"attempts":%d,'
        b'"config":%b,"worker":%b,"enqueued_at":%b,"started_at":%b,"finished_at":%d}'
    ) % (
        to_json(job.id),
        to_json(job.handler),
        result,
        job.attempts + 1,
        config,
        worker,
        b"null" if enqueued_at is None else b"%d" % enqueued_at,
        b"null" if started_at is None else b"%d" % started_at,
        finished_at,
    )


def in_order(
    enqueued_at: int | None, started_at: int | None, finished_at: int
) -> tuple[int | None, int | None, int]:
    """Return the three times so that none is before the one that it follows.

    Two hosts differ on Redis's time by a little: then the later times move up. Where they differ by
    more, the producer's clock is wrong. All that is known of its `enqueued_at` then is that it was
    no later than the next time, and it moves down to that.
    """
    begun = finished_at if started_at is None else started_at
    if enqueued_at is not None and enqueued_at > begun:
        if enqueued_at - begun > CLOCK_NOISE_MS:
            enqueued_at = begun
        else:
            begun = enqueued_at
    if started_at is not None:
        started_at = begun
    return enqueued_at, started_at, max(begun, finished_at)
