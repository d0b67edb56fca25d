"""Logical clocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from operator import itemgetter
from threading import Lock as _Lock
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ('LamportClock', 'timetuple')

#: How a `timetuple` is shown.
R_CLOCK = '_lamport(clock={0}, timestamp={1}, id={2} {3!r})'


class timetuple(tuple[Any, ...]):
    """An event that can be sorted by when it happened, across machines.

    Events are ordered by logical clock, then by id; where one of them has no clock, by timestamp.

    Args:
        clock: value of the sender's logical clock; 0 or None where it has none.
        timestamp: seconds of the sender's wall clock.
        id: the sender.
        obj: the event; it has no part in the order.
    """

    __slots__ = ()

    def __new__(cls, clock: int | None, timestamp: float, id: str, obj: Any = None) -> Self:
        return super().__new__(cls, (clock, timestamp, id, obj))

    clock = property(itemgetter(0))
    timestamp = property(itemgetter(1))
    id = property(itemgetter(2))
    obj = property(itemgetter(3))

    def __lt__(self, other: Any) -> bool:
        place = self._decisive(other)
        return bool(self[place] < other[place])

    def __gt__(self, other: Any) -> bool:
        place = self._decisive(other)
        return bool(self[place] > other[place])

    def __le__(self, other: Any) -> bool:
        return not self > other

    def __ge__(self, other: Any) -> bool:
        return not self < other

    def _decisive(self, other: Any) -> int:
        """Return the place of the item that decides the order."""
        mine, theirs = self[0], other[0]
        if mine and theirs:
            return 2 if mine == theirs else 0
        return 1

    def __getnewargs__(self) -> tuple[Any, ...]:
        return tuple(self)

    def __repr__(self) -> str:
        return R_CLOCK.format(*self)


class LamportClock:
    """A clock that counts events (L. Lamport, *Time, clocks, and the ordering of events*, 1978).

    `forward()` before sending, sending the value along; `adjust()` with the value that came along
    when receiving.

    Args:
        initial_value: where to begin.
        Lock: makes the lock that protects the value.
    """

    #: The time.
    value = 0

    def __init__(
        self, initial_value: int = 0, Lock: Callable[[], AbstractContextManager[Any]] = _Lock
    ) -> None:
        self.value = initial_value
        self.mutex = Lock()

    def adjust(self, other: int) -> int:
        """Go past the clock of an event that was received, and return the new time."""
        with self.mutex:
            value = self.value = max(self.value, other) + 1
            return value

    def forward(self) -> int:
        """Go one on, and return the new time."""
        with self.mutex:
            self.value += 1
            return self.value

    def sort_heap(self, h: Iterable[tuple[Any, ...]]) -> tuple[Any, ...]:
        """Return the first of several events.

        Args:
            h: at least one tuple that begins with the clock and the sender; of equal clocks, the
                lower sender comes first.
        """
        return min(h, key=itemgetter(0, 1))

    def __str__(self) -> str:
        return str(self.value)

    def __repr__(self) -> str:
        return f'<LamportClock: {self.value}>'
