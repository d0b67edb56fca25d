"""The interface of carrot."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from kombu import Connection, Exchange, Queue
from kombu.compat import Consumer, ConsumerSet, Publisher, entry_to_queue


@pytest.fixture
def connection() -> Iterator[Connection]:
    with Connection('memory://') as connection:
        yield connection


@pytest.fixture
def publisher(connection: Connection) -> Publisher:
    return Publisher(connection, exchange='compat-x', routing_key='k', exchange_type='topic')


@pytest.fixture
def consumer(connection: Connection) -> Iterator[Consumer]:
    with Consumer(
        connection, queue='compat', exchange='compat-x', routing_key='k', exchange_type='topic'
    ) as consumer:
        yield consumer
        consumer.cancel()
        consumer.queues[0].delete()


def test_entry_to_queue() -> None:
    queue = entry_to_queue('q', exchange='e', exchange_type='topic', binding_key='k')
    assert queue == Queue('q', Exchange('e', 'topic'), 'k')


class TestPublisher:
    def test_arguments(self, connection: Connection, publisher: Publisher) -> None:
        assert publisher.exchange == Exchange('compat-x', 'topic')
        assert publisher.routing_key == 'k'
        assert publisher.backend is publisher.channel is connection.default_channel

    def test_attributes(self, connection: Connection) -> None:
        class Mine(Publisher):
            exchange = 'mine'
            exchange_type = 'fanout'
            routing_key = 'mk'
            durable = False
            auto_delete = True

        mine = Mine(connection)
        assert mine.exchange == Exchange('mine', 'fanout', durable=False, auto_delete=True)
        assert mine.routing_key == 'mk'
        assert Mine(connection, exchange='other', durable=True).exchange.durable

    def test_exchange_itself(self, connection: Connection) -> None:
        exchange = Exchange('e', 'fanout')
        assert Publisher(connection, exchange=exchange).exchange == exchange

    def test_channel(self, connection: Connection) -> None:
        channel = connection.channel()
        with Publisher(connection, channel=channel, serializer='yaml') as publisher:
            assert publisher.channel is channel
            assert publisher.serializer == 'yaml'
        assert channel.is_open


class TestConsumer:
    def test_attributes(self, connection: Connection) -> None:
        class Mine(Consumer):
            queue = 'compat-mine'
            exchange = 'compat-mine-x'
            exchange_type = 'fanout'
            routing_key = 'mk'
            durable = False
            auto_delete = True
            exclusive = True

        (queue,) = Mine(connection).queues
        assert queue.name == 'compat-mine'
        assert queue.exchange == Exchange(
            'compat-mine-x', 'fanout', durable=False, auto_delete=True
        )
        assert (queue.routing_key, queue.durable, queue.exclusive) == ('mk', False, True)

    def test_queue_itself(self, connection: Connection) -> None:
        (queue,) = Consumer(connection, queue=Queue('compat-q', 'compat-qx')).queues
        assert queue == Queue('compat-q', 'compat-qx')

    def test_fetch(self, publisher: Publisher, consumer: Consumer) -> None:
        assert consumer.fetch() is None
        publisher.send({'a': 1})
        message = consumer.fetch()
        assert message.payload == {'a': 1}
        message.ack()
        told: list[Any] = []
        consumer.register_callback(lambda body, message: told.append(body))
        publisher.send(2)
        consumer.fetch(no_ack=True, enable_callbacks=True)
        assert told == [2]
        with pytest.raises(NotImplementedError, match='fetch'):
            consumer.process_next()

    def test_iterqueue(self, publisher: Publisher, consumer: Consumer) -> None:
        for number in range(5):
            publisher.send(number)
        assert [m.payload for m in consumer.iterqueue(limit=2)] == [0, 1]
        assert [m.payload for m in consumer.iterqueue()] == [2, 3, 4], 'the limit took no more'
        publisher.send(5)
        messages = iter(consumer)
        assert next(messages).payload == 5
        assert next(messages) is None

    def test_consuming(self, publisher: Publisher, consumer: Consumer) -> None:
        told: list[Any] = []
        consumer.register_callback(lambda body, message: told.append(body))
        for number in range(3):
            publisher.send(number)
        assert len(consumer.wait(limit=2)) == 2
        assert told == [0, 1]
        assert len(list(consumer.iterconsume(limit=1, no_ack=True))) == 1
        assert told == [0, 1, 2]

    def test_discard_all(self, publisher: Publisher, consumer: Consumer) -> None:
        publisher.send(1)
        publisher.send(2)
        with pytest.raises(NotImplementedError, match='filter'):
            consumer.discard_all(filterfunc=bool)
        assert consumer.discard_all() == 2

    def test_close(self, connection: Connection) -> None:
        consumer = Consumer(connection, queue='compat-c', exchange='compat-cx')
        with consumer as same:
            assert same is consumer
            channel = consumer.channel
        assert not channel.is_open

    def test_revive(self, connection: Connection, consumer: Consumer) -> None:
        channel = connection.channel()
        consumer.revive(channel)
        assert consumer.channel is consumer.backend is channel


class TestConsumerSet:
    def test_queues(self, connection: Connection) -> None:
        consumers = ConsumerSet(
            connection,
            from_dict={'compat-1': {'exchange': 'compat-sx', 'binding_key': 'k1'}},
            consumers=[Consumer(connection, queue='compat-2', exchange='compat-sx')],
        )
        queue = consumers.add_consumer_from_dict('compat-3', exchange='compat-sx')
        assert queue.is_bound
        consumers.add_consumer(Consumer(connection, queue='compat-4', exchange='compat-sx'))
        assert [queue.name for queue in consumers.queues] == [
            'compat-2', 'compat-1', 'compat-3', 'compat-4',
        ]  # fmt: skip
        consumers.close()

    def test_consuming(self, connection: Connection) -> None:
        told: list[Any] = []
        consumers = ConsumerSet(
            connection,
            from_dict={'compat-5': {'exchange': 'compat-sy', 'routing_key': 'k'}},
            callbacks=[lambda body, message: told.append(body)],
        )
        publisher = Publisher(connection, exchange='compat-sy', routing_key='k')
        for number in range(3):
            publisher.send(number)
        assert len(list(consumers.iterconsume(limit=2, no_ack=True))) == 2
        assert told == [0, 1]
        consumers.cancel()
        assert consumers.discard_all() == 1
        channel = connection.channel()
        consumers.revive(channel)
        consumers.close()
        assert not channel.is_open

    def test_channel_of_another(self, connection: Connection) -> None:
        channel = connection.channel()
        consumers = ConsumerSet(connection, channel=channel)
        assert consumers.channel is channel
        consumers.close()
        assert channel.is_open
