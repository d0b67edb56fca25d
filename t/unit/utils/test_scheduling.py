from __future__ import annotations

from typing import Any

import pytest

from kombu.utils.scheduling import (
    CYCLE_ALIASES,
    FairCycle,
    cycle_by_name,
    priority_cycle,
    round_robin_cycle,
    sorted_cycle,
)


class Empty(Exception):
    pass


class Sources:
    """Resources of which some are empty; records who was asked."""

    def __init__(self, *names: str) -> None:
        self.names = list(names)
        self.empty: set[str] = set()
        self.asked: list[str] = []
        self.cycle = FairCycle(self.fetch, self.names, Empty)

    def fetch(self, name: str, callback: Any, **kwargs: Any) -> Any:
        self.asked.append(name)
        if name in self.empty:
            raise Empty(name)
        return callback(name, **kwargs)

    def get(self, n: int) -> str:
        return ''.join(self.cycle.get(lambda name: name) for _ in range(n))


class TestFairCycle:
    def test_takes_turns(self) -> None:
        assert Sources('a', 'b', 'c').get(7) == 'abcabca'

    def test_passes_keyword_arguments(self) -> None:
        result = Sources('a').cycle.get(lambda name, timeout: (name, timeout), timeout=3)
        assert result == ('a', 3)

    def test_passes_over_the_empty(self) -> None:
        sources = Sources('a', 'b', 'c')
        sources.empty = {'b'}
        assert sources.get(4) == 'acac'

    def test_all_are_empty(self) -> None:
        """Each is asked once."""
        sources = Sources('a', 'b', 'c')
        sources.get(1)
        sources.asked.clear()
        sources.empty = {'a', 'b', 'c'}
        with pytest.raises(Empty, match='a'):
            sources.get(1)
        assert sources.asked == ['b', 'c', 'a']

    def test_without_resources(self) -> None:
        with pytest.raises(Empty):
            Sources().get(1)
        with pytest.raises(Empty):
            FairCycle(print, [], (Empty, KeyError)).get(None)

    def test_other_errors_pass(self) -> None:
        sources = Sources('a', 'b')
        with pytest.raises(ZeroDivisionError):
            sources.cycle.get(lambda name: 1 / 0)
        assert sources.get(1) == 'b'

    def test_resources_that_go_away(self) -> None:
        sources = Sources('a', 'b', 'c')
        sources.get(2)
        sources.names[:] = ['a']
        assert sources.get(2) == 'aa'
        sources.names.clear()
        with pytest.raises(Empty):
            sources.get(1)
        sources.names.append('d')
        assert sources.get(1) == 'd'

    def test_resources_that_go_away_during_the_call(self) -> None:
        names = ['a', 'b', 'c']

        def fetch(name: str, callback: Any) -> None:
            names.remove(name)
            raise Empty

        with pytest.raises(Empty):
            FairCycle(fetch, names, Empty).get(None)

    def test_close_and_repr(self) -> None:
        sources = Sources('a', 'b')
        sources.get(1)
        sources.cycle.close()
        assert repr(sources.cycle) == "<FairCycle: 1/2 ['a', 'b']>"


def test_round_robin_cycle() -> None:
    cycle = round_robin_cycle(['a', 'b', 'c'])
    assert cycle.consume(2) == ['a', 'b']
    assert cycle.rotate('a') == 'a'
    assert cycle.consume(9) == ['b', 'c', 'a']
    assert cycle.rotate('gone') == 'gone'
    cycle.update(['x'])
    assert cycle.items == ['x']
    assert round_robin_cycle().consume(1) == []
    assert repr(cycle) == "<round_robin_cycle: ['x']>"


def test_cycle_copies_the_names() -> None:
    names = ['a', 'b']
    cycle = round_robin_cycle(names)
    cycle.rotate('a')
    assert names == ['a', 'b']


def test_priority_cycle() -> None:
    cycle = priority_cycle(['b', 'a'])
    cycle.rotate('b')
    assert cycle.consume(2) == ['b', 'a']


def test_sorted_cycle() -> None:
    cycle = sorted_cycle(['c', 'a', 'b'])
    cycle.rotate('a')
    assert cycle.consume(3) == ['a', 'b', 'c']
    assert cycle.items == ['c', 'a', 'b']


def test_cycle_by_name() -> None:
    assert {name: cycle_by_name(name) for name in CYCLE_ALIASES} == {
        'priority': priority_cycle,
        'round_robin': round_robin_cycle,
        'sorted': sorted_cycle,
    }
    assert cycle_by_name('kombu.utils.scheduling:sorted_cycle') is sorted_cycle
    assert cycle_by_name(sorted_cycle) is sorted_cycle


@pytest.mark.parametrize(('name', 'hint'), [('sortd', "did you mean 'sorted'"), ('x', 'priority,')])
def test_unknown_cycle(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match=hint):
        cycle_by_name(name)
