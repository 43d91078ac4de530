"""What went wrong, as it is stored: of a bounded length, and of text that has UTF-8."""

import traceback

from worker.jobs.result import ErrorInfo

MAX_MESSAGE_CHARS = 2_000
MAX_TRACEBACK_CHARS = 10_000


def failure(kind: str, message: str) -> ErrorInfo:
    """What the worker itself found wrong with a job."""
    return ErrorInfo(kind, _head(message, MAX_MESSAGE_CHARS))


def describe(error: BaseException) -> ErrorInfo:
    """An exception that a handler raised: type, message, traceback without our own frames."""
    try:
        # The first frame is the executor's; what the reader wants begins at the handler.
        frames = error.__traceback__ and error.__traceback__.tb_next
        told = "".join(traceback.format_exception(type(error), error, frames, limit=-20))
    except Exception:  # noqa: BLE001 - an error's own code may raise anything
        told = ""
    return ErrorInfo(
        type(error).__name__,
        _head(message_of(error), MAX_MESSAGE_CHARS),
        _tail(told, MAX_TRACEBACK_CHARS),
    )


def message_of(error: BaseException) -> str:
    """The message of an exception, whatever its `__str__` does."""
    try:
        return str(error)
    except Exception as inner:  # noqa: BLE001 - same
        return f"(its message can't be had: {type(inner).__name__})"


def _head(text: str, limit: int) -> str:
    text = _clean(text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def _tail(text: str, limit: int) -> str:
    """The end of a traceback tells most."""
    text = _clean(text)
    return text if len(text) <= limit else "…" + text[1 - limit :]


def _clean(text: str) -> str:
    """Free of lone surrogates, which have no UTF-8."""
    return text.encode(errors="backslashreplace").decode()
