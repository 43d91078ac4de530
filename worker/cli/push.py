"""`worker push`: enqueue jobs from the shell."""

import math
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Annotated, Any

import typer

from worker.cli.common import JsonOption, QueueOption, bytes_of, print_json, read_stdin, run
from worker.cli.result import WaitOption, print_result

if TYPE_CHECKING:
    from worker.client import Client
    from worker.jobs.result import Result
    from worker.settings import Settings

_STEP = 1000  # jobs between two looks at the ids that were pushed


def push(  # noqa: PLR0913 - a command's options
    handler: Annotated[str, typer.Argument(metavar="HANDLER", help="The handler's name.")],
    payload: Annotated[
        str | None, typer.Argument(metavar="PAYLOAD", help="JSON; '-' reads it from stdin.")
    ] = None,
    lines: Annotated[
        bool,
        typer.Option("--lines", "-l", help="Read payloads from stdin, one a line: a job for each."),
    ] = False,
    config: Annotated[
        str | None, typer.Option("--config", "-c", metavar="KEY", help="Key of the config item.")
    ] = None,
    job_id: Annotated[
        str | None,
        typer.Option("--id", "-i", metavar="ID", help="The job's id (default: a new one)."),
    ] = None,
    delay: Annotated[
        float | None,
        typer.Option(
            "--delay", "-d", min=0, metavar="SECONDS", help="Run it no earlier than that."
        ),
    ] = None,
    wait: WaitOption = None,
    queue: QueueOption = None,
    as_json: JsonOption = False,
) -> None:
    """Enqueue jobs and print their ids.

    With --wait, print their results instead; exit codes are those of 'worker result'.
    """
    _check_options(job_id, delay, lines=lines)
    fields = {"handler": handler, "config": config, "id": job_id}
    given = {name: value for name, value in fields.items() if value is not None}
    payloads = _payloads(payload, lines=lines)
    jobs = [{**given, "payload": _parsed(name, text)} for name, text in payloads.items()]

    async def main(settings: "Settings") -> int:
        from worker.broker.explain import redis_explained
        from worker.client import Client

        _check(given, payloads, settings)
        with redis_explained(settings):
            async with Client(settings) as client:
                before = await _result_now(client, job_id) if wait is not None else None
                ids: list[str] = []
                async for pushed in _enqueue(client, jobs, delay):
                    ids += pushed
                    if wait is not None:
                        typer.echo("\n".join(pushed), err=True)
                    else:
                        _print_ids(pushed, settings.queue[0], as_json=as_json)
                if wait is None:
                    return 0
                return await _print_results(client, ids, wait, before, as_json=as_json)

    run(main, queue)


def _check_options(job_id: str | None, delay: float | None, *, lines: bool) -> None:
    if lines and job_id is not None:
        raise typer.BadParameter(
            "--lines makes many jobs, which can't share one id: leave out --id"
        )
    if delay is not None and not math.isfinite(delay):
        raise typer.BadParameter("it must be finite", param_hint="--delay")
    if job_id == "":
        raise typer.BadParameter("it must not be empty", param_hint="--id")


def _payloads(payload: str | None, *, lines: bool) -> dict[str, bytes]:
    """Return the JSON of each payload, by the name that a complaint gives it."""
    if lines:
        if payload not in (None, "-"):
            raise typer.BadParameter("--lines reads the payloads from stdin: leave out PAYLOAD")
        texts = enumerate(read_stdin().split(b"\n"), start=1)
        return {f"line {number}": text for number, text in texts if text.strip()}
    if payload is None:
        return {"PAYLOAD": b"null"}
    return {"PAYLOAD": read_stdin() if payload == "-" else bytes_of(payload)}


def _parsed(name: str, text: bytes) -> Any:
    from pydantic_core import from_json

    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise typer.BadParameter(f"{name} is not JSON: {error}") from None


def _check(given: dict[str, str], payloads: dict[str, bytes], settings: "Settings") -> None:
    """Refuse all where a worker would bury one, so that all can be pushed again once corrected."""
    from pydantic_core import to_json

    from worker.errors import Malformed
    from worker.jobs.job import decode
    from worker.jobs.keys import Keys

    keys = Keys(settings.queue[0])
    before_payload = to_json({"id": "0" * 32, **given})[:-1] + b',"payload":'
    for name, text in payloads.items():
        try:
            decode(before_payload + text + b"}", keys, settings.max_job_bytes)
        except Malformed as error:
            raise typer.BadParameter(f"{name}: no worker would take the job: {error}") from None


def _print_ids(ids: list[str], queue: str, *, as_json: bool) -> None:
    """Print an id a line, which shells can take as it is, or JSON."""
    if as_json:
        for job_id in ids:
            print_json({"id": job_id, "queue": queue})
    else:
        typer.echo("\n".join(ids))


async def _result_now(client: "Client", job_id: str | None) -> "Result | None":
    """Return the result of an earlier job of this id: --wait waits for the one after it."""
    try:
        return await client.result(job_id, timeout=0) if job_id else None
    except TimeoutError:
        return None


async def _enqueue(
    client: "Client", jobs: list[dict[str, Any]], delay: float | None
) -> AsyncIterator[list[str]]:
    """Yield the ids of the jobs that have been pushed by now, step by step."""
    for first in range(0, len(jobs), _STEP):
        yield await client.enqueue_many(jobs[first : first + _STEP], delay=delay)


async def _print_results(
    client: "Client", ids: list[str], wait: float, before: "Result | None", *, as_json: bool
) -> int:
    """Print the results in the jobs' order, within `wait` seconds in all. Return the worst code."""
    import anyio

    until = anyio.current_time() + wait
    codes = [
        await print_result(
            client,
            job_id,
            max(0, round(until - anyio.current_time(), 3)),
            after=before,
            as_json=as_json,
        )
        for job_id in ids
    ]
    return max(codes, default=0)
