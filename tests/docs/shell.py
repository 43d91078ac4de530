"""Runs a page as its reader would: files are written, commands are typed into one shell."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

from tests.docs.pages import Block, Page

_LIMIT = 240  # seconds for all commands of a page
# A reader runs this in a first shell, and pastes the line that it shows into the second, where all
# else is typed.
_IN_A_FIRST_SHELL = "uv run worker dev "
_FIRST_SHELL = """
{line} > first_shell 2>&1 &
until grep -q '^  export ' first_shell; do sleep 0.1; done
eval "$(grep '^  export ' first_shell)"
"""
# What a page promises of a command that fails: `worker result dog  # exit code 1`.
_EXPECTED = re.compile(r"^(?P<command>.*?) +# exit code (?P<code>\d+)", re.MULTILINE)
# Each block's output follows a line of its own; each command that fails is written to a file.
_BEFORE = r"""
trap 'printf "%s\t%s\0" "$?" "$BASH_COMMAND" >> "$FAILURES"' ERR
exec 2>&1
"""


@dataclass(frozen=True)
class Said:
    """What the commands and programs of a page printed, block by block."""

    blocks: dict[Block, str]

    def by(self, part: str) -> str:
        """Return the output of the block whose text has this part."""
        found = [said for block, said in self.blocks.items() if part in block.text]
        assert len(found) == 1, f"{len(found)} blocks have {part!r}"
        return found[0]


def run_page(page: Page, folder: Path, environment: Mapping[str, str], elsewhere: set[str]) -> Said:
    """Run the page's files, commands and programs in their order, in one bash.

    Commands in `elsewhere` are left out. Fail where a command fails and the page does not say so.
    """
    steps = [block for block in page.blocks if block.language == "sh" or block.is_run]
    script = [_BEFORE]
    for number, block in enumerate(steps):
        script += [f"echo '@@ {number}'", _typed(block, number, folder, elsewhere)]
    output = _bash("\n".join(script), folder, environment)
    said = dict(_by_number(output))
    expected = [
        (int(found["code"]), found["command"])
        for block in steps
        if block.language == "sh"
        for found in _EXPECTED.finditer(block.text)
    ]
    assert _failures(folder) == expected, f"{page.name}\n{output}"
    return Said({block: said.get(number, "") for number, block in enumerate(steps)})


def reader_environment(environment: Mapping[str, str], tmp_path: Path) -> dict[str, str]:
    """Return the environment of a reader who has set the variables that lead to the servers.

    `uv run` works in the environment of these tests, as it does in a clone.
    """
    kept = {name: value for name, value in environment.items() if not name.startswith("UV_")}
    home = tmp_path / "home"
    home.mkdir()
    return {
        **kept,
        "HOME": str(home),
        "VIRTUAL_ENV": sys.prefix,
        "PATH": f"{sys.prefix}/bin{os.pathsep}{environment['PATH']}",
        "UV_CACHE_DIR": os.environ.get("UV_CACHE_DIR", str(Path.home() / ".cache" / "uv")),
        "UV_OFFLINE": "1",
    }


def need(program: str, package: str) -> str:
    """Return the path of a program. Without it, skip the test; in CI, fail."""
    return shutil.which(program) or missing(package)


def missing(package: str) -> NoReturn:
    """Skip the test for want of a package; in CI, fail."""
    message = f"a part of the docs is not tested: install {package}"
    if os.environ.get("CI"):
        pytest.fail(message)
    pytest.skip(message)


def _typed(block: Block, number: int, folder: Path, elsewhere: set[str]) -> str:
    if block.language == "sh":
        lines = [line for line in block.text.splitlines() if line not in elsewhere]
        return "\n".join(
            _FIRST_SHELL.format(line=line) if line.startswith(_IN_A_FIRST_SHELL) else line
            for line in lines
        )
    file = folder / (block.file or f"snippet_{number}.py")
    file.parent.mkdir(exist_ok=True)
    file.write_text(block.text)
    return "" if block.file else f"python {file}"


def _bash(script: str, folder: Path, environment: Mapping[str, str]) -> str:
    """Return what the script printed. What it left running is killed."""
    log = folder / "output"
    with log.open("wb") as output:
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env={**environment, "FAILURES": str(folder / "failures")},
            stdin=subprocess.DEVNULL,
            stdout=output,
            start_new_session=True,
        )
        try:
            shell.wait(_LIMIT)
        finally:
            _kill_group(shell)
    return log.read_text(errors="replace")


def _kill_group(shell: "subprocess.Popen[bytes]") -> None:
    try:
        os.killpg(shell.pid, signal.SIGKILL)
    except ProcessLookupError:
        return  # nothing of it is left
    shell.wait()


def _by_number(output: str) -> Iterator[tuple[int, str]]:
    _, *parts = re.split(r"^@@ (\d+)\n", output, flags=re.MULTILINE)
    for number, said in zip(parts[::2], parts[1::2], strict=True):
        yield int(number), said


def _failures(folder: Path) -> list[tuple[int, str]]:
    """Return the code and the text of each command that failed."""
    file = folder / "failures"
    entries = file.read_text().split("\0")[:-1] if file.exists() else []
    parts = (entry.partition("\t") for entry in entries)
    return [(int(code), command) for code, _, command in parts]
