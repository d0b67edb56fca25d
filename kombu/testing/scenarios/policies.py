"""Queue policies: TTL, dead-lettering, limits, priority, delay
(https://www.rabbitmq.com/docs/queues)."""

from __future__ import annotations

from typing import Any

from amqp.exceptions import MessageNacked

from ..bench import Bench
from ..checks import check, equal, raises
from ..scenario import Scenarios, scenario

__all__ = ('Policies',)


def dead_lettering(bench: Bench, channel: Any, **options: Any) -> tuple[Any, Any]:
    """Declare a queue that dead-letters, and the queue that gets the dead letters."""
    exchange = bench.exchange(channel, 'direct')
    graveyard = bench.queue(channel, exchange=exchange, routing_key='dead')
    arguments = {
        'x-dead-letter-exchange': exchange.name,
        'x-dead-letter-routing-key': 'dead',
        **options.pop('queue_arguments', {}),
    }
    return bench.queue(channel, queue_arguments=arguments, **options), graveyard


def death_of(message: Any, reason: str, queue: Any) -> dict[str, Any]:
    """Check the newest `x-death` record of a message and return it."""
    deaths = (message.headers or {}).get('x-death') or []
    check(deaths, f'no x-death in {message.headers}')
    death = dict(deaths[0])
    equal((death['reason'], death['queue'], death['count']), (reason, queue.name, 1), 'x-death')
    return death


