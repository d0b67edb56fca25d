"""The queue of the memory broker against a sorted list."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from kombu.transport._memory_broker import MemoryQueue


def envelope(number, priority=None):
    properties = {'delivery_tag': number}
    if priority is not None:
        properties['priority'] = priority
    return {'body': b'x' * number, 'properties': properties}


class QueueMachine(RuleBasedStateMachine):
    """Take, settle and put back in any order: each message keeps its place."""

    def __init__(self):
        super().__init__()
        self.queue = MemoryQueue(max_priority=3, count_bytes=True)
        self.ready, self.held, self.number = [], [], 0

    @staticmethod
    def place(item):
        priority, number = item
        return -min(max(priority or 0, 0), 3), number

    @rule(priority=st.none() | st.integers(-1, 5))
    def put(self, priority):
        self.number += 1
        self.queue.put(envelope(self.number, priority))
        self.ready.append((priority, self.number))

    @precondition(lambda self: self.ready)
    @rule()
    def take(self):
        first = min(self.ready, key=self.place)
        assert self.queue.head()['properties']['delivery_tag'] == first[1]
        assert self.queue.get()['properties']['delivery_tag'] == first[1]
        self.ready.remove(first)
        self.held.append(first)

    @precondition(lambda self: self.held)
    @rule(data=st.data())
    def put_back(self, data):
        item = data.draw(st.sampled_from(self.held))
        self.held.remove(item)
        self.queue.put_back(envelope(item[1], item[0]))
        self.ready.append(item)

    @rule()
    def clear(self):
        assert self.queue.clear() == len(self.ready)
        self.ready.clear()

    @invariant()
    def lists_what_is_ready_in_order(self):
        expected = [number for _, number in sorted(self.ready, key=self.place)]
        assert [e['properties']['delivery_tag'] for e in self.queue] == expected
        assert len(self.queue) == len(expected)
        assert self.queue.bytes == sum(expected)


TestQueue = QueueMachine.TestCase


@given(st.permutations(range(1, 7)))
def test_put_back_in_any_order_it_is_the_old_order(order):
    queue = MemoryQueue()
    for number in range(1, 9):
        queue.put(envelope(number))
    taken = {e['properties']['delivery_tag']: e for e in (queue.get() for _ in range(6))}
    for number in order:
        queue.put_back(taken[number])
    assert [e['properties']['delivery_tag'] for e in queue] == list(range(1, 9))
