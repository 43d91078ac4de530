"""How this program is started once more: as a child, or by somebody in another shell."""

import os
import shlex
import shutil
import sys
from pathlib import Path

_FOLDER = Path(__file__).parent.parent.parent  # the one that holds the package `worker`


def worker_command(*arguments: str) -> list[str]:
    """Return the command line of a `worker` command.

    By -P the current folder is not searched, where a user's own worker.py would replace us. Where
    our package is found in no other way than in the current folder, it wins there by itself.
    """
    here = os.path.realpath(os.getcwd()) == os.path.realpath(_FOLDER)  # noqa: PTH109
    return [sys.executable, *([] if here else ["-P"]), "-m", "worker", *arguments]


def typed_worker() -> str:
    """Return how one types `worker` in another shell, in this folder, to get this very program."""
    if "UV_RUN_RECURSION_DEPTH" in os.environ and shutil.which("uv") and _is_uv_project(Path.cwd()):
        return "uv run worker"
    script = Path(sys.executable).with_name("worker")
    if script.is_file():
        return shlex.quote(str(script))
    return f"{shlex.quote(sys.executable)} -P -m worker"


def _is_uv_project(folder: Path) -> bool:
    """Whether `uv run` there uses the environment that we run in."""
    projects = [each for each in (folder, *folder.parents) if (each / "pyproject.toml").is_file()]
    return bool(projects) and (projects[0] / ".venv").resolve() == Path(sys.prefix).resolve()
