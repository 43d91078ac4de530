"""What holds for every command: quick help, one line for what goes wrong, output on a terminal."""

import json
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import redis

from tests.support.commands import Command, on_terminal
from tests.support.table import Table

pytestmark = pytest.mark.once

ALL = [
    ["run", "tests.apps.basic:app"],
    ["push", "h"],
    ["result", "1"],
    ["status"],
    ["dead", "list"],
    ["dead", "retry", "--all"],
    ["dead", "drop", "--all"],
    ["config", "get", "k"],
    ["config", "put", "k", "{}"],
    ["config", "list"],
    ["config", "delete", "k"],
    ["config", "init"],
    ["check", "tests.apps.basic:app"],
]
REDIS_ONLY = [words for words in ALL if words[0] in ("push", "result", "status", "dead")]
DYNAMO_ONLY = [words for words in ALL if words[0] == "config"]


def name(words: list[str]) -> str:
    return " ".join(words[:2])


# -- help ------------------------------------------------------------------------------------------

_PROBE = """
import sys
from worker.cli import app
try:
    app(sys.argv[1:], prog_name="worker")
finally:
    heavy = ("anyio", "boto3", "pydantic", "redis", "rich")
    print([name for name in heavy if name in sys.modules])
"""


@pytest.mark.parametrize("flag", ["--version", "-V"])
def test_the_version_is_that_of_the_package(environment: dict[str, str], flag: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, flag],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == f"worker {version('redis-dynamo-worker')}\n[]\n"


@pytest.mark.parametrize(
    ("typed", "offered"),
    [
        ("worker st", ["status"]),
        ("worker con", ["config"]),
        ("worker dead ", ["list", "retry", "drop"]),
        ("worker status --j", ["--json"]),
        ("worker run --conc", ["--concurrency"]),
    ],
)
def test_a_shell_completes_commands_and_options(
    environment: dict[str, str], typed: str, offered: list[str]
) -> None:
    """By the script that --show-completion prints: bash calls its function for a TAB."""
    words = typed + "''" if typed.endswith(" ") else typed
    script = f"""
    mkdir bin
    printf '#!/bin/sh\nexec {sys.executable} -P -m worker "$@"' > bin/worker
    chmod +x bin/worker; PATH="$PWD/bin:$PATH"
    source <(worker --show-completion bash)
    complete -p worker
    COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))
    _worker_completion worker
    printf '%s\n' "${{COMPREPLY[@]}}"
    """
    with TemporaryDirectory() as folder:
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
    assert done.stdout.splitlines()[1:] == offered


