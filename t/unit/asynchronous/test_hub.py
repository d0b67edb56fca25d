from __future__ import annotations

import errno
import gc
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from queue import Empty
from typing import Any
from unittest.mock import Mock

import pytest
import vine

from kombu.asynchronous import ERR, READ, WRITE, Hub, get_event_loop, set_event_loop
from kombu.asynchronous import hub as module
from kombu.asynchronous.hub import Stop
from kombu.asynchronous.timer import Timer


class Poller:
    """Gives the events that a test wants, and remembers what it was told."""

    def __init__(self) -> None:
        self.events: list[Any] = []
        self.waits: list[float] = []
        self.wanted: dict[int, int] = {}
        self.closed = False

    def poll(self, timeout: float) -> Any:
        if self.closed:
            raise ValueError('closed')
        self.waits.append(timeout)
        events = self.events.pop(0) if self.events else []
        if isinstance(events, BaseException):
            raise events
        return events

    def register(self, fd: int, events: int) -> int:
        if fd == 99:
            raise OSError(errno.EBADF, 'bad descriptor')
        self.wanted[fd] = events
        return fd

    def unregister(self, fd: int) -> None:
        self.wanted.pop(fd, None)

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def poller() -> Poller:
    return Poller()


@pytest.fixture
def hub(poller: Poller) -> Iterator[Hub]:
    """A hub without a kernel."""
    hub = Hub()
    hub.poller = poller
    yield hub
    hub.close()


@pytest.fixture
def live() -> Iterator[Hub]:
    """A hub with its own poller."""
    hub = Hub()
    yield hub
    hub.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    a, b = socket.socketpair()
    yield a, b
    a.close()
    b.close()


@pytest.fixture(autouse=True)
def _no_current_loop() -> Iterator[None]:
    set_event_loop(None)
    yield
    set_event_loop(None)


class Boom(Exception):
    """What callbacks raise here."""


def boom(*args: Any) -> None:
    raise Boom


def in_thread(work: Callable[[], Any], after: float = 0.01) -> threading.Timer:
    thread = threading.Timer(after, work)
    thread.start()
    return thread


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
    def test_reader_and_writer(self, hub: Hub, poller: Poller) -> None:
        hub.add_reader(5, print, 1)
        hub.add_writer(6, boom)
        assert hub.readers == {5: (print, (1,))}
        assert hub.writers == {6: (boom, ())}
        assert poller.wanted == {5: READ | ERR, 6: WRITE}

    def test_both_of_one_descriptor(self, hub: Hub, poller: Poller) -> None:
        """Guards against the second registration undoing the first."""
        hub.add_reader(5, print)
        hub.add_writer(5, boom)
        assert poller.wanted == {5: READ | WRITE | ERR}
        hub.add_reader(5, boom)
        assert poller.wanted == {5: READ | WRITE | ERR}
        assert (hub.readers, hub.writers) == ({5: (boom, ())}, {5: (boom, ())})

    def test_add_for_both(self, hub: Hub, poller: Poller) -> None:
        hub.add(5, print, READ | WRITE, (1,))
        assert hub.readers == hub.writers == {5: (print, (1,))}
        assert poller.wanted == {5: READ | WRITE}

    def test_without_read_it_is_a_writer(self, hub: Hub) -> None:
        hub.add(5, print, ERR)
        assert (list(hub.readers), list(hub.writers)) == ([], [5])

    def test_consolidated(self, hub: Hub, poller: Poller) -> None:
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

    def test_remove_one_side(self, hub: Hub, poller: Poller) -> None:
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

    def test_remove(self, hub: Hub, poller: Poller) -> None:
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

    def test_what_it_queues_waits_for_the_next_cycle(self, hub: Hub, poller: Poller) -> None:
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

    def test_late_ones_do_not_wait(self, hub: Hub, poller: Poller) -> None:
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

    def test_one_of_a_tick(self, hub: Hub, poller: Poller) -> None:
        """Guards the timer that is entered after the wait was worked out."""
        hub.add_reader(5, print)
        got: list[int] = []
        hub.on_tick.add(lambda: got or hub.call_later(-1, got.append, 1))
        hub.run_once()
        hub.run_once()
        assert got == [1]
        assert poller.waits == [0, 1]


