"""Every page is run: its programs as files, its commands as a shell runs them."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docs.pages import PAGES, ROOT, page
from tests.docs.shell import Said, need, reader_environment, run_page
from tests.support.servers import DynamoServer

pytestmark = [pytest.mark.once, pytest.mark.timeout(300)]

# Commands that another test runs, since they take long or need what is not here.
ELSEWHERE = {
    "pip install uv && uv run worker demo": "tests/project/test_demo.py",
    "uv run pytest": ".ci/run",
    "docker compose up --build": "tests/project/test_deploy.py",
    "uv run python -m tests.chaos --minutes 30 --seed 2026": "tests/chaos/test_chaos.py",
}

Run = Callable[[str], Said]


@pytest.fixture
def run(environment: dict[str, str], session_dynamo: DynamoServer, tmp_path: Path) -> Run:
    """Run a page in a folder of its own, against the session's servers, which use no default port.

    moto, which plays DynamoDB, plays S3 too.
    """
    need("redis-cli", "redis-tools")
    need("uv", "uv")
    servers = {**environment, "AWS_ENDPOINT_URL_S3": session_dynamo.url}
    folder = tmp_path / "reader"
    folder.mkdir()
    variables = reader_environment(servers, tmp_path)
    return lambda name: run_page(page(name), folder, variables, set(ELSEWHERE))


def one_line(said: str, word: str) -> str:
    """Return the line that has the word."""
    (line,) = [line for line in said.splitlines() if word in line]
    return line


def results(said: str) -> dict[str, dict[str, object]]:
    """Return the results among the lines, by their id."""
    lines = [json.loads(line) for line in said.splitlines() if line.startswith('{"id":')]
    return {line["id"]: line for line in lines if "status" in line}


def test_every_page_with_commands_is_run_here() -> None:
    """A page that is added needs its test below."""
    files = [Path(__file__), Path(__file__).with_name("test_deployment.py")]
    run_here = "".join(path.read_text() for path in files)
    for each in PAGES:
        lines = {line for block in each.of("sh") for line in block.text.splitlines()}
        if lines - set(ELSEWHERE):
            assert f'"{each.name}"' in run_here, each.name


@pytest.mark.parametrize("line", ELSEWHERE)
def test_commands_that_another_test_runs_are_on_a_page_and_that_test_exists(line: str) -> None:
    assert any(line in block.text.splitlines() for each in PAGES for block in each.of("sh"))
    assert (ROOT / ELSEWHERE[line]).exists()


def test_readme(tmp_path: Path) -> None:
    """With nothing in the environment that leads to servers: `worker dev` brings them."""
    need("redis-cli", "redis-tools")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WORKER_", "AWS_"))}
    folder = tmp_path / "reader"
    folder.mkdir()
    said = run_page(page("README.md"), folder, reader_environment(kept, tmp_path), set(ELSEWHERE))
    cat, dog = results(said.by("worker dead list")).values()
    assert cat["result"] == {"resized": "https://example.com/cat.png", "width": 640}
    assert (dog["status"], dog["result"]) == ("failed", None)
    assert "rejected" in one_line(said.by("worker dead list"), '"reason"')
    assert '"width":640' in one_line(said.by("redis-cli"), "owl.png")
    assert "succeeded {'resized': 'https://example.com/fox.png'" in said.by("uv run python push.py")
    assert "problems: 0" in said.by("worker check")
    first_shell = (folder / "first_shell").read_text()
    assert "resizing https://example.com/cat.png to 640" in first_shell.splitlines()
    assert ":6379" not in first_shell


def test_commands(run: Run) -> None:
    said = run("docs/commands.md").by("worker --help")
    assert said.count("Usage: worker") == 2


def test_contract(run: Run) -> None:
    said = run("docs/contract.md").by("worker result 4")
    assert '"status":"succeeded"' in said
    assert "replies" in said.splitlines()
    assert results(said)["4"]["result"] == "https://example.com/4.png"


def test_config(run: Run) -> None:
    said = run("docs/config.md")
    found = results(said.by("worker result q"))
    assert found["q"]["result"] == "19.9"
    assert found["s"]["result"] == {"width": 640, "ratio": 1.5, "version": 7}
    assert '"version":7' in one_line(said.by("worker result q"), '"id":"s"')
    assert '"max_attempts":8' in said.by("worker config list")
    edited = said.by("worker config rollback")
    assert "amount: " in edited
    replaced = [json.loads(line)["replaced_by"] for line in edited.splitlines() if "digest" in line]
    assert replaced == ["unset", "set", "put"]
    (item,) = [line for line in edited.splitlines() if line.startswith('{"key":"quote"')]
    assert '"retries":5' in item
    assert '"backoff":{' in item
    assert edited.endswith("problems: 0, warnings: 0\n")


def test_handlers(run: Run) -> None:
    said = run("docs/handlers.md")
    assert results(said.by("worker result sum"))["late"]["attempts"] == 2
    assert results(said.by("worker result sum"))["sum"]["result"] == 6
    visits = results(said.by("worker result visits"))["visits"]
    assert str(visits["result"]).startswith("2 visits, {")
    assert results(said.by("worker result ada"))["ada"]["result"] == "Welcome, Ada"
    visits = results(said.by("worker result stored"))["stored"]
    assert visits["result"] == 3
    around = said.by("worker run around:app")
    assert one_line(around, "divide took ").endswith(" s")
    assert "divide buried: ZeroDivisionError" in around.splitlines()
    assert "divide buried: Reject" in around.splitlines()
    assert "(ValueError at " in said.by("worker run with_sentry:app")


def test_producers(run: Run) -> None:
    said = run("docs/producers.md")
    assert '"width":640' in said.by("worker push resize '{")
    printed = said.by("uv run python push.py").splitlines()
    assert printed[-1] == "1000 succeeded"
    assert said.by("uv run python plain.py").count("succeeded") == 1
    for program, image in {"typed.py": "7.png", "sync.py": "8.png"}.items():
        assert f"{image}', 'width': 640}}\n" in said.by(f"uv run python {program}")
    assert said.by("--lines").count('"status":"succeeded"') == 2


def test_testing(run: Run) -> None:
    said = run("docs/testing.md")
    for name in ("test_tasks.py", "test_one_job.py", "test_shop.py"):
        assert "2 passed" in said.by(f"pytest -q {name}")
    assert '"width":320' in said.by("WORKER_QUEUE=test")
    assert "problems: 0" in said.by("worker check")


def test_promises(run: Run) -> None:
    assert run("docs/promises.md")


def test_operations(run: Run) -> None:
    said = run("docs/operations.md")
    assert '"dead":1' in said.by("status --json")
    assert "ZeroDivisionError" in said.by("status --json")
    assert "problems: 0" in said.by("status\nuv run worker check")
    edited = said.by("worker config rollback")
    assert "policy.timout" in edited
    assert edited.endswith("problems: 0, warnings: 0\n")
    assert "1 job put back" in said.by("worker dead retry zero")
    assert "1 job dropped" in said.by("worker dead retry zero")


def test_moving(run: Run) -> None:
    said = run("docs/moving.md")
    assert results(said.by("worker result cat"))["cat"]["status"] == "succeeded"
    assert "owl.png at 640" in said.by("uv run python push.py")


def test_recipes(run: Run) -> None:
    said = run("docs/recipes.md")
    assert said.by("GET balance:acme").splitlines()[-1] == "500"
    assert results(said.by("worker result p"))["p"]["result"] == 9592
    assert results(said.by("worker result rows"))["rows"]["result"] == 1000
    assert results(said.by("uv run python upload.py"))["small-cat"]["result"] == "small/cat.png"
    nightly = said.by("uv run python nightly.py").splitlines()
    assert [line.split()[0] for line in nightly[:2]] == ["pushed", "somebody"]
    mail = results(said.by("worker result mail"))["mail"]
    assert mail["result"] == "sent with ********** and a token"
    assert "mine" in said.by("rm .env")
    assert results(said.by("worker result m --queue"))["m"]["status"] == "succeeded"
