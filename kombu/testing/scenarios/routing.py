"""Routing: exchanges and bindings mean what AMQP 0-9-1 (section 3.1.3) and RabbitMQ say."""

from __future__ import annotations

import time
from typing import Any

from ..bench import Bench
from ..checks import check, equal
from ..scenario import Scenarios, scenario

__all__ = ('Routing',)

#: Topic patterns, the keys each must match, and keys it must not.
TOPICS: tuple[tuple[str, tuple[str, ...], tuple[str, ...]], ...] = (
    ('a.b', ('a.b',), ('a', 'a.b.c', 'ab', 'a.B', '')),
    ('a.*', ('a.b', 'a.c'), ('a', 'a.b.c', 'b.a')),
    ('*', ('a', 'anything'), ('a.b', 'a.b.c')),
    ('*.b.*', ('a.b.c',), ('b', 'a.b', 'b.c', 'a.b.c.d')),
    ('#', ('', 'a', 'a.b.c', '..'), ()),
    ('a.#', ('a', 'a.b', 'a.b.c'), ('b', 'ab', 'b.a', '')),
    ('#.c', ('c', 'a.c', 'a.b.c'), ('a', 'c.a', 'ac')),
    ('a.#.c', ('a.c', 'a.b.c', 'a.b.b.c'), ('a', 'c', 'ac', 'a.b')),
    ('#.#', ('', 'a', 'a.b'), ()),
    ('#.*', ('a', 'a.b'), ()),
    ('*.#.b.#', ('a.b', 'a.b.c', 'a.a.b.c'), ('b', 'a', 'a.c')),
)

#: Words that mean something to regular expressions, globs, SQL or URLs, and nothing to AMQP.
METACHARACTERS = (
    'a+b',
    'a?b',
    '[ab]',
    '(a|b)',
    'a$',
    '^a',
    'a\\d',
    '%a_',
    "o'b",
    'a"b',
    'a b',
    'a/b',
    'a:b',
)

#: `x-match`, arguments of the binding, and headers with whether they match.
HEADERS: tuple[tuple[dict[str, Any], tuple[tuple[dict[str, Any], bool], ...]], ...] = (
    (
        {'x-match': 'all', 'a': 1, 'b': 'x'},
        (
            ({'a': 1, 'b': 'x'}, True),
            ({'a': 1, 'b': 'x', 'c': 3}, True),
            ({'a': 1}, False),
            ({}, False),
        ),
    ),
    (
        {'x-match': 'any', 'a': 1, 'b': 'x'},
        (({'a': 1}, True), ({'b': 'x', 'c': 3}, True), ({'a': 2, 'b': 'y'}, False), ({}, False)),
    ),
    ({'a': 1, 'b': 'x'}, (({'a': 1, 'b': 'x'}, True), ({'a': 1}, False))),
    ({'x-match': 'all', 'x-kind': 1, 'a': 1}, (({'a': 1}, True), ({'x-kind': 1}, False))),
    ({'x-match': 'any', 'x-kind': 1, 'a': 1}, (({'a': 1}, True), ({'x-kind': 1}, False))),
)

#: As above, for the modes that look at headers starting with `x-` too (RabbitMQ 3.10 and later).
HEADERS_WITH_X: tuple[tuple[dict[str, Any], tuple[tuple[dict[str, Any], bool], ...]], ...] = (
    (
        {'x-match': 'all-with-x', 'x-kind': 1, 'a': 1},
        (({'a': 1, 'x-kind': 1}, True), ({'a': 1}, False), ({'x-kind': 1}, False)),
    ),
    (
        {'x-match': 'any-with-x', 'x-kind': 1, 'a': 1},
        (({'x-kind': 1}, True), ({'a': 1}, True), ({'x-kind': 2}, False)),
    ),
)


def topics_match(bench: Bench, table: Any) -> None:
    """Check patterns against the keys they must match, and those they must not."""
    channel = bench.channel()
    exchange = bench.exchange(channel, 'topic')
    queues = [
        bench.queue(channel, exchange=exchange, routing_key=pattern) for pattern, _, _ in table
    ]
    keys = sorted({key for _, yes, no in table for key in (*yes, *no)})
    for key in keys:
        bench.publish(exchange, key, key=key)
    for queue, (pattern, yes, no) in zip(queues, table, strict=True):
        got = set(bench.contents(queue, len(yes)))
        check(set(yes) <= got, f'{pattern!r} did not match {sorted(set(yes) - got)}')
        check(not got & set(no), f'{pattern!r} matched {sorted(got & set(no))}')


