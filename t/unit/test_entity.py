"""Exchanges, queues and bindings: what they say, and what they ask of a channel."""

from __future__ import annotations

import copy
import pickle
import weakref
from typing import Any

import pytest

from kombu.connection import Connection
from kombu.entity import Exchange, Queue, binding, maybe_delivery_mode, pretty_bindings
from kombu.exceptions import NotBoundError, SerializerNotInstalled, UnknownArgumentWarning
from t.unit.fake_channel import FakeChannel, FakeClient


@pytest.fixture
def channel() -> FakeChannel:
    return FakeChannel()


class TestDeliveryMode:
    @pytest.mark.parametrize(
        ('given', 'number'),
        [(None, 2), ('', 2), (0, 2), (1, 1), (2, 2), ('transient', 1), ('persistent', 2), (3, 3)],
    )
    def test_number(self, given: Any, number: int) -> None:
        assert maybe_delivery_mode(given) == number

    def test_default_and_modes(self) -> None:
        assert maybe_delivery_mode(None, default=None) is None
        assert maybe_delivery_mode('x', modes={'x': 9}) == 9

    def test_unknown(self) -> None:
        with pytest.raises(KeyError, match='transient, persistent'):
            maybe_delivery_mode('eternal')


class TestExchange:
    def test_defaults(self) -> None:
        assert Exchange('e').as_dict() == {
            'name': 'e',
            'type': 'direct',
            'arguments': None,
            'durable': True,
            'passive': False,
            'auto_delete': False,
            'delivery_mode': None,
            'no_declare': False,
        }

    def test_none_is_the_default_exchange(self) -> None:
        assert Exchange(None).name == ''
        assert Exchange('', type='').type == 'direct'

    def test_truth(self) -> None:
        """Celery tells a queue without exchange from one with the default exchange by it."""
        assert Exchange('')

    def test_declare(self, channel: FakeChannel) -> None:
        Exchange('e', 'topic', durable=False, auto_delete=True, arguments={'a': 1})(
            channel
        ).declare(nowait=True)
        assert channel.last('exchange_declare') == {
            'exchange': 'e',
            'type': 'topic',
            'durable': False,
            'auto_delete': True,
            'arguments': {'a': 1},
            'nowait': True,
            'passive': False,
        }

    @pytest.mark.parametrize(
        ('exchange', 'asked', 'passive'),
        [
            (Exchange('e', passive=True), None, True),
            (Exchange('e', passive=True), False, False),
            (Exchange('e'), True, True),
        ],
    )
    def test_passive(
        self, channel: FakeChannel, exchange: Exchange, asked: bool | None, passive: bool
    ) -> None:
        exchange.declare(passive=asked, channel=channel)
        assert channel.last('exchange_declare')['passive'] is passive

    @pytest.mark.parametrize(
        'exchange', [Exchange(''), Exchange('amq.topic', 'topic'), Exchange('e', no_declare=True)]
    )
    def test_not_declared(self, channel: FakeChannel, exchange: Exchange) -> None:
        exchange(channel).declare()
        assert not channel.calls

    def test_needs_a_channel(self) -> None:
        with pytest.raises(NotBoundError):
            Exchange('e').declare()

    def test_bind_and_unbind(self, channel: FakeChannel) -> None:
        exchange = Exchange('dest')(channel)
        exchange.bind_to(Exchange('src'), 'key', {'a': 1}, nowait=True)
        expected = {
            'destination': 'dest',
            'source': 'src',
            'routing_key': 'key',
            'nowait': True,
            'arguments': {'a': 1},
        }
        assert channel.last('exchange_bind') == expected
        exchange.unbind_from('src', 'key', True, {'a': 1})
        assert channel.last('exchange_unbind') == expected

    def test_bind_to_unknown_argument_warns(self, channel: FakeChannel) -> None:
        with pytest.warns(UnknownArgumentWarning):
            Exchange('e')(channel).bind_to('src', routing_kei='x')

    def test_message(self, channel: FakeChannel) -> None:
        properties = {'a': 1}
        exchange = Exchange('e', delivery_mode='transient')(channel)
        _, args, kwargs = exchange.Message('text', properties=properties, priority=3)
        assert args == ('text',)
        assert kwargs == {
            'properties': {'a': 1, 'delivery_mode': 1},
            'priority': 3,
            'content_encoding': 'utf-8',
        }
        assert properties == {'a': 1}, "the dict is the caller's"
        assert exchange.Message(b'bytes', 2)[2] == {'properties': {'delivery_mode': 2}}

    def test_publish(self, channel: FakeChannel) -> None:
        exchange = Exchange('e')(channel)
        exchange.publish('text', 'key', mandatory=True)
        assert channel.args('basic_publish') == (exchange.Message('text'),)
        assert channel.last('basic_publish') == {
            'exchange': 'e',
            'routing_key': 'key',
            'mandatory': True,
            'immediate': False,
        }
        exchange.publish(exchange.Message('text'), exchange='other')
        assert channel.last('basic_publish')['exchange'] == 'other'

    def test_delete(self, channel: FakeChannel) -> None:
        Exchange('e')(channel).delete(if_unused=True)
        assert channel.last('exchange_delete') == {
            'exchange': 'e',
            'if_unused': True,
            'nowait': False,
        }

    def test_equality(self) -> None:
        assert Exchange('e') == Exchange('e', passive=True, no_declare=True)
        assert Exchange('e') != Exchange('e', 'topic')
        assert Exchange('e') != 'e'
        assert len({Exchange('e'), Exchange('e')}) == 1
        assert Exchange('e')(FakeChannel()) == Exchange('e')

    def test_text(self, channel: FakeChannel) -> None:
        assert str(Exchange('e', 'topic')) == 'Exchange e(topic)'
        assert repr(Exchange('')) == "<unbound Exchange ''(direct)>"
        assert repr(Exchange('e')(channel)) == '<Exchange e(direct) bound to chan:1>'

    def test_pickle_and_copy(self, channel: FakeChannel) -> None:
        exchange = Exchange('e', 'topic', durable=False, arguments={'a': 1}, delivery_mode=1)
        assert pickle.loads(pickle.dumps(exchange(channel))) == exchange
        assert copy.copy(exchange) == exchange
        assert b'kombu.entity\n' in pickle.dumps(exchange, protocol=0), 'where 5.x looks for it'

    def test_unknown_argument_warns_with_a_suggestion(self) -> None:
        with pytest.warns(UnknownArgumentWarning, match="did you mean 'durable'"):
            Exchange('e', durabel=True)

    def test_can_cache_declaration(self) -> None:
        assert Exchange('e').can_cache_declaration
        assert not Exchange('e', auto_delete=True).can_cache_declaration


