"""Section 2 of the contract: what a job knows of its config item."""

import json
import time
from collections.abc import Callable
from decimal import Decimal
from functools import partial
from typing import Any

import pytest

from tests.support.dynamo_proxy import DynamoProxy
from tests.support.producer import Producer
from tests.support.servers import DynamoServer
from tests.support.table import Table
from tests.support.waiting import wait_until
from tests.support.worker_process import Shared, StartWorker

pytestmark = pytest.mark.once

APP = "tests.apps.config:app"
IN_PROCESS = True
SETTINGS = {
    "timeout": 0.1,
    "max_attempts": 2,
    "backoff_base": 0.01,
    "backoff_max": 0.02,
    "result_ttl": 1_000,
    "config_invalid": "bury",
    "config_ttl": 0.5,
}


@pytest.fixture
def through_proxy(start_worker: StartWorker, dynamo_proxy: DynamoProxy) -> Callable[..., Any]:
    """Start a worker whose reads go through the proxy, which has counted nothing yet."""

    def start(*flags: str, **settings: object) -> Any:
        env = {"AWS_ENDPOINT_URL_DYNAMODB": dynamo_proxy.url}
        worker = start_worker(*flags, app=APP, env=env, **settings)
        dynamo_proxy.clear()
        return worker

    return start


# -- what the handler gets ----------------------------------------------------------------------


def test_the_config_is_the_item_without_its_key_and_policy(shared: Shared) -> None:
    shared.table.put("k1", url="u", policy={"timeout": 9}, version=2)
    assert shared.producer.run("show", config="k1")["result"] == {"url": "u", "version": 2}


def test_get_config_gives_the_whole_item_or_an_empty_dict(shared: Shared) -> None:
    item = {"url": "u", "policy": {"timeout": 9}, "n": Decimal("1.5")}
    shared.table.put("k2", **item)
    expected = {"key": "k2", "url": "u", "policy": {"timeout": 9}, "n": 1.5}
    assert shared.producer.run("whole", "k2")["result"] == [expected] * 3
    assert shared.producer.run("whole", "nothing there")["result"] == [{}] * 3


def test_get_config_refuses_what_can_be_no_key_and_troubles_nobody_else(shared: Shared) -> None:
    for key in ("", "ü" * 1025):
        result = shared.producer.run("whole", key)
        assert (result["status"], result["error"]["type"]) == ("failed", "ValueError")
    assert "Config can't be read" not in shared.worker.log


def test_numbers_are_int_or_float_in_a_plain_dict(shared: Shared) -> None:
    shared.table.put(
        "numbers",
        whole=Decimal(3),
        round=Decimal("3.0"),
        large=Decimal("1E+30"),
        fraction=Decimal("0.1"),
        nested={"list": [Decimal("2.50"), {"n": Decimal(7)}]},
    )
    assert shared.producer.run("kinds", config="numbers")["result"] == {
        "whole": "int",
        "round": "int",
        "large": "int",
        "fraction": "float",
        "nested": "dict",
    }
    shown = shared.producer.run("show", config="numbers")["result"]
    assert shown["nested"] == {"list": [2.5, {"n": 7}]}
    assert (shown["fraction"], shown["large"]) == (0.1, 10**30)


def test_a_typed_config_is_validated_from_the_exact_decimal(shared: Shared) -> None:
    price = Decimal("0.12345678901234567890123456789")
    shared.table.put("exact", price=price, count=Decimal(7), rates=[Decimal("0.5"), Decimal(2)])
    result = shared.producer.run("shop", config="exact")
    assert result["result"] == {"price": str(price), "count": 7, "rates": [0.5, 2.0]}


def test_binary_attributes_are_bytes_in_typed_configs(shared: Shared) -> None:
    shared.table.put("logo", price=1, logo=b"PNG")
    assert shared.producer.run("logo", config="logo")["result"] == "PNG"


@pytest.mark.parametrize(("handler", "expected"), [("typed", 4), ("plain", 4)])
def test_configs_may_be_typed_dicts_and_dataclasses(
    shared: Shared, handler: str, expected: Any
) -> None:
    shared.table.put("a4", a=Decimal(4))
    assert shared.producer.run(handler, config="a4")["result"] == expected


