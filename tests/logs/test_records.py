"""Log records that are made on behalf of a job name it, whoever makes them and wherever."""

import asyncio
import gc
import logging
from contextvars import copy_context
from typing import Any
from weakref import ref

import anyio
import pytest
from pydantic import BaseModel, field_validator

from tests.support.in_process import StartInProcess
from tests.support.producer import Producer, job
from worker import App, Job
from worker.errors import ConfigMissing
from worker.execution.claimed_job import ClaimedJob
from worker.execution.log_source import current_fields, log_source
from worker.jobs.keys import Keys

pytestmark = [pytest.mark.once]

log = logging.getLogger("users")
FIELDS = ("job", "handler", "queue", "attempt", "config", "worker")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def said(caplog: pytest.LogCaptureFixture, message: str) -> list[dict[str, Any]]:
    """The fields of the records with this message."""
    return [
        {name: vars(record)[name] for name in FIELDS}
        for record in caplog.records
        if record.getMessage() == message
    ]


class Size(BaseModel):
    width: int

    @field_validator("width")
    @classmethod
    def _look(cls, width: int) -> int:
        log.info("in a validator")
        return width


def talking() -> App:
    app = App()

    @app.handler
    async def talk(payload: Size) -> None:
        log.info("in a handler")
        async with asyncio.TaskGroup() as group:
            group.create_task(asyncio.to_thread(log.info, "in a thread of a handler"))

    @app.handler
    def plain(payload: Any) -> None:
        log.info("in a plain handler")

    @app.handler(batch=10, linger=0.1)
    async def many(payloads: list[int]) -> None:
        log.info("in a batch")
        await asyncio.to_thread(log.info, "in a thread of a batch")

    @app.handler(batch=10, linger=0.1)
    def many_plain(payloads: list[int]) -> None:
        log.info("in a plain batch")

    @app.handler
    async def fails(payload: Any) -> None:
        raise ValueError(payload)

    @app.middleware
    async def around(job: Job, call_next: Any) -> Any:
        log.info("in middleware")
        return await call_next()

    @app.on_error
    async def report(job: Job) -> None:
        log.info("in on_error")
        await asyncio.sleep(0.2)
        log.info("in on_error, once the job has ended")

    return app


@pytest.mark.anyio
async def test_whoever_makes_them(
    worker_in_process: StartInProcess, producer: Producer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    producer.push_raw(
        job("talk", {"width": 1}, id="t", config="acme", attempts=1), job("plain", id="p")
    )
    for n in range(3):
        producer.push_raw(job("many", n, id=f"m{n}"), job("many_plain", n, id=f"n{n}"))
    producer.push_raw(job("fails", 1, id="f"))
    async with worker_in_process(talking(), max_attempts=1) as worker:
        await worker.drain(ValueError, ConfigMissing)
        with anyio.fail_after(60):
            while not said(caplog, "in on_error, once the job has ended"):  # noqa: ASYNC110
                await anyio.sleep(0.01)
        log.info("outside")
    (outside,) = said(caplog, "outside")
    base = {**dict.fromkeys(FIELDS), "queue": "jobs", "worker": outside["worker"]}
    assert outside == base | {"queue": None}
    assert outside["worker"]
    plain = {**base, "job": "p", "handler": "plain", "config": "plain", "attempt": 1}
    assert said(caplog, "in a plain handler") == [plain]
    for message in ("in a batch", "in a thread of a batch"):
        assert said(caplog, message) == [{**base, "handler": "many"}]
    assert said(caplog, "in a plain batch") == [{**base, "handler": "many_plain"}]
    failed = {**base, "job": "f", "handler": "fails", "config": "fails", "attempt": 1}
    for message in ("in on_error", "in on_error, once the job has ended"):
        assert failed in said(caplog, message)
    assert len(said(caplog, "in middleware")) == 8


@pytest.mark.anyio
async def test_a_typed_handler_s_validators_and_threads(
    worker_in_process: StartInProcess, producer: Producer, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    producer.push_raw(job("talk", {"width": 1}, id="t", attempts=1))
    async with worker_in_process(talking()) as worker:
        await worker.drain()
    for message in ("in a validator", "in a handler", "in a thread of a handler"):
        (fields,) = said(caplog, message)
        assert fields.pop("worker")
        assert list(fields.values()) == ["t", "talk", "jobs", 2, "talk"], message


def test_a_context_that_outlives_its_job_does_not_keep_it() -> None:
    def in_context() -> None:
        claimed = ClaimedJob(b"x" * 1_000, Keys("jobs"))
        log_source.set(ref(claimed))
        assert current_fields() == {"queue": "jobs"}

    context = copy_context()
    context.run(in_context)
    gc.collect()
    assert context.run(current_fields) == {}
    assert current_fields() == {}
