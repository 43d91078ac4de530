"""What a producer and an operator do with `redis-cli`: push jobs, read results and dead ones."""

import base64
import json
from typing import Any

import redis

from tests.support.waiting import wait_until


def job(id: str, handler: str, payload: Any = None, **fields: Any) -> str:
    return json.dumps({"id": id, "handler": handler, "payload": payload, **fields})


def push(r: redis.Redis, id: str, handler: str, payload: Any = None, **fields: Any) -> str:
    raw = job(id, handler, payload, **fields)
    r.lpush("jobs", raw)
    return raw


def result(r: redis.Redis, id: str, timeout: float = 20) -> dict[str, Any]:
    """The job's result, waited for."""
    raw = wait_until(lambda: r.get(f"{{jobs}}:result:{id}"), timeout, f"for the result of {id}")
    return json.loads(raw)


def dead(r: redis.Redis) -> list[dict[str, Any]]:
    return [json.loads(entry) for entry in r.lrange("{jobs}:dead", 0, -1)]


def dead_bytes(entry: dict[str, Any]) -> bytes:
    """The job of an entry of the dead list, as it was pushed."""
    if "job" in entry:
        return entry["job"].encode()
    return base64.b64decode(entry["job_base64"])


def active(r: redis.Redis) -> dict[str, list[str]]:
    """What each worker holds, newest first."""
    prefix = "{jobs}:active:"
    return {key[len(prefix) :]: r.lrange(key, 0, -1) for key in r.scan_iter(f"{prefix}*")}


def wait_settled(r: redis.Redis, timeout: float = 20) -> None:
    """Wait until nothing is pending, scheduled or active."""
    wait_until(
        lambda: not (r.llen("jobs") or r.zcard("{jobs}:scheduled") or active(r)),
        timeout,
        "until nothing is pending, scheduled or active",
    )