@pytest.mark.parametrize(
    "words", [[], ["dead"], ["config"], *ALL], ids=lambda words: " ".join(words[:2]) or "worker"
)
def test_help_imports_nothing_heavy(environment: dict[str, str], words: list[str]) -> None:
    groups = ("dead", "config")
    command = words[:2] if words and words[0] in groups else words[:1]
    done = subprocess.run(
        [sys.executable, "-c", _PROBE, *command, "--help"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith(f"Usage: worker {' '.join(command)}")
    assert done.stdout.endswith("[]\n")


def test_a_command_that_does_not_exist_is_wrong_usage(command: Command) -> None:
    done = command("nonsense")
    assert done.exit_code == 2
    assert "nonsense" in done.stderr


# -- servers away, settings wrong ------------------------------------------------------------------


@pytest.mark.parametrize("words", REDIS_ONLY, ids=name)
def test_redis_away_is_said_in_one_line(command: Command, words: list[str]) -> None:
    done = command(*words, redis_url="redis://:secret@127.0.0.1:1/0")
    assert (done.exit_code, done.stdout) == (1, "")
    assert "worker: Redis at redis://:***@127.0.0.1:1/0 can't be reached" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", DYNAMO_ONLY, ids=name)
def test_dynamodb_away_is_said_in_one_line(command: Command, words: list[str]) -> None:
    done = command(*words, env={"AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1"})
    assert (done.exit_code, done.stdout) == (1, "")
    assert "worker: DynamoDB at http://127.0.0.1:1 can't be reached" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", ALL, ids=name)
def test_a_wrong_setting_is_said_in_one_line(command: Command, words: list[str]) -> None:
    done = command(*words, lease="soon")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith("worker: these settings can't be used: WORKER_LEASE: ")
    assert done.stderr.count("\n") == 1


def test_wrong_credentials_of_redis_are_said_in_one_line(command: Command) -> None:
    url = command.environment["WORKER_REDIS_URL"].replace("//", "//nobody:secret@")
    done = command("status", redis_url=url)
    assert done.exit_code == 1
    assert "refuses these credentials" in done.stderr
    assert "secret" not in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("words", REDIS_ONLY, ids=name)
def test_commands_for_redis_need_no_aws(command: Command, words: list[str]) -> None:
    env = {name: None for name in command.environment if name.startswith("AWS_")}
    done = command(*words, env={**env, "AWS_EC2_METADATA_DISABLED": "true"})
    assert "AWS" not in done.stderr
    assert done.exit_code == (3 if words[0] == "result" else 0)


@pytest.mark.parametrize("words", DYNAMO_ONLY, ids=name)
def test_commands_for_dynamodb_need_no_redis(
    command: Command, table: Table, words: list[str]
) -> None:
    table.put("k")
    done = command(*words, redis_url="redis://127.0.0.1:1/0")
    assert (done.exit_code, done.stderr) == (0, "")


def test_settings_are_read_from_env_files_too(command: Command, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("WORKER_QUEUE=from-the-file\n")
    assert "from-the-file" in command("status").stdout


# -- on a terminal ---------------------------------------------------------------------------------


def test_status_on_a_terminal(environment: dict[str, str], r: redis.Redis) -> None:
    r.lpush("jobs", "1")
    r.zadd("{jobs}:workers", {"w": 1})
    lines = [line.split() for line in on_terminal(environment, "status").splitlines()]
    assert lines[0] == ["Queue", "Pending", "Active", "Scheduled", "Dead"]
    assert lines[1] == ["jobs", "1", "0", "0", "0"]
    assert lines[-1] == ["jobs", "w", "ended", "0"]


def test_the_dead_list_on_a_terminal(environment: dict[str, str], r: redis.Redis) -> None:
    error = '"error":{"type":"ValueError","message":"[red]no\\u001b[2J\\nno"}'
    for n in range(60):
        job = rf'"job":"{{\"id\":\"job-{n}\",\"handler\":\"h\"}}"'
        r.lpush("{jobs}:dead", f'{{{job},"reason":"failed",{error},"attempts":5,"died_at":1e20}}')
    r.lpush("{jobs}:dead", "garbage", '{"job":"garbage","reason":"malformed","error":5}')
    shown = on_terminal(environment, "dead", "list")
    lines = shown.splitlines()
    assert lines[0].split() == ["Id", "Handler", "Reason", "Attempts", "Died", "Error"]
    assert lines[1].split()[2] == "malformed"
    assert "no entry" in lines[2]
    assert r"ValueError: [red]no\x1b[2J\nno" in lines[3]
    assert lines[3].split()[:4] == ["job-59", "h", "failed", "5"]
    assert lines[-1] == "jobs: 62 dead (50 shown; see --limit)"
    assert "job-12" in shown
    assert "job-11 " not in shown


def test_a_result_on_a_terminal(environment: dict[str, str], r: redis.Redis) -> None:
    fields = {
        "id": "cat",
        "handler": "h",
        "status": "failed",
        "result": None,
        "error": {"type": "ValueError", "message": "no\x1b[2J", "traceback": "a\n  b\x1b"},
        "attempts": 2,
        "config": None,
        "worker": "w",
        "enqueued_at": 1.7e12,
        "started_at": None,
        "finished_at": 1.7e12,
    }
    r.set("{jobs}:result:cat", json.dumps(fields))
    text = on_terminal(environment, "result", "cat", code=1)
    shown = {line[:11].strip(): line[13:] for line in text.splitlines()}
    assert (shown["Id"], shown["Status"], shown["Attempts"]) == ("cat", "failed", "2")
    assert shown["Error"] == r"ValueError: no\x1b[2J"
    assert text.endswith("\n\na\n  b\\x1b\n")
    assert "Result" not in shown
    assert json.loads(on_terminal(environment, "result", "cat", "-j", code=1)) == fields
    assert re.fullmatch(r"2023-11-1\d \d\d:\d\d:\d\d", shown["Finished at"])
    r.set("{jobs}:result:cat", json.dumps({**fields, "status": "succeeded", "error": None}))
    assert re.search(r"^Result +null$", on_terminal(environment, "result", "cat"), re.MULTILINE)


def test_an_empty_dead_list_on_a_terminal(environment: dict[str, str]) -> None:
    assert on_terminal(environment, "dead", "list") == "jobs: 0 dead\n"


def test_the_config_table_on_a_terminal(environment: dict[str, str], table: Table) -> None:
    table.put("acme", width=3, policy={"timeout": 5})
    table.put("umbrella")
    lines = [line.split() for line in on_terminal(environment, "config", "list").splitlines()]
    assert lines[0] == ["Key", "Config", "Policy"]
    assert ["acme", '{"width":3}', '{"timeout":5}'] in lines
    assert ["umbrella", "{}", "-"] in lines
    assert lines[-1] == ["2", "items", "in", "table", "'config'"]


def test_json_on_a_terminal_is_json_too(environment: dict[str, str], table: Table) -> None:
    table.put("acme", width=3)
    assert on_terminal(environment, "config", "list", "--json") == '{"key":"acme","width":3}\n'


def test_a_reader_that_has_seen_enough_is_no_error(
    environment: dict[str, str], r: redis.Redis
) -> None:
    r.lpush("{jobs}:dead", *(str(n) for n in range(5000)))
    done = subprocess.run(
        ["/bin/sh", "-c", f"{sys.executable} -m worker dead list | head -1"],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""
