"""A config item as it was read, and what handlers made of it."""

from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from hashlib import sha256
from typing import Any, NamedTuple, Protocol

from pydantic_core import from_json, to_json

from worker.jobs.attribute_values import int_or_float
from worker.jobs.stored_attributes import StoredAttributes

MAX_KEY_BYTES = 2048  # DynamoDB's limit for a partition key
# Items of the same table that hold what edits replaced. Workers never read them: they would hand
# one tenant's old values to whoever names such a key.
HISTORY = "#worker-history#"
_NOT_CONFIG = frozenset({"policy"})
# Bytes in memory for an item without any attribute: this object, its place in the cache, and what
# one handler makes of it.
_OVERHEAD = 1_500


def is_history(key: str) -> bool:
    """Whether the item of this key holds the history of another, and is no config."""
    return key.startswith(HISTORY)


class View(Protocol):
    """What one handler made of an item. `problem` says why it can't use the item, if it can't."""

    @property
    def problem(self) -> str | None:
        """Which attribute is wrong, and why."""


class Worked(NamedTuple):
    """A handler's view of the last version that it could use. `size` is in bytes of memory."""

    view: Any
    attributes: Mapping[str, Any]
    size: int


class ConfigItem:
    """What DynamoDB returned for one key, and when it was asked.

    `attributes` is the whole item with numbers as `Decimal`, None where there is none. `asked_at`
    is when the read began, in seconds on the monotonic clock. `absence_confirmed` is false only for
    an absence that no consistent read has confirmed. `problem` says which attribute can't be used
    and why. `views` holds what each handler made of the item, validated once; whoever reads the
    item fills it. `worked` holds what handlers made of earlier versions, each of the last one that
    it could use, as far as this process has seen them.

    The values of `whole`, `plain` and `policy` are the same objects, kept once: nobody may change
    them. `exact` is decoded each time.
    """

    def __init__(
        self,
        key: str,
        attributes: Mapping[str, Any] | None,
        asked_at: float,
        *,
        key_attribute: str,
        absence_confirmed: bool,
    ) -> None:
        self.key = key
        self.attributes = attributes
        self.asked_at = asked_at
        self.absence_confirmed: bool = absence_confirmed or attributes is not None
        self._stored = attributes if isinstance(attributes, StoredAttributes) else None
        self.problem: str | None = self._stored.problem if self._stored is not None else None
        self.size: int = _OVERHEAD + (self._stored.size if self._stored is not None else 0)
        self.views: dict[str, Any] = {}
        self.worked: dict[str, Worked] = {}
        self._key_attribute = key_attribute

    def follow(self, earlier: "ConfigItem") -> None:
        """Take over what handlers made of an earlier read of the same key."""
        if earlier.attributes is self.attributes:
            # Validated once for as long as the item stays the same.
            self.views, self.worked = earlier.views, earlier.worked
            if self.worked:
                self.worked = {n: w for n, w in self.worked.items() if not self.works_for(n)}
        else:
            self.worked = dict(earlier.worked)
            for name, view in earlier.views.items():
                if earlier.works_for(name):
                    self.worked[name] = Worked(view, earlier.attributes or {}, earlier.size)

    @property
    def kept_size(self) -> int:
        """The bytes in memory of the earlier versions that are kept."""
        sizes = {id(worked.attributes): worked.size for worked in self.worked.values()}
        return sum(sizes.values())

    def works_for(self, handler: str) -> bool:
        """Whether the handler has used this version. No item is no version."""
        view: View | None = self.views.get(handler)
        return view is not None and view.problem is None and self.attributes is not None

    @property
    def exact(self) -> dict[str, Any]:
        """The handler's config: the item without its key and policy, numbers as `Decimal`."""
        attributes = self._stored.exact() if self._stored is not None else self.attributes
        return self._without_hidden(attributes or {})

    @property
    def plain(self) -> dict[str, Any]:
        """The handler's config as plain JSON values, numbers as `int` or `float`."""
        return self._without_hidden(self.whole)

    @cached_property
    def whole(self) -> dict[str, Any]:
        """The whole item as plain JSON values, `{}` where there is none."""
        if self._stored is not None:
            return self._stored.plain
        whole: dict[str, Any] = plain(dict(self.attributes or {}))
        return whole

    @property
    def policy(self) -> Any:
        """The item's `policy` attribute as plain values, None where it has none."""
        return self.whole.get("policy")

    @cached_property
    def version(self) -> Any:
        """The item's own `version` as JSON has it, else a short digest of the item; None where
        there is no item.
        """
        if self.attributes is None:
            return None
        if "version" in self.whole:
            return from_json(_canonical(self.whole["version"]))
        return self.digest

    @property
    def digest(self) -> str:
        """A short digest of the item, the same in every process."""
        if self._stored is not None and self.problem:
            return self._stored.digest
        return sha256(_canonical(self.whole)).hexdigest()[:12]

    def _without_hidden(self, attributes: Mapping[str, Any]) -> dict[str, Any]:
        hidden = _NOT_CONFIG | {self._key_attribute}
        return {name: value for name, value in attributes.items() if name not in hidden}


def plain(value: Any) -> Any:
    """A copy with numbers as `int` or `float`, sets as sets of these."""
    if isinstance(value, Decimal):
        return int_or_float(value)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, set):
        return {plain(item) for item in value}
    return value


def _canonical(value: Any) -> bytes:
    """JSON that is the same in every process: maps and sets have no order of their own."""

    def ordered(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: ordered(value[name]) for name in sorted(value)}
        if isinstance(value, list):
            return [ordered(item) for item in value]
        return sorted(value) if isinstance(value, set) else value

    return to_json(ordered(value), bytes_mode="base64")


def copied(value: Any) -> Any:
    """A copy that its owner may change; half the price of `copy.deepcopy` on plain values."""
    if type(value) is dict:
        return {name: copied(item) for name, item in value.items()}
    if type(value) is list:
        return [copied(item) for item in value]
    if type(value) is set:
        return set(value)
    return value
