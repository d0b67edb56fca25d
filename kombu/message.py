"""A message as a consumer receives it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection
from typing import Any

from kombu.compression import decompress
from kombu.exceptions import ContentDisallowed, DecodeError, KombuError, MessageStateError
from kombu.serialization import loads, registry

__all__ = ('Message',)

#: States of a message that was settled: nothing more can be done with its delivery.
ACK_STATES = frozenset({'ACK', 'REJECTED', 'REQUEUED'})

IS_PYPY = hasattr(sys, 'pypy_version_info')

#: What went wrong with a body: an exception, or the form that `sys.exc_info()` has.
Error = BaseException | tuple[type[BaseException], BaseException, Any]


class Message:
    """A received message.

    The body stays as it came until it is asked for: the accept list is looked at before anything is
    decompressed, and what cannot be read leaves the bytes of the wire in `body`.

    Args:
        body: the content, as bytes or text.
        delivery_tag: what the channel knows the delivery by.
        content_type: the MIME type of the content.
        content_encoding: the encoding of its text, or `'binary'`.
        delivery_info: how it arrived: exchange, routing_key, consumer_tag, redelivered ...
        properties: AMQP properties: correlation_id, reply_to, priority ...
        headers: application headers; `compression` names how the body is compressed.
        postencode: the encoding by which text in `body` becomes bytes.
        accept: content types to accept; None accepts all that are not disabled.
        channel: the channel it arrived on.
    """

    MessageStateError = MessageStateError

    # Rarely other than this, and then in the __dict__.
    _compression: str | None = None
    _errors: list[Error] | None = None

    __slots__ = (
        '__dict__',
        '__weakref__',
        '_body',
        '_decoded_cache',
        '_state',
        'accept',
        'channel',
        'content_encoding',
        'content_type',
        'delivery_info',
        'delivery_tag',
        'headers',
        'properties',
    )

    def __init__(
        self,
        body: Any = None,
        delivery_tag: Any = None,
        content_type: str | None = None,
        content_encoding: str | None = None,
        delivery_info: dict[str, Any] | None = None,
        properties: dict[str, Any] | None = None,
        headers: dict[str, Any] | None = None,
        postencode: str | None = None,
        accept: Collection[str] | None = None,
        channel: Any = None,
        **kwargs: Any,  # what transports have for their own kinds of message
    ) -> None:
        self.channel = channel
        self.delivery_tag = delivery_tag
        self.content_type = content_type
        self.content_encoding = content_encoding
        self.delivery_info = {} if delivery_info is None else delivery_info
        self.properties = {} if properties is None else properties
        self.accept = accept
        self._body = body
        self._decoded_cache: Any = None
        self._state = 'RECEIVED'
        self.headers = {} if headers is None else headers
        if headers and 'compression' in headers:
            self._compression = headers['compression']
        if postencode and isinstance(body, str):
            self._encode(postencode)

    def _encode(self, encoding: str) -> None:
        try:
            self._body = self._body.encode(encoding)
        except (LookupError, UnicodeError) as exc:
            self._remember(DecodeError(f'the text of the body has no form in {encoding!r}: {exc}'))

    def _decompress(self) -> None:
        compression: Any = self._compression
        self._compression = None
        try:
            self._body = decompress(self._body, compression)
        except Exception as exc:
            self._remember(exc)

    def _remember(self, exc: Exception) -> None:
        # Without frames: they lead to our own, which hold this message, so it would hold itself.
        link: BaseException | None = exc
        while link is not None:
            link.__traceback__ = None
            link = link.__context__
        self._errors = [*(self._errors or ()), (type(exc), exc, None)]

    @property
    def body(self) -> Any:
        """The content, decompressed; as it came where that failed, which `errors` tells."""
        if self._compression:
            self._decompress()
        return self._body

    @body.setter
    def body(self, value: Any) -> None:
        self._body = value
        self._compression = None

    @property
    def errors(self) -> list[Error]:
        """What went wrong with the body: `(class, exception, None)`; `decode` raises the first.

        A body whose content type is not accepted is left alone; only `decode` says so.
        """
        if self._compression and self._is_accepted():
            self._decompress()
        if self._errors is None:
            self._errors = []
        return self._errors

    @errors.setter
    def errors(self, value: list[Error]) -> None:
        self._errors = value

    def _is_accepted(self) -> bool:
        try:
            registry.check_accepted(self.content_type, self.accept)
        except (ContentDisallowed, DecodeError):
            return False
        return True

    @property
    def acknowledged(self) -> bool:
        """Whether it was acknowledged, rejected or requeued."""
        return self._state in ACK_STATES

    @property
    def payload(self) -> Any:
        """The decoded content; see `decode`."""
        decoded = self._decoded_cache
        return self.decode() if decoded is None else decoded

    def decode(self) -> Any:
        """Decode the content, once.

        Raises:
            ContentDisallowed: its content type is not accepted; it was not even decompressed.
            DecodeError: it is not what its content type and headers say.
            SerializerNotInstalled: reading it takes a library that is not installed.
        """
        decoded = self._decoded_cache
        if decoded is None:
            decoded = self._decoded_cache = self._decode()
        return decoded

    def _decode(self) -> Any:
        if self._compression:
            registry.check_accepted(self.content_type, self.accept)
            self._decompress()
        if self._errors:
            self._reraise_error()
        return loads(self.body, self.content_type, self.content_encoding, accept=self.accept)

    def _reraise_error(
        self, callback: Callable[[Message, BaseException], Any] | None = None
    ) -> None:
        """Hand the first of `errors` to `callback(message, exc)`, or raise it."""
        errors = self.errors
        if not errors:
            return
        first = errors[0]
        if isinstance(first, BaseException):
            exc, traceback = first, first.__traceback__
        else:
            _, exc, traceback = first
        if callback is None:
            raise exc.with_traceback(traceback)  # afresh, or it would grow each time
        callback(self, exc)

    def ack(self, multiple: bool = False) -> None:
        """Acknowledge that it was processed (AMQP 0-9-1, basic.ack).

        Nothing happens where the consumer asked for deliveries that need none (`no_ack`).

        Args:
            multiple: acknowledge all earlier deliveries of the channel with it.

        Raises:
            MessageStateError: it was settled before, or came by no channel.
        """
        channel = self.channel
        if channel is None or channel.no_ack_consumers or self._state in ACK_STATES:
            channel = self._unsettled('acknowledged')
            if channel is None:
                return
        channel.basic_ack(self.delivery_tag, multiple=multiple)
        self._state = 'ACK'

    def reject(self, requeue: bool = False) -> None:
        """Refuse it (AMQP 0-9-1, basic.reject): the broker drops or dead-letters it.

        Nothing happens where the consumer asked for deliveries that need none (`no_ack`).

        Args:
            requeue: have it delivered again instead.

        Raises:
            MessageStateError: it was settled before, came by no channel, or is to be delivered
                again where the broker forgot it on delivery (`no_ack`).
        """
        channel = self._unsettled('requeued' if requeue else 'rejected')
        if channel is not None:
            channel.basic_reject(self.delivery_tag, requeue=requeue)
            self._state = 'REJECTED'
        elif requeue:
            raise self._forgotten()

    def requeue(self) -> None:
        """Have it delivered again (AMQP 0-9-1, basic.reject), perhaps to this consumer.

        Raises:
            MessageStateError: it was settled before, came by no channel, or the broker forgot it on
                delivery (`no_ack`).
        """
        channel = self._unsettled('requeued')
        if channel is None:
            raise self._forgotten()
        channel.basic_reject(self.delivery_tag, requeue=True)
        self._state = 'REQUEUED'

    def _unsettled(self, verb: str) -> Any:
        """Return the channel to settle on, or None where the delivery was settled by being sent."""
        channel = self.channel
        if channel is None:
            raise self.MessageStateError(
                f'message {self.delivery_tag!r} cannot be {verb}: it came by no channel'
            )
        no_ack_consumers = channel.no_ack_consumers
        if no_ack_consumers:
            consumer_tag = self.delivery_info.get('consumer_tag')
            if consumer_tag is not None and consumer_tag in no_ack_consumers:
                return None
        if self._state in ACK_STATES:
            raise self.MessageStateError(
                f'message {self.delivery_tag!r} cannot be {verb}: it is {self._state} already'
            )
        return channel

    def _forgotten(self) -> KombuError:
        return self.MessageStateError(
            f'message {self.delivery_tag!r} cannot be requeued: its consumer uses no_ack, '
            'so the broker forgot it when it was sent'
        )

    def ack_log_error(self, logger: Any, errors: Any, multiple: bool = False) -> None:
        """Acknowledge it; log certain errors instead of raising them.

        Args:
            logger: where to.
            errors: exception classes, usually the connection errors of the transport.
            multiple: acknowledge all earlier deliveries of the channel with it.
        """
        try:
            self.ack(multiple=multiple)
        except errors as exc:
            logger.critical(
                'message %r not acknowledged: %r', self.delivery_tag, exc, exc_info=True
            )

    def reject_log_error(self, logger: Any, errors: Any, requeue: bool = False) -> None:
        """Refuse it; log certain errors instead of raising them.

        Args:
            logger: where to.
            errors: exception classes, usually the connection errors of the transport.
            requeue: have it delivered again.
        """
        try:
            self.reject(requeue=requeue)
        except errors as exc:
            logger.critical('message %r not rejected: %r', self.delivery_tag, exc, exc_info=True)

    def __repr__(self) -> str:
        body = self._body
        parts = [type(self).__name__, repr(self.delivery_tag), self._state]
        if self.content_type:
            parts.append(self.content_type)
        if hasattr(body, '__len__'):
            parts.append(f'{len(body)} {"characters" if isinstance(body, str) else "bytes"}')
        for name in ('exchange', 'routing_key', 'redelivered'):
            if self.delivery_info.get(name):
                parts.append(f'{name}={self.delivery_info[name]!r}')
        correlation_id = self.properties.get('correlation_id')
        if correlation_id:
            parts.append(f'correlation_id={correlation_id!r}')
        return f'<{" ".join(parts)}>'
