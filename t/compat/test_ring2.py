"""What outsiders lean on although it is private: each name by who needs it.

Everything here runs over `memory://`; what belongs to one transport is tested with that transport.
"""

from __future__ import annotations

import copy
import gc
import importlib
import itertools
import logging
import operator
import pickle
import socket
import threading
import uuid as uuid_module
import weakref
from collections import deque

import amqp
import pytest
import vine

import kombu
import kombu.connection
import kombu.messaging
from kombu import Connection, Consumer, Exchange, Producer, Queue, pools
from kombu.asynchronous import ERR, READ, WRITE, Hub, get_event_loop, set_event_loop
from kombu.asynchronous.semaphore import DummyLock, LaxBoundedSemaphore
from kombu.asynchronous.timer import Entry, Timer, to_timestamp
from kombu.clocks import LamportClock, timetuple
from kombu.common import QoS, eventloop, ignore_errors, maybe_declare, oid_from
from kombu.mixins import ConsumerMixin
from kombu.pidbox import Mailbox, Node
from kombu.transport import TRANSPORT_ALIASES, base, memory, virtual
from kombu.utils import functional, limits, objects, url


@pytest.fixture
def connection():
    vhost = f'ring2-{uuid_module.uuid4()}'
    with Connection(f'memory:///{vhost}') as connection:
        yield connection
    memory.Transport.global_state.remove(vhost)


@pytest.fixture
def queue(connection):
    return Queue('ring2', Exchange('ring2'), 'ring2')


def drain(connection):
    try:
        while True:
            connection.drain_events(timeout=0)
    except TimeoutError:
        pass


class TestCeleryTearDown:
    """`celery.utils.threads` looks for open sockets before it forks."""

    def test_the_channels_of_a_transport_are_a_list_of_plain_objects(self, connection):
        channel = connection.channel()
        channels = connection.transport.channels
        assert isinstance(channels, list)
        assert channel in channels
        for each in channels:
            # Clients of a store are looked for here, not by getattr, which could connect.
            assert {'client', 'subclient'}.isdisjoint(vars(each))

    def test_the_socket_of_a_connection(self, connection):
        connection.connect()
        assert connection._connection is connection.connection
        with pytest.raises(AttributeError):
            _ = connection._connection._transport.sock

    def test_a_channel_leads_to_its_connection(self, connection):
        assert connection.channel().connection.client is connection


