"""Servers that are as new: no job, an empty config table."""

from worker.broker.connect import open_redis
from worker.config.client import open_dynamo
from worker.config.table import ConfigTable
from worker.settings import Settings


async def empty_servers(settings: Settings) -> None:
    """Delete all that the servers of these settings hold, and create the config table if needed.

    For embedded servers only.
    """
    async with open_redis(settings) as redis:
        await redis.flushall()
    async with open_dynamo(settings) as (_, client):
        table = ConfigTable(client, settings.config_table, settings.config_key)
        if not await table.create():
            for key in [key async for key, _ in table.scan()]:
                await table.delete(key)
