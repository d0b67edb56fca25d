"""Declarations: what exists afterwards, and which error says why not."""

from __future__ import annotations

import warnings

import pytest
from amqp.exceptions import (
    AccessRefused,
    InvalidCommand,
    NotFound,
    PreconditionFailed,
    ResourceLocked,
)

from kombu import Connection
from kombu.exceptions import UnsupportedFeature, UnsupportedFeatureWarning
from kombu.testing.memory import MemoryBroker
from kombu.transport.virtual import NotEquivalentError


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
    """A channel of the reference broker, beside `channel` over a store that can little."""
    return connection.channel()


class TestExchanges:
    def test_passive(self, ch):
        with pytest.raises(NotFound, match="no exchange 'e' in vhost"):
            ch.exchange_declare('e', passive=True)
        ch.exchange_declare('e', 'topic')
        assert ch.exchange_declare('e', passive=True) is None

    def test_declared_again(self, ch):
        ch.exchange_declare('e', 'topic', durable=True)
        ch.exchange_declare('e', 'topic', durable=True)
        with pytest.raises(NotEquivalentError, match="type is 'topic', not 'direct'"):
            ch.exchange_declare('e', 'direct', durable=True)
        assert isinstance(NotEquivalentError(), PreconditionFailed)

    def test_of_unknown_type(self, ch):
        with pytest.raises(InvalidCommand, match="unknown exchange type 'tropical'") as caught:
            ch.exchange_declare('e', 'tropical')
        assert caught.value.reply_code == 503

    @pytest.mark.parametrize(
        ('name', 'type'),
        [
            ('amq.direct', 'direct'),
            ('amq.topic', 'topic'),
            ('amq.fanout', 'fanout'),
            ('amq.headers', 'headers'),
            ('amq.match', 'headers'),
        ],
    )
    def test_the_standard_ones_are_there(self, ch, name, type):
        ch.exchange_declare(name, passive=True)
        ch.exchange_declare(name, type, durable=True)
        assert ch.typeof(name).type == type

    def test_the_type_of_an_unknown_one_is_the_default(self, ch):
        assert ch.typeof('unknown').type == 'direct'
        assert ch.typeof('unknown', 'topic').type == 'topic'

    def test_deleting_one_that_is_not_there_is_no_error(self, ch):
        ch.exchange_delete('nope')

    def test_deleting_leaves_the_queues(self, broker, ch):
        ch.exchange_declare('e')
        ch.queue_declare('q')
        ch.queue_bind('q', 'e', 'k')
        with pytest.raises(PreconditionFailed, match='in use'):
            ch.exchange_delete('e', if_unused=True)
        ch.exchange_delete('e')
        assert broker.queues() == ['q']
        assert broker.bindings() == []
        assert 'e' not in ch.get_exchanges()

    def test_an_unused_one_is_deleted(self, ch):
        ch.exchange_declare('e')
        ch.exchange_delete('e', if_unused=True)
        assert 'e' not in ch.get_exchanges()

    def test_auto_delete_goes_with_the_last_binding(self, ch):
        ch.exchange_declare('e', 'fanout', auto_delete=True)
        for queue in ('q1', 'q2'):
            ch.queue_declare(queue)
            ch.queue_bind(queue, 'e')
        ch.queue_unbind('q1', 'e')
        ch.exchange_declare('e', passive=True)
        ch.queue_delete('q2')
        with pytest.raises(NotFound):
            ch.exchange_declare('e', passive=True)

    def test_auto_delete_goes_up_the_bindings_between_exchanges(self, ch):
        ch.exchange_declare('source', 'fanout', auto_delete=True)
        ch.exchange_declare('target', 'fanout', auto_delete=True)
        ch.exchange_bind('target', 'source')
        ch.queue_declare('q')
        ch.queue_bind('q', 'target')
        ch.queue_delete('q')
        for name in ('target', 'source'):
            with pytest.raises(NotFound):
                ch.exchange_declare(name, passive=True)

    def test_without_a_name_one_is_made_up(self, ch):
        ch.exchange_declare()
        assert any(name.startswith('amq.gen-') for name in ch.get_exchanges())

    @pytest.mark.parametrize('missing', ['source', 'target'])
    def test_binding_what_is_not_there(self, ch, missing):
        ch.exchange_declare('there')
        names = {'source': ('there', 'nope'), 'target': ('nope', 'there')}[missing]
        with pytest.raises(NotFound, match='nope'):
            ch.exchange_bind(*names, 'k')

    def test_bound_and_unbound(self, broker, ch):
        ch.exchange_declare('source', 'topic')
        ch.exchange_declare('target', 'fanout')
        ch.queue_declare('q')
        ch.queue_bind('q', 'target')
        ch.exchange_bind('target', 'source', 'a.*')
        for _ in range(2):
            ch.basic_publish(ch.prepare_message('x'), 'source', 'a.b')
            ch.exchange_unbind('target', 'source', 'a.*')
        assert len(broker.messages('q')) == 1
        ch.exchange_delete('target', if_unused=False)

    def test_unbinding_what_is_not_there_is_no_error(self, ch):
        ch.exchange_declare('there')
        ch.exchange_unbind('there', 'nope', 'k')


