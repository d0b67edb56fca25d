"""What threads do to each other, one interleaving at a time.

The stress tests (`t/faults/test_memory_threads.py`) find such interleavings by chance; here the
other thread acts at the worst moment.
"""

from __future__ import annotations

import threading

import pytest
from amqp.exceptions import MessageNacked, RecoverableConnectionError

from kombu.testing.memory import MemoryBroker
from kombu.transport.virtual._routing import CACHE_LIMIT, TopicTable
from kombu.transport.virtual.delivering import QueueConsumers


class Meanwhile:
    """Let another thread do something; do not wait for it longer than a lock may take."""

    def __init__(self):
        self.threads = []

    def __call__(self, fun):
        thread = threading.Thread(target=fun)
        thread.start()
        thread.join(0.05)
        self.threads.append(thread)

    def join(self):
        for thread in self.threads:
            thread.join(5)
            assert not thread.is_alive()


@pytest.fixture
def meanwhile():
    meanwhile = Meanwhile()
    yield meanwhile
    meanwhile.join()


@pytest.fixture
def broker():
    with MemoryBroker() as broker:
        yield broker


@pytest.fixture
def connection(broker):
    with broker.connection() as connection:
        connection.connect()
        yield connection


def publish(channel, queue, *bodies):
    for body in bodies:
        try:
            channel.basic_publish(channel.prepare_message(body), '', queue)
        except MessageNacked:
            pass


class Once:
    """Call `before` the first time, then the method it stands for."""

    def __init__(self, method, before):
        self.method = method
        self.before = before

    def __call__(self, *args, **kwargs):
        before, self.before = self.before, None
        if before is not None:
            before()
        return self.method(*args, **kwargs)


class TestLimits:
    @pytest.mark.parametrize('overflow', ['reject-publish', 'drop-head'])
    def test_hold_for_two_that_publish_at_once(self, broker, connection, meanwhile, overflow):
        one, two = connection.channel(), connection.channel()
        one.queue_declare('q', arguments={'x-max-length': 2, 'x-overflow': overflow})
        publish(one, 'q', 'a')
        one._put = Once(one._put, lambda: meanwhile(lambda: publish(two, 'q', 'b')))
        publish(one, 'q', 'c')
        meanwhile.join()
        assert len(broker.messages('q')) == 2

    def test_drop_no_more_than_is_too_much(self, broker, connection, meanwhile):
        one, two = connection.channel(), connection.channel()
        one.queue_declare('q', arguments={'x-max-length': 2})
        publish(one, 'q', 'a', 'b')
        one._get = Once(one._get, lambda: meanwhile(lambda: publish(two, 'q', 'd')))
        publish(one, 'q', 'c')
        meanwhile.join()
        assert len(broker.messages('q')) == 2

    def test_drop_no_more_than_is_too_much_when_a_message_comes_back(
        self, broker, connection, meanwhile
    ):
        one, two = connection.channel(), connection.channel()
        one.queue_declare('q', arguments={'x-max-length': 2})
        publish(one, 'q', 'a')
        held = one.basic_get('q')
        publish(one, 'q', 'b', 'c')
        one._get = Once(one._get, lambda: meanwhile(lambda: publish(two, 'q', 'd')))
        held.requeue()
        meanwhile.join()
        assert len(broker.messages('q')) == 2


class TestAConsumerThatGoes:
    """Its queue may be deleted by anybody, at any time."""

    def test_while_its_message_is_on_the_way(self, broker, connection):
        channel = connection.channel()
        channel.queue_declare('q')
        publish(channel, 'q', 'x')
        transport = connection.transport
        transport._callbacks['q'] = QueueConsumers('q')  # all of them have just gone
        transport._deliver(channel._get('q'), 'q')
        assert len(broker.messages('q')) == 1

    def test_while_its_connection_drains(self, broker, connection, meanwhile):
        told = []
        channel = connection.channel()
        channel.queue_declare('q')
        channel.basic_consume('q', consumer_tag='t', on_cancel=told.append)
        publish(channel, 'q', 'x')
        other = broker.connection().channel()
        channel._take = Once(channel._take, lambda: meanwhile(lambda: other.queue_delete('q')))
        connection.drain_events(timeout=1)
        assert told == ['t']


class TestAChannelThatCloses:
    def test_while_its_connection_drains(self, connection, meanwhile):
        """The connection is as good as before: nothing came, no more."""
        channel = connection.channel()
        channel.queue_declare('q')
        channel.basic_consume('q')
        drain = connection.transport._drain_channel

        def drain_slowly(*args, **kwargs):
            meanwhile(channel.close)
            return drain(*args, **kwargs)

        connection.transport._drain_channel = drain_slowly
        connection.transport._serve(threading.current_thread())
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0)

    def test_while_it_looks_for_a_message(self, broker, connection, meanwhile):
        channel = connection.channel()
        channel.queue_declare('q')
        channel.basic_consume('q')
        publish(channel, 'q', 'x')
        can_consume = channel.qos.can_consume
        channel.qos.can_consume = Once(can_consume, lambda: meanwhile(channel.close))
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0)
        assert len(broker.messages('q')) == 1

    @pytest.mark.parametrize('settle', ['ack', 'reject', 'requeue'])
    def test_while_a_delivery_is_settled(self, broker, connection, meanwhile, settle):
        channel = connection.channel()
        channel.queue_declare('q')
        publish(channel, 'q', 'x')
        message = channel.basic_get('q')
        method = 'ack' if settle == 'ack' else 'reject'
        original = getattr(channel.qos, method)
        setattr(channel.qos, method, Once(original, lambda: meanwhile(channel.close)))
        with pytest.raises(RecoverableConnectionError, match='channel is closed'):
            getattr(message, settle)()
        assert len(broker.messages('q')) == 1


class TestRoutes:
    def test_a_binding_made_while_another_route_is_looked_up_is_not_forgotten(self):
        """The cache is full, so that look-up replaces it, and must not fill it with the past."""

        class Slow(TopicTable):
            meanwhile = None

            def _match(self, routing_key):
                found = list(super()._match(routing_key))
                meanwhile, self.meanwhile = self.meanwhile, None
                if meanwhile is not None:
                    meanwhile()
                return found

        table = Slow([('#', None, 'q1')])
        for number in range(CACHE_LIMIT):
            table.match(str(number))
        table.meanwhile = lambda: table.add(('k', None, 'q2'))
        table.match('k')
        assert set(table.match('k')) == {'q1', 'q2'}


class TestTime:
    def test_runs_out_for_two_at_once(self, broker, connection):
        """Both look at the schedule; the other has just done what was due."""

        class Schedule(list):
            def __bool__(self):
                if not len(self):
                    return False
                self.clear()
                return True

        broker._broker._schedule = Schedule([(0.0, 0, '_expire', ('q',))])
        broker._broker.run_due(connection.channel())
