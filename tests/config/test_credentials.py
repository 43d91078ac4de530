"""Credentials that are missing or go bad: what an operator has to fix is named, at once."""

import json
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from tests.config.aws import AnswerServer, answering
from tests.config.fakes import each
from tests.support.producer import Producer
from tests.support.servers import DynamoServer
from tests.support.table import Table
from tests.support.waiting import wait_until
from tests.support.worker_process import RunCommand, StartWorker
from worker.config.client import open_dynamo
from worker.config.table import ConfigTable
from worker.errors import ConfigUnavailable, StartupError
from worker.settings import Settings

pytestmark = pytest.mark.once

SECRET = "hunter2"
CONTAINER = "AWS_CONTAINER_CREDENTIALS_FULL_URI"


def credentials(minutes: float = 5, **changes: Any) -> dict[str, Any]:
    """Good credentials. So near their end, they are fetched again for every call."""
    until = datetime.now(UTC) + timedelta(minutes=minutes)
    return {
        "AccessKeyId": "test",
        "SecretAccessKey": SECRET,
        "Token": "test",
        "Expiration": until.strftime("%Y-%m-%dT%H:%M:%SZ"),
        **changes,
    }


def encoded(value: Any) -> bytes:
    return value if isinstance(value, bytes) else json.dumps(value).encode()


class Host:
    """A host with nothing but what a test puts there: an AWS config file and variables."""

    def __init__(self, folder: Path, dynamo: DynamoServer) -> None:
        self.folder = folder
        self.variables: dict[str, str | None] = {
            "HOME": str(folder),
            "AWS_CONFIG_FILE": str(folder / "config"),
            "AWS_SHARED_CREDENTIALS_FILE": str(folder / "credentials"),
            "AWS_EC2_METADATA_DISABLED": "true",
            "AWS_REGION": "us-east-1",
            "AWS_ENDPOINT_URL_DYNAMODB": dynamo.url,
            "AWS_ACCESS_KEY_ID": None,
            "AWS_SECRET_ACCESS_KEY": None,
        }

    def configure(self, *lines: str) -> None:
        (self.folder / "config").write_text("\n".join(["[default]", *lines, ""]))

    def program(self, source: str) -> str:
        """A program for `credential_process`."""
        path = self.folder / "program.py"
        path.write_text(source)
        return f"{sys.executable} {path}"


@pytest.fixture
def host(
    tmp_path: Path, session_dynamo: DynamoServer, table: Table, monkeypatch: pytest.MonkeyPatch
) -> Host:
    host = Host(tmp_path, session_dynamo)
    for name, value in host.variables.items():
        if value is None:
            monkeypatch.delenv(name, raising=False)
        else:
            monkeypatch.setenv(name, value)
    return host


@pytest.fixture
def server() -> Iterator[AnswerServer]:
    with AnswerServer(lambda: (200, b"")).running() as server:
        yield server


def read_failure(**settings: Any) -> ConfigUnavailable | StartupError | None:
    """What a client that is opened and reads once raises."""

    async def main() -> None:
        async with open_dynamo(Settings(**settings)) as (_, client):
            await ConfigTable(client, "config", "key").read(["k"])

    try:
        anyio.run(main)
    except (ConfigUnavailable, StartupError) as raised:
        error = raised
    else:
        return None
    assert SECRET not in str(error)
    assert "\n" not in str(error)
    return error


def is_misconfigured(error: object) -> bool:
    """Whether a start ends with this error at once."""
    return isinstance(error, StartupError) or (
        isinstance(error, ConfigUnavailable) and error.misconfigured
    )


# -- a container's endpoint ------------------------------------------------------------------------

NO_CREDENTIALS = [
    *([], [1], None, 5, True, "x", {}, {"AccessKeyId": "a"}, b"<html>"),
    *(
        credentials(Expiration=value)
        for value in each(None, 5, [], "", "tomorrow", "2020-13-45", {})
    ),
    {**credentials(), "Code": "x", "SecretAccessKey": None, "Expiration": "2001-01-01T00:00:00Z"},
    credentials(minutes=-60),
]


