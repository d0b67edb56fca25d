"""Consuming: which calls it makes, what becomes of a message, and round trips over memory."""

from __future__ import annotations

from typing import Any

import pytest

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.exceptions import ContentDisallowed, DecodeError, SerializerNotInstalled
from kombu.message import Message
from t.unit.fake_channel import ChannelFailure, FakeChannel, LinkFailure


@pytest.fixture
def channel() -> FakeChannel:
    return FakeChannel()


def tags(channel: FakeChannel) -> list[str]:
    return [call['consumer_tag'] for call in channel.all('basic_consume')]


class TestConsuming:
    def test_queues_are_declared_and_bound(self, channel: FakeChannel) -> None:
        queue = Queue('q', 'e')
        consumer = Consumer(channel, [queue])
        assert channel.names() == ['exchange_declare', 'queue_declare', 'queue_bind']
        assert consumer.queues == [queue]
        assert consumer.queues[0].channel is channel
        assert not queue.is_bound, "it stays the caller's"

    def test_bound_queue_of_the_caller_stays_where_it_is(self, channel: FakeChannel) -> None:
        other = FakeChannel()
        queue = Queue('q')(other)
        assert Consumer(channel, queue).queues[0].channel is channel
        assert queue.channel is other

    def test_not_declared_if_told_so(self, channel: FakeChannel) -> None:
        Consumer(channel, Queue('q'), auto_declare=False)

        class Mine(Consumer):
            auto_declare = False

        Mine(channel, Queue('q'))
        assert not channel.calls

    @pytest.mark.parametrize(
        'queues',
        [[Queue('a'), Queue('b')], (Queue('a'), Queue('b')), {Queue('a'): 1, Queue('b'): 2}.keys()],
    )
    def test_several(self, channel: FakeChannel, queues: Any) -> None:
        assert [queue.name for queue in Consumer(channel, queues).queues] == ['a', 'b']

    def test_none_and_names(self, channel: FakeChannel) -> None:
        consumer = Consumer(channel)
        consumer.consume()
        consumer.cancel()
        assert not channel.calls
        for names in ('q', ['q']):
            with pytest.raises(TypeError, match=r"Queue\('q'\)"):
                Consumer(channel, names)  # type: ignore[arg-type]

    @pytest.mark.parametrize(
        ('arguments', 'text'),
        [
            ({'queues': 5}, 'queues is a kombu.Queue, or a list of them, not 5'),
            ({'queues': [None]}, 'None is no queue'),
            ({'callbacks': print}, r'callbacks is a list of functions: write \[<built-in'),
        ],
    )
    def test_wrong_kind(self, channel: FakeChannel, arguments: Any, text: str) -> None:
        with pytest.raises(TypeError, match=text):
            Consumer(channel, **arguments)

    @pytest.mark.parametrize('count', ['x', -1, None, 1.5])
    def test_bad_credit_is_not_told_to_the_channel(self, channel: FakeChannel, count: Any) -> None:
        """The virtual broker would find it out while delivering, in the thread of somebody else."""
        with pytest.raises(ValueError, match='prefetch_count must be a number'):
            Consumer(channel, Queue('q')).qos(prefetch_count=count)
        assert 'basic_qos' not in channel.names()

    def test_last_one_waits_for_the_answer(self, channel: FakeChannel) -> None:
        """When `consume` returns, all of them are consumed from."""
        consumer = Consumer(channel, [Queue('a'), Queue('b')], no_ack=True)
        consumer.consume()
        first, second = channel.all('basic_consume')
        assert (first['queue'], first['nowait']) == ('a', True)
        assert (second['queue'], second['nowait']) == ('b', False)
        assert first['callback'] == consumer._receive_callback
        assert first['no_ack'] is second['no_ack'] is True
        assert first['consumer_tag'] != second['consumer_tag']
        consumer.consume()
        assert len(channel.all('basic_consume')) == 2, 'once'

    def test_last_of_the_new_ones_waits(self, channel: FakeChannel) -> None:
        consumer = Consumer(channel, [Queue('b')])
        consumer.consume()
        consumer.add_queue(Queue('a'))
        consumer.consume()
        assert channel.last('basic_consume')['queue'] == 'a'
        assert channel.last('basic_consume')['nowait'] is False

    def test_tag_prefix(self, channel: FakeChannel) -> None:
        Consumer(channel, Queue('q'), tag_prefix='mine-').consume()
        Consumer(channel, Queue('q')).consume()
        assert tags(channel)[0].startswith('mine-')
        assert tags(channel)[1].isdigit()

    def test_no_ack(self, channel: FakeChannel) -> None:
        Consumer(channel, [Queue('a', no_ack=True), Queue('b')]).consume()
        assert [call['no_ack'] for call in channel.all('basic_consume')] == [True, False]
        Consumer(channel, Queue('q'), no_ack=True).consume(no_ack=False)
        assert channel.last('basic_consume')['no_ack'] is False

    def test_prefetch_count(self, channel: FakeChannel) -> None:
        consumer = Consumer(channel, Queue('q'), prefetch_count=7)
        consumer.consume()
        assert channel.args('basic_qos') == (0, 7, False)
        assert channel.names()[-2:] == ['basic_qos', 'basic_consume']

    def test_cancel(self, channel: FakeChannel) -> None:
        consumer = Consumer(channel, [Queue('a'), Queue('b')])
        consumer.consume()
        consumer.cancel()
        assert channel.args('basic_cancel') == (tags(channel)[1],)
        assert channel.names().count('basic_cancel') == 2
        assert not consumer.consuming_from('a')
        consumer.close()
        assert channel.names().count('basic_cancel') == 2
        consumer.consume()
        assert consumer.consuming_from('a')

    def test_cancel_by_queue_stops_exactly_one(self, channel: FakeChannel) -> None:
        queues = [Queue('a'), Queue('b'), Queue('c')]
        consumer = Consumer(channel, queues)
        consumer.consume()
        consumer.cancel_by_queue('b')
        assert channel.args('basic_cancel') == (tags(channel)[1],)
        assert [queue.name for queue in consumer.queues] == ['a', 'c']
        assert consumer.consuming_from(queues[0])
        assert not consumer.consuming_from(queues[1])
        consumer.cancel_by_queue(queues[2])
        consumer.cancel_by_queue('unknown')
        assert channel.names().count('basic_cancel') == 2

    def test_failed_start_is_not_consuming(self, channel: FakeChannel) -> None:
        consumer = Consumer(channel, Queue('q'))
        channel.fail['basic_consume'] = ChannelFailure()
        with pytest.raises(ChannelFailure):
            consumer.consume()
        assert not consumer.consuming_from('q')

    def test_add_queue(self, channel: FakeChannel) -> None:
        consumer = Consumer(channel)
        queue = Queue('q')
        added = consumer.add_queue(queue)
        assert added.channel is channel
        assert not queue.is_bound
        assert not consumer.consuming_from('q')
        assert channel.names() == ['queue_declare']

    def test_purge_declare_flow_qos_recover(self, channel: FakeChannel) -> None:
        consumer = Consumer(channel, [Queue('a'), Queue('b')])
        assert consumer.purge() == 4
        channel.clear()
        consumer.declare()
        assert channel.names() == ['queue_declare'] * 2
        consumer.flow(False)
        assert channel.args('flow') == (False,)
        consumer.qos(prefetch_count=3, apply_global=True)
        assert channel.args('basic_qos') == (0, 3, True)
        consumer.recover(requeue=True)
        assert channel.last('basic_recover') == {'requeue': True}

    def test_queues_without_a_name(self, channel: FakeChannel) -> None:
        consumer = Consumer(channel, [Queue('', 'e'), Queue('', 'e')])
        names = [queue.name for queue in consumer.queues]
        assert len(set(names)) == 2
        consumer.consume()
        assert consumer.consuming_from(names[0])

    def test_connection_for_a_channel(self) -> None:
        connection = Connection('memory://')
        consumer = Consumer(connection, Queue('messaging-q'))
        assert consumer.channel is connection.default_channel
        assert consumer.connection is connection
        connection.release()

    def test_without_channel(self) -> None:
        consumer = Consumer(None, [Queue('q')])
        assert consumer.channel is consumer.connection is None
        assert 'unbound' in repr(consumer)

    def test_repr(self, channel: FakeChannel) -> None:
        consumer = Consumer(channel, Queue('q', bindings=[]))
        assert repr(consumer) == f'<Consumer: {consumer.queues}>'


