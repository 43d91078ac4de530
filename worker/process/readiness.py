"""What must hold before a worker takes its first job. `worker check` looks at the same."""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import anyio

from worker.broker.explain import Problem
from worker.broker.trial import look_at_redis
from worker.connections import Connections
from worker.errors import ConfigUnavailable, StartupError

if TYPE_CHECKING:
    from worker.config.table import ConfigTable

_PAUSE = 0.2  # seconds between tries
# A key that hardly exists: reading it shows whether the table, its key and the rights are there.
_PROBE = "worker-startup-probe"


async def wait_until_ready(connections: Connections) -> None:
    """Wait for Redis and the config table, both at once, for WORKER_STARTUP_TIMEOUT at most.

    Raise StartupError, at once for what no waiting changes.
    """
    settings = connections.settings
    looks: dict[str, Callable[[], Awaitable[Problem | None]]] = {
        f"Redis at {settings.masked_redis_url}": lambda: look_at_redis(
            connections.broker, settings
        ),
        f"DynamoDB's table {settings.config_table!r}": lambda: look_at_table(connections.table),
    }
    problems = {what: Problem(f"{what} did not answer", lasts=False) for what in looks}

    async def wait_for(what: str) -> None:
        while problem := await looks[what]():
            problems[what] = problem
            if problem.lasts:
                scope.cancel()
            await anyio.sleep(_PAUSE)
        del problems[what]

    with anyio.move_on_after(max(0.1, settings.startup_timeout)) as scope:
        async with anyio.create_task_group() as group:
            for what in looks:
                group.start_soon(wait_for, what)
    if problems:
        worst = min(problems.values(), key=lambda problem: not problem.lasts)
        gave_up = f"; gave up after {settings.startup_timeout:g} s (WORKER_STARTUP_TIMEOUT)"
        raise StartupError(worst.text if worst.lasts else worst.text + gave_up)


async def look_at_table(table: "ConfigTable") -> Problem | None:
    """Return what keeps a worker from reading this table, None where nothing does."""
    try:
        await table.read([_PROBE])
    except ConfigUnavailable as error:
        return Problem(str(error), lasts=error.misconfigured)
    return None
