"""`worker schema`: the types of an app's handlers as JSON Schema."""

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from worker.cli.common import complain

if TYPE_CHECKING:
    from worker.app import Handler


def schema(
    target: Annotated[str, typer.Argument(metavar="MODULE:APP", help="Where the App is.")],
) -> None:
    """Print the types of each handler's payload, config and result as JSON Schema.

    {"resize": {"payload": {...}, "config": {...}, "result": {...}}}, and null where a handler
    declares no type. They are those of one job, also where the handler takes batches. The config is
    the item without its key and its policy.
    """
    from pydantic_core import to_json

    from worker.errors import WorkerError
    from worker.process.loading import load_app

    try:
        app = load_app(target)
        schemas = {name: _schemas(app.handlers[name]) for name in sorted(app.handlers)}
    except WorkerError as error:
        complain(str(error))
        raise typer.Exit(1) from None
    typer.echo(to_json(schemas, indent=2))


def _schemas(handler: "Handler") -> dict[str, Any]:
    handler.resolve()
    return {
        "payload": _schema(handler, "payload", handler.payload_type, "validation"),
        "config": _schema(handler, "config", handler.config_type, "validation"),
        "result": _schema(handler, "result", handler.result_type, "serialization"),
    }


def _schema(
    handler: "Handler", what: str, annotation: Any, mode: Literal["validation", "serialization"]
) -> dict[str, Any] | None:
    """Return the schema of one type. Raise HandlerError for a type that no worker could use."""
    from pydantic import TypeAdapter
    from pydantic.errors import (
        PydanticInvalidForJsonSchema,
        PydanticSchemaGenerationError,
        PydanticUserError,
    )

    from worker.errors import HandlerError
    from worker.jobs.type_hints import never_returns

    if annotation is Any or annotation is object:
        return None
    if never_returns(annotation):
        return {"not": {}}
    try:
        return TypeAdapter(annotation).json_schema(mode=mode)
    except PydanticUserError as error:
        why = error.message.partition("\n")[0]
        problem = f"handler {handler.name!r}: the type of its {what} has no JSON Schema: {why}"
        # A result may be of any class.
        is_usable = isinstance(error, PydanticInvalidForJsonSchema) or (
            what == "result" and isinstance(error, PydanticSchemaGenerationError)
        )
        if not is_usable:
            raise HandlerError(problem) from error
        complain(f"{problem}; it is null here")
        return None
