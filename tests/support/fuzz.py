"""What may arrive in the list, and what must become of it.

`python -m tests.support.fuzz --examples N` runs more of it.

Offline: no server, no handler runs. Whatever the bytes, they become a run or an outcome that has
them intact. The test suite does some thousands, and pushes some to a real worker.
"""

import argparse
import base64
import gzip
import json
import logging
import pickle
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from worker import App
from worker.execution.bound_handler import BoundHandler
from worker.execution.claimed_job import ClaimedJob
from worker.execution.defaults import JobDefaults
from worker.execution.outcomes import Outcomes
from worker.execution.pipeline import Pipeline
from worker.jobs.clock import RedisClock
from worker.jobs.job import decode
from worker.jobs.keys import Keys
from worker.jobs.outcome import Outcome
from worker.jobs.policy import Policy

MAX_JOB_BYTES = 20_000
MAX_CRASHES = 3
KEYS = Keys("jobs")
_CHUNK = 20_000  # Hypothesis remembers the examples of one run

# -- what arrives ----------------------------------------------------------------------------------

TEXT = st.text(st.characters(codec="utf-8"), max_size=20)
# Half characters, and those that JSON, Redis or a log might trip over.
ODD_TEXT = st.text(
    st.sampled_from('ax\x00\x1f\x7f"\\/{}[]*:\n\r\u2028\ufeff\ud800\udfff'), max_size=10
)
ODD_NUMBERS = st.one_of(
    st.floats(),
    st.sampled_from([0, -1, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**308, 10**309, 10**4000]),
)


def _values(scalars: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        scalars,
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
        max_leaves=6,
    )


VALUES = _values(st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9) | TEXT)
ODD_VALUES = _values(st.none() | st.booleans() | ODD_NUMBERS | ODD_TEXT | TEXT)
LONG = st.builds(lambda text, times: text * times, TEXT, st.sampled_from([300, 3000]))

