"""Calls of our own on the shared client: their replies are taken as bytes, unparsed.

botocore parses a reply as a whole, so that one value that it can't parse would lose all hundred
items. It also fetches credentials in the middle of a call, so that a fault of theirs looks like one
of DynamoDB's. Handlers use the same client: for their calls nothing changes.
"""

from collections.abc import Awaitable
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, TypeVar

import anyio

from worker.config.failures import credentials_failure
from worker.config.reply import NotDynamo

if TYPE_CHECKING:
    from types_aiobotocore_dynamodb import DynamoDBClient

T = TypeVar("T")

# Seconds that one call may take, its retries and new credentials included, and that credentials may
# take. The SDK's own time-outs are shorter, but sources of credentials have none, or a minute.
_LONGEST_CALL = 10.0
_LONGEST_FETCH = 5.0
_FIRST_ERROR = 300  # HTTP status


class _Call:
    """A call of ours under way in this task. `body` is its last reply, if it takes bodies."""

    def __init__(self, *, takes_body: bool) -> None:
        self.takes_body = takes_body
        self.body: bytes | None = None


_call: ContextVar[_Call | None] = ContextVar("_call", default=None)


def prepare(client: "DynamoDBClient", credentials: Any) -> None:
    """Make the client able to do calls of our own. `credentials` are those that it signs with."""

    async def fetch_credentials(**_: Any) -> None:
        """Fetch what is due, so that whatever that raises is known for what it is."""
        if _call.get() is None or credentials is None:
            return
        try:
            with anyio.fail_after(_LONGEST_FETCH):
                await credentials.get_frozen_credentials()
        except Exception as error:
            raise credentials_failure(error) from error

    events: Any = client.meta.events  # the types don't know that handlers may be coroutines
    # The first event of a call: the next step is the endpoint, which needs credentials already.
    events.register("provide-client-params.dynamodb", fetch_credentials)
    events.register("before-parse.dynamodb", _take_body)


async def raw_reply(call: Awaitable[Any]) -> bytes:
    """Await a call of a client that is prepared, and return the body of its reply.

    Raise ConfigUnavailable for credentials that can't be fetched, TimeoutError after 10 s, and
    whatever the SDK raises.
    """
    ours = _Call(takes_body=True)
    await _within(ours, call)
    if ours.body is None:
        raise NotDynamo("its reply has no body")
    return ours.body


async def parsed_reply(call: Awaitable[T]) -> T:
    """Await a call of a client that is prepared, and return its reply as the SDK parses it.

    Raise like `raw_reply`.
    """
    return await _within(_Call(takes_body=False), call)


async def _within(ours: _Call, call: Awaitable[T]) -> T:
    token = _call.set(ours)
    try:
        with anyio.fail_after(_LONGEST_CALL):
            return await call
    finally:
        _call.reset(token)


def _take_body(response_dict: dict[str, Any], **_: Any) -> None:
    """Take the body of a good reply, and leave an empty object to parse. Errors are botocore's."""
    ours = _call.get()
    if ours is not None and ours.takes_body and response_dict["status_code"] < _FIRST_ERROR:
        ours.body = response_dict["body"]
        response_dict["body"] = b"{}"
