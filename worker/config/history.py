"""What edits of an item replaced: kept in an item of its own in the same table.

Its key begins with HISTORY. Workers never read it, and `worker config list` does not show it.
"""

import json
import secrets
import time
from hashlib import sha256
from typing import Any, NamedTuple

from worker.config.raw_items import Raw, config_item
from worker.config.table import ConfigTable, ItemChanged
from worker.errors import ConfigUnavailable
from worker.jobs.config_item import HISTORY, MAX_KEY_BYTES

MOST_VERSIONS = 10
MOST_BYTES = 300_000  # of all versions; an item holds 400 kB
_TRIES = 5  # other edits of the same item may add to its history at the same time


class Version(NamedTuple):
    """One version that an edit replaced. `item` is None where there was none before the edit.

    `replaced_at` is in ms since the epoch, `replaced_by` a command. `version` is what results say
    of it. `digest` is the same where it has no version of its own, and else tells those apart that
    say the same.
    """

    item: Raw | None
    replaced_at: int
    replaced_by: str
    version: Any
    digest: str | None

    def is_named(self, name: str) -> bool:
        """Whether somebody who types this name means this version."""
        return name in (self.digest, str(self.version))


class History:
    """The history of each item of one table. Every method raises ConfigUnavailable."""

    def __init__(self, table: ConfigTable) -> None:
        self._table = table

    async def versions(self, key: str) -> list[Version]:
        """Return what is kept, newest first."""
        entries, _ = await self._read(key)
        return [self._version(key, entry) for entry in reversed(entries)]

    async def add(self, key: str, item: Raw | None, by: str) -> str | None:
        """Add a version. Return why it is not kept, None where it is."""
        entry = {
            "id": {"S": secrets.token_hex(8)},
            "at": {"N": str(time.time_ns() // 1_000_000)},
            "by": {"S": by},
            # As text, since DynamoDB allows items no deeper than 32 levels.
            "item": {"S": json.dumps(item, ensure_ascii=False)}
            if item is not None
            else {"NULL": True},
        }
        if _size(entry) > MOST_BYTES:
            return f"what it replaced has more than {MOST_BYTES:,} bytes"
        for _ in range(_TRIES):
            entries, revision = await self._read(key)
            if any(each["id"] == entry["id"] for each in entries):
                return None  # the reply of the last write was lost
            try:
                await self._write(key, _trimmed([*entries, entry]), revision)
            except ItemChanged:
                continue
            return None
        return "other edits changed the history at the same time"

    async def _read(self, key: str) -> tuple[list[Raw], int]:
        """Return the entries, oldest first, and the revision of the history; 0: there is none."""
        found = await self._table.get(history_key(key))
        if found is None:
            return [], 0
        try:
            raw = json.loads(found.text)
            entries = [entry["M"] for entry in raw["versions"]["L"]]
            return entries, int(raw["revision"]["N"])
        except (KeyError, TypeError, ValueError, RecursionError):
            raise ConfigUnavailable(
                f"the history of {key!r} can't be read: the item {history_key(key)!r} is none"
            ) from None

    async def _write(self, key: str, entries: list[Raw], revision: int) -> None:
        await self._table.put_revision(
            history_key(key),
            {
                "of": {"S": key},
                "revision": {"N": str(revision + 1)},
                "versions": {"L": [{"M": entry} for entry in entries]},
            },
            revision,
        )

    def _version(self, key: str, entry: Raw) -> Version:
        text = entry["item"].get("S")
        raw = json.loads(text) if text is not None else None
        version = digest = None
        if raw is not None:
            item = config_item(key, raw, self._table.key_attribute)
            version, digest = item.version, item.digest
        return Version(raw, int(entry["at"]["N"]), entry["by"]["S"], version, digest)


def history_key(key: str) -> str:
    """Return the key of the item that holds the history of this one."""
    whole = HISTORY + key
    if len(whole.encode()) <= MAX_KEY_BYTES:
        return whole
    return HISTORY + sha256(key.encode()).hexdigest()


def _trimmed(entries: list[Raw]) -> list[Raw]:
    """Return as many of the latest entries as are kept."""
    kept: list[Raw] = []
    size = 0
    for entry in reversed(entries[-MOST_VERSIONS:]):
        size += _size(entry)
        if size > MOST_BYTES:
            break
        kept.insert(0, entry)
    return kept


def _size(entry: Raw) -> int:
    return len(entry["item"].get("S", "").encode(errors="replace"))
