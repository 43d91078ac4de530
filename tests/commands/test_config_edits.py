"""`worker config set`, `unset`, `edit`, `history`, `rollback`: edits that break nothing."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from boto3.dynamodb.types import Binary

from tests.support.commands import Command
from tests.support.dynamo_proxy import DynamoProxy, error
from tests.support.table import Table

pytestmark = pytest.mark.once

HISTORY = "#worker-history#"
SECRET = "hunter2"


def item(table: Table, key: str = "acme") -> dict[str, Any] | None:
    """The item without its key."""
    found = [dict(each) for each in table.scan() if each["key"] == key]
    return {name: value for name, value in found[0].items() if name != "key"} if found else None


def versions(command: Command, key: str = "acme") -> list[Any]:
    """The attributes of the versions of the history, newest first."""
    done = command("config", "history", key)
    return [json.loads(line)["item"] for line in done.stdout.splitlines()]


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody reads what is printed."""
    for module in ("config", "table", "common"):
        monkeypatch.setattr(f"worker.cli.{module}.on_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "200")


# -- set and unset ---------------------------------------------------------------------------------


def test_set_changes_only_what_it_names(command: Command, table: Table) -> None:
    before = {
        "words": {"a", "b"},
        "raw": Binary(b"\x00\xff"),
        "raws": {Binary(b"x")},
        "sizes": {Decimal(1), Decimal("2.50")},
        "long": Decimal("1234567890.1234567890123456789012345678"),
        "list": [1, {"n": 1}],
    }
    table.put("acme", **before, policy={"timeout": 5, "max_attempts": 2})
    done = command("config", "set", "acme", "policy.timeout=10", "name=acme", "list.1.n=2")
    assert (done.exit_code, done.stderr) == (0, "")
    assert item(table) == {
        **before,
        "list": [1, {"n": 2}],
        "policy": {"timeout": 10, "max_attempts": 2},
        "name": "acme",
    }


@pytest.mark.parametrize(
    ("assignment", "expected"),
    [
        ("a=1.50", {"a": Decimal("1.5")}),
        ("a=true", {"a": True}),
        ("a=null", {"a": None}),
        ('a="1"', {"a": "1"}),
        ("a=[1, {}]", {"a": [1, {}]}),
        ("a=", {"a": ""}),
        ("a=NaN", {"a": "NaN"}),
        ("a=b=c:=d", {"a": "b=c:=d"}),
        ('a:={"b": 1}', {"a": {"b": 1}}),
        ("a.b.c=1", {"a": {"b": {"c": 1}}}),
        (r"a\.b=1", {"a.b": 1}),
        (r"a\=b=1", {"a=b": 1}),
        ("ü=日本", {"ü": "日本"}),
    ],
)
def test_a_value_is_json_where_it_parses_and_text_elsewhere(
    command: Command, table: Table, assignment: str, expected: Any
) -> None:
    assert command("config", "set", "acme", assignment).exit_code == 0
    assert item(table) == expected


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("a:=text", "not JSON"),
        ("a:=NaN", "not JSON"),
        ("a", "is not PATH=VALUE"),
        ("=1", "is not PATH=VALUE"),
        ("a..b=1", "is no path"),
        ("text.b=1", "not within a map"),
        ("list.5=1", "its list has no '5'"),
        ("key=other", "is the key itself"),
        ("a=1e200", "numbers of up to 38 digits"),
        ("policy.timout=1", "policy.timout"),
    ],
)
def test_set_refuses_what_can_not_be_and_writes_nothing(
    command: Command, table: Table, assignment: str, message: str
) -> None:
    table.put("acme", text="x", list=[])
    done = command("config", "set", "acme", "fine=1", assignment)
    assert done.exit_code == 2
    assert message in done.stderr
    assert item(table) == {"text": "x", "list": []}
    assert versions(command) == []


def test_setting_what_is_so_already_writes_nothing(command: Command, table: Table) -> None:
    table.put("acme", a=1)
    done = command("config", "set", "acme", "a=1.0")
    assert (done.exit_code, done.stdout) == (0, "acme: nothing to change\n")
    assert len(table.scan()) == 1


def test_unset_removes_only_what_it_names(command: Command, table: Table) -> None:
    table.put("acme", a=1, policy={"timeout": 5, "max_attempts": 2}, list=[1, 2, 3])
    assert command("config", "unset", "acme", "policy.timeout", "a", "list.1").exit_code == 0
    assert item(table) == {"policy": {"max_attempts": 2}, "list": [1, 3]}