class TestCycle:
    def test_order(self, hub: Hub, poller: Poller) -> None:
        got: list[str] = []
        poller.events = [[(5, READ)]]
        hub.add_reader(5, got.append, 'reader')
        hub.on_tick.add(lambda: got.append('tick'))
        hub.call_later(-1, got.append, 'timer')
        hub.call_soon(got.append, 'soon')
        assert next(hub.create_loop()) is None  # type: ignore[func-returns-value]
        assert got == ['soon', 'timer', 'tick', 'reader']

    def test_waits(self, hub: Hub, poller: Poller) -> None:
        hub.add_reader(5, print)
        hub.run_once()
        hub.call_later(60, print)
        hub.run_once()
        entry = hub.call_later(0.5, print)
        hub.run_once()
        entry.cancel()
        hub.run_once()
        first, second, third, fourth = poller.waits
        assert (first, second, fourth) == (1, 2, 2)
        assert 0.4 < third <= 0.5

    def test_nothing_to_wait_for(self, hub: Hub, poller: Poller) -> None:
        naps: list[float] = []
        loop = hub.create_loop(sleep=naps.append)
        next(loop)
        hub.call_soon(hub.call_soon, int)
        next(loop)
        hub.call_later(0.05, print)
        next(loop)
        assert poller.waits == []
        assert naps[:2] == [0.1, 0]
        assert 0 < naps[2] <= 0.05

    def test_ticks_may_change_the_ticks(self, hub: Hub) -> None:
        got: list[int] = []

        def tick() -> None:
            hub.on_tick.discard(tick)
            hub.on_tick.add(lambda: got.append(1))

        hub.on_tick.add(tick)
        hub.run_once()
        assert not got
        hub.run_once()
        assert got == [1]

    def test_error_of_a_tick(self, hub: Hub) -> None:
        hub.on_tick.add(boom)
        with pytest.raises(Boom):
            hub.run_once()

    def test_assigned_before_it_starts(self, hub: Hub) -> None:
        """As celery's tests do, between making the hub and running the loop."""
        loop = hub.create_loop()
        got: list[Any] = []
        poller = Poller()
        poller.events = [[(6, READ), (7, WRITE)]]
        hub.poller = poller
        hub.readers = {6: (got.append, ('reader',))}
        hub.writers = {7: (got.append, ('writer',))}
        hub.timer = Mock()
        hub.timer._queue = [1]
        hub.fire_timers = Mock(return_value=33.37)  # type: ignore[method-assign]
        hub.propagate_errors = (KeyError,)
        next(loop)
        assert poller.waits == [33.37]
        assert got == ['reader', 'writer']
        hub.fire_timers.assert_called_once_with(propagate=(KeyError,))

    def test_no_timers_no_fire(self, hub: Hub) -> None:
        hub.fire_timers = Mock()  # type: ignore[method-assign]
        hub.run_once()
        hub.fire_timers.assert_not_called()

    def test_poll_that_returns_nothing(self, hub: Hub, poller: Poller) -> None:
        poller.events = [None]
        hub.add_reader(5, print)
        hub.run_once()

    def test_poll_interrupted(self, hub: Hub, poller: Poller) -> None:
        poller.events = [InterruptedError(errno.EINTR, 'signal')]
        hub.add_reader(5, print)
        hub.run_once()
        hub.run_once()
        assert len(poller.waits) == 2

    def test_poll_fails(self, hub: Hub, poller: Poller) -> None:
        poller.events = [OSError(errno.EINVAL, 'what?')]
        hub.add_reader(5, print)
        with pytest.raises(OSError, match='what'):
            hub.run_once()
        hub.run_once()

    def test_poller_closed(self, hub: Hub, poller: Poller) -> None:
        hub.add_reader(5, print)
        loop = hub.create_loop()
        next(loop)
        poller.close()
        with pytest.raises(StopIteration):
            next(loop)


