"""Remote control: addressing, replies, and what is on the wire."""

from __future__ import annotations

import json
import pickle
import socket
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from kombu import Connection, Consumer, Exchange, Producer
from kombu.exceptions import InconsistencyError
from kombu.pidbox import Mailbox, Node
from kombu.utils.functional import lazy
from t.unit.fake_channel import FakeChannel, FakeClient


@pytest.fixture
def connection() -> Iterator[Connection]:
    with Connection('memory://') as connection:
        yield connection


@pytest.fixture
def mailbox(connection: Connection) -> Mailbox:
    return Mailbox('ns', type='fanout')(connection)


def start(mailbox: Mailbox, name: str, **handlers: Any) -> tuple[Node, Consumer]:
    """Start a node on a channel of its own."""
    node = mailbox.Node(name, state={'name': name}, channel=mailbox.connection.channel())
    node.handlers.update(handlers)

    @node.handler
    def ping(state: Any, greeting: str = 'pong') -> str:
        return f'{greeting} {state["name"]}'

    return node, node.listen()


class TestCalling:
    """Nodes and callers share a connection here, so whoever waits for replies serves the nodes."""

    def test_all(self, mailbox: Mailbox) -> None:
        start(mailbox, 'a')
        start(mailbox, 'b')
        replies = mailbox.multi_call('ping', {'greeting': 'hi'}, timeout=0.02)
        assert sorted(replies, key=repr) == [{'a': 'hi a'}, {'b': 'hi b'}]

    def test_limit(self, mailbox: Mailbox) -> None:
        start(mailbox, 'a')
        start(mailbox, 'b')
        assert len(mailbox.multi_call('ping', timeout=5, limit=2)) == 2
        assert len(mailbox.multi_call('ping', timeout=5, limit=1)) == 1

    def test_some(self, mailbox: Mailbox) -> None:
        for name in 'abc':
            start(mailbox, name)
        replies = mailbox.call(['a', 'c'], 'ping', timeout=5)
        assert sorted(map(repr, replies)) == ["{'a': 'pong a'}", "{'c': 'pong c'}"]

    def test_nobody(self, mailbox: Mailbox) -> None:
        start(mailbox, 'a')
        assert mailbox.call(['other'], 'ping', timeout=0.01) == []

    def test_pattern(self, mailbox: Mailbox) -> None:
        for name in ('web1', 'web2', 'db1'):
            start(mailbox, name)
        for pattern, matcher in (('web*', 'glob'), ('^web', 'pcre')):
            replies = mailbox._broadcast(
                'ping', None, None, True, 0.02, None, None, None, pattern=pattern, matcher=matcher
            )
            assert sorted(next(iter(reply)) for reply in replies) == ['web1', 'web2']

    def test_callback(self, mailbox: Mailbox) -> None:
        start(mailbox, 'a')
        told: list[Any] = []
        assert mailbox.multi_call('ping', timeout=5, limit=1, callback=told.append) == told
        assert told == [{'a': 'pong a'}]

    def test_errors_come_back(self, mailbox: Mailbox) -> None:
        def fail(state: Any) -> None:
            raise ValueError('mine')

        start(mailbox, 'a', fail=fail, odd=lambda state: object())
        assert mailbox.call(['a'], 'fail', timeout=5) == [{'a': {'error': "ValueError('mine')"}}]
        (reply,) = mailbox.call(['a'], 'unknown', timeout=5)
        assert 'KeyError' in reply['a']['error']
        (reply,) = mailbox.call(['a'], 'odd', timeout=5)
        assert 'EncodeError' in reply['a']['error']

    def test_cast(self, mailbox: Mailbox) -> None:
        done: list[str] = []
        for name in 'ab':
            start(mailbox, name, note=lambda state: done.append(state['name']))
        assert mailbox.cast(['a'], 'note') is None
        assert mailbox.abcast('note') is None
        for _ in range(4):
            mailbox.connection.drain_events(timeout=1)
        assert sorted(done) == ['a', 'a', 'b']

    def test_call_from_the_callback_of_a_call(self, mailbox: Mailbox) -> None:
        """Replies to the outer call that come meanwhile are not lost."""
        start(mailbox, 'a')
        start(mailbox, 'b')
        inner: list[Any] = []

        def ask(reply: Any) -> None:
            if not inner:
                inner.append(1)
                inner.extend(mailbox.multi_call('ping', {'greeting': 'in'}, timeout=5, limit=2))

        outer = mailbox.multi_call('ping', timeout=0.05, callback=ask)
        assert sorted(map(repr, inner[1:])) == ["{'a': 'in a'}", "{'b': 'in b'}"]
        assert sorted(map(repr, outer)) == ["{'a': 'pong a'}", "{'b': 'pong b'}"]
        assert not mailbox.unclaimed

    def test_late_reply_vanishes(self, mailbox: Mailbox) -> None:
        node, _ = start(mailbox, 'a')
        assert mailbox.call(['a'], 'ping', timeout=0) == []
        assert mailbox.call(['a'], 'ping', {'greeting': 'new'}, timeout=5) == [{'a': 'new a'}]
        node.reply({'a': 1}, 'reply.ns.pidbox', 'long gone', 'ticket')
        assert not mailbox.unclaimed

    def test_reply_to_another_ticket(self, mailbox: Mailbox) -> None:
        """A reply that comes after its call has ended is neither given to another one nor kept."""
        node, _ = start(mailbox, 'a', twice=lambda state: 'second')
        mine = node.reply

        def reply(data: Any, exchange: str, routing_key: str, ticket: str | None) -> None:
            mine({'a': 'stale'}, exchange, routing_key, 'another ticket')
            mine(data, exchange, routing_key, ticket)

        node.reply = reply  # type: ignore[method-assign, assignment]
        assert mailbox.call(['a'], 'twice', timeout=5) == [{'a': 'second'}]
        assert not mailbox.unclaimed

    def test_waits_no_longer_than_told(
        self, mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The time is for all replies together."""
        now = [100.0]
        monkeypatch.setattr('kombu.utils.deadline.monotonic', lambda: now[0])
        start(mailbox, 'a')
        start(mailbox, 'b')
        drain_events = mailbox.connection.drain_events
        timeouts: list[float] = []

        def drain(timeout: float) -> None:
            timeouts.append(timeout)
            now[0] += 2
            drain_events(timeout=0.01)

        monkeypatch.setattr(mailbox.connection, 'drain_events', drain)
        mailbox.multi_call('ping', timeout=5)
        assert timeouts == [5, 3, 1]

    def test_expired_reply(self, mailbox: Mailbox) -> None:
        node, _ = start(mailbox, 'a')

        def reply(data: Any, exchange: str, routing_key: str, ticket: str | None) -> None:
            Producer(node.channel).publish(
                data, routing_key, exchange=exchange, headers={'ticket': ticket, 'expires': 1}
            )

        node.reply = reply  # type: ignore[method-assign, assignment]
        assert mailbox.call(['a'], 'ping', timeout=0.01) == []

    @pytest.mark.parametrize('headers', [{'clock': 'x'}, {'expires': 'x'}, {'ticket': ['x']}])
    def test_malformed_reply(self, mailbox: Mailbox, headers: dict[str, Any]) -> None:
        def reply(*args: Any) -> None:
            producer = Producer(mailbox.connection)
            for given in (headers, {}):
                producer.publish(
                    {'a': 1}, mailbox.oid, exchange=mailbox.reply_exchange, headers=given
                )

        start(mailbox, 'a', ask=reply)
        assert {'a': 1} in mailbox.multi_call('ask', timeout=1, limit=2)

    def test_unreadable_reply(self, mailbox: Mailbox, caplog: pytest.LogCaptureFixture) -> None:
        node, _ = start(mailbox, 'a')

        def reply(data: Any, exchange: str, routing_key: str, ticket: str | None) -> None:
            Producer(node.channel).publish(data, routing_key, exchange=exchange, serializer='yaml')

        node.reply = reply  # type: ignore[method-assign, assignment]
        assert mailbox.call(['a'], 'ping', timeout=0.1) == []
        assert 'cannot decode a reply' in caplog.text

    @pytest.mark.parametrize('destination', ['a', 3, {'a'}])
    def test_destination_must_be_a_list(self, mailbox: Mailbox, destination: Any) -> None:
        """A string would be taken for a list of its letters."""
        with pytest.raises(ValueError, match='list of names'):
            mailbox.cast(destination, 'ping')

    @pytest.mark.parametrize('wrong', [{'pattern': 3}, {'pattern': 'a', 'matcher': 4}])
    def test_pattern_must_be_text(self, mailbox: Mailbox, wrong: dict[str, Any]) -> None:
        with pytest.raises(ValueError, match='must be a string'):
            mailbox._broadcast('ping', **wrong)


class TestOnTheWire:
    def setup_method(self) -> None:
        self.channel = FakeChannel()
        self.mailbox = Mailbox('ns')(FakeClient())

    def published(self) -> tuple[Any, dict[str, Any], dict[str, Any]]:
        """Return body, headers and options of the last message."""
        _, args, _ = self.channel.args('basic_publish')[0]
        return json.loads(args[0]), args[4], self.channel.last('basic_publish')

    def test_command(self) -> None:
        self.mailbox._broadcast('cmd', {'a': 1}, ['h'], channel=self.channel)
        body, headers, options = self.published()
        assert body == {
            'method': 'cmd',
            'arguments': {'a': 1},
            'destination': ['h'],
            'pattern': None,
            'matcher': None,
        }
        assert headers['clock'] == 1
        assert headers['expires'] > 1e9
        assert (options['exchange'], options['routing_key']) == ('ns.pidbox', '')
        assert self.channel.client.ensured == [{}], 'published again after errors'

    def test_command_that_wants_a_reply(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.mailbox._broadcast('cmd', None, None, True, None, 3, channel=self.channel)
        body, headers, _ = self.published()
        assert body['arguments'] == {}
        assert body['reply_to'] == {
            'exchange': 'reply.ns.pidbox',
            'routing_key': self.mailbox.oid,
        }
        assert body['ticket']
        assert headers['expires'] == 0, 'without a time limit it never expires'
        names = self.channel.names()
        assert names.index('queue_declare') < names.index('basic_publish')
        queue = f'{self.mailbox.oid}.reply.ns.pidbox'
        assert self.channel.last('basic_consume')['queue'] == queue
        assert self.channel.last('basic_consume')['no_ack'] is True
        assert self.channel.args('after_reply_message_received') == (queue,)

    def test_reply(self) -> None:
        node = self.mailbox.Node('h', channel=self.channel)
        node.reply({'h': 1}, 'reply.ns.pidbox', 'key', 'ticket')
        body, headers, options = self.published()
        assert body == {'h': 1}
        assert headers == {'ticket': 'ticket', 'clock': 1}
        assert (options['exchange'], options['routing_key']) == ('reply.ns.pidbox', 'key')
        assert self.channel.last('exchange_declare') == {
            'exchange': 'reply.ns.pidbox',
            'type': 'direct',
            'durable': False,
            'auto_delete': False,
            'arguments': None,
            'nowait': False,
            'passive': False,
        }

    def test_serializers(self) -> None:
        mailbox = Mailbox('ns', serializer='yaml')(FakeClient())
        mailbox._broadcast('cmd', channel=self.channel)
        assert self.channel.args('basic_publish')[0][1][2] == 'application/x-yaml'
        mailbox.Node('h', channel=self.channel).reply(1, 'e', 'k', 't')
        assert self.channel.args('basic_publish')[0][1][2] == 'application/x-yaml'
        mailbox._broadcast('cmd', channel=self.channel, serializer='json')
        assert self.channel.args('basic_publish')[0][1][2] == 'application/json'

    def test_nobody_is_there_for_the_reply(self) -> None:
        self.channel.fail['basic_publish'] = InconsistencyError()
        self.mailbox.Node('h', channel=self.channel).reply(1, 'e', 'k', 't')


class TestNode:
    def node(self, **options: Any) -> Node:
        node = Mailbox('ns').Node('host', **options)
        node.handlers['cmd'] = lambda state, **kwargs: (state, kwargs)
        return node

    @pytest.mark.parametrize(
        ('address', 'mine'),
        [
            ({}, True),
            ({'destination': None}, True),
            ({'destination': []}, True),
            ({'destination': ['host', 'other']}, True),
            ({'destination': ['other']}, False),
            ({'destination': 'host'}, True),
            ({'destination': 'hostile'}, False),
            ({'pattern': 'ho*', 'matcher': 'glob'}, True),
            ({'pattern': 'x*', 'matcher': 'glob'}, False),
            ({'pattern': '^h.*t$', 'matcher': 'pcre'}, True),
            ({'pattern': 'x*', 'matcher': None}, True),
            ({'destination': ['host'], 'pattern': 'x*', 'matcher': 'glob'}, True),
            ({'destination': ['other'], 'pattern': 'ho*', 'matcher': 'glob'}, False),
        ],
    )
    def test_address(self, address: dict[str, Any], mine: bool) -> None:
        result = self.node().handle_message({'method': 'cmd', 'arguments': {'a': 1}, **address})
        assert result == ((None, {'a': 1}) if mine else None)

    def test_broken_pattern(self, caplog: pytest.LogCaptureFixture) -> None:
        node = Mailbox('ns').Node('a', handlers={'ping': lambda state: 'pong'})
        command = {'method': 'ping', 'pattern': '(((', 'matcher': 'pcre'}
        assert node.handle_message(command) is None
        assert 'cannot tell' in caplog.text

    def test_unknown_matcher(self, caplog: pytest.LogCaptureFixture) -> None:
        """A command that nobody can address does not stop the consumer."""
        message = {'method': 'cmd', 'pattern': 'a', 'matcher': 'unknown'}
        assert self.node().handle_message(message) is None
        assert 'unknown' in caplog.text

    @pytest.mark.parametrize(
        'body',
        [
            'text',
            ['list'],
            {},
            {'method': 5},
            {'method': 'ping', 'arguments': [1]},
            {'method': 'ping', 'destination': 5},
            {'method': 'ping', 'pattern': 5, 'matcher': 'glob'},
            {'method': 'ping', 'reply_to': 'x', 'ticket': 't'},
            {'method': 'ping', 'reply_to': {'exchange': 'e'}, 'ticket': 't'},
        ],
    )
    def test_malformed_command(
        self, mailbox: Mailbox, caplog: pytest.LogCaptureFixture, body: Any
    ) -> None:
        """Whoever may publish can send one; the node, and what else consumes there, goes on."""
        start(mailbox, 'a')
        producer = Producer(mailbox.connection)
        producer.publish(
            body, exchange=mailbox.exchange, serializer='json', headers={'clock': 'late'}
        )
        mailbox.connection.drain_events(timeout=1)
        assert 'malformed command' in caplog.text
        assert mailbox.multi_call('ping', timeout=1, limit=1) == [{'a': 'pong a'}]

    def test_clock(self) -> None:
        class Message:
            headers: dict[str, Any] = {'clock': 17}

        node = self.node()
        node.handle_message({'method': 'cmd'}, Message())
        assert node.mailbox.clock.value == 18
        Message.headers = {}
        node.handle_message({'method': 'cmd'}, Message())
        assert node.mailbox.clock.value == 19

    def test_kinds_of_commands(self) -> None:
        calls: list[Any] = []

        class Mine(Node):
            def handle_call(self, method: str, arguments: dict[str, Any]) -> Any:
                calls.append(('call', method))
                return super().handle_call(method, arguments)

            def handle_cast(self, method: str, arguments: dict[str, Any]) -> Any:
                calls.append(('cast', method))
                return super().handle_cast(method, arguments)

            def reply(self, data: Any, *args: Any, **kwargs: Any) -> None:
                calls.append((data, kwargs))

        class Box(Mailbox):
            node_cls = Mine

        node = Box('ns').Node('host')
        node.handlers['cmd'] = lambda state: 'done'
        where = {'exchange': 'e', 'routing_key': 'k'}
        assert node.dispatch('cmd') == 'done'
        assert node.dispatch('cmd', {}, where, 'ticket') == 'done'
        assert calls == [
            ('cast', 'cmd'),
            ('call', 'cmd'),
            ({'host': 'done'}, {**where, 'ticket': 'ticket'}),
        ]

    def test_errors(self) -> None:
        node = self.node()
        node.handlers['cmd'] = lambda state: {}['x']
        assert node.dispatch('cmd') == {'error': "KeyError('x')"}
        assert 'TypeError' in node.dispatch('cmd', {'unknown': 1})['error']

    def test_exit_is_no_error(self) -> None:
        def leave(state: Any) -> None:
            raise SystemExit(3)

        node = self.node()
        node.handlers['leave'] = leave
        with pytest.raises(SystemExit):
            node.dispatch('leave')

    def test_default_name(self) -> None:
        assert Mailbox('ns').Node().hostname == socket.gethostname()

    def test_consumer(self) -> None:
        channel, other = FakeChannel(), FakeChannel()
        with pytest.warns(UserWarning, match="another process listens as 'host'"):
            consumer = self.node(channel=channel).listen()
        (queue,) = consumer.queues
        assert queue.name == 'host.ns.pidbox'
        assert consumer.accept == {'application/json'}
        assert channel.last('basic_consume')['no_ack'] is True
        with pytest.warns(UserWarning, match='another process'):
            consumer = self.node(channel=channel).Consumer(other, no_ack=False, accept=['yaml'])
        assert consumer.channel is other
        assert (consumer.no_ack, consumer.accept) == (False, {'application/x-yaml'})

    def test_unreadable_command(self, mailbox: Mailbox, caplog: pytest.LogCaptureFixture) -> None:
        start(mailbox, 'a')
        Producer(mailbox.connection).publish(
            {'method': 'ping'}, exchange='ns.pidbox', serializer='yaml'
        )
        mailbox.connection.drain_events(timeout=1)
        assert 'cannot decode a command' in caplog.text

    def test_without_mailbox(self) -> None:
        node = Node('host', handlers={'cmd': lambda state: 'done'})
        assert node.handle_message({'method': 'cmd'}) == 'done'
        with pytest.raises(RuntimeError, match='no mailbox'):
            node.listen()
        assert repr(node) == '<Node: host>'


class TestMailbox:
    def test_exchanges(self) -> None:
        mailbox = Mailbox('ns', 'fanout')
        assert mailbox.exchange == Exchange(
            'ns.pidbox', 'fanout', durable=False, delivery_mode='transient'
        )
        assert mailbox.reply_exchange == Exchange(
            'reply.ns.pidbox', durable=False, delivery_mode='transient'
        )
        assert repr(mailbox) == '<Mailbox: ns (fanout)>'

    def test_queues(self) -> None:
        mailbox = Mailbox('ns')
        queue, reply = mailbox.get_queue('h'), mailbox.get_reply_queue()
        assert queue.name == 'h.ns.pidbox'
        assert reply.name == f'{mailbox.oid}.reply.ns.pidbox'
        assert reply.routing_key == mailbox.oid
        assert reply == mailbox.reply_queue
        for made in (queue, reply):
            assert (made.durable, made.exclusive, made.auto_delete) == (False, True, True)
        assert (queue.expires, queue.message_ttl) == (None, None)
        assert (reply.expires, reply.message_ttl) == (10.0, None)

    def test_options_of_queues(self) -> None:
        mailbox = Mailbox(
            'ns',
            queue_durable=True,
            queue_exclusive=False,
            queue_ttl=1,
            queue_expires=2,
            reply_queue_ttl=3,
            reply_queue_expires=4,
        )
        queue, reply = mailbox.get_queue('h'), mailbox.get_reply_queue()
        for made in (queue, reply):
            assert (made.durable, made.exclusive, made.auto_delete) == (True, False, False)
        assert (queue.message_ttl, queue.expires) == (1, 2)
        assert (reply.message_ttl, reply.expires) == (3, 4)

    def test_contradiction(self) -> None:
        with pytest.raises(ValueError, match='contradict'):
            Mailbox('ns', queue_durable=True, queue_exclusive=True)

    def test_bound_to_a_connection(self) -> None:
        mailbox = Mailbox('ns', accept=['yaml'])
        bound = mailbox('connection')
        assert bound.connection == 'connection'
        assert mailbox.connection is None
        assert bound.clock is mailbox.clock
        assert bound.accept == ['yaml']

    def test_reply_queue_of_each_thread(self) -> None:
        mailbox = Mailbox('ns')
        found: list[str] = []
        thread = threading.Thread(target=lambda: found.append(mailbox.reply_queue.name))
        thread.start()
        thread.join()
        assert found != [mailbox.reply_queue.name]

    def test_producers(self) -> None:
        class Pool:
            def acquire(self) -> Producer:
                return producer

        producer, other = Producer(FakeChannel()), Producer(FakeChannel())
        pool = Pool()
        made: list[int] = []

        def make() -> Pool:
            made.append(1)
            return pool

        mailbox = Mailbox('ns', producer_pool=lazy(make))
        assert not made
        with mailbox.producer_or_acquire() as lent:
            assert lent is producer
        with mailbox.producer_or_acquire(other) as lent:
            assert lent is other
        assert mailbox.producer_pool is pool
        del mailbox.producer_pool  # celery does, after a fork
        assert mailbox.producer_pool is pool

    def test_producer_of_its_own(self) -> None:
        channel = FakeChannel()
        with Mailbox('ns').producer_or_acquire(channel=channel) as producer:
            assert producer.channel is channel
            assert producer.auto_declare is False

    def test_pickle(self) -> None:
        assert Mailbox.__module__ == Node.__module__ == 'kombu.pidbox'
        assert pickle.loads(pickle.dumps(Mailbox)) is Mailbox
