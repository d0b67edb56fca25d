"""Threads do everything at once over the reference broker: nothing is lost, doubled or stuck.

By chance, so a run that passes proves little; what these have found is guarded one interleaving at
a time in `t/unit/transport/virtual/test_interleavings.py`.
"""

from __future__ import annotations

import contextlib
import faulthandler
import os
import queue as queues
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from amqp.exceptions import MessageNacked, NotFound

from kombu.exceptions import ChannelError, ConnectionError
from kombu.testing.memory import MemoryBroker
from kombu.transport._memory_broker import SystemClock

#: Seconds that a test keeps its threads busy.
BUSY = 0.8
#: Seconds after which threads that have not ended are stuck.
STUCK = 20.0


class Threads:
    """Threads that work until it is over; what they raise fails the test."""

    def __init__(self, seconds: float = BUSY) -> None:
        self.over = threading.Event()
        self.errors: list[BaseException] = []
        self.threads: list[threading.Thread] = []
        self.seconds = seconds

    def add(self, fun: Callable[..., Any], *args: Any) -> None:
        def run() -> None:
            try:
                fun(*args)
            except BaseException as exc:
                self.errors.append(exc)
                self.over.set()

        self.threads.append(threading.Thread(target=run, daemon=True))

    def again(self, fun: Callable[..., Any], *args: Any) -> None:
        """Call `fun` again and again."""

        def run() -> None:
            while not self.over.is_set():
                fun(*args)

        self.add(run)

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        for thread in self.threads:
            thread.start()
        end = time.monotonic() + self.seconds
        while time.monotonic() < end and not self.over.is_set() and not until():
            time.sleep(0.01)
        self.over.set()
        for thread in self.threads:
            thread.join(STUCK)
            if thread.is_alive():
                faulthandler.dump_traceback()
                pytest.fail('a thread is stuck; see the stacks above')
        if self.errors:
            raise self.errors[0]


@pytest.fixture(autouse=True)
def _switch_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(5e-6)
    yield
    sys.setswitchinterval(before)


@pytest.fixture
def broker() -> Iterator[MemoryBroker]:
    with MemoryBroker() as broker:
        yield broker


@pytest.fixture
def channel(broker: MemoryBroker) -> Any:
    return broker.connection().channel()


def publish(channel: Any, queue: str, body: object, **options: Any) -> None:
    channel.basic_publish(channel.prepare_message(str(body), **options), '', queue)


def drain(connection: Any) -> None:
    with contextlib.suppress(TimeoutError):
        connection.drain_events(timeout=0.005)


NUMBERS = 2000


class Acked:
    """Numbers that were acknowledged, and how often."""

    def __init__(self) -> None:
        self.counts: Counter[int] = Counter()
        self.lock = threading.Lock()

    def __call__(self, message: Any) -> None:
        try:
            message.ack()
        except (ConnectionError, ChannelError):
            return  # closed meanwhile: the message goes back
        with self.lock:
            self.counts[int(message.body)] += 1

    def check(self, broker: MemoryBroker) -> None:
        left = [int(message.body) for message in broker.messages('q')]
        assert sorted([*self.counts.elements(), *left]) == list(range(NUMBERS))


def publish_numbers(channel: Any) -> None:
    for number in range(NUMBERS):
        publish(channel, 'q', number)


def test_connections_are_cut_under_their_consumers(broker: MemoryBroker, channel: Any) -> None:
    channel.queue_declare('q')
    threads, acked = Threads(3), Acked()
    connections: dict[int, Any] = {}

    def consume(worker: int) -> None:
        connection = connections[worker] = broker.connection()
        try:
            consuming = connection.channel()
            consuming.basic_qos(0, 5, False)
            consuming.basic_consume('q', callback=acked)
            while not threads.over.is_set():
                drain(connection)
        except connection.connection_errors:
            pass

    def cut() -> None:
        time.sleep(random.random() * 0.004)
        connection = connections.get(random.randrange(3))
        if connection is not None and connection.connected:
            broker.cut(connection)

    for worker in range(3):
        threads.again(consume, worker)
    threads.again(cut)
    threads.add(publish_numbers, channel)
    threads.run(until=lambda: len(acked.counts) == NUMBERS)
    for connection in connections.values():
        connection.release()
    acked.check(broker)


