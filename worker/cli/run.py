"""`worker run`: start a worker process and leave with its exit code."""

import logging
import os
import sys
from typing import Annotated, Any

import typer


def run(
    target: Annotated[str, typer.Argument(metavar="MODULE:APP", help="Where the App is.")],
    queue: Annotated[
        list[str] | None, typer.Option(help="A queue to take jobs from; may be repeated.")
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option(min=1, help="How many jobs run at a time (default 100).")
    ] = None,
    burst: Annotated[
        bool, typer.Option("--burst", help="End once nothing is pending, active or scheduled.")
    ] = False,
) -> None:
    """Run a worker until it is told to stop."""
    from worker.errors import WorkerError  # noqa: PLC0415
    from worker.settings import Settings  # noqa: PLC0415

    given: dict[str, Any] = {"queue": queue or None, "concurrency": concurrency}
    try:
        settings = Settings(**{name: value for name, value in given.items() if value is not None})
        _log_to_stderr(settings.log_level)
        ended = _serve(target, settings, burst=burst)
    except WorkerError as error:
        typer.echo(f"worker: {error}", err=True)
        raise typer.Exit(1) from None
    raise typer.Exit(ended.code)


def _serve(target: str, settings: Any, *, burst: bool) -> Any:
    import anyio  # noqa: PLC0415

    from worker.loading import load_app  # noqa: PLC0415
    from worker.service import Service  # noqa: PLC0415

    app = load_app(target)
    ended = None

    async def main() -> None:
        nonlocal ended
        ended = await Service(app, settings, burst=burst).run()
        if ended.stuck:
            _leave_now(ended.code)

    anyio.run(main, backend_options={"use_uvloop": _has_uvloop()})
    return ended


def _has_uvloop() -> bool:
    from importlib.util import find_spec  # noqa: PLC0415

    return find_spec("uvloop") is not None


def _leave_now(code: int) -> None:
    """Leave without waiting for what can't be stopped: a thread, a task that swallows
    cancellation. The loop would wait for them for ever; all is given back and closed by now.
    """
    sys.stdout.flush()
    logging.shutdown()
    sys.stderr.flush()
    os._exit(code)


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(
        level=level, format="%(asctime)s %(levelname)-7s %(message)s", stream=sys.stderr
    )
    # Their INFO lines name credentials' sources and endpoints at every start.
    for name in ("botocore", "aiobotocore", "boto3", "asyncio"):
        logging.getLogger(name).setLevel(logging.WARNING)