class TestDispatch:
    def test_callbacks(self, hub: Hub, poller: Poller) -> None:
        got: list[Any] = []
        poller.events = [[(5, READ), (6, WRITE)]]
        hub.add_reader(5, lambda *args: got.append(args), 1, 2)
        hub.add_writer(6, lambda *args: got.append(args), 3)
        hub.run_once()
        assert got == [(1, 2), (3,)]

    def test_readable_and_writable(self, hub: Hub, poller: Poller) -> None:
        """Neither side starves the other."""
        got: list[str] = []
        poller.events = [[(5, READ | WRITE)]]
        hub.add_reader(5, got.append, 'reader')
        hub.add_writer(5, got.append, 'writer')
        hub.run_once()
        assert got == ['reader', 'writer']

    @pytest.mark.parametrize('event', [ERR, READ | ERR, 8, 16])
    def test_error_goes_to_the_reader(self, hub: Hub, poller: Poller, event: int) -> None:
        got: list[str] = []
        poller.events = [[(5, event)]]
        hub.add_reader(5, got.append, 'reader')
        hub.add_writer(5, got.append, 'writer')
        hub.run_once()
        assert got == ['reader']

    @pytest.mark.parametrize('event', [ERR, WRITE | ERR, WRITE])
    def test_error_goes_to_the_writer(self, hub: Hub, poller: Poller, event: int) -> None:
        got: list[str] = []
        poller.events = [[(5, event)]]
        hub.add_writer(5, got.append, 'writer')
        hub.run_once()
        assert got == ['writer']

    def test_event_that_is_none(self, hub: Hub, poller: Poller) -> None:
        poller.events = [[(5, 0)]]
        hub.add_writer(5, boom)
        hub.run_once()

    def test_nobody_waits_for_it(self, hub: Hub, poller: Poller) -> None:
        """Guards against spinning on a descriptor that nobody reads."""
        poller.wanted = {7: READ, 8: WRITE, 9: ERR}
        poller.events = [[(7, READ), (8, WRITE), (9, ERR)]]
        hub.add_reader(5, print)
        hub.run_once()
        assert poller.wanted == {5: READ | ERR}

    def test_only_the_other_side_waits(self, hub: Hub, poller: Poller) -> None:
        hub.add_reader(5, boom)
        poller.wanted[5] = READ | WRITE
        poller.events = [[(5, WRITE)]]
        hub.run_once()
        assert poller.wanted == {5: READ | ERR}

    def test_removed_by_another_callback(self, hub: Hub, poller: Poller) -> None:
        hub.add_reader(5, hub.remove, 6)
        hub.add_reader(6, boom)
        poller.events = [[(5, READ), (6, READ)]]
        hub.run_once()

    def test_consolidation(self, hub: Hub, poller: Poller) -> None:
        got: list[Any] = []
        hub.consolidate_callback = got.append
        for fd in (5, 6, 7):
            hub.add(fd, None, WRITE | ERR, consolidate=True)
        hub.add_writer(8, got.append, 'writer')
        poller.events = [[(5, WRITE), (6, WRITE), (8, WRITE), (7, ERR)]]
        hub.run_once()
        assert got == ['writer', [5, 6, 7]]

    def test_consolidated_and_busy(self, hub: Hub, poller: Poller) -> None:
        """While something is written to it, a consolidated descriptor is a writer like others."""
        got: list[Any] = []
        hub.consolidate_callback = got.append
        hub.add(5, None, WRITE | ERR, consolidate=True)
        hub.add_writer(5, got.append, 'writer')
        poller.events = [[(5, WRITE)]]
        hub.run_once()
        assert got == ['writer']

    def test_empty(self, hub: Hub, poller: Poller) -> None:
        """A callback may say that there was nothing after all."""

        def nothing() -> None:
            raise Empty

        got: list[int] = []
        hub.add_reader(5, nothing)
        hub.add_reader(6, got.append, 1)
        poller.events = [[(5, READ), (6, READ)]]
        hub.run_once()
        assert got == [1]

    def test_error(self, hub: Hub, poller: Poller) -> None:
        """Guards celery: a closed channel is no connection error, and must end its loop all the same."""
        hub.propagate_errors = (KeyError,)
        hub.add_reader(5, boom)
        poller.events = [[(5, READ)]]
        with pytest.raises(Boom):
            hub.run_once()
        assert list(hub.readers) == [5]


