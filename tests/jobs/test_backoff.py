from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.jobs.backoff import Backoff

pytestmark = pytest.mark.once

seconds = st.floats(0, 1e300)
failures = st.integers(1, 10**6)
backoffs = st.builds(Backoff, base=seconds, factor=st.floats(1, 1e300), max=seconds)


@given(backoffs, failures, st.floats(0, 1, exclude_max=True))
def test_a_delay_is_anywhere_up_to_a_ceiling_that_never_passes_the_maximum(
    backoff: Any, failures: Any, luck: Any
) -> None:
    ceiling = backoff.ceiling(failures)
    assert 0 <= ceiling <= backoff.max
    assert 0 <= backoff.delay(failures, lambda: luck) <= ceiling
    assert ceiling / 2 <= backoff.equal_jitter(failures, lambda: luck) <= ceiling


@given(backoffs, st.integers(1, 2000))
def test_the_ceiling_never_falls(backoff: Any, failures: Any) -> None:
    assert backoff.ceiling(failures) <= backoff.ceiling(failures + 1)


def test_the_ceilings_of_the_default() -> None:
    assert [Backoff().ceiling(n) for n in (1, 2, 3, 9, 10, 5000)] == [1, 2, 4, 256, 300, 300]
