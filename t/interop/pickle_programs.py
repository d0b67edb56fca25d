"""Objects that travel in pickles, and what is to be seen of them on the other side: see `sides`."""

from __future__ import annotations

import base64
import operator
import pickle
from collections.abc import Callable
from importlib import import_module
from typing import Any

import amqp.exceptions

from kombu import Connection, Exchange, Producer, Queue, binding, exceptions
from kombu.clocks import timetuple
from kombu.common import Broadcast
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
]
CONNECTION = ['virtual_host', 'ssl', 'transport_options', 'alt']
INFO = [
    'hostname',
    'port',
    'userid',
    'password',
    'virtual_host',
    'ssl',
    'transport',
    'transport_options',
]

ORDERS = Exchange(
    'orders', 'topic', durable=False, auto_delete=True, arguments={'a': 1}, delivery_mode=1
)


def objects() -> dict[str, Any]:
    """Return what is pickled."""
    cache: LRUCache[str, int] = LRUCache(limit=3)
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
    drivers = ['ConnectionError', 'ChannelError', 'NotFound', 'PreconditionFailed', 'ResourceError']
    return {
        **{f'error {name}': getattr(exceptions, name)('text', 42) for name in own},
        **{
            f'error of amqp {name}': getattr(amqp.exceptions, name)('text', (50, 10))
            for name in drivers
        },
        'error TimeoutError': exceptions.TimeoutError('text'),
        'error BatchPublishError': exceptions.BatchPublishError('text'),
        'error HttpError': exceptions.HttpError(404, 'text', None),
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
        'info': {key: repr(connection.info()[key]) for key in INFO},
        'numbers': [float(connection.heartbeat), float(connection.connect_timeout)],
    },
    Producer: lambda producer: {
        **_attributes(producer, ['routing_key', 'serializer', 'compression', 'auto_declare']),
        'exchange': describe(producer.exchange),
    },
    lazy: lambda value: [describe(maybe_evaluate(value)), describe(value())],
    list: lambda values: [describe(value) for value in values],
    LRUCache: lambda cache: [cache.limit, *cache.items()],
    amqp.exceptions.AMQPError: lambda exc: [
        str(exc),
        *_attributes(exc, ['reply_code', 'reply_text', 'method_name', 'method_sig', 'code']),
    ],
    BaseException: lambda exc: [repr(exc.args), str(exc), getattr(exc, 'code', None)],
}


def describe(value: Any) -> Any:
    """Return the class of a value, and what its users see of it."""
    for cls in type(value).__mro__:
        if cls in DESCRIBED:
            return [type(value).__name__, DESCRIBED[cls](value)]
    return [type(value).__name__, repr(value)]


#: Public names of classes and functions that are pickled by name, alone or in a partial or a lazy.
NAMES = [
    'kombu.common.QoS',
    'kombu.common.ignore_errors',
    'kombu.common.maybe_declare',
    'kombu.compression.compress',
    'kombu.connection.maybe_channel',
    'kombu.entity.Queue',
    'kombu.messaging.Consumer',
    'kombu.messaging.Producer',
    'kombu.mixins.ConsumerMixin',
    'kombu.pidbox.Mailbox',
    'kombu.simple.SimpleQueue',
    'kombu.transport.memory.Transport',
    'kombu.transport.pyamqp.Connection',
    'kombu.transport.pyamqp.Transport',
    'kombu.transport.virtual.Channel',
    'kombu.transport.virtual.NotEquivalentError',
    'kombu.transport.virtual.binding_key_t',
    'kombu.utils.json.loads',
    'kombu.utils.uuid.uuid',
]


def dump_names() -> dict[str, str]:
    """Return pickles of the public classes and functions."""
    found = {}
    for name in NAMES:
        module, _, attribute = name.rpartition('.')
        value = getattr(import_module(module), attribute)
        found[name] = base64.b64encode(pickle.dumps(value)).decode()
    return found


def load_names(pickles: dict[str, str]) -> list[str]:
    """Tell what could not be loaded, or is not what it is called."""
    wrong = []
    for name, text in pickles.items():
        try:
            value = pickle.loads(base64.b64decode(text))
        except Exception as exc:
            wrong.append(f'{name}: {exc}')
        else:
            if value.__name__ != name.rpartition('.')[2]:
                wrong.append(f'{name} is {value!r}')
    return wrong


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
