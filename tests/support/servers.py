"""Real servers for the tests: start, stop, kill, start again on the same port."""

import shutil
import signal
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Self

import redis

from tests.support.ports import free_port
from worker.demo.servers import dynamo_command, process, valkey_command

DEBIAN_REDIS = shutil.which("redis-server")


class Server:
    """A server on a port of its own. `stop` and `start` keep the port and the folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self._stack = ExitStack()
        self.child: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def command(self) -> list[str]:
        raise NotImplementedError

    def start(self) -> None:
        self.child = self._stack.enter_context(process(self.command(), self.port, self.folder))

    def stop(self) -> None:
        self._stack.close()
        self.child = None

    def kill(self) -> None:
        assert self.child is not None
        self.child.kill()
        self.child.wait()
        self.stop()

    def signal(self, number: signal.Signals) -> None:
        assert self.child is not None
        self.child.send_signal(number)


class RedisServer(Server):
    """Valkey, or the redis-server of the machine. `options` are flags of its command line."""

    def __init__(self, folder: Path, *, binary: str | None = None, **options: str) -> None:
        super().__init__(folder)
        self.binary = binary
        self.options = options

    def command(self) -> list[str]:
        command = valkey_command(self.port, self.folder)
        if self.binary:
            command[0] = self.binary
        for name, value in self.options.items():
            command += [f"--{name.replace('_', '-')}", value]
        return command

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, decode_responses=True)

    def start(self) -> None:
        super().start()
        until = time.monotonic() + 10
        with self.client() as client:
            while time.monotonic() < until:
                try:
                    client.ping()
                except redis.exceptions.BusyLoadingError:
                    time.sleep(0.01)
                else:
                    return


class DynamoServer(Server):
    """moto's DynamoDB."""

    def command(self) -> list[str]:
        return dynamo_command(self.port)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"
