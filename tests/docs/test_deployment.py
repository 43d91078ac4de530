"""docs/deployment.md and docs/security.md, without an AWS account or a cluster."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import botocore.session
import pytest
import redis
import yaml
from botocore.validate import ParamValidator

from tests.docs.pages import ROOT, page
from tests.docs.shell import need, reader_environment, run_page
from tests.promises.test_11_security import ACL
from tests.support.servers import RedisServer
from worker.settings import Settings

pytestmark = pytest.mark.once

PASSWORD = "password-of-the-test"
KNOWN = {f"WORKER_{name.upper()}" for name in Settings.model_fields} | {"AWS_REGION"}
CLIENT = """
import asyncio
from worker import Client

async def main():
    async with Client() as client:
        await client.enqueue("a", 1, delay=60)
        await client.enqueue("a", 1)
        try:
            await client.result("x", timeout=0.2)
        except TimeoutError:
            pass

asyncio.run(main())
"""
# Seconds past the grace periods of the jobs and of the lifespan, before the container is killed.
LAST_WRITES = 19


# -- deployment ------------------------------------------------------------------------------------


@pytest.mark.timeout(300)
def test_a_project_of_one_s_own(environment: dict[str, str], tmp_path: Path) -> None:
    need("uv", "uv")
    folder = tmp_path / "reader"
    folder.mkdir()
    (folder / "worker").symlink_to(ROOT)
    variables = reader_environment(environment, tmp_path) | {"PATH": environment["PATH"]}
    del variables["VIRTUAL_ENV"], variables["UV_OFFLINE"], variables["PYTHONPATH"]
    elsewhere = {"docker compose up --build"}
    said = run_page(page("docs/deployment.md"), folder, variables, elsewhere)
    assert '"Hello, Ada"' in said.by("worker result ada")
    assert (folder / "shop/.venv/bin/worker").exists()


@pytest.fixture(scope="module")
def task() -> dict[str, Any]:
    (block,) = page("docs/deployment.md").of("json")
    found: dict[str, Any] = json.loads(block.text)
    return found


def test_the_task_definition_is_one_that_ecs_takes(task: dict[str, Any]) -> None:
    operation = botocore.session.Session().get_service_model("ecs")
    shape = operation.operation_model("RegisterTaskDefinition").input_shape
    assert shape is not None
    assert not ParamValidator().validate(task, shape).has_errors()
    assert ParamValidator().validate({**task, "cpus": "1024"}, shape).has_errors()


def test_the_task_gets_time_to_drain_and_only_settings_that_exist(task: dict[str, Any]) -> None:
    (container,) = task["containerDefinitions"]
    variables = {item["name"]: item["value"] for item in container["environment"]}
    assert set(variables) | {item["name"] for item in container["secrets"]} <= KNOWN
    grace = float(variables["WORKER_GRACE_PERIOD"])
    assert 2 * grace + LAST_WRITES < container["stopTimeout"] <= 120
    assert container["command"][0] == "run"


def test_the_pod_gets_time_to_drain_and_only_settings_that_exist() -> None:
    (block,) = page("docs/deployment.md").of("yaml")
    template = yaml.safe_load(block.text)["spec"]["template"]
    (container,) = template["spec"]["containers"]
    assert {item["name"] for item in container["env"]} <= KNOWN
    values = {item["name"]: item.get("value") for item in container["env"]}
    grace = float(values["WORKER_GRACE_PERIOD"])
    assert 2 * grace + LAST_WRITES < template["spec"]["terminationGracePeriodSeconds"]
    assert container["args"][0] == "run"


# -- security --------------------------------------------------------------------------------------


def rules(user: str) -> list[str]:
    """Return the ACL of a user on the page, without its password."""
    (line,) = re.findall(
        rf"^ACL SETUSER {user} on >PASSWORD (.+)$", page("docs/security.md").text, re.MULTILINE
    )
    return str(line).split()


@pytest.fixture
def guarded(tmp_path: Path, redis_binary: str | None) -> Iterator[RedisServer]:
    folder = tmp_path / "guarded"
    folder.mkdir()
    server = RedisServer(folder, binary=redis_binary)
    server.start()
    yield server
    server.stop()


def sign_in(server: RedisServer, *more: str) -> redis.Redis:
    with server.client() as r:
        user = ["ACL", "SETUSER", "producer", "reset", "on", f">{PASSWORD}"]
        r.execute_command(*user, *rules("producer"), *more)
    return redis.Redis(
        port=server.port, username="producer", password=PASSWORD, decode_responses=True
    )


def test_the_worker_s_acl_is_the_one_that_is_tested() -> None:
    assert rules("worker") == ACL.split()


def test_a_producer_s_acl_suffices_for_all_that_the_docs_say_and_for_no_more(
    guarded: RedisServer,
) -> None:
    with sign_in(guarded) as r:
        r.lpush("jobs", "{}")
        r.zadd("{jobs}:scheduled", {"{}": r.time()[0] * 1000})
        with r.pubsub() as results:
            results.subscribe("{jobs}:result:1")
            assert results.get_message(timeout=5)
        assert r.get("{jobs}:result:1") is None
        with pytest.raises(redis.exceptions.NoPermissionError):
            r.rpop("jobs")
        with pytest.raises(redis.exceptions.NoPermissionError):
            r.get("{jobs}:dead")


def test_the_python_client_works_with_what_the_page_adds(
    guarded: RedisServer, environment: dict[str, str], tmp_path: Path
) -> None:
    (more,) = re.findall(r"so they need `([^`]+)` too", page("docs/security.md").text)
    with sign_in(guarded, *str(more).split()), guarded.client() as r:
        url = f"redis://producer:{PASSWORD}@127.0.0.1:{guarded.port}/0"
        user = {**environment, "WORKER_REDIS_URL": url}
        done = subprocess.run(
            [sys.executable, "-c", CLIENT],
            env=user,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        assert (r.llen("jobs"), r.zcard("{jobs}:scheduled")) == (1, 1)


def test_the_iam_policies_name_actions_that_exist() -> None:
    """Each statement's shape, and each action as an operation of DynamoDB."""
    model = botocore.session.Session().get_service_model("dynamodb")
    policies = [json.loads(block.text) for block in page("docs/security.md").of("json")]
    assert len(policies) == 2
    for policy in policies:
        assert policy["Version"] == "2012-10-17"
        for statement in policy["Statement"]:
            assert set(statement) == {"Effect", "Action", "Resource"}
            for action in statement["Action"]:
                assert action.removeprefix("dynamodb:") in model.operation_names


def test_the_iam_policies_allow_all_that_the_code_calls() -> None:
    worker, operator = (
        {
            action.removeprefix("dynamodb:")
            for action in json.loads(b.text)["Statement"][0]["Action"]
        }
        for b in page("docs/security.md").of("json")
    )
    source = (ROOT / "worker/config/table.py").read_text()
    calls = set(re.findall(r"self\._client\.([a-z_]+_[a-z_]+)\(", source)) - {"get_waiter"}
    called = {name.title().replace("_", "") for name in calls}
    assert called
    assert called <= operator
    assert worker <= operator
