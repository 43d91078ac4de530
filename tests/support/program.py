"""A command that starts processes of its own: what it prints, and what it leaves behind."""

import os
import pty
import subprocess
import threading
import uuid
from collections.abc import Mapping
from pathlib import Path

from tests.support.waiting import wait_until

MARK = "PROGRAM_UNDER_TEST"


class Program:
    """A running command. Its processes are known by its session, or a mark in their environment:
    workers have sessions of their own, and Valkey writes its title over its environment.
    """

    def __init__(
        self,
        *command: str,
        folder: Path,
        terminal: bool = False,
        cwd: Path,
        safe: bool = False,
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self.mark = uuid.uuid4().hex
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("WORKER_", "AWS_"))}
        given = {MARK: self.mark, "TERM": "xterm", "COLUMNS": "80", "TMPDIR": str(folder)}
        self.environment = {**kept, **given, **(variables or {})}
        if safe:
            self.environment["PYTHONSAFEPATH"] = "1"
        self.text = ""
        read, write = pty.openpty() if terminal else os.pipe()
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=self.environment,
            stdout=write,
            stderr=write,
            start_new_session=True,
        )
        os.close(write)
        self._reader = threading.Thread(target=self._read, args=[read])
        self._reader.start()

    def _read(self, descriptor: int) -> None:
        with open(descriptor, "rb", buffering=0) as stream:
            try:
                while chunk := stream.read(65536):
                    self.text += chunk.decode(errors="replace")
            except OSError:  # how a pseudo-terminal says that its other side is closed
                pass

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.text or self.process.poll() is not None, 60, repr(text))
        assert text in self.text, self.text

    def children(self) -> list[str]:
        """The commands of all living processes that it started, itself included."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            try:
                is_marked = f"{MARK}={self.mark}".encode() in (folder / "environ").read_bytes()
                if is_marked or os.getsid(int(folder.name)) == self.process.pid:
                    found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
            except OSError:
                continue  # it has just ended, or is another user's
        return found

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        wait_until(lambda: not self.children(), 20, "for its processes to end")
        self._reader.join()
