"""Where in the user's code an error was raised: the innermost frame of theirs, and no value."""

import importlib
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from worker.runtime.user_code import is_users, raised

pytestmark = pytest.mark.once

SOURCE = """
import json

def parse(text):
    return json.loads(text)

def direct():
    raise ValueError("a secret")

def nested():
    try:
        direct()
    except ValueError as error:
        raise KeyError("another secret") from error

def group():
    try:
        direct()
    except ValueError as error:
        raise ExceptionGroup("all", [error])

class Shop:
    def sell(self):
        direct()
"""


@pytest.fixture
def shop(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    (tmp_path / "shop.py").write_text(SOURCE)
    return imported("shop", tmp_path, tmp_path, monkeypatch)


def imported(name: str, path: Path, folder: Path, patch: pytest.MonkeyPatch) -> ModuleType:
    patch.syspath_prepend(path)
    patch.chdir(folder)
    patch.delitem(sys.modules, name, raising=False)
    return importlib.import_module(name)


def place(call: Callable[[], object], package: str = "") -> str:
    with pytest.raises(BaseException) as caught:  # noqa: PT011 - whatever it raises
        call()
    # As a worker sees it: this file is no part of the user's code.
    error = caught.value
    trimmed = error.with_traceback(error.__traceback__ and error.__traceback__.tb_next)
    return raised(trimmed, package)


def test_it_is_the_innermost_frame_of_theirs_not_a_library_s(shop: ModuleType) -> None:
    assert place(lambda: shop.parse("{")) == "JSONDecodeError at shop.py:5 in parse"
    assert place(shop.direct) == "ValueError at shop.py:8 in direct"
    assert place(shop.Shop().sell) == "ValueError at shop.py:8 in direct"
    assert place(shop.nested) == "KeyError at shop.py:14 in nested"


def test_of_a_group_the_first_error_in_it_is_named(shop: ModuleType) -> None:
    assert place(shop.group) == "ExceptionGroup of ValueError at shop.py:8 in direct"


def test_a_file_outside_of_the_current_folder_has_its_whole_path(
    shop: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir("/")
    assert place(shop.direct) == f"ValueError at {tmp_path}/shop.py:8 in direct"


def test_code_that_users_install_is_theirs_where_nothing_else_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = tmp_path / "site-packages"
    installed.mkdir()
    (installed / "shop_installed.py").write_text(SOURCE)
    module = imported("shop_installed", installed, tmp_path, monkeypatch)
    error = ValueError()
    try:
        module.parse("{")
    except json.JSONDecodeError as caught:
        error = caught
    frames = error.__traceback__ and error.__traceback__.tb_next
    found = raised(error.with_traceback(frames), "shop_installed")
    assert found == "JSONDecodeError at site-packages/shop_installed.py:5 in parse"
    assert raised(error.with_traceback(frames), "other") == "JSONDecodeError"


def test_an_error_without_a_frame_has_its_class_alone() -> None:
    assert raised(ValueError("never raised")) == "ValueError"


@pytest.mark.parametrize("module", [json, subprocess, pytest, importlib])
def test_libraries_are_not_the_user_s(module: ModuleType) -> None:
    assert not is_users(str(module.__file__))
    assert not is_users("<frozen importlib._bootstrap>")
    assert is_users("/app/tasks.py")
