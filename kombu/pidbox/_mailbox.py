"""Mailboxes: where commands are sent, and replies received."""

from __future__ import annotations

import socket
from collections import defaultdict, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from copy import copy
from time import time
from typing import Any

from kombu.clocks import LamportClock
from kombu.common import maybe_declare, oid_from
from kombu.entity import Exchange, Queue
from kombu.exceptions import InconsistencyError, TimeoutError
from kombu.log import get_logger
from kombu.messaging import Consumer, Producer
from kombu.pidbox._node import Handler, Node, number_in
from kombu.utils.deadline import Deadline
from kombu.utils.functional import maybe_evaluate
from kombu.utils.objects import cached_property
from kombu.utils.uuid import uuid

__all__ = ('REPLY_QUEUE_EXPIRES', 'Mailbox')

#: Seconds after which an unused queue for replies is deleted.
REPLY_QUEUE_EXPIRES = 10

logger = get_logger('kombu.pidbox')


class Mailbox:
    """A namespace for commands.

    Calling it with a connection returns a copy that uses the connection.

    Args:
        namespace: its name.
        type: 'direct', 'fanout' or 'topic': the type of its exchange; commands reach all nodes
            whatever it is.
        connection: the connection to use.
        clock: the logical clock that messages carry on.
        accept: content types, or names of serializers, that may be decoded; None: JSON.
        serializer: name of the serializer; None: the default one.
        producer_pool: where to get producers from, perhaps lazily.
        queue_ttl: seconds after which commands expire.
        queue_expires: seconds after which an unused queue for commands is deleted.
        queue_durable: queues survive a restart of the broker.
        queue_exclusive: queues belong to one connection, and go with it.
        reply_queue_ttl: seconds after which replies expire.
        reply_queue_expires: seconds after which an unused queue for replies is deleted.

    Raises:
        ValueError: both `queue_durable` and `queue_exclusive` are set, which contradict each other.

    Example:
        >>> mailbox = Mailbox('app', type='fanout')(connection)
        >>> mailbox.multi_call('ping', timeout=1)
        [{'worker1': 'pong'}, {'worker2': 'pong'}]
    """

    __module__ = 'kombu.pidbox'

    node_cls: type[Node] = Node
    exchange_fmt: str = '%s.pidbox'
    reply_exchange_fmt: str = 'reply.%s.pidbox'

    namespace: str | None = None
    connection: Any = None
    type: str = 'direct'
    exchange: Any = None
    reply_exchange: Any = None
    accept: Any = ['json']
    serializer: str | None = None

    def __init__(
        self,
        namespace: str,
        type: str = 'direct',
        connection: Any = None,
        clock: LamportClock | None = None,
        accept: Any = None,
        serializer: str | None = None,
        producer_pool: Any = None,
        queue_ttl: float | None = None,
        queue_expires: float | None = None,
        queue_durable: bool = False,
        queue_exclusive: bool = True,
        reply_queue_ttl: float | None = None,
        reply_queue_expires: float | None = 10.0,
    ) -> None:
        if queue_durable and queue_exclusive:
            raise ValueError(
                'queue_durable and queue_exclusive contradict each other: '
                'an exclusive queue goes with its connection'
            )
        self.namespace = namespace
        self.connection = connection
        self.type = type
        self.clock: Any = LamportClock() if clock is None else clock
        self.exchange = self._get_exchange(namespace, type)
        self.reply_exchange = self._get_reply_exchange(namespace)
        #: Replies that another call received, by ticket: one in the callback of the other.
        self.unclaimed: defaultdict[str, deque[Any]] = defaultdict(deque)
        #: Tickets of the calls that wait.
        self._waiting: set[str] = set()
        self.accept = self.accept if accept is None else accept
        self.serializer = self.serializer if serializer is None else serializer
        self.queue_ttl = queue_ttl
        self.queue_expires = queue_expires
        self.queue_durable = queue_durable
        self.queue_exclusive = queue_exclusive
        self.reply_queue_ttl = reply_queue_ttl
        self.reply_queue_expires = reply_queue_expires
        self._producer_pool = producer_pool

    def __call__(self, connection: Any) -> Mailbox:
        """Return a copy that uses `connection`."""
        bound = copy(self)
        bound.connection = connection
        return bound

    def Node(
        self,
        hostname: str | None = None,
        state: Any = None,
        channel: Any = None,
        handlers: dict[str, Handler] | None = None,
    ) -> Node:
        """Make a node.

        Args:
            hostname: its name; None: that of the machine.
            state: the first argument of its handlers.
            channel: a channel, or a connection, to listen and reply on.
            handlers: what it can do, by the name of the command.
        """
        return self.node_cls(
            hostname or socket.gethostname(), state, channel, handlers, mailbox=self
        )

    # -- sending commands

    def call(
        self,
        destination: list[str] | tuple[str, ...],
        command: str,
        kwargs: dict[str, Any] | None = None,
        timeout: float | None = None,
        callback: Callable[[Any], Any] | None = None,
        channel: Any = None,
    ) -> Any:
        """Send a command to some nodes, and wait for the reply of each.

        Args:
            destination: names of the nodes.
            command: name of the command.
            kwargs: its arguments.
            timeout: seconds to wait for all replies; None waits for ever.
            callback: called with each reply.
            channel: the channel to use; None: the default channel of the connection.

        Returns:
            the replies, each a dictionary from host name to result.
        """
        return self._broadcast(
            command,
            kwargs,
            destination,
            reply=True,
            timeout=timeout,
            callback=callback,
            channel=channel,
        )

    def cast(
        self,
        destination: list[str] | tuple[str, ...] | None,
        command: str,
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Send a command to some nodes, and do not wait."""
        return self._broadcast(command, kwargs, destination, reply=False)

    def abcast(self, command: str, kwargs: dict[str, Any] | None = None) -> Any:
        """Send a command to all nodes, and do not wait."""
        return self._broadcast(command, kwargs, reply=False)

    def multi_call(
        self,
        command: str,
        kwargs: dict[str, Any] | None = None,
        timeout: float | None = 1,
        limit: int | None = None,
        callback: Callable[[Any], Any] | None = None,
        channel: Any = None,
    ) -> Any:
        """Send a command to all nodes, and wait for replies.

        Args:
            command: name of the command.
            kwargs: its arguments.
            timeout: seconds to wait for all replies.
            limit: how many replies are enough.
            callback: called with each reply.
            channel: the channel to use; None: the default channel of the connection.

        Returns:
            the replies, each a dictionary from host name to result.
        """
        return self._broadcast(
            command,
            kwargs,
            reply=True,
            timeout=timeout,
            limit=limit,
            callback=callback,
            channel=channel,
        )

    def _broadcast(
        self,
        command: str,
        arguments: dict[str, Any] | None = None,
        destination: list[str] | tuple[str, ...] | None = None,
        reply: bool = False,
        timeout: float | None = 1,
        limit: int | None = None,
        callback: Callable[[Any], Any] | None = None,
        channel: Any = None,
        serializer: str | None = None,
        pattern: str | None = None,
        matcher: str | None = None,
    ) -> Any:
        if destination is not None and not isinstance(destination, (list, tuple)):
            raise ValueError(f'destination must be a list of names, not {destination!r}')
        for name, value in (('pattern', pattern), ('matcher', matcher)):
            if value is not None and not isinstance(value, str):
                raise ValueError(f'{name} must be a string, not {value!r}')
        if channel is None:
            channel = self.connection.default_channel
        ticket = uuid() if reply else None
        try:
            if ticket:
                self._waiting.add(ticket)
                # Declared now, so that no reply comes before there is a place for it.
                maybe_declare(self.reply_queue(channel))
            self._publish(
                command,
                arguments or {},
                destination=destination,
                reply_ticket=ticket,
                channel=channel,
                timeout=timeout,
                serializer=serializer,
                pattern=pattern,
                matcher=matcher,
            )
            if ticket:
                return self._collect(
                    ticket,
                    limit=len(destination) if limit is None and destination else limit,
                    timeout=timeout,
                    callback=callback,
                    channel=channel,
                )
        finally:
            if ticket:
                self._waiting.discard(ticket)
                self.unclaimed.pop(ticket, None)
        return None

    def _publish(
        self,
        type: str,
        arguments: dict[str, Any],
        destination: Any = None,
        reply_ticket: str | None = None,
        channel: Any = None,
        timeout: float | None = None,
        serializer: str | None = None,
        producer: Producer | None = None,
        pattern: str | None = None,
        matcher: str | None = None,
    ) -> None:
        """Publish the command `type`."""
        message: dict[str, Any] = {
            'method': type,
            'arguments': arguments,
            'destination': destination,
            'pattern': pattern,
            'matcher': matcher,
        }
        if reply_ticket:
            message['ticket'] = reply_ticket
            message['reply_to'] = {
                'exchange': self.reply_exchange.name,
                'routing_key': self.oid,
            }
        with self.producer_or_acquire(producer, channel) as publisher:
            publisher.publish(
                message,
                exchange=self.exchange.name,
                declare=[self.exchange],
                headers={
                    'clock': self.clock.forward(),
                    'expires': time() + timeout if timeout else 0,
                },
                serializer=serializer or self.serializer,
                retry=True,
            )

    def _collect(
        self,
        ticket: str,
        limit: int | None = None,
        timeout: float | None = 1,
        callback: Callable[[Any], Any] | None = None,
        channel: Any = None,
        accept: Any = None,
    ) -> list[Any]:
        """Wait for the replies to a command.

        Args:
            ticket: what they are known by.
            limit: how many are enough; None for as many as come.
            timeout: seconds to wait for all of them; None waits for ever.
            callback: called with each.
            channel: the channel to consume on; None: the default channel of the connection.
            accept: content types, or names of serializers, that may be decoded; None: as the
                mailbox says.
        """
        if channel is None:
            channel = self.connection.default_channel
        queue = self.reply_queue
        replies: list[Any] = []

        def receive(body: Any) -> None:
            replies.append(body)
            if callback is not None:
                callback(body)

        def on_message(body: Any, message: Any) -> None:
            self.clock.adjust(number_in(message, 'clock'))
            expires = number_in(message, 'expires')
            if expires and time() > expires:
                return
            its_ticket = message.headers.get('ticket', ticket)
            if its_ticket == ticket:
                receive(body)
            elif isinstance(its_ticket, str) and its_ticket in self._waiting:
                self.unclaimed[its_ticket].append(body)

        deadline = Deadline.after(timeout)
        with Consumer(
            channel,
            [queue],
            callbacks=[on_message],
            on_decode_error=_log_unreadable,
            accept=self.accept if accept is None else accept,
            no_ack=True,
        ):
            try:
                while limit is None or len(replies) < limit:
                    if self.unclaimed.get(ticket):
                        receive(self.unclaimed[ticket].popleft())
                        continue
                    self.connection.drain_events(timeout=deadline.remaining())
                    deadline.check('waiting for replies')
            except TimeoutError:
                pass
        channel.after_reply_message_received(queue.name)
        return replies

    def _publish_reply(
        self,
        reply: Any,
        exchange: str,
        routing_key: str,
        ticket: str | None,
        channel: Any = None,
        producer: Producer | None = None,
        **opts: Any,
    ) -> None:
        """Publish a reply; it vanishes where nobody waits for it any more."""
        target = Exchange(exchange, type='direct', delivery_mode='transient', durable=False)
        with self.producer_or_acquire(producer, channel) as publisher:
            try:
                publisher.publish(
                    reply,
                    exchange=target,
                    routing_key=routing_key,
                    declare=[target],
                    headers={'ticket': ticket, 'clock': self.clock.forward()},
                    retry=True,
                    **opts,
                )
            except InconsistencyError:
                # The queue for replies, or all queues of the exchange, were deleted meanwhile.
                pass

    # -- exchanges, queues, producers

    def _get_exchange(self, namespace: str, type: str) -> Exchange:
        return Exchange(
            self.exchange_fmt % namespace, type=type, durable=False, delivery_mode='transient'
        )

    def _get_reply_exchange(self, namespace: str) -> Exchange:
        return Exchange(
            self.reply_exchange_fmt % namespace,
            type='direct',
            durable=False,
            delivery_mode='transient',
        )

    def get_queue(self, hostname: str | None) -> Queue:
        """Return the queue in which a node receives commands."""
        return Queue(
            f'{hostname}.{self.namespace}.pidbox',
            exchange=self.exchange,
            durable=self.queue_durable,
            exclusive=self.queue_exclusive,
            auto_delete=not self.queue_durable,
            expires=self.queue_expires,
            message_ttl=self.queue_ttl,
        )

    def get_reply_queue(self) -> Queue:
        """Return the queue in which this mailbox receives replies in this thread."""
        oid = self.oid
        return Queue(
            f'{oid}.{self.reply_exchange.name}',
            exchange=self.reply_exchange,
            routing_key=oid,
            durable=self.queue_durable,
            exclusive=self.queue_exclusive,
            auto_delete=not self.queue_durable,
            expires=self.reply_queue_expires,
            message_ttl=self.reply_queue_ttl,
        )

    @property
    def reply_queue(self) -> Queue:
        """The queue in which this mailbox receives replies in this thread."""
        return self.get_reply_queue()

    @property
    def oid(self) -> str:
        """The name of this mailbox in this thread of this process."""
        return oid_from(self)

    @contextmanager
    def producer_or_acquire(
        self, producer: Producer | None = None, channel: Any = None
    ) -> Iterator[Producer]:
        """Lend a producer.

        Args:
            producer: the one to use, if there is one.
            channel: where to publish without a pool; None: the default channel of the connection.
        """
        if producer is not None:
            yield producer
        elif self.producer_pool is not None:
            with self.producer_pool.acquire() as pooled:
                yield pooled
        else:
            yield Producer(self.connection if channel is None else channel, auto_declare=False)

    @cached_property
    def producer_pool(self) -> Any:
        """Where producers come from."""
        return maybe_evaluate(self._producer_pool)

    def __repr__(self) -> str:
        return f'<{type(self).__name__}: {self.namespace} ({self.type})>'


def _log_unreadable(message: Any, exc: Exception) -> None:
    logger.error('cannot decode a reply: %r: %r', exc, message, exc_info=exc)
