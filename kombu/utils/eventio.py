"""Waiting for descriptors: one interface over epoll, kqueue, poll and select.

All pollers obey the same rules:

* `register(fd, events)` says what is wanted of a descriptor *from now on*; registering it again
  replaces what was wanted.
* `unregister(fd)` never fails: a descriptor that is gone is a descriptor that is no longer waited
  for.
* `poll(timeout)` waits for at most that many seconds (None: for ever) and returns `(fd, events)`
  pairs.  A signal whose handler returns does not end the wait.  A descriptor that was closed behind
  the poller's back is dropped rather than reported over and over.
* `close()` may be repeated; using a closed poller raises `ValueError`.

Flags have the values that Linux gives them, whatever the poller.
"""

from __future__ import annotations

import errno
import math
import os
import select
import socket
from typing import Any, Protocol, TypeAlias

from kombu.utils.compat import detect_environment, fileno

__all__ = ('poll',)

Events: TypeAlias = list[tuple[int, int]]

POLLIN = 0x001
POLLOUT = 0x004
POLLERR = 0x008
POLLHUP = 0x010
POLLNVAL = 0x020

#: What callers ask for and get.
READ = POLL_READ = POLLIN
WRITE = POLL_WRITE = POLLOUT
ERR = POLL_ERR = POLLERR | POLLHUP

KQ_FILTER_READ = -1
KQ_FILTER_WRITE = -2
KQ_FILTER_AIO = -3
KQ_FILTER_VNODE = -4
KQ_FILTER_PROC = -5
KQ_FILTER_SIGNAL = -6
KQ_FILTER_TIMER = -7

KQ_EV_ADD = 0x0001
KQ_EV_DELETE = 0x0002
KQ_EV_ENABLE = 0x0004
KQ_EV_CLEAR = 0x0020
KQ_EV_ERROR = 0x4000
KQ_EV_EOF = 0x8000

KQ_NOTE_LOWAT = 0x01
KQ_NOTE_DELETE = 0x01
KQ_NOTE_WRITE = 0x02
KQ_NOTE_EXTEND = 0x04
KQ_NOTE_ATTRIB = 0x08
KQ_NOTE_LINK = 0x10
KQ_NOTE_RENAME = 0x20
KQ_NOTE_REVOKE = 0x40

#: What the platform has; None where it does not have it.
epoll: Any = getattr(select, 'epoll', None)
kqueue: Any = getattr(select, 'kqueue', None)
kevent: Any = getattr(select, 'kevent', None)
xpoll: Any = getattr(select, 'poll', None)

#: Error numbers saying that a descriptor is not open.
SELECT_BAD_FD: set[int] = {errno.EBADF}
if hasattr(errno, 'WSAENOTSOCK'):
    SELECT_BAD_FD.add(errno.WSAENOTSOCK)

#: What a kernel answers when asked to forget what it does not know (any more).
_UNKNOWN_FD = SELECT_BAD_FD | {errno.ENOENT, errno.EPERM}


class Poller(Protocol):
    """What `poll` returns."""

    def register(self, fd: Any, events: int) -> int:
        """Wait for `events` (`READ`, `WRITE`, `ERR`) on a descriptor; return its number."""

    def unregister(self, fd: Any) -> None:
        """Wait for nothing on a descriptor any more."""

    def poll(self, timeout: float | None) -> Events:
        """Wait, at most `timeout` seconds."""

    def close(self) -> None:
        """Release what the kernel holds."""


