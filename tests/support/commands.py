"""`worker` commands run in the process of the tests, which is quicker than in one of their own."""

import os
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
