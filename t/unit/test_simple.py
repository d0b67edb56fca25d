"""Queues with the interface of `queue.Queue`."""

from __future__ import annotations

import queue
from collections.abc import Iterator
from typing import Any

import pytest

from kombu import Connection, Exchange, Queue
from kombu.exceptions import ContentDisallowed
from kombu.simple import SimpleBase, SimpleBuffer, SimpleQueue


@pytest.fixture
def connection() -> Iterator[Connection]:
    with Connection('memory://') as connection:
        yield connection


@pytest.fixture
def simple(connection: Connection) -> Iterator[SimpleQueue]:
    with SimpleQueue(connection, 'simple') as simple:
        yield simple
        simple.queue.delete()


class TestGet:
    def test_round_trip(self, simple: SimpleQueue) -> None:
        simple.put({'a': 1}, headers={'h': 1}, correlation_id='c')
        message = simple.get(timeout=1)
        assert message.payload == {'a': 1}
        assert message.headers == {'h': 1}
        assert message.properties['correlation_id'] == 'c'
        message.ack()
        assert len(simple) == 0

    def test_in_order(self, simple: SimpleQueue) -> None:
        for number in range(3):
            simple.put(number)
        assert [simple.get(timeout=1).payload for _ in range(3)] == [0, 1, 2]

    @pytest.mark.parametrize('timeout', [0.01, 0, -1])
    def test_empty_within_its_time(self, simple: SimpleQueue, timeout: float) -> None:
        assert simple.Empty is queue.Empty
        with pytest.raises(queue.Empty):
            simple.get(timeout=timeout)

    def test_without_waiting(self, simple: SimpleQueue) -> None:
        with pytest.raises(queue.Empty):
            simple.get_nowait()
        with pytest.raises(queue.Empty):
            simple.get(block=False)
        simple.put(1)
        assert simple.get_nowait().payload == 1

    @pytest.mark.parametrize('timeout', [0, -1])
    def test_no_time_to_wait_is_enough_for_what_is_there(
        self, simple: SimpleQueue, timeout: float
    ) -> None:
        simple.put(1)
        assert simple.get(timeout=timeout).payload == 1

    @pytest.mark.parametrize('answer', ['a third one', None])
    def test_delivered_while_asking(
        self, simple: SimpleQueue, monkeypatch: pytest.MonkeyPatch, answer: Any
    ) -> None:
        """What a broker sent to the consumer arrives before the answer to a later question."""

        def get(**kwargs: Any) -> Any:
            simple.buffer.extend(['first', 'second'])
            return answer

        monkeypatch.setattr(simple.queue, 'get', get)
        assert simple.get_nowait() == 'first'
        assert simple.get_nowait() == 'second'
        assert list(simple.buffer) == ([answer] if answer else [])
        simple.buffer.clear()

    def test_other_events_do_not_prolong_it(
        self, simple: SimpleQueue, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """What else happens on the connection counts against the time."""
        now = [100.0]
        monkeypatch.setattr('kombu.utils.deadline.monotonic', lambda: now[0])
        timeouts: list[float] = []

        def drain_events(timeout: float) -> None:
            timeouts.append(timeout)
            now[0] += 2

        monkeypatch.setattr(simple.channel.connection.client, 'drain_events', drain_events)
        with pytest.raises(queue.Empty):
            simple.get(timeout=5)
        assert timeouts == [5, 3, 1]

    def test_delivered_messages_come_first(self, simple: SimpleQueue) -> None:
        for number in range(3):
            simple.put(number)
        simple.get(timeout=1)
        simple.channel.connection.client.drain_events(timeout=1)
        assert [message.payload for message in simple.buffer] == [1]
        assert simple.get_nowait().payload == 1
        assert simple.get_nowait().payload == 2

    def test_accept(self, connection: Connection) -> None:
        with SimpleQueue(connection, 'simple-accept', accept=['json']) as simple:
            simple.put({'a': 1}, serializer='yaml')
            with pytest.raises(ContentDisallowed):
                _ = simple.get_nowait().payload
            simple.put({'a': 1}, serializer='yaml')
            with pytest.raises(ContentDisallowed):
                simple.get(timeout=1)


class TestClosing:
    def test_what_was_not_asked_for_goes_back(self, simple: SimpleQueue) -> None:
        """The channel may stay open for long; a message left on it would be lost to all."""
        for number in range(3):
            simple.put(number)
        simple.get(timeout=1).ack()
        simple.channel.connection.client.drain_events(timeout=1)
        assert len(simple) == 1
        simple.close()
        assert len(simple) == 2
        assert [simple.get(timeout=1).payload for _ in range(2)] == [1, 2]

    def test_own_error_wins(self, connection: Connection) -> None:
        def break_off() -> None:
            raise OSError('gone')

        def fail() -> None:
            with SimpleQueue(connection, 'simple-x') as simple:
                simple.consumer.cancel = break_off  # type: ignore[method-assign]
                raise ValueError('mine')

        with pytest.raises(ValueError, match='mine'):
            fail()

    def test_without_acknowledgement(self, connection: Connection) -> None:
        simple = SimpleQueue(connection, 'simple-no-ack', no_ack=True)
        simple.put(1)
        simple.put(2)
        assert simple.get(timeout=1).payload == 1
        connection.drain_events(timeout=1)
        simple.close()
        assert not simple.buffer


class TestSize:
    def test_size(self, simple: SimpleQueue) -> None:
        simple.put(1)
        simple.put(2)
        assert simple.qsize() == len(simple) == 2

    def test_true_when_empty(self, simple: SimpleQueue) -> None:
        assert simple

    def test_clear(self, simple: SimpleQueue) -> None:
        for number in range(4):
            simple.put(number)
        held = simple.get(timeout=1)
        simple.channel.connection.client.drain_events(timeout=1)
        assert simple.clear() == 3
        held.ack()
        simple.close()
        assert len(simple) == 0


class TestDefinition:
    def test_queue(self, connection: Connection) -> None:
        simple = SimpleQueue(connection, 'simple')
        assert simple.queue == Queue('simple', Exchange('simple'), 'simple', queue_arguments={})
        assert simple.producer.exchange == Exchange('simple')
        assert simple.producer.routing_key == 'simple'
        assert simple.no_ack is False
        assert simple.channel is connection.default_channel

    def test_buffer(self, connection: Connection) -> None:
        simple = SimpleBuffer(connection, 'simple-buffer')
        made = simple.queue
        assert (made.durable, made.auto_delete, made.exclusive) == (False, True, True)
        assert made.exchange == Exchange(
            'simple-buffer', durable=False, auto_delete=True, delivery_mode='transient'
        )
        assert simple.no_ack is True
        simple.put(1)
        assert simple.get(timeout=1).payload == 1

    def test_options(self, connection: Connection) -> None:
        options: dict[str, Any] = {
            'queue_opts': {'durable': False},
            'queue_args': {'x-max-length': 1},
            'exchange_opts': {'durable': False},
        }
        before = repr(options)
        simple = SimpleQueue(
            connection, 'simple-options', True, **options, serializer='yaml', compression='zlib'
        )
        assert not simple.queue.durable
        assert simple.queue.queue_arguments == {'x-max-length': 1}
        assert simple.queue.exchange == Exchange('simple-options', durable=False)
        assert (simple.producer.serializer, simple.producer.compression) == ('yaml', 'zlib')
        assert repr(options) == before
        assert SimpleQueue.queue_opts == {}

    def test_queue_given(self, connection: Connection) -> None:
        simple = SimpleQueue(connection, Queue('simple-given', Exchange('simple-x'), 'k'))
        assert (simple.producer.exchange.name, simple.producer.routing_key) == ('simple-x', 'k')

    def test_queue_that_is_none(self, connection: Connection) -> None:
        with pytest.raises(TypeError, match='5 is neither a name nor a '):
            SimpleQueue(connection, 5)

    @pytest.mark.parametrize('name', ['simple-plain', ''])
    def test_queue_of_the_default_exchange(self, connection: Connection, name: str) -> None:
        """It is reached by its name, which the broker may have made up."""
        simple = SimpleQueue(connection, Queue(name))
        simple.put(1)
        assert simple.get(timeout=1).payload == 1

    def test_base(self, connection: Connection) -> None:
        """Dependents build their own from producer and consumer."""
        channel = connection.channel()
        simple = SimpleBase(
            channel,
            connection.Producer(channel, routing_key='simple-base'),
            connection.Consumer(Queue('simple-base'), channel),
        )
        simple.put(1)
        assert simple.get(timeout=1).payload == 1

    def test_methods_of_the_connection(self, connection: Connection) -> None:
        assert type(connection.SimpleQueue('simple')) is SimpleQueue
        assert type(connection.SimpleBuffer('simple-b')) is SimpleBuffer
