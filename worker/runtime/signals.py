"""Signals that end the process: caught from its first moment, later passed on to what drains it.

Process 1 of a container has no default actions: the kernel drops a SIGTERM that it does not handle,
and the container is killed when its time is up. Imports take a second, so a handler stands before
them. This module imports next to nothing for that reason.
"""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncio

_ENDS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_DEFAULTS = (signal.SIG_DFL, signal.default_int_handler)
_MOMENT = 0.01  # seconds: until the finalizer that was interrupted has ended


class Ended(SystemExit):
    """A signal arrived before anything was running that must be drained."""


class _State:
    """What this process has seen of signals."""

    arrived = False
    passed_on = False
    resets_children = False


def end_on_signals() -> None:
    """Let SIGTERM, SIGINT and SIGHUP end the process by `Ended`, with 128 and their number as code.

    One that is ignored (SIGHUP under nohup) stays ignored.
    """
    for number in _ENDS:
        if signal.getsignal(number) in _DEFAULTS:
            signal.signal(number, _end)
    sys.unraisablehook = _raise_again


def _end(number: int, _: FrameType | None) -> None:
    # What has drained keeps its own exit code, whatever arrives while it closes.
    if not _State.passed_on:
        _State.arrived = True
        raise Ended(128 + number)


def _raise_again(ignored: "sys.UnraisableHookArgs") -> None:
    """Raise `Ended` again, a moment later, where Python has just ignored it.

    Python reports and drops what is raised in a finalizer or a weak reference's callback, as the
    import system has them. The process would go on, and finish an import that takes a minute.
    """
    error = ignored.exc_value
    if isinstance(error, Ended) and isinstance(error.code, int):
        number = error.code - 128
        signal.signal(signal.SIGALRM, lambda _, frame: _end(number, frame))
        signal.setitimer(signal.ITIMER_REAL, _MOMENT)
    else:
        sys.__unraisablehook__(ignored)


@contextmanager
def signals_passed_to(
    stop: Callable[[], None], loop: "asyncio.AbstractEventLoop"
) -> Iterator[None]:
    """Call `stop` in the loop for each signal that asks this process to end, while in the context.

    Also for one that arrived before and ended nothing, since some code caught its exception. Call
    it in the main thread. SIGHUP that is ignored stays ignored. The signals of a process that a
    handler forks are its own: they have their default actions there.
    """

    def pass_on(*_: Any) -> None:
        loop.call_soon_threadsafe(stop)

    numbers = [n for n in _ENDS if n != signal.SIGHUP or signal.getsignal(n) != signal.SIG_IGN]
    # Set by `signal`, not by the loop: the loop's own way back leaves a moment without a handler.
    before = [signal.signal(number, pass_on) for number in numbers]
    _State.passed_on = True
    _reset_in_children()
    if _State.arrived:
        pass_on()
    try:
        yield
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _reset_in_children() -> None:
    """Keep forked children apart: on uvloop and Python 3.11, a child's signal woke its parent."""
    if _State.resets_children:
        return
    _State.resets_children = True
    import threading  # noqa: PLC0415 - not among the first imports

    thread = threading.local()

    def hold_back() -> None:
        # One that arrives in the child before its handlers are reset would be lost.
        thread.mask = signal.pthread_sigmask(signal.SIG_BLOCK, _ENDS)

    def let_through() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, thread.mask)

    def reset() -> None:
        signal.set_wakeup_fd(-1)
        for number in _ENDS:
            if callable(signal.getsignal(number)):
                signal.signal(number, signal.SIG_DFL)
        let_through()

    os.register_at_fork(before=hold_back, after_in_parent=let_through, after_in_child=reset)
