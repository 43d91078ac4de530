"""`worker demo`, as a newcomer runs it: what it shows, that its commands work, and that it leaves
nothing behind however it ends.
"""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.program import Program
from tests.support.waiting import wait_until

ROOT = Path(__file__).parent.parent.parent
COMMAND = [sys.executable, "-m", "worker", "demo"]

pytestmark = [
    pytest.mark.once,
    pytest.mark.skipif(
        not Path("/proc/self/environ").exists(), reason="looks for processes in /proc"
    ),
]


@pytest.fixture
def start_demo(tmp_path: Path) -> Iterator[Callable[..., Program]]:
    demos: list[Program] = []

    def start(*flags: str, cwd: Path = ROOT, **options: Any) -> Program:
        demos.append(Program(*COMMAND, *flags, folder=tmp_path, cwd=cwd, **options))
        return demos[-1]

    yield start
    for demo in demos:
        demo.end()


def test_it_delivers_reports_and_keeps_its_servers_for_the_commands_it_names(
    start_demo: Any,
) -> None:
    demo = start_demo("--keep")
    demo.wait_for("\nall  ")
    assert "\x1b" not in demo.text
    lines = demo.text.rstrip().splitlines()
    table = lines[-7:]
    assert table[0].split() == ["tenant", "delivered", "retries", "buried", "its", "story"]
    assert max(map(len, table)) <= 60
    rows = {row[0]: row[1:4] for row in map(str.split, table)}
    assert rows["all"][0] == "1,900"
    assert rows["all"][2] == "100"
    assert rows["umbrella"] == ["0", "0", "100"]
    assert rows["initech"][0] == "300"
    assert int(rows["initech"][1]) > 100
    assert rows["hooli"][0] == "300"
    assert re.search(r"after the edit initech has its first delivery", demo.text)
    killed = re.search(
        r"A worker is killed now \(SIGKILL\), with (\d+) jobs in its hands", demo.text
    )
    back = re.search(r"(\d+\.\d) s after the kill its (\d+) jobs are back in the queue", demo.text)
    assert killed
    assert back
    assert killed[1] == back[2]
    assert 1 <= float(back[1]) <= 30
    assert re.search(r"All 2,000 jobs have their result\. None was lost,", demo.text)
    assert re.search(r"Throughput: 2,000 jobs in \d+\.\d s, \d+ a second", demo.text)
    assert '"config": {"key": "initech", "version": 2, "stale": false}' in demo.text
    assert '"type": "ConfigInvalid"' in demo.text

    first = next(n for n, line in enumerate(lines) if line.startswith("The servers stay up"))
    last = lines.index("The report")
    commands = [line.strip() for line in lines[first:last] if line.startswith("  ")]
    done = subprocess.run(
        ["sh", "-euc", "\n".join(commands)],
        cwd=ROOT,
        env=demo.environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert '"status":"succeeded"' in re.sub(r"\s", "", done.stdout)
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(20) == 130
    assert demo.children() == []


def test_ctrl_c_in_a_terminal_stops_it_half_way_and_leaves_no_process(start_demo: Any) -> None:
    demo = start_demo(terminal=True)
    wait_until(lambda: re.search(r"\d buried", demo.text), 60)
    assert len(demo.children()) >= 6
    demo.process.send_signal(signal.SIGINT)
    assert demo.process.wait(20) == 130
    assert demo.children() == []
    demo.wait_for("nothing is left running")
    lines = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", demo.text).replace("\r", "\n").split("\n")
    assert max(map(len, lines)) <= 80
    assert any(line.startswith("  initech") and "━" in line for line in lines)
    assert re.search("  umbrella .*\x1b\\[31m━", demo.text)


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGHUP, signal.SIGKILL])
def test_it_leaves_no_process_when_it_ends_while_it_starts(
    start_demo: Any, end: Any, tmp_path: Path
) -> None:
    demo = start_demo()
    wait_until(lambda: any("valkey" in command for command in demo.children()))
    demo.process.send_signal(end)
    assert demo.process.wait(20) == (-end if end is signal.SIGKILL else 130)
    wait_until(lambda: not demo.children())
    assert end is signal.SIGKILL or list(tmp_path.iterdir()) == []


@pytest.mark.skipif(shutil.which("uv") is None, reason="uv builds the wheel")
def test_it_runs_from_an_installed_wheel(start_demo: Any, tmp_path: Path) -> None:
    """Its dependencies are those of the tests; the package itself is the wheel's."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    built, installed = tmp_path / "built", tmp_path / "installed"
    subprocess.run(["uv", "build", "-q", "--wheel", "--out-dir", built, ROOT], check=True)
    (wheel,) = built.glob("*.whl")
    subprocess.run(
        ["uv", "pip", "install", "-q", "--no-deps", "--target", installed, wheel], check=True
    )
    demo = start_demo(cwd=folder, variables={"PYTHONPATH": str(installed)})
    demo.wait_for("\nall  ")
    assert "less ../installed/worker/demo/installed/examples/webhooks.py" in demo.text
    assert demo.process.wait(20) == 0
    assert demo.children() == []


def test_without_its_example_it_says_what_to_do(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "worker", tmp_path / "worker")
    done = subprocess.run(
        COMMAND, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 1
    assert "clone the repository" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["worker.py", "worker/__init__.py", "moto.py", "aiohttp.py"])
def test_no_file_of_the_current_folder_replaces_a_part_of_it(
    start_demo: Any, tmp_path: Path, name: Any
) -> None:
    folder = tmp_path / "mine"
    trap = folder / name
    trap.parent.mkdir(parents=True)
    trap.write_text(f"open({str(tmp_path / 'imported')!r}, 'w')\nraise SystemExit(7)\n")
    demo = start_demo(cwd=folder, safe=True)
    demo.wait_for("Workers   2 processes")
    demo.process.send_signal(signal.SIGTERM)
    assert demo.process.wait(20) == 130
    assert not (tmp_path / "imported").exists()
