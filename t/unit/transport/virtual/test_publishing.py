"""Publishing: what is put where, and what happens to what cannot be put."""

from __future__ import annotations

import copy

import pytest
from amqp.exceptions import (
    ChannelError,
    MessageNacked,
    NotFound,
    PreconditionFailed,
    RecoverableConnectionError,
)

from kombu import Connection
from kombu.testing.memory import MemoryBroker

TO_THE_DEAD = {'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead'}


@pytest.fixture
def broker():
    with MemoryBroker() as broker:
        yield broker


@pytest.fixture
def ch(broker):
    return broker.connection().channel()


def publish(ch, body='x', exchange='', key='q', mandatory=False, headers=None, **properties):
    message = ch.prepare_message(body, headers=headers, properties=properties)
    return ch.basic_publish(message, exchange, key, mandatory=mandatory)


def bodies(broker, queue):
    return [message.body.decode() for message in broker.messages(queue)]


class TestEnvelopes:
    def test_have_the_form_every_version_reads(self, channel):
        message = channel.prepare_message(
            'body', 3, 'text/plain', 'utf-8', {'h': 1}, {'correlation_id': 'c'}
        )
        assert message == {
            'body': 'body',
            'content-type': 'text/plain',
            'content-encoding': 'utf-8',
            'headers': {'h': 1},
            'properties': {'correlation_id': 'c', 'priority': 3, 'delivery_info': {}},
        }

    def test_no_priority_means_none(self, channel):
        assert 'priority' not in channel.prepare_message('x')['properties']
        assert channel.prepare_message('x', priority=0)['properties']['priority'] == 0

    def test_the_callers_dicts_are_left_alone(self, channel):
        headers, properties = {'h': 1}, {'delivery_info': {'mine': 1}, 'expiration': '5'}
        before = copy.deepcopy((headers, properties))
        channel.queue_declare('q')
        message = channel.prepare_message('x', headers=headers, properties=properties)
        channel.basic_publish(message, '', 'q')
        assert (headers, properties) == before

    def test_say_where_they_were_published(self, channel, store):
        channel.queue_declare('q')
        publish(channel, b'\xff')
        publish(channel)
        first, second = store.queues['q']
        assert first['body'] == '/w=='
        assert first['properties']['body_encoding'] == 'base64'
        assert first['properties']['delivery_info'] == {'exchange': '', 'routing_key': 'q'}
        tags = {envelope['properties']['delivery_tag'] for envelope in (first, second)}
        assert len(tags) == 2

    def test_bodies_may_stay_as_they_are(self, transport_class, store):
        options = {'body_encoding': None}
        with Connection(transport=transport_class, transport_options=options) as connection:
            channel = connection.channel()
            publish(channel, 'grün')
            [envelope] = store.queues['q']
            assert envelope['body'] == 'grün'.encode()
            assert 'body_encoding' not in envelope['properties']
            assert channel.basic_get('q').body == 'grün'.encode()

    @pytest.mark.parametrize('encoding', ['base64', None])
    @pytest.mark.parametrize('body', ['', 'grün', b'\x00\xff', b''])
    def test_a_body_comes_back(self, channel, encoding, body):
        encoded, name = channel.encode_body(body, encoding)
        assert name == encoding
        expected = body.encode() if isinstance(body, str) else body
        assert channel.decode_body(encoded, name) == expected

    def test_an_encoding_nobody_knows_is_left_to_the_reader(self, channel):
        """Older versions wrote `utf-8` there."""
        assert channel.decode_body('x', 'utf-8') == 'x'


class TestMandatory:
    def test_what_is_routed_is_not_returned(self, ch):
        ch.queue_declare('q')
        publish(ch, mandatory=True)

    def test_what_is_not_goes_to_the_listeners(self, ch):
        returned = []
        ch.events['basic_return'].add(lambda *args: returned.append(args))
        ch.exchange_declare('e')
        publish(ch, 'x', 'e', 'k', mandatory=True, headers={'h': 1})
        [(error, exchange, key, message)] = returned
        assert isinstance(error, ChannelError)
        assert (error.reply_code, exchange, key) == (312, 'e', 'k')
        assert (message.body, message.headers) == (b'x', {'h': 1})

    def test_or_is_raised(self, ch):
        with pytest.raises(ChannelError, match='NO_ROUTE'):
            publish(ch, mandatory=True)

    def test_else_it_is_dropped(self, ch):
        publish(ch)

    def test_what_the_alternate_exchange_takes_is_routed(self, broker, ch):
        ch.exchange_declare('e', arguments={'alternate-exchange': 'amq.fanout'})
        ch.queue_declare('q')
        ch.queue_bind('q', 'amq.fanout')
        publish(ch, 'x', 'e', 'k', mandatory=True)
        assert bodies(broker, 'q') == ['x']

    def test_to_an_exchange_that_is_not_there(self, ch):
        with pytest.raises(NotFound, match="no exchange 'nope'"):
            publish(ch, 'x', 'nope')


