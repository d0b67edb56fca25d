"""Publishing: what becomes of the arguments, declaring, retrying, batches."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from amqp.exceptions import RecoverableConnectionError

import kombu.messaging
from kombu import Connection, Consumer, Exchange, Producer, Queue, _late
from kombu.exceptions import (
    BatchPublishError,
    EncodeError,
    NotBoundError,
    OperationalError,
    SerializerNotInstalled,
)
from kombu.message import Message
from t.unit.fake_channel import FakeChannel, FakeClient, LinkFailure
from t.unit.fakes import FakeBroker
from t.unit.fakes import LinkFailure as BrokerLinkFailure

NO_WAIT = {'interval_start': 0, 'interval_step': 0, 'interval_max': 0}


@pytest.fixture
def channel() -> FakeChannel:
    return FakeChannel()


class Published:
    """The last message that was published on a channel, taken apart."""

    def __init__(self, channel: FakeChannel) -> None:
        _, args, _ = channel.args('basic_publish')[0]
        self.body, self.priority, self.content_type, self.content_encoding = args[:4]
        self.headers, self.properties = args[4:]
        self.options = channel.last('basic_publish')


class TestPublish:
    def test_defaults(self, channel: FakeChannel) -> None:
        Producer(channel).publish({'a': 1}, routing_key='q')
        sent = Published(channel)
        assert (sent.body, sent.priority) == ('{"a": 1}', 0)
        assert (sent.content_type, sent.content_encoding) == ('application/json', 'utf-8')
        assert sent.headers == {}
        assert sent.properties == {'delivery_mode': 2}
        assert sent.options == {
            'exchange': '',
            'routing_key': 'q',
            'mandatory': False,
            'immediate': False,
        }

    def test_options(self, channel: FakeChannel) -> None:
        """Time limits go to the channel only where there are any: not all channels know them."""
        Producer(channel).publish(
            1,
            'k',
            mandatory=True,
            immediate=True,
            priority=3,
            headers={'h': 1},
            confirm_timeout=4,
            correlation_id='c',
            message_id='m',
        )
        sent = Published(channel)
        assert sent.priority == 3
        assert sent.headers == {'h': 1}
        assert sent.properties == {'correlation_id': 'c', 'message_id': 'm', 'delivery_mode': 2}
        assert sent.options == {
            'exchange': '',
            'routing_key': 'k',
            'mandatory': True,
            'immediate': True,
            'confirm_timeout': 4,
        }
        Producer(channel).publish(1, 'k', timeout=5)
        assert Published(channel).options['timeout'] == 5

    def test_order_of_arguments_that_tracers_read(self, channel: FakeChannel) -> None:
        """They wrap `_publish`, and find body, headers, routing key and exchange by position."""
        got: list[Any] = []

        class Traced(Producer):
            def _publish(self, *args: Any, **kwargs: Any) -> Any:
                assert not kwargs
                got.append(args)
                return super()._publish(*args, **kwargs)

        producer = Traced(channel, Exchange('e'), 'k')
        for retry in (False, True):
            producer.publish({'a': 1}, headers={'h': 1}, retry=retry)
            args = got[-1]
            assert args[0] == '{"a": 1}'
            assert args[4] == {'h': 1}
            assert args[6] == 'k'
            assert args[9] == 'e'

    def test_every_parameter_by_name(self, channel: FakeChannel) -> None:
        """Tracers wrap `publish`, and pass on every parameter by its name."""
        Producer(channel).publish(
            body=1,
            routing_key='k',
            delivery_mode=None,
            mandatory=False,
            immediate=False,
            priority=0,
            content_type=None,
            content_encoding=None,
            serializer=None,
            headers=None,
            compression=None,
            exchange=None,
            retry=False,
            retry_policy=None,
            declare=None,
            expiration=None,
            timeout=None,
            confirm_timeout=None,
        )
        assert Published(channel).body == '1'

    def test_dumps_can_be_replaced(
        self, channel: FakeChannel, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Tracers wrap the name in `kombu.messaging`."""
        monkeypatch.setattr(kombu.messaging, 'dumps', lambda body, serializer: ('t', 'e', 'x'))
        Producer(channel).publish(1)
        assert Published(channel).body == 'x'

    @pytest.mark.parametrize(
        ('body', 'options', 'expected'),
        [
            ('text', {}, (b'text', 'text/plain', 'utf-8')),
            (b'bytes', {}, (b'bytes', 'application/data', 'binary')),
            ('text', {'serializer': 'json'}, ('"text"', 'application/json', 'utf-8')),
            ('tëxt', {'content_type': 'a/b'}, ('tëxt'.encode(), 'a/b', 'utf-8')),
            (
                'tëxt',
                {'content_type': 'a/b', 'content_encoding': 'latin-1'},
                (b't\xebxt', 'a/b', 'latin-1'),
            ),
            (b'x', {'content_type': 'a/b'}, (b'x', 'a/b', 'binary')),
            (bytearray(b'x'), {'content_type': 'a/b'}, (b'x', 'a/b', 'binary')),
            (
                {'a': 1},
                {'content_type': 'a/b', 'serializer': 'json'},
                ('{"a": 1}', 'a/b', 'utf-8'),
            ),
        ],
    )
    def test_body(
        self, channel: FakeChannel, body: Any, options: dict[str, Any], expected: Any
    ) -> None:
        Producer(channel).publish(body, **options)
        sent = Published(channel)
        assert (sent.body, sent.content_type, sent.content_encoding) == expected

    def test_content_type_without_a_body_to_match(self, channel: FakeChannel) -> None:
        with pytest.raises(TypeError, match='text or bytes, not dict'):
            Producer(channel).publish({'a': 1}, content_type='a/b')

    def test_unknown_serializer_and_unserializable_body(self, channel: FakeChannel) -> None:
        with pytest.raises(SerializerNotInstalled):
            Producer(channel).publish(1, serializer='nope')
        with pytest.raises(EncodeError):
            Producer(channel).publish(object())
        assert not channel.calls

    @pytest.mark.parametrize(
        ('own', 'given', 'mode'),
        [
            (None, None, 2),
            ('transient', None, 1),
            ('transient', 2, 2),
            (None, 'transient', 1),
            (None, 0, 2),
        ],
    )
    def test_delivery_mode(self, channel: FakeChannel, own: Any, given: Any, mode: int) -> None:
        producer = Producer(channel, Exchange('e', delivery_mode=own))
        producer.publish(1, delivery_mode=given)
        assert Published(channel).properties['delivery_mode'] == mode
        producer.publish(1, delivery_mode=given, exchange='other')
        assert Published(channel).properties['delivery_mode'] == mode

    def test_delivery_mode_of_the_exchange_given(self, channel: FakeChannel) -> None:
        exchange = Exchange('e', delivery_mode=1)
        Producer(channel).publish(1, exchange=exchange)
        assert Published(channel).properties['delivery_mode'] == 1

    @pytest.mark.parametrize(
        ('expiration', 'milliseconds'),
        [
            (1.5, '1500'),
            (0, '0'),
            (1.2345, '1234'),
            ('10', '10000'),
            (timedelta(seconds=3), '3000'),
        ],
    )
    def test_expiration(self, channel: FakeChannel, expiration: Any, milliseconds: str) -> None:
        Producer(channel).publish(1, expiration=expiration)
        assert Published(channel).properties['expiration'] == milliseconds

    @pytest.mark.parametrize('expiration', ['soon', object()])
    def test_wrong_expiration(self, channel: FakeChannel, expiration: Any) -> None:
        with pytest.raises((TypeError, ValueError), match='seconds or a timedelta'):
            Producer(channel).publish(1, expiration=expiration)

    @pytest.mark.parametrize('retry', [False, True])
    def test_compression_leaves_the_headers_of_the_caller(
        self, channel: FakeChannel, retry: bool
    ) -> None:
        headers = {'h': 1}
        Producer(channel).publish('text', compression='zlib', headers=headers, retry=retry)
        sent = Published(channel)
        assert sent.headers == {'h': 1, 'compression': 'application/x-gzip'}
        assert headers == {'h': 1}
        assert Message(sent.body, headers=sent.headers, content_type='text/plain').decode()

    def test_compression_of_the_producer(self, channel: FakeChannel) -> None:
        producer = Producer(channel, compression='zlib')
        producer.publish('text')
        assert Published(channel).headers == {'compression': 'application/x-gzip'}
        producer.publish('text', compression='bzip2')
        assert Published(channel).headers == {'compression': 'application/x-bz2'}
        producer.publish('text', compression=False)
        assert Published(channel).headers == {}

    def test_exchange_and_routing_key(self, channel: FakeChannel) -> None:
        producer = Producer(channel, Exchange('e'), 'k')
        for given, expected in (
            ({}, ('e', 'k')),
            ({'exchange': None, 'routing_key': None}, ('e', 'k')),
            ({'exchange': '', 'routing_key': ''}, ('e', '')),
            ({'exchange': 'f', 'routing_key': 'j'}, ('f', 'j')),
            ({'exchange': Exchange('')}, ('', 'k')),
        ):
            producer.publish(1, **given)
            options = Published(channel).options
            assert (options['exchange'], options['routing_key']) == expected

    def test_exchange_by_name(self, channel: FakeChannel) -> None:
        Producer(channel, 'e').publish(1)
        assert Published(channel).options['exchange'] == 'e'
        assert channel.last('exchange_declare')['exchange'] == 'e'


