"""WORKER_REDIS_URL to what redis-py makes a connection of."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

from redis.asyncio.connection import parse_url

from worker.errors import SettingsError

# A unix socket has none of these.
_TCP_ONLY = ("socket_keepalive", "socket_keepalive_options")


def connection_options(url: str, ours: dict[str, Any]) -> dict[str, Any]:
    """Return the options of the URL, with ours on top, so that no URL can change what we depend on.

    Raise SettingsError for a URL that can't work, ValueError for one that redis-py can't read.
    """
    parts = urlsplit(url)
    if parts.scheme == "unix" and not parts.path.strip("/"):
        raise SettingsError("WORKER_REDIS_URL names no socket: write unix:///path/of/the/socket")
    if parts.scheme == "unix" and parts.netloc.rpartition("@")[2]:
        raise SettingsError("WORKER_REDIS_URL needs three slashes: unix:///path/of/the/socket")
    tls = [name for name, _ in parse_qsl(parts.query) if name.startswith("ssl_")]
    if tls and parts.scheme != "rediss":
        raise SettingsError(
            f"WORKER_REDIS_URL: {tls[0]} is an option of TLS, which needs rediss:// in front"
        )
    options = {**parse_url(url), **ours}
    if parts.scheme == "unix":
        options = {name: value for name, value in options.items() if name not in _TCP_ONLY}
    return options
