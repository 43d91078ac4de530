"""stdin, stdout and stderr, whatever state the process was started with."""

import os
import sys

_STREAMS = (("stdin", "r"), ("stdout", "w"), ("stderr", "w"))


def open_closed_streams() -> None:
    """Open those of the three that are closed, on /dev/null.

    The first files and sockets of the process would take their numbers otherwise. libuv aborts
    when it closes a socket with such a number, and prints would go to Redis.
    """
    for number, (name, mode) in enumerate(_STREAMS):
        try:
            os.fstat(number)
        except OSError:
            opened = os.open(os.devnull, os.O_RDWR)
            os.dup2(opened, number)  # inheritable, for processes that handlers start
            if opened != number:
                os.close(opened)
            else:
                os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(number, mode, closefd=False))


def print_anything() -> None:
    """Escape what the streams' encoding can't hold, instead of raising UnicodeEncodeError."""
    for stream in (sys.stdout, sys.stderr):
        reconfigure = getattr(stream, "reconfigure", None)  # not every stand-in for a stream has it
        if reconfigure is not None:
            reconfigure(errors="backslashreplace")


def flush_output() -> OSError | None:
    """Flush stdout. Return the error that prevented it: a full disk, a reader that is gone.

    The stream leads to /dev/null then, so that the interpreter does not report the same at exit.
    """
    try:
        sys.stdout.flush()
    except OSError as error:
        discard_output()
        return error
    return None


def discard_output() -> None:
    """Lead stdout to /dev/null."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    os.close(nowhere)
