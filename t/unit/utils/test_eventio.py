from __future__ import annotations

import errno
import os
import select
import signal
import socket
import threading
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from kombu.utils import eventio
from kombu.utils.eventio import (
    ERR,
    KQ_EV_ADD,
    KQ_EV_DELETE,
    KQ_EV_EOF,
    KQ_EV_ERROR,
    KQ_FILTER_READ,
    KQ_FILTER_WRITE,
    READ,
    SELECT_BAD_FD,
    WRITE,
    Waker,
)

KINDS = [
    pytest.param(kind, marks=pytest.mark.skipif(missing, reason='not on this platform'))
    for kind, missing in (
        ('_epoll', eventio.epoll is None),
        ('_poll', eventio.xpoll is None),
        ('_select', False),
    )
]


@pytest.fixture(params=KINDS)
def poller(request: pytest.FixtureRequest) -> Iterator[Any]:
    made = getattr(eventio, request.param)()
    yield made
    made.close()


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    a, b = socket.socketpair()
    yield a, b
    a.close()
    b.close()


class TestPollers:
    """What every poller promises."""

    def test_nothing_ready(self, poller: Any, pair: Any) -> None:
        poller.register(pair[0].fileno(), READ | ERR)
        assert poller.poll(0) == []
        assert poller.poll(0.001) == []

    def test_readable(self, poller: Any, pair: Any) -> None:
        a, b = pair
        poller.register(a.fileno(), READ)
        b.send(b'x')
        assert poller.poll(1) == [(a.fileno(), READ)]
        assert poller.poll(0) == [(a.fileno(), READ)], 'level-triggered'
        a.recv(1)
        assert poller.poll(0) == []

    def test_writable(self, poller: Any, pair: Any) -> None:
        poller.register(pair[0].fileno(), WRITE)
        assert poller.poll(1) == [(pair[0].fileno(), WRITE)]

    def test_both(self, poller: Any, pair: Any) -> None:
        a, b = pair
        poller.register(a.fileno(), READ | WRITE)
        b.send(b'x')
        assert poller.poll(1) == [(a.fileno(), READ | WRITE)]

    def test_registering_again_replaces(self, poller: Any, pair: Any) -> None:
        a, b = pair
        b.send(b'x')
        poller.register(a.fileno(), READ)
        poller.register(a.fileno(), WRITE)
        assert poller.poll(1) == [(a.fileno(), WRITE)]
        poller.register(a.fileno(), READ | WRITE)
        assert poller.poll(1) == [(a.fileno(), READ | WRITE)]
        poller.register(a.fileno(), READ)
        assert poller.poll(1) == [(a.fileno(), READ)]

    def test_objects_with_fileno(self, poller: Any, pair: Any) -> None:
        a, b = pair
        assert poller.register(a, READ) == a.fileno()
        b.send(b'x')
        assert poller.poll(1) == [(a.fileno(), READ)]
        poller.unregister(a)
        assert poller.poll(0) == []

    def test_unregister_may_be_repeated(self, poller: Any, pair: Any) -> None:
        poller.register(pair[0], READ)
        poller.unregister(pair[0])
        poller.unregister(pair[0])
        poller.unregister(pair[1])
        poller.unregister(-1)

    def test_hang_up_is_reported(self, poller: Any, pair: Any) -> None:
        a, b = pair
        poller.register(a, READ | ERR)
        b.close()
        [(fd, events)] = poller.poll(1)
        assert fd == a.fileno()
        assert events & READ

    def test_without_limit(self, poller: Any, pair: Any) -> None:
        poller.register(pair[0], WRITE)
        assert poller.poll(None) == [(pair[0].fileno(), WRITE)]
        assert poller.poll(-1) == [(pair[0].fileno(), WRITE)]

    def test_closed_behind_its_back(self, poller: Any, pair: Any) -> None:
        """A descriptor that is gone is dropped, instead of ending every wait at once."""
        a, b = pair
        fd = a.fileno()
        poller.register(fd, READ | ERR)
        poller.register(b, READ)
        a.close()
        poller.poll(0)
        for _ in range(3):
            assert fd not in dict(poller.poll(0))
        poller.unregister(fd)

    def test_number_used_again(self, poller: Any, pair: Any) -> None:
        """Registering works for a number whose former file was closed without a word."""
        a, _ = pair
        fd = a.fileno()
        poller.register(fd, READ)
        c, d = socket.socketpair()
        a.close()
        try:
            os.dup2(c.fileno(), fd)
            poller.register(fd, READ)
            d.send(b'x')
            assert poller.poll(1) == [(fd, READ)]
        finally:
            poller.unregister(fd)
            os.close(fd)
            c.close()
            d.close()

    def test_signal_does_not_end_the_wait(self, poller: Any, pair: Any) -> None:
        poller.register(pair[0], READ)
        seen = []
        old = signal.signal(signal.SIGUSR1, lambda *_: seen.append(1))
        timer = threading.Timer(0.005, lambda: os.kill(os.getpid(), signal.SIGUSR1))
        late = threading.Timer(0.02, lambda: pair[1].send(b'x'))
        timer.start()
        late.start()
        try:
            assert poller.poll(5) == [(pair[0].fileno(), READ)]
            assert seen
        finally:
            timer.join()
            late.join()
            signal.signal(signal.SIGUSR1, old)

    @pytest.mark.parametrize('bad', [None, -1])
    def test_no_descriptor(self, poller: Any, bad: Any) -> None:
        with pytest.raises(ValueError):
            poller.register(bad, READ)

    def test_closed(self, poller: Any, pair: Any) -> None:
        poller.register(pair[0], READ)
        poller.close()
        poller.close()
        with pytest.raises(ValueError):
            poller.poll(0)
        with pytest.raises(ValueError):
            poller.register(pair[0], READ)
        poller.unregister(pair[0])


