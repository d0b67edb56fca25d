"""What RabbitMQ does and other brokers do not: over the real one."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from datetime import datetime
from decimal import Decimal
from typing import Any

import pytest
from amqp.exceptions import MessageNacked, NotFound, PreconditionFailed, RecoverableConnectionError

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.exceptions import (
    ChannelError,
    ConcurrentUseError,
    OperationalError,
    TimeoutError,
    UnknownArgumentWarning,
)
from t.brokers.rabbitmq import Broker


@pytest.fixture
def connection(amqp_url: str) -> Any:
    with Connection(amqp_url) as connection:
        yield connection


@pytest.fixture
def confirming(amqp_url: str) -> Any:
    with Connection(amqp_url, transport_options={'confirm_publish': True}) as connection:
        yield connection


def declare(channel: Any, name: str, **kwargs: Any) -> None:
    """Declare a queue that stays when its consumers go."""
    channel.queue_declare(name, auto_delete=False, **kwargs)


def publish(channel: Any, body: str, **kwargs: Any) -> Any:
    """Publish text over a channel."""
    message = channel.prepare_message(body, content_type='text/plain', content_encoding='utf-8')
    return channel.basic_publish(message, **kwargs)


def holds(channel: Any, queue: str, count: int) -> bool:
    """Tell whether so many messages wait in a queue; RabbitMQ counts a little late."""
    for _ in range(100):
        if channel.queue_declare(queue, passive=True).message_count == count:
            return True
        time.sleep(0.02)
    return False


def consume(channel: Any, queue: str, **kwargs: Any) -> list[Any]:
    """Start a consumer that collects what it gets."""
    got: list[Any] = []
    channel.basic_consume(queue, callback=got.append, **kwargs)
    return got


def drain(connection: Any, done: Any, timeout: float = 10) -> None:
    """Drain events until `done()`."""
    while not done():
        connection.drain_events(timeout=timeout)


class TestRoundTrip:
    def test_everything_arrives(self, connection: Connection) -> None:
        """Body, headers and properties arrive as they were sent."""
        queue = Queue('q', Exchange('e', 'topic'), 'a.*')
        got: list[Any] = []
        with Consumer(connection, [queue], callbacks=[lambda body, message: got.append(message)]):
            Producer(connection).publish(
                {'x': [1, 'é']},
                exchange=queue.exchange,
                routing_key='a.b',
                headers={'h': 'v'},
                priority=3,
                correlation_id='cid',
                reply_to='rt',
                expiration=60,
                message_id='mid',
                timestamp=1_700_000_000,
                app_id='app',
                type='t',
            )
            drain(connection, lambda: got)
        (message,) = got
        assert message.payload == {'x': [1, 'é']}
        assert message.headers == {'h': 'v'}
        assert message.delivery_info['exchange'] == 'e'
        assert message.delivery_info['routing_key'] == 'a.b'
        assert message.delivery_info['redelivered'] is False
        assert message.properties['priority'] == 3
        assert message.properties['expiration'] == '60000'
        assert message.properties['timestamp'] == 1_700_000_000
        assert message.properties['app_id'] == 'app'
        message.ack()

    @pytest.mark.parametrize('size', [0, 1, 131_063, 131_064, 131_065, 1_000_000])
    def test_sizes(self, connection: Connection, size: int) -> None:
        """Bodies around the size of a frame, and of many frames."""
        channel = connection.channel()
        declare(channel, 'q')
        body = bytes(range(256)) * (size // 256 + 1)
        channel.basic_publish(
            channel.prepare_message(body[:size], content_encoding='binary'), routing_key='q'
        )
        got = consume(channel, 'q', no_ack=True)
        drain(connection, lambda: got)
        assert got[0].body == body[:size]

    def test_get(self, connection: Connection) -> None:
        channel = connection.channel()
        declare(channel, 'q')
        assert channel.basic_get('q') is None
        for body in 'ab':
            publish(channel, body, routing_key='q')
        first = channel.basic_get('q')
        assert (first.body, first.delivery_info['message_count']) == ('a', 1)
        channel.basic_reject(first.delivery_tag, requeue=True)
        again = channel.basic_get('q')
        assert (again.body, again.delivery_info['redelivered']) == ('a', True)

    def test_header_types(self, connection: Connection) -> None:
        """What AMQP has a word for arrives as it was; bytes that are text become text."""
        headers = {
            'text': 'é',
            'bytes': b'\xff\x00',
            'true': True,
            'int': -5,
            'long': 2**40,
            'float': 1.5,
            'decimal': Decimal('-1.25'),
            'time': datetime(2026, 1, 2, 3, 4, 5),
            'none': None,
            'list': [1, 'a', [True], {'x': None}],
            'table': {'deep': {'deeper': 'y'}},
        }
        channel = connection.channel()
        declare(channel, 'q')
        channel.basic_publish(channel.prepare_message('', headers=headers), routing_key='q')
        assert channel.basic_get('q', no_ack=True).headers == headers


class TestErrors:
    def test_channel_goes_on(self, connection: Connection) -> None:
        """An error closes the channel for the broker, not for the application."""
        channel = connection.channel()
        with pytest.raises(NotFound, match='no queue'):
            channel.queue_declare('missing', passive=True)
        assert channel.is_open
        declare(channel, 'q')
        publish(channel, 'x', routing_key='q')
        assert holds(channel, 'q', 1)

    def test_error_without_a_call(self, connection: Connection) -> None:
        """Nobody waits for an answer to publishing: the error comes with the next events."""
        channel = connection.channel()
        publish(channel, 'x', exchange='missing')
        with pytest.raises(NotFound, match='no exchange'):
            connection.drain_events(timeout=5)
        assert channel.is_open

    def test_error_on_next_publish(self, connection: Connection) -> None:
        """A thread that only publishes hears of it as well."""
        channel = connection.channel()
        declare(channel, 'q')
        publish(channel, 'x', exchange='missing')
        # A call on another channel takes the time that the error needs to arrive.
        connection.default_channel.queue_declare('q', passive=True)
        time.sleep(0.1)
        with pytest.raises(NotFound, match='no exchange'):
            publish(channel, 'x', routing_key='q')

    def test_unknown_delivery_tag(self, connection: Connection) -> None:
        channel = connection.channel()
        channel.basic_ack(99)
        with pytest.raises(PreconditionFailed, match='unknown delivery tag'):
            connection.drain_events(timeout=5)

    def test_tags_from_before_are_void(self, connection: Connection) -> None:
        """After an error the broker counts anew; an old tag must not settle a new message."""
        channel = connection.channel()
        declare(channel, 'q')
        for body in 'ab':
            publish(channel, body, routing_key='q')
        old = channel.basic_get('q')
        with pytest.raises(NotFound):
            channel.queue_declare('missing', passive=True)
        new = channel.basic_get('q')
        assert new.body == old.body
        channel.basic_ack(old.delivery_tag)
        assert channel.is_open
        channel.basic_reject(new.delivery_tag, requeue=True)
        assert holds(channel, 'q', 2)

    def test_deliveries_from_before_are_dropped(self, connection: Connection) -> None:
        """What was delivered to a channel that broke is in its queue again: nobody gets it."""
        channel = connection.channel()
        declare(channel, 'q')
        publish(channel, 'x', routing_key='q')
        got = consume(channel, 'q')
        with pytest.raises(NotFound):
            channel.queue_declare('missing', passive=True)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.1)
        assert not got
        assert holds(channel, 'q', 1)

    def test_closed(self, connection: Connection) -> None:
        channel = connection.channel()
        channel.close()
        channel.close()
        for use in (
            lambda: declare(channel, 'q'),
            lambda: publish(channel, 'x'),
            lambda: channel.basic_ack(1),
        ):
            with pytest.raises(RecoverableConnectionError):
                use()

    def test_wrong_password(self, rabbitmq: Broker) -> None:
        with pytest.raises(Exception, match='ACCESS_REFUSED') as caught:
            Connection(rabbitmq.url.replace('guest@', 'wrong-secret@')).connect()
        assert 'wrong-secret' not in str(caught.value)

    @pytest.mark.parametrize(
        ('greeting', 'complaint'),
        [
            (b'HTTP/1.1 400 Bad Request\r\n\r\n', 'no AMQP frame'),
            (b'AMQP\x00\x01\x00\x00', 'does not speak AMQP 0-9-1 but 1.0.0'),
            (b'', 'closed'),
        ],
    )
    def test_not_a_broker(self, greeting: bytes, complaint: str) -> None:
        """A server of another kind is recognized, not waited for."""
        with socket.create_server(('127.0.0.1', 0)) as server:

            def serve() -> None:
                with suppress(OSError):
                    while True:
                        client, _ = server.accept()
                        with client:
                            client.recv(8)
                            client.sendall(greeting)

            threading.Thread(target=serve, daemon=True).start()
            with pytest.raises(Connection('amqp://').connection_errors, match=complaint):
                Connection(f'amqp://127.0.0.1:{server.getsockname()[1]}//').connect()
            server.shutdown(socket.SHUT_RDWR)

    def test_no_answer(self) -> None:
        """Connecting takes no longer than it may, whatever the other side does not do."""
        with socket.create_server(('127.0.0.1', 0)) as server:
            url = f'amqp://127.0.0.1:{server.getsockname()[1]}//'
            with pytest.raises(TimeoutError, match=r'within 0\.2 s'):
                Connection(url, connect_timeout=0.2).connect()

    def test_unknown_option(self, amqp_url: str) -> None:
        options = {'confirm_publich': True}
        with pytest.warns(UnknownArgumentWarning, match="did you mean 'confirm_publish'"):
            Connection(amqp_url, transport_options=options).connect().close()

    def test_passwords_may_change(self, amqp_url: str) -> None:
        """A callable is asked for each connection."""
        asked = []

        def password() -> str:
            asked.append(1)
            return 'guest'

        for _ in range(2):
            url = amqp_url.replace('guest:guest@', '')
            Connection(url, userid='guest', password=password).connect().close()
        assert len(asked) == 2

    def test_failover(self, amqp_url: str) -> None:
        """Hosts that do not answer are passed over."""
        with Connection(f'amqp://127.0.0.1:1//;{amqp_url}') as connection:
            connection.ensure_connection(max_retries=3, interval_start=0)
            connection.default_channel.queue_declare('q')

    def test_no_host_answers(self) -> None:
        connection = Connection('amqp://127.0.0.1:1//')
        with pytest.raises(OperationalError):
            connection.ensure_connection(max_retries=1, interval_start=0)


class TestConfirms:
    def test_confirmed(self, confirming: Connection) -> None:
        channel = confirming.channel()
        declare(channel, 'q')
        for _ in range(100):
            publish(channel, 'x', routing_key='q')
        assert holds(channel, 'q', 100)

    def test_refused(self, confirming: Connection) -> None:
        """A queue that is full refuses, and the publisher is told which message."""
        channel = confirming.channel()
        arguments = {'x-max-length': 1, 'x-overflow': 'reject-publish'}
        declare(channel, 'q', arguments=arguments)
        publish(channel, 'x', routing_key='q')
        with pytest.raises(MessageNacked, match="'q'"):
            publish(channel, 'y', routing_key='q')
        channel.queue_purge('q')
        publish(channel, 'z', routing_key='q')
        assert channel.basic_get('q').body == 'z'

    def test_unroutable(self, confirming: Connection) -> None:
        channel = confirming.channel()
        publish(channel, 'x', routing_key='nobody')
        with pytest.raises(ChannelError, match='NO_ROUTE'):
            publish(channel, 'x', routing_key='nobody', mandatory=True)
        assert channel.is_open

    def test_unroutable_with_callback(self, confirming: Connection) -> None:
        """Who asks for returned messages gets them, and no exception."""
        channel = confirming.channel()
        returned: list[Any] = []
        channel.events['basic_return'].add(lambda *args: returned.append(args))
        publish(channel, 'x', routing_key='nobody', mandatory=True)
        ((error, exchange, routing_key, message),) = returned
        assert 'NO_ROUTE' in str(error)
        assert (exchange, routing_key, message.body) == ('', 'nobody', 'x')

    def test_missing_exchange(self, confirming: Connection) -> None:
        """The error that closes the channel is the answer to the message."""
        channel = confirming.channel()
        with pytest.raises(NotFound, match='no exchange'):
            publish(channel, 'x', exchange='missing')
        declare(channel, 'q')
        publish(channel, 'x', routing_key='q')
        assert holds(channel, 'q', 1)

    def test_confirm_callbacks(self, connection: Connection) -> None:
        """Without the option one may ask for confirms, and be called back."""
        channel = connection.channel()
        declare(channel, 'q')
        acked: list[Any] = []
        channel.events['basic_ack'].add(lambda number, multiple: acked.append(number))
        channel.confirm_select()
        publish(channel, 'x', routing_key='q')
        drain(connection, lambda: acked)
        assert acked == [1]

    def test_producer(self, confirming: Connection) -> None:
        with confirming.Producer() as producer:
            producer.publish({'a': 1}, declare=[Queue('q')], routing_key='q')
        assert holds(confirming.default_channel, 'q', 1)


class TestReturns:
    def test_callback(self, connection: Connection) -> None:
        channel = connection.channel()
        returned: list[Any] = []
        channel.events['basic_return'].add(lambda *args: returned.append(args))
        publish(channel, 'x', routing_key='nobody', mandatory=True)
        drain(connection, lambda: returned)
        assert returned[0][3].body == 'x'

    def test_without_callback(self, connection: Connection) -> None:
        channel = connection.channel()
        publish(channel, 'x', routing_key='nobody', mandatory=True)
        with pytest.raises(ChannelError, match='NO_ROUTE'):
            connection.drain_events(timeout=5)


class TestConsumers:
    def test_deliveries_wait_for_drain_events(self, connection: Connection) -> None:
        """A call that waits for its answer runs no callbacks, however much arrives meanwhile."""
        channel = connection.channel()
        declare(channel, 'q')
        for _ in range(20):
            publish(channel, 'x', routing_key='q')
        got = consume(channel, 'q')
        for _ in range(5):
            declare(channel, 'other')
        assert not got
        connection.drain_events(timeout=5)
        assert len(got) == 1

    def test_callbacks_may_do_anything(self, connection: Connection) -> None:
        """Declare, publish, get, ack, and drain, inside a callback."""
        channel = connection.channel()
        declare(channel, 'q')
        declare(channel, 'answers')
        done: list[str] = []

        def callback(message: Any) -> None:
            declare(channel, 'another')
            publish(channel, 'answer', routing_key='answers')
            channel.basic_ack(message.delivery_tag)
            if len(done) < 3:
                done.append(message.body)
                connection.drain_events(timeout=5)

        for body in 'abcd':
            publish(channel, body, routing_key='q')
        channel.basic_consume('q', callback=callback)
        connection.drain_events(timeout=5)
        assert done == ['a', 'b', 'c']
        assert holds(channel, 'answers', 4)

    def test_cancel_gives_back(self, connection: Connection) -> None:
        """Messages that arrived and were not handed out are in the queue again, in order."""
        channel = connection.channel()
        declare(channel, 'q')
        for body in 'abc':
            publish(channel, body, routing_key='q')
        got: list[Any] = []
        tag = channel.basic_consume('q', callback=got.append)
        connection.drain_events(timeout=5)
        channel.basic_cancel(tag)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.1)
        assert [message.body for message in got] == ['a']
        assert channel.basic_get('q').body == 'b'
        assert channel.basic_get('q').body == 'c'

    def test_cancel_hands_out_what_the_broker_has_forgotten(self, connection: Connection) -> None:
        channel = connection.channel()
        declare(channel, 'q')
        for body in 'abc':
            publish(channel, body, routing_key='q')
        got: list[Any] = []
        tag = channel.basic_consume('q', no_ack=True, callback=got.append)
        connection.drain_events(timeout=5)
        channel.basic_cancel(tag)
        assert [message.body for message in got] == ['a', 'b', 'c']

    def test_queue_deleted(self, connection: Connection) -> None:
        """The broker's cancel reaches `on_cancel`."""
        channel = connection.channel()
        declare(channel, 'q')
        cancelled: list[str] = []
        tag = channel.basic_consume('q', callback=print, on_cancel=cancelled.append)
        connection.channel().queue_delete('q')
        connection.drain_events(timeout=5)
        assert cancelled == [tag]

    def test_recover(self, connection: Connection) -> None:
        """All come again, once, those included that nobody had seen."""
        channel = connection.channel()
        declare(channel, 'q')
        for body in 'abc':
            publish(channel, body, routing_key='q')
        got = consume(channel, 'q')
        connection.drain_events(timeout=5)
        channel.basic_recover(requeue=True)
        drain(connection, lambda: len(got) == 4)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.1)
        assert [message.body for message in got] == ['a', 'a', 'b', 'c']
        assert all(message.delivery_info['redelivered'] for message in got[1:])

    def test_prefetch(self, connection: Connection) -> None:
        channel = connection.channel()
        declare(channel, 'q')
        for _ in range(5):
            publish(channel, 'x', routing_key='q')
        channel.basic_qos(prefetch_count=2)
        got = consume(channel, 'q')
        drain(connection, lambda: len(got) == 2)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.1)
        channel.basic_ack(got[1].delivery_tag, multiple=True)
        drain(connection, lambda: len(got) == 4)

    def test_one_channel_one_call(self, connection: Connection) -> None:
        """A second call while one waits on the same channel is refused, at once."""
        channel = connection.channel()
        tried: list[BaseException] = []

        def interfere(*args: Any) -> None:
            with pytest.raises(ConcurrentUseError, match='one thread at a time') as caught:
                declare(channel, 'other')
            tried.append(caught.value)

        channel._callbacks[(50, 11)] = interfere  # while the answer is on its way to the call
        declare(channel, 'q')
        assert tried


