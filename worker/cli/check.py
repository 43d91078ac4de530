"""`worker check`: look at all that a worker needs, and say how to mend what is wrong."""

from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from worker.cli.common import QueuesOption, open_queues, printable, run

if TYPE_CHECKING:
    from worker.broker.server_info import Server
    from worker.config.table import ConfigTable
    from worker.jobs.policy import Policy
    from worker.settings import Settings

_OLDEST_REDIS = 7
_SKEW = 1.0  # seconds between the clocks, from which on it is worth a word
_COLOURS = {"ok": typer.colors.GREEN, "warning": typer.colors.YELLOW, "problem": typer.colors.RED}
# A key that hardly exists: the read tells whether the table, its key and the rights are there.
_PROBE = "worker-check-probe"


class Finding(NamedTuple):
    """One thing looked at. `level` is ok, warning or problem."""

    level: str
    text: str


def check(
    target: Annotated[str, typer.Argument(metavar="MODULE:APP", help="Where the App is.")],
    queue: QueuesOption = None,
) -> None:
    """Check the app, Redis and DynamoDB; change nothing.

    Exit code 1 where something would lose jobs or keep the worker from running.
    """

    async def main(settings: "Settings") -> int:
        counts = {"ok": 0, "warning": 0, "problem": 0}
        for part in (_about_app(target, settings), _about_redis(settings), _about_table(settings)):
            async for level, text in part:
                counts[level] += 1
                typer.echo(f"{typer.style(f'{level:<8}', _COLOURS[level])} {printable(text)}")
        typer.echo(f"problems: {counts['problem']}, warnings: {counts['warning']}")
        return 1 if counts["problem"] else 0

    run(main, *(queue or ()))


async def _about_app(target: str, settings: "Settings") -> AsyncIterator[Finding]:
    from worker.errors import WorkerError  # noqa: PLC0415
    from worker.execution.bound_handler import BoundHandler  # noqa: PLC0415
    from worker.process.loading import load_app  # noqa: PLC0415

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
    from worker.broker.server_info import look_at_server  # noqa: PLC0415
    from worker.errors import WorkerError  # noqa: PLC0415

    try:
        async with open_queues(settings) as ledgers:
            for finding in about_server(await look_at_server(ledgers[0].redis), settings):
                yield finding
            for ledger in ledgers:
                at = await ledger.status()
                yield Finding(
                    "ok",
                    f"queue {ledger.name}: {at.pending:,} pending, {at.active:,} active, "
                    f"{at.scheduled:,} scheduled, {at.dead:,} dead, {len(at.workers)} workers",
                )
    except WorkerError as error:
        yield Finding("problem", str(error))


def about_server(server: "Server", settings: "Settings") -> Iterator[Finding]:
    """What a worker would find at this server."""
    version = f" {server.version}" if server.version else ""
    where = f"{server.name}{version} at {settings.masked_redis_url}"
    if server.redis_version is None:
        yield Finding(
            "warning",
            f"{where} does not tell its version, eviction and persistence: allow INFO (ACL: +info) "
            "to have them checked",
        )
    elif int(server.redis_version.split(".")[0]) < _OLDEST_REDIS:
        yield Finding("problem", f"{where} is too old: install Redis 7 or Valkey, or newer")
    else:
        yield Finding("ok", where)
    if server.role == "slave":
        yield Finding(
            "problem",
            "it is a replica, which takes no writes: let WORKER_REDIS_URL name its primary",
        )
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
            "the append-only file is off, and whether there are snapshots can't be told (CONFIG is "
            f"not allowed): {turn_on}, or see how your provider keeps data",
        )
    else:
        yield Finding("problem", f"a restart of Redis loses all jobs: {turn_on}")


async def _about_table(settings: "Settings") -> AsyncIterator[Finding]:
    from worker.config.client import open_dynamo  # noqa: PLC0415
    from worker.config.table import ConfigTable  # noqa: PLC0415
    from worker.errors import ConfigUnavailable, WorkerError  # noqa: PLC0415

    try:
        async with open_dynamo(settings) as (_, client):
            table = ConfigTable(client, settings.config_table, settings.config_key)
            try:
                await table.read([_PROBE])
            except ConfigUnavailable as error:
                yield Finding("problem", await _schema_problem(table) or str(error))
                return
            yield Finding(
                "ok",
                f"table {table.name!r} with the key {table.key_attribute!r} can be read at "
                f"{client.meta.endpoint_url}",
            )
    except WorkerError as error:
        yield Finding("problem", str(error))


async def _schema_problem(table: "ConfigTable") -> str | None:
    """What the table's own description says is wrong, where this host may ask for it."""
    from worker.errors import ConfigUnavailable  # noqa: PLC0415

    try:
        return await table.schema_problem()
    except ConfigUnavailable:
        return None
