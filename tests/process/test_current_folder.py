"""The current folder: the app and its siblings are importable, and nothing of ours, of what we
depend on or of the standard library is replaced by a file that lies there.
"""

import importlib.metadata
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.producer import Producer
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker
from worker.errors import AppError
from worker.process.loading import load_app

pytestmark = pytest.mark.once

TASKS = """
import helpers
import siblings.deeper
from worker import App

app = App()

@app.handler
async def look(payload):
    import email, json, queue, random, redis, secrets, types, worker
    import cmath, code, sched, wave  # nothing has imported them before
    modules = [email, json, queue, random, redis, secrets, types, worker, helpers, siblings.deeper]
    return [module.__file__ for module in modules]
"""
# A file of the user's that must not be imported: the marker it leaves fails the test.
TRAP = "open({marker!r}, 'a').write(__name__ + ' ')\nraise SystemExit(7)\n"
# Named in the issue; more of the standard library; what we depend on; ours.
NAMES = [
    *("queue", "types", "json", "logging", "redis"),
    *(
        "abc",
        "asyncio",
        "code",
        "copy",
        "email",
        "enum",
        "functools",
        "html",
        "inspect",
        "operator",
    ),
    *(
        "cmath",
        "sched",
        "wave",
        "platform",
        "random",
        "re",
        "secrets",
        "select",
        "signal",
        "socket",
        "ssl",
        "string",
    ),
    *("tempfile", "threading", "token", "typing", "uuid", "xml", "zoneinfo", "_json", "_socket"),
    *("aioboto3", "aiohttp", "anyio", "boto3", "botocore", "click", "dotenv", "hiredis", "idna"),
    *("pydantic", "pydantic_settings", "rich", "sniffio", "typer", "typing_extensions", "uvloop"),
    *("worker", "errors", "settings", "client"),
]
WORKER = [sys.executable, "-P", "-m", "worker"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "app"
    (folder / "siblings").mkdir(parents=True)
    (folder / "tasks.py").write_text(TASKS)
    (folder / "helpers.py").write_text("")
    (folder / "siblings" / "__init__.py").write_text("")
    (folder / "siblings" / "deeper.py").write_text("import helpers")
    return folder


def set_traps(folder: Path, *names: str, as_packages: bool = False) -> Path:
    marker = folder.parent / "imported"
    for name in names:
        file = folder / f"{name}.py"
        if as_packages:
            (folder / name).mkdir()
            file = folder / name / "__init__.py"
        file.write_text(TRAP.format(marker=str(marker)))
    return marker


def run_burst(folder: Path, environment: dict[str, str], r: Any, command: list[str]) -> list[str]:
    """Run a job to its end and return the files of the modules that it saw."""
    r.lpush("jobs", '{"id":"1","handler":"look"}')
    done = subprocess.run(
        [*command, "run", "tasks:app", "--burst"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    files: list[str] = json.loads(r.get("{jobs}:result:1"))["result"]
    return files


@pytest.mark.parametrize("as_packages", [False, True], ids=["files", "packages"])
@pytest.mark.parametrize("processes", ["1", "2"])
def test_nothing_is_replaced_and_siblings_are_importable(
    folder: Any, environment: dict[str, str], r: Any, processes: Any, as_packages: Any
) -> None:
    marker = set_traps(folder, *NAMES, as_packages=as_packages)
    files = run_burst(folder, {**environment, "WORKER_PROCESSES": processes}, r, WORKER)
    assert not marker.exists(), marker.read_text()
    assert [file for file in files if file.startswith(f"{folder}/")] == [
        f"{folder}/helpers.py",
        f"{folder}/siblings/deeper.py",
    ]


def test_the_installed_command_does_so_too(
    folder: Any, environment: dict[str, str], r: Any
) -> None:
    marker = set_traps(folder, *NAMES)
    run_burst(folder, environment, r, [str(Path(sys.executable).with_name("worker"))])
    assert not marker.exists(), marker.read_text()


def test_a_python_path_that_names_the_folder_changes_nothing(
    folder: Any, environment: dict[str, str], r: Any
) -> None:
    names = [name for name in NAMES if name not in ("types", "worker")]
    # Python itself imports these before any code of ours.
    early = {"abc", "copy", "enum", "functools", "operator", "re", "typing", "token"}
    marker = set_traps(folder, *(name for name in names if name not in early))
    path = f"{folder}:{environment['PYTHONPATH']}"
    # Nor does the measuring of coverage, which starts before Python's own main.
    plain = {k: v for k, v in environment.items() if not k.startswith("COVERAGE")}
    run_burst(folder, {**plain, "PYTHONPATH": path}, r, WORKER)
    assert not marker.exists(), marker.read_text()


def test_python_m_worker_without_safe_path_is_as_safe_as_python_lets_it_be(
    folder: Any, environment: dict[str, str], r: Any
) -> None:
    marker = set_traps(folder, "queue", "json", "logging", "redis", "pydantic", "socket", "uuid")
    run_burst(folder, environment, r, [sys.executable, "-m", "worker"])
    assert not marker.exists(), marker.read_text()


@pytest.mark.parametrize("as_package", [False, True], ids=["worker.py", "worker/"])
def test_a_users_own_worker_does_not_replace_the_processes(
    folder: Any,
    environment: dict[str, str],
    start_worker: StartWorker,
    r: Any,
    as_package: Any,
) -> None:
    marker = set_traps(folder, "worker", as_packages=as_package)
    # Started in safe path mode; its children are started by us.
    worker = start_worker(
        "--processes", "2", app="tasks:app", cwd=folder, env={"PYTHONSAFEPATH": "1"}, ready=False
    )
    wait_until(lambda: worker.log.count("takes jobs from") == 2 or worker.exit_code is not None)
    r.lpush("jobs", '{"id":"1","handler":"look"}')
    wait_until(lambda: r.exists("{jobs}:result:1"))
    assert worker.stop() == 0
    assert not marker.exists()


def test_check_is_not_misled_either(folder: Any, environment: dict[str, str]) -> None:
    marker = set_traps(folder, *NAMES)
    done = subprocess.run(
        [*WORKER, "check", "tasks:app"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "handler look" in done.stdout
    assert not marker.exists()


def test_nothing_of_what_is_installed_is_first_imported_after_the_app(
    folder: Any, environment: dict[str, str], r: Any
) -> None:
    """Else a file of the folder could still replace it."""
    (folder / "tasks.py").write_text(
        "import sys\n"
        "from worker import App\n"
        "app = App()\n"
        "tops = lambda: {name.partition('.')[0] for name in sys.modules}\n"
        "before = tops()\n"
        "@app.handler\n"
        "async def look(payload, config):\n"
        "    return sorted(tops() - before)\n"
    )
    later = set(run_burst(folder, environment, r, WORKER)) - sys.stdlib_module_names
    installed = set(importlib.metadata.packages_distributions())
    assert later & installed == set()


# -- an app whose own name is taken ----------------------------------------------------------------

MINE = """
from worker import App
app = App()
@app.handler
async def echo(payload):
    return payload
"""


@pytest.mark.parametrize("name", ["worker", "queue", "redis", "logging", "sched"])
def test_an_app_may_have_the_name_of_a_module_of_the_program(in_folder: Any, name: Any) -> None:
    (in_folder / f"{name}.py").write_text(MINE)
    assert set(load_app(f"{name}:app").handlers) == {"echo"}
    module = sys.modules.get(name)
    assert module is None or not (module.__file__ or "").startswith(str(in_folder))


def test_an_app_named_worker_runs(
    environment: dict[str, str], start_worker: StartWorker, tmp_path: Path, producer: Producer
) -> None:
    (tmp_path / "worker.py").write_text(MINE)
    worker = start_worker("--processes", "2", app="worker:app", env={"PYTHONSAFEPATH": "1"})
    assert producer.run("echo", 5)["result"] == 5
    assert worker.stop() == 0


def test_a_package_of_a_name_that_is_taken_is_refused(in_folder: Any) -> None:
    (in_folder / "redis").mkdir()
    (in_folder / "redis" / "__init__.py").write_text("")
    (in_folder / "redis" / "tasks.py").write_text(MINE)
    with pytest.raises(AppError, match="the folder 'redis' has the name of a package that"):
        load_app("redis.tasks:app")


@pytest.mark.parametrize("line", ["from queue import mine", "import queue; queue.mine"])
def test_a_module_that_wants_a_sibling_of_such_a_name_learns_why_it_gets_another(
    in_folder: Any, line: Any
) -> None:
    (in_folder / "queue.py").write_text("mine = 1")
    (in_folder / "wants.py").write_text(line)
    with pytest.raises(AppError, match="'queue' is a module of the program or of the standard"):
        load_app("wants:app")


def test_siblings_come_before_other_installed_packages(
    in_folder: Any, tmp_path_factory: pytest.TempPathFactory
) -> None:
    installed = tmp_path_factory.mktemp("installed")
    (installed / "models.py").write_text("raise SystemExit")
    sys.path.append(str(installed))
    (in_folder / "models.py").write_text("x = 1")
    (in_folder / "asks_models.py").write_text("import models\n" + MINE)
    assert load_app("asks_models:app")
