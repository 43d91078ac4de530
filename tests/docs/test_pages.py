"""What can be said of the pages without running them: links, names, figures, lengths."""

import ast
import json
import re
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

import worker
from tests.docs.pages import PAGES, ROOT, Page
from worker.cli import app

pytestmark = pytest.mark.once

CHANGELOG = ROOT / "CHANGELOG.md"
# Written by somebody else at this moment.
EXPECTED = {"CONTRIBUTING.md"}

each_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)


@each_page
def test_every_link_leads_somewhere(page: Page) -> None:
    links = re.findall(r"\[[^\]]+\]\(([^)\s]+)\)", page.text)
    for target, _, anchor in (link.partition("#") for link in links if "://" not in link):
        path = (page.path.parent / target).resolve() if target else page.path
        if path.name in EXPECTED and not path.exists():
            continue
        assert path.exists(), target
        assert not anchor or anchor in anchors(path), f"{target}#{anchor}"


def anchors(path: Path) -> set[str]:
    """Return the anchors that a Markdown file's headings get."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@each_page
def test_no_page_names_a_path_of_this_machine(page: Page) -> None:
    for path in (ROOT, Path.home()):
        assert f"{path}/" not in page.text


@each_page
def test_every_block_of_python_is_python_and_imports_what_is_there(page: Page) -> None:
    for block in page.of("python"):
        for node in ast.walk(ast.parse(block.text)):
            if isinstance(node, ast.ImportFrom) and node.module == "worker":
                assert {name.name for name in node.names} <= set(worker.__all__)


@each_page
def test_every_block_of_json_and_yaml_can_be_read(page: Page) -> None:
    for block in page.of("json"):
        json.loads(block.text)
    for block in page.of("yaml"):
        yaml.safe_load(block.text)


@each_page
def test_every_block_says_its_language(page: Page) -> None:
    fences = re.findall(r"^```(\w*)$", page.text, re.MULTILINE)
    assert all(fences[::2]), "a block without a language is not tested"
    assert len(fences) == 2 * len(page.blocks)


def inline_commands(text: str) -> set[str]:
    """Return what the text names as a command of ours: `worker dead list`."""
    spans = re.findall(r"`([^`\n]+)`", text)
    commands = (span.removeprefix("uv run ") for span in spans)
    return {span for span in commands if re.match(r"worker [a-z]", span)}


@pytest.mark.parametrize(
    "line", sorted({line for page in PAGES for line in inline_commands(page.text)})
)
def test_every_command_that_the_text_names_exists(line: str) -> None:
    """Its subcommand and options, that is: its arguments may be placeholders."""
    command: Any = typer.main.get_command(app)
    words = line.split()[1:]
    while words and (inner := getattr(command, "commands", {}).get(words[0])):
        command, words = inner, words[1:]
    assert not getattr(command, "commands", {}) or not words or words[0].startswith("-"), line
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known | {"--help"}


def test_the_changelog_and_the_contract_name_the_same_version() -> None:
    contract = (ROOT / "docs/contract.md").read_text()
    version = re.search(r"^\*\*Version (\d+)\.\*\*", contract, re.MULTILINE)
    assert version
    unreleased = CHANGELOG.read_text().split("\n## ")[1]
    assert f"**Version {version[1]}**" in unreleased
