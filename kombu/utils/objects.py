"""Descriptors."""

from __future__ import annotations

import functools
from collections.abc import Callable
from threading import Lock, RLock
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast, overload

if TYPE_CHECKING:
    from typing_extensions import Self

__all__ = ('cached_property',)

T = TypeVar('T')
_MISSING: Any = object()


class _Computation:
    """The lock of one attribute of one instance, alive while somebody computes it."""

    __slots__ = ('lock', 'users')

    def __init__(self) -> None:
        self.lock = RLock()
        self.users = 0


class cached_property(functools.cached_property[T], Generic[T]):
    """An attribute computed on first use, that can also be set and deleted.

    Threads that ask at the same time get the same object, computed once; computing an attribute of
    one instance never waits for another instance.

    Args:
        fget: computes the value from the instance.
        fset: called with the instance and an assigned value; what it *returns* is what is stored.
        fdel: called with the instance and the stored value when the attribute is deleted.

    Example:
        ::

            @cached_property
            def connection(self):
                return Connection()

            @connection.setter
            def connection(self, value):
                return connect(value) if isinstance(value, str) else value

            @connection.deleter
            def connection(self, value):
                value.close()
    """

    attrname: str | None

    def __init__(
        self,
        fget: Callable[[Any], T] | None = None,
        fset: Callable[[Any, Any], Any] | None = None,
        fdel: Callable[[Any, T], Any] | None = None,
    ) -> None:
        super().__init__(cast('Callable[[Any], T]', fget))
        self._fset = fset
        self._fdel = fdel
        self._guard = Lock()
        self._computing: dict[int, _Computation] = {}

    @overload
    def __get__(self, instance: None, owner: type[Any] | None = None) -> Self: ...
    @overload
    def __get__(self, instance: object, owner: type[Any] | None = None) -> T: ...
    def __get__(self, instance: Any, owner: type[Any] | None = None) -> Any:
        if instance is None:
            return self
        try:
            return instance.__dict__[self.attrname]
        except KeyError:
            return self._compute(instance)

    def __set__(self, instance: Any, value: Any) -> None:
        if self._fset is not None:
            value = self._fset(instance, value)
        instance.__dict__[self._name()] = value

    def __delete__(self, instance: Any) -> None:
        value = instance.__dict__.pop(self._name(), _MISSING)
        if self._fdel is not None and value is not _MISSING:
            self._fdel(instance, value)

    def setter(self, fset: Callable[[Any, Any], Any] | None) -> cached_property[T]:
        """Return a copy with another setter; for use as a decorator."""
        return type(self)(self.func, fset, self._fdel)

    def deleter(self, fdel: Callable[[Any, T], Any] | None) -> cached_property[T]:
        """Return a copy with another deleter; for use as a decorator."""
        return type(self)(self.func, self._fset, fdel)

    def _name(self) -> str:
        # A descriptor put on a class after its creation was never told its name.
        if self.attrname is None:
            self.attrname = self.func.__name__
        return self.attrname

    def _compute(self, instance: Any) -> T:
        name = self._name()
        key = id(instance)
        with self._guard:
            mine = self._computing.setdefault(key, _Computation())
            mine.users += 1
        try:
            with mine.lock:
                value = instance.__dict__.get(name, _MISSING)
                if value is _MISSING:
                    value = instance.__dict__[name] = self.func(instance)
                return cast('T', value)
        finally:
            with self._guard:
                mine.users -= 1
                if not mine.users:
                    del self._computing[key]
