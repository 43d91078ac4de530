"""Webhook delivery: one handler, and a config item for each tenant.

A tenant's item says where its events go, with which secret they are signed, and how hard to try:

    worker config put acme '{
      "endpoint": "https://acme.example/hooks",
      "secret": "shared with acme",
      "policy": {"timeout": 5, "max_attempts": 8, "backoff": {"base": 1, "factor": 2, "max": 300}}
    }'
    worker run examples.webhooks:app
    worker push deliver '{"type": "user.created", "data": {"id": 7}}' --config acme --wait 10

Edit the item, and the next attempt of every job uses the new one: a moved endpoint or a renewed
secret needs no restart, and no job is lost. `worker demo` shows this.
"""

import hmac
import time
from base64 import b64encode
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import aiohttp
from pydantic import BaseModel, HttpUrl, JsonValue, SecretStr

from worker import App, Job, Reject, Retry


@asynccontextmanager
async def lifespan(_: App) -> AsyncIterator[aiohttp.ClientSession]:
    """The process's one HTTP session, with its kept-alive connections: each handler's `state`."""
    async with aiohttp.ClientSession() as session:
        yield session


app = App(lifespan=lifespan)

# A payload that gets one of these would get it again. Other refusals, such as 401 and 404, may be
# the config's fault: they are tried again, when the item may have been corrected.
FINAL = {400, 410, 413, 415, 422}
TOO_MANY_REQUESTS = 429


class Event(BaseModel):
    """What happened."""

    type: str
    data: dict[str, JsonValue]


class Tenant(BaseModel):
    """A tenant's config item, without its `policy`, which the worker uses itself."""

    endpoint: HttpUrl
    secret: SecretStr


class DeliveryFailed(Exception):
    """The endpoint did not take the event. It may take it next time."""


@app.handler
async def deliver(
    payload: Event, config: Tenant, job: Job, state: aiohttp.ClientSession
) -> dict[str, int]:
    """POST the event to its tenant. Any answer but 2xx is a failed attempt, or buries the job.

    A job may run more than once, so an event may arrive more than once. Its `webhook-id` stays the
    same, so that the receiver can recognise it.
    """
    body = payload.model_dump_json().encode()
    headers = {"content-type": "application/json", **signed(job.id, body, config.secret)}
    began = time.monotonic()
    async with state.post(
        str(config.endpoint), data=body, headers=headers, allow_redirects=False
    ) as answer:
        status = answer.status
        pause = answer.headers.get("retry-after", "")
    if status == TOO_MANY_REQUESTS and pause.isdecimal():
        raise Retry("the endpoint asks for patience", delay=float(pause))
    if status in FINAL:
        raise Reject(f"the endpoint answered {status}, and would again")
    if status not in range(200, 300):
        raise DeliveryFailed(f"the endpoint answered {status}")
    return {"status": status, "took_ms": round((time.monotonic() - began) * 1000)}


def signed(message_id: str, body: bytes, secret: SecretStr) -> dict[str, str]:
    """Return the three headers of the Standard Webhooks specification."""
    timestamp = str(int(time.time()))
    content = b".".join((message_id.encode(), timestamp.encode(), body))
    digest = hmac.digest(secret.get_secret_value().encode(), content, "sha256")
    return {
        "webhook-id": message_id,
        "webhook-timestamp": timestamp,
        "webhook-signature": f"v1,{b64encode(digest).decode()}",
    }
