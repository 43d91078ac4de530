"""`python -m tests.dying_worker run ...` is `worker run ...` that ends by SIGKILL at one step.

DIE_AT names the step. The product knows nothing of this: its seams are wrapped from outside, here.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import redis

from worker.__main__ import main
from worker.broker.queue import Exchange, Queue
from worker.config.store import ConfigStore
from worker.execution.claimed_job import Run
from worker.execution.executor import Executor
from worker.jobs.outcome import Outcome

_exchange, _wait, _recover, _leave = Queue.exchange, Queue.wait, Queue.recover, Queue.leave
_execute = Executor.execute


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    sys.exit("unreachable")


def after_the_claim() -> None:
    """The jobs stand in the active list, and nobody has looked at them."""

    async def exchange(queue: Queue, outcomes: Sequence[Outcome], limit: int) -> Exchange:
        reply = await _exchange(queue, outcomes, limit)
        return _die() if reply.jobs else reply

    async def wait(queue: Queue, seconds: float) -> bytes | None:
        job = await _wait(queue, seconds)
        return _die() if job else job

    Queue.exchange, Queue.wait = exchange, wait  # type: ignore[method-assign]


def before_the_config() -> None:
    async def load(_: ConfigStore, key: str, *, confirm_absence: bool = False) -> Any:
        _die()

    ConfigStore.load = load  # type: ignore[method-assign]


def in_the_handler() -> None:
    async def execute(executor: Executor, run: Run) -> Outcome:
        asyncio.get_running_loop().call_later(0.05, _die)
        return await _execute(executor, run)

    Executor.execute = execute  # type: ignore[method-assign]


def between_outcome_and_settle() -> None:
    async def execute(executor: Executor, run: Run) -> Outcome:
        await _execute(executor, run)
        _die()

    Executor.execute = execute  # type: ignore[method-assign]


def before_the_settle_is_sent() -> None:
    async def exchange(queue: Queue, outcomes: Sequence[Outcome], limit: int) -> Exchange:
        return _die() if outcomes else await _exchange(queue, outcomes, limit)

    Queue.exchange = exchange  # type: ignore[method-assign]


def after_the_settle_before_its_reply() -> None:
    """The loop stands still from the moment that the command is sent, so that no reply is read."""

    async def exchange(queue: Queue, outcomes: Sequence[Outcome], limit: int) -> Exchange:
        under_way = asyncio.ensure_future(_exchange(queue, outcomes, limit))
        if outcomes:
            with redis.Redis.from_url(os.environ["WORKER_REDIS_URL"]) as r:
                key = queue.keys.result(outcomes[0].result_id or "")
                while not under_way.done() and not r.exists(key):  # noqa: ASYNC110
                    await asyncio.sleep(0)
            _die()
        return await under_way

    Queue.exchange = exchange  # type: ignore[method-assign]


def in_recovery_before_anything_went_back() -> None:
    async def recover(queue: Queue, worker: str, outcomes: Sequence[Outcome]) -> Exchange:
        _die()

    Queue.recover = recover  # type: ignore[method-assign]


def in_recovery_half_way() -> None:
    async def recover(queue: Queue, worker: str, outcomes: Sequence[Outcome]) -> Exchange:
        await _recover(queue, worker, outcomes[: len(outcomes) // 2])
        _die()

    Queue.recover = recover  # type: ignore[method-assign]


def in_recovery_before_the_dead_one_is_forgotten() -> None:
    async def recover(queue: Queue, worker: str, outcomes: Sequence[Outcome]) -> Exchange:
        return await _recover(queue, worker, outcomes) if outcomes else _die()

    Queue.recover = recover  # type: ignore[method-assign]


def before_leaving() -> None:
    async def leave(_: Queue) -> int:
        _die()

    Queue.leave = leave  # type: ignore[method-assign]


STEPS: tuple[Callable[[], None], ...] = (
    after_the_claim,
    before_the_config,
    in_the_handler,
    between_outcome_and_settle,
    before_the_settle_is_sent,
    after_the_settle_before_its_reply,
    in_recovery_before_anything_went_back,
    in_recovery_half_way,
    in_recovery_before_the_dead_one_is_forgotten,
    before_leaving,
)

if __name__ == "__main__":
    {step.__name__: step for step in STEPS}[os.environ["DIE_AT"]]()
    main()
