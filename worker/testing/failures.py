"""Failures of jobs, as tests see them: the exceptions that `on_error` gets."""

from pydantic_core import from_json

from worker.errors import JobFailed, Malformed
from worker.execution.claimed_job import ClaimedJob
from worker.execution.hooks import Fate
from worker.jobs.failure import describe, failure, message_of
from worker.jobs.outcome import Outcome
from worker.jobs.result import ErrorInfo


class Failures:
    """Failures of jobs whose fate may not be recorded yet. `failed` is the hook of that name."""

    def __init__(self) -> None:
        self._errors: dict[ClaimedJob, tuple[BaseException, Fate]] = {}

    def failed(self, claimed: ClaimedJob, error: BaseException, fate: Fate) -> None:
        """Keep the error of an attempt."""
        self._errors[claimed] = error, fate

    def pop(self, claimed: ClaimedJob, outcome: Outcome) -> Exception | None:
        """Return the failure that led to this outcome, for a test to be raised; None without one.

        A note on it names the job. What would end the test run or cancel the test, such as a
        handler's SystemExit, is the cause of a JobFailed.
        """
        error, fate = self._errors.pop(claimed, (None, "buried"))
        if error is None:
            if outcome.reason is None:
                return None
            # Bytes that are no job are reported to no hook.
            info = _recorded(outcome)
            error = Malformed(info.message if info else outcome.reason)
        elif not isinstance(error, Exception):
            escaped, error = error, JobFailed(f"its handler raised {type(error).__name__}")
            error.__cause__ = escaped
        note = f"{claimed} failed an attempt and was {fate}."
        if note not in getattr(error, "__notes__", ()):  # one error may be that of a whole batch
            error.add_note(note)
        return error


def info_of(outcome: Outcome, error: BaseException | None) -> ErrorInfo | None:
    """Return what went wrong with an attempt. `error` is that of a job that runs again."""
    if outcome.op != "later":
        return _recorded(outcome)
    if error is None:
        return None
    if error.__traceback__ is None:
        return failure(type(error).__name__, message_of(error))
    return describe(error)


def _recorded(outcome: Outcome) -> ErrorInfo | None:
    """Return the error of a result, or of a dead-list entry where there is no result."""
    fields = from_json(outcome.result or outcome.extra)["error"]
    return None if fields is None else ErrorInfo(**fields)
