"""Routing tables: values that route themselves.

Every exchange owns one table.  A table keeps the *rows* of its bindings, in the form in which
stores write them (routing key, pattern, destination), and beside them the index its exchange type
needs:

==========  ======================================  ==========================================
type        index                                   cost of a look-up
==========  ======================================  ==========================================
direct      dictionary by routing key               one dictionary access
fanout      the destinations themselves             one attribute access
topic       trie of words                           words x live branches, then cached
headers     dictionary by one required header       headers of the message x bindings hit
==========  ======================================  ==========================================

None of them depends on how many bindings exist that do not match.  A look-up returns each
destination once, in the order of binding.  Pure: no locks, clocks or I/O; the caller serialises
changes, and look-ups may run beside them.

Rules: AMQP 0-9-1 section 3.1.3 and https://www.rabbitmq.com/tutorials/amqp-concepts#exchanges.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

__all__ = (
    'TABLES',
    'DirectTable',
    'FanoutTable',
    'HeadersTable',
    'RoutingTable',
    'Row',
    'TopicTable',
)

#: A binding as stores write it: routing key, pattern (topic only), destination.
Row = tuple[str, 'str | None', str]

#: How many look-ups a table remembers.  Keys that never repeat must not fill the memory.
CACHE_LIMIT = 4096

NO_HEADERS: Mapping[str, Any] = {}


def frozen(value: Any) -> Any:
    """Return a hashable stand-in for `value`, equal where the values are equal and of one type."""
    if isinstance(value, Mapping):
        return ('map', frozenset((key, frozen(item)) for key, item in value.items()))
    if isinstance(value, (list, tuple)):
        return ('seq', tuple(frozen(item) for item in value))
    if isinstance(value, (set, frozenset)):
        return ('set', frozenset(frozen(item) for item in value))
    return (type(value), value)


class RoutingTable(Collection[Row]):
    """The bindings of one exchange.

    Iterates as rows; this base knows no index and matches nothing.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._rows: dict[tuple[Row, Any], Mapping[str, Any]] = {}
        self._cache: dict[str, tuple[str, ...]] = {}
        self._destinations: dict[str, dict[tuple[Row, Any], None]] = {}
        for routing_key, pattern, destination in rows:
            self.add((routing_key, pattern, destination))

    def add(self, row: Row, arguments: Mapping[str, Any] | None = None) -> bool:
        """Add a binding.

        Return whether it was new.  The same row with other `arguments` is another binding.
        """
        identity = (row, frozen(arguments or NO_HEADERS))
        if identity in self._rows:
            return False
        self._rows[identity] = arguments = dict(arguments or NO_HEADERS)
        self._destinations.setdefault(row[2], {})[identity] = None
        self._index(row, arguments)
        self._cache = {}
        return True

    def discard(self, row: Row, arguments: Mapping[str, Any] | None = None) -> bool:
        """Remove a binding; return whether it was there."""
        identity = (row, frozen(arguments or NO_HEADERS))
        known = self._rows.pop(identity, None)
        if known is None:
            return False
        of_destination = self._destinations[row[2]]
        del of_destination[identity]
        if not of_destination:
            del self._destinations[row[2]]
        self._unindex(row, known)
        self._cache = {}
        return True

    def discard_destination(self, destination: str) -> int:
        """Remove every binding to `destination`; return how many there were."""
        gone = list(self._destinations.get(destination, ()))
        for identity in gone:
            self.discard(identity[0], self._rows[identity])
        return len(gone)

    def discard_key(self, routing_key: str, destination: str) -> int:
        """Remove the bindings to `destination` with `routing_key`, whatever their arguments."""
        gone = [
            identity
            for identity in self._destinations.get(destination, ())
            if identity[0][0] == routing_key
        ]
        for identity in gone:
            self.discard(identity[0], self._rows[identity])
        return len(gone)

    def match(self, routing_key: str, headers: Mapping[str, Any] | None = None) -> tuple[str, ...]:
        """Return the destinations of a message, each once."""
        # A change replaces the cache.  What was matched before it goes into the one that is gone.
        cache = self._cache
        try:
            return cache[routing_key]
        except KeyError:
            pass
        found = tuple(self._match(routing_key))
        if len(cache) >= CACHE_LIMIT:
            cache.clear()
        cache[routing_key] = found
        return found

    def append(self, row: Row) -> None:
        """Add a binding without arguments: the table as the plain list it once was."""
        self.add(row)

    @property
    def destinations(self) -> Collection[str]:
        """Everything bound, each once."""
        return self._destinations.keys()

    def bindings(self) -> Iterator[tuple[Row, Mapping[str, Any]]]:
        """Iterate over rows with their arguments."""
        return ((row, arguments) for (row, _), arguments in self._rows.items())

    def _index(self, row: Row, arguments: Mapping[str, Any]) -> None:
        pass

    def _unindex(self, row: Row, arguments: Mapping[str, Any]) -> None:
        pass

    def _match(self, routing_key: str) -> Iterable[str]:
        return ()

    def __iter__(self) -> Iterator[Row]:
        return (row for row, _ in self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, row: object) -> bool:
        return isinstance(row, tuple) and any(
            identity[0] == row for identity in self._destinations.get(row[2], ())
        )

    def __repr__(self) -> str:
        return f'<{type(self).__name__}: {len(self)} bindings>'


