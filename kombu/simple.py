"""Queues with the interface of `queue.Queue`."""

from __future__ import annotations

import queue
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar

from kombu.abstract import maybe_channel
from kombu.entity import Exchange, Queue
from kombu.exceptions import TimeoutError
from kombu.messaging import Consumer, Producer
from kombu.utils.deadline import Deadline

if TYPE_CHECKING:
    from collections.abc import Iterable
    from types import TracebackType

    from typing_extensions import Self

__all__ = ('SimpleBuffer', 'SimpleQueue')


class SimpleBase:
    """Puts messages with a producer, and gets them with a consumer.

    Args:
        channel: a channel, or a connection, whose default channel is then used.
        producer: the producer.
        consumer: the consumer; it starts with the first `get`.
        no_ack: messages need no acknowledgement.
    """

    Empty = queue.Empty

    _consuming: bool = False

    def __init__(
        self, channel: Any, producer: Producer, consumer: Consumer, no_ack: bool = False
    ) -> None:
        self.channel = maybe_channel(channel)
        self.producer = producer
        self.consumer = consumer
        self.no_ack = no_ack
        self.queue: Queue = self.consumer.queues[0]
        #: What was delivered, and not asked for yet.
        self.buffer: deque[Any] = deque()
        self.consumer.register_callback(self._receive)

    def get(self, block: bool = True, timeout: float | None = None) -> Any:
        """Return the next message; it is to be acknowledged, unless `no_ack` is set.

        Args:
            block: wait for one.
            timeout: seconds to wait; None waits for ever, 0 is the same as not to block.

        Raises:
            queue.Empty: there was none.
        """
        if not block or (timeout is not None and timeout <= 0):
            return self.get_nowait()
        self._consume()
        buffer = self.buffer
        if not buffer:
            self._wait(timeout)
        return buffer.popleft()

    def _wait(self, timeout: float | None) -> None:
        """Wait until something is delivered."""
        drain_events = self.channel.connection.client.drain_events
        deadline = Deadline.after(timeout)
        try:
            while not self.buffer:
                deadline.check('waiting for a message')
                drain_events(timeout=deadline.remaining())
        except TimeoutError:
            raise self.Empty from None

    def get_nowait(self) -> Any:
        """Return the next message, if there is one.

        Raises:
            queue.Empty: there is none.
        """
        buffer = self.buffer
        if not buffer:
            message = self.queue.get(no_ack=self.no_ack, accept=self.consumer.accept)
            # The broker had delivered to the consumer what arrived, unread, before its answer.
            if message is not None:
                buffer.append(message)
            if not buffer:
                raise self.Empty
        return buffer.popleft()

    def put(
        self,
        message: Any,
        serializer: str | None = None,
        headers: dict[str, Any] | None = None,
        compression: Any = None,
        routing_key: str | None = None,
        **kwargs: Any,
    ) -> None:
        """Publish a message.

        Args:
            message: its body.
            serializer: name of the serializer; None: as the queue says.
            headers: application headers.
            compression: name of the compression; None: as the queue says.
            routing_key: the routing key, if not that of the queue.
            kwargs: further arguments of `kombu.Producer.publish`.
        """
        self.producer.publish(
            message,
            serializer=serializer,
            routing_key=routing_key,
            headers=headers,
            compression=compression,
            **kwargs,
        )

    def clear(self) -> int:
        """Drop all messages, and return how many there were."""
        delivered = len(self.buffer)
        while self.buffer:
            message = self.buffer.popleft()
            if not self.no_ack:
                message.ack()
        return self.consumer.purge() + delivered

    def qsize(self) -> int:
        """Return the number of messages that wait, those not counted that were delivered."""
        answer = self.queue.queue_declare(passive=True)
        size: int = answer[1]
        return size

    def close(self) -> None:
        """Stop receiving; what was delivered, and not asked for, goes back to the queue."""
        self.consumer.cancel()
        self._consuming = False
        while self.buffer:
            message = self.buffer.popleft()
            if not self.no_ack:
                message.requeue()

    def _receive(self, body: Any, message: Any) -> None:
        self.buffer.append(message)

    def _consume(self) -> None:
        if not self._consuming:
            self.consumer.consume(no_ack=self.no_ack)
            self._consuming = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        if exc_val is None:
            self.close()
        else:
            # A connection that broke cannot be closed well; its error is the one to see.
            with suppress(Exception):
                self.close()

    def __len__(self) -> int:
        return self.qsize()

    def __bool__(self) -> bool:
        return True

    __nonzero__ = __bool__


class SimpleQueue(SimpleBase):
    """A queue that survives a restart of the broker.

    Args:
        channel: a channel, or a connection, whose default channel is then used.
        name: name of the queue, of a direct exchange, and routing key; or a `kombu.Queue`.
        no_ack: messages need no acknowledgement: faster, and lost with the consumer.
        queue_opts: further arguments of `kombu.Queue`.
        queue_args: its `queue_arguments`.
        exchange_opts: further arguments of `kombu.Exchange`.
        serializer: name of the serializer; None: the default one.
        compression: name of the compression.
        accept: content types, or names of serializers, that may be decoded; None: all that are not
            disabled.

    Example:
        >>> with connection.SimpleQueue('orders') as orders:
        ...     orders.put({'number': 1})
        ...     message = orders.get(timeout=1)
        ...     message.ack()
    """

    no_ack: bool = False
    queue_opts: ClassVar[dict[str, Any]] = {}
    queue_args: ClassVar[dict[str, Any]] = {}
    exchange_opts: ClassVar[dict[str, Any]] = {'type': 'direct'}

    def __init__(
        self,
        channel: Any,
        name: Any,
        no_ack: bool | None = None,
        queue_opts: dict[str, Any] | None = None,
        queue_args: dict[str, Any] | None = None,
        exchange_opts: dict[str, Any] | None = None,
        serializer: str | None = None,
        compression: str | None = None,
        accept: Iterable[str] | None = None,
    ) -> None:
        if no_ack is None:
            no_ack = self.no_ack
        if isinstance(name, Queue):
            queue = name
        elif name is not None and not isinstance(name, str):
            raise TypeError(f'{name!r} is neither a name nor a kombu.Queue')
        else:
            queue = Queue(
                name,
                Exchange(name, **{**self.exchange_opts, **(exchange_opts or {})}),
                name,
                queue_arguments={**self.queue_args, **(queue_args or {})},
                **{**self.queue_opts, **(queue_opts or {})},
            )
        channel = maybe_channel(channel)
        consumer = Consumer(channel, queue, accept=accept)
        queue = consumer.queues[0]
        producer = Producer(
            channel,
            queue.exchange,
            # The default exchange routes by the name of the queue.
            queue.routing_key if queue.exchange and queue.exchange.name else queue.name,
            serializer=serializer,
            compression=compression,
        )
        super().__init__(channel, producer, consumer, no_ack)


class SimpleBuffer(SimpleQueue):
    """A queue for messages that are not worth keeping: it and they go with the connection."""

    no_ack = True
    queue_opts: ClassVar[dict[str, Any]] = {
        'durable': False,
        'auto_delete': True,
        'exclusive': True,
    }
    exchange_opts: ClassVar[dict[str, Any]] = {
        'durable': False,
        'delivery_mode': 'transient',
        'auto_delete': True,
    }
