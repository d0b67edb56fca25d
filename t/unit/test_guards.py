"""The guards of unit tests hold."""

from __future__ import annotations

import socket
import time
from time import sleep

import pytest

Failed = pytest.fail.Exception


def test_no_connection() -> None:
    with (
        socket.socket() as stream,
        pytest.raises(Failed, match='network'),
    ):
        stream.connect(('127.0.0.1', 9))


def test_no_lookup() -> None:
    with pytest.raises(Failed, match='network'):
        socket.create_connection(('localhost', 9))


def test_socket_pairs_are_allowed() -> None:
    """A pair is no network: an event loop is tested with it."""
    left, right = socket.socketpair()
    with left, right:
        left.sendall(b'x')
        assert right.recv(1) == b'x'


def test_no_long_sleep() -> None:
    with pytest.raises(Failed, match='sleep for 1 s'):
        time.sleep(1)


def test_no_long_sleep_by_another_name() -> None:
    """A module that imported the function, instead of its module, is guarded too."""
    with pytest.raises(Failed, match='sleep for 2 s'):
        sleep(2)


def test_short_sleep() -> None:
    time.sleep(0.001)
