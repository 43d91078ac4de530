"""No traceback for anybody: closed streams, full disks, odd locales, odd `.env` files."""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis

from tests.support.table import Table

pytestmark = pytest.mark.once

Shell = Callable[..., "subprocess.CompletedProcess[bytes]"]
APP = "tests.apps.basic:app"


@pytest.fixture
def shell(environment: dict[str, str], tmp_path: Path) -> Shell:
    """Run a line of shell in which `worker` is our command; output as bytes, no traceback in it."""

    def run(line: str, **variables: str) -> "subprocess.CompletedProcess[bytes]":
        worker = f'worker() {{ {shlex.quote(sys.executable)} -P -m worker "$@"; }}\n'
        done = subprocess.run(
            ["/bin/bash", "-c", worker + line],
            cwd=tmp_path,
            env={**environment, **variables},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert b"Traceback" not in done.stderr + done.stdout, done.stderr.decode()
        return done

    return run


# -- streams ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize("flags", ["", "--processes 2"])
def test_a_worker_with_closed_streams_runs_and_ends_with_0(
    shell: Shell, r: redis.Redis, closed: str, flags: str
) -> None:
    r.lpush("jobs", '{"id":"1","handler":"echo"}')
    done = shell(f"worker run {APP} --burst {flags} {closed}")
    assert done.returncode == 0, done.stderr
    assert r.exists("{jobs}:result:1")


@pytest.mark.parametrize(
    ("line", "code"),
    [
        ("worker status >&-", 0),
        ("worker status <&- >&- 2>&-", 0),
        ("worker push echo 1 <&-", 0),
        ("worker push echo - <&-", 2),
        ("worker --help >&-", 0),
        ("worker nonsense 2>&-", 2),
        ("worker status --queue 'a{b' 2>&-", 1),
    ],
)
def test_commands_with_closed_streams(shell: Shell, line: str, code: int) -> None:
    assert shell(line).returncode == code


FULL = [
    "--help",
    "status",
    "status --json",
    "push echo 1",
    f"check {APP}",
    "config list",
    "dead list",
]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
@pytest.mark.parametrize("command", FULL)
def test_a_full_disk_is_said_in_one_line(
    shell: Shell, r: redis.Redis, table: Table, command: str
) -> None:
    r.lpush("{jobs}:dead", *("x" * 100 for _ in range(200)))
    table.put("acme", width=3)
    done = shell(f"worker {command} >/dev/full")
    assert done.returncode == 1
    assert done.stderr == b"worker: the output can't be written: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="only Linux has /dev/full")
def test_a_full_disk_under_the_log_stops_no_worker(shell: Shell, r: redis.Redis) -> None:
    r.lpush("jobs", '{"id":"1","handler":"echo"}')
    assert shell(f"worker run {APP} --burst 2>/dev/full").returncode == 0
    assert r.exists("{jobs}:result:1")


# -- locales ---------------------------------------------------------------------------------------

POSIX = {"LC_ALL": "POSIX", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"}
LATIN = {"PYTHONIOENCODING": "latin-1"}
ASCII = {"PYTHONIOENCODING": "ascii"}


@pytest.mark.parametrize("locale", [POSIX, LATIN, ASCII], ids=["posix", "latin-1", "ascii"])
@pytest.mark.parametrize(
    "command",
    ["status", "status --json", "dead list", "dead retry 日本", "config list", "push é 1"],
)
def test_what_the_locale_can_not_encode_is_escaped(
    shell: Shell, r: redis.Redis, table: Table, locale: dict[str, str], command: str
) -> None:
    r.zadd("{jobs}:workers", {"wörker-日本": 1})
    r.lpush(
        "{jobs}:dead", '{"job":"{\\"id\\":\\"日本\\",\\"handler\\":\\"é\\"}","reason":"failed"}'
    )
    table.put("日本", name="é")
    done = shell(f"worker {command}", **locale)
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize(
    "locale", [POSIX, LATIN, ASCII, {}], ids=["posix", "latin-1", "ascii", "-"]
)
def test_ids_and_payloads_arrive_as_they_were_typed(
    shell: Shell, r: redis.Redis, locale: dict[str, str]
) -> None:
    done = shell("""worker push é '"日本 \\ud83d\\ude00"' --id ä-日本 --config ü""", **locale)
    assert done.returncode == 0
    (raw,) = r.lrange("jobs", 0, -1)
    assert '"handler":"é"' in raw
    assert '"id":"ä-日本"' in raw
    assert '"payload":"日本' in raw
    assert shell("worker result ä-日本", **locale).returncode == 3


@pytest.mark.parametrize(
    "line",
    [
        r"worker result $'\xff'",
        r"worker push $'h\xff' 1",
        r"worker push h 1 --id $'\xff'",
        r"worker dead retry $'\xff'",
        r"worker config get $'\xff'",
        r"worker status --queue $'\xff'",
        r"""worker push h $'"\xff"'""",
    ],
)
def test_arguments_that_are_no_utf_8_are_wrong_usage(shell: Shell, line: str) -> None:
    done = shell(line)
    assert done.returncode == 2
    assert b"is not text in UTF-8" in done.stderr
    assert done.stderr.count(b"\n") == 1


# -- settings from files ---------------------------------------------------------------------------


def test_an_env_file_that_is_no_utf_8(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"WORKER_QUEUE=\xff\n")
    done = shell("worker status")
    assert (done.returncode, done.stdout) == (1, b"")
    assert b".env can't be read: it is not text in UTF-8" in done.stderr


def test_an_env_file_that_is_a_pipe_is_not_waited_for(shell: Shell, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / ".env")
    done = shell("worker status; worker run x:y")
    assert done.returncode == 1
    assert done.stderr.count(b".env can't be read: it is a pipe, not a file") == 2


def test_an_env_file_that_may_not_be_read(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("WORKER_QUEUE=a\n")
    (tmp_path / ".env").chmod(0)
    # Root may read it all the same, unless it gives up that right.
    line = "setpriv --bounding-set=-dac_override,-dac_read_search"
    if os.getuid() == 0 and shell(f"{line} true").returncode:
        pytest.skip("root, and no setpriv")
    prefix = line if os.getuid() == 0 else ""
    done = shell(f"{prefix} {sys.executable} -P -m worker status")
    assert done.returncode == 1
    assert done.stderr == b"worker: .env can't be read: Permission denied\n"


def test_env_files_of_other_kinds_are_no_env_files(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / ".env").mkdir()
    assert shell("worker status").returncode == 0
    (tmp_path / ".env").rmdir()
    (tmp_path / ".env").symlink_to(".env")
    assert shell("worker status").returncode == 0


def test_an_env_file_of_an_editor_that_puts_a_mark_in_front(shell: Shell, tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"\xef\xbb\xbfWORKER_QUEUE=marked\r\n")
    assert b"marked" in shell("worker status").stdout


def test_settings_that_end_in_a_newline_or_begin_with_a_space(
    shell: Shell, environment: dict[str, str]
) -> None:
    padded = {
        name: f" {value}\n"
        for name, value in environment.items()
        if name.startswith(("AWS_", "WORKER_"))
    }
    padded |= {
        "WORKER_QUEUE": " a , b\n",
        "WORKER_CONCURRENCY": " 5\n",
        "WORKER_LEASE": "\t3\n",
        "WORKER_PROCESSES": " 1 \n",
        "WORKER_LOG_LEVEL": " info\n",
        "WORKER_CONFIG_TABLE": " config\n",
    }
    done = shell(f"worker run {APP} --burst", **padded)
    assert done.returncode == 0, done.stderr
    assert b"takes jobs from a, b, 5 at a time" in done.stderr
    assert shell("worker config list", **padded).returncode == 0


@pytest.mark.parametrize("name", ["WORKER_QUEUE", "WORKER_REDIS_URL", "WORKER_CONFIG_TABLE"])
def test_a_setting_that_is_no_utf_8(shell: Shell, name: str) -> None:
    done = shell(f"export {name}=$'redis://\\xff'; worker status")
    assert done.returncode == 1
    assert f"{name}: must be text in UTF-8".encode() in done.stderr


def test_a_current_folder_that_was_deleted(shell: Shell) -> None:
    done = shell("mkdir gone; cd gone; rmdir ../gone; worker status && worker run tasks:app")
    assert done.returncode == 1
    assert b"the current folder can't be read: No such file or directory" in done.stderr


# -- colours ---------------------------------------------------------------------------------------


@pytest.mark.skipif(shutil.which("script") is None, reason="script(1) gives commands a terminal")
@pytest.mark.parametrize(
    ("variables", "coloured"),
    [
        ({"TERM": "xterm"}, True),
        ({"TERM": "xterm", "NO_COLOR": ""}, True),
        ({"TERM": "xterm", "NO_COLOR": "1"}, False),
        ({"TERM": "dumb"}, False),
    ],
)
@pytest.mark.parametrize("command", [f"check {APP}", "status"])
def test_colours_are_for_those_who_want_them(
    shell: Shell, variables: dict[str, str], coloured: bool, command: str
) -> None:
    line = f"{shlex.quote(sys.executable)} -P -m worker {command}"
    done = shell(f"script -qec {shlex.quote(line)} /dev/null", **variables)
    assert done.returncode == 0
    assert (b"\x1b[" in done.stdout) == coloured
