"""The event loop.

One cycle, which is one `next()` of the generator from `Hub.create_loop`:

1. Call what `call_soon` had queued when the cycle began, oldest first.
2. Call the timers that are due, ten at most.
3. Call the `on_tick` callbacks.
4. Wait for descriptors: not at all if the cycle itself queued something, and no longer than until
   another thread or a signal handler queues something.
5. Call the callbacks of the descriptors that are ready, then once `consolidate_callback` with all
   those that were added with `consolidate=True`.

What a timer raises is logged, unless it is listed in `propagate_errors`.  What any other callback
raises goes to whoever drives the loop, because a connection whose reader failed must not be polled
again and again.  Nothing is lost by that: what was not called yet stays queued, and a new loop
carries on.
"""

from __future__ import annotations

import errno
from collections import OrderedDict
from collections.abc import Callable, Generator, Iterable, Iterator
from queue import Empty
from time import sleep
from types import GeneratorType
from typing import Any, NoReturn, TypeAlias

from vine import Thenable, promise

from kombu.asynchronous import debug
from kombu.asynchronous._descriptors import Descriptors
from kombu.asynchronous.timer import Timer
from kombu.log import get_logger
from kombu.utils.eventio import ERR, READ, SELECT_BAD_FD, WRITE

__all__ = ('Hub', 'get_event_loop', 'set_event_loop')

logger = get_logger(__name__)

Loop: TypeAlias = Generator[None, None, None]

#: Seconds; the wait where nothing is scheduled.
IDLE_WAIT = 1
#: Seconds; the same where there is neither a descriptor nor a way to be woken.
BLIND_WAIT = 0.1

_current_loop: Hub | None = None


class Stop(BaseException):
    """Raised by a callback to end `Hub.run_forever`."""


def _raise_stop() -> NoReturn:
    raise Stop


def get_event_loop() -> Hub | None:
    """Return the hub of this process, or None."""
    return _current_loop


def set_event_loop(loop: Hub | None) -> Hub | None:
    """Make a hub that of this process, or None to have none; return it."""
    global _current_loop  # noqa: PLW0603 - what get_event_loop() is for
    _current_loop = loop
    return loop


class _Ready(OrderedDict[Any, None]):
    """What to call in the next cycle: a set in the order of arrival.

    Every operation is a single step, so that threads and signal handlers need no lock to add.
    """

    def add(self, callback: Any) -> None:
        """Add a callback, unless it is there."""
        self[callback] = None

    def pop(self) -> Any:  # type: ignore[override]  # a set's, not a dictionary's
        """Remove and return the oldest."""
        return self.popitem(last=False)[0]


