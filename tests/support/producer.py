"""A producer that knows nothing of `worker`: it pushes JSON and reads what is in Redis."""

import base64
import json
import os
from collections.abc import Callable
from typing import Any

from tests.support.waiting import PATIENCE, wait_until


def job(handler: str, payload: Any = None, **fields: Any) -> str:
    """Return a job's JSON, with a random `id` where none is given."""
    return json.dumps({"id": os.urandom(8).hex(), "handler": handler, "payload": payload, **fields})


def dead_bytes(entry: dict[str, Any]) -> bytes:
    """Return the job of an entry of the dead list, as it was pushed."""
    if "job" in entry:
        return str(entry["job"]).encode()
    return base64.b64decode(entry["job_base64"])


class Producer:
    """Pushes to one queue and reads its results and dead entries.

    `prefix` is that of the queue's other keys.
    """

    def __init__(self, r: Any, queue: str = "jobs", prefix: str = "") -> None:
        self.r: Any = r
        self.queue = queue
        self.prefix = prefix or f"{{{queue}}}:"

    def push(self, handler: str, payload: Any = None, **fields: Any) -> str:
        """Push a job and return its id, random where none is given."""
        raw = self.push_raw(job(handler, payload, **fields))
        return str(json.loads(raw)["id"])

    def push_raw(self, *jobs: str) -> str:
        """Push jobs as they are, in one LPUSH, and return the last."""
        self.r.lpush(self.queue, *jobs)
        return jobs[-1]

    def result(self, job_id: str, timeout: float = PATIENCE) -> dict[str, Any]:
        """Wait for a job's result."""
        key = f"{self.prefix}result:{job_id}"
        raw = wait_until(lambda: self.r.get(key), timeout, f"for the result of {job_id}")
        found: dict[str, Any] = json.loads(raw)
        return found

    def run(self, handler: str, payload: Any = None, **fields: Any) -> dict[str, Any]:
        """Push a job and wait for its result."""
        return self.result(self.push(handler, payload, **fields))

    def dead(self) -> list[dict[str, Any]]:
        """Return the dead list, newest first."""
        return [json.loads(entry) for entry in self.r.lrange(f"{self.prefix}dead", 0, -1)]

    def dead_entry(self, job_id: str, timeout: float = PATIENCE) -> dict[str, Any]:
        """Wait for the dead list's entry of a job whose id can be read."""

        def look() -> dict[str, Any] | None:
            entries = (entry for entry in self.dead() if "job" in entry)
            return next((e for e in entries if json.loads(e["job"]).get("id") == job_id), None)

        found: dict[str, Any] = wait_until(look, timeout, f"for the dead entry of {job_id}")
        return found

    def active(self) -> list[str]:
        """Return the jobs of all active lists."""
        return [raw for held in self.active_by_worker().values() for raw in held]

    def active_by_worker(self) -> dict[str, list[str]]:
        """Return each worker's active list, newest first."""
        prefix = f"{self.prefix}active:"
        keys = self.r.scan_iter(match=f"{prefix}*")
        return {key.removeprefix(prefix): self.r.lrange(key, 0, -1) for key in keys}

    def is_idle(self) -> bool:
        """Return whether nothing is pending, scheduled or active, in this order of looking."""
        looks: list[Callable[[], Any]] = [
            lambda: self.r.llen(self.queue),
            lambda: self.r.zcard(f"{self.prefix}scheduled"),
            self.active,
        ]
        return not any(look() for look in looks)

    def wait_idle(self, timeout: float = PATIENCE) -> None:
        """Wait until nothing is pending, scheduled or active."""
        wait_until(self.is_idle, timeout, "until nothing is pending, scheduled or active")
