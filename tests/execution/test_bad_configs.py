"""What becomes of jobs whose config can't be used or does not exist: rules on a virtual clock."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from pydantic import BaseModel

from tests.config.fakes import FakeTable, open_store
from tests.config.virtual_time import now, run
from tests.execution.pipeline import Harness, result_of
from worker import App, Job
from worker.execution.bad_configs import BadConfigs
from worker.jobs.outcome import Outcome

TTL, MAX_STALE = 5.0, 3600.0
BAD = {"key": "step", "ms": "fast"}

app = App()
seen: list[Any] = []  # which versions of its config the jobs of `step` were told


class Step(BaseModel):
    ms: int


@app.handler
async def step(config: Step, job: Job) -> int:
    seen.append(job.config_version)
    return config.ms


@app.handler(batch=10)
async def many(configs: list[Step]) -> list[list[int]]:
    return [[config.ms for config in configs]] * len(configs)


@app.handler
async def show(config: dict[str, Any]) -> Any:
    return config


@app.handler
async def other(config: Step) -> int:
    return config.ms


class World:
    """The pipeline over a table of the test's own. Every edit is read before the next job."""

    def __init__(self, harness: Harness, table: FakeTable) -> None:
        self.harness = harness
        self.table = table

    async def edit(self, item: dict[str, Any] | None, key: str = "step") -> None:
        if item is None:
            self.table.items.pop(key, None)
        else:
            self.table.items[key] = {"key": key, **item}
        await anyio.sleep(2 * TTL)

    async def run(self, handler: str = "step", **fields: Any) -> Outcome:
        outcome = await self.harness.run(handler, **fields)
        assert outcome is not None
        return outcome

    async def run_to_its_end(self, **fields: Any) -> Outcome:
        """Run a job as often as it is due again."""
        for _ in range(1_000):
            outcome = await self.run(**fields)
            if not is_waiting(outcome):
                return outcome
            assert 0 < outcome.ms <= 30_000
            await anyio.sleep(outcome.ms / 1000)
        raise AssertionError("it waits for ever")


def in_world(
    main: Callable[[World], Awaitable[None]], *, keep: bool = True, max_stale: float = MAX_STALE
) -> None:
    async def everything() -> None:
        table = FakeTable()
        bad = BadConfigs(keep=keep, ttl=TTL, max_stale=max_stale, monotonic=now)
        async with open_store(table, ttl=TTL, max_stale=max_stale) as store:
            await main(World(Harness(app, configs=store, bad_configs=bad), table))

    run(everything())


def errors(caplog: pytest.LogCaptureFixture, level: int = logging.ERROR) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if record.levelno == level and "Config " in record.getMessage()
    ]


def is_waiting(outcome: Outcome) -> bool:
    """Whether the job goes on later, byte for byte: no attempt is spent."""
    return outcome.op == "later" and outcome.extra == outcome.raw


@pytest.mark.parametrize("bad", [{"ms": "fast"}, {"ms": 1, "policy": {"timout": 1}}, None])
def test_the_last_version_that_worked_serves_on(
    bad: dict[str, Any] | None, caplog: pytest.LogCaptureFixture
) -> None:
    async def main(world: World) -> None:
        await world.edit({"ms": 1, "version": 1})
        await world.run()
        await world.edit({"ms": 2, "version": 2})
        await world.run()
        await world.edit(bad)
        for _ in range(3):
            result = result_of(await world.run())
            assert (result["status"], result["result"]) == ("succeeded", 2)
            assert result["config"] == {"key": "step", "version": 2, "stale": True}
            await anyio.sleep(MAX_STALE)  # without a limit
        await world.edit({"ms": 3, "version": 3})
        for _ in range(2):
            result = result_of(await world.run())
            assert (result["result"], result["config"]["stale"]) == (3, False)

    in_world(main)
    (error,) = errors(caplog)
    assert error.startswith("Config 'step' can't be used by handler 'step': ")
    assert "policy.timout: " in error or "ms: " in error
    assert "'worker config rollback'" in error
    assert "fast" not in error
    (line,) = errors(caplog, logging.WARNING)
    assert line == "Config 'step' can be used again: jobs run with its version 3."