class Hub(Descriptors):
    """An event loop for descriptors, timers and callbacks.

    A hub may be closed, or reset, and used again.  One thread runs it; any thread may `call_soon`,
    `call_later`, `call_at`, `call_repeatedly` and `stop`.

    Args:
        timer: the schedule of its timers, one of its own if None.
    """

    READ, WRITE, ERR = READ, WRITE, ERR

    #: Called with the hub when it closes: a set, from the first instance on.
    on_close: set[Callable[[Hub], Any]] | None = None

    def __init__(self, timer: Timer | None = None) -> None:
        super().__init__()
        self.timer: Any = timer if timer is not None else Timer()
        #: Called with the list of consolidated descriptors that are ready.
        self.consolidate_callback: Any = None
        #: Called in every cycle, before waiting.
        self.on_tick: set[Callable[[], Any]] = set()
        self.on_close = set()
        #: Errors of timers that are to end the loop.
        self.propagate_errors: tuple[type[BaseException], ...] = ()
        self._ready = _Ready()
        self._loop: Any = None
        self._running = False
        # Whether a thread that runs the hub is (about to be) in poll().
        self._waiting = False
        # Whether a timer became the next one due since the wait was worked out.
        self._earlier = False
        self._scheduled: tuple[Any, Iterator[Any]] | None = None

    @property
    def scheduler(self) -> Iterator[Any]:
        """The iterator over `timer`."""
        timer = self.timer
        if self._scheduled is None or self._scheduled[0] is not timer:
            self._scheduled = timer, iter(timer)
        return self._scheduled[1]

    @property
    def loop(self) -> Loop:
        """The loop that `run_once` and `run_forever` drive, made anew when it has ended."""
        if self._loop is None or self._loop.gi_frame is None:
            self._loop = self.create_loop()
        loop: Loop = self._loop
        return loop

    # -- running

    def run_once(self) -> None:
        """Run one cycle; `Stop` ends it."""
        try:
            next(self.loop)
        except (Stop, StopIteration):
            pass

    def run_forever(self) -> None:
        """Run until `stop`, `close`, or an error that nobody handles.

        Raises:
            RuntimeError: it runs already.
        """
        if self._running:
            raise RuntimeError(f'{self!r} is running already')
        self._running = True
        try:
            # A loop ends when the poller is closed: by `close`, which ends it all, or by `reset`.
            while self._running:
                for _ in self.loop:
                    pass
        except Stop:
            pass
        finally:
            self._running = False

    def create_loop(
        self,
        generator: type = GeneratorType,
        sleep: Callable[[float], None] = sleep,
        min: Callable[[float, float], float] = min,
        next: Callable[[Any], Any] = next,
        Empty: type[Exception] = Empty,
        StopIteration: type[Exception] = StopIteration,
        KeyError: type[Exception] = KeyError,
        READ: int = READ,
        WRITE: int = WRITE,
        ERR: int = ERR,
    ) -> Loop:
        """Return a generator that runs a cycle each time, and ends when the poller is closed.

        What is assigned to the attributes of the hub counts if it was assigned before the first
        cycle.  The arguments are the names that the loop uses.
        """
        readers, writers = self.readers, self.writers
        poll, waker = self.poller.poll, self._waker
        wake_fd, drain = (waker.fd, waker.drain) if waker is not None else (None, int)
        ready, on_tick = self._ready, self.on_tick
        popitem = ready.popitem
        timer = self.timer
        timers = timer._queue
        timer.on_earliest = self._on_earliest
        while True:
            if ready:
                due = len(ready)
                while due and ready:
                    due -= 1
                    popitem(False)[0]()
            self._earlier = False
            wait = self.fire_timers(propagate=self.propagate_errors) if timers else IDLE_WAIT
            if on_tick:
                for tick in tuple(on_tick):
                    tick()
            if waker is None and not readers and not writers:
                sleep(0 if ready or self._earlier else min(wait, BLIND_WAIT))
                yield
                continue
            # From here on whoever queues something wakes us, so now is the time to look for what
            # was queued before.
            self._waiting = True
            try:
                events = poll(0 if ready or self._earlier else wait)
            except InterruptedError:
                events = []
            except ValueError:
                return
            finally:
                self._waiting = False
            if not events:
                yield
                continue
            consolidated = []
            for fd, event in events:
                if event & READ:
                    table = readers
                    if event & WRITE:
                        events.append((fd, WRITE))
                elif event & WRITE:
                    table = writers
                elif event & ERR:
                    table = readers if fd in readers else writers
                else:
                    continue
                try:
                    handler = table[fd]
                except KeyError:
                    if fd == wake_fd:
                        drain()
                    else:
                        self._sync(fd)
                    continue
                if handler is None:
                    consolidated.append(fd)
                    continue
                callback, args = handler
                if callback.__class__ is generator:
                    try:
                        next(callback)
                    except StopIteration:
                        # Unless its last act was to add what comes after it.
                        if table.get(fd) is handler:
                            (self.remove_reader if table is readers else self.remove_writer)(fd)
                    except Exception as exc:
                        self.remove(fd)
                        if getattr(exc, 'errno', None) not in SELECT_BAD_FD:
                            raise
                else:
                    try:
                        callback(*args)
                    except Empty:
                        pass
            if consolidated:
                self.consolidate_callback(consolidated)
            yield

    def stop(self) -> None:
        """Make `run_forever` return when what is queued already was called.

        If it does not run, that is when it is called next.
        """
        self.call_soon(_raise_stop)

    def reset(self) -> None:
        """Do as `close` does, and start over with a new poller, as the current hub if it was."""
        stopping = self._shut()
        if self._poller is None:
            self._make_poller()
        if stopping:
            self.stop()

    def close(self, *args: Any) -> None:
        """Forget the descriptors, call the `on_close` callbacks and what `call_soon` queued.

        Timers and ticks are kept, for the hub may be used again.  A hub that was the current one is
        so no longer.

        Args:
            args: ignored, so that this can be a callback of anything.
        """
        self._running = False
        if get_event_loop() is self:
            set_event_loop(None)
        self._shut()

    def _shut(self) -> bool:
        """Do what `close` and `reset` have in common; return whether a callback asked to stop."""
        self._close()
        stopping = False
        for callback, args in self._last_calls():
            try:
                callback(*args)
            except Stop:
                stopping = True
            except Exception as exc:
                self.on_callback_error(callback, exc)
        return stopping

    def _last_calls(self) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        for callback in list(self.on_close or ()):
            yield callback, (self,)
        ready = self._ready
        due = len(ready)
        while due and ready:
            due -= 1
            yield ready.pop(), ()

    def _close(self) -> None:
        """Forget the descriptors and drop the poller."""
        if getattr(self.timer, 'on_earliest', None) == self._on_earliest:
            self.timer.on_earliest = None
        self._forget()
        self._loop = None

    # -- callbacks and timers

    def call_soon(self, callback: Any, *args: Any) -> Any:
        """Call back in the next cycle; may be called from any thread and from signal handlers.

        Args:
            callback: a function; or a promise, which is queued once however often it is given.
            args: arguments for it.

        Returns:
            The promise, whose `cancel()` takes it back.
        """
        if args or not isinstance(callback, Thenable):
            callback = promise(callback, args)
        self._ready[callback] = None
        if self._waiting:
            self._wake()
        return callback

    def call_later(self, delay: float, callback: Callable[..., Any], *args: Any) -> Any:
        """Call back in `delay` seconds; return the entry, whose `cancel()` takes it back."""
        return self.timer.call_after(delay, callback, args)

    def call_at(self, when: Any, callback: Callable[..., Any], *args: Any) -> Any:
        """Call back at a date, or a time of the monotonic clock in seconds; return the entry."""
        return self.timer.call_at(when, callback, args)

    def call_repeatedly(self, delay: float, callback: Callable[..., Any], *args: Any) -> Any:
        """Call back every `delay` seconds; return the entry."""
        return self.timer.call_repeatedly(delay, callback, args)

    def on_callback_error(self, callback: Any, exc: BaseException) -> None:
        """Log what a callback raised where nobody is there to be told."""
        logger.error('Callback %r raised exception: %r', callback, exc, exc_info=exc)

    def fire_timers(
        self,
        min_delay: float = 1,
        max_delay: float = 10,
        max_timers: int = 10,
        propagate: Any = (),
    ) -> float:
        """Call the timers that are due.

        Args:
            min_delay: seconds; what to return where nothing is scheduled.
            max_delay: seconds; the most to return.
            max_timers: how many to call at most.
            propagate: errors to raise; others go to the timer's `on_error`, or are logged.

        Returns:
            Seconds until the next is due; 0 where `max_timers` left some, perhaps.
        """
        scheduler = self.scheduler
        for _ in range(max_timers):
            self._earlier = False
            delay, entry = next(scheduler)
            if entry is None:
                delay = delay or min_delay
                return delay if delay < max_delay else max_delay
            try:
                entry()
            except propagate:
                raise
            except (MemoryError, AssertionError):
                raise
            except Exception as exc:
                if getattr(exc, 'errno', None) == errno.ENOMEM:
                    raise
                if not self.timer.handle_error(exc):
                    logger.error('Error in timer: %r', exc, exc_info=True)
        return 0

    def _wake(self) -> None:
        # Once is enough: the wait that it ends comes before any other.
        self._waiting = False
        waker = self._waker
        if waker is not None:
            waker.wake()

    def _on_earliest(self) -> None:
        self._earlier = True
        if self._waiting:
            self._wake()

    def _pop_ready(self) -> _Ready:
        """Take what is to be called in the next cycle: a set, whose `pop()` gives the oldest."""
        taken, ready = _Ready(), self._ready
        while ready:
            taken.add(ready.pop())
        return taken

    # -- showing

    def repr_active(self) -> str:
        """Show what is called for which descriptor."""
        return debug.repr_active(self)

    def repr_events(self, events: Iterable[tuple[int, int]]) -> str:
        """Show what is called for events that the poller returned."""
        return debug.repr_events(self, list(events))

    def __repr__(self) -> str:
        return f'<Hub@{id(self):#x}: R:{len(self.readers)} W:{len(self.writers)}>'
