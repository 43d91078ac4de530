"""What the annotations of a batch handler, which are of lists, say of one job."""

import types
import typing
from collections.abc import Collection, Iterable, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

_LISTS = (list, Sequence, Collection, Iterable)


def element_type(annotation: Any) -> Any:
    """Return the T of `list[T]`, Any for a plain list. Raise TypeError for what is no list."""
    if get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if annotation is Any or annotation in _LISTS:
        return Any
    if get_origin(annotation) not in _LISTS:
        raise TypeError(getattr(annotation, "__name__", None) or repr(annotation))
    return get_args(annotation)[0]


def result_element_type(annotation: Any) -> Any:
    """Return what one job's result is, of a handler that returns `list[T | Exception] | None`.

    Raise TypeError for what is no list.
    """
    if annotation is types.NoneType:
        return types.NoneType
    lists = [member for member in _members(annotation) if member is not types.NoneType]
    if len(lists) != 1:
        raise TypeError(repr(annotation))
    members = _members(element_type(lists[0]))
    results = tuple(member for member in members if not _is_exception(member))
    return Union[results] if results else types.NoneType  # noqa: UP007 - of a tuple


def _members(annotation: Any) -> tuple[Any, ...]:
    is_union = get_origin(annotation) in (Union, types.UnionType)
    return get_args(annotation) if is_union else (annotation,)


def _is_exception(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseException)


def never_returns(annotation: Any) -> bool:
    """Return whether a function with this return type only raises."""
    return annotation is typing.NoReturn or annotation is typing.Never
