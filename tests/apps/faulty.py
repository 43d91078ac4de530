"""A worker with a fault of its own: it stumbles over each result that says so."""

from typing import Any

from worker import App
from worker.execution.outcomes import Outcomes

app = App()
sound = Outcomes.succeeded


def stumble(self: Outcomes, run: Any, value: Any) -> Any:
    if value == "stumble":
        raise RuntimeError("a fault of the worker's own")
    return sound(self, run, value)


Outcomes.succeeded = stumble  # type: ignore[method-assign,assignment]


@app.handler(max_attempts=2, backoff={"base": 0})
async def echo(payload: Any) -> Any:
    return payload
