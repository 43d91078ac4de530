"""`worker check`: look at all that a worker needs, and say how to fix what is wrong."""

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from worker.cli.common import (
    JsonOption,
    QueuesOption,
    count_of,
    open_queues,
    print_json,
    run,
    wants_colours,
)
from worker.runtime.printable import printable

if TYPE_CHECKING:
    from worker.app import App
    from worker.broker.server_info import Server
    from worker.config.table import ConfigTable
    from worker.jobs.policy import Policy
    from worker.jobs.stored_attributes import StoredAttributes
    from worker.settings import Settings

_SKEW = 1.0  # seconds between the clocks, above which the logs don't match
_COLOURS = {"ok": typer.colors.GREEN, "warning": typer.colors.YELLOW, "problem": typer.colors.RED}


class Finding(NamedTuple):
    """One thing looked at. `level` is ok, warning or problem."""

    level: str
    text: str


def check(
    target: Annotated[str, typer.Argument(metavar="MODULE:APP", help="Where the App is.")],
    queue: QueuesOption = None,
    all_items: Annotated[
        bool, typer.Option("--all-items", "-a", help="Check all items, not only those of handlers.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Check the app, Redis and DynamoDB; change nothing.

    Exit code 1 where something would lose jobs or keep the worker from running.
    """

    async def main(settings: "Settings") -> int:
        counts = {"ok": 0, "warning": 0, "problem": 0}
        parts = (
            _about_app(target, settings),
            _about_redis(settings),
            _about_table(target, settings, all_items=all_items),
        )
        for part in parts:
            async for level, text in part:
                counts[level] += 1
                _show(level, text, as_json=as_json)
        if not as_json:
            typer.echo(f"problems: {counts['problem']}, warnings: {counts['warning']}")
        return 1 if counts["problem"] else 0

    run(main, *(queue or ()))


def _show(level: str, text: str, *, as_json: bool) -> None:
    """Print a finding: a line for people, or one of JSON."""
    if as_json:
        print_json({"level": level, "text": text})
        return
    label = f"{level:<8}"
    shown = typer.style(label, _COLOURS[level]) if wants_colours() else label
    typer.echo(f"{shown} {printable(text)}")


async def _about_app(target: str, settings: "Settings") -> AsyncIterator[Finding]:
    from worker.errors import WorkerError
    from worker.execution.bound_handler import BoundHandler
    from worker.process.loading import load_app

    try:
        app = load_app(target)
        app.check()
    except WorkerError as error:
        yield Finding("problem", str(error))
        return
    for handler in app.handlers.values():
        try:
            bound = BoundHandler(handler, settings.policy)
        except WorkerError as error:
            yield Finding("problem", str(error))
        else:
            yield Finding("ok", f"handler {bound.name}: {_described(bound.policy)}")


def _described(policy: "Policy") -> str:
    backoff = policy.backoff
    return (
        f"timeout {policy.timeout:g} s, max_attempts {policy.max_attempts}, backoff "
        f"{backoff.base:g} s x {backoff.factor:g} up to {backoff.max:g} s, "
        f"result_ttl {policy.result_ttl:g} s"
    )


async def _about_redis(settings: "Settings") -> AsyncIterator[Finding]:
    from worker.broker.server_info import look_at_server
    from worker.broker.trial import look_at_redis
    from worker.errors import WorkerError

    try:
        async with open_queues(settings) as queues:
            problem = await look_at_redis(queues[0].redis, settings)
            if problem:
                yield Finding("problem", problem.text)
                return
            for finding in about_server(await look_at_server(queues[0].redis), settings):
                yield finding
            for admin in queues:
                at = await admin.status()
                yield Finding(
                    "ok",
                    f"queue {admin.name}: {at.pending:,} pending, {at.active:,} active, "
                    f"{at.scheduled:,} scheduled, {at.dead:,} dead, {len(at.workers)} workers",
                )
    except WorkerError as error:
        yield Finding("problem", str(error))


def about_server(server: "Server", settings: "Settings") -> Iterator[Finding]:
    """Look at what a server says of itself."""
    version = f" {server.version}" if server.version else ""
    where = f"{server.name}{version} at {settings.masked_redis_url}"
    if server.redis_version is None:
        yield Finding(
            "warning",
            f"{where} does not show its version, eviction and persistence: allow INFO (ACL: +info) "
            "to have them checked",
        )
    else:
        yield Finding("ok", where)
    if server.maxmemory_policy == "noeviction":
        yield Finding("ok", "nothing is evicted when memory runs out (maxmemory-policy noeviction)")
    elif server.maxmemory_policy:
        yield Finding(
            "problem",
            f"maxmemory-policy is {server.maxmemory_policy}: when memory runs out jobs or results "
            "are thrown away; set it to noeviction (redis.conf, or CONFIG SET maxmemory-policy)",
        )
    yield from _about_persistence(server)
    if abs(server.ahead) > _SKEW:
        yield Finding(
            "warning",
            f"this host's clock is {abs(server.ahead):.1f} s "
            f"{'behind' if server.ahead > 0 else 'ahead of'} Redis's: jobs keep to Redis's, but "
            "logs won't match; synchronise it (NTP)",
        )
    else:
        yield Finding("ok", "the clocks of this host and of Redis agree")


def _about_persistence(server: "Server") -> Iterator[Finding]:
    turn_on = "turn the append-only file on (appendonly yes)"
    if server.append_only_file:
        yield Finding("ok", "jobs outlive a restart of Redis (append-only file)")
    elif server.append_only_file is None:
        return
    elif server.snapshots:
        yield Finding(
            "warning", f"a crash of Redis loses all jobs since its last snapshot: {turn_on}"
        )
    elif server.snapshots is None:
        yield Finding(
            "warning",
            "the append-only file is off, and whether there are snapshots can't be seen (CONFIG is "
            f"not allowed): {turn_on}, or see how your provider keeps data",
        )
    else:
        yield Finding("problem", f"a restart of Redis loses all jobs: {turn_on}")


async def _about_table(
    target: str, settings: "Settings", *, all_items: bool
) -> AsyncIterator[Finding]:
    from worker.config.client import open_dynamo
    from worker.config.table import ConfigTable
    from worker.errors import WorkerError
    from worker.process.readiness import look_at_table

    try:
        async with open_dynamo(settings) as (_, client):
            table = ConfigTable(client, settings.config_table, settings.config_key)
            problem = await look_at_table(table)
            if problem:
                yield Finding("problem", await _schema_problem(table) or problem.text)
                return
            yield Finding(
                "ok",
                f"table {table.name!r} with the key {table.key_attribute!r} can be read at "
                f"{client.meta.endpoint_url}",
            )
            async for finding in _about_items(target, settings, table, all_items=all_items):
                yield finding
    except WorkerError as error:
        yield Finding("problem", str(error))


async def _about_items(
    target: str, settings: "Settings", table: "ConfigTable", *, all_items: bool
) -> AsyncIterator[Finding]:
    """Look at the items of the app's handlers, or at all: whether their jobs could use them."""
    from worker.errors import WorkerError
    from worker.execution.item_check import ItemCheck
    from worker.jobs.config_item import ConfigItem
    from worker.process.loading import load_app

    try:
        app = load_app(target)
        item_check = ItemCheck(app, settings.policy)
    except WorkerError:
        return  # which was reported
    count = bad = 0
    found = table.items() if all_items else _items_of(app, table)
    async for key, attributes in found:
        count += 1
        item = ConfigItem(
            key, attributes, 0.0, key_attribute=table.key_attribute, absence_confirmed=True
        )
        problem = item_check.problem(item)
        if problem is not None:
            bad += 1
            yield Finding("problem", f"item {key!r} can't be used: {problem}")
    whose = "of the table" if all_items else "under the names of handlers"
    if count > bad:
        yield Finding("ok", f"{count - bad:,} of {count_of(count, 'item')} {whose} can be used")


async def _items_of(
    app: "App", table: "ConfigTable"
) -> "AsyncIterator[tuple[str, StoredAttributes]]":
    """Yield the items that jobs of the app's handlers use unless they name others."""
    from worker.config.table import BATCH

    names = sorted(app.handlers)
    for first in range(0, len(names), BATCH):
        for key, attributes in (await table.read(names[first : first + BATCH])).items():
            if attributes is not None:
                yield key, attributes


async def _schema_problem(table: "ConfigTable") -> str | None:
    """Return what the table's own description says is wrong, where this host may read it."""
    from worker.errors import ConfigUnavailable

    try:
        return await table.schema_problem()
    except ConfigUnavailable:
        return None
