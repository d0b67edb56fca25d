"""Native delayed delivery, on the real broker."""

from __future__ import annotations

import time
from typing import Any

import pytest

from kombu import Connection, Exchange, Queue
from kombu.transport.native_delayed_delivery import (
    bind_queue_to_native_delayed_delivery_exchange,
    calculate_routing_key,
    declare_native_delayed_delivery_exchanges_and_queues,
    level_name,
)
from t.brokers.rabbitmq import Broker


@pytest.mark.parametrize('queue_type', ['classic', 'quorum'])
def test_topology(rabbitmq: Broker, amqp_url: str, queue_type: str) -> None:
    """It can be declared again, and is what kombu 5.x declares."""
    queue = Queue('q', Exchange('e', 'topic'), 'orders.*')
    with Connection(amqp_url) as connection:
        for _ in range(2):
            declare_native_delayed_delivery_exchanges_and_queues(connection, queue_type)
            queue(connection.default_channel).declare()
            bind_queue_to_native_delayed_delivery_exchange(connection, queue)
        # The channels that it took are closed again.
        assert len(connection.connection.channels) == 2
    found = {
        (b['source'], b['destination'], b['destination_type'], b['routing_key'])
        for b in rabbitmq.bindings(amqp_url)
        if b['source']
    }
    expected = {
        ('celery_delayed_delivery', 'e', 'exchange', '#.orders.*'),
        ('e', 'q', 'queue', 'orders.*'),
        ('e', 'q', 'queue', '#.orders.*'),
    }
    for level in range(28):
        name, higher = f'celery_delayed_{level}', '*.' * (27 - level)
        below = f'celery_delayed_{level - 1}' if level else 'celery_delayed_delivery'
        expected |= {
            (name, name, 'queue', f'{higher}1.#'),
            (name, below, 'exchange', f'{higher}0.#'),
        }
    assert found == expected


@pytest.mark.parametrize('prefix', [None, 'mine'])
def test_delay(amqp_url: str, prefix: str | None) -> None:
    """A message comes after its delay, not before, and can be delayed again."""
    queue = Queue('q', Exchange('e', 'topic'), 'orders.*')
    with Connection(amqp_url) as connection:
        declare_native_delayed_delivery_exchanges_and_queues(connection, 'classic', prefix)
        queue(connection.default_channel).declare()
        bind_queue_to_native_delayed_delivery_exchange(connection, queue, prefix)
        got: list[Any] = []
        key = 'orders.new'
        with connection.Consumer([queue], callbacks=[lambda body, m: got.append(m)], no_ack=True):
            for delay in (1, 3):
                key = calculate_routing_key(delay, key)
                start = time.monotonic()
                connection.Producer().publish('x', exchange=level_name(27, prefix), routing_key=key)
                connection.drain_events(timeout=10)
                assert delay <= time.monotonic() - start < delay + 2
        assert [message.delivery_info['routing_key'] for message in got] == [
            calculate_routing_key(1, 'orders.new'),
            calculate_routing_key(3, 'orders.new'),
        ]
