"""What is registered with a hub, and what becomes of it."""

from __future__ import annotations

import errno
import gc
import logging
import os
import warnings
from typing import Any
from unittest.mock import Mock

import pytest
import vine

from kombu.asynchronous import ERR, READ, WRITE, Hub, get_event_loop, set_event_loop
from kombu.asynchronous import hub as module
from kombu.asynchronous.hub import Stop
from kombu.asynchronous.timer import Timer


class Boom(Exception):
    """What callbacks raise here."""


def boom(*args: Any) -> None:
    raise Boom


class TestCurrent:
    def test_set(self, live: Hub) -> None:
        assert get_event_loop() is None
        assert set_event_loop(live) is live
        assert get_event_loop() is live

    def test_close_drops_it(self, live: Hub) -> None:
        set_event_loop(live)
        live.close()
        assert get_event_loop() is None

    def test_close_of_another_does_not(self, live: Hub, hub: Hub) -> None:
        set_event_loop(live)
        hub.close()
        assert get_event_loop() is live

    def test_reset_does_not(self, live: Hub) -> None:
        """Guards the worker whose hub was reset: its shutdown looks for the hub to fire timers."""
        set_event_loop(live)
        live.reset()
        assert get_event_loop() is live


class TestConstruction:
    def test_timer(self) -> None:
        timer = Timer()
        assert Hub(timer).timer is timer, 'although an empty timer is false'
        assert isinstance(Hub().timer, Timer)

    def test_what_outsiders_look_at(self, hub: Hub) -> None:
        assert (hub.readers, hub.writers, hub.consolidate) == ({}, {}, set())
        assert (hub.on_tick, hub.on_close) == (set(), set())
        assert hub.propagate_errors == ()
        assert hub.consolidate_callback is None
        assert (Hub.READ, Hub.WRITE, Hub.ERR) == (READ, WRITE, ERR)
        assert Hub.on_close is None

    def test_poller_is_made_on_demand(self) -> None:
        hub = Hub()
        assert hub._poller is None
        poller = hub.poller
        assert hub.poller is poller
        hub.close()
        assert hub._poller is None
        assert hub.poller is not poller
        hub.close()

    def test_repr(self, hub: Hub) -> None:
        hub.add_reader(5, print)
        assert repr(hub) == f'<Hub@{id(hub):#x}: R:1 W:0>'

    def test_debugging(self, hub: Hub) -> None:
        hub.add_reader(5, print, 1)
        hub.add_writer(6, print, 2)
        assert hub.repr_active() == '(5)print(1)->R!, (6)print(2)->W'
        assert hub.repr_events([(5, READ)]) == 'print(1)(5)->R'


