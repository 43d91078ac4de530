"""The registry of handlers that users write."""

import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload
from weakref import WeakSet

from worker.errors import HandlerError
from worker.jobs.policy import POLICY_OPTIONS, policy_problems

Function = TypeVar("Function", bound=Callable[..., Any])

_PARAMETERS = ("payload", "config", "job")
_PLAIN = (inspect.Parameter.empty, Any, object, dict, dict[str, Any], Mapping, Mapping[str, Any])


@dataclass(eq=False)
class Handler:
    """One registered function: the parameters that it takes, and the options of its decorator.

    `options` are changes of the settings' policy, and have no problems.
    """

    name: str
    function: Callable[..., Any]
    options: dict[str, Any]
    is_async: bool
    takes: frozenset[str]
    payload_type: Any = field(default=None, init=False)
    config_type: Any = field(default=None, init=False)

    def resolve(self) -> None:
        """Resolve the annotations, which may name types defined further down the module.

        Raise HandlerError where one can't be resolved.
        """
        try:
            hints = typing.get_type_hints(_annotated(self.function), include_extras=True)
        except Exception as error:
            raise HandlerError(f"handler {self.name!r}: its annotations fail: {error}") from error
        self.payload_type = hints.get("payload", Any)
        self.config_type = hints.get("config", Any)

    @property
    def config_is_plain(self) -> bool:
        """Whether the handler gets its config as plain values, with nothing to validate."""
        return self.config_type in _PLAIN

    def arguments(self, payload: Any, config: Any, job: Any) -> dict[str, Any]:
        """Return those of the three that the function takes, by name."""
        takes, chosen = self.takes, {}
        if "payload" in takes:
            chosen["payload"] = payload
        if "config" in takes:
            chosen["config"] = config
        if "job" in takes:
            chosen["job"] = job
        return chosen


class App:
    """The handlers of a worker. Creating an app opens nothing and reads nothing.

    ```python
    app = App()

    @app.handler
    async def resize(payload: Image, config: Size) -> dict: ...
    ```
    """

    def __init__(self) -> None:
        self.handlers: dict[str, Handler] = {}
        _apps.add(self)

    @overload
    def handler(self, function: Function, /) -> Function: ...

    @overload
    def handler(
        self,
        name: str | None = None,
        /,
        *,
        timeout: float | None = None,
        max_attempts: int | None = None,
        backoff: Mapping[str, float] | None = None,
        result_ttl: float | None = None,
    ) -> Callable[[Function], Function]: ...

    def handler(
        self, function_or_name: Callable[..., Any] | str | None = None, /, **options: Any
    ) -> Any:
        """Register a function as the handler of the jobs that name it. Return it unchanged.

        The name is the function's own unless given. `timeout` and `result_ttl` are in seconds,
        `backoff` is a mapping of `base` (s), `factor` and `max` (s). Raise HandlerError for
        parameters other than `payload`, `config` and `job`, for options out of range, and for a
        name that is taken.
        """
        if callable(function_or_name):
            self._register(getattr(function_or_name, "__name__", None), function_or_name, {})
            return function_or_name
        if function_or_name is not None and not (
            isinstance(function_or_name, str) and function_or_name
        ):
            raise HandlerError(f"a handler's name must be a string, not {function_or_name!r}")

        def register(function: Function) -> Function:
            name = function_or_name or getattr(function, "__name__", None)
            self._register(name, function, options)
            return function

        return register

    def _register(self, name: str | None, function: Any, options: dict[str, Any]) -> None:
        if not name:
            raise HandlerError(f"{function!r} has no name of its own: @app.handler('a_name')")
        if name in self.handlers:
            raise HandlerError(f"handler {name!r} is registered twice")
        if not callable(function):
            raise HandlerError(f"handler {name!r} must be a function, not {function!r}")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise HandlerError(f"handler {name!r} must return its result: it is a generator")
        kept = {key: value for key, value in options.items() if value is not None}
        _check_options(name, kept)
        self.handlers[name] = Handler(
            name=name,
            function=function,
            options=kept,
            is_async=any(map(inspect.iscoroutinefunction, (function, _annotated(function)))),
            takes=_parameters(name, function),
        )


_apps: WeakSet[App] = WeakSet()  # so that a producer finds the name of a handler


def handler_name(function: Callable[..., Any]) -> str:
    """Return the name under which this function is registered, in whatever app.

    Raise HandlerError for a function that is no handler, and for one that has several names.
    """
    handlers = (handler for app in _apps for handler in app.handlers.values())
    names = sorted({handler.name for handler in handlers if handler.function == function})
    if len(names) == 1:
        return names[0]
    if names:
        raise HandlerError(
            f"{function!r} is registered as {' and as '.join(map(repr, names))}: say which, as a "
            "string"
        )
    raise HandlerError(
        f"{function!r} is no handler: register it with @app.handler, or name a handler as a string"
    )


def _annotated(function: Any) -> Any:
    """Return what has the annotations: the function, or the one that a callable object calls."""
    if inspect.isroutine(function) or inspect.isclass(function):
        return inspect.unwrap(function)
    inner = getattr(function, "func", None)  # functools.partial's
    return _annotated(inner) if inner is not None else type(function).__call__


def _parameters(name: str, function: Callable[..., Awaitable[Any] | Any]) -> frozenset[str]:
    taken = []
    for parameter in inspect.signature(function).parameters.values():
        by_name = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if parameter.name in _PARAMETERS and by_name:
            taken.append(parameter.name)
        else:
            raise HandlerError(
                f"handler {name!r} takes {str(parameter)!r}: a handler's parameters are any of "
                "payload, config and job, passed by name"
            )
    return frozenset(taken)


def _check_options(name: str, options: dict[str, Any]) -> None:
    for problem in policy_problems(options):
        option, *inner = problem.path
        if problem.expected is not None:
            wrong = f"{' '.join(problem.path)} must be {problem.expected}, not {problem.value!r}"
        elif inner:
            wrong = f"{option} has no {inner[0]!r}"
        else:
            wrong = f"{option}={problem.value!r} is none of {POLICY_OPTIONS}"
        raise HandlerError(f"handler {name!r}: {wrong}")