def test_channels_are_closed_under_their_consumers(broker: MemoryBroker, channel: Any) -> None:
    channel.queue_declare('q')
    threads, acked = Threads(3), Acked()
    connection = broker.connection()
    connection.connect()
    channels: dict[int, Any] = {}

    def consume(worker: int) -> None:
        consuming = channels[worker] = connection.channel()
        with contextlib.suppress(*connection.connection_errors):
            consuming.basic_consume('q', callback=acked)
            while not threads.over.is_set() and consuming.is_open:
                drain(connection)

    def close() -> None:
        time.sleep(random.random() * 0.003)
        if channels:
            channels[random.choice(list(channels))].close()

    for worker in range(3):
        threads.again(consume, worker)
    threads.again(close)
    threads.add(publish_numbers, channel)
    threads.run(until=lambda: len(acked.counts) == NUMBERS)
    connection.release()
    acked.check(broker)


def test_queues_are_deleted_under_their_consumers(broker: MemoryBroker) -> None:
    threads = Threads()

    def consume() -> None:
        connection = broker.connection()
        channel = connection.channel()
        for queue in 'abc':
            channel.queue_declare(queue)
            with contextlib.suppress(NotFound):
                channel.basic_consume(queue, callback=lambda m: m.ack(), on_cancel=str)
        for _ in range(20):
            drain(connection)
        connection.release()

    publisher, deleter = (broker.connection().channel() for _ in range(2))
    for _ in range(2):
        threads.again(consume)
    threads.again(lambda: publish(publisher, random.choice('abc'), 'x'))
    threads.again(lambda: (deleter.queue_delete(random.choice('abc')), time.sleep(0.0005)))
    threads.run()


def test_bindings_change_under_those_that_publish(broker: MemoryBroker, channel: Any) -> None:
    channel.queue_declare('always')
    channel.exchange_declare('headers', 'headers')
    channel.queue_bind('always', 'amq.topic', '#')
    channel.queue_bind('always', 'headers', arguments={'x-match': 'any', 'h': 1})
    threads, published = Threads(), Counter()

    def bind(name: str) -> None:
        binding = broker.connection().channel()
        binding.queue_declare(name)
        while not threads.over.is_set():
            pattern = random.choice(['a.*', '#.b', '*.b', 'a.b'])
            for change in (binding.queue_bind, binding.queue_unbind):
                change(name, 'amq.topic', pattern)
                change(name, 'headers', '', arguments={'h': 1})

    def publish_both() -> None:
        publishing = broker.connection().channel()
        while not threads.over.is_set():
            for exchange in ('amq.topic', 'headers'):
                message = publishing.prepare_message('x', headers={'h': 1})
                publishing.basic_publish(message, exchange, 'a.b')
                published['n'] += 1

    for name in 'ab':
        threads.add(bind, name)
    threads.add(publish_both)
    threads.run()
    assert len(broker.messages('always')) == published['n']


@pytest.mark.parametrize('overflow', ['drop-head', 'reject-publish'])
def test_a_limited_queue_is_filled_by_many(
    broker: MemoryBroker, channel: Any, overflow: str
) -> None:
    channel.queue_declare('q', arguments={'x-max-length': 5, 'x-overflow': overflow})
    threads, lengths = Threads(), []

    def fill() -> None:
        filling = broker.connection().channel()
        while not threads.over.is_set():
            for body in range(3):
                with contextlib.suppress(MessageNacked):
                    publish(filling, 'q', body)
            message = filling.basic_get('q')
            if message is not None:
                message.ack()

    for _ in range(3):
        threads.add(fill)
    threads.again(lambda: lengths.append(len(broker.messages('q'))))
    threads.run()
    assert max(lengths) <= 5


