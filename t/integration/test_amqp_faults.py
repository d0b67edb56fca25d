"""Networks that fail, and brokers that die."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from amqp.exceptions import ConnectionForced, RecoverableConnectionError

from kombu import Connection, Consumer, Queue
from kombu.asynchronous import Hub
from kombu.exceptions import TimeoutError
from kombu.mixins import ConsumerMixin
from kombu.testing.proxy import DOWN, UP, Proxy, proxied
from t.brokers.rabbitmq import Node

CONFIRM = {'confirm_publish': True}


@pytest.fixture
def proxy(amqp_url: str) -> Iterator[tuple[str, Proxy]]:
    with proxied(amqp_url, 5672) as (url, proxy):
        yield url, proxy


def publish(channel: Any, body: str, **kwargs: Any) -> None:
    message = channel.prepare_message(body, content_type='text/plain', content_encoding='utf-8')
    channel.basic_publish(message, **{'routing_key': 'q', **kwargs})


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Fail unless the block ends in so many seconds."""
    start = time.monotonic()
    yield
    took = time.monotonic() - start
    assert took < seconds, f'took {took:.1f} s'


class Worker(ConsumerMixin):
    """Collects what arrives in a queue, whatever happens to the connection."""

    connect_max_retries = None

    def __init__(self, connection: Connection, queue: Queue) -> None:
        self.connection = connection
        self.queue = queue
        self.got: list[str] = []
        self.ready = threading.Event()

    def get_consumers(self, Consumer: Any, channel: Any) -> list[Any]:
        return [Consumer([self.queue], callbacks=[self.take])]

    def on_consume_ready(self, *args: Any, **kwargs: Any) -> None:
        self.ready.set()

    def take(self, body: str, message: Any) -> None:
        self.got.append(body)
        message.ack()


@contextmanager
def working(url: str, queue: Queue, **kwargs: Any) -> Iterator[Worker]:
    """Run a worker in a thread."""
    worker = Worker(Connection(url, **kwargs), queue)
    thread = threading.Thread(target=worker.run)
    thread.start()
    try:
        assert worker.ready.wait(20)
        yield worker
    finally:
        worker.should_stop = True
        thread.join(30)
        worker.connection.release()
        assert not thread.is_alive()


def eventually(true: Callable[[], Any], seconds: float = 30) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.05)


class TestConfirms:
    def test_late_confirm_is_for_its_own_message(self, proxy: tuple[str, Proxy]) -> None:
        """The confirm of A comes while B waits, and B never left: B is not confirmed."""
        url, network = proxy
        with Connection(url, transport_options=CONFIRM) as connection:
            channel = connection.channel()
            channel.queue_declare('q')
            publish(channel, 'first')
            network.stall(DOWN)
            with pytest.raises(TimeoutError, match='not confirmed'):
                publish(channel, 'A', confirm_timeout=0.3)
            network.swallow(UP)
            network.heal()
            network.swallow(UP)
            with pytest.raises(TimeoutError, match='not confirmed'):
                publish(channel, 'B', confirm_timeout=0.5)
            network.cut()

    def test_late_answer_is_for_its_own_call(self, proxy: tuple[str, Proxy]) -> None:
        """A call that got no answer in time gives its channel up; the next call uses another."""
        url, network = proxy
        with Connection(url, transport_options={'read_timeout': 0.3}) as connection:
            connection.connect()
            first = connection.channel()
            network.stall(DOWN)
            with pytest.raises(TimeoutError, match='no answer within'):
                first.queue_declare('a')
            network.heal()
            with pytest.raises(RecoverableConnectionError):
                first.queue_declare('b')
            second = connection.channel()
            assert second.channel_id != first.channel_id
            assert second.queue_declare('c').queue == 'c'
            # Its number can be used again once the broker has closed it.
            eventually(lambda: connection.channel().channel_id == 1)

    def test_connection_lost_while_waiting(self, proxy: tuple[str, Proxy]) -> None:
        url, network = proxy
        with Connection(url, transport_options=CONFIRM) as connection:
            channel = connection.channel()
            channel.queue_declare('q')
            network.stall(DOWN)
            timer = threading.Timer(0.2, network.cut)
            timer.start()
            with within(5), pytest.raises(connection.connection_errors):
                publish(channel, 'x')
            timer.join()


