"""The README is run: its python blocks as files, its commands in their order."""

import ast
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
import redis

import worker
from worker.settings import Settings

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent.parent
README = (ROOT / "README.md").read_text()

# Commands that another test runs, since they take long or need what is not here.
ELSEWHERE = {
    "pip install uv && uv run worker demo": "tests/project/test_demo.py",
    "uv run pytest": ".ci/run",
    "docker compose up --build": "tests/project/test_deploy.py",
    "uv run python -m tests.chaos --minutes 30 --seed 2026": "tests/chaos/test_chaos.py",
}


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def commands() -> list[str]:
    return [line for block in blocks("sh") for line in block.splitlines() if line]


def run(line: str, folder: Path, environment: dict[str, str], r: redis.Redis) -> str:
    program, *arguments = shlex.split(line)
    if program == "redis-cli":
        return str(r.execute_command(*arguments))
    assert [program, *arguments[:2]] == ["uv", "run", "worker"], line
    done = subprocess.run(
        [sys.executable, "-m", "worker", *arguments[2:]],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    # A failed job's result ends with 1, as the README says.
    expected = 1 if line == "uv run worker result dog" else 0
    assert done.returncode == expected, f"{line}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_every_command_runs_in_its_order(environment, r, table, tmp_path) -> None:
    (tmp_path / "tasks.py").write_text(blocks("python")[0])
    said = {
        line: run(line, tmp_path, environment, r) for line in commands() if line not in ELSEWHERE
    }
    assert '"width":640' in said["redis-cli GET '{jobs}:result:cat'"]
    assert "rejected" in said["uv run worker dead list"]
    assert '"status":"succeeded"' in said["uv run worker result five --wait 5"]
    assert r.llen("replies") == 1


@pytest.mark.parametrize("line", ELSEWHERE)
def test_commands_run_elsewhere_are_in_the_readme_and_their_test_exists(line: str) -> None:
    assert line in commands()
    assert (ROOT / ELSEWHERE[line]).exists()


def test_every_python_block_is_python_and_imports_what_is_there() -> None:
    for block in blocks("python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom) and node.module == "worker":
                assert {name.name for name in node.names} <= set(worker.__all__)


def test_every_setting_stands_in_the_readme_and_no_other() -> None:
    table = README.split("## Settings")[1].split("## What it promises")[0]
    named = set(re.findall(r"`(WORKER_[A-Z_]+)`", table))
    named |= {f"WORKER_BACKOFF{part}" for part in re.findall(r"`(_[A-Z]+)`", table)}
    assert named == {f"WORKER_{name.upper()}" for name in Settings.model_fields}


def test_every_test_that_a_promise_names_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", README)
    for path, function in named:
        assert (
            f"def {function}" in (ROOT / path).read_text() if function else (ROOT / path).exists()
        )


def test_the_readme_names_no_path_of_this_machine() -> None:
    for path in (ROOT, Path.home()):
        assert f"{path}/" not in README
