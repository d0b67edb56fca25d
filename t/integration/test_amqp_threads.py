"""Threads that share a connection, each with a channel of its own."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from kombu import Connection
from kombu.exceptions import ConcurrentUseError, TimeoutError

THREADS = 8
MESSAGES = 300


@pytest.fixture(params=[False, True], ids=['unconfirmed', 'confirmed'])
def connection(request: pytest.FixtureRequest, amqp_url: str) -> Iterator[Any]:
    with Connection(amqp_url, transport_options={'confirm_publish': request.param}) as connection:
        yield connection.connect()


@pytest.fixture
def plain(amqp_url: str) -> Iterator[Any]:
    with Connection(amqp_url) as connection:
        yield connection.connect()


def in_threads(work: Callable[[int], Any], count: int = THREADS) -> list[Any]:
    """Run `work(0)`, `work(1)`, ... at the same time, and return or raise what they do."""
    barrier = threading.Barrier(count)

    def run(number: int) -> Any:
        barrier.wait(10)
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return [future.result(50) for future in [pool.submit(run, n) for n in range(count)]]


def publish(channel: Any, body: str, queue: str) -> None:
    message = channel.prepare_message(body, content_type='text/plain', content_encoding='utf-8')
    channel.basic_publish(message, routing_key=queue)


def test_publish_and_consume(connection: Any) -> None:
    """Each thread publishes to all and consumes its own; nothing is lost, doubled or misplaced."""
    for number in range(THREADS):
        connection.channel().queue_declare(f'q{number}', auto_delete=False)

    def work(number: int) -> Counter[str]:
        me = threading.get_ident()
        got: Counter[str] = Counter()
        total = THREADS * len(range(number, MESSAGES, THREADS))
        channel = connection.channel()

        def callback(message: Any) -> None:
            assert threading.get_ident() == me
            got[message.body] += 1
            channel.basic_ack(message.delivery_tag)

        channel.basic_qos(prefetch_count=20)
        channel.basic_consume(f'q{number}', callback=callback)
        for index in range(MESSAGES):
            publish(channel, f'{number}.{index}', f'q{index % THREADS}')
            if index % 50 == 0:
                channel.queue_declare(f'q{number}', passive=True)
        while sum(got.values()) < total:
            connection.drain_events(timeout=30)
        channel.close()
        return got

    counts = in_threads(work)
    everything = sum(counts, Counter())
    expected = {f'{number}.{index}' for number in range(THREADS) for index in range(MESSAGES)}
    assert set(everything) <= expected
    assert sum(everything.values()) == len(expected)
    assert set(everything.values()) == {1}


def test_calls(plain: Any) -> None:
    """Answers reach the thread that asked."""

    def work(number: int) -> None:
        channel = plain.channel()
        for index in range(100):
            name = f'q{number}-{index}'
            assert channel.queue_declare(name).queue == name
            publish(channel, name, name)
            while (message := channel.basic_get(name, no_ack=True)) is None:
                pass
            assert message.body == name
            assert channel.queue_delete(name) == 0
        channel.close()

    in_threads(work)


def test_errors_stay_with_their_thread(plain: Any) -> None:
    """One thread's channel breaks all the time, the others do not notice."""

    def work(number: int) -> None:
        channel = plain.channel()
        for index in range(50):
            if number == 0:
                with pytest.raises(plain.channel_errors):
                    channel.queue_declare(f'missing{index}', passive=True)
            else:
                assert channel.queue_declare(f'q{number}').queue == f'q{number}'

    in_threads(work, 4)


def test_reader_leaves(plain: Any) -> None:
    """A thread that waits for an answer gets it though the one that was reading stops."""
    drained = threading.Event()

    def read() -> None:
        channel = plain.channel()
        channel.queue_declare('nothing')
        channel.basic_consume('nothing', callback=print)
        for _ in range(200):
            with pytest.raises(TimeoutError):
                plain.drain_events(timeout=0.005)
        drained.set()

    def call() -> None:
        channel = plain.channel()
        while not drained.is_set():
            channel.queue_declare('q')

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(read), *(pool.submit(call) for _ in range(3))]:
            future.result(30)


