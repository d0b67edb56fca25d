"""Limiting the rate of something."""

from __future__ import annotations

from collections import deque
from time import monotonic
from typing import Any

__all__ = ('TokenBucket',)


class TokenBucket:
    """A bucket that fills with tokens at a steady rate, and from which each event takes some.

    The bucket also has a queue, `contents`, for what waits for its tokens.

    Args:
        fill_rate: tokens a second.
        capacity: the most tokens the bucket holds, which is the longest burst.
    """

    #: Tokens a second.
    fill_rate: float | None = None
    #: The most tokens.
    capacity: float = 1
    #: Seconds of the monotonic clock when the tokens were last counted.
    timestamp: float | None = None

    def __init__(self, fill_rate: float, capacity: float = 1) -> None:
        self.capacity = float(capacity)
        self.fill_rate = float(fill_rate)
        self._tokens = self.capacity
        self.timestamp = monotonic()
        self.contents: deque[Any] = deque()

    def add(self, item: Any) -> None:
        """Put something at the end of the queue."""
        self.contents.append(item)

    def pop(self) -> Any:
        """Take the first item of the queue.

        Raises:
            IndexError: the queue is empty.
        """
        return self.contents.popleft()

    def clear_pending(self) -> None:
        """Empty the queue."""
        self.contents.clear()

    def can_consume(self, tokens: float = 1) -> bool:
        """Take tokens if there are enough of them, and say whether there were."""
        if tokens <= self._get_tokens():
            self._tokens -= tokens
            return True
        return False

    def expected_time(self, tokens: float = 1) -> float:
        """Return the seconds until there are so many tokens: 0 if there are, infinite at rate 0."""
        missing = tokens - self._get_tokens()
        if missing <= 0.0:
            return 0.0
        return missing / self.fill_rate if self.fill_rate else float('inf')

    def _get_tokens(self) -> float:
        now = monotonic()
        if self._tokens < self.capacity:
            gained = (self.fill_rate or 0.0) * (now - (self.timestamp or now))
            self._tokens = min(self.capacity, self._tokens + gained)
        # Also when the bucket is full: time spent idle must not count for tokens taken later.
        self.timestamp = now
        return self._tokens

    def __repr__(self) -> str:
        rate, capacity = self.fill_rate, self.capacity
        return f'<TokenBucket: {rate:g}/s, at most {capacity:g}, {len(self.contents)} waiting>'
