"""Turns whatever a call to AWS raises into one error that an operator can act on.

`misconfigured` is set where waiting does not help. No message quotes an item or a credential.
"""

import ssl

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,  # noqa: A004 - botocore's own
    CredentialRetrievalError,
    HTTPClientError,
    NoCredentialsError,
    NoRegionError,
    PartialCredentialsError,
    SSOError,
    TokenRetrievalError,
)

from worker.config.reply import NotDynamo
from worker.errors import ConfigUnavailable

WRONG_KEY = "its partition key is not the string that WORKER_CONFIG_KEY names"

_READS = ("GetItem", "BatchGetItem")
_OPERATOR_HINTS = {
    "ExpiredTokenException": "the AWS credentials have expired: renew them",
    "IncompleteSignature": "the AWS credentials are incomplete",
    "InvalidSignatureException": "the AWS secret key does not match the access key",
    "MissingAuthenticationToken": "no AWS credentials were sent",
    "ResourceNotFoundException": "there is no such table: create it with 'worker config init', or "
    "set WORKER_CONFIG_TABLE and AWS_REGION",
    "UnrecognizedClientException": "AWS does not know these credentials",
}
_SOURCE_HINTS: dict[tuple[type[BotoCoreError], ...], str] = {
    (NoCredentialsError, PartialCredentialsError, NoRegionError): "set AWS_ACCESS_KEY_ID and "
    "AWS_SECRET_ACCESS_KEY, or AWS_PROFILE, or give this host a role",
    (SSOError, TokenRetrievalError): "log in with 'aws sso login'",
    (CredentialRetrievalError,): "check what it runs or asks",
}
# What the services that hand out credentials answer when they are busy.
_PASSES = {"IDPCommunicationError", "RequestLimitExceeded", "TooManyRequestsException"}
_SERVER_ERROR = 500  # the first HTTP status of a server that fails
_LONGEST = 300  # characters of somebody else's message


def is_failed_condition(error: Exception) -> bool:
    """Whether a conditional write was not done because its condition does not hold."""
    return isinstance(error, ClientError) and _code(error) == "ConditionalCheckFailedException"


def call_failure(error: Exception, table: str, endpoint: str) -> ConfigUnavailable:
    """Return what to raise for an error of a call to DynamoDB."""
    if isinstance(error, ConfigUnavailable):
        return error
    if isinstance(error, ClientError):
        code = _code(error)
        hint = _OPERATOR_HINTS.get(code) or _hint_by_operation(code, error)
        return ConfigUnavailable(
            f"DynamoDB refused table {table!r} ({code})" + (f": {hint}" if hint else ""),
            misconfigured=hint is not None,
        )
    if isinstance(error, NoCredentialsError | PartialCredentialsError | NoRegionError):
        return credentials_failure(error)
    if isinstance(error, NotDynamo):
        return ConfigUnavailable(f"what answers for table {table!r} is not DynamoDB: {error}")
    kind = type(error).__name__
    if isinstance(error, BotoCoreError | OSError):
        tls = _tls_problem(error)
        return ConfigUnavailable(
            f"DynamoDB at {endpoint} can't be reached for table {table!r} ({tls or kind})",
            misconfigured=tls is not None,
        )
    # The SDK fails in many ways on replies that are not DynamoDB's.
    return ConfigUnavailable(f"what answers for table {table!r} is not DynamoDB ({kind})")


def _tls_problem(error: BaseException | None) -> str | None:
    """Return what is wrong with TLS where no waiting changes it; None for what may pass."""
    while error is not None:
        if isinstance(error, ssl.SSLCertVerificationError):
            return f"{_short(error)}: name the certificate's authority by AWS_CA_BUNDLE=FILE"
        if isinstance(error, ssl.SSLError) and "WRONG_VERSION_NUMBER" in str(error):
            return "it does not speak TLS: check AWS_ENDPOINT_URL_DYNAMODB, http:// or https://"
        error = error.__cause__ or error.__context__
    return None


def credentials_failure(error: Exception) -> ConfigUnavailable:
    """Return what to raise where AWS credentials can't be fetched or refreshed.

    Their sources answer with anything, and botocore then raises anything: all but what is the
    network's fault is for an operator to fix.
    """
    kind = type(error).__name__
    if _passes(error):
        return ConfigUnavailable(f"AWS credentials can't be fetched now ({kind})")
    return ConfigUnavailable(
        f"no AWS credentials ({kind}): {_credentials_hint(error)}", misconfigured=True
    )


def _credentials_hint(error: Exception) -> str:
    """Return what is wrong with the source of credentials, and what to fix."""
    if isinstance(error, ClientError):
        return (
            f"AWS refused {error.operation_name} ({_code(error)}): check the role, whom it trusts, "
            "and that these credentials may use it"
        )
    if isinstance(error, BotoCoreError):
        return _short(error) + next(
            (f": {fix}" for kinds, fix in _SOURCE_HINTS.items() if isinstance(error, kinds)), ""
        )
    if isinstance(error, OSError):
        return (
            f"{error.filename!r} can't be read ({error.strerror}): check "
            "AWS_WEB_IDENTITY_TOKEN_FILE and the profile's credential_process"
        )
    if isinstance(error, RuntimeError):
        return "their source returns expired ones: renew them"
    return (
        "their source answers with something else: check what the profile's credential_process "
        "prints, and what AWS_CONTAINER_CREDENTIALS_FULL_URI returns"
    )


def _passes(error: BaseException) -> bool:
    """Whether the network, or a server that is busy, was the reason."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, HTTPClientError | ConnectionError | TimeoutError):
            return True
        if isinstance(cause, ClientError):
            status = cause.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
            code = _code(cause)
            return status >= _SERVER_ERROR or "Throttl" in code or code in _PASSES
        cause = cause.__cause__ or cause.__context__
    return False


def _hint_by_operation(code: str, error: ClientError) -> str | None:
    """Return what an operator has to fix, where that depends on the operation."""
    reading = error.operation_name in _READS
    if code == "AccessDeniedException":
        names = " and ".join(
            f"dynamodb:{name}" for name in (_READS if reading else [error.operation_name])
        )
        return f"these credentials may not do that: allow {names} on the table"
    if code == "ValidationException":
        if reading:
            return WRONG_KEY
        return _short(error.response.get("Error", {}).get("Message") or code)
    return None


def _code(error: ClientError) -> str:
    return _short(error.response.get("Error", {}).get("Code") or "unknown error")


def _short(text: object) -> str:
    """Somebody else's words: one line, and not too long."""
    line = " ".join(str(text).split())
    return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
