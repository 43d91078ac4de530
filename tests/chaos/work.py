"""The jobs, what must become of each, and the producers that push them."""

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

QUEUES = ("jobs", "{eu}mail")
PREFIXES = {"jobs": "{jobs}:", "{eu}mail": "{eu}mail:"}
RECORDED = "chaos:recorded"
TENANTS = 40


@dataclass(frozen=True)
class Kind:
    """A kind of job: how many in a thousand, its payload, and what must become of it.

    `reason` is that of the dead list. `runs` tells whether its handler runs at all.
    """

    handler: str
    share: int
    payload: Callable[[Random], Any]
    status: str = "succeeded"
    reason: str | None = None
    runs: bool = True


KINDS = (
    Kind("quick", 500, lambda random: {"number": random.randrange(10**6), "text": "é" * 9}),
    Kind("nap", 170, lambda random: round(random.uniform(0, 0.4), 3)),
    Kind("nap", 10, lambda random: round(random.uniform(1.5, 3.5), 3)),
    Kind("threaded", 60, lambda random: round(random.uniform(0, 0.2), 3)),
    Kind("configured", 120, lambda random: random.randrange(TENANTS)),
    Kind("flaky", 60, lambda random: random.randrange(1, 4)),
    Kind("failing", 20, lambda _: None, "failed", "failed"),
    Kind("rejecting", 15, lambda _: None, "failed", "rejected"),
    Kind("overtime", 13, lambda _: None, "failed", "failed"),
    Kind("stalling", 2, lambda _: 2.5),
    Kind("unheard_of", 10, lambda _: None, "failed", "unknown_handler", runs=False),
    Kind("", 10, lambda _: None, "failed", "malformed", runs=False),
    Kind("quick", 10, lambda _: None, "expired", runs=False),
)
# One of these kills a worker as many times as a job may crash: only where that is a few times.
POISON = Kind("poison", 1, lambda _: None, "failed", "crashed", runs=False)


@dataclass
class Pushed:
    """A job that a producer pushed, `copies` times in one command.

    `acknowledged` is False where no reply came: Redis may have taken it or not, all copies alike.
    `due` is in ms, 0 where it was not delayed.
    """

    id: str
    queue: str
    kind: Kind
    raw: str
    payload: Any
    copies: int = 1
    due: int = 0
    acknowledged: bool = False


class Producer(threading.Thread):
    """Pushes `rate` jobs a second over a connection of its own until told to stop."""

    def __init__(self, number: int, seed: int, url: str, rate: float, *, poison: bool) -> None:
        super().__init__(name=f"producer-{number}", daemon=True)
        self.pushed: list[Pushed] = []
        self._number = number
        self._random = Random(f"{seed} producer {number}")
        self._rate = rate
        self._kinds = (*KINDS, POISON) if poison else KINDS
        self._count = 0
        self._stop_now = threading.Event()
        # Never sent again by the client: what was pushed twice behind our back would count as ours.
        self._redis = redis.Redis.from_url(
            url, socket_timeout=1.0, socket_connect_timeout=1.0, retry=Retry(NoBackoff(), 0)
        )

    def run(self) -> None:
        begun, sent = time.monotonic(), 0
        while not self._stop_now.is_set():
            batch = [self._job() for _ in range(self._random.choice((1, 1, 2, 5, 20)))]
            for queue in QUEUES:
                self._push(queue, [job for job in batch if job.queue == queue])
            sent += len(batch)
            # An outage is not made up for by a flood.
            behind = time.monotonic() - begun - sent / self._rate
            begun += max(0.0, behind - 1.0)
            self._stop_now.wait(max(0.0, -behind))
        self._redis.close()

    def stop(self) -> None:
        self._stop_now.set()

    def _job(self) -> Pushed:
        random = self._random
        self._count += 1
        kind = random.choices(self._kinds, [kind.share for kind in self._kinds])[0]
        job_id = f"{self._number}-{self._count}-{kind.reason or kind.status}"
        queue = random.choices(QUEUES, (4, 1))[0]
        fields: dict[str, Any] = {"id": job_id, "handler": kind.handler, "reply_to": RECORDED}
        fields["payload"] = kind.payload(random)
        if kind.handler == "configured":
            fields["config"] = f"tenant-{fields['payload']}"
        if kind.status == "expired":
            fields["expires_at"] = 1
        if random.random() < 0.5:
            fields["note"] = "a field that no worker knows"
        job = Pushed(job_id, queue, kind, json.dumps(fields, ensure_ascii=False), fields["payload"])
        if random.random() < 0.1:
            job.due = int((time.time() + random.uniform(0, 4)) * 1000)
        elif random.random() < 0.02 and POISON not in self._kinds:
            job.copies = 2
        return job

    def _push(self, queue: str, jobs: list[Pushed]) -> None:
        now = [job.raw for job in jobs if not job.due for _ in range(job.copies)]
        later = {job.raw: job.due for job in jobs if job.due}
        self.pushed += jobs
        if now:
            done = self._sent(lambda: self._redis.lpush(queue, *now))
            for job in jobs:
                job.acknowledged |= done and not job.due
        if later:
            done = self._sent(lambda: self._redis.zadd(f"{PREFIXES[queue]}scheduled", later))
            for job in jobs:
                job.acknowledged |= done and bool(job.due)

    def _sent(self, command: Callable[[], Any]) -> bool:
        try:
            command()
        except redis.RedisError:
            return False
        return True
