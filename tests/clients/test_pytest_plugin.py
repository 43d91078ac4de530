"""The pytest plugin, in a project of its own: real servers, a worker in process, drain, advance."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.support.worker_process import ROOT

pytestmark = pytest.mark.once

CONFTEST = """
import pytest
from tasks import app


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def worker_app():
    return app
"""

TASKS = """
import anyio
from worker import App, Client, Reject, Retry, SyncClient, get_redis_client

app = App()


@app.handler
async def count(payload: int, config: dict) -> int:
    await get_redis_client().incrby("sum", payload * config.get("factor", 1))
    return payload


@app.handler
async def later(payload: int) -> None:
    async with Client() as client:
        await client.enqueue(count, payload, delay=3600)


@app.handler
def in_thread(payload: int) -> None:
    with SyncClient() as client:
        client.enqueue(count, payload)


@app.handler(backoff={"base": 600, "max": 600})
async def flaky(payload: str, job) -> int:
    if job.attempt < 3:
        raise LookupError(payload)
    return job.attempt


@app.handler(timeout=0.05)
async def nap() -> None:
    await anyio.sleep(3600)


@app.handler
async def patient(job) -> int:
    if job.attempt == 1:
        raise Retry("not yet", delay=600)
    return job.attempt


@app.handler
async def reject() -> None:
    raise Reject("why not")


@app.handler
async def exits() -> None:
    raise SystemExit


@app.handler
async def sleep() -> None:
    await anyio.sleep(3600)
"""

TESTS = """
import anyio
import pytest
from tasks import app, count, in_thread, later
from worker import App, Client, Settings, SyncClient, get_config, get_redis_client
from worker import JobFailed, Reject
from worker.errors import UnknownHandler
from worker.testing import RunningWorker


async def total() -> int:
    return int(await get_redis_client().get("sum") or 0)


@pytest.mark.parametrize("again", range(2))
async def test_a_fresh_queue_and_table_each_time(worker, again):
    assert await total() == 0
    assert await get_config("count") == {}
    await worker.put_config("count", {"factor": 2})
    await worker.enqueue("count", 2)
    await worker.enqueue("later", 1)
    await worker.drain()


async def test_drain_waits_for_all_jobs_and_those_that_they_enqueue(worker):
    ids = [await worker.enqueue(count, n) for n in range(20)]
    await worker.enqueue(in_thread, 100)
    await worker.drain()
    assert await total() == 290
    assert [(await worker.result(id, 0)).result for id in ids] == list(range(20))


async def test_an_edit_of_an_item_is_seen_by_the_next_job(worker):
    for factor in (1, 10, 100):
        await worker.put_config("count", {"factor": factor})
        await worker.enqueue("count", 1)
        await worker.drain()
    assert await total() == 111
    with pytest.raises(ValueError):
        await worker.put_config("count", {"factor": 10**200})


async def test_delayed_jobs_become_due(worker):
    await worker.enqueue("later", 5)
    await worker.enqueue("count", 7, delay=50)
    await worker.drain()
    assert await total() == 0
    assert await worker.advance(60) == 1
    await worker.drain()
    assert await total() == 7
    assert await worker.advance(3500) == 0
    await worker.drain()
    assert await total() == 7
    assert await worker.advance(60) == 1
    await worker.drain()
    assert await total() == 12


async def test_the_first_unexpected_failure_is_raised_at_once(worker):
    await worker.enqueue("sleep")
    await worker.enqueue("flaky", "on purpose")
    with anyio.fail_after(30), pytest.raises(LookupError, match="on purpose"):
        await worker.drain()


async def test_failures_that_are_expected_are_not_raised(worker):
    job_id = await worker.enqueue("flaky", "x")
    await worker.enqueue("reject")
    await worker.enqueue("no_such_handler")
    for _ in range(3):
        await worker.drain(LookupError, Reject, UnknownHandler)
        await worker.advance(600)
    await worker.drain(UnknownHandler)
    assert (await worker.result(job_id, 0)).result == 3


async def test_retry_is_no_failure(worker):
    job_id = await worker.enqueue("patient")
    await worker.drain()
    await worker.advance(600)
    await worker.drain()
    assert (await worker.result(job_id, 0)).result == 2


@pytest.mark.parametrize(
    ("handler", "payload", "kind", "message"),
    [
        ("nap", None, "Timeout", "longer than its time limit of 0.05 s"),
        ("nope", None, "UnknownHandler", "no handler 'nope'"),
        ("count", "x", "PayloadInvalid", "valid integer"),
        ("exits", None, "JobFailed", "its handler raised SystemExit"),
    ],
)
async def test_a_failure_without_an_exception_says_what_it_was(
    worker, handler, payload, kind, message
):
    await worker.enqueue(handler, payload, id="7")
    with pytest.raises(JobFailed, match=message) as raised:
        await worker.drain()
    assert type(raised.value).__name__ == kind
    assert f"Job '7' ('{handler}') failed an attempt" in raised.value.__notes__[0]


