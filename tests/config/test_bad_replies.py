"""Replies that are not DynamoDB's are an outage: logged once, and the worker goes on."""

import json
from collections.abc import Iterator
from contextlib import AsyncExitStack
from typing import Any

import anyio
import pytest

from tests.config.aws import AnswerServer, answering
from tests.config.fakes import each
from tests.config.test_reply import NOT_DYNAMO
from tests.support.commands import Command
from tests.support.dynamo_proxy import DynamoProxy
from tests.support.producer import Producer
from tests.support.table import Table
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker
from worker.config.client import open_dynamo
from worker.config.table import ConfigTable
from worker.errors import ConfigUnavailable
from worker.settings import Settings

pytestmark = pytest.mark.once

SECRET = "hunter2"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[AnswerServer]:
    with AnswerServer(lambda: (200, b"")).running() as server:
        for name, value in {
            "AWS_ENDPOINT_URL_DYNAMODB": server.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
        }.items():
            monkeypatch.setenv(name, value)
        yield server


def failures(server: AnswerServer, answers: list[tuple[int, bytes]]) -> list[ConfigUnavailable]:
    """What a read raises on each of these answers, all by one client."""

    async def main() -> list[ConfigUnavailable]:
        found = []
        async with AsyncExitStack() as stack:
            _, client = await stack.enter_async_context(open_dynamo(Settings()))
            table = ConfigTable(client, "config", "key")
            for status, body in answers:
                server.answer = answering(status, body)
                with pytest.raises(ConfigUnavailable) as raised:
                    await table.read(["k"])
                found.append(raised.value)
        return found

    return anyio.run(main)


def encoded(values: list[Any]) -> list[bytes]:
    return [json.dumps(value).encode() for value in values]


def good(*items: Any, **more: Any) -> dict[str, Any]:
    return {"Responses": {"config": list(items)}, "UnprocessedKeys": {}, **more}


BODIES = [
    *NOT_DYNAMO,
    *encoded(
        [
            *(good({"key": value}) for value in each(None, 5, "k", [], {}, {"N": "1"}, {"S": 5})),
            *(good({"key": {"S": key}}) for key in each("other", ["k"], {}, None, SECRET)),
            *(good({"a": {"S": "x"}}), good({"key": {"S": "k"}}, {"key": {"S": "other"}})),
            *(
                good(UnprocessedKeys={"config": value})
                for value in each(None, [], "x", 5, {}, {"Keys": None}, {"Keys": 5}, {"Keys": [5]})
            ),
            *(
                good(UnprocessedKeys={"config": {"Keys": [key]}})
                for key in each(None, {}, {"key": None}, {"key": {"S": "z"}}, {"key": {"S": []}})
            ),
        ]
    ),
]
ERRORS = [
    *(b"", b"<html>", b"\xff", b"hello", b"{"),
    *encoded(
        [
            *(None, [], [1], "x", 5, True, {}),
            *(
                {"__type": value}
                for value in each(5, None, ["a"], {"a": 1}, True, "", ":", "#", "a#b#c")
            ),
            *({"__type": value} for value in each("x" * 5_000, "x\n\x1b[1m", "\ud800")),
            *({"message": value} for value in each(5, None, [], {"a": 1}, "x" * 5_000)),
            {"__type": "ProvisionedThroughputExceededException", "ThrottlingReasons": 5},
            {"__type": "ConditionalCheckFailedException", "Item": {"a": {"S": [SECRET]}}},
        ]
    ),
]


def test_a_reply_that_is_not_dynamodbs_is_an_outage(server: AnswerServer) -> None:
    for error in failures(server, [(200, body) for body in BODIES]):
        assert not error.misconfigured
        assert str(error).startswith("what answers for table 'config' is not DynamoDB")
        assert SECRET not in str(error)


@pytest.mark.parametrize("status", [301, 302, 400, 403, 404, 407])
def test_an_error_of_any_shape_is_an_outage(server: AnswerServer, status: int) -> None:
    for error in failures(server, [(status, body) for body in ERRORS]):
        assert not error.misconfigured
        message = str(error)
        assert "'config'" in message
        assert len(message) < 500
        assert "\n" not in message
        assert SECRET not in message


def test_an_error_of_a_server_that_fails_is_an_outage(server: AnswerServer) -> None:
    bodies = [b"<html>", b"", b"[]", b"null", json.dumps({"__type": 5}).encode()]
    for error in failures(server, [(503, body) for body in bodies]):
        assert not error.misconfigured


def test_other_calls_name_what_is_not_dynamodbs_too(server: AnswerServer, command: Command) -> None:
    calls = (["get", "k"], ["list"], ["delete", "k"], ["init"])
    for status, body in [(200, b"[]"), (200, b"5"), (400, b"[]")]:
        server.answer = answering(status, body)
        for arguments in calls:
            done = command("config", *arguments, env={"AWS_ENDPOINT_URL_DYNAMODB": server.url})
            assert done.exit_code == 1, (arguments, body, done.output)
            assert done.stderr.startswith("worker: ")
            assert done.stderr.count("\n") == 1
            assert "is not DynamoDB" in done.stderr


def test_the_error_of_a_call_names_its_class_where_nothing_else_is_known(
    server: AnswerServer,
) -> None:
    (error,) = failures(server, [(400, b"[]")])
    assert str(error) == "what answers for table 'config' is not DynamoDB (AttributeError)"


def test_a_worker_lives_through_replies_of_any_shape(
    start_worker: StartWorker, dynamo_proxy: DynamoProxy, producer: Producer, table: Table
) -> None:
    answers = [(200, body) for body in BODIES] + [(400, body) for body in ERRORS]
    table.put("k", n=1)
    env = {"AWS_ENDPOINT_URL_DYNAMODB": dynamo_proxy.url}
    worker = start_worker(app="tests.apps.config:app", env=env, config_ttl=0)
    given = iter(answers)
    with dynamo_proxy.answering(lambda *_: next(given, (200, b"[]"))):
        ids = [producer.push("show", config="k") for _ in range(20)]
        wait_until(lambda: producer.r.zcard("{jobs}:scheduled") == len(ids))
        # Jobs are due again meanwhile, and each probe gets another answer.
        wait_until(lambda: dynamo_proxy.count("BatchGetItem") > 3)
        assert worker.exit_code is None
        assert worker.log.count("Config can't be read") == 1
    for job_id in ids:
        result = producer.result(job_id, timeout=60)
        assert (result["status"], result["result"]) == ("succeeded", {"n": 1})
    assert producer.dead() == []
    assert worker.log.count("can be read again") == 1
    assert "Traceback" not in worker.log
    assert worker.stop() == 0