class Policies(Scenarios):
    """What becomes of messages that stay too long or are too many."""

    @scenario('queue', requires={'message_ttl'})
    def test_queue_message_ttl(self, bench: Bench) -> None:
        """A message is gone when its expiration is over, and there until then"""
        queue = bench.queue(bench.channel())
        age = 4 * bench.target.tick
        bench.publish(queue, 'short', expiration=age)
        bench.publish(queue, 'stays')
        bench.publish(queue, 'long', expiration=1000 * age)
        bench.sleep(2 * age)
        equal(bench.contents(queue, 2), ['stays', 'long'], 'after the time')
        bench.publish(queue, 'in time', expiration=1000 * age)
        equal(bench.contents(queue, 1), ['in time'], 'before the time')

    @scenario('queue', requires={'message_ttl'})
    def test_queue_message_ttl_consumer(self, bench: Bench) -> None:
        """An expired message is not delivered to a consumer that comes later"""
        channel = bench.channel()
        queue = bench.queue(channel)
        age = 3 * bench.target.tick
        bench.publish(queue, 'short', expiration=age)
        bench.publish(queue, 'stays')
        bench.sleep(2 * age)
        equal(bench.inbox(channel, queue, settle=True).wait(1), ['stays'], 'delivered')

    @scenario('queue', requires={'queue_ttl'})
    def test_queue_queue_ttl(self, bench: Bench) -> None:
        """Every message of a queue with x-message-ttl expires after that time"""
        age = 4 * bench.target.tick
        queue = bench.queue(bench.channel(), message_ttl=age)
        bench.publish(queue, 1, 2)
        bench.sleep(2 * age)
        bench.publish(queue, 3)
        equal(bench.contents(queue, 1), [3], 'after the time')

    @scenario('queue', requires={'queue_ttl', 'message_ttl'})
    def test_queue_smaller_ttl(self, bench: Bench) -> None:
        """Of the queue's TTL and the message's the smaller one wins"""
        channel = bench.channel()
        age = 4 * bench.target.tick
        short, long = (bench.queue(channel, message_ttl=seconds) for seconds in (age, 1000 * age))
        bench.publish(short, 'x', expiration=1000 * age)
        bench.publish(long, 'x', expiration=age)
        bench.publish(long, 'stays', expiration=1000 * age)
        bench.sleep(2 * age)
        bench.empty(short, "after the queue's TTL")
        equal(bench.contents(long, 1), ['stays'], "after the message's TTL")

    @scenario('queue', requires={'queue_ttl', 'passive'})
    def test_queue_ttl_count(self, bench: Bench) -> None:
        """Expired messages are no longer counted"""
        age = 3 * bench.target.tick
        queue = bench.queue(bench.channel(), message_ttl=age)
        bench.publish(queue, 1, 2, 3)
        bench.sleep(3 * age)
        equal(bench.count(queue), 0, 'message_count')

    @scenario('queue', requires={'queue_ttl'})
    def test_queue_ttl_in_hand(self, bench: Bench) -> None:
        """A message in hand does not expire: it can be acknowledged late"""
        connection = bench.connect()
        age = 3 * bench.target.tick
        queue = bench.queue(connection.channel(), message_ttl=age)
        bench.publish(queue, 1)
        message = bench.take(queue)
        bench.sleep(2 * age)
        message.ack()
        bench.publish(queue, 2)
        equal(bench.contents(queue, 1), [2], 'contents')

    @scenario('queue', requires={'dead_letter'})
    def test_queue_dead_letter_rejected(self, bench: Bench) -> None:
        """A rejected message is dead-lettered with body, headers and an x-death record; a
        requeued one is not"""
        channel = bench.channel()
        queue, graveyard = dead_lettering(bench, channel)
        bench.publish(queue, 'x', headers={'mine': 1}, correlation_id='c')
        bench.take(queue).requeue()
        bench.empty(graveyard, 'after a requeue')
        bench.take(queue).reject()
        dead = bench.take(graveyard)
        equal(dead.decode(), 'x', 'body')
        equal(
            (dead.headers.get('mine'), dead.properties.get('correlation_id')), (1, 'c'), 'headers'
        )
        death = death_of(dead, 'rejected', queue)
        equal(death['exchange'], '', 'exchange of first publication')
        equal(list(death['routing-keys']), [queue.name], 'routing-keys')
        check(death.get('time'), 'x-death has no time')
        equal(dead.headers.get('x-first-death-reason'), 'rejected', 'x-first-death-reason')
        equal(dead.headers.get('x-first-death-queue'), queue.name, 'x-first-death-queue')
        equal(dead.delivery_info.get('routing_key'), 'dead', 'routing key')
        dead.ack()

    @scenario('queue', requires={'dead_letter', 'message_ttl'})
    def test_queue_dead_letter_expired(self, bench: Bench) -> None:
        """An expired message is dead-lettered without its expiration, so that it does not
        expire again"""
        channel = bench.channel()
        queue, graveyard = dead_lettering(bench, channel)
        age = 3 * bench.target.tick
        bench.publish(queue, 'x', expiration=age)
        bench.sleep(1.5 * age)
        # Some stores notice only when the queue is looked at.
        bench.empty(queue, 'after the time')
        dead = bench.take(graveyard)
        death = death_of(dead, 'expired', queue)
        equal(death.get('original-expiration'), str(round(age * 1000)), 'original-expiration')
        check('expiration' not in dead.properties, 'the expiration is still set')
        dead.requeue()
        bench.sleep(2 * age)
        equal(bench.contents(graveyard, 1), ['x'], 'later')

    @scenario('queue', requires={'dead_letter', 'max_length'})
    def test_queue_dead_letter_maxlen(self, bench: Bench) -> None:
        """What a full queue drops is dead-lettered, oldest first"""
        channel = bench.channel()
        queue, graveyard = dead_lettering(bench, channel, max_length=2)
        bench.publish(queue, *range(4))
        dead = bench.take_all(graveyard, 2)
        equal([message.decode() for message in dead], [0, 1], 'dead letters')
        death_of(dead[0], 'maxlen', queue)
        equal(bench.contents(queue, 2), [2, 3], 'kept')

    @scenario('queue', requires={'dead_letter', 'delivery_count'})
    def test_queue_delivery_limit(self, bench: Bench) -> None:
        """A message returned more often than x-delivery-limit is dead-lettered"""
        channel = bench.channel()
        arguments = {**bench.target.delivery_limit_arguments, 'x-delivery-limit': 2}
        queue, graveyard = dead_lettering(bench, channel, queue_arguments=arguments)
        bench.publish(queue, 'x')
        counts = []
        for _ in range(3):
            message = bench.take(queue)
            counts.append((message.headers or {}).get('x-delivery-count', 0))
            message.requeue()
        equal(counts, [0, 1, 2], 'x-delivery-count')
        death_of(bench.take(graveyard), 'delivery_limit', queue)
        bench.empty(queue, 'after the limit')

    @scenario('queue', requires={'dead_letter'})
    def test_queue_dead_letter_key(self, bench: Bench) -> None:
        """Without x-dead-letter-routing-key the message keeps its own"""
        channel = bench.channel()
        exchange = bench.exchange(channel, 'direct')
        source = bench.exchange(channel, 'direct')
        graveyard = bench.queue(channel, exchange=exchange, routing_key='own')
        queue = bench.queue(
            channel,
            exchange=source,
            routing_key='own',
            queue_arguments={'x-dead-letter-exchange': exchange.name},
        )
        bench.publish(source, 'x', key='own')
        bench.take(queue).reject()
        dead = bench.take(graveyard)
        death = death_of(dead, 'rejected', queue)
        equal(death['exchange'], source.name, 'exchange of first publication')
        equal(list(death['routing-keys']), ['own'], 'routing-keys')

    @scenario('queue', requires={'dead_letter'})
    def test_queue_dead_letter_again(self, bench: Bench) -> None:
        """Dying twice in one queue counts up in one x-death record"""
        channel = bench.channel()
        queue, graveyard = dead_lettering(bench, channel)
        bench.publish(queue, 'x')
        for count in (1, 2):
            bench.take(queue).reject()
            dead = bench.take(graveyard)
            equal([death['count'] for death in dead.headers['x-death']], [count], 'counts')
            if count == 1:
                bench.publish(queue, 'x', headers=dead.headers)
            dead.ack()

    @scenario('queue', requires={'dead_letter'})
    def test_queue_dead_letter_twice(self, bench: Bench) -> None:
        """Dying in two queues makes two x-death records, the latest first"""
        channel = bench.channel()
        exchange = bench.exchange(channel, 'direct')
        last = bench.queue(channel, exchange=exchange, routing_key='two')
        second = bench.queue(
            channel,
            queue_arguments={
                'x-dead-letter-exchange': exchange.name,
                'x-dead-letter-routing-key': 'two',
            },
        )
        first = bench.queue(
            channel,
            queue_arguments={
                'x-dead-letter-exchange': '',
                'x-dead-letter-routing-key': second.name,
            },
        )
        bench.publish(first, 'y')
        bench.take(first).reject()
        bench.take(second).reject()
        deaths = bench.take(last).headers['x-death']
        equal([death['queue'] for death in deaths], [second.name, first.name], 'queues of x-death')

    @scenario('queue', requires={'dead_letter', 'queue_ttl'})
    def test_queue_dead_letter_cycle(self, bench: Bench) -> None:
        """A message that would expire in circles for ever is dropped"""
        channel = bench.channel()
        name = bench.name('cycle')
        queue = bench.queue(
            channel,
            name,
            message_ttl=bench.target.tick,
            queue_arguments={'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': name},
        )
        bench.publish(queue, 'x')
        bench.sleep(5 * bench.target.tick)
        bench.empty(queue, 'after some rounds')

    @scenario('queue', requires={'max_length'})
    def test_queue_max_length(self, bench: Bench) -> None:
        """A queue with max-length drops from its head"""
        queue = bench.queue(bench.channel(), max_length=3)
        bench.publish(queue, *range(10))
        equal(bench.contents(queue, 3), [7, 8, 9], 'kept')

    @scenario('queue', requires={'max_length'})
    def test_queue_max_length_ready(self, bench: Bench) -> None:
        """Only messages that are ready count for max-length, not those in hand"""
        connection = bench.connect()
        queue = bench.queue(connection.channel(), max_length=2)
        bench.publish(queue, 0, 1)
        taken = bench.take_all(queue, 2)
        bench.publish(queue, 2, 3)
        equal(bench.contents(queue, 2), [2, 3], 'kept')
        for message in taken:
            message.ack()

    @scenario('queue', requires={'max_length_bytes'})
    def test_queue_max_length_bytes(self, bench: Bench) -> None:
        """A queue with max-length-bytes keeps no more than that, dropping from its head"""
        queue = bench.queue(bench.channel(), max_length_bytes=3500)
        for number in range(6):
            bench.publish(queue, bytes([65 + number]) * 1000)
        bodies = [bytes(body)[:1] for body in bench.contents(queue, 3)]
        equal(bodies, [b'D', b'E', b'F'], 'kept')

    @scenario('queue', requires={'max_length', 'overflow_reject', 'confirms'})
    def test_queue_reject_publish(self, bench: Bench) -> None:
        """A full queue with reject-publish refuses: the publisher gets an error, what is there
        stays"""
        connection = bench.confirming()
        queue = bench.queue(
            connection.channel(), max_length=2, queue_arguments={'x-overflow': 'reject-publish'}
        )
        bench.publish(queue, 0, 1)
        raises(
            (*bench.errors(connection), MessageNacked),
            lambda: bench.publish(queue, 2),
            'publishing to a full queue',
        )
        queue = queue(connection.channel())
        equal(bench.contents(queue, 2), [0, 1], 'kept')
        bench.publish(queue, 3)
        equal(bench.contents(queue, 1), [3], 'with room again')

    @scenario('queue', requires={'max_length', 'overflow_reject', 'dead_letter', 'confirms'})
    def test_queue_reject_publish_dlx(self, bench: Bench) -> None:
        """With reject-publish-dlx the refused message is dead-lettered too"""
        connection = bench.confirming()
        queue, graveyard = dead_lettering(
            bench,
            connection.channel(),
            max_length=1,
            queue_arguments={'x-overflow': 'reject-publish-dlx'},
        )
        bench.publish(queue, 0)
        raises(
            (*bench.errors(connection), MessageNacked),
            lambda: bench.publish(queue, 1),
            'publishing to a full queue',
        )
        dead = bench.take(graveyard(connection.channel()))
        equal(dead.decode(), 1, 'the dead letter')
        death_of(dead, 'maxlen', queue)
        equal(bench.contents(queue(connection.channel()), 1), [0], 'kept')

    @scenario('queue', requires={'priority'})
    def test_queue_priority(self, bench: Bench) -> None:
        """Higher priority comes first, equal priority in order, none counts as 0, too much as
        the maximum"""
        queue = bench.queue(bench.channel(), max_priority=5)
        for body, priority in (
            ('a', 0),
            ('b', 5),
            ('c', 3),
            ('d', 3),
            ('e', 9),
            ('f', 0),
            ('g', 5),
        ):
            bench.publish(queue, body, priority=priority)
        equal(''.join(bench.contents(queue, 7)), 'begcdaf', 'order')

    @scenario('queue', requires={'priority'})
    def test_queue_priority_requeue(self, bench: Bench) -> None:
        """A requeued message keeps its priority"""
        queue = bench.queue(bench.channel(), max_priority=5)
        for body, priority in (('low', 1), ('high', 4)):
            bench.publish(queue, body, priority=priority)
        message = bench.take(queue)
        equal((message.decode(), message.properties.get('priority')), ('high', 4), 'first')
        message.requeue()
        equal(bench.contents(queue, 2), ['high', 'low'], 'order after a requeue')

    @scenario('queue', requires={'delay'})
    def test_queue_delay(self, bench: Bench) -> None:
        """A message with x-delay is routed after that time, later than those with less"""
        channel = bench.channel()
        exchange = bench.exchange(
            channel, 'x-delayed-message', arguments={'x-delayed-type': 'direct'}
        )
        queue = bench.queue(channel, exchange=exchange, routing_key='a')
        age = 4 * bench.target.tick
        for body, factor in (('late', 2), ('soon', 1)):
            bench.publish(exchange, body, key='a', headers={'x-delay': round(factor * age * 1000)})
        bench.publish(exchange, 'now', key='a')
        equal(bench.contents(queue, 1), ['now'], 'at once')
        bench.sleep(2.5 * age)
        equal(bench.contents(queue, 2), ['soon', 'late'], 'after the time')
