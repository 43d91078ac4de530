"""Waiting for results while connections are lost, or run out."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
import redis
from redis.exceptions import MaxConnectionsError, ResponseError

from tests.support.redis_proxy import RedisProxy
from tests.support.servers import RedisServer
from worker import Settings
from worker.broker.connect import open_redis, open_worker_redis
from worker.broker.dedicated import DedicatedConnection
from worker.broker.errors import BROKER_DOWN
from worker.broker.result_waiter import ResultWaiter
from worker.runtime.task_group import background

KEY = "{jobs}:result:1"


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[RedisProxy]:
    with RedisProxy(redis_server.port) as proxy:
        yield proxy


@asynccontextmanager
async def _opened(url: str, concurrency: int = 10) -> AsyncIterator[ResultWaiter]:
    async with open_redis(Settings(redis_url=url, concurrency=concurrency)) as client:
        dedicated = DedicatedConnection(client)
        async with background() as group:
            waiter = ResultWaiter(client, dedicated, group)
            yield waiter
            await waiter.close()
        await dedicated.close()
        assert not client.connection_pool._in_use_connections


async def _until(condition: Callable[[], Any]) -> None:
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - what is waited for happens elsewhere
            await anyio.sleep(0.01)


def _record(r: redis.Redis, value: str, key: str = KEY) -> None:
    """As a worker does."""
    with r.pipeline(transaction=True) as pipe:
        pipe.set(key, value)
        pipe.publish(key, value)
        pipe.execute()


def _listening(r: redis.Redis, key: str = KEY) -> bool:
    return bool(r.pubsub_numsub(key)[0][1])


def test_a_value_that_is_there_and_one_that_comes_are_both_returned(
    proxy: RedisProxy, r: redis.Redis
) -> None:
    async def main() -> None:
        async with _opened(proxy.url) as waiter:
            _record(r, "first")
            assert await waiter.wait(KEY) == b"first"
            task = asyncio.create_task(waiter.wait(KEY, after=b"first"))
            await _until(lambda: _listening(r))
            _record(r, "second")
            assert await task == b"second"

    asyncio.run(main())


def test_all_calls_of_a_key_get_its_value_and_the_channel_is_left(
    proxy: RedisProxy, r: redis.Redis
) -> None:
    async def main() -> None:
        async with _opened(proxy.url) as waiter:
            tasks = [asyncio.create_task(waiter.wait(KEY)) for _ in range(5)]
            other = asyncio.create_task(waiter.wait("other"))
            await _until(lambda: _listening(r) and _listening(r, "other"))
            _record(r, "value")
            assert await asyncio.gather(*tasks) == [b"value"] * 5
            await _until(lambda: not _listening(r))
            assert _listening(r, "other")
            _record(r, "else", "other")
            assert await other == b"else"

    asyncio.run(main())


def test_calls_outlive_a_server_that_goes_away_and_find_what_they_missed(
    proxy: RedisProxy, r: redis.Redis
) -> None:
    async def main() -> None:
        async with _opened(proxy.url) as waiter:
            keys = [f"key-{n}" for n in range(5)]
            tasks = [asyncio.create_task(waiter.wait(key)) for key in keys]
            await _until(lambda: all(_listening(r, key) for key in keys))
            proxy.refuse()
            proxy.reset_all()
            await _until(lambda: not any(_listening(r, key) for key in keys))
            for key in keys[:2]:
                _record(r, "while away", key)
            proxy.refuse(False)
            assert await asyncio.gather(*tasks[:2]) == [b"while away"] * 2
            await _until(lambda: all(_listening(r, key) for key in keys[2:]))
            for key in keys[2:]:
                _record(r, "since", key)
            assert await asyncio.gather(*tasks[2:]) == [b"since"] * 3

    asyncio.run(main())


def test_a_look_whose_reply_is_lost_is_repeated_though_the_subscription_lives(
    proxy: RedisProxy, r: redis.Redis
) -> None:
    r.set(KEY, "published to nobody")

    async def main() -> None:
        async with _opened(proxy.url) as waiter:
            lost = proxy.lose_next_reply(b"GET")
            with anyio.fail_after(5):
                assert await waiter.wait(KEY) == b"published to nobody"
            assert lost.is_set()

    asyncio.run(main())


def test_a_message_that_comes_during_a_look_is_the_result(
    proxy: RedisProxy, r: redis.Redis
) -> None:
    async def main() -> None:
        async with _opened(proxy.url) as waiter:
            held = proxy.hold_next_request(b"GET")
            task = asyncio.create_task(waiter.wait(KEY))
            await _until(held.done.is_set)
            r.publish(KEY, "published")  # and no longer stored
            proxy.release(held)
            with anyio.fail_after(5):
                assert await task == b"published"

    asyncio.run(main())


def test_a_server_that_is_away_at_first_is_an_error_at_once(proxy: RedisProxy) -> None:
    async def main() -> None:
        async with _opened(proxy.url) as waiter:
            proxy.refuse()
            with pytest.raises(BROKER_DOWN):
                await waiter.wait(KEY)
            proxy.refuse(False)

    asyncio.run(main())


def test_what_no_second_look_changes_is_an_error(proxy: RedisProxy, r: redis.Redis) -> None:
    r.rpush(KEY, "no string")

    async def main() -> None:
        async with _opened(proxy.url) as waiter:
            with pytest.raises(ResponseError, match="WRONGTYPE"):
                await waiter.wait(KEY)

    asyncio.run(main())


def test_a_look_that_finds_no_connection_is_an_error(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As in a handler whose neighbours keep all connections of the shared client."""
    monkeypatch.setattr("worker.broker.connect.REDIS_TIMEOUT", 0.2)

    async def main() -> None:
        settings = Settings(redis_url=redis_server.url, concurrency=1)
        async with open_worker_redis(settings) as (shared, _), background() as group:
            waiter = ResultWaiter(shared, shared, group)
            pool: Any = shared.connection_pool
            kept = [await pool.get_connection() for _ in range(4)]
            with pytest.raises(MaxConnectionsError):
                await waiter.wait(KEY)
            for connection in kept:
                await pool.release(connection)
            await waiter.close()

    asyncio.run(main())


def test_a_cancelled_wait_leaves_no_subscription(proxy: RedisProxy, r: redis.Redis) -> None:
    async def main() -> None:
        async with _opened(proxy.url) as waiter:
            for _ in range(3):
                with pytest.raises(TimeoutError), anyio.fail_after(0.05):
                    await waiter.wait(KEY)
            await _until(lambda: not _listening(r))
            assert not waiter._calls

    asyncio.run(main())
