"""What the cache may serve, and what it has read again."""

import json

import pytest

from tests.config.fakes import Clock, item
from worker.config.cache import ConfigCache
from worker.jobs.config_item import ConfigItem
from worker.jobs.stored_attributes import StoredAttributes


class View:
    """What a handler made of an item."""

    def __init__(self, problem: str | None = None) -> None:
        self.problem = problem


@pytest.fixture
def clock() -> Clock:
    return Clock()


def cache(clock: Clock, *, ttl: float = 5.0, size: int = 3, max_bytes: int = 10**9) -> ConfigCache:
    return ConfigCache(ttl=ttl, max_stale=60.0, size=size, max_bytes=max_bytes, monotonic=clock)


def test_an_item_is_fresh_for_its_time_to_live_from_the_start_of_its_read(clock: Clock) -> None:
    known = cache(clock)
    known.remember(item("k", {"a": 1}, clock.now - 2))
    assert known.fresh("k") is not None
    clock.now += 2.9
    assert known.fresh("k") is not None
    clock.now += 0.1
    assert known.fresh("k") is None


def test_an_old_item_may_be_used_stale_for_a_while(clock: Clock) -> None:
    known = cache(clock)
    known.remember(item("k", {"a": 1}, clock.now))
    clock.now += 64.9
    assert known.fresh("k") is None
    assert known.stale("k") is not None
    clock.now += 0.1
    assert known.stale("k") is None


@pytest.mark.parametrize("confirmed", [True, False])
def test_a_remembered_absence_is_never_used_where_it_must_be_confirmed(
    clock: Clock, confirmed: bool
) -> None:
    known = cache(clock)
    known.remember(item("k", None, clock.now, absence_confirmed=confirmed))
    assert known.fresh("k") is not None
    assert known.fresh("k", confirm_absence=True) is None
    assert known.stale("k", confirm_absence=True) is None
    known.remember(item("k", {"a": 1}, clock.now))
    assert known.fresh("k", confirm_absence=True) is not None


def test_with_no_time_to_live_nothing_is_ever_fresh(clock: Clock) -> None:
    known = cache(clock, ttl=0)
    known.remember(item("k", {"a": 1}, clock.now))
    assert known.fresh("k") is None
    assert known.stale("k") is not None


def test_what_was_used_least_recently_is_forgotten(clock: Clock) -> None:
    known = cache(clock, size=3)
    for key in "abc":
        known.remember(item(key, {}, clock.now))
    known.fresh("a")
    known.remember(item("d", {}, clock.now))
    assert [key for key in "abcd" if known.fresh(key)] == ["a", "c", "d"]
    assert len(known) == 3


