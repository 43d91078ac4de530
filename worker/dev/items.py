"""`configs.json`: the config items of `worker dev`, each under its key. An edit becomes edits of
the items that it changes; what others have put into the table meanwhile stays as it is.
"""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, NoReturn

from worker.config.table import ConfigTable
from worker.errors import WorkerError
from worker.jobs.config_item import plain
from worker.jobs.policy import policy_problems

NAME = "configs.json"

Items = Mapping[str, Mapping[str, Any]]


class ItemsFile:
    """The file in `folder`, and what of it has been written to the table."""

    def __init__(self, folder: Path, table: ConfigTable) -> None:
        self._path = folder / NAME
        self._table = table
        self._written: Items = {}

    @property
    def keys(self) -> set[str]:
        """The keys of the items that have been written."""
        return {*self._written}

    async def write(self) -> list[str]:
        """Write to the table what has changed in the file. Return a line for each change.

        Raise WorkerError where the file can't be used: then nothing of it is written.
        """
        items = read(self._path)
        put, delete = changes(self._written, items)
        for key in delete:
            await self._table.delete(key)
        for key, item in put.items():
            try:
                await self._table.put(key, item)
            except ValueError as error:
                raise WorkerError(f"{NAME}: the item {key!r} can't be written: {error}") from error
            self._written = {**self._written, key: item}
        self._written = items
        return [
            *(f"{NAME}: {key!r} is written" for key in put),
            *(f"{NAME}: {key!r} is deleted" for key in delete),
            *problems(put),
        ]


def read(path: Path) -> Items:
    """Return the items, none where there is no file. Raise WorkerError for what holds none."""
    if not path.exists():
        return {}

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON")

    try:
        items = json.loads(path.read_bytes(), parse_float=Decimal, parse_constant=refuse)
    except OSError as error:
        raise WorkerError(f"{path.name} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise WorkerError(f"{path.name} is not JSON: {error}") from error
    if not isinstance(items, dict) or not all(isinstance(each, dict) for each in items.values()):
        raise WorkerError(
            f"{path.name} must be an object that holds items by their keys, such as "
            '{"resize": {"width": 640}}'
        )
    return items


def changes(before: Items, now: Items) -> tuple[Items, list[str]]:
    """Return the items to put, and the keys to delete."""
    put = {key: item for key, item in now.items() if before.get(key) != item}
    return put, [key for key in before if key not in now]


def problems(items: Items) -> Iterator[str]:
    """Yield a line for each item whose policy no worker takes."""
    for key, item in items.items():
        policy = item.get("policy")
        wrong = policy_problems({} if policy is None else plain(policy))
        if wrong:
            yield f"{NAME}: {key!r} can't be used: {'; '.join(map(str, wrong))}"
