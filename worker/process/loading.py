"""MODULE:APP to an App: the one place where a module is imported because somebody named it."""

import importlib
import os
import sys

from worker.app import App
from worker.errors import AppError


def load_app(target: str) -> App:
    """Import the module that the operator named, the current folder included, and take its app.

    Raises AppError, which says what to mend.
    """
    module_name, colon, attribute = target.partition(":")
    if not (module_name and colon and attribute):
        raise AppError(f"{target!r} must have the form MODULE:APP, such as tasks:app")
    if os.getcwd() not in sys.path:  # noqa: PTH109 - compared with sys.path, which holds strings
        sys.path.insert(0, os.getcwd())  # noqa: PTH109
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and module_name.startswith(error.name):
            raise AppError(
                f"there is no module {module_name!r} in {os.getcwd()} or the environment"  # noqa: PTH109
            ) from error
        raise AppError(f"importing {module_name!r} failed: {error}") from error
    except Exception as error:
        raise AppError(
            f"importing {module_name!r} failed: {type(error).__name__}: {error}"
        ) from error
    app = module
    for part in attribute.split("."):
        app = getattr(app, part, None)  # type: ignore[assignment]
    if not isinstance(app, App):
        raise AppError(f"{target!r} is no worker.App, but {type(app).__name__}")
    if not app.handlers:
        raise AppError(f"{target!r} has no handlers: register some with @app.handler")
    return app