class TestCeleryWorker:
    def test_consuming_is_stopped_on_a_live_ledger(self, connection, queue):
        """`worker_disable_prefetch` puts a bound method there."""
        got = []
        with connection.Consumer([queue], on_message=got.append) as consumer:
            ledger = consumer.channel.qos
            original = ledger.can_consume

            def can_consume(self):
                return False

            ledger.can_consume = can_consume.__get__(ledger, type(ledger))
            connection.Producer().publish('x', exchange=queue.exchange, routing_key='ring2')
            drain(connection)
            assert got == []
            ledger.can_consume = original
            drain(connection)
        assert len(got) == 1

    def test_the_ledger_class_is_replaced(self, connection, queue, monkeypatch):
        """Its tests set `restore_at_shutdown` on the class; drivers bring their own class."""
        assert virtual.QoS.restore_at_shutdown is True

        class Counting(virtual.QoS):
            acked = 0

            def ack(self, delivery_tag):
                type(self).acked += 1
                super().ack(delivery_tag)

        monkeypatch.setattr(memory.Channel, 'QoS', Counting)
        channel = connection.channel()
        queue(channel).declare()
        Producer(channel, queue.exchange).publish('x', routing_key='ring2')
        queue(channel).get().ack()
        assert isinstance(channel.qos, Counting)
        assert Counting.acked == 1

    def test_locks_are_replaced(self):
        clock = LamportClock()
        clock.mutex = DummyLock()
        assert (clock.forward(), clock.adjust(9)) == (1, 10)
        calls = []

        def tell(prefetch_count):
            calls.append(prefetch_count)

        qos = QoS(tell, 2, max_prefetch=3)
        qos._mutex = DummyLock()
        with qos._mutex:
            pass
        qos.increment_eventually(5)
        qos.update()
        assert (qos.value, qos.prev, calls) == (3, 3, [3])
        qos.decrement_eventually(1)
        qos.set(qos.value)
        assert calls == [3, 2]
        qos.value = 7
        assert qos.value == 7

    def test_timetuples_order_and_the_clock_sorts_a_heap(self):
        tuples = [timetuple(clock, 1.0, f'id{clock}', object()) for clock in (3, 1, 2)]
        assert [t[0] for t in sorted(tuples)] == [1, 2, 3]
        assert LamportClock(5).value == 5
        assert str(LamportClock(5)) == '5'
        assert LamportClock().sort_heap([(1, 'a'), (2, 'b')])

    def test_settling_with_logging_is_a_bound_method_of_a_message(self, connection, queue):
        """Prefork's shutdown tells acknowledgements among the callbacks of the loop by that."""
        queue(connection.channel()).declare()
        connection.Producer().publish('x', exchange=queue.exchange, routing_key='ring2')
        message = queue(connection.channel()).get()
        for name in ('ack_log_error', 'reject_log_error'):
            method = getattr(message, name)
            assert method.__func__.__name__ == name
            assert isinstance(vine.promise(method).fun.__self__, kombu.message.Message)
        message.reject_log_error(logger=logging.getLogger(), errors=(Exception,))
        assert message.acknowledged

    def test_the_positional_shape_of_a_message(self):
        """Its tests make messages of `kombu.transport.base` by keyword."""
        message = base.Message(
            body='{}',
            channel=None,
            content_type='application/json',
            content_encoding='utf-8',
            delivery_info={'exchange': 'e'},
        )
        assert message.payload == {}
        assert type(message.headers) is dict
        with pytest.raises(KeyError):
            _ = message.headers['task']

    def test_a_broken_connection_is_told_by_errors_that_add_up(self, connection):
        errors = connection.connection_errors + connection.channel_errors
        assert all(issubclass(error, BaseException) for error in errors)
        assert set(connection.recoverable_connection_errors) <= set(errors)

    def test_failing_over_round_robin_is_itertools_cycle(self):
        connection = Connection('memory://', failover_strategy=None)
        assert connection.failover_strategy == itertools.cycle
        assert connection.alt == []
        assert next(Connection('memory://;memory://b').cycle) is not None

    def test_five_arguments_by_position(self):
        connection = Connection('host', 'user', 'secret', 'vhost', 1234, transport='memory')
        info = connection.info()
        assert (info['hostname'], info['userid'], info['port']) == ('host', 'user', 1234)
        assert (info['virtual_host'], info['transport']) == ('vhost', 'memory')
        assert info.pop('password') == 'secret'
        assert 'alternates' in info
        assert isinstance(connection.transport_cls, str)
        assert 'secret' not in connection.as_uri()
        assert 'secret' in connection.as_uri(include_password=True)

    def test_what_it_asks_a_connection(self, connection):
        connection.ensure_connection(print, 3, callback=None)
        assert connection.supports_exchange_type('fanout')
        assert connection.qos_semantics_matches_spec is False
        assert connection.supports_heartbeats is False
        assert connection.get_heartbeat_interval() == 0
        assert connection.heartbeat_check(2.0) is None
        assert getattr(connection, 'requires_hub', None) in (None, False)
        assert connection.manager.get_bindings() == []
        assert connection.default_channel.is_open
        assert connection.transport.implements.asynchronous is False
        assert connection.transport.driver_type == connection.transport.driver_name == 'memory'
        connection.collect(socket_timeout=0.1)

    def test_errors_become_the_librarys_own(self, connection):
        with pytest.raises(kombu.exceptions.OperationalError, match='broken'):
            with connection._reraise_as_library_errors():
                raise connection.connection_errors[0]('broken')

    def test_its_tests_patch_names_where_they_are_used(self, connection, monkeypatch):
        called = []

        def retry_over_time(fun, *args, **kwargs):
            called.append(fun)
            return fun()

        monkeypatch.setattr(kombu.connection, 'retry_over_time', retry_over_time)
        connection.ensure_connection(None, 1)
        assert called or connection.connected
        monkeypatch.setattr(functional, 'sleep', called.append)
        with pytest.raises(KeyError):
            functional.retry_over_time({}.__getitem__, KeyError, ('x',), max_retries=1)
        monkeypatch.setattr(Connection, '_establish_connection', lambda self: called.append('made'))
        Connection('memory://').connect()
        assert called[-1] == 'made'

    def test_it_clears_all_queues_between_tests(self, connection, queue):
        queue(connection.channel()).declare()
        assert queue.name in memory.Channel.queues
        memory.Channel.queues.clear()
        assert queue.name not in memory.Channel.queues

    def test_a_queue_declaration_is_patched_on_the_virtual_channel(self, connection, monkeypatch):
        declared = []
        monkeypatch.setattr(
            virtual.Channel, 'queue_declare', lambda self, **options: declared.append(options)
        )
        connection.channel().queue_declare(queue='q', durable=True)
        assert declared == [{'queue': 'q', 'durable': True}]


