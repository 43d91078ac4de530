"""Nobody gets in, and nothing gets out."""

import json
import pickle
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support import kinds
from tests.support.certificates import Authority
from tests.support.ports import free_port
from tests.support.producer import Producer, dead_bytes, job
from tests.support.servers import DEBIAN_REDIS, RedisServer
from tests.support.table import Table
from tests.support.waiting import wait_until
from tests.support.worker_process import RunCommand, Shared, StartWorker

APP = "tests.apps.promises:app"
LEAKY = "tests.apps.leaky:app"
PASSWORD = "pass-MARKER-word"
SECRET = "aws-MARKER-secret"
PAYLOAD = "payload-MARKER"
CONFIG = "config-MARKER"

# The smallest ACL with which `worker run` works, for the queue `jobs`. What handlers do with the
# shared client comes on top, and so do the lists that jobs name in `reply_to`.
ACL = (
    "~jobs ~{jobs}:* &{jobs}:result:* -@all +ping +eval +evalsha +time +scan +exists +set +publish "
    "+blmove +lmove +lpush +rpush +lrem +lrange +llen +zadd +zrem +zscore +zrange +zcard"
)


# -- who gets in -----------------------------------------------------------------------------------


@pytest.fixture
def guarded(tmp_path: Path, redis_binary: str | None) -> Iterator[RedisServer]:
    """A Redis that knows a user `worker` with the smallest ACL."""
    (tmp_path / "redis").mkdir()
    server = RedisServer(tmp_path / "redis", binary=redis_binary)
    server.start()
    with server.client() as r:
        let_in(r)
    yield server
    server.stop()


def let_in(r: Any) -> None:
    r.execute_command("ACL", "SETUSER", "worker", "reset", "on", f">{PASSWORD}", *ACL.split())


def test_a_worker_runs_under_the_smallest_acl(
    start_worker: StartWorker, guarded: Any, table: Table
) -> None:
    url = f"redis://worker:{PASSWORD}@127.0.0.1:{guarded.port}/0"
    with guarded.client() as r:
        producer = Producer(r)
        r.zadd("{jobs}:scheduled", {job("echo", id="scheduled"): 1})
        r.rpush("{jobs}:active:ghost", job("echo", id="recovered"))
        producer.push("echo", id="replied", reply_to="{jobs}:replies-are-not-to-its-own-keys")
        producer.push("echo", id="garbage", config=1)
        first = start_worker(app=APP, redis_url=url, lease=1, max_attempts=2, backoff_base=0)
        producer.push("no such handler", id="unknown")
        for id in ("scheduled", "recovered"):
            assert producer.result(id)["status"] == "succeeded"
        for id in ("replied", "garbage", "unknown"):
            assert producer.result(id)["status"] == "failed"
        assert first.stop() == 0
        producer.push("echo", id="last")
        assert start_worker("--burst", app=APP, redis_url=url, lease=1, ready=False).wait() == 0
        assert producer.result("last")["status"] == "succeeded"
        denied = {entry["object"] for entry in r.acl_log()}
        # redis-py tells its name and version where it may, and does not mind where it may not.
        assert denied <= {"client|setinfo", "client|maint_notifications"}
        assert "ACL" not in first.log

        with redis.Redis.from_url(url) as worker:
            with pytest.raises(redis.exceptions.NoPermissionError):
                worker.get("another:key")
            with pytest.raises(redis.exceptions.NoPermissionError):
                worker.flushall()


def test_a_wrong_password_is_reported_without_it(start_worker: StartWorker, guarded: Any) -> None:
    url = f"redis://worker:{PASSWORD}-wrong@127.0.0.1:{guarded.port}/0"
    worker = start_worker(redis_url=url, ready=False)
    assert worker.wait() == 1
    assert "redis://worker:***@127.0.0.1" in worker.log
    assert "MARKER" not in worker.log
    assert len(worker.log.splitlines()) == 1


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return Authority(tmp_path_factory.mktemp("ca"), "ours")


@pytest.mark.skipif(DEBIAN_REDIS is None, reason="only Debian's redis-server speaks TLS here")
def test_rediss_works_with_a_certificate_of_the_named_authority(
    start_worker: StartWorker, run_command: RunCommand, authority: Any, tmp_path: Path
) -> None:
    assert DEBIAN_REDIS is not None
    linked = subprocess.run(["ldd", DEBIAN_REDIS], capture_output=True, text=True, check=True)
    if "libssl" not in linked.stdout:
        pytest.skip("this redis-server was built without TLS")
    certificate, key = authority.sign("redis", "127.0.0.1")
    (tmp_path / "redis").mkdir()
    tls_port = free_port()
    server = RedisServer(
        tmp_path / "redis",
        binary=DEBIAN_REDIS,
        tls_port=str(tls_port),
        tls_cert_file=str(certificate),
        tls_key_file=str(key),
        tls_ca_cert_file=str(authority.file),
        tls_auth_clients="no",
    )
    server.start()
    url = f"rediss://127.0.0.1:{tls_port}/0?ssl_ca_certs={authority.file}"
    try:
        worker = start_worker(app=APP, redis_url=url)
        pushed = run_command("push", "echo", '"hi"', "--wait", "10", redis_url=url)
        assert json.loads(pushed.stdout.splitlines()[-1])["status"] == "succeeded"
        assert worker.stop() == 0
    finally:
        server.stop()


