"""The one aioboto3 session and the one DynamoDB client on it.

Apart from `connections`, so that a producer or a command that needs Redis alone never pays for
importing the AWS SDK.
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

import aioboto3
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, NoRegionError

from worker.config.loader import MOST_IN_FLIGHT
from worker.errors import StartupError
from worker.settings import Settings

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

TIMEOUT = 2.0  # seconds, to connect and to be answered
# aiohttp drops idle sockets after 12 s by default; sparse look-ups would pay TLS again each time.
KEEPALIVE = 60.0


@asynccontextmanager
async def open_dynamo(
    settings: Settings,
) -> AsyncIterator[tuple[aioboto3.Session, "DynamoDBClient"]]:
    """A session and a client on it, closed with the context; nothing is sent by this.

    Raises StartupError where the client can't be made (no region, say).
    """
    async with AsyncExitStack() as stack:
        try:
            session = aioboto3.Session(region_name=_region())
            client = await stack.enter_async_context(
                session.client("dynamodb", config=_client_config(settings))
            )
        except NoRegionError as error:
            raise StartupError("there is no AWS region: set AWS_REGION") from error
        except (BotoCoreError, ValueError) as error:
            raise StartupError(f"the DynamoDB client can't be made: {error}") from error
        yield session, client


def _region() -> str | None:
    """AWS_REGION, which every other AWS SDK reads and botocore does not; None: botocore's chain."""
    if os.environ.get("AWS_DEFAULT_REGION"):
        return None
    return os.environ.get("AWS_REGION") or None  # empty is what compose files make of unset


def _client_config(settings: Settings) -> AioConfig:
    return AioConfig(
        connect_timeout=TIMEOUT,
        read_timeout=TIMEOUT,
        retries={"mode": "standard", "total_max_attempts": 2},
        max_pool_connections=settings.concurrency + MOST_IN_FLIGHT,
        tcp_keepalive=True,
        connector_args={"keepalive_timeout": KEEPALIVE},
    )
