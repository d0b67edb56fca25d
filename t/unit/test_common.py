"""Declaring once, waiting for messages, answering, counting credit."""

from __future__ import annotations

import copy
import os
import pickle
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from amqp.exceptions import RecoverableConnectionError

from kombu import Connection, Consumer, Exchange, Producer, Queue
from kombu.common import (
    PREFETCH_COUNT_MAX,
    Broadcast,
    QoS,
    collect_replies,
    declaration_cached,
    drain_consumer,
    eventloop,
    generate_oid,
    get_node_id,
    ignore_errors,
    insured,
    itermessages,
    maybe_declare,
    oid_from,
    revive_connection,
    send_reply,
)
from kombu.exceptions import ChannelError, OperationalError, TimeoutError
from t.unit.fake_channel import ChannelFailure, FakeChannel, FakeClient, LinkFailure
from t.unit.fakes import FakeBroker


@pytest.fixture
def channel() -> FakeChannel:
    return FakeChannel()


@pytest.fixture
def connection() -> Iterator[Connection]:
    with Connection('memory://') as connection:
        yield connection


class TestMaybeDeclare:
    def test_once_for_each_connection(self, channel: FakeChannel) -> None:
        queue = Queue('q', 'e', 'k')
        assert maybe_declare(queue, channel) is True
        assert maybe_declare(queue, channel) is False
        assert maybe_declare(Queue('q', 'e', 'k'), FakeChannel(channel.client)) is False
        assert channel.names() == ['exchange_declare', 'queue_declare', 'queue_bind']
        assert maybe_declare(queue, FakeChannel()) is True

    def test_entity_stays_unbound(self, channel: FakeChannel) -> None:
        queue = Queue('q', 'e')
        maybe_declare(queue, channel)
        assert not queue.is_bound

    @pytest.mark.parametrize(
        ('first', 'second'),
        [
            (Queue('q', queue_arguments={'a': 1}), Queue('q', queue_arguments={'a': 2})),
            (Queue('q', max_length=1), Queue('q', max_length=2)),
            (Queue('q', 'e', 'a'), Queue('q', 'e', 'b')),
            (Queue('q', Exchange('e')), Queue('q', Exchange('e', 'topic'))),
            (Exchange('e'), Exchange('e', 'topic')),
            (Exchange('e'), Exchange('e', arguments={'a': 1})),
            (Exchange('e'), Exchange('e', passive=True)),
        ],
    )
    def test_same_name_other_declaration(
        self, channel: FakeChannel, first: Any, second: Any
    ) -> None:
        """The cache holds declarations, not names: the second one must not be skipped."""
        assert maybe_declare(first, channel)
        assert maybe_declare(second, channel)
        assert not maybe_declare(first, channel)
        assert not maybe_declare(second, channel)

    @pytest.mark.parametrize(
        'entity',
        [
            Queue('q', auto_delete=True),
            Queue('q', expires=1),
            Exchange('e', auto_delete=True),
        ],
    )
    def test_what_may_vanish_is_declared_every_time(
        self, channel: FakeChannel, entity: Any
    ) -> None:
        assert maybe_declare(entity, channel)
        assert maybe_declare(entity, channel)

    def test_broker_makes_up_a_name(self, channel: FakeChannel) -> None:
        """The caller needs the name, although it is a copy that is declared."""
        queue = Queue('', 'e')
        maybe_declare(queue, channel)
        assert queue.name.startswith('amq.gen-')

    def test_bound_entity_needs_no_channel(self, channel: FakeChannel) -> None:
        exchange = Exchange('e')(channel)
        assert maybe_declare(exchange)
        assert channel.names() == ['exchange_declare']

    def test_stale_entity_uses_the_channel_given(self, channel: FakeChannel) -> None:
        old = FakeChannel()
        exchange = Exchange('e')(old)
        maybe_declare(exchange, channel)
        assert not old.calls
        assert channel.names() == ['exchange_declare']

    def test_connection_for_a_channel(self, connection: Connection) -> None:
        assert maybe_declare(Queue('common-q'), connection)
        assert not maybe_declare(Queue('common-q'), connection.channel())

    def test_nowhere(self) -> None:
        with pytest.raises(ChannelError, match='no channel'):
            maybe_declare(Exchange('e'))

    def test_closed_channel(self, channel: FakeChannel) -> None:
        channel.close()
        for retry in (False, True):
            with pytest.raises(RecoverableConnectionError):
                maybe_declare(Exchange('e'), channel, retry=retry)

    def test_failure_is_not_remembered(self, channel: FakeChannel) -> None:
        channel.fail['queue_declare'] = ChannelFailure()
        with pytest.raises(ChannelFailure):
            maybe_declare(Queue('q'), channel)
        channel.fail.clear()
        assert maybe_declare(Queue('q'), channel)

    def test_declaration_cached(self, channel: FakeChannel) -> None:
        assert not declaration_cached(Queue('q'), channel)
        maybe_declare(Queue('q'), channel)
        assert declaration_cached(Queue('q'), channel)

    def test_retry_policy(self, channel: FakeChannel) -> None:
        policy = {'max_retries': 3, 'interval_start': 0}
        assert maybe_declare(Queue('q'), channel, retry=True, **policy)
        assert not maybe_declare(Queue('q'), channel, retry=True, **policy)
        assert channel.client.ensured == [policy]

    def test_retry_reconnects(self) -> None:
        broker = FakeBroker()
        connection = Connection('fake', transport=broker.Transport)
        channel = connection.channel()
        broker.cut()
        queue = Queue('q')
        assert maybe_declare(queue, channel, retry=True, max_retries=2, interval_start=0)
        assert broker.count('connect') == 2
        assert declaration_cached(queue, connection.default_channel)

    def test_retry_ends(self) -> None:
        broker = FakeBroker()
        connection = Connection('fake', transport=broker.Transport)
        broker.fail('queue_declare', times=None)
        with pytest.raises(OperationalError):
            maybe_declare(
                Queue('q'), connection, retry=True, max_retries=2, interval_start=0, interval_step=0
            )
        assert broker.count('queue_declare') == 3


