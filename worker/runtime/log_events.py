"""Every `event` of a log line: a stable code for alerts, whatever the line's words are.

A line names its event by `extra={"event": ...}`.
"""

EVENTS = {
    # the process
    "process_started": "the supervisor started a process",
    "process_ended": "a process ended by itself; the supervisor starts a new one",
    "start_failed": "the worker can't start",
    "variables_unknown": "variables begin with WORKER_ and are no settings",
    "started": "the worker takes its first jobs",
    "minute": "what was done in the last minute",
    "burst_waits": "what a worker with --burst still waits for",
    "stopping": "claiming has stopped; running jobs get the grace period",
    "stopping_at_once": "a second signal: running jobs are cancelled and given back",
    "stopped": "the worker has drained; what it did in its life",
    "exit_forced": "the process ends although code of handlers still runs",
    # jobs
    "job_retried": "an attempt failed, and the job runs again",
    "job_buried": "a job went to the dead list",
    "job_crashed": "a job's worker died holding it, once too often",
    "job_expired": "a job expired at once, since its expires_at is in seconds",
    "job_lost": "running jobs are no longer this worker's",
    "job_found": "jobs were claimed by a call whose reply was lost",
    "outcome_discarded": "an outcome came too late: another worker owns the job",
    "reply_refused": "Redis did not take the copy of a result for reply_to or its channel",
    "worker_fault": "the worker itself failed on a job",
    # handlers
    "loop_blocked": "a handler, or the app's lifespan, blocks the event loop",
    "thread_left_behind": "a handler's thread can't be stopped",
    "handler_stuck": "a handler swallows its cancellation",
    # the app
    "lifespan_failed": "the app's lifespan failed, or took too long; the worker ends",
    "on_error_failed": "a function of on_error failed, took too long, or was not called",
    # leases
    "lease_lost": "the lease of a queue had ended",
    "lease_kept": "the lease could not be handed in at the end",
    "worker_recovered": "a dead worker's jobs were given back",
    # servers
    "redis_away": "Redis does not answer",
    "redis_back": "Redis answers again",
    "config_away": "DynamoDB can't be read",
    "config_back": "DynamoDB can be read again",
    # config items
    "config_unusable": "a handler can't use a version of an item",
    "config_usable": "a later version of such an item works",
}
