"""Tables of the docs, compared with the code that they describe."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

from tests.docs.pages import ROOT, page
from worker.cli import app
from worker.jobs.job import Job
from worker.jobs.keys import Keys
from worker.jobs.outcome import Reason
from worker.jobs.policy import Policy
from worker.jobs.result import Result
from worker.settings import Settings

pytestmark = pytest.mark.once

GROUPS = {"config", "dead"}  # of commands
LOGS = {"debug", "info", "log", "warning", "error", "exception"}  # methods of a logger


def first_cells(table: str) -> list[str]:
    """Return the first cell of each row of Markdown tables."""
    return re.findall(r"^\| ?([^|]+?) \|", table, re.MULTILINE)


def names(table: str) -> set[str]:
    """Return what the first cells name in code: `id`."""
    return {name for cell in first_cells(table) for name in re.findall(r"`([^`]+)`", cell)}


def test_every_setting_is_in_its_table_and_no_other() -> None:
    named = names(page("docs/settings.md").text)
    parts = {f"WORKER_BACKOFF{name}" for name in named if name.startswith("_")}
    named = {name for name in named if not name.startswith("_")} | parts
    assert named == {f"WORKER_{name.upper()}" for name in Settings.model_fields}


@pytest.mark.parametrize(
    ("name", "default"),
    [
        ("WORKER_REDIS_URL", "redis_url"),
        ("WORKER_QUEUE", "queue"),
        ("WORKER_CONCURRENCY", "concurrency"),
        ("WORKER_PROCESSES", "processes"),
        ("WORKER_CONFIG_TTL", "config_ttl"),
        ("WORKER_CONFIG_MAX_STALE", "config_max_stale"),
        ("WORKER_CONFIG_CACHE_SIZE", "config_cache_size"),
        ("WORKER_LEASE", "lease"),
        ("WORKER_GRACE_PERIOD", "grace_period"),
        ("WORKER_STARTUP_TIMEOUT", "startup_timeout"),
        ("WORKER_MAX_CRASHES", "max_crashes"),
        ("WORKER_RESULT_TTL", "result_ttl"),
        ("WORKER_LOG_LEVEL", "log_level"),
        ("WORKER_LOG_FORMAT", "log_format"),
        ("WORKER_LOG_ERRORS", "log_errors"),
    ],
)
def test_the_table_of_settings_has_the_defaults(name: str, default: str) -> None:
    row = re.search(rf"^\| `{name}` \| ([^|]+) \|", page("docs/settings.md").text, re.MULTILINE)
    assert row
    value = Settings.model_fields[default].default
    if hasattr(value, "get_secret_value"):
        value = value.get_secret_value()
    text = value[0] if isinstance(value, tuple) else value
    shown = row[1].strip("`").removesuffix(" s").replace(",", "")
    assert shown == (f"{text:g}" if isinstance(text, float) else str(text))


def test_every_key_of_the_contract_is_the_code_s_own() -> None:
    keys = Keys("jobs")
    every = {
        keys.pending,
        keys.active("<worker>"),
        keys.workers,
        keys.scheduled,
        keys.dead,
        keys.result("<id>"),
    }
    assert names(page("docs/contract.md").section("## Keys")) == every


def test_every_field_of_a_job_is_in_the_contract() -> None:
    ours = set(Job.__slots__) - {"names_config", "config_info", "queue"}
    written_only = {"last_error"}
    assert names(page("docs/contract.md").section("## A job")) == ours | written_only


def test_every_field_of_a_result_is_in_the_contract() -> None:
    assert names(page("docs/contract.md").section("## A result")) == set(Result.__slots__)


def test_every_reason_to_bury_is_in_the_contract() -> None:
    section = page("docs/contract.md").section("## Why a job is buried")
    assert names(section) == set(get_args(Reason))


def test_every_attribute_of_a_policy_is_in_its_table() -> None:
    ours = set(Policy.__dataclass_fields__) - {"result_ttl_ms"}
    assert names(page("docs/config.md").section("## Policy")) == ours


def test_every_command_is_in_its_table_and_no_other() -> None:
    named = {" ".join(name.split()[1:3]) for name in names(page("docs/commands.md").text)}
    named = {name if name.split()[0] in GROUPS else name.split()[0] for name in named}
    assert named == set(commands(typer.main.get_command(app), ""))


def commands(command: Any, path: str) -> Iterator[str]:
    """Yield the names of all commands within one of typer's."""
    inner = getattr(command, "commands", {})
    for name, each in inner.items():
        yield from commands(each, f"{path} {name}".strip())
    if not inner:
        yield path


def test_the_table_has_each_log_line_from_warning_up_and_none_that_is_not_logged() -> None:
    """A row quotes a part of the line. Whoever adds or changes a line changes its row too."""
    table = page("docs/operations.md").section("## Log lines")
    rows = re.findall(r"^\| ([A-Z]+) \| `([^`]+)` \|", table, re.MULTILINE)
    logged = [line for path in (ROOT / "worker").rglob("*.py") for line in log_lines(path)]
    parts = [part for _, part in rows]
    assert [part for part in parts if not any(part in text for _, text in logged)] == []
    assert [
        text
        for method, text in logged
        if method not in ("debug", "info") and not any(part in text for part in parts)
    ] == []


def log_lines(path: Path) -> Iterator[tuple[str, str]]:
    """Yield the method and the text of each call of a logger called `log`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and ast.unparse(node.func.value) == "log"
            and node.func.attr in LOGS
        ):
            texts = [a.value for a in node.args if isinstance(a, ast.Constant)]
            text = next((text for text in texts if isinstance(text, str)), None)
            if text is not None and text != "%s":
                yield node.func.attr, text
