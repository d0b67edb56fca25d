"""The contract of transports: what is there without being written."""

from __future__ import annotations

import copy
import pickle

import pytest

from kombu import Connection, Consumer, Producer
from kombu.exceptions import ChannelError, ConnectionError
from kombu.transport import base
from kombu.transport.base import (
    CAPABILITIES,
    Implements,
    Management,
    StdChannel,
    Transport,
    default_transport_capabilities,
    to_rabbitmq_queue_arguments,
)


class TestImplements:
    def test_reads_as_attributes_and_as_a_dict(self):
        implements = Implements(heartbeats=True, exchange_type=frozenset({'direct'}))
        assert implements.heartbeats is implements['heartbeats'] is True
        implements.heartbeats = False
        assert implements['heartbeats'] is False

    def test_a_name_nobody_declared_is_an_error(self):
        with pytest.raises(AttributeError, match='heartbeat'):
            _ = Implements(heartbeats=True).heartbeat

    def test_extending_makes_another(self):
        before = Implements(a=1, b=2)
        after = before.extend(b=3, c=4)
        assert (dict(before), dict(after)) == ({'a': 1, 'b': 2}, {'a': 1, 'b': 3, 'c': 4})
        assert type(after) is Implements

    def test_extending_a_subclass_makes_one_of_its_kind(self):
        class Own(Implements):
            pass

        assert type(Own().extend(a=1)) is Own

    @pytest.mark.parametrize(
        'make', [copy.copy, copy.deepcopy, lambda i: pickle.loads(pickle.dumps(i))]
    )
    def test_can_be_copied(self, make):
        implements = Implements(a=1)
        assert make(implements) == implements
        assert make(implements).a == 1

    def test_by_default_nothing_is_claimed(self):
        claimed = {name for name in CAPABILITIES if default_transport_capabilities[name]}
        assert claimed == set()
        assert default_transport_capabilities.exchange_type == {
            'direct',
            'topic',
            'fanout',
            'headers',
        }

    def test_the_defaults_are_not_shared(self):
        assert Transport.implements is not default_transport_capabilities

    @pytest.mark.parametrize('name', CAPABILITIES)
    def test_every_claim_is_said_in_a_sentence(self, name):
        assert len(CAPABILITIES[name].split()) > 3


class TestQueueArguments:
    @pytest.mark.parametrize(
        ('option', 'value', 'name', 'wire'),
        [
            ('expires', 1.5, 'x-expires', 1500),
            ('message_ttl', 30, 'x-message-ttl', 30000),
            ('message_ttl', 0, 'x-message-ttl', 0),
            ('max_length', 5, 'x-max-length', 5),
            ('max_length', '5', 'x-max-length', 5),
            ('max_length_bytes', 5.0, 'x-max-length-bytes', 5),
            ('max_priority', 9, 'x-max-priority', 9),
        ],
    )
    def test_an_option_becomes_an_argument(self, option, value, name, wire):
        made = to_rabbitmq_queue_arguments({}, **{option: value})
        assert made == {name: wire}
        assert type(made[name]) is int

    def test_what_is_not_set_is_left_out(self):
        assert to_rabbitmq_queue_arguments({}, expires=None, max_length=None) == {}
        assert to_rabbitmq_queue_arguments(None) == {}

    def test_the_option_wins_and_the_callers_arguments_stay(self):
        arguments = {'x-max-length': 1, 'x-mine': 2}
        made = to_rabbitmq_queue_arguments(arguments, max_length=3)
        assert made == {'x-max-length': 3, 'x-mine': 2}
        assert arguments == {'x-max-length': 1, 'x-mine': 2}

    def test_an_unknown_option(self):
        with pytest.raises(KeyError, match='expire'):
            to_rabbitmq_queue_arguments({}, expire=5)

    def test_channels_have_it_as_a_method(self):
        assert StdChannel().prepare_queue_arguments({'a': 1}, expires=1) == {
            'a': 1,
            'x-expires': 1000,
        }