FIELDS: dict[str, st.SearchStrategy[Any]] = {
    "id": st.text(st.characters(codec="utf-8"), min_size=1, max_size=20),
    "handler": st.sampled_from(["echo", "echo", "unknown"]),
    "payload": VALUES | LONG,
    "config": st.sampled_from(["echo", "missing"]),
    "reply_to": st.just("replies"),
    "enqueued_at": st.integers(0, 2**41),
    "expires_at": st.sampled_from([1, 2**52]),
    "traceparent": st.just("00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
    "attempts": st.integers(0, 6),
    "crashes": st.integers(0, 1),
    "another": VALUES,
}
_REQUIRED = {name: FIELDS[name] for name in ("id", "handler")}
_OPTIONAL = {name: values for name, values in FIELDS.items() if name not in _REQUIRED}
GOOD_JOBS = st.fixed_dictionaries(_REQUIRED, optional=_OPTIONAL)
# One field is not as it should be.
ODD_JOBS = st.builds(
    lambda job, name, value: {**job, name: value},
    GOOD_JOBS,
    st.sampled_from(list(FIELDS)),
    ODD_VALUES | st.sampled_from(["jobs", "{jobs}:dead", "", " ", "x" * 300, -1, 1.5]),
)
JOBS = GOOD_JOBS | ODD_JOBS


def _written(value: Any, ascii_only: bool, indent: int | None) -> bytes:
    text = json.dumps(value, ensure_ascii=ascii_only, indent=indent)
    return text.encode("utf-8", "surrogatepass")


def _deep(opening: bytes, depth: int, core: bytes, closed: bool) -> bytes:
    closing = {b"[": b"]", b'{"a":': b"}"}[opening]
    nested = opening * depth + core + closing * (depth * closed)
    return b'{"payload":%s,"id":"deep","handler":"echo"}' % nested


# Numbers as other languages write them, and as none should.
NUMBERS = st.sampled_from(
    [
        *("1", "1.0", "-0.0", "0.0", "3.000", "1e0", "1E0", "1.7e12", "1.7e+12", "1700000000000.0"),
        *("1700000000", "1.76e9", "-1.0", "1.5", "1e-3", "1e22", "1e300", "1e308", "1e309"),
        *("-1e308", "1.7976931348623157e308", "00", "1.", ".5", "+1", "0x10", "1_000", "true"),
    ]
)


def _numbered(numbers: dict[str, str]) -> bytes:
    fields = "".join(f',"{name}":{number}' for name, number in numbers.items())
    return f'{{"id":"n","handler":"echo"{fields}}}'.encode()


NUMBERED = st.builds(
    _numbered,
    st.fixed_dictionaries(
        {},
        optional=dict.fromkeys(
            ("enqueued_at", "expires_at", "attempts", "crashes", "payload"), NUMBERS
        ),
    ),
)


def _wrapped(raw: bytes, how: str) -> bytes:
    """Return a job as a producer that means well might push it."""
    text = raw.decode("utf-8", "replace")
    ways: dict[str, Callable[[], bytes]] = {
        "mark": lambda: b"\xef\xbb\xbf" + raw,
        "twice": lambda: json.dumps(text).encode(),
        "pickle": lambda: pickle.dumps(text),
        "gzip": lambda: gzip.compress(raw, mtime=0),
        "base64": lambda: base64.b64encode(raw),
        "repr": lambda: repr(raw).encode(),
    }
    return ways[how]() if how in ways else text.encode(how)


WRAPPED = st.builds(
    _wrapped,
    st.builds(_written, GOOD_JOBS, st.booleans(), st.none()) | NUMBERED,
    st.sampled_from(
        [
            *("mark", "mark", "twice", "pickle", "gzip", "base64", "repr"),
            *("utf-16", "utf-16-be", "utf-32"),
        ]
    ),
)

WRITTEN = st.builds(_written, JOBS | ODD_VALUES, st.booleans(), st.sampled_from([None, 0]))
ENTRIES: st.SearchStrategy[bytes] = st.one_of(
    WRITTEN,
    st.builds(_written, GOOD_JOBS, st.booleans(), st.none()),
    st.builds(_written, ODD_JOBS, st.booleans(), st.none()),
    NUMBERED,
    WRAPPED,
    st.binary(max_size=100),
    st.builds(
        _deep,
        st.sampled_from([b"[", b'{"a":']),
        st.sampled_from([1, 50, 126, 127, 128, 129, 200, 201, 1000, 5000]),
        st.sampled_from([b"1", b"1e400", b'"\\ud800"', b"NaN"]),
        st.booleans(),
    ),
)

_TOKENS = [
    b'"',
    b"\\",
    b"{",
    b"}",
    b"[",
    b",",
    b"\xff",
    b"\x00",
    b"\\ud800",
    b"NaN",
    b"1e400",
    b"null",
]


def damaged(raw: bytes) -> Iterator[bytes]:
    """Four things that may have happened to these bytes on their way, the same ones each time."""
    dice = Random(raw)
    at, length = dice.randrange(len(raw) + 1), dice.randrange(8)
    yield raw[:at]
    yield raw[:at] + raw[at + length :]
    yield raw[:at] + dice.choice(_TOKENS) + raw[at + dice.randrange(3) :]
    yield raw[:at] + raw[dice.randrange(len(raw) + 1) :]


# -- what must become of it ------------------------------------------------------------------------


def a_pipeline() -> Pipeline:
    """A pipeline that knows the handler `echo`, up to the config."""
    app = App()

    @app.handler
    async def echo(payload: Any) -> Any:
        return payload

    handlers = {name: BoundHandler(handler, Policy()) for name, handler in app.handlers.items()}
    defaults = JobDefaults(Policy(), MAX_JOB_BYTES, 1024 * 1024, MAX_CRASHES)
    beyond: Any = None  # the steps from the config on are not taken here
    return Pipeline(
        handlers, Outcomes(defaults, "fuzz", RedisClock()), beyond, beyond, beyond, beyond
    )


def buried_bytes(entry: dict[str, Any]) -> bytes:
    """The job of an entry of the dead list."""
    if "job" in entry:
        return str(entry["job"]).encode()
    return base64.b64decode(entry["job_base64"])


def check(pipeline: Pipeline, raw: bytes) -> str:
    """Check what becomes of the bytes, claimed or recovered. Return the outcome's op, or `run`."""
    claimed = ClaimedJob(raw, KEYS)
    outcome = (
        pipeline._decode(claimed)
        or pipeline._check_expiry(claimed)
        or pipeline._find_handler(claimed)
    )
    recovered = pipeline._outcomes.after_crash(raw, KEYS)
    _check_outcome(recovered, raw, "crashes")
    if outcome is None:
        assert claimed.raw == raw
        return "run"
    _check_outcome(outcome, raw, "attempts")
    return outcome.op


def _check_outcome(outcome: Outcome, raw: bytes, count: str) -> None:
    assert outcome.raw == raw
    if outcome.result:
        assert outcome.result_id is not None
        found = json.loads(outcome.result)
        assert found["id"] == outcome.result_id
        assert found["status"] in ("failed", "expired")
        assert outcome.ms > 0
        times = [found[name] for name in ("enqueued_at", "started_at", "finished_at")]
        known = [time for time in times if time is not None]
        assert known == sorted(known)
        assert {type(time) for time in known} == {int}
        if found["status"] == "expired":
            assert found["error"] is None or found["error"]["type"] == "Expired"
    if outcome.op in ("bury", "last"):
        assert buried_bytes(json.loads(outcome.extra)) == raw
    elif outcome.op == "finish":
        assert outcome.result
    else:
        _check_continued(raw, outcome.extra, count)


def _check_continued(raw: bytes, extra: bytes, count: str) -> None:
    """A job that goes on says what it said, but for the one count and the error of an attempt."""
    before, after = (decode(text, KEYS, MAX_JOB_BYTES) for text in (raw, extra))
    assert getattr(after, count) == getattr(before, count) + 1
    said, says = json.loads(raw), json.loads(extra)
    for name in (count, "last_error"):
        said.pop(name, None)
        says.pop(name, None)
    assert says == said


def fuzz(
    examples: int, start: int, look: Callable[[bytes], object], *, tell: bool = False
) -> Counter[object]:
    """Show `look` so many entries, the same for the same start; counts what it gives.

    Hypothesis makes a fifth of them, which takes it longer than all the rest; the others are those
    with some damage.
    """
    seen: Counter[object] = Counter()
    began = time.monotonic()
    for chunk in range(-(-examples // _CHUNK)):

        @seed(start + chunk)
        @settings(
            max_examples=min(_CHUNK, examples - chunk * _CHUNK) // 5,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=[Phase.generate, Phase.shrink],
        )
        @given(ENTRIES)
        def run(raw: bytes) -> None:
            for entry in (raw, *damaged(raw)):
                seen[look(entry)] += 1

        run()
        if tell:
            rate = seen.total() / (time.monotonic() - began)
            print(f"{seen.total():>9,} examples, {rate:,.0f} a second: {dict(seen)}", flush=True)  # noqa: T201
    return seen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--examples", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=0)
    given_ = parser.parse_args()
    logging.disable()
    fuzz(given_.examples, given_.seed, partial(check, a_pipeline()), tell=True)