class TestConsumerContext:
    def test_consumes_within(self, channel: FakeChannel) -> None:
        with Consumer(channel, Queue('q')) as consumer:
            assert consumer.consuming_from('q')
        assert channel.names()[-1] == 'basic_cancel'

    def test_own_error_wins(self, channel: FakeChannel) -> None:
        channel.fail['basic_cancel'] = LinkFailure()
        with pytest.raises(ValueError, match='mine'), Consumer(channel, Queue('q')):
            raise ValueError('mine')

    @pytest.mark.parametrize('error', [LinkFailure(), ChannelFailure()])
    def test_broken_connection_is_not_used(self, channel: FakeChannel, error: Exception) -> None:
        consumer = Consumer(channel, Queue('q'))
        channel.client.connected = False
        with pytest.raises(type(error)), consumer:
            raise error
        assert 'basic_cancel' not in channel.names()
        assert not consumer.consuming_from('q')

    @pytest.mark.parametrize('error', [LinkFailure(), ChannelFailure()])
    def test_error_of_something_else(self, channel: FakeChannel, error: Exception) -> None:
        """A missing file is an `OSError` like a lost connection; the consumer must not go on."""
        with pytest.raises(type(error)), Consumer(channel, Queue('q')):
            raise error
        assert channel.names()[-1] == 'basic_cancel'

    def test_cannot_cancel(self, channel: FakeChannel) -> None:
        """What cannot be cancelled as its connection broke has ended anyway."""
        channel.fail['basic_cancel'] = LinkFailure()
        with Consumer(channel, Queue('q')):
            pass

    def test_closed_channel(self, channel: FakeChannel) -> None:
        channel.fail['basic_cancel'] = AttributeError()
        with Consumer(channel, Queue('q')):
            channel.close()

    def test_started_in_part(self, channel: FakeChannel) -> None:
        consumer = Consumer(channel, [Queue('a'), Queue('b')])

        def fail_second(queue: str, **kwargs: Any) -> None:
            if queue == 'b':
                raise ChannelFailure

        channel.basic_consume = fail_second  # type: ignore[attr-defined]
        with pytest.raises(ChannelFailure), consumer:
            pass
        assert channel.names()[-1] == 'basic_cancel'
        assert not consumer.consuming_from('a')