class TestQueueTypes:
    def test_quorum(self, connection: Connection) -> None:
        """Redeliveries are counted."""
        channel = connection.channel()
        channel.queue_declare(
            'q', durable=True, auto_delete=False, arguments={'x-queue-type': 'quorum'}
        )
        publish(channel, 'x', routing_key='q')
        got = consume(channel, 'q')
        drain(connection, lambda: got)
        channel.basic_reject(got[0].delivery_tag, requeue=True)
        drain(connection, lambda: len(got) == 2)
        assert got[1].headers['x-delivery-count'] == 1
        assert got[1].delivery_info['redelivered'] is True

    def test_stream(self, connection: Connection) -> None:
        """A stream can be read again from its beginning, or from an offset."""
        channel = connection.channel()
        stream = {'x-queue-type': 'stream'}
        channel.queue_declare('s', durable=True, auto_delete=False, arguments=stream)
        channel.confirm_select()
        for number in range(10):
            channel.basic_publish_confirm(channel.prepare_message(str(number)), routing_key='s')
        channel.basic_qos(prefetch_count=100)
        for offset, expected in (('first', 0), (7, 7)):
            got = consume(channel, 's', arguments={'x-stream-offset': offset})
            drain(connection, lambda got=got, first=expected: len(got) == 10 - first)
            assert [int(message.body) for message in got] == list(range(expected, 10))
            assert got[0].headers['x-stream-offset'] == expected
            for message in got:
                channel.basic_ack(message.delivery_tag)


