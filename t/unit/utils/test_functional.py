from __future__ import annotations

import copy
import pickle
import threading
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

import pytest

from kombu.utils import functional
from kombu.utils.functional import (
    ChannelPromise,
    LRUCache,
    accepts_argument,
    dictfilter,
    fxrange,
    fxrangemax,
    is_list,
    lazy,
    maybe_evaluate,
    maybe_list,
    memoize,
    reprcall,
    reprkwargs,
    retry_over_time,
    shufflecycle,
)


class TestChannelPromise:
    def test_opens_once(self) -> None:
        opened: list[object] = []

        def contract() -> object:
            opened.append(object())
            return opened[-1]

        channel = ChannelPromise(contract)
        assert not opened
        assert channel() is channel() is opened[0]

    def test_repr_opens_nothing(self) -> None:
        channel = ChannelPromise(lambda: 42)
        assert repr(channel).startswith('<promise: 0x')
        channel()
        assert repr(channel) == '42'


class TestLRUCache:
    def full(self) -> LRUCache[int, str]:
        cache: LRUCache[int, str] = LRUCache(limit=3)
        cache.update({1: 'a', 2: 'b', 3: 'c'})
        return cache

    def test_forgets_what_was_used_longest_ago(self) -> None:
        cache = self.full()
        assert cache[1] == 'a'
        assert cache.get(2) == 'b'
        cache[4] = 'd'
        assert list(cache) == [1, 2, 4]

    def test_replacing_evicts_nothing(self) -> None:
        cache = self.full()
        cache[2] = 'B'
        assert list(cache.items()) == [(1, 'a'), (3, 'c'), (2, 'B')]

    @pytest.mark.parametrize('limit', [None, 0])
    def test_without_limit(self, limit: int | None) -> None:
        cache: LRUCache[int, int] = LRUCache(limit)
        cache.update((n, n) for n in range(1000))
        assert len(cache) == 1000

    def test_views_may_be_iterated_while_others_use_the_cache(self) -> None:
        cache = self.full()
        for key in cache:
            cache[key + 10] = cache.get(key, '')
        for key in cache.keys():  # noqa: SIM118 - the view is what is tested
            cache[key + 20] = ''
        for _ in cache.values():
            cache.popitem()
        assert not cache.items()

    def test_dict_methods(self) -> None:
        cache = self.full()
        assert cache.get(9) is None
        assert cache.get(9, 'none') == 'none'
        assert cache.pop(1) == 'a'
        assert cache.pop(1, None) is None
        assert cache.setdefault(5, 'e') == cache.setdefault(5, 'f') == 'e'
        del cache[5]
        assert 5 not in cache
        assert cache == {2: 'b', 3: 'c'}
        with pytest.raises(KeyError):
            cache[1]
        with pytest.raises(KeyError):
            cache.pop(1)
        cache.clear()
        assert not cache
        with pytest.raises(KeyError):
            cache.popitem()

    def test_popitem(self) -> None:
        cache = self.full()
        assert cache.popitem() == (3, 'c')
        assert cache.popitem(last=False) == (1, 'a')

    def test_data_is_the_ordered_dict(self) -> None:
        """Celery's event state reads `data`."""
        assert self.full().data == {1: 'a', 2: 'b', 3: 'c'}

    def test_incr(self) -> None:
        cache: LRUCache[str, Any] = LRUCache()
        cache['n'] = 1
        assert (cache.incr('n'), cache.incr('n', 5), cache['n']) == (2, 7, '7')
        with pytest.raises(KeyError):
            cache.incr('other')

    def test_incr_from_threads(self) -> None:
        cache: LRUCache[str, Any] = LRUCache(limit=1)
        cache['n'] = 0

        def count() -> None:
            for _ in range(500):
                cache.incr('n')

        threads = [threading.Thread(target=count) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(5)
        assert int(cache['n']) == 2000

    def test_pickle(self) -> None:
        copied = pickle.loads(pickle.dumps(self.full()))
        copied[4] = 'd'
        assert list(copied.items()) == [(2, 'b'), (3, 'c'), (4, 'd')]

    @pytest.mark.parametrize('make', [copy.copy, LRUCache.copy])
    def test_copy_is_independent(self, make: Callable[[Any], Any]) -> None:
        cache = self.full()
        copied = make(cache)
        copied[4] = 'd'
        assert list(cache) == [1, 2, 3]
        assert list(copied) == [2, 3, 4]


class TestMemoize:
    def test_remembers(self) -> None:
        calls = []

        @memoize(maxsize=2)
        def add(a: int, b: int = 1) -> int:
            """Add."""
            calls.append(a)
            return a + b

        assert [add(1), add(1), add(1, b=2), add(1, b=2)] == [2, 2, 3, 3]
        assert (add.hits, add.misses, len(calls)) == (2, 2, 2)  # type: ignore[attr-defined]
        assert add(5) == 6
        assert add(1) == 2  # was forgotten
        assert add.misses == 4  # type: ignore[attr-defined]
        assert add.__doc__ == 'Add.'
        assert add.original_func(1) == 2  # type: ignore[attr-defined]
        add.clear()  # type: ignore[attr-defined]
        assert (add.hits, add.misses) == (0, 0)  # type: ignore[attr-defined]

    def test_keyfun(self) -> None:
        @memoize(keyfun=lambda args, kwargs: args[0])
        def first(a: int, b: int) -> int:
            return b

        assert [first(1, 2), first(1, 3)] == [2, 2]

    def test_errors_are_not_remembered(self) -> None:
        @memoize()
        def fail(n: list[int]) -> None:
            raise KeyError(n)

        fail_on: Any = fail
        for _ in range(2):
            with pytest.raises(KeyError):
                fail_on(1)
        assert fail_on.hits == 0


class TestLazy:
    def test_value(self) -> None:
        value = lazy(lambda a, b: (a, b), 1, b=2)
        assert value() == value.evaluate() == maybe_evaluate(value) == (1, 2)
        assert maybe_evaluate(3) == 3
        assert value == (1, 2)
        assert value != (1, 3)
        assert value == lazy(lambda: (1, 2))
        assert (str(lazy(str, 'x')), repr(lazy(str, 'x'))) == ('x', "'x'")

    def test_computes_each_time(self) -> None:
        numbers = iter(range(9))
        value = lazy(next, numbers)
        assert [value(), value()] == [0, 1]

    def test_deepcopy_is_the_same(self) -> None:
        value = lazy(object)
        assert copy.deepcopy([value])[0] is value

    def test_pickle(self) -> None:
        value = pickle.loads(pickle.dumps(lazy(int, '12', base=8)))
        assert value() == 10

    def test_subclass_that_remembers(self) -> None:
        """Celery's mlazy calls super().evaluate()."""

        class mlazy(lazy):
            cached: Any = None

            def evaluate(self) -> Any:
                if self.cached is None:
                    self.cached = super().evaluate()
                return self.cached

        value = mlazy(object)
        assert value() is maybe_evaluate(value)

    def test_is_not_hashable(self) -> None:
        with pytest.raises(TypeError):
            hash(lazy(int))

    def test_first_names(self) -> None:
        assert functional.promise is lazy
        assert functional.maybe_promise is maybe_evaluate


@pytest.mark.parametrize(
    ('obj', 'listed'),
    [([], True), ((), True), (set(), True), ({}.keys(), True), (b'', True), ('x', False)]
    + [({}, False), (1, False), (None, False)],
)
def test_is_list(obj: Any, listed: bool) -> None:
    assert is_list(obj) is listed


def test_is_list_without_scalars() -> None:
    assert is_list('x', scalars=())


def test_maybe_list() -> None:
    assert maybe_list(None) is None
    assert maybe_list([1]) == [1]
    assert maybe_list('x') == ['x']
    assert maybe_list({'a': 1}) == [{'a': 1}]


def test_dictfilter() -> None:
    given = {'a': None, 'b': 1}
    assert dictfilter(given, c=None, e=0) == {'b': 1, 'e': 0}
    assert dictfilter(a=1) == {'a': 1}
    assert dictfilter() == dictfilter(None) == {}
    assert given == {'a': None, 'b': 1}


def test_shufflecycle_yields_each_item_once_a_round() -> None:
    hosts = ['a', 'b', 'c', 'd']
    cycle = shufflecycle(hosts)
    for _ in range(10):
        assert sorted(islice(cycle, 4)) == hosts
    assert hosts == ['a', 'b', 'c', 'd']


def test_shufflecycle_of_nothing() -> None:
    assert list(shufflecycle([])) == []


def take(numbers: Iterator[float], n: int = 6) -> list[float]:
    return list(islice(numbers, n))


def test_fxrange() -> None:
    assert take(fxrange(1, 3, 1)) == [1.0, 2.0, 3.0]
    assert take(fxrange(1, 3, 1, repeatlast=True)) == [1.0, 2.0, 3.0, 3.0, 3.0, 3.0]
    assert take(fxrange(1, None, 2), 3) == [1.0, 3.0, 5.0]
    assert take(fxrange(None, 1.0)) == [0.0, 1.0]
    assert take(fxrange(5, 3, 1)) == []
    assert take(fxrange(5, 3, 1, repeatlast=True), 2) == [3.0, 3.0]


def test_fxrangemax() -> None:
    assert take(fxrangemax(1, 3, 1, 5)) == [1.0, 2.0]
    assert take(fxrangemax(1, 3, 1, 100), 5) == [1.0, 2.0, 3.0, 3.0, 3.0]
    assert take(fxrangemax(1, None, 0, 4)) == [1.0, 1.0, 1.0, 1.0]
    assert take(fxrangemax(1, None, 1, None)) == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr('kombu.utils.functional.sleep', made.sleep)
    monkeypatch.setattr('kombu.utils.deadline.monotonic', made.monotonic)
    return made


class Failing:
    """Raises so many times, then returns its arguments."""

    def __init__(self, times: float, error: type[Exception] = KeyError) -> None:
        self.left = times
        self.error = error
        self.calls = 0

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.calls += 1
        if self.left > 0:
            self.left -= 1
            raise self.error(self.calls)
        return args, kwargs


class TestRetryOverTime:
    def test_success_waits_for_nothing(self, clock: Clock) -> None:
        assert retry_over_time(Failing(0), KeyError, (1,), {'a': 2}) == ((1,), {'a': 2})
        assert clock.slept == []

    def test_intervals(self, clock: Clock) -> None:
        retry_over_time(Failing(5), KeyError, interval_start=1, interval_step=2, interval_max=4)
        assert clock.slept == [1.0, 3.0, 3.0, 3.0, 3.0]

    def test_intervals_never_exceed_the_greatest(self, clock: Clock) -> None:
        retry_over_time(Failing(2), KeyError, interval_start=9, interval_max=4)
        assert clock.slept == [4.0, 4.0]

    def test_positional(self, clock: Clock) -> None:
        """The way Celery calls it."""
        seen: list[Any] = []

        def errback(exc: Exception, intervals: Iterator[float], retries: int) -> float:
            seen.append((exc.args, retries))
            return next(intervals) / 2

        policy = {
            'max_retries': 3,
            'interval_start': 0,
            'interval_step': 1,
            'interval_max': 1,
        }
        retry_over_time(Failing(3), KeyError, [1], {}, errback, **policy)  # type: ignore[arg-type]
        assert seen == [((1,), 0), ((2,), 1), ((3,), 2)]
        assert clock.slept == [0.5, 0.5]

    def test_errback_that_returns_nothing(self, clock: Clock) -> None:
        """A function that just logs is good enough; the interval is used then."""
        retry_over_time(Failing(2), KeyError, errback=lambda *args: None)
        assert clock.slept == [2.0, 4.0]

    @pytest.mark.parametrize(('max_retries', 'calls'), [(0, 1), (1, 2), (3, 4)])
    def test_max_retries(self, clock: Clock, max_retries: int, calls: int) -> None:
        fun = Failing(99)
        errors: list[int] = []
        with pytest.raises(KeyError):
            retry_over_time(
                fun,
                KeyError,
                max_retries=max_retries,
                errback=lambda exc, intervals, retries: errors.append(retries),
            )
        assert fun.calls == calls
        assert errors == list(range(max_retries))

    def test_other_errors_are_raised_at_once(self, clock: Clock) -> None:
        fun = Failing(3)
        with pytest.raises(KeyError):
            retry_over_time(fun, (ValueError, TypeError))
        assert fun.calls == 1

    def test_callback_about_every_second(self, clock: Clock) -> None:
        times: list[float] = []
        retry_over_time(
            Failing(1), KeyError, interval_start=2.5, callback=lambda: times.append(clock.now)
        )
        assert times == [1000.0, 1001.0, 1002.0]
        assert clock.now == 1002.5

    def test_callback_ends_the_waiting(self, clock: Clock) -> None:
        def stop() -> None:
            if clock.now > 1000.0:
                raise SystemExit

        fun = Failing(9)
        with pytest.raises(SystemExit):
            retry_over_time(fun, KeyError, interval_start=30, callback=stop)
        assert clock.slept == [1.0]
        assert fun.calls == 1

    def test_timeout(self, clock: Clock) -> None:
        """2 s, then 4 s do not fit any more: one last try half-way, and nothing past the end."""
        fun = Failing(99)
        with pytest.raises(KeyError) as caught:
            retry_over_time(fun, KeyError, timeout=5)
        assert clock.slept == [2.0, 1.5]
        assert caught.value.args == (3,)

    def test_timeout_includes_what_the_function_takes(self, clock: Clock) -> None:
        def slow() -> None:
            clock.now += 10
            raise KeyError

        with pytest.raises(KeyError):
            retry_over_time(slow, KeyError, timeout=5)
        assert clock.slept == []

    @pytest.mark.parametrize('timeout', [None, 0])
    def test_no_timeout(self, clock: Clock, timeout: float | None) -> None:
        retry_over_time(Failing(50), KeyError, timeout=timeout)
        assert sum(clock.slept) > 1000

    def test_arguments_are_left_alone(self, clock: Clock) -> None:
        args, kwargs = [1], {'a': 1}

        def spoil(*args: Any, **kwargs: Any) -> None:
            kwargs.clear()

        retry_over_time(spoil, KeyError, args, kwargs)
        assert (args, kwargs) == ([1], {'a': 1})


def test_reprcall() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise ValueError('no')

    assert reprcall('f', (1, 'a'), {'x': 'y', 'z': 3}) == "f(1, 'a', x='y', z=3)"
    assert reprcall('f') == 'f()'
    assert reprcall('f', (), {'a': 1}) == 'f(a=1)'
    assert 'Unrepresentable' in reprcall('f', (Broken(),))
    assert reprkwargs({'a': 1, 'b': 'c'}, sep='; ', fmt='{0}:{1}') == "a:1; b:'c'"


def test_accepts_argument() -> None:
    def fun(a: int, /, b: int, *c: int, d: int = 0, **e: int) -> None: ...

    assert [accepts_argument(fun, name) for name in 'abcde'] == [False, True, False, True, False]
    assert accepts_argument(LRUCache, 'limit')
    assert not accepts_argument(print, 'nothing')
    assert not accepts_argument(3, 'a')  # type: ignore[arg-type]
