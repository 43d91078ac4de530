"""The signatures that handlers have, for type checkers: none of this is used at run time.

A handler's parameters are passed by name, and it takes any of them. No type says "a function with a
parameter of this name, and maybe others", so each set of parameters is a protocol of its own.
"""

from typing import Any, Protocol, TypedDict, TypeVar

_P_contra = TypeVar("_P_contra", contravariant=True)
_Each = TypeVar("_Each")
Payload = TypeVar("Payload")


class JobOptions(TypedDict, total=False):
    """The options of `enqueue`; see there."""

    config: str | None
    id: str | None
    queue: str | None
    delay: float | None
    expires_at: int | None
    reply_to: str | None


# -- a handler that takes a payload ------------------------------------------------------------


class _Takes(Protocol[_P_contra]):
    def __call__(self, *, payload: _P_contra) -> Any: ...


class _TakesC(Protocol[_P_contra]):
    def __call__(self, *, payload: _P_contra, config: Any) -> Any: ...


class _TakesJ(Protocol[_P_contra]):
    def __call__(self, *, payload: _P_contra, job: Any) -> Any: ...


class _TakesS(Protocol[_P_contra]):
    def __call__(self, *, payload: _P_contra, state: Any) -> Any: ...


class _TakesCJ(Protocol[_P_contra]):
    def __call__(self, *, payload: _P_contra, config: Any, job: Any) -> Any: ...


class _TakesCS(Protocol[_P_contra]):
    def __call__(self, *, payload: _P_contra, config: Any, state: Any) -> Any: ...


class _TakesJS(Protocol[_P_contra]):
    def __call__(self, *, payload: _P_contra, job: Any, state: Any) -> Any: ...


class _TakesCJS(Protocol[_P_contra]):
    def __call__(self, *, payload: _P_contra, config: Any, job: Any, state: Any) -> Any: ...


# -- a handler of batches, each job with one of the payloads -----------------------------------


class _Batch(Protocol[_Each]):
    def __call__(self, *, payloads: list[_Each]) -> Any: ...


class _BatchC(Protocol[_Each]):
    def __call__(self, *, payloads: list[_Each], configs: Any) -> Any: ...


class _BatchJ(Protocol[_Each]):
    def __call__(self, *, payloads: list[_Each], jobs: Any) -> Any: ...


class _BatchS(Protocol[_Each]):
    def __call__(self, *, payloads: list[_Each], state: Any) -> Any: ...


class _BatchCJ(Protocol[_Each]):
    def __call__(self, *, payloads: list[_Each], configs: Any, jobs: Any) -> Any: ...


class _BatchCS(Protocol[_Each]):
    def __call__(self, *, payloads: list[_Each], configs: Any, state: Any) -> Any: ...


class _BatchJS(Protocol[_Each]):
    def __call__(self, *, payloads: list[_Each], jobs: Any, state: Any) -> Any: ...


class _BatchCJS(Protocol[_Each]):
    def __call__(self, *, payloads: list[_Each], configs: Any, jobs: Any, state: Any) -> Any: ...


# -- a handler that takes no payload -----------------------------------------------------------


class _Plain(Protocol):
    def __call__(self) -> Any: ...


class _PlainC(Protocol):
    def __call__(self, *, config: Any) -> Any: ...


class _PlainJ(Protocol):
    def __call__(self, *, job: Any) -> Any: ...


class _PlainS(Protocol):
    def __call__(self, *, state: Any) -> Any: ...


class _PlainCJ(Protocol):
    def __call__(self, *, config: Any, job: Any) -> Any: ...


class _PlainCS(Protocol):
    def __call__(self, *, config: Any, state: Any) -> Any: ...


class _PlainJS(Protocol):
    def __call__(self, *, job: Any, state: Any) -> Any: ...


class _PlainCJS(Protocol):
    def __call__(self, *, config: Any, job: Any, state: Any) -> Any: ...


TakesPayload = (
    _Takes[Payload]
    | _TakesC[Payload]
    | _TakesJ[Payload]
    | _TakesS[Payload]
    | _TakesCJ[Payload]
    | _TakesCS[Payload]
    | _TakesJS[Payload]
    | _TakesCJS[Payload]
    | _Batch[Payload]
    | _BatchC[Payload]
    | _BatchJ[Payload]
    | _BatchS[Payload]
    | _BatchCJ[Payload]
    | _BatchCS[Payload]
    | _BatchJS[Payload]
    | _BatchCJS[Payload]
)
TakesNoPayload = _Plain | _PlainC | _PlainJ | _PlainS | _PlainCJ | _PlainCS | _PlainJS | _PlainCJS
