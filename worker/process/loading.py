"""MODULE:APP to an App: the one place where a module is imported because somebody named it."""

import importlib
import os
import re
import sys
from collections.abc import Iterator
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from traceback import walk_tb
from types import ModuleType
from typing import Any

from worker.app import App
from worker.errors import AppError
from worker.jobs.failure import message_of
from worker.runtime.search_path import add_folder
from worker.runtime.signals import Ended
from worker.runtime.user_code import is_users, users_traceback

_FORM = "must have the form MODULE:APP, such as tasks:app"
# What the program imports later, and with it all that it depends on.
_PROGRAM = ("worker.process.service", "worker.config.client", "worker.config.store", "uvloop")
# The name in sys.modules of an app whose own name belongs to the program.
_ALIAS = "worker_app_{}"


def load_app(target: str) -> App:
    """Import the module that the operator named, the current folder included, and take its app.

    No file of that folder replaces a module of the program, of what it depends on, or of the
    standard library. Raise AppError, which says what to fix.
    """
    module_name, attribute = _parsed(target)
    folder = _current_folder()
    for name in _PROGRAM:
        if find_spec(name):
            importlib.import_module(name)
    add_folder(folder)
    module = _imported(module_name, folder)
    app = _looked_up(module, attribute, target)
    if not app.handlers:
        raise AppError(f"{target!r} has no handlers: register some with @app.handler")
    return app


def check_target(target: str) -> None:
    """Raise AppError where this can't name an app, whatever modules there are."""
    _parsed(target)


def _parsed(target: str) -> tuple[str, str]:
    """Return the module and the attribute. Of a file, the error names the module."""
    module, colon, attribute = target.partition(":")
    path = re.sub(r"^(\./+)+|\.py$", "", module)
    if path.strip("./") and (path != module or "/" in path):
        *folders, name = [part for part in path.split("/") if part]
        if path.startswith(("/", "..")):
            where = f" in the folder {Path(path).parent}"
        else:
            name, where = ".".join([*folders, name]), ""
        raise AppError(f"{target!r} {_FORM}, not a file: say {name}:{attribute or 'app'}{where}")
    if "/" in module or not (colon and all([*module.split("."), *attribute.split(".")])):
        raise AppError(f"{target!r} {_FORM}")
    return module, attribute


def _current_folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - for sys.path, which holds strings
    except OSError as error:
        raise AppError(f"the current folder can't be read: {error.strerror}") from error


# -- importing ---------------------------------------------------------------------------------


def _imported(name: str, folder: str) -> ModuleType:
    try:
        shadowed = _shadowed(name.partition(".")[0], folder)
        return _load_beside(shadowed) if shadowed else importlib.import_module(name)
    except (Ended, AppError):
        raise
    except SystemExit as error:
        raise AppError(
            f"importing {name!r} called sys.exit({error.code!r}){_place(error, folder)}: "
            "a module of handlers must not end the process"
        ) from error
    except BaseException as error:
        # No KeyboardInterrupt is the user's: Ctrl-C raises Ended.
        if isinstance(error, ModuleNotFoundError) and f"{name}.".startswith(f"{error.name}."):
            raise AppError(f"there is no module {name!r} in {folder} or the environment") from error
        raise AppError(
            f"importing {name!r} failed: {_described(error)}{_place(error, folder)}"
            f"{_hint(error, folder)}",
            traceback=users_traceback(error),
        ) from error


def _shadowed(name: str, folder: str) -> ModuleSpec | None:
    """Return the folder's module of this name, where the program has another of the same name."""
    spec = PathFinder.find_spec(name, [folder])
    if spec is None or spec.origin is None:
        return None
    loaded = sys.modules.get(name)
    if loaded is None:
        return spec if name in sys.stdlib_module_names else None
    same = os.path.realpath(getattr(loaded, "__file__", None) or "") == os.path.realpath(
        spec.origin
    )
    return None if same else spec


def _load_beside(spec: ModuleSpec) -> ModuleType:
    """Import a user's `worker.py`, say, without replacing the program's module of that name."""
    if spec.submodule_search_locations is not None or spec.origin is None:
        raise AppError(
            f"the folder {spec.name!r} has the name of a package that the program uses: rename it"
        )
    beside = spec_from_file_location(_ALIAS.format(spec.name), spec.origin)
    if beside is None or beside.loader is None:
        raise AppError(f"{spec.origin} can't be imported: rename it")
    module = sys.modules[beside.name] = module_from_spec(beside)
    beside.loader.exec_module(module)
    return module


def _described(error: BaseException) -> str:
    message = message_of(error)
    if isinstance(error, ModuleNotFoundError):
        return message
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def _place(error: BaseException, folder: str) -> str:
    """Return where in the user's code it happened; "" where the message says so already."""
    if isinstance(error, SyntaxError):
        return ""
    places = [(file, line) for file, line in _lines(error) if is_users(file)]
    if not places:
        return ""
    file, line = places[-1]
    return f" ({file.removeprefix(folder).removeprefix('/')}, line {line})"


def _lines(error: BaseException) -> Iterator[tuple[str, int]]:
    for frame, line in walk_tb(error.__traceback__):
        yield frame.f_code.co_filename, line


def _hint(error: BaseException, folder: str) -> str:
    """Say so where the module wanted one of its folder, and got another of the same name."""
    if isinstance(error, ImportError):
        name = error.name
    elif isinstance(error, AttributeError):
        name = getattr(error.obj, "__name__", None)
    else:
        return ""
    if not name or not _shadowed(name, folder):
        return ""
    return (
        f"; {name!r} is a module of the program or of the standard library, which the one in "
        f"{folder} does not replace: rename that"
    )


# -- the app in it -----------------------------------------------------------------------------


def _looked_up(module: ModuleType, attribute: str, target: str) -> App:
    found: Any = module
    try:
        for part in attribute.split("."):
            found = getattr(found, part, None)
    except Exception as error:
        raise AppError(
            f"looking up {target!r} failed: {_described(error)}", traceback=users_traceback(error)
        ) from error
    if isinstance(found, App):
        return found
    others = [name for name, value in vars(module).items() if isinstance(value, App)]
    hint = f"; say {target.partition(':')[0]}:{others[0]}" if others else ""
    raise AppError(f"{target!r} is no worker.App, but {type(found).__name__}{hint}")
