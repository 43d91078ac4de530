"""`worker config`: items of the table, exact to the digit, and the table itself."""

import json
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import Binary

from tests.support.commands import Command
from tests.support.table import Table

pytestmark = pytest.mark.once


def items(table: Table) -> dict[str, dict[str, Any]]:
    """All items of the table by their key, but the histories of others."""
    found = {str(item[table.key]): item for item in table.scan()}
    return {key: item for key, item in found.items() if not key.startswith("#worker-history#")}


# -- get -------------------------------------------------------------------------------------------


def test_get_prints_the_whole_item(command: Command, table: Table) -> None:
    table.put("acme", width=3, policy={"timeout": 5}, text='a "ü"\n', nothing=None, yes=True)
    done = command("config", "get", "acme")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.count("\n") == 1
    assert json.loads(done.stdout) == {
        "key": "acme",
        "width": 3,
        "policy": {"timeout": 5},
        "text": 'a "ü"\n',
        "nothing": None,
        "yes": True,
    }
    assert "ü" in done.stdout


def test_get_prints_every_digit_of_a_number(command: Command, table: Table) -> None:
    digits = "1234567890.1234567890123456789012345678"
    table.put("acme", long=Decimal(digits), whole=Decimal(10**37), tiny=Decimal("1e-100"))
    done = command("config", "get", "acme")
    exact = json.loads(done.stdout, parse_float=Decimal)
    assert f'"long":{digits}' in done.stdout
    assert exact["whole"] == 10**37
    assert isinstance(exact["whole"], int)
    assert exact["tiny"] == Decimal("1e-100")


def test_get_prints_sets_as_arrays_and_binary_in_base64(command: Command, table: Table) -> None:
    table.put(
        "acme", numbers={3, 1, 2}, words={"b", "a"}, raw=b"\x00\xff", raws={Binary(b"b"), b"a"}
    )
    item = json.loads(command("config", "get", "acme").stdout)
    assert item == {
        "key": "acme",
        "numbers": [1, 2, 3],
        "words": ["a", "b"],
        "raw": "AP8=",
        "raws": ["YQ==", "Yg=="],
    }


def test_get_of_no_item_has_exit_code_3(command: Command) -> None:
    done = command("config", "get", "nobody")
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr == "worker: there is no item 'nobody' in table 'config'\n"


# -- put -------------------------------------------------------------------------------------------


def test_put_writes_the_item_in_place_of_the_old_one(command: Command, table: Table) -> None:
    table.put("acme", old=1)
    done = command("config", "put", "acme", '{"width": 3, "list": [1, {"a": null}], "e": ""}')
    assert (done.exit_code, done.stderr) == (0, "")
    assert items(table) == {
        "acme": {"key": "acme", "width": 3, "list": [1, {"a": None}], "e": ""},
    }


def test_put_keeps_every_digit(command: Command, table: Table) -> None:
    digits = "1234567890.1234567890123456789012345678"
    command("config", "put", "acme", f'{{"long": {digits}, "tenth": 0.1, "big": {10**37}}}')
    item = items(table)["acme"]
    assert (item["long"], item["tenth"], item["big"]) == (
        Decimal(digits),
        Decimal("0.1"),
        10**37,
    )


def test_put_takes_the_item_from_stdin_and_get_gives_it_back(command: Command) -> None:
    text = '{"key":"acme","a":[1.50,{"b":"ü"}],"policy":{"timeout":3}}\n'
    assert command("config", "put", "acme", "-", stdin=text).exit_code == 0
    assert json.loads(command("config", "get", "acme").stdout) == json.loads(text)


@pytest.mark.parametrize(
    ("key", "item", "message"),
    [
        ("acme", "{", "not JSON"),
        ("acme", "[1]", "an item is a JSON object"),
        ("acme", '{"a": NaN}', "NaN is no JSON"),
        ("acme", "[" * 100_000, "not JSON"),
        ("acme", '{"key": "other"}', "its 'key' is another key than 'acme'"),
        ("acme", '{"a": 1e200}', "numbers of up to 38 digits"),
        ("acme", f'{{"a": {"1" * 39}}}', "numbers of up to 38 digits"),
        ("", "{}", "1 to 2,048 bytes"),
        ("ü" * 1025, "{}", "1 to 2,048 bytes"),
    ],
)
def test_put_refuses_what_is_no_item_and_writes_nothing(
    command: Command, table: Table, key: str, item: str, message: str
) -> None:
    done = command("config", "put", key, item)
    assert done.exit_code == 2
    assert message in done.stderr
    assert items(table) == {}


