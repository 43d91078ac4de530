"""The one aioboto3 session and the one DynamoDB client on it.

Apart from `connections`, so that a producer or a command that needs only Redis does not import the
AWS SDK.
"""

import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING, Any

import aioboto3
import anyio
from aiobotocore.config import AioConfig
from botocore.exceptions import BotoCoreError, NoRegionError

from worker.config.failures import credentials_failure
from worker.config.loader import MOST_IN_FLIGHT
from worker.config.own_calls import prepare
from worker.errors import StartupError
from worker.settings import Settings

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

TIMEOUT = 2.0  # seconds, to connect and to be answered
# aiohttp drops idle sockets after 12 s by default; sparse look-ups would pay TLS again each time.
KEEPALIVE = 60.0
_LEAST_SECONDS = 1.0  # for a source of credentials, however short the start may be


@asynccontextmanager
async def open_dynamo(
    settings: Settings,
) -> AsyncIterator[tuple[aioboto3.Session, "DynamoDBClient"]]:
    """Open a session and a client on it; close them with the context.

    Nothing is sent to DynamoDB by this, but credentials may have to be fetched. Raise StartupError
    where the client can't be made (no region, say).
    """
    async with AsyncExitStack() as stack:
        session: Any = None
        try:
            session = aioboto3.Session(region_name=_region())
            with anyio.fail_after(max(_LEAST_SECONDS, settings.startup_timeout)):
                client = await stack.enter_async_context(
                    session.client("dynamodb", config=_client_config(settings))
                )
                prepare(client, await session.get_credentials())
        except Exception as error:
            raise await _failure(error, session, settings) from error
        yield session, client


async def _failure(error: Exception, session: Any, settings: Settings) -> StartupError:
    """Return what to raise where the client can't be made."""
    if isinstance(error, NoRegionError):
        return StartupError("there is no AWS region: set AWS_REGION")
    if isinstance(error, TimeoutError):
        return StartupError(
            "the source of the AWS credentials did not answer; gave up after "
            f"{settings.startup_timeout:g} s (WORKER_STARTUP_TIMEOUT)"
        )
    # Credentials come from programs and servers, which fail in any way: do they fail again?
    try:
        with anyio.fail_after(_LEAST_SECONDS):
            if session is not None:
                await session.get_credentials()
    except Exception:  # noqa: BLE001 - the first error is reported
        return StartupError(str(credentials_failure(error)))
    known = isinstance(error, BotoCoreError | ValueError)
    reason = str(error) if known else type(error).__name__
    return StartupError(f"the DynamoDB client can't be made: {reason}")


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
