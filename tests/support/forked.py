"""Processes that start in a tenth of the time: forked from one that has imported `worker`.

A start of `worker run` is mostly imports: 1.5 s of a core, which a suite with hundreds of starts
can't spend. A forked process is one of its own in all else: its signals, exit code, environment,
folder and output. It runs no `atexit` function; where the start or the exit is the point, tests
start a process the usual way.
"""

import multiprocessing
import os
import runpy
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path

import pytest

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["tests.support.preloaded"])


@dataclass(frozen=True)
class Program:
    """`python -m module arguments`, and what is around it. The streams are files."""

    module: str
    arguments: tuple[str, ...]
    folder: Path
    environment: Mapping[str, str]
    stdout: Path
    stderr: Path | None = None  # None: as stdout
    stdin: Path = Path(os.devnull)


def fork(program: Program) -> ForkServerProcess:
    """Start the program."""
    process = _context.Process(target=_run, args=(program,))
    with pytest.MonkeyPatch.context() as patch:
        # Or multiprocessing would run pytest's start script in each child.
        patch.delattr(sys.modules["__main__"], "__file__", raising=False)
        process.start()
    return process


def _run(program: Program) -> None:
    for stream, path, mode in (
        (0, program.stdin, os.O_RDONLY),
        (1, program.stdout, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
        (2, program.stderr or program.stdout, os.O_WRONLY | os.O_CREAT | os.O_APPEND),
    ):
        opened = os.open(path, mode, 0o600)
        os.dup2(opened, stream)
        os.close(opened)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115 - for the life of the process
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    os.chdir(program.folder)
    os.environ.clear()
    os.environ.update(program.environment)
    installed = [path for path in sys.path if path.startswith((sys.prefix, sys.base_prefix))]
    named = program.environment["PYTHONPATH"].split(os.pathsep)
    sys.path[:] = [str(program.folder), *named, *installed]
    sys.argv = [program.module, *program.arguments]
    runpy.run_module(program.module, run_name="__main__", alter_sys=True)
