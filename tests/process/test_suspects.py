"""Suspects run alone: rules in process."""

import asyncio

import pytest

from worker.execution.claimed_job import ClaimedJob
from worker.jobs.keys import Keys
from worker.process.slots import Slots, SlotUser
from worker.process.suspects import Suspects

pytestmark = pytest.mark.once

KEYS = Keys("jobs")


def claimed(name: bytes = b"{}") -> ClaimedJob:
    return ClaimedJob(name, KEYS)


def test_a_suspect_waits_until_no_other_job_is_held_and_nothing_is_claimed_meanwhile() -> None:
    async def main() -> None:
        slots, user = Slots(10), SlotUser(lambda: None)
        suspects = Suspects(slots, 60.0, lambda: True)
        slots.fill(3)
        suspect = claimed()
        waiting = asyncio.create_task(suspects.wait_alone(suspect))
        await asyncio.sleep(0)
        assert slots.free_for(user) == 0
        slots.give_back()
        await asyncio.sleep(0)
        assert not waiting.done()
        slots.give_back()
        assert await waiting is None
        assert slots.free_for(user) == 0, "while it runs"
        suspects.gone([claimed(), suspect])
        slots.give_back()
        assert slots.free_for(user) == 10

    asyncio.run(main())


def test_a_second_suspect_goes_back_to_the_front() -> None:
    async def main() -> None:
        slots = Slots(10)
        suspects = Suspects(slots, 60.0, lambda: True)
        slots.fill(2)
        first = asyncio.create_task(suspects.wait_alone(claimed(b"first")))
        await asyncio.sleep(0)
        second = await suspects.wait_alone(claimed(b"second"))
        assert second is not None
        assert (second.op, second.extra) == ("front", b"second")
        slots.give_back()
        assert await first is None

    asyncio.run(main())


def test_one_that_can_not_be_alone_within_a_lease_is_passed_on() -> None:
    async def main() -> None:
        slots = Slots(10)
        suspects = Suspects(slots, 0.05, lambda: True)
        slots.fill(2)
        outcome = await suspects.wait_alone(claimed(b"raw"))
        assert outcome is not None
        assert (outcome.op, outcome.extra, outcome.ms) == ("later", b"raw", 50)

    asyncio.run(main())


def test_none_runs_while_it_is_not_known_what_the_active_list_holds() -> None:
    async def main() -> None:
        slots, certain = Slots(10), False
        suspects = Suspects(slots, 60.0, lambda: certain)
        slots.fill(1)
        waiting = asyncio.create_task(suspects.wait_alone(claimed()))
        await asyncio.sleep(0)
        suspects.look()
        await asyncio.sleep(0)
        assert not waiting.done()
        certain = True
        suspects.look()
        assert await waiting is None

    asyncio.run(main())
