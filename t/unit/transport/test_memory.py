"""What only the reference broker has; the conformance suite has what it shares with others."""

from __future__ import annotations

import threading
import time

import pytest

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.exceptions import TimeoutError
from kombu.testing.memory import ManualClock, MemoryBroker
from kombu.transport.memory import Channel, Transport


@pytest.fixture
def broker():
    with MemoryBroker() as broker:
        yield broker


@pytest.fixture
def connection(broker):
    with broker.connection() as connection:
        yield connection


def publish(connection, queue, *bodies, **properties):
    producer = connection.Producer()
    for body in bodies:
        producer.publish(body, routing_key=queue.name, declare=[queue], **properties)


def payloads(broker, queue):
    return [message.payload for message in broker.messages(queue)]


class test_time:
    def test_an_hour_to_live_takes_no_time_at_all(self, broker, connection):
        publish(connection, Queue('q', message_ttl=3600), 'x')
        broker.advance(3599.9)
        assert payloads(broker, 'q') == ['x']
        broker.advance(0.2)
        assert payloads(broker, 'q') == []

    def test_a_delayed_message_arrives_when_it_is_due(self, broker, connection):
        exchange = Exchange('late', 'x-delayed-message', arguments={'x-delayed-type': 'topic'})
        queue = Queue('q', exchange, '#')
        producer = connection.Producer(exchange=exchange)
        for n, delay in enumerate([60_000, 30_000, 0]):
            producer.publish(n, routing_key='a', declare=[queue], headers={'x-delay': delay})
        seen = [payloads(broker, 'q')]
        for _ in range(2):
            broker.advance(30)
            seen.append(payloads(broker, 'q'))
        assert seen == [[2], [2, 1], [2, 1, 0]]

    def test_an_unused_queue_goes_but_a_used_one_stays(self, broker, connection):
        used, unused = Queue('used', expires=60), Queue('unused', expires=60)
        channel = connection.channel()
        for queue in (used, unused):
            queue(channel).declare()
        with Consumer(channel, [used], on_message=print):
            broker.advance(61)
            assert broker.queues() == ['used']
        broker.advance(59)
        assert broker.queues() == ['used']
        broker.advance(2)
        assert broker.queues() == []

    def test_reading_a_queue_keeps_it(self, broker, connection):
        queue = Queue('q', expires=60)(connection.channel())
        queue.declare()
        broker.advance(40)
        assert queue.get() is None
        broker.advance(40)
        assert broker.queues() == ['q']

    def test_expired_messages_reach_the_dead_letters_with_nobody_looking(self, broker, connection):
        dead = Queue('dead')
        arguments = {'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead'}
        dead(connection.channel()).declare()
        publish(connection, Queue('q', queue_arguments=arguments), 'x', expiration=5)
        broker.advance(6)
        [message] = broker.messages('dead')
        assert message.headers['x-death'][0]['reason'] == 'expired'

    def test_a_message_behind_a_lasting_one_expires_when_it_comes_to_the_head(
        self, broker, connection
    ):
        queue = Queue('q')
        publish(connection, queue, 'lasting')
        publish(connection, queue, 'short', expiration=1)
        broker.advance(2)
        assert payloads(broker, 'q') == ['lasting', 'short']
        queue(connection.channel()).get().ack()
        assert payloads(broker, 'q') == []

    def test_a_waiting_consumer_is_woken_when_time_brings_a_message(self):
        """With the system's clock: nothing polls, so the wait itself must end in time."""
        with MemoryBroker(clock=None) as broker:
            broker._broker.clock = __import__(
                'kombu.transport._memory_broker', fromlist=['SystemClock']
            ).SystemClock()
            with broker.connection() as connection:
                arguments = {'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead'}
                got = []
                with connection.Consumer([Queue('dead')], on_message=got.append):
                    publish(connection, Queue('q', queue_arguments=arguments), 'x', expiration=0.03)
                    started = time.monotonic()
                    connection.drain_events(timeout=5)
                assert 0.02 < time.monotonic() - started < 1
                assert got[0].payload == 'x'

    def test_the_clock_only_goes_forward(self):
        with pytest.raises(ValueError, match='forward'):
            ManualClock().advance(-1)


class test_a_look_inside:
    def test_looking_takes_nothing(self, broker, connection):
        queue = Queue('q')
        publish(connection, queue, {'a': 1}, {'a': 2})
        assert payloads(broker, 'q') == payloads(broker, 'q') == [{'a': 1}, {'a': 2}]

    def test_what_is_held_is_counted(self, broker, connection):
        queue = Queue('q')
        publish(connection, queue, 1, 2)
        message = queue(connection.channel()).get()
        assert (broker.unacked('q'), len(broker.messages('q'))) == (1, 1)
        message.ack()
        assert broker.unacked('q') == 0

    def test_bindings_and_consumers_are_listed(self, broker, connection):
        queue = Queue('q', Exchange('e'), 'k')
        with connection.Consumer([queue], on_message=print):
            assert broker.consumers('q') == 1
            assert broker.bindings() == [('e', 'k', 'q')]

    def test_a_queue_that_is_not_there_is_named(self, broker):
        with pytest.raises(KeyError, match='nope'):
            broker.messages('nope')


