"""Leases: what a dead holder had comes back, what a living one holds stays."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

from ..bench import Bench
from ..checks import check, equal
from ..scenario import Scenarios, scenario

__all__ = ('Leases',)

#: Seconds after which a message of a holder that shows no sign of life is given to another.
LEASE = 2.0
#: Seconds in which it must have come back then.
SOON = 2 * LEASE + 5.0


def connect(bench: Bench) -> Any:
    """Connect with short leases."""
    return bench.connect(transport_options=bench.target.lease_options(LEASE))


def holder(bench: Bench, queue: Any, **arguments: Any) -> Any:
    """Start a child that takes a message of `queue` and holds it."""
    options = dict(bench.target.lease_options(LEASE))
    child = bench.child('hold', transport_options=options, name=queue.name, **arguments)
    child.line('took')
    return child


def leased(
    *, seconds: float, ordered: bool = False
) -> Callable[[Callable[[Any, Bench], None]], Callable[[Any], None]]:
    """Mark a scenario about leases, with holders in processes of their own."""
    return scenario(
        'lease',
        requires={'lease', 'processes', *(['requeue_head'] if ordered else [])},
        needs={'processes', *(['ordered'] if ordered else [])},
        seconds=seconds,
    )


def kept(bench: Bench, *, busy: bool) -> None:
    queue = bench.queue(connect(bench).channel())
    bench.publish(queue, 'x')
    child = holder(bench, queue, busy=busy)
    inbox = bench.inbox(queue.channel, queue)
    inbox.linger(3.5 * LEASE)
    equal(inbox.bodies, [], f'given to another although its holder lived (busy: {busy})')
    child.kill()
    inbox.wait(1, LEASE + SOON)


def stale(bench: Bench, command: str) -> None:
    queue = bench.queue(connect(bench).channel())
    bench.publish(queue, 'x')
    old = holder(bench, queue)
    old.freeze()
    new = holder(bench, queue)
    old.thaw()
    old.tell(command)
    old.line('done')
    third = bench.inbox(queue.channel, queue)
    third.linger(1.5 * LEASE)
    equal(third.bodies, [], f"given to a third after the old holder's {command}")
    new.kill()
    equal(third.wait(1, LEASE + SOON), ['x'], 'after the new holder died too')


class Leases(Scenarios):
    """Holders that die, hold on, or come back late."""

    @leased(seconds=40)
    def test_lease_runs_out(self, bench: Bench) -> None:
        """A dead holder's message is not delivered again before its lease is over, and soon
        after"""
        queue = bench.queue(connect(bench).channel())
        bench.publish(queue, 'x')
        child = holder(bench, queue)
        child.freeze()
        start = time.monotonic()
        inbox = bench.inbox(queue.channel, queue)
        inbox.wait(1, LEASE + SOON)
        took = time.monotonic() - start
        check(took > 0.4 * LEASE, f'it came back after {took:.1f} s of a lease of {LEASE} s')
        check(inbox.messages[0].delivery_info.get('redelivered'), 'it is not flagged redelivered')

    @leased(seconds=40)
    def test_lease_kept_while_draining(self, bench: Bench) -> None:
        """A message is not delivered again while its holder drains events, however long that
        takes"""
        kept(bench, busy=False)

    @leased(seconds=40)
    def test_lease_kept_while_busy(self, bench: Bench) -> None:
        """A message is not delivered again while its holder is busy in a callback, however long
        that takes"""
        kept(bench, busy=True)

    @leased(seconds=50)
    def test_lease_stale_ack(self, bench: Bench) -> None:
        """An ack by a holder whose lease ran out settles nothing: the message is the new
        holder's"""
        stale(bench, 'ack')

    @leased(seconds=50)
    def test_lease_stale_reject(self, bench: Bench) -> None:
        """Nor does its reject drop the message"""
        stale(bench, 'reject')

    @leased(seconds=50)
    def test_lease_stale_requeue(self, bench: Bench) -> None:
        """Nor does its requeue give the message to a third"""
        stale(bench, 'requeue')

    @leased(seconds=50)
    def test_lease_stale_close(self, bench: Bench) -> None:
        """Nor does closing its channel"""
        stale(bench, 'close')

    @leased(seconds=50)
    def test_lease_stale_release(self, bench: Bench) -> None:
        """Nor does releasing its connection"""
        stale(bench, 'release')

    @leased(seconds=40)
    def test_lease_same_queue(self, bench: Bench) -> None:
        """What a dead holder had comes back to its own queue, not through the exchange again"""
        channel = connect(bench).channel()
        exchange = bench.exchange(channel, 'direct')
        queue, other = (bench.queue(channel, exchange=exchange, routing_key='a') for _ in range(2))
        bench.publish(exchange, 'x', key='a')
        equal(bench.contents(other, 1), ['x'], 'the copy of the other queue')
        child = holder(bench, queue)
        child.kill()
        queue.unbind_from(exchange, 'a')
        inbox = bench.inbox(channel, queue, settle=True)
        equal(inbox.wait(1, LEASE + SOON), ['x'], 'the queue it was taken from')
        bench.empty(other, 'the other queue')

    @leased(seconds=40, ordered=True)
    def test_lease_head(self, bench: Bench) -> None:
        """What a dead holder had is delivered before what is still in the queue"""
        queue = bench.queue(connect(bench).channel())
        bench.publish(queue, *range(4))
        child = holder(bench, queue, prefetch=2)
        child.line('took')
        child.kill()
        inbox = bench.inbox(queue.channel, queue, prefetch_count=1)
        inbox.wait(1)
        inbox.linger(3 * LEASE)
        for count in (1, 2, 3):
            inbox.messages[-1].ack()
            inbox.wait(count + 1)
        equal(inbox.bodies, [2, 0, 1, 3], 'delivered')
