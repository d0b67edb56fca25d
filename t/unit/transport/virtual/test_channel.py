"""Channels open and close."""

from __future__ import annotations

import gc
import logging
import weakref

import pytest
from amqp.exceptions import RecoverableConnectionError

from kombu import Connection
from kombu.exceptions import ConnectionError
from kombu.testing.memory import MemoryBroker
from kombu.transport.virtual import Channel


@pytest.fixture
def broker():
    with MemoryBroker() as broker:
        yield broker


@pytest.fixture
def ch(broker):
    return broker.connection().channel()


def test_options_become_attributes(transport_class):
    class WithOption(transport_class.Channel):
        prefix = 'none'
        from_transport_options = (*Channel.from_transport_options, 'prefix')

    transport_class.Channel = WithOption
    options = {'prefix': 'p', 'deadletter_queue': 'lost', 'unknown': 1}
    with Connection(transport=transport_class, transport_options=options) as connection:
        channel = connection.channel()
        assert (channel.prefix, channel.deadletter_queue) == ('p', 'lost')
        assert channel.body_encoding == 'base64'
        assert not hasattr(channel, 'unknown')
    assert WithOption.prefix == 'none'


def test_closing_puts_back_what_is_held(broker, ch):
    ch.queue_declare('q')
    for body in 'abc':
        ch.basic_publish(ch.prepare_message(body), '', 'q')
    ch.basic_get('q').ack()
    ch.basic_get('q')
    ch.close()
    assert [message.body for message in broker.messages('q')] == [b'b', b'c']
    assert broker.messages('q')[0].delivery_info['redelivered']


def test_closing_leaves_what_is_held_if_told_so(broker, ch):
    ch.queue_declare('q')
    ch.basic_publish(ch.prepare_message('x'), '', 'q')
    ch.basic_get('q')
    ch.qos.restore_at_shutdown = False
    ch.close()
    assert broker.messages('q') == []


def test_closing_ends_its_consumers(broker, ch):
    ch.queue_declare('stays')
    ch.queue_declare('goes', auto_delete=True)
    for queue in ('stays', 'goes'):
        ch.basic_consume(queue)
    ch.close()
    assert broker.queues() == ['stays']
    assert broker.consumers('stays') == 0


def test_closing_twice_is_closing_once(ch):
    ch.close()
    ch.close()
    assert ch.closed
    assert not ch.is_open
    assert ch.connection is None


def test_closing_while_the_store_is_gone(channel, publish, store, caplog):
    publish('q', 'x')
    channel.basic_get('q')
    store.failing = {'_requeue'}
    with caplog.at_level(logging.WARNING):
        channel.close()
    assert '1 message(s) not put back' in caplog.text
    assert channel.closed


def test_a_driver_may_release_what_it_holds_once_and_while_connected(transport_class):
    closed = []

    class Own(transport_class.Channel):
        def _on_close(self):
            closed.append(self.connection.client is not None)

    transport_class.Channel = Own
    with Connection(transport=transport_class) as connection:
        channel = connection.channel()
        channel.close()
        channel.close()
    assert closed[:1] == [True]


@pytest.mark.parametrize(
    'use',
    [
        lambda c: c.queue_declare('q'),
        lambda c: c.queue_delete('q'),
        lambda c: c.queue_purge('q'),
        lambda c: c.queue_bind('q', 'e'),
        lambda c: c.queue_unbind('q', 'e'),
        lambda c: c.exchange_declare('e'),
        lambda c: c.exchange_delete('e'),
        lambda c: c.exchange_bind('a', 'b'),
        lambda c: c.exchange_unbind('a', 'b'),
        lambda c: c.basic_publish(c.prepare_message('x'), '', 'q'),
        lambda c: c.basic_get('q'),
        lambda c: c.basic_consume('q'),
        lambda c: c.basic_qos(0, 1, False),
        lambda c: c.basic_ack(1),
        lambda c: c.basic_reject(1),
        lambda c: c.basic_recover(),
        lambda c: c.confirm_select(),
        lambda c: c.flow(False),
        lambda c: c.get_bindings(),
        lambda c: c.get_exchanges(),
        lambda c: c.get_table('e'),
        lambda c: c.drain_events(),
    ],
)
def test_a_closed_channel_says_so(ch, use):
    ch.close()
    with pytest.raises(RecoverableConnectionError, match='channel is closed'):
        use(ch)


def test_numbers_are_used_again_but_not_at_once(broker):
    connection = broker.connection()
    connection.connect()
    first, second = connection.channel(), connection.channel()
    numbers = {first.channel_id, second.channel_id}
    assert len(numbers) == 2
    first.close()
    assert connection.channel().channel_id not in numbers


def test_there_are_only_so_many(transport_class):
    transport_class.channel_max = 2
    with Connection(transport=transport_class) as connection:
        channels = [connection.channel() for _ in range(2)]
        with pytest.raises(ConnectionError, match='all 2 are in use'):
            connection.channel()
        channels[0].close()
        assert connection.channel().channel_id == channels[0].channel_id


def test_it_shows_what_it_is(ch):
    assert repr(ch) == f'<kombu.transport.memory.Channel {ch.channel_id}: 0 consumers>'
    ch.close()
    assert repr(ch).endswith(': closed>')


@pytest.mark.parametrize('closed_by', ['channel', 'connection'])
def test_a_closed_one_keeps_nothing_alive(broker, closed_by):
    connection = broker.connection()
    channel = connection.channel()
    channel.queue_declare('q')
    channel.basic_publish(channel.prepare_message('x'), '', 'q')
    channel.basic_consume('q')
    message = channel.basic_get('q')
    transport = weakref.ref(connection.transport)
    alive = weakref.ref(channel)
    if closed_by == 'channel':
        channel.close()
    connection.release()
    broker._connections.clear()
    del connection, channel
    gc.collect()
    # Whoever keeps a message keeps its channel, but not the connection.
    assert transport() is None
    assert alive() is message.channel
    del message
    gc.collect()
    assert alive() is None


def test_it_can_be_used_with_with(broker):
    with broker.connection().channel() as channel:
        assert channel.is_open
    assert channel.closed
