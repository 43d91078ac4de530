"""A job: plain data, JSON in and out."""

import re
from typing import Any

from pydantic_core import from_json, to_json

from worker.jobs.config_item import MAX_KEY_BYTES
from worker.jobs.doubles import as_integer, exceeds_doubles
from worker.jobs.keys import MAX_ID_CHARS, Keys
from worker.jobs.salvage import BOM, malformed, malformed_json, malformed_value, readable_fields

INTEGER_FIELDS = frozenset({"attempts", "crashes", "enqueued_at", "expires_at"})
_YEAR_2001 = 978_307_200  # seconds since the epoch
_KINDS = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}


class Job:
    """One job, decoded. Handlers that take a `job` parameter get this; treat it as read-only.

    `enqueued_at` and `expires_at` are ms since the epoch. `attempts` counts the runs that failed,
    `crashes` how often a worker died holding the job. `config_info` is what its result says of its
    config, once that is read.
    """

    __slots__ = (
        "attempts",
        "config",
        "config_info",
        "crashes",
        "enqueued_at",
        "expires_at",
        "handler",
        "id",
        "names_config",
        "payload",
        "queue",
        "reply_to",
        "traceparent",
    )

    id: str
    handler: str
    payload: Any
    config: str
    config_info: dict[str, Any] | None
    names_config: bool
    reply_to: str | None
    enqueued_at: int | None
    expires_at: int | None
    traceparent: str | None
    attempts: int
    crashes: int
    queue: str

    @property
    def attempt(self) -> int:
        """Which attempt this is: 1 for the first."""
        return self.attempts + 1

    @property
    def config_version(self) -> Any:
        """The version of its config, as its result shows it. None where there is no item, and
        before it is read.
        """
        info = getattr(self, "config_info", None)
        return None if info is None else info["version"]

    def __repr__(self) -> str:
        return f"<Job {self.id!r} for {self.handler!r} on {self.queue!r}, attempt {self.attempt}>"


def decode(raw: bytes, keys: Keys, max_bytes: int) -> Job:
    """Return the job that was pushed as `raw`. Raise Malformed, which says what is wrong."""
    if len(raw) > max_bytes and not _has_grown(raw, max_bytes):
        too_many = f"{len(raw):,} bytes, more than WORKER_MAX_JOB_BYTES ({max_bytes:,})"
        raise malformed(readable_fields(raw), f"the job has {too_many}", keys)
    fields = _read(raw, keys)
    get = fields.get
    job = Job()
    job.id, job.handler, job.payload = get("id"), get("handler"), get("payload")  # type: ignore[assignment]
    config = get("config")
    job.names_config = config is not None
    job.config = job.handler if config is None else config
    job.reply_to, job.traceparent = get("reply_to"), get("traceparent")
    job.enqueued_at, job.expires_at = get("enqueued_at"), get("expires_at")
    attempts, crashes = get("attempts"), get("crashes")
    job.attempts = 0 if attempts is None else attempts
    job.crashes = 0 if crashes is None else crashes
    job.queue = keys.pending
    problem = _problem(job, keys)
    if problem:
        if _make_integers(job):
            problem = _problem(job, keys)
        if problem:
            raise malformed(fields, problem, keys)
    return job


def looks_like_seconds(expires_at: int | None) -> bool:
    """Return whether an `expires_at` seems to be in seconds, since it makes little sense in ms.

    In ms it would be before the year 2001, in seconds it would not.
    """
    return expires_at is not None and _YEAR_2001 <= expires_at < _YEAR_2001 * 1000


# The end of a job that a worker has written, and the white space that exchange.lua adds.
_WRITTEN_BY_A_WORKER = re.compile(rb'"(?:attempts|crashes)":[1-9][0-9]*} *\Z')
_MOST_GROWTH = 5  # times as many bytes: 1e9, becomes 1000000000.0,


def continued(raw: bytes, **changes: int) -> bytes:
    """Return the job after a failed attempt or a crash, with the fields that we do not know."""
    return _changed(raw, {}, changes)