class DirectTable(RoutingTable):
    """Delivers where the routing key is equal."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._by_key: dict[str, dict[str, int]] = {}
        super().__init__(rows)

    def _index(self, row: Row, arguments: Mapping[str, Any]) -> None:
        bound = self._by_key.setdefault(row[0], {})
        bound[row[2]] = bound.get(row[2], 0) + 1

    def _unindex(self, row: Row, arguments: Mapping[str, Any]) -> None:
        count_down(self._by_key[row[0]], row[2])
        if not self._by_key[row[0]]:
            del self._by_key[row[0]]

    def _match(self, routing_key: str) -> Iterable[str]:
        return self._by_key.get(routing_key, ())


class FanoutTable(RoutingTable):
    """Delivers everywhere."""

    def match(self, routing_key: str, headers: Mapping[str, Any] | None = None) -> tuple[str, ...]:
        return super().match('')

    def _match(self, routing_key: str) -> Iterable[str]:
        return self._destinations


class TopicTable(RoutingTable):
    """Delivers where the pattern fits: `*` stands for one word, `#` for zero or more.

    Words are what stands between dots, so `a..b` has an empty word in the middle; the empty key
    has no word at all.
    """

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self._root = _Node()
        super().__init__(rows)

    def _index(self, row: Row, arguments: Mapping[str, Any]) -> None:
        node = self._root
        for word in words(row[0]):
            node = node.children.setdefault(word, _Node())
        node.bound[row[2]] = node.bound.get(row[2], 0) + 1

    def _unindex(self, row: Row, arguments: Mapping[str, Any]) -> None:
        path = [(self._root, '')]
        for word in words(row[0]):
            path.append((path[-1][0].children[word], word))
        count_down(path[-1][0].bound, row[2])
        while len(path) > 1:
            node, word = path.pop()
            if node.bound or node.children:
                break
            del path[-1][0].children[word]

    def _match(self, routing_key: str) -> Iterable[str]:
        # All branches are followed side by side, each node at most once a word: the time is
        # bounded by words x nodes whatever the patterns are, where backtracking through several
        # `#` is exponential.
        live = with_empty_hash({id(self._root): self._root})
        for word in words(routing_key):
            after: dict[int, _Node] = {}
            for node in live.values():
                if node.repeats:
                    after[id(node)] = node
                children = node.children
                for step in (word, '*'):
                    # A literal `#` in a routing key is a word like any other, and matches only
                    # wildcards.
                    child = None if step == '#' else children.get(step)
                    if child is not None:
                        after[id(child)] = child
            live = with_empty_hash(after)
            if not live:
                break
        found: dict[str, int] = {}
        for node in live.values():
            found.update(node.bound)
        return found


class _Node:
    """One word of a pattern in the trie."""

    __slots__ = ('bound', 'children', 'repeats')

    def __init__(self) -> None:
        self.children: dict[str, _Node] = _Children()
        self.bound: dict[str, int] = {}
        self.repeats = False


class _Children(dict[str, _Node]):
    """Children of a node; the one named `#` is told that it may take any number of words."""

    __slots__ = ()

    def setdefault(self, word: str, node: _Node) -> _Node:
        node.repeats = word == '#'
        return super().setdefault(word, node)


def with_empty_hash(live: dict[int, _Node]) -> dict[int, _Node]:
    """Add the `#` children that match here by standing for no word."""
    waiting = list(live.values())
    while waiting:
        child = waiting.pop().children.get('#')
        if child is not None and id(child) not in live:
            live[id(child)] = child
            waiting.append(child)
    return live


def words(key: str) -> list[str]:
    """Split a routing key or pattern into words."""
    return key.split('.') if key else []


def count_down(counts: dict[str, int], name: str) -> None:
    """Take one off a count and forget it at zero."""
    if counts[name] > 1:
        counts[name] -= 1
    else:
        del counts[name]


class HeadersTable(RoutingTable):
    """Delivers by message headers instead of the routing key.

    The binding argument `x-match` says how: `all` (default), `any`, and
    `all-with-x`/`any-with-x`, which look at arguments that begin with `x-` too.  An argument
    without value (None) asks for the header's presence; otherwise type and value must be equal
    (https://www.rabbitmq.com/docs/exchanges#headers).
    """

    MODES = ('all', 'any', 'all-with-x', 'any-with-x')

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        #: Bindings by one condition they cannot match without.  Key: (header name, frozen value
        #: or None).
        self._by_condition: dict[tuple[str, Any], dict[tuple[Row, Any], _Headers]] = {}
        #: Bindings without condition, which match every message.
        self._always: dict[tuple[Row, Any], _Headers] = {}
        self._order = 0
        super().__init__(rows)

    @classmethod
    def check(cls, arguments: Mapping[str, Any] | None) -> None:
        """Raise ValueError where `arguments` are not those of a headers binding."""
        mode = (arguments or NO_HEADERS).get('x-match', 'all')
        if mode not in cls.MODES:
            raise ValueError(f'x-match must be one of {", ".join(cls.MODES)}, not {mode!r}')

    def _index(self, row: Row, arguments: Mapping[str, Any]) -> None:
        self._order += 1
        binding = _Headers(self._order, row[2], arguments)
        identity = (row, frozen(arguments))
        for bucket in self._buckets(binding):
            bucket[identity] = binding

    def _unindex(self, row: Row, arguments: Mapping[str, Any]) -> None:
        binding = _Headers(0, row[2], arguments)
        identity = (row, frozen(arguments))
        for bucket in self._buckets(binding):
            del bucket[identity]
        for condition in binding.index_conditions():
            if not self._by_condition[condition]:
                del self._by_condition[condition]

    def _buckets(self, binding: _Headers) -> list[dict[tuple[Row, Any], _Headers]]:
        conditions = binding.index_conditions()
        if conditions:
            return [self._by_condition.setdefault(condition, {}) for condition in conditions]
        # `any` of nothing never matches, `all` of nothing always does.
        return [] if binding.any else [self._always]

    def match(self, routing_key: str, headers: Mapping[str, Any] | None = None) -> tuple[str, ...]:
        hits = list(self._always.values())
        by_condition = self._by_condition
        for name, value in (headers or NO_HEADERS).items():
            for condition in ((name, frozen(value)), (name, None)):
                for binding in list(by_condition.get(condition, NO_HEADERS).values()):
                    if binding.any or binding.matches(headers or NO_HEADERS):
                        hits.append(binding)
        hits.sort(key=_Headers.by_order)
        return tuple(dict.fromkeys(binding.destination for binding in hits))


class _Headers:
    """One binding of a headers exchange."""

    __slots__ = ('any', 'conditions', 'destination', 'order')

    def __init__(self, order: int, destination: str, arguments: Mapping[str, Any]) -> None:
        mode = arguments.get('x-match', 'all')
        with_x = mode.endswith('-with-x')
        self.order = order
        self.destination = destination
        self.any = mode.startswith('any')
        self.conditions = [
            (name, None if value is None else frozen(value))
            for name, value in arguments.items()
            if name != 'x-match' and (with_x or not name.startswith('x-'))
        ]

    def by_order(self) -> int:
        return self.order

    def index_conditions(self) -> list[tuple[str, Any]]:
        """Return the conditions to file it under.

        Any of them is enough for `any`, one will do for `all`.
        """
        return self.conditions if self.any else self.conditions[:1]

    def matches(self, headers: Mapping[str, Any]) -> bool:
        missing = _MISSING
        for name, wanted in self.conditions:
            value = headers.get(name, missing)
            if value is missing or (wanted is not None and frozen(value) != wanted):
                return False
        return True


_MISSING = object()

#: The table each exchange type keeps.
TABLES: dict[str, type[RoutingTable]] = {
    'direct': DirectTable,
    'fanout': FanoutTable,
    'topic': TopicTable,
    'headers': HeadersTable,
}
