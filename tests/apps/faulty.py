"""A worker with a fault of its own: it stumbles over each result that says so."""

from typing import Any

from worker import App
from worker.execution.executor import Executor

app = App()
sound = Executor._succeeded


def stumble(self: Executor, run: Any, value: Any) -> Any:
    if value == "stumble":
        raise RuntimeError("a fault of the worker's own")
    return sound(self, run, value)


Executor._succeeded = stumble  # type: ignore[method-assign]


@app.handler(max_attempts=2, backoff={"base": 0})
async def echo(payload: Any) -> Any:
    return payload
