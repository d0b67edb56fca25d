"""The reference broker against RabbitMQ: the same program runs on both, and everything a client can
see is compared.

Programs are lists of operations, made by Hypothesis.  After each the two must agree on its outcome
(or the code of its error), on how many messages and consumers every queue has, and on what was
delivered and returned; at the end on the content of the queues.

Conventions that make them comparable:

* An error closes the channel (or, if it is a connection error, the connection), as AMQP 0-9-1 asks
for; over memory we close it
  ourselves.
* RabbitMQ dead-letters and delivers in its own time, so each step waits for it to come to where the
reference already is. * A queue has at most one consumer that takes messages: which of several gets
one is nowhere promised. * Times are left out; so is `x-delivery-count`, which RabbitMQ counts in
quorum queues only.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any
from urllib.parse import urlsplit

import amqp
import pytest
from amqp.exceptions import AMQPError, ConsumerCancelled, MessageNacked
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from kombu.testing.memory import MemoryBroker
from t.brokers.rabbitmq import Broker

#: Seconds that RabbitMQ has to come to where the reference is.
PATIENCE = 2.0

#: Reply codes after which the connection is gone (AMQP 0-9-1 section 1.2).
CONNECTION_ERRORS = frozenset({320, 402, 501, 502, 503, 504, 505, 530, 540, 541})

QUEUES = ('q0', 'q1', 'q2', 'dead', 'mine')
EXCHANGES = ('e0', 'e1', 'e2')

#: Channels: two on one connection, the second for consumers; one on another.
CHANNELS = (0, 1, 2)
CONNECTION_OF = {0: 'A', 1: 'A', 2: 'B', 'watch': 'A'}

OK = 'ok'


class Side:
    """One of the two brokers, in the words of AMQP channel methods."""

    def __init__(self) -> None:
        self.connections: dict[str, Any] = {}
        self.channels: dict[Any, Any] = {}
        #: Deliveries by queue: (body, redelivered).
        self.delivered: dict[str, list[Any]] = {}
        #: What each channel holds: (queue, body, delivery tag).
        self.held: dict[Any, list[Any]] = {at: [] for at in CHANNELS}
        self.returned: list[Any] = []
        self.published = 0
        self.consumers: dict[str, tuple[Any, str]] = {}

    # What the two do differently.

    def connect(self) -> Any:
        raise NotImplementedError

    def is_open(self, connection: Any) -> bool:
        return bool(connection.connected)

    def message(self, channel: Any, body: str, headers: Any, properties: Any) -> Any:
        raise NotImplementedError

    def settled(self, channel: Any) -> None:
        """Wait until the broker has seen what was sent without waiting for an answer."""

    def pump(self) -> None:
        """Let what was delivered reach the callbacks."""

    # Channels.

    def channel(self, at: Any) -> Any:
        channel = self.channels.get(at)
        if channel is None or not channel.is_open:
            name = CONNECTION_OF[at]
            connection = self.connections.get(name)
            if connection is None or not self.is_open(connection):
                self.connections[name] = connection = self.connect()
            self.channels[at] = channel = connection.channel()
            channel.events['basic_return'].add(self.on_return)
        return channel

    def forget(self, at: Any) -> None:
        """Close a channel, and forget what it held and consumed."""
        channel = self.channels.pop(at, None)
        if channel is not None:
            with suppress(*FAILURES):
                channel.close()
        self.held[at] = []
        self.consumers = {q: (where, t) for q, (where, t) in self.consumers.items() if where != at}

    def fail(self, at: Any, code: int) -> None:
        """Do what an error does to a channel."""
        if code not in CONNECTION_ERRORS:
            self.forget(at)
            return
        name = CONNECTION_OF[at]
        for other in [at for at in self.channels if CONNECTION_OF[at] == name]:
            self.forget(other)
        connection = self.connections.pop(name, None)
        if connection is not None:
            with suppress(*FAILURES):
                connection.close()

    def close(self) -> None:
        for at in list(self.channels):
            self.forget(at)
        for connection in self.connections.values():
            with suppress(*FAILURES):
                connection.close()

    def attempt(self, at: Any, fun: Callable[[Any], Any]) -> Any:
        """Return what `fun(channel)` returns, or the code of its error after dealing with that."""
        try:
            return fun(self.channel(at))
        except MessageNacked:
            return 'nacked'
        except ConsumerCancelled:
            return OK
        except AMQPError as exc:
            self.fail(at, exc.reply_code)
            return exc.reply_code

    # Operations: each returns what the two must agree on.

    def exchange(self, at: Any, name: str, **options: Any) -> Any:
        options.setdefault('auto_delete', False)
        return self.attempt(at, lambda c: (c.exchange_declare(name, **options) and OK) or OK)

    def queue(self, at: Any, name: str, **options: Any) -> Any:
        options.setdefault('auto_delete', False)
        return self.attempt(at, lambda c: c.queue_declare(name, **options).queue)

    def call(self, at: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method whose result says no more than that it worked, or a number."""

        def fun(channel: Any) -> Any:
            result = getattr(channel, method)(*args, **kwargs)
            self.settled(channel)
            return result if isinstance(result, int) else OK

        return self.attempt(at, fun)

    def publish(
        self,
        at: Any,
        size: int,
        exchange: str,
        routing_key: str,
        mandatory: bool = False,
        headers: Any = None,
        **properties: Any,
    ) -> Any:
        self.published += 1
        body = f'm{self.published}-'.ljust(4 + size, 'x')

        def fun(channel: Any) -> Any:
            message = self.message(channel, body, dict(headers or {}), properties)
            channel.basic_publish(
                message, exchange=exchange, routing_key=routing_key, mandatory=mandatory
            )
            return OK

        return self.attempt(at, fun)

    def get(self, at: Any, queue: str, no_ack: bool) -> Any:
        def fun(channel: Any) -> Any:
            message = channel.basic_get(queue, no_ack=no_ack)
            if message is None:
                return None
            if not no_ack:
                self.held[at].append((queue, text(message.body), message.delivery_tag))
            return seen(message)

        return self.attempt(at, fun)

    def consume(self, at: Any, queue: str, prefetch: int) -> Any:
        tag = f'{at}-{queue}'

        def on_message(message: Any) -> None:
            self.delivered.setdefault(queue, []).append(seen(message))
            self.held[at].append((queue, text(message.body), message.delivery_tag))

        def fun(channel: Any) -> Any:
            channel.basic_qos(0, prefetch, False)
            channel.basic_consume(
                queue, consumer_tag=tag, callback=on_message, on_cancel=lambda tag: None
            )
            self.consumers[queue] = at, tag
            return OK

        return self.attempt(at, fun)

    def cancel(self, queue: str) -> Any:
        at, tag = self.consumers.pop(queue)
        return self.call(at, 'basic_cancel', tag)

    def settle(self, at: Any, which: int, verb: str) -> Any:
        """Settle one of the deliveries a channel holds."""
        held = sorted(self.held[at])
        if not held:
            return None
        delivery = held[which % len(held)]
        if verb == 'ack-multiple':
            self.held[at] = [d for d in self.held[at] if d[2] > delivery[2]]
            return self.call(at, 'basic_ack', delivery[2], multiple=True)
        self.held[at].remove(delivery)
        if verb == 'ack':
            return self.call(at, 'basic_ack', delivery[2])
        return self.call(at, 'basic_reject', delivery[2], requeue=verb == 'requeue')

    def settle_all(self, at: Any, verb: str) -> Any:
        self.held[at] = []
        if verb == 'recover':
            return self.call(at, 'basic_recover', requeue=True)
        return self.call(at, 'basic_ack', 0, multiple=True)

    def delete(self, at: Any, queue: str, **options: Any) -> Any:
        result = self.call(at, 'queue_delete', queue, **options)
        if result == OK or (isinstance(result, int) and result < 300):
            self.consumers.pop(queue, None)
        return result

    def on_return(self, error: Any, exchange: str, routing_key: str, message: Any) -> None:
        self.returned.append((error.reply_code, exchange, routing_key, text(message.body)))

    # Looking.

    def count(self, queue: str) -> Any:
        """Return how many messages and consumers a queue has, or the error."""
        return self.attempt(
            'watch', lambda c: tuple(c.queue_declare(queue, passive=True, auto_delete=False))[1:]
        )

    def look(self, queues: list[str]) -> Any:
        self.pump()
        return (
            {queue: self.count(queue) for queue in queues},
            {queue: list(got) for queue, got in self.delivered.items() if got},
        )


