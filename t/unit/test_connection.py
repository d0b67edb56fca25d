"""The connection: what it says, how it connects, fails over, closes, and repeats calls."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import threading
import weakref
from collections.abc import Iterator
from itertools import cycle, islice
from typing import Any

import pytest
from amqp.exceptions import RecoverableConnectionError

import kombu.connection
from kombu import Consumer, Producer
from kombu.connection import BrokerConnection, Connection, is_connection, maybe_channel
from kombu.exceptions import OperationalError, TimeoutError, UnknownArgumentWarning
from kombu.transport.memory import Transport as MemoryTransport
from kombu.utils.deadline import Deadline
from t.unit.fakes import ChannelFailure, FakeBroker, FakeChannel, LinkFailure


@pytest.fixture
def broker() -> FakeBroker:
    return FakeBroker(
        recoverable_connection_errors=(LinkFailure,), recoverable_channel_errors=(ChannelFailure,)
    )


@pytest.fixture
def sleeps(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The seconds that somebody would have slept while retrying."""
    slept: list[float] = []
    monkeypatch.setattr('kombu.utils.functional.sleep', slept.append)
    return slept


def connect_to(broker: FakeBroker, hostname: Any = 'a', **kwargs: Any) -> Connection:
    return Connection(hostname, transport=broker.Transport, **kwargs)


class TestArguments:
    @pytest.mark.parametrize(
        ('url', 'expected'),
        [
            ('memory://', (None, None, None, '/', None)),
            ('memory://u:p@h:5673/v', ('h', 'u', 'p', 'v', 5673)),
            ('memory://h//', ('h', None, None, '/', None)),
            ('memory://h/', ('h', None, None, '/', None)),
            ('memory://h//v', ('h', None, None, '/v', None)),
            ('memory://h/%2Fv', ('h', None, None, '/v', None)),
            ('memory://h/a/b', ('h', None, None, 'a/b', None)),
            ('memory://u%40:p%3A%2F@h', ('h', 'u@', 'p:/', '/', None)),
            ('MEMORY://h', ('h', None, None, '/', None)),
            ('memory://[::1]:99', ('::1', None, None, '/', 99)),
        ],
    )
    def test_url(self, url: str, expected: tuple[Any, ...]) -> None:
        c = Connection(url)
        assert c.transport_cls == 'memory'
        assert (c.hostname, c.userid, c.password, c.virtual_host, c.port) == expected

    def test_url_wins_over_arguments(self) -> None:
        c = Connection('memory://u:p@h:1/v', 'uu', 'pp', 'vv', 1234)
        assert (c.userid, c.password, c.virtual_host, c.port) == ('u', 'p', 'v', 1)

    def test_arguments_fill_the_gaps(self) -> None:
        c = Connection('memory://h', 'uu', 'pp', 'vv', 1234)
        assert (c.userid, c.password, c.virtual_host, c.port) == ('uu', 'pp', 'vv', 1234)

    def test_transport_argument_wins_over_scheme(self) -> None:
        assert Connection('amqp://h', transport='memory').transport_cls == 'memory'

    @pytest.mark.parametrize(
        'transport',
        ['kombu.transport.memory:Transport', 'kombu.transport.memory.Transport', MemoryTransport],
    )
    def test_transport_by_path_or_class(self, transport: Any) -> None:
        assert type(Connection(transport=transport).transport) is MemoryTransport

    def test_host_without_scheme(self) -> None:
        c = Connection('localhost')
        assert (c.hostname, c.port, c.transport_cls) == ('localhost', None, 'amqp')

    @pytest.mark.parametrize(
        ('text', 'expected'),
        [('h:1234', ('h', 1234)), ('::1', ('::1', None)), ('h:x', ('h:x', None))],
    )
    def test_host_and_port_without_scheme(self, text: str, expected: tuple[Any, ...]) -> None:
        c = Connection(text)
        assert (c.hostname, c.port) == expected

    def test_url_without_scheme(self) -> None:
        """What would otherwise be a host name that shows a password."""
        c = Connection('u:secret@h:1234/x', transport='memory')
        assert (c.hostname, c.userid, c.password) == ('h', 'u', 'secret')
        assert (c.virtual_host, c.port) == ('x', 1234)
        assert 'secret' not in repr(c)
        c.switch('h2')
        assert (c.hostname, c.userid, c.virtual_host) == ('h2', 'u', 'x')
        c = Connection('u:p@a,b/db', transport=OwnUrls)
        assert c.hostname == 'u:p@a,b/db'

    @pytest.mark.parametrize('url', ['foo.bar://h', 'foo:Bar://h', 'kombu.transport.memory://'])
    def test_url_cannot_import(self, url: str) -> None:
        with pytest.raises(ValueError, match='Invalid transport scheme'):
            Connection(url)
        with pytest.raises(ValueError, match='Invalid transport scheme'):
            Connection(f'memory://a;{url}')
        with pytest.raises(ValueError, match='Invalid transport scheme'):
            Connection('memory://a', alternates=[url])
        with pytest.raises(ValueError, match='Invalid transport scheme'):
            Connection('memory://a').switch(url)

    def test_unknown_transport(self) -> None:
        with pytest.raises(KeyError, match='memory'):
            Connection('memroy://')

    def test_unknown_argument(self) -> None:
        with pytest.warns(UnknownArgumentWarning, match="did you mean 'heartbeat'"):
            Connection('memory://', hartbeat=3)

    @pytest.mark.parametrize(('port', 'expected'), [('123', 123), (0, None), ('', None), (5, 5)])
    def test_port(self, port: Any, expected: Any) -> None:
        assert Connection('h', port=port).port == expected

    @pytest.mark.parametrize('port', ['abc', 1.5, -1, 70_000, '70000', True])
    def test_bad_port(self, port: Any) -> None:
        with pytest.raises(ValueError, match=r'^port=.*: must be a number from 0 to 65535'):
            Connection('h', port=port)

    @pytest.mark.parametrize('name', ['heartbeat', 'connect_timeout'])
    @pytest.mark.parametrize('value', ['soon', -1, float('nan'), [3]])
    def test_bad_seconds(self, name: str, value: Any) -> None:
        with pytest.raises(ValueError, match=rf'^{name}=.*: must be a number of seconds'):
            Connection('h', **{name: value})

    @pytest.mark.parametrize('options', [5, ['password=secret'], 'password=secret'])
    def test_bad_transport_options(self, options: Any) -> None:
        with pytest.raises(TypeError, match=r'^transport_options is a dict, not (int|list|str)$'):
            Connection('h', transport_options=options)

    @pytest.mark.parametrize(('given', 'expected'), [('3', 3.0), (0, 0), (None, None), (10, 10.0)])
    def test_heartbeat(self, given: Any, expected: Any) -> None:
        assert Connection('h', heartbeat=given).heartbeat == expected

    def test_options_of_the_caller_are_copied(self) -> None:
        options = {'a': 1}
        Connection('memory://?b=2', transport_options=options).transport_options['c'] = 3
        assert options == {'a': 1}


