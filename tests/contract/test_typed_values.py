"""A payload and a config are validated into a handler's types as the JSON that they are."""

import time
from decimal import Decimal
from typing import Any

import anyio
import pytest

from tests.support.worker_process import Shared
from worker import Client, Malformed, Settings

pytestmark = pytest.mark.once

APP = "tests.apps.values:app"
IN_PROCESS = True
SETTINGS = {"max_attempts": 1, "config_invalid": "bury"}
UUID = "f6fb14ff-728c-4e1e-bf31-8d5f2478ab72"
LONG = "0.12345678901234567890123456789"

ORDER = {
    "id": UUID,
    "when": "2026-11-01T10:00:00Z",
    "day": "2026-11-01",
    "colour": "red",
    "tags": ["a", "b", "a"],
    "pair": [1, "x"],
    "lines": [{"sku": "s", "price": 1.5}, {"sku": "t", "price": "2.50"}],
    "place": {"at": [1.5, 2]},
    "wait": "PT5S",
    "ids": [UUID],
    "by_number": {"1": "one"},
}


# -- payloads --------------------------------------------------------------------------------------


def test_a_strict_model_takes_what_its_json_means(shared: Shared) -> None:
    assert shared.producer.run("order", ORDER)["result"] == {
        "id": f"UUID {UUID}",
        "when": "datetime 2026-11-01 10:00:00+00:00",
        "day": "date 2026-11-01",
        "colour": "Colour Colour.RED",
        "tags": "set of 'str a', 'str b'",
        "pair": "tuple of 'int 1', 'str x'",
        "lines": "list of {'sku': 'str s', 'price': 'Decimal 1.5'}, "
        "{'sku': 'str t', 'price': 'Decimal 2.50'}",
        "place": {"at": "tuple of 'float 1.5', 'float 2.0'"},
        "wait": "timedelta 0:00:05",
        "ids": f"frozenset of 'UUID {UUID}'",
        "by_number": {"1": "str one"},
    }


@pytest.mark.parametrize(
    ("handler", "payload", "result"),
    [
        (
            "payment",
            {"kind": "card", "number": UUID},
            {"kind": "str card", "number": f"UUID {UUID}"},
        ),
        ("payment", {"kind": "cash", "amount": 5}, {"kind": "str cash", "amount": "Decimal 5"}),
        ("uuid", UUID, f"UUID {UUID}"),
        ("moment", "2026-11-01T10:00:00Z", "datetime 2026-11-01 10:00:00+00:00"),
        ("moment", "soon", "str soon"),
        ("triple", [1, "x", "green"], "tuple of 'int 1', 'str x', 'Colour Colour.GREEN'"),
        ("strict_number", 5, "int 5"),
        ("strict_number", 10**30, f"int {10**30}"),
        ("untyped", {"a": [1, 1.5, None, "x"]}, {"a": [1, 1.5, None, "x"]}),
    ],
)
def test_types_that_json_has_not(shared: Shared, handler: Any, payload: Any, result: Any) -> None:
    assert shared.producer.run(handler, payload)["result"] == result


@pytest.mark.parametrize(
    ("handler", "payload", "attribute"),
    [
        ("order", {**ORDER, "id": "x"}, "id: "),
        ("order", {**ORDER, "pair": [1]}, "pair.1: "),
        ("order", {**ORDER, "pair": ["1", "x"]}, "pair.0: "),
        ("order", {**ORDER, "colour": "blue"}, "colour: "),
        ("order", {**ORDER, "day": "soon"}, "day: "),
        ("order", {**ORDER, "lines": [{"sku": 5, "price": 1}]}, "lines.0.sku: "),
        ("payment", {"kind": "cheque"}, "the whole: "),
        ("payment", {"kind": "card", "number": 5}, "card.number: "),
        ("strict_number", "5", "the whole: "),
        ("strict_number", 5.5, "the whole: "),
        ("strict_number", True, "the whole: "),
    ],
)
def test_a_strict_type_is_still_strict(
    shared: Shared, handler: Any, payload: Any, attribute: Any
) -> None:
    result = shared.producer.run(handler, payload)
    assert result["error"]["type"] == "PayloadInvalid"
    assert result["error"]["message"].startswith(attribute)


# -- configs ---------------------------------------------------------------------------------------


def with_config(shared: Shared, handler: str, **attributes: Any) -> Any:
    key = f"key-{time.monotonic_ns()}"
    shared.table.put(key, **attributes)
    result = shared.producer.run(handler, config=key)
    return result["result"] if result["status"] == "succeeded" else result["error"]["message"]


