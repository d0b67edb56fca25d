"""Functional utilities: caches, lazy values, retrying, intervals."""

from __future__ import annotations

import inspect
import random
from collections import OrderedDict, UserDict
from collections.abc import Callable, Iterable, Iterator, KeysView, Mapping
from functools import wraps
from itertools import count
from threading import RLock
from time import sleep
from typing import Any, TypeVar

from kombu.utils.deadline import Deadline
from kombu.utils.encoding import safe_repr

__all__ = (
    'ChannelPromise',
    'LRUCache',
    'accepts_argument',
    'dictfilter',
    'fxrange',
    'fxrangemax',
    'is_list',
    'lazy',
    'maybe_evaluate',
    'maybe_list',
    'memoize',
    'reprcall',
    'reprkwargs',
    'retry_over_time',
    'shufflecycle',
)

T = TypeVar('T')
K = TypeVar('K')
V = TypeVar('V')

#: Separates the positional from the keyword arguments in the keys of `memoize`.
KEYWORD_MARK: object = object()


class ChannelPromise:
    """A channel that is opened when it is first asked for.

    Args:
        contract: opens it.
    """

    __value__: Any

    def __init__(self, contract: Callable[[], Any]) -> None:
        self.__contract__ = contract

    def __call__(self) -> Any:
        try:
            return self.__value__
        except AttributeError:
            value = self.__value__ = self.__contract__()
            return value

    def __repr__(self) -> str:
        try:
            return repr(self.__value__)
        except AttributeError:
            return f'<promise: {id(self.__contract__):#x}>'


