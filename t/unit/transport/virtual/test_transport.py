"""Connections of virtual transports, and the loop that waits."""

from __future__ import annotations

import threading
from queue import Empty

import pytest
from amqp.exceptions import RecoverableConnectionError

from kombu import Connection
from kombu.testing.memory import MemoryBroker
from kombu.transport import virtual
from kombu.transport.virtual import transport as transport_module


@pytest.fixture
def transport(store_connection):
    return store_connection.transport


@pytest.fixture
def broker():
    with MemoryBroker() as broker:
        yield broker


def in_thread(fun):
    thread = threading.Thread(target=fun)
    thread.start()
    thread.join(5)
    assert not thread.is_alive()


class TestConnecting:
    def test_the_connection_is_the_transport(self, transport, store_connection):
        assert store_connection.connection is transport

    def test_the_channel_that_tested_the_store_is_the_first_one_used(self, transport):
        [tested] = transport.channels
        assert transport.create_channel(transport) is tested
        assert transport.create_channel(transport) is not tested
        assert len(transport.channels) == 2

    def test_a_store_that_cannot_be_reached(self, transport_class, store):
        class Refusing(transport_class.Channel):
            def __init__(self, connection, **kwargs):
                raise OSError('refused')

        transport_class.Channel = Refusing
        transport = Connection(transport=transport_class).transport
        with pytest.raises(OSError, match='refused'):
            transport.establish_connection()

    def test_closing_closes_the_channels(self, transport):
        channels = [transport.create_channel(transport) for _ in range(3)]
        assert transport.verify_connection(transport)
        transport.close_connection(transport)
        transport.close_connection(transport)
        assert all(channel.closed for channel in channels)
        assert transport.channels == []
        assert not transport.verify_connection(transport)

    def test_it_can_be_established_again(self, transport):
        transport.close_connection(transport)
        transport.establish_connection()
        assert transport.verify_connection(transport)
        channel = transport.create_channel(transport)
        channel.queue_declare('q')
        channel.basic_consume('q')
        with pytest.raises(TimeoutError):
            transport.drain_events(transport, timeout=0)

    def test_closing_a_channel_closes_it_once(self, transport):
        channel = transport.create_channel(transport)
        transport.close_channel(channel)
        transport.close_channel(channel)
        assert channel.closed

    def test_what_it_is_without_being_told(self, transport):
        assert transport.default_connection_params == {'port': None, 'hostname': 'localhost'}
        assert transport.qos_semantics_matches_spec(transport) is False
        assert transport.channel_max == 65535


class TestOptions:
    @pytest.mark.parametrize(('options', 'interval'), [({}, 0.01), ({'polling_interval': 5}, 5)])
    def test_the_polling_interval(self, transport_class, options, interval):
        connection = Connection(transport=transport_class, transport_options=options)
        assert connection.transport.polling_interval == interval

    def test_each_connection_has_its_own_state(self, transport_class):
        one, other = (Connection(transport=transport_class).transport for _ in range(2))
        assert one.state is not other.state


class TestDraining:
    def test_nothing_in_time(self, transport):
        with pytest.raises(TimeoutError):
            transport.drain_events(transport, timeout=0)

    def test_when_closed(self, transport):
        transport.close_connection(transport)
        with pytest.raises(RecoverableConnectionError, match='connection is closed'):
            transport.drain_events(transport, timeout=0)

    def test_it_sleeps_no_longer_than_asked_for(self, transport, monkeypatch):
        slept = []
        monkeypatch.setattr(transport_module, 'sleep', slept.append)
        transport.polling_interval = 60
        with pytest.raises(TimeoutError):
            transport.drain_events(transport, timeout=0.001)
        assert slept
        assert max(slept) <= 0.001

    @pytest.mark.parametrize('interval', [0, None])
    def test_without_an_interval_the_driver_waits(self, transport, monkeypatch, interval):
        monkeypatch.setattr(transport_module, 'sleep', pytest.fail)
        transport.polling_interval = interval
        with pytest.raises(TimeoutError):
            transport.drain_events(transport, timeout=0.001)

    def test_channels_are_served_in_turn(self, transport):
        got = []
        for name in 'ab':
            channel = transport.create_channel(transport)
            channel.queue_declare(name)
            channel.basic_consume(name, no_ack=True, callback=lambda m: got.append(m.body))
            for n in range(2):
                channel.basic_publish(channel.prepare_message(f'{name}{n}'), '', name)
        for _ in range(4):
            transport.drain_events(transport, timeout=0)
        assert {bytes(body[:1]) for body in got[:2]} == {b'a', b'b'}

    def test_a_callback_may_close_its_channel(self, transport):
        channel = transport.create_channel(transport)
        channel.queue_declare('q')
        channel.basic_consume('q', callback=lambda message: channel.close())
        channel.basic_publish(channel.prepare_message('x'), '', 'q')
        transport.drain_events(transport, timeout=0)
        assert channel.closed

    def test_a_callback_that_uses_the_channel_it_closed_is_told(self, transport):
        channel = transport.create_channel(transport)
        channel.queue_declare('q')

        def close_and_ack(message):
            channel.close()
            message.ack()

        channel.basic_consume('q', callback=close_and_ack)
        channel.basic_publish(channel.prepare_message('x'), '', 'q')
        with pytest.raises(RecoverableConnectionError, match='channel is closed'):
            transport.drain_events(transport, timeout=0)

    def test_an_error_in_a_callback_leaves_the_message_held(self, transport):
        channel = transport.create_channel(transport)
        channel.queue_declare('q')

        def fail(message):
            raise KeyError('bug')

        channel.basic_consume('q', callback=fail)
        channel.basic_publish(channel.prepare_message('x'), '', 'q')
        with pytest.raises(KeyError, match='bug'):
            transport.drain_events(transport, timeout=0)
        assert len(channel.qos._delivered) == 1

    def test_a_driver_may_wait_in_get(self, transport_class, store):
        asked = []

        class Waiting(transport_class.Channel):
            def _get(self, queue, timeout=None):
                asked.append(timeout)
                raise Empty

        transport_class.Channel = Waiting
        with Connection(transport=transport_class) as connection:
            channel = connection.channel()
            channel.queue_declare('q')
            channel.basic_get('q')
        assert asked == [None]

    def test_a_driver_may_bring_a_cycle_of_its_own(self, transport_class, store):
        """As kombu 5.x's redis transport, and those made after it, do with their poller."""
        asked = []

        class Poller:
            def get(self, callback, timeout=None):
                asked.append(timeout)
                raise Empty

            def close(self):
                pass

        class WithPoller(transport_class):
            def __init__(self, client, **kwargs):
                super().__init__(client, **kwargs)
                self.cycle = Poller()

        with Connection(transport=WithPoller) as connection:
            channel = connection.channel()
            channel.queue_declare('q')
            channel.basic_consume('q')
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0)
        assert asked