class TestQoS:
    def setup_method(self) -> None:
        self.told: list[int] = []

    def tell(self, prefetch_count: int) -> None:
        self.told.append(prefetch_count)

    def test_update_tells_once(self) -> None:
        qos = QoS(self.tell, 10)
        assert qos.prev is None
        assert qos.update() == 10
        qos.update()
        assert self.told == [10]
        assert qos.prev == 10

    def test_counting(self) -> None:
        qos = QoS(self.tell, 10)
        assert qos.increment_eventually() == 11
        assert qos.increment_eventually(3) == 14
        assert qos.decrement_eventually(4) == 10
        assert qos.decrement_eventually(100) == 1
        assert qos.increment_eventually(-5) == 1
        assert not self.told, 'the broker is told by update'
        qos.update()
        assert self.told == [1]

    @pytest.mark.parametrize('initial', [0, None])
    def test_no_limit_stays_no_limit(self, initial: int | None) -> None:
        qos = QoS(self.tell, initial)
        assert qos.increment_eventually() == 0
        assert qos.decrement_eventually() == 0

    def test_max_prefetch(self) -> None:
        qos = QoS(self.tell, 5, max_prefetch=6)
        assert qos.increment_eventually(10) == 6
        assert qos.decrement_eventually(2) == 4

    def test_set_does_not_change_the_value(self) -> None:
        qos = QoS(self.tell, 10)
        qos.set(5)
        assert (qos.value, qos.prev, self.told) == (10, 5, [5])

    def test_too_large_is_no_limit(self, caplog: pytest.LogCaptureFixture) -> None:
        qos = QoS(self.tell, PREFETCH_COUNT_MAX)
        qos.update()
        qos.increment_eventually()
        qos.update()
        assert self.told == [PREFETCH_COUNT_MAX, 0]
        assert 'no limit' in caplog.text
        qos.decrement_eventually()
        qos.update()
        assert self.told[-1] == PREFETCH_COUNT_MAX

    def test_value_can_be_assigned(self) -> None:
        qos = QoS(self.tell, 10)
        qos.value = 7
        qos.update()
        assert self.told == [7]

    def test_failure_is_told_again(self) -> None:
        def fail(prefetch_count: int) -> None:
            raise LinkFailure

        qos = QoS(fail, 5)
        with pytest.raises(LinkFailure):
            qos.update()
        assert qos.prev is None

    def test_mutex_can_be_replaced(self) -> None:
        """Celery puts a lock that does nothing in its place."""
        entered: list[int] = []

        class Lock:
            def __enter__(self) -> None:
                entered.append(1)

            def __exit__(self, *exc_info: object) -> None:
                pass

        qos = QoS(self.tell, 5)
        qos._mutex = Lock()
        qos.increment_eventually()
        qos.update()
        assert entered == [1, 1]

    def test_threads(self) -> None:
        qos = QoS(self.tell, 1000)

        def work() -> None:
            for _ in range(200):
                qos.increment_eventually()
                qos.decrement_eventually()

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert qos.value == 1000


