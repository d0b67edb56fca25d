"""What has been declared: exchanges, queues and bindings of one virtual host.

`BrokerState` is the data; the channel decides what a declaration means and checks it.  For a
broker inside this process it is the whole truth; for a store shared with others it is what this
connection has declared itself, and the driver adds what the store knows (`Channel.get_table`,
`Channel._has_queue`).

Pure: whoever shares a state between threads gives it a lock (`BrokerState.lock`).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, fields
from typing import Any, NamedTuple

from kombu.transport.virtual._policy import NO_POLICY, QueuePolicy
from kombu.transport.virtual._routing import RoutingTable

__all__ = ('BrokerState', 'ExchangeEntry', 'QueueEntry', 'binding_key_t', 'queue_binding_t')


class binding_key_t(NamedTuple):
    """What identifies a binding."""

    queue: str
    exchange: str
    routing_key: str


class queue_binding_t(NamedTuple):
    """A binding seen from its queue."""

    exchange: str
    routing_key: str
    arguments: Mapping[str, Any] | None


class _Record:
    """Fields that can also be read as items, as dependents read them."""

    __slots__ = ()

    def __getitem__(self, name: str) -> Any:
        try:
            return getattr(self, name)
        except AttributeError:
            raise KeyError(name) from None

    def get(self, name: str, default: Any = None) -> Any:
        return getattr(self, name, default)

    def keys(self) -> list[str]:
        return [f.name for f in fields(self)]  # type: ignore[arg-type]


@dataclass(slots=True)
class ExchangeEntry(_Record):
    """A declared exchange."""

    name: str
    type: str
    durable: bool
    auto_delete: bool
    arguments: dict[str, Any]
    table: RoutingTable
    #: Bindings to other exchanges, made when the first one is.
    exchanges: RoutingTable | None = None
    #: Whether other exchanges may receive what is published to it.
    leads_on: bool = False

    def __post_init__(self) -> None:
        self.leads_on = self.exchanges is not None or self.alternate is not None

    @property
    def alternate(self) -> str | None:
        """The exchange that receives what this one cannot route."""
        return self.arguments.get('alternate-exchange')

    @property
    def unused(self) -> bool:
        """Whether nothing is bound to it."""
        return not self.table and not self.exchanges


@dataclass(slots=True)
class QueueEntry(_Record):
    """A declared queue.

    Attributes:
        owner: the connection an exclusive queue belongs to.
        consumers: who consumes from it, on any connection, in the order of coming.
        used_at: when it was last declared, consumed from or read (clock of the broker, seconds).
    """

    name: str
    durable: bool = True
    auto_delete: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)
    policy: QueuePolicy = NO_POLICY
    owner: Any = None
    consumers: dict[Any, None] = field(default_factory=dict)
    used_at: float = 0.0

    @property
    def exclusive(self) -> bool:
        return self.owner is not None


class BrokerState:
    """Exchanges, queues and bindings by name."""

    #: Held while the state is changed or walked; a real lock where threads share it.
    lock: AbstractContextManager[Any]
    exchanges: dict[str, Any]
    queues: dict[str, QueueEntry]
    #: Arguments by binding; and the bindings of each queue.
    bindings: dict[binding_key_t, Mapping[str, Any] | None]
    queue_index: defaultdict[str, set[binding_key_t]]

    def __init__(
        self,
        exchanges: Mapping[str, Any] | None = None,
        *,
        lock: AbstractContextManager[Any] | None = None,
    ) -> None:
        self.lock = nullcontext() if lock is None else lock
        self.exchanges = {} if exchanges is None else dict(exchanges)
        self.queues = {}
        self.bindings = {}
        self.queue_index = defaultdict(set)

    def clear(self) -> None:
        """Forget everything."""
        self.exchanges.clear()
        self.queues.clear()
        self.bindings.clear()
        self.queue_index.clear()

    def has_binding(self, queue: str, exchange: str, routing_key: str) -> bool:
        """Tell whether `queue` is bound to `exchange` with `routing_key`."""
        return binding_key_t(queue, exchange, routing_key) in self.bindings

    def binding_declare(
        self, queue: str, exchange: str, routing_key: str, arguments: Mapping[str, Any] | None
    ) -> None:
        """Record a binding; recording it again keeps the first arguments."""
        key = binding_key_t(queue, exchange, routing_key)
        self.bindings.setdefault(key, arguments)
        self.queue_index[queue].add(key)

    def binding_delete(self, queue: str, exchange: str, routing_key: str) -> None:
        """Forget a binding; unknown ones are ignored."""
        key = binding_key_t(queue, exchange, routing_key)
        if self.bindings.pop(key, _ABSENT) is not _ABSENT:
            keys = self.queue_index[queue]
            keys.discard(key)
            if not keys:
                del self.queue_index[queue]

    def queue_bindings(self, queue: str) -> Iterator[queue_binding_t]:
        """Iterate over the bindings of `queue`."""
        return (
            queue_binding_t(key.exchange, key.routing_key, self.bindings[key])
            for key in list(self.queue_index.get(queue, ()))
        )

    def queue_bindings_delete(self, queue: str) -> None:
        """Forget every binding of `queue`."""
        for key in self.queue_index.pop(queue, ()):
            self.bindings.pop(key, None)

    def add_exchange(self, entry: ExchangeEntry) -> None:
        """Record an exchange."""
        self.exchanges[entry.name] = entry

    def forget_exchange(self, name: str) -> list[str]:
        """Forget an exchange with the bindings from and to it.

        Returns:
            Names of the exchanges that lost a binding to it.
        """
        entry = self.exchanges.pop(name, None)
        if entry is None:
            return []
        for row in entry.table:
            self.binding_delete(row[2], name, row[0])
        return [
            other.name
            for other in list(self.exchanges.values())
            if other.exchanges is not None and other.exchanges.discard_destination(name)
        ]

    def forget_queue(self, name: str) -> list[str]:
        """Forget a queue with its bindings.

        Returns:
            Names of the exchanges it was bound to.
        """
        self.queues.pop(name, None)
        sources = list(dict.fromkeys(key.exchange for key in self.queue_index.get(name, ())))
        for source in sources:
            entry = self.exchanges.get(source)
            if entry is not None:
                entry.table.discard_destination(name)
        self.queue_bindings_delete(name)
        return sources

    def __repr__(self) -> str:
        return (
            f'<{type(self).__name__}: {len(self.exchanges)} exchanges, {len(self.queues)} queues, '
            f'{len(self.bindings)} bindings>'
        )


_ABSENT = object()
