"""`worker dead`: look at buried jobs, put them back, drop them."""

from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.common import (
    NOT_THERE,
    JsonOption,
    QueuesOption,
    add_row,
    complain,
    group,
    new_table,
    on_terminal,
    open_queues,
    print_json,
    print_table,
    run,
)

if TYPE_CHECKING:
    from worker.broker.admin import DeadEntry, QueueAdmin
    from worker.settings import Settings

_ROWS = 50  # as many as a person reads
_COMPLAINTS = 20  # as many refusals as are told one by one
_ERROR_CHARS = 100  # the whole error is in the JSON

app = group(help="Buried jobs: list them, put them back, drop them.")

Ids = Annotated[list[str] | None, typer.Argument(metavar="ID", help="Ids of dead jobs.")]
All = Annotated[bool, typer.Option("--all", help="The whole dead list.")]


@app.command("list")
def list_(
    limit: Annotated[
        int | None,
        typer.Option(min=1, metavar="N", help=f"The newest N (default {_ROWS} in a table)."),
    ] = None,
    queue: QueuesOption = None,
    as_json: JsonOption = False,
) -> None:
    """Show buried jobs, newest first.

    A table on a terminal, else one JSON object a line.
    """

    async def main(settings: "Settings") -> int:
        async with open_queues(settings) as ledgers:
            for ledger in ledgers:
                if as_json or not on_terminal():
                    await _print_lines(ledger, limit)
                else:
                    await _print_entries(ledger, limit or _ROWS)
        return 0

    run(main, *(queue or ()))


@app.command()
def retry(ids: Ids = None, everything: All = False, queue: QueuesOption = None) -> None:
    """Put dead jobs back on the queue.

    They go to its end, attempts and crashes at 0.

    Exit code 1: some entry is no job and can't be put back; 3: an id is not in the dead list.
    """
    _check_choice(ids, everything=everything)

    async def main(settings: "Settings") -> int:
        async with open_queues(settings) as ledgers:
            if everything:
                return max([await _retry_all(ledger) for ledger in ledgers])
            found = {ledger: await ledger.find_dead(set(ids or ())) for ledger in ledgers}
            refused = []
            for ledger, entries in found.items():
                _tell("put back", ledger, await ledger.retry(entries), entries)
                refused += [entry for entry in entries if entry.problem]
            _tell_refused(refused)
            return _tell_unknown(ids or [], found) or (1 if refused else 0)

    run(main, *(queue or ()))


@app.command()
def drop(ids: Ids = None, everything: All = False, queue: QueuesOption = None) -> None:
    """Drop dead jobs for good.

    Exit code 3: an id is not in the dead list.
    """
    _check_choice(ids, everything=everything)

    async def main(settings: "Settings") -> int:
        async with open_queues(settings) as ledgers:
            if everything:
                for ledger in ledgers:
                    _tell("dropped", ledger, await ledger.drop_all())
                return 0
            found = {ledger: await ledger.find_dead(set(ids or ())) for ledger in ledgers}
            for ledger, entries in found.items():
                _tell("dropped", ledger, await ledger.drop(entries), entries)
            return _tell_unknown(ids or [], found)

    run(main, *(queue or ()))


def _check_choice(ids: list[str] | None, *, everything: bool) -> None:
    if bool(ids) == everything:
        raise typer.BadParameter("name the jobs by their ids, or all of them by --all")


async def _retry_all(ledger: "QueueAdmin") -> int:
    count, refused = 0, 0
    async for done, problems in ledger.retry_all():
        count += done
        _tell_refused(problems[: max(0, _COMPLAINTS - refused)])
        refused += len(problems)
    if refused > _COMPLAINTS:
        complain(f"{refused - _COMPLAINTS:,} more are refused; 'worker dead list' says why")
    _tell("put back", ledger, count)
    return 1 if refused else 0


def _tell(
    done: str, ledger: "QueueAdmin", count: int, entries: "list[DeadEntry] | None" = None
) -> None:
    """Say what was done, unless nothing of this queue was meant."""
    if entries is None or entries:
        typer.echo(f"{ledger.name}: {count:,} {'job' if count == 1 else 'jobs'} {done}")


def _tell_refused(entries: "list[DeadEntry]") -> None:
    for entry in entries:
        complain(f"{entry.id or 'an entry without a readable id'} stays dead: {entry.problem}")


def _tell_unknown(ids: list[str], found: "dict[QueueAdmin, list[DeadEntry]]") -> int:
    known = {entry.id for entries in found.values() for entry in entries}
    unknown = [job_id for job_id in dict.fromkeys(ids) if job_id not in known]
    for job_id in unknown:
        complain(f"{job_id} is not in the dead list of {', '.join(at.name for at in found)}")
    return NOT_THERE if unknown else 0


async def _print_lines(ledger: "QueueAdmin", limit: int | None) -> None:
    count = 0
    async for entry in ledger.dead():
        known = {"queue": ledger.name, "id": entry.id, "handler": entry.handler}
        fields = entry.fields or {"entry": entry.raw.decode(errors="replace")}
        print_json({**known, **fields, "problem": entry.problem})
        count += 1
        if count == limit:
            return


async def _print_entries(ledger: "QueueAdmin", limit: int) -> None:
    table = new_table("Id", "Handler", "Reason", "Attempts", "Died", "Error", numbers=("Attempts",))
    shown = 0
    async for entry in ledger.dead():
        fields = entry.fields
        add_row(
            table,
            entry.id or "-",
            entry.handler or "-",
            fields.get("reason", "-"),
            fields.get("attempts", "-"),
            _time(fields.get("died_at")),
            _error(fields.get("error")) if fields else entry.problem,
        )
        shown += 1
        if shown == limit:
            break
    if shown:
        print_table(table)
    total = (await ledger.status()).dead
    rest = f" ({shown} shown; see --limit)" if shown < total else ""
    typer.echo(f"{ledger.name}: {total:,} dead{rest}")


def _time(ms: Any) -> str:
    try:
        return datetime.fromtimestamp(ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (TypeError, ValueError, OverflowError, OSError):
        return "-"


def _error(error: Any) -> str:
    if not isinstance(error, dict):
        return "-"
    text = f"{error.get('type')}: {error.get('message')}"
    return text if len(text) <= _ERROR_CHARS else f"{text[:_ERROR_CHARS]}…"