class TestIgnoreErrors:
    def test_call(self) -> None:
        def fail(error: Exception) -> None:
            raise error

        client = FakeClient()
        assert ignore_errors(client, fail, LinkFailure()) is None
        assert ignore_errors(client, fail, ChannelFailure()) is None
        assert ignore_errors(client, max, 1, 2) == 2
        with pytest.raises(ValueError, match='mine'):
            ignore_errors(client, fail, ValueError('mine'))

    def test_context(self) -> None:
        with ignore_errors(FakeClient()):
            raise LinkFailure
        with pytest.raises(ValueError, match='mine'), ignore_errors(FakeClient()):
            raise ValueError('mine')


class TestOid:
    def test_same_for_the_same(self) -> None:
        assert oid_from(self) == oid_from(self)
        assert oid_from(self, threads=False) == oid_from(self, threads=False)
        assert oid_from(self) != oid_from(object())
        assert len(oid_from(self)) == 36

    def test_differs_between_threads_unless_told(self) -> None:
        found: list[str] = []

        def ask() -> None:
            found.extend((oid_from(self), oid_from(self, threads=False)))

        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()
        assert found[0] != oid_from(self)
        assert found[1] == oid_from(self, threads=False)

    def test_differs_after_a_fork(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The child has the same node number, threads and addresses as its parent."""
        before = oid_from(self)
        monkeypatch.setattr(os, 'getpid', lambda: 1)
        assert oid_from(self) != before

    def test_node(self) -> None:
        assert get_node_id() == get_node_id()
        assert generate_oid(1, 2, 3, None) != generate_oid(4, 2, 3, None)


class TestBroadcast:
    def test_queue_of_its_own(self) -> None:
        first, second = Broadcast('all'), Broadcast('all')
        assert first.name != second.name
        assert first.name.startswith('bcast.')
        assert first.alias == 'all'
        assert first.auto_delete
        assert first.exchange == Exchange('all', 'fanout')

    def test_given_name(self) -> None:
        assert Broadcast('all', queue='mine').name == 'mine'
        unique = Broadcast('all', queue='mine', unique=True).name
        assert unique.startswith('mine.')
        assert len(unique) > 36

    def test_options(self) -> None:
        queue = Broadcast('all', exchange='e', alias='al', auto_delete=False, expires=3)
        assert queue.exchange == Exchange('e')
        assert (queue.alias, queue.auto_delete, queue.expires) == ('al', False, 3)

    def test_pickle_and_copy_keep_the_name(self, channel: FakeChannel) -> None:
        queue = Broadcast('all', unique=True)
        for twin in (pickle.loads(pickle.dumps(queue)), copy.copy(queue), queue(channel)):
            assert type(twin) is Broadcast
            assert twin.name == queue.name
            assert twin == queue


def publish(connection: Connection, queue: Queue, *bodies: Any) -> None:
    producer = Producer(connection)
    maybe_declare(queue, connection)
    for body in bodies:
        producer.publish(body, routing_key=queue.name)


class TestEventloop:
    def test_limit(self) -> None:
        client = FakeClient()
        client.events = [lambda: 'a', lambda: 'b', lambda: 'c']
        assert list(eventloop(client, limit=2, timeout=3)) == ['a', 'b']
        assert client.timeouts == [3, 3]

    def test_timeout(self) -> None:
        client = FakeClient()
        with pytest.raises(TimeoutError):
            list(eventloop(client, limit=2, timeout=1))
        assert list(eventloop(client, limit=2, timeout=1, ignore_timeouts=True)) == []


class TestIterMessages:
    QUEUE = Queue('common-iter')

    def test_limit(self, connection: Connection) -> None:
        publish(connection, self.QUEUE, 1, 2, 3)
        channel = connection.channel()
        got = []
        for body, message in itermessages(connection, channel, self.QUEUE, limit=2, timeout=1):
            got.append(body)
            message.ack()
        assert got == [1, 2]
        assert self.QUEUE(channel).queue_declare(passive=True)[1] == 1
        self.QUEUE(channel).delete()

    def test_timeout_ends_it(self, connection: Connection) -> None:
        publish(connection, self.QUEUE, 1)
        found = itermessages(
            connection, connection.channel(), self.QUEUE, limit=None, timeout=0.01, no_ack=True
        )
        assert [body for body, _ in found] == [1]

    def test_callbacks(self, connection: Connection) -> None:
        publish(connection, self.QUEUE, 1)
        told: list[Any] = []
        list(
            itermessages(
                connection,
                connection.channel(),
                self.QUEUE,
                timeout=1,
                callbacks=[lambda body, message: told.append(body)],
                no_ack=True,
            )
        )
        assert told == [1]

    def test_begins_when_it_is_asked_for(self, connection: Connection) -> None:
        channel = connection.channel()
        messages = itermessages(connection, channel, self.QUEUE, timeout=0.01)
        assert self.QUEUE(channel).queue_declare(passive=True)[2] == 0
        assert list(messages) == []

    def test_what_is_not_yielded_goes_back(self, connection: Connection) -> None:
        """An event may bring more messages than were asked for."""
        publish(connection, self.QUEUE, 1, 2)
        channel = connection.channel()
        consumer = Consumer(channel, self.QUEUE)
        mine = consumer.callbacks

        def and_another(body: Any, message: Any) -> None:
            if body == 1:
                connection.drain_events(timeout=1)

        messages = drain_consumer(consumer, limit=1, timeout=1, callbacks=[and_another])
        for body, message in messages:
            assert body == 1
            message.ack()
        assert self.QUEUE(channel).queue_declare(passive=True)[1:] == (1, 0)
        assert consumer.callbacks is mine
        self.QUEUE(channel).delete()

    def test_given_up_early(self, connection: Connection) -> None:
        publish(connection, self.QUEUE, 1, 2)
        channel = connection.channel()
        messages: Any = itermessages(connection, channel, self.QUEUE, limit=None, timeout=1)
        next(messages)[1].ack()
        messages.close()
        assert self.QUEUE(channel).queue_declare(passive=True)[1:] == (1, 0)
        self.QUEUE(channel).delete()

    def test_lost_connection(self) -> None:
        client = FakeClient()
        channel = FakeChannel(client)
        received: list[Any] = []

        def lose() -> None:
            raise LinkFailure

        client.events = [lose]
        with pytest.raises(LinkFailure):
            received.extend(itermessages(client, channel, Queue('q'), limit=2))
        assert not received


class TestReplies:
    def test_collect(self, connection: Connection) -> None:
        queue = Queue('common-replies')
        publish(connection, queue, 1, 2, 3)
        channel = connection.channel()
        told: list[str] = []
        channel.after_reply_message_received = told.append
        assert list(collect_replies(connection, channel, queue, limit=2, timeout=1)) == [1, 2]
        assert told == ['common-replies']
        assert list(
            collect_replies(connection, channel, queue, limit=2, timeout=0.01, no_ack=False)
        ) == [3]
        assert told == ['common-replies'] * 2
        assert list(collect_replies(connection, channel, queue, timeout=0.01)) == []
        assert len(told) == 2, 'nothing was received'

    def test_send(self, channel: FakeChannel) -> None:
        class Request:
            properties = {'reply_to': 'where', 'correlation_id': 'what'}
            content_type = 'application/x-yaml'

        request = Request()
        request.channel = channel  # type: ignore[attr-defined]
        send_reply('e', request, {'a': 1}, headers={'h': 1})
        _, args, _ = channel.args('basic_publish')[0]
        assert args[0] == 'a: 1\n'
        assert args[4] == {'h': 1}
        assert args[5] == {'correlation_id': 'what', 'delivery_mode': 2}
        assert channel.last('basic_publish')['exchange'] == 'e'
        assert channel.last('basic_publish')['routing_key'] == 'where'
        send_reply('e', request, {'a': 1}, Producer(channel), serializer='json')
        assert channel.args('basic_publish')[0][1][2] == 'application/json'
        request.content_type = 'text/plain'
        send_reply('e', request, {'a': 1}, retry=True, retry_policy={'max_retries': 2})
        assert channel.args('basic_publish')[0][1][2] == 'application/json'
        assert channel.client.ensured == [{'max_retries': 2}]

    def test_request_without_address(self, channel: FakeChannel) -> None:
        class Request:
            properties: dict[str, Any] = {}

        with pytest.raises(KeyError, match='reply_to'):
            send_reply('e', Request(), 1, Producer(channel))


class TestInsured:
    def test_call(self) -> None:
        broker = FakeBroker()
        pool = Connection('fake', transport=broker.Transport).Pool(2)

        def work(a: int, *, b: int, connection: Any, channel: Any) -> Any:
            channel.queue_declare(queue='q')
            return a, b, connection.connected

        assert insured(pool, work, (1,), {'b': 2}) == (1, 2, True)
        pool.force_close_all()

    def test_again_after_errors(self, caplog: pytest.LogCaptureFixture) -> None:
        broker = FakeBroker()
        pool = Connection('fake', transport=broker.Transport).Pool(2)
        broker.fail('queue_declare', times=2)
        revived: list[Any] = []

        def work(connection: Any, channel: Any) -> Any:
            return channel.queue_declare(queue='q')

        result = insured(
            pool, work, (), {}, on_revive=revived.append, interval_start=0, interval_step=0
        )
        assert result[0] == 'q'
        assert len(revived) == 2
        assert 'trying again' in caplog.text
        pool.force_close_all()

    def test_limits_hold_for_the_first_connection(self) -> None:
        broker = FakeBroker()
        broker.fail('connect', times=None)
        pool = Connection('fake', transport=broker.Transport).Pool(2)
        told: list[Any] = []
        with pytest.raises(OperationalError):
            insured(
                pool,
                lambda **_: None,
                (),
                {},
                errback=lambda exc, interval: told.append(exc),
                max_retries=2,
                interval_start=0,
                interval_step=0,
            )
        assert broker.count('connect') == 3

    def test_revive_connection(self) -> None:
        told: list[Any] = []
        revive_connection('connection', 'channel', told.append)
        revive_connection('connection', 'channel')
        assert told == ['channel']
