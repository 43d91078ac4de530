"""What the config table may hold and what may answer in its place, and what must become of jobs.

`python -m tests.support.fuzz_config items --examples N` runs more of it; `replies` likewise.

In process, on a virtual clock: the real pipeline, config store, table and SDK. Only what would come
over the network is made here. An example is made from its number and the seed alone, so that a
failure can be repeated: its number stands in the error.
"""

import argparse
import asyncio
import json
import logging
import os
import time
from base64 import b64encode
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from decimal import Decimal
from random import Random
from typing import Any, NamedTuple
from unittest.mock import patch

from aiobotocore.awsrequest import AioAWSResponse
from botocore.compat import HTTPHeaders
from pydantic import BaseModel

from tests.config import virtual_time
from tests.execution.pipeline import Harness, result_of
from tests.support.fuzz import damaged
from worker import App, Settings
from worker.config.client import open_dynamo
from worker.config.store import ConfigStore
from worker.config.table import ConfigTable
from worker.jobs.attribute_values import _shown
from worker.jobs.outcome import Outcome

SECRET = "hunter2"  # in items; never in a log line
_FORGOTTEN = 16.0  # seconds after which an outage that no read has met may be over
_ENVIRONMENT = {
    "AWS_ENDPOINT_URL_DYNAMODB": "http://127.0.0.1:1",
    "AWS_REGION": "us-east-1",
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
}
Raw = dict[str, Any]

app = App()


class Shop(BaseModel):
    """Some of the names that items use."""

    a: Decimal = Decimal(1)
    b: list[float] = []
    url: str | None = None


@app.handler
async def show(config: dict[str, Any]) -> Any:
    return described(config)


@app.handler
async def typed(config: Shop) -> None:
    pass


def described(value: Any) -> Any:
    """A value and all its types, as JSON that can be compared."""
    if isinstance(value, dict):
        return {name: described(each) for name, each in value.items()}
    if isinstance(value, list):
        return [described(each) for each in value]
    if isinstance(value, set):
        return ["set", *sorted(json.dumps(described(each)) for each in value)]
    return [type(value).__name__, repr(value)]


# -- items -----------------------------------------------------------------------------------------

NAMES = ["a", "b", "url", "limits", "policy", "x" * 70, "", "ü", "\u2028", "a.b", "\x00"]
TEXTS = ["", "a", f"{SECRET} ü", '"\\\n\x00', "\U0001f600", "1", "x" * 300]
NUMBERS = ["0", "-0", "1", "-1.5", "1e100", "1E-130", "9" * 38, "1" + "0" * 125, "0.1", "+7"]
_DEEP = "@deep@"  # in place of what no JSON encoder of Python's can write
BAD_NUMBERS = ["Infinity", "-Infinity", "NaN", "sNaN", "1e126", "1e-131", "", " 1", "1_0", "0x1"]
BAD_NUMBERS += ["1e99999", "9" * 5_000, "1e", ".", SECRET, "\u0661", "1\n"]


def _any_json(dice: Random, levels: int = 2) -> Any:
    """A JSON value of any kind."""
    kinds = ["scalar", "scalar", "list", "object"] if levels else ["scalar"]
    kind = dice.choice(kinds)
    if kind == "list":
        return [_any_json(dice, levels - 1) for _ in range(dice.randrange(3))]
    if kind == "object":
        names = [*NAMES, "S", "N", "M", "L", "BOOL", "NULL", "B", "SS", "NS", "BS", "key"]
        return {dice.choice(names): _any_json(dice, levels - 1) for _ in range(dice.randrange(3))}
    numbers: list[Any] = [0, -1, 5, 1.5, 10**400, 1e308]
    return dice.choice([None, True, False, *numbers, *TEXTS, "\ud800", *BAD_NUMBERS])


