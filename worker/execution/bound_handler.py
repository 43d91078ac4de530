"""A handler bound to its types: validators built once, and what it makes of a config item."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import TypeAdapter, ValidationError
from pydantic.errors import PydanticUserError
from pydantic_core.core_schema import ErrorType

from worker.app import Handler
from worker.errors import HandlerError
from worker.jobs.config_item import ConfigItem, copied
from worker.jobs.policy import Policy, PolicyChange


@dataclass(frozen=True, slots=True)
class ConfigView:
    """What a handler makes of one version of a config item.

    The two infos are what results say of it, None where there is no item. `problem` says which
    attribute is wrong where the item can't be used.
    """

    value: Any
    policy: Policy
    info: dict[str, Any] | None
    stale_info: dict[str, Any] | None
    problem: str | None = None


class BoundHandler:
    """A registered handler, ready to run.

    Raises HandlerError for annotations that can't be resolved or that pydantic can't validate.
    """

    def __init__(self, handler: Handler, settings: Policy) -> None:
        handler.resolve()
        self.name = handler.name
        self.function = handler.function
        self.is_async = handler.is_async
        self.arguments = handler.arguments
        self.policy = PolicyChange(**handler.options).over(settings)
        self._plain = handler.config_is_plain
        self._takes_config = "config" in handler.takes
        self.validate_payload = _validator(handler, "payload", handler.payload_type)
        self._validate_config = _validator(handler, "config", handler.config_type)

    def view(self, item: ConfigItem) -> ConfigView:
        """What this handler makes of the item; worked out once for each version of it."""
        view: ConfigView | None = item.views.get(self.name)
        if view is None:
            view = item.views[self.name] = self._look(item)
        return view

    def config_of(self, view: ConfigView) -> Any:
        """The config for one run: plain values are the run's own copy, models are shared."""
        return copied(view.value) if self._plain else view.value

    def _look(self, item: ConfigItem) -> ConfigView:
        info = stale_info = None
        if item.attributes is not None:
            info = {"key": item.key, "version": item.version, "stale": False}
            stale_info = {**info, "stale": True}
        policy, problem, value = self.policy, item.problem, item.plain if self._plain else None
        try:
            if item.policy is not None:
                policy = PolicyChange.model_validate(item.policy).over(policy)
        except ValidationError as error:
            problem = explain(error, "policy")
        if self._takes_config and not self._plain and problem is None:
            try:
                value = self._validate_config(item.exact) if self._validate_config else item.plain
            except Exception as error:  # noqa: BLE001 - a user's validator may raise anything
                problem = explain(error, secret=True)
        return ConfigView(value, policy, info, stale_info, problem)


def _validator(handler: Handler, parameter: str, annotation: Any) -> Callable[[Any], Any] | None:
    if parameter not in handler.takes or annotation is Any:
        return None
    try:
        return TypeAdapter(annotation).validator.validate_python
    except PydanticUserError as error:
        raise HandlerError(
            f"handler {handler.name!r}: pydantic can't validate the type of its {parameter}: "
            f"{error.message}"
        ) from error


# Pydantic's own messages name what they expect, but for these, and for those of users' own kinds.
_QUOTE = {"assertion_error", "iteration_error", "mapping_type", "union_tag_invalid", "value_error"}
_QUOTE_NOTHING = frozenset(get_args(ErrorType)) - _QUOTE


def explain(error: Exception, *within: str, secret: bool = False) -> str:
    """Which attributes are wrong and why.

    `secret` leaves out why where that might quote the value: a config's is shown to nobody, while
    a payload stands in the dead list anyway.
    """
    if not isinstance(error, ValidationError):
        return f"its type could not be checked: {type(error).__name__}"
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        f"{'.'.join(str(part) for part in (*within, *problem['loc'])) or 'the whole'}: "
        + (
            f"its value is refused ({problem['type']})"
            if secret and problem["type"] not in _QUOTE_NOTHING
            else problem["msg"]
        )
        for problem in problems
    )