class TestRegistering:
    def test_reader_and_writer(self, hub: Hub, poller: Any) -> None:
        hub.add_reader(5, print, 1)
        hub.add_writer(6, boom)
        assert hub.readers == {5: (print, (1,))}
        assert hub.writers == {6: (boom, ())}
        assert poller.wanted == {5: READ | ERR, 6: WRITE}

    def test_both_of_one_descriptor(self, hub: Hub, poller: Any) -> None:
        """Guards against the second registration undoing the first."""
        hub.add_reader(5, print)
        hub.add_writer(5, boom)
        assert poller.wanted == {5: READ | WRITE | ERR}
        hub.add_reader(5, boom)
        assert poller.wanted == {5: READ | WRITE | ERR}
        assert (hub.readers, hub.writers) == ({5: (boom, ())}, {5: (boom, ())})

    def test_add_for_both(self, hub: Hub, poller: Any) -> None:
        hub.add(5, print, READ | WRITE, (1,))
        assert hub.readers == hub.writers == {5: (print, (1,))}
        assert poller.wanted == {5: READ | WRITE}

    def test_without_read_it_is_a_writer(self, hub: Hub) -> None:
        hub.add(5, print, ERR)
        assert (list(hub.readers), list(hub.writers)) == ([], [5])

    def test_consolidated(self, hub: Hub, poller: Any) -> None:
        hub.add(5, None, WRITE | ERR, consolidate=True)
        assert hub.consolidate == {5}
        assert hub.writers == {5: None}
        assert poller.wanted == {5: WRITE | ERR}
        hub.add_writer(5, print)
        assert hub.writers == {5: (print, ())}
        assert hub.consolidate == {5}
        hub.remove_writer(5)
        assert (hub.consolidate, hub.writers) == (set(), {})

    def test_objects(self, hub: Hub, pair: Any) -> None:
        hub.add_reader(pair[0], print)
        assert list(hub.readers) == [pair[0].fileno()]
        hub.remove_reader(pair[0])
        assert not hub.readers
        hub.add_writer(pair[0], print)
        hub.remove(pair[0])
        assert not hub.writers

    @pytest.mark.parametrize('bad', [None, 'name', [1, 2]])
    def test_what_has_no_descriptor(self, hub: Hub, bad: Any) -> None:
        with pytest.raises((ValueError, AttributeError)):
            hub.add_reader(bad, print)

    def test_refused(self, hub: Hub) -> None:
        hub.readers[99] = (print, ())
        with pytest.raises(OSError, match='bad descriptor'):
            hub.add_reader(99, print)
        assert not hub.readers

    def test_remove_one_side(self, hub: Hub, poller: Any) -> None:
        hub.add_reader(5, print)
        hub.add_writer(5, print)
        hub.remove_reader(5)
        assert (hub.readers, list(hub.writers)) == ({}, [5])
        assert poller.wanted == {5: WRITE | ERR}
        hub.add_reader(5, print)
        hub.remove_writer(5)
        assert (list(hub.readers), hub.writers) == ([5], {})
        assert poller.wanted == {5: READ | ERR}
        hub.remove_reader(5)
        assert poller.wanted == {}

    def test_remove_reader_keeps_a_consolidated_writer(self, hub: Hub) -> None:
        hub.add_reader(5, print)
        hub.add(5, None, WRITE | ERR, consolidate=True)
        hub.remove_reader(5)
        assert (hub.consolidate, hub.writers) == ({5}, {5: None})

    def test_remove(self, hub: Hub, poller: Any) -> None:
        hub.add_reader(5, print)
        hub.add(5, None, WRITE, consolidate=True)
        hub.remove(5)
        assert (hub.readers, hub.writers, hub.consolidate) == ({}, {}, set())
        assert poller.wanted == {}

    def test_remove_unknown(self, hub: Hub) -> None:
        hub.remove(5)
        hub.remove_reader(5)
        hub.remove_writer(5)

    def test_removing_makes_no_poller(self) -> None:
        hub = Hub()
        hub.remove(5)
        hub.readers[5] = (print, ())
        hub.remove_reader(5)
        assert hub._poller is None

    def test_the_other_side_is_gone(self, hub: Hub) -> None:
        """A descriptor that the kernel does not know any more is removed."""
        hub.readers[99] = hub.writers[99] = (print, ())
        hub.remove_writer(99)
        assert not hub.readers

    def test_closed_behind_its_back(self, live: Hub, pair: Any) -> None:
        fd = pair[0].fileno()
        live.add_reader(fd, print)
        pair[0].close()
        live.remove(fd)
        assert not live.readers


