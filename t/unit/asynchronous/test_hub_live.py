"""Hubs with a kernel, threads and signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from kombu.asynchronous import Hub


class Boom(Exception):
    """What callbacks raise here."""


def boom(*args: Any) -> None:
    raise Boom


def in_thread(work: Callable[[], Any], after: float = 0.01) -> threading.Timer:
    thread = threading.Timer(after, work)
    thread.start()
    return thread


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
        last = in_thread(lambda: ([worker.join() for worker in workers], live.stop()), after=0)
        live.run_forever()
        last.join()
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
