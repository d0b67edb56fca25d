from __future__ import annotations

import pickle
from itertools import permutations
from typing import Any

import pytest

from kombu.clocks import LamportClock, timetuple


class TestTimetuple:
    @pytest.mark.parametrize(
        ('earlier', 'later'),
        [
            ((1, 5.0, 'a'), (2, 1.0, 'a')),  # the clock counts, not the time
            ((1, 5.0, 'a'), (1, 1.0, 'b')),  # of equal clocks, the id
            ((0, 1.0, 'b'), (2, 5.0, 'a')),  # without a clock, the time
            ((2, 1.0, 'b'), (None, 5.0, 'a')),
            ((0, 1.0, 'b'), (0, 5.0, 'a')),
        ],
    )
    def test_order(self, earlier: tuple[Any, ...], later: tuple[Any, ...]) -> None:
        first, second = timetuple(*earlier), timetuple(*later)
        assert first < second
        assert first <= second
        assert second > first
        assert second >= first
        assert not second < first
        assert not second <= first

    def test_the_event_has_no_part(self) -> None:
        first, second = timetuple(1, 1.0, 'a', {}), timetuple(1, 1.0, 'a', object())
        assert not first < second
        assert not first > second

    def test_items(self) -> None:
        event = timetuple(1, 2.0, 'a', 'obj')
        assert (event.clock, event.timestamp, event.id, event.obj) == event == (1, 2.0, 'a', 'obj')
        assert repr(event) == "_lamport(clock=1, timestamp=2.0, id=a 'obj')"
        assert timetuple(1, 2.0, 'a').obj is None

    def test_pickle(self) -> None:
        event = timetuple(1, 2.0, 'a', 'obj')
        copied = pickle.loads(pickle.dumps(event))
        assert copied == event
        assert type(copied) is timetuple


class TestLamportClock:
    def test_counts(self) -> None:
        clock = LamportClock()
        assert [clock.forward(), clock.forward(), clock.adjust(10), clock.adjust(3)] == [
            1,
            2,
            11,
            12,
        ]
        assert clock.value == 12
        assert (str(clock), repr(clock)) == ('12', '<LamportClock: 12>')

    def test_initial_value(self) -> None:
        assert LamportClock(5).forward() == 6

    def test_mutex_can_be_replaced(self) -> None:
        """Celery puts a lock there that locks nothing."""

        class DummyLock:
            entered = 0

            def __enter__(self) -> None:
                self.entered += 1

            def __exit__(self, *exc_info: object) -> None:
                pass

        clock: Any = LamportClock()
        clock.mutex = DummyLock()
        clock.forward()
        clock.adjust(3)
        assert clock.mutex.entered == 2

    def test_sort_heap(self) -> None:
        clock = LamportClock()
        for events in permutations([(3, 'b'), (3, 'a'), (3, 'c'), (4, 'A')]):
            assert clock.sort_heap(events) == (3, 'a')
        assert clock.sort_heap([(5, 'z')]) == (5, 'z')
