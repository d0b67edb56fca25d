"""Transports written for kombu 4 and 5 run unchanged."""

from __future__ import annotations

import pytest

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.exceptions import TimeoutError
from kombu.transport import TRANSPORT_ALIASES
from t.compat.miniatures import BareTransport, OwnTransport, SharedTransport


@pytest.fixture
def alias(monkeypatch):
    """Register a transport as its module does when it is imported."""
    monkeypatch.setitem(TRANSPORT_ALIASES, 'least', 't.compat.miniatures:LeastTransport')
    monkeypatch.setitem(TRANSPORT_ALIASES, 'shared', 't.compat.miniatures.SharedTransport')


def drain(connection, count):
    for _ in range(count):
        connection.drain_events(timeout=2)
    with pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.05)


def test_three_methods_make_a_transport(alias):
    exchange = Exchange('least', 'topic')
    queue = Queue('least', exchange, 'a.#')
    with Connection('least://somewhere') as connection:
        assert connection.transport.driver_type == 'least'
        assert connection.info()['port'] == 4711
        producer = connection.Producer()
        for n in range(3):
            producer.publish({'n': n}, 'a.b', exchange=exchange, declare=[queue], retry=True)
        got = []
        with connection.Consumer([queue], prefetch_count=2) as consumer:
            consumer.on_message = got.append
            drain(connection, 2)
            assert [m.payload['n'] for m in got] == [0, 1]
            got[0].requeue()
            drain(connection, 1)
            got[1].ack()
            drain(connection, 1)
        assert sorted(m.payload['n'] for m in got[2:]) == [0, 2]


def test_held_messages_go_back_when_the_channel_closes(alias):
    queue = Queue('least-back')
    with Connection('least://') as connection:
        connection.Producer().publish('x', routing_key='least-back', declare=[queue])
        with connection.channel() as channel:
            assert queue(channel).get().payload == 'x'
        with connection.channel() as channel:
            again = queue(channel).get()
            assert again.delivery_info['redelivered']
            again.ack()
            assert queue(channel).get() is None


def test_a_store_with_tables_fanout_and_a_ledger_of_its_own(alias):
    fanout = Exchange('shared.all', 'fanout')
    queues = [Queue(f'shared.{n}', fanout) for n in 'ab']
    options = {'prefix': 'p:', 'polling_interval': 0.02}
    with Connection('shared://', transport_options=options) as connection:
        channel = connection.channel()
        assert channel.prefix == 'p:'
        assert connection.transport.polling_interval == 0.02
        assert connection.supports_exchange_type('fanout')
        assert OSError in connection.connection_errors
        got = []
        with Consumer(channel, queues, on_message=got.append):
            Producer(channel).publish('low', exchange=fanout)
            drain(connection, 2)
            assert len(channel.qos.unacked) == 2
            for message in got:
                message.ack()
            assert not channel.qos.unacked
        assert 'p:shared.a' in channel.store.queues
        queues[0](channel).delete()
        assert {row[2] for row in channel.get_table('shared.all')} == {'shared.b'}
        assert queues[1](channel).queue_declare(passive=True).message_count == 0
        assert connection.transport.driver_version() == '1.2'


def test_bindings_another_process_stored_are_used():
    with Connection(transport=SharedTransport) as connection:
        channel = connection.channel()
        channel._queue_bind('foreign', 'k', '', 'foreign.q')
        channel._new_queue('foreign.q')
        channel.exchange_declare('foreign', 'direct')
        connection.Producer(channel).publish('x', exchange='foreign', routing_key='k')
        assert channel._size('foreign.q') == 1


def test_what_it_cannot_restore_by_itself_the_base_restores():
    queue = Queue('shared.restore')
    with Connection(transport=SharedTransport) as connection:
        channel = connection.channel()
        Producer(channel).publish('x', routing_key=queue.name, declare=[queue])
        queue(channel).get()
        channel.basic_recover(requeue=True)
        assert '_restore' in channel.store.calls
        assert queue(channel).get().payload == 'x'


def test_a_driver_that_consumes_its_own_way():
    queue = Queue('own')
    with Connection(transport=OwnTransport) as connection:
        channel = connection.channel()
        assert connection.transport.opened == 1
        for n in range(4):
            Producer(channel).publish(n, routing_key='own', declare=[queue])
        got = []
        with Consumer(channel, [queue], on_message=got.append, prefetch_count=3):
            drain(connection, 1)
            assert [(m.payload, m.receipt) for m in got] == [(0, 'r0'), (1, 'r1'), (2, 'r2')]
            got[0].ack()
            got[1].requeue()
            drain(connection, 1)
        assert [m.payload for m in got[3:]] == [1, 3]
        assert ('basic_consume', 'own') in channel.store.calls
        assert ('basic_cancel', 'own') in channel.store.calls
        channel.close()
        assert list(channel.store.queues['own'])


def test_celery_may_replace_can_consume_on_a_live_channel():
    queue = Queue('celery.disable-prefetch')
    with Connection('memory:///celery-can-consume') as connection:
        channel = connection.channel()
        Producer(channel).publish('x', routing_key=queue.name, declare=[queue])
        got = []
        with Consumer(channel, [queue], on_message=got.append):
            allowed = [False]
            channel.qos.can_consume = lambda: allowed[0]
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0.02)
            allowed[0] = True
            connection.drain_events(timeout=1)
        assert len(got) == 1


def test_a_native_transport_says_what_it_lacks():
    with Connection(transport=BareTransport) as connection:
        connection.connect()
        with pytest.raises(NotImplementedError, match=r'BareTransport has no create_channel'):
            connection.channel()


def test_the_order_of_calls_when_publishing():
    """Subclasses rely on it: augment, type, deliver, look-up, table, put."""
    order = []

    class Watching(SharedTransport.Channel):
        def _inplace_augment_message(self, *args, **kwargs):
            order.append('_inplace_augment_message')
            return super()._inplace_augment_message(*args, **kwargs)

        def typeof(self, *args, **kwargs):
            if 'typeof' not in order:
                order.append('typeof')
            return super().typeof(*args, **kwargs)

        def _lookup(self, exchange, routing_key, default=None):
            order.append('_lookup')
            return super()._lookup(exchange, routing_key, default)

        def get_table(self, exchange):
            order.append('get_table')
            return super().get_table(exchange)

        def _put(self, queue, message, **kwargs):
            order.append('_put')
            return super()._put(queue, message, **kwargs)

    class WatchingTransport(SharedTransport):
        Channel = Watching

    queue = Queue('order', Exchange('order', 'direct'), 'k')
    with Connection(transport=WatchingTransport) as connection:
        producer = connection.Producer()
        queue(producer.channel).declare()
        order.clear()
        producer.publish('x', exchange='order', routing_key='k')
    assert order == ['_inplace_augment_message', 'typeof', '_lookup', 'get_table', '_put']
