"""Measures inside a worker process, in the same way for every queue: handlers call it.

`BENCH_WARM` calls go by unmeasured, then `BENCH_JOBS` are measured; the last one writes what was
seen to the file `BENCH_METER`. Start-up is no part of it: time and CPU count from the last
unmeasured call on.
"""

import itertools
import json
import os
import time
from pathlib import Path

_FIRST = max(1, int(os.environ.get("BENCH_WARM", "1")))
_LAST = _FIRST + int(os.environ.get("BENCH_JOBS", "0"))
_calls = itertools.count(1)
_began = (0.0, 0.0)
_resident = 0.0
_notes: list[object] = []


def hit(note: object = None) -> None:
    """Count one job as started; keep the note, if any."""
    global _began, _resident  # noqa: PLW0603 - one meter a process
    number = next(_calls)  # atomic, for queues that run jobs in threads
    if number > _FIRST and note is not None:
        _notes.append(note)
    if number == 1:
        _path().with_suffix(".started").touch()
    if number == _FIRST:
        _resident = _resident_mb()
        _began = time.perf_counter(), time.process_time()
    elif number == _LAST:
        _write(time.perf_counter() - _began[0], time.process_time() - _began[1])


def pickup(sent_ns: int) -> None:
    """Count one job as started, and note how many microseconds ago its producer began to send it.

    Linux's monotonic clock is one for all processes.
    """
    hit((time.monotonic_ns() - sent_ns) / 1000)


def _write(seconds: float, cpu: float) -> None:
    seen = {
        "jobs": _LAST - _FIRST,
        "seconds": seconds,
        "cpu": cpu,
        "notes": _notes,
        "resident_mb": (_resident, _resident_mb()),
    }
    path = _path()
    draft = path.with_suffix(".draft")
    draft.write_text(json.dumps(seen))
    draft.rename(path)


def _path() -> Path:
    return Path(os.environ["BENCH_METER"])


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
