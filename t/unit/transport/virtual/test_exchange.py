"""Exchange types: what each stores, delivers to, and takes for the same declaration."""

from __future__ import annotations

import re

import pytest
from amqp.exceptions import InvalidCommand, PreconditionFailed

from kombu import Connection
from kombu.testing.memory import MemoryBroker
from kombu.transport.memory import Channel, Transport
from kombu.transport.virtual.exchange import (
    STANDARD_EXCHANGE_TYPES,
    DirectExchange,
    ExchangeType,
    FanoutExchange,
    HeadersExchange,
    TopicExchange,
)


@pytest.fixture
def broker():
    with MemoryBroker() as broker:
        yield broker


@pytest.fixture
def channel(broker):
    return broker.connection().channel()


def test_every_channel_has_types_of_its_own(broker, channel):
    other = broker.connection().channel()
    assert set(channel.exchange_types) == set(STANDARD_EXCHANGE_TYPES)
    assert channel.exchange_types['direct'] is not other.exchange_types['direct']
    assert channel.exchange_types['direct'].channel is channel
    assert isinstance(Channel.exchange_types['direct'], type)


@pytest.mark.parametrize('name', ['direct', 'topic', 'fanout', 'headers', 'x-delayed-message'])
def test_a_type_has_the_name_it_is_declared_by(name):
    assert STANDARD_EXCHANGE_TYPES[name].type == name


class TestLookUp:
    """Rows may be a table, or a list that came from a store."""

    @pytest.mark.parametrize(
        ('kind', 'rows', 'key', 'found'),
        [
            (
                DirectExchange,
                [('a', None, 'q1'), ('b', None, 'q2'), ('a', None, 'q3')],
                'a',
                'q1 q3',
            ),
            (
                TopicExchange,
                [('a.#', '', 'q1'), ('*', '', 'q2'), ('a.*', '', 'q3')],
                'a.b',
                'q1 q3',
            ),
            (FanoutExchange, [('', None, 'q1'), ('x', None, 'q2')], 'whatever', 'q1 q2'),
        ],
    )
    @pytest.mark.parametrize('stored', [True, False])
    def test_of_rows(self, kind, rows, key, found, stored):
        table = rows if stored else kind.table(rows)
        assert set(kind(None).lookup(table, 'e', key, None)) == set(found.split())

    def test_of_headers(self):
        table = HeadersExchange.table()
        table.add(('', None, 'q1'), {'a': 1})
        assert HeadersExchange(None).lookup(table, 'e', '', None, {'a': 1}) == ('q1',)
        assert HeadersExchange(None).lookup(table, 'e', '', None, {'a': 2}) == ()


class TestTopicPattern:
    """The regular expression that processes of kombu 5.x match with, which share the store."""

    @pytest.mark.parametrize(
        ('pattern', 'keys', 'others'),
        [
            ('a.b', ['a.b'], ['a-b', 'a.b.c', 'xa.b']),
            ('a.*', ['a.b'], ['a', 'a.b.c']),
            ('a.#', ['a.b', 'a.b.c'], ['b.a']),
            ('a+b', ['a+b'], ['aab']),
        ],
    )
    def test_fits(self, pattern, keys, others):
        row = TopicExchange(None).prepare_bind('q', 'e', pattern, None)
        assert row[0] == pattern
        assert row[2] == 'q'
        assert all(re.match(row[1], key) for key in keys)
        assert not any(re.match(row[1], key) for key in others)


def test_other_types_store_no_pattern():
    for kind in (DirectExchange, FanoutExchange, HeadersExchange):
        assert kind(None).prepare_bind('q', 'e', 'k.*', {}) == ('k.*', None, 'q')


def test_a_headers_binding_must_say_how_to_match():
    with pytest.raises(ValueError, match="x-match must be one of .* not 'some'"):
        HeadersExchange(None).prepare_bind('q', 'e', '', {'x-match': 'some'})


class TestEquivalence:
    before = {
        'type': 'direct',
        'durable': True,
        'auto_delete': False,
        'arguments': {'alternate-exchange': 'ae', 'mine': 1},
    }

    def declare(self, **changes):
        now = {**self.before, **changes}
        return DirectExchange(None), (
            self.before,
            'e',
            now['type'],
            now['durable'],
            now['auto_delete'],
            now['arguments'],
        )

    @pytest.mark.parametrize(
        'changes',
        [{}, {'durable': 1}, {'arguments': {'alternate-exchange': 'ae', 'mine': 2, 'yours': 3}}],
    )
    def test_the_same(self, changes):
        kind, arguments = self.declare(**changes)
        assert kind.equivalent(*arguments)

    @pytest.mark.parametrize(
        ('changes', 'name'),
        [
            ({'type': 'topic'}, 'type'),
            ({'durable': False}, 'durable'),
            ({'auto_delete': True}, 'auto_delete'),
            ({'arguments': None}, 'alternate-exchange'),
            ({'arguments': {'alternate-exchange': 'other'}}, 'alternate-exchange'),
        ],
    )
    def test_another(self, changes, name):
        kind, arguments = self.declare(**changes)
        assert not kind.equivalent(*arguments)
        prev, _, *now = arguments
        assert [difference[0] for difference in kind.differences(prev, *now)] == [name]

    def test_arguments_never_given_are_none(self):
        prev = {**self.before, 'arguments': None}
        assert DirectExchange(None).equivalent(prev, 'e', 'direct', True, False, {})