def test_each_handler_keeps_the_last_version_that_it_could_use(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(world: World) -> None:
        await world.edit({"ms": 1}, "shared")
        for handler in ("step", "show"):
            await world.run(handler, config="shared")
        await world.edit({"ms": "fast"}, "shared")
        found = {
            handler: result_of(await world.run(handler, config="shared"))
            for handler in ("step", "show")
        }
        assert found["step"]["result"] == 1
        assert found["step"]["config"]["stale"]
        assert found["show"]["result"] == {"ms": "fast"}
        assert not found["show"]["config"]["stale"]
        assert is_waiting(await world.run("other", config="shared"))

    in_world(main)
    assert len(errors(caplog)) == 1, "one problem of one version is one line"


def test_where_no_version_that_worked_is_known_jobs_wait_and_then_are_buried(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(world: World) -> None:
        await world.edit({"ms": "fast"})
        met_at = now()
        outcome = await world.run_to_its_end(attempts=1)
        assert MAX_STALE <= now() - met_at < MAX_STALE + 1
        assert (outcome.op, outcome.reason) == ("bury", "config_invalid")
        result = result_of(outcome)
        assert result["error"]["message"].startswith("config 'step': ms: ")
        assert result["attempts"] == 1
        assert world.table.consistent, "nothing is buried on what is remembered"

    in_world(main)
    (error,) = errors(caplog)
    assert "wait for up to 3600 s (WORKER_CONFIG_MAX_STALE)" in error


def test_jobs_that_wait_run_once_the_item_is_corrected(caplog: pytest.LogCaptureFixture) -> None:
    async def main(world: World) -> None:
        await world.edit({"ms": "fast"})
        assert is_waiting(await world.run())
        await world.edit({"ms": 1})
        assert result_of(await world.run())["result"] == 1

    in_world(main)
    assert len(errors(caplog, logging.WARNING)) == 1


def test_a_correction_of_a_moment_ago_saves_the_job() -> None:
    async def main(world: World) -> None:
        await world.edit({"ms": "fast"})
        await world.run()
        world.table.items["step"] = {"key": "step", "ms": 1}
        assert result_of(await world.run())["result"] == 1

    in_world(main, max_stale=0)


def test_a_version_that_was_met_again_starts_no_new_wait() -> None:
    async def main(world: World) -> None:
        for n in range(3):
            await world.edit({"ms": f"fast {n}"})
            outcome = await world.run()
        assert outcome.reason == "config_invalid"

    in_world(main, max_stale=15)


def test_nothing_is_buried_while_dynamodb_is_away() -> None:
    async def main(world: World) -> None:
        from worker.errors import ConfigUnavailable  # noqa: PLC0415

        await world.edit({"ms": "fast"})
        assert is_waiting(await world.run())
        world.table.error = ConfigUnavailable("away")
        for _ in range(10):
            await anyio.sleep(3)
            assert is_waiting(await world.run())
        world.table.error = None
        await anyio.sleep(60)
        assert (await world.run()).reason == "config_invalid"

    in_world(main, max_stale=8)


def test_by_choice_jobs_are_buried_at_once(caplog: pytest.LogCaptureFixture) -> None:
    async def main(world: World) -> None:
        await world.edit({"ms": 1})
        await world.run()
        await world.edit({"ms": "fast"})
        assert (await world.run()).reason == "config_invalid"
        assert (await world.run(config="absent")).reason == "config_missing"
        assert world.table.consistent == [["absent"]]

    in_world(main, keep=False)
    assert errors(caplog) == []


def test_a_missing_config_buries_after_one_time_to_live() -> None:
    async def main(world: World) -> None:
        met_at = now()
        outcome = await world.run_to_its_end(config="absent")
        assert outcome.reason == "config_missing"
        assert TTL <= now() - met_at < TTL + 1
        assert world.table.consistent[-1] == ["absent"]

    in_world(main)


def test_an_item_that_was_there_in_between_starts_a_new_wait() -> None:
    async def main(world: World) -> None:
        assert is_waiting(await world.run("show", config="k"))
        await world.edit({}, "k")
        assert (await world.run("show", config="k")).op == "finish"
        await world.edit(None, "k")
        assert is_waiting(await world.run("show", config="k"))

    in_world(main)


def test_a_flood_of_missing_configs_is_remembered_in_bounded_memory() -> None:
    async def main() -> None:
        bad = BadConfigs(keep=True, ttl=TTL, max_stale=0, monotonic=now)
        for n in range(20_000):
            assert bad.missing(f"first {n}") > 0
        assert len(bad._missing) == 10_000
        await anyio.sleep(61)
        for n in range(20_000):
            assert bad.missing(f"second {n}") > 0
        assert len(bad._missing) == 10_000
        await anyio.sleep(TTL)
        assert bad.missing("second 0") == 0

    run(main())


def test_workers_read_no_history() -> None:
    async def main(world: World) -> None:
        key = "#worker-history#step"
        await world.edit({"secret": 1}, key)
        assert is_waiting(await world.run("show", config=key))
        await anyio.sleep(TTL)
        assert (await world.run("show", config=key)).reason == "config_missing"
        assert world.table.reads == []

    in_world(main)


def test_where_a_type_asks_for_more_than_no_item_has_jobs_wait_as_for_a_missing_one() -> None:
    async def main(world: World) -> None:
        met_at = now()
        outcome = await world.run_to_its_end()
        assert (outcome.op, outcome.reason) == ("bury", "config_invalid")
        assert TTL <= now() - met_at < TTL + 1
        assert world.table.consistent[-1] == ["step"]
        await world.edit({"ms": "fast"})
        assert is_waiting(await world.run()), "a bad version is another matter"

    in_world(main)


def test_a_slow_read_of_the_version_before_reports_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(world: World) -> None:
        await world.edit({"ms": 1})
        await world.run()
        earlier = world.harness.start("step")
        await anyio.lowlevel.checkpoint()
        await world.edit({"ms": "fast"})
        bad = world.harness.bad_configs
        for _ in range(3):
            await world.run()
            assert earlier.item is not None
            bad.works(earlier.item, "step")

    in_world(main)
    assert len(errors(caplog)) == 1
    assert errors(caplog, logging.WARNING) == []


def test_jobs_of_one_batch_are_each_held_to_their_own_item() -> None:
    async def main(world: World) -> None:
        await world.edit({"ms": 1}, "a")
        await world.edit({"ms": 2}, "b")
        await world.edit({"ms": "fast"}, "c")
        await world.run("many", config="a")
        await world.edit({"ms": "fast"}, "a")
        started = [world.harness.start("many", config=key) for key in "abc"]
        a, b, c = [await world.harness.ended(claimed) for claimed in started]
        assert result_of(a)["result"] == [1, 2]
        assert result_of(a)["config"]["stale"]
        assert not result_of(b)["config"]["stale"]
        assert c is not None
        assert is_waiting(c)

    in_world(main)


def test_a_job_sees_the_version_that_serves_on() -> None:
    async def main(world: World) -> None:
        await world.edit({"ms": 1, "version": "one"})
        await world.run()
        await world.edit({"ms": "fast", "version": "two"})
        await world.run()
        assert seen[-1] == "one"

    seen.clear()
    in_world(main)
