"""Exchange types: how each delivers, and which table it keeps.

A transport may add types of its own by extending `Channel.exchange_types`.
"""

from __future__ import annotations

import builtins
import re
from collections.abc import Iterable, Mapping
from typing import Any

from kombu.transport.virtual._routing import (
    DirectTable,
    FanoutTable,
    HeadersTable,
    RoutingTable,
    Row,
    TopicTable,
)

__all__ = (
    'STANDARD_EXCHANGE_TYPES',
    'DelayedExchange',
    'DirectExchange',
    'ExchangeType',
    'FanoutExchange',
    'HeadersExchange',
    'TopicExchange',
)

#: Properties that must be equal when an exchange is declared again.
_EQUIVALENT_ARGUMENTS = ('alternate-exchange', 'x-delayed-type')


class ExchangeType:
    """One type of exchange on one channel.

    Args:
        channel: the channel it delivers through.
    """

    #: The name it is declared by.
    type: str = ''
    #: The kind of table its exchanges keep.
    table: builtins.type[RoutingTable] = RoutingTable
    #: Whether a look-up needs the headers of the message.
    by_headers: bool = False

    def __init__(self, channel: Any) -> None:
        self.channel = channel

    def new_table(self, arguments: Mapping[str, Any]) -> RoutingTable:
        """Make the table of an exchange declared with `arguments`.

        Raises:
            ValueError: the arguments are not those of this type.
        """
        return self.table()

    def lookup(
        self,
        table: Iterable[Row],
        exchange: str,
        routing_key: str,
        default: str | None,
        headers: Mapping[str, Any] | None = None,
    ) -> Iterable[str]:
        """Return the queues in `table` that a message goes to, each once."""
        if not isinstance(table, RoutingTable):
            # Rows as a store gave them.
            return self.table(table).match(routing_key, headers)
        return table.match(routing_key, headers)

    def deliver(self, message: Any, exchange: str, routing_key: str, **kwargs: Any) -> Any:
        """Put `message` into every queue it goes to; return those queues."""
        channel = self.channel
        entry = channel.state.exchanges.get(exchange)
        if entry is None or not (self.by_headers or entry.leads_on):
            queues = channel._lookup(exchange, routing_key)
        else:
            queues = channel._lookup(exchange, routing_key, headers=message.get('headers'))
        channel._enqueue_all(queues, message, **kwargs)
        return queues

    def prepare_bind(
        self, queue: str, exchange: str, routing_key: str, arguments: Mapping[str, Any] | None
    ) -> Row:
        """Return the row under which a binding is stored."""
        return routing_key, None, queue

    def equivalent(
        self,
        prev: Mapping[str, Any],
        exchange: str,
        type: str,
        durable: bool,
        auto_delete: bool,
        arguments: Mapping[str, Any] | None,
    ) -> bool:
        """Tell whether declaring `exchange` again like this agrees with how it was declared."""
        return not self.differences(prev, type, durable, auto_delete, arguments)

    def differences(
        self,
        prev: Mapping[str, Any],
        type: str,
        durable: bool,
        auto_delete: bool,
        arguments: Mapping[str, Any] | None,
    ) -> list[tuple[str, Any, Any]]:
        """List what disagrees: name, declared value, value asked for now."""
        pairs = [
            ('type', prev['type'], type),
            ('durable', bool(prev['durable']), bool(durable)),
            ('auto_delete', bool(prev['auto_delete']), bool(auto_delete)),
        ]
        before, now = prev['arguments'] or {}, arguments or {}
        pairs += [(name, before.get(name), now.get(name)) for name in _EQUIVALENT_ARGUMENTS]
        return [pair for pair in pairs if pair[1] != pair[2]]


class DirectExchange(ExchangeType):
    """Delivers where the routing key is equal."""

    type = 'direct'
    table = DirectTable


class TopicExchange(ExchangeType):
    """Delivers where the pattern fits the routing key; see `TopicTable`."""

    type = 'topic'
    table = TopicTable

    #: How wildcards read in the stored pattern, which only readers older than 6.0 match with.
    wildcards = {'*': r'[^\.]+', '#': r'.*?'}

    def prepare_bind(
        self, queue: str, exchange: str, routing_key: str, arguments: Mapping[str, Any] | None
    ) -> Row:
        return routing_key, self.key_to_pattern(routing_key), queue

    def key_to_pattern(self, rkey: str) -> str:
        """Return the regular expression stored beside a topic binding."""
        words = (self.wildcards.get(word) or re.escape(word) for word in rkey.split('.'))
        return '^' + r'\.'.join(words) + '$'


class FanoutExchange(ExchangeType):
    """Delivers everywhere."""

    type = 'fanout'
    table = FanoutTable

    def deliver(self, message: Any, exchange: str, routing_key: str, **kwargs: Any) -> Any:
        return self.channel._put_fanout(exchange, message, routing_key, **kwargs)


class HeadersExchange(ExchangeType):
    """Delivers by headers; see `HeadersTable`."""

    type = 'headers'
    table = HeadersTable
    by_headers = True

    def prepare_bind(
        self, queue: str, exchange: str, routing_key: str, arguments: Mapping[str, Any] | None
    ) -> Row:
        HeadersTable.check(arguments)
        return routing_key, None, queue


class DelayedExchange(ExchangeType):
    """Delivers after the milliseconds in the header `x-delay`, as the type `x-delayed-type` does.

    The words are those of RabbitMQ's delayed message exchange plugin.
    """

    type = 'x-delayed-message'

    def new_table(self, arguments: Mapping[str, Any]) -> RoutingTable:
        inner = arguments.get('x-delayed-type')
        known = self.channel.exchange_types.get(inner)
        if known is None or inner == self.type:
            raise ValueError(
                f"argument 'x-delayed-type' must name the type to route by, not {inner!r}"
            )
        table: RoutingTable = known.new_table(arguments)
        return table

    def lookup(
        self,
        table: Iterable[Row],
        exchange: str,
        routing_key: str,
        default: str | None,
        headers: Mapping[str, Any] | None = None,
    ) -> Iterable[str]:
        return self._inner(exchange).lookup(table, exchange, routing_key, default, headers)

    def deliver(self, message: Any, exchange: str, routing_key: str, **kwargs: Any) -> Any:
        delay = (message.get('headers') or {}).get('x-delay')
        if isinstance(delay, int) and delay > 0:
            return self.channel._put_delayed(exchange, message, routing_key, delay / 1000)
        return self._inner(exchange).deliver(message, exchange, routing_key, **kwargs)

    def prepare_bind(
        self, queue: str, exchange: str, routing_key: str, arguments: Mapping[str, Any] | None
    ) -> Row:
        return self._inner(exchange).prepare_bind(queue, exchange, routing_key, arguments)

    def _inner(self, exchange: str) -> ExchangeType:
        channel = self.channel
        arguments = channel.state.exchanges[exchange]['arguments']
        inner: ExchangeType = channel.exchange_types[arguments['x-delayed-type']]
        return inner


STANDARD_EXCHANGE_TYPES: dict[str, type[ExchangeType]] = {
    'direct': DirectExchange,
    'topic': TopicExchange,
    'fanout': FanoutExchange,
    'headers': HeadersExchange,
    'x-delayed-message': DelayedExchange,
}
