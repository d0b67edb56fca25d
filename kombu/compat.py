"""The interface of carrot, the library that came before this one.

New applications use `kombu.Producer` and `kombu.Consumer`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from kombu import messaging
from kombu.entity import Exchange, Queue

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ('Consumer', 'Publisher')

#: Makes a queue from an entry of carrot's configuration.
entry_to_queue = Queue.from_dict


def _iterconsume(
    connection: Any, consumer: messaging.Consumer, no_ack: bool | None, limit: int | None
) -> Iterator[Any]:
    consumer.consume(no_ack=no_ack)
    for _ in range(limit) if limit else itertools.count():
        yield connection.drain_events()


class Publisher(messaging.Producer):
    """Publishes messages to an exchange.

    Subclasses may set the attributes instead of giving arguments.

    Args:
        connection: the connection.
        exchange: name of the exchange.
        routing_key: the routing key.
        exchange_type: type of the exchange.
        durable: the exchange survives a restart of the broker.
        auto_delete: the exchange is deleted after the last queue was unbound.
        channel: the channel to use; None: the default channel of the connection.
        kwargs: further arguments of `kombu.Producer`.
    """

    exchange: Any = ''
    exchange_type: str = 'direct'
    routing_key: str = ''
    durable: bool = True
    auto_delete: bool = False

    _closed: bool = False

    def __init__(
        self,
        connection: Any,
        exchange: Exchange | str | None = None,
        routing_key: str | None = None,
        exchange_type: str | None = None,
        durable: bool | None = None,
        auto_delete: bool | None = None,
        channel: Any = None,
        **kwargs: Any,
    ) -> None:
        self.exchange_type = exchange_type or self.exchange_type
        self.durable = self.durable if durable is None else durable
        self.auto_delete = self.auto_delete if auto_delete is None else auto_delete
        super().__init__(
            connection if channel is None else channel,
            _exchange(self, exchange),
            routing_key,
            **kwargs,
        )

    def send(self, *args: Any, **kwargs: Any) -> Any:
        """Publish a message; the arguments are those of `kombu.Producer.publish`."""
        return self.publish(*args, **kwargs)

    def close(self) -> None:
        """Be done with it; the channel stays open, it is the connection's."""
        self._closed = True

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    @property
    def backend(self) -> Any:
        """The channel."""
        return self.channel


class Consumer(messaging.Consumer):
    """Receives messages from a queue, on a channel of its own.

    Subclasses may set the attributes instead of giving arguments.

    Args:
        connection: the connection.
        queue: name of the queue, or a `kombu.Queue`, for which the further arguments do not count.
        exchange: name of the exchange it is bound to.
        routing_key: the binding key.
        exchange_type: type of the exchange.
        durable: queue and exchange survive a restart of the broker.
        exclusive: the queue is for this connection only.
        auto_delete: queue and exchange are deleted after their last user has gone.
        kwargs: further arguments of `kombu.Consumer`.
    """

    queue: Any = ''
    exchange: Any = ''
    routing_key: str = ''
    exchange_type: str = 'direct'
    durable: bool = True
    exclusive: bool = False
    auto_delete: bool = False

    _closed: bool = False

    def __init__(
        self,
        connection: Any,
        queue: Queue | str | None = None,
        exchange: Exchange | str | None = None,
        routing_key: str | None = None,
        exchange_type: str | None = None,
        durable: bool | None = None,
        exclusive: bool | None = None,
        auto_delete: bool | None = None,
        **kwargs: Any,
    ) -> None:
        self.queue = queue or self.queue
        self.exchange = exchange or self.exchange
        self.exchange_type = exchange_type or self.exchange_type
        self.routing_key = routing_key or self.routing_key
        self.durable = self.durable if durable is None else durable
        self.exclusive = self.exclusive if exclusive is None else exclusive
        self.auto_delete = self.auto_delete if auto_delete is None else auto_delete
        entity = self.queue
        if not isinstance(entity, Queue):
            entity = Queue(
                entity,
                exchange=_exchange(self, self.exchange),
                routing_key=self.routing_key,
                durable=self.durable,
                exclusive=self.exclusive,
                auto_delete=self.auto_delete,
            )
        self.backend = connection.channel()
        super().__init__(self.backend, entity, **kwargs)

    def revive(self, channel: Any) -> None:
        """Use another channel, after the old one was lost."""
        self.backend = channel
        super().revive(channel)

    def close(self) -> None:
        """Stop consuming, and close the channel."""
        self.cancel()
        self.backend.close()
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[Any]:
        return self.iterqueue(infinite=True)

    def fetch(self, no_ack: bool | None = None, enable_callbacks: bool = False) -> Any:
        """Take one message, if there is one.

        Args:
            no_ack: it needs no acknowledgement; None: as the consumer says, or else the queue.
            enable_callbacks: hand it to the callbacks, too.

        Returns:
            the message, or None.
        """
        no_ack = self.no_ack if no_ack is None else no_ack
        message = self.queues[0].get(no_ack, accept=self.accept)
        if message is not None and enable_callbacks:
            self.receive(message.payload, message)
        return message

    def process_next(self) -> NoReturn:
        """Raise: `fetch(enable_callbacks=True)` does it."""
        raise NotImplementedError('use fetch(enable_callbacks=True)')

    def discard_all(self, filterfunc: Callable[[Any], Any] | None = None) -> int:
        """Drop all messages, and return how many there were.

        Raises:
            NotImplementedError: there is a `filterfunc`; brokers drop all or nothing.
        """
        if filterfunc is not None:
            raise NotImplementedError('discard_all drops all messages, without a filter')
        return self.purge()

    def iterconsume(self, limit: int | None = None, no_ack: bool | None = None) -> Iterator[Any]:
        """Consume, and yield after each event of the connection.

        Args:
            limit: how many events to wait for; None for no end.
            no_ack: deliveries need no acknowledgement.
        """
        return _iterconsume(self.connection, self, no_ack, limit)

    def wait(self, limit: int | None = None) -> list[Any]:
        """Consume until there were so many events."""
        return list(self.iterconsume(limit))

    def iterqueue(self, limit: int | None = None, infinite: bool = False) -> Iterator[Any]:
        """Yield the messages that wait in the queue.

        Args:
            limit: the most to yield; None for all.
            infinite: go on when there are no more, and yield None until there are.
        """
        for _ in range(limit) if limit else itertools.count():
            message = self.fetch()
            if message is None and not infinite:
                break
            yield message


