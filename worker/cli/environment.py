"""What the environment and `.env` hold beside the settings: AWS's variables, and misspelt names."""

import os
from collections.abc import Container, Iterable, Mapping
from pathlib import Path

from worker import dev
from worker.settings import ENV_FILE, Settings

_PREFIX = "WORKER_"
# Read by commands, or set for their children, and no settings.
_NO_SETTINGS = {"WORKER_SUPERVISOR_PID", dev.VARIABLE}
_SERVICE_HOST = "_SERVICE_HOST"
# Variables that belong together: where the environment has one of them, `.env` adds none.
_GROUPS = (
    {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE"},
    {"AWS_REGION", "AWS_DEFAULT_REGION"},
)


def prepare() -> None:
    """Let botocore see its variables as ours are read: from `.env` too, and stripped.

    Those that come from mounted files end in a newline. Call it once `Settings` has read `.env`,
    and found that it can be read.
    """
    if dev.VARIABLE not in os.environ:  # its servers are all that it may see
        os.environ.update(aws_variables(env_file(), os.environ))
    for name, value in os.environ.items():
        if name.startswith("AWS_") and value != value.strip():
            os.environ[name] = value.strip()


def unknown() -> str:
    """Name the variables that look like settings and are none, with what may be meant by each.

    Return "" where there are none.
    """
    known = known_variables()
    found = unknown_variables({**env_file(), **os.environ}, known)
    return ", ".join(_with_nearest(name, known) for name in found)


def env_file() -> dict[str, str]:
    """Return the variables of `.env`, none where there is no such file."""
    if not Path(ENV_FILE).is_file():
        return {}
    from dotenv import dotenv_values

    values = dotenv_values(ENV_FILE, encoding="utf-8-sig")
    return {name: value for name, value in values.items() if value is not None}


def aws_variables(file: Mapping[str, str], environment: Mapping[str, str]) -> dict[str, str]:
    """Return the AWS_ variables that `.env` adds to the environment, which wins."""
    taken = {*environment}
    for group in _GROUPS:
        if taken & group:
            taken |= group
    return {
        name: value for name, value in file.items() if name.startswith("AWS_") and name not in taken
    }


def known_variables() -> set[str]:
    """Return the names of all settings' variables, and of the few others of ours."""
    return _NO_SETTINGS | {f"{_PREFIX}{name.upper()}" for name in Settings.model_fields}


def unknown_variables(names: Iterable[str], known: Container[str]) -> list[str]:
    """Return those that begin like ours and are none.

    Kubernetes sets some for each service, WORKER_SERVICE_HOST and WORKER_PORT for one called
    `worker`, WORKER_API_SERVICE_HOST and WORKER_API_PORT for `worker-api`. They are left out.
    """
    ours = sorted(name for name in names if name.upper().startswith(_PREFIX))
    services = {name.removesuffix(_SERVICE_HOST) for name in ours if name.endswith(_SERVICE_HOST)}
    made = tuple(f"{service}{end}" for service in services for end in ("_SERVICE_", "_PORT"))
    made += ("WORKER_SERVICE_", "WORKER_PORT")
    return [name for name in ours if name.upper() not in known and not name.startswith(made)]


def _with_nearest(name: str, known: set[str]) -> str:
    from difflib import get_close_matches

    settings = sorted(known_name.removeprefix(_PREFIX) for known_name in known - _NO_SETTINGS)
    nearest = get_close_matches(name.upper().removeprefix(_PREFIX), settings, n=1)
    return f"{name} (did you mean {_PREFIX}{nearest[0]}?)" if nearest else name
