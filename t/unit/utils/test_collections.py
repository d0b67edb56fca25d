from __future__ import annotations

import pickle
from typing import Any

import pytest

from kombu.utils.collections import EqualityDict, HashedSeq, eqhash


class Point:
    """Has an identity of its own, but counts as its coordinates."""

    def __init__(self, x: int, y: int) -> None:
        self.x, self.y = x, y

    def __eqhash__(self) -> HashedSeq:
        return HashedSeq(self.x, self.y)


def test_hashed_seq() -> None:
    seq = HashedSeq(1, 'a')
    assert seq == HashedSeq(1, 'a') == [1, 'a']
    assert hash(seq) == hash((1, 'a')) == seq.hashvalue
    assert seq[1] == 'a'
    assert {seq: 1}[HashedSeq(1, 'a')] == 1
    with pytest.raises(TypeError):
        HashedSeq([])


def test_hashed_seq_pickles() -> None:
    seq = pickle.loads(pickle.dumps(HashedSeq(1, 'a')))
    assert (seq, hash(seq)) == (HashedSeq(1, 'a'), hash((1, 'a')))


def test_eqhash() -> None:
    assert eqhash(Point(1, 2)) == HashedSeq(1, 2)
    assert eqhash('x') == hash('x')
    seq = HashedSeq(1)
    assert eqhash(seq) is seq


class TestEqualityDict:
    def test_finds_by_equality(self) -> None:
        found: EqualityDict = EqualityDict()
        found[Point(1, 2)] = 'a'
        assert found[Point(1, 2)] == 'a'
        assert Point(1, 2) in found
        assert Point(2, 1) not in found
        assert found.get(Point(1, 2)) == 'a'
        assert found.get(Point(2, 1), 'none') == 'none'
        assert found.setdefault(Point(1, 2), 'b') == 'a'
        del found[Point(1, 2)]
        assert not found

    def test_keys_are_values_of_eqhash(self) -> None:
        """Nameko reads `key[4]` of the keys of `pools.connections`."""
        found = EqualityDict([(Point(1, 2), 'a')])
        for key, value in found.items():
            assert key[1] == 2
            assert found[key] == value
            assert key in found

    def test_update_and_pop(self) -> None:
        found = EqualityDict({Point(1, 2): 'a'}, b=2)
        found.update([(Point(1, 2), 'c')], d=3)
        assert len(found) == 3
        assert found.pop(Point(1, 2)) == 'c'
        assert found.pop(Point(1, 2), None) is None
        assert found == {'b': 2, 'd': 3}

    def test_missing(self) -> None:
        with pytest.raises(KeyError, match='nothing'):
            EqualityDict()['nothing']
        with pytest.raises(KeyError):
            del EqualityDict()['nothing']
        with pytest.raises(KeyError):
            EqualityDict().pop('nothing')

    def test_objects_of_the_same_hash_are_not_mixed_up(self) -> None:
        """-1 and -2 have one hash."""
        found = EqualityDict()
        found[-1], found[-2] = 'one', 'two'
        assert (found[-1], found[-2]) == ('one', 'two')

    def test_subclass_with_missing(self) -> None:
        """Groups of pools make what is asked for."""

        class Group(EqualityDict):
            def __missing__(self, key: Any) -> Any:
                made = self[key] = [key]
                return made

        group = Group()
        point = Point(1, 2)
        assert group[point] == [point]
        assert group[Point(1, 2)] is group[point]
