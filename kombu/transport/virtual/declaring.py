"""Declarations: exchanges, queues and bindings, with the checks AMQP 0-9-1 asks for.

The errors are those a RabbitMQ channel raises (404 not found, 405 locked, 406 precondition
failed); unlike there the channel stays open.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from time import time
from typing import Any

from amqp.exceptions import (
    AccessRefused,
    InvalidCommand,
    NotFound,
    PreconditionFailed,
    ResourceLocked,
)
from amqp.protocol import queue_declare_ok_t

from kombu.exceptions import UnsupportedFeature, UnsupportedFeatureWarning
from kombu.transport._options import boolean
from kombu.transport.virtual._policy import ARGUMENTS, DEFAULTS, QueuePolicy
from kombu.transport.virtual._topology import ExchangeEntry, QueueEntry
from kombu.transport.virtual.exchange import ExchangeType
from kombu.transport.virtual.storage import AbstractChannel
from kombu.utils.uuid import uuid

__all__ = ('DeclaringChannel', 'NotEquivalentError')

#: Exchanges every virtual host has (AMQP 0-9-1 section 3.1.3.1).
STANDARD_EXCHANGES = {
    'amq.direct': 'direct',
    'amq.fanout': 'fanout',
    'amq.headers': 'headers',
    'amq.match': 'headers',
    'amq.topic': 'topic',
}

#: Exchange arguments the broker knows, with the capability each needs.
EXCHANGE_ARGUMENTS = {'alternate-exchange': 'alternate_exchange', 'x-delayed-type': 'delay'}


class NotEquivalentError(PreconditionFailed):
    """An exchange or queue exists with other properties."""


class DeclaringChannel(AbstractChannel):
    """The part of a channel that declares and deletes."""

    #: Exchange type by name, made for this channel.
    exchange_types: dict[str, ExchangeType]
    #: Whether bindings to fanout exchanges reach the store.
    supports_fanout: bool = False
    #: Identifies the channel in the broker's books.
    channel_id: int = 0

    # -- exchanges -------------------------------------------------------------------------------

    def exchange_declare(
        self,
        exchange: str | None = None,
        type: str = 'direct',
        durable: bool = False,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
        nowait: bool = False,
        passive: bool = False,
    ) -> None:
        """Declare an exchange.

        Raises:
            amqp.NotFound: `passive`, and there is none of that name.
            NotEquivalentError: there is one with other properties.
            amqp.InvalidCommand: the type is not known.
        """
        self._check_open()
        name = exchange or f'amq.gen-{uuid()}'
        with self.state.lock:
            prev = self._exchange(name)
            if passive:
                if prev is None:
                    raise self._no_exchange(name)
                return
            if prev is not None:
                kind = self.exchange_types.get(prev['type'], self.exchange_types['direct'])
                if not kind.equivalent(prev, name, type, durable, auto_delete, arguments):
                    raise self._not_equivalent(
                        'exchange',
                        name,
                        kind.differences(prev, type, durable, auto_delete, arguments),
                    )
                return
            self._add_exchange(name, type, durable, auto_delete, dict(arguments or {}))

    def _add_exchange(
        self, name: str, type: str, durable: bool, auto_delete: bool, arguments: dict[str, Any]
    ) -> ExchangeEntry:
        kind = self.exchange_types.get(type)
        if kind is None:
            raise InvalidCommand(f"COMMAND_INVALID - unknown exchange type '{type}'", (40, 10))
        implements = self.connection.implements
        if type == 'x-delayed-message':
            self._needs('delay', f'exchange {name!r} of type {type!r}')
        elif type not in implements.exchange_type:
            self._unsupported(f'exchanges of type {type!r} (exchange {name!r})')
        for argument in arguments:
            self._needs(EXCHANGE_ARGUMENTS.get(argument, ''), f'{argument!r} of exchange {name!r}')
        try:
            table = kind.new_table(arguments)
        except ValueError as exc:
            raise PreconditionFailed(
                f'PRECONDITION_FAILED - exchange {name!r}: {exc}', (40, 10)
            ) from None
        if auto_delete:
            self._needs('auto_delete', f'auto_delete of exchange {name!r}')
        entry = ExchangeEntry(name, type, durable, auto_delete, arguments, table)
        self.state.add_exchange(entry)
        return entry

    def exchange_delete(self, exchange: str, if_unused: bool = False, nowait: bool = False) -> None:
        """Delete an exchange with its bindings; the queues bound to it stay.

        Raises:
            amqp.PreconditionFailed: `if_unused`, and something is bound to it.
        """
        self._check_open()
        with self.state.lock:
            entry = self.state.exchanges.get(exchange)
            if entry is None:
                return
            if if_unused and not entry.unused:
                raise PreconditionFailed(
                    f"PRECONDITION_FAILED - exchange '{exchange}' {self._in_vhost} in use", (40, 20)
                )
            for source in self.state.forget_exchange(exchange):
                self._delete_unused_exchange(source)

    def exchange_bind(
        self,
        destination: str,
        source: str = '',
        routing_key: str = '',
        nowait: bool = False,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """Let what `source` routes by `routing_key` go on to the exchange `destination`."""
        self._check_open()
        self._needs('exchange_bind', f'binding exchange {destination!r} to {source!r}')
        with self.state.lock:
            origin = self._exchange_or_raise(source)
            self._exchange_or_raise(destination)
            kind = self.typeof(source)
            row = self._prepare_bind(kind, destination, source, routing_key, arguments)
            if origin.exchanges is None:
                origin.exchanges = kind.new_table(origin.arguments)
                origin.leads_on = True
            origin.exchanges.add(row, arguments)

    def exchange_unbind(
        self,
        destination: str,
        source: str = '',
        routing_key: str = '',
        nowait: bool = False,
        arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """Undo `exchange_bind`; a binding, or an exchange, that is not there is no error."""
        self._check_open()
        with self.state.lock:
            origin = self.state.exchanges.get(source)
            if origin is not None and origin.exchanges is not None:
                row = self.typeof(source).prepare_bind(destination, source, routing_key, arguments)
                if origin.exchanges.discard(row, arguments):
                    self._delete_unused_exchange(source)

    def _delete_unused_exchange(self, name: str) -> None:
        """Let an auto-delete exchange go that has just lost a binding."""
        entry = self.state.exchanges.get(name)
        if entry is not None and entry.auto_delete and entry.unused:
            for source in self.state.forget_exchange(name):
                self._delete_unused_exchange(source)

    def _exchange(self, name: str) -> Any:
        """Return the exchange of that name or None; standard ones exist by being asked for."""
        entry = self.state.exchanges.get(name)
        if entry is None and name in STANDARD_EXCHANGES:
            kind = STANDARD_EXCHANGES[name]
            table = self.exchange_types[kind].new_table({})
            entry = ExchangeEntry(name, kind, True, False, {}, table)
            self.state.add_exchange(entry)
        return entry

    def _exchange_or_raise(self, name: str) -> Any:
        entry = self._exchange(name)
        if entry is None:
            raise self._no_exchange(name)
        return entry

    def typeof(self, exchange: str, default: str = 'direct') -> ExchangeType:
        """Return the type of `exchange`; of one not declared here, the type named `default`."""
        entry = self.state.exchanges.get(exchange)
        if entry is None:
            if exchange in STANDARD_EXCHANGES:
                entry = self._exchange(exchange)
            else:
                return self.exchange_types[default]
        return self.exchange_types.get(entry['type']) or self.exchange_types[default]

    # -- queues ----------------------------------------------------------------------------------

    def queue_declare(
        self,
        queue: str | None = None,
        passive: bool = False,
        durable: bool = True,
        exclusive: bool = False,
        auto_delete: bool = False,
        arguments: Mapping[str, Any] | None = None,
        nowait: bool = False,
        **kwargs: Any,
    ) -> Any:
        """Declare a queue.

        Returns:
            (name, number of messages ready, number of consumers); the name is made up where none
            is given.

        Raises:
            amqp.NotFound: `passive`, and there is none of that name.
            amqp.ResourceLocked: it is exclusive to another connection.
            NotEquivalentError: there is one with other properties.
            amqp.PreconditionFailed: an argument has a value it cannot have.
        """
        self._check_open()
        name = queue or f'amq.gen-{uuid()}'
        state = self.state
        with state.lock:
            self._run_due()
            entry = state.queues.get(name)
            self._check_owner(entry)
            if passive:
                if entry is None:
                    self._needs('passive', f'a passive declaration of queue {name!r}')
                if entry is None and not self._has_queue(name):
                    raise self._no_queue(name, (50, 10), 'Channel.queue_declare')
            elif entry is None:
                entry = self._add_queue(name, durable, exclusive, auto_delete, arguments)
                self._new_queue(name, durable=durable, auto_delete=auto_delete, arguments=arguments)
            else:
                self._check_equivalent(entry, durable, exclusive, auto_delete, arguments)
                self._new_queue(name, durable=durable, auto_delete=auto_delete, arguments=arguments)
            if entry is not None:
                self._touch(entry)
            return queue_declare_ok_t(name, self._size(name), self._consumer_count(entry))

    def _add_queue(
        self,
        name: str,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: Mapping[str, Any] | None,
    ) -> QueueEntry:
        arguments = dict(arguments or {})
        for argument, value in arguments.items():
            if value is not None:
                known = ARGUMENTS.get(argument)
                what = f'{argument!r} of queue {name!r}'
                if known is None:
                    self._unsupported(what)
                elif known[2] and not (argument == 'x-overflow' and value == 'drop-head'):
                    self._needs(known[2], what)
        try:
            policy = QueuePolicy.parse(arguments)
        except ValueError as exc:
            raise PreconditionFailed(
                f"PRECONDITION_FAILED - queue '{name}' {self._in_vhost}: {exc}", (50, 10)
            ) from None
        if exclusive:
            self._needs('exclusive', f'exclusive of queue {name!r}')
        if auto_delete:
            self._needs('auto_delete', f'auto_delete of queue {name!r}')
        entry = QueueEntry(
            name,
            durable=durable,
            auto_delete=auto_delete,
            arguments=arguments,
            policy=policy,
            owner=self.connection if exclusive else None,
        )
        self.state.queues[name] = entry
        return entry

    def _check_equivalent(
        self,
        entry: QueueEntry,
        durable: bool,
        exclusive: bool,
        auto_delete: bool,
        arguments: Mapping[str, Any] | None,
    ) -> None:
        if entry.exclusive != bool(exclusive):
            raise self._locked(entry.name)
        now = {name: value for name, value in (arguments or {}).items() if value is not None}
        pairs: list[tuple[str, Any, Any]] = [
            ('durable', bool(entry.durable), bool(durable)),
            ('auto_delete', bool(entry.auto_delete), bool(auto_delete)),
        ]
        pairs += [
            (name, entry.arguments.get(name, default), now.get(name, default))
            for name in sorted({*entry.arguments, *now} & set(ARGUMENTS))
            for default in [DEFAULTS.get(name)]
        ]
        differences = [pair for pair in pairs if pair[1] != pair[2]]
        if differences:
            raise self._not_equivalent('queue', entry.name, differences)

    def queue_delete(
        self,
        queue: str,
        if_unused: bool = False,
        if_empty: bool = False,
        nowait: bool = False,
        **kwargs: Any,
    ) -> int:
        """Delete a queue with its messages and bindings; one that does not exist is no error.

        Returns:
            How many messages went with it.

        Raises:
            amqp.PreconditionFailed: `if_empty` and it is not, or `if_unused` and it has consumers.
            amqp.ResourceLocked: it is exclusive to another connection.
        """
        self._check_open()
        with self.state.lock:
            entry = self.state.queues.get(queue)
            self._check_owner(entry)
            if entry is None and not self._has_queue(queue):
                return 0
            size = self._size(queue)
            where = f"PRECONDITION_FAILED - queue '{queue}' {self._in_vhost}"
            if if_unused and self._consumer_count(entry):
                raise PreconditionFailed(f'{where} in use', (50, 40))
            if if_empty and size:
                raise PreconditionFailed(f'{where} is not empty', (50, 40))
            self._drop_queue(queue)
            return size

    def _drop_queue(self, queue: str) -> None:
        """Delete `queue` and tell its consumers."""
        entry = self.state.queues.get(queue)
        consumers = list(entry.consumers) if entry is not None else []
        rows = [
            (binding.exchange, binding.routing_key) for binding in self.state.queue_bindings(queue)
        ]
        for exchange in self.state.forget_queue(queue):
            self._delete_unused_exchange(exchange)
        self._delete(queue, *(rows[0] if rows else ()))
        for consumer in consumers:
            consumer.channel._queue_gone(consumer)

    def queue_purge(self, queue: str, **kwargs: Any) -> int:
        """Remove the messages that are ready in `queue` and return their number."""
        self._check_open()
        with self.state.lock:
            self._check_queue(queue, (50, 30), 'Channel.queue_purge')
            self._run_due()
            return self._purge(queue)

    def queue_bind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = '',
        arguments: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Bind `queue` to `exchange`; binding it again the same way changes nothing.

        Raises:
            amqp.NotFound: one of them does not exist.
            amqp.AccessRefused: it is the default exchange, to which every queue is bound by its
                name, and cannot be bound otherwise.
        """
        self._check_open()
        if not exchange:
            raise AccessRefused(
                'ACCESS_REFUSED - operation not permitted on the default exchange', (50, 20)
            )
        with self.state.lock:
            entry = self._exchange_or_raise(exchange)
            self._check_queue(queue, (50, 20), 'Channel.queue_bind')
            row = self._prepare_bind(self.typeof(exchange), queue, exchange, routing_key, arguments)
            if not entry.table.add(row, arguments):
                return
            self.state.binding_declare(queue, exchange, routing_key, arguments)
            if self.supports_fanout:
                self._queue_bind(exchange, *row[:2], queue)

    def queue_unbind(
        self,
        queue: str,
        exchange: str | None = None,
        routing_key: str = '',
        arguments: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        """Undo `queue_bind`; a binding that is not there is no error."""
        self._check_open()
        with self.state.lock:
            entry = self.state.exchanges.get(exchange or '')
            if entry is None:
                return
            row = self.typeof(entry.name).prepare_bind(queue, entry.name, routing_key, arguments)
            if not entry.table.discard(row, arguments):
                return
            if row not in entry.table:
                self.state.binding_delete(queue, entry.name, routing_key)
            self._delete_unused_exchange(entry.name)

    def _prepare_bind(
        self,
        kind: ExchangeType,
        destination: str,
        exchange: str,
        routing_key: str,
        arguments: Mapping[str, Any] | None,
    ) -> Any:
        try:
            return kind.prepare_bind(destination, exchange, routing_key, arguments)
        except ValueError as exc:
            raise PreconditionFailed(
                f"PRECONDITION_FAILED - binding {destination!r} to '{exchange}': {exc}", (50, 20)
            ) from None

    def get_table(self, exchange: str) -> Iterable[Any]:
        """Return the bindings of `exchange`.

        Raises:
            amqp.NotFound: it does not exist.
        """
        entry = self.state.exchanges.get(exchange)
        if entry is None:
            entry = self._exchange_or_raise(exchange)
        table: Iterable[Any] = entry['table']
        return table

    def get_exchanges(self) -> list[str]:
        """Return the names of the exchanges declared."""
        return list(self.state.exchanges)

    def list_bindings(self) -> Any:
        """Iterate over the bindings: queue, exchange, routing key."""
        return (
            (row[2], exchange, row[0])
            for exchange in list(self.state.exchanges)
            for row in list(self.get_table(exchange))
        )

    def get_bindings(self) -> list[dict[str, str]]:
        """List the bindings as the management interface shows them."""
        return [
            {'source': exchange, 'destination': queue, 'routing_key': routing_key}
            for queue, exchange, routing_key in self.list_bindings()
        ]

    # -- checks ----------------------------------------------------------------------------------

    def _check_open(self) -> None:
        raise NotImplementedError

    def _run_due(self) -> None:
        """Do what time has made due (expiry, delayed messages); for stores that keep a schedule."""

    def _touch(self, entry: QueueEntry) -> None:
        """Note that a queue was used just now."""
        entry.used_at = self._now()

    def _now(self) -> float:
        """Return the broker's wall clock, seconds since the epoch."""
        return time()

    def _consumer_count(self, entry: QueueEntry | None) -> int:
        return len(entry.consumers) if entry is not None else 0

    def _check_queue(self, queue: str, method: tuple[int, int], name: str) -> None:
        entry = self.state.queues.get(queue)
        if entry is None and not self._has_queue(queue):
            raise self._no_queue(queue, method, name)
        self._check_owner(entry)

    def _check_owner(self, entry: QueueEntry | None) -> None:
        if entry is not None and entry.owner is not None and entry.owner is not self.connection:
            raise self._locked(entry.name)

    def _locked(self, queue: str) -> ResourceLocked:
        return ResourceLocked(
            'RESOURCE_LOCKED - cannot obtain exclusive access to locked queue '
            f"'{queue}' {self._in_vhost}",
            (50, 10),
        )

    def _needs(self, capability: str, what: str) -> None:
        """Warn or refuse where the transport does not claim `capability`."""
        if not capability or not self.connection.implements.get(capability):
            self._unsupported(what)

    def _unsupported(self, what: str) -> None:
        transport = self.connection
        text = f'{what} is not supported by the {transport.driver_type} transport and has no effect'
        if boolean(transport.client.transport_options.get('strict')):
            raise UnsupportedFeature(text)
        warnings.warn(UnsupportedFeatureWarning(text), stacklevel=4)

    def _no_exchange(self, name: str) -> NotFound:
        return NotFound(
            f"NOT_FOUND - no exchange '{name}' {self._in_vhost}", (40, 10), 'Channel.exchange', 404
        )

    def _no_queue(self, name: str, method: tuple[int, int], method_name: str) -> NotFound:
        return NotFound(f"NOT_FOUND - no queue '{name}' {self._in_vhost}", method, method_name, 404)

    def _not_equivalent(
        self, kind: str, name: str, differences: list[tuple[str, Any, Any]]
    ) -> NotEquivalentError:
        listed = '; '.join(f'{field} is {was!r}, not {now!r}' for field, was, now in differences)
        return NotEquivalentError(  # type: ignore[no-untyped-call]  # py-amqp is not annotated
            f"PRECONDITION_FAILED - inequivalent declaration of {kind} '{name}' "
            f'{self._in_vhost}: {listed}',
            (40, 10) if kind == 'exchange' else (50, 10),
        )

    @property
    def _in_vhost(self) -> str:
        return f"in vhost '{self.connection.client.virtual_host or '/'}'"
