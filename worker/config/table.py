"""Every DynamoDB call: the config table, read in batches, and what the commands do to it."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import anyio
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer
from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
)

from worker.errors import ConfigUnavailable
from worker.jobs.backoff import Backoff

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

BATCH = 100  # BatchGetItem takes no more keys at once

_deserialize = TypeDeserializer().deserialize
_serialize = TypeSerializer().serialize

# Throttled keys come back as unprocessed: about two seconds in all before they count as failed.
_UNPROCESSED = Backoff(base=0.1, factor=2.0, max=1.0)
_UNPROCESSED_TRIES = 5

_WRONG_KEY_HINT = "its partition key is not the string that WORKER_CONFIG_KEY names"
_READS = ("GetItem", "BatchGetItem")
_OPERATOR_HINTS = {
    "ExpiredTokenException": "the AWS credentials have expired: renew them",
    "IncompleteSignature": "the AWS credentials are incomplete",
    "InvalidSignatureException": "the AWS secret key does not match the access key",
    "MissingAuthenticationToken": "no AWS credentials were sent",
    "ResourceNotFoundException": "there is no such table: create it with 'worker config init', or "
    "set WORKER_CONFIG_TABLE and AWS_REGION",
    "UnrecognizedClientException": "AWS does not know these credentials",
}


class ConfigTable:
    """The table `name` with the string partition key `key_attribute`, over the shared client.

    Every method raises ConfigUnavailable, which says what is wrong and never quotes an item.
    """

    def __init__(self, client: "DynamoDBClient", name: str, key_attribute: str) -> None:
        self._client = client
        self.name = name
        self.key_attribute = key_attribute

    async def read(
        self, keys: Sequence[str], *, consistent: bool = False
    ) -> dict[str, dict[str, Any] | None]:
        """The items of up to 100 distinct keys, numbers as `Decimal`; None where there is none."""
        found: dict[str, dict[str, Any] | None] = dict.fromkeys(keys)
        asked: Any = {
            self.name: {
                "Keys": [{self.key_attribute: {"S": key}} for key in keys],
                "ConsistentRead": consistent,
            }
        }
        for tries in range(1, _UNPROCESSED_TRIES + 1):
            with self._explained():
                reply = await self._client.batch_get_item(RequestItems=asked)
                for raw in reply["Responses"].get(self.name, []):
                    item = _decoded(raw)
                    found[item[self.key_attribute]] = item
                asked = reply["UnprocessedKeys"]
            if not asked:
                return found
            await anyio.sleep(_UNPROCESSED.equal_jitter(tries))
        raise ConfigUnavailable(f"DynamoDB throttles reads of table {self.name!r}")

    async def get(self, key: str) -> dict[str, Any] | None:
        """One item by a consistent read, or None."""
        with self._explained():
            reply = await self._client.get_item(
                TableName=self.name, Key={self.key_attribute: {"S": key}}, ConsistentRead=True
            )
        return _decoded(reply["Item"]) if "Item" in reply else None

    async def put(self, key: str, attributes: Mapping[str, Any]) -> None:
        """Write the whole item; numbers may be `int`, `Decimal` or exact `float`.

        Raises ValueError for a number that DynamoDB can't hold.
        """
        attributes = {**attributes, self.key_attribute: key}
        try:
            item = {name: _serialize(exact(value)) for name, value in attributes.items()}
        except ArithmeticError as error:
            raise ValueError(
                "DynamoDB holds numbers of up to 38 digits, between 1e-130 and 1e126"
            ) from error
        with self._explained():
            await self._client.put_item(TableName=self.name, Item=item)

    async def delete(self, key: str) -> bool:
        """Delete the item; False where there was none."""
        with self._explained():
            reply = await self._client.delete_item(
                TableName=self.name,
                Key={self.key_attribute: {"S": key}},
                ReturnValues="ALL_OLD",
            )
        return bool(reply.get("Attributes"))

    async def scan(self) -> AsyncIterator[dict[str, Any]]:
        """All items, page by page."""
        start: dict[str, Any] = {}
        while True:
            with self._explained():
                page = await self._client.scan(TableName=self.name, **start)
            for raw in page["Items"]:
                if self.key_attribute not in raw:
                    raise ConfigUnavailable(
                        f"table {self.name!r}: {_WRONG_KEY_HINT}", misconfigured=True
                    )
                yield _decoded(raw)
            if not page.get("LastEvaluatedKey"):
                return
            start = {"ExclusiveStartKey": page["LastEvaluatedKey"]}

    async def schema_problem(self) -> str | None:
        """Return what is wrong with the table's own keys and how to fix it; None: they are right.

        Needs dynamodb:DescribeTable, which `worker run` does not.
        """
        with self._explained():
            table = (await self._client.describe_table(TableName=self.name))["Table"]
        types = {at["AttributeName"]: at["AttributeType"] for at in table["AttributeDefinitions"]}
        keys = {part["AttributeName"]: types[part["AttributeName"]] for part in table["KeySchema"]}
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
                await self._client.create_table(
                    TableName=self.name,
                    AttributeDefinitions=[
                        {"AttributeName": self.key_attribute, "AttributeType": "S"}
                    ],
                    KeySchema=[{"AttributeName": self.key_attribute, "KeyType": "HASH"}],
                    BillingMode="PAY_PER_REQUEST",
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

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the SDK raises into one error that an operator can act on."""
        try:
            yield
        except ClientError as error:
            code = error.response.get("Error", {}).get("Code", "unknown error")
            hint = _OPERATOR_HINTS.get(code) or _hint_by_operation(code, error)
            raise ConfigUnavailable(
                f"DynamoDB refused table {self.name!r} ({code})" + (f": {hint}" if hint else ""),
                misconfigured=hint is not None,
            ) from error
        except (NoCredentialsError, PartialCredentialsError, NoRegionError) as error:
            raise ConfigUnavailable(
                f"no AWS credentials ({error}): set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, "
                "or AWS_PROFILE, or give this host a role",
                misconfigured=True,
            ) from error
        except KeyError as error:
            # Such as a proxy on the way that answers 200 with a page of its own.
            raise ConfigUnavailable(
                f"what answers for table {self.name!r} is not DynamoDB: no {error} in its reply"
            ) from error
        except (BotoCoreError, OSError, TimeoutError) as error:
            raise ConfigUnavailable(
                f"DynamoDB at {self._client.meta.endpoint_url} can't be reached for table "
                f"{self.name!r} ({type(error).__name__})"
            ) from error


def _hint_by_operation(code: str, error: ClientError) -> str | None:
    """Return what an operator has to fix, where that depends on the operation."""
    reading = error.operation_name in _READS
    if code == "AccessDeniedException":
        names = " and ".join(
            f"dynamodb:{name}" for name in (_READS if reading else [error.operation_name])
        )
        return f"these credentials may not do that: allow {names} on the table"
    if code == "ValidationException":
        if reading:
            return _WRONG_KEY_HINT
        return error.response.get("Error", {}).get("Message")
    return None


def _decoded(raw: Mapping[str, Any]) -> dict[str, Any]:
    return {name: _deserialize(value) for name, value in raw.items()}


def exact(value: Any) -> Any:
    """JSON values as DynamoDB takes them: a float becomes the `Decimal` of its shortest form."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, dict):
        return {name: exact(item) for name, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    return value
