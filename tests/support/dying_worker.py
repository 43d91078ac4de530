"""`python -m tests.support.dying_worker run ...` is `worker run ...` that ends by SIGKILL at one
step, which DIE_AT names. The product knows nothing of this: its seams are wrapped from outside.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NoReturn

import redis

from worker.__main__ import main
from worker.broker.queue import Exchange, Queue
from worker.config.store import ConfigStore
from worker.execution.claimed_job import ClaimedJob
from worker.execution.handler_step import HandlerStep
from worker.jobs.outcome import Outcome

_send, _wait, _recover = Queue.send, Queue.wait, Queue.recover
_run = HandlerStep.run


def _replace(owner: type, **methods: Any) -> None:
    for name, method in methods.items():
        setattr(owner, name, method)


def _die() -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    sys.exit("unreachable")


def after_the_claim() -> None:
    """The jobs stand in the active list, and nobody has looked at them."""

    async def send(queue: Queue, outcomes: Sequence[Outcome], limit: int) -> Awaitable[Exchange]:
        return receive(await _send(queue, outcomes, limit))

    async def receive(reply: Awaitable[Exchange]) -> Exchange:
        exchange = await reply
        return _die() if exchange.jobs else exchange

    async def wait(queue: Queue, seconds: float) -> bytes | None:
        job = await _wait(queue, seconds)
        return _die() if job else job

    _replace(Queue, send=send, wait=wait)


def before_the_config() -> None:
    async def load(_: ConfigStore, key: str, *, confirm_absence: bool = False) -> Any:
        _die()

    _replace(ConfigStore, load=load)


def in_the_handler() -> None:
    async def run(step: HandlerStep, job: ClaimedJob) -> Outcome | None:
        asyncio.get_running_loop().call_later(0.05, _die)
        return await _run(step, job)

    _replace(HandlerStep, run=run)


def between_outcome_and_settle() -> None:
    async def run(step: HandlerStep, job: ClaimedJob) -> Outcome | None:
        await _run(step, job)
        _die()

    _replace(HandlerStep, run=run)


def before_the_settle_is_sent() -> None:
    async def send(queue: Queue, outcomes: Sequence[Outcome], limit: int) -> Awaitable[Exchange]:
        return _die() if outcomes else await _send(queue, outcomes, limit)

    _replace(Queue, send=send)


def after_the_settle_before_its_reply() -> None:
    """The command is written, and its reply is never read."""

    async def send(queue: Queue, outcomes: Sequence[Outcome], limit: int) -> Awaitable[Exchange]:
        reply = await _send(queue, outcomes, limit)
        if outcomes:
            with redis.Redis.from_url(os.environ["WORKER_REDIS_URL"]) as r:
                key = queue.keys.result(outcomes[0].result_id or "")
                while not r.exists(key):  # noqa: ASYNC110
                    await asyncio.sleep(0)
            _die()
        return reply

    _replace(Queue, send=send)


def in_recovery_before_anything_went_back() -> None:
    async def recover(queue: Queue, worker: str, outcomes: Sequence[Outcome]) -> Exchange:
        _die()

    _replace(Queue, recover=recover)


def in_recovery_half_way() -> None:
    async def recover(queue: Queue, worker: str, outcomes: Sequence[Outcome]) -> Exchange:
        await _recover(queue, worker, outcomes[: len(outcomes) // 2])
        _die()

    _replace(Queue, recover=recover)


def in_recovery_before_the_dead_one_is_forgotten() -> None:
    async def recover(queue: Queue, worker: str, outcomes: Sequence[Outcome]) -> Exchange:
        return await _recover(queue, worker, outcomes) if outcomes else _die()

    _replace(Queue, recover=recover)


def before_leaving() -> None:
    async def deregister(_: Queue) -> int:
        _die()

    _replace(Queue, deregister=deregister)


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
