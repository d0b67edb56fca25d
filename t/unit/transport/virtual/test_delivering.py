"""Consuming: whose turn it is, what is held, and how a delivery ends."""

from __future__ import annotations

from queue import Empty

import pytest
from amqp.exceptions import (
    AccessRefused,
    ConsumerCancelled,
    NotAllowed,
    NotFound,
    PreconditionFailed,
)

from kombu import Connection
from kombu.exceptions import UnsupportedFeature, UnsupportedFeatureWarning
from kombu.testing.memory import MemoryBroker
from kombu.transport.virtual.delivering import QueueConsumers
from t.unit.transport.virtual.conftest import StoreDown


@pytest.fixture
def broker():
    with MemoryBroker() as broker:
        yield broker


@pytest.fixture
def connection(broker):
    with broker.connection() as connection:
        yield connection


@pytest.fixture
def ch(connection):
    channel = connection.channel()
    channel.queue_declare('q')
    return channel


def fill(ch, *bodies, queue='q', **properties):
    for body in bodies:
        ch.basic_publish(ch.prepare_message(str(body), properties=properties), '', queue)


def drain(connection):
    """Deliver all there is."""
    try:
        while True:
            connection.drain_events(timeout=0)
    except TimeoutError:
        pass


class Inbox(list):
    """A callback that keeps messages."""

    def __call__(self, message):
        self.append(message)

    def __bool__(self):
        return True

    @property
    def bodies(self):
        return [message.body.decode() for message in self]


@pytest.fixture
def inbox():
    return Inbox()


class FakeConsumer:
    def __init__(self, name, credit=True, thread=1):
        self.name = name
        self.credit = credit
        self.thread = thread
        self.channel = self
        self.got = []

    def has_credit(self):
        return self.credit

    def _deliver_to(self, consumer, payload):
        consumer.got.append(payload)


class TestTurns:
    def group(self, *consumers):
        group = QueueConsumers('q')
        group.consumers += consumers
        return group

    def test_one_after_the_other(self):
        consumers = [FakeConsumer(name) for name in 'abc']
        group = self.group(*consumers)
        for n in range(7):
            group(n)
        assert [c.got for c in consumers] == [[0, 3, 6], [1, 4], [2, 5]]

    def test_who_has_no_credit_is_passed_over(self):
        consumers = [FakeConsumer('a'), FakeConsumer('b', credit=False), FakeConsumer('c')]
        group = self.group(*consumers)
        for n in range(4):
            group(n)
        assert [c.got for c in consumers] == [[0, 2], [], [1, 3]]

    @pytest.mark.parametrize('count', [1, 2])
    def test_with_no_credit_at_all_it_is_nobodys(self, count):
        consumers = [FakeConsumer(n, credit=False) for n in range(count)]
        assert self.group(*consumers).next() is None

    def test_of_a_thread(self):
        consumers = [FakeConsumer('a', thread=1), FakeConsumer('b', thread=2)]
        group = self.group(*consumers)
        assert group.next(thread=2) is consumers[1]
        assert group.next(thread=3) is None
        group('x', thread=2)
        assert consumers[1].got == ['x']

    def test_a_payload_that_was_taken_already_goes_to_somebody(self):
        """Credit may have gone since."""
        consumers = [FakeConsumer(n, credit=False) for n in range(2)]
        group = self.group(*consumers)
        group('x')
        assert sum(len(c.got) for c in consumers) == 1