@pytest.mark.parametrize("handler", ["loose", "exact"])
@pytest.mark.parametrize("digits", ["1.5", "0.1", LONG, "1e-120", "12345678901234567890.5", "7"])
def test_a_decimal_is_exact(shared: Shared, handler: Any, digits: Any) -> None:
    name = {"loose": "exact", "exact": "price"}[handler]
    shown = with_config(shared, handler, **{name: Decimal(digits)})[name]
    kind, _, text = shown.partition(" ")
    assert (kind, Decimal(text)) == ("Decimal", Decimal(digits))


@pytest.mark.parametrize("name", ["json_value", "anything", "either", "not_declared"])
@pytest.mark.parametrize(
    ("number", "shown"),
    [
        ("3", "int 3"),
        ("3.0", "int 3"),
        ("1e20", f"int {10**20}"),
        ("-7", "int -7"),
        ("1.5", "float 1.5"),
        ("0.1", "float 0.1"),
        (LONG, "float 0.12345678901234568"),
    ],
)
def test_where_no_decimal_is_asked_for_numbers_are_int_or_float(
    shared: Shared, name: Any, number: Any, shown: Any
) -> None:
    assert with_config(shared, "loose", **{name: Decimal(number)})[name] == shown
    both = with_config(shared, "loose", **{name: Decimal(number)}, exact=Decimal(LONG))
    assert both == {"exact": f"Decimal {LONG}", name: shown}


def test_containers_of_anything_hold_int_or_float(shared: Shared) -> None:
    inner = {
        "n": Decimal("1.5"),
        "list": [Decimal(1), {"deep": Decimal(2)}],
        "on": True,
        "no": None,
    }
    expected = {
        "n": "float 1.5",
        "list": "list of 'int 1', {'deep': 'int 2'}",
        "on": "bool True",
        "no": "NoneType None",
    }
    for name in ("json_value", "anything", "table", "not_declared"):
        assert with_config(shared, "loose", **{name: inner})[name] == expected
    assert with_config(shared, "exact", price=1, more=inner)["more"] == expected


@pytest.mark.parametrize("name", ["json_value", "anything"])
def test_a_set_is_a_list_where_no_set_is_asked_for(shared: Shared, name: Any) -> None:
    numbers = {Decimal(2), Decimal(1)}
    assert with_config(shared, "loose", **{name: numbers})[name] == "list of 'int 1', 'int 2'"
    assert with_config(shared, "loose", unique=numbers)["unique"] == "set of 'int 1', 'int 2'"


def test_int_and_float_take_any_number_that_they_hold(shared: Shared) -> None:
    shown = with_config(shared, "loose", whole=Decimal("5.0"), fraction=Decimal(5))
    assert shown == {"whole": "int 5", "fraction": "float 5.0"}
    assert with_config(shared, "loose", whole=Decimal("5.5")).count("whole: ") == 1
    assert with_config(shared, "loose", fraction=Decimal(LONG))["fraction"].startswith("float ")


def test_a_strict_config_takes_what_dynamodb_holds(shared: Shared) -> None:
    item = {
        "price": Decimal(LONG),
        "rates": [Decimal("0.5"), Decimal(2), Decimal(LONG)],
        "count": Decimal("3.0"),
        "share": Decimal(1),
        "id": UUID,
        "since": "2026-11-01T10:00:00Z",
        "colour": "red",
        "tags": {"b", "a"},
    }
    expected = {
        "price": f"Decimal {LONG}",
        "rates": f"list of 'Decimal 0.5', 'Decimal 2', 'Decimal {LONG}'",
        "count": "int 3",
        "share": "float 1.0",
        "id": f"UUID {UUID}",
        "since": "datetime 2026-11-01 10:00:00+00:00",
        "colour": "Colour Colour.RED",
        "tags": "set of 'str a', 'str b'",
    }
    shown = with_config(shared, "exact", **item)
    assert shown == expected
    # Binary, which JSON can't hold, changes nothing for the rest.
    assert with_config(shared, "exact", **item, logo=b"\xff\x00")["logo"] == "bytes b'\\xff\\x00'"
    assert set(with_config(shared, "exact", **item, logo=b"\xff\x00")) == {*expected, "logo"}


@pytest.mark.parametrize("price", [Decimal(1), Decimal(LONG)])
def test_a_strict_config_is_still_strict(shared: Shared, price: Any) -> None:
    for wrong in ({"count": "3"}, {"count": Decimal("1.5")}, {"share": "x"}, {"tags": "a"}):
        message = with_config(shared, "exact", price=price, **wrong)
        (name,) = wrong
        assert f": {name}: " in message, message


