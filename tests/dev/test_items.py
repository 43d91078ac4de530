"""configs.json: what is read from it, and which items an edit of it changes."""

from decimal import Decimal
from pathlib import Path

import pytest

from worker.dev.items import Items, changes, problems, read
from worker.errors import WorkerError

pytestmark = pytest.mark.once


def test_items_are_read_with_every_digit(tmp_path: Path) -> None:
    file = tmp_path / "configs.json"
    assert read(file) == {}
    file.write_text('{"a": {"price": 1.10}, "b": {}}')
    assert read(file) == {"a": {"price": Decimal("1.10")}, "b": {}}


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "3", '{"a": 1}', '{"a": {"x": NaN}}', "[" * 100_000, '{"a": {}} b']
)
def test_what_holds_no_items_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    file = tmp_path / "configs.json"
    file.write_text(text)
    with pytest.raises(WorkerError, match=r"^configs\.json [^\n]+$"):
        read(file)


def test_only_what_the_edit_changes_is_written() -> None:
    before = {"same": {"n": 1}, "edited": {"n": 1}, "gone": {}}
    now = {"same": {"n": 1}, "edited": {"n": 2}, "new": {}}
    assert changes(before, now) == ({"edited": {"n": 2}, "new": {}}, ["gone"])


def test_a_policy_that_no_worker_takes_is_named() -> None:
    items: Items = {
        "a": {"policy": {"timeout": "soon"}},
        "b": {"policy": {"timeout": Decimal("1.5")}},
    }
    (line,) = problems(items)
    assert "'a' can't be used" in line
    assert "timeout" in line
