"""Outages: streams of messages through cuts, restarts, failover; slow and silent servers."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from kombu.entity import Queue
from kombu.exceptions import KombuError
from kombu.mixins import ConsumerMixin

from ..bench import Bench, drain
from ..checks import Broken, check, equal, eventually, together
from ..scenario import Scenarios, scenario
from .faults import DEADLINE, RETRY, usable

__all__ = ('Outages',)

#: Keeps trying through longer outages.
PATIENT = {**RETRY, 'max_retries': 200}


class Cutter:
    """Cuts the connections through a proxy again and again, in a thread of its own."""

    def __init__(self, proxy: Any, times: int, interval: float) -> None:
        self.proxy, self.times, self.interval = proxy, times, interval
        self.done = 0
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True, name='cutter')

    def __enter__(self) -> Any:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while self.done < self.times and not self._stop.wait(self.interval):
            self.done += self.proxy.cut(reset=self.done % 2 == 0) > 0


class Worker(ConsumerMixin):
    """An application's consumer."""

    def __init__(self, connection: Any, name: str) -> None:
        self.connection = connection
        self.name = name
        self.bodies: list[Any] = []

    def get_consumers(self, Consumer: Any, channel: Any) -> list[Any]:
        return [Consumer([Queue(self.name, no_declare=True)], on_message=self.on_message)]

    def on_message(self, message: Any) -> None:
        self.bodies.append(message.decode())
        message.ack()

    @contextmanager
    def running(self) -> Iterator[None]:
        """Run in a thread of its own."""
        thread = threading.Thread(target=self.run, daemon=True, name='mixin')
        thread.start()
        try:
            yield
        finally:
            self.should_stop = True
            thread.join(5)


def publish_through(bench: Bench, connection: Any, name: str, numbers: range) -> list[int]:
    """Publish numbers with retries; return those for which `publish` returned."""
    confirmed = []
    producer = connection.Producer(auto_declare=False)
    for number in numbers:
        producer.publish(
            number,
            exchange='',
            routing_key=name,
            retry=True,
            retry_policy=PATIENT,
            timeout=3,
            confirm_timeout=3,
        )
        confirmed.append(number)
    return confirmed


def consume_through(
    bench: Bench, connection: Any, queue: Any, wanted: set[int], seconds: float
) -> set[int]:
    """Consume until all numbers `wanted` have arrived, connecting again after every error."""
    seen: set[int] = set()
    end = time.monotonic() + seconds * bench.target.patience
    while not wanted <= seen and time.monotonic() < end:
        try:
            connection.ensure_connection(timeout=DEADLINE, **PATIENT)
            inbox = bench.inbox(connection.channel(), queue, settle=True, prefetch_count=10)
            try:
                drain([inbox.channel], lambda: wanted <= {*seen, *inbox.bodies}, 1.0)  # noqa: B023
            finally:
                seen.update(inbox.bodies)
        except bench.errors(connection):
            with suppress(*bench.errors(connection)):
                connection.release()
    return seen


def whole(bench: Bench, url: str) -> None:
    """Publish, consume and acknowledge, trying again at every step, each with a connection of
    its own."""
    connection = bench.impatient(url)
    name = bench.name('any')

    def declare(channel: Any) -> None:
        bench.queue(channel, name)

    def publish(channel: Any) -> None:
        channel.Producer().publish('x', exchange='', routing_key=name, timeout=3, confirm_timeout=3)

    def receive(channel: Any) -> None:
        equal(bench.contents(bench.queue(channel, name), 1)[:1], ['x'], 'the message')

    for step in (declare, publish, receive):
        result = bench.ends(2 * DEADLINE, connection.autoretry(step, **RETRY), step.__name__)
        if isinstance(result, AssertionError):
            # The only copy may have been taken by a get whose answer was cut off.
            with bench.target.connection() as probe:
                publish(probe.channel())
                receive(probe.channel())
        elif isinstance(result, Exception):
            raise result
    bench.ends(DEADLINE, connection.release, 'release')


