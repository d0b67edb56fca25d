"""Showing what an event loop is busy with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from kombu.utils.eventio import ERR, READ, WRITE
from kombu.utils.functional import reprcall

__all__ = (
    'callback_for',
    'repr_active',
    'repr_events',
    'repr_flag',
    'repr_readers',
    'repr_writers',
)


def repr_flag(flag: int) -> str:
    """Show poll flags as letters: `R`, `W`, and `!` for errors."""
    return ''.join(
        letter for bits, letter in ((READ, 'R'), (WRITE, 'W'), (ERR, '!')) if flag & bits
    )


def _repr_handler(handler: Any) -> str:
    if handler is None:
        return '<missing>'
    if isinstance(handler, str):
        return handler
    callback, args = handler
    return reprcall(getattr(callback, '__name__', None) or repr(callback), args)


def repr_active(h: Any) -> str:
    """Show what a hub calls for which descriptor."""
    return ', '.join(repr_readers(h) + repr_writers(h))


def repr_events(h: Any, events: Iterable[tuple[int, int]] | None) -> str:
    """Show what a hub calls for the events that its poller returned."""
    return ', '.join(
        f'{_repr_handler(callback_for(h, fd, flag, "(GONE)"))}({fd})->{repr_flag(flag)}'
        for fd, flag in events or ()
    )


def repr_readers(h: Any) -> list[str]:
    """Show what a hub calls for readable descriptors."""
    return _repr_table(h.readers, READ | ERR)


def repr_writers(h: Any) -> list[str]:
    """Show what a hub calls for writable descriptors."""
    return _repr_table(h.writers, WRITE)


def _repr_table(table: dict[int, Any], flag: int) -> list[str]:
    return [
        f'({fd}){_repr_handler(handler)}->{repr_flag(flag)}' for fd, handler in list(table.items())
    ]


def callback_for(h: Any, fd: int, flag: int, *default: Any) -> Any:
    """Return what a hub calls for an event: `(callback, args)`.

    Args:
        h: the hub.
        fd: the descriptor.
        flag: what happened to it.  Where it is both readable and writable, this is the reader; the
            writer comes next.
        default: returned where nothing is registered, instead of raising.

    Returns:
        None for a flag that stands for no event, and for a descriptor that is consolidated.

    Raises:
        KeyError: nothing is registered.
    """
    if flag & READ:
        table = h.readers
    elif flag & WRITE:
        table = h.writers
    elif flag & ERR:
        table = h.readers if fd in h.readers else h.writers
    else:
        return None
    return table.get(fd, *default) if default else table[fd]