def headers_match(bench: Bench, table: Any) -> None:
    """Check arguments of headers bindings against the headers they must match or not."""
    channel = bench.channel()
    for arguments, cases in table:
        exchange = bench.exchange(channel, 'headers')
        queue = bench.queue(channel, exchange=exchange, binding_arguments=arguments)
        for number, (headers, _) in enumerate(cases):
            bench.publish(exchange, number, headers=headers)
        expected = [number for number, (_, matches) in enumerate(cases) if matches]
        equal(bench.contents(queue, len(expected)), expected, f'{arguments} matched of {cases}')


def mandatory(bench: Bench, connection: Any) -> None:
    """Publish a message that can be routed, and one that cannot, as mandatory."""
    channel = connection.channel()
    exchange = bench.exchange(channel, 'direct')
    queue = bench.queue(channel, exchange=exchange, routing_key='a')
    returned: list[Any] = []
    producer = channel.Producer(
        exchange=exchange, auto_declare=False, on_return=lambda *args: returned.append(args)
    )
    producer.publish('x', routing_key='a', mandatory=True)
    equal(bench.contents(queue, 1), ['x'], 'the routable message')
    check(not returned, 'a routable message was returned')
    try:
        producer.publish('y', routing_key='nowhere', mandatory=True)
        bench.wait([channel], lambda: bool(returned))
    except bench.errors(connection):
        return
    check(returned, 'the unroutable message was neither returned nor an error')
    exception, exchange_name, routing_key, message = returned[0]
    check(isinstance(exception, Exception), f'the first argument of on_return is {exception!r}')
    equal((exchange_name, routing_key), (exchange.name, 'nowhere'), 'exchange and key')
    check(
        b'y' in bytes(message.body, 'utf-8')
        if isinstance(message.body, str)
        else b'y' in message.body,
        f'the body returned is {message.body!r}',
    )


