"""`worker config`: look at the config table and edit it."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from worker.cli.common import (
    NOT_THERE,
    JsonOption,
    bytes_of,
    complain,
    count_of,
    group,
    on_terminal,
    read_stdin,
    run,
)
from worker.cli.table import Table

if TYPE_CHECKING:
    from worker.config.table import ConfigTable
    from worker.jobs.stored_attributes import StoredAttributes
    from worker.settings import Settings

# A number of this many digits at most is written out, without an exponent.
_PLAIN_DIGITS = 40

app: typer.Typer = group(help="The config table in DynamoDB: look at items, edit them, create it.")

Key = Annotated[str, typer.Argument(metavar="KEY", help="The item's key.")]


@app.command()
def get(key: Key) -> None:
    """Print the whole item as JSON. Exit code 3 where there is none."""

    async def main(settings: "Settings") -> int:
        async with _open_table(settings) as table:
            item = await table.get(_checked(key))
        if item is None:
            return _complain_of_missing(key, settings)
        return 0 if _print(key, item, settings) else 1

    run(main)


@app.command()
def put(
    key: Key,
    item: Annotated[str, typer.Argument(metavar="JSON", help="The item; '-' reads it from stdin.")],
) -> None:
    """Write a whole item, in place of what is there.

    Workers use it within WORKER_CONFIG_TTL seconds.
    """
    attributes = _parsed(read_stdin() if item == "-" else bytes_of(item))

    async def main(settings: "Settings") -> int:
        if attributes.get(settings.config_key, key) != key:
            raise typer.BadParameter(
                f"its {settings.config_key!r} is another key than {key!r}", param_hint="JSON"
            )
        async with _open_table(settings) as table:
            try:
                await table.put(_checked(key), attributes)
            except ValueError as error:
                raise typer.BadParameter(str(error), param_hint="JSON") from None
        _warn_of_policy(attributes.get("policy"))
        typer.echo(f"{key}: written to table {settings.config_table!r}")
        return 0

    run(main)


@app.command("list")
def list_(as_json: JsonOption = False) -> None:
    """Show all items.

    A table on a terminal, else one JSON object a line.
    """

    async def main(settings: "Settings") -> int:
        async with _open_table(settings) as table:
            if as_json or not on_terminal():
                printed = [_print(*item, settings) async for item in table.scan()]
                return 0 if all(printed) else 1
            return await _show(table)

    run(main)


@app.command()
def delete(key: Key) -> None:
    """Delete the item. Exit code 3 where there is none."""

    async def main(settings: "Settings") -> int:
        async with _open_table(settings) as table:
            if not await table.delete(_checked(key)):
                return _complain_of_missing(key, settings)
        typer.echo(f"{key}: deleted from table {settings.config_table!r}")
        return 0

    run(main)


@app.command()
def init() -> None:
    """Create the table, paid per request, where there is none."""

    async def main(settings: "Settings") -> int:
        name, key = settings.config_table, settings.config_key
        async with _open_table(settings) as table:
            if await table.create():
                typer.echo(f"Table {name!r} is created, with the partition key {key!r}.")
                return 0
            problem = await table.schema_problem()
        if problem:
            complain(f"it exists already, but {problem}")
            return 1
        typer.echo(f"Table {name!r} exists already.")
        return 0

    run(main)


@asynccontextmanager
async def _open_table(settings: "Settings") -> "AsyncIterator[ConfigTable]":
    from worker.config.client import open_dynamo
    from worker.config.table import ConfigTable

    async with open_dynamo(settings) as (_, client):
        yield ConfigTable(client, settings.config_table, settings.config_key)


def _checked(key: str) -> str:
    from worker.jobs.config_item import MAX_KEY_BYTES

    if not 1 <= len(key.encode(errors="replace")) <= MAX_KEY_BYTES:
        raise typer.BadParameter(f"a key has 1 to {MAX_KEY_BYTES:,} bytes", param_hint="KEY")
    return key


def _parsed(text: bytes) -> dict[str, Any]:
    """Parse an item, its numbers exact."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON")

    try:
        item = json.loads(text, parse_float=Decimal, parse_constant=refuse)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"not JSON: {error}", param_hint="JSON") from None
    if not isinstance(item, dict):
        raise typer.BadParameter("an item is a JSON object", param_hint="JSON")
    return item


def _warn_of_policy(policy: Any) -> None:
    """Complain at once of what would bury every job of this config later."""
    from worker.jobs.config_item import plain
    from worker.jobs.policy import policy_problems

    problems = policy_problems({} if policy is None else plain(policy))
    if problems:
        why = "; ".join(map(str, problems))
        complain(f"written, but its jobs will be buried as config_invalid: {why}")


def _complain_of_missing(key: str, settings: "Settings") -> int:
    complain(f"there is no item {key!r} in table {settings.config_table!r}")
    return NOT_THERE


def _print(key: str, item: "StoredAttributes", settings: "Settings") -> bool:
    """Print the item; False where it holds what can't be used, of which one line says where."""
    if item.problem is not None:
        _complain_of(key, item)
        return False
    name = settings.config_key
    typer.echo(_json({name: key, **item.exact()}).encode())
    return True


def _complain_of(key: str, item: "StoredAttributes") -> None:
    complain(f"the item {key!r} can't be used, nor shown: {item.problem}")


async def _show(table: "ConfigTable") -> int:
    rows = Table("Key", "Config", "Policy")
    count = 0
    unusable = []
    async for key, item in table.scan():
        count += 1
        if item.problem is not None:
            unusable.append((key, item))
            continue
        attributes = item.exact()
        del attributes[table.key_attribute]
        policy = attributes.pop("policy", None)
        rows.add(key, _json(attributes), "-" if policy is None else _json(policy))
    if count > len(unusable):
        rows.print()
    typer.echo(f"{count_of(count, 'item')} in table {table.name!r}")
    for key, item in unusable:
        _complain_of(key, item)
    return 1 if unusable else 0


def _json(value: Any) -> str:
    """Return JSON with every digit of a number, sets as arrays, binary in base64."""
    if isinstance(value, dict):
        return f"{{{','.join(f'{_json(name)}:{_json(item)}' for name, item in value.items())}}}"
    if isinstance(value, list):
        return f"[{','.join(map(_json, value))}]"
    if isinstance(value, set):
        return _json(sorted(value))
    if isinstance(value, Decimal):
        return format(value, "f") if abs(value.adjusted()) < _PLAIN_DIGITS else str(value)
    if isinstance(value, bytes):
        value = b64encode(value).decode()
    return json.dumps(value, ensure_ascii=False)
