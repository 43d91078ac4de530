"""Every error that `worker` raises itself.

WorkerError
├── StartupError             the worker can't start; its message is what the operator reads
│   └── AppError             MODULE:APP names no app, or the app has no handlers
├── HandlerError             a handler is registered wrongly (parameters, options, types)
├── NotOpen                  an accessor was called outside `open_connections`
├── Malformed                what arrived in the list is no job
├── ConfigUnavailable        DynamoDB can't be read now and nothing cached is young enough
└── SettingsError            a setting or queue name that can't be used

Raised by handlers, to say what is to become of their job:

HandlerSignal
├── Retry                    another attempt, please
└── Reject                   bury this job at once
"""

import math


class WorkerError(Exception):
    """The base of all errors that are not a handler's signal."""


class StartupError(WorkerError):
    """The worker can't start; the message says why and how to mend it."""


class AppError(StartupError):
    """MODULE:APP leads to no app with handlers."""


class HandlerError(WorkerError, TypeError):
    """A handler is registered wrongly."""


class NotOpen(WorkerError, RuntimeError):
    """There is no open connection in this process."""


class SettingsError(WorkerError, ValueError):
    """A setting that can't be used."""


class Malformed(WorkerError, ValueError):
    """What arrived in the list is no job.

    The attributes are those fields of it that could be read and are as they must be.
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
    """DynamoDB can't be read now, and nothing cached is young enough to stand in.

    `misconfigured` tells what only an operator can mend (credentials, rights, the table) from an
    outage that passes.
    """

    def __init__(self, message: str, *, misconfigured: bool = False) -> None:
        super().__init__(message)
        self.misconfigured = misconfigured


class HandlerSignal(Exception):
    """What a handler raises to say what is to become of its job."""


class Retry(HandlerSignal):
    """Ask for another attempt, within the job's `max_attempts`.

    `delay` is in seconds; None leaves it to the job's backoff. Raises ValueError for a delay that
    is negative or not finite.
    """

    def __init__(self, message: str = "", *, delay: float | None = None) -> None:
        if delay is not None and not (math.isfinite(delay) and delay >= 0):
            raise ValueError(f"delay must be a number of seconds, 0 or more, not {delay!r}")
        super().__init__(message or "the handler asked for another attempt")
        self.delay = delay


class Reject(HandlerSignal):
    """Bury this job at once, with the given reason as its error message."""

    def __init__(self, why: str = "the handler rejected the job") -> None:
        super().__init__(why)
