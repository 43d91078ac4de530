"""Rows of what the worker takes when it has nothing to do, and to start."""

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks.figures import Measured, Record, spread
from benchmarks.rows.row import Line, Measurement, Pair, Row, line
from benchmarks.world import World, cpu_seconds, wait_for


def idle(pair: Pair) -> Record:
    """What our worker takes when it has nothing to do."""
    world, seconds = pair.world, pair.sizes.idle_seconds
    world.empty()
    with world.running(world.worker()) as child:
        wait_for(lambda: world.redis.zcard("{jobs}:workers"), child)
        time.sleep(min(2.0, seconds))
        before = cpu_seconds(child.pid)
        commands = _commands(world, seconds)
        cpu = cpu_seconds(child.pid) - before
    return {"cores_percent": 100 * cpu / seconds, "commands_per_s": commands / seconds}


def _commands(world: World, seconds: float) -> int:
    """Return how many commands are sent to Redis in that time. Those within scripts are not."""
    until, seen = time.monotonic() + seconds, b""
    with socket.create_connection(("127.0.0.1", world.redis_port)) as monitor:
        monitor.sendall(b"MONITOR\r\n")
        while (left := until - time.monotonic()) > 0:
            monitor.settimeout(left)
            try:
                seen += monitor.recv(65536)
            except TimeoutError:
                break
    lines = seen.split(b"\r\n")[1:]
    return sum(bool(text) and b" lua]" not in text for text in lines)


def _idle(pair: Pair) -> Iterator[Measurement]:
    yield "worker", lambda: idle(pair)


def _judge_idle(seen: Measured) -> list[Line]:
    return [
        line(
            "< 0.3 % of a core",
            seen.of("worker", "cores_percent"),
            "{:.2f} %",
            lambda figure: figure < 0.3,
        ),
        line(
            "≤ 3 commands a second",
            seen.of("worker", "commands_per_s"),
            "{:.2f}",
            lambda figure: figure <= 3,
        ),
    ]


def _took(pair: Pair, *command: str) -> Record:
    took = []
    for _ in range(pair.sizes.starts):
        began = time.perf_counter()
        subprocess.run(command, env=pair.world.environment, stdout=subprocess.DEVNULL, check=True)
        took.append(time.perf_counter() - began)
    middle = spread(took)
    return {"seconds": middle.median if middle else 0.0}


def ready(pair: Pair) -> Record:
    """Seconds until the worker has its lease, which it takes with its first claim, and the CPU that
    it took until then.
    """
    world = pair.world
    world.empty()
    began = time.perf_counter()
    with world.running(world.worker()) as child:
        wait_for(lambda: world.redis.zcard("{jobs}:workers"), child)
        return {"seconds": time.perf_counter() - began, "cpu_s": cpu_seconds(child.pid)}


def _startup(pair: Pair) -> Iterator[Measurement]:
    command = str(Path(sys.executable).with_name("worker"))
    yield "python", partial(_took, pair, sys.executable, "-c", "pass")
    yield "import worker", partial(_took, pair, sys.executable, "-c", "import worker")
    yield "worker --help", partial(_took, pair, command, "--help")
    yield "worker run", lambda: ready(pair)


def _judge_startup(seen: Measured) -> list[Line]:
    lines = [
        line(
            f"`{name}` < 0.15 s more than bare Python",
            seen.ratio(name, "python", "seconds", combine=lambda ours, bare: ours - bare),
            "{:.3f} s more",
            lambda figure: figure < 0.15,
        )
        for name in ("import worker", "worker --help")
    ]
    ready = line(
        "`worker run` ready in < 1.5 s",
        seen.of("worker run", "seconds"),
        "{:.2f} s",
        lambda figure: figure < 1.5,
    )
    return [*lines, ready]


IDLE = Row("idle", "idle worker", _idle, _judge_idle, once=True)
STARTUP = Row("startup", "`import worker`, `worker --help`, `worker run`", _startup, _judge_startup)
