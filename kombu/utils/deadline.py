"""One time limit, passed down through everything a call does."""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic

from kombu.exceptions import TimeoutError

__all__ = ('Deadline',)


@dataclass(frozen=True, slots=True)
class Deadline:
    """A point on the monotonic clock, or none.

    Args:
        at: seconds of `time.monotonic()`; None means unbounded.
    """

    at: float | None = None

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """Make the deadline that ends in so many seconds; None is unbounded."""
        return _NEVER if seconds is None else cls(monotonic() + seconds)

    def remaining(self) -> float | None:
        """Return the seconds left, never negative; None when unbounded."""
        if self.at is None:
            return None
        left = self.at - monotonic()
        return left if left > 0.0 else 0.0

    @property
    def expired(self) -> bool:
        """Whether the time is over."""
        return self.at is not None and monotonic() >= self.at

    def bound(self, seconds: float | None) -> float | None:
        """Return the smaller of `seconds` and the time left; None only when both are unbounded."""
        if self.at is None:
            return seconds
        left = self.remaining()
        return left if seconds is None or left is None or left < seconds else seconds

    def check(self, what: str) -> None:
        """Raise when the time is over.

        Args:
            what: what was being done, for the text of the error, e.g. `'waiting for a reply'`.

        Raises:
            kombu.exceptions.TimeoutError: the deadline has passed.
        """
        if self.expired:
            raise TimeoutError(f'timed out while {what}')

    def __repr__(self) -> str:
        left = self.remaining()
        return '<Deadline: none>' if left is None else f'<Deadline: {left:.3f}s left>'


_NEVER = Deadline()