class TestPools:
    @pytest.fixture(autouse=True)
    def clean(self):
        yield
        pools.reset()

    def test_a_walk_from_producers_to_the_transport(self, connection):
        producers = pools.producers[connection]
        assert producers.connections.connection.transport.driver_type == 'memory'
        producers.limit = 3
        assert producers.limit == 3
        with producers.acquire(block=True, timeout=1) as producer:
            assert producer.connection.transport.driver_type == 'memory'

    def test_the_key_of_a_pool(self, connection):
        """nameko looks for its virtual host at position 4."""
        pool = pools.connections[connection]
        [(key, found)] = [(k, p) for k, p in pools.connections.items() if p is pool]
        key = tuple(key)
        assert found is pool
        assert key[4] == connection.virtual_host
        assert key[0] == 'memory'
        pool.force_close_all()

    def test_what_tests_look_into(self, connection):
        pool = pools.connections[connection]
        with pool.acquire() as acquired:
            assert acquired in pool._dirty
        assert len(pool._resource.queue)
        assert pool.connection is not None
        with pool.acquire_channel(block=True) as (pooled, channel):
            assert channel.connection.client is pooled

    def test_the_names_at_the_top(self, connection):
        """taskflow: `kombu.connections`."""
        with kombu.connections[connection].acquire(block=True) as acquired:
            assert acquired.connection is not None
        assert kombu.connections[connection] is pools.connections[connection]
        assert kombu.producers[connection] is pools.producers[connection]

    def test_the_limit_of_all(self):
        before = pools.get_limit()
        try:
            pools.set_limit(before + 1)
            assert pools.get_limit() == before + 1
        finally:
            pools.set_limit(before)

    def test_a_pool_group_of_ones_own(self, connection):
        group = pools.register_group(pools.Connections(limit=2))
        pool = group[connection]
        assert pools.ProducerPool(pool).connections is pool
        pool.resize(1, reset=True)
        for name in ('release_resource', 'close_resource', 'setup', 'prepare'):
            assert callable(getattr(pool, name))
        pool.force_close_all()

    def test_too_many(self, connection):
        pool = connection.Pool(1)
        with pool.acquire(), pytest.raises(kombu.exceptions.LimitExceeded):
            pool.acquire(block=True, timeout=0.01)


class TestTracers:
    """Agents wrap methods, and read what they are called with."""

    def test_ddtrace(self, connection, queue, monkeypatch):
        """Reads the arguments of `_publish` by position, and `message.channel.connection`."""
        seen = []
        publish, receive = Producer._publish, Consumer.receive

        def traced_publish(self, *args, **kwargs):
            seen.append((args[0], args[4]['h'], args[6], args[9]))
            return publish(self, *args, **kwargs)

        def traced_receive(self, *args, **kwargs):
            body, message = args
            seen.append((body, message.channel.connection.client.virtual_host))
            return receive(self, *args, **kwargs)

        monkeypatch.setattr(Producer, '_publish', traced_publish)
        monkeypatch.setattr(Consumer, 'receive', traced_receive)
        kombu._datadog_patch = True
        del kombu._datadog_patch
        for options in ({}, {'retry': True}, {'timeout': 5}):
            connection.Producer().publish(
                {'n': 1},
                exchange=queue.exchange,
                routing_key='ring2',
                headers={'h': 1},
                declare=[queue],
                **options,
            )
        with connection.Consumer([queue], callbacks=[lambda body, message: message.ack()]):
            drain(connection)
        assert seen[:3] == [('{"n": 1}', 1, 'ring2', 'ring2')] * 3
        assert seen[3:] == [({'n': 1}, connection.virtual_host)] * 3

    def test_newrelic(self, connection, queue, monkeypatch):
        """Calls `publish` again with every argument by name, and wraps `_receive_callback`."""
        queue(connection.channel()).declare()
        producer = connection.Producer()
        producer.publish(
            body={'n': 1},
            routing_key='ring2',
            delivery_mode=None,
            mandatory=False,
            immediate=False,
            priority=0,
            content_type=None,
            content_encoding=None,
            serializer=None,
            headers=None,
            compression=None,
            exchange=queue.exchange,
            retry=False,
            retry_policy=None,
            declare=None,
            expiration=None,
            timeout=None,
            confirm_timeout=None,
            correlation_id='c',
        )
        seen = []
        receive = Consumer._receive_callback

        def traced(self, message):
            seen.append((self.connection.transport.driver_name, message.properties))
            return receive(self, message)

        monkeypatch.setattr(Consumer, '_receive_callback', traced)
        with connection.Consumer([queue], callbacks=[print]):
            drain(connection)
        assert seen[0][0] == 'memory'
        assert seen[0][1]['correlation_id'] == 'c'
        assert callable(kombu.messaging.dumps)
        assert callable(kombu.serialization.loads)

    def test_sentry(self, connection, queue, monkeypatch):
        """Assigns `kombu.Producer.publish`, and asks for `self.connection.transport`."""
        seen = []
        publish = kombu.Producer.publish

        def traced(self, *args, **kwargs):
            seen.append(self.connection.transport.driver_type)
            return publish(self, *args, **kwargs)

        monkeypatch.setattr(kombu.Producer, 'publish', traced)
        connection.Producer().publish('x', routing_key='nobody')
        assert seen == ['memory']

    def test_wrapped_classes_are_those_that_are_used(self, connection, monkeypatch):
        class Traced(kombu.messaging.Producer):
            pass

        monkeypatch.setattr(kombu.messaging, 'Producer', Traced)
        assert isinstance(connection.channel().Producer(), Traced)


