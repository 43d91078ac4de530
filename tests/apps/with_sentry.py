"""An app that reports its errors to Sentry, over a transport that pushes them onto a Redis list."""

import json
import os
from typing import Any

import redis
import sentry_sdk
from sentry_sdk.envelope import Envelope
from sentry_sdk.integrations.logging import ignore_logger
from sentry_sdk.transport import Transport

from worker import App, Job


class ToRedis(Transport):
    def __init__(self, options: Any = None) -> None:
        super().__init__(options)
        self._redis = redis.Redis.from_url(os.environ["WORKER_REDIS_URL"])

    def capture_envelope(self, envelope: Envelope) -> None:
        event = envelope.get_event()
        if event is not None:
            self._redis.rpush("sentry", json.dumps(event, default=str))

    def kill(self) -> None:
        self._redis.close()


app = App()

sentry_sdk.init(dsn="http://key@localhost/1", transport=ToRedis)
ignore_logger("worker")  # its ERROR lines would be events too, beside those of `report`


@app.on_error
def report(error: BaseException, job: Job, fate: str) -> None:
    sentry_sdk.capture_exception(error, tags={"job": job.id, "handler": job.handler, "fate": fate})


@app.handler(max_attempts=1)
async def divide(payload: int) -> float:
    return 1 / payload


@app.handler
async def typed(payload: int) -> None: ...
