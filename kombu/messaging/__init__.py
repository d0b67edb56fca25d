"""Publishing and consuming.

The producer is in this file, rather than beside the consumer in one of its own, because tracers
replace `dumps` in this module.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from copy import copy
from threading import get_ident
from typing import TYPE_CHECKING, Any

from kombu.abstract import MaybeChannelBound, is_connection
from kombu.common import maybe_declare
from kombu.common._declare import declare_once
from kombu.compression import compress
from kombu.entity import Exchange, Queue, maybe_delivery_mode
from kombu.entity._exchange import to_exchange
from kombu.exceptions import NotBoundError
from kombu.messaging._batch import DEFAULT_BATCH_SIZE, ProducerBatch
from kombu.messaging._consumer import Consumer
from kombu.serialization import dumps
from kombu.utils.deadline import Deadline
from kombu.utils.functional import ChannelPromise
from kombu.utils.time import maybe_s_to_ms

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ('DEFAULT_BATCH_SIZE', 'Consumer', 'Exchange', 'Producer', 'Queue')

#: Position of `timeout` in the arguments of `Producer._publish`.
TIMEOUT = 11


class Producer:
    """Publishes messages.

    Args:
        channel: a channel; or a connection, whose default channel is then used, from the first
            message on.
        exchange: where to publish what does not say; by default the default exchange.
        routing_key: for what does not say.
        serializer: name of the serializer for bodies that are neither text nor bytes; None: the
            default one.
        auto_declare: declare `exchange` before the first message.
        compression: name of the compression for what does not say.
        on_return: called with `(exception, exchange, routing_key, message)` for messages that come
            back (AMQP 0-9-1, basic.return).
    """

    #: The exchange, bound to the channel.
    exchange: Exchange = Exchange('')
    routing_key: str = ''
    serializer: str | None = None
    compression: str | None = None
    auto_declare: bool = True
    on_return: Callable[..., Any] | None = None

    #: The connection it was made with, if it was one.
    __connection__: Any = None

    def __init__(
        self,
        channel: Any,
        exchange: Exchange | str | None = None,
        routing_key: str | None = None,
        serializer: str | None = None,
        auto_declare: bool | None = None,
        compression: str | None = None,
        on_return: Callable[..., Any] | None = None,
    ) -> None:
        self._channel: Any = channel
        #: The connection of the last channel, which outlives it.
        self._client: Any = None
        #: The batches that are open, by thread.
        self._batches: dict[int, ProducerBatch] = {}
        if exchange is None:
            exchange = copy(self.exchange)
        self.exchange = to_exchange(exchange)
        self.routing_key = routing_key or self.routing_key
        self.serializer = serializer or self.serializer
        self.compression = compression or self.compression
        self.on_return = on_return or self.on_return
        if auto_declare is not None:
            self.auto_declare = auto_declare
        if channel is not None:
            self.revive(channel)

    def publish(
        self,
        body: Any,
        routing_key: str | None = None,
        delivery_mode: int | str | None = None,
        mandatory: bool = False,
        immediate: bool = False,
        priority: int | None = 0,
        content_type: str | None = None,
        content_encoding: str | None = None,
        serializer: str | None = None,
        headers: dict[str, Any] | None = None,
        compression: Any = None,
        exchange: Exchange | str | None = None,
        retry: bool = False,
        retry_policy: dict[str, Any] | None = None,
        declare: Any = None,
        expiration: Any = None,
        timeout: float | None = None,
        confirm_timeout: float | None = None,
        **properties: Any,
    ) -> Any:
        """Publish a message.

        Args:
            body: text and bytes are sent as they are, unless a serializer is named; anything else
                is serialized.
            routing_key: what the exchange routes by; None: as the producer says.
            delivery_mode: 'transient' (1) or 'persistent' (2); None: as the exchange says.
            mandatory: have it returned where no queue is bound.
            immediate: have it returned where nobody is ready to consume it (not in RabbitMQ).
            priority: 0 to 9, or as far as the queue distinguishes.
            content_type: MIME type of a body that is serialized already.
            content_encoding: its encoding; None: 'utf-8' for text and 'binary' for bytes.
            serializer: name of the serializer; None: as the producer says.
            headers: application headers; they stay the caller's.
            compression: name of the compression; False for none; None: as the producer says.
            exchange: where to publish; None or '': as the producer says.
            retry: publish again after errors of the connection or its channel.
            retry_policy: how often, as for `kombu.Connection.ensure`: max_retries, interval_start,
                interval_step, interval_max, errback, on_revive, retry_errors, callback, timeout.
            declare: what to declare first, unless that was done over this connection: an exchange
                or a queue, or several.
            expiration: seconds, or a `timedelta`, after which it expires.
            timeout: seconds for everything, reconnecting included.
            confirm_timeout: seconds to wait for the broker's confirmation, where it confirms.
            properties: AMQP properties: correlation_id, reply_to (a name or a queue), message_id,
                type ...

        Returns:
            what the channel returned; the broker has the message if the channel confirms.

        Raises:
            kombu.exceptions.EncodeError: the serializer cannot express the body.
            kombu.exceptions.NotBoundError: there is no channel to publish on.
            kombu.exceptions.OperationalError: with `retry`, it did not work within the policy.
            BaseException: without, the error of the connection or channel.
        """
        own = self.exchange
        if routing_key is None:
            routing_key = self.routing_key
        if compression is None:
            compression = self.compression
        if not exchange:
            name = own.name
            mode = delivery_mode or own.delivery_mode
        elif isinstance(exchange, Exchange):
            name = exchange.name
            mode = delivery_mode or exchange.delivery_mode
        else:
            name = exchange
            mode = delivery_mode or own.delivery_mode
        properties['delivery_mode'] = maybe_delivery_mode(mode) if mode else 2
        if expiration is not None:
            properties['expiration'] = _milliseconds(expiration)
        if content_type:
            body, content_encoding = self._encoded(body, content_encoding, serializer)
        else:
            content_type, content_encoding, body = dumps(
                body, serializer=serializer or self.serializer
            )
        if compression:
            body, how = compress(body, compression)
            headers = {**headers, 'compression': how} if headers else {'compression': how}
        if declare is not None:
            one = isinstance(declare, (MaybeChannelBound, str))
            declare = (declare,) if one else tuple(declare)
        if self.auto_declare and own.name:
            declare = (own,) if declare is None else (*declare, own)
        # By position, in this order: tracers read the arguments of `_publish`.
        arguments = (
            body,
            priority,
            content_type,
            content_encoding,
            {} if headers is None else headers,
            properties,
            routing_key,
            mandatory,
            immediate,
            name,
            declare,
            timeout,
            confirm_timeout,
        )
        if retry or timeout is not None:
            return self._publish_within(timeout, retry, retry_policy, arguments)
        return self._publish(*arguments)

    def _encoded(
        self, body: Any, content_encoding: str | None, serializer: str | None
    ) -> tuple[Any, str]:
        """Return a body whose content type was given, and its encoding."""
        if isinstance(body, str):
            content_encoding = content_encoding or 'utf-8'
            return body.encode(content_encoding), content_encoding
        if isinstance(body, bytes):
            return body, content_encoding or 'binary'
        if isinstance(body, (bytearray, memoryview)):
            return bytes(body), content_encoding or 'binary'
        serializer = serializer or self.serializer
        if serializer is None:
            raise TypeError(
                f'with a content_type the body must be text or bytes, not {type(body).__name__}: '
                'leave it out to have the body serialized'
            )
        _, encoding, body = dumps(body, serializer=serializer)
        return body, content_encoding or encoding

    def _publish(
        self,
        body: Any,
        priority: int | None,
        content_type: str | None,
        content_encoding: str | None,
        headers: dict[str, Any],
        properties: dict[str, Any],
        routing_key: str,
        mandatory: bool,
        immediate: bool,
        exchange: str,
        declare: Iterable[Any] | None,
        timeout: float | None = None,
        confirm_timeout: float | None = None,
    ) -> Any:
        """Publish once, on whatever channel there is."""
        channel = self.channel
        if channel is None:
            raise NotBoundError(
                f'{self!r} has no channel: it went back to its pool, or was made without one'
            )
        if declare:
            for entity in declare:
                if entity is not None:
                    declare_once(entity, channel)
        if 'reply_to' in properties and isinstance(properties['reply_to'], Queue):
            # Its name may be known only now; the next attempt may find another one.
            properties = {**properties, 'reply_to': properties['reply_to'].name}
        message = channel.prepare_message(
            body, priority, content_type, content_encoding, headers, properties
        )
        if self._batches or timeout is not None or confirm_timeout is not None:
            options: dict[str, Any] = {}
            if timeout is not None:
                options['timeout'] = timeout
            if confirm_timeout is not None:
                options['confirm_timeout'] = confirm_timeout
            batch = self._batches.get(get_ident())
            return (channel.basic_publish if batch is None else batch.publish)(
                message,
                exchange=exchange,
                routing_key=routing_key,
                mandatory=mandatory,
                immediate=immediate,
                **options,
            )
        return channel.basic_publish(
            message,
            exchange=exchange,
            routing_key=routing_key,
            mandatory=mandatory,
            immediate=immediate,
        )

    def _publish_within(
        self,
        timeout: float | None,
        retry: bool,
        retry_policy: dict[str, Any] | None,
        arguments: tuple[Any, ...],
    ) -> Any:
        """Publish under a policy, a deadline, or both."""
        publish: Callable[..., Any] = self._publish
        if timeout is not None and (retry or self._must_connect()):
            deadline = Deadline.after(timeout)

            def publish(*args: Any) -> Any:
                within = list(args)
                within[TIMEOUT] = deadline.remaining()
                return self._publish(*within)

        if retry:
            policy = retry_policy or {}
            if timeout is not None:
                policy = {**policy, 'timeout': min(timeout, policy.get('timeout') or timeout)}
            connection = self.connection
            if connection is None:
                raise RuntimeError(f'{self!r} has no connection to try again with')
            publish = connection.ensure(self, publish, **policy)
        elif self._must_connect():
            self.__connection__._ensure_connection(
                max_retries=0, reraise_as_library_errors=False, timeout=timeout
            )
        return publish(*arguments)

    def _must_connect(self) -> bool:
        """Tell whether the channel is yet to be opened, for which the connection may connect."""
        return self.__connection__ is not None and isinstance(self._channel, ChannelPromise)

    def maybe_declare(self, entity: Any, retry: bool = False, **retry_policy: Any) -> bool | None:
        """Declare an exchange or a queue, unless that was done over this connection already.

        Args:
            entity: the exchange or queue; nothing is done for None.
            retry: try again after errors of the connection or its channel.
            retry_policy: as for `kombu.Connection.ensure`.

        Returns:
            whether it was declared now.
        """
        if entity is None:
            return None
        return maybe_declare(entity, self.channel, retry, **retry_policy)

    def declare(self) -> None:
        """Declare the exchange, whether that was done before or not."""
        if self.exchange.name:
            self.exchange.declare()

    def batch(self, max_size: int = DEFAULT_BATCH_SIZE) -> ProducerBatch:
        """Return a context in which what this thread publishes is sent together.

        Where the transport can send several messages in one round trip, they leave when there are
        `max_size` of them, and at the end of the block; when the block raises, those that have not
        left are dropped. Elsewhere they leave one by one, at once.

        Args:
            max_size: the most messages to hold back.

        Raises:
            ValueError: `max_size` is not a positive integer.

        Example:
            >>> with producer.batch(100):
            ...     for order in orders:
            ...         producer.publish(order, routing_key='orders')
        """
        return ProducerBatch(self, max_size)

    @property
    def supports_batch_publish(self) -> bool:
        """Whether the transport sends several messages in one round trip."""
        implements = getattr(getattr(self.connection, 'transport', None), 'implements', None)
        return bool(getattr(implements, 'batch_publish', False))

    def revive(self, channel: Any) -> None:
        """Use another channel, or connection, after the old one was lost."""
        if is_connection(channel):
            connection = self.__connection__ = channel
            channel = ChannelPromise(lambda: connection.default_channel)
        self._channel = channel
        if not isinstance(channel, ChannelPromise):
            self._opened(channel)
        self.exchange = self.exchange.bind(channel)

    def _opened(self, channel: Any) -> None:
        """Prepare a channel to publish on."""
        self._client = getattr(getattr(channel, 'connection', None), 'client', None)
        if self.on_return is not None:
            channel.events['basic_return'].add(self.on_return)

    @property
    def channel(self) -> Any:
        """The channel; the default channel of the connection is opened when it is asked for."""
        channel = self._channel
        if isinstance(channel, ChannelPromise):
            channel = self._channel = channel()
            self._opened(channel)
        elif self.__connection__ is not None and channel is not None and not channel.connection:
            # The default channel was closed meanwhile; the connection makes another one.
            self.revive(self.__connection__)
            return self.channel
        return channel

    @channel.setter
    def channel(self, channel: Any) -> None:
        self._channel = channel

    @property
    def connection(self) -> Any:
        """The connection; None where there is none."""
        if self.__connection__ is not None:
            return self.__connection__
        channel = self._channel
        if isinstance(channel, ChannelPromise):
            channel = self.channel
        client = getattr(getattr(channel, 'connection', None), 'client', None)
        return self._client if client is None else client

    def release(self) -> None:
        """Do nothing: the channel belongs to somebody else.  Pools take the producer back."""

    close = release

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.release()

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (
            None,
            self.exchange,
            self.routing_key,
            self.serializer,
            self.auto_declare,
            self.compression,
        )

    def __repr__(self) -> str:
        return f'<{type(self).__name__}: {self._channel!r}>'


def _milliseconds(expiration: Any) -> str:
    """Return an expiration as it goes on the wire (RabbitMQ, per-message TTL)."""
    seconds = expiration.total_seconds() if hasattr(expiration, 'total_seconds') else expiration
    try:
        return str(maybe_s_to_ms(seconds))
    except (TypeError, ValueError, OverflowError) as exc:
        raise type(exc)(f'expiration must be seconds or a timedelta, not {expiration!r}') from None
