"""A handler bound to its types: validators built once, and its view of a config item."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic.errors import PydanticUserError
from pydantic_core import to_json

from worker.app import Handler
from worker.errors import HandlerError
from worker.execution.batches import Batches
from worker.execution.explanations import explain
from worker.execution.result_type import ResultType
from worker.execution.turns import Turns
from worker.execution.validation import config_validator, payload_validator
from worker.jobs.config_item import ConfigItem, copied
from worker.jobs.policy import Policy, policy_problems
from worker.jobs.type_hints import never_returns

Validate = TypeVar("Validate", bound=Callable[[Any], Any])


@dataclass(frozen=True, slots=True)
class ConfigView:
    """One version of a config item, as one handler sees it.

    The two infos are what results say of it, None where there is no item. `problem` says which
    attribute is wrong where the item can't be used. Made once for each version of an item, and with
    it the infos' JSON, which every result repeats.
    """

    value: Any
    policy: Policy
    info: dict[str, Any] | None
    stale_info: dict[str, Any] | None
    problem: str | None = None
    info_json: bytes = field(init=False)
    stale_info_json: bytes = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "info_json", to_json(self.info))
        object.__setattr__(self, "stale_info_json", to_json(self.stale_info))


class BoundHandler:
    """A registered handler, ready to run.

    Raise HandlerError for annotations that can't be resolved or that pydantic can't validate.
    """

    def __init__(self, handler: Handler, settings: Policy) -> None:
        handler.resolve()
        self.name: str = handler.name
        self.function: Callable[..., Any] = handler.function
        self.is_async: bool = handler.is_async
        self.takes_batches: bool = handler.batch is not None
        self.is_direct: bool = self.is_async and not self.takes_batches  # called as it is
        self.turns: Turns | Batches | None = _turns(handler)
        self.arguments: Callable[[Any, Any, Any], dict[str, Any]] = handler.arguments
        self._takes_state = "state" in handler.takes
        self._state: Any = None
        self.policy: Policy = settings.changed(handler.options)
        self._takes_plain_config = handler.config_is_plain
        self._takes_config = "config" in handler.takes
        self.validate_payload: Callable[[Any], Any] | None = _validator(
            payload_validator, handler, "payload"
        )
        self._validate_config = _validator(config_validator, handler, "config")
        self.result_type: ResultType | None = _result_type(handler)

    def give_state(self, state: Any) -> None:
        """Pass what the app's lifespan yielded to each call, if the function takes it."""
        self._state = state
        if self._takes_state and not self.takes_batches:
            arguments = self.arguments
            self.arguments = lambda *given: {**arguments(*given), "state": state}

    def batch_arguments(self, jobs: list[dict[str, Any]]) -> dict[str, Any]:
        """Return the arguments of one call for many jobs, from those of each of them."""
        arguments: dict[str, Any] = {f"{name}s": [job[name] for job in jobs] for name in jobs[0]}
        return {**arguments, "state": self._state} if self._takes_state else arguments

    def view(self, item: ConfigItem) -> ConfigView:
        """Return this handler's view of the item, made once for each version of it."""
        view: ConfigView | None = item.views.get(self.name)
        if view is None:
            view = item.views[self.name] = self._make_view(item)
        return view

    def config_of(self, view: ConfigView) -> Any:
        """Return the config for one run: a copy of plain values, models as they are."""
        return copied(view.value) if self._takes_plain_config else view.value

    def _make_view(self, item: ConfigItem) -> ConfigView:
        info = stale_info = None
        if item.attributes is not None:
            info = {"key": item.key, "version": item.version, "stale": False}
            stale_info = {**info, "stale": True}
        if item.problem is not None:
            return ConfigView(None, self.policy, info, stale_info, item.problem)
        changes = {} if item.policy is None else item.policy
        problems = "; ".join(map(str, policy_problems(changes)))
        if problems:
            return ConfigView(None, self.policy, info, stale_info, problems)
        policy = self.policy.changed(changes)
        try:
            value = self._value(item)
        except Exception as error:  # noqa: BLE001 - a user's validator may raise anything
            problem = explain(error, secret=True)
            return ConfigView(None, policy, info, stale_info, problem)
        return ConfigView(value, policy, info, stale_info)

    def _value(self, item: ConfigItem) -> Any:
        """Return the config as the handler takes it. Raise whatever a user's validator raises."""
        if not self._takes_config:
            return None
        if self._takes_plain_config or self._validate_config is None:
            return item.plain
        return self._validate_config(item)


def _turns(handler: Handler) -> Turns | Batches | None:
    if handler.batch is not None:
        return Batches(handler.batch, handler.linger, handler.concurrency)
    return None if handler.concurrency is None else Turns(handler.concurrency)


def _result_type(handler: Handler) -> ResultType | None:
    """Return the type of a handler's results, None where it declares none."""
    annotation = handler.result_type
    if annotation is Any or annotation is object or never_returns(annotation):
        return None
    try:
        return ResultType(annotation)
    except PydanticUserError as error:
        raise HandlerError(
            f"handler {handler.name!r}: pydantic can't validate the type of its result: "
            f"{error.message}"
        ) from error


def _validator(
    make: Callable[[Any], Validate], handler: Handler, parameter: str
) -> Validate | None:
    """Return a parameter's validator, None where the handler does not take it or takes anything."""
    annotation = handler.payload_type if parameter == "payload" else handler.config_type
    if parameter not in handler.takes or annotation is Any:
        return None
    try:
        return make(annotation)
    except PydanticUserError as error:
        raise HandlerError(
            f"handler {handler.name!r}: pydantic can't validate the type of its {parameter}: "
            f"{error.message}"
        ) from error
