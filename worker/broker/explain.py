"""What an operator must know when Redis can't be used: in plain words, without the password."""

import re
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

from redis.exceptions import (
    AuthenticationError,
    ConnectionError,  # noqa: A004 - redis-py's own, which builtin errors don't pass for
    InvalidResponse,
    NoPermissionError,
    RedisError,
    ResponseError,
    TimeoutError,  # noqa: A004 - same
)

from worker.errors import WorkerError
from worker.settings import Settings

_PROBE_TIMEOUT = 2.0  # seconds, for each of the two looks at what answers
_PORT = 6379
# Refusals that no waiting changes. Others (loading, no memory, too many clients) pass.
_LASTING = re.compile(r"DB index is out of range|DENIED", re.IGNORECASE)
# Said by old servers and by proxies. Sentinels say it too.
_UNKNOWN = re.compile(r"(unknown|unsupported|not supported|invalid) *command", re.IGNORECASE)
NEEDED = "a worker needs Redis 7, Valkey 7.2, or newer, with no proxy between"
_RESP = (b"+", b"-", b"$")
# From the making of a TLS context: files that are not there, a key without its certificate. They
# say nothing of a URL without TLS, where a unix socket that is not there may still come.
_BAD_OPTIONS = (
    FileNotFoundError,
    PermissionError,
    IsADirectoryError,
    NotADirectoryError,
    TypeError,
)


@dataclass(frozen=True)
class Problem:
    """Why Redis can't be used now. `lasts` says that an operator must act: waiting won't help."""

    text: str
    lasts: bool


@contextmanager
def redis_explained(settings: Settings) -> Iterator[None]:
    """Turn what redis-py raises into a WorkerError that says which Redis, and what to do."""
    try:
        yield
    except RedisError as error:
        raise WorkerError(explain(error, settings).text) from error


def explain(error: Exception, settings: Settings) -> Problem:
    """Say what went wrong, and whether it passes.

    Where a connection was cut or stayed silent, this looks at what the port speaks: it blocks for
    4 seconds at most.
    """
    where = f"Redis at {settings.masked_redis_url}"
    if isinstance(error, AuthenticationError | NoPermissionError):
        text = f"{where} refuses these credentials ({_message(error)}): correct WORKER_REDIS_URL"
        return Problem(text, lasts=True)
    if isinstance(error, InvalidResponse):
        return _wrong_protocol(settings) or Problem(f"what answers for {where} is not Redis", True)
    if isinstance(error, ResponseError):
        text = f"{where} refused: {_message(error)}"
        if _UNKNOWN.search(text):
            return Problem(f"{text}; {NEEDED}", lasts=True)
        return Problem(text, lasts=bool(_LASTING.search(text)))
    lasting = _tls_problem(error, settings)
    if lasting is None and _was_cut_off(error):
        lasting = _wrong_protocol(settings)
    return lasting or Problem(f"{where} can't be reached ({_message(error)})", lasts=False)


def _message(error: BaseException) -> str:
    text = re.sub(r" \(_ssl\.c:\d+\)", "", str(error)) or type(error).__name__
    return text.rstrip(".")


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


# -- TLS ---------------------------------------------------------------------------------------


def _tls_problem(error: Exception, settings: Settings) -> Problem | None:
    """Say what is wrong with TLS where the error itself says that it is TLS."""
    where = f"Redis at {settings.masked_redis_url}"
    for cause in _causes(error):
        if isinstance(cause, ssl.SSLCertVerificationError):
            text = (
                f"{where}: {_message(cause)}. Name the certificate's authority by "
                "ssl_ca_certs=FILE in WORKER_REDIS_URL, and the host as the certificate does"
            )
            return Problem(text, lasts=True)
        if isinstance(cause, ssl.SSLError):
            text = (
                f"{where}: TLS failed ({_message(cause)}): see the ssl_ options of WORKER_REDIS_URL"
            )
            return _wrong_protocol(settings) or Problem(text, lasts=True)
        if _is_tls(settings) and isinstance(cause, _BAD_OPTIONS):
            text = f"{where}: an ssl_ option of WORKER_REDIS_URL can't be used ({_message(cause)})"
            return Problem(text, lasts=True)
    return None


def _was_cut_off(error: Exception) -> bool:
    """Whether something listened there and did not answer as Redis does."""
    refused = any(
        isinstance(cause, ConnectionRefusedError | socket.gaierror) for cause in _causes(error)
    )
    return isinstance(error, ConnectionError | TimeoutError) and not refused


def _is_tls(settings: Settings) -> bool:
    return settings.redis_url.get_secret_value().startswith("rediss://")


def _wrong_protocol(settings: Settings) -> Problem | None:
    """Look whether the port speaks TLS where the URL says plain, or the other way round."""
    url = urlsplit(settings.redis_url.get_secret_value())
    if not url.hostname:
        return None
    address = url.hostname, url.port or _PORT
    if not _is_tls(settings):
        text = "speaks TLS: begin WORKER_REDIS_URL with rediss://"
        found = _shakes_hands(address)
    elif _answers_in_plain(address):
        text = "does not speak TLS: begin WORKER_REDIS_URL with redis://"
        found = True
    else:
        text = (
            "asks for a certificate of its clients: name one by ssl_certfile=FILE and "
            "ssl_keyfile=FILE in WORKER_REDIS_URL"
        )
        found = _shakes_hands(address, refused_by="CERTIFICATE_REQUIRED")
    return Problem(f"Redis at {settings.masked_redis_url} {text}", lasts=True) if found else None


def _shakes_hands(address: tuple[str, int], *, refused_by: str = "") -> bool:
    """Whether a TLS server is there; with `refused_by`, whether it refuses us for that reason."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE  # no secret is sent, and nothing is believed
    try:
        with (
            socket.create_connection(address, _PROBE_TIMEOUT) as plain,
            context.wrap_socket(plain, server_hostname=address[0]) as secure,
        ):
            if refused_by:
                secure.recv(1)  # a refusal comes after the handshake
            return not refused_by
    except ssl.SSLError as error:
        return bool(refused_by) and refused_by in str(error)
    except (OSError, UnicodeError):  # UnicodeError: no name of a host
        return False


def _answers_in_plain(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, _PROBE_TIMEOUT) as plain:
            plain.sendall(b"PING\r\n")
            return plain.recv(64).startswith(_RESP)
    except (OSError, UnicodeError):
        return False
