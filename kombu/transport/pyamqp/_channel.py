"""Channels: py-amqp's, on our connection."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from struct import Struct
from time import monotonic
from typing import Any

from amqp import spec
from amqp.exceptions import (
    MessageNacked,
    RecoverableConnectionError,
)
from amqp.protocol import queue_declare_ok_t

from kombu.exceptions import ChannelError, TimeoutError
from kombu.log import get_logger
from kombu.transport import base

from ._call import DONE, Caller, Signature
from ._confirms import Confirms, Outstanding
from ._driver import AMQPChannel, dumps, error_for_code, loads
from ._frames import Content, Method, content_frames, method_frame, publish_arguments
from ._inbox import Event
from ._message import Message
from ._reader import wake

__all__ = ('Channel',)

logger = get_logger(__name__)

#: Frames of basic.publish kept for each channel, by exchange, routing key and flags.
MAX_TARGETS = 256

_tag_and_flag = Struct('>QB')

#: Delivery tags as the application sees them are those of the wire, plus this for each time the channel was opened again.
TAGS_PER_LIFE = 1 << 40


def _shortstr(payload: bytes, at: int) -> tuple[str, int]:
    end = at + 1 + payload[at]
    return payload[at + 1 : end].decode('utf-8', 'surrogatepass'), end


class Channel(Caller, AMQPChannel, base.StdChannel):  # type: ignore[misc]  # py-amqp is untyped
    """A channel.

    Its methods are those of `amqp.Channel`.  It is for one thread at a time: where two wait for an answer at once, the second
    gets a `ConcurrentUseError`.  What needs no answer (publishing, acknowledging) is safe from any thread.

    An error of the broker closes a channel (AMQP 0-9-1, 1.4).  It is opened again before the error is raised, without its
    consumers and settings.  What was unacknowledged has gone back to its queues by then: to acknowledge it does nothing.
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
        #: Counts how often the channel was opened.
        self.life = 0
        self._confirms: Confirms | None = None
        self._targets: dict[tuple[Any, ...], bytes] = {}
        #: Messages that came back and were not handled yet: arguments of `_on_basic_return`.
        self._returned: deque[tuple[Any, ...]] = deque()
        #: Makes the error with which the broker closed the channel, until somebody has been told.
        self._trouble: Callable[[], BaseException] | None = None
        self._reviving = threading.Lock()
        super().__init__(connection, channel_id, auto_decode, on_open)
        # py-amqp replaces the method on the instance; here `basic_publish` itself looks whether to wait.
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
        """Make the message that `basic_publish` takes."""
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

    # -- sending

    def _send(
        self,
        signature: Signature,
        arguments: bytes,
        content: Any = None,
        timeout: float | None = None,
    ) -> None:
        connection = self._connected()
        pieces = [method_frame(self.channel_id, signature, arguments)]
        if content is not None:
            pieces = content_frames(pieces[0], self.channel_id, content, connection.frame_max)
        channel = None if signature == spec.Channel.Open else self
        connection.transmit(pieces, channel, timeout)

    def may_send(self) -> None:
        """Raise if nothing may be sent; called with the connection held for writing.

        RabbitMQ closes the whole connection over a frame on a channel that is not open.
        """
        if not self.is_open:
            raise RecoverableConnectionError(f'channel {self.channel_id} is closed')

    def open(self) -> None:
        """Open the channel."""
        if self.is_open:
            return
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
        """Close the channel; what is not acknowledged goes back to its queues."""
        connection = self.connection
        if connection is None or connection.channels is None:
            return
        arguments = (reply_code, reply_text, *method_sig)
        self.is_closing = True
        try:
            if self.is_open:
                self._call(
                    spec.Channel.Close,
                    dumps(argsig, arguments),
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
        """Wake the threads that wait on the channel, with an error; True where there are any."""
        reply, confirms, self._confirms = self._reply, self._confirms, None
        entries = confirms.abandon(error) if confirms is not None else []
        for entry in entries:
            wake(entry)
        if reply is not None and reply in self._pending.values():
            reply.fail(error)
            return True
        return bool(entries)

    def _unanswered(self) -> None:
        connection = self.connection
        if connection is not None:
            connection.give_up(self)

    # -- receiving: these run in the thread that reads, and may not wait

    def file(self, method: Method) -> None:
        """Take a method of the broker."""
        signature = method.signature
        if signature == spec.Basic.Deliver:
            if not self.is_closing:
                self.inbox.put(Event(self, self.life, method))
        elif signature in _FILED:
            _FILED[signature](self, method)
        else:
            content = None if method.header is None else self._message(method)
            self.dispatch_method(signature, method.payload, content)

    def _message(self, method: Method) -> Content:
        content = Content.received(method.header or b'', method.body)
        if self.auto_decode:
            encoding = content.properties.get('content_encoding')
            if encoding is not None and encoding != 'binary':
                try:
                    content.body = content.body.decode(encoding)
                except (LookupError, ValueError):
                    pass  # the serializer will tell, or does not mind
        return content

    def _file_confirm(self, method: Method) -> None:
        number, multiple = _tag_and_flag.unpack_from(method.payload, 4)
        refused = method.signature == spec.Basic.Nack
        if self._confirms is not None:
            for entry in self._confirms.settle(number, multiple=bool(multiple), refused=refused):
                wake(entry)
        if self.events.get('basic_nack' if refused else 'basic_ack'):
            self.inbox.put(Event(self, self.life, method))

    def _file_return(self, method: Method) -> None:
        code, text, exchange, routing_key = loads('Bsss', method.payload, 4)[0]

        def error() -> BaseException:
            found: BaseException = error_for_code(code, text, spec.Basic.Return, ChannelError)
            return found

        if (
            not self.events.get('basic_return')
            and self._confirms is not None
            and self._confirms.returned(exchange, routing_key, error)
        ):
            return
        self._returned.append((code, text, exchange, routing_key, self._message(method)))
        self.inbox.put(Event(self, self.life, method))

    def _file_cancel(self, method: Method) -> None:
        self.inbox.put(Event(self, self.life, method))

    def _file_close(self, method: Method) -> None:
        """Take note that the broker has closed the channel over an error."""
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
        connection.answer(method_frame(self.channel_id, spec.Channel.CloseOk))
        # The broker answers to a request to close it as well, where the two have crossed.
        if not self.is_closing and not self._end_waits(error):
            self._trouble = error
            self.inbox.put(Event(self, self.life, method))

    def _revive(self) -> None:
        """Open the channel again after an error; where that fails the channel stays closed."""
        with self._reviving:
            if not self.is_open and self.connection is not None:
                try:
                    self.open()
                except Exception as exc:
                    logger.debug('channel %s could not be opened again: %r', self.channel_id, exc)

    def _raise_trouble(self) -> None:
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            raise trouble()

    # -- events: these run in the thread whose inbox it is

    def handle(self, event: Event) -> bool:
        """Run what an event calls for; False where that is nothing any more."""
        method, event.method = event.method, None
        if method is None:
            return False
        if method.signature == spec.Channel.Close:
            told = self._trouble is None
            self._raise_trouble()
            return not told
        if event.life != self.life or not self.is_open:
            return False
        if method.signature == spec.Basic.Deliver:
            self._deliver(method, event.life)
            return True
        if method.signature == spec.Basic.Return:
            return self._handle_returned()
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
        message = self._message(method)
        message.channel = self
        message.delivery_info = {
            'consumer_tag': consumer_tag,
            'delivery_tag': tag,
            'redelivered': redelivered != 0,
            'exchange': exchange,
            'routing_key': routing_key,
        }
        if callback is None:
            callback = self.callbacks.get(consumer_tag)
        if callback is None:
            logger.warning(
                'message %s for the unknown consumer %r goes back to its queue', tag, consumer_tag
            )
            self.basic_reject(tag, requeue=True)
        else:
            callback(message)

    def _handle_returned(self) -> bool:
        handled = False
        while self._returned:
            self._on_basic_return(*self._returned.popleft())
            handled = True
        return handled

    # -- methods of AMQP that differ from py-amqp's

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
        found = self.send_method(
            spec.Queue.Declare,
            argsig,
            (0, queue, passive, durable, exclusive, auto_delete, nowait, arguments),
            wait=None if nowait else spec.Queue.DeclareOk,
            returns_tuple=True,
        )
        return None if nowait else queue_declare_ok_t(*found)

    def basic_consume(self, *args: Any, **kwargs: Any) -> Any:
        """Start a consumer; its callback runs in the thread that did, whenever that drains events."""
        self._connected().inboxes.consuming(self)
        return super().basic_consume(*args, **kwargs)

    def basic_cancel(self, consumer_tag: str, nowait: bool = False, argsig: str = 'sb') -> Any:
        """End a consumer.

        Messages that have arrived for it and were not handed out go back to their queue; those of a `no_ack` consumer, which
        the broker has forgotten, are handed out.  With `nowait` more may arrive, and are handed out as before.
        """
        if self.connection is None:
            return None
        no_ack = consumer_tag in self.no_ack_consumers
        callback = self.callbacks.get(consumer_tag)
        ended = super().basic_cancel(consumer_tag, nowait, argsig)
        if callback is not None and not nowait:
            self._settle_arrived(consumer_tag, callback if no_ack else None)
        return ended

    def _arrived(self) -> list[tuple[Event, str]]:
        """List the deliveries that wait to be handed out, with their consumer tags."""
        return [
            (event, _shortstr(method.payload, 4)[0])
            for event in self.inbox.listed()
            if event.channel is self
            and (method := event.method) is not None
            and method.signature == spec.Basic.Deliver
        ]

    def _settle_arrived(self, consumer_tag: str, callback: Callable[[Any], Any] | None) -> None:
        """Hand to `callback`, or give back to the queue, what has arrived for a consumer that is no more."""
        rejects = []
        for event, tag in self._arrived():
            method, event.method = event.method, None
            if tag != consumer_tag or method is None or event.life != self.life:
                event.method = method
            elif callback is not None:
                self._deliver(method, event.life, callback)
            else:
                at = _shortstr(method.payload, 4)[1]
                number = _tag_and_flag.unpack_from(method.payload, at)[0]
                rejects.append(self._settlement(spec.Basic.Reject, number, True))
        if rejects:
            self._connected().transmit(rejects, self)

    # -- settling: safe from any thread

    def _settlement(self, signature: Signature, number: int, flag: bool) -> bytes:
        return method_frame(self.channel_id, signature, _tag_and_flag.pack(number, flag))

    def _settle(self, signature: Signature, tag: int, flag: bool) -> Any:
        connection = self._connected()
        life, number = divmod(tag, TAGS_PER_LIFE)
        # 0 stands for all there are.
        if not tag or life == self.life - 1:
            connection.transmit((self._settlement(signature, number, flag),), self)
        return DONE

    def basic_ack(self, delivery_tag: int, multiple: bool = False, argsig: str = 'Lb') -> Any:
        """Acknowledge a message, or all up to it."""
        return self._settle(spec.Basic.Ack, delivery_tag, multiple)

    def basic_reject(self, delivery_tag: int, requeue: bool, argsig: str = 'Lb') -> Any:
        """Reject a message; it goes back to its queue or is dead-lettered."""
        return self._settle(spec.Basic.Reject, delivery_tag, requeue)

    def basic_recover(self, requeue: bool = False) -> Any:
        """Have everything unacknowledged delivered again."""
        return self.send_method(
            spec.Basic.Recover, 'b', (requeue,), wait=spec.Basic.RecoverOk
        )

    def _file_recovered(self, method: Method) -> None:
        # The deliveries that nobody has seen yet are among those that come again.
        for event, tag in self._arrived():
            if tag not in self.no_ack_consumers:
                event.method = None
        self.dispatch_method(method.signature, method.payload, None)

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

    # -- publishing

    def confirm_select(self, nowait: bool = False) -> Any:
        """Have the broker confirm what is published from now on."""
        if self._confirms is None:
            self.send_method(
                spec.Confirm.Select,
                'b',
                (nowait,),
                wait=None if nowait else spec.Confirm.SelectOk,
            )
            self._confirms = Confirms()
            self._confirm_selected = True
        return DONE

    def count(self, entry: Outstanding) -> int:
        """Give a message its number; called with the connection held for writing."""
        if self._confirms is None:
            raise RecoverableConnectionError(f'channel {self.channel_id} was closed')
        return self._confirms.published(entry)

    def uncount(self, number: int) -> None:
        """Take the last number back, because nothing was written; called with the connection held for writing."""
        if self._confirms is not None:
            self._confirms.unpublished(number)

    def basic_publish(
        self,
        msg: Any,
        exchange: str = '',
        routing_key: str = '',
        mandatory: bool = False,
        immediate: bool = False,
        timeout: float | None = None,
        confirm_timeout: float | None = None,
        argsig: str = 'Bssbb',
    ) -> Any:
        """Publish a message.

        With the transport option `confirm_publish` this returns when the broker has taken responsibility for this very
        message.

        Args:
            msg: as made by `prepare_message`.
            exchange: name of the exchange; '' is the default exchange.
            routing_key: for the exchange to go by.
            mandatory: give the message back if it reaches no queue: to the `basic_return` callbacks in `events`; where there
                are none it is raised as a `ChannelError` (312, NO_ROUTE), with confirms at once and from here, without them by
                the next `drain_events`.
            immediate: not known to RabbitMQ.
            timeout: seconds the writing may take; and the confirm, where that has no limit of its own.
            confirm_timeout: seconds to wait for the confirm.
            argsig: as in py-amqp.

        Raises:
            MessageNacked: the broker refuses the message.
            TimeoutError: it has not answered in time; it may have the message or not.
            RecoverableConnectionError: the connection is closed, or does not take the message.
            ChannelError: the broker closed the channel, over this message or one before; or it is unroutable, see `mandatory`.
        """
        connection = self.connection
        if connection is None:
            raise RecoverableConnectionError('basic_publish: connection closed')
        connection.look()
        if self._trouble is not None:
            self._raise_trouble()
        if connection.confirm_publish:
            return self.basic_publish_confirm(
                msg, exchange, routing_key, mandatory, immediate, timeout, confirm_timeout
            )
        entry = None
        if self._confirms is not None:
            entry = Outstanding(exchange, routing_key, mandatory=mandatory)
        pieces = self._publication(msg, exchange, routing_key, mandatory, immediate)
        connection.transmit(pieces, self, timeout, entry)
        return DONE

    def basic_publish_confirm(
        self,
        msg: Any,
        exchange: str = '',
        routing_key: str = '',
        mandatory: bool = False,
        immediate: bool = False,
        timeout: float | None = None,
        confirm_timeout: float | None = None,
        argsig: str = 'Bssbb',
    ) -> Any:
        """Publish a message and wait for the broker to take responsibility; see `basic_publish`."""
        connection = self._connected()
        if self._confirms is None:
            self.confirm_select()
        entry = Outstanding(exchange, routing_key, mandatory=mandatory)
        pieces = self._publication(msg, exchange, routing_key, mandatory, immediate)
        connection.transmit(pieces, self, timeout, entry)
        seconds = timeout if confirm_timeout is None else confirm_timeout
        if seconds is None:
            seconds = connection.answer_timeout
        confirmed = connection.reader.wait(entry, monotonic() + seconds)
        connection.after_reading()
        if self._returned and self.events.get('basic_return'):
            self._handle_returned()
        if not confirmed:
            raise TimeoutError(
                f'the message to exchange {exchange!r}, routing key {routing_key!r}, '
                f'was not confirmed within {seconds:g} s'
            )
        if entry.error is not None:
            raise entry.error()
        if entry.returned is not None:
            raise entry.returned()
        if entry.refused:
            raise MessageNacked(
                f'the broker refused the message to exchange {exchange!r}, routing key {routing_key!r}'
            )
        return DONE

    def _publication(
        self, msg: Any, exchange: str, routing_key: str, mandatory: bool, immediate: bool
    ) -> list[bytes]:
        """Return the frames that publish a message."""
        target = (exchange, routing_key, mandatory, immediate)
        frame = self._targets.get(target)
        if frame is None:
            arguments = publish_arguments(
                exchange, routing_key, mandatory=mandatory, immediate=immediate
            )
            frame = method_frame(self.channel_id, spec.Basic.Publish, arguments)
            if len(self._targets) >= MAX_TARGETS:
                self._targets.clear()
            self._targets[target] = frame
        return content_frames(frame, self.channel_id, msg, self.connection.frame_max)


def _closed() -> BaseException:
    return RecoverableConnectionError('the channel was closed')


#: Methods that get something done besides answering a call.
_FILED: dict[Signature, Callable[[Channel, Method], None]] = {
    spec.Basic.Ack: Channel._file_confirm,
    spec.Basic.Nack: Channel._file_confirm,
    spec.Basic.Return: Channel._file_return,
    spec.Basic.Cancel: Channel._file_cancel,
    spec.Basic.RecoverOk: Channel._file_recovered,
    spec.Channel.Close: Channel._file_close,
}
