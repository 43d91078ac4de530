"""What is no Redis that a worker can use is named at the start, at once where no waiting helps."""

import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.certificates import Authority
from tests.support.commands import Command
from tests.support.other_servers import (
    Listener,
    RedisLike,
    TlsServer,
    WebServer,
    older,
    proxy_without,
)
from tests.support.ports import free_port
from tests.support.servers import RedisServer, valkey_command  # type: ignore[attr-defined]
from tests.support.table import Table
from tests.support.worker_process import RunCommand, StartWorker
from worker.demo.servers import process

APP = "tests.apps.basic:app"
PATIENCE = 60  # seconds of WORKER_STARTUP_TIMEOUT, of which next to none may be used


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "ours")


@pytest.fixture
def refuse(run_command: RunCommand) -> Callable[[str], str]:
    """Start a worker on this URL, which must be refused long before the time-out."""

    def run(url: str) -> str:
        began = time.monotonic()
        done = run_command("run", APP, redis_url=url, startup_timeout=PATIENCE)
        assert time.monotonic() - began < PATIENCE / 2
        return refusal(done)

    return run


def refusal(done: "subprocess.CompletedProcess[str]") -> str:
    assert done.returncode == 1, done.stderr
    (line,) = done.stderr.splitlines()
    return line


# -- TLS -------------------------------------------------------------------------------------------


def test_tls_spoken_to_in_plain(refuse: Any, authority: Authority, command: Command) -> None:
    with TlsServer(*authority.sign("redis", "127.0.0.1")) as server:
        assert "speaks TLS: begin WORKER_REDIS_URL with rediss://" in refuse(server.url)
        for words in (["status"], ["push", "h"], ["check", APP]):
            done = command(*words, redis_url=server.url)
            assert done.exit_code == 1
            assert "rediss://" in done.stdout + done.stderr


def test_plain_spoken_to_in_tls(refuse: Any, redis_server: RedisServer) -> None:
    url = redis_server.url.replace("redis://", "rediss://")
    assert "does not speak TLS: begin WORKER_REDIS_URL with redis://" in refuse(url)


@pytest.mark.parametrize("named", ["another", "none"])
def test_a_wrong_authority(refuse: Any, authority: Authority, tmp_path: Path, named: str) -> None:
    query = f"?ssl_ca_certs={Authority(tmp_path, 'another').file}" if named == "another" else ""
    with TlsServer(*authority.sign("redis", "127.0.0.1")) as server:
        message = refuse(f"rediss://127.0.0.1:{server.port}/0{query}")
    assert "certificate verify failed" in message
    assert "ssl_ca_certs=FILE" in message


def test_a_certificate_of_another_host(refuse: Any, authority: Authority) -> None:
    with TlsServer(*authority.sign("elsewhere", "redis.example")) as server:
        message = refuse(f"rediss://127.0.0.1:{server.port}/0?ssl_ca_certs={authority.file}")
    assert "not valid for '127.0.0.1'" in message


def test_a_server_that_wants_a_certificate_of_ours(refuse: Any, authority: Authority) -> None:
    files = authority.sign("redis", "127.0.0.1")
    with TlsServer(*files, clients_of=authority.file) as server:
        message = refuse(f"rediss://127.0.0.1:{server.port}/0?ssl_ca_certs={authority.file}")
    assert "ssl_certfile" in message
    assert "ssl_keyfile" in message


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ("ssl_ca_certs={0}/none.pem", "No such file"),
        ("ssl_ca_certs={0}", "Is a directory"),
        ("ssl_ca_certs={0}/empty.pem", "no certificate"),
        ("ssl_certfile={0}/none.pem", "No such file"),
        ("ssl_keyfile={0}/none.pem", "certfile"),
    ],
)
def test_a_file_of_the_url_that_can_not_be_used(
    refuse: Any, tmp_path: Path, options: Any, why: Any
) -> None:
    (tmp_path / "empty.pem").touch()
    message = refuse(f"rediss://127.0.0.1:{free_port()}/0?{options.format(tmp_path)}")
    assert why.lower() in message.lower()
    assert "ssl_" in message


# -- other servers ---------------------------------------------------------------------------------


@pytest.fixture
def sentinel(tmp_path: Path) -> Iterator[str]:
    port = free_port()
    config = tmp_path / "sentinel.conf"
    config.touch()
    command = [valkey_command(port, tmp_path)[0], str(config), "--sentinel", "--port", str(port)]
    with process(command, port, tmp_path):
        yield f"redis://127.0.0.1:{port}/0"


def test_a_sentinel(refuse: Any, sentinel: str, command: Command) -> None:
    message = "is a Sentinel, which holds no jobs: let WORKER_REDIS_URL name the primary"
    assert message in refuse(sentinel)
    assert message in command("check", APP, redis_url=sentinel).stdout


@pytest.mark.parametrize("version", ["3.2.13", "5.0.14", "6.2.14"])
def test_a_redis_before_7(refuse: Any, command: Command, version: str) -> None:
    with RedisLike(older(version)) as server:
        message = refuse(server.url)
        checked = command("check", APP, redis_url=server.url)
    assert "a worker needs Redis 7, Valkey 7.2, or newer" in message
    assert version in message or int(version[0]) < 6, "it says its version since 6.0"
    assert checked.exit_code == 1
    assert "a worker needs Redis 7" in checked.stdout


