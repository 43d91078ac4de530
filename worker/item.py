"""A config item as it was read: plain data, exact numbers, and what handlers made of it."""

from collections.abc import Mapping
from decimal import Decimal
from functools import cached_property
from hashlib import sha256
from typing import Any

from pydantic_core import to_json

_NOT_CONFIG = frozenset({"policy"})


class Item:
    """What DynamoDB said of one key, and when it was asked.

    `attributes` is the whole item with numbers as `Decimal`, None where there is none. `asked_at`
    is when the read began, in seconds on the monotonic clock. `sure` tells whether an absence was
    confirmed by a consistent read. `views` holds what each handler made of the item, validated
    once; whoever reads the item fills it.
    """

    def __init__(
        self,
        key: str,
        attributes: Mapping[str, Any] | None,
        asked_at: float,
        *,
        key_attribute: str,
        sure: bool,
    ) -> None:
        self.key = key
        self.attributes = attributes
        self.asked_at = asked_at
        self.sure = sure or attributes is not None
        self.views: dict[str, Any] = {}
        self.used_at = asked_at
        self.refresh_at = 0.0
        self._key_attribute = key_attribute

    @cached_property
    def exact(self) -> dict[str, Any]:
        """The handler's config: the item without its key and policy, numbers as `Decimal`."""
        hidden = _NOT_CONFIG | {self._key_attribute}
        return {name: v for name, v in (self.attributes or {}).items() if name not in hidden}

    @cached_property
    def plain(self) -> Any:
        """The handler's config as plain JSON values, numbers as `int` or `float`."""
        return plain(self.exact)

    @cached_property
    def whole(self) -> dict[str, Any]:
        """The whole item as plain JSON values, `{}` where there is none."""
        whole: dict[str, Any] = plain(dict(self.attributes or {}))
        return whole

    @cached_property
    def policy(self) -> Any:
        """The item's `policy` attribute as plain values, None where it has none."""
        return plain((self.attributes or {}).get("policy"))

    @cached_property
    def version(self) -> Any:
        """The item's own `version`, else a short digest of it; None where there is no item."""
        if self.attributes is None:
            return None
        if "version" in self.attributes:
            return plain(self.attributes["version"])
        ordered = to_json(dict(sorted(self.whole.items())), bytes_mode="base64")
        return sha256(ordered).hexdigest()[:12]


def plain(value: Any) -> Any:
    """A copy with numbers as `int` or `float`, binary as `bytes`, sets as sets of these."""
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, set):
        return {plain(item) for item in value}
    return getattr(value, "value", value)  # boto3 wraps binary in an object of this one attribute


def copied(value: Any) -> Any:
    """A copy that its owner may change; half the price of `copy.deepcopy` on plain values."""
    if type(value) is dict:
        return {name: copied(item) for name, item in value.items()}
    if type(value) is list:
        return [copied(item) for item in value]
    if type(value) is set:
        return set(value)
    return value