def test_what_a_handler_does_to_its_config_stays_its_own(shared: Shared) -> None:
    shared.table.put("scribble", list=["a"])
    expected = {"list": ["a", "scribbled"], "more": True}
    for _ in range(2):
        assert shared.producer.run("scribble")["result"] == expected
    assert shared.producer.run("show", config="scribble")["result"] == {"list": ["a"]}


# -- which item ---------------------------------------------------------------------------------


def test_the_default_config_is_the_item_under_the_handlers_name_or_else_empty(
    shared: Shared,
) -> None:
    assert shared.producer.run("show")["result"] == {}
    shared.table.put("kinds", a="b")
    assert shared.producer.run("kinds")["result"] == {"a": "str"}


def test_a_config_that_a_job_names_must_exist(shared: Shared) -> None:
    result = shared.producer.run("show", config="missing")
    entry = shared.producer.dead_entry(result["id"])
    assert entry["reason"] == "config_missing"
    assert "'missing'" in entry["error"]["message"]
    assert (entry["attempts"], result["attempts"], result["status"]) == (0, 0, "failed")
    assert result["config"] is None


def test_a_missing_config_that_is_added_is_seen_at_once_by_a_job_that_waits_or_is_new(
    start_worker: StartWorker, producer: Producer, table: Table
) -> None:
    start_worker(app=APP, config_ttl=60)
    for n in range(2):
        key = f"added-{n}"
        waiting = producer.push("show", config=key)
        wait_until(lambda: producer.r.zcard("{jobs}:scheduled"))
        table.put(key, n=n)
        assert producer.run("show", config=key)["result"] == {"n": n}
        assert producer.result(waiting)["result"] == {"n": n}


def test_a_job_that_is_retried_after_its_config_was_added_succeeds(
    start_worker: StartWorker, producer: Producer, table: Table
) -> None:
    start_worker(app=APP, config_ttl=2)
    result = producer.run("show", config="added")
    assert producer.dead_entry(result["id"])["reason"] == "config_missing"
    table.put("added", n=1)
    assert producer.run("show", config="added")["result"] == {"n": 1}


def test_nothing_is_buried_as_missing_before_one_time_to_live_has_passed(
    start_worker: StartWorker, producer: Producer
) -> None:
    start_worker(app=APP, config_ttl=3)
    began = time.monotonic()
    result = producer.run("show", config="missing")
    assert time.monotonic() - began >= 2.9
    entry = producer.dead_entry(result["id"])
    assert (entry["reason"], entry["attempts"]) == ("config_missing", 0)


def test_naming_the_handlers_own_name_is_naming_a_config(shared: Shared) -> None:
    result = shared.producer.run("plain", config="plain")
    assert shared.producer.dead_entry(result["id"])["reason"] == "config_missing"
    assert shared.producer.run("plain")["result"] == 3


