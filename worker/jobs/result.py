"""A job's result, and what it says of an error and of the config: plain data, JSON in and out."""

from dataclasses import dataclass
from typing import Any, Literal, Self

from pydantic_core import from_json


@dataclass(frozen=True, slots=True)
class ErrorInfo:
    """What went wrong, as it stands in results and in the dead list; cut to a bounded length."""

    type: str
    message: str
    traceback: str | None = None

    def fields(self) -> dict[str, str | None]:
        """The JSON object."""
        return {"type": self.type, "message": self.message, "traceback": self.traceback}


@dataclass(frozen=True, slots=True)
class ConfigInfo:
    """Which config a job ran with: its key, its version (None: no item), and whether it is stale.

    The version is the item's own `version` attribute, whatever its type, else a short digest.
    """

    key: str
    version: Any
    stale: bool


Status = Literal["succeeded", "failed", "expired"]


@dataclass(frozen=True, slots=True)
class Result:
    """A job's result, as it stands in Redis. Times are ms since the epoch on Redis's clock.

    `handler` is None where it could not be read; `started_at` where no attempt began.
    """

    id: str
    handler: str | None
    status: Status
    result: Any
    error: ErrorInfo | None
    attempts: int
    config: ConfigInfo | None
    worker: str
    enqueued_at: int | None
    started_at: int | None
    finished_at: int

    @classmethod
    def from_json(cls, raw: bytes | str) -> Self:
        """Read a result as the worker wrote it; fields that a newer worker adds are left out."""
        fields = from_json(raw)
        if fields["error"] is not None:
            fields["error"] = ErrorInfo(**fields["error"])
        if fields["config"] is not None:
            fields["config"] = ConfigInfo(**fields["config"])
        return cls(**{name: fields[name] for name in cls.__slots__})
