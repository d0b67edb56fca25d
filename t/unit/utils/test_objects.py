from __future__ import annotations

import gc
import threading
import weakref
from typing import Any

import pytest

from kombu.utils.objects import cached_property


class Counter:
    """Computes `value` as the number of times it was computed."""

    def __init__(self) -> None:
        self.computed = 0
        self.deleted: list[Any] = []

    @cached_property
    def value(self) -> Any:
        """Doc."""
        self.computed += 1
        return self.computed

    @cached_property
    def doubled(self) -> Any:
        return 'computed'

    @doubled.setter
    def doubled(self, value: Any) -> Any:
        return value * 2

    @doubled.deleter
    def doubled(self, value: Any) -> None:
        self.deleted.append(value)


def test_computes_once() -> None:
    counter = Counter()
    assert [counter.value, counter.value, counter.computed] == [1, 1, 1]
    assert Counter().value == 1


def test_class_gives_the_descriptor() -> None:
    assert Counter.value is Counter.__dict__['value']
    assert isinstance(Counter.value, cached_property)
    assert Counter.value.__doc__ == 'Doc.'


def test_delete_computes_again() -> None:
    counter = Counter()
    assert counter.value == 1
    del counter.value
    assert counter.value == 2


def test_delete_of_nothing_is_ignored() -> None:
    counter = Counter()
    del counter.value
    del counter.doubled
    assert counter.deleted == []


def test_set() -> None:
    counter = Counter()
    counter.value = 'mine'
    assert (counter.value, counter.computed) == ('mine', 0)


def test_what_the_setter_returns_is_stored() -> None:
    """Celery's AMQP.queues depends on it."""
    counter = Counter()
    counter.doubled = 4
    assert counter.doubled == 8
    del counter.doubled
    assert counter.deleted == [8]
    assert counter.doubled == 'computed'


def test_setter_and_deleter_return_copies() -> None:
    plain = cached_property(lambda self: 1)
    assert plain.setter(lambda self, value: value) is not plain
    assert plain.deleter(lambda self, value: None) is not plain


def test_value_is_in_the_dict_of_the_instance() -> None:
    """Celery's tear-down looks for the sockets of cached attributes there."""
    counter = Counter()
    assert counter.value == vars(counter)['value']


def test_errors_are_not_cached() -> None:
    class Sometimes:
        broken = True

        @cached_property
        def value(self) -> str:
            if self.broken:
                raise LookupError('not yet')
            return 'there'

    obj = Sometimes()
    with pytest.raises(LookupError):
        _ = obj.value
    obj.broken = False
    assert obj.value == 'there'


def test_put_on_a_class_later() -> None:
    class Empty:
        pass

    def late(self: Any) -> str:
        return 'late'

    Empty.attribute = cached_property(late)  # type: ignore[attr-defined]
    assert Empty().attribute == 'late'  # type: ignore[attr-defined]


def test_threads_get_one_object() -> None:
    entered, go = threading.Event(), threading.Event()

    class Slow:
        computed = 0

        @cached_property
        def value(self) -> object:
            self.computed += 1
            entered.set()
            assert go.wait(5)
            return object()

    obj = Slow()
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(obj.value)) for _ in range(5)]
    for thread in threads:
        thread.start()
    assert entered.wait(5)
    go.set()
    for thread in threads:
        thread.join(5)
    assert obj.computed == 1
    assert len(found) == 5
    assert len(set(map(id, found))) == 1


def test_another_instance_does_not_wait() -> None:
    """One connection that takes long to open must not hold up the others."""
    entered, go = threading.Event(), threading.Event()

    class Sometimes:
        def __init__(self, slow: bool) -> None:
            self.slow = slow

        @cached_property
        def value(self) -> str:
            if self.slow:
                entered.set()
                assert go.wait(5)
            return 'done'

    thread = threading.Thread(target=lambda: Sometimes(slow=True).value)
    thread.start()
    try:
        assert entered.wait(5)
        assert Sometimes(slow=False).value == 'done'
    finally:
        go.set()
        thread.join(5)


def test_keeps_no_instance_alive() -> None:
    counter = Counter()
    assert counter.value
    dead = weakref.ref(counter)
    del counter
    gc.collect()
    assert dead() is None
    assert not Counter.value._computing