@pytest.mark.parametrize(
    ("key", "path"), [("acme", "b"), ("acme", "a.b"), ("acme", "policy.x"), ("nobody", "a")]
)
def test_unset_of_what_is_not_there_has_exit_code_3(
    command: Command, table: Table, key: str, path: str
) -> None:
    table.put("acme", a=1, policy={})
    done = command("config", "unset", key, path)
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr.count("\n") == 1
    assert len(table.scan()) == 1


# -- somebody else edits at the same time ----------------------------------------------------------


def meanwhile(
    proxy: DynamoProxy, edit: Callable[[], object], *operations: str
) -> Callable[[str, dict[str, Any]], None]:
    """Do `edit` just before the first request of these operations for the item arrives."""
    done: list[object] = []

    def respond(target: str, body: dict[str, Any]) -> None:
        if target in operations and HISTORY not in json.dumps(body) and not done:
            done.append(1)
            edit()

    proxy.respond = respond
    return respond


@pytest.mark.parametrize(
    ("edit", "paths"),
    [
        (lambda table: table.put("acme", a=1, b={"c": 5, "d": 1}), "b.c"),
        (lambda table: table.put("acme", a=2, b={"c": 1, "d": 1}), "a"),
        (lambda table: table.delete("acme"), "deleted"),
    ],
)
def test_an_edit_of_what_was_changed_meanwhile_has_exit_code_4_and_says_where(
    command: Command, table: Table, dynamo_proxy: DynamoProxy, edit: Any, paths: str
) -> None:
    table.put("acme", a=1, b={"c": 1, "d": 1})
    meanwhile(dynamo_proxy, lambda: edit(table), "UpdateItem")
    env = {"AWS_ENDPOINT_URL_DYNAMODB": dynamo_proxy.url}
    done = command("config", "set", "acme", "b.d=2", env=env)
    assert done.exit_code == 4
    assert f"changed meanwhile ({paths})" in done.stderr
    assert done.stderr.count("\n") == 1
    assert (item(table) or {}).get("b", {}).get("d") != 2
    assert versions(command) == []


def test_an_item_that_was_made_meanwhile_is_not_overwritten(
    command: Command, table: Table, dynamo_proxy: DynamoProxy
) -> None:
    meanwhile(dynamo_proxy, lambda: table.put("acme", a=1), "UpdateItem")
    env = {"AWS_ENDPOINT_URL_DYNAMODB": dynamo_proxy.url}
    done = command("config", "set", "acme", "b=2", env=env)
    assert done.exit_code == 4
    assert item(table) == {"a": 1}


def test_an_attribute_that_was_added_meanwhile_is_kept(
    command: Command, table: Table, dynamo_proxy: DynamoProxy
) -> None:
    table.put("acme", a=1)
    meanwhile(dynamo_proxy, lambda: table.put("acme", a=1, added=1), "UpdateItem")
    env = {"AWS_ENDPOINT_URL_DYNAMODB": dynamo_proxy.url}
    assert command("config", "set", "acme", "a=2", env=env).exit_code == 0
    assert item(table) == {"a": 2, "added": 1}


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["set", "acme", "a=2"], {"a": 2, "b": 1}),
        (["unset", "acme", "b"], {"a": 1}),
        (["put", "acme", '{"c": 1}'], {"c": 1}),
        (["delete", "acme"], None),
        (["rollback", "acme"], {"a": 0}),
    ],
)
@pytest.mark.parametrize("lost", [1, 2])
def test_a_write_whose_reply_is_lost_is_compared_with_what_it_meant(
    command: Command,
    table: Table,
    dynamo_proxy: DynamoProxy,
    arguments: list[str],
    expected: Any,
    lost: int,
) -> None:
    """The SDK sends a request twice: the first reply is lost, or both."""
    table.put("acme", a=0)
    command("config", "put", "acme", '{"a": 1, "b": 1}')
    left = [lost]

    def respond(target: str, body: dict[str, Any]) -> tuple[int, Any] | None:
        if target in ("GetItem", "BatchGetItem") or HISTORY in json.dumps(body) or not left[0]:
            return None
        left[0] -= 1
        kind = {"UpdateItem": "update_item", "PutItem": "put_item", "DeleteItem": "delete_item"}
        try:
            getattr(table.client, kind[target])(**in_boto(body))
        except table.client.exceptions.ConditionalCheckFailedException:
            return 400, error("ConditionalCheckFailedException")
        return 500, error("InternalServerError")

    env = {"AWS_ENDPOINT_URL_DYNAMODB": dynamo_proxy.url}
    with dynamo_proxy.answering(respond):
        done = command("config", *arguments, env=env)
    assert (done.exit_code, done.stderr) == (0, "")
    assert item(table) == expected
    assert versions(command)[0] == {"a": 1, "b": 1}