class _epoll:
    """Linux: the kernel keeps the list, so a wait costs the same however long it is."""

    def __init__(self) -> None:
        self._epoll = epoll()
        self._wanted: dict[int, int] = {}
        self._strays: set[int] = set()
        #: The kernel's own method: it does all that `Poller.poll` asks for.
        self.poll = self._epoll.poll

    def register(self, fd: Any, events: int) -> int:
        number = fileno(fd)
        kernel = self._epoll
        # Both guesses can be wrong: a descriptor that was closed without telling us has left the
        # kernel's list, and its number may belong to another file by now.
        if number in self._wanted:
            try:
                kernel.modify(number, events)
            except FileNotFoundError:
                kernel.register(number, events)
        else:
            try:
                kernel.register(number, events)
            except FileExistsError:
                kernel.modify(number, events)
        self._wanted[number] = events
        return number

    def unregister(self, fd: Any) -> None:
        number = fileno(fd)
        wanted = self._wanted.pop(number, None)
        try:
            self._epoll.unregister(number)
        except OSError as exc:
            if exc.errno not in _UNKNOWN_FD:
                raise
            if wanted is None:
                # An event may have been under way when its descriptor was unregistered; but not
                # twice.
                if number in self._strays:
                    self._rebuild()
                else:
                    self._strays.add(number)
        except ValueError:
            # negative: the number of something that was closed already; or closed is what we are
            # ourselves
            pass

    def _rebuild(self) -> None:
        """Start over with a new list in the kernel.

        The list holds open *files*, not descriptors: where a child process inherited a file that we
        have closed, its events keep coming under a number that can no longer be unregistered
        (epoll(7), question 6).
        """
        self._strays.clear()
        fresh = epoll()
        try:
            for fd, events in list(self._wanted.items()):
                try:
                    fresh.register(fd, events)
                except OSError:
                    del self._wanted[fd]
            # Same descriptor, so `self.poll` and whoever bound it stay valid.
            os.dup2(fresh.fileno(), self._epoll.fileno(), inheritable=False)
        finally:
            fresh.close()

    def close(self) -> None:
        self._wanted.clear()
        self._epoll.close()


class _kqueue:
    """BSD and macOS."""

    _FILTERS = ((READ, KQ_FILTER_READ), (WRITE, KQ_FILTER_WRITE))

    def __init__(self) -> None:
        self._kqueue = kqueue()
        self._wanted: dict[int, int] = {}

    def register(self, fd: Any, events: int) -> int:
        number = fileno(fd)
        self._change(number, self._wanted.get(number, 0) & ~events, KQ_EV_DELETE)
        # Added again even if it was there: the number may belong to another file by now.
        self._change(number, events, KQ_EV_ADD)
        self._wanted[number] = events
        return number

    def unregister(self, fd: Any) -> None:
        number = fileno(fd)
        self._change(number, self._wanted.pop(number, 0), KQ_EV_DELETE)

    def _change(self, fd: int, events: int, action: int) -> None:
        for flag, kind in self._FILTERS:
            if events & flag:
                try:
                    self._kqueue.control([kevent(fd, kind, action)], 0)
                except OSError as exc:
                    if action != KQ_EV_DELETE or exc.errno not in _UNKNOWN_FD:
                        raise

    def poll(self, timeout: float | None) -> Events:
        if timeout is not None and timeout < 0:
            timeout = None
        found: dict[int, int] = {}
        for event in self._kqueue.control(None, max(len(self._wanted) * 2, 1), timeout):
            fd, flags = event.ident, event.flags
            if flags & KQ_EV_ERROR and event.data in SELECT_BAD_FD:
                self._wanted.pop(fd, None)
                continue
            mask = READ if event.filter == KQ_FILTER_READ else WRITE
            # An orderly end of the stream is something to read; only an error number makes it an
            # error.
            if flags & KQ_EV_ERROR or (flags & KQ_EV_EOF and event.fflags):
                mask |= ERR
            found[fd] = found.get(fd, 0) | mask
        return list(found.items())

    def close(self) -> None:
        self._wanted.clear()
        self._kqueue.close()


