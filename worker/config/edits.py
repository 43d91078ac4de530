"""Edits of one item: conditional writes against what was read, and a history of what they replaced.

A write whose reply is lost may have been done. So before an edit counts as failed, the item is read
again and compared with what was meant.
"""

import json
from typing import Any

from worker.config.history import History
from worker.config.raw_items import Raw, changes, same
from worker.config.table import ConfigTable, ItemChanged
from worker.errors import ConfigUnavailable


class Conflict(Exception):
    """The item was changed since it was read. Its text says where."""


class Edits:
    """Edits of the items of one table. `problem` says why an edit is not in the history, if not.

    Every method raises ConfigUnavailable.
    """

    def __init__(self, table: ConfigTable) -> None:
        self.table = table
        self.history: History = History(table)
        self.problem: str | None = None

    async def read(self, key: str) -> Raw | None:
        """Return the item without its key by a consistent read, None where there is none.

        Raise ConfigUnavailable for one that is nested too deeply to be edited.
        """
        found = await self.table.get(key)
        if found is None:
            return None
        try:
            raw: Raw = json.loads(found.text)
        except RecursionError:
            raise ConfigUnavailable(f"the item {key!r} is nested too deeply to be edited") from None
        raw.pop(self.table.key_attribute, None)
        return raw

    async def put(self, key: str, meant: Raw, by: str) -> None:
        """Write the whole item, whatever is there. `by` is the command, for the history."""
        before = await self._read_if_allowed(key)
        try:
            replaced = await self.table.put_raw(key, meant)
        except ConfigUnavailable as error:
            if not await self._is_done(key, meant, error):
                raise
            replaced = before
        # The SDK may have sent it twice, and the second has replaced the first.
        await self._remember(key, before if same(replaced, meant) else replaced, meant, by)

    async def replace(self, key: str, read: Raw | None, meant: Raw | None, by: str) -> bool:
        """Write what is meant, where the item is still as it was read. None is no item.

        Return False where there was nothing to change. Raise Conflict.
        """
        if same(read, meant):
            return False
        try:
            await self.table.replace(key, read, meant)
        except ItemChanged:
            now = await self.read(key)
            if not same(now, meant):
                raise Conflict(changes(read, now)) from None
        except ConfigUnavailable as error:
            if not await self._is_done(key, meant, error, read):
                raise
        await self._remember(key, read, meant, by, even_nothing=by == "rollback")
        return True

    async def delete(self, key: str) -> bool:
        """Delete the item, whatever it is. Return False where there was none."""
        before = await self._read_if_allowed(key)
        try:
            replaced = await self.table.delete(key)
        except ConfigUnavailable as error:
            if not await self._is_done(key, None, error):
                raise
            replaced = before
        replaced = replaced or before
        await self._remember(key, replaced, None, "delete")
        return replaced is not None

    async def _read_if_allowed(self, key: str) -> Raw | None:
        """Return the item before a write that does not depend on it; None where it can't be seen.

        Raise ConfigUnavailable for what is wrong with more than the right to read.
        """
        try:
            return await self.read(key)
        except ConfigUnavailable as error:
            if "AccessDeniedException" not in str(error):
                raise
            return None

    async def _is_done(
        self, key: str, meant: Raw | None, error: ConfigUnavailable, read: Raw | None = None
    ) -> bool:
        """Whether a write that failed was done all the same. Raise Conflict where it was not, and
        the item, which `read` was, is another now; ConfigUnavailable where nobody can say.
        """
        if error.misconfigured:  # it was refused
            return False
        try:
            now = await self.read(key)
        except ConfigUnavailable:
            unknown = "whether the item was written is not known: look at it"
            raise ConfigUnavailable(f"{error}; {unknown}") from error
        if same(now, meant):
            return True
        if read is not None and not same(now, read):
            raise Conflict(changes(read, now)) from error
        return False

    async def _remember(
        self, key: str, replaced: Raw | None, meant: Any, by: str, *, even_nothing: bool = False
    ) -> None:
        """Add what was replaced to the history; an edit never fails because of that."""
        if same(replaced, meant) or (replaced is None and not even_nothing):
            return
        try:
            self.problem = await self.history.add(key, replaced, by)
        except Exception as error:  # noqa: BLE001 - the edit is done
            known = isinstance(error, ConfigUnavailable)
            self.problem = str(error) if known else type(error).__name__
