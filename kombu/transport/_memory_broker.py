"""The broker behind `memory://`.

There is one `Broker` for each virtual host, shared by all connections of the process.

Data model
    A queue holds envelopes in the order of their *position*, a number that every message gets
    when it is published and keeps when it goes back, so that a requeued message finds its old
    place whatever order others are put back in.  A queue with `x-max-priority` holds one such
    line for each priority.

    The broker keeps one schedule of what time will make due: a head to expire, an unused queue to
    delete, a delayed message to route.  Nothing runs by itself: whoever uses the broker next runs
    what is due, and whoever waits, waits no longer than the next entry.  The clock is a
    parameter, so a test can own it (`kombu.testing.MemoryBroker`).

Locking
    One lock for each broker, taken for every change; waiting is done on its condition.  Callbacks
    of consumers are never called with the lock held.
"""

from __future__ import annotations

import os
from bisect import insort
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from heapq import heappop, heappush
from itertools import count
from threading import Condition, RLock
from time import monotonic, time
from typing import Any, Protocol

from kombu.transport.virtual._topology import BrokerState

__all__ = ('Broker', 'Brokers', 'Clock', 'MemoryQueue', 'SystemClock')

Envelope = dict[str, Any]


class Clock(Protocol):
    """Where a broker reads the time."""

    def now(self) -> float:
        """Return seconds since the epoch."""

    def until(self, when: float) -> float | None:
        """Return how many real seconds to wait until `when`.

        None where waiting does not bring it on.
        """


class SystemClock:
    """The time of day when it was made, and from then on what has passed.

    So no message expires early or late because somebody sets the system's clock.
    """

    def __init__(self) -> None:
        self._start = time() - monotonic()

    def now(self) -> float:
        return self._start + monotonic()

    def until(self, when: float) -> float | None:
        return max(when - self.now(), 0.0)


def position(envelope: Envelope) -> Any:
    """Return the place of a message in every line it stands in."""
    return envelope['properties']['delivery_tag']


class MemoryQueue:
    """The messages of one queue that are ready, oldest and highest priority first.

    Args:
        max_priority: the highest priority that is told apart; None: all messages are equal.
        count_bytes: whether `bytes` is kept.
    """

    __slots__ = ('_count_bytes', '_lines', '_only', 'bytes', 'due', 'expires', 'watchers')

    def __init__(self, max_priority: int | None = None, *, count_bytes: bool = False) -> None:
        self._lines: list[deque[Envelope]] = [deque() for _ in range((max_priority or 0) + 1)]
        #: The line, where there is one.
        self._only = self._lines[0] if len(self._lines) == 1 else None
        self._count_bytes = count_bytes
        #: Size of the bodies, if it is counted.
        self.bytes = 0
        #: Whether a message with a time to live was ever put.
        self.expires = False
        #: When the schedule says to look at the head.
        self.due: float | None = None
        #: Channels to tell when a message comes.
        self.watchers: dict[Any, None] = {}

    def put(self, envelope: Envelope) -> None:
        """Append a message."""
        if self._only is not None:
            self._only.append(envelope)
        else:
            self._line(envelope).append(envelope)
        if self._count_bytes:
            self.bytes += len(envelope['body'] or b'')

    def put_back(self, envelope: Envelope) -> None:
        """Return a message to the place it had."""
        if self._count_bytes:
            self.bytes += len(envelope['body'] or b'')
        line = self._line(envelope)
        place = position(envelope)
        if not line or position(line[0]) > place:
            line.appendleft(envelope)
        else:
            insort(line, envelope, key=position)

    def get(self) -> Envelope:
        """Take the next message.

        Raises:
            IndexError: there is none.
        """
        line = self._only
        envelope = (self._line_to_read() if line is None else line).popleft()
        if self._count_bytes:
            self.bytes -= len(envelope['body'] or b'')
        return envelope

    def head(self) -> Envelope | None:
        """Return the next message and leave it there."""
        line = self._line_to_read()
        return line[0] if line else None

    def clear(self) -> int:
        """Remove all messages; return how many."""
        size = len(self)
        for line in self._lines:
            line.clear()
        self.bytes = 0
        return size

    def _line(self, envelope: Envelope) -> deque[Envelope]:
        if self._only is not None:
            return self._only
        lines = self._lines
        priority = envelope['properties'].get('priority')
        if not isinstance(priority, int) or priority < 0:
            priority = 0
        return lines[min(priority, len(lines) - 1)]

    def _line_to_read(self) -> deque[Envelope]:
        for line in reversed(self._lines):
            if line:
                return line
        return self._lines[0]

    def __iter__(self) -> Iterator[Envelope]:
        for line in reversed(self._lines):
            yield from line

    def __len__(self) -> int:
        return sum(map(len, self._lines)) if self._only is None else len(self._only)


