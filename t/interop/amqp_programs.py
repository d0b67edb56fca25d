"""What either kombu does over RabbitMQ when it is told to: see `sides`."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

from kombu import Connection, Consumer, Exchange, Producer, Queue, binding, compression, pidbox
from kombu.common import Broadcast, collect_replies, maybe_declare, send_reply
from kombu.mixins import ConsumerMixin, ConsumerProducerMixin
from kombu.serialization import registry
from kombu.transport import native_delayed_delivery as delayed
from kombu.utils import uuid

WHEN = datetime(2024, 2, 29, 1, 2, 3)
ACCEPT = ['json', 'pickle', 'yaml', 'msgpack', 'text/plain', 'application/data']

# -- messages -------------------------------------------------------------------------------------

#: Bodies by serializer; '' stands for none.
BODIES: dict[str, dict[str, Any]] = {
    'json': {
        'plain': {'text': 'h\xe9 \U0001f600', 'list': [1, -2.5, None, True, 2**70], 'empty': {}},
        'tags': {
            'bytes': b'plain',
            'binary': b'\x00\xff\xfe',
            'datetime': WHEN,
            'microseconds': WHEN.replace(microsecond=4),
            'utc': WHEN.replace(tzinfo=timezone.utc),
            'offset': WHEN.replace(tzinfo=timezone(timedelta(hours=5, minutes=30))),
            'date': date(2024, 2, 29),
            'time': WHEN.time(),
            'uuid': UUID('12345678-1234-5678-9234-567812345678'),
            'decimal': Decimal('9.90'),
            'nested': [{'deep': [Decimal('1e-10')]}],
        },
        'null': None,
        'no text': '',
    },
    'pickle': {'objects': {'set': {1, 2}, 'tuple': (1, b'2'), 'when': WHEN, 'complex': 1j}},
    'yaml': {'plain': {'text': 'h\xe9', 'list': [1, 2.5, None, False], 'when': WHEN}},
    'msgpack': {'plain': {'text': 'h\xe9', 'bytes': b'\x00\xff', 'list': [1, 2.5, None, True]}},
    '': {'text': 'h\xe9 text', 'bytes': b'\x00\xff\xfe', 'long': 'x' * 300_000},
}

#: Everything that a field table may hold.
HEADERS = {
    'true': True,
    'false': False,
    'zero': 0,
    'negative': -(2**31),
    'large': 2**40,
    'float': 2.5,
    'decimal': Decimal('1.25'),
    'text': 'h\xe9 \U0001f600',
    'no text': '',
    'when': WHEN,
    'none': None,
    'bytes': b'bytes',
    'binary': b'\x00\xff',
    'list': [1, 'two', [None, {'three': 3}]],
    'table': {'deep': {'deeper': [True, 'x']}},
}

PROPERTIES: list[dict[str, Any]] = [
    {},
    {'delivery_mode': 1, 'priority': 0},
    {'delivery_mode': 'persistent', 'priority': 9, 'expiration': 3600},
    {
        'correlation_id': 'c',
        'reply_to': 'r',
        'message_id': 'm',
        'type': 't',
        'app_id': 'a',
        'user_id': 'guest',
        'timestamp': 1_709_168_523,
        'expiration': 1.5e3,
    },
    {'headers': HEADERS},
    {'headers': {}},
    {'headers': {'x-' + 'long' * 60: 'name'}, 'content_encoding': 'utf-16'},
]

#: What cannot be decoded: what is published with which properties.
UNREADABLE: dict[str, tuple[bytes, dict[str, Any]]] = {
    'broken json': (b'{', {'content_type': 'application/json', 'content_encoding': 'utf-8'}),
    'not utf-8': (b'"\xff"', {'content_type': 'application/json', 'content_encoding': 'utf-8'}),
    'refused': (b'x', {'content_type': 'application/x-refused', 'content_encoding': 'binary'}),
    'unknown charset': (b'x', {'content_type': 'text/plain', 'content_encoding': 'klingon'}),
}


def codecs() -> dict[str, list[str]]:
    """Tell which serializers and compressions there are."""
    return {
        'serializers': sorted(registry._encoders),
        'compressions': sorted(compression.encoders()),
    }


def publish(url: str, exchange: str, serializers: list[str], compressions: list[str]) -> int:
    """Publish everything above to a fanout exchange; return how many messages that were."""
    cases: list[tuple[Any, dict[str, Any]]] = []
    for serializer in [*serializers, '']:
        for name, body in BODIES[serializer].items():
            for method in (None, *compressions):
                headers = {'case': f'{serializer} {name} {method}'}
                chosen = {'serializer': serializer} if serializer else {}
                cases.append((body, {'headers': headers, 'compression': method, **chosen}))
    for number, properties in enumerate(PROPERTIES):
        headers = {**properties.get('headers', {}), 'case': f'properties {number}'}
        cases.append(('text', {**properties, 'headers': headers}))
    for name, (content, options) in UNREADABLE.items():
        cases.append((content, {'headers': {'case': f'unreadable {name}'}, **options}))
    with Connection(url) as connection:
        producer = Producer(connection, Exchange(exchange, 'fanout'))
        for content, options in cases:
            producer.publish(content, **options)
    return len(cases)


def expected_bodies(serializers: list[str], compressions: list[str]) -> dict[str, str]:
    """Return what the payloads are, by case."""
    return {
        f'{serializer} {name} {method}': _shown(body)
        for serializer in [*serializers, '']
        for name, body in BODIES[serializer].items()
        for method in (None, *compressions)
    }


def _shown(value: Any) -> str:
    """Show a value with the order of dictionaries and sets taken away."""
    if isinstance(value, dict):
        return '{' + ', '.join(sorted(f'{k!r}: {_shown(v)}' for k, v in value.items())) + '}'
    if isinstance(value, list):
        return '[' + ', '.join(map(_shown, value)) + ']'
    text = repr(value)
    return text if len(text) < 1000 else f'{text[:20]}... of {len(text)}'


def _described(message: Any) -> dict[str, Any]:
    try:
        payload = _shown(message.payload)
    except Exception as exc:
        # Subclasses of the same error are the same to who catches it.
        ours = [c.__name__ for c in type(exc).__mro__ if c.__module__ == 'kombu.exceptions']
        payload = f'raises {ours}'
    headers = dict(message.headers)
    return {
        'case': headers.pop('case', None),
        'payload': payload,
        'body': type(message.body).__name__,
        'headers': _shown(headers),
        'content': [message.content_type, message.content_encoding],
        'properties': _shown(message.properties),
        'delivery': [
            message.delivery_info.get(key) for key in ('exchange', 'routing_key', 'redelivered')
        ],
    }


def receive(url: str, queue: str, count: int) -> list[dict[str, Any]]:
    """Consume so many messages and describe them."""
    got: list[Any] = []

    def on_message(message: Any) -> None:
        got.append(_described(message))
        message.ack()

    with Connection(url) as connection:
        declared = Queue(queue, channel=connection.default_channel, no_declare=True)
        with Consumer(connection, [declared], accept=ACCEPT, on_message=on_message):
            while len(got) < count:
                connection.drain_events(timeout=5)
    return got


def bind_fanout(url: str, exchange: str, queues: list[str]) -> None:
    """Declare a fanout exchange with queues."""
    with Connection(url) as connection:
        for queue in queues:
            Queue(queue, Exchange(exchange, 'fanout'), channel=connection).declare()


def returned(url: str, exchange: str) -> list[Any]:
    """Publish mandatory messages that nobody wants; return what comes back."""
    got: list[Any] = []

    def on_return(exception: Any, exchange: str, routing_key: str, message: Any) -> None:
        got.append([exception.reply_code, exchange, routing_key, message.body])

    with Connection(url) as connection:
        producer = Producer(connection, on_return=on_return)
        producer.publish('lost', exchange=exchange, routing_key='nowhere', mandatory=True)
        producer.publish('dropped', exchange=exchange, routing_key='nowhere')
        while not got:
            connection.drain_events(timeout=5)
    return got


# -- topology -------------------------------------------------------------------------------------

LETTERS = Exchange('letters', 'topic', arguments={'alternate-exchange': 'lost'})


def topology() -> tuple[list[Any], list[Any]]:
    """Return exchanges and queues of every kind."""
    exchanges = [
        Exchange('lost', 'fanout', auto_delete=False),
        LETTERS,
        Exchange('transient', 'direct', durable=False),
        Exchange('passing', 'headers', auto_delete=True),
        Exchange('hidden', 'topic', arguments={'internal': True}),
    ]
    urgent = {'urgent': True, 'size': 3}
    queues = [
        Queue('plain', LETTERS, 'a.*'),
        Queue('default exchange'),
        Queue('lost', exchanges[0]),
        Queue('passing', Exchange('passing', 'headers', auto_delete=True), auto_delete=True),
        Queue(
            'limits',
            LETTERS,
            'x.#',
            expires=600,
            message_ttl=60.5,
            max_length=100,
            max_length_bytes=10_000,
            max_priority=5,
        ),
        Queue(
            'arguments',
            LETTERS,
            'dying',
            queue_arguments={
                'x-dead-letter-exchange': 'lost',
                'x-dead-letter-routing-key': 'dead',
                'x-overflow': 'reject-publish',
                'x-max-length': 10,
            },
        ),
        Queue('quorum', LETTERS, 'q', queue_arguments={'x-queue-type': 'quorum'}),
        Queue('transient', Exchange('transient', durable=False), durable=False, expires=600),
        Queue(
            'several',
            bindings=[
                binding(LETTERS, 'b.#', arguments={'note': 'one'}),
                binding(exchanges[2], 'direct'),
                binding(exchanges[0]),
            ],
        ),
        *(
            Queue(
                f'headers {match}',
                Exchange('passing', 'headers', auto_delete=True),
                binding_arguments={'x-match': match, **urgent},
            )
            for match in ('all', 'any')
        ),
        Broadcast('everybody', queue='everybody.1'),
    ]
    return exchanges, queues


def declare(url: str) -> list[str]:
    """Declare all of it; return the names of the queues."""
    exchanges, queues = topology()
    with Connection(url) as connection:
        for exchange in exchanges:
            maybe_declare(exchange(connection.default_channel))
        for queue in queues:
            queue(connection.default_channel).declare()
        exchanges[0](connection.default_channel).bind_to(LETTERS, routing_key='copies.#')
    return [queue.name for queue in queues]


def send(url: str) -> None:
    """Publish into the topology, so that each queue below gets something."""
    with Connection(url) as connection:
        producer = Producer(connection)
        publish = producer.publish
        for priority in (1, 5, 3):
            publish(f'priority {priority}', exchange='letters', routing_key='x', priority=priority)
        publish('nobody asked', exchange='letters', routing_key='a.b')
        publish('unroutable', exchange='letters', routing_key='nowhere')
        publish('copy', exchange='letters', routing_key='copies.of.it')
        publish('urgent', exchange='passing', headers={'urgent': True, 'size': 3})
        publish('half as urgent', exchange='passing', headers={'urgent': True, 'size': 4})
        publish('not urgent', exchange='passing', headers={'urgent': False})
        publish('by name', routing_key='default exchange')
        publish('soon dead', exchange='letters', routing_key='dying', expiration=0.01)
        Producer(connection, Exchange('everybody', 'fanout')).publish('all')


def fetch(url: str, counts: dict[str, int]) -> dict[str, list[str]]:
    """Fetch so many messages from each queue, and see that there are no more.

    What was dead-lettered is shown with the reason.
    """
    end = time.monotonic() + 5
    found: dict[str, list[str]] = {}
    with Connection(url) as connection:
        for name, count in counts.items():
            queue = Queue(name, channel=connection.default_channel, no_declare=True)
            bodies = found[name] = []
            while True:
                message = queue.get(no_ack=True)
                if message is not None:
                    deaths = message.headers.get('x-death', ())
                    reasons = ''.join(f' ({death["reason"]})' for death in deaths)
                    bodies.append(f'{message.payload}{reasons}')
                elif len(bodies) >= count or time.monotonic() > end:
                    break
                else:
                    time.sleep(0.01)
    return found


def delete(url: str, names: list[str]) -> list[int]:
    """Purge and delete queues; return how many messages there were."""
    with Connection(url) as connection:
        queues = [Queue(name, channel=connection.default_channel) for name in names]
        counts = [queue.purge() for queue in queues]
        for queue in queues:
            queue.delete()
        return counts


# -- native delayed delivery ----------------------------------------------------------------------

DELAYED = Queue('delayed', Exchange('delayed', 'topic'), 'orders.new')


def declare_delayed(url: str) -> None:
    """Declare the topology for delays, and bind a queue to it."""
    with Connection(url) as connection:
        delayed.declare_native_delayed_delivery_exchanges_and_queues(connection, 'classic')
        DELAYED(connection.default_channel).declare()
        delayed.bind_queue_to_native_delayed_delivery_exchange(connection, DELAYED)


def send_delayed(url: str) -> list[str]:
    """Publish with delays; return the routing keys."""
    keys = [delayed.calculate_routing_key(seconds, 'orders.new') for seconds in (1, 86_400)]
    # Sent once more, the delay is replaced.
    keys.append(delayed.calculate_routing_key(1, keys[1]))
    with Connection(url) as connection:
        for number, key in enumerate(keys):
            Producer(connection).publish(number, exchange='celery_delayed_27', routing_key=key)
    return keys


# -- remote control -------------------------------------------------------------------------------


def mailbox(connection: Any, kind: str) -> Any:
    """Return the mailbox of both sides."""
    return pidbox.Mailbox('box', type=kind, connection=connection, accept=['json'])


def serve_node(stopped: Callable[[], bool], url: str, kind: str, hostname: str) -> Iterator[Any]:
    """Be a node that can be called."""
    calls: list[Any] = []

    def echo(state: Any, **kwargs: Any) -> Any:
        calls.append(['echo', kwargs])
        return {'from': state, **kwargs}

    def fail(state: Any, **kwargs: Any) -> Any:
        raise KeyError('failed')

    def note(state: Any, **kwargs: Any) -> None:
        calls.append(['note', kwargs])

    with Connection(url) as connection:
        handlers = {'echo': echo, 'fail': fail, 'note': note}
        node = mailbox(connection, kind).Node(hostname, state=hostname, handlers=handlers)
        node.channel = connection.channel()
        with node.listen():
            yield 'ready'
            _drain(connection, stopped)
    yield calls


def _drain(connection: Any, stopped: Callable[[], bool]) -> None:
    while not stopped():
        try:
            connection.drain_events(timeout=0.05)
        except TimeoutError:
            pass


def control(url: str, kind: str, hostname: str) -> dict[str, Any]:
    """Call a node in every way."""
    with Connection(url) as connection:
        box = mailbox(connection, kind)
        answers = {
            'call': box.call([hostname], 'echo', {'x': [1, 'h\xe9', None]}, timeout=5),
            'failed': box.call([hostname], 'fail', {}, timeout=5),
            'all': box.multi_call('echo', {'n': 1}, timeout=5, limit=1),
            'glob': box._broadcast(
                'echo', {}, reply=True, timeout=5, limit=1, pattern='*', matcher='glob'
            ),
            'nobody': box.call(['somebody else'], 'echo', {}, timeout=0.3),
        }
        box.cast([hostname], 'note', {'cast': 1})
        box.abcast('note', {'abcast': 1})
        box.cast(['somebody else'], 'note', {'cast': 2})
        # Answers come in order, hence the rest was handled before.
        box.call([hostname], 'echo', {'last': True}, timeout=5)
        return answers


# -- simple queues, mixins ------------------------------------------------------------------------


def put(url: str, queue: str) -> None:
    """Put into a simple queue."""
    with Connection(url) as connection:
        with connection.SimpleQueue(queue, queue_args={'x-max-length': 10}) as simple:
            for number in range(3):
                simple.put({'n': number}, serializer='json', compression='zlib')


def get(url: str, queue: str) -> list[Any]:
    """Get from the same."""
    with Connection(url) as connection:
        with connection.SimpleQueue(queue, queue_args={'x-max-length': 10}) as simple:
            found = [simple.qsize()]
            for _ in range(3):
                message = simple.get(timeout=5)
                found.append(message.payload)
                message.ack()
            found.append(simple.qsize())
    return found


REQUESTS = Queue('requests', Exchange('requests', 'direct'), 'requests', durable=False)


def serve_worker(stopped: Callable[[], bool], url: str, producing: bool) -> Iterator[Any]:
    """Answer requests with a mixin, with a producer of its own or on the channel they came by."""
    handled: list[Any] = []

    class Worker(ConsumerProducerMixin if producing else ConsumerMixin):  # type: ignore[misc]
        def __init__(self, connection: Any) -> None:
            self.connection = connection

        @property
        def should_stop(self) -> bool:
            return stopped()

        def get_consumers(self, Consumer: Any, channel: Any) -> list[Any]:
            return [Consumer([REQUESTS], callbacks=[self.on_request], prefetch_count=1)]

        def on_request(self, body: Any, message: Any) -> None:
            if body == 'again' and not message.delivery_info['redelivered']:
                message.requeue()
                return
            handled.append(body)
            if producing:
                self.producer.publish(
                    {'done': body},
                    exchange='',
                    routing_key=message.properties['reply_to'],
                    correlation_id=message.properties['correlation_id'],
                )
            else:
                reply = {'done': body}
                send_reply(Exchange(''), message, reply, Producer(message.channel))
            message.ack()

    with Connection(url) as connection:
        REQUESTS(connection.default_channel).declare()
        worker = Worker(connection)
        yield 'ready'
        for _ in worker.consume(limit=None, safety_interval=0.05):
            pass
    yield handled


def request(url: str) -> list[Any]:
    """Send requests and collect what is answered."""
    with Connection(url) as connection:
        channel = connection.default_channel
        replies = Queue(uuid(), channel=channel, exclusive=True, durable=False, auto_delete=True)
        replies.declare()
        producer = Producer(channel, REQUESTS.exchange, routing_key='requests')
        for number, body in enumerate(['one', {'two': 2}, 'again']):
            producer.publish(
                body,
                reply_to=replies.name,
                correlation_id=str(number),
                serializer='json',
                declare=[REQUESTS],
            )
        return list(collect_replies(connection, channel, replies, timeout=5, limit=3))
