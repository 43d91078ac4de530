"""What mypy and pyright say of a payload: nothing where it fits the handler, else an error."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.worker_process import ROOT

pytestmark = pytest.mark.once

# Each line that ends in `# wrong` must be refused, and no other.
PROGRAM = """
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from worker import App, Client, Job, SyncClient
from worker.testing import RunningWorker, run

app = App()


@dataclass
class Image:
    url: str


class Photo(Image):
    pass


@dataclass
class Size:
    width: int


@app.handler
async def resize(payload: Image, config: Size) -> dict[str, int]:
    return {"width": config.width}


@app.handler("images.crop", timeout=5)
def crop(job: Job, payload: Image | None = None) -> None: ...


@app.handler
async def keywords(*, config: Size, payload: list[int], state: object) -> None: ...


@app.handler
async def anything(payload: Any, job: Job) -> None: ...


@app.handler
async def nothing(config: Size) -> None: ...


async def batch(payloads: list[Image], configs: Sequence[Size]) -> None: ...


class Mailer:
    def send(self, payload: str) -> None: ...


async def right(client: Client) -> None:
    job_id: str = await client.enqueue(resize, Image("a"))
    await client.enqueue(resize, Photo("a"), config="acme", id=job_id, delay=3.5, queue="q")
    await client.enqueue(resize, Image("a"), expires_at=1, reply_to="replies")
    await client.enqueue(crop, Image("a"))
    await client.enqueue(crop, None)
    await client.enqueue(keywords, [1, 2])
    await client.enqueue(anything, object())
    await client.enqueue(nothing)
    await client.enqueue(nothing, config="acme")
    await client.enqueue(batch, Image("a"))
    await client.enqueue(Mailer().send, "text")
    await client.enqueue("resize", {"url": "a"})
    await client.enqueue("resize")


async def wrong(client: Client) -> None:
    await client.enqueue(resize, "a")  # wrong
    await client.enqueue(resize, {"url": "a"})  # wrong
    await client.enqueue(resize, Size(1))  # wrong
    await client.enqueue(resize)  # wrong
    await client.enqueue(crop, 3)  # wrong
    await client.enqueue(keywords, ["a"])  # wrong
    await client.enqueue(nothing, 3)  # wrong
    await client.enqueue(batch, Size(1))  # wrong
    await client.enqueue(Mailer().send, 3)  # wrong
    await client.enqueue(resize, Image("a"), dellay=3)  # wrong
    await client.enqueue(resize, Image("a"), delay="soon")  # wrong
    await client.enqueue(3, 3)  # wrong


def sync(client: SyncClient) -> None:
    job_id: str = client.enqueue(resize, Image("a"), config="acme")
    client.enqueue("resize", 3, id=job_id)
    client.enqueue(nothing)
    client.enqueue(resize, "a")  # wrong
    client.enqueue(resize)  # wrong
    client.enqueue(resize, Image("a"), dellay=3)  # wrong


async def in_tests(worker: RunningWorker) -> None:
    await worker.enqueue(resize, Image("a"))
    await worker.enqueue(resize, "a")  # wrong
    ran = await run(app, resize, Image("a"), config={"width": 3}, attempt=2, state=None)
    status: str = ran.status
    await run(app, "resize", Image("a"), raises=True, atempt=2)  # wrong
    await worker.drain(LookupError, within=3)
    await worker.drain("failed")  # wrong
    due: int = await worker.advance(60)
"""

MYPY = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--config-file", ""]
PYRIGHT = [sys.executable, "-m", "basedpyright", "--level", "error"]


def refused(command: list[str], file: Path) -> Iterator[int]:
    """Yield the numbers of the lines with errors."""
    checked = subprocess.run(
        [*command, file.name], cwd=file.parent, capture_output=True, text=True, check=False
    )
    assert checked.returncode in {0, 1}, checked.stdout + checked.stderr
    for found in re.finditer(rf"{file.name}:(\d+)\S* (?:- )?error", checked.stdout):
        yield int(found[1])


@pytest.mark.parametrize("command", [MYPY, PYRIGHT], ids=["mypy", "pyright"])
def test_the_payload_is_checked_against_the_handler(command: list[str], tmp_path: Path) -> None:
    file = tmp_path / "program.py"
    file.write_text(PROGRAM)
    (tmp_path / "pyrightconfig.json").write_text(f'{{"extraPaths": ["{ROOT}"]}}')
    lines = enumerate(PROGRAM.splitlines(), start=1)
    wrong = {number for number, line in lines if line.endswith("# wrong")}
    assert len(wrong) > 10
    assert set(refused(command, file)) == wrong
