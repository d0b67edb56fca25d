"""Delayed delivery on RabbitMQ without plugins, for queues of any type.

A delay of n seconds is written in binary, one word of the routing key for each of 28 bits: 5
seconds for `orders.new` become `0. ... .1.0.1.orders.new`.  Each bit has a *level*: a topic
exchange, and a queue in which messages wait for as long as the bit is worth (1 s at level 0, 2**27
s at level 27).  At its exchange a message goes to the queue if the bit is 1, and on to the next
level below if it is 0.  The queue dead-letters to the next level below when the time is up.  What
has passed level 0 reaches the delivery exchange, to which the exchanges of the application are
bound with `#` before their binding keys, because the 28 words are still there.

The method is that of NServiceBus
(https://docs.particular.net/transports/rabbitmq/delayed-delivery). It works for exchanges that can
be told to skip words, hence not for direct ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kombu.log import get_logger

__all__ = (
    'CELERY_DELAYED_DELIVERY_EXCHANGE',
    'MAX_LEVEL',
    'MAX_NUMBER_OF_BITS_TO_USE',
    'bind_queue_to_native_delayed_delivery_exchange',
    'calculate_routing_key',
    'declare_native_delayed_delivery_exchanges_and_queues',
    'level_name',
)

logger = get_logger(__name__)

MAX_NUMBER_OF_BITS_TO_USE = 28
MAX_LEVEL = MAX_NUMBER_OF_BITS_TO_USE - 1
CELERY_DELAYED_DELIVERY_EXCHANGE = 'celery_delayed_delivery'

#: The longest delay, in seconds: eight and a half years.
MAX_DELAY = 2**MAX_NUMBER_OF_BITS_TO_USE - 1

#: Arguments of the waiting queues by their type.  Only quorum queues can promise not to lose what
#: they dead-letter (https://www.rabbitmq.com/docs/quorum-queues#dead-lettering), which in turn
#: needs that overflow.
QUEUE_ARGUMENTS: dict[str, dict[str, Any]] = {
    'classic': {'x-queue-type': 'classic', 'x-overflow': 'reject-publish'},
    'quorum': {
        'x-queue-type': 'quorum',
        'x-overflow': 'reject-publish',
        'x-dead-letter-strategy': 'at-least-once',
    },
}

_BITS = frozenset({'0', '1'})


def _prefixed(name: str, prefix: str | None) -> str:
    return f'{prefix}_{name}' if prefix else name


def _delivery_exchange(prefix: str | None) -> str:
    return _prefixed(CELERY_DELAYED_DELIVERY_EXCHANGE, prefix)


def level_name(level: int, prefix: str | None = None) -> str:
    """Return the name of the exchange and of the queue of a level.

    Args:
        level: number of the bit, counted from the least.
        prefix: sets several topologies on one virtual host apart.

    Raises:
        ValueError: the level is negative.
    """
    if level < 0:
        raise ValueError(f'level must not be negative, not {level}')
    return _prefixed(f'celery_delayed_{level}', prefix)


def declare_native_delayed_delivery_exchanges_and_queues(
    connection: Any, queue_type: str, prefix: str | None = None
) -> None:
    """Declare the exchanges and queues in which messages wait.

    Args:
        connection: a `kombu.Connection` to RabbitMQ.
        queue_type: `'quorum'` or `'classic'`.
        prefix: sets several topologies on one virtual host apart.

    Raises:
        ValueError: the queue type is neither.
        amqp.exceptions.PreconditionFailed: something of that name exists and is different.
    """
    if queue_type not in QUEUE_ARGUMENTS:
        raise ValueError(
            f'queue_type must be one of {" and ".join(QUEUE_ARGUMENTS)}, not {queue_type!r}'
        )
    with connection.channel() as channel:
        below = _delivery_exchange(prefix)
        channel.exchange_declare(below, 'topic', durable=True, auto_delete=False)
        for level in range(MAX_NUMBER_OF_BITS_TO_USE):
            name = level_name(level, prefix)
            channel.exchange_declare(name, 'topic', durable=True, auto_delete=False)
            channel.queue_declare(
                name,
                durable=True,
                auto_delete=False,
                arguments={
                    **QUEUE_ARGUMENTS[queue_type],
                    'x-dead-letter-exchange': below,
                    'x-message-ttl': 2**level * 1000,
                },
            )
            higher_bits = '*.' * (MAX_LEVEL - level)
            channel.queue_bind(name, name, f'{higher_bits}1.#')
            channel.exchange_bind(below, name, f'{higher_bits}0.#')
            below = name


def bind_queue_to_native_delayed_delivery_exchange(
    connection: Any, queue: Any, prefix: str | None = None
) -> None:
    """Have a queue receive what was delayed, by each of its bindings.

    Bindings to direct exchanges are passed over with a warning.

    Args:
        connection: a `kombu.Connection` to RabbitMQ.
        queue: a `kombu.Queue`; it and its exchanges have been declared.
        prefix: as it was declared with.
    """
    with connection.channel() as channel:
        for exchange, routing_key in _bindings(queue):
            if exchange.type == 'direct':
                logger.warning(
                    'Delayed messages cannot pass the direct exchange %r, because it does not '
                    'skip the words for the delay: use a topic exchange instead.',
                    exchange.name,
                )
                continue
            pattern = routing_key if routing_key.startswith('#') else f'#.{routing_key}'
            channel.exchange_bind(exchange.name, _delivery_exchange(prefix), pattern)
            channel.queue_bind(queue.name, exchange.name, pattern)


def _bindings(queue: Any) -> Iterator[tuple[Any, str]]:
    """Yield exchange and key of each binding of a queue."""
    if queue.exchange is not None and (queue.exchange.name or not queue.bindings):
        yield queue.exchange, queue.routing_key or ''
    for binding in sorted(queue.bindings or (), key=str):
        yield binding.exchange, binding.routing_key or ''


def calculate_routing_key(countdown: int, routing_key: str) -> str:
    """Return the routing key with which a message reaches its queues after a delay.

    A delay that is in the routing key already, as when a delayed message is sent once more, is
    replaced.

    Args:
        countdown: seconds, from 1 to 2**28 - 1.
        routing_key: where to deliver to then.

    Raises:
        TypeError: the delay is not an integer.
        ValueError: the delay is out of range, or the routing key is empty.
    """
    if not isinstance(countdown, int):
        raise TypeError(f'countdown must be an integer, not {countdown!r}')
    if not 1 <= countdown <= MAX_DELAY:
        raise ValueError(f'countdown must be between 1 and {MAX_DELAY} seconds, not {countdown}')
    if not routing_key:
        raise ValueError('routing_key must not be empty')
    words = routing_key.split('.', MAX_NUMBER_OF_BITS_TO_USE)
    if len(words) > MAX_NUMBER_OF_BITS_TO_USE and _BITS.issuperset(words[:-1]):
        routing_key = words[-1]
    bits = '.'.join(f'{countdown:0{MAX_NUMBER_OF_BITS_TO_USE}b}')
    return f'{bits}.{routing_key}'