class TestCallSoon:
    def test_is_a_promise(self, hub: Hub) -> None:
        """Celery looks at `.fun.__self__`."""
        got: list[int] = []
        p = hub.call_soon(got.append, 1)
        assert type(p) is vine.promise
        assert [q.fun.__self__ for q in hub._ready] == [got]
        hub.run_once()
        assert got == [1]

    def test_order(self, hub: Hub) -> None:
        got: list[int] = []
        for i in range(100):
            hub.call_soon(got.append, i)
        hub.run_once()
        assert got == list(range(100))

    def test_promises_are_queued_once(self, hub: Hub) -> None:
        got: list[int] = []
        p = vine.promise(got.append, (1,))
        assert hub.call_soon(p) is p
        assert hub.call_soon(p) is p
        hub.run_once()
        assert got == [1]
        hub.call_soon(p)
        hub.run_once()
        assert got == [1, 1]

    def test_promise_with_arguments(self, hub: Hub) -> None:
        got: list[int] = []
        hub.call_soon(vine.promise(got.append), 1)
        hub.run_once()
        assert got == [1]

    def test_cancel(self, hub: Hub) -> None:
        hub.call_soon(boom).cancel()
        hub.run_once()

    def test_what_it_queues_waits_for_the_next_cycle(self, hub: Hub, poller: Any) -> None:
        got: list[int] = []

        def again() -> None:
            got.append(len(poller.waits))
            if len(got) < 3:
                hub.call_soon(again)

        hub.add_reader(5, print)
        hub.call_soon(again)
        for _ in range(4):
            hub.run_once()
        assert got == [0, 1, 2]
        assert poller.waits == [0, 0, 1, 1], 'no wait while something is queued'

    def test_an_error_loses_nothing(self, hub: Hub) -> None:
        got: list[int] = []
        hub.call_soon(got.append, 1)
        hub.call_soon(boom)
        hub.call_soon(got.append, 2)
        with pytest.raises(Boom):
            hub.run_once()
        assert got == [1]
        hub.run_once()
        assert got == [1, 2]

    def test_older_celery_adds_to_the_set(self, hub: Hub) -> None:
        got: list[int] = []

        def flush() -> None:
            got.append(1)

        hub._ready.add(flush)
        hub._ready.add(flush)
        hub.run_once()
        assert got == [1]

    def test_pop_ready(self, hub: Hub) -> None:
        """As celery's prefork pool uses it at shutdown."""
        got: list[int] = []
        for i in range(3):
            hub.call_soon(got.append, i)
        ready = hub._pop_ready()
        assert len(ready) == 3
        assert not hub._ready
        assert not hub._pop_ready()
        while ready:
            callback = ready.pop()
            if callback.args == (1,):
                hub.call_soon(callback)
            else:
                callback()
        assert got == [0, 2]
        assert [callback.args for callback in hub._ready] == [(1,)]


