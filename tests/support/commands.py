"""`worker` commands: in the process of the tests, which is quicker, or on a terminal."""

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from worker.cli import app


class Command:
    """Runs a command as from `folder`, with this environment and nothing of the machine's own."""

    def __init__(self, environment: Mapping[str, str], folder: Path) -> None:
        self.environment = environment
        self.folder = folder

    def __call__(
        self,
        *arguments: str,
        stdin: str | bytes | None = None,
        env: Mapping[str, str | None] | None = None,
        **settings: object,
    ) -> Result:
        """Gives `exit_code`, `stdout` and `stderr`. A variable of `env` that is None is unset."""
        variables = {f"WORKER_{name.upper()}": str(value) for name, value in settings.items()}
        with pytest.MonkeyPatch.context() as patch:
            for name in list(os.environ):
                if name.startswith(("WORKER_", "AWS_")):
                    patch.delenv(name)
            for name, value in {**self.environment, **variables, **(env or {})}.items():
                if value is None:
                    patch.delenv(name, raising=False)
                else:
                    patch.setenv(name, value)
            patch.chdir(self.folder)
            return CliRunner().invoke(app, list(arguments), input=stdin, catch_exceptions=False)


def on_terminal(
    environment: dict[str, str], *arguments: str, columns: int = 120, code: int = 0
) -> str:
    """What the command shows on a terminal, without colours."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 50, columns, 0, 0))
    # pytest-xdist sets COLUMNS, which would win over the terminal's own width.
    environment = {k: v for k, v in environment.items() if k not in ("COLUMNS", "LINES")}
    with subprocess.Popen(
        [sys.executable, "-m", "worker", *arguments],
        env={**environment, "TERM": "xterm"},
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        shown = b""
        try:
            while chunk := os.read(ours, 65536):
                shown += chunk
        except OSError:
            pass  # how Linux says that the other end is closed
        finally:
            os.close(ours)
    assert process.returncode == code, shown
    return re.sub(r"\x1b\[[0-9;]*m", "", shown.decode()).replace("\r\n", "\n")