def test_put_refuses_a_policy_that_no_job_could_use_unless_forced(
    command: Command, table: Table
) -> None:
    item = '{"policy": {"timout": 3, "max_attempts": 0}}'
    done = command("config", "put", "acme", item)
    assert (done.exit_code, done.stdout) == (2, "")
    assert "policy.timout" in done.stderr
    assert "policy.max_attempts" in done.stderr
    assert "--force" in done.stderr
    assert done.stderr.count("\n") == 1
    assert table.scan() == []
    assert command("config", "put", "acme", item, "--force").exit_code == 0
    assert "acme" in items(table)


def test_put_says_why_dynamodb_refuses_an_item(command: Command) -> None:
    done = command("config", "put", "acme", "-", stdin=f'{{"a": "{"x" * 500_000}"}}')
    assert done.exit_code == 1
    assert "size" in done.stderr
    assert "Traceback" not in done.stderr


# -- list and delete -------------------------------------------------------------------------------


def test_list_prints_an_object_a_line(command: Command, table: Table) -> None:
    for n in range(30):
        table.put(f"tenant-{n}", width=n, text="x" * 50_000)  # more than one page of a scan
    done = command("config", "list")
    assert (done.exit_code, done.stderr) == (0, "")
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert {item["key"]: item["width"] for item in found} == {f"tenant-{n}": n for n in range(30)}


def test_list_of_an_empty_table_prints_nothing(command: Command) -> None:
    done = command("config", "list")
    assert (done.exit_code, done.stdout) == (0, "")


def test_delete_deletes_one_item(command: Command, table: Table) -> None:
    table.put("a")
    table.put("b")
    assert command("config", "delete", "a").exit_code == 0
    assert list(items(table)) == ["b"]


def test_delete_of_no_item_has_exit_code_3(command: Command) -> None:
    done = command("config", "delete", "nobody")
    assert done.exit_code == 3
    assert done.stderr == "worker: there is no item 'nobody' in table 'config'\n"


# -- the table -------------------------------------------------------------------------------------


def test_init_creates_the_table_paid_per_request(command: Command, table: Table) -> None:
    table.drop()
    done = command("config", "init")
    assert done.exit_code == 0
    assert "created" in done.stdout
    told = table.client.describe_table(TableName="config")["Table"]
    assert told["KeySchema"] == [{"AttributeName": "key", "KeyType": "HASH"}]
    assert told["AttributeDefinitions"] == [{"AttributeName": "key", "AttributeType": "S"}]
    assert told["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"


def test_init_names_the_table_and_its_key_as_the_settings_say(
    command: Command, table: Table
) -> None:
    assert command("config", "init", config_table="tenants", config_key="id").exit_code == 0
    told = table.client.describe_table(TableName="tenants")["Table"]
    assert told["KeySchema"] == [{"AttributeName": "id", "KeyType": "HASH"}]


def test_init_leaves_a_table_that_exists_as_it_is(command: Command, table: Table) -> None:
    table.put("acme")
    done = command("config", "init")
    assert (done.exit_code, done.stderr) == (0, "")
    assert "exists already" in done.stdout
    assert list(items(table)) == ["acme"]


def test_init_says_when_the_table_has_another_key(command: Command) -> None:
    done = command("config", "init", config_key="id")
    assert done.exit_code == 1
    assert "the partition key of table 'config' is 'key', not 'id'" in done.stderr
    assert "WORKER_CONFIG_KEY=key" in done.stderr


@pytest.mark.parametrize(
    "keys",
    [
        [("key", "N", "HASH")],
        [("key", "S", "HASH"), ("at", "N", "RANGE")],
    ],
)
def test_init_says_when_the_table_can_not_hold_config(
    command: Command, table: Table, keys: list[tuple[str, str, str]]
) -> None:
    name = f"odd-{len(keys)}"
    table.client.create_table(
        TableName=name,
        AttributeDefinitions=[{"AttributeName": n, "AttributeType": t} for n, t, _ in keys],
        KeySchema=[{"AttributeName": n, "KeyType": kind} for n, _, kind in keys],
        BillingMode="PAY_PER_REQUEST",
    )
    done = command("config", "init", config_table=name)
    assert done.exit_code == 1
    assert "can't hold config" in done.stderr


@pytest.mark.parametrize("arguments", [["get", "x"], ["list"], ["put", "x", "{}"], ["delete", "x"]])
def test_a_table_that_is_not_there_is_said_in_one_line(
    command: Command, arguments: list[str]
) -> None:
    done = command("config", *arguments, config_table="nope")
    assert done.exit_code == 1
    assert "there is no such table" in done.stderr
    assert "worker config init" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("arguments", [["get", "x"], ["list"], ["put", "x", "{}"], ["delete", "x"]])
def test_a_table_with_another_key_is_said_in_one_line(
    command: Command, table: Table, arguments: list[str]
) -> None:
    table.put("x")
    done = command("config", *arguments, config_key="id")
    assert done.exit_code == 1
    assert done.stderr.startswith("worker: ")
    assert "key" in done.stderr
    assert done.stderr.count("\n") == 1
