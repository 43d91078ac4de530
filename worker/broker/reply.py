"""A reply that is read when it is awaited, and may be left unread."""

from collections.abc import Callable, Coroutine, Generator
from typing import Any, Generic, TypeVar

T = TypeVar("T")


class Reply(Generic[T]):
    """What a sent command returns: `await` it once to read the reply.

    A coroutine would warn when nobody awaits it. This makes its coroutine only when awaited.
    """

    __slots__ = ("__weakref__", "_arguments", "_read")

    def __init__(
        self, read: Callable[..., Coroutine[Any, Any, T]], arguments: tuple[Any, ...]
    ) -> None:
        self._read: Callable[..., Coroutine[Any, Any, T]] | None = read
        self._arguments = arguments

    def __await__(self) -> Generator[Any, Any, T]:
        read, self._read = self._read, None
        if read is None:
            raise RuntimeError("this reply has been read already")
        return read(*self._arguments).__await__()
