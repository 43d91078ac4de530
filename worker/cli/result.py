"""`worker result`: a job's result, now or once it is there."""

from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.common import (
    NOT_THERE,
    JsonOption,
    QueueOption,
    complain,
    on_terminal,
    print_json,
    run,
    time_of,
)
from worker.cli.table import Table
from worker.runtime.printable import printable

if TYPE_CHECKING:
    from worker.client import Client
    from worker.jobs.result import Result
    from worker.settings import Settings

_TIMES = ("enqueued_at", "started_at", "finished_at")

WaitOption = Annotated[
    float | None,
    typer.Option("--wait", "-w", min=0, metavar="SECONDS", help="Wait that long for the result."),
]


def result(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job's id.")],
    wait: WaitOption = None,
    queue: QueueOption = None,
    as_json: JsonOption = False,
) -> None:
    """Print a job's result: its fields on a terminal, else JSON.

    Exit code 0: it succeeded; 1: it failed or expired; 3: there is no result (yet).
    """

    async def main(settings: "Settings") -> int:
        from worker.broker.explain import redis_explained
        from worker.client import Client

        with redis_explained(settings):
            async with Client(settings) as client:
                return await print_result(client, job_id, wait or 0, as_json=as_json)

    run(main, queue)


async def print_result(
    client: "Client",
    job_id: str,
    wait: float,
    *,
    after: "Result | None" = None,
    as_json: bool = False,
) -> int:
    """Print the result. Return the exit code that says how the job ended."""
    try:
        found = await client.result(job_id, timeout=wait, after=after)
    except TimeoutError as error:
        complain(str(error))
        return NOT_THERE
    if as_json or not on_terminal():
        print_json(found)
    else:
        _show(found)
    return 0 if found.status == "succeeded" else 1


def _show(found: "Result") -> None:
    """Print its fields, a line each, without those that are null; an error's traceback below."""
    from dataclasses import asdict

    fields = asdict(found)
    fields |= {name: time_of(fields[name]) for name in _TIMES}
    if found.error is not None:
        fields["error"] = f"{found.error.type}: {found.error.message}"
    shown = {
        name.capitalize().replace("_", " "): _text(value)
        for name, value in fields.items()
        if value is not None or (name, found.status) == ("result", "succeeded")
    }
    table = Table(*shown)
    table.add(*shown.values())
    table.print_blocks()
    if found.error is not None and found.error.traceback:
        typer.echo()
        for line in found.error.traceback.splitlines():
            typer.echo(printable(line))


def _text(value: object) -> str:
    from pydantic_core import to_json

    return value if isinstance(value, str) else to_json(value).decode()
