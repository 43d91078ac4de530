"""`worker config`: look at the config table and edit it."""

import re
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from worker.cli.common import (
    DYNAMO_VARIABLES,
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
from worker.cli.config_editor import edit_in_editor
from worker.cli.config_text import json_text, json_value, masked, parsed, without_key
from worker.cli.config_writes import (
    REFUSED,
    Checks,
    complain_of_missing,
    open_table,
    refusal,
    replace,
    say_done,
    shown,
)
from worker.cli.table import Table

if TYPE_CHECKING:
    from collections.abc import Callable

    from worker.config.edits import Edits
    from worker.config.history import Version
    from worker.config.raw_items import Raw
    from worker.config.table import ConfigTable
    from worker.jobs.stored_attributes import StoredAttributes
    from worker.settings import Settings

app: typer.Typer = group(
    help="The config table in DynamoDB: look at items, edit them, create it.",
    epilog=DYNAMO_VARIABLES,
)

Key = Annotated[str, typer.Argument(metavar="KEY", help="The item's key.")]
Show = Annotated[
    bool, typer.Option("--show", help="Show secrets on a terminal too; a pipe gets them whole.")
]
AppOption = Annotated[
    str | None,
    typer.Option(
        "--app",
        metavar="MODULE:APP",
        help="Refuse an item that no handler of this app could use (default: WORKER_APP).",
    ),
]
Force = Annotated[bool, typer.Option("--force", help="Write what no job could use all the same.")]


# -- looking ---------------------------------------------------------------------------------------


@app.command()
def get(
    key: Key,
    as_json: JsonOption = False,  # noqa: ARG001 - for those who give it to every command
    show: Show = False,
) -> None:
    """Print the whole item as JSON. Exit code 3 where there is none."""

    async def main(settings: "Settings") -> int:
        async with open_table(settings) as table:
            item = await table.get(_checked(key))
        if item is None:
            return complain_of_missing(key, settings)
        return 0 if _print(key, item, settings, show=show) else 1

    run(main)


@app.command("list")
def list_(as_json: JsonOption = False, show: Show = False) -> None:
    """Show all items.

    A table on a terminal, else one JSON object a line.
    """

    async def main(settings: "Settings") -> int:
        async with open_table(settings) as table:
            if as_json or not on_terminal():
                printed = [_print(*item, settings, show=show) async for item in table.items()]
                return 0 if all(printed) else 1
            return await _show(table, show=show)

    run(main)


@app.command()
def history(key: Key, as_json: JsonOption = False, show: Show = False) -> None:
    """Show the versions of the item that edits replaced, newest first.

    A table on a terminal, else one JSON object a line. Exit code 3 where there are none.
    """

    async def main(settings: "Settings") -> int:
        async with open_table(settings) as table:
            from worker.config.history import History

            versions = await History(table).versions(_checked(key))
        if not versions:
            complain(f"there is no history of {key!r} in table {settings.config_table!r}")
            return NOT_THERE
        _print_versions(key, versions, settings, as_json=as_json, show=show)
        return 0

    run(main)


# -- editing ---------------------------------------------------------------------------------------


@app.command()
def put(
    key: Key,
    item: Annotated[str, typer.Argument(metavar="JSON", help="The item; '-' reads it from stdin.")],
    app: AppOption = None,
    force: Force = False,
) -> None:
    """Write a whole item, in place of what is there.

    Workers use it within WORKER_CONFIG_TTL seconds.
    """
    attributes = parsed(read_stdin() if item == "-" else bytes_of(item))

    async def main(settings: "Settings") -> int:
        meant = _raw_item(attributes, _checked(key), settings)
        if why := refusal(key, meant, Checks(app, force), settings):
            complain(why)
            return REFUSED
        async with open_table(settings) as table:
            edits = _edits(table)
            await edits.put(key, meant, "put")
        say_done(edits, key, "written to")
        return 0

    run(main)


@app.command("set")
def set_(
    key: Key,
    assignments: Annotated[
        list[str],
        typer.Argument(
            metavar="PATH=VALUE...",
            help="policy.timeout=10 name=acme: JSON where it parses, else text. PATH:=JSON must "
            "be JSON.",
        ),
    ],
    app: AppOption = None,
    force: Force = False,
) -> None:
    """Set attributes of an item, and leave the others as they are.

    Where there is no item it is made. Exit code 4: somebody else changed it meanwhile.
    """
    changes = [_assignment(text) for text in assignments]

    def changed(item: "Raw | None") -> "Raw":
        from worker.config.raw_items import raw_value, with_value

        item = item or {}
        for path, value in changes:
            item = with_value(item, path, raw_value(value))
        return item

    _edit_item(key, "set", changed, Checks(app, force))


@app.command()
def unset(
    key: Key,
    paths: Annotated[list[str], typer.Argument(metavar="PATH...", help="policy.timeout")],
    app: AppOption = None,
    force: Force = False,
) -> None:
    """Remove attributes of an item, and leave the others as they are.

    Exit code 3: there is no such attribute; 4: somebody else changed the item meanwhile.
    """

    def changed(item: "Raw | None") -> "Raw | None":
        from worker.config.raw_items import without_value

        if item is not None:
            for path in paths:
                item = without_value(item, path)
        return item

    _edit_item(key, "unset", changed, Checks(app, force))


@app.command()
def edit(key: Key, app: AppOption = None, force: Force = False) -> None:
    """Edit an item as JSON in $EDITOR.

    What is not edited stays as it is. Where there is no item it is made. Exit code 4: somebody else
    changed it meanwhile.
    """

    async def main(settings: "Settings") -> int:
        async with open_table(settings) as table:
            return await edit_in_editor(_edits(table), _checked(key), Checks(app, force), settings)

    run(main)


@app.command()
def rollback(
    key: Key,
    version: Annotated[
        str | None,
        typer.Argument(metavar="VERSION", help="Of 'worker config history' (default: the latest)."),
    ] = None,
    app: AppOption = None,
    force: Force = False,
) -> None:
    """Write a version again that an edit has replaced. A second rollback undoes the first.

    Exit code 3: there is no such version; 4: somebody else changed the item meanwhile.
    """

    async def main(settings: "Settings") -> int:
        async with open_table(settings) as table:
            edits = _edits(table)
            read = await edits.read(_checked(key))
            found = _chosen(await edits.history.versions(key), read, version)
            if found is None:
                which = f"version {version!r}" if version else "version"
                complain(f"there is no {which} of {key!r} to go back to: 'worker config history'")
                return NOT_THERE
            if found.item is not None and (
                why := refusal(key, found.item, Checks(app, force), settings)
            ):
                complain(why)
                return REFUSED
            return await replace(edits, key, read, found.item, "rollback")

    run(main)


@app.command()
def delete(key: Key) -> None:
    """Delete the item. Exit code 3 where there is none."""

    async def main(settings: "Settings") -> int:
        async with open_table(settings) as table:
            edits = _edits(table)
            if not await edits.delete(_checked(key)):
                return complain_of_missing(key, settings)
        say_done(edits, key, "deleted from")
        return 0

    run(main)


@app.command()
def init() -> None:
    """Create the table, paid per request, where there is none."""

    async def main(settings: "Settings") -> int:
        name, key = settings.config_table, settings.config_key
        async with open_table(settings) as table:
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


# -- what was typed --------------------------------------------------------------------------------


def _checked(key: str) -> str:
    from worker.jobs.config_item import MAX_KEY_BYTES, is_history

    if not 1 <= len(key.encode(errors="replace")) <= MAX_KEY_BYTES:
        raise typer.BadParameter(f"a key has 1 to {MAX_KEY_BYTES:,} bytes", param_hint="KEY")
    if is_history(key):
        raise typer.BadParameter(
            "an item of such a key holds the history of another: 'worker config history'",
            param_hint="KEY",
        )
    return key


_assigned = re.compile(r"((?:\\.|[^=\\])+?)(:?=)(.*)", re.DOTALL).fullmatch


def _assignment(text: str) -> tuple[str, Any]:
    """Return the path and the value of `path=value` or `path:=json`."""
    found = _assigned(text)
    if found is None:
        raise typer.BadParameter(f"{text!r} is not PATH=VALUE", param_hint="PATH=VALUE")
    path, sign, value = found.groups()
    try:
        return path, json_value(value)
    except (ValueError, RecursionError) as error:
        if sign == "=":
            return path, value
        raise typer.BadParameter(f"{path}: not JSON: {error}", param_hint="PATH:=JSON") from None


def _raw_item(attributes: dict[str, Any], key: str, settings: "Settings") -> "Raw":
    from worker.config.raw_items import raw_item

    try:
        return raw_item(without_key(attributes, key, settings))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="JSON") from None


