"""The table over HTTP: what is read again, and large replies."""

import json
import time
from typing import Any

import anyio
import anyio.lowlevel
import pytest

from tests.support.dynamo_proxy import DynamoProxy
from tests.support.table import Table
from worker.config.client import open_dynamo
from worker.config.reply import batch_reply
from worker.config.table import ConfigTable
from worker.jobs.stored_attributes import StoredAttributes
from worker.settings import Settings

pytestmark = pytest.mark.once


@pytest.fixture(autouse=True)
def proxy(dynamo_proxy: DynamoProxy, monkeypatch: pytest.MonkeyPatch) -> DynamoProxy:
    for name, value in {
        "AWS_ENDPOINT_URL_DYNAMODB": dynamo_proxy.url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        monkeypatch.setenv(name, value)
    return dynamo_proxy


def test_an_item_that_is_the_same_is_not_decoded_again(table: Table) -> None:
    table.put("same", n=1)
    table.put("changed", n=1)

    async def main() -> None:
        async with open_dynamo(Settings()) as (_, client):
            config = ConfigTable(client, "config", "key")
            keys = ["same", "changed", "absent"]
            first = await config.read(keys)
            table.put("changed", n=2)
            known = {key: found for key, found in first.items() if found is not None}
            second = await config.read(keys, known=known)
            assert second["same"] is first["same"]
            assert second["changed"] is not first["changed"]
            assert second["changed"] is not None
            assert dict(second["changed"]) == {"key": "changed", "n": 2}
            assert first["absent"] is second["absent"] is None

    anyio.run(main)


def test_calls_of_handlers_on_the_same_client_are_parsed_as_ever(table: Table) -> None:
    table.put("k", n=1, raw=b"x")

    async def main() -> None:
        async with open_dynamo(Settings()) as (_, client):
            config = ConfigTable(client, "config", "key")
            key: Any = {"key": {"S": "k"}}
            async with anyio.create_task_group() as group:
                for _ in range(10):
                    group.start_soon(config.read, ["k"])
                    reply = await client.get_item(TableName="config", Key=key)
                    assert reply["Item"] == {
                        "key": {"S": "k"},
                        "n": {"N": "1"},
                        "raw": {"B": b"x"},
                    }

    anyio.run(main)


def large_reply(keys: list[str]) -> bytes:
    values = [{"N": str(n)} for n in range(7_000)]
    items = [{"key": {"S": key}, "values": {"L": values}} for key in keys]
    return json.dumps({"Responses": {"config": items}, "UnprocessedKeys": {}}).encode()


def test_while_a_large_reply_is_decoded_the_loop_goes_on(proxy: DynamoProxy) -> None:
    keys = [f"{n}" for n in range(30)]
    body = large_reply(keys)
    began = time.perf_counter()
    batch_reply(body, "config", lambda raw, text: StoredAttributes(text, raw))
    in_one_go = time.perf_counter() - began

    async def main() -> float:
        longest, running = 0.0, True

        async def tick() -> None:
            nonlocal longest
            last = time.perf_counter()
            while running:
                await anyio.lowlevel.checkpoint()
                now = time.perf_counter()
                longest = max(longest, now - last)
                last = now

        async with open_dynamo(Settings()) as (_, client), anyio.create_task_group() as group:
            group.start_soon(tick)
            found = await ConfigTable(client, "config", "key").read(keys)
            running = False
        assert all(found.values())
        return longest

    with proxy.answering(lambda *_: (200, body)):
        assert anyio.run(main) < in_one_go / 2
