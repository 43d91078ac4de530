"""The registry of what users write: handlers, and what wraps them or lives beside them."""

import inspect
import typing
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, TypeVar, overload
from weakref import WeakSet

from worker.errors import HandlerError
from worker.jobs.policy import POLICY_OPTIONS, policy_problems
from worker.jobs.type_hints import element_type, result_element_type

Function = TypeVar("Function", bound=Callable[..., Any])
Lifespan = Callable[["App"], AbstractAsyncContextManager[Any]]

# Seconds that a job of a batch handler waits for others.
DEFAULT_LINGER, LONGEST_LINGER = 0.05, 3600.0
_CALL_OPTIONS = ("concurrency", "batch", "linger")
# The parameters of a handler, and of one that takes batches.
_ONE = ("payload", "config", "job", "state")
_MANY = ("payloads", "configs", "jobs", "state")
_PLAIN = (inspect.Parameter.empty, Any, object, dict, dict[str, Any], Mapping, Mapping[str, Any])


@dataclass(eq=False)
class Handler:
    """One registered function: the parameters that it takes, and the options of its decorator.

    `options` are changes of the settings' policy, and have no problems. `concurrency` is how many
    calls run at a time in a process; None: no limit of its own. `batch` is the most jobs of one
    call, None where a call is for one job; `linger` is how many seconds a job waits for others.
    `takes` has `payload` for a batch handler's `payloads`, and the types are those of one job.
    """

    name: str
    function: Callable[..., Any]
    options: dict[str, Any]
    is_async: bool
    takes: frozenset[str]
    concurrency: int | None = None
    batch: int | None = None
    linger: float = DEFAULT_LINGER
    payload_type: Any = field(default=None, init=False)
    config_type: Any = field(default=None, init=False)
    result_type: Any = field(default=None, init=False)

    def resolve(self) -> None:
        """Resolve the annotations, which may name types defined further down the module.

        Raise HandlerError where one can't be resolved, or where a batch handler's are no lists.
        """
        try:
            hints = typing.get_type_hints(_annotated(self.function), include_extras=True)
        except Exception as error:
            raise HandlerError(f"handler {self.name!r}: its annotations fail: {error}") from error
        if self.batch is None:
            self.payload_type = hints.get("payload", Any)
            self.config_type = hints.get("config", Any)
            self.result_type = hints.get("return", Any)
            return
        try:
            self.payload_type = element_type(hints.get("payloads", Any))
            self.config_type = element_type(hints.get("configs", Any))
            self.result_type = result_element_type(hints.get("return", Any))
        except TypeError as error:
            raise HandlerError(
                f"handler {self.name!r} takes batches, and {error} is no list of one type"
            ) from None

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


@dataclass(frozen=True, eq=False)
class Callback:
    """One function of `@app.middleware` or `@app.on_error`, and the parameters that it takes."""

    name: str
    function: Callable[..., Any]
    is_async: bool
    takes: frozenset[str]