class TestTheQueueForWhatIsNotRouted:
    @pytest.fixture
    def ch(self, broker):
        return broker.connection(transport_options={'deadletter_queue': 'lost'}).channel()

    @pytest.mark.filterwarnings('ignore::kombu.transport.virtual.UndeliverableWarning')
    def test_is_made_and_filled(self, broker, ch):
        ch.exchange_declare('e')
        publish(ch, 'x', 'e', 'k', mandatory=True)
        assert bodies(broker, 'lost') == ['x']


class TestExchangesBoundToExchanges:
    def test_each_queue_gets_a_message_once(self, broker, ch):
        for name in ('a', 'b', 'c'):
            ch.exchange_declare(name, 'fanout')
        ch.queue_declare('q')
        for name in ('a', 'b', 'c'):
            ch.queue_bind('q', name)
        for source, target in [('a', 'b'), ('b', 'c'), ('c', 'a'), ('a', 'c'), ('a', 'a')]:
            ch.exchange_bind(target, source)
        publish(ch, 'x', 'a')
        assert bodies(broker, 'q') == ['x']

    def test_alternates_that_point_at_each_other_end(self, ch):
        ch.exchange_declare('a', arguments={'alternate-exchange': 'b'})
        ch.exchange_declare('b', arguments={'alternate-exchange': 'a'})
        publish(ch, 'x', 'a', 'k')

    def test_the_alternate_is_for_what_nothing_else_takes(self, broker, ch):
        ch.exchange_declare('a', arguments={'alternate-exchange': 'amq.fanout'})
        ch.exchange_declare('b', 'fanout')
        for queue, exchange in [('alternate', 'amq.fanout'), ('bound', 'b')]:
            ch.queue_declare(queue)
            ch.queue_bind(queue, exchange)
        publish(ch, '1', 'a', 'k')
        ch.exchange_bind('b', 'a', 'k')
        publish(ch, '2', 'a', 'k')
        assert (bodies(broker, 'alternate'), bodies(broker, 'bound')) == (['1'], ['2'])

    def test_the_alternate_knows_of_bindings_only_the_store_has(self):
        from t.compat.miniatures import SharedTransport

        with Connection(transport=SharedTransport) as connection:
            channel = connection.channel()
            channel.exchange_declare('pub.ae', 'fanout')
            channel.queue_declare('pub.alternate')
            channel.queue_bind('pub.alternate', 'pub.ae')
            channel.exchange_declare('pub.e', arguments={'alternate-exchange': 'pub.ae'})
            channel._new_queue('pub.bound')
            channel._queue_bind('pub.e', 'k', '', 'pub.bound')  # by another process
            publish(channel, 'x', 'pub.e', 'k')
            assert channel._size('pub.bound') == 1
            assert channel._size('pub.alternate') == 0


class TestTimeToLive:
    def test_the_envelope_says_when_it_ends(self, broker, ch):
        ch.queue_declare('q', arguments={'x-message-ttl': 2000})
        publish(ch, expiration='1500')
        [envelope] = broker._broker.queues['q']
        now = broker.clock.now()
        assert envelope['properties']['delivery_info']['expires_at'] == now + 1.5

    def test_each_queue_has_its_own(self, broker, ch):
        for queue, ttl in [('short', 1000), ('long', 9000)]:
            ch.queue_declare(queue, arguments={'x-message-ttl': ttl})
            ch.queue_bind(queue, 'amq.fanout')
        publish(ch, 'x', 'amq.fanout')
        broker.advance(2)
        assert (bodies(broker, 'short'), bodies(broker, 'long')) == ([], ['x'])

    @pytest.mark.parametrize('expiration', ['soon', '-1', '', '1.5', []])
    def test_that_is_no_number_is_refused(self, ch, expiration):
        ch.queue_declare('q')
        with pytest.raises(PreconditionFailed, match='invalid expiration'):
            publish(ch, expiration=expiration)

    def test_that_is_no_number_is_refused_wherever_it_goes(self, ch):
        with pytest.raises(PreconditionFailed, match='invalid expiration'):
            publish(ch, expiration='soon')

    def test_of_nothing(self, broker, ch):
        ch.queue_declare('q')
        publish(ch, expiration='0')
        assert bodies(broker, 'q') == []

    @pytest.mark.parametrize('arguments', [{'x-message-ttl': 0}, {'x-max-length': 0}])
    def test_of_nothing_is_enough_for_a_consumer_that_waits(self, broker, arguments):
        connection = broker.connection()
        ch = connection.channel()
        ch.queue_declare('q', arguments=arguments)
        got = []
        ch.basic_consume('q', callback=got.append)
        publish(ch)
        connection.drain_events(timeout=0)
        assert len(got) == 1


