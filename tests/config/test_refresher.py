"""Hot keys are read again in time, however long reads take; nothing is read for idle workers."""

import anyio
import pytest

from tests.config.fakes import Clock, FakeTable, open_store
from tests.config.virtual_time import now, run
from worker.config.refresher import ReadTime


def waits_of_a_hot_key(*, ttl: float, delay: float, keys: int = 50) -> tuple[int, int, int]:
    """How many of the jobs of 20 times to live had to wait for a read, of how many; and reads."""
    table = FakeTable(delay)

    async def main() -> tuple[int, int, int]:
        waited = jobs = 0
        async with open_store(table, ttl=ttl) as store:
            async with anyio.create_task_group() as group:
                for n in range(keys):
                    group.start_soon(store.load, f"{n}")
            table.reads.clear()
            until = now() + 20 * ttl
            while now() < until:
                for n in range(keys):
                    jobs += 1
                    if store.remembered(f"{n}") is None:
                        waited += 1
                        await store.load(f"{n}")
                await anyio.sleep(ttl / 50)
        return waited, jobs, len(table.reads)

    return run(main())


@pytest.mark.parametrize("share", [0.001, 0.05, 0.25, 0.4])
@pytest.mark.parametrize("ttl", [1.0, 5.0])
def test_no_job_waits_for_a_hot_key(ttl: float, share: float) -> None:
    waited, jobs, _ = waits_of_a_hot_key(ttl=ttl, delay=share * ttl, keys=1)
    assert waited == 0
    assert jobs > 900


def test_no_job_waits_for_one_of_many_hot_keys_and_refreshes_gather() -> None:
    waited, _, reads = waits_of_a_hot_key(ttl=1.0, delay=0.25, keys=50)
    assert waited == 0
    assert reads < 20 * 20  # 20 looks in a time to live, one batch each at the most


def test_a_hot_key_is_read_again_about_twice_in_its_time_to_live() -> None:
    waited, _, reads = waits_of_a_hot_key(ttl=5.0, delay=0.005, keys=1)
    assert waited == 0
    assert 20 < reads < 20 / 0.4 + 1


def test_reads_that_become_slow_are_met_after_one_of_them() -> None:
    table = FakeTable(0.005)

    async def main() -> list[float]:
        waits = []
        async with open_store(table, ttl=1.0) as store:
            await store.load("k")
            until = now() + 20
            while now() < until:
                if now() > until - 15:
                    table.delay = 0.25
                if store.remembered("k") is None:
                    waits.append(until - now())
                    await store.load("k")
                await anyio.sleep(0.01)
        return waits

    assert all(left > 13.5 for left in run(main()))


def test_nothing_is_read_for_keys_that_no_job_uses() -> None:
    table = FakeTable()

    async def main() -> int:
        async with open_store(table, ttl=1.0) as store:
            await store.load("k")
            await anyio.sleep(60)
            return len(table.reads)

    assert run(main()) <= 3  # the use itself, and at most two refreshes within a time to live


def test_an_idle_worker_looks_four_times_in_a_time_to_live(monkeypatch: pytest.MonkeyPatch) -> None:
    table = FakeTable()
    pauses: list[float] = []
    sleep = anyio.sleep

    async def noting(seconds: float) -> None:
        pauses.append(seconds)
        await sleep(seconds)

    async def main() -> None:
        async with open_store(table, ttl=1.0) as store:
            await store.load("k")
            await sleep(3)
            monkeypatch.setattr(anyio, "sleep", noting)
            await sleep(10)

    run(main())
    assert pauses
    assert set(pauses) == {0.25}


def test_the_longest_read_is_remembered_for_a_while() -> None:
    clock = Clock()
    read_time = ReadTime(10.0, clock)
    assert read_time.longest == 0
    read_time.note(0.8)
    read_time.note(0.001)
    assert read_time.longest == pytest.approx(0.8)
    clock.now += 10
    assert read_time.longest == pytest.approx(0.4)
    read_time.note(0.5)
    assert read_time.longest == pytest.approx(0.5)