class TestOslo:
    def test_what_it_sets_and_reads(self, connection):
        connection.connect()
        connection.transport.polling_interval = 0.5
        assert connection.transport.polling_interval == 0.5
        connection.hostname = 'other'
        connection.port = 1
        assert connection.info()['hostname'] == 'other'
        with pytest.raises(AttributeError):
            _ = connection.channel().connection.sock
        assert issubclass(connection.recoverable_connection_errors[0], Exception)
        assert isinstance(connection.recoverable_channel_errors, tuple)

    def test_trying_again_gives_the_result_and_the_channel(self, connection):
        revived, errors, calls = [], [], []

        def work(channel):
            calls.append(channel)
            if len(calls) == 1:
                raise connection.recoverable_connection_errors[0]('broken')
            return 'done'

        fun = connection.autoretry(
            work,
            channel=None,
            max_retries=3,
            errback=lambda exc, interval: errors.append((str(exc), interval)),
            interval_start=0,
            interval_step=0,
            on_revive=revived.append,
        )
        result, channel = fun()
        assert result == 'done'
        assert channel is calls[-1] is revived[-1]
        assert 'broken' in errors[0][0]

    def test_entities_with_their_channel(self, connection):
        channel = connection.channel()
        exchange = kombu.entity.Exchange(
            name='oslo', type='topic', durable=False, auto_delete=True, passive=False
        )
        exchange(channel).declare()
        exchange.durable = exchange.auto_delete = True
        queue = kombu.entity.Queue(
            name='oslo',
            channel=channel,
            exchange=Exchange('oslo', 'topic', durable=False, auto_delete=True),
            durable=False,
            auto_delete=True,
            routing_key='k',
            queue_arguments={},
            consumer_arguments={},
        )
        queue.declare()
        raw = []
        queue.consume('tag', raw.append, nowait=False)
        producer = kombu.messaging.Producer(channel=channel, on_return=lambda *args: None)
        producer.publish('x', exchange='oslo', routing_key='k', mandatory=True, expiration=10)
        drain(connection)
        assert channel.message_to_python(raw[0]).payload == 'x'
        queue.cancel('tag')

    def test_timing_out(self, connection):
        with pytest.raises(socket.timeout):
            connection.drain_events(timeout=0.001)

    def test_closing_what_may_be_closed(self, connection):
        channel = connection.channel()
        connection.maybe_close_channel(channel)
        connection.maybe_close_channel(channel)
        connection.maybe_switch_next()
        assert kombu.connection.BrokerConnection is Connection

    def test_what_it_replaces(self, connection, monkeypatch):
        for name in ('_connection_factory', '_establish_connection', 'connected'):
            assert hasattr(Connection, name)
        seen = []
        channel = connection.channel()
        original = channel.message_to_python
        monkeypatch.setattr(
            channel, 'message_to_python', lambda raw: seen.append(raw) or original(raw)
        )
        channel.queue_declare('q')
        got = []
        Consumer(channel, [Queue('q')], on_message=got.append).consume()
        channel.basic_publish(channel.prepare_message('x'), '', 'q')
        drain(connection)
        assert len(got) == len(seen) == 1


