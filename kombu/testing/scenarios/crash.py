"""Crashes: kill -9 of consumers and publishers loses nothing."""

from __future__ import annotations

import time
from typing import Any

from ..bench import Bench
from ..checks import check, equal
from ..scenario import Scenarios, scenario

__all__ = ('Crash',)

#: Lease of the processes that are killed, in seconds, where the transport takes messages under a
#: lease.
LEASE = 2.0


def recovered(bench: Bench, queue: Any, count: int) -> list[Any]:
    """Return what is in a queue once `count` messages have come back from the dead."""
    # Some stores notice a dead holder only while somebody consumes.
    inbox = bench.inbox(queue.channel, queue, settle=True)
    bench.wait([queue.channel], lambda: len(inbox.messages) >= count, 4 * LEASE + 10)
    return inbox.linger(bench.target.settle)


def mortal(bench: Bench, task: str, queue: Any, **arguments: Any) -> Any:
    """Start a child whose messages come back soon after it is dead."""
    options = bench.target.lease_options(LEASE) if 'lease' in bench.target.claims() else {}
    return bench.child(task, transport_options=dict(options), name=queue.name, **arguments)


def survivor(bench: Bench) -> Any:
    """Connect with the same lease as the children."""
    options = bench.target.lease_options(LEASE) if 'lease' in bench.target.claims() else {}
    return bench.connect(transport_options=options)


class Crash(Scenarios):
    """Processes that end without a word."""

    @scenario('crash', requires={'processes'}, needs={'processes'}, seconds=50)
    def test_crash_before_ack(self, bench: Bench) -> None:
        """A consumer killed before it acknowledged loses nothing, what it had taken and what not"""
        queue = bench.queue(survivor(bench).channel())
        bench.publish(queue, *range(10))
        child = mortal(bench, 'hold', queue, prefetch=4)
        for _ in range(4):
            child.line('took')
        child.kill()
        equal(sorted(recovered(bench, queue, 10)), list(range(10)), 'messages')

    @scenario('crash', requires={'processes'}, needs={'processes'}, seconds=50)
    def test_crash_redelivered(self, bench: Bench) -> None:
        """What a killed consumer had taken comes back flagged as redelivered"""
        queue = bench.queue(survivor(bench).channel())
        bench.publish(queue, 'x')
        child = mortal(bench, 'hold', queue)
        child.line('took')
        child.kill()
        inbox = bench.inbox(queue.channel, queue)
        equal(inbox.wait(1, 4 * LEASE + 10), ['x'], 'body')
        check(inbox.messages[0].delivery_info.get('redelivered'), 'it is not flagged redelivered')

    @scenario('crash', requires={'processes'}, needs={'processes'}, seconds=50)
    def test_crash_on_arrival(self, bench: Bench) -> None:
        """A consumer killed the moment a message arrives, before anything was done with it,
        loses nothing"""
        queue = bench.queue(survivor(bench).channel())
        bench.publish(queue, *range(6))
        for _ in range(3):
            child = mortal(bench, 'work', queue, die_at=0, die='on-arrival')
            child.join(20)
        equal(sorted(recovered(bench, queue, 6)), list(range(6)), 'messages')

    @scenario('crash', requires={'processes'}, needs={'processes'}, seconds=50)
    def test_crash_in_callback(self, bench: Bench) -> None:
        """A consumer killed in a callback loses nothing; what it acknowledged earlier is done"""
        queue = bench.queue(survivor(bench).channel())
        bench.publish(queue, *range(10))
        child = mortal(bench, 'work', queue, die_at=4, die='before-ack')
        child.join(20)
        acknowledged = {int(number) for number in child.said('acked')}
        equal(len(acknowledged), 4, 'acknowledged before the crash')
        rest = recovered(bench, queue, 6)
        missing = set(range(10)) - acknowledged - set(rest)
        check(not missing, f'lost: {sorted(missing)}')
        check(len(rest) < 10, f'everything came back, although {sorted(acknowledged)} were settled')

    @scenario('crash', requires={'processes'}, needs={'processes'}, seconds=50)
    def test_crash_any_moment(self, bench: Bench) -> None:
        """A busy consumer killed at any moment, between taking and recording too, loses nothing"""
        queue = bench.queue(survivor(bench).channel())
        bench.publish(queue, *range(1500))
        children = []
        for number in range(8):
            children.append(mortal(bench, 'work', queue, prefetch=5))
            children[-1].line('got')
            time.sleep(0.003 * number)
            children[-1].kill()
        finished = {int(number) for child in children for number in child.said('acked')}
        # The last one of each may have been acknowledged without being reported.
        finished |= {int(child.said('got')[-1]) for child in children}
        rest = set(recovered(bench, queue, 1500 - len(finished)))
        missing = set(range(1500)) - finished - rest
        check(not missing, f'lost: {sorted(missing)}')

    @scenario('crash', requires={'processes'}, needs={'processes'}, seconds=50)
    def test_crash_publisher(self, bench: Bench) -> None:
        """Whatever a killed publisher was told is published arrives, once"""
        queue = bench.queue(bench.channel())
        child = bench.child(
            'publish',
            transport_options=dict(bench.target.confirm_options),
            name=queue.name,
            count=100_000,
        )
        child.line('sent 150')
        child.kill()
        sent = [int(number) for number in child.said('sent')]
        bodies = bench.contents(queue, len(sent), timeout=15)
        missing = set(sent) - set(bodies)
        check(not missing, f'{len(missing)} of {len(sent)} published messages are lost')
        check(len(bodies) == len(set(bodies)), 'some arrived twice')
        check(len(bodies) <= len(sent) + 1, f'{len(bodies)} arrived, {len(sent)} were reported')

    @scenario('crash', requires={'processes'}, needs={'processes'}, seconds=50)
    def test_crash_many(self, bench: Bench) -> None:
        """With consumers killed at random points of their work every message is handled at
        least once"""
        queue = bench.queue(survivor(bench).channel())
        bench.publish(queue, *range(120))
        points = ('on-arrival', 'before-ack', 'after-ack')
        children = []
        for number in range(6):
            children.append(
                mortal(
                    bench,
                    'work',
                    queue,
                    prefetch=1 + 3 * (number % 3),
                    die_at=3 + 2 * number,
                    die=points[number % 3],
                )
            )
            if number % 2:
                for child in children[-2:]:
                    child.join(30)
        handled = {int(number) for child in children for number in child.said('got')}
        finished = {int(number) for child in children for number in child.said('acked')}
        rest = set(recovered(bench, queue, 120 - len(finished)))
        missing = set(range(120)) - finished - rest
        check(not missing, f'lost: {sorted(missing)}; handled were {len(handled)}')
