from __future__ import annotations

import gc
import logging
import pickle
import weakref
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from itertools import islice
from time import monotonic
from typing import Any

import pytest

from kombu.asynchronous import timer as module
from kombu.asynchronous.timer import Entry, Timer, scheduled, to_timestamp
from kombu.exceptions import UnknownArgumentWarning

UTC = timezone.utc


class Clock:
    """A clock that stands still until told otherwise."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(module, 'monotonic', clock)
    return clock


@pytest.fixture
def timer(clock: Clock) -> Timer:
    return Timer()


def steps(timer: Timer, clock: Clock) -> Iterator[tuple[float | None, Any]]:
    return timer.__iter__(nowfun=clock)


def fire(timer: Timer, clock: Clock) -> None:
    """Call all that is due."""
    for delay, entry in steps(timer, clock):
        if entry is None:
            return
        assert delay is None
        timer.apply_entry(entry)


def boom() -> None:
    raise ValueError('boom')


class Green(Timer):
    """A timer with a scheduler of its own, like celery's for gevent and eventlet."""

    class Handle:
        def __init__(self, eta: float, entry: Entry) -> None:
            self.eta, self.entry = eta, entry

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._queue: set[Any] = set()

    def _enter(self, eta: float, priority: int | None, entry: Entry, **kwargs: Any) -> Any:
        handle = self.Handle(eta, entry)
        self._queue.add(handle)
        return handle

    @property
    def queue(self) -> Any:
        return self._queue


class TestEntry:
    def test_call(self) -> None:
        entry = Entry(lambda *args, **kwargs: (args, kwargs), (1, 2), {'a': 3})
        assert entry() == ((1, 2), {'a': 3})
        assert (entry.args, entry.kwargs) == ((1, 2), {'a': 3})

    def test_without_arguments(self) -> None:
        assert Entry(lambda *args, **kwargs: (args, kwargs))() == ((), {})

    def test_cancel(self) -> None:
        entry = Entry(print)
        assert not entry.canceled
        assert not entry.cancelled
        entry.cancel()
        assert entry.canceled
        assert entry.cancelled
        entry.cancelled = False
        assert not entry.canceled

    def test_tref(self) -> None:
        entry = Entry(print)
        entry.tref.cancel()
        assert entry.canceled

    def test_order_and_identity(self) -> None:
        a, b = Entry(print), Entry(print)
        assert a != b
        assert len({a, b, a}) == 2
        assert (a < b) is not (b < a)
        assert (a <= b) is (a < b)
        assert a >= a

    def test_weak_references(self) -> None:
        """Celery keeps the time limits of its tasks in a WeakValueDictionary."""
        entry = Entry(print)
        known = weakref.WeakValueDictionary({1: entry})
        assert known[1] is entry
        del entry
        gc.collect()
        assert 1 not in known

    def test_repr(self) -> None:
        entry = Entry(boom, (1,), {'a': 'b'})
        assert repr(entry) == "<TimerEntry: boom(1, a='b')>"
        entry.cancel()
        assert repr(entry) == "<TimerEntry: boom(1, a='b') cancelled>"

    def test_repr_of_what_has_no_name(self) -> None:
        class Callable:
            def __call__(self) -> None: ...

            def __repr__(self) -> str:
                return '<callable>'

        assert repr(Entry(Callable())) == '<TimerEntry: <callable>()>'


