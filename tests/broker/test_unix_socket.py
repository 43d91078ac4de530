"""WORKER_REDIS_URL with a unix socket; options that belong to TLS."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import Command
from tests.support.servers import RedisServer
from tests.support.table import Table
from tests.support.worker_process import RunCommand, StartWorker

APP = "tests.apps.basic:app"


@pytest.fixture
def socket(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "redis.sock"
    server = RedisServer(tmp_path, unixsocket=str(path))
    server.start()
    yield path
    server.stop()


def test_a_worker_and_the_commands_use_a_unix_socket(
    start_worker: StartWorker, run_command: RunCommand, socket: Path, table: Table
) -> None:
    url = f"unix://{socket}?db=1"
    worker = start_worker("--processes", "2", redis_url=url, ready=False)
    pushed = run_command("push", "echo", '"hi"', "--wait", "30", redis_url=url)
    assert json.loads(pushed.stdout)["status"] == "succeeded", pushed.stderr
    assert '"live":true' in run_command("status", "--json", redis_url=url).stdout
    assert f"at unix://{socket}" in run_command("check", APP, redis_url=url).stdout
    assert worker.stop() == 0


def test_a_socket_that_is_not_there_is_waited_for(run_command: RunCommand, tmp_path: Path) -> None:
    url = f"unix://{tmp_path}/none.sock"
    done = run_command("run", APP, redis_url=url, startup_timeout=2)
    assert done.returncode == 1
    assert f"Redis at {url} can't be reached" in done.stderr
    assert "gave up after 2 s" in done.stderr


def test_the_password_of_a_socket_is_not_shown(command: Command, tmp_path: Path) -> None:
    done = command("status", redis_url=f"unix://someone:secret@{tmp_path}/none.sock")
    assert done.exit_code == 1
    assert "unix://someone:***@/" in done.stderr


@pytest.mark.once
@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("unix://var/run/redis.sock", "needs three slashes: unix:///path/of/the/socket"),
        ("unix://", "names no socket"),
        ("unix:///", "names no socket"),
        (
            "redis://localhost?ssl_cert_reqs=none",
            "ssl_cert_reqs is an option of TLS, which needs redi",
        ),
        (
            "redis://localhost?ssl_ca_certs=ca.pem",
            "ssl_ca_certs is an option of TLS, which needs redi",
        ),
        ("unix:///redis.sock?ssl_cert_reqs=none", "ssl_cert_reqs is an option of TLS"),
        ("rediss://localhost?ssl_cert_reqs=perhaps", "WORKER_REDIS_URL can't be used"),
        ("rediss://localhost?ssl_colour=red", "WORKER_REDIS_URL can't be used"),
    ],
)
def test_a_url_that_can_not_work_is_said_in_one_line(command: Command, url: str, said: str) -> None:
    done = command("status", redis_url=url)
    assert (done.exit_code, done.stdout) == (1, "")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1