class App:
    """The handlers of a worker. Creating an app opens nothing and reads nothing.

    `lifespan` is a function that takes the app and returns an async context manager, such as one
    that `contextlib.asynccontextmanager` has decorated. Each process enters it once, after Redis
    and the config table are ready and before it claims a job, and leaves it after it has drained.
    What it yields reaches handlers, middleware and `on_error` as their parameter `state`.

    ```python
    @asynccontextmanager
    async def lifespan(app: App) -> AsyncIterator[Pool]:
        async with create_pool() as pool:
            yield pool

    app = App(lifespan=lifespan)

    @app.handler
    async def resize(payload: Image, config: Size, state: Pool) -> dict: ...
    ```
    """

    def __init__(self, *, lifespan: Lifespan | None = None) -> None:
        _check_lifespan(lifespan)
        self.lifespan = lifespan
        self.handlers: dict[str, Handler] = {}
        self.middlewares: list[Callback] = []
        self.error_callbacks: list[Callback] = []
        self.is_included = False
        _apps.add(self)

    # -- registering ---------------------------------------------------------------------------

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
        concurrency: int | None = None,
        batch: int | None = None,
        linger: float | None = None,
    ) -> Callable[[Function], Function]: ...

    def handler(
        self, function_or_name: Callable[..., Any] | str | None = None, /, **options: Any
    ) -> Any:
        """Register a function as the handler of the jobs that name it. Return it unchanged.

        The name is the function's own unless given. Its parameters are any of `payload`, `config`,
        `job` and `state`. What it returns has to be of the type that it declares, if any.

        `timeout` and `result_ttl` are in seconds, `backoff` is a mapping of `base` (s), `factor`
        and `max` (s). `concurrency` is how many calls run at a time in each process; jobs beyond
        them wait there, and their time limits have not begun.

        With `batch` one call is for up to so many jobs, gathered for `linger` seconds (0.05 unless
        given). The parameters then are any of `payloads`, `configs`, `jobs`, which are lists of one
        length, and `state`. The function returns a list of that length, whose items are results or
        exceptions (that job's fate, as if raised), or None for a None each. What it raises fails
        the attempt of each job.

        Raise HandlerError for other parameters, for options out of range, and for a name that is
        taken.
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

    def middleware(self, function: Function, /) -> Function:
        """Register a function that wraps each call of a handler. Return it unchanged.

        It is `async`, and its parameters are any of `job`, `call_next`, `config` (the job's item as
        a plain dict) and `state`. `await call_next()` runs what is within and returns its value;
        what the function returns is the job's result, and what it raises decides the job's fate
        as a handler's error does. The first that is registered is the outermost. Raise HandlerError
        for other parameters, and for a function that is not async or takes no `call_next`.
        """
        callback = _callback("middleware", function, ("job", "call_next", "config", "state"))
        self._check_open(callback.name)
        if not callback.is_async:
            raise HandlerError(f"{callback.name} must be 'async def', to await call_next()")
        if "call_next" not in callback.takes:
            raise HandlerError(f"{callback.name} must take call_next: 'await call_next()' runs it")
        self.middlewares.append(callback)
        return function

    def on_error(self, function: Function, /) -> Function:
        """Register a function that is called for each failed attempt. Return it unchanged.

        It may be `async`; a plain function runs in a thread. Its parameters are any of `error` (the
        exception), `job`, `fate` ("retried" or "buried") and `state`. It is called beside the jobs
        and has 5 s. What it returns or raises changes nothing. Raise HandlerError for other
        parameters.
        """
        callback = _callback("on_error", function, ("error", "job", "fate", "state"))
        self._check_open(callback.name)
        self.error_callbacks.append(callback)
        return function

    def include(self, other: "App") -> None:
        """Take over the handlers of another app, such as that of another module.

        They then are handlers of this app, with its lifespan, middleware and `on_error`. Raise
        HandlerError for a name that is taken, and for an app that has a lifespan, middleware or
        `on_error` of its own. The other app takes no registrations any more, as they would be lost.
        """
        if not isinstance(other, App):
            raise HandlerError(f"include takes an App, not {other!r}")
        if other.lifespan or other.middlewares or other.error_callbacks:
            raise HandlerError(
                "an app with a lifespan, middleware or on_error of its own can't be included: "
                "they belong to the app that runs"
            )
        for name in other.handlers:
            self._check_open(f"handler {name!r}")
            if name in self.handlers:
                raise HandlerError(f"handler {name!r} is registered twice")
        self.handlers |= other.handlers
        other.is_included = True

    # -- checking ------------------------------------------------------------------------------

    def _check_open(self, what: str) -> None:
        if self.is_included:
            raise HandlerError(
                f"{what} comes too late: its app was included by another, which would miss it"
            )

    def check(self) -> None:
        """Raise HandlerError where a function takes `state` and the app has no lifespan."""
        if self.lifespan is not None:
            return
        callbacks = [*self.middlewares, *self.error_callbacks]
        wanting = [f"handler {h.name!r}" for h in self.handlers.values() if "state" in h.takes]
        wanting += [callback.name for callback in callbacks if "state" in callback.takes]
        if wanting:
            raise HandlerError(
                f"{wanting[0]} takes 'state', which is what a lifespan yields, and the app has "
                "none: App(lifespan=...)"
            )

    def _register(self, name: str | None, function: Any, options: dict[str, Any]) -> None:
        self._check_open(f"handler {name!r}")
        if not name:
            raise HandlerError(f"{function!r} has no name of its own: @app.handler('a_name')")
        if name in self.handlers:
            raise HandlerError(f"handler {name!r} is registered twice")
        if not callable(function):
            raise HandlerError(f"handler {name!r} must be a function, not {function!r}")
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise HandlerError(f"handler {name!r} must return its result: it is a generator")
        kept = {key: value for key, value in options.items() if value is not None}
        calls: dict[str, Any] = {key: kept.pop(key) for key in _CALL_OPTIONS if key in kept}
        _check_calls(name, calls)
        _check_options(name, kept)
        takes = _parameters(f"handler {name!r}", function, _MANY if "batch" in calls else _ONE)
        if "batch" in calls:
            takes = frozenset(_ONE[_MANY.index(parameter)] for parameter in takes)
        is_async = _is_async(function)
        self.handlers[name] = Handler(name, function, kept, is_async, takes, **calls)


def _callback(kind: str, function: Any, parameters: tuple[str, ...]) -> Callback:
    if not callable(function):
        raise HandlerError(f"@app.{kind} takes a function, not {function!r}")
    name = f"{kind} {getattr(function, '__name__', repr(function))!r}"
    if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
        raise HandlerError(f"{name} must not be a generator")
    takes = _parameters(name, function, parameters)
    return Callback(name, function, _is_async(function), takes)


def _check_lifespan(lifespan: Any) -> None:
    if lifespan is None:
        return
    if inspect.isasyncgenfunction(lifespan) or inspect.isgeneratorfunction(lifespan):
        raise HandlerError(
            "the lifespan is a generator: decorate it with @contextlib.asynccontextmanager"
        )
    is_opened = hasattr(lifespan, "__aenter__") and not inspect.isclass(lifespan)
    if not callable(lifespan) or is_opened:
        raise HandlerError(
            "the lifespan must be a function that takes the app and returns an async context "
            f"manager, not {lifespan!r}"
        )
    try:
        inspect.signature(lifespan).bind(None)
    except TypeError:
        raise HandlerError("the lifespan must take one argument, the app") from None


_apps: WeakSet[App] = WeakSet()  # so that a producer finds the name of a handler


def handler_name(function: Callable[..., Any], *apps: App) -> str:
    """Return the name under which this function is registered, in these apps or in any.

    Raise HandlerError for a function that is no handler, and for one that has several names.
    """
    handlers = (handler for app in apps or _apps for handler in app.handlers.values())
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


def _is_async(function: Any) -> bool:
    return any(map(inspect.iscoroutinefunction, (function, _annotated(function))))


def _parameters(
    what: str, function: Callable[..., Awaitable[Any] | Any], known: tuple[str, ...]
) -> frozenset[str]:
    """Return the names of a function's parameters. Raise HandlerError for one that is not known."""
    taken = []
    for parameter in inspect.signature(function).parameters.values():
        by_name = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
        if parameter.name in known and by_name:
            taken.append(parameter.name)
        else:
            raise HandlerError(
                f"{what} takes {str(parameter)!r}: its parameters are any of "
                f"{', '.join(known[:-1])} and {known[-1]}, passed by name"
            )
    return frozenset(taken)


def _check_calls(name: str, options: dict[str, Any]) -> None:
    """Raise HandlerError for bad values of the options that say how calls are made."""
    for option in ("concurrency", "batch"):
        value = options.get(option, 1)
        if type(value) is not int or value < 1:
            raise HandlerError(
                f"handler {name!r}: {option} must be an integer, 1 or more, not {value!r}"
            )
    linger = options.get("linger", DEFAULT_LINGER)
    if type(linger) not in (int, float) or not 0 <= linger <= LONGEST_LINGER:
        raise HandlerError(
            f"handler {name!r}: linger must be 0 to {LONGEST_LINGER:g} seconds, not {linger!r}"
        )
    if "linger" in options and "batch" not in options:
        raise HandlerError(f"handler {name!r}: linger is for handlers with batch=...")


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
