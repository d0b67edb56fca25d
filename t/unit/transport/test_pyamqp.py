from __future__ import annotations

import os
import threading
import time
from typing import Any

import amqp
import pytest
from amqp import spec
from amqp.exceptions import (
    AccessRefused,
    ConnectionForced,
    MessageNacked,
    NotFound,
    RecoverableConnectionError,
    UnexpectedFrame,
)
from amqp.serialization import dumps

from kombu.exceptions import (
    ChannelError,
    ConcurrentUseError,
    TimeoutError,
    UnknownArgumentWarning,
)
from kombu.transport import base
from kombu.transport.pyamqp import Channel, Connection, Message, SSLTransport, Transport
from kombu.transport.pyamqp._frames import HEARTBEAT, Content
from t.unit.transport.amqp_wire import ScriptedWire, connected


@pytest.fixture
def wire() -> ScriptedWire:
    return ScriptedWire()


@pytest.fixture
def connection(wire: ScriptedWire) -> Connection:
    return connected(wire)


@pytest.fixture
def channel(wire: ScriptedWire, connection: Connection) -> Channel:
    channel = connection.channel()
    wire.sent.clear()
    return channel


@pytest.fixture
def confirming(wire: ScriptedWire) -> Channel:
    channel = connected(wire, confirm_publish=True).channel()
    wire.sent.clear()
    return channel


def error(code: int = 404, text: str = 'NOT_FOUND', method: tuple[int, int] = (50, 10)) -> bytes:
    """Return the arguments of a close by the broker."""
    return dumps('BsBB', (code, text, *method))


class TestTypes:
    def test_py_amqp(self, connection: Connection, channel: Channel) -> None:
        """Celery and others look at these."""
        assert isinstance(connection, amqp.Connection)
        assert isinstance(channel, amqp.Channel)
        assert isinstance(channel, base.StdChannel)
        assert issubclass(Message, base.Message)
        assert connection._transport.sock is not None
        assert connection.sock is connection._transport.sock
        assert channel.connection is connection

    def test_repr(self, connection: Connection, channel: Channel) -> None:
        assert repr(channel).startswith('<Channel 1 (open) of <AMQP Connection: broker:5672/')
        connection.collect()
        assert repr(channel) == '<Channel None (closed) of None>'


class TestHandshake:
    def test_limits(self, connection: Connection) -> None:
        assert connection.frame_max == 4096
        assert connection.channel_max == 100
        assert connection.heartbeat == 0

    def test_smaller_limits_of_ours(self, wire: ScriptedWire) -> None:
        connection = connected(wire, frame_max=1024, channel_max=5, heartbeat=2.5)
        assert connection.frame_max == 1024
        assert connection.channel_max == 5
        assert connection.heartbeat == 3  # whole seconds on the wire

    def test_refused(self, wire: ScriptedWire) -> None:
        wire.answers[spec.Connection.StartOk] = (
            spec.Connection.Close,
            error(403, 'ACCESS_REFUSED', (0, 0)),
        )
        with pytest.raises(AccessRefused):
            connected(wire)
        assert wire.closed

    def test_no_answer(self, wire: ScriptedWire) -> None:
        del wire.answers[spec.Connection.Open]

        class Slow(Connection):
            def Transport(self, *args: Any, **kwargs: Any) -> Any:
                return wire

        with pytest.raises(TimeoutError, match='no answer like that of a broker'):
            Slow('broker:5672', login_method='PLAIN', connect_timeout=0.01).connect()
        assert wire.closed

    def test_garbage(self, wire: ScriptedWire) -> None:
        wire.incoming.append(b'HTTP/1.1 400 Bad Request\r\n\r\n')
        with pytest.raises(UnexpectedFrame, match='no AMQP frame'):
            connected(wire)
        assert wire.closed