class TestBinding:
    def test_exchange_by_name_or_dict(self) -> None:
        assert binding('e', 'k') == binding(Exchange('e'), 'k') == binding({'name': 'e'}, 'k')  # type: ignore[arg-type]

    def test_equal_bindings_are_one(self) -> None:
        assert len({binding('e', 'k'), binding('e', 'k'), binding('e', 'j')}) == 2
        assert binding('e', 'k') != binding('e', 'k', {'a': 1})

    def test_declare(self, channel: FakeChannel) -> None:
        binding('e', 'k').declare(channel, nowait=True)
        assert channel.last('exchange_declare')['nowait'] is True
        channel.clear()
        binding(None, 'k').declare(channel)
        assert not channel.calls

    def test_bind_and_unbind_queue(self, channel: FakeChannel) -> None:
        bound = binding('e', 'k', {'a': 1})
        bound.bind(Queue('q'), nowait=True, channel=channel)
        expected = {
            'queue': 'q',
            'exchange': 'e',
            'routing_key': 'k',
            'arguments': {'a': 1},
            'nowait': True,
        }
        assert channel.last('queue_bind') == expected
        bound.unbind(Queue('q')(channel), nowait=True)
        assert channel.last('queue_unbind') == expected

    def test_unbind_arguments(self, channel: FakeChannel) -> None:
        binding('e', 'k', {'a': 1}, {'b': 1}).unbind(Queue('q')(channel))
        assert channel.last('queue_unbind')['arguments'] == {'b': 1}

    def test_bind_exchange(self, channel: FakeChannel) -> None:
        Exchange('src').binding('k').bind(Exchange('dest')(channel))
        assert channel.last('exchange_bind')['source'] == 'src'
        assert channel.last('exchange_bind')['destination'] == 'dest'

    def test_text(self) -> None:
        assert str(binding('e', 'k')) == 'e->k'
        assert repr(binding()) == '<binding: ->>'
        assert pretty_bindings([binding('e', 'k'), binding('e', 'j')]) == '[e->k, e->j]'

    def test_pickle(self) -> None:
        bound = binding('e', 'k', {'a': 1}, {'b': 1})
        assert pickle.loads(pickle.dumps(bound)) == bound