class TestQueues:
    def test_is_told_what_is_in_it(self, ch):
        assert ch.queue_declare('q') == ('q', 0, 0)
        ch.basic_publish(ch.prepare_message('x'), '', 'q')
        ch.basic_consume('q')
        result = ch.queue_declare('q', passive=True)
        assert (result.queue, result.message_count, result.consumer_count) == ('q', 1, 1)

    def test_passive(self, ch):
        with pytest.raises(NotFound, match="no queue 'q' in vhost") as caught:
            ch.queue_declare('q', passive=True)
        assert (caught.value.reply_code, caught.value.method_name) == (404, 'Channel.queue_declare')

    def test_names_are_made_up(self, ch):
        names = {ch.queue_declare(name).queue for name in ('', None, '')}
        assert len(names) == 3
        assert all(name.startswith('amq.gen-') for name in names)

    @pytest.mark.parametrize(
        ('change', 'text'),
        [
            ({'durable': False}, 'durable is True, not False'),
            ({'auto_delete': True}, 'auto_delete is False, not True'),
            ({'arguments': None}, 'x-max-length is 5, not None'),
            ({'arguments': {'x-max-length': 6}}, 'x-max-length is 5, not 6'),
            ({'arguments': {'x-max-length': 5, 'x-expires': 9}}, 'x-expires is None, not 9'),
        ],
    )
    def test_declared_again_otherwise(self, ch, change, text):
        ch.queue_declare('q', arguments={'x-max-length': 5})
        with pytest.raises(NotEquivalentError, match=text):
            ch.queue_declare('q', **{'arguments': {'x-max-length': 5}, **change})

    def test_declared_again_with_what_nobody_knows(self, ch):
        """RabbitMQ compares only the arguments that it knows."""
        with warnings.catch_warnings():
            warnings.simplefilter('ignore')
            ch.queue_declare('q', arguments={'x-mine': 1})
        ch.queue_declare('q', arguments={'x-mine': 2})
        ch.queue_declare('q')

    def test_declared_again_as_what_it_is_anyway(self, ch):
        ch.queue_declare('q')
        ch.queue_declare('q', arguments={'x-queue-type': 'classic'})

    @pytest.mark.parametrize(
        'arguments', [{'x-message-ttl': -1}, {'x-max-priority': 256}, {'x-overflow': 'explode'}]
    )
    def test_of_arguments_that_make_no_sense(self, broker, ch, arguments):
        with pytest.raises(PreconditionFailed, match=next(iter(arguments))):
            ch.queue_declare('q', arguments=arguments)
        assert broker.queues() == []

    def test_what_is_declared_keeps_no_hold_of_the_callers_arguments(self, ch):
        arguments = {'x-max-length': 5}
        ch.queue_declare('q', arguments=arguments)
        arguments['x-max-length'] = 6
        with pytest.raises(NotEquivalentError):
            ch.queue_declare('q', arguments=arguments)

    def test_deleted(self, broker, ch):
        ch.queue_declare('q')
        for _ in range(3):
            ch.basic_publish(ch.prepare_message('x'), '', 'q')
        with pytest.raises(PreconditionFailed, match='not empty'):
            ch.queue_delete('q', if_empty=True)
        assert ch.queue_delete('q') == 3
        assert ch.queue_delete('q') == 0
        assert broker.queues() == []

    def test_deleted_if_unused(self, ch):
        ch.queue_declare('q')
        tag = ch.basic_consume('q')
        with pytest.raises(PreconditionFailed, match='in use'):
            ch.queue_delete('q', if_unused=True)
        ch.basic_cancel(tag)
        ch.queue_delete('q', if_unused=True)

    def test_purged(self, ch):
        ch.queue_declare('q')
        for _ in range(3):
            ch.basic_publish(ch.prepare_message('x'), '', 'q')
        held = ch.basic_get('q')
        assert ch.queue_purge('q') == 2
        held.requeue()
        assert ch.queue_declare('q', passive=True).message_count == 1
        with pytest.raises(NotFound):
            ch.queue_purge('nope')


