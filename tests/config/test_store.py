"""What jobs and handlers get from the store."""

from collections.abc import Awaitable, Callable

import anyio
import pytest

from tests.config.fakes import FakeTable, open_store
from tests.config.virtual_time import run
from worker.config.store import ConfigStore
from worker.errors import ConfigUnavailable
from worker.jobs.config_item import ConfigItem


def with_store(
    table: FakeTable, main: Callable[[ConfigStore], Awaitable[None]], **settings: float
) -> None:
    async def opened() -> None:
        async with open_store(table, **settings) as store:  # type: ignore[arg-type]
            await main(store)

    run(opened())


async def load_all(store: ConfigStore, keys: list[str], **how: bool) -> list[ConfigItem]:
    """Load them one by one, by a task each, as jobs do."""
    found: list[ConfigItem] = []

    async def one(key: str) -> None:
        found.append(await store.load(key, **how))

    async with anyio.create_task_group() as group:
        for key in keys:
            group.start_soon(one, key)
    return found


@pytest.mark.parametrize("ttl", [0.0, 5.0])
def test_ten_thousand_jobs_over_a_thousand_cold_keys_cost_ten_requests(ttl: float) -> None:
    table = FakeTable()

    async def main(store: ConfigStore) -> None:
        await load_all(store, [f"{n % 1_000}" for n in range(10_000)])

    with_store(table, main, ttl=ttl)
    assert len(table.reads) == 10


def test_an_item_is_loaded_once_and_then_remembered() -> None:
    table = FakeTable()
    table.items["k"] = {"key": "k", "n": 1}

    async def main(store: ConfigStore) -> None:
        assert store.remembered("k") is None
        item = await store.load("k")
        assert store.remembered("k") is item
        assert await store.get("k") == {"key": "k", "n": 1}
        assert store.failures == 0
        assert not store.is_stale(item)

    with_store(table, main)
    assert table.reads == [["k"]]


def test_get_gives_a_copy_and_refuses_what_can_be_no_key() -> None:
    table = FakeTable()
    table.items["k"] = {"key": "k", "list": [1]}

    async def main(store: ConfigStore) -> None:
        (await store.get("k"))["list"].append(2)
        assert await store.get("k") == {"key": "k", "list": [1]}
        assert await store.get("nothing there") == {}
        for key in ("", "ü" * 1025):
            with pytest.raises(ValueError, match="a config key has 1 to 2,048 bytes"):
                await store.get(key)

    with_store(table, main)


# -- with no time to live --------------------------------------------------------------------------


def test_with_no_time_to_live_every_load_sees_a_read_that_began_after_it() -> None:
    table = FakeTable(delay=0.25)

    async def main(store: ConfigStore) -> None:
        async with anyio.create_task_group() as group:
            for n in range(20):
                table.items["k"] = {"n": n}
                group.start_soon(expect, store, n)
                await anyio.sleep(0.1)

    async def expect(store: ConfigStore, n: int) -> None:
        item = await store.load("k")
        assert item.attributes is not None
        assert item.attributes["n"] >= n

    with_store(table, main, ttl=0)


# -- absences --------------------------------------------------------------------------------------


def test_an_absence_is_confirmed_by_a_consistent_read_where_that_is_asked_for() -> None:
    table = FakeTable()

    async def main(store: ConfigStore) -> None:
        unconfirmed = await store.load("k")
        assert (unconfirmed.attributes, unconfirmed.absence_confirmed) == (None, False)
        confirmed = await store.load("k", confirm_absence=True)
        assert (confirmed.attributes, confirmed.absence_confirmed) == (None, True)

    with_store(table, main)
    assert (table.reads, table.consistent) == ([["k"]] * 3, [["k"]])


def test_an_item_written_after_its_absence_was_confirmed_is_seen_at_once() -> None:
    table = FakeTable()

    async def main(store: ConfigStore) -> None:
        await store.load("k", confirm_absence=True)
        table.items["k"] = {"n": 1}
        assert store.remembered("k", confirm_absence=True) is None
        assert (await store.load("k", confirm_absence=True)).attributes == {"n": 1}

    with_store(table, main)