class TestQueueDeclaration:
    def test_order(self, channel: FakeChannel) -> None:
        """The exchange is there before the queue, and the queue before it is bound."""
        assert Queue('q', Exchange('e'), 'k')(channel).declare() == 'q'
        assert channel.names() == ['exchange_declare', 'queue_declare', 'queue_bind']
        assert channel.last('queue_bind') == {
            'queue': 'q',
            'exchange': 'e',
            'routing_key': 'k',
            'arguments': None,
            'nowait': False,
        }

    def test_default_exchange_is_neither_declared_nor_bound(self, channel: FakeChannel) -> None:
        Queue('q')(channel).declare()
        assert channel.names() == ['queue_declare']

    def test_internal_exchange_is_bound_only(self, channel: FakeChannel) -> None:
        Queue('q', Exchange('amq.topic', 'topic'), 'a.*')(channel).declare()
        assert channel.names() == ['queue_declare', 'queue_bind']

    def test_everything_is_said(self, channel: FakeChannel) -> None:
        Queue(
            'q',
            'e',
            'k',
            durable=False,
            exclusive=True,
            expires='1.5',
            message_ttl=2,
            max_length=10,
            max_length_bytes=100,
            max_priority=9,
            queue_arguments={'x-a': 1},
            binding_arguments={'b': 1},
        )(channel).declare()
        assert channel.last('queue_declare') == {
            'queue': 'q',
            'passive': False,
            'durable': False,
            'exclusive': True,
            'auto_delete': True,
            'arguments': {
                'x-a': 1,
                'x-expires': 1500,
                'x-message-ttl': 2000,
                'x-max-length': 10,
                'x-max-length-bytes': 100,
                'x-max-priority': 9,
            },
            'nowait': False,
        }
        assert channel.last('queue_bind')['arguments'] == {'b': 1}

    def test_arguments_of_the_caller_stay(self, channel: FakeChannel) -> None:
        arguments = {'x-a': 1}
        Queue('q', expires=1, queue_arguments=arguments)(channel).declare()
        assert arguments == {'x-a': 1}

    def test_bindings_in_the_same_order_every_time(self, channel: FakeChannel) -> None:
        bindings = [binding('e2', 'b', {'z': 1}), binding('e1', 'a')]
        queue = Queue('q', bindings=bindings)
        assert queue.exchange is None
        queue(channel).declare(nowait=True)
        assert channel.names() == [
            'queue_declare',
            'exchange_declare', 'queue_bind',
            'exchange_declare', 'queue_bind',
        ]  # fmt: skip
        assert [call['exchange'] for call in channel.all('queue_bind')] == ['e1', 'e2']
        assert channel.last('queue_bind')['arguments'] == {'z': 1}
        assert all(call['nowait'] for name, _, call in channel.calls)

    def test_exchange_and_bindings_are_both_honoured(self, channel: FakeChannel) -> None:
        """kombu 5.x dropped the exchange without a word."""
        Queue('q', 'e', 'k', bindings=[binding('e1', 'a')])(channel).declare()
        assert [call['exchange'] for call in channel.all('queue_bind')] == ['e', 'e1']

    def test_list_of_bindings_for_an_exchange(self) -> None:
        queue = Queue('q', [binding('e1', 'a'), binding('e2', 'b')])
        assert queue.bindings == {binding('e1', 'a'), binding('e2', 'b')}
        assert queue.exchange is None
        assert Queue('q', binding('e1', 'a')).bindings == {binding('e1', 'a')}

    def test_what_is_no_binding(self) -> None:
        with pytest.raises(TypeError, match=r'kombu\.binding'):
            Queue('q', bindings=['e1'])  # type: ignore[list-item]

    def test_no_declare(self, channel: FakeChannel) -> None:
        assert Queue('q', 'e', no_declare=True)(channel).declare() == 'q'
        assert not channel.calls

    def test_exclusive_implies_auto_delete(self) -> None:
        assert Queue('q', exclusive=True).auto_delete

    def test_channel_of_one_call(self, channel: FakeChannel) -> None:
        other = FakeChannel()
        Queue('q', 'e')(channel).declare(channel=other)
        assert not channel.calls
        assert other.names() == ['exchange_declare', 'queue_declare', 'queue_bind']

    def test_on_declared(self, channel: FakeChannel) -> None:
        told: list[Any] = []
        Queue('q', on_declared=lambda *args: told.append(args))(channel).declare()
        assert told == [('q', 3, 1)]

    def test_passive(self, channel: FakeChannel) -> None:
        assert Queue('q')(channel).queue_declare(passive=True) == ('q', 3, 1)
        assert channel.last('queue_declare')['passive'] is True

    def test_needs_a_channel(self) -> None:
        with pytest.raises(NotBoundError):
            Queue('q', 'e').declare()

    def test_channel_may_be_a_connection(self) -> None:
        connection = Connection('memory://')
        queue = Queue('entity-q', channel=connection)
        assert queue.channel is connection.default_channel
        assert queue.declare() == 'entity-q'
        connection.release()