class TestQuery:
    def test_arguments(self) -> None:
        c = Connection(
            'memory://h/v?heartbeat=10&connect_timeout=3.5&login_method=EXTERNAL&insist=1'
            '&credential_provider=a.b:C'
        )
        assert (c.heartbeat, c.connect_timeout, c.login_method) == (10.0, 3.5, 'EXTERNAL')
        assert (c.insist, c.credential_provider) == (True, 'a.b:C')

    def test_failover_strategy(self) -> None:
        c = Connection('memory://a?failover_strategy=shuffle;memory://b')
        assert c.info()['failover_strategy'] == 'shuffle'

    def test_the_rest_are_transport_options(self) -> None:
        c = Connection(
            'memory://h?a=1&b=0.5&c=true&d=False&e=text&f=007&g=-2&h=none',
            transport_options={'a': 0, 'z': 26},
        )
        assert c.transport_options == {
            'a': 1,
            'b': 0.5,
            'c': True,
            'd': False,
            'e': 'text',
            'f': '007',
            'g': -2,
            'h': None,
            'z': 26,
        }

    @pytest.mark.parametrize(
        ('query', 'argument', 'expected'),
        [
            ('', {'a': 1}, {'a': 1}),
            ('?ssl=true', False, True),
            ('?ssl=true', {'a': 1}, {'a': 1}),
            ('?ssl=false', {'a': 1}, False),
            ('?ssl_keyfile=k', False, {'ssl_keyfile': 'k'}),
            ('?ssl_keyfile=k', True, {'ssl_keyfile': 'k'}),
            ('?ssl_keyfile=k', {'a': 1}, {'a': 1, 'ssl_keyfile': 'k'}),
        ],
    )
    def test_ssl(self, query: str, argument: Any, expected: Any) -> None:
        assert Connection(f'memory://h{query}', ssl=argument).ssl == expected

    @pytest.mark.parametrize(
        ('query', 'text'),
        [
            ('heartbeat=often', 'must be a number of seconds'),
            ('insist=maybe', 'must be true or false'),
            ('alternates=b', 'is an argument of Connection'),
        ],
    )
    def test_bad_value(self, query: str, text: str) -> None:
        with pytest.raises(ValueError, match=text):
            Connection(f'memory://u:secret@h?{query}')

    def test_errors_do_not_show_the_password(self) -> None:
        with pytest.raises(ValueError, match='uri_prefix') as caught:
            Connection('memory://u:secret@h?uri_prefix=x')
        assert 'secret' not in str(caught.value)


class OwnUrls(MemoryTransport):
    can_parse_url = True


class TestUrlOfTheDriver:
    def test_hostname_is_the_url(self) -> None:
        c = Connection('own://u:p@a:1,b:2/db?x=y', transport=OwnUrls)
        assert c.hostname == 'own://u:p@a:1,b:2/db?x=y'
        assert c.host == c.hostname
        assert 'u:p@' not in c.as_uri()
        assert 'u:p@' not in repr(c)
        assert c.as_uri(include_password=True) == c.hostname
        assert c.clone().hostname == c.hostname

    def test_prefix(self) -> None:
        c = Connection('memory+mysql://u:p@h/db?x=y')
        assert (c.uri_prefix, c.hostname, c.transport_cls) == (
            'memory',
            'mysql://u:p@h/db?x=y',
            'memory',
        )
        assert c.info()['hostname'] == 'memory+mysql://u:p@h/db?x=y'
        assert c.as_uri() == 'memory+mysql://u:**@h/db'
        assert c.as_uri(include_password=True) == 'memory+mysql://u:p@h/db?x=y'
        assert repr(c).startswith('<Connection: memory+mysql://u:**@h/db at')
        assert c.clone().info() == c.info()

    def test_prefix_of_no_transport(self) -> None:
        with pytest.raises(KeyError):
            Connection('nosuch+mysql://h')


