"""Mappings keyed by what an object is equal to."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

__all__ = ('EqualityDict', 'HashedSeq', 'eqhash')

_MISSING: Any = object()


class HashedSeq(list[Any]):
    """A list that is a key: its hash is computed once.

    Args:
        *seq: the items; all of them hashable, and the list is not changed any more.
    """

    __slots__ = ('hashvalue',)

    def __init__(self, *seq: Any) -> None:
        super().__init__(seq)
        self.hashvalue = hash(seq)

    def __hash__(self) -> int:  # type: ignore[override]  # a list that is never changed
        return self.hashvalue

    def __eqhash__(self) -> HashedSeq:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), tuple(self)


def eqhash(o: Any) -> Any:
    """Return what stands for `o` as a key: the result of its `__eqhash__`, or else its hash."""
    custom = getattr(o, '__eqhash__', None)
    return hash(o) if custom is None else custom()


def _key(o: Any) -> Any:
    # An object without `__eqhash__` is its own key: two objects may share a hash, -1 and -2 do.
    custom = getattr(o, '__eqhash__', None)
    return o if custom is None else custom()


class EqualityDict(dict[Any, Any]):
    """A dictionary in which an object with `__eqhash__` is found by the value of that method.

    Iterating gives the values of `__eqhash__`, not the objects.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.update(*args, **kwargs)

    def __getitem__(self, key: Any) -> Any:
        value = super().get(_key(key), _MISSING)
        if value is not _MISSING:
            return value
        # A subclass makes what is missing from the object, not from what stands for it.
        missing = getattr(type(self), '__missing__', None)
        if missing is None:
            raise KeyError(key)
        return missing(self, key)

    def __setitem__(self, key: Any, value: Any) -> None:
        super().__setitem__(_key(key), value)

    def __delitem__(self, key: Any) -> None:
        super().__delitem__(_key(key))

    def __contains__(self, key: Any) -> bool:
        return super().__contains__(_key(key))

    def get(self, key: Any, default: Any = None) -> Any:
        return super().get(_key(key), default)

    def pop(self, key: Any, *default: Any) -> Any:
        return super().pop(_key(key), *default)

    def setdefault(self, key: Any, default: Any = None) -> Any:
        return super().setdefault(_key(key), default)

    def update(self, *args: Any, **kwargs: Any) -> None:
        for key, value in _pairs(*args):
            self[key] = value
        super().update(kwargs)


def _pairs(items: Mapping[Any, Any] | Iterable[tuple[Any, Any]] = ()) -> Iterator[tuple[Any, Any]]:
    yield from items.items() if isinstance(items, Mapping) else items
