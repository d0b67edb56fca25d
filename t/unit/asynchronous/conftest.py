"""Hubs to test with."""

from __future__ import annotations

import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from kombu.asynchronous import Hub, _descriptors, set_event_loop
from kombu.asynchronous import hub as module
from kombu.utils import eventio
from kombu.utils.eventio import epoll, xpoll


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
def hub(poller: Poller, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub without a kernel, which does not wait."""
    monkeypatch.setattr(module, 'BLIND_WAIT', 0)
    hub = Hub()
    hub.poller = poller
    yield hub
    hub.close()


KINDS = [kind for kind, there in (('_epoll', epoll), ('_poll', xpoll), ('_select', True)) if there]


@pytest.fixture(params=KINDS)
def live(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """A hub with its own poller, of each kind that runs here."""
    monkeypatch.setattr(_descriptors, 'poll', getattr(eventio, request.param))
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