class TestGenerators:
    @pytest.mark.parametrize('flag', [READ, WRITE])
    def test_is_resumed(self, hub: Hub, poller: Poller, flag: int) -> None:
        got: list[int] = []

        def work() -> Iterator[None]:
            got.append(1)
            yield
            got.append(2)
            yield

        gen = work()
        hub.add(5, gen, flag)
        table = hub.readers if flag == READ else hub.writers
        assert table.get(5) == (gen, ())
        poller.events = [[(5, flag)], [(5, flag)]]
        hub.run_once()
        assert got == [1]
        hub.run_once()
        assert got == [1, 2]
        assert table[5] == (gen, ())

    @pytest.mark.parametrize('flag', [READ, WRITE])
    def test_end(self, hub: Hub, poller: Poller, flag: int) -> None:
        """Guards against resuming for ever what has ended."""
        hub.add(5, (x for x in ()), flag)
        poller.events = [[(5, flag)]]
        hub.run_once()
        assert (hub.readers, hub.writers, poller.wanted) == ({}, {}, {})

    def test_end_keeps_the_other_side(self, hub: Hub, poller: Poller) -> None:
        hub.add_reader(5, print)
        hub.add_writer(5, (x for x in ()))
        poller.events = [[(5, WRITE)]]
        hub.run_once()
        assert (list(hub.readers), hub.writers) == ([5], {})

    def test_end_after_adding_a_successor(self, hub: Hub, poller: Poller) -> None:
        """As celery's reader of results does."""

        def work() -> Iterator[None]:
            yield
            hub.add_reader(5, print, 5)

        hub.add_reader(5, work())
        poller.events = [[(5, READ)], [(5, READ)]]
        hub.run_once()
        hub.run_once()
        assert hub.readers == {5: (print, (5,))}

    @pytest.mark.parametrize('flag', [READ, WRITE])
    def test_bad_descriptor(self, hub: Hub, poller: Poller, flag: int) -> None:
        def work() -> Iterator[None]:
            yield
            raise OSError(errno.EBADF, 'closed')

        hub.add(5, work(), flag)
        poller.events = [[(5, flag)], [(5, flag)]]
        hub.run_once()
        hub.run_once()
        assert (hub.readers, hub.writers) == ({}, {})

    @pytest.mark.parametrize('error', [Boom(), KeyError('k'), OSError(errno.EPIPE, 'broken')])
    def test_error(self, hub: Hub, poller: Poller, error: Exception) -> None:
        def work() -> Iterator[None]:
            raise error
            yield

        hub.add_writer(5, work())
        removed: list[int] = []
        hub.remove = removed.append  # type: ignore[method-assign,assignment]  # as celery's tests
        poller.events = [[(5, WRITE)]]
        with pytest.raises(type(error)):
            hub.run_once()
        assert removed == [5]


