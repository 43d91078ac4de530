"""The functions of `@app.middleware`, as hooks around the call of the handler."""

from collections.abc import Awaitable, Callable
from typing import Any

from worker.app import Callback
from worker.execution.claimed_job import ClaimedJob
from worker.execution.hooks import AroundRun
from worker.jobs.config_item import copied


def around(middleware: Callback, state: Any) -> AroundRun:
    """Return the hook. `state` is what the app's lifespan yielded."""
    function, takes = middleware.function, middleware.takes

    async def hook(claimed: ClaimedJob, call_next: Callable[[], Awaitable[Any]]) -> Any:
        arguments: dict[str, Any] = {"call_next": call_next}
        if "job" in takes:
            arguments["job"] = claimed.job
        if "config" in takes:
            assert claimed.item is not None  # noqa: S101 - its config was checked
            arguments["config"] = copied(claimed.item.plain)
        if "state" in takes:
            arguments["state"] = state
        return await function(**arguments)

    return hook