def _value(dice: Random, levels: int = 3) -> tuple[Raw, Any]:
    """An attribute value as DynamoDB has it, and what a handler is to see of it."""
    scalars = ["S", "N", "BOOL", "NULL", "B", "SS", "NS", "BS"]
    kind = dice.choice([*scalars, "M", "L", "M", "L"] if levels else scalars)
    some = range(dice.randrange(1, 4))
    if kind == "M":
        inner = {dice.choice(NAMES): _value(dice, levels - 1) for _ in some}
        return {"M": {name: raw for name, (raw, _) in inner.items()}}, {
            name: value for name, (_, value) in inner.items()
        }
    if kind == "L":
        parts = [_value(dice, levels - 1) for _ in some]
        return {"L": [raw for raw, _ in parts]}, [value for _, value in parts]
    if kind in ("S", "SS"):
        texts = dice.sample(TEXTS, len(some))
        return ({"S": texts[0]}, texts[0]) if kind == "S" else ({"SS": texts}, set(texts))
    if kind in ("N", "NS"):
        numbers = dice.sample(NUMBERS, len(some))
        seen = [_seen(number) for number in numbers]
        return ({"N": numbers[0]}, seen[0]) if kind == "N" else ({"NS": numbers}, set(seen))
    if kind in ("B", "BS"):
        parts_ = [dice.randbytes(n) for n in some]
        written = [b64encode(part).decode() for part in parts_]
        return ({"B": written[0]}, parts_[0]) if kind == "B" else ({"BS": written}, set(parts_))
    yes = dice.random() < 0.5
    return ({"BOOL": yes}, yes) if kind == "BOOL" else ({"NULL": True}, None)


def _seen(number: str) -> int | float:
    exact = Decimal(number)
    return int(exact) if exact == exact.to_integral_value() else float(exact)


class Item(NamedTuple):
    """`text` is its JSON. `seen` is what a handler sees of it where it is intact; else `spoilt`
    names the attribute in which something may be wrong.
    """

    text: str
    names: list[str]
    seen: dict[str, Any] | None
    spoilt: str | None = None


def an_item(dice: Random, key: str) -> Item:
    """An item, intact or with one thing changed, such as no DynamoDB would return."""
    parts = {dice.choice(NAMES): _value(dice) for _ in range(dice.randrange(1, 5))}
    raw: Raw = {name: value for name, (value, _) in parts.items()}
    seen: dict[str, Any] | None = {name: value for name, (_, value) in parts.items()}
    spoilt = None
    if dice.random() < 0.8:
        spoilt, seen = dice.choice(list(raw)), None
        raw[spoilt] = _spoilt(dice, raw[spoilt])
        if dice.random() < 0.1:
            raw[spoilt + "\ud800"] = raw.pop(spoilt)
            spoilt += "\ud800"
    everything = {"key": {"S": key}, **raw}
    return Item(_written(dice, everything), list(raw), seen, spoilt)


def _spoilt(dice: Random, raw: Any) -> Any:
    """The attribute value with one thing changed, at any depth."""
    if type(raw) is dict and raw and dice.random() < 0.6:
        name = dice.choice(list(raw))
        return {**raw, name: _spoilt(dice, raw[name])}
    if type(raw) is list and raw and dice.random() < 0.8:
        at = dice.randrange(len(raw))
        return [*raw[:at], _spoilt(dice, raw[at]), *raw[at + 1 :]]
    ways: list[Callable[[], Any]] = [
        lambda: _any_json(dice),
        lambda: {"N": dice.choice(BAD_NUMBERS)},
        lambda: {"S": dice.choice(["\ud800", f"{SECRET}\udfff"])},
        lambda: {dice.choice(["X", "s", "", "SS", "M", "L", "BOOL", "B"]): _any_json(dice)},
        lambda: dice.choice(BAD_NUMBERS),
        lambda: {**(raw if type(raw) is dict else {}), "S": "x", "N": "1"},
        lambda: _DEEP,
    ]
    return dice.choice(ways)()


def _written(dice: Random, value: Any) -> str:
    """The value as JSON, as wide and as escaped as any writer might make it."""
    ascii_only = "\\ud" in repr(value) or dice.random() < 0.5  # half a character has no UTF-8
    text = json.dumps(value, ensure_ascii=ascii_only, indent=dice.choice([None, None, 0]))
    opening, core, closing = dice.choice(
        [('{"L":[', '{"N":"1"}', "]}"), ('{"M":{"a":', '{"S":"x"}', "}}"), ("[", "1", "]")]
    )
    levels = dice.choice([1, 31, 99, 100, 101, 150, 400, 3_000])
    return text.replace(f'"{_DEEP}"', opening * levels + core + closing * levels)


