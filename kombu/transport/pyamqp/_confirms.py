"""Publisher confirms, matched by sequence number
(https://www.rabbitmq.com/docs/confirms#publisher-confirms).

From confirm.select on, both sides count what is published on the channel.  The broker's answers
name the numbers, one by one or all up to one, in any order.  A message is confirmed by its own
number and by nothing else.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

__all__ = ('Confirms', 'Outstanding')


class Outstanding:
    """One message the broker has not answered for.

    Attributes:
        ready: the broker has answered, or never will.
        refused: the answer was a nack.
        returned: makes the error of a message that came back unroutable.
        error: makes the error that ended the channel.
    """

    __slots__ = (
        'error',
        'event',
        'exchange',
        'mandatory',
        'ready',
        'refused',
        'returned',
        'routing_key',
    )

    def __init__(self, exchange: str, routing_key: str, *, mandatory: bool) -> None:
        self.exchange = exchange
        self.routing_key = routing_key
        self.mandatory = mandatory
        self.ready = False
        self.refused = False
        self.event: threading.Event | None = None
        self.returned: Callable[[], BaseException] | None = None
        self.error: Callable[[], BaseException] | None = None


class Confirms:
    """What has been published on one channel since confirm.select and is not answered for."""

    __slots__ = ('_last', '_lock', '_outstanding')

    def __init__(self) -> None:
        #: Publishing threads and the reading one meet here.
        self._lock = threading.Lock()
        self._last = 0
        #: In the order of their numbers.
        self._outstanding: dict[int, Outstanding] = {}

    def __len__(self) -> int:
        return len(self._outstanding)

    def published(self, entry: Outstanding) -> int:
        """Count a message that is about to be written; return its number."""
        with self._lock:
            self._last += 1
            self._outstanding[self._last] = entry
            return self._last

    def unpublished(self, number: int) -> None:
        """Take back the number that was given last: nothing of the message was written."""
        with self._lock:
            del self._outstanding[number]
            self._last -= 1

    def settle(self, number: int, *, multiple: bool, refused: bool) -> list[Outstanding]:
        """Take an answer of the broker.

        Args:
            number: the message answered for.
            multiple: so are all before it; 0 stands for all there are.
            refused: it was a nack.

        Returns:
            The messages settled by it, which are `ready` now.  A number that is not outstanding
            settles nothing.
        """
        settled = []
        with self._lock:
            for n in self._up_to(number) if multiple else (number,):
                entry = self._outstanding.pop(n, None)
                if entry is not None:
                    entry.refused = refused
                    entry.ready = True
                    settled.append(entry)
        return settled

    def _up_to(self, number: int) -> list[int]:
        numbers = []
        for n in self._outstanding:
            if number and n > number:
                break
            numbers.append(n)
        return numbers

    def returned(self, exchange: str, routing_key: str, error: Callable[[], BaseException]) -> bool:
        """Note that a message came back unroutable; its confirm follows.

        basic.return does not tell the number: it is the oldest mandatory one with this exchange and
        routing key.

        Returns:
            Whether there is such a message.
        """
        with self._lock:
            for entry in self._outstanding.values():
                if (
                    entry.mandatory
                    and entry.returned is None
                    and entry.routing_key == routing_key
                    and entry.exchange == exchange
                ):
                    entry.returned = error
                    return True
        return False

    def abandon(self, error: Callable[[], BaseException]) -> list[Outstanding]:
        """Give up on everything outstanding, because the channel has ended; return it."""
        with self._lock:
            entries = list(self._outstanding.values())
            self._outstanding.clear()
        for entry in entries:
            entry.error = error
            entry.ready = True
        return entries
