"""A job: plain data, JSON in and out."""

import math
import re
from itertools import islice
from typing import Any

from pydantic_core import from_json, to_json

from worker.errors import Malformed
from worker.jobs.config_item import MAX_KEY_BYTES
from worker.jobs.keys import Keys

MAX_ID_CHARS = 256
_LARGEST_DOUBLE = 1.7976931348623157e308
_PEEK_BYTES = 256 * 1024
_PEEK_TOKENS = 20_000  # a hundredth of a second

type_names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}


class Job:
    """One job, decoded. Handlers that take a `job` parameter get this; treat it as read-only.

    `enqueued_at` and `expires_at` are ms since the epoch. `attempts` counts the runs that failed,
    `crashes` the times that a worker died holding the job.
    """

    __slots__ = (
        "attempts",
        "config",
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

    def __repr__(self) -> str:
        return f"<Job {self.id!r} for {self.handler!r} on {self.queue!r}, attempt {self.attempt}>"


def decode(raw: bytes, keys: Keys, max_bytes: int) -> Job:
    """Read a job as it was pushed. Raises Malformed, which says what is wrong."""
    if len(raw) > max_bytes and not _has_grown(raw, max_bytes):
        raise Malformed(
            f"the job has {len(raw):,} bytes, more than WORKER_MAX_JOB_BYTES ({max_bytes:,})",
            **_sound(_peek(raw), keys),
        )
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
    problem = _problem(job, config, keys)
    if problem:
        raise Malformed(problem, **_sound(fields, keys))
    return job


# The end of a job that a worker has serialised anew, and the white space of exchange.lua.
_ANEW = re.compile(rb'"(?:attempts|crashes)":[1-9][0-9]*} *\Z')
_GROWTH = 5  # 1e9, becomes 1000000000.0,


def continued(raw: bytes, **changes: int) -> bytes:
    """The job as it goes on after a failed attempt or a crash, fields unknown to us included."""
    fields = from_json(raw)
    for name in changes:
        fields.pop(name, None)
    return to_json({**fields, **changes})


def _has_grown(raw: bytes, max_bytes: int) -> bool:
    """Whether a job is larger than when it was pushed: a retry must not be what buries it."""
    return len(raw) <= _GROWTH * max_bytes and _ANEW.search(raw, len(raw) - 64) is not None


def _read(raw: bytes, keys: Keys) -> dict[str, Any]:
    try:
        fields = from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        known = _sound(_peek(raw), keys)
        raise Malformed(f"not JSON that can be taken: {error}", **known) from None
    if type(fields) is not dict:
        raise Malformed(f"the job must be a JSON object, not {_kind(fields)}")
    if _may_exceed_doubles(raw) and not (_within_doubles(fields) and not _long_digits(raw)):
        raise Malformed("a number is beyond what a double can hold", **_sound(fields, keys))
    return fields


def _problem(job: Job, config: Any, keys: Keys) -> str | None:  # noqa: C901, PLR0911, PLR0912
    """What is wrong with the fields of a job, or None. One look each, since every job comes by."""
    if type(job.id) is not str:
        return f"id must be a string, not {_kind(job.id)}"
    if not 1 <= len(job.id) <= MAX_ID_CHARS:
        return f"id must have 1 to {MAX_ID_CHARS} characters, not {len(job.id)}"
    if type(job.handler) is not str or not job.handler:
        return f"handler must be a string that is not empty, not {_kind(job.handler)}"
    if config is not None:
        if type(config) is not str:
            return f"config must be a string, not {_kind(config)}"
        if not 1 <= len(config.encode()) <= MAX_KEY_BYTES:
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


def _kind(value: Any) -> str:
    if value is None:
        return "null or missing"
    if value == "":
        return "an empty one"
    return type_names.get(type(value), "a number")


def _may_exceed_doubles(raw: bytes) -> bool:
    """Whether it is worth a closer look: no for nearly every job, for a third of its price.

    Beyond a double are only numbers with an exponent of three digits, or with some 200 digits.
    """
    if len(raw) > _QUICK_LOOK_BYTES:
        return True
    shape = raw.translate(_SHAPE, b"+")
    return b"0e000" in shape or b"0" * 200 in shape


def _within_doubles(fields: dict[str, Any]) -> bool:
    """Whether every number is one that any JSON reader can hold: the parser reads 1e400 as inf."""
    stack: list[Any] = [fields]
    while stack:
        value = stack.pop()
        for item in value.values() if type(value) is dict else value:
            kind = type(item)
            if kind is float:
                if not math.isfinite(item):
                    return False
            elif kind is dict or kind is list:
                stack.append(item)
    return True


_DIGITS = bytes(ord("0") if chr(byte).isdecimal() else ord(" ") for byte in range(256))
_TOO_LONG = b"0" * 309
_SHAPE = bytes(ord("e") if chr(byte) in "eE" else _DIGITS[byte] for byte in range(256))
_QUICK_LOOK_BYTES = 4096


def _long_digits(raw: bytes) -> bool:
    """Whether a run of digits in `raw` is an integer that no double holds.

    A run of 309 covers six neighbours of every fiftieth byte, so long text is mostly cleared by a
    look at a fiftieth of it. Digits of a string or a fraction are cleared by the last, slow look.
    """
    if b"000000" not in raw[::50].translate(_DIGITS) or _TOO_LONG not in raw.translate(_DIGITS):
        return False
    return any(
        int(digits[:400]) > _LARGEST_DOUBLE
        for digits, fraction in _NUMBER.findall(raw)
        if len(digits) > 308 and not fraction  # noqa: PLR2004 - digits of the largest double, less 1
    )


# Both run once over a text of any kind: a string without an end is one token up to the end of the
# text, and never looked at again from one of its inner quotes.
_STRING = rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
_NUMBER = re.compile(_STRING + rb"|([0-9]++)([.eE][-+.eE0-9]*+)?", re.DOTALL)
_TOKEN = re.compile(_STRING + rb"|[\[\]{}:,]", re.DOTALL)


def _peek(raw: bytes) -> dict[str, Any]:
    """The texts that tell whose job it is, from what is no JSON we take: its producer can be told.

    Walks the tokens of the outermost object, whatever is wrong within: depth, numbers, encoding.
    """
    depth, found, key, expecting_value = 0, {}, None, False
    if raw[:64].lstrip()[:1] != b"{":
        return {}
    for token in islice(_TOKEN.finditer(raw[:_PEEK_BYTES]), _PEEK_TOKENS):
        text = token.group()
        if text in (b"{", b"["):
            depth += 1
            expecting_value = False
        elif text in (b"}", b"]"):
            depth -= 1
        elif depth == 1 and text == b":":
            expecting_value = True
        elif depth == 1 and text == b",":
            expecting_value, key = False, None
        elif depth == 1 and expecting_value and key in (b'"id"', b'"handler"', b'"reply_to"'):
            found[key[1:-1].decode()] = _text(text)
            expecting_value = False
        elif depth == 1 and not expecting_value:
            key = text
        if depth == 0:
            break
    return found


def _text(token: bytes) -> str | None:
    try:
        value = from_json(token)
    except ValueError:
        return None
    return value if isinstance(value, str) else None


def _sound(fields: dict[str, Any], keys: Keys) -> dict[str, Any]:
    """What can still be told of a job that is none: those fields that are as they must be."""
    job_id, reply_to = fields.get("id"), fields.get("reply_to")
    known: dict[str, Any] = {}
    if isinstance(job_id, str) and 1 <= len(job_id) <= MAX_ID_CHARS:
        known["job_id"] = job_id
    if isinstance(fields.get("handler"), str):
        known["handler"] = fields["handler"]
    if isinstance(reply_to, str) and reply_to and not keys.owns(reply_to):
        known["reply_to"] = reply_to
    if type(fields.get("enqueued_at")) is int:
        known["enqueued_at"] = fields["enqueued_at"]
    if type(fields.get("attempts")) is int and fields["attempts"] >= 0:
        known["attempts"] = fields["attempts"]
    return known