class TestAutoDelete:
    def test_goes_with_the_last_consumer(self, broker, ch, connection):
        other = connection.channel()
        ch.queue_declare('q', auto_delete=True)
        assert broker.queues() == ['q']
        tags = ch.basic_consume('q'), other.basic_consume('q')
        ch.basic_cancel(tags[0])
        assert broker.queues() == ['q']
        other.close()
        assert broker.queues() == []

    def test_stays_without_ever_a_consumer(self, broker, ch):
        ch.queue_declare('q', auto_delete=True)
        ch.basic_get('q')
        ch.close()
        assert broker.queues() == ['q']

    def test_stays_for_the_consumer_of_another_connection(self, broker):
        """Two connections have the same channel numbers, and may use the same tags."""
        one, other = (broker.connection().channel() for _ in range(2))
        one.queue_declare('q', auto_delete=True)
        for channel in (one, other):
            channel.basic_consume('q', consumer_tag='tag')
        assert broker.consumers('q') == 2
        one.basic_cancel('tag')
        assert broker.queues() == ['q']


class TestExclusive:
    @pytest.fixture(autouse=True)
    def queue(self, ch):
        ch.queue_declare('q', exclusive=True)

    @pytest.mark.parametrize(
        'use',
        [
            lambda c: c.queue_declare('q', exclusive=True),
            lambda c: c.queue_declare('q', passive=True),
            lambda c: c.queue_purge('q'),
            lambda c: c.queue_bind('q', 'amq.direct', 'k'),
            lambda c: c.queue_delete('q'),
            lambda c: c.basic_get('q'),
            lambda c: c.basic_consume('q'),
        ],
    )
    def test_is_locked_for_other_connections(self, broker, use):
        with pytest.raises(ResourceLocked, match='exclusive access') as caught:
            use(broker.connection().channel())
        assert caught.value.reply_code == 405

    def test_is_open_to_other_channels_of_its_connection(self, connection):
        other = connection.channel()
        other.queue_declare('q', passive=True)
        assert other.basic_get('q') is None

    def test_everybody_may_publish_to_it(self, broker, ch):
        other = broker.connection().channel()
        other.basic_publish(other.prepare_message('x'), '', 'q')
        assert ch.basic_get('q').body == b'x'

    def test_goes_with_its_connection(self, broker, ch, connection):
        ch.close()
        assert broker.queues() == ['q']
        connection.release()
        assert broker.queues() == []

    def test_declared_again_as_not_exclusive_it_is_locked(self, ch):
        with pytest.raises(ResourceLocked):
            ch.queue_declare('q', exclusive=False)


