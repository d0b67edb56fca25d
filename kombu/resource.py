"""A pool of things that are expensive to make.

A resource is in one of two places: idle, in `_resource.queue` (the one used last is taken first),
or in use, in `_dirty`.  The idle ones may be `lazy`, that is not made yet; `prepare` makes them.
What is missing to the limit does not exist at all, and is made with `new()` when it is needed.  So
there are never more than `limit` resources, whatever is resized, replaced or lost.

=========  ======================  =====================================================
from       to                      by
=========  ======================  =====================================================
(nothing)  idle                    `setup`
idle       in use                  `acquire`, through `prepare`
(nothing)  in use                  `acquire`, through `new` and `prepare`
in use     idle                    `release`, through `release_resource`
in use     (nothing)               `replace`, or `release` above the limit: `close_resource`
idle       (nothing)               `resize`: `close_resource`
any        (nothing)               `force_close_all`, or a fork: `collect_resource`
=========  ======================  =====================================================
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable
from queue import LifoQueue
from typing import Any

from kombu.exceptions import LimitExceeded as _LimitExceeded
from kombu.log import get_logger
from kombu.utils.compat import register_after_fork
from kombu.utils.deadline import Deadline
from kombu.utils.functional import lazy

__all__ = ('Resource', 'checked_limit')

logger = get_logger(__name__)


class _Release:
    """What `release` of an acquired resource is; the second call does nothing."""

    __slots__ = ('pool', 'resource')

    def __init__(self, pool: Resource, resource: Any) -> None:
        self.pool: Resource | None = pool
        self.resource = resource

    def __call__(self) -> None:
        pool, resource = self.pool, self.resource
        self.forget()
        if pool is not None:
            pool.release(resource)

    def forget(self) -> None:
        # Also so that the idle resource does not keep its pool alive.
        self.pool = self.resource = None

    def __repr__(self) -> str:
        return '<release: done>' if self.pool is None else f'<release: {self.resource!r}>'


class Resource:
    """A thread-safe pool; a subclass says how its resources are made and closed.

    Args:
        limit: the most resources; None or 0 means that nothing is pooled: each `acquire` makes a
            resource, and releasing closes it.
        preload: how many `setup` makes at once.
        close_after_fork: whether a forked child begins with an empty pool instead of with the
            connections of its parent.

    Raises:
        TypeError: the limit is no integer.
        ValueError: the limit is negative.
    """

    #: Raised by `acquire` when all are in use.
    LimitExceeded: type[Exception] = _LimitExceeded
    #: The default of the argument.
    close_after_fork = False

    def __init__(
        self,
        limit: int | None = None,
        preload: int | None = None,
        close_after_fork: bool | None = None,
    ) -> None:
        self._limit = checked_limit(limit)
        self.preload = preload or 0
        self._closed = False
        if close_after_fork is not None:
            self.close_after_fork = close_after_fork
        self._empty()
        register_after_fork(self, _in_child)
        self.setup()

    def _empty(self) -> None:
        # The queue brings the lock that protects everything here; nobody else of us waits in its
        # methods.
        self._resource: LifoQueue[Any] = LifoQueue()
        self._dirty: set[Any] = set()
        self._coming = 0  # taken out, but still being prepared
        self._waiting = 0  # threads in `acquire`

    # -- what a subclass defines

    def setup(self) -> None:
        """Put idle resources into the new pool; a subclass has to define it.

        May put up to `limit` resources, made or lazy, into `self._resource`; what it leaves out,
        `new` makes later.
        """
        raise NotImplementedError(f'{type(self).__name__} does not define setup()')

    def new(self) -> Any:
        """Make a resource, or one that is `lazy`; a subclass has to define it."""
        raise NotImplementedError(f'{type(self).__name__} does not define new()')

    def prepare(self, resource: Any) -> Any:
        """Make a resource ready for use, and return it.

        Args:
            resource: what `setup` or `new` gave, or what was released.
        """
        return resource

    def release_resource(self, resource: Any) -> None:
        """Do what has to be done before others may use a resource."""

    def close_resource(self, resource: Any) -> None:
        """Close a resource that is not needed any more."""
        resource.close()

    def collect_resource(self, resource: Any) -> None:
        """Forget a resource without telling its other end, which a parent process may be using."""

    # -- taking and giving back

    def acquire(self, block: bool = False, timeout: float | None = None) -> Any:
        """Take a resource.  Its `release()`, or `release` of the pool, gives it back.

        Args:
            block: wait while all are in use.
            timeout: seconds to wait; None waits for ever.

        Raises:
            LimitExceeded: all are in use, and stay so until the time is over.
            RuntimeError: the pool is closed, maybe while waiting.
        """
        if not self._limit:
            self._check_open()
            resource = self.prepare(self.new())
        else:
            resource = self._take(block, timeout)
        resource.release = _Release(self, resource)
        return resource

    def _take(self, block: bool, timeout: float | None) -> Any:
        home = self._resource
        with home.mutex:
            if not home.queue and self._missing() <= 0:
                self._wait(block, timeout)
            self._check_open()
            taken = home.queue.pop() if home.queue else None
            self._coming += 1
        try:
            if taken is None:
                taken = self.new()
            resource = self.prepare(taken)
        except BaseException:
            self._undo(home, taken)
            raise
        with home.mutex:
            if home is self._resource:
                self._coming -= 1
                self._dirty.add(resource)
        return resource

    def _wait(self, block: bool, timeout: float | None) -> None:
        """Wait, holding the lock, for a resource or for the place of one."""
        home = self._resource
        deadline = Deadline.after(timeout)
        self._waiting += 1
        try:
            while not (self._closed or home.queue or self._missing() > 0):
                if not block or deadline.expired:
                    raise self.LimitExceeded(
                        f'all {self._limit} resources of the {type(self).__name__} are in use'
                    )
                home.not_empty.wait(deadline.remaining())
        finally:
            self._waiting -= 1

    def _undo(self, home: LifoQueue[Any], taken: Any) -> None:
        """Give back what could not be prepared: its place, and itself if it is not made yet."""
        again = isinstance(taken, lazy)
        with home.mutex:
            if home is self._resource:
                self._coming -= 1
                if again and self._missing() > 0:
                    home.queue.append(taken)
                self._notify()
        if taken is not None and not again:
            self._each(self.close_resource, [taken])

    def _notify(self) -> None:
        if self._waiting:
            self._resource.not_empty.notify()

    def _missing(self) -> int:
        """Return how many more resources the limit allows."""
        existing = len(self._resource.queue) + len(self._dirty) + self._coming
        return (self._limit or 0) - existing

    def _check_open(self) -> None:
        if self._closed:
            raise RuntimeError(f'Acquire on closed pool: {type(self).__name__}')

    def release(self, resource: Any) -> None:
        """Give back a resource.

        One that was given back before is ignored.  One that the pool does not know any more,
        because it was resized, or closed by force meanwhile, is closed or collected.
        """
        mine = getattr(resource, 'release', None)
        if isinstance(mine, _Release):
            mine.forget()
        if resource in self._dirty:
            self._put_back(resource)
        elif not self._limit:
            self.close_resource(resource)
        elif not self._is_idle(resource):
            self.collect_resource(resource)

    def _is_idle(self, resource: Any) -> bool:
        home = self._resource
        with home.mutex:
            return any(one is resource for one in home.queue)

    def _put_back(self, resource: Any) -> None:
        try:
            self.release_resource(resource)
        except BaseException:
            self._forget(resource)
            self._each(self.close_resource, [resource])
            raise
        home = self._resource
        with home.mutex:
            if resource not in self._dirty:
                return
            self._dirty.discard(resource)
            keep = self._missing() > 0 and not self._closed
            if keep:
                home.queue.append(resource)
            self._notify()
        if not keep:
            self.close_resource(resource)

    def replace(self, resource: Any) -> None:
        """Close a resource in use that is broken; another can be made in its place."""
        mine = getattr(resource, 'release', None)
        if isinstance(mine, _Release):
            mine.forget()
        self._forget(resource)
        self.close_resource(resource)

    def _forget(self, resource: Any) -> None:
        home = self._resource
        with home.mutex:
            self._dirty.discard(resource)
            self._notify()

    # -- the whole pool

    def force_close_all(self, close_pool: bool = True) -> None:
        """Collect all resources, those in use as well.

        Args:
            close_pool: close the pool, too; whoever waits for a resource gets a RuntimeError.
        """
        home = self._resource
        with home.mutex:
            if self._closed:
                return
            self._closed = close_pool
            resources = [*self._dirty, *home.queue]
            self._dirty.clear()
            home.queue.clear()
            home.not_empty.notify_all()
        self._each(self.collect_resource, resources)

    def _each(self, hook: Callable[[Any], Any], resources: Iterable[Any]) -> None:
        for resource in resources:
            try:
                hook(resource)
            except Exception as exc:
                # One that is broken must not keep the others open.
                logger.debug('cannot dispose of a %s: %r', type(resource).__name__, exc)

    def resize(
        self,
        limit: int | None,
        force: bool = False,
        ignore_errors: bool = False,
        reset: bool = False,
    ) -> None:
        """Change the limit.

        Args:
            limit: the most resources; None or 0 for no pooling.
            force: allow a limit smaller than the number of resources in use; what is too much is
                closed when it is released.
            ignore_errors: the same, by its other name.
            reset: collect all resources first, those in use as well.

        Raises:
            RuntimeError: more are in use than the new limit allows.
            TypeError: the limit is no integer.
            ValueError: the limit is negative.
        """
        new = checked_limit(limit)
        home = self._resource
        with home.mutex:
            used, old = len(self._dirty) + self._coming, self._limit
            if new and used > new and not (force or ignore_errors or reset):
                raise RuntimeError(
                    f"Can't shrink pool when in use: {used} of {old} are, and {new} are wanted"
                )
            self._limit = new
        if reset:
            self.force_close_all(close_pool=False)
        if reset or not old:
            self.setup()
        surplus = []
        with home.mutex:
            while home.queue and self._missing() < 0:
                surplus.append(home.queue.pop(0))  # used longest ago
            home.not_empty.notify_all()
        self._each(self.close_resource, (one for one in surplus if not isinstance(one, lazy)))

    @property
    def limit(self) -> int | None:
        """The most resources; None or 0 for no pooling.  Assigning resizes by force."""
        return self._limit

    @limit.setter
    def limit(self, limit: int | None) -> None:
        self.resize(limit, force=True)

    def __repr__(self) -> str:
        if self._closed:
            state = 'closed'
        else:
            state = f'{len(self._dirty)} of {self._limit} in use' if self._limit else 'no limit'
        return f'<{type(self).__name__}: {state}>'


def checked_limit(limit: Any) -> int | None:
    """Return the limit of a pool.

    Raises:
        TypeError: it is no integer.
        ValueError: it is negative.
    """
    if limit is None:
        return None
    if isinstance(limit, bool) or not hasattr(limit, '__index__'):
        raise TypeError(f'limit must be an int, not {type(limit).__name__}: {limit!r}')
    number = operator.index(limit)
    if number < 0:
        raise ValueError(f'limit must not be negative: {number}')
    return number


def _in_child(pool: Resource) -> None:
    """Make the pool usable in a forked child."""
    # Another thread of the parent may have held the lock, so it is not asked for but replaced.
    idle, dirty = pool._resource.queue, pool._dirty
    pool._empty()
    if pool.close_after_fork:
        pool._each(pool.collect_resource, [*dirty, *idle])
    else:
        pool._resource.queue[:] = idle
        pool._dirty.update(dirty)