# -- replies ---------------------------------------------------------------------------------------


def a_reply(dice: Random, items: dict[str, str]) -> tuple[int, bytes]:
    """An answer to BatchGetItem that is DynamoDB's but for one thing, or another's altogether."""
    responses = [json.loads(text) for text in items.values()]
    reply: Any = {"Responses": {"config": responses}, "UnprocessedKeys": {}}
    how = dice.choice(["changed", "changed", "damaged", "any", "error", "error", "words"])
    status = 200
    if how == "changed":
        body = _body(_changed(dice, reply))
    elif how == "damaged":
        body = dice.choice(list(damaged(_body(reply) + b" " * dice.randrange(9))))
    elif how == "any":
        body = _body(_any_json(dice, 4))
    elif how == "words":
        words = [b"", b"<html>", b"\xff\xfe", b"{", b"null", b"[]", b"[" * 3_000, b"{}{}", b"1"]
        body = dice.choice(words)
    else:
        status = dice.choice([201, 204, 301, 302, 400, 400, 400, 403, 404, 407, 413, 429, 500, 503])
        # The log names an error's code, which quotes no item.
        body = _body(_an_error(dice)).replace(SECRET.encode(), b"code")
    return status, body


def _an_error(dice: Random) -> Any:
    codes: list[Any] = ["ThrottlingException", "ValidationException", "ResourceNotFoundException"]
    codes += ["ProvisionedThroughputExceededException", "AccessDeniedException", "a#b#c", ":", "#"]
    kind = dice.choice([*codes, *codes, _any_json(dice)])
    error = {"__type": kind, dice.choice(["message", "Message", "x"]): _any_json(dice)}
    return dice.choice([error, error, error, _any_json(dice, 3)])


def _changed(dice: Random, value: Any) -> Any:
    """The JSON value with one part replaced, dropped, doubled or renamed, at any depth."""
    if value and dice.random() < 0.75:
        if type(value) is dict:
            name = dice.choice(list(value))
            return {**value, name: _changed(dice, value[name])}
        if type(value) is list:
            at = dice.randrange(len(value))
            return [*value[:at], _changed(dice, value[at]), *value[at + 1 :]]
    if type(value) is dict and value and dice.random() < 0.6:
        name = dice.choice(list(value))
        rest = {other: value[other] for other in value if other != name}
        return rest if dice.random() < 0.5 else {**rest, dice.choice(NAMES): value[name]}
    return dice.choice([_any_json(dice), [value], {"config": value}, [value, value], None])


def _body(value: Any) -> bytes:
    return json.dumps(value).encode()


# -- the world -------------------------------------------------------------------------------------


class _Body:
    def __init__(self, body: bytes) -> None:
        self._body = body

    async def read(self) -> bytes:
        return self._body


