"""The settings: read from the environment and `.env`, and validated once."""

from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from worker.errors import SettingsError
from worker.jobs.backoff import Backoff
from worker.jobs.keys import Keys
from worker.jobs.policy import Policy

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
AtLeastZero = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


ENV_FILE = ".env"
_MOST_PROCESSES = 1_000  # what is larger is a slip, and would fill the machine's memory


class Settings(BaseSettings):
    """Every setting, each also as `WORKER_` and its name in capitals, or in `.env`.

    Times are in seconds, sizes in bytes. AWS settings are botocore's own. Raise SettingsError for
    values that can't be used.
    """

    model_config: ClassVar[SettingsConfigDict] = SettingsConfigDict(
        env_prefix="WORKER_",
        env_file=ENV_FILE,
        env_file_encoding="utf-8-sig",  # with or without the mark that some editors put in front
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
    )

    app: str | None = None
    redis_url: SecretStr = SecretStr("redis://localhost:6379/0")
    queue: Annotated[tuple[str, ...], NoDecode, Field(min_length=1)] = ("jobs",)
    concurrency: Count = 100
    processes: int | str = 1

    config_table: Annotated[str, Field(min_length=1)] = "config"
    config_key: Annotated[str, Field(min_length=1)] = "key"
    config_ttl: AtLeastZero = 5.0
    config_max_stale: AtLeastZero = 3600.0
    config_invalid: Literal["keep", "bury"] = "keep"
    config_cache_size: Count = 10_000
    config_cache_bytes: Count = 256 * 1024 * 1024

    lease: Annotated[float, Field(ge=0.3, allow_inf_nan=False)] = 15.0
    grace_period: AtLeastZero = 25.0
    startup_timeout: AtLeastZero = 10.0
    max_crashes: Count = 3

    timeout: Positive = 300.0
    max_attempts: Count = 5
    backoff_base: AtLeastZero = 1.0
    backoff_factor: Annotated[float, Field(ge=1, allow_inf_nan=False)] = 2.0
    backoff_max: AtLeastZero = 300.0
    result_ttl: Positive = 86_400.0

    max_job_bytes: Count = 1024 * 1024
    max_result_bytes: Count = 1024 * 1024
    log_level: str = "INFO"
    log_format: str = "text"
    log_errors: str = "place"

    def __init__(self, **values: Any) -> None:
        try:
            _check_env_file()
            super().__init__(**values)
        except ValidationError as error:
            raise SettingsError(_explain(error)) from None
        except UnicodeDecodeError as error:
            raise SettingsError(
                f"{ENV_FILE} can't be read: it is not text in UTF-8 (byte {error.start})"
            ) from None
        except OSError as error:
            raise SettingsError(f"{ENV_FILE} can't be read: {error.strerror}") from None

    @field_validator("queue", mode="before")
    @classmethod
    def _split_queues(cls, value: Any) -> Any:
        """WORKER_QUEUE names one queue, or several between commas."""
        names = value.split(",") if isinstance(value, str) else value
        return tuple(dict.fromkeys(name.strip() for name in names))

    @field_validator("queue")
    @classmethod
    def _usable_queues(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            Keys(name)
        return names

    @field_validator("redis_url")
    @classmethod
    def _readable_url(cls, url: SecretStr) -> SecretStr:
        if not url.get_secret_value().startswith(("redis://", "rediss://", "unix://")):
            raise ValueError("must begin with redis://, rediss:// or unix://")
        if masked(url.get_secret_value()) == _UNREADABLE:
            raise ValueError(
                "can't be read: the port must be a number, and what is special in a password must "
                "be percent-encoded, as in p%2Fw for p/w"
            )
        return url

    @field_validator("processes")
    @classmethod
    def _some_processes(cls, value: int | str) -> int | str:
        if value != "auto" and not (str(value).isascii() and str(value).isdigit() and int(value)):
            raise ValueError("must be a number, 1 or more, or auto")
        if value != "auto" and int(value) > _MOST_PROCESSES:
            raise ValueError(f"must be {_MOST_PROCESSES:,} or less")
        return value

    @field_validator("log_level")
    @classmethod
    def _known_level(cls, value: str) -> str:
        if value.upper() not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise ValueError("must be DEBUG, INFO, WARNING or ERROR")
        return value.upper()

    @field_validator("log_format")
    @classmethod
    def _known_format(cls, value: str) -> str:
        return _one_of(value.lower(), "text", "json", "none")

    @field_validator("log_errors")
    @classmethod
    def _known_detail(cls, value: str) -> str:
        return _one_of(value.lower(), "place", "full")

    @field_validator("*", mode="before")
    @classmethod
    def _stripped(cls, value: Any) -> Any:
        """Strip what is read from files, such as mounted secrets, and often ends in a newline."""
        if not isinstance(value, str):
            return value
        try:
            value.encode()
        except UnicodeEncodeError:
            raise ValueError("must be text in UTF-8") from None
        return value.strip()

    @property
    def policy(self) -> Policy:
        """How a job runs where neither its handler nor its config says otherwise."""
        return Policy(
            timeout=self.timeout,
            max_attempts=self.max_attempts,
            backoff=Backoff(self.backoff_base, self.backoff_factor, self.backoff_max),
            result_ttl=self.result_ttl,
        )

    @property
    def heartbeat(self) -> float:
        """Seconds between renewals of a lease: a third of it, so that two renewals may fail."""
        return self.lease / 3

    @property
    def masked_redis_url(self) -> str:
        """The URL without its password and query, for logs and messages."""
        return masked(self.redis_url.get_secret_value())


def _one_of(value: str, *names: str) -> str:
    if value not in names:
        raise ValueError(f"must be {', '.join(names[:-1])} or {names[-1]}")
    return value


def _check_env_file() -> None:
    """Raise SettingsError for a pipe, which would be waited for until somebody writes to it."""
    if Path(ENV_FILE).is_fifo():
        raise SettingsError(f"{ENV_FILE} can't be read: it is a pipe, not a file")


_UNREADABLE = "(a URL that can't be read)"


def masked(url: str) -> str:
    """Return a URL without its password, and without its query, which may hold one too.

    Show nothing of a URL that can't be read: a password with a slash in it looks like a port and a
    path.
    """
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - raises ValueError where it is no number
        if "@" in parts.path or "@" in parts.fragment:
            return _UNREADABLE
        host = parts.netloc.rpartition("@")[2]
        user = f"{parts.username or ''}:***@" if "@" in parts.netloc else ""
    except ValueError:
        return _UNREADABLE
    return f"{parts.scheme}://{user}{host}{parts.path}"


def _explain(error: ValidationError) -> str:
    problems = (
        f"WORKER_{'_'.join(str(part) for part in item['loc'][:1]).upper()}: "
        f"{item['msg'].removeprefix('Value error, ')}"
        for item in error.errors(include_url=False, include_input=False)
    )
    return "these settings can't be used: " + "; ".join(problems)