def test_an_absence_is_believed_after_a_consistent_read_only(
    through_proxy: StartWorker, dynamo_proxy: DynamoProxy, producer: Producer, table: Table
) -> None:
    through_proxy()
    table.put("new", a=1)

    def miss(target: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        if body["RequestItems"]["config"].get("ConsistentRead"):
            return None
        return 200, {"Responses": {"config": []}, "UnprocessedKeys": {}}

    dynamo_proxy.respond = miss
    assert producer.run("show", config="new")["result"] == {"a": 1}
    reads = [body["RequestItems"]["config"] for _, body in dynamo_proxy.requests]
    assert [read.get("ConsistentRead", False) for read in reads] == [False, True]


def test_an_unknown_handler_reads_nothing(
    through_proxy: StartWorker, dynamo_proxy: DynamoProxy, producer: Producer
) -> None:
    through_proxy(max_attempts=1)
    assert producer.run("nobody", config="k")["status"] == "failed"
    assert dynamo_proxy.requests == []


def test_the_tables_name_and_its_keys_name_are_settings(
    start_worker: StartWorker, session_dynamo: DynamoServer, producer: Producer
) -> None:
    table = Table(session_dynamo, name="tenants", key="tenant").create()
    table.put("acme", key="an attribute like any other")
    start_worker(app=APP, config_table="tenants", config_key="tenant")
    assert producer.run("show", config="acme")["result"] == {"key": "an attribute like any other"}
    assert producer.run("whole", "acme")["result"][0]["tenant"] == "acme"
    table.drop()
    table.close()


# -- what can't be used -------------------------------------------------------------------------


def invalid(shared: Shared, handler: str, **attributes: Any) -> str:
    """The message with which a job with such an item is buried."""
    key = f"bad-{time.monotonic_ns()}"
    shared.table.put(key, **attributes)
    result = shared.producer.run(handler, config=key)
    entry = shared.producer.dead_entry(result["id"])
    assert entry["reason"] == "config_invalid"
    assert (entry["error"], entry["attempts"]) == (result["error"], 0)
    assert result["config"]["key"] == key
    message: str = entry["error"]["message"]
    assert key in message
    return message.removeprefix(f"config {key!r}: ")


def test_an_item_that_fails_the_handlers_type_says_which_attribute_and_quotes_none(
    shared: Shared,
) -> None:
    message = invalid(shared, "secret", token="hunter2", mode="hunter3")
    assert "token: " in message
    assert "mode: " in message
    assert "hunter" not in message
    assert "hunter" not in shared.worker.log


@pytest.mark.parametrize("code", ["hunter2", "bug"])
def test_what_a_validator_of_the_users_own_raises_buries_the_job_and_quotes_nothing(
    shared: Shared, code: str
) -> None:
    assert code not in invalid(shared, "picky", code=code)


def test_a_typed_config_with_no_item_is_validated_from_an_empty_one(shared: Shared) -> None:
    result = shared.producer.run("shop")
    entry = shared.producer.dead_entry(result["id"])
    assert entry["reason"] == "config_invalid"
    assert "price: Field required" in entry["error"]["message"]


@pytest.mark.parametrize(
    ("policy", "attribute"),
    [
        ({"timeout": "soon"}, "policy.timeout: "),
        ({"timeout": 0}, "policy.timeout: "),
        ({"timeout": {"s": 3}}, "policy.timeout: "),
        ({"max_attempts": 0}, "policy.max_attempts: "),
        ({"max_attempts": Decimal("1.5")}, "policy.max_attempts: "),
        ({"result_ttl": -1}, "policy.result_ttl: "),
        ({"timout": 3}, "policy.timout: "),
        ({"backoff": 3}, "policy.backoff: "),
        ({"backoff": {"base": -1}}, "policy.backoff.base: "),
        ({"backoff": {"factor": Decimal("0.5")}}, "policy.backoff.factor: "),
        ({"backoff": {"most": 3}}, "policy.backoff.most: "),
        ("fast", "policy: "),
        ([], "policy: "),
    ],
)
def test_a_bad_policy_says_which_attribute_is_wrong(
    shared: Shared, policy: Any, attribute: str
) -> None:
    assert invalid(shared, "show", policy=policy).startswith(attribute)


@pytest.mark.parametrize("version", [b"\xff", {"b", "a"}, {"n": [1, b"x"]}, "v1", Decimal("1.5")])
def test_a_version_of_any_type_is_in_the_result(shared: Shared, version: Any) -> None:
    key = f"version-{time.monotonic_ns()}"
    shared.table.put(key, version=version)
    first = shared.producer.run("kept", config=key)
    assert first["status"] == "succeeded"
    told = {bytes: "_w==", set: ["a", "b"], dict: {"n": [1, "eA=="]}, str: "v1", Decimal: 1.5}
    assert first["config"]["version"] == told[type(version)]


def test_the_digest_of_an_item_is_the_same_in_every_process(
    shared: Shared, start_worker: StartWorker, producer: Producer, table: Table
) -> None:
    item = {"tags": {f"tag-{n}" for n in range(20)}, "map": {"b": 1, "a": {"d": 1, "c": b"x"}}}
    for where in (shared.table, table):
        where.put("digest", **item)
    start_worker(app=APP)
    here, there = (p.run("kept", config="digest")["config"] for p in (shared.producer, producer))
    assert here == there


# -- the policy ---------------------------------------------------------------------------------


def with_policy(shared: Shared, handler: str, **policy: Any) -> dict[str, Any]:
    key = f"policy-{time.monotonic_ns()}"
    shared.table.put(key, policy=policy)
    return shared.producer.run(handler, config=key)


def test_max_attempts_are_the_items_or_the_decorators_or_the_settings(shared: Shared) -> None:
    assert shared.producer.run("again")["attempts"] == 2
    assert shared.producer.run("thrice")["attempts"] == 3
    assert with_policy(shared, "thrice", max_attempts=4)["attempts"] == 4
    assert with_policy(shared, "again", max_attempts=1)["attempts"] == 1


def test_the_time_limit_is_the_items_or_the_decorators_or_the_settings(shared: Shared) -> None:
    def limit(result: dict[str, Any]) -> str:
        assert result["error"]["type"] == "Timeout"
        return str(result["error"]["message"]).rpartition("time limit of ")[2]

    assert limit(shared.producer.run("slow")) == "0.1 s"
    assert limit(shared.producer.run("slow_by_decorator")) == "0.2 s"
    item = with_policy(shared, "slow_by_decorator", timeout=Decimal("0.3"), max_attempts=1)
    assert limit(item) == "0.3 s"
    assert 290 <= item["finished_at"] - item["started_at"] < 2_000


def test_a_results_time_to_live_is_the_items_or_the_decorators_or_the_settings(
    shared: Shared,
) -> None:
    def seconds(result: dict[str, Any]) -> float:
        return round(shared.r.pttl(f"{{jobs}}:result:{result['id']}") / 1000, -2)

    assert seconds(shared.producer.run("kept")) == 1_000
    assert seconds(shared.producer.run("kept_by_decorator")) == 2_000
    assert seconds(with_policy(shared, "kept_by_decorator", result_ttl=3_000)) == 3_000


def test_the_backoff_is_the_items_or_the_decorators_or_the_settings(shared: Shared) -> None:
    def waits_for_long(job_id: str) -> bool:
        waiting: Any = shared.r.zrange("{jobs}:scheduled", 0, -1, withscores=True)
        return any(job_id in raw and due > time.time() * 1000 + 10_000 for raw, due in waiting)

    shared.table.put("patient", policy={"backoff": {"base": 10**6, "max": 10**6}})
    shared.table.put("none of it", a=1)
    shared.table.put("hasty", policy={"backoff": {"max": Decimal("0.02")}})
    assert shared.producer.run("again")["attempts"] == 2
    assert shared.producer.run("patient", config="hasty")["attempts"] == 2
    for job_id in (
        shared.producer.push("again", config="patient"),
        shared.producer.push("patient", config="none of it"),
    ):
        wait_until(partial(waits_for_long, job_id))
    shared.r.delete("{jobs}:scheduled")


@pytest.mark.parametrize(
    "policy",
    [
        {"timeout": Decimal("1E+100")},
        {"result_ttl": Decimal("1E+100")},
        {"backoff": {"max": Decimal("1E+100"), "base": 10**30}},
    ],
)
def test_a_huge_limit_is_no_limit(shared: Shared, policy: Any) -> None:
    key = f"huge-{time.monotonic_ns()}"
    shared.table.put(key, policy=policy)
    assert shared.producer.run("kept", config=key)["status"] == "succeeded"
    job_id = shared.producer.push("again", config=key)
    result = f"{{jobs}}:result:{job_id}"
    wait_until(lambda: shared.r.zcard("{jobs}:scheduled") or shared.r.exists(result))
    shared.r.delete("{jobs}:scheduled")
    assert shared.producer.run("kept")["status"] == "succeeded"


# -- how often it is read -----------------------------------------------------------------------


def test_an_edit_takes_effect_within_the_time_to_live(
    start_worker: StartWorker, producer: Producer, table: Table
) -> None:
    table.put("edited", a=1)
    start_worker(app=APP, config_ttl=0.5)
    assert producer.run("show", config="edited")["result"] == {"a": 1}
    table.put("edited", a=2)
    table.put("show", a=3)
    time_is_up = time.monotonic() + 0.5
    wait_until(lambda: time.monotonic() > time_is_up)
    assert producer.run("show", config="edited")["result"] == {"a": 2}
    assert producer.run("show")["result"] == {"a": 3}


def test_within_its_time_to_live_an_item_is_read_once(
    through_proxy: StartWorker, dynamo_proxy: DynamoProxy, producer: Producer, table: Table
) -> None:
    table.put("k", a=1)
    through_proxy(config_ttl=60)
    for _ in range(5):
        producer.run("show", config="k")
        producer.run("show")
        producer.run("whole", "k")
    assert sorted(dynamo_proxy.keys()) == ["k", "show", "whole"]


def test_jobs_that_come_together_share_a_read(
    through_proxy: StartWorker, dynamo_proxy: DynamoProxy, producer: Producer, table: Table
) -> None:
    for n in range(50):
        table.put(f"k{n}", n=n)
    through_proxy(config_ttl=60)
    dynamo_proxy.delay = 0.2
    with producer.r.pipeline() as pipe:
        for n in range(500):
            pipe.lpush(
                "jobs", json.dumps({"id": f"{n}", "handler": "show", "config": f"k{n % 50}"})
            )
        pipe.execute()
    for n in range(500):
        assert producer.result(f"{n}")["result"] == {"n": n % 50}
    assert sorted(dynamo_proxy.keys()) == sorted(f"k{n}" for n in range(50))
    assert dynamo_proxy.count() <= 3


def test_with_no_time_to_live_every_job_sees_a_read_made_after_it_was_claimed(
    start_worker: StartWorker, producer: Producer, table: Table
) -> None:
    start_worker(app=APP, config_ttl=0)
    for n in range(20):
        table.put("k", n=n)
        assert producer.run("show", config="k")["result"] == {"n": n}
        assert producer.run("whole", "k")["result"][2]["n"] == n


def test_with_no_time_to_live_jobs_claimed_together_share_the_read(
    start_worker: StartWorker, dynamo_proxy: DynamoProxy, producer: Producer, table: Table
) -> None:
    table.put("k", n=1)
    with producer.r.pipeline() as pipe:
        for n in range(100):
            pipe.lpush("jobs", json.dumps({"id": f"{n}", "handler": "show", "config": "k"}))
        pipe.execute()
    env = {"AWS_ENDPOINT_URL_DYNAMODB": dynamo_proxy.url}
    start_worker(app=APP, env=env, config_ttl=0)
    for n in range(100):
        assert producer.result(f"{n}")["result"] == {"n": 1}
    assert dynamo_proxy.keys().count("k") == 1


def test_with_no_time_to_live_get_config_always_reads(
    through_proxy: StartWorker, dynamo_proxy: DynamoProxy, producer: Producer, table: Table
) -> None:
    table.put("k", n=1)
    through_proxy(config_ttl=0)
    producer.run("whole", "k")
    assert dynamo_proxy.keys().count("k") == 3


def test_a_hot_key_is_read_again_and_again_and_a_cold_one_is_not(
    through_proxy: StartWorker, dynamo_proxy: DynamoProxy, producer: Producer, table: Table
) -> None:
    """That no job waits for a hot key is tested in tests/config, where the machine's load does not
    matter."""
    for key in ("hot", "cold"):
        table.put(key, n=1)
    through_proxy(config_ttl=0.5)
    producer.run("show", config="cold")

    def has_been_read_often() -> bool:
        assert producer.run("show", config="hot")["result"] == {"n": 1}
        return dynamo_proxy.keys().count("hot") >= 8

    wait_until(has_been_read_often)
    # When it was used, and at most twice within the time to live after that, from 0.4 of it on.
    assert dynamo_proxy.keys().count("cold") <= 3


def test_the_cache_forgets_what_was_used_least_recently(
    through_proxy: StartWorker, dynamo_proxy: DynamoProxy, producer: Producer, table: Table
) -> None:
    for key in "abc":
        table.put(key, n=1)
    through_proxy(config_ttl=60, config_cache_size=2)
    for key in "abacab":
        producer.run("show", config=key)
    assert dynamo_proxy.keys() == ["a", "b", "c", "b"]


def test_the_cache_is_bounded_by_bytes_too(
    through_proxy: StartWorker, dynamo_proxy: DynamoProxy, producer: Producer, table: Table
) -> None:
    for key in "abc":
        table.put(key, text="x" * 50_000)
    through_proxy(config_ttl=60, config_cache_bytes=250_000)
    for key in "abacab":
        assert producer.run("kept", config=key)["config"]["key"] == key
    assert dynamo_proxy.keys() == ["a", "b", "c", "b"]


def test_unprocessed_keys_are_asked_for_again(
    through_proxy: StartWorker, dynamo_proxy: DynamoProxy, producer: Producer, table: Table
) -> None:
    table.put("k", n=1)
    through_proxy(config_ttl=60)
    refused: list[dict[str, Any]] = []

    def refuse_twice(_target: str, body: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        if len(refused) == 2:
            return None
        refused.append(body)
        return 200, {"Responses": {"config": []}, "UnprocessedKeys": body["RequestItems"]}

    dynamo_proxy.respond = refuse_twice
    assert producer.run("show", config="k")["result"] == {"n": 1}
    assert dynamo_proxy.keys() == ["k"] * 3
