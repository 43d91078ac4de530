"""Whatever answers HELLO, looking at it ends in a problem or in none, never in another error."""

import anyio
import pytest

from tests.support.other_servers import RedisLike, hello
from worker import Settings
from worker.broker.connect import open_redis
from worker.broker.explain import Problem
from worker.broker.trial import look_at_redis

pytestmark = pytest.mark.once


def look(reply: bytes, query: str = "") -> Problem | None:
    """What is found at a server that answers HELLO like this, and all else by OK."""

    def answer(words: list[bytes]) -> bytes:
        return reply if words[0].upper() == b"HELLO" else b"+OK\r\n"

    async def run(url: str) -> Problem | None:
        settings = Settings(redis_url=url)
        async with open_redis(settings) as redis:
            with anyio.fail_after(20):
                return await look_at_redis(redis, settings)

    with RedisLike(answer) as server:
        return anyio.run(run, server.url + query)


@pytest.mark.parametrize("query", ["", "?protocol=2"])
@pytest.mark.parametrize(
    "reply",
    [
        b"+OK\r\n",
        b"_\r\n",
        b"$-1\r\n",
        b":1\r\n",
        b"*0\r\n",
        b"*3\r\n$7\r\nversion\r\n:7\r\n$4\r\nmode\r\n",
        b"*2\r\n*1\r\n+a\r\n+b\r\n",
        b"#t\r\n",
        hello(version=""),
        hello(version="unstable"),
        hello(version="7"),
        hello(version="255.255.255", server="keydb"),
        hello(mode="", role=""),
        hello(role="master", mode="cluster"),
    ],
)
def test_an_answer_that_says_nothing_bad(reply: bytes, query: str) -> None:
    assert look(reply, query) is None


@pytest.mark.parametrize(
    ("facts", "said", "lasts"),
    [
        ({"mode": "sentinel"}, "is a Sentinel", True),
        ({"version": "6.2.14"}, "is too old (6.2.14)", True),
        ({"role": "replica"}, "is a replica", False),
        ({"role": "slave"}, "is a replica", False),
    ],
)
def test_an_answer_that_says_what_is_wrong(facts: dict[str, str], said: str, lasts: bool) -> None:
    problem = look(hello(**facts))
    assert problem is not None
    assert said in problem.text
    assert problem.lasts == lasts