class TestDelayed:
    def declare(self, channel, inner):
        channel.exchange_declare('d', 'x-delayed-message', arguments={'x-delayed-type': inner})

    @pytest.mark.parametrize('inner', [None, 'nonsense', 'x-delayed-message'])
    def test_must_name_the_type_to_route_by(self, channel, inner):
        with pytest.raises(PreconditionFailed, match='x-delayed-type'):
            self.declare(channel, inner)

    @pytest.mark.parametrize('inner', ['direct', 'topic', 'fanout', 'headers'])
    def test_routes_as_the_inner_type_does(self, broker, channel, inner):
        self.declare(channel, inner)
        channel.queue_declare('q')
        channel.queue_bind('q', 'd', 'k', arguments={'h': 1})
        for delay in (None, 0, 1000):
            headers = {'h': 1} if delay is None else {'h': 1, 'x-delay': delay}
            channel.basic_publish(channel.prepare_message('x', headers=headers), 'd', 'k')
        assert len(broker.messages('q')) == 2
        broker.advance(1)
        assert len(broker.messages('q')) == 3

    def test_a_delay_that_is_no_number_is_none(self, broker, channel):
        self.declare(channel, 'direct')
        channel.queue_declare('q')
        channel.queue_bind('q', 'd', 'k')
        message = channel.prepare_message('x', headers={'x-delay': 'soon'})
        channel.basic_publish(message, 'd', 'k')
        assert len(broker.messages('q')) == 1

    def test_what_is_delayed_when_its_exchange_goes_is_dropped(self, broker, channel):
        self.declare(channel, 'fanout')
        channel.queue_declare('q')
        channel.queue_bind('q', 'd')
        channel.basic_publish(channel.prepare_message('x', headers={'x-delay': 1000}), 'd')
        channel.exchange_delete('d')
        broker.advance(2)
        assert broker.messages('q') == []

    def test_what_cannot_be_delivered_later_is_nobody_elses_error(self, broker, channel):
        self.declare(channel, 'direct')
        arguments = {'x-max-length': 0, 'x-overflow': 'reject-publish'}
        channel.queue_declare('q', arguments=arguments)
        channel.queue_bind('q', 'd', 'k')
        channel.basic_publish(channel.prepare_message('x', headers={'x-delay': 1000}), 'd', 'k')
        broker.advance(2)
        assert broker.messages('q') == []


class TestTypesOfThirdParties:
    class Last(ExchangeType):
        """Delivers to the queue bound last."""

        type = 'x-last'

        def lookup(self, table, exchange, routing_key, default, headers=None):
            return [row[2] for row in table][-1:]

    @pytest.fixture
    def channel(self, broker):
        last = self.Last

        class OwnChannel(Channel):
            exchange_types = {**Channel.exchange_types, 'x-last': last}

        class OwnTransport(Transport):
            Channel = OwnChannel
            implements = Transport.implements.extend(
                exchange_type=Transport.implements.exchange_type | {'x-last'}
            )

        with Connection(transport=OwnTransport, virtual_host=broker.virtual_host) as connection:
            yield connection.channel()

    def test_are_declared_and_deliver(self, broker, channel):
        channel.exchange_declare('e', 'x-last')
        for queue in ('q1', 'q2'):
            channel.queue_declare(queue)
            channel.queue_bind(queue, 'e')
        channel.basic_publish(channel.prepare_message('x'), 'e')
        assert [len(broker.messages(queue)) for queue in ('q1', 'q2')] == [0, 1]

    def test_are_not_known_to_others(self, broker):
        with pytest.raises(InvalidCommand, match='x-last'):
            broker.connection().channel().exchange_declare('e', 'x-last')


def test_types_of_third_parties_may_deliver_by_themselves_and_return_nothing(channel, broker):
    """Whether the message was routed is then not known, so it is not returned to the publisher."""

    class Own(ExchangeType):
        def deliver(self, message, exchange, routing_key, **kwargs):
            self.channel._put('q', message)

    channel.queue_declare('q')
    channel.exchange_declare('e', 'direct')
    channel.exchange_types['direct'] = Own(channel)
    channel.basic_publish(channel.prepare_message('x'), 'e', 'k', mandatory=True)
    assert len(broker.messages('q')) == 1
