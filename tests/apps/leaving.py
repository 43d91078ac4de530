"""Handlers that leave something behind which still runs when the worker is stopped."""

import asyncio
import atexit
import concurrent.futures
import contextlib
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator

from worker import App

app = App()
LONG = 600.0
kept: list[object] = []


@app.handler
async def echo(payload: object) -> object:
    return payload


@app.handler
async def to_thread() -> None:
    kept.append(asyncio.create_task(asyncio.to_thread(time.sleep, LONG)))
    await asyncio.sleep(0.05)


@app.handler
async def default_executor() -> None:
    kept.append(asyncio.get_running_loop().run_in_executor(None, time.sleep, LONG))


@app.handler
async def own_executor() -> None:
    pool = concurrent.futures.ThreadPoolExecutor(1)
    kept.append(pool.submit(time.sleep, LONG))


@app.handler
def executor_in_thread() -> None:
    pool = concurrent.futures.ThreadPoolExecutor(1)
    kept.append(pool.submit(time.sleep, LONG))


@app.handler
async def thread() -> None:
    threading.Thread(target=time.sleep, args=(LONG,), name="of-a-handler").start()


@app.handler
async def busy_thread() -> None:
    def spin() -> None:
        while True:
            pass

    threading.Thread(target=spin, name="spins").start()


@app.handler
async def swallowing_task() -> None:
    async def forever() -> None:
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.sleep(LONG)

    kept.append(asyncio.create_task(forever(), name="swallows"))


@app.handler
async def slow_cleanup_task() -> None:
    async def slow() -> None:
        try:
            await asyncio.sleep(LONG)
        finally:
            await asyncio.sleep(LONG)

    kept.append(asyncio.create_task(slow(), name="slow-cleanup"))
    await asyncio.sleep(0)


@app.handler
async def hanging_generator() -> None:
    async def numbers() -> AsyncIterator[int]:
        try:
            yield 1
        finally:
            await asyncio.sleep(LONG)

    generator = numbers()
    await anext(generator)
    kept.append(generator)


@app.handler
async def hanging_atexit() -> None:
    atexit.register(time.sleep, LONG)


@app.handler
async def child_process() -> None:
    command = [sys.executable, "-c", "import time; time.sleep(60)"]
    kept.append(subprocess.Popen(command))  # noqa: ASYNC220


@app.handler
async def daemon_process() -> None:
    child = multiprocessing.get_context("fork").Process(
        target=time.sleep, args=(LONG,), daemon=True
    )
    child.start()
    kept.append(child)


@app.handler
async def joined_process() -> None:
    """Not a daemon: at its end Python waits for it."""
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(8,))
    child.start()
    kept.append(child)


@app.handler
def subprocess_that_is_terminated() -> str:
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(LONG,))
    child.start()
    child.terminate()
    child.join(5)
    return f"child ended with {child.exitcode}"


@app.handler
async def terminated_child() -> str:
    child = multiprocessing.get_context("fork").Process(target=time.sleep, args=(LONG,))
    child.start()
    child.terminate()
    await asyncio.to_thread(child.join, 5)
    return f"child ended with {child.exitcode}"


@app.handler
async def fork_that_awaits() -> str:
    pid = os.fork()
    if pid == 0:
        await asyncio.sleep(0.01)
        return "a second worker"
    await asyncio.to_thread(os.waitpid, pid, 0)
    return "the worker"


@app.handler
async def fork_that_returns() -> str:
    pid = os.fork()
    if pid == 0:
        return "a second worker"
    await asyncio.to_thread(os.waitpid, pid, 0)
    return "the worker"


@app.handler
async def fork_that_raises() -> str:
    pid = os.fork()
    if pid == 0:
        raise ValueError("in the child")
    await asyncio.to_thread(os.waitpid, pid, 0)
    return "the worker"


@app.handler
def thread_fork_that_returns() -> str:
    pid = os.fork()
    if pid == 0:
        return "a second worker"
    os.waitpid(pid, 0)
    return "the worker"


@app.handler
async def forks_a_signalled_child() -> str:
    """The child gets SIGTERM while it sleeps: the worker must not."""
    pid = os.fork()
    if pid == 0:
        time.sleep(60)  # noqa: ASYNC251 - in the child
        os._exit(0)
    await asyncio.sleep(0.1)
    os.kill(pid, 15)
    await asyncio.to_thread(os.waitpid, pid, 0)
    return "the worker"
