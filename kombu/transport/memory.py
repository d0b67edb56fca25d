"""In-process transport: `memory://`, the reference broker.

URL
    ``memory://`` or ``memory:///virtual-host``.  All connections of the process to one virtual
    host share a broker.

Features
    Everything the virtual broker can do (see `Transport.implements`).  Messages live as long as
    the process.

Options
    ``body_encoding``, ``deadletter_queue`` and ``strict``, as for every virtual transport.

The other transports are compared with this one.  `kombu.testing.MemoryBroker` gives tests a
broker of their own, with a clock they advance and a look inside.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from queue import Empty
from typing import Any

from amqp.exceptions import MessageNacked

from kombu.log import get_logger
from kombu.transport import virtual
from kombu.transport._memory_broker import Broker, Brokers, MemoryQueue
from kombu.transport._options import Option, text
from kombu.transport.virtual._envelope import Envelope, expires_at
from kombu.transport.virtual._policy import NO_POLICY
from kombu.transport.virtual._topology import BrokerState, QueueEntry

__all__ = ('Channel', 'Transport')

logger = get_logger(__name__)


class _AllQueues(Mapping[str, MemoryQueue]):
    """The queues of every virtual host, as the class attribute `Channel.queues`."""

    def __get__(self, channel: Channel | None, owner: type | None = None) -> Any:
        return self if channel is None else channel.broker.queues

    def __getitem__(self, name: str) -> MemoryQueue:
        for broker in Transport.global_state.values():
            if name in broker.queues:
                return broker.queues[name]
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter([name for broker in Transport.global_state.values() for name in broker.queues])

    def __len__(self) -> int:
        return sum(len(broker.queues) for broker in Transport.global_state.values())

    def clear(self) -> None:
        """Forget every queue, exchange and message of the process."""
        Transport.global_state.clear()


class Channel(virtual.Channel):
    """A channel to the broker of its virtual host."""

    # Nothing outlives the process, and bodies need no encoding to be kept in it.
    do_restore = False
    body_encoding = None
    supports_fanout = True

    queues: Any = _AllQueues()

    def __init__(self, connection: Transport, **kwargs: Any) -> None:
        self.broker: Broker = connection.broker
        #: Queues consumed from that may have a message, least recently served first.
        self._ready: dict[str, None] = {}
        super().__init__(connection, **kwargs)

    # -- storage ---------------------------------------------------------------------------------

    def _get(self, queue: str, timeout: float | None = None) -> Envelope:
        broker = self.broker
        with broker.lock:
            stored = broker.queues.get(queue)
            if stored is not None and stored.expires:
                self._watch_head(queue, stored)
            if not stored:
                raise Empty
            envelope = stored.get()
            if stored.expires:
                # The next one may have expired behind it.
                self._watch_head(queue, stored)
            return envelope

    # What `_get` gives has not expired, and is nowhere else.
    _take = _get

    def _finished(self, message: Any) -> None:
        """Nothing to forget: taking it removed it."""

    def _put(self, queue: str, message: Envelope, **kwargs: Any) -> None:
        broker = self.broker
        with broker.lock:
            stored = broker.queues.get(queue)
            if stored is not None:
                stored.put(message)
                if 'expires_at' in message['properties']['delivery_info']:
                    stored.expires = True
                    self._watch_head(queue, stored)
                broker.arrived(queue, stored)

    def _requeue(self, queue: str, message: Envelope) -> None:
        broker = self.broker
        with broker.lock:
            stored = broker.queues.get(queue)
            if stored is not None:
                stored.put_back(message)
                broker.arrived(queue, stored)
                if stored.expires:
                    self._watch_head(queue, stored)

    def _put_delayed(
        self, exchange: str, message: Envelope, routing_key: str, delay: float
    ) -> None:
        self.broker.at(self._now() + delay, '_route_delayed', exchange, message, routing_key)

    def _route_delayed(self, exchange: str, message: Envelope, routing_key: str) -> None:
        entry = self.state.exchanges.get(exchange)
        if entry is not None:
            # Behind what was published while it waited.
            message['properties']['delivery_tag'] = self._next_delivery_tag()
            inner = self.exchange_types[entry.arguments['x-delayed-type']]
            try:
                inner.deliver(message, exchange, routing_key)
            except MessageNacked as exc:
                # Its publisher is long gone, and whoever lets time pass has no part in it.
                logger.warning('delayed message to %r dropped: %s', exchange, exc)

    def _new_queue(self, queue: str, **kwargs: Any) -> None:
        broker = self.broker
        if queue in broker.queues:
            return
        entry = self.state.queues.get(queue)
        policy = NO_POLICY if entry is None else entry.policy
        broker.queues[queue] = MemoryQueue(
            policy.max_priority, count_bytes=policy.max_length_bytes is not None
        )
        if policy.expires is not None:
            broker.at(self._now() + policy.expires, '_expire_queue', queue, policy.expires)

    def _has_queue(self, queue: str, **kwargs: Any) -> bool:
        return queue in self.broker.queues

    def _size(self, queue: str) -> int:
        stored = self.broker.queues.get(queue)
        return 0 if stored is None else len(stored)

    def _bytes(self, queue: str) -> int:
        stored = self.broker.queues.get(queue)
        return 0 if stored is None else stored.bytes

    def _purge(self, queue: str) -> int:
        stored = self.broker.queues.get(queue)
        return 0 if stored is None else stored.clear()

    def _delete(self, queue: str, *args: Any, **kwargs: Any) -> None:
        self.broker.queues.pop(queue, None)

    def _queue_bind(self, *args: Any) -> None:
        """Nothing to store: the declaration is the binding."""

    def _next_delivery_tag(self) -> int:
        return next(self.broker.positions)

    def _fresh_tag(self, tag: Any) -> Any:
        # Numbered by the channel, as AMQP has it: one message may be delivered here from two
        # queues.
        self._deliveries = number = self._deliveries + 1
        return number

    _deliveries = 0

    # -- time ------------------------------------------------------------------------------------

    def _now(self) -> float:
        return self.broker.clock.now()

    def _run_due(self) -> None:
        self.broker.run_due(self)

    def _watch_head(self, queue: str, stored: MemoryQueue) -> None:
        """Bury what has expired at the head of `queue`, and look again when the next may have.

        Only there does a message expire
        (https://www.rabbitmq.com/docs/ttl#per-message-ttl-caveats).
        """
        while (head := stored.head()) is not None:
            when = expires_at(head)
            if when is None:
                return
            if when > self._now():
                if stored.due is None or when < stored.due:
                    stored.due = when
                    self.broker.at(when, '_expire', queue)
                return
            self._bury(queue, stored.get(), 'expired')

    def _expire(self, queue: str) -> None:
        stored = self.broker.queues.get(queue)
        if stored is not None:
            stored.due = None
            self._watch_head(queue, stored)

    def _expire_queue(self, queue: str, after: float) -> None:
        """Delete `queue` if nobody used it for `after` seconds.

        Else look again when that may be.
        """
        entry = self.state.queues.get(queue)
        if entry is None or entry.policy.expires != after:
            return
        now = self._now()
        due = (now if entry.consumers else entry.used_at) + after
        if due <= now:
            self._drop_queue(queue)
        else:
            self.broker.at(due, '_expire_queue', queue, after)

    def _touch(self, entry: QueueEntry) -> None:
        if entry.policy.expires is not None:
            super()._touch(entry)

    # -- consuming -------------------------------------------------------------------------------

    def basic_consume(self, queue: str, *args: Any, **kwargs: Any) -> str:
        tag = super().basic_consume(queue, *args, **kwargs)
        with self.broker.lock:
            stored = self.broker.queues.get(queue)
            if stored is not None:
                stored.watchers[self] = None
                self._ready[queue] = None
        return tag

    def _forget_consumer(self, tag: str) -> Any:
        consumer = super()._forget_consumer(tag)
        if consumer is not None and consumer.queue not in self._active_queues:
            self._ready.pop(consumer.queue, None)
            stored = self.broker.queues.get(consumer.queue)
            if stored is not None:
                stored.watchers.pop(self, None)
        return consumer

    def drain_events(self, timeout: float | None = None, callback: Any = None) -> Any:
        self.broker.run_due(self)
        transport = self.connection
        if transport is not None and self._consumers and self._qos.can_consume():
            return self._poll(None, callback or transport._deliver)
        if callback is None:
            self._check_open()
        raise Empty

    def _poll(self, cycle: Any, callback: Any, timeout: float | None = None) -> None:
        ready = self._ready
        transport = self.connection
        if transport is None:
            raise Empty
        has_credit = transport._has_credit
        for queue in tuple(ready):
            if not has_credit(queue):
                continue
            try:
                payload = self._take(queue)
            except Empty:
                with self.broker.lock:
                    if not self.broker.queues.get(queue):
                        ready.pop(queue, None)
                continue
            if len(ready) > 1 and queue in ready:
                # The next turn is another queue's.
                del ready[queue]
                ready[queue] = None
            callback(payload, queue)
            return
        raise Empty

    def _give_credit(self, message: Any) -> None:
        super()._give_credit(message)
        if self.broker.waiting:
            self.broker.wake()


class Transport(virtual.Transport):
    """The in-process transport."""

    Channel = Channel

    driver_type = 'memory'
    driver_name = 'memory'

    #: Brokers by virtual host.
    global_state = Brokers()

    implements = virtual.Transport.implements.extend(
        exchange_type=frozenset({'direct', 'topic', 'fanout', 'headers'}),
        virtual_hosts=True,
        exclusive=True,
        priority=True,
        message_ttl=True,
        queue_ttl=True,
        queue_expires=True,
        max_length=True,
        max_length_bytes=True,
        overflow_reject=True,
        delay=True,
        passive=True,
        requeue_head=True,
    )

    options = {
        **virtual.Transport.options,
        'body_encoding': Option(text, None, 'codec of the bodies in memory; None: as they are'),
    }

    # Waiting is done on the broker's condition.
    polling_interval = None

    def _new_state(self) -> BrokerState:
        self.broker = self.global_state.open(self.client.virtual_host or '/')
        return self.broker.state

    def _progress(self) -> int:
        return self.broker.progress

    def _wait(self, seen: int, timeout: float | None) -> None:
        self.broker.wait(seen, timeout)

    def _wake(self) -> None:
        self.broker.wake()

    def driver_version(self) -> str:
        return 'N/A'
