"""The transport of the virtual broker.

Channels over one store, and the loop that waits for messages.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from queue import Empty
from threading import RLock, Thread, current_thread
from time import monotonic, sleep
from typing import Any

from amqp.exceptions import ConsumerCancelled, RecoverableConnectionError

from kombu.exceptions import TimeoutError
from kombu.transport import base
from kombu.transport._options import Option, read_options, seconds, text
from kombu.transport.virtual._topology import BrokerState
from kombu.transport.virtual.channel import Channel
from kombu.transport.virtual.delivering import QueueConsumers, VirtualConsumer
from kombu.utils.scheduling import FairCycle

__all__ = ('Management', 'Transport')


class Management(base.Management):
    """Shows what is declared, through a channel of its own."""

    def __init__(self, transport: Transport) -> None:
        super().__init__(transport)
        self.channel = transport.client.channel()

    def get_bindings(self) -> list[dict[str, str]]:
        """List the bindings: source, destination, routing key."""
        return [
            {'source': exchange, 'destination': queue, 'routing_key': routing_key}
            for queue, exchange, routing_key in self.channel.list_bindings()
        ]

    def close(self) -> None:
        """Close the channel."""
        self.channel.close()


class Transport(base.Transport):
    """Base of the virtual transports; drivers set `Channel`.

    The *connection* of a virtual transport is the transport itself.
    """

    Channel: type[Any] = Channel
    Cycle: type[Any] = FairCycle
    Management = Management

    implements = base.Transport.implements.extend(
        exchange_type=frozenset({'direct', 'topic'}),
        alternate_exchange=True,
        exchange_bind=True,
        mandatory=True,
        confirms=True,
        auto_delete=True,
        inequivalent=True,
        dead_letter=True,
        consumer_prefetch=True,
        recover=True,
        delivery_count=True,
    )

    #: The transport options it knows.  A subclass that declares its own has others warned about;
    #: one that does not may read whatever it likes from `client.transport_options`.
    options: Mapping[str, Option] = {
        'polling_interval': Option(seconds, None, 'seconds between two looks at empty queues'),
        'body_encoding': Option(
            text, 'base64', 'codec of the bodies in the store; None: as they are'
        ),
        'deadletter_queue': Option(text, None, 'queue that receives what no binding matches'),
    }

    #: Seconds between two looks at empty queues, for stores that cannot wait; None or 0: the
    #: driver waits in `_get`.
    polling_interval: float | None = 1.0
    #: The highest channel number.
    channel_max: int = 65535

    #: Open channels.
    channels: list[Any]
    #: Open channels, asked for messages in turn.  A driver may put something else in its place,
    #: which is then asked whoever drains.
    cycle: Any

    def __init__(self, client: Any, **kwargs: Any) -> None:
        super().__init__(client, **kwargs)
        self.state = self._new_state()
        self.channels = []
        self.cycle = self._all = self._new_cycle(self.channels)
        #: Queue to what is called with its messages.
        self._callbacks: dict[str, Any] = {}
        #: For each thread that consumes, the channels it consumes on; and the one there is, if so.
        self._cycles: dict[Thread, Any] = {}
        self._only_cycle: Any = None
        self._avail_channels: list[Any] = []
        self._used_channel_ids: set[int] = set()
        self._last_channel_id = 0
        self._cancelled: list[VirtualConsumer] = []
        self._connected = False
        #: The transport options that were given, converted.
        self.given = self._read_options()
        interval = self.given.get('polling_interval')
        if interval is not None:
            self.polling_interval = interval

    def _read_options(self) -> dict[str, Any]:
        given = self.client.transport_options or {}
        if 'options' not in vars(type(self)):
            # Made by somebody who reads options as they come.
            given = {name: given[name] for name in self.options if name in given}
        return read_options(self.driver_type, given, self.options)

    def _new_cycle(self, channels: list[Any]) -> Any:
        return self.Cycle(self._drain_channel, channels, Empty)

    def _new_state(self) -> BrokerState:
        return BrokerState(lock=RLock())

    # -- connections and channels ----------------------------------------------------------------

    def establish_connection(self) -> Transport:
        self._connected = True
        if self.cycle is None:
            self.cycle = self._all = self._new_cycle(self.channels)
        # The first channel tells whether the store can be reached.
        self._avail_channels.append(self.create_channel(self))
        return self

    def create_channel(self, connection: Any) -> Any:
        if self._avail_channels:
            return self._avail_channels.pop()
        channel = self.Channel(connection)
        self.channels.append(channel)
        return channel

    def close_channel(self, channel: Any) -> None:
        if not channel.closed:
            channel.close()
            return
        self._used_channel_ids.discard(getattr(channel, 'channel_id', 0))
        for known in (self.channels, self._avail_channels):
            with suppress(ValueError):
                known.remove(channel)

    def close_connection(self, connection: Any) -> None:
        self._connected = False
        self._avail_channels.clear()
        with self.state.lock:
            exclusive = [q.name for q in self.state.queues.values() if q.owner is self]
            if exclusive:
                channel = self.channels[0] if self.channels else self.create_channel(self)
                for queue in exclusive:
                    channel._drop_queue(queue)
            for channel in list(self.channels):
                channel.close()
        self._connected = False
        self._callbacks.clear()
        self._cancelled.clear()
        # It refers to the transport, which need not wait for the collector to be freed.
        self.cycle = self._all = None
        self._wake()

    def verify_connection(self, connection: Any) -> bool:
        return self._connected

    def _reserve_channel_id(self) -> int:
        used = self._used_channel_ids
        if len(used) >= self.channel_max:
            raise RecoverableConnectionError(
                f'no free channel: all {self.channel_max} are in use; close some'
            )
        number = self._last_channel_id
        while True:
            number = number % self.channel_max + 1
            if number not in used:
                break
        used.add(number)
        self._last_channel_id = number
        return number

    # -- consumers -------------------------------------------------------------------------------

    def _add_consumer(self, consumer: VirtualConsumer) -> None:
        group = self._callbacks.get(consumer.queue)
        if group is None:
            self._callbacks[consumer.queue] = group = QueueConsumers(consumer.queue)
        group.consumers = (*group.consumers, consumer)
        self._serve(consumer.thread)

    def _remove_consumer(self, consumer: VirtualConsumer) -> None:
        group = self._callbacks.get(consumer.queue)
        if group is not None:
            group.consumers = tuple(c for c in group.consumers if c is not consumer)
            if not group.consumers:
                del self._callbacks[consumer.queue]
        self._serve(consumer.thread)

    def _serve(self, thread: Thread) -> None:
        """Note which channels `thread` consumes on."""
        channels = [
            channel
            for channel in self.channels
            if any(consumer.thread is thread for consumer in channel._consumers.values())
        ]
        if channels:
            self._cycles[thread] = self._new_cycle(channels)
        else:
            self._cycles.pop(thread, None)
        self._only_cycle = next(iter(self._cycles.values())) if len(self._cycles) == 1 else None

    def _cancelled_by_broker(self, consumer: VirtualConsumer) -> None:
        """Have the next `drain_events` tell a consumer that its queue is gone."""
        if self._connected:
            self._cancelled.append(consumer)
            self._wake()

    def _own_thread(self) -> Thread | None:
        """Return the calling thread if it is one of several that consume; None: serve all."""
        if len(self._cycles) > 1:
            thread = current_thread()
            if thread in self._cycles:
                return thread
        return None

    def _adopt(self) -> bool:
        """Take over what threads that have ended consume; tell whether there was anything."""
        mine = current_thread()
        gone = [thread for thread in list(self._cycles) if not thread.is_alive()]
        with self.state.lock:
            for thread in gone:
                for channel in self.channels:
                    for consumer in channel._consumers.values():
                        if consumer.thread is thread:
                            consumer.thread = mine
                self._cycles.pop(thread, None)
            if gone:
                self._serve(mine)
        return bool(gone)

    def _has_credit(self, queue: str) -> bool:
        """Tell whether a message of `queue` can be delivered now."""
        group = self._callbacks.get(queue)
        if not isinstance(group, QueueConsumers):
            return group is not None
        return group.next(thread=self._own_thread()) is not None

    def _deliver(self, message: Any, queue: str) -> None:
        """Give a payload taken from `queue` to the consumer whose turn it is."""
        group = self._callbacks.get(queue)
        if isinstance(group, QueueConsumers):
            thread = None if self._only_cycle is not None else self._own_thread()
            if not group(message, thread=thread):
                self._give_back(message, queue)
        elif group is not None:
            group(message)
        else:
            self._give_back(message, queue)

    def _give_back(self, message: Any, queue: str) -> None:
        """Return a payload nobody consumes any more to the head of its queue."""
        if self.channels:
            self.channels[0]._requeue(queue, message)
        else:
            # The connection was closed by another thread since it was taken.
            channel = self.Channel(self)
            channel._requeue(queue, message)
            channel.close()

    def on_message_ready(self, channel: Any, message: Any, queue: str) -> None:
        """Deliver a payload that arrived by the event loop.

        Raises:
            KeyError: nobody consumes from `queue`.
        """
        if not queue or queue not in self._callbacks:
            raise KeyError(f'message for queue {queue!r} without consumers: {message!r}')
        self._deliver(message, queue)

    # -- waiting ---------------------------------------------------------------------------------

    def drain_events(self, connection: Any, timeout: float | None = None) -> Any:
        """Deliver one message to its consumer, waiting for one at most `timeout` seconds.

        Where several threads consume on this connection each is served its own channels; a thread
        that consumes on none serves all.

        Raises:
            TimeoutError: none came.
            RecoverableConnectionError: the connection is closed.
            amqp.ConsumerCancelled: the queue of a consumer without `on_cancel` was deleted.
        """
        deadline = None if timeout is None else monotonic() + timeout
        deliver = self._deliver
        remaining = timeout
        while True:
            if self._cancelled and self._connected:
                return self._tell_cancelled(self._cancelled.pop(0))
            if not self._connected:
                raise RecoverableConnectionError('connection is closed')
            cycle = self.cycle
            if cycle is self._all:
                cycle = self._only_cycle or self._cycles.get(current_thread(), cycle)
            seen = self._progress()
            try:
                return cycle.get(deliver, timeout=remaining)
            except Empty:
                if len(self._cycles) > 1 and self._adopt():
                    continue
            if deadline is not None:
                remaining = deadline - monotonic()
                if remaining <= 0:
                    raise TimeoutError(f'no message within {timeout} s')
            self._wait(seen, remaining)

    def _drain_channel(self, channel: Any, callback: Any, timeout: float | None = None) -> Any:
        return channel.drain_events(callback=callback, timeout=timeout)

    def _tell_cancelled(self, consumer: VirtualConsumer) -> None:
        """Tell a consumer that its queue is gone (RabbitMQ: consumer cancel notification)."""
        if consumer.on_cancel is None:
            raise ConsumerCancelled(
                f'consumer {consumer.tag!r} was cancelled: queue {consumer.queue!r} was deleted',
                (60, 30),
            )
        consumer.on_cancel(consumer.tag)

    def _progress(self) -> Any:
        """Return a value that changes when a message may have come; for stores that can tell."""
        return None

    def _wait(self, seen: Any, timeout: float | None) -> None:
        """Wait until a message may have come since `_progress` was `seen`.

        Args:
            seen: what it returned.
            timeout: seconds to wait at most; None for ever.
        """
        interval = self.polling_interval
        if interval:
            sleep(interval if timeout is None else min(interval, timeout))

    def _wake(self) -> None:
        """End a `_wait` early, where that can be."""

    def qos_semantics_matches_spec(self, connection: Any) -> bool:
        return False

    @property
    def default_connection_params(self) -> dict[str, Any]:
        return {'port': self.default_port, 'hostname': 'localhost'}
