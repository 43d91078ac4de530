from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, EndpointConnectionError

from tests.support.dynamo_proxy import DynamoProxy, error
from tests.support.table import Table

pytestmark = pytest.mark.once


@pytest.fixture
def dynamo(dynamo_proxy: DynamoProxy) -> Any:
    client = boto3.client(
        "dynamodb",
        endpoint_url=dynamo_proxy.url,
        region_name="us-east-1",
        aws_access_key_id="test",
        aws_secret_access_key="test",
        config=Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=5),
    )
    yield client
    client.close()


def test_it_counts_requests_and_keeps_one_connection_alive(
    dynamo_proxy: DynamoProxy, table: Table, dynamo: Any
) -> None:
    table.put("k", width=3)
    for _ in range(3):
        item = dynamo.get_item(TableName="config", Key={"key": {"S": "k"}})["Item"]
        assert item["width"] == {"N": "3"}
    assert dynamo_proxy.count("GetItem") == dynamo_proxy.count() == 3
    assert dynamo_proxy.keys() == ["k"] * 3
    assert dynamo_proxy.connections == dynamo_proxy.open_connections == 1


def test_it_answers_in_the_place_of_dynamodb(dynamo_proxy: DynamoProxy, dynamo: Any) -> None:
    with (
        dynamo_proxy.answering(lambda _target, _body: (400, error("ThrottlingException"))),
        pytest.raises(ClientError, match="ThrottlingException"),
    ):
        dynamo.list_tables()
    assert "config" in dynamo.list_tables()["TableNames"]


def test_it_stops_and_comes_back_on_the_same_port(dynamo_proxy: DynamoProxy, dynamo: Any) -> None:
    dynamo.list_tables()
    dynamo_proxy.stop()
    with pytest.raises(EndpointConnectionError):
        dynamo.list_tables()
    dynamo_proxy.start()
    assert "config" in dynamo.list_tables()["TableNames"]