class Outages(Scenarios):
    """What happens while messages flow."""

    @scenario('fault', requires={'confirms'}, needs={'proxy'}, seconds=50)
    def test_fault_publishing_through_cuts(self, bench: Bench) -> None:
        """With retry, every one of many publishes through repeated cuts ends, and all confirmed
        ones arrive"""
        url, proxy = bench.proxy()
        queue = bench.queue(bench.channel())
        connection = bench.impatient(url)
        with Cutter(proxy, 12, 0.05) as cutter:
            confirmed = publish_through(bench, connection, queue.name, range(600))
            count = len(confirmed)
            while cutter.done < 3 and count < 6000:
                confirmed += publish_through(
                    bench, connection, queue.name, range(count, count + 100)
                )
                count = len(confirmed)
        check(cutter.done >= 3, 'the connection was not cut')
        arrived = bench.contents(queue, count, timeout=15)
        missing = set(confirmed) - set(arrived)
        check(not missing, f'{len(missing)} of {count} confirmed messages are lost')

    @scenario('fault', needs={'proxy'}, seconds=50)
    def test_fault_consuming_through_cuts(self, bench: Bench) -> None:
        """A consumer that connects again after every cut gets every message"""
        url, proxy = bench.proxy()
        proxy.slow(latency=0.003)
        queue = bench.queue(bench.channel())
        bench.publish(queue, *range(500))
        connection = bench.impatient(url)
        with Cutter(proxy, 10, 0.1) as cutter:
            seen = consume_through(bench, connection, queue, set(range(500)), 60)
        check(cutter.done >= 2, 'the connection was not cut')
        check(len(seen) == 500, f'{500 - len(seen)} of 500 messages never arrived')

    @scenario('fault', needs={'proxy'}, seconds=50)
    def test_fault_any_byte(self, bench: Bench) -> None:
        """A connection cut after any number of bytes, in either direction, can be made again,
        and nothing is lost"""
        parts = 8

        def cut_at(number: int) -> None:
            url, proxy = bench.proxy()
            direction, part = ('up', 'down')[number % 2], number // 2 + 1
            before = proxy.passed[direction]
            whole(bench, url)
            total = proxy.passed[direction] - before
            proxy.cut_after(
                max(1, total * part // (parts + 1)), direction=direction, reset=part % 2 == 0
            )
            whole(bench, url)

        for number, result in enumerate(together(60, cut_at, 2 * parts)):
            if isinstance(result, Exception):
                raise Broken(f'run {number} of {2 * parts}: {result!r}') from result

    @scenario('fault', needs={'proxy'}, seconds=30)
    def test_fault_wakes(self, bench: Bench) -> None:
        """A consumer blocked in drain_events learns at once that its connection was cut"""
        url, proxy = bench.proxy()
        connection = bench.impatient(url)
        bench.inbox(connection.channel(), bench.queue(connection.channel()))
        bench.later(0.3, proxy.cut)
        start = time.monotonic()
        result = bench.ends(
            20, lambda: connection.drain_events(timeout=15), 'drain_events(timeout=15)'
        )
        took = time.monotonic() - start
        check(isinstance(result, bench.errors(connection)), f'drain_events ended with {result!r}')
        check(took < 5 * bench.target.patience, f'it took {took:.1f} s')

    @scenario('fault', requires={'heartbeats'}, needs={'proxy'}, seconds=50)
    def test_fault_heartbeat(self, bench: Bench) -> None:
        """With a heartbeat of 1 s a half-open link is noticed by a blocked consumer, whoever
        sends the beats"""
        url, proxy = bench.proxy()
        connection = bench.impatient(url, heartbeat=1)
        bench.inbox(connection.channel(), bench.queue(connection.channel()))
        proxy.stall()
        start = time.monotonic()

        def consume() -> None:
            while time.monotonic() < start + 15:
                connection.heartbeat_check()
                with suppress(socket.timeout):
                    connection.drain_events(timeout=0.5)

        result = bench.ends(25, consume, 'consuming')
        check(isinstance(result, bench.errors(connection)), f'not noticed in 15 s: {result!r}')
        proxy.heal()
        usable(bench, connection)

    @scenario('fault', requires={'heartbeats'}, needs={'proxy'}, seconds=50)
    def test_fault_heartbeat_publishing(self, bench: Bench) -> None:
        """So it is by a publisher without confirms, who would otherwise publish into the void"""
        url, proxy = bench.proxy()
        connection = bench.connect(url, heartbeat=1, connect_timeout=2)
        queue = bench.queue(connection.channel())
        proxy.stall()
        start = time.monotonic()

        def publish() -> None:
            while time.monotonic() < start + 15:
                bench.publish(queue, 'x')
                time.sleep(0.1)

        result = bench.ends(25, publish, 'publishing')
        check(isinstance(result, bench.errors(connection)), f'not noticed in 15 s: {result!r}')

    @scenario('fault', requires={'heartbeats'}, needs={'proxy'}, seconds=50)
    def test_fault_mixin(self, bench: Bench) -> None:
        """A ConsumerMixin goes on after a cut, and after a link that swallowed everything"""
        url, proxy = bench.proxy()
        queue = bench.queue(bench.channel())
        worker = Worker(bench.impatient(url, heartbeat=1), queue.name)
        with worker.running():
            faults: tuple[tuple[Callable[[], object], float], ...] = (
                (proxy.heal, 0),
                (proxy.cut, 0),
                # Long enough for both sides to give the other up.
                (proxy.swallow, 4),
            )
            for number, (fault, seconds) in enumerate(faults):
                fault()
                time.sleep(seconds)
                proxy.heal()
                bench.publish(queue, number)
                eventually(
                    lambda: number in worker.bodies,  # noqa: B023
                    12 * bench.target.patience,
                    what=f'message {number}',
                )

    @scenario('fault', needs={'proxy'}, seconds=50)
    def test_fault_release_half_open(self, bench: Bench) -> None:
        """Releasing a connection over a half-open link ends in time, and raises nothing"""
        url, proxy = bench.proxy()
        connection = bench.impatient(url)
        channel = connection.channel()
        bench.inbox(channel, bench.queue(channel))
        proxy.stall()
        result = bench.ends(DEADLINE, connection.release, 'release')
        equal(result, None, 'release')

    @scenario('fault', needs={'proxy'}, seconds=50)
    def test_fault_slow(self, bench: Bench) -> None:
        """A slow link that delivers a few bytes at a time is only slow"""
        url, proxy = bench.proxy()
        proxy.slow(latency=0.002, slice=7)
        connection = bench.confirming(url)
        channel = connection.channel()
        queue = bench.queue(channel)
        bench.publish(queue, *range(5), 'x' * 3000)
        inbox = bench.inbox(channel, queue, settle=True)
        equal(inbox.wait(6, 30), [*range(5), 'x' * 3000], 'messages')

    @scenario('fault', needs={'proxy'}, seconds=30)
    def test_fault_refused(self, bench: Bench) -> None:
        """Connecting to a port where nobody listens raises OperationalError at once"""
        url, proxy = bench.proxy()
        proxy.unlisten()
        connection = bench.impatient(url)
        start = time.monotonic()
        result = bench.ends(
            10,
            lambda: connection.ensure_connection(max_retries=1, interval_start=0.05),
            'connecting',
        )
        took = time.monotonic() - start
        check(isinstance(result, KombuError), f'connecting ended with {result!r}')
        check(took < 5 * bench.target.patience, f'it took {took:.1f} s')

    @scenario('fault', needs={'proxy'}, seconds=30)
    def test_fault_silent(self, bench: Bench) -> None:
        """Connecting to a server that takes the connection and says nothing ends with the
        connect timeout"""
        url, proxy = bench.proxy()
        proxy.stall()
        connection = bench.connect(url, connect_timeout=1)
        start = time.monotonic()
        result = bench.ends(15, connection.connect, 'connect')
        took = time.monotonic() - start
        check(isinstance(result, bench.errors(connection)), f'it ended with {result!r}')
        check(took < 6 * bench.target.patience, f'with connect_timeout=1 it took {took:.1f} s')

    @scenario('fault', needs={'proxy'}, seconds=40)
    def test_fault_failover(self, bench: Bench) -> None:
        """Of a list of hosts the next is tried where one refuses, at first and later"""
        first, proxy = bench.proxy()
        second, other = bench.proxy()
        proxy.unlisten()
        connection = bench.impatient(f'{first};{second}')
        connection.ensure_connection(**RETRY)
        usable(bench, connection)
        equal((proxy.accepted, other.accepted > 0), (0, True), 'connections taken')
        proxy.listen()
        other.unlisten()
        other.cut()
        usable(bench, connection)
        check(proxy.accepted > 0, 'the first host was not tried again')

    @scenario('fault', needs={'kill', 'restart'}, seconds=50)
    def test_fault_restart(self, bench: Bench) -> None:
        """Producers and consumers that retry go on after the broker was killed and started again"""
        queue = bench.queue(bench.channel())
        publisher, consumer = bench.impatient(), bench.impatient()
        confirmed = publish_through(bench, publisher, queue.name, range(100))
        inbox = bench.inbox(consumer.channel(), queue(consumer.channel()), settle=True)
        inbox.wait(100)
        with ExitStack() as down:
            bench.hook('kill')()
            down.callback(bench.hook('restart'))
            result = bench.ends(DEADLINE, lambda: inbox.wait(101, 5), 'waiting for messages')
            check(isinstance(result, bench.errors(consumer)), f'the consumer was told {result!r}')
        confirmed += publish_through(bench, publisher, queue.name, range(100, 200))
        persistent = 'persistent' in bench.target.claims()
        wanted = set(confirmed if persistent else range(100, 200)) - set(inbox.bodies)
        missing = wanted - consume_through(bench, consumer, queue, wanted, 30)
        check(not missing, f'{len(missing)} confirmed messages are lost')

    @scenario('fault', needs={'freeze'}, seconds=50)
    def test_fault_frozen(self, bench: Bench) -> None:
        """Calls to a broker that is frozen end in time, and all is well when it goes on"""
        freeze, thaw = bench.hook('freeze'), bench.hook('thaw')
        connection = bench.impatient()
        queue = bench.queue(connection.channel())
        bench.publish(queue, 'before')
        bench.finally_(thaw)
        freeze()
        # The signal takes a moment to reach all threads of a server.
        time.sleep(0.3)
        calls = {
            'publish': lambda: bench.publish(queue, 'x', timeout=2, confirm_timeout=2),
            'declare': queue.declare,
            'get': queue.get,
            'connect': lambda: bench.impatient().connect(),
        }
        for name, call in calls.items():
            result = bench.ends(DEADLINE, call, name)
            documented = (*bench.errors(connection), TimeoutError)
            check(isinstance(result, documented), f'{name} ended with {result!r}')
        thaw()
        usable(bench, connection)
        bench.ends(DEADLINE, connection.release, 'release')
        left = bench.contents(queue(bench.channel()), 1)
        check('before' in left, f'published before and not acknowledged, but not in {left}')
