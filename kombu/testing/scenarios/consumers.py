"""Consumers: how they share a queue, stop, and learn that it is gone."""

from __future__ import annotations

from functools import partial
from typing import Any

from kombu.asynchronous import Hub, get_event_loop, set_event_loop
from kombu.entity import Queue

from ..bench import Bench, Inbox
from ..checks import check, equal
from ..scenario import Scenarios, scenario

__all__ = ('Consumers',)


def spread(inboxes: list[Inbox]) -> list[int]:
    """Return how many messages each has, smallest first."""
    return sorted(len(inbox.messages) for inbox in inboxes)


def share(bench: Bench, queue: Any, inboxes: list[Inbox], least: int = 8) -> None:
    """Publish 20 messages, of which each of the consumers must get `least`."""
    bench.publish(queue, *range(20))
    channels = [inbox.channel for inbox in inboxes]
    bench.wait(channels, lambda: sum(spread(inboxes)) >= 20)
    got = sorted(body for inbox in inboxes for body in inbox.bodies)
    equal(got, list(range(20)), 'what both got together')
    check(spread(inboxes)[0] >= least, f'they got {spread(inboxes)} of 20')


def times_out(bench: Bench, connection: Any, seconds: float) -> None:
    """Drain when nothing happens."""
    start = bench.now()
    try:
        connection.drain_events(timeout=seconds)
    except TimeoutError:
        took = bench.now() - start
        check(0.5 * seconds <= took, f'it raised after {took:.3f} s of {seconds} s')
        check(took < seconds + 2 * bench.target.patience, f'{took:.2f} s instead of {seconds} s')
    else:
        check(False, f'drain_events(timeout={seconds}) returned although nothing happened')


