"""Units of time."""

from __future__ import annotations

__all__ = ('maybe_s_to_ms',)


def maybe_s_to_ms(v: float | str | None) -> int | None:
    """Convert seconds to the whole milliseconds that AMQP arguments want.

    Args:
        v: seconds, or None.

    Returns:
        milliseconds, cut rather than rounded; None for None.
    """
    return None if v is None else int(float(v) * 1000.0)