class TestCalls:
    def test_answer(self, channel: Channel) -> None:
        assert channel.queue_declare('q') == ('q', 3, 2)

    def test_answer_to_another_channel(self, wire: ScriptedWire, connection: Connection) -> None:
        """It waits for its call, and is not taken for the answer to this one."""
        first, second = connection.channel(), connection.channel()
        wire.answers[spec.Queue.Declare] = (spec.Queue.DeclareOk, dumps('sll', ('mine', 0, 0)))
        wire.says(first.channel_id, spec.Queue.DeclareOk, dumps('sll', ('other', 0, 0)))
        assert second.queue_declare('mine').queue == 'mine'

    def test_no_answer(self, wire: ScriptedWire, connection: Connection) -> None:
        """The channel is given up, and its number not used until the broker has closed it."""
        connection.answer_timeout = 0.01
        channel = connection.channel()
        del wire.answers[spec.Queue.Declare], wire.answers[spec.Channel.Close]
        with pytest.raises(TimeoutError, match=r'Queue\.declare: no answer within 0\.01 s'):
            channel.queue_declare('q')
        assert wire.sent[-1][:2] == (1, spec.Channel.Close)
        assert not channel.is_open
        assert connection.channel().channel_id == 2
        wire.says(1, spec.Queue.DeclareOk, dumps('sll', ('late', 0, 0)))
        wire.says(1, spec.Channel.CloseOk)
        assert connection.channel().channel_id == 3
        assert connection.channel().channel_id == 1

    def test_error(self, wire: ScriptedWire, channel: Channel) -> None:
        """The channel is open again when the error is raised."""
        wire.answers[spec.Queue.Declare] = (spec.Channel.Close, error())
        with pytest.raises(NotFound):
            channel.queue_declare('q')
        assert channel.is_open
        assert wire.methods() == [spec.Queue.Declare, spec.Channel.CloseOk, spec.Channel.Open]

    def test_cannot_be_opened_again(self, wire: ScriptedWire, channel: Channel) -> None:
        """The first error is the one to tell."""
        channel.connection.answer_timeout = 0.01
        wire.answers[spec.Queue.Declare] = (spec.Channel.Close, error())
        del wire.answers[spec.Channel.Open]
        with pytest.raises(NotFound):
            channel.queue_declare('q')
        assert not channel.is_open
        with pytest.raises(RecoverableConnectionError):
            channel.queue_declare('q')

    def test_at_the_same_time(self, wire: ScriptedWire, channel: Channel) -> None:
        del wire.answers[spec.Queue.Declare]
        seen: list[BaseException] = []

        def interrupt(timeout: float | None) -> None:
            # As a signal handler would, in the middle of the wait.
            with pytest.raises(ConcurrentUseError) as caught:
                channel.queue_declare('other')
            seen.append(caught.value)
            wire.says(1, spec.Queue.DeclareOk, dumps('sll', ('q', 0, 0)))

        wire.on_wait = interrupt
        assert channel.queue_declare('q').queue == 'q'
        assert 'one thread at a time' in str(seen[0])

    def test_interrupted_wait_of_the_connection(
        self, wire: ScriptedWire, connection: Connection
    ) -> None:
        """Another channel does not help a signal handler: the thread itself is reading."""
        first, second = connection.channel(), connection.channel()
        del wire.answers[spec.Queue.Declare]

        def interrupt(timeout: float | None) -> None:
            with pytest.raises(ConcurrentUseError, match='interrupted'):
                second.queue_declare('other')
            wire.says(1, spec.Queue.DeclareOk, dumps('sll', ('q', 0, 0)))

        wire.on_wait = interrupt
        assert first.queue_declare('q').queue == 'q'

    @pytest.mark.parametrize(
        ('call', 'complaint'),
        [
            (lambda c: c.queue_declare('x' * 256), 'Queue.declare: a name is 256 bytes long'),
            (lambda c: c.queue_declare('é' * 128), '256 bytes'),
            (lambda c: c.queue_declare('a\nb'), 'line breaks'),
            (lambda c: c.exchange_declare('a\rb', 'direct'), 'line breaks'),
            (lambda c: c.basic_qos(0, 2**16, False), 'out of range'),
            (lambda c: c.basic_publish(Content('x'), routing_key='k' * 300), 'routing key is 300'),
        ],
    )
    def test_impossible_arguments(self, channel: Channel, call: Any, complaint: str) -> None:
        with pytest.raises((ValueError, OverflowError), match=complaint):
            call(channel)
        assert channel.is_open

    def test_wait(self, wire: ScriptedWire, channel: Channel) -> None:
        """py-amqp's `wait`, for a method that nobody has asked for here."""
        seen: list[Any] = []
        wire.says(1, spec.Queue.PurgeOk, dumps('l', (7,)))
        assert channel.wait(spec.Queue.PurgeOk, callback=lambda *args: seen.append(args)) == 7
        assert seen == [(spec.Queue.PurgeOk, 7)]
        wire.says(1, spec.Queue.PurgeOk, dumps('l', (8,)))
        assert channel.wait([spec.Queue.PurgeOk], returns_tuple=True) == (8,)
        with pytest.raises(TimeoutError):
            channel.wait(spec.Queue.PurgeOk, timeout=0.001)


