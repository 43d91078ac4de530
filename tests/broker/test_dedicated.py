"""One connection for commands that come one at a time: written, then read."""

import asyncio
import gc
import warnings
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import pytest
import redis
import uvloop
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import NoScriptError, ReadOnlyError, RedisError, ResponseError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.support.redis_proxy import RedisProxy
from tests.support.servers import RedisServer
from worker import Settings
from worker.broker import scripts
from worker.broker.connect import open_redis
from worker.broker.dedicated import DedicatedConnection
from worker.broker.errors import BROKER_DOWN
from worker.broker.queue import Queue
from worker.jobs.clock import RedisClock
from worker.jobs.outcome import requeue

Main = Callable[[DedicatedConnection], Coroutine[Any, Any, None]]
Run = Callable[[Main], None]
PATIENCE = 0.3  # seconds without a reply that the client takes for an outage here


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[RedisProxy]:
    with RedisProxy(redis_server.port) as proxy:
        yield proxy


@pytest.fixture(params=[asyncio.new_event_loop, uvloop.new_event_loop])
def run(
    request: pytest.FixtureRequest, proxy: RedisProxy, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Main], None]:
    """Run a coroutine function with a dedicated connection through the proxy; on both loops,
    whose errors of a lost connection differ. No coroutine may be left that nobody awaits."""
    monkeypatch.setattr("worker.broker.connect.REDIS_TIMEOUT", PATIENCE)

    async def opened(main: Main) -> None:
        async with _connected(proxy.url) as dedicated:
            await main(dedicated)

    def run(main: Main) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            with asyncio.Runner(loop_factory=request.param) as runner:
                runner.run(opened(main))
            gc.collect()

    return run


@asynccontextmanager
async def _connected(url: str) -> AsyncIterator[DedicatedConnection]:
    async with open_redis(Settings(redis_url=url, concurrency=4)) as client:
        dedicated = DedicatedConnection(client)
        yield dedicated
        await dedicated.close()
        # Nothing leaks out of the pool, whatever came before.
        assert not client.connection_pool._in_use_connections


