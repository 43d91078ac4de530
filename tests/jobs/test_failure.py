"""Whatever a handler raises can be stored: as text of a bounded length that has UTF-8."""

import sys
from typing import Any

import pytest

from worker.jobs.failure import describe, failure, message_of

pytestmark = pytest.mark.once


class Odd(Exception):
    def __init__(self, act: Any) -> None:
        super().__init__()
        self.act = act

    def __str__(self) -> str:
        return str(self.act())


def interrupted() -> str:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("act", "name"),
    [
        (lambda: 1 / 0, "ZeroDivisionError"),
        (lambda: sys.exit(3), "SystemExit"),
        (interrupted, "KeyboardInterrupt"),
        (lambda: str(Odd(interrupted)), "KeyboardInterrupt"),
    ],
)
def test_an_error_whose_message_raises_says_so(act: Any, name: Any) -> None:
    error = describe(Odd(act))
    assert (error.type, error.message) == ("Odd", f"(its message can't be read: {name})")
    assert message_of(Odd(act)) == error.message


def test_texts_are_cut_and_have_utf8() -> None:
    kind = type("K" * 1_000, (Exception,), {})
    error = describe(kind("\udfff" + "x" * 10_000))
    assert len(error.type) == 200
    assert len(error.message) == 2_000
    assert error.message.startswith("\\udfffx")
    assert error.message.endswith("x…")
    assert len(error.traceback or "") <= 10_000
    for text in (error.type, error.message, error.traceback or ""):
        assert text.encode()
    assert failure("Kind", "y" * 3_000).message == "y" * 1_999 + "…"


def deeper(depth: int) -> None:
    if depth:
        deeper(depth - 1)
    raise ValueError("deep down")


def test_a_traceback_has_its_end_and_no_frame_of_the_caller() -> None:
    with pytest.raises(ValueError, match="deep down") as caught:
        deeper(100)
    traceback = describe(caught.value).traceback or ""
    assert traceback.rstrip().endswith("ValueError: deep down")
    assert "in deeper" in traceback
    assert "test_a_traceback" not in traceback
    assert describe(ValueError("never raised")).traceback == "ValueError: never raised\n"
