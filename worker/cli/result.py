"""`worker result`: a job's result, now or once it is there."""

from typing import TYPE_CHECKING, Annotated

import typer

from worker.cli.common import NOT_THERE, QueueOption, complain, print_json, run

if TYPE_CHECKING:
    from worker.client import Client
    from worker.jobs.result import Result
    from worker.settings import Settings

WaitOption = Annotated[
    float | None, typer.Option(min=0, metavar="SECONDS", help="Wait that long for the result.")
]


def result(
    job_id: Annotated[str, typer.Argument(metavar="ID", help="The job's id.")],
    wait: WaitOption = None,
    queue: QueueOption = None,
) -> None:
    """Print a job's result as JSON.

    Exit code 0: it succeeded; 1: it failed or expired; 3: there is no result (yet).
    """

    async def main(settings: "Settings") -> int:
        from worker.broker.explain import redis_explained
        from worker.client import Client

        with redis_explained(settings):
            async with Client(settings) as client:
                return await print_result(client, job_id, wait or 0)

    run(main, queue)


async def print_result(
    client: "Client", job_id: str, wait: float, *, after: "Result | None" = None
) -> int:
    """Print the result. Return the exit code that says how the job ended."""
    try:
        found = await client.result(job_id, timeout=wait, after=after)
    except TimeoutError as error:
        complain(str(error))
        return NOT_THERE
    print_json(found)
    return 0 if found.status == "succeeded" else 1