def in_boto(body: dict[str, Any]) -> dict[str, Any]:
    """A request's parameters as boto3's resource client takes them: values of Python."""
    from boto3.dynamodb.types import TypeDeserializer  # noqa: PLC0415

    read = TypeDeserializer().deserialize
    for name in ("Item", "Key", "ExpressionAttributeValues"):
        if name in body:
            body[name] = {each: read(value) for each, value in body[name].items()}
    return body


def test_a_write_of_which_nobody_can_say_whether_it_was_done_says_so(
    command: Command, table: Table, dynamo_proxy: DynamoProxy
) -> None:
    table.put("acme", a=0)
    written: list[str] = []

    def respond(target: str, _: dict[str, Any]) -> tuple[int, Any] | None:
        if target == "UpdateItem":
            written.append(target)
        return (500, error("InternalServerError")) if written else None

    env = {"AWS_ENDPOINT_URL_DYNAMODB": dynamo_proxy.url}
    with dynamo_proxy.answering(respond):
        done = command("config", "set", "acme", "a=1", env=env)
    assert (done.exit_code, done.stdout) == (1, "")
    assert "whether the item was written is not known" in done.stderr
    assert done.stderr.count("\n") == 1


def test_edits_of_very_many_attributes_are_written_where_the_item_is_as_it_was_read(
    command: Command, table: Table, dynamo_proxy: DynamoProxy
) -> None:
    many = {f"attribute_{n}": n for n in range(300)}
    table.put("acme", **many)
    changed = {name: n + 1 for name, n in many.items()}
    command("config", "put", "acme", json.dumps(changed))
    meanwhile(dynamo_proxy, lambda: table.put("acme", **changed | {"attribute_0": 9}), "PutItem")
    env = {"AWS_ENDPOINT_URL_DYNAMODB": dynamo_proxy.url}
    done = command("config", "rollback", "acme", env=env)
    assert (done.exit_code, "(attribute_0)" in done.stderr) == (4, True)
    assert command("config", "rollback", "acme", env=env).exit_code == 0
    assert item(table) == many


# -- edit ------------------------------------------------------------------------------------------


