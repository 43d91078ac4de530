"""Many lines that are alike become one line with a count."""

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Lock

# Of each kind, so many lines are written in full before they are counted: an operator sees a few
# ids, and a thousand failures don't hide what else happens.
SHOWN = 5
# Handlers' names are what producers choose. Past so many kinds, those of one event are one kind.
_MOST_KINDS = 50


@dataclass(slots=True)
class _Kind:
    count: int = 0
    first_hidden: logging.LogRecord | None = None


class AlikeLines(logging.Filter):
    """A filter of one logger. Lines of one event, handler and `cause` are alike.

    Lines without an event always pass. Call `flush` from time to time: it writes the counts.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lock = Lock()
        self._kinds: dict[tuple[str | None, ...], _Kind] = {}
        self._since = time.monotonic()

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the line is written now."""
        event = getattr(record, "event", None)
        if event is None:
            return True
        with self._lock:
            kind = self._kind(record, event)
            kind.count += 1
            if kind.count > SHOWN and kind.first_hidden is None:
                # Its text, so that no job is kept alive until the flush.
                record.msg, record.args = record.getMessage().partition("\n")[0], ()
                kind.first_hidden = record
            return kind.count <= SHOWN

    def flush(self) -> None:
        """Write one line for each kind of which some were hidden, and begin again."""
        now = time.monotonic()
        with self._lock:
            kinds, self._kinds = self._kinds, {}
            seconds, self._since = now - self._since, now
        for kind in kinds.values():
            if kind.first_hidden is not None:
                _write_count(kind.first_hidden, kind.count - SHOWN - 1, seconds)

    def _kind(self, record: logging.LogRecord, event: str) -> _Kind:
        handler, cause = getattr(record, "handler", None), getattr(record, "cause", None)
        key = (event, handler, cause)
        if key not in self._kinds and len(self._kinds) >= _MOST_KINDS:
            key = (event, None, None)
        return self._kinds.setdefault(key, _Kind())


@contextmanager
def counting_alike() -> Iterator[AlikeLines]:
    """While in the context, count the lines of our logger that are alike."""
    log, lines = logging.getLogger("worker"), AlikeLines()
    log.addFilter(lines)
    try:
        yield lines
    finally:
        lines.flush()
        log.removeFilter(lines)


def _write_count(hidden: logging.LogRecord, more: int, seconds: float) -> None:
    fields = dict(hidden.__dict__)
    if more:
        text = "%s And %s more like it in the last %.0f s."
        fields |= {"msg": text, "args": (hidden.msg, f"{more:,}", seconds)}
        for name in ("created", "msecs", "relativeCreated"):  # its time is that of the count
            del fields[name]
    fields |= {"exc_info": None, "exc_text": None}
    # Past this filter: the line is no further one of its kind.
    logging.getLogger(hidden.name).callHandlers(logging.makeLogRecord(fields))
