"""Whatever the policy, waits keep to it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice, pairwise
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu.utils.functional import fxrange, fxrangemax, retry_over_time

SECONDS = st.floats(0, 100, allow_nan=False)


@given(start=SECONDS, stop=SECONDS, step=SECONDS)
def test_fxrange(start: float, stop: float, step: float) -> None:
    numbers = list(islice(fxrange(start, stop, step, repeatlast=True), 50))
    assert len(numbers) == 50
    assert max(numbers) <= stop
    assert numbers == sorted(numbers)
    assert numbers[0] == min(start, stop)
    ending = list(islice(fxrange(start, stop, step), 50))
    assert ending == numbers[: len(ending)]


@given(start=SECONDS, stop=st.none() | SECONDS, step=SECONDS, most=SECONDS)
def test_fxrangemax(start: float, stop: float | None, step: float, most: float) -> None:
    numbers = list(islice(fxrangemax(start, stop, step, most), 50))
    assert sum(numbers) <= most + 1e-6
    assert numbers == sorted(numbers)
    if stop is not None:
        assert all(number <= stop for number in numbers)


@given(
    start=SECONDS,
    step=SECONDS,
    most=SECONDS,
    max_retries=st.none() | st.integers(0, 20),
    timeout=st.none() | st.floats(0.01, 300),
    failures=st.integers(0, 30),
    takes=st.floats(0, 5),
    callback=st.booleans(),
)
def test_retry_over_time(
    start: float,
    step: float,
    most: float,
    max_retries: int | None,
    timeout: float | None,
    failures: int,
    takes: float,
    callback: bool,
) -> None:
    now = 1000.0
    began: list[float] = []
    promised: list[float] = []

    def sleep(seconds: float) -> None:
        nonlocal now
        assert seconds > 0
        now += seconds

    def fun() -> str:
        nonlocal now
        began.append(now)
        now += takes
        if len(began) <= failures:
            raise KeyError
        return 'done'

    def errback(exc: Exception, intervals: Iterator[float], retries: int) -> float:
        assert retries == len(promised)
        promised.append(next(intervals))
        return promised[-1]

    policy: dict[str, Any] = {
        'max_retries': max_retries,
        'interval_start': start,
        'interval_step': step,
        'interval_max': most,
        'timeout': timeout,
        'callback': (lambda: None) if callback else None,
    }
    with (
        mock.patch('kombu.utils.functional.sleep', sleep),
        mock.patch('kombu.utils.deadline.monotonic', side_effect=lambda: now),
    ):
        try:
            result = retry_over_time(fun, KeyError, errback=errback, **policy)
        except KeyError:
            result = None

    retries = len(began) - 1
    assert len(promised) == retries
    assert all(seconds <= most for seconds in promised)
    waits = [later - earlier - takes for earlier, later in pairwise(began)]
    assert waits == pytest.approx(promised) or timeout is not None
    assert all(wait <= seconds + 1e-6 for wait, seconds in zip(waits, promised, strict=True))
    if timeout is not None:
        assert began[-1] - 1000.0 <= timeout + 1e-6
    if max_retries is not None:
        assert retries <= max_retries
    if result is None:
        assert timeout is not None or retries == max_retries
    else:
        assert retries == failures
