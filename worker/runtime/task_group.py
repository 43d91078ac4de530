"""A task group for the helpers of a context manager that others enter."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
from anyio.abc import TaskGroup


@asynccontextmanager
async def background() -> AsyncIterator[TaskGroup]:
    """A task group whose tasks are cancelled when the context ends.

    What the context's body raises leaves as it is. A plain task group would wrap it in an
    ExceptionGroup, and the caller's `except TimeoutError` would miss it.
    """
    group = anyio.create_task_group()
    await group.__aenter__()
    try:
        yield group
    finally:
        group.cancel_scope.cancel()
        await group.__aexit__(None, None, None)
