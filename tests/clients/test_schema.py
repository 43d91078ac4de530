"""`worker schema MODULE:APP`: JSON Schema of each handler's payload, config and result."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.worker_process import ROOT, run_to_its_end

pytestmark = pytest.mark.once

TASKS = """
from decimal import Decimal
from typing import Any, NoReturn

from pydantic import BaseModel, Field

from worker import App

app = App()
bad = App()
missing = App()


class Image(BaseModel):
    url: str
    width: int = Field(100, ge=1)


class Size(BaseModel):
    ratio: Decimal
    images: list[Image] = []


class Made(BaseModel):
    path: str
    size: Decimal = Decimal(1)


@app.handler("images.resize")
async def resize(payload: Image, config: Size) -> Made: ...


@app.handler
def anything(payload, config: dict[str, Any], job): ...


@app.handler
def nothing() -> None: ...


@app.handler
def never(payload: "Later") -> NoReturn: ...


Later = list[int]


class Plain: ...


@app.handler(batch=100)
async def rows(payloads: list[Image], configs: list[Size]) -> list[int | Exception] | None: ...


@app.handler
async def special(payload: Any) -> Plain: ...


mail = App()


@mail.handler
def welcome(payload: str, state) -> str: ...


mail_app = App(lifespan=lambda app: None)
mail_app.include(mail)


@bad.handler
async def odd(payload: Plain) -> int: ...


@missing.handler
async def gone(payload: "Nowhere") -> int: ...
"""


def run(target: str, folder: Path, **env: str) -> tuple[int, str, str]:
    (folder / "tasks.py").write_text(TASKS)
    environment = {"PYTHONPATH": str(ROOT), **env}
    ended = run_to_its_end(["schema", target], folder, environment)
    return ended.returncode, ended.stdout, ended.stderr


def test_each_handler_has_the_schemas_of_its_three_types(tmp_path: Path) -> None:
    """Without any server or setting."""
    code, out, err = run("tasks:app", tmp_path, WORKER_REDIS_URL="not a url")
    assert code == 0
    assert err.startswith("worker: handler 'special': the type of its result has no JSON Schema: ")
    assert err.endswith("; it is null here\n")
    schemas: dict[str, Any] = json.loads(out)
    assert list(schemas) == [
        *("anything", "images.resize", "never", "nothing", "rows", "special"),
    ]
    assert all(list(parts) == ["payload", "config", "result"] for parts in schemas.values())
    image = schemas["images.resize"]["payload"]
    assert image["properties"]["width"] == {
        "default": 100,
        "minimum": 1,
        "title": "Width",
        "type": "integer",
    }
    assert image["required"] == ["url"]
    config = schemas["images.resize"]["config"]
    assert config["properties"]["images"]["items"] == {"$ref": "#/$defs/Image"}
    assert config["$defs"]["Image"] == image
    # What is written, not what is taken: a Decimal as a string.
    result = schemas["images.resize"]["result"]
    assert result["required"] == ["path"]
    assert result["properties"]["size"]["type"] == "string"
    assert schemas["anything"] == {
        "payload": None,
        "config": {"additionalProperties": True, "type": "object"},
        "result": None,
    }
    assert schemas["nothing"] == {"payload": None, "config": None, "result": {"type": "null"}}
    assert schemas["never"]["payload"] == {"items": {"type": "integer"}, "type": "array"}
    assert schemas["never"]["result"] == {"not": {}}
    # Of one job.
    assert schemas["rows"] == {"payload": image, "config": config, "result": {"type": "integer"}}
    assert schemas["special"] == {"payload": None, "config": None, "result": None}


def test_handlers_of_an_included_app_are_those_of_the_app(tmp_path: Path) -> None:
    code, out, err = run("tasks:mail_app", tmp_path)
    assert (code, err) == (0, "")
    assert json.loads(out) == {
        "welcome": {"payload": {"type": "string"}, "config": None, "result": {"type": "string"}}
    }


@pytest.mark.parametrize(
    ("target", "problem"),
    [
        ("tasks:bad", "handler 'odd': the type of its payload has no JSON Schema: Unable to"),
        ("tasks:missing", "handler 'gone': its annotations fail: name 'Nowhere' is not defined"),
        ("tasks:nope", "'tasks:nope' is no worker.App"),
        ("no_such:app", "there is no module 'no_such'"),
        ("tasks", "must have the form MODULE:APP"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(target: str, problem: str, tmp_path: Path) -> None:
    code, out, err = run(target, tmp_path)
    assert (code, out) == (1, "")
    assert err.startswith("worker: ")
    assert problem in err
    assert err.count("\n") == 1
