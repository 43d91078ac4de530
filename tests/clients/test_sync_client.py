"""`worker.SyncClient`: without await, in threads, after a fork, closed with its context."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.clients.apps import Image, crop, unregistered
from tests.support.ports import free_port
from tests.support.waiting import wait_until
from tests.support.worker_process import Shared
from worker import Client, HandlerError, Malformed, NotOpen, Settings, SyncClient

APP = "tests.clients.apps:app"
IN_PROCESS = True


@pytest.fixture
def settings(shared: Shared) -> Settings:
    return Settings(redis_url=shared.redis_server.url)


@pytest.fixture
def idle(shared: Shared) -> Settings:
    """Of the queue `idle`, which no worker serves."""
    shared.r.delete("idle")
    return Settings(redis_url=shared.redis_server.url, queue="idle")


def loops() -> int:
    """How many threads of clients there are."""
    return sum(thread.name == "worker-client" for thread in threading.enumerate())


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    wait_until(lambda: loops() == 0, 10)


def test_it_has_the_methods_of_the_client() -> None:
    public = {name for name in vars(Client) if not name.startswith("_")}
    assert public <= set(vars(SyncClient))


def test_jobs_are_pushed_and_results_waited_for(settings: Settings) -> None:
    with SyncClient(settings) as client:
        job_id = client.enqueue(crop, Image(url="a"), delay=0.01)
        result = client.result(job_id, timeout=30)
        assert (result.status, result.result) == ("succeeded", "a")
        again = client.enqueue("mail", "hello", id=job_id)
        assert client.result(again, timeout=30, after=result).result == "hello"
        ids = client.enqueue_many({"handler": "mail", "payload": str(n)} for n in range(3))
        assert [client.result(id, 30).result for id in ids] == ["0", "1", "2"]
    assert loops() == 0


def test_errors_are_those_of_the_client(settings: Settings) -> None:
    with SyncClient(settings) as client:
        with pytest.raises(TimeoutError, match="no result yet"):
            client.result("nobody", timeout=0)
        with pytest.raises(TimeoutError, match=r"after 0\.05 s"):
            client.result("nobody", timeout=0.05)
        with pytest.raises(Malformed, match="handler"):
            client.enqueue("")
        with pytest.raises(HandlerError, match="is no handler"):
            client.enqueue(unregistered, Image(url="a"))
    away = Settings(redis_url=f"redis://127.0.0.1:{free_port()}")
    with SyncClient(away) as client, pytest.raises(RedisConnectionError):
        client.enqueue("mail", "hello")


def test_many_jobs_are_read_in_the_thread_of_the_caller(idle: Settings, shared: Shared) -> None:
    threads = set()

    def jobs(count: int) -> Iterator[dict[str, Any]]:
        for number in range(count):
            threads.add(threading.current_thread())
            yield {"handler": "mail", "payload": number}

    with SyncClient(idle) as client:
        assert client.enqueue_many(iter(())) == []
        ids = client.enqueue_many(jobs(1200))
    assert len(set(ids)) == shared.r.llen("idle") == 1200
    assert threads == {threading.current_thread()}


def test_it_opens_at_the_first_call_and_closes_once(idle: Settings, shared: Shared) -> None:
    client = SyncClient(idle)
    assert loops() == 0
    client.enqueue("mail", "hello")
    assert loops() == 1
    client.close()
    client.close()
    assert loops() == 0
    with pytest.raises(NotOpen, match="the client is closed"):
        client.enqueue("mail", "hello")
    with client:
        client.enqueue("mail", "hello")
    assert shared.r.llen("idle") == 2


def test_threads_share_one_loop_and_one_connection_budget(idle: Settings, shared: Shared) -> None:
    with SyncClient(idle) as client, ThreadPoolExecutor(16) as threads:
        ids = list(threads.map(lambda n: client.enqueue("mail", n), range(400)))
        assert loops() == 1
    assert len(set(ids)) == shared.r.llen("idle") == 400


def test_closing_ends_calls_that_wait(idle: Settings) -> None:
    client = SyncClient(idle)
    client.enqueue("mail", "hello")
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(client.result, "nobody")
        with pytest.raises(TimeoutError):
            waiting.result(0.2)
        client.close()
        with pytest.raises(NotOpen, match="the client is closed"):
            waiting.result(30)


def in_child(work: Callable[[], Any]) -> int:
    """Run this in a forked child and return its exit code."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(30)  # a child that hangs
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def connections(r: redis.Redis) -> int:
    return len(r.client_list())


def test_a_fork_leaves_both_processes_with_a_client_that_works(
    settings: Settings, shared: Shared
) -> None:
    with SyncClient(settings) as client:
        assert client.result(client.enqueue("mail", "before"), 30).result == "before"

        def child() -> None:
            with ThreadPoolExecutor(4) as threads:
                ids = list(threads.map(lambda n: client.enqueue("mail", str(n)), range(40)))
            assert [client.result(id, 30).result for id in ids] == [str(n) for n in range(40)]
            client.close()

        for _ in range(3):
            assert in_child(child) == 0
            assert client.result(client.enqueue("mail", "after"), 30).result == "after"


def test_a_fork_while_other_threads_use_the_client(idle: Settings, shared: Shared) -> None:
    stop = threading.Event()
    with SyncClient(idle) as client, ThreadPoolExecutor(4) as threads:

        def push() -> int:
            count = 0
            while not stop.is_set():
                client.enqueue("mail", "parent")
                count += 1
            return count

        pushing = [threads.submit(push) for _ in range(4)]
        try:
            codes = [in_child(lambda: client.enqueue("mail", "child")) for _ in range(10)]
        finally:
            stop.set()
        count = sum(future.result(30) for future in pushing)
    assert codes == [0] * 10
    assert shared.r.llen("idle") == count + 10


PROGRAM = """
import os, sys
from worker import SyncClient
client = SyncClient()
client.enqueue("mail", "parent")
if os.fork() == 0:
    client.enqueue("mail", "child")
    sys.exit()  # with all that an interpreter does at its end
os.wait()
client.enqueue("mail", "parent")
if sys.argv[1] == "close":
    client.close()
print("done")
"""


@pytest.mark.parametrize("end", ["close", "leave"])
def test_a_program_ends_without_a_word(
    end: str, idle: Settings, shared: Shared, tmp_path: Any
) -> None:
    """Also one that never closes its client, with every warning shown."""
    before = connections(shared.r)
    environment = {**shared.environment, "WORKER_QUEUE": "idle"}
    ended = subprocess.run(
        [sys.executable, "-X", "dev", "-c", PROGRAM, end],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # On a busy machine asyncio's debug mode adds lines about steps that were slow.
    words = [line for line in ended.stderr.splitlines() if not line.startswith("Executing <")]
    assert (ended.returncode, ended.stdout, words) == (0, "done\n", [])
    assert shared.r.llen("idle") == 3
    wait_until(lambda: connections(shared.r) <= before, 10)


def test_ctrl_c_ends_a_call_that_waits(shared: Shared, tmp_path: Any) -> None:
    code = "from worker import SyncClient\nwith SyncClient() as c:\n c.enqueue('x')\n c.result('x')"
    environment = {**shared.environment, "WORKER_QUEUE": "idle"}
    child = subprocess.Popen(
        [sys.executable, "-c", code], env=environment, cwd=tmp_path, stderr=subprocess.PIPE
    )
    wait_until(lambda: shared.r.pubsub_channels("{idle}:result:x"))
    child.send_signal(2)
    began = time.monotonic()
    assert b"KeyboardInterrupt" in child.communicate(timeout=30)[1]
    assert time.monotonic() - began < 10