# -- edits of what is there ------------------------------------------------------------------------


def _edits(table: "ConfigTable") -> "Edits":
    from worker.config.edits import Edits

    return Edits(table)


def _edit_item(
    key: str, command: str, changed: "Callable[[Raw | None], Raw | None]", checks: Checks
) -> NoReturn:
    """Read the item, change it by `changed`, write it where it is still the same."""
    from worker.config.raw_items import PathError

    async def main(settings: "Settings") -> int:
        async with open_table(settings) as table:
            edits = _edits(table)
            read = await edits.read(_checked(key))
            try:
                meant = changed(read)
            except PathError as error:
                complain(f"{key}: not written: {error}")
                return NOT_THERE if error.is_absent else REFUSED
            except ValueError as error:
                raise typer.BadParameter(str(error), param_hint="VALUE") from None
            if meant is None:
                return complain_of_missing(key, settings)
            if settings.config_key in meant:
                complain(f"{key}: not written: {settings.config_key!r} is the key itself")
                return REFUSED
            if why := refusal(key, meant, checks, settings):
                complain(why)
                return REFUSED
            return await replace(edits, key, read, meant, command)

    run(main)


def _chosen(versions: "list[Version]", now: "Raw | None", name: str | None) -> "Version | None":
    """Return the latest version of this name; without one, the latest that differs from now's."""
    from worker.config.raw_items import same

    for version in versions:
        if version.is_named(name) if name is not None else not same(version.item, now):
            return version
    return None


