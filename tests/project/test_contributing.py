"""CONTRIBUTING.md and tests/README.md name what is there, and are as short as they promise."""

import re
import shlex
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
TESTS = (ROOT / "tests/README.md").read_text()


def test_every_folder_of_tests_is_in_the_table_and_no_other() -> None:
    named = {name.split("/")[0] for name in re.findall(r"`(\w+/[\w.]*)`", TESTS)}
    folders = {path.parent.name for path in (ROOT / "tests").glob("*/__init__.py")}
    assert named == folders


def test_every_file_in_the_table_is_there() -> None:
    for row in TESTS.splitlines():
        folder = ""
        for name in re.findall(r"`([\w/]+(?:\.py|/))`", row):
            folder = name.rpartition("/")[0] or folder
            assert (ROOT / "tests" / folder / name.rpartition("/")[2]).exists(), name


def test_every_path_in_its_commands_and_links_is_there() -> None:
    (block,) = re.findall(r"```sh\n(.*?)```", CONTRIBUTING, re.DOTALL)
    words = {word for line in block.splitlines() for word in shlex.split(line, comments=True)}
    links = re.findall(r"\]\((\w[\w/.]+)\)", CONTRIBUTING)
    paths = {word for word in words if "/" in word} | set(links)
    assert len(paths) > 5
    for path in paths:
        assert (ROOT / path).exists(), path


def test_the_test_and_the_fixtures_that_it_names_are_there() -> None:
    (name,) = re.findall(r"-k (\w+)", CONTRIBUTING)
    assert any(f"def {name}(" in file.read_text() for file in (ROOT / "tests").rglob("test_*.py"))
    conftest = (ROOT / "tests/conftest.py").read_text()
    for fixture in ("start_worker", "shared", "worker_in_process", "producer", "table"):
        assert f"`{fixture}" in CONTRIBUTING
        assert f"def {fixture}(" in conftest
