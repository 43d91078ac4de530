"""Every error that `worker` raises itself.

WorkerError
├── StartupError             the worker can't start; its message is what the operator reads
│   └── AppError             MODULE:APP names no app, or the app has no handlers
├── HandlerError             a handler is registered wrongly (parameters, options, types)
├── NotOpen                  no connection is open here: outside of its context, in another loop
├── Malformed                bytes in the list are no job
├── ConfigUnavailable        DynamoDB can't be read now, and no cached item is young enough
└── SettingsError            a setting or queue name that can't be used

Raised by handlers, to decide their job's fate:

HandlerSignal
├── Retry                    run it again, within its attempts
└── Reject                   bury it at once
"""

import math


class WorkerError(Exception):
    """The base of all errors that are not a handler's signal."""


class StartupError(WorkerError):
    """The worker can't start. The message says why, and how to fix it."""


class AppError(StartupError):
    """MODULE:APP names no app with handlers."""


class HandlerError(WorkerError, TypeError):
    """A handler is registered wrongly."""


class NotOpen(WorkerError, RuntimeError):
    """No connection is open here: none in this process, or only in another event loop."""


class SettingsError(WorkerError, ValueError):
    """A setting that can't be used."""


class Malformed(WorkerError, ValueError):
    """Bytes in the list are no job.

    The attributes are those of its fields that could be read and are valid.
    """

    def __init__(
        self,
        message: str,
        *,
        job_id: str | None = None,
        handler: str | None = None,
        reply_to: str | None = None,
        enqueued_at: int | None = None,
        attempts: int = 0,
    ) -> None:
        super().__init__(message)
        self.job_id = job_id
        self.handler = handler
        self.reply_to = reply_to
        self.enqueued_at = enqueued_at
        self.attempts = attempts


class ConfigUnavailable(WorkerError):
    """DynamoDB can't be read now, and no cached item is young enough to use instead.

    `misconfigured` is true for what only an operator can fix (credentials, rights, the table), and
    false for an outage that passes.
    """

    def __init__(self, message: str, *, misconfigured: bool = False) -> None:
        super().__init__(message)
        self.misconfigured = misconfigured


class HandlerSignal(Exception):
    """What a handler raises to decide its job's fate."""


class Retry(HandlerSignal):
    """Run the job again, within its `max_attempts`.

    `delay` is in seconds; None leaves it to the job's backoff. Raise ValueError for a delay that is
    negative or not finite.
    """

    def __init__(self, message: str = "", *, delay: float | None = None) -> None:
        if delay is not None and not (math.isfinite(delay) and delay >= 0):
            raise ValueError(f"delay must be a number of seconds, 0 or more, not {delay!r}")
        super().__init__(message or "the handler asked for another attempt")
        self.delay = delay


class Reject(HandlerSignal):
    """Bury the job at once, with `why` as its error message."""

    def __init__(self, why: str = "the handler rejected the job") -> None:
        super().__init__(why)
