"""Whatever one item holds harms that key alone, in workers and in commands."""

import json
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.config.fakes import nested
from tests.support.commands import Command
from tests.support.dynamo_proxy import DynamoProxy
from tests.support.producer import Producer
from tests.support.worker_process import Shared, StartWorker

pytestmark = pytest.mark.once

APP = "tests.apps.config:app"
SECRET = "hunter2"

# What each item holds beside its key, and where its trouble is.
BAD: dict[str, tuple[Any, str]] = {
    "infinity": ({"limit": {"N": "Infinity"}}, "limit: "),
    "nan": ({"limits": {"M": {"rate": {"N": "NaN"}}}}, "limits.rate: "),
    "number-as-number": ({"limit": {"N": 5}}, "limit: "),
    "too-large": ({"limit": {"N": "1e126"}}, "limit: "),
    "no-number": ({"limit": {"N": SECRET}}, "limit: "),
    "surrogate": ({"url": {"S": f"{SECRET}\ud800"}}, "url: "),
    "surrogate-in-a-set": ({"tags": {"SS": ["a", "\udfff"]}}, "tags: "),
    "surrogate-in-a-name": ({"x\ud800": {"S": "x"}}, "x\\ud800: "),
    "infinity-in-a-set": ({"sizes": {"NS": ["1", "Infinity"]}}, "sizes: "),
    "no-base64": ({"logo": {"B": "!"}}, "logo: "),
    "unknown-type": ({"url": {"X": SECRET}}, "url: "),
    "two-types": ({"url": {"S": SECRET, "N": "1"}}, "url: "),
    "no-type": ({"url": {}}, "url: "),
    "null": ({"url": None}, "url: "),
    "a-text": ({"url": SECRET}, "url: "),
    "a-list": ({"url": [SECRET]}, "url: "),
    "map-of-texts": ({"limits": {"M": {"rate": SECRET}}}, "limits.rate: "),
    "map-as-list": ({"limits": {"M": [SECRET]}}, "limits: "),
    "list-as-map": ({"list": {"L": {"0": {"S": SECRET}}}}, "list: "),
    "bool-as-text": ({"on": {"BOOL": "true"}}, "on: "),
    "policy-of-another-type": ({"policy": {"M": {"timeout": {"N": "soon"}}}}, "policy.timeout: "),
    "deep": ({"limits": nested(150)}, "limits."),
    "deeper": ({"limits": nested(300, "M")}, "limits."),
}
GOOD: dict[str, tuple[Any, Any]] = {
    "1e100": ({"limit": {"N": "1e100"}}, {"limit": 10**100}),
    "1e100-in-full": ({"limit": {"N": "1" + "0" * 100}}, {"limit": 10**100}),
    "38-digits": ({"limit": {"N": "9" * 38}}, {"limit": int("9" * 38)}),
    "nested": ({"list": nested(30)}, None),
    "plain": ({"url": {"S": "u"}}, {"url": "u"}),
    "nothing-else": ({}, {}),
}
# Nested so deeply that no JSON parser of Python's takes the reply as a whole.
DEEPEST = '{"L":[' * 5_000 + '{"N":"1"}' + "]}" * 5_000


@pytest.fixture
def odd_table(dynamo_proxy: DynamoProxy) -> Iterator[DynamoProxy]:
    """A table that holds all these items."""
    items = {
        key: json.dumps({"key": {"S": key}, **attributes})
        for key, (attributes, _) in {**BAD, **GOOD}.items()
    }
    items["deepest"] = f'{{"key":{{"S":"deepest"}},"limits":{DEEPEST}}}'

    def respond(target: str, asked: dict[str, Any]) -> tuple[int, bytes] | None:
        if target == "BatchGetItem":
            keys = [key["key"]["S"] for key in asked["RequestItems"]["config"]["Keys"]]
            found = ",".join(items[key] for key in keys if key in items)
            return 200, f'{{"Responses":{{"config":[{found}]}},"UnprocessedKeys":{{}}}}'.encode()
        if target == "GetItem":
            return 200, f'{{"Item":{items[asked["Key"]["key"]["S"]]}}}'.encode()
        if target == "Scan":
            return 200, f'{{"Items":[{",".join(items.values())}]}}'.encode()
        return None

    with dynamo_proxy.answering(respond):
        yield dynamo_proxy