class LRUCache(UserDict[K, V]):
    """A dictionary that forgets what was used longest ago; safe to share between threads.

    What is iterated is a copy, so that others may use the cache meanwhile.

    Args:
        limit: the most keys to keep; None or 0 keeps all.
    """

    data: OrderedDict[K, V]

    def __init__(self, limit: int | None = None) -> None:
        self.limit = limit
        self.mutex = RLock()
        self.data = OrderedDict()

    def __getitem__(self, key: K) -> V:
        with self.mutex:
            value = self.data[key]
            self.data.move_to_end(key)
            return value

    def __setitem__(self, key: K, value: V) -> None:
        with self.mutex:
            data = self.data
            if key in data:
                data.move_to_end(key)
            elif self.limit and len(data) >= self.limit:
                data.popitem(last=False)
            data[key] = value

    def __delitem__(self, key: K) -> None:
        with self.mutex:
            del self.data[key]

    def get(self, key: K, default: Any = None) -> Any:
        try:
            return self[key]
        except KeyError:
            return default

    def setdefault(self, key: K, default: Any = None) -> Any:
        with self.mutex:
            return super().setdefault(key, default)

    def pop(self, key: K, *default: Any) -> Any:
        with self.mutex:
            return self.data.pop(key, *default)

    def popitem(self, last: bool = True) -> tuple[K, V]:
        """Remove and return the pair used last, or with `last=False` the one used longest ago."""
        with self.mutex:
            return self.data.popitem(last)

    def update(self, *args: Any, **kwargs: Any) -> None:
        with self.mutex:
            super().update(*args, **kwargs)

    def clear(self) -> None:
        with self.mutex:
            self.data.clear()

    def incr(self, key: K, delta: int = 1) -> int:
        """Add to a counter in one step.

        The counter is kept as text, the way memcached does; it has to exist.

        Raises:
            KeyError: there is no such counter.
            ValueError: the value is not a number.
        """
        with self.mutex:
            value = int(self.data[key]) + delta  # type: ignore[call-overload]
            self[key] = str(value)  # type: ignore[assignment]
            return int(value)

    def _copy(self) -> OrderedDict[K, V]:
        with self.mutex:
            return self.data.copy()

    def __iter__(self) -> Iterator[K]:
        with self.mutex:
            return iter(list(self.data))

    def keys(self) -> KeysView[K]:
        return self._copy().keys()

    def values(self) -> list[V]:  # type: ignore[override]  # several times faster than a view
        with self.mutex:
            return list(self.data.values())

    def items(self) -> list[tuple[K, V]]:  # type: ignore[override]  # likewise
        with self.mutex:
            return list(self.data.items())

    iterkeys = keys
    itervalues = values
    iteritems = items

    def __getstate__(self) -> dict[str, Any]:
        return {'limit': self.limit, 'data': self._copy()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.data = OrderedDict(self.data)
        self.mutex = RLock()

    def __copy__(self) -> LRUCache[K, V]:
        copied = type(self)(self.limit)
        copied.data.update(self._copy())
        return copied

    copy = __copy__


def memoize(
    maxsize: int | None = None,
    keyfun: Callable[[tuple[Any, ...], dict[str, Any]], Any] | None = None,
    Cache: Callable[..., Any] = LRUCache,
) -> Callable[[Callable[..., T]], Callable[..., T]]:
    """Decorate a function to remember its results.

    The decorated function has the counters `hits` and `misses`, `clear()`, which forgets the
    results and resets the counters, and `original_func`.

    Args:
        maxsize: the most results to keep; None keeps all.
        keyfun: makes the key from `(args, kwargs)`; by default the key is made of all arguments.
        Cache: makes the cache, called with `limit=maxsize`.
    """

    def decorate(fun: Callable[..., T]) -> Callable[..., T]:
        cache = Cache(limit=maxsize)
        mutex = RLock()

        @wraps(fun)
        def remembering(*args: Any, **kwargs: Any) -> T:
            if keyfun is not None:
                key = keyfun(args, kwargs)
            elif kwargs:
                key = (*args, KEYWORD_MARK, *sorted(kwargs.items()))
            else:
                key = args
            try:
                with mutex:
                    value: T = cache[key]
                    remembering.hits += 1  # type: ignore[attr-defined]
            except KeyError:
                value = fun(*args, **kwargs)
                with mutex:
                    remembering.misses += 1  # type: ignore[attr-defined]
                    cache[key] = value
            return value

        def clear() -> None:
            with mutex:
                cache.clear()
                remembering.hits = remembering.misses = 0  # type: ignore[attr-defined]

        remembering.hits = remembering.misses = 0  # type: ignore[attr-defined]
        remembering.clear = clear  # type: ignore[attr-defined]
        remembering.original_func = fun  # type: ignore[attr-defined]
        return remembering

    return decorate


class lazy:
    """A value that is computed each time it is needed; compares and prints like the value.

    Args:
        fun: computes the value.
        *args: its arguments.
        **kwargs: its keyword arguments.
    """

    def __init__(self, fun: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self._fun = fun
        self._args = args
        self._kwargs = kwargs

    def __call__(self) -> Any:
        return self.evaluate()

    def evaluate(self) -> Any:
        """Compute the value; a subclass may remember it."""
        return self._fun(*self._args, **self._kwargs)

    def __str__(self) -> str:
        return str(self())

    def __repr__(self) -> str:
        return repr(self())

    def __eq__(self, rhs: object) -> bool:
        return bool(self() == rhs)

    def __ne__(self, rhs: object) -> bool:
        return bool(self() != rhs)

    __hash__ = None  # type: ignore[assignment]  # its value may change

    def __deepcopy__(self, memo: dict[int, Any]) -> lazy:
        memo[id(self)] = self
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._fun,), {'_args': self._args, '_kwargs': self._kwargs}


def maybe_evaluate(value: Any) -> Any:
    """Return the value of a `lazy`, and anything else as it is."""
    return value.evaluate() if isinstance(value, lazy) else value


#: The names that `lazy` and `maybe_evaluate` had first.
promise = lazy
maybe_promise = maybe_evaluate


def is_list(
    obj: Any,
    scalars: tuple[type, ...] | type = (str, Mapping),
    iters: tuple[type, ...] | type = (Iterable,),
) -> bool:
    """Say whether `obj` can be iterated and is not one of the `scalars`."""
    return not isinstance(obj, scalars or ()) and isinstance(obj, iters)


def maybe_list(obj: Any, scalars: tuple[type, ...] | type = (str, Mapping)) -> Any:
    """Return `obj` if it is None or a list (see `is_list`), else a list with just `obj`."""
    return obj if obj is None or is_list(obj, scalars) else [obj]


def dictfilter(d: Mapping[str, Any] | None = None, **kw: Any) -> dict[str, Any]:
    """Return a dictionary of what is not None.

    Args:
        d: the items, or None.
        **kw: more of them.
    """
    return {key: value for key, value in {**(d or {}), **kw}.items() if value is not None}


def shufflecycle(it: Iterable[T]) -> Iterator[T]:
    """Yield the items over and over, each round in another random order."""
    items = list(it)
    while items:
        random.shuffle(items)
        yield from items


def fxrange(
    start: float | None = 1.0,
    stop: float | None = None,
    step: float = 1.0,
    repeatlast: bool = False,
) -> Iterator[float]:
    """Yield `start`, `start + step`, ... up to and including `stop`.

    Args:
        start: the first number; None is 0.
        stop: the greatest number; None never stops.
        step: the difference between two numbers.
        repeatlast: yield the last number again and again, instead of stopping; that is `stop`
            where even `start` is greater.
    """
    first = float(start or 0.0)
    last = first if stop is None else min(first, float(stop))
    for index in count():
        number = first + index * step
        if stop is not None and number > stop:
            break
        last = number
        yield number
    while repeatlast:
        yield last


def fxrangemax(
    start: float | None = 1.0,
    stop: float | None = None,
    step: float = 1.0,
    max: float | None = 100.0,
) -> Iterator[float]:
    """Yield numbers like `fxrange`, repeating `stop`, for as long as their sum is at most `max`.

    Args:
        start: the first number; None is 0.
        stop: the greatest number; None lets them grow.
        step: the difference between two numbers.
        max: the greatest sum; None never stops.
    """
    total = 0.0
    first = float(start or 0.0)
    for index in count():
        number = first + index * step
        if stop is not None and number > stop:
            number = float(stop)
        total += number
        if max is not None and total > max:
            return
        yield number


def retry_over_time(
    fun: Callable[..., T],
    catch: type[BaseException] | tuple[type[BaseException], ...],
    args: Iterable[Any] | None = None,
    kwargs: Mapping[str, Any] | None = None,
    errback: Callable[[Any, Iterator[float], int], float | None] | None = None,
    max_retries: float | None = None,
    interval_start: float | None = 2,
    interval_step: float = 2,
    interval_max: float | None = 30,
    callback: Callable[[], Any] | None = None,
    timeout: float | None = None,
) -> T:
    """Call a function until it works.

    Waits between two calls; the first wait is `interval_start` seconds, each further one
    `interval_step` longer, and none is longer than `interval_max`.

    Args:
        fun: what to call.
        catch: the errors after which it is called again; any other is raised at once.
        args: its arguments.
        kwargs: its keyword arguments.
        errback: called after each failure that is followed by another try, with the error, the
            iterator of intervals and the number of retries so far; returns the seconds to wait, or
            None for the next interval.
        max_retries: how many times to try again; 0 is never, None is for ever.
        interval_start: seconds of the first wait.
        interval_step: seconds by which the waits grow.
        interval_max: seconds of the longest wait; None lets them grow.
        callback: called after each failure and then about every second while waiting; what it
            raises ends the waiting.
        timeout: seconds for everything; None or 0 is no limit.  No call begins after it, and
            nothing waits past it: a wait that does not fit is cut in half of the time left, for one
            last try.

    Returns:
        what `fun` returned.

    Raises:
        BaseException: the last error of `fun`.
    """
    arguments = tuple(args or ())
    keywords = kwargs or {}
    deadline = Deadline.after(timeout or None)
    intervals: Iterator[float] | None = None
    last_try = False
    for retries in count():
        try:
            return fun(*arguments, **keywords)
        except catch as exc:
            if last_try or deadline.expired or (max_retries is not None and retries >= max_retries):
                raise
            if callback is not None:
                callback()
            if intervals is None:
                intervals = fxrange(interval_start, interval_max, interval_step, repeatlast=True)
            asked = None if errback is None else errback(exc, intervals, retries)
            seconds = next(intervals) if asked is None else float(asked)
            left = deadline.remaining()
            if left is not None and seconds >= left:
                seconds, last_try = left / 2, True
            _pause(seconds, callback)
    raise AssertionError('unreachable')  # pragma: no cover - count() has no end


def _pause(seconds: float, callback: Callable[[], Any] | None) -> None:
    """Sleep, calling back about every second."""
    while callback is not None and seconds > 1.0:
        sleep(1.0)
        seconds -= 1.0
        callback()
    if seconds > 0.0:
        sleep(seconds)


def reprkwargs(kwargs: Mapping[str, Any], sep: str = ', ', fmt: str = '{0}={1}') -> str:
    """Show keyword arguments the way they are written in a call."""
    return sep.join(fmt.format(key, safe_repr(value)) for key, value in kwargs.items())


def reprcall(
    name: str,
    args: Iterable[Any] = (),
    kwargs: Mapping[str, Any] | None = None,
    sep: str = ', ',
) -> str:
    """Show a call the way it is written.

    Args:
        name: what is called.
        args: its arguments.
        kwargs: its keyword arguments.
        sep: put between two arguments.
    """
    shown = [safe_repr(arg) for arg in args or ()]
    if kwargs:
        shown.append(reprkwargs(kwargs, sep))
    return f'{name}({sep.join(shown)})'


def accepts_argument(func: Callable[..., Any], argument_name: str) -> bool:
    """Say whether a function has a parameter of that name; one that takes `**kwargs` has not."""
    try:
        parameter = inspect.signature(func).parameters.get(argument_name)
    except (TypeError, ValueError):
        return False  # a builtin that does not tell
    return parameter is not None and parameter.kind in (
        inspect.Parameter.POSITIONAL_OR_KEYWORD,
        inspect.Parameter.KEYWORD_ONLY,
    )