class TestShowing:
    def test_uri(self) -> None:
        c = Connection('memory://u:p%2F@h:1/v')
        assert c.as_uri() == 'memory://u:**@h:1/v'
        assert c.as_uri(mask='XX') == 'memory://u:XX@h:1/v'
        assert c.as_uri(include_password=True) == 'memory://u:p%2F@h:1/v'

    def test_uri_with_defaults(self, broker: FakeBroker) -> None:
        assert connect_to(broker, 'h').as_uri() == 't.unit.fakes:FakeTransport://h:7777//'

    def test_callable_password(self) -> None:
        c = Connection('memory://u@h', password=lambda: 'secret')
        assert c.as_uri() == 'memory://u:**@h//'
        assert c.as_uri(include_password=True) == 'memory://u:secret@h//'
        assert repr(c).startswith('<Connection: memory://u:**@h// at')

    def test_repr_has_no_side_effects(self) -> None:
        c = Connection('h', transport='no.such.module:Transport')
        assert repr(c).startswith('<Connection: no.such.module:Transport://h// at 0x')
        assert c._transport is None
        assert not c.connected

    def test_repr_hides_the_password(self) -> None:
        for text in (repr(Connection('memory://u:secret@h')), repr(Connection('h', 'u', 'secret'))):
            assert 'secret' not in text

    def test_nothing_within_shows_the_password(self) -> None:
        c = Connection('memory://u:secret@h', password='secret')
        assert 'secret' not in repr((c._arguments, c._first, c.__eqhash__()))

    def test_host(self, broker: FakeBroker) -> None:
        assert connect_to(broker, 'h').host == 'h:7777'
        assert connect_to(broker, 'memory://[::1]:3').host == '[::1]:3'
        assert Connection('memory://').host == 'localhost'

    def test_info(self, broker: FakeBroker) -> None:
        c = connect_to(broker, 'u:1', userid='x', ssl={'a': 1}, heartbeat=3, alternates=['b'])
        assert c.info() == {
            'hostname': 'u',
            'userid': 'x',
            'password': None,
            'virtual_host': '/',
            'port': 1,
            'insist': False,
            'ssl': {'a': 1},
            'transport': broker.Transport,
            'connect_timeout': 5,
            'transport_options': {},
            'login_method': None,
            'uri_prefix': None,
            'heartbeat': 3.0,
            'failover_strategy': 'round-robin',
            'alternates': ['b'],
            'credential_provider': None,
        }
        assert list(c.info()) == [name for name, _ in c._info(resolve=False)]

    def test_info_resolves_aliases(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        c.transport_cls, c.__dict__['_transport'] = 'pyamqp', broker.Transport(c)
        assert c.info()['transport'] == 'amqp'
        assert c.info()['port'] == 7777
        unresolved = dict(c._info(resolve=False))
        assert (unresolved['transport'], unresolved['port']) == ('pyamqp', None)


class TestCopies:
    URL = 'memory://u:p@h/v;memory://b'
    ARGUMENTS: dict[str, Any] = {
        'transport_options': {'polling_interval': 1},
        'heartbeat': 4,
        'ssl': {'a': 1},
        'login_method': 'FOO',
        'connect_timeout': 3,
        'failover_strategy': 'shuffle',
    }

    def test_all_copies_are_alike(self) -> None:
        c = Connection(self.URL, **self.ARGUMENTS)
        for other in (c.clone(), copy.copy(c), copy.deepcopy(c), pickle.loads(pickle.dumps(c))):
            assert other is not c
            assert other.info() == c.info()
            assert other.__eqhash__() == c.__eqhash__()
            assert other.transport_options is not c.transport_options

    def test_clone_replaces(self) -> None:
        c = Connection(self.URL, **self.ARGUMENTS).clone(hostname='zzz', heartbeat=9)
        assert (c.hostname, c.heartbeat, c.userid) == ('zzz', 9.0, 'u')

    def test_connected_one_is_pickled_without_its_link(self) -> None:
        c = Connection('memory://')
        c.connect()
        assert not pickle.loads(pickle.dumps(c)).connected
        c.release()

    def test_clone_fails_over_to_the_same_hosts(self) -> None:
        c = Connection('memory://a;memory://b;memory://c')
        c.maybe_switch_next()
        other = c.clone()
        hosts = [other.hostname]
        for _ in range(3):
            other.maybe_switch_next()
            hosts.append(other.hostname)
        assert hosts == ['b', 'c', 'a', 'b']

    def test_equality_is_identity(self) -> None:
        a, b = Connection('memory://h'), Connection('memory://h')
        assert a != b
        assert a.__eqhash__() == b.__eqhash__()
        assert hash(a.__eqhash__()) == hash(b.__eqhash__())

    @pytest.mark.parametrize(
        'arguments',
        [
            {'hostname': 'memory://h:1'},
            {'hostname': 'memory://h/v'},
            {'hostname': 'memory://u@h'},
            {'hostname': 'memory://u:p@h'},
            {'hostname': 'memory://h;memory://b'},
            {'ssl': True},
            {'heartbeat': 3},
            {'login_method': 'EXTERNAL'},
            {'transport_options': {'a': 1}},
            {'credential_provider': 'a'},
        ],
    )
    def test_key_differs(self, arguments: dict[str, Any]) -> None:
        """Who asks for TLS must not get the pool of who did not."""
        plain = {'hostname': 'memory://h'}
        assert Connection(**plain).__eqhash__() != Connection(**{**plain, **arguments}).__eqhash__()

    def test_key(self) -> None:
        """Dependents look into it by index; it is printed with the pools."""
        key = Connection('memory://u:secret@h:1/v', transport_options={'x': 1}).__eqhash__()
        assert list(key)[:7] == ['memory', 'h', 'u', 'secret', 'v', 1, "{'x': 1}"]
        assert 'secret' not in repr(key)
        assert hash(key) == hash(pickle.loads(pickle.dumps(key)))

    def test_nothing_in_the_key_shows_a_password(self) -> None:
        c = Connection(
            'memory://u:secret@h',
            password='secret',
            transport_options={'password': 'secret'},
            ssl={'password': 'secret'},
            alternates=['memory://u:secret@b'],
        )
        assert repr(c.__eqhash__()).startswith("<'memory', 'h', 'u', '**', '/', None")
        assert 'secret' not in repr(c.__eqhash__())
        own = Connection('own://u:secret@h', transport=OwnUrls)
        assert 'secret' not in repr(own.__eqhash__())


class TestHosts:
    def hosts_after(self, c: Connection, n: int) -> list[str | None]:
        hosts = [c.hostname]
        for _ in range(n):
            c.maybe_switch_next()
            hosts.append(c.hostname)
        return hosts

    def test_one(self) -> None:
        c = Connection('memory://a')
        assert (c.alt, c.cycle) == ([], None)
        assert self.hosts_after(c, 2) == ['a', 'a', 'a']

    def test_several(self) -> None:
        c = Connection('memory://a;memory://b;memory://c')
        assert c.alt == ['memory://a', 'memory://b', 'memory://c']
        assert self.hosts_after(c, 4) == ['a', 'b', 'c', 'a', 'b']

    def test_alternates_include_the_first_host(self) -> None:
        """Or it would never be tried again."""
        c = Connection('memory://a', alternates=['memory://b'])
        assert c.alt == ['memory://b']
        assert self.hosts_after(c, 3) == ['a', 'b', 'a', 'b']

    def test_strategy_callable_that_ends(self) -> None:
        c = Connection('memory://a;memory://b', failover_strategy=iter)
        assert c.failover_strategy is iter
        assert self.hosts_after(c, 4) == ['a', 'b', 'a', 'b', 'a']

    def test_strategy_none_is_round_robin(self) -> None:
        """As Celery gives it."""
        c = Connection('memory://a;memory://b', failover_strategy=None)
        assert c.failover_strategy is cycle
        assert list(islice(c.cycle or (), 2)) == ['memory://b', 'memory://a']

    def test_shuffle(self) -> None:
        c = Connection('memory://a;memory://b', failover_strategy='shuffle')
        assert set(self.hosts_after(c, 4)) == {'a', 'b'}

    def test_unknown_strategy(self) -> None:
        with pytest.raises(ValueError, match="did you mean 'shuffle'"):
            Connection('memory://a;memory://b', failover_strategy='shufle')

    def test_completes_cycle(self) -> None:
        c = Connection('memory://a;memory://b;memory://c')
        assert [c.completes_cycle(n) for n in range(6)] == [False, False, True] * 2
        assert all(Connection('memory://a').completes_cycle(n) for n in range(3))

    def describe(self, c: Connection) -> tuple[Any, ...]:
        return c.hostname, c.userid, c.password, c.virtual_host, c.port

    def test_switch_to_a_host_keeps_the_rest(self) -> None:
        c = Connection('memory://u:p@a:77/vh', heartbeat=5)
        c.switch('b')
        assert self.describe(c) == ('b', 'u', 'p', 'vh', 77)
        c.switch('b:78')
        assert self.describe(c) == ('b', 'u', 'p', 'vh', 78)
        assert c.heartbeat == 5

    def test_switch_to_a_url(self) -> None:
        """It has credentials of its own or none, and shares port and virtual host."""
        c = Connection('memory://u:p@a:77/vh', 'U', 'P', 'V', 88)
        c.switch('memory://b')
        assert self.describe(c) == ('b', None, None, 'vh', 77)
        c.switch('memory://x:y@b:1/w')
        assert self.describe(c) == ('b', 'x', 'y', 'w', 1)

    def test_switch_to_another_transport(self) -> None:
        """What the first URL says about its own broker is not for that one."""
        c = Connection('memory://u:p@a:77/vh?ssl_keyfile=k')
        c.switch('amqp://b')
        assert self.describe(c) == ('b', None, None, '/', None)
        assert (c.transport_cls, c.ssl) == ('amqp', False)

    def test_switch_leaves_the_old_host(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        c.default_channel  # noqa: B018
        c.declared_entities.add(1)
        transport = c.transport
        c.switch('b')
        assert (c._connection, c._default_channel, c._closed) == (None, None, False)
        assert not c.declared_entities
        assert c.transport is not transport
        assert not broker.open_connections
        c.connect()
        assert broker.hosts() == ['a', 'b']


class TestConnecting:
    def test_lazily(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        with c:
            assert (c._connection, c._transport, c._closed) == (None, None, None)
            assert not c.connected
        assert not broker.calls

    def test_connect(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        assert c.connect() is c.connection is c._connection
        assert c.connected
        assert c._closed is False
        assert broker.names() == ['connect']

    def test_connect_tries_twice(self, broker: FakeBroker, sleeps: list[float]) -> None:
        broker.fail('connect', times=None)
        with pytest.raises(LinkFailure):
            connect_to(broker).connect()
        assert broker.count('connect') == 2

    def test_connect_tries_every_host(self, broker: FakeBroker, sleeps: list[float]) -> None:
        broker.fail('connect', times=None)
        with pytest.raises(LinkFailure):
            connect_to(broker, 'a;b;c').connect()
        assert broker.hosts() == ['a', 'b', 'c']
        assert not sleeps

    def test_connection_reconnects(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        first = c.connection
        c.declared_entities.add('queue')
        broker.cut()
        assert not c.connected
        assert c.connection is not first
        assert c.connected
        assert not c.declared_entities
        assert len(broker.open_connections) == 1

    def test_channels(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        assert isinstance(c.channel(), FakeChannel)
        assert c.channel() is not c.channel()
        assert c.default_channel is c.default_channel
        assert broker.count('connect') == 1

    def test_calls_of_channels_can_be_logged(
        self,
        broker: FakeBroker,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
    ) -> None:
        monkeypatch.setattr('kombu._link.LOG_CHANNEL', True)
        c = connect_to(broker)
        with caplog.at_level('DEBUG'):
            c.default_channel.queue_declare(queue='q')
        assert c.default_channel is c.default_channel
        assert "queue_declare(queue='q')" in caplog.text

    def test_default_channel_is_replaced_when_closed(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        first = c.default_channel
        first.close()
        assert c.default_channel is not first
        assert broker.count('connect') == 1

    def test_default_channel_follows_the_transport_options(
        self, broker: FakeBroker, sleeps: list[float]
    ) -> None:
        options = {
            'max_retries': 2,
            'interval_start': 0.1,
            'interval_step': 0.1,
            'interval_max': 0.15,
        }
        broker.fail('connect', times=None)
        with pytest.raises(OperationalError) as caught:
            connect_to(broker, transport_options=options).default_channel  # noqa: B018
        assert isinstance(caught.value.__cause__, LinkFailure)
        assert broker.count('connect') == 3
        assert len(sleeps) == 2

    def test_failover_options(self, broker: FakeBroker) -> None:
        options = {
            'max_retries': None,
            'interval_start': 1,
            'interval_step': 2,
            'interval_max': 3,
            'errback': print,
            'callback': repr,
        }
        c = connect_to(broker, transport_options={**options, 'other': 1})
        assert c._extract_failover_opts() == {'timeout': 5, **options}
        assert connect_to(broker)._extract_failover_opts() == {'timeout': 5}
        assert connect_to(broker, 'a;b')._extract_failover_opts() == {'timeout': 10}
        c = connect_to(broker, transport_options={'connect_retries_timeout': 8})
        assert c._extract_failover_opts() == {'timeout': 8}
        c = connect_to(broker, connect_timeout=None)
        assert c._extract_failover_opts() == {'timeout': None}

    def test_maybe_channel(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        assert is_connection(c)
        assert not is_connection(c.channel())
        assert maybe_channel(c) is c.default_channel
        channel = c.channel()
        assert maybe_channel(channel) is channel

    def test_errors(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        assert c.connection_errors == c.recoverable_connection_errors == (LinkFailure,)
        assert c.channel_errors == c.recoverable_channel_errors == (ChannelFailure,)

    def test_errors_of_a_transport_that_tells_less(self) -> None:
        """Dependents expect the errors of channels among the recoverable ones then."""
        c = connect_to(FakeBroker())
        assert c.recoverable_connection_errors == (LinkFailure, ChannelFailure)
        assert c.recoverable_channel_errors == (ChannelFailure,)

    def test_errors_can_be_replaced(self, broker: FakeBroker) -> None:
        """Tests of dependents do."""
        c = connect_to(broker)
        c.recoverable_connection_errors = (KeyError,)
        assert c.ensure(None, Failing(KeyError()))() == 'done'
        assert c.recoverable_connection_errors == (KeyError,)
        assert c.connection_errors == (LinkFailure,)
        assert connect_to(broker).recoverable_connection_errors == (LinkFailure,)


class TestEnsureConnection:
    @pytest.mark.parametrize(('max_retries', 'attempts'), [(0, 1), (1, 2), (2, 3)])
    def test_max_retries(
        self, broker: FakeBroker, sleeps: list[float], max_retries: int, attempts: int
    ) -> None:
        broker.fail('connect', times=None)
        with pytest.raises(OperationalError, match='connect refused') as caught:
            connect_to(broker).ensure_connection(max_retries=max_retries)
        assert isinstance(caught.value.__cause__, LinkFailure)
        assert broker.count('connect') == attempts

    def test_for_ever(self, broker: FakeBroker, sleeps: list[float]) -> None:
        broker.fail('connect', times=50)
        c = connect_to(broker)
        assert c.ensure_connection() is c
        assert c.connected
        assert broker.count('connect') == 51

    def test_connected_already(self, broker: FakeBroker) -> None:
        connect_to(broker).ensure_connection().ensure_connection()
        assert broker.names() == ['connect']

    def test_errback_positionally(self, broker: FakeBroker, sleeps: list[float]) -> None:
        """With the error and the seconds to wait: oslo.messaging and Celery count on it."""
        seen: list[Any] = []
        broker.fail('connect', times=4)
        c = connect_to(broker, 'a;b;c')
        c.ensure_connection(lambda exc, interval: seen.append((type(exc), interval)), 10)
        assert seen == [(LinkFailure, 0), (LinkFailure, 0), (LinkFailure, 2.0), (LinkFailure, 0)]
        assert broker.hosts() == ['a', 'b', 'c', 'a', 'b']
        assert sum(sleeps) == 2.0

    def test_callback_ends_it(self, broker: FakeBroker, sleeps: list[float]) -> None:
        broker.fail('connect', times=None)

        def stop() -> None:
            raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            connect_to(broker).ensure_connection(callback=stop)
        assert broker.count('connect') == 1

    def test_other_errors(self, broker: FakeBroker) -> None:
        broker.fail('connect', ValueError('bad option'))
        with pytest.raises(ValueError, match='bad option'):
            connect_to(broker).ensure_connection()

    def test_reraise_as_library_errors(self, broker: FakeBroker, sleeps: list[float]) -> None:
        broker.fail('connect', times=None)
        with pytest.raises(LinkFailure):
            connect_to(broker)._ensure_connection(max_retries=1, reraise_as_library_errors=False)

    def test_error_says_where(self, broker: FakeBroker) -> None:
        broker.fail('connect', times=None)
        c = connect_to(broker, 'h', userid='u', password='secret', port=7)
        with pytest.raises(OperationalError, match=r'^cannot connect to .*\*\*@h:7//: connect'):
            c.ensure_connection(max_retries=0)

    def test_timeout_bounds_each_attempt(self, broker: FakeBroker) -> None:
        """A host that swallows the packets must not take longer than the whole may take."""
        c = connect_to(broker, connect_timeout=100)
        seen: list[Any] = []
        broker.before['connect'] = lambda: seen.append(c.connect_timeout)
        broker.fail('connect', times=None)
        with pytest.raises(OperationalError):
            c.ensure_connection(
                timeout=0.02, interval_start=0.001, interval_step=0, errback=lambda *_: None
            )
        assert seen
        assert all(0 < seconds <= 0.02 for seconds in seen)
        assert c.connect_timeout == 100

    def test_connect_timeout_bounds_each_attempt(self, broker: FakeBroker) -> None:
        c = connect_to(broker, connect_timeout=3)
        seen: list[Any] = []
        broker.before['connect'] = lambda: seen.append(c.connect_timeout)
        c.ensure_connection(timeout=50)
        c.release()
        c.ensure_connection()
        assert seen == [3, 3]

    def test_retry_over_time_is_looked_up_here(
        self, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Celery's tests replace it in this module."""
        calls: list[Any] = []
        monkeypatch.setattr(kombu.connection, 'retry_over_time', lambda *a, **k: calls.append(a))
        connect_to(broker).ensure_connection()
        assert len(calls) == 1

    @pytest.mark.parametrize('name', ['_connection_factory', '_establish_connection'])
    def test_hooks(self, broker: FakeBroker, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """Dependents replace them in their tests."""
        link = object()
        monkeypatch.setattr(Connection, name, lambda self: link)
        assert connect_to(broker)._ensure_connection() is link


class TestClosing:
    def test_release(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        c.default_channel  # noqa: B018
        c.declared_entities.add(1)
        c.release()
        assert broker.names() == ['connect', 'create_channel', 'close_channel', 'close_connection']
        assert (c._connection, c._default_channel, c._transport) == (None, None, None)
        assert c._closed is True
        assert not c.connected
        assert not c.declared_entities

    def test_again(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        c.connect()
        c.close()
        c.release()
        assert broker.count('close_connection') == 1

    def test_never_connected(self, broker: FakeBroker) -> None:
        connect_to(broker).release()
        assert not broker.calls

    @pytest.mark.parametrize(
        ('operation', 'error'),
        [
            ('close_channel', LinkFailure()),
            ('close_channel', ChannelFailure()),
            ('close_connection', LinkFailure()),
            ('close_connection', ConnectionResetError()),
        ],
    )
    def test_broken_one(self, broker: FakeBroker, operation: str, error: Exception) -> None:
        c = connect_to(broker)
        c.default_channel  # noqa: B018
        broker.fail(operation, error)
        c.release()
        assert c._connection is None

    def test_foreign_error_is_raised_but_it_is_closed(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        c.connect()
        broker.fail('close_connection', ZeroDivisionError)
        with pytest.raises(ZeroDivisionError):
            c.release()
        assert (c._connection, c._transport, c._closed) == (None, None, True)

    def test_use_after_release(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        c.release()
        assert c.connection is None
        for use in (c.channel, c.drain_events, c.heartbeat_check):
            with pytest.raises(RecoverableConnectionError, match='was released'):
                use()
        assert not broker.calls

    @pytest.mark.parametrize('reopen', ['connect', 'ensure_connection', 'default_channel'])
    def test_reopening(self, broker: FakeBroker, reopen: str) -> None:
        c = connect_to(broker)
        c.connect()
        c.release()
        value = getattr(c, reopen)
        if callable(value):
            value()
        assert c.connected
        assert c._closed is False

    def test_collect(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        c.default_channel  # noqa: B018
        c.collect()
        assert (c._connection, c._default_channel, c._transport) == (None, None, None)
        assert c._closed is False
        assert not broker.open_connections
        c.collect()
        assert c.connection is not None

    def test_collect_by_the_transport(self, broker: FakeBroker) -> None:
        collected: list[Any] = []
        broker.Transport._collect = lambda self, connection: collected.append(connection)
        c = connect_to(broker)
        link = c.connect()
        c.default_channel  # noqa: B018
        c.collect()
        assert collected == [link]
        assert broker.names() == ['connect', 'create_channel']

    def test_collect_limits_the_socket(self, broker: FakeBroker) -> None:
        class Socket:
            timeout = None

            def settimeout(self, seconds: float) -> None:
                self.timeout = seconds

        c = connect_to(broker)
        c.connect().sock = sock = Socket()
        c.collect(socket_timeout=0.5)
        assert sock.timeout == 0.5

    def test_collect_keeps_a_released_one_released(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        c.connect()
        c.release()
        c.collect()
        assert c.connection is None

    def test_with(self, broker: FakeBroker) -> None:
        with connect_to(broker) as c:
            c.connect()
        assert not broker.open_connections

    def test_maybe_close_channel(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        broker.fail('close_channel')
        c.maybe_close_channel(c.channel())

    def test_reconnects_leave_nothing_behind(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        links = []
        for _ in range(50):
            broker.calls.clear()
            broker.connections.clear()
            links.append(weakref.ref(c.default_channel.connection))
            broker.cut()
        broker.calls.clear()
        broker.connections.clear()
        assert [link for link in links[:-1] if link() is not None] == []

    def test_a_failed_call_leaves_no_cycle(self, broker: FakeBroker) -> None:
        """An error that refers to itself by its traceback would keep links alive for a while."""

        class Marker:
            pass

        def fail() -> None:
            marker = Marker()
            seen.append(weakref.ref(marker))
            if len(seen) < 3:
                raise LinkFailure

        seen: list[weakref.ref[Marker]] = []
        gc.disable()
        try:
            connect_to(broker).ensure(None, fail, interval_start=0, interval_step=0)()
            assert [marker() for marker in seen] == [None, None, None]
        finally:
            gc.enable()


class Reviving:
    """What `ensure` is given: notes when it is revived."""

    def __init__(self, channel: Any = None) -> None:
        self.revived: list[Any] = []
        self.channel = channel

    def revive(self, channel: Any) -> None:
        self.revived.append(channel)
        self.channel = channel


class Failing:
    """A function that fails at first."""

    def __init__(self, *errors: BaseException) -> None:
        self.errors = list(errors)
        self.calls: list[Any] = []

    def __call__(self, *args: Any, **kwargs: Any) -> str:
        """Fail, or not."""
        self.calls.append((args, kwargs))
        if self.errors:
            raise self.errors.pop(0)
        return 'done'


class TestEnsure:
    def test_no_error(self, broker: FakeBroker) -> None:
        obj, fun = Reviving(), Failing()
        assert connect_to(broker).ensure(obj, fun)(1, x=2) == 'done'
        assert fun.calls == [((1,), {'x': 2})]
        assert not obj.revived
        assert not broker.calls

    def test_name_and_docstring(self, broker: FakeBroker) -> None:
        def publish() -> None:
            """Publish."""

        ensured = connect_to(broker).ensure(None, publish)
        assert (ensured.__name__, ensured.__doc__) == ('publish(ensured)', 'Publish.')
        assert connect_to(broker).ensure(None, Failing()).__name__ == 'Failing(ensured)'

    def test_connection_error(self, broker: FakeBroker) -> None:
        obj, fun = Reviving(), Failing(LinkFailure('lost'))
        log: list[Any] = []
        c = connect_to(broker)
        old = c.default_channel
        result = c.ensure(
            obj,
            fun,
            errback=lambda exc, interval: log.append((str(exc), interval)),
            on_revive=log.append,
        )(1)
        assert result == 'done'
        new = c.default_channel
        assert new is not old
        assert log == [('lost', 0), new]
        assert obj.revived == [new]
        assert len(broker.open_connections) == 1
        assert fun.calls == [((1,), {})] * 2

    def test_goes_to_the_next_host_before_the_errback(self, broker: FakeBroker) -> None:
        c = connect_to(broker, 'a;b;c')
        seen: list[Any] = []
        fun = Failing(LinkFailure(), LinkFailure())
        c.ensure(None, fun, lambda *_: seen.append(c.hostname), interval_start=0, interval_step=0)()
        assert seen == ['b', 'c']
        assert broker.hosts() == ['b', 'c']

    @pytest.mark.parametrize('error', [LinkFailure, ChannelFailure])
    @pytest.mark.parametrize('max_retries', [0, 1, 2, 5])
    def test_exactly_max_retries(
        self, broker: FakeBroker, sleeps: list[float], error: type[Exception], max_retries: int
    ) -> None:
        fun = Failing(*[error('no') for _ in range(10)])
        with pytest.raises(OperationalError, match='no') as caught:
            connect_to(broker).ensure(Reviving(), fun, max_retries=max_retries)()
        assert isinstance(caught.value.__cause__, error)
        assert len(fun.calls) == max_retries + 1

    @pytest.mark.parametrize('error', [LinkFailure, ChannelFailure])
    def test_none_is_for_ever(
        self, broker: FakeBroker, sleeps: list[float], error: type[Exception]
    ) -> None:
        fun = Failing(*[error() for _ in range(30)])
        assert connect_to(broker).ensure(Reviving(), fun)() == 'done'
        assert len(fun.calls) == 31

    def test_intervals(self, broker: FakeBroker, sleeps: list[float]) -> None:
        """The first retry follows at once, the others by the policy."""
        fun = Failing(*[LinkFailure() for _ in range(5)])
        intervals: list[float] = []
        connect_to(broker).ensure(
            None,
            fun,
            lambda _, interval: intervals.append(interval),
            interval_start=0.25,
            interval_step=0.5,
            interval_max=1.25,
        )()
        assert intervals == [0, 0.25, 0.75, 1.25, 1.25]
        assert sum(sleeps) == sum(intervals)

    def test_reconnecting_is_bounded_as_well(self, broker: FakeBroker, sleeps: list[float]) -> None:
        c = connect_to(broker)
        c.connect()
        broker.fail('connect', times=None)
        errors: list[Any] = []
        with pytest.raises(OperationalError, match='connect refused'):
            c.ensure(
                None,
                Failing(LinkFailure('lost')),
                lambda exc, _: errors.append(str(exc)),
                max_retries=3,
            )()
        assert broker.count('connect') == 1 + 4
        assert errors == ['lost', *['connect refused'] * 3]

    def test_error_while_reviving(self, broker: FakeBroker, sleeps: list[float]) -> None:
        """It counts as a failure like any other."""
        broker.fail('create_channel', times=2)
        fun = Failing(LinkFailure())
        assert connect_to(broker).ensure(Reviving(), fun, max_retries=3)() == 'done'
        broker.fail('create_channel', times=None)
        with pytest.raises(OperationalError):
            connect_to(broker).ensure(Reviving(), Failing(LinkFailure()), max_retries=3)()

    def test_channel_error_with_the_channel_open(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        obj = Reviving(c.channel())
        assert c.ensure(obj, Failing(ChannelFailure()))() == 'done'
        assert not obj.revived
        assert broker.count('connect') == 1

    def test_channel_error_that_closed_the_channel(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        obj = Reviving(c.default_channel)
        revived: list[Any] = []

        def publish() -> str:
            if len(revived) < 2:
                obj.channel.close()
                raise ChannelFailure
            return 'done'

        ensured = c.ensure(
            obj, publish, on_revive=revived.append, interval_start=0, interval_step=0
        )
        assert ensured() == 'done'
        assert obj.revived == revived
        assert obj.channel is c.default_channel
        assert broker.count('connect') == 1

    def test_errors_that_are_not_recoverable(self, broker: FakeBroker) -> None:
        class Refused(Exception):
            pass

        broker.Transport.connection_errors = (LinkFailure, Refused)
        fun = Failing(Refused())
        with pytest.raises(Refused):
            connect_to(broker).ensure(None, fun)()
        assert len(fun.calls) == 1

    @pytest.mark.parametrize('errors', [KeyError, (KeyError,), [KeyError, ZeroDivisionError]])
    def test_retry_errors(self, broker: FakeBroker, sleeps: list[float], errors: Any) -> None:
        fun = Failing(KeyError(), KeyError())
        seen: list[Any] = []
        ensured = connect_to(broker).ensure(
            None, fun, lambda exc, _: seen.append(exc), retry_errors=errors
        )
        assert ensured() == 'done'
        assert len(seen) == 2
        assert not broker.calls

    def test_last_of_the_retry_errors_is_raised_as_it_is(
        self, broker: FakeBroker, sleeps: list[float]
    ) -> None:
        fun = Failing(*[KeyError('k') for _ in range(9)])
        with pytest.raises(KeyError):
            connect_to(broker).ensure(None, fun, max_retries=1, retry_errors=(KeyError,))()
        assert len(fun.calls) == 2

    def test_timeout(self, broker: FakeBroker) -> None:
        """Counted from the call; the waits are cut to fit."""
        fun = Failing(*[LinkFailure() for _ in range(9)])
        ensured = connect_to(broker).ensure(
            None, fun, timeout=0.01, interval_start=60, interval_max=60
        )
        with pytest.raises(OperationalError):
            ensured()
        assert 2 <= len(fun.calls) <= 4

    def test_callback(self, broker: FakeBroker, sleeps: list[float]) -> None:
        calls: list[int] = []
        fun = Failing(*[ChannelFailure() for _ in range(2)])
        connect_to(broker).ensure(None, fun, callback=lambda: calls.append(1))()
        assert calls

    def test_obj_without_revive(self, broker: FakeBroker) -> None:
        assert connect_to(broker).ensure(object(), Failing(LinkFailure()))() == 'done'

    def test_connection_as_obj(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        assert c.ensure(c, Failing(LinkFailure()))() == 'done'

    def test_policy_rules_connections_made_within(
        self, broker: FakeBroker, sleeps: list[float]
    ) -> None:
        """Otherwise a publish that connects lazily would retry by the defaults, for ever."""
        c = connect_to(broker)
        broker.fail('connect', times=None)
        seen: list[Any] = []
        policy = {'max_retries': 2, 'interval_start': 0.1, 'interval_step': 0.1}
        with pytest.raises(OperationalError):
            c.ensure(c, lambda: c.default_channel, lambda exc, _: seen.append(exc), **policy)()
        assert broker.count('connect') == 3
        assert len(seen) == 2
        assert c.transport_options == {}
        broker.calls.clear()
        other = connect_to(broker, transport_options={'max_retries': 0})
        with pytest.raises(OperationalError):
            c.ensure(c, lambda: other.default_channel, **policy)()
        assert broker.count('connect') == 1

    def test_deadline_rules_connections_made_within(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        seen: list[Any] = []
        broker.before['connect'] = lambda: seen.append(c.connect_timeout)
        c.ensure(c, lambda: c.connection, timeout=0.5)()
        assert 0 < seen[0] <= 0.5


class TestAutoretry:
    def test_gives_result_and_channel(self, broker: FakeBroker) -> None:
        c = connect_to(broker)

        def declare(x: int, *, channel: Any, y: int) -> tuple[Any, ...]:
            """Declare."""
            return x, y, channel

        retrying = c.autoretry(declare)
        assert retrying(1, y=2) == ((1, 2, c.default_channel), c.default_channel)
        assert (retrying.__name__, retrying.__doc__) == ('declare(ensured)', 'Declare.')

    def test_begins_with_the_channel_given(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        channel = c.channel()
        assert c.autoretry(lambda channel: 1, channel=channel)() == (1, channel)

    def test_goes_on_with_the_new_channel(self, broker: FakeBroker) -> None:
        """oslo.messaging keeps what is returned, and hears of it by `on_revive`."""
        c = connect_to(broker)
        old = c.channel()
        fun, revived = Failing(LinkFailure()), []
        result, channel = c.autoretry(
            fun, channel=old, on_revive=revived.append, max_retries=2, errback=lambda *_: None
        )()
        assert result == 'done'
        assert channel is c.default_channel is revived[0] is not old
        assert [kwargs['channel'] for _, kwargs in fun.calls] == [old, channel]

    def test_options_are_for_the_first_connection_too(
        self, broker: FakeBroker, sleeps: list[float]
    ) -> None:
        broker.fail('connect', times=None)
        with pytest.raises(OperationalError):
            connect_to(broker).autoretry(lambda channel: 1, max_retries=1)()
        assert broker.count('connect') == 2


class TestLibraryErrors:
    @pytest.mark.parametrize('error', [LinkFailure('x'), ChannelFailure('x')])
    def test_translates(self, broker: FakeBroker, error: Exception) -> None:
        c = connect_to(broker)
        with pytest.raises(OperationalError, match='x') as caught, c._reraise_as_library_errors():
            raise error
        assert caught.value.__cause__ is error

    @pytest.mark.parametrize('error', [KeyError('x'), OperationalError('x')])
    def test_leaves_others(self, broker: FakeBroker, error: Exception) -> None:
        c = connect_to(broker)
        with pytest.raises(type(error)) as caught, c._reraise_as_library_errors():
            raise error
        assert caught.value is error


class TestEvents:
    def test_drain_events(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        broker.deliver(lambda: 'event')
        assert c.drain_events(timeout=3) == 'event'
        assert broker.named('drain_events')[0].arguments == {'timeout': 3}
        with pytest.raises(TimeoutError):
            c.drain_events(timeout=0.01)

    def test_drain_events_of_a_lost_link(self, broker: FakeBroker) -> None:
        """A new link has no consumers: who waits there would wait for ever."""
        c = connect_to(broker)
        c.connect()
        broker.cut()
        with pytest.raises(LinkFailure):
            c.drain_events(timeout=1)
        assert broker.count('connect') == 1

    def test_heartbeats(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        c.heartbeat_check(rate=4)
        assert broker.named('heartbeat_check')[0].arguments == {'rate': 4}
        broker.Transport.heartbeat_interval = 7
        assert c.get_heartbeat_interval() == 7
        assert c.supports_heartbeats is False

    def test_event_loop(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        c.register_with_event_loop('loop')
        assert broker.named('register_with_event_loop')[0].arguments == {'loop': 'loop'}
        assert c.is_evented is False

    def test_capabilities(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        assert c.supports_exchange_type('fanout')
        assert not c.supports_exchange_type('x-random')
        assert c.qos_semantics_matches_spec is True

    def test_manager(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        assert c.get_manager('x', y=1) == ('manager', ('x',), {'y': 1})
        assert c.manager == ('manager', (), {})


class TestHelpers:
    def test_producer_and_consumer(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        assert isinstance(c.Producer(), Producer)
        assert isinstance(c.Consumer([]), Consumer)
        channel = c.channel()
        assert c.Producer(channel).channel is channel
        assert c.Consumer([], channel).channel is channel

    @pytest.mark.parametrize('name', ['SimpleQueue', 'SimpleBuffer'])
    def test_simple(self, name: str) -> None:
        with Connection(f'memory:////test_connection.{name}') as c:
            with getattr(c, name)('q') as q:
                q.put({'hello': 'world'})
                message = q.get(timeout=1)
                assert message.payload == {'hello': 'world'}
                message.ack()
            with getattr(c, name)('q', channel=c.default_channel) as q:
                assert q.channel is c.default_channel

    def test_pools(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        assert (c.Pool(3).limit, c.ChannelPool(4).limit) == (3, 4)
        assert c.Pool().connection is c

    def test_aliases(self) -> None:
        assert BrokerConnection is Connection
        assert kombu.connection.roundrobin_failover is cycle
        assert Connection.resolve_aliases['librabbitmq'] == 'amqp'
        assert 'round-robin' in Connection.failover_strategies

    def test_revive_does_nothing(self, broker: FakeBroker) -> None:
        connect_to(broker).revive(object())


class Threads:
    """Runs functions in threads, and gives their results or errors in order."""

    def __init__(self, *functions: Any) -> None:
        self.results: list[Any] = [None] * len(functions)
        self.threads = [
            threading.Thread(target=self.run, args=(index, function), daemon=True)
            for index, function in enumerate(functions)
        ]
        for thread in self.threads:
            thread.start()

    def run(self, index: int, function: Any) -> None:
        try:
            self.results[index] = function()
        except Exception as exc:
            self.results[index] = exc

    def join(self) -> list[Any]:
        for thread in self.threads:
            thread.join(10)
            assert not thread.is_alive()
        return self.results


@pytest.fixture
def gate(broker: FakeBroker) -> Iterator[tuple[threading.Event, threading.Event]]:
    """Connecting tells that it began, and waits until it may go on."""
    began, may_go_on = threading.Event(), threading.Event()

    def wait() -> None:
        began.set()
        assert may_go_on.wait(10)

    broker.before['connect'] = wait
    yield began, may_go_on
    may_go_on.set()


class TestThreads:
    def test_one_link_for_all(
        self, broker: FakeBroker, gate: tuple[threading.Event, threading.Event]
    ) -> None:
        began, may_go_on = gate
        c = connect_to(broker)
        threads = Threads(*[lambda: c.default_channel] * 8)
        assert began.wait(10)
        may_go_on.set()
        channels = threads.join()
        assert len(set(channels)) == 1
        assert broker.names() == ['connect', 'create_channel']

    def test_release_does_not_wait_for_who_connects(
        self, broker: FakeBroker, gate: tuple[threading.Event, threading.Event]
    ) -> None:
        began, may_go_on = gate
        c = connect_to(broker)
        threads = Threads(c.ensure_connection)
        assert began.wait(10)
        c.release()
        assert c.connection is None
        may_go_on.set()
        (error,) = threads.join()
        assert isinstance(error, OperationalError)
        assert 'released while it was being made' in str(error)
        assert not broker.open_connections
        assert not c.connected

    def test_release_ends_the_retries(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        broker.fail('connect', times=None)
        broker.before['connect'] = c.release
        with pytest.raises(OperationalError, match='released'):
            c.ensure_connection()
        assert broker.count('connect') == 1

    def test_waiting_for_who_connects_is_bounded(
        self, broker: FakeBroker, gate: tuple[threading.Event, threading.Event]
    ) -> None:
        began, may_go_on = gate
        c = connect_to(broker)
        threads = Threads(c.connect)
        assert began.wait(10)
        with pytest.raises(OperationalError, match='another thread is connecting'):
            c.ensure_connection(timeout=0.01)
        may_go_on.set()
        threads.join()
        assert c.connected


@pytest.mark.filterwarnings('ignore:.*multi-threaded:DeprecationWarning')  # from Python 3.12 on
@pytest.mark.skipif(not hasattr(os, 'fork'), reason='needs fork')
class TestFork:
    def in_child(self, function: Any) -> None:
        """Run `function` in a forked child, and fail if it fails."""
        pid = os.fork()
        if pid == 0:  # pragma: no cover - the child
            code = 1
            try:
                function()
                code = 0
            except BaseException as exc:
                os.write(2, repr(exc).encode() + b'\n')
            finally:
                os._exit(code)
        assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0

    def test_child_leaves_the_link_alone(self, broker: FakeBroker) -> None:
        c = connect_to(broker)
        link = c.connect()
        channel = c.default_channel
        before = broker.names()

        def child() -> None:
            assert (c._connection, c._default_channel, c._transport) == (None, None, None)
            assert not c.connected
            assert broker.names() == before
            assert c.default_channel is not channel
            assert c.connection is not link
            assert broker.names() == [*before, 'connect', 'create_channel']
            assert not link.closed

        self.in_child(child)
        assert c.connection is link
        assert c.connected

    @pytest.mark.parametrize('close', ['release', 'collect'])
    def test_closing_in_the_child_sends_nothing(self, broker: FakeBroker, close: str) -> None:
        c = connect_to(broker)
        c.default_channel  # noqa: B018
        before = broker.names()

        def child() -> None:
            getattr(c, close)()
            assert broker.names() == before

        self.in_child(child)

    def test_before_the_callbacks_of_the_fork_ran(self, broker: FakeBroker) -> None:
        """A pool that was made earlier collects its connections earlier."""
        c = connect_to(broker)
        c.connect()
        before = broker.names()
        c._pid = -1
        c.collect()
        assert broker.names() == before
        assert c._connection is None

    def test_lock_held_by_another_thread(
        self, broker: FakeBroker, gate: tuple[threading.Event, threading.Event]
    ) -> None:
        """That thread does not exist in the child, and would never release it."""
        began, may_go_on = gate
        c = connect_to(broker)
        threads = Threads(c.connect)
        assert began.wait(10)

        def child() -> None:
            broker.before.clear()
            c.ensure_connection(timeout=5)
            assert c.connected

        self.in_child(child)
        may_go_on.set()
        threads.join()


def test_deadline_of_an_attempt_is_only_for_its_own_connection(broker: FakeBroker) -> None:
    other = connect_to(broker, connect_timeout=9)
    seen: list[Any] = []
    broker.before['connect'] = lambda: seen.append(other.connect_timeout)
    connect_to(broker).ensure_connection(timeout=1)
    assert seen == [9]
    assert Deadline.after(1).bound(9) == pytest.approx(1, abs=0.1)