class TestRunning:
    def test_run_once(self, hub: Hub, poller: Poller) -> None:
        hub.add_reader(5, print)
        assert hub.run_once() is None  # type: ignore[func-returns-value]
        assert len(poller.waits) == 1

    def test_run_once_and_stop(self, hub: Hub) -> None:
        hub.stop()
        hub.run_once()
        hub.call_soon(boom)
        with pytest.raises(Boom):
            hub.run_once()

    def test_run_forever(self, hub: Hub, poller: Poller) -> None:
        hub.add_reader(5, print)
        hub.on_tick.add(lambda: hub.stop() if len(poller.waits) == 3 else None)
        hub.run_forever()
        assert len(poller.waits) == 4
        hub.run_forever()
        assert len(poller.waits) > 4

    @pytest.mark.parametrize('where', ['soon', 'timer', 'tick', 'reader'])
    def test_stop_raised(self, hub: Hub, poller: Poller, where: str) -> None:
        def stop() -> None:
            raise Stop

        poller.events = [[(5, READ)]]
        hub.add_reader(5, stop if where == 'reader' else int)
        if where == 'soon':
            hub.call_soon(stop)
        elif where == 'timer':
            hub.call_later(-1, stop)
        elif where == 'tick':
            hub.on_tick.add(stop)
        hub.run_forever()

    def test_stop_keeps_what_comes_after(self, hub: Hub) -> None:
        got: list[int] = []
        hub.call_soon(got.append, 1)
        hub.stop()
        hub.call_soon(got.append, 2)
        hub.run_forever()
        assert got == [1]
        hub.run_once()
        assert got == [1, 2]

    def test_not_within_itself(self, hub: Hub) -> None:
        hub.call_soon(hub.run_forever)
        with pytest.raises(RuntimeError, match='running already'):
            hub.run_forever()
        hub.stop()
        hub.run_forever()

    def test_error(self, hub: Hub) -> None:
        hub.call_soon(boom)
        with pytest.raises(Boom):
            hub.run_forever()
        hub.stop()
        hub.run_forever()

    def test_close_ends_it(self, live: Hub) -> None:
        live.call_soon(live.close)
        live.run_forever()
        live.stop()
        live.run_forever()

    def test_reset_does_not(self, live: Hub) -> None:
        got: list[int] = []
        live.call_soon(live.reset)
        live.call_later(0.002, got.append, 1)
        live.call_later(0.004, live.stop)
        live.run_forever()
        assert got == [1]

    def test_loop(self, hub: Hub) -> None:
        loop = hub.loop
        assert hub.loop is loop
        loop.close()
        assert hub.loop is not loop

    def test_process_ends(self, hub: Hub) -> None:
        def leave() -> None:
            raise SystemExit(3)

        hub.call_soon(leave)
        with pytest.raises(SystemExit):
            hub.run_forever()


class TestClosing:
    def test_forgets_descriptors(self, hub: Hub, poller: Poller) -> None:
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
        hub.on_close.add(got.append)
        hub.call_soon(got.append, 'queued')
        getattr(hub, how)()
        assert got == [hub, 'queued']

    def test_errors_do_not_stop_it(self, hub: Hub, poller: Poller) -> None:
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
                hub.call_soon(int)
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
        hub.call_soon(hub.stop)
        hub.call_later(60, hub.stop)
        hub.run_once()
        with warnings.catch_warnings():
            warnings.simplefilter('error')
            del hub
            gc.collect()