class TestDeclaring:
    def test_own_exchange_once(self, channel: FakeChannel) -> None:
        producer = Producer(channel, Exchange('e'))
        producer.publish(1)
        producer.publish(2)
        assert channel.names() == ['exchange_declare', 'basic_publish', 'basic_publish']

    def test_not_if_told_so(self, channel: FakeChannel) -> None:
        Producer(channel, Exchange('e'), auto_declare=False).publish(1)
        assert channel.names() == ['basic_publish']

    def test_foreign_exchange_is_not(self, channel: FakeChannel) -> None:
        Producer(channel).publish(1, exchange=Exchange('foreign'))
        assert channel.names() == ['basic_publish']

    @pytest.mark.parametrize('kind', [list, tuple])
    def test_what_is_asked_for(self, channel: FakeChannel, kind: Callable[..., Any]) -> None:
        declare = kind([Queue('q', 'e', 'k'), None])
        Producer(channel, Exchange('x')).publish(1, declare=declare)
        assert channel.names() == [
            'exchange_declare', 'queue_declare', 'queue_bind', 'exchange_declare', 'basic_publish',
        ]  # fmt: skip
        assert len(declare) == 2, "the list stays the caller's"

    def test_one_entity(self, channel: FakeChannel) -> None:
        Producer(channel).publish(1, declare=Queue('q'))
        assert channel.names() == ['queue_declare', 'basic_publish']

    @pytest.mark.parametrize('declare', ['q', ['q']])
    def test_only_a_name(self, channel: FakeChannel, declare: Any) -> None:
        with pytest.raises(TypeError, match="'q' is only a name: declare a "):
            Producer(channel).publish(1, declare=declare)
        assert not channel.names()

    def test_changed_exchange_is_declared(self, channel: FakeChannel) -> None:
        producer = Producer(channel, Exchange('e'))
        producer.publish(1)
        producer.exchange.type = 'topic'
        producer.publish(1)
        producer.exchange = Exchange('f')
        producer.publish(1)
        declared = [(call['exchange'], call['type']) for call in channel.all('exchange_declare')]
        assert declared == [('e', 'direct'), ('e', 'topic'), ('f', 'direct')]

    def test_reply_queue_without_a_name(self, channel: FakeChannel) -> None:
        """It gets its name by being declared, before the message is made."""
        queue = Queue('', exclusive=True)
        Producer(channel).publish(1, reply_to=queue, declare=[queue])
        assert Published(channel).properties['reply_to'] == queue.name != ''

    def test_declare(self, channel: FakeChannel) -> None:
        Producer(channel).declare()
        assert not channel.calls
        producer = Producer(channel, Exchange('e'))
        producer.declare()
        producer.declare()
        assert channel.names() == ['exchange_declare'] * 2

    def test_maybe_declare(self, channel: FakeChannel) -> None:
        producer = Producer(channel)
        assert producer.maybe_declare(None) is None
        assert producer.maybe_declare(Queue('q')) is True
        assert producer.maybe_declare(Queue('q')) is False
        assert producer.maybe_declare(Queue('p'), retry=True, max_retries=1) is True
        assert channel.client.ensured == [{'max_retries': 1}]

    def test_closed_channel(self, channel: FakeChannel) -> None:
        producer = Producer(channel, Exchange('e'))
        channel.close()
        with pytest.raises(RecoverableConnectionError):
            producer.publish(1)


