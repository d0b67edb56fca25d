"""Limiting how much happens at once, without threads and without waiting."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeAlias

from kombu.log import get_logger

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ('DummyLock', 'LaxBoundedSemaphore')

logger = get_logger(__name__)

_Call: TypeAlias = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]


class LaxBoundedSemaphore:
    """A semaphore that calls back instead of blocking, and tolerates being released too often.

    `acquire` calls the callback at once if there is room, else when others have released; first
    come, first served. A callback acquiring or releasing the same semaphore is fine, however long
    the chain: what follows from it is called when it has returned, never from within it.

    Not for threads: it belongs to the thread of its event loop.

    Args:
        value: how many may hold it at once.

    Example:
        ::

            slots = LaxBoundedSemaphore(2)
            slots.acquire(start, 'first')    # calls start('first')
            slots.acquire(start, 'second')   # calls start('second')
            slots.acquire(start, 'third')    # waits
            slots.release()                  # calls start('third')
    """

    def __init__(self, value: int) -> None:
        #: How many may hold it at once, after `grow` and `shrink`.
        self.initial_value = value
        #: How many more may hold it now.
        self.value = value
        # How many holders must go before one may come, where it shrank below those that hold it.
        self._excess = 0
        self._waiting: deque[_Call] = deque()
        self._due: deque[_Call] = deque()
        self._calling = False

    def acquire(
        self, callback: Callable[..., Any], *partial_args: Any, **partial_kwargs: Any
    ) -> bool:
        """Call back when there is room.

        Args:
            callback: called once; whoever is called is to see to it that `release` is called in the
            end.
            partial_args: its positional arguments.
            partial_kwargs: its keyword arguments.

        Returns:
            Whether there was room at once; False means that the callback waits.
        """
        if self.value <= 0:
            self._waiting.append((callback, partial_args, partial_kwargs))
            return False
        self.value -= 1
        self._call(callback, partial_args, partial_kwargs)
        return True

    def release(self) -> None:
        """Give back what `acquire` took: to the one waiting longest, if any."""
        if self._excess:
            self._excess -= 1
        elif self._waiting:
            self._call(*self._waiting.popleft())
        elif self.value < self.initial_value:
            self.value += 1

    def grow(self, n: int = 1) -> None:
        """Let `n` more hold it at once."""
        self.initial_value += n
        for _ in range(n):
            if self._excess:
                self._excess -= 1
            elif self._waiting:
                self._call(*self._waiting.popleft())
            else:
                self.value += 1

    def shrink(self, n: int = 1) -> None:
        """Let `n` fewer hold it at once; those that hold it keep it until they release it."""
        n = min(n, self.initial_value)
        self.initial_value -= n
        taken = min(n, self.value)
        self.value -= taken
        self._excess += n - taken

    def clear(self) -> None:
        """Forget who holds it and who waits."""
        self._waiting.clear()
        self._excess = 0
        self.value = self.initial_value

    def _call(
        self, callback: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        due = self._due
        due.append((callback, args, kwargs))
        if self._calling:
            return  # Some frame below is in the loop here and comes to it.
        self._calling = True
        failure: Exception | None = None
        try:
            while due:
                callback, args, kwargs = due.popleft()
                try:
                    callback(*args, **kwargs)
                except Exception as exc:
                    # The others hold their place already, so they must be called.
                    if failure is None:
                        failure = exc
                    else:
                        logger.error('Callback %r raised: %r', callback, exc, exc_info=True)
        finally:
            self._calling = False
        if failure is not None:
            raise failure

    def __repr__(self) -> str:
        return (
            f'<{type(self).__name__} at {id(self):#x} '
            f'value:{self.value} waiting:{len(self._waiting)}>'
        )


class DummyLock:
    """Stands in for a lock where nothing runs at the same time."""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        pass
