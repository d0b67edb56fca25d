"""A broker for tests: `memory://` with a clock that the test advances, a look inside, and faults.

::

    with MemoryBroker() as broker, broker.connection() as connection:
        queue = connection.SimpleQueue('jobs', queue_args={'x-message-ttl': 3_600_000})
        queue.put({'id': 1})
        assert [m.payload for m in broker.messages('jobs')] == [{'id': 1}]
        broker.advance(3601)
        assert broker.messages('jobs') == []
"""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any

from kombu.connection import Connection
from kombu.transport._memory_broker import Broker
from kombu.transport.memory import Channel, Transport
from kombu.transport.virtual._envelope import Envelope
from kombu.utils.uuid import uuid

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ('ManualClock', 'MemoryBroker')


class ManualClock:
    """A clock that stands still until it is told to go on.

    Args:
        start: what it shows first, seconds since the epoch.
    """

    def __init__(self, start: float = 1_000_000_000.0) -> None:
        self._now = start

    def now(self) -> float:
        """Return seconds since the epoch."""
        return self._now

    def until(self, when: float) -> float | None:
        """Return None: waiting does not bring anything on."""
        return None

    def advance(self, seconds: float) -> None:
        """Go forward.

        Raises:
            ValueError: `seconds` is negative.
        """
        if seconds < 0:
            raise ValueError(f'the clock only goes forward, not by {seconds} s')
        self._now += seconds


class MemoryBroker:
    """An isolated in-memory broker.

    Close it, or use it as a context manager, to free what it holds.

    Args:
        clock: its clock; a `ManualClock` where none is given.
    """

    def __init__(self, clock: Any = None) -> None:
        self.clock = ManualClock() if clock is None else clock
        self.virtual_host = f'test-{uuid()}'
        self._broker = Transport.global_state.open(self.virtual_host, lambda: Broker(self.clock))
        self._connections: list[Connection] = []

    @property
    def url(self) -> str:
        """The URL that connects to this broker, anywhere in this process."""
        return f'memory:///{self.virtual_host}'

    def connection(self, **options: Any) -> Connection:
        """Return a new connection; `options` are arguments of `kombu.Connection`."""
        connection = Connection(self.url, **options)
        self._connections.append(connection)
        return connection

    def advance(self, seconds: float) -> None:
        """Let time pass: messages expire, delayed ones arrive, unused queues go."""
        self.clock.advance(seconds)
        with Connection(self.url) as connection:
            self._broker.run_due(connection.channel())
        self._broker.wake()

    # -- a look inside ---------------------------------------------------------------------------

    def queues(self) -> list[str]:
        """Return the names of the queues."""
        return list(self._broker.queues)

    def messages(self, queue: str) -> list[Any]:
        """Return the messages that are ready in `queue`, in the order they would be delivered.

        They are copies: reading them takes nothing from the queue, and they cannot be acknowledged.

        Raises:
            KeyError: there is no such queue.
        """
        with self._broker.lock:
            return [self._copy(envelope, queue) for envelope in self._queue(queue)]

    def unacked(self, queue: str) -> int:
        """Return how many deliveries of `queue` are held by consumers."""
        with self._broker.lock:
            return sum(
                message.queue == queue
                for channel in self._channels()
                for message in channel.qos._delivered.values()
            )

    def consumers(self, queue: str) -> int:
        """Return how many consumers `queue` has."""
        entry = self._broker.state.queues.get(queue)
        return 0 if entry is None else len(entry.consumers)

    def bindings(self) -> list[tuple[str, str, str]]:
        """Return the bindings of queues: exchange, routing key, queue."""
        state = self._broker.state
        return sorted((key.exchange, key.routing_key, key.queue) for key in state.bindings)

    # -- faults ----------------------------------------------------------------------------------

    def cut(self, connection: Connection) -> None:
        """Cut a connection, as a network does: the client learns of it when it next uses it.

        What its consumers held goes back to the queues, and its exclusive queues are deleted.
        """
        transport = connection.transport
        transport.close_connection(transport)

    def crash(self, connection: Connection) -> None:
        """Let a client die: its connection is cut and cannot be used again."""
        self.cut(connection)
        connection.collect()
        connection.release()

    def close(self) -> None:
        """Close the connections made here and forget the broker."""
        for connection in self._connections:
            connection.release()
        self._connections.clear()
        Transport.global_state.remove(self.virtual_host)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def _queue(self, name: str) -> Any:
        try:
            return self._broker.queues[name]
        except KeyError:
            raise KeyError(f'no queue {name!r}; there are {self.queues()}') from None

    def _channels(self) -> list[Channel]:
        transports = [c._transport for c in self._connections if c._transport is not None]
        return [channel for transport in transports for channel in transport.channels]

    def _copy(self, envelope: Envelope, queue: str) -> Any:
        message = Channel.Message(envelope)
        message.queue = queue
        return message

    def __repr__(self) -> str:
        return f'<{type(self).__name__} {self.url}: {len(self._broker.queues)} queues>'
