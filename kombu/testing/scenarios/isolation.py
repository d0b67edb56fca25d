"""Isolation: virtual hosts do not see each other; names are carried as they are, or refused."""

from __future__ import annotations

import time
from typing import Any

from kombu.entity import Exchange, Queue

from ..bench import Bench, unique
from ..checks import check, equal
from ..scenario import Scenarios, scenario

__all__ = ('Isolation',)

#: Parts of names that mean something to one store or another.
ODD_NAMES = (
    'with space',
    ' leading and trailing ',
    'ünïcödé 日本語',
    'a/b/../c',
    '..',
    'a\\b',
    "it's",
    'say "so"',
    'star*',
    'hash#',
    'per%cent%s',
    'question?',
    'br[ack]et',
    'brace{0}',
    'col:on;semi,comma',
    'at@sign',
    'dollar$(x)`y`',
    'new\nline',
    'tab\there',
    'nul\x00byte',
    'sep\x06\x16arator',
    'pipe|amp&',
    'CaseMatters',
    'x' * 200,
)


class Isolation(Scenarios):
    """Who sees what."""

    @scenario('isolation', requires={'virtual_hosts'}, needs={'other_vhost_url'})
    def test_isolation_queues(self, bench: Bench) -> None:
        """Queues of one name in two virtual hosts are two queues"""
        one = bench.channel()
        two = bench.channel(bench.connect(bench.target.other_vhost_url))
        queue = bench.queue(one)
        other: Any = Queue(queue.name)(two)
        other.declare()
        bench.finally_(other.delete)
        bench.publish(queue, 'one')
        bench.publish(other, 'two')
        equal(bench.contents(queue, 1), ['one'], 'the first virtual host')
        equal(bench.contents(other, 1), ['two'], 'the second')

    @scenario('isolation', requires={'virtual_hosts'}, needs={'other_vhost_url'})
    def test_isolation_exchanges(self, bench: Bench) -> None:
        """So are exchanges and their bindings"""
        kinds = [
            'direct',
            *(kind for kind in ('fanout',) if f'exchange:{kind}' in bench.target.claims()),
        ]
        for kind in kinds:
            one = bench.channel()
            two = bench.channel(bench.connect(bench.target.other_vhost_url))
            exchange = bench.exchange(one, kind)
            queue = bench.queue(one, exchange=exchange, routing_key='a')
            twin: Any = Exchange(exchange.name, kind)(two)
            twin.declare()
            bench.finally_(twin.delete)
            other: Any = Queue(queue.name, exchange=twin, routing_key='a')(two)
            other.declare()
            bench.finally_(other.delete)
            inbox = bench.inbox(two, other, settle=True)
            bench.publish(exchange, 'one', key='a')
            bench.publish(twin, 'two', key='a')
            equal(inbox.wait(1), ['two'], f'{kind}: a consumer in the second virtual host')
            equal(inbox.linger(bench.target.settle), ['two'], f'{kind}: the same, later')
            equal(bench.contents(queue, 1), ['one'], f'{kind}: the first virtual host')
            inbox.consumer.cancel()

    @scenario('isolation', seconds=50)
    def test_isolation_queue_names(self, bench: Bench) -> None:
        """Queues with odd names are carried, each apart from the others, or refused with a
        clear error"""
        connection = bench.connect()
        carried = {}
        for odd in ODD_NAMES:
            name = f'{unique("n")}.{odd}'[:255] if odd != '..' else f'../{unique("n")}/..'
            try:
                carried[odd] = bench.queue(connection.channel(), name)
            except bench.refusals(connection):
                continue
        check(len(carried) >= 3, f'only {sorted(carried)} were accepted')
        for odd, queue in carried.items():
            bench.publish(queue, odd)
        for odd, queue in carried.items():
            equal(bench.contents(queue, 1), [odd], f'the queue {odd!r}')

    @scenario('isolation', seconds=50)
    def test_isolation_similar_names(self, bench: Bench) -> None:
        """Names that differ only in case, blanks, or a wildcard's match name different queues"""
        channel = bench.channel()
        base = unique('n')
        names = [
            f'{base}.a',
            f'{base}.A',
            f'{base}.a ',
            f'{base}.*',
            f'{base}._',
            f'{base}.%',
            f'{base}.ab',
            f'{base}',
        ]
        queues = {}
        connection = channel.connection.client
        for name in names:
            try:
                queues[name] = bench.queue(connection.channel(), name)
            except bench.refusals(connection):
                continue
        for name, queue in queues.items():
            bench.publish(queue, name)
        for name, queue in queues.items():
            equal(bench.contents(queue, 1), [name], f'the queue {name!r}')
        for name in [name for name in (f'{base}.*', f'{base}') if name in queues]:
            bench.publish(queues[f'{base}.a'], 'kept')
            queues[name].purge()
            queues[name].delete()
            equal(bench.contents(queues[f'{base}.a'], 1), ['kept'], f'after deleting {name!r}')

    @scenario('isolation', seconds=50)
    def test_isolation_routing_names(self, bench: Bench) -> None:
        """Exchange names and routing keys with odd characters are carried, or refused with a
        clear error"""
        connection = bench.connect()
        carried = 0
        for odd in ODD_NAMES:
            channel = connection.channel()
            try:
                exchange = bench.exchange(channel, 'direct', name=f'{unique("x")}.{odd}'[:255])
                queue = bench.queue(channel, exchange=exchange, routing_key=odd)
                bench.publish(exchange, odd, key=odd)
                bench.publish(exchange, 'no', key=f'{odd}?')
                equal(bench.contents(queue, 1), [odd], f'exchange and key with {odd!r}')
            except bench.refusals(connection):
                continue
            carried += 1
        check(carried >= 3, f'only {carried} of {len(ODD_NAMES)} were carried')

    @scenario('isolation')
    def test_isolation_long_names(self, bench: Bench) -> None:
        """A name longer than the store can have is refused with a clear error, at once"""
        connection = bench.connect()
        start = time.monotonic()
        name = unique('long') + 'x' * 300
        try:
            queue = bench.queue(connection.channel(), name)
        except bench.refusals(connection):
            check(time.monotonic() - start < 5 * bench.target.patience, 'it took more than 5 s')
            return
        bench.publish(queue, 'x')
        equal(bench.contents(queue, 1), ['x'], 'a queue with a name of 300 characters')
