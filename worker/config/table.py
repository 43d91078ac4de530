"""Every DynamoDB call: the config table, read in batches, and what the commands do to it."""

from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from worker.config.expressions import replacement, whole
from worker.config.failures import WRONG_KEY, call_failure, is_failed_condition
from worker.config.own_calls import parsed_reply, raw_reply
from worker.config.raw_items import Raw, raw_item
from worker.config.reply import NotDynamo, batch_reply, get_reply, replaced_reply, scan_reply
from worker.errors import ConfigUnavailable
from worker.jobs.backoff import Backoff
from worker.jobs.config_item import is_history
from worker.jobs.stored_attributes import StoredAttributes

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

T = TypeVar("T")

BATCH = 100  # BatchGetItem takes no more keys at once
# A reply of more bytes is decoded in a thread: this many take some 5 ms, while no other job runs.
_LARGE = 64 * 1024

# Throttled keys come back as unprocessed: about two seconds in all before they count as failed.
_UNPROCESSED = Backoff(base=0.1, factor=2.0, max=1.0)
_UNPROCESSED_TRIES = 5


class ItemChanged(Exception):
    """A conditional write was not done, since its condition does not hold."""


class ConfigTable:
    """The table `name` with the string partition key `key_attribute`, over `open_dynamo`'s client.

    Every method raises ConfigUnavailable, which says what is wrong and never quotes an item.
    Whatever one item holds harms that item alone: see `StoredAttributes.problem`.
    """

    def __init__(self, client: "DynamoDBClient", name: str, key_attribute: str) -> None:
        self._client = client
        self._threads = anyio.CapacityLimiter(1)
        self.name = name
        self.key_attribute = key_attribute

    async def read(
        self,
        keys: Sequence[str],
        *,
        consistent: bool = False,
        known: Mapping[str, StoredAttributes] | None = None,
    ) -> dict[str, StoredAttributes | None]:
        """Return the items of up to 100 distinct keys, None where there is none.

        `known` are earlier reads: an item that is the same is not decoded again, but returned.
        """
        found: dict[str, StoredAttributes | None] = dict.fromkeys(keys)
        known = known or {}

        def decode(raw: dict[str, Any], text: str) -> tuple[str, StoredAttributes]:
            key = self._key_of(raw)
            if key not in found:
                raise NotDynamo("its reply has an item that was not asked for")
            earlier = known.get(key)
            if earlier is not None and earlier.is_same(text, raw):
                return key, earlier
            return key, StoredAttributes(text, raw)

        ask = list(keys)
        for tries in range(1, _UNPROCESSED_TRIES + 1):
            with self._explained():
                asked = self._asking(ask, consistent=consistent)
                body = await raw_reply(self._client.batch_get_item(RequestItems=asked))
                items, unprocessed = await self._in_thread_if_large(
                    body, lambda body: batch_reply(body, self.name, decode)
                )
                found.update(items)
                ask = [self._key_of(raw) for raw in unprocessed]
                if not found.keys() >= set(ask):
                    raise NotDynamo("its reply has a key that was not asked for")
            if not ask:
                return found
            await anyio.sleep(_UNPROCESSED.equal_jitter(tries))
        raise ConfigUnavailable(f"DynamoDB throttles reads of table {self.name!r}")

    async def get(self, key: str) -> StoredAttributes | None:
        """Return one item by a consistent read, or None."""
        with self._explained():
            body = await raw_reply(
                self._client.get_item(
                    TableName=self.name, Key={self.key_attribute: {"S": key}}, ConsistentRead=True
                )
            )
            return get_reply(body, lambda raw, text: StoredAttributes(text, raw))

    async def put(self, key: str, attributes: Mapping[str, Any]) -> None:
        """Write the whole item, of values as JSON has them; numbers may be `Decimal` too.

        Raise ValueError for what DynamoDB can't hold, or workers can't read.
        """
        await self.put_raw(key, raw_item(attributes))

    async def put_raw(self, key: str, attributes: Raw) -> Raw | None:
        """Write the whole item. Return the one that it replaced, without its key.

        Attributes are DynamoDB's own JSON, here and in all that follows.
        """
        with self._explained():
            body = await raw_reply(
                self._client.put_item(
                    TableName=self.name,
                    Item=whole(self.key_attribute, key, attributes),
                    ReturnValues="ALL_OLD",
                )
            )
            return self._replaced(body)

    async def put_revision(self, key: str, attributes: Raw, revision: int) -> None:
        """Write the whole item where its `revision` is this one; 0: where there is no item.

        Raise ItemChanged.
        """
        condition: dict[str, Any] = {
            "ConditionExpression": "#r = :r",
            "ExpressionAttributeNames": {"#r": "revision"},
            "ExpressionAttributeValues": {":r": {"N": str(revision)}},
        }
        if revision == 0:
            condition = {
                "ConditionExpression": "attribute_not_exists(#k)",
                "ExpressionAttributeNames": {"#k": self.key_attribute},
            }
        item = whole(self.key_attribute, key, attributes)
        with self._explained(conditional=True):
            await raw_reply(self._client.put_item(TableName=self.name, Item=item, **condition))

    async def replace(self, key: str, read: Raw | None, meant: Raw | None) -> None:
        """Make of the item that was read the one that is meant; None is no item.

        An attribute that was added since stays as it is, unless very many change. Raise ItemChanged
        where one that was read is another now.
        """
        operation, parameters = replacement(self.key_attribute, key, read, meant)
        with self._explained(conditional=True):
            await raw_reply(getattr(self._client, operation)(TableName=self.name, **parameters))

    async def delete(self, key: str) -> Raw | None:
        """Delete the item. Return it without its key, None where there was none."""
        with self._explained():
            body = await raw_reply(
                self._client.delete_item(
                    TableName=self.name,
                    Key={self.key_attribute: {"S": key}},
                    ReturnValues="ALL_OLD",
                )
            )
            return self._replaced(body)

    async def scan(self) -> AsyncIterator[tuple[str, StoredAttributes]]:
        """Yield all keys and items, page by page."""
        start: dict[str, Any] = {}
        while True:
            with self._explained():
                body = await raw_reply(self._client.scan(TableName=self.name, **start))
                items, last = await self._in_thread_if_large(
                    body, lambda body: scan_reply(body, self._keyed)
                )
                if last and start == {"ExclusiveStartKey": last}:
                    raise NotDynamo("its reply has the same page again")
            for item in items:
                yield item
            if not last:
                return
            start = {"ExclusiveStartKey": last}

    async def items(self) -> AsyncIterator[tuple[str, StoredAttributes]]:
        """Yield all keys and items but histories."""
        async for key, item in self.scan():
            if not is_history(key):
                yield key, item

    async def schema_problem(self) -> str | None:
        """Return what is wrong with the table's own keys and how to fix it; None: they are right.

        Needs dynamodb:DescribeTable, which `worker run` does not.
        """
        with self._explained():
            table = (await parsed_reply(self._client.describe_table(TableName=self.name)))["Table"]
            keys = {part["AttributeName"]: "" for part in table["KeySchema"]}
            for attribute in table["AttributeDefinitions"]:
                if attribute["AttributeName"] in keys:
                    keys[attribute["AttributeName"]] = attribute["AttributeType"]
        if keys == {self.key_attribute: "S"}:
            return None
        if len(keys) > 1 or "S" not in keys.values():
            return (
                f"table {self.name!r} can't hold config, whose key is one string (its own: "
                f"{', '.join(f'{name} {type_}' for name, type_ in keys.items())}): set "
                "WORKER_CONFIG_TABLE to another, and create it with 'worker config init'"
            )
        (name,) = keys
        return (
            f"the partition key of table {self.name!r} is {name!r}, not {self.key_attribute!r}: "
            f"set WORKER_CONFIG_KEY={name}, or WORKER_CONFIG_TABLE to another table"
        )

    async def create(self) -> bool:
        """Create the table, paid per request, and wait for it; False where it existed already."""
        created = True
        try:
            with self._explained():
                await parsed_reply(
                    self._client.create_table(
                        TableName=self.name,
                        AttributeDefinitions=[
                            {"AttributeName": self.key_attribute, "AttributeType": "S"}
                        ],
                        KeySchema=[{"AttributeName": self.key_attribute, "KeyType": "HASH"}],
                        BillingMode="PAY_PER_REQUEST",
                    )
                )
        except ConfigUnavailable as error:
            if "ResourceInUseException" not in str(error):
                raise
            created = False
        with self._explained():
            await self._client.get_waiter("table_exists").wait(
                TableName=self.name, WaiterConfig={"Delay": 1, "MaxAttempts": 60}
            )
        return created

    def _replaced(self, body: bytes) -> Raw | None:
        """The item that a write returns as it was before, without its key."""
        raw = replaced_reply(body, lambda raw, _: raw)
        if raw is not None:
            raw.pop(self.key_attribute, None)
        return raw

    def _asking(self, keys: Sequence[str], *, consistent: bool) -> Any:
        return {
            self.name: {
                "Keys": [{self.key_attribute: {"S": key}} for key in keys],
                "ConsistentRead": consistent,
            }
        }

    def _key_of(self, raw: Any) -> str:
        """The key that an item, or a key, has in DynamoDB's JSON."""
        key = raw[self.key_attribute]["S"]
        if type(key) is not str:
            raise NotDynamo("its reply has a key that is no string")
        return key

    def _keyed(self, raw: dict[str, Any], text: str) -> tuple[str, StoredAttributes]:
        if self.key_attribute not in raw:
            raise ConfigUnavailable(f"table {self.name!r}: {WRONG_KEY}", misconfigured=True)
        return self._key_of(raw), StoredAttributes(text, raw)

    async def _in_thread_if_large(self, body: bytes, read: Callable[[bytes], T]) -> T:
        """Decode a large reply in a thread, one at a time: quick jobs must not wait for it."""
        if len(body) <= _LARGE:
            return read(body)
        return await anyio.to_thread.run_sync(read, body, limiter=self._threads)

    @contextmanager
    def _explained(self, *, conditional: bool = False) -> Iterator[None]:
        """Turn whatever a call raises into one error that an operator can act on.

        Of a conditional write, raise ItemChanged where it was not done.
        """
        try:
            yield
        except Exception as error:
            if conditional and is_failed_condition(error):
                raise ItemChanged from error
            endpoint = self._client.meta.endpoint_url
            raise call_failure(error, self.name, endpoint) from error
