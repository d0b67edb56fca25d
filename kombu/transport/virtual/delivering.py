"""Consuming: who gets which message, under which limit, and what happens when it is settled.

A message is taken from the store only for a consumer that has credit, so nothing is taken that
cannot be delivered. The consumers of a queue on one connection are served in turn.  Where several
threads consume on one connection, each is served only the channels it consumes on
(`Transport.drain_events`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from queue import Empty
from threading import Thread, current_thread
from typing import Any

from amqp.exceptions import AccessRefused, NotAllowed, PreconditionFailed

from kombu.message import Message as BaseMessage
from kombu.transport.virtual._envelope import redelivered
from kombu.transport.virtual._topology import QueueEntry
from kombu.transport.virtual.message import Message
from kombu.transport.virtual.publishing import PublishingChannel
from kombu.transport.virtual.qos import QoS as Ledger
from kombu.utils.functional import accepts_argument
from kombu.utils.uuid import uuid

__all__ = ('DeliveringChannel', 'QueueConsumers', 'VirtualConsumer')


class VirtualConsumer:
    """One `basic_consume`."""

    __slots__ = (
        'callback',
        'channel',
        'exclusive',
        'limit',
        'no_ack',
        'on_cancel',
        'queue',
        'tag',
        'thread',
        'unacked',
    )

    def __init__(
        self,
        channel: DeliveringChannel,
        tag: str,
        queue: str,
        callback: Callable[[Any], Any],
        *,
        no_ack: bool,
        exclusive: bool,
        on_cancel: Callable[[str], Any] | None,
    ) -> None:
        self.channel = channel
        self.tag = tag
        self.queue = queue
        self.callback = callback
        self.no_ack = no_ack
        self.exclusive = exclusive
        self.on_cancel = on_cancel
        qos = channel._qos
        #: Its own limit of unsettled deliveries, set when it was started; 0: the channel's.
        self.limit = 0 if qos.apply_global else qos.prefetch_count
        #: The thread it was started in.
        self.thread = current_thread()
        #: Deliveries it has not settled.
        self.unacked = 0

    def prefetch_limit(self) -> int:
        """Return how many unsettled deliveries it may have of its own; 0 means any number."""
        return 0 if self.no_ack else self.limit or self.channel._qos.prefetch_count

    def credit(self) -> float:
        """Return how many more messages it may be given now."""
        limit = self.prefetch_limit()
        return max(limit - self.unacked, 0) if limit else float('inf')

    def has_room(self) -> bool:
        """Tell whether its own limit allows another message."""
        limit = self.limit or self.channel._qos.prefetch_count
        return not limit or self.unacked < limit or self.no_ack

    def has_credit(self) -> bool:
        """Tell whether it may be given another message."""
        qos = self.channel._qos
        if qos.apply_global and not self.no_ack:
            return qos.can_consume()
        return self.has_room()

    def __repr__(self) -> str:
        return f'<{type(self).__name__} {self.tag!r} of {self.queue!r}: {self.unacked} unacked>'


class QueueConsumers:
    """The consumers of one queue on one connection.

    Called with a payload it serves the next in turn.
    """

    __slots__ = ('_turn', 'consumers', 'queue')

    def __init__(self, queue: str) -> None:
        self.queue = queue
        #: Replaced when it changes, never changed: other threads may be reading it.
        self.consumers: tuple[VirtualConsumer, ...] = ()
        self._turn = 0

    def next(self, *, thread: Thread | None = None) -> VirtualConsumer | None:
        """Return the consumer whose turn it is among those with credit; None where there is none.

        Args:
            thread: only those started in this thread.
        """
        consumers = self.consumers
        if len(consumers) == 1:
            only = consumers[0]
            return only if only.has_credit() and thread in (None, only.thread) else None
        count = len(consumers)
        for step in range(count):
            turn = (self._turn + step) % count
            consumer = consumers[turn]
            if thread in (None, consumer.thread) and consumer.has_credit():
                self._turn = turn
                return consumer
        return None

    def __call__(self, payload: Any, *, thread: Thread | None = None) -> bool:
        """Deliver `payload` to the next consumer and pass the turn on.

        Returns:
            False where all of them have gone meanwhile.
        """
        consumers = self.consumers
        if not consumers:
            return False
        consumer = consumers[0]
        if len(consumers) > 1:
            # Credit may have gone since the message was taken, as where a driver takes by itself;
            # it must go to somebody.
            consumer = self.next(thread=thread) or consumers[self._turn % len(consumers)]
            self._turn += 1
        consumer.channel._deliver_to(consumer, payload)
        return True


def _ignore(message: Any) -> None:
    """Stand in for the callback nobody gave."""


class _Unreadable(BaseMessage):
    """What is delivered in place of an envelope that cannot be read.

    `decode()` raises the reason.
    """

    raw: Any
    queue: str | None
    consumer: Any

    def serializable(self) -> Any:
        """Return what the store had, untouched."""
        return self.raw


class DeliveringChannel(PublishingChannel):
    """The part of a channel that consumes."""

    Message: type[Any] = Message
    QoS: type[Ledger] = Ledger

    closed: bool = False

    def __init__(self) -> None:
        self._qos: Ledger = self.QoS(self)
        self._cycle: Any = None
        self._consumers: dict[str, VirtualConsumer] = {}
        self._tag_to_queue: dict[str, str] = {}
        #: Queues consumed from, in the order in which they were first.
        self._active_queues: list[str] = []
        self.no_ack_consumers = set()
        self._get_takes_timeout = accepts_argument(self._get, 'timeout')

    @property
    def qos(self) -> Ledger:
        """The ledger of unsettled deliveries."""
        return self._qos

    # -- consumers -------------------------------------------------------------------------------

    def basic_consume(
        self,
        queue: str,
        no_ack: bool = False,
        callback: Callable[[Any], Any] | None = None,
        consumer_tag: str | None = None,
        *,
        exclusive: bool = False,
        arguments: Mapping[str, Any] | None = None,
        on_cancel: Callable[[str], Any] | None = None,
        **kwargs: Any,
    ) -> str:
        """Start a consumer; it is in effect when this returns.

        Args:
            queue: where to consume from.
            no_ack: deliveries are settled by delivering them.
            callback: called with each `Message`, in the thread that drains events.
            consumer_tag: name of the consumer on this channel, made up where none is given.
            exclusive: refuse other consumers of this queue.
            arguments: consumer arguments; none is known to the virtual broker.
            on_cancel: called with the tag when the broker cancels the consumer because its queue
                is gone.

        Returns:
            The consumer tag.

        Raises:
            amqp.NotFound: the queue does not exist.
            amqp.AccessRefused: it has an exclusive consumer.
            amqp.NotAllowed: the tag is in use on this channel.
        """
        self._check_open()
        tag = consumer_tag or f'amq.ctag-{uuid()}'
        with self.state.lock:
            if tag in self._consumers:
                raise NotAllowed(f"NOT_ALLOWED - attempt to reuse consumer tag '{tag}'", (60, 20))
            self._check_queue(queue, (60, 20), 'Channel.basic_consume')
            for argument in arguments or ():
                self._unsupported(f'consumer argument {argument!r} on queue {queue!r}')
            entry = self.state.queues.get(queue)
            if entry is not None:
                self._check_not_alone(entry, alone=exclusive)
            consumer = VirtualConsumer(
                self,
                tag,
                queue,
                _ignore if callback is None else callback,
                no_ack=no_ack,
                exclusive=exclusive,
                on_cancel=on_cancel,
            )
            if entry is not None:
                entry.consumers[consumer] = None
                self._touch(entry)
            self._consumers[tag] = consumer
            self._tag_to_queue[tag] = queue
            if no_ack and self.no_ack_consumers is not None:
                self.no_ack_consumers.add(tag)
            if queue not in self._active_queues:
                self._active_queues.append(queue)
            self.connection._add_consumer(consumer)
        return tag

    def _check_not_alone(self, entry: QueueEntry, *, alone: bool = False) -> None:
        """Refuse where somebody consumes exclusively, or, to be `alone`, where anybody does."""
        if (alone and entry.consumers) or any(other.exclusive for other in entry.consumers):
            raise AccessRefused(
                f"ACCESS_REFUSED - queue '{entry.name}' {self._in_vhost} in exclusive use",
                (60, 20),
            )

    def basic_cancel(self, consumer_tag: str, **kwargs: Any) -> None:
        """Stop a consumer; what it holds stays held.  An unknown tag is no error."""
        if self.closed:
            return
        with self.state.lock:
            consumer = self._forget_consumer(consumer_tag)
            if consumer is None:
                return
            entry = self.state.queues.get(consumer.queue)
            if entry is not None and entry.auto_delete and not entry.consumers:
                self._drop_queue(entry.name)

    def _forget_consumer(self, tag: str) -> VirtualConsumer | None:
        consumer = self._consumers.pop(tag, None)
        if consumer is None:
            return None
        queue = consumer.queue
        self._tag_to_queue.pop(tag, None)
        if self.no_ack_consumers is not None:
            self.no_ack_consumers.discard(tag)
        if queue not in self._tag_to_queue.values():
            with suppress(ValueError):
                self._active_queues.remove(queue)
        self.connection._remove_consumer(consumer)
        entry = self.state.queues.get(queue)
        if entry is not None:
            entry.consumers.pop(consumer, None)
            self._touch(entry)
        return consumer

    def _queue_gone(self, consumer: VirtualConsumer) -> None:
        """Stop a consumer whose queue was deleted; whoever drains its connection is told."""
        if self._forget_consumer(consumer.tag) is not None:
            self.connection._cancelled_by_broker(consumer)

    def basic_qos(
        self, prefetch_size: int = 0, prefetch_count: int = 0, apply_global: bool = False
    ) -> None:
        """Limit the unsettled deliveries.

        Args:
            prefetch_size: not supported by virtual transports, as in RabbitMQ; only 0.
            prefetch_count: how many; 0 means no limit.
            apply_global: True for the channel as a whole; False for each consumer started from now
                on, and for those that were started without a limit
                (https://www.rabbitmq.com/docs/consumer-prefetch).
        """
        self._check_open()
        if prefetch_size:
            self._unsupported(f'prefetch_size={prefetch_size}')
        qos = self._qos
        qos.prefetch_count = prefetch_count or 0
        qos.apply_global = apply_global

    def confirm_select(self, nowait: bool = False) -> None:
        """Ask for publisher confirms; here, returning from `basic_publish` is the confirm."""
        self._check_open()

    def flow(self, active: bool = True) -> None:
        """Ask the broker to stop or go on delivering; virtual transports only go on.

        Raises:
            UnsupportedFeature: `active` is False and the transport is strict; cancel the
                consumers instead.
        """
        self._check_open()
        if not active:
            self._unsupported('flow(active=False)')

    # -- taking and delivering -------------------------------------------------------------------

    def basic_get(self, queue: str, no_ack: bool = False, **kwargs: Any) -> Any:
        """Take one message of `queue`.

        Returns:
            A `Message`, or None where none is ready.

        Raises:
            amqp.NotFound: the queue does not exist.
            amqp.AccessRefused: it has an exclusive consumer.
        """
        self._check_open()
        self._check_queue(queue, (60, 70), 'Channel.basic_get')
        self._run_due()
        entry = self.state.queues.get(queue)
        if entry is not None:
            self._check_not_alone(entry)
            self._touch(entry)
        try:
            payload = self._take(queue)
        except Empty:
            return None
        message = self._to_message(payload, queue)
        if no_ack:
            self._settle(queue, payload)
        else:
            self._qos.append(message, message.delivery_tag)
            self._qos._uncounted.add(message.delivery_tag)
        return message

    def _take(self, queue: str, timeout: float | None = None) -> Any:
        """Take the next message that has not expired.

        Raises:
            queue.Empty: there is none.
        """
        while True:
            if self._get_takes_timeout:
                payload = self._get(queue, timeout=timeout)
            else:
                payload = self._get(queue)
            try:
                expired = self._is_expired(payload)
            except (AttributeError, TypeError):
                expired = False  # not an envelope; the consumer is told
            if not expired:
                return payload
            self._bury(queue, payload, 'expired')
            self._settle(queue, payload)

    def drain_events(
        self, timeout: float | None = None, callback: Callable[[Any, str], Any] | None = None
    ) -> Any:
        """Deliver one message of the queues consumed from.

        Raises:
            queue.Empty: there is none, or no consumer has credit.
        """
        transport = self.connection
        if transport is not None and self._consumers and self._qos.can_consume():
            return self._poll(self.cycle, callback or transport._deliver, timeout=timeout)
        if callback is None:
            self._check_open()
        raise Empty

    def _get_and_deliver(
        self, queue: str, callback: Callable[[Any, str], Any], timeout: float | None = None
    ) -> None:
        transport = self.connection
        if transport is None or not transport._has_credit(queue):
            raise Empty
        callback(self._take(queue, timeout), queue)

    def _deliver_to(self, consumer: VirtualConsumer, payload: Any) -> None:
        """Hand `payload` to `consumer`, held in the ledger first where it must be acknowledged."""
        message = self._to_message(payload, consumer.queue)
        message.delivery_info['consumer_tag'] = consumer.tag
        if consumer.no_ack:
            self._settle(consumer.queue, payload)
        else:
            message.consumer = consumer
            consumer.unacked += 1
            self._qos.append(message, message.delivery_tag)
            if self.closed and self._qos._delivered.pop(message.delivery_tag, None) is not None:
                # Closed by another thread since it was taken, too late to be put back by `close`.
                self._requeue(consumer.queue, redelivered(payload))
                return
        consumer.callback(message)

    def _to_message(self, payload: Any, queue: str | None) -> Any:
        """Make the message of a payload.

        Of one that cannot be read, a message that says so when decoded.
        """
        try:
            message = self.Message(payload, channel=self)
        except Exception as exc:
            message = self._unreadable(payload, exc)
        message.queue = queue
        message.delivery_info.setdefault('redelivered', False)
        message.delivery_tag = self._fresh_tag(message.delivery_tag)
        return message

    def _unreadable(self, payload: Any, reason: Exception) -> Any:
        body = payload if isinstance(payload, (bytes, str)) else repr(payload)
        message = _Unreadable(body=body, channel=self, delivery_tag=uuid())
        message.raw = payload
        message.consumer = None
        message.errors.append((type(reason), reason, reason.__traceback__))
        return message

    def _fresh_tag(self, tag: Any) -> Any:
        """Return a delivery tag that no held delivery of this channel has."""
        if tag is None or tag in self._qos._delivered:
            return uuid()
        return tag

    def message_to_python(self, raw_message: Any) -> Any:
        """Turn an envelope into a message; a message is returned as it is."""
        if isinstance(raw_message, BaseMessage):
            return raw_message
        return self.Message(raw_message, channel=self)

    # -- settling --------------------------------------------------------------------------------

    def basic_ack(self, delivery_tag: Any, multiple: bool = False) -> None:
        """Acknowledge a delivery.

        Args:
            delivery_tag: of the delivery.
            multiple: also everything delivered before it on this channel; with tag 0, all there is.

        Raises:
            amqp.PreconditionFailed: there is no such delivery.
        """
        if self.closed:
            self._check_open()
        if multiple:
            for tag in self._up_to(delivery_tag):
                self.basic_ack(tag)
            return
        qos = self._qos
        message = qos._delivered.get(delivery_tag)
        try:
            qos.ack(delivery_tag)
        except PreconditionFailed:
            # It went back to its queue if another thread has closed the channel meanwhile.
            self._check_open()
            raise
        self._give_credit(message)

    def basic_reject(self, delivery_tag: Any, requeue: bool = False) -> None:
        """Refuse a delivery: back to the head of its queue, or to its dead letters.

        Raises:
            amqp.PreconditionFailed: there is no such delivery.
        """
        self._check_open()
        qos = self._qos
        message = qos._delivered.get(delivery_tag)
        try:
            qos.reject(delivery_tag, requeue=requeue)
        except PreconditionFailed:
            self._check_open()
            raise
        self._give_credit(message)

    def basic_recover(self, requeue: bool = False) -> None:
        """Have everything held on this channel delivered again.

        It goes back to the queues, so that another consumer may get it; RabbitMQ knows no other
        way either.
        """
        self._check_open()
        held = list(self._qos._delivered.values())
        self._qos.restore_unacked()
        for message in held:
            self._give_credit(message)

    def _up_to(self, delivery_tag: Any) -> list[Any]:
        held = list(self._qos._delivered)
        if not delivery_tag:
            return held
        try:
            return held[: held.index(delivery_tag) + 1]
        except ValueError:
            return [delivery_tag]

    def _give_credit(self, message: Any) -> None:
        consumer = getattr(message, 'consumer', None)
        if consumer is not None:
            message.consumer = None
            consumer.unacked -= 1

    def _finished(self, message: Any) -> None:
        """Let the store forget a message that was handled."""
        queue = getattr(message, 'queue', None)
        if queue is not None:
            self._settle(queue, message.raw)

    def _died(self, message: Any, reason: str) -> None:
        """Send a message to its dead letters, then let the store forget it."""
        queue = getattr(message, 'queue', None)
        if queue is not None:
            if isinstance(message.raw, dict):
                self._bury(queue, message.raw, reason)
            self._settle(queue, message.raw)

    def _restore(self, message: Any) -> None:
        """Put a held message back into the queue it came from, flagged redelivered."""
        payload = message.serializable()
        queue = getattr(message, 'queue', None)
        if queue is None:
            # Made by somebody else: the only way back known is the one it came by.
            info = message.delivery_info
            for target in self._lookup(info['exchange'], info['routing_key']):
                self._put(target, redelivered(payload))
            return
        entry = self.state.queues.get(queue)
        if isinstance(payload, dict):
            payload = redelivered(payload)
            limit = entry.policy.delivery_limit if entry is not None else None
            if limit is not None and payload['headers']['x-delivery-count'] > limit:
                self._died(message, 'delivery_limit')
                return
        if entry is None or not entry.policy.limited:
            self._requeue(queue, payload)
            return
        with self.state.lock:
            self._requeue(queue, payload)
            self._drop_overflow(entry)

    def _restore_at_beginning(self, message: Any) -> None:
        """Put a held message back at the head of its queue."""
        self._restore(message)

    # -- the cycle of queues ---------------------------------------------------------------------

    @property
    def cycle(self) -> Any:
        """The queues consumed from, asked in turn."""
        if self._cycle is None:
            self._check_open()
            self._reset_cycle()
        return self._cycle

    def _reset_cycle(self) -> None:
        self._cycle = self.connection.Cycle(self._get_and_deliver, self._active_queues, Empty)
