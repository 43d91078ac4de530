"""Jobs from a Redis list, their config from DynamoDB, their results back in Redis.

The names below are the public interface. They are imported at their first use, so that importing
`worker` is quick and opens, reads and starts nothing.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from worker.app import App
    from worker.client import Client
    from worker.connections import (
        Connections,
        get_config,
        get_dynamo_client,
        get_redis_client,
        open_connections,
    )
    from worker.errors import (
        AppError,
        ConfigUnavailable,
        HandlerError,
        JobFailed,
        Malformed,
        NotOpen,
        Reject,
        Retry,
        SettingsError,
        StartupError,
        WorkerError,
    )
    from worker.jobs.job import Job
    from worker.jobs.result import ConfigInfo, ErrorInfo, Result
    from worker.settings import Settings
    from worker.sync_client import SyncClient

__version__ = "0.1.0"

__all__ = [
    "App",
    "AppError",
    "Client",
    "ConfigInfo",
    "ConfigUnavailable",
    "Connections",
    "ErrorInfo",
    "HandlerError",
    "Job",
    "JobFailed",
    "Malformed",
    "NotOpen",
    "Reject",
    "Result",
    "Retry",
    "Settings",
    "SettingsError",
    "StartupError",
    "SyncClient",
    "WorkerError",
    "get_config",
    "get_dynamo_client",
    "get_redis_client",
    "open_connections",
]

_HOMES = {
    "app": ("App",),
    "client": ("Client",),
    "connections": (
        "Connections",
        "get_config",
        "get_dynamo_client",
        "get_redis_client",
        "open_connections",
    ),
    "errors": (
        "AppError",
        "ConfigUnavailable",
        "HandlerError",
        "JobFailed",
        "Malformed",
        "NotOpen",
        "Reject",
        "Retry",
        "SettingsError",
        "StartupError",
        "WorkerError",
    ),
    "jobs.job": ("Job",),
    "jobs.result": ("ConfigInfo", "ErrorInfo", "Result"),
    "settings": ("Settings",),
    "sync_client": ("SyncClient",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module 'worker' has no attribute {name!r}")
    value = getattr(import_module(f"worker.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