async def test_a_drain_that_does_not_end_says_what_is_left(worker):
    await worker.enqueue("sleep", id="7")
    with pytest.raises(TimeoutError, match="after 0.3 s: .*active=1.*running: Job '7'"):
        await worker.drain(within=0.3)


def push() -> None:
    with SyncClient() as client:
        client.enqueue("count", 1)


async def test_every_client_reaches_the_worker(worker):
    async with Client() as client:
        await client.enqueue("count", 1)
    await anyio.to_thread.run_sync(push)
    await worker.drain()
    assert await total() == 2


class TestAnotherApp:
    @pytest.fixture
    def worker_app(self):
        other = App()

        @other.handler
        async def hello() -> str:
            return "hello"

        return other

    async def test_a_class_overrides_the_app(self, worker: RunningWorker):
        job_id = await worker.enqueue("hello")
        await worker.drain()
        assert (await worker.result(job_id, 0)).result == "hello"


def test_servers_alone(worker_servers):
    import socket
    for port in (worker_servers.redis_port, worker_servers.dynamo_port):
        socket.create_connection(("127.0.0.1", port)).close()
"""


def run_pytest(
    folder: Path, files: Mapping[str, str], *flags: str, **environment: str
) -> tuple[int, str]:
    for name, text in files.items():
        (folder / name).write_text(text)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WORKER_", "AWS_", "PYTEST"))}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:valkey", *flags],
        cwd=folder,
        env={**kept, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    return ended.returncode, ended.stdout + ended.stderr


def test_a_project_s_own_tests(tmp_path: Path) -> None:
    """Warnings are errors in it, and its environment leads elsewhere."""
    files = {"conftest.py": CONFTEST, "tasks.py": TASKS, "test_tasks.py": TESTS}
    code, out = run_pytest(
        tmp_path,
        files,
        *("-v", "-W", "error"),
        WORKER_REDIS_URL="redis://127.0.0.1:1/0",
        WORKER_QUEUE="mine,other",
        WORKER_CONFIG_TABLE="items",
        AWS_PROFILE="no_such_profile",
        AWS_ENDPOINT_URL_DYNAMODB="http://127.0.0.1:1",
    )
    assert code == 0, out
    defined = len(re.findall("def test_", TESTS))
    assert len(re.findall(" PASSED", out)) == defined + 4, out
    assert "skipped" not in out


MISUSED = """
import pytest


@pytest.fixture
def anyio_backend():
    return "asyncio"


async def test_no_app(worker):
    raise AssertionError("not reached")


class TestTrio:
    @pytest.fixture
    def anyio_backend(self):
        return "trio"

    async def test_trio(self, worker):
        raise AssertionError("not reached")


class TestBroken:
    @pytest.fixture
    def worker_app(self):
        from worker import App

        app = App()

        @app.handler
        async def broken(payload: "Nowhere") -> None: ...

        return app

    async def test_broken(self, worker):
        raise AssertionError("not reached")
"""


def test_misuse_is_said_in_words(tmp_path: Path) -> None:
    code, out = run_pytest(tmp_path, {"test_misused.py": MISUSED}, "-v", "-rs")
    assert code == 1
    assert "override the fixture 'worker_app', in conftest.py for example" in out
    assert "the worker runs on asyncio: let the fixture 'anyio_backend' return 'asyncio'" in out
    assert "handler 'broken': its annotations fail" in out
    assert "not reached" not in re.sub(r"raise AssertionError\(.*", "", out)
    assert "1 skipped, 2 errors" in out


IDLE = """
import sys


def test_nothing_of_the_library_is_imported():
    assert "worker.pytest_plugin" in sys.modules
    ours = {name for name in sys.modules if name.startswith("worker.")}
    assert ours == {"worker.pytest_plugin"}
    others = ("redis", "pydantic", "boto3", "botocore", "anyio.from_thread")
    assert not [name for name in others if name in sys.modules]
"""


def test_it_is_idle_until_it_is_asked(tmp_path: Path) -> None:
    code, out = run_pytest(tmp_path, {"test_idle.py": IDLE}, "-W", "error", "-p", "no:anyio")
    assert code == 0, out


def test_its_fixtures_are_listed_with_what_they_are_for(tmp_path: Path) -> None:
    code, out = run_pytest(tmp_path, {}, "--fixtures")
    assert code in {0, 5}
    for name in ("worker_servers [session scope]", "worker_app", "worker"):
        assert re.search(rf"^{re.escape(name)} -- .*pytest_plugin.py", out, re.MULTILINE), name
