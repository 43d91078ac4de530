"""`worker run`: start a worker process, or several, and leave with its exit code."""

import logging
import os
import sys
from importlib.util import find_spec
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from worker.settings import Settings


def run(
    target: Annotated[str, typer.Argument(metavar="MODULE:APP", help="Where the App is.")],
    queue: Annotated[
        list[str] | None, typer.Option(help="A queue to take jobs from; may be repeated.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="How many jobs run at a time (default 100).")
    ] = None,
    processes: Annotated[
        str | None, typer.Option(metavar="N", help="How many processes (default 1; auto: cores).")
    ] = None,
    burst: Annotated[
        bool, typer.Option("--burst", help="End once nothing is pending, active or scheduled.")
    ] = False,
) -> None:
    """Run a worker until it is told to stop."""
    from worker.errors import WorkerError  # noqa: PLC0415
    from worker.settings import Settings  # noqa: PLC0415

    given: dict[str, Any] = {
        "queue": queue or None,
        "concurrency": concurrency,
        "processes": processes,
    }
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
        _log_to_stderr(settings.log_level)
        code = _work(target, settings, burst=burst)
    except WorkerError as error:
        typer.echo(f"worker: {error}", err=True)
        code = 1
    raise typer.Exit(code)


def _work(target: str, settings: "Settings", *, burst: bool) -> int:
    from worker.process.supervisor import die_with_supervisor, processes  # noqa: PLC0415

    die_with_supervisor()
    count = processes(settings.processes)
    if count > 1:
        return _supervise(target, settings, count, burst=burst)
    return _serve(target, settings, burst=burst)


def _serve(target: str, settings: "Settings", *, burst: bool) -> int:
    from worker.process.loading import load_app  # noqa: PLC0415
    from worker.process.service import Service  # noqa: PLC0415

    app = load_app(target)

    async def serve() -> int:
        ended = await Service(app, settings, burst=burst).run()
        if ended.stuck:
            _leave_now(ended.code)
        return ended.code

    return _run(serve)


def _supervise(target: str, settings: "Settings", count: int, *, burst: bool) -> int:
    from worker.process.supervisor import Supervisor  # noqa: PLC0415

    command = [sys.executable, "-m", "worker", "run", target, "--processes", "1"]
    command += ["--concurrency", str(settings.concurrency)]
    for name in settings.queue:
        command += ["--queue", name]
    if burst:
        command.append("--burst")
    supervisor = Supervisor(command, os.environ, count, startup_timeout=settings.startup_timeout)
    return _run(supervisor.run)


def _run(main: Any) -> int:
    import anyio  # noqa: PLC0415

    code: int = anyio.run(main, backend_options={"use_uvloop": find_spec("uvloop") is not None})
    return code


def _leave_now(code: int) -> None:
    """Leave without waiting for what can't be stopped: a thread, a task that swallows cancellation.

    The loop would wait for it for ever; all is given back and closed by now.
    """
    sys.stdout.flush()
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        level=level, format="%(asctime)s %(levelname)-7s %(message)s", stream=sys.stderr
    )
    # They name credentials' sources and endpoints at every start, and requests with their items.
    for name in ("botocore", "aiobotocore", "boto3", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # They log a traceback at each try to refresh credentials; an outage of config is logged once.
    for name in ("aiobotocore.credentials", "aiobotocore.tokens"):
        logging.getLogger(name).setLevel(logging.ERROR)
