"""The demo from start to end: servers, tenants, 2,000 deliveries, the report."""

import asyncio
import os
import shlex
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

from worker.broker.admin import QueueAdmin
from worker.client import Client
from worker.config.raw_items import exact
from worker.connections import open_connections
from worker.demo.killing import Killed
from worker.demo.receiver import Receiver
from worker.demo.screen import Screen
from worker.demo.servers import Servers, embedded_servers, free_port
from worker.demo.stage import (
    PROCESSES,
    SETTINGS,
    Workers,
    every_end_like_ctrl_c,
    find_example,
    use_only,
    workers,
    workers_command,
)
from worker.demo.tally import total
from worker.demo.tenants import INITECH, TENANTS, UMBRELLA, items
from worker.demo.traffic import DELIVERIES, Traffic
from worker.runtime.commands import typed_worker
from worker.settings import Settings


def play(*, keep: bool) -> None:
    """Run the demo; with `keep`, leave its servers up until Ctrl-C. Raise WorkerError."""
    screen = Screen()
    example = find_example()
    with every_end_like_ctrl_c(), ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="worker-demo-")))
        screen.title(f"Webhook delivery: {DELIVERIES:,} jobs for {len(TENANTS)} tenants")
        servers, receiver = _set_up(stack, screen)
        with ExitStack() as working:
            with screen.waiting("Starting the workers"):
                started = working.enter_context(workers(example, folder / "worker.log"))
            screen.say(f"  Workers   {PROCESSES} processes of '{workers_command()}'\n")
            screen.legend()
            traffic = asyncio.run(_deliver(started, receiver, screen))
        _show_results(screen, traffic)
        if keep:
            _tell_environment(screen, servers, receiver, example)
        else:
            _tell_what_next(screen, example)
        _report(screen, traffic, receiver)
        if keep:
            asyncio.run(_go_on(receiver))


def _set_up(stack: ExitStack, screen: Screen) -> tuple[Servers, Receiver]:
    """Start the servers and fill the table. Return where they are."""
    with screen.waiting("Starting Valkey and DynamoDB (moto)"):
        servers = stack.enter_context(embedded_servers())
    receiver = Receiver(free_port())
    use_only({**servers.environment, **SETTINGS})
    with screen.waiting("Filling the config table"):
        asyncio.run(_fill_table(receiver))
    screen.say(f"  Valkey    127.0.0.1:{servers.redis_port}")
    screen.say(
        f"  DynamoDB  127.0.0.1:{servers.dynamo_port}, table config: an item for each tenant"
    )
    screen.say(f"  Receiver  {receiver.url}, checks signatures, fails now and then")
    return servers, receiver


async def _fill_table(receiver: Receiver) -> None:
    async with open_connections(Settings()) as connections:
        await connections.table.create()
        for name, item in items(receiver.url).items():
            await connections.table.put(name, exact(item))


async def _deliver(started: Workers, receiver: Receiver, screen: Screen) -> Traffic:
    settings = Settings()
    async with (
        receiver.listening(),
        open_connections(settings) as connections,
        Client(settings) as client,
    ):
        admin = QueueAdmin(
            connections.broker, settings.queue[0], max_job_bytes=settings.max_job_bytes
        )
        traffic = Traffic(client, connections.table, admin, receiver, screen)
        await traffic.run(started)
    return traffic


async def _go_on(receiver: Receiver) -> None:
    """Keep the receiver up until Ctrl-C, like the servers."""
    async with receiver.listening():
        await asyncio.Event().wait()


def _show_results(screen: Screen, traffic: Traffic) -> None:
    screen.title("Two results, as stored in Redis")
    screen.say(f"  {INITECH.name}'s first delivery, with version 2 of its item:")
    screen.result(traffic.firsts[INITECH.name])
    screen.say(f"\n  {UMBRELLA.name}'s first, buried; the job itself is in the dead list:")
    screen.result(traffic.firsts[UMBRELLA.name])


def _report(screen: Screen, traffic: Traffic, receiver: Receiver) -> None:
    screen.title("The report")
    whole = total(list(traffic.tallies.values()))
    screen.say(
        f"  All {whole.done:,} jobs have their result. None was lost{_in_spite_of(traffic.killed)}."
    )
    screen.say(f"  {_seen_by(receiver)}")
    screen.say(
        f"  Throughput: {whole.done:,} jobs in {traffic.seconds:.1f} s, "
        f"{whole.done / traffic.seconds:,.0f} a second, as fast as they were pushed."
    )
    screen.say(
        f"  Pickup, from push to handler: {whole.pickup(50)} ms for half of the jobs that needed\n"
        f"  a single attempt, {whole.pickup(95)} ms for 95 % of them.\n"
    )
    screen.table(traffic.tallies)


def _in_spite_of(killed: Killed | None) -> str:
    if killed is None:
        return ""
    return f",\n  the {killed.held} in the hands of the killed worker included"


def _seen_by(receiver: Receiver) -> str:
    accepted = receiver.accepted
    twice = sum(times > 1 for times in accepted.values())
    seen = f"The receiver accepted {len(accepted):,} events with a valid signature"
    if not twice:
        return f"{seen}, none of them twice."
    return f"{seen}, {twice} of them twice:\n  the answers came too late, or to the killed worker."


def _tell_what_next(screen: Screen, example: Path) -> None:
    worker = typed_worker()
    screen.title("What to type next")
    screen.commands(
        "# the same, and the servers stay up for you",
        f"{worker} demo --keep",
        "# the app that ran",
        f"less {shlex.quote(os.path.relpath(example / 'examples' / 'webhooks.py'))}",
        "# a worker of your own, on servers of its own",
        f"{worker} dev tasks:app",
    )


def _tell_environment(screen: Screen, servers: Servers, receiver: Receiver, example: Path) -> None:
    """How to use the servers from another terminal; every line can be copied."""
    worker = typed_worker()
    corrected = f'{{"endpoint": "{receiver.url}/{UMBRELLA.name}", "secret": "{UMBRELLA.secret}"}}'
    variables = servers.environment
    if example != Path.cwd():
        variables = {**variables, "PYTHONPATH": str(example)}
    screen.title("The servers stay up until Ctrl-C. In another terminal, in this folder:")
    screen.commands(*(f"export {name}={shlex.quote(value)}" for name, value in variables.items()))
    screen.title("What to type next")
    screen.commands(
        f"{worker} status",
        f"# correct {UMBRELLA.name}'s endpoint, put its buried jobs back, and deliver them",
        f"{worker} config put {UMBRELLA.name} {shlex.quote(corrected)}",
        f"{worker} dead retry --all",
        f"{worker} run examples.webhooks:app --burst",
        f"{worker} result {UMBRELLA.name}-0001",
    )