class TestReviving:
    def test_what_was_consumed_is_consumed_again(self, channel: FakeChannel) -> None:
        consumer = Consumer(channel, [Queue('a'), Queue('b'), Queue('c')])
        consumer.consume(no_ack=True)
        consumer.cancel_by_queue('b')
        consumer.add_queue(Queue('d'))
        other = FakeChannel()
        consumer.revive(other)
        assert [call['queue'] for call in other.all('queue_declare')] == ['a', 'c', 'd']
        consumed = other.all('basic_consume')
        assert [(call['queue'], call['no_ack'], call['nowait']) for call in consumed] == [
            ('a', True, True),
            ('c', True, False),
        ]
        assert consumer.consuming_from('a')
        assert not consumer.consuming_from('d')
        assert not set(tags(channel)) & set(tags(other))
        assert all(queue.channel is other for queue in consumer.queues)

    def test_what_was_cancelled_is_not(self, channel: FakeChannel) -> None:
        consumer = Consumer(channel, Queue('q'))
        consumer.consume()
        consumer.cancel()
        other = FakeChannel()
        consumer.revive(other)
        assert other.names() == ['queue_declare']

    def test_credit_is_kept(self, channel: FakeChannel) -> None:
        consumer = Consumer(channel, Queue('q'), prefetch_count=5)
        consumer.consume()
        consumer.qos(prefetch_count=3)
        other = FakeChannel()
        consumer.revive(other)
        assert other.names() == ['queue_declare', 'basic_qos', 'basic_consume']
        assert other.args('basic_qos') == (0, 3, False)

    def test_queue_without_a_name(self, channel: FakeChannel) -> None:
        """It gets another name, under which it is known and consumed from then on."""
        consumer = Consumer(channel, Queue('', exclusive=True))
        consumer.consume()
        other = FakeChannel()
        other.queue_delete(queue='x')  # to have another name made up
        consumer.revive(other)
        (queue,) = consumer.queues
        assert other.last('queue_declare')['queue'] == ''
        assert other.last('basic_consume')['queue'] == queue.name
        assert consumer.consuming_from(queue)