class TestTransport:
    def test_capabilities(self, connection: Connection) -> None:
        assert connection.supports_heartbeats
        assert connection.qos_semantics_matches_spec is False
        assert connection.transport.driver_version()

    def test_frame_max(self, amqp_url: str) -> None:
        """Both sides keep to the smaller limit."""
        with Connection(amqp_url, transport_options={'frame_max': 4096}) as connection:
            assert connection.connection.frame_max == 4096
            channel = connection.channel()
            declare(channel, 'q')
            publish(channel, 'x' * 50_000, routing_key='q')
            assert channel.basic_get('q').body == 'x' * 50_000

    def test_client_properties(self, rabbitmq: Broker, amqp_url: str) -> None:
        options = {'client_properties': {'connection_name': 'a-name'}}
        with Connection(amqp_url, transport_options=options) as connection:
            properties = connection.connection.client_properties
            assert properties['connection_name'] == 'a-name'
            assert properties['product'] == 'py-amqp'

    def test_closing_twice(self, connection: Connection) -> None:
        made = connection.connect()
        connection.transport.close_connection(made)
        connection.transport.close_connection(made)
        assert not connection.transport.verify_connection(made)

    def test_server_side_close_is_noticed(self, rabbitmq: Broker, amqp_url: str) -> None:
        """The idle connection of a pool is found closed before anything is published into it."""
        with Connection(amqp_url) as connection:
            made = connection.connect()
            assert connection.transport.verify_connection(made)
            made.channel()
            vhost = amqp_url.rpartition('/')[2]
            rabbitmq.ctl('close_all_connections', '--vhost', vhost, 'test')
            assert not connection.transport.verify_connection(made)
            with pytest.raises(connection.connection_errors, match='CONNECTION_FORCED'):
                made.drain_events(timeout=5)