class TestClosing:
    def test_channel(self, wire: ScriptedWire, channel: Channel) -> None:
        connection = channel.connection
        channel.close()
        channel.close()
        assert wire.methods() == [spec.Channel.Close]
        assert channel.connection is None
        assert connection.channel().channel_id == 1

    def test_channel_that_gets_no_answer(self, wire: ScriptedWire, channel: Channel) -> None:
        channel.connection.close_timeout = 0.01
        del wire.answers[spec.Channel.Close]
        channel.close()
        assert not channel.is_open

    def test_requests_cross(self, wire: ScriptedWire, channel: Channel) -> None:
        """The broker closes over an error while we are closing."""
        connection = channel.connection
        wire.says(1, spec.Channel.Close, error())
        channel.close()
        assert spec.Channel.CloseOk in wire.methods()
        assert connection.channel().channel_id == 1

    def test_connection(self, wire: ScriptedWire, connection: Connection, channel: Channel) -> None:
        connection.close()
        connection.close()
        assert wire.methods() == [spec.Connection.Close]
        assert wire.closed == 1
        assert not connection.connected
        assert connection.channels is None
        assert channel.connection is None
        for use in (connection.channel, connection.drain_events, connection.heartbeat_tick):
            with pytest.raises(RecoverableConnectionError, match='already closed'):
                use()
        with pytest.raises(RecoverableConnectionError):
            _ = connection.transport

    def test_connection_that_gets_no_answer(
        self, wire: ScriptedWire, connection: Connection
    ) -> None:
        connection.close_timeout = 0.01
        del wire.answers[spec.Connection.Close]
        connection.close()
        assert wire.closed

    def test_connection_that_is_broken(self, wire: ScriptedWire, connection: Connection) -> None:
        wire.breaks = BrokenPipeError()
        connection.close()
        assert wire.closed

    def test_by_the_broker(
        self, wire: ScriptedWire, connection: Connection, channel: Channel
    ) -> None:
        wire.says(0, spec.Connection.Close, error(320, 'CONNECTION_FORCED', (0, 0)))
        with pytest.raises(ConnectionForced):
            connection.drain_events(timeout=1)
        assert wire.methods() == [spec.Connection.CloseOk]
        assert wire.closed
        with pytest.raises(RecoverableConnectionError) as caught:
            connection.drain_events(timeout=1)
        assert isinstance(caught.value.__cause__, ConnectionForced)
        with pytest.raises(RecoverableConnectionError):
            channel.queue_declare('q')

    def test_by_the_network(self, wire: ScriptedWire, connection: Connection) -> None:
        wire.incoming.append(ConnectionResetError('gone'))
        with pytest.raises(ConnectionResetError):
            connection.drain_events(timeout=1)
        assert not connection.connected

    def test_interrupted_while_reading(self, wire: ScriptedWire, connection: Connection) -> None:
        """What was read and not filed is lost; nothing sensible can be read after it."""
        wire.incoming.append(KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            connection.drain_events(timeout=1)
        assert not connection.connected

    def test_interrupted_while_waiting(self, wire: ScriptedWire, connection: Connection) -> None:
        """Nothing is lost then."""

        def interrupt(timeout: float | None) -> None:
            raise KeyboardInterrupt

        wire.on_wait = interrupt
        with pytest.raises(KeyboardInterrupt):
            connection.drain_events(timeout=1)
        assert connection.connected

    def test_collect(self, wire: ScriptedWire, connection: Connection, channel: Channel) -> None:
        """Nothing is said."""
        connection.collect()
        assert wire.methods() == []
        assert not channel.is_open

    def test_fork(self, wire: ScriptedWire, connection: Connection, channel: Channel) -> None:
        """In the child the descriptor is closed and the socket left alone."""
        connection.reader._turn.acquire()  # another thread of the parent was reading
        connection.writer._turn.acquire()  # and one was writing
        connection._after_fork()
        assert wire.dropped == 1
        assert wire.methods() == []
        assert not connection.connected
        assert channel.connection is None


class TestWriting:
    def test_failure_before_anything_was_written(
        self, wire: ScriptedWire, connection: Connection, channel: Channel
    ) -> None:
        wire.breaks = TimeoutError()
        with pytest.raises(RecoverableConnectionError, match=r'took nothing for 0\.5 s'):
            channel.basic_publish(Content('x'), routing_key='q', timeout=0.5)
        assert connection.connected

    def test_failure_midway(
        self, wire: ScriptedWire, connection: Connection, channel: Channel
    ) -> None:
        """What has been written cannot be taken back: the connection is of no use any more."""
        wire.breaks, wire.midway = TimeoutError(), True
        with pytest.raises(RecoverableConnectionError):
            channel.basic_publish(Content('x'), routing_key='q')
        assert not connection.connected

    def test_closed_channel(self, wire: ScriptedWire, channel: Channel) -> None:
        """RabbitMQ would close the connection over a frame on a closed channel."""
        wire.says(1, spec.Channel.Close, error(406, 'PRECONDITION_FAILED', (60, 80)))
        channel.connection.look()
        wire.sent.clear()
        with pytest.raises(RecoverableConnectionError, match='closed'):
            channel.basic_ack(1)
        assert wire.methods() == []

    def test_large_body(self, wire: ScriptedWire, channel: Channel) -> None:
        """It is cut into frames of the size agreed on."""
        channel.basic_publish(Content(b'x' * 10_000), routing_key='q')
        assert wire.written.count(b'x' * 4088 + b'\xce') == 2
        assert wire.written.endswith(b'x' * (10_000 - 2 * 4088) + b'\xce')

    def test_text_body(self, wire: ScriptedWire, channel: Channel) -> None:
        """Text without an encoding is UTF-8; the message of the caller stays as it was."""
        message = channel.prepare_message('é')
        channel.basic_publish(message, routing_key='q')
        assert 'é'.encode() + b'\xce' in wire.written
        assert b'\x05utf-8' in wire.written
        assert message.properties['content_encoding'] is None

    def test_busy(self, connection: Connection, channel: Channel) -> None:
        """Another thread that writes for too long is not waited for."""
        connection.writer._turn.acquire()
        with pytest.raises(RecoverableConnectionError, match='took nothing'):
            channel.basic_publish(Content('x'), routing_key='q', timeout=0.01)
        connection.writer._turn.release()

    def test_answer_while_busy(self, wire: ScriptedWire, connection: Connection) -> None:
        """The reading thread does not wait for a writing one: that takes the frame along."""
        channel = connection.channel()
        wire.sent.clear()
        connection.writer._turn.acquire()
        wire.says(1, spec.Channel.Close, error())
        connection.look()
        assert wire.methods() == []
        connection.writer._turn.release()
        channel.open()
        assert wire.methods() == [spec.Channel.CloseOk, spec.Channel.Open]


class TestDraining:
    def test_delivers(self, wire: ScriptedWire, channel: Channel) -> None:
        got: list[Any] = []
        channel.basic_consume('q', callback=got.append)
        wire.delivers(b'body', 7, content_encoding='utf-8', application_headers={'a': 1})
        channel.connection.drain_events(timeout=1)
        message = channel.message_to_python(got[0])
        assert isinstance(message, Message)
        assert (message.body, message.headers, message.delivery_tag) == ('body', {'a': 1}, 7)
        assert message.delivery_info == {
            'consumer_tag': 'tag',
            'delivery_tag': 7,
            'redelivered': False,
            'exchange': 'exchange',
            'routing_key': 'key',
        }
        message.ack()
        assert wire.sent[-1] == (1, spec.Basic.Ack, dumps('Lb', (7, False)))

    def test_one_at_a_time(self, wire: ScriptedWire, channel: Channel) -> None:
        got: list[Any] = []
        channel.basic_consume('q', callback=got.append)
        for number in (1, 2):
            wire.delivers(number=number)
        channel.connection.drain_events(timeout=1)
        assert len(got) == 1
        channel.connection.drain_events(timeout=0)
        assert len(got) == 2

    def test_not_while_calling(self, wire: ScriptedWire, channel: Channel) -> None:
        got: list[Any] = []
        channel.basic_consume('q', callback=got.append)
        wire.delivers()
        channel.queue_declare('q')
        assert not got
        channel.connection.drain_events(timeout=0)
        assert got

    def test_nothing(self, connection: Connection) -> None:
        for timeout in (0, 0.001):
            with pytest.raises(TimeoutError, match='timed out'):
                connection.drain_events(timeout=timeout)

    def test_read_timeout(self, wire: ScriptedWire) -> None:
        connection = connected(wire, read_timeout=0.001)
        with pytest.raises(TimeoutError, match='timed out'):
            connection.drain_events()

    @pytest.mark.parametrize(
        ('encoding', 'headers', 'body', 'expected'),
        [
            ('utf-8', {}, b'\xc3\xa9', 'é'),
            ('utf-8', {}, b'\xff', b'\xff'),
            ('binary', {}, b'x', b'x'),
            ('binary', {}, b'', b''),
            ('no-such-encoding', {}, b'x', b'x'),
            ('a\0b', {}, b'x', b'x'),
            ('utf-8', {'compression': 'zlib'}, b'x', b'x'),
            (None, None, b'x', b'x'),
        ],
    )
    def test_text(
        self,
        wire: ScriptedWire,
        channel: Channel,
        encoding: Any,
        headers: Any,
        body: bytes,
        expected: Any,
    ) -> None:
        """A body is text where its encoding says so, and it is."""
        got: list[Any] = []
        channel.basic_consume('q', callback=got.append)
        wire.delivers(body, content_encoding=encoding, application_headers=headers)
        channel.connection.drain_events(timeout=1)
        assert got[0].body == expected
        assert type(got[0].body) is type(expected)

    def test_unknown_consumer(self, wire: ScriptedWire, channel: Channel) -> None:
        wire.delivers(tag='stranger')
        channel.connection.drain_events(timeout=1)
        assert wire.sent == [(1, spec.Basic.Reject, dumps('Lb', (1, True)))]

    def test_unknown_channel(self, wire: ScriptedWire, connection: Connection) -> None:
        """A channel that was closed here while this was on its way."""
        wire.delivers(channel=9)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0)

    def test_error_without_a_call(self, wire: ScriptedWire, channel: Channel) -> None:
        wire.says(1, spec.Channel.Close, error(404, 'NOT_FOUND - no exchange', (60, 40)))
        with pytest.raises(NotFound, match='no exchange'):
            channel.connection.drain_events(timeout=1)
        assert channel.is_open

    def test_error_told_by_publishing(self, wire: ScriptedWire, channel: Channel) -> None:
        """And once only."""
        wire.says(1, spec.Channel.Close, error(404, 'NOT_FOUND - no exchange', (60, 40)))
        with pytest.raises(NotFound, match='no exchange'):
            channel.basic_publish(Content('x'), routing_key='q')
        with pytest.raises(TimeoutError):
            channel.connection.drain_events(timeout=0)
        channel.basic_publish(Content('x'), routing_key='q')

    def test_what_came_before_an_error_is_void(self, wire: ScriptedWire, channel: Channel) -> None:
        got: list[Any] = []
        channel.basic_consume('q', callback=got.append)
        wire.delivers(number=1)
        wire.answers[spec.Queue.Declare] = (spec.Channel.Close, error())
        with pytest.raises(NotFound):
            channel.queue_declare('q')
        channel.basic_consume('q', callback=got.append)
        wire.delivers(b'new', number=1)
        channel.connection.drain_events(timeout=1)
        (message,) = got
        assert message.body == b'new'
        wire.sent.clear()
        channel.basic_ack(1)  # of the life before
        assert wire.methods() == []
        channel.basic_ack(message.delivery_tag)
        channel.basic_ack(0, multiple=True)
        assert [sent[2] for sent in wire.sent] == [dumps('Lb', (1, False)), dumps('Lb', (0, True))]

    def test_cancelled_by_the_broker(self, wire: ScriptedWire, channel: Channel) -> None:
        cancelled: list[str] = []
        channel.basic_consume('q', callback=print, on_cancel=cancelled.append)
        wire.says(1, spec.Basic.Cancel, dumps('sb', ('tag', True)))
        channel.connection.drain_events(timeout=1)
        assert cancelled == ['tag']

    def test_cancelled_by_the_broker_without_callback(
        self, wire: ScriptedWire, channel: Channel
    ) -> None:
        channel.basic_consume('q', callback=print)
        wire.says(1, spec.Basic.Cancel, dumps('sb', ('tag', True)))
        with pytest.raises(RecoverableConnectionError):
            channel.connection.drain_events(timeout=1)

    def test_cancel_gives_back(self, wire: ScriptedWire, channel: Channel) -> None:
        got: list[Any] = []
        channel.basic_consume('q', callback=got.append)
        wire.delivers(number=4)
        wire.delivers(number=5)
        wire.delivers(number=6, tag='other')
        channel.basic_cancel('tag')
        assert [sent[1:] for sent in wire.sent[-2:]] == [
            (spec.Basic.Reject, dumps('Lb', (4, True))),
            (spec.Basic.Reject, dumps('Lb', (5, True))),
        ]
        assert not got

    def test_cancel_of_no_ack(self, wire: ScriptedWire, channel: Channel) -> None:
        got: list[Any] = []
        channel.basic_consume('q', no_ack=True, callback=got.append)
        wire.delivers()
        channel.basic_cancel('tag')
        assert len(got) == 1
        with pytest.raises(TimeoutError):
            channel.connection.drain_events(timeout=0)

    def test_cancel_without_waiting(self, wire: ScriptedWire, channel: Channel) -> None:
        """More may arrive for it, and is handed out."""
        got: list[Any] = []
        channel.basic_consume('q', callback=got.append)
        del wire.answers[spec.Basic.Cancel]
        channel.basic_cancel('tag', nowait=True)
        wire.delivers()
        channel.connection.drain_events(timeout=1)
        assert got

    def test_recover(self, wire: ScriptedWire, channel: Channel) -> None:
        """What was delivered and not seen comes again; it is not handed out twice."""
        got: list[Any] = []
        channel.basic_consume('q', callback=got.append)
        wire.delivers(b'before')
        channel.basic_recover(requeue=True)
        wire.delivers(b'after', number=2)
        channel.connection.drain_events(timeout=1)
        assert [message.body for message in got] == [b'after']

    def test_get(self, wire: ScriptedWire, channel: Channel) -> None:
        assert channel.basic_get('q') is None
        del wire.answers[spec.Basic.Get]
        arguments = dumps('Lbssl', (9, True, 'e', 'k', 3))
        wire.says(1, spec.Basic.GetOk, arguments, {'content_encoding': 'utf-8'}, b'x')
        message = channel.basic_get('q')
        assert message.body == 'x'
        assert message.channel is channel
        assert message.delivery_info == {
            'delivery_tag': 9,
            'redelivered': True,
            'exchange': 'e',
            'routing_key': 'k',
            'message_count': 3,
        }

    def test_blocked(self, wire: ScriptedWire) -> None:
        """The callbacks run as soon as it is known, whatever the thread waits for."""
        told: list[Any] = []
        connection = connected(
            wire, on_blocked=told.append, on_unblocked=lambda: told.append('unblocked')
        )
        channel = connection.channel()
        wire.says(0, spec.Connection.Blocked, dumps('s', ('low on disk',)))
        channel.queue_declare('q')
        assert told == ['low on disk']
        wire.breaks = TimeoutError()
        with pytest.raises(RecoverableConnectionError, match='low on disk'):
            channel.basic_publish(Content('x'), routing_key='q')
        wire.says(0, spec.Connection.Unblocked)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0.001)
        assert told == ['low on disk', 'unblocked']