class TestStarting:
    def test_tags_are_made_up(self, ch):
        tags = {ch.basic_consume('q') for _ in range(3)}
        assert len(tags) == 3
        assert ch.queue_declare('q', passive=True).consumer_count == 3

    def test_a_tag_is_used_once(self, ch):
        ch.basic_consume('q', consumer_tag='t')
        with pytest.raises(NotAllowed, match="consumer tag 't'"):
            ch.basic_consume('q', consumer_tag='t')

    def test_on_a_queue_that_is_not_there(self, ch):
        with pytest.raises(NotFound, match="no queue 'nope'"):
            ch.basic_consume('nope')

    def test_alone(self, ch, connection):
        ch.basic_consume('q', consumer_tag='t', exclusive=True)
        with pytest.raises(AccessRefused, match='exclusive use'):
            connection.channel().basic_consume('q')
        ch.basic_cancel('t')
        ch.basic_consume('q')
        with pytest.raises(AccessRefused):
            ch.basic_consume('q', exclusive=True)

    def test_where_somebody_consumes_alone_nobody_gets(self, ch, connection):
        ch.basic_consume('q', exclusive=True)
        with pytest.raises(AccessRefused):
            connection.channel().basic_get('q')

    def test_with_arguments_nobody_knows(self, ch):
        with pytest.warns(UnsupportedFeatureWarning, match="consumer argument 'x-priority'"):
            ch.basic_consume('q', arguments={'x-priority': 5})

    def test_without_a_callback(self, ch, connection):
        ch.basic_consume('q', no_ack=True)
        fill(ch, 1)
        drain(connection)

    def test_with_a_callback_that_is_false(self, ch, connection):
        """Such as one that has collected nothing yet."""

        class Collected(list):
            __call__ = list.append

        collected = Collected()
        ch.basic_consume('q', callback=collected)
        fill(ch, 1)
        drain(connection)
        assert len(collected) == 1

    def test_who_settles_by_delivery_is_listed(self, ch):
        ch.basic_consume('q', consumer_tag='t', no_ack=True)
        assert ch.no_ack_consumers == {'t'}
        ch.basic_cancel('t')
        assert ch.no_ack_consumers == set()


class TestStopping:
    def test_what_it_holds_stays_held(self, ch, connection, broker, inbox):
        fill(ch, 1, 2)
        ch.basic_qos(0, 1, False)
        tag = ch.basic_consume('q', callback=inbox)
        drain(connection)
        ch.basic_cancel(tag)
        fill(ch, 3)
        drain(connection)
        assert inbox.bodies == ['1']
        assert broker.unacked('q') == 1
        inbox[0].ack()
        assert broker.unacked('q') == 0

    def test_one_that_is_not_there_is_no_error(self, ch):
        ch.basic_cancel('nope')
        ch.close()
        ch.basic_cancel('nope')

    def test_one_of_two_leaves_the_other(self, ch, connection, inbox):
        tag = ch.basic_consume('q')
        ch.basic_consume('q', callback=inbox)
        ch.basic_cancel(tag)
        fill(ch, 1)
        drain(connection)
        assert inbox.bodies == ['1']
        assert ch._active_queues == ['q']

    @pytest.mark.parametrize('listen', [True, False])
    def test_by_deletion_of_the_queue_is_told(self, ch, connection, broker, listen):
        told = []
        ch.basic_consume('q', consumer_tag='t', on_cancel=told.append if listen else None)
        broker.connection().channel().queue_delete('q')
        if listen:
            connection.drain_events(timeout=0)
            assert told == ['t']
        else:
            with pytest.raises(ConsumerCancelled, match="consumer 't'.*queue 'q' was deleted"):
                connection.drain_events(timeout=0)
        with pytest.raises(TimeoutError):
            connection.drain_events(timeout=0)
        assert not ch._consumers


class TestGetting:
    def test_one(self, ch):
        fill(ch, 1)
        message = ch.basic_get('q')
        assert message.body == b'1'
        assert message.delivery_info['routing_key'] == 'q'
        assert ch.basic_get('q') is None
        message.ack()

    def test_settled_by_getting(self, ch, broker):
        fill(ch, 1)
        message = ch.basic_get('q', no_ack=True)
        assert broker.unacked('q') == 0
        with pytest.raises(PreconditionFailed):
            ch.basic_ack(message.delivery_tag)

    def test_from_a_queue_that_is_not_there(self, ch):
        with pytest.raises(NotFound, match="no queue 'nope'"):
            ch.basic_get('nope')

    def test_is_not_counted_by_the_limit(self, ch, connection, inbox):
        fill(ch, 1, 2, 3)
        ch.basic_qos(0, 1, True)
        ch.basic_get('q')
        ch.basic_consume('q', callback=inbox)
        drain(connection)
        assert inbox.bodies == ['2']

    def test_keeps_a_queue_even_if_there_is_nothing(self, ch, broker):
        ch.queue_declare('short', arguments={'x-expires': 60_000})
        for _ in range(3):
            assert ch.basic_get('short') is None
            broker.advance(40)
        assert 'short' in broker.queues()

    def test_says_whether_it_is_redelivered(self, ch):
        fill(ch, 1)
        assert ch.basic_get('q').delivery_info['redelivered'] is False


