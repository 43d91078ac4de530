"""What went wrong with a job, as it is stored: text of a bounded length that has UTF-8."""

import traceback
from typing import Any

from worker.jobs.result import ErrorInfo

MAX_TYPE_CHARS = 200
MAX_MESSAGE_CHARS = 2_000
MAX_TRACEBACK_CHARS = 10_000
MAX_LAST_MESSAGE_CHARS = 300  # of the copy that a job carries to its retry
_FRAMES = 20  # of a traceback, the innermost


def failure(kind: str, message: str) -> ErrorInfo:
    """Return what the worker itself found wrong with a job."""
    return ErrorInfo(kind, _head(message, MAX_MESSAGE_CHARS))


def describe(error: BaseException) -> ErrorInfo:
    """Return an exception's type, message, and traceback from the handler's own frame on."""
    try:
        # The first frame is of the worker, which called the handler.
        frames = error.__traceback__ and error.__traceback__.tb_next
        lines = traceback.format_exception(type(error), error, frames, limit=-_FRAMES)
    except BaseException:  # noqa: BLE001 - an error's own code may raise anything, sys.exit() too
        lines = []
    return ErrorInfo(
        _head(type(error).__name__, MAX_TYPE_CHARS),
        _head(message_of(error), MAX_MESSAGE_CHARS),
        _tail("".join(lines), MAX_TRACEBACK_CHARS),
    )


def last_error(error: ErrorInfo, at: int) -> dict[str, Any]:
    """Return what a job that waits for its retry says of the attempt that failed at `at` (ms)."""
    return {
        "type": error.type,
        "message": _head(error.message, MAX_LAST_MESSAGE_CHARS),
        "at": at,
    }


def message_of(error: BaseException) -> str:
    """Return the message of an exception, whatever its `__str__` does."""
    try:
        return str(error)
    except BaseException as inner:  # noqa: BLE001 - see above
        return f"(its message can't be read: {type(inner).__name__})"


def _head(text: str, limit: int) -> str:
    text = _with_utf8(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _tail(text: str, limit: int) -> str:
    """Return the end of a traceback, where the error was raised."""
    text = _with_utf8(text)
    return text if len(text) <= limit else "…" + text[1 - limit :]


def _with_utf8(text: str) -> str:
    """Return the text with lone surrogates, which have no UTF-8, as escapes."""
    return text.encode(errors="backslashreplace").decode()
