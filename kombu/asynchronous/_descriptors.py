"""What a hub waits for: descriptors, who is called for them, and the poller that is told."""

from __future__ import annotations

from typing import Any, TypeAlias

from kombu.utils.compat import fileno
from kombu.utils.eventio import ERR, READ, WRITE, Poller, Waker, poll

__all__ = ('Descriptors', 'Handler')

#: What a descriptor was added with; None for one that is consolidated.
Handler: TypeAlias = 'tuple[Any, tuple[Any, ...]] | None'


class Descriptors:
    """The tables of a hub, and its poller."""

    def __init__(self) -> None:
        #: Descriptor to what is called when it is readable: `(callback, args)`.  The callback may
        #: be a generator, which is resumed instead.
        self.readers: dict[int, Handler] = {}
        #: The same for writable.
        self.writers: dict[int, Handler] = {}
        #: Descriptors that were added with `consolidate=True`.
        self.consolidate: set[int] = set()
        self._poller: Poller | None = None
        # Ends the wait of a poller that we made; one that was assigned has none.
        self._waker: Waker | None = None

    @property
    def poller(self) -> Poller:
        """What waits for the descriptors, made when first asked for."""
        return self._make_poller() if self._poller is None else self._poller

    @poller.setter
    def poller(self, poller: Poller) -> None:
        self._drop_poller()
        self._poller = poller

    def _make_poller(self) -> Poller:
        waker, poller = Waker(), poll()
        poller.register(waker.fd, READ)
        self._waker, self._poller = waker, poller
        return poller

    def _drop_poller(self) -> None:
        poller, self._poller = self._poller, None
        waker, self._waker = self._waker, None
        if poller is not None:
            poller.close()
        if waker is not None:
            waker.close()

    def add(
        self,
        fd: Any,
        callback: Any,
        flags: int,
        args: tuple[Any, ...] = (),
        consolidate: bool = False,
    ) -> None:
        """Call back whenever a descriptor is ready, instead of what was called for it before.

        Args:
            fd: a descriptor, or something that has a `fileno()`.
            callback: a function; or a generator, which is resumed and, when it ends, forgotten.
            flags: `READ` and `WRITE`, or one of them; without `READ` it is a writer.
            args: arguments for the function.
            consolidate: give the descriptor to `consolidate_callback`, along with others, instead.

        Raises:
            OSError: there is no such descriptor, or it cannot be waited for.
            ValueError: it is not open.
        """
        fd = fileno(fd)
        readers, writers = self.readers, self.writers
        reading, writing = flags & READ, flags & WRITE or not flags & READ
        if not reading and fd in readers:
            flags |= READ | ERR
        if not writing and fd in writers:
            flags |= WRITE | ERR
        try:
            self.poller.register(fd, flags)
        except (OSError, ValueError):
            self.remove(fd)
            raise
        handler = None if consolidate else (callback, args)
        if consolidate:
            self.consolidate.add(fd)
        if reading:
            readers[fd] = handler
        if writing:
            writers[fd] = handler

    def add_reader(self, fds: Any, callback: Any, *args: Any) -> None:
        """Call back whenever a descriptor is readable or broken (see `add`)."""
        self.add(fds, callback, READ | ERR, args)

    def add_writer(self, fds: Any, callback: Any, *args: Any) -> None:
        """Call back whenever a descriptor is writable (see `add`)."""
        self.add(fds, callback, WRITE, args)

    def remove(self, fd: Any) -> None:
        """Forget a descriptor, if it is known."""
        fd = fileno(fd)
        known = fd in self.readers or fd in self.writers
        self.readers.pop(fd, None)
        self.writers.pop(fd, None)
        if known:
            self._sync(fd)

    def remove_reader(self, fd: Any) -> None:
        """Do not wait for a descriptor to be readable any more."""
        fd = fileno(fd)
        if fd in self.readers:
            del self.readers[fd]
            self._sync(fd)

    def remove_writer(self, fd: Any) -> None:
        """Do not wait for a descriptor to be writable any more."""
        fd = fileno(fd)
        if fd in self.writers:
            del self.writers[fd]
            self.consolidate.discard(fd)
            self._sync(fd)

    def _sync(self, fd: int) -> None:
        """Tell the poller what is still wanted of a descriptor."""
        wanted = READ | ERR if fd in self.readers else 0
        if fd in self.writers:
            wanted |= WRITE | ERR
        if wanted:
            try:
                self.poller.register(fd, wanted)
            except (OSError, ValueError):
                self.remove(fd)
        else:
            self.consolidate.discard(fd)
            if self._poller is not None:
                self._poller.unregister(fd)

    def _forget(self) -> None:
        """Forget all descriptors and drop the poller."""
        self.readers.clear()
        self.writers.clear()
        self.consolidate.clear()
        # Dropped rather than emptied: after a fork, the list in the kernel is the parent's too.
        self._drop_poller()