@pytest.mark.skipif(eventio.epoll is None, reason='not on this platform')
class TestEpoll:
    def test_refuses_what_cannot_be_waited_for(self) -> None:
        poller = eventio._epoll()
        with open(__file__) as file, pytest.raises(PermissionError):
            poller.register(file, READ)
        poller.unregister(0)
        poller.close()

    def test_ghost(self, pair: Any) -> None:
        """Guards against the endless events of a file that lives on in a child process."""
        a, b = pair
        poller = eventio._epoll()
        poll = poller.poll
        other, writer = os.pipe()
        poller.register(other, READ)
        fd = a.fileno()
        poller.register(fd, READ)
        inherited = os.dup(fd)
        a.close()
        poller.unregister(fd)
        b.send(b'x')
        if poll(0) != []:  # Some kernels that stand in for Linux's have no ghosts.
            poller.unregister(fd)
            poller.unregister(fd)
        assert poll(0) == []
        os.write(writer, b'x')
        assert poll(1) == [(other, READ)], 'the others are still waited for'
        poller.close()
        for number in (other, writer, inherited):
            os.close(number)

    def test_rebuilding_drops_what_is_gone(self, pair: Any) -> None:
        b = pair[1]
        gone, other = os.pipe()
        os.close(other)
        poller = eventio._epoll()
        poller.register(gone, READ)
        poller.register(b, WRITE)
        os.close(gone)
        poller._rebuild()
        assert poller.poll(1) == [(b.fileno(), WRITE)]
        assert list(poller._wanted) == [b.fileno()]
        poller.close()

    def test_one_stray_event_is_no_ghost(self, monkeypatch: pytest.MonkeyPatch, pair: Any) -> None:
        poller = eventio._epoll()
        rebuilt: list[int] = []
        monkeypatch.setattr(poller, '_rebuild', lambda: rebuilt.append(1))
        poller.unregister(pair[0])
        assert not rebuilt
        poller.unregister(pair[0])
        assert rebuilt
        poller.close()


class Event(NamedTuple):
    """A kevent."""

    ident: int
    filter: int
    flags: int = 0
    fflags: int = 0
    data: int = 0


class Kqueue:
    """As much of a kqueue as there is to tell it."""

    def __init__(self) -> None:
        self.changes: list[Event] = []
        self.events: list[Event] = []
        self.waits: list[float | None] = []
        self.gone = False

    def control(self, changes: Any, limit: int, timeout: float | None = None) -> list[Event]:
        for change in changes or ():
            if self.gone and change.flags == KQ_EV_DELETE:
                raise OSError(errno.ENOENT, 'no such event')
            if change.ident == 99:
                raise OSError(errno.EBADF, 'bad descriptor')
            self.changes.append(change)
        if limit:
            self.waits.append(timeout)
        return self.events[:limit]

    def close(self) -> None:
        self.changes = []