class TestServerNamedQueue:
    def test_takes_the_name(self, channel: FakeChannel) -> None:
        queue = Queue('', 'e')(channel)
        assert queue.declare() == queue.name == 'amq.gen-2'
        assert channel.last('queue_bind')['queue'] == queue.name

    def test_waits_for_the_name(self, channel: FakeChannel) -> None:
        Queue('')(channel).declare(nowait=True)
        assert channel.last('queue_declare')['nowait'] is False

    def test_asks_for_another_name_after_reconnecting(self, channel: FakeChannel) -> None:
        """Clients may not choose names that begin with `amq.`, and the queue is gone."""
        queue = Queue('', exclusive=True)(channel)
        queue.declare()
        other = FakeChannel()
        queue.revive(other)
        queue.declare()
        assert other.last('queue_declare')['queue'] == ''

    def test_keeps_the_name_of_a_queue_that_stays(self, channel: FakeChannel) -> None:
        queue = Queue('')(channel)
        name = queue.declare()
        queue.revive(FakeChannel())
        assert queue.name == name

    def test_is_not_cached(self) -> None:
        assert not Queue('').can_cache_declaration


class TestQueue:
    def test_bind_and_unbind(self, channel: FakeChannel) -> None:
        queue = Queue('q', 'e', 'k', binding_arguments={'a': 1})(channel)
        expected = {
            'queue': 'q',
            'exchange': 'e',
            'routing_key': 'k',
            'arguments': {'a': 1},
            'nowait': True,
        }
        queue.queue_bind(nowait=True)
        assert channel.last('queue_bind') == expected
        queue.queue_unbind(nowait=True)
        assert channel.last('queue_unbind') == expected, 'told by its arguments from others'
        queue.queue_unbind({'b': 1})
        assert channel.last('queue_unbind')['arguments'] == {'b': 1}
        queue.bind_to(Exchange('other'), 'j')
        assert channel.last('queue_bind')['exchange'] == 'other'
        queue.unbind_from('other', 'j')
        assert channel.last('queue_unbind')['exchange'] == 'other'

    def test_bind_and_unbind_bindings(self, channel: FakeChannel) -> None:
        queue = Queue('q', bindings=[binding('e', 'k')])(channel)
        queue.queue_bind()
        queue.queue_unbind()
        assert channel.last('queue_bind')['exchange'] == 'e'
        assert channel.last('queue_unbind')['exchange'] == 'e'

    def test_get(self, channel: FakeChannel) -> None:
        class Message:
            accept: Any = None

        message = Message()
        channel.messages = [message]
        queue = Queue('q', no_ack=True)(channel)
        assert queue.get(accept=['json']) is message
        assert message.accept == {'application/json'}
        assert channel.last('basic_get') == {'queue': 'q', 'no_ack': True}
        assert queue.get(no_ack=False) is None
        assert channel.last('basic_get')['no_ack'] is False

    def test_get_converts(self, channel: FakeChannel) -> None:
        class Message:
            accept: Any = None

        channel.messages = [b'raw']
        channel.message_to_python = lambda raw: Message()  # type: ignore[attr-defined]
        assert isinstance(Queue('q')(channel).get(), Message)

    def test_get_does_not_take_a_message_for_a_wrong_argument(self, channel: FakeChannel) -> None:
        channel.messages = [object()]
        with pytest.raises(SerializerNotInstalled):
            Queue('q')(channel).get(accept=['jsn'])
        assert channel.messages

    def test_purge(self, channel: FakeChannel) -> None:
        assert Queue('q')(channel).purge(nowait=True) == 2
        assert channel.last('queue_purge') == {'queue': 'q', 'nowait': True}

    def test_consume_and_cancel(self, channel: FakeChannel) -> None:
        queue = Queue('q', no_ack=True, consumer_arguments={'x-priority': 1})(channel)
        callback = print
        queue.consume('tag', callback)
        assert channel.last('basic_consume') == {
            'queue': 'q',
            'no_ack': True,
            'consumer_tag': 'tag',
            'callback': callback,
            'nowait': False,
            'arguments': {'x-priority': 1},
            'on_cancel': None,
        }
        queue.consume('tag', callback, no_ack=False, nowait=True, on_cancel=print)
        assert channel.last('basic_consume')['no_ack'] is False
        assert channel.last('basic_consume')['on_cancel'] is print
        queue.cancel('tag')
        assert channel.args('basic_cancel') == ('tag',)

    def test_delete(self, channel: FakeChannel) -> None:
        Queue('q')(channel).delete(if_unused=True, if_empty=True)
        assert channel.last('queue_delete') == {
            'queue': 'q',
            'if_unused': True,
            'if_empty': True,
            'nowait': False,
        }

    def test_default_exchange_belongs_to_the_queue(self) -> None:
        """Celery names the exchange of a queue after the fact."""
        first, second = Queue('q'), Queue('q')
        assert first.exchange is not None
        assert second.exchange is not None
        first.exchange.name = 'mine'
        assert second.exchange.name == ''

    def test_exchange_is_bound_with_it(self, channel: FakeChannel) -> None:
        exchange = Exchange('e')
        queue = Queue('q', exchange)(channel)
        assert queue.exchange is not None
        assert queue.exchange.channel is channel
        assert not exchange.is_bound
        other = FakeChannel()
        queue.revive(other)
        assert queue.exchange.channel is other

    def test_format(self) -> None:
        text = '{0.name} {0.exchange.name} {0.exchange.type} {0.routing_key}'
        assert text.format(Queue('q', Exchange('e', 'topic'), 'k')) == 'q e topic k'

    def test_weak_reference(self) -> None:
        queue = Queue('q')
        assert weakref.ref(queue)() is queue

    def test_unknown_argument_warns_with_a_suggestion(self) -> None:
        with pytest.warns(UnknownArgumentWarning, match="did you mean 'expires'"):
            Queue('q', expire=3)

    def test_attribute_of_a_subclass(self) -> None:
        class Task(Queue):
            can_cache_declaration = False  # type: ignore[assignment]

        assert Task('q').can_cache_declaration is False

    def test_text(self, channel: FakeChannel) -> None:
        assert (
            repr(Queue('q', 'e', 'k')) == '<unbound Queue q -> <unbound Exchange e(direct)> -> k>'
        )
        both = Queue('q', 'e', 'k', bindings=[binding('e2', 'b'), binding('e1', 'a')])
        assert repr(both).endswith('-> k [e1->a, e2->b]>')
        bound = Queue('q', bindings=[binding('e1', 'a')])(channel)
        assert repr(bound) == '<Queue q -> [e1->a] bound to chan:1>'