class Memory(Side):
    """The reference broker."""

    def __init__(self) -> None:
        super().__init__()
        self.broker = MemoryBroker()

    def connect(self) -> Any:
        connection = self.broker.connection()
        connection.connect()
        return connection

    def message(self, channel: Any, body: str, headers: Any, properties: Any) -> Any:
        return channel.prepare_message(body, headers=headers, properties=properties)

    def pump(self) -> None:
        for connection in self.connections.values():
            with suppress(TimeoutError, ConsumerCancelled):
                while self.is_open(connection):
                    connection.drain_events(timeout=0)

    def argument(self, queue: str, name: str) -> Any:
        """Return an argument that a queue was declared with."""
        entry = self.broker._broker.state.queues.get(queue)
        return None if entry is None else entry.arguments.get(name)

    def queues(self) -> list[str]:
        self.pump()
        return sorted(self.broker.queues())

    def close(self) -> None:
        super().close()
        self.broker.close()


class RabbitMQ(Side):
    """The real one.

    Connections are kept from one program to the next.
    """

    def __init__(self, url: str, kept: dict[str, Any]) -> None:
        super().__init__()
        self.url = urlsplit(url)
        self.kept = kept
        self.connections = kept

    def connect(self) -> Any:
        url = self.url
        connection = amqp.Connection(
            f'{url.hostname}:{url.port}',
            url.username,
            url.password,
            virtual_host=url.path[1:],
            confirm_publish=True,
            read_timeout=10,
        )
        connection.connect()
        return connection

    def message(self, channel: Any, body: str, headers: Any, properties: Any) -> Any:
        return amqp.Message(body, application_headers=headers, **properties)

    def settled(self, channel: Any) -> None:
        channel.exchange_declare('amq.direct', 'direct', passive=True, auto_delete=False)

    def pump(self) -> None:
        for connection in self.connections.values():
            with suppress(TimeoutError, *FAILURES):
                while connection.connected:
                    connection.drain_events(timeout=0.0001)

    def look_until(self, queues: list[str], expected: Any) -> Any:
        """Look until it is as expected, or patience is over."""
        end = time.monotonic() + PATIENCE
        while (found := self.look(queues)) != expected and time.monotonic() < end:
            time.sleep(0.002)
        return found

    def close(self) -> None:
        for queue in QUEUES:
            for at in ('watch', 2):
                self.attempt(at, lambda c, queue=queue: c.queue_delete(queue))
        for exchange in EXCHANGES:
            self.attempt('watch', lambda c, exchange=exchange: c.exchange_delete(exchange))
        for at in list(self.channels):
            self.forget(at)


