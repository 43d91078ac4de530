"""What is raised inside the contexts comes out as it is, so that callers can catch it."""

import anyio
import pytest

from tests.support.servers import RedisServer
from worker import Client, Malformed, Settings, open_connections

pytestmark = pytest.mark.once


@pytest.fixture
def settings(redis_server: RedisServer) -> Settings:
    return Settings(redis_url=redis_server.url)


def test_a_clients_time_out_is_caught_outside_its_context(settings: Settings) -> None:
    async def main() -> None:
        async with Client(settings) as client:
            await client.result("nobody", timeout=0.05)

    with pytest.raises(TimeoutError, match="nobody"):
        anyio.run(main)


def test_a_clients_malformed_job_is_caught_outside_its_context(settings: Settings) -> None:
    async def main() -> None:
        async with Client(settings) as client:
            await client.enqueue("")

    with pytest.raises(Malformed, match="handler"):
        anyio.run(main)


def test_an_error_within_open_connections_is_caught_outside_of_it(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_REGION", "us-east-1")

    async def main() -> None:
        async with open_connections(settings):
            raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        anyio.run(main)