class Routing(Scenarios):
    """Which queues get a copy."""

    @scenario('routing')
    def test_routing_default_exchange(self, bench: Bench) -> None:
        """The default exchange routes to the queue named by the routing key, and to no other"""
        channel = bench.channel()
        one, other = bench.queue(channel), bench.queue(channel)
        bench.publish(one, 'x')
        equal(bench.contents(one, 1), ['x'], 'the queue named')
        bench.empty(other, 'a queue of another name')

    @scenario('routing')
    def test_routing_direct(self, bench: Bench) -> None:
        """A direct exchange routes to every queue bound with exactly that key"""
        channel = bench.channel()
        exchange = bench.exchange(channel, 'direct')
        a, b, both, none = (
            bench.queue(channel, exchange=exchange, routing_key=key) for key in ('a', 'b', 'a', 'A')
        )
        both.bind_to(exchange, 'b')
        for key in ('a', 'b', 'a.b', ''):
            bench.publish(exchange, key, key=key)
        equal(bench.contents(both, 2), ['a', 'b'], 'bound with both keys')
        equal(bench.contents(a, 1), ['a'], 'bound with a')
        equal(bench.contents(b, 1), ['b'], 'bound with b')
        bench.empty(none, 'bound with A')

    @scenario('routing', requires={'exchange:topic'}, seconds=40)
    def test_routing_topic(self, bench: Bench) -> None:
        """A topic exchange matches * with one word and # with zero or more"""
        topics_match(bench, TOPICS)

    @scenario('routing', requires={'exchange:topic'})
    def test_routing_topic_literal(self, bench: Bench) -> None:
        """Characters with a meaning elsewhere (+ ? [ ] ( | ) $ ^ % _ ...) are plain in topics"""
        topics_match(
            bench,
            [
                (f'{word}.*', (f'{word}.x',), ('ab.x', 'a.x', 'b.x', 'aab.x'))
                for word in METACHARACTERS
            ],
        )

    @scenario('routing', requires={'exchange:topic'})
    def test_routing_topic_empty_words(self, bench: Bench) -> None:
        """Empty words between dots are words: a..b is matched by a.#.b and not by a.b"""
        topics_match(
            bench,
            (
                ('a.#.b', ('a..b', 'a...b'), ()),
                ('a.b', (), ('a..b', '.a.b', 'a.b.')),
                ('#.b', ('.b', '..b'), ()),
                ('a.#', ('a.', 'a..'), ()),
            ),
        )

    @scenario('routing', requires={'exchange:topic'}, seconds=10)
    def test_routing_topic_hostile(self, bench: Bench) -> None:
        """A pattern of many # costs no more than it is long"""
        channel = bench.channel()
        exchange = bench.exchange(channel, 'topic')
        queue = bench.queue(channel, exchange=exchange, routing_key='.'.join(['#'] * 12 + ['end']))
        start = time.monotonic()
        for _ in range(20):
            bench.publish(exchange, 'no', key='.'.join(['w'] * 25))
        bench.publish(exchange, 'yes', key='w.w.end')
        equal(bench.contents(queue, 1), ['yes'], 'matched')
        check(time.monotonic() - start < 5 * bench.target.patience, 'it took more than 5 s')

    @scenario('routing', requires={'exchange:fanout'})
    def test_routing_fanout(self, bench: Bench) -> None:
        """A fanout exchange stores a copy in every bound queue, whatever the key, consumer or
        not"""
        channel = bench.channel()
        exchange = bench.exchange(channel, 'fanout')
        queues = [
            bench.queue(channel, exchange=exchange, routing_key=key) for key in ('', 'a', 'b')
        ]
        other = bench.queue(channel)
        bench.publish(exchange, 1, key='a')
        bench.publish(exchange, 2, key='z')
        for queue in queues:
            equal(bench.contents(queue(bench.channel()), 2), [1, 2], 'a bound queue')
        bench.empty(other, 'a queue that is not bound')

    @scenario('routing', requires={'exchange:fanout'})
    def test_routing_fanout_no_history(self, bench: Bench) -> None:
        """A queue bound later does not get what was published before"""
        channel = bench.channel()
        exchange = bench.exchange(channel, 'fanout')
        bench.publish(exchange, 'before')
        queue = bench.queue(channel, exchange=exchange)
        bench.publish(exchange, 'after')
        equal(bench.contents(queue, 1), ['after'], 'the late queue')

    @scenario('routing', requires={'exchange:headers'})
    def test_routing_headers(self, bench: Bench) -> None:
        """A headers exchange matches all or any of the binding's headers, leaving out those in
        x-"""
        headers_match(bench, HEADERS)

    @scenario('routing', requires={'exchange:headers'})
    def test_routing_headers_with_x(self, bench: Bench) -> None:
        """The modes all-with-x and any-with-x count headers in x- too"""
        headers_match(bench, HEADERS_WITH_X)

    @scenario('routing')
    def test_routing_one_copy(self, bench: Bench) -> None:
        """A queue bound twice to one exchange gets one copy"""
        channel = bench.channel()
        kind = 'topic' if 'exchange:topic' in bench.target.claims() else 'direct'
        exchange = bench.exchange(channel, kind)
        queue = bench.queue(channel, exchange=exchange, routing_key='a.b')
        queue.bind_to(exchange, 'a.b' if kind == 'direct' else 'a.*')
        bench.publish(exchange, 'x', key='a.b')
        equal(bench.contents(queue, 1), ['x'], 'copies')

    @scenario('routing')
    def test_routing_unbind(self, bench: Bench) -> None:
        """An unbound queue gets no more; its other bindings and other queues are left alone"""
        channel = bench.channel()
        exchange = bench.exchange(channel, 'direct')
        queue, other = (bench.queue(channel, exchange=exchange, routing_key='a') for _ in range(2))
        queue.bind_to(exchange, 'b')
        queue.unbind_from(exchange, 'a')
        bench.publish(exchange, 'a', key='a')
        bench.publish(exchange, 'b', key='b')
        equal(bench.contents(queue, 1), ['b'], 'the queue that was unbound from a')
        equal(bench.contents(other, 1), ['a'], 'the other queue')

    @scenario('routing')
    def test_routing_rebind(self, bench: Bench) -> None:
        """Declaring a binding again changes nothing; unbinding takes it away at once"""
        channel = bench.channel()
        exchange = bench.exchange(channel, 'direct')
        queue = bench.queue(channel, exchange=exchange, routing_key='a')
        queue.declare()
        queue.declare()
        bench.publish(exchange, 1, key='a')
        equal(bench.contents(queue, 1), [1], 'bound three times')
        queue.unbind_from(exchange, 'a')
        bench.publish(exchange, 2, key='a')
        bench.empty(queue, 'unbound once')

    @scenario('routing', requires={'exchange_bind'})
    def test_routing_exchange_to_exchange(self, bench: Bench) -> None:
        """An exchange bound to another gets what that routes to it; cycles and double paths
        give one copy"""
        channel = bench.channel()
        source, middle, last = (bench.exchange(channel, 'direct') for _ in range(3))
        middle.bind_to(source, 'k')
        last.bind_to(middle, 'k')
        last.bind_to(source, 'k')
        source.bind_to(last, 'k')
        queue = bench.queue(channel, exchange=last, routing_key='k')
        bench.publish(source, 'x', key='k')
        bench.publish(source, 'no', key='other')
        equal(bench.contents(queue, 1), ['x'], 'through two exchanges and a cycle')
        last.unbind_from(source, 'k')
        middle.unbind_from(source, 'k')
        bench.publish(source, 'y', key='k')
        bench.empty(queue, 'after the exchanges were unbound')

    @scenario('routing', requires={'alternate_exchange', 'exchange:fanout'})
    def test_routing_alternate(self, bench: Bench) -> None:
        """What an exchange cannot route goes to its alternate exchange, and only that"""
        channel = bench.channel()
        alternate = bench.exchange(channel, 'fanout')
        rest = bench.queue(channel, exchange=alternate)
        exchange = bench.exchange(
            channel, 'direct', arguments={'alternate-exchange': alternate.name}
        )
        queue = bench.queue(channel, exchange=exchange, routing_key='a')
        bench.publish(exchange, 'routed', key='a')
        bench.publish(exchange, 'not routed', key='b')
        equal(bench.contents(rest, 1), ['not routed'], 'the queue of the alternate exchange')
        equal(bench.contents(queue, 1), ['routed'], 'the bound queue')

    @scenario('routing', requires={'mandatory'})
    def test_routing_mandatory(self, bench: Bench) -> None:
        """An unroutable message published as mandatory is returned: on_return, or an error,
        tells"""
        mandatory(bench, bench.connect())

    @scenario('routing', requires={'mandatory', 'confirms'})
    def test_routing_mandatory_confirmed(self, bench: Bench) -> None:
        """So it is when the connection uses publisher confirms"""
        mandatory(bench, bench.confirming())

    @scenario('routing')
    def test_routing_unroutable(self, bench: Bench) -> None:
        """An unroutable message that is not mandatory is dropped without a word"""
        connection = bench.connect()
        channel = connection.channel()
        exchange = bench.exchange(channel, 'direct')
        bench.publish(exchange, 'x', key='nowhere')
        queue = bench.queue(channel)
        bench.publish(queue, 'y')
        equal(bench.contents(queue, 1), ['y'], 'the channel still works')

    @scenario('routing')
    def test_routing_missing_exchange(self, bench: Bench) -> None:
        """Publishing to an exchange that does not exist is an error, at once or on the next call"""
        connection = bench.confirming()
        channel = connection.channel()
        name = bench.name('missing')

        def publish() -> None:
            channel.Producer().publish('x', exchange=name, routing_key='a')
            bench.queue(channel)

        try:
            publish()
        except bench.errors(connection):
            return
        check(False, 'nothing was raised')

    @scenario('routing')
    def test_routing_exchange_delete(self, bench: Bench) -> None:
        """Deleting an exchange takes its bindings with it and leaves the queues and their
        messages"""
        channel = bench.channel()
        exchange = bench.exchange(channel, 'direct')
        queue = bench.queue(channel, exchange=exchange, routing_key='a')
        bench.publish(exchange, 'x', key='a')
        exchange.delete()
        equal(bench.contents(queue, 1), ['x'], 'the queue that was bound')
        again = bench.exchange(channel, 'direct', name=exchange.name)
        bench.publish(again, 'y', key='a')
        bench.empty(queue, 'a new exchange of the same name has no bindings')

    @scenario('routing')
    def test_routing_queue_delete_unbinds(self, bench: Bench) -> None:
        """Deleting a queue takes its bindings with it"""
        channel = bench.channel()
        exchange = bench.exchange(channel, 'direct')
        queue, other = (bench.queue(channel, exchange=exchange, routing_key='a') for _ in range(2))
        queue.delete()
        bench.publish(exchange, 'x', key='a')
        equal(bench.contents(other, 1), ['x'], 'the other queue')
        bench.empty(bench.queue(channel, queue.name), 'a new queue of the same name')