@pytest.mark.parametrize("wrong", ["authority", "host"])
def test_rediss_refuses_a_certificate_of_another(
    start_worker: StartWorker, tmp_path: Path, authority: Any, wrong: Any
) -> None:
    if wrong == "authority":
        certificate, key = Authority(tmp_path, "another").sign("redis", "127.0.0.1")
    else:
        certificate, key = authority.sign("elsewhere", "redis.example")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    shaken = []  # type: ignore[var-annotated]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=shake_hands, args=(listener, context, shaken))
        thread.start()
        url = f"rediss://worker:{PASSWORD}@127.0.0.1:{port}/0?ssl_ca_certs={authority.file}"
        worker = start_worker(redis_url=url, startup_timeout=1, ready=False)
        code = worker.wait()
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()
    assert code == 1
    assert "certificate verify failed" in worker.log.lower()
    assert "MARKER" not in worker.log
    assert shaken == []


def shake_hands(listener: socket.socket, context: ssl.SSLContext, shaken: list[bytes]) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        try:
            with context.wrap_socket(connection, server_side=True) as wrapped:
                shaken.append(wrapped.recv(1000))
        except OSError:
            connection.close()


# -- what gets out ---------------------------------------------------------------------------------


def test_payloads_and_config_values_and_secrets_are_never_logged(
    start_worker: StartWorker, run_command: RunCommand, guarded: Any, table: Table
) -> None:
    kinds.fill(table, CONFIG)
    url = f"redis://worker:{PASSWORD}@127.0.0.1:{guarded.port}/0"
    jobs = kinds.jobs(PAYLOAD)
    with guarded.client() as r:
        producer = Producer(r)
        r.execute_command("ACL", "SETUSER", "worker", "~a-string")
        r.set("a-string", PAYLOAD)
        worker = start_worker(
            app=LEAKY,
            redis_url=url,
            env={"AWS_SECRET_ACCESS_KEY": SECRET},
            log_level="DEBUG",
            **kinds.SETTINGS,
        )
        r.lpush("jobs", f"{PAYLOAD} is no JSON", f'["{PAYLOAD}"]', f'{{"id":["{PAYLOAD}"]}}')
        for raw in jobs.values():
            r.lpush("jobs", raw)
        for id in jobs:
            producer.result(id)
        assert PAYLOAD in producer.result("raises")["error"]["message"]
        r.execute_command("CLIENT", "KILL", "TYPE", "normal")
        producer.wait_idle()
        guarded.kill()
        wait_until(lambda: "Redis is away" in worker.log)
        guarded.start()
        let_in(r)
        wait_until(lambda: "Redis is back after" in worker.log)
    assert worker.stop() == 0
    assert " DEBUG " in worker.log
    assert "MARKER" not in worker.log
    checked = run_command("check", LEAKY, redis_url=url)
    assert "MARKER" not in checked.stdout + checked.stderr


@pytest.mark.parametrize(
    "id",
    [
        "../../x",
        "*",
        "a\nFORGED LINE",
        "}:dead",
        "{other}x",
        "\u0000",
        "dead",
        " ",
        "\u202e",
        "x" * 256,
        "👾",
    ],
)
def test_an_id_is_data_and_never_a_key_of_its_own(shared: Shared, id: Any) -> None:
    r = shared.r
    before = set(r.keys())
    shared.producer.push("echo", id=id)
    assert shared.producer.result(id)["id"] == id
    new = set(r.keys()) - before - {"{jobs}:workers"}
    assert new == {f"{{jobs}}:result:{id}"}
    shared.producer.push("no_such_handler", id=id, attempts=4)
    shared.producer.dead_entry(id)
    assert not any(line.startswith("FORGED") for line in shared.worker.log.splitlines())


@pytest.mark.parametrize(
    "reply_to",
    ["jobs", "{jobs}:dead", "{jobs}:workers", "{jobs}:result:1", "{jobs}:", "{jobs}:active:x", 7],
)
def test_a_reply_goes_to_none_of_the_queues_own_keys(shared: Shared, reply_to: Any) -> None:
    found = shared.producer.run("echo", reply_to=reply_to)
    assert (found["status"], found["error"]["type"]) == ("failed", "Malformed")
    assert "reply_to" in found["error"]["message"]


def test_no_module_is_imported_but_the_one_that_the_operator_named(
    start_worker: StartWorker, r: Any, producer: Producer, tmp_path: Path
) -> None:
    for name in ("evil", "handlers", "tasks"):
        (tmp_path / f"{name}.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'a')")
    start_worker(app=LEAKY, max_attempts=1, cwd=tmp_path)
    for number, name in enumerate(["evil", "evil:main", "evil.main", "os.system", "builtins:eval"]):
        producer.push(name, "1", id=f"{number}", config="evil")
        assert producer.result(f"{number}")["error"]["type"] == "UnknownHandler"
    producer.push("environment", id="5")
    assert producer.result("5")["result"] == []
    assert not (tmp_path / "imported").exists()


class Bomb:
    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> object:  # type: ignore[override]
        return (Path.touch, (self.file,))


def test_nothing_but_json_is_read(
    start_worker: StartWorker, r: Any, producer: Producer, tmp_path: Path
) -> None:
    raw = pickle.dumps({"id": "1", "handler": "echo", "payload": Bomb(tmp_path / "bang")})
    start_worker()
    r.lpush("jobs", raw)
    (entry,) = wait_until(producer.dead)
    assert (entry["reason"], dead_bytes(entry)) == ("malformed", raw)
    assert not (tmp_path / "bang").exists()
