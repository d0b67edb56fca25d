"""The cache against a list that does the same slowly."""

from __future__ import annotations

import pickle

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from kombu.utils.functional import LRUCache

KEYS = st.integers(0, 6)


class Comparison(RuleBasedStateMachine):
    @initialize(limit=st.none() | st.integers(0, 4))
    def make(self, limit: int | None) -> None:
        self.cache: LRUCache[int, int] = LRUCache(limit)
        #: Pairs, what was used longest ago first.
        self.pairs: list[tuple[int, int]] = []

    def find(self, key: int) -> tuple[int, int] | None:
        return next((pair for pair in self.pairs if pair[0] == key), None)

    @rule(key=KEYS, value=st.integers())
    def put(self, key: int, value: int) -> None:
        self.cache[key] = value
        old = self.find(key)
        if old is not None:
            self.pairs.remove(old)
        elif self.cache.limit and len(self.pairs) == self.cache.limit:
            del self.pairs[0]
        self.pairs.append((key, value))

    @rule(key=KEYS)
    def get(self, key: int) -> None:
        pair = self.find(key)
        if pair is not None:
            self.pairs.remove(pair)
            self.pairs.append(pair)
        assert self.cache.get(key) == (pair and pair[1])

    @rule(key=KEYS)
    def pop(self, key: int) -> None:
        pair = self.find(key)
        if pair is not None:
            self.pairs.remove(pair)
        assert self.cache.pop(key, None) == (pair and pair[1])

    @rule(last=st.booleans())
    def popitem(self, last: bool) -> None:
        if self.pairs:
            assert self.cache.popitem(last) == self.pairs.pop(-1 if last else 0)

    @rule()
    def pickle(self) -> None:
        self.cache = pickle.loads(pickle.dumps(self.cache))

    @invariant()
    def same(self) -> None:
        if hasattr(self, 'cache'):
            assert list(self.cache.items()) == self.pairs
            assert list(self.cache) == [key for key, _ in self.pairs]
            assert len(self.cache) == len(self.pairs)


TestLRUCache = Comparison.TestCase
