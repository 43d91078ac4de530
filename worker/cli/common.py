"""What the commands share: settings, one line for whatever goes wrong, output."""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

from worker.runtime.printable import printable

if TYPE_CHECKING:
    from worker.broker.admin import QueueAdmin
    from worker.settings import Settings

NOT_THERE = 3  # the exit code for what was asked for and does not exist

QueueOption = Annotated[
    str | None, typer.Option(metavar="NAME", help="The queue (default: the first of WORKER_QUEUE).")
]
QueuesOption = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A queue; may be repeated (default: all of WORKER_QUEUE)."),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON, also on a terminal.")]


class Group(TyperGroup):
    """A group of commands whose help is quick.

    A group converts its own `--help`, also where it is absent, and typer imports pydantic to
    convert None; a plain False it leaves alone.
    """

    def get_help_option(self, ctx: Any) -> Any:
        """Give the option with a default that needs no conversion."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option


def group(**options: Any) -> typer.Typer:
    """A typer application whose help is plain: rich takes longer to import than all the rest."""
    return typer.Typer(
        cls=Group,
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        **options,
    )


def run(main: "Callable[[Settings], Awaitable[int]]", *queues: str | None) -> NoReturn:
    """Run a command with its settings and leave with the exit code that it gives.

    Whatever is wrong with the settings or the servers ends in one line and exit code 1.
    """
    import anyio

    from worker.errors import WorkerError
    from worker.settings import Settings

    named = [name for name in queues if name is not None]
    try:
        strip_aws_variables()
        code = anyio.run(main, Settings(queue=named) if named else Settings())
    except WorkerError as error:
        complain(str(error))
        code = 1
    raise typer.Exit(code)


def strip_aws_variables() -> None:
    """Strip botocore's variables as Settings strips ours: from files, they end in a newline."""
    for name, value in os.environ.items():
        if name.startswith("AWS_") and value != value.strip():
            os.environ[name] = value.strip()


@asynccontextmanager
async def open_queues(settings: "Settings") -> "AsyncIterator[list[QueueAdmin]]":
    """A `QueueAdmin` for each queue of the settings, over one connection. Raise WorkerError."""
    from worker.broker.admin import QueueAdmin
    from worker.broker.connect import open_redis
    from worker.broker.explain import redis_explained

    with redis_explained(settings):
        async with open_redis(settings) as redis:
            yield [
                QueueAdmin(redis, name, max_job_bytes=settings.max_job_bytes)
                for name in settings.queue
            ]


def complain(message: str) -> None:
    """Print one line on stderr, where it can be written to."""
    with suppress(OSError):
        typer.echo(f"worker: {printable(message)}", err=True)


def wants_colours() -> bool:
    """Whether a person reads what is printed, and has not asked for plain text (no-color.org)."""
    asked_not = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
    return on_terminal() and not asked_not


def read_stdin() -> bytes:
    """All of stdin, byte for byte: what is no UTF-8 is for the JSON parser to refuse."""
    return sys.stdin.buffer.read()


def bytes_of(argument: str) -> bytes:
    """An argument, byte for byte as it was typed."""
    return argument.encode(errors="surrogateescape")


def on_terminal() -> bool:
    """Whether a person reads what is printed."""
    return sys.stdout.isatty()


def print_json(value: Any) -> None:
    """One line of JSON."""
    from pydantic_core import to_json

    typer.echo(to_json(value))


def count_of(count: int, one: str) -> str:
    """`1 job`, `2 jobs`, `1,000 jobs`."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"
