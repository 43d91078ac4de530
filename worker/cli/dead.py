"""`worker dead`: look at buried jobs, put them back, drop them."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.common import (
    NOT_THERE,
    REDIS_VARIABLES,
    AllOption,
    JsonOption,
    QueuesOption,
    complain,
    count_of,
    group,
    on_terminal,
    open_queues,
    print_json,
    run,
    time_of,
)
from worker.cli.table import Table

if TYPE_CHECKING:
    from worker.broker.admin import DeadEntry, QueueAdmin
    from worker.settings import Settings

_ROWS = 50  # rows, as many as a person reads
_COMPLAINTS = 20  # as many refusals as are printed one by one
_ERROR_CHARS = 100  # characters; the whole error is in the JSON

app: typer.Typer = group(help="Buried jobs: list them, put them back, drop them.")

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of dead jobs.")]


@app.command("list", epilog=REDIS_VARIABLES)
def list_(
    limit: Annotated[
        int | None,
        typer.Option(
            "--limit", "-n", min=1, metavar="N", help=f"The newest N (default {_ROWS} in a table)."
        ),
    ] = None,
    queue: QueuesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show buried jobs, newest first.

    A table on a terminal, else one JSON object a line.
    """

    async def main(settings: "Settings") -> int:
        async with open_queues(settings) as queues:
            for admin in queues:
                if as_json or not on_terminal():
                    await _print_lines(admin, limit)
                else:
                    await _print_entries(admin, limit or _ROWS)
        return 0

    run(main, *(queue or ()))


@app.command(epilog=REDIS_VARIABLES)
def retry(
    ids: Ids = None,
    everything: AllOption = False,
    queue: QueuesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Put dead jobs back on the queue.

    They go to its end, attempts and crashes at 0.

    Exit code 1: some entry is no job and can't be put back; 3: an id is not in the dead list.
    """
    _check_choice(ids, everything=everything)

    async def main(settings: "Settings") -> int:
        async with open_queues(settings) as queues:
            if everything:
                return max([await _retry_all(admin, as_json=as_json) for admin in queues])
            found = {admin: await admin.find_dead(set(ids or ())) for admin in queues}
            refused = []
            for admin, entries in found.items():
                count = await admin.retry(entries)
                _report("put back", admin, count, entries, as_json=as_json)
                refused += [entry for entry in entries if entry.problem]
            _complain_of_refused(refused)
            return _complain_of_unknown(ids or [], found) or (1 if refused else 0)

    run(main, *(queue or ()))


@app.command(epilog=REDIS_VARIABLES)
def drop(
    ids: Ids = None,
    everything: AllOption = False,
    queue: QueuesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Drop dead jobs for good.

    Exit code 3: an id is not in the dead list.
    """
    _check_choice(ids, everything=everything)

    async def main(settings: "Settings") -> int:
        async with open_queues(settings) as queues:
            if everything:
                for admin in queues:
                    _report("dropped", admin, await admin.drop_all(), as_json=as_json)
                return 0
            found = {admin: await admin.find_dead(set(ids or ())) for admin in queues}
            for admin, entries in found.items():
                _report("dropped", admin, await admin.drop(entries), entries, as_json=as_json)
            return _complain_of_unknown(ids or [], found)

    run(main, *(queue or ()))


def _check_choice(ids: list[str] | None, *, everything: bool) -> None:
    if bool(ids) == everything:
        raise typer.BadParameter("name the jobs by their ids, or all of them by --all")


async def _retry_all(admin: "QueueAdmin", *, as_json: bool) -> int:
    count, refused = 0, 0
    async for done, problems in admin.retry_all():
        count += done
        _complain_of_refused(problems[: max(0, _COMPLAINTS - refused)])
        refused += len(problems)
    if refused > _COMPLAINTS:
        complain(f"{refused - _COMPLAINTS:,} more are refused; 'worker dead list' says why")
    _report("put back", admin, count, as_json=as_json)
    return 1 if refused else 0


def _report(
    done: str,
    admin: "QueueAdmin",
    count: int,
    entries: "list[DeadEntry] | None" = None,
    *,
    as_json: bool,
) -> None:
    """Print what was done, unless no job of this queue was named."""
    if entries is not None and not entries:
        return
    if as_json:
        print_json({"queue": admin.name, done.replace(" ", "_"): count})
    else:
        typer.echo(f"{admin.name}: {count_of(count, 'job')} {done}")


def _complain_of_refused(entries: "list[DeadEntry]") -> None:
    for entry in entries:
        complain(f"{entry.id or 'an entry without a readable id'} stays dead: {entry.problem}")


def _complain_of_unknown(ids: list[str], found: "dict[QueueAdmin, list[DeadEntry]]") -> int:
    known = {entry.id for entries in found.values() for entry in entries}
    unknown = [job_id for job_id in dict.fromkeys(ids) if job_id not in known]
    for job_id in unknown:
        complain(f"{job_id} is not in the dead list of {', '.join(at.name for at in found)}")
    return NOT_THERE if unknown else 0


async def _print_lines(admin: "QueueAdmin", limit: int | None) -> None:
    count = 0
    async for entry in admin.dead():
        known = {"queue": admin.name, "id": entry.id, "handler": entry.handler}
        fields = entry.fields or {"entry": entry.raw.decode(errors="replace")}
        print_json({**known, **fields, "problem": entry.problem})
        count += 1
        if count == limit:
            return


async def _print_entries(admin: "QueueAdmin", limit: int) -> None:
    table = Table("Id", "Handler", "Reason", "Attempts", "Died", "Error", numbers=("Attempts",))
    shown = 0
    async for entry in admin.dead():
        fields = entry.fields
        table.add(
            entry.id or "-",
            entry.handler or "-",
            fields.get("reason", "-"),
            fields.get("attempts", "-"),
            time_of(fields.get("died_at")) or "-",
            _error(fields.get("error")) if fields else entry.problem,
        )
        shown += 1
        if shown == limit:
            break
    if shown:
        table.print()
    total = (await admin.status()).dead
    rest = f" ({shown} shown; see --limit)" if shown < total else ""
    typer.echo(f"{admin.name}: {total:,} dead{rest}")


def _error(error: Any) -> str:
    if not isinstance(error, dict):
        return "-"
    text = f"{error.get('type')}: {error.get('message')}"
    return text if len(text) <= _ERROR_CHARS else f"{text[:_ERROR_CHARS]}…"