class TestTimer:
    def test_empty(self, timer: Timer, clock: Clock) -> None:
        assert list(islice(steps(timer, clock), 3)) == [(None, None)] * 3
        assert len(timer) == 0
        assert not timer
        assert timer.queue == []

    def test_call_after(self, timer: Timer, clock: Clock) -> None:
        called: list[Any] = []
        entry = timer.call_after(1.5, called.append, (1,))
        it = steps(timer, clock)
        assert next(it) == (1.5, None)
        clock.now += 1
        assert next(it) == (0.5, None)
        clock.now += 0.5
        assert next(it) == (None, entry)
        assert next(it) == (None, None)
        assert not called, 'calling is what the caller does'
        entry()
        assert called == [1]

    def test_seconds_are_made_numbers(self, timer: Timer) -> None:
        timer.call_after('2.5', boom)  # type: ignore[arg-type]  # on purpose
        timer.enter_after('3.5', Entry(boom), time=lambda: 0.0)  # type: ignore[arg-type]  # on purpose
        assert [item.eta for item in timer.queue] == [3.5, 1002.5]

    @pytest.mark.parametrize('bad', ['soon', None, [1]])
    def test_seconds_that_are_none(self, timer: Timer, bad: Any) -> None:
        with pytest.raises((ValueError, TypeError)):
            timer.call_after(bad, boom)
        with pytest.raises((ValueError, TypeError)):
            timer.call_repeatedly(bad, boom)
        assert not timer

    def test_eta_that_is_none(self, timer: Timer) -> None:
        """An eta that cannot be compared would break the queue for all."""
        with pytest.raises((ValueError, TypeError)):
            timer.call_at('noon', boom)  # type: ignore[arg-type]  # on purpose
        assert not timer

    def test_call_at(self, timer: Timer) -> None:
        timer.call_at(1010, boom, (1,), {'a': 2}, priority=3)
        [item] = timer.queue
        assert item == scheduled(1010, 3, item.entry)
        assert (item.entry.fun, item.entry.args, item.entry.kwargs) == (boom, (1,), {'a': 2})

    def test_call_at_a_date(self, timer: Timer) -> None:
        timer.call_at(datetime.now(UTC) + timedelta(hours=1), boom)
        assert timer.queue[0].eta == pytest.approx(monotonic() + 3600, abs=5)

    def test_enter_at_now(self, timer: Timer) -> None:
        timer.enter_at(Entry(boom))
        assert timer.queue[0].eta == pytest.approx(monotonic(), abs=5)

    def test_enter_returns_the_entry(self, timer: Timer) -> None:
        entry = Entry(boom)
        assert timer.enter_at(entry, 1005, priority=2) is entry
        assert timer.enter_after(5, Entry(boom), 2).fun is boom

    def test_own_clock(self, timer: Timer) -> None:
        timer.enter_after(5, Entry(boom), time=lambda: 7.0)
        timer.enter_at(Entry(boom), time=lambda: 8.0)
        assert [item.eta for item in timer.queue] == [8, 12]

    def test_order(self, timer: Timer, clock: Clock) -> None:
        called: list[Any] = []
        for name, eta, priority in (
            ('late', 1009, 0),
            ('second', 1005, 1),
            ('third', 1005, 1),
            ('first', 1005, 0),
            ('none', 1005, None),
        ):
            timer.call_at(eta, called.append, (name,), priority=priority)  # type: ignore[arg-type]
        clock.now = 1010
        fire(timer, clock)
        assert called == ['first', 'none', 'second', 'third', 'late']

    def test_queue_is_sorted(self, timer: Timer) -> None:
        for secs in (5, 1, 3):
            timer.call_after(secs, boom)
        assert [item.eta for item in timer.queue] == [1001, 1003, 1005]
        assert timer.schedule.queue[0].entry.fun is boom

    def test_max_interval(self, clock: Clock) -> None:
        assert Timer().max_interval == 2
        assert Timer(max_interval=7).max_interval == 7
        timer = Timer(max_interval=7)
        timer.call_after(60, boom)
        assert next(steps(timer, clock)) == (7, None)

    def test_earlier_one_comes_in(self, timer: Timer, clock: Clock) -> None:
        timer.call_after(60, boom)
        it = steps(timer, clock)
        assert next(it) == (2, None)
        entry = timer.call_after(-1, boom)
        assert next(it) == (None, entry)

    def test_another_thread_is_faster(self, timer: Timer, clock: Clock) -> None:
        """What is entered between looking at the queue and taking from it is not lost."""
        entry = timer.call_after(0, boom)
        earlier: list[Entry] = []

        def now() -> float:
            if not earlier:
                earlier.append(timer.call_after(-1, boom))
            return clock.now

        it = timer.__iter__(nowfun=now)
        assert [next(it)[1] for _ in range(2)] == [earlier[0], entry]

    def test_len(self, timer: Timer) -> None:
        timer.call_after(1, boom)
        timer.call_after(2, boom).cancel()
        assert len(timer) == 1
        assert timer

    def test_clear(self, timer: Timer, clock: Clock) -> None:
        it = steps(timer, clock)
        timer.call_after(1, boom)
        queue = timer._queue
        timer.clear()
        assert timer._queue is queue, 'who iterates has it'
        assert next(it) == (None, None)

    def test_context_manager(self) -> None:
        with Timer() as timer:
            assert isinstance(timer, Timer)
        timer.stop()

    def test_schedule(self, timer: Timer) -> None:
        assert timer.schedule is timer

    def test_own_entry_class(self) -> None:
        class Mine(Entry):
            pass

        class MyTimer(Timer):
            Entry = Mine

        assert type(MyTimer().call_after(1, boom)) is Mine

    def test_unknown_argument(self) -> None:
        with pytest.warns(UnknownArgumentWarning, match='max_interval'):
            Timer(max_intervall=3)

    def test_argument_of_timers_with_a_thread(self) -> None:
        """Celery gives it to all timers alike."""
        Timer(on_tick=print)

    def test_on_earliest(self, timer: Timer) -> None:
        told: list[int] = []
        timer.on_earliest = lambda: told.append(1)
        timer.call_after(5, boom)
        timer.call_after(6, boom)
        assert len(told) == 1
        timer.call_after(4, boom)
        assert len(told) == 2


