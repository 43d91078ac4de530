"""What `worker dev` shows: where its servers are, what to type, and the worker's log."""

import json
import re
import shlex
from collections.abc import Iterable, Mapping
from contextlib import suppress

from worker.dev.samples import Sample
from worker.runtime.printable import printable

_LOG_LINE = re.compile(
    r"\d{4}-\d\d-\d\d (?P<time>\d\d:\d\d:\d\d),\d{3} (?P<level>[A-Z]+) +(?P<text>.*)"
)
_COLOURS = {"DEBUG": "2", "WARNING": "33", "ERROR": "31", "CRITICAL": "31"}
_WAIT = 10  # seconds, for the result of a job that somebody tries
_SHOWN = 5  # handlers


class Screen:
    """Writes to stdout. `coloured` is whether a person reads it, who wants colours."""

    def __init__(self, *, coloured: bool) -> None:
        self._coloured = coloured

    def say(self, *lines: str) -> None:
        """Print lines."""
        for line in lines:
            show(printable(line))

    def title(self, text: str) -> None:
        """Print a headline, with a line of air above it."""
        show(f"\n{self._in('1', printable(text))}")

    def commands(self, lines: Iterable[str]) -> None:
        """Print lines to copy."""
        for line in lines:
            colour = "2" if line.startswith("#") else "36"
            show(f"  {self._in(colour, printable(line))}")

    def log(self, line: str) -> None:
        """Print a line of the worker's: its time without the date, its level in colour."""
        found = _LOG_LINE.fullmatch(line)
        if found:
            level = self._in(_COLOURS.get(found["level"], "32"), f"{found['level']:<7}")
            line = f"{found['time']} {level} {found['text']}"
        show(line)

    def _in(self, colour: str, text: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured else text


def show(line: str) -> None:
    """Print a line, where it can be written to: a terminal that is closed ends us by a signal."""
    with suppress(OSError):
        print(line, flush=True)  # noqa: T201 - what this file is for


def commands_to_try(
    samples: Iterable[Sample], environment: Mapping[str, str], *, worker: str, config_keys: set[str]
) -> list[str]:
    """Return commands that push a job to each handler, as one types them in another shell.

    `environment` leads to the servers, `worker` is the program, `config_keys` the items in the
    table.
    """
    given = f"WORKER_REDIS_URL={environment['WORKER_REDIS_URL']} "
    given += "".join(
        f"{name}={shlex.quote(value)} "
        for name, value in environment.items()
        if name == "WORKER_QUEUE"
    )
    lines = []
    for sample in list(samples)[:_SHOWN]:
        if sample.takes_config and sample.handler not in config_keys:
            item = json.dumps({sample.handler: sample.config})
            lines.append(f"# {sample.handler} takes a config; write it to configs.json: {item}")
        payload = f" {shlex.quote(json.dumps(sample.payload))}" if sample.takes_payload else ""
        handler = shlex.quote(sample.handler)
        lines.append(f"{given}{worker} push {handler}{payload} --wait {_WAIT}")
    return lines


def export_line(environment: Mapping[str, str]) -> str:
    """Return the line that leads all other commands of a shell to the servers."""
    return "export " + " ".join(f"{name}={shlex.quote(at)}" for name, at in environment.items())
