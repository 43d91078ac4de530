"""Variables of the environment and of `.env`: those of AWS, and those that no setting has."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.commands import Command
from tests.support.table import Table
from worker.cli.common import DYNAMO_VARIABLES, RUN_VARIABLES
from worker.cli.environment import aws_variables, known_variables, unknown_variables
from worker.settings import Settings

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("WORKER_CONCURENCY", "WORKER_CONCURENCY (did you mean WORKER_CONCURRENCY?)"),
        ("WORKER_REDIS_URI", "WORKER_REDIS_URI (did you mean WORKER_REDIS_URL?)"),
        ("WORKER_QUEUES", "WORKER_QUEUES (did you mean WORKER_QUEUE?)"),
        ("worker_leese", "worker_leese (did you mean WORKER_LEASE?)"),
        ("WORKER_XYZ", "WORKER_XYZ"),
        ("WORKER_", "WORKER_"),
    ],
)
def test_an_unknown_variable_is_named_with_the_nearest(
    command: Command, name: str, said: str
) -> None:
    done = command("status", env={name: "1"})
    assert done.exit_code == 0
    assert done.stderr == f"worker: no setting has these variables, they are ignored: {said}\n"


def test_many_unknown_variables_are_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("WORKER_TIME_OUT=3\nOTHER=1\n")
    done = command("push", "h", env={"WORKER_B": "1", "WORKER_A": "1"})
    assert done.stderr.count("\n") == 1
    assert done.stderr.endswith(
        ": WORKER_A, WORKER_B, WORKER_TIME_OUT (did you mean WORKER_TIMEOUT?)\n"
    )


def test_what_kubernetes_makes_for_services_is_no_slip() -> None:
    made = [
        *("WORKER_SERVICE_HOST", "WORKER_SERVICE_PORT", "WORKER_SERVICE_PORT_HTTP"),
        *("WORKER_PORT", "WORKER_PORT_80_TCP", "WORKER_PORT_80_TCP_ADDR"),
        *("WORKER_API_SERVICE_HOST", "WORKER_API_SERVICE_PORT", "WORKER_API_PORT"),
        *("WORKER_API_PORT_80_TCP", "WORKER_API_PORT_80_TCP_PROTO"),
    ]
    assert unknown_variables(made, known_variables()) == []
    assert unknown_variables(["WORKER_API_PORT"], known_variables()) == ["WORKER_API_PORT"]


def test_settings_and_names_of_others_are_no_slips(command: Command) -> None:
    env = {"WORKER_APP": "tasks:app", "worker_lease": "5", "WORKERS": "1", "MY_WORKER_X": "1"}
    assert command("status", env=env).stderr == ""


@pytest.mark.parametrize("processes", ["1", "2"])
def test_a_worker_logs_them_once(
    environment: dict[str, str], tmp_path: Path, processes: str
) -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "worker", "run", "tests.apps.basic:app", "--burst"],
        cwd=tmp_path,
        env={
            **environment,
            "WORKER_PROCESSES": processes,
            "WORKER_LEESE": "1",
            "PYTHONPATH": os.pathsep.join(filter(None, sys.path)),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    (line,) = [line for line in done.stderr.splitlines() if "WORKER_LEESE" in line]
    assert "WARNING" in line
    assert "did you mean WORKER_LEASE?" in line


def test_help_names_every_variable() -> None:
    """Who adds a setting adds it there too."""
    named = {
        name.strip(";.") for name in (RUN_VARIABLES + DYNAMO_VARIABLES).replace(",", "").split()
    }
    ours = {f"WORKER_{name.upper()}" for name in Settings.model_fields}
    assert {name for name in named if name.startswith("WORKER_")} == ours


# -- AWS -------------------------------------------------------------------------------------------


def test_aws_variables_are_read_from_the_file_too(
    command: Command, table: Table, tmp_path: Path
) -> None:
    table.put("k", width=3)
    names = [name for name in command.environment if name.startswith("AWS_")]
    lines = [f"{name}={command.environment[name]}" for name in names]
    (tmp_path / ".env").write_text("\n".join(lines))
    done = command("config", "get", "k", env=dict.fromkeys(names))
    assert (done.exit_code, done.stderr) == (0, "")
    assert '"width":3' in done.stdout


def test_the_environment_wins_over_the_file(command: Command, table: Table, tmp_path: Path) -> None:
    table.put("k")
    (tmp_path / ".env").write_text("AWS_ENDPOINT_URL_DYNAMODB=http://127.0.0.1:1\n")
    assert command("config", "get", "k").exit_code == 0


@pytest.mark.parametrize(
    ("environment", "added"),
    [
        ({}, ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"]),
        ({"AWS_ACCESS_KEY_ID": "mine"}, ["AWS_REGION"]),
        ({"AWS_PROFILE": "mine"}, ["AWS_REGION"]),
        (
            {"AWS_DEFAULT_REGION": "x"},
            ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"],
        ),
    ],
)
def test_credentials_and_regions_are_never_mixed(
    environment: dict[str, str], added: list[str]
) -> None:
    file = dict.fromkeys(
        ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_REGION"], "f"
    )
    assert list(aws_variables({**file, "PATH": "x"}, environment)) == added