class _poll:
    """Other Unix systems."""

    def __init__(self) -> None:
        self._poller = xpoll()
        self._closed = False

    def register(self, fd: Any, events: int) -> int:
        self._check()
        number = fileno(fd)
        self._poller.register(number, events)
        return number

    def unregister(self, fd: Any) -> None:
        try:
            self._poller.unregister(fileno(fd))
        except (KeyError, ValueError):
            pass

    def poll(
        self,
        timeout: float | None,
        round: Any = math.ceil,
        POLLIN: int = POLLIN,
        POLLOUT: int = POLLOUT,
        POLLERR: int = ERR,
        READ: int = READ,
        WRITE: int = WRITE,
        ERR: int = ERR,
        Integral: type[int] = int,
    ) -> Events:
        # The constants are parameters, as in kombu 5.x, so that the loop finds them without looking
        # outside of the function.
        self._check()
        # Rounded up: waking before a timer is due would make the last millisecond a busy loop.
        found = self._poller.poll(None if timeout is None else round(timeout * 1000))
        events = []
        for fd, mask in found:
            if mask & POLLNVAL:
                self.unregister(fd)
                continue
            flags = READ if mask & POLLIN else 0
            if mask & POLLOUT:
                flags |= WRITE
            if mask & POLLERR:
                flags |= ERR
            events.append((fd if isinstance(fd, Integral) else fileno(fd), flags))
        return events

    def close(self) -> None:
        self._poller = xpoll()
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise ValueError('I/O operation on closed poll object')


class _select:
    """Windows, and the green worlds, which patch `select.select` to be theirs."""

    def __init__(self) -> None:
        self._readers: set[int] = set()
        self._writers: set[int] = set()
        self._closed = False

    def register(self, fd: Any, events: int) -> int:
        self._check()
        number = fileno(fd)
        if number < 0:
            raise ValueError(f'not a file descriptor: {number}')
        (self._readers.add if events & READ else self._readers.discard)(number)
        (self._writers.add if events & WRITE else self._writers.discard)(number)
        return number

    def unregister(self, fd: Any) -> None:
        number = fileno(fd)
        self._readers.discard(number)
        self._writers.discard(number)

    def poll(self, timeout: float | None) -> Events:
        self._check()
        if timeout is not None and timeout < 0:
            timeout = None
        readers, writers = self._readers, self._writers
        try:
            # Windows reports a failed connect as exceptional, not as writable.
            readable, writable, failed = select.select(readers, writers, writers, timeout)
        except OSError as exc:
            if exc.errno not in SELECT_BAD_FD:
                raise
            self._drop_bad()
            return []
        events = dict.fromkeys(readable, READ)
        for flag, fds in ((WRITE, writable), (ERR, failed)):
            for fd in fds:
                events[fd] = events.get(fd, 0) | flag
        return list(events.items())

    def _drop_bad(self) -> None:
        for fd in self._readers | self._writers:
            try:
                select.select([fd], [], [], 0)
            except OSError:
                self.unregister(fd)

    def close(self) -> None:
        self._readers.clear()
        self._writers.clear()
        self._closed = True

    def _check(self) -> None:
        if self._closed:
            raise ValueError('I/O operation on closed select object')


def poll() -> Poller:
    """Return the best poller of this platform, or the one that yields in a green world."""
    if detect_environment() == 'default':
        for available, kind in ((epoll, _epoll), (kqueue, _kqueue), (xpoll, _poll)):
            if available is not None:
                return kind()
    return _select()


class Waker:
    """A descriptor that any thread, or a signal handler, can make readable to end a wait."""

    def __init__(self) -> None:
        # A pair of sockets rather than a pipe, because Windows waits for nothing else.
        self._reader, self._writer = socket.socketpair()
        self._reader.setblocking(False)
        self._writer.setblocking(False)
        #: To be registered for `READ`.
        self.fd = self._reader.fileno()

    def wake(self) -> None:
        """Make `fd` readable; may be called when it is, and after `close()`."""
        try:
            self._writer.send(b'\0')
        except OSError:
            pass  # Full, so readable already; or closed, so nobody waits.

    def drain(self) -> None:
        """Make `fd` unreadable again."""
        try:
            while len(self._reader.recv(4096)) == 4096:
                pass
        except OSError:
            pass

    def close(self) -> None:
        """Release the descriptors."""
        self._reader.close()
        self._writer.close()

    def __del__(self) -> None:
        try:
            self.close()
        except AttributeError:
            pass  # There were no descriptors left to make it of.
