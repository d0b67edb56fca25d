"""Connections: py-amqp's, made for several threads and for networks that fail."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from time import monotonic
from typing import Any

from amqp import spec
from amqp.exceptions import (
    ConnectionForced,
    RecoverableConnectionError,
)

from kombu.exceptions import ConcurrentUseError, ConnectionError, TimeoutError
from kombu.log import get_logger
from kombu.utils.compat import register_after_fork

from ._call import Caller, Reply, Signature
from ._channel import Channel
from ._driver import AMQPConnection, dumps, error_for_code
from ._frames import HEARTBEAT, Method, method_frame
from ._inbox import Inboxes
from ._reader import Reader
from ._wire import TCPWire, TLSWire, Wire
from ._writer import Writer

__all__ = ('Connection',)

logger = get_logger(__name__)

#: Seconds to wait for an answer of the broker where neither the call nor `read_timeout` says.
ANSWER_TIMEOUT = 30.0
#: Seconds to wait for the broker to take what is written where neither the call nor `write_timeout`
#: says.
WRITE_TIMEOUT = 30.0
#: Seconds that closing may take.
CLOSE_TIMEOUT = 5.0
#: Seconds between two looks at the socket by a thread that does nothing but publish.
LOOK_INTERVAL = 0.001


#: Why nothing arrives any more on a connection that was closed here.
_CLOSED = RecoverableConnectionError('connection already closed')


class Connection(Caller, AMQPConnection):  # type: ignore[misc]  # py-amqp is untyped
    """A connection.

    Its methods are those of `amqp.Connection`.  Threads may share it, each with channels of its
    own; how that works is told in `kombu.transport.pyamqp`.

    Args:
        host: `'host:port'`.
        read_timeout: seconds to wait for an answer of the broker where a call has no limit of its
            own; `drain_events` without a timeout gives up after as long, if it is set.
        write_timeout: seconds to wait for the broker to take what is written.
        kwargs: what `amqp.Connection` takes.
    """

    Channel = Channel

    #: The reason that the broker gives comes along, which py-amqp leaves out.
    _METHODS = {
        **AMQPConnection._METHODS,
        spec.Connection.Blocked: spec.method(spec.Connection.Blocked, 's'),
    }

    channels: Any
    client_heartbeat: Any
    frame_max: int
    heartbeat: Any
    _transport: Any

    #: The `kombu.Connection` it was made for.
    client: Any = None

    def __init__(
        self,
        host: str = 'localhost:5672',
        *args: Any,
        read_timeout: float | None = None,
        write_timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        self._start_calling()
        self.close_timeout = CLOSE_TIMEOUT
        self.answer_timeout = ANSWER_TIMEOUT if read_timeout is None else read_timeout
        self._drain_timeout = read_timeout
        self._write_timeout = WRITE_TIMEOUT if write_timeout is None else write_timeout
        self._loop: Any = None
        self._loop_called = False
        self._numbers = threading.Lock()
        #: Time of `monotonic` at which a publisher looks at the socket next.
        self._next_look = 0.0
        super().__init__(host, *args, **kwargs)
        # It is a whole number on the wire.
        self.client_heartbeat = math.ceil(self.client_heartbeat or 0)
        self._use(None)

    def _use(self, wire: Any) -> None:
        """Read from and write to a wire from now on."""
        self._transport = wire
        self.writer = Writer(wire, self._write_timeout, self._fail, self._gone)
        self.reader = Reader(wire, self._file, self._tend, self._fail)
        self.inboxes = Inboxes(self.reader.filing)

    # -- opening

    def Transport(
        self,
        host: str,
        connect_timeout: float | None,
        ssl: Any = False,
        read_timeout: float | None = None,
        write_timeout: float | None = None,
        socket_settings: Any = None,
        **kwargs: Any,
    ) -> Wire:
        """Make the wire."""
        kind = TLSWire if ssl else TCPWire
        wire: Wire = kind(
            host, connect_timeout=connect_timeout, ssl=ssl, socket_settings=socket_settings
        )
        return wire

    def connect(self, callback: Callable[[], Any] | None = None) -> Any:
        """Connect and log in.

        Raises:
            TimeoutError: not all of it was done within `connect_timeout`.
            OSError: the server cannot be reached, or its certificate not be verified.
            amqp.exceptions.AMQPError: the broker refuses.
        """
        if self.connected:
            return callback() if callback else None
        limit = None if self.connect_timeout is None else monotonic() + self.connect_timeout
        try:
            wire = self.Transport(
                self.host,
                self.connect_timeout,
                self.ssl,
                socket_settings=self.socket_settings,
            )
            self._use(wire)
            register_after_fork(self, Connection._after_fork)
            wire.connect()
            opened = self._pending[spec.Connection.OpenOk] = Reply()
            if not self.reader.wait(opened, limit):
                raise TimeoutError(
                    f'no answer like that of a broker from {self.host} '
                    f'within {self.connect_timeout} s'
                )
        except BaseException:
            self.collect()
            raise
        return callback() if callback else None

    def _after_fork(self) -> None:
        """Leave the connection to the parent process: here it is closed, without a sign of it."""
        wire = self._transport
        if wire is not None:
            # Another thread of the parent may have held a lock at that moment, and is not here to
            # release it.
            self._numbers = threading.Lock()
            self._use(wire)
            for channel in list(self.channels.values()):
                channel.forked()
            wire.drop()
            self.collect()

    def forked(self) -> None:
        """Forget the waits of threads that are not in this process."""
        self._reply = None

    def _send(
        self,
        signature: Signature,
        arguments: bytes,
        content: Any = None,
        timeout: float | None = None,
    ) -> None:
        self.writer.transmit((method_frame(0, signature, arguments),), timeout=timeout)

    # -- reading

    def drain_events(self, timeout: float | None = None) -> None:
        """Wait for an event of this thread's channels, and run its callback.

        Args:
            timeout: seconds; None stands for the `read_timeout` of the connection, or else for
                ever.

        Raises:
            TimeoutError: nothing happened in that time.
        """
        if timeout is None:
            timeout = self._drain_timeout
        limit = None if timeout is None else monotonic() + timeout
        if self._transport is None:
            raise self._gone()
        inboxes = self.inboxes
        inbox = inboxes.mine()
        inbox.draining += 1
        try:
            while True:
                while inbox.ready:
                    if inbox.handle_one():
                        return
                self._await_event(inbox, limit)
        finally:
            inbox.draining -= 1
            inbox.seen = monotonic()
            if not inbox.channels:
                inboxes.tidy(inbox)

    def _await_event(self, inbox: Any, limit: float | None) -> None:
        """Wait until there may be something in an inbox."""
        until = limit
        inboxes = self.inboxes
        if len(inboxes) > 1:
            if inboxes.adopt(inbox):
                return
            again = monotonic() + inboxes.patience(inbox)
            until = again if limit is None else min(limit, again)
        if self.reader.wait(inbox, until) or until != limit:
            return
        if len(inboxes) == 1 or not inboxes.adopt(inbox):
            raise TimeoutError('timed out')

    def blocking_read(self, timeout: float | None = None) -> None:
        """Do what `drain_events` does."""
        self.drain_events(timeout)

    def look(self) -> None:
        """File what has arrived, without waiting.

        As long as there are events that nobody has come for nothing is read: the consumers are
        slower than the broker then, and it is to notice.
        """
        if not self.inboxes.pending():
            self.reader.poll()
            self.after_reading()

    def glance(self) -> None:
        """Look, but not all the time: for what is done often and would not hear of errors."""
        now = monotonic()
        if now >= self._next_look:
            self._next_look = now + LOOK_INTERVAL
            if self.heartbeat:
                self.heartbeat_tick()
            else:
                self.look()

    def after_reading(self) -> None:
        """Do what has become due while this thread waited for something else than events."""
        loop = self._loop
        if loop is not None and not self._loop_called and self.inboxes.pending():
            # The loop watches the socket, and that has been read.
            self._loop_called = True
            loop.call_soon(self._drain_for_loop)

    @property
    def loop(self) -> Any:
        """The event loop that drains events, for all threads."""
        return self._loop

    @loop.setter
    def loop(self, loop: Any) -> None:
        self._loop = loop
        self.inboxes.looped = loop is not None

    def _drain_for_loop(self) -> None:
        self._loop_called = False
        try:
            while self._transport is not None:
                self.drain_events(timeout=0)
        except TimeoutError:
            pass

    def _file(self, method: Method) -> None:
        """Take a method of the broker; runs in the thread that reads."""
        if not method.channel:
            self.dispatch_method(method.signature, method.payload, None)
            return
        channels = self.channels
        channel = channels.get(method.channel) if channels and not self.is_closing else None
        if channel is not None:
            channel.file(method)
        # Else: it was closed here while this was on its way.

    # -- methods of the broker

    def _on_open_ok(self) -> None:
        self._handshake_complete = True
        self.reader.due.append(lambda: self.on_open(self))

    def _on_tune(
        self, channel_max: int, frame_max: int, server_heartbeat: int, argsig: str = 'BlB'
    ) -> None:
        """Agree on the smaller limits (AMQP 0-9-1, 1.4.2.6); 0 is no limit."""
        super()._on_tune(
            _smaller(channel_max, self.channel_max),
            _smaller(frame_max, self.frame_max),
            server_heartbeat,
            argsig,
        )
        self.reader.parser.limit = self.frame_max

    def _on_close(self, reply_code: int, reply_text: str, class_id: int, method_id: int) -> None:
        """The broker ends the connection."""
        self.writer.answer(method_frame(0, spec.Connection.CloseOk))
        raise error_for_code(reply_code, reply_text, (class_id, method_id), ConnectionError)

    def _on_close_ok(self) -> None:
        self.collect()

    def _on_blocked(self, reason: str = '') -> None:
        self.writer.blocked = reason
        logger.warning('the broker takes no messages on %s: %s', self.host, reason)
        if self.on_blocked:
            self.reader.due.append(lambda: self.on_blocked(reason))

    def _on_unblocked(self) -> None:
        self.writer.blocked = None
        if self.on_unblocked:
            self.reader.due.append(self.on_unblocked)

    # -- closing

    def close(
        self,
        reply_code: int = 0,
        reply_text: str = '',
        method_sig: Signature = (0, 0),
        argsig: str = 'BsBB',
    ) -> None:
        """Take leave of the broker and close, in `close_timeout` seconds at most, without fail."""
        if self._transport is None:
            return
        arguments = dumps(argsig, (reply_code, reply_text, *method_sig))
        self.is_closing = True
        try:
            self._call(
                spec.Connection.Close,
                arguments,
                [spec.Connection.CloseOk],
                timeout=self.close_timeout,
            )
        except (*self.connection_errors, ConcurrentUseError) as exc:
            logger.debug('%s was not closed properly: %r', self.host, exc)
        finally:
            self.is_closing = False
            self.collect()

    def collect(self) -> None:
        """Close the socket and let go of everything, without a word to the broker."""
        wire, self._transport = self._transport, None
        if self.reader.failure is None:
            self.reader.failure = _CLOSED
        if wire is not None:
            wire.close()
        channels, self.channels = self.channels, None
        for channel in list(channels.values()) if channels else ():
            if channel is not self:
                channel.collect()
        self.connection = None
        reply = self._reply
        if reply is not None and not reply.ready:
            reply.fail(self._gone)
        self.reader.wake_all()

    def _fail(self, exc: BaseException) -> None:
        """Let go of everything because of an error, which every thread that waits is told."""
        if self.reader.failure is None:
            self.reader.failure = (
                exc
                if isinstance(exc, Exception)
                else RecoverableConnectionError(f'interrupted by {type(exc).__name__}')
            )
        self.collect()

    def _gone(self) -> BaseException:
        """Make the error for using a connection that is closed."""
        failure = self.reader.failure
        if failure is None:
            return RecoverableConnectionError('not connected')
        reason = '' if failure is _CLOSED else f': {failure}'
        error = RecoverableConnectionError(f'connection already closed{reason}')
        error.__cause__ = failure
        return error

    def _unanswered(self) -> None:
        self.collect()

    @property
    def transport(self) -> Wire:
        """The wire."""
        wire: Wire | None = self._transport
        if wire is None:
            raise self._gone()
        return wire

    @transport.setter
    def transport(self, wire: Wire) -> None:
        self._transport = wire

    # -- channels

    def channel(
        self, channel_id: int | None = None, callback: Callable[..., Any] | None = None
    ) -> Any:
        """Open a channel, or return the one of that number."""
        channels = self.channels
        if channels is None or self._transport is None:
            raise self._gone()
        if channel_id in channels:
            return channels[channel_id]
        channel = self.Channel(self, channel_id, on_open=callback)
        try:
            channel.open()
        except BaseException:
            channel.collect()
            raise
        return channel

    def _get_free_channel_id(self) -> int:
        with self._numbers:
            number: int = super()._get_free_channel_id()
        return number

    def _claim_channel_id(self, channel_id: int) -> int:
        with self._numbers:
            number: int = super()._claim_channel_id(channel_id)
        return number

    def free(self, number: int, channel: Any) -> None:
        """Forget a channel, and let its number be used again."""
        self.inboxes.closed(channel)
        with self._numbers:
            self._free(number)

    def _free(self, number: int) -> None:
        if self.channels is not None and self.channels.pop(number, None) is not None:
            self._used_channel_ids.remove(number)
            self.reader.parser.forget(number)

    def give_up(self, channel: Any) -> None:
        """Close a channel without waiting.

        An answer to a call that has ended must not be taken for that to the next one.
        """
        number = channel.channel_id
        channel.collect()
        with self._numbers:
            if self.channels is None or number is None:
                return
            self._used_channel_ids.append(number)
            self.channels[number] = _Leaving(self, number)
        arguments = dumps('BsBB', (0, '', 0, 0))
        self.writer.answer(method_frame(number, spec.Channel.Close, arguments))

    # -- heartbeats

    def send_heartbeat(self) -> None:
        """Write a heartbeat."""
        self.writer.spoken = monotonic()
        self.writer.answer(HEARTBEAT)

    def heartbeat_tick(self, rate: float = 2) -> None:
        """Send a heartbeat if it is time to, and see whether the broker still sends something.

        Args:
            rate: how many heartbeats to send in an interval.

        Raises:
            ConnectionForced: nothing was heard from the broker for two intervals.
        """
        wire = self._transport
        if wire is None:
            raise self._gone()
        if not self.heartbeat:
            return
        self.look()
        if self.inboxes.pending() and wire.wait_readable(0):
            # What has arrived has to wait, but it has arrived.
            self.reader.heard = monotonic()
        try:
            self._tend(rate)
        except ConnectionForced as exc:
            self._fail(exc)
            raise

    def _tend(self, rate: float = 2) -> float | None:
        """Send a heartbeat if it is time to, and listen for those of the broker.

        Returns:
            When (`monotonic`) to do so again.
        """
        interval = self.heartbeat
        if not interval:
            return None
        now = monotonic()
        silence = now - self.reader.heard
        if silence > 2 * interval:
            raise ConnectionForced(f'Too many heartbeats missed: nothing heard for {silence:.1f} s')
        pause = interval / (rate if rate > 0 else 2)
        if now - self.writer.spoken >= pause:
            self.send_heartbeat()
        again: float = min(self.writer.spoken + pause, self.reader.heard + 2 * interval + 0.001)
        return again


class _Leaving:
    """A channel that was given up; its number is taken until the broker says it is closed."""

    def __init__(self, connection: Connection, number: int) -> None:
        self.connection = connection
        self.number = number

    def file(self, method: Method) -> None:
        """Wait for the end, and ignore the rest (AMQP 0-9-1, 1.5.2.5)."""
        if method.signature == spec.Channel.CloseOk:
            with self.connection._numbers:
                self.connection._free(self.number)
        elif method.signature == spec.Channel.Close:
            self.connection.writer.answer(method_frame(self.number, spec.Channel.CloseOk))

    def collect(self) -> None:
        """There is nothing to let go of."""

    forked = collect


def _smaller(theirs: int, ours: int) -> int:
    return min(theirs, ours) if theirs and ours else theirs or ours
