"""MODULE:APP that leads to no app: one line says what to do."""

import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.worker_process import RunCommand
from worker.errors import AppError
from worker.process.loading import load_app
from worker.runtime.signals import Ended

pytestmark = pytest.mark.once


def message(target: str) -> str:
    with pytest.raises(AppError) as caught:
        load_app(target)
    text = str(caught.value)
    assert "\n" not in text.replace(repr(target), "")
    return text


@pytest.mark.parametrize(
    ("target", "say"),
    [
        ("./tasks:app", "say tasks:app"),
        ("tasks.py:app", "say tasks:app"),
        ("./tasks.py:app", "say tasks:app"),
        (".//./tasks.py:app", "say tasks:app"),
        ("tasks.py", "say tasks:app"),
        ("tasks.py:", "say tasks:app"),
        ("jobs/tasks.py:main", "say jobs.tasks:main"),
        ("./jobs/tasks:app", "say jobs.tasks:app"),
        ("/srv/app/tasks.py:app", "say tasks:app in the folder /srv/app"),
        ("../tasks.py:app", "say tasks:app in the folder .."),
    ],
)
def test_a_file_is_answered_with_the_module_to_say(target: Any, say: Any) -> None:
    assert message(target).endswith(f"not a file: {say}")


@pytest.mark.parametrize(
    "target",
    [
        *("", ":", "tasks", "tasks:", ":app", ".tasks:app", "a..b:app", "a:b..c"),
        *("/:app", "./:app", ".py:app", "...:app", "tasks:.app"),
    ],
)
def test_what_is_neither_is_answered_with_the_form(target: Any) -> None:
    assert message(target) == f"{target!r} must have the form MODULE:APP, such as tasks:app"


@pytest.mark.parametrize(
    ("name", "source", "said"),
    [
        ("exits", "import sys\nsys.exit()", "called sys.exit(None) (exits.py, line 2)"),
        ("exits_0", "raise SystemExit(0)", "called sys.exit(0) (exits_0.py, line 1)"),
        (
            "exits_deep",
            "import sys\ndef usage():\n    sys.exit('bad\\nusage')\nusage()",
            "called sys.exit('bad\\nusage') (exits_deep.py, line 3)",
        ),
        (
            "exits_argparse",
            "import argparse\nargparse.ArgumentParser().parse_args(['--no'])",
            "called sys.exit(2) (exits_argparse.py, line 2)",
        ),
        (
            "interrupts",
            "raise KeyboardInterrupt",
            "failed: KeyboardInterrupt (interrupts.py, line 1)",
        ),
        ("generator", "\nraise GeneratorExit", "failed: GeneratorExit (generator.py, line 2)"),
        (
            "cancels",
            "import asyncio\nraise asyncio.CancelledError('x')",
            "failed: CancelledError: x (cancels.py, line 2)",
        ),
        (
            "skips",
            "import pytest\npytest.skip('not here', allow_module_level=True)",
            "failed: Skipped: not here (skips.py, line 2)",
        ),
        (
            "own",
            "class Mine(BaseException): ...\nraise Mine('a\\nb')",
            "failed: Mine: a\\nb (own.py",
        ),
        (
            "mute",
            "class Mute(Exception):\n    def __str__(self): raise ValueError\nraise Mute",
            "failed: Mute: (its message can't be read: ValueError) (mute.py, line 3)",
        ),
        (
            "group",
            "raise BaseExceptionGroup('all', [KeyboardInterrupt()])",
            "BaseExceptionGroup: all",
        ),
        ("recursive", "def f(): f()\nf()", "failed: RecursionError"),
        ("nulls", "x = '\0'", "failed: SyntaxError: source code"),
        ("unclosed", "f(", "failed: SyntaxError: '(' was never closed (unclosed.py, line 1)"),
        ("os_error", "open('/no/such/file')", "failed: FileNotFoundError: [Errno 2]"),
        (
            "bad_handler",
            "from worker import App\napp = App()\n@app.handler\ndef f(payload, other): ...",
            "(bad_handler.py, line 3)",
        ),
        (
            "missing_name",
            "undefined",
            "NameError: name 'undefined' is not defined (missing_name.py",
        ),
        ("lazy", "def __getattr__(name): raise RuntimeError('no')", "looking up 'lazy:app' failed"),
        ("empty", "", "'empty:app' is no worker.App, but NoneType"),
        ("a_function", "def app(): ...", "'a_function:app' is no worker.App, but function"),
        (
            "renamed",
            "from worker import App\nmain = App()",
            "'renamed:app' is no worker.App, but NoneType; say renamed:main",
        ),
    ],
)
def test_a_module_that_can_not_be_imported_is_said_with_its_line(
    in_folder: Path,
    name: str,
    source: str,
    said: str,
) -> None:
    (in_folder / f"{name}.py").write_text(source)
    with pytest.raises(AppError) as caught:
        load_app(f"{name}:app")
    assert said in str(caught.value).replace("\n", "\\n")


def test_a_module_that_is_no_utf_8(in_folder: Path) -> None:
    (in_folder / "latin.py").write_bytes(b"name = '\xe9'")
    assert "failed: SyntaxError: (unicode error) 'utf-8' codec" in message("latin:app")


def test_what_a_module_of_a_module_raises_is_said_with_its_own_line(in_folder: Path) -> None:
    (in_folder / "outer.py").write_text("\nimport inner_of_it")
    (in_folder / "inner_of_it.py").write_text("\n\n1 / 0")
    assert "ZeroDivisionError: division by zero (inner_of_it.py, line 3)" in message("outer:app")


def test_a_signal_is_no_fault_of_the_module(in_folder: Path) -> None:
    (in_folder / "slow_import.py").write_text(
        "from worker.runtime.signals import Ended\nraise Ended(143)"
    )
    with pytest.raises(Ended):
        load_app("slow_import:app")


@pytest.fixture
def exits(tmp_path: Path) -> str:
    (tmp_path / "leaves.py").write_text("import sys\nsys.exit(0)\n")
    return "leaves:app"


@pytest.mark.parametrize("flags", [[], ["--processes", "2"]])
def test_an_app_that_exits_does_not_make_the_worker_exit_with_0(
    run_command: RunCommand, exits: Any, flags: Any
) -> None:
    done: subprocess.CompletedProcess[str] = run_command("run", exits, *flags)
    assert done.returncode == 1
    assert "importing 'leaves' called sys.exit(0) (leaves.py, line 2)" in done.stderr
    assert "Traceback" not in done.stderr


def test_check_says_so_too(run_command: RunCommand, exits: Any) -> None:
    done = run_command("check", exits)
    assert done.returncode == 1
    assert "problem  importing 'leaves' called sys.exit(0)" in done.stdout
