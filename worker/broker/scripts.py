"""The Lua scripts, each in its own file under `lua/`, and how they are run."""

from hashlib import sha1
from pathlib import Path
from typing import TYPE_CHECKING, Any

from redis.exceptions import NoScriptError

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from worker.broker.dedicated import DedicatedConnection


class Script:
    """One script, run by its digest, and sent whole where Redis does not have it."""

    def __init__(self, name: str) -> None:
        self._source = (Path(__file__).parent / "lua" / f"{name}.lua").read_bytes()
        self._digest = sha1(self._source, usedforsecurity=False).hexdigest()

    def command(self, keys: list[Any], arguments: list[Any]) -> tuple[Any, ...]:
        """Return the command that runs it by its digest. Redis may answer NoScriptError."""
        return "EVALSHA", self._digest, len(keys), *keys, *arguments

    def whole_command(self, keys: list[Any], arguments: list[Any]) -> tuple[Any, ...]:
        """Return the command that sends the script whole and runs it; NoScriptError asks for it.

        That error is the answer before anything has run, so this runs the script once.
        """
        return "EVAL", self._source, len(keys), *keys, *arguments

    async def __call__(
        self, redis: "Redis | DedicatedConnection", keys: list[Any], arguments: list[Any]
    ) -> Any:
        """Run it and return its reply. Raise redis.exceptions.RedisError."""
        try:
            return await redis.execute_command(*self.command(keys, arguments))
        except NoScriptError:
            return await redis.execute_command(*self.whole_command(keys, arguments))


exchange: Script = Script("exchange")
register: Script = Script("register")
renew: Script = Script("renew")
expired_workers: Script = Script("expired_workers")
deregister: Script = Script("deregister")
count_unfinished: Script = Script("count_unfinished")
enqueue: Script = Script("enqueue")
redrive: Script = Script("redrive")
advance: Script = Script("advance")
