"""One run, from the first push to the reckoning."""

import signal
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path
from typing import Any

import redis

from tests.chaos.audit import Audit, audit, is_drained
from tests.chaos.faults import begun
from tests.chaos.plan import plan
from tests.chaos.work import Producer
from tests.chaos.world import World, opened
from tests.support.waiting import wait_until

MANY = 1000


@dataclass(frozen=True)
class Run:
    """What to do: so many seconds of chaos with this seed. `rate` is in jobs a second, in all.

    With `max_crashes` high, only what a job does itself decides its fate. With it low, poison jobs
    are among the others, and whoever is alone with a worker that breaks may be taken for one.
    `patience` is how many seconds everything may take to come to rest: a list that a late claim
    left behind is found by a scan, page by page, which takes long among many results.
    """

    seed: int
    seconds: float
    workers: int = 4
    producers: int = 3
    rate: float = 60.0
    binary: str | None = None
    max_crashes: int = MANY
    patience: float = 300.0


def go(run: Run, folder: Path, tell: Callable[[str], None]) -> tuple[Audit, World]:
    """Do it. Servers, workers and producers are gone afterwards, however it ends."""
    few_crashes = run.max_crashes < MANY
    with opened(folder, run.workers, run.max_crashes, run.binary) as world:
        world.start_workers()
        tell(f"{run.workers} workers are up; logs in {folder}")
        producers = [
            Producer(
                number, run.seed, world.producers.url, run.rate / run.producers, poison=few_crashes
            )
            for number in range(run.producers)
        ]
        for producer in producers:
            producer.start()
        try:
            _break_things(world, run, tell)
        finally:
            for producer in producers:
                producer.stop()
        for producer in producers:
            producer.join()
        tell("the chaos is over; waiting for the queue to drain")
        with world.client() as r:
            _wait_until_drained(world, r, run.patience)
            world.stop_workers()
            pushed = [job for producer in producers for job in producer.pushed]
            report = audit(r, pushed, may_crash=few_crashes)
        report.problems += world.problems
        for name, proxies in (("lost", "replies lost"), ("resets", "connections reset")):
            links = [world.producers, *(slot.proxy for slot in world.slots)]
            world.tally[proxies] = sum(getattr(link, name) for link in links)
        return report, world


def _break_things(world: World, run: Run, tell: Callable[[str], None]) -> None:
    """Begin and end each fault of the plan in its time; whatever still lasts at the end, ends."""
    agenda: list[tuple[float, int, Callable[[], object]]] = []
    start = time.monotonic()
    with ExitStack() as lasting:
        for number, event in enumerate(plan(run.seed, run.seconds, run.workers)):

            def begin(event: Any = event, number: Any = number) -> None:
                fault = ExitStack()
                lasting.callback(fault.close)
                fault.enter_context(begun(world, event))
                heappush(agenda, (event.until, number, fault.close))

            heappush(agenda, (event.at, number, begin))
        for second in range(10, int(run.seconds), 10):
            heappush(agenda, (second, -second, lambda: tell(_progress(world, start))))
        heappush(agenda, (run.seconds, 1_000_000, lambda: None))
        while agenda:
            at, _, act = heappop(agenda)
            while (left := start + at - time.monotonic()) > 0:
                world.look_after_workers()
                time.sleep(min(left, 0.1))
            act()


def _progress(world: World, start: float) -> str:
    counted = ""
    with world.client() as r, suppress(redis.RedisError):
        counted = f", {r.llen('chaos:recorded')} results, {r.llen('jobs')} pending"
    faults = sum(world.tally.values())
    return f"{time.monotonic() - start:5.0f} s: {faults} faults{counted}"


def _wait_until_drained(world: World, r: redis.Redis, patience: float) -> None:
    """Twice in a row, since what was held on its way may still arrive."""

    def drained() -> bool:
        world.look_after_workers()
        return is_drained(r)

    for slot in world.slots:
        slot.signal(signal.SIGCONT)
    try:
        for _ in range(2):
            wait_until(drained, patience, "for the queue to drain")
            time.sleep(1)
    except AssertionError as error:
        world.problems.append(str(error))