class TestStdChannel:
    class Channel(StdChannel):
        closed = False

        def close(self):
            self.closed = True

    def test_closes_after_with(self):
        with self.Channel() as channel:
            assert isinstance(channel, self.Channel)
        assert channel.closed

    def test_makes_consumers_and_producers_on_itself(self):
        with Connection('memory://') as connection:
            channel = connection.channel()
            consumer = channel.Consumer([])
            producer = channel.Producer(routing_key='k')
            assert isinstance(consumer, Consumer)
            assert isinstance(producer, Producer)
            assert consumer.channel is producer.channel is channel
            assert producer.routing_key == 'k'

    def test_says_that_it_cannot_list_bindings(self):
        with pytest.raises(NotImplementedError, match='test_base'):
            self.Channel().get_bindings()

    def test_has_nothing_to_do_after_a_reply(self):
        assert self.Channel().after_reply_message_received('q') is None


class TestTransport:
    @pytest.mark.parametrize(
        ('method', 'arguments'),
        [
            ('establish_connection', ()),
            ('close_connection', (None,)),
            ('create_channel', (None,)),
            ('close_channel', (None,)),
            ('drain_events', (None,)),
        ],
    )
    def test_what_every_transport_must_have(self, method, arguments):
        class Mine(Transport):
            pass

        with pytest.raises(NotImplementedError, match=rf'Mine has no {method}\(\)'):
            getattr(Mine(None), method)(*arguments)

    def test_what_it_is_without_being_told(self):
        client = object()
        transport = Transport(client, unknown=1)
        assert transport.client is client
        assert transport.default_port is None
        assert transport.can_parse_url is False
        assert (transport.driver_type, transport.driver_name) == ('N/A', 'N/A')
        assert transport.driver_version() == 'N/A'
        assert transport.default_connection_params == {}
        assert transport.heartbeat_check(None, rate=2) is None
        assert transport.get_heartbeat_interval(None) == 0
        assert transport.verify_connection(None) is True
        assert transport.qos_semantics_matches_spec(None) is True
        assert transport.supports_heartbeats is False
        assert transport.supports_ev is False
        assert transport.unregister_from_event_loop(None, None) is None

    def test_the_errors_of_the_library_are_among_its_errors(self):
        assert ConnectionError in Transport.connection_errors
        assert ChannelError in Transport.channel_errors

    def test_the_event_loop_is_refused_clearly(self):
        with pytest.raises(NotImplementedError, match='N/A does not run on the event loop'):
            Transport(None).register_with_event_loop(None, None)

    def test_claims_decide_what_is_supported(self):
        class Able(Transport):
            implements = Transport.implements.extend(heartbeats=True, asynchronous=True)

        assert Able(None).supports_heartbeats
        assert Able(None).supports_ev

    @pytest.mark.parametrize('end', [TimeoutError, BlockingIOError])
    def test_readable_means_everything_that_is_there(self, end):
        events = [1, 2, 3]

        class Socket(Transport):
            def drain_events(self, connection, timeout=None):
                assert timeout == 0
                if not events:
                    raise end
                events.pop()

        Socket(None).on_readable(None, None)
        assert events == []

    def test_other_errors_while_readable_are_raised(self):
        class Broken(Transport):
            def drain_events(self, connection, timeout=None):
                raise OSError('reset')

        with pytest.raises(OSError, match='reset'):
            Broken(None).on_readable(None, None)

    def test_urls_are_shown_without_password(self):
        uri = 'x://user:secret@host/v'
        assert Transport(None).as_uri(uri) == 'x://user:**@host/v'
        assert Transport(None).as_uri(uri, mask='?') == 'x://user:?@host/v'
        assert Transport(None).as_uri(uri, include_password=True) == uri

    def test_managers(self):
        transport = Transport(None)
        assert isinstance(transport.manager, Management)
        assert transport.manager is transport.manager
        assert transport.get_manager() is not transport.manager
        with pytest.raises(NotImplementedError, match='list bindings'):
            transport.manager.get_bindings()


def test_the_message_is_there_for_who_imports_it_from_here():
    from kombu.message import Message

    assert base.Message is Message