class TestOtherApplications:
    def test_taskflow(self, connection, queue):
        """A connection where a channel is asked for; settling by keyword; ensure."""
        bound = Queue('t', exchange=Exchange('t'), routing_key='t', channel=connection)
        producer = connection.Producer()
        publish = connection.ensure(
            producer, producer.publish, errback=print, max_retries=3, interval_start=0
        )
        publish(
            body={'x': 1},
            exchange=bound.exchange,
            routing_key='t',
            type='REQUEST',
            reply_to='r',
            correlation_id='c',
            declare=[bound],
        )
        got = []
        with connection.Consumer(queues=bound, callbacks=[lambda body, m: got.append(m)]):
            drain(connection)
        [message] = got
        assert message.properties['type'] == 'REQUEST'
        assert message.properties['reply_to'] == 'r'
        message.ack_log_error(logger=logging.getLogger(), errors=(Exception,))
        with pytest.raises(kombu.exceptions.MessageStateError):
            message.ack()
        assert connection.transport.driver_version()

    def test_nameko(self, connection):
        """NO_ROUTE in the text; a closed channel has a false connection."""
        producer = connection.Producer()
        with pytest.raises(kombu.exceptions.ChannelError, match='NO_ROUTE'):
            producer.publish('x', exchange='', routing_key='nobody', mandatory=True)
        queue = Queue('nameko')
        producer.publish('x', routing_key='nameko', declare=[queue])
        channel = connection.channel()
        message = queue(channel).get()
        assert message.channel.connection
        channel.close()
        assert not message.channel.connection

    def test_mozilla_pulse_and_invenio(self, connection):
        queue = Queue('pulse', Exchange('pulse', 'topic'), '#')(connection)
        queue.declare()
        queue.bind_to('amq.topic', 'a.#')
        assert queue.queue_declare(passive=True)[1] == 0
        assert queue.purge() == 0
        consumer = connection.Consumer(queue, auto_declare=False, callbacks=[print])
        consumer.queues[0].queue_declare()
        consumer.queues[0].queue_bind()
        queue.delete()
        with pytest.raises(kombu.exceptions.ChannelError) as caught:
            queue.queue_declare(passive=True)
        assert str(caught.value.reply_code) == '404'

    def test_galaxy(self, connection):
        queue = Queue('galaxy', bindings=[kombu.binding(Exchange('galaxy'), routing_key='g')])
        queue(connection.channel()).declare()
        connection.Producer().publish('x', exchange='galaxy', routing_key='g')
        assert queue(connection.channel()).get().payload == 'x'
        assert len(kombu.uuid()) == 36

    def test_dvc_task(self):
        """Makes messages of what it finds in files."""
        payload = {
            'body': 'e30=',
            'content-type': 'application/json',
            'content-encoding': 'utf-8',
            'headers': {},
            'properties': {'body_encoding': 'base64', 'delivery_tag': 'tag', 'delivery_info': {}},
        }
        with Connection('memory://') as connection:
            channel = connection.channel()
            message = channel.Message(payload, channel=channel)
            assert (message.delivery_tag, message.payload) == ('tag', {})
        assert isinstance(kombu.VERSION.major, int)
        assert kombu.VERSION >= (5, 7, 0)

    def test_a_mixin_whose_connection_is_made_each_time(self, connection):
        got = []
        queue = Queue('mixin')
        connection.Producer().publish('x', routing_key='mixin', declare=[queue])

        class Worker(ConsumerMixin):
            @property
            def connection(self):
                return connection.clone()

            def get_consumers(self, Consumer, channel):
                return [Consumer([queue], callbacks=[self.on_task])]

            def on_task(self, body, message):
                got.append(body)
                message.ack()
                self.should_stop = True

            def on_consume_ready(self, connection, channel, consumers, wakeup=True, **kwargs):
                got.append(wakeup)

        list(Worker().consume(limit=1, timeout=1, wakeup=False))
        assert got == [False, 'x']


