"""`client.enqueue(resize, Image(...))`: the handler itself in place of its name."""

import json
from typing import Any

import pytest
import redis

from tests.clients.apps import Image, crop, len_of, mailer, resize, tidy, unregistered
from tests.support.servers import RedisServer
from worker import App, Client, HandlerError, Malformed, Settings

pytestmark = [pytest.mark.anyio, pytest.mark.once]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def settings(redis_server: RedisServer) -> Settings:
    return Settings(redis_url=redis_server.url)


def pushed(r: redis.Redis) -> list[dict[str, Any]]:
    return [json.loads(raw) for raw in reversed(r.lrange("jobs", 0, -1))]


async def test_a_function_is_pushed_under_the_name_of_its_handler(
    settings: Settings, r: redis.Redis
) -> None:
    async with Client(settings) as client:
        await client.enqueue(resize, Image(url="a"), config="acme", id="1")
        await client.enqueue(crop, Image(url="b", width=2))
        await client.enqueue(tidy)
        await client.enqueue(mailer.send, "hello")
        await client.enqueue("no_such_handler", 3)
    jobs = pushed(r)
    assert [(job["handler"], job.get("payload")) for job in jobs] == [
        ("resize", {"url": "a", "width": 100}),
        ("images.crop", {"url": "b", "width": 2}),
        ("tidy", None),
        ("mail", "hello"),
        ("no_such_handler", 3),
    ]
    assert jobs[0]["config"] == "acme"
    assert jobs[0]["id"] == "1"


async def test_many_jobs_take_functions_and_names(settings: Settings, r: redis.Redis) -> None:
    async with Client(settings) as client:
        await client.enqueue_many([{"handler": crop, "payload": 1}, {"handler": "x"}])
    assert [job["handler"] for job in pushed(r)] == ["images.crop", "x"]


async def test_a_function_that_no_app_registered_is_refused(
    settings: Settings, r: redis.Redis
) -> None:
    async with Client(settings) as client:
        with pytest.raises(HandlerError, match=r"unregistered .* is no handler: register it with"):
            await client.enqueue(unregistered, Image(url="a"))
        with pytest.raises(Malformed, match="handler must be a string"):
            await client.enqueue(3)  # type: ignore[call-overload]
    assert pushed(r) == []


async def test_a_function_with_two_names_is_refused(settings: Settings, r: redis.Redis) -> None:
    async with Client(settings) as client:
        with pytest.raises(HandlerError, match="registered as 'once' and as 'twice': say which"):
            await client.enqueue(len_of, "a")
    assert pushed(r) == []


async def test_a_function_that_two_apps_have_under_one_name_is_no_question(
    settings: Settings, r: redis.Redis
) -> None:
    def both(payload: int) -> int:
        return payload

    apps = App(), App()
    for app in apps:
        app.handler(both)
    async with Client(settings) as client:
        await client.enqueue(both, 1)
    assert pushed(r)[0]["handler"] == "both"
