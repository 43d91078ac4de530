"""`worker check`: every finding has a line that says how to fix it; exit code 1 for problems."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.commands import Command
from tests.support.servers import DEBIAN_REDIS, RedisServer
from tests.support.table import Table
from worker import Settings
from worker.broker.server_info import Server
from worker.cli.check import about_server

APP = "tests.apps.basic:app"
Start = Callable[..., RedisServer]


@pytest.fixture
def start_redis(tmp_path: Path, redis_binary: str | None) -> Iterator[Start]:
    """Start a Redis of the test's own, with these options."""
    servers: list[RedisServer] = []

    def start(**options: str) -> RedisServer:
        folder = tmp_path / f"redis-{len(servers)}"
        folder.mkdir()
        servers.append(RedisServer(folder, **{"binary": redis_binary, **options}))  # type: ignore[arg-type]
        servers[-1].start()
        return servers[-1]

    yield start
    for server in servers:
        server.stop()


def problems(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("problem ")]


def warnings(output: str) -> list[str]:
    return [line for line in output.splitlines() if line.startswith("warning ")]


def allow(client: redis.Redis, *rules: str) -> None:
    """Set the rights of the user `someone`."""
    client.execute_command("ACL", "SETUSER", "someone", *rules)


def test_all_is_well(command: Command) -> None:
    done = command("check", APP)
    assert (done.exit_code, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[-1] == "problems: 0, warnings: 0"
    assert all(line.startswith("ok ") for line in lines[:-1])


def test_check_lists_the_handlers_with_their_policy(command: Command, tmp_path: Path) -> None:
    (tmp_path / "policies.py").write_text(
        "from worker import App\n"
        "app = App()\n"
        "@app.handler(timeout=30, backoff={'max': 7})\n"
        "async def resize(payload): ...\n"
    )
    done = command("check", "policies:app", max_attempts=9, result_ttl=60)
    (line,) = [line for line in done.stdout.splitlines() if "resize" in line]
    assert line == (
        "ok       handler resize: timeout 30 s, max_attempts 9, backoff 1 s x 2 up to 7 s, "
        "result_ttl 60 s"
    )


def test_check_looks_at_every_queue(command: Command) -> None:
    done = command("check", APP, "--queue", "a", "--queue", "b")
    assert "queue a: 0 pending" in done.stdout
    assert "queue b: 0 pending" in done.stdout


def test_check_changes_nothing(command: Command, r: Any, table: Table) -> None:
    command("check", APP)
    assert r.keys() == []
    assert table._table.scan()["Count"] == 0


# -- the app ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ("nowhere:app", "there is no module 'nowhere'"),
        ("tests.apps.basic:nothing", "is no worker.App"),
        ("tests.apps.basic", "must have the form MODULE:APP"),
    ],
)
def test_an_app_that_does_not_load_is_a_problem(
    command: Command, target: str, message: str
) -> None:
    done = command("check", target)
    assert done.exit_code == 1
    (problem,) = problems(done.stdout)
    assert message in problem
    assert "can be read" in done.stdout, "the rest is looked at all the same"


def test_a_handler_whose_types_can_not_be_validated_is_a_problem(
    command: Command, tmp_path: Path
) -> None:
    (tmp_path / "untyped.py").write_text(
        "from worker import App\n"
        "app = App()\n"
        "class Odd: ...\n"
        "@app.handler\n"
        "async def resize(payload: Odd): ...\n"
    )
    done = command("check", "untyped:app")
    assert done.exit_code == 1
    assert "handler 'resize'" in problems(done.stdout)[0]


# -- Redis -----------------------------------------------------------------------------------------


def test_redis_that_evicts_is_a_problem(command: Command, start_redis: Start) -> None:
    server = start_redis(maxmemory_policy="allkeys-lru")
    done = command("check", APP, redis_url=server.url)
    assert done.exit_code == 1
    (problem,) = problems(done.stdout)
    assert "maxmemory-policy is allkeys-lru" in problem
    assert "set it to noeviction" in problem


def test_redis_without_persistence_is_a_problem(command: Command, start_redis: Start) -> None:
    server = start_redis(appendonly="no")
    done = command("check", APP, redis_url=server.url)
    assert done.exit_code == 1
    (problem,) = problems(done.stdout)
    assert "a restart of Redis loses all jobs" in problem
    assert "appendonly yes" in problem


def test_redis_with_snapshots_alone_is_a_warning(command: Command, start_redis: Start) -> None:
    server = start_redis(appendonly="no", save="3600 1")
    done = command("check", APP, redis_url=server.url)
    assert done.exit_code == 0
    (warning,) = warnings(done.stdout)
    assert "since its last snapshot" in warning


def test_redis_that_is_a_replica_is_a_problem(command: Command, start_redis: Start) -> None:
    primary = start_redis()
    replica = start_redis(replicaof=f"127.0.0.1 {primary.port}")
    done = command("check", APP, redis_url=replica.url)
    assert done.exit_code == 1
    assert "is a replica" in problems(done.stdout)[0]


def test_what_redis_does_not_tell_is_a_warning(command: Command, start_redis: Start) -> None:
    server = start_redis(appendonly="no")
    url = server.url.replace("//", "//someone:secret@")
    with server.client() as client:
        allow(client, "on", ">secret", "~*", "&*", "+@all", "-config", "-info")
        silent = command("check", APP, redis_url=url)
        allow(client, "+info")
        without_config = command("check", APP, redis_url=url)
    assert (silent.exit_code, without_config.exit_code) == (0, 0)
    assert "allow INFO" in warnings(silent.stdout)[0]
    assert "whether there are snapshots can't be seen" in warnings(without_config.stdout)[0]