class TestLimits:
    def test_of_each_consumer(self, ch, connection):
        one, two = Inbox(), Inbox()
        fill(ch, *range(9))
        for limit, inbox in [(1, one), (3, two)]:
            ch.basic_qos(0, limit, False)
            ch.basic_consume('q', callback=inbox)
        drain(connection)
        assert (len(one), len(two)) == (1, 3)
        one[0].ack()
        drain(connection)
        assert (len(one), len(two)) == (2, 3)

    def test_of_the_channel(self, ch, connection):
        one, two = Inbox(), Inbox()
        fill(ch, *range(9))
        ch.basic_qos(0, 3, True)
        for inbox in (one, two):
            ch.basic_consume('q', callback=inbox)
        drain(connection)
        assert len(one) + len(two) == 3
        ch.basic_qos(0, 0, True)
        drain(connection)
        assert len(one) + len(two) == 9

    @pytest.mark.xfail(strict=True, reason='the limit set last replaces the other')
    def test_of_each_consumer_and_of_the_channel(self, ch, connection):
        """RabbitMQ enforces both independently (docs/consumer-prefetch)."""
        one, two = Inbox(), Inbox()
        fill(ch, *range(9))
        ch.basic_qos(0, 2, False)
        ch.basic_qos(0, 3, True)
        for inbox in (one, two):
            ch.basic_consume('q', callback=inbox)
            drain(connection)
        assert (len(one), len(two)) == (2, 1)

    def test_do_not_hold_for_who_settles_by_delivery(self, ch, connection, inbox):
        fill(ch, *range(5))
        ch.basic_qos(0, 1, False)
        ch.basic_consume('q', callback=inbox, no_ack=True)
        drain(connection)
        assert len(inbox) == 5

    def test_in_bytes_are_not_known(self, ch):
        with pytest.warns(UnsupportedFeatureWarning, match='prefetch_size=5'):
            ch.basic_qos(5, 0, False)

    def test_of_one_queue_do_not_stop_another(self, ch, connection, inbox):
        ch.queue_declare('other')
        ch.basic_qos(0, 1, False)
        ch.basic_consume('q')
        fill(ch, 1, 2)
        drain(connection)
        fill(ch, 3, 4, queue='other')
        ch.basic_qos(0, 0, False)
        ch.basic_consume('other', callback=inbox)
        drain(connection)
        assert inbox.bodies == ['3', '4']


class TestOrder:
    def test_queues_are_served_in_turn(self, ch, connection, inbox):
        for queue in 'abc':
            ch.queue_declare(queue)
            fill(ch, f'{queue}1', f'{queue}2', queue=queue)
            ch.basic_consume(queue, callback=inbox, no_ack=True)
        drain(connection)
        assert sorted(inbox.bodies[:3]) == ['a1', 'b1', 'c1']
        assert sorted(inbox.bodies[3:]) == ['a2', 'b2', 'c2']

    def test_tags_count_the_deliveries_of_the_channel(self, ch, connection, inbox):
        fill(ch, *'abc')
        ch.basic_get('q')
        ch.basic_consume('q', callback=inbox)
        drain(connection)
        assert [message.delivery_tag for message in inbox] == [2, 3]

    def test_a_message_in_two_queues_has_two_tags(self, ch, connection, inbox):
        for queue in 'ab':
            ch.queue_declare(queue)
            ch.queue_bind(queue, 'amq.fanout')
            ch.basic_consume(queue, callback=inbox)
        ch.basic_publish(ch.prepare_message('x'), 'amq.fanout')
        drain(connection)
        assert sorted(message.delivery_tag for message in inbox) == [1, 2]
        for message in inbox:
            message.ack()


