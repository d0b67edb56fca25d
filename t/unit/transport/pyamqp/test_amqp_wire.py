"""The socket, with the other end of a pair of them in place of the broker."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from time import monotonic

import pytest

from kombu.exceptions import TimeoutError
from kombu.transport.pyamqp._wire import TCPWire, remaining, wait_for


@pytest.fixture
def pair() -> Iterator[tuple[TCPWire, socket.socket]]:
    ours, theirs = socket.socketpair()
    wire = TCPWire('broker:5672')
    wire.sock = ours
    wire.connected = True
    wire._setup_transport()
    yield wire, theirs
    wire.close()
    theirs.close()


def test_remaining() -> None:
    assert remaining(None) is None
    assert remaining(monotonic() - 1) == 0
    assert 0.5 < (remaining(monotonic() + 1) or 0) <= 1


def test_receive(pair: tuple[TCPWire, socket.socket]) -> None:
    wire, broker = pair
    assert wire.receive() is None
    assert not wire.wait_readable(0)
    broker.sendall(b'abc')
    assert wire.wait_readable(1)
    assert wire.receive() == b'abc'


def test_somebody_sets_a_timeout_on_the_socket(pair: tuple[TCPWire, socket.socket]) -> None:
    """oslo.messaging does."""
    wire, _ = pair
    wire.sock.settimeout(30)
    assert wire.receive() is None


def test_end(pair: tuple[TCPWire, socket.socket]) -> None:
    wire, broker = pair
    broker.close()
    assert wire.wait_readable(1)
    with pytest.raises(ConnectionResetError, match='closed the connection'):
        wire.receive()


def test_send(pair: tuple[TCPWire, socket.socket]) -> None:
    wire, broker = pair
    wire.send([b'ab', memoryview(b'cd'), b''], monotonic() + 1)
    assert broker.recv(10) == b'abcd'
    assert not wire.midway


def test_nobody_reads(pair: tuple[TCPWire, socket.socket]) -> None:
    """Part of it is written by then, which has to be known."""
    wire, _ = pair
    with pytest.raises(TimeoutError, match='no more data'):
        wire.send([b'x' * 10_000_000], monotonic() + 0.01)
    assert wire.midway
    with pytest.raises(TimeoutError):
        wire.send([b'x'], monotonic() + 0.01)
    assert not wire.midway


def test_closed(pair: tuple[TCPWire, socket.socket]) -> None:
    wire, broker = pair
    wire.close()
    wire.close()
    assert broker.recv(1) == b''
    for use in (wire.receive, lambda: wire.send([b'x'], None)):
        with pytest.raises(ConnectionResetError):
            use()


def test_dropped(pair: tuple[TCPWire, socket.socket]) -> None:
    """The descriptor is closed, the connection is not: another process has it."""
    wire, broker = pair
    other = wire.sock.dup()
    wire.drop()
    wire.drop()
    broker.setblocking(False)
    with pytest.raises(BlockingIOError):
        broker.recv(1)
    other.close()


def test_without_poll(monkeypatch: pytest.MonkeyPatch, pair: tuple[TCPWire, socket.socket]) -> None:
    """Eventlet takes it away."""
    monkeypatch.delattr('select.poll')
    wire, broker = pair
    assert not wait_for(wire.sock, writing=False, timeout=0)
    assert wait_for(wire.sock, writing=True, timeout=0)
    broker.sendall(b'x')
    assert wait_for(wire.sock, writing=False, timeout=1)