class Broker:
    """One virtual host.

    Args:
        clock: where it reads the time.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock: Clock = SystemClock() if clock is None else clock
        self.positions = count(1)
        self.queues: dict[str, MemoryQueue] = {}
        #: Counts what may have made a waiting consumer's queue readable.
        self.progress = 0
        #: How many threads wait.
        self.waiting = 0
        self._schedule: list[tuple[float, int, str, tuple[Any, ...]]] = []
        self._entries = count()
        self.state = BrokerState()
        self.new_lock()

    def new_lock(self) -> None:
        """Make the lock; anew in a forked child, where the old one may be held by nobody."""
        self.lock = RLock()
        self.state.lock = self.lock
        self.woken = Condition(self.lock)
        self.waiting = 0

    def clear(self) -> None:
        """Forget all queues, exchanges and messages."""
        with self.lock:
            self.queues.clear()
            self.state.clear()
            self._schedule.clear()

    def arrived(self, name: str, queue: MemoryQueue) -> None:
        """Tell those who consume from `queue` that it has a message.  Call with the lock held."""
        if queue.watchers:
            for channel in queue.watchers:
                channel._ready[name] = None
            self.progress += 1
            if self.waiting:
                self.woken.notify_all()

    def wake(self) -> None:
        """End every wait."""
        with self.lock:
            self.progress += 1
            self.woken.notify_all()

    def wait(self, seen: int, timeout: float | None) -> None:
        """Wait until `progress` is not `seen`, something is due, or `timeout` seconds passed."""
        with self.lock:
            if self.progress != seen:
                return
            if self._schedule:
                due = self.clock.until(self._schedule[0][0])
                if due is not None:
                    timeout = due if timeout is None else min(timeout, due)
            self.waiting += 1
            try:
                self.woken.wait(timeout)
            finally:
                self.waiting -= 1

    def at(self, when: float, action: str, *args: Any) -> None:
        """Have `run_due` call the channel's method `action` with `args` once it is `when`."""
        with self.lock:
            heappush(self._schedule, (when, next(self._entries), action, args))
            if self.waiting:
                self.woken.notify_all()

    def run_due(self, channel: Any) -> None:
        """Do what time has made due, through `channel`."""
        schedule = self._schedule
        try:
            if not schedule or schedule[0][0] > self.clock.now():
                return
        except IndexError:
            return  # somebody else has just done what was due
        with self.lock:
            while schedule and schedule[0][0] <= self.clock.now():
                _, _, action, args = heappop(schedule)
                getattr(channel, action)(*args)

    def __repr__(self) -> str:
        return f'<{type(self).__name__}: {len(self.queues)} queues>'


class Brokers(Mapping[str, Broker]):
    """The virtual hosts of this process, made when first asked for."""

    def __init__(self) -> None:
        self._brokers: dict[str, Broker] = {}
        self._lock = RLock()
        if hasattr(os, 'register_at_fork'):
            os.register_at_fork(after_in_child=self._after_fork)

    def __getitem__(self, virtual_host: str) -> Broker:
        return self._brokers[virtual_host]

    def __iter__(self) -> Iterator[str]:
        return iter(list(self._brokers))

    def __len__(self) -> int:
        return len(self._brokers)

    def open(self, virtual_host: str, make: Callable[[], Broker] = Broker) -> Broker:
        """Return the broker of a virtual host."""
        with self._lock:
            broker = self._brokers.get(virtual_host)
            if broker is None:
                self._brokers[virtual_host] = broker = make()
            return broker

    def remove(self, virtual_host: str) -> None:
        """Forget a virtual host."""
        self._brokers.pop(virtual_host, None)

    def clear(self) -> None:
        """Empty every virtual host."""
        for broker in list(self._brokers.values()):
            broker.clear()

    def _after_fork(self) -> None:
        self._lock = RLock()
        for broker in self._brokers.values():
            broker.new_lock()