class World:
    """One worker's pipeline. `answer` is what the network gives to its reads: status and body."""

    def __init__(self) -> None:
        self.answer: tuple[int, bytes] = (200, b"")
        self.log: list[str] = []
        self._harness: Harness

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Run within this context."""
        async with open_dynamo(Settings()) as (_, client):
            events: Any = client.meta.events
            events.register("before-send.dynamodb", self._send)
            store = ConfigStore(
                ConfigTable(client, "config", "key"),
                ttl=0,
                max_stale=0,
                size=100,
                max_bytes=10**7,
                monotonic=virtual_time.now,
            )
            async with store.running():
                self._harness = Harness(app, configs=store)
                yield

    async def run(self, handler: str, *keys: str) -> list[Outcome]:
        """Run a job with each of these configs at the same time."""
        started = [self._harness.start(handler, config=key, id=key) for key in keys]
        outcomes = [await self._harness.ended(claimed) for claimed in started]
        found = [outcome for outcome in outcomes if outcome is not None]
        assert len(found) == len(keys)
        return found

    def items(self, *texts: str) -> None:
        """Answer with these items."""
        body = f'{{"Responses":{{"config":[{",".join(texts)}]}},"UnprocessedKeys":{{}}}}'
        self.answer = 200, body.encode("utf-8", "surrogatepass")

    async def _send(self, request: Any, **_: Any) -> AioAWSResponse:
        status, body = self.answer
        return AioAWSResponse(request.url, status, HTTPHeaders(), _Body(body))


def _fate(outcome: Outcome, key: str) -> tuple[str, str]:
    """What became of a job, and the message of its error. Every job ends in one of three ways."""
    if outcome.op == "later":
        assert outcome.extra == outcome.raw, "no attempt is spent"
        return "postponed", ""
    result = result_of(outcome)
    if outcome.op == "finish":
        assert result["status"] == "succeeded"
        return "succeeded", ""
    assert outcome.reason in ("config_invalid", "config_missing"), (outcome.reason, result)
    message: str = result["error"]["message"]
    start = f"config {key!r}: " if outcome.reason == "config_invalid" else "there is no config"
    assert message.startswith(start), message
    assert SECRET not in message
    return outcome.reason, message.removeprefix(start)


GOOD = json.dumps({"key": {"S": "good"}, "a": {"N": "1"}, "s": {"S": SECRET}})


async def check_item(world: World, dice: Random) -> str:
    """Read one item beside a good one. Return what became of its job."""
    item = an_item(dice, "odd")
    handler = dice.choice(["show", "show", "typed"])
    texts = [item.text, GOOD]
    dice.shuffle(texts)
    world.items(*texts)
    odd, good = await world.run(handler, "odd", "good")
    assert _fate(good, "good")[0] == "succeeded"
    fate, why = _fate(odd, "odd")
    if item.seen is not None and "policy" not in item.seen and handler == "show":
        assert fate == "succeeded"
        assert result_of(odd)["result"] == json.loads(json.dumps(described(item.seen)))
    if fate == "config_invalid":
        names = [*Shop.model_fields, "policy"] if handler == "typed" else ["policy"]
        if item.spoilt is not None:
            names.append(_shown(item.spoilt))
        assert why.startswith(tuple(names)), (why, names)
    return fate


async def check_reply(world: World, dice: Random) -> str:
    """Read two items by one reply. Return what became of the first one's job."""
    items = {"k": GOOD.replace("good", "k"), "l": GOOD.replace("good", "l")}
    world.answer = a_reply(dice, items)
    fates = [
        _fate(outcome, key)[0]
        for outcome, key in zip(await world.run("show", *items), items, strict=True)
    ]
    await asyncio.sleep(_FORGOTTEN)
    world.items(*items.values())
    for outcome in await world.run("show", *items):
        assert _fate(outcome, "")[0] == "succeeded", "the worker goes on"
    return fates[0]


CHECKS = {"items": check_item, "replies": check_reply}


def fuzz(kind: str, examples: int, seed: int, *, tell: bool = False) -> Counter[str]:
    """Try so many items or replies, the same for the same seed; count what became of the jobs."""
    seen: Counter[str] = Counter()
    lines: list[str] = []

    async def main() -> None:
        world = World()
        began = time.monotonic()
        async with world.running():
            for number in range(examples):
                dice = Random(f"{seed} {kind} {number}")
                try:
                    seen[await CHECKS[kind](world, dice)] += 1
                except BaseException as error:
                    error.add_note(f"{kind}, seed {seed}, example {number}: {world.answer}")
                    raise
                assert SECRET not in "".join(lines)
                lines.clear()
                if tell and ((number + 1) % 10_000 == 0 or number + 1 == examples):
                    rate = f"{(number + 1) / (time.monotonic() - began):,.0f} a second"
                    print(f"{number + 1:>9,} {kind}, {rate}: {dict(seen)}", flush=True)  # noqa: T201

    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("worker")
    logger.addHandler(handler)
    try:
        with patch.dict(os.environ, _ENVIRONMENT):
            virtual_time.run(main())
    finally:
        logger.removeHandler(handler)
    return seen


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=list(CHECKS))
    parser.add_argument("--examples", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    logging.getLogger("worker").propagate = False
    fuzz(given.kind, given.examples, given.seed, tell=True)