@pytest.mark.parametrize("answer", NO_CREDENTIALS)
def test_a_container_endpoint_that_answers_anything_else_is_named(
    host: Host, server: AnswerServer, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    monkeypatch.setenv(CONTAINER, server.url)
    server.answer = lambda: (200, encoded(answer))
    error = read_failure()
    assert is_misconfigured(error)
    assert str(error).startswith("no AWS credentials (")


def test_a_container_endpoint_that_refuses_is_named(
    host: Host, server: AnswerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONTAINER, server.url)
    server.answer = lambda: (404, b"no such role")
    error = read_failure()
    assert isinstance(error, StartupError)
    assert "Received non 200 response 404" in str(error)


def test_good_credentials_of_a_container_are_used(
    host: Host, server: AnswerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONTAINER, server.url)
    server.answer = lambda: (200, encoded(credentials()))
    assert read_failure() is None


def test_credentials_that_go_bad_later_are_misconfiguration_and_may_come_back(
    host: Host, server: AnswerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONTAINER, server.url)
    server.answer = lambda: (200, encoded(credentials()))

    async def main() -> None:
        async with open_dynamo(Settings()) as (_, client):
            table = ConfigTable(client, "config", "key")
            for answer in NO_CREDENTIALS:
                if isinstance(answer, bytes):
                    continue  # no JSON is asked for three times, a second apart
                server.answer = lambda: (200, encoded(credentials()))
                assert await table.read(["k"]) == {"k": None}
                server.answer = answering(200, encoded(answer))
                with pytest.raises(ConfigUnavailable, match="no AWS credentials") as raised:
                    await table.read(["k"])
                assert raised.value.misconfigured
                assert "can't be reached" not in str(raised.value)
                assert SECRET not in str(raised.value)

    anyio.run(main)


def test_a_container_endpoint_that_is_away_is_no_misconfiguration(
    host: Host, server: AnswerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(CONTAINER, server.url)
    server.answer = lambda: (200, encoded(credentials()))

    async def main() -> ConfigUnavailable:
        async with open_dynamo(Settings()) as (_, client):
            table = ConfigTable(client, "config", "key")
            await table.read(["k"])
            server.stop()
            with pytest.raises(ConfigUnavailable) as raised:
                await table.read(["k"])
            return raised.value

    error = anyio.run(main)
    assert not error.misconfigured
    assert str(error).startswith("AWS credentials can't be fetched now (")


# -- a program -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("", "credential_process"),
        (f"print('{SECRET}')", "credential_process"),
        ("print('[]')", "credential_process"),
        ("print('null')", "credential_process"),
        ("print('5')", "credential_process"),
        ("print('{}')", "Unsupported version"),
        ("print('{\"Version\": 1}')", "Missing required key"),
        ("import sys; sys.stdout.buffer.write(b'\\xff')", "credential_process"),
        ("import sys; sys.exit('log in\\nfirst')", "log in first"),
        ("import os; os.kill(os.getpid(), 9)", "custom-process"),
        ("1 / 0", "ZeroDivisionError"),
    ],
)
def test_a_credential_process_that_fails_or_prints_anything_else_is_named(
    host: Host, source: str, message: str
) -> None:
    host.configure(f"credential_process = {host.program(source)}")
    error = read_failure()
    assert isinstance(error, StartupError)
    assert str(error).startswith("no AWS credentials (")
    assert message in str(error)


def test_a_credential_process_that_does_not_exist_is_named(host: Host) -> None:
    host.configure("credential_process = /nowhere/at/all")
    error = read_failure()
    assert isinstance(error, StartupError)
    assert "'/nowhere/at/all' can't be read (No such file or directory)" in str(error)


# -- single sign-on, web identity, roles -----------------------------------------------------------

SSO = ("sso_account_id = 1", "sso_role_name = r", "sso_region = us-east-1")


@pytest.mark.parametrize("session", [False, True])
def test_a_missing_login_is_named(host: Host, session: bool) -> None:
    if session:
        host.configure("sso_session = s", *SSO[:2], "[sso-session s]", SSO[2], "sso_start_url = x")
    else:
        host.configure("sso_start_url = https://example.com/start", *SSO)
    error = read_failure()
    assert is_misconfigured(error)
    assert "log in with 'aws sso login'" in str(error)


def web_identity(monkeypatch: pytest.MonkeyPatch, token: Path, sts: str) -> None:
    monkeypatch.setenv("AWS_WEB_IDENTITY_TOKEN_FILE", str(token))
    monkeypatch.setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/worker")
    monkeypatch.setenv("AWS_ENDPOINT_URL_STS", sts)


