"""Tables on narrow terminals: ids stay whole."""

from typing import Any

import pytest
import redis

from tests.support.commands import on_terminal
from tests.support.table import Table

pytestmark = pytest.mark.once

WORKER = "host-12345-0a1b2c3d"
ID = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def dead(r: redis.Redis) -> None:
    error = '"error":{"type":"ValueError","message":"no such order in the shop"}'
    for number in range(2):
        job = rf'"job":"{{\"id\":\"{ID}{number}\",\"handler\":\"resize_image\"}}"'
        r.lpush("{jobs}:dead", f'{{{job},"reason":"failed",{error},"attempts":5,"died_at":0}}')


@pytest.mark.parametrize("columns", [10, 20, 40])
def test_rows_become_blocks_where_a_table_has_no_room(
    environment: dict[str, str], r: redis.Redis, dead: Any, columns: Any
) -> None:
    shown = on_terminal(environment, "dead", "list", columns=columns)
    lines = shown.splitlines()
    assert f"Id        {ID}1" in lines
    assert "Handler   resize_image" in lines
    assert "Attempts  5" in lines
    assert "Error     ValueError: no such order in the shop" in lines
    assert lines[lines.index(f"Id        {ID}0") - 1] == "", "a line between two entries"


def test_ids_of_workers_stay_whole(environment: dict[str, str], r: redis.Redis) -> None:
    r.zadd("{jobs}:workers", {WORKER: 1})
    lines = on_terminal(environment, "status", columns=20).splitlines()
    assert f"Worker  {WORKER}" in lines
    assert "Scheduled  0" in lines


def test_numbers_are_never_folded(environment: dict[str, str], r: redis.Redis) -> None:
    r.zadd("{jobs}:workers", {WORKER: 1})
    for columns in (39, 40, 60):
        lines = on_terminal(environment, "status", columns=columns).splitlines()
        assert lines[0].split() == ["Queue", "Pending", "Active", "Scheduled", "Dead"]


def test_long_text_is_folded_where_there_is_room_for_a_table(
    environment: dict[str, str], r: redis.Redis, dead: Any
) -> None:
    lines = on_terminal(environment, "dead", "list", columns=100).splitlines()
    assert lines[0].split() == ["Id", "Handler", "Reason", "Attempts", "Died", "Error"]
    assert max(map(len, lines)) <= 100


def test_keys_and_items_in_blocks(environment: dict[str, str], table: Table) -> None:
    table.put("a-tenant-with-a-long-name", width=3)
    lines = on_terminal(environment, "config", "list", columns=20).splitlines()
    assert lines[0] == "Key     a-tenant-with-a-long-name"
    assert lines[1] == 'Config  {"width":3}'