class TestHub:
    @pytest.fixture
    def hub(self):
        hub = Hub()
        yield hub
        hub.close()

    def test_what_it_has(self, hub):
        assert (hub.readers, hub.writers) == ({}, {})
        assert hub.consolidate == set()
        assert hub.on_tick == set()
        hub.consolidate_callback = print
        hub.propagate_errors = (KeyError,)
        assert hub.poller is not None
        assert isinstance(hub.timer, Timer)
        assert isinstance(hub.timer.queue, (list, deque)) or list(hub.timer.queue) == []
        for flag in (READ, WRITE, ERR):
            assert isinstance(flag, int)

    def test_callbacks_that_are_ready(self, hub):
        called = []
        promise = hub.call_soon(called.append, 1)
        assert promise.fun == called.append
        assert [p.fun for p in hub._ready] == [called.append]
        for ready in hub._pop_ready():
            ready()
        assert called == [1]

    def test_one_turn_of_the_loop(self, hub):
        called = []
        hub.on_tick.add(lambda: called.append('tick'))
        hub.call_soon(called.append, 'soon')
        hub.call_later(0, called.append, 'later')
        loop = hub.create_loop()
        for _ in range(3):
            next(loop)
        assert {'tick', 'soon', 'later'} <= set(called)

    def test_a_generator_may_be_a_reader(self, hub):
        got = []

        def reader():
            while True:
                got.append(ours.recv(10))
                yield

        ours, theirs = socket.socketpair()
        with ours, theirs:
            generator = reader()
            hub.add(ours.fileno(), generator, READ)
            assert hub.readers[ours.fileno()][0] is generator
            theirs.send(b'x')
            loop = hub.create_loop()
            for _ in range(2):
                next(loop)
            assert got == [b'x']
            hub.remove(ours.fileno())
            assert hub.readers == {}

    def test_what_tests_replace_is_looked_up_on_the_object(self, hub):
        fired = []
        hub.fire_timers = lambda **kwargs: fired.append(kwargs) or 0
        hub.propagate_errors = (KeyError,)
        hub.call_later(0, print)
        next(hub.create_loop())
        assert fired
        assert fired[0].get('propagate') == (KeyError,)

    def test_errors_of_callbacks(self, hub):
        seen = []
        hub.on_callback_error = lambda callback, exc: seen.append(exc)
        hub.call_later(0, operator.truediv, 1, 0)
        next(hub.create_loop())
        assert [type(exc) for exc in seen] in ([], [ZeroDivisionError])

    def test_the_global_one(self, hub):
        before = get_event_loop()
        try:
            assert set_event_loop(hub) is hub
            assert get_event_loop() is hub
        finally:
            set_event_loop(before)

    def test_readers_and_writers_by_name(self, hub):
        ours, theirs = socket.socketpair()
        with ours, theirs:
            hub.add_reader(ours, print)
            hub.add_writer(ours, print)
            assert ours.fileno() in hub.readers
            assert ours.fileno() in hub.writers
            hub.remove_reader(ours)
            hub.remove_writer(ours)
            assert not hub.readers
            assert not hub.writers
        hub.reset()


class TestTimer:
    def test_what_is_scheduled(self):
        timer = Timer(max_interval=1)
        entry = timer.call_after(60, print, ('x',), {'end': ''})
        [scheduled] = timer.queue
        assert scheduled.entry is entry
        assert entry.args == ('x',)
        assert (scheduled.eta, scheduled.priority) == (scheduled[0], scheduled[1])
        assert timer.schedule is timer
        assert timer.schedule.queue[0].entry.args[0] == 'x'
        assert len({entry}) == len(timer) == 1
        entry.cancel()
        assert entry.canceled
        assert entry.tref is entry or entry.tref is not None
        timer.clear()
        timer.stop()

    def test_what_subclasses_replace(self):
        entered = []

        class Green(Timer):
            def _enter(self, eta, priority, entry, **kwargs):
                entered.append((eta, priority, entry))
                return entry

        timer = Green()
        entry = timer.enter_after(1.0, Entry(print), 5)
        assert entered[0][1:] == (5, entry)
        assert to_timestamp(5) == 5


def test_the_semaphore():
    semaphore = LaxBoundedSemaphore(1)
    called = []
    semaphore.acquire(called.append, 1)
    semaphore.acquire(called.append, 2)
    assert called == [1]
    semaphore.release()
    assert called == [1, 2]
    semaphore.grow(2)
    semaphore.shrink(1)
    semaphore.clear()
    assert semaphore.value == 2


class TestPidbox:
    def test_broadcasting_by_position(self, connection):
        mailbox = Mailbox('ring2', type='fanout', accept=['json'], serializer='json')(connection)
        handled = []
        node = mailbox.Node('worker', handlers={'ping': lambda state, **kw: handled.append(kw)})
        node.channel = connection.channel()
        consumer = node.listen(callback=node.handle_message)
        assert mailbox._broadcast('ping', {'x': 1}, None, False, 0.01, None, None) is None
        drain(connection)
        assert handled == [{'x': 1}]
        consumer.cancel()

    def test_a_node_is_subclassed(self):
        class Own(Node):
            def dispatch(self, method, arguments=None, reply_to=None, ticket=None, **kwargs):
                return method

        node = Own(hostname='h', state=None, handlers={}, mailbox=Mailbox('m'), channel=None)
        assert node.dispatch('x') == 'x'
        assert node.handle is not None
        assert node.reply is not None

    def test_its_producer_pool_can_be_deleted(self):
        pool = functional.lazy(lambda: 'pool')
        mailbox = Mailbox('m', producer_pool=pool, queue_ttl=1, queue_expires=2, reply_queue_ttl=3)
        assert mailbox.producer_pool == 'pool'
        del mailbox.producer_pool
        assert (mailbox.namespace, mailbox.serializer) == ('m', None)
        assert mailbox.queue_durable in (True, False)
        assert mailbox.queue_exclusive in (True, False)


