"""A prefetch count that changes while consuming."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from kombu.log import get_logger

__all__ = ('PREFETCH_COUNT_MAX', 'QoS')

logger = get_logger('kombu.common')

#: The largest prefetch count there is (AMQP 0-9-1, basic.qos: a short); more means no limit.
PREFETCH_COUNT_MAX = 0xFFFF


class QoS:
    """A prefetch count that threads may change, and the consuming thread tells the broker.

    Args:
        callback: tells the broker, e.g. `consumer.qos`: called with `prefetch_count`.
        initial_value: the prefetch count to begin with; 0 is no limit.
        max_prefetch: increments stop there.

    Attributes:
        value: the prefetch count wanted.  0 stays 0: what has no limit is not limited by counting.
        prev: the one that the broker was told last.
    """

    prev: int | None = None

    def __init__(
        self,
        callback: Callable[..., Any],
        initial_value: int | None,
        max_prefetch: int | None = None,
    ) -> None:
        self.callback = callback
        self._mutex: Any = threading.RLock()
        self.value = initial_value or 0
        self.max_prefetch = max_prefetch

    def increment_eventually(self, n: int = 1) -> int:
        """Raise the value, to be told by the next `update`; return it."""
        with self._mutex:
            if self.value:
                value = self.value + max(n, 0)
                limit = self.max_prefetch
                self.value = value if limit is None else min(value, limit)
            return self.value

    def decrement_eventually(self, n: int = 1) -> int:
        """Lower the value, to not less than 1, to be told by the next `update`; return it."""
        with self._mutex:
            if self.value:
                self.value = max(self.value - n, 1)
            return self.value

    def set(self, pcount: int) -> int:
        """Tell the broker a prefetch count, unless it knows; `value` stays as it is."""
        if pcount != self.prev:
            told = pcount
            if pcount > PREFETCH_COUNT_MAX:
                logger.warning(
                    'prefetch count %s is more than %s: there is no limit now',
                    pcount,
                    PREFETCH_COUNT_MAX,
                )
                told = 0
            self.callback(prefetch_count=told)
            self.prev = pcount
        return pcount

    def update(self) -> int:
        """Tell the broker `value`, unless it knows."""
        with self._mutex:
            return self.set(self.value)

    def __repr__(self) -> str:
        return f'<{type(self).__name__}: {self.value}, told {self.prev}>'
