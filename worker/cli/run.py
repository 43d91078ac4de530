"""`worker run`: start a worker process, or several, and exit with its code."""

import gc
import logging
import os
from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker import dev
from worker.cli.common import complain
from worker.runtime.signals import Ended

if TYPE_CHECKING:
    from worker.settings import Settings

log: logging.Logger = logging.getLogger("worker")


def run(
    target: Annotated[str, typer.Argument(metavar="MODULE:APP", help="Where the App is.")],
    queue: Annotated[
        list[str] | None,
        typer.Option(
            "--queue",
            "-q",
            metavar="NAME",
            help="A queue to take jobs from; may be repeated (default: all of WORKER_QUEUE).",
        ),
    ] = None,
    concurrency: Annotated[
        int | None,
        typer.Option(
            "--concurrency",
            "-c",
            min=1,
            metavar="N",
            help="How many jobs run at a time (default: WORKER_CONCURRENCY, or 100).",
        ),
    ] = None,
    processes: Annotated[
        str | None,
        typer.Option(
            "--processes",
            "-p",
            metavar="N",
            help="How many processes; auto: one a core (default: WORKER_PROCESSES, or 1).",
        ),
    ] = None,
    burst: Annotated[
        bool,
        typer.Option("--burst", "-b", help="End once nothing is pending, active or scheduled."),
    ] = False,
) -> None:
    """Run a worker until it is stopped by a signal."""
    # Imports make many objects that stay, and no garbage: collecting took a tenth of the start.
    gc.disable()
    from worker.cli import environment
    from worker.errors import WorkerError
    from worker.settings import Settings

    given: dict[str, Any] = {
        "queue": queue or None,
        "concurrency": concurrency,
        "processes": processes,
    }
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
        environment.prepare()
        code = _work(target, settings, burst=burst)
    except WorkerError as error:
        _refuse(error)
        code = 1
    except Ended:
        code = 0  # nothing had been claimed
    raise typer.Exit(code)


def _work(target: str, settings: "Settings", *, burst: bool) -> int:
    from worker.process.supervisor import die_with_supervisor, processes
    from worker.runtime.log_lines import log_to_stderr

    log_to_stderr(settings.log_level, settings.log_format)
    if not die_with_supervisor():
        _warn_of_unknown_variables()
    count = processes(settings.processes)
    if count > 1:
        return _supervise(target, settings, count, burst=burst)
    return _serve(target, settings, burst=burst)


def _warn_of_unknown_variables() -> None:
    from worker.cli import environment

    unknown = environment.unknown()
    if unknown:
        log.warning(
            "No setting has these variables, they are ignored: %s.",
            unknown,
            extra={"event": "variables_unknown"},
        )


def _refuse(error: Exception) -> None:
    """Say why the worker can't start: in the log's form where that is JSON, else to a person."""
    from worker.runtime.log_lines import JsonFormatter

    traceback = getattr(error, "traceback", "")
    if any(isinstance(handler.formatter, JsonFormatter) for handler in logging.root.handlers):
        text = f"{error}\n{traceback}".rstrip()
        log.error("The worker can't start: %s", text, extra={"event": "start_failed"})
        return
    if traceback:
        with suppress(OSError):
            typer.echo(traceback, err=True, nl=False)
    complain(str(error))


def _serve(target: str, settings: "Settings", *, burst: bool) -> int:
    from worker.process.loading import load_app
    from worker.process.service import Service
    from worker.runtime.exit_guard import PATIENCE, ExitGuard

    app = load_app(target)
    if dev.VARIABLE in os.environ:
        from worker.dev.samples import write_samples

        write_samples(app, os.environ[dev.VARIABLE])
    gc.freeze()
    gc.enable()

    async def serve() -> int:
        ended = await Service(app, settings, burst=burst).run()
        ExitGuard(ended.code, patience=0.0 if ended.stuck else PATIENCE).start()
        return ended.code

    return _run(serve)


def _supervise(target: str, settings: "Settings", count: int, *, burst: bool) -> int:
    from worker.process.supervisor import Supervisor
    from worker.runtime.commands import worker_command

    gc.enable()
    command = worker_command("run", target, "--processes", "1")
    command += ["--concurrency", str(settings.concurrency)]
    for name in settings.queue:
        command += ["--queue", name]
    if burst:
        command.append("--burst")
    supervisor = Supervisor(command, os.environ, count, startup_timeout=settings.startup_timeout)
    return _run(supervisor.run)


def _run(main: Any) -> int:
    import anyio

    code: int = anyio.run(main, backend_options={"use_uvloop": find_spec("uvloop") is not None})
    return code
