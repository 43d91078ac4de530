"""What the annotations of a batch handler say of one job."""

from collections.abc import Sequence
from types import NoneType
from typing import Annotated, Any, Optional, Union

import pytest

from worker.jobs.type_hints import element_type, result_element_type

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("annotation", "element"),
    [
        (Any, Any),
        (list, Any),
        (list[int], int),
        (Sequence[dict[str, int]], dict[str, int]),
        (Annotated[list[str], "note"], str),
    ],
)
def test_the_element_of_a_list(annotation: Any, element: Any) -> None:
    assert element_type(annotation) == element


@pytest.mark.parametrize("annotation", [int, dict[str, int], tuple[int, ...], "list"])
def test_what_is_no_list_is_refused(annotation: Any) -> None:
    with pytest.raises(TypeError):
        element_type(annotation)


@pytest.mark.parametrize(
    ("annotation", "element"),
    [
        (Any, Any),
        (NoneType, NoneType),
        (list[int], int),
        (list[int] | None, int),
        (Optional[list[int]], int),  # noqa: UP045
        (list[int | Exception], int),
        (list[int | str | ValueError | Exception] | None, int | str),
        (list[Union[int, Exception]], int),  # noqa: UP007
        (list[Exception], NoneType),
        (list[Exception | None], NoneType),
    ],
)
def test_the_element_of_a_result(annotation: Any, element: Any) -> None:
    assert result_element_type(annotation) == element
