"""However resources come, go and run dry, everybody gets a turn."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kombu.utils.scheduling import FairCycle, round_robin_cycle


class Empty(Exception):
    pass


@given(st.lists(st.integers(0, 5), min_size=1, max_size=6))
def test_everything_is_fetched_by_turns(counts: list[int]) -> None:
    """Nobody gets a second turn while another has something and has waited longer."""
    left = dict(enumerate(counts))

    def fetch(name: int, callback: Any) -> int:
        if not left[name]:
            raise Empty
        left[name] -= 1
        return name

    cycle = FairCycle(fetch, list(left), Empty)
    taken = [cycle.get(None) for _ in range(sum(counts))]
    with pytest.raises(Empty):
        cycle.get(None)
    for turn in range(max(counts)):
        expected = [name for name, count in enumerate(counts) if count > turn]
        assert taken[: len(expected)] == expected
        taken = taken[len(expected) :]


@given(st.data())
def test_resources_that_change_during_the_call(data: st.DataObject) -> None:
    """It returns or raises, and asks nobody who is not there."""
    names = list(range(data.draw(st.integers(0, 5))))

    def fetch(name: int, callback: Any) -> int:
        assert name in names
        names[:] = data.draw(st.lists(st.integers(0, 9), max_size=5))
        if data.draw(st.booleans()):
            raise Empty
        return name

    cycle = FairCycle(fetch, names, Empty)
    for _ in range(data.draw(st.integers(1, 5))):
        try:
            cycle.get(None)
        except Empty:
            pass


@given(st.lists(st.integers(), unique=True, min_size=1, max_size=8), st.data())
def test_round_robin_keeps_all_names(names: list[int], data: st.DataObject) -> None:
    cycle = round_robin_cycle(names)
    for used in data.draw(st.lists(st.sampled_from(names), max_size=20)):
        cycle.rotate(used)
        assert cycle.items[-1] == used
        assert sorted(cycle.items) == sorted(names)
    assert cycle.consume(3) == cycle.items[:3]
