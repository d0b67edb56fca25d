"""One socket, many threads: who reads, and how the others get what was read for them.

Whoever waits for something, an answer or an event, tries to take the *turn*.  The thread that gets
it reads the socket until it has what it waits for, files what arrives for others on the way, and
wakes them.  A thread that does not get the turn sleeps until it is woken, because what it waits for
has come or because the turn is free.  With a single thread this costs one uncontended lock a wait.

While it has the turn a thread runs no code of the application: no callback is called, nothing is
waited for but the socket.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from time import monotonic
from typing import Any, Protocol

from amqp.exceptions import AMQPError

from kombu.exceptions import ConcurrentUseError

from ._frames import FrameParser, Method
from ._wire import Wire, remaining

__all__ = ('Reader', 'Target', 'raised_again')


class Target(Protocol):
    """What a thread waits for."""

    #: Set by the waiting thread while it sleeps; `ready` having become true, it has to be woken.
    event: threading.Event | None

    @property
    def ready(self) -> bool:
        """Whether the wait is over."""
        raise NotImplementedError


def raised_again(failure: BaseException) -> BaseException:
    """Return an error equal to `failure` for another thread to raise."""
    again: BaseException
    if isinstance(failure, AMQPError):
        again = type(failure)(
            failure.reply_text, failure.method_sig, failure.method_name, failure.reply_code
        )
    else:
        again = type(failure)(*failure.args)
    again.__cause__ = failure
    return again


class Reader:
    """Reads for all threads of a connection, one at a time.

    Args:
        wire: where to read.
        dispatch: called with each method that arrives; files it and returns at once.
        tend: called before waiting; looks after the heartbeats and returns when (`monotonic`) to
            call it again.
        fail: called once with the error that makes the connection useless.
    """

    def __init__(
        self,
        wire: Wire,
        dispatch: Callable[[Method], None],
        tend: Callable[[], float | None],
        fail: Callable[[BaseException], None],
    ) -> None:
        self.wire = wire
        self.parser = FrameParser()
        #: Time of `monotonic` at which something arrived last.
        self.heard = monotonic()
        #: Why nothing will ever arrive any more.
        self.failure: BaseException | None = None
        #: Held while what arrived is filed; what is filed may close a channel, which takes it, too.
        self.filing = threading.RLock()
        #: Callbacks of the application that are about the connection; the thread that reads runs
        #: them, without the turn.
        self.due: deque[Callable[[], Any]] = deque()
        self._dispatch = dispatch
        self._tend = tend
        self._fail = fail
        self._turn = threading.Lock()
        self._turn_of: int | None = None
        self._sleepers: list[threading.Event] = []
        #: True from before the socket is read until what it gave is filed.
        self._midway = False

    def wait(self, target: Target, limit: float | None) -> bool:
        """Wait until `target` is ready.

        Args:
            target: what to wait for.
            limit: time of `monotonic` to give up at.

        Returns:
            Whether it is ready.

        Raises:
            ConcurrentUseError: called from code that interrupted a wait of the same thread, as a
                signal handler does.
            Exception: the error that ended the connection.
        """
        while not target.ready:
            if self.failure is not None:
                raise raised_again(self.failure)
            if self._turn.acquire(blocking=False):
                self._read_until(target, limit)
            elif self._turn_of == threading.get_ident():
                raise ConcurrentUseError(
                    'the connection is in use by the code that was interrupted; '
                    'use another connection in signal handlers'
                )
            else:
                self._sleep(target, limit)
            if limit is not None and monotonic() >= limit:
                return target.ready
        return True

    def poll(self) -> None:
        """Read once, without waiting, unless another thread is at it."""
        if self.failure is None and self._turn.acquire(blocking=False):
            self._read_until(None, 0.0)

    def wake_all(self) -> None:
        """Let every thread look again at what it waits for."""
        for event in list(self._sleepers):
            event.set()

    def _read_until(self, target: Target | None, limit: float | None) -> None:
        """Read until `target` is ready (once, if None), the time is up, or a callback is due.

        The caller has taken the turn; this gives it back.
        """
        try:
            self._turn_of = threading.get_ident()
            while self._read(limit) and target is not None:
                if target.ready or self.due:
                    break
        except BaseException as exc:
            gone = self.failure
            if self._midway or isinstance(exc, Exception):
                self._midway = False
                self._fail(exc)
            if gone is not None and isinstance(exc, Exception):
                raise raised_again(gone) from exc
            raise
        finally:
            self._turn_of = None
            self._turn.release()
            self._pass_on()
        while self.due:
            try:
                callback = self.due.popleft()
            except IndexError:
                break
            callback()

    def _read(self, limit: float | None) -> bool:
        """Read once; False when nothing came before the time was up."""
        wire = self.wire
        self._midway = True
        data = wire.receive()
        while data is None:
            self._midway = False
            if limit is not None and monotonic() >= limit:
                return False
            due = self._tend()
            wire.wait_readable(
                remaining(limit if due is None else due if limit is None else min(due, limit))
            )
            self._midway = True
            data = wire.receive()
        self.heard = monotonic()
        with self.filing:
            for method in self.parser.feed(data):
                self._dispatch(method)
        self._midway = False
        return True

    def _sleep(self, target: Target, limit: float | None) -> None:
        """Sleep until woken, unless there is reason not to."""
        event = target.event = threading.Event()
        # Whoever gives the turn back looks at the sleepers afterwards: either it sees this one, or
        # this one sees the turn free.
        self._sleepers.append(event)
        try:
            if self._turn.locked() and not target.ready and self.failure is None:
                event.wait(remaining(limit))
        finally:
            target.event = None
            self._sleepers.remove(event)
            if not self._turn.locked():
                self._pass_on()

    def _pass_on(self) -> None:
        """Wake a sleeper to take the turn that has become free."""
        try:
            self._sleepers[0].set()
        except IndexError:
            pass


def wake(target: Any) -> None:
    """Wake the thread that waits for `target`, which has become ready."""
    event = target.event
    if event is not None:
        event.set()
