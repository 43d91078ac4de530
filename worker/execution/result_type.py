"""The type that a handler declares to return: its results are validated and serialised by it."""

from types import NoneType
from typing import Any

from pydantic import PydanticSchemaGenerationError, TypeAdapter
from pydantic_core import from_json

from worker.errors import ResultInvalid
from worker.execution.explanations import explain
from worker.execution.validation import node_types, nodes_of
from worker.jobs.failure import message_of

# Types whose values are their own JSON.
_PLAIN = (bool, dict, float, int, list, str, NoneType)
# Nodes of pydantic's schemas whose values, once valid, have the JSON that they have without a type.
_SAME_JSON = frozenset(
    {
        *("any", "bool", "dict", "float", "int", "list", "none", "nullable", "str", "union"),
        *("definition-ref", "definitions", "typed-dict", "typed-dict-field"),
    }
)


class ResultType:
    """One handler's. Raise PydanticUserError for a type that can't be used.

    A class that pydantic does not know is checked with `isinstance`; its JSON is that of any value.
    Values of the class `plain` need neither `valid` nor `as_json`.
    """

    def __init__(self, annotation: Any) -> None:
        try:
            adapter = TypeAdapter(annotation)
        except PydanticSchemaGenerationError:
            adapter = TypeAdapter(annotation, config={"arbitrary_types_allowed": True})
        schema = adapter.core_schema
        self.plain: Any = annotation if annotation in _PLAIN else None
        self._validate = adapter.validator.validate_python
        self._to_json = adapter.serializer.to_json
        self._has_same_json = node_types(schema) <= _SAME_JSON and not any(
            "serialization" in node for node in nodes_of(schema)
        )

    def valid(self, value: Any) -> Any:
        """Return what a handler returned as its type. Raise ResultInvalid."""
        try:
            return self._validate(value)
        except Exception as error:  # noqa: BLE001 - a user's validator may raise anything
            problem = f"the result is not of the declared type: {explain(error)}"
            raise ResultInvalid(problem) from None

    def as_json(self, valid: Any) -> Any:
        """Return a valid value as that of its JSON. Raise ResultInvalid where it has none.

        Aliases are used, as they are for a model that is returned without an annotation.
        """
        if self._has_same_json:
            return valid
        try:
            return from_json(self._to_json(valid, by_alias=True, warnings=False))
        except Exception as error:  # noqa: BLE001 - a value's own code may raise anything
            raise ResultInvalid(f"the result has no JSON: {message_of(error)}") from None
