"""Channels: py-amqp's, on our connection."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from struct import Struct
from typing import Any

from amqp import spec
from amqp.exceptions import RecoverableConnectionError
from amqp.protocol import queue_declare_ok_t

from kombu.exceptions import ChannelError
from kombu.log import get_logger
from kombu.transport import base
from kombu.utils.arguments import warn_unknown

from ._call import DONE, Signature
from ._driver import AMQPChannel, dumps, error_for_code, loads
from ._frames import Content, Method, content_frames, method_frame
from ._inbox import Event
from ._message import Message
from ._publisher import Publisher
from ._tables import PROPERTY_NAMES

__all__ = ('Channel',)

logger = get_logger(__name__)

#: Delivery tags as the application sees them are those of the wire, plus this for each time that
#: the channel had to be opened again.
TAGS_PER_LIFE = 1 << 40

_tag_and_flag = Struct('>QB')


def _shortstr(payload: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + payload[at]
    return payload[at + 1 : end].decode('utf-8', 'surrogatepass'), end


def _compressed(message: Content) -> bool:
    headers: Any = message.properties.get('application_headers')
    return bool(headers) and 'compression' in headers


def _without_line_breaks(name: Any, what: str) -> None:
    """Refuse a name that RabbitMQ would declare without its line breaks, as a different one."""
    if name and ('\n' in name or '\r' in name):
        raise ValueError(f'the name of {what} must not contain line breaks: {name!r}')


def _closed() -> BaseException:
    return RecoverableConnectionError('the channel was closed')


class Channel(Publisher, AMQPChannel, base.StdChannel):  # type: ignore[misc]  # py-amqp is untyped
    """A channel.

    Its methods are those of `amqp.Channel`.  It is for one thread at a time: where two wait for an
    answer at once, the second gets a `ConcurrentUseError`.  What needs no answer (publishing,
    settling messages) may be done from any thread.

    The broker closes a channel over an error (AMQP 0-9-1, 1.4).  It is opened again before the
    error is raised, without its consumers and settings.  What was unacknowledged is in its queues
    again by then; to acknowledge it does nothing.
    """

    connection: Any
    no_ack_consumers: Any

    #: What `message_to_python` makes.
    Message = Message

    def __init__(
        self,
        connection: Any,
        channel_id: int | None = None,
        auto_decode: bool = True,
        on_open: Callable[..., Any] | None = None,
    ) -> None:
        self._start_calling()
        self._start_publishing()
        #: Counts how often the channel was opened.
        self.life = 0
        self._reviving = threading.Lock()
        super().__init__(connection, channel_id, auto_decode, on_open)
        # py-amqp replaces the method on the instance to wait for confirms; ours looks for itself.
        self.__dict__.pop('basic_publish', None)
        self.inbox = connection.inboxes.opened(self)

    def __repr__(self) -> str:
        state = 'open' if self.is_open else 'closed'
        return f'<{type(self).__name__} {self.channel_id} ({state}) of {self.connection!r}>'

    # -- messages

    def prepare_message(
        self,
        body: Any,
        priority: int | None = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
        headers: Mapping[str, Any] | None = None,
        properties: Mapping[str, Any] | None = None,
        _Message: Any = Content,
    ) -> Any:
        """Make the message that `basic_publish` takes.

        A property that AMQP has no word for does not reach the consumer, and warns.
        """
        if properties and not PROPERTY_NAMES.issuperset(properties):
            warn_unknown('basic_publish', set(properties) - PROPERTY_NAMES, PROPERTY_NAMES)
        return _Message(
            body,
            priority=priority,
            content_type=content_type,
            content_encoding=content_encoding,
            application_headers=headers,
            **properties or {},
        )

    def message_to_python(self, raw_message: Any) -> Any:
        """Make a `kombu.Message` of a message as it was delivered."""
        return self.Message(raw_message, channel=self)

    # -- opening and closing

    def open(self) -> None:
        """Open the channel."""
        if not self.is_open:
            self._call(spec.Channel.Open, b'\0', [spec.Channel.OpenOk])

    def _on_open_ok(self) -> None:
        self.life += 1
        super()._on_open_ok()

    def close(
        self,
        reply_code: int = 0,
        reply_text: str = '',
        method_sig: Signature = (0, 0),
        argsig: str = 'BsBB',
    ) -> None:
        """Close the channel; what is not acknowledged goes back to its queues.

        It takes the `close_timeout` of the connection at most, and does not fail.
        """
        connection = self.connection
        if connection is None:
            return
        arguments = dumps(argsig, (reply_code, reply_text, *method_sig))
        self.is_closing = True
        try:
            if self.is_open:
                self._call(
                    spec.Channel.Close,
                    arguments,
                    [spec.Channel.CloseOk],
                    timeout=connection.close_timeout,
                )
        except connection.connection_errors as exc:
            logger.debug('channel %s was not closed properly: %r', self.channel_id, exc)
        finally:
            self.is_closing = False
            self.collect()

    def collect(self) -> None:
        """Let go of everything, without a word to the broker."""
        connection, self.connection = self.connection, None
        number, self.channel_id = self.channel_id, None
        self.is_open = False
        self._void()
        self.events.clear()
        self._end_waits(self._trouble or _closed)
        if connection is not None:
            connection.free(number, self)

    def _void(self) -> None:
        """Forget what belonged to the life of the channel that has ended."""
        self._confirm_selected = False
        self.callbacks.clear()
        self.cancel_callbacks.clear()
        self.no_ack_consumers.clear()
        self._returned.clear()

    def _end_waits(self, error: Callable[[], BaseException]) -> bool:
        """Wake those who wait on the channel, with an error; True where there are any."""
        waiting = self._abandon_confirms(error)
        reply = self._reply
        if reply is not None and reply in self._pending.values():
            reply.fail(error)
            return True
        return waiting

    def _revive(self) -> None:
        """Open the channel again after an error; if that fails it stays closed."""
        with self._reviving:
            if not self.is_open and self.connection is not None:
                try:
                    self.open()
                except Exception as exc:
                    logger.debug('channel %s cannot be opened again: %r', self.channel_id, exc)

    def forked(self) -> None:
        """Forget the waits of threads that are not in this process."""
        self._reply = self._confirms = None

    # -- sending

    def _send(
        self,
        signature: Signature,
        arguments: bytes,
        content: Any = None,
        timeout: float | None = None,
    ) -> None:
        connection = self._connected()
        frames = [method_frame(self.channel_id, signature, arguments)]
        if content is not None:
            frames = content_frames(frames[0], self.channel_id, content, connection.frame_max)
        channel = None if signature == spec.Channel.Open else self
        connection.writer.transmit(frames, channel, timeout)

    def may_send(self) -> None:
        """Raise if nothing may be sent; called with the connection held for writing.

        RabbitMQ closes the whole connection over a frame on a channel that is not open.
        """
        if not self.is_open:
            raise RecoverableConnectionError(f'channel {self.channel_id} is closed')

    def _call(self, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        self._claim()
        found = super()._call(*args, **kwargs)
        self._handle_returned_if_wanted()
        return found

    def _unanswered(self) -> None:
        connection = self.connection
        if connection is not None:
            connection.give_up(self)

    # -- receiving: this runs in the thread that reads, and waits for nothing

    def file(self, method: Method) -> None:
        """Take a method of the broker."""
        signature = method.signature
        if signature == spec.Basic.Deliver:
            if not self.is_closing:
                self._post(method)
        elif signature in _FILED:
            _FILED[signature](self, method)
        else:
            self.dispatch_method(signature, method.payload, None)

    def _post(self, method: Method) -> None:
        """Leave a method to the thread of the channel."""
        self.inbox.put(Event(self, self.life, method))

    def _message(self, method: Method) -> Content:
        message = Content.received(method.header or b'', method.body)
        message.channel = self
        if self.auto_decode and message.body:
            encoding = message.properties.get('content_encoding')
            if encoding is not None and encoding != 'binary' and not _compressed(message):
                try:
                    message.body = message.body.decode(encoding)
                except (LookupError, ValueError):
                    pass  # the serializer will tell, or does not mind
        return message

    def _file_close(self, method: Method) -> None:
        """Note that the broker has closed the channel over an error."""
        connection = self.connection
        if connection is None:
            return
        code, text, class_id, method_id = loads('BsBB', method.payload, 4)[0]

        def error() -> BaseException:
            self._revive()
            found: BaseException = error_for_code(code, text, (class_id, method_id), ChannelError)
            return found

        self.is_open = False
        self._void()
        self.inbox.withdraw(self)
        connection.writer.answer(method_frame(self.channel_id, spec.Channel.CloseOk))
        # Where requests to close have crossed, the broker answers ours nevertheless.
        if not self.is_closing and not self._end_waits(error):
            self._trouble = error
            self.inbox.notify(self)

    def _file_got(self, method: Method) -> None:
        reply = self._pending.pop(method.signature, None)
        if reply is not None:
            arguments = loads('Lbssl', method.payload, 4)[0]
            reply(method.signature, *arguments, self._message(method))

    def _file_recovered(self, method: Method) -> None:
        # The deliveries that nobody has seen yet are among those that come again.
        self._withdraw(lambda consumer_tag: consumer_tag not in self.no_ack_consumers)
        self.dispatch_method(method.signature, method.payload, None)

    def _withdraw(self, wanted: Callable[[str], bool]) -> list[Event]:
        """Take the deliveries for some of the consumers out of the inbox; nothing is filed now."""
        taken: list[Event] = []
        kept: list[Event] = []
        for event in self.inbox.withdraw(self):
            method = event.method
            deliver = method.signature == spec.Basic.Deliver
            found = taken if deliver and wanted(_shortstr(method.payload, 4)[0]) else kept
            found.append(event)
        self.inbox.events.extend(kept)
        return taken

    # -- events: this runs in the thread whose inbox it is

    def handle(self, event: Event) -> bool:
        """Run what an event calls for; False where that is nothing any more."""
        method = event.method
        if event.life != self.life or not self.is_open:
            return False
        if method.signature == spec.Basic.Deliver:
            self._deliver(method, event.life)
        else:
            self.dispatch_method(method.signature, method.payload, None)
        return True

    def _deliver(
        self, method: Method, life: int, callback: Callable[[Any], Any] | None = None
    ) -> None:
        payload = method.payload
        consumer_tag, at = _shortstr(payload, 4)
        tag, redelivered = _tag_and_flag.unpack_from(payload, at)
        exchange, at = _shortstr(payload, at + 9)
        routing_key, _ = _shortstr(payload, at)
        tag += (life - 1) * TAGS_PER_LIFE
        if callback is None:
            callback = self.callbacks.get(consumer_tag)
        if callback is None:
            logger.warning(
                'message %s for the unknown consumer %r goes back to its queue', tag, consumer_tag
            )
            self.basic_reject(tag, requeue=True)
            return
        message = self._message(method)
        message.delivery_info = {
            'consumer_tag': consumer_tag,
            'delivery_tag': tag,
            'redelivered': redelivered != 0,
            'exchange': exchange,
            'routing_key': routing_key,
        }
        callback(message)

    # -- methods of AMQP that differ from py-amqp's

    def exchange_declare(self, exchange: str, *args: Any, **kwargs: Any) -> Any:
        """Declare an exchange."""
        _without_line_breaks(exchange, 'an exchange')
        return super().exchange_declare(exchange, *args, **kwargs)

    def queue_declare(
        self,
        queue: str = '',
        passive: bool = False,
        durable: bool = False,
        exclusive: bool = False,
        auto_delete: bool = True,
        nowait: bool = False,
        arguments: Mapping[str, Any] | None = None,
        argsig: str = 'BsbbbbbF',
    ) -> Any:
        """Declare a queue; return its name and the numbers of its messages and consumers."""
        _without_line_breaks(queue, 'a queue')
        found = self.send_method(
            spec.Queue.Declare,
            argsig,
            (0, queue, passive, durable, exclusive, auto_delete, nowait, arguments),
            wait=None if nowait else spec.Queue.DeclareOk,
            returns_tuple=True,
        )
        return None if nowait else queue_declare_ok_t(*found)

    def basic_consume(self, *args: Any, **kwargs: Any) -> Any:
        """Start a consumer.

        Its callback runs in the thread that does this, when that drains events.
        """
        self._claim()
        return super().basic_consume(*args, **kwargs)

    def basic_cancel(self, consumer_tag: str, nowait: bool = False, argsig: str = 'sb') -> Any:
        """End a consumer.

        Messages that have arrived for it and were not handed out go back to their queue; those of a
        `no_ack` consumer, which the broker has forgotten, are handed out.  With `nowait` more may
        arrive, and are handed out as before.
        """
        if self.connection is None:
            return None
        no_ack = consumer_tag in self.no_ack_consumers
        callback = self.callbacks.get(consumer_tag)
        ended = super().basic_cancel(consumer_tag, nowait, argsig)
        if callback is not None and not nowait:
            self._settle_arrived(consumer_tag, callback if no_ack else None)
        return ended

    def _settle_arrived(self, consumer_tag: str, callback: Callable[[Any], Any] | None) -> None:
        """Hand to `callback`, or give back, what has arrived for a consumer that is no more."""
        connection = self._connected()
        with connection.reader.filing:
            arrived = self._withdraw(lambda tag: tag == consumer_tag)
        rejects = []
        for event in arrived:
            if event.life != self.life:
                continue
            if callback is None:
                payload = event.method.payload
                number = _tag_and_flag.unpack_from(payload, _shortstr(payload, 4)[1])[0]
                rejects.append(self._settlement(spec.Basic.Reject, number, True))
            else:
                self._deliver(event.method, event.life, callback)
        if rejects:
            connection.writer.transmit(rejects, self)

    def basic_ack(self, delivery_tag: int, multiple: bool = False, argsig: str = 'Lb') -> Any:
        """Acknowledge a message, or all up to it."""
        return self._settle(spec.Basic.Ack, delivery_tag, multiple)

    def basic_reject(self, delivery_tag: int, requeue: bool, argsig: str = 'Lb') -> Any:
        """Reject a message; it goes back to its queue, or is dead-lettered."""
        return self._settle(spec.Basic.Reject, delivery_tag, requeue)

    def _settle(self, signature: Signature, tag: int, flag: bool) -> Any:
        connection = self._connected()
        life, number = divmod(tag, TAGS_PER_LIFE)
        # 0 stands for all there are.
        if not tag or life == self.life - 1:
            connection.writer.transmit((self._settlement(signature, number, flag),), self)
        return DONE

    def _settlement(self, signature: Signature, number: int, flag: bool) -> bytes:
        return method_frame(self.channel_id, signature, _tag_and_flag.pack(number, flag))

    def basic_recover(self, requeue: bool = False) -> Any:
        """Have everything unacknowledged delivered again."""
        return self.send_method(spec.Basic.Recover, 'b', (requeue,), wait=spec.Basic.RecoverOk)

    def basic_qos(
        self,
        prefetch_size: int = 0,
        prefetch_count: int = 0,
        a_global: bool = False,
        argsig: str = 'lBb',
        *,
        apply_global: bool | None = None,
    ) -> Any:
        """Limit the number of unacknowledged messages.

        Args:
            prefetch_size: in octets; RabbitMQ knows only 0, no limit.
            prefetch_count: number of messages; 0 is no limit.
            a_global: for the channel; otherwise for each consumer started from now on
                (https://www.rabbitmq.com/docs/consumer-prefetch).
            argsig: as in py-amqp.
            apply_global: another name for `a_global`.
        """
        whole = a_global if apply_global is None else apply_global
        return super().basic_qos(prefetch_size, prefetch_count, whole, argsig)

    def _on_get_ok(self, delivery_tag: int, *arguments: Any) -> Any:
        return super()._on_get_ok(delivery_tag + (self.life - 1) * TAGS_PER_LIFE, *arguments)


#: Methods that get something done besides answering a call.
_FILED: dict[Signature, Callable[[Channel, Method], None]] = {
    spec.Basic.Ack: Channel._file_confirm,
    spec.Basic.Nack: Channel._file_confirm,
    spec.Basic.Return: Channel._file_return,
    spec.Basic.Cancel: Channel._post,
    spec.Basic.GetOk: Channel._file_got,
    spec.Basic.RecoverOk: Channel._file_recovered,
    spec.Channel.Close: Channel._file_close,
}