class TestThreads:
    @pytest.fixture
    def connection(self, broker):
        with broker.connection() as connection:
            yield connection

    def consumer(self, connection, queue, got):
        channel = connection.channel()
        channel.queue_declare(queue)
        channel.basic_consume(queue, no_ack=True, callback=lambda m: got.append(m.body.decode()))

    def drain(self, connection):
        try:
            while True:
                connection.drain_events(timeout=0)
        except TimeoutError:
            pass

    def publish(self, connection, *queues):
        channel = connection.channel()
        for queue in queues:
            channel.basic_publish(channel.prepare_message(queue), '', queue)

    def test_each_is_served_what_it_consumes(self, connection):
        mine, theirs, served = [], [], []
        self.consumer(connection, 'mine', mine)

        def other():
            self.consumer(connection, 'theirs', theirs)
            self.publish(connection, 'mine', 'theirs')
            self.drain(connection)
            served.append((list(mine), list(theirs)))

        in_thread(other)
        assert served == [([], ['theirs'])]
        self.drain(connection)
        assert mine == ['mine']

    def test_a_thread_that_consumes_nothing_serves_all(self, connection):
        got = []
        for queue in 'ab':
            in_thread(lambda queue=queue: self.consumer(connection, queue, got))
        self.publish(connection, 'a', 'b')
        self.drain(connection)
        assert sorted(got) == ['a', 'b']

    def test_what_a_thread_that_has_ended_consumes_is_served_too(self, connection):
        """In kombu 5.x any thread serves all."""
        got = []
        self.consumer(connection, 'mine', got)
        in_thread(lambda: self.consumer(connection, 'theirs', got))
        self.publish(connection, 'mine', 'theirs')
        self.drain(connection)
        assert sorted(got) == ['mine', 'theirs']

    def test_a_message_taken_while_the_connection_closes_is_not_lost(self, broker, connection):
        got = []
        self.consumer(connection, 'q', got)
        channel = connection.transport.channels[0]
        self.publish(broker.connection(), 'q')
        take = channel._take

        def take_slowly(*args):
            payload = take(*args)
            in_thread(lambda: broker.cut(connection))
            return payload

        channel._take = take_slowly
        with pytest.raises(connection.connection_errors):
            self.drain(connection)
        assert got or broker.messages('q')

    def test_a_message_taken_while_the_channel_closes_is_not_lost(self, broker, connection):
        channel = connection.channel()
        channel.queue_declare('q')
        channel.basic_consume('q')
        self.publish(broker.connection(), 'q')
        deliver = channel._deliver_to

        def deliver_slowly(*args):
            in_thread(channel.close)
            deliver(*args)

        channel._deliver_to = deliver_slowly
        self.drain(connection)
        assert broker.messages('q')


class TestPayloadsThatArriveByThemselves:
    """By the event loop, as drivers with sockets have them."""

    def test_reach_the_consumer(self, transport):
        got = []
        channel = transport.create_channel(transport)
        channel.queue_declare('q')
        channel.basic_consume('q', callback=got.append)
        envelope = channel.prepare_message('x')
        channel._inplace_augment_message(envelope, '', 'q')
        transport.on_message_ready(channel, envelope, 'q')
        assert [message.body for message in got] == [b'x']

    @pytest.mark.parametrize('queue', ['', None, 'unknown'])
    def test_for_nobody_are_an_error(self, transport, queue):
        with pytest.raises(KeyError, match='without consumers'):
            transport.on_message_ready(None, {}, queue)

    def test_that_nobody_consumes_any_more_go_back(self, transport, store):
        channel = transport.create_channel(transport)
        channel.queue_declare('q')
        transport._deliver({'body': 'x'}, 'q')
        assert store.queues['q'] == [{'body': 'x'}]

    def test_callbacks_are_plain_callables_for_who_puts_them_there(self, transport):
        got = []
        transport._callbacks['q'] = got.append
        transport.on_message_ready(None, 'payload', 'q')
        assert got == ['payload']


def test_the_manager_lists_bindings(transport, store_connection):
    channel = store_connection.channel()
    channel.exchange_declare('e')
    channel.queue_declare('q')
    channel.queue_bind('q', 'e', 'k')
    manager = store_connection.get_manager()
    assert isinstance(manager, virtual.Management)
    assert manager.get_bindings() == [{'source': 'e', 'destination': 'q', 'routing_key': 'k'}]
    manager.close()
    assert manager.channel.closed