@pytest.fixture
def editor(tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Make an editor of a Python expression over `item`; returns the environment that names it."""

    def make(code: str) -> dict[str, str]:
        path = tmp_path / "editor.py"
        path.write_text(
            "import json, sys\n"
            "path = sys.argv[1]\n"
            "text = open(path).read()\n"
            "item = json.loads(text)\n"
            f"{code}\n"
            "open(path, 'w').write(text if text is None or item is None else json.dumps(item))\n"
        )
        return {"EDITOR": f"python3 {path}", "VISUAL": "", "TMPDIR": str(tmp_path)}

    return make


def test_edit_changes_only_what_was_edited(
    command: Command, table: Table, editor: Callable[[str], dict[str, str]]
) -> None:
    table.put(
        "acme", words={"a", "b"}, raw=Binary(b"\x00"), n=Decimal("1.10"), list=[{"a"}], gone=1
    )
    code = "item['n'] = 2; item['words'].append('c'); item['list'].append(1); del item['gone']"
    done = command("config", "edit", "acme", env=editor(code))
    assert (done.exit_code, done.stderr) == (0, "")
    assert item(table) == {
        "words": {"a", "b", "c"},
        "raw": Binary(b"\x00"),
        "n": 2,
        "list": [{"a"}, 1],
    }


def test_members_of_a_list_are_what_they_were_wherever_an_edit_moves_them(
    command: Command, table: Table, editor: Callable[[str], dict[str, str]]
) -> None:
    table.put("acme", list=[1, {"a"}, ["b"], {"c", "d"}, Binary(b"\x00")])
    code = "item['list'] = ['new', *item['list'][1:3], ['c', 'd', 'e'], item['list'][4]]"
    assert command("config", "edit", "acme", env=editor(code)).exit_code == 0
    assert item(table) == {"list": ["new", {"a"}, ["b"], {"c", "d", "e"}, Binary(b"\x00")]}
    assert command("config", "edit", "acme", env=editor("del item['list'][0]")).exit_code == 0
    assert item(table) == {"list": [{"a"}, ["b"], {"c", "d", "e"}, Binary(b"\x00")]}


def test_edit_that_changes_nothing_writes_nothing(
    command: Command, table: Table, editor: Callable[[str], dict[str, str]]
) -> None:
    table.put("acme", words={"a", "b"})
    done = command("config", "edit", "acme", env=editor("pass"))
    assert (done.exit_code, done.stdout) == (0, "acme: nothing to change\n")
    assert len(table.scan()) == 1


@pytest.mark.parametrize(
    ("code", "exit_code", "message"),
    [
        ("item['policy'] = {'timout': 1}", 2, "policy.timout"),
        ("item = None; text = '{'", 2, "not JSON"),
        ("item['key'] = 'other'", 2, "another key"),
        ("item['a'] = 9; open(path, 'w').write(json.dumps(item)); sys.exit(3)", 1, "editor failed"),
    ],
)
def test_what_was_typed_and_is_not_written_is_kept(
    command: Command,
    table: Table,
    editor: Callable[[str], dict[str, str]],
    code: str,
    exit_code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    table.put("acme", a=1)
    done = command("config", "edit", "acme", env=editor(code))
    assert done.exit_code == exit_code
    assert message in done.stderr
    assert item(table) == {"a": 1}
    (kept,) = tmp_path.glob("worker-config-*.json")
    assert str(kept) in done.stderr
    assert kept.stat().st_mode & 0o077 == 0


def test_edit_says_what_was_changed_while_the_editor_was_open(
    command: Command,
    table: Table,
    editor: Callable[[str], dict[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    from worker.cli import config_editor  # noqa: PLC0415

    edited = config_editor._edited

    def slow(path: Path) -> str:
        table.put("acme", a=1, added=1)
        return edited(path)

    monkeypatch.setattr(config_editor, "_edited", slow)
    table.put("acme", a=1)
    done = command("config", "edit", "acme", env=editor("item['a'] = 2"))
    assert done.exit_code == 4
    assert "changed meanwhile (added)" in done.stderr
    assert item(table) == {"a": 1, "added": 1}


# -- history and rollback --------------------------------------------------------------------------


def test_what_every_edit_replaced_is_in_the_history_newest_first(
    command: Command, table: Table, editor: Callable[[str], dict[str, str]]
) -> None:
    table.put("acme", n=0, words={"a"})  # by whomever
    for arguments in (
        ["put", "acme", '{"n": 1}'],
        ["set", "acme", "n=2"],
        ["set", "acme", "m=1"],
        ["unset", "acme", "m"],
        ["edit", "acme"],
        ["delete", "acme"],
    ):
        assert command("config", *arguments, env=editor("item['n'] = 4")).exit_code == 0
    done = command("config", "history", "acme")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(line["replaced_by"], line["item"]) for line in lines] == [
        ("delete", {"n": 4}),
        ("edit", {"n": 2}),
        ("unset", {"n": 2, "m": 1}),
        ("set", {"n": 2}),
        ("set", {"n": 1}),
        ("put", {"n": 0, "words": ["a"]}),
    ]
    assert all(line["version"] for line in lines)
    assert [line["replaced_at"] for line in lines] == sorted(
        (line["replaced_at"] for line in lines), reverse=True
    )


def test_a_second_rollback_undoes_the_first(command: Command, table: Table) -> None:
    old = {"n": 1, "words": {"a"}, "raw": Binary(b"\x00")}
    table.put("acme", **old)
    command("config", "put", "acme", '{"n": 2}')
    for expected in (old, {"n": 2}, old):
        assert command("config", "rollback", "acme").exit_code == 0
        assert item(table) == expected


def test_a_delete_is_rolled_back_and_that_too(command: Command, table: Table) -> None:
    table.put("acme", n=1)
    command("config", "delete", "acme")
    for expected in ({"n": 1}, None, {"n": 1}):
        assert command("config", "rollback", "acme").exit_code == 0
        assert item(table) == expected


def test_rollback_goes_to_the_version_that_results_and_the_history_name(
    command: Command, table: Table
) -> None:
    for n in range(4):
        command("config", "put", "acme", f'{{"version": "v{n}", "n": {n}}}')
    lines = [json.loads(line) for line in command("config", "history", "acme").stdout.splitlines()]
    assert [line["version"] for line in lines] == ["v2", "v1", "v0"]
    assert len({line["digest"] for line in lines}) == 3
    assert command("config", "rollback", "acme", "v1").exit_code == 0
    assert (item(table) or {})["n"] == 1
    command("config", "put", "acme", '{"n": 9}')
    command("config", "put", "acme", '{"n": 10}')
    first = json.loads(command("config", "history", "acme").stdout.splitlines()[0])
    assert first["item"] == {"n": 9}
    assert first["version"] == first["digest"]
    assert command("config", "rollback", "acme", first["version"]).exit_code == 0
    assert item(table) == {"n": 9}


def test_rollback_to_what_is_not_known_has_exit_code_3(command: Command, table: Table) -> None:
    table.put("acme", n=1)
    assert command("config", "rollback", "acme").exit_code == 3
    assert command("config", "history", "acme").exit_code == 3
    command("config", "put", "acme", '{"n": 2}')
    assert command("config", "rollback", "acme", "nope").exit_code == 3
    assert item(table) == {"n": 2}


def test_a_rollback_to_a_version_that_no_job_could_use_is_refused_unless_forced(
    command: Command, table: Table
) -> None:
    table.put("acme", policy={"timout": 1})
    command("config", "put", "acme", "{}")
    assert command("config", "rollback", "acme").exit_code == 2
    assert item(table) == {}
    assert command("config", "rollback", "acme", "--force").exit_code == 0
    assert item(table) == {"policy": {"timout": 1}}


def test_the_last_ten_versions_are_kept(command: Command, table: Table) -> None:
    table.put("acme", n=0)
    for n in range(1, 13):
        command("config", "set", "acme", f"n={n}")
    assert [version["n"] for version in versions(command)] == list(range(11, 1, -1))


def test_no_more_than_300_kb_of_versions_are_kept(command: Command, table: Table) -> None:
    for n in range(5):
        text = json.dumps({"n": n, "text": "x" * 90_000})
        assert command("config", "put", "acme", "-", stdin=text).exit_code == 0
    assert [version["n"] for version in versions(command)] == [3, 2, 1]
    table.put("large", text="x" * 350_000)
    done = command("config", "put", "large", "{}")
    assert done.exit_code == 0
    assert "its history can't be kept" in done.stderr
    assert item(table, "large") == {}


def test_an_edit_never_fails_because_of_its_history(
    command: Command, table: Table, dynamo_proxy: DynamoProxy
) -> None:
    table.put("acme", n=1)

    def respond(_: str, body: dict[str, Any]) -> tuple[int, Any] | None:
        if HISTORY in json.dumps(body):
            return 400, error("AccessDeniedException")
        return None

    env = {"AWS_ENDPOINT_URL_DYNAMODB": dynamo_proxy.url}
    with dynamo_proxy.answering(respond):
        done = command("config", "set", "acme", "n=2", env=env)
    assert (done.exit_code, done.stdout) == (0, "acme: written to table 'config'\n")
    assert "its history can't be kept" in done.stderr
    assert item(table) == {"n": 2}


def test_put_works_without_the_right_to_read(
    command: Command, table: Table, dynamo_proxy: DynamoProxy
) -> None:
    def respond(target: str, _: dict[str, Any]) -> tuple[int, Any] | None:
        return (400, error("AccessDeniedException")) if target == "GetItem" else None

    env = {"AWS_ENDPOINT_URL_DYNAMODB": dynamo_proxy.url}
    with dynamo_proxy.answering(respond):
        assert command("config", "put", "acme", '{"n": 2}', env=env).exit_code == 0
    assert item(table) == {"n": 2}


def test_histories_are_an_item_of_the_table_that_no_command_shows(
    command: Command, table: Table
) -> None:
    long_key = "k" * 2048
    for key in ("acme", long_key):
        command("config", "put", key, '{"n": 1}')
        command("config", "put", key, '{"n": 2}')
        assert versions(command, key) == [{"n": 1}]
    histories = [each["key"] for each in table.scan() if str(each["key"]).startswith(HISTORY)]
    assert len(histories) == 2
    assert f"{HISTORY}acme" in histories
    assert HISTORY not in command("config", "list").stdout
    for command_line in (["get"], ["put", "{}"], ["set", "a=1"], ["delete"], ["history"]):
        name, *rest = command_line
        assert command("config", name, f"{HISTORY}acme", *rest).exit_code == 2


# -- what no handler could use ---------------------------------------------------------------------

APP = (
    "from pydantic import BaseModel\n"
    "from worker import App\n"
    "app = App()\n"
    "class Step(BaseModel):\n"
    "    ms: int\n"
    "class Shop(BaseModel):\n"
    "    price: int\n"
    "@app.handler\n"
    "async def step(config: Step): ...\n"
    "@app.handler\n"
    "async def shop(config: Shop): ...\n"
    "@app.handler\n"
    "async def ping(payload): ...\n"
)


@pytest.mark.parametrize(
    ("key", "text", "problem"),
    [
        ("step", '{"ms": 5}', None),
        ("step", f'{{"ms": "{SECRET}"}}', "ms: "),
        ("step", '{"price": 5}', "ms: "),
        ("acme", '{"price": 5}', None),
        ("acme", '{"ms": 5}', None),
        ("acme", f'{{"price": "{SECRET}"}}', "no handler can use it: step: ms: "),
        ("ping", '{"any": 1}', None),
        ("acme", '{"policy": {"timeout": 5}}', None),
    ],
)
@pytest.mark.parametrize("by_variable", [False, True])
def test_put_refuses_what_no_handler_of_the_key_could_use(
    command: Command,
    table: Table,
    tmp_path: Path,
    key: str,
    text: str,
    problem: str | None,
    by_variable: bool,
) -> None:
    (tmp_path / "shops.py").write_text(APP)
    flags, env = ([], {"WORKER_APP": "shops:app"}) if by_variable else (["--app", "shops:app"], {})
    done = command("config", "put", key, text, *flags, env=env)
    if problem is None:
        assert (done.exit_code, done.stderr) == (0, "")
        return
    assert done.exit_code == 2
    assert problem in done.stderr
    assert SECRET not in done.stderr
    assert item(table, key) is None
    assert command("config", "put", key, text, *flags, "--force", env=env).exit_code == 0


def test_set_and_rollback_are_held_to_the_same(
    command: Command, table: Table, tmp_path: Path
) -> None:
    (tmp_path / "shops.py").write_text(APP)
    table.put("step", ms=1)
    assert command("config", "set", "step", "ms=fast", "--app", "shops:app").exit_code == 2
    assert command("config", "unset", "step", "ms", "--app", "shops:app").exit_code == 2
    assert item(table, "step") == {"ms": 1}


def test_check_names_the_items_that_no_policy_or_type_takes(
    command: Command, table: Table, tmp_path: Path
) -> None:
    (tmp_path / "shops.py").write_text(APP)
    table.put("step", ms=SECRET)
    table.put("shop", price=1)
    table.put("acme", policy={"timout": 1})
    table.put("fine", price=3)
    command("config", "set", "fine", "price=4")
    done = command("check", "shops:app")
    assert done.exit_code == 1
    problems = [line for line in done.stdout.splitlines() if line.startswith("problem ")]
    assert len(problems) == 1
    assert "item 'step' can't be used: ms: " in problems[0]
    assert "1 of 2 items under the names of handlers can be used" in done.stdout
    done = command("check", "shops:app", "--all-items")
    problems = [line for line in done.stdout.splitlines() if line.startswith("problem ")]
    assert len(problems) == 2
    assert any("item 'acme' can't be used: policy.timout: " in line for line in problems)
    assert "2 of 4 items of the table can be used" in done.stdout
    assert SECRET not in done.output


# -- secrets ---------------------------------------------------------------------------------------

NAMES = ["secret", "db_password", "TOKEN", "api_key", "apiKey", "private-key", "credentials"]


@pytest.mark.usefixtures("terminal")
@pytest.mark.parametrize("arguments", [["get", "acme"], ["list"], ["history", "acme"]])
@pytest.mark.parametrize("name", NAMES)
def test_secrets_are_masked_on_a_terminal_unless_shown(
    command: Command, table: Table, arguments: list[str], name: str
) -> None:
    hidden = {"deeper": [{name: {"a": SECRET}}], "seen": 1}
    table.put("acme", **hidden, **{name: SECRET})
    if arguments[0] == "history":
        command("config", "put", "acme", "{}")
    done = command("config", *arguments)
    assert done.exit_code == 0
    assert SECRET not in done.output
    assert '"seen":1' in done.stdout.replace("\n", "")
    assert SECRET in command("config", *arguments, "--show").stdout


def test_a_pipe_gets_secrets_whole(command: Command, table: Table) -> None:
    table.put("acme", secret=SECRET)
    assert json.loads(command("config", "get", "acme").stdout)["secret"] == SECRET
    assert SECRET in command("config", "list").stdout
