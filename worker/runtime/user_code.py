"""Where in the user's own code an exception was raised: a file, a line, a function; no values."""

import os
from pathlib import Path
from traceback import StackSummary, TracebackException, walk_tb
from types import CodeType

_OURS = f"{Path(__file__).parent.parent}{os.sep}"
_STDLIB = f"{Path(os.__file__).parent}{os.sep}"
_IMPORTLIB = "<frozen importlib"


def raised(error: BaseException, package: str = "") -> str:
    """Return the class of an exception and where it was raised: `KeyError at tasks.py:7 in resize`.

    Of a group, the first exception in it is named too. `package` is the top-level package of the
    user's code, for users who install theirs beside the libraries.
    """
    name, first = type(error).__name__, error
    while isinstance(first, BaseExceptionGroup) and first.exceptions:
        first = first.exceptions[0]
    if first is not error:
        name = f"{name} of {type(first).__name__}"
    place = place_of(first, package) or place_of(error, package)
    return f"{name} at {place}" if place else name


def users_traceback(error: BaseException) -> str:
    """Return the traceback of an error of an import, from the user's first frame on."""
    frames = error.__traceback__
    while frames is not None and _is_importing(frames.tb_frame.f_code):
        frames = frames.tb_next
    try:
        text = TracebackException(type(error), error, frames)
        shown = [frame for frame in text.stack if not frame.filename.startswith(_IMPORTLIB)]
        text.stack = StackSummary.from_list(shown)
        return "".join(text.format())
    except BaseException:  # noqa: BLE001 - an error's own code may raise anything, sys.exit() too
        return ""


def is_users(file: str) -> bool:
    """Whether code of this file is the user's: not ours, no library, not the standard library."""
    if file.startswith((_OURS, _STDLIB, "<")):
        return False
    return "site-packages" not in file and "dist-packages" not in file


def place_of(error: BaseException, package: str = "") -> str | None:
    """Return the innermost of the user's frames, `tasks.py:7 in resize`; None where there is none.

    `package` is as in `raised`.
    """
    found = installed = None
    for frame, line in walk_tb(error.__traceback__):
        code = frame.f_code
        if is_users(code.co_filename):
            found = code, line
        elif package and frame.f_globals.get("__name__", "").partition(".")[0] == package:
            installed = code, line
    innermost = found or installed
    if innermost is None:
        return None
    code, line = innermost
    return f"{_short(code.co_filename)}:{line} in {code.co_qualname}"


def _short(file: str) -> str:
    """Return the path from the current folder on, where the file is in it."""
    try:
        return file.removeprefix(f"{os.getcwd()}{os.sep}")  # noqa: PTH109
    except OSError:  # it was deleted
        return file


def _is_importing(code: CodeType) -> bool:
    """Whether a frame only leads to the user's module."""
    return code.co_filename.startswith((_OURS, _IMPORTLIB, f"{_STDLIB}importlib"))
