"""Queues: what is declared on them, who may use them, when they go."""

from __future__ import annotations

from functools import partial
from typing import Any

from kombu.entity import Exchange, Queue

from ..bench import Bench
from ..checks import check, equal, eventually, raises
from ..scenario import Scenarios, scenario

__all__ = ('Queues',)


class Queues(Scenarios):
    """Declaration and lifetime."""

    @scenario('queue')
    def test_queue_redeclare(self, bench: Bench) -> None:
        """Declaring a queue or exchange again, alike, changes nothing"""
        channel = bench.channel()
        exchange = bench.exchange(channel, 'direct')
        queue = bench.queue(channel, exchange=exchange, routing_key='a')
        bench.publish(exchange, 1, key='a')
        other = bench.channel()
        exchange(other).declare()
        queue(other).declare()
        bench.publish(exchange, 2, key='a')
        equal(bench.contents(queue, 2), [1, 2], 'contents')

    @scenario('queue')
    def test_queue_server_named(self, bench: Bench) -> None:
        """A queue declared without a name gets one of its own"""
        channel = bench.channel()
        names = set()
        for _ in range(2):
            queue: Any = Queue('', exclusive='exclusive' in bench.target.claims())(channel)
            queue.declare()
            bench.finally_(queue.delete)
            check(queue.name, 'the queue has no name after declare()')
            names.add(queue.name)
            bench.publish(queue, queue.name)
            equal(bench.contents(queue, 1), [queue.name], 'contents')
        equal(len(names), 2, 'different names')

    @scenario('queue', requires={'passive'})
    def test_queue_passive(self, bench: Bench) -> None:
        """A passive declare answers for what exists, raises for what does not, and creates
        nothing"""
        connection = bench.connect()
        channel = connection.channel()
        queue, exchange = bench.queue(channel), bench.exchange(channel)
        bench.publish(queue, 1, 2)
        bench.sleep(bench.target.settle)
        equal(bench.count(queue), 2, 'message_count')
        Exchange(exchange.name, passive=True)(channel).declare()
        missing = bench.name('missing')
        for declare in (
            lambda: connection.channel().queue_declare(queue=missing, passive=True),
            lambda: connection.channel().exchange_declare(
                exchange=missing, type='direct', passive=True
            ),
        ):
            for _ in range(2):
                raises(
                    connection.channel_errors, declare, 'a passive declare of what does not exist'
                )

    @scenario('queue')
    def test_queue_consumer_count(self, bench: Bench) -> None:
        """Declaring a queue tells how many consumers it has"""
        connection = bench.connect()
        channel = connection.channel()
        queue = bench.queue(channel)

        def consumers() -> int:
            declared = channel.queue_declare(queue=queue.name, durable=True, auto_delete=False)
            return int(declared[2])

        equal(consumers(), 0, 'consumers of a new queue')
        inbox, _ = bench.inbox(channel, queue), bench.inbox(channel, queue)
        equal(consumers(), 2, 'consumers')
        inbox.consumer.cancel()
        equal(consumers(), 1, 'consumers after one was cancelled')

    @scenario('queue', requires={'exclusive'})
    def test_queue_exclusive(self, bench: Bench) -> None:
        """An exclusive queue is refused to other connections and goes with its own"""
        connection, other = bench.connect(), bench.connect()
        queue = bench.queue(connection.channel(), exclusive=True)
        bench.queue(connection.channel(), queue.name, exclusive=True)
        for declare in (
            lambda: Queue(queue.name, exclusive=True)(other.channel()).declare(),
            lambda: Queue(queue.name)(other.channel()).consume(callback=print),
        ):
            raises(bench.errors(other), declare, 'using the exclusive queue of another connection')
        connection.release()
        probe = queue(bench.channel())
        eventually(lambda: not bench.exists(probe), what='the queue gone with its connection')

    @scenario('queue', requires={'auto_delete', 'passive'})
    def test_queue_auto_delete(self, bench: Bench) -> None:
        """An auto-delete queue goes with its last consumer, and not before there was one"""
        connection = bench.connect()
        channel = connection.channel()
        queue = bench.queue(channel, auto_delete=True)
        bench.publish(queue, 1)
        bench.sleep(bench.target.settle)
        check(bench.exists(queue), 'it went before there was a consumer')
        inbox, other = bench.inbox(channel, queue), bench.inbox(connection.channel(), queue)
        inbox.consumer.cancel()
        check(bench.exists(queue), 'it went with the first of two consumers')
        other.channel.close()
        eventually(lambda: not bench.exists(queue), what='the queue gone with its last consumer')

    @scenario('queue', requires={'auto_delete', 'passive'})
    def test_queue_exchange_auto_delete(self, bench: Bench) -> None:
        """An auto-delete exchange goes with its last binding, and not before there was one"""
        connection = bench.connect()
        channel = connection.channel()
        exchange = bench.exchange(channel, 'direct', auto_delete=True)
        queue = bench.queue(channel)

        def exists() -> bool:
            try:
                with connection.channel() as probe:
                    probe.exchange_declare(
                        exchange=exchange.name,
                        type='direct',
                        durable=True,
                        auto_delete=True,
                        passive=True,
                    )
            except connection.channel_errors:
                return False
            return True

        check(exists(), 'it went before there was a binding')
        queue.bind_to(exchange, 'a')
        queue.bind_to(exchange, 'b')
        queue.unbind_from(exchange, 'a')
        check(exists(), 'it went with the first of two bindings')
        queue.delete()
        eventually(lambda: not exists(), what='the exchange gone with its last binding')

    @scenario('queue', requires={'queue_expires', 'passive'})
    def test_queue_expires(self, bench: Bench) -> None:
        """A queue unused for its x-expires is deleted; one with a consumer is not"""
        connection = bench.connect()
        channel = connection.channel()
        age = 5 * bench.target.tick
        used, unused = (bench.queue(channel, expires=age) for _ in range(2))
        inbox = bench.inbox(channel, used)
        bench.sleep(2 * age)
        inbox.linger(0)
        eventually(lambda: not bench.exists(unused), what='the unused queue gone')
        check(bench.exists(used), 'the queue with a consumer went too')

    @scenario('queue', requires={'inequivalent'})
    def test_queue_inequivalent(self, bench: Bench) -> None:
        """Declaring a queue again with other properties is refused, and changes nothing"""
        connection = bench.connect()
        queue = bench.queue(connection.channel(), durable=True)
        for options in (
            {'durable': False},
            {'auto_delete': True},
            {'max_length': 5},
            {'queue_arguments': {'x-dead-letter-exchange': 'other'}},
        ):
            again: Any = Queue(queue.name, **options)(connection.channel())
            raises(
                connection.channel_errors, again.queue_declare, f'declaring again with {options}'
            )
        queue = queue(connection.channel())
        queue.declare()
        bench.publish(queue, *range(6))
        equal(bench.contents(queue, 6), list(range(6)), 'contents')

    @scenario('queue', requires={'inequivalent'})
    def test_queue_exchange_inequivalent(self, bench: Bench) -> None:
        """Declaring an exchange again with another type or properties is refused"""
        connection = bench.connect()
        exchange = bench.exchange(connection.channel(), 'direct')
        other = {'exchange:topic', 'exchange:fanout'} & bench.target.claims()
        changes: tuple[dict[str, Any], ...] = (
            *({'type': kind.partition(':')[2]} for kind in sorted(other)),
            {'durable': False},
            {'auto_delete': True},
        )
        for options in changes:
            again: Any = Exchange(exchange.name, **{'type': 'direct', **options})(
                connection.channel()
            )
            raises(connection.channel_errors, again.declare, f'declaring again with {options}')

    @scenario('queue')
    def test_queue_if_empty(self, bench: Bench) -> None:
        """Deleting a queue if_empty is refused while it has messages"""
        connection = bench.connect()
        queue = bench.queue(connection.channel())
        bench.publish(queue, 1)
        bench.sleep(bench.target.settle)
        raises(
            connection.channel_errors, lambda: queue.delete(if_empty=True), 'delete(if_empty=True)'
        )
        queue = queue(connection.channel())
        equal(bench.contents(queue, 1), [1], 'contents')
        queue.delete(if_empty=True)

    @scenario('queue')
    def test_queue_if_unused(self, bench: Bench) -> None:
        """Deleting a queue if_unused is refused while it has consumers"""
        connection = bench.connect()
        queue = bench.queue(connection.channel())
        inbox = bench.inbox(connection.channel(), queue)
        raises(
            connection.channel_errors,
            lambda: queue(connection.channel()).delete(if_unused=True),
            'delete(if_unused=True)',
        )
        inbox.consumer.cancel()
        queue(connection.channel()).delete(if_unused=True)

    @scenario('queue')
    def test_queue_exchange_if_unused(self, bench: Bench) -> None:
        """Deleting an exchange if_unused is refused while it has bindings"""
        connection = bench.connect()
        exchange = bench.exchange(connection.channel(), 'direct')
        queue = bench.queue(connection.channel(), exchange=exchange, routing_key='a')
        raises(
            connection.channel_errors,
            lambda: exchange(connection.channel()).delete(if_unused=True),
            'delete(if_unused=True)',
        )
        queue.delete()
        exchange(connection.channel()).delete(if_unused=True)

    @scenario('queue', requires={'passive'})
    def test_queue_missing(self, bench: Bench) -> None:
        """Getting or consuming from a queue that does not exist raises a channel error"""
        connection = bench.connect()
        for use in (lambda queue: queue.get(), lambda queue: queue.consume(callback=print)):
            queue: Any = Queue(bench.name('missing'))(connection.channel())
            raises(connection.channel_errors, partial(use, queue), 'using it')
        channel = connection.channel()
        bench.publish(bench.queue(channel), 1)

    @scenario('queue', requires={'persistent', 'processes'}, needs={'kill', 'restart'}, seconds=50)
    def test_queue_durable(self, bench: Bench) -> None:
        """Durable queues, exchanges, bindings and persistent messages survive a restart of the
        broker"""
        connection = bench.confirming()
        channel = connection.channel()
        exchange = bench.exchange(channel, 'direct')
        queue = bench.queue(channel, exchange=exchange, routing_key='a')
        bench.publish(exchange, *range(20), key='a')
        bench.hook('kill')()
        bench.hook('restart')()
        bench.ends(10, connection.release, 'release')
        queue, exchange = queue(bench.channel()), exchange(bench.channel())
        equal(bench.contents(queue, 20), list(range(20)), 'messages')
        bench.publish(exchange, 'x', key='a')
        equal(bench.contents(queue, 1), ['x'], 'through the binding')
