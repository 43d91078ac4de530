"""A task group for the helpers of a context that others enter."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup


@asynccontextmanager
async def background() -> AsyncIterator[TaskGroup]:
    """Tasks that are cancelled when the context is left.

    A plain task group would wrap what the context's body raises in an ExceptionGroup, and the
    caller's `except TimeoutError` would not see it.
    """
    group = anyio.create_task_group()
    await group.__aenter__()
    try:
        yield group
    finally:
        group.cancel_scope.cancel()
        await group.__aexit__(None, None, None)
