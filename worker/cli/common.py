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
    str | None,
    typer.Option(
        "--queue", "-q", metavar="NAME", help="The queue (default: the first of WORKER_QUEUE)."
    ),
]
QueuesOption = Annotated[
    list[str] | None,
    typer.Option(
        "--queue",
        "-q",
        metavar="NAME",
        help="A queue; may be repeated (default: all of WORKER_QUEUE).",
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", "-j", help="Print JSON, also on a terminal.")]
AllOption = Annotated[bool, typer.Option("--all", "-a", help="The whole dead list.")]

REDIS_VARIABLES = "Variables: WORKER_REDIS_URL, WORKER_QUEUE."
DYNAMO_VARIABLES = (
    "Variables: WORKER_CONFIG_TABLE, WORKER_CONFIG_KEY, WORKER_APP, AWS_REGION, "
    "AWS_ENDPOINT_URL_DYNAMODB, and all others of botocore."
)
# Named here since help must be quick, and the class of the settings takes long to import.
RUN_VARIABLES = (
    "Variables (docs/settings.md): WORKER_REDIS_URL, WORKER_QUEUE, WORKER_CONCURRENCY, "
    "WORKER_PROCESSES, WORKER_CONFIG_TABLE, WORKER_CONFIG_KEY, WORKER_CONFIG_TTL, "
    "WORKER_CONFIG_MAX_STALE, WORKER_CONFIG_INVALID, WORKER_CONFIG_CACHE_SIZE, "
    "WORKER_CONFIG_CACHE_BYTES, WORKER_LEASE, "
    "WORKER_GRACE_PERIOD, WORKER_STARTUP_TIMEOUT, WORKER_MAX_CRASHES, WORKER_TIMEOUT, "
    "WORKER_MAX_ATTEMPTS, WORKER_BACKOFF_BASE, WORKER_BACKOFF_FACTOR, WORKER_BACKOFF_MAX, "
    "WORKER_RESULT_TTL, WORKER_MAX_JOB_BYTES, WORKER_MAX_RESULT_BYTES, WORKER_LOG_LEVEL, "
    "WORKER_LOG_FORMAT, WORKER_LOG_ERRORS; and "
    "botocore's: AWS_REGION, AWS_ENDPOINT_URL_DYNAMODB, AWS_PROFILE and more."
)


class Group(TyperGroup):
    """A group of commands whose help is quick.

    A group converts its own options (`--help`, and those for completion) also where they are
    absent, and typer imports pydantic to convert None; a plain False it leaves alone.
    """

    def get_params(self, ctx: Any) -> Any:
        """Return the options with defaults that need no conversion."""
        params = super().get_params(ctx)
        for option in params:
            if option.default is None:
                option.default = False
        return params


def group(*, add_completion: bool = False, **options: Any) -> typer.Typer:
    """A typer application whose help is plain: rich takes longer to import than all the rest."""
    return typer.Typer(
        cls=Group,
        no_args_is_help=True,
        add_completion=add_completion,
        context_settings={"help_option_names": ["--help", "-h"]},
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        **options,
    )


def run(main: "Callable[[Settings], Awaitable[int]]", *queues: str | None) -> NoReturn:
    """Run a command with its settings and exit with the code that it returns.

    Whatever is wrong with the settings or the servers ends in one line and exit code 1.
    """
    import anyio

    from worker.cli import environment
    from worker.errors import WorkerError
    from worker.settings import Settings

    named = [name for name in queues if name is not None]
    try:
        settings = Settings(queue=named) if named else Settings()
        environment.prepare()
        unknown = environment.unknown()
        if unknown:
            complain(f"no setting has these variables, they are ignored: {unknown}")
        code = anyio.run(main, settings)
    except WorkerError as error:
        complain(str(error))
        code = 1
    raise typer.Exit(code)


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


def time_of(ms: Any) -> str | None:
    """Return a time, in ms since the epoch, as the local one; None where it is none."""
    from datetime import datetime

    try:
        return datetime.fromtimestamp(ms / 1000).astimezone().strftime("%Y-%m-%d %H:%M:%S")
    except (TypeError, ValueError, OverflowError, OSError):
        return None


def count_of(count: int, one: str) -> str:
    """`1 job`, `2 jobs`, `1,000 jobs`."""
    return f"{count:,} {one}{'' if count == 1 else 's'}"