class TestLimits:
    @pytest.mark.parametrize(
        ('limit', 'left'),
        [
            ({'x-max-length': 2}, ['ccc', 'd']),
            ({'x-max-length-bytes': 5}, ['ccc', 'd']),
            ({'x-max-length': 3, 'x-max-length-bytes': 100}, ['bb', 'ccc', 'd']),
            ({'x-max-length': 0}, []),
        ],
    )
    def test_the_oldest_goes(self, broker, ch, limit, left):
        ch.queue_declare('dead')
        ch.queue_declare('q', arguments={**limit, **TO_THE_DEAD})
        sent = ['a', 'bb', 'ccc', 'd']
        for body in sent:
            publish(ch, body)
        assert bodies(broker, 'q') == left
        assert bodies(broker, 'dead') == sent[: len(sent) - len(left)]
        deaths = [message.headers['x-death'][0] for message in broker.messages('dead')]
        assert {death['reason'] for death in deaths} == {'maxlen'}

    @pytest.mark.parametrize('limit', [{'x-max-length': 2}, {'x-max-length-bytes': 3}])
    @pytest.mark.parametrize('overflow', ['reject-publish', 'reject-publish-dlx'])
    def test_the_newest_is_refused(self, broker, ch, limit, overflow):
        ch.queue_declare('dead')
        ch.queue_declare('q', arguments={**limit, **TO_THE_DEAD, 'x-overflow': overflow})
        publish(ch, 'a')
        publish(ch, 'bb')
        with pytest.raises(MessageNacked, match="queue 'q' is full"):
            publish(ch, 'ccc')
        assert bodies(broker, 'q') == ['a', 'bb']
        assert bodies(broker, 'dead') == (['ccc'] if overflow.endswith('dlx') else [])

    def test_what_is_held_is_not_counted(self, broker, ch):
        ch.queue_declare('q', arguments={'x-max-length': 1})
        publish(ch, 'a')
        ch.basic_get('q')
        publish(ch, 'b')
        assert bodies(broker, 'q') == ['b']

    def test_what_comes_back_is_counted(self, broker, ch):
        ch.queue_declare('dead')
        ch.queue_declare('q', arguments={'x-max-length': 1, **TO_THE_DEAD})
        publish(ch, 'a')
        held = ch.basic_get('q')
        publish(ch, 'b')
        held.requeue()
        assert bodies(broker, 'q') == ['b']
        assert bodies(broker, 'dead') == ['a']

    @pytest.mark.parametrize('type', ['fanout', 'topic'])
    def test_a_full_queue_keeps_nothing_from_the_others(self, broker, ch, type):
        """RabbitMQ delivers to those that have room, and refuses the confirm."""
        ch.exchange_declare('e', type)
        arguments = {'x-max-length': 0, 'x-overflow': 'reject-publish'}
        for queue, options in [('full', arguments), ('open', None)]:
            ch.queue_declare(queue, arguments=options)
            ch.queue_bind(queue, 'e', '#')
        with pytest.raises(MessageNacked):
            publish(ch, 'x', 'e', 'k')
        assert bodies(broker, 'open') == ['x']