class TestCancel:
    def test_is_skipped(self, timer: Timer, clock: Clock) -> None:
        first, second = timer.call_after(1, boom), timer.call_after(2, boom)
        timer.cancel(first)
        clock.now = 1005
        assert next(steps(timer, clock)) == (None, second)

    def test_does_not_wake(self, timer: Timer, clock: Clock) -> None:
        timer.call_after(1, boom).cancel()
        timer.call_after(1.5, boom)
        assert next(steps(timer, clock)) == (1.5, None)

    def test_leaves_the_queue(self, timer: Timer) -> None:
        entry = timer.call_after(1, boom)
        kept = timer.call_after(2, boom)
        entry.cancel()
        assert [item.entry for item in timer.queue] == [kept]

    def test_memory(self, timer: Timer, clock: Clock) -> None:
        """Guards against a heap full of cancelled entries, such as unused time limits."""
        kept = [timer.call_after(50 + i, boom) for i in range(10)]
        it = steps(timer, clock)
        for i in range(20_000):
            timer.call_after(3600 + i % 7, boom).cancel()
            next(it)
            assert len(timer._queue) <= 2 * module.MIN_CLEAN
        assert [item.entry for item in timer.queue] == kept

    def test_cleaning_follows_what_lives(self, timer: Timer, clock: Clock) -> None:
        """A large heap without anything to clean is not looked through again and again."""
        for i in range(5000):
            timer.call_after(i + 1, boom)
        it = steps(timer, clock)
        next(it)
        assert timer._clean_at >= 10_000
        for item in list(timer._queue)[10:]:
            item[3].cancel()
        timer._clean_at = 0
        next(it)
        assert (len(timer._queue), timer._clean_at) == (10, module.MIN_CLEAN)

    def test_order_survives_cleaning(self, timer: Timer, clock: Clock) -> None:
        called: list[int] = []
        entries = {i: timer.call_at(1001 + i, called.append, (i,)) for i in range(400)}
        for i in range(0, 400, 3):
            entries[i].cancel()
        clock.now = 2000
        fire(timer, clock)
        assert called == [i for i in range(400) if i % 3]


class TestPeriodic:
    def test_repeats(self, timer: Timer, clock: Clock) -> None:
        called: list[float] = []
        entry = timer.call_repeatedly(10, lambda: called.append(clock.now))
        for _ in range(40):
            fire(timer, clock)
            clock.now += 1
        assert called == [1010, 1020, 1030]
        assert [item.entry for item in timer.queue] == [entry], 'one entry throughout'

    def test_arguments(self, timer: Timer, clock: Clock) -> None:
        called: list[Any] = []
        entry = timer.call_repeatedly(
            1, lambda *args, **kwargs: called.append((args, kwargs)), (1,), {'a': 2}, priority=4
        )
        assert (entry.args, entry.kwargs, timer.queue[0].priority) == ((1,), {'a': 2}, 4)
        clock.now += 1
        fire(timer, clock)
        assert called == [((1,), {'a': 2})]
        assert timer.queue[0].priority == 4

    def test_does_not_drift(self, timer: Timer, clock: Clock) -> None:
        """Neither lateness nor the time that the function takes adds up."""
        called: list[float] = []

        def slow() -> None:
            called.append(clock.now)
            clock.now += 0.7

        timer.call_repeatedly(1, slow)
        for _ in range(200):
            clock.now += 0.25
            fire(timer, clock)
        grid = [round(when - 1000) for when in called]
        assert grid == sorted(set(grid)), 'at most once in each interval'
        assert all(when - 1000 - slot <= 0.26 for when, slot in zip(called, grid, strict=True))

    def test_does_not_pile_up(self, timer: Timer, clock: Clock) -> None:
        called: list[float] = []
        timer.call_repeatedly(10, lambda: called.append(clock.now))
        clock.now += 95
        fire(timer, clock)
        assert called == [1095]
        assert timer.queue[0].eta == 1100

    def test_exactly_one_late(self, timer: Timer, clock: Clock) -> None:
        timer.call_repeatedly(10, lambda: None)
        clock.now += 20
        fire(timer, clock)
        assert timer.queue[0].eta == 1030

    @pytest.mark.parametrize('secs', [0, -3])
    def test_without_interval(self, timer: Timer, clock: Clock, secs: int) -> None:
        called: list[int] = []
        timer.call_repeatedly(secs, called.append, (1,))
        it = steps(timer, clock)
        for _ in range(3):
            timer.apply_entry(next(it)[1])
            clock.now += 1
        assert len(called) == 3

    def test_goes_on_after_an_error(
        self, timer: Timer, clock: Clock, caplog: pytest.LogCaptureFixture
    ) -> None:
        timer.call_repeatedly(1, boom)
        for _ in range(3):
            clock.now += 1
            fire(timer, clock)
        assert len(caplog.records) == 3

    def test_cancel(self, timer: Timer, clock: Clock) -> None:
        called: list[int] = []
        entry = timer.call_repeatedly(1, called.append, (1,))
        entry.cancel()
        clock.now += 5
        fire(timer, clock)
        assert entry() is None
        assert not called
        assert not timer

    def test_cancel_from_within(self, timer: Timer, clock: Clock) -> None:
        called: list[int] = []
        entry = timer.call_repeatedly(1, lambda: (called.append(1), entry.tref.cancel()))
        for _ in range(3):
            clock.now += 1
            fire(timer, clock)
        assert called == [1]

    def test_cancel_where_another_schedules(self, clock: Clock) -> None:
        """The handle of the first call is of no use for cancelling the later ones."""
        timer, called = Green(), []
        entry = timer.call_repeatedly(1, called.append, (1,))
        [first] = timer.queue
        clock.now += 1
        first.entry()
        assert called == [1]
        assert {handle.eta for handle in timer.queue} == {1001, 1002}
        entry.cancel()
        for handle in list(timer.queue):
            handle.entry()
        assert called == [1]