class TestReturns:
    ARGUMENTS = dumps('Bsss', (312, 'NO_ROUTE', 'e', 'k'))

    def test_callback(self, wire: ScriptedWire, channel: Channel) -> None:
        returned: list[Any] = []
        channel.events['basic_return'].add(lambda *args: returned.append(args))
        wire.says(1, spec.Basic.Return, self.ARGUMENTS, {}, b'x')
        channel.connection.drain_events(timeout=1)
        ((exc, exchange, routing_key, message),) = returned
        assert isinstance(exc, ChannelError)
        assert (exchange, routing_key, message.body) == ('e', 'k', b'x')

    def test_callback_after_a_call(self, wire: ScriptedWire, channel: Channel) -> None:
        """One that only publishes and declares hears of it, too; and once."""
        returned: list[Any] = []
        channel.events['basic_return'].add(lambda *args: returned.append(args))
        wire.says(1, spec.Basic.Return, self.ARGUMENTS, {}, b'x')
        channel.queue_declare('q')
        with pytest.raises(TimeoutError):
            channel.connection.drain_events(timeout=0)
        assert len(returned) == 1

    def test_no_callback(self, wire: ScriptedWire, channel: Channel) -> None:
        wire.says(1, spec.Basic.Return, self.ARGUMENTS, {}, b'x')
        channel.queue_declare('q')
        with pytest.raises(ChannelError, match='NO_ROUTE'):
            channel.connection.drain_events(timeout=1)