class TestSilence:
    """The other side is there but says nothing: a link that is half open."""

    def test_drain_with_heartbeats(self, proxy: tuple[str, Proxy]) -> None:
        """Draining notices by itself, and keeps the connection alive until then."""
        url, network = proxy
        with Connection(url, heartbeat=1) as connection:
            made = connection.connect()
            with pytest.raises(TimeoutError):
                made.drain_events(timeout=3.5)
            network.stall()
            with within(3.5), pytest.raises(ConnectionForced, match='heartbeats missed'):
                made.drain_events()
            assert not made.connected

    def test_heartbeat_check(self, proxy: tuple[str, Proxy]) -> None:
        url, network = proxy
        with Connection(url, heartbeat=1) as connection:
            connection.connect()
            network.stall()

            def check() -> None:
                while True:
                    connection.heartbeat_check()
                    time.sleep(0.1)

            with within(4), pytest.raises(ConnectionForced, match='heartbeats missed'):
                check()

    def test_heartbeat_check_keeps_alive(self, proxy: tuple[str, Proxy]) -> None:
        """A thread that does nothing but check is enough, and takes nobody's messages away."""
        url, _ = proxy
        with Connection(url, heartbeat=1) as connection:
            channel = connection.channel()
            channel.queue_declare('q')
            got: list[Any] = []
            channel.basic_consume('q', callback=got.append)
            publish(channel, 'x')

            def check() -> None:
                for _ in range(35):
                    connection.heartbeat_check()
                    time.sleep(0.1)

            thread = threading.Thread(target=check)
            thread.start()
            thread.join()
            assert not got
            connection.drain_events(timeout=5)
            assert got

    @pytest.mark.parametrize('heartbeat', [0, 60])
    def test_every_call_ends(self, proxy: tuple[str, Proxy], heartbeat: int) -> None:
        url, network = proxy
        options = {**CONFIRM, 'read_timeout': 0.3}
        connection = Connection(url, heartbeat=heartbeat, transport_options=options)
        made = connection.connect()
        made.close_timeout = 0.3
        channels = [connection.channel() for _ in range(4)]
        network.stall()
        with within(4):
            with pytest.raises(TimeoutError):
                channels[0].queue_declare('q')
            with pytest.raises(TimeoutError):
                publish(channels[1], 'x')
            with pytest.raises(TimeoutError):
                connection.drain_events()
            with pytest.raises(TimeoutError):
                connection.channel()
            channels[2].close()
            connection.release()
        assert not made.connected

    def test_writing_ends(self, proxy: tuple[str, Proxy]) -> None:
        """A broker that takes nothing is not waited for without end."""
        url, network = proxy
        with Connection(url, transport_options={'write_timeout': 0.5}) as connection:
            channel = connection.channel()
            connection.connection.close_timeout = 0.3
            network.stall(UP)

            def fill() -> None:
                for _ in range(100):
                    publish(channel, 'x' * 1_000_000)

            with within(20), pytest.raises(RecoverableConnectionError, match='took nothing'):
                fill()

    def test_connecting_ends(self, proxy: tuple[str, Proxy]) -> None:
        url, network = proxy
        network.stall()
        with within(3), pytest.raises(TimeoutError):
            Connection(url, connect_timeout=0.3).connect()

    def test_frozen_broker(self, rabbitmq_victim: Node) -> None:
        with Connection(rabbitmq_victim.url, heartbeat=1) as connection:
            made = connection.connect()
            rabbitmq_victim.freeze()
            try:
                with within(4), pytest.raises(ConnectionForced, match='heartbeats missed'):
                    made.drain_events()
            finally:
                rabbitmq_victim.thaw()


class TestSlowness:
    def test_byte_by_byte(self, proxy: tuple[str, Proxy]) -> None:
        """Frames arrive in the smallest of pieces."""
        url, network = proxy
        network.slow(slice=1)
        with Connection(url, connect_timeout=10) as connection:
            channel = connection.channel()
            channel.queue_declare('q')
            publish(channel, 'x' * 1000)
            got: list[Any] = []
            channel.basic_consume('q', callback=got.append)
            connection.drain_events(timeout=10)
            assert got[0].body == 'x' * 1000

    def test_timeout_in_the_middle_of_a_frame(self, proxy: tuple[str, Proxy]) -> None:
        """What has arrived of a message is kept until the rest comes."""
        url, network = proxy
        with Connection(url) as connection:
            channel = connection.channel()
            channel.queue_declare('q')
            got: list[Any] = []
            channel.basic_consume('q', callback=got.append)
            network.slow(slice=200, pause=0.05)
            publish(channel, 'x' * 2000)
            timeouts = 0
            while not got:
                try:
                    connection.drain_events(timeout=0.01)
                except TimeoutError:
                    timeouts += 1
            assert timeouts > 3
            assert got[0].body == 'x' * 2000