def retried(raw: bytes, attempts: int, last_error: dict[str, Any], max_bytes: int) -> bytes:
    """Return the job after a failed attempt, with what went wrong.

    The error is left out of a job that it would make larger than `max_bytes`: nothing but the
    counts may do that, or the job could be refused once an operator runs it again.
    """
    after = _changed(raw, {"last_error": last_error}, {"attempts": attempts})
    if len(after) <= max_bytes:
        return after
    return _changed(raw, {"last_error": None}, {"attempts": attempts})


def redriven(raw: bytes) -> bytes:
    """Return a job of the dead list as it begins again: with all its attempts, and no error."""
    return _changed(raw, {"last_error": None}, {"attempts": 0, "crashes": 0})


def _changed(raw: bytes, notes: dict[str, Any], counts: dict[str, int]) -> bytes:
    """Return the job with these fields; a note that is None is left out.

    The counts come last, where `_has_grown` of this and of every older worker looks for them.
    """
    fields = from_json(raw.removeprefix(BOM))
    for name in (*notes, *counts):
        fields.pop(name, None)
    written = {name: note for name, note in notes.items() if note is not None}
    return to_json({**fields, **written, **counts})


def _has_grown(raw: bytes, max_bytes: int) -> bool:
    """Return whether a worker may have made the job larger: no retry must be what buries it."""
    if len(raw) > _MOST_GROWTH * max_bytes:
        return False
    return _WRITTEN_BY_A_WORKER.search(raw, len(raw) - 64) is not None


def _read(raw: bytes, keys: Keys) -> dict[str, Any]:
    try:
        fields = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        if raw.startswith(BOM) and not raw.startswith(BOM * 2):
            return _read(raw.removeprefix(BOM), keys)
        raise malformed_json(raw, error, keys) from None
    if type(fields) is not dict:
        raise malformed_value(fields, _kind(fields), keys)
    if exceeds_doubles(raw, fields):
        raise malformed(fields, "a number is beyond what a double can hold", keys)
    return fields


def _problem(job: Job, keys: Keys) -> str | None:  # noqa: C901, PLR0911, PLR0912
    """Return what is wrong with the fields of a job, or None.

    One look at each field and no loop, since every job passes here.
    """
    if type(job.id) is not str:
        return f"id must be a string, not {_kind(job.id)}"
    if not 1 <= len(job.id) <= MAX_ID_CHARS:
        return f"id must have 1 to {MAX_ID_CHARS} characters, not {len(job.id)}"
    if type(job.handler) is not str or not job.handler:
        return f"handler must be a string that is not empty, not {_kind(job.handler)}"
    if job.names_config:
        if type(job.config) is not str:
            return f"config must be a string, not {_kind(job.config)}"
        if not 1 <= len(job.config.encode()) <= MAX_KEY_BYTES:
            return f"config must have 1 to {MAX_KEY_BYTES:,} bytes to be a DynamoDB key"
    if job.reply_to is not None:
        if type(job.reply_to) is not str or not job.reply_to:
            return f"reply_to must be a string that is not empty, not {_kind(job.reply_to)}"
        if keys.owns(job.reply_to):
            return "reply_to names one of the queue's own keys"
    if job.traceparent is not None and type(job.traceparent) is not str:
        return f"traceparent must be a string, not {_kind(job.traceparent)}"
    if job.enqueued_at is not None and type(job.enqueued_at) is not int:
        return f"enqueued_at must be an integer (ms), not {_kind(job.enqueued_at)}"
    if job.expires_at is not None and type(job.expires_at) is not int:
        return f"expires_at must be an integer (ms), not {_kind(job.expires_at)}"
    if type(job.attempts) is not int or job.attempts < 0:
        return "attempts must be an integer, 0 or more"
    if type(job.crashes) is not int or job.crashes < 0:
        return "crashes must be an integer, 0 or more"
    return None


def _make_integers(job: Job) -> bool:
    """Make integers of numbers like 1.7e12, and return whether there was one."""
    found = False
    for name in INTEGER_FIELDS:
        value = getattr(job, name)
        integer = as_integer(value)
        if type(integer) is not type(value):
            setattr(job, name, integer)
            found = True
    return found


def _kind(value: Any) -> str:
    if value is None:
        return "null or missing"
    if value == "":
        return "an empty one"
    return _KINDS.get(type(value), "a number")
