"""The Lua scripts, each in its own file under `lua/`, and one way to run them."""

from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from worker.broker.dedicated import DedicatedConnection


class Script:
    """One script. Redis keeps it by its digest; where it has forgotten, it is sent whole again."""

    def __init__(self, name: str) -> None:
        self._source = (Path(__file__).parent / "lua" / f"{name}.lua").read_bytes()
        self._digest = sha1(self._source, usedforsecurity=False).hexdigest()

    async def __call__(
        self, redis: "Redis | DedicatedConnection", keys: list[Any], arguments: list[Any]
    ) -> Any:
        """Run it. Raises redis.exceptions.RedisError."""
        try:
            return await redis.execute_command(
                "EVALSHA", self._digest, len(keys), *keys, *arguments
            )
        except NoScriptError:
            # Refused before it began, so that sending it again does nothing twice.
            return await redis.execute_command("EVAL", self._source, len(keys), *keys, *arguments)


exchange = Script("exchange")
register = Script("register")
renew = Script("renew")
expired_workers = Script("expired_workers")
deregister = Script("deregister")
count_unfinished = Script("count_unfinished")
enqueue = Script("enqueue")
redrive = Script("redrive")