def test_redis_away_is_a_problem(command: Command) -> None:
    done = command("check", APP, redis_url="redis://:secret@127.0.0.1:1/0")
    assert done.exit_code == 1
    (problem,) = problems(done.stdout)
    assert "Redis at redis://:***@127.0.0.1:1/0 can't be reached" in problem
    assert "can be read" in done.stdout, "the rest is looked at all the same"


def test_a_queue_of_another_type_is_a_problem(command: Command, r: Any) -> None:
    r.set("jobs", "text")
    done = command("check", APP)
    assert done.exit_code == 1
    assert "WRONGTYPE" in problems(done.stdout)[0]


def test_no_secret_is_shown(command: Command, start_redis: Start) -> None:
    server = start_redis()
    with server.client() as client:
        allow(client, "on", ">hunter2", "~*", "&*", "+@all")
    for password in ("hunter2", "hunter2-but-wrong"):
        url = server.url.replace("//", f"//someone:{password}@")
        env = {"AWS_SECRET_ACCESS_KEY": "hunter2"}
        done = command("check", APP, env=env, redis_url=f"{url}?client_name=hunter2")
        assert "redis://someone:***@127.0.0.1" in done.output
        assert "hunter2" not in done.output


@pytest.mark.skipif(DEBIAN_REDIS is None, reason="no redis-server on this machine")
def test_the_redis_of_debian_is_recent_enough(command: Command, start_redis: Start) -> None:
    server = start_redis(binary=str(DEBIAN_REDIS))
    done = command("check", APP, redis_url=server.url)
    assert done.exit_code == 0
    assert "ok       Redis 7." in done.stdout


def server(**facts: object) -> Server:
    """A server without fault, but for these facts."""
    known = {
        "name": "Redis",
        "version": "7.2.4",
        "redis_version": "7.2.4",
        "role": "master",
        "maxmemory_policy": "noeviction",
        "append_only_file": True,
        "snapshots": False,
        "ahead": 0.0,
    }
    return Server(**{**known, **facts})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("facts", "level", "message"),
    [
        ({}, "ok", "Redis 7.2.4 at redis://"),
        ({"redis_version": "10.0.0", "version": "10.0.0"}, "ok", "Redis 10.0.0"),
        ({"name": "Valkey", "version": "6.0"}, "ok", "Valkey 6.0"),
        ({"maxmemory_policy": "volatile-ttl"}, "problem", "volatile-ttl"),
        ({"ahead": 3600.0}, "warning", "clock is 3600.0 s behind Redis's"),
        ({"ahead": -2.0}, "warning", "clock is 2.0 s ahead of Redis's"),
        ({"ahead": 0.9}, "ok", "agree"),
    ],
)
def test_what_a_server_tells_of_itself(facts: dict[str, Any], level: str, message: str) -> None:
    found = {finding.text: finding.level for finding in about_server(server(**facts), Settings())}
    (text,) = [text for text in found if message in text]
    assert found[text] == level


# -- DynamoDB --------------------------------------------------------------------------------------


def test_no_such_table_is_a_problem(command: Command) -> None:
    done = command("check", APP, config_table="nope")
    assert done.exit_code == 1
    (problem,) = problems(done.stdout)
    assert "there is no such table" in problem
    assert "worker config init" in problem


def test_a_table_with_another_key_is_a_problem(command: Command) -> None:
    done = command("check", APP, config_key="id")
    assert done.exit_code == 1
    (problem,) = problems(done.stdout)
    assert "the partition key of table 'config' is 'key', not 'id'" in problem
    assert "WORKER_CONFIG_KEY=key" in problem


@pytest.mark.parametrize(
    ("env", "message"),
    [
        (
            {"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1"},
            "http://127.0.0.1:1 can't be reached",
        ),
        ({"AWS_ENDPOINT_URL_DYNAMODB": "nonsense"}, "Invalid endpoint"),
        ({"AWS_REGION": None}, "set AWS_REGION"),
        ({"AWS_PROFILE": "nobody"}, "profile (nobody)"),
        ({"AWS_ACCESS_KEY_ID": None, "AWS_SECRET_ACCESS_KEY": None}, "no AWS credentials"),
    ],
)
def test_dynamodb_that_can_not_be_used_is_a_problem(
    command: Command, tmp_path: Path, env: dict[str, str | None], message: str
) -> None:
    nothing = {
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_CONFIG_FILE": str(tmp_path / "none"),
        "AWS_SHARED_CREDENTIALS_FILE": str(tmp_path / "none"),
    }
    done = command("check", APP, env={**nothing, **env})
    assert done.exit_code == 1
    (problem,) = problems(done.stdout)
    assert message in problem


def test_findings_as_json(command: Command) -> None:
    done = command("check", "tests.apps.basic:app", "--json")
    findings = [json.loads(line) for line in done.stdout.splitlines()]
    assert all(finding.keys() == {"level", "text"} for finding in findings)
    assert {"ok", "problem"} >= {finding["level"] for finding in findings} - {"warning"}
    assert any(finding["text"].startswith("handler echo: ") for finding in findings)