class TestRecovery:
    def test_cut(self, proxy: tuple[str, Proxy], amqp_url: str) -> None:
        """A consumer goes on after its connection was cut."""
        url, network = proxy
        queue = Queue('work', durable=True)
        with working(url, queue) as worker, Connection(amqp_url) as publisher:
            for number in range(5):
                publisher.Producer().publish(f'{number}', routing_key='work')
                eventually(lambda number=number: f'{number}' in worker.got)
                network.cut(reset=number % 2 == 0)
            assert set(worker.got) == {'0', '1', '2', '3', '4'}

    def test_broker_killed(self, rabbitmq_victim: Node) -> None:
        """What was confirmed arrives, though the broker was killed in between."""
        queue = Queue('work', durable=True)
        url = rabbitmq_victim.new_vhost()
        sent = [str(number) for number in range(50)]
        with working(url, queue, heartbeat=5) as worker:
            with Connection(url, transport_options=CONFIRM) as publisher:
                producer = publisher.Producer()
                for body in sent[:25]:
                    producer.publish(body, routing_key='work', delivery_mode=2)
            worker.ready.clear()
            rabbitmq_victim.restart()
            with Connection(url, transport_options=CONFIRM) as publisher:
                publisher.ensure_connection(max_retries=10, interval_start=0.5, interval_step=0)
                producer = publisher.Producer()
                for body in sent[25:]:
                    producer.publish(body, routing_key='work', delivery_mode=2)
            eventually(lambda: set(worker.got) == set(sent))
        rabbitmq_victim.delete_vhost(url)

    def test_publisher_notices(self, proxy: tuple[str, Proxy]) -> None:
        """Without confirms either: a connection that has gone takes no message."""
        url, network = proxy
        with Connection(url) as connection:
            channel = connection.channel()
            channel.queue_declare('q')
            network.cut()
            time.sleep(0.05)
            with pytest.raises(connection.connection_errors):
                publish(channel, 'x')

    def test_reconnecting_leaks_nothing(self, proxy: tuple[str, Proxy]) -> None:
        url, network = proxy
        threads = threading.active_count()
        for _ in range(30):
            with Connection(url) as connection:
                connection.default_channel.queue_declare('q')
                network.cut()
        eventually(lambda: threading.active_count() <= threads + 1)


class TestBlocked:
    def test_alarm(self, rabbitmq_victim: Node) -> None:
        """The application is told when the broker takes no messages, and when it does again."""
        told: list[Any] = []
        options = {'on_blocked': told.append, 'on_unblocked': lambda: told.append(None)}
        with Connection(rabbitmq_victim.url, transport_options=options) as connection:
            channel = connection.channel()
            channel.queue_declare('q', auto_delete=False)
            rabbitmq_victim.block_alarm()
            try:
                publish(channel, 'x')
                with pytest.raises(TimeoutError):
                    connection.drain_events(timeout=1)
                assert told == ['low on memory']
            finally:
                rabbitmq_victim.unblock_alarm()
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=1)
            assert told == ['low on memory', None]
            channel.queue_delete('q')


class TestEventLoop:
    def test_delivers(self, amqp_url: str) -> None:
        """What a call reads along with its answer is delivered by the loop all the same."""
        hub = Hub()
        with Connection(amqp_url) as connection:
            channel = connection.channel()
            got: list[str] = []

            def take(body: str, message: Any) -> None:
                got.append(body)
                message.ack()
                channel.queue_declare('other')

            with Consumer(channel, [Queue('q')], callbacks=[take]):
                connection.register_with_event_loop(hub)
                for number in range(5):
                    publish(channel, str(number))
                time.sleep(0.2)
                channel.queue_declare('other')  # reads the deliveries
                end = time.monotonic() + 10
                while len(got) < 5 and time.monotonic() < end:
                    hub.run_once()
                assert got == list('01234')
                publish(channel, 'last')
                while len(got) < 6 and time.monotonic() < end:
                    hub.run_once()
                assert got[-1] == 'last'
                connection.transport.unregister_from_event_loop(connection.connection, hub)
        hub.close()
