"""Pools of connections and of producers, one for each broker and shared by all who ask.

`connections[connection]` is the `ConnectionPool` for connections that are like `connection`, and
`producers[connection]` the `ProducerPool` over it.  Their limit is the global one (`set_limit`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from contextvars import ContextVar
from threading import RLock
from typing import Any

from kombu.connection import Connection, ConnectionPool
from kombu.messaging import Producer
from kombu.resource import Resource, checked_limit
from kombu.utils.collections import EqualityDict
from kombu.utils.compat import register_after_fork
from kombu.utils.deadline import Deadline
from kombu.utils.functional import lazy

__all__ = (
    'PoolGroup',
    'ProducerPool',
    'connections',
    'get_limit',
    'producers',
    'register_group',
    'reset',
    'set_limit',
)

#: As the limit of a group: the global one.
use_global_limit = object()

#: Has no effect any more; `set_limit` can always change the limit.
disable_limit_protection: Any = None

_DEFAULT_LIMIT = 10

#: Whether, and how long, who acquires a producer waits for a connection.
_patience: ContextVar[tuple[bool, Deadline]] = ContextVar(
    'kombu_patience', default=(True, Deadline())
)


class ProducerPool(Resource):
    """A pool of producers, each of which has a connection of `connections` while it is in use.

    Args:
        connections: the pool that the connections are from.
        limit: the most producers; by default as many as there may be connections.
        Producer: the class of the producers.
        kwargs: as for `kombu.resource.Resource`.

    Example:
        >>> with pools.producers[connection].acquire(block=True, timeout=5) as producer:
        ...     producer.publish({'hello': 'world'}, routing_key='greetings')
    """

    Producer: Any = Producer
    close_after_fork = True

    def __init__(
        self, connections: ConnectionPool, *args: Any, Producer: Any = None, **kwargs: Any
    ) -> None:
        self.connections = connections
        if Producer is not None:
            self.Producer = Producer
        if not args:
            kwargs.setdefault('limit', connections.limit)
        super().__init__(*args, **kwargs)

    def setup(self) -> None:
        """Fill the pool with producers that are made when they are acquired, or now to preload."""
        for room in range(self.limit or 0, 0, -1):
            self._resource.put_nowait(
                self.create_producer() if room <= self.preload else self.new()
            )

    def create_producer(self) -> Any:
        """Make a producer with a connection."""
        connection = self._acquire_connection()
        try:
            return self.Producer(connection)
        except BaseException:
            connection.release()
            raise

    def acquire(self, block: bool = False, timeout: float | None = None) -> Any:
        """Take a producer, and a connection for it; waiting is for both of them.

        Args:
            block: wait while all are in use.
            timeout: seconds to wait; None waits for ever.

        Raises:
            kombu.exceptions.LimitExceeded: all are in use, and stay so until the time is over.
            RuntimeError: the pool is closed.
        """
        token = _patience.set((block, Deadline.after(timeout)))
        try:
            return super().acquire(block, timeout)
        finally:
            _patience.reset(token)

    def _acquire_connection(self) -> Any:
        block, deadline = _patience.get()
        return self.connections.acquire(block, deadline.remaining())

    def new(self) -> Any:
        """Return a producer that is made when it is acquired."""
        return lazy(self.create_producer)

    def prepare(self, p: Any) -> Any:
        """Give a producer a connection, where it has none."""
        if callable(p):
            p = p()
        if p._channel is None:
            connection = self._acquire_connection()
            try:
                p.revive(connection)
            except BaseException:
                connection.release()
                raise
        return p

    def release(self, resource: Any) -> None:
        """Give back a producer, and its connection."""
        self.close_resource(resource)
        super().release(resource)

    def close_resource(self, resource: Any) -> None:
        """Give back the connection of a producer."""
        if resource._channel is None:
            return  # the connection it had may be in use elsewhere
        connection = resource.__connection__
        resource.channel = None
        if connection is not None:
            connection.release()

    def collect_resource(self, resource: Any) -> None:
        """Do nothing: its connection is collected by its pool."""


class PoolGroup(EqualityDict):
    """Pools by what they are for; one is made when it is first asked for.

    Args:
        limit: of the new pools: a number, None or 0 for no pooling, or `use_global_limit`.
        close_after_fork: whether a forked child begins without pools.
    """

    def __init__(self, limit: Any = None, close_after_fork: bool = True) -> None:
        super().__init__()
        self.limit = limit
        self.close_after_fork = close_after_fork
        self._lock = RLock()
        register_after_fork(self, _in_child)

    def create(self, resource: Any, limit: int | None) -> Any:
        """Make a pool; a subclass defines it.

        Args:
            resource: what it is for.
            limit: its limit.
        """
        raise NotImplementedError(f'{type(self).__name__} does not define create()')

    def __missing__(self, resource: Any) -> Any:
        with self._lock:
            pool = self.get(resource)
            if pool is None:
                limit = get_limit() if self.limit is use_global_limit else self.limit
                pool = self[resource] = self.create(resource, limit)
            return pool


def _in_child(group: PoolGroup) -> None:
    """Make a group usable in a forked child."""
    group._lock = RLock()  # another thread of the parent may have held it
    if group.close_after_fork:
        group.clear()


class Connections(PoolGroup):
    """Pools of connections."""

    def create(self, connection: Connection, limit: int | None) -> ConnectionPool:
        """Make the pool of connections like `connection`."""
        return connection.Pool(limit=limit)


class Producers(PoolGroup):
    """Pools of producers, over `connections`."""

    def create(self, connection: Connection, limit: int | None) -> ProducerPool:
        """Make the pool of producers over connections like `connection`."""
        return ProducerPool(connections[connection], limit=limit)


_groups: list[PoolGroup] = []
_limit: list[int] = [_DEFAULT_LIMIT]


def register_group(group: PoolGroup) -> PoolGroup:
    """Have a group follow `set_limit` and `reset`; returns it."""
    _groups.append(group)
    return group


connections = register_group(Connections(limit=use_global_limit))
producers = register_group(Producers(limit=use_global_limit))


def _all_pools() -> Iterator[Any]:
    for group in _groups:
        yield from list(group.values())


def get_limit() -> int:
    """Return the global limit."""
    return _limit[0]


def set_limit(
    limit: int | None,
    force: bool = False,
    reset_after: bool = False,
    ignore_errors: bool = False,
) -> int:
    """Change the global limit, and that of all pools there are.

    Args:
        limit: the most connections, and producers, for each broker; None or 0 for no pooling.
        force: allow a limit smaller than the number in use.
        reset_after: close what is in the pools.
        ignore_errors: the same as `force`.

    Returns:
        the limit.

    Raises:
        RuntimeError: some pool has more in use; no limit was changed then.
        TypeError: the limit is no integer.
        ValueError: the limit is negative.
    """
    new = checked_limit(limit) or 0
    if new == get_limit():
        return new
    resized: list[tuple[Any, Any]] = []
    try:
        for pool in _all_pools():
            before = pool.limit
            pool.resize(new, force=force, ignore_errors=ignore_errors, reset=reset_after)
            resized.append((pool, before))
    except BaseException:
        for pool, before in resized:
            pool.resize(before, force=True)
        raise
    _limit[0] = new
    return new


def reset(*args: Any, **kwargs: Any) -> None:
    """Close all pools and forget them; the next who asks gets a new one.

    Args:
        args: for `Resource.force_close_all`, likewise `kwargs`.
    """
    for pool in _all_pools():
        with suppress(Exception):
            pool.force_close_all(*args, **kwargs)
    for group in _groups:
        group.clear()
