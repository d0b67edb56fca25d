"""A queue of functions to call later.

The queue is a heap of `(eta, priority, number, entry)`: what is due first comes first, among equals
the smaller priority, then the earlier entered.  Times are seconds on the monotonic clock.

Cancelling marks the entry and leaves it where it is.  Cancelled entries go away when they come up,
or all at once when the heap has doubled since the last cleaning; so entering costs O(log n),
cancelling O(1), and what was cancelled never takes more memory than what lives.

Any thread, and any signal handler, may enter and cancel entries while one thread iterates: each
change of the heap is a single step that the interpreter does not interrupt.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timezone, tzinfo
from functools import total_ordering
from heapq import heapify, heappop, heappush
from itertools import compress, count
from operator import attrgetter, itemgetter, not_
from time import monotonic
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from kombu.log import get_logger
from kombu.utils.arguments import warn_unknown
from kombu.utils.functional import reprcall

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ('Entry', 'Timer', 'to_timestamp')

logger = get_logger(__name__)

#: Seconds; how long `Timer.__iter__` lets its caller wait unless told otherwise.
DEFAULT_MAX_INTERVAL = 2
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
IS_PYPY = sys.implementation.name == 'pypy'

#: Heaps smaller than this are not worth cleaning.
MIN_CLEAN = 256

_Item: TypeAlias = 'tuple[float, int, int, Entry]'
_entry_of = itemgetter(3)
_is_cancelled = attrgetter('canceled')


class scheduled(NamedTuple):
    """An element of `Timer.queue`: what is called when (in seconds on the monotonic clock)."""

    eta: float
    priority: int
    entry: Entry


def to_timestamp(
    d: Any,
    default_timezone: tzinfo | None = timezone.utc,
    time: Callable[[], float] = monotonic,
) -> Any:
    """Return a date as seconds on the monotonic clock; anything else as it is.

    Args:
        d: the date, or what is a timestamp already.
        default_timezone: what a date without time zone is meant to be in; None is the local one.
        time: the clock.
    """
    if not isinstance(d, datetime):
        return d
    if d.tzinfo is None and default_timezone is not None:
        d = d.replace(tzinfo=default_timezone)
    return time() + (d - datetime.now(d.tzinfo)).total_seconds()


@total_ordering
class Entry:
    """A function to call with its arguments, once."""

    __slots__ = ('__weakref__', 'args', 'canceled', 'fun', 'kwargs')

    def __init__(
        self,
        fun: Callable[..., Any],
        args: Sequence[Any] | None = None,
        kwargs: Mapping[str, Any] | None = None,
    ) -> None:
        self.fun = fun
        self.args: Sequence[Any] = args or ()
        self.kwargs: Mapping[str, Any] = kwargs or {}
        #: Set by `cancel`.
        self.canceled = False

    def __call__(self) -> Any:
        """Call the function, cancelled or not."""
        kwargs = self.kwargs
        return self.fun(*self.args, **kwargs) if kwargs else self.fun(*self.args)

    def cancel(self) -> None:
        """Have the timer forget this entry."""
        self.canceled = True

    @property
    def cancelled(self) -> bool:
        """Whether `cancel` was called."""
        return self.canceled

    @cancelled.setter
    def cancelled(self, value: bool) -> None:
        self.canceled = value

    @property
    def tref(self) -> Entry:
        """What to cancel this entry by, which is the entry itself."""
        return self

    def __lt__(self, other: Any) -> bool:
        """Order by identity, so that a heap of entries does not compare functions."""
        return id(self) < id(other)

    def __repr__(self) -> str:
        name = getattr(self.fun, '__name__', None) or repr(self.fun)
        state = ' cancelled' if self.canceled else ''
        return f'<TimerEntry: {reprcall(name, self.args, self.kwargs)}{state}>'


class _Periodic(Entry):
    """An entry that enters itself again after each call, until cancelled.

    It keeps to the grid laid by its first call: lateness is not added up, and calls that are missed
    altogether are skipped rather than made up for.
    """

    __slots__ = ('eta', 'interval', 'priority', 'timer')

    eta: float
    interval: float
    priority: int
    timer: Timer

    def __call__(self) -> Any:
        if self.canceled:  # Timers that run a thread have it called whatever happens.
            return None
        try:
            return super().__call__()
        finally:
            if not self.canceled:
                now, interval, eta = monotonic(), self.interval, self.eta + self.interval
                if eta <= now:
                    eta = eta + ((now - eta) // interval + 1) * interval if interval else now
                self.eta = eta
                self.timer._enter(eta, self.priority, self)


_Entry: TypeAlias = Entry  # `Timer.Entry` hides the name in the class below


class Timer:
    """A schedule of functions to call, for an event loop or a thread to iterate.

    Args:
        max_interval: seconds; the longest wait that iterating asks for, `DEFAULT_MAX_INTERVAL` if
        None.
        on_error: called with the exception of a function that raised; without it the error is
        logged.
        kwargs: `on_tick`, which only timers running a thread have a use for.
    """

    #: Class of the entries.
    Entry = Entry

    on_error: Callable[[Exception], Any] | None = None
    #: Called, by whichever thread entered it, when an entry becomes the next one due.
    on_earliest: Callable[[], Any] | None = None

    def __init__(
        self,
        max_interval: float | None = None,
        on_error: Callable[[Exception], Any] | None = None,
        **kwargs: Any,
    ) -> None:
        known = ('max_interval', 'on_error', 'on_tick')
        warn_unknown('Timer', [name for name in kwargs if name not in known], known)
        self.max_interval = float(max_interval or DEFAULT_MAX_INTERVAL)
        self.on_error = on_error or self.on_error
        self._queue: Any = []
        self._numbers = count()
        self._clean_at = MIN_CLEAN

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        self.stop()

    def call_at(
        self,
        eta: datetime | float | None,
        fun: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        priority: int = 0,
    ) -> Any:
        """Call a function at a time.

        Args:
            eta: a date, or seconds on the monotonic clock.
            fun: the function.
            args: its positional arguments.
            kwargs: its keyword arguments.
            priority: which of those due at the very same time comes first, the smallest.

        Returns:
            The entry; its `cancel()` takes it back.
        """
        return self.enter_at(self.Entry(fun, args, kwargs), eta, priority)

    def call_after(
        self,
        secs: float,
        fun: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        priority: int = 0,
    ) -> Any:
        """Call a function in `secs` seconds (see `call_at`)."""
        return self._enter(monotonic() + float(secs), priority, self.Entry(fun, args, kwargs))

    def call_repeatedly(
        self,
        secs: float,
        fun: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        priority: int = 0,
    ) -> Any:
        """Call a function every `secs` seconds, the first time in `secs` seconds (see `call_at`).

        The time the function takes does not add to the interval.  Where a call comes too late for
        the next, the next is skipped.
        """
        entry = _Periodic(fun, args, kwargs)
        entry.timer, entry.interval, entry.priority = self, max(float(secs), 0.0), priority
        entry.eta = monotonic() + entry.interval
        self._enter(entry.eta, priority, entry)
        return entry

    def enter_at(
        self,
        entry: _Entry,
        eta: datetime | float | None = None,
        priority: int = 0,
        time: Callable[[], float] = monotonic,
    ) -> Any:
        """Enter an entry for a date, or seconds on the monotonic clock; None is now."""
        when = time() if eta is None else float(to_timestamp(eta, time=time))
        return self._enter(when, priority, entry)

    def enter_after(
        self,
        secs: float,
        entry: _Entry,
        priority: int = 0,
        time: Callable[[], float] = monotonic,
    ) -> Any:
        """Enter an entry for in `secs` seconds."""
        return self._enter(time() + float(secs), priority, entry)

    def _enter(self, eta: float, priority: int | None, entry: _Entry, **kwargs: Any) -> Any:
        """Enter an entry; what timers with a scheduler of their own override."""
        queue = self._queue
        item: _Item = (eta, priority or 0, next(self._numbers), entry)
        heappush(queue, item)
        if self.on_earliest is not None and queue[0] is item:
            self.on_earliest()
        return entry

    def __iter__(
        self,
        min: Callable[[float, float], float] = min,
        nowfun: Callable[[], float] = monotonic,
        pop: Callable[[list[_Item]], _Item] = heappop,
        push: Callable[[list[_Item], _Item], None] = heappush,
    ) -> Iterator[tuple[float | None, _Entry | None]]:
        """Iterate for ever over what there is to do.

        Each step gives `(None, entry)` for an entry that is due, which the caller is to call;
        `(seconds, None)` when nothing is due for that long, `max_interval` at most; `(None, None)`
        when nothing is entered at all.
        """
        queue: list[_Item] = self._queue
        while True:
            if len(queue) > self._clean_at:
                self._clean()
            if not queue:
                yield None, None
                continue
            item = queue[0]
            eta, _, _, entry = item
            if not entry.canceled:
                wait = eta - nowfun()
                if wait > 0:
                    yield min(wait, self.max_interval), None
                    continue
            popped = pop(queue)
            if popped is not item:  # Another thread entered something earlier, meanwhile.
                push(queue, popped)
            elif not entry.canceled:
                yield None, entry

    def _clean(self) -> None:
        """Drop what was cancelled; for the thread that iterates only."""
        queue = self._queue
        # All of the filtering is C code that runs no Python, so no thread or signal handler can
        # come in between and lose what it enters; and what comes before `heapify` is put in order
        # by it.
        queue[:] = compress(queue, map(not_, map(_is_cancelled, map(_entry_of, queue))))
        heapify(queue)
        self._clean_at = max(MIN_CLEAN, 2 * len(queue))

    def apply_entry(self, entry: _Entry) -> None:
        """Call an entry that is due, unless it was cancelled meanwhile, and handle its errors."""
        if entry.canceled:
            return
        try:
            entry()
        except Exception as exc:
            if not self.handle_error(exc):
                logger.error('Error in timer: %r', exc, exc_info=True)

    def handle_error(self, exc_info: Any) -> bool | None:
        """Give an error to `on_error`; return whether there is one."""
        if self.on_error is None:
            return None
        self.on_error(exc_info)
        return True

    def cancel(self, tref: Any) -> None:
        """Cancel an entry, or what stands for one."""
        tref.cancel()

    def clear(self) -> None:
        """Forget all entries."""
        self._queue[:] = []

    def stop(self) -> None:
        """Do nothing: what has no thread needs no stopping.  Timers that run one override this."""

    @property
    def queue(self) -> Any:
        """What is yet to be called, as a sorted list of `scheduled`."""
        return [
            scheduled(eta, priority, entry)
            for eta, priority, _, entry in sorted(self._queue)
            if not entry.canceled
        ]

    @property
    def schedule(self) -> Timer:
        """The timer itself, which stands for both in those that run a thread."""
        return self

    def __len__(self) -> int:
        """Return how many entries are yet to be called; counting takes a look at each."""
        return sum(not entry.canceled for _, _, _, entry in self._queue)

    def __nonzero__(self) -> bool:
        """Return True, as before."""
        return True
