"""How look-ups gather into batches."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest

from tests.config.fakes import item
from tests.config.virtual_time import now, run
from worker.config.loader import MOST_IN_FLIGHT, BatchLoader, Certainty
from worker.errors import ConfigUnavailable
from worker.jobs.config_item import ConfigItem
from worker.runtime.task_group import background

KEYS = 1_000


class Reads:
    """Notes every batch; a read takes `delay` seconds."""

    def __init__(self, delay: float) -> None:
        self.delay = delay
        self.batches: list[list[str]] = []
        self.certainties: list[dict[str, Certainty]] = []
        self.now = self.most = 0
        self.error: ConfigUnavailable | None = None

    async def __call__(self, keys: dict[str, Certainty]) -> dict[str, ConfigItem]:
        began_at = now()
        self.batches.append(list(keys))
        self.certainties.append({key: each for key, each in keys.items() if each})
        self.now += 1
        self.most = max(self.most, self.now)
        await anyio.sleep(self.delay)
        self.now -= 1
        if self.error is not None:
            raise self.error
        return {key: item(key, {}, began_at) for key in keys}


@asynccontextmanager
async def loading(reads: Reads) -> AsyncIterator[BatchLoader]:
    loader = BatchLoader(reads, monotonic=now)
    async with background() as group:
        loader.open(group)
        yield loader
        loader.close()


async def load(loader: BatchLoader, key: str, *, share: bool = True) -> ConfigItem:
    batch = loader.join(key, share=share)
    await batch.done.wait()
    if batch.error is not None:
        raise batch.error
    return batch.items[key]


@pytest.mark.parametrize("delay", [0.001, 0.25])
def test_a_flood_in_one_turn_costs_a_request_for_every_hundred_keys(delay: float) -> None:
    reads = Reads(delay)

    async def main() -> None:
        async with loading(reads) as loader, anyio.create_task_group() as group:
            for n in range(10 * KEYS):
                group.start_soon(load, loader, f"{n % KEYS}")

    run(main())
    assert [len(batch) for batch in reads.batches] == [100] * (KEYS // 100)
    assert reads.most <= MOST_IN_FLIGHT


@pytest.mark.parametrize(("delay", "pause"), [(0.005, 0.0), (0.005, 0.0005), (0.25, 0.0005)])
def test_a_flood_that_comes_turn_after_turn_fills_its_batches(delay: float, pause: float) -> None:
    """Claims bring 50 jobs each; only the first may leave before its batch is full."""
    reads = Reads(delay)

    async def main() -> None:
        async with loading(reads) as loader, anyio.create_task_group() as group:
            for first in range(0, KEYS, 50):
                for n in range(first, first + 50):
                    group.start_soon(load, loader, f"{n}")
                await anyio.sleep(pause)

    run(main())
    assert sorted(key for batch in reads.batches for key in batch) == sorted(map(str, range(KEYS)))
    assert len(reads.batches) <= KEYS // 100 + 2


def test_a_lone_key_leaves_at_once() -> None:
    reads = Reads(0.25)

    async def main() -> float:
        async with loading(reads) as loader:
            began = now()
            await load(loader, "k")
            return now() - began

    assert run(main()) == pytest.approx(0.25)


def test_a_slow_read_holds_up_the_next_only_briefly() -> None:
    reads = Reads(0.25)

    async def main() -> None:
        async with loading(reads) as loader, anyio.create_task_group() as group:
            group.start_soon(load, loader, "first")
            await anyio.sleep(0.01)
            began = now()
            await load(loader, "second")
            assert 0.25 < now() - began < 0.28

    run(main())


def test_no_more_requests_are_under_way_than_the_limit() -> None:
    reads = Reads(0.25)

    async def main() -> None:
        async with loading(reads) as loader, anyio.create_task_group() as group:
            for n in range(100 * MOST_IN_FLIGHT * 3):
                group.start_soon(load, loader, f"{n}")

    run(main())
    assert reads.most == MOST_IN_FLIGHT
    assert len(reads.batches) == 3 * MOST_IN_FLIGHT


@pytest.mark.parametrize(("share", "expected"), [(True, 1), (False, 2)])
def test_a_read_under_way_is_shared_only_where_that_is_allowed(share: bool, expected: int) -> None:
    reads = Reads(0.25)

    async def main() -> bool:
        async with loading(reads) as loader, anyio.create_task_group() as group:
            group.start_soon(load, loader, "k")
            await anyio.sleep(0.1)
            asked_at = now()
            for _ in range(10):  # those who ask together share in any case
                group.start_soon(lambda: load(loader, "k", share=share))
            found = await load(loader, "k", share=share)
        return found.asked_at >= asked_at

    assert run(main()) is not share
    assert len(reads.batches) == expected


def test_a_batch_knows_how_certain_each_read_must_be() -> None:
    reads = Reads(0.01)

    async def main() -> None:
        async with loading(reads) as loader:
            loader.join("a")
            loader.join("b", certainty=Certainty.ABSENCE)
            loader.join("c", certainty=Certainty.ALL)
            loader.join("c", certainty=Certainty.ABSENCE)
            await loader.join("c").done.wait()

    run(main())
    assert reads.certainties == [{"b": Certainty.ABSENCE, "c": Certainty.ALL}]


def test_a_failed_batch_harms_no_other() -> None:
    reads = Reads(0.25)

    async def main() -> None:
        async with loading(reads) as loader:
            reads.error = ConfigUnavailable("away")
            with pytest.raises(ConfigUnavailable, match="away"):
                await load(loader, "k")
            reads.error = None
            assert (await load(loader, "k")).key == "k"

    run(main())


def test_nobody_waits_for_a_loader_that_is_closed() -> None:
    reads = Reads(60)

    async def main() -> None:
        async with loading(reads) as loader:
            batches = [loader.join("k")]
            await anyio.sleep(0.01)
            batches.append(loader.join("waits"))
        for batch in batches:
            await batch.done.wait()
            assert (batch.items, batch.error) == ({}, None)
        with pytest.raises(ConfigUnavailable, match="closed"):
            loader.join("k")

    run(main())


def test_a_loader_with_nothing_to_do_has_no_task_and_no_timer() -> None:
    async def main() -> None:
        async with loading(Reads(0.01)) as loader:
            await load(loader, "k")
            await anyio.Event().wait()

    with pytest.raises(AssertionError, match="no timer is set"):
        run(main())