class TestSettling:
    @pytest.fixture
    def held(self, ch):
        fill(ch, *range(5))
        return [ch.basic_get('q') for _ in range(4)]

    def test_several_at_once(self, ch, held, broker):
        ch.basic_ack(held[2].delivery_tag, multiple=True)
        assert broker.unacked('q') == 1
        with pytest.raises(PreconditionFailed):
            ch.basic_ack(held[0].delivery_tag)

    def test_all_at_once(self, ch, held, broker):
        ch.basic_ack(0, multiple=True)
        assert broker.unacked('q') == 0
        ch.basic_ack(0, multiple=True)

    @pytest.mark.parametrize('multiple', [True, False])
    def test_what_was_never_delivered(self, ch, held, multiple):
        with pytest.raises(PreconditionFailed, match='unknown delivery tag 99') as caught:
            ch.basic_ack(99, multiple=multiple)
        assert caught.value.reply_code == 406

    def test_what_another_channel_holds(self, connection, held):
        with pytest.raises(PreconditionFailed):
            connection.channel().basic_reject(held[0].delivery_tag)

    @pytest.mark.parametrize('order', [(0, 1, 2, 3), (3, 2, 1, 0), (2, 0, 3, 1)])
    def test_requeued_in_any_order_each_finds_its_place(self, broker, held, order):
        for n in order:
            held[n].requeue()
        messages = broker.messages('q')
        assert [message.body for message in messages] == [b'0', b'1', b'2', b'3', b'4']
        assert [bool(m.delivery_info.get('redelivered')) for m in messages] == [True] * 4 + [False]

    @pytest.mark.parametrize('requeue', [True, False])
    def test_recovered(self, ch, held, broker, requeue):
        held[1].ack()
        ch.basic_recover(requeue=requeue)
        assert [message.body for message in broker.messages('q')] == [b'0', b'2', b'3', b'4']
        assert broker.unacked('q') == 0

    def test_credit_comes_back_with_recovery(self, ch, connection, inbox):
        fill(ch, 1, 2)
        ch.basic_qos(0, 1, False)
        ch.basic_consume('q', callback=inbox)
        drain(connection)
        ch.basic_recover(requeue=True)
        drain(connection)
        assert inbox.bodies == ['1', '1']
        assert inbox[1].delivery_info['redelivered']

    def test_requeued_too_often_it_is_dead(self, ch, broker):
        ch.queue_declare('dead')
        arguments = {
            'x-dead-letter-exchange': '',
            'x-dead-letter-routing-key': 'dead',
            'x-delivery-limit': 2,
        }
        ch.queue_declare('few', arguments=arguments)
        fill(ch, 1, queue='few')
        for _ in range(3):
            assert broker.messages('dead') == []
            ch.basic_get('few').requeue()
        assert broker.messages('few') == []
        [message] = broker.messages('dead')
        assert message.headers['x-death'][0]['reason'] == 'delivery_limit'

    def test_requeued_after_its_queue_was_deleted_it_is_gone(self, ch, held, broker):
        ch.queue_delete('q')
        held[0].requeue()
        held[1].reject()
        held[2].ack()
        assert broker.queues() == []

    @pytest.mark.xfail(strict=True, reason='a queue is known by its name alone')
    def test_a_queue_of_the_same_name_is_another_queue(self, ch, held, broker):
        ch.queue_delete('q')
        ch.queue_declare('q')
        held[0].requeue()
        assert broker.messages('q') == []


