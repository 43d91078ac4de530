"""What the loops of one process share: plain references, wired by the service."""

from dataclasses import dataclass

from worker.broker.outage import RedisOutage
from worker.execution.config_pace import ConfigPace
from worker.execution.hooks import Hooks
from worker.execution.job_tasks import JobTasks
from worker.execution.outcomes import Outcomes
from worker.process.slots import Slots
from worker.process.suspects import Suspects
from worker.process.tally import Tally


@dataclass(frozen=True, slots=True)
class Parts:
    """`lease` is in seconds."""

    worker_id: str
    lease: float
    outcomes: Outcomes
    slots: Slots
    suspects: Suspects
    tasks: JobTasks
    config_pace: ConfigPace
    outage: RedisOutage
    hooks: Hooks
    tally: Tally
