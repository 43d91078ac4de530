"""Replies are read item by item, and what is not DynamoDB's is refused."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.config.fakes import each
from worker.config.reply import NotDynamo, batch_reply, get_reply, replaced_reply, scan_reply
from worker.jobs.stored_attributes import StoredAttributes

pytestmark = pytest.mark.once


def body(*items: Any, **more: Any) -> bytes:
    reply = {"Responses": {"config": list(items)}, "UnprocessedKeys": {}, **more}
    return json.dumps(reply).encode()


def deep(levels: int, around: str = '{"L":[%s]}') -> str:
    before, after = around.split("%s")
    return before * levels + '{"N":"1"}' + after * levels


def keep(raw: dict[str, Any], text: str) -> StoredAttributes:
    return StoredAttributes(text, raw)


def test_items_come_with_their_own_text() -> None:
    reply = b' {"Responses" : {"config": [ {"a": {"S":"x"}} , {"b":{"N":"1"}}], "other": [{}]},'
    reply += (
        b'"UnprocessedKeys":{"config":{"Keys":[{"key":{"S":"k"}}]}}, "ConsumedCapacity": [1]}\n'
    )
    items, unprocessed = batch_reply(reply, "config", lambda raw, text: (raw, text))
    assert items == [
        ({"a": {"S": "x"}}, '{"a": {"S":"x"}}'),
        ({"b": {"N": "1"}}, '{"b":{"N":"1"}}'),
    ]
    assert unprocessed == [{"key": {"S": "k"}}]


@pytest.mark.parametrize("levels", [50, 101, 300, 470, 1_000, 20_000])
@pytest.mark.parametrize("around", ['{"L":[%s]}', '{"M":{"\\"]}":%s}}', '{"L":[{"S":"[[["},%s]}'])
def test_an_item_nested_too_deeply_harms_no_other(levels: int, around: str) -> None:
    item = '{"key":{"S":"k"},"limits":' + deep(levels, around) + ',"b":{"S":"]}"}}'
    reply = '{"Responses":{"config":[{"a":{"S":"x"}},%s,{"a":{"S":"y"}}]},"UnprocessedKeys":{}}'
    (first, deeply, last), _ = batch_reply((reply % item).encode(), "config", keep)
    assert (first.plain, last.plain) == ({"a": "x"}, {"a": "y"})
    assert deeply.text == item
    if levels < 100:
        assert deeply.problem is None
    else:
        assert deeply.problem is not None
        assert deeply.problem.startswith("limits")
        assert deeply.problem.endswith("nested more than 100 levels deep")


@pytest.mark.parametrize("value", ["1" * 5_000, "-" + "1" * 5_000, "1e999", "NaN", "Infinity"])
def test_a_number_that_python_refuses_harms_no_other_item(value: str) -> None:
    reply = '{"Responses":{"config":[{"a":{"N":%s}},{"a":{"S":"y"}}]},"UnprocessedKeys":{}}'
    (bad, good), _ = batch_reply((reply % value).encode(), "config", keep)
    assert bad.problem == "a: not a number that DynamoDB can hold"
    assert good.plain == {"a": "y"}


NOT_DYNAMO: list[bytes] = [
    *(
        b"",
        b" ",
        b"null",
        b"[]",
        b'"x"',
        b"5",
        b"true",
        b"<html></html>",
        b"\xff\xfe{}",
        b"{",
        b"{}",
    ),
    *(b'{"Responses"', b'{"Responses":', b'{"Responses":{}', b'{"Responses":{"config":[', b"{5:5}"),
    *(
        b'{"hello":"from a captive portal"}',
        body() + b"{}",
        body() + b"x",
        b"\xef\xbb\xbf" + body(),
    ),
    *(body(Responses=value) for value in each(None, [], "x", 5, True, {"config": None})),
    *(body(Responses={"config": value}) for value in each(None, {}, "x", 5, True)),
    *(body(item) for item in each(None, [], "x", 5, True)),
    *(body(UnprocessedKeys=value) for value in each(None, [], "x", 5, True)),
    json.dumps({"Responses": {"config": []}}).encode(),
    json.dumps({"UnprocessedKeys": {}}).encode(),
]


@pytest.mark.parametrize("reply", NOT_DYNAMO)
def test_what_is_not_dynamodbs_is_refused(reply: bytes) -> None:
    with pytest.raises(NotDynamo):
        batch_reply(reply, "config", keep)


@settings(max_examples=60, deadline=None)
@given(
    st.binary()
    | st.text().map(str.encode)
    | st.dictionaries(st.text(), st.none()).map(lambda value: json.dumps(value).encode())
)
def test_no_body_is_taken_for_dynamodbs_by_chance(reply: bytes) -> None:
    with pytest.raises(NotDynamo):
        batch_reply(reply, "config", keep)


def test_the_reply_of_a_get_has_an_item_or_nothing() -> None:
    assert get_reply(b"{}", keep) is None
    item = get_reply(b'{"Item":{"a":{"S":"x"}},"ConsumedCapacity":{}}', keep)
    assert item is not None
    assert item.plain == {"a": "x"}
    for reply in (b"", b"[]", b'{"hello":1}', b'{"Item":[]}', b'{"Item":null}', b"{}{}"):
        with pytest.raises(NotDynamo):
            get_reply(reply, keep)


def test_the_reply_of_a_write_has_the_item_that_it_replaced() -> None:
    assert replaced_reply(b"{}", keep) is None
    replaced = replaced_reply(b'{"Attributes":{"a":{"S":"x"}}}', keep)
    assert replaced is not None
    assert replaced.plain == {"a": "x"}
    deepest = replaced_reply(('{"Attributes":{"a":' + deep(5_000) + "}}").encode(), keep)
    assert deepest is not None
    assert deepest.problem
    for reply in (b"", b"[]", b"null", b'{"hello":1}'):
        with pytest.raises(NotDynamo):
            replaced_reply(reply, keep)


def test_the_reply_of_a_scan_is_a_page() -> None:
    reply = b'{"Count":1,"Items":[{"a":{"S":"x"}}],"LastEvaluatedKey":{"key":{"S":"k"}}}'
    items, last = scan_reply(reply, keep)
    assert [item.plain for item in items] == [{"a": "x"}]
    assert last == {"key": {"S": "k"}}
    assert scan_reply(b'{"Items":[]}', keep) == ([], None)
    for reply in (b"", b"[]", b"{}", b'{"Items":null}', b'{"Items":{}}', b'{"Items":[5]}'):
        with pytest.raises(NotDynamo):
            scan_reply(reply, keep)
