"""Objects that travel in pickles, and what is to be seen of them on the other side: see `sides`."""

from __future__ import annotations

import base64
import operator
import pickle
from collections.abc import Callable
from typing import Any

import amqp.exceptions

from kombu import Connection, Exchange, Producer, Queue, binding, exceptions
from kombu.clocks import timetuple
from kombu.common import Broadcast
from kombu.transport.virtual import binding_key_t, queue_binding_t
from kombu.utils.functional import LRUCache, lazy, maybe_evaluate

EXCHANGE = [
    'name',
    'type',
    'arguments',
    'durable',
    'passive',
    'auto_delete',
    'delivery_mode',
    'no_declare',
    'is_bound',
]
QUEUE = [
    'name',
    'routing_key',
    'queue_arguments',
    'binding_arguments',
    'consumer_arguments',
    'durable',
    'exclusive',
    'auto_delete',
    'no_ack',
    'alias',
    'expires',
    'message_ttl',
    'max_length',
    'max_length_bytes',
    'max_priority',
    'no_declare',
    'is_bound',
]
CONNECTION = [
    'hostname',
    'port',
    'userid',
    'password',
    'virtual_host',
    'ssl',
    'heartbeat',
    'connect_timeout',
    'transport_options',
    'login_method',
    'alt',
]

ORDERS = Exchange(
    'orders', 'topic', durable=False, auto_delete=True, arguments={'a': 1}, delivery_mode=1
)


def objects() -> dict[str, Any]:
    """Return what is pickled."""
    cache = LRUCache(limit=3)
    cache.update({'a': 1, 'b': 2})
    with Connection('memory://') as connection:
        bound = Queue('bound', ORDERS, 'bound')(connection.default_channel)
    return {
        'exchange': ORDERS,
        'default exchange': Exchange(),
        'passive exchange': Exchange('passive', passive=True, no_declare=True),
        'queue': Queue('q', ORDERS, 'rk'),
        'queue of arguments': Queue(
            'q',
            Exchange('e'),
            'rk',
            queue_arguments={'x-queue-type': 'quorum'},
            binding_arguments={'x-match': 'all'},
            consumer_arguments={'x-priority': 1},
            durable=False,
            exclusive=True,
            no_ack=True,
            alias='alias',
            expires=1.5,
            message_ttl=2.5,
            max_length=3,
            max_length_bytes=4,
            max_priority=5,
        ),
        'queue of bindings': Queue(
            'q', bindings=[binding(ORDERS, 'one', {'x': 1}), binding(Exchange('e'))]
        ),
        'bound queue': bound,
        'broadcast': Broadcast('news', queue='news.1', expires=3),
        'binding': binding(ORDERS, 'rk', arguments={'x': 1}, unbind_arguments={'y': 2}),
        'connection': Connection(
            'amqp://user:secret@host:1234/vhost;amqp://other//',
            heartbeat=3,
            connect_timeout=7,
            ssl={'ca_certs': 'ca'},
            transport_options={'confirm_publish': True},
            failover_strategy='shuffle',
        ),
        'connection by default': Connection('amqp://'),
        'connection by parts': Connection(
            'host', 'user', 'secret', 'vhost', 1234, transport='memory', login_method='PLAIN'
        ),
        'producer': Producer(
            Connection('memory://'), ORDERS, 'rk', serializer='pickle', compression='zlib'
        ),
        'lazy': lazy(operator.add, 1, 2),
        'lazy, keywords': lazy(dict, a=1),
        'lazy, of a queue': [lazy(Queue, 'q')],
        'cache': cache,
        'timetuple': timetuple(1, 2.0, 'id', None),
        'rows': [binding_key_t('q', 'e', 'rk'), queue_binding_t('e', 'rk', 'h')],
        **_errors(),
    }


def _errors() -> dict[str, Exception]:
    """Return errors of every kind that has been there for long."""
    own = [
        'ChannelLimitExceeded',
        'ConnectionLimitExceeded',
        'ContentDisallowed',
        'DecodeError',
        'EncodeError',
        'KombuError',
        'LimitExceeded',
        'MessageStateError',
        'NotBoundError',
        'OperationalError',
        'SerializationError',
        'SerializerNotInstalled',
        'VersionMismatch',
    ]
    drivers = ['ConnectionError', 'ChannelError', 'NotFound', 'PreconditionFailed', 'AccessRefused']
    return {
        **{f'error {name}': getattr(exceptions, name)('text', 42) for name in own},
        **{
            f'error of amqp {name}': getattr(amqp.exceptions, name)('text', (50, 10))
            for name in drivers
        },
        'error TimeoutError': exceptions.TimeoutError('text'),
        'error BatchPublishError': exceptions.BatchPublishError('text'),
        'error HttpError': exceptions.HttpError(404, 'text', None),
        'error InconsistencyError': exceptions.InconsistencyError('text', (50, 10)),
    }


def _attributes(value: Any, names: list[str]) -> dict[str, str]:
    return {name: repr(getattr(value, name)) for name in names}


#: How an object of each class is described, which includes its parts.
DESCRIBED: dict[type, Callable[[Any], Any]] = {
    Exchange: lambda exchange: _attributes(exchange, EXCHANGE),
    Queue: lambda queue: {
        **_attributes(queue, QUEUE),
        'exchange': describe(queue.exchange),
        'bindings': sorted(repr(describe(bound)) for bound in queue.bindings or ()),
    },
    binding: lambda bound: {
        **_attributes(bound, ['routing_key', 'arguments', 'unbind_arguments']),
        'exchange': describe(bound.exchange),
    },
    Connection: lambda connection: {
        **_attributes(connection, CONNECTION),
        'uri': connection.as_uri(include_password=True),
        'info': {
            key: repr(value)
            for key, value in connection.info().items()
            if key not in ('login_method', 'alternates')
        },
    },
    Producer: lambda producer: {
        **_attributes(producer, ['routing_key', 'serializer', 'compression', 'auto_declare']),
        'exchange': describe(producer.exchange),
    },
    lazy: lambda value: [describe(maybe_evaluate(value)), describe(value())],
    list: lambda values: [describe(value) for value in values],
    LRUCache: lambda cache: [cache.limit, *cache.items()],
    BaseException: lambda exc: [
        repr(exc.args),
        str(exc),
        *(repr(getattr(exc, name, None)) for name in ('reply_code', 'method_sig', 'code')),
    ],
}


def describe(value: Any) -> Any:
    """Return the class of a value, and what its users see of it."""
    for cls in type(value).__mro__:
        if cls in DESCRIBED:
            return [type(value).__name__, DESCRIBED[cls](value)]
    return [type(value).__name__, repr(value)]


def dump(protocol: int) -> dict[str, list[Any]]:
    """Return the pickle and the description of each object."""
    return {
        name: [base64.b64encode(pickle.dumps(value, protocol)).decode(), describe(value)]
        for name, value in objects().items()
    }


def load(pickles: dict[str, str]) -> dict[str, Any]:
    """Describe what is in pickles, or the error."""
    found = {}
    for name, text in pickles.items():
        try:
            found[name] = describe(pickle.loads(base64.b64decode(text)))
        except Exception as exc:
            found[name] = f'raises {exc!r}'
    return found
