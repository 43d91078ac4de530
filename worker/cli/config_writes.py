"""What the commands that edit items share: checks before a write, and what is said after it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import typer

from worker.cli.common import NOT_THERE, complain
from worker.cli.config_text import as_json

if TYPE_CHECKING:
    from worker.config.edits import Edits
    from worker.config.raw_items import Raw
    from worker.config.table import ConfigTable
    from worker.settings import Settings

REFUSED = 2  # the exit code for an item that no job could use; as for arguments that can't be used
CHANGED = 4  # the exit code for an item that somebody else changed meanwhile


class Checks(NamedTuple):
    """What an item is held to before it is written. `app` is MODULE:APP."""

    app: str | None = None
    force: bool = False


@asynccontextmanager
async def open_table(settings: "Settings") -> "AsyncIterator[ConfigTable]":
    """The config table of the settings. Raise StartupError."""
    from worker.config.client import open_dynamo
    from worker.config.table import ConfigTable

    async with open_dynamo(settings) as (_, client):
        yield ConfigTable(client, settings.config_table, settings.config_key)


def shown(key: str, raw: "Raw", settings: "Settings") -> dict[str, Any]:
    """Return an item as JSON has it, without its key. Raise ConfigUnavailable."""
    from worker.config.raw_items import config_item
    from worker.errors import ConfigUnavailable

    item = config_item(key, raw, settings.config_key)
    if item.problem is not None:
        raise ConfigUnavailable(f"the item {key!r} can't be shown: {item.problem}")
    attributes: dict[str, Any] = as_json(dict(item.attributes or {}))
    del attributes[settings.config_key]
    return attributes


def refusal(key: str, raw: "Raw", checks: Checks, settings: "Settings") -> str | None:
    """Return why the item is not written, None where it may be.

    Raise WorkerError for an app that can't be loaded.
    """
    from worker.config.raw_items import config_item

    item = config_item(key, raw, settings.config_key)
    if item.problem is not None:
        return f"{key}: not written: {item.problem}"
    if checks.force:
        return None
    from worker.execution.item_check import ItemCheck

    target = checks.app or settings.app
    app = None
    if target:
        from worker.process.loading import load_app

        app = load_app(target)
    problem = ItemCheck(app, settings.policy).problem(item)
    return f"{key}: not written: {problem}; --force writes it all the same" if problem else None


async def replace(
    edits: "Edits",
    key: str,
    read: "Raw | None",
    meant: "Raw | None",
    command: str,
) -> int:
    """Write what is meant where the item is as it was read. Say what happened; the exit code."""
    from worker.config.edits import Conflict

    try:
        changed = await edits.replace(key, read, meant, command)
    except Conflict as conflict:
        return complain_of_change(key, str(conflict))
    what = "deleted from" if meant is None else "written to"
    say_done(edits, key, what if changed else None)
    return 0


def say_done(edits: "Edits", key: str, what: str | None) -> None:
    """Print what was done, None for nothing, and what could not be kept in the history."""
    where = f"{what} table {edits.table.name!r}" if what else "nothing to change"
    typer.echo(f"{key}: {where}")
    if edits.problem:
        complain(f"{key}: {what}, but its history can't be kept: {edits.problem}")


def complain_of_change(key: str, changes: str) -> int:
    """Say that somebody else changed the item, and where; the exit code."""
    complain(
        f"{key}: not written, since it was changed meanwhile ({changes}): look at it, then run the "
        "command again"
    )
    return CHANGED


def complain_of_missing(key: str, settings: "Settings") -> int:
    """Say that there is no such item; the exit code."""
    complain(f"there is no item {key!r} in table {settings.config_table!r}")
    return NOT_THERE