def test_a_missing_web_identity_file_is_named(
    host: Host, server: AnswerServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    web_identity(monkeypatch, host.folder / "nothing", server.url)
    error = read_failure()
    assert is_misconfigured(error)
    assert f"{str(host.folder / 'nothing')!r} can't be read (No such file" in str(error)
    assert "AWS_WEB_IDENTITY_TOKEN_FILE" in str(error)


def denial(code: str) -> bytes:
    """An error as STS sends it."""
    namespace = "https://sts.amazonaws.com/doc/2011-06-15/"
    error = f"<Error><Type>Sender</Type><Code>{code}</Code><Message>no {SECRET}</Message></Error>"
    return f'<ErrorResponse xmlns="{namespace}">{error}</ErrorResponse>'.encode()


@pytest.mark.parametrize(
    ("operation", "code"),
    [
        ("AssumeRoleWithWebIdentity", "AccessDenied"),
        ("AssumeRoleWithWebIdentity", "InvalidIdentityToken"),
        ("AssumeRoleWithWebIdentity", "ExpiredTokenException"),
        ("AssumeRole", "AccessDenied"),
        ("AssumeRole", "InvalidClientTokenId"),
    ],
)
def test_a_role_that_may_not_be_assumed_is_named(
    host: Host, server: AnswerServer, monkeypatch: pytest.MonkeyPatch, operation: str, code: str
) -> None:
    server.answer = lambda: (403, denial(code))
    if operation == "AssumeRole":
        monkeypatch.setenv("AWS_ENDPOINT_URL_STS", server.url)
        (host.folder / "credentials").write_text(
            f"[base]\naws_access_key_id = test\naws_secret_access_key = {SECRET}\n"
        )
        host.configure("role_arn = arn:aws:iam::123456789012:role/worker", "source_profile = base")
    else:
        (host.folder / "token").write_text("token")
        web_identity(monkeypatch, host.folder / "token", server.url)
    error = read_failure()
    assert is_misconfigured(error)
    assert f"AWS refused {operation} ({code})" in str(error)


@pytest.mark.parametrize(
    "answer", [(200, b"[]"), (200, b"<x/>"), (200, b""), (403, b"{"), (403, b"")]
)
def test_a_server_that_is_not_sts_is_survived(
    host: Host, server: AnswerServer, monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    (host.folder / "token").write_text("token")
    web_identity(monkeypatch, host.folder / "token", server.url)
    server.answer = lambda: answer
    assert is_misconfigured(read_failure())


def test_sts_that_is_away_is_no_misconfiguration(
    host: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    (host.folder / "token").write_text("token")
    web_identity(monkeypatch, host.folder / "token", "http://127.0.0.1:1")
    error = read_failure()
    assert isinstance(error, ConfigUnavailable)
    assert not error.misconfigured
    assert "AWS credentials can't be fetched now" in str(error)


def test_no_credentials_at_all_are_named(host: Host) -> None:
    error = read_failure()
    assert is_misconfigured(error)
    assert "no AWS credentials (NoCredentialsError)" in str(error)
    assert "AWS_PROFILE" in str(error)


# -- as operators see it ---------------------------------------------------------------------------


@pytest.fixture
def on_host(host: Host, environment: dict[str, str]) -> dict[str, str]:
    """The environment of workers and commands, which `start_worker` and `run_command` use."""
    for name in [name for name in environment if name.startswith("AWS_")]:
        del environment[name]
    environment |= {name: value for name, value in host.variables.items() if value is not None}
    return environment


@pytest.mark.parametrize("source", ["", "import sys; sys.exit('log in first')"])
def test_a_start_without_credentials_ends_at_once_in_one_line(
    host: Host, on_host: dict[str, str], run_command: RunCommand, source: str
) -> None:
    host.configure(f"credential_process = {host.program(source)}")
    began = time.monotonic()
    done = run_command("run", "tests.apps.basic:app", startup_timeout=30)
    assert done.returncode == 1
    assert done.stderr.startswith("worker: no AWS credentials (")
    assert done.stderr.count("\n") == 1
    assert time.monotonic() - began < 20


def test_a_credential_process_that_hangs_is_given_up(
    host: Host, on_host: dict[str, str], run_command: RunCommand
) -> None:
    host.configure(f"credential_process = {host.program('import time; time.sleep(60)')}")
    done = run_command("config", "get", "k", startup_timeout=1)
    assert done.returncode == 1
    assert done.stderr == (
        "worker: the source of the AWS credentials did not answer; gave up after 1 s "
        "(WORKER_STARTUP_TIMEOUT)\n"
    )


def test_a_worker_whose_credentials_go_bad_says_so_once_and_goes_on(
    on_host: dict[str, str],
    server: AnswerServer,
    start_worker: StartWorker,
    producer: Producer,
    table: Table,
) -> None:
    table.put("k", n=1)
    server.answer = lambda: (200, encoded(credentials()))
    on_host[CONTAINER] = server.url
    worker = start_worker(app="tests.apps.config:app", config_ttl=0.2)
    assert producer.run("show", config="k")["result"] == {"n": 1}
    server.answer = lambda: (200, b"[]")
    ids = [producer.push("show", config=f"unknown-{n}") for n in range(10)]
    wait_until(lambda: "An operator has to fix this" in worker.log)
    wait_until(lambda: producer.r.zcard("{jobs}:scheduled") == len(ids))
    asked = server.requests
    wait_until(lambda: server.requests > asked)
    (line,) = [line for line in worker.log.splitlines() if "Config can't be read" in line]
    assert "no AWS credentials (TypeError)" in line
    assert "can't be reached" not in line
    server.answer = lambda: (200, encoded(credentials()))
    for n in range(10):
        table.put(f"unknown-{n}", n=n)
    for n, job_id in enumerate(ids):
        assert producer.result(job_id, timeout=60)["result"] == {"n": n}
    assert "Traceback" not in worker.log
    assert SECRET not in worker.log
    assert worker.stop() == 0
