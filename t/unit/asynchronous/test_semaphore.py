from __future__ import annotations

import sys
from typing import Any

import pytest

from kombu.asynchronous.semaphore import DummyLock, LaxBoundedSemaphore


class TestLaxBoundedSemaphore:
    def test_example(self) -> None:
        started: list[str] = []
        slots = LaxBoundedSemaphore(2)
        assert slots.acquire(started.append, 'first') is True
        assert slots.acquire(started.append, 'second') is True
        assert slots.acquire(started.append, 'third') is False
        assert started == ['first', 'second']
        assert slots.value == 0
        slots.release()
        assert started == ['first', 'second', 'third']
        assert slots.value == 0

    def test_first_come_first_served(self) -> None:
        order: list[int] = []
        slots = LaxBoundedSemaphore(1)
        for i in range(5):
            slots.acquire(order.append, i)
        for _ in range(4):
            slots.release()
        assert order == [0, 1, 2, 3, 4]

    def test_arguments(self) -> None:
        got: list[Any] = []
        slots = LaxBoundedSemaphore(1)
        slots.acquire(lambda *args, **kwargs: got.append((args, kwargs)), 1, a=2)
        slots.acquire(lambda *args, **kwargs: got.append((args, kwargs)), 3, b=4)
        slots.release()
        assert got == [((1,), {'a': 2}), ((3,), {'b': 4})]

    def test_released_too_often(self) -> None:
        slots = LaxBoundedSemaphore(2)
        slots.acquire(lambda: None)
        for _ in range(5):
            slots.release()
        assert slots.value == slots.initial_value == 2

    def test_grow(self) -> None:
        started: list[int] = []
        slots = LaxBoundedSemaphore(1)
        for i in range(3):
            slots.acquire(started.append, i)
        slots.grow(1)
        assert started == [0, 1]
        assert (slots.value, slots.initial_value) == (0, 2)
        slots.grow(3)
        assert started == [0, 1, 2]
        assert (slots.value, slots.initial_value) == (2, 5)

    def test_grow_from_nothing(self) -> None:
        started: list[int] = []
        slots = LaxBoundedSemaphore(0)
        slots.acquire(started.append, 1)
        assert not started
        slots.grow()
        assert started == [1]

    def test_shrink(self) -> None:
        slots = LaxBoundedSemaphore(4)
        slots.shrink(1)
        assert (slots.value, slots.initial_value) == (3, 3)
        slots.shrink(10)
        assert (slots.value, slots.initial_value) == (0, 0)
        assert not slots.acquire(lambda: None)

    def test_shrink_below_what_is_held(self) -> None:
        """Guards the limit: those that hold it too many must release before anybody is let in."""
        started: list[int] = []
        slots = LaxBoundedSemaphore(3)
        for i in range(4):
            slots.acquire(started.append, i)
        slots.shrink(2)
        slots.release()
        slots.release()
        assert started == [0, 1, 2], 'one holds it, one may'
        slots.release()
        assert started == [0, 1, 2, 3]
        slots.release()
        assert (slots.value, slots.initial_value) == (1, 1)

    def test_grow_after_shrink(self) -> None:
        slots = LaxBoundedSemaphore(2)
        slots.acquire(lambda: None)
        slots.acquire(lambda: None)
        slots.shrink(2)
        slots.grow(2)
        assert slots.value == 0
        slots.release()
        assert slots.value == 1

    def test_clear(self) -> None:
        slots = LaxBoundedSemaphore(2)
        for _ in range(5):
            slots.acquire(lambda: None)
        slots.shrink()
        slots.clear()
        assert slots.value == slots.initial_value == 1
        slots.release()
        assert slots.value == 1, 'nobody is waiting any more'

    def test_repr(self) -> None:
        slots = LaxBoundedSemaphore(1)
        slots.acquire(lambda: None)
        slots.acquire(lambda: None)
        assert repr(slots) == f'<LaxBoundedSemaphore at {id(slots):#x} value:0 waiting:1>'


class TestReentrance:
    def test_long_chain(self) -> None:
        """Guards against a stack as deep as the chain of tasks that start one another."""
        slots, count = LaxBoundedSemaphore(1), 0

        def work() -> None:
            nonlocal count
            count += 1
            if count < 10 * sys.getrecursionlimit():
                slots.acquire(work)
            slots.release()

        slots.acquire(work)
        assert count == 10 * sys.getrecursionlimit()
        assert slots.value == 1

    def test_long_chain_of_direct_acquires(self) -> None:
        slots, count = LaxBoundedSemaphore(1), 0

        def work() -> None:
            nonlocal count
            count += 1
            slots.release()
            if count < 10 * sys.getrecursionlimit():
                slots.acquire(work)

        slots.acquire(work)
        assert count == 10 * sys.getrecursionlimit()

    def test_one_returns_before_the_next_starts(self) -> None:
        slots, log = LaxBoundedSemaphore(1), []

        def work(n: int) -> None:
            log.append(f'start {n}')
            if n < 3:
                slots.acquire(work, n + 1)
            slots.release()
            log.append(f'end {n}')

        slots.acquire(work, 1)
        assert log == ['start 1', 'end 1', 'start 2', 'end 2', 'start 3', 'end 3']

    def test_an_error_is_raised(self) -> None:
        slots = LaxBoundedSemaphore(1)
        with pytest.raises(ZeroDivisionError):
            slots.acquire(lambda: 1 / 0)
        assert slots.value == 0, 'it is held until released'
        slots.release()
        assert slots.acquire(lambda: None)

    def test_an_error_does_not_lose_the_others(self, caplog: pytest.LogCaptureFixture) -> None:
        slots, done = LaxBoundedSemaphore(1), []

        def first() -> None:
            slots.acquire(second)
            slots.acquire(third)
            slots.release()
            slots.release()
            raise KeyError('first')

        def second() -> None:
            raise ValueError('second')

        def third() -> None:
            done.append('third')

        with pytest.raises(KeyError, match='first'):
            slots.acquire(first)
        assert done == ['third']
        assert "ValueError('second')" in caplog.text

    def test_leaving_the_process(self) -> None:
        slots, done = LaxBoundedSemaphore(3), []

        def leave() -> None:
            slots.acquire(done.append, 1)
            raise SystemExit

        with pytest.raises(SystemExit):
            slots.acquire(leave)
        slots.acquire(done.append, 2)
        assert done == [1, 2]


def test_DummyLock() -> None:
    lock = DummyLock()
    with lock as entered:
        assert entered is lock
        with lock:
            pass
    with pytest.raises(KeyError), lock:
        raise KeyError