def test_consumer_set_up_elsewhere(plain: Any) -> None:
    """A consumer may be started in one thread and drained in another."""
    channel = plain.channel()
    channel.queue_declare('q')
    got: list[int] = []
    channel.basic_consume('q', no_ack=True, callback=lambda m: got.append(threading.get_ident()))
    publish(channel, 'x', 'q')

    def drain(number: int) -> int:
        plain.drain_events(timeout=10)
        return threading.get_ident()

    (other,) = in_threads(drain, 1)
    assert got == [other]
    publish(channel, 'y', 'q')
    time.sleep(0.1)
    plain.drain_events(timeout=10)
    assert got == [other, threading.get_ident()]


def test_busy_thread_keeps_its_messages(plain: Any) -> None:
    """While a thread is in a callback nobody else runs its next message."""
    entered, go_on = threading.Event(), threading.Event()
    ran_in: list[int] = []

    def callback(message: Any) -> None:
        ran_in.append(threading.get_ident())
        entered.set()
        go_on.wait(10)

    def own(number: int) -> int:
        channel = plain.channel()
        channel.queue_declare('q')
        channel.basic_consume('q', no_ack=True, callback=callback)
        for _ in range(3):
            publish(channel, 'x', 'q')
        while len(ran_in) < 3:
            plain.drain_events(timeout=10)
        return threading.get_ident()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(own, 0)
        assert entered.wait(10)
        with pytest.raises(TimeoutError):
            plain.drain_events(timeout=0.3)
        go_on.set()
        assert ran_in == [future.result(20)] * 3


def test_one_channel_in_two_threads(plain: Any) -> None:
    """Misuse is told, and does not hang."""
    channel = plain.channel()
    errors: list[BaseException] = []

    def work(number: int) -> None:
        for _ in range(200):
            try:
                channel.queue_declare('q')
            except ConcurrentUseError as exc:
                errors.append(exc)

    in_threads(work, 4)
    assert errors
    assert channel.queue_declare('q').queue == 'q'


def test_acknowledging_from_other_threads(plain: Any) -> None:
    """A pool of workers may settle what one thread consumes."""
    channel = plain.channel()
    channel.queue_declare('q', auto_delete=False)
    channel.basic_qos(prefetch_count=10)
    for _ in range(500):
        publish(channel, 'x', 'q')
    with ThreadPoolExecutor(4) as pool:
        futures = []

        def callback(message: Any) -> None:
            futures.append(pool.submit(channel.basic_ack, message.delivery_tag))

        channel.basic_consume('q', callback=callback)
        while len(futures) < 500:
            plain.drain_events(timeout=10)
        for future in futures:
            future.result(10)
    channel.close()
    assert plain.channel().queue_delete('q') == 0


def test_closing_under_the_others(plain: Any) -> None:
    """Threads that wait are told that the connection is closed."""
    started = threading.Barrier(3)

    def wait(number: int) -> None:
        started.wait(10)
        with pytest.raises(plain.connection_errors):
            plain.drain_events()

    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(wait, n) for n in range(2)]
        started.wait(10)
        time.sleep(0.1)
        plain.close()
        for future in futures:
            future.result(5)


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork on this system')
@pytest.mark.filterwarnings('ignore:.*multi-threaded, use of fork:DeprecationWarning')
def test_fork(plain: Any) -> None:
    """The child finds the connection closed, and the parent's goes on."""
    channel = plain.channel()
    channel.queue_declare('q')
    child = os.fork()
    if not child:
        try:
            ok = not plain.connected and channel.connection is None
            plain.collect()
        finally:
            os._exit(0 if ok else 1)
    assert os.waitpid(child, 0)[1] == 0
    publish(channel, 'x', 'q')
    assert channel.queue_declare('q').queue == 'q'
    assert plain.connected
