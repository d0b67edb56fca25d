"""What one cycle of a hub does."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from queue import Empty
from typing import Any
from unittest.mock import Mock

import pytest

from kombu.asynchronous import ERR, READ, WRITE, Hub
from kombu.asynchronous import hub as module
from kombu.asynchronous.hub import Stop


class Boom(Exception):
    """What callbacks raise here."""


def boom(*args: Any) -> None:
    raise Boom


class TestCycle:
    def test_order(self, hub: Hub, poller: Any) -> None:
        got: list[str] = []
        poller.events = [[(5, READ)]]
        hub.add_reader(5, got.append, 'reader')
        hub.on_tick.add(lambda: got.append('tick'))
        hub.call_later(-1, got.append, 'timer')
        hub.call_soon(got.append, 'soon')
        assert next(hub.create_loop()) is None  # type: ignore[func-returns-value]
        assert got == ['soon', 'timer', 'tick', 'reader']

    def test_waits(self, hub: Hub, poller: Any) -> None:
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

    def test_nothing_to_wait_for(
        self, hub: Hub, poller: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, 'BLIND_WAIT', 0.1)
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
        poller = type(hub.poller)()
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

    def test_poll_that_returns_nothing(self, hub: Hub, poller: Any) -> None:
        poller.events = [None]
        hub.add_reader(5, print)
        hub.run_once()

    def test_poll_interrupted(self, hub: Hub, poller: Any) -> None:
        poller.events = [InterruptedError(errno.EINTR, 'signal')]
        hub.add_reader(5, print)
        hub.run_once()
        hub.run_once()
        assert len(poller.waits) == 2

    def test_poll_fails(self, hub: Hub, poller: Any) -> None:
        poller.events = [OSError(errno.EINVAL, 'what?')]
        hub.add_reader(5, print)
        with pytest.raises(OSError, match='what'):
            hub.run_once()
        hub.run_once()

    def test_poller_closed(self, hub: Hub, poller: Any) -> None:
        hub.add_reader(5, print)
        loop = hub.create_loop()
        next(loop)
        poller.close()
        with pytest.raises(StopIteration):
            next(loop)


class TestDispatch:
    def test_callbacks(self, hub: Hub, poller: Any) -> None:
        got: list[Any] = []
        poller.events = [[(5, READ), (6, WRITE)]]
        hub.add_reader(5, lambda *args: got.append(args), 1, 2)
        hub.add_writer(6, lambda *args: got.append(args), 3)
        hub.run_once()
        assert got == [(1, 2), (3,)]

    def test_readable_and_writable(self, hub: Hub, poller: Any) -> None:
        """Neither side starves the other."""
        got: list[str] = []
        poller.events = [[(5, READ | WRITE)]]
        hub.add_reader(5, got.append, 'reader')
        hub.add_writer(5, got.append, 'writer')
        hub.run_once()
        assert got == ['reader', 'writer']

    @pytest.mark.parametrize('event', [ERR, READ | ERR, 8, 16])
    def test_error_goes_to_the_reader(self, hub: Hub, poller: Any, event: int) -> None:
        got: list[str] = []
        poller.events = [[(5, event)]]
        hub.add_reader(5, got.append, 'reader')
        hub.add_writer(5, got.append, 'writer')
        hub.run_once()
        assert got == ['reader']

    @pytest.mark.parametrize('event', [ERR, WRITE | ERR, WRITE])
    def test_error_goes_to_the_writer(self, hub: Hub, poller: Any, event: int) -> None:
        got: list[str] = []
        poller.events = [[(5, event)]]
        hub.add_writer(5, got.append, 'writer')
        hub.run_once()
        assert got == ['writer']

    def test_event_that_is_none(self, hub: Hub, poller: Any) -> None:
        poller.events = [[(5, 0)]]
        hub.add_writer(5, boom)
        hub.run_once()

    def test_nobody_waits_for_it(self, hub: Hub, poller: Any) -> None:
        """Guards against spinning on a descriptor that nobody reads."""
        poller.wanted = {7: READ, 8: WRITE, 9: ERR}
        poller.events = [[(7, READ), (8, WRITE), (9, ERR)]]
        hub.add_reader(5, print)
        hub.run_once()
        assert poller.wanted == {5: READ | ERR}

    def test_only_the_other_side_waits(self, hub: Hub, poller: Any) -> None:
        hub.add_reader(5, boom)
        poller.wanted[5] = READ | WRITE
        poller.events = [[(5, WRITE)]]
        hub.run_once()
        assert poller.wanted == {5: READ | ERR}

    def test_removed_by_another_callback(self, hub: Hub, poller: Any) -> None:
        hub.add_reader(5, hub.remove, 6)
        hub.add_reader(6, boom)
        poller.events = [[(5, READ), (6, READ)]]
        hub.run_once()

    def test_consolidation(self, hub: Hub, poller: Any) -> None:
        got: list[Any] = []
        hub.consolidate_callback = got.append
        for fd in (5, 6, 7):
            hub.add(fd, None, WRITE | ERR, consolidate=True)
        hub.add_writer(8, got.append, 'writer')
        poller.events = [[(5, WRITE), (6, WRITE), (8, WRITE), (7, ERR)]]
        hub.run_once()
        assert got == ['writer', [5, 6, 7]]

    def test_consolidated_and_busy(self, hub: Hub, poller: Any) -> None:
        """While something is written to it, a consolidated descriptor is a writer like others."""
        got: list[Any] = []
        hub.consolidate_callback = got.append
        hub.add(5, None, WRITE | ERR, consolidate=True)
        hub.add_writer(5, got.append, 'writer')
        poller.events = [[(5, WRITE)]]
        hub.run_once()
        assert got == ['writer']

    def test_empty(self, hub: Hub, poller: Any) -> None:
        """A callback may say that there was nothing after all."""

        def nothing() -> None:
            raise Empty

        got: list[int] = []
        hub.add_reader(5, nothing)
        hub.add_reader(6, got.append, 1)
        poller.events = [[(5, READ), (6, READ)]]
        hub.run_once()
        assert got == [1]

    def test_error(self, hub: Hub, poller: Any) -> None:
        """Guards celery: a closed channel is no connection error, and must end its loop too."""
        hub.propagate_errors = (KeyError,)
        hub.add_reader(5, boom)
        poller.events = [[(5, READ)]]
        with pytest.raises(Boom):
            hub.run_once()
        assert list(hub.readers) == [5]


class TestGenerators:
    @pytest.mark.parametrize('flag', [READ, WRITE])
    def test_is_resumed(self, hub: Hub, poller: Any, flag: int) -> None:
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
    def test_end(self, hub: Hub, poller: Any, flag: int) -> None:
        """Guards against resuming for ever what has ended."""
        hub.add(5, (x for x in ()), flag)
        poller.events = [[(5, flag)]]
        hub.run_once()
        assert (hub.readers, hub.writers, poller.wanted) == ({}, {}, {})

    def test_end_keeps_the_other_side(self, hub: Hub, poller: Any) -> None:
        hub.add_reader(5, print)
        hub.add_writer(5, (x for x in ()))
        poller.events = [[(5, WRITE)]]
        hub.run_once()
        assert (list(hub.readers), hub.writers) == ([5], {})

    def test_end_after_adding_a_successor(self, hub: Hub, poller: Any) -> None:
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
    def test_bad_descriptor(self, hub: Hub, poller: Any, flag: int) -> None:
        def work() -> Iterator[None]:
            yield
            raise OSError(errno.EBADF, 'closed')

        hub.add(5, work(), flag)
        poller.events = [[(5, flag)], [(5, flag)]]
        hub.run_once()
        hub.run_once()
        assert (hub.readers, hub.writers) == ({}, {})

    @pytest.mark.parametrize('error', [Boom(), KeyError('k'), OSError(errno.EPIPE, 'broken')])
    def test_error(self, hub: Hub, poller: Any, error: Exception) -> None:
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
    def test_run_once(self, hub: Hub, poller: Any) -> None:
        hub.add_reader(5, print)
        assert hub.run_once() is None  # type: ignore[func-returns-value]
        assert len(poller.waits) == 1

    def test_run_once_and_stop(self, hub: Hub) -> None:
        hub.stop()
        hub.run_once()
        hub.call_soon(boom)
        with pytest.raises(Boom):
            hub.run_once()

    def test_run_forever(self, hub: Hub, poller: Any) -> None:
        hub.add_reader(5, print)
        hub.on_tick.add(lambda: hub.stop() if len(poller.waits) % 3 == 0 else None)
        hub.run_forever()
        hub.run_forever()
        hub.run_forever()
        assert len(poller.waits) >= 6

    @pytest.mark.parametrize('where', ['soon', 'timer', 'tick', 'reader'])
    def test_stop_raised(self, hub: Hub, poller: Any, where: str) -> None:
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

    def test_reset_does_not_forget_to_stop(self, live: Hub) -> None:
        live.call_soon(live.reset)
        live.stop()
        live.run_forever()

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
