"""What was declared already, so that it need not be declared again.

A connection keeps the keys of its declarations in its set `declared_entities`, which it empties
when it connects anew.  A key holds the *whole* declaration, so that the same name with other
attributes is declared again.  It begins with the kind and the name of the entity.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ('declared_entities', 'forget', 'frozen')


def frozen(value: Any) -> Any:
    """Return a hashable value that is equal for equal arguments."""
    if value is None or isinstance(value, (str, int, float, bytes)):
        return value
    if isinstance(value, Mapping):
        return frozenset((key, frozen(item)) for key, item in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(frozen(item) for item in value)
    try:
        hash(value)
    except TypeError:
        return repr(value)
    return value


def declared_entities(channel: Any) -> Any:
    """Return the set of the connection that `channel` belongs to; None where there is none."""
    connection = getattr(channel, 'connection', None)
    return getattr(getattr(connection, 'client', None), 'declared_entities', None)


def forget(channel: Any, kind: str, name: str) -> None:
    """Forget the declarations of an entity that is about to be deleted.

    Args:
        channel: a channel of the connection that may have declared it.
        kind: 'queue' or 'exchange'.
        name: its name.
    """
    declared = declared_entities(channel)
    if declared:
        for key in tuple(declared):
            if isinstance(key, tuple) and key[:2] == (kind, name):
                declared.discard(key)
