"""Keeps processes that a handler forks apart from the worker.

A forked child has copies of the worker's sockets, its event loop and its frames. When a handler's
code in the child returns or awaits, the child would go on as a second worker: on the same sockets,
under the same lease. So it ends there instead.

Children that end by themselves (`multiprocessing`, `subprocess`, `os.execv`) are not affected.
"""

import asyncio
import multiprocessing.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import CodeType, FrameType
from typing import Any


class _State:
    boundaries: frozenset[CodeType] = frozenset()
    contexts = 0  # that are open
    is_registered = False
    in_loop = False  # whether the thread that forks runs an event loop


class Child:
    """Whether this process is a child that a handler forked."""

    is_here = False


@contextmanager
def contained_forks(boundaries: frozenset[CodeType]) -> Iterator[None]:
    """A context in which a forked child ends when a coroutine is left whose code is one of
    `boundaries`.

    Handlers that return are ended by `end_child`, which their caller has to call. A child that is
    forked after the context, by a user's test for example, goes its own way.
    """
    if not _State.is_registered:
        os.register_at_fork(before=_before, after_in_child=_in_child)
        _State.is_registered = True
    _State.boundaries = boundaries
    _State.contexts += 1
    try:
        yield
    finally:
        _State.contexts -= 1


def end_child() -> None:
    """End this process if a handler forked it. Call it after a handler's code."""
    if Child.is_here:
        os._exit(0)


def _before() -> None:
    _State.in_loop = asyncio._get_running_loop() is not None  # noqa: SLF001 - it never raises


def _in_child() -> None:
    if not _State.contexts:
        return
    Child.is_here = True
    if _State.in_loop:
        # A profile function sees frames return and yield, also those that were there before. It
        # costs the parent nothing.
        sys.setprofile(_end_at_boundary)
        # Children of multiprocessing never come back here, and would be slowed down.
        multiprocessing.util.register_after_fork(Child, _stop_looking)


def _end_at_boundary(frame: FrameType, event: str, _: Any) -> None:
    if event == "return" and frame.f_code in _State.boundaries:
        os._exit(0)


def _stop_looking(_: object) -> None:
    sys.setprofile(None)
