"""Delivery: messages arrive once, in order, and come back when not acknowledged."""

from __future__ import annotations

from ..bench import Bench
from ..checks import check, equal
from ..scenario import Scenarios, scenario

__all__ = ('Delivery',)


class Delivery(Scenarios):
    """What every queue does."""

    @scenario('delivery')
    def test_delivery_all(self, bench: Bench) -> None:
        """Every published message is received, once"""
        queue = bench.queue(bench.channel())
        bench.publish(queue, *range(100))
        channel = bench.channel()
        inbox = bench.inbox(channel, queue(channel), settle=True)
        equal(sorted(inbox.wait(100)), list(range(100)), 'bodies')
        bench.empty(queue, 'after everything was acknowledged')

    @scenario('delivery', needs={'ordered'})
    def test_delivery_fifo(self, bench: Bench) -> None:
        """First in, first out"""
        queue = bench.queue(bench.channel())
        bench.publish(queue, *range(50))
        channel = bench.channel()
        inbox = bench.inbox(channel, queue(channel), settle=True)
        equal(inbox.wait(50), list(range(50)), 'consumed')
        inbox.consumer.cancel()
        bench.publish(queue, *range(50))
        equal(bench.contents(queue, 50), list(range(50)), 'got')

    @scenario('delivery', needs={'ordered'})
    def test_delivery_fifo_prefetch(self, bench: Bench) -> None:
        """The order is kept when the prefetch count is smaller than the backlog"""
        channel = bench.channel()
        queue = bench.queue(channel)
        bench.publish(queue, *range(40))
        inbox = bench.inbox(channel, queue, settle=True, prefetch_count=3)
        equal(inbox.wait(40), list(range(40)), 'bodies')

    @scenario('delivery')
    def test_delivery_prefetch_limits(self, bench: Bench) -> None:
        """No more unacknowledged messages are delivered than the prefetch count"""
        channel = bench.channel()
        queue = bench.queue(channel)
        bench.publish(queue, *range(10))
        inbox = bench.inbox(channel, queue, prefetch_count=4)
        inbox.wait(4)
        inbox.linger(bench.target.settle)
        equal(len(inbox.messages), 4, 'messages in hand')
        inbox.messages[0].ack()
        inbox.wait(5)
        inbox.linger(bench.target.settle)
        equal(len(inbox.messages), 5, 'messages delivered after one was acknowledged')

    @scenario('delivery')
    def test_delivery_batch(self, bench: Bench) -> None:
        """Everything published in a batch has left when the block ends, in order"""
        queue = bench.queue(bench.channel())
        other = queue(bench.channel())
        producer = queue.channel.Producer(auto_declare=False)
        with producer.batch(10):
            for number in range(25):
                producer.publish(number, exchange='', routing_key=queue.name)
        bodies = bench.contents(other, 25)
        equal(bodies if bench.target.ordered else sorted(bodies), list(range(25)), 'messages')

    @scenario('delivery')
    def test_delivery_get_empty(self, bench: Bench) -> None:
        """Getting from an empty queue returns None at once"""
        equal(bench.queue(bench.channel()).get(), None, 'message')

    @scenario('delivery')
    def test_delivery_ack(self, bench: Bench) -> None:
        """An acknowledged message never comes back"""
        connection = bench.connect()
        channel = connection.channel()
        queue = bench.queue(channel)
        bench.publish(queue, 1, 2)
        for message in bench.take_all(queue, 2):
            message.ack()
        channel.close()
        bench.empty(queue(connection.channel()), 'after both were acknowledged')
        connection.release()
        bench.empty(queue(bench.channel()), 'after the connection was closed')

    @scenario('delivery')
    def test_delivery_no_ack_get(self, bench: Bench) -> None:
        """A message got with no_ack is gone"""
        connection = bench.connect()
        queue = bench.queue(connection.channel())
        bench.publish(queue, 1)
        bench.take(queue, no_ack=True)
        connection.release()
        bench.empty(queue(bench.channel()), 'after a get with no_ack')

    @scenario('delivery')
    def test_delivery_ack_one_of_many(self, bench: Bench) -> None:
        """Acknowledging a message leaves those before and after it alone"""
        connection = bench.connect()
        queue = bench.queue(connection.channel())
        bench.publish(queue, 0, 1, 2)
        messages = bench.take_all(queue, 3)
        second = next(message for message in messages if message.decode() == 1)
        second.ack()
        connection.release()
        equal(sorted(bench.contents(queue(bench.channel()), 2)), [0, 2], 'what came back')

    @scenario('delivery', needs={'ordered'})
    def test_delivery_ack_multiple(self, bench: Bench) -> None:
        """ack(multiple=True) settles everything up to that message and nothing after it"""
        connection = bench.connect()
        queue = bench.queue(connection.channel())
        bench.publish(queue, *range(5))
        messages = bench.take_all(queue, 5)
        messages[2].ack(multiple=True)
        connection.release()
        bodies = bench.contents(queue(bench.channel()), 2)
        equal(bench.in_order(bodies), [3, 4], 'what came back')

    @scenario('delivery')
    def test_delivery_reject(self, bench: Bench) -> None:
        """A rejected message is dropped"""
        connection = bench.connect()
        queue = bench.queue(connection.channel())
        bench.publish(queue, 1)
        bench.take(queue).reject()
        connection.release()
        bench.empty(queue(bench.channel()), 'after the only message was rejected')

    @scenario('delivery')
    def test_delivery_requeue(self, bench: Bench) -> None:
        """A requeued message is delivered again, flagged as redelivered"""
        queue = bench.queue(bench.channel())
        bench.publish(queue, 1)
        message = bench.take(queue)
        equal(bool(message.delivery_info.get('redelivered')), False, 'redelivered, the first time')
        message.requeue()
        again = bench.take(queue)
        equal(again.decode(), 1, 'body')
        equal(bool(again.delivery_info.get('redelivered')), True, 'redelivered, after a requeue')
        again.ack()
        bench.empty(queue, 'after the requeued message was acknowledged')

    @scenario('delivery', requires={'requeue_head'}, needs={'ordered'})
    def test_delivery_requeue_head(self, bench: Bench) -> None:
        """A requeued message goes back to the head of its queue"""
        queue = bench.queue(bench.channel())
        bench.publish(queue, 0, 1, 2)
        bench.take(queue).requeue()
        equal(bench.contents(queue, 3), [0, 1, 2], 'order after a requeue')

    @scenario('delivery', requires={'requeue_head', 'exchange:fanout'}, needs={'ordered'})
    def test_delivery_requeue_same_queue(self, bench: Bench) -> None:
        """A requeued message goes to its own queue only, not through the exchange again"""
        channel = bench.channel()
        exchange = bench.exchange(channel, 'fanout')
        first, second = (bench.queue(channel, exchange=exchange) for _ in range(2))
        bench.publish(exchange, 'x')
        bench.take(first).requeue()
        equal(bench.contents(second, 1), ['x'], 'the other queue')
        equal(bench.contents(first, 1), ['x'], 'the queue it came from')

    @scenario('delivery', needs={'ordered'})
    def test_delivery_back_on_channel_close(self, bench: Bench) -> None:
        """Closing a channel gives back what it held, in order, flagged as redelivered"""
        connection = bench.connect()
        channel = connection.channel()
        queue = bench.queue(channel)
        bench.publish(queue, *range(6))
        bench.take_all(queue, 4)
        channel.close()
        queue = queue(connection.channel())
        messages = bench.take_all(queue, 6)
        flagged = {m.decode() for m in messages if m.delivery_info.get('redelivered')}
        equal(flagged, {0, 1, 2, 3}, 'messages flagged as redelivered')
        bodies = [message.decode() for message in messages]
        equal(bench.in_order(bodies), list(range(6)), 'order')

    @scenario('delivery', needs={'ordered'})
    def test_delivery_back_on_release(self, bench: Bench) -> None:
        """Releasing a connection gives back what its consumers held, in order"""
        connection = bench.connect()
        channel = connection.channel()
        queue = bench.queue(channel)
        bench.publish(queue, *range(6))
        inbox = bench.inbox(channel, queue, prefetch_count=4)
        inbox.wait(4)
        connection.release()
        bodies = bench.contents(queue(bench.channel()), 6)
        equal(bench.in_order(bodies), list(range(6)), 'order')

    @scenario('delivery')
    def test_delivery_settled_twice(self, bench: Bench) -> None:
        """Settling a message twice raises MessageStateError and does no harm"""
        queue = bench.queue(bench.channel())
        bench.publish(queue, 1, 2)
        message = bench.take(queue)
        message.ack()
        for again in (message.ack, message.reject, message.requeue):
            try:
                again()
            except message.MessageStateError:
                continue
            check(False, f'{again.__name__}() after ack() raised nothing')
        equal(len(bench.contents(queue, 1)), 1, 'messages left')

    @scenario('delivery')
    def test_delivery_count(self, bench: Bench) -> None:
        """Declaring a queue tells how many messages are ready in it"""
        channel = bench.channel()
        queue = bench.queue(channel)
        bench.publish(queue, *range(5))
        bench.sleep(bench.target.settle)
        declared = channel.queue_declare(queue=queue.name, durable=True, auto_delete=False)
        equal((declared[0], declared[1]), (queue.name, 5), 'name and count')
        bench.take(queue)
        declared = channel.queue_declare(queue=queue.name, durable=True, auto_delete=False)
        equal(declared[1], 4, 'count while one is unacknowledged')

    @scenario('delivery')
    def test_delivery_purge(self, bench: Bench) -> None:
        """Purging removes what is ready, tells how many that were, and leaves alone what is in
        hand"""
        connection = bench.connect()
        queue = bench.queue(connection.channel())
        bench.publish(queue, *range(5))
        bench.take(queue)
        bench.sleep(bench.target.settle)
        equal(queue.purge(), 4, 'purge()')
        equal(queue.purge(), 0, 'purge() of an empty queue')
        connection.release()
        equal(len(bench.contents(queue(bench.channel()), 1)), 1, 'messages left')

    @scenario('delivery')
    def test_delivery_delete(self, bench: Bench) -> None:
        """Deleting a queue tells how many messages went with it; a new one of that name is empty"""
        channel = bench.channel()
        queue = bench.queue(channel)
        bench.publish(queue, 1, 2)
        bench.sleep(bench.target.settle)
        equal(queue.delete(), 2, 'delete()')
        bench.empty(bench.queue(channel, queue.name), 'a new queue of the same name')