def test_jobs_of_bad_items_are_buried_and_all_others_of_the_same_batch_run(
    start_worker: StartWorker, odd_table: DynamoProxy, producer: Producer
) -> None:
    names = [*BAD, *GOOD, "deepest"]
    env = {"AWS_ENDPOINT_URL_DYNAMODB": odd_table.url}
    worker = start_worker(app=APP, env=env, config_ttl=60, config_invalid="bury")
    odd_table.clear()
    for handler in ("show", "whole", "typed"):
        producer.push_raw(
            *(
                json.dumps(
                    {
                        "id": f"{handler}-{name}",
                        "handler": handler,
                        "payload": name,
                        **({"config": name} if handler != "whole" else {}),
                    }
                )
                for name in names
            )
        )
    for name in names:
        result = producer.result(f"show-{name}")
        if name in GOOD:
            assert result["status"] == "succeeded", (name, result)
            assert GOOD[name][1] in (None, result["result"])
            assert result["config"]["key"] == name
            continue
        where = BAD[name][1] if name in BAD else "limits"
        for handler in ("show", "typed"):
            entry = producer.dead_entry(f"{handler}-{name}")
            assert entry["reason"] == "config_invalid", (name, entry)
            assert entry["error"]["message"].startswith(f"config {name!r}: {where}"), entry
            assert entry["attempts"] == 0
        error = producer.result(f"whole-{name}")["error"]
        assert error["type"] == "ConfigUnavailable"
        assert f"config {name!r} can't be used: {where}" in error["message"]
        assert SECRET not in json.dumps([result, entry["error"], error])
    assert SECRET not in worker.log
    assert "Config can't be read" not in worker.log
    # The jobs came in a few claims, and all that one claim brought was read together.
    assert odd_table.count("BatchGetItem") <= 6


@pytest.mark.parametrize("key", ["surrogate", "infinity-in-a-set", "unknown-type", "deepest"])
def test_get_says_in_one_line_what_is_wrong_with_an_item(
    command: Command, odd_table: DynamoProxy, key: str
) -> None:
    done = command("config", "get", key, env={"AWS_ENDPOINT_URL_DYNAMODB": odd_table.url})
    where = BAD[key][1] if key in BAD else "limits"
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"worker: the item {key!r} can't be used, nor shown: {where}")
    assert done.stderr.count("\n") == 1
    assert SECRET not in done.stderr


@pytest.mark.parametrize("key", ["1e100", "1e100-in-full", "38-digits"])
def test_get_prints_numbers_of_any_size(command: Command, odd_table: DynamoProxy, key: str) -> None:
    done = command("config", "get", key, env={"AWS_ENDPOINT_URL_DYNAMODB": odd_table.url})
    assert (done.exit_code, done.stderr) == (0, "")
    shown = json.loads(done.stdout, parse_float=Decimal)
    assert shown.pop("key") == key
    assert GOOD[key][1] in (None, shown)


def test_list_prints_what_can_be_shown_and_a_line_for_each_other(
    command: Command, odd_table: DynamoProxy
) -> None:
    done = command("config", "list", env={"AWS_ENDPOINT_URL_DYNAMODB": odd_table.url})
    assert done.exit_code == 1
    assert {json.loads(line)["key"] for line in done.stdout.splitlines()} == set(GOOD)
    assert done.stderr.count("can't be used, nor shown") == len(BAD) + 1
    assert done.stderr.count("\n") == len(BAD) + 1
    assert SECRET not in done.stderr


def test_what_put_writes_is_what_workers_and_commands_read(
    command: Command, shared: Shared
) -> None:
    def on_table(*arguments: str) -> Any:
        return command(*arguments, env=shared.environment)

    assert on_table("config", "put", "huge", '{"n": 1e100, "tiny": 1e-130}').exit_code == 0
    assert shared.producer.run("show", config="huge")["result"] == {"n": 10**100, "tiny": 1e-130}
    assert json.loads(on_table("config", "get", "huge").stdout)["n"] == 1e100
    assert '"huge"' in on_table("config", "list").stdout


@pytest.mark.parametrize(
    "item",
    [
        '{"a": "\\ud800"}',
        '{"a\\ud800": 1}',
        *('{"a": ' + "[" * levels + "]" * levels + "}" for levels in (101, 400)),
    ],
)
def test_put_refuses_what_workers_could_not_read(
    command: Command, shared: Shared, item: str
) -> None:
    done = command("config", "put", "odd", item, env=shared.environment)
    assert done.exit_code == 2
    assert "Traceback" not in done.stderr
    assert command("config", "get", "odd", env=shared.environment).exit_code == 3
