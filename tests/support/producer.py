"""A producer that knows nothing of `worker`: it pushes JSON and reads what stands in Redis."""

import json
import os
from collections.abc import Callable
from typing import Any

import redis

from tests.support.waiting import wait_until


class Producer:
    """Pushes to one queue and reads its results and dead entries. `prefix` is of the other keys."""

    def __init__(self, r: redis.Redis, queue: str = "jobs", prefix: str = "{jobs}:") -> None:
        self.r = r
        self.queue = queue
        self.prefix = prefix

    def push(self, handler: str, payload: Any = None, **fields: Any) -> str:
        """LPUSH a job and give its id, made up where none is given."""
        job = {"id": os.urandom(8).hex(), "handler": handler, "payload": payload, **fields}
        self.r.lpush(self.queue, json.dumps(job))
        return str(job["id"])

    def result(self, job_id: str, timeout: float = 20.0) -> dict[str, Any]:
        """Wait for a job's result."""
        found: dict[str, Any] = json.loads(
            wait_until(lambda: self.r.get(f"{self.prefix}result:{job_id}"), timeout, job_id)
        )
        return found

    def run(self, handler: str, payload: Any = None, **fields: Any) -> dict[str, Any]:
        """Push a job and wait for its result."""
        return self.result(self.push(handler, payload, **fields))

    def dead(self) -> list[dict[str, Any]]:
        """The dead list, newest first."""
        return [json.loads(entry) for entry in self.r.lrange(f"{self.prefix}dead", 0, -1)]

    def dead_entry(self, job_id: str, timeout: float = 20.0) -> dict[str, Any]:
        """Wait for the dead list's entry of a job whose id can be read."""

        def look() -> dict[str, Any] | None:
            entries = (entry for entry in self.dead() if "job" in entry)
            return next((e for e in entries if json.loads(e["job"]).get("id") == job_id), None)

        found: dict[str, Any] = wait_until(look, timeout, f"dead entry of {job_id}")
        return found

    def active(self) -> list[str]:
        """What all active lists hold."""
        keys = self.r.scan_iter(match=f"{self.prefix}active:*")
        return [raw for key in keys for raw in self.r.lrange(key, 0, -1)]

    def wait_idle(self, timeout: float = 20.0) -> None:
        """Wait until nothing is pending, active or scheduled."""
        looks: list[Callable[[], Any]] = [
            lambda: self.r.llen(self.queue),
            lambda: self.r.zcard(f"{self.prefix}scheduled"),
            self.active,
        ]
        wait_until(lambda: not any(look() for look in looks), timeout, "idle queue")
