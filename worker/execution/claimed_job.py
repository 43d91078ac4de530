"""One claimed job on its way through this worker: plain data that the parts write down."""

import asyncio
from dataclasses import dataclass
from enum import Enum
from math import inf

from worker.execution.bound_handler import BoundHandler, ConfigView
from worker.jobs.job import Job
from worker.jobs.keys import Keys


class StopReason(Enum):
    """Why a run was stopped from outside."""

    TIMEOUT = "over its time limit"
    LOST = "no longer this worker's"
    RETURNED = "given back"


@dataclass(slots=True, eq=False)
class ClaimedJob:
    """A job that this worker holds.

    `started_at` is in ms on Redis's clock, `deadline` in seconds on the loop's, infinite before the
    first step. `over` says that its outcome is decided, or that it is no longer ours.
    """

    raw: bytes
    keys: Keys
    job: Job
    handler: BoundHandler
    view: ConfigView | None = None
    stale: bool = False
    started_at: int | None = None
    deadline: float = inf
    task: asyncio.Task[None] | None = None
    verdict: StopReason | None = None
    over: bool = False
