"""What the commands share: settings, one line for whatever goes wrong, output."""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from typer.core import TyperGroup

if TYPE_CHECKING:
    from rich.table import Table

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
    import anyio  # noqa: PLC0415

    from worker.errors import WorkerError  # noqa: PLC0415
    from worker.settings import Settings  # noqa: PLC0415

    named = [name for name in queues if name is not None]
    try:
        code = anyio.run(main, Settings(queue=named) if named else Settings())
    except WorkerError as error:
        complain(str(error))
        code = 1
    raise typer.Exit(code)


@contextmanager
def redis_explained(settings: "Settings") -> Iterator[None]:
    """Turn what redis-py raises into a WorkerError that says which Redis, without its password."""
    from redis import exceptions  # noqa: PLC0415

    from worker.errors import WorkerError  # noqa: PLC0415

    where = f"Redis at {settings.masked_redis_url}"
    try:
        yield
    except exceptions.AuthenticationError as error:
        raise WorkerError(f"{where} refuses these credentials: {error}") from error
    except (exceptions.ConnectionError, exceptions.TimeoutError) as error:
        raise WorkerError(f"{where} can't be reached: {error}") from error
    except exceptions.RedisError as error:
        raise WorkerError(f"{where} refused: {error}") from error


@asynccontextmanager
async def open_queues(settings: "Settings") -> "AsyncIterator[list[QueueAdmin]]":
    """A ledger for each queue of the settings, over one connection."""
    from worker.broker.admin import QueueAdmin  # noqa: PLC0415
    from worker.broker.connect import open_redis  # noqa: PLC0415

    with redis_explained(settings):
        async with open_redis(settings) as redis:
            yield [
                QueueAdmin(redis, name, max_job_bytes=settings.max_job_bytes)
                for name in settings.queue
            ]


def complain(message: str) -> None:
    """One line on stderr."""
    typer.echo(f"worker: {printable(message)}", err=True)


def read_stdin() -> bytes:
    """All of stdin, byte for byte: what is no UTF-8 is for the JSON parser to refuse."""
    return sys.stdin.buffer.read()


def on_terminal() -> bool:
    """Whether a person reads what is printed."""
    return sys.stdout.isatty()


def print_json(value: Any) -> None:
    """One line of JSON."""
    from pydantic_core import to_json  # noqa: PLC0415

    typer.echo(to_json(value))


def new_table(*columns: str, numbers: tuple[str, ...] = ()) -> "Table":
    """An empty table; columns that hold numbers stand to the right, long text is folded."""
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(column, justify="right" if column in numbers else "left", overflow="fold")
    return table


def add_row(table: "Table", *values: object) -> None:
    """A row of plain text: what looks like markup in it is not."""
    from rich.text import Text  # noqa: PLC0415

    table.add_row(*(Text(printable(str(value))) for value in values))


def print_table(table: "Table") -> None:
    """To the terminal's width, or as wide as it likes where nobody's window is."""
    from rich.console import Console  # noqa: PLC0415

    Console(width=None if on_terminal() else 1000).print(table)


def printable(text: str) -> str:
    """Text that can't move the cursor: ids and errors are what some producer chose."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)
