"""How the worker's log lines are written."""

import logging
import sys

from worker.runtime.printable import printable

_FORMAT = "%(asctime)s %(levelname)-7s %(message)s"
_LEVELS = {
    # They name credentials' sources and endpoints at every start, and requests with their items.
    **dict.fromkeys(("botocore", "aiobotocore", "boto3", "asyncio"), logging.WARNING),
    # They log a traceback at each try to refresh credentials; we log an outage of config once.
    **dict.fromkeys(("aiobotocore.credentials", "aiobotocore.tokens"), logging.ERROR),
}


def log_to_stderr(level: str) -> None:
    """Log from `level` on, in lines that hold no control characters."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(LineFormatter(_FORMAT))
    logging.basicConfig(level=level, handlers=[handler])
    for name, least in _LEVELS.items():
        logging.getLogger(name).setLevel(least)


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
