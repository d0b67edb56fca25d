"""Reading entry points; apart from the rest, because `importlib.metadata` is slow to import."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint, entry_points
from typing import Any

__all__ = ('entrypoints',)


def entrypoints(namespace: str) -> Iterator[tuple[EntryPoint, Any]]:
    """Yield `(entry point, loaded object)` for what installed distributions offer.

    Args:
        namespace: the group, e.g. `'kombu.serializers'`.
    """
    for found in entry_points(group=namespace):
        yield found, found.load()
