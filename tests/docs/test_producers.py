"""The programs of docs/producers.md in other languages, each with its own runtime and Redis client.

PHP, Ruby and Go come from Debian: php-cli php-redis, ruby ruby-redis, golang-go
golang-github-gomodule-redigo-dev. Node's client comes from npm.
"""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.pages import page
from tests.docs.shell import missing, need
from tests.support.table import Table
from tests.support.worker_process import StartWorker

pytestmark = [pytest.mark.once, pytest.mark.timeout(300)]

PAGE = page("docs/producers.md")
REDIGO = Path("/usr/share/gocode")
Push = Callable[..., str]


@pytest.fixture
def folder(start_worker: StartWorker, table: Table, tmp_path: Path) -> Path:
    """The page's programs, with a worker that runs their jobs."""
    for block in PAGE.blocks:
        if block.file:
            (tmp_path / block.file).write_text(block.text)
    table.put("resize", width=640)
    start_worker(app="tasks:app", cwd=tmp_path)
    return tmp_path


@pytest.fixture
def push(folder: Path, environment: dict[str, str]) -> Push:
    """Run a program in that folder and return what it printed. It must print a good result."""

    def run(*command: str, **variables: str) -> str:
        done = subprocess.run(
            command,
            cwd=folder,
            env={**environment, **variables},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        assert "succeeded" in done.stdout, said
        assert re.search(r"width\W+640", done.stdout), said
        return done.stdout

    return run


def test_every_language_of_the_page_is_tried_here() -> None:
    languages = {block.language for block in PAGE.blocks} - {"python", "sh"}
    assert languages == {"js", "go", "php", "ruby"}


def test_node(push: Push, folder: Path) -> None:
    node, npm = need("node", "nodejs"), need("npm", "npm")
    wanted = re.search(r"With `redis` (\d+)", PAGE.text)
    assert wanted
    install = [npm, "install", "--no-audit", "--no-fund", "--silent", f"redis@{wanted[1]}"]
    subprocess.run(install, cwd=folder, check=True, timeout=120)
    assert "3.png" in push(node, "push.mjs")


def test_go(push: Push, folder: Path) -> None:
    go = need("go", "golang-go")
    if not (REDIGO / "src/github.com/gomodule/redigo").exists():
        missing("golang-github-gomodule-redigo-dev")
    cache = str(folder / "cache")
    said = push(go, "run", "push.go", GO111MODULE="off", GOPATH=str(REDIGO), GOCACHE=cache)
    assert "4.png" in said


def test_php(push: Push) -> None:
    php = need("php", "php-cli")
    modules = subprocess.run([php, "-m"], capture_output=True, text=True, check=True).stdout
    if "redis" not in modules.split():
        missing("php-redis")
    assert "5.png" in push(php, "push.php").replace("\\/", "/")


def test_ruby(push: Push) -> None:
    ruby = need("ruby", "ruby")
    if subprocess.run([ruby, "-e", "require 'redis'"], check=False).returncode != 0:
        missing("ruby-redis")
    assert "6.png" in push(ruby, "push.rb")