class TestQueueAsValue:
    BASE: dict[str, Any] = {'name': 'q', 'exchange': Exchange('e'), 'routing_key': 'k'}

    @pytest.mark.parametrize(
        'other',
        [
            {'durable': False},
            {'exclusive': True},
            {'auto_delete': True},
            {'queue_arguments': {'a': 1}},
            {'binding_arguments': {'a': 1}},
            {'consumer_arguments': {'a': 1}},
            {'expires': 1},
            {'message_ttl': 1},
            {'max_length': 1},
            {'max_length_bytes': 1},
            {'max_priority': 1},
            {'bindings': [binding('e', 'z')]},
            {'exchange': Exchange('z')},
            {'routing_key': 'j'},
            {'name': 'p'},
        ],
        ids=lambda other: next(iter(other)),
    )
    def test_differs(self, other: dict[str, Any]) -> None:
        queue, differing = Queue(**self.BASE), Queue(**{**self.BASE, **other})
        assert queue != differing
        if 'consumer_arguments' not in other:
            assert queue.declaration_key != differing.declaration_key

    @pytest.mark.parametrize('same', [{}, {'no_ack': True}, {'alias': 'a'}, {'no_declare': True}])
    def test_equal(self, same: dict[str, Any]) -> None:
        assert Queue(**self.BASE) == Queue(**self.BASE, **same)
        assert hash(Queue(**self.BASE)) == hash(Queue(**self.BASE, **same))

    def test_other_types(self) -> None:
        assert Queue('q') != 'q'
        assert Queue('q') != Exchange('q')

    def test_pickle_and_copy(self, channel: FakeChannel) -> None:
        queue = Queue(
            **self.BASE,
            bindings=[binding('e', 'z')],
            queue_arguments={'a': [1, {'b': 2}]},
            expires=3,
            max_priority=2,
            no_ack=True,
            alias='al',
        )
        for twin in (
            pickle.loads(pickle.dumps(queue)),
            pickle.loads(pickle.dumps(queue(channel))),
            copy.copy(queue),
            copy.deepcopy(queue),
            Queue.from_dict('q', **{k: v for k, v in queue.as_dict(True).items() if k != 'name'}),
        ):
            assert twin == queue
            assert twin.as_dict(recurse=True) == queue.as_dict(recurse=True)
            assert twin.declaration_key == queue.declaration_key
            assert not twin.is_bound
        copy.copy(queue).bindings.clear()
        assert queue.bindings, 'a copy has bindings of its own'

    def test_key_is_hashable_whatever_the_arguments(self) -> None:
        queue = Queue('q', queue_arguments={'a': [1, {'b': 2}], 'c': {'d'}})
        assert hash(queue.declaration_key) == hash(copy.deepcopy(queue).declaration_key)

    @pytest.mark.parametrize(
        ('options', 'cached'),
        [
            ({}, True),
            ({'max_length': 1}, True),
            ({'message_ttl': 1}, True),
            ({'auto_delete': True}, False),
            ({'exclusive': True}, False),
            ({'expires': 1}, False),
            ({'queue_arguments': {'x-expires': 1}}, False),
            ({'queue_arguments': {'x-other': 1}}, True),
        ],
    )
    def test_can_cache_declaration(self, options: dict[str, Any], cached: bool) -> None:
        assert Queue('q', **options).can_cache_declaration is cached