def test_credit_given_by_other_threads_adds_up(broker: MemoryBroker, channel: Any) -> None:
    connection = broker.connection()
    consuming = connection.channel()
    consuming.queue_declare('q')
    consuming.basic_qos(0, 50, False)
    delivered: Any = queues.SimpleQueue()
    consuming.basic_consume('q', consumer_tag='t', callback=delivered.put)
    publish_numbers(channel)
    threads = Threads(10)

    def settle() -> None:
        for _ in range(NUMBERS // 2):
            delivered.get(timeout=5).ack()

    threads.add(lambda: [connection.drain_events(timeout=5) for _ in range(NUMBERS)])
    for _ in range(2):
        threads.add(settle)
    threads.run(until=lambda: not any(thread.is_alive() for thread in threads.threads))
    assert consuming._consumers['t'].unacked == 0
    assert not consuming.qos._delivered


def test_time_passes_under_those_that_publish_and_get(channel: Any) -> None:
    with MemoryBroker(clock=SystemClock()) as broker:
        channel = broker.connection().channel()
        channel.queue_declare('dead')
        arguments = {'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead'}
        channel.queue_declare('q', arguments={**arguments, 'x-message-ttl': 1})
        threads, counts = Threads(), Counter()

        def publish_one(name: str, publishing: Any) -> None:
            publish(publishing, 'q', 'x')
            counts[name] += 1

        def get_one(getting: Any) -> None:
            message = getting.basic_get('q')
            if message is not None:
                message.ack()
                counts['got'] += 1

        for name in 'ab':
            threads.again(publish_one, name, broker.connection().channel())
        threads.again(get_one, broker.connection().channel())
        threads.run()
        time.sleep(0.01)
        channel.queue_declare('q', passive=True)
        assert broker.messages('q') == []
        assert len(broker.messages('dead')) + counts['got'] == counts['a'] + counts['b']


def test_channels_opened_at_once_are_told_apart(broker: MemoryBroker) -> None:
    connection = broker.connection()
    connection.connect()
    threads, numbers = Threads(5), []

    def open_many() -> None:
        for _ in range(200):
            numbers.append(connection.channel().channel_id)

    for _ in range(4):
        threads.add(open_many)
    threads.run(until=lambda: len(numbers) == 800)
    assert len(set(numbers)) == 800


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork here')
@pytest.mark.filterwarnings('ignore:.*fork.*:DeprecationWarning')
def test_a_fork_in_the_middle_of_it(broker: MemoryBroker, channel: Any) -> None:
    """The child has a copy that works, whatever the other threads were doing; it harms nobody."""
    channel.queue_declare('q')
    threads, acked = Threads(10), Acked()
    connection = broker.connection()
    consuming = connection.channel()
    consuming.basic_consume('q', callback=acked)

    def consume() -> None:
        while len(acked.counts) < NUMBERS and not threads.over.is_set():
            drain(connection)

    def fork() -> None:
        for _ in range(5):
            child = os.fork()
            if not child:
                status = 1
                try:
                    faulthandler.dump_traceback_later(10, exit=True)
                    with broker.connection() as own:
                        mine = own.channel()
                        mine.queue_declare('child')
                        publish(mine, 'child', 'x')
                        got: list[Any] = []
                        mine.basic_consume('child', callback=got.append)
                        own.drain_events(timeout=5)
                        status = 0 if len(got) == 1 else 2
                finally:
                    os._exit(status)
            assert os.waitpid(child, 0)[1] == 0

    threads.add(consume)
    threads.add(publish_numbers, channel)
    threads.add(fork)
    threads.run(until=lambda: not any(thread.is_alive() for thread in threads.threads))
    assert 'child' not in broker.queues()
    acked.check(broker)