class TestKqueue:
    @pytest.fixture
    def poller(self, monkeypatch: pytest.MonkeyPatch) -> Any:
        monkeypatch.setattr(eventio, 'kqueue', Kqueue)
        monkeypatch.setattr(eventio, 'kevent', Event)
        return eventio._kqueue()

    def test_register(self, poller: Any) -> None:
        poller.register(3, READ | WRITE | ERR)
        assert poller._kqueue.changes == [
            Event(3, KQ_FILTER_READ, KQ_EV_ADD),
            Event(3, KQ_FILTER_WRITE, KQ_EV_ADD),
        ]

    def test_registering_again_replaces(self, poller: Any) -> None:
        poller.register(3, READ | WRITE)
        del poller._kqueue.changes[:]
        poller.register(3, WRITE)
        assert poller._kqueue.changes == [
            Event(3, KQ_FILTER_READ, KQ_EV_DELETE),
            Event(3, KQ_FILTER_WRITE, KQ_EV_ADD),
        ]

    def test_unregister(self, poller: Any) -> None:
        poller.register(3, READ)
        del poller._kqueue.changes[:]
        poller.unregister(3)
        poller.unregister(3)
        assert poller._kqueue.changes == [Event(3, KQ_FILTER_READ, KQ_EV_DELETE)]

    def test_unregister_what_is_gone(self, poller: Any) -> None:
        poller.register(3, READ)
        poller._kqueue.gone = True
        poller.unregister(3)

    def test_bad_descriptor(self, poller: Any) -> None:
        with pytest.raises(OSError, match='bad descriptor'):
            poller.register(99, READ)

    def test_events_of_a_descriptor_come_as_one(self, poller: Any) -> None:
        poller.register(3, READ | WRITE)
        poller.register(4, READ)
        poller._kqueue.events = [
            Event(3, KQ_FILTER_READ),
            Event(4, KQ_FILTER_READ),
            Event(3, KQ_FILTER_WRITE),
        ]
        assert poller.poll(2.5) == [(3, READ | WRITE), (4, READ)]
        poller.poll(-1)
        poller.poll(None)
        assert poller._kqueue.waits == [2.5, None, None]

    def test_end_and_errors(self, poller: Any) -> None:
        for fd in (3, 4, 5, 6):
            poller.register(fd, READ)
        poller._kqueue.events = [
            Event(3, KQ_FILTER_READ, KQ_EV_EOF),
            Event(4, KQ_FILTER_WRITE, KQ_EV_EOF, errno.ECONNRESET),
            Event(5, KQ_FILTER_READ, KQ_EV_ERROR, data=errno.EIO),
            Event(6, KQ_FILTER_READ, KQ_EV_ERROR, data=errno.EBADF),
        ]
        assert poller.poll(1) == [(3, READ), (4, WRITE | ERR), (5, READ | ERR)]
        assert 6 not in poller._wanted

    def test_close(self, poller: Any) -> None:
        poller.close()
        poller.close()


class TestPoll:
    def test_one_of_the_kernel(self) -> None:
        made = eventio.poll()
        assert not isinstance(made, eventio._select) or os.name == 'nt'
        made.close()

    def test_falls_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(eventio, 'epoll', None)
        monkeypatch.setattr(eventio, 'kqueue', None)
        assert isinstance(eventio.poll(), eventio._poll)
        monkeypatch.setattr(eventio, 'xpoll', None)
        assert isinstance(eventio.poll(), eventio._select)

    @pytest.mark.parametrize('environment', ['gevent', 'eventlet'])
    def test_yields_in_a_green_world(
        self, environment: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(eventio, 'detect_environment', lambda: environment)
        assert isinstance(eventio.poll(), eventio._select)

    def test_rounds_up(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Waking up before a timer is due would be a busy loop."""
        waits = []

        class Poll:
            def poll(self, timeout: float) -> list[Any]:
                waits.append(timeout)
                return []

        monkeypatch.setattr(eventio, 'xpoll', Poll)
        poller = eventio._poll()
        poller.poll(0.0001)
        poller.poll(1.5)
        assert waits == [1, 1500]


class TestSelect:
    def test_failed_connect_is_an_error(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As Windows reports it."""
        poller = eventio._select()
        poller.register(5, WRITE)
        monkeypatch.setattr(select, 'select', lambda *_: ([], [5], [5]))
        assert poller.poll(0) == [(5, WRITE | ERR)]

    def test_other_errors_are_raised(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def fail(*args: Any) -> Any:
            raise OSError(errno.EINVAL, 'no')

        monkeypatch.setattr(select, 'select', fail)
        with pytest.raises(OSError, match='no'):
            eventio._select().poll(0)

    def test_bad_descriptors(self) -> None:
        assert errno.EBADF in SELECT_BAD_FD


class TestWaker:
    def test_wakes_until_drained(self) -> None:
        waker, poller = Waker(), eventio.poll()
        poller.register(waker.fd, READ)
        assert poller.poll(0) == []
        waker.wake()
        waker.wake()
        assert poller.poll(1) == [(waker.fd, READ)]
        waker.drain()
        assert poller.poll(0) == []
        waker.drain()
        poller.close()
        waker.close()

    def test_never_blocks(self) -> None:
        waker = Waker()
        waker._writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        for _ in range(20000):
            waker.wake()
        waker.drain()
        assert select.select([waker.fd], [], [], 0) == ([], [], [])
        waker.close()

    def test_closed(self) -> None:
        waker = Waker()
        waker.close()
        waker.close()
        waker.wake()
        waker.drain()