class TestErrors:
    def test_logged(self, timer: Timer, caplog: pytest.LogCaptureFixture) -> None:
        timer.apply_entry(Entry(boom))
        [record] = caplog.records
        assert record.name == 'kombu.asynchronous.timer'
        assert record.levelno == logging.ERROR
        assert record.getMessage() == "Error in timer: ValueError('boom')"
        assert record.exc_info is not None
        assert record.exc_info[0] is ValueError

    def test_on_error(self, caplog: pytest.LogCaptureFixture) -> None:
        got: list[Exception] = []
        Timer(on_error=got.append).apply_entry(Entry(boom))
        assert [type(exc) for exc in got] == [ValueError]
        assert not caplog.records

    def test_on_error_of_a_subclass(self) -> None:
        got: list[Any] = []

        class MyTimer(Timer):
            def on_error(self, exc: Exception) -> None:  # type: ignore[override]
                got.append(exc)

        MyTimer().apply_entry(Entry(boom))
        assert len(got) == 1

    def test_handle_error(self) -> None:
        assert not Timer().handle_error(ValueError())
        assert Timer(on_error=lambda exc: None).handle_error(ValueError())

    @pytest.mark.parametrize('error', [KeyboardInterrupt, SystemExit])
    def test_what_ends_the_process(self, timer: Timer, error: type[BaseException]) -> None:
        def leave() -> None:
            raise error

        with pytest.raises(error):
            timer.apply_entry(Entry(leave))

    def test_cancelled_meanwhile(self, timer: Timer) -> None:
        entry = Entry(boom)
        entry.cancel()
        timer.apply_entry(entry)


class TestSubclass:
    def test_what_is_entered(self, clock: Clock) -> None:
        timer = Green(max_interval=3)
        handle = timer.call_after(5, boom, (1,))
        assert isinstance(handle, Green.Handle)
        assert isinstance(timer.call_at(1007, boom), Green.Handle)
        assert isinstance(timer.enter_after(1, Entry(boom), time=clock), Green.Handle)
        assert sorted(item.eta for item in timer.queue) == [1001, 1005, 1007]


class TestToTimestamp:
    @pytest.mark.parametrize('value', [5, 5.5, None, 'x'])
    def test_what_is_no_date(self, value: Any) -> None:
        assert to_timestamp(value) is value

    def test_aware(self) -> None:
        when = datetime.now(timezone(timedelta(hours=5))) + timedelta(seconds=60)
        assert to_timestamp(when, time=lambda: 100.0) == pytest.approx(160, abs=5)

    def test_naive_is_utc(self) -> None:
        when = datetime.now(UTC).replace(tzinfo=None) + timedelta(seconds=60)
        assert to_timestamp(when, time=lambda: 100.0) == pytest.approx(160, abs=5)

    def test_naive_with_time_zone(self) -> None:
        zone = timezone(timedelta(hours=5))
        when = datetime.now(zone).replace(tzinfo=None) - timedelta(seconds=60)
        assert to_timestamp(when, zone, lambda: 100.0) == pytest.approx(40, abs=5)

    def test_naive_local(self) -> None:
        when = datetime.now() + timedelta(seconds=60)
        assert to_timestamp(when, None, lambda: 100.0) == pytest.approx(160, abs=5)


def test_scheduled_is_a_value() -> None:
    assert scheduled._fields == ('eta', 'priority', 'entry')
    assert pickle.loads(pickle.dumps(scheduled(1, 2, None)))[:2] == (1, 2)  # type: ignore[arg-type]