@pytest.mark.parametrize("logo", [b"PNG", b"\xff\xfe", b"", "PNG"])
def test_binary_is_bytes(shared: Shared, logo: Any) -> None:
    shown = with_config(shared, "loose", logo=logo, whole=1).get("logo")
    assert shown == (
        f"bytes {logo if isinstance(logo, bytes) else logo.encode()!r}" if logo else None
    )


def test_other_shapes_of_config(shared: Shared) -> None:
    assert with_config(shared, "prices", a=Decimal(LONG), b=Decimal(2)) == {
        "a": f"Decimal {LONG}",
        "b": "Decimal 2",
    }
    assert with_config(shared, "any_json", a=Decimal("1.5"), b=[Decimal(2)]) == {"a": 1.5, "b": [2]}
    assert with_config(shared, "rate", limit=Decimal(3), burst=Decimal(LONG)) == {
        "limit": "int 3",
        "burst": f"Decimal {LONG}",
    }
    assert with_config(shared, "pay_by", kind="cash", amount=Decimal(LONG)) == {
        "kind": "str cash",
        "amount": f"Decimal {LONG}",
    }
    assert with_config(shared, "pay_by", kind="card", number=UUID)["number"] == f"UUID {UUID}"


@pytest.mark.parametrize(
    "policy",
    [{"timeout": True}, {"timeout": "5"}, {"max_attempts": "3"}, {"backoff": {"base": True}}],
)
def test_a_policy_takes_numbers_only(shared: Shared, policy: Any) -> None:
    message = with_config(shared, "untyped", policy=policy)
    assert "policy." in message
    assert "must be a number" in message


# -- numbers of other producers --------------------------------------------------------------------


@pytest.mark.parametrize("time_ms", ["1.7e12", "1.7e+12", "1700000000000.0"])
def test_times_written_as_floats_are_integers(shared: Shared, time_ms: Any) -> None:
    job_id = f"float-{time.monotonic_ns()}"
    shared.r.lpush(
        "jobs",
        f'{{"id":"{job_id}","handler":"untyped","enqueued_at":{time_ms},"expires_at":9e15,'
        '"attempts":0.0,"crashes":0.0}',
    )
    result = shared.producer.result(job_id)
    assert (result["status"], result["attempts"]) == ("succeeded", 1)
    assert result["enqueued_at"] == 1_700_000_000_000
    assert type(result["enqueued_at"]) is int


def test_an_expiry_in_seconds_says_so(shared: Shared) -> None:
    result = shared.producer.run("untyped", expires_at=int(time.time()) + 3600)
    assert (result["status"], result["error"]["type"]) == ("expired", "Expired")
    assert "looks like seconds" in result["error"]["message"]
    assert shared.producer.run("untyped", expires_at=1)["error"] is None


@pytest.mark.parametrize("ahead_ms", [0, 3, 900, 60_000])
def test_a_job_of_the_future_shows_no_negative_wait(shared: Shared, ahead_ms: Any) -> None:
    seconds, micros = shared.r.time()
    result = shared.producer.run("untyped", enqueued_at=seconds * 1000 + micros // 1000 + ahead_ms)
    assert result["enqueued_at"] <= result["started_at"] <= result["finished_at"]


def test_a_job_with_a_byte_order_mark_runs_and_goes_on(shared: Shared) -> None:
    job_id = f"bom-{time.monotonic_ns()}"
    shared.r.lpush("jobs", f'\ufeff{{"id":"{job_id}","handler":"untyped","payload":"ü"}}')
    assert shared.producer.result(job_id)["result"] == "ü"


def test_the_client_pushes_integers_that_older_workers_take(shared: Shared) -> None:
    async def push() -> None:
        async with Client(Settings(redis_url=shared.redis_server.url)) as client:
            await client.enqueue("h", queue="idle", expires_at=1.7e12)  # type: ignore[call-overload]
            fields = {"enqueued_at": 1.7e12, "attempts": 1.0, "payload": 2.0}
            await client.enqueue_many([{"handler": "h", **fields}], queue="idle")
            with pytest.raises(Malformed, match="expires_at must be an integer"):
                await client.enqueue("h", queue="idle", expires_at=1.5)  # type: ignore[call-overload]

    anyio.run(push)
    many, one = shared.r.lrange("idle", 0, -1)
    assert '"expires_at":1700000000000,' in one
    assert '"enqueued_at":1700000000000,"attempts":1,"payload":2.0' in many
