"""`worker status`: how the queues stand."""

from typing import TYPE_CHECKING

import typer

from worker.cli.common import (
    JsonOption,
    QueuesOption,
    add_row,
    new_table,
    open_queues,
    print_json,
    print_table,
    run,
)

if TYPE_CHECKING:
    from worker.broker.admin import QueueStatus
    from worker.settings import Settings


def status(queue: QueuesOption = None, as_json: JsonOption = False) -> None:
    """Show how many jobs are where, and the workers."""

    async def main(settings: "Settings") -> int:
        async with open_queues(settings) as ledgers:
            queues = {ledger.name: await ledger.status() for ledger in ledgers}
        if as_json:
            print_json(queues)
        else:
            _show(queues)
        return 0

    run(main, *(queue or ()))


def _show(queues: "dict[str, QueueStatus]") -> None:
    counts = ("Pending", "Active", "Scheduled", "Dead")
    table = new_table("Queue", *counts, numbers=counts)
    for name, state in queues.items():
        add_row(table, name, state.pending, state.active, state.scheduled, state.dead)
    print_table(table)
    if not any(state.workers for state in queues.values()):
        typer.echo("No worker is running.")
        return
    typer.echo()
    workers = new_table("Queue", "Worker", "Lease", "Holds", numbers=("Holds",))
    for name, state in queues.items():
        for worker in state.workers:
            lease = f"{worker.lease_ms / 1000:.1f} s left" if worker.live else "ended"
            add_row(workers, name, worker.id, lease, worker.held)
    print_table(workers)