class TestDeadLetters:
    def reject(self, ch, queue='q'):
        ch.basic_get(queue).reject()

    def test_go_where_the_queue_says(self, broker, ch):
        ch.exchange_declare('dlx', 'topic')
        ch.queue_declare('dead')
        ch.queue_bind('dead', 'dlx', 'a.#')
        ch.queue_declare('q', arguments={'x-dead-letter-exchange': 'dlx'})
        ch.queue_bind('q', 'amq.topic', 'a.b')
        publish(ch, 'x', 'amq.topic', 'a.b', headers={'h': 1}, expiration='60000')
        self.reject(ch)
        [message] = broker.messages('dead')
        assert message.delivery_info == {'exchange': 'dlx', 'routing_key': 'a.b'}
        assert message.headers['h'] == 1
        assert 'expiration' not in message.properties
        [death] = message.headers['x-death']
        assert death.pop('time') == broker.clock.now()
        assert death == {
            'count': 1,
            'reason': 'rejected',
            'queue': 'q',
            'exchange': 'amq.topic',
            'routing-keys': ['a.b'],
            'original-expiration': '60000',
        }

    @pytest.mark.parametrize('arguments', [None, {'x-dead-letter-exchange': 'nope'}])
    def test_go_nowhere_where_there_is_nowhere(self, broker, ch, arguments):
        ch.queue_declare('q', arguments=arguments)
        publish(ch)
        self.reject(ch)
        assert broker.unacked('q') == 0

    def test_do_not_go_round(self, broker, ch):
        """Unless somebody rejects them on the way."""
        for queue, target in [('a', 'b'), ('b', 'a')]:
            arguments = {'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': target}
            ch.queue_declare(queue, arguments={**arguments, 'x-message-ttl': 1000})
        publish(ch, 'expires', key='a')
        broker.advance(1)
        assert bodies(broker, 'b') == ['expires']
        broker.advance(1)
        assert (bodies(broker, 'a'), bodies(broker, 'b')) == ([], [])
        publish(ch, 'rejected', key='a')
        for queue, after in [('a', ['b']), ('b', ['a']), ('a', ['b'])]:
            self.reject(ch, queue)
            assert [q for q in 'ab' if bodies(broker, q)] == after
        [message] = broker.messages('b')
        assert [(d['queue'], d['count']) for d in message.headers['x-death']] == [
            ('a', 2),
            ('b', 1),
        ]

    def test_are_dropped_by_a_full_queue_that_refuses(self, broker, ch):
        arguments = {'x-max-length': 1, 'x-overflow': 'reject-publish'}
        ch.queue_declare('dead', arguments=arguments)
        ch.queue_declare('q', arguments=TO_THE_DEAD)
        for body in 'ab':
            publish(ch, body)
            self.reject(ch)
        assert bodies(broker, 'dead') == ['a']

    @pytest.mark.parametrize(
        'history',
        [
            [{'queue': 'q', 'reason': 'rejected', 'count': 1}],
            [{'queue': 'q', 'reason': 'rejected', 'count': 'many', 'exchange': ''}],
        ],
    )
    def test_with_a_history_of_somebody_elses_making(self, broker, ch, history):
        ch.queue_declare('dead')
        ch.queue_declare('q', arguments=TO_THE_DEAD)
        publish(ch, headers={'x-death': history})
        self.reject(ch)
        assert bodies(broker, 'dead') == ['x']

    def test_reach_an_exchange_that_another_process_declared(self):
        from t.compat.miniatures import SharedTransport

        with (
            Connection(transport=SharedTransport) as one,
            Connection(transport=SharedTransport) as other,
        ):
            ours, theirs = one.channel(), other.channel()
            theirs.exchange_declare('pub.dlx')
            theirs.queue_declare('pub.dead')
            theirs.queue_bind('pub.dead', 'pub.dlx', 'pub.q')
            ours.queue_declare('pub.q', arguments={'x-dead-letter-exchange': 'pub.dlx'})
            publish(ours, key='pub.q')
            ours.basic_get('pub.q').reject()
            assert theirs._size('pub.dead') == 1


class TestPriorities:
    @pytest.mark.parametrize(
        ('given', 'priority'),
        [(None, 0), (0, 0), (5, 5), ('5', 5), (9, 9), (10, 9), (-1, 0), ('high', 0), ([], 0)],
    )
    def test_are_kept_within_what_the_store_tells_apart(self, channel, given, priority):
        message = channel.prepare_message('x', priority=given)
        assert channel._get_message_priority(message) == priority
        assert channel._get_message_priority(message, reverse=True) == 9 - priority


def test_a_closed_channel_publishes_nothing(ch):
    ch.close()
    with pytest.raises(RecoverableConnectionError, match='channel is closed'):
        publish(ch)
