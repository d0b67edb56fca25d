"""Hygiene: nothing leaks, waiting costs nothing, closing is safe."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

from .. import leaks
from ..bench import Bench
from ..checks import check, equal, raises
from ..scenario import Scenarios, scenario

__all__ = ('Hygiene',)


#: What a channel can be asked after it was closed.
CLOSED_CHANNEL: dict[str, Callable[[Any, str], Any]] = {
    'exchange_declare': lambda channel, name: channel.exchange_declare(
        exchange=name, type='direct'
    ),
    'exchange_delete': lambda channel, name: channel.exchange_delete(name),
    'queue_declare': lambda channel, name: channel.queue_declare(queue=name),
    'queue_bind': lambda channel, name: channel.queue_bind(name, name, 'key'),
    'queue_unbind': lambda channel, name: channel.queue_unbind(name, name, 'key'),
    'queue_purge': lambda channel, name: channel.queue_purge(name),
    'queue_delete': lambda channel, name: channel.queue_delete(name),
    'basic_publish': lambda channel, name: channel.basic_publish(
        channel.prepare_message('x', content_type='text/plain', content_encoding='utf-8'),
        exchange='',
        routing_key=name,
    ),
    'basic_get': lambda channel, name: channel.basic_get(name),
    'basic_consume': lambda channel, name: channel.basic_consume(name, callback=print),
    'basic_qos': lambda channel, name: channel.basic_qos(0, 1, False),
}


class Hygiene(Scenarios):
    """Resources and ends."""

    @scenario('hygiene', needs={'proc'}, seconds=50)
    def test_hygiene_reconnects(self, bench: Bench) -> None:
        """After many connections, file descriptors, threads and memory are where they were"""
        queue = bench.queue(bench.channel())
        count = bench.target.reconnects
        if bench.target.missing({'processes'}):
            figures: dict[str, dict[str, int]] = leaks.measure_reconnects(
                bench.connect(), queue.name, count
            )
        else:
            child = bench.child('reconnect', name=queue.name, count=count)
            figures = json.loads(child.line('figures', 45 * bench.target.patience))
        before, after = figures['before'], figures['after']
        grown = {name: after[name] - before[name] for name in before}
        check(grown['fds'] <= 3, f'{grown["fds"]} more file descriptors after {count} connections')
        check(grown['threads'] <= 2, f'{grown["threads"]} more threads after {count} connections')
        check(grown['objects'] < 2 * count + 2000, f'{grown["objects"]} more objects')
        check(grown['kilobytes'] < 8 * count + 4000, f'{grown["kilobytes"]} KB more memory')

    @scenario('hygiene', needs={'proc'}, seconds=40)
    def test_hygiene_channels(self, bench: Bench) -> None:
        """So they are after many channels of one connection, and there is no limit to their
        number"""
        connection = bench.connect()
        queue = bench.queue(connection.channel())
        for count in range(2600):
            if count == 300:
                before = leaks.figures()
            channel = connection.channel()
            if not count % 10:
                bench.inbox(channel, queue(channel))
            channel.close()
        grown = leaks.figures()['objects'] - before['objects']
        check(grown < 4000, f'{grown} more objects after 2,300 channels')

    @scenario('hygiene', seconds=30)
    def test_hygiene_idle(self, bench: Bench) -> None:
        """Waiting for messages costs next to no CPU time"""
        queue = bench.queue(bench.channel())
        if bench.target.missing({'processes'}):
            figures = leaks.measure_idle(bench.connect(), queue.name, 2.0)
        else:
            child = bench.child('idle', name=queue.name, seconds=2.0)
            figures = json.loads(child.line('figures'))
        share = figures['cpu'] / figures['wall']
        check(figures['wall'] > 1.5, f'drain_events(timeout=2) ended after {figures["wall"]:.2f} s')
        check(share < 0.05, f'it took {100 * share:.0f} % of a processor')

    @scenario('hygiene')
    def test_hygiene_close_twice(self, bench: Bench) -> None:
        """Closing a channel or connection a second time does nothing"""
        connection = bench.connect()
        channel = connection.channel()
        for _ in range(2):
            channel.close()
        for _ in range(2):
            connection.release()
            connection.close()
        channel.close()

    @scenario('hygiene')
    def test_hygiene_reuse(self, bench: Bench) -> None:
        """A released connection can connect again; used without, it does so itself or raises
        what is documented"""
        connection = bench.connect()
        queue = bench.queue(connection.channel())
        for number in range(3):
            connection.release()
            try:
                connection.channel()
            except bench.errors(connection):
                pass
            connection.connect()
            queue = queue(connection.channel())
            bench.publish(queue, number)
        equal(bench.contents(queue, 3), [0, 1, 2], 'messages')

    @scenario('hygiene', seconds=30)
    def test_hygiene_close_blocked(self, bench: Bench) -> None:
        """Releasing a connection from another thread ends a blocked drain_events with a
        documented error"""
        connection = bench.connect()
        channel = connection.channel()
        bench.inbox(channel, bench.queue(channel))
        ended: list[Any] = []

        def wait() -> None:
            try:
                connection.drain_events(timeout=15)
            except Exception as exc:
                ended.append(exc)
            else:
                ended.append(None)

        thread = threading.Thread(target=wait, daemon=True)
        thread.start()
        time.sleep(0.3)
        errors = bench.errors(connection)
        result = bench.ends(10, connection.release, 'release')
        check(result is None or isinstance(result, errors), f'release raised {result!r}')
        thread.join(8 * bench.target.patience)
        check(ended, 'drain_events went on after release()')
        check(
            isinstance(ended[0], (*errors, TimeoutError)), f'drain_events ended with {ended[0]!r}'
        )

    @scenario('hygiene')
    def test_hygiene_closed_channel(self, bench: Bench) -> None:
        """Every method of a closed channel raises a documented error"""
        connection = bench.connect()
        queue = bench.queue(connection.channel())
        errors = bench.errors(connection)
        by_channel, by_connection = connection.channel(), connection.channel()
        by_channel.close()
        for name, call in CLOSED_CHANNEL.items():
            raises(
                errors,
                partial(call, by_channel, queue.name),
                f'{name}() on a closed channel',
            )
        connection.release()
        for name, call in CLOSED_CHANNEL.items():
            raises(
                errors,
                partial(call, by_connection, queue.name),
                f'{name}() on a channel of a released connection',
            )

    @scenario('hygiene')
    def test_hygiene_closed_entities(self, bench: Bench) -> None:
        """So do queues, exchanges, producers and consumers of a closed channel"""
        connection = bench.connect()
        errors = bench.errors(connection)
        channel = connection.channel()
        exchange = bench.exchange(channel)
        queue = bench.queue(channel, exchange=exchange, routing_key='a')
        producer = channel.Producer(auto_declare=False)
        consumer = channel.Consumer([queue], auto_declare=False)
        channel.close()
        calls: dict[str, Callable[[], Any]] = {
            'Queue.declare': queue.declare,
            'Queue.get': queue.get,
            'Queue.purge': queue.purge,
            'Queue.delete': queue.delete,
            'Queue.bind_to': partial(queue.bind_to, exchange, 'b'),
            'Exchange.declare': exchange.declare,
            'Exchange.delete': exchange.delete,
            'Producer.publish': partial(producer.publish, 'x', exchange='', routing_key=queue.name),
            'Consumer.consume': consumer.consume,
            'Consumer.qos': partial(consumer.qos, prefetch_count=1),
        }
        for name, call in calls.items():
            raises(errors, call, f'{name}() on a closed channel')

    @scenario('hygiene')
    def test_hygiene_closed_message(self, bench: Bench) -> None:
        """Settling a message whose channel is closed raises a documented error, and settles
        nothing"""
        connection = bench.connect()
        errors = bench.errors(connection)
        channel = connection.channel()
        queue = bench.queue(channel)
        for settle in ('ack', 'reject', 'requeue'):
            bench.publish(queue, 'x')
            message = bench.take(queue)
            channel.close()
            raises(errors, getattr(message, settle), f'{settle}() after the channel was closed')
            channel = connection.channel()
            queue = queue(channel)
            equal(bench.contents(queue, 1), ['x'], 'back in the queue')

    @scenario('hygiene')
    def test_hygiene_repr(self, bench: Bench) -> None:
        """repr() of everything works, connected or not, does not connect, and shows no password"""
        connection = bench.connect()
        secret = connection.password
        shown = [repr(connection)]
        check(not connection.connected, 'repr() connected')
        channel = connection.channel()
        queue = bench.queue(channel)
        exchange = bench.exchange(channel)
        bench.publish(queue, 'x')
        things = [
            connection,
            channel,
            queue,
            exchange,
            bench.take(queue),
            channel.Consumer([queue]),
            connection.Producer(),
            connection.transport,
        ]
        shown += map(repr, things)
        connection.release()
        shown += map(repr, things)
        if secret and secret != connection.userid:
            check(not any(secret in text for text in shown), 'a repr() shows the password')