class TestConfirms:
    def answer(self, wire: ScriptedWire, *answers: Any) -> None:
        """Have the broker answer when the publisher waits."""
        pending = list(answers)

        def on_wait(timeout: float | None) -> None:
            if pending:
                wire.says(1, *pending.pop(0))
            else:
                time.sleep(0.001)

        wire.on_wait = on_wait

    def publish(self, channel: Channel, **kwargs: Any) -> None:
        channel.basic_publish(Content('x'), exchange='e', routing_key='k', **kwargs)

    def ack(self, number: int, multiple: bool = False) -> tuple[Any, bytes]:
        return spec.Basic.Ack, dumps('Lb', (number, multiple))

    def test_ack(self, wire: ScriptedWire, confirming: Channel) -> None:
        self.answer(wire, self.ack(1), self.ack(2))
        self.publish(confirming)
        self.publish(confirming)
        assert wire.methods() == [spec.Confirm.Select, spec.Basic.Publish, spec.Basic.Publish]

    def test_ack_of_several(self, wire: ScriptedWire, confirming: Channel) -> None:
        self.answer(wire, self.ack(1, multiple=True))
        self.publish(confirming)

    def test_nack(self, wire: ScriptedWire, confirming: Channel) -> None:
        self.answer(wire, (spec.Basic.Nack, dumps('Lb', (1, False))))
        with pytest.raises(MessageNacked, match="exchange 'e' with routing key 'k'"):
            self.publish(confirming)

    def test_timeout(self, wire: ScriptedWire, confirming: Channel) -> None:
        with pytest.raises(TimeoutError, match=r'not confirmed in 0\.01 s'):
            self.publish(confirming, confirm_timeout=0.01)

    def test_late_ack(self, wire: ScriptedWire, confirming: Channel) -> None:
        """That of the first message does not confirm the second."""
        with pytest.raises(TimeoutError):
            self.publish(confirming, confirm_timeout=0.01)
        self.answer(wire, self.ack(1))
        with pytest.raises(TimeoutError):
            self.publish(confirming, confirm_timeout=0.01)
        self.answer(wire, self.ack(2), self.ack(3))
        self.publish(confirming)

    def test_unroutable(self, wire: ScriptedWire, confirming: Channel) -> None:
        """The error is raised here, and nowhere else."""
        returned = (spec.Basic.Return, TestReturns.ARGUMENTS, {}, b'x')
        self.answer(wire, returned, self.ack(1), self.ack(2))
        with pytest.raises(ChannelError, match='NO_ROUTE'):
            self.publish(confirming, mandatory=True)
        self.publish(confirming, mandatory=True)
        with pytest.raises(TimeoutError):
            confirming.connection.drain_events(timeout=0.001)

    def test_unroutable_with_callback(self, wire: ScriptedWire, confirming: Channel) -> None:
        returned: list[Any] = []
        confirming.events['basic_return'].add(lambda *args: returned.append(args))
        self.answer(wire, (spec.Basic.Return, TestReturns.ARGUMENTS, {}, b'x'), self.ack(1))
        self.publish(confirming, mandatory=True)
        assert len(returned) == 1

    def test_unroutable_too_late(
        self, wire: ScriptedWire, confirming: Channel, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Nobody waits for it any more; it is written down."""
        self.answer(wire, self.ack(1))
        self.publish(confirming)
        wire.says(1, spec.Basic.Return, TestReturns.ARGUMENTS, {}, b'x')
        with pytest.raises(TimeoutError):
            confirming.connection.drain_events(timeout=0.001)
        assert 'came back: NO_ROUTE' in caplog.text

    def test_channel_closed(self, wire: ScriptedWire, confirming: Channel) -> None:
        """The error is the answer; after it counting begins anew."""
        self.answer(wire, (spec.Channel.Close, error(404, 'no exchange', (60, 40))))
        with pytest.raises(NotFound):
            self.publish(confirming)
        self.answer(wire, self.ack(1))
        self.publish(confirming)
        assert wire.methods().count(spec.Confirm.Select) == 2

    def test_not_written(self, wire: ScriptedWire, confirming: Channel) -> None:
        """A message that did not leave has no number."""
        self.answer(wire, self.ack(1), self.ack(2))
        self.publish(confirming)
        wire.breaks = TimeoutError()
        with pytest.raises(RecoverableConnectionError):
            self.publish(confirming)
        self.publish(confirming)

    def test_without_the_option(self, wire: ScriptedWire, channel: Channel) -> None:
        """One message may be confirmed on its own; those in between are counted."""
        self.answer(wire, self.ack(1), self.ack(3))
        channel.basic_publish_confirm(Content('x'), 'e', 'k')
        self.publish(channel)
        channel.basic_publish_confirm(Content('x'), 'e', 'k')

    def test_callbacks(self, wire: ScriptedWire, channel: Channel) -> None:
        acked: list[Any] = []
        channel.events['basic_ack'].add(lambda *args: acked.append(args))
        channel.confirm_select(nowait=True)
        self.publish(channel)
        wire.says(1, *self.ack(1))
        channel.connection.drain_events(timeout=1)
        assert acked == [(1, False)]


class TestHeartbeats:
    @pytest.fixture
    def clock(self, monkeypatch: pytest.MonkeyPatch) -> list[float]:
        """A clock to set by hand, for all that tells the time of a heartbeat."""
        now = [1000.0]
        for module in ('_connection', '_reader', '_writer', '_wire'):
            monkeypatch.setattr(f'kombu.transport.pyamqp.{module}.monotonic', lambda: now[0])
        return now

    @pytest.fixture
    def beating(self, clock: list[float], wire: ScriptedWire) -> Connection:
        connection = connected(wire, heartbeat=10)
        wire.written = b''
        return connection

    def test_sent_when_due(
        self, clock: list[float], wire: ScriptedWire, beating: Connection
    ) -> None:
        clock[0] += 4.9
        beating.heartbeat_tick()
        assert wire.written == b''
        clock[0] += 0.2
        beating.heartbeat_tick()
        assert wire.written == HEARTBEAT
        beating.heartbeat_tick()
        assert wire.written == HEARTBEAT

    @pytest.mark.parametrize(('rate', 'pause'), [(2, 5), (4, 2.5), (0, 5), (-1, 5)])
    def test_rate(
        self, clock: list[float], wire: ScriptedWire, beating: Connection, rate: int, pause: float
    ) -> None:
        clock[0] += pause
        beating.heartbeat_tick(rate)
        assert wire.written == HEARTBEAT

    def test_missed(self, clock: list[float], wire: ScriptedWire, beating: Connection) -> None:
        clock[0] += 20.1
        with pytest.raises(ConnectionForced, match='heartbeats missed'):
            beating.heartbeat_tick()
        assert wire.closed

    def test_heard_in_time(
        self, clock: list[float], wire: ScriptedWire, beating: Connection
    ) -> None:
        """What has arrived counts, though nobody has read it yet."""
        clock[0] += 30
        wire.incoming.append(HEARTBEAT)
        beating.heartbeat_tick()
        assert beating.connected

    def test_while_draining(
        self, clock: list[float], wire: ScriptedWire, beating: Connection
    ) -> None:
        """One who waits for events sends heartbeats, and notices when none come."""

        def pass_time(timeout: float | None) -> None:
            assert timeout is not None
            clock[0] += timeout

        wire.on_wait = pass_time
        with pytest.raises(ConnectionForced, match='heartbeats missed'):
            beating.drain_events()
        assert 1020 <= clock[0] < 1021
        assert wire.written.count(HEARTBEAT) == 4

    def test_while_publishing(
        self, clock: list[float], wire: ScriptedWire, beating: Connection
    ) -> None:
        """One who only publishes notices, too, instead of publishing into the void."""
        channel = beating.channel()
        for _ in range(2):
            clock[0] += 9
            channel.basic_publish(Content('x'), routing_key='q')
        clock[0] += 9
        with pytest.raises(ConnectionForced, match='heartbeats missed'):
            channel.basic_publish(Content('x'), routing_key='q')

    def test_none(self, wire: ScriptedWire, connection: Connection) -> None:
        wire.written = b''
        connection.heartbeat_tick()
        assert wire.written == b''

    def test_waiting_messages_are_no_silence(
        self, clock: list[float], wire: ScriptedWire, beating: Connection
    ) -> None:
        """While messages wait nothing more is read, but that something is there counts."""
        channel = beating.channel()
        channel.basic_consume('q', callback=print)
        for _ in range(2):
            wire.delivers()
            beating.look()
        assert len(channel.inbox.events) == len(wire.incoming) == 1
        clock[0] += 30
        beating.heartbeat_tick()
        assert beating.connected


class TestEventLoop:
    class Loop:
        def __init__(self) -> None:
            self.soon: list[Any] = []
            self.readers: dict[Any, Any] = {}

        def call_soon(self, callback: Any, *args: Any) -> None:
            self.soon.append((callback, args))

        def add_reader(self, fd: Any, callback: Any, *args: Any) -> None:
            self.readers[fd] = (callback, args)

        def remove_reader(self, fd: Any) -> None:
            del self.readers[fd]

    def test_registers(self, connection: Connection) -> None:
        loop, transport = self.Loop(), Transport(None)
        transport.register_with_event_loop(connection, loop)
        assert list(loop.readers) == [connection.sock]
        transport.unregister_from_event_loop(connection, loop)
        assert not loop.readers
        assert connection.loop is None

    def test_drains_what_a_call_has_read(self, wire: ScriptedWire, channel: Channel) -> None:
        """The socket is not readable any more, so the loop has to be told."""
        connection, loop = channel.connection, self.Loop()
        connection.loop = loop
        got: list[Any] = []
        channel.basic_consume('q', callback=got.append)
        assert not loop.soon
        for number in (1, 2):
            wire.delivers(number=number)
        channel.queue_declare('q')
        channel.queue_declare('q')
        ((callback, args),) = loop.soon
        callback(*args)
        assert len(got) == 2
        wire.delivers(number=3)
        channel.queue_declare('q')
        assert len(loop.soon) == 2


class TestInboxes:
    """Which thread runs the callbacks."""

    def consume(self, channel: Channel, got: list[Any]) -> None:
        channel.basic_consume('q', callback=lambda message: got.append(threading.get_ident()))

    def in_thread(self, work: Any) -> Any:
        result: list[Any] = []
        thread = threading.Thread(target=lambda: result.append(work()))
        thread.start()
        thread.join()
        return result[0]

    def test_idle_owner(self, wire: ScriptedWire, channel: Channel) -> None:
        """A thread that does not come for its messages loses them to one that has none."""
        got: list[int] = []
        self.consume(channel, got)
        wire.delivers()

        def drain() -> int:
            channel.connection.drain_events(timeout=5)
            return threading.get_ident()

        assert self.in_thread(drain) == got[0]

    def test_owner_at_work(self, wire: ScriptedWire, channel: Channel) -> None:
        """One that is in a callback keeps them."""
        got: list[int] = []
        self.consume(channel, got)
        wire.delivers()
        channel.inbox.draining += 1

        def drain() -> bool:
            with pytest.raises(TimeoutError):
                channel.connection.drain_events(timeout=0.06)
            return True

        wire.on_wait = lambda timeout: time.sleep(min(timeout or 0, 0.01))
        assert self.in_thread(drain)
        assert not got

    def test_threads_with_consumers_keep_apart(self, wire: ScriptedWire, channel: Channel) -> None:
        """A thread with consumers of its own does not help out, not for seconds."""
        got: list[int] = []
        self.consume(channel, got)
        wire.delivers()

        def drain() -> bool:
            own = channel.connection.channel()
            own.basic_consume('q', callback=print)
            with pytest.raises(TimeoutError):
                channel.connection.drain_events(timeout=0.06)
            return True

        wire.on_wait = lambda timeout: time.sleep(min(timeout or 0, 0.01))
        assert self.in_thread(drain)
        assert not got

    def test_channel_follows_its_user(self, wire: ScriptedWire, channel: Channel) -> None:
        """Without consumers it belongs to the thread that uses it, as when it is from a pool."""
        returned: list[Any] = []
        channel.events['basic_return'].add(lambda *args: returned.append(threading.get_ident()))

        def use() -> int:
            channel.basic_publish(Content('x'), routing_key='nobody', mandatory=True)
            wire.says(1, spec.Basic.Return, TestReturns.ARGUMENTS, {}, b'x')
            channel.connection.drain_events(timeout=0)
            return threading.get_ident()

        assert self.in_thread(use) == returned[0]

    def test_event_loop_serves_all(self, wire: ScriptedWire, channel: Channel) -> None:
        got: list[int] = []
        self.consume(channel, got)
        wire.delivers()
        channel.connection.loop = TestEventLoop.Loop()

        def drain() -> int:
            channel.connection.drain_events(timeout=0)
            return threading.get_ident()

        assert self.in_thread(drain) == got[0]

    def test_nothing_is_kept_of_what_is_over(self, wire: ScriptedWire, channel: Channel) -> None:
        """Whoever does not drain must not be left with messages of consumers that are no more."""
        inbox = channel.inbox

        def receive() -> None:
            channel.basic_consume('q', callback=print)
            wire.delivers()
            channel.queue_declare('q')
            assert inbox.ready

        receive()
        channel.basic_cancel('tag')
        assert not inbox.ready
        receive()
        channel.basic_recover()
        assert not inbox.ready
        wire.answers[spec.Basic.Qos] = (spec.Channel.Close, error())
        receive()
        with pytest.raises(NotFound):
            channel.basic_qos(0, 1, False)
        assert not inbox.ready
        wire.says(1, spec.Channel.Close, error())
        with pytest.raises(NotFound):
            channel.basic_publish(Content('x'), routing_key='q')
        assert not inbox.ready
        receive()
        channel.close()
        assert not inbox.ready

    def test_nothing_is_kept_of_threads_that_went(self, connection: Connection) -> None:
        def use() -> None:
            channel = connection.channel()
            channel.queue_declare('q')
            channel.close()
            with pytest.raises(TimeoutError):
                connection.drain_events(timeout=0)

        for _ in range(3):
            self.in_thread(use)
        assert len(connection.inboxes) == 0


class Client:
    """As much of a `kombu.Connection` as the transport looks at."""

    hostname: Any = 'broker.example'
    port: Any = None
    userid: Any = None
    password: Any = None
    virtual_host: Any = None
    login_method: Any = None
    ssl: Any = False
    heartbeat: Any = 0
    connect_timeout: Any = 4
    credential_provider: Any = None
    transport_options: Any = None

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)


class TestTransport:
    def arguments(self, transport_class: type = Transport, **attributes: Any) -> dict[str, Any]:
        """Return what a connection is made with."""
        made: dict[str, Any] = {}

        class Recording(Connection):
            def __init__(self, **kwargs: Any) -> None:
                made.update(kwargs)

            def connect(self, callback: Any = None) -> None:
                made['connected'] = self.client

        class Recorded(transport_class):  # type: ignore[misc, valid-type]  # either of the two
            Connection = Recording

        client = Client(**attributes)
        Recorded(client).establish_connection()
        assert made.pop('connected') is client
        return made

    def test_defaults(self) -> None:
        assert self.arguments() == {
            'host': 'broker.example:5672',
            'userid': 'guest',
            'password': 'guest',
            'login_method': 'PLAIN',
            'virtual_host': '/',
            'ssl': False,
            'connect_timeout': 4,
            'heartbeat': 0,
        }

    def test_given(self) -> None:
        made = self.arguments(
            port=1, userid='u', password='p', virtual_host='v', login_method='X', heartbeat=3
        )
        assert made['host'] == 'broker.example:1'
        assert (made['userid'], made['password'], made['virtual_host']) == ('u', 'p', 'v')
        assert (made['login_method'], made['heartbeat']) == ('X', 3)

    @pytest.mark.parametrize(
        ('hostname', 'address'),
        [('localhost', '127.0.0.1:5672'), ('::1', '[::1]:5672'), (None, '127.0.0.1:5672')],
    )
    def test_address(self, hostname: Any, address: str) -> None:
        assert self.arguments(hostname=hostname)['host'] == address

    def test_options(self) -> None:
        made = self.arguments(
            transport_options={'confirm_publish': 'true', 'read_timeout': '3', 'max_retries': 1}
        )
        assert (made['confirm_publish'], made['read_timeout']) == (True, 3.0)
        assert 'max_retries' not in made

    def test_options_of_another_connection(self) -> None:
        """Who replaces `Transport.Connection` may have arguments of his own."""
        assert self.arguments(transport_options={'special': 1})['special'] == 1

    def test_unknown_option(self) -> None:
        transport = Transport(Client(transport_options={'confirm_publsh': True}))
        with pytest.warns(UnknownArgumentWarning, match="did you mean 'confirm_publish'"):
            assert transport._given_options() == {}

    @pytest.mark.parametrize(
        'options',
        [
            {'frame_max': 0},
            {'read_timeout': -1},
            {'on_blocked': 'x'},
            {'socket_settings': {'TCP_NO_SUCH': 1}},
            {'confirm_publish': 'perhaps'},
        ],
    )
    def test_impossible_option(self, options: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match=f'transport option {next(iter(options))}='):
            self.arguments(transport_options=options)

    def test_socket_settings_by_name(self) -> None:
        made = self.arguments(transport_options={'socket_settings': {'TCP_NODELAY': 1, 99: 2}})
        assert set(made['socket_settings'].values()) == {1, 2}
        assert all(isinstance(key, int) for key in made['socket_settings'])

    def test_password_is_asked_for(self) -> None:
        assert self.arguments(password=lambda: 'fresh')['password'] == 'fresh'

    def test_credential_provider(self) -> None:
        class Provider:
            def get_credentials(self) -> tuple[str, ...]:
                return ('u', 'p')

        class PasswordOnly:
            def get_credentials(self) -> tuple[str, ...]:
                return ('p',)

        made = self.arguments(credential_provider=Provider())
        assert (made['userid'], made['password']) == ('u', 'p')
        made = self.arguments(userid='me', credential_provider=PasswordOnly)
        assert (made['userid'], made['password']) == ('me', 'p')

    def test_tls(self) -> None:
        """The name to verify is that of the URL, not the address connected to."""
        made = self.arguments(SSLTransport, hostname='localhost')
        assert made['host'] == '127.0.0.1:5671'
        assert made['ssl']['server_hostname'] == 'localhost'
        assert made['ssl']['context'].check_hostname
        assert self.arguments(ssl=True)['host'] == 'broker.example:5671'

    def test_ports(self) -> None:
        transport = Transport(Client(), default_port=1, default_ssl_port=2)
        assert transport.default_connection_params['port'] == 1
        transport.client.ssl = True
        assert transport.default_connection_params['port'] == 2

    def test_errors(self) -> None:
        assert set(Transport.connection_errors) >= {amqp.ConnectionError, OSError}
        assert set(Transport.channel_errors) >= {amqp.ChannelError}
        assert set(Transport.recoverable_connection_errors) >= {
            amqp.RecoverableConnectionError,
            MessageNacked,
            OSError,
        }
        assert set(Transport.recoverable_channel_errors) >= {amqp.RecoverableChannelError}

    def test_claims(self) -> None:
        assert Transport.implements.exchange_type == {'direct', 'topic', 'fanout', 'headers'}
        assert Transport.implements.confirms
        assert not Transport.implements.delay
        assert not Transport.implements.batch_publish

    def test_verify(self, wire: ScriptedWire, connection: Connection) -> None:
        transport = Transport(Client())
        assert transport.verify_connection(connection)
        wire.incoming.append(ConnectionResetError())
        connection._next_look = 0.0
        assert not transport.verify_connection(connection)
        assert not transport.verify_connection(connection)

    def test_closing(self, wire: ScriptedWire, connection: Connection) -> None:
        transport = Transport(Client())
        connection.client = transport.client
        transport.close_channel(transport.create_channel(connection))
        transport.close_connection(connection)
        transport.close_connection(connection)
        assert connection.client is None

    def test_collect(self, wire: ScriptedWire, connection: Connection) -> None:
        Transport(Client())._collect(connection)
        assert wire.methods() == []
        assert wire.closed

    @pytest.mark.parametrize(
        ('properties', 'by_spec'),
        [
            ({'product': 'RabbitMQ', 'version': '3.10.8'}, False),
            ({'product': 'RabbitMQ', 'version': '3.3.0'}, False),
            ({'product': 'RabbitMQ', 'version': '3.2.4'}, True),
            ({'product': 'RabbitMQ', 'version': '4.0.1-rc.1'}, False),
            ({'product': 'other'}, True),
        ],
    )
    def test_prefetch(
        self, connection: Connection, properties: dict[str, str], by_spec: bool
    ) -> None:
        connection.server_properties = properties
        assert Transport(Client()).qos_semantics_matches_spec(connection) is by_spec

    def test_heartbeats(self, connection: Connection) -> None:
        transport = Transport(Client())
        assert transport.get_heartbeat_interval(connection) == 0
        transport.heartbeat_check(connection)

    def test_version(self) -> None:
        assert Transport(Client()).driver_version() == amqp.__version__


class TestMessages:
    def test_prepare(self, channel: Channel) -> None:
        """Nothing of the caller's is changed."""
        headers, properties = {'a': 1}, {'delivery_mode': 2}
        message = channel.prepare_message('x', 5, 'text/plain', 'utf-8', headers, properties)
        assert message.body == 'x'
        assert message.properties == {
            'priority': 5,
            'content_type': 'text/plain',
            'content_encoding': 'utf-8',
            'application_headers': {'a': 1},
            'delivery_mode': 2,
        }
        assert (headers, properties) == ({'a': 1}, {'delivery_mode': 2})

    def test_unknown_property(self, channel: Channel) -> None:
        with pytest.warns(UnknownArgumentWarning, match="'reply_too'.*'reply_to'"):
            channel.prepare_message('x', properties={'reply_too': 'q'})

    def test_queue_arguments(self, channel: Channel) -> None:
        arguments = {'x-a': 1}
        assert channel.prepare_queue_arguments(arguments, expires=1.5, max_priority=None) == {
            'x-a': 1,
            'x-expires': 1500,
        }
        assert arguments == {'x-a': 1}

    def test_result(self, channel: Channel) -> None:
        """Publishing returns a promise that is fulfilled, and can be chained to."""
        called: list[int] = []
        result = channel.basic_publish(Content('x'), routing_key='q')
        assert result.ready
        result.then(lambda: called.append(1))
        result.then(lambda: called.append(2))
        assert called == [1, 2]


@pytest.mark.skipif(not hasattr(os, 'fork'), reason='no fork on this system')
@pytest.mark.filterwarnings('ignore:.*multi-threaded, use of fork:DeprecationWarning')
def test_forking(wire: ScriptedWire, connection: Connection) -> None:
    """A real fork: the child finds it closed, the parent does not."""
    child = os.fork()
    if not child:
        os._exit(0 if wire.dropped and not connection.connected else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert connection.connected