class TestSerialization:
    def test_the_registry(self):
        registry = kombu.serialization.registry
        content_type, encoding, encoder = registry._encoders['json']
        assert (content_type, encoding) == ('application/json', 'utf-8')
        assert encoder({'a': 1}) == '{"a": 1}'
        assert registry.name_to_type['json'] == 'application/json'
        assert registry.type_to_name['application/json'] == 'json'
        assert 'application/json' in registry._decoders
        assert isinstance(registry._disabled_content_types, set)
        registry._set_default_serializer('yaml')
        try:
            assert kombu.serialization.dumps({'a': 1})[0] == 'application/x-yaml'
        finally:
            registry._set_default_serializer('json')

    def test_pickle_is_there_by_name(self):
        serialization = kombu.serialization
        data = serialization.pickle.dumps({'a': 1}, protocol=serialization.pickle_protocol)
        assert serialization.unpickle(data) == {'a': 1}


class TestUtilities:
    def test_uuid_is_the_function_and_the_module(self):
        from kombu.utils import uuid
        from kombu.utils.uuid import uuid as again

        assert uuid is again
        assert callable(uuid)
        assert importlib.import_module('kombu.utils.uuid').uuid is uuid

    @pytest.mark.parametrize(
        'name', ['cached_property', 'symbol_by_name', 'uuid', 'json', 'reprcall', 'maybe_list']
    )
    def test_the_package_has_the_names_of_its_modules(self, name):
        assert hasattr(kombu.utils, name)

    def test_names_with_an_underscore(self):
        assert url._parse_url is url.url_to_parts
        assert len(url._parse_url('redis://u:p@h:1/0?a=b')) == 7
        compat = importlib.import_module('kombu.utils.compat')
        assert compat._detect_environment() == compat.detect_environment() == 'default'

    def test_cached_property_is_set_and_deleted(self):
        class Thing:
            @objects.cached_property
            def made(self):
                return 1

            @made.setter
            def made(self, value):
                return value * 2

            @made.deleter
            def made(self, value):
                deleted.append(value)

        deleted = []
        thing = Thing()
        assert thing.made == 1
        thing.made = 5
        assert thing.made == 10
        del thing.made
        assert deleted == [10]
        assert thing.made == 1
        assert isinstance(Thing.made, objects.cached_property)

    def test_lazy_is_subclassed(self):
        class Memoized(functional.lazy):
            evaluated = False

            def evaluate(self):
                self.evaluated = True
                return super().evaluate()

        lazy = Memoized(operator.add, 1, 2)
        assert functional.maybe_evaluate(lazy) == 3
        assert lazy.evaluated

    def test_the_error_handler_decides_how_long_to_sleep(self, monkeypatch):
        slept, seen = [], []
        monkeypatch.setattr(functional, 'sleep', slept.append)

        def errback(exc, intervals, retries):
            seen.append((next(intervals), retries))
            return 0.25

        with pytest.raises(KeyError):
            functional.retry_over_time({}.__getitem__, KeyError, ('x',), {}, errback, max_retries=2)
        assert sum(slept) == 0.25 * len(seen)
        assert [retries for _, retries in seen] == sorted(retries for _, retries in seen)

    def test_the_bucket(self):
        bucket = limits.TokenBucket(10, capacity=2)
        bucket.add('x')
        bucket.contents.appendleft('y')
        assert bucket.pop() == 'y'
        assert bucket.can_consume(1)
        assert bucket.expected_time(1) >= 0
        bucket.clear_pending()
        assert not bucket.contents

    def test_others(self, connection):
        assert oid_from(connection, threads=True)
        with ignore_errors(connection):
            raise connection.connection_errors[0]
        assert list(eventloop(connection, limit=1, timeout=0.01, ignore_timeouts=True)) == []
        assert maybe_declare(Queue('q'), connection.channel(), retry=False) in (True, False)
        cache = functional.LRUCache(limit=2)
        cache.update(a=1, b=2, c=3)
        assert list(cache.data) == ['b', 'c']


class TestIdentity:
    def test_of_exceptions(self):
        assert kombu.exceptions.ConnectionError is amqp.ConnectionError
        assert kombu.exceptions.ChannelError is amqp.ChannelError
        assert kombu.exceptions.TimeoutError is socket.timeout
        assert issubclass(kombu.exceptions.OperationalError, kombu.exceptions.KombuError)

    def test_exceptions_are_there_after_import_kombu(self):
        assert kombu.exceptions.OperationalError

    def test_the_aliases_are_one_plain_dict(self, monkeypatch):
        import kombu.transport

        assert kombu.transport.TRANSPORT_ALIASES is TRANSPORT_ALIASES
        assert type(TRANSPORT_ALIASES) is dict
        monkeypatch.setitem(TRANSPORT_ALIASES, 'ring2', 'kombu.transport.memory:Transport')
        assert Connection('ring2://').transport.driver_type == 'memory'

    def test_public_names_that_people_replace(self):
        assert virtual.Base64().decode(virtual.Base64().encode(b'x')) == b'x'
        assert virtual.binding_key_t('q', 'e', 'k').queue == 'q'
        assert virtual.Transport.polling_interval == 1.0
        assert virtual.base.ARRAY_TYPE_H == 'H'