class TestWaking:
    """A hub that waits for a second, or for a timer, is woken at once."""

    @pytest.fixture(params=['descriptor', 'nothing'])
    def waiting(self, request: pytest.FixtureRequest, live: Hub, pair: Any) -> Hub:
        if request.param == 'descriptor':
            live.add_reader(pair[0], print)
        live.timer.max_interval = 60
        live.call_later(60, print)
        return live

    def test_call_soon(self, waiting: Hub) -> None:
        thread = in_thread(lambda: waiting.call_soon(waiting.stop))
        waiting.run_forever()
        thread.join()

    def test_stop(self, waiting: Hub) -> None:
        thread = in_thread(waiting.stop)
        waiting.run_forever()
        thread.join()

    @pytest.mark.parametrize('how', ['call_later', 'call_at', 'call_repeatedly'])
    def test_timer(self, waiting: Hub, how: str) -> None:
        when = time.monotonic() if how == 'call_at' else 0.001
        thread = in_thread(lambda: getattr(waiting, how)(when, waiting.stop))
        waiting.run_forever()
        thread.join()

    def test_first_timer(self, live: Hub, pair: Any) -> None:
        live.add_reader(pair[0], print)
        loop = live.create_loop()
        thread = in_thread(lambda: live.call_later(-1, live.stop))
        started = time.monotonic()
        next(loop)
        thread.join()
        assert time.monotonic() - started < 0.5

    def test_signal_handler(self, waiting: Hub) -> None:
        old = signal.signal(signal.SIGUSR1, lambda *_: waiting.stop())
        thread = in_thread(lambda: os.kill(os.getpid(), signal.SIGUSR1))
        try:
            waiting.run_forever()
        finally:
            thread.join()
            signal.signal(signal.SIGUSR1, old)

    def test_no_wake_ups_without_need(self, live: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
        """The thread that runs the loop does not wake itself."""
        live.poller  # noqa: B018 - made by this
        assert live._waker is not None
        woken: list[int] = []
        monkeypatch.setattr(live._waker, 'wake', lambda: woken.append(1))
        for _ in range(5):
            live.call_soon(live.call_soon, int)
            live.call_later(0, int)
            live.run_once()
        assert not woken

    def test_many_threads(self, live: Hub) -> None:
        got: list[int] = []
        per_thread, threads = 500, 4

        def work() -> None:
            for i in range(per_thread):
                live.call_soon(got.append, i)

        workers = [threading.Thread(target=work) for _ in range(threads)]
        for worker in workers:
            worker.start()
        while len(got) < per_thread * threads:
            live.run_once()
        for worker in workers:
            worker.join()
        assert sorted(got) == sorted(list(range(per_thread)) * threads)

    def test_poller_without_waker(self, hub: Hub) -> None:
        hub._waiting = True
        hub.call_soon(int)
        hub.run_once()


class TestReally:
    """With sockets and a kernel."""

    def test_ping_pong(self, live: Hub, pair: Any) -> None:
        a, b = pair
        count = 0

        def bounce(src: socket.socket, dst: socket.socket) -> None:
            nonlocal count
            count += 1
            src.recv(1)
            if count == 100:
                live.stop()
            else:
                src.send(b'x')

        live.add_reader(a, bounce, a, b)
        live.add_reader(b, bounce, b, a)
        a.send(b'x')
        live.run_forever()
        assert count == 100

    def test_reader_and_writer(self, live: Hub, pair: Any) -> None:
        """Guards both sides of one descriptor, with the kernel's own list."""
        a, b = pair
        got: list[str] = []
        live.add_reader(a, got.append, 'readable')
        live.add_writer(a, got.append, 'writable')
        live.run_once()
        assert got == ['writable']
        b.send(b'x')
        live.run_once()
        assert got[1:] == ['readable', 'writable']
        live.remove_writer(a)
        live.run_once()
        assert got[3:] == ['readable']

    def test_hang_up(self, live: Hub, pair: Any) -> None:
        a, b = pair
        got: list[bytes] = []
        live.add_reader(a, lambda: (got.append(a.recv(1)), live.remove(a)))
        b.close()
        live.run_once()
        assert got == [b'']
        assert not live.readers

    def test_inherited_by_a_child(self, live: Hub, pair: Any) -> None:
        """Guards against spinning on a socket that was closed here but lives on in a child."""
        a, b = pair
        fd = a.fileno()
        live.add_reader(fd, boom)
        child = subprocess.Popen(
            [sys.executable, '-c', 'input()'], stdin=subprocess.PIPE, pass_fds=(fd,)
        )
        try:
            a.close()
            live.remove(fd)
            b.send(b'x')
            live.call_later(0.02, live.stop)
            cycles = 0

            def count() -> None:
                nonlocal cycles
                cycles += 1

            live.on_tick.add(count)
            live.run_forever()
            assert cycles < 10
        finally:
            child.communicate(b'\n')

    def test_idle(self, live: Hub, pair: Any) -> None:
        """Nothing to do means nothing is done."""
        live.add_reader(pair[0], print)
        live.call_later(0.03, live.stop)
        cycles: list[int] = []
        live.on_tick.add(lambda: cycles.append(1))
        live.run_forever()
        assert len(cycles) <= 4


def test_on_callback_error(hub: Hub, caplog: pytest.LogCaptureFixture) -> None:
    hub.on_callback_error(boom, Boom('why'))
    [record] = caplog.records
    assert (record.name, record.levelno) == (module.__name__, logging.ERROR)
    assert "raised exception: Boom('why')" in record.getMessage()
    assert record.exc_info


def test_Stop_is_no_error() -> None:
    """So that `except Exception` in a callback does not stop the stopping."""
    assert not issubclass(Stop, Exception)