def stored(size: int) -> StoredAttributes:
    """Attributes of about so many bytes."""
    text = "x" * (size // 2)
    return StoredAttributes(f'{{"a":{{"S":"{text}"}}}}', {"a": {"S": text}})


def test_what_was_used_least_recently_makes_room_where_items_are_large(clock: Clock) -> None:
    known = cache(clock, size=100, max_bytes=100_000)
    for key in "abc":
        known.remember(item(key, stored(30_000), clock.now))
    assert [key for key in "abc" if known.fresh(key)] == ["a", "b", "c"]
    known.fresh("a")
    known.remember(item("d", stored(30_000), clock.now))
    assert [key for key in "abcd" if known.fresh(key)] == ["a", "c", "d"]
    known.remember(item("a", stored(60_000), clock.now))
    assert [key for key in "abcd" if known.fresh(key)] == ["a", "d"]
    for _ in range(100):  # what is replaced is not counted any more
        known.remember(item("a", stored(60_000), clock.now))
    assert [key for key in "abcd" if known.fresh(key)] == ["a", "d"]
    known.remember(item("too large", stored(200_000), clock.now))
    assert len(known) == 0
    for key in "abc":
        known.remember(item(key, stored(30_000), clock.now))
    assert len(known) == 3


def test_what_is_known_of_keys_is_given_for_comparison(clock: Clock) -> None:
    known = cache(clock)
    attributes = stored(100)
    known.remember(item("k", attributes, clock.now - 1_000))
    known.remember(item("absent", None, clock.now))
    assert known.known(["k", "absent", "never read"]) == {"k": attributes}


def test_an_older_read_that_arrives_late_replaces_nothing(clock: Clock) -> None:
    known = cache(clock)
    known.remember(item("k", {"n": 2}, clock.now))
    known.remember(item("k", {"n": 1}, clock.now - 1))
    found = known.fresh("k")
    assert found is not None
    assert found.attributes == {"n": 2}


def test_views_are_kept_for_as_long_as_the_item_is_the_same(clock: Clock) -> None:
    known = cache(clock)
    first = item("k", {"n": 1}, clock.now)
    view = first.views["handler"] = View()
    known.remember(first)
    same, changed = item("k", first.attributes, clock.now + 1), item("k", {}, clock.now + 2)
    known.remember(same)
    assert same.views == {"handler": view}
    known.remember(changed)
    assert changed.views == {}


def test_the_last_version_that_worked_is_kept_for_each_handler(clock: Clock) -> None:
    known = cache(clock)

    def read(n: int, **problems: str | None) -> ConfigItem:
        found = item("k", {"n": n}, clock.now)
        known.remember(found)
        found.views.update({name: View(problem) for name, problem in problems.items()})
        return found

    one = read(1, a=None, b=None, c="bad")
    two = read(2, a="bad", b=None, c="bad")
    three = read(3, a="bad", b="bad", c="bad")
    assert {name: worked.view for name, worked in three.worked.items()} == {
        "a": one.views["a"],
        "b": two.views["b"],
    }
    absent = item("k", None, clock.now)
    known.remember(absent)
    assert set(absent.worked) == {"a", "b"}
    absent.views["c"] = View()
    four = read(4, a=None, b=None)
    assert set(four.worked) == {"a", "b"}, "no item is no version that worked"
    again = item("k", four.attributes, clock.now)
    known.remember(again)
    assert again.worked == {}, "what works now needs no earlier version"


def test_earlier_versions_count_as_memory(clock: Clock) -> None:
    def stored(text: str) -> StoredAttributes:
        raw = {"text": {"S": text}}
        return StoredAttributes(json.dumps(raw), raw)

    large = item("k", stored("x" * 100_000), clock.now)
    known = cache(clock, max_bytes=2 * large.size + 10_000)
    known.remember(large)
    large.views |= {"a": View(), "b": View()}
    known.remember(item("k", stored("y"), clock.now))
    assert len(known) == 1
    known.remember(item("l", stored("x" * 120_000), clock.now))
    assert known.fresh("k") is None


def test_a_hot_key_is_due_at_its_share_of_the_time_to_live_and_a_cold_one_never(
    clock: Clock,
) -> None:
    known = cache(clock)
    known.remember(item("hot", {}, clock.now))
    clock.now += 1.9
    known.fresh("hot")
    known.remember(item("cold", {}, clock.now - 1.9))
    clock.now += 0.09
    assert known.due(latest=5.0) == []  # before 0.4 of it
    clock.now += 1.52
    assert known.due(latest=5.0) == ["hot", "cold"]  # after 0.7 of it; read counts as a use
    clock.now += 1.6
    assert known.due(latest=5.0) == ["hot"]


def test_a_hot_key_is_due_early_enough_for_slow_reads(clock: Clock) -> None:
    known = cache(clock)
    known.remember(item("k", {}, clock.now))
    clock.now += 1.0
    assert known.due(latest=1.5) == []
    clock.now += 0.51
    assert known.due(latest=1.5) == ["k"]


def test_what_is_only_refreshed_goes_cold(clock: Clock) -> None:
    known = cache(clock)
    known.remember(item("k", {}, clock.now))
    known.fresh("k")
    clock.now += 4
    known.remember(item("k", {}, clock.now))
    clock.now += 4
    assert known.due(latest=5.0) == []
    known.use("k")
    assert known.due(latest=5.0) == ["k"]
