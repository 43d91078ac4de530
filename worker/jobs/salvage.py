"""What can still be read of a malformed job, so that its producer hears of it.

Nothing here is on the way of a good job.
"""

import re
from itertools import islice
from json import detect_encoding
from typing import Any

from pydantic_core import from_json

from worker.errors import Malformed
from worker.jobs.doubles import STRING, as_integer
from worker.jobs.keys import MAX_ID_CHARS, Keys

BOM = b"\xef\xbb\xbf"  # the byte order mark of UTF-8, which some editors and .NET write

# Bounds of the search for an id in broken JSON. So many tokens take 10 ms.
_SEARCHED_BYTES = 256 * 1024
_SEARCHED_TOKENS = 20_000
_MOST_ENCODINGS = 5  # of one job, each inside the next
_TOKEN = re.compile(STRING + rb"|[\[\]{}:,]", re.DOTALL)
_SEARCHED_NAMES = (b'"id"', b'"handler"', b'"reply_to"')

# What producers push by mistake, by its first bytes.
_OTHER_FORMATS = (
    (re.compile(rb"\x80[\x02-\x05]"), "a Python pickle, which is never loaded"),
    (re.compile(rb"\x1f\x8b|\x78[\x01\x5e\x9c\xda]|\x28\xb5\x2f\xfd"), "compressed"),
    (re.compile(rb"[\x81-\x8f][\xa1-\xbf\xd9]|\xde\x00|\xdf\x00\x00"), "MessagePack"),
    (re.compile(rb"[rb]?b['\"]"), "the text of a Python bytes object"),
    (re.compile(rb"\s*\{\s*(?:'|[rb]?b['\"])"), "the text of a Python dict"),
    (re.compile(rb"a:\d+:\{"), "PHP's serialize()"),
    (re.compile(rb"eyJ[\w+/-]"), "base64"),
)


def malformed_json(raw: bytes, error: ValueError, keys: Keys) -> Malformed:
    """Return the error for bytes that the JSON parser refuses with `error`."""
    encoding = _wide_encoding(raw)
    if encoding is not None:
        text = raw[:_SEARCHED_BYTES].decode(encoding, "replace")
        problem = f"the job is in {encoding.upper()}; push its JSON in UTF-8"
        return malformed(readable_fields(text.encode()), problem, keys)
    name = next((name for start, name in _OTHER_FORMATS if start.match(raw)), None)
    problem = f"not JSON that can be taken: {error}"
    if name is not None:
        problem = f"the job is {name}; push JSON in UTF-8"
    return malformed(readable_fields(raw), problem, keys)


def malformed_value(value: Any, kind: str, keys: Keys) -> Malformed:
    """Return the error for JSON that is no object but `kind`."""
    problem = f"the job must be a JSON object, not {kind}"
    for _ in range(_MOST_ENCODINGS):
        if not isinstance(value, str):
            break
        try:
            value = from_json(value)
        except ValueError:
            break
    if isinstance(value, dict):
        problem += " that holds JSON: it was encoded twice"
        return malformed(value, problem, keys)
    return Malformed(problem)


def malformed(fields: dict[str, Any], problem: str, keys: Keys) -> Malformed:
    """Return the error for a job with these fields, which keeps those that are as they must be."""
    job_id, reply_to = fields.get("id"), fields.get("reply_to")
    enqueued_at, attempts = (
        as_integer(fields.get("enqueued_at")),
        as_integer(fields.get("attempts")),
    )
    known: dict[str, Any] = {}
    if isinstance(job_id, str) and 1 <= len(job_id) <= MAX_ID_CHARS:
        known["job_id"] = job_id
    if isinstance(fields.get("handler"), str):
        known["handler"] = fields["handler"]
    if isinstance(reply_to, str) and reply_to and not keys.owns(reply_to):
        known["reply_to"] = reply_to
    if type(enqueued_at) is int:
        known["enqueued_at"] = enqueued_at
    if type(attempts) is int and attempts >= 0:
        known["attempts"] = attempts
    return Malformed(problem, **known)


def readable_fields(raw: bytes) -> dict[str, Any]:
    """Return the id, handler and reply_to of broken JSON, as far as they are strings.

    Walk the tokens of the outermost object, whatever is wrong within: depth, numbers, encoding.
    """
    raw = raw[:_SEARCHED_BYTES].removeprefix(BOM)
    depth, found, name, expects_value = 0, {}, None, False
    if raw[:64].lstrip()[:1] != b"{":
        return {}
    for token in islice(_TOKEN.finditer(raw), _SEARCHED_TOKENS):
        text = token.group()
        if text in (b"{", b"["):
            depth += 1
            expects_value = False
        elif text in (b"}", b"]"):
            depth -= 1
        elif depth == 1 and text == b":":
            expects_value = True
        elif depth == 1 and text == b",":
            expects_value, name = False, None
        elif depth == 1 and expects_value and name in _SEARCHED_NAMES:
            found[name[1:-1].decode()] = _string(text)
            expects_value = False
        elif depth == 1 and not expects_value:
            name = text
        if depth == 0:
            break
    return found


def _wide_encoding(raw: bytes) -> str | None:
    """Return the name of UTF-16 or UTF-32 where `raw` is JSON in it, else None."""
    encoding = detect_encoding(raw)
    if encoding.startswith("utf-8"):
        return None
    start = raw[:64].decode(encoding, "replace").lstrip()
    return encoding if start[:1] in ("{", "[", '"') else None


def _string(token: bytes) -> str | None:
    try:
        value = from_json(token)
    except ValueError:
        return None
    return value if isinstance(value, str) else None