class TestReceiving:
    def message(self, body: Any = b'{"a": 1}', **options: Any) -> Message:
        return Message(
            body,
            **{'content_type': 'application/json', 'content_encoding': 'utf-8', **options},
        )

    def test_callbacks(self, channel: FakeChannel) -> None:
        told: list[Any] = []
        mine = [lambda body, message: told.append((1, body, message))]
        consumer = Consumer(channel, callbacks=mine)
        consumer.register_callback(lambda body, message: told.append((2, body, message)))
        message = self.message()
        consumer._receive_callback(message)
        assert told == [(1, {'a': 1}, message), (2, {'a': 1}, message)]
        assert len(mine) == 1, "the list stays the caller's"

    def test_no_callbacks(self, channel: FakeChannel) -> None:
        with pytest.raises(NotImplementedError, match='no callbacks'):
            Consumer(channel)._receive_callback(self.message())

    def test_receive_can_be_overridden(self, channel: FakeChannel) -> None:
        told: list[Any] = []

        class Mine(Consumer):
            def receive(self, body: Any, message: Any) -> None:
                told.append(body)

        Mine(channel)._receive_callback(self.message())
        assert told == [{'a': 1}]

    def test_on_message_gets_it_undecoded(self, channel: FakeChannel) -> None:
        told: list[Any] = []
        consumer = Consumer(channel, callbacks=[lambda *args: told.append('callback')])
        consumer.on_message = told.append  # celery assigns it after the fact
        message = self.message(b'not json')
        consumer._receive_callback(message)
        assert told == [message]

    def test_channel_converts(self, channel: FakeChannel) -> None:
        message = self.message()
        channel.message_to_python = lambda raw: message  # type: ignore[attr-defined]
        told: list[Any] = []
        Consumer(channel, on_message=told.append)._receive_callback('raw')
        assert told == [message]

    def test_accept(self, channel: FakeChannel) -> None:
        consumer = Consumer(channel, accept=['yaml'], callbacks=[lambda *args: None])
        assert consumer.accept == {'application/x-yaml'}
        with pytest.raises(ContentDisallowed):
            consumer._receive_callback(self.message())
        told: list[Any] = []
        consumer = Consumer(channel, accept=['json'], on_message=told.append)
        consumer._receive_callback(self.message())
        assert told[0].accept == {'application/json'}
        assert Consumer(channel, accept=[]).accept == set()
        assert Consumer(channel).accept is None

    def test_accept_of_a_subclass(self, channel: FakeChannel) -> None:
        class Mine(Consumer):
            accept = ['json']

        assert Mine(channel).accept == {'application/json'}

    def test_unknown_content_type(self, channel: FakeChannel) -> None:
        with pytest.raises(SerializerNotInstalled):
            Consumer(channel, accept=['jsn'])

    @pytest.mark.parametrize('way', ['callbacks', 'on_message'])
    def test_unreadable(self, channel: FakeChannel, way: str) -> None:
        """It is told of, with the message in hand to be settled; by default the error is raised."""
        message = self.message(b'garbage', headers={'compression': 'application/x-gzip'})
        got: list[Any] = []
        options: dict[str, Any] = (
            {'callbacks': [lambda *args: got.append('callback')]}
            if way == 'callbacks'
            else {'on_message': got.append}
        )
        consumer = Consumer(channel, **options)
        with pytest.raises(DecodeError):
            consumer._receive_callback(message)
        told: list[Any] = []
        consumer.on_decode_error = lambda message, exc: told.append((message, exc))
        consumer._receive_callback(message)
        assert told[0][0] is message
        assert isinstance(told[0][1], DecodeError)
        assert not got

    def test_errors_of_callbacks_are_not_decoding_errors(self, channel: FakeChannel) -> None:
        def fail(*args: Any) -> None:
            raise ValueError('mine')

        for options in ({'callbacks': [fail]}, {'on_message': fail}):
            consumer = Consumer(channel, on_decode_error=lambda *args: None, **options)
            with pytest.raises(ValueError, match='mine'):
                consumer._receive_callback(self.message())


class TestOverMemory:
    """Round trips over a complete broker."""

    def test_round_trip(self) -> None:
        with Connection('memory://') as connection:
            queue = Queue('messaging-round', Exchange('messaging-x', 'topic'), 'a.#')
            got: list[Any] = []

            def receive(body: Any, message: Message) -> None:
                got.append((body, message.headers, message.properties['correlation_id']))
                message.ack()

            with Consumer(connection, queue, callbacks=[receive], accept=['json']):
                Producer(connection, queue.exchange).publish(
                    {'n': 1}, 'a.b', headers={'h': 1}, correlation_id='c', compression='zlib'
                )
                connection.drain_events(timeout=1)
            assert got[0][0] == {'n': 1}
            assert got[0][1]['h'] == 1
            assert got[0][2] == 'c'
            assert queue(connection).queue_declare(passive=True)[1:] == (0, 0)
            queue(connection).delete()

    def test_unreadable_message_is_not_lost(self) -> None:
        with Connection('memory://') as connection:
            queue = Queue('messaging-bad')
            Producer(connection).publish(
                b'not json',
                content_type='application/json',
                content_encoding='utf-8',
                routing_key=queue.name,
                declare=[queue],
            )
            consumer = Consumer(connection, queue, callbacks=[lambda *args: None])
            with consumer, pytest.raises(DecodeError):
                connection.drain_events(timeout=1)
            connection.default_channel.close()
            with connection.channel() as channel:
                assert queue(channel).queue_declare(passive=True)[1] == 1
                message = queue(channel).get()
                assert message.body == b'not json'
                with pytest.raises(DecodeError):
                    message.decode()
                message.reject()
                queue(channel).delete()
