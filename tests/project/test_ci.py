"""CI: the workflow runs `.ci/run` on each Python that the project supports, and what is public has
whole types."""

import json
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import yaml

import worker

ROOT = Path(__file__).parent.parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def workflow() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())
    return loaded


def test_the_workflow_runs_ci_on_every_python_that_is_supported() -> None:
    job = workflow()["jobs"]["ci"]
    pythons = job["strategy"]["matrix"]["python"]
    assert pythons == ["3.11", "3.12", "3.13", "3.14"]
    assert PROJECT["requires-python"] == f">={pythons[0]}"
    assert [step["run"] for step in job["steps"] if "run" in step] == [".ci/run"]
    assert "${{ matrix.python }}" in json.dumps(job["steps"])


def test_the_workflow_reads_the_repository_and_no_more() -> None:
    assert workflow()["permissions"] == {"contents": "read"}
    assert "secrets" not in (ROOT / ".github/workflows/ci.yml").read_text()


def test_ci_can_be_run_and_names_no_host() -> None:
    assert os.access(ROOT / ".ci/run", os.X_OK)
    for file in (ROOT / ".ci").iterdir():
        if file.is_file():
            assert not re.search(r"https?://", file.read_text()), file


def test_the_types_of_all_public_names_are_whole() -> None:
    """As a user's type checker sees them: nothing unknown or only inferred, however deep."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "basedpyright", "--outputjson"),
            *("--verifytypes", "worker", "--ignoreexternal"),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    symbols = json.loads(done.stdout)["typeCompleteness"]["symbols"]
    public = {f"worker.{name}" for name in worker.__all__}
    assert public <= {symbol["name"] for symbol in symbols}
    reached = [symbol for symbol in symbols if symbol["name"] in public]
    assert [s["name"] for s in reached if not s["isTypeKnown"] or s["isTypeAmbiguous"]] == []