class TestTimers:
    def test_delegates(self, hub: Hub) -> None:
        hub.timer = Mock()
        hub.call_later(1, print, 2)
        hub.call_at(3, print, 4)
        hub.call_repeatedly(5, print, 6)
        hub.timer.call_after.assert_called_once_with(1, print, (2,))
        hub.timer.call_at.assert_called_once_with(3, print, (4,))
        hub.timer.call_repeatedly.assert_called_once_with(5, print, (6,))

    def test_fire(self, hub: Hub) -> None:
        got: list[int] = []
        hub.call_later(0, got.append, 1)
        hub.call_later(60, got.append, 2)
        hub.fire_timers()
        assert got == [1]

    def test_what_it_returns(self, hub: Hub) -> None:
        assert hub.fire_timers() == 1
        assert hub.fire_timers(min_delay=0.2) == 0.2
        assert hub.fire_timers(min_delay=5, max_delay=3) == 3
        entry = hub.call_later(0.5, print)
        assert 0.4 < hub.fire_timers() <= 0.5
        assert hub.fire_timers(max_delay=0.1) == 0.1
        entry.cancel()
        hub.call_later(60, print)
        assert hub.fire_timers() == 2, 'the interval of the timer'
        hub.timer.max_interval = 60
        assert hub.fire_timers() == 10
        assert 50 < hub.fire_timers(max_delay=100) <= 60

    def test_no_more_than(self, hub: Hub) -> None:
        """And no wait where some are left."""
        got: list[int] = []
        for i in range(25):
            hub.call_later(-1, got.append, i)
        assert hub.fire_timers() == 0
        assert got == list(range(10))
        assert hub.fire_timers(max_timers=100) == 1
        assert got == list(range(25))

    def test_late_ones_do_not_wait(self, hub: Hub, poller: Any) -> None:
        hub.add_reader(5, print)
        for _ in range(15):
            hub.call_later(-1, int)
        hub.run_once()
        hub.run_once()
        assert poller.waits == [0, 1]

    def test_error_is_logged(self, hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
        got: list[int] = []
        hub.call_later(-2, boom)
        hub.call_later(-1, got.append, 1)
        hub.fire_timers()
        assert got == [1]
        [record] = caplog.records
        assert record.getMessage() == 'Error in timer: Boom()'
        assert record.exc_info

    def test_error_goes_to_the_timer(self, caplog: pytest.LogCaptureFixture) -> None:
        got: list[Exception] = []
        hub = Hub(Timer(on_error=got.append))
        hub.call_later(-1, boom)
        hub.fire_timers()
        assert [type(exc) for exc in got] == [Boom]
        assert not caplog.records

    def test_error_to_propagate(self, hub: Hub) -> None:
        hub.call_later(-1, boom)
        with pytest.raises(Boom):
            hub.fire_timers(propagate=(KeyError, Boom))
        hub.propagate_errors = (Boom,)
        hub.call_later(-1, boom)
        with pytest.raises(Boom):
            hub.run_once()

    @pytest.mark.parametrize(
        'error',
        [MemoryError(), AssertionError(), OSError(errno.ENOMEM, 'no memory'), KeyboardInterrupt()],
    )
    def test_error_that_is_never_swallowed(self, hub: Hub, error: BaseException) -> None:
        def fail() -> None:
            raise error

        hub.call_later(-1, fail)
        with pytest.raises(type(error)):
            hub.fire_timers()

    def test_assigned_timer(self, hub: Hub) -> None:
        hub.fire_timers()
        scheduler = hub.scheduler
        assert hub.scheduler is scheduler
        hub.timer = Timer()
        got: list[int] = []
        hub.call_later(-1, got.append, 1)
        hub.fire_timers()
        assert got == [1]

    def test_one_of_a_tick(self, hub: Hub, poller: Any) -> None:
        """Guards the timer that is entered after the wait was worked out."""
        hub.add_reader(5, print)
        got: list[int] = []
        hub.on_tick.add(lambda: got or hub.call_later(-1, got.append, 1))
        hub.run_once()
        hub.run_once()
        assert got == [1]
        assert poller.waits == [0, 1]


class TestClosing:
    def test_forgets_descriptors(self, hub: Hub, poller: Any) -> None:
        hub.add_reader(5, print)
        hub.add(6, None, WRITE, consolidate=True)
        readers = hub.readers
        hub.close()
        assert (hub.readers, hub.writers, hub.consolidate) == ({}, {}, set())
        assert hub.readers is readers
        assert poller.closed

    def test_keeps_timers_and_ticks(self, hub: Hub) -> None:
        timer = hub.timer
        hub.call_later(60, print)
        hub.on_tick.add(boom)
        hub.close()
        hub.reset()
        assert hub.timer is timer
        assert len(timer) == 1
        assert hub.on_tick == {boom}

    @pytest.mark.parametrize('how', ['close', 'reset'])
    def test_callbacks(self, hub: Hub, how: str) -> None:
        got: list[Any] = []
        assert hub.on_close is not None
        hub.on_close.add(lambda closed: (got.append(closed), hub.call_soon(got.append, 'last')))
        hub.call_soon(got.append, 'queued')
        getattr(hub, how)()
        assert got == [hub, 'queued', 'last']

    def test_errors_do_not_stop_it(self, hub: Hub, poller: Any) -> None:
        reported: list[Any] = []
        hub.on_callback_error = lambda *args: reported.append(args)  # type: ignore[method-assign]
        got: list[int] = []
        assert hub.on_close is not None
        hub.on_close.add(boom)
        p = hub.call_soon(boom)
        hub.call_soon(got.append, 1)
        hub.close()
        assert got == [1]
        assert [callback for callback, _ in reported] == [boom, p]
        assert all(isinstance(exc, Boom) for _, exc in reported)

    def test_what_is_queued_while_closing_is_kept(self, hub: Hub) -> None:
        """A callback that queues itself again does not keep `close` from returning."""

        def again() -> None:
            hub.call_soon(again)

        hub.call_soon(again)
        hub.close()
        assert len(hub._ready) == 1

    def test_close_within_close(self, hub: Hub) -> None:
        got: list[int] = []
        hub.call_soon(hub.close)
        hub.call_soon(got.append, 1)
        hub.close()
        assert got == [1]

    def test_reset_with_a_callback_that_adds(self, live: Hub, pair: Any) -> None:
        """Guards the poller that is made on the way: there must not be a second."""
        assert live.on_close is not None
        live.on_close.add(lambda hub: hub.add_reader(pair[0], print))
        live.reset()
        poller = live.poller
        live.on_close.clear()
        assert list(live.readers) == [pair[0].fileno()]
        pair[1].send(b'x')
        assert (pair[0].fileno(), READ) in poller.poll(1)

    def test_when_asked_to_stop(self, hub: Hub) -> None:
        """Guards closing: a stop that nobody heeded yet does not come out of it."""
        got: list[int] = []
        hub.stop()
        hub.call_soon(got.append, 1)
        hub.close()
        assert got == [1]
        assert not hub._ready

    def test_takes_anything(self, hub: Hub) -> None:
        hub.close(1, 2)
        hub.close()

    def test_starts_again(self, live: Hub, pair: Any) -> None:
        got: list[bytes] = []
        for _ in range(3):
            live.add_reader(pair[0], lambda: (got.append(pair[0].recv(1)), live.stop()))
            pair[1].send(b'x')
            live.run_forever()
            live.close()
        assert got == [b'x'] * 3

    def test_loop_ends(self, live: Hub) -> None:
        """Celery takes the end for a reason to create another loop."""
        loop = live.create_loop()
        live.call_soon(int)
        live.on_tick.add(lambda: live.call_soon(int))
        next(loop)
        live.reset()
        with pytest.raises(StopIteration):
            next(loop)
        next(live.create_loop())

    def test_close_within_the_callbacks(self, live: Hub) -> None:
        got: list[int] = []
        live.call_soon(live.close)
        live.call_soon(got.append, 1)
        live.run_once()
        assert got == [1]

    def test_leaves_no_descriptors(self) -> None:
        """Guards against leaks of a worker that reconnects."""

        def cycle(n: int) -> None:
            hub = Hub()
            for _ in range(n):
                hub.call_soon(hub.call_soon, int)
                hub.run_once()
                hub.reset()
            hub.close()

        cycle(1)
        before = len(os.listdir('/proc/self/fd')) if os.path.isdir('/proc/self/fd') else 0
        cycle(50)
        after = len(os.listdir('/proc/self/fd')) if before else 0
        assert after == before

    def test_dropped_without_closing(self) -> None:
        hub = Hub()
        hub.call_soon(hub.call_soon, hub.stop)
        hub.call_later(60, hub.stop)
        hub.run_once()
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            del hub
            gc.collect()


def test_on_callback_error(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    hub.on_callback_error(boom, Boom('why'))
    [record] = caplog.records
    assert (record.name, record.levelno) == (module.__name__, logging.ERROR)
    assert "raised exception: Boom('why')" in record.getMessage()
    assert record.exc_info


def test_Stop_is_no_error() -> None:
    """So that `except Exception` in a callback does not stop the stopping."""
    assert not issubclass(Stop, Exception)
