from __future__ import annotations

import pytest

from kombu.utils.limits import TokenBucket


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the clock, to be changed by the test."""
    time = [1000.0]
    monkeypatch.setattr('kombu.utils.limits.monotonic', lambda: time[0])
    return time


def test_burst_then_rate(now: list[float]) -> None:
    bucket = TokenBucket(2, capacity=3)
    assert [bucket.can_consume() for _ in range(4)] == [True, True, True, False]
    assert bucket.expected_time() == 0.5
    assert bucket.expected_time(3) == 1.5
    now[0] += 0.5
    assert bucket.can_consume()
    assert not bucket.can_consume()


def test_holds_no_more_than_its_capacity(now: list[float]) -> None:
    bucket = TokenBucket(10, capacity=2)
    now[0] += 100
    assert bucket.can_consume(2)
    assert not bucket.can_consume()


def test_idle_time_counts_once(now: list[float]) -> None:
    """A full bucket that was asked late does not refill from the time before."""
    bucket = TokenBucket(1, capacity=2)
    now[0] += 100
    assert bucket.can_consume(2)
    assert bucket.expected_time(2) == 2.0
    assert not bucket.can_consume()


def test_enough_tokens_take_no_time(now: list[float]) -> None:
    assert TokenBucket(1, capacity=5).expected_time(2) == 0.0


def test_rate_zero(now: list[float]) -> None:
    bucket = TokenBucket(0)
    assert bucket.can_consume()
    assert not bucket.can_consume()
    assert bucket.expected_time() == float('inf')


def test_contents() -> None:
    bucket = TokenBucket(1)
    bucket.add('a')
    bucket.add('b')
    bucket.contents.appendleft('first')
    assert [bucket.pop(), bucket.pop()] == ['first', 'a']
    assert repr(bucket) == '<TokenBucket: 1/s, at most 1, 1 waiting>'
    bucket.clear_pending()
    with pytest.raises(IndexError):
        bucket.pop()
