"""What holds for every job of a process, from the settings."""

from dataclasses import dataclass

from worker.jobs.job import Job
from worker.jobs.policy import Policy


@dataclass(frozen=True, slots=True)
class JobDefaults:
    """The policy where neither handler nor config says otherwise, and limits. Sizes in bytes."""

    policy: Policy
    max_job_bytes: int
    max_result_bytes: int
    max_crashes: int
    log_errors_in_full: bool = False

    def is_suspect(self, job: Job) -> bool:
        """Whether one more crash buries the job, so that it has to run alone."""
        return job.crashes + 1 >= self.max_crashes