class TestAStoreOfItsOwn:
    """What drivers are promised: each message taken is settled once, after everything else."""

    def test_acked(self, channel, publish, store):
        publish('q', 'x')
        channel.basic_get('q').ack()
        assert not store.claimed
        assert len(store.settled) == 1

    def test_no_ack(self, channel, publish, store):
        publish('q', 'x')
        channel.basic_get('q', no_ack=True)
        assert len(store.settled) == 1

    def test_rejected(self, channel, publish, store, bodies):
        channel.queue_declare('dead')
        arguments = {'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead'}
        channel.queue_declare('q', arguments=arguments)
        channel.basic_publish(channel.prepare_message('x'), '', 'q')
        message = channel.basic_get('q')
        store.failing = {'_put'}
        with pytest.raises(StoreDown):
            message.reject()
        assert not store.settled, 'settled before its dead letter was safe'
        store.failing = set()
        channel.basic_reject(message.delivery_tag)
        assert bodies('dead') == ['x']
        assert len(store.settled) == 1

    @pytest.mark.parametrize('failing', ['_settle', '_requeue'])
    def test_if_it_fails_the_message_stays_held(self, channel, publish, store, failing):
        publish('q', 'x')
        tag = channel.basic_get('q').delivery_tag
        store.failing = {failing}
        settle = channel.basic_ack if failing == '_settle' else channel.basic_reject
        options = {} if failing == '_settle' else {'requeue': True}
        with pytest.raises(StoreDown):
            settle(tag, **options)
        assert tag in channel.qos._delivered
        store.failing = set()
        settle(tag, **options)
        assert tag not in channel.qos._delivered

    def test_expired_ones_are_buried_and_passed_over(self, channel, publish, store, bodies):
        channel.queue_declare('dead')
        arguments = {'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead'}
        channel.queue_declare('q', arguments=arguments)
        channel.basic_publish(channel.prepare_message('a', properties={'expiration': '0'}), '', 'q')
        channel.basic_publish(channel.prepare_message('b'), '', 'q')
        assert channel.basic_get('q').body == b'b'
        assert bodies('dead') == ['a']
        assert len(store.settled) == 1

    def test_nothing_is_taken_without_credit(self, channel, publish, store, store_connection):
        publish('q', 'a', 'b')
        channel.basic_qos(0, 1, False)
        channel.basic_consume('q')
        drain(store_connection)
        assert len(store.claimed) == 1
        with pytest.raises(Empty):
            channel.drain_events()

    def test_the_same_message_from_the_store_twice_has_two_tags(self, channel, store):
        """Where a store delivers again what is still held here."""
        channel.queue_declare('q')
        channel.basic_publish(channel.prepare_message('x'), '', 'q')
        store.queues['q'] *= 2
        tags = {channel.basic_get('q').delivery_tag for _ in range(2)}
        assert len(tags) == 2

    def test_a_message_made_by_somebody_else_goes_back_the_way_it_came(self, channel, bodies):
        """Drivers restore messages that they found in their own books."""
        channel.queue_declare('q')
        channel.exchange_declare('e')
        channel.queue_bind('q', 'e', 'k')
        envelope = channel.prepare_message('x', properties={'delivery_info': {}})
        channel._inplace_augment_message(envelope, 'e', 'k')
        channel._restore(channel.message_to_python(envelope))
        assert bodies('q') == ['x']


class TestWhatCannotBeRead:
    """It reaches the consumer as a message that says so, and can be settled."""

    @pytest.fixture
    def message(self, channel, store):
        channel.queue_declare('q')
        store.queues['q'] = [b'no envelope']
        return channel.basic_get('q')

    def test_decoding_says_why(self, message):
        with pytest.raises(TypeError):
            message.decode()
        assert message.body == b'no envelope'

    def test_it_can_be_acked(self, message, store):
        message.ack()
        assert store.settled == [('q', b'no envelope')]

    def test_it_can_be_rejected(self, message, store):
        message.reject()
        assert store.settled == [('q', b'no envelope')]

    def test_it_goes_back_untouched(self, message, store):
        message.requeue()
        assert store.queues['q'] == [b'no envelope']

    def test_the_consumer_goes_on(self, channel, store, store_connection, inbox):
        channel.queue_declare('q')
        channel.basic_consume('q', callback=inbox)
        store.queues['q'] = [None, {'body': '!', 'properties': {'body_encoding': 'base64'}}]
        channel.basic_publish(channel.prepare_message('fine'), '', 'q')
        drain(store_connection)
        assert [bool(message.errors) for message in inbox] == [True, True, False]


def test_flow_goes_on_only(channel, transport_class):
    channel.flow(True)
    with pytest.warns(UnsupportedFeatureWarning, match='active=False'):
        channel.flow(False)
    with Connection(transport=transport_class, transport_options={'strict': True}) as strict:
        with pytest.raises(UnsupportedFeature):
            strict.channel().flow(False)


def test_confirms_need_nothing(ch):
    assert ch.confirm_select() is None


def test_a_message_is_returned_as_it_is(ch):
    fill(ch, 1)
    message = ch.basic_get('q')
    assert ch.message_to_python(message) is message
    assert ch.message_to_python(message.raw).body == b'1'


def test_a_consumer_shows_what_it_does(ch, connection):
    ch.basic_consume('q', consumer_tag='t')
    fill(ch, 1)
    drain(connection)
    assert repr(ch._consumers['t']) == "<VirtualConsumer 't' of 'q': 1 unacked>"