#: What breaking or using a broken channel raises besides AMQP errors.
FAILURES = (AMQPError, OSError, AttributeError, TypeError)


def text(body: Any) -> str:
    return body.decode() if isinstance(body, bytes) else body


def seen(message: Any) -> Any:
    """Return what both brokers must agree on about a message."""
    headers = dict(message.headers or {})
    headers.pop('x-delivery-count', None)
    if 'x-death' in headers:
        headers['x-death'] = [
            {key: value for key, value in death.items() if key != 'time'}
            for death in headers['x-death']
        ]
    info = message.delivery_info
    return {
        'body': text(message.body),
        'exchange': info['exchange'],
        'routing_key': info['routing_key'],
        'redelivered': bool(info.get('redelivered')),
        'headers': headers,
        'expiration': message.properties.get('expiration'),
        'priority': message.properties.get('priority'),
    }


class Program:
    """Runs operations on both and compares.

    Args:
        careful: leave out what need not come out alike.
    """

    def __init__(self, memory: Memory, rabbitmq: RabbitMQ, *, careful: bool) -> None:
        self.memory = memory
        self.rabbitmq = rabbitmq
        self.careful = careful
        self.log: list[str] = []

    def step(self, operation: str, *args: Any, **kwargs: Any) -> None:
        shown = ', '.join([*map(repr, args), *(f'{k}={v!r}' for k, v in kwargs.items())])
        self.log.append(f'{operation}({shown})')
        if operation == 'cancel' and args[0] not in self.memory.consumers:
            return
        if self.careful and self.is_unsure(operation, args, kwargs):
            return
        outcomes = [getattr(side, operation)(*args, **kwargs) for side in self.sides]
        self.same('outcome', *outcomes)
        queues = self.memory.queues()
        expected = self.memory.look(queues)
        self.same('queues and deliveries', expected, self.rabbitmq.look_until(queues, expected))
        self.same('returned', *(side.returned for side in self.sides))
        self.log[-1] += f' -> {outcomes[0]!r}'

    def is_unsure(self, operation: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Tell whether a step may come out in more than one way, or is known to differ."""
        memory = self.memory
        if operation == 'consume':
            return args[1] in memory.consumers or (
                'of no duration' in OPEN and memory.argument(args[1], 'x-message-ttl') == 0
            )
        if operation == 'queue' and 'another of the same name' in OPEN:
            held = {queue for messages in memory.held.values() for queue, *_ in messages}
            return args[1] in held and args[1] not in memory.queues()
        if kwargs.get('expiration') == '0' and 'of no duration' in OPEN:
            return args[3] in memory.consumers
        return False

    @property
    def sides(self) -> tuple[Side, Side]:
        return self.memory, self.rabbitmq

    def finish(self) -> None:
        """Close all channels, and compare what is left."""
        self.log.append('at the end')
        for side in self.sides:
            for at in CHANNELS:
                side.forget(at)
        queues = self.memory.queues()
        expected = self.memory.look(queues)
        self.same('queues', expected, self.rabbitmq.look_until(queues, expected))
        for queue in QUEUES:
            self.same(queue, *(self.content(side, queue) for side in self.sides))

    def content(self, side: Side, queue: str) -> Any:
        messages: list[Any] = []
        while isinstance(message := side.get('watch', queue, no_ack=True), dict):
            messages.append(message)
        return messages, message

    def same(self, what: str, memory: Any, rabbitmq: Any) -> None:
        if memory != rabbitmq:
            lines = '\n  '.join(self.log)
            pytest.fail(
                f'{what} differ after\n  {lines}\nmemory:   {memory}\nRabbitMQ: {rabbitmq}',
                pytrace=False,
            )


@pytest.fixture(scope='module')
def kept() -> Iterator[dict[str, Any]]:
    connections: dict[str, Any] = {}
    yield connections
    for connection in connections.values():
        with suppress(*FAILURES):
            connection.close()


@pytest.fixture(scope='module')
def vhost(rabbitmq: Broker) -> Iterator[str]:
    url = rabbitmq.new_vhost()
    yield url
    rabbitmq.delete_vhost(url)


@pytest.fixture
def run(vhost: str, kept: dict[str, Any]) -> Callable[..., None]:
    """Run a program: a list of (operation, arguments, keyword arguments)."""

    def run(steps: list[Any], *, careful: bool = False) -> None:
        program = Program(Memory(), RabbitMQ(vhost, kept), careful=careful)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter('ignore')
                for operation, args, kwargs in steps:
                    program.step(operation, *args, **kwargs)
                program.finish()
        finally:
            for side in program.sides:
                side.close()

    return run


def op(operation: str, *args: Any, **kwargs: Any) -> Any:
    return operation, args, kwargs


def call(method: str, *args: Any, **kwargs: Any) -> Any:
    return op('call', 0, method, *args, **kwargs)


def bind(queue: str, exchange: str, key: str = '', **kwargs: Any) -> Any:
    return call('queue_bind', queue, exchange, key, **kwargs)


def publish(exchange: str, key: str = '', **kwargs: Any) -> Any:
    return op('publish', 0, 0, exchange, key, **kwargs)


def exchange(name: str, type: str = 'direct', **kwargs: Any) -> Any:
    return op('exchange', 0, name, type=type, **kwargs)


def queue(name: str, at: int = 0, **kwargs: Any) -> Any:
    arguments = {f'x-{key}'.replace('_', '-'): value for key, value in kwargs.items()}
    return op('queue', at, name, arguments=arguments)


def get(name: str, at: int = 0) -> Any:
    return op('get', at, name, no_ack=False)


def settle(verb: str, which: int = 0, at: int = 0) -> Any:
    return op('settle', at, which, verb)


DEAD = {'dead_letter_exchange': '', 'dead_letter_routing_key': 'dead'}

# What the two are known to differ in.  A difference that has gone makes its test fail: then its
# entry goes, and the programs that Hypothesis makes up try it as well.
OPEN: dict[str, list[Any]] = {
    # https://www.rabbitmq.com/docs/ttl: "unless they can be delivered to a consumer immediately"
    'of no duration': [queue('q0', message_ttl=0), op('consume', 1, 'q0', 0), publish('', 'q0')],
    'another of the same name': [
        queue('q0'),
        publish('', 'q0'),
        get('q0'),
        op('delete', 0, 'q0'),
        queue('q0'),
        settle('requeue'),
    ],
    'deleting a standard exchange': [call('exchange_delete', 'amq.direct')],
    'reserved exchange': [exchange('amq.mine')],
    'reserved queue': [queue('amq.mine')],
    'getting where one consumes alone': [
        queue('q0'),
        call('basic_consume', 'q0', consumer_tag='t', exclusive=True),
        op('get', 2, 'q0', no_ack=True),
    ],
    'whole numbers equal others': [
        exchange('e0', 'headers'),
        queue('q0'),
        bind('q0', 'e0', arguments={'h': 1}),
        publish('e0', headers={'h': 1.0}),
    ],
    'dead letters to nowhere': [queue('q0', dead_letter_routing_key='dead')],
    'an alternate that is no name': [exchange('e0', arguments={'alternate-exchange': 5})],
    # https://www.rabbitmq.com/docs/consumer-prefetch: set in this order both hold.
    'both limits': [
        queue('q0'),
        *[publish('', 'q0')] * 4,
        op('call', 1, 'basic_qos', 0, 2, False),
        op('call', 1, 'basic_qos', 0, 3, True),
        op('call', 1, 'basic_consume', 'q0', consumer_tag='t', callback=str),
    ],
    'no priorities': [queue('q0', max_priority=0)],
    'the queue declared last': [queue('q0'), bind('', 'amq.direct', 'k')],
    'sender-selected distribution': [
        queue('q0'),
        queue('q1'),
        publish('', 'q0', headers={'CC': ['q1']}),
    ],
}

PATTERNS_OF_INTEREST = ('', '*', '#', 'a.*.b', 'a.#.b', '*.*', '*.#', '#.', '.#', '.')

SETTLED: dict[str, list[Any]] = {
    # An empty word is a word, which `*` matches; the empty key has none.
    **{
        f'words of {pattern!r}': [
            queue('q0'),
            bind('q0', 'amq.topic', pattern),
            *(
                publish('amq.topic', key, mandatory=True)
                for key in ('', 'a', 'a..b', 'a.b', '.', 'a.', '.a', '..')
            ),
        ]
        for pattern in PATTERNS_OF_INTEREST
    },
    **{
        f'headers with {mode}': [
            exchange('e0', 'headers'),
            *(
                step
                for name, arguments in [
                    ('q0', {}),
                    ('q1', {'h': 1, 'x-h': 1}),
                    ('q2', {'h': None}),
                ]
                for step in (
                    queue(name),
                    bind(name, 'e0', arguments={**arguments, 'x-match': mode}),
                )
            ),
            *(
                publish('e0', headers=headers)
                for headers in [
                    {},
                    {'h': 1},
                    {'h': '1'},
                    {'h': True},
                    {'x-h': 1},
                    {'h': 1, 'x-h': 1},
                ]
            ),
        ]
        for mode in ('all', 'any', 'all-with-x', 'any-with-x')
    },
    'of no length': [queue('q0', max_length=0), op('consume', 1, 'q0', 0), publish('', 'q0')],
    'one full queue of several': [
        exchange('e0', 'fanout'),
        queue('q0', max_length=0, overflow='reject-publish'),
        queue('q1'),
        bind('q0', 'e0'),
        bind('q1', 'e0'),
        publish('e0'),
    ],
    'back over the limit': [
        queue('dead'),
        queue('q0', max_length=1, **DEAD),
        publish('', 'q0'),
        get('q0'),
        publish('', 'q0'),
        settle('requeue'),
    ],
    'bad expiration': [publish('', 'q0', expiration='soon')],
    'bound to the default exchange': [queue('q0'), bind('q0', '', 'other'), publish('', 'other')],
    'classic or not said': [queue('q0'), queue('q0', queue_type='classic')],
    'exclusive or not': [queue('q0'), op('queue', 0, 'q0', exclusive=True)],
    'headers with another word': [queue('q0'), bind('q0', 'amq.headers', arguments={'x-match': 1})],
    'dead letters that would go round': [
        queue('q0', message_ttl=0, dead_letter_exchange='', dead_letter_routing_key='q1'),
        queue('q1', message_ttl=0, dead_letter_exchange='', dead_letter_routing_key='q0'),
        publish('', 'q0'),
    ],
    'dead letters that somebody sends round': [
        queue('q0', dead_letter_exchange=''),
        publish('', 'q0', headers={'h': 1}, priority=2, expiration='3600000'),
        *[get('q0'), settle('reject')] * 3,
    ],
    'alternates and bindings between exchanges': [
        exchange('e0', 'direct', arguments={'alternate-exchange': 'e2'}),
        exchange('e1', 'direct'),
        exchange('e2', 'fanout'),
        queue('q0'),
        bind('q0', 'e2'),
        publish('e0', 'k', mandatory=True),
        call('exchange_bind', 'e1', 'e0', 'k'),
        publish('e0', 'k', mandatory=True),
        bind('q0', 'e1', 'k'),
        publish('e0', 'k', mandatory=True),
    ],
    'auto-delete exchanges': [
        exchange('e0', 'fanout', auto_delete=True),
        exchange('e1', 'fanout', auto_delete=True),
        queue('q0'),
        call('exchange_bind', 'e1', 'e0'),
        bind('q0', 'e1'),
        call('queue_unbind', 'q0', 'e1', 'other'),
        exchange('e0', passive=True),
        op('delete', 0, 'q0'),
        exchange('e1', passive=True),
        exchange('e0', passive=True),
    ],
    'requeued out of order': [
        queue('q0'),
        *[publish('', 'q0')] * 4,
        *[get('q0')] * 3,
        settle('requeue', 1),
        settle('requeue', 0),
        settle('requeue', 0),
    ],
    'poison': [
        op('queue', 0, 'dead', durable=True),
        op(
            'queue',
            0,
            'q0',
            durable=True,
            arguments={
                'x-queue-type': 'quorum',
                'x-delivery-limit': 1,
                'x-dead-letter-exchange': '',
                'x-dead-letter-routing-key': 'dead',
            },
        ),
        publish('', 'q0'),
        op('consume', 1, 'q0', 0),
        *[op('settle', 1, 0, 'requeue')] * 2,
    ],
    'deleting what is consumed': [
        queue('q0'),
        op('consume', 1, 'q0', 0),
        op('delete', 0, 'q0', if_unused=True),
        op('delete', 0, 'q0'),
        publish('', 'q0', mandatory=True),
    ],
}


@pytest.mark.parametrize(
    'name',
    [
        *SETTLED,
        *(pytest.param(name, marks=pytest.mark.xfail(strict=True, reason=name)) for name in OPEN),
    ],
)
def test_known_questions(run: Callable[..., None], name: str) -> None:
    """What is easily asked of RabbitMQ and seldom made up by chance."""
    run({**SETTLED, **OPEN}[name])


# -- programs made up by Hypothesis --------------------------------------------------------------

BOOLEANS = st.booleans()
RARELY = st.sampled_from([False, False, False, True])
AT = st.sampled_from(CHANNELS)
QUEUE = st.sampled_from([*QUEUES[:4], *QUEUES])
BOUND_QUEUE = st.sampled_from(['q0', 'q0', 'q1', 'q1', 'q2', 'q2', 'mine'])
EXCHANGE = st.sampled_from(EXCHANGES)
ANY_EXCHANGE = st.sampled_from([*EXCHANGES, *EXCHANGES, 'amq.topic', 'amq.fanout'])
WORDS = ['a', 'b', '']
KEYS = st.one_of(
    st.sampled_from([*QUEUES, 'a', 'a.b', '', '.', 'a..b']),
    st.lists(st.sampled_from(WORDS), max_size=4).map('.'.join),
)
PATTERNS = st.one_of(KEYS, st.lists(st.sampled_from([*WORDS, '*', '#']), max_size=4).map('.'.join))
VALUES = st.sampled_from([1, 2, '1', 'x', True, False])
HEADERS = st.dictionaries(st.sampled_from(['h', 'g', 'x-h']), VALUES, max_size=2)
CONDITIONS = st.builds(
    lambda conditions, mode: conditions | mode,
    st.dictionaries(st.sampled_from(['h', 'g', 'x-h']), st.one_of(VALUES, st.none()), max_size=2),
    st.sampled_from(
        [
            {},
            {'x-match': 'all'},
            {'x-match': 'any'},
            {'x-match': 'any-with-x'},
            {'x-match': 'all-with-x'},
        ]
    ),
)
BINDING_ARGUMENTS = st.one_of(st.none(), st.none(), CONDITIONS)

LIMITS = st.fixed_dictionaries(
    {},
    optional={
        'x-max-length': st.sampled_from([1, 2, 3]),
        'x-max-length-bytes': st.sampled_from([9, 19]),
        'x-overflow': st.sampled_from(['drop-head', 'reject-publish', 'reject-publish-dlx']),
        'x-max-priority': st.sampled_from([1, 3]),
        'x-message-ttl': st.sampled_from([0, 3_600_000]),
        'x-unknown': st.just(1),
    },
)
# What one publishing kills in several queues arrives in any order, so only one queue sends on what
# it has no room for, and nothing else is routed to where that goes; the others send on what is
# rejected.
TO_THE_DEAD = {'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'dead'}
DEAD_LETTERING = st.sampled_from(
    [
        {},
        TO_THE_DEAD,
        {'x-dead-letter-exchange': '', 'x-dead-letter-routing-key': 'q0'},
        {'x-dead-letter-exchange': 'e0'},
        {'x-dead-letter-exchange': 'e1', 'x-dead-letter-routing-key': 'a.b'},
        {'x-dead-letter-exchange': 'missing'},
    ]
)
QUEUE_ARGUMENTS = {
    'q0': LIMITS.map(lambda limits: {**limits, **TO_THE_DEAD}),
    'q1': st.one_of(LIMITS, DEAD_LETTERING),
    'q2': st.one_of(LIMITS, DEAD_LETTERING),
    'dead': DEAD_LETTERING,
}
ALTERNATE = st.sampled_from([{}, {}, {'alternate-exchange': 'e0'}, {'alternate-exchange': 'e2'}])


def operation(name: str, *args: Any, **kwargs: Any) -> Any:
    return st.tuples(st.just(name), st.tuples(*args), st.fixed_dictionaries(kwargs))


def queue_operation(name: str) -> Any:
    return operation(
        'queue',
        AT,
        st.just(name),
        auto_delete=RARELY,
        arguments=QUEUE_ARGUMENTS[name],
    )


def exchange_operation(name: Any) -> Any:
    return operation(
        'exchange',
        AT,
        name,
        type=st.sampled_from(['direct', 'topic', 'fanout', 'headers']),
        durable=RARELY,
        auto_delete=RARELY,
        arguments=ALTERNATE,
    )


def bind_operation(method: str, destination: Any) -> Any:
    return operation(
        'call',
        AT,
        st.just(method),
        destination,
        ANY_EXCHANGE,
        PATTERNS,
        arguments=BINDING_ARGUMENTS,
    )


PUBLISH = operation(
    'publish',
    AT,
    st.integers(0, 4),
    st.sampled_from(['', '', *EXCHANGES, *EXCHANGES, 'amq.topic']),
    KEYS,
    mandatory=BOOLEANS,
    headers=st.one_of(st.none(), HEADERS),
    priority=st.integers(0, 4),
)
# To one queue, for the reason given at `TO_THE_DEAD`.
EXPIRED = operation(
    'publish',
    AT,
    st.integers(0, 4),
    st.just(''),
    QUEUE,
    expiration=st.sampled_from(['0', '0', '3600000', 'soon']),
)
MINE = operation('queue', st.sampled_from([0, 0, 0, 2]), st.just('mine'), exclusive=st.just(True))
GET = operation('get', st.sampled_from([0, 2]), QUEUE, no_ack=RARELY)
SETTLE = operation(
    'settle',
    AT,
    st.integers(0, 5),
    st.sampled_from(['ack', 'reject', 'reject', 'requeue', 'requeue']),
)
CONSUME = operation('consume', st.just(1), QUEUE, st.sampled_from([0, 1, 2]))
OTHERS = st.one_of(
    operation('settle', st.sampled_from([0, 2]), st.integers(0, 5), st.just('ack-multiple')),
    operation('settle_all', AT, st.sampled_from(['recover', 'ack'])),
    operation('cancel', QUEUE),
    operation('forget', AT),
    operation('call', AT, st.just('queue_unbind'), QUEUE, ANY_EXCHANGE, PATTERNS),
    operation('call', AT, st.just('queue_purge'), QUEUE),
    operation('call', AT, st.just('exchange_delete'), EXCHANGE, if_unused=BOOLEANS),
    operation('delete', AT, QUEUE, if_unused=BOOLEANS, if_empty=BOOLEANS),
    operation('exchange', AT, EXCHANGE, type=st.just('direct'), passive=st.just(True)),
    bind_operation('queue_bind', BOUND_QUEUE),
    *map(queue_operation, QUEUES[:4]),
    exchange_operation(EXCHANGE),
    operation('queue', AT, QUEUE, passive=st.just(True)),
    operation('call', AT, st.just('exchange_unbind'), EXCHANGE, EXCHANGE, PATTERNS),
    MINE,
    EXPIRED,
)

TOPOLOGY = st.tuples(
    *(exchange_operation(st.just(name)) for name in EXCHANGES),
    *map(queue_operation, QUEUES[:4]),
    MINE,
)
BINDINGS = st.tuples(
    *[bind_operation('queue_bind', BOUND_QUEUE)] * 6,
    *[bind_operation('exchange_bind', EXCHANGE)] * 2,
)
TRAFFIC = st.lists(
    st.one_of(PUBLISH, PUBLISH, PUBLISH, GET, GET, SETTLE, SETTLE, CONSUME, OTHERS),
    min_size=15,
    max_size=30,
)


@settings(
    max_examples=40,
    # A step that differs waits for `PATIENCE`: making the program smaller would take too long.
    phases=[Phase.explicit, Phase.reuse, Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(topology=TOPOLOGY, bindings=BINDINGS, traffic=TRAFFIC)
def test_the_reference_broker_does_what_rabbitmq_does(
    run: Callable[..., None],
    topology: list[Any],
    bindings: list[Any],
    traffic: list[Any],
) -> None:
    run([*topology, *bindings, *traffic], careful=True)
