from __future__ import annotations

import dataclasses

import pytest

from kombu.exceptions import TimeoutError
from kombu.utils.deadline import Deadline


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time of the clock, to be changed by the test."""
    time = [1000.0]
    monkeypatch.setattr('kombu.utils.deadline.monotonic', lambda: time[0])
    return time


def test_unbounded() -> None:
    deadline = Deadline.after(None)
    assert deadline.remaining() is None
    assert not deadline.expired
    assert deadline.bound(3) == 3
    assert deadline.bound(None) is None
    deadline.check('waiting')
    assert repr(deadline) == '<Deadline: none>'


def test_bounded(now: list[float]) -> None:
    deadline = Deadline.after(5)
    now[0] += 2
    assert deadline.remaining() == 3.0
    assert not deadline.expired
    assert deadline.bound(1) == 1
    assert deadline.bound(4) == 3.0
    assert deadline.bound(None) == 3.0
    deadline.check('waiting')
    assert repr(deadline) == '<Deadline: 3.000s left>'


@pytest.mark.parametrize('later', [5, 6])
def test_expired(now: list[float], later: float) -> None:
    deadline = Deadline.after(5)
    now[0] += later
    assert deadline.remaining() == 0.0
    assert deadline.expired
    assert deadline.bound(1) == 0.0
    with pytest.raises(TimeoutError, match='timed out while waiting for a reply'):
        deadline.check('waiting for a reply')


def test_is_immutable() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Deadline.after(1).at = 3.0  # type: ignore[misc]