def test_an_absence_read_before_a_job_was_claimed_is_confirmed_again() -> None:
    """The read under way found nothing, and the item was written meanwhile."""
    table = FakeTable(delay=0.25)

    async def main(store: ConfigStore) -> None:
        async with anyio.create_task_group() as group:
            group.start_soon(lambda: store.load("k", confirm_absence=True))
            await anyio.sleep(0.4)
            table.items["k"] = {"n": 1}
            assert (await store.load("k", confirm_absence=True)).attributes == {"n": 1}

    with_store(table, main)


def test_jobs_that_wait_for_the_same_absence_share_its_reads() -> None:
    table = FakeTable()

    async def main(store: ConfigStore) -> None:
        await load_all(store, ["missing"] * 500 + ["there"], confirm_absence=True)

    table.items["there"] = {}
    with_store(table, main)
    assert table.reads == [["missing", "there"], ["missing"]]


# -- while DynamoDB is away ------------------------------------------------------------------------


def test_old_items_are_served_as_stale_and_others_fail_at_once_while_it_is_away() -> None:
    table = FakeTable()
    table.items["k"] = {"n": 1}

    async def main(store: ConfigStore) -> None:
        await store.load("k")
        await anyio.sleep(12)
        table.error = ConfigUnavailable("away")
        table.delay = 2.0
        item = await store.load("k")
        assert store.failures == 1
        assert store.is_stale(item)
        assert store.remembered("k") is item
        with pytest.raises(ConfigUnavailable), anyio.fail_after(0.001):
            await store.load("never read")
        with pytest.raises(ConfigUnavailable, match="a moment ago"):
            await store.get("never read")

    with_store(table, main)


def test_a_probe_finds_out_that_it_is_back() -> None:
    table = FakeTable()

    async def main(store: ConfigStore) -> None:
        table.error = ConfigUnavailable("away")
        with pytest.raises(ConfigUnavailable, match="away"):
            await store.load("k")
        table.error = None
        tries = 0
        while store.failures:
            tries += 1
            with pytest.raises(ConfigUnavailable):
                await store.load("k")
            await anyio.sleep(0.01)
        assert tries > 5
        assert store.remembered("k") is not None

    with_store(table, main)
    assert len(table.reads) == 2


def test_no_more_than_one_request_probes() -> None:
    table = FakeTable(delay=2.0)

    async def main(store: ConfigStore) -> None:
        table.error = ConfigUnavailable("away")
        with pytest.raises(ConfigUnavailable):
            await store.load("k")
        await anyio.sleep(1)
        for n in range(1_000):
            with pytest.raises(ConfigUnavailable):
                await store.load(f"{n}")
        await anyio.sleep(1)  # the probe is under way
        for n in range(1_000):
            with pytest.raises(ConfigUnavailable):
                await store.load(f"{n}")
        await anyio.sleep(0.5)

    with_store(table, main)
    assert [len(keys) for keys in table.reads] == [1, 100]


def test_an_item_is_served_no_longer_than_the_limit_says() -> None:
    table = FakeTable()
    table.items["k"] = {"n": 1}

    async def main(store: ConfigStore) -> None:
        await store.load("k")
        table.error = ConfigUnavailable("away")
        await anyio.sleep(16)
        with pytest.raises(ConfigUnavailable):
            await store.load("k")

    with_store(table, main, max_stale=10.0)


def test_nothing_is_buried_on_an_absence_that_was_read_before_an_outage() -> None:
    table = FakeTable()

    async def main(store: ConfigStore) -> None:
        await store.load("k", confirm_absence=True)
        table.error = ConfigUnavailable("away")
        for _ in range(2):  # the read that fails, and the pause after it
            assert store.remembered("k", confirm_absence=True) is None
            with pytest.raises(ConfigUnavailable):
                await store.load("k", confirm_absence=True)
        assert store.remembered("k") is not None

    with_store(table, main)


def test_a_load_at_the_end_of_the_process_fails_instead_of_waiting() -> None:
    table = FakeTable(delay=60)

    async def main() -> None:
        failed = []

        async def load(store: ConfigStore) -> None:
            try:
                await store.load("k")
            except ConfigUnavailable as error:
                failed.append(error)

        async with anyio.create_task_group() as group, open_store(table) as store:
            group.start_soon(load, store)
            await anyio.sleep(0.1)
        assert len(failed) == 1
        with pytest.raises(ConfigUnavailable, match="closed"):
            await store.load("k")

    run(main())
