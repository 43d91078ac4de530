"""The config table, as an operator edits it."""

from collections.abc import Mapping
from typing import Any, Self

import boto3

from tests.support.servers import DynamoServer

TABLE = "config"


class Table:
    """A table of config items. `key` is the name of its partition key."""

    def __init__(self, server: DynamoServer, name: str = TABLE, key: str = "key") -> None:
        self.name, self.key = name, key
        resource = boto3.resource(
            "dynamodb",
            endpoint_url=server.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self.client = resource.meta.client
        self._table = resource.Table(name)

    def create(self) -> Self:
        """Create the table empty, in place of one that exists."""
        if self.name in self.client.list_tables()["TableNames"]:
            self.drop()
        self.client.create_table(
            TableName=self.name,
            AttributeDefinitions=[{"AttributeName": self.key, "AttributeType": "S"}],
            KeySchema=[{"AttributeName": self.key, "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        return self

    def put(self, key: str, /, **attributes: Any) -> None:
        self._table.put_item(Item={self.key: key, **attributes})

    def put_many(self, items: Mapping[str, Mapping[str, Any]]) -> None:
        with self._table.batch_writer() as batch:
            for key, attributes in items.items():
                batch.put_item(Item={self.key: key, **attributes})

    def delete(self, key: str) -> None:
        self._table.delete_item(Key={self.key: key})

    def scan(self) -> list[dict[str, Any]]:
        """Return all items, up to 1 MB of them."""
        items: list[dict[str, Any]] = self._table.scan()["Items"]
        return items

    def drop(self) -> None:
        self.client.delete_table(TableName=self.name)

    def close(self) -> None:
        self.client.close()
