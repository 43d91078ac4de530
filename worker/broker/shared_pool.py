"""The connections of the one Redis client that all handlers share.

Handlers do with it what they like: keep subscriptions open, block, run it in a loop of their own.
So it has a budget apart from the worker's own commands, and says what went wrong in words.
"""

from typing import Any

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MaxConnectionsError

from worker.broker.connection import ResilientPool
from worker.runtime.home_loop import HomeLoop

_OTHER_LOOP = (
    "the Redis client of this process works only in the event loop that opened it, not within "
    "asyncio.run() or in another loop of your own. In a plain handler, call "
    "anyio.from_thread.run(get_redis_client().get, 'key'), or make the handler 'async def'"
)


class _OneLoop:
    """What a handler may hold on to (a pubsub(), a pipeline that watches) checks its loop too.

    These are no coroutines, so that the check costs no more than a call.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._home = HomeLoop(_OTHER_LOOP)

    def connect(self) -> Any:
        self._home.check()
        return super().connect()  # type: ignore[misc]

    def send_packed_command(self, *args: Any, **options: Any) -> Any:
        self._home.check()
        return super().send_packed_command(*args, **options)  # type: ignore[misc]

    def read_response(self, *args: Any, **options: Any) -> Any:
        self._home.check()
        return super().read_response(*args, **options)  # type: ignore[misc]

    def disconnect(self, *args: Any, **options: Any) -> Any:
        self._home.check_unless_in_thread()  # redis-py disconnects without a loop at a late exit
        return super().disconnect(*args, **options)  # type: ignore[misc]


class SharedPool(ResilientPool):
    """A pool for one event loop, whose error says why there is no connection left."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        kind = self.connection_class
        self.connection_class: Any = type(f"OneLoop{kind.__name__}", (_OneLoop, kind), {})
        self._home = HomeLoop(_OTHER_LOOP)

    async def get_connection(self, *_: Any, **__: Any) -> Any:
        """Return a connection, waiting up to `timeout` seconds for one.

        Raise NotOpen in another event loop, MaxConnectionsError where all stay in use.
        """
        self._home.check()
        try:
            return await super().get_connection()  # type: ignore[no-untyped-call]
        except RedisConnectionError as error:
            if not isinstance(error.__cause__, TimeoutError):
                raise
            raise MaxConnectionsError(
                f"all {self.max_connections} connections that handlers share are in use, and none "
                f"came free within {self.timeout:g} s. The usual cause is a pubsub() that a "
                "handler left open: use it as 'async with client.pubsub() as pubsub'. Where "
                "handlers need more connections than one each, raise WORKER_CONCURRENCY, which "
                "sets how many there are"
            ) from error