class ConsumerSet(messaging.Consumer):
    """Receives messages from several queues.

    Args:
        connection: the connection.
        from_dict: options of queues, as for `kombu.Queue.from_dict`, by name.
        consumers: consumers whose queues to consume from.
        channel: the channel to use; None: one of its own.
        kwargs: further arguments of `kombu.Consumer`.
    """

    def __init__(
        self,
        connection: Any,
        from_dict: Mapping[str, Mapping[str, Any]] | None = None,
        consumers: Iterable[messaging.Consumer] | None = None,
        channel: Any = None,
        **kwargs: Any,
    ) -> None:
        #: The channel, where it is its own to close.
        self.backend = connection.channel() if channel is None else None
        queues = [queue for consumer in consumers or () for queue in consumer.queues]
        queues += [
            entry_to_queue(name, **options) for name, options in dict(from_dict or {}).items()
        ]
        super().__init__(self.backend if channel is None else channel, queues, **kwargs)

    def iterconsume(self, limit: int | None = None, no_ack: bool = False) -> Iterator[Any]:
        """Consume, and yield after each event of the connection.

        Args:
            limit: how many events to wait for; None for no end.
            no_ack: deliveries need no acknowledgement.
        """
        return _iterconsume(self.connection, self, no_ack, limit)

    def discard_all(self) -> int:
        """Drop all messages, and return how many there were."""
        return self.purge()

    def add_consumer_from_dict(self, queue: str, **options: Any) -> Queue:
        """Add a queue, given by its options; see `kombu.Queue.from_dict`."""
        return self.add_queue(entry_to_queue(queue, **options))

    def add_consumer(self, consumer: messaging.Consumer) -> None:
        """Add the queues of a consumer."""
        for queue in consumer.queues:
            self.add_queue(queue)

    def revive(self, channel: Any) -> None:
        """Use another channel, after the old one was lost."""
        if self.backend is not None:
            self.backend = channel
        super().revive(channel)

    def close(self) -> None:
        """Stop consuming, and close the channel if it is its own."""
        self.cancel()
        if self.backend is not None:
            self.backend.close()


def _exchange(owner: Publisher | Consumer, exchange: Exchange | str | None) -> Exchange:
    """Return an exchange with the attributes of carrot's classes."""
    exchange = exchange or owner.exchange
    if isinstance(exchange, Exchange):
        return exchange
    return Exchange(
        exchange,
        type=owner.exchange_type,
        durable=owner.durable,
        auto_delete=owner.auto_delete,
    )
