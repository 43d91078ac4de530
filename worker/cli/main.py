"""The commands, and how the process that runs one ends."""

import errno
import os
import sys
from typing import Annotated, NoReturn

import typer

from worker import __version__
from worker.cli import check, config, dead, demo, dev, push, result, run, schema, status
from worker.cli.common import REDIS_VARIABLES, RUN_VARIABLES, complain, group
from worker.runtime.printable import has_surrogates
from worker.runtime.streams import discard_output, flush_output

_USAGE = 2  # the exit code for arguments that can't be used
_UNWRITABLE = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EBADF, errno.EAGAIN}

app: typer.Typer = group(
    name="worker",
    add_completion=True,
    help="Jobs from a Redis list, their config from DynamoDB, their results back in Redis.",
    epilog="Settings are variables of the environment or of .env: WORKER_REDIS_URL, WORKER_QUEUE, "
    "WORKER_CONFIG_TABLE and more (docs/settings.md). So are botocore's: AWS_REGION, "
    "AWS_ENDPOINT_URL_DYNAMODB.",
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"worker {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _: Annotated[
        bool,
        typer.Option(
            "--version", "-V", callback=_print_version, is_eager=True, help="Show the version."
        ),
    ] = False,
) -> None:
    pass


app.command("run", epilog=RUN_VARIABLES)(run.run)
app.command("dev")(dev.dev)
app.command("push", epilog=REDIS_VARIABLES)(push.push)
app.command("result", epilog=REDIS_VARIABLES)(result.result)
app.add_typer(config.app, name="config")
app.command("status", epilog=REDIS_VARIABLES)(status.status)
app.add_typer(dead.app, name="dead")
app.command("check", epilog=RUN_VARIABLES)(check.check)
app.command("schema")(schema.schema)
app.command("demo")(demo.demo)


def run_command_line() -> None:
    """Run the command that the arguments name, and exit with its code.

    Output that can't be written, to a full disk, say, ends in one line and exit code 1.
    """
    try:
        app(_arguments(sys.argv[1:]), prog_name="worker")
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        discard_output()
        _complain_of_output(error)
    finally:
        failed = flush_output()
        if failed:
            _complain_of_output(failed)


def _arguments(given: list[str]) -> list[str]:
    """Read as UTF-8 what the locale could not read: ids and payloads are JSON text."""
    try:
        return [os.fsencode(text).decode() if has_surrogates(text) else text for text in given]
    except UnicodeDecodeError:
        number = next(n for n, text in enumerate(given, start=1) if has_surrogates(text))
        complain(f"argument {number} is not text in UTF-8: {given[number - 1]}")
        sys.exit(_USAGE)


def _complain_of_output(error: OSError) -> NoReturn:
    if not isinstance(error, BrokenPipeError):  # who reads it has seen enough
        complain(f"the output can't be written: {error.strerror}")
    sys.exit(1)