class TestRetry:
    def setup_method(self) -> None:
        self.broker = FakeBroker()
        self.connection = Connection('fake', transport=self.broker.Transport)

    def test_policy(self, channel: FakeChannel) -> None:
        policy = {'max_retries': 3, 'errback': print}
        Producer(channel).publish(1, retry=True, retry_policy=policy)
        Producer(channel).publish(1, retry=True, retry_policy=policy, timeout=5)
        assert channel.client.ensured == [
            {'max_retries': 3, 'errback': print},
            {'max_retries': 3, 'errback': print, 'timeout': 5},
        ]
        assert policy == {'max_retries': 3, 'errback': print}
        assert channel.client.transport_options == {}, 'the policy is for this message only'

    @pytest.mark.parametrize('by', ['channel', 'connection'])
    def test_reconnects(self, by: str) -> None:
        producer = Producer(
            self.connection if by == 'connection' else self.connection.channel(),
            Exchange('e'),
            'k',
        )
        producer.publish(1)
        self.broker.cut()
        told: list[Any] = []
        producer.publish(
            2,
            retry=True,
            retry_policy={'errback': lambda exc, interval: told.append(exc), **NO_WAIT},
        )
        assert self.broker.count('connect') == 2
        assert isinstance(told[0], BrokerLinkFailure)
        published = self.broker.named('basic_publish')
        assert [call.connection for call in published] == [1, 1, 2]
        assert self.broker.count('exchange_declare') == 2, 'declared anew on a new connection'

    def test_entities_from_a_generator_are_declared_again(self) -> None:
        producer = Producer(self.connection)
        producer.publish(1)
        self.broker.cut()
        entities = (entity for entity in [Queue('q')])
        producer.publish(1, declare=entities, retry=True, retry_policy=NO_WAIT)
        assert [call.connection for call in self.broker.named('queue_declare')] == [1, 2]

    def test_ends(self) -> None:
        producer = Producer(self.connection)
        self.broker.fail('basic_publish', times=None)
        with pytest.raises(OperationalError):
            producer.publish(1, retry=True, retry_policy={'max_retries': 2, **NO_WAIT})
        assert self.broker.count('basic_publish') == 3

    def test_declaring_counts_like_publishing(self) -> None:
        """What fails in declaring is not retried by a policy within the policy."""
        producer = Producer(self.connection)
        self.broker.fail('queue_declare', times=None)
        with pytest.raises(OperationalError):
            producer.publish(
                1, declare=[Queue('q')], retry=True, retry_policy={'max_retries': 2, **NO_WAIT}
            )
        assert self.broker.count('queue_declare') == 3

    def test_without_retry_the_error_is_raised(self) -> None:
        producer = Producer(self.connection)
        producer.publish(1)
        self.broker.cut()
        with pytest.raises(BrokerLinkFailure):
            producer.publish(1)

    def test_closed_channel_knows_its_connection(self) -> None:
        """A channel forgets its connection when it is closed; the producer does not."""
        channel = self.connection.channel()
        producer = Producer(channel)
        channel.close()
        assert producer.connection is self.connection
        producer.publish(1, retry=True, retry_policy=NO_WAIT)
        assert producer.channel is not channel

    def test_timeout_is_for_all_attempts(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = [100.0]
        monkeypatch.setattr('kombu.utils.deadline.monotonic', lambda: now[0])

        def pass_time() -> None:
            now[0] += 3

        producer = Producer(self.connection)
        self.broker.before['basic_publish'] = pass_time
        self.broker.fail('basic_publish', times=1)
        producer.publish(1, retry=True, retry_policy=NO_WAIT, timeout=10)
        timeouts = [call.arguments['timeout'] for call in self.broker.named('basic_publish')]
        assert timeouts == [10, 7]
        self.broker.fail('basic_publish', times=None)
        with pytest.raises(OperationalError):
            producer.publish(1, retry=True, retry_policy=NO_WAIT, timeout=4)
        assert self.broker.count('basic_publish') <= 5

    def test_timeout_of_policy_and_call(self, channel: FakeChannel) -> None:
        producer = Producer(channel)
        producer.publish(1, retry=True, retry_policy={'timeout': 3}, timeout=5)
        producer.publish(1, retry=True, retry_policy={'timeout': 7}, timeout=5)
        assert [policy['timeout'] for policy in channel.client.ensured] == [3, 5]

    def test_timeout_is_for_connecting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        now = [100.0]
        monkeypatch.setattr('kombu.utils.deadline.monotonic', lambda: now[0])

        def pass_time() -> None:
            now[0] += 3

        self.broker.before['connect'] = pass_time
        producer = Producer(self.connection)
        producer.publish(1, timeout=10)
        assert self.broker.named('basic_publish')[0].arguments['timeout'] == 7

    def test_one_attempt_to_connect_without_retry(self) -> None:
        self.broker.fail('connect', times=None)
        with pytest.raises(BrokerLinkFailure):
            Producer(self.connection).publish(1, timeout=10)
        assert self.broker.count('connect') == 1

    def test_nothing_to_retry_with(self) -> None:
        with pytest.raises(RuntimeError, match='no connection'):
            Producer(None).publish(1, retry=True)


class TestProducer:
    def test_connection_is_used_when_it_is_needed(self) -> None:
        broker = FakeBroker()
        connection = Connection('fake', transport=broker.Transport)
        producer = Producer(connection, Exchange('e'))
        assert repr(producer).startswith('<Producer: <promise')
        assert producer.connection is connection
        assert producer.__connection__ is connection
        assert not connection.connected, 'neither repr nor connection connect'
        producer.publish(1)
        assert producer.channel is connection.default_channel
        assert producer.exchange.channel is producer.channel

    def test_default_channel_that_was_closed_is_replaced(self) -> None:
        broker = FakeBroker()
        connection = Connection('fake', transport=broker.Transport)
        producer = Producer(connection)
        producer.publish(1)
        connection.default_channel.close()
        producer.publish(2)
        assert broker.count('basic_publish') == 2

    def test_without_a_channel(self) -> None:
        with pytest.raises(NotBoundError, match='no channel'):
            Producer(None, 'x').publish(1)

    def test_no_exchange(self, channel: FakeChannel) -> None:
        with pytest.raises(TypeError, match='5 is no exchange'):
            Producer(channel, 5)  # type: ignore[arg-type]

    def test_on_return(self, channel: FakeChannel) -> None:
        Producer(channel, on_return=print)
        assert channel.events['basic_return'] == {print}
        broker = FakeBroker()
        connection = Connection('fake', transport=broker.Transport)
        producer = Producer(connection, on_return=print)
        assert producer.channel.events['basic_return'] == {print}

    def test_revive(self, channel: FakeChannel) -> None:
        producer = Producer(channel, Exchange('e'), on_return=print)
        other = FakeChannel()
        producer.revive(other)
        assert producer.channel is other
        assert producer.exchange.channel is other
        assert other.events['basic_return'] == {print}

    def test_exchange_of_the_caller_stays_unbound(self, channel: FakeChannel) -> None:
        exchange = Exchange('e')
        Producer(channel, exchange)
        assert not exchange.is_bound

    def test_default_exchange_belongs_to_the_producer(self) -> None:
        Producer(None).exchange.name = 'mine'
        assert Producer(None).exchange.name == ''

    def test_release(self, channel: FakeChannel) -> None:
        with Producer(channel) as producer:
            producer.release()
            producer.close()
        assert channel.connection is not None, "the channel is not the producer's to close"

    def test_pickle(self, channel: FakeChannel) -> None:
        producer = Producer(channel, Exchange('e'), 'k', 'yaml', False, 'zlib')
        twin = pickle.loads(pickle.dumps(producer))
        assert twin.channel is None
        assert twin.exchange == Exchange('e')
        assert (twin.routing_key, twin.serializer, twin.auto_declare, twin.compression) == (
            'k',
            'yaml',
            False,
            'zlib',
        )

    def test_attributes_of_a_subclass(self, channel: FakeChannel) -> None:
        class Mine(Producer):
            exchange = Exchange('mine')
            routing_key = 'k'
            serializer = 'yaml'
            auto_declare = False

        Mine(channel).publish({'a': 1})
        sent = Published(channel)
        assert (sent.content_type, sent.options['exchange']) == ('application/x-yaml', 'mine')

    def test_channel_can_be_taken_away(self, channel: FakeChannel) -> None:
        """Pools do, and give another one back."""
        producer = Producer(channel)
        producer.channel = None
        assert producer._channel is producer.channel is None

    def test_late(self, channel: FakeChannel) -> None:
        """Channels make producers and consumers without knowing their classes."""
        assert type(channel.Producer(serializer='yaml')) is Producer
        assert type(channel.Consumer()) is Consumer
        assert type(_late.Producer(channel)) is Producer


class FakeBatch:
    def __init__(self, channel: FakeChannel, max_size: int) -> None:
        self.channel = channel
        self.max_size = max_size
        self.log: list[Any] = []

    def publish(self, message: Any, **options: Any) -> None:
        self.log.append(message[1][0])

    def __getattr__(self, name: str) -> Any:
        if name not in ('flush', 'discard', 'close'):
            raise AttributeError(name)
        return lambda: self.log.append(name)


class BatchChannel(FakeChannel):
    def __init__(self) -> None:
        super().__init__(FakeClient(batch_publish=True))
        self.batches: list[FakeBatch] = []

    def create_publish_batch(self, max_size: int) -> FakeBatch:
        self.batches.append(FakeBatch(self, max_size))
        return self.batches[-1]


class TestBatch:
    def test_sent_at_the_end(self) -> None:
        channel = BatchChannel()
        producer = Producer(channel)
        assert producer.supports_batch_publish
        with producer.batch(max_size=10) as batch:
            producer.publish(1)
            batch.flush()
            producer.publish(2)
        (made,) = channel.batches
        assert made.max_size == 10
        assert made.log == ['1', 'flush', '2', 'flush', 'close']
        producer.publish(3)
        assert channel.names() == ['basic_publish'], 'after the block as before'

    def test_dropped_where_the_block_raises(self) -> None:
        channel = BatchChannel()
        producer = Producer(channel)

        def publish_and_fail() -> None:
            with producer.batch():
                producer.publish(1)
                raise ValueError('mine')

        with pytest.raises(ValueError, match='mine'):
            publish_and_fail()
        assert channel.batches[0].log == ['1', 'discard', 'close']

    def test_inner_joins_outer(self) -> None:
        channel = BatchChannel()
        producer = Producer(channel)
        with producer.batch(3):
            producer.publish(1)
            with producer.batch(7) as inner:
                producer.publish(2)
                inner.flush()
            producer.publish(3)
        (made,) = channel.batches
        assert made.log == ['1', '2', 'flush', '3', 'flush', 'close']

    def test_other_threads_are_not_in_it(self) -> None:
        channel = BatchChannel()
        producer = Producer(channel)
        with producer.batch():
            thread = threading.Thread(target=producer.publish, args=(1,))
            thread.start()
            thread.join()
            producer.publish(2)
        assert channel.names() == ['basic_publish']
        assert channel.batches[0].log == ['2', 'flush', 'close']

    def test_channel_changed(self) -> None:
        channel = BatchChannel()
        producer = Producer(channel)
        with producer.batch():
            producer.publish(1)
            producer.revive(BatchChannel())
            with pytest.raises(RuntimeError, match='dropped'):
                producer.publish(2)
        assert channel.batches[0].log == ['1', 'discard', 'close']

    def test_misuse(self) -> None:
        producer = Producer(BatchChannel())
        for wrong in (0, -1, 'a', None, True):
            with pytest.raises(ValueError, match='positive integer'):
                producer.batch(wrong)  # type: ignore[arg-type]
        batch = producer.batch()
        with pytest.raises(RuntimeError, match='not active'):
            batch.flush()
        with batch:
            pass
        with pytest.raises(RuntimeError, match='twice'):
            batch.__enter__()

    def test_one_by_one_where_the_transport_cannot(self, channel: FakeChannel) -> None:
        producer = Producer(channel)
        assert not producer.supports_batch_publish
        with producer.batch(2) as batch:
            producer.publish(1)
            assert channel.names() == ['basic_publish']
            batch.flush()
            producer.publish(2)
        assert len(channel.calls) == 2

    def test_one_by_one_tells_what_was_sent(self, channel: FakeChannel) -> None:
        producer = Producer(channel)
        with producer.batch():
            channel.fail['basic_publish'] = LinkFailure()
            with pytest.raises(LinkFailure):
                producer.publish(1)
            channel.fail.clear()
            producer.publish(2)
            channel.fail['basic_publish'] = LinkFailure()
            with pytest.raises(BatchPublishError, match='1 messages') as caught:
                producer.publish(3)
            assert isinstance(caught.value.__cause__, LinkFailure)
            assert caught.value.failed[0][1][0] == '3'
