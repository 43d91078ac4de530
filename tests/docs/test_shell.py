"""The tests of the docs can fail: a page with a mistake is not taken for a good one."""

from pathlib import Path

import pytest

from tests.docs.pages import Block
from tests.docs.shell import Said, reader_environment, run_page

pytestmark = pytest.mark.once


class _Page:
    """A page of shell blocks."""

    name = "a page"

    def __init__(self, *blocks: Block) -> None:
        self.blocks = list(blocks)


def run(tmp_path: Path, *blocks: Block, elsewhere: str = "") -> Said:
    folder = tmp_path / "reader"
    folder.mkdir()
    environment = reader_environment({"PATH": "/usr/bin:/bin"}, tmp_path)
    return run_page(_Page(*blocks), folder, environment, {elsewhere})  # type: ignore[arg-type]


def sh(text: str) -> Block:
    return Block("sh", f"{text}\n", "")


def test_what_is_printed_is_known_by_its_block(tmp_path: Path) -> None:
    said = run(tmp_path, sh("echo one"), Block("python", "print('two')\n", ""), sh("echo three"))
    assert said.by("echo one") == "one\n"
    assert said.by("print") == "two\n"
    assert said.by("three") == "three\n"


def test_files_commands_and_the_current_folder_last_from_block_to_block(tmp_path: Path) -> None:
    file = Block("python", "# apps/two.py\nprint(2)\n", "")
    said = run(
        tmp_path, sh("mkdir -p one; cd one\nexport X=1"), file, sh("python ../apps/two.py $X")
    )
    assert said.by("../apps") == "2\n"


@pytest.mark.parametrize("text", ["false", "echo no && ls nowhere", "exit-code", "(exit 3)"])
def test_a_command_that_fails_is_found(tmp_path: Path, text: str) -> None:
    with pytest.raises(AssertionError, match="a page"):
        run(tmp_path, sh(text), sh("echo last"))


def test_a_program_that_fails_is_found(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="a page"):
        run(tmp_path, Block("python", "raise SystemExit(1)\n", ""))


def test_a_failure_that_the_page_promises_has_to_happen(tmp_path: Path) -> None:
    assert run(tmp_path, sh("grep -q a /dev/null  # exit code 1"))


@pytest.mark.parametrize("text", ["true  # exit code 1", "grep -q a /dev/null  # exit code 2"])
def test_another_code_than_the_promised_is_found(tmp_path: Path, text: str) -> None:
    with pytest.raises(AssertionError, match="a page"):
        run(tmp_path, sh(text))


def test_commands_of_other_tests_are_left_out(tmp_path: Path) -> None:
    assert run(tmp_path, sh("false"), elsewhere="false")