class TestFromDict:
    def test_exchange_by_name(self) -> None:
        queue = Queue.from_dict(
            'q', exchange='e', exchange_type='topic', routing_key='k', delivery_mode='transient'
        )
        assert queue == Queue('q', Exchange('e', 'topic', delivery_mode=1), 'k')

    def test_binding_key_wins(self) -> None:
        assert Queue.from_dict('q', binding_key='b', routing_key='k').routing_key == 'b'

    def test_options_for_both(self) -> None:
        queue = Queue.from_dict('q', exchange='e', durable=False, auto_delete=True)
        assert queue.exchange is not None
        assert (queue.durable, queue.exchange.durable) == (False, False)
        assert (queue.auto_delete, queue.exchange.auto_delete) == (True, True)

    def test_options_for_one(self) -> None:
        queue = Queue.from_dict(
            'q',
            exchange='e',
            durable=True,
            queue_durable=False,
            exchange_auto_delete=True,
            exchange_arguments={'a': 1},
            queue_arguments={'b': 1},
        )
        assert queue.exchange is not None
        assert (queue.durable, queue.exchange.durable) == (False, True)
        assert (queue.auto_delete, queue.exchange.auto_delete) == (False, True)
        assert queue.exchange.arguments == {'a': 1}
        assert queue.queue_arguments == {'b': 1}

    def test_limits_are_kept(self) -> None:
        limits = {
            'expires': 1,
            'message_ttl': 2,
            'max_length': 3,
            'max_length_bytes': 4,
            'max_priority': 5,
        }
        queue = Queue.from_dict('q', **limits)
        assert {name: getattr(queue, name) for name in limits} == limits

    def test_exchange_itself(self) -> None:
        exchange = Exchange('e', 'fanout')
        assert Queue.from_dict('q', exchange=exchange).exchange == exchange

    def test_bindings(self) -> None:
        queue = Queue.from_dict('q', bindings=[{'exchange': 'e', 'routing_key': 'k'}])
        assert queue.bindings == {binding('e', 'k')}
        assert queue.exchange is None

    def test_options_stay_the_callers(self) -> None:
        options = {'exchange': 'e', 'exchange_type': 'topic', 'binding_key': 'k'}
        Queue.from_dict('q', **options)
        assert options == {'exchange': 'e', 'exchange_type': 'topic', 'binding_key': 'k'}

    def test_unknown_option_warns_with_a_suggestion(self) -> None:
        with pytest.warns(UnknownArgumentWarning, match="did you mean 'queue_arguments'"):
            Queue.from_dict('q', queue_argument={})

    def test_subclass(self) -> None:
        class Mine(Queue):
            pass

        assert isinstance(Mine.from_dict('q'), Mine)


def test_deleting_forgets_the_declaration() -> None:
    """What was deleted is declared again when it is needed again."""
    client = FakeClient()
    channel = FakeChannel(client)
    queue, exchange, other = Queue('q', 'e'), Exchange('e'), Queue('p')
    client.declared_entities |= {
        queue.declaration_key,
        Queue('q', expires=1).declaration_key,
        exchange.declaration_key,
        other.declaration_key,
    }
    queue(channel).delete()
    exchange(channel).delete()
    assert client.declared_entities == {other.declaration_key}
