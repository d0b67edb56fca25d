"""Confirms: publishing returns after the broker has taken responsibility."""

from __future__ import annotations

import time

from amqp.exceptions import MessageNacked

from ..bench import Bench
from ..checks import check, equal, raises
from ..scenario import Scenarios, scenario

__all__ = ('Confirms',)


class Confirms(Scenarios):
    """What the return of `publish` means."""

    @scenario('confirm', requires={'confirms'})
    def test_confirm_has_it(self, bench: Bench) -> None:
        """When publish returns the message is there for everyone"""
        queue = bench.queue(bench.confirming().channel())
        other = queue(bench.channel())
        for number in range(20):
            bench.publish(queue, number)
            message = other.get(no_ack=True)
            check(message is not None, f'message {number} was not there when publish returned')
            equal(message.decode(), number, 'body')

    @scenario('confirm', requires={'confirms'}, needs={'proxy'})
    def test_confirm_survives_cut(self, bench: Bench) -> None:
        """When publish returns the message survives a connection that is cut the next moment"""
        url, proxy = bench.proxy()
        queue = bench.queue(bench.channel())
        for number in range(10):
            through = queue(bench.impatient(url).channel())
            bench.publish(through, number)
            proxy.cut()
        equal(bench.contents(queue, 10), list(range(10)), 'messages')

    @scenario('confirm', requires={'confirms', 'max_length', 'overflow_reject'})
    def test_confirm_nack(self, bench: Bench) -> None:
        """A message that the broker refuses is an error, for that message and no other"""
        connection = bench.confirming()
        full = bench.queue(
            connection.channel(), max_length=1, queue_arguments={'x-overflow': 'reject-publish'}
        )
        free = bench.queue(connection.channel())
        refusals = (*bench.errors(connection), MessageNacked)
        bench.publish(full, 0)
        for number in range(5):
            raises(refusals, lambda: bench.publish(full, 1), 'publishing to a full queue')
            bench.publish(free(full.channel), number)
        equal(bench.contents(full, 1), [0], 'the full queue')
        equal(bench.contents(free, 5), list(range(5)), 'the other queue')

    @scenario('confirm', requires={'confirms'}, needs={'proxy'}, seconds=30)
    def test_confirm_timeout(self, bench: Bench) -> None:
        """A confirm that does not come within confirm_timeout is an error"""
        url, proxy = bench.proxy()
        connection = bench.impatient(url)
        queue = bench.queue(connection.channel())
        bench.publish(queue, 'first')
        proxy.stall('down')
        start = time.monotonic()
        result = bench.ends(
            10, lambda: bench.publish(queue, 1, confirm_timeout=0.5), 'publish(confirm_timeout=0.5)'
        )
        took = time.monotonic() - start
        check(isinstance(result, Exception), 'publish returned although nothing was confirmed')
        check(took < 5 * bench.target.patience, f'it took {took:.1f} s')

    @scenario('confirm', requires={'confirms'}, needs={'proxy'}, seconds=40)
    def test_confirm_not_anothers(self, bench: Bench) -> None:
        """A confirm that comes late does not pass for that of a later message"""
        url, proxy = bench.proxy()
        connection = bench.impatient(url)
        channel = connection.channel()
        queue = bench.queue(channel)
        seen = queue(bench.channel())
        bench.publish(queue, 'first')
        equal(bench.contents(seen, 1), ['first'], 'while the network is well')
        proxy.stall('down')
        first = bench.ends(
            10, lambda: bench.publish(queue, 'A', confirm_timeout=0.5), 'publishing A'
        )
        check(isinstance(first, Exception), 'A was reported as published')
        equal(bench.contents(seen, 1), ['A'], 'A arrived all the same')
        # Now the confirm of A may come back, and B must not leave.
        proxy.stall('up')
        second = bench.ends(
            10, lambda: bench.publish(queue, 'B', confirm_timeout=0.5), 'publishing B'
        )
        proxy.cut()
        arrived = bench.contents(seen)
        if not isinstance(second, Exception):
            equal(arrived, ['B'], 'B was reported as published; what arrived')

    @scenario('confirm', requires={'confirms'})
    def test_confirm_many(self, bench: Bench) -> None:
        """Every one of many confirmed messages is there, in order"""
        queue = bench.queue(bench.confirming().channel())
        bench.publish(queue, *range(300))
        bodies = bench.contents(queue(bench.channel()), 300)
        equal(bodies if bench.target.ordered else sorted(bodies), list(range(300)), 'messages')