class TestBindings:
    @pytest.mark.parametrize(('queue', 'exchange'), [('q', 'nope'), ('nope', 'amq.direct')])
    def test_of_what_is_not_there(self, ch, queue, exchange):
        ch.queue_declare('q')
        with pytest.raises(NotFound, match='nope'):
            ch.queue_bind(queue, exchange, 'k')

    def test_once_is_enough(self, broker, ch):
        ch.queue_declare('q')
        for _ in range(3):
            ch.queue_bind('q', 'amq.direct', 'k')
        assert broker.bindings() == [('amq.direct', 'k', 'q')]
        ch.queue_unbind('q', 'amq.direct', 'k')
        assert broker.bindings() == []

    def test_arguments_make_another_binding(self, broker, ch):
        ch.queue_declare('q')
        ch.queue_bind('q', 'amq.direct', 'k')
        ch.queue_bind('q', 'amq.direct', 'k', arguments={'a': 1})
        ch.queue_unbind('q', 'amq.direct', 'k')
        ch.basic_publish(ch.prepare_message('x'), 'amq.direct', 'k')
        assert len(broker.messages('q')) == 1
        ch.queue_unbind('q', 'amq.direct', 'k', arguments={'a': 1})
        assert broker.bindings() == []

    def test_of_headers_must_say_how_to_match(self, ch):
        ch.queue_declare('q')
        with pytest.raises(PreconditionFailed, match='x-match'):
            ch.queue_bind('q', 'amq.headers', '', arguments={'x-match': 'some'})

    @pytest.mark.parametrize('exchange', ['nope', '', 'amq.direct'])
    def test_unbinding_what_is_not_bound_is_no_error(self, ch, exchange):
        ch.queue_unbind('nope', exchange, 'k')

    def test_to_the_default_exchange_are_refused(self, ch):
        ch.queue_declare('q')
        with pytest.raises(AccessRefused):
            ch.queue_bind('q', '', 'other-key')

    def test_are_listed(self, ch):
        ch.exchange_declare('e', 'topic')
        ch.queue_declare('q')
        ch.queue_bind('q', 'e', 'a.#')
        assert list(ch.list_bindings()) == [('q', 'e', 'a.#')]
        assert ch.get_bindings() == [{'source': 'e', 'destination': 'q', 'routing_key': 'a.#'}]
        assert ch.state.has_binding('q', 'e', 'a.#')
        assert list(ch.get_table('e')) == [('a.#', r'^a\..*?$', 'q')]

    def test_the_table_of_an_unknown_exchange(self, ch):
        with pytest.raises(NotFound):
            ch.get_table('nope')


class TestWhatATransportCannotDo:
    """Over a store whose transport claims little."""

    @pytest.mark.parametrize(
        ('arguments', 'text'),
        [
            ({'x-max-length': 5}, "'x-max-length' of queue 'q'"),
            ({'x-max-priority': 5}, "'x-max-priority' of queue 'q'"),
            ({'x-expires': 5}, "'x-expires' of queue 'q'"),
            ({'x-overflow': 'reject-publish'}, "'x-overflow' of queue 'q'"),
            ({'x-single-active-consumer': True}, "'x-single-active-consumer' of queue 'q'"),
        ],
    )
    def test_is_warned_about(self, channel, arguments, text):
        with pytest.warns(UnsupportedFeatureWarning, match=text):
            channel.queue_declare('q', arguments=arguments)

    @pytest.mark.parametrize(
        'arguments', [{'x-message-ttl': 5}, {'x-queue-type': 'quorum'}, {'x-overflow': 'drop-head'}]
    )
    def test_but_not_what_it_can_or_need_not(self, channel, arguments):
        channel.queue_declare('q', arguments=arguments)

    def test_exchange_types(self, channel):
        with pytest.warns(UnsupportedFeatureWarning, match="type 'headers'"):
            channel.exchange_declare('e', 'headers')
        with pytest.warns(UnsupportedFeatureWarning, match="'x-mine' of exchange 'e2'"):
            channel.exchange_declare('e2', 'direct', arguments={'x-mine': 1})

    @pytest.mark.parametrize('strict', [True, 'true'])
    def test_is_refused_if_strict(self, transport_class, strict):
        options = {'strict': strict}
        with Connection(transport=transport_class, transport_options=options) as connection:
            channel = connection.channel()
            with pytest.raises(UnsupportedFeature, match='x-max-length'):
                channel.queue_declare('q', arguments={'x-max-length': 5})
            with pytest.raises(UnsupportedFeature, match='headers'):
                channel.exchange_declare('e', 'headers')
            assert 'q' not in channel.state.queues
            assert 'e' not in channel.get_exchanges()


def test_the_virtual_host_is_named_in_errors():
    with MemoryBroker() as broker, broker.connection() as connection:
        with pytest.raises(NotFound, match=broker.virtual_host):
            connection.channel().queue_purge('q')
