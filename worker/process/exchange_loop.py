"""Moves one queue's jobs between Redis and this worker.

Each turn is one script call that records finished outcomes and claims a job for each free slot.
Outcomes gather by themselves while a call is under way, so a lone job is recorded at once and a
flood in dozens. Only when there is nothing to claim does a blocking read wait beside the turns.
"""

import asyncio
import logging
import time
from collections.abc import Callable

from anyio.abc import TaskGroup

from worker.broker.errors import BROKER_DOWN
from worker.broker.queue import Exchange, Queue
from worker.execution.claimed_job import ClaimedJob, StopReason
from worker.execution.hooks import Hooks
from worker.execution.job_tasks import JobTasks
from worker.process.held import HeldJobs
from worker.process.lease import Lease
from worker.process.pace import BatchSize
from worker.process.shared import Shared
from worker.process.slots import SlotUser
from worker.process.turn import Facts, next_step, plan