class TestCopies:
    """Processes send these to each other."""

    @pytest.mark.parametrize('protocol', range(2, pickle.HIGHEST_PROTOCOL + 1))
    @pytest.mark.parametrize(
        'make',
        [
            lambda: Exchange('e', 'topic', durable=False, arguments={'a': 1}),
            lambda: Queue('q', Exchange('e'), 'k', queue_arguments={'x-max-length': 1}, alias='a'),
            lambda: Queue('q', bindings=[kombu.binding(Exchange('e'), 'k')]),
            lambda: Connection('memory:///v', transport_options={'strict': True}),
        ],
    )
    def test_pickled(self, make, protocol):
        thing = make()
        again = pickle.loads(pickle.dumps(thing, protocol=protocol))
        assert type(again) is type(thing)
        assert again == thing or again.as_uri() == thing.as_uri()

    def test_a_bound_one_is_pickled_unbound(self, connection):
        queue = Queue('q', Exchange('e'), 'k')(connection.channel())
        assert not pickle.loads(pickle.dumps(queue)).is_bound

    @pytest.mark.parametrize('name', kombu.exceptions.__all__)
    def test_exceptions(self, name):
        exception = getattr(kombu.exceptions, name)
        if not (isinstance(exception, type) and issubclass(exception, BaseException)):
            pytest.skip('no exception')
        error = exception('text')
        again = pickle.loads(pickle.dumps(error))
        assert type(again) is exception
        assert str(again) == str(error)

    def test_lazies(self):
        lazy = functional.lazy(operator.add, 1, 2)
        assert pickle.loads(pickle.dumps(lazy))() == 3

    def test_an_exchange_is_copied_and_changed(self):
        exchange = Exchange('e', 'topic')
        other = copy.copy(exchange)
        other.name = 'other'
        assert (exchange.name, other.name, other.type) == ('e', 'other', 'topic')

    def test_queues_in_weak_collections(self):
        aliases = weakref.WeakValueDictionary()
        queue = Queue('q')
        aliases['a'] = queue
        assert aliases['a'] is queue
        del queue
        gc.collect()
        assert 'a' not in aliases

    def test_an_exchange_without_a_name_is_none(self):
        assert Exchange(None).name == Queue('q').exchange.name == ''
        assert Queue('q').exchange == Exchange('')
        assert '{.exchange.name}'.format(Queue('q', Exchange('e'))) == 'e'

    def test_a_queue_of_a_dict(self):
        queue = Queue.from_dict(
            'q', exchange='e', exchange_type='topic', binding_key='k', expires=5
        )
        assert (queue.exchange.name, queue.exchange.type) == ('e', 'topic')
        assert (queue.routing_key, queue.expires) == ('k', 5)
        assert queue.as_dict(recurse=True)['exchange']['name'] == 'e'

    def test_entities_that_are_never_cached(self, connection):
        class NotCached(Queue):
            can_cache_declaration = False

        channel = connection.channel()
        queue = NotCached('q')
        maybe_declare(queue, channel)
        assert not queue.can_cache_declaration


class TestSubclasses:
    """kombu-pyamqp-threadsafe and dramatiq-kombu-broker."""

    def test_connections(self):
        class Own(Connection):
            def _establish_connection(self):
                established.append(1)
                return super()._establish_connection()

        established = []
        connection = Own('memory://')
        connection.connect()
        for name in (
            '_closed',
            '_connection',
            '_transport',
            '_default_channel',
            '_debug',
            '_ensure_connection',
            '_do_close_self',
            '_close',
            '_connection_factory',
            '_extract_failover_opts',
            '_info',
        ):
            assert hasattr(connection, name), name
        assert established == [1]
        assert dict(connection._info(resolve=False))['transport'] == 'memory'
        assert connection.transport.verify_connection(connection.connection)
        connection.release()

    def test_producers(self, connection):
        producer = connection.Producer()
        producer.__connection__  # noqa: B018 - read by name in their code
        assert producer._channel is not None
        assert isinstance(Producer(connection.channel(), Exchange('e'), 'k'), Producer)


def test_threads_name_themselves_in_oids(connection):
    ids = {oid_from(connection, threads=True)}
    thread = threading.Thread(target=lambda: ids.add(oid_from(connection, threads=True)))
    thread.start()
    thread.join()
    assert len(ids) == 2