class test_faults:
    def test_what_a_cut_connection_held_goes_back_in_order(self, broker, connection):
        queue = Queue('q')
        publish(connection, queue, *range(4))
        victim = broker.connection()
        got = []
        consumer = victim.Consumer([queue], on_message=got.append)
        consumer.consume()
        for _ in range(3):
            victim.drain_events(timeout=1)
        broker.cut(victim)
        assert payloads(broker, 'q') == [0, 1, 2, 3]
        assert [m.headers.get('x-delivery-count') for m in broker.messages('q')] == [1, 1, 1, None]
        with pytest.raises(victim.connection_errors):
            victim.drain_events(timeout=1)
        with pytest.raises(victim.connection_errors):
            got[0].ack()

    def test_a_crashed_client_is_gone_with_its_exclusive_queue(self, broker, connection):
        victim = broker.connection()
        Queue('mine', exclusive=True)(victim.channel()).declare()
        broker.crash(victim)
        assert broker.queues() == []

    def test_the_client_of_a_cut_connection_connects_again(self, broker):
        victim = broker.connection()
        queue = Queue('q')
        publish(victim, queue, 1)
        broker.cut(victim)
        victim.Producer().publish(2, routing_key='q', retry=True, declare=[queue])
        assert payloads(broker, 'q') == [1, 2]


class test_waiting:
    def test_a_message_ends_the_wait_at_once(self, broker):
        waiter, other = broker.connection(), broker.connection()
        got = []
        waiter.Consumer([Queue('q')], on_message=got.append).consume()
        timer = threading.Timer(0.05, publish, (other, Queue('q'), 'x'))
        timer.start()
        started = time.monotonic()
        waiter.drain_events(timeout=10)
        timer.join()
        assert time.monotonic() - started < 2
        assert [m.payload for m in got] == ['x']

    def test_closing_ends_the_wait_of_another_thread(self, broker):
        waiter = broker.connection()
        waiter.Consumer([Queue('q')], on_message=print).consume()
        transport = waiter.transport
        timer = threading.Timer(0.05, broker.cut, (waiter,))
        timer.start()
        with pytest.raises(waiter.connection_errors):
            transport.drain_events(transport, timeout=10)
        timer.join()

    def test_credit_given_by_another_thread_ends_the_wait(self, broker, connection):
        publish(connection, Queue('q'), 1, 2)
        got = []
        with connection.Consumer([Queue('q')], on_message=got.append, prefetch_count=1):
            connection.drain_events(timeout=1)
            timer = threading.Timer(0.05, got[0].ack)
            timer.start()
            connection.drain_events(timeout=10)
            timer.join()
        assert [m.payload for m in got] == [1, 2]

    def test_waiting_costs_no_processor_time(self, broker, connection):
        connection.Consumer([Queue('q')], on_message=print).consume()
        before = time.process_time()
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.3)
        assert time.process_time() - before < 0.05


class test_threads:
    def test_threads_sharing_a_connection_are_served_their_own_channels(self, broker, connection):
        producer = Producer(connection)
        done, failures = [], []

        def work(name):
            try:
                with connection.channel() as channel:
                    queue, got = Queue(name), []
                    with Consumer(channel, [queue]) as consumer:
                        mine = threading.get_ident()

                        def on_message(message):
                            assert threading.get_ident() == mine
                            got.append(message.payload)
                            message.ack()

                        consumer.on_message = on_message
                        barrier.wait(10)
                        while len(got) < 200:
                            connection.drain_events(timeout=10)
                done.append(got)
            except BaseException as exc:
                failures.append(exc)
                raise

        barrier = threading.Barrier(7)
        threads = [threading.Thread(target=work, args=(f'q{n}',)) for n in range(6)]
        for thread in threads:
            thread.start()
        barrier.wait(10)
        for n in range(200):
            for q in range(6):
                producer.publish(n, routing_key=f'q{q}')
        for thread in threads:
            thread.join(30)
        assert not failures
        assert done == [list(range(200))] * 6

    def test_producers_in_threads_lose_nothing(self, broker, connection):
        queue = Queue('q')
        queue(connection.channel()).declare()

        def work():
            producer = Producer(connection.channel())
            for n in range(300):
                producer.publish(n, routing_key='q')

        threads = [threading.Thread(target=work) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(broker.messages('q')) == 1800


class test_hosts:
    def test_virtual_hosts_know_nothing_of_each_other(self):
        with MemoryBroker() as one, MemoryBroker() as other:
            with one.connection() as connection:
                publish(connection, Queue('q'), 'x')
            assert one.queues() == ['q']
            assert other.queues() == []

    def test_connections_of_one_process_share_a_host(self, broker):
        publish(broker.connection(), Queue('q'), 'x')
        assert Queue('q')(broker.connection().channel()).get().payload == 'x'

    def test_the_queues_of_all_hosts_can_be_cleared_at_once(self, broker, connection):
        """Test suites of task queues do this between tests."""
        publish(connection, Queue('q'), 'x')
        assert 'q' in Channel.queues
        Channel.queues.clear()
        assert broker.queues() == []

    def test_a_closed_broker_leaves_nothing_behind(self):
        before = len(Transport.global_state)
        with MemoryBroker() as broker:
            publish(broker.connection(), Queue('q'), 'x')
        assert len(Transport.global_state) == before


def test_many_idle_queues_do_not_slow_a_busy_one():
    """Looking for a message must not depend on how many queues are consumed from."""

    def seconds(idle):
        with MemoryBroker() as broker, broker.connection() as connection:
            channel = connection.channel()
            queues = [Queue(f'q{n}') for n in range(idle + 1)]
            with Consumer(channel, queues, on_message=lambda m: m.ack()):
                publish(connection, queues[0], *range(200))
                started = time.perf_counter()
                for _ in range(200):
                    connection.drain_events(timeout=1)
                return time.perf_counter() - started

    assert seconds(500) < 10 * seconds(5)


def test_a_direct_connection_by_url():
    with Connection('memory:///direct') as connection:
        assert connection.transport.driver_type == 'memory'
        assert connection.as_uri() == 'memory://localhost/direct'
