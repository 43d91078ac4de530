"""Handlers that show what the contract promises."""

from typing import Any

from worker import App, Client, Reject, Retry, get_redis_client

app = App()


@app.handler
async def echo(payload: Any, config: Any, job: Any) -> Any:
    return {"payload": payload, "config": config, "attempt": job.attempt}


@app.handler
async def note(payload: Any, job: Any) -> Any:
    """Writes down that it ran, in order."""
    await get_redis_client().rpush("notes", payload or job.id)
    return payload


@app.handler
async def flaky(payload: dict[str, Any], job: Any) -> int:
    """Asks for another attempt so many times."""
    await get_redis_client().incr(f"runs:{payload['name']}")
    if job.attempt <= payload["fails"]:
        raise Retry(delay=payload.get("delay"))
    return job.attempt


@app.handler
async def about(job: Any) -> Any:
    names = ("id", "handler", "attempt", "queue", "enqueued_at", "traceparent")
    if job.attempt == 1 and job.id.startswith("again"):
        raise Retry(delay=0)
    return {name: getattr(job, name) for name in names}


@app.handler
async def wait(payload: str) -> str:
    """Ends when somebody pushes to the list of that name."""
    await get_redis_client().blpop(payload, 3)
    return payload


@app.handler
async def passes_on(payload: Any, job: Any) -> Any:
    """Has another job do the work, over the worker's own connection."""
    async with Client() as client:
        job_id = await client.enqueue("echo", payload, id=f"{job.id}-2")
        return (await client.result(job_id, timeout=10)).result["payload"]


@app.handler
async def fail(payload: Any) -> None:
    raise ValueError(str(payload))


@app.handler
async def reject(payload: str) -> None:
    raise Reject(payload)
