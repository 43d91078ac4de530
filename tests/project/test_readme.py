"""The README is short and leads everywhere; each promise that it speaks of has its evidence.

`tests/docs` runs what is written in it.
"""

import re

import pytest

from tests.docs.pages import PAGES, README, ROOT, page

pytestmark = pytest.mark.once


def test_it_can_be_read_in_one_go() -> None:
    assert len(README.read_text().splitlines()) < 150


def test_every_page_is_reached_from_it() -> None:
    linked = set(re.findall(r"\((docs/[\w-]+\.md)", README.read_text()))
    assert linked == {each.name for each in PAGES} - {"README.md"}


def test_every_promise_has_evidence_and_every_test_that_it_names_exists() -> None:
    promises = page("docs/promises.md")
    rows = re.findall(r"^\| (\d+) \|", promises.section("## The promises"), re.MULTILINE)
    evidence = re.findall(
        r"^\| (\d+) \| (.+) \|$", promises.section("## The evidence"), re.MULTILINE
    )
    assert rows == [number for number, _ in evidence] == [str(n) for n in range(1, len(rows) + 1)]
    for _, tests in evidence:
        assert re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", tests)
    for path, function in re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", promises.text):
        text = (ROOT / path).read_text()
        assert not function or f"def {function}" in text, f"{path}::{function}"
