"""WORKER_REDIS_URL: what can't be used is said in one line, and no password is ever shown."""

from collections.abc import Callable
from typing import Any

import pytest
import redis

from tests.support.waiting import wait_until
from worker import Settings, SettingsError
from worker.settings import masked

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("redis://someone:secret@host:6379/0", "redis://someone:***@host:6379/0"),
        ("rediss://:secret@host/0", "rediss://:***@host/0"),
        ("redis://host:6379/0?password=secret", "redis://host:6379/0"),
        ("redis://:secret/secret@host:6379/0", "(a URL that can't be read)"),
        ("redis://:123/secret@host:6379/0", "(a URL that can't be read)"),
        ("redis://:secret#secret@host", "(a URL that can't be read)"),
        ("redis://:secret?secret@host", "(a URL that can't be read)"),
        ("redis://:secret@[host", "(a URL that can't be read)"),
    ],
)
def test_a_shown_url_holds_no_password(url: str, shown: str) -> None:
    assert masked(url) == shown


@pytest.mark.parametrize("url", ["redis://:secret/secret@host", "redis://host:secret/0"])
def test_a_url_that_cannot_be_read_is_refused_without_quoting_it(url: str) -> None:
    with pytest.raises(SettingsError, match="percent-encoded") as caught:
        Settings(redis_url=url)
    assert "secret" not in str(caught.value)


def test_an_option_that_redis_py_does_not_know_is_named(
    run_command: Callable[..., Any],
) -> None:
    done = run_command("run", "tests.apps.basic:app", redis_url="redis://localhost/0?colour=red")
    assert done.returncode == 1
    assert "WORKER_REDIS_URL can't be used" in done.stderr
    assert "colour" in done.stderr
    assert "Traceback" not in done.stderr


def test_no_option_of_the_url_changes_what_the_worker_depends_on(
    start_worker: Callable[..., Any], r: redis.Redis
) -> None:
    options = "decode_responses=true&max_connections=1&socket_timeout=0.1&retry_on_timeout=true"
    url = f"redis://127.0.0.1:{r.connection_pool.connection_kwargs['port']}/0?{options}"
    worker = start_worker(redis_url=url)
    r.lpush("jobs", b"\xff\xfe", '{"id":"1","handler":"echo"}')
    wait_until(lambda: r.exists("{jobs}:result:1") and r.exists("{jobs}:dead"))
    assert worker.stop() == 0
    assert "Redis is away" not in worker.log
