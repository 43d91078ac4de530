"""SIGTERM, SIGHUP and Ctrl-C from the first moment on, also as process 1 of a container."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker

pytestmark = pytest.mark.once

ENDS = [signal.SIGTERM, signal.SIGHUP, signal.SIGINT]
# Leaves a mark, and takes longer to import than a container has time to stop.
SLOW = "import time\nfrom pathlib import Path\nPath('importing').touch()\ntime.sleep(60)\n"
# Swallows whatever is raised while it imports.
DEAF = """
import time
from pathlib import Path
from worker import App
app = App()
Path('importing').touch()
try:
    while True:
        time.sleep(0.01)
except BaseException:
    pass
@app.handler
async def echo(payload):
    return payload
"""


@pytest.fixture
def start(
    environment: dict[str, str], tmp_path: Path
) -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start a `worker` command in a folder with the module `tasks`, its output in `log`."""
    started: list[subprocess.Popen[bytes]] = []

    def run(
        *command: str, prefix: tuple[str, ...] = (), tasks: str = SLOW
    ) -> subprocess.Popen[bytes]:
        (tmp_path / "tasks.py").write_text(tasks)
        with (tmp_path / "log").open("wb") as log:
            started.append(
                subprocess.Popen(
                    [*prefix, sys.executable, "-P", "-m", "worker", *command],
                    cwd=tmp_path,
                    env=environment,
                    stdout=log,
                    stderr=log,
                )
            )
        return started[-1]

    yield run
    for process in started:
        process.kill()
        process.wait()


def child_of(parent: int) -> int | None:
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == parent:
            return int(stat.parent.name)
    return None


def catches(pid: int, number: signal.Signals) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.split("SigCgt:")[1].split()[0], 16) & (1 << (number - 1)))


@pytest.fixture
def as_process_1() -> tuple[str, ...]:
    prefix = ("unshare", "--pid", "--fork", "--kill-child")
    if shutil.which("unshare") is None or subprocess.run([*prefix, "true"], check=False).returncode:
        pytest.skip("process namespaces can't be made here")
    return prefix


@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
@pytest.mark.parametrize("command", [("run", "tasks:app"), ("check", "tasks:app")], ids=" ".join)
def test_process_1_ends_at_once_while_it_imports(
    start: Any, as_process_1: Any, tmp_path: Path, number: Any, command: Any
) -> None:
    outer = start(*command, prefix=as_process_1)
    wait_until((tmp_path / "importing").exists)
    os.kill(child_of(outer.pid) or 0, number)
    assert outer.wait(10) == (0 if command[0] == "run" else 128 + number)
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_process_1_catches_sigterm_before_it_imports_anything_large(
    start: Any, as_process_1: Any, tmp_path: Path
) -> None:
    outer = start("run", "tasks:app", prefix=as_process_1)
    inner = wait_until(lambda: child_of(outer.pid))
    wait_until(lambda: catches(inner, signal.SIGTERM))
    loaded = Path(f"/proc/{inner}/maps").read_text()
    assert "pydantic_core" not in loaded
    assert "uvloop" not in loaded
    os.kill(inner, signal.SIGTERM)
    assert outer.wait(10) in (0, 128 + signal.SIGTERM)


@pytest.mark.parametrize("flags", [(), ("--processes", "2")], ids=["one", "two"])
@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
def test_a_signal_during_the_start_ends_it_with_0(
    start: Any, tmp_path: Path, number: Any, flags: Any
) -> None:
    process = start("run", "tasks:app", *flags)
    wait_until((tmp_path / "importing").exists)
    process.send_signal(number)
    assert process.wait(10) == 0
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_signal_that_the_app_swallows_ends_the_worker_once_it_could_start(
    start: Any, tmp_path: Path, r: Any
) -> None:
    r.lpush("jobs", '{"id":"1","handler":"echo"}')
    process = start("run", "tasks:app", tasks=DEAF)
    wait_until((tmp_path / "importing").exists)
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert r.llen("jobs") == 1, "it has claimed nothing"


@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
@pytest.mark.parametrize("flags", [(), ("--processes", "2")], ids=["one", "two"])
def test_each_of_them_drains(start_worker: StartWorker, r: Any, number: Any, flags: Any) -> None:
    worker = start_worker(*flags, ready=False)
    wait_until(lambda: worker.log.count("takes jobs from") == (2 if flags else 1))
    r.lpush("jobs", '{"id":"nap","handler":"started","payload":1}')
    wait_until(lambda: r.get("started"))
    worker.signal(number)
    assert worker.wait() == 0
    assert r.exists("{jobs}:result:nap")


def test_a_sighup_that_is_ignored_stays_ignored(start: Any, tmp_path: Path, r: Any) -> None:
    """As under nohup, when the terminal is closed."""
    app = "from worker import App\napp = App()\n@app.handler\nasync def echo(payload): ...\n"
    process = start("run", "tasks:app", prefix=("nohup",), tasks=app)
    wait_until(lambda: "takes jobs from" in (tmp_path / "log").read_text())
    process.send_signal(signal.SIGHUP)
    r.lpush("jobs", '{"id":"1","handler":"echo"}')
    wait_until(lambda: r.exists("{jobs}:result:1"))
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 0


@pytest.mark.parametrize("command", [("result", "1", "--wait", "60")], ids=" ".join)
@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
def test_other_commands_end_by_128_and_the_signal_without_a_traceback(
    start: Any, tmp_path: Path, r: Any, command: Any, number: Any
) -> None:
    process = start(*command)
    wait_until(lambda: r.pubsub_numsub("{jobs}:result:1")[0][1])
    process.send_signal(number)
    assert process.wait(10) == 128 + number
    assert (tmp_path / "log").read_text() == ""


# -- forks -----------------------------------------------------------------------------------------

FORKS = """
import asyncio, os, signal, sys, threading, time
import uvloop
from worker.runtime.signals import signals_passed_to

def fork():
    child = os.fork()
    if not child:
        time.sleep(60)
        os._exit(0)
    return child

async def main():
    stopped = []
    with signals_passed_to(lambda: stopped.append(1), asyncio.get_running_loop()):
        child = await asyncio.to_thread(fork) if sys.argv[2] == "thread" else fork()
        os.kill(child, signal.SIGTERM)
        _, status = await asyncio.to_thread(os.waitpid, child, 0)
        await asyncio.sleep(0.2)
        print("child ended by", -os.waitstatus_to_exitcode(status), "stopped", stopped)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.2)
        print("stopped", stopped)

(uvloop.run if sys.argv[1] == "uvloop" else asyncio.run)(main())
"""


@pytest.mark.parametrize("loop", ["asyncio", "uvloop"])
@pytest.mark.parametrize("where", ["main", "thread"])
def test_the_signals_of_a_forked_child_are_its_own(
    environment: dict[str, str], loop: Any, where: Any
) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", FORKS, loop, where],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
    )
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[-2:] == ["child ended by 15 stopped []", "stopped [1]"]


IN_A_FINALIZER = """
import signal, time
from worker.runtime.signals import end_on_signals
end_on_signals()
class Dying:
    def __del__(self):
        signal.raise_signal(signal.{name})
Dying()
time.sleep(60)
"""


@pytest.mark.parametrize("number", ENDS, ids=lambda number: number.name)
def test_a_signal_in_a_finalizer_ends_the_start_all_the_same(number: signal.Signals) -> None:
    """Python ignores what a finalizer raises, and the import system runs some."""
    program = IN_A_FINALIZER.replace("{name}", number.name)
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=False
    )
    assert (done.returncode, done.stderr) == (128 + number, "")
