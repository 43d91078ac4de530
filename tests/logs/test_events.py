"""The codes of log lines stand in one list: those that are used, and no other."""

import ast
from pathlib import Path

import pytest

import worker
from worker.runtime.log_events import EVENTS

pytestmark = pytest.mark.once

SOURCES = [path for path in Path(worker.__file__).parent.rglob("*.py") if "demo" not in path.parts]


def used(path: Path) -> set[str]:
    """The codes of `extra={"event": ...}` and of `claimed.about(...)`."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Dict):
            found |= {
                str(value.value)
                for key, value in zip(node.keys, node.values, strict=True)
                if isinstance(key, ast.Constant) and key.value == "event"
                if isinstance(value, ast.Constant)
            }
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".about"):
            found |= {str(arg.value) for arg in node.args[:1] if isinstance(arg, ast.Constant)}
    return found


def test_every_code_is_used_and_every_used_code_is_listed() -> None:
    assert set.union(*map(used, SOURCES)) == set(EVENTS)


def test_every_line_from_info_up_has_a_code() -> None:
    without = [
        f"{path.name}: {ast.unparse(node)[:60]}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Attribute)
        and ast.unparse(node.func.value) == "log"
        and node.func.attr in ("info", "warning", "error", "exception", "log")
        and "extra" not in [keyword.arg for keyword in node.keywords]
    ]
    assert without == []
