"""A config item as it was read: plain data, exact numbers, and what handlers made of it."""

from collections.abc import Callable, Mapping
from decimal import Decimal
from functools import cached_property
from hashlib import sha256
from typing import Any

from pydantic_core import from_json, to_json

MAX_KEY_BYTES = 2048  # DynamoDB's limit for a partition key
_NOT_CONFIG = frozenset({"policy"})


class ConfigItem:
    """What DynamoDB returned for one key, and when it was asked.

    `attributes` is the whole item with numbers as `Decimal`, None where there is none. `asked_at`
    is when the read began, in seconds on the monotonic clock. `absence_confirmed` is false only for
    an absence that no consistent read has confirmed. `views` holds what each handler made of the
    item, validated once; whoever reads the item fills it.
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
        self.absence_confirmed = absence_confirmed or attributes is not None
        self.views: dict[str, Any] = {}
        self._key_attribute = key_attribute

    @cached_property
    def exact(self) -> dict[str, Any]:
        """The handler's config: the item without its key and policy, numbers as `Decimal`."""
        hidden = _NOT_CONFIG | {self._key_attribute}
        shown = {name: v for name, v in (self.attributes or {}).items() if name not in hidden}
        exact: dict[str, Any] = _plain(shown, lambda number: number)
        return exact

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
        """The item's own `version` as JSON has it, else a short digest of the item; None where
        there is no item.
        """
        if self.attributes is None:
            return None
        if "version" in self.attributes:
            return from_json(_canonical(self.attributes["version"]))
        return sha256(_canonical(self.attributes)).hexdigest()[:12]


def plain(value: Any) -> Any:
    """A copy with numbers as `int` or `float`, binary as `bytes`, sets as sets of these."""
    return _plain(value, _int_or_float)


def _plain(value: Any, number: Callable[[Decimal], Any]) -> Any:
    if isinstance(value, Decimal):
        return number(value)
    if isinstance(value, dict):
        return {name: _plain(item, number) for name, item in value.items()}
    if isinstance(value, list):
        return [_plain(item, number) for item in value]
    if isinstance(value, set):
        return {_plain(item, number) for item in value}
    return getattr(value, "value", value)  # boto3 wraps binary in an object of this one attribute


def _int_or_float(number: Decimal) -> int | float:
    return int(number) if number == number.to_integral_value() else float(number)


def _canonical(value: Any) -> bytes:
    """JSON that is the same in every process: maps and sets have no order of their own."""

    def ordered(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: ordered(value[name]) for name in sorted(value)}
        if isinstance(value, list):
            return [ordered(item) for item in value]
        return sorted(value) if isinstance(value, set) else value

    return to_json(ordered(plain(value)), bytes_mode="base64")


def copied(value: Any) -> Any:
    """A copy that its owner may change; half the price of `copy.deepcopy` on plain values."""
    if type(value) is dict:
        return {name: copied(item) for name, item in value.items()}
    if type(value) is list:
        return [copied(item) for item in value]
    if type(value) is set:
        return set(value)
    return value