# -- output ----------------------------------------------------------------------------------------


def _visible(item: Any, *, show: bool) -> Any:
    return item if show or not on_terminal() else masked(item)


def _print(key: str, item: "StoredAttributes", settings: "Settings", *, show: bool) -> bool:
    """Print the item; False where it holds what can't be used, of which one line says where."""
    if item.problem is not None:
        _complain_of(key, item)
        return False
    whole = {settings.config_key: key, **item.exact()}
    typer.echo(json_text(_visible(whole, show=show)).encode())
    return True


def _complain_of(key: str, item: "StoredAttributes") -> None:
    complain(f"the item {key!r} can't be used, nor shown: {item.problem}")


async def _show(table: "ConfigTable", *, show: bool) -> int:
    rows = Table("Key", "Config", "Policy")
    count = 0
    unusable = []
    async for key, item in table.items():
        count += 1
        if item.problem is not None:
            unusable.append((key, item))
            continue
        attributes = _visible(item.exact(), show=show)
        del attributes[table.key_attribute]
        policy = attributes.pop("policy", None)
        rows.add(key, json_text(attributes), "-" if policy is None else json_text(policy))
    if count > len(unusable):
        rows.print()
    typer.echo(f"{count_of(count, 'item')} in table {table.name!r}")
    for key, item in unusable:
        _complain_of(key, item)
    return 1 if unusable else 0


def _print_versions(
    key: str, versions: "list[Version]", settings: "Settings", *, as_json: bool, show: bool
) -> None:
    from datetime import datetime

    table = Table("Version", "Digest", "Replaced", "By", "Item")
    in_lines = as_json or not on_terminal()
    for version in versions:
        item = None
        if version.item is not None:
            item = _visible(shown(key, version.item, settings), show=show)
        facts = {
            "version": version.version,
            "digest": version.digest,
            "replaced_at": version.replaced_at,
            "replaced_by": version.replaced_by,
            "item": item,
        }
        if in_lines:
            typer.echo(json_text(facts).encode())
        else:
            at = datetime.fromtimestamp(version.replaced_at / 1000).astimezone()
            table.add(
                "-" if item is None else version.version,
                version.digest or "-",
                f"{at:%Y-%m-%d %H:%M:%S}",
                version.replaced_by,
                "no item" if item is None else json_text(item),
            )
    if not in_lines:
        table.print()
