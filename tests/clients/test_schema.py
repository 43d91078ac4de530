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
    assert (code, err) == (0, "")
    schemas: dict[str, Any] = json.loads(out)
    assert list(schemas) == ["anything", "images.resize", "never", "nothing"]
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
        "payload": {},
        "config": {"additionalProperties": True, "type": "object"},
        "result": {},
    }
    assert schemas["nothing"] == {"payload": {}, "config": {}, "result": {"type": "null"}}
    assert schemas["never"]["payload"] == {"items": {"type": "integer"}, "type": "array"}
    assert schemas["never"]["result"] == {"not": {}}


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