class Consumers(Scenarios):
    """One queue, several consumers."""

    @scenario('consumer')
    def test_consumer_share_channel(self, bench: Bench) -> None:
        """Two consumers of one queue on one channel take turns"""
        channel = bench.channel()
        queue = bench.queue(channel)
        inboxes = [bench.inbox(channel, queue, settle=True) for _ in range(2)]
        share(bench, queue, inboxes)

    @scenario('consumer')
    def test_consumer_share_connection(self, bench: Bench) -> None:
        """Two consumers of one queue on two channels of one connection take turns"""
        connection = bench.connect()
        queue = bench.queue(connection.channel())
        inboxes = [
            bench.inbox(channel, queue(channel), settle=True, prefetch_count=1)
            for channel in (connection.channel(), connection.channel())
        ]
        share(bench, queue, inboxes)

    @scenario('consumer')
    def test_consumer_share_connections(self, bench: Bench) -> None:
        """Two consumers of one queue on two connections both get some, each message once"""
        queue = bench.queue(bench.channel())
        inboxes = [
            bench.inbox(channel, queue(channel), settle=True, prefetch_count=1)
            for channel in (bench.channel(), bench.channel())
        ]
        share(bench, queue, inboxes, least=2)

    @scenario('consumer')
    def test_consumer_two_queues(self, bench: Bench) -> None:
        """A consumer of two queues gets the messages of both, neither starves"""
        channel = bench.channel()
        queues = [bench.queue(channel) for _ in range(2)]
        for queue, base in zip(queues, (0, 100), strict=True):
            bench.publish(queue, *range(base, base + 20))
        inbox = bench.inbox(channel, *queues, settle=True, prefetch_count=1)
        inbox.wait(40)
        early = {body // 100 for body in inbox.bodies[:30]}
        equal(early, {0, 1}, 'queues heard of in the first 30 of 40 messages')

    @scenario('consumer')
    def test_consumer_cancel(self, bench: Bench) -> None:
        """Cancelling a consumer stops that one and no other"""
        channel = bench.channel()
        queue = bench.queue(channel)
        stopped, other = (bench.inbox(channel, queue, settle=True) for _ in range(2))
        stopped.consumer.cancel()
        bench.publish(queue, *range(5))
        equal(other.wait(5), list(range(5)), 'the other consumer')
        equal(stopped.bodies, [], 'the cancelled consumer')
        other.consumer.cancel()
        bench.publish(queue, 'x')
        other.linger(bench.target.settle)
        equal(len(other.messages), 5, 'messages after the second was cancelled too')
        equal(bench.contents(queue, 1), ['x'], 'left in the queue')

    @scenario('consumer')
    def test_consumer_cancel_keeps(self, bench: Bench) -> None:
        """What a cancelled consumer holds stays in hand: to be settled, or given back by
        closing the channel"""
        connection = bench.connect()
        channel = connection.channel()
        queue = bench.queue(channel)
        bench.publish(queue, 0, 1)
        inbox = bench.inbox(channel, queue)
        inbox.wait(2)
        inbox.consumer.cancel()
        probe = queue(connection.channel())
        bench.empty(probe, 'while the cancelled consumer holds both')
        inbox.messages[0].ack()
        channel.close()
        equal(bench.contents(probe, 1), [1], 'what came back')

    @scenario('consumer')
    def test_consumer_again(self, bench: Bench) -> None:
        """A consumer can consume again after it was cancelled"""
        channel = bench.channel()
        queue = bench.queue(channel)
        inbox = bench.inbox(channel, queue, settle=True)
        inbox.consumer.cancel()
        inbox.consumer.consume()
        inbox.consumer.consume()
        bench.publish(queue, 1, 2)
        equal(inbox.wait(2), [1, 2], 'messages')

    @scenario('consumer', requires={'consumer_prefetch'})
    def test_consumer_prefetch_each(self, bench: Bench) -> None:
        """Each consumer has a prefetch count of its own"""
        channel = bench.channel()
        inboxes = []
        for prefetch in (1, 3):
            queue = bench.queue(channel)
            bench.publish(queue, *range(6))
            channel.basic_qos(0, prefetch, False)
            inboxes.append(bench.inbox(channel, queue))
        bench.wait([channel], lambda: sum(spread(inboxes)) >= 4)
        inboxes[0].linger(bench.target.settle)
        equal([len(inbox.messages) for inbox in inboxes], [1, 3], 'messages in hand')

    @scenario('consumer')
    def test_consumer_prefetch_at_once(self, bench: Bench) -> None:
        """The prefetch count holds from the moment consume() returns, so another consumer gets
        the rest"""
        connection = bench.connect()
        channel = connection.channel()
        queue = bench.queue(channel)
        bench.publish(queue, *range(10))
        first = bench.inbox(channel, queue, prefetch_count=1)
        second = bench.inbox(bench.channel(), queue(bench.channel()), prefetch_count=20)
        bench.wait([first.channel, second.channel], lambda: sum(spread([first, second])) >= 10)
        equal(spread([first, second]), [1, 9], 'messages in hand')

    @scenario('consumer')
    def test_consumer_prefetch_zero(self, bench: Bench) -> None:
        """A prefetch count of zero means no limit"""
        channel = bench.channel()
        queue = bench.queue(channel)
        bench.publish(queue, *range(30))
        inbox = bench.inbox(channel, queue, prefetch_count=2)
        inbox.wait(2)
        inbox.consumer.cancel()
        inbox.consumer.qos(prefetch_count=0)
        inbox.consumer.consume()
        equal(sorted(inbox.wait(30)), list(range(30)), 'messages')

    @scenario('consumer')
    def test_consumer_no_ack(self, bench: Bench) -> None:
        """A no_ack consumer is not limited by prefetch, and what it got does not come back"""
        connection = bench.connect()
        channel = connection.channel()
        queue = bench.queue(channel)
        bench.publish(queue, *range(10))
        inbox = bench.inbox(channel, queue, no_ack=True, prefetch_count=1)
        equal(inbox.wait(10), list(range(10)), 'messages')
        connection.release()
        bench.empty(queue(bench.channel()), 'after the connection was closed')

    @scenario('consumer')
    def test_consumer_told_of_deletion(self, bench: Bench) -> None:
        """A consumer whose queue is deleted is told by on_cancel, and the channel goes on"""
        connection = bench.connect()
        channel = connection.channel()
        doomed, queue = bench.queue(channel), bench.queue(channel)
        told: list[Any] = []
        doomed.consume(consumer_tag='doomed', callback=lambda message: None, on_cancel=told.append)
        doomed(connection.channel()).delete()
        bench.wait([channel], lambda: bool(told))
        equal(told, ['doomed'], 'tags passed to on_cancel')
        bench.publish(queue, 'x')
        equal(bench.contents(queue, 1), ['x'], 'another queue of the channel')

    @scenario('consumer', requires={'recover'})
    def test_consumer_recover(self, bench: Bench) -> None:
        """basic_recover(requeue=True) delivers again what is not acknowledged, flagged as
        redelivered"""
        channel = bench.channel()
        queue = bench.queue(channel)
        bench.publish(queue, *range(3))
        inbox = bench.inbox(channel, queue)
        inbox.wait(3)
        inbox.messages[1].ack()
        channel.basic_recover(requeue=True)
        inbox.wait(5)
        again = inbox.messages[3:]
        bodies = [message.decode() for message in again]
        equal(bench.in_order(bodies), [0, 2], 'delivered again')
        check(all(message.delivery_info.get('redelivered') for message in again), 'not flagged')

    @scenario('consumer')
    def test_consumer_callback_error(self, bench: Bench) -> None:
        """An error raised by a callback reaches the caller of drain_events; message and
        connection survive"""
        connection = bench.connect()
        channel = connection.channel()
        queue = bench.queue(channel)
        bench.publish(queue, 'bad', 'good')
        got: list[Any] = []

        def handle(message: Any) -> None:
            if message.decode() == 'bad' and not got:
                got.append(message)
                raise ZeroDivisionError('from the callback')
            got.append(message)

        consumer = channel.Consumer([queue], on_message=handle, auto_declare=False)
        consumer.consume()
        try:
            bench.wait([channel], lambda: len(got) >= 2)
        except ZeroDivisionError:
            pass
        else:
            check(False, 'the error did not come out of drain_events')
        bench.wait([channel], lambda: len(got) >= 2)
        equal([message.decode() for message in got], ['bad', 'good'], 'delivered')
        got[0].ack()
        got[1].ack()
        channel.close()
        bench.empty(queue(connection.channel()), 'after both were acknowledged')

    @scenario('consumer')
    def test_consumer_settle_in_callback(self, bench: Bench) -> None:
        """A callback may publish, declare, acknowledge and cancel on its own channel"""
        channel = bench.channel()
        queue, replies = bench.queue(channel), bench.queue(channel)
        bench.publish(queue, 'ping')
        done: list[Any] = []

        def handle(message: Any) -> None:
            replies.declare()
            bench.publish(replies, 'pong')
            message.ack()
            consumer.cancel()
            done.append(message)

        consumer = channel.Consumer([queue], on_message=handle, auto_declare=False)
        consumer.consume()
        bench.wait([channel], lambda: bool(done))
        equal(bench.contents(replies, 1), ['pong'], 'the reply')
        bench.publish(queue, 'after')
        equal(bench.contents(queue, 1), ['after'], 'after cancel')

    @scenario('consumer')
    def test_consumer_wait_wakes(self, bench: Bench) -> None:
        """A blocked drain_events wakes up soon after another connection publishes"""
        channel = bench.channel()
        queue = bench.queue(channel)
        inbox = bench.inbox(channel, queue, settle=True)
        inbox.linger(0.05)
        waits = []
        publisher = queue(bench.channel())
        for number in range(5):
            start = bench.later(0.1, partial(bench.publish, publisher, number))
            inbox.wait(number + 1, 10)
            waits.append(bench.now() - start)
        limit = (0.1 + 1.0 + bench.target.settle) * bench.target.patience
        check(max(waits) < limit, f'from the call to the arrival it took {max(waits):.2f} s')

    @scenario('consumer', requires={'asynchronous'})
    def test_consumer_event_loop(self, bench: Bench) -> None:
        """On the event loop, messages are delivered when they come, and timers fire meanwhile"""
        hub = Hub()
        previous = get_event_loop()
        set_event_loop(hub)
        bench.finally_(partial(set_event_loop, previous))
        bench.finally_(hub.close)
        connection = bench.connect()
        connection.register_with_event_loop(hub)
        inbox = bench.inbox(connection.channel(), bench.queue(connection.channel()), settle=True)
        publisher = inbox.consumer.queues[0](bench.channel())
        ticks: list[float] = []
        hub.call_repeatedly(0.05, lambda: ticks.append(bench.now()))
        bench.publish(publisher, 0)
        hub.call_later(0.4, bench.publish, publisher, 1)
        loop = hub.create_loop()
        start = bench.now()
        while len(inbox.messages) < 2 and bench.now() < start + 5 * bench.target.patience:
            next(loop)
        equal(inbox.bodies, [0, 1], 'messages')
        check(len(ticks) >= 3, f'a timer of 0.05 s fired {len(ticks)} times in 0.4 s')

    @scenario('consumer')
    def test_consumer_timeout(self, bench: Bench) -> None:
        """drain_events with a timeout raises socket.timeout in that time, with and without
        consumers"""
        connection = bench.connect()
        channel = connection.channel()
        queue = bench.queue(channel)
        for seconds in (0.05, 0.3):
            times_out(bench, connection, seconds)
        consumer = Queue(queue.name)(channel)
        consumer.consume(callback=lambda message: None)
        for seconds in (0.05, 0.3):
            times_out(bench, connection, seconds)
