"""The timer against a list that is sorted."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kombu.asynchronous import timer as module
from kombu.asynchronous.timer import Entry, Timer

etas = st.integers(0, 50).map(float)
priorities = st.integers(-2, 2)


class TimerMachine(RuleBasedStateMachine):
    """Enters, cancels, cleans and fires in any order, and compares with a sorted list."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.timer = Timer(max_interval=5)
        self.steps = self.timer.__iter__(nowfun=lambda: self.now)
        self.model: list[tuple[float, int, int]] = []
        self.entries: dict[int, Entry] = {}
        self.count = 0

    @rule(eta=etas, priority=priorities)
    def enter(self, eta: float, priority: int) -> None:
        self.count += 1
        self.entries[self.count] = self.timer.call_at(eta, int, (self.count,), priority=priority)
        self.model.append((eta, priority, self.count))

    @precondition(lambda self: self.model)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        item = data.draw(st.sampled_from(self.model))
        self.entries[item[2]].cancel()
        self.model.remove(item)

    @rule()
    def clean(self) -> None:
        self.timer._clean_at = 0

    @rule()
    def clear(self) -> None:
        self.timer.clear()
        self.model.clear()

    @rule(seconds=st.integers(0, 10).map(float))
    def advance(self, seconds: float) -> None:
        self.now += seconds

    @rule()
    def step(self) -> None:
        delay, entry = next(self.steps)
        if not self.model:
            assert (delay, entry) == (None, None)
            return
        first = min(self.model)
        if first[0] > self.now:
            assert (delay, entry) == (min(first[0] - self.now, 5), None)
        else:
            assert delay is None
            assert entry is not None
            assert tuple(entry.args) == (first[2],)
            self.model.remove(first)

    @invariant()
    def agrees(self) -> None:
        assert [item.entry.args[0] for item in self.timer.queue] == [
            number for _, _, number in sorted(self.model)
        ]
        assert len(self.timer) == len(self.model)


TestTimerMachine = TimerMachine.TestCase


@given(
    interval=st.integers(0, 64).map(lambda n: n / 8),
    ticks=st.lists(st.integers(0, 64).map(lambda n: n / 8), max_size=30),
)
def test_periodic_calls_stay_on_the_grid(interval: float, ticks: list[float]) -> None:
    """However late it is asked, it is called at most once for each interval, and never early."""
    now = 0.0
    patched: Any = module
    original = patched.monotonic
    patched.monotonic = lambda: now
    try:
        timer = Timer()
        called: list[float] = []
        timer.call_repeatedly(interval, lambda: called.append(now))
        steps = timer.__iter__(nowfun=lambda: now)
        for tick in ticks:
            now += tick
            before = len(called)
            _, entry = next(steps)
            if entry is not None:
                timer.apply_entry(entry)
            if interval:
                slots = {int(when // interval) for when in called}
                assert len(slots) == len(called)
                assert called[before:] == ([now] if entry is not None else [])
            [item] = timer.queue
            assert item.eta == now if not interval and entry else item.eta > now or entry is None
            if interval:
                assert item.eta % interval == 0
                assert item.eta <= now + interval
    finally:
        patched.monotonic = original
