"""What is wrong with a payload, a config or a result, in words."""

from typing import get_args

from pydantic import ValidationError
from pydantic_core.core_schema import ErrorType

# Pydantic's own messages name what they expect and quote no value, but for these kinds and for
# those that users define.
_QUOTING = {
    *("assertion_error", "iteration_error", "mapping_type", "union_tag_invalid", "value_error")
}
_QUOTING_NOTHING = frozenset(get_args(ErrorType)) - _QUOTING


def explain(error: Exception, *, secret: bool = False) -> str:
    """Return which attributes are wrong and why.

    `secret` leaves out a reason that might quote the value: config values are shown to nobody,
    while a payload stands in the dead list anyway.
    """
    if not isinstance(error, ValidationError):
        return f"its type could not be checked: {type(error).__name__}"
    problems = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        f"{'.'.join(map(str, problem['loc'])) or 'the whole'}: "
        + (
            f"its value is refused ({problem['type']})"
            if secret and problem["type"] not in _QUOTING_NOTHING
            else problem["msg"]
        )
        for problem in problems
    )
