"""Every error that `worker` raises itself.

WorkerError
├── StartupError             the worker can't start; its message is what the operator reads
│   └── AppError             MODULE:APP names no app, or the app has no handlers
├── HandlerError             something is registered wrongly (parameters, options, types, state)
├── JobFailed                what `on_error` gets where the handler raised nothing:
│   ├── UnknownHandler       this worker has no handler of that name
│   ├── ConfigMissing        the job names a config item that does not exist
│   ├── ConfigInvalid        its config item can't be used
│   ├── PayloadInvalid       its payload fails the handler's type
│   ├── ResultInvalid        its result fails the handler's type, or has no JSON
│   ├── ResultTooLarge       its result has more than WORKER_MAX_RESULT_BYTES
│   ├── Timeout              it ran longer than its time limit
│   └── Crashed              its worker died holding it, once too often
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
    """MODULE:APP names no app with handlers.

    `traceback` is that of the user's module, "" where the message says it all.
    """

    def __init__(self, message: str, *, traceback: str = "") -> None:
        super().__init__(message)
        self.traceback = traceback


class HandlerError(WorkerError, TypeError):
    """A handler, middleware, `on_error` function or lifespan is registered wrongly."""


class JobFailed(WorkerError):
    """A job failed, and its handler raised nothing.

    Functions of `@app.on_error` get one of its kinds. The name of the kind is the `type` of the
    error in results and in the dead list, and the message is theirs too.
    """


class UnknownHandler(JobFailed):
    """The worker has no handler of the name that the job gives."""


class ConfigMissing(JobFailed):
    """The job names a config item that does not exist."""


class ConfigInvalid(JobFailed):
    """The job's config item can't be used. The message names the attribute, never a value."""


class PayloadInvalid(JobFailed):
    """The job's payload fails the handler's type."""


class ResultInvalid(JobFailed):
    """What the handler returned fails its declared type, or has no JSON."""


class ResultTooLarge(JobFailed):
    """The job's result has more than WORKER_MAX_RESULT_BYTES."""


class Timeout(JobFailed):
    """The job ran longer than its time limit.

    `__cause__` has the traceback of where the handler was, where that is known.
    """


class Crashed(JobFailed):
    """Workers died holding the job, WORKER_MAX_CRASHES times."""


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