async def _eventually(condition: Callable[[], Any]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - what is waited for happens elsewhere
            await asyncio.sleep(0.01)


def _is(r: redis.Redis, n: str) -> bool:
    return bool(r.get("n") == n)


# -- as it should be ----------------------------------------------------------------------------


def test_a_command_is_written_before_its_reply_is_read(run: Run, r: redis.Redis) -> None:
    async def main(dedicated: DedicatedConnection) -> None:
        for n in range(3):
            reply = await dedicated.send("INCR", "n")
            await _eventually(partial(_is, r, f"{n + 1}"))
            assert await reply == n + 1

    run(main)


def test_one_connection_serves_all_commands_that_come_one_at_a_time(
    run: Run, proxy: RedisProxy
) -> None:
    async def main(dedicated: DedicatedConnection) -> None:
        for n in range(50):
            assert await dedicated.execute_command("ECHO", f"{n}") == b"%d" % n
            assert await (await dedicated.send("ECHO", "x")) == b"x"
        assert proxy.connections == 1

    run(main)


@pytest.mark.parametrize("size", [1, 5_999, 6_001, 3_000_000])
def test_arguments_of_any_size_and_kind_arrive_as_they_are(run: Run, size: int) -> None:
    value = bytes(range(256)) * (size // 256 + 1)

    async def main(dedicated: DedicatedConnection) -> None:
        assert await dedicated.execute_command("SET", "key", value) in (b"OK", True)
        assert await dedicated.execute_command("GET", "key") == value
        assert await dedicated.execute_command("ECHO", 12) == b"12"
        assert await dedicated.execute_command("ECHO", 1.5) == b"1.5"
        assert await dedicated.execute_command("ECHO", "ü") == "ü".encode()

    run(main)


def test_commands_that_come_meanwhile_go_through_the_pool(run: Run, proxy: RedisProxy) -> None:
    async def main(dedicated: DedicatedConnection) -> None:
        first = await dedicated.send("ECHO", "first")
        second = await dedicated.send("ECHO", "second")
        assert proxy.connections == 1  # the second is written when its reply is awaited
        third = dedicated.execute_command("ECHO", "third")
        assert list(await asyncio.gather(second, third)) == [b"second", b"third"]
        assert await first == b"first"
        assert await dedicated.execute_command("ECHO", "fourth") == b"fourth"

    run(main)


def test_many_at_once_all_get_their_own_reply(run: Run) -> None:
    async def main(dedicated: DedicatedConnection) -> None:
        async def one(n: int) -> bool:
            reply = await dedicated.send("ECHO", f"{n}")
            await asyncio.sleep(0)
            return bool(await reply == b"%d" % n)

        assert all(await asyncio.gather(*(one(n) for n in range(4))))

    run(main)


def test_an_error_reply_leaves_the_connection_open(run: Run, proxy: RedisProxy) -> None:
    async def main(dedicated: DedicatedConnection) -> None:
        with pytest.raises(ResponseError, match="unknown command"):
            await dedicated.execute_command("NONSENSE")
        reply = await dedicated.send("EVALSHA", "0" * 40, 0)
        with pytest.raises(NoScriptError):
            await reply
        assert await dedicated.execute_command("ECHO", "x") == b"x"
        assert proxy.connections == 1

    run(main)


# -- what can go wrong --------------------------------------------------------------------------


def test_a_reply_that_is_never_read_is_not_taken_for_the_next(run: Run, r: redis.Redis) -> None:
    async def main(dedicated: DedicatedConnection) -> None:
        for n in range(3):
            await dedicated.send("INCR", "n")  # and forgotten
            await _eventually(partial(_is, r, f"{n + 1}"))
            assert await dedicated.execute_command("ECHO", f"{n}") == b"%d" % n

    run(main)


def test_a_reply_that_is_never_read_does_not_keep_its_connection_at_the_end(run: Run) -> None:
    async def main(dedicated: DedicatedConnection) -> None:
        kept = await dedicated.send("ECHO", "x")
        await dedicated.close()
        with pytest.raises(BROKER_DOWN):
            await kept

    run(main)


def test_a_cancelled_read_is_not_taken_for_the_next(run: Run, proxy: RedisProxy) -> None:
    async def main(dedicated: DedicatedConnection) -> None:
        for n in range(3):
            reply = await dedicated.send("BLPOP", "never", 0.1)
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await reply
            assert await dedicated.execute_command("ECHO", f"{n}") == b"%d" % n

    run(main)


def test_a_task_cancelled_between_write_and_read_leaves_nothing(run: Run) -> None:
    async def main(dedicated: DedicatedConnection) -> None:
        written = asyncio.Event()

        async def between() -> None:
            reply = await dedicated.send("ECHO", "lost")
            written.set()
            await asyncio.sleep(60)
            await reply

        task = asyncio.create_task(between())
        await written.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        del task
        assert await dedicated.execute_command("ECHO", "next") == b"next"

    run(main)


def test_a_lost_reply_is_an_outage_and_the_command_is_not_repeated(
    run: Run, proxy: RedisProxy, r: redis.Redis
) -> None:
    async def main(dedicated: DedicatedConnection) -> None:
        for n in range(3):
            lost = proxy.lose_next_reply(b"INCR")
            reply = await dedicated.send("INCR", "n")
            with pytest.raises(BROKER_DOWN):
                await reply
            assert lost.is_set()
            assert r.get("n") == f"{n + 1}"
            assert await dedicated.execute_command("ECHO", f"{n}") == b"%d" % n

    run(main)


def test_a_reply_that_does_not_come_in_time_is_an_outage(run: Run, proxy: RedisProxy) -> None:
    async def main(dedicated: DedicatedConnection) -> None:
        assert await dedicated.execute_command("ECHO", "x") == b"x"
        proxy.pause(direction="replies")
        reply = await dedicated.send("ECHO", "late")
        with pytest.raises(RedisTimeoutError):
            await reply
        proxy.pause(False)
        assert await dedicated.execute_command("ECHO", "next") == b"next"

    run(main)


@pytest.mark.parametrize("when", ["idle", "unread", "reading"])
def test_a_reset_is_an_outage_and_the_next_command_reconnects(
    run: Run, proxy: RedisProxy, when: str
) -> None:
    async def main(dedicated: DedicatedConnection) -> None:
        for n in range(5):
            assert await dedicated.execute_command("ECHO", f"{n}") == b"%d" % n
            if when == "idle":
                proxy.reset_all()
                await _eventually(lambda: not dedicated._connection.is_open)
                continue
            proxy.pause(direction="replies")
            reply = await dedicated.send("ECHO", "lost")
            reading = asyncio.ensure_future(reply) if when == "reading" else None
            await asyncio.sleep(0)
            proxy.reset_all()
            with pytest.raises(RedisConnectionError):
                await (reading or reply)
            proxy.pause(False)

    run(main)


def test_a_write_to_a_connection_that_has_just_been_reset_is_an_outage(
    run: Run, proxy: RedisProxy
) -> None:
    """Before this side has noticed: the loops raise different errors, or none until the read."""

    async def main(dedicated: DedicatedConnection) -> None:
        for _ in range(20):
            await _until_it_answers(dedicated)
            proxy.reset_all()
            with suppress(*BROKER_DOWN):
                await (await dedicated.send("SET", "key", b"x" * 5_000_000))

    run(main)


async def _until_it_answers(dedicated: DedicatedConnection) -> None:
    async with asyncio.timeout(10):
        while True:
            try:
                assert await dedicated.execute_command("ECHO", "x") == b"x"
            except RedisError:
                continue
            return


def test_a_server_that_is_away_is_an_outage_until_it_is_back(run: Run, proxy: RedisProxy) -> None:
    async def main(dedicated: DedicatedConnection) -> None:
        proxy.refuse()
        for _ in range(3):
            with pytest.raises(BROKER_DOWN):
                await dedicated.send("ECHO", "x")
        proxy.refuse(False)
        assert await dedicated.execute_command("ECHO", "x") == b"x"

    run(main)


def test_a_write_that_is_cancelled_half_way_costs_the_connection(
    run: Run, proxy: RedisProxy
) -> None:
    async def main(dedicated: DedicatedConnection) -> None:
        assert await dedicated.execute_command("ECHO", "x") == b"x"
        # More than the socket takes at once.
        task = asyncio.ensure_future(dedicated.send("SET", "key", b"x" * 50_000_000))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert await dedicated.execute_command("ECHO", "next") == b"next"
        assert await dedicated.execute_command("EXISTS", "key") == 0

    run(main)


def test_a_server_that_has_become_a_replica_is_asked_for_again(
    run: Run, proxy: RedisProxy, r: redis.Redis
) -> None:
    async def main(dedicated: DedicatedConnection) -> None:
        assert await dedicated.execute_command("ECHO", "x") == b"x"
        r.replicaof("127.0.0.1", "1")
        try:
            with pytest.raises(ReadOnlyError):
                await dedicated.execute_command("SET", "key", "x")
        finally:
            r.replicaof("NO", "ONE")
        assert not dedicated._connection.is_open
        assert await dedicated.execute_command("ECHO", "next") == b"next"

    run(main)


# -- exchanges ----------------------------------------------------------------------------------


def test_an_exchange_is_done_once_its_reply_is_read_or_not(
    run: Run, proxy: RedisProxy, r: redis.Redis
) -> None:
    async def main(dedicated: DedicatedConnection) -> None:
        queue = Queue(dedicated._redis, "jobs", "w", RedisClock())
        await queue.register(60)
        await queue.exchange([], 0)  # or Redis may not have the script, and only say so
        r.lpush("jobs", *(f'{{"id":"{n}","handler":"h"}}' for n in range(4)))
        reply = await queue.send([], 1)
        await _eventually(lambda: r.llen("{jobs}:active:w") == 1)
        (job,) = (await reply).jobs
        await queue.send([requeue(job)], 2)  # and its reply is never read
        await _eventually(lambda: r.llen("{jobs}:active:w") == 2)
        assert (await queue.exchange([requeue(job)], 0)).held == 1
        await queue._exchanging.close()

    run(main)


@pytest.mark.parametrize("call", ["send", "exchange", "recover", "register"])
def test_a_script_that_redis_does_not_have_is_sent_whole(
    run: Run, r: redis.Redis, call: str
) -> None:
    async def main(dedicated: DedicatedConnection) -> None:
        queue = Queue(dedicated._redis, "jobs", "w", RedisClock())
        await queue.register(60)
        r.lpush("jobs", '{"id":"1","handler":"h"}')
        for _ in range(2):
            r.script_flush()
            match call:
                case "send":
                    await (await queue.send([], 1))
                case "exchange":
                    await queue.exchange([], 1)
                case "recover":
                    await queue.recover("nobody", [])
                case "register":
                    await queue.register(60)
            name = call.replace("send", "exchange").replace("recover", "exchange")
            assert r.script_exists(getattr(scripts, name)._digest) == [True]
        assert r.llen("jobs") + r.llen("{jobs}:active:w") == 1
        await queue._exchanging.close()

    run(main)
