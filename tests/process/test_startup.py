"""A start that can't succeed ends with exit code 1 and one clear message, without a traceback."""

import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.dynamo_proxy import DynamoProxy
from tests.support.ports import free_port
from tests.support.producer import Producer
from tests.support.servers import DynamoServer, RedisServer
from tests.support.table import Table
from tests.support.worker_process import RunCommand, StartWorker

pytestmark = pytest.mark.once

APP = "tests.apps.basic:app"


def refusal(done: "subprocess.CompletedProcess[str]") -> str:
    """The one message with which a command refused to start."""
    assert done.returncode == 1, done.stderr
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("worker: ")
    return line.removeprefix("worker: ")


@pytest.mark.parametrize(
    ("source", "target", "message"),
    [
        ("", "mine", "must have the form MODULE:APP"),
        ("", "mine:", "must have the form MODULE:APP"),
        ("", ":app", "must have the form MODULE:APP"),
        ("", "yours:app", "there is no module 'yours'"),
        ("", "mine.deeper:app", "there is no module 'mine.deeper'"),
        ("", "mine:app", "'mine:app' is no worker.App, but NoneType"),
        ("app = 5", "mine:app", "'mine:app' is no worker.App, but int"),
        ("from worker import App\napp = App()", "mine:app", "'mine:app' has no handlers"),
        ("import no_such_library", "mine:app", "importing 'mine' failed: No module named"),
        ("1 / 0", "mine:app", "importing 'mine' failed: ZeroDivisionError: division by zero"),
        ("def broken(:", "mine:app", "importing 'mine' failed: SyntaxError"),
    ],
)
def test_a_bad_app_is_refused(
    run_command: RunCommand, tmp_path: Path, source: Any, target: Any, message: Any
) -> None:
    (tmp_path / "mine.py").write_text(source)
    done = run_command("run", target)
    if message.startswith("importing"):  # after the traceback of the user's module
        assert done.stderr.startswith(("Traceback", f'  File "{tmp_path}'))
        assert 'mine.py", line 1' in done.stderr
        done.stderr = done.stderr.splitlines()[-1]
    assert message in refusal(done)


def test_an_app_may_be_an_attribute_of_an_attribute(
    start_worker: StartWorker, tmp_path: Path, producer: Producer
) -> None:
    source = "from tests.apps import basic\nclass Apps:\n    ours = basic.app\n"
    (tmp_path / "mine.py").write_text(source)
    start_worker(app="mine:Apps.ours")
    assert producer.run("echo")["status"] == "succeeded"


def test_a_redis_that_cannot_be_reached_is_waited_for_and_then_given_up(
    run_command: RunCommand,
) -> None:
    url = f"redis://someone:secret@127.0.0.1:{free_port()}/0"
    message = refusal(run_command("run", APP, redis_url=url, startup_timeout=2))
    assert "can't be reached" in message
    assert "gave up after 2 s (WORKER_STARTUP_TIMEOUT)" in message
    assert "secret" not in message


def test_a_server_that_takes_connections_but_never_answers_is_named(
    run_command: RunCommand, environment: dict[str, str], dynamo_proxy: DynamoProxy
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"redis://127.0.0.1:{silent.getsockname()[1]}/0"
        message = refusal(run_command("run", APP, redis_url=url, startup_timeout=2))
        assert message.startswith(f"Redis at {url} did not answer; gave up after 2 s")
    environment["AWS_ENDPOINT_URL_DYNAMODB"] = dynamo_proxy.url
    dynamo_proxy.delay = 60
    message = refusal(run_command("run", APP, startup_timeout=1))
    assert message.startswith("DynamoDB's table 'config' did not answer; gave up after 1 s")


def test_a_redis_that_comes_in_time_is_good_enough(
    start_worker: StartWorker, tmp_path: Path, redis_binary: str | None
) -> None:
    server = RedisServer(tmp_path, binary=redis_binary)
    worker = start_worker(redis_url=server.url, ready=False)
    server.start()
    try:
        worker.wait_ready()
        assert worker.stop() == 0
    finally:
        server.stop()


def test_wrong_redis_credentials_are_refused_at_once(
    run_command: RunCommand, redis_server: RedisServer
) -> None:
    url = redis_server.url.replace("redis://", "redis://nobody:secret@")
    message = refusal(run_command("run", APP, redis_url=url, startup_timeout=30))
    assert "refuses these credentials" in message
    assert "secret" not in message


def test_a_missing_table_is_refused(run_command: RunCommand) -> None:
    message = refusal(run_command("run", APP, config_table="nowhere"))
    assert "'nowhere'" in message
    assert "worker config init" in message


def test_another_key_name_is_refused(run_command: RunCommand, session_dynamo: DynamoServer) -> None:
    table = Table(session_dynamo, name="other", key="name").create()
    message = refusal(run_command("run", APP, config_table="other"))
    assert "WORKER_CONFIG_KEY" in message
    table.drop()
    table.close()


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1"}, "DynamoDB"),
        ({"AWS_ENDPOINT_URL_DYNAMODB": "no URL"}, "the DynamoDB client can't be made"),
        ({"AWS_REGION": ""}, "region"),
    ],
)
def test_an_unusable_dynamodb_is_refused(
    environment: dict[str, Any], run_command: RunCommand, variables: Any, message: Any
) -> None:
    environment |= variables
    told = refusal(run_command("run", APP, startup_timeout=3))
    assert message in told


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lease": 0}, "WORKER_LEASE"),
        ({"concurrency": "many"}, "WORKER_CONCURRENCY"),
        ({"queue": "a{b"}, "WORKER_QUEUE"),
        ({"redis_url": "http://secret@host"}, "WORKER_REDIS_URL: must begin with redis://"),
        ({"config_ttl": "nan"}, "WORKER_CONFIG_TTL"),
        ({"log_level": "LOUD"}, "WORKER_LOG_LEVEL"),
    ],
)
def test_a_setting_that_cannot_be_used_is_named(
    run_command: RunCommand, settings: Any, message: Any
) -> None:
    told = refusal(run_command("run", APP, **settings))
    assert message in told
    assert "secret" not in told
