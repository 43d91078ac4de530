"""How the worker's log lines are written, and what keeps them written whatever users configure."""

import json
import logging
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from worker.runtime.printable import printable

# What a JSON line says beside its time, level, logger and message, where there is one. Every
# LogRecord of a worker process has them as attributes, None where there is none.
FIELDS = ("event", "job", "handler", "queue", "attempt", "config", "worker")

_NO_FIELDS = dict.fromkeys(FIELDS)
_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
_LEVELS = {
    # They name credentials' sources and endpoints at every start, and requests with their items.
    **dict.fromkeys(("botocore", "aiobotocore", "boto3", "asyncio"), logging.WARNING),
    # They log a traceback at each try to refresh credentials; we log an outage of config once.
    **dict.fromkeys(("aiobotocore.credentials", "aiobotocore.tokens"), logging.ERROR),
}


def log_to_stderr(level: str, form: str = "text") -> None:
    """Log from `level` on, as `form` says: "text", "json", or "none", which configures nothing."""
    if form == "none":
        return
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else LineFormatter(_FORMAT))
    logging.basicConfig(level=level, handlers=[handler])
    # Its own level: a user who sets the root's level speaks of their own lines.
    logging.getLogger("worker").setLevel(level)
    for name, least in _LEVELS.items():
        logging.getLogger(name).setLevel(least)


def enable_own_loggers() -> None:
    """Undo what `dictConfig` and `fileConfig` do by default to loggers that they don't name."""
    for name in list(logging.root.manager.loggerDict):
        if name.partition(".")[0] == "worker":
            logging.getLogger(name).disabled = False


@contextmanager
def records_have(fields: Callable[[], Mapping[str, Any]]) -> Iterator[None]:
    """While in the context, each LogRecord of this process has all FIELDS as attributes.

    `fields` is called for each record; what it does not say is None, so that a user's format may
    name it in every line. What a record's own `extra` says wins. That is why no record factory is
    set: logging refuses an `extra` that names what the factory has set already, and a user's
    `extra={"job": ...}` would raise.
    """
    make = logging.Logger.makeRecord
    active = True

    def make_with_fields(logger: logging.Logger, *args: Any, **kwargs: Any) -> logging.LogRecord:
        record = make(logger, *args, **kwargs)
        if active:
            for name, value in {**_NO_FIELDS, **fields()}.items():
                record.__dict__.setdefault(name, value)
        return record

    logging.Logger.makeRecord = make_with_fields  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        active = False  # where another library has wrapped it meanwhile, its own stays in place
        if logging.Logger.makeRecord is make_with_fields:
            logging.Logger.makeRecord = make  # type: ignore[method-assign]


class LineFormatter(logging.Formatter):
    """Escapes control characters in our own records; what users' code logs stays as it is.

    The lines of a stack are kept, and indented: no id can pass for a line of the log.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as text."""
        text = super().format(record)
        if record.name.partition(".")[0] != "worker":
            return text
        return "\n    ".join(map(printable, text.split("\n")))


class JsonFormatter(logging.Formatter):
    """One JSON object a line, in ASCII. A traceback is part of the message."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as JSON."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, Any] = {
            "time": f"{time.removesuffix('+00:00')}Z",
            "level": record.levelname,
            "logger": record.name,
            "message": super().format(record),
        }
        for name in FIELDS:
            value = getattr(record, name, None)
            if value is not None:
                line[name] = value
        text = json.dumps({name: _utf8(value) for name, value in line.items()}, default=_text)
        return text.replace("\x7f", "\\u007f")  # the one control character that JSON lets through


def _utf8(value: Any) -> Any:
    """Return text with lone surrogates, which strict readers of JSON refuse, as escapes."""
    return value.encode(errors="backslashreplace").decode() if isinstance(value, str) else value


def _text(value: object) -> str:
    """Return what a user's own `extra` put into a field, as text."""
    return str(_utf8(str(value)))
