"""`worker status`: how the queues stand."""

from typing import TYPE_CHECKING

import typer

from worker.cli.common import JsonOption, QueuesOption, on_terminal, open_queues, print_json, run
from worker.cli.table import Table

if TYPE_CHECKING:
    from worker.broker.admin import QueueStatus
    from worker.settings import Settings


def status(queue: QueuesOption = None, as_json: JsonOption = False) -> None:
    """Show how many jobs are where, and the workers.

    Tables on a terminal, else one JSON object with all queues.
    """

    async def main(settings: "Settings") -> int:
        async with open_queues(settings) as queues:
            found = {admin.name: await admin.status() for admin in queues}
        if as_json or not on_terminal():
            print_json(found)
        else:
            _show(found)
        return 0

    run(main, *(queue or ()))


def _show(queues: "dict[str, QueueStatus]") -> None:
    counts = ("Pending", "Active", "Scheduled", "Dead")
    table = Table("Queue", *counts, numbers=counts)
    for name, state in queues.items():
        table.add(name, state.pending, state.active, state.scheduled, state.dead)
    table.print()
    if not any(state.workers for state in queues.values()):
        typer.echo("No worker is running.")
        return
    typer.echo()
    workers = Table("Queue", "Worker", "Lease", "Holds", numbers=("Holds",))
    for name, state in queues.items():
        for worker in state.workers:
            lease = f"{worker.lease_ms / 1000:.1f} s left" if worker.live else "ended"
            workers.add(name, worker.id, lease, worker.held)
    workers.print()