@pytest.mark.parametrize("lacking", [b"HELLO", b"EVAL", b"BLMOVE"])
def test_a_proxy_that_lacks_a_command(refuse: Any, lacking: bytes) -> None:
    with RedisLike(proxy_without(lacking)) as server:
        message = refuse(server.url)
    assert lacking.decode() in message
    assert "with no proxy between" in message


def test_a_proxy_that_hangs_up_is_named_when_the_time_is_over(run_command: RunCommand) -> None:
    with RedisLike(proxy_without(b"EVAL", hangs_up=True)) as server:
        done = run_command("run", APP, redis_url=server.url, startup_timeout=1)
    assert server.url in refusal(done)


def test_a_web_server(refuse: Any) -> None:
    with WebServer() as server:
        assert f"what answers for Redis at {server.url} is not Redis" in refuse(server.url)
        in_tls = refuse(server.url.replace("redis://", "rediss://"))
        assert "TLS failed" in in_tls


def test_a_replica_is_waited_for_since_a_failover_may_be_under_way(
    run_command: RunCommand, redis_server: RedisServer, tmp_path: Path, start_worker: StartWorker
) -> None:
    folder = tmp_path / "replica"
    folder.mkdir()
    replica = RedisServer(folder, replicaof=f"127.0.0.1 {redis_server.port}")
    replica.start()
    try:
        done = run_command("run", APP, redis_url=replica.url, startup_timeout=2)
        assert "is a replica, which takes no writes" in refusal(done)
        worker = start_worker(redis_url=replica.url, startup_timeout=60, ready=False)
        with replica.client() as client:
            client.execute_command("REPLICAOF", "NO", "ONE")
            worker.wait_ready()
            assert worker.stop() == 0
    finally:
        replica.stop()


def test_a_database_that_is_not_there(refuse: Any, redis_server: RedisServer) -> None:
    assert "DB index is out of range" in refuse(f"redis://127.0.0.1:{redis_server.port}/9999")


def test_a_command_that_the_user_may_not_run(refuse: Any, redis_server: RedisServer) -> None:
    rules = ["on", ">secret", "~*", "&*", "+@all", "-blmove"]
    with redis_server.client() as client:
        client.execute_command("ACL", "SETUSER", "narrow", *rules)
        message = refuse(redis_server.url.replace("//", "//narrow:secret@"))
        client.execute_command("ACL", "DELUSER", "narrow")
    assert "blmove" in message.lower()
    assert "secret" not in message


def test_a_full_redis_is_no_reason_not_to_start(
    start_worker: StartWorker, tmp_path: Path, table: Table
) -> None:
    """Its jobs are what fills it."""
    server = RedisServer(tmp_path, maxmemory="1", maxmemory_policy="noeviction")
    server.start()
    try:
        worker = start_worker(redis_url=server.url, startup_timeout=2)
        assert worker.exit_code is None
    finally:
        server.stop()


# -- both at once ----------------------------------------------------------------------------------


def test_redis_and_the_table_are_looked_at_together(
    run_command: RunCommand, environment: dict[str, str]
) -> None:
    """What is wrong with the table for good is not kept back until Redis is there."""
    began = time.monotonic()
    with Silent() as server:
        done = run_command(
            "run", APP, redis_url=server.url, startup_timeout=PATIENCE, config_table="nowhere"
        )
    assert time.monotonic() - began < PATIENCE / 2
    assert "there is no such table" in refusal(done)


class Silent(Listener):
    """Takes connections and never answers."""

    def serve(self, connection: Any) -> None:
        while connection.recv(1000):
            pass


# -- DynamoDB --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "said"), [("https", "AWS_CA_BUNDLE=FILE"), ("http", "can't be reached")]
)
def test_a_dynamodb_of_another_authority(
    run_command: RunCommand,
    environment: dict[str, str],
    authority: Authority,
    scheme: str,
    said: str,
) -> None:
    with TlsServer(*authority.sign("dynamodb", "127.0.0.1")) as server:
        environment["AWS_ENDPOINT_URL_DYNAMODB"] = f"{scheme}://127.0.0.1:{server.port}"
        patience = PATIENCE if scheme == "https" else 5
        done = run_command("run", APP, startup_timeout=patience, timeout=PATIENCE / 2)
    assert said in refusal(done)


def test_a_plain_dynamodb_spoken_to_in_tls(
    run_command: RunCommand, environment: dict[str, str]
) -> None:
    url = environment["AWS_ENDPOINT_URL_DYNAMODB"].replace("http://", "https://")
    environment["AWS_ENDPOINT_URL_DYNAMODB"] = url
    done = run_command("run", APP, startup_timeout=PATIENCE, timeout=PATIENCE / 2)
    assert "does not speak TLS: check AWS_ENDPOINT_URL_DYNAMODB" in refusal(done)
